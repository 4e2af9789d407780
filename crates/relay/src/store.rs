//! Where mailboxes and blobs are kept: the traits the service stands on, and its two implementations.
//!
//! In: envelopes with their mailbox and expiry, doors. Out: the same, in the order of their cursors. What is appended
//! is durable after [`MailboxStore::sync`] and is not read a moment before; a crash may drop everything since the last
//! one.
//! Who may put, and how much, is the service's job. Specified in `docs/protocol/03-relay.md` (RLY).
//! Invariant: a cursor that was shown to anybody is never given out again, also after a restart (RLY-24).

use std::collections::{BTreeMap, HashSet};
use std::io::ErrorKind;
use std::sync::Arc;

use stonechat_wire::ids::{DoorPath, EnvelopeId, Tag, Timestamp};

pub mod blobs;
pub mod disk;
pub mod import;
pub mod log;
pub mod memory;

/// A store of mailboxes and doors. Cursors are one growing sequence for the whole store.
pub trait MailboxStore: blobs::BlobStore {
    /// Adds an envelope to its mailbox. An envelope that is there already stays one copy; its expiry may grow.
    ///
    /// Errors: the store's own; then the caller calls [`MailboxStore::abandon`].
    fn append(&mut self, new: &NewEnvelope) -> Result<Appended, StoreError>;

    /// Makes everything since the last call durable. Errors: nothing of it is kept, as after a crash.
    fn sync(&mut self) -> Result<(), StoreError>;

    /// Drops everything since the last [`MailboxStore::sync`].
    fn abandon(&mut self);

    /// Whether a mailbox has an envelope, unsynced ones included.
    fn holds(&self, tag: &Tag, id: &EnvelopeId) -> Result<bool, StoreError>;

    /// What one mailbox holds, unsynced envelopes included.
    fn mailbox(&self, tag: &Tag) -> MailboxSize;

    /// What the store holds, unsynced envelopes included.
    fn total(&self) -> Total;

    /// The highest cursor given out so far, or what [`MailboxStore::start_at`] set.
    fn high_water(&self) -> u64;

    /// The next cursor is above this one, unless higher ones were given out. Durable with the next append's sync.
    fn start_at(&mut self, cursor: u64);

    /// Synced envelopes of a mailbox after a cursor, in order, until the budget is used up; always one if there is one.
    fn read(&self, tag: &Tag, after: u64, budget: Budget) -> Result<Vec<Kept>, StoreError>;

    /// Drops what expired by `now`, doors and blobs too; at most [`EXPIRE_BATCH`] envelopes a call.
    fn expire(&mut self, now: Timestamp) -> Result<Expired, StoreError>;

    /// Sets up a door, or replaces the one at its path.
    fn set_door(&mut self, path: DoorPath, door: &Door) -> Result<(), StoreError>;

    /// The door at a path.
    fn door(&self, path: &DoorPath) -> Result<Option<Door>, StoreError>;

    /// Where doors stand, unsynced ones included.
    fn door_paths(&self) -> HashSet<DoorPath>;

    /// Counts that a door answered once more; no error if there is none.
    fn count_use(&mut self, path: &DoorPath) -> Result<(), StoreError>;

    /// Takes a door down; no error if there is none.
    fn close_door(&mut self, path: &DoorPath) -> Result<(), StoreError>;

    /// How many damaged records it met since it was opened; they are never read.
    fn damaged(&self) -> u64;

    /// Syncs and ends, so that the next start is quick.
    fn close(self) -> Result<(), StoreError>;
}

/// Most envelopes that one call of [`MailboxStore::expire`] drops, so that nobody waits long behind it.
pub const EXPIRE_BATCH: usize = 4096;

/// What one call of [`MailboxStore::expire`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired {
    /// How many envelopes it dropped.
    pub envelopes: usize,
    /// Whether there is more to drop or to tidy at once.
    pub has_more: bool,
}

/// An envelope to append.
#[derive(Clone, Debug)]
pub struct NewEnvelope {
    /// Its mailbox.
    pub tag: Tag,
    /// SHA-256 of its bytes.
    pub id: EnvelopeId,
    /// When it may be dropped.
    pub expires_at: Timestamp,
    /// The bytes.
    pub bytes: Arc<[u8]>,
}

/// What became of an appended envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is new, at this cursor.
    New(u64),
    /// The mailbox had it already.
    Known,
}

/// An envelope as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its place.
    pub cursor: u64,
    /// The bytes.
    pub bytes: Arc<[u8]>,
}

/// How much one read may return.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Envelopes.
    pub envelopes: usize,
    /// Bytes; the first envelope may exceed them.
    pub bytes: usize,
}

/// What one mailbox holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MailboxSize {
    /// How many envelopes.
    pub envelopes: u64,
    /// How many bytes.
    pub bytes: u64,
    /// The cursor of the newest; 0 if there is none.
    pub newest: u64,
}

