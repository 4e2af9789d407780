//! Coming back from the words: a device that has nothing else finds the account's capsule and asks its people.
//!
//! In: words and an entrance; capsules that come; answers of contacts. Out: the account with its contacts and groups, a
//! request to each contact, conversations that they found anew. History does not come back. What contacts do with a request
//! is `reach`'s. Specified in `docs/protocol/14-devices.md` (CAP-6, CAP-7, RCH-2, RCH-4).
//! Invariant: a capsule is taken whole or not at all; an answer too.

use crate::Dice;
use crate::account::{Account, Keys, Origin, RootSeed};
use crate::api::{self, ChatId, Event, Fault, Me, Reply};
use crate::capsule;
use crate::conversation::{self, alarms};
use crate::devices::{self, Beside};
use crate::due::Times;
use crate::group;
use crate::inbox;
use crate::leaf;
use crate::listening::{self, Purpose};
use crate::meeting::{self, accept};
use crate::mls::{self, Entered, Known, Signer};
use crate::near;
use crate::outbox::{self, Waiting};
use crate::profile;
use crate::query;
use crate::reach;
use crate::relays;
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use stonechat_wire::address::NEAR;
use stonechat_wire::capsule::{Capsule, KeptContact, KeptGroup, Whose};
use stonechat_wire::card::{CardRelay, Claim, ContactCard, DeviceLog};
use stonechat_wire::envelope::{self, Envelope};
use stonechat_wire::exchange::NamedBy;
use stonechat_wire::group::GroupState;
use stonechat_wire::ids::{AccountId, RelayId};
use stonechat_wire::invite::{InviteLink, LinkError};
use stonechat_wire::reach::ReachSecret;
use stonechat_wire::route::{RelayRoute, RouteError};

/// So long after the last capsule came the newest is taken (CAP-6).
const QUIET_MS: u64 = 3_000;
/// A contact is asked again after so long (RCH-2).
const ASK_EVERY_MS: u64 = 24 * 3600 * 1000;
/// Later than this nothing is due: what says so was written under a wrong clock.
const LATEST_MS: u64 = 60_000;

/// The column `state` of `restore`.
const LOOKING: u8 = 0;
const FOUND: u8 = 1;
const GIVEN_UP: u8 = 2;
const DOOR_SPENT: u8 = 3;
const _: () = assert!(LOOKING == 0 && DOOR_SPENT == 3, "as in capsule's queries");

/// An entrance, as it was typed.
enum Entrance {
    Relay(RelayRoute),
    Door(InviteLink),
}

impl api::Restore {
    /// Whether this is enough to begin with: to be asked before a home is made for it.
    ///
    /// Errors: the words' or the entrance's fault, as the command itself would answer.
    pub fn check(&self) -> Result<(), Fault> {
        understood(self).map(drop)
    }
}

fn understood(wish: &api::Restore) -> Result<(RootSeed, Entrance), Fault> {
    let seed = RootSeed::from_words(&wish.words).map_err(|_| Fault::BadWords)?;
    Ok((seed, entrance_of(&wish.door)?))
}

/// A relay's route, or an invitation whose door stands on one of the account's relays (CAP-6).
fn entrance_of(text: &str) -> Result<Entrance, Fault> {
    match RelayRoute::parse(text) {
        Ok(route) => return Ok(Entrance::Relay(route)),
        Err(RouteError::IsInvite) => {}
        Err(_) if text.trim_start().starts_with("stone:r") => return Err(Fault::BrokenRoute),
        Err(_) => {}
    }
    InviteLink::parse(text)
        .map(Entrance::Door)
        .map_err(|error| match error {
            LinkError::Newer => Fault::NewerLink,
            _broken => Fault::BrokenLink,
        })
}

