//! The side that invites: doors, claims, approval, answers.
//!
//! In: wishes of the person, claims. Out: a card behind a door, conversations, signed answers.
//! An invitation is *open* until it is used up, revoked, expired or attacked; closing it deletes its seal key and the
//! private half of its key package, so that no claim opens any more (MEET-9). First approved wins; later claims are
//! answered "used" and keep the alarm (MEET-10). Ten claims that do not open close it (MEET-11).

use super::{block, check_card, check_leaf, contact_chat, hash, my_card, name_relay, own_relays, reach};
use crate::api::{self, ChatId, Event, Fault, How, InviteState, Reply, Who};
use crate::conversation;
use crate::defence::{self, Defence};
use crate::due::{Clock, Then, Times};
use crate::group::{self, links};
use crate::inbox;
use crate::leaf;
use crate::listening::{self, Purpose};
use crate::mls::{self, Gid, Known, Signer};
use crate::near;
use crate::outbox::{self, Waiting};
use crate::own;
use crate::query;
use crate::relays;
use crate::restore;
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use stonechat_wire::card::{
    Answer, CardRelay, Claim, ClaimSealed, ContactCard, HOW_IN_PERSON, HOW_SPOKEN, Verdict, WHO_FAMILY, WHO_GROUP,
    WHO_ONE,
};
use stonechat_wire::envelope::{self, Envelope};
use stonechat_wire::exchange::{Door, Errand};
use stonechat_wire::ids::{AccountId, DoorKey, DoorPath, RelayId, Timestamp};
use stonechat_wire::invite::{InviteLink, InviteSecret, ROLE_CARD, ROLE_CLAIM, account_pin, answer_role};
use zeroize::Zeroizing;

/// So long the door of a used invite still answers: whoever comes late is told (MEET-9).
const USED_DOOR_MS: u64 = 48 * 3600 * 1000;
/// People one family invitation lets in (MEET-8).
const FAMILY_MAX: u32 = 10;
/// Claims that may fail to open before it closes (MEET-11).
const UNOPENED_MAX: u32 = 10;
/// Claims kept for one invitation; later ones are answered "used" and not kept.
const CLAIMS_MAX: u32 = 64;
/// Open invitations at most.
const OPEN_MAX: u32 = 64;
const DAY_MS: u64 = 24 * 3600 * 1000;
/// What the door answers, bytes (INV: padded to 16 kB).
const CARD_BUCKET: usize = 16 * 1024;

struct Invite {
    id: Vec<u8>,
    secret: InviteSecret,
    who: Who,
    how: How,
    words: Option<String>,
    relay: RelayId,
    seal_private: Option<Zeroizing<Vec<u8>>>,
    signer: Option<Signer>,
    card_hash: [u8; 32],
    state: u8,
    approved: u32,
    unopened: u32,
    expires_at: u64,
    into: Option<(Gid, links::Terms)>,
    /// The only account that it lets in (INT-5).
    bound: Option<AccountId>,
    /// What replaces its door and takes it down.
    door_key: DoorKey,
}

impl Invite {
    fn is_open(&self) -> bool {
        self.state <= InviteState::Open as u8
    }

    /// People it lets in at most, where they are many.
    fn most(&self) -> Option<u32> {
        match (self.who, &self.into) {
            (Who::One, _) => None,
            (Who::Family, _) | (Who::Group, None) => Some(FAMILY_MAX),
            (Who::Group, Some((_, terms))) => Some(terms.most),
        }
    }

    /// It is used up when one more was let in.
    fn is_last(&self) -> bool {
        self.most().is_none_or(|most| self.approved.saturating_add(1) >= most)
    }
}

/// What an invitation is to be.
pub(crate) struct New {
    pub(crate) who: Who,
    pub(crate) how: How,
    pub(crate) life_ms: u64,
    /// The group it leads into.
    pub(crate) into: Option<IntoGroup>,
    /// The only account that it lets in (INT-5); it stands in no list.
    pub(crate) bound: Option<AccountId>,
}

/// The group that an invitation leads into (GLK-1).
pub(crate) struct IntoGroup {
    pub(crate) group: Gid,
    pub(crate) name: String,
    pub(crate) most: u32,
    pub(crate) approval: bool,
}

