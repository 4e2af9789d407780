//! Being added to a group: a Welcome that came in a conversation of two.
//!
//! In: who sent it, and the invitation. Out: the group's chat; or, in a group that is known, a new beginning for a device
//! that fell behind. Anything that does not fit is refused whole (GRP-9).

use super::{apart, begin, supply};
use crate::content::vanish;
use crate::conversation::{self, Conversation, epochs};
use crate::defence::{self, Defence};
use crate::leaf;
use crate::meeting;
use crate::mls::{self, Entered, Known, Signer};
use crate::near;
use crate::restore;
use crate::roles;
use crate::step::{Step, Stop};
use std::collections::BTreeSet;
use stonechat_wire::group::{GroupState, Invitation, Role};
use stonechat_wire::ids::{AccountId, RelayId};

/// Takes in an invitation by a contact.
pub(crate) fn take_in(step: &mut Step<'_, '_>, from: &Conversation, by: AccountId, body: &[u8]) -> Result<(), Stop> {
    let invitation = Invitation::decode(body).map_err(|_| Stop::Refused("invitation"))?;
    if invitation.apart.is_some() {
        return apart::wait(step, from, by, &invitation);
    }
    enter(step, from, by, &invitation)
}

/// Joins by an invitation whose Welcome is whole.
pub(super) fn enter(
    step: &mut Step<'_, '_>,
    from: &Conversation,
    by: AccountId,
    invitation: &Invitation,
) -> Result<(), Stop> {
    let entered = mls::join(&step.mls, &invitation.welcome, Known::Again)?;
    let state = entered.state.as_deref().ok_or(Stop::Refused("no state"))?;
    let state = GroupState::decode(state).map_err(|_| Stop::Refused("state"))?;
    check_members(step, &entered, &state)?;
    let known = conversation::load(step, &entered.group)?;
    match (&known, restore::lost(step, &entered.group)?) {
        // RCH-6: by what the capsule knew.
        (None, Some((_, before))) => check_may_return(step, &before, by)?,
        (None, None) => check_may_add(&state, by)?,
        (Some(_), _) => check_may_return(step, &state, by)?,
    }
    let signer = own_signer(step, &entered)?;
    let relays = meeting::use_all(step, invitation.relays.iter())?;
    match known {
        None => {
            let chat = begin(step, &entered, &signer, &relays)?;
            if let Some(of) = conversation::load(step, &entered.group)? {
                learn(step, &of, by, invitation)?;
                conversation::note_began(step, &of)?;
            }
            step.touch_chat(chat);
        }
        Some(of) => {
            come_back(step, &of, by, &entered, &signer, &relays)?;
            learn(step, &of, by, invitation)?;
        }
    }
    epochs::added_by(step, entered.epoch, by)?;
    near::tell_all(step)?;
    supply::offer(step, from, by)
}

/// What was said in the group before and still counts (GRP-13).
fn learn(step: &mut Step<'_, '_>, of: &Conversation, by: AccountId, invitation: &Invitation) -> Result<(), Stop> {
    match invitation.timer {
        Some(timer) => vanish::learn(step, of, by, timer),
        None => Ok(()),
    }
}

/// Each leaf proves its account, and the accounts are those of the list.
fn check_members(step: &Step<'_, '_>, entered: &Entered, state: &GroupState) -> Result<(), Stop> {
    let leaves: BTreeSet<AccountId> = entered.members.iter().map(leaf::account_of).collect::<Result<_, _>>()?;
    let seats: BTreeSet<AccountId> = state.seats.iter().map(|seat| seat.account).collect();
    let own = entered.members.iter().find(|leaf| leaf.index == entered.own_leaf);
    let mine = own.map(leaf::account_of).transpose()?;
    let named = leaves == seats || !defence::holds(Defence::TreeAndList);
    if named && mine == Some(step.me()?) {
        Ok(())
    } else {
        Err(Stop::Refused("members"))
    }
}

fn check_may_add(state: &GroupState, by: AccountId) -> Result<(), Stop> {
    if may_add(state, by) || !defence::holds(Defence::MayAdd) {
        Ok(())
    } else {
        Err(Stop::Refused("may not add"))
    }
}

/// Whether this account may add members (GRP-5).
pub(crate) fn may_add(state: &GroupState, by: AccountId) -> bool {
    state
        .role(by)
        .is_some_and(|role| role <= state.may_add.max(Role::Admin))
}

/// Who could add me, or bring me back.
fn check_may_return(step: &Step<'_, '_>, state: &GroupState, by: AccountId) -> Result<(), Stop> {
    if roles::may_bring_back(state, by, step.me()?) {
        return Ok(());
    }
    check_may_add(state, by)
}

fn own_signer(step: &Step<'_, '_>, entered: &Entered) -> Result<Signer, Stop> {
    let own = entered.members.iter().find(|leaf| leaf.index == entered.own_leaf);
    let public = own.map(|leaf| leaf.public.as_slice()).unwrap_or_default();
    supply::used(step, public)?.ok_or(Stop::Refused("own key package"))
}

/// Only somebody who could add me by what I know already may bring me back.
fn come_back(
    step: &mut Step<'_, '_>,
    of: &Conversation,
    by: AccountId,
    entered: &Entered,
    signer: &Signer,
    relays: &[RelayId],
) -> Result<(), Stop> {
    let known = epochs::state(step, of.epoch)?.ok_or(Stop::Refused("a conversation of two"))?;
    check_may_return(step, &known, by)?;
    for relay in relays {
        conversation::join_relay(step, of.group, *relay)?;
    }
    epochs::plant_again(step, entered, signer)?;
    conversation::follow(step, of)
}
