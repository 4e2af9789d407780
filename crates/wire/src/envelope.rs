//! Envelopes: sealed, padded, random-looking blobs of a few fixed sizes.
//!
//! In: content and the key of an epoch (or of an invite's role). Out: envelopes; and back. Content too large for one
//! travels as numbered parts bound by one hash ([`seal_all`], [`Gather`]). Any member can seal: who wrote the content
//! is MLS's to prove. Specified in `docs/protocol/01-envelope.md`.
//! Invariant: what fails to open fails in one way, and nobody is answered.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::codec::{DecodeError, Reader, Write};
use crate::ids::{EnvelopeId, Tag};
use crate::kdf::{hkdf_expand, sha256};

/// The envelope version this build writes and reads (ENV-1).
pub const VERSION: u8 = 1;
/// The sizes an envelope can have, in bytes (ENV-2).
pub const BUCKETS: [usize; 8] = [256, 512, 1024, 2048, 4096, 8192, 16384, 32768];
/// What an envelope is longer than its content at least: version, tag, seed, length, mac (ENV-1).
pub const OVERHEAD: usize = 51;
/// Longest content of one envelope, in bytes.
pub const CONTENT_MAX: usize = 32_717;
/// What a part is longer than the bytes it carries: hash, index, count (ENV-6).
pub const PART_OVERHEAD: usize = 36;
/// Most bytes one part carries.
pub const PART_BYTES_MAX: usize = 32_681;
/// Most parts of one content (ENV-6).
pub const PARTS_MAX: u16 = 128;
/// Most bytes that unfinished sets of one [`Gather`] hold (ENV-7).
pub const GATHER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most unfinished sets of one [`Gather`] (ENV-7).
pub const GATHER_SETS_MAX: usize = 32;

const HEADER: usize = 33;
const MAC: usize = 16;
const PART_FLAG: u16 = 0x8000;

/// What envelopes of one epoch, or of one role of an invite, are sealed with. Never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct EnvelopeKey([u8; 32]);

impl EnvelopeKey {
    /// Wraps an exporter secret "stonechat/env", or a key derived from an invite's secret.
    pub const fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }
}

impl fmt::Debug for EnvelopeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnvelopeKey(..)")
    }
}

/// A blob that has an envelope's version and one of its sizes. What is inside nobody knows yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    bytes: Vec<u8>,
}

/// Why bytes are no envelope. Drop them; answer nobody (ENV-8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// The length is none of [`BUCKETS`].
    #[error("{0} bytes is no envelope size")]
    Size(usize),
    /// The version is not ours.
    #[error("envelope version {0} is not known")]
    Version(u8),
}

impl Envelope {
    /// Takes bytes from outside. Errors: a size that is no bucket, a version that is not ours (ENV-1, ENV-2).
    pub fn decode(bytes: Vec<u8>) -> Result<Self, EnvelopeError> {
        if !BUCKETS.contains(&bytes.len()) {
            return Err(EnvelopeError::Size(bytes.len()));
        }
        match bytes.first() {
            Some(&VERSION) => Ok(Self { bytes }),
            other => Err(EnvelopeError::Version(other.copied().unwrap_or(0))),
        }
    }

    /// The bytes as they travel.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes as they travel.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The mailbox it says it belongs to.
    pub fn tag(&self) -> Tag {
        let bytes = self.bytes.get(1..17).and_then(Tag::from_slice);
        bytes.expect("every bucket is longer than the header")
    }

    /// SHA-256 of the bytes: what carriers dedupe by (ENV-9).
    pub fn id(&self) -> EnvelopeId {
        EnvelopeId::of(&self.bytes)
    }

    fn seed(&self) -> [u8; 16] {
        let bytes = self.bytes.get(17..HEADER).and_then(|seed| seed.try_into().ok());
        bytes.expect("every bucket is longer than the header")
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Envelope({:?}, {} bytes)", self.tag(), self.bytes.len())
    }
}

/// The content does not fit the bucket asked for (or any), or needs more parts than [`PARTS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes are too long")]
pub struct TooLong(pub usize);

/// The envelope does not open with this key: another epoch's, broken or forged. One kind, on purpose (ENV-8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("does not open with this key")]
pub struct OpenError;

/// What was inside an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A content that fits one envelope.
    Whole(Vec<u8>),
    /// One of several parts.
    Part(Part),
}

/// One part of a content that did not fit one envelope (ENV-6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// SHA-256 of the whole content: names the set.
    pub hash: [u8; 32],
    /// Which part, from 0.
    pub index: u16,
    /// How many there are: 2 to [`PARTS_MAX`].
    pub count: u16,
    /// This part's bytes: at least one.
    pub bytes: Vec<u8>,
}

/// Seals `content` into the smallest bucket it fits (ENV-2). Errors: longer than [`CONTENT_MAX`].
///
/// `seed`: 16 fresh random bytes; never the same twice under one key.
pub fn seal(key: &EnvelopeKey, tag: Tag, seed: [u8; 16], content: &[u8]) -> Result<Envelope, TooLong> {
    let bucket = bucket_for(content.len()).ok_or(TooLong(content.len()))?;
    seal_into(key, tag, seed, content, bucket)
}

