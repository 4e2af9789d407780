//! b6: what many kept messages take on disk and in memory, and how long a start takes with them.

use anyhow::{Result, ensure};

use crate::load::{BODY_BYTES, CLIENTS, drive};
use crate::process::folder_bytes;
use crate::report::Row;
use crate::{Scale, ours, redis};

pub(crate) fn measure(scale: Scale) -> Result<Vec<Row>> {
    let folder = tempfile::tempdir_in("target")?;
    let (server, route) = ours::start(folder.path())?;
    let clients = (0..CLIENTS).map(|number| ours::Client::connect(server.address, &route, number as u64));
    let kept = drive(clients.collect::<Result<Vec<_>>>()?, scale.kept, 64)?.acknowledged;
    let payload = (kept * BODY_BYTES) as f64;
    let resident = server.resident_bytes()? / kept as f64;
    drop(server);
    let (killed, _) = ours::start(folder.path())?;
    let killed_ready = killed.ready;
    killed.end()?;
    let disk = folder_bytes(folder.path())? as f64 / payload;
    let (server, _) = ours::start(folder.path())?;
    let (ready, after) = (server.ready, server.resident_bytes()? / kept as f64);
    let name = |what: &str| format!("b6 {what}, {kept} messages of 1 kB");
    let goal = |what: &str, unit, ours, peer: &str, peer_value| Row {
        name: name(what),
        unit,
        ours,
        peer: peer.to_owned(),
        peer_value,
        runs: 1,
    };
    let mut rows = vec![
        goal("bytes on disk per byte", "", disk, "goal", 1.15),
        goal("start after a clean end", "s", ready.as_secs_f64(), "goal", 1.0),
        goal("start after kill -9", "s", killed_ready.as_secs_f64(), "goal", 1.0),
        goal(
            "memory per message after a start",
            "B",
            after,
            "goal: a tenth of Redis's 2,300",
            230.0,
        ),
    ];
    if redis::program().is_some() {
        let peer = redis_resident(kept)?;
        rows.push(goal(
            "memory per message",
            "B",
            resident,
            "redis appendfsync always",
            peer,
        ));
    }
    Ok(rows)
}

fn redis_resident(messages: usize) -> Result<f64> {
    let folder = tempfile::tempdir_in("target")?;
    let server = redis::start(folder.path())?;
    let clients = (0..CLIENTS)
        .map(|_| redis::Client::connect(server.address))
        .collect::<Result<Vec<_>>>()?;
    let kept = drive(clients, messages, 64)?.acknowledged;
    ensure!(kept > 0, "redis kept nothing");
    Ok(server.resident_bytes()? / kept as f64)
}
