//! No clock, dice, sockets, threads, files or unix-only calls in `wire`, `core` and `mesh` outside their tests.
//!
//! One seed replays a whole world, and a browser build is to come: what these crates need comes in as an argument.
//! `core::store` alone may touch files, and may ask the system for more where it stands behind `cfg(unix)`.

use super::Finding;
use crate::code;
use crate::tree::{File, Tree};

const CRATES: [&str; 3] = ["crates/wire/src/", "crates/core/src/", "crates/mesh/src/"];

const STORE: [&str; 2] = ["crates/core/src/store/", "crates/core/src/store.rs"];

/// What must not stand in the code, and why.
const BANNED: &[(&str, &str)] = &[
    ("SystemTime", "no clock here: time is an argument"),
    ("Instant", "no clock here: time is an argument"),
    ("UNIX_EPOCH", "no clock here: time is an argument"),
    ("thread_rng", "no dice here: randomness is an argument"),
    ("rand::rng", "no dice here: randomness is an argument"),
    ("OsRng", "no dice here: randomness is an argument"),
    ("SysRng", "no dice here: randomness is an argument"),
    ("getrandom", "no dice here: randomness is an argument"),
    ("tokio", "no runtime here: the edge owns it"),
    ("TcpStream", "no sockets here: bytes are arguments"),
    ("TcpListener", "no sockets here: bytes are arguments"),
    ("UdpSocket", "no sockets here: bytes are arguments"),
    ("ToSocketAddrs", "no name lookups here"),
    ("std::thread", "no threads here: the edge owns them"),
    ("std::process", "no processes here"),
    ("std::env", "no environment here: settings are arguments"),
    (
        "std::os::unix",
        "a unix-only call: put it behind cfg(unix) in core::store",
    ),
];

const FILES: (&str, &str) = ("std::fs", "no files here: only core::store touches the disk");

/// Checks the shipped code of the three crates line by line.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let for_tests: Vec<String> = tree.below("crates/", ".rs").flat_map(modules_for_tests).collect();
    let is_pure = |file: &&File| {
        file.path.ends_with(".rs")
            && CRATES.iter().any(|folder| file.path.starts_with(folder))
            && !file.path.ends_with("/tests.rs")
            && !file.path.contains("/tests/")
            && !for_tests.contains(&file.path)
    };
    tree.files.iter().filter(is_pure).flat_map(check_file).collect()
}

/// The files of the modules that `file` declares for its tests only: `#[cfg(test)] mod name;`.
fn modules_for_tests(file: &File) -> Vec<String> {
    let stem = file.path.trim_end_matches(".rs");
    let folder = match stem.rsplit_once('/') {
        Some((folder, "lib" | "main" | "mod")) => folder,
        _ => stem,
    };
    let after_attribute = file.text.split("#[cfg(test)]").skip(1);
    let name = |text: &str| Some(text.trim_start().strip_prefix("mod ")?.split_once(';')?.0.to_owned());
    after_attribute
        .filter_map(name)
        .map(|name| format!("{folder}/{name}.rs"))
        .collect()
}

fn check_file(file: &File) -> Vec<Finding> {
    let is_store = STORE.iter().any(|place| file.path.starts_with(place));
    let mut shipped = code::shipped(&file.text);
    if is_store {
        shipped = code::without_items(&shipped, |attribute| attribute == "cfg(unix)");
    }
    let banned: Vec<&(&str, &str)> = BANNED.iter().chain((!is_store).then_some(&FILES)).collect();
    let uses = shipped
        .lines()
        .enumerate()
        .map(|(index, line)| (index, spelled_out(line)));
    uses.flat_map(|(index, line)| {
        let found = banned.iter().filter(move |(word, _)| code::has_word(&line, word));
        found.map(move |(word, why)| Finding::at(&file.path, index, format!("{word}: {why}")))
    })
    .collect()
}

/// `use std::{fs, net::X}` also as `std::fs std::net::X`, so that a group hides nothing.
fn spelled_out(line: &str) -> String {
    let Some((_, group)) = line.split_once("std::{") else {
        return line.to_owned();
    };
    let words = group.split(|letter: char| !letter.is_alphanumeric() && letter != '_' && letter != ':');
    let spelled: Vec<String> = words
        .filter(|word| !word.is_empty())
        .map(|word| format!("std::{word}"))
        .collect();
    format!("{line} {}", spelled.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_dice_sockets_threads_and_files_are_found() {
        for bad in [
            "let now = std::time::Instant::now();",
            "use std::{fmt, time::SystemTime};",
            "let mut dice = rand::rng();",
            "getrandom::fill(&mut bytes)",
            "use std::net::TcpStream;",
            "use std::{collections::BTreeMap, net::TcpStream};",
            "std::thread::spawn(|| ());",
            "tokio::spawn(async {});",
            "use std::os::unix::fs::PermissionsExt;",
            "std::fs::read(path)",
            "use std::{fmt, fs};",
        ] {
            let tree = Tree::of(&[("crates/core/src/inbox.rs", bad)]);
            assert_eq!(check(&tree).len(), 1, "{bad}");
        }
    }

    #[test]
    fn the_store_may_touch_files_and_unix_behind_cfg() {
        let text = "use std::fs;\n#[cfg(unix)]\nfn lock() { std::os::unix::fs::x(); }\n";
        assert_eq!(check(&Tree::of(&[("crates/core/src/store/keys.rs", text)])), []);
        let bare = "fn lock() { std::os::unix::fs::x(); }\n";
        assert_eq!(check(&Tree::of(&[("crates/core/src/store/keys.rs", bare)])).len(), 1);
    }

    #[test]
    fn modules_declared_for_tests_are_free() {
        let tree = Tree::of(&[
            ("crates/core/src/api.rs", "#[cfg(test)]\nmod typescript;\nmod other;\n"),
            ("crates/core/src/api/other.rs", "use std::fs;"),
            ("crates/core/src/api/typescript.rs", "use std::fs;"),
        ]);
        let places: Vec<String> = check(&tree).into_iter().map(|finding| finding.place).collect();
        assert_eq!(places, ["crates/core/src/api/other.rs:1"]);
    }

    #[test]
    fn tests_comments_and_other_crates_are_free() {
        let text = "// std::net::TcpStream\n#[cfg(test)]\nmod tests { use std::fs; }\n";
        assert_eq!(check(&Tree::of(&[("crates/wire/src/a.rs", text)])), []);
        assert_eq!(
            check(&Tree::of(&[("crates/daemon/src/a.rs", "use std::net::TcpStream;")])),
            []
        );
        assert_eq!(check(&Tree::of(&[("crates/core/tests/a.rs", "use std::fs;")])), []);
    }
}
