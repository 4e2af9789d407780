//! What a client and a relay say to each other about blobs.
//!
//! In, out: as the frames around it. Specified in `docs/protocol/16-blobs.md` (BLB).

use alloc::vec::Vec;
use core::fmt;

use crate::blob::{CHUNK_BYTES, ChunkList, ChunkSet, DeletionToken, RANGE_CHUNKS_MAX};
use crate::codec::{DecodeError, Reader, Write};
use crate::ids::BlobId;

/// Most bytes of one range.
const RANGE_BYTES_MAX: usize = RANGE_CHUNKS_MAX * CHUNK_BYTES;

/// What a client asks about blobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobAsk {
    /// Begin a blob, or learn what is missing of it (BLB-2).
    Begin {
        /// Comes back in the answer.
        request: u32,
        /// How long to keep it.
        ttl_s: u32,
        /// Hash of the token that deletes it.
        deletion: [u8; 32],
        /// Size and chunks.
        list: ChunkList,
    },
    /// Keep these chunks (BLB-3).
    Put {
        /// Comes back in the answer.
        request: u32,
        /// Of which blob.
        id: BlobId,
        /// One to [`RANGE_CHUNKS_MAX`] whole chunks.
        range: Range,
    },
    /// Tell its list and what is there of it (BLB-4).
    List {
        /// Comes back in the answer.
        request: u32,
        /// Which blob.
        id: BlobId,
    },
    /// Give some of its chunks (BLB-5).
    Get {
        /// Comes back in the answer.
        request: u32,
        /// Of which blob.
        id: BlobId,
        /// The first.
        first: u16,
        /// At most so many.
        count: u16,
    },
    /// Delete it (BLB-6).
    Drop {
        /// Comes back in the answer.
        request: u32,
        /// Which blob.
        id: BlobId,
        /// The right to.
        token: DeletionToken,
    },
}

/// What a relay says about blobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobTell {
    /// So much of it is here, on disk and synced (BLB-2, BLB-3).
    Has {
        /// The request's number.
        request: u32,
        /// Which chunks.
        set: ChunkSet,
    },
    /// Its list, and what of it is here (BLB-4).
    List {
        /// The request's number.
        request: u32,
        /// Size and chunks.
        list: ChunkList,
        /// Which of them are here.
        set: ChunkSet,
    },
    /// Chunks (BLB-5).
    Range {
        /// The request's number.
        request: u32,
        /// Whole chunks.
        range: Range,
    },
    /// It is not here any more (BLB-6).
    Gone {
        /// The request's number.
        request: u32,
    },
}

/// Consecutive chunks.
#[derive(Clone, PartialEq, Eq)]
pub struct Range {
    /// The number of the first.
    pub first: u16,
    /// Their bytes, one after the other.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Range({} bytes from chunk {})", self.bytes.len(), self.first)
    }
}

impl Range {
    fn write(&self, out: &mut Vec<u8>) {
        out.put(&self.first.to_be_bytes());
        out.put_bytes(&self.bytes);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let first = reader.u16()?;
        let bytes = reader.bytes("range", RANGE_BYTES_MAX)?.to_vec();
        if bytes.is_empty() {
            return Err(DecodeError::Value("range"));
        }
        Ok(Self { first, bytes })
    }
}

impl BlobAsk {
    pub(super) const KINDS: core::ops::RangeInclusive<u8> = 9..=13;

    pub(super) const fn kind(&self) -> u8 {
        match self {
            Self::Begin { .. } => 9,
            Self::Put { .. } => 10,
            Self::List { .. } => 11,
            Self::Get { .. } => 12,
            Self::Drop { .. } => 13,
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Begin {
                request,
                ttl_s,
                deletion,
                list,
            } => {
                out.put(&request.to_be_bytes());
                out.put(&ttl_s.to_be_bytes());
                out.put(deletion);
                list.write(out);
            }
            Self::Put { request, id, range } => {
                write_head(out, *request, id);
                range.write(out);
            }
            Self::List { request, id } => write_head(out, *request, id),
            Self::Get {
                request,
                id,
                first,
                count,
            } => {
                write_head(out, *request, id);
                out.put(&first.to_be_bytes());
                out.put(&count.to_be_bytes());
            }
            Self::Drop { request, id, token } => {
                write_head(out, *request, id);
                out.put(token.as_bytes());
            }
        }
    }

    /// A body whose kind is one of [`BlobAsk::KINDS`].
    pub(super) fn read(kind: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let request = reader.u32()?;
        if kind == 9 {
            return Ok(Self::Begin {
                request,
                ttl_s: reader.u32()?,
                deletion: reader.array()?,
                list: ChunkList::read(reader)?,
            });
        }
        let id = BlobId::from_bytes(reader.array()?);
        Ok(match kind {
            10 => Self::Put {
                request,
                id,
                range: Range::read(reader)?,
            },
            12 => Self::Get {
                request,
                id,
                first: reader.u16()?,
                count: reader.u16()?,
            },
            13 => Self::Drop {
                request,
                id,
                token: DeletionToken::from_bytes(reader.array()?),
            },
            _ => Self::List { request, id },
        })
    }
}

impl BlobTell {
    pub(super) const KINDS: core::ops::RangeInclusive<u8> = 11..=14;

    pub(super) const fn kind(&self) -> u8 {
        match self {
            Self::Has { .. } => 11,
            Self::List { .. } => 12,
            Self::Range { .. } => 13,
            Self::Gone { .. } => 14,
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Has { request, set } => {
                out.put(&request.to_be_bytes());
                set.write(out);
            }
            Self::List { request, list, set } => {
                out.put(&request.to_be_bytes());
                list.write(out);
                set.write(out);
            }
            Self::Range { request, range } => {
                out.put(&request.to_be_bytes());
                range.write(out);
            }
            Self::Gone { request } => out.put(&request.to_be_bytes()),
        }
    }

    /// A body whose kind is one of [`BlobTell::KINDS`].
    pub(super) fn read(kind: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let request = reader.u32()?;
        Ok(match kind {
            11 => Self::Has {
                request,
                set: ChunkSet::read(reader)?,
            },
            12 => Self::List {
                request,
                list: ChunkList::read(reader)?,
                set: ChunkSet::read(reader)?,
            },
            13 => Self::Range {
                request,
                range: Range::read(reader)?,
            },
            _ => Self::Gone { request },
        })
    }
}

fn write_head(out: &mut Vec<u8>, request: u32, id: &BlobId) {
    out.put(&request.to_be_bytes());
    out.put(id.as_bytes());
}
