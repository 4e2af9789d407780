//! Mosquitto, QoS 1, with a session that is away so that messages queue up. It saves now and then and syncs nothing:
//! a peer for what a broker costs, not for what it keeps.

use anyhow::{Context as _, Result, ensure};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::load::{Batch, CLIENTS, Outcome, Putter, Work, drive};
use crate::process::{Server, find, free_address};

pub(crate) fn program() -> Option<PathBuf> {
    find("mosquitto", "BENCH_MOSQUITTO")
}

pub(crate) fn start(folder: &Path) -> Result<Server> {
    let address = free_address()?;
    let place = folder.display();
    let config = format!(
        "listener {} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {place}/\n\
         max_queued_messages 0\nmax_inflight_messages 0\nuser root\n",
        address.port()
    );
    std::fs::write(folder.join("mosquitto.conf"), config)?;
    let mut command = Command::new(program().context("mosquitto")?);
    command.arg("-c").arg(folder.join("mosquitto.conf"));
    Server::start(&mut command, address)
}

pub(crate) fn round(folder: &Path, messages: usize, window: usize) -> Result<Outcome> {
    let server = start(folder)?;
    let mut away = Client::connect(server.address, "away", false)?;
    away.subscribe(&["m/#".to_owned()])?;
    drop(away);
    let clients = (0..CLIENTS).map(|number| Client::connect(server.address, &format!("c{number}"), true));
    drive(clients.collect::<Result<Vec<_>>>()?, messages, window)
}

pub(crate) struct Client(TcpStream);

impl Client {
    pub(crate) fn connect(address: SocketAddr, name: &str, clean: bool) -> Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let mut body = b"\x00\x04MQTT\x04".to_vec();
        body.extend([if clean { 2 } else { 0 }, 0, 0]);
        put_text(&mut body, name);
        stream.write_all(&packet(0x10, &body))?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer)?;
        ensure!(answer.last() == Some(&0), "mosquitto refuses");
        Ok(Self(stream))
    }

    pub(crate) fn subscribe(&mut self, topics: &[String]) -> Result<()> {
        let mut body = vec![0, 1];
        for topic in topics {
            put_text(&mut body, topic);
            body.push(1);
        }
        self.0.write_all(&packet(0x82, &body))?;
        let mut answer = vec![0; 4 + topics.len() + usize::from(topics.len() + 2 > 127)];
        self.0.read_exact(&mut answer)?;
        ensure!(answer.first() == Some(&0x90), "no answer to a subscription");
        Ok(())
    }
}

impl Client {
    /// Publishes with QoS 0: nobody says whether it came.
    pub(crate) fn publish_lightly(&mut self, work: &[Work]) -> Result<()> {
        let mut bytes = Vec::new();
        for work in work {
            let mut body = Vec::new();
            put_text(&mut body, &format!("m/{:08x}", work.mailbox));
            body.extend(&work.body);
            bytes.extend(packet(0x30, &body));
        }
        Ok(self.0.write_all(&bytes)?)
    }

    /// Waits for one message.
    pub(crate) fn message(&mut self) -> Result<()> {
        let mut byte = [0; 1];
        self.0.read_exact(&mut byte)?;
        ensure!(byte == [0x30], "something else than a message");
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            self.0.read_exact(&mut byte)?;
            length |= usize::from(byte[0] & 0x7f) << shift;
            shift += 7;
            if byte[0] & 0x80 == 0 || shift > 21 {
                break;
            }
        }
        Ok(self.0.read_exact(&mut vec![0; length])?)
    }
}

impl Putter for Client {
    fn prepare(&self, work: &[Work]) -> Batch {
        let mut bytes = Vec::new();
        for (nth, work) in work.iter().enumerate() {
            let mut body = Vec::new();
            put_text(&mut body, &format!("m/{:08x}", work.mailbox));
            body.extend(u16::try_from(nth + 1).unwrap_or(1).to_be_bytes());
            body.extend(&work.body);
            bytes.extend(packet(0x32, &body));
        }
        Batch {
            bytes,
            count: work.len(),
        }
    }

    fn put(&mut self, batch: &Batch) -> Result<()> {
        self.0.write_all(&batch.bytes)?;
        let mut acks = vec![0; batch.count * 4];
        self.0.read_exact(&mut acks)?;
        ensure!(
            acks.chunks(4).all(|ack| ack.first() == Some(&0x40)),
            "something else than an ack"
        );
        Ok(())
    }
}

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    let mut left = body.len();
    loop {
        let digit = u8::try_from(left % 128).unwrap_or_default();
        left /= 128;
        bytes.push(if left > 0 { digit | 0x80 } else { digit });
        if left == 0 {
            break;
        }
    }
    bytes.extend(body);
    bytes
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend(u16::try_from(text.len()).unwrap_or_default().to_be_bytes());
    out.extend(text.as_bytes());
}
