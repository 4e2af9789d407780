//! The durable store: one plain SQLite table of envelopes and one of doors.
//!
//! In, out: as [`MailboxStore`]. One transaction per batch: it begins with the first change, and
//! [`MailboxStore::sync`] commits it, with `journal_mode=WAL` and `synchronous=FULL`, so what is committed survives
//! kill -9 and power loss. Counts per mailbox are kept in memory and read once at start.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use stonechat_wire::ids::{DoorPath, EnvelopeId, Tag, Timestamp};

use super::{
    Appended, Budget, Door, EXPIRE_BATCH, Kept, Ledger, MailboxSize, MailboxStore, NewEnvelope, StoreError, Total,
};

const SCHEMA: &str = include_str!("schema.sql");
const SCHEMA_VERSION: u32 = 1;
const STATEMENTS_CACHED: usize = 32;

/// Mailboxes in a file.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
    counts: Counts,
    in_batch: bool,
}

impl SqliteStore {
    /// Opens the store at `file`, making it if there is none.
    ///
    /// Errors: in use, damaged, written by a newer program, or the disk's own.
    pub fn open(file: &Path) -> Result<Self, StoreError> {
        let connection = Connection::open(file)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
        connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")?;
        migrate(&connection)?;
        let counts = Counts::read(&connection)?;
        Ok(Self {
            connection,
            counts,
            in_batch: false,
        })
    }

    /// As if the disk were full from here on.
    #[cfg(test)]
    pub(crate) fn stop_growing(&self) {
        let pages: i64 = self
            .connection
            .query_row("PRAGMA page_count", [], |row| row.get(0))
            .unwrap();
        let limit = format!("PRAGMA max_page_count = {pages}");
        let _: i64 = self.connection.query_row(&limit, [], |row| row.get(0)).unwrap();
    }

    /// Begins the batch's transaction with its first change.
    fn begin(&mut self) -> Result<(), StoreError> {
        if !self.in_batch {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
            self.in_batch = true;
        }
        Ok(())
    }

    fn find(&self, tag: &Tag, id: &EnvelopeId) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT cursor FROM envelope WHERE tag = ?1 AND id = ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let found = statement.query_row(params![tag.as_bytes(), id.as_bytes()], |row| row.get(0));
        Ok(found.optional()?)
    }

    fn prolong(&self, cursor: i64, until_ms: i64) -> Result<(), StoreError> {
        let sql = "UPDATE envelope SET expires_at_ms = ?2 WHERE cursor = ?1 AND expires_at_ms < ?2";
        self.connection
            .prepare_cached(sql)?
            .execute(params![cursor, until_ms])?;
        Ok(())
    }

    fn insert(&self, new: &NewEnvelope) -> Result<u64, StoreError> {
        let sql = "INSERT INTO envelope (cursor, tag, id, expires_at_ms, bytes) VALUES (?1, ?2, ?3, ?4, ?5)";
        let (cursor, until_ms) = (self.counts.high_water.saturating_add(1), signed(new.expires_at.0));
        let row = params![
            signed(cursor),
            new.tag.as_bytes(),
            new.id.as_bytes(),
            until_ms,
            &*new.bytes
        ];
        self.connection.prepare_cached(sql)?.execute(row)?;
        Ok(cursor)
    }

    fn drop_door(&mut self, path: &[u8]) -> Result<(), StoreError> {
        let sql = "DELETE FROM door WHERE path = ?1 RETURNING length(card)";
        let size: Option<i64> = self
            .connection
            .prepare_cached(sql)?
            .query_row([path], |row| row.get(0))
            .optional()?;
        if let Some(size) = size {
            self.counts.doors = self.counts.doors.saturating_sub(1);
            self.counts.card_bytes = self.counts.card_bytes.saturating_sub(unsigned(size));
        }
        Ok(())
    }

    fn expire_doors(&mut self, now_ms: i64) -> Result<(), StoreError> {
        let sql = "SELECT path FROM door WHERE expires_at_ms <= ?1";
        let paths: Vec<Vec<u8>> = self
            .connection
            .prepare_cached(sql)?
            .query_map([now_ms], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        paths.iter().try_for_each(|path| self.drop_door(path))
    }

    fn expire_envelopes(&mut self, now_ms: i64) -> Result<usize, StoreError> {
        let sql = "DELETE FROM envelope WHERE cursor IN
            (SELECT cursor FROM envelope WHERE expires_at_ms <= ?1 ORDER BY expires_at_ms LIMIT ?2)
            RETURNING tag, length(bytes)";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![now_ms, EXPIRE_BATCH as i64])?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            self.counts
                .ledger
                .remove(&Tag::from_bytes(row.get(0)?), unsigned(row.get(1)?));
            count += 1;
        }
        Ok(count)
    }
}

