//! A Nostr relay (nostr-relay-builder over nostr-lmdb, which syncs each commit), in a workspace of its own: `bench/nostr`.
//!
//! Each message is an event of kind 1059 with 1 kB of content, signed before the clock runs; the relay checks the
//! signature, as Nostr asks of it, stores, and answers `OK`.

use anyhow::{Context as _, Result, bail, ensure};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

use crate::load::{Batch, CLIENTS, Outcome, Putter, Work, drive};
use crate::process::{Server, find, free_address};

/// Most that one round signs: it takes no more in the seconds of a round.
const SIGNED_MAX: usize = 64_000;

pub(crate) fn program() -> Option<PathBuf> {
    find("stonechat-bench-nostr", "BENCH_NOSTR")
}

pub(crate) fn start(folder: &Path) -> Result<Server> {
    let address = free_address()?;
    let mut command = Command::new(program().context("stonechat-bench-nostr")?);
    command
        .arg("serve")
        .arg(folder)
        .env("BENCH_ADDRESS", address.to_string());
    Server::start(&mut command, address)
}

pub(crate) fn round(folder: &Path, messages: usize, window: usize) -> Result<Outcome> {
    let server = start(folder)?;
    let clients = (0..CLIENTS)
        .map(|_| Client::connect(server.address))
        .collect::<Result<Vec<_>>>()?;
    drive(clients, messages.min(SIGNED_MAX), window)
}

pub(crate) struct Client {
    socket: WebSocket<TcpStream>,
    signer: Mutex<Signer>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let (socket, _) = client(format!("ws://{address}/"), stream).ok().context("the upgrade")?;
        let signer = Mutex::new(Signer::start()?);
        Ok(Self { socket, signer })
    }
}

impl Putter for Client {
    fn prepare(&self, work: &[Work]) -> Batch {
        let mut signer = self.signer.lock().expect("no thread panics with it");
        let mut bytes = Vec::new();
        for work in work {
            bytes.extend(signer.sign(work).expect("the signer signs"));
        }
        Batch {
            bytes,
            count: work.len(),
        }
    }

    fn put(&mut self, batch: &Batch) -> Result<()> {
        for event in batch.bytes.split_inclusive(|byte| *byte == b'\n') {
            let event = String::from_utf8_lossy(event.trim_ascii_end()).into_owned();
            self.socket.write(Message::text(event))?;
        }
        self.socket.flush()?;
        let mut left = batch.count;
        while left > 0 {
            if let Message::Text(answer) = self.socket.read()? {
                ensure!(
                    answer.starts_with("[\"OK\"") && answer.contains("true"),
                    "nostr: {answer}"
                );
                left -= 1;
            }
        }
        Ok(())
    }
}

/// A process that signs: a line in, a line out.
struct Signer {
    child: Child,
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
}

impl Signer {
    fn start() -> Result<Self> {
        let mut command = Command::new(program().context("stonechat-bench-nostr")?);
        let mut child = command
            .arg("sign")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let ask = child.stdin.take().context("its input")?;
        let answer = BufReader::new(child.stdout.take().context("its output")?);
        Ok(Self { child, ask, answer })
    }

    fn sign(&mut self, work: &Work) -> Result<Vec<u8>> {
        let content: String = work.body.iter().take(512).map(|byte| format!("{byte:02x}")).collect();
        writeln!(self.ask, "{:064x} {content}", work.mailbox)?;
        let mut line = Vec::new();
        if self.answer.read_until(b'\n', &mut line)? == 0 {
            bail!("the signer has ended");
        }
        Ok(line)
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        // One that has ended needs no end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
