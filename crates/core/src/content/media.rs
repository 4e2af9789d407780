//! Voice notes and photos beside a text.
//!
//! In: files of the person, as base64; posts that came. Out: posts, rows beside their messages. A photo leaves without
//! anything that is no picture (CON-15); what comes was checked when it was read, and is shown by nobody but the page.
//! Specified in `docs/protocol/13-content.md` (CON-13 to CON-15).
//! Invariant: what is kept here goes with its message, in the same transaction.

use super::mentions::typed;
use super::shown::Shown;
use super::{answered, vanish};
use crate::api::{self, Fault, MediaKind, Reply};
use crate::conversation::{self, TEXT_MAX};
use crate::step::{Step, Stop};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rusqlite::params;
use stonechat_wire::codec::DecodeError;
use stonechat_wire::ids::MessageId;
use stonechat_wire::jpeg;
use stonechat_wire::post::Media;

/// Writes a voice note or a photo. Sending twice with one client id sends once.
pub(crate) fn send(step: &mut Step<'_, '_>, wish: &api::MediaSend) -> Result<Reply, Stop> {
    let text = wish.text.as_deref().unwrap_or_default().trim();
    if text.len() > TEXT_MAX {
        return Err(Stop::Fault(Fault::BadText));
    }
    if let Some(id) = conversation::sent_before(step, wish.chat, wish.client_id.as_deref())? {
        return Ok(Reply::Message(Box::new(conversation::loaded(step, id)?)));
    }
    let media = media(wish)?;
    let to = conversation::writable(step, wish.chat)?;
    let shown = Shown {
        reply_to: answered(step, to.chat, wish.reply_to.as_deref())?,
        timer_s: vanish::of_chat(step, to.chat)?,
        media: Some(media),
        ..typed(step, &to, text, wish.marked)?
    };
    conversation::show(step, to, &shown, wish.client_id.as_deref())
}

fn media(wish: &api::MediaSend) -> Result<Media, Stop> {
    let (file, preview) = (file(&wish.data)?, wish.preview.as_deref().map(file).transpose()?);
    let made = match wish.kind {
        MediaKind::Voice => Media::voice(file),
        MediaKind::Photo => photo(&file, preview.as_deref()),
    };
    made.map_err(|error| match error {
        DecodeError::Limit(_) => Stop::Fault(Fault::MediaTooBig),
        _other => Stop::Fault(Fault::BadMedia),
    })
}

fn photo(file: &[u8], preview: Option<&[u8]>) -> Result<Media, DecodeError> {
    Media::photo(jpeg::bare(file)?, preview.map(jpeg::bare).transpose()?)
}

fn file(base64: &str) -> Result<Vec<u8>, Stop> {
    STANDARD.decode(base64).map_err(|_| Stop::Fault(Fault::BadMedia))
}

/// Keeps what stands beside a message.
pub(crate) fn keep(step: &Step<'_, '_>, id: MessageId, media: &Media) -> Result<(), Stop> {
    let (kind, duration, measures, preview, bytes) = match media {
        Media::Voice { bytes, duration_ms } => (0, Some(duration_ms), None, None, bytes),
        Media::Photo {
            bytes,
            measures,
            preview,
        } => (1, None, Some(measures), preview.as_ref(), bytes),
    };
    step.tx
        .prepare_cached(
            "INSERT INTO attachment(message, kind, duration_ms, width, height, preview, bytes) VALUES (?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            id.as_bytes(),
            kind,
            duration,
            measures.map(|size| size.width),
            measures.map(|size| size.height),
            preview,
            bytes
        ])?;
    Ok(())
}

pub(super) fn forget(step: &Step<'_, '_>, id: MessageId) -> Result<(), Stop> {
    step.tx
        .prepare_cached("DELETE FROM attachment WHERE message = ?")?
        .execute([id.as_bytes()])?;
    Ok(())
}
