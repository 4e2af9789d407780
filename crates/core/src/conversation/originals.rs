//! MLS messages as they came, kept to be put again for a member who lacks one, and whose turn it is.
//!
//! In: what was read, what others ask for. Out: the same MLS message once more, sealed anew. Nobody but the author can
//! encrypt a message as its author, so everybody else keeps it as it came; its key is used up, so the copy opens nothing.
//! The author answers at once, then two others unless the answer is there by then.
//! Specified in `docs/protocol/07-conversation.md` (WNT-*).
//! Invariant: what is kept and what is answered has a limit, whatever members send and ask.

use super::{Conversation, epochs, graph::Held};
use crate::defence::{self, Defence};
use crate::due::Times;
use crate::group;
use crate::mls::Gid;
use crate::outbox;
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use sha2::{Digest, Sha256};
use stonechat_wire::catchup;
use stonechat_wire::ids::{AccountId, EpochId, MessageId};

/// Messages of one conversation that are kept, the newest ones (WNT-5).
const KEPT_MAX: u32 = 1_024;
/// The surplus is dropped once in so many, for that walks all of them.
const TRIM_EVERY: i64 = 32;
/// A longer MLS message of somebody else is not kept (WNT-5).
const BYTES_MAX: usize = 20_000;
/// How long those wait who answer where the author does not (WNT-4).
const TURNS_MS: [u64; 2] = [5_000, 30_000];
/// Answers of one conversation that wait for their turn (WNT-4).
const PENDING_MAX: u32 = 256;
/// So long after it became known here a commit has reached everybody, or is lost to somebody (EPO-7).
const REACHED_MS: u64 = HOUR_MS;
/// So long whoever is behind has to catch up by itself (EPO-7).
const CATCH_UP_MS: u64 = 10 * 60 * 1000;
/// A commit is put again once in so long by each (EPO-7).
const COMMIT_EVERY_MS: u64 = 24 * HOUR_MS;
/// Answers in one conversation and hour (WNT-4).
const HOURLY_MAX: u32 = 256;
const HOUR_MS: u64 = 3600 * 1000;

/// Keeps a message of somebody else as it came, where there is a third who may lack it.
pub(crate) fn keep(
    step: &Step<'_, '_>,
    of: &Conversation,
    epoch: EpochId,
    id: MessageId,
    content: &[u8],
) -> Result<(), Stop> {
    if !of.is_crowd() || content.len() > BYTES_MAX {
        return Ok(());
    }
    insert(step, of, (Lane::Messages, id.as_bytes()), epoch, content)?;
    trim(step, &of.group)
}

/// Keeps a commit, mine or not, for members who stay behind it (EPO-7).
pub(crate) fn keep_commit(
    step: &Step<'_, '_>,
    of: &Conversation,
    parent: EpochId,
    makes: EpochId,
    content: &[u8],
) -> Result<(), Stop> {
    if !of.grouped && !of.shared {
        return Ok(()); // its author puts it again until the other one is heard (EPO-6)
    }
    insert(step, of, (Lane::Commits, makes.as_bytes()), parent, content)
}

/// The number is the column `lane`.
#[derive(Clone, Copy)]
enum Lane {
    Messages = 0,
    Commits = 1,
}

fn insert(
    step: &Step<'_, '_>,
    of: &Conversation,
    (lane, what): (Lane, &[u8]),
    epoch: EpochId,
    content: &[u8],
) -> Result<(), Stop> {
    let sql = "INSERT OR IGNORE INTO original(message, lane, group_id, epoch_id, kept_at, content)
               VALUES (?, ?, ?, ?, ?, ?)";
    step.tx.prepare_cached(sql)?.execute(params![
        what,
        lane as u8,
        of.group,
        epoch.as_bytes(),
        step.time.0.cast_signed(),
        content
    ])?;
    Ok(())
}

