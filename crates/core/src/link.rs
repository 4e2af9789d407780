//! Linking: an empty device becomes another device of the account, through any relay.
//!
//! In: the person's wishes on both devices, four letters in mailboxes that come from the link's secret. Out: an entry of the
//! log for the new device, and the conversation of the two. A link alone links nobody: the person types on the home device
//! the number that the new one shows. Specified in `docs/protocol/14-devices.md` (LNK-*).
//! Invariant: nothing is signed for a device before that number was typed; no seed leaves the home device.

use crate::account::{self, Account};
use crate::api::{self, Event, Fault, Reply};
use crate::defence::{self, Defence};
use crate::devices;
use crate::due::{Clock, Then, Times};
use crate::inbox;
use crate::leaf;
use crate::listening::{self, Purpose};
use crate::meeting;
use crate::mls::{self, Known, Signer};
use crate::outbox::{self, Waiting};
use crate::own;
use crate::profile;
use crate::restore;
use crate::step::{Step, Stop};
use ed25519_dalek::{Signature, VerifyingKey};
use hkdf::Hkdf;
use rusqlite::{OptionalExtension, params};
use sha2::Sha256;
use stonechat_wire::card::{CardRelay, DeviceChange, LOG_ENTRIES_MAX};
use stonechat_wire::envelope::{self, Envelope};
use stonechat_wire::exchange::NamedBy;
use stonechat_wire::ids::{DeviceId, RelayId};
use stonechat_wire::invite::InviteSecret;
use stonechat_wire::link::{
    Challenge, DeviceLink, Grant, GrantSealed, HELLO_BYTES_MAX, LinkRequest, RELAYS_MAX, ROLE_REQUEST, answer_role,
    code, link_pin,
};
use stonechat_wire::own::LEAVES_MAX;
use zeroize::Zeroizing;

/// A link is good for so long (LNK-1).
const LIFE_MS: u64 = 60 * 60 * 1000;
/// Numbers that may be typed wrong (LNK-4).
const WRONG_MAX: u32 = 3;
const GRANT_INFO: &[u8] = b"stonechat/link/grant";
const CHALLENGE: &[u8] = b"link/challenge";
const GRANT: &[u8] = b"link/grant";
const HELLO: &[u8] = b"link/hello";
/// Longest name of a device, bytes.
const NAME_MAX: usize = 64;

/// The column `state` of `device_link`.
const OPEN: u8 = 0;
const ASKED: u8 = 1;
const GRANTED: u8 = 2;
const DONE: u8 = 3;
const CLOSED: u8 = 4;
const EXPIRED: u8 = 5;

/// The column `state` of `linking`.
const ASKING: u8 = 0;
const SHOWING: u8 = 1;
const LINKED: u8 = 2;

struct HomeSide {
    id: [u8; 16],
    secret: InviteSecret,
    relay: RelayId,
    expires_at: u64,
    state: u8,
    request: Option<[u8; 32]>,
    device_key: Option<[u8; 32]>,
    seal_key: Option<Vec<u8>>,
    name: String,
    nonce: Option<[u8; 16]>,
    wrong: u32,
    signer: Option<Signer>,
    home_name: String,
}

// --- The home device ---

