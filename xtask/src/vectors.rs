//! The vectors of the protocol: made by the code, committed beside the words, never different.
//!
//! Every example named `vectors` or `..._vectors` writes its files into the folder that it is given as an argument.
//! `write` puts them into `docs/protocol/vectors`; `check` makes them apart and compares byte by byte.

use crate::metadata::Metadata;
use crate::programs;
use anyhow::{Context as _, Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

const HOME: &str = "docs/protocol/vectors";

/// Makes the vectors again, in their place.
pub(crate) fn write() -> Result<bool> {
    make(&programs::root().join(HOME))?;
    Ok(true)
}

/// Makes the vectors elsewhere and compares. Out: whether they are the committed ones.
pub(crate) fn check() -> Result<bool> {
    let fresh = programs::target().join("vectors");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).context("emptying the folder of fresh vectors")?;
    }
    make(&fresh)?;
    let differences = differences(&read(&programs::root().join(HOME))?, &read(&fresh)?);
    for difference in &differences {
        println!("{HOME}/{difference}; see `cargo xtask vectors`");
    }
    Ok(differences.is_empty())
}

/// Builds all examples with the features of the whole workspace, as the tests do, so that nothing is built twice.
fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let makers = makers(&Metadata::read()?);
    ensure!(!makers.is_empty(), "no package has an example for vectors");
    programs::output(programs::cargo().args(["build", "--quiet", "--workspace", "--examples", "--locked"]))?;
    for maker in makers {
        let program = programs::target().join("debug/examples").join(maker);
        programs::output(Command::new(program).arg(folder))?;
    }
    Ok(())
}

/// Names of the examples that write vectors.
fn makers(metadata: &Metadata) -> Vec<String> {
    let ours = metadata.ours();
    let names = ours.iter().flat_map(|package| &package.examples);
    names
        .filter(|name| *name == "vectors" || name.ends_with("_vectors"))
        .cloned()
        .collect()
}

fn read(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut files = BTreeMap::new();
    for entry in entries {
        let entry = entry?;
        files.insert(
            entry.file_name().to_string_lossy().into_owned(),
            fs::read(entry.path())?,
        );
    }
    Ok(files)
}

fn differences(committed: &BTreeMap<String, Vec<u8>>, fresh: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let names: BTreeSet<&String> = committed.keys().chain(fresh.keys()).collect();
    let difference = |name: &String| match (committed.get(name), fresh.get(name)) {
        (Some(old), Some(new)) if old == new => None,
        (Some(_), Some(_)) => Some(format!("{name} differs from what the code makes")),
        (Some(_), None) => Some(format!("{name} is made by no code")),
        _ => Some(format!("{name} is missing")),
    };
    names.into_iter().filter_map(difference).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_a_missing_and_a_left_over_file_are_found() {
        let files = |list: &[(&str, &str)]| -> BTreeMap<String, Vec<u8>> {
            list.iter()
                .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()))
                .collect()
        };
        let committed = files(&[("same", "1"), ("changed", "1"), ("old", "1")]);
        let fresh = files(&[("same", "1"), ("changed", "2"), ("new", "1")]);
        let found = differences(&committed, &fresh);
        assert_eq!(
            found,
            [
                "changed differs from what the code makes",
                "new is missing",
                "old is made by no code"
            ]
        );
    }
}
