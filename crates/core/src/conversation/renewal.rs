//! Self-updates: when this device renews its keys in a conversation, so that a thief of the old ones reads no more.
//!
//! In: the device clock, commits seen, self-updates that lost to a fork. Out: commits of class renewal. Never tied to a
//! message, so that writing tells nobody when keys change; but one that lost is made up for before its leaf writes.
//! Specified in `docs/protocol/09-forks.md` (RNW-*).

use super::epochs::Meanwhile;
use super::{Conversation, epochs};
use crate::defence::{self, Defence};
use crate::due::Times;
use crate::mls::{Gid, Wish};
use crate::roles::Judged;
use crate::step::{Step, Stop};
use rusqlite::params;
use stonechat_wire::group::{LARGE_SEATS_MAX, Note};
use stonechat_wire::ids::{EpochId, RelayId};

const HOUR_MS: u64 = 3600 * 1000;
/// At least this long between two renewals of one leaf (RNW-1).
pub(crate) const EVERY_MS: u64 = 24 * HOUR_MS;
/// ... or so long for each account of the conversation (RNW-1).
const EVERY_EACH_MS: u64 = 3 * HOUR_MS;
/// A renewal comes up to so much later, by chance (RNW-1).
const JITTER_MS: u64 = 6 * HOUR_MS;
/// So long after any commit nobody renews (RNW-2).
pub(crate) const QUIET_MS: u64 = 3 * HOUR_MS;
/// Commits of one conversation in a day after which nobody renews (RNW-2).
const A_DAY: u32 = 8;
/// Renewals of mine that nobody has answered: no more until somebody does (RNW-3).
const UNHEARD_MAX: u32 = 2;
/// So long after a relay is reached again, and up to so much longer by chance, nobody renews (RNW-5).
pub(crate) const READING_MS: u64 = 15 * 1000;
const READING_SPREAD_MS: u64 = 45 * 1000;
/// Later than this no renewal is ever due: what says so was written under a wrong clock.
const LATEST_MS: u64 = EVERY_MS + LARGE_SEATS_MAX as u64 * EVERY_EACH_MS + JITTER_MS;

/// When the first renewal of a conversation that begins is due, by the device clock. Among many, whose leaves are all new at
/// once, each takes a moment of its own in the whole of the interval: else all would be due on the same day (RNW-1).
pub(crate) fn first(step: &Step<'_, '_>, members: usize) -> i64 {
    let spread = if members > epochs::ALL_CONFIRM_MAX {
        EVERY_EACH_MS.saturating_mul(members as u64)
    } else {
        JITTER_MS
    };
    let chance = u64::from_be_bytes(step.mls.crypto.bytes()) % spread;
    step.now.0.saturating_add(EVERY_MS).saturating_add(chance).cast_signed()
}

fn jitter(step: &Step<'_, '_>) -> u64 {
    u64::from_be_bytes(step.mls.crypto.bytes()) % JITTER_MS
}

/// Where a renewal is ever due: others are there, and a relay by which they hear of it (RNW-5).
macro_rules! may_renew {
    () => {
        "FROM conversation v INDEXED BY conversation_renew CROSS JOIN chat c ON c.id = v.chat
    WHERE v.waiting = 0 AND v.gone = 0 AND c.hidden = 0 AND c.saved = 0
      AND EXISTS (SELECT 1 FROM conversation_relay o JOIN relay r USING (relay) WHERE o.group_id = v.group_id AND r.gone = 0 AND r.near < 2)"
    };
}

/// Renews whatever is due.
pub(crate) fn renew_due(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let now = step.now.0;
    let sql = concat!(
        "SELECT v.group_id ",
        may_renew!(),
        " AND (v.renew_at <= ? OR v.renew_at > ?)"
    );
    let due: Vec<Gid> = step
        .tx
        .prepare_cached(sql)?
        .query_map(
            params![now.cast_signed(), now.saturating_add(LATEST_MS).cast_signed()],
            |row| row.get(0),
        )?
        .collect::<Result<_, _>>()?;
    for group in due {
        if may_commit(step, &group)? && may_here(step, &group)? && defence::holds(Defence::RenewedDaily) {
            renew(step, &group)?;
        } else {
            put_off(step, &group)?;
        }
    }
    Ok(())
}

