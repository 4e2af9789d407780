use std::fs;
use std::io::Write as _;

use stonechat_wire::ids::Timestamp;

use super::*;
use crate::Dice;
use crate::account::{Account, Origin};

const KEY: [u8; 32] = [7; 32];

fn key() -> StoreKey {
    StoreKey::from_bytes(KEY)
}

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn with_store() -> (Self, Store) {
        let home = Self::new();
        let store = Store::create(home.path(), &key()).unwrap();
        (home, store)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn database(&self) -> PathBuf {
        self.path().join(DATABASE)
    }

    fn open(&self) -> Result<Store, OpenError> {
        Store::open(self.path(), &key())
    }
}

fn set(store: &mut Store, key: &str, value: &str) -> Result<(), StoreError> {
    let tx = store.begin()?;
    tx.execute("INSERT OR REPLACE INTO setting VALUES(?, ?)", [key, value])?;
    Ok(tx.commit()?)
}

fn get(connection: &Connection, key: &str) -> Option<String> {
    connection
        .query_row("SELECT value FROM setting WHERE key = ?", [key], |row| row.get(0))
        .ok()
}

fn pragma<T: rusqlite::types::FromSql>(connection: &Connection, name: &str) -> T {
    connection.pragma_query_value(None, name, |row| row.get(0)).unwrap()
}

#[test]
fn what_was_committed_is_there_after_opening_again_sto_5() {
    let (home, mut store) = Home::with_store();
    set(&mut store, "kept", "yes").unwrap();
    let tx = store.begin().unwrap();
    tx.execute("INSERT INTO setting VALUES('lost', 'x')", []).unwrap();
    drop(tx);
    drop(store);
    let store = home.open().unwrap();
    assert_eq!(get(&store.connection, "kept").unwrap(), "yes");
    assert_eq!(get(&store.connection, "lost"), None);
}

