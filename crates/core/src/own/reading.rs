//! What was read here, for the other devices of this account, where no receipt says it to them (OWN-10).
//!
//! In: that something was read, what another device of mine has read. Out: word to the others, once in five seconds and
//! conversation; messages read here. What is not here yet is read when it comes.

use super::told::tell_all;
use crate::api::ChatId;
use crate::conversation::{self, Conversation, receipts};
use crate::due::Times;
use crate::mls::Gid;
use crate::step::{Step, Stop};
use rusqlite::params;
use stonechat_wire::ids::{DeviceId, MessageId};
use stonechat_wire::own::Own;

/// After the first message that was read, so long what else is read goes with it.
const EVERY_MS: u64 = receipts::EVERY_MS;

/// Messages of this chat were read here. Receipts and headers say so themselves where others may know (OWN-6).
pub(crate) fn reading(step: &Step<'_, '_>, chat: ChatId) -> Result<(), Stop> {
    let due = step.now.0.saturating_add(EVERY_MS).cast_signed();
    step.tx
        .prepare_cached(
            "UPDATE conversation SET own_read_due = coalesce(own_read_due, ?2)
             WHERE chat = ?1 AND (?3 OR accounts > 8)
               AND EXISTS (SELECT 1 FROM own_device WHERE group_id IS NOT NULL)",
        )?
        .execute(params![chat, due, !receipts::may_tell_reading(step)?])?;
    Ok(())
}

/// Tells the other devices what was read, where that is due.
pub(crate) fn tell_read(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let now = step.now.0;
    let due: Vec<Gid> = step
        .tx
        .prepare_cached(
            "SELECT group_id FROM conversation INDEXED BY conversation_own_read
             WHERE own_read_due IS NOT NULL AND (own_read_due <= ?1 OR own_read_due > ?2)",
        )?
        .query_map([now, now.saturating_add(EVERY_MS)].map(u64::cast_signed), |row| {
            row.get(0)
        })?
        .collect::<Result<_, _>>()?;
    for group in due {
        step.tx
            .prepare_cached("UPDATE conversation SET own_read_due = NULL WHERE group_id = ?")?
            .execute([group])?;
        let Some(of) = conversation::load(step, &group)? else {
            continue;
        };
        if let Some(message) = receipts::read_mark(step, &of)? {
            tell_all(step, &Own::Read { group, message }, None)?;
        }
    }
    Ok(())
}

/// When the next word is due.
pub(crate) const TIMES: Times = Times::of(
    "SELECT min(own_read_due) FROM conversation INDEXED BY conversation_own_read WHERE own_read_due IS NOT NULL",
    "SELECT max(own_read_due) FROM conversation INDEXED BY conversation_own_read WHERE own_read_due IS NOT NULL",
    EVERY_MS,
);

/// Another device of mine has read up to this message.
pub(super) fn came(step: &mut Step<'_, '_>, from: DeviceId, group: Gid, message: MessageId) -> Result<(), Stop> {
    let Some(of) = conversation::load(step, &group)?.filter(|of| !of.own && !of.saved) else {
        return Ok(());
    };
    if !conversation::read_elsewhere(step, &of, message.short())? {
        step.tx
            .prepare_cached("UPDATE conversation SET read_awaited = ? WHERE group_id = ?")?
            .execute(params![message.as_bytes(), group])?;
    }
    tell_all(step, &Own::Read { group, message }, Some(from))
}

/// A message has come: another device of mine may have said that it was read.
pub(crate) fn arrived(step: &mut Step<'_, '_>, of: &Conversation, id: MessageId) -> Result<(), Stop> {
    let awaited = step
        .tx
        .prepare_cached("UPDATE conversation SET read_awaited = NULL WHERE group_id = ? AND read_awaited = ?")?
        .execute(params![of.group, id.as_bytes()])?;
    if awaited > 0 {
        conversation::read_elsewhere(step, of, id.short())?;
    }
    Ok(())
}
