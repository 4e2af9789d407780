//! Status: who this profile is and how it is doing.

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::people::request_count;
use super::{Live, LiveTry, hex_at, number_at};
use crate::api::{Me, Relay, RelayWay, Status, Tried};
use crate::store::StoreError;
use stonechat_wire::address::{shown, ways};
use stonechat_wire::ids::RelayId;

/// A clock that is off by less is not worth a word.
const CLOCK_OFF_MS: u64 = 24 * 60 * 60 * 1000;

/// Its condition repeats that of the index `message_open`.
pub(super) const QUEUED: &str =
    "SELECT count(*) AS n FROM message WHERE mine = 1 AND state < 3 AND state = 0 AND chat IS NOT NULL";

/// The status of a profile that cannot be read: locked, or without a database.
#[must_use]
pub fn locked_status(live: &Live) -> Status {
    Status {
        version: live.version.clone(),
        me: None,
        locked: live.locked,
        has_passphrase: live.has_passphrase,
        connection: live.connection,
        relays: Vec::new(),
        clock_offset_ms: 0,
        queued: 0,
        restored: false,
        restoring: None,
        revoked: false,
        home: false,
        unread: 0,
        requests: 0,
    }
}

pub(super) fn status(db: &Connection, live: &Live) -> Result<Status, StoreError> {
    let account = account(db)?;
    let (restored, revoked, home) = account
        .as_ref()
        .map_or((false, false, false), |found| (found.1, found.2, found.3));
    Ok(Status {
        me: account.map(|found| found.0),
        home,
        restored,
        revoked,
        restoring: crate::restore::shown(db)?,
        relays: relays(db, live)?,
        clock_offset_ms: clock_offset(db)?,
        queued: count(db, QUEUED)?,
        unread: count(db, "SELECT coalesce(sum(unread), 0) AS n FROM chat WHERE hidden = 0")?,
        requests: request_count(db)?,
        ..locked_status(live)
    })
}

fn account(db: &Connection) -> Result<Option<(Me, bool, bool, bool)>, StoreError> {
    let map = |row: &Row<'_>| {
        Ok((
            Me {
                id: hex_at(row, "account")?,
                name: row.get("name")?,
            },
            row.get("restored")?,
            row.get("revoked")?,
            row.get("home")?,
        ))
    };
    Ok(db
        .prepare_cached("SELECT account, name, restored, revoked, seed IS NOT NULL AS home FROM account")?
        .query_row([], map)
        .optional()?)
}

fn relays(db: &Connection, live: &Live) -> Result<Vec<Relay>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT relay, address, own, withheld, private, dealt, answered_at FROM relay WHERE near = 0 AND removed = 0
         ORDER BY own DESC, added_at, relay",
    )?;
    let relays = statement.query_map([], |row| {
        let relay: RelayId = row.get::<_, [u8; 16]>("relay")?.into();
        Ok(Relay {
            id: hex_at(row, "relay")?,
            address: shown(&row.get::<_, String>("address")?),
            own: row.get("own")?,
            connected: live.connected.contains(&relay),
            through: live.through.contains(&relay),
            withholds: row.get::<_, u32>("withheld")? >= crate::watch::WITHHOLDS,
            private: row.get("private")?,
            answered_at: row.get::<_, Option<i64>>("answered_at")?.map(i64::unsigned_abs),
            from_public: row.get("dealt")?,
            dealt_to: dealt_to(db, relay)?,
            ways: further(db, live, relay)?,
            tried: tried(db, live, relay)?,
        })
    })?;
    Ok(relays.collect::<Result<_, _>>()?)
}

/// A relay's further addresses, who said them, and which of them leads there now.
fn further(db: &Connection, live: &Live, relay: RelayId) -> rusqlite::Result<Vec<RelayWay>> {
    let sql = "SELECT w.address, r.address AS named, w.by IS NOT NULL AS said, coalesce(
                      (SELECT coalesce(nullif(alias, ''), own_name) FROM contact WHERE account = w.by),
                      (SELECT name FROM seat WHERE account = w.by LIMIT 1), lower(substr(hex(w.by), 1, 8))) AS name
               FROM relay_way w JOIN relay r USING (relay) WHERE relay = ? AND w.refused = 0 ORDER BY w.by IS NOT NULL, w.said_at, w.address";
    let in_use = live
        .ways
        .iter()
        .find(|(id, _)| *id == relay)
        .map(|(_, way)| way.as_str());
    let mut rows = db.prepare_cached(sql)?;
    let found = rows.query_map([relay.as_bytes()], |row| {
        let (address, named): (String, String) = (row.get("address")?, row.get("named")?);
        Ok(RelayWay {
            address: shown(&address),
            said_by: if row.get("said")? { row.get("name")? } else { None },
            in_use: in_use.is_some_and(|way| leads_by(way, &address, &named)),
        })
    })?;
    found.collect()
}

/// Whether a way is one of a further address, and none of that which the relay is named by: the way itself, or the name whose
/// number it is, or that a browser dials.
fn leads_by(way: &str, further: &str, named: &str) -> bool {
    let has = |address: &str, way: &str| ways(address).iter().any(|known| known == way);
    let name = way.split_once('@').map_or(way, |(name, _)| name);
    !has(named, way) && (has(further, way) || (!has(named, name) && has(further, name)))
}

/// Which ways to a relay that does not answer were tried last.
fn tried(db: &Connection, live: &Live, relay: RelayId) -> rusqlite::Result<Vec<Tried>> {
    let tries = live.tried.get(&relay).filter(|_| !live.connected.contains(&relay));
    let shown = |of: &LiveTry| {
        Ok(Tried {
            place: of.place.clone(),
            through: of.through.map(|helper| address(db, helper)).transpose()?,
            by_browser: of.by_browser,
            why: of.why,
        })
    };
    tries.into_iter().flatten().map(shown).collect()
}

fn address(db: &Connection, relay: RelayId) -> rusqlite::Result<String> {
    let sql = "SELECT address FROM relay WHERE relay = ?";
    let address: Option<String> = db
        .prepare_cached(sql)?
        .query_row([relay.as_bytes()], |row| row.get(0))
        .optional()?;
    Ok(address.map(|address| shown(&address)).unwrap_or_default())
}

/// The contacts who were dealt this entrance.
fn dealt_to(db: &Connection, relay: RelayId) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT coalesce(c.alias, c.own_name) AS name FROM entrance e JOIN contact c ON c.account = e.contact
               WHERE e.relay = ? ORDER BY name, c.account";
    let mut rows = db.prepare_cached(sql)?;
    let names = rows.query_map([relay.as_bytes()], |row| row.get(0))?;
    names.collect()
}

/// Median of relay clock minus device clock, where it is more than a day.
fn clock_offset(db: &Connection) -> Result<i64, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT offset_ms FROM relay WHERE offset_ms IS NOT NULL ORDER BY offset_ms")?;
    let offsets: Vec<i64> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let median = offsets.get(offsets.len() / 2).copied().unwrap_or(0);
    Ok(if median.unsigned_abs() > CLOCK_OFF_MS {
        median
    } else {
        0
    })
}

fn count(db: &Connection, sql: &str) -> Result<u32, StoreError> {
    Ok(db.prepare_cached(sql)?.query_row([], |row| number_at(row, "n"))?)
}
