//! Closing: which epochs keep their keys, and how keys go.
//!
//! In: the time as a relay told it, the number of epochs. Out: rows without keys, and a tree without what can decide
//! nothing any more. Closing decides nothing itself. Specified in `docs/protocol/07-conversation.md` (EPO-4).

use crate::conversation::{Conversation, load};
use crate::defence::{self, Defence};
use crate::fork::Node;
use crate::listening;
use crate::mls::{Gid, MlsError};
use crate::outbox;
use crate::step::{Step, Stop};
use crate::store::PAGE_BYTES;
use rusqlite::{OptionalExtension, params};
use std::collections::BTreeSet;
use stonechat_wire::ids::{EpochId, Timestamp};

use super::tree::{nodes, parents, path};

/// Epochs on the head's branch of a conversation that keep their keys, and as many beside it (EPO-4).
pub(crate) const RETAINED_MAX: usize = 32;
/// Of a group so many older ones on the head's branch go on taking commits (EPO-10).
const FAR_MAX: usize = 96;

/// So long after it became known here it reads messages in any case: whoever comes back takes in many at once (EPO-10).
const READ_MS: u64 = 3600 * 1000;

/// So many bytes of keys and trees a conversation keeps: a commit may bring four million (EPO-4).
const KEPT_BYTES_MAX: i64 = 64 << 20;

/// So long after it was left an epoch keeps its keys (EPO-4).
pub(crate) const RETAINED_MS: u64 = 30 * 24 * 3600 * 1000;

