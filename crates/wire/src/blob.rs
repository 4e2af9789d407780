//! Blobs: what is too large for an envelope, in chunks that prove themselves.
//!
//! In: a blob's bytes, or the list of its chunks' hashes. Out: its id, which stands for the list, and the list for
//! every chunk. So whoever has the id can check each chunk by itself, whoever gave it and in whatever order. What is
//! inside, sealed by whoever put it, is not known here. Specified in `docs/protocol/16-blobs.md` (BLB).

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::codec::{DecodeError, Reader, Write};
use crate::ids::BlobId;
use crate::kdf::sha256;

/// Bytes of a chunk; the last one of a blob may be shorter (BLB-1).
pub const CHUNK_BYTES: usize = 65_536;
/// Most chunks of one blob: 64 MiB (BLB-1).
pub const CHUNKS_MAX: usize = 1024;
/// Most chunks of one range (BLB-3, BLB-5).
pub const RANGE_CHUNKS_MAX: usize = 4;

const ID_LABEL: &[u8] = b"stonechat/blob";
const DELETION_LABEL: &[u8] = b"stonechat/blob/delete";
/// Chunks of one byte of a set.
const BITS: usize = 8;

/// A blob's size, and the hash of each of its chunks (BLB-1). There is at least one.
#[derive(Clone, PartialEq, Eq)]
pub struct ChunkList {
    size: u32,
    hashes: Vec<[u8; 32]>,
}

impl fmt::Debug for ChunkList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChunkList({:?}, {} bytes)", self.id(), self.size)
    }
}

impl ChunkList {
    /// The list of these bytes. None: there are no bytes, or too many.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let hashes = bytes.chunks(CHUNK_BYTES).map(|chunk| sha256(&[chunk])).collect();
        Self::new(u32::try_from(bytes.len()).ok()?, hashes).ok()
    }

    /// A list out of its parts. Errors: a size that no blob has, or not as many hashes as it needs.
    pub fn new(size: u32, hashes: Vec<[u8; 32]>) -> Result<Self, DecodeError> {
        let needed = (size as usize).div_ceil(CHUNK_BYTES);
        if !(1..=CHUNKS_MAX).contains(&needed) {
            return Err(DecodeError::Limit("blob size"));
        }
        if hashes.len() != needed {
            return Err(DecodeError::Value("chunk hashes"));
        }
        Ok(Self { size, hashes })
    }

    /// The blob's id (BLB-1).
    pub fn id(&self) -> BlobId {
        let size = self.size.to_be_bytes();
        let mut parts: Vec<&[u8]> = vec![ID_LABEL, &size];
        parts.extend(self.hashes.iter().map(<[u8; 32]>::as_slice));
        BlobId::from_bytes(sha256(&parts))
    }

    /// Bytes of the blob.
    pub const fn size(&self) -> u32 {
        self.size
    }

    /// How many chunks it has.
    pub fn count(&self) -> u16 {
        u16::try_from(self.hashes.len()).unwrap_or(u16::MAX)
    }

    /// Whether these bytes are its chunk of that number.
    pub fn fits(&self, index: u16, chunk: &[u8]) -> bool {
        let begins = usize::from(index).saturating_mul(CHUNK_BYTES);
        let length = (self.size as usize).saturating_sub(begins).min(CHUNK_BYTES);
        let is_it = |hash: &[u8; 32]| chunk.len() == length && *hash == sha256(&[chunk]);
        self.hashes.get(usize::from(index)).is_some_and(is_it)
    }

    /// The chunks of a range that begins with chunk `first`, by number. None: one of them is not what the list says.
    pub fn chunks<'a>(&self, first: u16, range: &'a [u8]) -> Option<Vec<(u16, &'a [u8])>> {
        let numbers = first..self.count();
        let chunks: Vec<_> = numbers.zip(range.chunks(CHUNK_BYTES)).collect();
        let covers = !chunks.is_empty() && chunks.len() == range.len().div_ceil(CHUNK_BYTES);
        let all_fit = covers && chunks.iter().all(|(index, chunk)| self.fits(*index, chunk));
        all_fit.then_some(chunks)
    }

    /// Appends size, count and hashes (BLB-2).
    pub fn write(&self, out: &mut Vec<u8>) {
        out.put(&self.size.to_be_bytes());
        out.put_count(self.hashes.len());
        self.hashes.iter().for_each(|hash| out.put(hash));
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let size = reader.u32()?;
        let hashes = reader.list("chunk hashes", CHUNKS_MAX, Reader::array)?;
        Self::new(size, hashes)
    }

    /// A list as [`ChunkList::write`] wrote it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let list = Self::read(&mut reader)?;
        reader.end()?;
        Ok(list)
    }
}

