//! Conversations: writing a text, taking in what others wrote, saying what was read.
//!
//! In: texts of the person, opened MLS messages of members. Out: message rows in causal order, outbox rows, events.
//! `graph` keeps the causal graph and what it proves about delivery; `receipts` says it where no message does;
//! `alarms` tells of commits that no honest device makes;
//! `wants` asks for what is missing, `originals` keeps what others may ask for;
//! `saved` is the one with oneself;
//! `epochs` keeps the branches that commits make, and `renewal` says when this device makes one.
//! Opening envelopes is the inbox's job, sealing and resending the outbox's.
//! Specified in `docs/protocol/05-message.md` and `07-conversation.md`.
//! Invariant: a message row, its graph, its MLS state and its outbox row change in one transaction.

pub(crate) mod alarms;
pub(crate) mod epochs;
pub(crate) mod graph;
pub(crate) mod originals;
pub(crate) mod receipts;
pub(crate) mod renewal;
pub(crate) mod saved;
pub(crate) mod wants;

use crate::api::{self, ChatId, Event, Fault, MessageKind, MessageState, Reply};
use crate::content::{self, mentions, shown::Shown, vanish};
use crate::defence::{self, Defence};
use crate::group;
use crate::listening;
use crate::meeting::{self, block, introduced};
use crate::mls::{Gid, MlsError, Signer};
use crate::near;
use crate::outbox::{self, Waiting};
use crate::own;
use crate::query;
use crate::reach;
use crate::relays;
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use std::collections::BTreeSet;
use stonechat_wire::group::SaidTimer;
use stonechat_wire::ids::{AccountId, EpochId, MessageId, RelayId};
use stonechat_wire::introduce::Person;
use stonechat_wire::message::{self, First, Kind, MessageHeader};
use stonechat_wire::place::Place;
use stonechat_wire::poll::Poll;

/// Longest text, bytes of UTF-8 (CNV-5).
pub(crate) const TEXT_MAX: usize = 16_384;
/// Parents a message names at most; more heads than that wait for the next message (MSG-2).
const PARENTS_MAX: usize = 16;
/// A clock value further ahead of the slot clock than this does not advance mine (MSG-3).
const HLC_AHEAD_MS: u64 = 24 * 3600 * 1000;
/// Left between a message and one that must stand below it, so that others find room there: one millisecond.
const ROOM: i64 = POSITIONS_PER_MS;
/// Messages that one late message moves at most.
const MOVES_MAX: usize = 4096;
/// The column `kind` of a message that is nothing to show.
pub(crate) const NOTHING_SHOWN: u8 = 4;
/// 2025-01-01, where positions start: keeps them below 2^53 until 2094.
const POSITION_EPOCH_MS: i64 = 1_735_689_600_000;
const POSITIONS_PER_MS: i64 = 4096;

/// A conversation as the step needs it.
#[derive(Debug)]
pub(crate) struct Conversation {
    pub(crate) group: Gid,
    pub(crate) chat: ChatId,
    pub(crate) epoch: EpochId,
    pub(crate) leaf: u32,
    pub(crate) hidden: bool,
    pub(crate) signer: Signer,
    /// It has a state of its own: a group.
    pub(crate) grouped: bool,
    /// How many accounts the head has.
    pub(crate) accounts: usize,
    /// I am in the head no more.
    pub(crate) gone: bool,
    /// I have said that I leave.
    pub(crate) leaving: bool,
    /// With oneself: nothing leaves this device.
    pub(crate) saved: bool,
    /// With another device of mine: two leaves of one account (OWN-1).
    pub(crate) own: bool,
    /// Some account has, or had, several leaves.
    pub(crate) shared: bool,
}

impl Conversation {
    /// Whoever it is, there is a third leaf that may lack what two have.
    pub(crate) const fn is_crowd(&self) -> bool {
        self.accounts > 2 || self.shared
    }
}

/// A message as it goes into its row.
struct NewMessage<'a> {
    id: MessageId,
    header: &'a MessageHeader,
    leaf: u32,
    epoch: EpochId,
    /// Where it was encrypted again, if it came so.
    again: Option<(EpochId, u32)>,
    sender: AccountId,
    mine: bool,
    shown: &'a Shown,
    body: Option<&'a [u8]>,
    client_id: Option<&'a str>,
}

/// Loads a conversation by its group.
pub(crate) fn load(step: &Step<'_, '_>, group: &Gid) -> Result<Option<Conversation>, Stop> {
    let sql = format!("{CONVERSATION} WHERE v.group_id = ?");
    Ok(step.tx.prepare_cached(&sql)?.query_row([group], row).optional()?)
}

