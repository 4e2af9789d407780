//! The epochs of a conversation: which are retained, which is written to, how a commit adds one.
//!
//! In: commits, mine and others'; who writes in which epoch. Out: rows of the tree, what is listened to, the head.
//! The rule that picks the head is `fork`'s, a pure function of the rows kept here. Closing deletes keys and decides
//! nothing (EPO-4). Specified in `docs/protocol/07-conversation.md` (EPO-*) and `09-forks.md`.
//! Invariant: an epoch has either both its exports and its OpenMLS rows, or neither.

use super::{Conversation, alarms, load, originals, receipts, renewal};
use crate::api::Fault;
use crate::content;
use crate::defence::{self, Defence};
use crate::fork::{self, Class, Commit, Node, Votes};
use crate::group;
use crate::leaf;
use crate::listening;
use crate::mls::{self, CommitRead, Gid, Leaf, Made, Taken, Wish};
use crate::outbox;
use crate::own;
use crate::roles::{self, Change, Judged};
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use stonechat_wire::group::{Cut, GroupState, Note, leave_bytes};
use stonechat_wire::ids::{AccountId, EpochId, MessageId, Timestamp};
use stonechat_wire::mailbox::MailboxRoot;
use stonechat_wire::own::OwnNote;

/// Epochs of one conversation that keep their keys (EPO-4).
pub(crate) const RETAINED_MAX: usize = 32;
/// ... and of a large group: each of its epochs is megabytes (GRP-17).
const LARGE_RETAINED_MAX: usize = 4;
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
            let root = MailboxRoot::new(exports.mailbox_root);
            listening::follow_epoch(step, new.group, new.epoch, &root, step.slot())
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

/// Makes a commit on the head and moves there. Errors: refused by the rules that everybody will judge it by.
pub(crate) fn commit(
    step: &mut Step<'_, '_>,
    of: &Conversation,
    wish: &Wish<'_>,
    judged: &Judged,
    note: &Note,
) -> Result<Made, Stop> {
    let (made, _) = make(step, of, wish, judged)?;
    keep_cuts(step, made.child, judged, note)?;
    settle_head(step, &of.group)?;
    Ok(made)
}

/// Makes a commit about my own leaves and moves there (DEV-4).
pub(crate) fn commit_own(
    step: &mut Step<'_, '_>,
    of: &Conversation,
    wish: &Wish<'_>,
    judged: &Judged,
    note: &OwnNote,
) -> Result<Made, Stop> {
    let (made, me) = make(step, of, wish, judged)?;
    keep_leaf_cuts(step, made.child, me, note)?;
    settle_head(step, &of.group)?;
    Ok(made)
}

fn make(
    step: &mut Step<'_, '_>,
    of: &Conversation,
    wish: &Wish<'_>,
    judged: &Judged,
) -> Result<(Made, AccountId), Stop> {
    if has_committed(step, of)? {
        return Err(Stop::Fault(Fault::NotAllowed));
    }
    let made = step.groups.commit(&step.mls, (of.group, of.epoch), &of.signer, wish)?;
    let by = (of.leaf, step.me()?, beginning(&of.signer.public()));
    let new = Planted {
        group: of.group,
        epoch: made.child,
        members: packed(&made.members)?,
        state: made.state.clone(),
        commit: Some((of.epoch, Sha256::digest(&made.commit).into(), by, judged.clone())),
    };
    insert(step, &new, true)?;
    if members(step, of.epoch)?.len() > 1 {
        let at = (of.group, of.epoch);
        outbox::put_commit(step, outbox::Waiting::Commit, at, made.child, &made.commit)?;
        originals::keep_commit(step, of, of.epoch, made.child, &made.commit)?;
    }
    committed(step, &of.group)?;
    Ok((made, by.1))
}

fn beginning(key: &[u8; 32]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = *key;
    [a, b, c, d, e, f, g, h]
}

