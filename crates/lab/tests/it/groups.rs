//! Worlds of one group: churn, partitions, crashes.

use crate::seeds::{Kind, again, many, number};
use stonechat_lab::world::World;
use stonechat_lab::world::plan::Plan;

/// Worlds in `./test`.
const SEEDS: u64 = 150;

/// Two to six mostly, some to sixteen, and one of fifty with 33.
fn people(seed: u64) -> usize {
    match seed % 50 {
        0..44 => 2 + usize::try_from(seed % 5).unwrap(),
        44..49 => 7 + usize::try_from(seed / 50 % 10).unwrap(),
        _ => 33,
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