#[test]
fn every_connection_is_durable_and_deletes_securely_sto_5() {
    let (_home, store) = Home::with_store();
    let reader = store.reader().unwrap();
    for connection in [&store.connection, &reader.connection] {
        assert_eq!(pragma::<String>(connection, "journal_mode"), "wal");
        assert_eq!(pragma::<i64>(connection, "synchronous"), 2, "FULL");
        assert_eq!(pragma::<i64>(connection, "secure_delete"), 1);
        assert_eq!(pragma::<i64>(connection, "temp_store"), 2, "MEMORY");
        assert_eq!(pragma::<i64>(connection, "foreign_keys"), 1);
    }
    let secure: i64 = store
        .connection
        .query_row(
            "SELECT v FROM message_fts_config WHERE k = 'secure-delete'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(secure, 1, "the search index forgets what is deleted");
}

#[test]
fn nothing_readable_lies_on_the_disk_sto_3() {
    let (home, mut store) = Home::with_store();
    set(&mut store, "canary", "the heron stands in the reeds").unwrap();
    for name in files::names(home.path()).unwrap() {
        let bytes = fs::read(home.path().join(&name)).unwrap();
        assert!(!bytes.windows(9).any(|window| window == b"the heron"), "{name}");
        assert!(!bytes.windows(7).any(|window| window == b"setting"), "{name}");
    }
}

#[test]
fn reader_sees_commits_and_cannot_write_sto_5() {
    let (_home, mut store) = Home::with_store();
    let reader = store.reader().unwrap();
    set(&mut store, "theme", "dark").unwrap();
    assert_eq!(get(&reader.connection, "theme").unwrap(), "dark");
    assert!(reader.connection.execute("DELETE FROM setting", []).is_err());
}

#[test]
fn deleted_keys_leave_the_log_with_the_next_checkpoint_sto_6() {
    let (home, mut store) = Home::with_store();
    set(&mut store, "secret", "x").unwrap();
    let log = home.path().join(format!("{DATABASE}-wal"));
    assert!(fs::metadata(&log).unwrap().len() > 0);
    assert!(store.checkpoint_truncate().unwrap());
    assert_eq!(fs::metadata(&log).unwrap().len(), 0);
}

#[test]
fn a_checkpoint_waits_for_a_reader_without_failing_sto_6() {
    let (_home, mut store) = Home::with_store();
    store.connection.execute_batch("PRAGMA busy_timeout = 0").unwrap();
    let reader = store.reader().unwrap();
    reader.connection.execute_batch("BEGIN").unwrap();
    assert_eq!(get(&reader.connection, "secret"), None);
    set(&mut store, "secret", "x").unwrap();
    assert!(!store.checkpoint_truncate().unwrap());
    reader.connection.execute_batch("COMMIT").unwrap();
    assert!(store.checkpoint_truncate().unwrap());
}

#[test]
fn wrong_key_is_told_from_a_missing_and_an_existing_database_sto_3() {
    let (home, store) = Home::with_store();
    drop(store);
    let other = StoreKey::from_bytes([8; 32]);
    assert!(matches!(Store::open(home.path(), &other), Err(OpenError::WrongKey)));
    assert!(matches!(Store::create(home.path(), &key()), Err(OpenError::Exists)));
    assert!(matches!(
        Store::open(Home::new().path(), &key()),
        Err(OpenError::Missing)
    ));
    home.open().unwrap();
}

#[test]
fn damaged_databases_are_called_damaged_sto_3() {
    let (home, store) = Home::with_store();
    drop(store);
    let good = fs::read(home.database()).unwrap();
    let cuts = [
        0,
        100,
        PAGE_BYTES - 1,
        PAGE_BYTES,
        3 * PAGE_BYTES,
        good.len() - PAGE_BYTES,
    ];
    for cut in cuts {
        fs::write(home.database(), &good[..cut]).unwrap();
        let found = home.open().map(drop);
        assert!(matches!(found, Err(OpenError::Broken)), "cut at {cut}: {found:?}");
    }
    fs::write(home.database(), [b"SQLite format 3\0".as_slice(), &good[16..]].concat()).unwrap();
    assert!(matches!(home.open(), Err(OpenError::Broken)), "a plain SQLite file");
    let mut flipped = good.clone();
    for page in flipped.chunks_mut(PAGE_BYTES).skip(1) {
        page[1000] ^= 1;
    }
    fs::write(home.database(), &flipped).unwrap();
    assert!(
        matches!(home.open(), Err(OpenError::Broken)),
        "damaged after the first page"
    );
    fs::write(home.database(), &good).unwrap();
    home.open().unwrap();
}

#[test]
fn damage_met_later_is_a_typed_error_sto_3() {
    let (home, mut store) = Home::with_store();
    for n in 0..200 {
        set(&mut store, &format!("key {n}"), &"x".repeat(500)).unwrap();
    }
    store.checkpoint_truncate().unwrap();
    drop(store);
    let mut bytes = fs::read(home.database()).unwrap();
    for page in bytes.chunks_mut(PAGE_BYTES).rev().take(20) {
        page[1000] ^= 1;
    }
    fs::write(home.database(), bytes).unwrap();
    let store = home.open().unwrap();
    let sum = store
        .connection
        .query_row("SELECT sum(length(value)) FROM setting", [], |row| row.get::<_, i64>(0));
    let sum = sum.map_err(StoreError::from);
    assert!(matches!(sum, Err(StoreError::Broken)), "{sum:?}");
}

#[test]
fn newer_database_is_refused_and_left_alone_sto_4() {
    let (home, store) = Home::with_store();
    store.connection.pragma_update(None, "user_version", 9).unwrap();
    drop(store);
    let before = fs::read(home.database()).unwrap();
    assert!(matches!(home.open(), Err(OpenError::Newer { found: 9, known: 1 })));
    assert_eq!(fs::read(home.database()).unwrap(), before);
}

#[test]
fn migration_keeps_a_copy_until_the_next_clean_start_sto_4() {
    let (home, mut store) = Home::with_store();
    set(&mut store, "kept", "yes").unwrap();
    drop(store);
    let next = [
        M::up(include_str!("001_first_light.sql")),
        M::up("DELETE FROM setting; CREATE TABLE later(x)"),
    ];
    let mut connection = connect(&home.database(), &key(), OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
    migrate(&mut connection, &home.database(), &Migrations::from_slice(&next)).unwrap();
    assert_eq!(get(&connection, "kept"), None);
    let copy = sibling(&home.database(), ".before");
    assert_eq!(
        get(&Store::open_at(&copy, &key()).unwrap().connection, "kept").unwrap(),
        "yes"
    );
    migrate(&mut connection, &home.database(), &Migrations::from_slice(&next)).unwrap();
    assert!(!copy.exists());
}

#[test]
fn failed_migration_changes_nothing_sto_4() {
    let (home, mut store) = Home::with_store();
    set(&mut store, "kept", "yes").unwrap();
    drop(store);
    let next = [
        M::up(include_str!("001_first_light.sql")),
        M::up("DELETE FROM setting; CREATE TABLE setting(x)"),
    ];
    let mut connection = connect(&home.database(), &key(), OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
    assert!(migrate(&mut connection, &home.database(), &Migrations::from_slice(&next)).is_err());
    drop(connection);
    assert_eq!(get(&home.open().unwrap().connection, "kept").unwrap(), "yes");
}

#[test]
fn half_made_database_of_a_crash_is_made_anew_sto_3() {
    let home = Home::new();
    fs::write(home.path().join(format!("{DATABASE}.new")), b"half").unwrap();
    fs::write(home.path().join(format!("{DATABASE}.new-wal")), b"half").unwrap();
    Store::create(home.path(), &key()).unwrap();
    assert!(
        !files::names(home.path())
            .unwrap()
            .iter()
            .any(|name| name.contains(".new"))
    );
}

#[test]
fn full_disk_undoes_the_whole_step_sto_8() {
    let (_home, mut store) = Home::with_store();
    store.limit_pages(store.pages().unwrap()).unwrap();
    let error = (0..1_000)
        .find_map(|n| set(&mut store, &format!("key {n}"), &"x".repeat(900)).err())
        .unwrap();
    assert!(matches!(error, StoreError::Full), "{error}");
    let count = |store: &Store| {
        store
            .connection
            .query_row("SELECT count(*) FROM setting", [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    let before = count(&store);
    assert!(matches!(
        set(&mut store, "another", &"x".repeat(9_000)),
        Err(StoreError::Full)
    ));
    assert_eq!(count(&store), before);
    store.limit_pages(100_000).unwrap();
    set(&mut store, "another", &"x".repeat(9_000)).unwrap();
}

#[cfg(unix)]
#[test]
fn database_files_belong_to_their_owner_only_sto_3() {
    use std::os::unix::fs::PermissionsExt as _;
    let (home, mut store) = Home::with_store();
    set(&mut store, "x", "y").unwrap();
    for name in files::names(home.path()).unwrap() {
        let mode = fs::metadata(home.path().join(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn nothing_opens_after_a_crash_right_behind_the_key_s_end_sto_7() {
    let home = Home::new();
    let file = KeyFile::at(home.path());
    let key = file.create(None, &mut Dice::seeded([1; 32])).unwrap();
    drop(Store::create(home.path(), &key).unwrap());
    file.destroy().unwrap();
    assert!(home.database().exists(), "the database is still there");
    assert_eq!(file.open(None).unwrap_err(), KeyError::Missing);
    assert!(matches!(home.open(), Err(OpenError::WrongKey)));
    wipe(home.path()).unwrap();
    assert!(files::names(home.path()).unwrap().is_empty());
}

#[test]
fn wipe_takes_every_file_of_an_open_store_sto_7() {
    let home = Home::new();
    let file = KeyFile::at(home.path());
    let key = file.create(None, &mut Dice::seeded([1; 32])).unwrap();
    let mut store = Store::create(home.path(), &key).unwrap();
    set(&mut store, "x", "y").unwrap();
    fs::write(sibling(&home.database(), ".before"), b"copy").unwrap();
    fs::write(home.path().join("config.toml"), b"").unwrap();
    wipe(home.path()).unwrap();
    assert_eq!(files::names(home.path()).unwrap(), ["config.toml"]);
    wipe(home.path()).unwrap();
}

#[test]
#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "how long it takes is what is tested"
)]
fn wiping_a_big_home_takes_less_than_a_second_sto_7() {
    let (home, store) = Home::with_store();
    drop(store);
    KeyFile::at(home.path())
        .create(None, &mut Dice::seeded([1; 32]))
        .unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(home.database()).unwrap();
    for _ in 0..64 {
        file.write_all(&[1; 4 << 20]).unwrap();
    }
    drop(file);
    let start = std::time::Instant::now();
    wipe(home.path()).unwrap();
    assert!(start.elapsed().as_millis() < 1_000);
    assert!(files::names(home.path()).unwrap().is_empty());
}

/// The database of a schema. `UPDATE_FIXTURE=1` writes that of schema 1 again: only before it is released.
fn fixture(schema: usize) -> PathBuf {
    static WRITTEN: std::sync::Once = std::sync::Once::new();
    if std::env::var_os("UPDATE_FIXTURE").is_some() {
        WRITTEN.call_once(write_fixture);
    }
    fixture_path(schema)
}

fn fixture_path(schema: usize) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/schema_{schema}.db"))
}

fn write_fixture() {
    let (home, mut store) = Home::with_store();
    set(&mut store, "language", "ru").unwrap();
    let tx = store.begin().unwrap();
    let name = "Ana of schema 1";
    Account::found(&tx, Origin::Fresh, name, Timestamp(1), &mut Dice::seeded([1; 32])).unwrap();
    tx.commit().unwrap();
    store.checkpoint_truncate().unwrap();
    drop(store);
    fs::create_dir_all(fixture_path(1).parent().unwrap()).unwrap();
    fs::write(fixture_path(1), fs::read(home.database()).unwrap()).unwrap();
}

#[test]
fn databases_of_every_schema_are_opened_sto_4() {
    for schema in 1..=SCHEMAS.len() {
        let home = Home::new();
        fs::copy(fixture(schema), home.database()).unwrap();
        let store = home.open().unwrap();
        assert_eq!(get(&store.connection, "language").unwrap(), "ru");
        let account = crate::account::load(&store.connection).unwrap().unwrap();
        assert_eq!(account.name(), format!("Ana of schema {schema}"));
        assert_eq!(
            pragma::<isize>(&store.connection, "user_version"),
            SCHEMAS.len().cast_signed()
        );
    }
}

#[test]
fn a_schema_that_lies_in_the_tests_is_not_edited_sto_4() {
    let (_home, fresh) = Home::with_store();
    let home = Home::new();
    fs::copy(fixture(1), home.database()).unwrap();
    let old = home.open().unwrap();
    let hint = "001_first_light.sql differs from tests/fixtures/schema_1.db (not released yet: UPDATE_FIXTURE=1)";
    assert!(schema(&fresh.connection) == schema(&old.connection), "{hint}");
}

/// All definitions without comments and white space.
fn schema(connection: &Connection) -> Vec<String> {
    let mut statement = connection
        .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")
        .unwrap();
    let all = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let bare = |line: &str| {
        line.split("--")
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect::<String>()
    };
    all.map(|sql| sql.unwrap().lines().map(bare).collect()).collect()
}
