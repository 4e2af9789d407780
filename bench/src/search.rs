//! Looking for words among a million messages, beside plain SQLite's FTS5 that only counts the rows that match.

use crate::crowd::Crowd;
use crate::row::{self, Row};
use anyhow::{Result, bail, ensure};
use rusqlite::params;
use std::collections::BTreeMap;
use stonechat_core::api::{Answer, Connection, Query, Search};
use stonechat_core::query::Live;

const MESSAGES: i64 = 1_000_000;
const RUNS: usize = 20;
/// As many as the page asks for.
const HITS: u32 = 50;

/// Milliseconds until the newest 50 are there: for a word that is in every message, in one of a thousand, and in one.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let folder = tempfile::tempdir_in("target")?;
    let mut crowd = Crowd::met(folder.path(), 2)?;
    fill(&mut crowd)?;
    let store = &crowd.person(0)?.store;
    let reader = store.reader()?;
    let live = Live {
        version: String::new(),
        locked: false,
        has_passphrase: false,
        connection: Connection::Connected,
        connected: vec![],
        through: vec![],
        ways: vec![],
        tried: BTreeMap::new(),
    };
    let mut rows = vec![];
    for (what, words, hits) in [
        ("a word of every message", "ordinary", 50),
        ("a word of one in a thousand", "rare777", 50),
        ("a number that is there once", "n123456", 1),
        ("two words that never meet", "rare1 rare2", 0),
    ] {
        let ask = || {
            Query::Search(Search {
                words: words.into(),
                chat: None,
                limit: HITS,
            })
        };
        let times = row::time(RUNS, || {
            let Answer::Hits(found) = reader.query(ask(), &live)? else {
                bail!("no hits")
            };
            ensure!(found.len() == hits, "{} hits for {words}", found.len());
            Ok(())
        })?;
        rows.push(Row {
            name: format!("search of {MESSAGES} messages: {what}"),
            unit: "ms",
            ours: row::percentile(&times, 50).as_secs_f64() * 1e3,
            peer: "what a person takes for at once",
            peer_value: 100.0,
            runs: RUNS,
        });
    }
    Ok(rows)
}

/// Rows as they are after messages were taken in: texts, their index, their places.
fn fill(crowd: &mut Crowd) -> Result<()> {
    let to = crowd.person(0)?.store.begin()?;
    let chat: i64 = to.query_row("SELECT min(id) FROM chat", [], |row| row.get(0))?;
    let account: Vec<u8> = to.query_row("SELECT account FROM account", [], |row| row.get(0))?;
    let mut insert = to.prepare(
        "INSERT INTO message(id, chat, position, group_id, epoch_id, leaf, seq, hlc, sender, mine, kind, text, sent_at,
                             received_at, state, complete, acked)
         VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?, ?, 0, ?, ?, ?, 3, 1, 2)",
    )?;
    for number in 0..MESSAGES {
        let id = [&number.to_be_bytes()[..], &[0; 8]].concat();
        let at = 1_700_000_000_000 + number * 1000;
        let text = format!("n{number} some ordinary words in it, and rare{} too", number % 1000);
        let (group, mine) = ([7u8; 16], number % 2 == 0);
        insert.execute(params![
            id, chat, number, group, group, number, at, account, mine, text, at, at
        ])?;
    }
    drop(insert);
    Ok(to.commit()?)
}
