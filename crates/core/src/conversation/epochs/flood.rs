//! Who fills the tree: a flood of commits pushes out itself, and nobody's removal.
//!
//! In: the tree, which epochs have keys, and in what order they became known. Out: which are closed first. Pure. Specified in
//! `docs/protocol/07-conversation.md` (EPO-4, EPO-9).

use crate::defence::{self, Defence};
use crate::fork::Node;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use stonechat_wire::ids::{AccountId, EpochId};

use super::tree::{Parents, parents};

/// So many epochs of a conversation stand in its tree, with keys or without; then the oldest go, whoever made them.
const TREE_MAX: usize = 1_024;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fork::{Class, Commit};
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
}
