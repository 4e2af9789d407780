//! The one who is asked: whether to meet somebody whom a contact knows.
//!
//! In: questions by contacts, the person's answer, here or on another device, "both want to", links. Out: what is shown, the
//! answer, an invitation for one account or the other's taken up. Pieces come in any order: each is noted, and what the row
//! says then is done once. Specified in `docs/protocol/04-meeting.md` (INT-*).
//! Invariant: without the person's yes nothing is made, taken up or told.

use super::{accept, block, introduce, invite, vouch};
use crate::api::{self, Fault, How, Reply, Who};
use crate::content::shown::Shown;
use crate::content::wishes::message_id;
use crate::conversation::{self, Conversation};
use crate::defence::{self, Defence};
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use stonechat_wire::ids::{AccountId, MessageId};
use stonechat_wire::introduce::{Ask, Word};
use stonechat_wire::invite::{InviteLink, account_pin};
use stonechat_wire::message::Kind;

/// Questions of one contact that wait for an answer; more are nothing to show (INT-8).
const ASKED_MAX: u32 = 8;
/// Questions of one contact that are kept at all.
const KEPT_MAX: u32 = 256;
/// So long an invitation by an introduction is open.
const LIFE_MS: u64 = 14 * 24 * 3600 * 1000;

/// The column `done`.
const DONE: u8 = 1;
const WRONG: u8 = 2;

struct Introduced {
    via: AccountId,
    id: [u8; 16],
    ask: Option<MessageId>,
    question: Option<Ask>,
    said: Option<bool>,
    both: bool,
    link: Option<String>,
    done: u8,
}

/// What a question is to its reader: nothing, where it is not one that a contact may ask (INT-1, INT-3, INT-8).
pub(crate) fn judged(step: &Step<'_, '_>, from: &Conversation, sender: AccountId, body: &[u8]) -> Result<Shown, Stop> {
    if from.grouped || from.hidden {
        return Ok(Shown::default());
    }
    let Ok(ask) = Ask::decode(body) else {
        return Ok(Shown::read(Kind::Introduce, body));
    };
    let me = step.me()?;
    if sender == me {
        return Ok(Shown::introduction(ask));
    }
    let about = ask.who.account();
    let allowed = about != me && about != sender && vouch::check(&ask.chain, sender, me, about).is_ok();
    if !allowed || block::is_blocked(step, about)? || !has_room(step, sender, &ask.id)? {
        return Ok(Shown::default());
    }
    Ok(Shown::introduction(ask))
}

