//! b8: kill -9 under load, again and again. Every message that was acknowledged has to be there, byte for byte.

use anyhow::{Context as _, Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;
use stonechat_wire::ids::EnvelopeId;

use crate::load::{Putter as _, Work, works};
use crate::report::Row;
use crate::{Scale, ours};

const KILLS: u64 = 20;
const WRITERS: u64 = 16;
const WINDOW: usize = 16;

pub(crate) fn measure(_: Scale) -> Result<Vec<Row>> {
    let folder = tempfile::tempdir_in("target")?;
    let mut acknowledged: BTreeMap<u32, BTreeSet<EnvelopeId>> = BTreeMap::new();
    let mut slowest_start = Duration::ZERO;
    for round in 0..KILLS {
        let (server, route) = ours::start(folder.path())?;
        slowest_start = slowest_start.max(server.ready);
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (address, route) = (server.address, route.clone());
                thread::spawn(move || put_until_it_dies(address, &route, round * WRITERS + writer))
            })
            .collect();
        thread::sleep(Duration::from_millis(150 + round * 37 % 400));
        drop(server);
        for writer in writers {
            for (mailbox, id) in writer.join().ok().context("a writer")? {
                acknowledged.entry(mailbox).or_default().insert(id);
            }
        }
    }
    let count: usize = acknowledged.values().map(BTreeSet::len).sum();
    let lost = lost(folder.path(), &acknowledged)?;
    ensure!(count > 1000, "only {count} were acknowledged: that proves nothing");
    eprintln!("  {KILLS} kills, {count} acknowledged, {lost} lost");
    let row = |name: String, unit, ours: f64, peer_value: f64| Row {
        name,
        unit,
        ours,
        peer: "goal".to_owned(),
        peer_value,
        runs: KILLS as usize,
    };
    Ok(vec![
        row(
            format!("b8 lost of {count} acknowledged in {KILLS} kills"),
            "",
            lost as f64,
            0.0,
        ),
        row(
            "b8 slowest start after a kill".to_owned(),
            "s",
            slowest_start.as_secs_f64(),
            1.0,
        ),
    ])
}

fn put_until_it_dies(
    address: std::net::SocketAddr,
    route: &stonechat_wire::route::RelayRoute,
    number: u64,
) -> Vec<(u32, EnvelopeId)> {
    let Ok(mut client) = ours::Client::connect(address, route, number) else {
        return Vec::new();
    };
    let mut acknowledged = Vec::new();
    let mut works = works(1_000_000 + number);
    loop {
        let some: Vec<Work> = works.by_ref().take(WINDOW).collect();
        if client.put(&client.prepare(&some)).is_err() {
            return acknowledged;
        }
        acknowledged.extend(some.iter().map(|work| (work.mailbox, ours::id(work))));
    }
}

/// How many of the acknowledged are not there after the last start.
fn lost(folder: &std::path::Path, acknowledged: &BTreeMap<u32, BTreeSet<EnvelopeId>>) -> Result<usize> {
    let (server, route) = ours::start(folder)?;
    let mut client = ours::Client::connect(server.address, &route, u64::MAX)?;
    let mut lost = 0;
    for (mailbox, ids) in acknowledged {
        let kept = client.fetch_all(ours::token(*mailbox).tag())?;
        let kept: BTreeSet<EnvelopeId> = kept.iter().map(|bytes| EnvelopeId::of(bytes)).collect();
        lost += ids.difference(&kept).count();
    }
    Ok(lost)
}