/// Makes a link; one that is open is closed.
pub(crate) fn create(step: &mut Step<'_, '_>, wish: &api::DeviceLinkWish) -> Result<Reply, Stop> {
    let me = meeting::me(step)?;
    if !me.is_home() {
        return Err(Stop::Fault(Fault::NotHome));
    }
    restore::is_over(step)?;
    let log = me.device_log();
    if devices::live(log).len() >= LEAVES_MAX || log.entries.len() + 2 > LOG_ENTRIES_MAX {
        return Err(Stop::Fault(Fault::TooMany));
    }
    let relay = *meeting::own_relays(step)?.first().ok_or(Stop::Fault(Fault::NoRelay))?;
    forget(step)?;
    let (id, secret) = (
        step.mls.crypto.bytes::<16>(),
        InviteSecret::from_bytes(step.mls.crypto.bytes()),
    );
    let expires_at = step.time.plus_ms(LIFE_MS);
    let link = DeviceLink {
        pin: link_pin(&secret, me.id()),
        expires_at_s: expires_at.seconds(),
        route: restore::route(step, relay)?,
        secret: secret.clone(),
    };
    step.tx.execute(
        "INSERT INTO device_link(one, id, link, secret, relay, expires_at, state, home_name)
         VALUES (1, ?, ?, ?, ?, ?, 0, ?)",
        params![
            id,
            link.to_text(),
            secret.as_bytes(),
            relay.as_bytes(),
            expires_at.0.cast_signed(),
            checked_name(&wish.name)?
        ],
    )?;
    listening::add(step, relay, secret.token(ROLE_REQUEST).tag(), Purpose::LinkRequest, &id)?;
    step.event(Event::StatusChanged {});
    Ok(Reply::DeviceLink(api::DeviceLink {
        link: link.to_text(),
        expires_at: expires_at.0,
    }))
}

fn checked_name(name: &str) -> Result<&str, Stop> {
    let name = name.trim();
    if name.is_empty() || name.len() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(Stop::Fault(Fault::BadName));
    }
    Ok(name)
}

/// Nobody is linked by the last link any more.
fn forget(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    if let Some(link) = load(step)? {
        listening::drop_about(step, &link.id)?;
        outbox::done(step, Waiting::Claim, &link.id)?;
        step.tx.execute("DELETE FROM device_link", [])?;
    }
    Ok(())
}

fn load(step: &Step<'_, '_>) -> Result<Option<HomeSide>, Stop> {
    let sql = "SELECT id, secret, relay, expires_at, state, request, device_key, seal_key, name, nonce, wrong, signer,
                      home_name FROM device_link";
    let found = step.tx.prepare_cached(sql)?.query_row([], |row| {
        Ok(HomeSide {
            id: row.get(0)?,
            secret: InviteSecret::from_bytes(row.get(1)?),
            relay: RelayId::from_bytes(row.get(2)?),
            expires_at: row.get::<_, i64>(3)?.unsigned_abs(),
            state: row.get(4)?,
            request: row.get(5)?,
            device_key: row.get(6)?,
            seal_key: row.get(7)?,
            name: row.get(8)?,
            nonce: row.get(9)?,
            wrong: row.get(10)?,
            signer: row.get::<_, Option<[u8; 32]>>(11)?.map(Signer::new),
            home_name: row.get(12)?,
        })
    });
    Ok(found.optional()?)
}

fn set_state(step: &mut Step<'_, '_>, state: u8) -> Result<(), Stop> {
    step.tx.execute("UPDATE device_link SET state = ?", [state])?;
    if state >= DONE {
        // What it opened is over.
        step.tx.execute(
            "UPDATE device_link SET secret = zeroblob(20), link = '', nonce = NULL",
            [],
        )?;
    }
    step.event(Event::StatusChanged {});
    Ok(())
}

/// When that is; it is worth no step of its own.
pub(crate) const TIMES: Times = Times {
    soonest: "SELECT min(expires_at) FROM device_link WHERE state <= 1",
    latest: None,
    clock: Clock::Slot,
    after_ms: 1,
    far_ms: 0,
    then: Then::Wait,
};

/// Links that nobody took up in time are over.
pub(crate) fn expire(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let sql = "SELECT id FROM device_link WHERE state <= 1 AND expires_at < ?";
    let over: Option<[u8; 16]> = step
        .tx
        .prepare_cached(sql)?
        .query_row([step.time.0.cast_signed()], |row| row.get(0))
        .optional()?;
    if let Some(id) = over.filter(|_| defence::holds(Defence::LinkHour)) {
        listening::drop_about(step, &id)?;
        set_state(step, EXPIRED)?;
    }
    Ok(())
}

