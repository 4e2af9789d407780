//! The one who introduces: asks two contacts, and passes the invitation on when both want to meet.
//!
//! In: the person's wish, the answers of the two. Out: questions with vouches, "both want to", a link passed on.
//! `introduced` is the side that is asked, `vouch` what is said of a person. Specified in `docs/protocol/04-meeting.md` (INT-*).
//! Invariant: nobody learns from me how to reach the other before both have said yes.

use super::vouch;
use crate::account::Account;
use crate::api::{self, Fault, Reply};
use crate::content::shown::Shown;
use crate::conversation::{self, Conversation};
use crate::defence::{self, Defence};
use crate::restore;
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use stonechat_wire::ids::{AccountId, MessageId};
use stonechat_wire::introduce::{Ask, CHAIN_MAX, Knows, Person, Vouch, Word};
use stonechat_wire::invite::{InviteLink, account_pin};
use stonechat_wire::message::Kind;

/// Introductions of mine that are not done (INT-8).
const OPEN_MAX: u32 = 64;
/// One that nobody answered is forgotten then, if there is no room for another.
const OLD_MS: u64 = 30 * 24 * 3600 * 1000;

/// The column `linked`: how far it is.
const ASKED: u8 = 0;
const BOTH_TOLD: u8 = 1;
const PASSED_ON: u8 = 2;

struct Introducing {
    id: [u8; 16],
    taker: AccountId,
    maker: AccountId,
    asks: [MessageId; 2],
    both: bool,
    linked: u8,
}

/// Asks two contacts whether they want to meet. Asking twice asks once.
pub(crate) fn introduce(step: &mut Step<'_, '_>, wish: &api::Introduce) -> Result<Reply, Stop> {
    let me = super::me(step)?;
    restore::is_over(step)?;
    let (taker, maker) = (account_of(&wish.one)?, account_of(&wish.other)?);
    if taker == maker {
        return Err(Stop::Fault(Fault::BadParams));
    }
    let (to_taker, to_maker) = (contact(step, taker)?, contact(step, maker)?);
    if is_open(step, taker, maker)? {
        return Ok(Reply::Done {});
    }
    make_room(step)?;
    let id: [u8; 16] = step.mls.crypto.bytes();
    let of_maker = chain(step, &me, taker, maker)?;
    let of_taker = chain(step, &me, maker, taker)?;
    let asks = [
        ask(step, to_taker, id, person(step, maker)?, false, of_maker)?,
        ask(step, to_maker, id, person(step, taker)?, true, of_taker)?,
    ];
    step.tx.execute(
        "INSERT INTO introducing(id, taker, maker, taker_ask, maker_ask, at) VALUES (?, ?, ?, ?, ?, ?)",
        params![
            id,
            taker.as_bytes(),
            maker.as_bytes(),
            asks[0].as_bytes(),
            asks[1].as_bytes(),
            step.time.0.cast_signed()
        ],
    )?;
    asks.into_iter().for_each(|ask| step.touch_message(ask));
    Ok(Reply::Done {})
}

/// An account as the interface writes it.
pub(super) fn account_of(hex: &str) -> Result<AccountId, Stop> {
    hex::decode(hex)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .map(AccountId::from_bytes)
        .ok_or(Stop::Fault(Fault::NotFound))
}

fn contact(step: &Step<'_, '_>, account: AccountId) -> Result<Conversation, Stop> {
    conversation::with_contact(step, account)
}

fn is_open(step: &Step<'_, '_>, one: AccountId, other: AccountId) -> Result<bool, Stop> {
    let sql = "SELECT 1 FROM introducing WHERE linked < 2 AND coalesce(taker_said, 1) + coalesce(maker_said, 1) = 2
               AND at > ?3 AND ((taker = ?1 AND maker = ?2) OR (taker = ?2 AND maker = ?1))";
    Ok(step
        .tx
        .prepare_cached(sql)?
        .exists(params![one.as_bytes(), other.as_bytes(), old(step)])?)
}

fn old(step: &Step<'_, '_>) -> i64 {
    step.time.0.cast_signed().saturating_sub_unsigned(OLD_MS)
}

fn make_room(step: &Step<'_, '_>) -> Result<(), Stop> {
    let sql = "SELECT count(*) FROM introducing WHERE linked < 2";
    let open: u32 = step.tx.query_row(sql, [], |row| row.get(0))?;
    if open < OPEN_MAX {
        return Ok(());
    }
    let gone = step
        .tx
        .execute("DELETE FROM introducing WHERE linked < 2 AND at < ?", [old(step)])?;
    if gone == 0 {
        return Err(Stop::Fault(Fault::TooMany));
    }
    Ok(())
}

/// Who somebody is, by the name they give themselves: what I call them is nobody's business.
pub(crate) fn person(step: &Step<'_, '_>, account: AccountId) -> Result<Person, Stop> {
    let sql = "SELECT ed25519, mldsa_hash, own_name FROM contact WHERE account = ?";
    let found = step.tx.prepare_cached(sql)?.query_row([account.as_bytes()], |row| {
        Ok(Person {
            ed25519: row.get(0)?,
            mldsa_hash: row.get(1)?,
            name: row.get(2)?,
        })
    });
    found.optional()?.ok_or(Stop::Fault(Fault::NotFound))
}

