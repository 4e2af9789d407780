//! Frames: what a client and a relay say to each other inside the face.
//!
//! In: the messages that [`crate::face`] hands over, each holding whole frames. Out: typed frames, and back. What a
//! relay does about them is its service's job. Specified in `docs/protocol/03-relay.md`.
//!
//! A frame is type 1 | length 4 | body. Unknown types are skipped by their length; a known type with a body that is
//! too short, too long or over a limit is an error.

use alloc::vec::Vec;
use core::fmt;

use crate::card::CARD_BUCKET;
use crate::codec::{DecodeError, Reader, Write};
use crate::envelope::{Envelope, EnvelopeError};
use crate::face::MESSAGE_BYTES_MAX;
use crate::hand::{DECK_BYTES_MAX, Deck};
use crate::ids::{DoorKey, DoorPath, EnvelopeId, Tag, Token};

pub mod blobs;
pub mod forward;

use blobs::{BlobAsk, BlobTell};
use forward::{ForwardAsk, ForwardTell};

/// Protocol version in both hellos (RLY-3).
pub const VERSION: u8 = 1;
/// Feature bit of a relay that keeps blobs (BLB-10).
pub const KEEPS_BLOBS: u32 = 1;
/// Feature bit of a side that knows credits and hints (RLY-44).
pub const KNOWS_CREDITS: u32 = 2;
/// Feature bit of a relay that passes bytes on to others (FWD-6).
pub const FORWARDS: u32 = 4;
/// Most items of one batch: put, subscribe, stored, fetched (RLY-2).
pub const BATCH_MAX: usize = 1024;
/// Longest body of one frame, in bytes (RLY-2).
pub const FRAME_BODY_MAX: usize = MESSAGE_BYTES_MAX - FRAME_HEADER;
/// Type and length, in bytes.
pub const FRAME_HEADER: usize = 5;
/// Largest envelope, in bytes.
const ENVELOPE_MAX: usize = 32768;

/// Why frames are not. The connection ends; nothing of the frame takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Shorter than its header says.
    #[error("the frame ends too early")]
    Short,
    /// A header that says more than [`FRAME_BODY_MAX`].
    #[error("a frame of {0} bytes is too long")]
    TooLong(u32),
    /// A body that is not what its type says.
    #[error("malformed frame of type {0}: {1}")]
    Malformed(u8, DecodeError),
    /// A put of something that is no envelope.
    #[error("not an envelope: {0}")]
    NotAnEnvelope(EnvelopeError),
    /// A put whose token is not that of the envelope's mailbox.
    #[error("the token does not fit the envelope's tag")]
    WrongToken,
}

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToRelay {
    /// First frame of a connection (RLY-3).
    Hello {
        /// [`VERSION`].
        version: u8,
        /// What the client understands beyond it.
        features: u32,
        /// The relay's access secret, out of the route or card.
        secret: Option<[u8; 16]>,
    },
    /// Keep these (RLY-4).
    Put {
        /// Comes back in the answer.
        request: u32,
        /// At most [`BATCH_MAX`]; see [`batches`].
        items: Vec<PutItem>,
    },
    /// Change of what this connection reads (RLY-6).
    Subscribe {
        /// Mailboxes to push, from after the cursor.
        add: Vec<(Tag, u64)>,
        /// Mailboxes not to push any more.
        drop: Vec<Tag>,
    },
    /// Read once (RLY-7).
    Fetch {
        /// Comes back in the answer.
        request: u32,
        /// Which mailbox.
        tag: Tag,
        /// From after here.
        cursor: u64,
        /// At most so many envelopes.
        limit: u16,
    },
    /// Set up an invite's door (RLY-8).
    Door {
        /// Comes back in the answer.
        request: u32,
        /// Where it stands.
        path: DoorPath,
        /// SHA-256 of the proof that opens it.
        proof_hash: [u8; 32],
        /// What replaces and closes it.
        key: DoorKey,
        /// Unix seconds.
        expires_s: u64,
        /// What it answers: [`CARD_BUCKET`] bytes, or a [`Deck`].
        card: Vec<u8>,
    },
    /// Take a door down (RLY-8).
    CloseDoor {
        /// Comes back in the answer.
        request: u32,
        /// Which door.
        path: DoorPath,
        /// As it was set up with.
        key: DoorKey,
    },
    /// Pass on to live readers, never store (RLY-9).
    Ephemeral {
        /// The right to put.
        token: Token,
        /// What is passed on.
        envelope: Envelope,
    },
    /// How much room is left (RLY-10).
    Quota {
        /// Comes back in the answer.
        request: u32,
    },
    /// About a blob (BLB).
    Blob(BlobAsk),
    /// About a channel to another relay (FWD).
    Forward(ForwardAsk),
    /// So many more bytes may be pushed (RLY-11).
    Credit {
        /// How many.
        bytes: u32,
    },
}