impl MailboxStore for SqliteStore {
    fn append(&mut self, new: &NewEnvelope) -> Result<Appended, StoreError> {
        self.begin()?;
        if let Some(cursor) = self.find(&new.tag, &new.id)? {
            self.prolong(cursor, signed(new.expires_at.0))?;
            return Ok(Appended::Known);
        }
        let cursor = self.insert(new)?;
        self.counts.ledger.add(new.tag, cursor, new.bytes.len() as u64);
        self.counts.high_water = cursor;
        Ok(Appended::New(cursor))
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        if !self.in_batch {
            return Ok(());
        }
        if let Err(error) = self.connection.execute_batch("COMMIT") {
            self.abandon();
            return Err(error.into());
        }
        self.in_batch = false;
        Ok(())
    }

    fn abandon(&mut self) {
        // Some failures have ended the transaction already; then there is nothing to roll back.
        if !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        self.in_batch = false;
        match Counts::read(&self.connection) {
            Ok(counts) => self.counts = counts,
            Err(error) => tracing::error!(%error, "counts could not be read again after a failed batch"),
        }
    }

    fn holds(&self, tag: &Tag, id: &EnvelopeId) -> Result<bool, StoreError> {
        Ok(self.find(tag, id)?.is_some())
    }

    fn mailbox(&self, tag: &Tag) -> MailboxSize {
        self.counts.ledger.mailbox(tag)
    }

    fn total(&self) -> Total {
        self.counts.ledger.total(self.counts.doors, self.counts.card_bytes)
    }

    fn high_water(&self) -> u64 {
        self.counts.high_water
    }

    fn start_at(&mut self, cursor: u64) {
        self.counts.high_water = self.counts.high_water.max(cursor);
    }

    fn read(&self, tag: &Tag, after: u64, budget: Budget) -> Result<Vec<Kept>, StoreError> {
        let sql = "SELECT cursor, bytes FROM envelope WHERE tag = ?1 AND cursor > ?2 ORDER BY cursor LIMIT ?3";
        let mut statement = self.connection.prepare_cached(sql)?;
        let limit = i64::try_from(budget.envelopes).unwrap_or(i64::MAX);
        let mut rows = statement.query(params![tag.as_bytes(), signed(after), limit])?;
        let (mut kept, mut size) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            let bytes: Arc<[u8]> = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?.into();
            size += bytes.len();
            if size > budget.bytes && !kept.is_empty() {
                break;
            }
            kept.push(Kept {
                cursor: unsigned(row.get(0)?),
                bytes,
            });
        }
        Ok(kept)
    }

    fn expire(&mut self, now: Timestamp) -> Result<usize, StoreError> {
        self.begin()?;
        self.expire_doors(signed(now.0))?;
        self.expire_envelopes(signed(now.0))
    }

    fn set_door(&mut self, path: DoorPath, door: &Door) -> Result<(), StoreError> {
        self.begin()?;
        self.drop_door(path.as_bytes())?;
        let sql = "INSERT INTO door (path, proof_hash, expires_at_ms, uses, card) VALUES (?1, ?2, ?3, ?4, ?5)";
        let until_ms = signed(door.expires_at.0);
        let row = params![path.as_bytes(), door.proof_hash, until_ms, door.uses, &*door.card];
        self.connection.prepare_cached(sql)?.execute(row)?;
        self.counts.doors += 1;
        self.counts.card_bytes += door.card.len() as u64;
        Ok(())
    }

    fn door(&self, path: &DoorPath) -> Result<Option<Door>, StoreError> {
        let sql = "SELECT proof_hash, expires_at_ms, uses, card FROM door WHERE path = ?1";
        let door = self
            .connection
            .prepare_cached(sql)?
            .query_row([path.as_bytes()], |row| {
                let expires_at = Timestamp(unsigned(row.get(1)?));
                let card = Arc::from(row.get::<_, Vec<u8>>(3)?);
                Ok(Door {
                    proof_hash: row.get(0)?,
                    expires_at,
                    uses: row.get(2)?,
                    card,
                })
            });
        Ok(door.optional()?)
    }

    fn count_use(&mut self, path: &DoorPath) -> Result<(), StoreError> {
        self.begin()?;
        let sql = "UPDATE door SET uses = uses + 1 WHERE path = ?1";
        self.connection.prepare_cached(sql)?.execute([path.as_bytes()])?;
        Ok(())
    }

    fn close_door(&mut self, path: &DoorPath) -> Result<(), StoreError> {
        self.begin()?;
        self.drop_door(path.as_bytes())
    }
}

/// What is counted in memory.
#[derive(Debug, Default)]
struct Counts {
    ledger: Ledger,
    doors: usize,
    card_bytes: u64,
    high_water: u64,
}