/// When the next one is due.
pub(crate) const TIMES: Times = Times::of(
    concat!("SELECT min(v.renew_at) ", may_renew!()),
    concat!("SELECT max(v.renew_at) ", may_renew!()),
    LATEST_MS,
);

/// RNW-2 and RNW-3.
fn may_commit(step: &Step<'_, '_>, group: &Gid) -> Result<bool, Stop> {
    let now = step.now.0.cast_signed();
    let last: i64 = step
        .tx
        .prepare_cached("SELECT commit_at FROM conversation WHERE group_id = ?")?
        .query_row([group], |row| row.get(0))?;
    let quiet = last > now || last <= now.saturating_sub_unsigned(QUIET_MS);
    // A member who has left waits for anybody's next commit: that one is not put off.
    if crate::group::somebody_leaves(step, group)? {
        return Ok(true);
    }
    let unheard: u32 = step
        .tx
        .prepare_cached("SELECT count(DISTINCT about) FROM outbox WHERE group_id = ? AND purpose = 4")?
        .query_row([group], |row| row.get(0))?;
    Ok(quiet && unheard < UNHEARD_MAX && has_room(step, group)?)
}

/// One more today is seen by others, and not one too many (RNW-2, RNW-5).
fn has_room(step: &Step<'_, '_>, group: &Gid) -> Result<bool, Stop> {
    let day_ago = step.time.0.saturating_sub(24 * HOUR_MS).cast_signed();
    let commits: u32 = step
        .tx
        .prepare_cached("SELECT count(*) FROM epoch WHERE group_id = ? AND made_at > ? AND parent IS NOT NULL")?
        .query_row(params![group, day_ago], |row| row.get(0))?;
    Ok(commits < A_DAY && !is_out_of_reach(step, group)?)
}

/// RNW-6: on the head no commit of mine is there.
fn may_here(step: &Step<'_, '_>, group: &Gid) -> Result<bool, Stop> {
    let of = super::load(step, group)?.ok_or(Stop::Refused("no such conversation"))?;
    Ok(!epochs::has_committed(step, &of)?)
}

