//! `relays`: which relays the profile uses, and adding and taking back one's own.

use serde_json::{Value, json};
use stonechat_daemon::types::{ById, Relay, RelayAdd, Status};
use tokio::time::Instant;

use super::{account, drops};
use crate::client::{Client, PATIENCE};
use crate::failure::CommandError;
use crate::grammar::{Relays, RelaysAdd, RelaysWish};
use crate::show;

/// Does one of them; lists where nothing else is wished.
pub(super) async fn run(client: &mut Client, wish: Relays) -> Result<(), CommandError> {
    match wish.wish {
        None => list(client, wish.listing.json).await,
        Some(RelaysWish::Add(add)) => self::add(client, &add).await,
        Some(RelaysWish::Remove(remove)) => self::remove(client, &remove.relay).await,
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
    format!(
        "{id}  {} ({}, {}){dealt}",
        show::tame(&relay.address),
        account::whose(relay),
        account::state(relay)
    )
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
    show::note("contacts hear of it by themselves, once it has answered");
    Ok(())
}

async fn remove(client: &mut Client, which: &str) -> Result<(), CommandError> {
    let own: Vec<Relay> = known(client).await?.into_iter().filter(|relay| relay.own).collect();
    let fits = |relay: &&Relay| relay.address == which || (which.len() >= 4 && relay.id.starts_with(which));
    let found: Vec<&Relay> = own.iter().filter(fits).collect();
    let [relay] = found[..] else {
        return Err(CommandError::NoSuchRelay);
    };
    let _: Value = client.call("relay.remove", &ById { id: relay.id.clone() }).await?;
    show::note(
        "contacts hear of it by themselves, and put nothing there any more; what lies there is fetched for a month",
    );
    Ok(())
}
