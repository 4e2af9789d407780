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
        let body = Placed {
            group: *group,
            epoch: *epoch,
            counts,
        };
        for account in epochs::added_by_me(step, *epoch)? {
            // Who is no contact any more hears nothing.
            let _told = step.attempt(|step| {
                let to = conversation::with_contact(step, account)?;
                conversation::tell(step, &to, Kind::Placed, &body.encode()).map(drop)
            })?;
        }
    }
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
