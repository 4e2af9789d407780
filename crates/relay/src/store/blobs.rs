//! Where blobs are kept: the second half of what a store does.
//!
//! In: lists, chunks. Out: the same. As with envelopes, what is added is durable after the store's next sync, and what
//! was not synced is gone after a crash or an abandoned batch. What a list says and whether a chunk fits it is the
//! service's job; here both are bytes. Specified in `docs/protocol/16-blobs.md` (BLB).

use std::sync::Arc;

use stonechat_wire::blob::ChunkSet;
use stonechat_wire::ids::{BlobId, Timestamp};

use super::StoreError;

/// How long a blob may miss chunks after it was begun, or after the relay was started, in ms (BLB-9).
pub const UNFINISHED_MS: u64 = 24 * 3_600_000;

/// A store of blobs.
pub trait BlobStore {
    /// Begins a blob. One that is here already stays as it is, but its life may grow.
    ///
    /// Errors, here and below: the store's own; then the caller abandons the batch.
    fn begin_blob(&mut self, new: &NewBlob) -> Result<(), StoreError>;

    /// What is known of a blob, unsynced chunks included.
    fn blob(&self, id: &BlobId) -> Option<HeldBlob>;

    /// A blob's list, as it was begun with. None: there is no such blob, or its list is damaged; then it is forgotten.
    fn blob_list(&mut self, id: &BlobId) -> Result<Option<Vec<u8>>, StoreError>;

    /// Keeps a chunk of a blob that was begun. One that is here, whole, stays.
    fn add_chunk(&mut self, id: &BlobId, index: u16, chunk: &[u8]) -> Result<(), StoreError>;

    /// A chunk. None: it is not here, or damaged; then it is forgotten, and may be added again.
    fn chunk(&mut self, id: &BlobId, index: u16) -> Result<Option<Vec<u8>>, StoreError>;

    /// Deletes a blob; no error if there is none.
    fn drop_blob(&mut self, id: &BlobId) -> Result<(), StoreError>;
}

/// A blob to begin.
#[derive(Clone, Debug)]
pub struct NewBlob {
    /// Its id.
    pub id: BlobId,
    /// Its bytes, as its list says.
    pub size: u32,
    /// Its chunks, as its list says.
    pub count: u16,
    /// The list.
    pub list: Arc<[u8]>,
    /// Hash of the token that deletes it.
    pub deletion: [u8; 32],
    /// When it may be dropped.
    pub expires_at: Timestamp,
    /// The time.
    pub now: Timestamp,
}

/// What is known of a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldBlob {
    /// Hash of the token that deletes it.
    pub deletion: [u8; 32],
    /// Which chunks are here.
    pub set: ChunkSet,
}

/// One behaviour, asked of both stores by their tests.
#[cfg(test)]
pub(crate) mod conformance {
    use super::*;
    use crate::store::MailboxStore;

    /// A blob of `count` chunks; to a store their length means nothing.
    pub(crate) fn blob(n: u8, count: u16, expires_s: u64) -> NewBlob {
        NewBlob {
            id: id(n),
            size: u32::from(count) * 200,
            count,
            list: vec![n; 40 + usize::from(count)].into(),
            deletion: [n; 32],
            expires_at: Timestamp::from_seconds(expires_s),
            now: Timestamp::from_seconds(1),
        }
    }

    pub(crate) fn id(n: u8) -> BlobId {
        BlobId::from_bytes([n; 32])
    }

    pub(crate) fn chunk(n: u8, index: u16) -> Vec<u8> {
        vec![n ^ (index as u8) ^ 0x5a; 200 - usize::from(index)]
    }

    /// The chunks of a blob that are here; each is what was added.
    pub(crate) fn chunks(store: &mut impl MailboxStore, n: u8) -> Vec<u16> {
        let count = store.blob(&id(n)).map_or(0, |blob| blob.set.missing().count() as u16);
        let mut found = Vec::new();
        for index in 0..count.max(20) {
            if let Some(bytes) = store.chunk(&id(n), index).unwrap() {
                assert_eq!(bytes, chunk(n, index));
                found.push(index);
            }
        }
        found
    }

    fn here(store: &impl MailboxStore) -> [bool; 3] {
        [1, 2, 3].map(|n| store.blob(&id(n)).is_some())
    }

