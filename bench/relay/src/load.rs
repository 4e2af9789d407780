//! b1: 64 clients put 1 kB messages into 100,000 mailboxes, each acknowledged only once it is durable.
//!
//! Every client has a window of messages under way, waits for all of their acknowledgements, and goes on with the next.
//! What is sent is made before the clock runs, for ours and for peers alike; sealing (Noise) is inside the clock.

use anyhow::{Context as _, Result};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use crate::report::{Row, median};
use crate::{Scale, mqtt, nats, nostr, ours, redis};

pub(crate) const CLIENTS: usize = 64;
pub(crate) const MAILBOXES: u64 = 100_000;
pub(crate) const BODY_BYTES: usize = 1024;
/// Longest that one round goes on.
const ROUND: Duration = Duration::from_secs(8);

/// One message.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) mailbox: u32,
    pub(crate) body: Vec<u8>,
}

/// Messages as they go over the line.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) count: usize,
}

/// A client of one server.
pub(crate) trait Putter: Send {
    fn prepare(&self, work: &[Work]) -> Batch;
    /// Sends a batch and waits until all of it is acknowledged.
    fn put(&mut self, batch: &Batch) -> Result<()>;
}

/// What a round came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) per_second: f64,
    /// Time from a batch to its last acknowledgement, 99th percentile, in ms.
    pub(crate) p99_ms: f64,
    /// The same, 50th percentile.
    pub(crate) p50_ms: f64,
    pub(crate) acknowledged: usize,
}

/// A server to measure: its name, and a round on a fresh folder.
type Round = fn(&std::path::Path, usize, usize) -> Result<Outcome>;

pub(crate) fn measure(scale: Scale) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for window in [1, 64] {
        let compared = compare(scale, window)?;
        let name = |what: &str| format!("b1 {what}, {CLIENTS} clients, window {window}");
        rows.extend(compared.rows(&name("durable puts"), "1/s", |outcome| outcome.per_second));
        rows.extend(compared.rows(&name("put to ack p99"), "ms", |outcome| outcome.p99_ms));
    }
    Ok(rows)
}

/// Ours first, then the peers that are installed.
fn servers() -> Vec<(&'static str, Round)> {
    let mut servers: Vec<(&str, Round)> = vec![("ours", our_round)];
    let peers: [(&str, Round, bool); 4] = [
        ("redis appendfsync always", redis::round, redis::program().is_some()),
        ("nats R1 sync always", nats::round, nats::program().is_some()),
        ("nostr, lmdb synced", nostr::round, nostr::program().is_some()),
        ("mosquitto QoS 1 (not durable)", mqtt::round, mqtt::program().is_some()),
    ];
    for (name, round, is_here) in peers {
        if is_here {
            servers.push((name, round));
        } else {
            eprintln!("  {name} is not installed: left out");
        }
    }
    servers
}

