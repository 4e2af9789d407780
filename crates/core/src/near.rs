//! Near relays: what devices run for the local network that they are on, where no other relay is reached (LAN-4 to LAN-9).
//!
//! In: this device's own, as the edge runs it; those that contacts' cards name; which of them greet. Out: rows, errands, and
//! the near relays of a conversation *at the moment*: one that is away is of none, so that nothing waits for it, nothing is
//! listened for there, and ordinary days cost nothing. Finding them is the courier's job.

use crate::conversation::{self, Conversation, epochs};
use crate::listening;
use crate::meeting::{self, invite};
use crate::mls::Gid;
use crate::outbox;
use crate::reach;
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use std::collections::BTreeSet;
use stonechat_wire::address::NEAR;
use stonechat_wire::card::{CardRelay, decode_near, encode_near};
use stonechat_wire::exchange::{Errand, NearRelay};
use stonechat_wire::ids::{AccountId, EpochId, RelayId};
use stonechat_wire::message::Kind;
use stonechat_wire::route::RelayKeys;

/// Near relays of others that are known at most; a contact's that comes later is not used, mine serves us both (LAN-9).
pub(crate) const KNOWN_MAX: u32 = 100;
/// So many contacts are told of mine at once; others when it is named the next time.
const TOLD_AT_ONCE: u32 = 32;
/// Of these so many of whom only groups tell.
pub(crate) const KNOWN_OF_GROUPS_MAX: u32 = KNOWN_MAX / 2;
/// Members of a group in which they tell each other of theirs, at most (LAN-4).
pub(crate) const TELLING_MAX: u32 = 16;
/// Near relays of a conversation at the moment, at most (LAN-9).
pub(crate) const HERE_MAX: u32 = 8;

/// The column `near`: a contact's, or this device's own. 0 is a relay like any other.
const THEIRS: u8 = 1;
const MINE: u8 = 2;

/// This device's own near relay: which it is, and where it stands while it runs.
pub(crate) fn set_mine(step: &mut Step<'_, '_>, near: &NearRelay) -> Result<(), Stop> {
    let place = near.place.as_deref().unwrap_or(NEAR);
    let id = near.relay.as_bytes();
    // Another one than before: the old one never comes back.
    step.tx.execute(
        "UPDATE relay SET near = ?, gone = 1 WHERE near = ? AND relay <> ?",
        params![THEIRS, MINE, id],
    )?;
    step.tx.execute(
        "INSERT INTO relay(relay, address, secret, key, own, near, gone, added_at) VALUES (?1, ?2, ?3, ?4, 0, ?5, 1, ?6)
         ON CONFLICT(relay) DO UPDATE SET address = ?2, gone = max(gone, ?2 = ?7)",
        params![
            id,
            place,
            near.secret,
            near.keys.as_bytes(),
            MINE,
            step.time.0.cast_signed(),
            NEAR
        ],
    )?;
    use_mine(step)
}

/// Tells the courier of mine, once there is an account. Where it runs, the doors that stand on it are set up anew.
pub(crate) fn use_mine(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let (true, Some((relay, place))) = (step.me().is_ok(), mine(step)?) else {
        return Ok(());
    };
    let runs = place.is_some();
    let named = meeting::name_relay(step, relay)?;
    tell(step, &named, place.as_deref().and_then(on_this_computer), true)?;
    if runs {
        invite::open_doors_at(step, relay)?;
    }
    tell_all(step)
}

/// From here it is reached without the network.
fn on_this_computer(place: &str) -> Option<String> {
    let (_, port) = place.rsplit_once(':')?;
    Some(format!("127.0.0.1:{port}"))
}

/// After a start: all that are known, and none is here.
pub(crate) fn resume(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    step.tx
        .execute("UPDATE relay SET address = ?, gone = 1 WHERE near > 0", [NEAR])?;
    let theirs: Vec<RelayId> = step
        .tx
        .prepare("SELECT relay FROM relay WHERE near = ? ORDER BY added_at, relay")?
        .query_map([THEIRS], |row| Ok(RelayId::from_bytes(row.get(0)?)))?
        .collect::<Result<_, _>>()?;
    for relay in theirs {
        let named = meeting::name_relay(step, relay)?;
        tell(step, &named, None, false)?;
    }
    use_mine(step)
}