/// Which chunks of a blob are there (BLB-2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkSet {
    count: u16,
    bits: Vec<u8>,
}

impl ChunkSet {
    /// None of so many chunks.
    pub fn none_of(count: u16) -> Self {
        Self {
            count,
            bits: vec![0; usize::from(count).div_ceil(BITS)],
        }
    }

    /// A set out of one answer for each chunk.
    pub fn of(count: u16, is_there: impl Fn(u16) -> bool) -> Self {
        let mut set = Self::none_of(count);
        (0..count)
            .filter(|index| is_there(*index))
            .for_each(|index| set.add(index));
        set
    }

    /// Adds a chunk; one that the blob does not have changes nothing.
    pub fn add(&mut self, index: u16) {
        if index < self.count
            && let Some(byte) = self.bits.get_mut(usize::from(index) / BITS)
        {
            *byte |= 0x80_u8.wrapping_shr(u32::from(index) % 8);
        }
    }

    /// Whether a chunk is there.
    pub fn has(&self, index: u16) -> bool {
        let byte = self.bits.get(usize::from(index) / BITS).copied().unwrap_or_default();
        byte & 0x80_u8.wrapping_shr(u32::from(index) % 8) != 0
    }

    /// The numbers of all chunks that are missing.
    pub fn missing(&self) -> impl Iterator<Item = u16> {
        (0..self.count).filter(|index| !self.has(*index))
    }

    /// Whether nothing is missing.
    pub fn is_whole(&self) -> bool {
        self.missing().next().is_none()
    }

    /// Appends count and bits (BLB-2).
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.put(&self.count.to_be_bytes());
        out.put(&self.bits);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = u16::try_from(reader.count("chunks", CHUNKS_MAX)?).unwrap_or_default();
        let bits = reader.take(usize::from(count).div_ceil(BITS))?.to_vec();
        let set = Self { count, bits };
        // A set has one writing: what follows its last chunk is zero.
        let rewritten = Self::of(count, |index| set.has(index));
        if count > 0 && rewritten == set {
            Ok(set)
        } else {
            Err(DecodeError::Value("chunks"))
        }
    }
}

/// The right to delete a blob; who put it first made it (BLB-6). Never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct DeletionToken([u8; 32]);

impl DeletionToken {
    /// Wraps 32 secret bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The secret bytes, for the frame that shows them to a relay.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What a relay keeps of it (BLB-6).
    pub fn hash(&self) -> [u8; 32] {
        sha256(&[DELETION_LABEL, &self.0])
    }

    /// Whether this is the token of a hash.
    pub fn opens(&self, hash: &[u8; 32]) -> bool {
        self.hash().ct_eq(hash).into()
    }
}

impl PartialEq for DeletionToken {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}
impl Eq for DeletionToken {}

