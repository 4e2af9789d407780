//! What cargo knows about the packages: `cargo metadata` as plain types.
//!
//! In: the locked dependency graph. Out: our packages with the dependencies that they name, every package with its
//! licence and source, and what the shipped binary is made of.

use crate::programs;
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The source of a package that comes from the usual registry, as cargo writes it.
pub(crate) const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// One package of the graph.
#[derive(Debug, Clone, Default)]
pub(crate) struct Package {
    /// Cargo's id for it, unique in the graph.
    pub(crate) id: String,
    /// As in its manifest.
    pub(crate) name: String,
    /// As in its manifest.
    pub(crate) version: String,
    /// SPDX expression, or nothing.
    pub(crate) license: Option<String>,
    /// Where it comes from; nothing for a package of this repository.
    pub(crate) source: Option<String>,
    /// Names of the packages that its shipped code needs, as in its manifest (no dev or build dependencies).
    pub(crate) needs: Vec<String>,
    /// Names of its examples.
    pub(crate) examples: Vec<String>,
}

/// The graph.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metadata {
    /// All packages, ours and others'.
    pub(crate) packages: Vec<Package>,
    /// For each package id, the ids of what its shipped code is linked from.
    pub(crate) links: BTreeMap<String, Vec<String>>,
    /// Ids of the packages of this repository.
    pub(crate) members: BTreeSet<String>,
}

impl Metadata {
    /// Asks cargo, for all platforms, with the lock file as it is.
    ///
    /// Errors: cargo fails, among others because the lock file is not current.
    pub(crate) fn read() -> Result<Self> {
        let bytes = programs::output(programs::cargo().args(["metadata", "--locked", "--format-version", "1"]))?;
        Self::parse(&serde_json::from_slice(&bytes).context("reading cargo metadata")?)
    }

    fn parse(value: &Value) -> Result<Self> {
        let packages = list(value, "packages").iter().map(package).collect();
        let nodes = value.get("resolve").context("cargo metadata without a graph")?;
        let links = list(nodes, "nodes")
            .iter()
            .map(|node| (text(node, "id"), links(node)))
            .collect();
        let members = list(value, "workspace_members")
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        Ok(Self {
            packages,
            links,
            members,
        })
    }

    /// The packages of this repository, in order of their names.
    pub(crate) fn ours(&self) -> Vec<&Package> {
        let mut ours: Vec<&Package> = self
            .packages
            .iter()
            .filter(|package| self.members.contains(&package.id))
            .collect();
        ours.sort_by(|a, b| a.name.cmp(&b.name));
        ours
    }

    /// What the package `name` is linked from, itself included, by name and version.
    pub(crate) fn linked_into(&self, name: &str) -> Vec<&Package> {
        let mut seen = BTreeSet::new();
        let mut next: Vec<&str> = self
            .ours()
            .iter()
            .filter(|p| p.name == name)
            .map(|p| p.id.as_str())
            .collect();
        while let Some(id) = next.pop() {
            if seen.insert(id) {
                next.extend(self.links.get(id).into_iter().flatten().map(String::as_str));
            }
        }
        let mut found: Vec<&Package> = self.packages.iter().filter(|p| seen.contains(p.id.as_str())).collect();
        found.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
        found
    }
}

fn package(value: &Value) -> Package {
    let is_shipped = |dependency: &&Value| dependency.get("kind").is_some_and(Value::is_null);
    let is_example = |target: &&Value| list(target, "kind").iter().any(|kind| kind == "example");
    Package {
        id: text(value, "id"),
        name: text(value, "name"),
        version: text(value, "version"),
        license: value.get("license").and_then(Value::as_str).map(str::to_owned),
        source: value.get("source").and_then(Value::as_str).map(str::to_owned),
        needs: list(value, "dependencies")
            .iter()
            .filter(is_shipped)
            .map(|needed| text(needed, "name"))
            .collect(),
        examples: list(value, "targets")
            .iter()
            .filter(is_example)
            .map(|target| text(target, "name"))
            .collect(),
    }
}

/// Ids of the dependencies of `node` that its shipped code is linked from.
fn links(node: &Value) -> Vec<String> {
    let is_linked = |dependency: &&Value| {
        list(dependency, "dep_kinds")
            .iter()
            .any(|kind| kind.get("kind").is_some_and(Value::is_null))
    };
    list(node, "deps")
        .iter()
        .filter(is_linked)
        .map(|dependency| text(dependency, "pkg"))
        .collect()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn dev_and_build_dependencies_are_not_what_a_package_needs() {
        let value = json!({
            "packages": [
                {"id": "a 1", "name": "a", "version": "1", "license": "MIT", "source": null, "targets":
                    [{"kind": ["example"], "name": "vectors"}], "dependencies":
                    [{"name": "b", "kind": null}, {"name": "c", "kind": "dev"}, {"name": "d", "kind": "build"}]},
                {"id": "b 2", "name": "b", "version": "2", "license": null, "source": CRATES_IO},
                {"id": "c 3", "name": "c", "version": "3"},
            ],
            "workspace_members": ["a 1"],
            "resolve": {"nodes": [
                {"id": "a 1", "deps": [
                    {"pkg": "b 2", "dep_kinds": [{"kind": null}]}, {"pkg": "c 3", "dep_kinds": [{"kind": "dev"}]}]},
                {"id": "b 2", "deps": []},
            ]},
        });
        let metadata = Metadata::parse(&value).unwrap();
        assert_eq!(metadata.ours().first().unwrap().needs, ["b"]);
        assert_eq!(metadata.ours().first().unwrap().examples, ["vectors"]);
        let linked: Vec<&str> = metadata
            .linked_into("a")
            .iter()
            .map(|package| package.name.as_str())
            .collect();
        assert_eq!(linked, ["a", "b"]);
    }
}
