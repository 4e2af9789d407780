//! The capsule: what of this account lies on its relays, sealed with what comes from its words.
//!
//! In: rows that changed (triggers note it), the device clock; capsules that come back. Out: envelopes for up to four
//! relays; and the news that the account lives on another device by now. What a device that has nothing but the words does
//! with a capsule is `restore`'s. Specified in `docs/protocol/14-devices.md` (CAP-*).
//! Invariant: no key of a conversation and no message is in it.

use crate::account::{self, Account};
use crate::api::Event;
use crate::devices::{self, Beside};
use crate::due::Times;
use crate::inbox;
use crate::listening::{self, Purpose};
use crate::meeting;
use crate::mls::Gid;
use crate::outbox::{self, Waiting};
use crate::restore;
use crate::roles;
use crate::step::{Step, Stop};
use rusqlite::params;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use stonechat_wire::capsule::{
    CAPSULE_BYTES_MAX, CONTACT_RELAYS_MAX, CONTACTS_MAX, Capsule, CapsuleRoot, GROUPS_MAX, KeptContact, KeptGroup,
    RELAYS_MAX, Whose,
};
use stonechat_wire::card::{CardRelay, DeviceLog};
use stonechat_wire::envelope::{self, Envelope};
use stonechat_wire::exchange::{Errand, Listen};
use stonechat_wire::group::GroupState;
use stonechat_wire::ids::{AccountId, RelayId, Tag};
use stonechat_wire::mailbox::Slot;
use stonechat_wire::reach::ReachSecret;

/// What rows of the outbox and of what is listened to are about.
pub(crate) const ABOUT: &[u8] = b"capsule";
const HOUR_MS: u64 = 3600 * 1000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// So long after a change it is put (CAP-4).
const SOON_MS: u64 = 10 * 1000;
/// Puts in a day (CAP-4).
const A_DAY: u32 = 8;
/// It is put again after so long in any case (CAP-4).
const EVERY_MS: u64 = 20 * DAY_MS;
/// Relays that it is put on (CAP-4).
const PUT_RELAYS: usize = 4;
/// A longer state of a group holds only those who may bring back (CAP-3).
const STATE_MAX: usize = 8 * 1024;

/// When it is put next: the row.
struct Due {
    changed: bool,
    due_at: Option<i64>,
    put_at: i64,
    day_from: i64,
    puts: u32,
    hash: Option<[u8; 32]>,
    hides: bool,
}

/// There is an account, its words are here (ACC-6), and it looks for no capsule itself.
macro_rules! at_home {
    () => {
        "FROM capsule WHERE EXISTS (SELECT 1 FROM account WHERE seed IS NOT NULL)
                        AND NOT EXISTS (SELECT 1 FROM restore WHERE state IN (0, 3))"
    };
}

/// Puts the capsule where that is due (CAP-4).
pub(crate) fn put_due(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    if !account::is_home(step.tx)? || restore::is_looking(step)? {
        return Ok(());
    }
    let (mut due, now) = (load(step)?, step.now.0.cast_signed());
    if due.changed {
        due.due_at = due.due_at.or_else(|| Some(earliest(&due, now)));
        step.tx
            .prepare_cached("UPDATE capsule SET changed = 0, due_at = ?")?
            .execute([due.due_at])?;
    }
    // Far away: what says so was written under a wrong clock.
    let is_due = |at: i64| at <= now || at > now.saturating_add_unsigned(2 * DAY_MS);
    if due.due_at.is_some_and(is_due) || is_old(&due, now) {
        put(step, &due)?;
    }
    Ok(())
}

fn root(me: &Account) -> Result<CapsuleRoot, Stop> {
    me.capsule_root().ok_or(Stop::Refused("not the home device"))
}

fn is_old(due: &Due, now: i64) -> bool {
    due.hash.is_some() && (due.put_at > now || due.put_at.saturating_add_unsigned(EVERY_MS) <= now)
}

/// Ten seconds from now; where eight were put in a day, when that day is over.
fn earliest(due: &Due, now: i64) -> i64 {
    let soon = now.saturating_add_unsigned(SOON_MS);
    if due.puts >= A_DAY && is_same_day(due, now) {
        soon.max(due.day_from.saturating_add_unsigned(DAY_MS))
    } else {
        soon
    }
}

