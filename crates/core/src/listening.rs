//! Which mailboxes are read, on which relays, and how far.
//!
//! In: conversations, invites, acceptances, and the slot clock. Out: `Listen` errands and rows with cursors, which
//! move in the transaction that takes the arrival in. Polling is the courier's job.
//! Specified in `docs/protocol/02-mailbox.md`.
//! `overflow` holds which lanes go on in a next mailbox because one is full.
//! Invariant: a retained epoch's tags stay read for five slots, so nothing in flight is lost (MBX-5).

pub(crate) mod overflow;

use crate::mls::Gid;
use crate::near;
use crate::reach;
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, Params, Row, params};
use std::collections::{BTreeMap, BTreeSet};
use stonechat_wire::exchange::{Errand, Listen};
use stonechat_wire::ids::{EpochId, RelayId, Tag, Timestamp};
use stonechat_wire::mailbox::{self, Lane, MailboxRoot, Slot};

/// Why a tag is read; the number is the column `purpose`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Purpose {
    /// App lane of an epoch.
    App = 0,
    /// Claims of an invite.
    Claims = 1,
    /// Answer to a claim of ours.
    Answer = 2,
    /// Commit lane of an epoch.
    Commit = 3,
    /// The account's own capsule.
    Capsule = 4,
    /// Requests of a contact that comes back.
    ReachRequest = 5,
    /// The answer to a request of mine.
    ReachAnswer = 6,
    /// The common part of a Welcome that was put apart.
    Apart = 7,
    /// Requests by a device link of mine.
    LinkRequest = 20,
    /// The Welcome of a device that I have linked.
    LinkHello = 21,
    /// What the home device says to my request.
    LinkAnswer = 22,
    /// What makes this device one of the account's.
    LinkGrant = 23,
}

/// What a tag is read for.
#[derive(Clone, Debug)]
pub(crate) struct Listening {
    pub(crate) purpose: Purpose,
    pub(crate) about: Vec<u8>,
    pub(crate) cursor: u64,
}

/// Whoever was not greeted for longer was away (MBX-5).
const AWAY_MS: i64 = DAY_MS;
/// So long after that, what becomes known may have waited all the time (MBX-5).
const CATCHING_UP_MS: i64 = DAY_MS;
const DAY_MS: i64 = 24 * 3600 * 1000;
/// By which it is told where somebody was heard last (OUT-3).
const HEARD_UNIT_MS: u64 = 10 * 60 * 1000;

type Changes = BTreeMap<RelayId, (Vec<(Tag, u64)>, Vec<Tag>)>;

/// Reads one tag at one relay from its beginning.
pub(crate) fn add(
    step: &mut Step<'_, '_>,
    relay: RelayId,
    tag: Tag,
    purpose: Purpose,
    about: &[u8],
) -> Result<(), Stop> {
    if insert(step, relay, tag, purpose, about, (Slot(0), 0))? {
        step.errand(Errand::Listen(Listen {
            relay,
            add: vec![(tag, 0)],
            drop: vec![],
        }));
    }
    Ok(())
}

/// Stops reading everything that is about this.
pub(crate) fn drop_about(step: &mut Step<'_, '_>, about: &[u8]) -> Result<(), Stop> {
    overflow::forget(step, about)?;
    stop(
        step,
        "DELETE FROM listening WHERE about = ? RETURNING relay, tag",
        [about],
    )
}

/// Stops reading the app lane of this epoch.
pub(crate) fn drop_app(step: &mut Step<'_, '_>, epoch: EpochId) -> Result<(), Stop> {
    let sql = "DELETE FROM listening WHERE about = ? AND purpose = 0 RETURNING relay, tag";
    stop(step, sql, [epoch.as_bytes()])
}

/// Stops reading everything.
pub(crate) fn drop_all(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    stop(step, "DELETE FROM listening RETURNING relay, tag", [])
}

/// Deletes rows, and says so to the relays.
fn stop(step: &mut Step<'_, '_>, sql: &str, which: impl Params) -> Result<(), Stop> {
    let mut changes = Changes::new();
    let mut rows = step.tx.prepare_cached(sql)?;
    for row in rows.query_map(which, |row| {
        Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, [u8; 16]>(1)?))
    })? {
        let (relay, tag) = row?;
        changes.entry(relay.into()).or_default().1.push(tag.into());
    }
    tell(step, changes);
    Ok(())
}

