//! A way on where no owner comes back: those below agree, and one of them becomes an owner, below the others.
//!
//! In: when owners were heard, the person's consent and that of others. Out: the consent, said in the group; a commit that
//! carries enough of them. What is enough `roles` says, from the parent's state and the commit; no clock decides it there.
//! Specified in `docs/protocol/12-groups.md` (GRP-18, GRP-19).

use super::{loaded, shown, state};
use crate::api::{self, Fault, Reply};
use crate::conversation::{self, Conversation, epochs};
use crate::leaf;
use crate::mls::{self, Gid, Wish};
use crate::roles::{self, Change};
use crate::step::{Step, Stop};
use rusqlite::params;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use stonechat_wire::group::{Consent, GroupState, Note};
use stonechat_wire::ids::AccountId;
use stonechat_wire::message::Kind;
use stonechat_wire::succession::{Agreed, consent_bytes};

const HOUR_MS: u64 = 3600 * 1000;
/// So long no owner was heard before anybody is asked (GRP-19).
const SILENT_MS: u64 = 30 * 24 * HOUR_MS;
/// A consent counts in so many epochs after the one it was given in (GRP-18).
const EPOCHS_MAX: u64 = 256;

/// What a consent is bound to besides group and candidate: the owners and the electors, each with its role's kind.
pub(crate) fn council(state: &GroupState) -> [u8; 32] {
    let electors = roles::electors(state);
    let mut hash = Sha256::new();
    for seat in &state.seats {
        if seat.role == stonechat_wire::group::Role::Owner || electors.contains(&seat.account) {
            hash.update(seat.account.as_bytes());
            hash.update([seat.role as u8]);
        }
    }
    hash.finalize().into()
}

/// Whose consents in a commit count: by a leaf of the parent, for its council, its candidate, and not too old (GRP-18).
pub(crate) fn valid(
    group: &Gid,
    number: u64,
    (before, after): (&GroupState, &GroupState),
    leaves: &[mls::Leaf],
    consents: &[Consent],
) -> BTreeSet<AccountId> {
    let Some(candidate) = roles::new_owner(before, after) else {
        return BTreeSet::new();
    };
    let council = council(before);
    let signed = |consent: &&Consent| {
        let fresh = consent.number <= number && number - consent.number <= EPOCHS_MAX;
        let bytes = consent_bytes(group, &council, consent.number, candidate);
        fresh && leaves.iter().any(|leaf| is_signed(leaf, consent, &bytes))
    };
    consents.iter().filter(signed).map(|consent| consent.account).collect()
}

fn is_signed(leaf: &mls::Leaf, consent: &Consent, bytes: &[u8]) -> bool {
    let key = leaf.public.as_slice().try_into().ok();
    mls::account_in(&leaf.identity) == Some(consent.account)
        && key.is_some_and(|key| leaf::verified(key, bytes, &consent.signature).is_some())
}

/// An account was heard in a group: of owners that is kept, and what was agreed while none was there is over.
pub(crate) fn heard(step: &Step<'_, '_>, of: &Conversation, account: AccountId) -> Result<(), Stop> {
    if !of.grouped {
        return Ok(());
    }
    let time = step.time.0.cast_signed();
    let owner = step
        .tx
        .prepare_cached(
            "UPDATE seat SET heard_at = ?1 WHERE chat = ?2 AND account = ?3 AND role = 0
             AND (heard_at < ?4 OR heard_at > ?1)",
        )?
        .execute(params![
            time,
            of.chat,
            account.as_bytes(),
            time.saturating_sub_unsigned(HOUR_MS)
        ])?;
    if owner > 0 {
        step.tx
            .prepare_cached("DELETE FROM consent WHERE group_id = ?")?
            .execute([of.group])?;
    }
    Ok(())
}

/// No owner was heard for 30 days, by the slot clock; and a relay has told the time.
fn owners_are_silent(step: &Step<'_, '_>, of: &Conversation) -> Result<bool, Stop> {
    let heard_at: Option<i64> = step
        .tx
        .prepare_cached("SELECT max(heard_at) FROM seat WHERE chat = ? AND role = 0 AND place IS NOT NULL")?
        .query_row([of.chat], |row| row.get(0))?;
    let over = step.time.0.saturating_sub(SILENT_MS).cast_signed();
    Ok(heard_at.is_none_or(|heard_at| heard_at <= over))
}

