//! The store: one encrypted database file, one writer, any number of readers.
//!
//! In: a path and its [`StoreKey`]. Out: [`Store`], which gives transactions to the one who writes, and [`Reader`]s.
//! What the rows mean is their modules' job; which process may open a home is the daemon's. Specified in
//! `docs/protocol/06-account.md` (STO-*). This module and those below are all of core that touches files.
//! Invariant: whatever was committed is on the disk (write-ahead log, `synchronous=FULL`), encrypted.

pub(crate) mod files;
pub mod keys;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior, ffi};
use rusqlite_migration::{M, Migrations, SchemaVersion};

pub use keys::{Cost, KeyError, KeyFile, StoreKey};

/// Name of the database inside a home.
pub const DATABASE: &str = "stonechat.db";
/// Every schema so far, oldest first. What was released is never edited, only added to (STO-4).
const SCHEMAS: &[M<'static>] = &[M::up(include_str!("store/001_first_light.sql"))];
const MIGRATIONS: Migrations<'static> = Migrations::from_slice(SCHEMAS);
/// A writer waits this long for another one; there is none in one home, so this only covers a checkpoint.
const BUSY_TIMEOUT_MS: u32 = 5_000;
/// So long a reader may hold back the cutting of the log.
const CHECKPOINT_WAIT: Duration = Duration::from_millis(20);
/// SQLCipher's page.
pub(crate) const PAGE_BYTES: usize = 2048;
/// Prepared statements kept per connection.
const STATEMENTS_KEPT: usize = 512;

/// The database, open for the one that writes.
pub struct Store {
    connection: Connection,
    path: PathBuf,
    key: StoreKey,
}

/// A connection that can only read; sees what was committed when its query began.
pub struct Reader {
    connection: Connection,
}

/// Why a database did not open. Each variant wants its own words in front of the user.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no database here.
    #[error("there is no database here")]
    Missing,
    /// `create` where there is one.
    #[error("there is a database here already")]
    Exists,
    /// The key is another database's (or the very first page is damaged: both look the same).
    #[error("the key does not open this database")]
    WrongKey,
    /// Not a database of ours, cut short, or damaged.
    #[error("the database is damaged")]
    Broken,
    /// Written by a newer version of the program; untouched.
    #[error("the database was written by a newer version (schema {found}, known {known})")]
    Newer {
        /// Schema of the file.
        found: usize,
        /// Newest schema of this program.
        known: usize,
    },
    /// No room.
    #[error("the disk is full")]
    Full,
    /// The system does not let us.
    #[error("the database file cannot be used: {0}")]
    Io(io::ErrorKind),
    /// An error of the program itself.
    #[error("database: {0}")]
    Sql(rusqlite::Error),
}

/// Why a step on the open database failed. The caller rolls back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No room; nothing was changed. Worth trying again later.
    #[error("the disk is full")]
    Full,
    /// A page or a value that cannot be: stop using this file.
    #[error("the database is damaged")]
    Broken,
    /// An error of the program itself.
    #[error("database: {0}")]
    Sql(rusqlite::Error),
}

impl Store {
    /// Makes the database of a home. It appears under its name only when it is whole (STO-3).
    ///
    /// Errors: [`OpenError::Exists`], [`OpenError::Full`], [`OpenError::Io`].
    pub fn create(home: &Path, key: &StoreKey) -> Result<Self, OpenError> {
        Self::create_at(&home.join(DATABASE), key)
    }

    /// Opens the database of a home, moving it to the newest schema first.
    ///
    /// Errors: any [`OpenError`] but `Exists`.
    pub fn open(home: &Path, key: &StoreKey) -> Result<Self, OpenError> {
        Self::open_at(&home.join(DATABASE), key)
    }

