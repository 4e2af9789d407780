//! How many have to be heard before a commit or a message of mine needs no more care.
//!
//! In: who was heard in which epoch. Out: commits that the outbox is done with. Specified in
//! `docs/protocol/07-conversation.md` (EPO-6).

use crate::conversation::load;
use crate::mls::Gid;
use crate::outbox;
use crate::step::{Step, Stop};
use rusqlite::params;
use stonechat_wire::ids::{AccountId, EpochId};

use super::tree::{nodes, parents, path};
use super::{accounts, is_canonical, members};

/// Above so many accounts three others are enough to confirm something (EPO-6).
pub(crate) const ALL_CONFIRM_MAX: usize = 8;

const ENOUGH_CONFIRM: usize = 3;

/// An account was heard in this epoch: commits of mine up to there have reached it (EPO-6).
pub(crate) fn heard(step: &mut Step<'_, '_>, group: &Gid, account: AccountId, epoch: EpochId) -> Result<(), Stop> {
    let waiting: Vec<[u8; 16]> = step
        .tx
        .prepare_cached("SELECT DISTINCT about FROM outbox WHERE group_id = ? AND purpose = 4")?
        .query_map([group], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    if waiting.is_empty() {
        return Ok(());
    }
    let Some(of) = load(step, group)? else { return Ok(()) };
    let nodes = nodes(step, group)?;
    let reached = path(&parents(&nodes), epoch);
    for made in waiting
        .into_iter()
        .map(EpochId::from_bytes)
        .filter(|made| reached.contains(made))
    {
        step.tx
            .prepare_cached("INSERT OR IGNORE INTO commit_heard VALUES (?, ?)")?
            .execute(params![made.as_bytes(), account.as_bytes()])?;
        confirm_commit(step, made, of.epoch)?;
    }
    Ok(())
}

fn confirm_commit(step: &Step<'_, '_>, made: EpochId, head: EpochId) -> Result<(), Stop> {
    let count: u32 = step
        .tx
        .prepare_cached("SELECT count(*) FROM commit_heard WHERE epoch_id = ?")?
        .query_row([made.as_bytes()], |row| row.get(0))?;
    if count as usize >= enough(step, made, head)? {
        outbox::done(step, outbox::Waiting::Commit, made.as_bytes())?;
    }
    Ok(())
}

/// A relay has a commit of mine. One that lost to a fork needs no more care, nor one that nobody is left to confirm.
pub(crate) fn commit_stored(step: &Step<'_, '_>, group: &Gid, made: EpochId) -> Result<(), Stop> {
    if !is_canonical(step, group, made)? {
        return outbox::done(step, outbox::Waiting::Commit, made.as_bytes());
    }
    let head = load(step, group)?.ok_or(Stop::Refused("no such conversation"))?.epoch;
    confirm_commit(step, made, head)
}

/// How many other accounts must confirm what was said in an epoch: those that are still there in the head.
pub(crate) fn enough(step: &Step<'_, '_>, epoch: EpochId, head: EpochId) -> Result<usize, Stop> {
    let mut others = accounts(step, epoch)?;
    if others.len() == 1 && members(step, epoch)?.len() > 1 {
        return Ok(1); // another device of mine (OWN-1)
    }
    if head != epoch {
        let there = accounts(step, head)?;
        others.retain(|account| there.contains(account));
    }
    others.remove(&step.me()?);
    Ok(if others.len() < ALL_CONFIRM_MAX {
        others.len()
    } else {
        ENOUGH_CONFIRM
    })
}