/// Keeps a message of mine that the outbox is done with.
pub(crate) fn keep_mine(step: &Step<'_, '_>, of: &Conversation, id: MessageId) -> Result<(), Stop> {
    if !of.is_crowd() {
        return Ok(());
    }
    step.tx
        .prepare_cached(
            "INSERT OR REPLACE INTO original(message, lane, group_id, epoch_id, kept_at, content)
             SELECT about, 0, group_id, epoch_id, ?2, content FROM outbox
             WHERE about = ?1 AND purpose = 0 AND part = 0 AND content <> x''",
        )?
        .execute(params![id.as_bytes(), step.time.0.cast_signed()])?;
    trim(step, &of.group)
}

fn trim(step: &Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    if step.tx.last_insert_rowid() % TRIM_EVERY != 0 {
        return Ok(());
    }
    step.tx
        .prepare_cached(
            "DELETE FROM original WHERE number IN
                 (SELECT number FROM original WHERE group_id = ? AND lane = 0 ORDER BY number DESC LIMIT -1 OFFSET ?)",
        )?
        .execute(params![group, KEPT_MAX])?;
    Ok(())
}

/// The keys of this epoch are gone: nothing can be sealed in it any more.
pub(crate) fn epoch_closed(step: &Step<'_, '_>, epoch: EpochId) -> Result<(), Stop> {
    step.tx
        .prepare_cached("DELETE FROM original WHERE epoch_id = ?")?
        .execute([epoch.as_bytes()])?;
    Ok(())
}

/// Only commits are read in this epoch any more (EPO-10).
pub(crate) fn no_messages_there(step: &Step<'_, '_>, epoch: EpochId) -> Result<(), Stop> {
    step.tx
        .prepare_cached("DELETE FROM original WHERE epoch_id = ? AND lane = 0")?
        .execute([epoch.as_bytes()])?;
    Ok(())
}

/// A member asks for a message that I have.
pub(crate) fn asked(step: &Step<'_, '_>, of: &Conversation, asker: AccountId, held: &Held) -> Result<(), Stop> {
    // Another device of the author's may lack it (OWN-7).
    if held.sender == asker && !of.shared {
        return Ok(());
    }
    let Some(epoch) = lies_in(step, held.id)? else {
        return Ok(());
    };
    if defence::holds(Defence::ReadersOnly) && !epochs::accounts(step, epoch)?.contains(&asker) {
        return Ok(()); // it would not open there
    }
    let wait = if held.mine || asker == step.me()? {
        0
    } else {
        match turn(step, of, held.id.as_bytes(), [held.sender, asker])? {
            Some(wait) => wait,
            None => return Ok(()),
        }
    };
    let due = step.now.0.saturating_add(wait).cast_signed();
    step.tx
        .prepare_cached(
            "INSERT OR IGNORE INTO answer(message, group_id, due_at)
             SELECT ?1, ?2, ?3 WHERE (SELECT count(*) FROM answer WHERE group_id = ?2) < ?4",
        )?
        .execute(params![held.id.as_bytes(), of.group, due, PENDING_MAX])?;
    Ok(())
}

/// The epoch that it is sealed in: in the outbox, or among the kept.
fn lies_in(step: &Step<'_, '_>, id: MessageId) -> Result<Option<EpochId>, Stop> {
    let sql = "SELECT epoch_id FROM outbox WHERE about = ?1 AND purpose = 0 AND part = 0
               UNION ALL SELECT epoch_id FROM original WHERE message = ?1";
    Ok(step
        .tx
        .prepare_cached(sql)?
        .query_row([id.as_bytes()], |row| row.get(0))
        .optional()?
        .map(EpochId::from_bytes))
}

/// How long I wait before I answer: of the others, the two lowest by SHA-256(message id | account) answer (WNT-4).
fn turn(
    step: &Step<'_, '_>,
    of: &Conversation,
    about: &[u8; 16],
    besides: [AccountId; 2],
) -> Result<Option<u64>, Stop> {
    let others = epochs::accounts(step, of.epoch)?.into_iter();
    let mut ranked: Vec<([u8; 32], AccountId)> = others
        .filter(|account| !besides.contains(account))
        .map(|account| (draw(about, account), account))
        .collect();
    ranked.sort_unstable();
    let me = step.me()?;
    let place = ranked.iter().position(|(_, account)| *account == me);
    Ok(place.and_then(|place| TURNS_MS.get(place).copied()))
}

