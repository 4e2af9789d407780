//! Members who lost their device and came back with their words: whoever may gives their new one a leaf, by itself.
//!
//! In: key packages of a contact's new device; commits that the head has left. Out: rows of `behind` that fall due, one
//! after the other among those who may; lines in the chats of groups. `behind` makes the commit. Specified in
//! `docs/protocol/14-devices.md` (RCH-6).

use crate::capsule;
use crate::conversation::{self, Conversation, epochs};
use crate::devices;
use crate::leaf;
use crate::meeting;
use crate::mls::{Gid, Leaf};
use crate::reach;
use crate::roles;
use crate::step::{Step, Stop};
use rusqlite::params;
use stonechat_wire::card::{DeviceChange, DeviceLog};
use stonechat_wire::ids::AccountId;

/// The first of those who may does it so soon (RCH-6).
const FIRST_MS: u64 = 10 * 1000;
/// ... and each next one so much later.
const NEXT_MS: u64 = 10 * 60 * 1000;
/// Nobody waits longer, however many may.
const LATEST_MS: u64 = 24 * 3600 * 1000;

/// Key packages of this contact are here: it is brought back where its leaf is of a lost device.
pub(crate) fn keys_came(step: &mut Step<'_, '_>, account: AccountId) -> Result<(), Stop> {
    let log = reach::known_log(step, account)?;
    if !lost_some(&log) {
        return Ok(());
    }
    let sql = "SELECT v.group_id FROM seat s JOIN conversation v ON v.chat = s.chat
               WHERE s.account = ? AND s.place IS NOT NULL AND v.grouped = 1 AND v.gone = 0 AND v.leaving = 0";
    let groups: Vec<Gid> = step
        .tx
        .prepare_cached(sql)?
        .query_map([account.as_bytes()], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for group in groups {
        if let Some(of) = conversation::load(step, &group)? {
            look_after(step, &of, account, &log)?;
        }
    }
    Ok(())
}

/// The head has left commits behind: one of them may have given a contact the leaf of its new device.
pub(crate) fn commits_lost(step: &mut Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    let of = conversation::load(step, group)?.filter(|of| of.grouped && !of.gone && !of.leaving);
    let Some(of) = of else { return Ok(()) };
    let sql = "SELECT c.account FROM contact c JOIN seat s ON s.account = c.account
               WHERE s.chat = ? AND s.place IS NOT NULL";
    let contacts: Vec<[u8; 32]> = step
        .tx
        .prepare_cached(sql)?
        .query_map([of.chat], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for account in contacts.into_iter().map(AccountId::from_bytes) {
        let log = reach::known_log(step, account)?;
        if lost_some(&log) {
            look_after(step, &of, account, &log)?;
        }
    }
    Ok(())
}

fn lost_some(log: &DeviceLog) -> bool {
    devices::live(log).len() < log.entries.len()
}

/// Brings the account back where all its leaves in the head are of lost devices.
fn look_after(step: &mut Step<'_, '_>, of: &Conversation, account: AccountId, log: &DeviceLog) -> Result<(), Stop> {
    let leaves = leaves_in_head(step, of, account)?;
    let mut live = leaves
        .iter()
        .map(|leaf| leaf::device_of(leaf).map(|device| devices::is_live(log, device)));
    // Where one is live, that account's own devices take out the others (OWN-4).
    if live.any(|live| live.unwrap_or(true)) {
        return Ok(());
    }
    match leaves.first() {
        Some(lost) => put_down(step, of, account, lost),
        None => Ok(()),
    }
}

fn leaves_in_head(step: &mut Step<'_, '_>, of: &Conversation, account: AccountId) -> Result<Vec<Leaf>, Stop> {
    let members = epochs::members(step, of.epoch)?;
    let theirs = members.iter().filter(|member| member.account == account);
    theirs
        .map(|member| Ok(step.groups.leaf(&step.mls, (of.group, of.epoch), member.leaf)?))
        .collect()
}

/// Notes when it is my turn, where I may; a turn that was noted stays.
fn put_down(step: &mut Step<'_, '_>, of: &Conversation, account: AccountId, leaf: &Leaf) -> Result<(), Stop> {
    let Some(state) = epochs::state(step, of.epoch)? else {
        return Ok(());
    };
    let me = step.me()?;
    let others = state
        .seats
        .iter()
        .map(|seat| seat.account)
        .filter(|one| *one != account);
    let mut helpers = others.filter(|one| roles::may_bring_back(&state, *one, account));
    let Some(turn) = helpers.position(|one| one == me) else {
        return Ok(());
    };
    let wait = FIRST_MS
        .saturating_add(NEXT_MS.saturating_mul(turn as u64))
        .min(LATEST_MS);
    step.tx
        .prepare_cached(
            "INSERT INTO behind(group_id, account, leaf, epoch_id, number, due_at, asked_at, lost)
             VALUES (?, ?, ?, ?, 0, ?, ?, 1)
             ON CONFLICT DO UPDATE SET leaf = excluded.leaf, epoch_id = excluded.epoch_id, number = 0, lost = 1,
                 asked_at = excluded.asked_at,
                 due_at = CASE WHEN lost = 1 AND leaf = excluded.leaf AND due_at < excluded.due_at THEN due_at
                               ELSE excluded.due_at END",
        )?
        .execute(params![
            of.group,
            account.as_bytes(),
            leaf.public,
            of.epoch.as_bytes(),
            step.now.0.saturating_add(wait).cast_signed(),
            step.now.0.cast_signed()
        ])?;
    Ok(())
}

/// Whether my own account came back on another device after this one was added: it is revoked (DEV-1, DEV-7).
fn came_back_without_me(step: &Step<'_, '_>, account: AccountId, leaf: &Leaf) -> Result<bool, Stop> {
    let me = meeting::me(step)?;
    if account != me.id() {
        return Ok(false);
    }
    let new = leaf::entry_of(leaf)?;
    let mine = devices::live(me.device_log()).into_iter();
    let mut mine = mine.filter(|logged| logged.entry.device_id == me.device());
    let before = mine.next().is_none_or(|mine| mine.seq < new.seq);
    Ok(before && new.entry.change == DeviceChange::Restored)
}

/// A commit removed some leaves and added others: says so where an account has another device now.
pub(crate) fn note(step: &mut Step<'_, '_>, of: &Conversation, went: &[Leaf], came: &[Leaf]) -> Result<(), Stop> {
    for leaf in came {
        let account = leaf::account_of(leaf)?;
        if came_back_without_me(step, account, leaf)? {
            return capsule::revoke(step);
        }
        let mut before = went.iter().filter(|old| leaf::account_of(old).ok() == Some(account));
        let Some(before) = before.next() else { continue };
        if leaf::device_of(before)? != leaf::device_of(leaf)? {
            conversation::note_device(step, of, account)?;
        }
    }
    Ok(())
}
