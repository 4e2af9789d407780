//! Several beginnings: who was added on two branches of a fork stands on the one where the others are (FORK-9).
//!
//! In: Welcomes into a group that is followed already; what whoever sent them says of them later; in which epoch each account
//! was heard last. Out: the root that counts, with its leaf. Where this device could not follow and asked to be brought back,
//! that is no beginning any more.

use crate::content;
use crate::conversation::Sealed;
use crate::defence::{self, Defence};
use crate::due::{Clock, Then, Times};
use crate::fork::{Node, Votes};
use crate::group;
use crate::mls::Gid;
use crate::outbox;
use crate::own;
use crate::step::{Step, Stop};
use rusqlite::params;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use stonechat_wire::group::Placed;
use stonechat_wire::ids::{AccountId, EpochId};

use super::closing::bring_near;
use super::head::{end_of_branch, settle_head, votes};
use super::late::mark_late;
use super::tree::{below, lineage, nodes, path_in};
use super::{receipts, retained, state, wants, way_to_head};

/// Beginnings that are kept beside the one that counts; the oldest makes room.
const ROOTS_MAX: u32 = 4;

/// What whoever led me to a beginning says of its commit (GRP-24): the more, the better.
const WITHDRAWN: u8 = 0;
const NOTHING_SAID: u8 = 1;
const COUNTS: u8 = 2;

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
    let followed = "SELECT 1 FROM conversation WHERE group_id = ? AND silent < 2";
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

/// Who has led me to this beginning.
pub(crate) fn added_by(step: &Step<'_, '_>, root: EpochId, by: AccountId) -> Result<(), Stop> {
    step.tx
        .prepare_cached("UPDATE epoch SET author = ? WHERE epoch_id = ? AND parent IS NULL")?
        .execute(params![by.as_bytes(), root.as_bytes()])?;
    Ok(())
}

/// Whoever has led me to a beginning says whether it counts (GRP-24). Out: whether that is one, and it is news.
pub(crate) fn place(step: &Step<'_, '_>, by: AccountId, placed: &Placed) -> Result<bool, Stop> {
    let changed = step
        .tx
        .prepare_cached(
            "UPDATE epoch SET placed = ?1, placed_by = NULL WHERE epoch_id = ?2 AND group_id = ?3 AND author = ?4
             AND parent IS NULL AND placed <> ?1",
        )?
        .execute(params![
            if placed.counts { COUNTS } else { WITHDRAWN },
            placed.epoch.as_bytes(),
            placed.group,
            by.as_bytes()
        ])?;
    Ok(changed > 0)
}

/// An admin who is a member at the end of the branch that I stand on says on it that it does not count (GRP-24). Out: whether
/// that is news.
pub(crate) fn place_here(step: &Step<'_, '_>, group: &Gid, by: Sealed) -> Result<bool, Stop> {
    let below = below_root(step, group)?;
    let (nodes, votes) = (nodes(step, group)?, votes(step, group)?);
    let counts = beginnings(step, group, (&nodes, &votes))?.into_iter().next();
    let Some(here) = counts.filter(|here| below.contains(&by.epoch) && here.accounts.contains(&by.account)) else {
        return Ok(false);
    };
    let changed = step
        .tx
        .prepare_cached(
            "UPDATE epoch SET placed = ?, placed_by = ? WHERE epoch_id = ? AND parent IS NULL AND placed <> ?1",
        )?
        .execute(params![WITHDRAWN, by.account.as_bytes(), here.epoch.as_bytes()])?;
    Ok(changed > 0)
}

/// Whoever said that is heard on the branch itself. Out: whether it had.
pub(crate) fn unplace(step: &Step<'_, '_>, group: &Gid, by: Sealed) -> Result<bool, Stop> {
    let sql = "SELECT 1 FROM epoch WHERE group_id = ? AND parent IS NULL AND placed_by = ?";
    if !step
        .tx
        .prepare_cached(sql)?
        .exists(params![group, by.account.as_bytes()])?
    {
        return Ok(false);
    }
    let way = path_in(&lineage(step, group)?, by.epoch);
    let Some(root) = way.last() else { return Ok(false) };
    let changed = step
        .tx
        .prepare_cached("UPDATE epoch SET placed = ?, placed_by = NULL WHERE epoch_id = ? AND placed_by = ?")?
        .execute(params![NOTHING_SAID, root.as_bytes(), by.account.as_bytes()])?;
    Ok(changed > 0)
}

