//! The durable store: append-only segments, and an index in memory.
//!
//! In, out: as [`MailboxStore`]. A put is appended; one write and one fdatasync per segment make a whole batch
//! durable. Reading is one look into the index and one read of the file. What expired is forgotten, and its segment
//! removed as a whole; a segment that is mostly dead is copied on first. Why it is our own, and its files byte by
//! byte: `docs/decisions/2026-11-25-segment-log.md`.
//! Invariant: index, doors and blobs say what the segments say, up to what waits in `undo` for the next sync.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use stonechat_wire::ids::{DoorPath, EnvelopeId, Tag, Timestamp};

use super::disk::{Disk, Folder};
use super::{
    Appended, Budget, Door, EXPIRE_BATCH, Expired, Kept, MailboxSize, MailboxStore, NewEnvelope, StoreError, Total,
};

mod blobs;
mod compact;
mod doors;
mod index;
pub mod inspect;
mod load;
pub(crate) mod record;
mod segments;
mod walk;

use blobs::{Blob, Blobs, Key};
use compact::Compaction;
use doors::Standing;
use index::{Entry, Index, short};
use record::{HEAD, Head, Kind, sum};
use segments::{Segments, Stand};

/// Longest segment, in bytes.
const SEGMENT_MAX: u32 = 128 << 20;

/// The segment log in one folder.
#[derive(Debug)]
pub struct SegmentLog<D: Disk = Folder> {
    segments: Segments<D>,
    index: Index,
    /// Each in boxes, which are wiped when it goes: a place in the tree is not (RLY-48).
    doors: BTreeMap<Box<DoorPath>, Box<Standing>>,
    card_bytes: u64,
    blobs: Blobs,
    undo: Vec<Undo>,
    /// The highest serial that is durable.
    synced: u64,
    compaction: Compaction,
    /// Since when dead segments may be removed.
    sweep_at: Option<Timestamp>,
    damaged: AtomicU64,
}

/// What takes back a change that was not synced.
#[derive(Debug)]
enum Undo {
    Added(Tag, u64),
    Prolonged {
        tag: Tag,
        serial: u64,
        was: (Timestamp, u32),
    },
    Door(DoorPath, Option<Standing>),
    Blob(Key, Option<Box<Blob>>),
    Chunk(Key, u16),
    BlobProlonged {
        key: Key,
        was: (Timestamp, u32),
    },
}

impl SegmentLog {
    /// Opens the log in the folder at `path`, making both if there are none. `seed` is 8 random bytes.
    ///
    /// Errors: the disk's own. Damage is no error: what is whole is kept, the rest is never served.
    pub fn open(path: &Path, seed: [u8; 8]) -> Result<Self, StoreError> {
        Self::on(Folder::at(path)?, u64::from_be_bytes(seed))
    }
}

impl<D: Disk> SegmentLog<D> {
    /// Opens the log on any disk.
    pub fn on(disk: D, seed: u64) -> Result<Self, StoreError> {
        Self::with_segments(disk, seed, SEGMENT_MAX)
    }

    /// The same with segments of another length.
    pub fn with_segments(disk: D, seed: u64, segment_max: u32) -> Result<Self, StoreError> {
        let mut segments = Segments::new(disk, seed, segment_max);
        let loaded = load::load(&mut segments)?;
        let doors = doors::settle(loaded.words);
        let mut log = Self {
            card_bytes: doors.values().map(|door| door.card_len()).sum(),
            synced: segments.serial,
            segments,
            index: loaded.index,
            doors,
            blobs: loaded.blobs.settle(),
            undo: Vec::new(),
            compaction: Compaction::default(),
            sweep_at: None,
            damaged: AtomicU64::new(loaded.damaged),
        };
        log.recount();
        Ok(log)
    }

    /// Gives out no cursor up to this one any more, from now on and for good.
    pub fn skip_to(&mut self, cursor: u64) -> Result<(), StoreError> {
        if cursor > self.segments.serial {
            self.segments.serial = cursor;
            self.segments.write_mark()?;
        }
        Ok(())
    }

