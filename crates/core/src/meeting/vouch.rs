//! Vouches: who says of whom that this is their account, and whether a chain of them leads to me.
//!
//! In: the own account, what is known of a contact; a chain that came. Out: a signed vouch; a verdict, which is a function of
//! the chain alone. Specified in `docs/protocol/04-meeting.md` (INT-2, INT-3).
//! Invariant: a vouch makes nobody verified here.

use crate::account::Account;
use crate::api::Fault;
use crate::defence::{self, Defence};
use crate::step::Stop;
use ed25519_dalek::{Signature, VerifyingKey};
use std::collections::BTreeSet;
use stonechat_wire::ids::{AccountId, Timestamp};
use stonechat_wire::introduce::{CHAIN_MAX, Knows, Person, Vouch};

/// Vouches for `about` to `to`. Errors: [`Fault::NotHome`].
pub(crate) fn sign(me: &Account, to: AccountId, about: AccountId, knows: Knows, now: Timestamp) -> Result<Vouch, Stop> {
    let mut vouch = Vouch {
        by: Person {
            ed25519: me.ed25519_public(),
            mldsa_hash: *me.mldsa_hash(),
            name: me.name().to_owned(),
        },
        to,
        about,
        knows,
        at_s: now.seconds(),
        signature: [0; 64],
    };
    vouch.signature = me.sign(&vouch.signed_bytes()).ok_or(Stop::Fault(Fault::NotHome))?;
    Ok(vouch)
}

/// A chain leads from somebody who knows `about` to `to`, whom `from` tells it: each link is signed, is of the same person
/// and was said to whoever says the next; nobody stands in it twice, and neither end does (INT-3).
pub(crate) fn check(chain: &[Vouch], from: AccountId, to: AccountId, about: AccountId) -> Result<(), Stop> {
    const REFUSED: Stop = Stop::Refused("vouches");
    if !defence::holds(Defence::Vouches) {
        return Ok(());
    }
    if chain.is_empty() || chain.len() > CHAIN_MAX {
        return Err(REFUSED);
    }
    let mut seen: BTreeSet<AccountId> = [to, about].into();
    let heard = chain.iter().skip(1).map(|next| next.by.account()).chain([to]);
    for (place, (vouch, heard)) in chain.iter().zip(heard).enumerate() {
        let first = place == 0;
        let fits = vouch.about == about && vouch.to == heard && first == (vouch.knows != Knows::Introduced);
        if !fits || !seen.insert(vouch.by.account()) || !is_signed(vouch) {
            return Err(REFUSED);
        }
    }
    if chain.last().map(|last| last.by.account()) == Some(from) {
        Ok(())
    } else {
        Err(REFUSED)
    }
}

fn is_signed(vouch: &Vouch) -> bool {
    let signature = Signature::from_bytes(&vouch.signature);
    VerifyingKey::from_bytes(&vouch.by.ed25519)
        .is_ok_and(|key| key.verify_strict(&vouch.signed_bytes(), &signature).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer as _, SigningKey};

    fn key(number: u8) -> SigningKey {
        SigningKey::from_bytes(&[number; 32])
    }

    fn person(number: u8) -> Person {
        Person {
            ed25519: key(number).verifying_key().to_bytes(),
            mldsa_hash: [number; 32],
            name: format!("P{number}"),
        }
    }

    fn vouch(by: u8, to: u8, about: u8, knows: Knows) -> Vouch {
        let mut vouch = Vouch {
            by: person(by),
            to: person(to).account(),
            about: person(about).account(),
            knows,
            at_s: 5,
            signature: [0; 64],
        };
        vouch.signature = key(by).sign(&vouch.signed_bytes()).to_bytes();
        vouch
    }

    /// By 1 to 2, 2 to 3, and so on to me, who is 9; about 8.
    fn chain(links: u8) -> Vec<Vouch> {
        (1..=links)
            .map(|by| {
                let to = if by == links { 9 } else { by + 1 };
                vouch(by, to, 8, if by == 1 { Knows::Met } else { Knows::Introduced })
            })
            .collect()
    }

    fn verdict(chain: &[Vouch], from: u8) -> bool {
        check(chain, person(from).account(), person(9).account(), person(8).account()).is_ok()
    }

    #[test]
    fn a_chain_of_vouches_leads_to_me_or_is_nothing_int_3() {
        for links in 1..=4 {
            assert!(verdict(&chain(links), links), "{links}");
        }
        assert!(!verdict(&chain(5), 5), "too long");
        assert!(!verdict(&[], 1), "none");
        assert!(!verdict(&chain(2), 1), "told by somebody else than its last");
        assert!(!verdict(&chain(3)[1..], 3), "its beginning is gone");
        assert!(!verdict(&[vouch(1, 7, 8, Knows::Met)], 1), "said to somebody else");
        assert!(!verdict(&[vouch(1, 9, 7, Knows::Met)], 1), "of somebody else");
        assert!(!verdict(&[vouch(8, 9, 8, Knows::Met)], 8), "of oneself");
        assert!(!verdict(&[vouch(9, 9, 8, Knows::Met)], 9), "by me");
        let round = [
            vouch(1, 2, 8, Knows::Met),
            vouch(2, 1, 8, Knows::Introduced),
            vouch(1, 9, 8, Knows::Introduced),
        ];
        assert!(!verdict(&round, 1), "somebody twice");
        let broken = [vouch(1, 7, 8, Knows::Met), vouch(2, 9, 8, Knows::Introduced)];
        assert!(!verdict(&broken, 2), "a link was said to somebody else");
    }

    #[test]
    fn a_bent_vouch_is_nothing_int_2() {
        let changes: [fn(&mut Vouch); 4] = [
            |vouch| vouch.knows = Knows::Verified,
            |vouch| vouch.at_s += 1,
            |vouch| vouch.by.name = "Somebody".into(),
            |vouch| vouch.signature[0] ^= 1,
        ];
        for change in changes {
            let mut chain = chain(1);
            change(&mut chain[0]);
            assert!(!verdict(&chain, 1));
        }
    }
}
