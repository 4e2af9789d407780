//! Contact card, claim and answer: what two people exchange to meet.
//!
//! In: bytes out of envelopes that the invite's secret opened, or typed values. Out: the other. Only shapes and
//! limits are checked here: signatures, pins, expiry and who may come in are core's job ([`ContactCard::signed_bytes`]
//! and the like say what is signed). Specified in `docs/protocol/04-meeting.md` (CARD).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::address::NEAR;
use crate::codec::{DecodeError, Reader, Write};
use crate::ids::{AccountId, DeviceId, RelayId};
use crate::kdf::sha256;
use crate::route::{RelayKeys, read_place};

/// Format version of card, claim and answer.
pub const VERSION: u8 = 1;
/// Longest name, in bytes of UTF-8 (CARD-4).
pub const NAME_BYTES_MAX: usize = 128;
/// Length of an X-Wing public key (CARD-4).
pub const SEAL_KEY_SIZE: usize = 1216;
/// Most key packages of one card: one per device (CARD-4).
pub const KEY_PACKAGES_MAX: usize = 8;
/// Longest key package, in bytes (CARD-4).
pub const KEY_PACKAGE_BYTES_MAX: usize = 8192;
/// Most relays of one card (CARD-4).
pub const RELAYS_MAX: usize = 4;
/// Most entries of a device log (CARD-4).
pub const LOG_ENTRIES_MAX: usize = 64;
/// Most Welcomes of one claim (CARD-4).
pub const WELCOMES_MAX: usize = 16;
/// Longest Welcome, in bytes (CARD-4).
pub const WELCOME_BYTES_MAX: usize = 262_144;
/// Longest KEM output of a sealed claim, in bytes.
pub const KEM_OUTPUT_MAX: usize = 2048;
/// Longest ciphertext of a sealed claim, in bytes.
pub const CLAIM_BYTES_MAX: usize = 1_048_576;
/// The bucket that a door's card is sealed into (CARD-5).
pub const CARD_BUCKET: usize = 16384;

/// [`ContactCard::who`]: one person.
pub const WHO_ONE: u8 = 0;
/// [`ContactCard::who`]: family and friends, each approved.
pub const WHO_FAMILY: u8 = 1;
/// [`ContactCard::who`]: whoever has the link, into a group (GLK-1).
pub const WHO_GROUP: u8 = 2;
/// [`ContactCard::how`]: in person.
pub const HOW_IN_PERSON: u8 = 0;
/// [`ContactCard::how`]: by a channel others may read; three spoken words are needed.
pub const HOW_SPOKEN: u8 = 1;

/// The account id that belongs to its two signature keys:
/// SHA-256("stonechat/account" | Ed25519 key | SHA-256 of the ML-DSA-65 key) (CARD-2).
pub fn account_id(ed25519: &[u8; 32], mldsa_hash: &[u8; 32]) -> AccountId {
    AccountId::from_bytes(sha256(&[b"stonechat/account", ed25519, mldsa_hash]))
}

/// Who somebody is and how to reach them, signed by their account key (CARD-1).
#[derive(Clone, PartialEq, Eq)]
pub struct ContactCard {
    /// Counts up; a newer card replaces an older one.
    pub version: u32,
    /// The account's Ed25519 key; signs the card.
    pub account_ed25519: [u8; 32],
    /// SHA-256 of the account's ML-DSA-65 key.
    pub mldsa_hash: [u8; 32],
    /// What the person calls themselves.
    pub name: String,
    /// The account's devices.
    pub device_log: DeviceLog,
    /// X-Wing public key that claims are sealed to; absent in a claim's own card.
    pub seal_key: Option<Vec<u8>>,
    /// One last-resort MLS key package per device.
    pub key_packages: Vec<Vec<u8>>,
    /// Ways in.
    pub relays: Vec<CardRelay>,
    /// [`WHO_ONE`], [`WHO_FAMILY`] or [`WHO_GROUP`].
    pub who: u8,
    /// [`HOW_IN_PERSON`] or [`HOW_SPOKEN`].
    pub how: u8,
    /// What the group is called, where it is [`WHO_GROUP`]; else nothing.
    pub group: Option<String>,
    /// Unix seconds after which the invite is over.
    pub expires_at_s: u64,
    /// Unix seconds.
    pub created_at_s: u64,
    /// Ed25519 over [`ContactCard::signed_bytes`].
    pub signature: [u8; 64],
}

