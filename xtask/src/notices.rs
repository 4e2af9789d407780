//! THIRD-PARTY.md: whose work is inside, and under which licence.
//!
//! In: what the binary is linked from, the UI's lock file, and the licence of the font (kept in `ui/` by its package,
//! copied here). Out: one Markdown file, the same for the same lock files, whose freshness `tidy` checks.

use crate::metadata::{Metadata, Package};
use crate::programs;
use crate::tidy::Finding;
use crate::tree::Tree;
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;

const PLACE: &str = "THIRD-PARTY.md";

const INTRODUCTION: &str = "\
# The work of others

Made by `cargo xtask notices` from the lock files. Stonechat itself is `MIT OR Apache-2.0`.
";

/// Writes the file again.
pub(crate) fn write() -> Result<bool> {
    let text = notices(&Tree::read(&programs::root())?, &Metadata::read()?);
    fs::write(programs::root().join(PLACE), text).context("writing THIRD-PARTY.md")?;
    Ok(true)
}

/// Whether the file is what the lock files say.
pub(crate) fn check() -> Result<bool> {
    let findings = check_tree(&Tree::read(&programs::root())?, &Metadata::read()?);
    for finding in &findings {
        println!("{finding}");
    }
    Ok(findings.is_empty())
}

/// The same as a check of `tidy`.
pub(crate) fn check_tree(tree: &Tree, metadata: &Metadata) -> Vec<Finding> {
    let is_current = tree
        .file(PLACE)
        .is_some_and(|file| file.text == notices(tree, metadata));
    if is_current {
        Vec::new()
    } else {
        vec![Finding::new(PLACE, "is not current: cargo xtask notices")]
    }
}

fn notices(tree: &Tree, metadata: &Metadata) -> String {
    let mut text = INTRODUCTION.to_owned();
    text.push_str("\n## Linked into the binary\nEach text lies in the package's own source.\n\n");
    text.push_str("| package | version | licence |\n|---|---|---|\n");
    for package in metadata
        .linked_into("stonechat")
        .iter()
        .filter(|package| package.source.is_some())
    {
        text.push_str(&row(package));
    }
    text.push_str("\n`libsqlite3-sys` brings SQLite (public domain) and SQLCipher (BSD-3-Clause, Zetetic LLC).\n");
    text.push_str("The cryptography under SQLCipher is the system's OpenSSL (Apache-2.0), linked, not copied.\n");
    text.push_str("\n## The UI and the tools that build it\n\n| package | version | licence |\n|---|---|---|\n");
    if let Some(lock) = tree.file("ui/package-lock.json") {
        text.push_str(&npm_rows(&lock.text));
    }
    text.push_str(FONT);
    text
}

fn row(package: &Package) -> String {
    let license = package.license.as_deref().unwrap_or("none given");
    format!("| {} | {} | {license} |\n", package.name, package.version)
}

/// One row a package of the lock file, in its order (which npm sorts). Builds of a tool for one platform are left
/// out: which of them the lock file names depends on nothing that we ship.
fn npm_rows(lock: &str) -> String {
    let value: Value = serde_json::from_str(lock).unwrap_or_default();
    let mut rows = String::new();
    for (path, package) in value.get("packages").and_then(Value::as_object).into_iter().flatten() {
        let text = |key: &str| package.get(key).and_then(Value::as_str).unwrap_or("none given");
        let is_optional = package.get("optional").and_then(Value::as_bool).unwrap_or(false);
        if let Some((_, name)) = path.rsplit_once("node_modules/").filter(|_| !is_optional) {
            let _ = writeln!(rows, "| {name} | {} | {} |", text("version"), text("license"));
        }
    }
    rows
}

/// The font inside the UI, with the text that its licence asks to travel with it.
const FONT: &str = include_str!("inter-licence.md");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_current_is_found() {
        let lock = r#"{"packages": {"": {}, "node_modules/svelte": {"version": "5", "license": "MIT"},
            "node_modules/x-linux": {"version": "1", "license": "MIT", "optional": true}}}"#;
        let tree = Tree::of(&[("ui/package-lock.json", lock)]);
        assert_eq!(check_tree(&tree, &Metadata::default()).len(), 1);
        let text = notices(&tree, &Metadata::default());
        assert!(text.contains("| svelte | 5 | MIT |") && !text.contains("x-linux") && text.contains("SIL OPEN FONT"));
        let tree = Tree::of(&[("ui/package-lock.json", lock), (PLACE, &text)]);
        assert_eq!(check_tree(&tree, &Metadata::default()), []);
    }
}
