//! Messages: one, or a stretch of a chat by position.
//!
//! In: ids and positions. Out: [`Message`]s and [`Messages`]. A page costs what it shows; its counts come from the
//! index over (chat, position) alone (API-7).

use rusqlite::{Connection, OptionalExtension as _, Row, named_params};

use super::{QueryError, check_limit, choice_at, content, format, hex_at, number_at, optional_number_at, polls};
use crate::api::{ChatId, ForwardedFrom, Message, MessageKind, MessageState, Messages, MessagesOf, Place, Quote};
use crate::content::signs;
use crate::store::StoreError;
use stonechat_wire::place;

/// What one [`message_row`] needs, from `message m`.
///
/// Parents are known by the first 8 bytes of their id: the least id from there on is theirs, or they are missing.
pub(super) const COLUMNS: &str = "
    m.id, m.chat, m.position, m.sender, m.mine, m.kind, m.text, m.sent_at, m.state, m.client_id,
    CASE m.mine WHEN 1 THEN (SELECT name FROM account)
                ELSE coalesce((SELECT coalesce(nullif(alias, ''), own_name) FROM contact WHERE account = m.sender),
                              (SELECT name FROM seat WHERE chat = m.chat AND account = m.sender)) END AS from_name,
    m.late, m.reply_to, m.edited_at, nullif(m.timer_s, 0) AS timer_s,
    coalesce(m.back_at, m.vanish_at) AS vanish_at,
    m.spans, m.mentions, m.pinned IS NOT NULL AS pinned, m.poll, m.forwarded, m.place,
    m.kind < 2 AND (m.mine OR EXISTS (
        SELECT 1 FROM account o JOIN seat s ON s.chat = m.chat AND s.account = o.account
        LEFT JOIN seat w ON w.chat = m.chat AND w.account = m.sender
        WHERE s.place IS NOT NULL AND s.role <= 2 AND (w.place IS NULL OR s.place < w.place)
    )) AS may_delete,
    CASE m.complete WHEN 1 THEN 0 ELSE (
        SELECT count(*) FROM message_parent p WHERE p.group_id = m.group_id AND p.child = m.id AND p.parent IS NOT
            (SELECT substr(known.id, 1, 8) FROM message known WHERE known.id >= p.parent ORDER BY known.id LIMIT 1)
    ) END AS missing_before,
    CASE m.complete WHEN 1 THEN 0 ELSE EXISTS(
        SELECT 1 FROM message_parent p JOIN want w ON w.group_id = p.group_id AND w.short = p.parent
        WHERE p.group_id = m.group_id AND p.child = m.id AND w.asked > 0
    ) END AS asked_for";

/// Of a page: from a position back.
pub(super) const NEWEST_FIRST: &str = "m.position < :position ORDER BY m.position DESC";
/// Of a page: from a position on.
pub(super) const OLDEST_FIRST: &str = "m.position >= :position ORDER BY m.position";
/// From the index alone.
pub(super) const COUNT: &str = "SELECT count(*) AS n FROM message WHERE chat = ? AND position >= ? AND position < ?";
/// From an index that holds nothing but unread messages.
pub(super) const FIRST_UNREAD: &str = "SELECT min(position) FROM message WHERE chat = ? AND state = 4";

const STATES: [MessageState; 5] = [
    MessageState::Queued,
    MessageState::Carried,
    MessageState::Delivered,
    MessageState::Read,
    MessageState::Received,
];
/// By their numbers; what is nothing to show (4) is in no chat.
pub(super) const KINDS: [MessageKind; 11] = [
    MessageKind::Text,
    MessageKind::Unknown,
    MessageKind::Began,
    MessageKind::Deleted,
    MessageKind::Unknown,
    MessageKind::NewDevice,
    MessageKind::Timer,
    MessageKind::Unknown,
    MessageKind::Unknown,
    MessageKind::Unknown,
    MessageKind::Introduction,
];

/// The message with this id (16 bytes), hidden chats included.
///
/// Errors: the database's own.
pub fn load_message(db: &Connection, id: &[u8]) -> Result<Option<Message>, StoreError> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM message m WHERE m.id = ? AND m.chat IS NOT NULL"
    ))?;
    let found = statement.query_row([id], message_row).optional()?;
    dressed(db, found)
}

