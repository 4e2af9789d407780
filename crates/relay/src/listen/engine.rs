//! The thread that the service and its store live on.
//!
//! In: requests of all connections through one bounded channel. Out: frames into each connection's outbox. It takes
//! what has queued up, syncs once, answers, and takes again: the batch grows with the load, and no timer is in the
//! way of an answer (self-clocking group commit).

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use stonechat_wire::frame::{FromRelay, ToRelay};
use stonechat_wire::ids::{DoorPath, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::doors::Doors;
use crate::forgetful::wipe_stack;
use crate::limits::{REQUEST_BYTES_WAITING_MAX, REQUESTS_WAITING_MAX};
use crate::operate::metrics::Metrics;
use crate::service::{Closed, ConnectionId, Output, Service, Source};
use crate::store::MailboxStore;

/// Most requests of one batch: how many share a sync at most.
const BATCH_REQUESTS_MAX: usize = 512;
/// How often the engine looks at the clock when nobody asks anything.
const TICK: Duration = Duration::from_secs(10);

/// What a connection is given to send.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Frame(FromRelay),
    Close(Closed),
}

/// What the engine is asked.
#[derive(Debug)]
enum Request {
    Connect {
        connection: ConnectionId,
        source: Source,
        outbox: mpsc::UnboundedSender<Outgoing>,
        admitted: oneshot::Sender<bool>,
    },
    Frames {
        from: ConnectionId,
        frames: Vec<ToRelay>,
        _permit: OwnedSemaphorePermit,
    },
    Drained {
        connection: ConnectionId,
        bytes: usize,
    },
    Gone {
        connection: ConnectionId,
    },
    Knock {
        path: DoorPath,
        proof: [u8; 16],
        source: Source,
        card: oneshot::Sender<Option<Arc<[u8]>>>,
    },
    /// Tells everybody when to come back.
    Part([u8; 8]),
    Tick,
    Stop,
}

/// In a box on its way: a queue keeps what was in it, padding too, until somebody else's comes to the same place (RLY-48).
type Asked = Box<Request>;

/// How connections reach the engine.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    requests: mpsc::Sender<Asked>,
    waiting_bytes: Arc<Semaphore>,
    doors: Doors,
}

/// The engine has ended: the relay is going down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the relay is going down")]
pub(crate) struct Ended;

impl Engine {
    /// Starts the thread. The receiver hears when it has ended, with its store closed.
    pub(crate) fn start<S>(service: Service<S>, metrics: Metrics) -> io::Result<(Self, oneshot::Receiver<()>)>
    where
        S: MailboxStore + Send + 'static,
    {
        let (requests, inbox) = mpsc::channel(REQUESTS_WAITING_MAX);
        let (ended, has_ended) = oneshot::channel();
        let doors = Doors::default();
        doors.are(service.door_paths());
        let shown = doors.clone();
        thread::Builder::new().name("relay-store".into()).spawn(move || {
            Room {
                service,
                metrics,
                doors: shown,
                outboxes: HashMap::new(),
            }
            .run(inbox);
            let _ = ended.send(());
        })?;
        tokio::spawn(tick(requests.downgrade()));
        let waiting_bytes = Arc::new(Semaphore::new(REQUEST_BYTES_WAITING_MAX));
        Ok((
            Self {
                requests,
                waiting_bytes,
                doors,
            },
            has_ended,
        ))
    }

    /// Announces a connection. Out: false when there are too many.
    pub(crate) async fn connect(
        &self,
        connection: ConnectionId,
        source: Source,
        outbox: mpsc::UnboundedSender<Outgoing>,
    ) -> Result<bool, Ended> {
        let (admitted, answer) = oneshot::channel();
        self.ask(Request::Connect {
            connection,
            source,
            outbox,
            admitted,
        })
        .await?;
        answer.await.map_err(|_| Ended)
    }

    /// Hands over frames that took `bytes` on the wire; waits while too much is waiting.
    pub(crate) async fn frames(&self, from: ConnectionId, frames: Vec<ToRelay>, bytes: usize) -> Result<(), Ended> {
        let share = u32::try_from(bytes.min(REQUEST_BYTES_WAITING_MAX)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.waiting_bytes)
            .acquire_many_owned(share)
            .await
            .map_err(|_| Ended)?;
        self.ask(Request::Frames {
            from,
            frames,
            _permit: permit,
        })
        .await
    }

    pub(crate) async fn drained(&self, connection: ConnectionId, bytes: usize) -> Result<(), Ended> {
        self.ask(Request::Drained { connection, bytes }).await
    }

    pub(crate) async fn gone(&self, connection: ConnectionId) -> Result<(), Ended> {
        self.ask(Request::Gone { connection }).await
    }

    pub(crate) async fn knock(
        &self,
        path: DoorPath,
        proof: [u8; 16],
        source: Source,
    ) -> Result<Option<Arc<[u8]>>, Ended> {
        let (card, answer) = oneshot::channel();
        let knock = Request::Knock {
            path,
            proof,
            source,
            card,
        };
        self.ask(knock).await?;
        answer.await.map_err(|_| Ended)
    }

