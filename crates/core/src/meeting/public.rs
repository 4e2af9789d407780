//! Public invitations: a link for whoever reads it, behind whose door are hands of two relays.
//!
//! In: relays that the person names, and for how long. Out: a door with a deck on up to three own relays, and who sees what
//! when: which relay is dealt on which day. Who comes is told to nobody. Specified in `docs/protocol/24-public.md` (PUB).
//! Invariant: nothing is dealt that this device used before, and by dealing it begins to use nothing.

use super::{address_reach, reach};
use crate::account::Account;
use crate::api::{self, Event, Fault, InviteState, Reply};
use crate::due::{Clock, Then, Times};
use crate::profile::route_of;
use crate::query;
use crate::restore;
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use std::collections::BTreeSet;
use stonechat_wire::address::{is_drop, shown as shown_address};
use stonechat_wire::card::CardRelay;
use stonechat_wire::envelope;
use stonechat_wire::exchange::{Door, Errand};
use stonechat_wire::hand::{DAY_S, Deck, HAND_BUCKET, HANDS_MAX, Hand, can_be_dealt, deck};
use stonechat_wire::ids::{DoorKey, DoorPath, RelayId, Timestamp};
use stonechat_wire::invite::{HINTS_MAX, InviteLink, InviteSecret, ROLE_HAND, account_pin};

/// Public invitations that are open at most (PUB-4).
pub(crate) const OPEN_MAX: u32 = 4;
/// Relays of one: at least, at most (PUB-4).
const RELAYS: std::ops::RangeInclusive<usize> = 4..=64;
/// Days that one lasts (PUB-4).
const DAYS: std::ops::RangeInclusive<u16> = 1..=60;
/// Days whose hands a door is given: today's, and those of so long as this device may be away (PUB-4).
const DAYS_AHEAD: u32 = 7;

/// When the next one expires; one that expired under a wrong clock, and is not over, is far ahead.
pub(crate) const TIMES: Times = Times {
    soonest: "SELECT min(expires_at) FROM public_invite WHERE state <= 1",
    latest: Some("SELECT max(expires_at) FROM public_invite WHERE state = 3"),
    clock: Clock::Slot,
    after_ms: 1,
    far_ms: 0,
    then: Then::Wake,
};

/// When the doors are given the next days' hands.
pub(crate) const AHEAD_TIMES: Times = Times {
    soonest: "SELECT min(said_at) FROM public_invite WHERE said_at IS NOT NULL",
    latest: Some("SELECT max(said_at) FROM public_invite WHERE said_at IS NOT NULL"),
    clock: Clock::Slot,
    after_ms: DAY_S * 1000,
    far_ms: 0,
    then: Then::Wake,
};

/// Where the door of one stands, and what opens and closes it.
struct Standing {
    relays: Vec<RelayId>,
    secret: InviteSecret,
    key: DoorKey,
    expires_at: Timestamp,
}

/// Makes one, and asks for its doors (PUB-4).
pub(crate) fn create(step: &mut Step<'_, '_>, wish: &api::PublicCreate) -> Result<Reply, Stop> {
    let me = super::me(step)?;
    if !me.is_home() {
        return Err(Stop::Fault(Fault::NotHome));
    }
    restore::is_over(step)?;
    let doors = door_relays(step)?;
    let dealt = named(step, &wish.routes, &doors)?;
    let a_day = a_day(wish, dealt.len())?;
    let sql = "SELECT count(*) FROM public_invite WHERE state <= 1";
    if step.tx.query_row::<u32, _, _>(sql, [], |row| row.get(0))? >= OPEN_MAX {
        return Err(Stop::Fault(Fault::TooMany));
    }
    let id = keep(step, &me, &doors, wish.days, a_day)?;
    let pairs = pairs(step, dealt.len(), usize::from(wish.days) * usize::from(a_day));
    write_deck(step, &me, &id, a_day, &dealt, &pairs)?;
    open_door(step, &id)?;
    Ok(Reply::Public(shown(step, &id)?))
}

/// How many hands a day: as many as said, or so that all relays are dealt once in that time.
fn a_day(wish: &api::PublicCreate, relays: usize) -> Result<u16, Stop> {
    let all_once = relays.div_ceil(2).div_ceil(usize::from(wish.days).max(1));
    let a_day = wish
        .a_day
        .unwrap_or_else(|| u16::try_from(all_once).unwrap_or(u16::MAX));
    let hands = usize::from(wish.days) * usize::from(a_day);
    if DAYS.contains(&wish.days) && (1..=HANDS_MAX).contains(&hands) {
        Ok(a_day)
    } else {
        Err(Stop::Fault(Fault::BadParams))
    }
}

