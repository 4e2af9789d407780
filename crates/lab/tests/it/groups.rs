//! Worlds of one group: churn, partitions, crashes.

use crate::seeds::{STACK_BYTES, number};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use stonechat_lab::world::World;
use stonechat_lab::world::plan::Plan;

/// Worlds in `./test`.
const SEEDS: u64 = 100;
const THREADS: usize = 2;

fn people(seed: u64) -> usize {
    match seed % 20 {
        0..14 => 3 + usize::try_from(seed % 3).unwrap(),
        14..19 => 6 + usize::try_from(seed % 3).unwrap(),
        _ => 12,
    }
}

fn one(seed: u64, loud: bool) -> stonechat_lab::world::Outcome {
    World::new(Plan::of_group(seed, people(seed)), seed, None, loud).run()
}

#[test]
fn every_group_ends_as_one() {
    if let Some(seed) = number("STONECHAT_GROUP_SEED") {
        let run = move || one(seed, true);
        let outcome = std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn(run)
            .unwrap()
            .join()
            .unwrap();
        outcome.lines.iter().for_each(|line| println!("{line}"));
        assert_eq!(outcome.broken, [] as [String; 0]);
        return;
    }
    let count = number("STONECHAT_GROUP_SEEDS").unwrap_or(SEEDS);
    let (next, broken) = (AtomicU64::new(1), Mutex::new(Vec::new()));
    let (texts, steps, lasted_ms) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let work = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed > count {
            return;
        }
        match std::panic::catch_unwind(|| one(seed, false)) {
            Ok(outcome) => {
                texts.fetch_add(outcome.texts as u64, Ordering::Relaxed);
                steps.fetch_add(outcome.steps, Ordering::Relaxed);
                lasted_ms.fetch_add(outcome.lasted_ms, Ordering::Relaxed);
                if !outcome.broken.is_empty() {
                    broken.lock().unwrap().push((seed, outcome.broken));
                }
            }
            Err(_) => broken.lock().unwrap().push((seed, vec!["panicked".into()])),
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
    let broken = broken.into_inner().unwrap();
    println!(
        "{count} groups, {texts:?} texts, {steps:?} steps, {} broken",
        broken.len()
    );
    println!("{} simulated hours", lasted_ms.into_inner() / 3_600_000);
    for (seed, what) in &broken {
        println!(
            "seed {seed}: replay with STONECHAT_GROUP_SEED={seed} cargo test -p stonechat-lab every_group -- --nocapture"
        );
        what.iter().take(6).for_each(|what| println!("    {what}"));
    }
    let broken: Vec<u64> = broken.iter().map(|(seed, _)| *seed).collect();
    assert!(broken.is_empty(), "of {count} groups these broke a promise: {broken:?}");
}