/// One way in that a card names.
#[derive(Clone, PartialEq, Eq)]
pub struct CardRelay {
    /// `host:port`; or `near:`, where it is found on the local network only (LAN-4).
    pub address: String,
    /// Whose keys must answer there.
    pub relay: RelayId,
    /// What the relay asks for.
    pub secret: Option<[u8; 16]>,
    /// The keys themselves, to spare the asking; they must hash to `relay`.
    pub keys: Option<RelayKeys>,
    /// Reachable only on the local network (or this computer).
    pub lan: bool,
}

/// The account's devices: a hash chain, each entry signed by the account key (CARD-3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceLog {
    /// Oldest first.
    pub entries: Vec<DeviceLogEntry>,
}

/// One link of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceLogEntry {
    /// From 0.
    pub seq: u32,
    /// [`DeviceLogEntry::hash`] of the one before; zeros in the first.
    pub prev: [u8; 32],
    /// The device that is added or revoked.
    pub entry: DeviceEntry,
    /// Ed25519 by the account key over [`DeviceLogEntry::signed_bytes`].
    pub signature: [u8; 64],
}

/// What an entry of a device log does (DEV-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum DeviceChange {
    /// The device is added.
    Added = 0,
    /// The device is added and all before it are revoked: the account came back from its words.
    Restored = 1,
    /// The device is revoked.
    Revoked = 2,
}

impl DeviceChange {
    const ALL: [Self; 3] = [Self::Added, Self::Restored, Self::Revoked];

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let number = usize::from(reader.u8()?);
        Self::ALL
            .get(number)
            .copied()
            .ok_or(DecodeError::Value("device change"))
    }
}

/// A device, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceEntry {
    /// Added or revoked.
    pub change: DeviceChange,
    /// Its name in the account.
    pub device_id: DeviceId,
    /// Its key: binds the leaf keys.
    pub device_ed25519: [u8; 32],
    /// Unix seconds, when that was.
    pub added_at_s: u64,
}

impl fmt::Debug for ContactCard {
    /// No name, no address: a card may be logged by its shape only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (devices, relays) = (self.device_log.entries.len(), self.relays.len());
        write!(
            f,
            "ContactCard({:?}, version {}, {devices} devices, {relays} relays)",
            self.account_id(),
            self.version
        )
    }
}

impl fmt::Debug for CardRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CardRelay({:?})", self.relay)
    }
}

impl ContactCard {
    /// Whose card it is (CARD-2).
    pub fn account_id(&self) -> AccountId {
        account_id(&self.account_ed25519, &self.mldsa_hash)
    }

    /// What the account key signs: "stonechat/card" | everything before the signature (CARD-1).
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut out = Vec::from(*b"stonechat/card");
        self.encode_unsigned(&mut out);
        out
    }

    /// The card as it is sealed.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_unsigned(&mut out);
        out.put(&self.signature);
        out
    }

    /// SHA-256 of the encoded card: the psk id of a claim (MEET-6).
    pub fn hash(&self) -> [u8; 32] {
        sha256(&[&self.encode()])
    }

    /// Reads a card. Errors: another version, any limit, bytes left over. Nothing is verified.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let card = Self::read(&mut reader)?;
        reader.end()?;
        Ok(card)
    }

    fn encode_unsigned(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.put(&self.version.to_be_bytes());
        out.put(&self.account_ed25519);
        out.put(&self.mldsa_hash);
        out.put_bytes(self.name.as_bytes());
        self.device_log.write(out);
        out.put_bytes(self.seal_key.as_deref().unwrap_or_default());
        put_list(out, &self.key_packages);
        out.put_count(self.relays.len());
        self.relays.iter().for_each(|relay| relay.write(out));
        out.put(&[self.who, self.how]);
        if self.who == WHO_GROUP {
            out.put_bytes(self.group.as_deref().unwrap_or_default().as_bytes());
        }
        out.put(&self.expires_at_s.to_be_bytes());
        out.put(&self.created_at_s.to_be_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        check_version(reader)?;
        let mut card = Self {
            version: reader.u32()?,
            account_ed25519: reader.array()?,
            mldsa_hash: reader.array()?,
            name: read_name(reader)?,
            device_log: DeviceLog::read(reader)?,
            seal_key: read_seal_key(reader)?,
            key_packages: read_list(reader, "key packages", KEY_PACKAGES_MAX, KEY_PACKAGE_BYTES_MAX)?,
            relays: reader.list("relays", RELAYS_MAX, CardRelay::read)?,
            who: read_choice(reader, "who", WHO_GROUP)?,
            how: read_choice(reader, "how", HOW_SPOKEN)?,
            group: None,
            expires_at_s: 0,
            created_at_s: 0,
            signature: [0; 64],
        };
        card.group = read_group(reader, card.who)?;
        card.expires_at_s = reader.u64()?;
        card.created_at_s = reader.u64()?;
        card.signature = reader.array()?;
        Ok(card)
    }
}