const CONVERSATION: &str = "
    SELECT v.group_id, v.chat, v.head, v.leaf, c.hidden, v.signer, v.grouped, v.accounts, v.gone, v.leaving,
           v.own, v.shared, c.saved
    FROM conversation v JOIN chat c ON c.id = v.chat";

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Conversation> {
    Ok(Conversation {
        group: row.get(0)?,
        chat: row.get(1)?,
        epoch: EpochId::from_bytes(row.get(2)?),
        leaf: row.get(3)?,
        hidden: row.get(4)?,
        signer: Signer::new(row.get(5)?),
        grouped: row.get(6)?,
        accounts: usize::try_from(row.get::<_, u32>(7)?).unwrap_or(usize::MAX),
        gone: row.get(8)?,
        leaving: row.get(9)?,
        own: row.get(10)?,
        shared: row.get(11)?,
        saved: row.get(12)?,
    })
}

/// The conversation a chat writes to: none that turned us away if there is another, one the other side has let us into
/// before one that waits, then the smaller group id, so that two people who invited each other end in the same one (MEET-14).
fn written_to(step: &Step<'_, '_>, chat: ChatId) -> Result<Conversation, Stop> {
    let sql = format!(
        "{CONVERSATION} WHERE v.chat = ? AND c.hidden = 0 AND v.own = 0 ORDER BY v.gone, v.waiting, v.group_id LIMIT 1"
    );
    let found = step.tx.prepare_cached(&sql)?.query_row([chat], row).optional()?;
    let Some(of) = found else {
        return Err(Stop::Fault(nothing_written_to(step, chat)?));
    };
    if of.gone || of.leaving {
        return Err(Stop::Fault(Fault::NotMember));
    }
    if group::may_write(step, of.epoch, step.me()?)? {
        Ok(of)
    } else {
        Err(Stop::Fault(Fault::NotAllowed))
    }
}

/// Why nothing can be written in a chat: it may be one that is not back yet (RCH-2, RCH-6).
fn nothing_written_to(step: &Step<'_, '_>, chat: ChatId) -> Result<Fault, Stop> {
    let sql = "SELECT 1 FROM coming_back WHERE chat = ?1 UNION ALL SELECT 1 FROM lost_group WHERE chat = ?1";
    Ok(if step.tx.prepare_cached(sql)?.exists([chat])? {
        Fault::NotBackYet
    } else {
        Fault::NotFound
    })
}

/// The conversation of two with a contact who let me in.
pub(crate) fn with_contact(step: &Step<'_, '_>, account: AccountId) -> Result<Conversation, Stop> {
    let chat: Option<ChatId> = step
        .tx
        .prepare_cached("SELECT id FROM chat WHERE contact = ? AND hidden = 0 AND waiting = 0")?
        .query_row([account.as_bytes()], |row| row.get(0))
        .optional()?;
    written_to(step, chat.ok_or(Stop::Fault(Fault::NotFound))?)
}

/// Makes the rows of a conversation just founded or joined, and listens to it.
pub(crate) fn begin(
    step: &mut Step<'_, '_>,
    chat: ChatId,
    entered: &crate::mls::Entered,
    signer: &Signer,
    waiting: bool,
    relays: &[RelayId],
) -> Result<(), Stop> {
    enter(step, (chat, false), entered, signer, waiting, relays)?;
    // A conversation of two has no state of its own.
    if entered.state.is_none() {
        reach::keep(step, entered)?;
    }
    Ok(())
}

/// The same, where nobody is found again by it: others founded it, or it is with another device of mine.
pub(crate) fn enter(
    step: &mut Step<'_, '_>,
    (chat, own): (ChatId, bool),
    entered: &crate::mls::Entered,
    signer: &Signer,
    waiting: bool,
    relays: &[RelayId],
) -> Result<(), Stop> {
    step.tx.execute(
        "INSERT INTO conversation(group_id, chat, root, head, leaf, seq, signer, waiting, renew_at, created_at,
                                  own)
         VALUES (?1, ?2, ?3, ?3, ?4, 0, ?5, ?6, ?7, ?8, ?9)",
        params![
            entered.group,
            chat,
            entered.epoch.as_bytes(),
            entered.own_leaf,
            signer.seed(),
            waiting,
            renewal::first(step, entered.members.len()),
            step.time.0.cast_signed(),
            own
        ],
    )?;
    for relay in relays {
        join_relay(step, entered.group, *relay)?;
    }
    epochs::plant(step, entered)
}

/// Listens on all relays that carry this conversation by now.
pub(crate) fn follow(step: &mut Step<'_, '_>, of: &Conversation) -> Result<(), Stop> {
    listening::follow_group(step, &of.group)
}

/// A line by the app at the beginning of a chat, once.
pub(crate) fn note_began(step: &mut Step<'_, '_>, of: &Conversation) -> Result<(), Stop> {
    let began = step
        .tx
        .query_row("SELECT 1 FROM message WHERE chat = ? AND kind = 2", [of.chat], |_| {
            Ok(())
        })
        .optional()?;
    if began.is_some() {
        return Ok(());
    }
    let sql = "SELECT min(position) FROM message WHERE chat = ?";
    let first: Option<i64> = step.tx.query_row(sql, [of.chat], |row| row.get(0))?;
    let position = first.map_or_else(|| position_of(step.time.0.cast_signed()), |first| first - 1);
    let line = Line {
        kind: MessageKind::Began,
        by: step.me()?,
        mine: true,
        position,
    };
    insert_line(step, of, &line).map(|_| ())
}