fn keep_leaf_cuts(step: &Step<'_, '_>, made: EpochId, account: AccountId, note: &OwnNote) -> Result<(), Stop> {
    for cut in &note.cuts {
        step.tx
            .prepare_cached("INSERT OR IGNORE INTO cut(epoch_id, account, leaf, seq) VALUES (?, ?, ?, ?)")?
            .execute(params![made.as_bytes(), account.as_bytes(), cut.leaf, cut.seq])?;
    }
    Ok(())
}

/// A commit of mine on this epoch is there already, and void (FORK-2), or the head would be beyond. A second one would be
/// shown to everybody as what only a thief of my keys makes (ALM-1, RNW-6).
pub(crate) fn has_committed(step: &Step<'_, '_>, of: &Conversation) -> Result<bool, Stop> {
    Ok(step
        .tx
        .prepare_cached("SELECT 1 FROM epoch WHERE parent = ? AND author = ? AND leaf = ?")?
        .exists(params![of.epoch.as_bytes(), step.me()?.as_bytes(), of.leaf])?)
}

/// Takes in a commit that came in the commit lane of `parent`.
pub(crate) fn take_commit(
    step: &mut Step<'_, '_>,
    of: &Conversation,
    parent: EpochId,
    bytes: &[u8],
) -> Result<(), Stop> {
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    if let Some(known) = made_by(step, parent, &hash)? {
        originals::commit_came_again(step, known)?;
        // Its author has heard nothing yet: tell again.
        return receipts::due(step, &of.group);
    }
    let taken = match step.groups.take_commit(&step.mls, (of.group, parent), bytes)? {
        CommitRead::Taken(taken) => taken,
        // Mine are known by their hash: this one I did not make.
        CommitRead::Own => return alarms::own_leaf(step, of),
        CommitRead::Refused(why) => return Err(Stop::Refused(why)),
    };
    let before = state(step, parent)?;
    let about_own = OwnNote::decode(&taken.note).map_err(|_| Stop::Refused("note"))?;
    let (judged, note) = match &about_own {
        Some(note) => (own::judge(before.as_ref(), &taken, note)?, Note::default()),
        None => {
            let note = Note::decode(&taken.note).map_err(|_| Stop::Refused("note"))?;
            let number = match note.consents.as_slice() {
                [] => 0,
                _consents => step.groups.number(&step.mls, (of.group, parent))?,
            };
            (judge((&of.group, number), before.as_ref(), &taken, &note)?, note)
        }
    };
    let by = (
        taken.author.index,
        leaf::account_of(&taken.author)?,
        key_of(&taken.author)?,
    );
    make_room(step, parent, by, &hash, &judged)?;
    let new = Planted {
        group: of.group,
        epoch: taken.child,
        members: packed(&taken.after)?,
        state: taken.state.clone(),
        commit: Some((parent, hash, by, judged.clone())),
    };
    insert(step, &new, taken.with_me)?;
    originals::keep_commit(step, of, parent, taken.child, bytes)?;
    let removed: Vec<Leaf> = taken
        .before
        .iter()
        .filter(|leaf| taken.removed.contains(&leaf.index))
        .cloned()
        .collect();
    alarms::look_for_rivals(step, of, parent, (by.1, by.2))?;
    group::behind::heard(step, &of.group)?;
    group::succession::heard(step, of, by.1)?;
    match &about_own {
        Some(note) => keep_leaf_cuts(step, taken.child, by.1, note)?,
        None => {
            group::restored::note(step, of, &removed, &taken.added)?;
            keep_cuts(step, taken.child, &judged, &note)?;
        }
    }
    committed(step, &of.group)?;
    receipts::due_quietly(step, &of.group)?;
    settle_head(step, &of.group)?;
    match &about_own {
        Some(note) => own::taken_in(step, of, by.1, &taken, note),
        None => Ok(()),
    }
}

