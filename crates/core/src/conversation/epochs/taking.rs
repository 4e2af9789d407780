//! Commits of others: known or not, opened, judged, taken in.
//!
//! In: what came in the commit lane of a retained epoch. Out: a child of that epoch, or a refusal that leaves no row.
//! Specified in `docs/protocol/07-conversation.md` (MLS-8, EPO-2, EPO-3, EPO-5).
//! Invariant: what is accepted is a function of the parent and the commit; what is kept of one leaf has a limit.

use crate::conversation::{Conversation, alarms, originals, receipts};
use crate::defence::{self, Defence};
use crate::fork::Class;
use crate::group;
use crate::leaf;
use crate::mls::{self, CommitRead, Gid, Leaf, Taken};
use crate::own;
use crate::roles::{self, Change, Judged};
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use stonechat_wire::group::{GroupState, Note, leave_bytes};
use stonechat_wire::ids::{AccountId, EpochId};
use stonechat_wire::own::OwnNote;

use super::beside::mine_with_the_same;
use super::closing::{bring_near, close};
use super::cuts::{keep_cuts, keep_leaf_cuts};
use super::tree::below;
use super::{Committer, Planted, committed, insert, is_canonical, key_of, packed, settle_head, state};

/// Commits by one account on one parent that are kept: a second one is evidence, more are a flood (EPO-5).
const RIVALS_EACH: usize = 2;

/// Takes in a commit on `parent`.
pub(super) fn take_commit(
    step: &mut Step<'_, '_>,
    of: &Conversation,
    parent: EpochId,
    bytes: &[u8],
) -> Result<(), Stop> {
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    if let Some(known) = made_by(step, parent, &hash)? {
        originals::commit_came_again(step, known)?;
        // Its author has heard nothing yet: tell again.
        return receipts::due(step, &of.group);
    }
    let taken = match step.groups.take_commit(&step.mls, (of.group, parent), bytes)? {
        CommitRead::Taken(taken) => taken,
        // Mine are known by their hash: this one I did not make.
        CommitRead::Own if !defence::holds(Defence::NotMine) => return Ok(()),
        CommitRead::Own => return alarms::own_leaf(step, of, &hash),
        CommitRead::Refused(why) => return Err(Stop::Refused(why)),
    };
    let before = state(step, parent)?;
    let about_own = OwnNote::decode(&taken.note).map_err(|_| Stop::Refused("note"))?;
    let (judged, note) = match &about_own {
        Some(note) => (own::judge(before.as_ref(), &taken, note)?, Note::default()),
        None => {
            let note = Note::decode(&taken.note).map_err(|_| Stop::Refused("note"))?;
            let number = match note.consents.as_slice() {
                [] => 0,
                _consents => step.groups.number(&step.mls, (of.group, parent))?,
            };
            (judge((&of.group, number), before.as_ref(), &taken, &note)?, note)
        }
    };
    let by = (
        taken.author.index,
        leaf::account_of(&taken.author)?,
        key_of(&taken.author)?,
    );
    make_room(step, parent, by, &hash, &judged)?;
    let new = Planted {
        group: of.group,
        epoch: taken.child,
        members: packed(&taken.after)?,
        state: taken.state.clone(),
        commit: Some((parent, hash, by, judged.clone())),
    };
    insert(step, &new, taken.with_me)?;
    bring_near(step, &of.group, parent)?;
    originals::keep_commit(step, of, parent, taken.child, bytes)?;
    let removed: Vec<Leaf> = taken
        .before
        .iter()
        .filter(|leaf| taken.removed.contains(&leaf.index))
        .cloned()
        .collect();
    if defence::holds(Defence::TwoCommits) {
        alarms::look_for_rivals(step, of, parent, (by.1, by.2, &hash))?;
    }
    if judged.class == Class::Renewal || about_own.is_some() {
        alarms::look_for_flood(step, of, by.1, leaves_of(by.1, &taken.before))?;
    }
    group::succession::heard(step, of, by.1)?;
    match &about_own {
        Some(note) => keep_leaf_cuts(step, (&of.group, taken.child), by.1, note)?,
        None => {
            group::restored::note(step, of, &removed, &taken.added)?;
            keep_cuts(step, (&of.group, taken.child), &judged, &note)?;
        }
    }
    committed(step, &of.group)?;
    receipts::due_quietly(step, &of.group)?;
    settle_head(step, &of.group)?;
    if !taken.added.is_empty() {
        let twice = mine_with_the_same(step, &of.group, taken.child)?;
        group::placed::tell(step, &of.group, &twice, true)?;
    }
    if judged.class == Class::Unseats {
        // Also where the head stays: I may be out, or in again.
        group::head_moved(step, &of.group, &[])?;
    }
    if is_canonical(step, &of.group, taken.child)? {
        group::behind::heard(step, &of.group)?;
    }
    match &about_own {
        Some(note) => own::taken_in(step, of, by.1, &taken, note),
        None => Ok(()),
    }
}

fn leaves_of(account: AccountId, leaves: &[Leaf]) -> usize {
    let of = |leaf: &&Leaf| mls::account_in(&leaf.identity) == Some(account);
    leaves.iter().filter(of).count()
}