/// Makes the account from its words, and looks for its capsule; while that is looked for, at one more entrance (CAP-6).
pub(crate) fn begin(step: &mut Step<'_, '_>, wish: &api::Restore) -> Result<Reply, Stop> {
    let (seed, entrance) = understood(wish)?;
    if step.me().is_ok() {
        return look_further(step, &seed, entrance);
    }
    let mut dice = Dice::seeded(step.mls.crypto.bytes());
    let me = Account::found(step.tx, Origin::Restored(seed), "", step.time, &mut dice)?;
    step.tx
        .execute("INSERT INTO restore(one, state) VALUES (1, ?)", [LOOKING])?;
    enter(step, &me, entrance)
}

/// Only with the words of the account that is looked for.
fn look_further(step: &mut Step<'_, '_>, seed: &RootSeed, entrance: Entrance) -> Result<Reply, Stop> {
    let me = meeting::me(step)?;
    if !is_looking(step)? || Keys::of(seed).id() != me.id() {
        return Err(Stop::Fault(Fault::AccountExists));
    }
    step.tx.execute("UPDATE restore SET state = ?", [LOOKING])?;
    enter(step, &me, entrance)
}

fn enter(step: &mut Step<'_, '_>, me: &Account, entrance: Entrance) -> Result<Reply, Stop> {
    match entrance {
        Entrance::Relay(route) => {
            let relay = route.relay;
            profile::use_relay(step, route)?;
            capsule::listen(step, me, &[relay])?;
        }
        Entrance::Door(link) => ask_door(step, &link)?,
    }
    step.event(Event::StatusChanged {});
    Ok(Reply::Me(Me {
        id: hex::encode(me.id().as_bytes()),
        name: String::new(),
    }))
}

fn ask_door(step: &mut Step<'_, '_>, link: &InviteLink) -> Result<(), Stop> {
    let id: [u8; 16] = step.mls.crypto.bytes();
    step.tx
        .execute("UPDATE restore SET door = ?, knock = ?", params![link.to_code(), id])?;
    accept::knock(step, id, link);
    Ok(())
}

/// Asks the door that has not answered: after a start.
pub(crate) fn resume(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    match door(step)? {
        Some((id, link)) => accept::knock(step, id, &link),
        None => return Ok(()),
    }
    Ok(())
}

