//! Epoch objects as rows of the current transaction.
//!
//! One OpenMLS group state (an *epoch object*) is the set of rows (group, object, key); the object is named by the
//! epoch id. Key material that belongs to no group (key packages and their keys) lies in loose rows.
//! In: what OpenMLS wants kept. Out: the same. The storage sees only a `rusqlite::Transaction`: whoever owns it decides
//! whether anything that OpenMLS wrote ever happened. Rows are CBOR, packed: OpenMLS 0.9 needs a self-describing codec.
//! Implements MLS-4 of `docs/protocol/07-conversation.md`.

use openmls_traits::storage::{CURRENT_VERSION, StorageProvider, traits};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::{Serialize, de::DeserializeOwned};
use std::cell::{Cell, RefCell};
use stonechat_wire::ids::EpochId;
use zeroize::Zeroize;

use super::pack::{pack, unpack};
use super::pieces;
use crate::store::StoreError;

const V: u16 = CURRENT_VERSION;

/// Where a group is written before its first GroupContext is known (founding, joining).
pub(crate) const UNPLACED: EpochId = EpochId::from_bytes([0; 16]);

/// Why a row could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RowsError {
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    #[error("codec: {0}")]
    Codec(String),
    #[error("{0} are off")]
    Unused(&'static str),
}
type R<T> = Result<T, RowsError>;

/// The row of the message secrets is a multiple of so many bytes.
const STEP_BYTES: usize = 128;

/// First byte of a row's key. Everything from `SignatureKeys` on belongs to no epoch object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Kind {
    JoinConfig = 1,
    OwnLeafNodes,
    Proposals,
    Tree,
    InterimHash,
    Context,
    ConfirmationTag,
    GroupState,
    MessageSecrets,
    ResumptionPsks,
    OwnLeafIndex,
    EpochSecrets,
    EpochKeyPairs,
    SignatureKeys = 0x80,
    LeafKeys,
    KeyPackage,
}

/// What a child must have from its parent; a merge writes everything else anew.
const INHERITED: [Kind; 2] = [Kind::JoinConfig, Kind::ResumptionPsks];

impl Kind {
    const fn is_loose(self) -> bool {
        self as u8 >= Self::SignatureKeys as u8
    }
}

/// OpenMLS's storage over one transaction.
#[derive(Debug)]
pub(crate) struct Rows<'t> {
    db: &'t Connection,
    group: RefCell<Vec<u8>>,
    object: Cell<EpochId>,
    /// While a commit is merged: the epoch that it is made on.
    parent: Cell<Option<EpochId>>,
    leaves_staged_out: Cell<bool>,
    /// The database failed under OpenMLS, which tells its caller only that something did.
    failed: RefCell<Option<StoreError>>,
}

impl<'t> Rows<'t> {
    pub(crate) fn of(tx: &'t Transaction<'_>) -> Self {
        Self {
            db: tx,
            group: RefCell::default(),
            object: Cell::new(UNPLACED),
            parent: Cell::default(),
            leaves_staged_out: Cell::default(),
            failed: RefCell::default(),
        }
    }

    /// Takes the database's own error, if it failed since the last time: a full disk is not the fault of a message.
    pub(crate) fn take_failure(&self) -> Option<StoreError> {
        self.failed.take()
    }

    /// Remembers that the database failed.
    fn note<T>(&self, result: rusqlite::Result<T>) -> R<T> {
        Ok(result.inspect_err(|error| {
            let code = error.sqlite_error().copied();
            let failure = code.map(|code| StoreError::from(rusqlite::Error::SqliteFailure(code, None)));
            self.failed.replace(Some(failure.unwrap_or(StoreError::Broken)));
        })?)
    }

    /// All OpenMLS calls from here on read and write this epoch object.
    pub(crate) fn at(&self, group: &[u8], object: EpochId) {
        *self.group.borrow_mut() = group.to_vec();
        self.object.set(object);
        self.parent.set(None);
        self.leaves_staged_out.set(false);
    }

    /// There are rows of this group.
    pub(crate) fn knows(&self, group: &[u8]) -> R<bool> {
        let mut rows = self
            .db
            .prepare_cached("SELECT 1 FROM epoch_row WHERE group_id = ? LIMIT 1")?;
        Ok(rows.exists([group])?)
    }