/// An epoch whose lanes are read.
pub(crate) struct Open {
    pub(crate) group: Gid,
    pub(crate) epoch: EpochId,
    pub(crate) root: MailboxRoot,
    /// When it became known here.
    pub(crate) made: Timestamp,
    /// It takes commits only (EPO-10).
    pub(crate) far: bool,
}

/// Reads an epoch's lanes on all relays of its conversation: commits, and the app lane in the slots of the moment, but
/// none that passed before the epoch was made (MBX-5).
pub(crate) fn follow_epoch(step: &mut Step<'_, '_>, open: &Open) -> Result<(), Stop> {
    let relays = read_relays_of(step, &open.group)?;
    follow_epoch_at(step, open, relays)
}

fn follow_epoch_at(step: &mut Step<'_, '_>, open: &Open, relays: Vec<RelayId>) -> Result<(), Stop> {
    let Open { epoch, ref root, .. } = *open;
    let mut changes = Changes::new();
    let relays: Vec<(RelayId, Slot)> = relays
        .into_iter()
        .map(|relay| Ok((relay, oldest(step, relay, open.made)?)))
        .collect::<Result<_, Stop>>()?;
    let app = mailbox::app_slots(step.slot())
        .into_iter()
        .filter(|_| !open.far)
        .map(|slot| (Lane::App, Purpose::App, slot));
    let commits = std::iter::once((Lane::Commit, Purpose::Commit, Slot(0)));
    for (lane, purpose, slot) in commits.chain(app) {
        for k in 0..=overflow::reads(step, epoch, lane, slot)? {
            let tag = mailbox::token(root, lane, slot, k).tag();
            let there = |(_, oldest): &&(RelayId, Slot)| purpose == Purpose::Commit || slot >= *oldest;
            for &(relay, _) in relays.iter().filter(there) {
                if insert(step, relay, tag, purpose, epoch.as_bytes(), (slot, k))? {
                    changes.entry(relay).or_default().0.push((tag, 0));
                }
            }
        }
    }
    tell(step, changes);
    Ok(())
}

/// The oldest slot in which there may be something at this relay of an epoch that became known then: what became known in
/// the first day after this device was away may have been made any time in between (MBX-5).
fn oldest(step: &Step<'_, '_>, relay: RelayId, made: Timestamp) -> Result<Slot, Stop> {
    let sql = "SELECT away_from FROM relay WHERE relay = ? AND ? BETWEEN back_at AND back_at + ?";
    let away: Option<i64> = step
        .tx
        .prepare_cached(sql)?
        .query_row(params![relay.as_bytes(), made.0.cast_signed(), CATCHING_UP_MS], |row| {
            row.get(0)
        })
        .optional()?;
    let since = away.map_or(made, |away| made.min(Timestamp(away.unsigned_abs())));
    Ok(Slot::of(since.min(step.time)).minus(1))
}

/// A relay has greeted: if it has not for long, this device was away (MBX-5).
pub(crate) fn greeted(step: &Step<'_, '_>, relay: RelayId) -> Result<(), Stop> {
    let sql = "UPDATE relay SET greeted_at = ?2, answered_at = ?2,
                   away_from = CASE WHEN greeted_at < ?2 - ?3 THEN greeted_at ELSE away_from END,
                   back_at = CASE WHEN greeted_at < ?2 - ?3 THEN ?2 ELSE back_at END
               WHERE relay = ?1";
    step.tx
        .prepare_cached(sql)?
        .execute(params![relay.as_bytes(), step.time.0.cast_signed(), AWAY_MS])?;
    Ok(())
}

/// The same for every retained epoch of a group: one more relay carries it.
pub(crate) fn follow_group(step: &mut Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    for open in epochs(step)?.iter().filter(|open| open.group == *group) {
        follow_epoch(step, open)?;
    }
    reach::listen(step, group)
}

/// The same for one relay and the retained epochs of these groups: it carries them too, for now (LAN-7).
pub(crate) fn follow_at(step: &mut Step<'_, '_>, relay: RelayId, groups: &BTreeSet<Gid>) -> Result<(), Stop> {
    let all = epochs(step)?;
    let mut of = all.iter().filter(|open| groups.contains(&open.group));
    of.try_for_each(|open| follow_epoch_at(step, open, vec![relay]))
}

/// Moves every epoch's listening to the slots of the moment.
pub(crate) fn turn_slots(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let slots = mailbox::app_slots(step.slot());
    let (oldest, newest) = (slots[0].0, slots[6].0);
    let passed = "DELETE FROM listening WHERE purpose = 0 AND (slot < ? OR slot > ?) RETURNING relay, tag";
    stop(step, passed, [oldest, newest])?;
    overflow::turn_slots(step, slots[0])?;
    // What lies in no mailbox that is read any more cannot come back.
    let gone = slots[0].start().0.saturating_sub(mailbox::SLOT_MS).cast_signed();
    step.tx.execute("DELETE FROM envelope_seen WHERE at < ?", [gone])?;
    epochs(step)?.iter().try_for_each(|open| follow_epoch(step, open))
}

