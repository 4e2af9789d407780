//! Commits that lie beside the head's branch: what they left there, for those who do it again.
//!
//! In: the tree, the head. Out: epochs of commits that lost, where their branch parted from the head's and where it ends.
//! Specified in `docs/protocol/09-forks.md` (FORK-7).

use crate::conversation::{Conversation, load};
use crate::fork::{self, Clauses, Node};
use crate::mls::Gid;
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use std::collections::{BTreeMap, BTreeSet};
use stonechat_wire::group::{GroupState, Role};
use stonechat_wire::ids::{AccountId, EpochId};

use super::head::votes;
use super::tree::{lineage, nodes, parents, path, path_in};
use super::void::{Forfeited, forfeited, unseating};
use super::{accounts, retained, state};

/// A commit beside the head's branch.
pub(crate) struct Beside {
    pub(crate) author: AccountId,
    /// The epoch it was made in.
    pub(crate) before: EpochId,
    /// Where the branches parted, if that is known.
    pub(crate) base: Option<EpochId>,
    /// Where its branch ends.
    pub(crate) end: EpochId,
    /// Seats and policy there without what nobody does again, where that is not all.
    pub(crate) end_rights: Option<GroupState>,
    /// Accounts that have had a seat on the head's side since, and where they parted.
    pub(crate) seen: BTreeSet<AccountId>,
    /// The lowest role that each had there since, of those who were put down.
    pub(crate) lowest: BTreeMap<AccountId, Role>,
    /// Who could write there since when fewest could, if somebody lost that.
    pub(crate) may_write: Option<Role>,
    /// Those who were out there for a while since.
    pub(crate) absent: BTreeSet<AccountId>,
}

