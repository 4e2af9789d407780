//! Writers and readers that are on at the same time, of ours and of the peers, all in one shape.

use anyhow::{Context as _, Result, ensure};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use stonechat_wire::frame::{FromRelay, ToRelay};

use crate::load::{Putter as _, Work};
use crate::process::Server;
use crate::{mqtt, nats, ours, redis};

/// Puts some messages; returns when they are acknowledged, where the server does that.
pub(crate) type Put = Box<dyn FnMut(&[Work]) -> Result<()> + Send>;
/// Waits for one message.
pub(crate) type Read = Box<dyn FnMut() -> Result<()> + Send>;

/// A server with a writer and a number of readers for each of some mailboxes.
pub(crate) struct Scene {
    pub(crate) server: Server,
    pub(crate) writers: Vec<Put>,
    pub(crate) readers: Vec<Read>,
}

/// Sets up a scene in a folder: so many mailboxes, so many readers of each.
pub(crate) type Set = fn(&Path, u32, usize) -> Result<Scene>;

pub(crate) fn ours(folder: &Path, mailboxes: u32, readers: usize) -> Result<Scene> {
    let (server, route) = ours::start(folder)?;
    let (mut puts, mut reads): (Vec<Put>, Vec<Read>) = (Vec::new(), Vec::new());
    let mut number = 0;
    for mailbox in 0..mailboxes {
        number += 1;
        let mut writer = ours::Client::connect(server.address, &route, number)?;
        puts.push(Box::new(move |work| writer.put(&writer.prepare(work))));
        for _ in 0..readers {
            number += 1;
            let mut reader = ours::Client::connect(server.address, &route, number)?;
            let add = vec![(ours::token(mailbox).tag(), 0)];
            reader.say(&ToRelay::Subscribe { add, drop: vec![] })?;
            // Its answer comes after the subscription was taken.
            reader.say(&ToRelay::Quota { request: 1 })?;
            reader.hear()?;
            reads.push(Box::new(move || {
                let heard = reader.hear()?;
                ensure!(
                    matches!(heard, FromRelay::Arrived { .. }),
                    "instead of an envelope: {heard:?}"
                );
                Ok(())
            }));
        }
    }
    Ok(Scene {
        server,
        writers: puts,
        readers: reads,
    })
}

/// NATS core: nothing is kept or acknowledged.
pub(crate) fn nats_core(folder: &Path, mailboxes: u32, readers: usize) -> Result<Scene> {
    nats(folder, mailboxes, readers, false)
}

/// NATS JetStream keeps and acknowledges; the readers have it from the subject itself.
pub(crate) fn nats_kept(folder: &Path, mailboxes: u32, readers: usize) -> Result<Scene> {
    nats(folder, mailboxes, readers, true)
}

fn nats(folder: &Path, mailboxes: u32, readers: usize, kept: bool) -> Result<Scene> {
    let server = nats::start(folder)?;
    if kept {
        nats::Client::connect(server.address, 9999)?.make_stream()?;
    }
    let (mut puts, mut reads): (Vec<Put>, Vec<Read>) = (Vec::new(), Vec::new());
    for mailbox in 0..mailboxes {
        let mut writer = nats::Client::connect(server.address, puts.len())?;
        puts.push(Box::new(move |work| {
            let batch = writer.prepare(work);
            if kept {
                writer.put(&batch)
            } else {
                writer.write.write_all(&batch.bytes).map_err(Into::into)
            }
        }));
        for _ in 0..readers {
            let mut reader = nats::Client::connect(server.address, 10_000 + reads.len())?;
            let ask = format!("SUB mb.{mailbox:08x} 7\r\nPING\r\n");
            reader.write.write_all(ask.as_bytes())?;
            reader.until_pong()?;
            reads.push(Box::new(move || reader.answer()));
        }
    }
    Ok(Scene {
        server,
        writers: puts,
        readers: reads,
    })
}

/// Mosquitto, QoS 0: nothing is kept or acknowledged.
pub(crate) fn mosquitto(folder: &Path, mailboxes: u32, readers: usize) -> Result<Scene> {
    let server = mqtt::start(folder)?;
    let (mut puts, mut reads): (Vec<Put>, Vec<Read>) = (Vec::new(), Vec::new());
    for mailbox in 0..mailboxes {
        let mut writer = mqtt::Client::connect(server.address, &format!("w{}", puts.len()), true)?;
        puts.push(Box::new(move |work| writer.publish_lightly(work)));
        for _ in 0..readers {
            let mut reader = mqtt::Client::connect(server.address, &format!("r{}", reads.len()), true)?;
            reader.subscribe(&[format!("m/{mailbox:08x}")])?;
            reads.push(Box::new(move || reader.message()));
        }
    }
    Ok(Scene {
        server,
        writers: puts,
        readers: reads,
    })
}

/// Redis PUBLISH: nothing is kept; what is acknowledged is that it was passed on.
pub(crate) fn redis_channel(folder: &Path, mailboxes: u32, readers: usize) -> Result<Scene> {
    redis(folder, mailboxes, readers, false)
}

/// Redis streams, each XADD synced, and PUBLISH with it: what a messenger on redis would do.
pub(crate) fn redis_kept(folder: &Path, mailboxes: u32, readers: usize) -> Result<Scene> {
    redis(folder, mailboxes, readers, true)
}

fn redis(folder: &Path, mailboxes: u32, readers: usize, kept: bool) -> Result<Scene> {
    let server = redis::start(folder)?;
    let (mut puts, mut reads): (Vec<Put>, Vec<Read>) = (Vec::new(), Vec::new());
    for mailbox in 0..mailboxes {
        let mut writer = redis::Client::connect(server.address)?;
        puts.push(Box::new(move |work| {
            if kept {
                writer.put(&writer.prepare(work))?;
            }
            writer.publish(work)
        }));
        for _ in 0..readers {
            let mut stream = TcpStream::connect(server.address)?;
            let key = format!("mb:{mailbox:08x}");
            let ask = format!("*2\r\n$9\r\nSUBSCRIBE\r\n${}\r\n{key}\r\n", key.len());
            stream.write_all(ask.as_bytes())?;
            let mut reader = BufReader::new(stream);
            // "subscribe", the channel, and how many there are.
            lines(&mut reader, 6)?;
            reads.push(Box::new(move || {
                // "message", the channel, and the length.
                let head = lines(&mut reader, 6)?;
                let length: usize = head.trim_start_matches('$').trim_end().parse().context("a length")?;
                std::io::copy(&mut reader.by_ref().take(length as u64 + 2), &mut std::io::sink())?;
                Ok(())
            }));
        }
    }
    Ok(Scene {
        server,
        writers: puts,
        readers: reads,
    })
}

/// Reads so many lines; the last is the answer.
fn lines(reader: &mut BufReader<TcpStream>, count: usize) -> Result<String> {
    let mut line = String::new();
    for _ in 0..count {
        line.clear();
        ensure!(reader.read_line(&mut line)? > 0, "redis hung up");
    }
    Ok(line)
}
