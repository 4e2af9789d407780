//! Two halves of a group that cannot reach each other for a week: each adds and removes members and writes. Then they meet.
//!
//! Each half has a relay of its own; both relays hold what was there before. A *pass*: every member sends what waits and
//! takes in what there is, once.

use crate::bench::{Bench, Relay};
use crate::groups::{add, all_agree, create, give, names, remove, say, texts};
use stonechat_core::api::{How, Role, Who};

const HOUR: u64 = 3_600_000;
const MINUTE: u64 = 60_000;
/// Ana owns the group, Bo is an admin; Gus knows Ana only, Hal knows Bo.
const HALVES: [&[usize]; 2] = [&[0, 2, 4, 6], &[1, 3, 5, 7]];
const STAY: [usize; 6] = [0, 1, 2, 3, 6, 7];
const PASSES: usize = 3;

pub(crate) struct Apart {
    pub(crate) bench: Bench,
    pub(crate) halves: [Vec<usize>; 2],
    /// The relay of the half that is out of reach at the moment.
    other: Relay,
    /// The half that reaches its relay.
    half: usize,
}

impl Apart {
    fn split(bench: Bench) -> Self {
        Self::between(bench, HALVES)
    }

    /// Devices of neither half reach nothing until they are given back their network.
    pub(crate) fn between(mut bench: Bench, halves: [&[usize]; 2]) -> Self {
        for (number, device) in bench.devices.iter_mut().enumerate() {
            device.cut = !halves[0].contains(&number);
        }
        let other = bench.relay.clone();
        Self {
            bench,
            halves: halves.map(<[usize]>::to_vec),
            other,
            half: 0,
        }
    }

    /// Lets a half reach its relay, and the other one nothing.
    fn turn_to(&mut self, half: usize) {
        if self.half != half {
            std::mem::swap(&mut self.bench.relay, &mut self.other);
            self.half = half;
        }
        for device in &self.halves[1 - half] {
            self.bench.devices[*device].cut = true;
        }
    }

    pub(crate) fn work(&mut self, half: usize, body: impl FnOnce(&mut Bench)) {
        self.turn_to(half);
        for device in self.halves[half].clone() {
            self.bench.reconnect(device);
        }
        body(&mut self.bench);
        self.bench.pass(HOUR);
    }

    /// One pass.
    pub(crate) fn pass(&mut self) {
        self.exchange();
        self.bench.pass(2 * MINUTE);
    }

    /// The same, in no time.
    pub(crate) fn exchange(&mut self) {
        for device in self.halves.concat() {
            self.turn_to(usize::from(self.halves[1].contains(&device)));
            self.bench.devices.iter_mut().for_each(|device| device.cut = true);
            self.replicate();
            self.bench.reconnect(device);
            self.bench.devices[device].cut = true;
        }
    }

    /// Three passes; then both halves reach one relay that has everything.
    pub(crate) fn meet(mut self) -> Bench {
        for _ in 0..PASSES {
            self.pass();
        }
        for device in self.halves.concat() {
            self.bench.reconnect(device);
        }
        self.bench.pass(MINUTE);
        self.bench
    }

    /// What one relay has and the other has not.
    fn replicate(&mut self) {
        let (here, there) = (self.bench.relay.clone(), self.other.clone());
        copy(&there, &mut self.bench.relay);
        copy(&here, &mut self.other);
    }
}

pub(crate) fn copy(from: &Relay, to: &mut Relay) {
    for (tag, envelopes) in &from.boxes {
        let there = to.boxes.entry(*tag).or_default();
        for envelope in envelopes {
            if !there.contains(envelope) {
                there.push(envelope.clone());
            }
        }
    }
}

/// Ana owns the group and knows all but Hal; Bo is an admin and knows Hal; Cy, Di, Ed and Flo are members.
pub(crate) fn group() -> Bench {
    let mut bench = Bench::with(8);
    for (inviter, taker) in [(0, 1), (0, 2), (0, 3), (0, 4), (0, 5), (0, 6), (1, 7)] {
        let invite = bench.invite(inviter, Who::One, How::Plain);
        bench.accept(taker, &invite.link, None).unwrap();
    }
    bench.pass(6_000);
    create(&mut bench, &[1, 2, 3, 4, 5]);
    give(&mut bench, 0, 1, Role::Admin).unwrap();
    bench.pass(HOUR);
    bench
}

