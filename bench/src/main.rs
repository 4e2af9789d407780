//! Benchmarks: what Stonechat takes, beside what the same work takes in its simplest form.
//!
//! In: names, or none for all. Out: one JSON object a row on standard output, and `target/bench/NAME.json`. Each row
//! has a named peer, measured in the same run, so that a number means something on any machine.

mod crowd;
mod envelope;
mod ingest;
mod latency;
mod mls;
mod pair;
mod peers;
mod process;
mod row;
mod screen;
mod search;
mod size;
mod start;

use anyhow::{Result, ensure};
use row::Row;
use std::path::Path;

/// A benchmark: measures and returns its rows.
type Bench = fn() -> Result<Vec<Row>>;

const BENCHES: &[(&str, Bench)] = &[
    ("envelope", envelope::measure),
    ("size", size::measure),
    ("latency", latency::measure),
    ("ingest", ingest::measure),
    ("start", start::measure),
    ("screen", screen::measure),
    ("mls", mls::measure),
    ("search", search::measure),
];

fn main() -> Result<()> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let known = |name: &String| BENCHES.iter().any(|(known, _)| known == name);
    ensure!(
        names.iter().all(known),
        "known benchmarks: {}",
        BENCHES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
    );
    for (name, bench) in BENCHES
        .iter()
        .filter(|(name, _)| names.is_empty() || names.iter().any(|wanted| wanted == name))
    {
        let rows = bench()?;
        for row in &rows {
            println!("{}", row.to_json());
        }
        row::write(Path::new("target/bench"), name, &rows)?;
    }
    Ok(())
}
