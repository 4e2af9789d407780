//! Chores of the repository, each a subcommand of `cargo xtask`.
//!
//! In: the working tree, `cargo metadata`, reports of test runs. Out: findings, one a line, and an exit code.
//! Nothing here is shipped. What each chore checks is written at the top of its module.

mod bench;
mod code;
mod lab;
mod metadata;
mod mutants;
mod notices;
mod programs;
mod sum;
mod tidy;
mod tree;
mod trust;
mod vectors;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask CHORE
  tidy              check the rules of the house that no compiler checks
  vectors [--check] write docs/protocol/vectors again (--check: compare only)
  notices [--check] write THIRD-PARTY.md again (--check: compare only)
  bench [NAME...]   build and run benchmarks, print a table, write target/bench/NAME.json
  bench relay [--quick] [ROW...]   the same for the relay, beside the servers that are installed
  lab WORDS...      build the lab and run it: peers under censors, over real packets (docs/lab.md)
  mutants wire|conversation [--share K/N] [--minutes M]   change one thing at a time, see whether a test notices
  ledger            print what docs/ledger.tsv adds up to
  trust             run the proofs (about twenty minutes) and write docs/trust.md
  sum DIR           add up the parts of a test run that left their reports in DIR";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Runs the chore that `words` name. Out: whether all is well.
fn run(words: &[&str]) -> anyhow::Result<bool> {
    match words {
        ["tidy"] => tidy::run(),
        ["vectors"] => vectors::write(),
        ["vectors", "--check"] => vectors::check(),
        ["notices"] => notices::write(),
        ["notices", "--check"] => notices::check(),
        ["bench", names @ ..] => bench::run(names),
        ["lab", words @ ..] => lab::run(words),
        ["mutants", part, words @ ..] => mutants::run(part, words),
        ["ledger"] => trust::ledger(),
        ["trust"] => trust::write(),
        ["sum", directory] => sum::run(directory.as_ref()),
        _ => anyhow::bail!("{USAGE}"),
    }
}
