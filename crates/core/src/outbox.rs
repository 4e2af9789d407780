//! What is to leave, until somebody confirms it.
//!
//! In: sealed contents with their purpose; delivery news. Out: parcels. A message stays until a recipient's receipt
//! (OUT-1), a receipt or an answer until a relay has stored it, a claim until its last answer. "Stored" is a relay's
//! word and only a hint: what nobody confirmed within a day is sealed anew, with a new seed, into the mailbox of the
//! current slot (OUT-2), every second time encrypted again, for a reader whose window has passed it (OUT-5). `kept`
//! holds what three have confirmed for many, in case its branch loses. Choosing the way is the courier's job.
//! Specified in `docs/protocol/08-outbox.md`.

mod kept;
pub(crate) mod wider;

use crate::api::{ChatId, Event, MessageState};
use crate::content::vanish;
use crate::conversation::{self, Conversation, epochs, originals, renewal};
use crate::due::Times;
use crate::group;
use crate::listening::{self, overflow};
use crate::meeting::accept;
use crate::mls::Gid;
use crate::near;
use crate::step::{Step, Stop};
use crate::watch;
use rusqlite::{OptionalExtension, params};
use std::collections::BTreeSet;
use stonechat_wire::apart::Apart;
use stonechat_wire::envelope::{self, Envelope, EnvelopeKey};
use stonechat_wire::exchange::{Class, Errand, Parcel};
use stonechat_wire::ids::{EnvelopeId, EpochId, MessageId, RelayId, Token};
use stonechat_wire::mailbox::{self, Lane, MailboxRoot, Slot};
use stonechat_wire::message::{self, First};

/// Not confirmed for so long: sealed anew (OUT-2).
pub(crate) const RESEAL_MS: u64 = 24 * 3600 * 1000;
/// ... and so long where its branch was lost: a head that goes to and fro must not have it sent all the time (OUT-5).
const SOON_MS: u64 = 60 * 1000;
/// A message that is held back looks for a place (FORK-8) when the head has moved, and otherwise so often at first, ...
const PLACE_EVERY_MS: u64 = 2 * 1000;
/// ... later whenever it has waited by an eighth longer, and at least so often.
const PLACE_WITHIN_MS: u64 = 10 * 60 * 1000;
/// The tries that encrypt again. The others repeat the MLS message: one would help a reader whose window has passed it,
/// the other one whose window does not reach so far ahead yet. Few, so that generations do not run away (OUT-5).
const ENCRYPTED_AGAIN: [u8; 2] = [2, 4];
/// So often a revoked device is told that it is: once a day (DEV-7).
const TOLD_REVOKED: u8 = 60;
/// A message is put to at most this many relays of its conversation (OUT-3).
const PUT_RELAYS: usize = 2;
/// How long a relay keeps what is put (RLY): 30 days.
const TTL_S: u32 = 30 * 24 * 3600;
/// ... and a commit: 60 days (OUT-6).
const COMMIT_TTL_S: u32 = 2 * TTL_S;

/// What waits; the number is the column `purpose`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Waiting {
    /// A message, until a recipient confirms it.
    Message = 0,
    /// A standalone receipt, until stored.
    Receipt = 1,
    /// A claim, until its last answer (MEET-16).
    Claim = 2,
    /// An answer to a claim, until stored.
    Answer = 3,
    /// A commit, until others were heard in the epoch it makes.
    Commit = 4,
    /// A want list, or what one asked for, until stored: if that is lost, it is asked for again.
    Again = 5,
    /// A commit, mine or not, that somebody is behind, until stored.
    CommitAgain = 6,
    /// The account's capsule, until the next one: put again every day, for a relay may have lost it (CAP-4).
    Capsule = 7,
    /// What Welcomes have in common, until stored (GRP-15).
    Apart = 8,
}

impl Waiting {
    fn of(number: u8) -> Self {
        match number {
            0 => Self::Message,
            1 => Self::Receipt,
            2 => Self::Claim,
            3 => Self::Answer,
            4 => Self::Commit,
            5 => Self::Again,
            6 => Self::CommitAgain,
            7 => Self::Capsule,
            _apart => Self::Apart,
        }
    }
    const fn class(self) -> Class {
        match self {
            Self::Message | Self::Commit | Self::Again | Self::CommitAgain | Self::Apart => Class::Text,
            Self::Receipt | Self::Capsule => Class::Receipt,
            Self::Claim | Self::Answer => Class::Invite,
        }
    }
    const fn ttl_s(self) -> u32 {
        match self {
            Self::Commit | Self::CommitAgain | Self::Capsule | Self::Apart => COMMIT_TTL_S,
            Self::Message | Self::Receipt | Self::Claim | Self::Answer | Self::Again => TTL_S,
        }
    }
    const fn lane(self) -> Lane {
        match self {
            Self::Commit | Self::CommitAgain => Lane::Commit,
            Self::Message | Self::Receipt | Self::Claim | Self::Answer | Self::Again | Self::Capsule | Self::Apart => {
                Lane::App
            }
        }
    }
}