/// One envelope to keep.
#[derive(Clone, PartialEq, Eq)]
pub struct PutItem {
    /// The right to put; its tag is the envelope's.
    pub token: Token,
    /// How long to keep it.
    pub ttl_s: u32,
    /// What is kept.
    pub envelope: Envelope,
}

impl PutItem {
    /// Length inside a put, in bytes.
    pub fn encoded_len(&self) -> usize {
        self.envelope.bytes().len().saturating_add(40)
    }
}

impl fmt::Debug for PutItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PutItem({:?}, {} s)", self.envelope, self.ttl_s)
    }
}

/// What a relay says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromRelay {
    /// First frame of a connection (RLY-3).
    Hello {
        /// [`VERSION`].
        version: u8,
        /// What the relay understands beyond it.
        features: u32,
        /// The relay's clock, Unix ms.
        time_ms: u64,
    },
    /// On disk and synced (RLY-4).
    Stored {
        /// The put's number.
        request: u32,
        /// Which envelopes.
        ids: Vec<EnvelopeId>,
    },
    /// These mailboxes are full (RLY-5).
    Full {
        /// The put's number.
        request: u32,
        /// Which envelopes.
        ids: Vec<EnvelopeId>,
    },
    /// Not done, and why (RLY-5).
    Refused {
        /// The request's number.
        request: u32,
        /// Why.
        why: Refusal,
    },
    /// Come back later (RLY-5).
    Busy {
        /// When.
        retry_after_ms: u32,
    },
    /// An envelope out of a subscribed mailbox (RLY-6).
    Arrived {
        /// Which mailbox.
        tag: Tag,
        /// Its place there.
        cursor: u64,
        /// Its bytes.
        envelope: Vec<u8>,
    },
    /// Answer to a fetch (RLY-7).
    Fetched {
        /// The fetch's number.
        request: u32,
        /// Cursor and bytes of each.
        items: Vec<(u64, Vec<u8>)>,
        /// There is more after the last.
        more: bool,
    },
    /// The door stands, or is taken down (RLY-8).
    DoorOpen {
        /// The request's number.
        request: u32,
    },
    /// A signal passed on (RLY-9).
    Ephemeral {
        /// Which mailbox.
        tag: Tag,
        /// Its bytes.
        envelope: Vec<u8>,
    },
    /// Answer to a quota request (RLY-10).
    Quota {
        /// The request's number.
        request: u32,
        /// In use under this access secret.
        used_bytes: u64,
        /// Allowed under it.
        limit_bytes: u64,
    },
    /// About a blob (BLB).
    Blob(BlobTell),
    /// About a channel to another relay (FWD).
    Forward(ForwardTell),
    /// A subscribed mailbox has more, and the credit is too small for it (RLY-11).
    Hint {
        /// Which mailbox.
        tag: Tag,
        /// The newest place there.
        cursor: u64,
    },
}

/// Why a relay does not do something (RLY-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// The hello named no secret, or a wrong one.
    Secret,
    /// More than the quota of this secret.
    Quota,
    /// The disk is too full for new work.
    NoRoom,
    /// A door stands at this path already, set up by somebody else.
    DoorTaken,
    /// A limit of the relay's own.
    Limit,
    /// What is asked for is not here.
    NotHere,
    /// A chunk that is not its blob's, or not the token that deletes it.
    Wrong,
    /// A reason this build does not know.
    Unknown(u8),
}

