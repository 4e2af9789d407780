//! The epochs of a conversation: which are retained, which is written to, how a commit adds one.
//!
//! In: commits, mine and others'; who writes in which epoch. Out: rows of the tree, what is listened to, the head.
//! Here is an epoch's row, written and read. The way of a commit: `making` or `taking`, then `cuts` and `late`, then `head` (where
//! `fork` picks, a pure function of the rows), then `closing`; `confirming` says when it needs no more care.
//! Specified in `docs/protocol/07-conversation.md` (EPO-*) and `09-forks.md`.
//! Invariant: an epoch has either both its exports and its OpenMLS rows, or neither.

mod beside;
mod catchup;
mod closing;
mod confirming;
mod cuts;
mod descent;
mod head;
mod late;
mod logs;
mod lost_removal;
mod making;
mod readable;
mod returned;
mod roots;
mod taking;
mod tree;
mod void;

pub(crate) use beside::{
    Beside, added_by_me, beside, is_kept_beside, lost, mine_beside, some_lost_of, unseating_beside,
};
pub(crate) use catchup::take_commits;
use closing::near;
pub(crate) use closing::{close_old, retained};
pub(crate) use confirming::{ALL_CONFIRM_MAX, commit_stored, enough, heard};
#[cfg(test)]
pub(crate) use cuts::{SEEN, SEEN_OF_LEAF};
pub(crate) use cuts::{cuts, leaf_cut};
pub(crate) use head::{settle_head, wrote};
#[cfg(test)]
pub(crate) use late::{CHILDREN, MARKED, WRITTEN};
pub(crate) use late::{Written, judge_new};
pub(crate) use logs::{newer_log_before, note_log};
pub(crate) use lost_removal::{AGAIN_WITHIN_MS, Meanwhile, is_removed_beside, meanwhile};
pub(crate) use making::{commit, commit_own, has_committed};
pub(crate) use readable::{first_of, has_my_leaf, lacks_by_void, readable_at, replaced_author, was_leaf_of};
pub(crate) use returned::came_back;
pub(crate) use roots::{SEVERAL_ROOTS, added_by, counts_no_more, follow_others, place, place_here, unplace};
pub(crate) use tree::{is_canonical, since};
pub(crate) use void::{is_let_in, rights, unseats_on_the_way};

use self::closing::close_surplus;
use super::{receipts, wants};
use crate::group;
use crate::listening;
use crate::mls::{self, Gid, Leaf};
use crate::outbox;
use crate::own;
use crate::roles::Judged;
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use std::collections::BTreeSet;
use stonechat_wire::group::GroupState;
use stonechat_wire::ids::{AccountId, EpochId};
use stonechat_wire::mailbox::MailboxRoot;

/// A member as an epoch's row lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) leaf: u32,
    pub(crate) account: AccountId,
    /// The beginning of its leaf's public key: another one after it was added again.
    pub(crate) key: [u8; 8],
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
    let mut out = Vec::with_capacity(leaves.len() * 44);
    for leaf in leaves {
        let account = mls::account_in(&leaf.identity).ok_or(Stop::Refused("credential"))?;
        out.extend_from_slice(&leaf.index.to_be_bytes());
        out.extend_from_slice(account.as_bytes());
        out.extend_from_slice(&key_of(leaf)?);
    }
    Ok(out)
}

fn key_of(leaf: &Leaf) -> Result<[u8; 8], Stop> {
    leaf.public.first_chunk().copied().ok_or(Stop::Refused("leaf"))
}

fn unpacked(bytes: &[u8]) -> Vec<Member> {
    let rows = bytes.chunks_exact(44).filter_map(|row| {
        let (leaf, rest) = row.split_first_chunk::<4>()?;
        let (account, key) = rest.split_first_chunk::<32>()?;
        Some(Member {
            leaf: u32::from_be_bytes(*leaf),
            account: AccountId::from_bytes(*account),
            key: key.try_into().ok()?,
        })
    });
    rows.collect()
}

/// The accounts of an epoch.
pub(crate) fn accounts(step: &Step<'_, '_>, epoch: EpochId) -> Result<BTreeSet<AccountId>, Stop> {
    Ok(members(step, epoch)?.into_iter().map(|member| member.account).collect())
}

/// Whether a leaf of this device is in an open epoch: what is written there can be sealed.
pub(crate) fn is_readable(step: &Step<'_, '_>, epoch: EpochId) -> Result<bool, Stop> {
    let sql = "SELECT 1 FROM epoch WHERE epoch_id = ? AND envelope_key IS NOT NULL";
    Ok(step.tx.prepare_cached(sql)?.exists([epoch.as_bytes()])?)
}

/// Who could read an epoch: its accounts, each with the leaf it had then.
pub(crate) fn readers(step: &Step<'_, '_>, epoch: EpochId) -> Result<BTreeSet<(AccountId, [u8; 8])>, Stop> {
    let members = members(step, epoch)?;
    Ok(members.into_iter().map(|member| (member.account, member.key)).collect())
}

/// A group's state in an epoch; nothing in a conversation of two.
pub(crate) fn state(step: &Step<'_, '_>, epoch: EpochId) -> Result<Option<GroupState>, Stop> {
    let bytes: Option<Vec<u8>> = step
        .tx
        .prepare_cached("SELECT state FROM epoch WHERE epoch_id = ?")?
        .query_row([epoch.as_bytes()], |row| row.get(0))
        .optional()?
        .flatten();
    Ok(bytes.and_then(|bytes| GroupState::decode(&bytes).ok()))
}

/// The epoch that a conversation begins with here.
pub(crate) fn plant(step: &mut Step<'_, '_>, entered: &mls::Entered) -> Result<(), Stop> {
    let root = Planted {
        group: entered.group,
        epoch: entered.epoch,
        members: packed(&entered.members)?,
        state: entered.state.clone(),
        commit: None,
    };
    insert(step, &root, true)
}