/// Knows a near relay that a card names. `place`: where it is at the moment, if that was said. Out: its id, if there is room.
pub(crate) fn learn(
    step: &mut Step<'_, '_>,
    named: &CardRelay,
    place: Option<String>,
) -> Result<Option<RelayId>, Stop> {
    learn_of(step, named, place, KNOWN_MAX)
}

/// The same, where not as many are known.
fn learn_of(
    step: &mut Step<'_, '_>,
    named: &CardRelay,
    place: Option<String>,
    most: u32,
) -> Result<Option<RelayId>, Stop> {
    let id = named.relay.as_bytes();
    let sql = "SELECT near FROM relay WHERE relay = ?";
    let known: Option<u8> = step.tx.query_row(sql, [id], |row| row.get(0)).optional()?;
    match known {
        // What was said of it first holds: another one cannot give it another secret.
        Some(THEIRS) => {
            let known = meeting::name_relay(step, named.relay)?;
            tell(step, &known, place, false)?;
            return Ok(Some(named.relay));
        }
        Some(_mine_or_ordinary) => return Ok(Some(named.relay)),
        None => {
            let sql = "SELECT count(*) FROM relay WHERE near = ?";
            let count: u32 = step.tx.query_row(sql, [THEIRS], |row| row.get(0))?;
            if count >= most {
                return Ok(None);
            }
            step.tx.execute(
                "INSERT INTO relay(relay, address, secret, key, own, lan, near, gone, added_at)
                 VALUES (?, ?, ?, ?, 0, 1, ?, 1, ?)",
                params![
                    id,
                    NEAR,
                    named.secret,
                    named.keys.as_ref().map(RelayKeys::as_bytes),
                    THEIRS,
                    step.time.0.cast_signed()
                ],
            )?;
        }
    }
    tell(step, named, place, false)?;
    Ok(Some(named.relay))
}

fn tell(step: &mut Step<'_, '_>, named: &CardRelay, place: Option<String>, mine: bool) -> Result<(), Stop> {
    let (Some(secret), Some(keys)) = (named.secret, named.keys.clone()) else {
        return Err(Stop::Refused("near relay"));
    };
    step.errand(Errand::UseNear(NearRelay {
        relay: named.relay,
        secret,
        keys,
        place,
        mine,
    }));
    Ok(())
}

/// This device's own, and where it stands while it runs.
pub(crate) fn mine(step: &Step<'_, '_>) -> Result<Option<(RelayId, Option<String>)>, Stop> {
    let sql = "SELECT relay, address FROM relay WHERE near = ?";
    let found = step.tx.prepare_cached(sql)?.query_row([MINE], |row| {
        let place: String = row.get(1)?;
        Ok((
            RelayId::from_bytes(row.get(0)?),
            Some(place).filter(|place| place != NEAR),
        ))
    });
    Ok(found.optional()?)
}

