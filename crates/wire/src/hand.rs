//! What a public invitation deals: hands of two relays, and the deck that its door has in the place of a card.
//!
//! In: bytes from a door, or typed values. Out: the other. Which hand of a deck somebody gets is the relay's to choose, who
//! signs and what becomes of one is core's. Specified in `docs/protocol/24-public.md` (PUB).

use alloc::vec::Vec;

use crate::address::{self, NEAR};
use crate::card::{CardRelay, account_id};
use crate::codec::{DecodeError, Reader, Write};
use crate::ids::AccountId;
use crate::kdf::{first, hmac, sha256};

/// Format version of hand and deck.
const VERSION: u8 = 1;
/// The bucket that a hand is sealed into (PUB-1).
pub const HAND_BUCKET: usize = 512;
/// Most hands of a deck (PUB-2).
pub const HANDS_MAX: usize = 256;
/// What stands before a deck's hands: version 1 | begins 8 | a day 2 | count 2.
const DECK_HEAD: usize = 13;
/// Longest deck, in bytes.
pub const DECK_BYTES_MAX: usize = DECK_HEAD + HANDS_MAX * HAND_BUCKET;
/// A day, in seconds.
pub const DAY_S: u64 = 86_400;

/// Two relays for whoever comes, signed by the account that deals (PUB-1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hand {
    /// Whose it is.
    pub account_ed25519: [u8; 32],
    /// SHA-256 of that account's ML-DSA-65 key.
    pub mldsa_hash: [u8; 32],
    /// One to be named to others, and one to be kept.
    pub relays: [CardRelay; 2],
    /// Unix seconds after which it is worth nothing.
    pub expires_at_s: u64,
    /// Ed25519 over [`Hand::signed_bytes`].
    pub signature: [u8; 64],
}

impl Hand {
    /// The account that deals.
    pub fn account_id(&self) -> AccountId {
        account_id(&self.account_ed25519, &self.mldsa_hash)
    }

    /// "stonechat/hand" | everything but the signature.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::from(*b"stonechat/hand");
        self.write(&mut bytes);
        bytes
    }

    /// The hand as it is sealed.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out.put(&self.signature);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.put(&self.account_ed25519);
        out.put(&self.mldsa_hash);
        self.relays.iter().for_each(|relay| relay.write(out));
        out.put(&self.expires_at_s.to_be_bytes());
    }

    /// Errors: another version, relays that no hand has, one twice, bytes left over. Signature and expiry are not looked at.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return Err(DecodeError::Value("version"));
        }
        let (account_ed25519, mldsa_hash) = (reader.array()?, reader.array()?);
        let relays = [read_dealt(&mut reader)?, read_dealt(&mut reader)?];
        if relays[0].relay == relays[1].relay {
            return Err(DecodeError::Value("one relay twice"));
        }
        let hand = Self {
            account_ed25519,
            mldsa_hash,
            relays,
            expires_at_s: reader.u64()?,
            signature: reader.array()?,
        };
        reader.end()?;
        Ok(hand)
    }
}

/// Whether a relay can be dealt to strangers, by the kind of its address.
pub fn can_be_dealt(relay: &CardRelay) -> bool {
    relay.address != NEAR && !address::is_drop(&relay.address) && relay.keys.is_none()
}

fn read_dealt(reader: &mut Reader<'_>) -> Result<CardRelay, DecodeError> {
    let relay = CardRelay::read(reader)?;
    if can_be_dealt(&relay) {
        Ok(relay)
    } else {
        Err(DecodeError::Value("relay of a hand"))
    }
}

/// Sealed hands, and from when on how many of them a day are dealt (PUB-2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deck<'a> {
    /// Unix seconds at which the first day begins.
    pub begins_s: u64,
    /// Hands a day; at least one.
    pub a_day: u16,
    /// All hands, [`HAND_BUCKET`] bytes each.
    hands: &'a [u8],
}

impl<'a> Deck<'a> {
    /// Reads the deck that a door has; a card is none. Errors: a length that no deck has, another version, no hands.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return Err(DecodeError::Value("version"));
        }
        let (begins_s, a_day) = (reader.u64()?, reader.u16()?);
        let count = reader.count("hands", HANDS_MAX)?;
        if count == 0 || a_day == 0 || usize::from(a_day) > count {
            return Err(DecodeError::Value("hands"));
        }
        let hands = reader.take(count.saturating_mul(HAND_BUCKET))?;
        reader.end()?;
        Ok(Self { begins_s, a_day, hands })
    }

    /// All hands as they stand in it.
    pub const fn bytes(&self) -> &'a [u8] {
        self.hands
    }

    /// The hand that is dealt to a network of addresses at a time; none after the last day (PUB-3).
    ///
    /// Whoever does not have the day's hands cannot tell which network gets which, and other days change nothing of it.
    pub fn dealt(&self, now_s: u64, source: &[u8; 6]) -> Option<&'a [u8]> {
        let open = self.open_on(self.day(now_s));
        let key = sha256(&[b"stonechat/deck", &open.concat()]);
        let number = u64::from_be_bytes(first(&hmac(&key, &[source])));
        let index = number.checked_rem(open.len() as u64)?;
        open.get(usize::try_from(index).ok()?).copied()
    }

    /// The day of a time, counted from 0. Before the first it is the first: whose clock is right nobody knows.
    pub fn day(&self, now_s: u64) -> u32 {
        u32::try_from(now_s.saturating_sub(self.begins_s) / DAY_S).unwrap_or(u32::MAX)
    }

    /// The hands that are open on a day; none after the last.
    pub fn open_on(&self, day: u32) -> Vec<&'a [u8]> {
        let (day, a_day) = (usize::try_from(day).unwrap_or(usize::MAX), usize::from(self.a_day));
        let hands = self.hands.chunks_exact(HAND_BUCKET);
        hands.skip(day.saturating_mul(a_day)).take(a_day).collect()
    }

    /// So many of its days from that of a time on, as a door has them: what is open on each of them is the same as in the whole
    /// (PUB-4). None after the last.
    pub fn ahead(&self, now_s: u64, days: u32) -> Option<Vec<u8>> {
        let from = self.day(now_s);
        let hands: Vec<&[u8]> = (from..from.saturating_add(days))
            .flat_map(|day| self.open_on(day))
            .collect();
        let begins_s = self.begins_s.saturating_add(u64::from(from).saturating_mul(DAY_S));
        let a_day = self.a_day.min(u16::try_from(hands.len()).unwrap_or(u16::MAX));
        (!hands.is_empty()).then(|| deck(begins_s, a_day, &hands))
    }
}

/// The deck of these sealed hands, as a door has it. In: at most [`HANDS_MAX`], [`HAND_BUCKET`] bytes each.
pub fn deck(begins_s: u64, a_day: u16, hands: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut out = Vec::from([VERSION]);
    out.put(&begins_s.to_be_bytes());
    out.put(&a_day.to_be_bytes());
    out.put_count(hands.len());
    hands.iter().for_each(|hand| out.put(hand.as_ref()));
    out
}

#[cfg(test)]
mod tests;
