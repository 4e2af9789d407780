//! Cuts: what was last seen of those whom a commit unseats, and what they wrote after that.
//!
//! In: a commit with its note. Out: its cuts as rows, and marks on messages that came later, outside what descends from it.
//! Specified in `docs/protocol/12-groups.md` (GRP-6) and `14-devices.md` (DEV-6).

use crate::conversation::{Conversation, load};
use crate::defence::{self, Defence};
use crate::mls::Gid;
use crate::roles::Judged;
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use stonechat_wire::group::{Cut, Note};
use stonechat_wire::ids::{AccountId, EpochId};
use stonechat_wire::own::OwnNote;

use super::members;
use super::tree::{Parents, nodes, parents, path};

/// The last that was seen here of each account that a commit of mine unseats; where it does again what another did that
/// lost, nothing after what that one saw (FORK-7).
pub(crate) fn cuts(
    step: &Step<'_, '_>,
    of: &Conversation,
    unseats: &[AccountId],
    lost: Option<EpochId>,
) -> Result<Vec<Cut>, Stop> {
    let newest = |account: &AccountId| -> Result<Cut, Stop> {
        let sql = "SELECT epoch_id, seq FROM message WHERE group_id = ? AND sender = ? AND seq <= ? ORDER BY seq DESC LIMIT 1";
        let until = said_before(step, lost, account)?.unwrap_or(u32::MAX);
        let seen: Option<([u8; 16], u32)> = step
            .tx
            .prepare_cached(sql)?
            .query_row(params![of.group, account.as_bytes(), until], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        let (epoch, seq) = seen.map_or((of.epoch, 0), |(epoch, seq)| (EpochId::from_bytes(epoch), seq));
        Ok(Cut {
            account: *account,
            epoch,
            seq,
        })
    };
    unseats.iter().map(newest).collect()
}

fn said_before(step: &Step<'_, '_>, lost: Option<EpochId>, account: &AccountId) -> Result<Option<u32>, Stop> {
    let Some(lost) = lost else { return Ok(None) };
    let sql = "SELECT seq FROM cut WHERE epoch_id = ? AND account = ? AND leaf = x''";
    Ok(step
        .tx
        .prepare_cached(sql)?
        .query_row(params![lost.as_bytes(), account.as_bytes()], |row| row.get(0))
        .optional()?)
}

/// The last that counts of a leaf of a revoked device by the commits known that take it out, whether they lost or not: it
/// never comes back (DEV-6).
pub(crate) fn leaf_cut(
    step: &Step<'_, '_>,
    group: &Gid,
    account: AccountId,
    leaf: &[u8; 8],
) -> Result<Option<u32>, Stop> {
    let sql = "SELECT min(c.seq) FROM epoch e CROSS JOIN cut c ON c.epoch_id = e.epoch_id
               WHERE e.group_id = ? AND c.account = ? AND c.leaf = ?";
    Ok(step
        .tx
        .prepare_cached(sql)?
        .query_row(params![group, account.as_bytes(), leaf], |row| row.get(0))?)
}

pub(super) fn keep_cuts(step: &Step<'_, '_>, made: EpochId, judged: &Judged, note: &Note) -> Result<(), Stop> {
    for cut in note.cuts.iter().filter(|cut| judged.unseats.contains(&cut.account)) {
        step.tx
            .prepare_cached("INSERT OR IGNORE INTO cut(epoch_id, account, seq) VALUES (?, ?, ?)")?
            .execute(params![made.as_bytes(), cut.account.as_bytes(), cut.seq])?;
    }
    Ok(())
}

pub(super) fn keep_leaf_cuts(
    step: &Step<'_, '_>,
    made: EpochId,
    account: AccountId,
    note: &OwnNote,
) -> Result<(), Stop> {
    for cut in &note.cuts {
        step.tx
            .prepare_cached("INSERT OR IGNORE INTO cut(epoch_id, account, leaf, seq) VALUES (?, ?, ?, ?)")?
            .execute(params![made.as_bytes(), account.as_bytes(), cut.leaf, cut.seq])?;
    }
    Ok(())
}

/// Epoch that the commit makes, account, seq, and the leaf's key where it is one leaf's.
type KeptCut = ([u8; 16], [u8; 32], u32, Vec<u8>);

/// Marks what unseated accounts wrote after their cut, outside what descends from it (GRP-6): as the canonical branch
/// says at this moment. A revoked device never comes back: what its account has said of its leaf counts on every branch
/// (DEV-6).
pub(crate) fn mark_late(step: &Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    let sql = "SELECT c.epoch_id, c.account, c.seq, c.leaf FROM cut c JOIN epoch e ON e.epoch_id = c.epoch_id WHERE e.group_id = ?";
    let cuts: Vec<KeptCut> = step
        .tx
        .prepare_cached(sql)?
        .query_map([group], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
        .collect::<Result<_, _>>()?;
    let ended = load(step, group)?.is_some_and(|of| of.gone && !of.grouped);
    if cuts.is_empty() || ended || !defence::holds(Defence::Cuts) {
        return Ok(());
    }
    let nodes = nodes(step, group)?;
    let tree = parents(&nodes);
    let head = load(step, group)?.map_or_else(Vec::new, |of| path(&tree, of.epoch));
    unmark(step, group, &tree)?;
    for (epoch, account, seq, leaf) in cuts {
        let epoch = EpochId::from_bytes(epoch);
        if head.contains(&epoch) || !leaf.is_empty() {
            mark_after(step, group, &tree, epoch, (&account, &leaf, seq))?;
        }
    }
    Ok(())
}

/// Takes the mark from what may get it again: messages of epochs that descend from the root. Those whose epoch is forgotten
/// keep it, for the cut that says so is, too.
fn unmark(step: &Step<'_, '_>, group: &Gid, tree: &Parents<'_>) -> Result<(), Stop> {
    let root: [u8; 16] = step
        .tx
        .prepare_cached("SELECT root FROM conversation WHERE group_id = ?")?
        .query_row([group], |row| row.get(0))?;
    let root = EpochId::from_bytes(root);
    let marked: Vec<([u8; 16], [u8; 16])> = step
        .tx
        .prepare_cached("SELECT id, epoch_id FROM message WHERE group_id = ? AND late = 1")?
        .query_map([group], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (id, epoch) in marked {
        if path(tree, EpochId::from_bytes(epoch)).contains(&root) {
            step.tx
                .prepare_cached("UPDATE message SET late = 0 WHERE id = ?")?
                .execute([id])?;
        }
    }
    Ok(())
}

fn mark_after(
    step: &Step<'_, '_>,
    group: &Gid,
    tree: &Parents<'_>,
    cut: EpochId,
    (account, leaf, seq): (&[u8; 32], &[u8], u32),
) -> Result<(), Stop> {
    let later: Vec<([u8; 16], [u8; 16], u32)> = step
        .tx
        .prepare_cached("SELECT id, epoch_id, leaf FROM message WHERE group_id = ? AND sender = ? AND seq > ?")?
        .query_map(params![group, account, seq], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<Result<_, _>>()?;
    for (id, epoch, by) in later {
        let epoch = EpochId::from_bytes(epoch);
        let whose = members(step, epoch)?.into_iter().find(|member| member.leaf == by);
        let counts = leaf.is_empty() || whose.is_some_and(|member| member.key == leaf);
        if counts && !path(tree, epoch).contains(&cut) {
            step.tx
                .prepare_cached("UPDATE message SET late = 1 WHERE id = ?")?
                .execute([id])?;
        }
    }
    Ok(())
}
