//! What the service does about blobs.
//!
//! In: what clients ask. Out: into the batch, what is to be answered once it is synced. A chunk is checked against its
//! blob's list before it is kept; reading is left to the answer, so nothing is read before it is synced.
//! Specified in `docs/protocol/16-blobs.md` (BLB).

use stonechat_wire::blob::{ChunkList, DeletionToken, RANGE_CHUNKS_MAX};
use stonechat_wire::frame::blobs::{BlobAsk, BlobTell, Range};
use stonechat_wire::frame::{FromRelay, Refusal};
use stonechat_wire::ids::{BlobId, Timestamp};

use super::batch::Answer;
use super::{ConnectionId, Service, Wait, rounded_expiry};
use crate::limits::{BLOB_OVERHEAD_BYTES, BUSY_RETRY_MS, NEW_MAILBOX_PERCENT_MAX, PUT_PERCENT_MAX, TTL_S_MAX};
use crate::store::blobs::NewBlob;
use crate::store::{MailboxStore, StoreError};

/// Something to say about a blob once the batch is synced.
#[derive(Debug)]
pub(super) struct BlobAnswer {
    to: ConnectionId,
    request: u32,
    id: BlobId,
    what: What,
}

#[derive(Debug)]
enum What {
    Has,
    List,
    Range { first: u16, count: u16 },
    Gone,
    Refused(Refusal),
}

/// Why something about a blob is not done at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NotDone {
    Refused(Refusal),
    Busy(u32),
}

impl From<Refusal> for NotDone {
    fn from(why: Refusal) -> Self {
        Self::Refused(why)
    }
}

impl From<Wait> for NotDone {
    fn from(wait: Wait) -> Self {
        match wait {
            Wait::Busy(ms) => Self::Busy(ms),
            Wait::Quota => Self::Refused(Refusal::Quota),
        }
    }
}

impl<S: MailboxStore> Service<S> {
    pub(super) fn blob(&mut self, from: ConnectionId, ask: BlobAsk, now: Timestamp) {
        let (request, id, done) = match ask {
            BlobAsk::Begin {
                request,
                ttl_s,
                deletion,
                list,
            } => {
                let new = new_blob(&list, (ttl_s, deletion), now);
                (request, new.id, self.begin_blob(from, &new, now).map(|()| What::Has))
            }
            BlobAsk::Put { request, id, range } => (request, id, self.put_range(&id, &range, now).map(|()| What::Has)),
            BlobAsk::List { request, id } => (request, id, Ok(What::List)),
            BlobAsk::Get {
                request,
                id,
                first,
                count,
            } => (request, id, Ok(What::Range { first, count })),
            BlobAsk::Drop { request, id, token } => {
                let done = self.drop_blob(&id, &token);
                (request, id, done.map(|()| What::Gone).map_err(NotDone::from))
            }
        };
        let to = from;
        let what = match done {
            Ok(what) => what,
            Err(NotDone::Refused(why)) => What::Refused(why),
            Err(NotDone::Busy(retry_after_ms)) => return self.send(to, FromRelay::Busy { retry_after_ms }),
        };
        self.batch
            .answers
            .push(Answer::Blob(BlobAnswer { to, request, id, what }));
    }

    /// Begins a blob that is not here, at its size's cost; of one that is here the life may grow (BLB-2, BLB-8).
    fn begin_blob(&mut self, from: ConnectionId, new: &NewBlob, now: Timestamp) -> Result<(), NotDone> {
        let list_bytes = BLOB_OVERHEAD_BYTES.saturating_add(new.list.len() as u64);
        self.hold_batch(list_bytes)?;
        let is_known = self.store.blob(&new.id).is_some();
        if !is_known {
            self.room_for_blob(new.size, now)?;
        } else if !self.may_write(list_bytes, PUT_PERCENT_MAX, now) {
            // It has it. How long it keeps it stays as it is.
            return Ok(());
        }
        let size = if is_known { 0 } else { u64::from(new.size) };
        self.may_put(from, list_bytes.saturating_add(size), now)?;
        self.changed(|store| store.begin_blob(new))?;
        Ok(())
    }

    /// Whether one more blob of this size fits this relay (BLB-8).
    fn room_for_blob(&self, size: u32, now: Timestamp) -> Result<(), Refusal> {
        let (size, total) = (u64::from(size), self.store.total());
        if total.blobs >= self.limits.blobs {
            return Err(Refusal::Limit);
        }
        let fits = total.blob_bytes.saturating_add(size) <= self.limits.blob_bytes;
        if fits && self.may_write(size, NEW_MAILBOX_PERCENT_MAX, now) {
            Ok(())
        } else {
            Err(Refusal::NoRoom)
        }
    }

    /// Whether the store is not left alone, and bytes keep the disk below a share.
    fn may_write(&self, bytes: u64, percent: u64, now: Timestamp) -> bool {
        !self.is_paused(now) && self.is_below(percent, bytes)
    }