/// Seals `content` into a given bucket, one of [`BUCKETS`]. Errors: no such bucket, or the content does not fit it.
pub fn seal_into(
    key: &EnvelopeKey,
    tag: Tag,
    seed: [u8; 16],
    content: &[u8],
    bucket: usize,
) -> Result<Envelope, TooLong> {
    seal_marked(key, tag, seed, content, bucket, 0)
}

/// Seals `content` of any length: one envelope, or numbered parts bound by one hash (ENV-6).
///
/// `seeds` gives 16 fresh random bytes per envelope. Errors: more than [`PARTS_MAX`] parts.
pub fn seal_all(
    key: &EnvelopeKey,
    tag: Tag,
    seeds: &mut dyn FnMut() -> [u8; 16],
    content: &[u8],
) -> Result<Vec<Envelope>, TooLong> {
    if content.len() <= CONTENT_MAX {
        return Ok(vec![seal(key, tag, seeds(), content)?]);
    }
    let chunks = content.chunks(PART_BYTES_MAX);
    let count = u16::try_from(chunks.len())
        .ok()
        .filter(|count| *count <= PARTS_MAX)
        .ok_or(TooLong(content.len()))?;
    let hash = sha256(&[content]);
    let seal_part = |(index, chunk): (u16, &[u8])| {
        let part = encode_part(&hash, index, count, chunk);
        let bucket = bucket_for(part.len()).ok_or(TooLong(content.len()))?;
        seal_marked(key, tag, seeds(), &part, bucket, PART_FLAG)
    };
    (0..).zip(chunks).map(seal_part).collect()
}

/// Opens an envelope. Errors: any doubt at all, without saying which (ENV-8).
pub fn open(key: &EnvelopeKey, envelope: &Envelope) -> Result<Content, OpenError> {
    let plain = decrypt(key, envelope)?;
    let mut reader = Reader::new(&plain);
    let marked = reader.u16().map_err(|_| OpenError)?;
    let content = reader.take(usize::from(marked & !PART_FLAG)).map_err(|_| OpenError)?;
    if reader.rest().iter().any(|byte| *byte != 0) {
        return Err(OpenError);
    }
    if marked & PART_FLAG == 0 {
        return Ok(Content::Whole(content.to_vec()));
    }
    Part::decode(content).map(Content::Part).map_err(|_| OpenError)
}

fn bucket_for(content_len: usize) -> Option<usize> {
    let size = content_len.checked_add(OVERHEAD)?;
    BUCKETS.into_iter().find(|bucket| *bucket >= size)
}

fn seal_marked(
    key: &EnvelopeKey,
    tag: Tag,
    seed: [u8; 16],
    content: &[u8],
    bucket: usize,
    mark: u16,
) -> Result<Envelope, TooLong> {
    let fits = BUCKETS.contains(&bucket) && content.len().saturating_add(OVERHEAD) <= bucket;
    let length = u16::try_from(content.len())
        .ok()
        .filter(|_| fits)
        .ok_or(TooLong(content.len()))?;
    let mut plain = Zeroizing::new(Vec::with_capacity(bucket));
    plain.put(&(length | mark).to_be_bytes());
    plain.put(content);
    plain.resize(bucket.saturating_sub(HEADER.saturating_add(MAC)), 0);

    let (cipher, nonce) = cipher(key, &seed);
    let mac = cipher
        .encrypt_in_place_detached(&nonce.into(), &aad(tag), &mut plain)
        .expect("an envelope is far below the cipher's limit");
    let mut bytes = Vec::with_capacity(bucket);
    bytes.put(&[VERSION]);
    bytes.put(tag.as_bytes());
    bytes.put(&seed);
    bytes.put(&plain);
    bytes.put(&mac);
    Ok(Envelope { bytes })
}

fn decrypt(key: &EnvelopeKey, envelope: &Envelope) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let (cipher, nonce) = cipher(key, &envelope.seed());
    let sealed = envelope.bytes.get(HEADER..).ok_or(OpenError)?;
    let (sealed, mac) = sealed.split_last_chunk::<MAC>().ok_or(OpenError)?;
    let mut plain = Zeroizing::new(sealed.to_vec());
    cipher
        .decrypt_in_place_detached(&nonce.into(), &aad(envelope.tag()), &mut plain, mac.into())
        .map_err(|_| OpenError)?;
    Ok(plain)
}

/// Key and nonce of one envelope: HKDF-Expand(key, "key" | version | seed, 44) (ENV-3).
fn cipher(key: &EnvelopeKey, seed: &[u8; 16]) -> (ChaCha20Poly1305, [u8; 12]) {
    let derived = Zeroizing::new(hkdf_expand::<44>(&key.0, &[b"key", &[VERSION], seed]));
    let (key, nonce) = derived.split_first_chunk::<32>().expect("44 is more than 32");
    let nonce = nonce.try_into().expect("44 is 32 and 12");
    (ChaCha20Poly1305::new(key.into()), nonce)
}

