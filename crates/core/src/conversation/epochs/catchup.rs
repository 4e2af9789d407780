//! What comes in a commit lane: a commit, or several that follow one another, for whoever stayed behind.
//!
//! In: the content, and the epoch whose lane it is. Out: epochs, one for each commit. A bundle spares its reader the walk
//! from lane to lane and has no say of its own: each commit is judged as if it had come alone (EPO-8).

use crate::conversation::{Conversation, load};
use crate::mls::Gid;
use crate::step::{Step, Stop};
use sha2::{Digest, Sha256};
use stonechat_wire::catchup;
use stonechat_wire::ids::EpochId;

use super::taking::{made_by, take_commit};

/// Takes in what came in the commit lane of `parent`.
pub(crate) fn take_commits(
    step: &mut Step<'_, '_>,
    of: &Conversation,
    parent: EpochId,
    bytes: &[u8],
) -> Result<(), Stop> {
    if !catchup::is_bundle(bytes) {
        return take_commit(step, of, parent, bytes);
    }
    let commits = catchup::decode_bundle(bytes).map_err(|_| Stop::Refused("bundle"))?;
    let mut at = parent;
    for commit in commits {
        // What was taken in before one that is refused stays.
        let taken = step.attempt(|step| take_next(step, &of.group, at, commit));
        match taken.map_err(Stop::Store)? {
            Ok(Some(child)) => at = child,
            Ok(None) => return Ok(()),
            Err(Stop::Refused(why)) => {
                step.out.refused.push(why);
                return Ok(());
            }
            Err(other) => return Err(other),
        }
    }
    Ok(())
}

/// Out: the epoch that it makes, if it was taken in.
fn take_next(step: &mut Step<'_, '_>, group: &Gid, parent: EpochId, commit: &[u8]) -> Result<Option<EpochId>, Stop> {
    let of = load(step, group)?.ok_or(Stop::Refused("no such conversation"))?;
    take_commit(step, &of, parent, commit)?;
    let Some(child) = made_by(step, parent, &Sha256::digest(commit).into())? else {
        return Ok(None);
    };
    // One that removes me makes an epoch without me: what follows is not for me.
    let sql = "SELECT 1 FROM epoch WHERE epoch_id = ? AND mailbox_root IS NOT NULL";
    let is_mine = step.tx.prepare_cached(sql)?.exists([child.as_bytes()])?;
    Ok(is_mine.then_some(child))
}
