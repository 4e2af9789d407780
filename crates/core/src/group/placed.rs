//! Whether the commit counts that added somebody: who was added on a branch that has lost, or came back, is told by whoever
//! added it, or by an admin who hears it there.
//!
//! In: commits that the head has left, or came back to; somebody who speaks beside the head's branch; what others say of mine.
//! Out: the word, in a conversation of two or where that one speaks; a beginning that counts no more, or again.
//! Specified in `docs/protocol/12-groups.md` (GRP-24).

use super::head_moved;
use crate::conversation::{self, Conversation, Sealed, epochs};
use crate::mls::Gid;
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use stonechat_wire::group::{GroupState, Placed, Role};
use stonechat_wire::ids::{AccountId, EpochId};
use stonechat_wire::message::Kind;

/// An account is told so in the group once in so long.
const SAY_EVERY_MS: u64 = 24 * 3600 * 1000;

/// Tells whom my commits have added that made these epochs.
pub(crate) fn tell(step: &mut Step<'_, '_>, group: &Gid, made: &[EpochId], counts: bool) -> Result<(), Stop> {
    for epoch in made {
        for account in epochs::added_by_me(step, *epoch)? {
            tell_one(step, (group, *epoch), account, counts)?;
        }
    }
    Ok(())
}

/// I was added anew: those whom my commits had added where I was before, and who are not in the head, are out.
pub(crate) fn tell_outside(step: &mut Step<'_, '_>, group: &Gid, made: &[EpochId]) -> Result<(), Stop> {
    let Some(of) = conversation::load(step, group)? else {
        return Ok(());
    };
    let inside = epochs::accounts(step, of.epoch)?;
    for epoch in made {
        for account in epochs::added_by_me(step, *epoch)? {
            if !inside.contains(&account) {
                tell_one(step, (group, *epoch), account, false)?;
            }
        }
    }
    Ok(())
}

/// Who is no contact any more hears nothing.
fn tell_one(
    step: &mut Step<'_, '_>,
    (group, epoch): (&Gid, EpochId),
    account: AccountId,
    counts: bool,
) -> Result<(), Stop> {
    let group = *group;
    let body = Placed {
        group,
        epoch,
        counts,
        whom: None,
    }
    .encode();
    let _told = step.attempt(|step| {
        let to = conversation::with_contact(step, account)?;
        conversation::tell(step, &to, Kind::Placed, &body).map(drop)
    })?;
    Ok(())
}

/// Somebody is heard where only commits have let it in that do not count: whoever could remove it there says so.
pub(crate) fn hear(step: &mut Step<'_, '_>, of: &Conversation, by: Sealed) -> Result<(), Stop> {
    if !of.grouped || of.gone || !epochs::is_let_in(step, of, by.account, by.epoch)? {
        return Ok(());
    }
    let Some(state) = epochs::state(step, by.epoch)? else {
        return Ok(());
    };
    if !is_above(&state, step.me()?, by.account) || !is_time(step, &of.group, by.account)? {
        return Ok(());
    }
    let body = Placed {
        group: of.group,
        epoch: by.epoch,
        counts: false,
        whom: Some(by.account),
    };
    // Where my leaf there is another one, somebody else says it.
    let _said = step.attempt(|step| conversation::say_in(step, &of.group, by.epoch, Kind::Placed, &body.encode()))?;
    Ok(())
}

/// It may remove that one.
pub(crate) fn is_above(state: &GroupState, who: AccountId, whom: AccountId) -> bool {
    let admin = state.role(who).is_some_and(|role| role <= Role::Admin);
    admin && state.rank(who) < state.rank(whom)
}

fn is_time(step: &Step<'_, '_>, group: &Gid, account: AccountId) -> Result<bool, Stop> {
    let now = step.now.0.cast_signed();
    let last: Option<i64> = step
        .tx
        .prepare_cached("SELECT said_at FROM outside WHERE group_id = ? AND account = ?")?
        .query_row(params![group, account.as_bytes()], |row| row.get(0))
        .optional()?;
    if last.is_some_and(|last| last <= now && now < last.saturating_add_unsigned(SAY_EVERY_MS)) {
        return Ok(false);
    }
    step.tx
        .prepare_cached("INSERT OR REPLACE INTO outside VALUES (?, ?, ?)")?
        .execute(params![group, account.as_bytes(), now])?;
    Ok(true)
}

/// A contact says so of a commit by which it has added me. Anybody else's word says nothing there.
pub(crate) fn take_in(step: &mut Step<'_, '_>, by: AccountId, body: &[u8]) -> Result<(), Stop> {
    let placed = Placed::decode(body).map_err(|_| Stop::Refused("placed"))?;
    if epochs::place(step, by, &placed)? {
        placed_anew(step, &placed.group, Some(placed.epoch), placed.counts)?;
    }
    Ok(())
}

/// An admin says so in the group, on the branch that I stand on.
pub(crate) fn said(step: &mut Step<'_, '_>, of: &Conversation, by: Sealed, body: &[u8]) -> Result<(), Stop> {
    let placed = Placed::decode(body).map_err(|_| Stop::Refused("placed"))?;
    let me = step.me()?;
    if placed.group != of.group || placed.whom != Some(me) || placed.counts {
        return Ok(());
    }
    // Where it speaks, and by all that I know of this branch.
    let states = [by.epoch, of.epoch].map(|epoch| epochs::state(step, epoch));
    let mut may = true;
    for state in states {
        may &= is_above(&state?.ok_or(Stop::Refused("placed"))?, by.account, me);
    }
    if may && epochs::place_here(step, &of.group, by)? {
        placed_anew(step, &of.group, None, false)?;
    }
    Ok(())
}

/// It is said of this beginning, or of the one that I stand on.
fn placed_anew(step: &mut Step<'_, '_>, group: &Gid, which: Option<EpochId>, counts: bool) -> Result<(), Stop> {
    let before = epochs::way_to_head(step, group)?;
    epochs::follow_others(step)?;
    head_moved(step, group, &[])?;
    let root = before.last();
    let of_mine = which.is_none() || which.as_ref() == root;
    // Where nothing else is left, what I did on that branch is as lost.
    if of_mine && epochs::way_to_head(step, group)?.last() == root {
        tell(step, group, &before, counts)?;
    }
    Ok(())
}

/// Whoever said in the group that my addition does not count speaks on its branch now: it has come over.
pub(crate) fn heard_again(step: &mut Step<'_, '_>, of: &Conversation, by: Sealed) -> Result<(), Stop> {
    if of.grouped && epochs::unplace(step, &of.group, by)? {
        head_moved(step, &of.group, &[])?;
    }
    Ok(())
}