/// A line by the app: somebody in this chat has a new device.
pub(crate) fn note_device(step: &mut Step<'_, '_>, of: &Conversation, account: AccountId) -> Result<(), Stop> {
    let sql = "SELECT max(position) FROM message WHERE chat = ?";
    let newest: Option<i64> = step.tx.query_row(sql, [of.chat], |row| row.get(0))?;
    let now = position_of(step.time.0.cast_signed());
    let line = Line {
        kind: MessageKind::NewDevice,
        by: account,
        mine: account == step.me()?,
        position: newest.map_or(now, |newest| now.max(newest + ROOM)),
    };
    let id = insert_line(step, of, &line)?;
    let message = loaded(step, id)?;
    step.event(Event::MessageAdded { message });
    step.touch_chat(of.chat);
    Ok(())
}

/// A line by the app: the timer that was set before this device came (GRP-13). It stands where the message stood that set it.
pub(crate) fn note_timer(
    step: &mut Step<'_, '_>,
    of: &Conversation,
    by: AccountId,
    timer: SaidTimer,
) -> Result<(), Stop> {
    let latest = step.time.0.saturating_add(HLC_AHEAD_MS);
    let clock = timer.hlc.min(latest).cast_signed();
    let line = Line {
        kind: MessageKind::Timer,
        by,
        mine: by == step.me()?,
        position: first_free(step, of.chat, position_of(clock))?,
    };
    let id = insert_line(step, of, &line)?;
    step.tx
        .prepare_cached("UPDATE message SET hlc = ?, timer_s = ? WHERE id = ?")?
        .execute(params![clock, timer.seconds.unwrap_or(0), id.as_bytes()])?;
    let message = loaded(step, id)?;
    step.event(Event::MessageAdded { message });
    step.touch_chat(of.chat);
    Ok(())
}

/// What the app says in a chat: nobody's message, and nobody gets it.
struct Line {
    kind: MessageKind,
    by: AccountId,
    mine: bool,
    position: i64,
}

fn insert_line(step: &Step<'_, '_>, of: &Conversation, line: &Line) -> Result<MessageId, Stop> {
    let id: [u8; 16] = step.mls.crypto.bytes();
    step.tx.execute(
        "INSERT INTO message(id, chat, position, group_id, epoch_id, leaf, seq, hlc, sender, mine, kind, text,
                             sent_at, received_at, state, complete, acked)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0, ?7, ?8, ?9, '', ?10, ?10, 3, 1, 2)",
        params![
            id,
            of.chat,
            line.position,
            of.group,
            of.epoch.as_bytes(),
            of.leaf,
            line.by.as_bytes(),
            line.mine,
            line.kind as u8,
            step.time.0.cast_signed()
        ],
    )?;
    Ok(MessageId::from_bytes(id))
}

/// Deletes a conversation; its chat and its person too, where nothing else holds them.
pub(crate) fn delete(step: &mut Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    let Some(of) = load(step, group)? else { return Ok(()) };
    for epoch in epochs::retained(step, group)? {
        listening::drop_about(step, epoch.as_bytes())?;
    }
    listening::drop_about(step, group)?;
    step.groups.forget();
    step.mls.rows.forget(group).map_err(MlsError::from)?;
    step.tx
        .execute("DELETE FROM message_parent WHERE group_id = ?", [group])?;
    step.tx
        .execute("DELETE FROM message_head WHERE group_id = ?", [group])?;
    step.tx
        .execute("DELETE FROM conversation WHERE group_id = ?", [group])?;
    let others = step
        .tx
        .prepare("SELECT 1 FROM conversation WHERE chat = ?")?
        .exists([of.chat])?;
    if others {
        step.touch_chat(of.chat);
        return Ok(());
    }
    step.tx
        .execute("DELETE FROM message WHERE group_id = ? AND chat IS NULL", [group])?;
    let contact: Option<[u8; 32]> =
        step.tx
            .query_row("DELETE FROM chat WHERE id = ? RETURNING contact", [of.chat], |row| {
                row.get(0)
            })?;
    step.tx.execute("DELETE FROM contact WHERE account = ?", [contact])?;
    step.event(Event::ChatRemoved { chat: of.chat });
    Ok(())
}

/// One more relay carries this conversation. Out: whether it is new there.
pub(crate) fn join_relay(step: &Step<'_, '_>, group: Gid, relay: RelayId) -> Result<bool, Stop> {
    let sql = "INSERT OR IGNORE INTO conversation_relay(group_id, relay) VALUES (?, ?)";
    Ok(step.tx.execute(sql, params![group, relay.as_bytes()])? == 1)
}