/// What the mac covers besides the content: version | tag (ENV-4).
fn aad(tag: Tag) -> [u8; 17] {
    let mut aad = [VERSION; 17];
    for (to, from) in aad.iter_mut().skip(1).zip(tag.as_bytes()) {
        *to = *from;
    }
    aad
}

fn encode_part(hash: &[u8; 32], index: u16, count: u16, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len().saturating_add(PART_OVERHEAD));
    out.put(hash);
    out.put(&index.to_be_bytes());
    out.put(&count.to_be_bytes());
    out.put(bytes);
    out
}

impl Part {
    /// Reads a part as it stands inside an envelope: hash 32 | index 2 | count 2 | bytes (ENV-6).
    pub fn decode(content: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(content);
        let (hash, index, count) = (reader.array()?, reader.u16()?, reader.u16()?);
        if count < 2 || index >= count {
            return Err(DecodeError::Value("part number"));
        }
        if count > PARTS_MAX || reader.rest().len() > PART_BYTES_MAX {
            return Err(DecodeError::Limit("parts"));
        }
        if reader.rest().is_empty() {
            return Err(DecodeError::Short);
        }
        Ok(Self {
            hash,
            index,
            count,
            bytes: reader.rest().to_vec(),
        })
    }

    /// The opposite of [`Part::decode`].
    pub fn encode(&self) -> Vec<u8> {
        encode_part(&self.hash, self.index, self.count, &self.bytes)
    }
}

/// Why a part was not taken. The set it belongs to is gone in all cases but the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GatherError {
    /// Numbers that cannot be: index, count, or no bytes.
    #[error("part numbers make no sense")]
    Malformed,
    /// The parts of one set do not agree on their count, or on their bytes.
    #[error("parts of one set contradict each other")]
    Contradiction,
    /// All parts are here and the hash is another.
    #[error("parts do not make up what they promised")]
    WrongHash,
}

/// Puts parts together again, within [`GATHER_BYTES_MAX`] and [`GATHER_SETS_MAX`]: over that, the oldest set goes.
#[derive(Clone, Debug, Default)]
pub struct Gather {
    sets: BTreeMap<SetKey, Set>,
    /// Oldest first.
    order: VecDeque<SetKey>,
    size_bytes: usize,
}

type SetKey = (Tag, [u8; 32]);

#[derive(Clone, Debug)]
struct Set {
    count: u16,
    parts: BTreeMap<u16, Vec<u8>>,
}

impl Gather {
    /// Takes one part that came under `tag`; gives the whole content when it was the last one missing (ENV-7).
    pub fn add(&mut self, tag: Tag, part: Part) -> Result<Option<Vec<u8>>, GatherError> {
        if part.count < 2 || part.count > PARTS_MAX || part.index >= part.count || part.bytes.is_empty() {
            return Err(GatherError::Malformed);
        }
        let key = (tag, part.hash);
        if !self.sets.contains_key(&key) {
            self.begin(key, part.count);
        }
        if !self.insert(&key, part) {
            self.remove(&key);
            return Err(GatherError::Contradiction);
        }
        if self
            .sets
            .get(&key)
            .is_some_and(|set| set.parts.len() == usize::from(set.count))
        {
            return self.finish(&key).map(Some);
        }
        self.shrink();
        Ok(None)
    }

    /// How many bytes unfinished sets hold.
    pub const fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// How many sets are unfinished.
    pub fn set_count(&self) -> usize {
        self.sets.len()
    }

    fn begin(&mut self, key: SetKey, count: u16) {
        self.sets.insert(
            key,
            Set {
                count,
                parts: BTreeMap::new(),
            },
        );
        self.order.push_back(key);
    }

    /// False when the part contradicts its set. A part that is here already is fine.
    fn insert(&mut self, key: &SetKey, part: Part) -> bool {
        let Some(set) = self.sets.get_mut(key).filter(|set| set.count == part.count) else {
            return false;
        };
        if let Some(known) = set.parts.get(&part.index) {
            return *known == part.bytes;
        }
        self.size_bytes = self.size_bytes.saturating_add(part.bytes.len());
        set.parts.insert(part.index, part.bytes);
        true
    }

    fn finish(&mut self, key: &SetKey) -> Result<Vec<u8>, GatherError> {
        let parts = self.remove(key).map(|set| set.parts).unwrap_or_default();
        let whole: Vec<u8> = parts.into_values().flatten().collect();
        if sha256(&[&whole]) == key.1 {
            Ok(whole)
        } else {
            Err(GatherError::WrongHash)
        }
    }

    fn remove(&mut self, key: &SetKey) -> Option<Set> {
        let set = self.sets.remove(key)?;
        self.order.retain(|other| other != key);
        let size: usize = set.parts.values().map(Vec::len).sum();
        self.size_bytes = self.size_bytes.saturating_sub(size);
        Some(set)
    }

    fn shrink(&mut self) {
        while self.size_bytes > GATHER_BYTES_MAX || self.sets.len() > GATHER_SETS_MAX {
            let Some(oldest) = self.order.front().copied() else {
                return;
            };
            self.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests;
