//! The epochs of a conversation: which are retained, which is written to, how a commit adds one.
//!
//! In: commits, mine and others'; who writes in which epoch. Out: rows of the tree, what is listened to, the head.
//! The rule that picks the head is `fork`'s, a pure function of the rows kept here. Closing deletes keys and decides
//! nothing (EPO-4). Specified in `docs/protocol/07-conversation.md` (EPO-*) and `09-forks.md`.
//! Invariant: an epoch has either both its exports and its OpenMLS rows, or neither.

use super::{Conversation, load, receipts, renewal};
use crate::fork::{self, Class, Commit, Node, Votes};
use crate::listening;
use crate::mls::{self, CommitRead, Gid, Leaf, Made, Taken, Wish};
use crate::outbox;
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use stonechat_wire::ids::{AccountId, EpochId, MessageId};
use stonechat_wire::mailbox::MailboxRoot;

/// Epochs of one conversation that keep their keys (EPO-4).
pub(crate) const RETAINED_MAX: usize = 32;
/// So long after it was left an epoch keeps its keys (EPO-4).
pub(crate) const RETAINED_MS: u64 = 30 * 24 * 3600 * 1000;
/// Commits by one account on one parent that are kept: a second one is evidence, more are a flood (EPO-5).
const RIVALS_EACH: usize = 2;
/// Above so many accounts three others are enough to confirm something (EPO-6).
pub(crate) const ALL_CONFIRM_MAX: usize = 8;
const ENOUGH_CONFIRM: usize = 3;

/// A member as an epoch's row lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) leaf: u32,
    pub(crate) account: AccountId,
}

/// What a commit is, once it was found to be allowed.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    pub(crate) class: Class,
    pub(crate) rank: u32,
    pub(crate) unseats: Vec<AccountId>,
}

/// The members of an epoch, as its row keeps them.
pub(crate) fn members(step: &Step<'_, '_>, epoch: EpochId) -> Result<Vec<Member>, Stop> {
    let packed: Option<Vec<u8>> = step
        .tx
        .prepare_cached("SELECT members FROM epoch WHERE epoch_id = ?")?
        .query_row([epoch.as_bytes()], |row| row.get(0))
        .optional()?;
    Ok(unpacked(&packed.unwrap_or_default()))
}

fn packed(leaves: &[Leaf]) -> Result<Vec<u8>, Stop> {
    let mut out = Vec::with_capacity(leaves.len() * 36);
    for leaf in leaves {
        let account = mls::account_in(&leaf.identity).ok_or(Stop::Refused("credential"))?;
        out.extend_from_slice(&leaf.index.to_be_bytes());
        out.extend_from_slice(account.as_bytes());
    }
    Ok(out)
}

fn unpacked(bytes: &[u8]) -> Vec<Member> {
    let rows = bytes.chunks_exact(36).filter_map(|row| {
        let (leaf, account) = row.split_first_chunk::<4>()?;
        Some(Member {
            leaf: u32::from_be_bytes(*leaf),
            account: AccountId::from_slice(account)?,
        })
    });
    rows.collect()
}

/// The epoch that a conversation begins with here.
pub(crate) fn plant(step: &mut Step<'_, '_>, entered: &mls::Entered) -> Result<(), Stop> {
    let root = Planted {
        group: entered.group,
        epoch: entered.epoch,
        members: packed(&entered.members)?,
        commit: None,
    };
    insert(step, &root, true)
}

struct Planted {
    group: Gid,
    epoch: EpochId,
    members: Vec<u8>,
    commit: Option<(EpochId, [u8; 32], Member, Judged)>,
}