/// The relays where the door stands: own ones that anybody may be told of and that have answered, those that do so now first.
fn door_relays(step: &Step<'_, '_>) -> Result<Vec<(RelayId, String)>, Stop> {
    let sql = "SELECT relay, address FROM relay
               WHERE own = 1 AND near = 0 AND private = 0 AND removed = 0 AND greeted_at IS NOT NULL
               ORDER BY gone, added_at, relay";
    let mut rows = step.tx.prepare_cached(sql)?;
    let known = rows.query_map([], |row| Ok((RelayId::from_bytes(row.get(0)?), row.get(1)?)))?;
    let mut found: Vec<(RelayId, String)> = known.collect::<Result<_, _>>()?;
    found.retain(|(_, address)| !is_drop(address));
    found.truncate(HINTS_MAX);
    if found.is_empty() || !step.knows_time()? {
        return Err(Stop::Fault(Fault::NoRelay));
    }
    Ok(found)
}

/// The relays that are to be dealt, each once; none of them is used here, and each is reached from as far as the doors are.
fn named(step: &Step<'_, '_>, routes: &[String], doors: &[(RelayId, String)]) -> Result<Vec<CardRelay>, Stop> {
    let sql = "SELECT 1 FROM relay WHERE relay = ? AND near = 0 AND removed = 0";
    let least = doors.iter().map(|(_, address)| address_reach(address) as u8).max();
    let (mut seen, mut dealt) = (BTreeSet::new(), Vec::new());
    for text in routes.iter().take(*RELAYS.end() * 2) {
        let route = route_of(text).map_err(Stop::Fault)?;
        let relay = CardRelay {
            address: route.address,
            relay: route.relay,
            secret: route.secret,
            keys: None,
            lan: route.lan,
        };
        let is_used = step.tx.prepare_cached(sql)?.exists([relay.relay.as_bytes()])?;
        let is_far = Some(reach(&relay) as u8) >= least;
        if is_used || !is_far || !can_be_dealt(&relay) {
            return Err(Stop::Fault(Fault::BadParams));
        }
        if seen.insert(relay.relay) {
            dealt.push(relay);
        }
    }
    if RELAYS.contains(&dealt.len()) {
        Ok(dealt)
    } else {
        Err(Stop::Fault(Fault::BadParams))
    }
}

/// Writes down what one is, but for its deck. Out: its id.
fn keep(
    step: &mut Step<'_, '_>,
    me: &Account,
    doors: &[(RelayId, String)],
    days: u16,
    a_day: u16,
) -> Result<[u8; 16], Stop> {
    let (id, key): ([u8; 16], [u8; 16]) = (step.mls.crypto.bytes(), step.mls.crypto.bytes());
    let secret = InviteSecret::from_bytes(step.mls.crypto.bytes());
    let begins_at = Timestamp::from_seconds(step.time.seconds());
    let expires_at = begins_at.plus_ms(u64::from(days) * DAY_S * 1000);
    let link = InviteLink {
        hints: doors.iter().map(|(_, address)| address.clone()).collect(),
        pin: account_pin(&secret, me.id()),
        expiry_day: u16::try_from(expires_at.seconds().div_ceil(DAY_S)).unwrap_or(u16::MAX),
        secret: secret.clone(),
    };
    let reach = doors.iter().map(|(_, address)| address_reach(address) as u8).max();
    let relays: Vec<u8> = doors.iter().flat_map(|(relay, _)| *relay.as_bytes()).collect();
    step.tx.execute(
        "INSERT INTO public_invite(id, secret, door_key, relays, link, code, reach, a_day, state, created_at, expires_at, begun_on)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?)",
        params![
            id,
            secret.as_bytes(),
            key,
            relays,
            link.to_url(),
            link.to_code(),
            reach,
            a_day,
            begins_at.0.cast_signed(),
            expires_at.0.cast_signed(),
            step.now.0.cast_signed()
        ],
    )?;
    Ok(id)
}

/// Which two relays each hand holds: all of them shuffled and dealt in pairs, and again.
fn pairs(step: &Step<'_, '_>, relays: usize, hands: usize) -> Vec<[usize; 2]> {
    let mut order: Vec<usize> = Vec::new();
    while order.len() < hands * 2 {
        let mut round: Vec<usize> = (0..relays).collect();
        round.sort_by_cached_key(|_| step.mls.crypto.bytes::<8>());
        // Where their number is odd a hand may lie over the end of a round.
        if round.first() == order.last() {
            round.rotate_left(1);
        }
        order.extend(round);
    }
    order.as_chunks().0.iter().take(hands).copied().collect()
}

