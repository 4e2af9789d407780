//! The tree of a conversation's epochs, as its rows have it, and the ways through it.
//!
//! In: rows of `epoch`. Out: nodes for `fork`, paths, what somebody lacks. Nothing is changed here.

use crate::conversation::{Conversation, load};
use crate::fork::{Class, Commit, Node};
use crate::mls::Gid;
use crate::step::{Step, Stop};
use std::collections::BTreeMap;
use stonechat_wire::group::{GroupState, Role};
use stonechat_wire::ids::{AccountId, EpochId};

use super::unpacked;

/// The epochs of the head's branch that somebody who stands here lacks, oldest first: those since this epoch, or since its
/// branch left the head's. None where it is not known.
pub(crate) fn since(step: &Step<'_, '_>, of: &Conversation, epoch: EpochId) -> Result<Vec<EpochId>, Stop> {
    let nodes = nodes(step, &of.group)?;
    let tree = parents(&nodes);
    let (there, here) = (path(&tree, epoch), path(&tree, of.epoch));
    Ok(match here.iter().position(|on| there.contains(on)) {
        Some(place) => here.into_iter().take(place).rev().collect(),
        None => vec![],
    })
}

/// The head's branch holds this epoch.
pub(crate) fn is_canonical(step: &Step<'_, '_>, group: &Gid, epoch: EpochId) -> Result<bool, Stop> {
    let head = load(step, group)?.ok_or(Stop::Refused("no such conversation"))?.epoch;
    Ok(head == epoch || path(&parents(&nodes(step, group)?), head).contains(&epoch))
}

pub(super) type Parents<'a> = BTreeMap<EpochId, Option<&'a Commit>>;

pub(super) fn parents(nodes: &[Node]) -> Parents<'_> {
    nodes.iter().map(|node| (node.epoch, node.commit.as_ref())).collect()
}

/// From an epoch back to the root.
pub(super) fn path(tree: &Parents<'_>, from: EpochId) -> Vec<EpochId> {
    let mut path = vec![from];
    while let Some(Some(commit)) = path.last().and_then(|at| tree.get(at)) {
        if path.len() > tree.len() {
            break;
        }
        path.push(commit.parent);
    }
    path
}

/// Each epoch that is known here, with its parent: all that is needed to walk the tree.
pub(super) fn lineage(step: &Step<'_, '_>, group: &Gid) -> Result<BTreeMap<EpochId, Option<EpochId>>, Stop> {
    let mut rows = step
        .tx
        .prepare_cached("SELECT epoch_id, parent FROM epoch WHERE group_id = ?")?;
    let found = rows.query_map([group], |row| {
        let parent: Option<[u8; 16]> = row.get(1)?;
        Ok((EpochId::from_bytes(row.get(0)?), parent.map(EpochId::from_bytes)))
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// From an epoch back to the root.
pub(super) fn path_in(tree: &BTreeMap<EpochId, Option<EpochId>>, from: EpochId) -> Vec<EpochId> {
    let mut path = vec![from];
    while let Some(Some(parent)) = path.last().and_then(|at| tree.get(at)) {
        if path.len() > tree.len() {
            break;
        }
        path.push(*parent);
    }
    path
}

/// An epoch and all that descends from it.
pub(super) fn below(step: &Step<'_, '_>, top: EpochId) -> Result<Vec<EpochId>, Stop> {
    let mut rows = step.tx.prepare_cached(
        "WITH RECURSIVE below(id) AS (VALUES (?) UNION
             SELECT e.epoch_id FROM below b CROSS JOIN epoch e INDEXED BY epoch_by_parent ON e.parent = b.id)
         SELECT id FROM below",
    )?;
    let found = rows.query_map([top.as_bytes()], |row| Ok(EpochId::from_bytes(row.get(0)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

pub(super) fn nodes(step: &Step<'_, '_>, group: &Gid) -> Result<Vec<Node>, Stop> {
    let mut rows = step.tx.prepare_cached(
        "SELECT epoch_id, members, parent, author, class, rank, commit_hash, unseats, leaf_key, ousts,
                CASE WHEN unseats <> x'' THEN state END
         FROM epoch WHERE group_id = ?",
    )?;
    let found = rows.query_map([group], |row| {
        let parent: Option<[u8; 16]> = row.get(2)?;
        let commit = match parent {
            None => None,
            Some(parent) => Some(Commit {
                parent: EpochId::from_bytes(parent),
                author: AccountId::from_bytes(row.get(3)?),
                class: class_of(row.get(4)?),
                rank: row.get(5)?,
                hash: row.get(6)?,
                unseats: with_roles(
                    &row.get::<_, Vec<u8>>(7)?,
                    row.get::<_, Option<Vec<u8>>>(10)?.as_deref(),
                ),
                leaf: row.get(8)?,
                ousts: row.get::<_, Vec<u8>>(9)?.as_chunks().0.to_vec(),
            }),
        };
        let members: Vec<u8> = row.get(1)?;
        Ok(Node {
            epoch: EpochId::from_bytes(row.get(0)?),
            members: unpacked(&members).into_iter().map(|member| member.account).collect(),
            commit,
        })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

const fn class_of(number: u8) -> Class {
    match number {
        0 => Class::Unseats,
        1 => Class::Admin,
        _renewal => Class::Renewal,
    }
}

/// The unseated, with the roles that they have by the state after the commit.
fn with_roles(packed: &[u8], state: Option<&[u8]>) -> BTreeMap<AccountId, Option<Role>> {
    let state = state.and_then(|bytes| GroupState::decode(bytes).ok());
    let accounts = packed.chunks_exact(32).filter_map(AccountId::from_slice);
    let with_role = |account| (account, state.as_ref().and_then(|state| state.role(account)));
    accounts.map(with_role).collect()
}