fn draw(about: &[u8; 16], account: AccountId) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(about);
    hash.update(account.as_bytes());
    hash.finalize().into()
}

/// An MLS message has come that was read before: if it is an answer that I would give, it is given.
pub(crate) fn came_again(step: &Step<'_, '_>, group: &Gid, content: &[u8]) -> Result<(), Stop> {
    step.tx
        .prepare_cached(
            "DELETE FROM answer WHERE group_id = ?1 AND message IN
                 (SELECT a.message FROM answer a JOIN original o ON o.message = a.message
                  WHERE a.group_id = ?1 AND o.content = ?2)",
        )?
        .execute(params![group, content])?;
    Ok(())
}

/// The same, where its author has encrypted it again.
pub(crate) fn came_encrypted_again(step: &Step<'_, '_>, id: MessageId) -> Result<(), Stop> {
    given(step, id.as_bytes())
}

/// A commit has come that is known: if I would put it again, that is done.
pub(crate) fn commit_came_again(step: &Step<'_, '_>, makes: EpochId) -> Result<(), Stop> {
    given(step, makes.as_bytes())
}

fn given(step: &Step<'_, '_>, about: &[u8; 16]) -> Result<(), Stop> {
    step.tx
        .prepare_cached("DELETE FROM answer WHERE message = ?")?
        .execute([about])?;
    Ok(())
}

/// An account was heard in this epoch. If the head has left that long ago, the account lacks the commits since: they are
/// put again, in turn, unless it has them by then (EPO-7).
pub(crate) fn heard_in(step: &Step<'_, '_>, of: &Conversation, account: AccountId, epoch: EpochId) -> Result<(), Stop> {
    if !of.grouped && !of.shared {
        return Ok(());
    }
    if !defence::holds(Defence::CommitsAgain) {
        return Ok(());
    }
    step.tx
        .prepare_cached(
            // Told by what it says, whether old or new.
            "INSERT INTO standing VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET epoch_id = excluded.epoch_id WHERE epoch_id <> excluded.epoch_id",
        )?
        .execute(params![of.group, account.as_bytes(), epoch.as_bytes()])?;
    if epoch == of.epoch || epochs::is_canonical(step, &of.group, epoch)? {
        group::behind::heard(step, &of.group)?;
    }
    if epoch == of.epoch || of.gone {
        return Ok(());
    }
    for made in lacks(step, of, account, epoch)? {
        if let Some(author) = may_be_missed(step, made)? {
            // Those that follow it go with it (EPO-8).
            return behind(step, of, account, (made, author));
        }
    }
    Ok(())
}

/// The commits that an account lacks which stands in this epoch; whoever is out lacks those up to the one that removed it, and
/// may not know.
fn lacks(step: &Step<'_, '_>, of: &Conversation, account: AccountId, epoch: EpochId) -> Result<Vec<EpochId>, Stop> {
    let mut since = epochs::since(step, of, epoch)?;
    for (place, made) in since.iter().enumerate() {
        if !epochs::accounts(step, *made)?.contains(&account) {
            since.truncate(place + 1);
            break;
        }
    }
    Ok(since)
}

/// An account asks for the commits since this epoch: they are put again at once, those that are kept. Out: whether all are.
pub(crate) fn catch_up(
    step: &mut Step<'_, '_>,
    of: &Conversation,
    account: AccountId,
    epoch: EpochId,
) -> Result<bool, Stop> {
    let since = epochs::since(step, of, epoch)?;
    step.tx
        .prepare_cached("INSERT OR REPLACE INTO standing VALUES (?, ?, ?)")?
        .execute(params![of.group, account.as_bytes(), epoch.as_bytes()])?;
    let (mut all, mut rest) = (!since.is_empty(), since.as_slice());
    while !rest.is_empty() && may_answer(step, &of.group)? {
        let put = put_together(step, &of.group, rest)?;
        all &= put > 0;
        rest = rest.get(put.max(1)..).unwrap_or_default();
    }
    Ok(all && rest.is_empty())
}

