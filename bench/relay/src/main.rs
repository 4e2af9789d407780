//! Benchmarks of the relay: the same work, at the same time, beside servers that others would take.
//!
//! In: `[--quick] [ROW...]`; `serve FOLDER` is the relay itself, as a process of its own. Out: one JSON object a row on
//! standard output, and `target/bench/relay.json`. Servers that are not installed are left out, and that is said.
//! Ours and its peers take turns, backwards and forwards; what is told is the median.

mod abuse;
mod cpu;
mod fanout;
mod idle;
mod kills;
mod latency;
mod live;
mod load;
mod mqtt;
mod nats;
mod nostr;
mod ours;
mod process;
mod redis;
mod report;
mod size;
mod store;

use std::alloc::System;

use anyhow::{Result, bail};
use report::Row;
use zeroizing_alloc::ZeroAlloc;

/// How much to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// Rounds of each server; the median is told.
    pub(crate) rounds: usize,
    /// Messages of one round, at most.
    pub(crate) messages: usize,
    /// Connections that idle.
    pub(crate) idle: usize,
    /// Messages kept for the rows about size.
    pub(crate) kept: usize,
}

const QUICK: Scale = Scale {
    rounds: 3,
    messages: 128_000,
    idle: 2_000,
    kept: 300_000,
};
const FULL: Scale = Scale {
    rounds: 5,
    messages: 512_000,
    idle: 9_000,
    kept: 1_000_000,
};

type Bench = fn(Scale) -> Result<Vec<Row>>;

const BENCHES: &[(&str, Bench)] = &[
    ("b1", load::measure),
    ("b2", latency::measure),
    ("b3", fanout::measure),
    ("b4", idle::measure),
    ("b6", size::measure),
    ("b8", kills::measure),
    ("b10", cpu::measure),
    ("abuse", abuse::measure),
    ("store", store::measure),
];

/// As in the program that people run: what is freed is wiped (RLY-48).
#[global_allocator]
static MEMORY: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let ["serve", folder] = words[..] {
        return ours::serve(folder.as_ref());
    }
    let scale = if words.contains(&"--quick") { QUICK } else { FULL };
    let names: Vec<&str> = words.into_iter().filter(|word| *word != "--quick").collect();
    if let Some(unknown) = names
        .iter()
        .find(|name| !BENCHES.iter().any(|(known, _)| known == *name))
    {
        let known: Vec<&str> = BENCHES.iter().map(|(name, _)| *name).collect();
        bail!("{unknown} is none of {}", known.join(" "));
    }
    let mut rows = Vec::new();
    for (name, bench) in BENCHES
        .iter()
        .filter(|(name, _)| names.is_empty() || names.contains(name))
    {
        eprintln!("{name} ...");
        for row in bench(scale)? {
            println!("{}", row.to_json());
            rows.push(row);
        }
    }
    report::write(&rows)
}
