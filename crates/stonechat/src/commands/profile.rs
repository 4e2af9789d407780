//! `open`, `lock`, `lend`, `wipe`: what concerns the profile as a whole.

use serde_json::{Value, json};
use stonechat_daemon::home::{Home, HomeError};

use crate::client::{Client, Place};
use crate::failure::CommandError;
use crate::{desktop, show};

/// Prints a fresh address of the running interface; opens it where there is a desktop.
pub(super) async fn open(place: &Place) -> Result<(), CommandError> {
    let mut client = running(place).await?.ok_or(CommandError::NotRunning)?;
    let answer: Value = client.call("open", json!({})).await?;
    let url = answer.get("url").and_then(Value::as_str).unwrap_or_default();
    show::line(url)?;
    desktop::open(url);
    Ok(())
}

/// Locks the running profile. One that does not run is closed anyway.
pub(super) async fn lock(place: &Place) -> Result<(), CommandError> {
    match running(place).await? {
        Some(mut client) => client.call::<Value>("lock", json!({})).await.map(drop),
        None => {
            show::note("no daemon runs: there is nothing to lock");
            Ok(())
        }
    }
}

/// Lends the connection or not: at once where a daemon runs, else from the next start on.
pub(super) async fn lend(place: &Place, on: bool) -> Result<(), CommandError> {
    if let Some(mut client) = running(place).await? {
        return client.call::<Value>("lend", json!({ "on": on })).await.map(drop);
    }
    match Home::claim(&place.dir) {
        Ok(home) => Ok(home.keep_lending(on)?),
        Err(HomeError::InUse) => Err(CommandError::InUse),
        Err(HomeError::Io(error)) => Err(error.into()),
    }
}

/// Destroys the profile: through its daemon if one runs, else here. Needs no passphrase.
pub(super) async fn wipe(place: &Place) -> Result<(), CommandError> {
    if let Some(mut client) = running(place).await? {
        return client
            .call::<Value>("wipe", json!({ "confirm": "wipe" }))
            .await
            .map(drop);
    }
    match Home::claim(&place.dir) {
        Ok(home) => Ok(stonechat_daemon::wipe(&home)?),
        Err(HomeError::InUse) => Err(CommandError::InUse),
        Err(HomeError::Io(error)) => Err(error.into()),
    }
}

/// Without unlocking: none of these needs the profile open.
async fn running(place: &Place) -> Result<Option<Client>, CommandError> {
    Client::running(&Place {
        passphrase: None,
        ..place.clone()
    })
    .await
}
