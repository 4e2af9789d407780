//! The side that is dealt a hand by a public invitation.
//!
//! In: what the door has given. Out: two relays of the person's own, the second a private one (PUB-5). Nobody is told.

use crate::defence::{self, Defence};
use crate::inbox;
use crate::profile;
use crate::relays;
use crate::restore;
use crate::step::{Step, Stop};
use ed25519_dalek::{Signature, VerifyingKey};
use stonechat_wire::card::CardRelay;
use stonechat_wire::envelope::Envelope;
use stonechat_wire::hand::Hand;
use stonechat_wire::invite::{InviteLink, ROLE_HAND, account_pin};
use stonechat_wire::route::RelayRoute;

/// The hand must be sealed with the link's secret, and signed by the account that the link pins.
pub(super) fn opened_hand(link: &InviteLink, bytes: &[u8]) -> Result<Hand, Stop> {
    const REFUSED: Stop = Stop::Refused("hand");
    let sealed = Envelope::decode(bytes.to_vec()).map_err(|_| REFUSED)?;
    let plain = inbox::whole(&link.secret.key(ROLE_HAND), &sealed)?;
    let hand = Hand::decode(&plain).map_err(|_| REFUSED)?;
    if account_pin(&link.secret, hand.account_id()) != link.pin && defence::holds(Defence::CardPin) {
        return Err(Stop::Refused("pin"));
    }
    let key = VerifyingKey::from_bytes(&hand.account_ed25519).map_err(|_| REFUSED)?;
    key.verify_strict(&hand.signed_bytes(), &Signature::from_bytes(&hand.signature))
        .map_err(|_| REFUSED)?;
    Ok(hand)
}

/// Adds what is no own relay yet. Errors: [`Fault::TooMany`](crate::api::Fault::TooMany), and then none is added.
pub(super) fn take(step: &mut Step<'_, '_>, hand: &Hand) -> Result<(), Stop> {
    for (dealt, private) in hand.relays.iter().zip([false, true]) {
        add(step, dealt, private)?;
    }
    Ok(())
}

fn add(step: &mut Step<'_, '_>, dealt: &CardRelay, private: bool) -> Result<(), Stop> {
    let sql = "SELECT 1 FROM relay WHERE relay = ? AND (near > 0 OR (own = 1 AND removed = 0))";
    if step.tx.prepare_cached(sql)?.exists([dealt.relay.as_bytes()])? {
        return Ok(());
    }
    let route = RelayRoute {
        address: dealt.address.clone(),
        relay: dealt.relay,
        secret: dealt.secret,
        lan: dealt.lan,
    };
    profile::use_relay(step, route)?;
    relays::added(step, dealt.relay, private)?;
    let sql = "UPDATE relay SET dealt = 1 WHERE relay = ?";
    step.tx.prepare_cached(sql)?.execute([dealt.relay.as_bytes()])?;
    restore::relay_given(step, dealt.relay)
}
