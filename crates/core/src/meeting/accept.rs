//! The side that comes with an invitation: door, card, claim, answer.
//!
//! In: a link, the card behind its door, the answer to the claim. Out: a knock, a conversation one can write to at
//! once, a claim. Works offline: what is saved goes on when there is a way (MEET-2).
//! A retry with other words seals the same offer anew, so nothing already written is lost (MEET-7).

use super::{block, check_card, check_leaf, contact_chat, dealt, hash, my_card, name_relay, own_relays};
use crate::api::{self, AcceptanceState, Event, Fault, Reply};
use crate::conversation;
use crate::defence::{self, Defence};
use crate::due::{Clock, Then, Times};
use crate::group;
use crate::inbox;
use crate::leaf;
use crate::listening::{self, Purpose};
use crate::mls::{self, Gid, Signer};
use crate::near;
use crate::outbox::{self, Waiting};
use crate::own;
use crate::query;
use crate::relays;
use crate::restore;
use crate::step::{Step, Stop};
use ed25519_dalek::{Signature, VerifyingKey};
use rusqlite::{OptionalExtension, params};
use stonechat_wire::address::NEAR;
use stonechat_wire::card::{Answer, CardRelay, Claim, ClaimSealed, ContactCard, HOW_SPOKEN, Verdict};
use stonechat_wire::envelope::{self, Envelope};
use stonechat_wire::exchange::{Errand, Knock, NamedBy};
use stonechat_wire::hand::{HAND_BUCKET, Hand};
use stonechat_wire::ids::{AccountId, DoorPath, RelayId};
use stonechat_wire::invite::{InviteLink, LinkError, ROLE_CARD, ROLE_CLAIM, account_pin, answer_role};

/// Acceptances on their way at most.
const OPEN_MAX: u32 = 64;
const DAY_S: u64 = 24 * 3600;

struct Acceptance {
    id: [u8; 16],
    link: InviteLink,
    words: Option<String>,
    state: u8,
    claim: Option<[u8; 32]>,
    /// How many doors have given something else than what the link names.
    wrong: u8,
}

/// Takes up a link.
pub(crate) fn accept(step: &mut Step<'_, '_>, wish: &api::Accept) -> Result<Reply, Stop> {
    let me = super::me(step)?;
    if !me.is_home() {
        return Err(Stop::Fault(Fault::NotHome));
    }
    let me = me.id();
    restore::is_over(step)?;
    let link = InviteLink::parse(&wish.link).map_err(fault_of)?;
    if step.knows_time()? && u64::from(link.expiry_day) * DAY_S < step.time.seconds() {
        return Err(Stop::Fault(Fault::LinkExpired));
    }
    if account_pin(&link.secret, me) == link.pin {
        return Err(Stop::Fault(Fault::OwnInvite));
    }
    if let (Some(id), Some(words)) = (wants_words(step, &link)?, &wish.spoken_words) {
        let wish = api::AcceptRetry {
            id: hex::encode(id),
            spoken_words: Some(words.clone()),
        };
        return retry(step, &wish);
    }
    make_room(step, &link)?;
    let id: [u8; 16] = step.mls.crypto.bytes();
    step.tx.execute(
        "INSERT INTO acceptance(id, link, secret, words, state, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        params![
            id,
            link.to_code(),
            link.secret.as_bytes(),
            wish.spoken_words
                .as_deref()
                .map(str::trim)
                .filter(|words| !words.is_empty()),
            AcceptanceState::Saved as u8,
            step.time.0.cast_signed(),
            (u64::from(link.expiry_day) * DAY_S * 1000).cast_signed()
        ],
    )?;
    knock(step, id, &link);
    let acceptance = shown(step, &id)?;
    step.event(Event::AcceptanceChanged {
        acceptance: acceptance.clone(),
    });
    Ok(Reply::Acceptance(acceptance))
}

fn fault_of(error: LinkError) -> Stop {
    Stop::Fault(match error {
        LinkError::IsRoute => Fault::RouteNotInvite,
        LinkError::Newer => Fault::NewerLink,
        _broken => Fault::BrokenLink,
    })
}

