//! What commits did that lost to a fork, done again on the head.
//!
//! In: the head moving; what lies beside its branch and took something; the states before and after each commit that it left, where the branches parted, and where the lost
//! one ends. Out: the state that the head should have, a pure function; and, a moment later, the commits that give it that.
//! Specified in `docs/protocol/09-forks.md` (FORK-7).

use super::{change_as, give, rank, state, step_down};
use crate::conversation::epochs::Beside;
use crate::conversation::{self, Conversation, epochs, renewal};
use crate::due::Times;
use crate::mls::Gid;
use crate::step::{Step, Stop};
use rusqlite::params;
use std::collections::BTreeSet;
use stonechat_wire::group::GroupState;
use stonechat_wire::ids::{AccountId, EpochId, RelayId};

/// So soon the author of a commit does again what it did: by then the rest of the head's branch is read.
const SOON_MS: u64 = 1000;
/// The others come later, one after the other by their authority.
const TURN_MS: u64 = 1000;
const TURNS_MAX: u64 = 10;
/// What another one took beside the head's branch, wherever the head has been, waits so long for its author; where a text
/// of mine waits for it, as long as that one does.
const AWAY_MS: u64 = 5 * 60 * 1000;
/// What is done in a moment is due by then.
const MOMENT_MS: u64 = SOON_MS + (TURNS_MAX + 1) * TURN_MS;
/// Nothing is ever due later.
const LATEST_MS: u64 = AWAY_MS + MOMENT_MS;

/// The head has left these commits behind, or has moved: what waits is done in a moment.
pub(super) fn soon(step: &Step<'_, '_>, of: &Conversation, lost: &[EpochId]) -> Result<(), Stop> {
    for epoch in lost {
        mark(step, *epoch)?;
    }
    let waits = mark_undone(step, of, AWAY_MS)?;
    let mine = !epochs::mine_beside(step, of)?.is_empty() || epochs::some_lost_of(step, &of.group, step.me()?)?;
    if mine || !epochs::lost(step, &of.group)?.is_empty() {
        plan(step, of, SOON_MS, mine)
    } else if waits {
        plan(step, of, AWAY_MS, false)
    } else {
        Ok(())
    }
}

/// A text of mine has no place before a removal is done again (FORK-8): its author has had a minute.
pub(crate) fn hasten(step: &Step<'_, '_>, of: &Conversation) -> Result<(), Stop> {
    if of.gone || is_due_soon(step, &of.group)? {
        return Ok(());
    }
    mark_undone(step, of, epochs::AGAIN_WITHIN_MS)?;
    if epochs::lost(step, &of.group)?.is_empty() {
        return Ok(());
    }
    plan(step, of, SOON_MS, false)
}

fn plan(step: &Step<'_, '_>, of: &Conversation, wait_ms: u64, mine: bool) -> Result<(), Stop> {
    let turn = if mine {
        0
    } else {
        1 + u64::from(rank(step, of)?).min(TURNS_MAX)
    };
    let at = step.now.0.saturating_add(wait_ms + turn * TURN_MS);
    step.tx
        .prepare_cached("UPDATE conversation SET again_at = ? WHERE group_id = ?")?
        .execute(params![at.cast_signed(), of.group])?;
    Ok(())
}

/// A relay is reached again: what another one may have done again meanwhile is read first.
pub(crate) fn read_first(step: &Step<'_, '_>, relay: RelayId) -> Result<(), Stop> {
    let at = step.now.0.saturating_add(renewal::READING_MS).cast_signed();
    step.tx
        .prepare_cached(
            "UPDATE conversation INDEXED BY conversation_again SET again_at = ?1
             WHERE again_at < ?1 AND group_id IN (SELECT group_id FROM conversation_relay WHERE relay = ?2)
               AND NOT EXISTS (SELECT 1 FROM epoch e WHERE e.group_id = conversation.group_id AND e.lost = 1)",
        )?
        .execute(params![at, relay.as_bytes()])?;
    Ok(())
}

