//! Words that must not stand in the repository: `unsafe` code, tests that are switched off, and where somebody's
//! machine keeps its files or fetches its packages.

use super::Finding;
use crate::code;
use crate::metadata::CRATES_IO;
use crate::tree::{File, Tree};

/// Switched-off tests and unfinished code, in Rust.
const RUST: &[&str] = &[
    concat!("#[ign", "ore"),
    concat!("todo", "!("),
    concat!("unimple", "mented!("),
];

/// Switched-off tests, in TypeScript.
const TYPESCRIPT: &[&str] = &[
    ".only(",
    "test.skip(",
    "it.skip(",
    "describe.skip(",
    "test.fixme(",
    "xit(",
    "xdescribe(",
];

/// Folders of a machine: nothing committed may depend on them.
const MACHINE: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/")];

/// Checks every file of the tree, each by its kind.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.files.iter().flat_map(check_file).collect()
}

fn check_file(file: &File) -> Vec<Finding> {
    let mut findings = lines_with(file, &file.text, MACHINE, "names a folder of somebody's machine");
    if file.path.ends_with(".rs") {
        let code = code::code(&file.text);
        findings.extend(lines_with(file, &code, RUST, "is unfinished or switched off"));
        findings.extend(unsafe_code(file, &code));
    } else if file.path.starts_with("ui/") && file.path.ends_with(".ts") {
        findings.extend(lines_with(file, &file.text, TYPESCRIPT, "switches tests off"));
    } else if file.path.ends_with("Cargo.lock") || file.path.ends_with("package-lock.json") {
        findings.extend(other_sources(file));
    }
    findings
}

fn lines_with(file: &File, text: &str, words: &[&str], why: &str) -> Vec<Finding> {
    let lines = text.lines().enumerate();
    let found = lines.filter_map(|(index, line)| Some((index, words.iter().find(|word| line.contains(**word))?)));
    found
        .map(|(index, word)| Finding::at(&file.path, index, format!("{word} {why}")))
        .collect()
}

fn unsafe_code(file: &File, code: &str) -> Vec<Finding> {
    let found = code
        .lines()
        .enumerate()
        .filter(|(_, line)| code::has_word(line, "unsafe"));
    found
        .map(|(index, _)| Finding::at(&file.path, index, "unsafe code"))
        .collect()
}

/// Lines of a lock file that say where a package comes from, other than the usual registry of crates.
fn other_sources(file: &File) -> Vec<Finding> {
    let usual = format!("source = \"{CRATES_IO}\"");
    let is_other =
        |line: &str| (line.starts_with("source = ") && line != usual) || line.contains("\"resolved\": \"http");
    let found = file.text.lines().enumerate().filter(|(_, line)| is_other(line));
    found
        .map(|(index, _)| Finding::at(&file.path, index, "names a registry"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_and_switched_off_code_is_found() {
        for bad in [
            "fn f() { unsafe { g() } }",
            concat!("#[ign", "ore]\nfn f() {}"),
            concat!("fn f() { todo", "!() }"),
        ] {
            assert_eq!(check(&Tree::of(&[("crates/x/src/lib.rs", bad)])).len(), 1, "{bad}");
        }
        assert_eq!(
            check(&Tree::of(&[("ui/tests/e2e/a.spec.ts", "test.only('x', f)")])).len(),
            1
        );
        assert_eq!(
            check(&Tree::of(&[("crates/x/src/lib.rs", "//! unsafe is forbidden\n")])),
            []
        );
    }

    #[test]
    fn machine_paths_and_other_registries_are_found() {
        assert_eq!(check(&Tree::of(&[("docs/a.md", concat!("see /wo", "rk/x"))])).len(), 1);
        let lock = format!("source = \"{CRATES_IO}\"\nsource = \"registry+https://example.org/index\"\n");
        assert_eq!(check(&Tree::of(&[("Cargo.lock", &lock)])).len(), 1);
        let lock = "\"resolved\": \"https://example.org/a.tgz\"";
        assert_eq!(check(&Tree::of(&[("ui/package-lock.json", lock)])).len(), 1);
    }
}
