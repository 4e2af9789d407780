//! The causal graph of a conversation: who answers what, what is missing, and what that proves.
//!
//! In: message ids and their parents (known by 8 bytes). Out: completeness, heads, and for my messages how far they
//! got. A message is *complete* when all its ancestors are here; only complete heads are named as parents or in
//! receipts, so naming one confirms all it descends from (CNV-3, RCP-1).

use super::{Conversation, epochs};
use crate::api::{ChatId, Event, MessageState};
use crate::content::vanish;
use crate::mls::Gid;
use crate::outbox::{self, Waiting};
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use stonechat_wire::ids::{AccountId, EpochId, MessageId};

/// How far the other side got with a message and all its ancestors; the number is the column `acked`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Reached {
    Delivered = 1,
    Read = 2,
}

impl Reached {
    const fn of(acked: u8) -> Option<Self> {
        match acked {
            1 => Some(Self::Delivered),
            2 => Some(Self::Read),
            _nobody => None,
        }
    }
}

type Short = [u8; 8];

/// A message with this id is here.
pub(crate) fn known(step: &Step<'_, '_>, id: MessageId) -> Result<bool, Stop> {
    Ok(step
        .tx
        .prepare_cached("SELECT 1 FROM message WHERE id = ?")?
        .exists([id.as_bytes()])?)
}

/// A message that is here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) id: MessageId,
    pub(crate) sender: AccountId,
    pub(crate) mine: bool,
}

/// The message whose id begins so, if it is here.
pub(crate) fn held(step: &Step<'_, '_>, group: &Gid, short: Short) -> Result<Option<Held>, Stop> {
    // The plus: see `find`.
    let (low, high) = ([short, [0; 8]].concat(), [short, [0xff; 8]].concat());
    let sql = "SELECT id, sender, mine FROM message WHERE id BETWEEN ? AND ? AND +group_id = ?";
    let found = step
        .tx
        .prepare_cached(sql)?
        .query_row(params![low, high, group], |row| {
            Ok(Held {
                id: MessageId::from_bytes(row.get(0)?),
                sender: AccountId::from_bytes(row.get(1)?),
                mine: row.get(2)?,
            })
        });
    Ok(found.optional()?)
}

/// The newest complete heads.
pub(crate) fn heads(step: &Step<'_, '_>, group: &Gid, most: usize) -> Result<Vec<MessageId>, Stop> {
    let mut rows = step.tx.prepare_cached(
        "SELECT h.id FROM message_head h JOIN message m ON m.id = h.id WHERE h.group_id = ? ORDER BY m.hlc DESC, h.id LIMIT ?",
    )?;
    let found = rows.query_map(params![group, u32::try_from(most).unwrap_or(u32::MAX)], |row| {
        row.get(0)
    })?;
    Ok(found
        .map(|id| id.map(MessageId::from_bytes))
        .collect::<Result<_, _>>()?)
}

/// Notes a message's parents. Out: whether all its ancestors are here.
pub(crate) fn link(step: &Step<'_, '_>, group: &Gid, id: MessageId, parents: &[Short]) -> Result<bool, Stop> {
    let mut complete = true;
    for parent in parents {
        step.tx
            .prepare_cached("INSERT OR IGNORE INTO message_parent VALUES (?, ?, ?)")?
            .execute(params![group, id.as_bytes(), parent])?;
        complete &= find(step, group, *parent)?.is_some_and(|found| found.complete);
    }
    Ok(complete)
}

/// A message has become complete: it is a head, its parents are none, and children that waited for it may follow.
/// Out: whether some did.
pub(crate) fn completed(step: &Step<'_, '_>, group: &Gid, id: MessageId) -> Result<bool, Stop> {
    let (mut ready, mut followed) = (vec![id], false);
    while let Some(id) = ready.pop() {
        for parent in parents(step, group, id)? {
            if let Some(found) = find(step, group, parent)? {
                step.tx
                    .prepare_cached("DELETE FROM message_head WHERE group_id = ? AND id = ?")?
                    .execute(params![group, found.id.as_bytes()])?;
            }
        }
        let children = children(step, group, id)?;
        if !children.iter().any(|child| child.complete) {
            step.tx
                .prepare_cached("INSERT OR IGNORE INTO message_head VALUES (?, ?)")?
                .execute(params![group, id.as_bytes()])?;
        }
        for child in children.into_iter().filter(|child| !child.complete) {
            if ancestors_here(step, group, child.id)? {
                step.tx
                    .prepare_cached("UPDATE message SET complete = 1 WHERE id = ?")?
                    .execute([child.id.as_bytes()])?;
                ready.push(child.id);
                followed = true;
            }
        }
    }
    Ok(followed)
}

