//! Starting a daemon on a profile of 100,000 messages: until its first screen's questions are answered, and its memory.

use crate::pair::Pair;
use crate::process::{Line, Program};
use crate::row::{self, Row};
use anyhow::{Context as _, Result};
use rusqlite::params;
use serde_json::{Value, json};
use std::path::Path;
use stonechat_core::store::{KeyFile, Store};

const MESSAGES: i64 = 100_000;
const RUNS: usize = 5;

/// Milliseconds from the process's start to the answers, and resident bytes; the peer is the same on an empty profile.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let folder = tempfile::tempdir_in("target")?;
    let (full, empty) = (folder.path().join("full"), folder.path().join("empty"));
    fill(folder.path(), &full)?;
    make(&empty)?;
    let (ours, peer) = (started(&full)?, started(&empty)?);
    let row = |name: &str, unit, ours, peer_value| Row {
        name: name.to_owned(),
        unit,
        ours,
        peer: "the same on an empty profile",
        peer_value,
        runs: RUNS,
    };
    Ok(vec![
        row("start to first answers, 100,000 messages, p50", "ms", ours.0, peer.0),
        row("daemon's resident memory, 100,000 messages", "MB", ours.1, peer.1),
    ])
}

/// A profile with an account and nobody else.
pub(crate) fn make(home: &Path) -> Result<()> {
    let program = Program::start(&["--home", &home.display().to_string(), "serve", "--port", "0"])?;
    Line::to(home)?.ask("init", &json!({"name": "Ana"}))?;
    drop(program);
    Ok(())
}

/// A profile whose person has met another one and exchanged many messages.
pub(crate) fn fill(folder: &Path, home: &Path) -> Result<()> {
    make(home)?;
    let mut pair = Pair::met(folder)?;
    pair.say(0, "the first one")?;
    let [ana, _] = &mut pair.sides;
    let mut mine = Store::open(home, &KeyFile::at(home).open(None)?)?;
    let (from, to) = (ana.store.begin()?, mine.begin()?);
    for table in ["contact", "chat"] {
        copy(&from, &to, table)?;
    }
    let group = [7u8; 16];
    let account: Vec<u8> = to.query_row("SELECT account FROM account", [], |row| row.get(0))?;
    let mut insert = to.prepare(
        "INSERT INTO message(id, chat, position, group_id, epoch_id, leaf, seq, hlc, sender, mine, kind, text, sent_at,
                             received_at, state, complete, acked)
         VALUES (?, 1, ?, ?, ?, 0, ?, ?, ?, ?, 0, ?, ?, ?, 3, 1, 2)",
    )?;
    for number in 0..MESSAGES {
        let id = [&number.to_be_bytes()[..], &[0; 8]].concat();
        let at = 1_790_000_000_000 + number * 1000;
        let text = format!("message number {number} with some ordinary words in it");
        insert.execute(params![
            id,
            number,
            group,
            group,
            number,
            at,
            account,
            number % 2 == 0,
            text,
            at,
            at
        ])?;
    }
    drop(insert);
    to.commit()?;
    Ok(())
}

fn copy(from: &rusqlite::Connection, to: &rusqlite::Connection, table: &str) -> Result<()> {
    let mut rows = from.prepare(&format!("SELECT * FROM {table}"))?;
    let places = vec!["?"; rows.column_count()].join(", ");
    let mut found = rows.query([])?;
    while let Some(row) = found.next()? {
        let values: Vec<rusqlite::types::Value> = (0..).map_while(|column| row.get(column).ok()).collect();
        to.execute(
            &format!("INSERT INTO {table} VALUES ({places})"),
            rusqlite::params_from_iter(values),
        )?;
    }
    Ok(())
}

fn started(home: &Path) -> Result<(f64, f64)> {
    let words = ["--home", &home.display().to_string(), "serve", "--port", "0"].map(str::to_owned);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut memory = 0.0;
    let times = row::time(RUNS, || {
        let program = Program::start(&words)?;
        let mut line = Line::to(home)?;
        line.ask("status", &json!({}))?;
        let chats = line.ask("chats", &json!({"limit": 50}))?;
        if let Some(chat) = chats.get(0).and_then(|chat| chat.get("id")) {
            let page = line.ask("messages", &json!({"chat": chat, "limit": 60}))?;
            page.get("messages")
                .and_then(Value::as_array)
                .filter(|page| page.len() == 60)
                .context("a full page")?;
        }
        memory = program.resident_bytes()? / 1e6;
        Ok(())
    })?;
    Ok((row::percentile(&times, 50).as_secs_f64() * 1e3, memory))
}
