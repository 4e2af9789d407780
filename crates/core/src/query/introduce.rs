//! Introductions: what stands on the messages that ask, who vouches for a contact, and what to look at in somebody new.
//!
//! In: messages, contacts. Out: the same with what other rows say of them.

use rusqlite::{Connection, OptionalExtension as _};

use super::QueryError;
use super::messages::load_message;
use crate::api::{CameBy, FirstContact, Introduction, IntroductionState, KnownBy, Message, PersonCard, Vouched};
use crate::lookalike::{mixes_alphabets, skeleton};
use crate::store::StoreError;
use stonechat_wire::introduce::{Ask, Knows, Person, Vouch};

/// Questions told at once.
const OPEN_MAX: u32 = 64;

/// A question that I was asked.
pub(super) const ASKED: &str = "
    SELECT body, said, both, link IS NOT NULL AS link, done, EXISTS (
        SELECT 1 FROM chat h JOIN conversation v ON v.chat = h.id
        WHERE h.contact = account AND h.hidden = 0 AND h.waiting = 0 AND v.gone = 0) AS known
    FROM introduced WHERE ask = ?";
/// A question of mine.
pub(super) const MINE: &str = "
    SELECT c.account, c.own_name, i.taker_said AS said, i.linked FROM introducing i JOIN contact c ON c.account = i.maker
    WHERE i.taker_ask = ?1
    UNION ALL
    SELECT c.account, c.own_name, i.maker_said AS said, i.linked FROM introducing i JOIN contact c ON c.account = i.taker
    WHERE i.maker_ask = ?1";
const VOUCHED: &str = "
    SELECT body FROM introduced WHERE account = ? AND said = 1 AND done < 2 ORDER BY at LIMIT 1";
const OPEN: &str = "
    SELECT ask FROM introduced WHERE said IS NULL AND done = 0 AND ask IS NOT NULL ORDER BY at DESC LIMIT ?";

/// What stands on a message that asks whether two people shall meet.
pub(super) fn of_message(db: &Connection, id: &[u8], mine: bool) -> Result<Option<Introduction>, StoreError> {
    if mine { my_question(db, id) } else { asked(db, id) }
}

fn asked(db: &Connection, id: &[u8]) -> Result<Option<Introduction>, StoreError> {
    let found = db.prepare_cached(ASKED)?.query_row([id], |row| {
        let (body, said, done): (Vec<u8>, Option<bool>, u8) = (row.get("body")?, row.get("said")?, row.get("done")?);
        Ok((body, state(said, done, row.get("known")?)))
    });
    let Some((body, state)) = found.optional()? else {
        return Ok(None);
    };
    let ask = Ask::decode(&body).map_err(|_| StoreError::Broken)?;
    Ok(Some(Introduction {
        account: hex::encode(ask.who.account().as_bytes()),
        name: ask.who.name.clone(),
        state,
        vouches: told(db, &ask.chain)?,
    }))
}

const fn state(said: Option<bool>, done: u8, known: bool) -> IntroductionState {
    match (said, done) {
        (None, _) => IntroductionState::Asked,
        (Some(false), _) => IntroductionState::Declined,
        (Some(true), 2) => IntroductionState::Wrong,
        (Some(true), _) if known => IntroductionState::Met,
        (Some(true), 0) => IntroductionState::Agreed,
        (Some(true), _) => IntroductionState::OnItsWay,
    }
}

fn my_question(db: &Connection, id: &[u8]) -> Result<Option<Introduction>, StoreError> {
    let found = db.prepare_cached(MINE)?.query_row([id], |row| {
        let (said, linked): (Option<bool>, u8) = (row.get("said")?, row.get("linked")?);
        let account: Vec<u8> = row.get("account")?;
        Ok(Introduction {
            account: hex::encode(account),
            name: row.get("own_name")?,
            state: if linked == 2 {
                IntroductionState::OnItsWay
            } else {
                state(said, 0, false)
            },
            vouches: Vec::new(),
        })
    });
    Ok(found.optional()?)
}

/// Who introduced a contact, and how they know; nobody where nobody did.
pub(super) fn vouches(db: &Connection, account: &[u8]) -> Result<Vec<Vouched>, StoreError> {
    let body: Option<Vec<u8>> = db
        .prepare_cached(VOUCHED)?
        .query_row([account], |row| row.get(0))
        .optional()?;
    match body.and_then(|body| Ask::decode(&body).ok()) {
        Some(ask) => told(db, &ask.chain),
        None => Ok(Vec::new()),
    }
}