fn read_group(reader: &mut Reader<'_>, who: u8) -> Result<Option<String>, DecodeError> {
    if who != WHO_GROUP {
        return Ok(None);
    }
    let name = read_name(reader)?;
    if name.is_empty() {
        return Err(DecodeError::Value("group name"));
    }
    Ok(Some(name))
}

/// A name that people are shown: nothing in it steers what shows it (CARD-4).
pub(crate) fn read_name(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    let name = reader.text("name", NAME_BYTES_MAX)?;
    if name.chars().any(char::is_control) {
        return Err(DecodeError::Value("name"));
    }
    Ok(String::from(name))
}

impl CardRelay {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.put_bytes(self.address.as_bytes());
        out.put(self.relay.as_bytes());
        out.put_option(self.secret.as_ref());
        out.put_option(self.keys.as_ref().map(RelayKeys::as_bytes));
        out.push(u8::from(self.lan));
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let address = read_place(reader)?;
        let relay = RelayId::from_bytes(reader.array()?);
        let secret = reader.option("secret")?;
        let keys = reader.option("relay keys")?.map(RelayKeys::from_bytes);
        if keys.as_ref().is_some_and(|keys| keys.id() != relay) {
            return Err(DecodeError::Value("relay keys"));
        }
        // Nobody is to be asked for them in clear.
        if address == NEAR && (secret.is_none() || keys.is_none()) {
            return Err(DecodeError::Value("near relay"));
        }
        Ok(Self {
            address,
            relay,
            secret,
            keys,
            lan: reader.bool("lan")?,
        })
    }
}

/// What [`Kind::Near`](crate::message::Kind::Near) says: version 1 | a relay as in a card (LAN-4).
pub fn encode_near(relay: &CardRelay) -> Vec<u8> {
    let mut out = Vec::from([VERSION]);
    relay.write(&mut out);
    out
}

/// Reads it. Errors: another version, a relay that is no near one, bytes left over.
pub fn decode_near(bytes: &[u8]) -> Result<CardRelay, DecodeError> {
    let mut reader = Reader::new(bytes);
    check_version(&mut reader)?;
    let relay = CardRelay::read(&mut reader)?;
    reader.end()?;
    if relay.address == NEAR {
        Ok(relay)
    } else {
        Err(DecodeError::Value("near relay"))
    }
}

impl DeviceLog {
    /// Whether seq and prev make one chain from the first entry on. Signatures are core's to check (CARD-3).
    pub fn is_chained(&self) -> bool {
        let mut prev = [0; 32];
        (0..).zip(&self.entries).all(|(seq, entry): (u32, _)| {
            let holds = entry.seq == seq && entry.prev == prev;
            prev = entry.hash();
            holds
        })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.put_count(self.entries.len());
        for entry in &self.entries {
            entry.encode_unsigned(out);
            out.put(&entry.signature);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            entries: reader.list("device log", LOG_ENTRIES_MAX, DeviceLogEntry::read)?,
        })
    }

    /// The log by itself, as core stores it.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::from([VERSION]);
        self.write(&mut out);
        out
    }

    /// The opposite of [`DeviceLog::encode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        check_version(&mut reader)?;
        let log = Self::read(&mut reader)?;
        reader.end()?;
        Ok(log)
    }
}

