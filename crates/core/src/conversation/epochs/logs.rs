//! Device logs that commits about leaves brought, by branch.
//!
//! In: a commit that was taken in. Out: whether its account had said more before it. Specified in
//! `docs/protocol/14-devices.md` (DEV-6).

use crate::step::{Step, Stop};
use rusqlite::params;
use stonechat_wire::card::DeviceLog;
use stonechat_wire::ids::{AccountId, EpochId};

/// The commit that made this epoch brought this log.
pub(crate) fn note_log(step: &Step<'_, '_>, epoch: EpochId, log: &DeviceLog) -> Result<(), Stop> {
    let length = u32::try_from(log.entries.len()).unwrap_or(u32::MAX);
    step.tx
        .prepare_cached("UPDATE epoch SET log_length = ? WHERE epoch_id = ?")?
        .execute(params![length, epoch.as_bytes()])?;
    Ok(())
}

/// A commit of this account before it on its branch brought a longer one.
pub(crate) fn newer_log_before(step: &Step<'_, '_>, epoch: EpochId, author: AccountId) -> Result<bool, Stop> {
    let sql = "WITH RECURSIVE up(id) AS (VALUES (?1) UNION SELECT e.parent FROM up JOIN epoch e ON e.epoch_id = up.id)
               SELECT 1 FROM up JOIN epoch e ON e.epoch_id = up.id
               WHERE e.author = ?2 AND e.log_length > (SELECT log_length FROM epoch WHERE epoch_id = ?1)";
    let mut rows = step.tx.prepare_cached(sql)?;
    Ok(rows.exists(params![epoch.as_bytes(), author.as_bytes()])?)
}