/// RNW-5: no relay of the conversation is reached, or something of mine has waited for long and none has stored it. What I
/// commit now others cannot see: they commit on the same epoch.
fn is_out_of_reach(step: &Step<'_, '_>, group: &Gid) -> Result<bool, Stop> {
    let sql = "SELECT count(*), sum(r.gone) FROM conversation_relay c JOIN relay r USING (relay) WHERE c.group_id = ? AND r.near < 2";
    let (relays, gone): (u32, Option<u32>) = step
        .tx
        .prepare_cached(sql)?
        .query_row([group], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if relays > 0 && gone == Some(relays) {
        return Ok(true);
    }
    let sql = "SELECT 1 FROM outbox o INDEXED BY outbox_by_age WHERE o.sealed_at < ? AND o.group_id = ?
               AND NOT EXISTS (SELECT 1 FROM outbox_relay r WHERE r.outbox = o.id AND r.stored = 1)";
    let since = step.now.0.saturating_sub(HOUR_MS).cast_signed();
    Ok(step.tx.prepare_cached(sql)?.exists(params![since, group])?)
}

/// The connection to this relay is lost, or there is none to any: the program has just started, or all are away.
pub(crate) fn unreached(step: &Step<'_, '_>, relay: Option<RelayId>) -> Result<(), Stop> {
    let relay = relay.as_ref().map(RelayId::as_bytes);
    step.tx
        .prepare_cached(
            "UPDATE relay SET gone = 1, gone_at = ?2, answered_at = iif(?1 IS NULL, answered_at, ?2)
             WHERE relay = coalesce(?1, relay) AND gone = 0",
        )?
        .execute(params![relay, step.time.0.cast_signed()])?;
    Ok(())
}

/// No relay but near ones is reached.
pub(crate) fn offline(step: &Step<'_, '_>) -> Result<(), Stop> {
    step.tx
        .prepare_cached("UPDATE relay SET gone = 1, gone_at = ? WHERE near = 0 AND gone = 0")?
        .execute([step.time.0.cast_signed()])?;
    Ok(())
}

/// A relay is reached again: what has fallen due waits a little, for others may have committed meanwhile (RNW-5).
pub(crate) fn reached(step: &Step<'_, '_>, relay: RelayId) -> Result<(), Stop> {
    let again = step
        .tx
        .prepare_cached("UPDATE relay SET gone = 0 WHERE relay = ? AND gone = 1")?
        .execute([relay.as_bytes()])?;
    if again == 0 {
        return Ok(());
    }
    let chance = u64::from_be_bytes(step.mls.crypto.bytes()) % READING_SPREAD_MS;
    let at = step
        .now
        .0
        .saturating_add(READING_MS)
        .saturating_add(chance)
        .cast_signed();
    crate::group::again::read_first(step, relay)?;
    step.tx
        .prepare_cached(
            "UPDATE conversation SET renew_at = ?1
             WHERE renew_at < ?1 AND group_id IN (SELECT group_id FROM conversation_relay WHERE relay = ?2)",
        )?
        .execute(params![at, relay.as_bytes()])?;
    Ok(())
}

fn put_off(step: &Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    let at = step.now.0.saturating_add(QUIET_MS).saturating_add(jitter(step) / 2);
    step.tx
        .prepare_cached("UPDATE conversation SET renew_at = ? WHERE group_id = ?")?
        .execute(params![at.cast_signed(), group])?;
    Ok(())
}

/// Renews my leaf's keys on the head.
pub(crate) fn renew(step: &mut Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    let of = super::load(step, group)?.ok_or(Stop::Refused("no such conversation"))?;
    let every = EVERY_MS.max(EVERY_EACH_MS.saturating_mul(of.accounts as u64));
    let at = step.now.0.saturating_add(every).saturating_add(jitter(step));
    step.tx
        .prepare_cached("UPDATE conversation SET renew_at = ?, renew_lost = 0 WHERE group_id = ?")?
        .execute(params![at.cast_signed(), group])?;
    if crate::group::carry_out_leaves(step, &of)? {
        return Ok(());
    }
    let judged = Judged::renewal(crate::group::rank(step, &of)?);
    epochs::commit(step, &of, &Wish::default(), &judged, &Note::default())?;
    Ok(())
}

/// Brings the next renewal forward to within `most`, by chance.
pub(crate) fn hasten(step: &Step<'_, '_>, group: &Gid, most_ms: u64) -> Result<(), Stop> {
    let wait = u64::from_be_bytes(step.mls.crypto.bytes()) % most_ms.max(1);
    step.tx
        .prepare_cached("UPDATE conversation SET renew_at = min(renew_at, ?) WHERE group_id = ?")?
        .execute(params![step.now.0.saturating_add(wait).cast_signed(), group])?;
    Ok(())
}

/// A renewal of mine lost to a fork: it is made up for soon, or before I write if that is sooner (RNW-4).
pub(crate) fn lost(step: &Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    step.tx
        .prepare_cached("UPDATE conversation SET renew_lost = 1 WHERE group_id = ?")?
        .execute([group])?;
    put_off(step, group)
}

/// Before I write: makes up for what was lost, if the day has room for it. Out: the epoch to write in.
pub(crate) fn before_writing(step: &mut Step<'_, '_>, of: &Conversation) -> Result<Option<EpochId>, Stop> {
    match epochs::meanwhile(step, of)? {
        Meanwhile::Head => {}
        Meanwhile::Branch(end) => return Ok(Some(end)),
        Meanwhile::Nowhere => return Ok(None),
    }
    let lost: bool = step
        .tx
        .prepare_cached("SELECT renew_lost FROM conversation WHERE group_id = ?")?
        .query_row([of.group], |row| row.get(0))?;
    if !lost || epochs::has_committed(step, of)? || !has_room(step, &of.group)? {
        return Ok(Some(of.epoch));
    }
    renew(step, &of.group)?;
    let after = super::load(step, &of.group)?.ok_or(Stop::Refused("no such conversation"))?;
    Ok(Some(after.epoch))
}
