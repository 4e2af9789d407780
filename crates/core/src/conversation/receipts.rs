//! Standalone receipts: what says "here" and "read" where no message of ours does.
//!
//! In: arrivals and reading. Out: receipt messages (graph heads, read mark), the first at once, then at most one per
//! conversation and five seconds; what shows nothing waits these five seconds (RCP-2). A claim that waits for approval
//! gets none (RCP-4). In a group of more than eight accounts five of them speak for all, changing daily (RCP-5).
//! Specified in `docs/protocol/08-outbox.md`.

use super::{Conversation, epochs, graph, wants, write};
use crate::HELD_UP_MS;
use crate::api::ChatId;
use crate::defence::{self, Defence};
use crate::due::Times;
use crate::mls::Gid;
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, ToSql, named_params, params};
use sha2::{Digest, Sha256};
use stonechat_wire::ids::{AccountId, MessageId};
use stonechat_wire::message::{Kind, MessageHeader, Receipt};

/// Between two standalone receipts of one conversation (RCP-2).
pub(crate) const EVERY_MS: u64 = 5_000;
/// ... and of one with more than eight accounts (RCP-5).
const EVERY_LARGE_MS: u64 = 600_000;
/// Accounts that send receipts in a group of more than eight (RCP-5).
const SPEAKERS: usize = 5;
const DAY_MS: u64 = 24 * 3600 * 1000;
/// Heads a receipt names at most.
const HEADS_MAX: usize = 16;

/// Something arrived that deserves a receipt as soon as may be: new, or again because its sender has heard nothing.
pub(crate) fn due(step: &Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    let set = "receipt_due = min(coalesce(receipt_due, :now + :large), :earliest), receipt_quiet = 0";
    set_due(step, set, "group_id = :whose", group)
}

/// Something new arrived that shows nothing: its receipt leaves the first place to what a person wrote.
pub(crate) fn due_quietly(step: &Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    let set = "receipt_due = coalesce(receipt_due, max(:now + :every, :earliest)),
               receipt_quiet = receipt_quiet OR receipt_due IS NULL";
    set_due(step, set, "group_id = :whose", group)
}

/// The slot clock was wrong until this step: what was said lies in mailboxes that nobody reads. Messages come again by
/// themselves, receipts would not (RCP-2).
pub(crate) fn say_again(step: &Step<'_, '_>) -> Result<(), Stop> {
    let set = "receipt_due = :earliest, receipt_quiet = 0";
    // Saved messages have nobody to say it to.
    let which = "receipt_due IS NULL AND chat NOT IN (SELECT id FROM chat WHERE saved = :whose)";
    set_due(step, set, which, &true)
}

/// Messages of this chat were read here.
pub(crate) fn reading(step: &Step<'_, '_>, chat: ChatId) -> Result<(), Stop> {
    if !may_tell_reading(step)? {
        return Ok(());
    }
    let set = "receipt_due = min(coalesce(receipt_due, :now + :large), :earliest), receipt_quiet = 0";
    set_due(step, set, "chat = :whose", &chat)
}

/// Runs an update of conversations. `:earliest` is when a receipt may leave: now may be by a clock that was set back.
fn set_due(step: &Step<'_, '_>, set: &str, which: &str, whose: &dyn ToSql) -> Result<(), Stop> {
    let earliest = "CASE WHEN receipt_at > :now THEN :now
                    ELSE max(:now, receipt_at + CASE WHEN accounts > 8 THEN :large ELSE :every END) END";
    let sql = format!("UPDATE conversation SET {set} WHERE {which}").replace(":earliest", earliest);
    step.tx.prepare_cached(&sql)?.execute(named_params! {
        ":now": step.now.0.cast_signed(),
        ":every": EVERY_MS.cast_signed(),
        ":large": EVERY_LARGE_MS.cast_signed(),
        ":whose": whose,
    })?;
    Ok(())
}

/// The person lets others know what was read.
pub(crate) fn may_tell_reading(step: &Step<'_, '_>) -> Result<bool, Stop> {
    Ok(step.setting("read_receipts")?.is_none_or(|value| value == "true"))
}

/// Nothing of this conversation is unread.
pub(crate) fn all_read(step: &Step<'_, '_>, of: &Conversation) -> Result<bool, Stop> {
    let unread = step
        .tx
        .prepare_cached("SELECT 1 FROM message WHERE chat = ? AND state = 4 AND +group_id = ?")?
        .exists(params![of.chat, of.group])?;
    Ok(!unread)
}