/// What the head has left and nobody here has done again yet, oldest first.
pub(crate) fn lost(step: &Step<'_, '_>, group: &Gid) -> Result<Vec<EpochId>, Stop> {
    let sql = "SELECT epoch_id FROM epoch INDEXED BY epoch_lost WHERE group_id = ? AND lost = 1 ORDER BY number";
    let mut rows = step.tx.prepare_cached(sql)?;
    let found = rows.query_map([group], |row| row.get(0).map(EpochId::from_bytes))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Of those, some are commits by this account.
pub(crate) fn some_lost_of(step: &Step<'_, '_>, group: &Gid, author: AccountId) -> Result<bool, Stop> {
    let sql = "SELECT 1 FROM epoch INDEXED BY epoch_lost WHERE group_id = ? AND lost = 1 AND author = ?";
    Ok(step.tx.prepare_cached(sql)?.exists(params![group, author.as_bytes()])?)
}

/// A commit that is there; nothing where it is on the head's branch, or nobody does it again.
pub(crate) fn beside(step: &Step<'_, '_>, of: &Conversation, made: EpochId) -> Result<Option<Beside>, Stop> {
    let nodes = nodes(step, &of.group)?;
    let tree = parents(&nodes);
    let (there, here) = (path(&tree, made), path(&tree, of.epoch));
    let root = there.last().copied().unwrap_or(made);
    let forfeited = forfeited(step, &nodes, (root, of.epoch))?;
    let Some(commit) = tree.get(&made).copied().flatten() else {
        return Ok(None);
    };
    if here.contains(&made) || forfeited.contains(&made) {
        return Ok(None);
    }
    let parted = here.iter().position(|epoch| there.contains(epoch));
    let since = here.get(..parted.unwrap_or(here.len())).unwrap_or_default();
    let base = parted.and_then(|at| here.get(at)).copied();
    let way = since.iter().chain(&base).rev();
    let way: Vec<&Node> = way
        .filter_map(|epoch| nodes.iter().find(|node| node.epoch == *epoch))
        .collect();
    let (seen, absent) = seats_along(&way);
    let (lowest, may_write) = taken_on(step, way.get(usize::from(base.is_some())..).unwrap_or_default())?;
    let end = end_of_lost(&nodes, &forfeited, &votes(step, &of.group)?, made);
    let found = Beside {
        author: commit.author,
        before: commit.parent,
        base,
        end,
        end_rights: forfeited.rights.get(&end).cloned(),
        seen,
        lowest,
        may_write,
        absent,
    };
    Ok(Some(found))
}

/// Who has a seat somewhere along this way, and of those who has lost it again on it.
fn seats_along(way: &[&Node]) -> (BTreeSet<AccountId>, BTreeSet<AccountId>) {
    let (mut seen, mut absent) = (BTreeSet::new(), BTreeSet::new());
    for node in way {
        absent.extend(seen.difference(&node.members).copied());
        seen.extend(node.members.iter().copied());
    }
    (seen, absent)
}

/// This epoch is still read here, and lies beside the head's branch.
pub(crate) fn is_kept_beside(step: &Step<'_, '_>, of: &Conversation, epoch: EpochId) -> Result<bool, Stop> {
    let here = path_in(&lineage(step, &of.group)?, of.epoch);
    Ok(!here.contains(&epoch) && retained(step, &of.group)?.contains(&epoch))
}

/// What these commits took from those who kept a seat.
fn taken_on(step: &Step<'_, '_>, on: &[&Node]) -> Result<(BTreeMap<AccountId, Role>, Option<Role>), Stop> {
    let (mut lowest, mut may_write): (BTreeMap<AccountId, Role>, Option<Role>) = (BTreeMap::new(), None);
    for node in on {
        let Some(commit) = node.commit.as_ref().filter(|commit| !commit.unseats.is_empty()) else {
            continue;
        };
        for (account, role) in &commit.unseats {
            let role = role.unwrap_or(Role::Reader);
            let before = lowest.entry(*account).or_insert(role);
            *before = role.max(*before);
        }
        let now = state(step, node.epoch)?.map(|state| state.may_write);
        may_write = may_write.into_iter().chain(now).min();
    }
    Ok((lowest, may_write))
}

/// Commits beside the head's branch that took something from somebody, and when each became known here.
pub(crate) fn unseating_beside(step: &Step<'_, '_>, of: &Conversation) -> Result<Vec<(EpochId, i64)>, Stop> {
    let all = unseating(step, &of.group)?;
    if all.is_empty() {
        return Ok(vec![]);
    }
    let here = path_in(&lineage(step, &of.group)?, of.epoch);
    let mut beside = Vec::new();
    for epoch in all.into_iter().filter(|epoch| !here.contains(epoch)) {
        beside.push((epoch, known_at(step, epoch)?));
    }
    Ok(beside)
}

pub(super) fn known_at(step: &Step<'_, '_>, epoch: EpochId) -> Result<i64, Stop> {
    let sql = "SELECT made_at FROM epoch WHERE epoch_id = ?";
    Ok(step
        .tx
        .prepare_cached(sql)?
        .query_row([epoch.as_bytes()], |row| row.get(0))?)
}

/// Where the branch of a commit ends that lost. What nobody does again leads nowhere, unless others went on from it.
pub(super) fn end_of_lost(nodes: &[Node], forfeited: &Forfeited, votes: &fork::Votes, made: EpochId) -> EpochId {
    let tree = parents(nodes);
    let others = nodes.iter().filter(|node| !forfeited.contains(&node.epoch));
    let ways: BTreeSet<EpochId> = others.flat_map(|node| path(&tree, node.epoch)).collect();
    let nodes: Vec<Node> = nodes
        .iter()
        .filter(|node| ways.contains(&node.epoch))
        .cloned()
        .collect();
    let all = Clauses {
        void: false,
        ..Clauses::ALL
    };
    fork::head_by(&nodes, votes, made, all)
}

/// Commits of mine beside the head's branch that added somebody who is not in the head.
pub(crate) fn mine_beside(step: &Step<'_, '_>, of: &Conversation) -> Result<Vec<EpochId>, Stop> {
    let sql = "SELECT epoch_id FROM epoch WHERE group_id = ? AND author = ? AND class < 2 AND parent IS NOT NULL
               ORDER BY number";
    let mut mine: Vec<EpochId> = step
        .tx
        .prepare_cached(sql)?
        .query_map(params![of.group, step.me()?.as_bytes()], |row| {
            row.get(0).map(EpochId::from_bytes)
        })?
        .collect::<Result<_, _>>()?;
    let here = path_in(&lineage(step, &of.group)?, of.epoch);
    mine.retain(|made| !here.contains(made));
    if mine.is_empty() {
        return Ok(vec![]);
    }
    let inside = accounts(step, of.epoch)?;
    let mut found = Vec::new();
    for made in mine {
        let Some(commit) = beside(step, of, made)? else {
            continue;
        };
        let waits = |account: &AccountId| !inside.contains(account) && !commit.seen.contains(account);
        if added(step, commit.before, made)?.iter().any(waits) {
            found.push(made);
        }
    }
    Ok(found)
}

/// Whom my commit that made this epoch added; nobody where it is another one's.
pub(crate) fn added_by_me(step: &Step<'_, '_>, made: EpochId) -> Result<Vec<AccountId>, Stop> {
    let sql = "SELECT parent FROM epoch WHERE epoch_id = ? AND author = ? AND parent IS NOT NULL AND class < 2";
    let parent: Option<[u8; 16]> = step
        .tx
        .prepare_cached(sql)?
        .query_row(params![made.as_bytes(), step.me()?.as_bytes()], |row| row.get(0))
        .optional()?;
    match parent {
        Some(parent) => added(step, EpochId::from_bytes(parent), made),
        None => Ok(vec![]),
    }
}

/// Another one's commit, beside the head's branch, adds some that mine have added on it. Out: the epochs that mine made.
pub(super) fn mine_with_the_same(step: &Step<'_, '_>, group: &Gid, theirs: EpochId) -> Result<Vec<EpochId>, Stop> {
    let Some(of) = load(step, group)? else {
        return Ok(vec![]);
    };
    let nodes = nodes(step, group)?;
    let tree = parents(&nodes);
    let here = path(&tree, of.epoch);
    let Some(commit) = tree.get(&theirs).copied().flatten().filter(|_| !here.contains(&theirs)) else {
        return Ok(vec![]);
    };
    let came = added(step, commit.parent, theirs)?;
    let mut found = Vec::new();
    for made in here.into_iter().filter(|_| !came.is_empty()) {
        if added_by_me(step, made)?.iter().any(|account| came.contains(account)) {
            found.push(made);
        }
    }
    Ok(found)
}

fn added(step: &Step<'_, '_>, before: EpochId, made: EpochId) -> Result<Vec<AccountId>, Stop> {
    let was = accounts(step, before)?;
    Ok(accounts(step, made)?.difference(&was).copied().collect())
}
