//! Relays that call things stored and do not give them.

use crate::bench::Bench;
use stonechat_core::api::Event;

const MINUTE: u64 = 60_000;

fn withheld(bench: &mut Bench, device: usize) -> u8 {
    bench.numbers(device, "SELECT withheld FROM relay")[0]
}

/// Says something every 20 minutes for so many hours.
fn talk(bench: &mut Bench, hours: u64) {
    for n in 0..3 * hours {
        bench.say(0, 1, &format!("{n}"));
        bench.pass(20 * MINUTE);
    }
}

#[test]
pub(crate) fn a_relay_that_calls_things_stored_and_gives_nothing_is_found_out_out_10() {
    let mut bench = Bench::friends();
    talk(&mut bench, 3);
    assert_eq!(withheld(&mut bench, 0), 0);
    bench.devices[0].events.clear();
    let ears = std::mem::take(&mut bench.devices[0].listening);
    talk(&mut bench, 2);
    assert_eq!(withheld(&mut bench, 0), 1);
    talk(&mut bench, 4);
    assert_eq!(withheld(&mut bench, 0), 3);
    let told = |bench: &Bench| {
        let events = bench.devices[0].events.iter();
        events.filter(|event| matches!(event, Event::StatusChanged {})).count()
    };
    assert_eq!(told(&bench), 1);
    // It gives again.
    bench.devices[0].listening = ears;
    talk(&mut bench, 2);
    assert_eq!(withheld(&mut bench, 0), 0);
    assert_eq!(told(&bench), 2);
}

#[test]
fn a_relay_that_was_only_away_is_not_suspected_out_10() {
    let mut bench = Bench::friends();
    for _ in 0..6 {
        bench.pass(20 * MINUTE);
        let ears = std::mem::take(&mut bench.devices[0].listening);
        bench.say(0, 1, "stored, and then the connection is gone");
        bench.pass(90 * MINUTE);
        // It greets first, calls something stored, and only then pushes what waits.
        bench.greet(0);
        bench.say(0, 1, "stored too");
        bench.devices[0].listening = ears;
        bench.settle();
        bench.pass(MINUTE);
        assert_eq!(withheld(&mut bench, 0), 0);
    }
}
