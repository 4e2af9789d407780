//! Writes docs/trust.md: what the proofs have tried, each figure under the command that printed it.
//!
//! In: the proofs below, run one after the other from this working tree (about twenty minutes). Out: the page; an error if
//! one of them fails, and then no page. What is in the page was printed by the proof itself: nothing is worked out here.

use crate::programs;
use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

/// A line for each long run (crates/lab/tests/it/ledger.rs).
const LEDGER: &str = "docs/ledger.tsv";

/// What is run, and which of its lines are kept.
struct Proof {
    title: &'static str,
    says: &'static str,
    run: Run,
    /// A line with one of these is kept.
    keep: &'static [&'static str],
}

enum Run {
    /// Tests whose names have this in them.
    Test(&'static str),
    /// A variable, what a person puts there, and tests whose names have this in them, which read what lies there.
    TestWith(&'static str, &'static str, &'static str),
    /// A program of the repository, and its words.
    Program(&'static [&'static str]),
}

/// The figures of a run of worlds.
const WORLD: &[&str] = &[
    "worlds,",
    "groups,",
    "simulated",
    "voice notes whole",
    "forks ended",
    "slowest",
    "  ",
];

const PROOFS: [Proof; 11] = [
    Proof {
        title: "Worlds of few people",
        says: "Everything in one process under one seed, with every fault: nothing lost, nothing doubled, nothing that \
               does not open, nobody stuck. The lines below the first are how often each trouble happened.",
        run: Run::Test("every_seed_keeps_every_promise"),
        keep: WORLD,
    },
    Proof {
        title: "Worlds of groups",
        says: "2 to 6 people mostly, some to 16, one of fifty with 33, who add, remove, leave, change roles, write and are cut apart; at the end one membership and \
               every message.",
        run: Run::Test("every_group_ends_as_one"),
        keep: WORLD,
    },
    Proof {
        title: "Attacks",
        says: "Each is tried against the defence, and again without it: then it must work.",
        run: Run::Test("every_attack_works_without_its_defence"),
        keep: &["|"],
    },
    Proof {
        title: "Power that fails at a relay",
        says: "At any call to the disk, with every legal rest of what was not synced: nothing acknowledged is lost, nothing \
               damaged is given out.",
        run: Run::Test("power_loss_at_any_call_loses_nothing_acknowledged"),
        keep: &["losses of power"],
    },
    Proof {
        title: "Ciphers",
        says: "The primitives as we call them, against the cases of Project Wycheproof.",
        run: Run::Test("wycheproof"),
        keep: &["cases of"],
    },
    Proof {
        title: "Another implementation of MLS",
        says: "mls-rs reads what ours writes and ours what it writes, in a suite that both know; each derives what the other \
               derives.",
        run: Run::Test("a_second_implementation_talks_with_ours"),
        keep: &["mls-rs"],
    },
    Proof {
        title: "Vectors of RFC 9420",
        says: "The working group's recorded clients on our cryptography, in the suites whose primitives are ours too, and its \
               recorded messages and lengths through the decoder we use. FOLDER is `test-vectors` of a clone of \
               github.com/mlswg/mls-implementations; without the variable nothing is tried, and this page is written \
               without this part.",
        run: Run::TestWith("STONECHAT_MLS_VECTORS", "FOLDER", "of_rfc_9420"),
        keep: &["of RFC 9420"],
    },
    Proof {
        title: "A crowd",
        says: "Receipts for one text, and commits and branches of people who write daily, at the sizes of an ordinary test \
               run. The whole, with `STONECHAT_CROWD=256 STONECHAT_WRITERS=40 STONECHAT_DAYS=30` before the command, takes \
               a quarter of an hour; [docs/bench.md](bench.md) has its figures.",
        run: Run::Test("crowd::"),
        keep: &["members:", "writers,"],
    },
    Proof {
        title: "Mutants",
        says: "A share of what `cargo-mutants` would change in the codecs, always the same: each is built and tested by \
               itself. The whole takes hours (`--share 0/1 --minutes 2000`), that of the conversation part of core days \
               (`cargo xtask mutants conversation`).",
        run: Run::Program(&[
            "cargo",
            "xtask",
            "mutants",
            "wire",
            "--share",
            "0/60",
            "--minutes",
            "60",
        ]),
        keep: &["mutants of", "not noticed:"],
    },
    Proof {
        title: "Fuzzing",
        says: "Thirty seconds, as in every test run; a crash would end it.",
        run: Run::Program(&["fuzz/run", "30"]),
        keep: &["execs"],
    },
    Proof {
        title: "Rules",
        says: "Every rule of docs/protocol has a test; so do the other rules of the house that a program can check.",
        run: Run::Program(&["cargo", "xtask", "tidy"]),
        keep: &["findings"],
    },
];

const LONG_RUNS: &str = "
## All runs of worlds
Each tries seeds that nobody has tried; [the ledger](ledger.tsv) has a line of each, with its commit. `./test --long` adds to \
it, and so does whatever runs worlds with `STONECHAT_LEDGER=$PWD/docs/ledger.tsv`. A run of a tree that was not as committed \
does not count.

`cargo xtask ledger`

";

const MISSING: &str = "\
## What is not here
- Of mutants only a share was tried.
- Nobody outside has audited anything. [The attack matrix](attacks.md) says which defences nobody has seen fail.
";

/// Runs every proof and writes the page.
///
/// Errors: the tree is not as committed; a proof fails, or prints nothing of what it should.
pub(crate) fn write() -> Result<bool> {
    let changed = programs::output(Command::new("git").current_dir(programs::root()).args([
        "status",
        "--porcelain",
        "--untracked-files=no",
    ]))?;
    ensure!(
        changed.is_empty(),
        "the tree is not as committed: the page names a commit, and its figures must be of that"
    );
    let commit = programs::output(Command::new("git").current_dir(programs::root()).args([
        "show",
        "--no-patch",
        "--format=%h of %cs",
    ]))?;
    let commit = String::from_utf8_lossy(&commit).trim().to_owned();
    let mut page = format!(
        "# What has been tried\n\nWritten by `cargo xtask trust` at {commit}. Each block was printed by the command above it.\n"
    );
    for proof in &PROOFS {
        section(&mut page, proof)?;
    }
    page.push_str(LONG_RUNS);
    page.push_str(&table(&std::fs::read_to_string(programs::root().join(LEDGER))?)?);
    page.push('\n');
    page.push_str(MISSING);
    std::fs::write(programs::root().join("docs/trust.md"), page)?;
    Ok(true)
}

/// What the ledger of `./test --long` adds up to: (runs, seeds, simulated hours, texts, seeds that broke a promise).
/// A run of a tree that was not as committed can be repeated by nobody, and does not count.
fn added_up(ledger: &str) -> BTreeMap<&str, [u64; 5]> {
    let mut sums: BTreeMap<&str, [u64; 5]> = BTreeMap::new();
    for line in ledger.lines() {
        let words: Vec<&str> = line.split('\t').collect();
        if words.get(3).is_some_and(|commit| commit.ends_with("-dirty")) {
            continue;
        }
        let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
        let seeds = (number(2) + 1).saturating_sub(number(1));
        let sum = sums.entry(words.first().copied().unwrap_or_default()).or_default();
        for (sum, more) in sum.iter_mut().zip([1, seeds, number(4), number(5), number(7)]) {
            *sum += more;
        }
    }
    sums
}

/// Prints what the ledger adds up to.
pub(crate) fn ledger() -> Result<bool> {
    print!("{}", table(&std::fs::read_to_string(programs::root().join(LEDGER))?)?);
    Ok(true)
}

fn table(ledger: &str) -> Result<String> {
    let mut table = String::from(
        "| kind | runs | seeds | simulated hours | texts | seeds that broke a promise |\n|---|---|---|---|---|---|\n",
    );
    for (kind, [runs, seeds, hours, texts, broken]) in added_up(ledger) {
        writeln!(table, "| {kind} | {runs} | {seeds} | {hours} | {texts} | {broken} |")?;
    }
    Ok(table)
}

fn section(page: &mut String, proof: &Proof) -> Result<()> {
    if let Run::TestWith(variable, ..) = proof.run
        && std::env::var_os(variable).is_none()
    {
        println!("{}: left out, {variable} says nothing", proof.title);
        return Ok(());
    }
    println!("{} ...", proof.title);
    let (mut command, words) = command(&proof.run);
    let printed = programs::output(&mut command)?;
    let printed = String::from_utf8_lossy(&printed);
    let kept: Vec<&str> = printed.lines().filter(|line| is_kept(line, proof.keep)).collect();
    ensure!(!kept.is_empty(), "`{words}` printed no figure");
    writeln!(
        page,
        "\n## {}\n{}\n\n`{words}`\n\n```text\n{}\n```",
        proof.title,
        proof.says,
        kept.join("\n")
    )?;
    Ok(())
}

fn is_kept(line: &str, keep: &[&str]) -> bool {
    keep.iter().any(|part| {
        if part.trim().is_empty() {
            line.starts_with(part) && line.split_whitespace().count() == 2
        } else {
            line.contains(part)
        }
    })
}

/// The command, and how a person writes it.
fn command(run: &Run) -> (Command, String) {
    match run {
        Run::TestWith(variable, value, name) => {
            let (command, words) = command(&Run::Test(name));
            (command, format!("{variable}={value} {words}"))
        }
        Run::Test(name) => {
            let which = format!("test({name})");
            let mut command = programs::cargo();
            command.args([
                "nextest",
                "run",
                "--workspace",
                "--locked",
                "--no-capture",
                "-E",
                &which,
            ]);
            let words = format!("cargo nextest run --workspace --locked --no-capture -E '{which}'");
            (command, words)
        }
        Run::Program(words) => {
            let (first, rest) = words.split_first().unwrap_or((&"true", &[]));
            let mut command = Command::new(first);
            command.current_dir(programs::root()).args(rest);
            (command, words.join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_is_added_up_by_kind() {
        let ledger = "worlds\t1\t20\tabc\t9\t300\t5\t0\nworlds\t1\t9\tabc-dirty\t9\t9\t9\t9\ngroups\t1\t2\tabc\t1\t2\t3\t1\nworlds\t21\t30\tdef\t1\t3\t5\t0\n";
        let sums = added_up(ledger);
        assert_eq!(sums.get("worlds"), Some(&[2, 30, 10, 303, 0]));
        assert_eq!(sums.get("groups"), Some(&[1, 2, 1, 2, 1]));
    }

    #[test]
    fn only_figures_are_kept() {
        let keep = ["worlds,", "  "];
        for (line, kept) in [
            ("2000 worlds, 40000 texts", true),
            ("  Loss                     123", true),
            ("  at crates/lab/src/world.rs in something", false),
            ("test every_seed ... ok", false),
        ] {
            assert_eq!(is_kept(line, &keep), kept, "{line}");
        }
    }
}
