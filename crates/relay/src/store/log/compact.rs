//! Getting rid of dead bytes: what still means something in a mostly dead segment is written again elsewhere.
//!
//! In: the segments, a little at a time. Out: copies of records under their old serials. Places change only once the
//! copies are durable; then nothing in the old segment is needed, and it is removed like any other that is dead. A
//! crash in between leaves a record twice, which loading knows as one.

use stonechat_wire::ids::{DoorPath, Tag, Timestamp};

use super::SegmentLog;
use super::blobs::{self, Key};
use super::doors;
use super::record::{Head, Kind, SEGMENT_HEAD};
use super::segments::{Segments, Stand};
use super::walk::Walk;
use crate::store::StoreError;
use crate::store::disk::Disk;

/// Most bytes looked through in one go, so that nobody waits long behind it.
const STEP_BYTES: u32 = 1 << 20;
/// Segments shorter than this share of the longest are left alone: there is little to win.
const SMALLEST_SHARE: u32 = 2048;

/// The segment that is looked through, how far, and what was copied since the last sync.
#[derive(Debug, Default)]
pub(super) struct Compaction {
    segment: Option<u32>,
    place: u32,
    moves: Vec<Move>,
    /// A segment that was looked through to its end since the last sync.
    finished: Option<u32>,
}

/// A record that was copied.
#[derive(Debug)]
struct Move {
    what: What,
    from: Stand,
    to: Stand,
    record_len: u32,
}

#[derive(Debug)]
enum What {
    Envelope(Tag, u64),
    Prolonged(Tag, u64, Timestamp),
    Door(DoorPath),
    DoorUsed(DoorPath, u64),
    Blob(Key),
    Chunk(Key, u16),
    BlobProlonged(Key, Timestamp),
}

/// A record that is to be copied.
type Found = (Head, u32, Vec<u8>);

impl<D: Disk> SegmentLog<D> {
    /// Copies a little. Out: whether there is more to copy.
    pub(super) fn compact(&mut self, now: Timestamp) -> Result<bool, StoreError> {
        if self.compaction.finished.is_some() {
            // Its copies wait for the sync.
            return Ok(true);
        }
        let Some(segment) = self.compaction.segment.or_else(|| mostly_dead(&self.segments, now)) else {
            return Ok(false);
        };
        if self.compaction.segment.is_none() {
            (self.compaction.segment, self.compaction.place) = (Some(segment), SEGMENT_HEAD as u32);
        }
        let (found, is_done) = self.look_through(segment)?;
        for (head, place, body) in found {
            self.copy(Stand { segment, place }, &head, &body, now)?;
        }
        if is_done {
            self.compaction.segment = None;
            self.compaction.finished = Some(segment);
        }
        Ok(true)
    }

    /// The next records of a segment, and whether they were the last.
    fn look_through(&mut self, number: u32) -> Result<(Vec<Found>, bool), StoreError> {
        let Some(segment) = self.segments.all.get(&number) else {
            self.compaction.segment = None;
            return Ok((Vec::new(), true));
        };
        let from = self.compaction.place;
        let mut walk = Walk::new(&segment.file, segment.salt, segment.len, from);
        let mut found = Vec::new();
        let mut is_done = false;
        while walk.place.saturating_sub(from) < STEP_BYTES && !is_done {
            match walk.next()? {
                Some(record) => found.push(record),
                None => is_done = true,
            }
        }
        self.compaction.place = walk.place;
        Ok((found, is_done))
    }

    fn copy(&mut self, from: Stand, head: &Head, body: &[u8], now: Timestamp) -> Result<(), StoreError> {
        let Some((what, id)) = self.still_means(from, head) else {
            if matches!(head.kind, Kind::DoorClosed | Kind::BlobGone) && head.expires_at > now {
                let to = self.segments.write(head, body, [0; 16])?;
                self.segments.count_closed(to.segment, head.expires_at);
            }
            return Ok(());
        };
        let to = self.segments.write(head, body, id)?;
        let record_len = head.record_len();
        self.compaction.moves.push(Move {
            what,
            from,
            to,
            record_len,
        });
        Ok(())
    }

