//! b4: memory of a connection that reads 200 mailboxes and is silent. Plain TCP everywhere; ours has Noise inside.

use anyhow::Result;
use std::io::Write as _;

use crate::ours::token;
use crate::report::Row;
use crate::{Scale, mqtt, nats, ours};
use stonechat_wire::frame::ToRelay;

const TAGS: u32 = 200;

pub(crate) fn measure(scale: Scale) -> Result<Vec<Row>> {
    let count = scale.idle;
    let mut rows = Vec::new();
    let mut peers: Vec<(&str, f64)> = Vec::new();
    if nats::program().is_some() {
        peers.push(("nats", nats_bytes(count)?));
    }
    if mqtt::program().is_some() {
        peers.push(("mosquitto", mqtt_bytes(count)?));
    }
    let ours = our_bytes(count)?;
    for (peer, peer_value) in peers {
        rows.push(Row {
            name: format!("b4 memory of an idle connection with {TAGS} mailboxes, of {count}"),
            unit: "B",
            ours,
            peer: format!("{peer}, as many subscriptions"),
            peer_value,
            runs: 1,
        });
    }
    Ok(rows)
}

fn our_bytes(count: usize) -> Result<f64> {
    let folder = tempfile::tempdir_in("target")?;
    let (server, route) = ours::start(folder.path())?;
    let before = server.resident_bytes()?;
    let mut clients = Vec::new();
    for number in 0..count {
        let mut client = ours::Client::connect(server.address, &route, number as u64)?;
        let first = u32::try_from(number)? * TAGS;
        let add = (first..first + TAGS).map(|mailbox| (token(mailbox).tag(), 0)).collect();
        client.say(&ToRelay::Subscribe { add, drop: vec![] })?;
        client.say(&ToRelay::Quota { request: 1 })?;
        client.hear()?;
        clients.push(client);
    }
    Ok((server.resident_bytes()? - before) / count as f64)
}

fn nats_bytes(count: usize) -> Result<f64> {
    let folder = tempfile::tempdir_in("target")?;
    let server = nats::start(folder.path())?;
    let before = server.resident_bytes()?;
    let mut clients = Vec::new();
    for number in 0..count {
        let mut client = nats::Client::connect(server.address, number)?;
        let first = u32::try_from(number)? * TAGS;
        let subscriptions: String = (first..first + TAGS)
            .map(|tag| format!("SUB mb.{tag:08x} {tag}\r\n"))
            .collect();
        client.write.write_all(format!("{subscriptions}PING\r\n").as_bytes())?;
        client.until_pong()?;
        clients.push(client);
    }
    Ok((server.resident_bytes()? - before) / count as f64)
}

fn mqtt_bytes(count: usize) -> Result<f64> {
    let folder = tempfile::tempdir_in("target")?;
    let server = mqtt::start(folder.path())?;
    let before = server.resident_bytes()?;
    let mut clients = Vec::new();
    for number in 0..count {
        let mut client = mqtt::Client::connect(server.address, &format!("i{number}"), true)?;
        let first = u32::try_from(number)? * TAGS;
        let topics: Vec<String> = (first..first + TAGS).map(|tag| format!("m/{tag:08x}")).collect();
        client.subscribe(&topics)?;
        clients.push(client);
    }
    Ok((server.resident_bytes()? - before) / count as f64)
}
