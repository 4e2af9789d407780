//! The edge: the courier on a tokio runtime, with real sockets, a real clock and real dice.
//!
//! In: errands through a bounded channel. Out: news through another. Errands are always taken, so core never waits
//! for the network; when core does not take its news, connections are read no further (nothing is lost: the relays
//! keep it).

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use stonechat_wire::address::is_drop;
use stonechat_wire::exchange::{Errand, News};
use stonechat_wire::ids::{DoorPath, Timestamp};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinHandle};

use crate::carrier::channel::{Channels, Through};
use crate::carrier::drop::{self, Drops};
use crate::carrier::knock::{KnockFailure, knock_saying};
use crate::carrier::outer::Trust;
use crate::carrier::ws::{Command, Dial, Means, Truck, carry};
use crate::courier::{Courier, Hello, Hop, Input, LinkId, NetworkId, Output, Reached, Remembered, Tries};
use crate::lan;

/// Errands that wait for the courier.
pub const ERRANDS_WAITING_MAX: usize = 1024;
/// News that wait for core before connections are read no further.
pub const NEWS_WAITING_MAX: usize = 64;
/// Reports of carriers that wait for the courier.
const EVENTS_WAITING_MAX: usize = 64;
/// Errands taken in one go, so that puts share a frame.
const ERRANDS_AT_ONCE: usize = 1024;

/// The transport has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the transport has ended")]
pub struct Ended;

/// A transport that is about to run.
#[derive(Debug)]
pub struct Transport;

/// How core's edge speaks with a running transport. Dropping it ends the transport.
#[derive(Debug)]
pub struct Handle {
    errands: mpsc::Sender<Errand>,
    network: watch::Sender<NetworkId>,
    remembered: watch::Receiver<Remembered>,
    near: watch::Receiver<bool>,
    reached: watch::Receiver<Reached>,
    tried: watch::Receiver<Tries>,
    task: JoinHandle<()>,
}

impl Transport {
    /// Starts the courier on the tokio runtime this is called on. `seed`: 32 random bytes; the handshakes' keys come
    /// of it. Out: the handle, and the news.
    pub fn start(seed: [u8; 32], remembered: Remembered) -> (Handle, mpsc::Receiver<News>) {
        Self::start_with(Means::default(), seed, remembered)
    }

    /// The same, believing other certificates than the system does.
    pub fn start_trusting(trust: Trust, seed: [u8; 32], remembered: Remembered) -> (Handle, mpsc::Receiver<News>) {
        Self::start_with(trust.into(), seed, remembered)
    }

    /// The same, by these means.
    pub fn start_with(means: Means, seed: [u8; 32], remembered: Remembered) -> (Handle, mpsc::Receiver<News>) {
        let (errands, errands_in) = mpsc::channel(ERRANDS_WAITING_MAX);
        let (news, news_out) = mpsc::channel(NEWS_WAITING_MAX);
        let (keep, kept) = watch::channel(remembered.clone());
        let (network, networks) = watch::channel(remembered.network);
        let (near, nears) = watch::channel(false);
        let (reached, reaches) = watch::channel(Reached::new());
        let (tries, tried) = watch::channel(Tries::new());
        let told = Told {
            news,
            keep,
            near,
            reached,
            tried: tries,
        };
        let task = tokio::spawn(run((errands_in, networks), told, means, seed, remembered));
        (
            Handle {
                errands,
                network,
                remembered: kept,
                near: nears,
                reached: reaches,
                tried,
                task,
            },
            news_out,
        )
    }
}

impl Handle {
    /// Hands over an errand; waits only while [`ERRANDS_WAITING_MAX`] are waiting.
    pub async fn send(&self, errand: Errand) -> Result<(), Ended> {
        self.errands.send(errand).await.map_err(|_| Ended)
    }

    /// The same from a thread without a runtime.
    pub fn blocking_send(&self, errand: Errand) -> Result<(), Ended> {
        self.errands.blocking_send(errand).map_err(|_| Ended)
    }

    /// Another way in for errands.
    pub fn errands(&self) -> mpsc::Sender<Errand> {
        self.errands.clone()
    }

    /// Where to say on which network the device is.
    pub fn network(&self) -> watch::Sender<NetworkId> {
        self.network.clone()
    }

    /// What was learned; changes are seen on it.
    pub fn remembered(&self) -> watch::Receiver<Remembered> {
        self.remembered.clone()
    }

    /// Whether this device's near relay is to run (LAN-6); changes are seen on it.
    pub fn near(&self) -> watch::Receiver<bool> {
        self.near.clone()
    }

    /// The relays that are reached on their own ways, and where (FWD-12); changes are seen on it.
    pub fn reached(&self) -> watch::Receiver<Reached> {
        self.reached.clone()
    }

    /// What came of the ways to relays that do not answer (WAY-4); changes are seen on it.
    pub fn tried(&self) -> watch::Receiver<Tries> {
        self.tried.clone()
    }