/// An account has these and everything they descend from: my messages among them got that far (RCP-1), in a group
/// once enough accounts have them (OUT-7).
pub(crate) fn acknowledge(
    step: &mut Step<'_, '_>,
    of: &Conversation,
    by: AccountId,
    from: &[Short],
    level: Reached,
) -> Result<(), Stop> {
    let mut open: Vec<Short> = from.to_vec();
    while let Some(short) = open.pop() {
        let Some(found) = find(step, &of.group, short)? else {
            continue;
        };
        if found.acked >= level as u8 {
            continue; // so are all its ancestors
        }
        if of.grouped && !note_ack(step, found.id, by, level)? {
            continue; // known, and so for all its ancestors
        }
        if !of.grouped || has_enough(step, of, &found, level)? {
            enough(step, of, &found, level)?;
        }
        open.extend(parents(step, &of.group, found.id)?);
    }
    Ok(())
}

/// A message of mine came from another device of mine after what follows it was confirmed: so was it (OWN-5, RCP-1).
pub(crate) fn confirmed_before(step: &mut Step<'_, '_>, of: &Conversation, id: MessageId) -> Result<(), Stop> {
    for child in children(step, &of.group, id)? {
        for (by, level) in acks(step, child.id)? {
            acknowledge(step, of, by, &[id.short()], level)?;
        }
        let Some(level) = Reached::of(child.acked) else {
            continue;
        };
        let mut open = vec![id.short()];
        while let Some(short) = open.pop() {
            let Some(found) = find(step, &of.group, short)?.filter(|found| found.acked < level as u8) else {
                continue;
            };
            enough(step, of, &found, level)?;
            open.extend(parents(step, &of.group, found.id)?);
        }
    }
    Ok(())
}

