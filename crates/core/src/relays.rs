//! Which relays carry a conversation, and how that changes: one is added, dealt to a contact, taken back.
//!
//! In: relays that the person adds and takes back; what others bring; which relays greet. Out: rows, messages to say so,
//! errands. Where one message goes of all that a conversation has is the outbox's to choose (OUT-3). Specified in
//! `docs/protocol/20-relays.md`.
//! Invariants: a relay of somebody else's that was brought into a conversation is named nowhere else; a conversation keeps
//! its last relay, whatever is said.

pub(crate) mod ways;

use crate::account;
use crate::api::{Event, Fault, Reply};
use crate::conversation::{self, Conversation, Sealed, epochs};
use crate::due::Times;
use crate::listening;
use crate::meeting;
use crate::mls::Gid;
use crate::outbox;
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, Params, params};
use std::collections::BTreeSet;
use stonechat_wire::brought::{BROUGHT_MAX, Brought, TAKEN_BACK_MAX};
use stonechat_wire::card::CardRelay;
use stonechat_wire::exchange::{Errand, NamedBy};
use stonechat_wire::group::Role;
use stonechat_wire::ids::{AccountId, RelayId};
use stonechat_wire::message::Kind;

/// Relays that others have brought are known at most; what comes later is not used (REL-6).
pub(crate) const BROUGHT_KNOWN_MAX: u32 = 256;
/// Of those taken back a conversation reads so many, the newest (REL-6).
pub(crate) const TAKEN_READ_MAX: u32 = 8;
/// So long what was taken back is read (REL-3).
const TAKEN_READ_MS: u64 = 30 * DAY_MS;
/// A contact is dealt another entrance no sooner (REL-5).
const DEALT_MS: u64 = 30 * DAY_MS;
/// An entrance that has not greeted for so long is dead (REL-5).
const DEAD_MS: u64 = DAY_MS;
const DAY_MS: u64 = 24 * 3600 * 1000;
/// Conversations in which something is said in one step.
const TOLD_AT_ONCE: u32 = 32;
/// What could not be said is tried again so much later.
const AGAIN_MS: u64 = 10 * 60 * 1000;
/// So long after the last private relay was added entrances are dealt: those that are added together are dealt evenly.
const DEAL_AFTER_MS: u64 = AGAIN_MS;

/// When something is to be said.
pub(crate) const TIMES: Times = Times::of(
    "SELECT min(relays_due) FROM conversation WHERE relays_due IS NOT NULL",
    "SELECT max(relays_due) FROM conversation WHERE relays_due IS NOT NULL",
    AGAIN_MS,
);

/// The person has added a relay. It is told of once it has greeted; one that answers already, at once (REL-4).
pub(crate) fn added(step: &Step<'_, '_>, relay: RelayId, private: bool) -> Result<(), Stop> {
    let sql =
        "UPDATE relay SET private = ?2, removed = 0, brought = 0, dealt = 0, fresh = gone OR greeted_at IS NULL, added_at = ?3
               WHERE relay = ?1 RETURNING fresh";
    let which = params![relay.as_bytes(), private, step.time.0.cast_signed()];
    let fresh: bool = step.tx.query_row(sql, which, |row| row.get(0))?;
    if fresh { Ok(()) } else { all_due(step) }
}

/// Whether a relay of the person's is a private one.
pub(crate) fn is_private(step: &Step<'_, '_>, relay: RelayId) -> Result<bool, Stop> {
    let sql = "SELECT 1 FROM relay WHERE relay = ? AND own = 1 AND private = 1";
    Ok(step.tx.prepare_cached(sql)?.exists([relay.as_bytes()])?)
}

fn id_of(hex: &str) -> Result<RelayId, Stop> {
    let id = hex::decode(hex).ok().and_then(|id| RelayId::from_slice(&id));
    id.ok_or(Stop::Fault(Fault::NotFound))
}

/// The person takes a relay of theirs back (REL-3).
pub(crate) fn take_back(step: &mut Step<'_, '_>, id: &str) -> Result<Reply, Stop> {
    let relay = id_of(id)?;
    let sql = "UPDATE relay SET own = 0, chosen = 0, removed = 1 WHERE relay = ? AND own = 1";
    if step.tx.execute(sql, [relay.as_bytes()])? == 0 {
        return Err(Stop::Fault(Fault::NotFound));
    }
    all_due(step)?;
    listening::leave_capsule(step, relay)?;
    forget_unused(step, relay)?;
    step.event(Event::StatusChanged {});
    Ok(Reply::Done {})
}

