//! The peers: the same work as ours with nothing around it.

use anyhow::{Context as _, Result};
use rusqlite::{Connection, params};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// What a message and its receipt cannot do without: five times "on the disk" (sender, relay, recipient, relay,
/// sender), and one way there and back.
#[derive(Debug)]
pub(crate) struct Syncs {
    file: File,
    line: TcpStream,
    block: [u8; 256],
}

impl Syncs {
    /// With a file below `folder` and a loopback connection.
    ///
    /// Errors: no file or no loopback socket.
    pub(crate) fn in_folder(folder: &Path) -> Result<Self> {
        Ok(Self {
            file: File::create(folder.join("peer.log")).context("making the peer's file")?,
            line: echo().context("opening a loopback socket")?,
            block: [0x5a; 256],
        })
    }

    /// How long one round takes.
    ///
    /// Errors: the disk's or the socket's.
    pub(crate) fn five_and_a_round_trip(&mut self) -> Result<Duration> {
        let began = Instant::now();
        for _ in 0..5 {
            self.file.write_all(&self.block)?;
            self.file.sync_data()?;
        }
        self.line.write_all(&self.block)?;
        self.line.read_exact(&mut self.block)?;
        Ok(began.elapsed())
    }
}

/// A loopback connection whose other end sends everything back.
fn echo() -> Result<TcpStream> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut block = [0; 256];
        loop {
            stream.read_exact(&mut block)?;
            stream.write_all(&block)?;
        }
    });
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// How long plain SQLite takes for `rows` messages of a short text each, `batch` in one transaction, as durable as our
/// store (WAL, synchronous=FULL) and with no encryption, search or keys.
///
/// Errors: SQLite's.
pub(crate) fn plain_sqlite_insert(folder: &Path, rows: i64, batch: usize) -> Result<Duration> {
    let mut store = Connection::open(folder.join("peer.db"))?;
    store.pragma_update(None, "journal_mode", "WAL")?;
    store.pragma_update(None, "synchronous", "FULL")?;
    store
        .execute_batch("CREATE TABLE message (id BLOB PRIMARY KEY, chat INTEGER, sent_at INTEGER, text TEXT) STRICT")?;
    let began = Instant::now();
    let numbers: Vec<i64> = (0..rows).collect();
    for numbers in numbers.chunks(batch) {
        let transaction = store.transaction()?;
        let mut insert = transaction.prepare_cached("INSERT INTO message VALUES (?1, ?2, ?3, ?4)")?;
        for number in numbers {
            let id = number.to_le_bytes();
            insert.execute(params![id, number % 50, number, "thirty bytes of ordinary words"])?;
        }
        drop(insert);
        transaction.commit()?;
    }
    Ok(began.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_writes_five_blocks_and_hears_one_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut syncs = Syncs::in_folder(folder.path()).unwrap();
        for _ in 0..3 {
            assert!(syncs.five_and_a_round_trip().unwrap() > Duration::ZERO);
        }
        assert_eq!(folder.path().join("peer.log").metadata().unwrap().len(), 3 * 5 * 256);
    }

    #[test]
    fn plain_sqlite_holds_every_row() {
        let folder = tempfile::tempdir().unwrap();
        assert!(plain_sqlite_insert(folder.path(), 250, 100).unwrap() > Duration::ZERO);
        let store = Connection::open(folder.path().join("peer.db")).unwrap();
        let count: i64 = store
            .query_row("SELECT count(*) FROM message", [], |row| row.get(0))
            .unwrap();
        assert_eq!(count, 250);
    }
}