/// The same for the interface: what is in a hidden chat is not found.
pub(super) fn shown_message(db: &Connection, id: &[u8]) -> Result<Message, QueryError> {
    let message = load_message(db, id)?.ok_or(QueryError::NotFound)?;
    check_shown(db, message.chat)?;
    Ok(message)
}

/// The newest message of a chat.
pub(super) fn last_of(db: &Connection, chat: ChatId) -> Result<Option<Message>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM message m WHERE m.chat = ? ORDER BY m.position DESC LIMIT 1");
    let found = db.prepare_cached(&sql)?.query_row([chat], message_row).optional()?;
    dressed(db, found)
}

/// With what stands in other rows: what it quotes, what others think of it.
fn dressed(db: &Connection, mut found: Option<Message>) -> Result<Option<Message>, StoreError> {
    if let Some(message) = &mut found {
        content::dress(db, message)?;
    }
    Ok(found)
}

/// The newest pins of a chat, in the order all agree on (CON-19).
pub(super) const PINS: &str = "m.pinned IS NOT NULL ORDER BY m.pinned DESC, m.id DESC";
const PINS_MAX: u32 = 32;

/// What is pinned in a chat.
pub(super) fn pins(db: &Connection, chat: ChatId) -> Result<Vec<Message>, QueryError> {
    check_shown(db, chat)?;
    let mut statement = db.prepare_cached(&stretch_sql(PINS))?;
    let asked = named_params! {":chat": chat, ":limit": PINS_MAX};
    let mut messages: Vec<Message> = statement.query_map(asked, message_row)?.collect::<Result<_, _>>()?;
    for message in &mut messages {
        content::dress(db, message)?;
    }
    Ok(messages)
}

/// Where the first message of others stands that has not been read.
pub(super) fn first_unread(db: &Connection, chat: ChatId) -> Result<Option<i64>, StoreError> {
    Ok(db.prepare_cached(FIRST_UNREAD)?.query_row([chat], |row| row.get(0))?)
}

/// A page of a chat, as asked for.
pub(super) fn messages(db: &Connection, of: &MessagesOf) -> Result<Messages, QueryError> {
    check_limit(of.limit, 500)?;
    check_shown(db, of.chat)?;
    let messages = match (of.before, of.after, of.around) {
        (None, None, None) => before(db, of.chat, i64::MAX, of.limit)?,
        (Some(position), None, None) => before(db, of.chat, position, of.limit)?,
        (None, Some(position), None) => from(db, of.chat, position.saturating_add(1), of.limit)?,
        (None, None, Some(position)) => around(db, of.chat, position, of.limit)?,
        _ => return Err(QueryError::BadParams),
    };
    Ok(placed(db, of, messages)?)
}

fn check_shown(db: &Connection, chat: ChatId) -> Result<(), QueryError> {
    let sql = "SELECT hidden FROM chat WHERE id = ?";
    match db
        .prepare_cached(sql)?
        .query_row([chat], |row| row.get::<_, bool>(0))
        .optional()?
    {
        Some(false) => Ok(()),
        Some(true) | None => Err(QueryError::NotFound),
    }
}

fn around(db: &Connection, chat: ChatId, position: i64, limit: u32) -> Result<Vec<Message>, StoreError> {
    let mut messages = before(db, chat, position, limit / 2)?;
    messages.extend(from(db, chat, position, limit.div_ceil(2))?);
    Ok(messages)
}

fn before(db: &Connection, chat: ChatId, position: i64, limit: u32) -> Result<Vec<Message>, StoreError> {
    let mut messages = stretch(db, NEWEST_FIRST, chat, position, limit)?;
    messages.reverse();
    Ok(messages)
}

fn from(db: &Connection, chat: ChatId, position: i64, limit: u32) -> Result<Vec<Message>, StoreError> {
    stretch(db, OLDEST_FIRST, chat, position, limit)
}