/// Somebody who knows the link asks, and no more is known than that (LNK-2).
pub(crate) fn requested(step: &mut Step<'_, '_>, about: &[u8], sealed: &Envelope) -> Result<(), Stop> {
    let Some(link) = load(step)?.filter(|link| link.id == about) else {
        return Ok(());
    };
    let content = inbox::whole(&link.secret.key(ROLE_REQUEST), sealed)?;
    let hash = meeting::hash(&content);
    match link.state {
        OPEN if link.expires_at >= step.time.0 || !defence::holds(Defence::LinkHour) => {}
        ASKED if link.request == Some(hash) => return challenge(step, &link, &hash),
        // A second device: one of the two is not the owner's (LNK-4).
        ASKED if defence::holds(Defence::LinkOnce) => {
            listening::drop_about(step, &link.id)?;
            return set_state(step, CLOSED);
        }
        _over => return Ok(()),
    }
    let request = LinkRequest::decode(&content).map_err(|_| Stop::Refused("link request"))?;
    let name = checked_name(&request.name)?;
    VerifyingKey::from_bytes(&request.device_ed25519).map_err(|_| Stop::Refused("device key"))?;
    let nonce: [u8; 16] = step.mls.crypto.bytes();
    step.tx.execute(
        "UPDATE device_link SET request = ?, device_key = ?, seal_key = ?, name = ?, nonce = ?",
        params![hash, request.device_ed25519, request.seal_key, name, nonce],
    )?;
    set_state(step, ASKED)?;
    let link = load(step)?.ok_or(Stop::Refused("link"))?;
    challenge(step, &link, &hash)
}

/// Says who this is, and the dice that the number rests on (LNK-3).
fn challenge(step: &mut Step<'_, '_>, link: &HomeSide, request: &[u8; 32]) -> Result<(), Stop> {
    let me = meeting::me(step)?;
    let nonce = link.nonce.ok_or(Stop::Refused("link"))?;
    let signed = Challenge::signed_bytes(request, &nonce);
    let challenge = Challenge {
        ed25519: me.ed25519_public(),
        mldsa_hash: *me.mldsa_hash(),
        nonce,
        signature: me.sign(&signed).ok_or(Stop::Fault(Fault::NotHome))?,
    };
    outbox::done(step, Waiting::Answer, request)?;
    let role = answer_role(CHALLENGE, request);
    put(
        step,
        (Waiting::Answer, request),
        &link.secret,
        &role,
        &challenge.encode(),
        link.relay,
    )
}

fn put(
    step: &mut Step<'_, '_>,
    (waiting, about): (Waiting, &[u8]),
    secret: &InviteSecret,
    role: &[u8],
    content: &[u8],
    relay: RelayId,
) -> Result<(), Stop> {
    let token = secret.token(role);
    let crypto = &step.mls.crypto;
    let sealed = envelope::seal_all(&secret.key(role), token.tag(), &mut || crypto.bytes(), content)
        .map_err(|_| Stop::Refused("own letter"))?;
    outbox::put_meeting(step, waiting, about, sealed, &token, relay)
}

/// The person has typed what the new device shows (LNK-4).
pub(crate) fn confirm(step: &mut Step<'_, '_>, number: &str) -> Result<Reply, Stop> {
    let link = load(step)?
        .filter(|link| link.state == ASKED && link.expires_at >= step.time.0)
        .ok_or(Stop::Fault(Fault::NotFound))?;
    let (Some(request), Some(nonce)) = (link.request, link.nonce) else {
        return Err(Stop::Fault(Fault::NotFound));
    };
    let typed: String = number.chars().filter(char::is_ascii_digit).collect();
    if typed == code(&link.secret, &request, &nonce) || !defence::holds(Defence::LinkNumber) {
        grant(step, &link, &request)?;
        return Ok(Reply::Done {});
    }
    if link.wrong + 1 >= WRONG_MAX {
        listening::drop_about(step, &link.id)?;
        set_state(step, CLOSED)?;
    }
    step.tx.execute("UPDATE device_link SET wrong = wrong + 1", [])?;
    Ok(Reply::Linking(shown(step.tx)?.ok_or(Stop::Fault(Fault::NotFound))?))
}