/// Tells contacts of mine who have not heard of it, and small groups (LAN-4).
pub(crate) fn tell_all(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let Some((relay, _)) = mine(step)? else { return Ok(()) };
    let untold: Vec<Gid> = step
        .tx
        .prepare_cached(UNTOLD)?
        .query_map(params![relay.as_bytes(), TOLD_AT_ONCE], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let body = encode_near(&meeting::name_relay(step, relay)?);
    for group in untold {
        if let Err(Stop::Refused(why)) = step.attempt(|step| tell_in(step, &group, relay, &body))? {
            step.out.refused.push(why);
        }
    }
    Ok(())
}

/// Groups, and conversations of two with contacts who were let in, the latest first.
const UNTOLD: &str = "
    SELECT v.group_id FROM conversation v JOIN chat h ON h.id = v.chat
    WHERE v.own = 0 AND v.waiting = 0 AND v.gone = 0 AND v.near_told IS NOT ?
      AND (v.grouped = 1 OR h.contact IS NOT NULL) AND h.hidden = 0 AND h.waiting = 0
    ORDER BY h.active_at DESC, v.group_id LIMIT ?";

fn tell_in(step: &mut Step<'_, '_>, group: &Gid, relay: RelayId, body: &[u8]) -> Result<(), Stop> {
    let of = conversation::load(step, group)?.ok_or(Stop::Refused("no such conversation"))?;
    if is_small(&of) {
        conversation::tell(step, &of, Kind::Near, body)?;
    }
    step.tx
        .prepare_cached("UPDATE conversation SET near_told = ?, near_told_in = head WHERE group_id = ?")?
        .execute(params![relay.as_bytes(), group])?;
    Ok(())
}

const fn is_small(of: &Conversation) -> bool {
    !of.grouped || of.accounts <= TELLING_MAX as usize
}

/// A device of a contact, of a member, or another one of mine, tells of its near relay.
pub(crate) fn told(step: &mut Step<'_, '_>, from: &Conversation, by: AccountId, body: &[u8]) -> Result<(), Stop> {
    let named = decode_near(body).map_err(|_| Stop::Refused("near relay"))?;
    let most = if from.grouped { KNOWN_OF_GROUPS_MAX } else { KNOWN_MAX };
    let Some(relay) = learn_of(step, &named, None, most)? else {
        return Ok(());
    };
    let is_new = whose(step, relay)? == Whose::Theirs && conversation::join_relay(step, from.group, relay)?;
    make_room(step, from)?;
    if is_new && from.grouped {
        tell_again(step, &from.group, by)?;
    }
    Ok(())
}

/// Tells a group again, if somebody is there who was not when it was told last.
fn tell_again(step: &mut Step<'_, '_>, group: &Gid, newcomer: AccountId) -> Result<(), Stop> {
    let sql = "SELECT near_told_in FROM conversation WHERE group_id = ?";
    let told_in: Option<[u8; 16]> = step.tx.query_row(sql, [group], |row| row.get(0))?;
    let has_heard = match told_in.map(EpochId::from_bytes) {
        Some(told_in) => epochs::accounts(step, told_in)?.contains(&newcomer),
        None => false,
    };
    if !has_heard {
        let sql = "UPDATE conversation SET near_told = NULL WHERE group_id = ?";
        step.tx.execute(sql, [group])?;
        tell_all(step)?;
    }
    Ok(())
}

/// A conversation of two names as many as it may use, a group one for each member; the oldest go (LAN-9).
fn make_room(step: &mut Step<'_, '_>, of: &Conversation) -> Result<(), Stop> {
    let group = &of.group;
    let most = if of.grouped { TELLING_MAX } else { HERE_MAX };
    let sql = "SELECT c.relay FROM conversation_relay c JOIN relay r USING (relay)
               WHERE c.group_id = ? AND r.near = ? ORDER BY r.added_at DESC, c.relay LIMIT -1 OFFSET ?";
    let old: Vec<RelayId> = step
        .tx
        .prepare_cached(sql)?
        .query_map(params![group, THEIRS, most], |row| row.get(0).map(RelayId::from_bytes))?
        .collect::<Result<_, _>>()?;
    for relay in old {
        step.tx
            .prepare_cached("DELETE FROM conversation_relay WHERE group_id = ? AND relay = ?")?
            .execute(params![group, relay.as_bytes()])?;
        forget_unused(step, relay)?;
    }
    Ok(())
}

/// A near relay that no conversation names any more is forgotten.
fn forget_unused(step: &mut Step<'_, '_>, relay: RelayId) -> Result<(), Stop> {
    let id = relay.as_bytes();
    let sql = "SELECT 1 FROM conversation_relay WHERE relay = ?";
    if step.tx.prepare_cached(sql)?.exists([id])? {
        return Ok(());
    }
    for sql in [
        "DELETE FROM listening WHERE relay = ?",
        "DELETE FROM outbox_relay WHERE relay = ?",
        "DELETE FROM relay WHERE relay = ?",
    ] {
        step.tx.prepare_cached(sql)?.execute([id])?;
    }
    step.errand(Errand::ForgetRelay(relay));
    Ok(())
}

/// Whose near relay it is, if it is one.
pub(crate) fn whose(step: &Step<'_, '_>, relay: RelayId) -> Result<Whose, Stop> {
    let sql = "SELECT near FROM relay WHERE relay = ?";
    let found = step
        .tx
        .prepare_cached(sql)?
        .query_row([relay.as_bytes()], |row| row.get(0))
        .optional()?;
    Ok(match found {
        Some(MINE) => Whose::Mine,
        Some(THEIRS) => Whose::Theirs,
        _ordinary => Whose::Nobodys,
    })
}

/// Which device runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// A relay like any other.
    Nobodys,
    Mine,
    Theirs,
}