    /// [`Store::create`] at a path of the caller's choice.
    ///
    /// Errors: as there.
    pub fn create_at(path: &Path, key: &StoreKey) -> Result<Self, OpenError> {
        if path.exists() {
            return Err(OpenError::Exists);
        }
        let half = sibling(path, ".new");
        remove_database(&half)?;
        files::create_private(&half)?;
        let mut connection = connect(&half, key, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        migrate(&mut connection, &half, &MIGRATIONS)?;
        connection.close().map_err(|(_, error)| error)?;
        files::rename_durably(&half, path)?;
        Self::open_at(path, key)
    }

    /// [`Store::open`] at a path of the caller's choice.
    ///
    /// Errors: as there.
    pub fn open_at(path: &Path, key: &StoreKey) -> Result<Self, OpenError> {
        check_file(path)?;
        let mut connection = connect(path, key, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        migrate(&mut connection, path, &MIGRATIONS)?;
        Ok(Self {
            connection,
            path: path.to_path_buf(),
            key: key.clone(),
        })
    }

    /// Begins the transaction of one event (`BEGIN IMMEDIATE`). Dropped without `commit`, it never happened.
    ///
    /// Errors: the database's own.
    pub fn begin(&mut self) -> Result<Transaction<'_>, StoreError> {
        Ok(self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?)
    }

    /// Another connection, for queries on any thread.
    ///
    /// Errors: as for opening.
    pub fn reader(&self) -> Result<Reader, OpenError> {
        Reader::open_at(&self.path, &self.key)
    }

    /// Empties the write-ahead log, so that what was deleted is in no file any more (STO-6).
    ///
    /// Out: whether it is empty; a reader in the middle of a query holds it back (try again later).
    /// Errors: the database's own.
    pub fn checkpoint_truncate(&mut self) -> Result<bool, StoreError> {
        // Steps wait behind this: better again in a second than now for long.
        self.connection.busy_timeout(CHECKPOINT_WAIT)?;
        let busy = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        self.connection
            .busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS.into()))?;
        Ok(busy? == 0)
    }

    /// Lets the database grow to so many pages of 4 KiB and no further: a full disk, simulated.
    ///
    /// Errors: the database's own.
    #[cfg(any(test, feature = "lab"))]
    pub fn limit_pages(&self, pages: u32) -> Result<(), StoreError> {
        Ok(self
            .connection
            .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?)
    }

    /// How many pages of 4 KiB the database has.
    ///
    /// Errors: the database's own.
    #[cfg(any(test, feature = "lab"))]
    pub fn pages(&self) -> Result<u32, StoreError> {
        Ok(self
            .connection
            .pragma_query_value(None, "page_count", |row| row.get(0))?)
    }
}

impl Reader {
    /// Opens a database that a [`Store`] has open.
    ///
    /// Errors: as for opening.
    pub fn open_at(path: &Path, key: &StoreKey) -> Result<Self, OpenError> {
        check_file(path)?;
        let connection = connect(path, key, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(Self { connection })
    }

    /// The connection, for the queries of this crate.
    pub(crate) const fn connection(&self) -> &Connection {
        &self.connection
    }
}

/// Destroys a home's key and then its databases: the key first, so that a crash in between leaves nothing that opens.
///
/// The databases are unlinked, not overwritten: without the key they are noise, and this takes no time (STO-7).
/// Errors: the first file that could not be removed; all others are still tried.
pub fn wipe(home: &Path) -> Result<(), io::Error> {
    let key = KeyFile::at(home).destroy();
    let rest = remove_all(home);
    files::sync_dir(home).and(rest).and(key)
}

fn remove_all(home: &Path) -> io::Result<()> {
    let mut result = Ok(());
    for entry in files::names(home)? {
        if entry.starts_with(DATABASE) {
            let removed = files::remove_if_there(&home.join(entry));
            result = result.and(removed);
        }
    }
    result
}

/// What can be seen without the key: there, more than a page long (the schema is), no plain SQLite file.
fn check_file(path: &Path) -> Result<(), OpenError> {
    match files::head(path, PAGE_BYTES + 1) {
        Ok(head) if head.len() <= PAGE_BYTES || head.starts_with(b"SQLite format 3\0") => Err(OpenError::Broken),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(OpenError::Missing),
        Err(error) => Err(error.into()),
    }
}

fn connect(path: &Path, key: &StoreKey, access: OpenFlags) -> Result<Connection, OpenError> {
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    // Else a statement is parsed again whenever a value is bound that might suit another plan.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // SQLCipher would write its errors to stderr, paths included.
    connection.execute_batch("PRAGMA cipher_log_level = NONE")?;
    connection.execute_batch(&key.pragma())?;
    // A message changes a few rows in each of some thirty trees: half pages are half the work of sealing and writing them.
    connection.execute_batch(&format!(
        "PRAGMA cipher_page_size = {PAGE_BYTES}; PRAGMA cipher_hmac_algorithm = HMAC_SHA256"
    ))?;
    read_first_page(&connection)?;
    connection.execute_batch(&format!("PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}"))?;
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = ON",
    )?;
    Ok(connection)
}