pub(crate) fn said(bench: &mut Bench, device: usize) -> Vec<String> {
    let mut all: Vec<String> = texts(bench, device)
        .into_iter()
        .map(|text| text.trim_start_matches("> ").to_owned())
        .collect();
    all.sort();
    all
}

#[test]
pub(crate) fn two_halves_apart_for_a_week_are_one_after_three_passes_fork_7() {
    let mut apart = Apart::split(group());
    for day in 0..7 {
        apart.work(0, |bench| {
            match day {
                1 => drop(add(bench, 0, &[6]).unwrap()),
                3 => drop(remove(bench, 0, &[4]).unwrap()),
                _ => {}
            }
            say(bench, 0, &format!("Ana {day}")).unwrap();
            say(bench, 2, &format!("Cy {day}")).unwrap();
        });
        apart.work(1, |bench| {
            match day {
                2 => drop(add(bench, 1, &[7]).unwrap()),
                4 => drop(remove(bench, 1, &[5]).unwrap()),
                _ => {}
            }
            say(bench, 1, &format!("Bo {day}")).unwrap();
            say(bench, 3, &format!("Di {day}")).unwrap();
        });
        apart.bench.pass(22 * HOUR);
    }
    assert_ne!(names(&mut apart.bench, 0), names(&mut apart.bench, 1));
    for _ in 0..PASSES {
        apart.pass();
    }
    let bench = &mut apart.bench;
    all_agree(bench, &STAY);
    let mut named = names(bench, 0);
    named.sort();
    assert_eq!(named, ["Ana", "Bo", "Cy", "Di", "Gus", "Hal"]);
    let everything = said(bench, 0);
    assert_eq!(everything.len(), 4 * 7);
    assert!(!everything.iter().any(|text| text.starts_with('!')), "{everything:?}");
    for device in [1, 2, 3] {
        assert_eq!(said(bench, device), everything, "{device}");
    }
    // Who came meanwhile has what was written in its own half from then on.
    for (device, from, writers) in [(6, 2, ["Ana", "Cy"]), (7, 3, ["Bo", "Di"])] {
        let there = said(bench, device);
        for (writer, day) in writers
            .iter()
            .flat_map(|writer| (from..7).map(move |day| (writer, day)))
        {
            assert!(
                there.contains(&format!("{writer} {day}")),
                "{device}: {writer} {day} in {there:?}"
            );
        }
    }
}

/// Both halves add the same one, who is in reach of the first. Out: the bench, when they have met.
fn added_on_both_sides(half_that_comes_last: usize) -> Bench {
    let mut bench = group();
    let invite = bench.invite(1, Who::One, How::Plain);
    bench.accept(6, &invite.link, None).unwrap();
    bench.pass(HOUR);
    let mut apart = Apart::split(bench);
    for half in [1 - half_that_comes_last, half_that_comes_last] {
        let adder = half;
        apart.work(half, |bench| {
            add(bench, adder, &[6]).unwrap();
            say(bench, adder, &format!("half {half}")).unwrap();
        });
    }
    apart.meet()
}

/// A newcomer who took the later Welcome for its beginning, whichever that was, stood apart for ever where that one lost:
/// what it wrote was read by whom the others removed meanwhile.
#[test]
pub(crate) fn who_is_added_on_both_sides_stands_where_the_others_are_fork_9() {
    for last in [0, 1] {
        let mut bench = added_on_both_sides(last);
        all_agree(&mut bench, &[0, 1, 2, 3, 6]);
        remove(&mut bench, 0, &[2]).unwrap();
        bench.pass(MINUTE);
        all_agree(&mut bench, &[0, 1, 3, 6]);
        say(&mut bench, 6, "not for Cy").unwrap();
        bench.pass(MINUTE);
        assert!(said(&mut bench, 3).contains(&"not for Cy".into()), "{last}");
        assert!(
            !said(&mut bench, 2).iter().any(|text| text.contains("not for Cy")),
            "{last}"
        );
    }
}