    /// There are rows of this epoch.
    pub(crate) fn holds(&self, group: &[u8], object: EpochId) -> R<bool> {
        let mut rows = self
            .db
            .prepare_cached("SELECT 1 FROM epoch_row WHERE group_id = ? AND object = ? LIMIT 1")?;
        Ok(rows.exists(params![group, object.as_bytes()])?)
    }

    /// Names the rows written as [`UNPLACED`], once the GroupContext is known.
    pub(crate) fn place(&self, object: EpochId) -> R<()> {
        self.db
            .prepare_cached("UPDATE epoch_row SET object = ?3 WHERE group_id = ?1 AND object = ?2")?
            .execute(params![*self.group.borrow(), UNPLACED.as_bytes(), object.as_bytes()])?;
        self.object.set(object);
        Ok(())
    }

    /// Deletes everything of one epoch (EPO-4): its rows, and the pieces of its tree that no other epoch has (MLS-11).
    pub(crate) fn close(&self, group: &[u8], object: EpochId) -> R<()> {
        let key = [Kind::Tree as u8];
        self.at(group, object);
        let tree = self.note(self.read_epoch_row(&key))?;
        self.db
            .prepare_cached("DELETE FROM epoch_row WHERE group_id = ? AND object = ?")?
            .execute(params![group, object.as_bytes()])?;
        let names = tree.unwrap_or_default();
        self.note(pieces::sweep(self.db, group, &names, &key))
    }

    /// Deletes everything of a group.
    pub(crate) fn forget(&self, group: &[u8]) -> R<()> {
        for table in ["epoch_row", "tree_piece"] {
            let sql = format!("DELETE FROM {table} WHERE group_id = ?");
            self.db.prepare_cached(&sql)?.execute([group])?;
        }
        Ok(())
    }

    /// Goes on to a child, for a merge: gives it what a merge does not write anew. The parent's private keys, which a merge
    /// reads and then deletes, are read where they are and stay there.
    pub(crate) fn descend(&self, child: EpochId) -> R<()> {
        let sql = "INSERT INTO epoch_row SELECT group_id, ?3, key, value FROM epoch_row
                   WHERE group_id = ?1 AND object = ?2 AND substr(key, 1, 1) IN (?4, ?5)";
        let [a, b] = INHERITED.map(|kind| [kind as u8]);
        let (group, parent) = (self.group.borrow().clone(), self.object.get());
        self.note(
            self.db
                .prepare_cached(sql)
                .and_then(|mut copy| copy.execute(params![group, parent.as_bytes(), child.as_bytes(), a, b])),
        )?;
        self.at(&group, child);
        self.parent.set(Some(parent));
        Ok(())
    }

    /// Until the next [`Rows::at`] a commit that is staged is not written: the parent's rows must not hold the child's
    /// secrets (MLS-9), and the commit is merged at once.
    pub(crate) fn leave_staged_out(&self) {
        self.leaves_staged_out.set(true);
    }

    fn name<K: Serialize>(kind: Kind, key: &K) -> R<Vec<u8>> {
        let mut name = vec![kind as u8];
        name.extend(encode(key)?);
        Ok(name)
    }

    fn put_row(&self, kind: Kind, key: &[u8], mut value: Vec<u8>) -> R<()> {
        let done = self.write_row(kind, key, &value);
        value.zeroize();
        self.note(done)
    }

    fn write_row(&self, kind: Kind, key: &[u8], value: &[u8]) -> rusqlite::Result<()> {
        if kind.is_loose() {
            self.db
                .prepare_cached("INSERT OR REPLACE INTO loose_row VALUES (?, ?)")?
                .execute(params![key, value])?;
            return Ok(());
        }
        if kind != Kind::Tree {
            return self.write_epoch_row(key, value);
        }
        let group = self.group.borrow().clone();
        let before = self.read_epoch_row(key)?;
        self.write_epoch_row(key, &pieces::keep(self.db, &group, value)?)?;
        match before {
            Some(names) => pieces::sweep(self.db, &group, &names, key),
            None => Ok(()),
        }
    }

    fn write_epoch_row(&self, key: &[u8], value: &[u8]) -> rusqlite::Result<()> {
        self.db
            // Not REPLACE: an update writes over a value of the same length, and only the pages that differ.
            .prepare_cached(
                "INSERT INTO epoch_row VALUES (?, ?, ?, ?)
                 ON CONFLICT(group_id, object, key) DO UPDATE SET value = excluded.value",
            )?
            .execute(params![*self.group.borrow(), self.object.get().as_bytes(), key, value])?;
        Ok(())
    }