/// The first page opens only under the right key.
fn read_first_page(connection: &Connection) -> Result<(), OpenError> {
    match connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0)) {
        Ok(_) => Ok(()),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => Err(OpenError::WrongKey),
        Err(error) => Err(error.into()),
    }
}

/// Write-ahead log on, then every schema step that is missing; a copy is kept while an existing file is changed.
fn migrate(connection: &mut Connection, path: &Path, migrations: &Migrations<'_>) -> Result<(), OpenError> {
    let pending = migrations.pending_migrations(connection).map_err(migration_error)?;
    let found = migrations.current_version(connection).map_err(migration_error)?;
    if let SchemaVersion::Outside(found) = found {
        let known = usize::try_from(i64::from(pending) + found.get() as i64).unwrap_or(0);
        return Err(OpenError::Newer {
            found: found.get(),
            known,
        });
    }
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    let copy = sibling(path, ".before");
    if pending == 0 {
        // The last migration held: its copy holds what may have been deleted since.
        return Ok(files::remove_if_there(&copy)?);
    }
    if found != SchemaVersion::NoneSet {
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        files::copy_durably(path, &copy)?;
    }
    migrations.to_latest(connection).map_err(migration_error)
}

fn remove_database(path: &Path) -> io::Result<()> {
    for end in ["", "-wal", "-shm", "-journal"] {
        files::remove_if_there(&sibling(path, end))?;
    }
    Ok(())
}

/// The path with something added to its last name.
fn sibling(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn migration_error(error: rusqlite_migration::Error) -> OpenError {
    match error {
        rusqlite_migration::Error::RusqliteError { err, .. } => err.into(),
        rusqlite_migration::Error::InvalidUserVersion => OpenError::Broken,
        other => OpenError::Sql(rusqlite::Error::ToSqlConversionFailure(Box::new(other))),
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let Some(found) = error.sqlite_error().copied() else {
            return Self::from_value(error);
        };
        match found.code {
            ErrorCode::DiskFull => Self::Full,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Broken,
            // SQLCipher's word for an overflow page that does not open; a mistake in a statement comes with words of its own.
            ErrorCode::Unknown if error.to_string() == "SQL logic error" => Self::Broken,
            // The log's index could not grow.
            ErrorCode::SystemIoFailure if found.extended_code == ffi::SQLITE_IOERR_SHMSIZE => Self::Full,
            _ => Self::Sql(error),
        }
    }
}

impl StoreError {
    /// A value that the schema allows and the program never writes is damage, not a mistake of the caller.
    fn from_value(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..) => Self::Broken,
            other => Self::Sql(other),
        }
    }
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) {
            return Self::Io(io::ErrorKind::PermissionDenied);
        }
        match StoreError::from(error) {
            StoreError::Full => Self::Full,
            StoreError::Broken => Self::Broken,
            StoreError::Sql(error) => Self::Sql(error),
        }
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        if files::is_full(&error) {
            Self::Full
        } else {
            Self::Io(error.kind())
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