/// Everything that is read, for a courier that has just started.
pub(crate) fn announce_all(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let mut changes = Changes::new();
    {
        // Commits first, then the oldest slot first: messages of one sender then come in the order they were written.
        let mut rows = step
            .tx
            .prepare_cached("SELECT relay, tag, cursor FROM listening ORDER BY relay, slot, tag")?;
        let found = rows.query_map([], |row| {
            Ok((
                row.get::<_, [u8; 16]>(0)?,
                row.get::<_, [u8; 16]>(1)?,
                row.get::<_, i64>(2)?,
            ))
        })?;
        for row in found {
            let (relay, tag, cursor) = row?;
            changes
                .entry(relay.into())
                .or_default()
                .0
                .push((tag.into(), cursor.unsigned_abs()));
        }
    }
    tell(step, changes);
    Ok(())
}

/// What this tag is read for at this relay, if it is.
pub(crate) fn find(step: &Step<'_, '_>, relay: RelayId, tag: Tag) -> Result<Option<Listening>, Stop> {
    Ok(step
        .tx
        .prepare_cached("SELECT purpose, about, cursor FROM listening WHERE tag = ? AND relay = ?")?
        .query_row(params![tag.as_bytes(), relay.as_bytes()], row_of)
        .optional()?)
}

/// What this tag is read for at any relay, if it is.
pub(crate) fn find_anywhere(step: &Step<'_, '_>, tag: Tag) -> Result<Option<Listening>, Stop> {
    Ok(step
        .tx
        .prepare_cached("SELECT purpose, about, cursor FROM listening WHERE tag = ? LIMIT 1")?
        .query_row([tag.as_bytes()], row_of)
        .optional()?)
}

fn row_of(row: &Row<'_>) -> rusqlite::Result<Listening> {
    let purpose = match row.get::<_, u8>(0)? {
        0 => Purpose::App,
        1 => Purpose::Claims,
        2 => Purpose::Answer,
        3 => Purpose::Commit,
        4 => Purpose::Capsule,
        5 => Purpose::ReachRequest,
        7 => Purpose::Apart,
        20 => Purpose::LinkRequest,
        21 => Purpose::LinkHello,
        22 => Purpose::LinkAnswer,
        23 => Purpose::LinkGrant,
        _answer => Purpose::ReachAnswer,
    };
    Ok(Listening {
        purpose,
        about: row.get(1)?,
        cursor: row.get::<_, i64>(2)?.unsigned_abs(),
    })
}

/// The arrival with this cursor and so many bytes is taken in.
pub(crate) fn advance(
    step: &mut Step<'_, '_>,
    relay: RelayId,
    tag: Tag,
    (cursor, bytes): (u64, usize),
) -> Result<(), Stop> {
    let sql = "UPDATE listening SET cursor = ?3, got = got + ?4 WHERE tag = ?1 AND relay = ?2 AND cursor < ?3
               RETURNING got, k, purpose, about, slot";
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    let now = step
        .tx
        .prepare_cached(sql)?
        .query_row(
            params![tag.as_bytes(), relay.as_bytes(), cursor.cast_signed(), bytes],
            |row| {
                let got = row.get::<_, i64>(0)?.unsigned_abs();
                let (k, purpose, about) = (row.get(1)?, row.get::<_, u8>(2)?, row.get::<_, Vec<u8>>(3)?);
                Ok((got, k, purpose, about, Slot(row.get(4)?)))
            },
        )
        .optional()?;
    match now {
        Some((got, k, 0, about, slot)) => overflow::came(step, &about, (Lane::App, slot, k), got),
        Some((got, k, 3, about, slot)) => overflow::came(step, &about, (Lane::Commit, slot, k), got),
        _ => Ok(()),
    }
}

/// The relays of a conversation, oldest first, and last the near ones that are reached at the moment (LAN-7).
pub(crate) fn relays_of(step: &Step<'_, '_>, group: &Gid) -> Result<Vec<RelayId>, Stop> {
    let mut relays = lasting_relays_of(step, group)?;
    relays.extend(near::here(step, group)?);
    Ok(relays)
}

