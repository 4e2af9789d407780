//! Builds the lab and Stonechat's program, installs what a peer needs that is asked for by name, and runs the lab.
//!
//! In: the lab's own words (`cargo xtask lab matrix --help`). Out: whether all went as it must. What it does is in
//! `crates/lab`; it wants network namespaces (root).

use crate::programs;
use anyhow::{Context as _, Result, ensure};
use std::process::Command;

/// Peers, the program that each runs, and Debian's package that has it.
const PROGRAMS: [(&str, &str, &str); 3] = [
    ("shadowsocks", "ss-tunnel", "shadowsocks-libev"),
    ("obfs4", "obfs4proxy", "obfs4proxy"),
    ("stonechat-obfs4", "obfs4proxy", "obfs4proxy"),
];

/// Runs the lab.
///
/// Errors: something does not build.
pub(crate) fn run(words: &[&str]) -> Result<bool> {
    for package in missing(words, is_there) {
        install(package)?;
    }
    let packages = ["--package", "stonechat-lab", "--package", "stonechat"];
    programs::output(programs::cargo().args(["build", "--locked"]).args(packages))?;
    let program = programs::target().join("debug/lab");
    let status = Command::new(&program)
        .current_dir(programs::root())
        .args(words)
        .status();
    Ok(status.with_context(|| program.display().to_string())?.success())
}

/// Packages of the peers that are asked for and are not there.
fn missing(words: &[&str], is_there: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let asked: Vec<&str> = words.iter().flat_map(|word| word.split([',', '='])).collect();
    let wanted = PROGRAMS.into_iter().filter(|(peer, _, _)| asked.contains(peer));
    let missing = wanted.filter(|(_, program, _)| !is_there(program));
    missing.map(|(_, _, package)| package).collect()
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Asks apt, as `./test` does for the others.
fn install(package: &str) -> Result<()> {
    let words = ["install", "-y", "--no-install-recommends", package];
    let status = Command::new("apt-get").args(words).status();
    let is_done = status.is_ok_and(|status| status.success());
    ensure!(is_done, "please install {package}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_needs_is_installed_only_where_it_is_asked_for() {
        let nothing = |_: &str| false;
        assert_eq!(
            missing(&["matrix", "--peers", "tls-own,obfs4"], nothing),
            ["obfs4proxy"]
        );
        assert_eq!(missing(&["run", "--peer=shadowsocks"], nothing), ["shadowsocks-libev"]);
        assert_eq!(missing(&["run", "--peer", "stonechat", "obfs4x"], nothing), [""; 0]);
        assert_eq!(missing(&["--peers", "obfs4,shadowsocks"], |_| true), [""; 0]);
    }
}