/// The acceptance of this link that waits for other words: taking the link up again with words tries them (MEET-7).
fn wants_words(step: &Step<'_, '_>, link: &InviteLink) -> Result<Option<[u8; 16]>, Stop> {
    let sql = "SELECT id FROM acceptance WHERE secret = ? AND state IN (?, ?)";
    let (needs, wrong) = (AcceptanceState::NeedsWords as u8, AcceptanceState::WordsWrong as u8);
    let found = step
        .tx
        .query_row(sql, params![link.secret.as_bytes(), needs, wrong], |row| row.get(0));
    Ok(found.optional()?)
}

/// Whether the chat is with somebody who did not let us in.
pub(crate) fn turned_away(step: &Step<'_, '_>, chat: api::ChatId) -> Result<bool, Stop> {
    let sql = "SELECT 1 FROM acceptance a JOIN chat c ON c.id = a.chat
               WHERE c.id = ? AND c.waiting = 1 AND a.state IN (?, ?, ?)
               AND NOT EXISTS (SELECT 1 FROM acceptance b WHERE b.chat = c.id AND b.state IN (?, ?))";
    Ok(step.tx.prepare_cached(sql)?.exists(params![
        chat,
        AcceptanceState::Declined as u8,
        AcceptanceState::Used as u8,
        AcceptanceState::Expired as u8,
        AcceptanceState::Claimed as u8,
        AcceptanceState::Waiting as u8
    ])?)
}