fn insert(step: &mut Step<'_, '_>, new: &Planted, with_me: bool) -> Result<(), Stop> {
    let exports = if with_me {
        Some(step.groups.export(&step.mls, (new.group, new.epoch))?)
    } else {
        None
    };
    let commit = new.commit.as_ref();
    step.tx
        .prepare_cached(
            "INSERT INTO epoch(epoch_id, group_id, parent, commit_hash, author, leaf, class, rank, unseats, members,
                               made_at, left_at, mailbox_root, envelope_key)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11, ?12, ?13)",
        )?
        .execute(params![
            new.epoch.as_bytes(),
            new.group,
            commit.map(|(parent, ..)| *parent.as_bytes()),
            commit.map(|(_, hash, ..)| *hash),
            commit.map(|(_, _, by, _)| *by.account.as_bytes()),
            commit.map(|(_, _, by, _)| by.leaf),
            commit.map(|(_, _, _, judged)| judged.class as u8),
            commit.map(|(_, _, _, judged)| judged.rank),
            commit.map_or_else(Vec::new, |(_, _, _, judged)| {
                judged.unseats.iter().flat_map(|account| *account.as_bytes()).collect()
            }),
            new.members,
            step.time.0.cast_signed(),
            exports.as_ref().map(|exports| exports.mailbox_root),
            exports.as_ref().map(|exports| exports.envelope_key),
        ])?;
    match &exports {
        Some(exports) => {
            let root = MailboxRoot::new(exports.mailbox_root);
            listening::follow_epoch(step, new.group, new.epoch, &root, step.slot())
        }
        None => Ok(()),
    }
}

/// Makes a commit on the head and moves there. Out: what the caller still has to send besides the commit.
pub(crate) fn commit(
    step: &mut Step<'_, '_>,
    of: &Conversation,
    wish: &Wish<'_>,
    judged: &Judged,
) -> Result<Made, Stop> {
    let made = step.groups.commit(&step.mls, (of.group, of.epoch), &of.signer, wish)?;
    let by = Member {
        leaf: of.leaf,
        account: step.me()?,
    };
    let new = Planted {
        group: of.group,
        epoch: made.child,
        members: packed(&made.members)?,
        commit: Some((of.epoch, Sha256::digest(&made.commit).into(), by, judged.clone())),
    };
    insert(step, &new, true)?;
    outbox::put_commit(step, (of.group, of.epoch), made.child, &made.commit)?;
    committed(step, &of.group)?;
    settle_head(step, &of.group)?;
    Ok(made)
}

/// Takes in a commit that came in the commit lane of `parent`.
pub(crate) fn take_commit(
    step: &mut Step<'_, '_>,
    of: &Conversation,
    parent: EpochId,
    bytes: &[u8],
) -> Result<(), Stop> {
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    if is_known(step, parent, &hash)? {
        return Ok(());
    }
    let taken = match step.groups.take_commit(&step.mls, (of.group, parent), bytes)? {
        CommitRead::Taken(taken) => taken,
        CommitRead::Own => return Ok(()),
        CommitRead::Refused(why) => return Err(Stop::Refused(why)),
    };
    let judged = judge(&taken)?;
    let by = Member {
        leaf: taken.author.index,
        account: mls::account_in(&taken.author.identity).ok_or(Stop::Refused("credential"))?,
    };
    make_room(step, parent, by.account, &hash, &judged)?;
    let new = Planted {
        group: of.group,
        epoch: taken.child,
        members: packed(&taken.after)?,
        commit: Some((parent, hash, by, judged)),
    };
    insert(step, &new, taken.with_me)?;
    committed(step, &of.group)?;
    receipts::due(step, &of.group)?;
    settle_head(step, &of.group)
}

/// Whether a commit is allowed: a function of what stands in its parent and of itself (EPO-2).
fn judge(taken: &Taken) -> Result<Judged, Stop> {
    let quiet = taken.added.is_empty() && taken.removed.is_empty() && !taken.changed_state && taken.state.is_none();
    if quiet && taken.renewed && taken.with_me {
        Ok(Judged::renewal(0))
    } else {
        Err(Stop::Refused("nobody may change who is in a conversation of two"))
    }
}

impl Judged {
    /// A self-update by somebody of this authority.
    pub(crate) const fn renewal(rank: u32) -> Self {
        Self {
            class: Class::Renewal,
            rank,
            unseats: Vec::new(),
        }
    }
}

fn is_known(step: &Step<'_, '_>, parent: EpochId, hash: &[u8; 32]) -> Result<bool, Stop> {
    Ok(step
        .tx
        .prepare_cached("SELECT 1 FROM epoch WHERE parent = ? AND commit_hash = ?")?
        .exists(params![parent.as_bytes(), hash])?)
}

