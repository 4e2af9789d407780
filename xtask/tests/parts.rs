//! The test run tests itself: parts that crash, that hang up, or that never start are counted as failed.
#![allow(clippy::unwrap_used, reason = "a helper of tests may fail loudly")]

use std::path::Path;
use std::process::{Command, Output};

/// Runs `script` after `.ci/parts.sh` the way `./test` does, and returns what came out.
fn run(script: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let parts = folder.path().join("parts");
    let script = format!(
        "set -euo pipefail; . .ci/parts.sh; begin_parts {}; trap end_parts EXIT; {script}",
        parts.display()
    );
    Command::new("bash")
        .current_dir(root)
        .env("XTASK", env!("CARGO_BIN_EXE_xtask"))
        .args(["-c", &script])
        .output()
        .unwrap()
}

fn last_line(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .last()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn parts_that_pass_are_counted_and_the_exit_code_is_0() {
    let output =
        run("plan a plain; plan b cargo; part a true; part b echo 'test result: ok. 41 passed; 0 failed; 0 ignored'");
    assert_eq!(last_line(&output), "42 passed, 0 failed, 0 skipped");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_part_that_crashes_is_counted_as_failed() {
    let output = run("plan a plain; plan b nextest; part a true; part b sh -c 'kill -9 $$'");
    assert_eq!(last_line(&output), "1 passed, 1 failed, 0 skipped");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_part_that_never_ran_is_counted_as_failed() {
    let output = run("plan a plain; plan b plain; part a true; exit 0; part b true");
    assert_eq!(last_line(&output), "1 passed, 1 failed, 0 skipped");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_part_beside_others_is_counted_once_it_was_waited_for() {
    let beside = "plan a plain; plan b plain; part_beside a sleep 0.2; part b true";
    assert_eq!(
        last_line(&run(&format!("{beside}; wait"))),
        "2 passed, 0 failed, 0 skipped"
    );
    assert_eq!(last_line(&run(beside)), "1 passed, 1 failed, 0 skipped");
}

#[test]
fn a_part_whose_report_is_missing_is_counted_as_failed() {
    let output = run("plan a vitest; part_with_report no/such/file a true");
    assert_eq!(last_line(&output), "0 passed, 1 failed, 0 skipped");
}

#[test]
fn a_missing_sum_is_a_failure() {
    let output = run("XTASK=/nowhere; plan a plain; part a true");
    assert_eq!(last_line(&output), "0 passed, 1 failed, 0 skipped");
    assert_eq!(output.status.code(), Some(1));
}
