//! What is missing, and who asks for it: messages that others name and that are not here.
//!
//! In: parents and heads that others name; their lists. Out: want lists of mine, after a while, for most of what is
//! missing is only late; and to `originals` what others ask for. Specified in `docs/protocol/07-conversation.md` (WNT-*).
//! Invariant: whatever members name or ask for, what is noted, asked and heard has a limit.

use super::{Conversation, Sealed, graph, originals, write};
use crate::api::Event;
use crate::defence::{self, Defence};
use crate::due::Times;
use crate::mls::Gid;
use crate::outbox::{self, Waiting};
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use stonechat_wire::ids::{AccountId, MessageId};
use stonechat_wire::message::{Kind, MessageHeader, WANTED_MAX, decode_want, encode_want};

const MINUTE_MS: u64 = 60 * 1000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
/// So long after it was named, and after each asking, a message is asked for (WNT-2).
const WAITS_MS: [u64; 6] = [
    MINUTE_MS,
    5 * MINUTE_MS,
    30 * MINUTE_MS,
    3 * HOUR_MS,
    12 * HOUR_MS,
    24 * HOUR_MS,
];
/// What no message has as its parent, but a receipt names, is asked for so often.
const TIMES_BY_RECEIPT: usize = 3;
/// Between two lists of one device in one conversation (WNT-2).
const EVERY_MS: u64 = MINUTE_MS;
/// Later than this nothing is ever due: what says so was written under a wrong clock.
const LATEST_MS: u64 = 48 * HOUR_MS;
/// In a group each waits up to so much longer for each of its accounts, by chance, and this at most: one who asks is
/// enough (WNT-3).
const JITTER_EACH_MS: u64 = 2_000;
const JITTER_MS: u64 = 5 * MINUTE_MS;
/// Missing messages of one conversation that are noted (WNT-1).
const NOTED_MAX: u32 = 1_024;
/// Lists of one account that are heard: one in so long (WNT-4).
const HEARD_EVERY_MS: u64 = 30 * 1000;

/// By what a missing message is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// It is the parent of one that is here.
    AsParent,
    /// A receipt says that somebody has it.
    InReceipt,
}

/// Notes which of these are not here.
pub(crate) fn note(step: &Step<'_, '_>, of: &Conversation, named: &[[u8; 8]], by: Named) -> Result<(), Stop> {
    if of.hidden {
        return Ok(()); // RCP-4: nobody hears from me there
    }
    let times = match by {
        Named::AsParent => WAITS_MS.len(),
        Named::InReceipt => TIMES_BY_RECEIPT,
    };
    let most = if defence::holds(Defence::NotedMax) {
        NOTED_MAX
    } else {
        u32::MAX
    };
    for short in named {
        if graph::held(step, &of.group, *short)?.is_some() {
            continue;
        }
        let due = in_turn(step, of, 0);
        step.tx
            .prepare_cached(
                // What only receipts named until now is asked for more often once a message waits for it.
                "INSERT INTO want(group_id, short, times, asked, due_at)
                 SELECT ?1, ?2, ?3, 0, ?4 WHERE (SELECT count(*) FROM want WHERE group_id = ?1) < ?5
                 ON CONFLICT DO UPDATE SET times = excluded.times, due_at = coalesce(due_at, excluded.due_at)
                 WHERE times < excluded.times",
            )?
            .execute(params![
                of.group,
                short,
                u8::try_from(times).unwrap_or(u8::MAX),
                due,
                most
            ])?;
    }
    Ok(())
}

/// When what was asked for so often is asked for next, by the device clock.
fn in_turn(step: &Step<'_, '_>, of: &Conversation, asked: usize) -> Option<i64> {
    let wait = WAITS_MS.get(asked)?;
    let most = JITTER_EACH_MS.saturating_mul(of.accounts as u64).min(JITTER_MS);
    let jitter = if of.is_crowd() {
        u64::from_be_bytes(step.mls.crypto.bytes()) % most
    } else {
        0 // nobody else asks
    };
    Some(step.now.0.saturating_add(*wait).saturating_add(jitter).cast_signed())
}

/// A message is here: nobody asks for it any more.
pub(crate) fn arrived(step: &Step<'_, '_>, group: &Gid, id: MessageId) -> Result<(), Stop> {
    step.tx
        .prepare_cached("DELETE FROM want WHERE group_id = ? AND short = ?")?
        .execute(params![group, id.short()])?;
    Ok(())
}