/// Puts an MLS message of the conversation's epoch.
pub(crate) fn put_group(
    step: &mut Step<'_, '_>,
    waiting: Waiting,
    about: &[u8],
    (group, epoch): (Gid, EpochId),
    content: &[u8],
    plain: Option<&[u8]>,
) -> Result<(), Stop> {
    let relays = put_to(step, &group)?;
    let row = Row {
        waiting,
        about,
        group: Some(group),
        epoch: Some(epoch),
        content,
        plain,
        slot: step.slot(),
        tries: 0,
    };
    put_all(step, &row, epoch, &relays)
}

/// Two relays of a conversation, or the only one; and the near ones that are reached, which push out no other (OUT-3).
fn put_to(step: &Step<'_, '_>, group: &Gid) -> Result<Vec<RelayId>, Stop> {
    let mut relays = listening::best_relays_of(step, group)?;
    relays.truncate(PUT_RELAYS);
    relays.extend(near::here(step, group)?);
    Ok(relays)
}

/// A near relay is reached: what waits of these conversations is put there as well (LAN-7).
pub(crate) fn put_also_at(step: &mut Step<'_, '_>, relay: RelayId, groups: &BTreeSet<Gid>) -> Result<(), Stop> {
    let sql = "SELECT id, group_id FROM outbox WHERE group_id IS NOT NULL AND envelope <> x'' ORDER BY id";
    let rows: Vec<(i64, Gid)> = step
        .tx
        .prepare_cached(sql)?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (row, _) in rows.iter().filter(|(_, group)| groups.contains(group)) {
        step.tx
            .prepare_cached("INSERT OR IGNORE INTO outbox_relay(outbox, relay, stored) VALUES (?, ?, 0)")?
            .execute(params![row, relay.as_bytes()])?;
        send(step, *row)?;
    }
    Ok(())
}

/// A message that has no place yet: it is encrypted and put when there is one (FORK-8).
pub(crate) fn hold(
    step: &mut Step<'_, '_>,
    id: MessageId,
    (group, epoch): (&Gid, EpochId),
    plain: &[u8],
) -> Result<(), Stop> {
    let relays = listening::lasting_relays_of(step, group)?;
    let row = Bare {
        id: *id.as_bytes(),
        epoch,
        plain,
        sealed_at: due_at(step, PLACE_EVERY_MS),
        tries: 0,
    };
    put_bare(step, group, &row, &relays)
}

/// There is still none.
fn wait_for_place(step: &Step<'_, '_>, of: &Conversation, row: i64) -> Result<(), Stop> {
    group::again::hasten(step, of)?;
    let sql = "SELECT m.received_at FROM outbox o JOIN message m ON m.id = o.about WHERE o.id = ?";
    let found = step
        .tx
        .prepare_cached(sql)?
        .query_row([row], |row| row.get::<_, i64>(0));
    let waited = found.optional()?.unwrap_or(0).abs_diff(step.now.0.cast_signed());
    let wait = (waited / 8).clamp(PLACE_EVERY_MS, PLACE_WITHIN_MS);
    step.tx
        .prepare_cached("UPDATE outbox SET sealed_at = ? WHERE id = ?")?
        .execute(params![due_at(step, wait), row])?;
    Ok(())
}

/// The head has moved: what is held back may have a place now.
pub(crate) fn look_for_place(step: &Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    step.tx
        .prepare_cached(
            "UPDATE outbox SET sealed_at = min(sealed_at, ?)
             WHERE group_id = ? AND purpose = 0 AND tries = 0 AND envelope = x''",
        )?
        .execute(params![due_at(step, PLACE_EVERY_MS), group])?;
    Ok(())
}

/// Sealed then, it is due so soon.
fn due_at(step: &Step<'_, '_>, ms: u64) -> i64 {
    step.now.0.cast_signed().saturating_sub_unsigned(RESEAL_MS - ms)
}

/// A message of which there is plain text only.
struct Bare<'a> {
    id: [u8; 16],
    epoch: EpochId,
    plain: &'a [u8],
    sealed_at: i64,
    tries: u8,
}

/// Puts it there as if relays had it, so that it is not sent as it is.
fn put_bare(step: &Step<'_, '_>, group: &Gid, bare: &Bare<'_>, relays: &[RelayId]) -> Result<(), Stop> {
    step.tx
        .prepare_cached(
            "INSERT INTO outbox(purpose, about, group_id, content, plain, epoch_id, slot, envelope, envelope_id, token,
                                sealed_at, part, tries)
             VALUES (0, ?1, ?2, x'', ?3, ?4, ?5, x'', x'', x'', ?6, 0, ?7)",
        )?
        .execute(params![
            bare.id,
            group,
            bare.plain,
            bare.epoch.as_bytes(),
            step.slot().0,
            bare.sealed_at,
            bare.tries
        ])?;
    let row = step.tx.last_insert_rowid();
    for relay in relays.iter().take(PUT_RELAYS) {
        step.tx
            .prepare_cached("INSERT INTO outbox_relay(outbox, relay, stored) VALUES (?, ?, 1)")?
            .execute(params![row, relay.as_bytes()])?;
    }
    Ok(())
}

