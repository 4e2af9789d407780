//! A group's picture: its hash stands in the group's state, its bytes come in a message.
//!
//! In: a file of the person, bytes of others. Out: the commit that names it, the message with the bytes, the row that is
//! shown. Specified in `docs/protocol/12-groups.md` (GRP-20 to GRP-22).
//! Invariant: what is kept here is what the head names, or nothing.

use super::{change, loaded, shown, state};
use crate::api::{self, ChatId, Fault, Reply};
use crate::conversation::{self, Conversation};
use crate::step::{Step, Stop};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rusqlite::{OptionalExtension as _, params};
use std::collections::BTreeSet;
use stonechat_wire::codec::DecodeError;
use stonechat_wire::message::Kind;
use stonechat_wire::picture;

/// Gives the group a picture, or takes it away.
pub(crate) fn set(step: &mut Step<'_, '_>, wish: &api::GroupPicture) -> Result<Reply, Stop> {
    let bytes = wish.data.as_deref().map(file).transpose()?;
    let of = loaded(step, wish.chat)?;
    let mut after = state(step, &of)?;
    after.picture = bytes.as_deref().map(picture::hash);
    change(step, &of, &after, &[], &BTreeSet::new())?;
    if let Some(bytes) = bytes {
        keep(step, of.chat, &bytes)?;
        conversation::tell(step, &of, Kind::Picture, &bytes)?;
    }
    step.touch_chat(of.chat);
    shown(step, wish.chat)
}

fn file(base64: &str) -> Result<Vec<u8>, Stop> {
    let file = STANDARD.decode(base64).map_err(|_| Stop::Fault(Fault::BadMedia))?;
    picture::bare(&file).map_err(|error| match error {
        DecodeError::Limit(_) => Stop::Fault(Fault::MediaTooBig),
        _other => Stop::Fault(Fault::BadMedia),
    })
}

fn keep(step: &Step<'_, '_>, chat: ChatId, bytes: &[u8]) -> Result<(), Stop> {
    step.tx
        .prepare_cached("INSERT OR REPLACE INTO picture(chat, hash, bytes) VALUES (?, ?, ?)")?
        .execute(params![chat, picture::hash(bytes), bytes])?;
    Ok(())
}

/// Somebody sends the bytes: they are kept where the head names them, whoever it was (GRP-21).
pub(crate) fn come(step: &mut Step<'_, '_>, of: &Conversation, bytes: &[u8]) -> Result<(), Stop> {
    if fits(bytes, state(step, of)?.picture)? {
        keep(step, of.chat, bytes)?;
        step.touch_chat(of.chat);
    }
    Ok(())
}

/// Whether this is the picture that is named. Errors: it is none, whatever is named.
fn fits(bytes: &[u8], named: Option<[u8; 32]>) -> Result<bool, Stop> {
    picture::check(bytes).map_err(|_| Stop::Refused("picture"))?;
    Ok(named == Some(picture::hash(bytes)))
}

/// The head says which one is shown: any other goes (GRP-22).
pub(super) fn head_moved(step: &Step<'_, '_>, chat: ChatId, named: Option<[u8; 32]>) -> Result<(), Stop> {
    step.tx
        .prepare_cached("DELETE FROM picture WHERE chat = ? AND hash IS NOT ?")?
        .execute(params![chat, named])?;
    Ok(())
}

/// The bytes once more, for leaves that were just added (GRP-21).
pub(crate) fn again(step: &mut Step<'_, '_>, of: &Conversation) -> Result<(), Stop> {
    let bytes: Option<Vec<u8>> = step
        .tx
        .prepare_cached("SELECT bytes FROM picture WHERE chat = ?")?
        .query_row([of.chat], |row| row.get(0))
        .optional()?;
    if let Some(bytes) = bytes {
        conversation::tell(step, of, Kind::Picture, &bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHOTO: &[u8] = include_bytes!("../../tests/fixtures/photo.jpg");

    #[test]
    fn what_is_no_picture_is_refused_though_its_hash_stands_in_the_state_grp_21() {
        let named = |bytes: &[u8]| Some(picture::hash(bytes));
        assert!(matches!(fits(PHOTO, named(PHOTO)), Ok(true)));
        assert!(matches!(fits(PHOTO, named(b"another")), Ok(false)));
        assert!(matches!(fits(PHOTO, None), Ok(false)));
        let broken = &PHOTO[..PHOTO.len() - 2];
        let telling = [PHOTO, b"hidden"].concat();
        for bytes in [broken, &telling, b"<svg/>"] {
            assert!(matches!(fits(bytes, named(bytes)), Err(Stop::Refused("picture"))));
        }
    }
}
