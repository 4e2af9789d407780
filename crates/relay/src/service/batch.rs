//! What waits for the next sync: answers in the order they were asked for, and what is to be pushed.

use super::ConnectionId;
use super::blobs::BlobAnswer;
use crate::store::{NewEnvelope, StoreError};
use stonechat_wire::frame::{FromRelay, Refusal};
use stonechat_wire::ids::{EnvelopeId, Tag};

/// Everything since the last sync.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) answers: Vec<Answer>,
    pub(super) fresh: Vec<Fresh>,
    pub(super) bytes: usize,
    pub(super) failed: Option<StoreError>,
}

impl Batch {
    pub(super) fn add(&mut self, from: ConnectionId, cursor: u64, new: NewEnvelope) {
        self.fresh.push(Fresh { from, cursor, new });
    }

    /// The first error is the one that counts.
    pub(super) fn fail(&mut self, error: StoreError) {
        self.failed.get_or_insert(error);
    }
}

/// An envelope that is new in its mailbox.
#[derive(Debug)]
pub(super) struct Fresh {
    pub(super) from: ConnectionId,
    pub(super) cursor: u64,
    pub(super) new: NewEnvelope,
}

/// Something to say once the batch is synced.
#[derive(Debug)]
pub(super) enum Answer {
    Put(PutAnswer),
    Door {
        to: ConnectionId,
        request: u32,
        refused: Option<Refusal>,
    },
    Blob(BlobAnswer),
    Fetch {
        to: ConnectionId,
        request: u32,
        tag: Tag,
        cursor: u64,
        limit: u16,
    },
}

/// What became of one put's envelopes.
#[derive(Debug)]
pub(super) struct PutAnswer {
    to: ConnectionId,
    request: u32,
    pub(super) stored: Vec<EnvelopeId>,
    pub(super) full: Vec<EnvelopeId>,
    pub(super) refused: Option<Refusal>,
}

impl PutAnswer {
    pub(super) const fn new(to: ConnectionId, request: u32) -> Self {
        Self {
            to,
            request,
            stored: Vec::new(),
            full: Vec::new(),
            refused: None,
        }
    }

    /// Its frames. Without a sync nothing is stored: what would have been is refused (RLY-22).
    ///
    /// A refusal comes last and is about every envelope of the put that no other frame named.
    pub(super) fn frames(self, synced: bool) -> Vec<(ConnectionId, FromRelay)> {
        let Self {
            to,
            request,
            stored,
            full,
            refused,
        } = self;
        let lost = !synced && !stored.is_empty();
        let is_empty = stored.is_empty() && full.is_empty() && refused.is_none();
        let mut frames = Vec::new();
        if is_empty || (synced && !stored.is_empty()) {
            frames.push((to, FromRelay::Stored { request, ids: stored }));
        }
        if !full.is_empty() {
            frames.push((to, FromRelay::Full { request, ids: full }));
        }
        if let Some(why) = refused.or_else(|| lost.then_some(Refusal::NoRoom)) {
            frames.push((to, FromRelay::Refused { request, why }));
        }
        frames
    }
}
