//! `restore`: an account comes back from its words.

use std::time::Duration;

use serde_json::json;
use stonechat_daemon::types::{self, Me, RestoreState, Restoring, Status};
use tokio::time::Instant;

use crate::client::{Client, Place};
use crate::failure::CommandError;
use crate::grammar::Restore;
use crate::show;

/// Refuses what brings nothing back, before anything is made for it.
pub(super) fn check(restore: &Restore) -> Result<(), CommandError> {
    let checked = wish_of(restore)?.check();
    checked.map_err(|fault| CommandError::Refused(fault.into()))
}

fn wish_of(restore: &Restore) -> Result<types::Restore, CommandError> {
    Ok(types::Restore {
        words: crate::read_file(&restore.words_file)?,
        door: restore.door.clone(),
    })
}

/// Makes the account and waits until its people and groups are there, and have answered if they can.
pub(super) async fn restore(client: &mut Client, restore: &Restore, place: &Place) -> Result<(), CommandError> {
    client.subscribe().await?;
    let me: Me = client.call("restore", &wish_of(restore)?).await?;
    super::account::protect(client, place).await?;
    let end = Instant::now() + Duration::from_secs(restore.wait.into());
    let status = looked(client, end).await?;
    let Some(restoring) = status.restoring else {
        return Err(anyhow::anyhow!("the profile says nothing of coming back").into());
    };
    let name = status.me.map_or_else(String::new, |me| me.name);
    if restore.json {
        show::json_line(&json!({
            "id": me.id, "name": name, "state": restoring.state, "madeAt": restoring.made_at,
            "people": restoring.people, "groups": restoring.groups, "leftOut": restoring.left_out,
        }))?;
    } else {
        show::line(&me.id)?;
        print(&restoring)?;
    }
    match restoring.state {
        RestoreState::Found => {
            show::note("messages of before do not come back; verified contacts stay verified");
            Ok(())
        }
        RestoreState::DoorSpent => Err(CommandError::Link(
            "nobody answers at this invitation any more: ask for another one, or add a relay".to_owned(),
        )),
        RestoreState::Looking | RestoreState::GivenUp => Err(CommandError::Other(anyhow::anyhow!(
            "the account was not found yet; it is looked for whenever this profile runs"
        ))),
    }
}

/// Until it is found and everybody has answered, the door is spent, or the time is over.
async fn looked(client: &mut Client, end: Instant) -> Result<Status, CommandError> {
    loop {
        let status: Status = client.call("status", json!({})).await?;
        let goes_on = status.restoring.is_none_or(|restoring| match restoring.state {
            RestoreState::Looking => true,
            RestoreState::Found => restoring.people > 0,
            RestoreState::GivenUp | RestoreState::DoorSpent => false,
        });
        if !goes_on || Instant::now() >= end {
            return Ok(status);
        }
        client
            .event_before(end.min(Instant::now() + Duration::from_secs(1)))
            .await?;
    }
}

/// How coming back stands, in lines for a person.
pub(super) fn print(restoring: &Restoring) -> Result<(), CommandError> {
    let state = match restoring.state {
        RestoreState::Looking => "restore: looking for the account".to_owned(),
        RestoreState::GivenUp => "restore: gone on without contacts and groups".to_owned(),
        RestoreState::DoorSpent => "restore: nobody answers at that invitation".to_owned(),
        RestoreState::Found => format!(
            "restore: found, as of {}; {} people and {} groups have not answered yet",
            show::time(restoring.made_at.unwrap_or_default()),
            restoring.people,
            restoring.groups
        ),
    };
    show::line(&state)?;
    if restoring.left_out > 0 {
        show::line(&format!("restore: {} had no room and are missing", restoring.left_out))?;
    }
    Ok(())
}
