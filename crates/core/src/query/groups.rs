//! Groups: who is in one, and what they may do.
//!
//! In: a chat. Out: [`Group`], as the branch that is written to says.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rusqlite::{Connection, OptionalExtension as _, Row};
use stonechat_wire::group::GroupState;

use super::{QueryError, choice_at, hex_at};
use crate::api::{ChatId, Group, MediaFile, MediaKind, Member, Role, Succession};
use crate::roles;
use crate::store::StoreError;
use std::collections::{BTreeMap, BTreeSet};
use stonechat_wire::ids::AccountId;

const ROLES: [Role; 5] = [Role::Owner, Role::Admin, Role::Moderator, Role::Member, Role::Reader];
const OWNER_HEARD: &str =
    "SELECT coalesce(max(heard_at), 0) FROM seat WHERE chat = ? AND role = 0 AND place IS NOT NULL";
const CONSENTS: &str = "
    SELECT c.account, c.candidate, c.account = (SELECT account FROM account)
    FROM conversation v JOIN consent c ON c.group_id = v.group_id WHERE v.chat = ?";
const MEMBERS: &str = "
    SELECT s.account, s.role, s.account = (SELECT account FROM account) AS me,
           coalesce(nullif(c.alias, ''), c.own_name, s.name) AS name
    FROM seat s LEFT JOIN contact c ON c.account = s.account
    WHERE s.chat = ? AND s.place IS NOT NULL ORDER BY s.place";

/// The group of this chat.
///
/// Errors: the database's own.
pub fn load_group(db: &Connection, chat: ChatId) -> Result<Option<Group>, StoreError> {
    let sql = "SELECT e.state, v.gone = 0 AND v.leaving = 0 FROM conversation v JOIN epoch e ON e.epoch_id = v.head
               WHERE v.chat = ?1 AND v.grouped = 1 UNION ALL SELECT state, 0 FROM lost_group WHERE chat = ?1";
    let found: Option<(Vec<u8>, bool)> = db
        .prepare_cached(sql)?
        .query_row([chat], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((state, member)) = found else { return Ok(None) };
    let Ok(state) = GroupState::decode(&state) else {
        return Err(StoreError::Broken);
    };
    let mut members = db.prepare_cached(MEMBERS)?;
    let electors = roles::electors(&state);
    let needed = roles::consents_needed(electors.len());
    Ok(Some(Group {
        large: state.large,
        owner_heard_at: db.prepare_cached(OWNER_HEARD)?.query_row([chat], |row| row.get(0))?,
        electors: electors.iter().map(|account| hex::encode(account.as_bytes())).collect(),
        consents_needed: u32::try_from(needed).unwrap_or(u32::MAX),
        successions: successions(db, chat, &electors)?,
        chat,
        may_write: shown(state.may_write),
        may_add: shown(state.may_add),
        may_edit: shown(state.may_edit),
        name: state.name,
        description: state.description,
        picture: db
            .prepare_cached("SELECT 1 FROM picture WHERE chat = ?")?
            .exists([chat])?,
        members: members.query_map([chat], member_row)?.collect::<Result<_, _>>()?,
        member,
    }))
}

/// Its picture.
pub(super) fn picture(db: &Connection, chat: ChatId) -> Result<MediaFile, QueryError> {
    let mut statement = db.prepare_cached("SELECT bytes FROM picture WHERE chat = ?")?;
    let bytes: Option<Vec<u8>> = statement.query_row([chat], |row| row.get(0)).optional()?;
    Ok(MediaFile {
        kind: MediaKind::Photo,
        data: STANDARD.encode(bytes.ok_or(QueryError::NotFound)?),
    })
}

/// Whom electors want to be an owner.
fn successions(db: &Connection, chat: ChatId, electors: &BTreeSet<AccountId>) -> Result<Vec<Succession>, StoreError> {
    let mut rows = db.prepare_cached(CONSENTS)?;
    let mut wanted: BTreeMap<AccountId, Succession> = BTreeMap::new();
    for row in rows.query_map([chat], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))? {
        let (account, candidate, mine): ([u8; 32], [u8; 32], bool) = row?;
        let candidate = AccountId::from_bytes(candidate);
        if !electors.contains(&AccountId::from_bytes(account)) || !electors.contains(&candidate) {
            continue;
        }
        let of = wanted.entry(candidate).or_insert_with(|| Succession {
            account: hex::encode(candidate.as_bytes()),
            agreed: 0,
            mine: false,
        });
        of.agreed += 1;
        of.mine |= mine;
    }
    Ok(wanted.into_values().collect())
}

const fn shown(role: stonechat_wire::group::Role) -> Role {
    use stonechat_wire::group::Role as Wire;
    match role {
        Wire::Owner => Role::Owner,
        Wire::Admin => Role::Admin,
        Wire::Moderator => Role::Moderator,
        Wire::Member => Role::Member,
        Wire::Reader => Role::Reader,
    }
}

fn member_row(row: &Row<'_>) -> rusqlite::Result<Member> {
    Ok(Member {
        account: hex_at(row, "account")?,
        name: row.get("name")?,
        role: choice_at(row, "role", &ROLES)?,
        me: row.get("me")?,
    })
}
