//! Commits of mine: made on the head, put into its commit lane, moved to.
//!
//! In: a wish, judged by the rules that everybody will judge it by. Out: a child of the head, with its rows and its place
//! in the outbox. Specified in `docs/protocol/07-conversation.md` (MLS-9, EPO-6) and `09-forks.md` (RNW-6).

use crate::api::Fault;
use crate::conversation::{Conversation, originals};
use crate::mls::{Made, Wish};
use crate::outbox;
use crate::roles::Judged;
use crate::step::{Step, Stop};
use rusqlite::params;
use sha2::{Digest, Sha256};
use stonechat_wire::group::Note;
use stonechat_wire::ids::AccountId;
use stonechat_wire::own::OwnNote;

use super::cuts::{keep_cuts, keep_leaf_cuts};
use super::{Planted, committed, insert, members, packed, settle_head};

/// Makes a commit on the head and moves there. Errors: refused by the rules that everybody will judge it by.
pub(crate) fn commit(
    step: &mut Step<'_, '_>,
    of: &Conversation,
    wish: &Wish<'_>,
    judged: &Judged,
    note: &Note,
) -> Result<Made, Stop> {
    let (made, _) = make(step, of, wish, judged)?;
    keep_cuts(step, (&of.group, made.child), judged, note)?;
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
    keep_leaf_cuts(step, (&of.group, made.child), me, note)?;
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

/// A commit of mine on this epoch is there already, and void (FORK-2), or the head would be beyond. A second one would be
/// shown to everybody as what only a thief of my keys makes (ALM-1, RNW-6).
pub(crate) fn has_committed(step: &Step<'_, '_>, of: &Conversation) -> Result<bool, Stop> {
    Ok(step
        .tx
        .prepare_cached("SELECT 1 FROM epoch WHERE parent = ? AND author = ? AND leaf = ?")?
        .exists(params![of.epoch.as_bytes(), step.me()?.as_bytes(), of.leaf])?)
}

fn beginning(key: &[u8; 32]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = *key;
    [a, b, c, d, e, f, g, h]
}
