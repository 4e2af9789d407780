//! `device`: the devices of the account.

use std::time::Duration;

use serde_json::json;
use stonechat_daemon::types::{self, ById, DeviceLink, Devices, LinkState, Linking};
use tokio::time::Instant;

use super::{drops, find};
use crate::client::{Client, Place};
use crate::failure::CommandError;
use crate::grammar::{self, Device, DeviceAccept, DeviceConfirm, DeviceRemove, Listing};
use crate::show;

/// Refuses what is no link, before anything is made for it.
pub(super) fn check(accept: &DeviceAccept) -> Result<(), CommandError> {
    let checked = wish_of(accept)?.check();
    checked.map_err(|fault| CommandError::Refused(fault.into()))
}

fn wish_of(accept: &DeviceAccept) -> Result<types::DeviceAccept, CommandError> {
    let link = match (&accept.link, &accept.from) {
        (Some(link), _) => link.clone(),
        (None, Some(file)) => crate::read_file(file)?,
        (None, None) => String::new(),
    };
    Ok(types::DeviceAccept {
        link,
        name: accept.name.clone(),
    })
}

/// Does one of them.
pub(super) async fn run(client: &mut Client, wish: Device, place: &Place) -> Result<(), CommandError> {
    match wish {
        Device::Link(wish) => link(client, &wish).await,
        Device::Accept(wish) => accept(client, &wish, place).await,
        Device::Confirm(wish) => confirm(client, &wish).await,
        Device::List(listing) => list(client, &listing).await,
        Device::Remove(wish) => remove(client, &wish).await,
    }
}

async fn link(client: &mut Client, wish: &grammar::DeviceLink) -> Result<(), CommandError> {
    let made: DeviceLink = client.call("device.link", &json!({ "name": wish.name })).await?;
    if let Some(file) = &wish.to {
        std::fs::write(file, &made.link).map_err(|error| anyhow::anyhow!("cannot write the file: {error}"))?;
    }
    if wish.json {
        show::json_line(&made)?;
    } else if wish.to.is_none() {
        show::line(&made.link)?;
    }
    drops::note_device_password(&made.link);
    show::note(
        "on the other device: `device accept LINK`; then here: `device confirm NUMBER`, the number that it shows",
    );
    Ok(())
}

async fn accept(client: &mut Client, wish: &DeviceAccept, place: &Place) -> Result<(), CommandError> {
    client.subscribe().await?;
    let _: serde_json::Value = client.call("device.accept", &wish_of(wish)?).await?;
    super::account::protect(client, place).await?;
    let end = Instant::now() + Duration::from_secs(wish.wait.into());
    let shown = until(client, end, |state| state != LinkState::Asking).await?;
    print(&shown, wish.json)?;
    if let (LinkState::Showing, Some(number)) = (shown.state, &shown.number) {
        if !wish.json {
            show::line(&format!("number: {number}"))?;
        }
        show::note("on the first device: `device confirm` and this number");
        let linked = until(client, end, |state| state == LinkState::Linked).await?;
        if linked.state == LinkState::Linked {
            show::note("people and groups come by themselves; messages of before do not");
            return print(&linked, wish.json);
        }
    }
    Err(anyhow::anyhow!("the first device has not let this one in yet; it goes on whenever this profile runs").into())
}

async fn confirm(client: &mut Client, wish: &DeviceConfirm) -> Result<(), CommandError> {
    client.subscribe().await?;
    let confirmed = client.call("device.confirm", &json!({ "number": wish.number })).await;
    let _: serde_json::Value = confirmed.map_err(unlinked)?;
    let end = Instant::now() + Duration::from_secs(wish.wait.into());
    let shown = until(client, end, |state| state != LinkState::Granted).await?;
    print(&shown, wish.json)?;
    match shown.state {
        LinkState::Done => Ok(()),
        LinkState::Granted => {
            Err(anyhow::anyhow!("let in, but it has not answered yet; it goes on whenever this profile runs").into())
        }
        LinkState::Closed => Err(anyhow::anyhow!("this link is closed: make another one").into()),
        _other => Err(anyhow::anyhow!("this is not the number that the new device shows").into()),
    }
}

/// What core does not find is a linking that goes on.
fn unlinked(error: CommandError) -> CommandError {
    match error {
        CommandError::Refused(failure) if failure.kind == types::Fault::NotFound => CommandError::NoLinking,
        other => other,
    }
}

/// How linking stands, once it stands so, or the time is over.
async fn until(client: &mut Client, end: Instant, there: impl Fn(LinkState) -> bool) -> Result<Linking, CommandError> {
    loop {
        let devices: Devices = client.call("devices", json!({})).await?;
        let Some(linking) = devices.linking else {
            return Err(CommandError::NoLinking);
        };
        if there(linking.state) || Instant::now() >= end {
            return Ok(linking);
        }
        client
            .event_before(end.min(Instant::now() + Duration::from_secs(1)))
            .await?;
    }
}

fn print(linking: &Linking, as_json: bool) -> Result<(), CommandError> {
    if as_json {
        return show::json_line(linking);
    }
    match (linking.state, &linking.name) {
        (LinkState::Done, Some(name)) => show::line(&format!("linked: {}", show::tame(name))),
        (LinkState::Linked, _) => show::line("linked"),
        _goes_on => Ok(()),
    }
}

async fn list(client: &mut Client, listing: &Listing) -> Result<(), CommandError> {
    let devices: Devices = client.call("devices", json!({})).await?;
    print_all(&devices, listing.json)
}

fn print_all(devices: &Devices, as_json: bool) -> Result<(), CommandError> {
    for device in &devices.devices {
        if as_json {
            show::json_line(device)?;
            continue;
        }
        let what = match (device.this, device.home) {
            (true, true) => "  (this device, has the words)",
            (true, false) => "  (this device)",
            (false, true) => "  (has the words)",
            (false, false) => "",
        };
        let name = if device.name.is_empty() { "-" } else { &device.name };
        show::line(&format!("{}  {}{what}", device.id, show::tame(name)))?;
    }
    Ok(())
}

fn meant<'a>(devices: &'a Devices, wanted: &str) -> Result<&'a types::Device, CommandError> {
    let named = |device: &'a types::Device| find::Meant {
        kind: find::Kind::Device,
        id: &device.id,
        name: &device.name,
    };
    let all: Vec<find::Meant<'_>> = devices.devices.iter().map(named).collect();
    let found = find::choose(&all, wanted)?.and_then(|place| devices.devices.get(place));
    found.ok_or_else(|| CommandError::NoDevice(wanted.to_owned()))
}

async fn remove(client: &mut Client, wish: &DeviceRemove) -> Result<(), CommandError> {
    let devices: Devices = client.call("devices", json!({})).await?;
    let device = meant(&devices, &wish.id)?;
    if device.this {
        return Err(CommandError::ThisDevice);
    }
    let by = ById { id: device.id.clone() };
    let _: serde_json::Value = client.call("device.remove", &by).await?;
    list(client, &Listing { json: wish.json }).await
}