/// Seals a content into as many envelopes as it needs, a row for each; what is inside stands in the first (OUT-8).
fn put_all(step: &mut Step<'_, '_>, row: &Row<'_>, epoch: EpochId, relays: &[RelayId]) -> Result<(), Stop> {
    let (envelopes, token) = seal(step, row.waiting.lane(), epoch, row.slot, row.content)?;
    for (part, envelope) in (0u16..).zip(envelopes) {
        let row = if part == 0 {
            *row
        } else {
            Row {
                content: &[],
                plain: None,
                ..*row
            }
        };
        insert(step, &row, part, envelope, token.clone(), relays.to_vec())?;
    }
    Ok(())
}

/// Puts a commit into the commit lane of its parent, on every relay of the conversation (OUT-6).
pub(crate) fn put_commit(
    step: &mut Step<'_, '_>,
    waiting: Waiting,
    (group, parent): (Gid, EpochId),
    makes: EpochId,
    commit: &[u8],
) -> Result<(), Stop> {
    let row = Row {
        waiting,
        about: makes.as_bytes(),
        group: Some(group),
        epoch: Some(parent),
        content: commit,
        plain: None,
        slot: step.slot(),
        tries: 0,
    };
    let relays = listening::relays_of(step, &group)?;
    put_all(step, &row, parent, &relays)
}

/// Puts something of a meeting (answer, request): its envelopes are made by the meeting's own keys and stay the same.
pub(crate) fn put_meeting(
    step: &mut Step<'_, '_>,
    waiting: Waiting,
    about: &[u8],
    envelopes: Vec<Envelope>,
    token: &Token,
    relay: RelayId,
) -> Result<(), Stop> {
    for envelope in envelopes {
        insert(
            step,
            &of_meeting(waiting, about, &[]),
            0,
            envelope,
            token.clone(),
            vec![relay],
        )?;
    }
    Ok(())
}

/// Puts what Welcomes have in common into the mailbox of its own secret, in the place of what waits of it.
pub(crate) fn put_apart(step: &mut Step<'_, '_>, group: Gid, apart: &Apart, content: &[u8]) -> Result<(), Stop> {
    done(step, Waiting::Apart, &apart.hash)?;
    let token = apart.token();
    let crypto = &step.mls.crypto;
    let envelopes = envelope::seal_all(&apart.key(), token.tag(), &mut || crypto.bytes(), content)
        .map_err(|_| Stop::Refused("too long for envelopes"))?;
    let relays = put_to(step, &group)?;
    let row = Row {
        group: Some(group),
        ..of_meeting(Waiting::Apart, &apart.hash, &[])
    };
    for (part, envelope) in (0u16..).zip(envelopes) {
        insert(step, &row, part, envelope, token.clone(), relays.clone())?;
    }
    Ok(())
}

/// Puts a claim in the place of the one before; what is inside is kept, to be sealed anew each time (MEET-16).
pub(crate) fn put_claim(
    step: &mut Step<'_, '_>,
    acceptance: &[u8],
    content: &[u8],
    envelopes: Vec<Envelope>,
    token: &Token,
    relay: RelayId,
) -> Result<(), Stop> {
    done(step, Waiting::Claim, acceptance)?;
    for envelope in envelopes {
        let row = of_meeting(Waiting::Claim, acceptance, content);
        insert(step, &row, 0, envelope, token.clone(), vec![relay])?;
    }
    Ok(())
}

fn of_meeting<'a>(waiting: Waiting, about: &'a [u8], content: &'a [u8]) -> Row<'a> {
    Row {
        waiting,
        about,
        group: None,
        epoch: None,
        content,
        plain: None,
        slot: Slot(0),
        tries: 0,
    }
}

/// Nothing about this waits any more.
pub(crate) fn done(step: &Step<'_, '_>, waiting: Waiting, about: &[u8]) -> Result<(), Stop> {
    step.tx
        .prepare_cached("DELETE FROM outbox WHERE about = ? AND purpose = ?")?
        .execute(params![about, waiting as u8])?;
    Ok(())
}

/// Nothing can be sealed in this epoch any more: receipts, commits and answers there are over, messages are due at once.
pub(crate) fn epoch_closed(step: &Step<'_, '_>, epoch: EpochId) -> Result<(), Stop> {
    kept::forget(step, epoch)?;
    originals::epoch_closed(step, epoch)?;
    step.tx
        .prepare_cached("DELETE FROM outbox WHERE epoch_id = ? AND purpose IN (4, 6)")?
        .execute([epoch.as_bytes()])?;
    no_messages_there(step, epoch)
}

/// Only commits are read in this epoch any more (EPO-10): receipts and answers there are over, messages are due at once.
pub(crate) fn no_messages_there(step: &Step<'_, '_>, epoch: EpochId) -> Result<(), Stop> {
    originals::no_messages_there(step, epoch)?;
    step.tx
        .prepare_cached("DELETE FROM outbox WHERE epoch_id = ? AND purpose IN (1, 5)")?
        .execute([epoch.as_bytes()])?;
    step.tx
        .prepare_cached("UPDATE outbox SET sealed_at = ? WHERE epoch_id = ? AND purpose = 0")?
        .execute(params![
            step.now.0.cast_signed().saturating_sub_unsigned(RESEAL_MS),
            epoch.as_bytes()
        ])?;
    Ok(())
}