    /// Counts anew what each segment holds that means something.
    fn recount(&mut self) {
        self.segments.all.values_mut().for_each(|segment| segment.live = 0);
        for entry in self.index.all() {
            self.segments.count(entry.segment, record_len(entry));
            if entry.note != 0 {
                self.segments.count(entry.note, HEAD as u32);
            }
        }
        for door in self.doors.values() {
            self.segments.count(door.at.segment, door.record_len());
            if door.note != 0 {
                self.segments.count(door.note, USES_LEN);
            }
        }
        for (segment, length) in self.blobs.by_key.values().flat_map(Blob::records) {
            self.segments.count(segment, length);
        }
    }

    /// Counts something that is damaged.
    fn note_damage(&self) {
        self.damaged.fetch_add(1, Ordering::Relaxed);
    }

    fn add(&mut self, new: &NewEnvelope) -> Result<u64, StoreError> {
        let serial = self.segments.next_serial()?;
        let head = head(Kind::Envelope, *new.tag.as_bytes(), serial, new.expires_at, &new.bytes);
        let id = short(&new.id);
        let at = self.segments.write(&head, &new.bytes, id)?;
        self.segments.count(at.segment, head.record_len());
        let entry = Entry {
            serial,
            expires_at: new.expires_at,
            id,
            segment: at.segment,
            place: at.place,
            length: head.length,
            note: 0,
        };
        self.index.add(new.tag, entry);
        self.undo.push(Undo::Added(new.tag, serial));
        Ok(serial)
    }

    /// Writes down that an envelope lives longer.
    fn prolong(&mut self, tag: Tag, serial: u64, until: Timestamp) -> Result<(), StoreError> {
        let at = self.segments.write(
            &head(Kind::Prolonged, *tag.as_bytes(), serial, until, &[]),
            &[],
            [0; 16],
        )?;
        self.segments.count(at.segment, HEAD as u32);
        let Some(entry) = self.index.entry_mut(&tag, serial) else {
            return Ok(());
        };
        let was = (entry.expires_at, entry.note);
        (entry.expires_at, entry.note) = (until, at.segment);
        self.segments.discount(was.1, HEAD as u32);
        self.undo.push(Undo::Prolonged { tag, serial, was });
        Ok(())
    }

    /// Whether an envelope's record is whole. One that is not is forgotten, so that a put brings it back.
    fn is_whole(&self, entry: &Entry) -> Result<bool, StoreError> {
        Ok(self.body(entry)?.is_some())
    }

    fn body(&self, entry: &Entry) -> Result<Option<Vec<u8>>, StoreError> {
        let at = Stand {
            segment: entry.segment,
            place: entry.place,
        };
        let body = self.segments.read(at, entry.length, Kind::Envelope, entry.serial)?;
        if body.is_none() {
            self.note_damage();
            tracing::error!("an envelope's record is damaged; it is not served");
        }
        Ok(body)
    }

    fn forget(&mut self, entry: &Entry) {
        self.segments.discount(entry.segment, record_len(entry));
        if entry.note != 0 {
            self.segments.discount(entry.note, HEAD as u32);
        }
    }

    fn write_closed(&mut self, path: &DoorPath, until: Timestamp) -> Result<(), StoreError> {
        let serial = self.segments.next_serial()?;
        let head = head(Kind::DoorClosed, doors::key(path), serial, until, &[]);
        let at = self.segments.write(&head, &[], [0; 16])?;
        self.segments.count_closed(at.segment, until);
        Ok(())
    }

    fn put_door(&mut self, path: DoorPath, standing: Option<Standing>) {
        let was = match standing {
            Some(standing) => self.doors.insert(Box::new(path), Box::new(standing)),
            None => self.doors.remove(&path),
        };
        let was = was.map(|was| *was);
        if let Some(was) = was {
            self.segments.discount(was.at.segment, was.record_len());
            self.segments.discount(was.note, USES_LEN);
        }
        self.card_bytes = self.card_bytes.saturating_sub(was.map_or(0, |was| was.card_len()));
        self.card_bytes += standing.map_or(0, |standing| standing.card_len());
        self.undo.push(Undo::Door(path, was));
    }

