//! Removals that lost to a fork and are not done again yet: where is written meanwhile.
//!
//! In: the tree, the head. Out: the head, an epoch that none of those who were removed can read, or nowhere yet; and whether
//! I am one of them. Specified in `docs/protocol/09-forks.md` (FORK-8).

use crate::conversation::Conversation;
use crate::defence::{self, Defence};
use crate::fork::Node;
use crate::group;
use crate::step::{Step, Stop};
use std::collections::BTreeSet;
use stonechat_wire::ids::{AccountId, EpochId};

use super::beside::{end_of_lost, known_at};
use super::head::votes;
use super::tree::{Parents, lineage, nodes, parents, path, path_in};
use super::void::{forfeited, unseating};
use super::{is_readable, members, near};

/// So long after a removal became known those who write wait for it to be done again.
pub(crate) const AGAIN_WITHIN_MS: u64 = 60 * 1000;

/// Where is written while a removal that is known lies beside the head, and whom it removed is in the head as if nothing had
/// been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meanwhile {
    /// In the head: there is no such removal.
    Head,
    /// At the end of its branch: nobody is there whom the head's has removed.
    Branch(EpochId),
    /// Nowhere: it is done again in a moment, or somebody else is there whom the head has removed.
    Nowhere,
}

/// Where is written.
pub(crate) fn meanwhile(step: &Step<'_, '_>, of: &Conversation) -> Result<Meanwhile, Stop> {
    if !of.grouped || !unseats_beside(step, of)? || !defence::holds(Defence::LostRemovals) {
        return Ok(Meanwhile::Head);
    }
    let nodes = nodes(step, &of.group)?;
    let (mut open, mut new) = (Vec::new(), group::again::is_due_soon(step, &of.group)?);
    for (removal, end) in lost_removals(step, of, &nodes)? {
        if is_written_in(step, of, end)? {
            open.push(end);
            new |= is_new(step, removal)?;
        }
    }
    match (open.is_empty(), new) {
        (true, _) => return Ok(Meanwhile::Head),
        (false, true) => return Ok(Meanwhile::Nowhere),
        (false, false) => {}
    }
    let safe = open
        .into_iter()
        .find(|end| !whom_the_head_removed_is_in(&nodes, of.epoch, *end));
    Ok(safe.map_or(Meanwhile::Nowhere, Meanwhile::Branch))
}

/// Somebody is there who has been on the head's branch since the two parted, or where they did, and is not in the head.
fn whom_the_head_removed_is_in(nodes: &[Node], head: EpochId, there: EpochId) -> bool {
    let tree = parents(nodes);
    let (here, way) = (path(&tree, head), path(&tree, there));
    let Some(parted) = here.iter().position(|epoch| way.contains(epoch)) else {
        return true;
    };
    let since: BTreeSet<EpochId> = here.into_iter().take(parted + 1).collect();
    let members = |epoch: EpochId| nodes.iter().find(|node| node.epoch == epoch).map(|node| &node.members);
    let (Some(inside), Some(those)) = (members(head), members(there)) else {
        return true;
    };
    let mut before = nodes.iter().filter(|node| since.contains(&node.epoch));
    before.any(|node| {
        node.members
            .iter()
            .any(|account| those.contains(account) && !inside.contains(account))
    })
}

/// It became known so lately that whoever made it does it again in a moment, if it is there.
fn is_new(step: &Step<'_, '_>, removal: EpochId) -> Result<bool, Stop> {
    let ago = step.time.0.cast_signed().saturating_sub(known_at(step, removal)?);
    Ok((0..AGAIN_WITHIN_MS.cast_signed()).contains(&ago))
}