/// The author of a commit that is kept, is old enough to have reached everybody, and was not put again lately.
fn may_be_missed(step: &Step<'_, '_>, makes: EpochId) -> Result<Option<AccountId>, Stop> {
    let (time, now) = (step.time.0.cast_signed(), step.now.0.cast_signed());
    let sql = "SELECT e.author FROM original o JOIN epoch e ON e.epoch_id = o.message
               WHERE o.message = ?1 AND o.lane = 1 AND e.author IS NOT NULL AND o.kept_at <= ?2
                 AND (o.put_at IS NULL OR o.put_at <= ?3 OR o.put_at > ?4)";
    let (reached, put) = (
        time.saturating_sub_unsigned(REACHED_MS),
        now.saturating_sub_unsigned(COMMIT_EVERY_MS),
    );
    let author = step
        .tx
        .prepare_cached(sql)?
        .query_row(params![makes.as_bytes(), reached, put, now], |row| row.get(0))
        .optional()?;
    Ok(author.map(AccountId::from_bytes))
}

fn behind(
    step: &Step<'_, '_>,
    of: &Conversation,
    account: AccountId,
    (made, author): (EpochId, AccountId),
) -> Result<(), Stop> {
    let turn = if author == step.me()? {
        Some(0)
    } else {
        turn(step, of, made.as_bytes(), [author, account])?
    };
    let Some(turn) = turn else { return Ok(()) };
    let due = step
        .now
        .0
        .saturating_add(CATCH_UP_MS)
        .saturating_add(turn)
        .cast_signed();
    step.tx
        .prepare_cached(
            "INSERT OR IGNORE INTO answer(message, group_id, due_at, behind)
             SELECT ?1, ?2, ?3, ?4 WHERE (SELECT count(*) FROM answer WHERE group_id = ?2) < ?5",
        )?
        .execute(params![made.as_bytes(), of.group, due, account.as_bytes(), PENDING_MAX])?;
    Ok(())
}

