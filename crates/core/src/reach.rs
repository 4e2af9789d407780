//! A contact comes back with a new device: its request is checked and answered, and nobody is asked.
//!
//! In: requests in the mailboxes that come from a conversation's reach secret. Out: a new conversation in the old chat, the
//! answer, a line that says so. The side that asks is `restore`. Specified in `docs/protocol/14-devices.md` (RCH-*).
//! Invariant: only the account's key brings a new device; what was written before it came stays as it was.

use crate::api::{ChatId, Event};
use crate::content::shown::Shown;
use crate::content::{vanish, wishes};
use crate::conversation::{self, Conversation, alarms};
use crate::devices::{self, Beside};
use crate::group;
use crate::inbox;
use crate::leaf;
use crate::listening::{self, Purpose};
use crate::meeting;
use crate::mls::{self, Entered, Gid, Signer};
use crate::near;
use crate::outbox::{self, Waiting};
use crate::own;
use crate::query;
use crate::relays;
use crate::restore;
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use stonechat_wire::capsule::CONTACT_RELAYS_MAX;
use stonechat_wire::card::{Claim, ContactCard, DeviceChange, DeviceLog};
use stonechat_wire::envelope::{self, Envelope};
use stonechat_wire::ids::{AccountId, MessageId, RelayId};
use stonechat_wire::marks::Spans;
use stonechat_wire::message::MessageHeader;
use stonechat_wire::reach::ReachSecret;

/// Messages that are written anew at most (RCH-5).
const ANEW_MAX: u32 = 1_000;

/// Keeps what a conversation of two is found again by (RCH-1).
pub(crate) fn keep(step: &mut Step<'_, '_>, entered: &Entered) -> Result<(), Stop> {
    let reach = step.groups.reach(&step.mls, (entered.group, entered.epoch))?;
    step.tx
        .prepare_cached("UPDATE conversation SET reach = ? WHERE group_id = ?")?
        .execute(params![reach.as_slice(), entered.group])?;
    listen(step, &entered.group)
}

/// Reads the other side's request mailbox on all relays of the conversation (RCH-2).
pub(crate) fn listen(step: &mut Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    let Some((reach, account)) = reach_of(step, group)? else {
        return Ok(());
    };
    let tag = reach.request_token(account).tag();
    for relay in listening::read_relays_of(step, group)? {
        listening::add(step, relay, tag, Purpose::ReachRequest, group)?;
    }
    Ok(())
}

/// The secret of a conversation of two, and whose requests come by it.
fn reach_of(step: &Step<'_, '_>, group: &Gid) -> Result<Option<(ReachSecret, AccountId)>, Stop> {
    let sql = "SELECT v.reach, h.contact FROM conversation v JOIN chat h ON h.id = v.chat
               WHERE v.group_id = ? AND v.reach IS NOT NULL AND h.contact IS NOT NULL";
    let found = step.tx.prepare_cached(sql)?.query_row([group], |row| {
        Ok((ReachSecret::new(row.get(0)?), AccountId::from_bytes(row.get(1)?)))
    });
    Ok(found.optional()?)
}

/// A request has come: only who knows the conversation's secret can have put it, and no more is known than that.
pub(crate) fn requested(step: &mut Step<'_, '_>, about: &[u8], sealed: &Envelope) -> Result<(), Stop> {
    let group: Gid = about.try_into().map_err(|_| Stop::Refused("request"))?;
    let (Some(of), Some((reach, account))) = (conversation::load(step, &group)?, reach_of(step, &group)?) else {
        return Ok(());
    };
    if of.hidden {
        return Err(Stop::Refused("not let in"));
    }
    let Some(content) = inbox::gathered(step, &reach.request_key(account), sealed)? else {
        return Ok(());
    };
    let hash = meeting::hash(&content);
    let at = Answering {
        reach,
        hash,
        account,
        relays: listening::relays_of(step, &group)?,
    };
    if let Some(before) = answered_before(step, &at)? {
        return put_answer(step, &at, &before);
    }
    let card = ContactCard::decode(&content).map_err(|_| Stop::Refused("request"))?;
    let log = check(step, &card, account)?;
    if log == Log::PartedShorter {
        return alarms::two_logs(step, &group, account, &card.device_log);
    }
    let answer = take_back(step, &of, &card, &at)?;
    if log == Log::Parted {
        alarms::two_logs(step, &group, account, &card.device_log)?;
    }
    put_answer(step, &at, &answer)
}

/// What the log of a request is beside the one known (DEV-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Log {
    New,
    /// It parts from the one known, and is longer.
    Parted,
    PartedShorter,
}

/// Where an answer goes.
struct Answering {
    reach: ReachSecret,
    hash: [u8; 32],
    account: AccountId,
    relays: Vec<RelayId>,
}

