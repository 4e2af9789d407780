//! A store in memory, for tests and worlds: it keeps what was synced apart from what was not.
//!
//! In, out: as [`MailboxStore`]. [`MemoryStore::crash`] drops what was unsynced, as a power loss would;
//! [`MemoryStore::fail_next_sync`] makes a disk run full. Everything in it is ordered, so worlds replay.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use stonechat_wire::blob::ChunkSet;
use stonechat_wire::ids::{BlobId, DoorPath, EnvelopeId, Tag, Timestamp};

use super::blobs::{BlobStore, HeldBlob, NewBlob, UNFINISHED_MS};
use super::{
    Appended, Budget, Door, EXPIRE_BATCH, Expired, Kept, Ledger, MailboxSize, MailboxStore, NewEnvelope, StoreError,
    Total,
};

/// Mailboxes in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    synced: State,
    live: State,
    unsynced: Vec<Change>,
    next_sync: Option<StoreError>,
    /// Since when a blob is known, as far as this process knows.
    blobs_since: BTreeMap<BlobId, Timestamp>,
}

impl MemoryStore {
    /// Loses what was not synced, as a crash does.
    pub fn crash(&mut self) {
        self.take_back();
        self.blobs_since.clear();
    }

    fn take_back(&mut self) {
        self.live = self.synced.clone();
        self.unsynced.clear();
    }

    /// Lets the next [`MailboxStore::sync`] fail with `error`.
    pub fn fail_next_sync(&mut self, error: StoreError) {
        self.next_sync = Some(error);
    }

    fn change(&mut self, change: Change) {
        self.live.apply(&change);
        self.unsynced.push(change);
    }
}

impl MailboxStore for MemoryStore {
    fn append(&mut self, new: &NewEnvelope) -> Result<Appended, StoreError> {
        if let Some(cursor) = self.live.by_id.get(&(new.tag, new.id)).copied() {
            self.change(Change::Prolong(new.tag, cursor, new.expires_at));
            return Ok(Appended::Known);
        }
        let cursor = self.live.high_water + 1;
        self.change(Change::Add(cursor, new.clone()));
        Ok(Appended::New(cursor))
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        if let Some(error) = self.next_sync.take() {
            self.take_back();
            return Err(error);
        }
        for change in self.unsynced.drain(..) {
            self.synced.apply(&change);
        }
        Ok(())
    }

    fn abandon(&mut self) {
        self.take_back();
    }

    fn holds(&self, tag: &Tag, id: &EnvelopeId) -> Result<bool, StoreError> {
        Ok(self.live.by_id.contains_key(&(*tag, *id)))
    }

    fn mailbox(&self, tag: &Tag) -> MailboxSize {
        self.live.ledger.mailbox(tag)
    }

    fn total(&self) -> Total {
        let total = self.live.ledger.total(self.live.doors.len(), self.live.card_bytes);
        let chunks = self.live.blobs.values().flat_map(|blob| blob.chunks.iter().flatten());
        Total {
            disk_bytes: total.disk_bytes + chunks.map(|chunk| chunk.len() as u64).sum::<u64>(),
            blobs: self.live.blobs.len(),
            blob_bytes: self.live.blobs.values().map(|blob| u64::from(blob.new.size)).sum(),
            ..total
        }
    }

    fn high_water(&self) -> u64 {
        self.live.high_water
    }

    fn start_at(&mut self, cursor: u64) {
        self.live.high_water = self.live.high_water.max(cursor);
    }

    fn read(&self, tag: &Tag, after: u64, budget: Budget) -> Result<Vec<Kept>, StoreError> {
        let mut kept = Vec::new();
        let mut bytes = 0;
        let from = (*tag, after.saturating_add(1));
        for ((_, cursor), new) in self
            .synced
            .envelopes
            .range(from..=(*tag, u64::MAX))
            .take(budget.envelopes)
        {
            bytes += new.bytes.len();
            if bytes > budget.bytes && !kept.is_empty() {
                break;
            }
            kept.push(Kept {
                cursor: *cursor,
                bytes: new.bytes.clone(),
            });
        }
        Ok(kept)
    }

    fn expire(&mut self, now: Timestamp) -> Result<Expired, StoreError> {
        let dead: Vec<_> = self
            .live
            .by_expiry
            .iter()
            .take_while(|dead| dead.0 <= now)
            .take(EXPIRE_BATCH)
            .collect();
        let dead: Vec<_> = dead.into_iter().map(|(_, tag, cursor)| (*tag, *cursor)).collect();
        let doors = self.live.doors.iter().filter(|(_, door)| door.expires_at <= now);
        let doors: Vec<_> = doors.map(|(path, _)| *path).collect();
        doors.into_iter().for_each(|path| self.change(Change::CloseDoor(path)));
        self.expire_blobs(now);
        let count = dead.len();
        dead.into_iter()
            .for_each(|(tag, cursor)| self.change(Change::Drop(tag, cursor)));
        Ok(Expired {
            envelopes: count,
            has_more: count >= EXPIRE_BATCH,
        })
    }