    fn take_back(&mut self) {
        for undo in std::mem::take(&mut self.undo).into_iter().rev() {
            match undo {
                Undo::Added(tag, serial) => {
                    self.index.take_back(tag, serial);
                }
                Undo::Prolonged { tag, serial, was } => {
                    if let Some(entry) = self.index.entry_mut(&tag, serial) {
                        (entry.expires_at, entry.note) = was;
                    }
                }
                Undo::Door(path, Some(was)) => {
                    self.doors.insert(Box::new(path), Box::new(was));
                }
                Undo::Door(path, None) => {
                    self.doors.remove(&path);
                }
                Undo::Blob(key, was) => self.blobs.put_back(key, was.map(|was| *was)),
                Undo::Chunk(key, index) => self.blobs.forget_piece(&key, index),
                Undo::BlobProlonged { key, was } => {
                    if let Some(blob) = self.blobs.by_key.get_mut(&key) {
                        (blob.expires_at, blob.note) = was;
                    }
                }
            }
        }
        self.card_bytes = self.doors.values().map(|door| door.card_len()).sum();
        self.compaction = Compaction::default();
        self.segments.retire();
        self.recount();
    }

    /// Forgets doors whose time has come. Their records stand until their segment goes; they have expired, and say so.
    fn expire_doors(&mut self, now: Timestamp) {
        let due = self.doors.iter().filter(|(_, door)| door.expires_at <= now);
        let due: Vec<DoorPath> = due.map(|(path, _)| **path).collect();
        for path in due {
            self.put_door(path, None);
            self.undo.pop();
        }
    }

    /// Removes segments of which nothing is needed any more; what replaces their records is durable.
    fn remove_dead(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let dead = self.segments.all.iter();
        let dead = dead.filter(|(_, segment)| !segment.is_open && segment.needed(now) == 0);
        let dead: Vec<u32> = dead.map(|(number, _)| *number).collect();
        dead.into_iter().try_for_each(|number| self.segments.remove(number))?;
        self.segments.sync_names()
    }

    /// What can wait until everything is durable: nobody's answer depends on it.
    fn tidy_up(&mut self) {
        self.moved();
        if let Some(now) = self.sweep_at {
            self.segments.seal_past(now);
        }
        if let Some(now) = self.sweep_at.take()
            && let Err(error) = self.remove_dead(now)
        {
            tracing::warn!(%error, "dead segments could not be removed");
        }
    }
}

impl<D: Disk> MailboxStore for SegmentLog<D> {
    fn append(&mut self, new: &NewEnvelope) -> Result<Appended, StoreError> {
        let Some(entry) = self.index.find(&new.tag, &short(&new.id)).copied() else {
            return self.add(new).map(Appended::New);
        };
        if !self.is_whole(&entry)? {
            self.index.remove(new.tag, entry.serial);
            self.forget(&entry);
            return self.add(new).map(Appended::New);
        }
        if new.expires_at > entry.expires_at {
            self.prolong(new.tag, entry.serial, new.expires_at)?;
        }
        Ok(Appended::Known)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        if let Err(error) = self.segments.sync() {
            self.take_back();
            return Err(error);
        }
        // Freed, and so wiped: what was only cleared would stay there (RLY-48).
        self.undo = Vec::new();
        self.synced = self.segments.serial;
        self.tidy_up();
        Ok(())
    }

    fn abandon(&mut self) {
        self.take_back();
    }

    fn holds(&self, tag: &Tag, id: &EnvelopeId) -> Result<bool, StoreError> {
        match self.index.find(tag, &short(id)) {
            Some(entry) => self.is_whole(entry),
            None => Ok(false),
        }
    }

    fn mailbox(&self, tag: &Tag) -> MailboxSize {
        self.index.size(tag)
    }

    fn total(&self) -> Total {
        let (envelopes, bytes, mailboxes) = self.index.total();
        let (blobs, blob_bytes) = self.blobs.total();
        Total {
            envelopes,
            bytes: bytes.saturating_add(self.card_bytes),
            disk_bytes: self.segments.bytes,
            mailboxes,
            doors: self.doors.len(),
            blobs,
            blob_bytes,
        }
    }

    fn high_water(&self) -> u64 {
        self.segments.serial
    }

    fn start_at(&mut self, cursor: u64) {
        self.segments.serial = self.segments.serial.max(cursor);
    }