/// A relay has greeted: what was added is told of now, and who has a dead entrance may be dealt another.
pub(crate) fn greeted(step: &Step<'_, '_>, relay: RelayId) -> Result<(), Stop> {
    let sql = "UPDATE relay SET fresh = 0 WHERE relay = ? AND fresh = 1 AND own = 1";
    if step.tx.prepare_cached(sql)?.execute([relay.as_bytes()])? == 1 {
        return all_due(step);
    }
    if is_private(step, relay)? {
        dead_due(step)?;
    }
    Ok(())
}

/// All conversations are looked at.
fn all_due(step: &Step<'_, '_>) -> Result<(), Stop> {
    let sql = "UPDATE conversation SET relays_due = ? WHERE gone = 0";
    step.tx.prepare_cached(sql)?.execute([step.now.0.cast_signed()])?;
    Ok(())
}

/// ... those whose entrance is dead and was dealt long ago.
fn dead_due(step: &Step<'_, '_>) -> Result<(), Stop> {
    let sql =
        "UPDATE conversation SET relays_due = ?1 WHERE gone = 0 AND grouped = 0 AND relays_due IS NULL AND chat IN (
                   SELECT h.id FROM entrance e JOIN chat h ON h.contact = e.contact JOIN relay r USING (relay)
                   WHERE e.past = 0 AND e.dealt_at <= ?2 AND (r.removed = 1 OR (r.gone = 1 AND r.gone_at <= ?3)))";
    let (now, time) = (step.now.0.cast_signed(), step.time.0.cast_signed());
    step.tx.prepare_cached(sql)?.execute(params![
        now,
        time.saturating_sub_unsigned(DEALT_MS),
        time.saturating_sub_unsigned(DEAD_MS)
    ])?;
    Ok(())
}

/// A conversation begins, or somebody is let in: what it lacks is said.
pub(crate) fn due_in(step: &Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    let sql = "UPDATE conversation SET relays_due = ? WHERE group_id = ?";
    step.tx
        .prepare_cached(sql)?
        .execute(params![step.now.0.cast_signed(), group])?;
    Ok(())
}

/// Says what is due.
pub(crate) fn tell_due(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let now = step.now.0.cast_signed();
    let sql = "SELECT group_id FROM conversation WHERE relays_due <= ?1 OR relays_due > ?2
               ORDER BY relays_due, group_id LIMIT ?3";
    let due: Vec<Gid> = step
        .tx
        .prepare_cached(sql)?
        .query_map(
            params![now, now.saturating_add_unsigned(AGAIN_MS), TOLD_AT_ONCE],
            |row| row.get(0),
        )?
        .collect::<Result<_, _>>()?;
    for group in due {
        let told = step.attempt(|step| tell_in(step, &group))?;
        let next = match told {
            Ok(()) if deals_later(step)? => Some(now.saturating_add_unsigned(DEAL_AFTER_MS)),
            Ok(()) => None,
            Err(Stop::Refused(why)) => {
                step.out.refused.push(why);
                Some(now.saturating_add_unsigned(AGAIN_MS))
            }
            Err(_fault) => Some(now.saturating_add_unsigned(AGAIN_MS)),
        };
        step.tx
            .prepare_cached("UPDATE conversation SET relays_due = ? WHERE group_id = ?")?
            .execute(params![next, group])?;
    }
    Ok(())
}

/// A private relay has just been added. One from the future was added under a clock that was wrong.
fn deals_later(step: &Step<'_, '_>) -> Result<bool, Stop> {
    let sql = "SELECT 1 FROM relay WHERE own = 1 AND private = 1 AND added_at > ? AND added_at <= ?";
    let (since, time) = (step.time.0.saturating_sub(DEAL_AFTER_MS), step.time.0);
    Ok(step
        .tx
        .prepare_cached(sql)?
        .exists([since.cast_signed(), time.cast_signed()])?)
}

