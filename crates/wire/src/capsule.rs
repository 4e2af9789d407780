//! The capsule: what of an account lies on its relays, for the day when its devices are lost.
//!
//! In: bytes that the seed's key opened, or typed values. Out: the other. It holds no key of any conversation and no
//! message. What goes in, and what becomes of it, is core's. Specified in `docs/protocol/14-devices.md` (CAP-*).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::card::{CardRelay, DeviceLog, read_name};
use crate::codec::{DecodeError, Reader, Write};
use crate::envelope::EnvelopeKey;
use crate::group::GroupState;
use crate::ids::{AccountId, Token};
use crate::kdf::{hkdf_expand, hmac};
use crate::mailbox::Slot;
use crate::reach::ReachSecret;

/// Format version.
pub const VERSION: u8 = 1;
/// Longest capsule, in bytes (CAP-2).
pub const CAPSULE_BYTES_MAX: usize = 65_536;
/// Most relays of a capsule (CAP-2).
pub const RELAYS_MAX: usize = 64;
/// Most contacts of a capsule (CAP-2).
pub const CONTACTS_MAX: usize = 1024;
/// Most groups of a capsule (CAP-2).
pub const GROUPS_MAX: usize = 1024;
/// Most relays that one contact names: those of a conversation (CAP-2).
pub const CONTACT_RELAYS_MAX: usize = 4;
/// Longest state of a group in a capsule, in bytes: 256 seats with their names.
const STATE_BYTES_MAX: usize = 48 * 1024;
/// Slots of one period (CAP-1).
const SLOTS: u32 = 4;
/// Periods before the present one that are read (CAP-1): envelopes are kept for 60 days.
const PERIODS_BACK: u32 = 3;

/// What the seed gives for the capsule: r of CAP-1. Never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct CapsuleRoot([u8; 32]);

impl CapsuleRoot {
    /// Wraps what was derived from the root seed.
    pub const fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// What the capsule's envelopes are sealed with.
    pub fn key(&self) -> EnvelopeKey {
        EnvelopeKey::new(hkdf_expand(&self.0, &[b"key"]))
    }

    /// Where it is put while this slot lasts.
    pub fn token(&self, slot: Slot) -> Token {
        self.token_of(slot.0 / SLOTS)
    }

    /// All mailboxes that it may lie in at this slot: periods −3 … +1.
    pub fn tokens(&self, slot: Slot) -> Vec<Token> {
        let period = slot.0 / SLOTS;
        let periods = period.saturating_sub(PERIODS_BACK)..=period.saturating_add(1);
        periods.map(|period| self.token_of(period)).collect()
    }

    fn token_of(&self, period: u32) -> Token {
        Token::from_bytes(hmac(&self.0, &[b"token", &period.to_be_bytes()]))
    }
}

impl fmt::Debug for CapsuleRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CapsuleRoot(..)")
    }
}

/// Everything of an account that comes back with its words (CAP-2).
#[derive(Clone, PartialEq, Eq)]
pub struct Capsule {
    /// Grows with each one that is put.
    pub generation: u64,
    /// Unix seconds.
    pub made_at_s: u64,
    /// What the person calls themselves.
    pub name: String,
    /// The account's devices.
    pub device_log: DeviceLog,
    /// Relays of the account and of its conversations, and whose they are.
    pub relays: Vec<(Whose, CardRelay)>,
    /// The newest activity first.
    pub contacts: Vec<KeptContact>,
    /// The newest activity first.
    pub groups: Vec<KeptGroup>,
    /// Contacts and groups that did not fit.
    pub left_out: u16,
}

/// Whose a relay of a capsule is (CAP-2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Whose {
    /// Named by somebody's card: it may be named to others.
    Lent = 0,
    /// The account's own.
    Own = 1,
    /// The account's own, for contacts alone (REL-5).
    Private = 2,
    /// Brought into a conversation by somebody else: for that one alone (REL-2).
    Brought = 3,
}

impl Whose {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match reader.u8()? {
            0 => Self::Lent,
            1 => Self::Own,
            2 => Self::Private,
            3 => Self::Brought,
            _ => return Err(DecodeError::Value("whose relay")),
        })
    }
}

/// A person, and how to reach them again.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptContact {
    /// The account's Ed25519 key.
    pub ed25519: [u8; 32],
    /// SHA-256 of the account's ML-DSA-65 key.
    pub mldsa_hash: [u8; 32],
    /// What the person calls themselves.
    pub own_name: String,
    /// What the owner calls them.
    pub alias: Option<String>,
    /// Compared or met in person.
    pub verified: bool,
    /// Entries of the newest device log known.
    pub log_count: u32,
    /// SHA-256 of its last entry.
    pub log_hash: [u8; 32],
    /// How to ask them.
    pub reach: ReachSecret,
    /// Places in [`Capsule::relays`].
    pub relays: Vec<u8>,
}

