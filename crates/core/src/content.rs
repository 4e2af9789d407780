//! What messages do to messages: emojis on them, other texts in their place, deletions, pins, votes.
//!
//! In: *acts* (messages of these kinds), their targets, late or not as `epochs` marks them. Out: the target's row as it
//! is shown, and word of it to the interface. An act may come before its target: it waits for it. What is shown is a
//! function of the acts that are kept, so that the order they came in changes nothing; only a deletion is for good.
//! `wishes` makes acts of what the person wants; `pins` and `polls` do so for theirs. Specified in `docs/protocol/13-content.md` (CON-*).
//! Invariant: `message.text` is what is shown; the search index follows it in the same transaction.

pub(crate) mod beside;
pub(crate) mod forward;
pub(crate) mod links;
pub(crate) mod media;
pub(crate) mod mentions;
pub(crate) mod pins;
pub(crate) mod polls;
pub(crate) mod shown;
pub(crate) mod signs;
pub(crate) mod vanish;
pub(crate) mod wishes;

use crate::api::{ChatId, Event, Fault, MessageKind};
use crate::conversation::epochs;
use crate::defence::{self, Defence};
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, Row, params};
use std::collections::BTreeSet;
use stonechat_wire::content::{Edit, Reaction, decode_deletion, decode_pin};
use stonechat_wire::group::Role;
use stonechat_wire::ids::{AccountId, EpochId, MessageId};
use stonechat_wire::message::Kind;
use stonechat_wire::poll::Vote;

/// Acts of one account in one chat that wait for their targets (CON-2).
pub(crate) const WAITING_MAX: i64 = 256;
/// Acts of one account on one target that are kept, of each kind (CON-2).
pub(crate) const KEPT_MAX: i64 = 64;
/// Messages that quote a changed one and are told one by one; of more, the interface reads all again.
const QUOTES_TOLD_MAX: usize = 64;

/// An act whose mark "late" is not its message's.
pub(crate) const TURNED: &str = "
    SELECT a.chat, a.target FROM message m CROSS JOIN act a ON a.id = m.id WHERE m.id = ? AND a.late <> m.late";

/// What an act does; the number is the column `kind` of `act`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Does {
    React = 0,
    Edit = 1,
    Delete = 2,
    Pin = 3,
    Vote = 4,
    Close = 5,
}

/// An act as its message says it.
struct Act {
    target: MessageId,
    does: Does,
    content: String,
    spans: Option<Vec<u8>>,
}

/// A message that acts change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) id: MessageId,
    pub(crate) chat: ChatId,
    pub(crate) sender: AccountId,
    pub(crate) mine: bool,
    pub(crate) is_text: bool,
    pub(crate) is_poll: bool,
    hidden: bool,
}

/// What is here under a target's id.
enum Found {
    Nothing,
    /// Of another chat, deleted, or nothing that acts change.
    Closed,
    Open(Target),
}

/// Takes in an act, its message being in its row.
pub(crate) fn take_in(
    step: &mut Step<'_, '_>,
    chat: ChatId,
    id: MessageId,
    kind: Kind,
    body: &[u8],
) -> Result<(), Stop> {
    let act = read(step, id, kind, body)?;
    if act.does == Does::Pin && !pins::counts(step, id)? {
        return Ok(());
    }
    match find(step, chat, act.target)? {
        Found::Closed => Ok(()),
        Found::Nothing => {
            keep(step, chat, id, &act, true)?;
            forget_oldest_waiting(step, chat, id)
        }
        Found::Open(here) => {
            keep(step, chat, id, &act, false)?;
            forget_oldest(step, id)?;
            settle(step, &here)?;
            touch(step, &here);
            if matches!(act.does, Does::Edit | Does::Delete) {
                touch_quotes(step, &here)?;
            }
            Ok(())
        }
    }
}

