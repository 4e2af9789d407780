//! Interface settings: rows of the table `setting`, one per value that was chosen.

use rusqlite::{Connection, OptionalExtension as _};

use crate::api::Settings;
use crate::store::StoreError;

const LANGUAGE: &str = "language";
const THEME: &str = "theme";
const READ_RECEIPTS: &str = "read_receipts";
const WAYS: &str = "ways";

/// What is set; read receipts are told unless they were switched off.
///
/// Errors: the database's own.
pub fn load_settings(db: &Connection) -> Result<Settings, StoreError> {
    Ok(Settings {
        language: value(db, LANGUAGE)?,
        theme: value(db, THEME)?,
        read_receipts: value(db, READ_RECEIPTS)?.is_none_or(|value| value == "true"),
    })
}

/// Keeps all of them; what is absent is forgotten.
///
/// Errors: the database's own.
pub fn save_settings(db: &Connection, settings: &Settings) -> Result<(), StoreError> {
    let receipts = settings.read_receipts.to_string();
    set(db, LANGUAGE, settings.language.as_deref())?;
    set(db, THEME, settings.theme.as_deref())?;
    set(db, READ_RECEIPTS, Some(&receipts))
}

/// What the courier wanted to be kept; empty where nothing was.
///
/// Errors: the database's own.
pub fn load_ways(db: &Connection) -> Result<String, StoreError> {
    Ok(value(db, WAYS)?.unwrap_or_default())
}

/// Keeps it in the place of what was kept.
///
/// Errors: the database's own.
pub fn save_ways(db: &Connection, learned: &str) -> Result<(), StoreError> {
    set(db, WAYS, Some(learned))
}

fn value(db: &Connection, key: &str) -> Result<Option<String>, StoreError> {
    let mut statement = db.prepare_cached("SELECT value FROM setting WHERE key = ?")?;
    Ok(statement.query_row([key], |row| row.get(0)).optional()?)
}

fn set(db: &Connection, key: &str, value: Option<&str>) -> Result<(), StoreError> {
    match value {
        Some(value) => db.execute("INSERT OR REPLACE INTO setting VALUES(?, ?)", [key, value])?,
        None => db.execute("DELETE FROM setting WHERE key = ?", [key])?,
    };
    Ok(())
}
