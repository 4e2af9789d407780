//! Builds the lab and Stonechat's program, and runs the lab.
//!
//! In: the lab's own words (`cargo xtask lab matrix --help`). Out: whether all went as it must. What it does is in
//! `crates/lab`; it wants network namespaces (root).

use crate::programs;
use anyhow::{Context as _, Result};
use std::process::Command;

/// Runs the lab.
///
/// Errors: something does not build.
pub(crate) fn run(words: &[&str]) -> Result<bool> {
    let packages = ["--package", "stonechat-lab", "--package", "stonechat"];
    programs::output(programs::cargo().args(["build", "--locked"]).args(packages))?;
    let program = programs::target().join("debug/lab");
    let status = Command::new(&program)
        .current_dir(programs::root())
        .args(words)
        .status();
    Ok(status.with_context(|| program.display().to_string())?.success())
}
