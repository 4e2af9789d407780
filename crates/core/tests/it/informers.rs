//! Whoever is given entrances may tell a censor: thirty days among people of whom some do.
//!
//! Real devices and what they really tell each other; the censor and its informers are the model. Messages go by the bench's
//! one relay whatever they are addressed to, so this judges who *knows* a way that lives, not what arrives by it. A host's
//! relays stand abroad, where the host is too: they are blocked for those inside, and live for the host.

use std::collections::{BTreeMap, BTreeSet};

use crate::bench::{Bench, Device, START, relay_keys};
use crate::forks::change;
use stonechat_core::Input;
use stonechat_core::api::{self, Command};
use stonechat_wire::exchange::{Errand, News};
use stonechat_wire::ids::{RelayId, Timestamp};
use stonechat_wire::route::{RelayKeys, RelayRoute};

const HOSTS: usize = 6;
const USERS: usize = 20;
/// One of ten.
const INFORMERS: usize = 2;
/// Hosts that a user knows.
const KNOWN: usize = 3;
/// Private relays of a host.
const ENTRANCES: usize = 6;
const DAYS: u64 = 30;
const DAY: u64 = 24 * 3_600_000;

struct People {
    bench: Bench,
    dice: u64,
    blocked: BTreeSet<RelayId>,
    /// Who informs: numbers of devices.
    informers: Vec<usize>,
}

/// Entrance `n` of a host.
fn keys(host: usize, n: usize) -> RelayKeys {
    let mut bytes = [9; RelayKeys::SIZE];
    (bytes[0], bytes[1]) = (u8::try_from(host).unwrap(), u8::try_from(n).unwrap());
    RelayKeys::from_bytes(bytes)
}

impl People {
    fn new(seed: u64) -> Self {
        let mut people = Self {
            bench: Bench::with(HOSTS + USERS),
            dice: seed,
            blocked: BTreeSet::new(),
            informers: vec![],
        };
        for host in 0..HOSTS {
            (0..ENTRANCES).for_each(|n| people.adds(host, n));
        }
        for user in HOSTS..HOSTS + USERS {
            people.meets(user);
        }
        while people.informers.len() < INFORMERS {
            let user = HOSTS + people.roll(USERS);
            if !people.informers.contains(&user) {
                people.informers.push(user);
            }
        }
        people
    }

    fn roll(&mut self, below: usize) -> usize {
        self.dice = self
            .dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.dice >> 33).unwrap() % below
    }

    fn adds(&mut self, host: usize, n: usize) {
        let relay = keys(host, n).id();
        let route = RelayRoute {
            address: format!("198.51.100.{n}:{}", 1000 + host),
            relay,
            secret: Some([1; 16]),
            lan: false,
        };
        let wish = api::RelayAdd {
            route: route.to_text(),
            private: true,
        };
        self.bench.ask(host, Command::RelayAdd(wish)).unwrap();
        self.greets(host, relay);
    }

    fn greets(&mut self, device: usize, relay: RelayId) {
        let time = Timestamp(self.bench.devices[device].now);
        self.news(device, News::Greeting { relay, time });
    }

    fn news(&mut self, device: usize, news: News) {
        let outputs = self.bench.devices[device].step(Input::News(news));
        self.bench.release(device, outputs);
        self.bench.settle();
    }

    /// A user is invited by some hosts.
    fn meets(&mut self, user: usize) {
        let mut hosts = BTreeSet::new();
        while hosts.len() < KNOWN {
            hosts.insert(self.roll(HOSTS));
        }
        for host in hosts {
            let invite = self.bench.invite(host, api::Who::One, api::How::Plain);
            self.bench.accept(user, &invite.link, None).unwrap();
        }
    }

    /// A day passes: hosts reach theirs, the censor blocks what it was told of the day before, informers tell what they know.
    fn day(&mut self) {
        let told: Vec<RelayId> = self
            .informers
            .iter()
            .flat_map(|user| entrances(&self.bench.devices[*user]))
            .collect();
        self.bench.pass(DAY);
        for host in 0..HOSTS {
            let n = self.roll(ENTRANCES);
            self.greets(host, keys(host, n).id());
        }
        for relay in told {
            if self.blocked.insert(relay) {
                let knows = |user: &usize| entrances(&self.bench.devices[*user]).contains(&relay);
                let who: Vec<usize> = (HOSTS..HOSTS + USERS).filter(knows).collect();
                who.into_iter().for_each(|user| self.news(user, News::Gone { relay }));
            }
        }
    }

    fn honest(&self) -> impl Iterator<Item = usize> + '_ {
        (HOSTS..HOSTS + USERS).filter(|user| !self.informers.contains(user))
    }
}

/// The relays that a device was told of, but for the one that everybody has: it is known to the censor from the first day.
fn entrances(device: &Device) -> BTreeSet<RelayId> {
    let told = device.told.iter().filter_map(|errand| match errand {
        Errand::UseRelay(route, ..) if route.relay != relay_keys().id() => Some(route.relay),
        _ => None,
    });
    told.collect()
}

#[test]
fn an_informer_costs_one_entrance_of_each_contact_and_the_others_keep_a_way_rel_5() {
    let seed = std::env::var("STONECHAT_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(START);
    println!("seed {seed}");
    let mut people = People::new(seed);
    // Renewals are of no matter here, and most of the work.
    for device in 0..HOSTS + USERS {
        change(
            &mut people.bench,
            device,
            "UPDATE conversation SET renew_at = 9000000000000",
        );
    }
    for _ in 0..DAYS {
        people.day();
    }
    // What each informer was given, by whom.
    for informer in &people.informers {
        let mut by_host: BTreeMap<usize, usize> = BTreeMap::new();
        for relay in entrances(&people.bench.devices[*informer]) {
            let host = (0..HOSTS).find(|host| (0..ENTRANCES).any(|n| keys(*host, n).id() == relay));
            *by_host.entry(host.expect("a host's")).or_default() += 1;
        }
        assert_eq!(by_host.len(), KNOWN, "each has dealt");
        assert!(by_host.values().all(|count| *count == 1), "{by_host:?}");
    }
    let alive = |user: &usize| {
        let known = entrances(&people.bench.devices[*user]);
        known.iter().any(|relay| !people.blocked.contains(relay))
    };
    let kept = people.honest().filter(alive).count();
    let honest = people.honest().count();
    println!(
        "{kept} of {honest} keep a way; {} of {} entrances are blocked",
        people.blocked.len(),
        HOSTS * ENTRANCES
    );
    assert!(!people.blocked.is_empty(), "the informers did inform");
    assert!(kept * 10 >= honest * 9, "{kept} of {honest}");
}