    fn still_means(&mut self, from: Stand, head: &Head) -> Option<(What, [u8; 16])> {
        let tag = Tag::from_bytes(head.key);
        match head.kind {
            Kind::Envelope => {
                let entry = self.index.entry_mut(&tag, head.serial)?;
                let stands = (entry.segment, entry.place) == (from.segment, from.place);
                stands.then_some((What::Envelope(tag, head.serial), entry.id))
            }
            Kind::Prolonged => {
                let entry = self.index.entry_mut(&tag, head.serial)?;
                let stands = entry.note == from.segment && entry.expires_at == head.expires_at;
                stands.then_some((What::Prolonged(tag, head.serial, head.expires_at), [0; 16]))
            }
            Kind::Door => {
                let path = doors::path(&head.key)?;
                let stands = self.doors.get(&path)?.at == from;
                stands.then_some((What::Door(path), [0; 16]))
            }
            Kind::DoorUsed => {
                let path = doors::path(&head.key)?;
                let door = self.doors.get(&path)?;
                let stands = (door.note, door.note_serial) == (from.segment, head.serial);
                stands.then_some((What::DoorUsed(path, head.serial), [0; 16]))
            }
            Kind::Blob | Kind::Chunk | Kind::BlobProlonged => self.blob_still_means(from, head),
            Kind::DoorClosed | Kind::BlobGone => None,
        }
    }

    fn blob_still_means(&self, from: Stand, head: &Head) -> Option<(What, [u8; 16])> {
        let blob = self
            .blobs
            .by_key
            .get(&head.key)
            .filter(|blob| blob.serial == head.serial)?;
        match head.kind {
            Kind::Blob => (blob.at == from).then_some((What::Blob(head.key), [0; 16])),
            Kind::Chunk => {
                let index = blob.pieces.iter().position(|piece| piece.at == from)?;
                let index = u16::try_from(index).ok()?;
                Some((What::Chunk(head.key, index), blobs::line_id(index)))
            }
            Kind::BlobProlonged => {
                let stands = (blob.note, blob.expires_at) == (from.segment, head.expires_at);
                stands.then_some((What::BlobProlonged(head.key, head.expires_at), [0; 16]))
            }
            Kind::Envelope | Kind::Prolonged | Kind::Door | Kind::DoorUsed | Kind::DoorClosed | Kind::BlobGone => None,
        }
    }

    /// The copies are durable: from here on they are what is read.
    pub(super) fn moved(&mut self) {
        for moved in std::mem::take(&mut self.compaction.moves) {
            if self.change_place(&moved) {
                self.segments.count(moved.to.segment, moved.record_len);
                self.segments.discount(moved.from.segment, moved.record_len);
            }
        }
        let finished = self.compaction.finished.take();
        if let Some(old) = finished.and_then(|number| self.segments.all.get_mut(&number)) {
            old.is_compacted = true;
            old.closed = 0;
        }
    }

    /// Out: false for what was forgotten or replaced since it was copied.
    fn change_place(&mut self, moved: &Move) -> bool {
        let (from, to) = (moved.from, moved.to);
        match &moved.what {
            What::Envelope(tag, serial) => {
                let entry = self.index.entry_mut(tag, *serial);
                let Some(entry) = entry.filter(|entry| (entry.segment, entry.place) == (from.segment, from.place))
                else {
                    return false;
                };
                (entry.segment, entry.place) = (to.segment, to.place);
            }
            What::Prolonged(tag, serial, until) => {
                let entry = self.index.entry_mut(tag, *serial);
                let Some(entry) = entry.filter(|e| e.note == from.segment && e.expires_at == *until) else {
                    return false;
                };
                entry.note = to.segment;
            }
            What::Door(path) => {
                let Some(door) = self.doors.get_mut(path).filter(|door| door.at == from) else {
                    return false;
                };
                door.at = to;
            }
            What::DoorUsed(path, serial) => {
                let door = self.doors.get_mut(path);
                let Some(door) = door.filter(|door| (door.note, door.note_serial) == (from.segment, *serial)) else {
                    return false;
                };
                door.note = to.segment;
            }
            What::Blob(key) => {
                let Some(blob) = self.blobs.by_key.get_mut(key).filter(|blob| blob.at == from) else {
                    return false;
                };
                blob.at = to;
            }
            What::Chunk(key, index) => {
                let Some(piece) = self.blobs.piece_mut(key, *index).filter(|piece| piece.at == from) else {
                    return false;
                };
                piece.at = to;
            }
            What::BlobProlonged(key, until) => {
                let blob = self.blobs.by_key.get_mut(key);
                let Some(blob) = blob.filter(|blob| blob.note == from.segment && blob.expires_at == *until) else {
                    return false;
                };
                blob.note = to.segment;
            }
        }
        true
    }
}

/// A sealed segment of which less than half means anything.
fn mostly_dead<D: Disk>(segments: &Segments<D>, now: Timestamp) -> Option<u32> {
    let is_worth_it = |segment: &super::segments::Segment<D::File>| {
        let is_free = !segment.is_open && !segment.is_compacted && segment.len >= segments.segment_max / SMALLEST_SHARE;
        let needed = segment.needed(now);
        is_free && needed > 0 && needed.saturating_mul(2) < u64::from(segment.len)
    };
    let mut found = segments.all.iter().filter(|(_, segment)| is_worth_it(segment));
    found.next().map(|(number, _)| *number)
}
