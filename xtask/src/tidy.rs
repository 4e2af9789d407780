//! The rules of the house that no compiler checks.
//!
//! In: the tree and the dependency graph. Out: one line for each place that breaks a rule, and whether there was none.
//! Every check is a pure function over [`Tree`] and [`Metadata`]; its test shows it red on a bad sample.

mod files;
mod imports;
mod licences;
mod protocol;
mod purity;
mod words;

use crate::metadata::Metadata;
use crate::notices;
use crate::programs;
use crate::tree::Tree;
use anyhow::Result;
use std::fmt;

/// One place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// File, or file and line, or package.
    pub(crate) place: String,
    /// What is wrong, and what to do where that is not plain.
    pub(crate) what: String,
}

impl Finding {
    /// A finding about a whole file or package.
    pub(crate) fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            what: what.into(),
        }
    }

    /// A finding about one line; `index` counts from 0.
    pub(crate) fn at(path: &str, index: usize, what: impl Into<String>) -> Self {
        Self::new(format!("{path}:{}", index + 1), what)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Runs all checks over this working tree and prints what they found.
///
/// Errors: a file or the dependency graph cannot be read.
pub(crate) fn run() -> Result<bool> {
    let tree = Tree::read(&programs::root())?;
    let metadata = Metadata::read()?;
    let mut findings = findings(&tree, &metadata);
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    println!("tidy: {} files, {} findings", tree.files.len(), findings.len());
    Ok(findings.is_empty())
}

fn findings(tree: &Tree, metadata: &Metadata) -> Vec<Finding> {
    [
        imports::check(metadata),
        licences::check(tree, metadata),
        protocol::check(tree),
        purity::check(tree),
        files::check(tree),
        words::check(tree),
        notices::check_tree(tree, metadata),
    ]
    .concat()
}