    /// Ends the courier; connections say their goodbyes by themselves.
    pub async fn stop(self) {
        drop(self.errands);
        let _ = self.task.await;
    }
}

/// Who is told what.
#[derive(Debug)]
pub struct Told {
    /// Core.
    pub news: mpsc::Sender<News>,
    /// Whoever keeps what was learned.
    pub keep: watch::Sender<Remembered>,
    /// Whoever runs the near relay.
    pub near: watch::Sender<bool>,
    /// The same: what it may pass on to.
    pub reached: watch::Sender<Reached>,
    /// Whoever shows the person why a relay does not answer.
    pub tried: watch::Sender<Tries>,
}

/// Runs until every sender of errands, or the receiver of news, is gone.
pub async fn run(
    (mut errands, mut networks): (mpsc::Receiver<Errand>, watch::Receiver<NetworkId>),
    told: Told,
    means: Means,
    seed: [u8; 32],
    remembered: Remembered,
) {
    let (events, mut events_in) = mpsc::channel(EVENTS_WAITING_MAX);
    let (mut browser, has_proxy_also) = (means.browser(), means.has_proxy_also());
    let news = told.news.clone();
    let mut driver = Driver::new(Courier::new(seed, remembered), means, events, told);
    driver.input(Input::Browser(*browser.borrow_and_update()));
    if has_proxy_also {
        driver.input(Input::Proxy);
    }
    loop {
        let wake_at = driver.drain();
        tokio::select! {
            errand = errands.recv() => match errand {
                Some(errand) => driver.errands(errand, &mut errands),
                None => return,
            },
            Some(event) = events_in.recv(), if driver.news.len() < NEWS_WAITING_MAX => driver.input(event),
            permit = news.reserve(), if !driver.news.is_empty() => match permit {
                Ok(permit) => driver.tell(permit),
                Err(_) => return,
            },
            Ok(()) = networks.changed() => {
                let network = *networks.borrow_and_update();
                driver.input(Input::Network(network));
            }
            Ok(()) = browser.changed() => {
                let is_there = *browser.borrow_and_update();
                driver.input(Input::Browser(is_there));
            }
            () = driver.clock.sleep_until(wake_at) => driver.input(Input::Wake),
        }
    }
}

struct Driver {
    courier: Courier,
    means: Means,
    clock: Clock,
    links: HashMap<LinkId, Link>,
    drops: Drops,
    knocks: Vec<AbortHandle>,
    look: Option<AbortHandle>,
    events: mpsc::Sender<Input>,
    news: VecDeque<News>,
    told: Told,
}

/// A connection's task: told what to do until the courier closes it.
struct Link {
    commands: mpsc::UnboundedSender<Command>,
    channels: Channels,
}

impl Driver {
    fn new(courier: Courier, means: Means, events: mpsc::Sender<Input>, told: Told) -> Self {
        let (links, knocks, news) = (HashMap::new(), Vec::new(), VecDeque::new());
        Self {
            courier,
            means,
            clock: Clock::start(),
            links,
            drops: Drops::default(),
            knocks,
            look: None,
            events,
            news,
            told,
        }
    }

    fn errands(&mut self, first: Errand, more: &mut mpsc::Receiver<Errand>) {
        let rest = std::iter::from_fn(|| more.try_recv().ok()).take(ERRANDS_AT_ONCE);
        for mut errand in std::iter::once(first).chain(rest) {
            match &mut errand {
                Errand::Send(parcel) => parcel.deadline = self.clock.on_this_clock(parcel.deadline),
                Errand::ForgetRelay(relay) => self.drops.forget(relay),
                _other => {}
            }
            self.input(Input::Errand(errand));
        }
    }

    fn input(&mut self, input: Input) {
        if let Input::Lost { link, .. } = &input {
            self.links.remove(link);
        }
        self.courier.handle_input(self.clock.now(), input);
    }

    fn tell(&mut self, permit: mpsc::Permit<'_, News>) {
        if let Some(news) = self.news.pop_front() {
            permit.send(news);
        }
    }

