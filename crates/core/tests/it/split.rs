//! A group in two halves that do not reach each other, until each has made more commits than epochs are kept whole (EPO-10).

use crate::behind::rename;
use crate::bench::{Bench, Relay};
use crate::groups::{all_agree, circle, create, give, number, say, texts};
use crate::halves::copy;
use stonechat_core::api::Role;

const HOUR: u64 = 3_600_000;
/// Each half writes once in so long.
const STEP_HOURS: usize = 4;

/// Those with an even number reach one relay, the others another one, by turns.
fn turn_to(bench: &mut Bench, other: &mut Relay, half: usize) {
    std::mem::swap(&mut bench.relay, other);
    let people = bench.devices.len();
    (0..people).for_each(|device| bench.devices[device].cut = true);
    for device in (0..people).filter(|device| device % 2 == half) {
        bench.reconnect(device);
        bench.greet(device);
    }
}

/// A group of so many, in two halves for so long; each half writes, and its first one may rename the group, every four hours.
fn apart(people: usize, days: usize, renames: bool) {
    let turns = days * 24 / STEP_HOURS;
    let mut bench = circle(people);
    create(&mut bench, &(1..people).collect::<Vec<_>>());
    give(&mut bench, 0, 1, Role::Admin).unwrap();
    bench.pass(HOUR);
    for device in 0..people {
        say(&mut bench, device, "together").unwrap();
    }
    bench.pass(HOUR);
    let mut other = bench.relay.clone();
    for turn in 0..turns {
        for half in [1, 0] {
            turn_to(&mut bench, &mut other, half);
            if renames {
                rename(&mut bench, half, &format!("name {turn} of {half}"));
            }
            let device = turn % (people / 2) * 2 + half;
            say(&mut bench, device, &format!("{turn} of {half}")).unwrap();
            bench.pass(STEP_HOURS as u64 * HOUR / 2);
        }
    }
    for device in [0, 1] {
        let parted =
            "SELECT count(*) FROM epoch WHERE far = 1 AND number = (SELECT min(number) FROM epoch WHERE far = 1)";
        assert_eq!(
            number(&mut bench, device, parted),
            1,
            "too few commits to show anything"
        );
    }
    for _ in 0..24 {
        // What lies on one relay comes to the other one; places stay, so cursors go on.
        let here = bench.relay.clone();
        copy(&other, &mut bench.relay);
        copy(&here, &mut other);
        for half in [1, 0] {
            turn_to(&mut bench, &mut other, half);
            bench.pass(HOUR);
        }
    }
    copy(&other, &mut bench.relay);
    for device in 0..people {
        bench.reconnect(device);
    }
    bench.pass(HOUR);
    all_agree(&mut bench, &(0..people).collect::<Vec<_>>());
    for device in 0..people {
        let here = texts(&mut bench, device);
        assert_eq!(here.len(), people + turns * 2, "{device}");
        assert_eq!(
            number(&mut bench, device, "SELECT count(*) FROM message WHERE complete = 0"),
            0
        );
    }
}

#[test]
fn two_halves_of_a_dozen_apart_for_ten_days_are_one_afterwards_epo_10() {
    apart(12, 10, false);
}

#[test]
fn two_halves_of_six_that_change_it_all_the_time_are_one_after_a_week_epo_10() {
    apart(6, 7, true);
}
