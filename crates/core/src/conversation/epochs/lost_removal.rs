//! Removals that lost to a fork and are not done again yet: where is written meanwhile.
//!
//! In: the tree, the head. Out: an epoch that those who were removed cannot read. Specified in `docs/protocol/09-forks.md`
//! (FORK-8).

use crate::conversation::Conversation;
use crate::defence::{self, Defence};
use crate::fork::{self, Node};
use crate::step::{Step, Stop};
use std::collections::BTreeSet;
use stonechat_wire::ids::{AccountId, EpochId};

use super::head::votes;
use super::tree::{Parents, lineage, nodes, parents, path, path_in};
use super::void::unseating;
use super::{is_readable, members, near};

/// Where a removal that is known has lost, and whom it removed is in the head as if nothing had been: the end of its
/// branch, if that is still written in.
pub(crate) fn beside_lost_removal(step: &Step<'_, '_>, of: &Conversation) -> Result<Option<EpochId>, Stop> {
    if !of.grouped || !unseats_beside(step, of)? || !defence::holds(Defence::LostRemovals) {
        return Ok(None);
    }
    let nodes = nodes(step, &of.group)?;
    let tree = parents(&nodes);
    let root = path(&tree, of.epoch).last().copied().unwrap_or(of.epoch);
    let void = fork::void(&nodes, root);
    let mut lost: Vec<&Node> = nodes.iter().filter(|node| !void.contains(&node.epoch)).collect();
    let votes = votes(step, &of.group)?;
    lost.retain(|node| {
        let end = fork::head(&nodes, &votes, node.epoch);
        let there = nodes.iter().find(|node| node.epoch == end);
        let taken_back = |account: &AccountId| there.is_some_and(|end| end.members.contains(account));
        !back_in_the_head(node, &nodes, &tree, of.epoch).iter().all(taken_back)
    });
    lost.sort_by_key(|node| node.commit.as_ref().map(|commit| (commit.rank, commit.hash)));
    for removal in lost {
        let end = fork::head(&nodes, &votes, removal.epoch);
        if is_written_in(step, of, end)? {
            return Ok(Some(end));
        }
    }
    Ok(None)
}

/// I am one of those who were removed: nobody writes to me, and whoever may removes me on the head as well (FORK-7).
pub(crate) fn is_removed_beside(step: &Step<'_, '_>, of: &Conversation) -> Result<bool, Stop> {
    if !of.grouped || !unseats_beside(step, of)? || !defence::holds(Defence::LostRemovals) {
        return Ok(false);
    }
    let (nodes, me) = (nodes(step, &of.group)?, step.me()?);
    let tree = parents(&nodes);
    let root = path(&tree, of.epoch).last().copied().unwrap_or(of.epoch);
    let void = fork::void(&nodes, root);
    let since = since_last_welcome(step, of)?;
    Ok(nodes
        .iter()
        .filter(|node| since.contains(&node.epoch) && !void.contains(&node.epoch))
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
    let removed = commit.unseats.iter().filter(|account| !node.members.contains(*account));
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
