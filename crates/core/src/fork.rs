//! Which branch is written to: the canonical child of every fork point, and so the head.
//!
//! In: the tree of commits, in which epochs each account has written, and where last. Out: the head. A pure function:
//! no clock, no depth, no order of arrival, so that whoever knows the same ends at the same head (FORK-1).
//! Keeping the tree is `conversation::epochs`'s job, judging a commit the caller's before it comes here.
//! Specified in `docs/protocol/09-forks.md`; a model checker tries the rule in `tests/it/fork_model.rs`.

use std::collections::{BTreeMap, BTreeSet};
use stonechat_wire::group::Role;
use stonechat_wire::ids::{AccountId, EpochId};

/// What a commit is for: lower goes first (FORK-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Class {
    /// Somebody is removed or loses rights.
    Unseats = 0,
    /// Anything else that only some may do.
    Admin = 1,
    /// The committer's own keys.
    Renewal = 2,
}

/// An epoch, and the commit that made it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// The epoch.
    pub epoch: EpochId,
    /// Accounts that are members of it.
    pub members: BTreeSet<AccountId>,
    /// How it came to be; nothing where it was founded or joined here.
    pub commit: Option<Commit>,
}

/// The commit of a [`Node`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Commit {
    /// The epoch it was made in.
    pub parent: EpochId,
    /// Who made it.
    pub author: AccountId,
    /// What it is for.
    pub class: Class,
    /// Its author's authority in the parent; 0 is the highest.
    pub rank: u32,
    /// SHA-256 of its bytes.
    pub hash: [u8; 32],
    /// Accounts that it removes or takes rights from, and the role that each has after it; nothing where that is none.
    pub unseats: BTreeMap<AccountId, Option<Role>>,
    /// Beginning of the author's leaf key.
    pub leaf: [u8; 8],
    /// Beginnings of the keys of leaves of its author's account that it takes out, their device being revoked.
    pub ousts: Vec<[u8; 8]>,
}

impl Commit {
    /// It takes rights from whoever made this other one.
    fn unseats_author_of(&self, other: &Self) -> bool {
        self.unseats.contains_key(&other.author) || self.ousts.contains(&other.leaf)
    }

    /// It takes as much from this account as another one, which takes something from it.
    fn takes_as_much(&self, account: AccountId, other: &Self) -> bool {
        match (self.unseats.get(&account), other.unseats.get(&account)) {
            (Some(None), Some(_)) => true,
            (Some(Some(here)), Some(Some(there))) => here >= there,
            _less_or_nothing => false,
        }
    }
}

/// What a fork is decided by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Votes {
    /// Accounts and epochs they have ever written in.
    pub wrote: BTreeSet<(AccountId, EpochId)>,
    /// Where each account's causally newest message stands.
    pub newest: BTreeMap<AccountId, EpochId>,
}

/// Which clauses of the rule hold: all of them, but where a test asks what each is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Clauses {
    /// FORK-2: commits of the unseated are void.
    pub void: bool,
    /// FORK-3: two thirds who write on a branch hold it.
    pub held: bool,
    /// FORK-5: who has moved on cannot come back with a rival.
    pub moved_on: bool,
    /// FORK-6: of two commits by one author on one parent one counts.
    pub one_each: bool,
}

impl Clauses {
    /// The rule.
    pub const ALL: Self = Self {
        void: true,
        held: true,
        moved_on: true,
        one_each: true,
    };
}

/// The end of the canonical branch from `root` on.
#[must_use]
pub fn head(nodes: &[Node], votes: &Votes, root: EpochId) -> EpochId {
    head_by(nodes, votes, root, Clauses::ALL)
}

/// FORK-2: the epochs, from `root` on, of commits that are void where this is the head.
#[must_use]
pub fn void(nodes: &[Node], root: EpochId, head: EpochId) -> BTreeSet<EpochId> {
    let tree = Tree::of(nodes, root);
    tree.void(&tree.ancestors(head))
}

/// Of those, the ones whose own author was unseated; the others descend from them.
#[must_use]
pub fn void_by_author(nodes: &[Node], root: EpochId, head: EpochId) -> BTreeSet<EpochId> {
    let tree = Tree::of(nodes, root);
    tree.void_by_author(&tree.ancestors(head))
}

