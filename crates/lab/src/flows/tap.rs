//! A tap: passes connections on to a server, and writes down what can be seen of each from outside.
//!
//! In: connections to its port. Out: a [`Flow`] for each: the ClientHello's fingerprint, and size, direction and time of its TLS
//! records. Told to be strict, it resets every hello that is not a Chromium's; it breaks connections off where that is asked.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::censor::{Reassembly, sight};

/// Records of a flow that are written down: the beginning is what is judged.
pub const RECORDS_MAX: usize = 64;
/// What comes before a record's body.
const HEAD_BYTES: usize = 5;
/// How long a hello may take.
const HELLO_MAX: Duration = Duration::from_secs(10);

/// One TLS record.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// From the client.
    pub is_out: bool,
    /// With its head.
    pub size: usize,
    /// Milliseconds since the connection was made, when its end went by.
    pub at_ms: f64,
    /// 22 of the handshake, 23 sealed.
    pub kind: u8,
}

/// What was seen of one connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Flow {
    /// The fingerprint of its hello.
    pub ja4: String,
    /// Its first records.
    pub records: Vec<Record>,
}

/// A running tap.
#[derive(Debug)]
pub struct Tap {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    to: SocketAddr,
    is_strict: AtomicBool,
    /// Least and most milliseconds until a connection is broken off, where they are.
    life_ms: Mutex<Option<(u64, u64)>>,
    dice: Mutex<u64>,
    flows: Mutex<Vec<Arc<Mutex<Seen>>>>,
    refused: Mutex<Vec<String>>,
}

/// A flow while it goes by.
#[derive(Debug)]
struct Seen {
    flow: Flow,
    began: Instant,
    rest: [Cut; 2],
}

/// Where a direction stands within a record.
#[derive(Debug, Default)]
struct Cut {
    head: Vec<u8>,
    missing: usize,
}

impl Tap {
    /// Listens on a port of its own before this server.
    pub fn before(to: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            to,
            is_strict: AtomicBool::new(false),
            life_ms: Mutex::default(),
            dice: Mutex::new(u64::from(address.port())),
            flows: Mutex::default(),
            refused: Mutex::default(),
        });
        let all = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&all);
                // A connection that breaks is seen as far as it came.
                std::thread::spawn(move || shared.pass(client));
            }
        });
        Ok(Self { address, shared })
    }

    /// From now on only what says hello as a Chromium does is let through.
    pub fn be_strict(&self) {
        self.shared.is_strict.store(true, Ordering::Relaxed);
    }

    /// From now on each connection is broken off after a time between these, and what was seen is forgotten.
    pub fn begin(&self, life_ms: Option<(u64, u64)>) {
        *self.shared.life_ms.lock().unwrap() = life_ms;
        self.shared.flows.lock().unwrap().clear();
    }

    /// How many flows have at least so many sealed records.
    pub fn count(&self, records: usize) -> usize {
        self.flows(records).len()
    }

    /// Those flows.
    pub fn flows(&self, records: usize) -> Vec<Flow> {
        let flows = self.shared.flows.lock().unwrap();
        let flows = flows.iter().map(|seen| seen.lock().unwrap().flow.clone());
        let sealed = |flow: &Flow| flow.records.iter().filter(|record| record.kind == 23).count();
        flows.filter(|flow| sealed(flow) >= records).collect()
    }

    /// Fingerprints of hellos that were reset.
    pub fn refused(&self) -> Vec<String> {
        self.shared.refused.lock().unwrap().clone()
    }
}

impl Shared {
    fn pass(&self, mut client: TcpStream) -> io::Result<()> {
        let began = Instant::now();
        client.set_nodelay(true)?;
        client.set_read_timeout(Some(HELLO_MAX))?;
        let (hello, ja4) = read_hello(&mut client)?;
        if self.is_strict.load(Ordering::Relaxed) && !is_chromiums(&hello) {
            self.refused.lock().unwrap().push(ja4);
            return reset(&client);
        }
        client.set_read_timeout(None)?;
        let mut server = TcpStream::connect(self.to)?;
        server.set_nodelay(true)?;
        let mut seen = Seen {
            flow: Flow { ja4, records: vec![] },
            began,
            rest: Default::default(),
        };
        seen.take(true, &hello);
        let seen = Arc::new(Mutex::new(seen));
        self.flows.lock().unwrap().push(Arc::clone(&seen));
        server.write_all(&hello)?;
        self.end_in_time(&client, &server)?;
        let (from, to, other) = (client.try_clone()?, server.try_clone()?, Arc::clone(&seen));
        let back = std::thread::spawn(move || pump(&server, &client, false, &other));
        pump(&from, &to, true, &seen);
        let _ = back.join();
        Ok(())
    }

    fn end_in_time(&self, client: &TcpStream, server: &TcpStream) -> io::Result<()> {
        let Some((least, most)) = *self.life_ms.lock().unwrap() else {
            return Ok(());
        };
        let life = Duration::from_millis(least + self.dice() % (most - least).max(1));
        let (client, server) = (client.try_clone()?, server.try_clone()?);
        std::thread::spawn(move || {
            std::thread::sleep(life);
            let _ = reset(&client);
            let _ = server.shutdown(Shutdown::Both);
            client.shutdown(Shutdown::Both)
        });
        Ok(())
    }

