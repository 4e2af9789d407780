//! The head: which epoch is written to, and what follows when it moves.
//!
//! In: the tree, and who wrote where. Out: the head that `fork` picks; what was left behind is said again on its branch.
//! Specified in `docs/protocol/09-forks.md` (FORK-*).

use crate::content;
use crate::conversation::renewal;
use crate::defence::{self, Defence};
use crate::fork::{self, Class, Node, Votes};
use crate::group;
use crate::mls::Gid;
use crate::outbox;
use crate::own;
use crate::step::{Step, Stop};
use rusqlite::params;
use std::collections::BTreeMap;
use stonechat_wire::ids::{AccountId, EpochId};

use super::closing::{bring_near, close_surplus};
use super::late::mark_late;
use super::tree::{Parents, nodes, parents, path};
use super::void::{Forfeited, forfeited};

/// An account has written a message in this epoch: where there are forks, that may decide one.
pub(crate) fn wrote(
    step: &mut Step<'_, '_>,
    group: &Gid,
    epoch: EpochId,
    account: AccountId,
    seq: u32,
) -> Result<(), Stop> {
    let new = step
        .tx
        .prepare_cached("INSERT OR IGNORE INTO wrote VALUES (?, ?, ?, ?)")?
        .execute(params![group, epoch.as_bytes(), account.as_bytes(), seq])?;
    if new == 0 {
        step.tx
            .prepare_cached(
                "UPDATE wrote SET seq = max(seq, ?4) WHERE group_id = ?1 AND epoch_id = ?2 AND account = ?3",
            )?
            .execute(params![group, epoch.as_bytes(), account.as_bytes(), seq])?;
    }
    if is_forked(step, group)? {
        settle_head(step, group)?;
    }
    Ok(())
}

fn is_forked(step: &Step<'_, '_>, group: &Gid) -> Result<bool, Stop> {
    Ok(step
        .tx
        .prepare_cached(
            "SELECT 1 FROM epoch WHERE group_id = ? AND parent IS NOT NULL GROUP BY parent HAVING count(*) > 1 LIMIT 1",
        )?
        .exists([group])?)
}

/// Looks for the canonical head and moves there.
pub(crate) fn settle_head(step: &mut Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    let (root, head): ([u8; 16], [u8; 16]) = step
        .tx
        .prepare_cached("SELECT root, head FROM conversation WHERE group_id = ?")?
        .query_row([group], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let nodes = nodes(step, group)?;
    let found = end_of_branch(&nodes, &votes(step, group)?, EpochId::from_bytes(root));
    let head = EpochId::from_bytes(head);
    if found != head {
        let forfeited = if clauses().void {
            forfeited(step, &nodes, (EpochId::from_bytes(root), found))?
        } else {
            Forfeited::default()
        };
        move_to(step, group, &nodes, (head, found), &forfeited)?;
        let changed = mark_late(step, group)?;
        content::judge_late(step, &changed)?;
    }
    close_surplus(step, group)
}

/// Where the canonical branch from here on ends.
pub(super) fn end_of_branch(nodes: &[Node], votes: &Votes, root: EpochId) -> EpochId {
    fork::head_by(nodes, votes, root, clauses())
}

fn clauses() -> fork::Clauses {
    fork::Clauses {
        void: defence::holds(Defence::VoidCommits),
        moved_on: defence::holds(Defence::MovedOn),
        one_each: defence::holds(Defence::OneEach),
        ..fork::Clauses::ALL
    }
}

fn move_to(
    step: &mut Step<'_, '_>,
    group: &Gid,
    nodes: &[Node],
    (from, to): (EpochId, EpochId),
    forfeited: &Forfeited,
) -> Result<(), Stop> {
    step.tx
        .prepare_cached("UPDATE conversation SET head = ? WHERE group_id = ?")?
        .execute(params![to.as_bytes(), group])?;
    bring_near(step, group, to)?;
    let (me, tree) = (step.me()?, parents(nodes));
    let (left, won) = (beside(&tree, from, to), beside(&tree, to, from));
    let mine = left
        .iter()
        .filter_map(|epoch| tree.get(epoch).copied().flatten())
        .any(|commit| commit.author == me && commit.class == Class::Renewal);
    if mine {
        renewal::lost(step, group)?;
    }
    for epoch in &left {
        outbox::branch_lost(step, group, *epoch)?;
        outbox::commit_lost(step, *epoch)?;
    }
    own::spread(step, group)?;
    if !left.is_empty() {
        group::placed::tell(step, group, &left, false)?;
        group::placed::tell(step, group, &won, true)?;
    }
    let some = !left.is_empty();
    // What the unseated did nobody does again (FORK-7).
    let lost: Vec<EpochId> = left.into_iter().filter(|epoch| !forfeited.contains(epoch)).collect();
    group::head_moved(step, group, &lost)?;
    if some {
        group::restored::commits_lost(step, group)?;
    }
    Ok(())
}

/// The epochs on the way to one that are not on the way to another, oldest first.
fn beside(tree: &Parents<'_>, to: EpochId, other: EpochId) -> Vec<EpochId> {
    let kept = path(tree, other);
    let mut beside = path(tree, to);
    beside.retain(|epoch| !kept.contains(epoch));
    beside.reverse();
    beside
}

pub(super) fn votes(step: &Step<'_, '_>, group: &Gid) -> Result<Votes, Stop> {
    let mut votes = Votes::default();
    let mut newest: BTreeMap<AccountId, u32> = BTreeMap::new();
    let mut rows = step
        .tx
        .prepare_cached("SELECT account, epoch_id, seq FROM wrote WHERE group_id = ?")?;
    for row in rows.query_map([group], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, u32>(2)?)))? {
        let (account, epoch, seq) = row?;
        let (account, epoch) = (AccountId::from_bytes(account), EpochId::from_bytes(epoch));
        votes.wrote.insert((account, epoch));
        if newest.get(&account).is_none_or(|before| *before < seq) {
            newest.insert(account, seq);
            votes.newest.insert(account, epoch);
        }
    }
    Ok(votes)
}