/// The head has left this epoch's branch: others may never see it, so messages there are due soon (OUT-5).
pub(crate) fn branch_lost(step: &Step<'_, '_>, group: &Gid, epoch: EpochId) -> Result<(), Stop> {
    let sealed_at = due_at(step, SOON_MS);
    step.tx
        .prepare_cached("UPDATE outbox SET sealed_at = min(sealed_at, ?) WHERE epoch_id = ? AND purpose = 0")?
        .execute(params![sealed_at, epoch.as_bytes()])?;
    kept::put_again(step, group, epoch, sealed_at)
}

/// Enough others have confirmed a message. Where three speak for many, it stays until a relay has it on the head's
/// branch (OUT-7), and is kept in case that branch loses (OUT-9); where all have, so it is after somebody's removal, which
/// may be void.
pub(crate) fn confirmed(step: &Step<'_, '_>, of: &Conversation, id: MessageId) -> Result<(), Stop> {
    if let Some(epoch) = where_it_lies(step, of, id)? {
        let many = of.accounts > epochs::ALL_CONFIRM_MAX;
        let lost = !epochs::is_canonical(step, &of.group, epoch)?;
        if lost && (many || epochs::lacks_by_void(step, of, epoch)?) {
            return branch_lost(step, &of.group, epoch);
        }
        if many || epochs::unseats_on_the_way(step, &of.group, epoch)? {
            kept::keep(step, of, id)?;
        }
    }
    originals::keep_mine(step, of, id)?;
    done(step, Waiting::Message, id.as_bytes())
}

/// The epoch in which a message of mine to a group waits.
fn where_it_lies(step: &Step<'_, '_>, of: &Conversation, id: MessageId) -> Result<Option<EpochId>, Stop> {
    if !of.grouped {
        return Ok(None);
    }
    let sql = "SELECT epoch_id FROM outbox WHERE about = ? AND purpose = 0 AND part = 0";
    let found = step
        .tx
        .prepare_cached(sql)?
        .query_row([id.as_bytes()], |row| row.get(0));
    Ok(found.optional()?.map(EpochId::from_bytes))
}

/// Nobody has to confirm a message (any more), but other devices of mine read it: it stays until a relay has it (OWN-5).
pub(crate) fn done_if_stored(step: &Step<'_, '_>, id: MessageId) -> Result<(), Stop> {
    let sql = "SELECT id FROM outbox WHERE about = ? AND purpose = 0 AND part = 0";
    let row: Option<i64> = step
        .tx
        .prepare_cached(sql)?
        .query_row([id.as_bytes()], |row| row.get(0))
        .optional()?;
    match row {
        Some(row) if all_stored(step, id.as_bytes())? => confirmed_before(step, row, id.as_bytes()),
        _waits_or_gone => Ok(()),
    }
}

/// A relay has a message that enough had confirmed already, or that nobody has to: on the head's branch it is done.
fn confirmed_before(step: &Step<'_, '_>, row: i64, about: &[u8]) -> Result<(), Stop> {
    let sql = "SELECT o.group_id, o.epoch_id FROM outbox o JOIN message m ON m.id = o.about
               WHERE o.id = ? AND (m.acked > 0 OR m.state >= 2)";
    let found = step
        .tx
        .prepare_cached(sql)?
        .query_row([row], |row| Ok((row.get(0)?, row.get(1)?)));
    let (Some((group, epoch)), Some(id)) = (found.optional()?, MessageId::from_slice(about)) else {
        return Ok(());
    };
    let Some(of) = conversation::load(step, &group)? else {
        return Ok(());
    };
    if epochs::is_canonical(step, &group, EpochId::from_bytes(epoch))? {
        kept::keep(step, &of, id)?;
        originals::keep_mine(step, &of, id)?;
        done(step, Waiting::Message, about)?;
    }
    Ok(())
}

/// A commit of mine lost to a fork: once a relay has it, it needs no more care (EPO-6).
pub(crate) fn commit_lost(step: &Step<'_, '_>, makes: EpochId) -> Result<(), Stop> {
    if was_stored(step, makes.as_bytes())? {
        done(step, Waiting::Commit, makes.as_bytes())?;
    }
    Ok(())
}

/// A relay says that it has stored these.
pub(crate) fn stored(step: &mut Step<'_, '_>, relay: RelayId, ids: &[EnvelopeId]) -> Result<(), Stop> {
    watch::look(step, relay)?;
    let is_mine = near::whose(step, relay)? == near::Whose::Mine;
    for id in ids {
        watch::stored(step, relay, *id)?;
        let found = step
            .tx
            .prepare_cached("SELECT id, purpose, about FROM outbox WHERE envelope_id = ?")?
            .query_row([id.as_bytes()], |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    Waiting::of(row.get(1)?),
                    row.get::<_, Vec<u8>>(2)?,
                ))
            })
            .optional()?;
        let Some((row, waiting, about)) = found else { continue };
        step.tx
            .prepare_cached("UPDATE outbox_relay SET stored = 1 WHERE outbox = ? AND relay = ?")?
            .execute(params![row, relay.as_bytes()])?;
        // What lies on this device only nobody has carried, unless it can lie nowhere else.
        if is_mine && goes_elsewhere(step, row)? {
            continue;
        }
        match waiting {
            Waiting::Message if all_stored(step, &about)? => {
                carried(step, &about)?;
                confirmed_before(step, row, &about)?;
            }
            Waiting::Message | Waiting::Claim | Waiting::Capsule => {}
            Waiting::Receipt | Waiting::Answer | Waiting::Again | Waiting::CommitAgain | Waiting::Apart => {
                drop_row(step, row)?
            }
            Waiting::Commit => commit_stored(step, row, &about)?,
        }
    }
    Ok(())
}

