//! The account on this device and what the person sets: name, relays, settings, drafts, verification.
//!
//! In: wishes. Out: rows and events. Also what a fresh start asks of the courier ([`resume`]).

use crate::Dice;
use crate::account::{self, Account, Origin, RootSeed};
use crate::api::{self, Event, Fault, Me, Reply, Words};
use crate::capsule;
use crate::conversation::{self, renewal};
use crate::listening;
use crate::meeting::{accept, introduce, introduced, invite, public};
use crate::near;
use crate::outbox;
use crate::own;
use crate::query;
use crate::relays::{self, ways::Route};
use crate::restore;
use crate::safety;
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use stonechat_wire::drop::{Place, drop_id};
use stonechat_wire::exchange::{Errand, NamedBy};
use stonechat_wire::ids::RelayId;
use stonechat_wire::route::{RelayKeys, RelayRoute, RouteError};
use stonechat_wire::safety::SafetyCode;

/// Longest name, characters.
const NAME_MAX: usize = 64;
/// Relays a profile uses at most.
const RELAYS_MAX: u32 = 64;
/// Longest kept draft, bytes.
const DRAFT_MAX: usize = 4 * conversation::TEXT_MAX;

/// Everything the courier must know after a start: relays, tags, what waits, doors.
pub(crate) fn resume(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let relays: Vec<(RelayRoute, Option<RelayKeys>, NamedBy)> = step
        .tx
        .prepare(
            "SELECT relay, address, secret, key, lan, own OR chosen FROM relay WHERE near = 0 ORDER BY added_at, relay",
        )?
        .query_map([], |row| {
            let relay = RelayId::from_bytes(row.get(0)?);
            let keys: Option<Vec<u8>> = row.get(3)?;
            let route = RelayRoute {
                address: row.get(1)?,
                relay,
                secret: row.get(2)?,
                lan: row.get(4)?,
            };
            let by = if row.get(5)? { NamedBy::Person } else { NamedBy::Others };
            Ok((route, keys.and_then(|keys| RelayKeys::from_slice(&keys)), by))
        })?
        .collect::<Result<_, _>>()?;
    for (route, keys, by) in relays {
        step.errand(Errand::UseRelay(route, keys, by));
    }
    relays::ways::resume(step)?;
    renewal::unreached(step, None)?;
    near::resume(step)?;
    listening::announce_all(step)?;
    outbox::send_all(step)?;
    invite::open_doors(step)?;
    public::resume(step)?;
    introduce::resume(step)?;
    introduced::resume(step)?;
    restore::resume(step)?;
    accept::knock_all(step)
}

/// Makes the account.
pub(crate) fn init(step: &mut Step<'_, '_>, wish: &api::Init) -> Result<Reply, Stop> {
    if step.me().is_ok() {
        return Err(Stop::Fault(Fault::AccountExists));
    }
    let (name, origin, routes) = understood(wish)?;
    let mut dice = Dice::seeded(step.mls.crypto.bytes());
    let me = Account::found(step.tx, origin, name, step.time, &mut dice)?;
    for route in routes {
        let relay = route.relay;
        use_relay(step, route)?;
        if me.restored() {
            capsule::listen(step, &me, &[relay])?;
        }
    }
    near::use_mine(step)?;
    step.event(Event::StatusChanged {});
    Ok(Reply::Me(Me {
        id: hex::encode(me.id().as_bytes()),
        name: name.to_owned(),
    }))
}

impl api::Init {
    /// Whether this is enough for an account: to be asked before a home is made for one.
    ///
    /// Errors: the name's, the words' or a route's fault, as the command itself would answer.
    pub fn check(&self) -> Result<(), Fault> {
        understood(self).map(drop)
    }
}

fn understood(wish: &api::Init) -> Result<(&str, Origin, Vec<RelayRoute>), Fault> {
    let name = name_of(&wish.name)?;
    let origin = match &wish.words {
        Some(words) => Origin::Restored(RootSeed::from_words(words).map_err(|_| Fault::BadWords)?),
        None => Origin::Fresh,
    };
    let routes = wish
        .relays
        .iter()
        .map(|route| route_of(route))
        .collect::<Result<_, _>>()?;
    Ok((name, origin, routes))
}