    /// Where doors stand.
    pub(crate) const fn doors(&self) -> &Doors {
        &self.doors
    }

    /// Tells all connections to come back later and closes them; `dice` spread them.
    pub(crate) async fn part(&self, dice: [u8; 8]) -> Result<(), Ended> {
        self.ask(Request::Part(dice)).await
    }

    /// Ends the engine after what it has in hand.
    pub(crate) async fn stop(&self) -> Result<(), Ended> {
        self.ask(Request::Stop).await
    }

    async fn ask(&self, request: Request) -> Result<(), Ended> {
        self.requests.send(Box::new(request)).await.map_err(|_| Ended)
    }
}

async fn tick(requests: mpsc::WeakSender<Asked>) {
    loop {
        tokio::time::sleep(TICK).await;
        let Some(requests) = requests.upgrade() else { return };
        if requests.send(Box::new(Request::Tick)).await.is_err() {
            return;
        }
    }
}

/// What the thread owns.
struct Room<S> {
    service: Service<S>,
    metrics: Metrics,
    doors: Doors,
    outboxes: HashMap<ConnectionId, mpsc::UnboundedSender<Outgoing>>,
}

impl<S: MailboxStore> Room<S> {
    fn run(mut self, mut inbox: mpsc::Receiver<Asked>) {
        while let Some(first) = self.next(&mut inbox) {
            if !self.round(first, &mut inbox) {
                break;
            }
        }
        if let Err(error) = self.service.into_store().close() {
            tracing::error!(%error, "the store could not be closed; the next start takes a little longer");
        }
    }

    /// One batch and its answers. Out: false when asked to stop. What it leaves on the stack lies below whoever waits, and is
    /// wiped there: so it is called, and no part of `run`.
    #[inline(never)]
    fn round(&mut self, first: Asked, inbox: &mut mpsc::Receiver<Asked>) -> bool {
        let began = Instant::now();
        let goes_on = self.batch(first, inbox);
        self.service.settle(now());
        if self.service.take_doors_changed() {
            self.doors.are(self.service.door_paths());
        }
        self.deliver();
        self.metrics.batch(began.elapsed(), self.service.snapshot());
        goes_on
    }

    /// Waits for a request, unless the service has something to do anyway.
    fn next(&self, inbox: &mut mpsc::Receiver<Asked>) -> Option<Asked> {
        if self.service.has_backlog() {
            return Some(inbox.try_recv().unwrap_or_else(|_| Box::new(Request::Tick)));
        }
        match inbox.try_recv() {
            Ok(request) => Some(request),
            Err(_) => {
                wipe_stack();
                inbox.blocking_recv()
            }
        }
    }

    /// Takes what has queued up. Out: false when asked to stop.
    fn batch(&mut self, first: Asked, inbox: &mut mpsc::Receiver<Asked>) -> bool {
        let mut next = Some(first);
        let mut left = BATCH_REQUESTS_MAX;
        while let Some(request) = next {
            if matches!(*request, Request::Stop) {
                return false;
            }
            self.take(*request);
            left -= 1;
            let goes_on = left > 0 && !self.service.wants_settling();
            next = if goes_on { inbox.try_recv().ok() } else { None };
        }
        true
    }

    fn take(&mut self, request: Request) {
        match request {
            Request::Connect {
                connection,
                source,
                outbox,
                admitted,
            } => {
                let is_admitted = self.service.connect(connection, source);
                if is_admitted {
                    self.outboxes.insert(connection, outbox);
                }
                let _ = admitted.send(is_admitted);
            }
            Request::Frames { from, frames, .. } => {
                let now = now();
                frames
                    .into_iter()
                    .for_each(|frame| self.service.handle(from, frame, now));
            }
            Request::Drained { connection, bytes } => self.service.drained(connection, bytes),
            Request::Gone { connection } => {
                self.service.disconnect(connection);
                self.outboxes.remove(&connection);
            }
            Request::Knock {
                path,
                proof,
                source,
                card,
            } => {
                let _ = card.send(self.service.knock(&path, &proof, source, now()));
            }
            Request::Part(dice) => self.service.part(dice),
            Request::Tick | Request::Stop => {}
        }
    }

    fn deliver(&mut self) {
        while let Some(output) = self.service.poll_output() {
            match output {
                Output::Send { to, frame } => self.post(to, Outgoing::Frame(frame)),
                Output::Close { connection, why } => {
                    self.post(connection, Outgoing::Close(why));
                    self.outboxes.remove(&connection);
                }
            }
        }
    }

    /// What is in an outbox is bounded by the service, which counts it against the connection (RLY-26).
    fn post(&self, to: ConnectionId, outgoing: Outgoing) {
        if let Some(outbox) = self.outboxes.get(&to) {
            // A closed outbox is a connection that has just gone; its `Gone` is on the way.
            let _ = outbox.send(outgoing);
        }
    }
}

/// The relay's clock.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
