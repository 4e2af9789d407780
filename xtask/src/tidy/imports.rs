//! Who may import whom: the table of ARCHITECTURE.md, held against what cargo links.

use super::Finding;
use crate::metadata::{Metadata, Package};

/// One row of the table.
struct Row {
    /// The package.
    name: &'static str,
    /// Our packages that it may name.
    may: &'static [&'static str],
    /// Others' packages that it must not name.
    never: &'static [&'static str],
}

const CLOCKS_DICE_SOCKETS: &[&str] = &[
    "tokio",
    "axum",
    "hyper",
    "tokio-tungstenite",
    "socket2",
    "mio",
    "getrandom",
    "rand",
    "chrono",
    "time",
];

const TABLE: &[Row] = &[
    Row {
        name: "stonechat-wire",
        may: &[],
        never: &["tokio", "rusqlite", "openmls", "getrandom", "rand", "chrono", "time"],
    },
    Row {
        name: "stonechat-core",
        may: &["stonechat-wire"],
        never: CLOCKS_DICE_SOCKETS,
    },
    Row {
        name: "stonechat-mesh",
        may: &["stonechat-wire"],
        never: CLOCKS_DICE_SOCKETS,
    },
    Row {
        name: "stonechat-transport",
        may: &["stonechat-wire", "stonechat-mesh"],
        never: &["openmls", "rusqlite"],
    },
    Row {
        name: "stonechat-relay",
        may: &["stonechat-wire"],
        never: &["openmls"],
    },
    Row {
        name: "stonechat-daemon",
        may: &[
            "stonechat-core",
            "stonechat-transport",
            "stonechat-mesh",
            "stonechat-wire",
        ],
        never: &[],
    },
    Row {
        name: "stonechat",
        may: &[
            "stonechat-daemon",
            "stonechat-relay",
            "stonechat-transport",
            "stonechat-core",
            "stonechat-wire",
        ],
        never: &[],
    },
    Row {
        name: "stonechat-lab",
        may: &[
            "stonechat-core",
            "stonechat-transport",
            "stonechat-mesh",
            "stonechat-wire",
            "stonechat-relay",
            "stonechat-daemon",
        ],
        never: &[],
    },
    Row {
        name: "stonechat-bench",
        may: &[
            "stonechat-core",
            "stonechat-transport",
            "stonechat-mesh",
            "stonechat-wire",
            "stonechat-relay",
            "stonechat-daemon",
        ],
        never: &[],
    },
    Row {
        name: "stonechat-bench-relay",
        may: &["stonechat-wire", "stonechat-relay"],
        never: &["openmls"],
    },
    Row {
        name: "xtask",
        may: &[],
        never: &[],
    },
    Row {
        name: "openmls_sqlite_storage",
        may: &[],
        never: &["rusqlite"],
    },
];

/// Holds every package of the repository against its row.
pub(crate) fn check(metadata: &Metadata) -> Vec<Finding> {
    let ours = metadata.ours();
    let names: Vec<&str> = ours.iter().map(|package| package.name.as_str()).collect();
    ours.iter().flat_map(|package| check_package(package, &names)).collect()
}

fn check_package(package: &Package, ours: &[&str]) -> Vec<Finding> {
    let Some(row) = TABLE.iter().find(|row| row.name == package.name) else {
        return vec![Finding::new(
            &package.name,
            "no row in the import table (xtask/src/tidy/imports.rs)",
        )];
    };
    let is_wrong = |needed: &&String| {
        let needed = needed.as_str();
        row.never.contains(&needed) || (ours.contains(&needed) && !row.may.contains(&needed))
    };
    let wrong = package.needs.iter().filter(is_wrong);
    wrong
        .map(|needed| Finding::new(&package.name, format!("must not import {needed}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrow_that_the_table_lacks_is_found() {
        let metadata = graph(&[
            ("stonechat-core", &["stonechat-wire", "tokio"]),
            ("stonechat-wire", &["stonechat-core"]),
        ]);
        let found: Vec<String> = check(&metadata).iter().map(Finding::to_string).collect();
        assert_eq!(
            found,
            [
                "stonechat-core: must not import tokio",
                "stonechat-wire: must not import stonechat-core"
            ]
        );
    }

    #[test]
    fn nobody_imports_the_lab_and_every_package_has_a_row() {
        assert!(TABLE.iter().all(|row| !row.may.contains(&"stonechat-lab")));
        let metadata = graph(&[("stonechat-new", &[]), ("stonechat-lab", &["stonechat-relay"])]);
        assert_eq!(check(&metadata).len(), 1);
    }

    fn graph(packages: &[(&str, &[&str])]) -> Metadata {
        let package = |(name, needs): &(&str, &[&str])| Package {
            id: (*name).to_owned(),
            name: (*name).to_owned(),
            needs: needs.iter().map(|need| (*need).to_owned()).collect(),
            ..Package::default()
        };
        Metadata {
            packages: packages.iter().map(package).collect(),
            members: packages.iter().map(|(name, _)| (*name).to_owned()).collect(),
            ..Metadata::default()
        }
    }
}