/// Says in a conversation what this account brings, if that is news there.
fn tell_in(step: &mut Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    let Some(of) = conversation::load(step, group)? else {
        return Ok(());
    };
    if of.gone || of.hidden || of.saved || waits(step, group)? || !account::is_home(step.tx)? {
        return Ok(());
    }
    let me = step.me()?;
    if of.grouped && role(step, &of, me)? != Some(Role::Owner) {
        return Ok(());
    }
    let wanted = wanted(step, &of)?;
    let taken_back = unwanted(step, &of)?;
    if taken_back.is_empty() && !is_news(step, &of, me, &wanted)? {
        return Ok(());
    }
    let named = wanted.iter().map(|relay| meeting::name_relay(step, *relay));
    let brought = Brought {
        relays: named.collect::<Result<_, _>>()?,
        taken_back,
        number: step.next_number("relays_number")?,
    };
    conversation::tell(step, &of, Kind::Relays, &brought.encode())?;
    let said = "UPDATE conversation_relay SET moved = 0 WHERE group_id = ? AND relay = ?";
    for relay in &wanted {
        step.tx
            .prepare_cached(said)?
            .execute(params![of.group, relay.as_bytes()])?;
    }
    is_newest(step, &of, me, brought.number)?;
    take_in(step, &of, me, &brought, &wanted)
}

/// The other side has not let me in yet.
fn waits(step: &Step<'_, '_>, group: &Gid) -> Result<bool, Stop> {
    let sql = "SELECT v.waiting OR h.waiting FROM conversation v JOIN chat h ON h.id = v.chat WHERE v.group_id = ?";
    Ok(step.tx.prepare_cached(sql)?.query_row([group], |row| row.get(0))?)
}

fn role(step: &Step<'_, '_>, of: &Conversation, account: AccountId) -> Result<Option<Role>, Stop> {
    Ok(epochs::rights(step, of.epoch)?.and_then(|state| state.role(account)))
}

/// What this account is to bring into a conversation (REL-4).
fn wanted(step: &mut Step<'_, '_>, of: &Conversation) -> Result<Vec<RelayId>, Stop> {
    let most = if of.own { BROUGHT_MAX } else { meeting::RELAYS_NAMED };
    let sql = "SELECT relay FROM relay WHERE own = 1 AND near = 0 AND fresh = 0 AND private <= ?
               ORDER BY private, added_at, relay LIMIT ?";
    let mut wanted = listed(step, sql, params![of.own, u32::try_from(most).unwrap_or(0)])?;
    if !of.grouped && !of.own {
        wanted.extend(entrance(step, of)?);
    }
    Ok(wanted)
}

/// Own relays of before that the conversation has and the person has taken back.
fn unwanted(step: &Step<'_, '_>, of: &Conversation) -> Result<Vec<RelayId>, Stop> {
    let sql = "SELECT c.relay FROM conversation_relay c JOIN relay r USING (relay)
               WHERE c.group_id = ? AND c.taken_at IS NULL AND r.removed = 1 ORDER BY c.relay LIMIT ?";
    listed(step, sql, params![of.group, u32::try_from(TAKEN_BACK_MAX).unwrap_or(0)])
}

/// The conversation lacks one, or has one that was brought before and is not any more.
fn is_news(step: &Step<'_, '_>, of: &Conversation, me: AccountId, wanted: &[RelayId]) -> Result<bool, Stop> {
    let sql = "SELECT relay FROM conversation_relay WHERE group_id = ? AND taken_at IS NULL";
    let here: BTreeSet<RelayId> = listed(step, sql, [of.group])?.into_iter().collect();
    let sql = "SELECT relay FROM conversation_relay WHERE group_id = ? AND taken_at IS NULL AND by = ?";
    let mine = listed(step, sql, params![of.group, me.as_bytes()])?;
    let sql = "SELECT relay FROM conversation_relay WHERE group_id = ? AND taken_at IS NULL AND moved = 1";
    let moved = listed(step, sql, [of.group])?;
    let is_said = |relay: &RelayId| here.contains(relay) && !moved.contains(relay);
    Ok(!wanted.iter().all(is_said) || mine.iter().any(|relay| !wanted.contains(relay)))
}