fn read(step: &Step<'_, '_>, id: MessageId, kind: Kind, body: &[u8]) -> Result<Act, Stop> {
    let act = |target, does, content| Act {
        target,
        does,
        content,
        spans: None,
    };
    match kind {
        Kind::Reaction => {
            let read = Reaction::decode(body).map_err(|_| Stop::Refused("reaction"))?;
            let emojis: Vec<String> = read.emojis.into_iter().collect();
            Ok(act(read.target, Does::React, emojis.join(" ")))
        }
        Kind::Edit => read_edit(step, id, body),
        Kind::Deletion => {
            let target = decode_deletion(body).map_err(|_| Stop::Refused("deletion"))?;
            Ok(act(target, Does::Delete, String::new()))
        }
        Kind::Pin => {
            let (target, on) = decode_pin(body).map_err(|_| Stop::Refused("pin"))?;
            Ok(act(target, Does::Pin, u8::from(on).to_string()))
        }
        Kind::Vote => {
            let read = Vote::decode(body).map_err(|_| Stop::Refused("vote"))?;
            let choices: Vec<String> = read.choices.iter().map(u8::to_string).collect();
            Ok(act(read.target, Does::Vote, choices.join(" ")))
        }
        Kind::Close => {
            let target = decode_deletion(body).map_err(|_| Stop::Refused("end of a poll"))?;
            Ok(act(target, Does::Close, String::new()))
        }
        _other => Err(Stop::Refused("no act")),
    }
}

fn read_edit(step: &Step<'_, '_>, id: MessageId, body: &[u8]) -> Result<Act, Stop> {
    let read = Edit::decode(body).map_err(|_| Stop::Refused("edit"))?;
    if read.text.trim().is_empty() {
        return Err(Stop::Refused("edit"));
    }
    let (epoch, sender) = origin(step, id)?;
    let spans = mentions::counting(step, epoch, sender, &read.spans)?;
    Ok(Act {
        target: read.target,
        does: Does::Edit,
        content: read.text,
        spans: (!spans.is_empty()).then(|| spans.encode()),
    })
}

/// In which epoch a message was written first, and by whom.
pub(crate) fn origin(step: &Step<'_, '_>, id: MessageId) -> Result<(EpochId, AccountId), Stop> {
    let sql = "SELECT epoch_id, sender FROM message WHERE id = ?";
    let found = step.tx.prepare_cached(sql)?.query_row([id.as_bytes()], |row| {
        Ok((EpochId::from_bytes(row.get(0)?), AccountId::from_bytes(row.get(1)?)))
    });
    found.optional()?.ok_or(Stop::Refused("no such message"))
}

fn keep(step: &Step<'_, '_>, chat: ChatId, id: MessageId, act: &Act, waiting: bool) -> Result<(), Stop> {
    let sql = "INSERT OR IGNORE INTO act(id, chat, target, sender, kind, hlc, content, spans, waiting, late)
               SELECT id, ?, ?, sender, ?, hlc, ?, ?, ?, late FROM message WHERE id = ?";
    step.tx.prepare_cached(sql)?.execute(params![
        chat,
        act.target.as_bytes(),
        act.does as u8,
        act.content,
        act.spans,
        waiting,
        id.as_bytes()
    ])?;
    Ok(())
}

fn forget_oldest(step: &Step<'_, '_>, like: MessageId) -> Result<(), Stop> {
    let sql = "DELETE FROM act WHERE id IN (
                   SELECT o.id FROM act a JOIN act o ON o.target = a.target AND o.kind = a.kind AND o.sender = a.sender
                   WHERE a.id = ? ORDER BY o.hlc DESC, o.id DESC LIMIT -1 OFFSET ?)";
    step.tx
        .prepare_cached(sql)?
        .execute(params![like.as_bytes(), KEPT_MAX])?;
    Ok(())
}

fn forget_oldest_waiting(step: &Step<'_, '_>, chat: ChatId, like: MessageId) -> Result<(), Stop> {
    let sql = "DELETE FROM act WHERE id IN (
                   SELECT id FROM act WHERE chat = ?1 AND waiting = 1 AND sender = (SELECT sender FROM act WHERE id = ?2)
                   ORDER BY hlc DESC, id DESC LIMIT -1 OFFSET ?3)";
    step.tx
        .prepare_cached(sql)?
        .execute(params![chat, like.as_bytes(), WAITING_MAX])?;
    Ok(())
}

/// A message has come: what waited for it is done, and whoever quotes it has something to show.
pub(crate) fn arrived(step: &mut Step<'_, '_>, chat: ChatId, id: MessageId) -> Result<(), Stop> {
    let Found::Open(target) = find(step, chat, id)? else {
        return Ok(());
    };
    let waited = step
        .tx
        .prepare_cached("UPDATE act SET waiting = 0 WHERE target = ? AND chat = ?")?
        .execute(params![id.as_bytes(), chat])?;
    if waited > 0 {
        settle(step, &target)?;
    }
    touch_quotes(step, &target)
}