/// Writes a text. Sending twice with one client id sends once.
pub(crate) fn send(step: &mut Step<'_, '_>, wish: &api::Send) -> Result<Reply, Stop> {
    let text = wish.text.trim();
    if text.is_empty() || text.len() > TEXT_MAX {
        return Err(Stop::Fault(Fault::BadText));
    }
    if let Some(id) = sent_before(step, wish.chat, wish.client_id.as_deref())? {
        return Ok(Reply::Message(Box::new(loaded(step, id)?)));
    }
    let to = writable(step, wish.chat)?;
    let shown = Shown {
        reply_to: content::answered(step, to.chat, wish.reply_to.as_deref())?,
        timer_s: vanish::of_chat(step, to.chat)?,
        ..mentions::typed(step, &to, text, wish.marked)?
    };
    step.tx
        .execute("UPDATE chat SET draft = NULL WHERE id = ?", [to.chat])?;
    show(step, to, &shown, wish.client_id.as_deref())
}

/// Writes a message that is something to show.
pub(crate) fn show(
    step: &mut Step<'_, '_>,
    to: Conversation,
    shown: &Shown,
    client_id: Option<&str>,
) -> Result<Reply, Stop> {
    let (kind, body) = shown.encoded();
    let id = put(step, to, kind, &body, (shown, client_id))?;
    let message = loaded(step, id)?;
    step.event(Event::MessageAdded {
        message: message.clone(),
    });
    Ok(Reply::Message(Box::new(message)))
}

/// What a chat writes to, if its other side has not turned us away.
pub(crate) fn writable(step: &Step<'_, '_>, chat: ChatId) -> Result<Conversation, Stop> {
    if meeting::turned_away(step, chat)? {
        return Err(Stop::Fault(Fault::NotLetIn));
    }
    written_to(step, chat)
}

/// The message that was sent under this id of the caller's.
pub(crate) fn sent_before(step: &Step<'_, '_>, chat: ChatId, client: Option<&str>) -> Result<Option<MessageId>, Stop> {
    let Some(client) = client else { return Ok(None) };
    Ok(step
        .tx
        .prepare_cached("SELECT id FROM message WHERE chat = ? AND client_id = ?")?
        .query_row(params![chat, client], |row| row.get(0))
        .optional()?
        .map(MessageId::from_bytes))
}

pub(crate) fn loaded(step: &Step<'_, '_>, id: MessageId) -> Result<api::Message, Stop> {
    query::load_message(step.tx, id.as_bytes())?.ok_or(Stop::Fault(Fault::NotFound))
}

/// Writes a message that is nothing to show: key packages, a Welcome, "I leave", what is done to a message.
pub(crate) fn tell(step: &mut Step<'_, '_>, to: &Conversation, kind: Kind, body: &[u8]) -> Result<MessageId, Stop> {
    let to = load(step, &to.group)?.ok_or(Stop::Refused("no such conversation"))?;
    put(step, to, kind, body, (&Shown::default(), None))
}

fn insert_mine(
    step: &mut Step<'_, '_>,
    to: &Conversation,
    (id, header): (MessageId, &MessageHeader),
    (shown, client_id): (&Shown, Option<&str>),
) -> Result<(), Stop> {
    let new = NewMessage {
        id,
        header,
        leaf: to.leaf,
        epoch: to.epoch,
        again: None,
        sender: step.me()?,
        mine: true,
        shown,
        body: None,
        client_id,
    };
    insert(step, to, &new)
}

/// Writes a message in the conversation's newest epoch, and what it is here.
fn put(
    step: &mut Step<'_, '_>,
    mut to: Conversation,
    kind: Kind,
    body: &[u8],
    (shown, client_id): (&Shown, Option<&str>),
) -> Result<MessageId, Stop> {
    if to.saved {
        return saved::put(step, &to, kind, body, (shown, client_id));
    }
    let place = renewal::before_writing(step, &to)?;
    to.epoch = place.unwrap_or(to.epoch);
    let header = next_header(step, &to, kind)?;
    let id = match place {
        Some(_) => write(step, &to, &header, body)?,
        None => hold(step, &to, &header, body)?,
    };
    insert_mine(step, &to, (id, &header), (shown, client_id))?;
    epochs::wrote(step, &to.group, to.epoch, step.me()?, header.seq)?;
    receipts::told_by_message(step, &to, &header)?;
    if to.accounts == 1 {
        graph::nobody_left(step, &to, id)?;
    }
    Ok(id)
}

fn next_header(step: &Step<'_, '_>, to: &Conversation, kind: Kind) -> Result<MessageHeader, Stop> {
    let seq: u32 = step
        .tx
        .prepare_cached("UPDATE conversation SET seq = min(seq + 1, 4294967295) WHERE group_id = ? RETURNING seq")?
        .query_row([to.group], |row| row.get(0))?;
    let hlc: i64 = step
        .tx
        .prepare_cached("UPDATE account SET hlc = max(hlc + 1, ?) RETURNING hlc")?
        .query_row([step.time.0.cast_signed()], |row| row.get(0))?;
    let heads = graph::heads(step, &to.group, PARENTS_MAX)?;
    let parents = readable_by_all(step, to, heads)?;
    Ok(MessageHeader {
        kind,
        read_through: to.accounts <= epochs::ALL_CONFIRM_MAX
            && receipts::may_tell_reading(step)?
            && receipts::all_read(step, to)?,
        seq,
        hlc: hlc.unsigned_abs(),
        parents: parents.iter().map(MessageId::short).collect(),
    })
}

