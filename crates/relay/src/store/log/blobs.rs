//! Where the log's blobs stand. Their lists and chunks are records among the others; here is what is in memory.
//!
//! In: blobs as they are begun, filled, deleted or loaded. Out: the same. A blob's records share the serial of the one
//! that began it: what belongs to an earlier blob of the same id means nothing. A chunk is what its blob's list says
//! or was never taken, so it does not matter which of two copies of it is read.
//! Invariant: `bytes` is the sum of the sizes of all blobs that stand.

use std::collections::{BTreeMap, BTreeSet};

use stonechat_wire::blob::ChunkSet;
use stonechat_wire::ids::{BlobId, Timestamp};

use super::record::{HEAD, Head, HintLine, Kind};
use super::segments::Stand;
use super::{SegmentLog, Undo, head};
use crate::store::StoreError;
use crate::store::blobs::{BlobStore, HeldBlob, NewBlob, UNFINISHED_MS};
use crate::store::disk::Disk;

/// What stands before a blob's list in its record: id, size, count, deletion hash.
const FIXED: usize = 70;
/// What stands before a chunk's bytes in its record: its number.
const INDEX: usize = 2;

/// A record's key: half of the blob's id.
pub(super) type Key = [u8; 16];

/// A chunk's record. Segment 0: it is not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) at: Stand,
    pub(super) length: u32,
}

impl Piece {
    const NONE: Self = Self {
        at: Stand { segment: 0, place: 0 },
        length: 0,
    };

    fn is_here(self) -> bool {
        self.at.segment != 0
    }

    fn record_len(self) -> u32 {
        self.length.saturating_add(HEAD as u32)
    }
}

/// A blob, but for its list and its chunks.
#[derive(Clone, Debug)]
pub(super) struct Blob {
    pub(super) serial: u64,
    pub(super) at: Stand,
    length: u32,
    size: u32,
    deletion: [u8; 32],
    pub(super) expires_at: Timestamp,
    /// The segment that says it lives longer than its record does; 0 if none.
    pub(super) note: u32,
    pub(super) pieces: Vec<Piece>,
    /// Since when it is waited for, as far as this process knows.
    since: Option<Timestamp>,
}

impl Blob {
    /// A blob out of its record.
    fn read(head: &Head, at: Stand, body: &[u8]) -> Option<Self> {
        let (size, rest) = body.get(BlobId::SIZE..)?.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let deletion = *rest.first_chunk()?;
        Some(Self {
            serial: head.serial,
            at,
            length: head.length,
            size: u32::from_be_bytes(*size),
            deletion,
            expires_at: head.expires_at,
            note: 0,
            pieces: vec![Piece::NONE; usize::from(u16::from_be_bytes(*count))],
            since: None,
        })
    }

    fn record_len(&self) -> u32 {
        self.length.saturating_add(HEAD as u32)
    }

    fn piece(&self, index: u16) -> Option<Piece> {
        let piece = self.pieces.get(usize::from(index)).copied();
        piece.filter(|piece| piece.is_here())
    }

    fn held(&self) -> HeldBlob {
        let count = u16::try_from(self.pieces.len()).unwrap_or(u16::MAX);
        HeldBlob {
            deletion: self.deletion,
            set: ChunkSet::of(count, |index| self.piece(index).is_some()),
        }
    }

    /// Whether it has been missing chunks for too long (BLB-9).
    fn is_late(&self, now: Timestamp) -> bool {
        let is_late = self.since.is_some_and(|since| now.since_ms(since) >= UNFINISHED_MS);
        is_late && self.pieces.iter().any(|piece| !piece.is_here())
    }

    /// Its records that mean something: where, and how long.
    pub(super) fn records(&self) -> impl Iterator<Item = (u32, u32)> {
        let note = (self.note != 0).then_some((self.note, HEAD as u32));
        let pieces = self.pieces.iter().filter(|piece| piece.is_here());
        let pieces = pieces.map(|piece| (piece.at.segment, piece.record_len()));
        [(self.at.segment, self.record_len())]
            .into_iter()
            .chain(note)
            .chain(pieces)
    }
}