/// What all servers came to, ours first.
pub(crate) struct Compared {
    servers: Vec<(&'static str, Round)>,
    outcomes: Vec<Vec<Outcome>>,
}

impl Compared {
    /// A row for each peer: the medians of one figure.
    pub(crate) fn rows(&self, name: &str, unit: &'static str, value: fn(&Outcome) -> f64) -> Vec<Row> {
        let of = |at: usize| median(self.outcomes.get(at).into_iter().flatten().map(value).collect());
        let row = |(at, (peer, _)): (usize, &(&str, Round))| Row {
            name: name.to_owned(),
            unit,
            ours: of(0),
            peer: (*peer).to_owned(),
            peer_value: of(at),
            runs: self.outcomes.first().map_or(0, Vec::len),
        };
        self.servers.iter().enumerate().skip(1).map(row).collect()
    }
}

/// Lets all servers do the same work in turns: peers first, then backwards and forwards.
pub(crate) fn compare(scale: Scale, window: usize) -> Result<Compared> {
    let servers = servers();
    let messages = if window == 1 {
        scale.messages / 4
    } else {
        scale.messages
    };
    let mut outcomes: Vec<Vec<Outcome>> = vec![Vec::new(); servers.len()];
    for nth in 0..scale.rounds {
        for at in turns(servers.len(), nth) {
            let (name, round) = servers.get(at).context("a server")?;
            let folder = tempfile::tempdir_in("target")?;
            let outcome = round(folder.path(), messages, window)?;
            eprintln!(
                "  window {window}, {name}: {:.0}/s, p99 {:.1} ms",
                outcome.per_second, outcome.p99_ms
            );
            outcomes.get_mut(at).context("a server")?.push(outcome);
        }
    }
    Ok(Compared { servers, outcomes })
}

/// Whose turn it is in a round: backwards, then forwards, so that ours follows ours.
pub(crate) fn turns(count: usize, nth: usize) -> Vec<usize> {
    if nth.is_multiple_of(2) {
        (0..count).rev().collect()
    } else {
        (0..count).collect()
    }
}

fn our_round(folder: &std::path::Path, messages: usize, window: usize) -> Result<Outcome> {
    let (server, route) = ours::start(folder)?;
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        clients.push(ours::Client::connect(server.address, &route, number as u64)?);
    }
    drive(clients, messages, window)
}

/// Lets all clients put at once.
pub(crate) fn drive<P: Putter + 'static>(clients: Vec<P>, messages: usize, window: usize) -> Result<Outcome> {
    let gate = Arc::new(Barrier::new(clients.len() + 1));
    let each = messages / clients.len().max(1);
    let mut threads = Vec::new();
    for (number, client) in clients.into_iter().enumerate() {
        let gate = Arc::clone(&gate);
        threads.push(thread::spawn(move || {
            one_client(client, number as u64, each, window, &gate)
        }));
    }
    gate.wait();
    let began = Instant::now();
    let (mut acknowledged, mut waits) = (0, Vec::new());
    for thread in threads {
        let (count, times) = thread.join().ok().context("a client's thread")??;
        acknowledged += count;
        waits.extend(times);
    }
    let took = began.elapsed().as_secs_f64();
    waits.sort();
    Ok(Outcome {
        per_second: acknowledged as f64 / took,
        p99_ms: percentile_ms(&waits, 99),
        p50_ms: percentile_ms(&waits, 50),
        acknowledged,
    })
}

/// Of times in order.
pub(crate) fn percentile_ms(sorted: &[Duration], percent: usize) -> f64 {
    let time = sorted.get(sorted.len() * percent / 100).copied().unwrap_or_default();
    time.as_secs_f64() * 1e3
}

fn one_client(
    mut client: impl Putter,
    number: u64,
    messages: usize,
    window: usize,
    gate: &Barrier,
) -> Result<(usize, Vec<Duration>)> {
    let work: Vec<Work> = works(number).take(messages).collect();
    let batches: Vec<Batch> = work.chunks(window).map(|work| client.prepare(work)).collect();
    drop(work);
    gate.wait();
    let began = Instant::now();
    let (mut count, mut waits) = (0, Vec::with_capacity(batches.len()));
    for batch in &batches {
        let sent = Instant::now();
        client.put(batch)?;
        waits.push(sent.elapsed());
        count += batch.count;
        if began.elapsed() > ROUND {
            break;
        }
    }
    Ok((count, waits))
}

/// Endless messages of one client: no two alike, mailboxes as the dice fall (SplitMix64).
pub(crate) fn works(client: u64) -> impl Iterator<Item = Work> {
    let mut state = client.wrapping_mul(0xd134_2543_de82_ef95) ^ 0x5eed;
    let mut next = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    std::iter::repeat_with(move || {
        let mailbox = u32::try_from(next() % MAILBOXES).unwrap_or_default();
        let body = std::iter::repeat_with(|| next().to_be_bytes())
            .flatten()
            .take(BODY_BYTES)
            .collect();
        Work { mailbox, body }
    })
}
