//! Meeting somebody: invitations, their doors and claims, and what is answered.
//!
//! In: wishes of the person, cards from doors, claims and answers from mailboxes. Out: contacts, 1:1 conversations,
//! answers. `invite` is the side that invites, `accept` the side that comes; this file holds what both need: the own
//! card, checking a foreign one, and the claim's cryptography. Specified in `docs/protocol/04-meeting.md`.
//! Invariant: a claim that is not taken in whole leaves nothing but its answer.

pub(crate) mod accept;
pub(crate) mod block;
mod dealt;
pub(crate) mod introduce;
pub(crate) mod introduced;
pub(crate) mod invite;
pub(crate) mod public;
mod vouch;

pub(crate) use accept::{answered, door_spent, knocked, turned_away};
pub(crate) use invite::{check_members as check_two, claimed};

use crate::account::{self, Account};
use crate::api::{Fault, Reach};
use crate::devices;
use crate::leaf;
use crate::mls::{self, Leaf};
use crate::near;
use crate::step::{Step, Stop};
use ed25519_dalek::{Signature, VerifyingKey};
use hkdf::Hkdf;
use rusqlite::{OptionalExtension, params};
use sha2::{Digest, Sha256};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use stonechat_wire::address::{self, NEAR};
use stonechat_wire::card::{CardRelay, ContactCard, LeafIdentity};
use stonechat_wire::exchange::{Errand, NamedBy};
use stonechat_wire::ids::{AccountId, DoorPath, RelayId};
use stonechat_wire::invite::InviteSecret;
use stonechat_wire::route::{RelayKeys, RelayRoute};
use stonechat_wire::spoken::normalise_words;
use zeroize::Zeroizing;

/// Relays a claim's card names at most: a conversation has one to four (MEET-13).
pub(crate) const RELAYS_NAMED: usize = 3;
const CLAIM_INFO: &[u8] = b"stonechat/claim/1";

/// A relay has set a door up.
pub(crate) fn door_open(step: &mut Step<'_, '_>, relay: RelayId, path: DoorPath) -> Result<(), Stop> {
    invite::door_open(step, relay, path)?;
    public::door_open(step, path)
}

/// The account that meets people: keys and name.
pub(crate) fn me(step: &Step<'_, '_>) -> Result<Account, Stop> {
    account::load(step.tx)?.ok_or(Stop::Fault(Fault::NoAccount))
}

/// A leaf belongs to the account of this card, by a device of its log (MLS-7).
pub(crate) fn check_leaf(card: &ContactCard, leaf: &Leaf) -> Result<(), Stop> {
    const REFUSED: Stop = Stop::Refused("leaf");
    let identity = LeafIdentity::decode(&leaf.identity).map_err(|_| REFUSED)?;
    // DEV-3: by a device that is live.
    let logged = devices::live(&card.device_log).contains(&&identity.device);
    if leaf::account_of(leaf)? == card.account_id() && logged {
        Ok(())
    } else {
        Err(REFUSED)
    }
}

/// A card is signed by its account, and so is every entry of its device log (CARD-3).
pub(crate) fn check_card(card: &ContactCard) -> Result<(), Stop> {
    const REFUSED: Stop = Stop::Refused("card");
    let key = VerifyingKey::from_bytes(&card.account_ed25519).map_err(|_| REFUSED)?;
    let signature = Signature::from_bytes(&card.signature);
    key.verify_strict(&card.signed_bytes(), &signature)
        .map_err(|_| REFUSED)?;
    account::check_log(&card.device_log, &card.account_ed25519).map_err(|_| REFUSED)
}

/// A card of mine, without what only an invitation adds.
pub(crate) fn my_card(step: &Step<'_, '_>, me: &Account, relays: Vec<CardRelay>) -> ContactCard {
    ContactCard {
        version: 1,
        account_ed25519: me.ed25519_public(),
        mldsa_hash: *me.mldsa_hash(),
        name: me.name().to_owned(),
        device_log: me.device_log().clone(),
        seal_key: None,
        key_packages: vec![],
        relays,
        who: 0,
        how: 0,
        group: None,
        expires_at_s: 0,
        created_at_s: step.time.seconds(),
        signature: [0; 64],
    }
}

