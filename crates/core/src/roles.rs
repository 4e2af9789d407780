//! Who may change what in a group: a pure function of the state before, the state after, and who says so.
//!
//! In: both states, the committer, who comes and goes. Out: what kind of commit it is, or why it is refused. Every
//! receiver judges alike, and a committer judges its own wish first. Specified in `docs/protocol/12-groups.md`.

use crate::defence::{self, Defence};
use crate::fork::Class;
use std::collections::BTreeSet;
use stonechat_wire::group::{GroupState, Role, Seat};
use stonechat_wire::ids::AccountId;

/// So many electors are enough: further roles are not asked (GRP-18).
const ELECTORS_ENOUGH: usize = 3;

/// A commit as it is judged.
#[derive(Clone, Debug)]
pub(crate) struct Change<'a> {
    pub(crate) before: &'a GroupState,
    pub(crate) after: &'a GroupState,
    pub(crate) author: AccountId,
    /// Accounts of the leaves that are added.
    pub(crate) comes: BTreeSet<AccountId>,
    /// Accounts of the leaves that are removed.
    pub(crate) goes: BTreeSet<AccountId>,
    /// Of those: who has signed that it leaves.
    pub(crate) left: BTreeSet<AccountId>,
    /// Who has signed that the new owner becomes one (GRP-18).
    pub(crate) consents: BTreeSet<AccountId>,
    /// The committer's own keys are new.
    pub(crate) renewed: bool,
}

/// What a commit is, once it was found to be allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) class: Class,
    pub(crate) rank: u32,
    /// Accounts that are removed or lose rights.
    pub(crate) unseats: Vec<AccountId>,
    /// Leaves of the author's revoked devices: beginnings of their keys (DEV-4).
    pub(crate) ousts: Vec<[u8; 8]>,
}

impl Judged {
    /// A self-update by somebody of this authority.
    pub(crate) const fn renewal(rank: u32) -> Self {
        Self {
            class: Class::Renewal,
            rank,
            unseats: Vec::new(),
            ousts: Vec::new(),
        }
    }
}

type Verdict = Result<Judged, &'static str>;

/// Whether the committer may do this (GRP-3, GRP-4, GRP-5).
pub(crate) fn judge(change: &Change<'_>) -> Verdict {
    let judged = judge_by_rules(change);
    if defence::holds(Defence::CommitRules) {
        judged
    } else {
        judged.or(Ok(Judged::renewal(0)))
    }
}

fn judge_by_rules(change: &Change<'_>) -> Verdict {
    let place = change.before.rank(change.author).ok_or("not a member")?;
    let rank = u32::try_from(place).map_err(|_| "rank")?;
    check_seats(change)?;
    if change.before.large != change.after.large {
        return Err("the size is that of the founding"); // GRP-17
    }
    if !change.consents.is_empty() {
        return if succeeds(change) {
            Ok(judged(rank, vec![]))
        } else {
            Err("consents")
        };
    }
    if change.before == change.after && change.comes.is_empty() && change.goes.is_empty() {
        return if change.renewed {
            Ok(Judged::renewal(rank))
        } else {
            Err("nothing")
        };
    }
    if !change.goes.is_empty() && !change.renewed {
        return Err("a removal without new keys");
    }
    if brings_back(change) {
        let may = |account: &AccountId| may_bring_back(change.before, change.author, *account);
        return if change.comes.iter().all(may) {
            Ok(judged(rank, vec![]))
        } else {
            Err("may not bring back")
        };
    }
    if carries_out_leaves(change) {
        return Ok(judged(rank, change.goes.iter().copied().collect()));
    }
    check_authority(change, place)?;
    Ok(judged(rank, unseated(change)))
}

fn judged(rank: u32, unseats: Vec<AccountId>) -> Judged {
    let class = if unseats.is_empty() {
        Class::Admin
    } else {
        Class::Unseats
    };
    Judged {
        class,
        rank,
        unseats,
        ousts: vec![],
    }
}