fn door(step: &Step<'_, '_>) -> Result<Option<([u8; 16], InviteLink)>, Stop> {
    let sql = "SELECT knock, door FROM restore WHERE door IS NOT NULL AND state = ?";
    let found: Option<([u8; 16], String)> = step
        .tx
        .query_row(sql, [LOOKING], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((id, link)) = found else { return Ok(None) };
    let link = InviteLink::parse(&link).map_err(|_| Stop::Refused("own door"))?;
    Ok(Some((id, link)))
}

/// A door has answered, or says that nobody lives there: is it the one asked here? Out: false where it is not.
pub(crate) fn door_said(step: &mut Step<'_, '_>, id: [u8; 16], card: Option<&[u8]>) -> Result<bool, Stop> {
    let Some((_, link)) = door(step)?.filter(|(asked, _)| *asked == id) else {
        return Ok(false);
    };
    let relays = step.attempt(|step| {
        let card = card.ok_or(Stop::Refused("door"))?;
        let (_, card) = accept::opened_card(&link, card)?;
        // No capsule lies on a near one.
        let lasting = card.relays.iter().filter(|named| named.address != NEAR);
        meeting::use_all(step, lasting)
    })?;
    let relays: Vec<RelayId> = relays.unwrap_or_default();
    let state = if relays.is_empty() { DOOR_SPENT } else { LOOKING };
    step.tx.execute("UPDATE restore SET state = ?, door = NULL", [state])?;
    let me = meeting::me(step)?;
    capsule::listen(step, &me, &relays)?;
    step.event(Event::StatusChanged {});
    Ok(true)
}

/// A relay was given while the capsule is looked for: it may lie there.
pub(crate) fn relay_given(step: &mut Step<'_, '_>, relay: RelayId) -> Result<(), Stop> {
    if !is_looking(step)? {
        return Ok(());
    }
    let me = meeting::me(step)?;
    step.tx.execute("UPDATE restore SET state = ?", [LOOKING])?;
    capsule::listen(step, &me, &[relay])
}

/// Nothing can be founded yet: the account's log is not known (CAP-6).
pub(crate) fn is_looking(step: &Step<'_, '_>) -> Result<bool, Stop> {
    Ok(step
        .tx
        .prepare_cached("SELECT 1 FROM restore WHERE state IN (?, ?)")?
        .exists([LOOKING, DOOR_SPENT])?)
}

/// This device came back with a capsule.
pub(crate) fn has_found(step: &Step<'_, '_>) -> Result<bool, Stop> {
    Ok(step
        .tx
        .prepare_cached("SELECT 1 FROM restore WHERE state = ?")?
        .exists([FOUND])?)
}

/// Refuses what needs the account's log while that is looked for.
pub(crate) fn is_over(step: &Step<'_, '_>) -> Result<(), Stop> {
    if is_looking(step)? {
        Err(Stop::Fault(Fault::StillLooking))
    } else {
        Ok(())
    }
}

/// The person goes on without a capsule.
pub(crate) fn give_up(step: &mut Step<'_, '_>, wish: &api::GiveUp) -> Result<Reply, Stop> {
    if !is_looking(step)? {
        return Err(Stop::Fault(Fault::NotFound));
    }
    profile::rename(step, &wish.name)?;
    step.tx
        .execute("UPDATE restore SET state = ?, door = NULL, due_at = NULL", [GIVEN_UP])?;
    step.event(Event::StatusChanged {});
    Ok(Reply::Done {})
}

/// Whether a capsule that came may be taken: while one is looked for any; later a newer one by a device before this one.
pub(crate) fn may_take(step: &Step<'_, '_>, me: &Account, capsule: &Capsule) -> Result<bool, Stop> {
    if is_looking(step)? {
        return Ok(true);
    }
    let sql = "SELECT generation FROM restore WHERE state = ?";
    let taken: Option<i64> = step.tx.query_row(sql, [FOUND], |row| row.get(0)).optional()?;
    let before_me = devices::beside(me.device_log(), &capsule.device_log) == Beside::Older;
    Ok(before_me && taken.is_some_and(|taken| capsule.generation > taken.unsigned_abs()))
}

/// Keeps the newest until no other comes for a while.
pub(crate) fn found(step: &mut Step<'_, '_>, capsule: &Capsule, content: &[u8]) -> Result<(), Stop> {
    let due = step.now.0.saturating_add(QUIET_MS).cast_signed();
    let generation = i64::try_from(capsule.generation).unwrap_or(i64::MAX);
    step.tx.execute(
        "UPDATE restore SET found = CASE WHEN found IS NULL OR generation < ?1 THEN ?2 ELSE found END,
                generation = max(generation, ?1), due_at = ?3",
        params![generation, content, due],
    )?;
    Ok(())
}

/// Takes the capsule that waits, once its time has come.
pub(crate) fn take_due(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let now = step.now.0;
    let sql = "UPDATE restore SET due_at = NULL WHERE due_at <= ? OR due_at > ? RETURNING found";
    let found: Option<Option<Vec<u8>>> = step
        .tx
        .prepare_cached(sql)?
        .query_row(
            params![now.cast_signed(), now.saturating_add(LATEST_MS).cast_signed()],
            |row| row.get(0),
        )
        .optional()?;
    let Some(content) = found.flatten() else {
        return Ok(());
    };
    let taken = step.attempt(|step| {
        let capsule = Capsule::decode(&content).map_err(|_| Stop::Refused("capsule"))?;
        take(step, &capsule)
    })?;
    if let Err(Stop::Refused(why)) = taken {
        step.out.refused.push(why);
        step.tx.execute("UPDATE restore SET found = NULL, generation = 0", [])?;
    }
    Ok(())
}

/// When that is due.
pub(crate) const TAKE_TIMES: Times = Times::of("SELECT due_at FROM restore", "SELECT due_at FROM restore", LATEST_MS);
/// When [`ask_due`] asks again.
pub(crate) const ASK_TIMES: Times = Times {
    after_ms: ASK_EVERY_MS,
    ..Times::of(
        "SELECT min(asked_at) FROM coming_back",
        "SELECT max(asked_at) FROM coming_back",
        0,
    )
};

fn take(step: &mut Step<'_, '_>, capsule: &Capsule) -> Result<(), Stop> {
    let mut me = meeting::me(step)?;
    if is_looking(step)? {
        let log: DeviceLog = capsule.device_log.clone();
        if !me.continue_log(step.tx, log, step.time)? {
            return Err(Stop::Refused("capsule's log"));
        }
        step.tx.execute("UPDATE account SET name = ?", [&capsule.name])?;
    }
    let relays = capsule
        .relays
        .iter()
        .map(|(own, relay)| take_relay(step, *own, relay))
        .collect::<Result<Vec<_>, _>>()?;
    // Above, the account had no name yet.
    let me = meeting::me(step)?;
    let newest = capsule.made_at_s.saturating_mul(1000);
    for (age, contact) in (0_u64..).zip(&capsule.contacts) {
        take_contact(step, &me, contact, &relays, newest.saturating_sub(age))?;
    }
    let after = capsule.contacts.len() as u64;
    for (age, group) in (after..).zip(&capsule.groups) {
        take_group(step, group, newest.saturating_sub(age))?;
    }
    step.tx.execute(
        "UPDATE account SET generation = max(generation, ?)",
        [i64::try_from(capsule.generation).unwrap_or(i64::MAX)],
    )?;
    step.tx.execute(
        "UPDATE restore SET state = ?, found = NULL, door = NULL, made_at = ?, left_out = ?",
        params![FOUND, newest.cast_signed(), capsule.left_out],
    )?;
    step.event(Event::StatusChanged {});
    step.event(Event::Ingested { messages: 0 });
    Ok(())
}

fn take_relay(step: &mut Step<'_, '_>, whose: Whose, relay: &CardRelay) -> Result<RelayId, Stop> {
    let own = matches!(whose, Whose::Own | Whose::Private);
    let by = if own { NamedBy::Person } else { NamedBy::Others };
    let id = meeting::use_relay(step, relay, by)?;
    step.tx.execute(
        "UPDATE relay SET own = max(own, ?2), private = ?3, brought = ?4 WHERE relay = ?1",
        params![id.as_bytes(), own, whose == Whose::Private, whose == Whose::Brought],
    )?;
    Ok(id)
}

fn take_contact(
    step: &mut Step<'_, '_>,
    me: &Account,
    kept: &KeptContact,
    relays: &[RelayId],
    active_at: u64,
) -> Result<(), Stop> {
    let account = kept.account();
    let known = query::load_contact(step.tx, account.as_bytes())?.is_some();
    if known || account == me.id() {
        return Ok(());
    }
    step.tx.execute(
        "INSERT INTO contact(account, own_name, alias, ed25519, mldsa_hash, device_log, verified, added_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            account.as_bytes(),
            kept.own_name,
            kept.alias,
            kept.ed25519,
            kept.mldsa_hash,
            DeviceLog::default().encode(),
            kept.verified,
            step.time.0.cast_signed()
        ],
    )?;
    let chat = new_chat(step, Some(account), active_at)?;
    let at: Vec<RelayId> = kept
        .relays
        .iter()
        .filter_map(|place| relays.get(usize::from(*place)).copied())
        .collect();
    ask(step, me, kept, chat, &at)?;
    step.touch_chat(chat);
    Ok(())
}