/// Of these, those that every member of the head was there for: who came later would wait for the others for ever
/// (CNV-6). What is left out a receipt confirms.
fn readable_by_all(step: &Step<'_, '_>, to: &Conversation, heads: Vec<MessageId>) -> Result<Vec<MessageId>, Stop> {
    if !to.grouped && !to.shared {
        return Ok(heads);
    }
    let now = epochs::readers(step, to.epoch)?;
    let mut readable = Vec::new();
    for id in heads {
        let there = match epochs::first_of(step, id)? {
            Some((epoch, _)) => epochs::readers(step, epoch)?,
            None => BTreeSet::new(),
        };
        if there.is_superset(&now) {
            readable.push(id);
        }
    }
    Ok(readable)
}

/// Says something in an epoch where I do not stand, that nobody keeps.
pub(crate) fn say_in(
    step: &mut Step<'_, '_>,
    group: &Gid,
    epoch: EpochId,
    kind: Kind,
    body: &[u8],
) -> Result<(), Stop> {
    let mut to = load(step, group)?.ok_or(Stop::Refused("no such conversation"))?;
    to.epoch = epoch;
    let header = MessageHeader {
        kind,
        read_through: false,
        seq: 0,
        hlc: step.time.0,
        parents: vec![],
    };
    write(step, &to, &header, body).map(drop)
}

/// Seals header and body for the group and puts them into the outbox. Out: the message id.
fn write(step: &mut Step<'_, '_>, to: &Conversation, header: &MessageHeader, body: &[u8]) -> Result<MessageId, Stop> {
    let head = header.encode();
    let id = message::message_id(&to.group, to.epoch, to.leaf, &head, body);
    let plain = [head.as_slice(), body].concat();
    let sealed = step.groups.write(&step.mls, (to.group, to.epoch), &to.signer, &plain)?;
    let (waiting, about): (_, &[u8]) = match header.kind {
        Kind::Receipt => (Waiting::Receipt, &to.group),
        Kind::Want => (Waiting::Again, &to.group),
        // In the group; in a conversation of two it is a message.
        Kind::Placed if to.grouped => (Waiting::Again, to.epoch.as_bytes()),
        _durable => (Waiting::Message, id.as_bytes()),
    };
    let plain = (waiting == Waiting::Message).then_some(plain.as_slice());
    outbox::put_group(step, waiting, about, (to.group, to.epoch), &sealed, plain)?;
    Ok(id)
}

/// The same, but it is encrypted when there is a place for it (FORK-8).
fn hold(step: &mut Step<'_, '_>, to: &Conversation, header: &MessageHeader, body: &[u8]) -> Result<MessageId, Stop> {
    let head = header.encode();
    let id = message::message_id(&to.group, to.epoch, to.leaf, &head, body);
    outbox::hold(step, id, (&to.group, to.epoch), &[head.as_slice(), body].concat())?;
    Ok(id)
}

/// Who sealed a message, and in which epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sealed {
    pub(crate) epoch: EpochId,
    pub(crate) leaf: u32,
    pub(crate) account: AccountId,
}

/// Takes in what a member wrote, once it is decrypted. Out: which message that is, where it is a new one.
pub(crate) fn take_in(
    step: &mut Step<'_, '_>,
    from: &Conversation,
    by: Sealed,
    plain: &[u8],
) -> Result<Option<MessageId>, Stop> {
    let (first, plain) = message::decode_again(plain).map_err(|_| Stop::Refused("message"))?;
    let (header, body) = MessageHeader::decode(plain).map_err(|_| Stop::Refused("message header"))?;
    let sender = by.account;
    // Written on another device of mine (OWN-5); between two of them it is the other one's.
    let mine = sender == step.me()? && !from.own;
    if header.kind == Kind::Placed && from.grouped {
        // Said where its sender does not stand.
        return group::placed::said(step, from, by, body).map(|()| None);
    }
    heard(step, from, by)?;
    match header.kind {
        Kind::Receipt if mine => return receipts::by_own_device(step, from, body).map(|()| None),
        Kind::Receipt => return receipts::take_in(step, from, sender, body).map(|()| None),
        Kind::Want => return wants::take_in(step, from, by, body).map(|()| None),
        _durable => {}
    }
    if header.seq == 0 {
        return Err(Stop::Refused("message header"));
    }
    let again = first.map(|_| (by.epoch, by.leaf));
    let first = first_encryption(step, by, first)?;
    let head = plain.get(..plain.len().saturating_sub(body.len())).unwrap_or_default();
    let id = message::message_id(&from.group, first.epoch, first.leaf, head, body);
    if defence::holds(Defence::KnownMessages) && graph::known(step, id)? {
        // Its sender has heard nothing yet: tell again.
        receipts::due(step, &from.group)?;
        return originals::came_encrypted_again(step, id).map(|()| None);
    }
    let mut shown = shown_as(step, from, sender, first.epoch, &header, body)?;
    let unheard = !block::counts(header.kind) && block::is_blocked(step, sender)?;
    if unheard {
        shown = Shown::default();
    }
    let kind = shown.kind;
    let new = NewMessage {
        id,
        header: &header,
        leaf: first.leaf,
        epoch: first.epoch,
        again,
        sender,
        mine,
        shown: &shown,
        body: (kind == Some(MessageKind::Unknown)).then_some(body),
        client_id: None,
    };
    advance_clock(step, header.hlc)?;
    insert(step, from, &new)?;
    if mine {
        graph::confirmed_before(step, from, id)?;
    }
    if mine && from.grouped && from.accounts == 1 {
        graph::nobody_left(step, from, id)?;
    }
    if kind.is_some() {
        receipts::due(step, &from.group)?;
    } else {
        receipts::due_quietly(step, &from.group)?;
    }
    wants::arrived(step, &from.group, id)?;
    wants::note(step, from, &header.parents, wants::Named::AsParent)?;
    epochs::wrote(step, &from.group, first.epoch, sender, header.seq)?;
    if mine {
        by_own_device(step, from, id, &header)?;
    } else {
        let level = if header.read_through {
            graph::Reached::Read
        } else {
            graph::Reached::Delivered
        };
        graph::acknowledge(step, from, sender, &header.parents, level)?;
    }
    if unheard {
        return Ok(Some(id));
    }
    if kind.is_none() {
        // It is confirmed whatever comes of it: what does not fit would not fit when it comes again.
        let _refused = step.attempt(|step| told(step, from, by, id, header.kind, body))?;
        return Ok(Some(id));
    }
    content::arrived(step, from.chat, id)?;
    own::arrived(step, from, id)?;
    if let (Some(ask), false) = (&shown.introduction, mine) {
        introduced::came(step, sender, id, ask)?;
    }
    if !from.hidden {
        let message = loaded(step, id)?;
        step.event(Event::MessageAdded { message });
    }
    Ok(Some(id))
}

