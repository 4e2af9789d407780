//! Where a message belongs: the epoch it was encrypted in first, and those in which it may be encrypted again.
//!
//! In: a message of mine, the head. Out: an epoch. Specified in `docs/protocol/07-conversation.md` (CNV-6) and
//! `08-outbox.md` (OUT-5).

use crate::conversation::Conversation;
use crate::fork::Node;
use crate::step::{Step, Stop};
use rusqlite::OptionalExtension;
use std::collections::BTreeSet;
use stonechat_wire::ids::{AccountId, EpochId, MessageId};

use super::tree::{nodes, parents, path};
use super::void::{forfeited, unseats_on_the_way};
use super::{accounts, members, near, readers};

/// Where a message of `first` can be encrypted again: the newest epoch with keys on the head's branch in which nobody is
/// who was not in `first` (CNV-6). Where `first` is closed and there is none: the head.
pub(crate) fn readable_at(
    step: &Step<'_, '_>,
    of: &Conversation,
    first: EpochId,
    closed: bool,
) -> Result<Option<EpochId>, Stop> {
    if !of.grouped && of.shared {
        return readable_beside(step, of, first, closed);
    }
    if !of.grouped {
        return Ok(Some(of.epoch));
    }
    let (nodes, open) = (nodes(step, &of.group)?, near(step, &of.group)?);
    let mut then = accounts(step, first)?;
    then.extend(removed_by_void_commits(step, &nodes, first, of.epoch)?);
    for epoch in path(&parents(&nodes), of.epoch) {
        if open.contains(&epoch) && accounts(step, epoch)?.is_subset(&then) {
            return Ok(Some(epoch));
        }
    }
    Ok(closed.then_some(of.epoch))
}

/// Somebody lacks this epoch for a void commit alone (FORK-2), and is a member all the same.
pub(crate) fn lacks_by_void(step: &Step<'_, '_>, of: &Conversation, epoch: EpochId) -> Result<bool, Stop> {
    if !unseats_on_the_way(step, &of.group, epoch)? {
        return Ok(false);
    }
    let nodes = nodes(step, &of.group)?;
    Ok(!removed_by_void_commits(step, &nodes, epoch, of.epoch)?.is_empty())
}

/// Whom nothing but commits that nobody does again (FORK-7) has taken out of an epoch: on the head's branch they have been
/// ever since the two parted.
fn removed_by_void_commits(
    step: &Step<'_, '_>,
    nodes: &[Node],
    epoch: EpochId,
    head: EpochId,
) -> Result<BTreeSet<AccountId>, Stop> {
    let tree = parents(nodes);
    let (there, mut since) = (path(&tree, epoch), path(&tree, head));
    let Some(root) = there.last() else {
        return Ok(BTreeSet::new());
    };
    let void = forfeited(step, nodes, (*root, head))?;
    since.truncate(since.iter().position(|on| there.contains(on)).unwrap_or(0));
    let on = |ways: &[EpochId]| -> Vec<&Node> { nodes.iter().filter(|node| ways.contains(&node.epoch)).collect() };
    let (way, since) = (on(&there), on(&since));
    let removed = |by_void: bool| -> BTreeSet<AccountId> {
        let some = way.iter().filter(|node| void.contains(&node.epoch) == by_void);
        let unseated = some
            .filter_map(|node| node.commit.as_ref())
            .flat_map(|commit| &commit.unseats);
        unseated
            .filter(|(_, role)| role.is_none())
            .map(|(account, _)| *account)
            .collect()
    };
    let (by_void, by_others) = (removed(true), removed(false));
    let unseated = by_void.difference(&by_others);
    let stays = |account: &&AccountId| since.iter().all(|node| node.members.contains(*account));
    Ok(unseated.filter(stays).filter(|_| !since.is_empty()).copied().collect())
}

/// My leaf in this epoch is the one I have now.
pub(crate) fn has_my_leaf(step: &Step<'_, '_>, of: &Conversation, epoch: EpochId) -> Result<bool, Stop> {
    let key = of.signer.public();
    let mine = |member: &super::Member| member.leaf == of.leaf && key.starts_with(&member.key);
    Ok(members(step, epoch)?.iter().any(mine))
}

/// The same between two of whom one has several devices: a device that came later would wait for what it cannot have.
fn readable_beside(
    step: &Step<'_, '_>,
    of: &Conversation,
    first: EpochId,
    closed: bool,
) -> Result<Option<EpochId>, Stop> {
    let (then, open) = (readers(step, first)?, near(step, &of.group)?);
    for epoch in path(&parents(&nodes(step, &of.group)?), of.epoch) {
        if open.contains(&epoch) && readers(step, epoch)?.is_subset(&then) {
            return Ok(Some(epoch));
        }
    }
    Ok(closed.then_some(of.epoch))
}

/// Where a message of mine was encrypted first.
pub(crate) fn first_of(step: &Step<'_, '_>, id: MessageId) -> Result<Option<(EpochId, u32)>, Stop> {
    Ok(step
        .tx
        .prepare_cached("SELECT epoch_id, leaf FROM message WHERE id = ?")?
        .query_row([id.as_bytes()], |row| {
            Ok((EpochId::from_bytes(row.get(0)?), row.get(1)?))
        })
        .optional()?)
}

/// Who wrote with this leaf, where that account has another one in its place by now.
pub(crate) fn replaced_author(
    step: &Step<'_, '_>,
    epoch: EpochId,
    leaf: u32,
    now: &BTreeSet<(AccountId, [u8; 8])>,
) -> Result<Option<AccountId>, Stop> {
    let members = members(step, epoch)?;
    let author = members.into_iter().find(|member| member.leaf == leaf);
    let replaced = author.filter(|author| !now.contains(&(author.account, author.key)));
    Ok(replaced.map(|author| author.account))
}

/// The leaf that this account had in this epoch; nothing where the epoch is not known here.
pub(crate) fn was_leaf_of(step: &Step<'_, '_>, epoch: EpochId, leaf: u32) -> Result<Option<AccountId>, Stop> {
    let members = members(step, epoch)?;
    Ok(members
        .iter()
        .find(|member| member.leaf == leaf)
        .map(|member| member.account))
}