/// Gives the answers whose turn has come.
pub(crate) fn answer_due(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let sql = "SELECT message, group_id, behind FROM answer WHERE due_at <= ? OR due_at > ? ORDER BY due_at, message";
    let (now, far) = (step.now.0, step.now.0.saturating_add(HOUR_MS));
    let due: Vec<([u8; 16], Gid, Option<[u8; 32]>)> = step
        .tx
        .prepare_cached(sql)?
        .query_map([now.cast_signed(), far.cast_signed()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<Result<_, _>>()?;
    for (about, group, behind) in due {
        given(step, &about)?;
        if !may_answer(step, &group)? {
            continue;
        }
        match behind {
            None => answer(step, &group, MessageId::from_bytes(about))?,
            Some(account) => {
                put_since(step, &group, EpochId::from_bytes(about), AccountId::from_bytes(account))?;
            }
        }
    }
    Ok(())
}

/// When the next turn comes.
pub(crate) const TIMES: Times = Times::of(
    "SELECT min(due_at) FROM answer",
    "SELECT max(due_at) FROM answer",
    HOUR_MS,
);

/// Counts an answer. Out: false over the limit of this hour.
fn may_answer(step: &Step<'_, '_>, group: &Gid) -> Result<bool, Stop> {
    let hour = step.now.0 / HOUR_MS;
    let count: u32 = step
        .tx
        .prepare_cached(
            "UPDATE conversation SET answers = CASE WHEN answer_hour = ?1 THEN answers + 1 ELSE 1 END, answer_hour = ?1
             WHERE group_id = ?2 RETURNING answers",
        )?
        .query_row(params![hour.cast_signed(), group], |row| row.get(0))?;
    Ok(count <= HOURLY_MAX || !defence::holds(Defence::AnswersHourly))
}

fn answer(step: &mut Step<'_, '_>, group: &Gid, id: MessageId) -> Result<(), Stop> {
    if outbox::put_sooner(step, id)? {
        return Ok(());
    }
    let found: Option<([u8; 16], Vec<u8>)> = step
        .tx
        .prepare_cached("SELECT epoch_id, content FROM original WHERE message = ?")?
        .query_row([id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((epoch, content)) = found else { return Ok(()) };
    let epoch = EpochId::from_bytes(epoch);
    outbox::put_group(
        step,
        outbox::Waiting::Again,
        id.as_bytes(),
        (*group, epoch),
        &content,
        None,
    )
}

/// Puts a commit again, with those that follow it, if the account is behind it still.
fn put_since(step: &mut Step<'_, '_>, group: &Gid, makes: EpochId, account: AccountId) -> Result<(), Stop> {
    let of = super::load(step, group)?.ok_or(Stop::Refused("no such conversation"))?;
    let stands: Option<[u8; 16]> = step
        .tx
        .prepare_cached("SELECT epoch_id FROM standing WHERE group_id = ? AND account = ?")?
        .query_row(params![group, account.as_bytes()], |row| row.get(0))
        .optional()?;
    let Some(stands) = stands.map(EpochId::from_bytes) else {
        return Ok(());
    };
    let since = lacks(step, &of, account, stands)?;
    if let Some(from) = since.iter().position(|epoch| *epoch == makes) {
        put_together(step, group, since.get(from..).unwrap_or_default())?;
    }
    Ok(())
}

/// Puts the commits that make these epochs as one content into the lane of the first one's parent: as many as are kept one
/// after the other, and as a bundle holds (EPO-8). Out: how many.
fn put_together(step: &mut Step<'_, '_>, group: &Gid, makes: &[EpochId]) -> Result<usize, Stop> {
    let (mut first, mut commits, mut bytes) = (None, vec![], 0);
    for epoch in makes.iter().take(catchup::COMMITS_MAX) {
        let Some((parent, commit)) = commit_that_makes(step, *epoch)? else {
            break;
        };
        bytes += commit.len();
        if !commits.is_empty() && bytes > catchup::COMMIT_BYTES_MAX {
            break;
        }
        first = first.or(Some((parent, *epoch)));
        commits.push(commit);
    }
    let Some((parent, makes_first)) = first else {
        return Ok(0);
    };
    for epoch in makes.iter().take(commits.len()) {
        step.tx
            .prepare_cached("UPDATE original SET put_at = ? WHERE message = ?")?
            .execute(params![step.now.0.cast_signed(), epoch.as_bytes()])?;
    }
    let content = match commits.as_slice() {
        [alone] => alone.clone(),
        several => catchup::encode_bundle(several),
    };
    let at = (*group, parent);
    outbox::put_commit(step, outbox::Waiting::CommitAgain, at, makes_first, &content)?;
    Ok(commits.len())
}

/// A commit that is kept, and its parent.
fn commit_that_makes(step: &Step<'_, '_>, epoch: EpochId) -> Result<Option<(EpochId, Vec<u8>)>, Stop> {
    Ok(step
        .tx
        .prepare_cached("SELECT epoch_id, content FROM original WHERE message = ? AND lane = 1")?
        .query_row([epoch.as_bytes()], |row| {
            Ok((EpochId::from_bytes(row.get(0)?), row.get(1)?))
        })
        .optional()?)
}

/// The account was heard in the head last.
pub(crate) fn stands_at_head(step: &Step<'_, '_>, of: &Conversation, account: AccountId) -> Result<bool, Stop> {
    Ok(step
        .tx
        .prepare_cached("SELECT 1 FROM standing WHERE group_id = ? AND account = ? AND epoch_id = ?")?
        .exists(params![of.group, account.as_bytes(), of.epoch.as_bytes()])?)
}