/// Sends the lists whose time has come.
pub(crate) fn ask_due(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    // Two searches of the index, as in the outbox.
    let sql = "SELECT group_id FROM want WHERE due_at <= ? UNION SELECT group_id FROM want WHERE due_at > ?";
    let (now, far) = range(step);
    let groups: Vec<Gid> = step
        .tx
        .prepare_cached(sql)?
        .query_map([now, far], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    groups.iter().try_for_each(|group| ask(step, group))
}

/// What is due is at most the first, or more than the second.
fn range(step: &Step<'_, '_>) -> (i64, i64) {
    let now = step.now.0;
    (now.cast_signed(), now.saturating_add(LATEST_MS).cast_signed())
}

/// When the next one falls due.
pub(crate) const TIMES: Times = Times::of(
    "SELECT min(due_at) FROM want WHERE due_at IS NOT NULL",
    "SELECT max(due_at) FROM want WHERE due_at IS NOT NULL",
    LATEST_MS,
);

fn ask(step: &mut Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    let of = super::load(step, group)?.ok_or(Stop::Refused("no such conversation"))?;
    if of.gone {
        return rest(step, group);
    }
    if asked_lately(step, group)? {
        return Ok(());
    }
    let due = due(step, group)?;
    for (short, asked) in &due {
        let next = in_turn(step, &of, *asked + 1);
        step.tx
            .prepare_cached(
                "UPDATE want SET asked = asked + 1, due_at = CASE WHEN asked + 1 < times THEN ?3 END
                 WHERE group_id = ?1 AND short = ?2",
            )?
            .execute(params![group, short, next])?;
    }
    step.tx
        .prepare_cached("UPDATE conversation SET want_at = ? WHERE group_id = ?")?
        .execute(params![step.now.0.cast_signed(), group])?;
    let wanted: Vec<[u8; 8]> = due.iter().map(|(short, _)| *short).collect();
    say(step, &of, &wanted)?;
    if due.iter().any(|(_, asked)| *asked == 0) {
        // What is on screen says that it was asked for.
        step.event(Event::Ingested { messages: 0 });
    }
    Ok(())
}

/// Who is out asks nobody, and asks again if it is added again.
fn rest(step: &Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    step.tx
        .prepare_cached("UPDATE want SET due_at = NULL WHERE group_id = ?")?
        .execute([group])?;
    Ok(())
}

/// I am in the conversation again: what was missing is asked for from the first time on.
pub(crate) fn begin_again(step: &Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    let of = super::load(step, group)?.ok_or(Stop::Refused("no such conversation"))?;
    step.tx
        .prepare_cached("UPDATE want SET asked = 0, due_at = ?2 WHERE group_id = ?1")?
        .execute(params![group, in_turn(step, &of, 0)])?;
    Ok(())
}

/// The last list is not a minute old: the next one waits until it is.
fn asked_lately(step: &Step<'_, '_>, group: &Gid) -> Result<bool, Stop> {
    let last: i64 = step
        .tx
        .prepare_cached("SELECT want_at FROM conversation WHERE group_id = ?")?
        .query_row([group], |row| row.get(0))?;
    let (now, far) = range(step);
    let next = last.saturating_add_unsigned(EVERY_MS);
    if last > now || next <= now {
        return Ok(false);
    }
    step.tx
        .prepare_cached("UPDATE want SET due_at = ?1 WHERE group_id = ?2 AND (due_at <= ?3 OR due_at > ?4)")?
        .execute(params![next, group, now, far])?;
    Ok(true)
}

/// What the next list names, and how often each was asked for.
fn due(step: &Step<'_, '_>, group: &Gid) -> Result<Vec<([u8; 8], usize)>, Stop> {
    let (now, far) = range(step);
    let most = u32::try_from(WANTED_MAX).unwrap_or(u32::MAX);
    Ok(step
        .tx
        .prepare_cached(
            "SELECT short, asked FROM want WHERE group_id = ? AND (due_at <= ? OR due_at > ?)
             ORDER BY due_at, short LIMIT ?",
        )?
        .query_map(params![group, now, far, most], |row| {
            Ok((row.get(0)?, row.get::<_, u8>(1)?.into()))
        })?
        .collect::<Result<_, _>>()?)
}

fn say(step: &mut Step<'_, '_>, of: &Conversation, wanted: &[[u8; 8]]) -> Result<(), Stop> {
    // An older list that still waits is asked again by this one, or soon.
    outbox::done(step, Waiting::Again, &of.group)?;
    let header = MessageHeader {
        kind: Kind::Want,
        read_through: false,
        seq: 0,
        hlc: step.time.0,
        parents: vec![],
    };
    write(step, of, &header, &encode_want(wanted))?;
    Ok(())
}

/// Takes in somebody's list: what I have is answered if that falls to me, what I lack too I need not ask for yet.
pub(crate) fn take_in(step: &mut Step<'_, '_>, of: &Conversation, by: Sealed, body: &[u8]) -> Result<(), Stop> {
    let wanted = decode_want(body).map_err(|_| Stop::Refused("want list"))?;
    if of.hidden || of.gone || !hears(step, &of.group, by.account)? {
        return Ok(());
    }
    for short in wanted {
        match graph::held(step, &of.group, short)? {
            Some(held) => originals::asked(step, of, by.account, &held)?,
            None => put_off(step, of, short)?,
        }
    }
    Ok(())
}

/// One list of each account is heard in a while.
fn hears(step: &Step<'_, '_>, group: &Gid, from: AccountId) -> Result<bool, Stop> {
    let now = step.now.0.cast_signed();
    let last: Option<i64> = step
        .tx
        .prepare_cached("SELECT at FROM want_heard WHERE group_id = ? AND account = ?")?
        .query_row(params![group, from.as_bytes()], |row| row.get(0))
        .optional()?;
    let lately = |last: i64| last <= now && now < last.saturating_add_unsigned(HEARD_EVERY_MS);
    if last.is_some_and(lately) && defence::holds(Defence::ListsHeard) {
        return Ok(false);
    }
    step.tx
        .prepare_cached("INSERT OR REPLACE INTO want_heard VALUES (?, ?, ?)")?
        .execute(params![group, from.as_bytes(), now])?;
    Ok(true)
}

/// Somebody else asks for it: its answer reaches me too. This holds back the first asking only, or somebody who asks for
/// ever could keep me from ever asking.
fn put_off(step: &Step<'_, '_>, of: &Conversation, short: [u8; 8]) -> Result<(), Stop> {
    let next = in_turn(step, of, 1);
    step.tx
        .prepare_cached("UPDATE want SET asked = 1, due_at = ?3 WHERE group_id = ?1 AND short = ?2 AND asked = 0")?
        .execute(params![of.group, short, next])?;
    Ok(())
}
