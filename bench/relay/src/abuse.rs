//! What those who behave notice of those who do not: malformed frames, slow heads, giant batches, floods of
//! subscriptions, all at once, from the same machine.

use anyhow::{Context as _, Result, ensure};
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use stonechat_wire::frame::ToRelay;
use stonechat_wire::route::RelayRoute;

use crate::load::{Putter as _, Work, works};
use crate::report::Row;
use crate::{Scale, ours};

const GOOD: u64 = 8;
const PHASE: Duration = Duration::from_secs(6);
/// Malformed frames that have to be sent, each on a connection of its own.
const MALFORMED_MIN: u64 = 500;

/// What the abusers share.
struct Abuse {
    address: SocketAddr,
    route: RelayRoute,
    over: AtomicBool,
    malformed: AtomicU64,
}

pub(crate) fn measure(_: Scale) -> Result<Vec<Row>> {
    let folder = tempfile::tempdir_in("target")?;
    let (server, route) = ours::start(folder.path())?;
    let calm = p99_of_the_good(server.address, &route, 0)?;
    let before = server.resident_bytes()?;
    let abuse = Arc::new(Abuse {
        address: server.address,
        route: route.clone(),
        over: AtomicBool::new(false),
        malformed: AtomicU64::new(0),
    });
    let abusers: [fn(&Abuse); 4] = [send_rubbish, drip, put_giants, flood_with_subscriptions];
    let threads: Vec<_> = abusers
        .into_iter()
        .map(|abuser| {
            let abuse = Arc::clone(&abuse);
            thread::spawn(move || abuser(&abuse))
        })
        .collect();
    let abused = p99_of_the_good(server.address, &route, 100)?;
    let during = server.resident_bytes()?;
    abuse.over.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().ok().context("an abuser")?;
    }
    let malformed = abuse.malformed.load(Ordering::Relaxed);
    ensure!(malformed >= MALFORMED_MIN, "only {malformed} malformed frames");
    let row = |name: String, unit, ours, peer: &str, peer_value| Row {
        name,
        unit,
        ours,
        peer: peer.to_owned(),
        peer_value,
        runs: 1,
    };
    let name = format!("put to ack p99 beside {malformed} malformed frames, slow heads, giants, floods");
    Ok(vec![
        row(name, "ms", abused, "the same without them; goal: less than twice", calm),
        row(
            "memory under abuse".into(),
            "MiB",
            during / 1048576.0,
            "before",
            before / 1048576.0,
        ),
    ])
}

fn p99_of_the_good(address: SocketAddr, route: &RelayRoute, first: u64) -> Result<f64> {
    let threads: Vec<_> = (0..GOOD)
        .map(|nth| {
            let route = route.clone();
            thread::spawn(move || put_one_by_one(address, &route, first + nth))
        })
        .collect();
    let mut waits = Vec::new();
    for thread in threads {
        waits.extend(thread.join().ok().context("a client")??);
    }
    waits.sort();
    let p99 = waits.get(waits.len() * 99 / 100).context("no puts")?;
    Ok(p99.as_secs_f64() * 1e3)
}

fn put_one_by_one(address: SocketAddr, route: &RelayRoute, number: u64) -> Result<Vec<Duration>> {
    let mut client = ours::Client::connect(address, route, 5_000 + number)?;
    let (began, mut waits) = (Instant::now(), Vec::new());
    for work in works(9_000 + number) {
        if began.elapsed() > PHASE {
            break;
        }
        let batch = client.prepare(&[work]);
        let sent = Instant::now();
        client.put(&batch)?;
        waits.push(sent.elapsed());
        thread::sleep(Duration::from_millis(2));
    }
    Ok(waits)
}

/// Greets, and then says what no frame is; again and again.
fn send_rubbish(abuse: &Abuse) {
    let rubbish: [&[u8]; 5] = [
        &[1, 0, 0, 0, 9, 1],
        &[2, 0],
        &[2, 0xff, 0xff, 0xff, 0xff],
        &[2, 0, 0, 0, 6, 0, 0, 0, 1, 0xff, 0xff],
        &[3, 0, 0, 0, 2, 0xff, 0xff],
    ];
    let mut number = 20_000;
    while !abuse.over.load(Ordering::Relaxed) {
        for bytes in rubbish {
            number += 1;
            if let Ok(mut client) = ours::Client::connect(abuse.address, &abuse.route, number)
                && client.say_bytes(bytes).is_ok()
                && client.hear().is_err()
            {
                abuse.malformed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Many connections that send one byte of a head now and then.
fn drip(abuse: &Abuse) {
    let mut streams: Vec<TcpStream> = Vec::new();
    while !abuse.over.load(Ordering::Relaxed) {
        if streams.len() < 300 {
            streams.extend(TcpStream::connect(abuse.address));
        }
        streams.retain_mut(|stream| stream.write_all(b"G").is_ok());
        thread::sleep(Duration::from_millis(20));
    }
}

/// As many envelopes in one put as fit, without waiting for an answer.
fn put_giants(abuse: &Abuse) {
    let mut works = works(77);
    while !abuse.over.load(Ordering::Relaxed) {
        let Ok(mut client) = ours::Client::connect(abuse.address, &abuse.route, 30_000) else {
            continue;
        };
        for _ in 0..20 {
            let some: Vec<Work> = works.by_ref().take(900).collect();
            if client.put(&client.prepare(&some)).is_err() {
                break;
            }
        }
    }
}

/// All the mailboxes that one connection may read, dropped and read again.
fn flood_with_subscriptions(abuse: &Abuse) {
    let Ok(mut client) = ours::Client::connect(abuse.address, &abuse.route, 40_000) else {
        return;
    };
    let mut first = 0;
    while !abuse.over.load(Ordering::Relaxed) {
        let add = (first..first + 1024)
            .map(|mailbox| (ours::token(mailbox).tag(), 0))
            .collect();
        first = (first + 1024) % 200_000;
        if client.say(&ToRelay::Subscribe { add, drop: vec![] }).is_err() {
            return;
        }
        thread::sleep(Duration::from_millis(2));
    }
}