/// Signs and seals the hands, and notes which relay is dealt on which day.
fn write_deck(
    step: &mut Step<'_, '_>,
    me: &Account,
    id: &[u8; 16],
    a_day: u16,
    dealt: &[CardRelay],
    pairs: &[[usize; 2]],
) -> Result<(), Stop> {
    let standing = load(step, id)?;
    let mut hands = Vec::new();
    for (number, [first, second]) in (0_u32..).zip(pairs) {
        let (Some(first), Some(second)) = (dealt.get(*first), dealt.get(*second)) else {
            return Err(Stop::Refused("hand"));
        };
        hands.push(sealed(step, me, &standing, [first.clone(), second.clone()])?);
        let sql = "INSERT INTO public_hand(invite, number, first, second) VALUES (?, ?, ?, ?)";
        step.tx.prepare_cached(sql)?.execute(params![
            id,
            number,
            shown_address(&first.address),
            shown_address(&second.address)
        ])?;
    }
    let sql = "UPDATE public_invite SET deck = ? WHERE id = ?";
    let deck = deck(step.time.seconds(), a_day, &hands);
    step.tx.execute(sql, params![deck, id])?;
    Ok(())
}

fn sealed(step: &Step<'_, '_>, me: &Account, standing: &Standing, relays: [CardRelay; 2]) -> Result<Vec<u8>, Stop> {
    let mut hand = Hand {
        account_ed25519: me.ed25519_public(),
        mldsa_hash: *me.mldsa_hash(),
        relays,
        expires_at_s: standing.expires_at.seconds(),
        signature: [0; 64],
    };
    hand.signature = me.sign(&hand.signed_bytes()).ok_or(Stop::Fault(Fault::NotHome))?;
    let (key, tag) = (standing.secret.key(ROLE_HAND), standing.secret.token(ROLE_HAND).tag());
    let sealed = envelope::seal_into(&key, tag, step.mls.crypto.bytes(), &hand.encode(), HAND_BUCKET);
    Ok(sealed.map_err(|_| Stop::Refused("hand"))?.into_bytes())
}

/// After a start: asks for the doors of all that are open, and takes those down that were closed, for what was said of that
/// may not have been heard, and a door that stands deals on.
pub(crate) fn resume(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let sql = "SELECT id FROM public_invite WHERE said_at IS NOT NULL ORDER BY created_at, id";
    ids(step, sql, [])?.iter().try_for_each(|id| open_door(step, id))?;
    let sql = "SELECT id FROM public_invite WHERE state = ? AND expires_at > ? ORDER BY created_at, id";
    let revoked = params![InviteState::Revoked as u8, step.time.0.cast_signed()];
    ids(step, sql, revoked)?.iter().try_for_each(|id| close_doors(step, id))
}

/// Once a day the doors are given the next days' hands. A relay that lost its disk has them again by this. Those that are over
/// by a clock that may be wrong are given theirs too.
pub(crate) fn say_ahead(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let sql = "SELECT id FROM public_invite WHERE said_at <= ? OR said_at > ? ORDER BY created_at, id";
    let now = step.time.0;
    let old = now.saturating_sub(DAY_S * 1000).cast_signed();
    let which = params![old, now.cast_signed()];
    ids(step, sql, which)?.iter().try_for_each(|id| open_door(step, id))
}

fn open_door(step: &mut Step<'_, '_>, id: &[u8; 16]) -> Result<(), Stop> {
    let standing = load(step, id)?;
    let Some(deck) = ahead(step, id)? else {
        let sql = "UPDATE public_invite SET said_at = NULL WHERE id = ?";
        step.tx.execute(sql, [id])?;
        return Ok(());
    };
    for relay in standing.relays {
        step.errand(Errand::OpenDoor(Door {
            relay,
            path: standing.secret.path(),
            proof_hash: standing.secret.proof_hash(),
            key: standing.key.clone(),
            expires_s: standing.expires_at.seconds(),
            card: deck.clone(),
        }));
    }
    Ok(())
}

