//! Forwarding: what was written in one chat, written again in another.
//!
//! In: wishes. Out: posts. The text, what is marked in it but for mentions, and what is heard or seen goes along; who
//! wrote it is said only where that is wanted, and proves nothing (CON-23).

use super::shown::Shown;
use super::wishes::{open, shown};
use super::{Target, vanish};
use crate::api::{self, Fault, MediaKind, Reply};
use crate::conversation;
use crate::step::{Step, Stop};
use rusqlite::OptionalExtension;
use stonechat_wire::codec::DecodeError;
use stonechat_wire::ids::MessageId;
use stonechat_wire::introduce::Person;
use stonechat_wire::marks::{Mark, Spans};
use stonechat_wire::place::Place;
use stonechat_wire::post::{AUTHOR_BYTES_MAX, Forwarded, Media};

/// Writes a message of one chat in another. Doing it twice with one client id does it once.
pub(crate) fn forward(step: &mut Step<'_, '_>, wish: &api::Forward) -> Result<Reply, Stop> {
    let from = open(step, &wish.id)?;
    if from.is_poll {
        return Err(Stop::Fault(Fault::NotFound));
    }
    if let Some(id) = conversation::sent_before(step, wish.chat, wish.client_id.as_deref())? {
        return shown(step, id);
    }
    let to = conversation::writable(step, wish.chat)?;
    let again = Shown {
        timer_s: vanish::of_chat(step, to.chat)?,
        ..written(step, &from, wish.named)?
    };
    conversation::show(step, to, &again, wish.client_id.as_deref())
}

fn written(step: &Step<'_, '_>, from: &Target, named: bool) -> Result<Shown, Stop> {
    let sql = "SELECT text, spans, forwarded, card, place FROM message WHERE id = ?";
    type Row = (
        String,
        Option<Vec<u8>>,
        Option<String>,
        Option<Vec<u8>>,
        Option<Vec<u8>>,
    );
    let (text, spans, before, card, place): Row =
        step.tx.prepare_cached(sql)?.query_row([from.id.as_bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })?;
    let spans = Spans::decode(&text, spans.as_deref().unwrap_or(&[0x80])).unwrap_or_default();
    Ok(Shown {
        spans: spans.without(|mark| matches!(mark, Mark::Mention(_) | Mark::All)),
        media: media(step, from.id)?,
        card: card.and_then(|card| Person::decode(&card).ok()),
        place: place.and_then(|place| Place::decode(&place).ok()),
        forwarded: Some(author(step, from, before, named)?),
        ..Shown::text(text)
    })
}

/// Who wrote it first, as far as is known here.
fn author(step: &Step<'_, '_>, from: &Target, before: Option<String>, named: bool) -> Result<Forwarded, Stop> {
    let name = match before {
        _ if !named => String::new(),
        Some(name) => name,
        None => conversation::loaded(step, from.id)?.from_name,
    };
    let end = name.floor_char_boundary(AUTHOR_BYTES_MAX);
    Ok(match name.get(..end).unwrap_or_default() {
        "" => Forwarded::Unnamed,
        name => Forwarded::By(name.to_owned()),
    })
}

fn media(step: &Step<'_, '_>, id: MessageId) -> Result<Option<Media>, Stop> {
    let sql = "SELECT kind, bytes, preview FROM attachment WHERE message = ?";
    let found: Option<(u8, Vec<u8>, Option<Vec<u8>>)> = step
        .tx
        .prepare_cached(sql)?
        .query_row([id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((kind, bytes, preview)) = found else {
        return Ok(None);
    };
    let media = if kind == MediaKind::Voice as u8 {
        Media::voice(bytes)
    } else {
        Media::photo(bytes, preview)
    };
    media.map(Some).map_err(|_: DecodeError| Stop::Fault(Fault::BadMedia))
}