/// A message of ours says it all: its parents are the receipt.
pub(crate) fn told_by_message(step: &Step<'_, '_>, of: &Conversation, header: &MessageHeader) -> Result<(), Stop> {
    let read = if header.read_through {
        read_mark(step, of)?
    } else {
        None
    };
    step.tx
        .prepare_cached(
            "UPDATE conversation SET receipt_due = CASE WHEN ?3 THEN receipt_due END, read_told = coalesce(?1, read_told)
             WHERE group_id = ?2",
        )?
        .execute(params![
            read.map(|id| *id.as_bytes()),
            of.group,
            leaves_some_out(step, of)?
        ])?;
    Ok(())
}

/// In a group: messages of others that my last one could not name (CNV-6) and that not enough have confirmed.
fn leaves_some_out(step: &Step<'_, '_>, of: &Conversation) -> Result<bool, Stop> {
    let sql = "SELECT 1 FROM message_head h JOIN message m ON m.id = h.id WHERE h.group_id = ? AND m.mine = 0 AND m.acked = 0";
    Ok((of.grouped || of.shared) && step.tx.prepare_cached(sql)?.exists([of.group])?)
}

/// Sends the receipts whose time has come: also those that a clock which was set back has put far away.
pub(crate) fn flush(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let groups: Vec<Gid> = {
        let mut rows = step.tx.prepare_cached(
            "SELECT v.group_id FROM conversation v INDEXED BY conversation_due CROSS JOIN chat c ON c.id = v.chat
             WHERE v.receipt_due IS NOT NULL AND (v.receipt_due <= ?1 OR v.receipt_due > ?1 + ?2)
               AND c.hidden = 0 AND v.gone = 0",
        )?;
        let found = rows.query_map([step.now.0, EVERY_LARGE_MS].map(u64::cast_signed), |row| row.get(0))?;
        found.collect::<Result<_, _>>()?
    };
    groups.iter().try_for_each(|group| said(step, group))
}

/// Says it; where that is refused, later: it holds up no other conversation.
fn said(step: &mut Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    let Err(Stop::Refused(why)) = step.attempt(|step| say(step, group)).map_err(Stop::Store)? else {
        return Ok(());
    };
    step.out.refused.push(why);
    step.tx
        .prepare_cached("UPDATE conversation SET receipt_due = ? WHERE group_id = ?")?
        .execute(params![step.now.0.saturating_add(HELD_UP_MS).cast_signed(), group])?;
    Ok(())
}

/// When the next one may leave.
pub(crate) const TIMES: Times = Times::of(
    "SELECT min(v.receipt_due) FROM conversation v INDEXED BY conversation_due CROSS JOIN chat c ON c.id = v.chat
     WHERE v.receipt_due IS NOT NULL AND c.hidden = 0 AND v.gone = 0",
    "SELECT max(v.receipt_due) FROM conversation v INDEXED BY conversation_due CROSS JOIN chat c ON c.id = v.chat
     WHERE v.receipt_due IS NOT NULL AND c.hidden = 0 AND v.gone = 0",
    EVERY_LARGE_MS,
);

fn say(step: &mut Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    let Some(to) = super::load(step, group)? else {
        return Ok(());
    };
    if !speaks(step, &to)? {
        step.tx
            .prepare_cached("UPDATE conversation SET receipt_due = NULL WHERE group_id = ?")?
            .execute([group])?;
        return Ok(());
    }
    let Receipt { heads, read } = of_moment(step, &to)?;
    step.tx
        .prepare_cached(
            "UPDATE conversation SET receipt_due = NULL, receipt_quiet = 0, read_told = coalesce(?2, read_told),
                    receipt_at = CASE WHEN receipt_quiet AND accounts <= 8 THEN receipt_at ELSE ?1 END
             WHERE group_id = ?3",
        )?
        .execute(params![step.now.0.cast_signed(), read.map(|id| *id.as_bytes()), group])?;
    // The founding epoch needs no receipt: who is in it has confirmed it by coming.
    if heads.is_empty() && !epochs::is_made_by_commit(step, to.epoch)? {
        return Ok(());
    }
    // An older receipt that still waits says nothing this one does not.
    crate::outbox::done(step, crate::outbox::Waiting::Receipt, group)?;
    let header = header(step);
    write(step, &to, &header, &Receipt { heads, read }.encode())?;
    Ok(())
}