    /// Dice of little use, which is enough for when to break off (splitmix64).
    fn dice(&self) -> u64 {
        let mut state = self.dice.lock().unwrap();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 31)
    }
}

/// A connection that is closed so sends a reset.
fn reset(client: &TcpStream) -> io::Result<()> {
    nix::sys::socket::setsockopt(
        client,
        nix::sys::socket::sockopt::Linger,
        &nix::libc::linger {
            l_onoff: 1,
            l_linger: 0,
        },
    )
    .map_err(io::Error::from)
}

/// Reads until the hello is whole, or can be none. Out: all that came, and its fingerprint.
fn read_hello(client: &mut TcpStream) -> io::Result<(Vec<u8>, String)> {
    let (mut came, mut some) = (Vec::new(), [0; 4 << 10]);
    loop {
        let count = client.read(&mut some)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        came.extend_from_slice(&some[..count]);
        let mut beginning = sight::Beginning::default();
        beginning.segment(0, &came);
        match beginning.sight(Reassembly::TcpAndRecords) {
            sight::Sight::Waiting => {}
            sight::Sight::Hello(hello) => return Ok((came, hello.ja4.unwrap_or_default())),
            sight::Sight::Other => return Ok((came, String::new())),
        }
    }
}

/// A Chromium's first cipher suite is one that means nothing (GREASE); rustls says none such.
pub fn is_chromiums(hello: &[u8]) -> bool {
    let session = hello.get(43).map_or(0, |length| usize::from(*length));
    let suite = hello.get(46 + session..48 + session);
    suite.is_some_and(|suite| suite[0] == suite[1] && suite[0] & 0x0f == 0x0a)
}

fn pump(from: &TcpStream, to: &TcpStream, is_out: bool, seen: &Mutex<Seen>) {
    let (mut from, mut to) = (from, to);
    let mut some = [0; 16 << 10];
    while let Ok(count) = from.read(&mut some) {
        if count == 0 {
            break;
        }
        seen.lock().unwrap().take(is_out, &some[..count]);
        if to.write_all(&some[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

impl Seen {
    fn take(&mut self, is_out: bool, mut bytes: &[u8]) {
        let at_ms = self.began.elapsed().as_secs_f64() * 1_000.0;
        let cut = &mut self.rest[usize::from(is_out)];
        while !bytes.is_empty() {
            if cut.head.len() < HEAD_BYTES {
                let (head, rest) = bytes.split_at(bytes.len().min(HEAD_BYTES - cut.head.len()));
                cut.head.extend_from_slice(head);
                bytes = rest;
                if cut.head.len() < HEAD_BYTES {
                    return;
                }
                cut.missing = usize::from(u16::from_be_bytes([cut.head[3], cut.head[4]]));
            }
            let (body, rest) = bytes.split_at(bytes.len().min(cut.missing));
            cut.missing -= body.len();
            bytes = rest;
            if cut.missing == 0 {
                let size = HEAD_BYTES + usize::from(u16::from_be_bytes([cut.head[3], cut.head[4]]));
                let kind = cut.head[0];
                cut.head.clear();
                if self.flow.records.len() < RECORDS_MAX {
                    self.flow.records.push(Record {
                        is_out,
                        size,
                        at_ms,
                        kind,
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_seen_however_they_are_cut() {
        let mut bytes = vec![23, 3, 3, 0, 4, 1, 2, 3, 4];
        bytes.extend([22, 3, 3, 1, 0]);
        bytes.extend([7; 256]);
        for step in [1, 2, 5, 7, 1_000] {
            let mut seen = Seen {
                flow: Flow::default(),
                began: Instant::now(),
                rest: Default::default(),
            };
            bytes.chunks(step).for_each(|chunk| seen.take(true, chunk));
            let found: Vec<_> = seen.flow.records.iter().map(|r| (r.kind, r.size, r.is_out)).collect();
            assert_eq!(found, [(23, 9, true), (22, 261, true)]);
        }
    }

    #[test]
    fn a_strict_tap_resets_what_is_no_chromium() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let tap = Tap::before(server.local_addr().unwrap()).unwrap();
        // The head of a hello: record, handshake, version, random, no session, two suites.
        let hello = |suite: [u8; 4]| {
            let mut hello = vec![22, 3, 1, 0, 49, 1, 0, 0, 45, 3, 3];
            hello.extend([0; 32]);
            hello.extend([0, 0, 4]);
            hello.extend(suite);
            hello.extend([1, 0, 0, 0]);
            hello
        };
        tap.be_strict();
        let mut client = TcpStream::connect(tap.address).unwrap();
        client.write_all(&hello([0x13, 1, 0x13, 2])).unwrap();
        assert_eq!(
            client.read(&mut [0]).unwrap_err().kind(),
            io::ErrorKind::ConnectionReset
        );
        assert_eq!(tap.refused().len(), 1);
        let mut client = TcpStream::connect(tap.address).unwrap();
        client.write_all(&hello([0x3a, 0x3a, 0x13, 1])).unwrap();
        let (mut passed, _) = server.accept().unwrap();
        let mut came = [0; 54];
        passed.read_exact(&mut came).unwrap();
        assert_eq!(came.to_vec(), hello([0x3a, 0x3a, 0x13, 1]));
    }
}
