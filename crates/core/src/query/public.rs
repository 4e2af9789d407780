//! Public invitations as their owner sees them.

use super::{choice_at, hex_at, number_at};
use crate::api::{InviteState, PublicInvite, Reach};
use crate::store::StoreError;
use rusqlite::{Connection, OptionalExtension, Row};

const PUBLIC: &str = "SELECT id, link, code, reach, state, a_day, created_at, expires_at FROM public_invite";

/// The entry of a public invitation (16 bytes).
///
/// Errors: the database's own.
pub fn load(db: &Connection, id: &[u8]) -> Result<Option<PublicInvite>, StoreError> {
    let mut statement = db.prepare_cached(&format!("{PUBLIC} WHERE id = ?"))?;
    Ok(statement.query_row([id], |row| public_row(db, row)).optional()?)
}

/// All of them, newest first.
pub(super) fn all(db: &Connection) -> Result<Vec<PublicInvite>, StoreError> {
    let mut statement = db.prepare_cached(&format!("{PUBLIC} ORDER BY created_at DESC, id"))?;
    let rows = statement.query_map([], |row| public_row(db, row))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn public_row(db: &Connection, row: &Row<'_>) -> rusqlite::Result<PublicInvite> {
    const STATES: [InviteState; 6] = [
        InviteState::Preparing,
        InviteState::Open,
        InviteState::Used,
        InviteState::Expired,
        InviteState::Revoked,
        InviteState::Attacked,
    ];
    let id: [u8; 16] = row.get("id")?;
    Ok(PublicInvite {
        id: hex_at(row, "id")?,
        link: row.get("link")?,
        code: row.get("code")?,
        reach: choice_at(
            row,
            "reach",
            &[Reach::ThisComputer, Reach::LocalNetwork, Reach::Internet],
        )?,
        state: choice_at(row, "state", &STATES)?,
        created_at: number_at(row, "created_at")?,
        expires_at: number_at(row, "expires_at")?,
        days: days(db, &id, number_at(row, "a_day")?)?,
    })
}

/// The addresses of each day, two a hand.
fn days(db: &Connection, id: &[u8; 16], a_day: usize) -> rusqlite::Result<Vec<Vec<String>>> {
    let sql = "SELECT first, second FROM public_hand WHERE invite = ? ORDER BY number";
    let mut statement = db.prepare_cached(sql)?;
    let hands = statement.query_map([id], |row| Ok([row.get(0)?, row.get(1)?]))?;
    let hands: Vec<[String; 2]> = hands.collect::<Result<_, _>>()?;
    Ok(hands.chunks(a_day.max(1)).map(<[_]>::concat).collect())
}
