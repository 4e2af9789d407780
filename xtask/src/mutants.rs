//! Mutants: one thing in the source changed at a time, in a copy, and whether a test notices.
//!
//! In: `cargo-mutants` (a tool, installed where it is missing), which part, which share of its mutants, how many
//! minutes. Out: a line of counts and the mutants that no test noticed. A share is always the same mutants: every n-th of
//! the list, so it is a sample of all files. The whole of wire takes hours, that of core days.

use crate::programs;
use anyhow::{Context as _, Result, ensure};
use std::path::Path;
use std::process::Command;

/// What is mutated: its name here, its package, its files (none: all).
const PARTS: [(&str, &str, &[&str]); 2] = [
    ("wire", "stonechat-wire", &[]),
    (
        "conversation",
        "stonechat-core",
        &["crates/core/src/conversation.rs", "crates/core/src/conversation/**"],
    ),
];
/// The tool, as it is installed.
const TOOL: &str = "cargo-mutants@27.1.0";
const SHARE: &str = "0/60";
const MINUTES: &str = "60";

/// Tries a share of the mutants of `part`. It measures: what was not noticed is no failure of the chore.
///
/// Errors: no such part, cargo-mutants cannot be installed, or the tests fail already without a mutant.
pub(crate) fn run(part: &str, words: &[&str]) -> Result<bool> {
    let (_, package, files) = PARTS
        .iter()
        .find(|(name, ..)| *name == part)
        .with_context(|| format!("no part {part}: wire or conversation"))?;
    let share = after(words, "--share").unwrap_or(SHARE);
    let minutes = after(words, "--minutes").unwrap_or(MINUTES);
    install()?;
    let folder = programs::target().join("mutants").join(part);
    std::fs::create_dir_all(&folder)?;
    let mut command = Command::new("timeout");
    command
        .current_dir(programs::root())
        .args([
            "--signal=INT",
            &format!("{minutes}m"),
            "cargo",
            "mutants",
            "--package",
            package,
        ])
        .args([
            "--shard",
            share,
            "--sharding",
            "round-robin",
            "--no-shuffle",
            "--colors",
            "never",
        ])
        .args(["--timeout", "300", "--output"])
        .arg(&folder);
    for file in *files {
        command.args(["--file", file]);
    }
    let status = command.status().context("could not start timeout and cargo mutants")?;
    // 0: all noticed, 2: some were not, 3: some ran too long, 124: the time was over.
    let code = status.code().unwrap_or(0);
    ensure!(
        matches!(code, 0 | 2 | 3 | 124 | 130),
        "cargo mutants ended with {status}"
    );
    for line in said(part, share, &folder.join("mutants.out")) {
        println!("{line}");
    }
    Ok(true)
}

/// Has cargo-mutants here.
fn install() -> Result<()> {
    let there = Command::new("cargo").args(["mutants", "--version"]).output();
    if there.is_ok_and(|said| said.status.success()) {
        return Ok(());
    }
    let installed = Command::new("cargo").args(["install", "--locked", TOOL]).status();
    ensure!(
        installed.context("could not start cargo install")?.success(),
        "could not install {TOOL}"
    );
    Ok(())
}

/// The word behind `name`.
fn after<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    let at = words.iter().position(|word| *word == name)?;
    words.get(at + 1).copied()
}

/// What became of them, in lines.
fn said(part: &str, share: &str, results: &Path) -> Vec<String> {
    let read = |what: &str| std::fs::read_to_string(results.join(format!("{what}.txt"))).unwrap_or_default();
    let count = |what: &str| read(what).lines().count();
    let (caught, slow, missed) = (count("caught"), count("timeout"), count("missed"));
    let mut lines = vec![format!(
        "mutants of {part}, share {share}: {} tried, {} noticed, {missed} not noticed, {} do not build",
        caught + slow + missed,
        caught + slow,
        count("unviable")
    )];
    lines.extend(read("missed").lines().map(|mutant| format!("not noticed: {mutant}")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_escaped_is_said() {
        let folder = std::env::temp_dir().join(format!("stonechat-mutants-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("caught.txt"), "a.rs:1:1: replace + with -\n").unwrap();
        std::fs::write(folder.join("missed.txt"), "a.rs:1:2: replace < with <=\n").unwrap();
        let lines = [
            "mutants of wire, share 0/1: 2 tried, 1 noticed, 1 not noticed, 0 do not build",
            "not noticed: a.rs:1:2: replace < with <=",
        ];
        assert_eq!(said("wire", "0/1", &folder), lines);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn words_stand_behind_their_names() {
        assert_eq!(after(&["--minutes", "5"], "--minutes"), Some("5"));
        assert_eq!(after(&["--minutes"], "--minutes"), None);
    }
}
