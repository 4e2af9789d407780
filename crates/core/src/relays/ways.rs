//! A relay that moves: its further addresses, beside the one that it is named by.
//!
//! In: a route to a relay that is known already, what others say of one. Out: rows, one way more for the courier; whoever
//! talks with us there is told of a move (REL-7). The keys are the relay's; but who is dialled learns the path that the relay's
//! secret gives, so an address is heard from those alone who know that secret, where the relay carries their conversation.
//! Invariant: what others say takes the place of nothing that the person said, and of no address that a relay is named by.

use super::{all_due, moved_here};
use crate::api::{self, Event, Fault, Reply};
use crate::conversation::Conversation;
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, Params, params};
use stonechat_wire::address::{Around, NEAR, is_bridge, is_drop, shown, split, ways};
use stonechat_wire::card::CardRelay;
use stonechat_wire::exchange::{Errand, NamedBy};
use stonechat_wire::ids::{AccountId, RelayId};
use stonechat_wire::route::RelayRoute;

/// Further addresses of one relay that the person has given, the newest (REL-7).
pub(crate) const WAYS_GIVEN_MAX: u32 = 2;
/// ... that others have said: of each of them the newest.
pub(crate) const WAYS_TOLD_MAX: u32 = 2;

/// What a route is to a relay that is known already.
pub(crate) enum Route {
    /// The first address, or the same one.
    First,
    /// It is there now: the one of before stays a way to it.
    Moved,
    /// A bridge beside an address that is none, or the other way round: one way more, on this device alone. With the route
    /// that it is named by, where the person did not have it as their own.
    OneMore(Option<RelayRoute>),
}

/// What a route that the person gives is; a further address is kept by this.
pub(crate) fn given(step: &mut Step<'_, '_>, route: &RelayRoute) -> Result<Route, Stop> {
    let sql = "SELECT address, own FROM relay WHERE relay = ? AND near = 0";
    let known = step.tx.prepare_cached(sql)?.query_row([route.relay.as_bytes()], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?))
    });
    secret_is(step, route)?;
    let is_place = |address: &str| !is_drop(address) && !is_drop(&route.address) && address != route.address;
    let Some((address, is_own)) = known.optional()?.filter(|(address, _)| is_place(address)) else {
        return Ok(Route::First);
    };
    if is_bridge(&address) != is_bridge(&route.address) {
        keep(step, route.relay, &route.address, None)?;
        let sql = "UPDATE relay SET secret = ? WHERE relay = ?";
        step.tx.execute(sql, params![route.secret, route.relay.as_bytes()])?;
        step.errand(Errand::UseRelay(route.clone(), None, NamedBy::Person));
        let named = RelayRoute {
            address,
            ..route.clone()
        };
        return Ok(Route::OneMore(Some(named).filter(|_| !is_own)));
    }
    if is_own {
        keep(step, route.relay, &address, None)?;
    } else {
        // Somebody else had named it: that is no word of the person's.
        let mut ways = ways(&address);
        let rest = all_ways(step, route.relay, &route.address)?;
        ways.retain(|way| !rest.contains(way));
        step.errand(Errand::ForgetWays {
            relay: route.relay,
            ways,
        });
    }
    let sql = "DELETE FROM relay_way WHERE relay = ? AND address = ?";
    step.tx.execute(sql, params![route.relay.as_bytes(), route.address])?;
    Ok(Route::Moved)
}

/// Where the secret is another one, who knew that of before says no address any more.
fn secret_is(step: &mut Step<'_, '_>, route: &RelayRoute) -> Result<(), Stop> {
    let sql = "DELETE FROM relay_way WHERE relay = ?1 AND by IS NOT NULL
                   AND EXISTS (SELECT 1 FROM relay WHERE relay = ?1 AND secret IS NOT ?2) RETURNING relay, address";
    give_up(step, sql, params![route.relay.as_bytes(), route.secret]).map(drop)
}