    fn set_door(&mut self, path: DoorPath, door: &Door) -> Result<(), StoreError> {
        self.change(Change::SetDoor(path, door.clone()));
        Ok(())
    }

    fn door_paths(&self) -> HashSet<DoorPath> {
        self.live.doors.keys().copied().collect()
    }

    fn door(&self, path: &DoorPath) -> Result<Option<Door>, StoreError> {
        Ok(self.live.doors.get(path).cloned())
    }

    fn count_use(&mut self, path: &DoorPath) -> Result<(), StoreError> {
        self.change(Change::CountUse(*path));
        Ok(())
    }

    fn close_door(&mut self, path: &DoorPath) -> Result<(), StoreError> {
        self.change(Change::CloseDoor(*path));
        Ok(())
    }

    fn damaged(&self) -> u64 {
        0
    }

    fn close(mut self) -> Result<(), StoreError> {
        self.sync()
    }
}

impl MemoryStore {
    fn expire_blobs(&mut self, now: Timestamp) {
        let (blobs, since) = (&self.live.blobs, &mut self.blobs_since);
        since.retain(|id, _| blobs.contains_key(id));
        let is_due = |(id, blob): (&BlobId, &Blob)| {
            let since = *since.entry(*id).or_insert(now);
            let is_late = now.since_ms(since) >= UNFINISHED_MS && blob.chunks.iter().any(Option::is_none);
            (blob.new.expires_at <= now || is_late).then_some(*id)
        };
        let due: Vec<BlobId> = blobs.iter().filter_map(is_due).collect();
        due.into_iter().for_each(|id| self.change(Change::DropBlob(id)));
    }
}

impl BlobStore for MemoryStore {
    fn begin_blob(&mut self, new: &NewBlob) -> Result<(), StoreError> {
        if !self.live.blobs.contains_key(&new.id) {
            self.blobs_since.insert(new.id, new.now);
        }
        self.change(Change::BeginBlob(new.clone()));
        Ok(())
    }

    fn blob(&self, id: &BlobId) -> Option<HeldBlob> {
        let blob = self.live.blobs.get(id)?;
        let is_here = |index| blob.chunks.get(usize::from(index)).is_some_and(Option::is_some);
        Some(HeldBlob {
            deletion: blob.new.deletion,
            set: ChunkSet::of(blob.new.count, is_here),
        })
    }

    fn blob_list(&mut self, id: &BlobId) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.live.blobs.get(id).map(|blob| blob.new.list.to_vec()))
    }

    fn add_chunk(&mut self, id: &BlobId, index: u16, chunk: &[u8]) -> Result<(), StoreError> {
        self.change(Change::AddChunk(*id, index, chunk.into()));
        Ok(())
    }

    fn chunk(&mut self, id: &BlobId, index: u16) -> Result<Option<Vec<u8>>, StoreError> {
        let chunk = self
            .live
            .blobs
            .get(id)
            .and_then(|blob| blob.chunks.get(usize::from(index)));
        Ok(chunk.and_then(Option::as_ref).map(|chunk| chunk.to_vec()))
    }

    fn drop_blob(&mut self, id: &BlobId) -> Result<(), StoreError> {
        self.change(Change::DropBlob(*id));
        Ok(())
    }
}

/// A blob, and the chunks that are here.
#[derive(Clone, Debug)]
struct Blob {
    new: NewBlob,
    chunks: Vec<Option<Arc<[u8]>>>,
}

#[derive(Debug)]
enum Change {
    Add(u64, NewEnvelope),
    Prolong(Tag, u64, Timestamp),
    Drop(Tag, u64),
    SetDoor(DoorPath, Door),
    CountUse(DoorPath),
    CloseDoor(DoorPath),
    BeginBlob(NewBlob),
    AddChunk(BlobId, u16, Arc<[u8]>),
    DropBlob(BlobId),
}

#[derive(Clone, Debug, Default)]
struct State {
    high_water: u64,
    envelopes: BTreeMap<(Tag, u64), NewEnvelope>,
    by_id: BTreeMap<(Tag, EnvelopeId), u64>,
    by_expiry: BTreeSet<(Timestamp, Tag, u64)>,
    doors: BTreeMap<DoorPath, Door>,
    card_bytes: u64,
    blobs: BTreeMap<BlobId, Blob>,
    ledger: Ledger,
}

