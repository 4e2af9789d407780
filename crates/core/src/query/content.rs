//! What stands beside a message in other rows: what it quotes, the emojis on it, its earlier texts.
//!
//! In: messages as their rows say. Out: the same with quote and reactions; histories. What acts did to a message's own
//! row `crate::content` has done already.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::messages::{KINDS, shown_message};
use super::{QueryError, choice_at, format, introduce, number_at, polls};
use crate::api::{ChatId, Media, MediaFile, MediaKind, Message, MessageKind, Quoted, Reaction, Version};
use crate::store::StoreError;

/// Different emojis of one message that are shown.
const REACTIONS_SHOWN: usize = 32;
/// Names told with one of them.
const NAMES_TOLD: usize = 16;
/// Characters of a quoted text.
const QUOTED_CHARS: usize = 160;

const MEDIA: [MediaKind; 2] = [MediaKind::Voice, MediaKind::Photo];

/// Newest last, of each account.
pub(super) const REACTIONS: &str = "
    SELECT a.sender, a.content, a.sender = o.account AS mine, CASE a.sender WHEN o.account THEN o.name ELSE
           coalesce((SELECT coalesce(nullif(alias, ''), own_name) FROM contact WHERE account = a.sender),
                    (SELECT name FROM seat WHERE chat = a.chat AND account = a.sender)) END AS name
    FROM act a CROSS JOIN account o WHERE a.target = ? AND a.kind = 0 AND a.late = 0 ORDER BY a.sender, a.hlc, a.id";
pub(super) const QUOTED: &str = "
    SELECT m.position, m.mine, m.kind, (SELECT kind FROM attachment WHERE message = m.id) AS media, iif(m.spans IS NULL, substr(m.text, 1, 160), m.text) AS text, m.spans, CASE m.mine WHEN 1 THEN (SELECT name FROM account)
           ELSE coalesce((SELECT coalesce(nullif(alias, ''), own_name) FROM contact WHERE account = m.sender),
                         (SELECT name FROM seat WHERE chat = m.chat AND account = m.sender)) END AS name
    FROM message m WHERE m.id = ? AND m.chat = ?";
const HISTORY: &str = "
    SELECT coalesce(original, text) AS text, iif(original IS NULL, spans, original_spans) AS spans, sent_at AS at,
           0 AS hlc, x'' AS act FROM message WHERE id = ?1
    UNION ALL SELECT a.content, a.spans, a.hlc, a.hlc, a.id FROM act a JOIN message m ON m.id = a.target
    WHERE a.target = ?1 AND a.kind = 1 AND a.sender = m.sender AND a.late = 0 ORDER BY hlc, act";

/// Adds to a message what stands in other rows.
pub(super) fn dress(db: &Connection, message: &mut Message) -> Result<(), StoreError> {
    let chat = message.chat;
    if let Some(quote) = &mut message.reply {
        let id = hex::decode(&quote.id).map_err(|_| StoreError::Broken)?;
        quote.found = quoted(db, &id, chat)?;
    }
    if message.kind == MessageKind::Introduction {
        let id = hex::decode(&message.id).map_err(|_| StoreError::Broken)?;
        message.introduction = introduce::of_message(db, &id, message.mine)?;
    }
    if message.kind == MessageKind::Text {
        let id = hex::decode(&message.id).map_err(|_| StoreError::Broken)?;
        message.reactions = reactions(db, &id)?;
        message.media = media(db, &id)?;
        message.card = introduce::card(db, &id)?;
        format::name(db, chat, &mut message.format)?;
        if let Some(poll) = &mut message.poll {
            polls::count(db, &id, poll)?;
        }
    }
    Ok(())
}

fn media(db: &Connection, id: &[u8]) -> Result<Option<Media>, StoreError> {
    let sql =
        "SELECT kind, duration_ms, width, height, preview IS NOT NULL AS preview FROM attachment WHERE message = ?";
    let mut statement = db.prepare_cached(sql)?;
    let found = statement.query_row([id], |row| {
        Ok(Media {
            kind: choice_at(row, "kind", &MEDIA)?,
            duration_ms: row.get("duration_ms")?,
            width: row.get("width")?,
            height: row.get("height")?,
            preview: row.get("preview")?,
        })
    });
    Ok(found.optional()?)
}

