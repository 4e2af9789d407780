//! People who are blocked: nothing of them is shown or answered, and they are not told.
//!
//! In: the person's wish. Out: the chat of two put away, as one whose claim waits: nothing is received there, confirmed,
//! asked for or renewed. In groups `conversation::take_in` shows nothing of theirs.
//! Specified in `docs/protocol/04-meeting.md` (BLK-*).

use crate::api::{self, Event, Fault, Reply};
use crate::conversation::Conversation;
use crate::defence::{self, Defence};
use crate::own;
use crate::query;
use crate::relays::ways;
use crate::step::{Step, Stop};
use rusqlite::params;
use stonechat_wire::ids::AccountId;
use stonechat_wire::message::Kind;

/// Blocks a contact, or lets it in again.
pub(crate) fn set(step: &mut Step<'_, '_>, wish: &api::ContactBlock) -> Result<Reply, Stop> {
    let account = hex::decode(&wish.id).map_err(|_| Stop::Fault(Fault::NotFound))?;
    if put(step, &account, wish.blocked)? {
        let account: [u8; 32] = account
            .as_slice()
            .try_into()
            .map_err(|_| Stop::Fault(Fault::NotFound))?;
        own::block_changed(step, AccountId::from_bytes(account), wish.blocked)?;
    }
    let contact = query::load_contact(step.tx, &account)?.ok_or(Stop::Fault(Fault::NotFound))?;
    if contact.blocked != wish.blocked {
        return Err(Stop::Fault(Fault::NotFound));
    }
    step.event(Event::ContactChanged { contact });
    Ok(Reply::Done {})
}

/// Puts a contact's chat away, or brings it back. Out: whether that is new.
pub(crate) fn put(step: &mut Step<'_, '_>, account: &[u8], blocked: bool) -> Result<bool, Stop> {
    // Whoever waits for approval is declined instead.
    let sql = "UPDATE contact SET blocked = ?1 WHERE account = ?2 AND blocked <> ?1
               AND NOT EXISTS (SELECT 1 FROM chat WHERE contact = ?2 AND hidden = 1 AND ?1 = 1)";
    let new = step.tx.execute(sql, params![blocked, account])? == 1;
    if new {
        put_away(step, account, blocked)?;
        if let (true, Ok(account)) = (blocked, account.try_into()) {
            ways::forget_said_by(step, AccountId::from_bytes(account))?;
        }
    }
    Ok(new)
}

fn put_away(step: &mut Step<'_, '_>, account: &[u8], away: bool) -> Result<(), Stop> {
    let sql = "UPDATE chat SET hidden = ? WHERE contact = ? RETURNING id";
    let chats: Vec<i64> = step
        .tx
        .prepare(sql)?
        .query_map(params![away, account], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for chat in chats {
        if away {
            step.event(Event::ChatRemoved { chat });
        } else {
            step.touch_chat(chat);
            own::spread_chat(step, chat)?;
        }
    }
    Ok(())
}

/// Whether this account is blocked.
pub(crate) fn is_blocked(step: &Step<'_, '_>, account: AccountId) -> Result<bool, Stop> {
    let blocked = step
        .tx
        .prepare_cached("SELECT 1 FROM contact WHERE account = ? AND blocked = 1")?
        .exists([account.as_bytes()])?;
    Ok(blocked && defence::holds(Defence::Blocked))
}

/// The conversation is one of two with somebody who is blocked: what comes there is not even opened, so it can come
/// again (BLK-1).
pub(crate) fn is_put_away(step: &Step<'_, '_>, of: &Conversation) -> Result<bool, Stop> {
    if !of.hidden {
        return Ok(false);
    }
    let sql = "SELECT 1 FROM chat h JOIN contact c ON c.account = h.contact WHERE h.id = ? AND c.blocked = 1";
    Ok(step.tx.prepare_cached(sql)?.exists([of.chat])?)
}

/// What of a blocked member counts in a group all the same: how long messages stay and its picture are the group's, and leaving
/// too (BLK-2).
pub(crate) const fn counts(kind: Kind) -> bool {
    matches!(kind, Kind::Timer | Kind::Leave | Kind::Picture)
}