const fn is_same_day(due: &Due, now: i64) -> bool {
    due.day_from <= now && due.day_from.saturating_add_unsigned(DAY_MS) > now
}

/// When the next one is due: at once where something has changed; by the row, and again after so long (CAP-4).
pub(crate) const TIMES: Times = Times::of(
    concat!(
        "SELECT iif(changed, 0, CAST(min(coalesce(due_at, 9223372036854775807),
                                         iif(hash IS NULL, 9223372036854775807, put_at + 1728000000)) AS INTEGER)) ",
        at_home!()
    ),
    concat!(
        "SELECT CAST(max(coalesce(due_at - 172800000, 0), iif(hash IS NULL, 0, put_at)) AS INTEGER) ",
        at_home!()
    ),
    0,
);
const _: () = assert!(
    EVERY_MS == 1_728_000_000 && 2 * DAY_MS == 172_800_000,
    "as in the queries"
);

fn load(step: &Step<'_, '_>) -> Result<Due, Stop> {
    let sql = "SELECT changed, due_at, put_at, day_from, puts, hash, hides FROM capsule";
    Ok(step.tx.prepare_cached(sql)?.query_row([], |row| {
        Ok(Due {
            changed: row.get(0)?,
            due_at: row.get(1)?,
            put_at: row.get(2)?,
            day_from: row.get(3)?,
            puts: row.get(4)?,
            hash: row.get(5)?,
            hides: row.get(6)?,
        })
    })?)
}

fn put(step: &mut Step<'_, '_>, due: &Due) -> Result<(), Stop> {
    let me = meeting::me(step)?;
    let relays = places(step)?;
    let mut capsule = made(step, &me)?;
    let (hash, now) = (content_hash(&capsule), step.now.0.cast_signed());
    if relays.is_empty() || due.hides || (due.hash == Some(hash) && !is_old(due, now)) {
        step.tx
            .prepare_cached("UPDATE capsule SET due_at = NULL")?
            .execute([])?;
        return Ok(());
    }
    capsule.generation = step
        .tx
        .prepare_cached("UPDATE account SET generation = generation + 1 RETURNING generation")?
        .query_row([], |row| row.get::<_, i64>(0))?
        .unsigned_abs();
    listen(step, &me, &relays)?;
    seal(step, &me, &relays, &capsule.encode())?;
    let (day_from, puts) = if is_same_day(due, now) {
        (due.day_from, due.puts.saturating_add(1))
    } else {
        (now, 1)
    };
    step.tx
        .prepare_cached("UPDATE capsule SET due_at = NULL, put_at = ?, day_from = ?, puts = ?, hash = ?")?
        .execute(params![now, day_from, puts, hash])?;
    Ok(())
}

/// A new one takes the place of one that no relay has yet.
fn seal(step: &mut Step<'_, '_>, me: &Account, relays: &[RelayId], content: &[u8]) -> Result<(), Stop> {
    let (root, slot) = (root(me)?, step.slot());
    let token = root.token(slot);
    outbox::done(step, Waiting::Capsule, ABOUT)?;
    for relay in relays {
        let crypto = &step.mls.crypto;
        let sealed = envelope::seal_all(&root.key(), token.tag(), &mut || crypto.bytes(), content)
            .map_err(|_| Stop::Refused("own capsule"))?;
        outbox::put_meeting(step, Waiting::Capsule, ABOUT, sealed, &token, *relay)?;
    }
    Ok(())
}

/// The account's own relays before lent ones (CAP-4).
fn places(step: &Step<'_, '_>) -> Result<Vec<RelayId>, Stop> {
    let mut relays = meeting::own_relays(step)?;
    relays.truncate(PUT_RELAYS);
    Ok(relays)
}

/// What two capsules have in common that hold the same.
fn content_hash(capsule: &Capsule) -> [u8; 32] {
    let same = Capsule {
        generation: 0,
        made_at_s: 0,
        ..capsule.clone()
    };
    Sha256::digest(same.encode()).into()
}

