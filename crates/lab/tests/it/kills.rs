//! Connections that die at any moment: 950 of the thousand kills; the others are the lab's, with real programs
//! (`cargo xtask lab kills`).

use stonechat_lab::kills::{Death, NEXT_MS_MAX, Plan, Planted, Report, run};

use crate::seeds::number;

/// Kills of one world.
const KILLS: usize = 50;
/// Worlds.
const SEEDS: u64 = 19;

fn one(seed: u64, loud: bool) -> (Plan, Report) {
    let plan = Plan::of(seed, KILLS);
    (plan, run(seed, plan, None, loud))
}

/// Two threads: worlds are independent.
fn all(seeds: impl Iterator<Item = u64>) -> Vec<(Plan, Report)> {
    let seeds: Vec<u64> = seeds.collect();
    let halves = seeds.chunks(seeds.len().div_ceil(2)).map(<[u64]>::to_vec);
    let threads: Vec<_> = halves
        .map(|half| std::thread::spawn(move || half.into_iter().map(|seed| one(seed, false)).collect::<Vec<_>>()))
        .collect();
    threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
}

/// `STONECHAT_KILL_SEED` shows one world line by line; `STONECHAT_KILL_SEEDS` says how many.
// proves: SES-3, SES-6, TRK-4, TRK-7, RLY-25, RLY-36
#[test]
fn kills_at_any_moment_lose_and_double_nothing_ses_3() {
    if let Some(seed) = number("STONECHAT_KILL_SEED") {
        let (plan, report) = one(seed, true);
        report.lines.iter().for_each(|line| println!("{line}"));
        println!("{plan:?}");
        return assert!(report.broken.is_empty(), "{:#?}", report.broken);
    }
    let seeds = number("STONECHAT_KILL_SEEDS").unwrap_or(SEEDS);
    let reports = all(1..=seeds);
    let mut broken = Vec::new();
    for (plan, report) in &reports {
        println!(
            "seed {} ({plan:?}): {:?}, {} half-way, {} ways shut, {} froze, {} texts, {} sessions began and went on {} times, \
             next after {} ms, unnoticed {} ms",
            report.seed,
            report.kills,
            report.mid_message,
            report.shut,
            report.frozen,
            report.texts,
            report.began,
            report.went_on,
            report.after_told_ms,
            report.after_silent_ms
        );
        if !report.broken.is_empty() {
            broken.push(format!("STONECHAT_KILL_SEED={}: {:#?}", report.seed, report.broken));
        }
        if plan.is_told && report.after_told_ms > NEXT_MS_MAX {
            broken.push(format!(
                "STONECHAT_KILL_SEED={}: next after {} ms",
                report.seed, report.after_told_ms
            ));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    let sum = |of: &dyn Fn(&Report) -> usize| reports.iter().map(|(_, report)| of(report)).sum::<usize>();
    let kills = sum(&|report| report.kills.values().sum());
    let told = reports.iter().filter(|(plan, _)| plan.is_told);
    let measured: usize = told.map(|(_, report)| report.measured).sum();
    println!("{measured} kills after which the next text was to come within {NEXT_MS_MAX} ms");
    assert!(measured * 5 >= kills, "{measured} of {kills}");
    println!(
        "{kills} kills, {} half-way through a message, {} texts",
        sum(&|r| r.mid_message),
        sum(&|r| r.texts)
    );
    assert_eq!(kills, KILLS * reports.len());
    for death in [
        Death::Reset,
        Death::ClientTold,
        Death::RelayTold,
        Death::Silent,
        Death::SilentUp,
        Death::SilentDown,
    ] {
        let died = sum(&|report| report.kills.get(&death).copied().unwrap_or_default());
        assert!(died * 14 >= kills, "{death:?}: {died}");
    }
    assert!(
        sum(&|report| report.mid_message) * 4 >= kills,
        "kills in the middle of messages"
    );
    assert!(sum(&|report| report.went_on) * 4 >= kills, "sessions that go on");
}

#[test]
fn one_seed_of_kills_has_one_trace() {
    for seed in [2, 7] {
        assert_eq!(one(seed, false).1.trace, one(seed, false).1.trace);
    }
    assert_ne!(one(2, false).1.trace, one(7, false).1.trace);
}

#[test]
fn kills_find_planted_bugs() {
    for (planted, word) in [
        (Planted::ForgetsOnBoarding, "a gap in the stream"),
        (Planted::ForgetsCursors, " 0 lost, "),
        (Planted::TakesLostForStored, " 0 doubled"),
    ] {
        let found = (1..=6).any(|seed| {
            let report = run(seed, Plan::of(seed, KILLS), Some(planted), false);
            report.broken.iter().any(|broken| broken.contains(word))
        });
        assert!(found, "{planted:?}");
    }
}