/// A message of mine by another device: a relay has it, or it would not be here; it says what was read there (OWN-6).
fn by_own_device(
    step: &mut Step<'_, '_>,
    of: &Conversation,
    id: MessageId,
    header: &MessageHeader,
) -> Result<(), Stop> {
    step.tx
        .prepare_cached("UPDATE conversation SET seq = max(seq, ?) WHERE group_id = ?")?
        .execute(params![header.seq, of.group])?;
    vanish::left(step, id)?;
    if header.read_through {
        for parent in &header.parents {
            read_elsewhere(step, of, *parent)?;
        }
    }
    Ok(())
}

/// Another device of mine has read up to this message. Out: whether it is here.
pub(crate) fn read_elsewhere(step: &mut Step<'_, '_>, of: &Conversation, upto: [u8; 8]) -> Result<bool, Stop> {
    let Some(held) = graph::held(step, &of.group, upto)? else {
        return Ok(false);
    };
    let position: i64 = step
        .tx
        .prepare_cached("SELECT position FROM message WHERE id = ?")?
        .query_row([held.id.as_bytes()], |row| row.get(0))?;
    if note_read(step, of.chat, position)? > 0 {
        step.touch_chat(of.chat);
    }
    Ok(true)
}

/// What a message is to a reader: a text, something newer, or nothing to show. Errors: its sender may not write.
fn shown_as(
    step: &Step<'_, '_>,
    from: &Conversation,
    sender: AccountId,
    epoch: EpochId,
    header: &MessageHeader,
    body: &[u8],
) -> Result<Shown, Stop> {
    let served = match header.kind {
        _any if from.own => true,
        Kind::KeyPackages | Kind::Welcome | Kind::Behind | Kind::Placed | Kind::Lacking | Kind::Introduced => {
            !from.grouped
        }
        Kind::Near | Kind::Relays => true,
        Kind::Leave | Kind::Consent | Kind::Picture => from.grouped,
        _other => false,
    };
    if served {
        return Ok(Shown::default());
    }
    if defence::holds(Defence::WriteLock) && !group::may_write(step, epoch, sender)? {
        return Err(Stop::Refused("may not write"));
    }
    Ok(match header.kind {
        Kind::Reaction | Kind::Edit | Kind::Deletion | Kind::Pin | Kind::Vote | Kind::Close => Shown::default(),
        Kind::Timer if !group::may_edit(step, epoch, sender)? => Shown::default(),
        // Nobody is introduced in a group (INT-1).
        Kind::Introduced => Shown::default(),
        Kind::Introduce => introduced::judged(step, from, sender, body)?,
        kind => mentions::judged(step, epoch, sender, Shown::read(kind, body))?,
    })
}