impl DeviceLogEntry {
    /// What the account key signs: "stonechat/device" | seq | prev | entry (CARD-3).
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut out = Vec::from(*b"stonechat/device");
        self.encode_unsigned(&mut out);
        out
    }

    /// What the next entry names as its `prev`: SHA-256 of the signed bytes and the signature.
    pub fn hash(&self) -> [u8; 32] {
        sha256(&[&self.signed_bytes(), &self.signature])
    }

    fn encode_unsigned(&self, out: &mut Vec<u8>) {
        out.put(&self.seq.to_be_bytes());
        out.put(&self.prev);
        out.push(self.entry.change as u8);
        out.put(self.entry.device_id.as_bytes());
        out.put(&self.entry.device_ed25519);
        out.put(&self.entry.added_at_s.to_be_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (seq, prev) = (reader.u32()?, reader.array()?);
        let entry = DeviceEntry {
            change: DeviceChange::read(reader)?,
            device_id: DeviceId::from_bytes(reader.array()?),
            device_ed25519: reader.array()?,
            added_at_s: reader.u64()?,
        };
        Ok(Self {
            seq,
            prev,
            entry,
            signature: reader.array()?,
        })
    }
}

/// What a leaf's MLS credential says: whose it is, by which device, and the certificate that proves it (MLS-7).
///
/// Whoever holds it needs no card: the account id commits to the account's keys, these certify the device, and the
/// device signs for the leaf. Checking the two signatures is core's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafIdentity {
    /// The account: [`account_id`] of the two fields that follow.
    pub account: AccountId,
    /// The account's Ed25519 key.
    pub account_ed25519: [u8; 32],
    /// SHA-256 of the account's ML-DSA-65 key.
    pub mldsa_hash: [u8; 32],
    /// The device's entry in the account's log.
    pub device: DeviceLogEntry,
    /// Ed25519 by the device's key over [`LeafIdentity::signed_bytes`].
    pub signature: [u8; 64],
}

impl LeafIdentity {
    /// Length in bytes.
    pub const SIZE: usize = 309;

    /// What the device signs: "stonechat/leaf/1" | account id | device id | the leaf's public key.
    pub fn signed_bytes(&self, leaf_public: &[u8]) -> Vec<u8> {
        let mut out = Vec::from(*b"stonechat/leaf/1");
        out.put(self.account.as_bytes());
        out.put(self.device.entry.device_id.as_bytes());
        out.put(leaf_public);
        out
    }

    /// account id 32 | Ed25519 key 32 | SHA-256 of the ML-DSA key 32 | the log's entry (CARD-3) | signature 64.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::SIZE);
        out.put(self.account.as_bytes());
        out.put(&self.account_ed25519);
        out.put(&self.mldsa_hash);
        self.device.encode_unsigned(&mut out);
        out.put(&self.device.signature);
        out.put(&self.signature);
        out
    }

    /// Reads one. Errors: another length, or an account id that is not of these keys. Signatures are not checked.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let identity = Self {
            account: AccountId::from_bytes(reader.array()?),
            account_ed25519: reader.array()?,
            mldsa_hash: reader.array()?,
            device: DeviceLogEntry::read(&mut reader)?,
            signature: reader.array()?,
        };
        reader.end()?;
        if identity.account == account_id(&identity.account_ed25519, &identity.mldsa_hash) {
            Ok(identity)
        } else {
            Err(DecodeError::Value("account id"))
        }
    }
}

/// What the one who takes up an invite says, before it is sealed (CARD-6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Their own card.
    pub card: ContactCard,
    /// The new conversation, one Welcome per device of the inviter.
    pub welcomes: Vec<Vec<u8>>,
}

impl Claim {
    /// version | card | welcomes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::from([VERSION]);
        out.put_bytes(&self.card.encode());
        put_list(&mut out, &self.welcomes);
        out
    }

    /// Reads a claim. Errors: another version, any limit, bytes left over. Nothing is verified.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        check_version(&mut reader)?;
        let card = ContactCard::decode(reader.bytes("card", CLAIM_BYTES_MAX)?)?;
        let welcomes = read_list(&mut reader, "welcomes", WELCOMES_MAX, WELCOME_BYTES_MAX)?;
        reader.end()?;
        Ok(Self { card, welcomes })
    }
}

/// A claim as it travels: sealed to the card's seal key, with the invite's psk (CARD-6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimSealed {
    /// What the holder of the seal key derives the key from.
    pub kem_output: Vec<u8>,
    /// The sealed [`Claim`].
    pub ciphertext: Vec<u8>,
}