/// All blobs.
#[derive(Debug, Default)]
pub(super) struct Blobs {
    pub(super) by_key: BTreeMap<Key, Blob>,
    bytes: u64,
}

impl Blobs {
    /// How many, and how many bytes they have or are to have.
    pub(super) fn total(&self) -> (usize, u64) {
        (self.by_key.len(), self.bytes)
    }

    fn insert(&mut self, key: Key, blob: Blob) -> Option<Blob> {
        self.bytes += u64::from(blob.size);
        let was = self.by_key.insert(key, blob);
        self.bytes = self.bytes.saturating_sub(was.as_ref().map_or(0, |was| was.size.into()));
        was
    }

    fn remove(&mut self, key: &Key) -> Option<Blob> {
        let was = self.by_key.remove(key)?;
        self.bytes = self.bytes.saturating_sub(was.size.into());
        Some(was)
    }

    /// As it was before.
    pub(super) fn put_back(&mut self, key: Key, was: Option<Blob>) {
        match was {
            Some(was) => drop(self.insert(key, was)),
            None => drop(self.remove(&key)),
        }
    }

    pub(super) fn piece_mut(&mut self, key: &Key, index: u16) -> Option<&mut Piece> {
        self.by_key.get_mut(key)?.pieces.get_mut(usize::from(index))
    }

    /// A chunk that was taken in last is not here any more.
    pub(super) fn forget_piece(&mut self, key: &Key, index: u16) {
        if let Some(piece) = self.piece_mut(key, index) {
            *piece = Piece::NONE;
        }
    }
}

/// What loaded records say about blobs.
#[derive(Debug, Default)]
pub(super) struct Words {
    begun: Vec<(Key, Blob)>,
    pieces: Vec<(Key, u64, u16, Piece)>,
    prolonged: Vec<(Key, u64, Timestamp, u32)>,
    gone: BTreeSet<(Key, u64)>,
}

impl Words {
    /// The record that begins a blob.
    pub(super) fn begun(&mut self, head: &Head, at: Stand, body: &[u8]) {
        self.begun
            .extend(Blob::read(head, at, body).map(|blob| (head.key, blob)));
    }

    /// Any other record, by its line.
    pub(super) fn line(&mut self, line: &HintLine, at: Stand) {
        match line.kind {
            Kind::Chunk => {
                let index = line
                    .id
                    .first_chunk()
                    .map_or(u16::MAX, |index| u16::from_be_bytes(*index));
                let length = line.length;
                self.pieces.push((line.key, line.serial, index, Piece { at, length }));
            }
            Kind::BlobProlonged => self
                .prolonged
                .push((line.key, line.serial, line.expires_at, at.segment)),
            Kind::BlobGone => drop(self.gone.insert((line.key, line.serial))),
            Kind::Blob | Kind::Envelope | Kind::Prolonged | Kind::Door | Kind::DoorUsed | Kind::DoorClosed => {}
        }
    }

    /// All blobs as the words leave them.
    pub(super) fn settle(self) -> Blobs {
        let mut blobs = Blobs::default();
        let mut newest: BTreeMap<Key, u64> = BTreeMap::new();
        let begun = self.begun.iter().map(|(key, blob)| (*key, blob.serial));
        for (key, serial) in begun.chain(self.gone.iter().copied()) {
            let known = newest.entry(key).or_default();
            *known = serial.max(*known);
        }
        // An earlier blob of the same id means nothing, also where the later one was deleted.
        for (key, blob) in self.begun {
            let is_newest = newest.get(&key) == Some(&blob.serial);
            if is_newest && !self.gone.contains(&(key, blob.serial)) {
                blobs.insert(key, blob);
            }
        }
        for (key, serial, index, piece) in self.pieces {
            let blob = blobs.by_key.get_mut(&key).filter(|blob| blob.serial == serial);
            if let Some(found) = blob.and_then(|blob| blob.pieces.get_mut(usize::from(index))) {
                *found = piece;
            }
        }
        for (key, serial, until, segment) in self.prolonged {
            let blob = blobs.by_key.get_mut(&key).filter(|blob| blob.serial == serial);
            if let Some(blob) = blob.filter(|blob| blob.expires_at < until) {
                (blob.expires_at, blob.note) = (until, segment);
            }
        }
        blobs
    }
}

