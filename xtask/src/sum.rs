//! One line for a whole test run: `N passed, N failed, N skipped`.
//!
//! In: a folder in which every part that was to run has left `NAME.kind` (before it started), `NAME.code` (its exit
//! code, once it ended) and `NAME.report` (what it wrote). Out: the names of failed and skipped tests, then the line.
//! A part that left no exit code did not run, and counts as failed. So does one that failed without saying which
//! test, and one whose report holds no test at all: silence is never success.

use anyhow::{Context as _, Result};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// What became of the tests of one part.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Tally {
    passed: u64,
    /// One line each: the test, or what happened to the part.
    failed: Vec<String>,
    /// Names of tests that were left out.
    skipped: Vec<String>,
}

/// Adds up the parts in `folder` and prints the result. Out: whether nothing failed.
///
/// Errors: the folder cannot be read.
pub(crate) fn run(folder: &Path) -> Result<bool> {
    let total = total(folder)?;
    for line in &total.skipped {
        println!("skipped: {line}");
    }
    for line in &total.failed {
        println!("failed: {line}");
    }
    println!(
        "{} passed, {} failed, {} skipped",
        total.passed,
        total.failed.len(),
        total.skipped.len()
    );
    Ok(total.failed.is_empty())
}

fn total(folder: &Path) -> Result<Tally> {
    let mut total = Tally::default();
    for name in names(folder)? {
        let read = |ending: &str| fs::read(folder.join(format!("{name}.{ending}"))).ok();
        let text = |ending: &str| read(ending).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let part = part(
            &text("kind").unwrap_or_default(),
            text("code").as_deref(),
            &text("report").unwrap_or_default(),
        );
        total.passed += part.passed;
        total
            .failed
            .extend(part.failed.iter().map(|what| format!("{name}: {what}")));
        total
            .skipped
            .extend(part.skipped.iter().map(|what| format!("{name}: {what}")));
    }
    if total.passed == 0 && total.failed.is_empty() {
        total.failed.push("no part ran".to_owned());
    }
    Ok(total)
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(".kind").map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// The tally of one part. `kind` says how its report is read.
fn part(kind: &str, code: Option<&str>, report: &str) -> Tally {
    let Some(code) = code else {
        return failed("did not run to its end");
    };
    let has_succeeded = code.trim() == "0";
    let mut tally = match kind.trim() {
        "plain" if has_succeeded => {
            return Tally {
                passed: 1,
                ..Tally::default()
            };
        }
        "plain" => return failed(&format!("exit code {}", code.trim())),
        "nextest" => nextest(report),
        "cargo" => cargo_test(report),
        // Crates without examples in their docs are none the worse for it.
        "doctest" if has_succeeded && report.contains("test result: ok.") => return cargo_test(report),
        "doctest" => cargo_test(report),
        "vitest" => vitest(report),
        "playwright" => playwright(report),
        other => return failed(&format!("unknown kind of part: {other}")),
    };
    if !has_succeeded && tally.failed.is_empty() {
        tally
            .failed
            .push(format!("exit code {} outside of a test", code.trim()));
    }
    if tally == Tally::default() {
        tally.failed.push("holds no test".to_owned());
    }
    tally
}

fn failed(what: &str) -> Tally {
    Tally {
        failed: vec![what.to_owned()],
        ..Tally::default()
    }
}

/// `cargo nextest run --status-level all --final-status-level none`: one line a test, then a summary.
///
/// The summary's counts decide; the lines give the names. Tests that were still to run when it stopped have failed.
fn nextest(report: &str) -> Tally {
    let mut tally = Tally::default();
    for line in report.lines().map(str::trim_start) {
        match line.split_whitespace().next() {
            Some("PASS" | "LEAK" | "FLAKY") => tally.passed += 1,
            Some("SKIP") => tally.skipped.push(after_brackets(line)),
            Some(
                "FAIL" | "TIMEOUT" | "ABORT" | "SIGKILL" | "SIGABRT" | "SIGSEGV" | "SIGTERM" | "XFAIL" | "LEAK-FAIL",
            ) => {
                tally.failed.push(after_brackets(line));
            }
            _ => {}
        }
    }
    let Some(summary) = report
        .lines()
        .map(str::trim_start)
        .find(|line| line.starts_with("Summary ["))
    else {
        tally.failed.push("has no summary".to_owned());
        return tally;
    };
    let counted = count_before(summary, " passed");
    if counted != tally.passed {
        tally.failed.push(format!(
            "the summary counts {counted} passed tests, its lines {}",
            tally.passed
        ));
    }
    tally
}

/// The text behind the first `]`: nextest writes `PASS [   0.1s] package test`.
fn after_brackets(line: &str) -> String {
    line.split_once(']').map_or(line, |(_, name)| name).trim().to_owned()
}

/// The number right before `word`, or 0.
fn count_before(text: &str, word: &str) -> u64 {
    let Some((before, _)) = text.split_once(word) else {
        return 0;
    };
    let digits = before
        .rsplit(|letter: char| !letter.is_ascii_digit())
        .next()
        .unwrap_or_default();
    digits.parse().unwrap_or(0)
}

/// `cargo test`: a line a test, and a line of results for each binary.
fn cargo_test(report: &str) -> Tally {
    let mut tally = Tally::default();
    for line in report.lines() {
        if let Some(results) = line.strip_prefix("test result: ") {
            tally.passed += count_before(results, " passed");
        } else if let Some(name) = line.strip_prefix("test ") {
            if let Some((name, _)) = name.split_once(" ... FAILED") {
                tally.failed.push(name.to_owned());
            } else if let Some((name, _)) = name.split_once(" ... ignored") {
                tally.skipped.push(name.to_owned());
            }
        }
    }
    tally
}

/// `vitest run --reporter=json`.
fn vitest(report: &str) -> Tally {
    let Some(value) = json(report) else {
        return failed("report is not readable");
    };
    let mut tally = Tally::default();
    for file in list(&value, "testResults") {
        let tests = list(file, "assertionResults");
        for test in tests {
            let name = text(test, "fullName");
            match text(test, "status").as_str() {
                "passed" => tally.passed += 1,
                "failed" => tally.failed.push(name),
                _ => tally.skipped.push(name),
            }
        }
        if text(file, "status") == "failed" && !tests.iter().any(|test| text(test, "status") == "failed") {
            tally
                .failed
                .push(format!("{} {}", text(file, "name"), text(file, "message")));
        }
    }
    tally
}

/// Playwright's JSON reporter. A test that passed only when tried again has failed.
fn playwright(report: &str) -> Tally {
    let Some(value) = json(report) else {
        return failed("report is not readable");
    };
    let mut tally = Tally::default();
    tally.failed.extend(
        list(&value, "errors")
            .iter()
            .map(|error| first_line(&text(error, "message"))),
    );
    for suite in list(&value, "suites") {
        playwright_suite(suite, "", &mut tally);
    }
    tally
}

fn playwright_suite(suite: &Value, above: &str, tally: &mut Tally) {
    let title = format!("{above}{} > ", text(suite, "title"));
    for spec in list(suite, "specs") {
        for test in list(spec, "tests") {
            let name = format!("{title}{} [{}]", text(spec, "title"), text(test, "projectName"));
            match text(test, "status").as_str() {
                "expected" => tally.passed += 1,
                "skipped" if is_chosen(test) => tally.skipped.push(name),
                "skipped" => tally.failed.push(format!("{name} (did not run)")),
                status => tally.failed.push(format!("{name} ({status})")),
            }
        }
    }
    for inner in list(suite, "suites") {
        playwright_suite(inner, &title, tally);
    }
}

/// Whether somebody skipped the test on purpose. One that did not run because another failed is no choice.
fn is_chosen(test: &Value) -> bool {
    list(test, "annotations")
        .iter()
        .any(|annotation| matches!(text(annotation, "type").as_str(), "skip" | "fixme"))
}

/// The JSON object in `report`, which other lines may surround.
fn json(report: &str) -> Option<Value> {
    let from = report.get(report.find('{')?..)?;
    serde_json::Deserializer::from_str(from)
        .into_iter::<Value>()
        .next()?
        .ok()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or("failed without a word").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_did_not_end_or_ended_badly_has_failed() {
        for (kind, code, report) in [
            ("plain", None, ""),
            ("plain", Some("1"), ""),
            ("nextest", Some("101"), "error: could not compile"),
            ("nextest", Some("0"), ""),
            ("cargo", Some("101"), "test result: ok. 3 passed; 0 failed; 0 ignored"),
            ("cargo", Some("0"), "nothing"),
            ("doctest", Some("0"), "nothing"),
            ("vitest", Some("0"), "not json"),
            ("playwright", Some("0"), "{\"suites\": []}"),
            ("new", Some("0"), ""),
        ] {
            assert_eq!(
                part(kind, code, report).failed.len().min(1),
                1,
                "{kind} {code:?} {report}"
            );
        }
    }

    #[test]
    fn nextest_reports_are_read_line_by_line_and_checked_against_the_summary() {
        let report = "\
    Starting 4 tests across 2 binaries (1 test skipped)
        PASS [   0.001s] (1/4) stonechat-wire ids::tag
        PASS [   0.002s] (2/4) stonechat-wire ids::token
        FAIL [   0.003s] (3/4) stonechat-core inbox::lost
     TIMEOUT [  60.003s] (4/4) stonechat-lab world
        SKIP [         ] stonechat-lab slow
     Summary [  60.1s] 4 tests run: 2 passed, 1 failed, 1 timed out, 1 skipped
";
        let tally = nextest(report);
        assert_eq!((tally.passed, tally.failed.len(), tally.skipped.len()), (2, 2, 1));
        assert_eq!(nextest(&report.replace("2 passed", "3 passed")).failed.len(), 3);
    }

    #[test]
    fn cargo_reports_are_summed_over_binaries() {
        let report = "test a ... ok\ntest b ... ignored, reason\ntest c ... FAILED\n\
            test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured\n\
            test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured\n";
        let tally = cargo_test(report);
        assert_eq!((tally.passed, tally.failed.len(), tally.skipped.len()), (13, 1, 1));
    }

    #[test]
    fn vitest_and_playwright_reports_name_what_failed_and_what_was_skipped() {
        let report = r#"noise {"testResults": [
            {"status": "failed", "name": "a.test.ts", "assertionResults": [
                {"status": "passed", "fullName": "p"}, {"status": "failed", "fullName": "f"},
                {"status": "pending", "fullName": "s"}]},
            {"status": "failed", "name": "broken.test.ts", "message": "no such import", "assertionResults": []}]}"#;
        let tally = vitest(report);
        assert_eq!(
            (tally.passed, tally.failed.len(), tally.skipped.as_slice()),
            (1, 2, ["s".to_owned()].as_slice())
        );
        let report = r#"{"errors": [{"message": "broke\nbadly"}], "suites": [{"title": "a.spec.ts", "specs": [
            {"title": "one", "tests": [{"projectName": "desktop", "status": "expected"},
                {"projectName": "phone", "status": "flaky"}]}],
            "suites": [{"title": "inner", "specs": [{"title": "two", "tests": [
                {"status": "skipped", "annotations": [{"type": "skip"}]}, {"status": "skipped"}]}]}]}]}"#;
        let tally = playwright(report);
        assert_eq!((tally.passed, tally.failed.len(), tally.skipped.len()), (1, 3, 1));
        assert!(
            tally
                .failed
                .iter()
                .any(|line| line.contains("a.spec.ts > one [phone] (flaky)"))
        );
    }

    #[test]
    fn the_parts_of_a_folder_are_added_up() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        assert_eq!(total(folder.path()).unwrap().failed, ["no part ran"]);
        write("1-format.kind", "plain\n");
        write("1-format.code", "0\n");
        write("2-crashed.kind", "nextest\n");
        let tally = total(folder.path()).unwrap();
        assert_eq!(tally.passed, 1);
        assert_eq!(tally.failed, ["2-crashed: did not run to its end"]);
    }
}
