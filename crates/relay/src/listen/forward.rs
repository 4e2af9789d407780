//! Channels: bytes of a client that the relay passes on to another relay, and back (two hops).
//!
//! In: what a client says about its channels. Out: what it is told. Only relays that the operator named are dialled, so
//! this is no open proxy. The bytes are between the client and the other relay, TLS and face and all: this relay sees
//! the client's address and not its mailboxes, the other one its mailboxes and not its address. Each channel is a task
//! with a socket; the connection it belongs to bounds what waits. Specified in `docs/protocol/17-forward.md` (FWD).

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use stonechat_wire::address::split;
use stonechat_wire::frame::Refusal;
use stonechat_wire::frame::forward::{ForwardAsk, ForwardTell, Passed, WINDOW_BYTES};
use stonechat_wire::ids::RelayId;
use stonechat_wire::route::RelayRoute;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::engine::now;
use crate::limits::{DAY_S, Limits};
use crate::service::Source;
use crate::service::buckets::{Buckets, Rate};

/// How long reaching the other relay may take.
const DIAL: Duration = Duration::from_secs(10);
/// Bytes read from the other relay at once.
const READ_BYTES: usize = 16 << 10;
/// What comes from other relays and waits for the connection, in pieces of [`READ_BYTES`] at most.
const WAITING: usize = 4;

/// What all connections share: where channels may lead, and how many there are.
#[derive(Debug)]
pub(super) struct Forwarding {
    /// `host:port`, by relay.
    relays: watch::Sender<BTreeMap<RelayId, String>>,
    permits: Arc<Semaphore>,
    by_source: Mutex<Buckets<Source>>,
    /// One bucket for all, a day deep.
    by_day: Mutex<Buckets<()>>,
    limits: Limits,
}

impl Forwarding {
    pub(super) fn new(routes: &[RelayRoute], limits: Limits) -> Self {
        let rate = Rate {
            bytes_per_s: limits.forward_bytes_per_s,
            bytes_max: limits.forward_bytes_max,
        };
        let day = Rate {
            bytes_per_s: limits.forward_bytes_per_day / DAY_S,
            bytes_max: limits.forward_bytes_per_day,
        };
        Self {
            relays: watch::Sender::new(addresses(routes)),
            permits: Arc::new(Semaphore::new(limits.forwards)),
            by_source: Mutex::new(Buckets::new(rate, limits.sources)),
            by_day: Mutex::new(Buckets::new(day, 1)),
            limits,
        }
    }

    /// Only these are led to from now on.
    pub(super) fn lead_to(&self, routes: &[RelayRoute]) {
        let relays = addresses(routes);
        self.relays.send_if_modified(|known| {
            *known != relays && {
                *known = relays;
                true
            }
        });
    }

    /// Waits until that relay is not to be led to there any more.
    async fn is_over(&self, relay: RelayId, address: &str) {
        let mut relays = self.relays.subscribe();
        let is_other = |relays: &BTreeMap<RelayId, String>| relays.get(&relay).is_none_or(|now| now != address);
        // It is not dropped before its channels.
        let _ = relays.wait_for(is_other).await;
    }

    /// Takes so many bytes from what may be passed on in a day. Out: whether they were left.
    fn spend(&self, bytes: usize) -> bool {
        let mut by_day = self.by_day.lock().unwrap_or_else(PoisonError::into_inner);
        by_day.take((), bytes as u64, now()).is_ok()
    }

    /// Waits until a source may pass on so many more bytes (FWD-5).
    async fn pace(&self, source: Source, bytes: usize) {
        loop {
            let taken = {
                let mut by_source = self.by_source.lock().unwrap_or_else(PoisonError::into_inner);
                by_source.take(source, bytes as u64, now())
            };
            match taken {
                Ok(()) => return,
                Err(wait_ms) => sleep(Duration::from_millis(wait_ms)).await,
            }
        }
    }
}

fn addresses(routes: &[RelayRoute]) -> BTreeMap<RelayId, String> {
    let address = |route: &RelayRoute| (route.relay, split(&route.address).1.to_owned());
    routes.iter().map(address).collect()
}

/// What a channel's task tells its connection.
#[derive(Debug)]
pub(super) enum Told {
    Open(u32),
    Took(u32, usize),
    Came(u32, Vec<u8>),
    Shut(u32, Refusal),
}

/// The channels of one connection.
#[derive(Debug)]
pub(super) struct Channels {
    all: BTreeMap<u32, Channel>,
    /// Numbers only grow: what an ended channel still says is never taken for another's.
    newest: Option<u32>,
    forwarding: Arc<Forwarding>,
    source: Source,
    /// Made with the first channel: most connections have none, and idle in little memory.
    news: Option<(mpsc::Sender<Told>, mpsc::Receiver<Told>)>,
}