/// The person agrees that a member becomes an owner, or is the first to say so (GRP-19).
pub(crate) fn agree(step: &mut Step<'_, '_>, wish: &api::GroupConsent) -> Result<Reply, Stop> {
    let of = loaded(step, wish.chat)?;
    let (state, me) = (state(step, &of)?, step.me()?);
    let candidate = super::account_of(&wish.member)?;
    let electors = roles::electors(&state);
    if state.rank(candidate).is_none() {
        return Err(Stop::Fault(Fault::NotFound));
    }
    if !electors.contains(&me) || !electors.contains(&candidate) {
        return Err(Stop::Fault(Fault::NotAllowed));
    }
    if !owners_are_silent(step, &of)? {
        return Err(Stop::Fault(Fault::OwnerHeard));
    }
    let number = step.groups.number(&step.mls, (of.group, of.epoch))?;
    let agreed = Agreed {
        candidate,
        number,
        signature: of
            .signer
            .sign(&consent_bytes(&of.group, &council(&state), number, candidate)),
    };
    keep(step, &of, me, &agreed)?;
    conversation::tell(step, &of, Kind::Consent, &agreed.encode())?;
    look(step, &of.group)?;
    step.touch_chat(of.chat);
    shown(step, wish.chat)
}

/// A member says that it agrees. It counts when a commit carries it; until then it is shown.
pub(crate) fn said(step: &mut Step<'_, '_>, of: &Conversation, by: AccountId, body: &[u8]) -> Result<(), Stop> {
    let agreed = Agreed::decode(body).map_err(|_| Stop::Refused("consent"))?;
    keep(step, of, by, &agreed)?;
    look(step, &of.group)?;
    step.touch_chat(of.chat);
    Ok(())
}

/// The newest consent of an account is kept: one for each of a group's accounts.
fn keep(step: &Step<'_, '_>, of: &Conversation, by: AccountId, agreed: &Agreed) -> Result<(), Stop> {
    if epochs::state(step, of.epoch)?.is_none_or(|state| state.rank(by).is_none()) {
        return Err(Stop::Refused("not a member"));
    }
    step.tx
        .prepare_cached(
            "INSERT OR REPLACE INTO consent(group_id, account, candidate, number, signature) VALUES (?, ?, ?, ?, ?)",
        )?
        .execute(params![
            of.group,
            by.as_bytes(),
            agreed.candidate.as_bytes(),
            i64::try_from(agreed.number).unwrap_or(i64::MAX),
            agreed.signature
        ])?;
    Ok(())
}

/// If I am the one, and enough have agreed, my device makes the commit.
pub(crate) fn look(step: &mut Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    let me = step.me()?;
    let mine = step
        .tx
        .prepare_cached("SELECT 1 FROM consent WHERE group_id = ? AND account = ?2 AND candidate = ?2")?
        .exists(params![group, me.as_bytes()])?;
    if mine {
        // Not enough yet, or not now: the next consent or commit looks again.
        let _refused = step.attempt(|step| succeed(step, group, me))?;
    }
    Ok(())
}

fn succeed(step: &mut Step<'_, '_>, group: &Gid, me: AccountId) -> Result<(), Stop> {
    let of = conversation::load(step, group)?.filter(|of| !of.gone && !of.leaving);
    let of = of.ok_or(Stop::Refused("no such conversation"))?;
    let before = state(step, &of)?;
    let after = roles::with_owner(&before, me).ok_or(Stop::Refused("not a member"))?;
    let consents = counted(step, &of, me, (&before, &after))?;
    let change = Change {
        before: &before,
        after: &after,
        author: me,
        comes: BTreeSet::new(),
        goes: BTreeSet::new(),
        left: BTreeSet::new(),
        consents: consents.iter().map(|consent| consent.account).collect(),
        renewed: true,
    };
    // Without consents it would be a self-update by who is an owner already.
    if consents.is_empty() {
        return Err(Stop::Refused("consents"));
    }
    let judged = roles::judge(&change).map_err(Stop::Refused)?;
    let note = Note {
        consents,
        ..Note::default()
    };
    let wish = Wish {
        state: Some(&after.encode()),
        note: &note.encode(),
        ..Wish::default()
    };
    epochs::commit(step, &of, &wish, &judged, &note).map(|_| ())
}

