//! b3: 1 kB to 1,000 live readers of one mailbox. Ours is kept and synced before it is passed on; the peers keep nothing.
//!
//! A writer has eight messages under way and goes on when every reader has them all.

use anyhow::{Context as _, Result};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use crate::live::{Read, Set, mosquitto, nats_core, ours, redis_channel};
use crate::load::{Work, percentile_ms, turns, works};
use crate::report::{Row, median};
use crate::{Scale, mqtt, nats, redis};

const READERS: usize = 1000;
const WINDOW: usize = 8;
const STEPS: usize = 25;
/// Stack of a reader's thread.
const STACK: usize = 256 << 10;

pub(crate) fn measure(scale: Scale) -> Result<Vec<Row>> {
    let all: [(&str, Set, bool); 4] = [
        ("ours", ours, true),
        ("nats core (keeps nothing)", nats_core, nats::program().is_some()),
        ("mosquitto QoS 0 (keeps nothing)", mosquitto, mqtt::program().is_some()),
        (
            "redis PUBLISH (keeps nothing)",
            redis_channel,
            redis::program().is_some(),
        ),
    ];
    let servers: Vec<(&str, Set)> = all
        .into_iter()
        .filter(|(.., here)| *here)
        .map(|(name, set, _)| (name, set))
        .collect();
    let mut rates = vec![Vec::new(); servers.len()];
    let mut waits = vec![Vec::new(); servers.len()];
    for nth in 0..scale.rounds {
        for at in turns(servers.len(), nth) {
            let (name, set) = servers.get(at).context("a server")?;
            let (rate, p99) = round(*set)?;
            eprintln!("  {name}: {rate:.0}/s, p99 {p99:.1} ms");
            rates.get_mut(at).context("a server")?.push(rate);
            waits.get_mut(at).context("a server")?.push(p99);
        }
    }
    let of = |values: &[Vec<f64>], at: usize| median(values.get(at).cloned().unwrap_or_default());
    let mut rows = Vec::new();
    for (at, (peer, _)) in servers.iter().enumerate().skip(1) {
        for (what, unit, values) in [("delivered", "1/s", &rates), ("put to reader p99", "ms", &waits)] {
            rows.push(Row {
                name: format!("b3 {what}, {READERS} readers of a mailbox"),
                unit,
                ours: of(values, 0),
                peer: (*peer).to_owned(),
                peer_value: of(values, at),
                runs: scale.rounds,
            });
        }
    }
    Ok(rows)
}

/// Delivered a second, and the 99th percentile of the time to a reader.
fn round(set: Set) -> Result<(f64, f64)> {
    let folder = tempfile::tempdir_in("target")?;
    let mut scene = set(folder.path(), 1, READERS)?;
    let mut writer = scene.writers.pop().context("a writer")?;
    let sent = Arc::new(RwLock::new(Instant::now()));
    let (tell, told) = channel();
    for read in scene.readers {
        let (tell, sent) = (tell.clone(), Arc::clone(&sent));
        thread::Builder::new()
            .stack_size(STACK)
            .spawn(move || one_reader(read, &sent, &tell))?;
    }
    drop(tell);
    let work: Vec<Work> = works(3)
        .take(STEPS * WINDOW)
        .map(|work| Work { mailbox: 0, ..work })
        .collect();
    let (began, mut waits) = (Instant::now(), Vec::new());
    for step in work.chunks(WINDOW) {
        *sent.write().ok().context("the clock")? = Instant::now();
        writer(step)?;
        gather(&told, &mut waits)?;
    }
    let rate = waits.len() as f64 / began.elapsed().as_secs_f64();
    waits.sort();
    Ok((rate, percentile_ms(&waits, 99)))
}

/// Reads until the server ends; says after each step how long each message took.
fn one_reader(mut read: Read, sent: &RwLock<Instant>, tell: &Sender<[Duration; WINDOW]>) {
    loop {
        let mut took = [Duration::ZERO; WINDOW];
        for one in &mut took {
            let (Ok(()), Ok(sent)) = (read(), sent.read()) else {
                return;
            };
            *one = sent.elapsed();
        }
        if tell.send(took).is_err() {
            return;
        }
    }
}

/// Waits until each reader has all of a step.
fn gather(told: &Receiver<[Duration; WINDOW]>, waits: &mut Vec<Duration>) -> Result<()> {
    for _ in 0..READERS {
        waits.extend(
            told.recv_timeout(Duration::from_secs(60))
                .context("a reader is silent")?,
        );
    }
    Ok(())
}