/// Whether a commit is allowed: a function of what stands in its parent and of itself (EPO-2).
fn judge(
    (group, number): (&Gid, u64),
    before: Option<&GroupState>,
    taken: &Taken,
    note: &Note,
) -> Result<Judged, Stop> {
    let comes = taken.added.iter().map(leaf::account_of).collect::<Result<_, _>>()?;
    let Some(before) = before else {
        return judge_two(taken);
    };
    let after = taken.state.as_deref().ok_or(Stop::Refused("no state"))?;
    let after = GroupState::decode(after).map_err(|_| Stop::Refused("state"))?;
    let goes = taken.before.iter().filter(|leaf| taken.removed.contains(&leaf.index));
    let change = Change {
        before,
        after: &after,
        author: leaf::account_of(&taken.author)?,
        comes,
        goes: goes.map(leaf::account_of).collect::<Result<_, _>>()?,
        left: left(group, taken, note),
        consents: group::succession::valid(group, number, (before, &after), &taken.before, &note.consents),
        renewed: taken.renewed,
    };
    let judged = roles::judge(&change).map_err(Stop::Refused)?;
    if defence::holds(Defence::CommitRules) {
        check_cuts(&judged, &change.left, note)?;
    }
    Ok(judged)
}

/// In a conversation of two everybody renews its own keys, and nobody does anything else.
fn judge_two(taken: &Taken) -> Result<Judged, Stop> {
    let quiet = taken.added.is_empty() && taken.removed.is_empty() && !taken.changed_state && taken.state.is_none();
    if quiet && taken.renewed && taken.with_me && taken.note.is_empty() {
        Ok(Judged::renewal(0))
    } else {
        Err(Stop::Refused("nobody may change who is in a conversation of two"))
    }
}

/// Who has signed that it leaves, with the key of its leaf in the parent (GRP-7).
fn left(group: &Gid, taken: &Taken, note: &Note) -> BTreeSet<AccountId> {
    let signed = |account: AccountId, signature: &[u8; 64]| {
        taken.before.iter().any(|leaf| {
            let key = leaf.public.as_slice().try_into().ok();
            mls::account_in(&leaf.identity) == Some(account)
                && key.is_some_and(|key| leaf::verified(key, &leave_bytes(group, account), signature).is_some())
        })
    };
    let leaves = note
        .leaves
        .iter()
        .filter(|leave| signed(leave.account, &leave.signature));
    leaves.map(|leave| leave.account).collect()
}

/// Whoever is unseated against its will has a cut, and nobody else (GRP-6).
fn check_cuts(judged: &Judged, left: &BTreeSet<AccountId>, note: &Note) -> Result<(), Stop> {
    let cut: Vec<AccountId> = note.cuts.iter().map(|cut| cut.account).collect();
    let unwilling = judged.unseats.iter().filter(|account| !left.contains(account));
    if unwilling.eq(cut.iter()) {
        Ok(())
    } else {
        Err(Stop::Refused("cuts"))
    }
}

/// The epoch that this commit has made, where it is known.
pub(super) fn made_by(step: &Step<'_, '_>, parent: EpochId, hash: &[u8; 32]) -> Result<Option<EpochId>, Stop> {
    Ok(step
        .tx
        .prepare_cached("SELECT epoch_id FROM epoch WHERE parent = ? AND commit_hash = ?")?
        .query_row(params![parent.as_bytes(), hash], |row| row.get(0))
        .optional()?
        .map(EpochId::from_bytes))
}

/// Two commits of one account on one parent are kept, the lower ones by the order of forks (EPO-5).
fn make_room(
    step: &mut Step<'_, '_>,
    parent: EpochId,
    (_, author, leaf): Committer,
    hash: &[u8; 32],
    judged: &Judged,
) -> Result<(), Stop> {
    let sql = "SELECT epoch_id, class, commit_hash FROM epoch WHERE parent = ? AND author = ? AND leaf_key = ?
               ORDER BY class, commit_hash";
    let rivals: Vec<([u8; 16], u8, [u8; 32])> = step
        .tx
        .prepare_cached(sql)?
        .query_map(params![parent.as_bytes(), author.as_bytes(), leaf], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<Result<_, _>>()?;
    let Some((highest, class, other)) = rivals.get(RIVALS_EACH - 1) else {
        return Ok(());
    };
    if !defence::holds(Defence::RivalsEach) {
        return Ok(());
    }
    if (judged.class as u8, hash) > (*class, other) {
        return Err(Stop::Refused("a third commit by one member on one epoch"));
    }
    put_out(step, EpochId::from_bytes(*highest))
}

/// Takes a rival out of the tree: without its place nothing that descends from it is on any branch, and keeps no keys.
fn put_out(step: &mut Step<'_, '_>, rival: EpochId) -> Result<(), Stop> {
    for epoch in below(step, rival)? {
        close(step, epoch)?;
    }
    step.tx
        .prepare_cached("UPDATE epoch SET parent = NULL WHERE epoch_id = ?")?
        .execute([rival.as_bytes()])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken() -> Taken {
        let leaf = |index| Leaf {
            index,
            identity: vec![7; 104],
            public: vec![8; 32],
        };
        Taken {
            child: EpochId::from_bytes([1; 16]),
            author: leaf(0),
            before: vec![leaf(0), leaf(1)],
            after: vec![leaf(0), leaf(1)],
            added: vec![],
            removed: vec![],
            changed_state: false,
            state: None,
            renewed: true,
            note: vec![],
            with_me: true,
        }
    }

    #[test]
    fn between_two_only_own_keys_are_renewed_epo_2() {
        assert_eq!(judge_two(&taken()).unwrap().class, Class::Renewal);
        let leaf = taken().author;
        let refused = [
            Taken {
                added: vec![leaf],
                ..taken()
            },
            Taken {
                removed: vec![1],
                with_me: false,
                ..taken()
            },
            Taken {
                changed_state: true,
                state: Some(vec![1]),
                ..taken()
            },
            Taken {
                renewed: false,
                ..taken()
            },
        ];
        for commit in refused {
            assert!(judge_two(&commit).is_err(), "{commit:?}");
        }
    }
}
