//! Taking over the mailboxes of the first version: one SQLite table of envelopes and one of doors.
//!
//! In: that file. Out: everything in it, in the segment log, under the same cursors; then the file is renamed. A crash
//! on the way costs nothing: what was taken over already is known by its id.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, Row};
use stonechat_wire::ids::{DoorPath, EnvelopeId, Tag, Timestamp};

use super::log::SegmentLog;
use super::{Door, MailboxStore, NewEnvelope, StoreError};

/// The version of the only table there ever was.
const VERSION: u32 = 1;
/// Most bytes that one sync takes over.
const BATCH_BYTES: usize = 8 << 20;

/// Takes over what is in the table at `file`, if there is one.
///
/// Errors: the table is damaged, of a later version, or in use; it is left as it is.
pub fn import(file: &Path, log: &mut SegmentLog) -> Result<(), StoreError> {
    if !file.exists() {
        return Ok(());
    }
    let table = Connection::open(file)?;
    let version: u32 = table.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version != VERSION {
        let why = format!("its version is {version}, and this program knows {VERSION}");
        return Err(StoreError::Import(why));
    }
    envelopes(&table, log)?;
    doors(&table, log)?;
    let high_water = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'envelope'";
    log.skip_to(unsigned(table.query_row(high_water, [], |row| row.get(0))?))?;
    log.sync()?;
    table.close().map_err(|(_, error)| StoreError::from(error))?;
    fs::rename(file, file.with_extension("sqlite.taken-over"))?;
    tracing::info!("the mailboxes of an earlier version were taken over");
    Ok(())
}

fn envelopes(table: &Connection, log: &mut SegmentLog) -> Result<(), StoreError> {
    let mut select = table.prepare("SELECT cursor, tag, expires_at_ms, bytes FROM envelope ORDER BY cursor")?;
    let mut rows = select.query([])?;
    let mut unsynced = 0;
    while let Some(row) = rows.next()? {
        let (cursor, new) = envelope(row)?;
        unsynced += new.bytes.len();
        log.start_at(cursor.saturating_sub(1));
        log.append(&new)?;
        if unsynced >= BATCH_BYTES {
            log.sync()?;
            unsynced = 0;
        }
    }
    Ok(())
}

fn envelope(row: &Row<'_>) -> rusqlite::Result<(u64, NewEnvelope)> {
    let bytes: Arc<[u8]> = row.get::<_, Vec<u8>>(3)?.into();
    let new = NewEnvelope {
        tag: Tag::from_bytes(row.get(1)?),
        id: EnvelopeId::of(&bytes),
        expires_at: Timestamp(unsigned(row.get(2)?)),
        bytes,
    };
    Ok((unsigned(row.get(0)?), new))
}

/// The first version knew no keys of doors. No key has this hash: they stand until they expire.
const NOBODY: [u8; 32] = [0; 32];

fn doors(table: &Connection, log: &mut SegmentLog) -> Result<(), StoreError> {
    let mut select = table.prepare("SELECT path, proof_hash, expires_at_ms, uses, card FROM door")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let path = DoorPath::from_bytes(row.get(0)?);
        let door = Door {
            proof_hash: row.get(1)?,
            key_hash: NOBODY,
            expires_at: Timestamp(unsigned(row.get(2)?)),
            uses: row.get(3)?,
            card: row.get::<_, Vec<u8>>(4)?.into(),
        };
        log.set_door(path, &door)?;
    }
    Ok(())
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Import(error.to_string())
    }
}

/// SQLite's integers are signed; ours never were negative.
fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}