/// The marks "late" of these messages have changed: acts among them do something again, or nothing any more.
pub(crate) fn judge_late(step: &mut Step<'_, '_>, changed: &[MessageId]) -> Result<(), Stop> {
    let mut targets: BTreeSet<(ChatId, [u8; 16])> = BTreeSet::new();
    for message in changed {
        step.touch_message(*message);
        let turned = step
            .tx
            .prepare_cached(TURNED)?
            .query_row([message.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if let Some(target) = turned {
            step.tx
                .prepare_cached("UPDATE act SET late = 1 - late WHERE id = ?")?
                .execute([message.as_bytes()])?;
            targets.insert(target);
        }
    }
    for (chat, target) in targets {
        if let Found::Open(target) = find(step, chat, MessageId::from_bytes(target))? {
            settle(step, &target)?;
            touch(step, &target);
            touch_quotes(step, &target)?;
        }
    }
    Ok(())
}

/// Makes the target's row what its acts say.
fn settle(step: &Step<'_, '_>, target: &Target) -> Result<(), Stop> {
    if is_deleted(step, target)? {
        return empty(step, target.id);
    }
    forget_void(step, target)?;
    if target.is_text && !target.is_poll {
        set_text(step, target)?;
    }
    pins::settle(step, target)
}

fn is_deleted(step: &Step<'_, '_>, target: &Target) -> Result<bool, Stop> {
    let sql = "SELECT a.sender, m.epoch_id FROM act a JOIN message m ON m.id = a.id
               WHERE a.target = ? AND a.kind = 2 AND a.late = 0";
    let by: Vec<(AccountId, EpochId)> = step
        .tx
        .prepare_cached(sql)?
        .query_map([target.id.as_bytes()], |row| {
            Ok((AccountId::from_bytes(row.get(0)?), EpochId::from_bytes(row.get(1)?)))
        })?
        .collect::<Result<_, _>>()?;
    for (sender, epoch) in by {
        if may_delete(step, epoch, sender, target.sender)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether an account may delete another's message for everybody, as an epoch says (CON-5).
fn may_delete(step: &Step<'_, '_>, epoch: EpochId, by: AccountId, author: AccountId) -> Result<bool, Stop> {
    if by == author || !defence::holds(Defence::Moderation) {
        return Ok(true);
    }
    let Some(state) = epochs::rights(step, epoch)? else {
        return Ok(false);
    };
    let moderates = state.role(by).is_some_and(|role| role <= Role::Moderator);
    let above = state.rank(author).is_none_or(|place| state.rank(by) < Some(place));
    Ok(moderates && above)
}

/// Of a deleted message nothing stays but that it was there (CON-6).
fn empty(step: &Step<'_, '_>, id: MessageId) -> Result<(), Stop> {
    step.tx
        .prepare_cached(
            "UPDATE message SET kind = ?, text = '', spans = NULL, body = NULL, original = NULL, original_spans = NULL,
                 edited_at = NULL, reply_to = NULL, mentions = 0, pinned = NULL, poll = NULL, forwarded = NULL,
                 card = NULL, place = NULL
             WHERE id = ?",
        )?
        .execute(params![MessageKind::Deleted as u8, id.as_bytes()])?;
    step.tx
        .prepare_cached("DELETE FROM act WHERE target = ?")?
        .execute([id.as_bytes()])?;
    media::forget(step, id)
}

/// Edits and ends of polls by others than the author, and deletions that were judged and do not count.
fn forget_void(step: &Step<'_, '_>, target: &Target) -> Result<(), Stop> {
    step.tx
        .prepare_cached(
            "DELETE FROM act WHERE target = ?1
             AND ((kind IN (1, 5) AND sender <> ?2) OR (kind = 2 AND late = 0))",
        )?
        .execute(params![target.id.as_bytes(), target.sender.as_bytes()])?;
    Ok(())
}

const NEWEST_EDIT: &str = "
    SELECT content, spans, hlc FROM act WHERE target = ? AND kind = 1 AND sender = ? AND late = 0
    ORDER BY hlc DESC, id DESC LIMIT 1";
const PUT_EDIT: &str = "
    UPDATE message SET original_spans = iif(original IS NULL, spans, original_spans), original = coalesce(original, text),
                       text = ?2, spans = ?3, edited_at = ?4
    WHERE id = ?1 AND (text <> ?2 OR spans IS NOT ?3 OR edited_at IS NOT ?4)";
const TAKE_EDIT_BACK: &str = "
    UPDATE message SET text = original, spans = original_spans, original = NULL, original_spans = NULL, edited_at = NULL
    WHERE id = ? AND original IS NOT NULL";

/// The newest edit that counts stands in the place of the text, or the text as it came (CON-4).
fn set_text(step: &Step<'_, '_>, target: &Target) -> Result<(), Stop> {
    let newest: Option<(String, Option<Vec<u8>>, i64)> = step
        .tx
        .prepare_cached(NEWEST_EDIT)?
        .query_row(params![target.id.as_bytes(), target.sender.as_bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let (id, now) = (target.id.as_bytes(), step.time.0.cast_signed());
    match newest {
        Some((text, spans, hlc)) => {
            step.tx
                .prepare_cached(PUT_EDIT)?
                .execute(params![id, text, spans, hlc.min(now)])?
        }
        None => step.tx.prepare_cached(TAKE_EDIT_BACK)?.execute([id])?,
    };
    Ok(())
}

/// The interface shows this message anew.
fn touch(step: &mut Step<'_, '_>, target: &Target) {
    if !target.hidden {
        step.touch_message(target.id);
        step.touch_chat(target.chat);
    }
}

/// ... and all that quote it.
fn touch_quotes(step: &mut Step<'_, '_>, target: &Target) -> Result<(), Stop> {
    if target.hidden {
        return Ok(());
    }
    let quotes: Vec<[u8; 16]> = step
        .tx
        .prepare_cached("SELECT id FROM message WHERE reply_to = ? AND +chat = ? LIMIT ?")?
        .query_map(
            params![
                target.id.as_bytes(),
                target.chat,
                u32::try_from(QUOTES_TOLD_MAX + 1).unwrap_or(u32::MAX)
            ],
            |row| row.get(0),
        )?
        .collect::<Result<_, _>>()?;
    if quotes.len() > QUOTES_TOLD_MAX {
        step.event(Event::Ingested { messages: 0 });
        return Ok(());
    }
    for id in quotes {
        step.touch_message(MessageId::from_bytes(id));
    }
    Ok(())
}

const TARGET: &str = "
    SELECT m.id, m.chat, m.sender, m.mine, m.kind, c.hidden, m.poll IS NOT NULL FROM message m LEFT JOIN chat c ON c.id = m.chat
    WHERE m.id = ?";

fn find(step: &Step<'_, '_>, chat: ChatId, id: MessageId) -> Result<Found, Stop> {
    let found = step
        .tx
        .prepare_cached(TARGET)?
        .query_row([id.as_bytes()], |row| Ok((row.get(4)?, target(row)?)))
        .optional()?;
    Ok(match found {
        None => Found::Nothing,
        Some((kind, Some(target))) if target.chat == chat && is_open(kind) => Found::Open(target),
        Some(_) => Found::Closed,
    })
}

fn is_open(kind: u8) -> bool {
    kind == MessageKind::Text as u8 || kind == MessageKind::Unknown as u8
}

/// Nothing where the message is in no chat.
fn target(row: &Row<'_>) -> rusqlite::Result<Option<Target>> {
    let Some(chat) = row.get(1)? else { return Ok(None) };
    Ok(Some(Target {
        id: MessageId::from_bytes(row.get(0)?),
        chat,
        sender: AccountId::from_bytes(row.get(2)?),
        mine: row.get(3)?,
        is_text: row.get::<_, u8>(4)? == MessageKind::Text as u8,
        hidden: row.get(5)?,
        is_poll: row.get(6)?,
    }))
}

/// The message that a text is to answer, if it is one of this chat that is still there.
pub(crate) fn answered(step: &Step<'_, '_>, chat: ChatId, hex: Option<&str>) -> Result<Option<MessageId>, Stop> {
    let Some(hex) = hex else { return Ok(None) };
    match find(step, chat, wishes::message_id(hex)?)? {
        Found::Open(target) => Ok(Some(target.id)),
        Found::Nothing | Found::Closed => Err(Stop::Fault(Fault::NotFound)),
    }
}
