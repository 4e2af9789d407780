//! Who has left and is in again: the word of before takes nobody out on another branch.
//!
//! In: the tree, the cuts. Out: whether a commit that is not void has added the account again after one that carried its
//! leave out. Specified in `docs/protocol/12-groups.md` (GRP-7).

use crate::conversation::Conversation;
use crate::fork::{self, Node};
use crate::step::{Step, Stop};
use rusqlite::params;
use stonechat_wire::ids::{AccountId, EpochId};

use super::members;
use super::tree::{Parents, nodes, parents, path};

/// It is in again since it left with the leaf whose key begins so.
pub(crate) fn came_back(
    step: &Step<'_, '_>,
    of: &Conversation,
    account: AccountId,
    key: [u8; 8],
) -> Result<bool, Stop> {
    let nodes = nodes(step, &of.group)?;
    let tree = parents(&nodes);
    let root = path(&tree, of.epoch).last().copied().unwrap_or(of.epoch);
    let void = fork::void(&nodes, root, of.epoch);
    let is_in = |epoch: &EpochId| {
        nodes
            .iter()
            .any(|node| node.epoch == *epoch && node.members.contains(&account))
    };
    let added = |node: &&Node| {
        let parent = node.commit.as_ref().map(|commit| commit.parent);
        !void.contains(&node.epoch) && node.members.contains(&account) && parent.is_some_and(|parent| !is_in(&parent))
    };
    for node in nodes.iter().filter(added) {
        if went_out_by_leave(step, (&tree, node.epoch), (account, key), is_in)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The last commit before this epoch that took the account out removed this leaf, and says no cut of it: it had signed.
fn went_out_by_leave(
    step: &Step<'_, '_>,
    (tree, added): (&Parents<'_>, EpochId),
    (account, key): (AccountId, [u8; 8]),
    is_in: impl Fn(&EpochId) -> bool,
) -> Result<bool, Stop> {
    let way = path(tree, added);
    let out = way.windows(2).skip(1).find_map(|pair| match pair {
        [after, before] if !is_in(after) && is_in(before) => Some((*after, *before)),
        _neither => None,
    });
    let Some((after, before)) = out else { return Ok(false) };
    let before = members(step, before)?;
    let had = before
        .iter()
        .any(|member| member.account == account && member.key == key);
    let sql = "SELECT 1 FROM cut WHERE epoch_id = ? AND account = ? AND leaf = x''";
    let mut cut = step.tx.prepare_cached(sql)?;
    Ok(had && !cut.exists(params![after.as_bytes(), account.as_bytes()])?)
}
