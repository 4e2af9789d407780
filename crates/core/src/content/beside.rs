//! Cards and places: what stands beside a text, or alone.
//!
//! In: wishes. Out: posts (CON-25, CON-26). A card names somebody and proves nothing; to meet them is an introduction's
//! (INT-1). For a place nothing is looked up.

use super::shown::Shown;
use super::vanish;
use super::wishes::shown;
use crate::api::{self, ChatId, Fault, Reply};
use crate::conversation;
use crate::meeting::introduce;
use crate::step::{Step, Stop};
use stonechat_wire::codec::DecodeError;
use stonechat_wire::ids::AccountId;
use stonechat_wire::place::Place;

/// Sends a contact's card. Doing it twice with one client id does it once.
pub(crate) fn send_card(step: &mut Step<'_, '_>, wish: &api::CardSend) -> Result<Reply, Stop> {
    let account = hex::decode(&wish.contact)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .map(AccountId::from_bytes)
        .ok_or(Stop::Fault(Fault::NotFound))?;
    // Only of somebody who let me in, or whom I let in.
    conversation::with_contact(step, account)?;
    let card = introduce::person(step, account)?;
    let said = Shown {
        card: Some(card),
        ..Shown::text(String::new())
    };
    send(step, wish.chat, said, wish.client_id.as_deref())
}

/// Sends a place. Doing it twice with one client id does it once.
pub(crate) fn send_place(step: &mut Step<'_, '_>, wish: &api::PlaceSend) -> Result<Reply, Stop> {
    let told = &wish.place;
    let place = Place::of(told.lat, told.lon, told.accuracy_m, told.label.trim().to_owned())
        .map_err(|_: DecodeError| Stop::Fault(Fault::BadPlace))?;
    let said = Shown {
        place: Some(place),
        ..Shown::text(String::new())
    };
    send(step, wish.chat, said, wish.client_id.as_deref())
}

fn send(step: &mut Step<'_, '_>, chat: ChatId, said: Shown, client: Option<&str>) -> Result<Reply, Stop> {
    if let Some(id) = conversation::sent_before(step, chat, client)? {
        return shown(step, id);
    }
    let to = conversation::writable(step, chat)?;
    let said = Shown {
        timer_s: vanish::of_chat(step, to.chat)?,
        ..said
    };
    conversation::show(step, to, &said, client)
}
