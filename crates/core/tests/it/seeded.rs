//! Same seed, same bytes on the wire; and clocks that are wrong.

use crate::bench::{Bench, START};
use stonechat_core::Input;
use stonechat_core::api::{AcceptanceState, How, Who};
use stonechat_wire::exchange::News;
use stonechat_wire::ids::Timestamp;

fn everything_sent() -> Vec<Vec<u8>> {
    let mut bench = Bench::with(2);
    let invite = bench.invite(0, Who::One, How::Spoken);
    bench.accept(1, &invite.link, invite.spoken_words.as_deref()).unwrap();
    bench.say(0, 1, "the same");
    bench.pass(6_000);
    bench
        .devices
        .iter()
        .flat_map(|device| device.sent.iter().map(|parcel| parcel.envelope.bytes().to_vec()))
        .collect()
}

#[test]
fn the_same_dice_put_the_same_bytes_on_the_wire_mls_1() {
    let (one, other) = (everything_sent(), everything_sent());
    assert!(!one.is_empty());
    assert_eq!(one, other);
}

#[test]
fn a_claim_is_taken_in_whatever_the_clock_says_mls_3() {
    for (ana, bo) in [(0, START), (START, 0), (START, START + 120 * 24 * 3_600_000)] {
        let mut bench = Bench::with(2);
        (bench.devices[0].now, bench.devices[1].now) = (START, START);
        let invite = bench.invite(0, Who::One, How::Plain);
        // The relay tells the right time; the slot clock follows it, whatever the device believes.
        for (device, now) in [(0, ana), (1, bo)] {
            bench.devices[device].now = now;
            let relay = crate::bench::relay_keys().id();
            let outputs = bench.devices[device].step(Input::News(News::Greeting {
                relay,
                time: Timestamp(START),
            }));
            bench.release(device, outputs);
        }
        bench.settle();
        bench.accept(1, &invite.link, None).unwrap();
        assert_eq!(bench.acceptance(1).state, AcceptanceState::Accepted);
        bench.say(1, 1, "hello");
        assert_eq!(bench.texts(0), ["hello"]);
    }
}

#[test]
fn a_clock_that_is_off_reads_and_writes_the_right_week_mbx_7() {
    let mut bench = Bench::friends();
    bench.devices[1].now += 400 * 24 * 3_600_000;
    let relay = crate::bench::relay_keys().id();
    let outputs = bench.devices[1].step(Input::News(News::Greeting {
        relay,
        time: Timestamp(START),
    }));
    bench.release(1, outputs);
    bench.settle();
    bench.say(1, 1, "from the future");
    bench.say(0, 1, "from today");
    assert_eq!(bench.texts(0), ["from the future", "> from today"]);
    assert_eq!(bench.texts(1).len(), 2);
    assert!(bench.devices[1].events.iter().any(|event| {
        matches!(event, stonechat_core::api::Event::ClockOff { offset_ms } if *offset_ms < -390 * 24 * 3_600_000)
    }));
}