fn is_planned(step: &Step<'_, '_>, group: &Gid) -> Result<bool, Stop> {
    let sql = "SELECT 1 FROM conversation WHERE group_id = ? AND again_at IS NOT NULL";
    Ok(step.tx.prepare_cached(sql)?.exists([group])?)
}

fn mark(step: &Step<'_, '_>, epoch: EpochId) -> Result<(), Stop> {
    step.tx
        .prepare_cached("UPDATE epoch SET lost = 1 WHERE epoch_id = ? AND parent IS NOT NULL")?
        .execute([epoch.as_bytes()])?;
    Ok(())
}

/// A commit beside the head's branch that took something which the head still has.
struct Undone {
    epoch: EpochId,
    author: AccountId,
    known_at: i64,
}

/// All of them, wherever the head has been.
fn undone(step: &Step<'_, '_>, of: &Conversation) -> Result<Vec<Undone>, Stop> {
    let mut found = Vec::new();
    if !of.grouped {
        return Ok(found);
    }
    for (epoch, known_at) in epochs::unseating_beside(step, of)? {
        let Some(commit) = epochs::beside(step, of, epoch)? else {
            continue;
        };
        let (author, head) = (commit.author, state(step, of)?);
        // Since when the two have gone apart, and what was taken back here meanwhile, a newcomer does not know.
        if commit.base.is_none() && author != step.me()? {
            continue;
        }
        if Branch::of(step, &commit, epoch)?.is_some_and(|branch| branch.merged(&head, false) != head) {
            found.push(Undone {
                epoch,
                author,
                known_at,
            });
        }
    }
    Ok(found)
}

/// What waits to be done again: mine at once, another one's when its author has had so long, or leaves. Out: whether some
/// waits for that still.
fn mark_undone(step: &Step<'_, '_>, of: &Conversation, wait_ms: u64) -> Result<bool, Stop> {
    let (mut waits, me) = (false, step.me()?);
    for undone in undone(step, of)? {
        let is_new = is_within(step, undone.known_at, wait_ms);
        if is_new && undone.author != me && !super::leaves(step, of, undone.author)? {
            waits = true;
        } else {
            mark(step, undone.epoch)?;
        }
    }
    Ok(waits)
}

fn is_within(step: &Step<'_, '_>, known_at: i64, ms: u64) -> bool {
    let ago = step.time.0.cast_signed().saturating_sub(known_at);
    (0..ms.cast_signed()).contains(&ago)
}

/// Who has taken something that is not taken again yet: its own leave would make that void (FORK-2), and waits.
pub(super) fn waits_for(step: &Step<'_, '_>, of: &Conversation) -> Result<BTreeSet<AccountId>, Stop> {
    Ok(undone(step, of)?.into_iter().map(|undone| undone.author).collect())
}

/// It is done in a moment: whoever writes waits for that (FORK-8).
pub(crate) fn is_due_soon(step: &Step<'_, '_>, group: &Gid) -> Result<bool, Stop> {
    let sql = "SELECT 1 FROM conversation WHERE group_id = ? AND again_at <= ?";
    let soon = step.now.0.saturating_add(MOMENT_MS).cast_signed();
    Ok(step.tx.prepare_cached(sql)?.exists(params![group, soon])?)
}

/// When the next one is due.
pub(crate) const TIMES: Times = Times::of(
    "SELECT min(again_at) FROM conversation INDEXED BY conversation_again WHERE again_at IS NOT NULL",
    "SELECT max(again_at) FROM conversation INDEXED BY conversation_again WHERE again_at IS NOT NULL",
    LATEST_MS,
);

