//! What the Welcomes of one commit have in common (group info with the tree), where it is too long to stand in each: put
//! once into a mailbox of its own, and fetched by everybody who was added.
//!
//! In: a commit of mine that adds, who was heard; or an invitation that names such a part, and its envelopes. Out: the part,
//! put and kept until all were heard; or the invitation made whole, for `joining`. Specified in `docs/protocol/12-groups.md`
//! (GRP-15, GRP-16). Invariant: the hash in the invitation decides which bytes are taken, whoever put them.

use super::joining;
use crate::conversation::{self, Conversation, epochs};
use crate::due::Times;
use crate::inbox;
use crate::leaf;
use crate::listening::{self, Purpose};
use crate::meeting::{self, block};
use crate::mls;
use crate::outbox;
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use stonechat_wire::apart::{Apart, decode_lacking, encode_lacking};
use stonechat_wire::envelope::{self, Content, Envelope};
use stonechat_wire::group::Invitation;
use stonechat_wire::ids::{AccountId, EpochId, Tag};
use stonechat_wire::message::Kind;

const HOUR_MS: u64 = 3600 * 1000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// So long a part is kept for those who were not heard yet: as long as its relay keeps it (GRP-15).
const KEPT_MS: u64 = 60 * DAY_MS;
/// Whoever lacks a part says so after so long, then once a day, at most so often (GRP-16).
const ASK_FIRST_MS: u64 = HOUR_MS;
const ASK_EVERY_MS: u64 = DAY_MS;
const ASKED_MAX: u32 = 60;
/// A part is put again for those who lack it once in so long (GRP-16).
const AGAIN_EVERY_MS: u64 = HOUR_MS;
/// Invitations that wait for their part: by one contact, and in all. Over that the oldest goes (GRP-16).
const WAIT_EACH: u32 = 4;
const WAIT_ALL: u32 = 64;

/// Puts the common part of the Welcomes of a commit of mine. Out: what invitations say of it.
pub(super) fn put(step: &mut Step<'_, '_>, of: &Conversation, common: &[u8]) -> Result<Apart, Stop> {
    let apart = Apart::of(step.mls.crypto.bytes(), common);
    step.tx
        .prepare_cached(
            "INSERT INTO apart(hash, group_id, secret, content, made_at, put_at) VALUES (?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            apart.hash,
            of.group,
            apart.secret,
            common,
            step.time.0.cast_signed(),
            step.now.0.cast_signed()
        ])?;
    outbox::put_apart(step, of.group, &apart, common)?;
    Ok(apart)
}

/// Somebody was added by it, with this leaf.
pub(super) fn awaits(step: &Step<'_, '_>, apart: &Apart, leaf: &mls::Leaf) -> Result<(), Stop> {
    step.tx
        .prepare_cached("INSERT OR IGNORE INTO apart_for(account, hash, key) VALUES (?, ?, ?)")?
        .execute(params![
            leaf::account_of(leaf)?.as_bytes(),
            apart.hash,
            leaf.public.first_chunk::<8>().ok_or(Stop::Refused("leaf"))?
        ])?;
    Ok(())
}