/// Another relay is to have it too.
fn goes_elsewhere(step: &Step<'_, '_>, row: i64) -> Result<bool, Stop> {
    let sql = "SELECT 1 FROM outbox_relay o JOIN relay r USING (relay) WHERE o.outbox = ? AND r.near <> 2";
    Ok(step.tx.prepare_cached(sql)?.exists([row])?)
}

/// A relay has no room for these: each goes into the next mailbox of its lane at once (MBX-6).
pub(crate) fn full(step: &mut Step<'_, '_>, ids: &[EnvelopeId]) -> Result<(), Stop> {
    for id in ids {
        let sql =
            "SELECT purpose, about, epoch_id, slot, token FROM outbox WHERE envelope_id = ? AND epoch_id IS NOT NULL";
        let found = step.tx.prepare_cached(sql)?.query_row([id.as_bytes()], |row| {
            Ok((
                Waiting::of(row.get(0)?),
                row.get::<_, Vec<u8>>(1)?,
                EpochId::from_bytes(row.get(2)?),
                Slot(row.get(3)?),
                Token::from_bytes(row.get(4)?),
            ))
        });
        let Some((waiting, about, epoch, slot, token)) = found.optional()? else {
            continue;
        };
        if overflow::is_full(step, epoch, (waiting.lane(), slot), &token)? {
            put_in_next(step, waiting, &about)?;
        }
    }
    Ok(())
}

fn put_in_next(step: &mut Step<'_, '_>, waiting: Waiting, about: &[u8]) -> Result<(), Stop> {
    let sql = "SELECT id FROM outbox WHERE about = ? AND purpose = ? AND part = 0";
    let row: Option<i64> = step
        .tx
        .prepare_cached(sql)?
        .query_row(params![about, waiting as u8], |row| row.get(0))
        .optional()?;
    let Some(row) = row else { return Ok(()) };
    match again_inside(step, row)? {
        Some(inside) => put_inside(step, &inside, inside.tries),
        None => Ok(()),
    }
}

/// Some relay has each part of this, and not this device's own only (LAN-7).
fn all_stored(step: &Step<'_, '_>, about: &[u8]) -> Result<bool, Stop> {
    let sql = "SELECT 1 FROM outbox o WHERE o.about = ? AND o.purpose = 0
               AND NOT EXISTS (SELECT 1 FROM outbox_relay r LEFT JOIN relay l USING (relay)
                               WHERE r.outbox = o.id AND r.stored = 1 AND l.near IS NOT 2)";
    Ok(!step.tx.prepare_cached(sql)?.exists([about])?)
}

fn commit_stored(step: &Step<'_, '_>, row: i64, makes: &[u8]) -> Result<(), Stop> {
    let group: Gid = step
        .tx
        .prepare_cached("SELECT group_id FROM outbox WHERE id = ?")?
        .query_row([row], |row| row.get(0))?;
    let makes = EpochId::from_slice(makes).ok_or(Stop::Refused("own commit"))?;
    epochs::commit_stored(step, &group, makes)
}

/// Hands out everything that some relay has not confirmed as stored: after a start.
pub(crate) fn send_all(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let rows: Vec<i64> = step
        .tx
        .prepare_cached("SELECT DISTINCT outbox FROM outbox_relay WHERE stored = 0 ORDER BY outbox")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    rows.into_iter().try_for_each(|row| send(step, row))
}

/// Seals anew what nobody confirmed in time (OUT-2).
pub(crate) fn reseal_due(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let (now, old) = (
        step.now.0.cast_signed(),
        step.now.0.cast_signed().saturating_sub_unsigned(RESEAL_MS),
    );
    // Two searches of the index: as one condition SQLite would walk the whole outbox in every step.
    let sql = "SELECT id, purpose FROM outbox
               WHERE id IN (SELECT id FROM outbox WHERE sealed_at <= ? UNION ALL
                            SELECT id FROM outbox WHERE sealed_at > ?) ORDER BY id";
    reseal_all(step, sql, params![old, now])
}

/// Seals anew what waits in a slot that has passed (OUT-2).
pub(crate) fn turn_slot(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let sql = "SELECT id, purpose FROM outbox WHERE purpose < 2 AND slot <> ? ORDER BY id";
    let slot = step.slot().0;
    reseal_all(step, sql, params![slot])
}

