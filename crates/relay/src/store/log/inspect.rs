//! Looking at a log's files without changing anything, byte by byte; also beside a relay that runs.
//!
//! In: the folder. Out: every record that stands there, expired and replaced ones too, and what all other bytes are.

use std::io;
use std::path::Path;

use stonechat_wire::ids::{BlobId, DoorPath, Tag, Timestamp};

use super::blobs::{index_of, read_begun};
use super::doors;
use super::record::{Head, Kind, SEGMENT_HEAD, SegmentHead};
use super::walk::Walk;
use crate::store::disk::{Disk, DiskFile, Folder};

/// Everything in a log's files.
#[derive(Debug, Default)]
pub struct Holding {
    /// Envelopes.
    pub envelopes: Vec<HeldEnvelope>,
    /// Remarks that an envelope lives longer: its mailbox, its cursor, until when.
    pub prolonged: Vec<(Tag, u64, Timestamp)>,
    /// Doors, remarks that one was used and that one was taken down.
    pub doors: Vec<HeldDoor>,
    /// Blobs, their chunks, remarks that one lives longer and that one was deleted.
    pub blobs: Vec<HeldPiece>,
    /// Bytes of the records named above.
    pub record_bytes: u64,
    /// Bytes of hints and of the mark: the same heads once more, and how far cursors have come.
    pub index_bytes: u64,
    /// Bytes of the heads of segments: a number, a random salt, how far cursors had come.
    pub head_bytes: u64,
    /// Bytes that are no record: torn or damaged.
    pub damaged_bytes: u64,
}

/// An envelope on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldEnvelope {
    /// Its mailbox.
    pub tag: Tag,
    /// Its cursor.
    pub cursor: u64,
    /// When its record may be dropped.
    pub expires_at: Timestamp,
    /// The sealed bytes.
    pub bytes: Vec<u8>,
}

/// A word about a door on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldDoor {
    /// Where it stands.
    pub path: DoorPath,
    /// When its record may be dropped.
    pub expires_at: Timestamp,
    /// Bytes of its card; none for a remark.
    pub card_bytes: u64,
}

/// A word about a blob on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldPiece {
    /// Half of the blob's id.
    pub blob: [u8; 16],
    /// When its record may be dropped.
    pub expires_at: Timestamp,
    /// What it says.
    pub what: Piece,
}

/// What a record says about a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// It was begun, and is to have so many bytes.
    Begun(BlobId, u32),
    /// A chunk: its number, its bytes.
    Chunk(u16, u32),
    /// It lives longer.
    Prolonged,
    /// It was deleted.
    Gone,
}

impl Piece {
    fn read(head: &Head, body: &[u8]) -> Option<Self> {
        match head.kind {
            Kind::Blob => read_begun(body).map(|(id, size)| Self::Begun(id, size)),
            Kind::Chunk => Some(Self::Chunk(index_of(body), head.length.saturating_sub(2))),
            Kind::BlobProlonged => Some(Self::Prolonged),
            Kind::BlobGone => Some(Self::Gone),
            Kind::Envelope | Kind::Prolonged | Kind::Door | Kind::DoorUsed | Kind::DoorClosed => None,
        }
    }
}

impl Holding {
    /// Reads everything in a folder. Errors: the disk's own.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut holding = Self::default();
        if path.is_dir() {
            let folder = Folder::at(path)?;
            for name in folder.list()? {
                let file = folder.open(&name)?;
                if name.ends_with(".seg") || name.ends_with(".damaged") {
                    holding.segment(&file)?;
                } else {
                    holding.index_bytes += file.size()?;
                }
            }
        }
        Ok(holding)
    }

    /// All bytes that were read.
    pub const fn all_bytes(&self) -> u64 {
        self.record_bytes + self.index_bytes + self.head_bytes + self.damaged_bytes
    }

    fn segment(&mut self, file: &impl DiskFile) -> io::Result<()> {
        let len = u32::try_from(file.size()?).unwrap_or(u32::MAX);
        let mut head = vec![0; SEGMENT_HEAD.min(len as usize)];
        file.read_at(&mut head, 0)?;
        self.head_bytes += head.len() as u64;
        let rest = u64::from(len).saturating_sub(head.len() as u64);
        let Some(head) = SegmentHead::from_bytes(&head) else {
            self.damaged_bytes += rest;
            return Ok(());
        };
        let mut walk = Walk::new(file, head.salt, len, 0);
        let before = self.record_bytes;
        while let Some((head, _, body)) = walk.next()? {
            self.record_bytes += u64::from(head.record_len());
            let door = |card_bytes| {
                doors::path(&head.key).map(|path| HeldDoor {
                    path,
                    expires_at: head.expires_at,
                    card_bytes,
                })
            };
            let tag = Tag::from_bytes(head.key);
            match head.kind {
                Kind::Envelope => self.envelopes.push(HeldEnvelope {
                    tag,
                    cursor: head.serial,
                    expires_at: head.expires_at,
                    bytes: body,
                }),
                Kind::Prolonged => self.prolonged.push((tag, head.serial, head.expires_at)),
                Kind::Door => self.doors.extend(door(doors::card(&body).len() as u64)),
                Kind::DoorUsed | Kind::DoorClosed => self.doors.extend(door(0)),
                Kind::Blob | Kind::Chunk | Kind::BlobProlonged | Kind::BlobGone => {
                    let (blob, expires_at) = (head.key, head.expires_at);
                    let word = Piece::read(&head, &body);
                    self.blobs.extend(word.map(|what| HeldPiece { blob, expires_at, what }));
                }
            }
        }
        self.damaged_bytes += rest.saturating_sub(self.record_bytes.saturating_sub(before));
        Ok(())
    }
}