/// [`head`] under some of the clauses.
#[must_use]
pub fn head_by(nodes: &[Node], votes: &Votes, root: EpochId, clauses: Clauses) -> EpochId {
    let tree = Tree::of(nodes, root);
    let (mut at, mut way) = (root, BTreeSet::from([root]));
    let mut void = if clauses.void { tree.void(&way) } else { BTreeSet::new() };
    // A tree has no circles, for each node has one parent; the bound is against nodes that are their own ancestors.
    for _ in 0..=nodes.len() {
        if tree.may_spare_a_child(&void, &way, at) {
            void = tree.void(&way);
        }
        match tree.canonical_child(votes, &void, at, clauses) {
            Some(next) => at = next,
            None => return at,
        }
        way.insert(at);
    }
    at
}

struct Tree<'a> {
    nodes: BTreeMap<EpochId, &'a Node>,
    children: BTreeMap<EpochId, Vec<(EpochId, &'a Commit)>>,
}

impl<'a> Tree<'a> {
    /// Of these nodes, those that descend from `root`: what I was in before I was added again decides nothing.
    fn of(nodes: &'a [Node], root: EpochId) -> Self {
        let all = Self::whole(nodes);
        let below = all.below(root);
        Self {
            nodes: all
                .nodes
                .into_iter()
                .filter(|(epoch, _)| below.contains(epoch))
                .collect(),
            children: all
                .children
                .into_iter()
                .filter(|(epoch, _)| below.contains(epoch))
                .collect(),
        }
    }

    fn whole(nodes: &'a [Node]) -> Self {
        let mut children: BTreeMap<EpochId, Vec<(EpochId, &Commit)>> = BTreeMap::new();
        for node in nodes {
            if let Some(commit) = &node.commit {
                children.entry(commit.parent).or_default().push((node.epoch, commit));
            }
        }
        Self {
            nodes: nodes.iter().map(|node| (node.epoch, node)).collect(),
            children,
        }
    }