impl Refusal {
    /// The byte on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::Secret => 1,
            Self::Quota => 2,
            Self::NoRoom => 3,
            Self::DoorTaken => 4,
            Self::Limit => 5,
            Self::NotHere => 6,
            Self::Wrong => 7,
            Self::Unknown(code) => code,
        }
    }

    /// The reason of a byte.
    pub const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Secret,
            2 => Self::Quota,
            3 => Self::NoRoom,
            4 => Self::DoorTaken,
            5 => Self::Limit,
            6 => Self::NotHere,
            7 => Self::Wrong,
            other => Self::Unknown(other),
        }
    }
}

/// Cuts puts into batches that each fit one frame (RLY-2).
pub fn batches(items: Vec<PutItem>) -> Vec<Vec<PutItem>> {
    let mut out: Vec<Vec<PutItem>> = Vec::new();
    let mut size = usize::MAX;
    for item in items {
        let length = item.encoded_len();
        match out
            .last_mut()
            .filter(|batch| batch.len() < BATCH_MAX && size.saturating_add(length) <= FRAME_BODY_MAX)
        {
            Some(batch) => {
                size = size.saturating_add(length);
                batch.push(item);
            }
            None => {
                size = length.saturating_add(6);
                out.push(Vec::from([item]));
            }
        }
    }
    out
}

impl ToRelay {
    /// Appends the frame. The caller keeps batches within [`BATCH_MAX`] and [`FRAME_BODY_MAX`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hello {
                version,
                features,
                secret,
            } => frame(out, 1, |out| {
                out.push(*version);
                out.put(&features.to_be_bytes());
                out.put_option(secret.as_ref());
            }),
            Self::Put { request, items } => frame(out, 2, |out| {
                out.put(&request.to_be_bytes());
                out.put_count(items.len());
                items.iter().for_each(|item| write_put(out, item));
            }),
            Self::Subscribe { add, drop } => frame(out, 3, |out| write_subscribe(out, add, drop)),
            Self::Fetch {
                request,
                tag,
                cursor,
                limit,
            } => frame(out, 4, |out| {
                out.put(&request.to_be_bytes());
                out.put(tag.as_bytes());
                out.put(&cursor.to_be_bytes());
                out.put(&limit.to_be_bytes());
            }),
            Self::Door {
                request,
                path,
                proof_hash,
                key,
                expires_s,
                card,
            } => frame(out, 5, |out| {
                out.put(&request.to_be_bytes());
                out.put(path.as_bytes());
                out.put(proof_hash);
                out.put(key.as_bytes());
                out.put(&expires_s.to_be_bytes());
                out.put_bytes(card);
            }),
            Self::CloseDoor { request, path, key } => frame(out, 6, |out| {
                out.put(&request.to_be_bytes());
                out.put(path.as_bytes());
                out.put(key.as_bytes());
            }),
            Self::Ephemeral { token, envelope } => frame(out, 7, |out| {
                out.put(token.as_bytes());
                out.put_bytes(envelope.bytes());
            }),
            Self::Quota { request } => frame(out, 8, |out| out.put(&request.to_be_bytes())),
            Self::Blob(ask) => frame(out, ask.kind(), |out| ask.write(out)),
            Self::Forward(ask) => frame(out, ask.kind(), |out| ask.write(out)),
            Self::Credit { bytes } => frame(out, 14, |out| out.put(&bytes.to_be_bytes())),
        }
    }

    /// Reads one frame off the front: `None` for a type this build does not know (RLY-1). The rest comes with it.
    pub fn decode(bytes: &[u8]) -> Result<(Option<Self>, &[u8]), FrameError> {
        let (kind, body, rest) = split(bytes)?;
        let mut reader = Reader::new(body);
        let read = Self::read(kind, &mut reader)?;
        if read.is_some() {
            reader.end().map_err(|error| FrameError::Malformed(kind, error))?;
        }
        Ok((read, rest))
    }

    /// Reads all frames of one message; unknown types are left out (RLY-1).
    pub fn decode_all(bytes: &[u8]) -> Result<Vec<Self>, FrameError> {
        decode_all(bytes, Self::decode)
    }

    fn read(kind: u8, reader: &mut Reader<'_>) -> Result<Option<Self>, FrameError> {
        let malformed = |error| FrameError::Malformed(kind, error);
        let plain = match kind {
            1 => read_hello(reader),
            2 => return read_put_frame(reader).map(Some),
            3 => read_subscribe(reader),
            4 => read_fetch(reader),
            5 => read_door(reader),
            6 => read_close_door(reader),
            7 => return read_ephemeral(reader).map(Some),
            8 => reader.u32().map(|request| Self::Quota { request }),
            kind if BlobAsk::KINDS.contains(&kind) => BlobAsk::read(kind, reader).map(Self::Blob),
            14 => reader.u32().map(|bytes| Self::Credit { bytes }),
            kind if ForwardAsk::KINDS.contains(&kind) => ForwardAsk::read(kind, reader).map(Self::Forward),
            _ => return Ok(None),
        };
        plain.map(Some).map_err(malformed)
    }
}