/// A relay of the person's is somewhere else now.
fn moved_here(step: &Step<'_, '_>, relay: RelayId) -> Result<(), Stop> {
    let sql = "UPDATE conversation_relay SET moved = 1 WHERE relay = ?";
    step.tx.prepare_cached(sql)?.execute([relay.as_bytes()])?;
    Ok(())
}

/// The entrance of a contact: the one that was dealt, or a new one where there is none (REL-5).
fn entrance(step: &mut Step<'_, '_>, of: &Conversation) -> Result<Option<RelayId>, Stop> {
    let sql = "SELECT contact FROM chat WHERE id = ?";
    let contact: Option<[u8; 32]> = step.tx.prepare_cached(sql)?.query_row([of.chat], |row| row.get(0))?;
    let Some(contact) = contact else { return Ok(None) };
    let sql = "SELECT e.relay, e.dealt_at, r.own, r.gone AND coalesce(r.gone_at, 0) <= ?2
               FROM entrance e JOIN relay r USING (relay) WHERE e.contact = ?1 AND e.past = 0";
    let dead = step.time.0.saturating_sub(DEAD_MS).cast_signed();
    let dealt = step
        .tx
        .prepare_cached(sql)?
        .query_row(params![contact, dead], |row| {
            let (is_mine, is_dead): (bool, bool) = (row.get(2)?, row.get(3)?);
            Ok((
                RelayId::from_bytes(row.get(0)?),
                row.get::<_, i64>(1)?,
                is_mine,
                is_dead,
            ))
        })
        .optional()?;
    let Some((relay, dealt_at, is_mine, is_dead)) = dealt else {
        return deal(step, &contact);
    };
    let kept = is_mine.then_some(relay);
    if (is_mine && !is_dead) || dealt_at > step.time.0.saturating_sub(DEALT_MS).cast_signed() {
        return Ok(kept);
    }
    Ok(deal(step, &contact)?.or(kept))
}

/// Deals the one that fewest have, of those that are reached and this contact never had.
fn deal(step: &mut Step<'_, '_>, contact: &[u8; 32]) -> Result<Option<RelayId>, Stop> {
    if deals_later(step)? {
        return Ok(None);
    }
    let sql = "SELECT relay FROM relay r WHERE own = 1 AND private = 1 AND near = 0 AND gone = 0 AND fresh = 0
                   AND NOT EXISTS (SELECT 1 FROM entrance e WHERE e.relay = r.relay AND e.contact = ?)
               ORDER BY dealt, (SELECT count(*) FROM entrance e WHERE e.relay = r.relay), added_at, relay LIMIT 1";
    let Some(relay) = listed(step, sql, [contact])?.pop() else {
        return Ok(None);
    };
    let sql = "UPDATE entrance SET past = 1 WHERE contact = ?";
    step.tx.prepare_cached(sql)?.execute([contact])?;
    let sql = "INSERT INTO entrance(contact, relay, dealt_at) VALUES (?, ?, ?)";
    step.tx
        .prepare_cached(sql)?
        .execute(params![contact, relay.as_bytes(), step.time.0.cast_signed()])?;
    step.event(Event::StatusChanged {});
    Ok(Some(relay))
}

/// Somebody says what their account brings (REL-2).
pub(crate) fn told(step: &mut Step<'_, '_>, from: &Conversation, by: Sealed, body: &[u8]) -> Result<(), Stop> {
    let brought = Brought::decode(body).map_err(|_| Stop::Refused("relays"))?;
    if from.grouped {
        let role = epochs::rights(step, by.epoch)?.and_then(|state| state.role(by.account));
        if role.is_none_or(|role| role > Role::Admin) {
            return Ok(());
        }
    }
    if !is_newest(step, from, by.account, brought.number)? {
        return Ok(());
    }
    let mut used = Vec::new();
    for named in &brought.relays {
        if room_for(step, named.relay)? {
            used.push(use_brought(step, named)?);
        }
    }
    take_in(step, from, by.account, &brought, &used)?;
    // Once the conversation has them: an address counts of what is carried there (REL-7).
    for named in brought.relays.iter().filter(|named| used.contains(&named.relay)) {
        ways::heard(step, from, by.account, named)?;
    }
    Ok(())
}