fn reseal_all(step: &mut Step<'_, '_>, sql: &str, which: &[&dyn rusqlite::ToSql]) -> Result<(), Stop> {
    let rows: Vec<(i64, Waiting)> = step
        .tx
        .prepare_cached(sql)?
        .query_map(which, |row| Ok((row.get(0)?, Waiting::of(row.get(1)?))))?
        .collect::<Result<_, _>>()?;
    for (row, waiting) in rows {
        match waiting {
            Waiting::Message | Waiting::Receipt | Waiting::Commit => reseal(step, row)?,
            Waiting::Claim => claim_again(step, row)?,
            Waiting::Answer | Waiting::Capsule | Waiting::Apart => {
                again(step, row)?;
                send(step, row)?;
            }
            // Whoever still lacks it asks again.
            Waiting::Again | Waiting::CommitAgain => drop_row(step, row)?,
        }
    }
    Ok(())
}

/// When the next row falls due.
pub(crate) const TIMES: Times = Times {
    after_ms: RESEAL_MS,
    ..Times::of(
        "SELECT min(sealed_at) FROM outbox",
        "SELECT max(sealed_at) FROM outbox",
        0,
    )
};

#[derive(Clone, Copy)]
struct Row<'a> {
    waiting: Waiting,
    about: &'a [u8],
    group: Option<Gid>,
    epoch: Option<EpochId>,
    content: &'a [u8],
    plain: Option<&'a [u8]>,
    slot: Slot,
    tries: u8,
}

fn insert(
    step: &mut Step<'_, '_>,
    row: &Row<'_>,
    part: u16,
    envelope: Envelope,
    token: Token,
    relays: Vec<RelayId>,
) -> Result<(), Stop> {
    let id = envelope.id();
    step.tx
        .prepare_cached(
            "INSERT INTO outbox(purpose, about, group_id, content, plain, epoch_id, slot, envelope, envelope_id, token,
                                sealed_at, part, tries)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            row.waiting as u8,
            row.about,
            row.group,
            row.content,
            row.plain,
            row.epoch.map(|epoch| *epoch.as_bytes()),
            row.slot.0,
            envelope.bytes(),
            id.as_bytes(),
            token.as_bytes(),
            step.now.0.cast_signed(),
            part,
            row.tries,
        ])?;
    let number = step.tx.last_insert_rowid();
    for relay in &relays {
        step.tx
            .prepare_cached("INSERT INTO outbox_relay(outbox, relay, stored) VALUES (?, ?, 0)")?
            .execute(params![number, relay.as_bytes()])?;
    }
    if row.waiting == Waiting::Message {
        wider::note(step, number)?;
    }
    see(step, id)?;
    watch::leaves(step, &relays, token.tag(), id)?;
    hand_out(step, row.waiting, envelope, token, relays);
    Ok(())
}

fn hand_out(step: &mut Step<'_, '_>, waiting: Waiting, envelope: Envelope, token: Token, relays: Vec<RelayId>) {
    if relays.is_empty() {
        return;
    }
    let deadline = step.now.plus_ms(RESEAL_MS);
    let class = waiting.class();
    step.errand(Errand::Send(Parcel {
        envelope,
        token,
        relays,
        class,
        ttl_s: waiting.ttl_s(),
        deadline,
    }));
}

fn send(step: &mut Step<'_, '_>, row: i64) -> Result<(), Stop> {
    let (waiting, envelope, token) = step
        .tx
        .prepare_cached("SELECT purpose, envelope, token FROM outbox WHERE id = ?")?
        .query_row([row], |row| {
            Ok((
                Waiting::of(row.get(0)?),
                row.get::<_, Vec<u8>>(1)?,
                Token::from_bytes(row.get(2)?),
            ))
        })?;
    let relays = step
        .tx
        .prepare_cached("SELECT relay FROM outbox_relay WHERE outbox = ? AND stored = 0 ORDER BY relay")?
        .query_map([row], |row| row.get::<_, [u8; 16]>(0))?
        .map(|relay| relay.map(RelayId::from_bytes))
        .collect::<Result<_, _>>()?;
    let envelope = Envelope::decode(envelope).map_err(|_| Stop::Refused("own envelope"))?;
    hand_out(step, waiting, envelope, token, relays);
    Ok(())
}

/// Seals one anew, with all its parts. A part that is not the first goes with it.
fn reseal(step: &mut Step<'_, '_>, row: i64) -> Result<(), Stop> {
    let Some(inside) = again_inside(step, row)? else {
        return Ok(());
    };
    let Inside {
        waiting,
        ref about,
        group,
        tries,
        ..
    } = inside;
    if waiting == Waiting::Commit && was_stored(step, about)? {
        let makes = EpochId::from_slice(about).ok_or(Stop::Refused("own commit"))?;
        epochs::commit_stored(step, &group, makes)?;
        if !waits(step, row)? {
            return Ok(());
        }
    }
    put_inside(step, &inside, tries.saturating_add(1))
}

fn put_inside(step: &mut Step<'_, '_>, inside: &Inside, tries: u8) -> Result<(), Stop> {
    let relays = relays_to(step, inside.waiting, &inside.group)?;
    done(step, inside.waiting, &inside.about)?;
    let row = Row {
        waiting: inside.waiting,
        about: &inside.about,
        group: Some(inside.group),
        epoch: Some(inside.epoch),
        content: &inside.content,
        plain: inside.plain.as_deref(),
        slot: step.slot(),
        tries,
    };
    put_all(step, &row, inside.epoch, &relays)
}

