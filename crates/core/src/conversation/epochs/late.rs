//! What unseated accounts wrote after a cut, outside what descends from the commit that says it.
//!
//! In: cuts, messages as they come, where the head is. Out: which messages are after which cut, and the mark "late" on them.
//! A message is in time if the cut names it or a message that it is an ancestor of. What connects the two may still be
//! missing: when it comes, what is under it is judged anew. Nothing that is in time becomes late again.
//! Specified in `docs/protocol/12-groups.md` (GRP-6) and `14-devices.md` (DEV-6).
//! Invariant: a message of a known epoch is marked exactly where a cut that counts has it after itself.

use crate::conversation::{Conversation, graph, load};
use crate::defence::{self, Defence};
use crate::mls::Gid;
use crate::step::{Step, Stop};
use rusqlite::{Row, params};
use std::collections::{BTreeMap, BTreeSet};
use stonechat_wire::ids::{AccountId, EpochId, MessageId};

use super::descent::{Above, Descent, Short};
use super::tree::{below, lineage, path_in};
use super::{Member, members, void};

/// So many messages are looked at for one cut at most; what is before more of them than that is late.
pub(super) const LOOKED_MAX: usize = 1 << 18;

/// A cut as its row has it.
pub(super) struct Kept {
    id: i64,
    commit: EpochId,
    account: AccountId,
    /// Empty: the whole account.
    leaf: Vec<u8>,
    pub(super) said: Vec<Short>,
}

impl Kept {
    fn names(&self, id: MessageId) -> bool {
        self.said.contains(&id.short())
    }
}

const CUT: &str = "SELECT id, epoch_id, account, leaf, said FROM cut";

fn kept(row: &Row<'_>) -> rusqlite::Result<Kept> {
    Ok(Kept {
        id: row.get(0)?,
        commit: EpochId::from_bytes(row.get(1)?),
        account: AccountId::from_bytes(row.get(2)?),
        leaf: row.get(3)?,
        said: row.get::<_, Vec<u8>>(4)?.as_chunks().0.to_vec(),
    })
}

fn all(step: &Step<'_, '_>, group: &Gid) -> Result<Vec<Kept>, Stop> {
    let sql = format!("{CUT} WHERE group_id = ?");
    let mut rows = step.tx.prepare_cached(&sql)?;
    let found = rows.query_map([group], kept)?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn of_account(step: &Step<'_, '_>, group: &Gid, account: AccountId) -> Result<Vec<Kept>, Stop> {
    let sql = format!("{CUT} WHERE group_id = ? AND account = ?");
    let mut rows = step.tx.prepare_cached(&sql)?;
    let found = rows.query_map(params![group, account.as_bytes()], kept)?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// What is known of a leaf by the commits that take it out.
pub(super) fn cuts_of_leaf(
    step: &Step<'_, '_>,
    group: &Gid,
    account: AccountId,
    leaf: &[u8; 8],
) -> Result<Vec<Kept>, Stop> {
    let mut theirs = of_account(step, group, account)?;
    theirs.retain(|cut| cut.leaf == leaf);
    Ok(theirs)
}

/// A message with this beginning is in time by a cut, as far as is known.
pub(super) fn lets_count(step: &Step<'_, '_>, group: &Gid, cut: &Kept, short: Short) -> Result<bool, Stop> {
    if cut.said.contains(&short) {
        return Ok(true);
    }
    match graph::held(step, group, short)? {
        Some(held) => Ok(!is_after(step, cut, held.id)?),
        None => Ok(false),
    }
}

/// A message, and where it was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    pub(crate) id: MessageId,
    pub(crate) sender: AccountId,
    /// Epoch and leaf that it says it was encrypted in first.
    pub(crate) first: (EpochId, u32),
    /// Where it was encrypted again, if it came so: that much is proved.
    pub(crate) again: Option<(EpochId, u32)>,
}

fn written(row: &Row<'_>) -> rusqlite::Result<Written> {
    let again: Option<[u8; 16]> = row.get(4)?;
    let leaf: Option<u32> = row.get(5)?;
    Ok(Written {
        id: MessageId::from_bytes(row.get(0)?),
        sender: AccountId::from_bytes(row.get(1)?),
        first: (EpochId::from_bytes(row.get(2)?), row.get(3)?),
        again: again.map(EpochId::from_bytes).zip(leaf),
    })
}

/// Messages of an account in an epoch: written there, or encrypted there again.
pub(crate) const WRITTEN: &str = "
    SELECT id, sender, epoch_id, leaf, came_epoch, came_leaf, rowid FROM message INDEXED BY message_by_sender
    WHERE group_id = ?1 AND sender = ?2 AND epoch_id = ?3 AND seq > 0
    UNION
    SELECT id, sender, epoch_id, leaf, came_epoch, came_leaf, rowid FROM message INDEXED BY message_again
    WHERE came_epoch = ?3 AND sender = ?2 AND +group_id = ?1";
pub(crate) const CHILDREN: &str = "
    SELECT m.id, m.sender, m.epoch_id, m.leaf, m.came_epoch, m.came_leaf
    FROM message_parent p CROSS JOIN message m ON m.id = p.child WHERE p.group_id = ? AND p.parent = ?";
pub(crate) const MARKED: &str =
    "SELECT id, epoch_id, came_epoch FROM message INDEXED BY message_late WHERE group_id = ? AND late = 1";

/// Which of its marks a judge may rely on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Marks {
    /// None was made yet.
    None,
    /// All are right.
    Right,
    /// What is after the cut may be in time by now.
    Stale,
}

