//! Taking in 10,000 texts that waited, beside plain SQLite inserting as many rows.

use crate::pair::Pair;
use crate::peers;
use crate::row::Row;
use anyhow::{Result, ensure};
use std::time::Instant;

const TEXTS: usize = 10_000;
/// As the daemon hands them over.
const BATCH: usize = 1_000;
/// Standalone receipts that the whole may cost (RCP-2).
const RECEIPTS_MAX: usize = 20;

/// Seconds for all texts: opened, decrypted, ordered, indexed, on the disk.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let folder = tempfile::tempdir_in("target")?;
    let mut pair = Pair::met(folder.path())?;
    for number in 0..TEXTS {
        pair.say(0, &format!("thirty bytes of text no. {number:05}"))?;
    }
    let arrivals = pair.waiting(1);
    let [_, bo] = &pair.sides;
    let sent_before = bo.sent;
    let began = Instant::now();
    for batch in arrivals.chunks(BATCH) {
        pair.take_in(1, batch.to_vec())?;
    }
    let ours = began.elapsed();
    let [_, bo] = &mut pair.sides;
    let receipts = bo.sent - sent_before;
    let count = "SELECT count(*) FROM message WHERE kind = 0";
    let here: u32 = bo.store.begin()?.query_row(count, [], |row| row.get(0))?;
    ensure!(usize::try_from(here)? == TEXTS, "{here} texts came");
    ensure!(receipts <= RECEIPTS_MAX, "{receipts} standalone receipts");
    let peer = peers::plain_sqlite_insert(folder.path(), i64::try_from(TEXTS)?, BATCH)?;
    Ok(vec![Row {
        name: format!("ingest of {TEXTS} waiting texts ({receipts} receipts)"),
        unit: "s",
        ours: ours.as_secs_f64(),
        peer: "plain SQLite insert of as many rows, as durable, no encryption or search",
        peer_value: peer.as_secs_f64(),
        runs: 1,
    }])
}