impl FromRelay {
    /// Appends the frame. The caller keeps batches within [`BATCH_MAX`] and [`FRAME_BODY_MAX`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hello {
                version,
                features,
                time_ms,
            } => frame(out, 1, |out| {
                out.push(*version);
                out.put(&features.to_be_bytes());
                out.put(&time_ms.to_be_bytes());
            }),
            Self::Stored { request, ids } => frame(out, 2, |out| write_ids(out, *request, ids)),
            Self::Full { request, ids } => frame(out, 3, |out| write_ids(out, *request, ids)),
            Self::Refused { request, why } => frame(out, 4, |out| {
                out.put(&request.to_be_bytes());
                out.push(why.code());
            }),
            Self::Busy { retry_after_ms } => frame(out, 5, |out| out.put(&retry_after_ms.to_be_bytes())),
            Self::Arrived { tag, cursor, envelope } => frame(out, 6, |out| {
                out.put(tag.as_bytes());
                out.put(&cursor.to_be_bytes());
                out.put_bytes(envelope);
            }),
            Self::Fetched { request, items, more } => frame(out, 7, |out| write_fetched(out, *request, items, *more)),
            Self::DoorOpen { request } => frame(out, 8, |out| out.put(&request.to_be_bytes())),
            Self::Ephemeral { tag, envelope } => frame(out, 9, |out| {
                out.put(tag.as_bytes());
                out.put_bytes(envelope);
            }),
            Self::Quota {
                request,
                used_bytes,
                limit_bytes,
            } => frame(out, 10, |out| {
                out.put(&request.to_be_bytes());
                out.put(&used_bytes.to_be_bytes());
                out.put(&limit_bytes.to_be_bytes());
            }),
            Self::Blob(tell) => frame(out, tell.kind(), |out| tell.write(out)),
            Self::Forward(tell) => frame(out, tell.kind(), |out| tell.write(out)),
            Self::Hint { tag, cursor } => frame(out, 15, |out| {
                out.put(tag.as_bytes());
                out.put(&cursor.to_be_bytes());
            }),
        }
    }

    /// Reads one frame off the front: `None` for a type this build does not know (RLY-1). The rest comes with it.
    pub fn decode(bytes: &[u8]) -> Result<(Option<Self>, &[u8]), FrameError> {
        let (kind, body, rest) = split(bytes)?;
        let mut reader = Reader::new(body);
        let malformed = |error| FrameError::Malformed(kind, error);
        let read = Self::read(kind, &mut reader).map_err(malformed)?;
        if read.is_some() {
            reader.end().map_err(malformed)?;
        }
        Ok((read, rest))
    }

    /// Reads all frames of one message; unknown types are left out (RLY-1).
    pub fn decode_all(bytes: &[u8]) -> Result<Vec<Self>, FrameError> {
        decode_all(bytes, Self::decode)
    }

    fn read(kind: u8, reader: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
        Ok(Some(match kind {
            1 => Self::Hello {
                version: reader.u8()?,
                features: reader.u32()?,
                time_ms: reader.u64()?,
            },
            2 => Self::Stored {
                request: reader.u32()?,
                ids: read_ids(reader)?,
            },
            3 => Self::Full {
                request: reader.u32()?,
                ids: read_ids(reader)?,
            },
            4 => Self::Refused {
                request: reader.u32()?,
                why: Refusal::from_code(reader.u8()?),
            },
            5 => Self::Busy {
                retry_after_ms: reader.u32()?,
            },
            6 => Self::Arrived {
                tag: read_tag(reader)?,
                cursor: reader.u64()?,
                envelope: read_blob(reader)?,
            },
            7 => read_fetched(reader)?,
            8 => Self::DoorOpen { request: reader.u32()? },
            9 => Self::Ephemeral {
                tag: read_tag(reader)?,
                envelope: read_blob(reader)?,
            },
            10 => Self::Quota {
                request: reader.u32()?,
                used_bytes: reader.u64()?,
                limit_bytes: reader.u64()?,
            },
            kind if BlobTell::KINDS.contains(&kind) => Self::Blob(BlobTell::read(kind, reader)?),
            kind if ForwardTell::KINDS.contains(&kind) => Self::Forward(ForwardTell::read(kind, reader)?),
            15 => Self::Hint {
                tag: read_tag(reader)?,
                cursor: reader.u64()?,
            },
            _ => return Ok(None),
        }))
    }
}