/// Who comes and goes in the tree comes and goes in the list (GRP-3).
fn check_seats(change: &Change<'_>) -> Result<(), &'static str> {
    let (before, after) = (accounts(change.before), accounts(change.after));
    let comes: BTreeSet<_> = after.difference(&before).copied().collect();
    let goes: BTreeSet<_> = before.difference(&after).copied().collect();
    // An account may be removed and added in one commit: that is how a device that fell behind comes back.
    let back: BTreeSet<_> = change.comes.intersection(&change.goes).copied().collect();
    let fits = |told: &BTreeSet<AccountId>, seen: &BTreeSet<AccountId>| {
        seen.is_subset(told) && told.difference(seen).all(|account| back.contains(account))
    };
    if fits(&change.comes, &comes) && fits(&change.goes, &goes) {
        Ok(())
    } else {
        Err("seats and leaves disagree")
    }
}

fn accounts(state: &GroupState) -> BTreeSet<AccountId> {
    state.seats.iter().map(|seat| seat.account).collect()
}

/// Anybody may carry out what the leaving have signed, and nothing besides (GRP-7).
fn carries_out_leaves(change: &Change<'_>) -> bool {
    !change.goes.is_empty()
        && change.comes.is_empty()
        && change.goes.is_subset(&change.left)
        && *change.after == without(change.before, &change.goes)
}

/// New leaves for accounts that stay what they are: they fell behind (GRP-12).
fn brings_back(change: &Change<'_>) -> bool {
    change.before == change.after
        && !change.comes.is_empty()
        && change.comes == change.goes
        && !change.comes.contains(&change.author)
}

/// Admins may, whatever the other's authority, for nobody loses any right; where the one who is behind is the only admin,
/// the first of the others (GRP-12).
pub(crate) fn may_bring_back(state: &GroupState, author: AccountId, behind: AccountId) -> bool {
    let others = || state.seats.iter().filter(|seat| seat.account != behind);
    let admins = others().any(|seat| seat.role <= Role::Admin);
    if admins {
        state.role(author).is_some_and(|role| role <= Role::Admin)
    } else {
        others().next().is_some_and(|seat| seat.account == author)
    }
}

/// Those who are asked where no owner comes back: the admins; where they are fewer than three the moderators too, then the
/// members. Readers never (GRP-18).
pub(crate) fn electors(state: &GroupState) -> BTreeSet<AccountId> {
    let mut electors = BTreeSet::new();
    for role in [Role::Admin, Role::Moderator, Role::Member] {
        if electors.len() < ELECTORS_ENOUGH {
            let of_role = state.seats.iter().filter(|seat| seat.role == role);
            electors.extend(of_role.map(|seat| seat.account));
        }
    }
    electors
}

/// How many of them must agree: more than two thirds (GRP-18).
pub(crate) const fn consents_needed(electors: usize) -> usize {
    electors * 2 / 3 + 1
}

/// Whom a commit makes an owner who was none.
pub(crate) fn new_owner(before: &GroupState, after: &GroupState) -> Option<AccountId> {
    let owner = |seat: &&Seat| seat.role == Role::Owner && before.role(seat.account) != Some(Role::Owner);
    after.seats.iter().find(owner).map(|seat| seat.account)
}

/// The state in which this account is the last of the owners, and everything else is as it was.
pub(crate) fn with_owner(state: &GroupState, candidate: AccountId) -> Option<GroupState> {
    let mut after = state.clone();
    let place = after.rank(candidate)?;
    let mut seat = after.seats.remove(place);
    seat.role = Role::Owner;
    let end = after.seats.partition_point(|other| other.role == Role::Owner);
    after.seats.insert(end, seat);
    Some(after)
}

/// Enough of the electors, the new owner among them, have agreed; the commit does nothing else, and is made by one (GRP-18).
fn succeeds(change: &Change<'_>) -> bool {
    let electors = electors(change.before);
    let Some(candidate) = new_owner(change.before, change.after) else {
        return false;
    };
    let agreed = change.consents.intersection(&electors).count();
    let enough = agreed >= consents_needed(electors.len()) || !defence::holds(Defence::Consents);
    enough
        && change.consents.contains(&candidate)
        && electors.contains(&candidate)
        && electors.contains(&change.author)
        && change.comes.is_empty()
        && change.goes.is_empty()
        && with_owner(change.before, candidate).as_ref() == Some(change.after)
}

/// A state without some accounts. Where nobody owns it then, the first becomes its owner (GRP-7).
pub(crate) fn without(state: &GroupState, gone: &BTreeSet<AccountId>) -> GroupState {
    let mut after = state.clone();
    after.seats.retain(|seat| !gone.contains(&seat.account));
    if let Some(first) = after.seats.first_mut() {
        first.role = Role::Owner;
    }
    after
}

fn check_authority(change: &Change<'_>, place: usize) -> Result<(), &'static str> {
    let (before, after) = (change.before, change.after);
    let role = before.role(change.author).ok_or("not a member")?;
    let admin = role <= Role::Admin;
    let named = (&before.name, &before.description, before.picture) != (&after.name, &after.description, after.picture);
    let policy = (before.may_write, before.may_add, before.may_edit);
    if named && !admin && role > before.may_edit {
        return Err("may not edit");
    }
    if policy != (after.may_write, after.may_add, after.may_edit) && !admin {
        return Err("may not change the policy");
    }
    if !change.comes.is_empty() && !admin && role > before.may_add {
        return Err("may not add");
    }
    // Authority: nobody at or above the committer's own place is touched (GRP-4), but whoever steps down itself (GRP-14).
    let kept = if steps_down(change) { place } else { place + 1 };
    if after.seats.get(..kept) != before.seats.get(..kept) {
        return Err("not below the committer");
    }
    if change
        .goes
        .iter()
        .any(|account| before.rank(*account).is_none_or(|rank| rank <= place))
    {
        return Err("not below the committer");
    }
    let admins = change.goes.iter().filter_map(|account| before.role(*account));
    if role != Role::Owner && admins.into_iter().any(|role| role <= Role::Admin) {
        return Err("admins are their owners' to remove");
    }
    check_roles(change, role)
}

/// An owner or admin gives up its role, and nothing else of its seat; somebody owns the group then (GRP-14).
fn steps_down(change: &Change<'_>) -> bool {
    let seat = |state: &GroupState| state.seats.iter().find(|seat| seat.account == change.author).cloned();
    let (Some(had), Some(has)) = (seat(change.before), seat(change.after)) else {
        return false;
    };
    let owned = change.after.seats.first().is_some_and(|seat| seat.role == Role::Owner);
    had.role <= Role::Admin && has.role > had.role && has.name == had.name && owned
}

/// GRP-5: roles are given by admins, and those of admins by owners.
fn check_roles(change: &Change<'_>, role: Role) -> Result<(), &'static str> {
    for seat in &change.after.seats {
        if seat.account == change.author && steps_down(change) {
            continue;
        }
        let had = change.before.role(seat.account);
        let ordinary = seat.role >= Role::Member;
        let allowed = match role {
            Role::Owner => true,
            Role::Admin => {
                had == Some(seat.role) || (seat.role > Role::Admin && had.is_none_or(|had| had > Role::Admin))
            }
            Role::Moderator | Role::Member | Role::Reader => had.map_or(ordinary, |had| had == seat.role),
        };
        if !allowed {
            return Err("role");
        }
    }
    let plain = change.goes.is_empty() && keeps_order(change);
    if role > Role::Admin && !plain {
        return Err("only admins remove and reorder");
    }
    Ok(())
}

fn keeps_order(change: &Change<'_>) -> bool {
    let old = change
        .after
        .seats
        .iter()
        .filter(|seat| !change.comes.contains(&seat.account));
    old.eq(&change.before.seats)
}

/// Removed, of a lower role than before, or without the right to write from now on. Whoever steps down is not unseated.
fn unseated(change: &Change<'_>) -> Vec<AccountId> {
    let seats = change.before.seats.iter();
    let loses = |account: AccountId, had: Role| match change.after.role(account) {
        None => true,
        Some(has) => has > had || (had <= change.before.may_write && has > change.after.may_write),
    };
    seats
        .filter(|seat| loses(seat.account, seat.role) || change.goes.contains(&seat.account))
        .filter(|seat| seat.account != change.author || !steps_down(change))
        .map(|seat| seat.account)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use stonechat_wire::group::Seat;

    fn id(n: u8) -> AccountId {
        AccountId::from_bytes([n; 32])
    }

    fn seat(n: u8, role: Role) -> Seat {
        Seat {
            account: id(n),
            role,
            name: format!("{n}"),
        }
    }

    /// 0 owns, 1 and 2 are admins, 3 and 4 members, 5 reads.
    fn state() -> GroupState {
        let roles = [
            Role::Owner,
            Role::Admin,
            Role::Admin,
            Role::Member,
            Role::Member,
            Role::Reader,
        ];
        GroupState {
            picture: None,
            large: false,
            name: "house".into(),
            description: String::new(),
            may_write: Role::Member,
            may_add: Role::Admin,
            may_edit: Role::Admin,
            seats: (0..).zip(roles).map(|(n, role)| seat(n, role)).collect(),
        }
    }

    #[test]
    fn the_picture_is_for_whom_may_edit_names_grp_20() {
        let set = |author| change(author, |state| state.picture = Some([1; 32]));
        assert_eq!(set(2).map(|judged| judged.class), Ok(Class::Admin));
        assert_eq!(set(3), Err("may not edit"));
        let mut open = state();
        open.may_edit = Role::Member;
        let taken = |author| change_in(&open, author, &[], |state| state.picture = Some([1; 32]));
        assert!(taken(3).is_ok());
        assert_eq!(taken(5), Err("may not edit"));
    }

    fn change(author: u8, after: impl FnOnce(&mut GroupState)) -> Verdict {
        change_in(&state(), author, &[], after)
    }

    fn change_in(before: &GroupState, author: u8, left: &[u8], after: impl FnOnce(&mut GroupState)) -> Verdict {
        let mut changed = before.clone();
        after(&mut changed);
        changed.seats.sort_by_key(|seat| seat.role);
        let (was, is) = (accounts(before), accounts(&changed));
        judge(&Change {
            before,
            after: &changed,
            author: id(author),
            comes: is.difference(&was).copied().collect(),
            goes: was.difference(&is).copied().collect(),
            left: left.iter().copied().map(id).collect(),
            consents: BTreeSet::new(),
            renewed: true,
        })
    }

    fn remove(n: u8) -> impl FnOnce(&mut GroupState) {
        move |state| state.seats.retain(|seat| seat.account != id(n))
    }

    fn give(n: u8, role: Role) -> impl FnOnce(&mut GroupState) {
        move |state| {
            for seat in &mut state.seats {
                if seat.account == id(n) {
                    seat.role = role;
                }
            }
        }
    }

    #[test]
    fn only_strictly_lower_authority_is_removed_grp_4() {
        for (author, goes, allowed) in [
            (0, 1, true),
            (0, 2, true),
            (1, 2, false),
            (2, 1, false),
            (1, 0, false),
            (1, 3, true),
            (3, 4, false),
            (5, 4, false),
            (0, 0, false),
            (9, 4, false),
        ] {
            assert_eq!(change(author, remove(goes)).is_ok(), allowed, "{author} removes {goes}");
        }
        let judged = change(1, remove(3)).unwrap();
        assert_eq!((judged.class, judged.rank), (Class::Unseats, 1));
        assert_eq!(judged.unseats, [id(3)]);
    }

    #[test]
    fn roles_of_admins_are_given_by_owners_grp_5() {
        for (author, whom, role, allowed) in [
            (0, 3, Role::Admin, true),
            (0, 3, Role::Owner, true),
            (1, 3, Role::Admin, false),
            (1, 3, Role::Owner, false),
            (1, 3, Role::Moderator, true),
            (1, 2, Role::Member, false),
            (0, 1, Role::Member, true),
            (1, 1, Role::Owner, false),
            (3, 3, Role::Admin, false),
            (3, 4, Role::Reader, false),
            (1, 5, Role::Member, true),
        ] {
            assert_eq!(
                change(author, give(whom, role)).is_ok(),
                allowed,
                "{author} makes {whom} {role:?}"
            );
        }
        assert_eq!(change(0, give(1, Role::Member)).unwrap().unseats, [id(1)]);
        assert_eq!(change(0, give(3, Role::Admin)).unwrap().class, Class::Admin);
    }

    #[test]
    fn who_may_add_and_edit_is_the_policys_and_policy_is_the_admins_grp_5() {
        let add = |state: &mut GroupState| state.seats.push(seat(8, Role::Member));
        assert!(change(1, add).is_ok());
        assert!(change(3, add).is_err());
        let mut open = state();
        (open.may_add, open.may_edit) = (Role::Member, Role::Member);
        assert!(change_in(&open, 3, &[], add).is_ok());
        assert!(change_in(&open, 5, &[], add).is_err());
        assert!(change_in(&open, 3, &[], |state| state.seats.push(seat(8, Role::Moderator))).is_err());
        assert!(change_in(&open, 3, &[], |state| state.name = "flat".into()).is_ok());
        assert!(change(3, |state| state.name = "flat".into()).is_err());
        assert!(change_in(&open, 3, &[], |state| state.may_write = Role::Reader).is_err());
        // A write-lock takes a right from those who had it.
        let lock = change(1, |state| state.may_write = Role::Admin).unwrap();
        assert_eq!((lock.class, lock.unseats), (Class::Unseats, vec![id(3), id(4)]));
    }

    #[test]
    fn anybody_carries_out_what_was_signed_and_nothing_besides_grp_7() {
        let before = state();
        assert!(change_in(&before, 5, &[3], remove(3)).is_ok());
        assert!(change_in(&before, 5, &[3], remove(4)).is_err());
        let more = |state: &mut GroupState| {
            remove(3)(state);
            state.name = "mine".into();
        };
        assert!(change_in(&before, 5, &[3], more).is_err());
        let succession = |state: &mut GroupState| *state = without(state, &[id(0)].into());
        assert!(change_in(&before, 4, &[0], succession).is_ok());
        assert_eq!(without(&before, &[id(0)].into()).role(id(1)), Some(Role::Owner));
    }

    #[test]
    fn owners_and_admins_step_down_while_somebody_owns_the_group_grp_14() {
        let before = state();
        assert!(change(0, give(0, Role::Member)).is_err(), "the only owner");
        let hands_over = |state: &mut GroupState| {
            give(1, Role::Owner)(state);
            give(0, Role::Member)(state);
        };
        let judged = change(0, hands_over).unwrap();
        assert_eq!((judged.class, judged.unseats), (Class::Admin, vec![]));
        assert!(change(2, give(2, Role::Moderator)).is_ok());
        assert!(change(1, give(1, Role::Owner)).is_err(), "up");
        assert!(
            change(3, give(3, Role::Reader)).is_err(),
            "members have nothing to give up"
        );
        // Nobody above or besides is touched by it.
        let takes_along = |state: &mut GroupState| {
            give(1, Role::Member)(state);
            give(2, Role::Member)(state);
        };
        assert!(change(2, takes_along).is_err());
        let renames = |state: &mut GroupState| {
            hands_over(state);
            if let Some(seat) = state.seats.iter_mut().find(|seat| seat.account == id(0)) {
                seat.name = "else".into();
            }
        };
        assert!(change(0, renames).is_err());
        // What else such a commit does is judged as ever: an admin who steps down makes nobody an owner.
        let raises = |state: &mut GroupState| {
            give(3, Role::Owner)(state);
            give(1, Role::Member)(state);
        };
        assert!(change(1, raises).is_err());
        let removes = |state: &mut GroupState| {
            give(2, Role::Member)(state);
            state.seats.retain(|seat| seat.account != id(3));
        };
        let judged = change(2, removes).unwrap();
        assert_eq!(judged.unseats, [id(3)], "an admin still while it says so");
        assert_eq!(without(&before, &[id(0)].into()).role(id(1)), Some(Role::Owner));
    }

    fn succession(before: &GroupState, author: u8, agreed: &[u8], after: &GroupState) -> Verdict {
        judge(&Change {
            before,
            after,
            author: id(author),
            comes: BTreeSet::new(),
            goes: BTreeSet::new(),
            left: BTreeSet::new(),
            consents: agreed.iter().copied().map(id).collect(),
            renewed: true,
        })
    }

    #[test]
    fn more_than_two_thirds_of_the_electors_make_one_of_them_an_owner_grp_18() {
        // Two admins are fewer than three: the members are asked too, the reader never.
        let before = state();
        assert_eq!(electors(&before), [1, 2, 3, 4].map(id).into());
        assert_eq!([1, 2, 3, 4, 6, 9].map(consents_needed), [1, 2, 3, 3, 5, 7]);
        let after = with_owner(&before, id(3)).unwrap();
        let judged = succession(&before, 2, &[1, 2, 3], &after).unwrap();
        assert_eq!((judged.class, judged.rank, judged.unseats), (Class::Admin, 2, vec![]));
        for (why, author, agreed) in [
            ("too few", 2, &[1, 3][..]),
            ("readers, owners and strangers do not count", 2, &[0, 1, 3, 5, 9]),
            ("not the candidate itself", 2, &[1, 2, 4]),
            ("a reader commits", 5, &[1, 2, 3, 4]),
            ("nobody", 2, &[]),
        ] {
            assert!(succession(&before, author, agreed, &after).is_err(), "{why}");
        }
        // Whoever owns the group stays above, and nothing else changes with it.
        assert_eq!((after.rank(id(0)), after.rank(id(3))), (Some(0), Some(1)));
        let mut above = after.clone();
        above.seats.swap(0, 1);
        let mut renamed = after.clone();
        renamed.name = "mine".into();
        let two = with_owner(&after, id(4)).unwrap();
        let reader = with_owner(&before, id(5)).unwrap();
        for other in [above, renamed, two, reader] {
            assert!(succession(&before, 1, &[1, 2, 3, 4], &other).is_err(), "{other:?}");
        }
        // The owner takes it back, and loses nothing.
        assert!(change_in(&after, 0, &[], give(3, Role::Member)).is_ok());
        assert!(change_in(&after, 3, &[], give(0, Role::Member)).is_err());
    }

    #[test]
    fn nobody_makes_a_group_large_or_small_grp_17() {
        assert!(change(0, |state| state.large = true).is_err());
    }

    #[test]
    fn seats_and_leaves_agree_grp_3() {
        let (before, mut after) = (state(), state());
        after.seats.push(seat(8, Role::Member));
        after.seats.sort_by_key(|seat| seat.role);
        let told = |comes: &[u8], goes: &[u8]| {
            judge(&Change {
                before: &before,
                after: &after,
                author: id(0),
                comes: comes.iter().copied().map(id).collect(),
                goes: goes.iter().copied().map(id).collect(),
                left: BTreeSet::new(),
                consents: BTreeSet::new(),
                renewed: true,
            })
            .is_ok()
        };
        assert!(told(&[8], &[]));
        assert!(!told(&[], &[]));
        assert!(!told(&[8, 9], &[]));
        assert!(!told(&[8], &[4]));
        // Removed and added in one: a device that comes back.
        assert!(told(&[8, 4], &[4]));
    }

    #[test]
    fn admins_bring_back_whoever_fell_behind_and_nobody_loses_anything_by_it_grp_12() {
        let back = |state: &GroupState, author: u8, behind: u8| {
            let both: BTreeSet<AccountId> = [id(behind)].into();
            judge(&Change {
                before: state,
                after: state,
                author: id(author),
                comes: both.clone(),
                goes: both,
                left: BTreeSet::new(),
                consents: BTreeSet::new(),
                renewed: true,
            })
        };
        let all = state();
        for (author, behind, allowed) in [(0, 3, true), (1, 0, true), (1, 2, true), (3, 4, false), (3, 0, false)] {
            assert_eq!(
                back(&all, author, behind).is_ok(),
                allowed,
                "{author} brings back {behind}"
            );
        }
        let verdict = back(&all, 1, 0).unwrap();
        assert_eq!((verdict.class, verdict.unseats), (Class::Admin, vec![]));
        assert!(back(&all, 1, 1).is_err(), "itself");
        // The only admin is behind: the first of the others is enough.
        let mut one = state();
        one.seats
            .retain(|seat| seat.role == Role::Owner || seat.role >= Role::Member);
        for (author, allowed) in [(3, true), (4, false), (5, false)] {
            assert_eq!(back(&one, author, 0).is_ok(), allowed, "{author}");
        }
    }
}
