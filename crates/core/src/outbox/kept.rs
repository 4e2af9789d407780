//! Own messages that are confirmed, kept for those who were elsewhere (OUT-9).
//!
//! In: a message that is done; a branch that lost to a fork. Out: its messages in the outbox again, to be encrypted on
//! the head's branch. With up to eight accounts everybody confirms: there it is done for whom a void commit removed.
//! Invariant: what lies here is the outbox's no more; it goes with the keys of its epoch.

use super::{Bare, put_bare};
use crate::conversation::{self, Conversation, epochs};
use crate::listening;
use crate::mls::Gid;
use crate::step::{Step, Stop};
use rusqlite::params;
use stonechat_wire::ids::{EpochId, MessageId};

/// Messages of one conversation that are kept; the oldest go first.
const KEPT_MAX: u32 = 1024;

/// Keeps what the outbox is done with.
pub(super) fn keep(step: &Step<'_, '_>, of: &Conversation, id: MessageId) -> Result<(), Stop> {
    step.tx
        .prepare_cached(
            "INSERT OR REPLACE INTO kept(id, group_id, epoch_id, plain, kept_at)
             SELECT about, group_id, epoch_id, plain, ?2 FROM outbox
             WHERE about = ?1 AND purpose = 0 AND part = 0 AND plain IS NOT NULL",
        )?
        .execute(params![id.as_bytes(), step.time.0.cast_signed()])?;
    step.tx
        .prepare_cached(
            "DELETE FROM kept WHERE id IN
                 (SELECT id FROM kept WHERE group_id = ? ORDER BY kept_at DESC, id LIMIT -1 OFFSET ?)",
        )?
        .execute(params![of.group, KEPT_MAX])?;
    Ok(())
}

/// The head has left this epoch's branch: whoever was not on it may have missed what I said there. It goes to the
/// outbox again, as if a relay had it, and is encrypted on the head's branch when it falls due.
pub(super) fn put_again(step: &Step<'_, '_>, group: &Gid, epoch: EpochId, sealed_at: i64) -> Result<(), Stop> {
    let Some(of) = conversation::load(step, group)? else {
        return Ok(());
    };
    if of.accounts <= epochs::ALL_CONFIRM_MAX && !epochs::lacks_by_void(step, &of, epoch)? {
        return Ok(());
    }
    let kept: Vec<([u8; 16], Vec<u8>)> = step
        .tx
        .prepare_cached("SELECT id, plain FROM kept WHERE epoch_id = ? ORDER BY kept_at, id")?
        .query_map([epoch.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let relays = listening::lasting_relays_of(step, group)?;
    for (id, plain) in kept {
        let row = Bare {
            id,
            epoch,
            plain: &plain,
            sealed_at,
            tries: 1,
        };
        put_bare(step, group, &row, &relays)?;
        step.tx.prepare_cached("DELETE FROM kept WHERE id = ?")?.execute([id])?;
    }
    Ok(())
}

/// The keys of this epoch are gone: nobody makes a branch from it any more.
pub(super) fn forget(step: &Step<'_, '_>, epoch: EpochId) -> Result<(), Stop> {
    step.tx
        .prepare_cached("DELETE FROM kept WHERE epoch_id = ?")?
        .execute([epoch.as_bytes()])?;
    Ok(())
}