    fn row(&self, kind: Kind, key: &[u8]) -> R<Option<Vec<u8>>> {
        self.note(self.read_row(kind, key))
    }

    fn read_row(&self, kind: Kind, key: &[u8]) -> rusqlite::Result<Option<Vec<u8>>> {
        if kind.is_loose() {
            return self
                .db
                .prepare_cached("SELECT value FROM loose_row WHERE key = ?")?
                .query_row(params![key], |row| row.get(0))
                .optional();
        }
        match self.read_epoch_row(key)? {
            Some(names) if kind == Kind::Tree => pieces::gather(self.db, &names),
            value => Ok(value),
        }
    }

    fn read_epoch_row(&self, key: &[u8]) -> rusqlite::Result<Option<Vec<u8>>> {
        self.db
            .prepare_cached("SELECT value FROM epoch_row WHERE group_id = ? AND object = ? AND key = ?")?
            .query_row(
                params![*self.group.borrow(), self.object.get().as_bytes(), key],
                |row| row.get(0),
            )
            .optional()
    }

    fn drop_row(&self, kind: Kind, key: &[u8]) -> R<()> {
        self.note(self.delete_row(kind, key))
    }

    fn delete_row(&self, kind: Kind, key: &[u8]) -> rusqlite::Result<()> {
        if kind.is_loose() {
            self.db
                .prepare_cached("DELETE FROM loose_row WHERE key = ?")?
                .execute(params![key])?;
            return Ok(());
        }
        let group = self.group.borrow().clone();
        let tree = if kind == Kind::Tree {
            self.read_epoch_row(key)?
        } else {
            None
        };
        self.db
            .prepare_cached("DELETE FROM epoch_row WHERE group_id = ? AND object = ? AND key = ?")?
            .execute(params![group, self.object.get().as_bytes(), key])?;
        match tree {
            Some(names) => pieces::sweep(self.db, &group, &names, key),
            None => Ok(()),
        }
    }

    // One row per kind and object: the group id that OpenMLS passes is already in the row's address.
    fn put<T: Serialize>(&self, kind: Kind, value: &T) -> R<()> {
        let mut row = pack(encode(value)?);
        if kind == Kind::MessageSecrets {
            lengthen(&mut row);
        }
        self.put_row(kind, &[kind as u8], row)
    }
    fn get<T: DeserializeOwned>(&self, kind: Kind) -> R<Option<T>> {
        self.row(kind, &[kind as u8])?.map(unpacked).transpose()
    }
    fn del(&self, kind: Kind) -> R<()> {
        self.drop_row(kind, &[kind as u8])
    }
    fn put_by<K: Serialize, T: Serialize>(&self, kind: Kind, key: &K, value: &T) -> R<()> {
        self.put_row(kind, &Self::name(kind, key)?, pack(encode(value)?))
    }
    fn get_by<K: Serialize, T: DeserializeOwned>(&self, kind: Kind, key: &K) -> R<Option<T>> {
        self.row(kind, &Self::name(kind, key)?)?.map(unpacked).transpose()
    }
    fn del_by<K: Serialize>(&self, kind: Kind, key: &K) -> R<()> {
        self.drop_row(kind, &Self::name(kind, key)?)
    }
}

fn encode<T: Serialize + ?Sized>(value: &T) -> R<Vec<u8>> {
    let mut out = Vec::new();
    ciborium::into_writer(value, &mut out).map_err(|e| RowsError::Codec(e.to_string()))?;
    Ok(out)
}

/// Zeros behind the last item, which nobody reads. Every message makes this row some bytes longer or shorter: so it keeps
/// its length through most of them, and lies where it lay.
fn lengthen(row: &mut Vec<u8>) {
    let len = row.len().next_multiple_of(STEP_BYTES);
    let mut longer = Vec::with_capacity(len);
    longer.extend_from_slice(row);
    longer.resize(len, 0);
    row.zeroize();
    *row = longer;
}

fn decode<T: DeserializeOwned>(mut value: Vec<u8>) -> R<T> {
    let out = ciborium::from_reader(value.as_slice()).map_err(|e| RowsError::Codec(e.to_string()));
    value.zeroize();
    out
}