impl fmt::Debug for DeletionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeletionToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::format;

    fn bytes(count: usize) -> Vec<u8> {
        (0..=250).cycle().take(count).collect()
    }

    #[test]
    fn an_id_stands_for_size_and_chunks_blb_1() {
        let two = bytes(CHUNK_BYTES + 10);
        let list = ChunkList::of(&two).unwrap();
        let (one, rest) = two.split_at(CHUNK_BYTES);
        let parts: [&[u8]; 4] = [
            b"stonechat/blob",
            &65_546_u32.to_be_bytes(),
            &sha256(&[one]),
            &sha256(&[rest]),
        ];
        assert_eq!((list.count(), list.size()), (2, 65_546));
        assert_eq!(list.id(), BlobId::from_bytes(sha256(&parts)));
        assert_ne!(list.id(), ChunkList::of(&two[..CHUNK_BYTES + 9]).unwrap().id());
    }

    #[test]
    fn a_blob_has_a_byte_at_least_and_64_mib_at_most_blb_1() {
        assert_eq!(ChunkList::of(&[]), None);
        let most = u32::try_from(CHUNK_BYTES * CHUNKS_MAX).unwrap();
        assert!(ChunkList::new(most, vec![[1; 32]; CHUNKS_MAX]).is_ok());
        let over = ChunkList::new(most + 1, vec![[1; 32]; CHUNKS_MAX + 1]);
        assert_eq!(over, Err(DecodeError::Limit("blob size")));
        let fewer = ChunkList::new(most, vec![[1; 32]; CHUNKS_MAX - 1]);
        assert_eq!(fewer, Err(DecodeError::Value("chunk hashes")));
    }

    #[test]
    fn every_chunk_is_checked_by_itself_blb_1() {
        let all = bytes(2 * CHUNK_BYTES + 10);
        let list = ChunkList::of(&all).unwrap();
        let numbers = |first, range: &[u8]| -> Option<Vec<u16>> {
            Some(list.chunks(first, range)?.iter().map(|(index, _)| *index).collect())
        };
        assert_eq!(numbers(0, &all), Some(vec![0, 1, 2]));
        assert_eq!(numbers(1, &all[CHUNK_BYTES..]), Some(vec![1, 2]));
        assert_eq!(numbers(0, &all[..CHUNK_BYTES]), Some(vec![0]));
        assert_eq!(numbers(1, &all), None, "another's place");
        assert_eq!(numbers(0, &all[..CHUNK_BYTES - 1]), None, "a part of a chunk");
        assert_eq!(numbers(0, &[&all[..], b"more"].concat()), None, "behind the end");
        assert_eq!(
            (numbers(0, &[]), numbers(3, &all), numbers(2000, &all)),
            (None, None, None)
        );
        let mut changed = all.clone();
        changed[CHUNK_BYTES + 1] ^= 1;
        assert_eq!(numbers(0, &changed), None);
        assert!(list.fits(0, &changed[..CHUNK_BYTES]) && !list.fits(1, &changed[CHUNK_BYTES..2 * CHUNK_BYTES]));
    }

    #[test]
    fn a_set_says_what_is_missing_blb_2() {
        let mut set = ChunkSet::none_of(10);
        (0..8).for_each(|index| set.add(index));
        set.add(9);
        set.add(10);
        let mut out = Vec::new();
        set.write(&mut out);
        assert_eq!(out, [0, 10, 0xff, 0x40]);
        assert_eq!(set.missing().collect::<Vec<_>>(), [8]);
        assert!(!set.is_whole());
        set.add(8);
        assert!(set.is_whole());
        for bad in [&[0, 0][..], &[0, 10, 0xff, 0x60], &[0, 10, 0xff], &[4, 1, 0]] {
            assert!(ChunkSet::read(&mut Reader::new(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_deletion_token_opens_its_hash_and_does_not_print_blb_6() {
        let token = DeletionToken::from_bytes([0x41; 32]);
        assert_eq!(token.hash(), sha256(&[b"stonechat/blob/delete", &[0x41; 32]]));
        assert!(token.opens(&token.hash()) && !DeletionToken::from_bytes([0x42; 32]).opens(&token.hash()));
        assert_eq!(format!("{token:?}"), "DeletionToken(..)");
    }

    proptest! {
        #[test]
        fn sets_and_lists_read_back_blb_2(there in prop::collection::vec(any::<bool>(), 1..200), size in 1..300_000u32) {
            let count = u16::try_from(there.len()).unwrap();
            let set = ChunkSet::of(count, |index| there[usize::from(index)]);
            let mut out = Vec::new();
            set.write(&mut out);
            prop_assert_eq!(ChunkSet::read(&mut Reader::new(&out)), Ok(set));
            let list = ChunkList::of(&bytes(size as usize)).unwrap();
            let mut out = Vec::new();
            list.write(&mut out);
            prop_assert_eq!(ChunkList::decode(&out), Ok(list));
        }

        #[test]
        fn any_bytes_are_a_list_or_not_blb_2(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = ChunkList::decode(&bytes);
            let _ = ChunkSet::read(&mut Reader::new(&bytes));
        }
    }
}
