//! What the person wants done to a message.
//!
//! In: the interface's wishes. Out: acts, written as ordinary messages and taken in here as everywhere; and what is
//! deleted for oneself alone, of which nobody is told.

use super::mentions::typed;
use super::{Found, Target, empty, may_delete, take_in, touch_quotes};
use crate::api::{self, Event, Fault, MessageKind, Reply};
use crate::content::shown::Shown;
use crate::conversation::{self, NOTHING_SHOWN, TEXT_MAX};
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use std::collections::BTreeSet;
use stonechat_wire::content::{EMOJIS_MAX, Edit, Reaction, encode_deletion};
use stonechat_wire::emoji::is_emoji;
use stonechat_wire::ids::MessageId;
use stonechat_wire::message::Kind;

/// Puts an emoji of mine on a message, or takes it back. What is so already stays so, and nobody is told.
pub(crate) fn react(step: &mut Step<'_, '_>, wish: &api::React) -> Result<Reply, Stop> {
    let target = open(step, &wish.id)?;
    if !is_emoji(&wish.emoji) {
        return Err(Stop::Fault(Fault::BadEmoji));
    }
    let mut emojis = mine(step, &target)?;
    let news = if wish.on {
        emojis.insert(wish.emoji.clone())
    } else {
        emojis.remove(&wish.emoji)
    };
    if emojis.len() > EMOJIS_MAX {
        return Err(Stop::Fault(Fault::TooManyReactions));
    }
    if news {
        let reaction = Reaction {
            target: target.id,
            emojis,
        };
        act(step, &target, Kind::Reaction, &reaction.encode())?;
    }
    shown(step, target.id)
}

/// My emojis on it.
fn mine(step: &Step<'_, '_>, target: &Target) -> Result<BTreeSet<String>, Stop> {
    let sql = "SELECT content FROM act WHERE target = ? AND kind = 0 AND sender = ? AND late = 0
               ORDER BY hlc DESC, id DESC LIMIT 1";
    let content: Option<String> = step
        .tx
        .prepare_cached(sql)?
        .query_row(params![target.id.as_bytes(), step.me()?.as_bytes()], |row| row.get(0))
        .optional()?;
    let content = content.unwrap_or_default();
    Ok(content.split_whitespace().map(str::to_owned).collect())
}

/// Writes another text in the place of one of mine.
pub(crate) fn edit(step: &mut Step<'_, '_>, wish: &api::Edit) -> Result<Reply, Stop> {
    let target = open(step, &wish.id)?;
    if !target.mine {
        return Err(Stop::Fault(Fault::NotYours));
    }
    let text = wish.text.trim();
    if text.is_empty() || text.len() > TEXT_MAX {
        return Err(Stop::Fault(Fault::BadText));
    }
    if target.is_poll {
        return Err(Stop::Fault(Fault::NotFound));
    }
    let to = conversation::writable(step, target.chat)?;
    let says = typed(step, &to, text, wish.marked)?;
    if !says_already(&conversation::loaded(step, target.id)?, text, &says) {
        let edit = Edit {
            target: target.id,
            text: says.text,
            spans: says.spans,
        };
        act(step, &target, Kind::Edit, &edit.encode())?;
    }
    shown(step, target.id)
}

/// What is typed is what stands there: as it was given to be changed, or with nothing marked.
fn says_already(now: &api::Message, typed: &str, says: &Shown) -> bool {
    match &now.typed {
        Some(before) => before == typed,
        None => now.text == says.text && says.spans.is_empty(),
    }
}

/// Deletes a message, for everybody or here alone.
pub(crate) fn delete(step: &mut Step<'_, '_>, wish: &api::Delete) -> Result<Reply, Stop> {
    let id = message_id(&wish.id)?;
    let message = conversation::loaded(step, id)?;
    if matches!(message.kind, MessageKind::Began | MessageKind::Timer) || is_hidden(step, message.chat)? {
        return Err(Stop::Fault(Fault::NotFound));
    }
    if !wish.everyone {
        forget(step, id, message.chat)?;
        step.event(Event::MessageRemoved {
            chat: message.chat,
            id: wish.id.clone(),
        });
        return Ok(Reply::Done {});
    }
    let Found::Open(target) = super::find(step, message.chat, id)? else {
        return Ok(Reply::Done {});
    };
    let to = conversation::writable(step, target.chat)?;
    if !may_delete(step, to.epoch, step.me()?, target.sender)? {
        return Err(Stop::Fault(Fault::NotYours));
    }
    act(step, &target, Kind::Deletion, &encode_deletion(target.id))?;
    Ok(Reply::Done {})
}

/// CON-7: of the message its place in the graph stays, in no chat.
pub(crate) fn forget(step: &mut Step<'_, '_>, id: MessageId, chat: api::ChatId) -> Result<(), Stop> {
    let unread = step
        .tx
        .prepare_cached("SELECT 1 FROM message WHERE id = ? AND state = 4")?
        .exists([id.as_bytes()])?;
    if let Found::Open(target) = super::find(step, chat, id)? {
        touch_quotes(step, &target)?;
    }
    empty(step, id)?;
    step.tx
        .prepare_cached(
            "UPDATE message SET chat = NULL, kind = ?, client_id = NULL, timer_s = NULL, vanish_from = NULL, vanish_at = NULL,
             back_at = NULL
             WHERE id = ?",
        )?
        .execute(params![NOTHING_SHOWN, id.as_bytes()])?;
    step.tx
        .prepare_cached("UPDATE chat SET unread = max(0, unread - ?) WHERE id = ?")?
        .execute(params![unread, chat])?;
    step.touch_chat(chat);
    Ok(())
}

/// Writes an act and takes it in here as everybody else will.
pub(super) fn act(step: &mut Step<'_, '_>, target: &Target, kind: Kind, body: &[u8]) -> Result<(), Stop> {
    let to = conversation::writable(step, target.chat)?;
    let id = conversation::tell(step, &to, kind, body)?;
    take_in(step, target.chat, id, kind, body)
}

/// A text in a chat that is shown.
pub(super) fn open(step: &Step<'_, '_>, hex: &str) -> Result<Target, Stop> {
    let id = message_id(hex)?;
    let chat = conversation::loaded(step, id)?.chat;
    match super::find(step, chat, id)? {
        Found::Open(target) if target.is_text && !target.hidden => Ok(target),
        Found::Open(_) | Found::Closed | Found::Nothing => Err(Stop::Fault(Fault::NotFound)),
    }
}

fn is_hidden(step: &Step<'_, '_>, chat: api::ChatId) -> Result<bool, Stop> {
    Ok(step
        .tx
        .prepare_cached("SELECT 1 FROM chat WHERE id = ? AND hidden = 1")?
        .exists([chat])?)
}

pub(super) fn shown(step: &Step<'_, '_>, id: MessageId) -> Result<Reply, Stop> {
    Ok(Reply::Message(Box::new(conversation::loaded(step, id)?)))
}

/// An id as the interface writes it. Anything else names nothing.
pub(crate) fn message_id(hex: &str) -> Result<MessageId, Stop> {
    hex::decode(hex)
        .ok()
        .and_then(|bytes| MessageId::from_slice(&bytes))
        .ok_or(Stop::Fault(Fault::NotFound))
}