impl Counts {
    fn read(connection: &Connection) -> Result<Self, StoreError> {
        let mut counts = Self::default();
        let sql = "SELECT tag, count(*), sum(length(bytes)), max(cursor) FROM envelope GROUP BY tag";
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let size = MailboxSize {
                envelopes: unsigned(row.get(1)?),
                bytes: unsigned(row.get(2)?),
                newest: unsigned(row.get(3)?),
            };
            counts.ledger.set(Tag::from_bytes(row.get(0)?), size);
        }
        let doors = "SELECT count(*), coalesce(sum(length(card)), 0) FROM door";
        let (doors, bytes): (i64, i64) = connection.query_row(doors, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        counts.doors = usize::try_from(doors).unwrap_or_default();
        counts.card_bytes = unsigned(bytes);
        let high_water = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'envelope'";
        counts.high_water = unsigned(connection.query_row(high_water, [], |row| row.get(0))?);
        Ok(counts)
    }
}

fn migrate(connection: &Connection) -> Result<(), StoreError> {
    let found: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match found {
        0 => connection
            .execute_batch(&format!("BEGIN IMMEDIATE; {SCHEMA} COMMIT;"))
            .map_err(StoreError::from),
        SCHEMA_VERSION => Ok(()),
        _ => Err(StoreError::Newer {
            found,
            known: SCHEMA_VERSION,
        }),
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(error.to_string()),
            _ => Self::Io(error.to_string()),
        }
    }
}

/// SQLite's integers are signed; what does not fit is later than anything anybody asks for.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::conformance::{self, contents, envelope};
    use super::*;

    fn open(folder: &tempfile::TempDir) -> SqliteStore {
        SqliteStore::open(&folder.path().join("mailboxes.sqlite")).unwrap()
    }

    fn with_fresh(test: impl FnOnce(SqliteStore)) {
        let folder = tempfile::tempdir().unwrap();
        test(open(&folder));
    }

    #[test]
    fn it_writes_ahead_and_syncs_fully_rly_22() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder);
        let journal: String = store
            .connection
            .query_row("PRAGMA journal_mode", [], |row| row.get(0))
            .unwrap();
        let synchronous: i64 = store
            .connection
            .query_row("PRAGMA synchronous", [], |row| row.get(0))
            .unwrap();
        assert_eq!((journal.as_str(), synchronous), ("wal", 2), "2 is FULL");
    }

    #[test]
    fn it_behaves_as_a_store_rly_23() {
        with_fresh(conformance::duplicates_stay_one_copy_with_the_longer_life);
        with_fresh(conformance::reads_respect_cursor_and_budget);
        with_fresh(conformance::abandoning_drops_only_what_was_not_synced);
        with_fresh(conformance::a_sequence_starts_where_it_is_told_to_and_never_goes_back);
        with_fresh(conformance::expiry_drops_envelopes_and_doors_but_no_cursor);
        with_fresh(conformance::doors_are_replaced_counted_and_closed);
    }

    #[test]
    fn what_was_synced_is_there_after_reopening_rly_22() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(&folder);
        store.append(&envelope(1, 1, 100)).unwrap();
        store.sync().unwrap();
        store.append(&envelope(1, 2, 100)).unwrap();
        drop(store);
        let store = open(&folder);
        assert_eq!(contents(&store, 1), [1]);
        assert_eq!(store.total().envelopes, 1);
    }

    #[test]
    fn cursors_do_not_come_back_after_everything_expired_and_a_restart_rly_24() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(&folder);
        store.append(&envelope(1, 1, 1)).unwrap();
        store.append(&envelope(1, 2, 1)).unwrap();
        store.expire(Timestamp::from_seconds(2)).unwrap();
        store.sync().unwrap();
        drop(store);
        let mut store = open(&folder);
        assert_eq!((store.high_water(), store.total().envelopes), (2, 0));
        assert_eq!(store.append(&envelope(1, 3, 100)), Ok(Appended::New(3)));
    }

    #[test]
    fn a_full_disk_is_told_apart_and_loses_nothing_synced_rly_28() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(&folder);
        store.append(&envelope(1, 1, 100)).unwrap();
        store.sync().unwrap();
        store.stop_growing();
        let mut fill = || (2..=255).try_for_each(|n| store.append(&envelope(1, n, 100)).map(|_| ()));
        assert_eq!(fill(), Err(StoreError::DiskFull));
        store.abandon();
        assert_eq!(contents(&store, 1), [1]);
    }

    #[test]
    fn a_newer_store_and_a_file_that_is_none_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        open(&folder)
            .connection
            .execute_batch("PRAGMA user_version = 9")
            .unwrap();
        let file = folder.path().join("mailboxes.sqlite");
        assert_eq!(
            SqliteStore::open(&file).err(),
            Some(StoreError::Newer { found: 9, known: 1 })
        );
        let file = folder.path().join("other");
        std::fs::write(&file, [7; 4096]).unwrap();
        assert!(matches!(SqliteStore::open(&file), Err(StoreError::Damaged(_))));
    }
}
