//! Alarms: commits that no honest device makes, shown to the person (ALM-*).
//!
//! In: what taking in a commit came upon. Out: a row of each kind for each account, and the chat told of once. Which of
//! two commits counts is `fork`'s (FORK-6). Specified in `docs/protocol/09-forks.md`.

use super::Conversation;
use crate::mls::Gid;
use crate::step::{Step, Stop};
use rusqlite::params;
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
}

/// A commit by somebody was taken in: is it its second one there?
pub(crate) fn look_for_rivals(
    step: &mut Step<'_, '_>,
    of: &Conversation,
    parent: EpochId,
    (author, leaf): (AccountId, [u8; 8]),
) -> Result<(), Stop> {
    let commits: u32 = step
        .tx
        .prepare_cached("SELECT count(*) FROM epoch WHERE parent = ? AND author = ? AND leaf_key = ?")?
        .query_row(params![parent.as_bytes(), author.as_bytes(), leaf], |row| row.get(0))?;
    if commits > 1 {
        raise(step, of, Wrong::Equivocation, author)?;
    }
    Ok(())
}

/// A commit says that it is by my leaf, and is none of mine.
pub(crate) fn own_leaf(step: &mut Step<'_, '_>, of: &Conversation) -> Result<(), Stop> {
    let me = step.me()?;
    raise(step, of, Wrong::OwnLeaf, me)
}

/// An account has two device logs: somebody else has its words, or an old capsule was used (DEV-2).
pub(crate) fn two_logs(step: &mut Step<'_, '_>, group: &Gid, account: AccountId) -> Result<(), Stop> {
    let of = super::load(step, group)?.ok_or(Stop::Refused("no such conversation"))?;
    raise(step, &of, Wrong::TwoLogs, account)
}

fn raise(step: &mut Step<'_, '_>, of: &Conversation, wrong: Wrong, account: AccountId) -> Result<(), Stop> {
    let new = step
        .tx
        .prepare_cached("INSERT OR IGNORE INTO alarm VALUES (?, ?, ?, ?)")?
        .execute(params![
            of.group,
            wrong as u8,
            account.as_bytes(),
            step.time.0.cast_signed()
        ])?;
    if new > 0 {
        step.touch_chat(of.chat);
    }
    Ok(())
}