/// Appends type, length and what `body` writes.
fn frame(out: &mut Vec<u8>, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = Vec::new();
    body(&mut bytes);
    out.push(kind);
    out.put_bytes(&bytes);
}

/// Type, body, and what follows.
fn split(bytes: &[u8]) -> Result<(u8, &[u8], &[u8]), FrameError> {
    let mut reader = Reader::new(bytes);
    let kind = reader.u8().map_err(|_| FrameError::Short)?;
    let length = reader.u32().map_err(|_| FrameError::Short)?;
    let body_len = usize::try_from(length).ok().filter(|length| *length <= FRAME_BODY_MAX);
    let body = reader
        .take(body_len.ok_or(FrameError::TooLong(length))?)
        .map_err(|_| FrameError::Short)?;
    Ok((kind, body, reader.rest()))
}

fn decode_all<T>(
    mut bytes: &[u8],
    decode: impl Fn(&[u8]) -> Result<(Option<T>, &[u8]), FrameError>,
) -> Result<Vec<T>, FrameError> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let (frame, rest) = decode(bytes)?;
        out.extend(frame);
        bytes = rest;
    }
    Ok(out)
}

fn read_tag(reader: &mut Reader<'_>) -> Result<Tag, DecodeError> {
    reader.array().map(Tag::from_bytes)
}

fn read_blob(reader: &mut Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    reader.bytes("envelope", ENVELOPE_MAX).map(<[u8]>::to_vec)
}

fn read_hello(reader: &mut Reader<'_>) -> Result<ToRelay, DecodeError> {
    Ok(ToRelay::Hello {
        version: reader.u8()?,
        features: reader.u32()?,
        secret: reader.option("secret")?,
    })
}

fn write_put(out: &mut Vec<u8>, item: &PutItem) {
    out.put(item.token.as_bytes());
    out.put(&item.ttl_s.to_be_bytes());
    out.put_bytes(item.envelope.bytes());
}

fn read_put_frame(reader: &mut Reader<'_>) -> Result<ToRelay, FrameError> {
    let malformed = |error| FrameError::Malformed(2, error);
    let request = reader.u32().map_err(malformed)?;
    let count = reader.count("put items", BATCH_MAX).map_err(malformed)?;
    let mut items = Vec::new();
    for _ in 0..count {
        let token = Token::from_bytes(reader.array().map_err(malformed)?);
        let ttl_s = reader.u32().map_err(malformed)?;
        let envelope = read_own_envelope(reader, &token, 2)?;
        items.push(PutItem { token, ttl_s, envelope });
    }
    Ok(ToRelay::Put { request, items })
}