/// Half of a blob's id.
fn key(id: &BlobId) -> Key {
    id.as_bytes().first_chunk().copied().unwrap_or_default()
}

/// What stands in a hint for a chunk of this number.
pub(super) fn line_id(index: u16) -> [u8; 16] {
    (u128::from(index) << 112).to_be_bytes()
}

/// The number of a chunk, out of its record's body.
pub(super) fn index_of(body: &[u8]) -> u16 {
    body.first_chunk().map_or(u16::MAX, |index| u16::from_be_bytes(*index))
}

/// The whole id, size and list out of the record that begins a blob.
pub(super) fn read_begun(body: &[u8]) -> Option<(BlobId, u32)> {
    let (id, rest) = body.split_first_chunk()?;
    Some((BlobId::from_bytes(*id), u32::from_be_bytes(*rest.first_chunk()?)))
}

fn begun_body(new: &NewBlob) -> Vec<u8> {
    let mut body = new.id.as_bytes().to_vec();
    body.extend(new.size.to_be_bytes());
    body.extend(new.count.to_be_bytes());
    body.extend(new.deletion);
    body.extend(&*new.list);
    body
}

impl<D: Disk> SegmentLog<D> {
    /// Forgets blobs whose life is over; their records stand until their segments go. What stays unfinished is deleted.
    pub(super) fn expire_blobs(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let mut due = Vec::new();
        for (key, blob) in &mut self.blobs.by_key {
            blob.since.get_or_insert(now);
            if blob.expires_at <= now || blob.is_late(now) {
                due.push((*key, blob.expires_at <= now));
            }
        }
        for (key, is_over) in due {
            if is_over {
                self.discount_blob(&key);
                self.blobs.remove(&key);
            } else {
                self.delete_blob(key)?;
            }
        }
        Ok(())
    }

    fn delete_blob(&mut self, key: Key) -> Result<(), StoreError> {
        let Some((serial, until)) = self.blobs.by_key.get(&key).map(|blob| (blob.serial, blob.expires_at)) else {
            return Ok(());
        };
        let gone = head(Kind::BlobGone, key, serial, until, &[]);
        let at = self.segments.write(&gone, &[], [0; 16])?;
        self.segments.count_closed(at.segment, until);
        self.discount_blob(&key);
        let was = self.blobs.remove(&key);
        self.undo.push(Undo::Blob(key, was.map(Box::new)));
        Ok(())
    }

    /// Until when a blob is to be kept.
    #[cfg(test)]
    pub(super) fn blob_until(&self, id: &BlobId) -> Option<Timestamp> {
        self.blobs.by_key.get(&key(id)).map(|blob| blob.expires_at)
    }

    fn discount_blob(&mut self, key: &Key) {
        let records = self.blobs.by_key.get(key).into_iter().flat_map(Blob::records);
        for (segment, length) in records {
            self.segments.discount(segment, length);
        }
    }

    fn prolong_blob(&mut self, key: Key, until: Timestamp) -> Result<(), StoreError> {
        let Some(blob) = self.blobs.by_key.get_mut(&key).filter(|blob| blob.expires_at < until) else {
            return Ok(());
        };
        let head = head(Kind::BlobProlonged, key, blob.serial, until, &[]);
        let at = self.segments.write(&head, &[], [0; 16])?;
        self.segments.count(at.segment, HEAD as u32);
        self.segments.discount(blob.note, HEAD as u32);
        let was = (blob.expires_at, blob.note);
        (blob.expires_at, blob.note) = (until, at.segment);
        self.undo.push(Undo::BlobProlonged { key, was });
        Ok(())
    }

