//! Dead drops: what lies in a folder of somebody else's web server, and how it is named there.
//!
//! In: envelopes to keep, or a door's card, and the drop's secret. Out: objects of a few sizes under random names; and
//! back. A drop is a relay whose engine runs in its users' devices: to core it has an id and a secret as others do. How
//! objects get there is the carrier's job. Specified in `docs/protocol/19-drop.md` (DRP).
//! Invariant: who does not know the secret sees random names, sizes and times, and no object opens under another name.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::card::CARD_BUCKET;
use crate::codec::{DecodeError, Reader, Write};
use crate::envelope::{Envelope, OpenError, TooLong};
use crate::ids::{DoorPath, RelayId};
use crate::kdf::{first, hkdf, hkdf_expand, sha256};

mod place;

pub use place::{Kind, Place};

/// The sizes an object can have, in bytes (DRP-4).
pub const SIZES: [usize; 4] = [4096, 20_480, 65_536, 262_144];
/// Longest content of one object, in bytes.
pub const CONTENT_MAX: usize = 262_144 - OVERHEAD;
/// Most envelopes of one object (DRP-5).
pub const ITEMS_MAX: usize = 1024;
/// What an envelope takes in an object besides its own bytes.
pub const ITEM_OVERHEAD: usize = 8;
/// What an object's content has before its envelopes.
pub const HEAD: usize = 11;
/// Longest life of anything in a drop, in seconds (DRP-8).
pub const LIFE_S_MAX: u32 = 60 * 24 * 3600;

/// Seed, length, mac.
const OVERHEAD: usize = 36;
const SEED: usize = 16;
const MAC: usize = 16;
const VERSION: u8 = 1;

/// A drop's id, in the place of a relay's: SHA-256("stonechat/drop" | secret)[..16] (DRP-2).
pub fn drop_id(secret: &[u8; 16]) -> RelayId {
    RelayId::from_bytes(first(&sha256(&[b"stonechat/drop", secret])))
}

/// The name of an object: 16 random bytes, or a door's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName([u8; 16]);

impl ObjectName {
    /// Wraps 16 random bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Where a door's card lies: SHA-256("stonechat/drop/door" | path)[..16] (DRP-7).
    pub fn of_door(path: &DoorPath) -> Self {
        Self(first(&sha256(&[b"stonechat/drop/door", path.as_bytes()])))
    }

    /// As it stands in a request: 32 hexadecimal digits, for some servers do not tell case.
    pub fn to_text(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Reads what a server lists; nothing where it is no name of ours.
    pub fn from_text(text: &str) -> Option<Self> {
        let digits: &[u8; 32] = text.as_bytes().try_into().ok()?;
        let mut name = [0; 16];
        for (byte, pair) in name.iter_mut().zip(digits.as_chunks::<2>().0) {
            let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
            *byte = u8::try_from(high? << 4 | low?).ok()?;
        }
        Some(Self(name))
    }
}

impl fmt::Debug for ObjectName {
    /// Two bytes: enough to follow one through a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, ..] = self.0;
        write!(f, "ObjectName({a:02x}{b:02x}..)")
    }
}

/// What objects of one drop, or one door's card, are sealed with. Never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct DropKey([u8; 32]);

impl DropKey {
    /// HKDF-SHA-256(secret, no salt, "stonechat/drop/key", 32) (DRP-3).
    pub fn new(secret: &[u8; 16]) -> Self {
        Self(hkdf(secret, &[b"stonechat/drop/key"]))
    }

    /// HKDF-SHA-256(proof hash, no salt, "stonechat/drop/door" | path, 32) (DRP-7).
    pub fn of_door(path: &DoorPath, proof_hash: &[u8; 32]) -> Self {
        Self(hkdf(proof_hash, &[b"stonechat/drop/door", path.as_bytes()]))
    }
}

impl fmt::Debug for DropKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DropKey(..)")
    }
}

/// Seals `content` into the smallest size it fits (DRP-4). Errors: longer than [`CONTENT_MAX`].
///
/// `seed`: 16 fresh random bytes; never the same twice under one key.
pub fn seal(key: &DropKey, name: &ObjectName, seed: [u8; 16], content: &[u8]) -> Result<Vec<u8>, TooLong> {
    let size = content.len().saturating_add(OVERHEAD);
    let size = SIZES.into_iter().find(|one| *one >= size);
    let size = size.ok_or(TooLong(content.len()))?;
    let mut plain = Zeroizing::new(Vec::with_capacity(size));
    plain.put_bytes(content);
    plain.resize(size.saturating_sub(SEED.saturating_add(MAC)), 0);
    let (cipher, nonce) = cipher(key, &seed);
    let mac = cipher
        .encrypt_in_place_detached(&nonce.into(), &name.0, &mut plain)
        .expect("an object is far below the cipher's limit");
    let mut bytes = Vec::with_capacity(size);
    bytes.put(&seed);
    bytes.put(&plain);
    bytes.put(&mac);
    Ok(bytes)
}