/// The conversation's epochs that keep their keys.
pub(crate) fn retained(step: &Step<'_, '_>, group: &Gid) -> Result<Vec<EpochId>, Stop> {
    let mut rows = step
        .tx
        .prepare_cached("SELECT epoch_id FROM epoch WHERE group_id = ? AND mailbox_root IS NOT NULL")?;
    let found = rows.query_map([group], |row| Ok(EpochId::from_bytes(row.get(0)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Those of them whose messages are read too, and that are written to.
pub(super) fn near(step: &Step<'_, '_>, group: &Gid) -> Result<Vec<EpochId>, Stop> {
    let mut rows = step
        .tx
        .prepare_cached("SELECT epoch_id FROM epoch WHERE group_id = ? AND mailbox_root IS NOT NULL AND far = 0")?;
    let found = rows.query_map([group], |row| Ok(EpochId::from_bytes(row.get(0)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Closes what is too much, on the head's branch and beside it (EPO-4); what is old on the head's branch takes commits
/// only (EPO-10).
pub(super) fn close_surplus(step: &mut Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    let Some(of) = load(step, group)? else { return Ok(()) };
    let open = left(step, &of)?;
    let much = keeps_much(step, group)?;
    if !defence::holds(Defence::EpochsRetained) || (open.len() < RETAINED_MAX && !much) {
        return Ok(());
    }
    let nodes = nodes(step, group)?;
    let canonical = path(&parents(&nodes), of.epoch);
    let (mut on, mut beside): (Vec<_>, Vec<_>) = open.into_iter().partition(|open| canonical.contains(&open.epoch));
    // A half that is out of reach commits without end, and is found again where it left.
    let far_max = if of.grouped { FAR_MAX } else { 0 };
    let on_max = RETAINED_MAX - 1 + far_max;
    let mut closed = keep(step, &mut beside, RETAINED_MAX)? + keep(step, &mut on, on_max)?;
    closed += keep_within_bytes(step, group, [&mut beside, &mut on])?;
    send_old_far(step, &nodes, &on)?;
    if closed == 0 {
        return Ok(());
    }
    prune(step, group, &canonical)
}

/// An epoch that keeps its keys and is not the head.
struct Open {
    epoch: EpochId,
    far: bool,
    /// It became known lately.
    new: bool,
}

/// All of them, in the order they became known here; on one branch that is their own.
fn left(step: &Step<'_, '_>, of: &Conversation) -> Result<Vec<Open>, Stop> {
    let sql = "SELECT epoch_id, far, made_at > ? FROM epoch WHERE group_id = ? AND mailbox_root IS NOT NULL
               AND epoch_id <> ? ORDER BY number";
    let lately = step.time.0.saturating_sub(READ_MS).cast_signed();
    let mut rows = step.tx.prepare_cached(sql)?;
    let found = rows.query_map(params![lately, of.group, of.epoch.as_bytes()], |row| {
        Ok(Open {
            epoch: EpochId::from_bytes(row.get(0)?),
            far: row.get(1)?,
            new: row.get(2)?,
        })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Closes all but the newest `most`; says how many it closed.
fn keep(step: &mut Step<'_, '_>, open: &mut Vec<Open>, most: usize) -> Result<usize, Stop> {
    let surplus = open.len().saturating_sub(most);
    for open in open.drain(..surplus) {
        close(step, open.epoch)?;
    }
    Ok(surplus)
}

/// Closes one after the other while their keys and trees take too much; says how many.
fn keep_within_bytes(step: &mut Step<'_, '_>, group: &Gid, branches: [&mut Vec<Open>; 2]) -> Result<usize, Stop> {
    let mut closed = 0;
    for open in branches {
        while !open.is_empty() && keeps_much(step, group)? {
            let most = open.len() - 1;
            closed += keep(step, open, most)?;
        }
    }
    Ok(closed)
}

/// The keys and trees of a conversation take too much.
fn keeps_much(step: &Step<'_, '_>, group: &Gid) -> Result<bool, Stop> {
    // They are walked only where they may: in a database that is itself larger.
    let pages: i64 = step
        .tx
        .prepare_cached("PRAGMA page_count")?
        .query_row([], |row| row.get(0))?;
    if pages.saturating_mul(PAGE_BYTES as i64) <= KEPT_BYTES_MAX {
        return Ok(false);
    }
    let sql = "SELECT (SELECT coalesce(sum(length(value)), 0) FROM epoch_row WHERE group_id = ?1)
                    + (SELECT coalesce(sum(length(bytes)), 0) FROM tree_piece WHERE group_id = ?1)";
    let kept: i64 = step.tx.prepare_cached(sql)?.query_row([group], |row| row.get(0))?;
    Ok(kept > KEPT_BYTES_MAX)
}

/// On which there is more than one commit: what was written there before the branches parted may be on its way for long.
fn forked(nodes: &[Node]) -> BTreeSet<EpochId> {
    let (mut once, mut more) = (BTreeSet::new(), BTreeSet::new());
    for commit in nodes.iter().filter_map(|node| node.commit.as_ref()) {
        if !once.insert(commit.parent) {
            more.insert(commit.parent);
        }
    }
    more
}

/// Its messages are read again, where it took commits only (EPO-10): it is the head, or a fork is found there.
pub(super) fn bring_near(step: &mut Step<'_, '_>, group: &Gid, epoch: EpochId) -> Result<(), Stop> {
    let changed = step
        .tx
        .prepare_cached("UPDATE epoch SET far = 0 WHERE epoch_id = ? AND far = 1")?
        .execute([epoch.as_bytes()])?;
    if changed == 1 {
        listening::follow_group(step, group)?;
    }
    Ok(())
}

/// Of the head's branch what is before the newest 32 takes commits only, once its messages have been read (EPO-10).
fn send_old_far(step: &mut Step<'_, '_>, nodes: &[Node], on: &[Open]) -> Result<(), Stop> {
    let forked = forked(nodes);
    let old = on.iter().rev().skip(RETAINED_MAX - 1);
    for open in old.filter(|open| !open.far && !open.new && !forked.contains(&open.epoch)) {
        send_far(step, open.epoch)?;
    }
    Ok(())
}

/// From now on it takes commits only (EPO-10).
fn send_far(step: &mut Step<'_, '_>, epoch: EpochId) -> Result<(), Stop> {
    step.tx
        .prepare_cached("UPDATE epoch SET far = 1 WHERE epoch_id = ?")?
        .execute([epoch.as_bytes()])?;
    listening::drop_app(step, epoch)?;
    outbox::no_messages_there(step, epoch)
}

/// A relay has told the time: closes what was left long ago (EPO-4). Only then, for a device's own clock may jump, and
/// what is closed too early cannot take in the commits that are still to come. In: the time as that relay told it.
pub(crate) fn close_old(step: &mut Step<'_, '_>, told: Timestamp) -> Result<(), Stop> {
    let now = told.0.cast_signed();
    step.tx
        .prepare_cached(
            "UPDATE epoch SET left_at = ? WHERE left_at IS NULL AND mailbox_root IS NOT NULL
             AND epoch_id NOT IN (SELECT head FROM conversation)",
        )?
        .execute([now])?;
    let old: Vec<(EpochId, Gid)> = step
        .tx
        .prepare_cached(
            // Of two who have not met for long each waits for the other on the epoch that both know.
            "SELECT epoch_id, group_id FROM epoch WHERE left_at < ? AND mailbox_root IS NOT NULL
             AND epoch_id NOT IN (SELECT head FROM conversation)
             AND epoch_id NOT IN (SELECT o.epoch_id FROM outbox o JOIN conversation v USING (group_id)
                                  WHERE o.purpose = 4 AND v.accounts <= 2)",
        )?
        .query_map([now.saturating_sub_unsigned(RETAINED_MS)], |row| {
            Ok((EpochId::from_bytes(row.get(0)?), row.get(1)?))
        })?
        .collect::<Result<_, _>>()?;
    for (epoch, _) in &old {
        close(step, *epoch)?;
    }
    let groups: BTreeSet<Gid> = old.into_iter().map(|(_, group)| group).collect();
    for group in groups {
        let Some(of) = load(step, &group)? else { continue };
        let nodes = nodes(step, &group)?;
        prune(step, &group, &path(&parents(&nodes), of.epoch))?;
    }
    Ok(())
}

/// Deletes an epoch's keys; its place in the tree stays. Messages that wait there are encrypted again at the head.
pub(super) fn close(step: &mut Step<'_, '_>, epoch: EpochId) -> Result<(), Stop> {
    listening::drop_about(step, epoch.as_bytes())?;
    outbox::epoch_closed(step, epoch)?;
    step.groups.forget();
    let group: Option<Gid> = step
        .tx
        .prepare_cached(
            "UPDATE epoch SET mailbox_root = NULL, envelope_key = NULL WHERE epoch_id = ? RETURNING group_id",
        )?
        .query_row([epoch.as_bytes()], |row| row.get(0))
        .optional()?;
    match group {
        Some(group) => Ok(step.mls.rows.close(&group, epoch).map_err(MlsError::from)?),
        None => Ok(()),
    }
}

/// Forgets the part of the tree that can decide nothing any more: up to the last canonical epoch below which
/// everything that is not on the canonical branch is closed too. That one becomes the root.
fn prune(step: &mut Step<'_, '_>, group: &Gid, canonical: &[EpochId]) -> Result<(), Stop> {
    let open: Vec<EpochId> = step
        .tx
        .prepare_cached("SELECT epoch_id FROM epoch WHERE group_id = ? AND mailbox_root IS NOT NULL")?
        .query_map([group], |row| Ok(EpochId::from_bytes(row.get(0)?)))?
        .collect::<Result<_, _>>()?;
    let nodes = nodes(step, group)?;
    let tree = parents(&nodes);
    let paths: Vec<Vec<EpochId>> = open.iter().map(|epoch| path(&tree, *epoch)).collect();
    // The newest canonical epoch that every open one descends from (or that is before all open canonical ones).
    let Some(root) = canonical
        .iter()
        .find(|epoch| paths.iter().all(|path| path.contains(epoch)))
    else {
        return Ok(());
    };
    let keep = |epoch: EpochId| path(&tree, epoch).contains(root);
    for node in nodes.iter().filter(|node| !keep(node.epoch)) {
        step.tx
            .prepare_cached("DELETE FROM epoch WHERE epoch_id = ? AND mailbox_root IS NULL")?
            .execute([node.epoch.as_bytes()])?;
        step.tx
            .prepare_cached("DELETE FROM wrote WHERE group_id = ? AND epoch_id = ?")?
            .execute(params![group, node.epoch.as_bytes()])?;
    }
    step.tx
        .prepare_cached("UPDATE conversation SET root = ? WHERE group_id = ?")?
        .execute(params![root.as_bytes(), group])?;
    step.tx
        .prepare_cached("UPDATE epoch SET parent = NULL WHERE epoch_id = ?")?
        .execute([root.as_bytes()])?;
    Ok(())
}