/// Errors: [`Fault::NotHome`].
pub(crate) fn sign(me: &Account, mut card: ContactCard) -> Result<ContactCard, Stop> {
    card.signature = me.sign(&card.signed_bytes()).ok_or(Stop::Fault(Fault::NotHome))?;
    Ok(card)
}

/// HPKE's pre-shared key of a claim: nobody opens it without the link's secret and the spoken words (MEET-6).
fn claim_psk(secret: &InviteSecret, words: Option<&str>) -> Result<Zeroizing<[u8; 32]>, Stop> {
    let words = Zeroizing::new(words.map(normalise_words).unwrap_or_default());
    let mut secret = Zeroizing::new(secret.as_bytes().to_vec());
    secret.extend_from_slice(words.as_bytes());
    let mut psk = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(None, &secret)
        .expand(b"stonechat/invite", psk.as_mut_slice())
        .map_err(|_| Stop::Refused("psk"))?;
    Ok(psk)
}

pub(crate) fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Makes sure that a person and the chat with them exist. Out: the chat.
fn contact_chat(step: &mut Step<'_, '_>, card: &ContactCard, hidden: bool, waiting: bool) -> Result<i64, Stop> {
    let account = card.account_id();
    let now = step.time.0.cast_signed();
    step.tx.execute(
        "INSERT INTO contact(account, own_name, ed25519, mldsa_hash, device_log, added_at) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT(account) DO UPDATE SET own_name = excluded.own_name",
        params![
            account.as_bytes(),
            card.name,
            card.account_ed25519,
            card.mldsa_hash,
            card.device_log.encode(),
            now
        ],
    )?;
    chat_with(step, account, hidden, waiting)
}

/// The chat with a contact; where there is none yet, a new one.
pub(crate) fn chat_with(step: &Step<'_, '_>, account: AccountId, hidden: bool, waiting: bool) -> Result<i64, Stop> {
    let there = step
        .tx
        .query_row("SELECT id FROM chat WHERE contact = ?", [account.as_bytes()], |row| {
            row.get(0)
        })
        .optional()?;
    if let Some(chat) = there {
        return Ok(chat);
    }
    step.tx.execute(
        "INSERT INTO chat(contact, hidden, waiting, read_to, active_at) VALUES (?, ?, ?, ?, ?)",
        params![
            account.as_bytes(),
            hidden,
            waiting,
            i64::MIN / 4096,
            step.time.0.cast_signed()
        ],
    )?;
    Ok(step.tx.last_insert_rowid())
}

/// Uses a relay that a card names; one known already keeps what is known. Out: its id.
pub(crate) fn use_relay(step: &mut Step<'_, '_>, named: &CardRelay, by: NamedBy) -> Result<RelayId, Stop> {
    let relay = named.relay;
    if named.address == NEAR {
        return near::learn(step, named, None)?.ok_or(Stop::Refused("too many near relays"));
    }
    // What a contact called its near relay is one like any other where an invitation of somebody else's stands.
    let added = step.tx.execute(
        "INSERT INTO relay(relay, address, secret, key, own, lan, added_at) VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6)
         ON CONFLICT(relay) DO UPDATE SET address = ?2, secret = ?3, key = ?4, lan = ?5, near = 0 WHERE near = 1 AND ?7",
        params![
            relay.as_bytes(),
            named.address,
            named.secret,
            named.keys.as_ref().map(RelayKeys::as_bytes),
            named.lan,
            step.time.0.cast_signed(),
            by == NamedBy::Person
        ],
    )?;
    let is_chosen = by == NamedBy::Person
        && step.tx.execute(
            "UPDATE relay SET chosen = 1 WHERE relay = ? AND chosen = 0 AND address = ? AND secret IS ?",
            params![relay.as_bytes(), named.address, named.secret],
        )? == 1;
    if added == 1 || is_chosen {
        let route = RelayRoute {
            address: named.address.clone(),
            relay,
            secret: named.secret,
            lan: named.lan,
        };
        step.errand(Errand::UseRelay(route, named.keys.clone(), by));
    }
    Ok(relay)
}

