//! Search: messages that hold all the words, the last one perhaps only begun.
//!
//! In: what a person typed. Out: [`Hit`]s, newest arrival first, each with the text around its first match. Typed text
//! never reaches FTS5 as syntax (API-8). Hidden chats are not searched.

use rusqlite::{Connection, Row, named_params};

use super::messages::{COLUMNS, message_row};
use super::{QueryError, check_limit, content, format};
use crate::api::{Hit, Piece, Search};

/// Words beyond these are not looked for.
const WORDS_MAX: usize = 16;
/// Letters of a word beyond these are not looked for.
const WORD_CHARS_MAX: usize = 64;
/// Length of a snippet, in characters.
const SNIPPET_CHARS: usize = 80;
/// How much of it stands before the match.
const LEAD_CHARS: usize = 24;
/// Around matches, in what FTS5 gives back; the same characters in a text are dropped.
const MARK: char = '\u{1}';
const UNMARK: char = '\u{2}';

/// Messages that hold the words. Nothing to look for: nothing found.
pub(super) fn search(db: &Connection, search: &Search) -> Result<Vec<Hit>, QueryError> {
    check_limit(search.limit, 200)?;
    let Some(pattern) = pattern(&search.words) else {
        return Ok(Vec::new());
    };
    let mut statement = db.prepare_cached(&sql())?;
    let asked = named_params! {":words": pattern, ":chat": search.chat, ":limit": search.limit};
    let mut hits: Vec<Hit> = statement.query_map(asked, hit_row)?.collect::<Result<_, _>>()?;
    for hit in &mut hits {
        content::dress(db, &mut hit.message)?;
    }
    Ok(hits)
}

pub(super) fn sql() -> String {
    format!(
        "SELECT {COLUMNS}, highlight(message_fts, 0, char(1), char(2)) AS marked,
                coalesce(nullif(c.alias, ''), c.own_name, h.name) AS chat_name
         FROM message_fts CROSS JOIN message m ON m.rowid = message_fts.rowid
              CROSS JOIN chat h ON h.id = m.chat LEFT JOIN contact c ON c.account = h.contact
         WHERE message_fts MATCH :words AND h.hidden = 0 AND (:chat IS NULL OR m.chat = :chat)
         ORDER BY message_fts.rowid DESC LIMIT :limit"
    )
}

/// Every word as a quoted string, the last one as a beginning; nothing when there is no word.
fn pattern(typed: &str) -> Option<String> {
    let separates = |c: char| c.is_whitespace() || c.is_control() || c == '"';
    let words = typed
        .split(separates)
        .filter(|word| word.chars().any(char::is_alphanumeric))
        .take(WORDS_MAX);
    let quoted: Vec<String> = words
        .map(|word| format!("\"{}\"", word.chars().take(WORD_CHARS_MAX).collect::<String>()))
        .collect();
    if quoted.is_empty() {
        None
    } else {
        Some(quoted.join(" ") + " *")
    }
}

fn hit_row(row: &Row<'_>) -> rusqlite::Result<Hit> {
    let marked: String = row.get("marked")?;
    let message = message_row(row)?;
    let spans = format::spans(&message.text, row.get::<_, Option<Vec<u8>>>("spans")?.as_deref());
    let mut letters = read_marks(&marked);
    format::blot(&mut letters, &message.text, &spans);
    Ok(Hit {
        message,
        chat_name: row.get("chat_name")?,
        pieces: pieces(&letters),
    })
}

/// The text around the first match, in plain and marked pieces; an ellipsis where it was cut.
fn pieces(chars: &[(char, bool)]) -> Vec<Piece> {
    let first = chars.iter().position(|(_, marked)| *marked).unwrap_or(0);
    let start = first
        .saturating_sub(LEAD_CHARS)
        .min(chars.len().saturating_sub(SNIPPET_CHARS));
    let end = start.saturating_add(SNIPPET_CHARS).min(chars.len());
    let mut pieces = Vec::new();
    if start > 0 {
        push(&mut pieces, ('…', false));
    }
    for char in chars.iter().take(end).skip(start) {
        push(&mut pieces, *char);
    }
    if end < chars.len() {
        push(&mut pieces, ('…', false));
    }
    pieces
}

fn read_marks(marked: &str) -> Vec<(char, bool)> {
    let mut inside = false;
    let mut chars = Vec::with_capacity(marked.len());
    for char in marked.chars() {
        match char {
            MARK => inside = true,
            UNMARK => inside = false,
            other => chars.push((other, inside)),
        }
    }
    chars
}

fn push(pieces: &mut Vec<Piece>, (char, marked): (char, bool)) {
    match pieces.last_mut() {
        Some(last) if last.marked == marked => last.text.push(char),
        _ => pieces.push(Piece {
            text: char.to_string(),
            marked,
        }),
    }
}

#[cfg(test)]
mod tests;