/// The consents for this candidate that count on the head; none where it is an owner by now.
fn counted(
    step: &mut Step<'_, '_>,
    of: &Conversation,
    candidate: AccountId,
    (before, after): (&GroupState, &GroupState),
) -> Result<Vec<Consent>, Stop> {
    let at = (of.group, of.epoch);
    let (number, leaves) = (step.groups.number(&step.mls, at)?, step.groups.leaves(&step.mls, at)?);
    let mut consents = said_for(step, &of.group, candidate)?;
    let counted = valid(&of.group, number, (before, after), &leaves, &consents);
    let electors = roles::electors(before);
    consents.retain(|consent| counted.contains(&consent.account) && electors.contains(&consent.account));
    Ok(consents)
}

fn said_for(step: &Step<'_, '_>, group: &Gid, candidate: AccountId) -> Result<Vec<Consent>, Stop> {
    let mut rows = step.tx.prepare_cached(
        "SELECT account, number, signature FROM consent WHERE group_id = ? AND candidate = ? ORDER BY account",
    )?;
    let found = rows.query_map(params![group, candidate.as_bytes()], |row| {
        Ok(Consent {
            account: AccountId::from_bytes(row.get(0)?),
            number: row.get::<_, i64>(1)?.unsigned_abs(),
            signature: row.get(2)?,
        })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mls::Signer;
    use stonechat_wire::group::{Role, Seat};

    const GROUP: Gid = [1; 16];
    const NUMBER: u64 = 300;

    fn id(n: u8) -> AccountId {
        AccountId::from_bytes([n; 32])
    }

    /// 0 owns; 1, 2 and 3 are members.
    fn group() -> GroupState {
        GroupState {
            picture: None,
            large: false,
            name: "house".into(),
            description: String::new(),
            may_write: Role::Member,
            may_add: Role::Admin,
            may_edit: Role::Admin,
            seats: (0..4)
                .map(|n| Seat {
                    account: id(n),
                    role: if n == 0 { Role::Owner } else { Role::Member },
                    name: format!("{n}"),
                })
                .collect(),
        }
    }

    fn leaves() -> Vec<mls::Leaf> {
        let leaf = |n: u8| mls::Leaf {
            index: u32::from(n),
            identity: vec![n; 309],
            public: Signer::new([n; 32]).public().to_vec(),
        };
        (0..4).map(leaf).collect()
    }

    fn consent(by: u8, signer: u8, bytes: &[u8], number: u64) -> Consent {
        Consent {
            account: id(by),
            number,
            signature: Signer::new([signer; 32]).sign(bytes),
        }
    }

    #[test]
    fn a_consent_counts_for_its_group_council_candidate_and_time_and_for_nobody_else_grp_18() {
        let (before, council) = (group(), council(&group()));
        let after = roles::with_owner(&before, id(1)).unwrap();
        let bytes = |number| consent_bytes(&GROUP, &council, number, id(1));
        let counts = |consent: Consent| {
            let counted = valid(&GROUP, NUMBER, (&before, &after), &leaves(), &[consent, consent]);
            assert!(counted.len() < 2, "twice is once");
            counted.contains(&consent.account)
        };
        assert!(counts(consent(2, 2, &bytes(NUMBER), NUMBER)));
        assert!(counts(consent(2, 2, &bytes(NUMBER - EPOCHS_MAX), NUMBER - EPOCHS_MAX)));
        let old = NUMBER - EPOCHS_MAX - 1;
        let mut fewer = group();
        fewer.seats.retain(|seat| seat.account != id(3));
        let elsewhere = consent_bytes(&[2; 16], &council, NUMBER, id(1));
        let other_council = consent_bytes(&GROUP, &super::council(&fewer), NUMBER, id(1));
        let other_candidate = consent_bytes(&GROUP, &council, NUMBER, id(2));
        for (why, consent) in [
            ("too old", consent(2, 2, &bytes(old), old)),
            ("from the future", consent(2, 2, &bytes(NUMBER + 1), NUMBER + 1)),
            (
                "another number than was signed",
                consent(2, 2, &bytes(NUMBER - 1), NUMBER),
            ),
            ("another group", consent(2, 2, &elsewhere, NUMBER)),
            ("before somebody came", consent(2, 2, &other_council, NUMBER)),
            ("for another candidate", consent(2, 2, &other_candidate, NUMBER)),
            ("signed by another member", consent(2, 3, &bytes(NUMBER), NUMBER)),
            ("by somebody who was removed", consent(7, 7, &bytes(NUMBER), NUMBER)),
        ] {
            assert!(!counts(consent), "{why}");
        }
    }
}