/// Somebody asks for a message of mine that waits: it is sealed anew now, and again when it falls due (WNT-4).
/// Out: false where it does not wait.
pub(crate) fn put_sooner(step: &mut Step<'_, '_>, id: MessageId) -> Result<bool, Stop> {
    let sql = "SELECT id, sealed_at FROM outbox WHERE about = ? AND purpose = 0 AND part = 0";
    let found: Option<(i64, i64)> = step
        .tx
        .prepare_cached(sql)?
        .query_row([id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((row, sealed_at)) = found else {
        return Ok(false);
    };
    let Some(inside) = again_inside(step, row)? else {
        return Ok(false);
    };
    put_inside(step, &inside, inside.tries)?;
    step.tx
        .prepare_cached("UPDATE outbox SET sealed_at = min(sealed_at, ?) WHERE about = ? AND purpose = 0")?
        .execute(params![sealed_at, id.as_bytes()])?;
    Ok(true)
}

/// The same claim in a new envelope: a relay keeps the same one once, and gives it once (RLY-23). The requests of a device
/// that came back are sealed anew by their own clock (RCH-2).
fn claim_again(step: &mut Step<'_, '_>, row: i64) -> Result<(), Stop> {
    let (about, content): (Vec<u8>, Vec<u8>) = step
        .tx
        .prepare_cached("SELECT about, content FROM outbox WHERE id = ?")?
        .query_row([row], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if content.is_empty() {
        again(step, row)?;
        return send(step, row);
    }
    accept::put_again(step, &about, &content)
}

fn drop_row(step: &Step<'_, '_>, row: i64) -> Result<(), Stop> {
    step.tx
        .prepare_cached("DELETE FROM outbox WHERE id = ?")?
        .execute([row])?;
    Ok(())
}

/// Where it goes anew: a commit everywhere, the rest where it is best by now (OUT-3).
fn relays_to(step: &Step<'_, '_>, waiting: Waiting, group: &Gid) -> Result<Vec<RelayId>, Stop> {
    match waiting.lane() {
        Lane::Commit => listening::relays_of(step, group),
        Lane::App => put_to(step, group),
    }
}

fn was_stored(step: &Step<'_, '_>, makes: &[u8]) -> Result<bool, Stop> {
    let sql = "SELECT 1 FROM outbox o JOIN outbox_relay r ON r.outbox = o.id
               WHERE o.about = ? AND o.purpose = 4 AND r.stored = 1";
    Ok(step.tx.prepare_cached(sql)?.exists([makes])?)
}

fn waits(step: &Step<'_, '_>, row: i64) -> Result<bool, Stop> {
    Ok(step
        .tx
        .prepare_cached("SELECT 1 FROM outbox WHERE id = ?")?
        .exists([row])?)
}

/// What is sealed anew, and in which epoch.
struct Inside {
    waiting: Waiting,
    epoch: EpochId,
    content: Vec<u8>,
    plain: Option<Vec<u8>>,
    about: Vec<u8>,
    group: Gid,
    tries: u8,
}

/// The MLS message to seal anew: the same one, or the text encrypted again under its old message id, in an epoch that
/// its readers know by now (OUT-5). One whose epoch is closed, or on a branch that lost, is always encrypted again.
/// Nothing for a row that is a later part, or gone.
fn again_inside(step: &mut Step<'_, '_>, row: i64) -> Result<Option<Inside>, Stop> {
    let sql = "SELECT purpose, epoch_id, content, plain, about, group_id, tries FROM outbox WHERE id = ? AND part = 0";
    let found = step.tx.prepare_cached(sql)?.query_row([row], |row| {
        Ok(Inside {
            waiting: Waiting::of(row.get(0)?),
            epoch: EpochId::from_bytes(row.get(1)?),
            content: row.get(2)?,
            plain: row.get(3)?,
            about: row.get(4)?,
            group: row.get(5)?,
            tries: row.get(6)?,
        })
    });
    let Some(mut inside) = found.optional()? else {
        return Ok(None);
    };
    let Some(plain) = inside.plain.clone() else {
        return Ok(Some(inside));
    };
    // DEV-7: what a revoked device of mine was told last, and nobody confirms.
    if inside.tries >= TOLD_REVOKED && conversation::load(step, &inside.group)?.is_none_or(|of| of.own && of.gone) {
        return done(step, inside.waiting, &inside.about).map(|()| None);
    }
    let closed = is_closed(step, inside.epoch)?;
    // OUT-9: what was kept as plain text has no MLS message to be sealed.
    let bare = inside.content.is_empty();
    let turn = ENCRYPTED_AGAIN.contains(&inside.tries.saturating_add(1));
    if !(turn || closed || bare || !epochs::is_canonical(step, &inside.group, inside.epoch)?) {
        return Ok(Some(inside));
    }
    let Some(mut of) = conversation::load(step, &inside.group)? else {
        return Ok(None);
    };
    if of.gone {
        // Nothing can be said in the head any more; in an epoch that is kept it goes on.
        return if closed || bare {
            done(step, inside.waiting, &inside.about).map(|()| None)
        } else {
            Ok(Some(inside))
        };
    }
    let Some(place) = renewal::before_writing(step, &of)? else {
        return wait_for_place(step, &of, row).map(|()| None);
    };
    of.epoch = place;
    let held = bare && inside.tries == 0;
    let epoch = match epochs::readable_at(step, &of, inside.epoch, closed)? {
        Some(epoch) if !held || epochs::accounts(step, epoch)?.is_subset(&epochs::accounts(step, place)?) => epoch,
        // It was held back from who is in all others (FORK-8).
        _any if held => place,
        Some(epoch) => epoch,
        None if bare && epochs::has_my_leaf(step, &of, inside.epoch)? => inside.epoch,
        // It was confirmed once, and nobody takes what this leaf says there.
        None if bare => return done(step, inside.waiting, &inside.about).map(|()| None),
        None => return Ok(Some(inside)),
    };
    encrypt_again(step, &of, epoch, &mut inside, &plain)?;
    Ok(Some(inside))
}

fn encrypt_again(
    step: &mut Step<'_, '_>,
    of: &Conversation,
    epoch: EpochId,
    inside: &mut Inside,
    plain: &[u8],
) -> Result<(), Stop> {
    let id = MessageId::from_slice(&inside.about).ok_or(Stop::Refused("own message"))?;
    let plain = match epochs::first_of(step, id)? {
        Some((first, leaf)) if (first, leaf) != (epoch, of.leaf) => {
            message::encode_again(First { epoch: first, leaf }, plain)
        }
        _here => plain.to_vec(),
    };
    inside.content = step.groups.write(&step.mls, (of.group, epoch), &of.signer, &plain)?;
    inside.epoch = epoch;
    Ok(())
}

fn is_closed(step: &Step<'_, '_>, epoch: EpochId) -> Result<bool, Stop> {
    Ok(!step
        .tx
        .prepare_cached("SELECT 1 FROM epoch WHERE epoch_id = ? AND envelope_key IS NOT NULL AND far = 0")?
        .exists([epoch.as_bytes()])?)
}

/// The same envelope once more.
fn again(step: &Step<'_, '_>, row: i64) -> Result<(), Stop> {
    step.tx
        .prepare_cached("UPDATE outbox SET sealed_at = ? WHERE id = ?")?
        .execute(params![step.now.0.cast_signed(), row])?;
    step.tx
        .prepare_cached("UPDATE outbox_relay SET stored = 0 WHERE outbox = ?")?
        .execute([row])?;
    Ok(())
}

/// Seals a signal for the app lane of an epoch: one envelope, of which no row is kept.
pub(crate) fn seal_signal(step: &Step<'_, '_>, epoch: EpochId, content: &[u8]) -> Result<(Envelope, Token), Stop> {
    let (mut envelopes, token) = seal(step, Lane::App, epoch, step.slot(), content)?;
    let envelope = envelopes.pop().ok_or(Stop::Refused("signal"))?;
    Ok((envelope, token))
}

/// Seals a content for a lane of an epoch, into as many envelopes as it needs.
pub(crate) fn seal(
    step: &Step<'_, '_>,
    lane: Lane,
    epoch: EpochId,
    slot: Slot,
    content: &[u8],
) -> Result<(Vec<Envelope>, Token), Stop> {
    let (root, key) = step
        .tx
        .prepare_cached("SELECT mailbox_root, envelope_key FROM epoch WHERE epoch_id = ?")?
        .query_row([epoch.as_bytes()], |row| {
            Ok((MailboxRoot::new(row.get(0)?), EnvelopeKey::new(row.get(1)?)))
        })?;
    let token = mailbox::token(&root, lane, slot, overflow::writes(step, epoch, lane, slot)?);
    let crypto = &step.mls.crypto;
    let envelopes = envelope::seal_all(&key, token.tag(), &mut || crypto.bytes(), content)
        .map_err(|_| Stop::Refused("too long for envelopes"))?;
    Ok((envelopes, token))
}

/// Remembers an envelope, so that its echo is not opened. Out: false where it was known.
pub(crate) fn see(step: &Step<'_, '_>, id: EnvelopeId) -> Result<bool, Stop> {
    let added = step
        .tx
        .prepare_cached("INSERT OR IGNORE INTO envelope_seen(id, at) VALUES (?, ?)")?
        .execute(params![id.as_bytes().as_slice().get(..16), step.time.0.cast_signed()])?;
    Ok(added == 1)
}

fn carried(step: &mut Step<'_, '_>, about: &[u8]) -> Result<(), Stop> {
    let chat: Option<ChatId> = step
        .tx
        .prepare_cached("UPDATE message SET state = 1 WHERE id = ? AND state = 0 RETURNING chat")?
        .query_row([about], |row| row.get(0))
        .optional()?
        .flatten();
    if let (Some(chat), Some(id)) = (chat, MessageId::from_slice(about)) {
        vanish::left(step, id)?;
        let id = hex::encode(id.as_bytes());
        step.event(Event::MessageState {
            chat,
            id,
            state: MessageState::Carried,
        });
    }
    Ok(())
}