/// Does what a message says that is nothing to show.
fn told(
    step: &mut Step<'_, '_>,
    from: &Conversation,
    by: Sealed,
    id: MessageId,
    kind: Kind,
    body: &[u8],
) -> Result<(), Stop> {
    if from.gone && !from.grouped {
        return Ok(());
    }
    let mine = by.account == step.me()?;
    match kind {
        Kind::Own if from.own => own::take_in(step, from, body),
        Kind::Relays if !from.hidden => relays::told(step, from, by, body),
        _other if from.own => Ok(()),
        // Another device of mine says it to somebody else.
        Kind::KeyPackages | Kind::Welcome | Kind::Behind | Kind::Placed | Kind::Lacking if mine => Ok(()),
        Kind::KeyPackages => group::supply::take_in(step, by.account, body),
        Kind::Welcome if !from.hidden => group::joining::take_in(step, from, by.account, body),
        Kind::Behind => group::behind::take_in(step, by.account, body),
        Kind::Placed => group::placed::take_in(step, by.account, body),
        Kind::Introduced if !from.grouped => introduced::told(step, from, by.account, body),
        Kind::Lacking => group::apart::lacks(step, by.account, body),
        Kind::Near if !from.hidden => near::told(step, from, by.account, body),
        Kind::Leave => group::leave_said(step, from, by, body),
        Kind::Consent => group::succession::said(step, from, by.account, body),
        Kind::Picture if from.grouped => group::picture::come(step, from, body),
        Kind::Reaction | Kind::Edit | Kind::Deletion | Kind::Pin | Kind::Vote | Kind::Close => {
            content::take_in(step, from.chat, id, kind, body)
        }
        Kind::Text
        | Kind::Reply
        | Kind::Post
        | Kind::Timer
        | Kind::Receipt
        | Kind::Welcome
        | Kind::Want
        | Kind::Near
        | Kind::Relays
        | Kind::Own
        | Kind::Introduce
        | Kind::Introduced
        | Kind::Picture
        | Kind::Unknown(_) => Ok(()),
    }
}

/// Where a message was encrypted first: here, or where it says, if that place was its sender's (MSG-8).
fn first_encryption(step: &Step<'_, '_>, by: Sealed, says: Option<First>) -> Result<First, Stop> {
    let Some(first) = says else {
        return Ok(First {
            epoch: by.epoch,
            leaf: by.leaf,
        });
    };
    let fits = match epochs::was_leaf_of(step, first.epoch, first.leaf)? {
        Some(account) => account == by.account,
        // An epoch that is not known here: then the leaf must be the sender's own.
        None => first.leaf == by.leaf,
    };
    if fits {
        Ok(first)
    } else {
        Err(Stop::Refused("somebody else's message"))
    }
}

/// A person was heard of.
fn heard(step: &mut Step<'_, '_>, from: &Conversation, by: Sealed) -> Result<(), Stop> {
    step.tx
        .prepare_cached("UPDATE contact SET heard_at = ? WHERE account = ?")?
        .execute(params![step.time.0.cast_signed(), by.account.as_bytes()])?;
    originals::heard_in(step, from, by.account, by.epoch)?;
    group::placed::hear(step, from, by)?;
    group::placed::heard_again(step, from, by)?;
    group::apart::heard(step, from, by.account, by.epoch)?;
    group::succession::heard(step, from, by.account)?;
    if by.account == step.me()? && !from.own {
        return Ok(());
    }
    epochs::heard(step, &from.group, by.account, by.epoch)
}

fn advance_clock(step: &Step<'_, '_>, hlc: u64) -> Result<(), Stop> {
    if hlc <= step.time.0.saturating_add(HLC_AHEAD_MS) || !defence::holds(Defence::ClockAhead) {
        step.tx
            .prepare_cached("UPDATE account SET hlc = max(hlc, ?)")?
            .execute([hlc.cast_signed()])?;
    }
    Ok(())
}

