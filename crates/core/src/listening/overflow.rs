//! Lanes that go on in a next mailbox because one is full (MBX-6): nobody silences a conversation, or stops a removal, by
//! filling a mailbox.
//!
//! In: relays that say *full*; how much came out of a mailbox. Out: the k that is put into, and mailboxes to read besides.
//! Whoever fills a mailbox fills it before the eyes of all who read it: from a quarter on they read the next one too, so no
//! reader depends on being told.

use super::{Changes, Purpose, insert, read_relays_of, tell};
use crate::mls::Gid;
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use stonechat_wire::ids::{EpochId, Token};
use stonechat_wire::mailbox::{self, Lane, MailboxRoot, Slot};

/// A quarter of what a mailbox holds at least (RLY-27): from there on the next one is read too.
const NEXT_FROM_BYTES: u64 = 4 << 20;
/// A lane has so many mailboxes and one at most.
pub(crate) const K_MAX: u8 = 15;

/// The mailbox that is put into.
pub(crate) fn writes(step: &Step<'_, '_>, epoch: EpochId, lane: Lane, slot: Slot) -> Result<u8, Stop> {
    column(
        step,
        "SELECT writes FROM overflow WHERE epoch_id = ? AND lane = ? AND slot = ?",
        epoch,
        lane,
        slot,
    )
}

/// The last mailbox that is read.
pub(super) fn reads(step: &Step<'_, '_>, epoch: EpochId, lane: Lane, slot: Slot) -> Result<u8, Stop> {
    column(
        step,
        "SELECT reads FROM overflow WHERE epoch_id = ? AND lane = ? AND slot = ?",
        epoch,
        lane,
        slot,
    )
}

fn column(step: &Step<'_, '_>, sql: &str, epoch: EpochId, lane: Lane, slot: Slot) -> Result<u8, Stop> {
    Ok(step
        .tx
        .prepare_cached(sql)?
        .query_row(params![epoch.as_bytes(), lane as u8, of(lane, slot)], |row| row.get(0))
        .optional()?
        .unwrap_or(0))
}

/// The commit lane stands still (MBX-4).
const fn of(lane: Lane, slot: Slot) -> u32 {
    match lane {
        Lane::App => slot.0,
        Lane::Commit => 0,
    }
}

/// So many bytes have come out of that mailbox.
pub(super) fn came(
    step: &mut Step<'_, '_>,
    about: &[u8],
    (lane, slot, k): (Lane, Slot, u8),
    got: u64,
) -> Result<(), Stop> {
    match EpochId::from_slice(about) {
        Some(epoch) if got >= NEXT_FROM_BYTES && k < K_MAX => read_to(step, epoch, (lane, slot), k.saturating_add(1)),
        _ => Ok(()),
    }
}

/// A relay had no room for what was put there with this token. Out: whether it can be put into the next mailbox.
pub(crate) fn is_full(
    step: &mut Step<'_, '_>,
    epoch: EpochId,
    (lane, slot): (Lane, Slot),
    token: &Token,
) -> Result<bool, Stop> {
    let Some((_, root)) = group_of(step, epoch)? else {
        return Ok(false);
    };
    let k = writes(step, epoch, lane, slot)?;
    if mailbox::token(&root, lane, slot, k).tag() != token.tag() {
        return Ok(true); // another one found it full before
    }
    if k >= K_MAX {
        return Ok(false);
    }
    let next = k.saturating_add(1);
    read_to(step, epoch, (lane, slot), next)?;
    step.tx
        .prepare_cached("UPDATE overflow SET writes = ? WHERE epoch_id = ? AND lane = ? AND slot = ?")?
        .execute(params![next, epoch.as_bytes(), lane as u8, of(lane, slot)])?;
    Ok(true)
}

/// Reads that lane's mailboxes up to this one.
fn read_to(step: &mut Step<'_, '_>, epoch: EpochId, (lane, slot): (Lane, Slot), k: u8) -> Result<(), Stop> {
    let Some((group, root)) = group_of(step, epoch)? else {
        return Ok(());
    };
    step.tx
        .prepare_cached(
            "INSERT INTO overflow(epoch_id, lane, slot, writes, reads) VALUES (?, ?, ?, 0, ?)
             ON CONFLICT DO UPDATE SET reads = max(reads, excluded.reads)",
        )?
        .execute(params![epoch.as_bytes(), lane as u8, of(lane, slot), k])?;
    let purpose = match lane {
        Lane::App => Purpose::App,
        Lane::Commit => Purpose::Commit,
    };
    let tag = mailbox::token(&root, lane, slot, k).tag();
    let mut changes = Changes::new();
    for relay in read_relays_of(step, &group)? {
        if insert(step, relay, tag, purpose, epoch.as_bytes(), (Slot(of(lane, slot)), k))? {
            changes.entry(relay).or_default().0.push((tag, 0));
        }
    }
    tell(step, changes);
    Ok(())
}

fn group_of(step: &Step<'_, '_>, epoch: EpochId) -> Result<Option<(Gid, MailboxRoot)>, Stop> {
    let sql = "SELECT group_id, mailbox_root FROM epoch WHERE epoch_id = ? AND mailbox_root IS NOT NULL";
    Ok(step
        .tx
        .prepare_cached(sql)?
        .query_row([epoch.as_bytes()], |row| {
            Ok((row.get(0)?, MailboxRoot::new(row.get(1)?)))
        })
        .optional()?)
}

/// The epoch is read no more.
pub(super) fn forget(step: &Step<'_, '_>, about: &[u8]) -> Result<(), Stop> {
    step.tx
        .prepare_cached("DELETE FROM overflow WHERE epoch_id = ?")?
        .execute([about])?;
    Ok(())
}

/// Weeks before this one are read no more.
pub(super) fn turn_slots(step: &Step<'_, '_>, oldest: Slot) -> Result<(), Stop> {
    step.tx
        .prepare_cached("DELETE FROM overflow WHERE lane = 0 AND slot < ?")?
        .execute([oldest.0])?;
    Ok(())
}