/// What a receipt says at this moment.
fn of_moment(step: &Step<'_, '_>, to: &Conversation) -> Result<Receipt, Stop> {
    let mut heads = graph::heads(step, &to.group, HEADS_MAX)?;
    if to.grouped || to.shared {
        heads.extend(graph::readable_before(step, to, &heads, 2 * HEADS_MAX)?);
        heads.truncate(HEADS_MAX);
    }
    let tells = to.accounts <= epochs::ALL_CONFIRM_MAX && may_tell_reading(step)?;
    Ok(Receipt {
        heads: heads.iter().map(MessageId::short).collect(),
        read: if tells { read_mark(step, to)? } else { None },
    })
}

const fn header(step: &Step<'_, '_>) -> MessageHeader {
    MessageHeader {
        kind: Kind::Receipt,
        read_through: false,
        seq: 0,
        hlc: step.time.0,
        parents: vec![],
    }
}

/// A receipt for a file that somebody carries, encrypted: it waits nowhere, and the next one does not wait for it (BDL-2).
pub(crate) fn to_carry(step: &mut Step<'_, '_>, to: &Conversation) -> Result<Option<Vec<u8>>, Stop> {
    let receipt = of_moment(step, to)?;
    if receipt.heads.is_empty() || !speaks(step, to)? {
        return Ok(None);
    }
    let plain = [header(step).encode(), receipt.encode()].concat();
    let at = (to.group, to.epoch);
    Ok(Some(step.groups.write(&step.mls, at, &to.signer, &plain)?))
}

/// RCP-5: with more than eight accounts, the five that are lowest by SHA-256(account | day | epoch id).
fn speaks(step: &Step<'_, '_>, of: &Conversation) -> Result<bool, Stop> {
    if of.accounts <= epochs::ALL_CONFIRM_MAX || !defence::holds(Defence::Speakers) {
        return Ok(true);
    }
    let day = u32::try_from(step.time.0 / DAY_MS).unwrap_or(u32::MAX);
    let accounts = epochs::accounts(step, of.epoch)?;
    let mut ranked: Vec<([u8; 32], AccountId)> = accounts
        .into_iter()
        .map(|account| (draw(account, day, of), account))
        .collect();
    ranked.sort_unstable();
    let me = step.me()?;
    Ok(ranked.iter().take(SPEAKERS).any(|(_, account)| *account == me))
}

fn draw(account: AccountId, day: u32, of: &Conversation) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(account.as_bytes());
    hash.update(day.to_be_bytes());
    hash.update(of.epoch.as_bytes());
    hash.finalize().into()
}

/// The newest message of the others that was read here.
pub(crate) fn read_mark(step: &Step<'_, '_>, of: &Conversation) -> Result<Option<MessageId>, Stop> {
    Ok(step
        .tx
        .prepare_cached(
            "SELECT id FROM message INDEXED BY message_read
             WHERE group_id = ? AND mine = 0 AND state = 3 AND complete = 1 ORDER BY position DESC LIMIT 1",
        )?
        .query_row([of.group], |row| row.get(0))
        .optional()?
        .map(MessageId::from_bytes))
}

/// Another device of mine says what it has and what was read there: nothing of it confirms anything (OWN-6).
pub(crate) fn by_own_device(step: &mut Step<'_, '_>, from: &Conversation, body: &[u8]) -> Result<(), Stop> {
    let receipt = Receipt::decode(body).map_err(|_| Stop::Refused("receipt"))?;
    if let Some(read) = receipt.read {
        super::read_elsewhere(step, from, read.short())?;
    }
    wants::note(step, from, &receipt.heads, wants::Named::InReceipt)
}

/// Takes in a receipt of somebody else.
pub(crate) fn take_in(step: &mut Step<'_, '_>, from: &Conversation, by: AccountId, body: &[u8]) -> Result<(), Stop> {
    let receipt = Receipt::decode(body).map_err(|_| Stop::Refused("receipt"))?;
    graph::acknowledge(step, from, by, &receipt.heads, graph::Reached::Delivered)?;
    if let Some(read) = receipt.read {
        graph::acknowledge(step, from, by, &[read.short()], graph::Reached::Read)?;
    }
    if from.is_crowd() {
        wants::note(step, from, &receipt.heads, wants::Named::InReceipt)?;
    }
    Ok(())
}
