//! A group of more than eight in two halves that do not reach each other, until each has made more commits than epochs
//! are kept whole (EPO-10).

use crate::bench::{Bench, Relay};
use crate::groups::{all_agree, circle, create, number, say, texts};
use crate::halves::copy;

const HOUR: u64 = 3_600_000;
const PEOPLE: usize = 12;
const DAYS: usize = 10;
/// Each half writes once in so long.
const STEP_HOURS: usize = 4;

/// Those with an even number reach one relay, the others another one, by turns.
fn turn_to(bench: &mut Bench, other: &mut Relay, half: usize) {
    std::mem::swap(&mut bench.relay, other);
    (0..PEOPLE).for_each(|device| bench.devices[device].cut = true);
    for device in (0..PEOPLE).filter(|device| device % 2 == half) {
        bench.reconnect(device);
        bench.greet(device);
    }
}

#[test]
fn two_halves_of_a_dozen_apart_for_ten_days_are_one_afterwards_epo_10() {
    let mut bench = circle(PEOPLE);
    create(&mut bench, &(1..PEOPLE).collect::<Vec<_>>());
    bench.pass(HOUR);
    for device in 0..PEOPLE {
        say(&mut bench, device, "together").unwrap();
    }
    bench.pass(HOUR);
    let mut other = bench.relay.clone();
    for turn in 0..DAYS * 24 / STEP_HOURS {
        for half in [1, 0] {
            turn_to(&mut bench, &mut other, half);
            let device = turn % (PEOPLE / 2) * 2 + half;
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
    all_agree(&mut bench, &(0..PEOPLE).collect::<Vec<_>>());
    for device in 0..PEOPLE {
        let here = texts(&mut bench, device);
        assert_eq!(here.len(), PEOPLE + DAYS * 24 / STEP_HOURS * 2, "{device}");
        assert_eq!(
            number(&mut bench, device, "SELECT count(*) FROM message WHERE complete = 0"),
            0
        );
    }
}