/// Whether a commit is allowed: a function of what stands in its parent and of itself (EPO-2).
fn judge(
    (group, number): (&Gid, u64),
    before: Option<&GroupState>,
    taken: &Taken,
    note: &Note,
) -> Result<Judged, Stop> {
    let comes = taken.added.iter().map(leaf::account_of).collect::<Result<_, _>>()?;
    let Some(before) = before else {
        return judge_two(taken);
    };
    let after = taken.state.as_deref().ok_or(Stop::Refused("no state"))?;
    let after = GroupState::decode(after).map_err(|_| Stop::Refused("state"))?;
    let goes = taken.before.iter().filter(|leaf| taken.removed.contains(&leaf.index));
    let change = Change {
        before,
        after: &after,
        author: leaf::account_of(&taken.author)?,
        comes,
        goes: goes.map(leaf::account_of).collect::<Result<_, _>>()?,
        left: left(group, taken, note),
        consents: group::succession::valid(group, number, (before, &after), &taken.before, &note.consents),
        renewed: taken.renewed,
    };
    if !defence::holds(Defence::CommitRules) {
        return Ok(roles::judge(&change).unwrap_or_else(|_| Judged::renewal(0)));
    }
    let judged = roles::judge(&change).map_err(Stop::Refused)?;
    check_cuts(&judged, &change.left, note)?;
    Ok(judged)
}

/// In a conversation of two everybody renews its own keys, and nobody does anything else.
fn judge_two(taken: &Taken) -> Result<Judged, Stop> {
    let quiet = taken.added.is_empty() && taken.removed.is_empty() && !taken.changed_state && taken.state.is_none();
    if quiet && taken.renewed && taken.with_me && taken.note.is_empty() {
        Ok(Judged::renewal(0))
    } else {
        Err(Stop::Refused("nobody may change who is in a conversation of two"))
    }
}

/// Who has signed that it leaves, with the key of its leaf in the parent (GRP-7).
fn left(group: &Gid, taken: &Taken, note: &Note) -> BTreeSet<AccountId> {
    let signed = |account: AccountId, signature: &[u8; 64]| {
        taken.before.iter().any(|leaf| {
            let key = leaf.public.as_slice().try_into().ok();
            mls::account_in(&leaf.identity) == Some(account)
                && key.is_some_and(|key| leaf::verified(key, &leave_bytes(group, account), signature).is_some())
        })
    };
    let leaves = note
        .leaves
        .iter()
        .filter(|leave| signed(leave.account, &leave.signature));
    leaves.map(|leave| leave.account).collect()
}

/// Whoever is unseated against its will has a cut, and nobody else (GRP-6).
fn check_cuts(judged: &Judged, left: &BTreeSet<AccountId>, note: &Note) -> Result<(), Stop> {
    let cut: Vec<AccountId> = note.cuts.iter().map(|cut| cut.account).collect();
    let unwilling = judged.unseats.iter().filter(|account| !left.contains(account));
    if unwilling.eq(cut.iter()) {
        Ok(())
    } else {
        Err(Stop::Refused("cuts"))
    }
}

