//! Polls: what members have chosen.
//!
//! In: a poll's choices, and the acts on its message. Out: [`Poll`]. Of each account the newest vote before the poll's end
//! counts, whatever came first (CON-21, CON-22).

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::api::{Choice, Poll};
use crate::store::StoreError;

/// Names told with one choice.
const NAMES_TOLD: usize = 16;
/// The first end that counts; ends by others than the author are not kept.
pub(super) const END: &str = "
    SELECT hlc, id FROM act WHERE target = ? AND kind = 5 AND late = 0 ORDER BY hlc, id LIMIT 1";
/// Newest last, of each account.
pub(super) const VOTES: &str = "
    SELECT a.sender, a.content, a.hlc, a.id, a.sender = o.account AS mine, CASE a.sender WHEN o.account THEN o.name ELSE
           coalesce((SELECT coalesce(nullif(alias, ''), own_name) FROM contact WHERE account = a.sender),
                    (SELECT name FROM seat WHERE chat = a.chat AND account = a.sender)) END AS name
    FROM act a CROSS JOIN account o WHERE a.target = ? AND a.kind = 4 AND a.late = 0 ORDER BY a.sender, a.hlc, a.id";

/// When something was said: all agree which of two came first.
type Moment = (i64, Vec<u8>);

struct Said {
    choices: Vec<usize>,
    mine: bool,
    name: String,
}

/// A poll of which nothing is counted yet.
pub(super) fn poll(column: Option<&[u8]>) -> Option<Poll> {
    let read = stonechat_wire::poll::Poll::decode(column?).ok()?;
    let choice = |text| Choice {
        text,
        count: 0,
        mine: false,
        names: Vec::new(),
    };
    Some(Poll {
        several: read.several,
        closed: false,
        voters: 0,
        choices: read.choices.into_iter().map(choice).collect(),
    })
}

/// Counts the votes.
pub(super) fn count(db: &Connection, id: &[u8], poll: &mut Poll) -> Result<(), StoreError> {
    let mut ends = db.prepare_cached(END)?;
    let end: Option<Moment> = ends.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    poll.closed = end.is_some();
    let mut votes = db.prepare_cached(VOTES)?;
    let mut rows = votes.query([id])?;
    let mut said: BTreeMap<Vec<u8>, Said> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let moment: Moment = (row.get("hlc")?, row.get("id")?);
        if end.as_ref().is_none_or(|end| moment < *end) {
            said.insert(row.get("sender")?, vote(row, poll)?);
        }
    }
    for vote in said.into_values() {
        add(poll, &vote);
    }
    Ok(())
}

/// What the poll does not allow chooses nothing.
fn vote(row: &Row<'_>, poll: &Poll) -> rusqlite::Result<Said> {
    let content: String = row.get("content")?;
    let numbers = content.split_whitespace().filter_map(|number| number.parse().ok());
    let choices: Vec<usize> = numbers.filter(|number| *number < poll.choices.len()).collect();
    Ok(Said {
        choices: if choices.len() > 1 && !poll.several {
            Vec::new()
        } else {
            choices
        },
        mine: row.get("mine")?,
        name: row.get::<_, Option<String>>("name")?.unwrap_or_default(),
    })
}

fn add(poll: &mut Poll, vote: &Said) {
    poll.voters = poll.voters.saturating_add(u32::from(!vote.choices.is_empty()));
    for number in &vote.choices {
        let Some(choice) = poll.choices.get_mut(*number) else {
            continue;
        };
        choice.count = choice.count.saturating_add(1);
        choice.mine |= vote.mine;
        if choice.names.len() < NAMES_TOLD {
            choice.names.push(vote.name.clone());
        }
    }
}