/// Opens an object. Errors: any doubt at all, without saying which: another drop's, another name's, broken or forged.
pub fn open(key: &DropKey, name: &ObjectName, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    if !SIZES.contains(&bytes.len()) {
        return Err(OpenError);
    }
    let (seed, rest) = bytes.split_first_chunk::<SEED>().ok_or(OpenError)?;
    let (sealed, mac) = rest.split_last_chunk::<MAC>().ok_or(OpenError)?;
    let mut plain = Zeroizing::new(sealed.to_vec());
    let (cipher, nonce) = cipher(key, seed);
    cipher
        .decrypt_in_place_detached(&nonce.into(), &name.0, &mut plain, mac.into())
        .map_err(|_| OpenError)?;
    let mut reader = Reader::new(&plain);
    let content = reader.bytes("content", CONTENT_MAX).map_err(|_| OpenError)?;
    if reader.rest().iter().any(|byte| *byte != 0) {
        return Err(OpenError);
    }
    Ok(Zeroizing::new(content.to_vec()))
}

/// Key and nonce of one object: HKDF-Expand(key, "object" | version | seed, 44) (DRP-3).
fn cipher(key: &DropKey, seed: &[u8; 16]) -> (ChaCha20Poly1305, [u8; 12]) {
    let derived = Zeroizing::new(hkdf_expand::<44>(&key.0, &[b"object", &[VERSION], seed]));
    let (key, nonce) = derived.split_first_chunk::<32>().expect("44 is more than 32");
    let nonce = nonce.try_into().expect("44 is 32 and 12");
    (ChaCha20Poly1305::new(key.into()), nonce)
}

/// Envelopes that were put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// When, by the server's clock, in Unix seconds.
    pub written_at_s: u64,
    /// At most [`ITEMS_MAX`].
    pub items: Vec<Kept>,
}

/// An envelope in a drop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// How long it is to be kept, at most [`LIFE_S_MAX`].
    pub ttl_s: u32,
    /// What is kept.
    pub envelope: Envelope,
}

impl Object {
    /// version 1 | written at 8 | count 2 | (ttl 4 | envelope behind its length 4) each (DRP-5).
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::from([VERSION]);
        out.put(&self.written_at_s.to_be_bytes());
        out.put_count(self.items.len());
        for item in &self.items {
            out.put(&item.ttl_s.to_be_bytes());
            out.put_bytes(item.envelope.bytes());
        }
        out
    }

    /// Reads one. Errors: another version, over a limit, something that is no envelope, bytes left over.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        read_version(&mut reader)?;
        let written_at_s = reader.u64()?;
        let items = reader.list("envelopes", ITEMS_MAX, read_kept)?;
        reader.end()?;
        Ok(Self { written_at_s, items })
    }

    /// When nothing in it is to be kept any more, in Unix seconds.
    pub fn over_at_s(&self) -> u64 {
        let longest = self.items.iter().map(|item| item.ttl_s).max().unwrap_or_default();
        self.written_at_s.saturating_add(u64::from(longest.min(LIFE_S_MAX)))
    }
}

fn read_kept(reader: &mut Reader<'_>) -> Result<Kept, DecodeError> {
    let ttl_s = reader.u32()?;
    let bytes = reader.bytes("envelope", CONTENT_MAX)?.to_vec();
    let envelope = Envelope::decode(bytes).map_err(|_| DecodeError::Value("envelope"))?;
    Ok(Kept { ttl_s, envelope })
}

fn read_version(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    match reader.u8()? {
        VERSION => Ok(()),
        other => Err(DecodeError::Version(other)),
    }
}

/// An invitation's card that lies in a drop (DRP-7).
#[derive(Clone, PartialEq, Eq)]
pub struct LyingCard {
    /// Unix seconds after which nobody takes it.
    pub expires_s: u64,
    /// [`CARD_BUCKET`] bytes.
    pub card: Vec<u8>,
}

impl LyingCard {
    /// version 1 | expires 8 | card behind its length 4.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::from([VERSION]);
        out.put(&self.expires_s.to_be_bytes());
        out.put_bytes(&self.card);
        out
    }

    /// Reads one. Errors: another version, a card of another length, bytes left over.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        read_version(&mut reader)?;
        let expires_s = reader.u64()?;
        let card = reader.bytes("card", CARD_BUCKET)?.to_vec();
        reader.end()?;
        if card.len() != CARD_BUCKET {
            return Err(DecodeError::Value("card"));
        }
        Ok(Self { expires_s, card })
    }
}

impl fmt::Debug for LyingCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LyingCard(until {})", self.expires_s)
    }
}

#[cfg(test)]
mod tests;