/// The last that was seen here of each account that a commit of mine unseats.
pub(crate) fn cuts(step: &Step<'_, '_>, of: &Conversation, unseats: &[AccountId]) -> Result<Vec<Cut>, Stop> {
    let newest = |account: &AccountId| -> Result<Cut, Stop> {
        let sql = "SELECT epoch_id, seq FROM message WHERE group_id = ? AND sender = ? ORDER BY seq DESC LIMIT 1";
        let seen: Option<([u8; 16], u32)> = step
            .tx
            .prepare_cached(sql)?
            .query_row(params![of.group, account.as_bytes()], |row| {
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

fn keep_cuts(step: &Step<'_, '_>, made: EpochId, judged: &Judged, note: &Note) -> Result<(), Stop> {
    for cut in note.cuts.iter().filter(|cut| judged.unseats.contains(&cut.account)) {
        step.tx
            .prepare_cached("INSERT OR IGNORE INTO cut(epoch_id, account, seq) VALUES (?, ?, ?)")?
            .execute(params![made.as_bytes(), cut.account.as_bytes(), cut.seq])?;
    }
    Ok(())
}

/// Epoch that the commit makes, account, seq, and the leaf's key where it is one leaf's.
type KeptCut = ([u8; 16], [u8; 32], u32, Vec<u8>);

/// Marks what unseated accounts wrote after their cut, outside what descends from it (GRP-6): as the canonical branch
/// says at this moment.
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
    step.tx
        .prepare_cached("UPDATE message SET late = 0 WHERE group_id = ? AND late = 1")?
        .execute([group])?;
    for (epoch, account, seq, leaf) in cuts {
        let epoch = EpochId::from_bytes(epoch);
        if head.contains(&epoch) {
            mark_after(step, group, &tree, epoch, (&account, &leaf, seq))?;
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

/// The epoch that this commit has made, where it is known.
fn made_by(step: &Step<'_, '_>, parent: EpochId, hash: &[u8; 32]) -> Result<Option<EpochId>, Stop> {
    Ok(step
        .tx
        .prepare_cached("SELECT epoch_id FROM epoch WHERE parent = ? AND commit_hash = ?")?
        .query_row(params![parent.as_bytes(), hash], |row| row.get(0))
        .optional()?
        .map(EpochId::from_bytes))
}

/// The epochs of the head's branch that somebody who stands here lacks, oldest first: those since this epoch, or since its
/// branch left the head's. None where it is not known.
pub(crate) fn since(step: &Step<'_, '_>, of: &Conversation, epoch: EpochId) -> Result<Vec<EpochId>, Stop> {
    let nodes = nodes(step, &of.group)?;
    let tree = parents(&nodes);
    let (there, here) = (path(&tree, epoch), path(&tree, of.epoch));
    Ok(match here.iter().position(|on| there.contains(on)) {
        Some(place) => here.into_iter().take(place).rev().collect(),
        None => vec![],
    })
}

/// Two commits of one account on one parent are kept, the lower ones by the order of forks (EPO-5).
fn make_room(
    step: &mut Step<'_, '_>,
    parent: EpochId,
    (_, author, leaf): Committer,
    hash: &[u8; 32],
    judged: &Judged,
) -> Result<(), Stop> {
    let sql = "SELECT epoch_id, class, commit_hash FROM epoch WHERE parent = ? AND author = ? AND leaf_key = ?
               ORDER BY class, commit_hash";
    let rivals: Vec<([u8; 16], u8, [u8; 32])> = step
        .tx
        .prepare_cached(sql)?
        .query_map(params![parent.as_bytes(), author.as_bytes(), leaf], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<Result<_, _>>()?;
    let Some((highest, class, other)) = rivals.get(RIVALS_EACH - 1) else {
        return Ok(());
    };
    if !defence::holds(Defence::RivalsEach) {
        return Ok(());
    }
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
    let clauses = fork::Clauses {
        void: defence::holds(Defence::VoidCommits),
        ..fork::Clauses::ALL
    };
    let found = fork::head_by(&nodes, &votes(step, group)?, EpochId::from_bytes(root), clauses);
    let head = EpochId::from_bytes(head);
    if found != head {
        move_to(step, group, &nodes, head, found)?;
    }
    mark_late(step, group)?;
    content::judge_late(step, group)?;
    close_surplus(step, group)
}

fn move_to(step: &mut Step<'_, '_>, group: &Gid, nodes: &[Node], from: EpochId, to: EpochId) -> Result<(), Stop> {
    step.tx
        .prepare_cached("UPDATE conversation SET head = ? WHERE group_id = ?")?
        .execute(params![to.as_bytes(), group])?;
    let (me, tree) = (step.me()?, parents(nodes));
    let left = lost_commits(&tree, from, to);
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
    group::head_moved(step, group, &left)
}

/// The epochs of commits that the head's branch has left.
fn lost_commits(tree: &Parents<'_>, from: EpochId, to: EpochId) -> Vec<EpochId> {
    let kept = path(tree, to);
    path(tree, from)
        .into_iter()
        .filter(|epoch| !kept.contains(epoch))
        .collect()
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
        "SELECT epoch_id, members, parent, author, class, rank, commit_hash, unseats, leaf_key, ousts
         FROM epoch WHERE group_id = ?",
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
                unseats: unpacked_accounts(&row.get::<_, Vec<u8>>(7)?),
                leaf: row.get(8)?,
                ousts: row.get::<_, Vec<u8>>(9)?.as_chunks().0.to_vec(),
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

fn unpacked_accounts(packed: &[u8]) -> Vec<AccountId> {
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
    let Some(of) = load(step, group)? else { return Ok(()) };
    let nodes = nodes(step, group)?;
    let reached = path(&parents(&nodes), epoch);
    for made in waiting
        .into_iter()
        .map(EpochId::from_bytes)
        .filter(|made| reached.contains(made))
    {
        step.tx
            .prepare_cached("INSERT OR IGNORE INTO commit_heard VALUES (?, ?)")?
            .execute(params![made.as_bytes(), account.as_bytes()])?;
        confirm_commit(step, made, of.epoch)?;
    }
    Ok(())
}

fn confirm_commit(step: &Step<'_, '_>, made: EpochId, head: EpochId) -> Result<(), Stop> {
    let count: u32 = step
        .tx
        .prepare_cached("SELECT count(*) FROM commit_heard WHERE epoch_id = ?")?
        .query_row([made.as_bytes()], |row| row.get(0))?;
    if count as usize >= enough(step, made, head)? {
        outbox::done(step, outbox::Waiting::Commit, made.as_bytes())?;
    }
    Ok(())
}

/// A relay has a commit of mine. One that lost to a fork needs no more care, nor one that nobody is left to confirm.
pub(crate) fn commit_stored(step: &Step<'_, '_>, group: &Gid, made: EpochId) -> Result<(), Stop> {
    if !is_canonical(step, group, made)? {
        return outbox::done(step, outbox::Waiting::Commit, made.as_bytes());
    }
    let head = load(step, group)?.ok_or(Stop::Refused("no such conversation"))?.epoch;
    confirm_commit(step, made, head)
}

/// How many other accounts must confirm what was said in an epoch: those that are still there in the head.
pub(crate) fn enough(step: &Step<'_, '_>, epoch: EpochId, head: EpochId) -> Result<usize, Stop> {
    let mut others = accounts(step, epoch)?;
    if others.len() == 1 && members(step, epoch)?.len() > 1 {
        return Ok(1); // another device of mine (OWN-1)
    }
    if head != epoch {
        let there = accounts(step, head)?;
        others.retain(|account| there.contains(account));
    }
    others.remove(&step.me()?);
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
    let head = load(step, group)?.ok_or(Stop::Refused("no such conversation"))?.epoch;
    Ok(head == epoch || path(&parents(&nodes(step, group)?), head).contains(&epoch))
}

/// Where a message of `first` can be encrypted again: the newest epoch with keys on the head's branch in which nobody is
/// who was not in `first` (CNV-6). Where `first` is closed and there is none: the head.
pub(crate) fn readable_at(
    step: &Step<'_, '_>,
    of: &Conversation,
    first: EpochId,
    closed: bool,
) -> Result<Option<EpochId>, Stop> {
    if !of.grouped && of.shared {
        return readable_beside(step, of, first, closed);
    }
    if !of.grouped {
        return Ok(Some(of.epoch));
    }
    let then = accounts(step, first)?;
    let open = retained(step, &of.group)?;
    for epoch in path(&parents(&nodes(step, &of.group)?), of.epoch) {
        if open.contains(&epoch) && accounts(step, epoch)?.is_subset(&then) {
            return Ok(Some(epoch));
        }
    }
    Ok(closed.then_some(of.epoch))
}

/// The same between two of whom one has several devices: a device that came later would wait for what it cannot have.
fn readable_beside(
    step: &Step<'_, '_>,
    of: &Conversation,
    first: EpochId,
    closed: bool,
) -> Result<Option<EpochId>, Stop> {
    let (then, open) = (readers(step, first)?, retained(step, &of.group)?);
    for epoch in path(&parents(&nodes(step, &of.group)?), of.epoch) {
        if open.contains(&epoch) && readers(step, epoch)?.is_subset(&then) {
            return Ok(Some(epoch));
        }
    }
    Ok(closed.then_some(of.epoch))
}

/// The leaf that this account had in this epoch; nothing where the epoch is not known here.
pub(crate) fn was_leaf_of(step: &Step<'_, '_>, epoch: EpochId, leaf: u32) -> Result<Option<AccountId>, Stop> {
    let members = members(step, epoch)?;
    Ok(members
        .iter()
        .find(|member| member.leaf == leaf)
        .map(|member| member.account))
}

/// Closes what is too much: losing branches first, then the oldest (EPO-4).
fn close_surplus(step: &mut Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    let Some(of) = load(step, group)? else { return Ok(()) };
    let mut open: Vec<(EpochId, i64)> = step
        .tx
        .prepare_cached("SELECT epoch_id, number FROM epoch WHERE group_id = ? AND mailbox_root IS NOT NULL")?
        .query_map([group], |row| Ok((EpochId::from_bytes(row.get(0)?), row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let most = if of.large { LARGE_RETAINED_MAX } else { RETAINED_MAX };
    let too_many = open.len().saturating_sub(most);
    if too_many == 0 || !defence::holds(Defence::EpochsRetained) {
        return Ok(());
    }
    let nodes = nodes(step, group)?;
    let canonical = path(&parents(&nodes), of.epoch);
    open.retain(|(epoch, _)| *epoch != of.epoch);
    open.sort_by_key(|(epoch, number)| (canonical.contains(epoch), *number));
    for (epoch, _) in open.iter().take(too_many) {
        close(step, *epoch)?;
    }
    prune(step, group, &canonical)
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
fn close(step: &mut Step<'_, '_>, epoch: EpochId) -> Result<(), Stop> {
    listening::drop_about(step, epoch.as_bytes())?;
    outbox::epoch_closed(step, epoch)?;
    step.groups.forget();
    step.tx
        .prepare_cached(
            "DELETE FROM epoch_row WHERE object = ?1 AND group_id = (SELECT group_id FROM epoch WHERE epoch_id = ?1)",
        )?
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

/// Added again by a Welcome: the conversation goes on from there; what was before stays readable.
pub(crate) fn plant_again(step: &mut Step<'_, '_>, entered: &mls::Entered, signer: &mls::Signer) -> Result<(), Stop> {
    let before = retained(step, &entered.group)?;
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
    own::spread(step, &entered.group)?;
    group::head_moved(step, &entered.group, &[])?;
    close_surplus(step, &entered.group)
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
        .query_row([id.as_bytes()], |row| {
            Ok((EpochId::from_bytes(row.get(0)?), row.get(1)?))
        })
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
        assert_eq!(judge_two(&taken()).unwrap().class, Class::Renewal);
        let leaf = taken().author;
        let refused = [
            Taken {
                added: vec![leaf],
                ..taken()
            },
            Taken {
                removed: vec![1],
                with_me: false,
                ..taken()
            },
            Taken {
                changed_state: true,
                state: Some(vec![1]),
                ..taken()
            },
            Taken {
                renewed: false,
                ..taken()
            },
        ];
        for commit in refused {
            assert!(judge_two(&commit).is_err(), "{commit:?}");
        }
    }
}