/// The contact's own card, by a log that is new, with a key package of the device that came back (RCH-3).
fn check(step: &Step<'_, '_>, card: &ContactCard, account: AccountId) -> Result<Log, Stop> {
    meeting::check_card(card)?;
    if card.account_id() != account {
        return Err(Stop::Refused("somebody else's request"));
    }
    let known = known_log(step, account)?;
    let log = match devices::beside(&known, &card.device_log) {
        Beside::Newer => Log::New,
        Beside::PartedLonger => Log::Parted,
        Beside::Parted => Log::PartedShorter,
        Beside::Same | Beside::Older => return Err(Stop::Refused("an old request")),
    };
    let last = card.device_log.entries.last().ok_or(Stop::Refused("log"))?;
    let package = card.key_packages.first().ok_or(Stop::Refused("no key package"))?;
    let leaf = mls::leaf_of(&step.mls, package)?;
    meeting::check_leaf(card, &leaf)?;
    let of_last = leaf::device_of(&leaf)? == last.entry.device_id;
    if last.entry.change == DeviceChange::Restored && of_last {
        Ok(log)
    } else {
        Err(Stop::Refused("not a device that came back"))
    }
}

/// The newest log known of a contact.
pub(crate) fn known_log(step: &Step<'_, '_>, account: AccountId) -> Result<DeviceLog, Stop> {
    let log: Option<Vec<u8>> = step
        .tx
        .prepare_cached("SELECT device_log FROM contact WHERE account = ?")?
        .query_row([account.as_bytes()], |row| row.get(0))
        .optional()?;
    match log {
        Some(log) => DeviceLog::decode(&log).map_err(|_| Stop::Refused("known log")),
        // A member of a group who is no contact: nothing is known to speak against it.
        None => Ok(DeviceLog::default()),
    }
}

/// Founds the new conversation and ends those before. Out: the answer.
fn take_back(step: &mut Step<'_, '_>, of: &Conversation, card: &ContactCard, at: &Answering) -> Result<Vec<u8>, Stop> {
    let me = meeting::me(step)?;
    let package = card.key_packages.first().ok_or(Stop::Refused("no key package"))?;
    let signer = Signer::new(step.mls.crypto.bytes());
    let (entered, welcome) = mls::found(&step.mls, &signer, leaf::identity(&me, &signer.public())?, package)?;
    step.tx.execute(
        "UPDATE contact SET device_log = ?, own_name = ? WHERE account = ?",
        params![card.device_log.encode(), card.name, at.account.as_bytes()],
    )?;
    let relays = meeting_places(step, &at.relays, card)?;
    let waits = take_waiting(step, of.chat)?;
    end_others(step, of.chat)?;
    forget_keys(step, at.account)?;
    step.tx.execute("UPDATE chat SET waiting = 0 WHERE id = ?", [of.chat])?;
    conversation::begin(step, of.chat, &entered, &signer, false, &relays)?;
    let new = conversation::load(step, &entered.group)?.ok_or(Stop::Refused("no such conversation"))?;
    conversation::note_device(step, &new, at.account)?;
    group::supply::offer(step, &new, at.account)?;
    relays::due_in(step, &new.group)?;
    near::tell_all(step)?;
    own::spread(step, &new.group)?;
    say_timer(step, of.chat)?;
    write_anew(step, of.chat, waits)?;
    if let Some(contact) = query::load_contact(step.tx, at.account.as_bytes())? {
        step.event(Event::ContactChanged { contact });
    }
    step.touch_chat(of.chat);
    let mine = meeting::my_card(step, &me, restore::named(step)?);
    let answer = Claim {
        card: meeting::sign(&me, mine)?,
        welcomes: vec![welcome],
    };
    Ok(answer.encode())
}

/// Where the new conversation meets: at the relays of the one before, then at those of the card, four at most (MEET-13).
pub(crate) fn meeting_places(
    step: &mut Step<'_, '_>,
    before: &[RelayId],
    card: &ContactCard,
) -> Result<Vec<RelayId>, Stop> {
    let (mut relays, mut near) = (Vec::new(), Vec::new());
    let named = meeting::use_all(step, card.relays.iter().take(meeting::RELAYS_NAMED))?;
    for relay in before.iter().copied().chain(named) {
        let is_lasting = near::whose(step, relay)? == near::Whose::Nobodys;
        let known = if is_lasting { &mut relays } else { &mut near };
        if !known.contains(&relay) {
            known.push(relay);
        }
    }
    relays.truncate(CONTACT_RELAYS_MAX);
    relays.extend(near);
    Ok(relays)
}

/// Nothing is written any more where only lost devices read (RCH-3). They stay read: what comes late is shown apart.
pub(crate) fn end_others(step: &mut Step<'_, '_>, chat: ChatId) -> Result<(), Stop> {
    for sql in [
        "DELETE FROM outbox WHERE group_id IN (SELECT group_id FROM conversation WHERE chat = ?)",
        "UPDATE conversation SET gone = 1, receipt_due = NULL WHERE chat = ?",
    ] {
        step.tx.execute(sql, [chat])?;
    }
    Ok(())
}

