//! Who fills the tree: a flood of commits pushes out itself, and nobody's removal.
//!
//! In: the tree, which epochs have keys, and in what order they became known. Out: which are closed first, and which places of
//! closed ones can go. Pure, but for the rows that go. Specified in `docs/protocol/07-conversation.md` (EPO-4, EPO-9).

use crate::defence::{self, Defence};
use crate::fork::{Commit, Node};
use crate::mls::Gid;
use crate::step::{Step, Stop};
use rusqlite::params;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use stonechat_wire::ids::{AccountId, EpochId};

use super::tree::{Parents, parents};

/// So many epochs of a conversation stand in its tree, with keys or without; then the oldest go, whoever made them.
const TREE_MAX: usize = 1_024;
/// Of one leaf's epochs in a row without a fork so many stay: the first, and one that shows that it went on (FORK-5).
const OF_ONE_LEAF: usize = 2;

/// Which to close, of those of one kind that have keys (in the order they became known): `most` may stay.
pub(super) fn to_close(nodes: &[Node], mut open: Vec<EpochId>, most: usize) -> Vec<EpochId> {
    let tree = parents(nodes);
    let oldest_first = nodes.len() > TREE_MAX || !defence::holds(Defence::FloodOfCommits);
    let mut closed = Vec::new();
    while open.len() > most {
        let place = if oldest_first { 0 } else { next(&tree, &open) };
        closed.push(open.remove(place));
    }
    closed
}

/// The oldest of whoever made most of them; where nobody made more than one, the oldest.
fn next(tree: &Parents<'_>, open: &[EpochId]) -> usize {
    let mut made: BTreeMap<AccountId, (usize, Reverse<usize>)> = BTreeMap::new();
    for (place, epoch) in open.iter().enumerate() {
        if let Some(commit) = tree.get(epoch).copied().flatten() {
            made.entry(commit.author).or_insert((0, Reverse(place))).0 += 1;
        }
    }
    match made.into_values().max() {
        Some((count, Reverse(oldest))) if count > 1 => oldest,
        _each_one => 0,
    }
}

/// Forgets what a flood left: places of epochs without keys at which nothing can come any more and that say nothing of their
/// author which another one before them does not say.
pub(super) fn forget(step: &mut Step<'_, '_>, group: &Gid, nodes: &[Node]) -> Result<(), Stop> {
    let open = super::retained(step, group)?;
    let mut into = BTreeMap::new();
    for (gone, before) in spare(nodes, &open) {
        let kept = *into.get(&before).unwrap_or(&before);
        if has_cut_writer(step, group, gone)? || waits(step, gone)? {
            continue;
        }
        into.insert(gone, kept);
        take_out(step, group, gone, kept)?;
    }
    Ok(())
}

/// Each with the epoch before it, and before those that come after it.
fn spare(nodes: &[Node], open: &[EpochId]) -> Vec<(EpochId, EpochId)> {
    let mut children: BTreeMap<Option<EpochId>, Vec<(EpochId, Option<&Commit>)>> = BTreeMap::new();
    for node in nodes {
        let commit = node.commit.as_ref();
        let parent = commit.map(|commit| commit.parent);
        children.entry(parent).or_default().push((node.epoch, commit));
    }
    let alone = |epoch| !open.contains(&epoch) && children.get(&Some(epoch)).is_some_and(|all| all.len() == 1);
    let mut found = Vec::new();
    let mut stack: Vec<_> = children
        .get(&None)
        .into_iter()
        .flatten()
        .map(|root| (*root, Seen::new()))
        .collect();
    while let Some(((epoch, commit), mut seen)) = stack.pop() {
        if let Some(commit) = commit {
            if !alone(commit.parent) {
                seen.clear();
            }
            let count = seen.entry((commit.author, commit.leaf)).or_default();
            *count += 1;
            let says_more = *count <= OF_ONE_LEAF || !unseats_nobody(commit);
            if !says_more && alone(epoch) && alone(commit.parent) {
                found.push((epoch, commit.parent));
            }
        }
        let next = children.get(&Some(epoch)).into_iter().flatten();
        stack.extend(next.map(|child| (*child, seen.clone())));
    }
    found
}

/// How many epochs of a leaf came one after the other without a fork.
type Seen = BTreeMap<(AccountId, [u8; 8]), usize>;

const fn unseats_nobody(commit: &Commit) -> bool {
    commit.unseats.is_empty() && commit.ousts.is_empty()
}