/// What the whole store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// Envelopes.
    pub envelopes: u64,
    /// Bytes of envelopes and cards.
    pub bytes: u64,
    /// Bytes that all of it takes on disk, with what is dead and not removed yet.
    pub disk_bytes: u64,
    /// Mailboxes that are not empty.
    pub mailboxes: usize,
    /// Doors.
    pub doors: usize,
    /// Blobs, unfinished ones too.
    pub blobs: usize,
    /// Bytes that they have or are to have.
    pub blob_bytes: u64,
}

/// A door: what a stranger with the right proof is given.
#[derive(Clone, PartialEq, Eq)]
pub struct Door {
    /// SHA-256 of the proof.
    pub proof_hash: [u8; 32],
    /// SHA-256 of the key that replaces and closes it.
    pub key_hash: [u8; 32],
    /// When it is gone.
    pub expires_at: Timestamp,
    /// How often it answered.
    pub uses: u32,
    /// What it answers: a card, or a deck of which it answers one hand.
    pub card: Arc<[u8]>,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Door({} uses, {} bytes)", self.uses, self.card.len())
    }
}

/// Why the store did not do it. Whatever it was, nothing that was synced is touched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No room: refuse puts, keep serving reads.
    #[error("the relay's disk is full")]
    DiskFull,
    /// Another process has the store open.
    #[error("the relay's data folder is in use by another relay")]
    InUse,
    /// The store of an earlier version is there and cannot be taken over. It is left as it is.
    #[error("the mailboxes of an earlier version cannot be taken over: {0}")]
    Import(String),
    /// Anything else the disk said.
    #[error("the relay's store failed: {0}")]
    Io(String),
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::DiskFull,
            _ => Self::Io(error.to_string()),
        }
    }
}

/// Counts per mailbox of the store in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    mailboxes: BTreeMap<Tag, MailboxSize>,
    envelopes: u64,
    bytes: u64,
}

impl Ledger {
    pub(crate) fn add(&mut self, tag: Tag, cursor: u64, size: u64) {
        let mailbox = self.mailboxes.entry(tag).or_default();
        mailbox.envelopes += 1;
        mailbox.bytes += size;
        mailbox.newest = mailbox.newest.max(cursor);
        self.envelopes += 1;
        self.bytes += size;
    }

    pub(crate) fn remove(&mut self, tag: &Tag, size: u64) {
        let Some(mailbox) = self.mailboxes.get_mut(tag) else {
            return;
        };
        mailbox.envelopes = mailbox.envelopes.saturating_sub(1);
        mailbox.bytes = mailbox.bytes.saturating_sub(size);
        if mailbox.envelopes == 0 {
            self.mailboxes.remove(tag);
        }
        self.envelopes = self.envelopes.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(size);
    }

    pub(crate) fn mailbox(&self, tag: &Tag) -> MailboxSize {
        self.mailboxes.get(tag).copied().unwrap_or_default()
    }

    pub(crate) fn total(&self, doors: usize, card_bytes: u64) -> Total {
        let bytes = self.bytes.saturating_add(card_bytes);
        Total {
            envelopes: self.envelopes,
            bytes,
            disk_bytes: bytes,
            mailboxes: self.mailboxes.len(),
            doors,
            blobs: 0,
            blob_bytes: 0,
        }
    }
}

/// One behaviour, asked of both stores by their tests.
#[cfg(test)]
pub(crate) mod conformance {
    use super::*;
    use stonechat_wire::hand::DECK_BYTES_MAX;

    pub(crate) const WIDE: Budget = Budget {
        envelopes: 1000,
        bytes: 1 << 20,
    };

    pub(crate) fn tag(n: u8) -> Tag {
        Tag::from_bytes([n; 16])
    }

    pub(crate) fn envelope(mailbox: u8, n: u8, expires_s: u64) -> NewEnvelope {
        let bytes: Arc<[u8]> = Arc::from(vec![n; 256]);
        NewEnvelope {
            tag: tag(mailbox),
            id: EnvelopeId::of(&bytes),
            expires_at: Timestamp::from_seconds(expires_s),
            bytes,
        }
    }

    pub(crate) fn contents(store: &impl MailboxStore, mailbox: u8) -> Vec<u8> {
        let kept = store.read(&tag(mailbox), 0, WIDE).unwrap();
        kept.iter().map(|kept| kept.bytes[0]).collect()
    }

    pub(crate) fn duplicates_stay_one_copy_with_the_longer_life(mut store: impl MailboxStore) {
        assert_eq!(store.append(&envelope(1, 7, 100)), Ok(Appended::New(1)));
        assert_eq!(store.append(&envelope(1, 7, 200)), Ok(Appended::Known));
        assert_eq!(store.append(&envelope(2, 7, 100)), Ok(Appended::New(2)));
        let id = envelope(1, 7, 100).id;
        assert_eq!(store.holds(&tag(1), &id), Ok(true));
        assert_eq!(store.holds(&tag(3), &id), Ok(false));
        assert_eq!(contents(&store, 1), [] as [u8; 0], "not read before it is synced");
        store.sync().unwrap();
        assert_eq!(store.append(&envelope(1, 7, 50)), Ok(Appended::Known));
        store.sync().unwrap();
        assert_eq!(store.total().envelopes, 2);
        assert_eq!(store.expire(Timestamp::from_seconds(150)).unwrap().envelopes, 1);
        store.sync().unwrap();
        assert_eq!((contents(&store, 1), contents(&store, 2)), (vec![7], vec![]));
    }