impl ClaimSealed {
    /// version | KEM output | ciphertext.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::from([VERSION]);
        out.put_bytes(&self.kem_output);
        out.put_bytes(&self.ciphertext);
        out
    }

    /// SHA-256 of the encoding: what the answer is bound to (CARD-7).
    pub fn hash(&self) -> [u8; 32] {
        sha256(&[&self.encode()])
    }

    /// Reads a sealed claim. Errors: another version, any limit, bytes left over.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        check_version(&mut reader)?;
        let kem_output = reader.bytes("kem output", KEM_OUTPUT_MAX)?.to_vec();
        let ciphertext = reader.bytes("claim", CLAIM_BYTES_MAX)?.to_vec();
        reader.end()?;
        Ok(Self { kem_output, ciphertext })
    }
}

/// What the inviter says to a claim (CARD-7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// You are in.
    Accepted,
    /// A person decides.
    Waiting,
    /// No.
    Declined,
    /// Somebody else was first.
    Used,
    /// Too late.
    Expired,
    /// The spoken words do not match; try again.
    WordsWrong,
}

impl Verdict {
    const ALL: [Self; 6] = [
        Self::Accepted,
        Self::Waiting,
        Self::Declined,
        Self::Used,
        Self::Expired,
        Self::WordsWrong,
    ];

    /// The byte on the wire, from 1.
    pub const fn code(self) -> u8 {
        match self {
            Self::Accepted => 1,
            Self::Waiting => 2,
            Self::Declined => 3,
            Self::Used => 4,
            Self::Expired => 5,
            Self::WordsWrong => 6,
        }
    }

    /// The verdict of a byte.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.code() == code)
    }
}

/// A signed answer, bound to one claim (CARD-7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What it says.
    pub verdict: Verdict,
    /// The inviter confirmed "this is the person in front of me".
    pub verified: bool,
    /// Ed25519 by the inviter's account key over [`Answer::signed_bytes`].
    pub signature: [u8; 64],
}

impl Answer {
    /// What is signed: "stonechat/answer" | claim hash | verdict | verified (CARD-7).
    pub fn signed_bytes(verdict: Verdict, verified: bool, claim_hash: &[u8; 32]) -> Vec<u8> {
        let mut out = Vec::from(*b"stonechat/answer");
        out.put(claim_hash);
        out.put(&[verdict.code(), u8::from(verified)]);
        out
    }

    /// version | verdict | verified | signature 64.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::from([VERSION, self.verdict.code(), u8::from(self.verified)]);
        out.put(&self.signature);
        out
    }

    /// Reads an answer. Errors: another version, no such verdict, bytes left over.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        check_version(&mut reader)?;
        let verdict = Verdict::from_code(reader.u8()?).ok_or(DecodeError::Value("verdict"))?;
        let answer = Self {
            verdict,
            verified: reader.bool("verified")?,
            signature: reader.array()?,
        };
        reader.end()?;
        Ok(answer)
    }
}

fn check_version(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    match reader.u8()? {
        VERSION => Ok(()),
        other => Err(DecodeError::Version(other)),
    }
}

fn read_choice(reader: &mut Reader<'_>, what: &'static str, max: u8) -> Result<u8, DecodeError> {
    let value = reader.u8()?;
    if value > max {
        Err(DecodeError::Value(what))
    } else {
        Ok(value)
    }
}

fn read_seal_key(reader: &mut Reader<'_>) -> Result<Option<Vec<u8>>, DecodeError> {
    let key = reader.bytes("seal key", SEAL_KEY_SIZE)?;
    match key.len() {
        0 => Ok(None),
        SEAL_KEY_SIZE => Ok(Some(key.to_vec())),
        _ => Err(DecodeError::Value("seal key")),
    }
}

fn put_list(out: &mut Vec<u8>, items: &[Vec<u8>]) {
    out.put_count(items.len());
    items.iter().for_each(|item| out.put_bytes(item));
}

fn read_list(
    reader: &mut Reader<'_>,
    what: &'static str,
    count_max: usize,
    size_max: usize,
) -> Result<Vec<Vec<u8>>, DecodeError> {
    reader.list(what, count_max, |reader| {
        reader.bytes(what, size_max).map(<[u8]>::to_vec)
    })
}

#[cfg(test)]
mod tests;
