//! The store alone, beside SQLite with the table that it replaced: same envelopes, one sync per 1,024.

use anyhow::{Context as _, Result};
use rusqlite::{Connection, params};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use stonechat_relay::store::log::SegmentLog;
use stonechat_relay::store::{MailboxStore as _, NewEnvelope};
use stonechat_wire::ids::Timestamp;

use crate::Scale;
use crate::load::works;
use crate::ours::{envelope, token};
use crate::report::{Row, median};

const BATCH: usize = 1024;

pub(crate) fn measure(scale: Scale) -> Result<Vec<Row>> {
    let count = scale.messages;
    let envelopes: Vec<NewEnvelope> = works(7)
        .take(count)
        .map(|work| {
            let envelope = envelope(&work);
            NewEnvelope {
                tag: token(work.mailbox).tag(),
                id: envelope.id(),
                expires_at: Timestamp(2_000_000_000_000),
                bytes: Arc::from(envelope.into_bytes()),
            }
        })
        .collect();
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    for _ in 0..scale.rounds {
        let folder = tempfile::tempdir_in("target")?;
        peers.push(count as f64 / sqlite(folder.path(), &envelopes)?);
        ours.push(count as f64 / segment_log(folder.path(), &envelopes)?);
    }
    Ok(vec![Row {
        name: format!("durable appends, one sync per {BATCH}, no network"),
        unit: "1/s",
        ours: median(ours),
        peer: "SQLite, WAL, synchronous=FULL".to_owned(),
        peer_value: median(peers),
        runs: scale.rounds,
    }])
}

fn segment_log(folder: &Path, envelopes: &[NewEnvelope]) -> Result<f64> {
    let mut log = SegmentLog::open(&folder.join("log"), [7; 8])?;
    let began = Instant::now();
    for batch in envelopes.chunks(BATCH) {
        for new in batch {
            log.append(new)?;
        }
        log.sync()?;
    }
    Ok(began.elapsed().as_secs_f64())
}

fn sqlite(folder: &Path, envelopes: &[NewEnvelope]) -> Result<f64> {
    let mut table = Connection::open(folder.join("peer.sqlite"))?;
    table.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         CREATE TABLE envelope (cursor INTEGER PRIMARY KEY AUTOINCREMENT, tag BLOB NOT NULL, id BLOB NOT NULL,
            expires_at_ms INTEGER NOT NULL, bytes BLOB NOT NULL) STRICT;
         CREATE UNIQUE INDEX by_id ON envelope (tag, id);
         CREATE INDEX by_expiry ON envelope (expires_at_ms);",
    )?;
    let began = Instant::now();
    for batch in envelopes.chunks(BATCH) {
        let transaction = table.transaction()?;
        let sql = "INSERT INTO envelope (tag, id, expires_at_ms, bytes) VALUES (?1, ?2, ?3, ?4)";
        let mut insert = transaction.prepare_cached(sql)?;
        for new in batch {
            let until = i64::try_from(new.expires_at.0).context("a time")?;
            insert.execute(params![new.tag.as_bytes(), new.id.as_bytes(), until, &*new.bytes])?;
        }
        drop(insert);
        transaction.commit()?;
    }
    Ok(began.elapsed().as_secs_f64())
}
