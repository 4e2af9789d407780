//! The ledger of long runs: which seeds were tried, by which commit, and what came of them. Lines are added, none is changed.
//!
//! A line: kind, first seed, last seed, commit, simulated hours, texts, steps, seeds that broke a promise; by tabs.

use crate::seeds::Sum;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

fn place() -> Option<PathBuf> {
    std::env::var_os("STONECHAT_LEDGER").map(PathBuf::from)
}

/// The seed after the last one in the ledger; 1 without a ledger.
pub(crate) fn first_untried(kind: &str) -> u64 {
    let lines = place().and_then(|place| fs::read_to_string(place).ok());
    last_tried(&lines.unwrap_or_default(), kind) + 1
}

fn last_tried(lines: &str, kind: &str) -> u64 {
    let last = |line: &str| {
        let mut words = line.split('\t');
        (words.next() == Some(kind)).then(|| words.nth(1)?.parse().ok())?
    };
    lines.lines().filter_map(last).max().unwrap_or(0)
}

pub(crate) fn add(kind: &str, first: u64, sum: &Sum) {
    let Some(place) = place() else { return };
    let tried = sum.worlds + sum.broken.iter().filter(|(_, what)| what == &["panicked"]).count() as u64;
    let line = format!(
        "{kind}\t{first}\t{}\t{}\t{}\t{}\t{}\t{}\n",
        first + tried - 1,
        commit(),
        sum.hours(),
        sum.texts,
        sum.steps,
        sum.broken.len()
    );
    let mut file = OpenOptions::new().create(true).append(true).open(place).unwrap();
    file.write_all(line.as_bytes()).unwrap();
}

fn commit() -> String {
    let said = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let commit = said.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned());
    commit
        .ok()
        .filter(|commit| !commit.is_empty())
        .unwrap_or_else(|| "unknown".into())
}

#[test]
fn the_next_seeds_are_those_that_nobody_tried() {
    let lines =
        "worlds\t1\t2000\tabc\t9\t9\t9\t0\ngroups\t1\t100\tabc\t9\t9\t9\t0\nworlds\t2001\t2500\tabc\t9\t9\t9\t0\n";
    assert_eq!(last_tried(lines, "worlds"), 2500);
    assert_eq!(last_tried(lines, "groups"), 100);
    assert_eq!(last_tried("", "groups"), 0);
}
