//! Pins: messages that stand on top of their chat.
//!
//! In: pins that came, wishes. Out: the column that says so. Who may pin is judged by everybody, in the epoch that a pin
//! was written in (CON-19).

use super::wishes::{act, open, shown};
use super::{Target, origin};
use crate::api::{self, Fault, Reply};
use crate::conversation;
use crate::conversation::{epochs, saved};
use crate::defence::{self, Defence};
use crate::group;
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use stonechat_wire::content::encode_pin;
use stonechat_wire::ids::MessageId;
use stonechat_wire::message::Kind;

pub(crate) const NEWEST: &str = "
    SELECT hlc, content = '1' FROM act WHERE target = ? AND kind = 3 AND late = 0 ORDER BY hlc DESC, id DESC LIMIT 1";

/// Whether a pin's sender might pin. Where a group's epoch is not known any more, it does not count.
pub(super) fn counts(step: &Step<'_, '_>, id: MessageId) -> Result<bool, Stop> {
    let (epoch, sender) = origin(step, id)?;
    let known = saved::is_own(step, epoch)? || !epochs::accounts(step, epoch)?.is_empty();
    let might = group::may_edit(step, epoch, sender)? || !defence::holds(Defence::Pins);
    Ok(known && might)
}

/// The newest pin that counts says whether the message is pinned, and since when.
pub(super) fn settle(step: &Step<'_, '_>, target: &Target) -> Result<(), Stop> {
    let newest: Option<(i64, bool)> = step
        .tx
        .prepare_cached(NEWEST)?
        .query_row([target.id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let since = newest.and_then(|(hlc, on)| on.then_some(hlc));
    step.tx
        .prepare_cached("UPDATE message SET pinned = ?2 WHERE id = ?1 AND pinned IS NOT ?2")?
        .execute(params![target.id.as_bytes(), since])?;
    Ok(())
}

/// Puts a message on top of its chat, or takes it off. What is so already stays so, and nobody is told.
pub(crate) fn pin(step: &mut Step<'_, '_>, wish: &api::Pin) -> Result<Reply, Stop> {
    let target = open(step, &wish.id)?;
    let to = conversation::writable(step, target.chat)?;
    if !group::may_edit(step, to.epoch, step.me()?)? {
        return Err(Stop::Fault(Fault::NotAllowed));
    }
    if conversation::loaded(step, target.id)?.pinned != wish.on {
        act(step, &target, Kind::Pin, &encode_pin(target.id, wish.on))?;
    }
    shown(step, target.id)
}