/// A group, as it was known.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptGroup {
    /// Its id.
    pub group: [u8; 16],
    /// Name, policy, and seats: all, or those who may bring back (CAP-3).
    pub state: GroupState,
}

impl KeptContact {
    /// Whose it is (CARD-2).
    pub fn account(&self) -> AccountId {
        crate::card::account_id(&self.ed25519, &self.mldsa_hash)
    }

    /// How long it stands in a capsule, in bytes.
    pub fn size(&self) -> usize {
        let mut out = Vec::new();
        self.write(&mut out);
        out.len()
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.put(&self.ed25519);
        out.put(&self.mldsa_hash);
        out.put_bytes(self.own_name.as_bytes());
        out.put_bytes(self.alias.as_deref().unwrap_or_default().as_bytes());
        out.push(u8::from(self.verified));
        out.put(&self.log_count.to_be_bytes());
        out.put(&self.log_hash);
        out.put(self.reach.as_bytes());
        out.push(u8::try_from(self.relays.len()).unwrap_or(u8::MAX));
        out.put(&self.relays);
    }

    fn read(reader: &mut Reader<'_>, relays: usize) -> Result<Self, DecodeError> {
        let (ed25519, mldsa_hash) = (reader.array()?, reader.array()?);
        let (own_name, alias) = (read_name(reader)?, read_name(reader)?);
        let verified = reader.bool("flags")?;
        let (log_count, log_hash) = (reader.u32()?, reader.array()?);
        let reach = ReachSecret::new(reader.array()?);
        let places = usize::from(reader.u8()?);
        if places > CONTACT_RELAYS_MAX {
            return Err(DecodeError::Limit("relays of a contact"));
        }
        let places = reader.take(places)?.to_vec();
        if places.iter().any(|place| usize::from(*place) >= relays) {
            return Err(DecodeError::Value("relay of a contact"));
        }
        Ok(Self {
            ed25519,
            mldsa_hash,
            own_name,
            alias: Some(alias).filter(|alias| !alias.is_empty()),
            verified,
            log_count,
            log_hash,
            reach,
            relays: places,
        })
    }
}

impl KeptGroup {
    /// How long it stands in a capsule, in bytes.
    pub fn size(&self) -> usize {
        let mut out = Vec::new();
        self.write(&mut out);
        out.len()
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.put(&self.group);
        out.put_bytes(&self.state.encode());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            group: reader.array()?,
            state: GroupState::decode(reader.bytes("group state", STATE_BYTES_MAX)?)?,
        })
    }
}

impl Capsule {
    /// As it is sealed.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::from([VERSION]);
        out.put(&self.generation.to_be_bytes());
        out.put(&self.made_at_s.to_be_bytes());
        out.put_bytes(self.name.as_bytes());
        self.device_log.write(&mut out);
        out.put_count(self.relays.len());
        for (whose, relay) in &self.relays {
            out.push(*whose as u8);
            relay.write(&mut out);
        }
        out.put_count(self.contacts.len());
        self.contacts.iter().for_each(|contact| contact.write(&mut out));
        out.put_count(self.groups.len());
        self.groups.iter().for_each(|group| group.write(&mut out));
        out.put(&self.left_out.to_be_bytes());
        out
    }

    /// Reads a capsule. Errors: another version, any limit, bytes left over. Nothing is verified.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > CAPSULE_BYTES_MAX {
            return Err(DecodeError::Limit("capsule"));
        }
        let mut reader = Reader::new(bytes);
        match reader.u8()? {
            VERSION => {}
            other => return Err(DecodeError::Version(other)),
        }
        let (generation, made_at_s) = (reader.u64()?, reader.u64()?);
        let (name, device_log) = (read_name(&mut reader)?, DeviceLog::read(&mut reader)?);
        let relays = reader.list("relays", RELAYS_MAX, |reader| {
            Ok((Whose::read(reader)?, CardRelay::read(reader)?))
        })?;
        let contacts = reader.list("contacts", CONTACTS_MAX, |reader| {
            KeptContact::read(reader, relays.len())
        })?;
        let groups = reader.list("groups", GROUPS_MAX, KeptGroup::read)?;
        let left_out = reader.u16()?;
        reader.end()?;
        Ok(Self {
            generation,
            made_at_s,
            name,
            device_log,
            relays,
            contacts,
            groups,
            left_out,
        })
    }
}

impl fmt::Debug for KeptContact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeptContact({:?})", self.account())
    }
}

impl fmt::Debug for KeptGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeptGroup({} seats)", self.state.seats.len())
    }
}

impl fmt::Debug for Capsule {
    /// No names, no secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (contacts, groups) = (self.contacts.len(), self.groups.len());
        write!(
            f,
            "Capsule(generation {}, {contacts} contacts, {groups} groups)",
            self.generation
        )
    }
}

#[cfg(test)]
mod tests;