/// It is known already, or one more may be.
fn room_for(step: &Step<'_, '_>, relay: RelayId) -> Result<bool, Stop> {
    let sql = "SELECT count(*) FROM relay WHERE brought = 1 AND relay <> ?";
    let others: u32 = step
        .tx
        .prepare_cached(sql)?
        .query_row([relay.as_bytes()], |row| row.get(0))?;
    let sql = "SELECT 1 FROM relay WHERE relay = ?";
    Ok(others < BROUGHT_KNOWN_MAX || step.tx.prepare_cached(sql)?.exists([relay.as_bytes()])?)
}

fn use_brought(step: &mut Step<'_, '_>, named: &CardRelay) -> Result<RelayId, Stop> {
    let sql = "SELECT 1 FROM relay WHERE relay = ?";
    let is_known = step.tx.prepare_cached(sql)?.exists([named.relay.as_bytes()])?;
    let relay = meeting::use_relay(step, named, NamedBy::Others)?;
    if !is_known {
        let sql = "UPDATE relay SET brought = 1 WHERE relay = ?";
        step.tx.prepare_cached(sql)?.execute([relay.as_bytes()])?;
    }
    Ok(relay)
}

/// Does what an account says, its own or another one's: `used` are those of its relays that are known here.
fn take_in(
    step: &mut Step<'_, '_>,
    of: &Conversation,
    by: AccountId,
    brought: &Brought,
    used: &[RelayId],
) -> Result<(), Stop> {
    let mut new = Vec::new();
    for relay in used {
        if carries_now(step, of, by, *relay)? {
            new.push(*relay);
        }
    }
    take_away(step, of, by, brought)?;
    listening::follow_group(step, &of.group)?;
    let group = BTreeSet::from([of.group]);
    for relay in new {
        outbox::put_also_at(step, relay, &group)?;
    }
    drop_over(step, of)
}

/// Whether it is the newest word of this account here; from now on it is.
fn is_newest(step: &Step<'_, '_>, of: &Conversation, by: AccountId, number: u64) -> Result<bool, Stop> {
    let sql = "INSERT INTO relays_said(group_id, account, number) VALUES (?1, ?2, ?3)
               ON CONFLICT(group_id, account) DO UPDATE SET number = ?3 WHERE number < ?3";
    let number = i64::try_from(number).map_err(|_| Stop::Refused("relays"))?;
    let changed = step
        .tx
        .prepare_cached(sql)?
        .execute(params![of.group, by.as_bytes(), number])?;
    Ok(changed == 1)
}

/// Out: whether the conversation did not use it before.
fn carries_now(step: &Step<'_, '_>, of: &Conversation, by: AccountId, relay: RelayId) -> Result<bool, Stop> {
    let sql = "SELECT 1 FROM conversation_relay WHERE group_id = ? AND relay = ? AND taken_at IS NULL";
    let was = step
        .tx
        .prepare_cached(sql)?
        .exists(params![of.group, relay.as_bytes()])?;
    let sql = "INSERT INTO conversation_relay(group_id, relay, by) VALUES (?1, ?2, ?3)
               ON CONFLICT(group_id, relay) DO UPDATE SET taken_at = NULL,
                   by = CASE WHEN by IS NULL OR taken_at IS NOT NULL THEN ?3 ELSE by END";
    step.tx
        .prepare_cached(sql)?
        .execute(params![of.group, relay.as_bytes(), by.as_bytes()])?;
    Ok(!was)
}

