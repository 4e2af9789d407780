//! Licences and origins: ours are what the licence files say, others' allow what we do with them.

use super::Finding;
use crate::metadata::{CRATES_IO, Metadata, Package};
use crate::tree::Tree;

const OURS: &str = "MIT OR Apache-2.0";

/// Licences that let us ship the code under our own.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    // Of lists, not of code: the authorities that browsers know.
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "NCSA",
    "OpenSSL",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Unlicense",
    "Zlib",
];

/// Checks licence and source of every package in the graph, and the licence field of the UI.
pub(crate) fn check(tree: &Tree, metadata: &Metadata) -> Vec<Finding> {
    let mut findings: Vec<Finding> = metadata
        .packages
        .iter()
        .filter_map(|p| check_package(p, metadata))
        .collect();
    let is_ours = |text: &str| text.contains(&format!("\"license\": \"{OURS}\""));
    if tree.file("ui/package.json").is_some_and(|file| !is_ours(&file.text)) {
        findings.push(Finding::new("ui/package.json", format!("licence is not {OURS}")));
    }
    findings
}

fn check_package(package: &Package, metadata: &Metadata) -> Option<Finding> {
    let place = format!("{} {}", package.name, package.version);
    let license = package.license.as_deref();
    if metadata.members.contains(&package.id) {
        return (license != Some(OURS)).then(|| Finding::new(place, format!("licence is not {OURS}")));
    }
    if package.source.as_deref().is_some_and(|source| source != CRATES_IO) {
        return Some(Finding::new(place, "does not come from the usual registry"));
    }
    match license {
        Some(expression) if is_allowed(expression) => None,
        Some(expression) => Some(Finding::new(
            place,
            format!("licence {expression} is not in the list of allowed ones"),
        )),
        None => Some(Finding::new(place, "has no licence field")),
    }
}

/// Whether an SPDX expression can be met with allowed licences only: one side of each OR, all of each AND.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any_of(&mut rest) && rest.is_empty()
}

fn any_of(rest: &mut &[&str]) -> bool {
    let mut met = all_of(rest);
    while take(rest, "OR") {
        met |= all_of(rest);
    }
    met
}

fn all_of(rest: &mut &[&str]) -> bool {
    let mut met = one(rest);
    while take(rest, "AND") {
        met &= one(rest);
    }
    met
}

fn one(rest: &mut &[&str]) -> bool {
    if take(rest, "(") {
        let met = any_of(rest);
        return take(rest, ")") && met;
    }
    let Some((name, left)) = rest.split_first() else {
        return false;
    };
    *rest = left;
    if take(rest, "WITH") {
        let Some((exception, left)) = rest.split_first() else {
            return false;
        };
        *rest = left;
        return ALLOWED.contains(&format!("{name} WITH {exception}").as_str()) || ALLOWED.contains(name);
    }
    ALLOWED.contains(name)
}

fn take(rest: &mut &[&str], word: &str) -> bool {
    match rest.split_first() {
        Some((first, left)) if *first == word => {
            *rest = left;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_met_by_one_side_of_or_and_all_of_and() {
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "(MIT OR GPL-3.0) AND ISC",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            assert!(is_allowed(good), "{good}");
        }
        for bad in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(MIT OR Apache-2.0) AND AGPL-3.0",
            "",
            "MIT )",
        ] {
            assert!(!is_allowed(bad), "{bad}");
        }
    }

    #[test]
    fn strange_origins_and_missing_licences_are_found() {
        let package = |name: &str, license: Option<&str>, source: Option<&str>| Package {
            id: name.to_owned(),
            name: name.to_owned(),
            license: license.map(str::to_owned),
            source: source.map(str::to_owned),
            ..Package::default()
        };
        let metadata = Metadata {
            packages: vec![
                package("ours", Some("GPL-3.0"), None),
                package("good", Some("MIT"), Some(CRATES_IO)),
                package("git", Some("MIT"), Some("git+https://example.org/x")),
                package("bare", None, Some(CRATES_IO)),
                package("free", Some("AGPL-3.0"), Some(CRATES_IO)),
            ],
            members: ["ours".to_owned()].into(),
            ..Metadata::default()
        };
        let tree = Tree::of(&[("ui/package.json", "{}")]);
        assert_eq!(check(&tree, &metadata).len(), 5);
    }
}