/// Refuses a link that is on its way already; forgets an earlier try that ended.
fn make_room(step: &mut Step<'_, '_>, link: &InviteLink) -> Result<(), Stop> {
    let earlier: Option<([u8; 16], u8)> = step
        .tx
        .query_row(
            "SELECT id, state FROM acceptance WHERE secret = ?",
            [link.secret.as_bytes()],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    if let Some((id, state)) = earlier {
        let over = [
            AcceptanceState::DoorSpent,
            AcceptanceState::CardWrong,
            AcceptanceState::Blocked,
            AcceptanceState::Dealt,
            AcceptanceState::NoRoom,
        ];
        if !over.iter().any(|one| *one as u8 == state) {
            return Err(Stop::Fault(Fault::AlreadyAccepted));
        }
        forget_row(step, &id)?;
    }
    let open: u32 = step.tx.query_row(
        "SELECT count(*) FROM acceptance WHERE state < ?",
        [AcceptanceState::Accepted as u8],
        |row| row.get(0),
    )?;
    if open >= OPEN_MAX {
        Err(Stop::Fault(Fault::TooMany))
    } else {
        Ok(())
    }
}

/// Asks for what lies behind a link's door.
pub(crate) fn knock(step: &mut Step<'_, '_>, id: [u8; 16], link: &InviteLink) {
    step.errand(Errand::Knock(Knock {
        id,
        hints: link.hints.clone(),
        path: link.secret.path(),
        proof: link.secret.proof(),
    }));
}

/// The same, those last that have been believed wrongly.
fn knock_on(step: &mut Step<'_, '_>, acceptance: &Acceptance) {
    let mut link = acceptance.link.clone();
    let wrong = usize::from(acceptance.wrong).checked_rem(link.hints.len());
    link.hints.rotate_left(wrong.unwrap_or_default());
    knock(step, acceptance.id, &link);
}

/// Knocks at every door that has not answered: after a start.
pub(crate) fn knock_all(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    for id in knocking(step)? {
        let acceptance = load(step, &id)?;
        knock_on(step, &acceptance);
    }
    Ok(())
}

/// Acceptances whose door has not answered, oldest first.
fn knocking(step: &Step<'_, '_>) -> Result<Vec<[u8; 16]>, Stop> {
    Ok(step
        .tx
        .prepare("SELECT id FROM acceptance WHERE state = ? ORDER BY created_at, id")?
        .query_map([AcceptanceState::Saved as u8], |row| row.get(0))?
        .collect::<Result<_, _>>()?)
}

/// The door has answered with something.
pub(crate) fn knocked(step: &mut Step<'_, '_>, id: [u8; 16], card: &[u8]) -> Result<(), Stop> {
    let Some(mut acceptance) = find(step, &id)? else {
        return Ok(());
    };
    if acceptance.state != AcceptanceState::Saved as u8 {
        return Ok(());
    }
    if card.len() == HAND_BUCKET {
        let Ok(hand) = dealt::opened_hand(&acceptance.link, card) else {
            return was_wrong(step, acceptance);
        };
        return be_dealt(step, &id, &hand);
    }
    let went = step.attempt(|step| {
        let card = opened_card(&acceptance.link, card)?;
        let expires_at_s = card.1.expires_at_s.min(u64::from(acceptance.link.expiry_day) * DAY_S);
        if step.knows_time()? && expires_at_s < step.time.seconds() {
            return set_state(step, &id, AcceptanceState::Expired);
        }
        take_card(step, &mut acceptance, &card.0, &card.1)
    })?;
    match went {
        Ok(()) => Ok(()),
        Err(_wrong_card) => was_wrong(step, acceptance),
    }
}

/// Another relay of the link may say what it names; each is asked once more (MEET-4).
fn was_wrong(step: &mut Step<'_, '_>, mut acceptance: Acceptance) -> Result<(), Stop> {
    acceptance.wrong = acceptance.wrong.saturating_add(1);
    if usize::from(acceptance.wrong) >= acceptance.link.hints.len() {
        return set_state(step, &acceptance.id, AcceptanceState::CardWrong);
    }
    let sql = "UPDATE acceptance SET wrong = ? WHERE id = ?";
    step.tx
        .prepare_cached(sql)?
        .execute(params![acceptance.wrong, acceptance.id])?;
    knock_on(step, &acceptance);
    Ok(())
}

/// The door is a public invitation's: it has given two relays (PUB-5).
fn be_dealt(step: &mut Step<'_, '_>, id: &[u8; 16], hand: &Hand) -> Result<(), Stop> {
    if step.knows_time()? && hand.expires_at_s < step.time.seconds() {
        return set_state(step, id, AcceptanceState::Expired);
    }
    match step.attempt(|step| dealt::take(step, hand))? {
        Ok(()) => set_state(step, id, AcceptanceState::Dealt),
        Err(_no_room) => set_state(step, id, AcceptanceState::NoRoom),
    }
}

/// A door's answer that no relay has brought: for whoever knocks at that path (BDL-3). Out: whether somebody does.
pub(crate) fn brought(step: &mut Step<'_, '_>, path: DoorPath, card: &[u8]) -> Result<bool, Stop> {
    for id in knocking(step)? {
        if load(step, &id)?.link.secret.path() == path {
            step.errand(Errand::ForgetKnock(id));
            return knocked(step, id, card).map(|()| true);
        }
    }
    Ok(false)
}

/// The card must be sealed with the link's secret, signed, and of the account that the link pins (MEET-4).
pub(crate) fn opened_card(link: &InviteLink, bytes: &[u8]) -> Result<(Vec<u8>, ContactCard), Stop> {
    let sealed = Envelope::decode(bytes.to_vec()).map_err(|_| Stop::Refused("card envelope"))?;
    let plain = inbox::whole(&link.secret.key(ROLE_CARD), &sealed)?;
    let card = ContactCard::decode(&plain).map_err(|_| Stop::Refused("card"))?;
    check_card(&card)?;
    if account_pin(&link.secret, card.account_id()) != link.pin && defence::holds(Defence::CardPin) {
        return Err(Stop::Refused("pin"));
    }
    Ok((plain, card))
}

fn take_card(
    step: &mut Step<'_, '_>,
    acceptance: &mut Acceptance,
    plain: &[u8],
    card: &ContactCard,
) -> Result<(), Stop> {
    step.tx.execute(
        "UPDATE acceptance SET card = ?, name = ?, account = ?, into_group = ? WHERE id = ?",
        params![
            plain,
            card.name,
            card.account_id().as_bytes(),
            card.group,
            acceptance.id
        ],
    )?;
    if block::is_blocked(step, card.account_id())? {
        return set_state(step, &acceptance.id, AcceptanceState::Blocked);
    }
    if card.how == HOW_SPOKEN && acceptance.words.is_none() {
        return set_state(step, &acceptance.id, AcceptanceState::NeedsWords);
    }
    make_offer(step, acceptance, card)?;
    claim(step, &acceptance.id)
}

/// Founds the conversation that the claim will bring, on the card's relay and ours.
fn make_offer(step: &mut Step<'_, '_>, acceptance: &Acceptance, card: &ContactCard) -> Result<(), Stop> {
    let me = super::me(step)?;
    let package = card.key_packages.first().ok_or(Stop::Refused("no key package"))?;
    check_leaf(card, &mls::leaf_of(&step.mls, package)?)?;
    let door = card.relays.first().ok_or(Stop::Refused("no relay"))?;
    let entrance = enter_by(step, door, &acceptance.link)?;
    let mut ours = own_relays(step)?;
    ours.retain(|relay| *relay != entrance);
    ours.truncate(super::RELAYS_NAMED);
    let signer = Signer::new(step.mls.crypto.bytes());
    let (entered, welcome) = mls::found(&step.mls, &signer, leaf::identity(&me, &signer.public())?, package)?;
    let chat = contact_chat(step, card, false, true)?;
    // A request of theirs may wait, hidden; who accepts their invitation wants to see the chat.
    step.tx.execute("UPDATE chat SET hidden = 0 WHERE id = ?", [chat])?;
    let relays: Vec<RelayId> = std::iter::once(entrance).chain(ours.iter().copied()).collect();
    conversation::begin(step, chat, &entered, &signer, true, &relays)?;
    let named = ours
        .iter()
        .map(|relay| name_relay(step, *relay))
        .collect::<Result<_, _>>()?;
    let mine = super::sign(&me, my_card(step, &me, named))?;
    let offer = Claim {
        card: mine,
        welcomes: vec![welcome],
    }
    .encode();
    step.tx.execute(
        "UPDATE acceptance SET chat = ?, group_id = ?, relay = ?, offer = ? WHERE id = ?",
        params![chat, entered.group, entrance.as_bytes(), offer, acceptance.id],
    )?;
    if let Some(of) = conversation::load(step, &entered.group)? {
        conversation::note_began(step, &of)?;
    }
    if let Some(contact) = query::load_contact(step.tx, card.account_id().as_bytes())? {
        step.event(Event::ContactChanged { contact });
    }
    step.touch_chat(chat);
    Ok(())
}

/// The relay where the door stood. A near one is where the link said, for now.
fn enter_by(step: &mut Step<'_, '_>, door: &CardRelay, link: &InviteLink) -> Result<RelayId, Stop> {
    if door.address != NEAR {
        return super::use_relay(step, door, NamedBy::Person);
    }
    let learned = near::learn(step, door, link.hints.first().cloned())?;
    learned.ok_or(Stop::Refused("too many near relays"))
}

/// Seals the offer under the words of the moment and puts it where the inviter listens.
fn claim(step: &mut Step<'_, '_>, id: &[u8; 16]) -> Result<(), Stop> {
    let acceptance = load(step, id)?;
    let (card, offer, relay): (Vec<u8>, Vec<u8>, [u8; 16]) =
        step.tx
            .query_row("SELECT card, offer, relay FROM acceptance WHERE id = ?", [id], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
    let secret = &acceptance.link.secret;
    let seal_key = ContactCard::decode(&card)
        .ok()
        .and_then(|card| card.seal_key)
        .ok_or(Stop::Refused("seal key"))?;
    let (kem_output, ciphertext) = super::seal_claim(
        step,
        &seal_key,
        secret,
        acceptance.words.as_deref(),
        &hash(&card),
        &offer,
    )?;
    let content = ClaimSealed { kem_output, ciphertext }.encode();
    let (claim, relay) = (hash(&content), RelayId::from_bytes(relay));
    step.tx
        .execute("UPDATE acceptance SET claim = ? WHERE id = ?", params![claim, id])?;
    put(step, &acceptance, &content, relay)?;
    let answer = secret.token(&answer_role(claim)).tag();
    listening::add(step, relay, answer, Purpose::Answer, id)?;
    set_state(step, id, AcceptanceState::Claimed)
}

fn put(step: &mut Step<'_, '_>, of: &Acceptance, content: &[u8], relay: RelayId) -> Result<(), Stop> {
    let (secret, crypto) = (&of.link.secret, &step.mls.crypto);
    let token = secret.token(ROLE_CLAIM);
    let sealed = envelope::seal_all(&secret.key(ROLE_CLAIM), token.tag(), &mut || crypto.bytes(), content)
        .map_err(|_| Stop::Refused("own claim"))?;
    outbox::put_claim(step, &of.id, content, sealed, &token, relay)
}

/// The same claim once more, in a new envelope (MEET-16).
pub(crate) fn put_again(step: &mut Step<'_, '_>, id: &[u8], content: &[u8]) -> Result<(), Stop> {
    let acceptance = load(step, &id.try_into().map_err(|_| Stop::Refused("acceptance"))?)?;
    let sql = "SELECT relay FROM acceptance WHERE id = ?";
    let relay = step
        .tx
        .query_row(sql, [id], |row| row.get(0).map(RelayId::from_bytes))?;
    put(step, &acceptance, content, relay)
}

/// The inviter has answered.
pub(crate) fn answered(step: &mut Step<'_, '_>, about: &[u8], sealed: &Envelope) -> Result<(), Stop> {
    let id = about.try_into().map_err(|_| Stop::Refused("answer"))?;
    let acceptance = load(step, &id)?;
    let claim = acceptance.claim.ok_or(Stop::Refused("answer"))?;
    let content = inbox::whole(&acceptance.link.secret.key(&answer_role(claim)), sealed)?;
    let answer = Answer::decode(&content).map_err(|_| Stop::Refused("answer"))?;
    check_answer(step, &id, &claim, &answer)?;
    match answer.verdict {
        // The claim stays in the outbox: whoever loses the last answer is told again (MEET-16).
        Verdict::Waiting => set_state(step, &id, AcceptanceState::Waiting),
        Verdict::Accepted => accepted(step, &id, answer.verified),
        Verdict::Declined => ended(step, &id, AcceptanceState::Declined),
        Verdict::Used => ended(step, &id, AcceptanceState::Used),
        Verdict::Expired => ended(step, &id, AcceptanceState::Expired),
        Verdict::WordsWrong => ended(step, &id, AcceptanceState::WordsWrong),
    }
}

/// Only the account that the link pins can answer (MEET-12).
fn check_answer(step: &Step<'_, '_>, id: &[u8; 16], claim: &[u8; 32], answer: &Answer) -> Result<(), Stop> {
    const REFUSED: Stop = Stop::Refused("answer");
    if !defence::holds(Defence::AnswerSigned) {
        return Ok(());
    }
    let key: [u8; 32] = step.tx.query_row(
        "SELECT c.ed25519 FROM contact c JOIN acceptance a ON a.account = c.account WHERE a.id = ?",
        [id],
        |row| row.get(0),
    )?;
    VerifyingKey::from_bytes(&key)
        .and_then(|key| {
            key.verify_strict(
                &Answer::signed_bytes(answer.verdict, answer.verified, claim),
                &Signature::from_bytes(&answer.signature),
            )
        })
        .map_err(|_| REFUSED)
}

fn accepted(step: &mut Step<'_, '_>, id: &[u8; 16], verified: bool) -> Result<(), Stop> {
    let (chat, account): (i64, [u8; 32]) =
        step.tx
            .query_row("SELECT chat, account FROM acceptance WHERE id = ?", [id], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
    step.tx.execute(
        "UPDATE conversation SET waiting = 0 WHERE group_id = (SELECT group_id FROM acceptance WHERE id = ?)",
        [id],
    )?;
    step.tx.execute("UPDATE chat SET waiting = 0 WHERE id = ?", [chat])?;
    if verified {
        step.tx
            .execute("UPDATE contact SET verified = 1 WHERE account = ?", [account])?;
    }
    if let Some(contact) = query::load_contact(step.tx, &account)? {
        step.event(Event::ContactChanged { contact });
    }
    step.touch_chat(chat);
    let account = AccountId::from_bytes(account);
    let to = conversation::with_contact(step, account)?;
    group::supply::offer(step, &to, account)?;
    relays::due_in(step, &to.group)?;
    near::tell_all(step)?;
    own::spread(step, &to.group)?;
    ended(step, id, AcceptanceState::Accepted)
}

fn ended(step: &mut Step<'_, '_>, id: &[u8; 16], state: AcceptanceState) -> Result<(), Stop> {
    outbox::done(step, Waiting::Claim, id)?;
    if state != AcceptanceState::WordsWrong {
        listening::drop_about(step, id)?;
    }
    if matches!(
        state,
        AcceptanceState::Declined | AcceptanceState::Used | AcceptanceState::Expired
    ) {
        // Nobody reads what was written in hope, or would be.
        for sql in [
            "DELETE FROM outbox WHERE group_id = (SELECT group_id FROM acceptance WHERE id = ?)",
            "UPDATE conversation SET gone = 1 WHERE group_id = (SELECT group_id FROM acceptance WHERE id = ?)",
        ] {
            step.tx.execute(sql, [id])?;
        }
    }
    set_state(step, id, state)
}

/// Nobody lives behind this door (any more).
pub(crate) fn door_spent(step: &mut Step<'_, '_>, id: [u8; 16]) -> Result<(), Stop> {
    match find(step, &id)? {
        Some(acceptance) if acceptance.state == AcceptanceState::Saved as u8 => {
            set_state(step, &id, AcceptanceState::DoorSpent)
        }
        _late => Ok(()),
    }
}

/// When that is due; it is worth no step of its own.
pub(crate) const TIMES: Times = Times {
    soonest: "SELECT min(expires_at) FROM acceptance WHERE state = 0",
    latest: None,
    clock: Clock::Slot,
    after_ms: 1,
    far_ms: 0,
    then: Then::Wait,
};

/// Gives up on doors that did not answer while the invitation lasted.
pub(crate) fn expire(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    if !step.knows_time()? {
        return Ok(());
    }
    let ids: Vec<[u8; 16]> = step
        .tx
        .prepare_cached("SELECT id FROM acceptance WHERE state = 0 AND expires_at < ?")?
        .query_map([step.time.0.cast_signed()], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in ids {
        step.errand(Errand::ForgetKnock(id));
        set_state(step, &id, AcceptanceState::Expired)?;
    }
    Ok(())
}

/// Once more, with other words.
pub(crate) fn retry(step: &mut Step<'_, '_>, wish: &api::AcceptRetry) -> Result<Reply, Stop> {
    let id = id_of(&wish.id)?;
    let acceptance = find(step, &id)?.ok_or(Stop::Fault(Fault::NotFound))?;
    step.tx.execute(
        "UPDATE acceptance SET words = ? WHERE id = ?",
        params![wish.spoken_words, id],
    )?;
    match acceptance.state {
        state if state == AcceptanceState::NeedsWords as u8 => {
            let card: Vec<u8> = step
                .tx
                .query_row("SELECT card FROM acceptance WHERE id = ?", [id], |row| row.get(0))?;
            let card = ContactCard::decode(&card).map_err(|_| Stop::Refused("card"))?;
            make_offer(step, &load(step, &id)?, &card)?;
            claim(step, &id)?;
        }
        state if state == AcceptanceState::WordsWrong as u8 => {
            listening::drop_about(step, &id)?;
            claim(step, &id)?;
        }
        state if state == AcceptanceState::DoorSpent as u8 => {
            set_state(step, &id, AcceptanceState::Saved)?;
            knock_on(step, &acceptance);
        }
        _on_its_way => {}
    }
    Ok(Reply::Acceptance(shown(step, &id)?))
}

/// Forgets an acceptance; a chat that nobody let us into goes with it.
pub(crate) fn forget(step: &mut Step<'_, '_>, id: &str) -> Result<Reply, Stop> {
    let id = id_of(id)?;
    if find(step, &id)?.is_none() {
        return Err(Stop::Fault(Fault::NotFound));
    }
    forget_row(step, &id)?;
    Ok(Reply::Done {})
}

fn forget_row(step: &mut Step<'_, '_>, id: &[u8; 16]) -> Result<(), Stop> {
    let (state, chat, group): (u8, Option<i64>, Option<Gid>) = step.tx.query_row(
        "SELECT state, chat, group_id FROM acceptance WHERE id = ?",
        [id],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    outbox::done(step, Waiting::Claim, id)?;
    listening::drop_about(step, id)?;
    step.tx.execute("DELETE FROM acceptance WHERE id = ?", [id])?;
    step.errand(Errand::ForgetKnock(*id));
    match (chat, group) {
        (Some(chat), Some(group)) if state != AcceptanceState::Accepted as u8 => {
            conversation::delete(step, &group)?;
            hide_request(step, chat)
        }
        _in_or_none => Ok(()),
    }
}

/// Where nothing but a request of theirs is left, the chat waits for approval again.
fn hide_request(step: &mut Step<'_, '_>, chat: i64) -> Result<(), Stop> {
    let hidden = step.tx.execute(
        "UPDATE chat SET hidden = 1 WHERE id = ?1 AND NOT EXISTS (
             SELECT 1 FROM conversation v WHERE v.chat = ?1 AND NOT EXISTS (
                 SELECT 1 FROM claim c WHERE c.group_id = v.group_id AND c.answer = ?2))",
        params![chat, Verdict::Waiting.code()],
    )?;
    if hidden == 1 {
        step.event(Event::ChatRemoved { chat });
    }
    Ok(())
}

fn set_state(step: &mut Step<'_, '_>, id: &[u8; 16], state: AcceptanceState) -> Result<(), Stop> {
    step.tx
        .execute("UPDATE acceptance SET state = ? WHERE id = ?", params![state as u8, id])?;
    let acceptance = shown(step, id)?;
    step.event(Event::AcceptanceChanged { acceptance });
    Ok(())
}

fn shown(step: &Step<'_, '_>, id: &[u8; 16]) -> Result<api::Acceptance, Stop> {
    query::load_acceptance(step.tx, id)?.ok_or(Stop::Fault(Fault::NotFound))
}

fn load(step: &Step<'_, '_>, id: &[u8; 16]) -> Result<Acceptance, Stop> {
    find(step, id)?.ok_or(Stop::Refused("no such acceptance"))
}

fn find(step: &Step<'_, '_>, id: &[u8; 16]) -> Result<Option<Acceptance>, Stop> {
    let sql = "SELECT link, words, state, claim, wrong FROM acceptance WHERE id = ?";
    let row = step.tx.prepare_cached(sql)?.query_row([id], |row| {
        Ok((
            row.get::<_, String>(0)?,
            row.get(1)?,
            row.get(2)?,
            row.get(3)?,
            row.get(4)?,
        ))
    });
    let Some((link, words, state, claim, wrong)) = row.optional()? else {
        return Ok(None);
    };
    let link = InviteLink::parse(&link).map_err(|_| Stop::Refused("own link"))?;
    Ok(Some(Acceptance {
        id: *id,
        link,
        words,
        state,
        claim,
        wrong,
    }))
}

fn id_of(id: &str) -> Result<[u8; 16], Stop> {
    hex::decode(id)
        .ok()
        .and_then(|id| id.try_into().ok())
        .ok_or(Stop::Fault(Fault::NotFound))
}
