//! What nobody confirms goes to further relays of its conversation (OUT-11): what reaches me need not reach the other side.
//!
//! In: messages that have been put, relays that are reached or lost, time. Out: further relays for rows of the outbox, once
//! each. Where a message goes at first is the outbox's.

use super::send;
use crate::due::Times;
use crate::step::{Step, Stop};
use rusqlite::params;
use stonechat_wire::ids::RelayId;

/// A message that nobody has confirmed after so long goes to other relays too (OUT-11); ...
const AFTER_MS: u64 = 60 * 1000;
/// ... so soon after one of its relays is reached or lost, where none has stored it, ...
const SOON_MS: u64 = 10 * 1000;
/// ... and looks so often for those that were not reached then.
const AGAIN_MS: u64 = 10 * 60 * 1000;
/// So many in one step.
const AT_ONCE: u32 = 256;

/// When the next message goes to other relays too.
pub(crate) const TIMES: Times = Times::of(
    "SELECT min(wide_at) FROM outbox WHERE wide_at IS NOT NULL",
    "SELECT max(wide_at) FROM outbox WHERE wide_at IS NOT NULL",
    AGAIN_MS,
);

/// Relays of its conversation that an outbox row does not go to.
const OTHERS: &str = "
    SELECT c.relay, r.gone FROM outbox o JOIN conversation_relay c ON c.group_id = o.group_id JOIN relay r USING (relay)
    WHERE o.id = ?1 AND c.taken_at IS NULL AND r.near = 0
      AND NOT EXISTS (SELECT 1 FROM outbox_relay p WHERE p.outbox = o.id AND p.relay = c.relay) ORDER BY c.relay";

/// A message that has just been put goes to other relays too before long, if there are others (OUT-11).
pub(super) fn note(step: &Step<'_, '_>, number: i64) -> Result<(), Stop> {
    if !step.tx.prepare_cached(OTHERS)?.exists([number])? {
        return Ok(());
    }
    look_at(step, number, step.now.plus_ms(AFTER_MS).0)
}

fn look_at(step: &Step<'_, '_>, row: i64, at: u64) -> Result<(), Stop> {
    step.tx
        .prepare_cached("UPDATE outbox SET wide_at = ? WHERE id = ?")?
        .execute(params![at.cast_signed(), row])?;
    Ok(())
}

/// A relay is reached again or is lost: of its conversations, what no relay has stored looks for others sooner (OUT-11).
pub(crate) fn look_soon(step: &Step<'_, '_>, relay: RelayId) -> Result<(), Stop> {
    let sql = "UPDATE outbox SET wide_at = min(wide_at, ?1)
               WHERE wide_at IS NOT NULL AND group_id IN (SELECT group_id FROM conversation_relay WHERE relay = ?2)
                 AND NOT EXISTS (SELECT 1 FROM outbox_relay o WHERE o.outbox = outbox.id AND o.stored = 1)";
    let at = step.now.plus_ms(SOON_MS).0.cast_signed();
    step.tx.prepare_cached(sql)?.execute(params![at, relay.as_bytes()])?;
    Ok(())
}

/// Puts what nobody has confirmed to the other relays of its conversation that are reached (OUT-11).
pub(crate) fn do_due(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let now = step.now.0.cast_signed();
    let sql = "SELECT id FROM outbox WHERE wide_at <= ?1 OR wide_at > ?2 ORDER BY wide_at, id LIMIT ?3";
    let due: Vec<i64> = step
        .tx
        .prepare_cached(sql)?
        .query_map(params![now, now.saturating_add_unsigned(AGAIN_MS), AT_ONCE], |row| {
            row.get(0)
        })?
        .collect::<Result<_, _>>()?;
    due.into_iter().try_for_each(|row| widen(step, row))
}

fn widen(step: &mut Step<'_, '_>, row: i64) -> Result<(), Stop> {
    let others: Vec<([u8; 16], bool)> = step
        .tx
        .prepare_cached(OTHERS)?
        .query_map([row], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let (away, reached): (Vec<_>, Vec<_>) = others.into_iter().partition(|(_, gone)| *gone);
    for (relay, _) in &reached {
        step.tx
            .prepare_cached("INSERT INTO outbox_relay(outbox, relay, stored) VALUES (?, ?, 0)")?
            .execute(params![row, relay])?;
    }
    if !reached.is_empty() {
        send(step, row)?;
    }
    if away.is_empty() {
        step.tx
            .prepare_cached("UPDATE outbox SET wide_at = NULL WHERE id = ?")?
            .execute([row])?;
        return Ok(());
    }
    look_at(step, row, step.now.plus_ms(AGAIN_MS).0)
}