fn new_chat(step: &Step<'_, '_>, contact: Option<AccountId>, active_at: u64) -> Result<ChatId, Stop> {
    step.tx.execute(
        "INSERT INTO chat(contact, name, hidden, waiting, read_to, active_at) VALUES (?, ?, 0, 0, ?, ?)",
        params![
            contact.map(|account| *account.as_bytes()),
            contact.is_none().then_some(""),
            i64::MIN / 4096,
            active_at.cast_signed()
        ],
    )?;
    Ok(step.tx.last_insert_rowid())
}

/// Asks a contact for a new conversation (RCH-2).
fn ask(
    step: &mut Step<'_, '_>,
    me: &Account,
    kept: &KeptContact,
    chat: ChatId,
    relays: &[RelayId],
) -> Result<(), Stop> {
    let account = kept.account();
    let signer = Signer::new(step.mls.crypto.bytes());
    let package = mls::key_package(&step.mls, &signer, leaf::identity(me, &signer.public())?)?;
    let request = request(step, me, &package)?;
    let hash = meeting::hash(&request);
    step.tx.execute(
        "INSERT INTO coming_back VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            account.as_bytes(),
            chat,
            kept.reach.as_bytes(),
            kept.log_count,
            kept.log_hash,
            package,
            signer.seed(),
            hash,
            request,
            step.now.0.cast_signed()
        ],
    )?;
    let answer = kept.reach.answer_token(&hash).tag();
    for relay in relays {
        listening::add(step, *relay, answer, Purpose::ReachAnswer, account.as_bytes())?;
    }
    put_request(step, me.id(), &kept.reach, &request, relays)
}