/// The near relays of a conversation that are reached at the moment: mine, and those of who is in it (LAN-7). Where there
/// are too many, all take the same ones.
pub(crate) fn here(step: &Step<'_, '_>, group: &Gid) -> Result<Vec<RelayId>, Stop> {
    let up: Vec<(RelayId, u8)> = step
        .tx
        .prepare_cached("SELECT relay, near FROM relay WHERE near > 0 AND gone = 0 ORDER BY relay")?
        .query_map([], |row| Ok((RelayId::from_bytes(row.get(0)?), row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let mut here = Vec::new();
    for (relay, near) in up {
        if here.len() < HERE_MAX as usize && (near == MINE || is_of(step, group, relay)?) {
            here.push(relay);
        }
    }
    Ok(here)
}

/// The conversation names it, or a contact who is in it has it.
fn is_of(step: &Step<'_, '_>, group: &Gid, relay: RelayId) -> Result<bool, Stop> {
    let sql = "SELECT 1 FROM conversation_relay WHERE group_id = ? AND relay = ?";
    if step.tx.prepare_cached(sql)?.exists(params![group, relay.as_bytes()])? {
        return Ok(true);
    }
    let sql = "SELECT head FROM conversation WHERE group_id = ?";
    let head = step
        .tx
        .prepare_cached(sql)?
        .query_row([group], |row| row.get(0))
        .optional()?;
    let Some(head) = head.map(EpochId::from_bytes) else {
        return Ok(false);
    };
    let members = epochs::accounts(step, head)?;
    Ok(contacts_of(step, relay)?
        .iter()
        .any(|account| members.contains(account)))
}

/// The contacts whose conversations of two name it.
fn contacts_of(step: &Step<'_, '_>, relay: RelayId) -> Result<Vec<AccountId>, Stop> {
    let sql =
        "SELECT h.contact FROM conversation_relay c JOIN conversation v USING (group_id) JOIN chat h ON h.id = v.chat
               WHERE c.relay = ? AND v.grouped = 0 AND h.contact IS NOT NULL";
    let mut rows = step.tx.prepare_cached(sql)?;
    let found = rows.query_map([relay.as_bytes()], |row| row.get(0).map(AccountId::from_bytes))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// A near relay greets: from now on it is one of those conversations'. What nobody has confirmed goes there as well (LAN-7).
pub(crate) fn reached(step: &mut Step<'_, '_>, relay: RelayId) -> Result<(), Stop> {
    let all: Vec<Gid> = step
        .tx
        .prepare_cached("SELECT group_id FROM conversation ORDER BY group_id")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut of = BTreeSet::new();
    for group in all {
        if here(step, &group)?.contains(&relay) {
            of.insert(group);
        }
    }
    listening::follow_at(step, relay, &of)?;
    for group in &of {
        reach::listen(step, group)?;
    }
    outbox::put_also_at(step, relay, &of)
}
