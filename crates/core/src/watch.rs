//! Does a relay give what it says it has stored? (OUT-10)
//!
//! In: envelopes of mine that leave, what relays call stored, what they push. Out: relays that withhold. Whoever reads a
//! mailbox gets its own envelopes back from it as everybody else does: one of them at a time is waited for.
//! What a relay gives to me and withholds from others is not seen here.

use crate::api::Event;
use crate::defence::{self, Defence};
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use stonechat_wire::ids::{EnvelopeId, RelayId, Tag};

/// So long after it called an envelope stored, and after its last greeting, a relay has pushed it.
const GIVEN_MS: u64 = 3600 * 1000;
/// Between two that are watched at one relay.
const EVERY_MS: u64 = 10 * 60 * 1000;
/// Later than this nothing waits: what says so was written under a wrong clock.
const LATEST_MS: u64 = 24 * 3600 * 1000;
/// So many one after the other are no accident.
pub(crate) const WITHHOLDS: u32 = 3;

/// An envelope leaves for these relays. One that was never stored is given up for the next.
pub(crate) fn leaves(step: &Step<'_, '_>, relays: &[RelayId], tag: Tag, id: EnvelopeId) -> Result<(), Stop> {
    let now = step.now.0;
    for relay in relays {
        step.tx
            .prepare_cached(
                "UPDATE relay SET watch = ?1, watch_at = NULL
                 WHERE relay = ?2 AND near = 0 AND watch_at IS NULL AND (watch_next <= ?3 OR watch_next > ?4)
                   AND EXISTS (SELECT 1 FROM listening WHERE tag = ?5 AND relay = ?2)",
            )?
            .execute(params![
                short(id),
                relay.as_bytes(),
                now.cast_signed(),
                now.saturating_add(LATEST_MS).cast_signed(),
                tag.as_bytes()
            ])?;
    }
    Ok(())
}

fn short(id: EnvelopeId) -> [u8; 16] {
    id.as_bytes().first_chunk().copied().unwrap_or_default()
}

/// A relay calls it stored: from now on it should come.
pub(crate) fn stored(step: &Step<'_, '_>, relay: RelayId, id: EnvelopeId) -> Result<(), Stop> {
    step.tx
        .prepare_cached("UPDATE relay SET watch_at = ? WHERE relay = ? AND watch = ? AND watch_at IS NULL")?
        .execute(params![step.now.0.cast_signed(), relay.as_bytes(), short(id)])?;
    Ok(())
}

/// A relay greets: what it has yet to push comes from here on.
pub(crate) fn greets(step: &Step<'_, '_>, relay: RelayId) -> Result<(), Stop> {
    step.tx
        .prepare_cached("UPDATE relay SET watch_at = ? WHERE relay = ? AND watch_at IS NOT NULL")?
        .execute(params![step.now.0.cast_signed(), relay.as_bytes()])?;
    Ok(())
}

/// A relay has pushed an envelope.
pub(crate) fn given(step: &mut Step<'_, '_>, relay: RelayId, id: EnvelopeId) -> Result<(), Stop> {
    let found: Option<u32> = step
        .tx
        .prepare_cached("SELECT withheld FROM relay WHERE relay = ? AND watch = ?")?
        .query_row(params![relay.as_bytes(), short(id)], |row| row.get(0))
        .optional()?;
    let Some(withheld) = found else { return Ok(()) };
    settle(step, relay, 0)?;
    if withheld >= WITHHOLDS {
        step.event(Event::StatusChanged {});
    }
    Ok(())
}

/// A relay talks to me: has it given what it should have?
pub(crate) fn look(step: &mut Step<'_, '_>, relay: RelayId) -> Result<(), Stop> {
    let long_ago = step.now.0.cast_signed().saturating_sub_unsigned(GIVEN_MS);
    let found: Option<u32> = step
        .tx
        .prepare_cached("SELECT withheld FROM relay WHERE relay = ? AND watch_at <= ?")?
        .query_row(params![relay.as_bytes(), long_ago], |row| row.get(0))
        .optional()?;
    let Some(withheld) = found.filter(|_| defence::holds(Defence::RelayWatched)) else {
        return Ok(());
    };
    settle(step, relay, (withheld + 1).min(WITHHOLDS))?;
    if withheld + 1 == WITHHOLDS {
        step.event(Event::StatusChanged {});
    }
    Ok(())
}

fn settle(step: &Step<'_, '_>, relay: RelayId, withheld: u32) -> Result<(), Stop> {
    let next = step.now.0.saturating_add(EVERY_MS).cast_signed();
    step.tx
        .prepare_cached("UPDATE relay SET watch = NULL, watch_at = NULL, watch_next = ?, withheld = ? WHERE relay = ?")?
        .execute(params![next, withheld, relay.as_bytes()])?;
    Ok(())
}