    /// Counts bytes that are to wait for a sync (RLY-33).
    fn hold_batch(&mut self, bytes: u64) -> Result<(), NotDone> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let waiting = self.batch.bytes.saturating_add(bytes);
        if self.batch.bytes > 0 && waiting > self.limits.batch_bytes {
            return Err(NotDone::Busy(BUSY_RETRY_MS));
        }
        self.batch.bytes = waiting;
        Ok(())
    }

    fn put_range(&mut self, id: &BlobId, range: &Range, now: Timestamp) -> Result<(), NotDone> {
        self.hold_batch(range.bytes.len() as u64)?;
        let list = self.changed(|store| store.blob_list(id))?.ok_or(Refusal::NotHere)?;
        let list = ChunkList::decode(&list).map_err(|_| Refusal::NotHere)?;
        let chunks = list.chunks(range.first, &range.bytes).ok_or(Refusal::Wrong)?;
        for (index, chunk) in chunks {
            if self.changed(|store| store.chunk(id, index))?.is_some() {
                continue;
            }
            if !self.may_write(chunk.len() as u64, PUT_PERCENT_MAX, now) {
                return Err(Refusal::NoRoom.into());
            }
            self.changed(|store| store.add_chunk(id, index, chunk))?;
        }
        Ok(())
    }

    fn drop_blob(&mut self, id: &BlobId, token: &DeletionToken) -> Result<(), Refusal> {
        match self.store.blob(id) {
            None => Ok(()),
            Some(blob) if token.opens(&blob.deletion) => self.changed(|store| store.drop_blob(id)),
            Some(_) => Err(Refusal::Wrong),
        }
    }

    /// Says what became of it. Without a sync nothing was done (BLB-7).
    pub(super) fn answer_about_blob(&mut self, answer: &BlobAnswer, synced: bool) {
        let BlobAnswer { to, request, id, what } = answer;
        let (to, request) = (*to, *request);
        let told = match what {
            What::Refused(why) => Ok(Err(*why)),
            What::Has | What::Gone if !synced => Ok(Err(Refusal::NoRoom)),
            What::Has => Ok(self.has(request, id)),
            What::Gone => Ok(Ok(BlobTell::Gone { request })),
            What::List | What::Range { .. } if self.readers.has_many_answers(to) => {
                let retry_after_ms = BUSY_RETRY_MS;
                return self.send(to, FromRelay::Busy { retry_after_ms });
            }
            What::List => self.list(request, id),
            What::Range { first, count } => self.range(request, id, *first, *count),
        };
        match told {
            Ok(Ok(tell)) => self.send(to, FromRelay::Blob(tell)),
            Ok(Err(why)) => {
                self.tally.refused += 1;
                self.send(to, FromRelay::Refused { request, why });
            }
            Err(error) => {
                tracing::error!(%error, "a blob could not be read");
                self.close(to, super::Closed::Store);
            }
        }
    }

    fn has(&self, request: u32, id: &BlobId) -> Result<BlobTell, Refusal> {
        let blob = self.store.blob(id).ok_or(Refusal::NotHere)?;
        Ok(BlobTell::Has { request, set: blob.set })
    }

    fn list(&mut self, request: u32, id: &BlobId) -> Result<Result<BlobTell, Refusal>, StoreError> {
        let list = self.store.blob_list(id)?.and_then(|list| ChunkList::decode(&list).ok());
        let held = self.store.blob(id);
        let told = list.zip(held).map(|(list, held)| BlobTell::List {
            request,
            list,
            set: held.set,
        });
        Ok(told.ok_or(Refusal::NotHere))
    }

    /// As many chunks from the first on as are asked for, fit an answer, and are here (BLB-5).
    fn range(
        &mut self,
        request: u32,
        id: &BlobId,
        first: u16,
        count: u16,
    ) -> Result<Result<BlobTell, Refusal>, StoreError> {
        let most = usize::from(count).min(RANGE_CHUNKS_MAX);
        let mut bytes = Vec::new();
        for index in (first..=u16::MAX).take(most) {
            match self.store.chunk(id, index)? {
                Some(chunk) => bytes.extend(chunk),
                None => break,
            }
        }
        if bytes.is_empty() {
            return Ok(Err(Refusal::NotHere));
        }
        let range = Range { first, bytes };
        Ok(Ok(BlobTell::Range { request, range }))
    }
}

fn new_blob(list: &ChunkList, (ttl_s, deletion): (u32, [u8; 32]), now: Timestamp) -> NewBlob {
    let mut bytes = Vec::new();
    list.write(&mut bytes);
    NewBlob {
        id: list.id(),
        size: list.size(),
        count: list.count(),
        list: bytes.into(),
        deletion,
        expires_at: rounded_expiry(now, u64::from(ttl_s).clamp(1, TTL_S_MAX)),
        now,
    }
}
