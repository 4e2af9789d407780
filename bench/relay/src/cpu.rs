//! b10: time of a processor that a server takes for a message that is put, synced and delivered to a live reader, at a
//! fixed pace. Clients' time is not counted.

use anyhow::{Context as _, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::live::{Put, Read, Set, nats_kept, ours, redis_kept};
use crate::load::{Work, turns, works};
use crate::report::{Row, median};
use crate::{Scale, nats, redis};

/// Mailboxes, each with a writer and a reader.
const PAIRS: u32 = 32;
/// Messages a second of all writers together.
const PACE: u32 = 10_000;
const PHASE: Duration = Duration::from_secs(5);

/// What a round came to.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    us_each: f64,
    per_second: f64,
}

pub(crate) fn measure(scale: Scale) -> Result<Vec<Row>> {
    let all: [(&str, Set, bool); 3] = [
        ("ours", ours, true),
        ("redis XADD synced, and PUBLISH", redis_kept, redis::program().is_some()),
        ("nats R1 sync always", nats_kept, nats::program().is_some()),
    ];
    let servers: Vec<(&str, Set)> = all
        .into_iter()
        .filter(|(.., here)| *here)
        .map(|(name, set, _)| (name, set))
        .collect();
    let mut outcomes = vec![Vec::new(); servers.len()];
    for nth in 0..scale.rounds {
        for at in turns(servers.len(), nth) {
            let (name, set) = servers.get(at).context("a server")?;
            let outcome = round(*set)?;
            eprintln!(
                "  {name}: {:.1} µs each at {:.0}/s",
                outcome.us_each, outcome.per_second
            );
            outcomes.get_mut(at).context("a server")?.push(outcome);
        }
    }
    let of =
        |at: usize, value: fn(&Outcome) -> f64| median(outcomes.get(at).into_iter().flatten().map(value).collect());
    let mut rows = Vec::new();
    for (at, (peer, _)) in servers.iter().enumerate().skip(1) {
        let row = |what: &str, unit, value: fn(&Outcome) -> f64| Row {
            name: format!("b10 {what}, {PACE}/s asked for"),
            unit,
            ours: of(0, value),
            peer: (*peer).to_owned(),
            peer_value: of(at, value),
            runs: scale.rounds,
        };
        rows.push(row("server's time of a put and delivery", "µs", |outcome| {
            outcome.us_each
        }));
        rows.push(row("pace that was kept", "1/s", |outcome| outcome.per_second));
    }
    Ok(rows)
}

fn round(set: Set) -> Result<Outcome> {
    let folder = tempfile::tempdir_in("target")?;
    let scene = set(folder.path(), PAIRS, 1)?;
    let delivered = Arc::new(AtomicUsize::new(0));
    for mut read in scene.readers {
        let delivered = Arc::clone(&delivered);
        thread::spawn(move || count(&mut read, &delivered));
    }
    let (before, began) = (scene.server.cpu()?, Instant::now());
    let writers: Vec<_> = (0..PAIRS)
        .zip(scene.writers)
        .map(|(mailbox, put)| thread::spawn(move || write(put, mailbox)))
        .collect();
    for writer in writers {
        writer.join().ok().context("a writer")??;
    }
    let took = began.elapsed();
    let count = delivered.load(Ordering::Relaxed).max(1) as f64;
    Ok(Outcome {
        us_each: (scene.server.cpu()? - before).as_secs_f64() * 1e6 / count,
        per_second: count / took.as_secs_f64(),
    })
}

/// Counts what arrives until the server ends.
fn count(read: &mut Read, delivered: &AtomicUsize) {
    while read().is_ok() {
        delivered.fetch_add(1, Ordering::Relaxed);
    }
}

/// One message at a time, at its part of the pace, or as fast as they are acknowledged.
fn write(mut put: Put, mailbox: u32) -> Result<()> {
    let began = Instant::now();
    for (nth, work) in (0..).zip(works(u64::from(mailbox))) {
        let due = Duration::from_secs(1) * PAIRS * nth / PACE;
        if due > PHASE || began.elapsed() > PHASE {
            break;
        }
        thread::sleep(due.saturating_sub(began.elapsed()));
        put(&[Work { mailbox, ..work }])?;
    }
    Ok(())
}