/// Somebody is blocked: what they said is no way.
pub(crate) fn forget_said_by(step: &mut Step<'_, '_>, account: AccountId) -> Result<(), Stop> {
    give_up(
        step,
        "DELETE FROM relay_way WHERE by = ? RETURNING relay, address",
        [account.as_bytes()],
    )
    .map(drop)
}

/// The person gives up a further address, named as it is shown. One that somebody said is not taken from that one again, as long
/// as that is the newest that it said.
pub(crate) fn forget(step: &mut Step<'_, '_>, wish: &api::RelayForgetWay) -> Result<Reply, Stop> {
    let id = super::id_of(&wish.id)?;
    let sql = "SELECT address FROM relay_way WHERE relay = ? AND refused = 0";
    let known: Vec<String> = step
        .tx
        .prepare_cached(sql)?
        .query_map([id.as_bytes()], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let meant = known.into_iter().filter(|address| shown(address) == wish.address);
    let mut gone = 0;
    for address in meant.collect::<Vec<_>>() {
        let sql = "UPDATE relay_way SET refused = 1 WHERE relay = ? AND address = ? RETURNING relay, address";
        gone += give_up(step, sql, params![id.as_bytes(), address])?;
        let sql = "DELETE FROM relay_way WHERE relay = ? AND refused = 1 AND by IS NULL";
        step.tx.execute(sql, [id.as_bytes()])?;
    }
    if gone == 0 {
        return Err(Stop::Fault(Fault::NotFound));
    }
    step.event(Event::StatusChanged {});
    Ok(Reply::Done {})
}

/// Further addresses end by this statement, which gives them, and the ways that they alone gave. Out: how many.
fn give_up(step: &mut Step<'_, '_>, sql: &str, of: impl Params) -> Result<usize, Stop> {
    let gone: Vec<(RelayId, String)> = step
        .tx
        .prepare_cached(sql)?
        .query_map(of, |row| Ok((RelayId::from_bytes(row.get(0)?), row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (relay, address) in &gone {
        let sql = "SELECT address FROM relay WHERE relay = ?";
        let named: String = step
            .tx
            .prepare_cached(sql)?
            .query_row([relay.as_bytes()], |row| row.get(0))?;
        let rest = all_ways(step, *relay, &named)?;
        let ways = ways(address).into_iter().filter(|way| !rest.contains(way)).collect();
        step.errand(Errand::ForgetWays { relay: *relay, ways });
    }
    Ok(gone.len())
}

/// The ways that a relay's addresses give: the one that it is named by, and the further ones.
fn all_ways(step: &Step<'_, '_>, relay: RelayId, named: &str) -> Result<Vec<String>, Stop> {
    let sql = "SELECT address FROM relay_way WHERE relay = ?1 AND refused = 0";
    let mut rows = step.tx.prepare_cached(sql)?;
    let addresses = rows.query_map([relay.as_bytes()], |row| row.get::<_, String>(0))?;
    let mut all = ways(named);
    for address in addresses {
        all.extend(ways(&address?));
    }
    Ok(all)
}

/// Whoever has been told of a relay of the person's is told where it is now, at once where it has ever answered: to take it
/// back until it answers there would cut off who has no other.
pub(crate) fn tell_move(step: &Step<'_, '_>, relay: RelayId) -> Result<(), Stop> {
    let sql = "UPDATE relay SET fresh = 0 WHERE relay = ? AND greeted_at IS NOT NULL";
    step.tx.prepare_cached(sql)?.execute([relay.as_bytes()])?;
    moved_here(step, relay)?;
    all_due(step)
}

/// Somebody names a relay that is known here, at another address: one way more to it.
pub(super) fn heard(
    step: &mut Step<'_, '_>,
    from: &Conversation,
    by: AccountId,
    named: &CardRelay,
) -> Result<(), Stop> {
    let sql = "SELECT r.address, r.secret FROM relay r JOIN conversation_relay c USING (relay)
               WHERE r.relay = ?1 AND r.near = 0 AND c.group_id = ?2 AND c.taken_at IS NULL AND r.secret IS ?3";
    let which = params![named.relay.as_bytes(), from.group, named.secret];
    let known = step.tx.prepare_cached(sql)?.query_row(which, |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, Option<[u8; 16]>>(1)?))
    });
    let Some((address, secret)) = known.optional()? else {
        return Ok(());
    };
    let is_place = |address: &str| address != NEAR && !is_drop(address);
    // What stands inside TLS, or in a bridge, is not asked for in the clear: the path would be read on the way.
    let is_bare = |address: &str| split(address).0 != Around::Tls && !is_bridge(address);
    let is_weaker = is_bare(&named.address) && !is_bare(&address);
    // A bridge is told to nobody.
    let is_way = is_place(&named.address) && is_place(&address) && !is_bridge(&named.address);
    if named.address == address || is_weaker || !is_way {
        return Ok(());
    }
    // What another device of the account's own says is the person's word.
    let by = Some(by).filter(|by| step.me().is_ok_and(|me| me != *by));
    if keep(step, named.relay, &named.address, by)? {
        let route = RelayRoute {
            address: named.address.clone(),
            relay: named.relay,
            secret,
            lan: named.lan,
        };
        let by = by.map_or(NamedBy::Person, |_| NamedBy::Others);
        step.errand(Errand::UseRelay(route, None, by));
    }
    Ok(())
}

/// Keeps an address, and of those of its kind the newest few. Out: whether it was not known.
fn keep(step: &mut Step<'_, '_>, relay: RelayId, address: &str, by: Option<AccountId>) -> Result<bool, Stop> {
    let id = relay.as_bytes();
    let by = by.map(|by| *by.as_bytes());
    let sql = "INSERT INTO relay_way(relay, address, by, said_at) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT(relay, address) DO UPDATE SET by = NULL, refused = 0, said_at = ?4 WHERE ?3 IS NULL
               RETURNING 1";
    let was_known = step
        .tx
        .prepare_cached("SELECT 1 FROM relay_way WHERE relay = ? AND address = ?")?
        .exists(params![id, address])?;
    step.tx
        .prepare_cached(sql)?
        .exists(params![id, address, by, step.time.0.cast_signed()])?;
    let older = "DELETE FROM relay_way WHERE relay = ?1 AND by = ?2 AND address <> ?3 RETURNING relay, address";
    give_up(step, older, params![id, by, address])?;
    let over = "DELETE FROM relay_way WHERE relay = ?1 AND address IN (SELECT address FROM relay_way
                    WHERE relay = ?1 AND (by IS NULL) = ?2 AND refused = 0 AND address <> ?3 ORDER BY said_at DESC, address LIMIT -1 OFFSET ?4)
                RETURNING relay, address";
    let most = if by.is_none() { WAYS_GIVEN_MAX } else { WAYS_TOLD_MAX };
    give_up(step, over, params![id, by.is_none(), address, most - 1])?;
    Ok(!was_known)
}

/// After a start, once the courier knows the relays.
pub(crate) fn resume(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let sql = "SELECT r.relay, w.address, r.secret, r.lan, w.by IS NULL AND (r.own OR r.chosen)
               FROM relay_way w JOIN relay r USING (relay) WHERE r.near = 0 AND w.refused = 0
               ORDER BY r.added_at, r.relay, w.by IS NOT NULL, w.said_at, w.address";
    let ways: Vec<(RelayRoute, bool)> = step
        .tx
        .prepare(sql)?
        .query_map([], |row| {
            let route = RelayRoute {
                relay: RelayId::from_bytes(row.get(0)?),
                address: row.get(1)?,
                secret: row.get(2)?,
                lan: row.get(3)?,
            };
            Ok((route, row.get(4)?))
        })?
        .collect::<Result<_, _>>()?;
    for (route, is_given) in ways {
        let by = if is_given { NamedBy::Person } else { NamedBy::Others };
        step.errand(Errand::UseRelay(route, None, by));
    }
    Ok(())
}