/// Judges by the cuts of one commit.
struct Judge<'j, 'a, 't> {
    step: &'j Step<'a, 't>,
    group: Gid,
    commit: EpochId,
    /// Epochs that are known here, with their parents.
    known: BTreeMap<EpochId, Option<EpochId>>,
    /// Of those, the one that the commit makes and all that descend from it.
    after: BTreeSet<EpochId>,
    members: BTreeMap<EpochId, Vec<Member>>,
    children: BTreeMap<Short, Vec<Written>>,
}

impl<'j, 'a, 't> Judge<'j, 'a, 't> {
    fn of(step: &'j Step<'a, 't>, group: &Gid, commit: EpochId) -> Result<Self, Stop> {
        Ok(Self {
            step,
            group: *group,
            commit,
            known: lineage(step, group)?,
            after: below(step, commit)?.into_iter().collect(),
            members: BTreeMap::new(),
            children: BTreeMap::new(),
        })
    }

    /// The epoch that a message belongs to: the first one, where it is known.
    fn belongs(&self, message: &Written) -> EpochId {
        match message.again {
            Some((again, _)) if !self.known.contains_key(&message.first.0) => again,
            _first => message.first.0,
        }
    }

    /// The cut says something about this message: its leaf, or account, wrote it in an epoch that does not descend from the
    /// commit. Of what is forgotten nothing is said any more.
    fn concerns(&mut self, cut: &Kept, message: &Written) -> Result<bool, Stop> {
        if message.sender != cut.account {
            return Ok(false);
        }
        if cut.leaf.is_empty() {
            return Ok(self.is_outside(self.belongs(message)));
        }
        // Whoever encrypts it again says itself under which leaf of its account it was written.
        for (epoch, leaf) in [Some(message.first), message.again].into_iter().flatten() {
            if self.is_outside(epoch) && self.key_of(epoch, leaf)?.is_some_and(|key| cut.leaf == key) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_outside(&self, epoch: EpochId) -> bool {
        self.known.contains_key(&epoch) && !self.after.contains(&epoch)
    }

    fn key_of(&mut self, epoch: EpochId, leaf: u32) -> Result<Option<[u8; 8]>, Stop> {
        if !self.members.contains_key(&epoch) {
            self.members.insert(epoch, members(self.step, epoch)?);
        }
        let there = self.members.get(&epoch).into_iter().flatten();
        Ok(there
            .filter(|member| member.leaf == leaf)
            .map(|member| member.key)
            .next())
    }

    /// Whom a cut may concern, newest first.
    fn candidates(&self, account: AccountId) -> Result<Vec<Written>, Stop> {
        let mut found: BTreeMap<i64, Written> = BTreeMap::new();
        let mut rows = self.step.tx.prepare_cached(WRITTEN)?;
        for epoch in self.known.keys().filter(|epoch| !self.after.contains(epoch)) {
            let here = rows.query_map(params![self.group, account.as_bytes(), epoch.as_bytes()], |row| {
                Ok((row.get(6)?, written(row)?))
            })?;
            for one in here {
                let (row, message) = one?;
                found.insert(row, message);
            }
        }
        Ok(found.into_values().rev().collect())
    }

    fn is_in_time(&mut self, cut: &Kept, descent: &mut Descent, id: MessageId, marks: Marks) -> Result<bool, Stop> {
        descent.reaches(id.short(), |short| self.above(cut, short, marks))
    }

    /// What stands right above a message, as far as it may lead to what the cut names: nothing that descends from the
    /// commit does, for the commit could not name what was not written.
    fn above(&mut self, cut: &Kept, short: Short, marks: Marks) -> Result<Vec<Above>, Stop> {
        let mut above = Vec::new();
        for child in self.children_of(short)? {
            if self.after.contains(&self.belongs(&child)) {
                continue;
            }
            let judged = marks != Marks::None && self.was_judged(cut, &child)?;
            let after = judged && is_after(self.step, cut, child.id)?;
            match (judged, after) {
                (true, false) => above.push(Above::Reached),
                (true, true) if marks == Marks::Right => {}
                _not_judged => above.push(Above::Message(child.id.short())),
            }
        }
        Ok(above)
    }

    /// The cut concerned this message already when it came: the mark says all. Not so where its first epoch may have become
    /// known later, nor in what was taken out of the tree and may have descended from the commit (EPO-5).
    fn was_judged(&mut self, cut: &Kept, message: &Written) -> Result<bool, Stop> {
        let rooted = || {
            let line = path_in(&self.known, self.commit);
            path_in(&self.known, message.first.0)
                .iter()
                .any(|epoch| line.contains(epoch))
        };
        Ok(message.again.is_none() && rooted() && self.concerns(cut, message)?)
    }

    fn children_of(&mut self, short: Short) -> Result<Vec<Written>, Stop> {
        if let Some(known) = self.children.get(&short) {
            return Ok(known.clone());
        }
        let mut rows = self.step.tx.prepare_cached(CHILDREN)?;
        let found: Vec<Written> = rows
            .query_map(params![self.group, short], written)?
            .collect::<Result<_, _>>()?;
        self.children.insert(short, found.clone());
        Ok(found)
    }
}

fn is_after(step: &Step<'_, '_>, cut: &Kept, id: MessageId) -> Result<bool, Stop> {
    Ok(step
        .tx
        .prepare_cached("SELECT 1 FROM after_cut WHERE cut = ? AND message = ?")?
        .exists(params![cut.id, id.as_bytes()])?)
}

fn put_after(step: &Step<'_, '_>, cut: &Kept, id: MessageId) -> Result<(), Stop> {
    step.tx
        .prepare_cached("INSERT OR IGNORE INTO after_cut VALUES (?, ?)")?
        .execute(params![cut.id, id.as_bytes()])?;
    Ok(())
}

/// A commit has come, or was made: judges what is here by its cuts.
pub(super) fn judge_all(step: &Step<'_, '_>, group: &Gid, commit: EpochId) -> Result<(), Stop> {
    let sql = format!("{CUT} WHERE epoch_id = ?");
    let cuts: Vec<Kept> = step
        .tx
        .prepare_cached(&sql)?
        .query_map([commit.as_bytes()], kept)?
        .collect::<Result<_, _>>()?;
    let mut judge = Judge::of(step, group, commit)?;
    for cut in cuts {
        let mut descent = Descent::new(&cut.said, LOOKED_MAX);
        for message in judge.candidates(cut.account)? {
            if judge.concerns(&cut, &message)? && !judge.is_in_time(&cut, &mut descent, message.id, Marks::None)? {
                put_after(step, &cut, message.id)?;
            }
        }
    }
    Ok(())
}

/// A message has come, or was written here: judges it, and what it connects with what a cut names. Out: messages whose mark
/// was changed.
pub(crate) fn judge_new(step: &Step<'_, '_>, of: &Conversation, new: &Written) -> Result<Vec<MessageId>, Stop> {
    let cuts = of_account(step, &of.group, new.sender)?;
    let connects = has_children(step, &of.group, new.id)?;
    if ended(of) {
        return Ok(vec![]);
    }
    let mut changed = of.grouped && void::is_let_in(step, of, new.sender, new.first.0)?;
    if !changed && cuts.is_empty() && !connects {
        return Ok(vec![]);
    }
    for cut in &cuts {
        let mut judge = Judge::of(step, &of.group, cut.commit)?;
        let mut descent = Descent::new(&cut.said, LOOKED_MAX);
        if judge.concerns(cut, new)? && !judge.is_in_time(cut, &mut descent, new.id, Marks::Right)? {
            put_after(step, cut, new.id)?;
            changed |= counts(step, of, cut)?;
        }
    }
    if changed && defence::holds(Defence::Cuts) {
        mark(step, new.id, true)?;
    }
    let mut released = false;
    let others = if connects { all(step, &of.group)? } else { cuts };
    for cut in others.iter().filter(|cut| connects || cut.names(new.id)) {
        released |= release(step, &of.group, cut, new)?;
    }
    let mut marked = if changed { vec![new.id] } else { vec![] };
    if released {
        marked.extend(mark_late(step, &of.group)?);
    }
    Ok(marked)
}

fn has_children(step: &Step<'_, '_>, group: &Gid, id: MessageId) -> Result<bool, Stop> {
    Ok(step
        .tx
        .prepare_cached("SELECT 1 FROM message_parent WHERE group_id = ? AND parent = ?")?
        .exists(params![group, id.short()])?)
}

/// A message is here that is in time by a cut, or connects: what is under it may be in time as well. Out: whether some is.
fn release(step: &Step<'_, '_>, group: &Gid, cut: &Kept, new: &Written) -> Result<bool, Stop> {
    let sql =
        "SELECT a.message FROM after_cut a JOIN message m ON m.id = a.message WHERE a.cut = ? ORDER BY m.rowid DESC";
    let mut rows = step.tx.prepare_cached(sql)?;
    if !step
        .tx
        .prepare_cached("SELECT 1 FROM after_cut WHERE cut = ?")?
        .exists([cut.id])?
    {
        return Ok(false);
    }
    let mut judge = Judge::of(step, group, cut.commit)?;
    let mut descent = Descent::new(&cut.said, LOOKED_MAX);
    if !judge.is_in_time(cut, &mut descent, new.id, Marks::Right)? {
        return Ok(false);
    }
    let after: Vec<MessageId> = rows
        .query_map([cut.id], |row| row.get(0).map(MessageId::from_bytes))?
        .collect::<Result<_, _>>()?;
    let mut descent = Descent::new(&cut.said, LOOKED_MAX);
    let mut some = false;
    for id in after {
        if judge.is_in_time(cut, &mut descent, id, Marks::Stale)? {
            some = true;
            step.tx
                .prepare_cached("DELETE FROM after_cut WHERE cut = ? AND message = ?")?
                .execute(params![cut.id, id.as_bytes()])?;
        }
    }
    Ok(some)
}

/// As the canonical branch says at this moment. A revoked device never comes back: what its account has said of its leaf
/// counts on every branch (DEV-6).
fn counts(step: &Step<'_, '_>, of: &Conversation, cut: &Kept) -> Result<bool, Stop> {
    Ok(!cut.leaf.is_empty() || path_in(&lineage(step, &of.group)?, of.epoch).contains(&cut.commit))
}

/// A conversation of two that was ended: all that comes there is late (RCH-3).
const fn ended(of: &Conversation) -> bool {
    of.gone && !of.grouped
}

/// Marks what is after a cut that counts now, and nothing else. Out: messages whose mark was changed.
pub(crate) fn mark_late(step: &Step<'_, '_>, group: &Gid) -> Result<Vec<MessageId>, Stop> {
    let cuts = all(step, group)?;
    let Some(of) = load(step, group)?.filter(|of| !ended(of)) else {
        return Ok(vec![]);
    };
    let tree = lineage(step, group)?;
    let head = path_in(&tree, of.epoch);
    let one_branch = head.len() == tree.len();
    if cuts.is_empty() && one_branch || !defence::holds(Defence::Cuts) {
        return Ok(vec![]);
    }
    let mut late: BTreeSet<MessageId> = void::of_those_let_in(step, &of)?.into_iter().collect();
    for cut in cuts
        .iter()
        .filter(|cut| !cut.leaf.is_empty() || head.contains(&cut.commit))
    {
        let mut rows = step.tx.prepare_cached("SELECT message FROM after_cut WHERE cut = ?")?;
        for id in rows.query_map([cut.id], |row| row.get(0).map(MessageId::from_bytes))? {
            late.insert(id?);
        }
    }
    let marked = marked(step, group, &tree)?;
    let mut changed = Vec::new();
    for id in late.iter().filter(|id| !marked.contains_key(id)) {
        mark(step, *id, true)?;
        changed.push(*id);
    }
    for (id, _) in marked.iter().filter(|(id, bound)| **bound && !late.contains(id)) {
        mark(step, *id, false)?;
        changed.push(*id);
    }
    Ok(changed)
}

/// What is marked, and whether the tree still says so: messages of epochs that descend from the root. Those whose epoch is
/// forgotten keep the mark, for the cut that says so is, too.
fn marked(
    step: &Step<'_, '_>,
    group: &Gid,
    tree: &BTreeMap<EpochId, Option<EpochId>>,
) -> Result<BTreeMap<MessageId, bool>, Stop> {
    let root: [u8; 16] = step
        .tx
        .prepare_cached("SELECT root FROM conversation WHERE group_id = ?")?
        .query_row([group], |row| row.get(0))?;
    let root = EpochId::from_bytes(root);
    let under: BTreeSet<EpochId> = tree
        .keys()
        .copied()
        .filter(|epoch| path_in(tree, *epoch).contains(&root))
        .collect();
    let mut rows = step.tx.prepare_cached(MARKED)?;
    let found = rows.query_map([group], |row| {
        let again: Option<[u8; 16]> = row.get(2)?;
        let first = EpochId::from_bytes(row.get(1)?);
        let known = tree.contains_key(&first);
        let belongs = again.map_or(first, |again| if known { first } else { EpochId::from_bytes(again) });
        Ok((MessageId::from_bytes(row.get(0)?), under.contains(&belongs)))
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn mark(step: &Step<'_, '_>, id: MessageId, late: bool) -> Result<(), Stop> {
    step.tx
        .prepare_cached("UPDATE message SET late = ? WHERE id = ?")?
        .execute(params![late, id.as_bytes()])?;
    Ok(())
}