/// Two commits of one account on one parent are kept, the lower ones by the order of forks (EPO-5).
fn make_room(
    step: &mut Step<'_, '_>,
    parent: EpochId,
    author: AccountId,
    hash: &[u8; 32],
    judged: &Judged,
) -> Result<(), Stop> {
    let sql = "SELECT epoch_id, class, commit_hash FROM epoch WHERE parent = ? AND author = ? ORDER BY class, commit_hash";
    let rivals: Vec<([u8; 16], u8, [u8; 32])> = step
        .tx
        .prepare_cached(sql)?
        .query_map(params![parent.as_bytes(), author.as_bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<Result<_, _>>()?;
    let Some((highest, class, other)) = rivals.get(RIVALS_EACH - 1) else {
        return Ok(());
    };
    if (judged.class as u8, hash) > (*class, other) {
        return Err(Stop::Refused("a third commit by one member on one epoch"));
    }
    close(step, EpochId::from_bytes(*highest))?;
    step.tx
        .prepare_cached("UPDATE epoch SET parent = NULL WHERE epoch_id = ?")?
        .execute([highest])?;
    Ok(())
}

fn committed(step: &Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    step.tx
        .prepare_cached("UPDATE conversation SET commit_at = ? WHERE group_id = ?")?
        .execute(params![step.now.0.cast_signed(), group])?;
    Ok(())
}

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
            .prepare_cached("UPDATE wrote SET seq = max(seq, ?4) WHERE group_id = ?1 AND epoch_id = ?2 AND account = ?3")?
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
    let found = fork::head(&nodes, &votes(step, group)?, EpochId::from_bytes(root));
    let head = EpochId::from_bytes(head);
    if found != head {
        move_to(step, group, &nodes, head, found)?;
    }
    close_old(step, group)
}

fn move_to(step: &mut Step<'_, '_>, group: &Gid, nodes: &[Node], from: EpochId, to: EpochId) -> Result<(), Stop> {
    step.tx
        .prepare_cached("UPDATE conversation SET head = ? WHERE group_id = ?")?
        .execute(params![to.as_bytes(), group])?;
    step.tx
        .prepare_cached("UPDATE epoch SET left_at = ? WHERE epoch_id = ?")?
        .execute(params![step.time.0.cast_signed(), from.as_bytes()])?;
    let (me, tree) = (step.me()?, parents(nodes));
    let lost = path(&tree, from)
        .into_iter()
        .filter(|epoch| !path(&tree, to).contains(epoch));
    let mine = lost
        .filter_map(|epoch| tree.get(&epoch).copied().flatten())
        .any(|commit| commit.author == me && commit.class == Class::Renewal);
    if mine {
        renewal::lost(step, group)?;
    }
    Ok(())
}

type Parents<'a> = BTreeMap<EpochId, Option<&'a Commit>>;

fn parents(nodes: &[Node]) -> Parents<'_> {
    nodes.iter().map(|node| (node.epoch, node.commit.as_ref())).collect()
}

/// From an epoch back to the root.
fn path(tree: &Parents<'_>, from: EpochId) -> Vec<EpochId> {
    let mut path = vec![from];
    while let Some(Some(commit)) = path.last().and_then(|at| tree.get(at)) {
        if path.len() > tree.len() {
            break;
        }
        path.push(commit.parent);
    }
    path
}