/// Makes an invitation to meet me.
pub(crate) fn create(step: &mut Step<'_, '_>, wish: &api::InviteCreate) -> Result<Reply, Stop> {
    let life_ms = match wish.who {
        Who::Family => 2 * DAY_MS,
        Who::One => 14 * DAY_MS,
        Who::Group => return Err(Stop::Fault(Fault::BadParams)),
    };
    let new = New {
        who: wish.who,
        how: wish.how,
        life_ms,
        into: None,
        bound: None,
    };
    make(step, &new)
}

/// Makes an invitation: keys, card, door, and an ear for claims.
pub(crate) fn make(step: &mut Step<'_, '_>, new: &New) -> Result<Reply, Stop> {
    let (id, _link) = begin(step, new)?;
    Ok(Reply::Invite(shown(step, &id)?))
}

/// The same. Out: its id and link.
pub(crate) fn begin(step: &mut Step<'_, '_>, new: &New) -> Result<([u8; 16], String), Stop> {
    let me = super::me(step)?;
    if !me.is_home() {
        return Err(Stop::Fault(Fault::NotHome));
    }
    restore::is_over(step)?;
    let (relay, place) = door_place(step)?;
    let open: u32 = step
        .tx
        .query_row("SELECT count(*) FROM invite WHERE state <= 1", [], |row| row.get(0))?;
    if open >= OPEN_MAX {
        return Err(Stop::Fault(Fault::TooMany));
    }
    let id: [u8; 16] = step.mls.crypto.bytes();
    let secret = InviteSecret::from_bytes(step.mls.crypto.bytes());
    let words = (new.how == How::Spoken).then(|| crate::account::spoken_words(step.mls.crypto.bytes()));
    let signer = Signer::new(step.mls.crypto.bytes());
    let package = mls::key_package(&step.mls, &signer, leaf::identity(&me, &signer.public())?)?;
    let seed = Zeroizing::new(step.mls.crypto.bytes::<32>());
    let (seal_private, seal_public) = mls::seal_key_pair(&seed).map_err(|_| Stop::Refused("seal key"))?;
    let expires_at = step.time.plus_ms(new.life_ms);
    let named = name_relay(step, relay)?;
    let (address, reach) = match place {
        Some(place) => (
            place.clone(),
            reach(&CardRelay {
                address: place,
                ..named.clone()
            }),
        ),
        None => (named.address.clone(), reach(&named)),
    };
    let mut card = my_card(step, &me, vec![named]);
    card.seal_key = Some(seal_public);
    card.key_packages = vec![package.clone()];
    say_whom(&mut card, new);
    card.expires_at_s = expires_at.seconds();
    let card = super::sign(&me, card)?.encode();
    let link = InviteLink {
        hints: vec![address.clone()],
        pin: account_pin(&secret, me.id()),
        expiry_day: u16::try_from(expires_at.0.div_ceil(DAY_MS)).unwrap_or(u16::MAX),
        secret: secret.clone(),
    };
    let tag = secret.token(ROLE_CARD).tag();
    let sealed = envelope::seal_into(&secret.key(ROLE_CARD), tag, step.mls.crypto.bytes(), &card, CARD_BUCKET)
        .map_err(|_| Stop::Refused("own card"))?;
    let into = new.into.as_ref();
    step.tx.execute(
        "INSERT INTO invite(id, secret, who, how, words, relay, link, code, reach, seal_private, key_package, signer,
                            card, card_hash, state, created_at, expires_at, group_id, most, approval, bound, door_key)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?)",
        params![
            id,
            secret.as_bytes(),
            new.who as u8,
            new.how as u8,
            words,
            relay.as_bytes(),
            link.to_url(),
            link.to_code(),
            reach as u8,
            seal_private,
            package,
            signer.seed(),
            sealed.bytes(),
            hash(&card),
            step.time.0.cast_signed(),
            expires_at.0.cast_signed(),
            into.map(|into| into.group),
            into.map(|into| into.most),
            into.map(|into| into.approval),
            new.bound.map(|account| *account.as_bytes()),
            step.mls.crypto.bytes::<16>()
        ],
    )?;
    listening::add(step, relay, secret.token(ROLE_CLAIM).tag(), Purpose::Claims, &id)?;
    open_door(step, &id)?;
    Ok((id, link.to_url()))
}