/// Key packages of the lost device open nothing any more; mine that it had are lost with it.
pub(crate) fn forget_keys(step: &Step<'_, '_>, account: AccountId) -> Result<(), Stop> {
    let mine: Vec<Vec<u8>> = step
        .tx
        .prepare("DELETE FROM supply WHERE account = ? RETURNING package, mine")?
        .query_map([account.as_bytes()], |row| Ok((row.get(0)?, row.get::<_, bool>(1)?)))?
        .filter_map(|found| found.map(|(package, mine)| mine.then_some(package)).transpose())
        .collect::<Result<_, _>>()?;
    for package in mine {
        mls::forget_key_package(&step.mls, &package)?;
    }
    Ok(())
}

/// A message of mine that nobody has confirmed.
struct Unconfirmed {
    id: MessageId,
    text: String,
    /// What is marked in it.
    spans: Option<Vec<u8>>,
    client_id: Option<String>,
    /// Header and body.
    plain: Vec<u8>,
}

/// What is on screen of mine and nobody has confirmed, in its order, with its id at the caller; it stands there no more
/// (RCH-5).
fn take_waiting(step: &mut Step<'_, '_>, chat: ChatId) -> Result<Vec<(Shown, Option<String>)>, Stop> {
    let sql = "SELECT m.id, m.text, m.client_id, o.plain, m.spans
               FROM message m JOIN outbox o ON o.about = m.id AND o.purpose = 0 AND o.part = 0
               WHERE m.chat = ? AND m.mine = 1 AND m.kind IN (0, 6) AND m.state < 2 AND o.plain IS NOT NULL
               ORDER BY m.position LIMIT ?";
    let found: Vec<Unconfirmed> = step
        .tx
        .prepare(sql)?
        .query_map(params![chat, ANEW_MAX], |row| {
            Ok(Unconfirmed {
                id: MessageId::from_bytes(row.get(0)?),
                text: row.get(1)?,
                client_id: row.get(2)?,
                plain: row.get(3)?,
                spans: row.get(4)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    let mut waiting = Vec::new();
    for mut message in found {
        let client_id = message.client_id.take();
        waiting.push((as_it_stands(&message)?, client_id));
        wishes::forget(step, message.id, chat)?;
        step.event(Event::MessageRemoved {
            chat,
            id: hex::encode(message.id.as_bytes()),
        });
    }
    Ok(waiting)
}

/// What a message of mine said, with the text as it was changed since; what it answered is not named any more.
fn as_it_stands(message: &Unconfirmed) -> Result<Shown, Stop> {
    let (header, body) = MessageHeader::decode(&message.plain).map_err(|_| Stop::Refused("own message"))?;
    let spans = message
        .spans
        .as_deref()
        .map(|spans| Spans::decode(&message.text, spans));
    Ok(Shown {
        text: message.text.clone(),
        spans: spans.and_then(Result::ok).unwrap_or_default(),
        reply_to: None,
        ..Shown::read(header.kind, body)
    })
}

/// The device that came back knows of no timer: what is written to it would go, and what it writes would stay (RCH-5).
fn say_timer(step: &mut Step<'_, '_>, chat: ChatId) -> Result<(), Stop> {
    let timer_s = vanish::of_chat(step, chat)?;
    if timer_s.is_some() {
        let to = conversation::writable(step, chat)?;
        conversation::show(step, to, &Shown::timer(timer_s), None)?;
    }
    Ok(())
}

fn write_anew(step: &mut Step<'_, '_>, chat: ChatId, waiting: Vec<(Shown, Option<String>)>) -> Result<(), Stop> {
    for (shown, client_id) in waiting {
        let to = conversation::writable(step, chat)?;
        conversation::show(step, to, &shown, client_id.as_deref())?;
    }
    Ok(())
}

fn answered_before(step: &Step<'_, '_>, at: &Answering) -> Result<Option<Vec<u8>>, Stop> {
    Ok(step
        .tx
        .prepare_cached("SELECT content FROM reach_answer WHERE account = ? AND request = ?")?
        .query_row(params![at.account.as_bytes(), at.hash], |row| row.get(0))
        .optional()?)
}

fn put_answer(step: &mut Step<'_, '_>, at: &Answering, content: &[u8]) -> Result<(), Stop> {
    step.tx
        .prepare_cached("INSERT OR REPLACE INTO reach_answer VALUES (?, ?, ?)")?
        .execute(params![at.account.as_bytes(), at.hash, content])?;
    let (token, key) = (at.reach.answer_token(&at.hash), at.reach.answer_key(&at.hash));
    outbox::done(step, Waiting::Answer, &at.hash)?;
    for relay in &at.relays {
        let crypto = &step.mls.crypto;
        let sealed = envelope::seal_all(&key, token.tag(), &mut || crypto.bytes(), content)
            .map_err(|_| Stop::Refused("own answer"))?;
        outbox::put_meeting(step, Waiting::Answer, &at.hash, sealed, &token, *relay)?;
    }
    Ok(())
}