fn has_room(step: &Step<'_, '_>, via: AccountId, id: &[u8; 16]) -> Result<bool, Stop> {
    let sql = "SELECT count(*), coalesce(sum(said IS NULL), 0), coalesce(sum(id = ?2 AND ask IS NOT NULL), 0)
               FROM introduced WHERE via = ?1";
    let (kept, open, same): (u32, u32, u32) = step
        .tx
        .prepare_cached(sql)?
        .query_row(params![via.as_bytes(), id], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
    let anew = same == 0 || !defence::holds(Defence::QuestionStays);
    Ok(kept < KEPT_MAX && open < ASKED_MAX && anew)
}

/// A question stands in its chat.
pub(crate) fn came(step: &mut Step<'_, '_>, via: AccountId, message: MessageId, ask: &Ask) -> Result<(), Stop> {
    step.tx
        .prepare_cached(
            "INSERT INTO introduced(via, id, ask, account, body, at) VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT(via, id) DO UPDATE SET ask = excluded.ask, account = excluded.account, body = excluded.body",
        )?
        .execute(params![
            via.as_bytes(),
            ask.id,
            message.as_bytes(),
            ask.who.account().as_bytes(),
            ask.encode(),
            step.time.0.cast_signed()
        ])?;
    settle(step, via, &ask.id)
}

/// Something was said about an introduction, by the contact of this chat or by another device of mine.
pub(crate) fn told(step: &mut Step<'_, '_>, from: &Conversation, by: AccountId, body: &[u8]) -> Result<(), Stop> {
    let (id, word) = Word::decode(body).map_err(|_| Stop::Refused("introduction"))?;
    if from.hidden {
        return Err(Stop::Refused("waits"));
    }
    if by == step.me()? {
        let via = peer(step, from)?;
        return match word {
            Word::No | Word::Yes => {
                note(step, via, &id, "said", &i64::from(word == Word::Yes))?;
                settle(step, via, &id)
            }
            Word::Both | Word::Link(_) => Ok(()),
        };
    }
    if introduce::heard(step, by, &id, &word)? {
        return Ok(());
    }
    match word {
        Word::Both => note(step, by, &id, "both", &1)?,
        Word::Link(link) => note(step, by, &id, "link", &link)?,
        Word::No | Word::Yes => return Err(Stop::Refused("not mine")),
    }
    settle(step, by, &id)
}

fn peer(step: &Step<'_, '_>, of: &Conversation) -> Result<AccountId, Stop> {
    let sql = "SELECT contact FROM chat WHERE id = ? AND contact IS NOT NULL";
    let found = step.tx.prepare_cached(sql)?.query_row([of.chat], |row| row.get(0));
    found
        .optional()?
        .map(AccountId::from_bytes)
        .ok_or(Stop::Refused("no contact"))
}

/// Notes a piece; what comes before its question makes a row that waits for it.
fn note(
    step: &Step<'_, '_>,
    via: AccountId,
    id: &[u8; 16],
    column: &str,
    value: &dyn rusqlite::ToSql,
) -> Result<(), Stop> {
    if !has_row(step, via, id)? && !has_room(step, via, id)? {
        return Err(Stop::Refused("too many introductions"));
    }
    // A yes is not taken back: what follows from it may be done.
    let sql = format!(
        "INSERT INTO introduced(via, id, {column}, at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT(via, id) DO UPDATE SET {column} = excluded.{column} WHERE coalesce({column}, 0) = 0"
    );
    step.tx
        .prepare_cached(&sql)?
        .execute(params![via.as_bytes(), id, value, step.time.0.cast_signed()])?;
    Ok(())
}

fn has_row(step: &Step<'_, '_>, via: AccountId, id: &[u8; 16]) -> Result<bool, Stop> {
    Ok(step
        .tx
        .prepare_cached("SELECT 1 FROM introduced WHERE via = ? AND id = ?")?
        .exists(params![via.as_bytes(), id])?)
}

/// Says whether I want to meet.
pub(crate) fn answer(step: &mut Step<'_, '_>, wish: &api::IntroductionAnswer) -> Result<Reply, Stop> {
    let ask = message_id(&wish.id)?;
    let sql = "SELECT via, id FROM introduced WHERE ask = ?";
    let found: Option<([u8; 32], [u8; 16])> = step
        .tx
        .prepare_cached(sql)?
        .query_row([ask.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (via, id) = found.ok_or(Stop::Fault(Fault::NotFound))?;
    let via = AccountId::from_bytes(via);
    let of = load(step, via, &id)?.ok_or(Stop::Fault(Fault::NotFound))?;
    if of.said != Some(true) && of.said != Some(wish.yes) {
        let to = conversation::with_contact(step, via)?;
        let word = if wish.yes { Word::Yes } else { Word::No };
        note(step, via, &id, "said", &i64::from(wish.yes))?;
        conversation::tell(step, &to, Kind::Introduced, &word.encode(&id))?;
    }
    settle(step, via, &id)?;
    Ok(Reply::Done {})
}

/// Does what the row asks for, if it is this device's to do (INT-7).
fn settle(step: &mut Step<'_, '_>, via: AccountId, id: &[u8; 16]) -> Result<(), Stop> {
    let Some(of) = load(step, via, id)? else { return Ok(()) };
    if let Some(ask) = of.ask {
        step.touch_message(ask);
    }
    let Some(question) = of.question.as_ref().filter(|_| of.said == Some(true) && of.done == 0) else {
        return Ok(());
    };
    if is_known(step, question.who.account())? {
        return set_done(step, &of, DONE);
    }
    // What cannot be done now (no relay yet, too many invitations) is tried again after a start. A linked device can do
    // neither (ACC-6): it waits until the home device has.
    let tried = match (&of.link, question.makes) {
        (_, true) if of.both => step.attempt(|step| make(step, &of, question))?,
        (Some(link), false) => step.attempt(|step| take_up(step, question, link))?,
        _not_yet => return Ok(()),
    };
    match tried {
        Ok(()) => set_done(step, &of, DONE),
        Err(Stop::Refused(_)) => set_done(step, &of, WRONG),
        Err(_later) => Ok(()),
    }
}

/// We have a chat already.
fn is_known(step: &Step<'_, '_>, account: AccountId) -> Result<bool, Stop> {
    let sql = "SELECT 1 FROM chat h JOIN conversation v ON v.chat = h.id
               WHERE h.contact = ? AND h.hidden = 0 AND v.gone = 0";
    Ok(step.tx.prepare_cached(sql)?.exists([account.as_bytes()])?)
}

/// An invitation that lets in this one account, handed to whoever introduces (INT-5).
fn make(step: &mut Step<'_, '_>, of: &Introduced, question: &Ask) -> Result<(), Stop> {
    let new = invite::New {
        who: Who::One,
        how: How::Plain,
        life_ms: LIFE_MS,
        into: None,
        bound: Some(question.who.account()),
    };
    let (_, link) = invite::begin(step, &new)?;
    let to = conversation::with_contact(step, of.via)?;
    conversation::tell(step, &to, Kind::Introduced, &Word::Link(link).encode(&of.id))?;
    Ok(())
}

/// The link must be of the account that I was asked about (INT-6).
fn take_up(step: &mut Step<'_, '_>, question: &Ask, link: &str) -> Result<(), Stop> {
    let parsed = InviteLink::parse(link).map_err(|_| Stop::Refused("link"))?;
    let pinned = account_pin(&parsed.secret, question.who.account()) == parsed.pin;
    if !pinned && defence::holds(Defence::IntroducedPin) {
        return Err(Stop::Refused("somebody else's link"));
    }
    let wish = api::Accept {
        link: link.to_owned(),
        spoken_words: None,
    };
    match accept::accept(step, &wish) {
        Ok(_) | Err(Stop::Fault(Fault::AlreadyAccepted)) => Ok(()),
        Err(Stop::Fault(Fault::LinkExpired)) => Err(Stop::Refused("expired")),
        Err(other) => Err(other),
    }
}

fn set_done(step: &Step<'_, '_>, of: &Introduced, done: u8) -> Result<(), Stop> {
    step.tx
        .prepare_cached("UPDATE introduced SET done = ? WHERE via = ? AND id = ?")?
        .execute(params![done, of.via.as_bytes(), of.id])?;
    Ok(())
}

/// What could not be done before: after a start.
pub(crate) fn resume(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let open: Vec<([u8; 32], [u8; 16])> = step
        .tx
        .prepare("SELECT via, id FROM introduced WHERE done = 0 AND said = 1")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    open.iter()
        .try_for_each(|(via, id)| settle(step, AccountId::from_bytes(*via), id))
}

fn load(step: &Step<'_, '_>, via: AccountId, id: &[u8; 16]) -> Result<Option<Introduced>, Stop> {
    let sql = "SELECT ask, body, said, both, link, done FROM introduced WHERE via = ? AND id = ?";
    let found = step
        .tx
        .prepare_cached(sql)?
        .query_row(params![via.as_bytes(), id], |row| {
            Ok(Introduced {
                via,
                id: *id,
                ask: row.get::<_, Option<[u8; 16]>>(0)?.map(MessageId::from_bytes),
                question: row
                    .get::<_, Option<Vec<u8>>>(1)?
                    .and_then(|body| Ask::decode(&body).ok()),
                said: row.get(2)?,
                both: row.get(3)?,
                link: row.get(4)?,
                done: row.get(5)?,
            })
        });
    Ok(found.optional()?)
}
