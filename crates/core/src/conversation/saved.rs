//! Saved messages: a chat with oneself, kept on this device.
//!
//! In: what the person writes there. Out: message rows, and nothing else: no envelope, no commit, no receipt. Everything
//! that is done to messages elsewhere is done to them too (CON-24).

use super::{Conversation, insert_mine, next_header};
use crate::api::{ByChat, ChatId, MessageState, Reply};
use crate::content::{shown::Shown, vanish};
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use stonechat_wire::ids::{EpochId, MessageId};
use stonechat_wire::message::{self, Kind};

/// No conversation of MLS has this id: those are random.
const NO_GROUP: [u8; 16] = [0; 16];
const NO_EPOCH: EpochId = EpochId::from_bytes([0; 16]);

/// The chat, made where there is none yet.
pub(crate) fn open(step: &mut Step<'_, '_>) -> Result<Reply, Stop> {
    step.me()?;
    let known: Option<ChatId> = step
        .tx
        .prepare_cached("SELECT id FROM chat WHERE saved = 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let chat = match known {
        Some(chat) => chat,
        None => begin(step)?,
    };
    Ok(Reply::Chat(ByChat { chat }))
}

fn begin(step: &mut Step<'_, '_>) -> Result<ChatId, Stop> {
    let now = step.time.0.cast_signed();
    step.tx.execute(
        "INSERT INTO chat(name, saved, hidden, waiting, read_to, active_at) VALUES ('', 1, 0, 0, ?, ?)",
        params![i64::MIN / 4096, now],
    )?;
    let chat = step.tx.last_insert_rowid();
    step.tx.execute(
        "INSERT INTO conversation(group_id, chat, root, head, leaf, seq, signer, waiting, accounts, renew_at, created_at)
         VALUES (?1, ?2, ?3, ?3, 0, 0, zeroblob(32), 0, 1, ?4, ?4)",
        params![NO_GROUP, chat, NO_EPOCH.as_bytes(), now],
    )?;
    step.touch_chat(chat);
    Ok(chat)
}

/// Whether a conversation is the one with oneself.
pub(crate) fn is_own(step: &Step<'_, '_>, epoch: EpochId) -> Result<bool, Stop> {
    let sql = "SELECT 1 FROM chat WHERE saved = 1";
    Ok(epoch == NO_EPOCH && step.tx.prepare_cached(sql)?.exists([])?)
}

/// Writes a message there: it is where it shall be at once.
pub(super) fn put(
    step: &mut Step<'_, '_>,
    to: &Conversation,
    kind: Kind,
    body: &[u8],
    (shown, client_id): (&Shown, Option<&str>),
) -> Result<MessageId, Stop> {
    let header = next_header(step, to, kind)?;
    let id = message::message_id(&to.group, to.epoch, to.leaf, &header.encode(), body);
    insert_mine(step, to, (id, &header), (shown, client_id))?;
    step.tx
        .prepare_cached("UPDATE message SET state = ?, acked = 2 WHERE id = ?")?
        .execute(params![MessageState::Read as u8, id.as_bytes()])?;
    vanish::left(step, id)?;
    Ok(id)
}
