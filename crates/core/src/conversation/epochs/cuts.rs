//! Cuts: the last messages that were seen of those whom a commit unseats.
//!
//! In: messages of an account or of one leaf, a commit with its note. Out: what the note says of them; its cuts as rows.
//! What they wrote after that is `late`'s. Specified in `docs/protocol/12-groups.md` (GRP-6) and `14-devices.md` (DEV-6).

use crate::content;
use crate::conversation::{Conversation, graph};
use crate::mls::Gid;
use crate::roles::Judged;
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use std::collections::BTreeSet;
use stonechat_wire::group::{Cut, Note, SAID_MAX};
use stonechat_wire::ids::{AccountId, EpochId, MessageId};
use stonechat_wire::own::OwnNote;

use super::descent::{Above, Descent, Short};
use super::late;

/// Of an account so many messages are looked at, those that came last.
const SEEN_MAX: u32 = 10_000;

/// Of an account, newest first. A line by the app has no number, and is nobody's message.
pub(crate) const SEEN: &str = "
    SELECT id FROM message INDEXED BY message_by_sender WHERE group_id = ? AND sender = ? AND seq > 0
    ORDER BY rowid DESC LIMIT ?";
/// The same of one of its leaves.
pub(crate) const SEEN_OF_LEAF: &str = "
    SELECT id FROM message INDEXED BY message_by_sender WHERE group_id = ? AND sender = ? AND seq > 0
    AND (leaf = ?4 OR came_leaf = ?4) ORDER BY rowid DESC LIMIT ?3";

/// For each account that a commit of mine unseats, the last messages that were seen of it; where it does again what another
/// commit did that lost, those that that one named (FORK-7).
pub(crate) fn cuts(
    step: &Step<'_, '_>,
    of: &Conversation,
    unseats: &[AccountId],
    lost: Option<EpochId>,
) -> Result<Vec<Cut>, Stop> {
    let cut = |account: &AccountId| -> Result<Cut, Stop> {
        let said = match said_before(step, lost, account)? {
            Some(said) => said,
            None => last_of(step, &of.group, *account, None)?,
        };
        Ok(Cut {
            account: *account,
            said,
        })
    };
    unseats.iter().map(cut).collect()
}

fn said_before(step: &Step<'_, '_>, lost: Option<EpochId>, account: &AccountId) -> Result<Option<Vec<Short>>, Stop> {
    let Some(lost) = lost else { return Ok(None) };
    let sql = "SELECT said FROM cut WHERE epoch_id = ? AND account = ? AND leaf = x''";
    let said: Option<Vec<u8>> = step
        .tx
        .prepare_cached(sql)?
        .query_row(params![lost.as_bytes(), account.as_bytes()], |row| row.get(0))
        .optional()?;
    Ok(said.map(|said| said.as_chunks().0.to_vec()))
}

/// The same of a leaf of mine, whose device is revoked. Where commits are known that take it out, whether they lost or not,
/// what every one of them lets count: it never comes back (DEV-6).
pub(crate) fn leaf_cut(step: &Step<'_, '_>, of: &Conversation, key: &[u8; 8], leaf: u32) -> Result<Vec<Short>, Stop> {
    let me = step.me()?;
    let before = late::cuts_of_leaf(step, &of.group, me, key)?;
    if before.is_empty() {
        return last_of(step, &of.group, me, Some(leaf));
    }
    let mut common: Vec<Short> = Vec::new();
    for short in before.iter().flat_map(|cut| &cut.said) {
        let mut counts = !common.contains(short);
        for cut in &before {
            counts = counts && late::lets_count(step, &of.group, cut, *short)?;
        }
        if counts && common.len() < SAID_MAX {
            common.push(*short);
        }
    }
    Ok(common)
}

/// Of the messages of an account, or of one of its leaves, those that are no ancestors of another of them: the newest.
fn last_of(step: &Step<'_, '_>, group: &Gid, account: AccountId, leaf: Option<u32>) -> Result<Vec<Short>, Stop> {
    let theirs = seen(step, group, account, leaf)?;
    let (mut descent, mut last) = (Descent::new(&[], late::LOOKED_MAX), Vec::new());
    let sorted: BTreeSet<MessageId> = theirs.iter().copied().collect();
    for id in theirs {
        let followed = descent.reaches(id.short(), |short| {
            let children = graph::child_ids(step, group, short)?;
            let above = children.into_iter().map(|child| match sorted.contains(&child) {
                true => Above::Reached,
                false => Above::Message(child.short()),
            });
            Ok::<_, Stop>(above.collect())
        })?;
        if !followed {
            last.push(id.short());
        }
        if last.len() == SAID_MAX {
            break;
        }
    }
    Ok(last)
}

fn seen(step: &Step<'_, '_>, group: &Gid, account: AccountId, leaf: Option<u32>) -> Result<Vec<MessageId>, Stop> {
    let id = |row: &rusqlite::Row<'_>| row.get(0).map(MessageId::from_bytes);
    let found: Result<_, _> = match leaf {
        None => step
            .tx
            .prepare_cached(SEEN)?
            .query_map(params![group, account.as_bytes(), SEEN_MAX], id)?
            .collect(),
        Some(leaf) => step
            .tx
            .prepare_cached(SEEN_OF_LEAF)?
            .query_map(params![group, account.as_bytes(), SEEN_MAX, leaf], id)?
            .collect(),
    };
    Ok(found?)
}

pub(super) fn keep_cuts(
    step: &mut Step<'_, '_>,
    (group, made): (&Gid, EpochId),
    judged: &Judged,
    note: &Note,
) -> Result<(), Stop> {
    let cuts = note.cuts.iter().filter(|cut| judged.unseats.contains(&cut.account));
    let said = cuts.map(|cut| (cut.account, &[][..], cut.said.as_slice()));
    keep(step, (group, made), said)
}

pub(super) fn keep_leaf_cuts(
    step: &mut Step<'_, '_>,
    (group, made): (&Gid, EpochId),
    account: AccountId,
    note: &OwnNote,
) -> Result<(), Stop> {
    let said = note
        .cuts
        .iter()
        .map(|cut| (account, cut.leaf.as_slice(), cut.said.as_slice()));
    keep(step, (group, made), said)
}

fn keep<'n>(
    step: &mut Step<'_, '_>,
    (group, made): (&Gid, EpochId),
    said: impl Iterator<Item = (AccountId, &'n [u8], &'n [Short])>,
) -> Result<(), Stop> {
    let mut new = false;
    for (account, leaf, said) in said {
        new = true;
        step.tx
            .prepare_cached(
                "INSERT OR IGNORE INTO cut(group_id, epoch_id, account, leaf, said) VALUES (?, ?, ?, ?, ?)",
            )?
            .execute(params![group, made.as_bytes(), account.as_bytes(), leaf, said.concat()])?;
    }
    if !new {
        return Ok(());
    }
    late::judge_all(step, group, made)?;
    let changed = late::mark_late(step, group)?;
    content::judge_late(step, &changed)
}