/// The relay where the door stands: the first; where there is none, this device's near one, at its place of the moment.
fn door_place(step: &Step<'_, '_>) -> Result<(RelayId, Option<String>), Stop> {
    if let Some(relay) = own_relays(step)?.first() {
        return Ok((*relay, None));
    }
    match near::mine(step)? {
        Some((relay, Some(place))) => Ok((relay, Some(place))),
        _none_or_not_running => Err(Stop::Fault(Fault::NoRelay)),
    }
}

/// Whom the card lets in, and how.
fn say_whom(card: &mut ContactCard, new: &New) {
    card.who = match new.who {
        Who::Family => WHO_FAMILY,
        Who::One => WHO_ONE,
        Who::Group => WHO_GROUP,
    };
    card.how = if new.how == How::Spoken {
        HOW_SPOKEN
    } else {
        HOW_IN_PERSON
    };
    card.group = new.into.as_ref().map(|into| into.name.clone());
}

/// Asks for the doors of all open invitations: after a start.
pub(crate) fn open_doors(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let ids: Vec<Vec<u8>> = step
        .tx
        .prepare("SELECT id FROM invite WHERE state <= 1 ORDER BY created_at, id")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    ids.iter().try_for_each(|id| open_door(step, id))
}

/// The same for those that stand on one relay.
pub(crate) fn open_doors_at(step: &mut Step<'_, '_>, relay: RelayId) -> Result<(), Stop> {
    let ids: Vec<Vec<u8>> = step
        .tx
        .prepare_cached("SELECT id FROM invite WHERE state <= 1 AND relay = ? ORDER BY created_at, id")?
        .query_map([relay.as_bytes()], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    ids.iter().try_for_each(|id| open_door(step, id))
}

fn open_door(step: &mut Step<'_, '_>, id: &[u8]) -> Result<(), Stop> {
    let invite = load(step, id)?;
    let card = step
        .tx
        .query_row("SELECT card FROM invite WHERE id = ?", [id], |row| row.get(0))?;
    step.errand(Errand::OpenDoor(Door {
        relay: invite.relay,
        path: invite.secret.path(),
        proof_hash: invite.secret.proof_hash(),
        key: invite.door_key,
        expires_s: Timestamp(invite.expires_at).seconds(),
        card,
    }));
    Ok(())
}

/// The relay has set the door up.
pub(crate) fn door_open(step: &mut Step<'_, '_>, relay: RelayId, path: DoorPath) -> Result<(), Stop> {
    let ids: Vec<(Vec<u8>, [u8; 20])> = step
        .tx
        .prepare("SELECT id, secret FROM invite WHERE state = 0 AND relay = ?")?
        .query_map([relay.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (id, secret) in ids {
        if InviteSecret::from_bytes(secret).path() == path {
            set_state(step, &id, InviteState::Open)?;
        }
    }
    Ok(())
}

/// Closes an invitation on its owner's wish.
pub(crate) fn revoke(step: &mut Step<'_, '_>, id: &str) -> Result<Reply, Stop> {
    let invite = load(step, &bytes_of(id)?)?;
    if invite.is_open() {
        close(step, &invite, InviteState::Revoked)?;
    }
    Ok(Reply::Done {})
}

// Asked in every step: they must not read the rows, whose cards are 16 kB each and may be hundreds.
const OVERDUE: &str = "SELECT id FROM invite WHERE state <= 1 AND expires_at < ?";
const LINKS: &str = "SELECT id FROM invite WHERE group_id = ? AND state <= 1";
const OLD_DOORS: &str = "SELECT id FROM invite WHERE state = ? AND used_at < ? AND length(card) > 0";
const NEXT_EXPIRY: &str = "SELECT min(expires_at) FROM invite WHERE state <= 1";
const NEXT_OLD_DOOR: &str = "SELECT min(used_at) FROM invite WHERE state = 2 AND length(card) > 0";
const _: () = assert!(InviteState::Used as u8 == 2, "as in the query");

/// Closes what is past its time, and takes the doors of used ones down 48 hours later (MEET-9).
pub(crate) fn expire(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let ids: Vec<Vec<u8>> = step
        .tx
        .prepare_cached(OVERDUE)?
        .query_map([step.time.0.cast_signed()], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in ids {
        let invite = load(step, &id)?;
        close(step, &invite, InviteState::Expired)?;
    }
    take_down_used(step)
}

fn take_down_used(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let old = step.time.0.cast_signed().saturating_sub_unsigned(USED_DOOR_MS);
    let ids: Vec<Vec<u8>> = step
        .tx
        .prepare_cached(OLD_DOORS)?
        .query_map(params![InviteState::Used as u8, old], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in ids {
        let invite = load(step, &id)?;
        step.errand(Errand::CloseDoor {
            relay: invite.relay,
            path: invite.secret.path(),
            key: invite.door_key,
        });
        step.tx.execute("UPDATE invite SET card = x'' WHERE id = ?", [id])?;
    }
    Ok(())
}

/// When the next one expires.
pub(crate) const OPEN_TIMES: Times = slot_times(NEXT_EXPIRY, 1);
/// When the next one loses its door.
pub(crate) const USED_TIMES: Times = slot_times(NEXT_OLD_DOOR, USED_DOOR_MS + 1);

const fn slot_times(soonest: &'static str, after_ms: u64) -> Times {
    Times {
        soonest,
        latest: None,
        clock: Clock::Slot,
        after_ms,
        far_ms: 0,
        then: Then::Wake,
    }
}

/// Deletes what opens claims. The ear stays, so that late claims get their answer and raise the alarm.
fn close(step: &mut Step<'_, '_>, invite: &Invite, state: InviteState) -> Result<(), Stop> {
    let package: Option<Vec<u8>> =
        step.tx
            .query_row("SELECT key_package FROM invite WHERE id = ?", [&invite.id], |row| {
                row.get(0)
            })?;
    if let Some(package) = package {
        mls::forget_key_package(&step.mls, &package)?;
    }
    step.tx.execute(
        "UPDATE invite SET seal_private = NULL, key_package = NULL, signer = NULL, used_at = ? WHERE id = ?",
        params![step.time.0.cast_signed(), invite.id],
    )?;
    if matches!(
        state,
        InviteState::Revoked | InviteState::Expired | InviteState::Attacked
    ) {
        step.errand(Errand::CloseDoor {
            relay: invite.relay,
            path: invite.secret.path(),
            key: invite.door_key.clone(),
        });
    }
    set_state(step, &invite.id, state)
}

fn set_state(step: &mut Step<'_, '_>, id: &[u8], state: InviteState) -> Result<(), Stop> {
    step.tx
        .execute("UPDATE invite SET state = ? WHERE id = ?", params![state as u8, id])?;
    tell(step, id)
}

fn tell(step: &mut Step<'_, '_>, id: &[u8]) -> Result<(), Stop> {
    // One that is for a single account by name stands in no list.
    if let Some(invite) = query::load_invite(step.tx, id)? {
        step.event(Event::InviteChanged { invite });
    }
    Ok(())
}

fn shown(step: &Step<'_, '_>, id: &[u8]) -> Result<api::Invite, Stop> {
    query::load_invite(step.tx, id)?.ok_or(Stop::Fault(Fault::NotFound))
}

/// A claim has arrived: whoever sent it knows the link's secret, and no more than that.
pub(crate) fn claimed(step: &mut Step<'_, '_>, about: &[u8], sealed: &Envelope) -> Result<(), Stop> {
    let invite = load(step, about)?;
    let content = inbox::whole(&invite.secret.key(ROLE_CLAIM), sealed)?;
    let claim = hash(&content);
    if let Some(verdict) = answered_before(step, &claim)? {
        return answer(step, &invite, claim, verdict, false);
    }
    let verdict = judge(step, &invite, claim, &content)?;
    tell(step, &invite.id)?;
    match verdict {
        // Approving answers by itself.
        None => Ok(()),
        Some(verdict) => {
            note(step, &invite, claim, verdict)?;
            answer(step, &invite, claim, verdict, false)
        }
    }
}

/// What to answer; none where the claim was approved at once.
fn judge(step: &mut Step<'_, '_>, invite: &Invite, claim: [u8; 32], content: &[u8]) -> Result<Option<Verdict>, Stop> {
    if !invite.is_open() {
        return Ok(Some(late(step, invite)?));
    }
    if invite.expires_at < step.time.0 {
        close(step, invite, InviteState::Expired)?;
        return Ok(Some(Verdict::Expired));
    }
    if !leads_somewhere(step, invite)? {
        return Ok(Some(Verdict::Used));
    }
    let places = waiting_or_in(step, invite)?;
    if invite.most().is_some_and(|most| places >= most) {
        return Ok(Some(Verdict::Used));
    }
    let Some(offer) = opened(invite, content) else {
        unopened(step, invite)?;
        return Ok(Some(Verdict::WordsWrong));
    };
    if invite.bound.is_some_and(|bound| bound != offer.card.account_id()) && defence::holds(Defence::BoundInvite) {
        unopened(step, invite)?;
        return Ok(Some(Verdict::Declined));
    }
    // BLK-1: nobody tells them, and no place is taken.
    if block::is_blocked(step, offer.card.account_id())? {
        return Ok(None);
    }
    if step.attempt(|step| let_in(step, invite, claim, &offer))?.is_err() {
        unopened(step, invite)?;
        return Ok(Some(Verdict::Declined));
    }
    if lets_in_at_once(step, invite, offer.card.account_id())? {
        approve_claim(step, &claim)?;
        return Ok(None);
    }
    Ok(Some(Verdict::Waiting))
}

fn lets_in_at_once(step: &Step<'_, '_>, invite: &Invite, account: AccountId) -> Result<bool, Stop> {
    match &invite.into {
        Some((group, terms)) => links::lets_in_at_once(step, group, *terms, account),
        None => Ok(invite.who == Who::One && invite.how != How::InPerson),
    }
}

/// The group that a link leads into has room, and I may add there; a link that leads nowhere any more is closed (GLK-5).
fn leads_somewhere(step: &mut Step<'_, '_>, invite: &Invite) -> Result<bool, Stop> {
    let Some((group, _)) = &invite.into else {
        return Ok(true);
    };
    match links::room(step, group)? {
        Some(room) => Ok(room > 0),
        None => close(step, invite, InviteState::Revoked).map(|()| false),
    }
}

/// Closes the open links into a group where I may not add any more (GLK-5).
pub(crate) fn close_links(step: &mut Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    let ids: Vec<Vec<u8>> = step
        .tx
        .prepare_cached(LINKS)?
        .query_map([group], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in ids {
        let invite = load(step, &id)?;
        close(step, &invite, InviteState::Revoked)?;
    }
    Ok(())
}

/// A claim on a closed invitation: used ones raise the alarm, somebody else holds the link (MEET-10).
fn late(step: &Step<'_, '_>, invite: &Invite) -> Result<Verdict, Stop> {
    if invite.state == InviteState::Expired as u8 {
        return Ok(Verdict::Expired);
    }
    // A link into a group is meant for many: whoever comes too late proves nothing (GLK-4).
    if invite.state == InviteState::Used as u8 && invite.into.is_none() {
        step.tx
            .execute("UPDATE invite SET used_twice = 1 WHERE id = ?", [&invite.id])?;
    }
    Ok(Verdict::Used)
}

fn opened(invite: &Invite, content: &[u8]) -> Option<Claim> {
    let sealed = ClaimSealed::decode(content).ok()?;
    let plain = super::open_claim(
        invite.seal_private.as_deref()?,
        &invite.secret,
        invite.words.as_deref(),
        &invite.card_hash,
        (&sealed.kem_output, &sealed.ciphertext),
    )?;
    Claim::decode(&plain).ok()
}

fn unopened(step: &mut Step<'_, '_>, invite: &Invite) -> Result<(), Stop> {
    step.tx
        .execute("UPDATE invite SET unopened = unopened + 1 WHERE id = ?", [&invite.id])?;
    if invite.unopened + 1 >= UNOPENED_MAX && defence::holds(Defence::ClaimsUnopened) {
        close(step, invite, InviteState::Attacked)?;
    }
    Ok(())
}

/// Joins the conversation that a claim brings; it stays hidden until approval.
fn let_in(step: &mut Step<'_, '_>, invite: &Invite, claim: [u8; 32], offer: &Claim) -> Result<(), Stop> {
    let (card, signer) = (&offer.card, invite.signer.as_ref().ok_or(Stop::Refused("closed"))?);
    check_card(card)?;
    if card.account_id() == step.me()? {
        return Err(Stop::Refused("own claim"));
    }
    let welcome = offer.welcomes.first().ok_or(Stop::Refused("no welcome"))?;
    let entered = mls::join(&step.mls, welcome, Known::Never)?;
    check_members(card, signer, &entered)?;
    if conversation::load(step, &entered.group)?.is_some() {
        return Err(Stop::Refused("known group"));
    }
    let chat = contact_chat(step, card, true, false)?;
    conversation::begin(step, chat, &entered, signer, false, &[invite.relay])?;
    step.tx.execute(
        "INSERT INTO claim(id, invite, account, card, group_id, answer, received_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        params![
            claim,
            invite.id,
            card.account_id().as_bytes(),
            card.encode(),
            entered.group,
            Verdict::Waiting.code(),
            step.time.0.cast_signed()
        ],
    )?;
    if let Some(request) = query::load_request(step.tx, &claim)? {
        step.event(Event::RequestAdded { request });
    }
    Ok(())
}

/// Exactly two leaves: mine by this invitation's key package, and one of the claim's account.
pub(crate) fn check_members(card: &ContactCard, signer: &Signer, entered: &mls::Entered) -> Result<(), Stop> {
    let [a, b] = entered.members.as_slice() else {
        return Err(Stop::Refused("members"));
    };
    let (mine, other) = if a.index == entered.own_leaf { (a, b) } else { (b, a) };
    if mine.public != signer.public() {
        return Err(Stop::Refused("own leaf"));
    }
    if defence::holds(Defence::LeafOfClaim) {
        check_leaf(card, other)?;
    }
    Ok(())
}

/// Lets a waiting person in, on the person's wish.
pub(crate) fn approve(step: &mut Step<'_, '_>, id: &str) -> Result<Reply, Stop> {
    let claim = waiting_claim(step, id)?;
    let chat = approve_claim(step, &claim)?;
    let contact: Vec<u8> = step
        .tx
        .query_row("SELECT contact FROM chat WHERE id = ?", [chat], |row| row.get(0))?;
    Ok(Reply::Contact(
        query::load_contact(step.tx, &contact)?.ok_or(Stop::Fault(Fault::NotFound))?,
    ))
}

fn approve_claim(step: &mut Step<'_, '_>, claim: &[u8; 32]) -> Result<ChatId, Stop> {
    let (id, group, card): (Vec<u8>, Gid, Vec<u8>) = step.tx.query_row(
        "SELECT invite, group_id, card FROM claim WHERE id = ?",
        [claim],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    let invite = load(step, &id)?;
    let card = ContactCard::decode(&card).map_err(|_| Stop::Refused("card"))?;
    let of = conversation::load(step, &group)?.ok_or(Stop::Fault(Fault::NotFound))?;
    let in_person = invite.how == How::InPerson;
    if let Some((group, _)) = &invite.into {
        links::let_in(step, group, card.account_id())?;
    }
    step.tx.execute(
        "UPDATE claim SET answer = ?, card = NULL WHERE id = ?",
        params![Verdict::Accepted.code(), claim],
    )?;
    step.tx.execute("UPDATE chat SET hidden = 0 WHERE id = ?", [of.chat])?;
    step.tx
        .execute("UPDATE invite SET approved = approved + 1 WHERE id = ?", [&invite.id])?;
    if in_person {
        step.tx.execute(
            "UPDATE contact SET verified = 1 WHERE account = ?",
            [card.account_id().as_bytes()],
        )?;
    }
    follow_their_relays(step, &of, &card)?;
    answer(step, &invite, *claim, Verdict::Accepted, in_person)?;
    conversation::receipts::due(step, &group)?;
    conversation::note_began(step, &of)?;
    group::supply::offer(step, &of, card.account_id())?;
    relays::due_in(step, &group)?;
    near::tell_all(step)?;
    own::spread(step, &group)?;
    if invite.is_last() {
        close(step, &invite, InviteState::Used)?;
        turn_away_others(step, &invite, claim)?;
    }
    show_person(step, &of, &card.account_id(), claim)?;
    tell(step, &invite.id)?;
    Ok(of.chat)
}

fn show_person(
    step: &mut Step<'_, '_>,
    of: &conversation::Conversation,
    account: &AccountId,
    claim: &[u8; 32],
) -> Result<(), Stop> {
    step.event(Event::RequestRemoved { id: hex::encode(claim) });
    if let Some(contact) = query::load_contact(step.tx, account.as_bytes())? {
        step.event(Event::ContactChanged { contact });
    }
    step.touch_chat(of.chat);
    Ok(())
}

/// Only now may their relays be used: before, anybody with the link could have made us call an address.
fn follow_their_relays(
    step: &mut Step<'_, '_>,
    of: &conversation::Conversation,
    card: &ContactCard,
) -> Result<(), Stop> {
    for relay in super::use_all(step, card.relays.iter().take(super::RELAYS_NAMED))? {
        conversation::join_relay(step, of.group, relay)?;
    }
    conversation::follow(step, of)
}

/// The first approved claim wins (MEET-10).
fn turn_away_others(step: &mut Step<'_, '_>, invite: &Invite, winner: &[u8; 32]) -> Result<(), Stop> {
    let others: Vec<[u8; 32]> = step
        .tx
        .prepare("SELECT id FROM claim WHERE invite = ? AND answer = ? AND id <> ?")?
        .query_map(params![invite.id, Verdict::Waiting.code(), winner], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    others
        .iter()
        .try_for_each(|claim| turn_away(step, invite, claim, Verdict::Used))
}

/// Turns a waiting person away: the claim's conversation is deleted.
pub(crate) fn decline(step: &mut Step<'_, '_>, id: &str) -> Result<Reply, Stop> {
    let claim = waiting_claim(step, id)?;
    let invite: Vec<u8> = step
        .tx
        .query_row("SELECT invite FROM claim WHERE id = ?", [claim], |row| row.get(0))?;
    let invite = load(step, &invite)?;
    turn_away(step, &invite, &claim, Verdict::Declined)?;
    tell(step, &invite.id)?;
    Ok(Reply::Done {})
}

fn turn_away(step: &mut Step<'_, '_>, invite: &Invite, claim: &[u8; 32], verdict: Verdict) -> Result<(), Stop> {
    let group: Gid = step
        .tx
        .query_row("SELECT group_id FROM claim WHERE id = ?", [claim], |row| row.get(0))?;
    conversation::delete(step, &group)?;
    step.tx.execute(
        "UPDATE claim SET answer = ?, card = NULL, group_id = NULL WHERE id = ?",
        params![verdict.code(), claim],
    )?;
    step.event(Event::RequestRemoved { id: hex::encode(claim) });
    answer(step, invite, *claim, verdict, false)
}

fn waiting_claim(step: &Step<'_, '_>, id: &str) -> Result<[u8; 32], Stop> {
    let id = bytes_of(id)?;
    let sql = "SELECT id FROM claim WHERE id = ? AND answer = ?";
    let found = step
        .tx
        .query_row(sql, params![id, Verdict::Waiting.code()], |row| row.get(0))
        .optional()?;
    found.ok_or(Stop::Fault(Fault::NotFound))
}

fn waiting_or_in(step: &Step<'_, '_>, invite: &Invite) -> Result<u32, Stop> {
    let waiting: u32 = step.tx.query_row(
        "SELECT count(*) FROM claim WHERE invite = ? AND answer = ?",
        params![invite.id, Verdict::Waiting.code()],
        |row| row.get(0),
    )?;
    Ok(waiting + invite.approved)
}

fn answered_before(step: &Step<'_, '_>, claim: &[u8; 32]) -> Result<Option<Verdict>, Stop> {
    let number: Option<u8> = step
        .tx
        .query_row("SELECT answer FROM claim WHERE id = ?", [claim], |row| row.get(0))
        .optional()?;
    Ok(number.and_then(Verdict::from_code))
}

/// Remembers what a claim was answered, as long as there is room.
fn note(step: &Step<'_, '_>, invite: &Invite, claim: [u8; 32], verdict: Verdict) -> Result<(), Stop> {
    let kept: u32 = step
        .tx
        .query_row("SELECT count(*) FROM claim WHERE invite = ?", [&invite.id], |row| {
            row.get(0)
        })?;
    if kept < CLAIMS_MAX {
        step.tx.execute(
            "INSERT OR IGNORE INTO claim(id, invite, answer, received_at) VALUES (?, ?, ?, ?)",
            params![claim, invite.id, verdict.code(), step.time.0.cast_signed()],
        )?;
    }
    Ok(())
}

/// Puts a signed answer where the claimant listens.
fn answer(
    step: &mut Step<'_, '_>,
    invite: &Invite,
    claim: [u8; 32],
    verdict: Verdict,
    verified: bool,
) -> Result<(), Stop> {
    let me = super::me(step)?;
    let signed = Answer::signed_bytes(verdict, verified, &claim);
    let signature = me.sign(&signed).ok_or(Stop::Fault(Fault::NotHome))?;
    let answer = Answer {
        verdict,
        verified,
        signature,
    };
    let role = answer_role(claim);
    let token = invite.secret.token(&role);
    let sealed = envelope::seal(
        &invite.secret.key(&role),
        token.tag(),
        step.mls.crypto.bytes(),
        &answer.encode(),
    )
    .map_err(|_| Stop::Refused("answer"))?;
    outbox::done(step, Waiting::Answer, &claim)?;
    outbox::put_meeting(step, Waiting::Answer, &claim, vec![sealed], &token, invite.relay)
}

fn load(step: &Step<'_, '_>, id: &[u8]) -> Result<Invite, Stop> {
    let sql = "SELECT id, secret, who, how, words, relay, seal_private, signer, card_hash, state, approved, unopened,
                      expires_at, group_id, most, approval, bound, door_key FROM invite WHERE id = ?";
    let found = step.tx.prepare_cached(sql)?.query_row([id], |row| {
        Ok(Invite {
            id: row.get(0)?,
            secret: InviteSecret::from_bytes(row.get(1)?),
            who: match row.get::<_, u8>(2)? {
                0 => Who::Family,
                1 => Who::One,
                _group => Who::Group,
            },
            how: match row.get::<_, u8>(3)? {
                0 => How::InPerson,
                1 => How::Spoken,
                _plain => How::Plain,
            },
            words: row.get(4)?,
            relay: RelayId::from_bytes(row.get(5)?),
            seal_private: row.get::<_, Option<Vec<u8>>>(6)?.map(Zeroizing::new),
            signer: row.get::<_, Option<[u8; 32]>>(7)?.map(Signer::new),
            card_hash: row.get(8)?,
            state: row.get(9)?,
            approved: row.get(10)?,
            unopened: row.get(11)?,
            expires_at: row.get::<_, i64>(12)?.unsigned_abs(),
            into: into_of(row)?,
            bound: row.get::<_, Option<[u8; 32]>>("bound")?.map(AccountId::from_bytes),
            door_key: DoorKey::from_bytes(row.get("door_key")?),
        })
    });
    found.optional()?.ok_or(Stop::Fault(Fault::NotFound))
}

fn into_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<(Gid, links::Terms)>> {
    let Some(group) = row.get("group_id")? else {
        return Ok(None);
    };
    let terms = links::Terms {
        most: row.get("most")?,
        approval: row.get("approval")?,
    };
    Ok(Some((group, terms)))
}

fn bytes_of(id: &str) -> Result<Vec<u8>, Stop> {
    hex::decode(id).map_err(|_| Stop::Fault(Fault::NotFound))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Store, StoreKey};

    #[test]
    fn what_every_step_asks_of_invitations_is_answered_by_an_index_meet_9() {
        let home = tempfile::tempdir().unwrap();
        let mut store = Store::create(home.path(), &StoreKey::from_bytes([1; 32])).unwrap();
        let tx = store.begin().unwrap();
        for sql in [OVERDUE, OLD_DOORS, NEXT_EXPIRY, NEXT_OLD_DOOR, LINKS] {
            let mut plan = tx.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let lines: Vec<String> = plan.raw_query().mapped(|row| row.get(3)).map(Result::unwrap).collect();
            let asks: Vec<_> = lines.iter().filter(|line| line.contains(" invite ")).collect();
            assert!(!asks.is_empty(), "{lines:?}");
            assert!(asks.iter().all(|line| line.contains("INDEX invite_")), "{lines:?}");
        }
    }
}