    fn read(&self, tag: &Tag, after: u64, budget: Budget) -> Result<Vec<Kept>, StoreError> {
        let (mut kept, mut bytes) = (Vec::new(), 0);
        let durable = self.index.after(tag, after).iter();
        for entry in durable.take_while(|entry| entry.serial <= self.synced) {
            bytes += entry.length as usize;
            if kept.len() >= budget.envelopes || (bytes > budget.bytes && !kept.is_empty()) {
                break;
            }
            kept.extend(self.body(entry)?.map(|body| Kept {
                cursor: entry.serial,
                bytes: body.into(),
            }));
        }
        Ok(kept)
    }

    fn expire(&mut self, now: Timestamp) -> Result<Expired, StoreError> {
        let due = self.index.due(now, EXPIRE_BATCH);
        due.iter().for_each(|entry| self.forget(entry));
        self.expire_doors(now);
        self.expire_blobs(now)?;
        self.sweep_at = Some(now);
        let has_more = self.compact(now)?;
        Ok(Expired {
            envelopes: due.len(),
            has_more: has_more || due.len() >= EXPIRE_BATCH,
        })
    }

    fn set_door(&mut self, path: DoorPath, door: &Door) -> Result<(), StoreError> {
        let old = self.doors.get(&path).map(|old| old.expires_at);
        if let Some(until) = old.filter(|until| *until > door.expires_at) {
            // The old record outlives the new one, and must not be believed again then.
            self.write_closed(&path, until)?;
        }
        let body = doors::body(door);
        let serial = self.segments.next_serial()?;
        let head = head(Kind::Door, doors::key(&path), serial, door.expires_at, &body);
        let at = self.segments.write(&head, &body, [0; 16])?;
        self.segments.count(at.segment, head.record_len());
        self.put_door(path, Standing::read(&head, at, &body));
        Ok(())
    }

    fn door_paths(&self) -> HashSet<DoorPath> {
        self.doors.keys().map(|path| **path).collect()
    }

    fn door(&self, path: &DoorPath) -> Result<Option<Door>, StoreError> {
        let Some(door) = self.doors.get(path) else {
            return Ok(None);
        };
        let body = self.segments.read(door.at, door.length, Kind::Door, door.serial)?;
        Ok(body.map(|body| Door {
            proof_hash: door.proof_hash,
            key_hash: door.key_hash,
            expires_at: door.expires_at,
            uses: door.uses,
            card: doors::card(&body).into(),
        }))
    }

    fn count_use(&mut self, path: &DoorPath) -> Result<(), StoreError> {
        let Some(mut door) = self.doors.get(path).map(|door| **door) else {
            return Ok(());
        };
        door.uses = door.uses.saturating_add(1);
        let body = door.uses.to_be_bytes();
        let serial = self.segments.next_serial()?;
        let head = head(Kind::DoorUsed, doors::key(path), serial, door.expires_at, &body);
        let at = self.segments.write(&head, &body, [0; 16])?;
        (door.note, door.note_serial) = (at.segment, serial);
        self.segments.count(at.segment, USES_LEN);
        self.segments.count(door.at.segment, door.record_len());
        self.put_door(*path, Some(door));
        Ok(())
    }

    fn close_door(&mut self, path: &DoorPath) -> Result<(), StoreError> {
        if let Some(door) = self.doors.get(path).map(|door| **door) {
            self.write_closed(path, door.expires_at)?;
            self.put_door(*path, None);
        }
        Ok(())
    }

    fn damaged(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }

    fn close(mut self) -> Result<(), StoreError> {
        self.sync()?;
        self.segments.seal_all();
        self.segments.sync_names()
    }
}

/// Length of the record that counts a door's uses.
const USES_LEN: u32 = HEAD as u32 + 4;

fn head(kind: Kind, key: [u8; 16], serial: u64, expires_at: Timestamp, body: &[u8]) -> Head {
    Head {
        kind,
        key,
        serial,
        expires_at,
        length: u32::try_from(body.len()).unwrap_or(u32::MAX),
        body_sum: sum(body),
    }
}

fn record_len(entry: &Entry) -> u32 {
    entry.length.saturating_add(HEAD as u32)
}

#[cfg(test)]
pub(crate) mod tests;