/// An account was heard in an epoch: if it has the leaf there that a Welcome of mine gave it, it needs that no more.
pub(crate) fn heard(step: &Step<'_, '_>, of: &Conversation, account: AccountId, epoch: EpochId) -> Result<(), Stop> {
    let sql = "SELECT f.hash, f.key FROM apart_for f CROSS JOIN apart a ON a.hash = f.hash
               WHERE f.account = ? AND a.group_id = ?";
    let waits: Vec<([u8; 32], [u8; 8])> = step
        .tx
        .prepare_cached(sql)?
        .query_map(params![account.as_bytes(), of.group], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<Result<_, _>>()?;
    if waits.is_empty() {
        return Ok(());
    }
    let readers = epochs::readers(step, epoch)?;
    for (hash, key) in waits {
        if readers.contains(&(account, key)) {
            joined(step, &hash, account)?;
        }
    }
    Ok(())
}

fn joined(step: &Step<'_, '_>, hash: &[u8; 32], account: AccountId) -> Result<(), Stop> {
    step.tx
        .prepare_cached("DELETE FROM apart_for WHERE hash = ? AND account = ?")?
        .execute(params![hash, account.as_bytes()])?;
    let left = step
        .tx
        .prepare_cached("SELECT 1 FROM apart_for WHERE hash = ?")?
        .exists([hash])?;
    if left {
        return Ok(());
    }
    step.tx
        .prepare_cached("DELETE FROM apart WHERE hash = ?")?
        .execute([hash])?;
    outbox::done(step, outbox::Waiting::Apart, hash)
}

/// Hash of the part, account, the beginning of its leaf's key, and whether its time is over.
type Unheard = ([u8; 32], [u8; 32], [u8; 8], bool);

/// Nobody waits for it who is not in the head, with the leaf that it got; and nobody after 60 days.
pub(super) fn head_moved(step: &Step<'_, '_>, of: &Conversation) -> Result<(), Stop> {
    let sql = "SELECT a.hash, f.account, f.key, a.made_at < ? FROM apart a CROSS JOIN apart_for f ON f.hash = a.hash
               WHERE a.group_id = ?";
    let over = step.time.0.saturating_sub(KEPT_MS).cast_signed();
    let waits: Vec<Unheard> = step
        .tx
        .prepare_cached(sql)?
        .query_map(params![over, of.group], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<Result<_, _>>()?;
    if waits.is_empty() {
        return Ok(());
    }
    let readers = epochs::readers(step, of.epoch)?;
    for (hash, account, key, over) in waits {
        let account = AccountId::from_bytes(account);
        if over || !readers.contains(&(account, key)) {
            joined(step, &hash, account)?;
        }
    }
    Ok(())
}

/// Group, secret, the part, and when it was put last.
type Put = ([u8; 16], [u8; 32], Vec<u8>, i64);

/// A contact whom I added lacks the part: it is put again (GRP-16).
pub(crate) fn lacks(step: &mut Step<'_, '_>, account: AccountId, body: &[u8]) -> Result<(), Stop> {
    let hash = decode_lacking(body).map_err(|_| Stop::Refused("lacking"))?;
    let sql = "SELECT a.group_id, a.secret, a.content, a.put_at FROM apart a JOIN apart_for f ON f.hash = a.hash
               WHERE f.account = ? AND a.hash = ?";
    let found: Option<Put> = step
        .tx
        .prepare_cached(sql)?
        .query_row(params![account.as_bytes(), hash], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    let Some((group, secret, content, put_at)) = found else {
        return Ok(());
    };
    let now = step.now.0.cast_signed();
    if put_at <= now && put_at.saturating_add_unsigned(AGAIN_EVERY_MS) > now {
        return Ok(());
    }
    step.tx
        .prepare_cached("UPDATE apart SET put_at = ? WHERE hash = ?")?
        .execute(params![now, hash])?;
    outbox::put_apart(step, group, &Apart::of(secret, &content), &content)
}

/// An invitation came without its common part: it waits for that.
pub(super) fn wait(
    step: &mut Step<'_, '_>,
    from: &Conversation,
    by: AccountId,
    invitation: &Invitation,
) -> Result<(), Stop> {
    let Some(apart) = &invitation.apart else {
        return Ok(());
    };
    // Of several devices of mine the one that it is sealed to.
    if !mls::is_mine(&step.mls, &invitation.welcome)? {
        return Err(Stop::Refused("own key package"));
    }
    let tag = apart.token().tag();
    step.tx
        .prepare_cached(
            "INSERT OR REPLACE INTO awaited(tag, hash, account, group_id, body, ask_at) VALUES (?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            tag.as_bytes(),
            apart.hash,
            by.as_bytes(),
            from.group,
            invitation.encode(),
            step.now.0.saturating_add(ASK_FIRST_MS).cast_signed()
        ])?;
    make_room(step, by)?;
    for relay in meeting::use_all(step, invitation.relays.iter())? {
        listening::add(step, relay, tag, Purpose::Apart, tag.as_bytes())?;
    }
    Ok(())
}

fn make_room(step: &mut Step<'_, '_>, by: AccountId) -> Result<(), Stop> {
    let each = "SELECT tag, account FROM awaited WHERE account = ?1 ORDER BY rowid DESC LIMIT -1 OFFSET ?2";
    let all = "SELECT tag, account FROM awaited WHERE ?1 IS NOT NULL ORDER BY rowid DESC LIMIT -1 OFFSET ?2";
    // One after the other: who has too many does not push out somebody else's as well.
    for (sql, most) in [(each, WAIT_EACH), (all, WAIT_ALL)] {
        let over: Vec<([u8; 16], [u8; 32])> = step
            .tx
            .prepare_cached(sql)?
            .query_map(params![by.as_bytes(), most], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (tag, account) in over {
            forget(step, Tag::from(tag), AccountId::from_bytes(account))?;
        }
    }
    Ok(())
}

/// This invitation waits no more; where none does, nothing is read there.
fn forget(step: &mut Step<'_, '_>, tag: Tag, account: AccountId) -> Result<(), Stop> {
    step.tx
        .prepare_cached("DELETE FROM awaited WHERE tag = ? AND account = ?")?
        .execute(params![tag.as_bytes(), account.as_bytes()])?;
    let others = step
        .tx
        .prepare_cached("SELECT 1 FROM awaited WHERE tag = ?")?
        .exists([tag.as_bytes()])?;
    if others {
        return Ok(());
    }
    listening::drop_about(step, tag.as_bytes())?;
    step.tx
        .prepare_cached("DELETE FROM part WHERE tag = ?")?
        .execute([tag.as_bytes()])?;
    Ok(())
}

/// Who invites, where that was said, and how.
type Waiting = (AccountId, [u8; 16], Invitation);

fn waiting(step: &Step<'_, '_>, tag: Tag) -> Result<Vec<Waiting>, Stop> {
    let rows: Vec<([u8; 32], [u8; 16], Vec<u8>)> = step
        .tx
        .prepare_cached("SELECT account, group_id, body FROM awaited WHERE tag = ? ORDER BY rowid")?
        .query_map([tag.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let read = rows.into_iter().map(|(account, group, body)| {
        let invitation = Invitation::decode(&body).map_err(|_| Stop::Refused("invitation"))?;
        Ok((AccountId::from_bytes(account), group, invitation))
    });
    read.collect()
}

/// An envelope of a common part.
pub(crate) fn arrived(step: &mut Step<'_, '_>, sealed: &Envelope) -> Result<(), Stop> {
    let waits = waiting(step, sealed.tag())?;
    let places = || waits.iter().filter_map(|(_, _, invitation)| invitation.apart.as_ref());
    let Some(key) = places().next().map(Apart::key) else {
        return listening::drop_about(step, sealed.tag().as_bytes());
    };
    let content = match envelope::open(&key, sealed) {
        Ok(Content::Whole(content)) => Some(content),
        // Whoever was added knows the secret too: only what is meant is gathered.
        Ok(Content::Part(part)) if places().any(|apart| apart.hash == part.hash) => {
            inbox::gather(step, sealed.tag(), part)?
        }
        _other => return Err(Stop::Refused("does not open")),
    };
    let Some(content) = content else { return Ok(()) };
    for (by, group, mut invitation) in waits {
        if !invitation.apart.as_ref().is_some_and(|apart| apart.fits(&content)) {
            continue;
        }
        forget(step, sealed.tag(), by)?;
        invitation.welcome.extend_from_slice(&content);
        invitation.apart = None;
        let entered = step.attempt(|step| enter(step, group, by, &invitation))?;
        if let Err(Stop::Refused(why)) = entered {
            step.out.refused.push(why);
        }
    }
    Ok(())
}

fn enter(step: &mut Step<'_, '_>, group: [u8; 16], by: AccountId, invitation: &Invitation) -> Result<(), Stop> {
    let from = conversation::load(step, &group)?.filter(|from| !from.gone && !from.hidden);
    let from = from.ok_or(Stop::Refused("no such conversation"))?;
    if block::is_blocked(step, by)? {
        return Err(Stop::Refused("blocked"));
    }
    joining::enter(step, &from, by, invitation)
}

/// Tag, hash of the part, who invites, where that was said, and how often I asked.
type Due = ([u8; 16], [u8; 32], [u8; 32], [u8; 16], u32);

/// Says what is lacking, where that is due.
pub(crate) fn ask_due(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let now = step.now.0;
    let sql = "SELECT tag, hash, account, group_id, asked FROM awaited WHERE ask_at <= ? OR ask_at > ?";
    let latest = now.saturating_add(2 * ASK_EVERY_MS).cast_signed();
    let due: Vec<Due> = step
        .tx
        .prepare_cached(sql)?
        .query_map([now.cast_signed(), latest], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })?
        .collect::<Result<_, _>>()?;
    for (tag, hash, account, group, asked) in due {
        if asked >= ASKED_MAX {
            forget(step, Tag::from(tag), AccountId::from_bytes(account))?;
            continue;
        }
        step.tx
            .prepare_cached("UPDATE awaited SET ask_at = ?, asked = asked + 1 WHERE tag = ? AND account = ?")?
            .execute(params![now.saturating_add(ASK_EVERY_MS).cast_signed(), tag, account])?;
        // Who cannot be asked now is asked tomorrow.
        let _refused = step.attempt(|step| ask(step, &group, &hash))?;
    }
    Ok(())
}

fn ask(step: &mut Step<'_, '_>, group: &[u8; 16], hash: &[u8; 32]) -> Result<(), Stop> {
    let to = conversation::load(step, group)?.filter(|to| !to.gone && !to.hidden);
    let to = to.ok_or(Stop::Refused("no such conversation"))?;
    conversation::tell(step, &to, Kind::Lacking, encode_lacking(hash))?;
    Ok(())
}

/// When that is due.
pub(crate) const TIMES: Times = Times::of(
    "SELECT min(ask_at) FROM awaited",
    "SELECT max(ask_at) FROM awaited",
    2 * ASK_EVERY_MS,
);