/// What I say of somebody, behind what was said of them to me where that is all I know (INT-3).
fn chain(step: &Step<'_, '_>, me: &Account, to: AccountId, about: AccountId) -> Result<Vec<Vouch>, Stop> {
    let verified: bool = step
        .tx
        .prepare_cached("SELECT verified FROM contact WHERE account = ?")?
        .query_row([about.as_bytes()], |row| row.get(0))?;
    if verified {
        return Ok(vec![vouch::sign(me, to, about, Knows::Verified, step.time)?]);
    }
    let mut before = said_to_me(step, about)?;
    if before.iter().any(|vouch| vouch.by.account() == to) {
        before.clear();
    }
    if before.len() >= CHAIN_MAX {
        return Err(Stop::Fault(Fault::TooFar));
    }
    let knows = if before.is_empty() {
        Knows::Met
    } else {
        Knows::Introduced
    };
    before.push(vouch::sign(me, to, about, knows, step.time)?);
    Ok(before)
}

fn said_to_me(step: &Step<'_, '_>, about: AccountId) -> Result<Vec<Vouch>, Stop> {
    let sql = "SELECT body FROM introduced WHERE account = ? AND said = 1 AND done < 2 ORDER BY at LIMIT 1";
    let body: Option<Vec<u8>> = step
        .tx
        .prepare_cached(sql)?
        .query_row([about.as_bytes()], |row| row.get(0))
        .optional()?;
    Ok(body
        .and_then(|body| Ask::decode(&body).ok())
        .map(|ask| ask.chain)
        .unwrap_or_default())
}

fn ask(
    step: &mut Step<'_, '_>,
    to: Conversation,
    id: [u8; 16],
    who: Person,
    makes: bool,
    chain: Vec<Vouch>,
) -> Result<MessageId, Stop> {
    let asked = Shown::introduction(Ask { id, who, makes, chain });
    match conversation::show(step, to, &asked, None)? {
        Reply::Message(message) => hex::decode(&message.id)
            .ok()
            .and_then(|id| MessageId::from_slice(&id))
            .ok_or(Stop::Refused("own message")),
        _other => Err(Stop::Refused("own message")),
    }
}

/// One of the two has answered. Out: whether the introduction is one of mine.
pub(super) fn heard(step: &mut Step<'_, '_>, from: AccountId, id: &[u8; 16], word: &Word) -> Result<bool, Stop> {
    let Some(of) = load(step, id)? else { return Ok(false) };
    if from != of.taker && from != of.maker && defence::holds(Defence::AskedAnswer) {
        return Err(Stop::Refused("not asked"));
    }
    match word {
        Word::No | Word::Yes => {
            let column = if from == of.taker { "taker_said" } else { "maker_said" };
            // Who has said yes has; a no may become one.
            let sql = format!("UPDATE introducing SET {column} = ? WHERE id = ? AND coalesce({column}, 0) = 0");
            step.tx.prepare_cached(&sql)?.execute(params![*word == Word::Yes, id])?;
            tell_both(step, id)?;
        }
        Word::Link(link) if from == of.maker && awaits_link(&of) => pass_on(step, &of, link)?,
        Word::Link(_) | Word::Both => {}
    }
    of.asks.into_iter().for_each(|ask| step.touch_message(ask));
    Ok(true)
}

/// Both have said yes, whoever makes the invitation was told so, and no link was passed on yet (INT-4).
fn awaits_link(of: &Introducing) -> bool {
    (of.both && of.linked == BOTH_TOLD) || !defence::holds(Defence::BothFirst)
}

/// Both want to: whoever makes the invitation is told.
fn tell_both(step: &mut Step<'_, '_>, id: &[u8; 16]) -> Result<(), Stop> {
    let Some(of) = load(step, id)?.filter(|of| of.both && of.linked == ASKED) else {
        return Ok(());
    };
    let _later = step.attempt(|step| {
        let to = contact(step, of.maker)?;
        conversation::tell(step, &to, Kind::Introduced, &Word::Both.encode(&of.id))?;
        set_linked(step, &of, BOTH_TOLD)
    })?;
    Ok(())
}

fn pass_on(step: &mut Step<'_, '_>, of: &Introducing, link: &str) -> Result<(), Stop> {
    let parsed = InviteLink::parse(link).map_err(|_| Stop::Refused("link"))?;
    if account_pin(&parsed.secret, of.maker) != parsed.pin {
        return Err(Stop::Refused("somebody else's link"));
    }
    let to = contact(step, of.taker)?;
    let word = Word::Link(link.to_owned());
    conversation::tell(step, &to, Kind::Introduced, &word.encode(&of.id))?;
    set_linked(step, of, PASSED_ON)
}

fn set_linked(step: &Step<'_, '_>, of: &Introducing, linked: u8) -> Result<(), Stop> {
    step.tx
        .prepare_cached("UPDATE introducing SET linked = ? WHERE id = ?")?
        .execute(params![linked, of.id])?;
    Ok(())
}

/// What could not be said before: after a start.
pub(crate) fn resume(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let sql = "SELECT id FROM introducing WHERE linked = 0 AND taker_said = 1 AND maker_said = 1";
    let ids: Vec<[u8; 16]> = step
        .tx
        .prepare(sql)?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    ids.iter().try_for_each(|id| tell_both(step, id))
}

fn load(step: &Step<'_, '_>, id: &[u8; 16]) -> Result<Option<Introducing>, Stop> {
    let sql = "SELECT taker, maker, taker_ask, maker_ask, taker_said IS 1 AND maker_said IS 1, linked
               FROM introducing WHERE id = ?";
    let found = step.tx.prepare_cached(sql)?.query_row([id], |row| {
        Ok(Introducing {
            id: *id,
            taker: AccountId::from_bytes(row.get(0)?),
            maker: AccountId::from_bytes(row.get(1)?),
            asks: [MessageId::from_bytes(row.get(2)?), MessageId::from_bytes(row.get(3)?)],
            both: row.get(4)?,
            linked: row.get(5)?,
        })
    });
    Ok(found.optional()?)
}
