//! Whether the commit counts that added somebody: who was added on a branch that has lost, or came back, is told by whoever
//! added it.
//!
//! In: commits that the head has left, or came back to; what contacts say of theirs. Out: the word, in a conversation of
//! two; a beginning that counts no more, or again. Specified in `docs/protocol/12-groups.md` (GRP-24).

use super::head_moved;
use crate::conversation::{self, epochs};
use crate::mls::Gid;
use crate::step::{Step, Stop};
use stonechat_wire::group::Placed;
use stonechat_wire::ids::{AccountId, EpochId};
use stonechat_wire::message::Kind;

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
    let body = Placed { group, epoch, counts }.encode();
    let _told = step.attempt(|step| {
        let to = conversation::with_contact(step, account)?;
        conversation::tell(step, &to, Kind::Placed, &body).map(drop)
    })?;
    Ok(())
}

/// A contact says so of a commit by which it has added me. Anybody else's word says nothing.
pub(crate) fn take_in(step: &mut Step<'_, '_>, by: AccountId, body: &[u8]) -> Result<(), Stop> {
    let placed = Placed::decode(body).map_err(|_| Stop::Refused("placed"))?;
    if !epochs::place(step, by, &placed)? {
        return Ok(());
    }
    epochs::follow_others(step)?;
    head_moved(step, &placed.group, &[])?;
    // Where nothing else is left, what I did on that branch is as lost.
    let below = epochs::below_root(step, &placed.group)?;
    if below.first() == Some(&placed.epoch) {
        tell(step, &placed.group, &below, placed.counts)?;
    }
    Ok(())
}