    /// Does what the courier wants. Out: when it wants to be woken.
    fn drain(&mut self) -> Option<Timestamp> {
        loop {
            match self.courier.poll_output(self.clock.now()) {
                Output::Wait(until) => return until,
                Output::Dial {
                    link,
                    address,
                    relay,
                    keys,
                    dice,
                    session,
                    path,
                    load_max,
                    by,
                    hello,
                    over,
                    hop,
                } => {
                    let through = self.through(hop);
                    self.dial(Dial {
                        link,
                        relay,
                        keys,
                        dice,
                        session,
                        truck: Truck {
                            address,
                            path,
                            load_max,
                            hello,
                            over,
                            through,
                        },
                        means: self.means.clone(),
                        by,
                    });
                }
                Output::Relieve {
                    link,
                    address,
                    path,
                    load_max,
                    hello,
                    over,
                    hop,
                } => {
                    let through = self.through(hop);
                    let truck = Truck {
                        address,
                        path,
                        load_max,
                        hello,
                        over,
                        through,
                    };
                    self.command(link, Command::Relieve(truck));
                }
                Output::Send { link, frame } => self.command(link, Command::Send(frame)),
                Output::Ping { link } => self.command(link, Command::Ping),
                Output::Close { link } => drop(self.links.remove(&link)),
                Output::Knock {
                    id,
                    address,
                    path,
                    proof,
                    have,
                    hello,
                } => self.knock(id, (hello, address), path, proof, have),
                Output::Look => self.look(),
                Output::Near(runs) => drop(self.told.near.send_replace(runs)),
                Output::Reached(reached) => drop(self.told.reached.send_replace(reached)),
                Output::Tried(tries) => drop(self.told.tried.send_replace(tries)),
                Output::News(news) => self.news.push_back(news),
                Output::Remember(remembered) => drop(self.told.keep.send(remembered)),
            }
        }
    }

    fn dial(&mut self, dial: Dial) {
        let (commands, commands_in) = mpsc::unbounded_channel();
        let channels = Channels::new(&commands);
        let link = Link {
            commands,
            channels: channels.clone(),
        };
        self.links.insert(dial.link, link);
        let events = self.events.clone();
        if is_drop(&dial.truck.address) {
            let known = self.drops.of(dial.relay);
            tokio::spawn(drop::carry(dial, known, commands_in, events));
        } else {
            tokio::spawn(carry(dial, channels, commands_in, events));
        }
    }

    fn through(&self, hop: Option<Hop>) -> Option<Through> {
        let Hop { link, relay } = hop?;
        let channels = self.links.get(&link)?.channels.clone();
        Some(Through { channels, relay })
    }

    /// What is under way on a connection is bounded by the courier (puts in flight, subscriptions, doors).
    fn command(&self, link: LinkId, command: Command) {
        if let Some(link) = self.links.get(&link) {
            // A task that has ended has its `Lost` on the way.
            let _ = link.commands.send(command);
        }
    }

    fn knock(
        &mut self,
        id: [u8; 16],
        (hello, address): (Hello, String),
        path: DoorPath,
        proof: [u8; 16],
        have: Vec<u8>,
    ) {
        self.knocks.retain(|knock| !knock.is_finished());
        let (events, means) = (self.events.clone(), self.means.clone());
        let task = tokio::spawn(async move {
            let answer = if is_drop(&address) {
                drop::knock(&address, path, proof, &means).await
            } else {
                knock_saying(hello, &address, path, proof, have, &means).await
            };
            let answer = answer.inspect_err(|error| tracing::debug!(%error, "a knock brought no card"));
            let answer = answer.map_err(KnockFailure::reason);
            // Nobody listens when everything ends.
            let _ = events.send(Input::Knocked { id, answer }).await;
        });
        self.knocks.push(task.abort_handle());
    }

    /// Looks around on the local network, where that is not against the means; a look that is still under way goes on instead.
    fn look(&mut self) {
        if !self.means.looks_around() || self.look.as_ref().is_some_and(|look| !look.is_finished()) {
            return;
        }
        let events = self.events.clone();
        let task = tokio::spawn(async move {
            let found = |beacon, addresses| {
                // A courier that has too much to do hears it at the next look.
                let _ = events.try_send(Input::Near { beacon, addresses });
            };
            if let Err(error) = lan::look(found).await {
                tracing::debug!(%error, "nobody was looked for on the local network");
            }
        });
        self.look = Some(task.abort_handle());
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.knocks.iter().chain(&self.look).for_each(AbortHandle::abort);
    }
}

/// The courier's clock: starts at the wall's time and from then on only goes forward, at an even pace. A wall clock
/// that is set does not stop retries or kill parcels.
struct Clock {
    began: Instant,
    began_at: Timestamp,
}

impl Clock {
    fn start() -> Self {
        Self {
            began: Instant::now(),
            began_at: wall(),
        }
    }

    fn now(&self) -> Timestamp {
        self.began_at
            .plus_ms(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// A time of the wall clock, as core reads it, as this clock has it.
    fn on_this_clock(&self, time: Timestamp) -> Timestamp {
        let (now, wall) = (self.now(), wall());
        if time >= wall {
            now.plus_ms(time.since_ms(wall))
        } else {
            now.minus_ms(wall.since_ms(time))
        }
    }

    async fn sleep_until(&self, time: Option<Timestamp>) {
        match time {
            // A millisecond more: a wake-up before the time would be one for nothing.
            Some(time) => tokio::time::sleep(Duration::from_millis(time.since_ms(self.now()).saturating_add(1))).await,
            None => std::future::pending().await,
        }
    }
}

fn wall() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
