//! `restore`: an account comes back from its words.

use std::time::Duration;

use serde_json::{Value, json};
use stonechat_daemon::types::{self, Fault, Me, RestoreState, Restoring, Status};
use tokio::time::Instant;

use crate::client::{Client, Place};
use crate::failure::CommandError;
use crate::grammar::Restore;
use crate::show;

/// What a person can do while nothing is found.
const FURTHER: &str = "give another door with `restore` and the same words, or go on without contacts and groups: \
                       `restore --give-up NAME`";

/// Refuses what brings nothing back, before anything is made for it.
pub(super) fn check(restore: &Restore) -> Result<(), CommandError> {
    if restore.give_up.is_some() {
        return Ok(());
    }
    let checked = wish_of(restore)?.check();
    checked.map_err(|fault| CommandError::Refused(fault.into()))
}

/// The grammar sees to it that both are there.
fn wish_of(restore: &Restore) -> Result<types::Restore, CommandError> {
    let words = restore.words_file.as_deref().map(crate::read_file).transpose()?;
    Ok(types::Restore {
        words: words.unwrap_or_default(),
        door: restore.door.clone().unwrap_or_default(),
    })
}

/// Makes the account and waits until its people and groups are there, and have answered if they can. While it is looked
/// for: takes another door, or gives up.
pub(super) async fn restore(client: &mut Client, restore: &Restore, place: &Place) -> Result<(), CommandError> {
    if let Some(name) = &restore.give_up {
        return give_up(client, name, restore.json).await;
    }
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
        told(&me.id, &name, &restoring)?;
    } else {
        show::line(&me.id)?;
        print(&restoring)?;
    }
    match restoring.state {
        RestoreState::Found => {
            show::note("messages of before do not come back; verified contacts stay verified");
            Ok(())
        }
        RestoreState::DoorSpent => Err(CommandError::Link(format!(
            "nobody answers at this invitation any more; {FURTHER}"
        ))),
        RestoreState::Looking | RestoreState::GivenUp => Err(CommandError::Other(anyhow::anyhow!(
            "the account was not found yet; it is looked for whenever this profile runs; {FURTHER}"
        ))),
    }
}

async fn give_up(client: &mut Client, name: &str, as_json: bool) -> Result<(), CommandError> {
    let given_up = client.call::<Value>("restore.giveUp", json!({ "name": name })).await;
    given_up.map_err(not_looking)?;
    let status: Status = client.call("status", json!({})).await?;
    let Some(restoring) = status.restoring else {
        return Ok(());
    };
    let id = status.me.map_or_else(String::new, |me| me.id);
    if as_json {
        return told(&id, name, &restoring);
    }
    show::line(&id)?;
    print(&restoring)
}

/// What core does not find is a search that goes on.
fn not_looking(error: CommandError) -> CommandError {
    match error {
        CommandError::Refused(failure) if failure.kind == Fault::NotFound => CommandError::NotLooking,
        other => other,
    }
}

fn told(id: &str, name: &str, restoring: &Restoring) -> Result<(), CommandError> {
    show::json_line(&json!({
        "id": id, "name": name, "state": restoring.state, "madeAt": restoring.made_at,
        "people": restoring.people, "groups": restoring.groups, "leftOut": restoring.left_out,
    }))
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
        RestoreState::Looking => format!("restore: looking for the account; {FURTHER}"),
        RestoreState::GivenUp => "restore: gone on without contacts and groups".to_owned(),
        RestoreState::DoorSpent => format!("restore: nobody answers at that invitation; {FURTHER}"),
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