/// Where it is read: those too that were taken back (REL-3).
pub(crate) fn read_relays_of(step: &Step<'_, '_>, group: &Gid) -> Result<Vec<RelayId>, Stop> {
    let mut relays = lasting(step, group, "1")?;
    relays.extend(near::here(step, group)?);
    Ok(relays)
}

/// Those that stand for themselves, oldest first.
pub(crate) fn lasting_relays_of(step: &Step<'_, '_>, group: &Gid) -> Result<Vec<RelayId>, Stop> {
    lasting(step, group, "c.taken_at IS NULL")
}

fn lasting(step: &Step<'_, '_>, group: &Gid, which: &str) -> Result<Vec<RelayId>, Stop> {
    let mut rows = step.tx.prepare_cached(&format!(
        "SELECT c.relay FROM conversation_relay c JOIN relay r USING (relay)
         WHERE c.group_id = ? AND r.near = 0 AND {which} ORDER BY r.added_at, c.relay"
    ))?;
    let found = rows.query_map([group], |row| row.get(0).map(RelayId::from_bytes))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Those to put to, the best first: which are reached, and where somebody else was heard last (OUT-3).
pub(crate) fn best_relays_of(step: &Step<'_, '_>, group: &Gid) -> Result<Vec<RelayId>, Stop> {
    let mut rows = step.tx.prepare_cached(
        "SELECT c.relay FROM conversation_relay c JOIN relay r USING (relay)
         WHERE c.group_id = ? AND r.near = 0 AND c.taken_at IS NULL ORDER BY r.gone, c.heard DESC, r.added_at, c.relay",
    )?;
    let found = rows.query_map([group], |row| row.get(0).map(RelayId::from_bytes))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Somebody else's envelope of this epoch has come by a relay.
pub(crate) fn heard(step: &Step<'_, '_>, relay: RelayId, epoch: &[u8]) -> Result<(), Stop> {
    let sql = "UPDATE conversation_relay SET heard = ?1
               WHERE relay = ?2 AND group_id = (SELECT group_id FROM epoch WHERE epoch_id = ?3) AND heard < ?1";
    let at = step.now.0 / HEARD_UNIT_MS;
    step.tx
        .prepare_cached(sql)?
        .execute(params![at.cast_signed(), relay.as_bytes(), epoch])?;
    Ok(())
}

/// Stops reading the account's own capsule at one relay.
pub(crate) fn leave_capsule(step: &mut Step<'_, '_>, relay: RelayId) -> Result<(), Stop> {
    let sql = "DELETE FROM listening WHERE relay = ? AND purpose = 4 RETURNING relay, tag";
    stop(step, sql, [relay.as_bytes()])
}

/// Stops reading a conversation at one relay.
pub(crate) fn leave(step: &mut Step<'_, '_>, relay: RelayId, group: &Gid) -> Result<(), Stop> {
    let sql = "DELETE FROM listening WHERE relay = ?1 AND (about = ?2 OR about IN (SELECT epoch_id FROM epoch WHERE group_id = ?2))
               RETURNING relay, tag";
    stop(step, sql, params![relay.as_bytes(), group])
}

/// All retained epochs.
fn epochs(step: &Step<'_, '_>) -> Result<Vec<Open>, Stop> {
    let sql = "SELECT group_id, epoch_id, mailbox_root, made_at, far FROM epoch WHERE mailbox_root IS NOT NULL";
    let mut rows = step.tx.prepare_cached(sql)?;
    let found = rows.query_map([], |row| {
        Ok(Open {
            group: row.get(0)?,
            epoch: EpochId::from_bytes(row.get(1)?),
            root: MailboxRoot::new(row.get(2)?),
            made: Timestamp(row.get::<_, i64>(3)?.unsigned_abs()),
            far: row.get(4)?,
        })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn insert(
    step: &Step<'_, '_>,
    relay: RelayId,
    tag: Tag,
    purpose: Purpose,
    about: &[u8],
    (slot, k): (Slot, u8),
) -> Result<bool, Stop> {
    let added = step
        .tx
        .prepare_cached(
            "INSERT OR IGNORE INTO listening(tag, relay, purpose, about, slot, cursor, k) VALUES (?, ?, ?, ?, ?, 0, ?)",
        )?
        .execute(params![
            tag.as_bytes(),
            relay.as_bytes(),
            purpose as u8,
            about,
            slot.0,
            k
        ])?;
    Ok(added == 1)
}

fn tell(step: &mut Step<'_, '_>, changes: Changes) {
    for (relay, (add, drop)) in changes {
        step.errand(Errand::Listen(Listen { relay, add, drop }));
    }
}