/// Signs the new device into the log, and sends what makes it one (LNK-5).
fn grant(step: &mut Step<'_, '_>, link: &HomeSide, request: &[u8; 32]) -> Result<(), Stop> {
    let (Some(key), Some(seal_key)) = (link.device_key, link.seal_key.as_deref()) else {
        return Err(Stop::Refused("link"));
    };
    let mut me = meeting::me(step)?;
    if !me.log_device(step.tx, DeviceChange::Added, &key, step.time)? {
        return Err(Stop::Fault(Fault::TooMany));
    }
    let signer = Signer::new(step.mls.crypto.bytes());
    let package = mls::fresh_key_package(&step.mls, &signer, leaf::identity(&me, &signer.public())?)?;
    let mut grant = Grant {
        name: me.name().to_owned(),
        device_log: me.device_log().clone(),
        relays: relays(step)?,
        package,
        home_name: link.home_name.clone(),
        signature: [0; 64],
    };
    let signed = grant.signed_bytes(request);
    grant.signature = me.sign(&signed).ok_or(Stop::Fault(Fault::NotHome))?;
    let psk = grant_psk(&link.secret)?;
    let (kem_output, ciphertext) = step
        .mls
        .crypto
        .seal_psk(seal_key, GRANT_INFO, &grant.encode(), psk.as_slice(), request)
        .map_err(|_| Stop::Refused("seal key"))?;
    let sealed = GrantSealed { kem_output, ciphertext };
    listening::drop_about(step, &link.id)?;
    let hello = link.secret.token(&answer_role(HELLO, request)).tag();
    listening::add(step, link.relay, hello, Purpose::LinkHello, &link.id)?;
    own::call(step, me.device(), &link.home_name)?;
    own::call(step, account::device_id(&key), &link.name)?;
    step.tx
        .execute("UPDATE device_link SET signer = ?, seal_key = NULL", [signer.seed()])?;
    set_state(step, GRANTED)?;
    let role = answer_role(GRANT, request);
    put(
        step,
        (Waiting::Claim, &link.id),
        &link.secret,
        &role,
        &sealed.encode(),
        link.relay,
    )
}

fn grant_psk(secret: &InviteSecret) -> Result<Zeroizing<[u8; 32]>, Stop> {
    let mut psk = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(None, secret.as_bytes())
        .expand(GRANT_INFO, psk.as_mut_slice())
        .map_err(|_| Stop::Refused("psk"))?;
    Ok(psk)
}

fn relays(step: &Step<'_, '_>) -> Result<Vec<(bool, CardRelay)>, Stop> {
    let mut named = Vec::new();
    for relay in meeting::own_relays(step)?.into_iter().take(RELAYS_MAX) {
        let own: bool = step
            .tx
            .query_row("SELECT own FROM relay WHERE relay = ?", [relay.as_bytes()], |row| {
                row.get(0)
            })?;
        let mut relay = meeting::name_relay(step, relay)?;
        relay.keys = None;
        named.push((own, relay));
    }
    Ok(named)
}

/// The new device has founded the conversation of the two (LNK-6).
pub(crate) fn said_hello(step: &mut Step<'_, '_>, about: &[u8], sealed: &Envelope) -> Result<(), Stop> {
    let Some(link) = load(step)?.filter(|link| link.id == about && link.state == GRANTED) else {
        return Ok(());
    };
    let (Some(request), Some(key), Some(signer)) = (link.request, link.device_key, link.signer.as_ref()) else {
        return Err(Stop::Refused("link"));
    };
    let role = answer_role(HELLO, &request);
    let Some(welcome) = inbox::gathered(step, &link.secret.key(&role), sealed)? else {
        return Ok(());
    };
    if welcome.len() > HELLO_BYTES_MAX {
        return Err(Stop::Refused("hello"));
    }
    let device = account::device_id(&key);
    let entered = mls::join(&step.mls, &welcome, Known::Never)?;
    own::check_pair(step, &entered, signer, device)?;
    own::meet(step, device, &entered, signer, &[link.relay])?;
    listening::drop_about(step, &link.id)?;
    outbox::done(step, Waiting::Claim, &link.id)?;
    step.tx.execute("UPDATE device_link SET signer = NULL", [])?;
    set_state(step, DONE)
}