fn nodes(step: &Step<'_, '_>, group: &Gid) -> Result<Vec<Node>, Stop> {
    let mut rows = step.tx.prepare_cached(
        "SELECT epoch_id, members, parent, author, class, rank, commit_hash, unseats FROM epoch WHERE group_id = ?",
    )?;
    let found = rows.query_map([group], |row| {
        let parent: Option<[u8; 16]> = row.get(2)?;
        let commit = match parent {
            None => None,
            Some(parent) => Some(Commit {
                parent: EpochId::from_bytes(parent),
                author: AccountId::from_bytes(row.get(3)?),
                class: class_of(row.get(4)?),
                rank: row.get(5)?,
                hash: row.get(6)?,
                unseats: accounts(&row.get::<_, Vec<u8>>(7)?),
            }),
        };
        let members: Vec<u8> = row.get(1)?;
        Ok(Node {
            epoch: EpochId::from_bytes(row.get(0)?),
            members: unpacked(&members).into_iter().map(|member| member.account).collect(),
            commit,
        })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

const fn class_of(number: u8) -> Class {
    match number {
        0 => Class::Unseats,
        1 => Class::Admin,
        _renewal => Class::Renewal,
    }
}

fn accounts(packed: &[u8]) -> Vec<AccountId> {
    packed.chunks_exact(32).filter_map(AccountId::from_slice).collect()
}

fn votes(step: &Step<'_, '_>, group: &Gid) -> Result<Votes, Stop> {
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

/// An account was heard in this epoch: commits of mine up to there have reached it (EPO-6).
pub(crate) fn heard(step: &mut Step<'_, '_>, group: &Gid, account: AccountId, epoch: EpochId) -> Result<(), Stop> {
    let waiting: Vec<[u8; 16]> = step
        .tx
        .prepare_cached("SELECT DISTINCT about FROM outbox WHERE group_id = ? AND purpose = 4")?
        .query_map([group], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    if waiting.is_empty() {
        return Ok(());
    }
    let nodes = nodes(step, group)?;
    let reached = path(&parents(&nodes), epoch);
    for made in waiting.into_iter().map(EpochId::from_bytes).filter(|made| reached.contains(made)) {
        step.tx
            .prepare_cached("INSERT OR IGNORE INTO commit_heard VALUES (?, ?)")?
            .execute(params![made.as_bytes(), account.as_bytes()])?;
        let count: u32 = step
            .tx
            .prepare_cached("SELECT count(*) FROM commit_heard WHERE epoch_id = ?")?
            .query_row([made.as_bytes()], |row| row.get(0))?;
        if count as usize >= enough(step, made)? {
            outbox::done(step, outbox::Waiting::Commit, made.as_bytes())?;
        }
    }
    Ok(())
}

/// How many other accounts of an epoch must confirm what was said there.
pub(crate) fn enough(step: &Step<'_, '_>, epoch: EpochId) -> Result<usize, Stop> {
    let me = step.me()?;
    let mut others: Vec<AccountId> = members(step, epoch)?.into_iter().map(|member| member.account).collect();
    others.sort_unstable();
    others.dedup();
    others.retain(|account| *account != me);
    Ok(if others.len() < ALL_CONFIRM_MAX {
        others.len()
    } else {
        ENOUGH_CONFIRM
    })
}

/// A commit made it; it was not founded or joined here.
pub(crate) fn is_made_by_commit(step: &Step<'_, '_>, epoch: EpochId) -> Result<bool, Stop> {
    Ok(step
        .tx
        .prepare_cached("SELECT 1 FROM epoch WHERE epoch_id = ? AND commit_hash IS NOT NULL")?
        .exists([epoch.as_bytes()])?)
}

/// The head's branch holds this epoch.
pub(crate) fn is_canonical(step: &Step<'_, '_>, group: &Gid, epoch: EpochId) -> Result<bool, Stop> {
    let nodes = nodes(step, group)?;
    let head = load(step, group)?.ok_or(Stop::Refused("no such conversation"))?.epoch;
    Ok(path(&parents(&nodes), head).contains(&epoch))
}

/// The leaf that this account had in this epoch; nothing where the epoch is not known here.
pub(crate) fn was_leaf_of(step: &Step<'_, '_>, epoch: EpochId, leaf: u32) -> Result<Option<AccountId>, Stop> {
    let members = members(step, epoch)?;
    Ok(members.iter().find(|member| member.leaf == leaf).map(|member| member.account))
}

/// Closes what was left long ago, and what is too much: losing branches first, then the oldest (EPO-4).
fn close_old(step: &mut Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    let Some(of) = load(step, group)? else { return Ok(()) };
    let nodes = nodes(step, group)?;
    let canonical = path(&parents(&nodes), of.epoch);
    let mut open: Vec<(EpochId, i64)> = step
        .tx
        .prepare_cached("SELECT epoch_id, left_at FROM epoch WHERE group_id = ? AND mailbox_root IS NOT NULL")?
        .query_map([group], |row| Ok((EpochId::from_bytes(row.get(0)?), row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    open.retain(|(epoch, _)| *epoch != of.epoch);
    open.sort_by_key(|(epoch, left_at)| (canonical.contains(epoch), *left_at, *epoch));
    let too_many = (open.len() + 1).saturating_sub(RETAINED_MAX);
    let old = step.time.0.saturating_sub(RETAINED_MS).cast_signed();
    let gone: Vec<EpochId> = open
        .iter()
        .enumerate()
        .filter(|(n, (_, left_at))| *n < too_many || *left_at < old)
        .map(|(_, (epoch, _))| *epoch)
        .collect();
    for epoch in &gone {
        close(step, *epoch)?;
    }
    if gone.is_empty() { Ok(()) } else { prune(step, group, &canonical) }
}

/// Deletes an epoch's keys; its place in the tree stays. Messages that wait there are encrypted again at the head.
fn close(step: &mut Step<'_, '_>, epoch: EpochId) -> Result<(), Stop> {
    listening::drop_about(step, epoch.as_bytes())?;
    outbox::epoch_closed(step, epoch)?;
    step.groups.forget();
    step.tx
        .prepare_cached("DELETE FROM epoch_row WHERE object = ?1 AND group_id = (SELECT group_id FROM epoch WHERE epoch_id = ?1)")?
        .execute([epoch.as_bytes()])?;
    step.tx
        .prepare_cached("UPDATE epoch SET mailbox_root = NULL, envelope_key = NULL WHERE epoch_id = ?")?
        .execute([epoch.as_bytes()])?;
    Ok(())
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
    let Some(root) = canonical.iter().find(|epoch| paths.iter().all(|path| path.contains(epoch))) else {
        return Ok(());
    };
    let keep = |epoch: EpochId| path(&tree, epoch).contains(root);
    for node in nodes.iter().filter(|node| !keep(node.epoch)) {
        step.tx
            .prepare_cached("DELETE FROM epoch WHERE epoch_id = ?")?
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

/// The conversation's epochs that keep their keys.
pub(crate) fn retained(step: &Step<'_, '_>, group: &Gid) -> Result<Vec<EpochId>, Stop> {
    let mut rows = step
        .tx
        .prepare_cached("SELECT epoch_id FROM epoch WHERE group_id = ? AND mailbox_root IS NOT NULL")?;
    let found = rows.query_map([group], |row| Ok(EpochId::from_bytes(row.get(0)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Where a message of mine was encrypted first.
pub(crate) fn first_of(step: &Step<'_, '_>, id: MessageId) -> Result<Option<(EpochId, u32)>, Stop> {
    Ok(step
        .tx
        .prepare_cached("SELECT epoch_id, leaf FROM message WHERE id = ?")?
        .query_row([id.as_bytes()], |row| Ok((EpochId::from_bytes(row.get(0)?), row.get(1)?)))
        .optional()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken() -> Taken {
        let leaf = |index| Leaf {
            index,
            identity: vec![7; 104],
            public: vec![8; 32],
        };
        Taken {
            child: EpochId::from_bytes([1; 16]),
            author: leaf(0),
            before: vec![leaf(0), leaf(1)],
            after: vec![leaf(0), leaf(1)],
            added: vec![],
            removed: vec![],
            changed_state: false,
            state: None,
            renewed: true,
            note: vec![],
            with_me: true,
        }
    }

    #[test]
    fn between_two_only_own_keys_are_renewed_epo_2() {
        assert_eq!(judge(&taken()).unwrap().class, Class::Renewal);
        let leaf = taken().author;
        let refused = [
            Taken { added: vec![leaf], ..taken() },
            Taken { removed: vec![1], with_me: false, ..taken() },
            Taken { changed_state: true, state: Some(vec![1]), ..taken() },
            Taken { renewed: false, ..taken() },
        ];
        for commit in refused {
            assert!(judge(&commit).is_err(), "{commit:?}");
        }
    }
}
