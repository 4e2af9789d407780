//! A linked device that cannot follow a conversation any more asks the home device, which gives it another leaf there
//! (OWN-11). No person does anything.
//!
//! In: that nobody was heard in a conversation for long, what a linked device asks. Out: the question; the conversation is
//! looked at (`leaves`), where the leaf is changed. Invariant: a device gets one new leaf in a while, whatever it says.

use super::leaves::spread;
use super::told::{home, tell};
use crate::conversation::{self, Conversation};
use crate::defence::{self, Defence};
use crate::leaf;
use crate::meeting;
use crate::mls::Leaf;
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use std::collections::BTreeSet;
use stonechat_wire::group::Behind;
use stonechat_wire::ids::DeviceId;
use stonechat_wire::own::Own;

/// A device is heard once in so long about one conversation, as an account is in a group (GRP-12).
const HEARD_EVERY_MS: u64 = 3 * 24 * 3600 * 1000;

/// Asks the home device for another leaf.
pub(crate) fn ask(step: &mut Step<'_, '_>, behind: &Behind) -> Result<(), Stop> {
    match home(step)? {
        Some(to) => tell(step, &to, &Own::Behind(*behind)),
        None => Ok(()),
    }
}

/// A linked device cannot follow: its leaf is changed, if it stands where the conversation no longer is.
pub(super) fn came(step: &mut Step<'_, '_>, device: DeviceId, behind: &Behind) -> Result<(), Stop> {
    let Some(of) = conversation::load(step, &behind.group)?.filter(|of| !of.own && !of.saved && !of.gone) else {
        return Ok(());
    };
    let further = step.groups.number(&step.mls, (of.group, of.epoch))? > behind.number;
    if !meeting::me(step)?.is_home() || behind.epoch == of.epoch || !further {
        return Ok(());
    }
    if hears(step, &of, device)? {
        step.tx
            .prepare_cached("INSERT OR REPLACE INTO own_behind VALUES (?, ?, ?, ?)")?
            .execute(params![
                of.group,
                device.as_bytes(),
                behind.leaf,
                step.now.0.cast_signed()
            ])?;
        spread(step, &of.group)?;
    }
    Ok(())
}

fn hears(step: &Step<'_, '_>, of: &Conversation, device: DeviceId) -> Result<bool, Stop> {
    let now = step.now.0.cast_signed();
    let last: Option<i64> = step
        .tx
        .prepare_cached("SELECT asked_at FROM own_behind WHERE group_id = ? AND device = ?")?
        .query_row(params![of.group, device.as_bytes()], |row| row.get(0))
        .optional()?;
    let long_ago = |last: i64| last > now || last.saturating_add_unsigned(HEARD_EVERY_MS) <= now;
    Ok(last.is_none_or(long_ago) || !defence::holds(Defence::OwnBackOnce))
}

/// Of my leaves in the head those that cannot follow, with whose they are.
pub(super) fn stuck<'a>(
    step: &Step<'_, '_>,
    of: &Conversation,
    mine: &[&'a Leaf],
) -> Result<Vec<(DeviceId, &'a Leaf)>, Stop> {
    let asked: BTreeSet<(DeviceId, Vec<u8>)> = step
        .tx
        .prepare_cached("SELECT device, leaf FROM own_behind WHERE group_id = ?")?
        .query_map([of.group], |row| Ok((DeviceId::from_bytes(row.get(0)?), row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let mut found = Vec::new();
    for leaf in mine {
        let device = leaf::device_of(leaf)?;
        if asked.contains(&(device, leaf.public.clone())) {
            found.push((device, *leaf));
        }
    }
    Ok(found)
}
