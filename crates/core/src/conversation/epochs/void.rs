//! What commits seem to give that do not count: rights, where they are void, and a place in the group.
//!
//! In: epochs, messages. Out: the state by which rights are judged there; which messages are of somebody whom only commits
//! have let in that are void, or lie beside the head's branch. Specified in `docs/protocol/09-forks.md` (FORK-2) and `12-groups.md` (GRP-6).

use crate::conversation::{Conversation, load};
use crate::defence::{self, Defence};
use crate::fork::{self, Commit, Node};
use crate::group;
use crate::mls::Gid;
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use std::collections::{BTreeMap, BTreeSet};
use stonechat_wire::group::{GroupState, Role};
use stonechat_wire::ids::{AccountId, EpochId, MessageId};

use super::state;
use super::tree::{lineage, nodes, parents, path, path_in};

/// The state that says who may do what with what was written in an epoch: its own; where void commits led there, that of the
/// last epoch before them, for they give nobody a right.
pub(crate) fn rights(step: &Step<'_, '_>, epoch: EpochId) -> Result<Option<GroupState>, Stop> {
    state(step, before_void(step, epoch)?)
}

fn before_void(step: &Step<'_, '_>, epoch: EpochId) -> Result<EpochId, Stop> {
    let sql = "SELECT group_id FROM epoch WHERE epoch_id = ?";
    let group: Option<Gid> = step
        .tx
        .prepare_cached(sql)?
        .query_row([epoch.as_bytes()], |row| row.get(0))
        .optional()?;
    let Some(of) = group.map_or(Ok(None), |group| load(step, &group))? else {
        return Ok(epoch);
    };
    if is_on_heads_branch(step, &of, epoch)? {
        return Ok(epoch);
    }
    Ok(match Void::of(step, &of.group)? {
        Some(void) => void.last_before(epoch).unwrap_or(epoch),
        None => epoch,
    })
}

/// Messages of accounts that are where they wrote by void commits alone, or by lost ones and are not in the head.
pub(super) fn of_those_let_in(step: &Step<'_, '_>, of: &Conversation) -> Result<Vec<MessageId>, Stop> {
    let outside = Outside::of(step, of)?;
    let sql = "SELECT id FROM message WHERE group_id = ? AND sender = ? AND epoch_id = ? AND seq > 0";
    let mut rows = step.tx.prepare_cached(sql)?;
    let mut found = Vec::new();
    for node in &outside.nodes {
        for account in outside.let_in(node.epoch) {
            let theirs = rows.query_map(params![of.group, account.as_bytes(), node.epoch.as_bytes()], |row| {
                row.get(0)
            })?;
            for id in theirs {
                found.push(MessageId::from_bytes(id?));
            }
        }
    }
    Ok(found)
}

/// Whether only commits have let this account into this epoch that do not count.
pub(crate) fn is_let_in(
    step: &Step<'_, '_>,
    of: &Conversation,
    account: AccountId,
    epoch: EpochId,
) -> Result<bool, Stop> {
    if is_on_heads_branch(step, of, epoch)? {
        return Ok(false);
    }
    Ok(Outside::of(step, of)?.let_in(epoch).contains(&account))
}

/// What lies beside the head's branch.
struct Outside {
    nodes: Vec<Node>,
    /// Of those, what is void.
    void: BTreeSet<EpochId>,
    head: EpochId,
}

impl Outside {
    fn of(step: &Step<'_, '_>, of: &Conversation) -> Result<Self, Stop> {
        let void = Void::of(step, &of.group)?.map(|void| void.epochs).unwrap_or_default();
        let nodes = if defence::holds(Defence::VoidRights) {
            nodes(step, &of.group)?
        } else {
            vec![]
        };
        Ok(Self {
            nodes,
            void,
            head: of.epoch,
        })
    }

    fn members(&self, epoch: EpochId) -> BTreeSet<AccountId> {
        let node = self.nodes.iter().find(|node| node.epoch == epoch);
        node.map(|node| node.members.clone()).unwrap_or_default()
    }

    /// Who is in this epoch, is not in the head, and was not where its branch left the head's, or came by a void commit. None
    /// where the branches have nothing in common.
    fn let_in(&self, epoch: EpochId) -> BTreeSet<AccountId> {
        let tree = parents(&self.nodes);
        let (there, here) = (path(&tree, epoch), path(&tree, self.head));
        let Some(parted) = there
            .iter()
            .position(|on| here.contains(on))
            .filter(|parted| *parted > 0)
        else {
            return BTreeSet::new();
        };
        let last_valid = there.iter().find(|on| !self.void.contains(on));
        let before = there.get(parted).into_iter().chain(last_valid);
        let (members, head) = (self.members(epoch), self.members(self.head));
        let mut came: BTreeSet<AccountId> = BTreeSet::new();
        for before in before {
            came.extend(
                members
                    .difference(&self.members(*before))
                    .filter(|account| !head.contains(account)),
            );
        }
        came
    }
}

