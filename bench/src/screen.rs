//! The page on a profile of 100,000 messages, in a real browser: from the daemon's start until one can write.
//!
//! The browser is driven by `bench/screen.mjs`; it needs what `./test` installs (Chromium, the page's packages).

use crate::process;
use crate::row::Row;
use crate::start;
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

const RUNS: usize = 5;
/// What scrolling may hold the page up for at most (the budget of the page).
const LONG_TASK_MS: f64 = 100.0;

/// Milliseconds; the peer is the same on an empty profile, and for scrolling the page's budget.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let folder = tempfile::tempdir_in("target")?;
    let (full, empty) = (folder.path().join("full"), folder.path().join("empty"));
    start::fill(folder.path(), &full)?;
    start::make(&empty)?;
    let (ours, peer) = on_screen(&full, &empty)?;
    let row = |name: &str, ours, peer, peer_value, runs| Row {
        name: name.to_owned(),
        unit: "ms",
        ours,
        peer,
        peer_value,
        runs,
    };
    Ok(vec![
        row(
            "start to a letter in the composer, 100,000 messages, p50",
            median(&ours)?,
            "empty list on an empty profile",
            median(&peer)?,
            RUNS,
        ),
        row(
            "longest task while scrolling up",
            ours.get("longest_task_ms").and_then(Value::as_f64).context("a task")?,
            "the page's budget",
            LONG_TASK_MS,
            RUNS,
        ),
    ])
}

fn on_screen(full: &Path, empty: &Path) -> Result<(Value, Value)> {
    let out = Command::new("node")
        .arg("bench/screen.mjs")
        .arg(process::program()?)
        .arg(RUNS.to_string())
        .args([full, empty])
        .output()
        .context("starting node")?;
    ensure!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout)?;
    let mut said = text.lines().map(serde_json::from_str);
    let mut next = || -> Result<Value> { Ok(said.next().context("a line a home")??) };
    Ok((next()?, next()?))
}

fn median(said: &Value) -> Result<f64> {
    let ms = said.get("ms").and_then(Value::as_array).context("times")?;
    ms.get(ms.len() / 2).and_then(Value::as_f64).context("a time")
}