// --- The new device ---

/// Asks to become a device of the account that made this link (LNK-2).
pub(crate) fn accept(step: &mut Step<'_, '_>, wish: &api::DeviceAccept) -> Result<Reply, Stop> {
    if step.me().is_ok() {
        return Err(Stop::Fault(Fault::AccountExists));
    }
    let (link, name) = understood(wish)?;
    if step.knows_time()? && link.expires_at_s < step.time.seconds() {
        return Err(Stop::Fault(Fault::BrokenDeviceLink));
    }
    // Another link takes the place of one that led nowhere.
    let before: Option<[u8; 16]> = step
        .tx
        .query_row("DELETE FROM linking RETURNING id", [], |row| row.get(0))
        .optional()?;
    if let Some(id) = before {
        listening::drop_about(step, &id)?;
        outbox::done(step, Waiting::Claim, &id)?;
    }
    let device_key = Zeroizing::new(step.mls.crypto.bytes::<32>());
    let seed = Zeroizing::new(step.mls.crypto.bytes::<32>());
    let (seal_private, seal_key) = mls::seal_key_pair(&seed).map_err(|_| Stop::Refused("seal key"))?;
    let public = ed25519_dalek::SigningKey::from_bytes(&device_key).verifying_key();
    let request = LinkRequest {
        device_ed25519: public.to_bytes(),
        seal_key,
        name: name.clone(),
    }
    .encode();
    let (id, hash): ([u8; 16], _) = (step.mls.crypto.bytes(), meeting::hash(&request));
    step.tx.execute(
        "INSERT INTO linking(one, id, link, name, device_key, seal_private, request, state)
         VALUES (1, ?, ?, ?, ?, ?, ?, 0)",
        params![id, link.to_text(), name, *device_key, seal_private, hash],
    )?;
    let relay = link.route.relay;
    profile::use_relay(step, link.route.clone())?;
    for (what, purpose) in [(CHALLENGE, Purpose::LinkAnswer), (GRANT, Purpose::LinkGrant)] {
        let tag = link.secret.token(&answer_role(what, &hash)).tag();
        listening::add(step, relay, tag, purpose, &id)?;
    }
    put(step, (Waiting::Claim, &id), &link.secret, ROLE_REQUEST, &request, relay)?;
    step.event(Event::StatusChanged {});
    Ok(Reply::Done {})
}

impl api::DeviceAccept {
    /// Whether this is enough to begin with: to be asked before a home is made for it.
    ///
    /// Errors: the link's or the name's fault, as the command itself would answer.
    pub fn check(&self) -> Result<(), Fault> {
        understood(self).map(drop)
    }
}

fn understood(wish: &api::DeviceAccept) -> Result<(DeviceLink, String), Fault> {
    let name = checked_name(&wish.name).map_err(|_| Fault::BadName)?;
    let link = DeviceLink::parse(&wish.link).map_err(|_| Fault::BrokenDeviceLink)?;
    Ok((link, name.to_owned()))
}

struct NewSide {
    id: [u8; 16],
    link: DeviceLink,
    device_key: Zeroizing<[u8; 32]>,
    seal_private: Zeroizing<Vec<u8>>,
    request: [u8; 32],
    keys: Option<([u8; 32], [u8; 32])>,
    name: String,
}