/// Does again what is due. What cannot be done is refused, and stays lost; but additions of mine are tried again when the
/// head moves, for who had no right or no key package may have it by then.
pub(crate) fn do_due(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let (now, far) = (step.now.0, step.now.0.saturating_add(LATEST_MS));
    let groups: Vec<Gid> = step
        .tx
        .prepare_cached(
            "UPDATE conversation INDEXED BY conversation_again SET again_at = NULL
             WHERE again_at <= ? OR again_at > ? RETURNING group_id",
        )?
        .query_map([now.cast_signed(), far.cast_signed()], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for group in groups {
        let of = conversation::load(step, &group)?.ok_or(Stop::Refused("no such conversation"))?;
        let waits = !of.gone && mark_undone(step, &of, AWAY_MS)?;
        for epoch in epochs::lost(step, &group)? {
            let _done = step.attempt(|step| one(step, &group, epoch, Part::All))?;
        }
        step.tx
            .prepare_cached("UPDATE epoch SET lost = 0 WHERE group_id = ? AND lost = 1")?
            .execute([group])?;
        let of = conversation::load(step, &group)?.ok_or(Stop::Refused("no such conversation"))?;
        for epoch in epochs::mine_beside(step, &of)? {
            let _done = step.attempt(|step| one(step, &group, epoch, Part::Additions))?;
        }
        if waits && !of.gone && !is_planned(step, &group)? {
            plan(step, &of, AWAY_MS, false)?;
        }
        super::hasten_leaves(step, &of)?;
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    Additions,
}

fn one(step: &mut Step<'_, '_>, group: &Gid, lost: EpochId, part: Part) -> Result<(), Stop> {
    let of = conversation::load(step, group)?.filter(|of| !of.gone && !of.leaving);
    let of = of.ok_or(Stop::Refused("no such conversation"))?;
    let Some(commit) = epochs::beside(step, &of, lost)? else {
        return Ok(());
    };
    let (head, mine) = (state(step, &of)?, commit.author == step.me()?);
    let Some(branch) = Branch::of(step, &commit, lost)? else {
        return Ok(());
    };
    let mut after = match part {
        Part::All => branch.merged(&head, mine),
        Part::Additions => head.clone(),
    };
    if mine {
        branch.add_again(&mut after);
    }
    let comes = missing(&after, &head);
    let goes = missing(&head, &after);
    change_as(step, &of, &after, &comes, &goes.into_iter().collect(), Some(lost))
}

/// Accounts of one state that the other has not.
fn missing(here: &GroupState, there: &GroupState) -> Vec<AccountId> {
    let accounts = here.seats.iter().map(|seat| seat.account);
    accounts.filter(|account| there.rank(*account).is_none()).collect()
}

/// A commit on a branch that lost, and the states along that.
struct Branch<'a> {
    commit: &'a Beside,
    /// Where it parted from the head's.
    base: GroupState,
    /// Before the commit.
    was: GroupState,
    /// After it.
    then: GroupState,
    /// At the end of the branch: what was changed once more there, a later commit does again.
    end: GroupState,
}

impl<'a> Branch<'a> {
    /// Nothing where not all of it is known here.
    fn of(step: &Step<'_, '_>, commit: &'a Beside, made: EpochId) -> Result<Option<Self>, Stop> {
        let state = |epoch| epochs::state(step, epoch);
        let base = state(commit.base.unwrap_or(commit.before))?;
        let (was, then, end) = (state(commit.before)?, state(made)?, state(commit.end)?);
        let (Some(base), Some(was), Some(then), Some(mut end)) = (base, was, then, end) else {
            return Ok(None);
        };
        if let Some(rights) = &commit.end_rights {
            end.seats.clone_from(&rights.seats);
            (end.may_write, end.may_add, end.may_edit) = (rights.may_write, rights.may_add, rights.may_edit);
        }
        Ok(Some(Self {
            commit,
            base,
            was,
            then,
            end,
        }))
    }

    /// The head's state with what the commit changed: for everybody what it took from somebody, unless the head's branch has
    /// taken and given that back since; for its author also what else the head still has as it was where they parted.
    fn merged(&self, head: &GroupState, mine: bool) -> GroupState {
        let mut after = head.clone();
        for seat in &self.was.seats {
            let (account, role) = (seat.account, self.then.role(seat.account));
            let Some(has) = head.role(account) else { continue };
            if role == Some(seat.role) || self.end.role(account) != role {
                continue;
            }
            let Some(role) = role else {
                if !self.commit.absent.contains(&account) {
                    after.seats.retain(|other| other.account != account);
                }
                continue;
            };
            let had_less = self.commit.lowest.get(&account).is_some_and(|lowest| *lowest >= role);
            let taken = role > seat.role && has < role && !had_less;
            let given = mine && role < seat.role && role < has && self.base.role(account) == Some(has);
            if taken || given {
                let seat = if account == self.commit.author { step_down } else { give };
                let _seated = seat(&mut after, account, role);
            }
        }
        let was_locked = self
            .commit
            .may_write
            .is_some_and(|fewest| fewest <= self.then.may_write);
        let locks = self.then.may_write < self.was.may_write && self.end.may_write == self.then.may_write;
        if locks && !was_locked {
            after.may_write = head.may_write.min(self.then.may_write);
        }
        if mine {
            self.again(&mut after, |state| &mut state.may_write);
            self.again(&mut after, |state| &mut state.may_add);
            self.again(&mut after, |state| &mut state.may_edit);
            self.again(&mut after, |state| &mut state.name);
            self.again(&mut after, |state| &mut state.description);
        }
        after
    }

    /// Changes one thing again that the head has as it was.
    fn again<T: PartialEq + Clone>(&self, head: &mut GroupState, of: impl Fn(&mut GroupState) -> &mut T) {
        let [base, was, then, end] =
            [&self.base, &self.was, &self.then, &self.end].map(|state| of(&mut state.clone()).clone());
        let head = of(head);
        if was != then && end == then && *head == base {
            *head = then;
        }
    }

    /// Gives those a seat again whom the commit added, and who have not been on the head's side meanwhile.
    fn add_again(&self, head: &mut GroupState) {
        let added = self.then.seats.iter().filter(|seat| {
            let new = self.was.rank(seat.account).is_none() && self.end.rank(seat.account).is_some();
            new && head.rank(seat.account).is_none() && !self.commit.seen.contains(&seat.account)
        });
        let added: Vec<_> = added.cloned().collect();
        head.seats.extend(added);
        head.seats.sort_by_key(|seat| seat.role);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use stonechat_wire::group::{Role, Seat};

    fn group(seats: &[(u8, Role)]) -> GroupState {
        let seat = |(n, role): &(u8, Role)| Seat {
            account: AccountId::from_bytes([*n; 32]),
            role: *role,
            name: String::new(),
        };
        GroupState {
            large: false,
            name: "was".into(),
            description: String::new(),
            may_write: Role::Member,
            may_add: Role::Admin,
            may_edit: Role::Admin,
            seats: seats.iter().map(seat).collect(),
            picture: None,
        }
    }

    fn was() -> GroupState {
        group(&[(1, Role::Owner), (2, Role::Admin), (3, Role::Member)])
    }

    fn commit() -> Beside {
        let epoch = EpochId::from_bytes([0; 16]);
        Beside {
            author: AccountId::from_bytes([1; 32]),
            before: epoch,
            base: None,
            end: epoch,
            end_rights: None,
            seen: BTreeSet::new(),
            lowest: BTreeMap::new(),
            may_write: None,
            absent: BTreeSet::new(),
        }
    }

    /// A branch of one commit.
    fn branch<'a>(commit: &'a Beside, then: &GroupState) -> Branch<'a> {
        Branch {
            commit,
            base: was(),
            was: was(),
            then: then.clone(),
            end: then.clone(),
        }
    }

    #[test]
    fn what_it_took_from_somebody_everybody_takes_again_fork_7() {
        let mut then = group(&[(1, Role::Owner), (2, Role::Member)]);
        then.may_write = Role::Admin;
        let mut head = was();
        head.name = "head".into();
        let mut wanted = then.clone();
        wanted.name = "head".into();
        assert_eq!(branch(&commit(), &then).merged(&head, false), wanted);
    }

    #[test]
    fn its_author_does_the_rest_where_the_head_has_it_as_it_was_fork_7() {
        let mut then = group(&[(1, Role::Owner), (2, Role::Admin), (3, Role::Admin)]);
        (then.name, then.description) = ("then".into(), "new".into());
        (then.may_add, then.may_edit) = (Role::Member, Role::Member);
        let commit = commit();
        assert_eq!(branch(&commit, &then).merged(&was(), false), was());
        assert_eq!(branch(&commit, &then).merged(&was(), true), then);
        let mut head = group(&[(1, Role::Owner), (2, Role::Admin), (3, Role::Reader)]);
        (head.name, head.may_edit) = ("head".into(), Role::Moderator);
        let both = branch(&commit, &then).merged(&head, true);
        assert_eq!((both.name.as_str(), both.description.as_str()), ("head", "new"));
        assert_eq!((both.may_add, both.may_edit), (Role::Member, Role::Moderator));
        assert_eq!(both.seats, head.seats);
    }

    /// 2 lost its rights and 3 its seat on the lost branch; on the head's both were taken and given back.
    #[test]
    fn what_the_head_took_and_gave_back_is_not_taken_again_fork_7() {
        let then = group(&[(1, Role::Owner), (2, Role::Reader)]);
        let mut commit = commit();
        let [two, three] = [2, 3].map(|n| AccountId::from_bytes([n; 32]));
        commit.lowest = BTreeMap::from([(two, Role::Member), (three, Role::Reader)]);
        assert_eq!(branch(&commit, &then).merged(&was(), false), then, "not as much");
        commit.lowest = BTreeMap::from([(two, Role::Reader)]);
        commit.absent = BTreeSet::from([three]);
        assert_eq!(branch(&commit, &then).merged(&was(), false), was());
        let mut locked = was();
        locked.may_write = Role::Admin;
        assert_eq!(branch(&commit, &locked).merged(&was(), false), locked);
        commit.may_write = Some(Role::Admin);
        assert_eq!(branch(&commit, &locked).merged(&was(), false), was());
    }

    /// Removed and added again, called one thing and then another: only how it ended is done again.
    #[test]
    fn what_the_branch_itself_took_back_is_not_done_again_fork_7() {
        let mut then = group(&[(1, Role::Owner), (2, Role::Reader)]);
        then.name = "then".into();
        let commit = commit();
        let mut first = branch(&commit, &then);
        first.end = was();
        first.end.name = "end".into();
        assert_eq!(first.merged(&was(), true), was());
        let second = Branch {
            commit: &commit,
            base: was(),
            was: then,
            then: first.end.clone(),
            end: first.end.clone(),
        };
        assert_eq!(second.merged(&was(), true).name, "end");
    }

    #[test]
    fn who_was_never_on_the_heads_side_is_added_again_behind_those_of_the_same_role_fork_7() {
        let then = group(&[(1, Role::Owner), (4, Role::Admin), (5, Role::Member), (6, Role::Member)]);
        let mut commit = commit();
        commit.seen = BTreeSet::from([AccountId::from_bytes([5; 32])]);
        let mut branch = branch(&commit, &then);
        branch
            .end
            .seats
            .retain(|seat| seat.account != AccountId::from_bytes([6; 32]));
        let mut after = was();
        branch.add_again(&mut after);
        let order = [(1, Role::Owner), (2, Role::Admin), (4, Role::Admin), (3, Role::Member)];
        assert_eq!(after, group(&order));
    }
}