/// A name that others will be shown (CARD-4).
fn name_of(name: &str) -> Result<&str, Fault> {
    let name = name.trim();
    let long = name.chars().count() > NAME_MAX || name.len() > 2 * NAME_MAX;
    if name.is_empty() || long || name.chars().any(char::is_control) {
        return Err(Fault::BadName);
    }
    Ok(name)
}

pub(crate) fn route_of(text: &str) -> Result<RelayRoute, Fault> {
    RelayRoute::parse(text).map_err(|error| match error {
        RouteError::IsInvite => Fault::InviteNotRoute,
        _broken => Fault::BrokenRoute,
    })
}

pub(crate) fn words(step: &Step<'_, '_>) -> Result<Reply, Stop> {
    let me = account::load(step.tx)?.ok_or(Stop::Fault(Fault::NoAccount))?;
    Ok(Reply::Words(Words {
        words: me.words().ok_or(Stop::Fault(Fault::NotHome))?,
        doors: restore::doors(step)?,
    }))
}

/// A dead drop that is written as its address: it gets a secret of its own (DRP-2).
fn new_drop(step: &Step<'_, '_>, text: &str) -> Option<RelayRoute> {
    let address = Place::from_url(text.trim())?;
    let secret: [u8; 16] = step.mls.crypto.bytes();
    Some(RelayRoute {
        address,
        relay: drop_id(&secret),
        secret: Some(secret),
        lan: false,
    })
}

pub(crate) fn add_relay(step: &mut Step<'_, '_>, wish: &api::RelayAdd) -> Result<Reply, Stop> {
    let route = match new_drop(step, &wish.route) {
        Some(route) => route,
        None => route_of(&wish.route)?,
    };
    let relay = route.relay;
    let is = relays::ways::given(step, &route)?;
    let route = match &is {
        Route::First | Route::Moved => route,
        Route::OneMore(Some(named)) => named.clone(),
        Route::OneMore(None) => {
            step.event(Event::StatusChanged {});
            return Ok(Reply::Done {});
        }
    };
    use_relay(step, route)?;
    let private = wish.private || (matches!(is, Route::Moved) && relays::is_private(step, relay)?);
    relays::added(step, relay, private)?;
    if matches!(is, Route::Moved) {
        relays::ways::tell_move(step, relay)?;
    }
    restore::relay_given(step, relay)?;
    Ok(Reply::Done {})
}

pub(crate) fn use_relay(step: &mut Step<'_, '_>, route: RelayRoute) -> Result<(), Stop> {
    let sql = "SELECT count(*) FROM relay WHERE near = 0 AND relay <> ?";
    let others: u32 = step.tx.query_row(sql, [route.relay.as_bytes()], |row| row.get(0))?;
    if others >= RELAYS_MAX {
        return Err(Stop::Fault(Fault::TooMany));
    }
    step.tx.execute(
        "INSERT INTO relay(relay, address, secret, own, lan, added_at) VALUES (?, ?, ?, 1, ?, ?)
         ON CONFLICT(relay) DO UPDATE
         SET own = 1, address = excluded.address, secret = excluded.secret, lan = excluded.lan, near = 0",
        params![
            route.relay.as_bytes(),
            route.address,
            route.secret,
            route.lan,
            step.time.0.cast_signed()
        ],
    )?;
    step.errand(Errand::UseRelay(route, None, NamedBy::Person));
    step.event(Event::StatusChanged {});
    Ok(())
}

pub(crate) fn rename(step: &mut Step<'_, '_>, name: &str) -> Result<Reply, Stop> {
    step.me()?;
    step.tx.execute("UPDATE account SET name = ?", [name_of(name)?])?;
    step.event(Event::StatusChanged {});
    Ok(Reply::Done {})
}

