//! The devices of this account.

use rusqlite::Connection;

use super::QueryError;
use crate::account;
use crate::api::{Device, Devices};
use crate::devices;
use crate::link;
use rusqlite::OptionalExtension as _;

/// Live devices, oldest first, and how the last link stands. Works without an account: it may be asked for.
pub(super) fn devices(db: &Connection) -> Result<Devices, QueryError> {
    let linking = link::shown(db)?;
    let Some(me) = account::load(db)? else {
        return Ok(Devices {
            devices: vec![],
            linking,
        });
    };
    let mut found = Vec::new();
    for logged in devices::live(me.device_log()) {
        let id = logged.entry.device_id;
        let named: Option<(String, bool)> = db
            .prepare_cached("SELECT name, group_id IS NOT NULL FROM own_device WHERE device = ?")?
            .query_row([id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (name, talks) = named.unwrap_or_default();
        let this = id == me.device();
        found.push(Device {
            id: hex::encode(id.as_bytes()),
            name,
            this,
            home: if me.is_home() { this } else { talks },
            added_at: logged.entry.added_at_s.saturating_mul(1000),
        });
    }
    Ok(Devices {
        devices: found,
        linking,
    })
}
