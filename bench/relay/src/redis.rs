//! Redis streams with `appendfsync always`: one XADD a message, pipelined as far as the window goes.

use anyhow::{Context as _, Result, bail};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::load::{Batch, CLIENTS, Outcome, Putter, Work, drive};
use crate::process::{Server, find, free_address};

pub(crate) fn program() -> Option<PathBuf> {
    find("redis-server", "BENCH_REDIS")
}

pub(crate) fn start(folder: &Path) -> Result<Server> {
    let address = free_address()?;
    let mut command = Command::new(program().context("redis-server")?);
    command
        .current_dir(folder)
        .args(["--port", &address.port().to_string(), "--bind", "127.0.0.1"]);
    command.args(["--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
    Server::start(&mut command, address)
}

pub(crate) fn round(folder: &Path, messages: usize, window: usize) -> Result<Outcome> {
    let server = start(folder)?;
    let clients = (0..CLIENTS)
        .map(|_| Client::connect(server.address))
        .collect::<Result<Vec<_>>>()?;
    drive(clients, messages, window)
}

pub(crate) struct Client {
    write: TcpStream,
    read: BufReader<TcpStream>,
    line: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Result<Self> {
        let write = TcpStream::connect(address)?;
        write.set_nodelay(true)?;
        let (read, line) = (BufReader::new(write.try_clone()?), Vec::new());
        Ok(Self { write, read, line })
    }

    /// Passes messages on to whoever listens, and waits until that is done.
    pub(crate) fn publish(&mut self, work: &[Work]) -> Result<()> {
        let mut bytes = Vec::new();
        for work in work {
            let key = format!("mb:{:08x}", work.mailbox);
            let head = format!("*3\r\n$7\r\nPUBLISH\r\n${}\r\n{key}\r\n", key.len());
            bytes.extend(head.as_bytes());
            bytes.extend(format!("${}\r\n", work.body.len()).as_bytes());
            bytes.extend(&work.body);
            bytes.extend(b"\r\n");
        }
        self.write.write_all(&bytes)?;
        for _ in work {
            self.line()?;
            if self.line.first() != Some(&b':') {
                bail!("redis: {}", String::from_utf8_lossy(&self.line));
            }
        }
        Ok(())
    }

    fn line(&mut self) -> Result<()> {
        self.line.clear();
        self.read.read_until(b'\n', &mut self.line)?;
        Ok(())
    }
}

impl Putter for Client {
    fn prepare(&self, work: &[Work]) -> Batch {
        let mut bytes = Vec::new();
        for work in work {
            let key = format!("mb:{:08x}", work.mailbox);
            let head = format!("*5\r\n$4\r\nXADD\r\n${}\r\n{key}\r\n$1\r\n*\r\n$1\r\ne\r\n", key.len());
            bytes.extend(head.as_bytes());
            bytes.extend(format!("${}\r\n", work.body.len()).as_bytes());
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
        for _ in 0..batch.count {
            self.line()?;
            if self.line.first() != Some(&b'$') {
                bail!("redis: {}", String::from_utf8_lossy(&self.line));
            }
            self.line()?;
        }
        Ok(())
    }
}
