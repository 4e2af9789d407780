//! Where the log's doors stand. Few, so everything but their cards is in memory.
//!
//! In: doors as they are set, used, taken down or loaded. Out: the same. Records of doors are put in order by their
//! serials, wherever they stand; the last word about a path counts.

use std::collections::BTreeMap;

use stonechat_wire::ids::{DoorPath, Timestamp};

use super::record::{DOOR_FIXED as FIXED, HEAD, Head, Kind};
use super::segments::Stand;
use crate::store::Door;

/// A door, but for its card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) proof_hash: [u8; 32],
    pub(super) key_hash: [u8; 32],
    pub(super) expires_at: Timestamp,
    pub(super) uses: u32,
    pub(super) serial: u64,
    pub(super) at: Stand,
    pub(super) length: u32,
    /// The segment that has its newest count of uses; 0 if its own record has.
    pub(super) note: u32,
    /// That record's serial.
    pub(super) note_serial: u64,
}

impl Standing {
    /// Bytes of its card.
    pub(super) fn card_len(&self) -> u64 {
        u64::from(self.length).saturating_sub(FIXED as u64)
    }

    /// Bytes of its record.
    pub(super) const fn record_len(&self) -> u32 {
        self.length.saturating_add(HEAD as u32)
    }

    /// A door out of its record's body.
    pub(super) fn read(head: &Head, at: Stand, body: &[u8]) -> Option<Self> {
        let (proof_hash, rest) = body.split_first_chunk()?;
        let (uses, rest) = rest.split_first_chunk()?;
        Some(Self {
            proof_hash: *proof_hash,
            key_hash: *rest.first_chunk()?,
            expires_at: head.expires_at,
            uses: u32::from_be_bytes(*uses),
            serial: head.serial,
            at,
            length: head.length,
            note: 0,
            note_serial: 0,
        })
    }
}

/// A door's record, without its head.
pub(super) fn body(door: &Door) -> Vec<u8> {
    let mut body = door.proof_hash.to_vec();
    body.extend(door.uses.to_be_bytes());
    body.extend(door.key_hash);
    body.extend(&*door.card);
    body
}

/// The card out of a record's body.
pub(super) fn card(body: &[u8]) -> &[u8] {
    body.get(FIXED..).unwrap_or_default()
}

/// A record's key, for a path.
pub(super) fn key(path: &DoorPath) -> [u8; 16] {
    let mut key = [0; 16];
    for (to, from) in key.iter_mut().zip(path.as_bytes()) {
        *to = *from;
    }
    key
}

/// A path, out of a record's key.
pub(super) fn path(key: &[u8; 16]) -> Option<DoorPath> {
    key.first_chunk().copied().map(DoorPath::from_bytes)
}

/// What a loaded record says about a door.
#[derive(Clone, Copy, Debug)]
pub(super) enum Word {
    Set(Standing),
    Used { uses: u32, segment: u32 },
    Closed,
}

impl Word {
    /// Out of a record.
    pub(super) fn read(head: &Head, at: Stand, body: &[u8]) -> Option<Self> {
        match head.kind {
            Kind::Door => Standing::read(head, at, body).map(Self::Set),
            Kind::DoorUsed => Some(Self::Used {
                uses: u32::from_be_bytes(*body.first_chunk()?),
                segment: at.segment,
            }),
            Kind::DoorClosed => Some(Self::Closed),
            Kind::Envelope | Kind::Prolonged | Kind::Blob | Kind::Chunk | Kind::BlobProlonged | Kind::BlobGone => None,
        }
    }
}

/// All doors as the loaded words leave them.
pub(super) fn settle(mut words: Vec<(u64, DoorPath, Word)>) -> BTreeMap<Box<DoorPath>, Box<Standing>> {
    words.sort_by_key(|(serial, ..)| *serial);
    let mut doors = BTreeMap::new();
    for (serial, path, word) in words {
        match word {
            Word::Set(standing) => {
                doors.insert(Box::new(path), Box::new(standing));
            }
            Word::Used { uses, segment } => {
                if let Some(door) = doors.get_mut(&path) {
                    let door: &mut Box<Standing> = door;
                    if uses > door.uses {
                        (door.uses, door.note, door.note_serial) = (uses, segment, serial);
                    }
                }
            }
            Word::Closed => {
                doors.remove(&path);
            }
        }
    }
    doors
}