fn stretch(db: &Connection, part: &str, chat: ChatId, position: i64, limit: u32) -> Result<Vec<Message>, StoreError> {
    let mut statement = db.prepare_cached(&stretch_sql(part))?;
    let asked = named_params! {":chat": chat, ":position": position, ":limit": limit};
    let mut messages: Vec<Message> = statement.query_map(asked, message_row)?.collect::<Result<_, _>>()?;
    for message in &mut messages {
        content::dress(db, message)?;
    }
    Ok(messages)
}

pub(super) fn stretch_sql(part: &str) -> String {
    format!("SELECT {COLUMNS} FROM message m WHERE m.chat = :chat AND {part} LIMIT :limit")
}

/// A page with its place in the chat. An empty page stands where it was asked for.
fn placed(db: &Connection, of: &MessagesOf, messages: Vec<Message>) -> Result<Messages, StoreError> {
    let total = count(db, of.chat, i64::MIN, i64::MAX)?;
    let asked = of
        .before
        .or(of.around)
        .or_else(|| of.after.map(|after| after.saturating_add(1)))
        .unwrap_or(i64::MAX);
    let first = messages.first().map_or(asked, |message| message.position);
    let index = match of.before.or(of.after).or(of.around) {
        Some(_) => count(db, of.chat, i64::MIN, first)?,
        None => total.saturating_sub(length(&messages)),
    };
    let behind = index.saturating_add(length(&messages));
    Ok(Messages {
        more_before: index > 0,
        more_after: behind < total,
        messages,
        total,
        index,
    })
}

fn length(messages: &[Message]) -> u32 {
    u32::try_from(messages.len()).unwrap_or(u32::MAX)
}

/// How many messages of the chat stand from `first` up to but not with `end`.
fn count(db: &Connection, chat: ChatId, first: i64, end: i64) -> Result<u32, StoreError> {
    Ok(db
        .prepare_cached(COUNT)?
        .query_row([chat, first, end], |row| number_at(row, "n"))?)
}

fn place(row: &Row<'_>) -> rusqlite::Result<Option<Place>> {
    let encoded: Option<Vec<u8>> = row.get("place")?;
    let place = encoded.and_then(|encoded| place::Place::decode(&encoded).ok());
    Ok(place.map(|place| Place {
        lat: place.lat,
        lon: place.lon,
        accuracy_m: place.accuracy_m,
        label: place.label,
    }))
}

/// A row of [`COLUMNS`], without what [`content::dress`] adds.
pub(super) fn message_row(row: &Row<'_>) -> rusqlite::Result<Message> {
    let text: String = row.get("text")?;
    let spans = format::spans(&text, row.get::<_, Option<Vec<u8>>>("spans")?.as_deref());
    Ok(Message {
        id: hex_at(row, "id")?,
        chat: row.get("chat")?,
        position: row.get("position")?,
        from: hex_at(row, "sender")?,
        from_name: row.get::<_, Option<String>>("from_name")?.unwrap_or_default(),
        mine: row.get("mine")?,
        kind: choice_at(row, "kind", &KINDS)?,
        format: format::nodes(&text, &spans),
        typed: (!spans.is_empty()).then(|| signs::written(&text, &spans)),
        text,
        sent_at: number_at(row, "sent_at")?,
        state: choice_at(row, "state", &STATES)?,
        client_id: row.get("client_id")?,
        late: row.get("late")?,
        missing_before: number_at(row, "missing_before")?,
        asked_for: row.get("asked_for")?,
        reply: row.get::<_, Option<[u8; 16]>>("reply_to")?.map(|id| Quote {
            id: hex::encode(id),
            found: None,
        }),
        edited_at: optional_number_at(row, "edited_at")?,
        reactions: Vec::new(),
        may_delete: row.get("may_delete")?,
        timer_s: row.get("timer_s")?,
        vanishes_at: optional_number_at(row, "vanish_at")?,
        media: None,
        mentions_me: row.get("mentions")?,
        pinned: row.get("pinned")?,
        poll: polls::poll(row.get::<_, Option<Vec<u8>>>("poll")?.as_deref()),
        forwarded: row.get::<_, Option<String>>("forwarded")?.map(|name| ForwardedFrom {
            name: (!name.is_empty()).then_some(name),
        }),
        card: None,
        place: place(row)?,
        introduction: None,
    })
}