pub(crate) fn verify(step: &mut Step<'_, '_>, wish: &api::Verify) -> Result<Reply, Stop> {
    if let Some(code) = &wish.code {
        compare(step, &wish.id, code)?;
    }
    change_contact(step, &wish.id, |step, account| {
        step.tx.execute(
            "UPDATE contact SET verified = ? WHERE account = ?",
            params![wish.verified, account],
        )
    })
}

/// SAFE-3: the other side's code is of this pair, and says the number that is shown here.
fn compare(step: &Step<'_, '_>, contact: &str, code: &str) -> Result<(), Stop> {
    let shown = SafetyCode::from_text(code).map_err(|_| Stop::Fault(Fault::NoSafetyCode))?;
    let account = hex::decode(contact).map_err(|_| Stop::Fault(Fault::NotFound))?;
    let mine = account::load_public(step.tx)?.ok_or(Stop::Fault(Fault::NoAccount))?;
    let (theirs, _) = query::person(step.tx, &account)?.ok_or(Stop::Fault(Fault::NotFound))?;
    if shown == safety::code(&mine, &theirs) {
        Ok(())
    } else {
        Err(Stop::Fault(Fault::NumbersDiffer))
    }
}

/// What to look at in a new contact was read (FST-1). It is said no more on this device.
pub(crate) fn noticed(step: &mut Step<'_, '_>, id: &str) -> Result<Reply, Stop> {
    let account = hex::decode(id).map_err(|_| Stop::Fault(Fault::NotFound))?;
    let known = step
        .tx
        .execute("UPDATE contact SET noticed = 1 WHERE account = ?", [&account])?;
    let contact = query::load_contact(step.tx, &account)?;
    let Some(contact) = contact.filter(|_| known == 1) else {
        return Err(Stop::Fault(Fault::NotFound));
    };
    if let Some(chat) = contact.chat {
        step.touch_chat(chat);
    }
    Ok(Reply::Done {})
}

pub(crate) fn rename_contact(step: &mut Step<'_, '_>, wish: &api::ContactRename) -> Result<Reply, Stop> {
    let name = wish.name.trim();
    let alias = if name.is_empty() { None } else { Some(name_of(name)?) };
    change_contact(step, &wish.id, |step, account| {
        step.tx.execute(
            "UPDATE contact SET alias = ? WHERE account = ?",
            params![alias, account],
        )
    })
}

fn change_contact(
    step: &mut Step<'_, '_>,
    id: &str,
    change: impl FnOnce(&Step<'_, '_>, &[u8]) -> rusqlite::Result<usize>,
) -> Result<Reply, Stop> {
    let account = hex::decode(id).map_err(|_| Stop::Fault(Fault::NotFound))?;
    if change(step, &account)? == 0 {
        return Err(Stop::Fault(Fault::NotFound));
    }
    if let Some(contact) = query::load_contact(step.tx, &account)? {
        if let Some(chat) = contact.chat {
            step.touch_chat(chat);
        }
        step.event(Event::ContactChanged { contact });
    }
    own::contact_changed(step, &account)?;
    Ok(Reply::Done {})
}

pub(crate) fn set_settings(step: &mut Step<'_, '_>, wish: &api::Settings) -> Result<Reply, Stop> {
    step.set_setting("language", wish.language.as_deref())?;
    step.set_setting("theme", wish.theme.as_deref())?;
    step.set_setting("read_receipts", Some(if wish.read_receipts { "true" } else { "false" }))?;
    step.event(Event::StatusChanged {});
    Ok(Reply::Done {})
}

pub(crate) fn set_draft(step: &mut Step<'_, '_>, wish: &api::DraftSet) -> Result<Reply, Stop> {
    if wish.text.len() > DRAFT_MAX {
        return Err(Stop::Fault(Fault::BadText));
    }
    let draft = Some(wish.text.as_str()).filter(|text| !text.is_empty());
    let chat = step
        .tx
        .query_row(
            "UPDATE chat SET draft = ? WHERE id = ? RETURNING id",
            params![draft, wish.chat],
            |row| row.get(0),
        )
        .optional()?
        .ok_or(Stop::Fault(Fault::NotFound))?;
    step.touch_chat(chat);
    Ok(Reply::Done {})
}