/// A row as it lies in the database.
fn unpacked<T: DeserializeOwned>(mut row: Vec<u8>) -> R<T> {
    let value = unpack(&row).ok_or_else(|| RowsError::Codec("packing".to_owned()));
    row.zeroize();
    decode(value?)
}

/// The many setters, getters and deleters of group state differ only in their kind.
macro_rules! one_row {
    ($set:ident $get:ident $del:ident $bound:ident $kind:ident) => {
        fn $set<G: traits::GroupId<V>, T: traits::$bound<V>>(&self, _: &G, v: &T) -> R<()> {
            self.put(Kind::$kind, v)
        }
        fn $get<G: traits::GroupId<V>, T: traits::$bound<V>>(&self, _: &G) -> R<Option<T>> {
            self.get(Kind::$kind)
        }
        fn $del<G: traits::GroupId<V>>(&self, _: &G) -> R<()> {
            self.del(Kind::$kind)
        }
    };
}

impl StorageProvider<V> for Rows<'_> {
    type Error = RowsError;

    one_row!(write_mls_join_config mls_group_join_config delete_group_config MlsGroupJoinConfig JoinConfig);
    one_row!(write_tree tree delete_tree TreeSync Tree);
    one_row!(write_interim_transcript_hash interim_transcript_hash delete_interim_transcript_hash InterimTranscriptHash InterimHash);
    one_row!(write_context group_context delete_context GroupContext Context);
    one_row!(write_confirmation_tag confirmation_tag delete_confirmation_tag ConfirmationTag ConfirmationTag);
    one_row!(write_message_secrets message_secrets delete_message_secrets MessageSecrets MessageSecrets);
    one_row!(write_resumption_psk_store resumption_psk_store delete_all_resumption_psk_secrets ResumptionPskStore ResumptionPsks);
    one_row!(write_own_leaf_index own_leaf_index delete_own_leaf_index LeafNodeIndex OwnLeafIndex);
    one_row!(write_group_epoch_secrets group_epoch_secrets delete_group_epoch_secrets GroupEpochSecrets EpochSecrets);

    // Same thing; these declare their type parameters in another order, or one more.
    fn write_group_state<T: traits::GroupState<V>, G: traits::GroupId<V>>(&self, _: &G, v: &T) -> R<()> {
        if self.leaves_staged_out.get() {
            return Ok(());
        }
        self.put(Kind::GroupState, v)
    }
    fn group_state<T: traits::GroupState<V>, G: traits::GroupId<V>>(&self, _: &G) -> R<Option<T>> {
        self.get(Kind::GroupState)
    }
    fn delete_group_state<G: traits::GroupId<V>>(&self, _: &G) -> R<()> {
        self.del(Kind::GroupState)
    }
    // Lists in one row. By-reference proposals are refused by the protocol, so the queue stays empty.
    fn append_own_leaf_node<G: traits::GroupId<V>, T: traits::LeafNode<V>>(&self, _: &G, v: &T) -> R<()> {
        let mut all: Vec<ciborium::Value> = self.get(Kind::OwnLeafNodes)?.unwrap_or_default();
        all.push(decode(encode(v)?)?);
        self.put(Kind::OwnLeafNodes, &all)
    }
    fn own_leaf_nodes<G: traits::GroupId<V>, T: traits::LeafNode<V>>(&self, _: &G) -> R<Vec<T>> {
        Ok(self.get(Kind::OwnLeafNodes)?.unwrap_or_default())
    }
    fn delete_own_leaf_nodes<G: traits::GroupId<V>>(&self, _: &G) -> R<()> {
        self.del(Kind::OwnLeafNodes)
    }
    fn queue_proposal<G: traits::GroupId<V>, P: traits::ProposalRef<V>, T: traits::QueuedProposal<V>>(
        &self,
        _: &G,
        _: &P,
        _: &T,
    ) -> R<()> {
        Err(RowsError::Unused("proposals by reference"))
    }
    fn queued_proposal_refs<G: traits::GroupId<V>, P: traits::ProposalRef<V>>(&self, _: &G) -> R<Vec<P>> {
        Ok(vec![])
    }
    fn queued_proposals<G: traits::GroupId<V>, P: traits::ProposalRef<V>, T: traits::QueuedProposal<V>>(
        &self,
        _: &G,
    ) -> R<Vec<(P, T)>> {
        Ok(vec![])
    }
    fn remove_proposal<G: traits::GroupId<V>, P: traits::ProposalRef<V>>(&self, _: &G, _: &P) -> R<()> {
        Ok(())
    }
    fn clear_proposal_queue<G: traits::GroupId<V>, P: traits::ProposalRef<V>>(&self, _: &G) -> R<()> {
        self.del(Kind::Proposals)
    }

    // The leaf's and path's private keys of one epoch: part of the epoch object.
    fn write_encryption_epoch_key_pairs<G: traits::GroupId<V>, E: traits::EpochKey<V>, K: traits::HpkeKeyPair<V>>(
        &self,
        _: &G,
        e: &E,
        leaf: u32,
        v: &[K],
    ) -> R<()> {
        self.put_by(Kind::EpochKeyPairs, &(e, leaf), &v)
    }
    fn encryption_epoch_key_pairs<G: traits::GroupId<V>, E: traits::EpochKey<V>, K: traits::HpkeKeyPair<V>>(
        &self,
        _: &G,
        e: &E,
        leaf: u32,
    ) -> R<Vec<K>> {
        let here = self.get_by(Kind::EpochKeyPairs, &(e, leaf))?;
        let (Some(parent), None) = (self.parent.get(), &here) else {
            return Ok(here.unwrap_or_default());
        };
        let child = self.object.replace(parent);
        let there = self.get_by(Kind::EpochKeyPairs, &(e, leaf));
        self.object.set(child);
        Ok(there?.unwrap_or_default())
    }
    fn delete_encryption_epoch_key_pairs<G: traits::GroupId<V>, E: traits::EpochKey<V>>(
        &self,
        _: &G,
        e: &E,
        leaf: u32,
    ) -> R<()> {
        self.del_by(Kind::EpochKeyPairs, &(e, leaf))
    }

    // Pre-shared key proposals are not used.
    fn write_psk<I: traits::PskId<V>, B: traits::PskBundle<V>>(&self, _: &I, _: &B) -> R<()> {
        Err(RowsError::Unused("pre-shared keys"))
    }
    fn psk<B: traits::PskBundle<V>, I: traits::PskId<V>>(&self, _: &I) -> R<Option<B>> {
        Ok(None)
    }
    fn delete_psk<I: traits::PskId<V>>(&self, _: &I) -> R<()> {
        Ok(())
    }

    // Loose rows.
    fn write_signature_key_pair<K: traits::SignaturePublicKey<V>, T: traits::SignatureKeyPair<V>>(
        &self,
        k: &K,
        v: &T,
    ) -> R<()> {
        self.put_by(Kind::SignatureKeys, k, v)
    }
    fn signature_key_pair<K: traits::SignaturePublicKey<V>, T: traits::SignatureKeyPair<V>>(
        &self,
        k: &K,
    ) -> R<Option<T>> {
        self.get_by(Kind::SignatureKeys, k)
    }
    fn delete_signature_key_pair<K: traits::SignaturePublicKey<V>>(&self, k: &K) -> R<()> {
        self.del_by(Kind::SignatureKeys, k)
    }
    fn write_encryption_key_pair<K: traits::EncryptionKey<V>, T: traits::HpkeKeyPair<V>>(&self, k: &K, v: &T) -> R<()> {
        self.put_by(Kind::LeafKeys, k, v)
    }
    fn encryption_key_pair<T: traits::HpkeKeyPair<V>, K: traits::EncryptionKey<V>>(&self, k: &K) -> R<Option<T>> {
        self.get_by(Kind::LeafKeys, k)
    }
    fn delete_encryption_key_pair<K: traits::EncryptionKey<V>>(&self, k: &K) -> R<()> {
        self.del_by(Kind::LeafKeys, k)
    }
    fn write_key_package<K: traits::HashReference<V>, T: traits::KeyPackage<V>>(&self, k: &K, v: &T) -> R<()> {
        self.put_by(Kind::KeyPackage, k, v)
    }
    fn key_package<K: traits::HashReference<V>, T: traits::KeyPackage<V>>(&self, k: &K) -> R<Option<T>> {
        self.get_by(Kind::KeyPackage, k)
    }
    fn delete_key_package<K: traits::HashReference<V>>(&self, k: &K) -> R<()> {
        self.del_by(Kind::KeyPackage, k)
    }
}