/// Removals that lie beside the head and are not taken back there, in the order of who made them, and where their branches
/// end.
fn lost_removals(step: &Step<'_, '_>, of: &Conversation, nodes: &[Node]) -> Result<Vec<(EpochId, EpochId)>, Stop> {
    let tree = parents(nodes);
    let root = path(&tree, of.epoch).last().copied().unwrap_or(of.epoch);
    let forfeited = forfeited(step, nodes, (root, of.epoch))?;
    let votes = votes(step, &of.group)?;
    let mut lost: Vec<&Node> = nodes.iter().filter(|node| !forfeited.contains(&node.epoch)).collect();
    lost.sort_by_key(|node| node.commit.as_ref().map(|commit| (commit.rank, commit.hash)));
    let mut ends = Vec::new();
    for removal in lost {
        let removed = back_in_the_head(removal, nodes, &tree, of.epoch);
        if removed.is_empty() {
            continue;
        }
        let end = end_of_lost(nodes, &forfeited, &votes, removal.epoch);
        let there = nodes.iter().find(|node| node.epoch == end);
        let is_there = |account: &AccountId| match forfeited.rights.get(&end) {
            Some(state) => state.role(*account).is_some(),
            None => there.is_some_and(|end| end.members.contains(account)),
        };
        if !removed.iter().all(is_there) {
            ends.push((removal.epoch, end));
        }
    }
    Ok(ends)
}

/// I am one of those who were removed: nobody writes to me, and whoever may removes me on the head as well (FORK-7).
pub(crate) fn is_removed_beside(step: &Step<'_, '_>, of: &Conversation) -> Result<bool, Stop> {
    if !of.grouped || !unseats_beside(step, of)? || !defence::holds(Defence::LostRemovals) {
        return Ok(false);
    }
    let (nodes, me) = (nodes(step, &of.group)?, step.me()?);
    let tree = parents(&nodes);
    let root = path(&tree, of.epoch).last().copied().unwrap_or(of.epoch);
    let forfeited = forfeited(step, &nodes, (root, of.epoch))?;
    let since = since_last_welcome(step, of)?;
    Ok(nodes
        .iter()
        .filter(|node| since.contains(&node.epoch) && !forfeited.contains(&node.epoch))
        .any(|node| back_in_the_head(node, &nodes, &tree, of.epoch).contains(&me)))
}

/// Epochs that became known since a Welcome led here last: whoever sent it took back what had removed me before.
fn since_last_welcome(step: &Step<'_, '_>, of: &Conversation) -> Result<BTreeSet<EpochId>, Stop> {
    let sql = "SELECT epoch_id FROM epoch WHERE group_id = ?1
               AND number > (SELECT max(number) FROM epoch WHERE group_id = ?1 AND parent IS NULL)";
    let mut rows = step.tx.prepare_cached(sql)?;
    let found = rows.query_map([of.group], |row| row.get(0).map(EpochId::from_bytes))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Somebody loses something by a commit beside the head's branch. Asked before the members of all epochs are read.
fn unseats_beside(step: &Step<'_, '_>, of: &Conversation) -> Result<bool, Stop> {
    let unseating = unseating(step, &of.group)?;
    if unseating.is_empty() {
        return Ok(false);
    }
    let head = path_in(&lineage(step, &of.group)?, of.epoch);
    Ok(unseating.iter().any(|epoch| !head.contains(epoch)))
}

/// Whom a commit beside the head's branch removes and who is in every epoch from where that branch left to the head: on it
/// nobody has let that account in again.
fn back_in_the_head(node: &Node, nodes: &[Node], tree: &Parents<'_>, head: EpochId) -> BTreeSet<AccountId> {
    let Some(commit) = &node.commit else {
        return BTreeSet::new();
    };
    let (there, here) = (path(tree, node.epoch), path(tree, head));
    let parted = here.iter().position(|epoch| there.contains(epoch));
    let Some(since) = parted
        .filter(|parted| *parted > 0)
        .and_then(|parted| here.get(..parted))
    else {
        return BTreeSet::new();
    };
    let since: BTreeSet<EpochId> = since.iter().copied().collect();
    let stays = |account: &AccountId| {
        let mut since = nodes.iter().filter(|node| since.contains(&node.epoch));
        since.all(|node| node.members.contains(account))
    };
    let removed = commit.unseats.keys().filter(|account| !node.members.contains(*account));
    removed.filter(|account| stays(account)).copied().collect()
}

/// My leaf is in it, and its messages are read.
fn is_written_in(step: &Step<'_, '_>, of: &Conversation, epoch: EpochId) -> Result<bool, Stop> {
    let me = step.me()?;
    let mine = members(step, epoch)?
        .into_iter()
        .any(|member| member.leaf == of.leaf && member.account == me);
    Ok(mine && is_readable(step, epoch)? && near(step, &of.group)?.contains(&epoch))
}
