//! Where a message belongs: the epoch it was encrypted in first, and those in which it may be encrypted again.
//!
//! In: a message of mine, the head. Out: an epoch. Specified in `docs/protocol/07-conversation.md` (CNV-6) and
//! `08-outbox.md` (OUT-5).

use crate::conversation::Conversation;
use crate::step::{Step, Stop};
use rusqlite::OptionalExtension;
use std::collections::BTreeSet;
use stonechat_wire::ids::{AccountId, EpochId, MessageId};

use super::tree::{nodes, parents, path};
use super::{accounts, members, near, readers};

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
    let open = near(step, &of.group)?;
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
    let (then, open) = (readers(step, first)?, near(step, &of.group)?);
    for epoch in path(&parents(&nodes(step, &of.group)?), of.epoch) {
        if open.contains(&epoch) && readers(step, epoch)?.is_subset(&then) {
            return Ok(Some(epoch));
        }
    }
    Ok(closed.then_some(of.epoch))
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

/// Who wrote with this leaf, where that account has another one in its place by now.
pub(crate) fn replaced_author(
    step: &Step<'_, '_>,
    epoch: EpochId,
    leaf: u32,
    now: &BTreeSet<(AccountId, [u8; 8])>,
) -> Result<Option<AccountId>, Stop> {
    let members = members(step, epoch)?;
    let author = members.into_iter().find(|member| member.leaf == leaf);
    let replaced = author.filter(|author| !now.contains(&(author.account, author.key)));
    Ok(replaced.map(|author| author.account))
}

/// The leaf that this account had in this epoch; nothing where the epoch is not known here.
pub(crate) fn was_leaf_of(step: &Step<'_, '_>, epoch: EpochId, leaf: u32) -> Result<Option<AccountId>, Stop> {
    let members = members(step, epoch)?;
    Ok(members
        .iter()
        .find(|member| member.leaf == leaf)
        .map(|member| member.account))
}