/// Sealed anew each time: a relay keeps the same envelope once, and gives it once (RLY-23).
fn put_request(
    step: &mut Step<'_, '_>,
    me: AccountId,
    reach: &ReachSecret,
    request: &[u8],
    relays: &[RelayId],
) -> Result<(), Stop> {
    let (token, key, hash) = (reach.request_token(me), reach.request_key(me), meeting::hash(request));
    outbox::done(step, Waiting::Claim, &hash)?;
    for relay in relays {
        let crypto = &step.mls.crypto;
        let sealed = envelope::seal_all(&key, token.tag(), &mut || crypto.bytes(), request)
            .map_err(|_| Stop::Refused("own request"))?;
        outbox::put_meeting(step, Waiting::Claim, &hash, sealed, &token, *relay)?;
    }
    Ok(())
}

/// Asks those again who have not answered for a day (RCH-2).
pub(crate) fn ask_due(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let now = step.now.0.cast_signed();
    let sql = "UPDATE coming_back SET asked_at = ?1 WHERE asked_at <= ?2 OR asked_at > ?1
               RETURNING account, reach, content";
    let due: Vec<([u8; 32], [u8; 32], Vec<u8>)> = step
        .tx
        .prepare_cached(sql)?
        .query_map(params![now, now.saturating_sub_unsigned(ASK_EVERY_MS)], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<Result<_, _>>()?;
    for (account, reach, request) in due {
        let relays = asked_at(step, &account)?;
        put_request(step, step.me()?, &ReachSecret::new(reach), &request, &relays)?;
    }
    Ok(())
}

/// My card with one key package: what a contact founds the conversation from.
fn request(step: &Step<'_, '_>, me: &Account, package: &[u8]) -> Result<Vec<u8>, Stop> {
    let mut card = meeting::my_card(step, me, named(step)?);
    card.key_packages = vec![package.to_vec()];
    Ok(meeting::sign(me, card)?.encode())
}

/// The relays that a card of mine names.
pub(crate) fn named(step: &Step<'_, '_>) -> Result<Vec<CardRelay>, Stop> {
    let relays = meeting::own_relays(step)?.into_iter().take(meeting::RELAYS_NAMED);
    relays.map(|relay| meeting::name_relay(step, relay)).collect()
}

/// Where this contact was asked.
pub(crate) fn asked_at(step: &Step<'_, '_>, account: &[u8; 32]) -> Result<Vec<RelayId>, Stop> {
    let mut rows = step
        .tx
        .prepare_cached("SELECT DISTINCT relay FROM listening WHERE about = ? AND purpose = 6 ORDER BY relay")?;
    let found = rows.query_map([account], |row| row.get::<_, [u8; 16]>(0))?;
    Ok(found
        .map(|relay| relay.map(RelayId::from_bytes))
        .collect::<Result<_, _>>()?)
}

/// A group stands there with its name and members until somebody brings this account back (RCH-6).
fn take_group(step: &mut Step<'_, '_>, kept: &KeptGroup, active_at: u64) -> Result<(), Stop> {
    let known = conversation::load(step, &kept.group)?.is_some() || lost(step, &kept.group)?.is_some();
    if known {
        return Ok(());
    }
    let chat = new_chat(step, None, active_at)?;
    step.tx.execute(
        "INSERT INTO lost_group VALUES (?, ?, ?)",
        params![kept.group, chat, kept.state.encode()],
    )?;
    group::seat_all(step, chat, &kept.state)?;
    step.touch_chat(chat);
    Ok(())
}

/// The chat and state of a group that the capsule knew.
pub(crate) fn lost(step: &Step<'_, '_>, group: &mls::Gid) -> Result<Option<(ChatId, GroupState)>, Stop> {
    let sql = "SELECT chat, state FROM lost_group WHERE group_id = ?";
    let found: Option<(ChatId, Vec<u8>)> = step
        .tx
        .prepare_cached(sql)?
        .query_row([group], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(found.and_then(|(chat, state)| Some((chat, GroupState::decode(&state).ok()?))))
}

/// What is known of a contact that was asked.
struct Asked {
    account: AccountId,
    chat: ChatId,
    reach: ReachSecret,
    log_count: u32,
    log_hash: [u8; 32],
    package: Vec<u8>,
    signer: Signer,
    request: [u8; 32],
}

fn asked(step: &Step<'_, '_>, account: &[u8]) -> Result<Option<Asked>, Stop> {
    let sql = "SELECT account, chat, reach, log_count, log_hash, package, signer, request FROM coming_back
               WHERE account = ?";
    let found = step.tx.query_row(sql, [account], |row| {
        Ok(Asked {
            account: AccountId::from_bytes(row.get(0)?),
            chat: row.get(1)?,
            reach: ReachSecret::new(row.get(2)?),
            log_count: row.get(3)?,
            log_hash: row.get(4)?,
            package: row.get(5)?,
            signer: Signer::new(row.get(6)?),
            request: row.get(7)?,
        })
    });
    Ok(found.optional()?)
}

/// A contact has answered: there is a conversation again (RCH-4).
pub(crate) fn answered(step: &mut Step<'_, '_>, about: &[u8], sealed: &Envelope) -> Result<(), Stop> {
    let Some(asked) = asked(step, about)? else {
        return Ok(());
    };
    let Some(content) = inbox::gathered(step, &asked.reach.answer_key(&asked.request), sealed)? else {
        return Ok(());
    };
    let answer = Claim::decode(&content).map_err(|_| Stop::Refused("answer"))?;
    let card = &answer.card;
    meeting::check_card(card)?;
    if card.account_id() != asked.account {
        return Err(Stop::Refused("somebody else's answer"));
    }
    let welcome = answer.welcomes.first().ok_or(Stop::Refused("no welcome"))?;
    let entered = mls::join(&step.mls, welcome, Known::Never)?;
    meeting::check_two(card, &asked.signer, &entered)?;
    settle_down(step, &asked, card, &entered)?;
    if !devices::continues(&card.device_log, asked.log_count, &asked.log_hash) {
        alarms::two_logs(step, &entered.group, asked.account, &card.device_log)?;
    }
    step.touch_chat(asked.chat);
    step.event(Event::StatusChanged {});
    Ok(())
}

fn settle_down(step: &mut Step<'_, '_>, asked: &Asked, card: &ContactCard, entered: &Entered) -> Result<(), Stop> {
    let before = asked_at(step, asked.account.as_bytes())?;
    let relays = reach::meeting_places(step, &before, card)?;
    step.tx.execute(
        "UPDATE contact SET device_log = ?, own_name = ?, heard_at = ? WHERE account = ?",
        params![
            card.device_log.encode(),
            card.name,
            step.time.0.cast_signed(),
            asked.account.as_bytes()
        ],
    )?;
    conversation::begin(step, asked.chat, entered, &asked.signer, false, &relays)?;
    outbox::done(step, Waiting::Claim, &asked.request)?;
    listening::drop_about(step, asked.account.as_bytes())?;
    mls::forget_key_package(&step.mls, &asked.package)?;
    step.tx
        .execute("DELETE FROM coming_back WHERE account = ?", [asked.account.as_bytes()])?;
    let of = conversation::load(step, &entered.group)?.ok_or(Stop::Refused("no such conversation"))?;
    conversation::note_began(step, &of)?;
    conversation::receipts::due(step, &entered.group)?;
    group::supply::offer(step, &of, asked.account)?;
    relays::due_in(step, &entered.group)?;
    near::tell_all(step)?;
    if let Some(contact) = query::load_contact(step.tx, asked.account.as_bytes())? {
        step.event(Event::ContactChanged { contact });
    }
    Ok(())
}

/// The route of a relay.
pub(crate) fn route(step: &Step<'_, '_>, relay: RelayId) -> Result<RelayRoute, Stop> {
    let sql = "SELECT address, relay, secret, lan FROM relay WHERE relay = ?";
    Ok(step.tx.prepare_cached(sql)?.query_row([relay.as_bytes()], |row| {
        Ok(RelayRoute {
            address: row.get(0)?,
            relay: RelayId::from_bytes(row.get(1)?),
            secret: row.get(2)?,
            lan: row.get(3)?,
        })
    })?)
}

/// The routes that this account can come back by: of its own relays.
pub(crate) fn doors(step: &Step<'_, '_>) -> Result<Vec<String>, Stop> {
    let sql = "SELECT address, relay, secret, lan FROM relay WHERE own = 1 AND private = 0 ORDER BY added_at, relay";
    let mut rows = step.tx.prepare_cached(sql)?;
    let found = rows.query_map([], |row| {
        Ok(RelayRoute {
            address: row.get(0)?,
            relay: RelayId::from_bytes(row.get(1)?),
            secret: row.get(2)?,
            lan: row.get(3)?,
        })
    })?;
    Ok(found
        .map(|route| route.map(|route| route.to_text()))
        .collect::<Result<_, _>>()?)
}

/// How coming back stands, for whoever looks at the profile.
pub(crate) fn shown(db: &rusqlite::Connection) -> rusqlite::Result<Option<api::Restoring>> {
    let sql = "SELECT state, made_at, left_out, (SELECT count(*) FROM coming_back) AS people,
                      (SELECT count(*) FROM lost_group) AS groups FROM restore";
    let found = db.prepare_cached(sql)?.query_row([], |row| {
        Ok(api::Restoring {
            state: match row.get(0)? {
                FOUND => api::RestoreState::Found,
                GIVEN_UP => api::RestoreState::GivenUp,
                DOOR_SPENT => api::RestoreState::DoorSpent,
                _looking => api::RestoreState::Looking,
            },
            made_at: row.get::<_, Option<i64>>(1)?.map(i64::unsigned_abs),
            left_out: row.get(2)?,
            people: row.get(3)?,
            groups: row.get(4)?,
        })
    });
    found.optional()
}

/// This account, as long as it lives here.
pub(crate) fn is_revoked(step: &Step<'_, '_>) -> Result<bool, Stop> {
    Ok(step
        .tx
        .prepare_cached("SELECT 1 FROM account WHERE revoked = 1")?
        .exists([])?)
}
