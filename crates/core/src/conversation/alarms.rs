//! Alarms: commits that no honest device makes, shown to the person (ALM-*).
//!
//! In: what taking in a commit came upon. Out: a row of each kind for each account, and the chat told of once. Which of
//! two commits counts is `fork`'s (FORK-6). Specified in `docs/protocol/09-forks.md`.

use super::Conversation;
use crate::mls::Gid;
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use sha2::{Digest, Sha256};
use stonechat_wire::card::DeviceLog;
use stonechat_wire::ids::{AccountId, EpochId};

/// What is wrong; the number is the column `kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Wrong {
    /// A member has made two commits on one epoch.
    Equivocation = 0,
    /// Somebody has made a commit by my leaf: with my keys, or it only says so in the part that any member can write.
    OwnLeaf = 1,
    /// An account has signed two device logs that part (DEV-2).
    TwoLogs = 2,
    /// An account changes its keys all the time.
    Flood = 3,
}

const DAY_MS: u64 = 24 * 3600 * 1000;
/// Self-updates of one account in a day that are no flood (ALM-3).
const RENEWALS_A_DAY: u64 = 12;
/// ... and for each of its leaves for each day before, in which they may have waited somewhere.
const RENEWALS_LATE: u64 = 2;
/// An alarm that is shown comes again at the earliest so much later.
const AGAIN_MS: u64 = DAY_MS;

/// A commit by somebody was taken in: is it its second one there?
pub(crate) fn look_for_rivals(
    step: &mut Step<'_, '_>,
    of: &Conversation,
    parent: EpochId,
    (author, leaf, hash): (AccountId, [u8; 8], &[u8; 32]),
) -> Result<(), Stop> {
    let commits: u32 = step
        .tx
        .prepare_cached("SELECT count(*) FROM epoch WHERE parent = ? AND author = ? AND leaf_key = ?")?
        .query_row(params![parent.as_bytes(), author.as_bytes(), leaf], |row| row.get(0))?;
    if commits > 1 {
        raise(step, of, Wrong::Equivocation, author, hash)?;
    }
    Ok(())
}

/// A self-update of an account was taken in, which has so many leaves: are they too many (ALM-3)?
pub(crate) fn look_for_flood(
    step: &mut Step<'_, '_>,
    of: &Conversation,
    account: AccountId,
    leaves: usize,
) -> Result<(), Stop> {
    let now = step.time.0;
    let sql = "SELECT since, room, newest FROM renewals WHERE group_id = ? AND account = ?";
    let known: Option<(i64, i64, i64)> = step
        .tx
        .prepare_cached(sql)?
        .query_row(params![of.group, account.as_bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let (since, room) = match known {
        Some((since, room, _)) if now.abs_diff(since.unsigned_abs()) < DAY_MS => (since.unsigned_abs(), room - 1),
        Some((.., newest)) => (now, room_for(now.saturating_sub(newest.unsigned_abs()), leaves)),
        None => (now, room_for(now.saturating_sub(began(step, of)?), leaves)),
    };
    step.tx
        .prepare_cached("INSERT OR REPLACE INTO renewals VALUES (?, ?, ?, ?, ?)")?
        .execute(params![
            of.group,
            account.as_bytes(),
            since.cast_signed(),
            room.max(-1),
            now.cast_signed()
        ])?;
    if room < 0 {
        raise(step, of, Wrong::Flood, account, &since.to_be_bytes())?;
    }
    Ok(())
}

/// How many may follow this first one, when the one before it was so long ago.
fn room_for(quiet_ms: u64, leaves: usize) -> i64 {
    let late = (quiet_ms / DAY_MS)
        .saturating_mul(RENEWALS_LATE)
        .saturating_mul(leaves as u64);
    i64::try_from((RENEWALS_A_DAY - 1).saturating_add(late)).unwrap_or(i64::MAX)
}

fn began(step: &Step<'_, '_>, of: &Conversation) -> Result<u64, Stop> {
    let at: i64 = step
        .tx
        .prepare_cached("SELECT coalesce(min(made_at), 0) FROM epoch WHERE group_id = ?")?
        .query_row([of.group], |row| row.get(0))?;
    Ok(at.unsigned_abs())
}

/// A commit says that it is by my leaf, and is none of mine.
pub(crate) fn own_leaf(step: &mut Step<'_, '_>, of: &Conversation, hash: &[u8; 32]) -> Result<(), Stop> {
    let me = step.me()?;
    raise(step, of, Wrong::OwnLeaf, me, hash)
}

/// An account has two device logs: somebody else has its words, or an old capsule was used (DEV-2).
pub(crate) fn two_logs(step: &mut Step<'_, '_>, group: &Gid, account: AccountId, log: &DeviceLog) -> Result<(), Stop> {
    let of = super::load(step, group)?.ok_or(Stop::Refused("no such conversation"))?;
    let hash: [u8; 32] = Sha256::digest(log.encode()).into();
    raise(step, &of, Wrong::TwoLogs, account, &hash)
}

/// Shows it: what is shown already of this account comes again a day later, and only by something else.
fn raise(step: &mut Step<'_, '_>, of: &Conversation, wrong: Wrong, account: AccountId, by: &[u8]) -> Result<(), Stop> {
    let now = step.time.0;
    let sql = "INSERT INTO alarm(group_id, kind, account, at, by) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT DO UPDATE SET at = excluded.at, by = excluded.by
               WHERE by <> excluded.by AND at <= ?6";
    let new = step.tx.prepare_cached(sql)?.execute(params![
        of.group,
        wrong as u8,
        account.as_bytes(),
        now.cast_signed(),
        by,
        now.saturating_sub(AGAIN_MS).cast_signed()
    ])?;
    if new > 0 {
        step.touch_chat(of.chat);
    }
    Ok(())
}