fn read_ephemeral(reader: &mut Reader<'_>) -> Result<ToRelay, FrameError> {
    let token = Token::from_bytes(reader.array().map_err(|error| FrameError::Malformed(7, error))?);
    let envelope = read_own_envelope(reader, &token, 7)?;
    Ok(ToRelay::Ephemeral { token, envelope })
}

/// An envelope that its token may put: whoever shows the token has the right (RLY-4).
fn read_own_envelope(reader: &mut Reader<'_>, token: &Token, kind: u8) -> Result<Envelope, FrameError> {
    let bytes = read_blob(reader).map_err(|error| FrameError::Malformed(kind, error))?;
    let envelope = Envelope::decode(bytes).map_err(FrameError::NotAnEnvelope)?;
    if envelope.tag() == token.tag() {
        Ok(envelope)
    } else {
        Err(FrameError::WrongToken)
    }
}

fn write_subscribe(out: &mut Vec<u8>, add: &[(Tag, u64)], drop: &[Tag]) {
    out.put_count(add.len());
    for (tag, cursor) in add {
        out.put(tag.as_bytes());
        out.put(&cursor.to_be_bytes());
    }
    out.put_count(drop.len());
    drop.iter().for_each(|tag| out.put(tag.as_bytes()));
}

fn read_subscribe(reader: &mut Reader<'_>) -> Result<ToRelay, DecodeError> {
    let add = reader.list("tags", BATCH_MAX, |reader| Ok((read_tag(reader)?, reader.u64()?)))?;
    let drop = reader.list("tags", BATCH_MAX, read_tag)?;
    Ok(ToRelay::Subscribe { add, drop })
}

fn read_fetch(reader: &mut Reader<'_>) -> Result<ToRelay, DecodeError> {
    Ok(ToRelay::Fetch {
        request: reader.u32()?,
        tag: read_tag(reader)?,
        cursor: reader.u64()?,
        limit: reader.u16()?,
    })
}

fn read_door(reader: &mut Reader<'_>) -> Result<ToRelay, DecodeError> {
    let request = reader.u32()?;
    let path = DoorPath::from_bytes(reader.array()?);
    let (proof_hash, key) = (reader.array()?, DoorKey::from_bytes(reader.array()?));
    let expires_s = reader.u64()?;
    let card = reader.bytes("card", DECK_BYTES_MAX)?.to_vec();
    if card.len() != CARD_BUCKET && Deck::decode(&card).is_err() {
        return Err(DecodeError::Value("card"));
    }
    Ok(ToRelay::Door {
        request,
        path,
        proof_hash,
        key,
        expires_s,
        card,
    })
}

fn read_close_door(reader: &mut Reader<'_>) -> Result<ToRelay, DecodeError> {
    Ok(ToRelay::CloseDoor {
        request: reader.u32()?,
        path: DoorPath::from_bytes(reader.array()?),
        key: DoorKey::from_bytes(reader.array()?),
    })
}

fn write_ids(out: &mut Vec<u8>, request: u32, ids: &[EnvelopeId]) {
    out.put(&request.to_be_bytes());
    out.put_count(ids.len());
    ids.iter().for_each(|id| out.put(id.as_bytes()));
}

fn read_ids(reader: &mut Reader<'_>) -> Result<Vec<EnvelopeId>, DecodeError> {
    reader.list("ids", BATCH_MAX, |reader| reader.array().map(EnvelopeId::from_bytes))
}

fn write_fetched(out: &mut Vec<u8>, request: u32, items: &[(u64, Vec<u8>)], more: bool) {
    out.put(&request.to_be_bytes());
    out.put_count(items.len());
    for (cursor, envelope) in items {
        out.put(&cursor.to_be_bytes());
        out.put_bytes(envelope);
    }
    out.push(u8::from(more));
}

fn read_fetched(reader: &mut Reader<'_>) -> Result<FromRelay, DecodeError> {
    let request = reader.u32()?;
    let items = reader.list("envelopes", BATCH_MAX, |reader| Ok((reader.u64()?, read_blob(reader)?)))?;
    Ok(FromRelay::Fetched {
        request,
        items,
        more: reader.bool("more")?,
    })
}

#[cfg(test)]
mod tests;
