//! Builds and runs the benchmarks, and prints what they say as a table.
//!
//! In: names, or none for all. Out: one line a row; the programs of `bench/` write `target/bench/NAME.json`.

use crate::programs;
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

/// Runs the benchmarks called `names`, or all.
///
/// Errors: they do not build, or one fails.
pub(crate) fn run(names: &[&str]) -> Result<bool> {
    // The relay's have a program of their own: it builds without the messenger.
    let (packages, name, names): (&[&str], &str, &[&str]) = match names {
        ["relay", rest @ ..] => (&["stonechat-bench-relay"], "stonechat-bench-relay", rest),
        names => (&["stonechat-bench", "stonechat"], "stonechat-bench", names),
    };
    let mut build = programs::cargo();
    build.args(["build", "--release", "--locked"]);
    packages.iter().for_each(|package| {
        build.args(["--package", package]);
    });
    programs::output(&mut build)?;
    let program = programs::target().join("release").join(name);
    let mut bench = Command::new(program);
    bench.current_dir(programs::root()).args(names);
    if packages.contains(&"stonechat-bench-relay") {
        bench.env("BENCH_NOSTR", nostr()?);
    }
    let mut rows = programs::output(&mut bench)?;
    if names.contains(&"mls") {
        rows.extend(olm()?);
    }
    println!("{}", row(["benchmark", "ours", "", "peer", "", "ratio", "runs"]));
    for line in String::from_utf8_lossy(&rows).lines() {
        println!(
            "{}",
            table_row(&serde_json::from_str(line).context("reading a row of a benchmark")?)
        );
    }
    Ok(true)
}

/// Builds the Nostr relay, in a workspace of its own, and says where its program is.
///
/// Errors: it does not build.
fn nostr() -> Result<PathBuf> {
    let target = programs::target().join("nostr");
    let mut build = programs::cargo();
    build.args(["build", "--release", "--locked", "--quiet"]);
    build
        .arg("--manifest-path")
        .arg(programs::root().join("bench/nostr/Cargo.toml"));
    build.arg("--target-dir").arg(&target);
    programs::output(&mut build)?;
    Ok(target.join("release/stonechat-bench-nostr"))
}

/// Rows of vodozemac, in a workspace of its own.
///
/// Errors: it does not build or run.
fn olm() -> Result<Vec<u8>> {
    let mut run = programs::cargo();
    run.args(["run", "--release", "--locked", "--quiet"]);
    run.arg("--manifest-path")
        .arg(programs::root().join("bench/olm/Cargo.toml"));
    run.arg("--target-dir").arg(programs::target().join("olm"));
    programs::output(&mut run)
}

fn table_row(value: &Value) -> String {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or("?").to_owned();
    let number = |key: &str| {
        value
            .get(key)
            .and_then(Value::as_f64)
            .map_or_else(|| "?".to_owned(), |number| format!("{number:.2}"))
    };
    let runs = value.get("runs").map_or_else(|| "?".to_owned(), Value::to_string);
    let unit = text("unit");
    row([
        &text("name"),
        &number("ours"),
        &unit,
        &text("peer"),
        &number("peer_value"),
        &number("ratio"),
        &runs,
    ])
}

fn row([name, ours, unit, peer, peer_value, ratio, runs]: [&str; 7]) -> String {
    format!("{name:<34} {ours:>12} {unit:<6} {peer:<44} {peer_value:>12} {ratio:>8} {runs:>8}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_both_values_and_their_ratio() {
        let value = serde_json::json!({"name": "latency p50", "unit": "ms", "ours": 3.0, "peer": "five fdatasyncs",
            "peer_value": 2.0, "ratio": 1.5, "runs": 50, "load": 0.1});
        let line = table_row(&value);
        for word in ["latency p50", "3.00", "ms", "five fdatasyncs", "2.00", "1.50", "50"] {
            assert!(line.contains(word), "{word} in {line}");
        }
    }
}
