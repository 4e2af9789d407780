//! `relays`: which relays the profile uses, and adding and taking back one's own.

use serde_json::{Value, json};
use stonechat_daemon::types::{ById, Missed, Relay, RelayAdd, RelayForgetWay, RelayWay, Status, Tried};
use stonechat_wire::address::is_bridge;
use stonechat_wire::route::RelayRoute;
use tokio::time::Instant;

use super::drops;
use crate::client::{Client, PATIENCE};
use crate::failure::CommandError;
use crate::grammar::{Relays, RelaysAdd, RelaysForget, RelaysWish};
use crate::show;

/// Does one of them; lists where nothing else is wished.
pub(super) async fn run(client: &mut Client, wish: Relays) -> Result<(), CommandError> {
    match wish.wish {
        None => list(client, wish.listing.json).await,
        Some(RelaysWish::Add(add)) => self::add(client, &add).await,
        Some(RelaysWish::Remove(remove)) => self::remove(client, &remove.relay).await,
        Some(RelaysWish::ForgetAddress(forget)) => forget_address(client, &forget).await,
    }
}

async fn list(client: &mut Client, as_json: bool) -> Result<(), CommandError> {
    if client.is_own() {
        client.connected_before(Instant::now() + PATIENCE).await?;
    }
    for relay in known(client).await? {
        if as_json {
            show::json_line(&relay)?;
        } else {
            show::line(&line(&relay))?;
            ways(&relay).iter().try_for_each(|line| show::line(line))?;
            tries(&relay).iter().try_for_each(|line| show::line(line))?;
        }
    }
    Ok(())
}

async fn known(client: &mut Client) -> Result<Vec<Relay>, CommandError> {
    let status: Status = client.call("status", json!({})).await?;
    Ok(status.relays)
}

/// Id, address, whose it is, how it is, and who was given it.
fn line(relay: &Relay) -> String {
    let id = relay.id.get(..8).unwrap_or_default();
    let dealt: Vec<String> = relay.dealt_to.iter().map(|name| show::tame(name)).collect();
    let dealt = match dealt.is_empty() {
        true => String::new(),
        false => format!("  given to: {}", dealt.join(", ")),
    };
    let public = if relay.from_public {
        "  from a public invitation: whoever read that knows it too"
    } else {
        ""
    };
    format!("{id}  {}{dealt}{public}", words(relay))
}

/// Address, whose it is, and how it is.
pub(super) fn words(relay: &Relay) -> String {
    format!("{} ({}, {})", show::tame(&relay.address), whose(relay), state(relay))
}

/// Whose a relay is.
const fn whose(relay: &Relay) -> &'static str {
    match (relay.own, relay.private) {
        (true, true) => "own, private",
        (true, false) => "own",
        (false, _) => "lent",
    }
}

/// How a relay is, and since when.
fn state(relay: &Relay) -> String {
    match (relay.withholds, relay.connected, relay.answered_at) {
        (true, ..) => "keeps messages back".to_owned(),
        (false, true, _) if relay.through => "connected through another relay".to_owned(),
        (false, true, _) => "connected".to_owned(),
        (false, false, Some(at)) => format!("not connected, answered last {}", show::time(at)),
        (false, false, None) => "not connected, never answered".to_owned(),
    }
}

/// A relay's further addresses, a line each.
fn ways(relay: &Relay) -> Vec<String> {
    let line = |way: &RelayWay| {
        let by = way.said_by.as_ref();
        let by = by.map_or_else(String::new, |name| format!(", said by {}", show::tame(name)));
        let in_use = if way.in_use { ", in use" } else { "" };
        format!("  also at {}{by}{in_use}", show::tame(&way.address))
    };
    relay.ways.iter().map(line).collect()
}

/// What came of the ways to a relay that does not answer, a line each.
pub(super) fn tries(relay: &Relay) -> Vec<String> {
    let line = |of: &Tried| {
        let by = match (&of.through, of.by_browser) {
            (Some(helper), _) => format!(", through {}", show::tame(helper)),
            (None, true) => ", by the browser".to_owned(),
            (None, false) => String::new(),
        };
        format!("  tried {}{by}: {}", show::tame(&of.place), befell(of.why))
    };
    relay.tried.iter().map(line).collect()
}

/// What befell a way, in words.
const fn befell(why: Missed) -> &'static str {
    match why {
        Missed::NoName => "its name leads nowhere",
        Missed::Closed => "nobody listens there",
        Missed::Silent => "nothing comes back",
        Missed::Cut => "cut off in the handshake",
        Missed::Frozen => "connected, then nothing came any more",
        Missed::Ended => "the connection ended",
        Missed::CertificateTime => "its certificate is not valid at this computer's time",
        Missed::Certificate => "its certificate is not believed",
        Missed::Stranger => "somebody else answers there, or a relay that does not know this route any more",
        Missed::Secret => "the relay does not take the secret of its route",
        Missed::Password => "the server does not take the password",
        Missed::NoFolder => "the folder or mailbox is not there",
        Missed::Busy => "it has no time or room now",
        Missed::NotPassedOn => "the relay in between does not reach it",
        Missed::NoProxy => "the proxy of the settings does not answer, or does not let in",
        Missed::NoProgram => "obfs4proxy, which dials bridges, is not installed or does not work",
    }
}

async fn add(client: &mut Client, add: &RelaysAdd) -> Result<(), CommandError> {
    let route = match (&add.route, &add.drop) {
        (Some(route), _) => route.clone(),
        (None, Some(url)) => {
            drops::note_what_is_seen(url);
            drops::new_route(url)?
        }
        (None, None) => String::new(),
    };
    let wish = RelayAdd {
        route,
        private: add.private,
    };
    let _: Value = client.call("relay.add", &wish).await?;
    show::note("contacts hear of it by themselves: of a new relay once it has answered, of a new address at once");
    if add.route.as_deref().is_some_and(is_bridge_route) {
        show::note(
            "where this relay is among yours by another address, the bridge is one more way for this device alone",
        );
    }
    Ok(())
}

fn is_bridge_route(route: &str) -> bool {
    RelayRoute::parse(route).is_ok_and(|route| is_bridge(&route.address))
}

/// The one relay that is meant.
fn one(relays: impl IntoIterator<Item = Relay>, which: &str) -> Option<Relay> {
    let fits = |relay: &Relay| relay.address == which || (which.len() >= 4 && relay.id.starts_with(which));
    let mut found = relays.into_iter().filter(fits);
    let first = found.next();
    first.filter(|_| found.next().is_none())
}

async fn forget_address(client: &mut Client, forget: &RelaysForget) -> Result<(), CommandError> {
    let relay = one(known(client).await?, &forget.relay).ok_or(CommandError::NoSuchRelay)?;
    let has = relay.ways.iter().any(|way| way.address == forget.address);
    if !has {
        return Err(CommandError::NoSuchAddress);
    }
    let wish = RelayForgetWay {
        id: relay.id,
        address: forget.address.clone(),
    };
    let _: Value = client.call("relay.forgetWay", &wish).await?;
    show::note("the relay is not dialled there any more");
    Ok(())
}

async fn remove(client: &mut Client, which: &str) -> Result<(), CommandError> {
    let own = known(client).await?.into_iter().filter(|relay| relay.own);
    let id = one(own, which).ok_or(CommandError::NoOwnRelay)?.id;
    let _: Value = client.call("relay.remove", &ById { id }).await?;
    show::note(
        "contacts hear of it by themselves, and put nothing there any more; what lies there is fetched for a month",
    );
    Ok(())
}