    pub(crate) fn reads_respect_cursor_and_budget(mut store: impl MailboxStore) {
        for n in 1..=5 {
            store.append(&envelope(1, n, 100)).unwrap();
            store.append(&envelope(2, n, 100)).unwrap();
        }
        store.sync().unwrap();
        let cursors = |after, envelopes, bytes| -> Vec<u64> {
            let kept = store.read(&tag(1), after, Budget { envelopes, bytes }).unwrap();
            kept.iter().map(|kept| kept.cursor).collect()
        };
        assert_eq!(cursors(0, 10, 10_000), [1, 3, 5, 7, 9]);
        assert_eq!(cursors(3, 2, 10_000), [5, 7]);
        assert_eq!(cursors(0, 10, 600), [1, 3]);
        assert_eq!(cursors(0, 10, 1), [1]);
        assert_eq!(cursors(9, 10, 10_000), [] as [u64; 0]);
        assert_eq!(
            store.mailbox(&tag(1)),
            MailboxSize {
                envelopes: 5,
                bytes: 1280,
                newest: 9
            }
        );
    }

    pub(crate) fn abandoning_drops_only_what_was_not_synced(mut store: impl MailboxStore) {
        store.append(&envelope(1, 1, 100)).unwrap();
        store.sync().unwrap();
        let before = counts(&store);
        store.append(&envelope(1, 2, 100)).unwrap();
        store.set_door(DoorPath::from_bytes([1; 12]), &door(9, 100)).unwrap();
        assert_ne!(counts(&store), before);
        store.abandon();
        assert_eq!(counts(&store), before);
        assert_eq!(contents(&store, 1), [1]);
        assert_eq!(store.door(&DoorPath::from_bytes([1; 12])), Ok(None));
    }

    pub(crate) fn expiry_drops_envelopes_and_doors_but_no_cursor(mut store: impl MailboxStore) {
        store.append(&envelope(1, 1, 10)).unwrap();
        store.append(&envelope(1, 2, 20)).unwrap();
        store.set_door(DoorPath::from_bytes([1; 12]), &door(9, 10)).unwrap();
        store.sync().unwrap();
        assert_eq!(store.expire(Timestamp::from_seconds(30)).unwrap().envelopes, 2);
        store.sync().unwrap();
        assert_eq!(counts(&store), (0, 0, 0, 0));
        let shown = store.high_water();
        let Ok(Appended::New(cursor)) = store.append(&envelope(1, 3, 40)) else {
            panic!("it is gone");
        };
        assert!(shown >= 2 && cursor > shown);
    }

    pub(crate) fn a_sequence_starts_where_it_is_told_to_and_never_goes_back(mut store: impl MailboxStore) {
        store.start_at(1_000);
        assert_eq!(store.append(&envelope(1, 1, 10)), Ok(Appended::New(1_001)));
        store.sync().unwrap();
        store.start_at(7);
        assert_eq!(store.append(&envelope(1, 2, 10)), Ok(Appended::New(1_002)));
        store.abandon();
        assert!(store.high_water() >= 1_001);
    }

    pub(crate) fn doors_are_replaced_counted_and_closed(mut store: impl MailboxStore) {
        let path = DoorPath::from_bytes([4; 12]);
        let full = Door {
            card: vec![7; DECK_BYTES_MAX].into(),
            ..door(8, 10)
        };
        store.set_door(path, &full).unwrap();
        store.sync().unwrap();
        assert_eq!(store.door(&path), Ok(Some(full)), "the largest there is");
        store.close_door(&path).unwrap();
        store.set_door(path, &door(1, 10)).unwrap();
        store.set_door(path, &Door { uses: 3, ..door(2, 20) }).unwrap();
        store.sync().unwrap();
        assert_eq!(
            store.door(&path).unwrap().map(|door| (door.uses, door.card[0])),
            Some((3, 2))
        );
        assert_eq!(counts(&store), (0, 64, 0, 1));
        store.count_use(&path).unwrap();
        store.count_use(&DoorPath::from_bytes([5; 12])).unwrap();
        assert_eq!(store.door(&path).unwrap().map(|door| door.uses), Some(4));
        store.close_door(&path).unwrap();
        store.close_door(&path).unwrap();
        store.sync().unwrap();
        assert_eq!((store.door(&path), counts(&store)), (Ok(None), (0, 0, 0, 0)));
    }

    /// Envelopes, bytes, mailboxes, doors.
    pub(crate) fn counts(store: &impl MailboxStore) -> (u64, u64, usize, usize) {
        let total = store.total();
        (total.envelopes, total.bytes, total.mailboxes, total.doors)
    }

    pub(crate) fn door(n: u8, expires_s: u64) -> Door {
        let card = Arc::from(vec![n; 64]);
        Door {
            proof_hash: [n; 32],
            key_hash: [n; 32],
            expires_at: Timestamp::from_seconds(expires_s),
            uses: 0,
            card,
        }
    }
}