fn asking(step: &Step<'_, '_>, state: u8) -> Result<Option<NewSide>, Stop> {
    let sql =
        "SELECT id, link, device_key, seal_private, request, ed25519, mldsa_hash, name FROM linking WHERE state = ?";
    let found = step.tx.query_row(sql, [state], |row| {
        Ok((
            row.get(0)?,
            row.get::<_, String>(1)?,
            Zeroizing::new(row.get(2)?),
            Zeroizing::new(row.get(3)?),
            row.get(4)?,
            row.get::<_, Option<[u8; 32]>>(5)?.zip(row.get(6)?),
            row.get(7)?,
        ))
    });
    let Some((id, link, device_key, seal_private, request, keys, name)) = found.optional()? else {
        return Ok(None);
    };
    Ok(Some(NewSide {
        id,
        link: DeviceLink::parse(&link).map_err(|_| Stop::Refused("own link"))?,
        device_key,
        seal_private,
        request,
        keys,
        name,
    }))
}

/// The home device has said who it is: the number is shown (LNK-3).
pub(crate) fn challenged(step: &mut Step<'_, '_>, sealed: &Envelope) -> Result<(), Stop> {
    let Some(side) = asking(step, ASKING)? else {
        return Ok(());
    };
    let secret = &side.link.secret;
    let content = inbox::whole(&secret.key(&answer_role(CHALLENGE, &side.request)), sealed)?;
    let said = Challenge::decode(&content).map_err(|_| Stop::Refused("challenge"))?;
    let account = account::account_id(&said.ed25519, &said.mldsa_hash);
    if link_pin(secret, account) != side.link.pin && defence::holds(Defence::LinkPin) {
        return Err(Stop::Refused("another account"));
    }
    let signed = Challenge::signed_bytes(&side.request, &said.nonce);
    check_signature(&said.ed25519, &signed, &said.signature)?;
    step.tx.execute(
        "UPDATE linking SET ed25519 = ?, mldsa_hash = ?, number = ?, state = ?",
        params![
            said.ed25519,
            said.mldsa_hash,
            code(secret, &side.request, &said.nonce),
            SHOWING
        ],
    )?;
    outbox::done(step, Waiting::Claim, &side.id)?;
    step.event(Event::StatusChanged {});
    Ok(())
}

fn check_signature(key: &[u8; 32], bytes: &[u8], signature: &[u8; 64]) -> Result<(), Stop> {
    VerifyingKey::from_bytes(key)
        .and_then(|key| key.verify_strict(bytes, &Signature::from_bytes(signature)))
        .map_err(|_| Stop::Refused("signature"))
}

/// The home device has let this one in (LNK-6).
pub(crate) fn granted(step: &mut Step<'_, '_>, sealed: &Envelope) -> Result<(), Stop> {
    let Some(side) = asking(step, SHOWING)? else {
        return Ok(());
    };
    let Some(keys) = side.keys else {
        return Err(Stop::Refused("no account yet"));
    };
    let secret = &side.link.secret;
    let key = secret.key(&answer_role(GRANT, &side.request));
    let Some(content) = inbox::gathered(step, &key, sealed)? else {
        return Ok(());
    };
    let sealed = GrantSealed::decode(&content).map_err(|_| Stop::Refused("grant"))?;
    let psk = grant_psk(secret)?;
    let plain = mls::open_psk(
        &side.seal_private,
        &sealed.kem_output,
        GRANT_INFO,
        &sealed.ciphertext,
        psk.as_slice(),
        &side.request,
    );
    let grant = Grant::decode(&plain.ok_or(Stop::Refused("grant"))?).map_err(|_| Stop::Refused("grant"))?;
    check_signature(&keys.0, &grant.signed_bytes(&side.request), &grant.signature)?;
    account::check_log(&grant.device_log, &keys.0).map_err(|_| Stop::Refused("log"))?;
    let last = grant.device_log.entries.last().ok_or(Stop::Refused("log"))?;
    let mine = ed25519_dalek::SigningKey::from_bytes(&side.device_key).verifying_key();
    if last.entry.change != DeviceChange::Added || last.entry.device_ed25519 != mine.to_bytes() {
        return Err(Stop::Refused("another device"));
    }
    settle_down(step, &side, keys, &grant)
}