    /// The body of a record of a blob, if it is whole.
    fn blob_record(&self, at: Stand, length: u32, kind: Kind, serial: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let body = self.segments.read(at, length, kind, serial)?;
        if body.is_none() {
            self.note_damage();
            tracing::error!("a blob's record is damaged; it is not served");
        }
        Ok(body)
    }

    /// The list of a blob that stands. One that is damaged is forgotten with its blob, so that it may begin again.
    fn list_of(&mut self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(blob) = self.blobs.by_key.get(key) else {
            return Ok(None);
        };
        let body = self.blob_record(blob.at, blob.length, Kind::Blob, blob.serial)?;
        if body.is_none() {
            self.discount_blob(key);
            let was = self.blobs.remove(key);
            self.undo.push(Undo::Blob(*key, was.map(Box::new)));
        }
        Ok(body.map(|mut body| body.split_off(FIXED.min(body.len()))))
    }

    fn write_begun(&mut self, key: Key, new: &NewBlob) -> Result<(), StoreError> {
        let body = begun_body(new);
        let head = head(Kind::Blob, key, self.segments.next_serial()?, new.expires_at, &body);
        let at = self.segments.write(&head, &body, [0; 16])?;
        self.segments.count(at.segment, head.record_len());
        let Some(mut blob) = Blob::read(&head, at, &body) else {
            return Ok(());
        };
        blob.since = Some(new.now);
        let was = self.blobs.insert(key, blob);
        self.undo.push(Undo::Blob(key, was.map(Box::new)));
        Ok(())
    }

    /// Writes a chunk that is not here.
    fn write_chunk(&mut self, key: Key, index: u16, chunk: &[u8]) -> Result<(), StoreError> {
        let Some(blob) = self.blobs.by_key.get_mut(&key) else {
            return Ok(());
        };
        let (serial, until) = (blob.serial, blob.expires_at);
        let Some(piece) = blob.pieces.get_mut(usize::from(index)) else {
            return Ok(());
        };
        let mut body = index.to_be_bytes().to_vec();
        body.extend(chunk);
        let head = head(Kind::Chunk, key, serial, until, &body);
        let at = self.segments.write(&head, &body, line_id(index))?;
        self.segments.count(at.segment, head.record_len());
        let length = head.length;
        *piece = Piece { at, length };
        self.undo.push(Undo::Chunk(key, index));
        Ok(())
    }
}

impl<D: Disk> BlobStore for SegmentLog<D> {
    fn begin_blob(&mut self, new: &NewBlob) -> Result<(), StoreError> {
        let key = key(&new.id);
        match self.list_of(&key)? {
            Some(_) => self.prolong_blob(key, new.expires_at),
            None => self.write_begun(key, new),
        }
    }

    fn blob(&self, id: &BlobId) -> Option<HeldBlob> {
        self.blobs.by_key.get(&key(id)).map(Blob::held)
    }

    fn blob_list(&mut self, id: &BlobId) -> Result<Option<Vec<u8>>, StoreError> {
        self.list_of(&key(id))
    }

    fn add_chunk(&mut self, id: &BlobId, index: u16, chunk: &[u8]) -> Result<(), StoreError> {
        if self.chunk(id, index)?.is_some() {
            return Ok(());
        }
        self.write_chunk(key(id), index, chunk)
    }

    fn chunk(&mut self, id: &BlobId, index: u16) -> Result<Option<Vec<u8>>, StoreError> {
        let key = key(id);
        let found = self
            .blobs
            .by_key
            .get(&key)
            .and_then(|blob| Some((blob.serial, blob.piece(index)?)));
        let Some((serial, piece)) = found else {
            return Ok(None);
        };
        let body = self.blob_record(piece.at, piece.length, Kind::Chunk, serial)?;
        let body = body.filter(|body| index_of(body) == index);
        if body.is_none() {
            self.segments.discount(piece.at.segment, piece.record_len());
            self.blobs.forget_piece(&key, index);
        }
        Ok(body.map(|mut body| body.split_off(INDEX)))
    }

    fn drop_blob(&mut self, id: &BlobId) -> Result<(), StoreError> {
        self.delete_blob(key(id))
    }
}