/// Uses all of these; a near one for which there is no room is left out (LAN-9).
pub(crate) fn use_all<'a>(
    step: &mut Step<'_, '_>,
    named: impl Iterator<Item = &'a CardRelay>,
) -> Result<Vec<RelayId>, Stop> {
    let mut used = Vec::new();
    for named in named {
        match named.address == NEAR {
            true => used.extend(near::learn(step, named, None)?),
            false => used.push(use_relay(step, named, NamedBy::Others)?),
        }
    }
    Ok(used)
}

/// How a relay of ours is named in a card.
pub(crate) fn name_relay(step: &Step<'_, '_>, relay: RelayId) -> Result<CardRelay, Stop> {
    Ok(step.tx.query_row(
        "SELECT iif(near > 0, 'near:', address), secret, key, lan FROM relay WHERE relay = ?",
        [relay.as_bytes()],
        |row| {
            Ok(CardRelay {
                address: row.get(0)?,
                relay,
                secret: row.get(1)?,
                keys: row
                    .get::<_, Option<Vec<u8>>>(2)?
                    .and_then(|keys| RelayKeys::from_slice(&keys)),
                lan: row.get(3)?,
            })
        },
    )?)
}

/// The relays that may be named to anybody: those given by the person, oldest first, then those that cards have lent.
pub(crate) fn own_relays(step: &Step<'_, '_>) -> Result<Vec<RelayId>, Stop> {
    let mut rows = step.tx.prepare(
        "SELECT relay FROM relay WHERE near = 0 AND private = 0 AND brought = 0 AND removed = 0
             ORDER BY own DESC, added_at, relay",
    )?;
    let found = rows.query_map([], |row| row.get::<_, [u8; 16]>(0))?;
    Ok(found
        .map(|relay| relay.map(RelayId::from_bytes))
        .collect::<Result<_, _>>()?)
}

/// How far a relay can be reached from: what an invitation says about itself (MEET-15).
fn reach(relay: &CardRelay) -> Reach {
    match address_reach(&relay.address) {
        Reach::Internet if relay.lan => Reach::LocalNetwork,
        by_address => by_address,
    }
}

/// What the kind of an address tells.
fn address_reach(address: &str) -> Reach {
    let (_, address) = address::split(address);
    let host = address.rsplit_once(':').map_or(address, |(host, _port)| host);
    let ip = address
        .parse::<SocketAddr>()
        .map(|socket| socket.ip())
        .or_else(|_| host.parse::<IpAddr>());
    match ip {
        Ok(ip) if ip.is_loopback() => Reach::ThisComputer,
        Ok(IpAddr::V4(ip)) if ip.is_private() || ip.is_link_local() || is_inside(ip) => Reach::LocalNetwork,
        Ok(IpAddr::V6(ip)) if ip.is_unique_local() || ip.is_unicast_link_local() => Reach::LocalNetwork,
        Ok(_) => Reach::Internet,
        Err(_) if host == "localhost" || host.ends_with(".localhost") => Reach::ThisComputer,
        Err(_) if host.ends_with(".local") || !host.contains('.') => Reach::LocalNetwork,
        Err(_) => Reach::Internet,
    }
}

/// Behind a carrier's translation (RFC 6598): nobody outside reaches it.
fn is_inside(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    a == 100 && b & 0xc0 == 0x40
}

/// Seals a claim's content to the card's seal key (MEET-6). Out: kem output, ciphertext.
fn seal_claim(
    step: &Step<'_, '_>,
    seal_key: &[u8],
    secret: &InviteSecret,
    words: Option<&str>,
    card_hash: &[u8; 32],
    plain: &[u8],
) -> Result<(Vec<u8>, Vec<u8>), Stop> {
    let psk = claim_psk(secret, words)?;
    step.mls
        .crypto
        .seal_psk(seal_key, CLAIM_INFO, plain, psk.as_slice(), card_hash)
        .map_err(|_| Stop::Refused("seal key"))
}

/// Opens it again; nothing tells wrong words from a wrong key or a broken claim.
fn open_claim(
    private: &[u8],
    secret: &InviteSecret,
    words: Option<&str>,
    card_hash: &[u8; 32],
    (kem_output, ciphertext): (&[u8], &[u8]),
) -> Option<Vec<u8>> {
    let psk = claim_psk(secret, words).ok()?;
    mls::open_psk(private, kem_output, CLAIM_INFO, ciphertext, psk.as_slice(), card_hash)
}