/// Leaf, account, and the beginning of the leaf's key.
type Committer = (u32, AccountId, [u8; 8]);

struct Planted {
    group: Gid,
    epoch: EpochId,
    members: Vec<u8>,
    state: Option<Vec<u8>>,
    /// Parent and hash.
    commit: Option<(EpochId, [u8; 32], Committer, Judged)>,
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
                               state, made_at, number, mailbox_root, envelope_key, leaf_key, ousts)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,
                     (SELECT coalesce(max(number), 0) + 1 FROM epoch), ?13, ?14, ?15, ?16)",
        )?
        .execute(params![
            new.epoch.as_bytes(),
            new.group,
            commit.map(|(parent, ..)| *parent.as_bytes()),
            commit.map(|(_, hash, ..)| *hash),
            commit.map(|(_, _, by, _)| *by.1.as_bytes()),
            commit.map(|(_, _, by, _)| by.0),
            commit.map(|(_, _, _, judged)| judged.class as u8),
            commit.map(|(_, _, _, judged)| judged.rank),
            commit.map_or_else(Vec::new, |(_, _, _, judged)| {
                judged.unseats.iter().flat_map(|account| *account.as_bytes()).collect()
            }),
            new.members,
            new.state,
            step.time.0.cast_signed(),
            exports.as_ref().map(|exports| exports.mailbox_root),
            exports.as_ref().map(|exports| exports.envelope_key),
            commit.map(|(_, _, by, _)| by.2),
            commit.map_or_else(Vec::new, |(_, _, _, judged)| judged.ousts.concat()),
        ])?;
    note_shared(step, new)?;
    match &exports {
        Some(exports) => {
            let open = listening::Open {
                group: new.group,
                epoch: new.epoch,
                root: MailboxRoot::new(exports.mailbox_root),
                made: step.time,
                far: false,
            };
            listening::follow_epoch(step, &open)
        }
        None => Ok(()),
    }
}

/// Notes that an account has several leaves here, once it has.
fn note_shared(step: &Step<'_, '_>, new: &Planted) -> Result<(), Stop> {
    let members = unpacked(&new.members);
    let accounts: BTreeSet<AccountId> = members.iter().map(|member| member.account).collect();
    if accounts.len() < members.len() {
        step.tx
            .prepare_cached("UPDATE conversation SET shared = 1 WHERE group_id = ? AND shared = 0 AND own = 0")?
            .execute([new.group])?;
    }
    Ok(())
}

fn committed(step: &Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    step.tx
        .prepare_cached("UPDATE conversation SET commit_at = ? WHERE group_id = ?")?
        .execute(params![step.now.0.cast_signed(), group])?;
    Ok(())
}

/// A commit made it; it was not founded or joined here.
pub(crate) fn is_made_by_commit(step: &Step<'_, '_>, epoch: EpochId) -> Result<bool, Stop> {
    Ok(step
        .tx
        .prepare_cached("SELECT 1 FROM epoch WHERE epoch_id = ? AND commit_hash IS NOT NULL")?
        .exists([epoch.as_bytes()])?)
}

/// Added again by a Welcome: the conversation goes on from there; what was before stays readable.
pub(crate) fn plant_again(step: &mut Step<'_, '_>, entered: &mls::Entered, signer: &mls::Signer) -> Result<(), Stop> {
    let before = retained(step, &entered.group)?;
    let (unseen, way) = (unseen(step, &entered.group)?, way_to_head(step, &entered.group)?);
    roots::keep(step, &entered.group)?;
    plant(step, entered)?;
    step.tx.execute(
        "UPDATE conversation SET root = ?1, head = ?1, leaf = ?2, signer = ?3, leaving = 0, silent = 0, heard_at = ?5
         WHERE group_id = ?4",
        params![
            entered.epoch.as_bytes(),
            entered.own_leaf,
            signer.seed(),
            entered.group,
            step.time.0.cast_signed()
        ],
    )?;
    // What waited where nobody listens any more is said again here.
    for epoch in before {
        outbox::branch_lost(step, &entered.group, epoch)?;
    }
    receipts::due(step, &entered.group)?;
    wants::begin_again(step, &entered.group)?;
    own::spread(step, &entered.group)?;
    group::placed::tell_outside(step, &entered.group, &way)?;
    group::head_moved(step, &entered.group, &unseen)?;
    close_surplus(step, &entered.group)
}

/// The head's branch, from the head back to the beginning that counts.
pub(crate) fn way_to_head(step: &Step<'_, '_>, group: &Gid) -> Result<Vec<EpochId>, Stop> {
    let sql = "SELECT head FROM conversation WHERE group_id = ?";
    let head: [u8; 16] = step.tx.prepare_cached(sql)?.query_row([group], |row| row.get(0))?;
    Ok(tree::path_in(&tree::lineage(step, group)?, EpochId::from_bytes(head)))
}

/// Commits of mine of which nobody was heard, oldest first: whoever adds me again may not have seen them (FORK-7).
fn unseen(step: &Step<'_, '_>, group: &Gid) -> Result<Vec<EpochId>, Stop> {
    let mut rows = step.tx.prepare_cached(
        "SELECT e.epoch_id FROM epoch e WHERE e.group_id = ?1
           AND e.epoch_id IN (SELECT about FROM outbox WHERE group_id = ?1 AND purpose = 4)
           AND e.epoch_id NOT IN (SELECT epoch_id FROM commit_heard) ORDER BY e.number",
    )?;
    let found = rows.query_map([group], |row| Ok(EpochId::from_bytes(row.get(0)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}