fn told(db: &Connection, chain: &[Vouch]) -> Result<Vec<Vouched>, StoreError> {
    let sql = "SELECT coalesce(nullif(alias, ''), own_name), verified FROM contact WHERE account = ?";
    let mut statement = db.prepare_cached(sql)?;
    let mut all = Vec::new();
    for vouch in chain {
        let account = vouch.by.account();
        let known: Option<(String, bool)> = statement
            .query_row([account.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (name, verified) = known.unwrap_or_else(|| (vouch.by.name.clone(), false));
        all.push(Vouched {
            account: hex::encode(account.as_bytes()),
            name,
            known_by: match vouch.knows {
                Knows::Verified => KnownBy::Verified,
                Knows::Met => KnownBy::Invitation,
                Knows::Introduced => KnownBy::Introduction,
            },
            at: vouch.at_s.saturating_mul(1000),
            verified,
        });
    }
    Ok(all)
}

/// Questions that wait for my answer, newest first.
pub(super) fn open(db: &Connection) -> Result<Vec<Message>, QueryError> {
    let mut statement = db.prepare_cached(OPEN)?;
    let ids: Vec<[u8; 16]> = statement
        .query_map([OPEN_MAX], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut all = Vec::new();
    for id in ids {
        all.extend(load_message(db, &id)?);
    }
    Ok(all)
}

/// The card of a message, with what is known of that person here.
pub(super) fn card(db: &Connection, id: &[u8]) -> Result<Option<PersonCard>, StoreError> {
    let card: Option<Vec<u8>> = db
        .prepare_cached("SELECT card FROM message WHERE id = ?")?
        .query_row([id], |row| row.get(0))
        .optional()?
        .flatten();
    let Some(person) = card.and_then(|card| Person::decode(&card).ok()) else {
        return Ok(None);
    };
    let account = person.account();
    let me = db
        .prepare_cached("SELECT 1 FROM account WHERE account = ?")?
        .exists([account.as_bytes()])?;
    let chat = db
        .prepare_cached("SELECT id FROM chat WHERE contact = ? AND hidden = 0")?
        .query_row([account.as_bytes()], |row| row.get(0))
        .optional()?;
    Ok(Some(PersonCard {
        account: hex::encode(account.as_bytes()),
        name: person.name,
        chat,
        me,
    }))
}

const OTHERS: &str = "
    SELECT coalesce(nullif(c.alias, ''), c.own_name) FROM contact c JOIN chat h ON h.contact = c.account AND h.hidden = 0
    WHERE c.account <> ? ORDER BY c.added_at LIMIT 2048";
/// Whether they came by a link into a group.
const BY_LINK: &str = "
    SELECT EXISTS (SELECT 1 FROM acceptance WHERE account = ?1 AND into_group IS NOT NULL)
        OR EXISTS (SELECT 1 FROM claim w JOIN invite i ON i.id = w.invite WHERE w.account = ?1 AND i.who = 2)";
const BY_INVITATION: &str = "
    SELECT EXISTS (SELECT 1 FROM acceptance WHERE account = ?1) OR EXISTS (SELECT 1 FROM claim WHERE account = ?1)";

/// What to look at in a contact (FST-1). Asked when a chat is opened, not with each message: it looks at all names.
pub(super) fn first_contact(db: &Connection, account: &[u8]) -> Result<FirstContact, QueryError> {
    let name: Option<String> = db
        .prepare_cached("SELECT own_name FROM contact WHERE account = ?")?
        .query_row([account], |row| row.get(0))
        .optional()?;
    let name = name.ok_or(QueryError::NotFound)?;
    let has =
        |sql: &str| -> Result<bool, StoreError> { Ok(db.prepare_cached(sql)?.query_row([account], |row| row.get(0))?) };
    let came_by = if !vouches(db, account)?.is_empty() {
        CameBy::Introduction
    } else if has(BY_LINK)? {
        CameBy::GroupLink
    } else if has(BY_INVITATION)? {
        CameBy::Invitation
    } else {
        CameBy::Unknown
    };
    Ok(FirstContact {
        came_by,
        looks_like: looks_like(db, account, &name)?,
        mixed_letters: mixes_alphabets(&name),
    })
}

fn looks_like(db: &Connection, account: &[u8], name: &str) -> Result<Option<String>, StoreError> {
    let seen = skeleton(name);
    if seen.is_empty() {
        return Ok(None);
    }
    let mut statement = db.prepare_cached(OTHERS)?;
    let mut rows = statement.query([account])?;
    while let Some(row) = rows.next()? {
        let other: String = row.get(0)?;
        if skeleton(&other) == seen {
            return Ok(Some(other));
        }
    }
    Ok(None)
}