/// Somebody wrote there of whom a commit says up to where it counts: what was written there is still to be judged (GRP-6).
fn has_cut_writer(step: &Step<'_, '_>, group: &Gid, epoch: EpochId) -> Result<bool, Stop> {
    let sql = "SELECT 1 FROM wrote w JOIN cut c ON c.account = w.account JOIN epoch e ON e.epoch_id = c.epoch_id
               WHERE w.group_id = ?1 AND w.epoch_id = ?2 AND e.group_id = ?1";
    let mut rows = step.tx.prepare_cached(sql)?;
    Ok(rows.exists(params![group, epoch.as_bytes()])?)
}

/// It is a commit of mine that still waits for the others (EPO-6).
fn waits(step: &Step<'_, '_>, epoch: EpochId) -> Result<bool, Stop> {
    let sql = "SELECT 1 FROM outbox WHERE purpose = 4 AND about = ?";
    Ok(step.tx.prepare_cached(sql)?.exists([epoch.as_bytes()])?)
}

fn take_out(step: &Step<'_, '_>, group: &Gid, gone: EpochId, kept: EpochId) -> Result<(), Stop> {
    let both = params![gone.as_bytes(), kept.as_bytes(), group];
    for sql in [
        "UPDATE epoch SET parent = ?2 WHERE parent = ?1 AND group_id = ?3",
        "INSERT INTO wrote SELECT group_id, ?2, account, seq FROM wrote WHERE group_id = ?3 AND epoch_id = ?1
         ON CONFLICT DO UPDATE SET seq = max(seq, excluded.seq)",
        "DELETE FROM wrote WHERE group_id = ?3 AND epoch_id = ?1 AND ?2 IS NOT NULL",
        "DELETE FROM epoch WHERE epoch_id = ?1 AND group_id = ?3 AND ?2 IS NOT NULL",
    ] {
        step.tx.prepare_cached(sql)?.execute(both)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fork::Class;
    use std::collections::BTreeSet;

    const fn id(number: u8) -> EpochId {
        EpochId::from_bytes([number; 16])
    }

    const fn account(number: u8) -> AccountId {
        AccountId::from_bytes([number; 32])
    }

    /// One after the other, each made by the account of this number.
    fn chain(by: &[u8]) -> Vec<Node> {
        let commit = |(place, author): (u8, &u8)| Node {
            epoch: id(place + 1),
            members: BTreeSet::new(),
            commit: Some(Commit {
                parent: id(place),
                author: account(*author),
                class: Class::Renewal,
                rank: 0,
                hash: [place; 32],
                unseats: vec![],
                leaf: [*author; 8],
                ousts: vec![],
            }),
        };
        let root = Node {
            epoch: id(0),
            members: BTreeSet::new(),
            commit: None,
        };
        std::iter::once(root).chain((0..).zip(by).map(commit)).collect()
    }

    fn ids(numbers: &[u8]) -> Vec<EpochId> {
        numbers.iter().copied().map(id).collect()
    }

    #[test]
    fn a_flood_closes_its_own_before_what_is_old_epo_9() {
        let nodes = chain(&[1, 2, 3, 3, 3, 3]);
        let open = ids(&[0, 1, 2, 3, 4, 5]);
        assert_eq!(to_close(&nodes, open.clone(), 4), ids(&[3, 4]));
        assert_eq!(to_close(&nodes, open, 9), []);
        // Nobody made more than others: the oldest goes.
        let nodes = chain(&[1, 2, 3, 4, 5, 6]);
        assert_eq!(to_close(&nodes, ids(&[0, 1, 2, 3, 4, 5]), 4), ids(&[0, 1]));
    }

    #[test]
    fn many_who_flood_together_push_out_each_other_epo_9() {
        let by: Vec<u8> = (0..60).map(|commit| 2 + commit % 3).collect();
        let nodes = chain(&[&[1], by.as_slice()].concat());
        let open: Vec<EpochId> = (0..61).map(id).collect();
        let closed = to_close(&nodes, open, 31);
        assert_eq!(closed.len(), 30);
        assert!(!closed.contains(&id(0)) && !closed.contains(&id(1)));
    }

    #[test]
    fn of_a_flood_two_places_stay_and_a_fork_keeps_its_commits_epo_9() {
        let mut nodes = chain(&[1, 3, 3, 3, 3, 3, 2, 3]);
        let open = ids(&[0, 1, 7, 8]);
        let spared = |nodes: &[Node]| spare(nodes, &open);
        assert_eq!(spared(&nodes), [(id(4), id(3)), (id(5), id(4)), (id(6), id(5))]);
        let mut rival = nodes[5].clone();
        rival.epoch = id(50);
        nodes.push(rival);
        // At 4 are two children: it stays, and 5 begins anew.
        assert_eq!(spared(&nodes), []);
    }
}