/// The next days' hands, by the relays' clocks, but no further than this device's own has gone on since it was made, and a day:
/// a relay that says it is later gets no more by that. None where all days are over.
fn ahead(step: &mut Step<'_, '_>, id: &[u8; 16]) -> Result<Option<Vec<u8>>, Stop> {
    // Where this device's clock has gone back to before that, it has gone on since for as long as the relays said.
    let sql = "UPDATE public_invite SET said_at = ?1, begun_on = CASE WHEN ?2 >= begun_on THEN begun_on
                   ELSE ?2 - max(0, coalesce(said_at, created_at) - created_at) END
               WHERE id = ?3 RETURNING deck, begun_on";
    let said = params![step.time.0.cast_signed(), step.now.0.cast_signed(), id];
    let (all, begun_on): (Vec<u8>, i64) = step.tx.query_row(sql, said, |row| Ok((row.get(0)?, row.get(1)?)))?;
    let all = Deck::decode(&all).map_err(|_| Stop::Refused("deck"))?;
    let gone_s = step.now.0.saturating_sub(begun_on.unsigned_abs()) / 1000;
    let latest_s = all.begins_s.saturating_add(gone_s).saturating_add(DAY_S);
    Ok(all.ahead(step.time.seconds().min(latest_s), DAYS_AHEAD))
}

/// A relay has set a door up.
pub(crate) fn door_open(step: &mut Step<'_, '_>, path: DoorPath) -> Result<(), Stop> {
    for id in ids(step, "SELECT id FROM public_invite WHERE state = 0", [])? {
        if load(step, &id)?.secret.path() == path {
            set_state(step, &id, InviteState::Open)?;
        }
    }
    Ok(())
}

/// Closes one on its owner's wish.
pub(crate) fn revoke(step: &mut Step<'_, '_>, id: &str) -> Result<Reply, Stop> {
    let id = hex::decode(id).ok().and_then(|id| id.try_into().ok());
    let id = id.ok_or(Stop::Fault(Fault::NotFound))?;
    if matches!(shown(step, &id)?.state, InviteState::Preparing | InviteState::Open) {
        close_doors(step, &id)?;
        step.tx
            .execute("UPDATE public_invite SET deck = x'', said_at = NULL WHERE id = ?", [id])?;
        set_state(step, &id, InviteState::Revoked)?;
    }
    Ok(Reply::Done {})
}

/// Those whose days are over, and those whose days are not, for the clock was wrong. The doors go by the relays' clocks.
pub(crate) fn expire(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let now = step.time.0.cast_signed();
    let sql = "SELECT id FROM public_invite WHERE state <= 1 AND expires_at < ?";
    for id in ids(step, sql, [now])? {
        set_state(step, &id, InviteState::Expired)?;
    }
    let sql = "SELECT id FROM public_invite WHERE state = ? AND expires_at > ?";
    for id in ids(step, sql, params![InviteState::Expired as u8, now])? {
        set_state(step, &id, InviteState::Open)?;
    }
    Ok(())
}

fn close_doors(step: &mut Step<'_, '_>, id: &[u8; 16]) -> Result<(), Stop> {
    let standing = load(step, id)?;
    for relay in standing.relays {
        step.errand(Errand::CloseDoor {
            relay,
            path: standing.secret.path(),
            key: standing.key.clone(),
        });
    }
    Ok(())
}

fn set_state(step: &mut Step<'_, '_>, id: &[u8; 16], state: InviteState) -> Result<(), Stop> {
    let sql = "UPDATE public_invite SET state = ? WHERE id = ?";
    step.tx.execute(sql, params![state as u8, id])?;
    let invite = shown(step, id)?;
    step.event(Event::PublicChanged { invite });
    Ok(())
}

fn shown(step: &Step<'_, '_>, id: &[u8; 16]) -> Result<api::PublicInvite, Stop> {
    query::load_public(step.tx, id)?.ok_or(Stop::Fault(Fault::NotFound))
}

fn ids(step: &Step<'_, '_>, sql: &str, params: impl rusqlite::Params) -> Result<Vec<[u8; 16]>, Stop> {
    let mut statement = step.tx.prepare_cached(sql)?;
    let ids = statement.query_map(params, |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

fn load(step: &Step<'_, '_>, id: &[u8; 16]) -> Result<Standing, Stop> {
    let sql = "SELECT relays, secret, door_key, expires_at FROM public_invite WHERE id = ?";
    let found = step.tx.prepare_cached(sql)?.query_row([id], |row| {
        let relays: Vec<u8> = row.get(0)?;
        Ok(Standing {
            relays: relays.as_chunks().0.iter().copied().map(RelayId::from_bytes).collect(),
            secret: InviteSecret::from_bytes(row.get(1)?),
            key: DoorKey::from_bytes(row.get(2)?),
            expires_at: Timestamp(row.get::<_, i64>(3)?.unsigned_abs()),
        })
    });
    found.optional()?.ok_or(Stop::Fault(Fault::NotFound))
}
