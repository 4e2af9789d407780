//! Several beginnings: who was added on two branches of a fork stands on the one where the others are heard (FORK-9).
//!
//! In: Welcomes into a group that is followed already; in which epoch each account was heard last. Out: the root that
//! counts, with its leaf. Where this device could not follow and asked to be brought back, that is no beginning any more.

use crate::content;
use crate::defence::{self, Defence};
use crate::due::{Clock, Then, Times};
use crate::group;
use crate::mls::Gid;
use crate::outbox;
use crate::own;
use crate::step::{Step, Stop};
use rusqlite::params;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use stonechat_wire::ids::{AccountId, EpochId};

use super::closing::bring_near;
use super::head::settle_head;
use super::late::mark_late;
use super::tree::{below, lineage, path_in};
use super::{receipts, retained, state, wants};

/// Beginnings that are kept beside the one that counts; the oldest makes room.
const ROOTS_MAX: u32 = 4;

/// Where there are several, any step may have heard somebody: each looks.
pub(crate) const SEVERAL_ROOTS: Times = Times {
    soonest: "SELECT 0 FROM root LIMIT 1",
    latest: None,
    clock: Clock::Device,
    after_ms: 0,
    far_ms: 0,
    then: Then::Wait,
};

/// A Welcome begins the group anew here. What it began with until now may come to count again, unless it was not followed.
pub(super) fn keep(step: &Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    let followed = "SELECT 1 FROM conversation WHERE group_id = ? AND gone = 0 AND silent < 2";
    if !step.tx.prepare_cached(followed)?.exists([group])? {
        step.tx
            .prepare_cached("DELETE FROM root WHERE group_id = ?")?
            .execute([group])?;
        return Ok(());
    }
    set_aside(step, group)?;
    step.tx
        .prepare_cached(
            "DELETE FROM root WHERE group_id = ?1 AND number NOT IN
                 (SELECT number FROM root WHERE group_id = ?1 ORDER BY number DESC LIMIT ?2)",
        )?
        .execute(params![group, ROOTS_MAX])?;
    // From here on it counts who is heard where.
    step.tx
        .prepare_cached("DELETE FROM standing WHERE group_id = ?")?
        .execute([group])?;
    Ok(())
}

fn set_aside(step: &Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    step.tx
        .prepare_cached(
            "INSERT INTO root(group_id, epoch_id, leaf, signer)
             SELECT group_id, root, leaf, signer FROM conversation WHERE group_id = ?",
        )?
        .execute([group])?;
    Ok(())
}

/// Turns to the beginning on whose branch more of the others are heard, where there are several.
pub(crate) fn follow_others(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    if !defence::holds(Defence::OthersBranch) {
        return Ok(());
    }
    let groups: Vec<Gid> = step
        .tx
        .prepare_cached("SELECT DISTINCT group_id FROM root")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for group in groups {
        if let Some(number) = better(step, &group)? {
            turn_to(step, &group, number)?;
        }
    }
    Ok(())
}

/// The beginning that has more of the others than the one that counts; of as many, the one that has the highest of them.
fn better(step: &Step<'_, '_>, group: &Gid) -> Result<Option<i64>, Stop> {
    let mut rows = step.tx.prepare_cached(
        "SELECT 0, root FROM conversation WHERE group_id = ?1 UNION ALL
         SELECT number, epoch_id FROM root WHERE group_id = ?1 ORDER BY 1",
    )?;
    let roots: Vec<(i64, EpochId)> = rows
        .query_map([group], |row| Ok((row.get(0)?, EpochId::from_bytes(row.get(1)?))))?
        .collect::<Result<_, _>>()?;
    let (seats, standing, tree) = (on_all(step, &roots)?, standing(step, group)?, lineage(step, group)?);
    let stands_below = |account: &AccountId, root: EpochId| {
        let at = standing.get(account);
        at.is_some_and(|at| path_in(&tree, *at).contains(&root))
    };
    let weight = |root: EpochId| {
        let mut there = (0..seats.len()).filter(|place| seats.get(*place).is_some_and(|seat| stands_below(seat, root)));
        let highest = there.next();
        (
            usize::from(highest.is_some()).saturating_add(there.count()),
            highest.map(Reverse),
        )
    };
    let counts = roots.first().map(|(_, root)| weight(*root));
    let best = roots
        .iter()
        .max_by_key(|(number, root)| (weight(*root), Reverse(*number)));
    Ok(best
        .filter(|(_, root)| Some(weight(*root)) > counts)
        .map(|(number, _)| *number))
}

/// The others who have a seat at each of these beginnings, the highest first.
fn on_all(step: &Step<'_, '_>, roots: &[(i64, EpochId)]) -> Result<Vec<AccountId>, Stop> {
    let me = step.me()?;
    let mut common: Option<Vec<AccountId>> = None;
    for (_, root) in roots {
        let seats = state(step, *root)?.map(|state| state.seats).unwrap_or_default();
        let there: Vec<AccountId> = seats
            .iter()
            .map(|seat| seat.account)
            .filter(|account| *account != me)
            .collect();
        common = Some(match common {
            None => there,
            Some(before) => before.into_iter().filter(|account| there.contains(account)).collect(),
        });
    }
    Ok(common.unwrap_or_default())
}

fn standing(step: &Step<'_, '_>, group: &Gid) -> Result<BTreeMap<AccountId, EpochId>, Stop> {
    let mut rows = step
        .tx
        .prepare_cached("SELECT account, epoch_id FROM standing WHERE group_id = ?")?;
    let found = rows.query_map([group], |row| {
        Ok((AccountId::from_bytes(row.get(0)?), EpochId::from_bytes(row.get(1)?)))
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn turn_to(step: &mut Step<'_, '_>, group: &Gid, number: i64) -> Result<(), Stop> {
    let root: [u8; 16] = step
        .tx
        .prepare_cached("SELECT epoch_id FROM root WHERE number = ?")?
        .query_row([number], |row| row.get(0))?;
    let (before, head): ([u8; 16], [u8; 16]) = step
        .tx
        .prepare_cached("SELECT root, head FROM conversation WHERE group_id = ?")?
        .query_row([group], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut lost = path_in(&lineage(step, group)?, EpochId::from_bytes(head));
    lost.retain(|epoch| *epoch.as_bytes() != before);
    set_aside(step, group)?;
    step.tx
        .prepare_cached(
            "UPDATE conversation SET (root, head, leaf, signer) =
                 (SELECT epoch_id, epoch_id, leaf, signer FROM root WHERE number = ?2) WHERE group_id = ?1",
        )?
        .execute(params![group, number])?;
    step.tx
        .prepare_cached("DELETE FROM root WHERE number = ?")?
        .execute([number])?;
    leave_others(step, group, EpochId::from_bytes(root))?;
    for epoch in &lost {
        outbox::commit_lost(step, *epoch)?;
    }
    settle_head(step, group)?;
    let changed = mark_late(step, group)?;
    content::judge_late(step, &changed)?;
    own::spread(step, group)?;
    group::head_moved(step, group, &lost)
}

/// What waited on the other branch is said again on this one, and what is lacked here is asked for.
fn leave_others(step: &mut Step<'_, '_>, group: &Gid, root: EpochId) -> Result<(), Stop> {
    bring_near(step, group, root)?;
    let here = below(step, root)?;
    for epoch in retained(step, group)? {
        if !here.contains(&epoch) {
            outbox::branch_lost(step, group, epoch)?;
        }
    }
    receipts::due(step, group)?;
    wants::begin_again(step, group)
}