    fn children(&self, of: EpochId) -> &[(EpochId, &'a Commit)] {
        self.children.get(&of).map_or(&[], Vec::as_slice)
    }

    /// The epoch and everything that descends from it.
    fn below(&self, top: EpochId) -> BTreeSet<EpochId> {
        let (mut found, mut open) = (BTreeSet::new(), vec![top]);
        while let Some(epoch) = open.pop() {
            if found.insert(epoch) {
                open.extend(self.children(epoch).iter().map(|(child, _)| *child));
            }
        }
        found
    }

    /// FORK-2: commits whose author is unseated by a valid commit beside them, and all that descends from them. Judged from the
    /// highest authority down, so a void commit unseats nobody. On the canonical way those are spared whose author has lost
    /// as much there: whoever has a seat or a right there since was given it on purpose.
    fn void(&self, way: &BTreeSet<EpochId>) -> BTreeSet<EpochId> {
        let by_author = self.void_by_author(way);
        by_author.into_iter().flat_map(|epoch| self.below(epoch)).collect()
    }

    /// A child was void as long as the way to it was not known to be canonical.
    fn may_spare_a_child(&self, void: &BTreeSet<EpochId>, way: &BTreeSet<EpochId>, at: EpochId) -> bool {
        let mut children = self.children(at).iter().filter(|(epoch, _)| void.contains(epoch));
        children.any(|(_, commit)| {
            let mut made = way.iter().filter_map(|epoch| self.nodes.get(epoch)?.commit.as_ref());
            made.any(|made| made.unseats.contains_key(&commit.author))
        })
    }

    fn void_by_author(&self, way: &BTreeSet<EpochId>) -> BTreeSet<EpochId> {
        let mut unseating: Vec<(EpochId, &Commit)> = self
            .commits()
            .filter(|(_, c)| !c.unseats.is_empty() || !c.ousts.is_empty())
            .collect();
        unseating.sort_by_key(|(_, commit)| (commit.rank, commit.hash));
        let (mut void, mut by_author) = (BTreeSet::new(), BTreeSet::new());
        for (epoch, commit) in unseating {
            if void.contains(&epoch) {
                continue;
            }
            let (after, before) = (self.below(epoch), self.ancestors(epoch));
            for (other, by) in self.commits().filter(|(_, c)| commit.unseats_author_of(c)) {
                let beside = !after.contains(&other) && !before.contains(&other);
                let spared = way.contains(&by.parent) && self.has_lost_as_much(by, commit, &before);
                if beside && !spared {
                    by_author.insert(other);
                    void.extend(self.below(other));
                }
            }
        }
        by_author
    }

    /// On the way to a commit since it left these epochs its author has lost as much as by this other one.
    fn has_lost_as_much(&self, commit: &Commit, beside: &Commit, shared: &BTreeSet<EpochId>) -> bool {
        let mut at = commit.parent;
        for _ in 0..=self.nodes.len() {
            let made = self.nodes.get(&at).and_then(|node| node.commit.as_ref());
            let Some(made) = made.filter(|_| !shared.contains(&at)) else {
                return false;
            };
            if made.takes_as_much(commit.author, beside) {
                return true;
            }
            at = made.parent;
        }
        false
    }

    /// The epoch and what it descends from.
    fn ancestors(&self, epoch: EpochId) -> BTreeSet<EpochId> {
        let (mut found, mut at) = (BTreeSet::new(), Some(epoch));
        while let Some(epoch) = at.filter(|epoch| found.insert(*epoch)) {
            let node = self.nodes.get(&epoch);
            at = node.and_then(|node| node.commit.as_ref()).map(|commit| commit.parent);
        }
        found
    }

    fn commits(&self) -> impl Iterator<Item = (EpochId, &'a Commit)> + '_ {
        self.children.values().flatten().copied()
    }

    fn canonical_child(
        &self,
        votes: &Votes,
        void: &BTreeSet<EpochId>,
        parent: EpochId,
        clauses: Clauses,
    ) -> Option<EpochId> {
        let valid: Vec<_> = self
            .children(parent)
            .iter()
            .filter(|(epoch, _)| !void.contains(epoch))
            .copied()
            .collect();
        let eligible: Vec<_> = valid
            .iter()
            .filter(|(epoch, commit)| !clauses.moved_on || !self.moved_on(votes, &valid, *epoch, commit))
            .filter(|(_, commit)| !clauses.one_each || !outdone(&valid, commit))
            .copied()
            .collect();
        // Where everybody has moved on to somebody else's, nobody's is better: the order decides among all.
        let among = if eligible.is_empty() { valid } else { eligible };
        let held = among
            .iter()
            .find(|(epoch, _)| clauses.held && self.is_held(votes, parent, *epoch));
        let first = among.iter().min_by_key(|(_, commit)| order(commit));
        held.or(first).map(|(epoch, _)| *epoch)
    }

    /// FORK-3: more than two thirds of the parent's accounts wrote last on this branch.
    fn is_held(&self, votes: &Votes, parent: EpochId, child: EpochId) -> bool {
        let Some(members) = self.nodes.get(&parent).map(|node| &node.members) else {
            return false;
        };
        let branch = self.below(child);
        let here = members
            .iter()
            .filter(|account| votes.newest.get(account).is_some_and(|epoch| branch.contains(epoch)));
        here.count() * 3 > members.len() * 2
    }

    /// FORK-5: the author wrote on another child's branch.
    fn moved_on(&self, votes: &Votes, siblings: &[(EpochId, &Commit)], child: EpochId, commit: &Commit) -> bool {
        // A revoked device writes on another branch so that its removal be void: that does not count.
        if !commit.ousts.is_empty() {
            return false;
        }
        siblings.iter().filter(|(other, _)| *other != child).any(|(other, _)| {
            let branch = self.below(*other);
            let wrote = votes
                .wrote
                .iter()
                .any(|(account, epoch)| *account == commit.author && branch.contains(epoch));
            let committed = self
                .commits()
                .any(|(_, c)| c.author == commit.author && branch.contains(&c.parent));
            wrote || committed
        })
    }
}

/// FORK-6: the same author has a lower commit on the same parent.
fn outdone(siblings: &[(EpochId, &Commit)], commit: &Commit) -> bool {
    siblings
        .iter()
        .any(|(_, other)| other.author == commit.author && order(other) < order(commit))
}

/// FORK-4: class, authority, hash.
fn order(commit: &Commit) -> (Class, u32, [u8; 32]) {
    (commit.class, commit.rank, commit.hash)
}

#[cfg(test)]
mod tests;