    pub(crate) fn a_blob_is_begun_filled_and_given(mut store: impl MailboxStore) {
        assert_eq!(store.blob(&id(1)), None);
        store.begin_blob(&blob(1, 3, 100)).unwrap();
        store.add_chunk(&id(1), 2, &chunk(1, 2)).unwrap();
        store.add_chunk(&id(1), 0, &chunk(1, 0)).unwrap();
        store.sync().unwrap();
        let held = store.blob(&id(1)).unwrap();
        assert_eq!(
            (held.deletion, held.set.missing().collect::<Vec<_>>()),
            ([1; 32], vec![1])
        );
        assert_eq!(
            store.blob_list(&id(1)).unwrap().as_deref(),
            Some(&*blob(1, 3, 100).list)
        );
        assert_eq!(chunks(&mut store, 1), [0, 2]);
        store.add_chunk(&id(1), 0, &chunk(1, 0)).unwrap();
        store.add_chunk(&id(1), 9, &chunk(1, 9)).unwrap();
        store.add_chunk(&id(7), 0, &chunk(7, 0)).unwrap();
        store
            .begin_blob(&NewBlob {
                deletion: [9; 32],
                ..blob(1, 3, 100)
            })
            .unwrap();
        store.sync().unwrap();
        assert_eq!(
            (chunks(&mut store, 1), store.blob(&id(1)).unwrap().deletion),
            (vec![0, 2], [1; 32])
        );
        assert_eq!((store.blob(&id(7)), store.blob_list(&id(7)).unwrap()), (None, None));
        let total = store.total();
        assert_eq!((total.blobs, total.blob_bytes), (1, 600));
    }

    pub(crate) fn a_dropped_blob_is_gone_and_may_begin_again(mut store: impl MailboxStore) {
        store.begin_blob(&blob(1, 2, 100)).unwrap();
        store.add_chunk(&id(1), 0, &chunk(1, 0)).unwrap();
        store.sync().unwrap();
        store.drop_blob(&id(1)).unwrap();
        store.drop_blob(&id(2)).unwrap();
        assert_eq!((store.blob(&id(1)), store.chunk(&id(1), 0).unwrap()), (None, None));
        store.begin_blob(&blob(1, 2, 50)).unwrap();
        store.sync().unwrap();
        assert!(chunks(&mut store, 1).is_empty(), "nothing of the first");
        assert_eq!((store.total().blobs, store.total().blob_bytes), (1, 400));
    }

    pub(crate) fn abandoning_takes_blobs_back(mut store: impl MailboxStore) {
        store.begin_blob(&blob(1, 2, 100)).unwrap();
        store.begin_blob(&blob(2, 2, 100)).unwrap();
        store.add_chunk(&id(1), 0, &chunk(1, 0)).unwrap();
        store.sync().unwrap();
        store.add_chunk(&id(1), 1, &chunk(1, 1)).unwrap();
        store.begin_blob(&blob(1, 2, 900)).unwrap();
        store.begin_blob(&blob(3, 2, 100)).unwrap();
        store.drop_blob(&id(2)).unwrap();
        store.abandon();
        assert_eq!(chunks(&mut store, 1), [0]);
        assert!(store.blob(&id(2)).is_some() && store.blob(&id(3)).is_none());
        assert_eq!((store.total().blobs, store.total().blob_bytes), (2, 800));
        store.expire(Timestamp::from_seconds(200)).unwrap();
        assert_eq!(store.blob(&id(1)), None, "its longer life too");
    }

    pub(crate) fn blobs_go_when_their_life_is_over_or_they_stay_unfinished(mut store: impl MailboxStore) {
        let day_s = UNFINISHED_MS / 1000;
        store.begin_blob(&blob(1, 1, 90)).unwrap();
        store.begin_blob(&blob(1, 1, 10 * day_s)).unwrap();
        store.begin_blob(&blob(2, 1, 90)).unwrap();
        store.begin_blob(&blob(3, 1, 10 * day_s)).unwrap();
        for n in [1, 2] {
            store.add_chunk(&id(n), 0, &chunk(n, 0)).unwrap();
        }
        store.sync().unwrap();
        store.expire(Timestamp::from_seconds(100)).unwrap();
        assert_eq!(here(&store), [true, false, true]);
        store.expire(Timestamp::from_seconds(day_s + 1)).unwrap();
        assert_eq!(here(&store), [true, false, false]);
        store.sync().unwrap();
        assert_eq!(chunks(&mut store, 1), [0]);
        assert_eq!((store.total().blobs, store.total().blob_bytes), (1, 200));
    }
}