fn insert(step: &mut Step<'_, '_>, of: &Conversation, new: &NewMessage<'_>) -> Result<(), Stop> {
    let complete = graph::link(step, &of.group, new.id, &new.header.parents)?;
    let mut placed = graph::Placed {
        group: of.group,
        id: new.id,
        chat: new.shown.kind.map(|_| of.chat),
        sender: new.sender,
        leaf: of.shared.then_some(new.leaf),
        hlc: new.header.hlc.cast_signed(),
        position: 0,
    };
    placed.position = place(step, of, &placed)?;
    let (hlc, time) = (new.header.hlc.cast_signed(), step.time.0.cast_signed());
    let state = if new.mine && new.leaf == of.leaf {
        MessageState::Queued
    } else if new.mine {
        MessageState::Carried
    } else {
        MessageState::Received
    };
    step.tx
        .prepare_cached(
            "INSERT INTO message(id, chat, position, group_id, epoch_id, leaf, seq, hlc, sender, mine, kind, text, body,
                                 sent_at, received_at, state, complete, acked, client_id, reply_to, timer_s,
                                 spans, mentions, poll, forwarded, card, place, came_epoch, came_leaf)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            new.id.as_bytes(),
            placed.chat,
            placed.position,
            of.group,
            new.epoch.as_bytes(),
            new.leaf,
            new.header.seq,
            hlc,
            new.sender.as_bytes(),
            new.mine,
            new.shown.kind.map_or(NOTHING_SHOWN, |kind| kind as u8),
            new.shown.text,
            new.body,
            hlc.min(time),
            time,
            state as u8,
            complete,
            0,
            new.client_id,
            new.shown.reply_to.map(|id| *id.as_bytes()),
            new.shown.timer_s(),
            new.shown.spans(),
            new.shown.mentions_me,
            new.shown.poll.as_ref().map(Poll::encode),
            new.shown.forwarded(),
            new.shown.card.as_ref().map(Person::encode),
            new.shown.place.as_ref().map(Place::encode),
            new.again.map(|(epoch, _)| *epoch.as_bytes()),
            new.again.map(|(_, leaf)| leaf),
        ])?;
    // RCH-3: written where its sender's lost devices read.
    if of.gone && !of.grouped && !new.mine {
        step.tx
            .prepare_cached("UPDATE message SET late = 1 WHERE id = ?")?
            .execute([new.id.as_bytes()])?;
    }
    if of.grouped || of.shared {
        let written = epochs::Written {
            id: new.id,
            sender: new.sender,
            first: (new.epoch, new.leaf),
            again: new.again,
        };
        let changed = epochs::judge_new(step, of, &written)?;
        content::judge_late(step, &changed)?;
    }
    if let Some(media) = &new.shown.media {
        content::media::keep(step, new.id, media)?;
    }
    push_down(step, of, placed)?;
    if complete && graph::completed(step, &of.group, new.id)? {
        // Of what stands on screen something is missing no more.
        step.event(Event::Ingested { messages: 0 });
    }
    if new.shown.kind.is_none() {
        return Ok(());
    }
    step.tx
        .prepare_cached("UPDATE chat SET active_at = max(active_at, ?), unread = unread + ? WHERE id = ?")?
        .execute(params![time, u8::from(!new.mine), of.chat])?;
    step.touch_chat(of.chat);
    Ok(())
}

/// Where a message stands in its chat: by its clock, but never before what it answers or what its sender wrote
/// before it, nor after what answers it (CNV-2).
fn place(step: &Step<'_, '_>, of: &Conversation, new: &graph::Placed) -> Result<i64, Stop> {
    let (above, below) = graph::neighbours(step, new)?;
    let clock = new.hlc.min(step.time.0.saturating_add(HLC_AHEAD_MS).cast_signed());
    let tie = i64::from(u16::from_be_bytes([new.id.as_bytes()[0], new.id.as_bytes()[1]])) % POSITIONS_PER_MS;
    let mut position = position_of(clock) + tie;
    if let Some(below) = below {
        position = position.min(below - 1);
    }
    if let Some(above) = above {
        let room = below.map_or(ROOM, |below| ((below - above) / 2).clamp(1, ROOM));
        position = position.max(above + room);
    }
    first_free(step, of.chat, position)
}

fn first_free(step: &Step<'_, '_>, chat: ChatId, mut position: i64) -> Result<i64, Stop> {
    let mut taken = step
        .tx
        .prepare_cached("SELECT 1 FROM message WHERE chat = ? AND position = ?")?;
    while taken.exists(params![chat, position])? {
        position += 1;
    }
    Ok(position)
}

/// A message that came late may belong before some that stand above it: these move below it, and what follows them.
fn push_down(step: &mut Step<'_, '_>, of: &Conversation, from: graph::Placed) -> Result<(), Stop> {
    let (mut open, mut moved) = (vec![from], 0);
    while let Some(upper) = open.pop() {
        for mut lower in graph::followers(step, &upper)? {
            // A leaf that numbers its messages against their parents would move them for ever.
            if lower.position > upper.position || moved >= MOVES_MAX {
                continue;
            }
            lower.position = first_free(step, of.chat, upper.position + ROOM)?;
            step.tx
                .prepare_cached("UPDATE message SET position = ? WHERE id = ?")?
                .execute(params![lower.position, lower.id.as_bytes()])?;
            moved += 1;
            open.push(lower);
        }
    }
    if moved > 0 {
        step.event(Event::Ingested { messages: 0 });
    }
    Ok(())
}

const fn position_of(clock_ms: i64) -> i64 {
    (clock_ms - POSITION_EPOCH_MS) * POSITIONS_PER_MS
}

/// Everything in the chat up to this position has been read.
pub(crate) fn mark_read(step: &mut Step<'_, '_>, chat: ChatId, position: i64) -> Result<Reply, Stop> {
    if note_read(step, chat, position)? > 0 {
        step.touch_chat(chat);
        receipts::reading(step, chat)?;
        own::reading(step, chat)?;
    }
    Ok(Reply::Done {})
}

fn note_read(step: &Step<'_, '_>, chat: ChatId, position: i64) -> Result<usize, Stop> {
    let (now, confirmed) = (step.time.0.cast_signed(), vanish::confirmed(step)?);
    let read = step
        .tx
        .prepare_cached(vanish::READ)?
        .execute(params![chat, position, now, confirmed])?;
    step.tx
        .prepare_cached("UPDATE chat SET read_to = max(read_to, ?), unread = max(0, unread - ?) WHERE id = ?")?
        .execute(params![position, i64::try_from(read).unwrap_or(i64::MAX), chat])?;
    Ok(read)
}