fn made(step: &Step<'_, '_>, me: &Account) -> Result<Capsule, Stop> {
    let relays = relays(step)?;
    let mut capsule = Capsule {
        generation: 0,
        made_at_s: step.time.seconds(),
        name: me.name().to_owned(),
        device_log: me.device_log().clone(),
        contacts: vec![],
        groups: vec![],
        left_out: 0,
        relays,
    };
    let mut room = CAPSULE_BYTES_MAX.saturating_sub(capsule.encode().len());
    let mut left_out = 0_u16;
    for contact in contacts(step, &capsule.relays)? {
        let size = contact.size();
        if size <= room && capsule.contacts.len() < CONTACTS_MAX {
            room -= size;
            capsule.contacts.push(contact);
        } else {
            left_out = left_out.saturating_add(1);
        }
    }
    for group in groups(step, me.id())? {
        let size = group.size();
        if size <= room && capsule.groups.len() < GROUPS_MAX {
            room -= size;
            capsule.groups.push(group);
        } else {
            left_out = left_out.saturating_add(1);
        }
    }
    capsule.left_out = left_out;
    Ok(capsule)
}

fn relays(step: &Step<'_, '_>) -> Result<Vec<(Whose, CardRelay)>, Stop> {
    let sql = "SELECT own, address, relay, secret, lan, private, brought FROM relay WHERE near = 0 AND removed = 0
               ORDER BY own DESC, added_at, relay LIMIT ?";
    let mut rows = step.tx.prepare_cached(sql)?;
    let found = rows.query_map([u32::try_from(RELAYS_MAX).unwrap_or(u32::MAX)], |row| {
        let relay = CardRelay {
            address: row.get(1)?,
            relay: RelayId::from_bytes(row.get(2)?),
            secret: row.get(3)?,
            keys: None,
            lan: row.get(4)?,
        };
        let whose = match (row.get(0)?, row.get(5)?, row.get(6)?) {
            (true, true, _) => Whose::Private,
            (true, false, _) => Whose::Own,
            (false, _, true) => Whose::Brought,
            (false, _, false) => Whose::Lent,
        };
        Ok((whose, relay))
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Those who let me in and whom I let in, with what reaches them (RCH-1): of the conversation that is written to, or that
/// is asked for.
const CONTACTS: &str = "
    SELECT c.ed25519, c.mldsa_hash, c.own_name, c.alias, c.verified, c.device_log, b.log_count, b.log_hash, c.account,
           coalesce(b.reach, (SELECT v.reach FROM conversation v WHERE v.chat = h.id AND v.reach IS NOT NULL
                              ORDER BY v.gone, v.waiting, v.group_id LIMIT 1)) AS reach,
           (SELECT v.group_id FROM conversation v WHERE v.chat = h.id AND v.reach IS NOT NULL
            ORDER BY v.gone, v.waiting, v.group_id LIMIT 1) AS group_id
    FROM chat h JOIN contact c ON c.account = h.contact LEFT JOIN coming_back b ON b.account = c.account
    WHERE h.hidden = 0 AND h.waiting = 0 ORDER BY h.active_at DESC, h.id";

fn contacts(step: &Step<'_, '_>, relays: &[(Whose, CardRelay)]) -> Result<Vec<KeptContact>, Stop> {
    type Found = (KeptContact, [u8; 32], Option<Gid>);
    let mut rows = step.tx.prepare_cached(CONTACTS)?;
    let found = rows.query_map([], |row| {
        let (log_count, log_hash) = pin(row)?;
        let Some(reach) = row.get::<_, Option<[u8; 32]>>("reach")? else {
            return Ok(None);
        };
        let contact = KeptContact {
            ed25519: row.get(0)?,
            mldsa_hash: row.get(1)?,
            own_name: row.get(2)?,
            alias: row.get(3)?,
            verified: row.get(4)?,
            log_count,
            log_hash,
            reach: ReachSecret::new(reach),
            relays: vec![],
        };
        Ok(Some((contact, row.get("account")?, row.get("group_id")?)))
    })?;
    let found: Vec<Option<Found>> = found.collect::<Result<_, _>>()?;
    let mut kept = Vec::new();
    for (mut contact, account, group) in found.into_iter().flatten() {
        let known = match group {
            Some(group) => listening::relays_of(step, &group)?,
            None => restore::asked_at(step, &account)?,
        };
        contact.relays = places_of(relays, &known);
        kept.push(contact);
    }
    Ok(kept)
}

/// Length and last hash of the newest device log known.
fn pin(row: &rusqlite::Row<'_>) -> rusqlite::Result<(u32, [u8; 32])> {
    if let Some(count) = row.get("log_count")? {
        return Ok((count, row.get("log_hash")?));
    }
    let log = DeviceLog::decode(row.get_ref("device_log")?.as_blob()?).unwrap_or_default();
    let last = log.entries.last().map_or([0; 32], |entry| entry.hash());
    Ok((u32::try_from(log.entries.len()).unwrap_or(u32::MAX), last))
}

fn places_of(relays: &[(Whose, CardRelay)], known: &[RelayId]) -> Vec<u8> {
    let place = |relay: &RelayId| relays.iter().position(|(_, named)| named.relay == *relay);
    let places = known.iter().filter_map(place);
    places
        .filter_map(|place| u8::try_from(place).ok())
        .take(CONTACT_RELAYS_MAX)
        .collect()
}

fn groups(step: &Step<'_, '_>, me: AccountId) -> Result<Vec<KeptGroup>, Stop> {
    let sql = "SELECT group_id, state FROM (
                   SELECT v.group_id, e.state, h.active_at FROM conversation v JOIN epoch e ON e.epoch_id = v.head
                   JOIN chat h ON h.id = v.chat WHERE v.grouped = 1 AND v.gone = 0 AND v.leaving = 0
                   UNION ALL
                   SELECT l.group_id, l.state, h.active_at FROM lost_group l JOIN chat h ON h.id = l.chat)
               ORDER BY active_at DESC, group_id";
    let mut rows = step.tx.prepare_cached(sql)?;
    let found: Vec<(Gid, Option<Vec<u8>>)> = rows
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let kept = found.into_iter().filter_map(|(group, state)| {
        let state = shortened(GroupState::decode(&state?).ok()?, me);
        Some(KeptGroup { group, state })
    });
    Ok(kept.collect())
}

/// Of those who may bring me back, so many are kept: the highest.
const HELPERS_MAX: usize = 64;

/// A large one keeps only those who may bring me back, and me (CAP-3).
fn shortened(mut state: GroupState, me: AccountId) -> GroupState {
    state.description.clear();
    state.picture = None;
    if state.encode().len() <= STATE_MAX {
        return state;
    }
    let helpers: BTreeSet<AccountId> = state
        .seats
        .iter()
        .map(|seat| seat.account)
        .filter(|account| roles::may_bring_back(&state, *account, me))
        .take(HELPERS_MAX)
        .collect();
    let first = state.seats.first().map(|seat| seat.account);
    state
        .seats
        .retain(|seat| seat.account == me || Some(seat.account) == first || helpers.contains(&seat.account));
    state
}

/// Reads the account's capsule at these relays, in the mailboxes of the moment (CAP-1).
pub(crate) fn listen(step: &mut Step<'_, '_>, me: &Account, relays: &[RelayId]) -> Result<(), Stop> {
    for token in root(me)?.tokens(step.slot()) {
        for relay in relays {
            listening::add(step, *relay, token.tag(), Purpose::Capsule, ABOUT)?;
        }
    }
    Ok(())
}

/// The slot has changed: reads where the capsule may lie now, and no more where it lay long ago.
pub(crate) fn turn_slot(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let Some(me) = account::load(step.tx)?.filter(Account::is_home) else {
        return Ok(());
    };
    let slot: Slot = step.slot();
    let now: BTreeSet<Tag> = root(&me)?.tokens(slot).iter().map(|token| token.tag()).collect();
    let read: Vec<([u8; 16], [u8; 16])> = step
        .tx
        .prepare_cached("SELECT relay, tag FROM listening WHERE about = ? AND purpose = 4")?
        .query_map([ABOUT], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let relays: BTreeSet<RelayId> = read.iter().map(|(relay, _)| RelayId::from_bytes(*relay)).collect();
    for (relay, tag) in read {
        if !now.contains(&Tag::from_bytes(tag)) {
            step.tx
                .prepare_cached("DELETE FROM listening WHERE relay = ? AND tag = ?")?
                .execute(params![relay, tag])?;
            step.errand(Errand::Listen(Listen {
                relay: relay.into(),
                add: vec![],
                drop: vec![tag.into()],
            }));
        }
    }
    listen(step, &me, &relays.into_iter().collect::<Vec<_>>())
}

/// A capsule of this account has come: mine of long ago, or one of another device.
pub(crate) fn arrived(step: &mut Step<'_, '_>, sealed: &Envelope) -> Result<(), Stop> {
    let me = meeting::me(step)?;
    let Some(content) = inbox::gathered(step, &root(&me)?.key(), sealed)? else {
        return Ok(());
    };
    let capsule = Capsule::decode(&content).map_err(|_| Stop::Refused("capsule"))?;
    account::check_log(&capsule.device_log, &me.ed25519_public()).map_err(|_| Stop::Refused("capsule"))?;
    if me.restored() && restore::may_take(step, &me, &capsule)? {
        return restore::found(step, &capsule, &content);
    }
    let newer = match devices::beside(me.device_log(), &capsule.device_log) {
        Beside::Newer => true,
        Beside::PartedLonger => is_later(&me, &capsule),
        Beside::Same | Beside::Older | Beside::Parted => false,
    };
    if newer && !devices::is_live(&capsule.device_log, me.device()) {
        return revoke(step);
    }
    if me.restored() && !newer && !restore::has_found(step)? && parts(&me, &capsule) {
        // CAP-4: mine, of the higher generation, would hide what this one knows.
        step.tx.execute("UPDATE capsule SET hides = 1", [])?;
    }
    step.tx
        .prepare_cached("UPDATE account SET generation = max(generation, ?)")?
        .execute([i64::try_from(capsule.generation).unwrap_or(0)])?;
    Ok(())
}

fn parts(me: &Account, capsule: &Capsule) -> bool {
    let beside = devices::beside(me.device_log(), &capsule.device_log);
    matches!(beside, Beside::Parted | Beside::PartedLonger)
}

/// A device that began without a capsule is not revoked by one of before.
fn is_later(me: &Account, capsule: &Capsule) -> bool {
    let mine = me.device_log().entries.last();
    mine.is_some_and(|mine| capsule.made_at_s > mine.entry.added_at_s)
}

/// The account lives on another device: this one says nothing any more (CAP-5).
pub(crate) fn revoke(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    step.tx.execute("UPDATE account SET revoked = 1", [])?;
    step.tx.execute("DELETE FROM outbox", [])?;
    listening::drop_all(step)?;
    step.event(Event::StatusChanged {});
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use stonechat_wire::group::{Role, Seat};

    #[test]
    fn a_large_group_keeps_those_who_may_bring_its_owner_back_cap_3() {
        let seat = |n: u8, role| Seat {
            account: AccountId::from_bytes([n; 32]),
            role,
            name: "a name of some length".into(),
        };
        let mut state = GroupState {
            picture: None,
            large: false,
            name: "house".into(),
            description: "x".repeat(100),
            may_write: Role::Member,
            may_add: Role::Admin,
            may_edit: Role::Admin,
            seats: vec![seat(0, Role::Owner), seat(1, Role::Admin)],
        };
        let me = AccountId::from_bytes([200; 32]);
        state.seats.extend((2..=200).map(|n| seat(n, Role::Member)));
        let short = shortened(state.clone(), me);
        let kept: Vec<u8> = short.seats.iter().map(|seat| seat.account.as_bytes()[0]).collect();
        assert_eq!(kept, [0, 1, 200]);
        assert_eq!(GroupState::decode(&short.encode()), Ok(short));
        state.seats.truncate(10);
        assert_eq!(shortened(state, me).seats.len(), 10);
    }
}
