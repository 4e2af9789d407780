//! One seed is one world: two processes run it and compare what happened.

use std::process::Command;

use crate::seeds::{number, one};

const CHILD: &str = "STONECHAT_TRACE_OF";

/// What a child process does: run one world and print its trace.
#[test]
fn child() {
    let outcome = one(number(CHILD).unwrap_or(1), None, number("STONECHAT_LINES").is_some());
    outcome.lines.iter().for_each(|line| println!("{line}"));
    println!("trace {} steps {}", hex(&outcome.trace), outcome.steps);
    assert_ne!(outcome.steps, 0);
}

#[test]
fn one_seed_has_one_trace_in_two_processes() {
    for seed in [1, 3, 17, 1042, u64::MAX] {
        let (first, second) = (trace(seed), trace(seed));
        println!("seed {seed}: {first}");
        assert_eq!(first, second, "seed {seed}");
    }
    assert_ne!(trace(1), trace(2));
}

fn trace(seed: u64) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "replay::child", "--nocapture"])
        .env(CHILD, seed.to_string());
    let said = String::from_utf8(child.output().unwrap().stdout).unwrap();
    said.lines().find(|line| line.contains("trace ")).unwrap().to_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