/// The file of a voice note or photo, or its preview.
pub(super) fn media_file(db: &Connection, id: &[u8], preview: bool) -> Result<MediaFile, QueryError> {
    shown_message(db, id)?;
    let sql = "SELECT kind, iif(?2, coalesce(preview, bytes), bytes) AS file FROM attachment WHERE message = ?1";
    let mut statement = db.prepare_cached(sql)?;
    let found = statement.query_row((id, preview), |row| {
        Ok(MediaFile {
            kind: choice_at(row, "kind", &MEDIA)?,
            data: STANDARD.encode(row.get::<_, Vec<u8>>("file")?),
        })
    });
    found.optional()?.ok_or(QueryError::NotFound)
}

fn quoted(db: &Connection, id: &[u8], chat: ChatId) -> Result<Option<Quoted>, StoreError> {
    let mut statement = db.prepare_cached(QUOTED)?;
    Ok(statement.query_row((id, chat), quoted_row).optional()?)
}

fn quoted_row(row: &Row<'_>) -> rusqlite::Result<Quoted> {
    let text: String = row.get("text")?;
    let spans = format::spans(&text, row.get::<_, Option<Vec<u8>>>("spans")?.as_deref());
    Ok(Quoted {
        position: row.get("position")?,
        mine: row.get("mine")?,
        from_name: row.get::<_, Option<String>>("name")?.unwrap_or_default(),
        kind: choice_at(row, "kind", &KINDS)?,
        text: format::blotted(&text, &spans).chars().take(QUOTED_CHARS).collect(),
        media: match row.get::<_, Option<u8>>("media")? {
            Some(_) => Some(choice_at(row, "media", &MEDIA)?),
            None => None,
        },
    })
}

/// What one account has on a message: the newest that it said.
struct Said {
    content: String,
    mine: bool,
    name: String,
}

fn reactions(db: &Connection, id: &[u8]) -> Result<Vec<Reaction>, StoreError> {
    let mut statement = db.prepare_cached(REACTIONS)?;
    let mut rows = statement.query([id])?;
    let mut said: BTreeMap<Vec<u8>, Said> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let newer = Said {
            content: row.get("content")?,
            mine: row.get("mine")?,
            name: row.get::<_, Option<String>>("name")?.unwrap_or_default(),
        };
        said.insert(row.get("sender")?, newer);
    }
    Ok(counted(said.into_values()))
}

fn counted(said: impl Iterator<Item = Said>) -> Vec<Reaction> {
    let mut all: BTreeMap<String, Reaction> = BTreeMap::new();
    for one in said {
        for emoji in one.content.split_whitespace() {
            let reaction = all.entry(emoji.to_owned()).or_insert_with(|| Reaction {
                emoji: emoji.to_owned(),
                count: 0,
                mine: false,
                names: Vec::new(),
            });
            reaction.count = reaction.count.saturating_add(1);
            reaction.mine |= one.mine;
            if reaction.names.len() < NAMES_TOLD {
                reaction.names.push(one.name.clone());
            }
        }
    }
    let mut all: Vec<Reaction> = all.into_values().collect();
    all.sort_by_key(|reaction| std::cmp::Reverse(reaction.count));
    all.truncate(REACTIONS_SHOWN);
    all
}

/// The texts of a message, the one that is shown last.
pub(super) fn history(db: &Connection, id: &[u8]) -> Result<Vec<Version>, QueryError> {
    let message = shown_message(db, id)?;
    if message.kind != MessageKind::Text {
        return Err(QueryError::NotFound);
    }
    let mut statement = db.prepare_cached(HISTORY)?;
    let rows = statement.query_map([id], version_row)?;
    let mut versions: Vec<Version> = rows.collect::<Result<_, _>>()?;
    for version in &mut versions {
        format::name(db, message.chat, &mut version.format)?;
    }
    Ok(versions)
}

fn version_row(row: &Row<'_>) -> rusqlite::Result<Version> {
    let text: String = row.get("text")?;
    let spans = format::spans(&text, row.get::<_, Option<Vec<u8>>>("spans")?.as_deref());
    Ok(Version {
        format: format::nodes(&text, &spans),
        text,
        at: number_at(row, "at")?,
    })
}
