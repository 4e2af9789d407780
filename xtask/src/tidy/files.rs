//! Files that have to be there, and how they begin: scripts, licences, module headers, lints, the map's length.

use super::Finding;
use crate::tree::{File, Tree};

const PRESENT: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "THIRD-PARTY.md",
    "docs/threats.md",
    "docs/status.md",
    "Cargo.lock",
    "ui/package-lock.json",
];

const EXECUTABLE: &[&str] = &["run", "test", ".ci/run", "fuzz/run"];

const MAP_LINES_MAX: usize = 250;

/// Checks presence, executable bits, module headers, lint tables and the length of the map.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(
        PRESENT
            .iter()
            .filter(|path| tree.file(path).is_none())
            .map(|path| Finding::new(*path, "is missing")),
    );
    findings.extend(EXECUTABLE.iter().filter_map(|path| check_executable(tree, path)));
    findings.extend(tree.file("ARCHITECTURE.md").and_then(check_length));
    findings.extend(tree.files.iter().filter_map(check_header));
    findings.extend(tree.ending("/Cargo.toml").filter_map(check_lints));
    findings.extend(tree.ending(".md").flat_map(|file| dead_links(tree, file)));
    findings
}

/// Links of a page to files of the repository that are not there.
fn dead_links(tree: &Tree, file: &File) -> Vec<Finding> {
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut findings = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        let targets = line
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', '#']).next());
        let is_local = |target: &&str| !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:");
        for target in targets.filter(is_local) {
            let path = joined(folder, target);
            let is_there =
                tree.file(&path).is_some() || tree.files.iter().any(|f| f.path.starts_with(&format!("{path}/")));
            if !is_there {
                findings.push(Finding::at(
                    &file.path,
                    index,
                    format!("links to {target}, which is not there"),
                ));
            }
        }
    }
    findings
}

/// `target` as a page in `folder` means it, from the root.
fn joined(folder: &str, target: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(target.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn check_executable(tree: &Tree, path: &str) -> Option<Finding> {
    match tree.file(path) {
        None => Some(Finding::new(path, "is missing")),
        Some(file) if !file.executable => Some(Finding::new(path, "is not executable")),
        Some(_) => None,
    }
}

fn check_length(file: &File) -> Option<Finding> {
    let count = file.text.lines().count();
    (count > MAP_LINES_MAX)
        .then(|| Finding::new(&file.path, format!("{count} lines; a map has at most {MAP_LINES_MAX}")))
}

/// Every module of a crate opens with what it is; tests and examples may begin as they like.
fn check_header(file: &File) -> Option<Finding> {
    let is_module = file.path.starts_with("crates/") && file.path.contains("/src/") && file.path.ends_with(".rs");
    let is_test = file.path.ends_with("/tests.rs") || file.path.contains("/tests/");
    let opens = file
        .text
        .lines()
        .find(|line| !line.starts_with("#!"))
        .is_some_and(|line| line.starts_with("//!"));
    (is_module && !is_test && !opens).then(|| Finding::new(&file.path, "does not open with //! and what it is"))
}

fn check_lints(file: &File) -> Option<Finding> {
    // The others than the first are workspaces of their own.
    let elsewhere = ["vendor/", "fuzz/", "bench/olm/", "bench/nostr/"];
    let is_ours = !elsewhere.iter().any(|folder| file.path.starts_with(folder));
    let has_lints = file.text.replace(' ', "").contains("[lints]\nworkspace=true");
    (is_ours && !has_lints).then(|| Finding::new(&file.path, "does not take the lints of the workspace"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_files_and_bits_are_found() {
        let findings = check(&Tree::of(&[("run", "#!/bin/bash")]));
        assert!(findings.contains(&Finding::new("README.md", "is missing")));
        assert!(findings.contains(&Finding::new("run", "is not executable")));
        assert!(findings.contains(&Finding::new("test", "is missing")));
    }

    #[test]
    fn a_link_to_nothing_is_found() {
        let page = "[a](b.md) [c](../README.md#x) [d](https://example.org) [e](#f) [g](gone.md)";
        let tree = Tree::of(&[("docs/a.md", page), ("docs/b.md", ""), ("README.md", "")]);
        let dead: Vec<Finding> = check(&tree)
            .into_iter()
            .filter(|finding| finding.what.contains("links to"))
            .collect();
        assert_eq!(
            dead,
            [Finding::at("docs/a.md", 0, "links to gone.md, which is not there")]
        );
    }

    #[test]
    fn a_long_map_a_bare_module_and_missing_lints_are_found() {
        let long = "line\n".repeat(251);
        let tree = Tree::of(&[
            ("ARCHITECTURE.md", &long),
            ("crates/x/src/lib.rs", "use a;\n"),
            ("crates/x/src/b.rs", "//! What it is.\n"),
            ("crates/x/Cargo.toml", "[package]\nname = \"x\"\n"),
            ("crates/y/Cargo.toml", "[lints]\nworkspace = true\n"),
        ]);
        let places: Vec<String> = check(&tree).into_iter().map(|finding| finding.place).collect();
        for place in ["ARCHITECTURE.md", "crates/x/src/lib.rs", "crates/x/Cargo.toml"] {
            assert!(places.contains(&place.to_owned()), "{place}");
        }
        assert!(
            !places.contains(&"crates/x/src/b.rs".to_owned()) && !places.contains(&"crates/y/Cargo.toml".to_owned())
        );
    }
}
