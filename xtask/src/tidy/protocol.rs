//! Every rule of the protocol has a test, and every rule that is named exists.
//!
//! A rule is a line of `docs/protocol/*.md` that opens with its id in bold: `**ENV-1**`. It is proven by a test whose
//! name ends in `_env_1`, or by a comment `proves: ENV-1, ENV-2` beside a test in Rust or TypeScript.

use super::Finding;
use crate::tree::{File, Tree};
use std::collections::{BTreeMap, BTreeSet};

/// Checks rules against tests, both ways.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let rules = rules(tree, &mut findings);
    let proven = proven(tree, &rules, &mut findings);
    for (id, place) in rules.iter().filter(|(id, _)| !proven.contains(*id)) {
        let suffix = id.to_lowercase().replace('-', "_");
        findings.push(Finding::new(
            place,
            format!("{id} has no test: name one ..._{suffix}, or write `proves: {id}` above one"),
        ));
    }
    findings.extend(unknown_references(tree, &rules));
    findings
}

/// The rules with their places; one that stands twice is a finding.
fn rules(tree: &Tree, findings: &mut Vec<Finding>) -> BTreeMap<String, String> {
    let mut rules = BTreeMap::new();
    for file in tree.below("docs/protocol/", ".md") {
        for (index, line) in file.text.lines().enumerate() {
            let Some(id) = rule_at_start(line) else { continue };
            let place = format!("{}:{}", file.path, index + 1);
            if let Some(first) = rules.insert(id.to_owned(), place) {
                findings.push(Finding::at(
                    &file.path,
                    index,
                    format!("{id} is also a rule at {first}"),
                ));
            }
        }
    }
    rules
}

/// `ENV-1` for a line that begins with `**ENV-1**`, as itself or as an item of a list.
fn rule_at_start(line: &str) -> Option<&str> {
    let line = line.trim_start().trim_start_matches("- ").trim_start_matches("* ");
    let (id, _) = line.strip_prefix("**")?.split_once("**")?;
    let id = id.trim_end_matches([':', '.']);
    is_id(id).then_some(id)
}

fn is_id(text: &str) -> bool {
    text.split_once('-').is_some_and(|(family, number)| {
        (2..=5).contains(&family.len())
            && family.bytes().all(|byte| byte.is_ascii_uppercase())
            && !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Ids that a test or a `proves:` comment names.
fn proven(tree: &Tree, rules: &BTreeMap<String, String>, findings: &mut Vec<Finding>) -> BTreeSet<String> {
    let mut proven = BTreeSet::new();
    for file in tree.files.iter().filter(|file| may_hold_tests(file)) {
        for (index, line) in file.text.lines().enumerate() {
            proven.extend(rule_of_function(line));
            let Some((_, list)) = line.split_once("proves:") else {
                continue;
            };
            for id in ids(list) {
                if !rules.contains_key(id) {
                    findings.push(Finding::at(&file.path, index, format!("proves {id}, which is no rule")));
                }
                proven.insert(id.to_owned());
            }
        }
    }
    proven
}

fn may_hold_tests(file: &File) -> bool {
    let is_rust = file.path.ends_with(".rs") && (file.path.starts_with("crates/") || file.path.starts_with("fuzz/"));
    is_rust || (file.path.starts_with("ui/") && file.path.ends_with(".ts"))
}

/// `ENV-3` for a line that opens `fn tampered_envelope_is_dropped_env_3()`.
fn rule_of_function(line: &str) -> Option<String> {
    let (_, from) = line.split_once("fn ")?;
    let name = from
        .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .next()?;
    let (rest, number) = name.rsplit_once('_')?;
    let (_, family) = rest.rsplit_once('_')?;
    let id = format!("{}-{number}", family.to_uppercase());
    is_id(&id).then_some(id)
}

/// Every id that stands in `text`.
fn ids(text: &str) -> impl Iterator<Item = &str> {
    let is_apart = |letter: char| !letter.is_ascii_alphanumeric() && letter != '-' && letter != '_';
    text.split(is_apart).filter(|word| is_id(word))
}

/// Comments and docs that name a rule of a known family which does not exist: it was renumbered, or never written.
fn unknown_references(tree: &Tree, rules: &BTreeMap<String, String>) -> Vec<Finding> {
    let families: BTreeSet<&str> = rules
        .keys()
        .filter_map(|id| id.split_once('-'))
        .map(|(family, _)| family)
        .collect();
    let mut findings = Vec::new();
    let is_read =
        |file: &&File| (file.path.starts_with("crates/") && file.path.ends_with(".rs")) || file.path.ends_with(".md");
    for file in tree.files.iter().filter(is_read) {
        for (index, line) in file.text.lines().enumerate() {
            let is_unknown = |id: &&str| {
                !rules.contains_key(*id) && id.split_once('-').is_some_and(|(family, _)| families.contains(family))
            };
            let unknown = ids(line).filter(is_unknown).filter(|_| !line.contains("proves:"));
            findings
                .extend(unknown.map(|id| Finding::at(&file.path, index, format!("{id} is no rule of the protocol"))));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: (&str, &str) = (
        "docs/protocol/01-envelope.md",
        "# Envelope\n**ENV-1** An envelope is...\n- **ENV-2** It...\ntext **ENV-9** inside\n**ENV-3** Also...\n",
    );

    #[test]
    fn a_rule_without_a_test_is_found() {
        let tree = Tree::of(&[
            PAGE,
            (
                "crates/wire/src/a.rs",
                "fn a_thing_holds_env_1() {}\n// proves: ENV-2, ENV-4\n",
            ),
        ]);
        let found: Vec<String> = check(&tree).iter().map(Finding::to_string).collect();
        assert!(
            found
                .iter()
                .any(|line| line.starts_with("docs/protocol/01-envelope.md:5: ENV-3 has no test"))
        );
        assert!(found.contains(&"crates/wire/src/a.rs:2: proves ENV-4, which is no rule".to_owned()));
        assert!(found.contains(&"docs/protocol/01-envelope.md:4: ENV-9 is no rule of the protocol".to_owned()));
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn a_rule_that_stands_twice_is_found() {
        let tree = Tree::of(&[
            PAGE,
            ("docs/protocol/02-b.md", "**ENV-3** again"),
            ("ui/tests/x.ts", "// proves: ENV-1 ENV-2 ENV-3"),
        ]);
        assert!(check(&tree).iter().any(|finding| finding.what.contains("also a rule")));
    }

    #[test]
    fn other_words_with_numbers_are_no_rules() {
        for line in ["**SHA-256x** a", "**E-1** b", "**ENV-** c", "ENV-1 d", "**env-1** e"] {
            assert_eq!(rule_at_start(line), None, "{line}");
        }
        assert_eq!(
            rule_of_function("    async fn it_holds_mbx_12() {").as_deref(),
            Some("MBX-12")
        );
        assert_eq!(rule_of_function("fn plain() {"), None);
    }
}