fn settle_down(step: &mut Step<'_, '_>, side: &NewSide, keys: ([u8; 32], [u8; 32]), grant: &Grant) -> Result<(), Stop> {
    let log = grant.device_log.clone();
    let me = Account::linked(step.tx, keys, &grant.name, &side.device_key, log, step.time)?;
    for (own, named) in &grant.relays {
        let by = if *own { NamedBy::Person } else { NamedBy::Others };
        let relay = meeting::use_relay(step, named, by)?;
        if *own {
            step.tx
                .execute("UPDATE relay SET own = 1 WHERE relay = ?", [relay.as_bytes()])?;
        }
    }
    let theirs = mls::leaf_of(&step.mls, &grant.package)?;
    let home: DeviceId = leaf::device_of(&theirs)?;
    if leaf::account_of(&theirs)? != me.id() || home == me.device() || !devices::is_live(me.device_log(), home) {
        return Err(Stop::Refused("home device"));
    }
    let signer = Signer::new(step.mls.crypto.bytes());
    let identity = leaf::identity(&me, &signer.public())?;
    let (entered, welcome) = mls::found(&step.mls, &signer, identity, &grant.package)?;
    own::call(step, home, &grant.home_name)?;
    own::call(step, me.device(), &side.name)?;
    let relay = side.link.route.relay;
    listening::drop_about(step, &side.id)?;
    step.tx.execute(
        "UPDATE linking SET state = ?, number = NULL, device_key = NULL, seal_private = NULL, link = ''",
        [LINKED],
    )?;
    let role = answer_role(HELLO, &side.request);
    put(
        step,
        (Waiting::Claim, &side.id),
        &side.link.secret,
        &role,
        &welcome,
        relay,
    )?;
    own::meet(step, home, &entered, &signer, &[relay])?;
    step.event(Event::StatusChanged {});
    Ok(())
}

/// The home device was heard: it has the Welcome.
pub(crate) fn is_heard(step: &Step<'_, '_>) -> Result<(), Stop> {
    let id: Option<[u8; 16]> = step
        .tx
        .prepare_cached("SELECT id FROM linking WHERE state = ?")?
        .query_row([LINKED], |row| row.get(0))
        .optional()?;
    match id {
        Some(id) => outbox::done(step, Waiting::Claim, &id),
        None => Ok(()),
    }
}

/// How linking stands on this device, whichever side it is.
pub(crate) fn shown(db: &rusqlite::Connection) -> rusqlite::Result<Option<api::Linking>> {
    let home = db
        .prepare_cached("SELECT state, link, expires_at, name, wrong FROM device_link")?
        .query_row([], |row| {
            let state = match row.get(0)? {
                OPEN => api::LinkState::Open,
                ASKED => api::LinkState::Asked,
                GRANTED => api::LinkState::Granted,
                DONE => api::LinkState::Done,
                EXPIRED => api::LinkState::Expired,
                _closed => api::LinkState::Closed,
            };
            let open = matches!(state, api::LinkState::Open | api::LinkState::Asked);
            Ok(api::Linking {
                state,
                link: if open { row.get(1)? } else { None },
                expires_at: Some(row.get::<_, i64>(2)?.unsigned_abs()),
                name: Some(row.get(3)?).filter(|name: &String| !name.is_empty()),
                wrong: row.get(4)?,
                number: None,
            })
        });
    if let Some(home) = home.optional()? {
        return Ok(Some(home));
    }
    db.prepare_cached("SELECT state, number, name FROM linking")?
        .query_row([], |row| {
            Ok(api::Linking {
                state: match row.get(0)? {
                    ASKING => api::LinkState::Asking,
                    SHOWING => api::LinkState::Showing,
                    _linked => api::LinkState::Linked,
                },
                link: None,
                expires_at: None,
                name: row.get(2)?,
                wrong: 0,
                number: row.get(1)?,
            })
        })
        .optional()
}