/// REL-3: what the account brought and brings no more, and what it takes back; but never the last one.
fn take_away(step: &Step<'_, '_>, of: &Conversation, by: AccountId, brought: &Brought) -> Result<(), Stop> {
    let sql = "SELECT c.relay FROM conversation_relay c JOIN relay r USING (relay)
               WHERE c.group_id = ? AND c.taken_at IS NULL AND r.near = 0";
    let here = listed(step, sql, [of.group])?;
    let sql = "SELECT relay FROM conversation_relay WHERE group_id = ? AND taken_at IS NULL AND by = ?";
    let theirs = listed(step, sql, params![of.group, by.as_bytes()])?;
    let sql = "SELECT relay FROM conversation_relay WHERE group_id = ? AND taken_at IS NULL AND by IS NULL";
    let first = listed(step, sql, [of.group])?;
    let brings = |relay: &RelayId| brought.relays.iter().any(|named| named.relay == *relay);
    let goes: Vec<RelayId> = here
        .iter()
        .filter(|relay| {
            let over = theirs.contains(relay) && !brings(relay);
            over || (brought.taken_back.contains(relay) && first.contains(relay) && !brings(relay))
        })
        .copied()
        .collect();
    let keeps_one = here.len() > goes.len();
    let sql = "UPDATE conversation_relay SET taken_at = ? WHERE group_id = ? AND relay = ?";
    for relay in goes.iter().skip(usize::from(!keeps_one)) {
        let at = step.time.0.cast_signed();
        step.tx
            .prepare_cached(sql)?
            .execute(params![at, of.group, relay.as_bytes()])?;
    }
    Ok(())
}

/// Of those taken back the newest few are read (REL-6).
fn drop_over(step: &mut Step<'_, '_>, of: &Conversation) -> Result<(), Stop> {
    let sql = "SELECT relay FROM conversation_relay WHERE group_id = ? AND taken_at IS NOT NULL
               ORDER BY taken_at DESC, relay LIMIT -1 OFFSET ?";
    for relay in listed(step, sql, params![of.group, TAKEN_READ_MAX])? {
        leave(step, &of.group, relay)?;
    }
    Ok(())
}

/// A week has turned: what was taken back long ago is not read any more (REL-3).
pub(crate) fn turn_slot(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let sql = "SELECT group_id, relay FROM conversation_relay WHERE taken_at < ?";
    let old = step.time.0.saturating_sub(TAKEN_READ_MS).cast_signed();
    let over: Vec<(Gid, [u8; 16])> = step
        .tx
        .prepare_cached(sql)?
        .query_map([old], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (group, relay) in over {
        leave(step, &group, RelayId::from_bytes(relay))?;
    }
    let sql = "SELECT relay FROM relay WHERE own = 0 AND (brought = 1 OR removed = 1)";
    for relay in listed(step, sql, [])? {
        forget_unused(step, relay)?;
    }
    Ok(())
}

fn leave(step: &mut Step<'_, '_>, group: &Gid, relay: RelayId) -> Result<(), Stop> {
    step.tx
        .prepare_cached("DELETE FROM conversation_relay WHERE group_id = ? AND relay = ?")?
        .execute(params![group, relay.as_bytes()])?;
    listening::leave(step, relay, group)?;
    forget_unused(step, relay)
}

/// What nobody has added and nothing is read or put at is not called any more.
fn forget_unused(step: &mut Step<'_, '_>, relay: RelayId) -> Result<(), Stop> {
    let id = relay.as_bytes();
    let sql =
        "SELECT 1 FROM relay WHERE relay = ?1 AND own = 0 AND chosen = 0 AND near = 0 AND (brought = 1 OR removed = 1)
                   AND NOT EXISTS (SELECT 1 FROM conversation_relay WHERE relay = ?1)
                   AND NOT EXISTS (SELECT 1 FROM listening WHERE relay = ?1)
                   AND NOT EXISTS (SELECT 1 FROM outbox_relay WHERE relay = ?1 AND stored = 0)
                   AND NOT EXISTS (SELECT 1 FROM public_invite WHERE state <= 1 AND instr(relays, ?1) > 0)";
    if !step.tx.prepare_cached(sql)?.exists([id])? {
        return Ok(());
    }
    for sql in [
        "DELETE FROM outbox_relay WHERE relay = ?",
        "DELETE FROM entrance WHERE relay = ?",
        "DELETE FROM relay WHERE relay = ?",
    ] {
        step.tx.prepare_cached(sql)?.execute([id])?;
    }
    step.errand(Errand::ForgetRelay(relay));
    step.event(Event::StatusChanged {});
    Ok(())
}

fn listed(step: &Step<'_, '_>, sql: &str, which: impl Params) -> Result<Vec<RelayId>, Stop> {
    let mut rows = step.tx.prepare_cached(sql)?;
    let found = rows.query_map(which, |row| row.get(0).map(RelayId::from_bytes))?;
    Ok(found.collect::<Result<_, _>>()?)
}