fn acks(step: &Step<'_, '_>, id: MessageId) -> Result<Vec<(AccountId, Reached)>, Stop> {
    let mut rows = step
        .tx
        .prepare_cached("SELECT account, level FROM message_ack WHERE message = ?")?;
    let found = rows.query_map([id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let found: Vec<([u8; 32], u8)> = found.collect::<Result<_, _>>()?;
    let acks = found
        .into_iter()
        .filter_map(|(by, level)| Some((AccountId::from_bytes(by), Reached::of(level)?)));
    Ok(acks.collect())
}

/// What heads of mine confirm to a member who cannot read them: the nearest ancestors that all members of the head can
/// read, or wrote themselves with a leaf they had before (CNV-6, RCP-1). At most so many are looked at.
pub(crate) fn readable_before(
    step: &Step<'_, '_>,
    of: &Conversation,
    heads: &[MessageId],
    most: usize,
) -> Result<Vec<MessageId>, Stop> {
    let now = epochs::readers(step, of.epoch)?;
    let (mut open, mut at, mut readable) = (heads.to_vec(), 0, Vec::new());
    while let Some(id) = open.get(at).copied() {
        at += 1;
        let Some((epoch, leaf)) = epochs::first_of(step, id)? else {
            continue;
        };
        let there = epochs::readers(step, epoch)?;
        let replaced = epochs::replaced_author(step, epoch, leaf, &now)?;
        if now.iter().all(|one| there.contains(one) || Some(one.0) == replaced) {
            readable.push(id);
            continue;
        }
        for parent in parents(step, &of.group, id)? {
            let found = find(step, &of.group, parent)?.map(|found| found.id);
            if let Some(found) = found.filter(|found| open.len() < most && !open.contains(found)) {
                open.push(found);
            }
        }
    }
    readable.retain(|id| !heads.contains(id));
    Ok(readable)
}

/// Out: false where that was known.
fn note_ack(step: &Step<'_, '_>, id: MessageId, by: AccountId, level: Reached) -> Result<bool, Stop> {
    let sql = "INSERT INTO message_ack VALUES (?1, ?2, ?3)
               ON CONFLICT DO UPDATE SET level = excluded.level WHERE level < excluded.level";
    let changed = step
        .tx
        .prepare_cached(sql)?
        .execute(params![id.as_bytes(), by.as_bytes(), level as u8])?;
    Ok(changed > 0)
}

fn has_enough(step: &Step<'_, '_>, of: &Conversation, found: &Found, level: Reached) -> Result<bool, Stop> {
    let count: u32 = step
        .tx
        .prepare_cached("SELECT count(*) FROM message_ack WHERE message = ? AND level >= ?")?
        .query_row(params![found.id.as_bytes(), level as u8], |row| row.get(0))?;
    Ok(count as usize >= epochs::enough(step, found.epoch, of.epoch)?)
}

fn enough(step: &mut Step<'_, '_>, of: &Conversation, found: &Found, level: Reached) -> Result<(), Stop> {
    step.tx
        .prepare_cached("UPDATE message SET acked = ? WHERE id = ?")?
        .execute(params![level as u8, found.id.as_bytes()])?;
    if of.grouped {
        step.tx
            .prepare_cached("DELETE FROM message_ack WHERE message = ? AND level <= ?")?
            .execute(params![found.id.as_bytes(), level as u8])?;
    }
    if found.mine {
        reached(step, of, found.id, level)?;
    }
    Ok(())
}

/// Members went: what waited for them alone waits no more.
pub(crate) fn recount(step: &mut Step<'_, '_>, of: &Conversation) -> Result<(), Stop> {
    // What another device of mine wrote waits in its outbox, and is open here.
    let sql = "SELECT about FROM outbox WHERE group_id = ?1 AND purpose = 0
               UNION SELECT id FROM message WHERE chat = ?2 AND mine = 1 AND state < 2 AND group_id = ?1";
    let waiting: Vec<[u8; 16]> = step
        .tx
        .prepare_cached(sql)?
        .query_map(params![of.group, of.chat], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in waiting.into_iter().map(MessageId::from_bytes) {
        let Some(found) = find(step, &of.group, id.short())? else {
            continue;
        };
        if epochs::enough(step, found.epoch, of.epoch)? == 0 {
            nobody_left(step, of, id)?;
        } else if has_enough(step, of, &found, Reached::Delivered)? {
            enough(step, of, &found, Reached::Delivered)?;
        }
    }
    Ok(())
}

/// There is nobody (any more) whom a message of mine could reach: it waits for nobody; where other devices of mine read, for
/// a relay (OWN-5).
pub(crate) fn nobody_left(step: &mut Step<'_, '_>, of: &Conversation, id: MessageId) -> Result<(), Stop> {
    step.tx
        .prepare_cached("UPDATE message SET state = max(state, ?) WHERE id = ?")?
        .execute(params![MessageState::Delivered as u8, id.as_bytes()])?;
    if of.shared {
        outbox::done_if_stored(step, id)?;
    } else {
        outbox::done(step, Waiting::Message, id.as_bytes())?;
    }
    vanish::left(step, id)?;
    step.touch_chat(of.chat);
    Ok(())
}

/// A message of mine got this far: the outbox is done with it, the interface learns it.
fn reached(step: &mut Step<'_, '_>, of: &Conversation, id: MessageId, level: Reached) -> Result<(), Stop> {
    let state = match level {
        Reached::Delivered => MessageState::Delivered,
        Reached::Read => MessageState::Read,
    };
    step.tx
        .prepare_cached("UPDATE message SET state = ?1 WHERE id = ?2 AND state < ?1")?
        .execute(params![state as u8, id.as_bytes()])?;
    vanish::left(step, id)?;
    outbox::confirmed(step, of, id)?;
    if !is_shown(step, id)? {
        return Ok(());
    }
    step.touch_chat(of.chat);
    step.event(Event::MessageState {
        chat: of.chat,
        id: hex::encode(id.as_bytes()),
        state,
    });
    Ok(())
}

fn is_shown(step: &Step<'_, '_>, id: MessageId) -> Result<bool, Stop> {
    Ok(step
        .tx
        .prepare_cached("SELECT 1 FROM message WHERE id = ? AND chat IS NOT NULL")?
        .exists([id.as_bytes()])?)
}

/// A message and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    pub(crate) group: Gid,
    pub(crate) id: MessageId,
    /// Nothing where there is nothing to show: only its parents and children order such a message.
    pub(crate) chat: Option<ChatId>,
    pub(crate) sender: AccountId,
    /// Where accounts have several leaves: which one wrote it. What two of them write is ordered by parents alone.
    pub(crate) leaf: Option<u32>,
    pub(crate) hlc: i64,
    pub(crate) position: i64,
}

fn placed(row: &rusqlite::Row<'_>) -> rusqlite::Result<Placed> {
    Ok(Placed {
        group: row.get(0)?,
        id: MessageId::from_bytes(row.get(1)?),
        chat: row.get(2)?,
        sender: AccountId::from_bytes(row.get(3)?),
        hlc: row.get(4)?,
        position: row.get(5)?,
        leaf: row.get(6)?,
    })
}

/// Positions between which a message must stand: after its parents and what its sender wrote before in this chat,
/// before its children and what its sender wrote later. A chat may hold two conversations, of two who invited each
/// other: the sender's clock orders what it wrote in both (CNV-2).
pub(crate) fn neighbours(step: &Step<'_, '_>, of: &Placed) -> Result<(Option<i64>, Option<i64>), Stop> {
    let mut above: Option<i64> = step
        .tx
        .prepare_cached(
            "SELECT position FROM message WHERE chat = ? AND sender = ? AND hlc < ?
             AND (group_id <> ?4 OR leaf = coalesce(?5, leaf)) ORDER BY hlc DESC LIMIT 1",
        )?
        .query_row(
            params![of.chat, of.sender.as_bytes(), of.hlc, of.group, of.leaf],
            |row| row.get(0),
        )
        .optional()?;
    for parent in parents(step, &of.group, of.id)? {
        above = above.max(find(step, &of.group, parent)?.map(|found| found.position));
    }
    let below = followers(step, of)?;
    Ok((above, below.iter().map(|below| below.position).min()))
}

/// What must stand below a message: its children, and the next that its sender wrote in this chat.
pub(crate) fn followers(step: &Step<'_, '_>, of: &Placed) -> Result<Vec<Placed>, Stop> {
    let mut rows = step.tx.prepare_cached(
        "SELECT m.group_id, m.id, m.chat, m.sender, m.hlc, m.position, CASE WHEN ?6 IS NOT NULL THEN m.leaf END
         FROM message_parent p JOIN message m ON m.id = p.child WHERE p.group_id = ?1 AND p.parent = ?2
         UNION
         SELECT * FROM (SELECT group_id, id, chat, sender, hlc, position, CASE WHEN ?6 IS NOT NULL THEN leaf END
                        FROM message WHERE chat = ?3 AND sender = ?4 AND hlc > ?5
                        AND (group_id <> ?1 OR leaf = coalesce(?6, leaf)) ORDER BY hlc LIMIT 1)",
    )?;
    let found = rows.query_map(
        params![of.group, of.id.short(), of.chat, of.sender.as_bytes(), of.hlc, of.leaf],
        placed,
    )?;
    Ok(found.collect::<Result<_, _>>()?)
}

struct Found {
    id: MessageId,
    mine: bool,
    complete: bool,
    acked: u8,
    position: i64,
    epoch: EpochId,
}

fn found(row: &rusqlite::Row<'_>) -> rusqlite::Result<Found> {
    Ok(Found {
        id: MessageId::from_bytes(row.get(0)?),
        mine: row.get(1)?,
        complete: row.get(2)?,
        acked: row.get(3)?,
        position: row.get(4)?,
        epoch: EpochId::from_bytes(row.get(5)?),
    })
}

fn find(step: &Step<'_, '_>, group: &Gid, short: Short) -> Result<Option<Found>, Stop> {
    // The plus keeps SQLite on the range of ids: the index of groups would walk the whole conversation.
    let (low, high) = ([short, [0; 8]].concat(), [short, [0xff; 8]].concat());
    let sql =
        "SELECT id, mine, complete, acked, position, epoch_id FROM message WHERE id BETWEEN ? AND ? AND +group_id = ?";
    Ok(step
        .tx
        .prepare_cached(sql)?
        .query_row(params![low, high, group], found)
        .optional()?)
}

fn parents(step: &Step<'_, '_>, group: &Gid, id: MessageId) -> Result<Vec<Short>, Stop> {
    let mut rows = step
        .tx
        .prepare_cached("SELECT parent FROM message_parent WHERE group_id = ? AND child = ?")?;
    let found = rows.query_map(params![group, id.as_bytes()], |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn children(step: &Step<'_, '_>, group: &Gid, id: MessageId) -> Result<Vec<Found>, Stop> {
    let mut rows = step.tx.prepare_cached(
        "SELECT m.id, m.mine, m.complete, m.acked, m.position, m.epoch_id
         FROM message_parent p JOIN message m ON m.id = p.child WHERE p.group_id = ? AND p.parent = ?",
    )?;
    let found = rows.query_map(params![group, id.short()], found)?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// What names a message as its parent.
pub(crate) fn child_ids(step: &Step<'_, '_>, group: &Gid, parent: Short) -> Result<Vec<MessageId>, Stop> {
    let mut rows = step
        .tx
        .prepare_cached("SELECT child FROM message_parent WHERE group_id = ? AND parent = ?")?;
    let found = rows.query_map(params![group, parent], |row| row.get(0).map(MessageId::from_bytes))?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn ancestors_here(step: &Step<'_, '_>, group: &Gid, id: MessageId) -> Result<bool, Stop> {
    for parent in parents(step, group, id)? {
        if !find(step, group, parent)?.is_some_and(|found| found.complete) {
            return Ok(false);
        }
    }
    Ok(true)
}