/// Nothing is void there.
fn is_on_heads_branch(step: &Step<'_, '_>, of: &Conversation, epoch: EpochId) -> Result<bool, Stop> {
    Ok(epoch == of.epoch || path_in(&lineage(step, &of.group)?, of.epoch).contains(&epoch))
}

/// The void part of a tree.
struct Void {
    nodes: Vec<Node>,
    epochs: BTreeSet<EpochId>,
}

impl Void {
    /// None where nobody was unseated: then nothing is void.
    fn of(step: &Step<'_, '_>, group: &Gid) -> Result<Option<Self>, Stop> {
        if unseating(step, group)?.is_empty() || !defence::holds(Defence::VoidRights) {
            return Ok(None);
        }
        let sql = "SELECT root, head FROM conversation WHERE group_id = ?";
        let mut query = step.tx.prepare_cached(sql)?;
        let (root, head) = query.query_row([group], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let nodes = nodes(step, group)?;
        let epochs = fork::void(&nodes, EpochId::from_bytes(root), EpochId::from_bytes(head));
        Ok(Some(Self { nodes, epochs }))
    }

    fn last_before(&self, epoch: EpochId) -> Option<EpochId> {
        let mut way = path(&parents(&self.nodes), epoch).into_iter();
        way.find(|on| !self.epochs.contains(on))
    }
}

/// What nobody does again (FORK-7), and what that leaves of the rest.
#[derive(Default)]
pub(super) struct Forfeited {
    /// Void commits whose own author was unseated; and of those that only descend from them the ones that take from somebody
    /// what their author could not take but for those.
    pub(super) epochs: BTreeSet<EpochId>,
    /// The states of void epochs, with the seats that they would have without these.
    pub(super) rights: BTreeMap<EpochId, GroupState>,
}

impl Forfeited {
    pub(super) fn contains(&self, epoch: &EpochId) -> bool {
        self.epochs.contains(epoch)
    }
}

/// Walks the void part of the tree from its beginnings on, with the seats as they would be without what is forfeited.
pub(super) fn forfeited(
    step: &Step<'_, '_>,
    nodes: &[Node],
    (root, head): (EpochId, EpochId),
) -> Result<Forfeited, Stop> {
    let void = fork::void(nodes, root, head);
    let mut forfeited = fork::void_by_author(nodes, root, head);
    let tree = parents(nodes);
    let mut commits: Vec<(usize, &Node, &Commit)> = Vec::new();
    for node in nodes.iter().filter(|node| void.contains(&node.epoch)) {
        if let Some(commit) = &node.commit {
            commits.push((path(&tree, node.epoch).len(), node, commit));
        }
    }
    commits.sort_by_key(|(depth, ..)| *depth);
    let mut rights: BTreeMap<EpochId, GroupState> = BTreeMap::new();
    for (_, node, commit) in commits {
        let was = state(step, commit.parent)?;
        let Some(mut here) = rights.get(&commit.parent).cloned().or_else(|| was.clone()) else {
            continue;
        };
        if !may_take(&here, was.as_ref(), commit) {
            forfeited.insert(node.epoch);
        }
        if let (Some(was), Some(then)) = (was, state(step, node.epoch)?)
            && !forfeited.contains(&node.epoch)
        {
            follow(&mut here, (&was, &then), commit.author);
        }
        rights.insert(node.epoch, here);
    }
    Ok(Forfeited {
        epochs: forfeited,
        rights,
    })
}

/// By these rights its author may take what it takes from those who are there by them. Who was no admin where it was made has
/// carried out what others signed (GRP-7).
fn may_take(by: &GroupState, was: Option<&GroupState>, commit: &Commit) -> bool {
    let admin = |state: &GroupState| state.role(commit.author).is_some_and(|role| role <= Role::Admin);
    let mut others = commit
        .unseats
        .keys()
        .filter(|account| **account != commit.author && by.role(**account).is_some());
    !was.is_some_and(admin) || admin(by) && others.all(|account| group::placed::is_above(by, commit.author, *account))
}

/// What a commit changed about seats and policy, as far as its author could by this state.
fn follow(state: &mut GroupState, (was, then): (&GroupState, &GroupState), author: AccountId) {
    let Some(may) = state.role(author) else {
        return;
    };
    let gone = |account| was.role(account).is_some() && then.role(account).is_none();
    state.seats.retain(|seat| !gone(seat.account));
    for seat in then
        .seats
        .iter()
        .filter(|seat| was.role(seat.account) != Some(seat.role))
    {
        let adds = was.role(seat.account).is_none() && may <= state.may_add && seat.role >= Role::Member;
        // Nobody is elected there (GRP-18): void commits say who the electors are.
        let gives = may == Role::Owner || may == Role::Admin && seat.role > may;
        if adds || gives {
            state.seats.retain(|other| other.account != seat.account);
            // Who steps down stands before others of that role.
            let place = if seat.account == author { 0 } else { state.seats.len() };
            state.seats.insert(place, seat.clone());
        }
    }
    if may <= Role::Admin {
        follow_one(&mut state.may_write, was.may_write, then.may_write);
        follow_one(&mut state.may_add, was.may_add, then.may_add);
        follow_one(&mut state.may_edit, was.may_edit, then.may_edit);
    }
    state.seats.sort_by_key(|seat| seat.role);
}

fn follow_one(policy: &mut Role, was: Role, then: Role) {
    if was != then {
        *policy = then;
    }
}

/// Some commit on the way to this epoch takes something from somebody: it may turn out void.
pub(crate) fn unseats_on_the_way(step: &Step<'_, '_>, group: &Gid, epoch: EpochId) -> Result<bool, Stop> {
    let unseating = unseating(step, group)?;
    if unseating.is_empty() {
        return Ok(false);
    }
    let way = path_in(&lineage(step, group)?, epoch);
    Ok(unseating.iter().any(|on| way.contains(on)))
}

/// The epochs of commits that take something from somebody: without one nothing is void.
pub(super) fn unseating(step: &Step<'_, '_>, group: &Gid) -> Result<Vec<EpochId>, Stop> {
    let sql = "SELECT epoch_id FROM epoch WHERE group_id = ? AND (unseats <> x'' OR ousts <> x'')";
    let mut rows = step.tx.prepare_cached(sql)?;
    let found = rows.query_map([group], |row| row.get(0).map(EpochId::from_bytes))?;
    Ok(found.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fork::Class;
    use stonechat_wire::group::Seat;

    fn account(n: u8) -> AccountId {
        AccountId::from_bytes([n; 32])
    }

    fn group(seats: &[(u8, Role)]) -> GroupState {
        let seat = |(n, role): &(u8, Role)| Seat {
            account: account(*n),
            role: *role,
            name: String::new(),
        };
        GroupState {
            large: false,
            name: String::new(),
            description: String::new(),
            may_write: Role::Member,
            may_add: Role::Member,
            may_edit: Role::Admin,
            seats: seats.iter().map(seat).collect(),
            picture: None,
        }
    }

    fn removal(author: u8, whom: u8) -> Commit {
        Commit {
            parent: EpochId::from_bytes([0; 16]),
            author: account(author),
            class: Class::Unseats,
            rank: 0,
            hash: [0; 32],
            unseats: BTreeMap::from([(account(whom), None)]),
            leaf: [0; 8],
            ousts: vec![],
        }
    }

    #[test]
    fn what_others_gave_on_a_void_branch_is_followed_and_what_the_unseated_gave_is_not_fork_7() {
        let [owner, admin, member, later] = [1, 2, 3, 4];
        let before = group(&[(owner, Role::Owner), (admin, Role::Member), (member, Role::Member)]);
        let with = |seats: &[(u8, Role)]| [&[(owner, Role::Owner)], seats].concat();
        let raised = group(&with(&[(admin, Role::Admin), (member, Role::Member)]));
        let mut state = before.clone();
        follow(&mut state, (&before, &raised), account(member));
        assert_eq!(state, before, "no member makes admins");
        assert!(!may_take(&state, Some(&raised), &removal(admin, member)));
        follow(&mut state, (&before, &raised), account(owner));
        assert_eq!(state, raised);
        assert!(may_take(&state, Some(&raised), &removal(admin, member)));
        // A member adds somebody, whom the admin removes; who carries out a leave takes nothing.
        let grown = group(&with(&[
            (admin, Role::Admin),
            (member, Role::Member),
            (later, Role::Member),
        ]));
        assert!(
            may_take(&state, Some(&grown), &removal(admin, later)),
            "nothing is taken from who is not there"
        );
        assert!(
            !may_take(&before, Some(&grown), &removal(admin, later)),
            "who is no admin takes nothing"
        );
        follow(&mut state, (&raised, &grown), account(member));
        assert!(state.role(account(later)).is_some());
        assert!(may_take(&state, Some(&grown), &removal(admin, later)));
        assert!(may_take(&state, Some(&grown), &removal(member, admin)));
        follow(&mut state, (&grown, &raised), account(member));
        assert_eq!(state, raised);
        // An owner by void commits alone makes no owner.
        let owned = group(&with(&[(admin, Role::Owner), (member, Role::Member)]));
        let ours = group(&with(&[(admin, Role::Owner), (member, Role::Owner)]));
        follow(&mut state, (&owned, &ours), account(admin));
        assert_eq!(state, raised);
        follow(&mut state, (&raised, &owned), account(admin));
        assert_eq!(state, raised, "nor is one elected");
        // A removal of several, and a lock, count though one of those is there by a void commit alone.
        let mut both = removal(owner, member);
        both.unseats.insert(account(later), None);
        assert!(may_take(&state, Some(&grown), &both));
        let mut locked = raised.clone();
        locked.may_write = Role::Admin;
        follow(&mut state, (&raised, &locked), account(member));
        assert_eq!(state, raised, "no member locks");
        follow(&mut state, (&raised, &locked), account(admin));
        assert_eq!(state, locked);
    }
}