/// The only beginning left is one that does not count (GRP-24).
pub(crate) fn counts_no_more(step: &Step<'_, '_>, group: &Gid) -> Result<bool, Stop> {
    let sql = "SELECT 1 FROM conversation v JOIN epoch e ON e.epoch_id = v.root WHERE v.group_id = ? AND e.placed = ?";
    if !step.tx.prepare_cached(sql)?.exists(params![group, WITHDRAWN])? {
        return Ok(false);
    }
    let (nodes, votes) = (nodes(step, group)?, votes(step, group)?);
    let counts = beginnings(step, group, (&nodes, &votes))?.into_iter().next();
    Ok(counts.is_some_and(|beginning| beginning.placed == WITHDRAWN))
}

/// The beginning that counts, and all that descends from it.
fn below_root(step: &Step<'_, '_>, group: &Gid) -> Result<Vec<EpochId>, Stop> {
    let sql = "SELECT root FROM conversation WHERE group_id = ?";
    let root: [u8; 16] = step.tx.prepare_cached(sql)?.query_row([group], |row| row.get(0))?;
    below(step, EpochId::from_bytes(root))
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
        forget_unread(step, &group)?;
        if let Some(number) = better(step, &group)? {
            turn_to(step, &group, number)?;
        }
    }
    Ok(())
}