#[derive(Debug)]
struct Channel {
    up: mpsc::UnboundedSender<Vec<u8>>,
    /// Bytes that the other relay has not taken yet; at most [`WINDOW_BYTES`].
    waiting_bytes: usize,
    task: AbortHandle,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Channels {
    pub(super) const fn new(forwarding: Arc<Forwarding>, source: Source) -> Self {
        Self {
            all: BTreeMap::new(),
            newest: None,
            forwarding,
            source,
            news: None,
        }
    }

    /// The next thing a channel's task tells; never where there was no channel.
    pub(super) async fn next(&mut self) -> Option<Told> {
        match &mut self.news {
            Some((_, inbox)) => inbox.recv().await,
            None => pending().await,
        }
    }

    /// Does what the client asks. Out: what it is told at once.
    pub(super) fn take(&mut self, ask: ForwardAsk) -> Option<ForwardTell> {
        let channel = match &ask {
            ForwardAsk::Open { channel, .. } | ForwardAsk::Shut { channel } => *channel,
            ForwardAsk::Pass(passed) => passed.channel,
        };
        let done = match ask {
            ForwardAsk::Open { channel, relay } => self.open(channel, relay),
            ForwardAsk::Pass(passed) => self.pass(passed),
            ForwardAsk::Shut { channel } => {
                self.all.remove(&channel);
                Ok(())
            }
        };
        done.err().map(|why| {
            self.all.remove(&channel);
            ForwardTell::Shut { channel, why }
        })
    }

    fn open(&mut self, channel: u32, relay: RelayId) -> Result<(), Refusal> {
        let address = self.forwarding.relays.borrow().get(&relay).cloned();
        let address = address.ok_or(Refusal::NotHere)?;
        let is_new = self.newest.is_none_or(|newest| newest < channel);
        if !is_new || self.all.len() >= self.forwarding.limits.forwards_per_connection {
            return Err(Refusal::Limit);
        }
        self.newest = Some(channel);
        let permit = Arc::clone(&self.forwarding.permits).try_acquire_owned();
        let permit = permit.map_err(|_| Refusal::Limit)?;
        let (up, from_client) = mpsc::unbounded_channel();
        let run = Run {
            channel,
            relay,
            source: self.source,
            forwarding: Arc::clone(&self.forwarding),
            told: self.news.get_or_insert_with(|| mpsc::channel(WAITING)).0.clone(),
        };
        let task = tokio::spawn(run.run(address, from_client)).abort_handle();
        let (waiting_bytes, _permit) = (0, permit);
        let fresh = Channel {
            up,
            waiting_bytes,
            task,
            _permit,
        };
        self.all.insert(channel, fresh);
        Ok(())
    }

    fn pass(&mut self, passed: Passed) -> Result<(), Refusal> {
        let channel = self.all.get_mut(&passed.channel).ok_or(Refusal::NotHere)?;
        channel.waiting_bytes = channel.waiting_bytes.saturating_add(passed.bytes.len());
        if channel.waiting_bytes > WINDOW_BYTES {
            return Err(Refusal::Limit);
        }
        // A task that has ended says so itself.
        let _ = channel.up.send(passed.bytes);
        Ok(())
    }

    /// What the client is told of a channel's news; nothing of one that it has shut.
    pub(super) fn tell(&mut self, told: Told) -> Option<ForwardTell> {
        Some(match told {
            Told::Open(channel) => {
                self.all.get(&channel)?;
                ForwardTell::Open { channel }
            }
            Told::Took(channel, bytes) => {
                let of = self.all.get_mut(&channel)?;
                of.waiting_bytes = of.waiting_bytes.saturating_sub(bytes);
                let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
                ForwardTell::Took { channel, bytes }
            }
            Told::Came(channel, bytes) => {
                self.all.get(&channel)?;
                ForwardTell::Pass(Passed { channel, bytes })
            }
            Told::Shut(channel, why) => {
                self.all.remove(&channel)?;
                ForwardTell::Shut { channel, why }
            }
        })
    }
}

/// One channel's task.
#[derive(Debug)]
struct Run {
    channel: u32,
    relay: RelayId,
    source: Source,
    forwarding: Arc<Forwarding>,
    told: mpsc::Sender<Told>,
}

impl Run {
    async fn run(self, address: String, from_client: mpsc::UnboundedReceiver<Vec<u8>>) {
        let why = tokio::select! {
            why = self.talk(&address, from_client) => why,
            () = self.forwarding.is_over(self.relay, &address) => Refusal::NotHere,
        };
        let _ = self.told.send(Told::Shut(self.channel, why)).await;
    }

    /// Dials, and carries until either side ends. Out: why it is over.
    async fn talk(&self, address: &str, from_client: mpsc::UnboundedReceiver<Vec<u8>>) -> Refusal {
        let Ok(Ok(stream)) = timeout(DIAL, TcpStream::connect(address)).await else {
            return Refusal::NotHere;
        };
        if self.told.send(Told::Open(self.channel)).await.is_err() {
            return Refusal::NotHere;
        }
        let _ = stream.set_nodelay(true);
        let (down, up) = stream.into_split();
        tokio::select! {
            why = self.up(up, from_client) => why,
            why = self.down(down) => why,
        }
    }

    async fn up(&self, mut socket: OwnedWriteHalf, mut from_client: mpsc::UnboundedReceiver<Vec<u8>>) -> Refusal {
        while let Some(bytes) = from_client.recv().await {
            if !self.forwarding.spend(bytes.len()) {
                return Refusal::Quota;
            }
            self.forwarding.pace(self.source, bytes.len()).await;
            let took = Told::Took(self.channel, bytes.len());
            if socket.write_all(&bytes).await.is_err() || self.told.send(took).await.is_err() {
                break;
            }
        }
        Refusal::NotHere
    }

    async fn down(&self, mut socket: OwnedReadHalf) -> Refusal {
        let mut chunk = vec![0; READ_BYTES];
        loop {
            let count = socket.read(&mut chunk).await.unwrap_or_default();
            let Some(bytes) = chunk.get(..count).filter(|bytes| !bytes.is_empty()) else {
                return Refusal::NotHere;
            };
            if !self.forwarding.spend(count) {
                return Refusal::Quota;
            }
            self.forwarding.pace(self.source, count).await;
            if self.told.send(Told::Came(self.channel, bytes.to_vec())).await.is_err() {
                return Refusal::NotHere;
            }
        }
    }
}
