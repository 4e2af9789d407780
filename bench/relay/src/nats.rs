//! NATS JetStream, one server, a file stream with `sync_interval: always`: a publish a message, its ack awaited.

use anyhow::{Context as _, Result, bail};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::load::{Batch, CLIENTS, Outcome, Putter, Work, drive};
use crate::process::{Server, find, free_address};

const STREAM: &str = r#"{"name":"MB","subjects":["mb.*"],"storage":"file","num_replicas":1,"retention":"limits"}"#;

pub(crate) fn program() -> Option<PathBuf> {
    find("nats-server", "BENCH_NATS")
}

pub(crate) fn start(folder: &Path) -> Result<Server> {
    let address = free_address()?;
    let store = folder.join("js").display().to_string();
    let config = format!("listen: \"{address}\"\njetstream {{ store_dir: \"{store}\", sync_interval: always }}\n");
    std::fs::write(folder.join("nats.conf"), config)?;
    let mut command = Command::new(program().context("nats-server")?);
    command.arg("-c").arg(folder.join("nats.conf"));
    Server::start(&mut command, address)
}

pub(crate) fn round(folder: &Path, messages: usize, window: usize) -> Result<Outcome> {
    let server = start(folder)?;
    Client::connect(server.address, 9999)?.make_stream()?;
    let clients = (0..CLIENTS).map(|number| Client::connect(server.address, number));
    drive(clients.collect::<Result<Vec<_>>>()?, messages, window)
}

pub(crate) struct Client {
    pub(crate) write: TcpStream,
    read: BufReader<TcpStream>,
    number: usize,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr, number: usize) -> Result<Self> {
        let mut write = TcpStream::connect(address)?;
        write.set_nodelay(true)?;
        let read = BufReader::new(write.try_clone()?);
        let hello = "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true}\r\n";
        write.write_all(format!("{hello}SUB in.{number} 1\r\nPING\r\n").as_bytes())?;
        let mut client = Self { write, read, number };
        client.until_pong()?;
        Ok(client)
    }

    pub(crate) fn until_pong(&mut self) -> Result<()> {
        while self.line()? != "PONG\r\n" {}
        Ok(())
    }

    pub(crate) fn make_stream(&mut self) -> Result<()> {
        let (number, length) = (self.number, STREAM.len());
        let ask = format!("PUB $JS.API.STREAM.CREATE.MB in.{number} {length}\r\n{STREAM}\r\n");
        self.write.write_all(ask.as_bytes())?;
        self.answer()
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.read.read_line(&mut line)? == 0 {
            bail!("nats hung up");
        }
        Ok(line)
    }

    /// Waits for one message and sees that it is no error.
    pub(crate) fn answer(&mut self) -> Result<()> {
        let line = self.line()?;
        let length = line
            .strip_prefix("MSG ")
            .and_then(|rest| rest.split_whitespace().last()?.parse().ok());
        let Some(length) = length else {
            // Pings and the like.
            return if line.starts_with("-ERR") {
                bail!("nats: {line}")
            } else {
                self.answer()
            };
        };
        let mut body = vec![0; usize::saturating_add(length, 2)];
        self.read.read_exact(&mut body)?;
        let body = String::from_utf8_lossy(&body);
        if body.contains("\"error\"") {
            bail!("nats: {body}")
        } else {
            Ok(())
        }
    }
}

impl Putter for Client {
    fn prepare(&self, work: &[Work]) -> Batch {
        let mut bytes = Vec::new();
        for work in work {
            let head = format!("PUB mb.{:08x} in.{} {}\r\n", work.mailbox, self.number, work.body.len());
            bytes.extend(head.as_bytes());
            bytes.extend(&work.body);
            bytes.extend(b"\r\n");
        }
        Batch {
            bytes,
            count: work.len(),
        }
    }

    fn put(&mut self, batch: &Batch) -> Result<()> {
        self.write.write_all(&batch.bytes)?;
        (0..batch.count).try_for_each(|_| self.answer())
    }
}