impl State {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Add(cursor, new) => self.add(*cursor, new),
            Change::Prolong(tag, cursor, until) => self.prolong(*tag, *cursor, *until),
            Change::Drop(tag, cursor) => self.drop_envelope(*tag, *cursor),
            Change::SetDoor(path, door) => self.set_door(*path, door),
            Change::CountUse(path) => self.count_use(path),
            Change::CloseDoor(path) => self.close_door(path),
            Change::BeginBlob(new) => self.begin_blob(new),
            Change::AddChunk(id, index, chunk) => self.add_chunk(id, *index, chunk),
            Change::DropBlob(id) => drop(self.blobs.remove(id)),
        }
    }

    fn begin_blob(&mut self, new: &NewBlob) {
        let fresh = || Blob {
            new: new.clone(),
            chunks: vec![None; usize::from(new.count)],
        };
        let blob = self.blobs.entry(new.id).or_insert_with(fresh);
        blob.new.expires_at = blob.new.expires_at.max(new.expires_at);
    }

    fn add_chunk(&mut self, id: &BlobId, index: u16, chunk: &Arc<[u8]>) {
        let blob = self.blobs.get_mut(id);
        if let Some(place) = blob.and_then(|blob| blob.chunks.get_mut(usize::from(index))) {
            place.get_or_insert_with(|| Arc::clone(chunk));
        }
    }

    fn add(&mut self, cursor: u64, new: &NewEnvelope) {
        self.high_water = self.high_water.max(cursor);
        self.by_id.insert((new.tag, new.id), cursor);
        self.by_expiry.insert((new.expires_at, new.tag, cursor));
        self.ledger.add(new.tag, cursor, new.bytes.len() as u64);
        self.envelopes.insert((new.tag, cursor), new.clone());
    }

    fn prolong(&mut self, tag: Tag, cursor: u64, until: Timestamp) {
        let Some(kept) = self.envelopes.get_mut(&(tag, cursor)) else {
            return;
        };
        if until > kept.expires_at {
            self.by_expiry.remove(&(kept.expires_at, tag, cursor));
            self.by_expiry.insert((until, tag, cursor));
            kept.expires_at = until;
        }
    }

    fn drop_envelope(&mut self, tag: Tag, cursor: u64) {
        let Some(kept) = self.envelopes.remove(&(tag, cursor)) else {
            return;
        };
        self.by_id.remove(&(tag, kept.id));
        self.by_expiry.remove(&(kept.expires_at, tag, cursor));
        self.ledger.remove(&tag, kept.bytes.len() as u64);
    }

    fn set_door(&mut self, path: DoorPath, door: &Door) {
        self.close_door(&path);
        self.card_bytes += door.card.len() as u64;
        self.doors.insert(path, door.clone());
    }

    fn count_use(&mut self, path: &DoorPath) {
        if let Some(door) = self.doors.get_mut(path) {
            door.uses = door.uses.saturating_add(1);
        }
    }

    fn close_door(&mut self, path: &DoorPath) {
        if let Some(door) = self.doors.remove(path) {
            self.card_bytes = self.card_bytes.saturating_sub(door.card.len() as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::blobs::conformance as blobs;
    use super::super::conformance::{self, contents, envelope};
    use super::*;

    #[test]
    fn a_crash_drops_what_was_not_synced_rly_22() {
        let mut store = MemoryStore::default();
        store.append(&envelope(1, 1, 100)).unwrap();
        store.sync().unwrap();
        store.append(&envelope(1, 2, 100)).unwrap();
        store.crash();
        assert_eq!(contents(&store, 1), [1]);
    }

    #[test]
    fn a_failed_sync_keeps_nothing_of_its_batch_rly_22() {
        let mut store = MemoryStore::default();
        store.append(&envelope(1, 1, 100)).unwrap();
        store.fail_next_sync(StoreError::DiskFull);
        assert_eq!(store.sync(), Err(StoreError::DiskFull));
        assert_eq!(store.total(), Total::default());
    }

    #[test]
    fn it_behaves_as_a_store_rly_23() {
        conformance::duplicates_stay_one_copy_with_the_longer_life(MemoryStore::default());
        conformance::reads_respect_cursor_and_budget(MemoryStore::default());
        conformance::abandoning_drops_only_what_was_not_synced(MemoryStore::default());
        conformance::expiry_drops_envelopes_and_doors_but_no_cursor(MemoryStore::default());
        conformance::a_sequence_starts_where_it_is_told_to_and_never_goes_back(MemoryStore::default());
        conformance::doors_are_replaced_counted_and_closed(MemoryStore::default());
    }

    #[test]
    fn it_keeps_blobs_as_a_store_does_blb_7() {
        blobs::a_blob_is_begun_filled_and_given(MemoryStore::default());
        blobs::a_dropped_blob_is_gone_and_may_begin_again(MemoryStore::default());
        blobs::abandoning_takes_blobs_back(MemoryStore::default());
        blobs::blobs_go_when_their_life_is_over_or_they_stay_unfinished(MemoryStore::default());
    }
}
