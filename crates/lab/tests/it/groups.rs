//! Worlds of one group: churn, partitions, crashes.

use crate::seeds::{Kind, again, many, number};
use stonechat_lab::world::World;
use stonechat_lab::world::plan::Plan;

/// Worlds in `./test`.
const SEEDS: u64 = 100;

fn people(seed: u64) -> usize {
    match seed % 20 {
        0..14 => 3 + usize::try_from(seed % 3).unwrap(),
        14..19 => 6 + usize::try_from(seed % 3).unwrap(),
        _ => 12,
    }
}

const GROUPS: Kind = Kind {
    name: "groups",
    test: "every_group",
    replay: "STONECHAT_GROUP_SEED",
    run: |seed, loud| World::new(Plan::of_group(seed, people(seed)), seed, None, loud).run(),
};

#[test]
fn every_group_ends_as_one() {
    match number(GROUPS.replay) {
        Some(seed) => again(&GROUPS, seed),
        None => drop(many(&GROUPS, number("STONECHAT_GROUP_SEEDS").unwrap_or(SEEDS))),
    }
}