/// A beginning from which nothing is read any more is none.
fn forget_unread(step: &Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    let open: BTreeSet<EpochId> = retained(step, group)?.into_iter().collect();
    let mut rows = step
        .tx
        .prepare_cached("SELECT number, epoch_id FROM root WHERE group_id = ?")?;
    let roots: Vec<(i64, [u8; 16])> = rows
        .query_map([group], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (number, root) in roots {
        if !below(step, EpochId::from_bytes(root))?
            .iter()
            .any(|epoch| open.contains(epoch))
        {
            step.tx
                .prepare_cached("DELETE FROM root WHERE number = ?")?
                .execute([number])?;
        }
    }
    Ok(())
}

/// Where a Welcome led to.
struct Beginning {
    /// Its row; the one that counts has none.
    number: i64,
    epoch: EpochId,
    /// What whoever led me there, or an admin, says of the commit, if that counts by the rest of the branch.
    placed: u8,
    /// The accounts at the end of its branch, as far as that is known here.
    accounts: BTreeSet<AccountId>,
}

/// The one that counts first.
fn beginnings(step: &Step<'_, '_>, group: &Gid, (nodes, votes): (&[Node], &Votes)) -> Result<Vec<Beginning>, Stop> {
    let mut rows = step.tx.prepare_cached(
        "SELECT r.number, r.root, e.placed, e.author, e.placed_by FROM
             (SELECT 0 number, root FROM conversation WHERE group_id = ?1 UNION ALL
              SELECT number, epoch_id FROM root WHERE group_id = ?1) r
         JOIN epoch e ON e.epoch_id = r.root ORDER BY r.number",
    )?;
    let found: Vec<(i64, [u8; 16], Word)> = rows
        .query_map([group], |row| {
            let [author, other]: [Option<[u8; 32]>; 2] = [row.get(3)?, row.get(4)?];
            let word = Word {
                placed: row.get(2)?,
                by: other.or(author).map(AccountId::from_bytes),
                by_the_adder: other.is_none(),
            };
            Ok((row.get(0)?, row.get(1)?, word))
        })?
        .collect::<Result<_, _>>()?;
    let mut beginnings = Vec::new();
    for (number, epoch, word) in found {
        let epoch = EpochId::from_bytes(epoch);
        let end = end_of_branch(nodes, votes, epoch);
        let node = nodes.iter().find(|node| node.epoch == end);
        let accounts = node.map(|node| node.members.clone()).unwrap_or_default();
        let said = word.at(step, (epoch, end))?;
        // Who was removed there since is led back by a later Welcome.
        let inside = accounts.contains(&step.me()?);
        beginnings.push(Beginning {
            number,
            epoch,
            placed: if inside { said } else { said.min(NOTHING_SAID) },
            accounts,
        });
    }
    Ok(beginnings)
}

/// What is said of a beginning, and by whom.
struct Word {
    placed: u8,
    by: Option<AccountId>,
    /// And not by an admin who heard me there.
    by_the_adder: bool,
}

impl Word {
    /// It counts from a member at the end of the branch: whoever added me has lost no rights there since, another one may
    /// remove me.
    fn at(&self, step: &Step<'_, '_>, (root, end): (EpochId, EpochId)) -> Result<u8, Stop> {
        let (Some(by), Some(then), Some(now)) = (self.by, state(step, root)?, state(step, end)?) else {
            return Ok(NOTHING_SAID);
        };
        let counts = if self.by_the_adder {
            now.role(by)
                .is_some_and(|role| then.role(by).is_none_or(|before| role <= before))
        } else {
            group::placed::is_above(&now, by, step.me()?)
        };
        Ok(if counts { self.placed } else { NOTHING_SAID })
    }
}

/// The beginning that has more of the others than the one that counts; of as many, the one that has the highest of them.
fn better(step: &Step<'_, '_>, group: &Gid) -> Result<Option<i64>, Stop> {
    let (nodes, votes, me) = (nodes(step, group)?, votes(step, group)?, step.me()?);
    let all = beginnings(step, group, (&nodes, &votes))?;
    let voters = voters(step, &all, me)?;
    let stands = stands(step, group, &all)?;
    let weight = |beginning: &Beginning| {
        let mut there = (0..voters.len()).filter(|place| {
            let at = voters.get(*place).and_then(|account| stands.get(account));
            at == Some(&beginning.number)
        });
        let highest = there.next();
        (
            beginning.placed,
            usize::from(highest.is_some()).saturating_add(there.count()),
            highest.map(Reverse),
        )
    };
    let counts = all.first().map(&weight);
    let best = all
        .iter()
        .max_by_key(|beginning| (weight(beginning), Reverse(beginning.number)));
    Ok(best.filter(|best| Some(weight(best)) > counts).map(|best| best.number))
}

/// The others who are at the end of each of these branches, the highest first: whoever was removed on one of them says
/// nothing about it.
fn voters(step: &Step<'_, '_>, all: &[Beginning], me: AccountId) -> Result<Vec<AccountId>, Stop> {
    let Some(counts) = all.first() else { return Ok(vec![]) };
    let seats = state(step, counts.epoch)?.map(|state| state.seats).unwrap_or_default();
    let mut by_authority: Vec<AccountId> = seats.iter().map(|seat| seat.account).collect();
    let later = counts
        .accounts
        .iter()
        .filter(|account| !seats.iter().any(|seat| seat.account == **account));
    by_authority.extend(later);
    by_authority.retain(|account| *account != me && all.iter().all(|beginning| beginning.accounts.contains(account)));
    Ok(by_authority)
}

/// On whose branch each account was heard last.
fn stands(step: &Step<'_, '_>, group: &Gid, all: &[Beginning]) -> Result<BTreeMap<AccountId, i64>, Stop> {
    let tree = lineage(step, group)?;
    let mut rows = step
        .tx
        .prepare_cached("SELECT account, epoch_id FROM standing WHERE group_id = ?")?;
    let mut found = BTreeMap::new();
    for row in rows.query_map([group], |row| Ok((row.get(0)?, row.get(1)?)))? {
        let (account, epoch): ([u8; 32], [u8; 16]) = row?;
        let way = path_in(&tree, EpochId::from_bytes(epoch));
        let on = way
            .iter()
            .find_map(|on| all.iter().find(|beginning| beginning.epoch == *on));
        if let Some(beginning) = on {
            found.insert(AccountId::from_bytes(account), beginning.number);
        }
    }
    Ok(found)
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
    lost.reverse();
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
    let won = way_to_head(step, group)?;
    group::placed::tell(step, group, &lost, false)?;
    group::placed::tell(step, group, &won, true)?;
    group::head_moved(step, group, &lost)?;
    group::restored::commits_lost(step, group)
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
