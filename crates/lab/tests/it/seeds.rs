//! Runs seeds on two threads, adds up what went wrong on purpose, and names every seed that broke a promise.
//!
//! `STONECHAT_SEEDS` or `STONECHAT_MINUTES` says how many. Where `STONECHAT_LEDGER` names a ledger, those are tried that
//! no line of it has, and a line is added.

use crate::ledger;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use stonechat_lab::world::faults::Totals;
use stonechat_lab::world::{self, Outcome, Planted};

/// Worlds in `./test`.
const SEEDS: u64 = 2_000;
/// Every kind of fault happens at least so often in them.
const EACH_FAULT_MIN: u64 = 500;
/// Seeds run at once.
const THREADS: usize = 2;
/// OpenMLS recurses deeply while it decodes.
pub(crate) const STACK_BYTES: usize = 8 << 20;

#[derive(Default)]
pub(crate) struct Sum {
    pub(crate) worlds: u64,
    pub(crate) texts: usize,
    pub(crate) touches: usize,
    pub(crate) steps: u64,
    forks: usize,
    photos: usize,
    notes: usize,
    kins: usize,
    parted: usize,
    pub(crate) totals: Totals,
    pub(crate) broken: Vec<(u64, Vec<String>)>,
    pub(crate) healed_ms_max: u64,
    pub(crate) lasted_ms: u64,
}

impl Sum {
    fn add(&mut self, outcome: Outcome) {
        self.worlds += 1;
        self.texts += outcome.texts;
        self.touches += outcome.touches;
        self.steps += outcome.steps;
        self.forks += outcome.forks;
        self.photos += outcome.photos;
        self.notes += outcome.notes;
        self.kins += outcome.kins;
        self.parted += outcome.parted;
        self.totals.merge(&outcome.totals);
        self.lasted_ms += outcome.lasted_ms;
        self.healed_ms_max = self.healed_ms_max.max(outcome.healed_ms);
        if !outcome.broken.is_empty() {
            self.broken.push((outcome.seed, outcome.broken));
        }
    }

    fn say(&self, kind: &Kind, took: Duration) {
        println!(
            "{} {}, {} texts, {} things done to them, {} steps in {took:?}",
            self.worlds, kind.name, self.texts, self.touches, self.steps
        );
        println!(
            "{} simulated hours, {} broke a promise",
            self.hours(),
            self.broken.len()
        );
        println!(
            "{} photos and {} voice notes whole, {} other devices of a person, {} devices taken away or lost",
            self.photos, self.notes, self.kins, self.parted
        );
        println!(
            "{} forks ended on one branch, {} crashes, failed commits and full disks of devices",
            self.forks,
            self.totals.crashes()
        );
        println!("slowest healing: {} h\n{}", self.healed_ms_max / 3_600_000, self.totals);
        for (seed, broken) in &self.broken {
            println!(
                "seed {seed}: replay with {}={seed} cargo test -p stonechat-lab {} -- --nocapture",
                kind.replay, kind.test
            );
            broken.iter().take(8).for_each(|what| println!("    {what}"));
        }
    }

    pub(crate) const fn hours(&self) -> u64 {
        self.lasted_ms / 3_600_000
    }
}

/// A kind of world, and how one of it is run again.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) test: &'static str,
    /// The variable that names one seed.
    pub(crate) replay: &'static str,
    pub(crate) run: fn(u64, bool) -> Outcome,
}

pub(crate) fn one(seed: u64, planted: Option<Planted>, loud: bool) -> Outcome {
    in_a_big_stack(move || world::run(seed, planted, loud))
}

/// On a thread with room for OpenMLS.
pub(crate) fn in_a_big_stack(world: impl FnOnce() -> Outcome + Send + 'static) -> Outcome {
    std::thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(world)
        .unwrap()
        .join()
        .unwrap()
}

pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Seeds from `first` on, `count` of them or until the time is over. None of them may break a promise.
pub(crate) fn many(kind: &Kind, count: u64) -> Sum {
    let time = number("STONECHAT_MINUTES").map(|minutes| Duration::from_secs(60 * minutes));
    let (began, first) = (Instant::now(), ledger::first_untried(kind.name));
    let (next, sum) = (AtomicU64::new(first), Mutex::new(Sum::default()));
    let work = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        let over = time.map_or(seed >= first + count, |time| began.elapsed() > time);
        if over {
            return;
        }
        match std::panic::catch_unwind(|| (kind.run)(seed, false)) {
            Ok(outcome) => sum.lock().unwrap().add(outcome),
            Err(_) => sum.lock().unwrap().broken.push((seed, vec!["panicked".into()])),
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            std::thread::Builder::new()
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, work)
                .unwrap();
        }
    });
    let sum = sum.into_inner().unwrap();
    sum.say(kind, began.elapsed());
    ledger::add(kind.name, first, &sum);
    let broken: Vec<u64> = sum.broken.iter().map(|(seed, _)| *seed).collect();
    assert!(broken.is_empty(), "{} that broke a promise: {broken:?}", kind.name);
    sum
}

/// One seed, loud. None of its promises may break.
pub(crate) fn again(kind: &Kind, seed: u64) {
    let run = kind.run;
    let outcome = in_a_big_stack(move || run(seed, true));
    outcome.lines.iter().for_each(|line| println!("{line}"));
    println!(
        "{}\nsteps {}, trace {:02x?}",
        outcome.totals,
        outcome.steps,
        &outcome.trace[..8]
    );
    assert_eq!(outcome.broken, [] as [String; 0]);
}

const FEW: Kind = Kind {
    name: "worlds",
    test: "every_seed",
    replay: "STONECHAT_SEED",
    run: |seed, loud| world::run(seed, None, loud),
};

#[test]
fn every_seed_keeps_every_promise() {
    if let Some(seed) = number(FEW.replay) {
        return again(&FEW, seed);
    }
    let count = number("STONECHAT_SEEDS").unwrap_or(SEEDS);
    let sum = many(&FEW, count);
    if count >= SEEDS {
        let rare = sum.totals.below(EACH_FAULT_MIN);
        assert!(rare.is_empty(), "faults that hardly happened: {rare:?}");
        assert!(sum.touches > 3 * SEEDS as usize, "hardly anything was done to texts");
    }
}
