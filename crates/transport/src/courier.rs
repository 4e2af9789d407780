//! The courier: which way, when. Pure policy, sans-IO: one input in, outputs out.
//!
//! In: errands, what carriers report, the time. Out: what carriers shall do, and news. It keeps a connection to every
//! relay it is told to use, keeps parcels until every relay they name has stored them or their deadline passes, and
//! says again what a lost connection forgot. It keeps nothing on disk: core does. How bytes travel is the carriers'.
//!
//! Drain [`Courier::poll_output`] to [`Output::Wait`] after every handful of inputs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use stonechat_wire::address::dialled;
use stonechat_wire::beacon::Beacon;
use stonechat_wire::exchange::{Arrival, Errand, Listen, NamedBy, NearRelay, News, Parcel, Signal};
use stonechat_wire::frame::{FromRelay, ToRelay};
use stonechat_wire::ids::{DoorPath, RelayId, Timestamp};
use stonechat_wire::route::{RelayKeys, RelayRoute};

mod addresses;
mod browser;
mod hellos;
mod hops;
mod knocks;
mod looking;
mod memory;
mod near;
mod parcels;
mod polls;
mod proxied;
mod relay;
mod splits;
mod tries;
mod truck;

pub use addresses::{ADDRESSES_MAX, BROWSER_MAX, NEAR_MAX, PROXY_MAX, TOLD_MAX};
pub use browser::{by_browser, is_by_browser};
pub use hellos::{CAREFUL_MS, HELLOS_MAX, REST_MS, REST_MS_MAX, UNDER_WAY_MAX, WINDOW_MS};
use hellos::{Hellos, Wanted};
use hops::Vain;
pub(crate) use hops::helper;
pub use hops::{HELPED_MAX, HELPERS_MAX, Hop, NOT_PASSED_ON_MS};
pub use knocks::{KNOCKS_MAX, KnockError};
use knocks::{Knocked, Knocks};
use looking::Looking;
pub use looking::{LOOK_AFTER_MS, LOOK_EVERY_MS, LOOK_EVERY_MS_MAX};
use memory::Learned;
pub use memory::{LEARNED_MAX, NETWORKS_MAX, NetworkId, Remembered};
use near::Nearness;
pub use near::{NEAR_AFTER_MS, NEAR_LINGER_MS};
use parcels::Parcels;
pub use parcels::{PARCEL_BYTES_MAX, PARCELS_MAX};
use polls::{Came, Polls};
pub use polls::{Over, POLL_MS, POLL_MS_MAX, may_poll};
pub use proxied::{by_proxy, is_by_proxy};
pub use relay::{BACK_MS, BACK_MS_MAX, FIRST_PUT_BYTES, IN_FLIGHT_BYTES_MAX, LISTENING_MAX, NEAR_TRIES, TOLD_AFTER_MS};
use relay::{Heard, Relay};
use splits::{Asker, Fate, Splits};
pub use splits::{Hello, SPLIT_MS, SPLIT_MS_MAX};
use tries::Told;
pub use tries::{Missed, TRIES_MAX, Tries, Try};
use truck::Habit;
pub use truck::{
    PROVEN_BYTES, PROVEN_PACKETS, SHORT_LOAD_BYTES, SHORT_MS, SHORT_MS_MAX, SPENT_PACKETS, TIRED_BYTES, TIRED_PACKETS,
    Used,
};

/// No relay reached for so long: [`News::Offline`], in ms.
pub const OFFLINE_AFTER_MS: u64 = 15_000;
/// Silence after which a connection is asked for a sign of life, in ms.
pub const PING_AFTER_MS: u64 = 25_000;
/// The same while an answer is waited for, or when something has come since it was asked last, in ms (TRK-1).
pub const PING_SOON_MS: u64 = 3_000;
/// A connection that gives no sign of life for so long after it was asked is frozen, in ms (TRK-1).
pub const SIGN_MS: u64 = 3_000;
/// For every so many bytes in flight it has a millisecond more: a slow line is not a frozen one.
pub const SLOW_BYTES_PER_MS: usize = 8;
/// But no more than this, in ms.
pub const SLOW_MS_MAX: u64 = 27_000;
/// A frozen connection that no other has relieved for so long is given up, and its session with it, in ms (TRK-4).
pub const RELIEF_MS_MAX: u64 = 25_000;
/// A dial that has not come through after so long has failed, in ms.
pub const DIAL_MS_MAX: u64 = 30_000;
/// First pause before dialling again, in ms; it doubles, half of it is dice.
pub const RETRY_MS: u64 = 400;
/// Longest pause before dialling again, in ms.
pub const RETRY_MS_MAX: u64 = 60_000;
/// Pause after an answer that will not change soon (wrong keys, wrong secret), in ms.
pub const HOPELESS_RETRY_MS: u64 = 60_000;
/// Longest pause after a password that was not taken, in ms: it doubles with each further time (DRP-20).
pub const DENIED_RETRY_MS_MAX: u64 = 4 * 3_600_000;
/// Most relays at once.
pub const RELAYS_MAX: usize = 256;
/// Most of them near ones (LAN-4): ordinary ones always find room.
pub const NEAR_RELAYS_MAX: usize = 128;
/// Most arrivals in one news.
pub const ARRIVALS_MAX: usize = 256;

/// Relays, and the numbers at which they answer.
pub type Reached = BTreeMap<RelayId, SocketAddr>;

/// Names one dial and the connection that may come of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkId(pub u64);

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// Core wants something.
    Errand(Errand),
    /// A dial has come through: the face is open, nothing is said yet.
    Open {
        /// Which.
        link: LinkId,
        /// The keys that answered; they fit the pin. A drop has none.
        keys: Option<RelayKeys>,
        /// The number that was reached.
        place: Option<SocketAddr>,
    },
    /// Frames came.
    Frames {
        /// From where.
        link: LinkId,
        /// In order.
        frames: Vec<FromRelay>,
    },
    /// A sign of life that is no frame.
    Heard {
        /// From where.
        link: LinkId,
    },
    /// What the connection has used so far. Told while it may matter.
    Used {
        /// Of which link.
        link: LinkId,
        /// How much.
        used: Used,
    },
    /// Another connection has taken a link over.
    Relieved {
        /// Which link.
        link: LinkId,
    },
    /// No other connection came about; the link is as it was.
    NotRelieved {
        /// Which link.
        link: LinkId,
        /// Why.
        why: Lost,
    },
    /// A dial failed or a connection is lost.
    Lost {
        /// Which.
        link: LinkId,
        /// Why.
        why: Lost,
    },
    /// What befell the way that a link was on, told before its end: for the person (WAY-4).
    Missed {
        /// Which link.
        link: LinkId,
        /// What.
        why: Missed,
    },
    /// A door answered, or did not.
    Knocked {
        /// Core's name for the knock.
        id: [u8; 16],
        /// The card, or why there is none.
        answer: Result<Vec<u8>, KnockError>,
    },
    /// The device is on this network from now on.
    Network(NetworkId),
    /// A relay announces itself on the local network (LAN-1).
    Near {
        /// Which one: known to those who know it.
        beacon: Beacon,
        /// Where: `host:port` each.
        addresses: Vec<String>,
    },
    /// A page in a browser dials from now on, or none does (DIAL-1).
    Browser(bool),
    /// There is a proxy that is one way more, for good (PRX-4).
    Proxy,
    /// The time of [`Output::Wait`] has come, or any other.
    Wake,
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Nobody answers there, or it broke off.
    Broken,
    /// The connection stood, and after our hello came nothing: somebody in between does not like the name.
    Silenced,
    /// The connection stood, and our hello was answered by a reset.
    Reset,
    /// The connection stood, and our hello was answered by an alert, or by its end.
    Refused,
    /// The server of a drop does not take the password: asked often, it locks the account.
    Denied,
    /// Somebody else answers there: the keys do not fit the pin.
    WrongKeys,
    /// The connection stood, and no WebSocket came about on it (TRK-10).
    NotUpgraded,
    /// What came is not the protocol.
    Malformed,
    /// The relay that should pass it on does not know the other one, or does not reach it.
    NotPassedOn,
}

impl Lost {
    /// What it says of a hello that was under way.
    const fn fate(self) -> Fate {
        match self {
            Self::Broken | Self::NotPassedOn => Fate::Unknown,
            Self::Silenced => Fate::Silenced,
            Self::Reset => Fate::Reset,
            Self::Refused => Fate::Refused,
            Self::Denied | Self::WrongKeys | Self::NotUpgraded | Self::Malformed => Fate::Answered,
        }
    }
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Reach a relay. Report [`Input::Open`] or [`Input::Lost`].
    Dial {
        /// Name it thus.
        link: LinkId,
        /// `host:port`.
        address: String,
        /// Whose keys must answer.
        relay: RelayId,
        /// The keys, where known; else ask for them first.
        keys: Option<RelayKeys>,
        /// For the handshake, used once.
        dice: [u8; 32],
        /// Id of the session.
        session: [u8; 16],
        /// Where the relay stands at the address.
        path: DoorPath,
        /// Most bytes of the session that its first connection carries, each way; 0: any number.
        load_max: u32,
        /// Who named the address.
        by: NamedBy,
        /// How TLS says its first words.
        hello: Hello,
        /// How the session's messages go.
        over: Over,
        /// The channel, where the way leads through another relay.
        hop: Option<Hop>,
    },
    /// Have another connection take the link over. Report [`Input::Relieved`], [`Input::NotRelieved`] or [`Input::Lost`].
    Relieve {
        /// Which.
        link: LinkId,
        /// `host:port`.
        address: String,
        /// Where the relay stands there.
        path: DoorPath,
        /// As for a dial.
        load_max: u32,
        /// As for a dial.
        hello: Hello,
        /// As for a dial.
        over: Over,
        /// As for a dial.
        hop: Option<Hop>,
    },
    /// Send this frame.
    Send {
        /// Where.
        link: LinkId,
        /// What.
        frame: ToRelay,
    },
    /// Ask for a sign of life.
    Ping {
        /// Where.
        link: LinkId,
    },
    /// Close it; nothing more is to be reported of it.
    Close {
        /// Which.
        link: LinkId,
    },
    /// Ask a door. Report [`Input::Knocked`].
    Knock {
        /// Core's name for it.
        id: [u8; 16],
        /// `host:port`.
        address: String,
        /// Which door.
        path: DoorPath,
        /// What opens it.
        proof: [u8; 16],
        /// The first bytes of the card, where they came before.
        have: Vec<u8>,
        /// As for a dial.
        hello: Hello,
    },
    /// Look around on the local network for a while. Report [`Input::Near`], any number of times.
    Look,
    /// This device's near relay is to run, or to end (LAN-6).
    Near(bool),
    /// These relays are reached on their own ways, and there: what a device may lend (FWD-12).
    Reached(Reached),
    /// What came of the ways to relays that do not answer (WAY-4).
    Tried(Tries),
    /// Tell core.
    News(News),
    /// What works has changed: keep it.
    Remember(Remembered),
    /// Nothing to do until an input, or until then.
    Wait(Option<Timestamp>),
}

/// The courier's whole state.
#[derive(Debug)]
pub struct Courier {
    dice: ChaCha20Rng,
    relays: BTreeMap<RelayId, Relay>,
    links: BTreeMap<LinkId, RelayId>,
    parcels: Parcels,
    knocks: Knocks,
    hellos: Hellos,
    splits: Splits,
    polls: Polls,
    looking: Looking,
    nearness: Nearness,
    vain: Vain,
    has_browser: bool,
    has_proxy: bool,
    reached: Reached,
    tries: Told,
    remembered: Remembered,
    /// What was learned here; nothing until the first input tells the time.
    here: Option<Learned>,
    next_link: u64,
    offline_at: Option<Timestamp>,
    arrivals: Vec<Arrival>,
    outputs: VecDeque<Output>,
}

impl Courier {
    /// A courier without relays. `seed` decides its jitter and, through [`Output::Dial`], the handshakes' keys: it
    /// must be random where those are to be secret.
    pub fn new(seed: [u8; 32], remembered: Remembered) -> Self {
        Self {
            dice: ChaCha20Rng::from_seed(seed),
            relays: BTreeMap::new(),
            links: BTreeMap::new(),
            parcels: Parcels::default(),
            knocks: Knocks::default(),
            hellos: Hellos::default(),
            splits: Splits::default(),
            polls: Polls::default(),
            looking: Looking::default(),
            nearness: Nearness::default(),
            vain: Vain::default(),
            has_browser: false,
            has_proxy: false,
            reached: Reached::new(),
            tries: Told::default(),
            remembered,
            here: None,
            next_link: 1,
            offline_at: None,
            arrivals: Vec::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes one input. Cannot fail: what does not fit is dropped.
    pub fn handle_input(&mut self, now: Timestamp, input: Input) {
        if self.here.is_none() {
            self.arrive(now);
        }
        match input {
            Input::Network(network) => self.moved(now, network),
            Input::Near { beacon, addresses } => self.found_near(now, &beacon, addresses),
            Input::Errand(errand) => self.errand(now, errand),
            Input::Open { link, keys, place } => self.open(now, link, keys, place),
            Input::Frames { link, frames } => frames.into_iter().for_each(|frame| self.frame(now, link, frame)),
            Input::Heard { link } => self.with_relay(link, |relay| relay.heard(now)),
            Input::Used { link, used } => self.with_relay(link, |relay| relay.used(used)),
            Input::Relieved { link } => {
                self.hello_ended(now, Asker::Link(link), Fate::Answered);
                if let Some(id) = self.links.get(&link) {
                    self.tries.over(id);
                }
                self.with_relay(link, |relay| relay.relieved(now));
                self.dial_ended(now, link, Came::Open);
                self.keep_way(link);
            }
            Input::NotRelieved { link, why } => {
                self.was_in_vain(now, link, why);
                self.hello_ended(now, Asker::Link(link), why.fate());
                self.dial_ended(now, link, why.came());
                self.poll_stays(now, link);
                let dice = self.dice.next_u32();
                self.with_relay(link, |relay| relay.not_relieved(now, dice));
            }
            Input::Missed { link, why } => self.missed(link, why),
            Input::Lost { link, why } => self.lost(now, link, why),
            Input::Knocked { id, answer } => self.knocked(now, id, answer),
            Input::Browser(is_there) => self.browser(now, is_there),
            Input::Proxy => self.has_proxy(now),
            Input::Wake => {}
        }
    }

    /// What to do next. Ends with [`Output::Wait`].
    pub fn poll_output(&mut self, now: Timestamp) -> Output {
        if self.outputs.is_empty() {
            self.turn(now);
        }
        self.outputs.pop_front().unwrap_or_else(|| Output::Wait(self.wake_at()))
    }

    /// What worked last, for the next start.
    pub const fn remembered(&self) -> &Remembered {
        &self.remembered
    }

    /// How many parcels wait.
    pub fn parcel_count(&self) -> usize {
        self.parcels.len()
    }

    fn errand(&mut self, now: Timestamp, errand: Errand) {
        match errand {
            Errand::UseRelay(route, keys, by) => self.use_relay(now, route, keys, by),
            Errand::UseNear(near) => self.use_near(now, near),
            Errand::ForgetRelay(relay) => self.forget_relay(now, relay),
            Errand::ForgetWays { relay, ways } => self.forget_ways(now, relay, &ways),
            Errand::Send(parcel) => self.send(now, parcel),
            Errand::Signal(signal) => self.signal(&signal),
            Errand::Listen(Listen { relay, add, drop }) => {
                if let Some(relay) = self.relay(relay) {
                    relay.listen(add, drop);
                }
            }
            Errand::OpenDoor(door) => {
                if let Some(relay) = self.relay(door.relay) {
                    relay.open_door(door);
                }
            }
            Errand::CloseDoor { relay, path, key } => {
                if let Some(relay) = self.relay(relay) {
                    relay.close_door(path, key);
                }
            }
            Errand::Knock(knock) => self.knocks.begin(now, knock, self.has_proxy),
            Errand::ForgetKnock(id) => self.knocks.forget(&id),
        }
    }

    /// The relay's entry, also before its route is known: errands may come in any order.
    fn relay(&mut self, id: RelayId) -> Option<&mut Relay> {
        if !self.relays.contains_key(&id) && self.relays.len() >= RELAYS_MAX {
            return None;
        }
        Some(self.relays.entry(id).or_insert_with(|| Relay::new(id)))
    }

    fn use_relay(&mut self, now: Timestamp, route: RelayRoute, keys: Option<RelayKeys>, by: NamedBy) {
        let here = self.here.as_ref();
        let worked = here.and_then(|here| here.addresses.get(&route.relay).cloned());
        let habit = here.and_then(|here| here.habits.get(&route.relay).copied());
        let place = self.remembered.place(&route.relay).map(str::to_owned);
        let (has_browser, has_proxy) = (self.has_browser, self.has_proxy);
        if let Some(relay) = self.relay(route.relay) {
            let is_new = !relay.is_wanted();
            relay.learn(now, route, keys, by, worked.as_deref());
            relay.named_by(by);
            if let Some(place) = &place {
                relay.remember_place(place);
            }
            if is_new && (habit.is_some() || worked.is_some()) {
                relay.recall(now, habit.unwrap_or_default(), worked.as_deref());
            }
            relay.browser(now, has_browser, worked.as_deref());
            if has_proxy {
                relay.proxied(now, worked.as_deref());
            }
        }
        self.watch_offline(now);
    }

    fn use_near(&mut self, now: Timestamp, near: NearRelay) {
        let known = self.relays.values().filter(|relay| !relay.is_ordinary()).count();
        if !self.relays.contains_key(&near.relay) && known >= NEAR_RELAYS_MAX {
            return;
        }
        let Some(relay) = self.relay(near.relay) else { return };
        relay.be_near(now, near);
        // Mine has ended.
        let over = if relay.is_wanted() { vec![] } else { relay.links() };
        for link in over {
            self.give_up(now, link, 0);
        }
    }

    fn forget_relay(&mut self, now: Timestamp, id: RelayId) {
        self.parcels.forget_relay(id);
        let Some(relay) = self.relays.remove(&id) else { return };
        self.tries.over(&id);
        self.helper_left(now, id);
        for link in relay.links() {
            self.end(now, link);
        }
        if relay.is_up() {
            self.news(News::Gone { relay: id });
        }
    }

    /// What leads there ends, whatever it carries.
    fn forget_ways(&mut self, now: Timestamp, id: RelayId, ways: &[String]) {
        let Some(relay) = self.relays.get_mut(&id) else { return };
        for link in relay.forget_ways(now, ways) {
            self.give_up(now, link, 0);
        }
    }

    /// Said on every steady connection that is up, and forgotten.
    fn signal(&mut self, signal: &Signal) {
        for id in &signal.relays {
            let Some(link) = self.relays.get(id).and_then(Relay::steady_link) else {
                continue;
            };
            self.outputs.push_back(Output::Send {
                link,
                frame: ToRelay::Ephemeral {
                    token: signal.token.clone(),
                    envelope: signal.envelope.clone(),
                },
            });
        }
    }

    fn send(&mut self, now: Timestamp, parcel: Parcel) {
        let id = parcel.envelope.id();
        if parcel.deadline <= now {
            return;
        }
        for refused in self.parcels.add(id, parcel) {
            self.news(News::Refused {
                relay: refused,
                ids: vec![id],
            });
        }
    }

    fn open(&mut self, now: Timestamp, link: LinkId, keys: Option<RelayKeys>, place: Option<SocketAddr>) {
        let Some(relay) = self.links.get(&link).and_then(|id| self.relays.get_mut(id)) else {
            return;
        };
        let own = relay.dialling(link).filter(|way| relay.is_own(way));
        if let Some(led_to) = place.and_then(|place| led_to(own?, place)) {
            relay.remember_place(&led_to);
            self.remembered.led_to(relay.id(), led_to);
        }
        let opened = relay.opened(now, link, keys, place);
        self.hello_ended(now, Asker::Link(link), Fate::Answered);
        self.dial_ended(now, link, Came::Open);
        if let Some((frame, losers)) = opened {
            losers.into_iter().for_each(|loser| self.end(now, loser));
            self.outputs.push_back(Output::Send { link, frame });
        }
    }

    fn end(&mut self, now: Timestamp, link: LinkId) {
        self.links.remove(&link);
        self.hello_ended(now, Asker::Link(link), Fate::Unknown);
        self.dial_ended(now, link, Came::Unknown);
        self.outputs.push_back(Output::Close { link });
    }

    fn frame(&mut self, now: Timestamp, link: LinkId, frame: FromRelay) {
        let Some(relay) = self.links.get(&link).and_then(|id| self.relays.get_mut(id)) else {
            return;
        };
        let id = relay.id();
        match relay.take(now, frame, &mut self.parcels) {
            Heard::Nothing => {}
            Heard::Greeting(time) => self.greeted(id, time),
            Heard::Arrival(arrival) => self.arrived(arrival),
            Heard::News(news) => self.news(news),
            Heard::Hopeless => {
                self.missed(link, Missed::Secret);
                self.give_up(now, link, HOPELESS_RETRY_MS);
            }
        }
    }

    fn greeted(&mut self, id: RelayId, time: Timestamp) {
        if self.relays.get(&id).is_some_and(Relay::is_ordinary) {
            self.offline_at = None;
        }
        self.tries.over(&id);
        self.news(News::Greeting { relay: id, time });
        self.links_of(id).into_iter().for_each(|link| self.keep_way(link));
    }

    fn links_of(&self, id: RelayId) -> Vec<LinkId> {
        self.relays.get(&id).map(Relay::links).unwrap_or_default()
    }

    /// The way that a link has come to is the one to begin with next time.
    fn keep_way(&mut self, link: LinkId) {
        let relay = self.links.get(&link).and_then(|id| self.relays.get(id));
        let way = relay.and_then(|relay| Some((relay.id(), relay.address()?)));
        if let (Some((id, way)), Some(here)) = (way, &mut self.here) {
            here.addresses.insert(id, way);
        }
    }

    /// Begins with what is remembered of the network.
    fn arrive(&mut self, now: Timestamp) {
        let here = self.remembered.here();
        self.hellos.recall(now, here.cares.clone());
        self.splits.recall(now, here.splits.clone());
        self.polls.recall(now, here.polls.clone());
        for (id, relay) in &mut self.relays {
            let habit = here.habits.get(id).copied().unwrap_or_default();
            relay.recall(now, habit, here.addresses.get(id).map(String::as_str));
        }
        self.here = Some(here);
    }

    /// Another network: what was learned on the last one says nothing here (TRK-8).
    fn moved(&mut self, now: Timestamp, network: NetworkId) {
        if network != self.remembered.network {
            self.remember(now);
            self.remembered.network = network;
            self.relays.values_mut().for_each(Relay::forget_near);
            self.looking.begin_again();
            self.vain.forget();
            self.arrive(now);
        }
    }

    /// Whoever announces itself says nothing about its keys: those are the route's.
    fn found_near(&mut self, now: Timestamp, beacon: &Beacon, addresses: Vec<String>) {
        let is_alone = self.is_alone();
        let mut known = self.relays.values_mut().filter(|relay| relay.may_be_near(is_alone));
        if let Some(relay) = known.find(|relay| beacon.is_of(&relay.id())) {
            relay.found_near(now, addresses, Some(beacon.nonce()));
        }
    }

    /// Keeps what was learned since, if anything was.
    fn remember(&mut self, now: Timestamp) {
        let Some(here) = &mut self.here else { return };
        for (id, relay) in &self.relays {
            match relay.habit() {
                habit if habit == Habit::default() => drop(here.habits.remove(id)),
                habit => drop(here.habits.insert(*id, habit)),
            }
        }
        here.cares = self.hellos.cares(now);
        here.splits = self.splits.kept(now);
        here.polls = self.polls.kept(now);
        if self.remembered.learn(now, here.clone()) {
            self.outputs.push_back(Output::Remember(self.remembered.clone()));
        }
    }

    fn arrived(&mut self, arrival: Arrival) {
        self.arrivals.push(arrival);
        if self.arrivals.len() >= ARRIVALS_MAX {
            self.flush_arrivals();
        }
    }

    fn flush_arrivals(&mut self) {
        if !self.arrivals.is_empty() {
            let arrivals = std::mem::take(&mut self.arrivals);
            self.outputs.push_back(Output::News(News::Arrived(arrivals)));
        }
    }

    /// News in the order in which things happened: what came before is told before.
    fn news(&mut self, news: News) {
        self.flush_arrivals();
        self.outputs.push_back(Output::News(news));
    }

    fn with_relay(&mut self, link: LinkId, change: impl FnOnce(&mut Relay)) {
        if let Some(relay) = self.links.get(&link).and_then(|id| self.relays.get_mut(id)) {
            change(relay);
        }
    }

    fn lost(&mut self, now: Timestamp, link: LinkId, why: Lost) {
        self.hello_ended(now, Asker::Link(link), why.fate());
        self.dial_ended(now, link, why.came());
        let at_least_ms = match why {
            Lost::Broken | Lost::NotUpgraded | Lost::Silenced | Lost::Reset | Lost::Refused | Lost::NotPassedOn => 0,
            Lost::Denied => self.denied(link),
            Lost::WrongKeys | Lost::Malformed if self.was_not_near(link) || self.is_between(link) => 0,
            Lost::WrongKeys | Lost::Malformed => HOPELESS_RETRY_MS,
        };
        self.was_in_vain(now, link, why);
        self.dropped(now, link, at_least_ms);
    }

    /// Out: how long to leave that server alone.
    fn denied(&mut self, link: LinkId) -> u64 {
        let relay = self.links.get(&link).and_then(|id| self.relays.get_mut(id));
        relay.map_or(HOPELESS_RETRY_MS, Relay::denied)
    }

    /// Somebody else says that it is the relay: the address is dropped, and the relay's own ones wait for nothing.
    fn was_not_near(&mut self, link: LinkId) -> bool {
        let relay = self.links.get(&link).and_then(|id| self.relays.get_mut(id));
        relay.is_some_and(|relay| relay.is_not_near(link))
    }

    /// A name that was silenced rests for as long as censors are known to hold it, whoever wants it (TRK-6), where saying
    /// it in pieces is not left to try (TRK-9).
    fn hello_ended(&mut self, now: Timestamp, asker: Asker, fate: Fate) {
        if let Some(way) = self.splits.ended(now, asker, fate) {
            self.hellos.silenced(now, &way);
        }
    }

    fn give_up(&mut self, now: Timestamp, link: LinkId, at_least_ms: u64) {
        self.hello_ended(now, Asker::Link(link), Fate::Unknown);
        self.dial_ended(now, link, Came::Unknown);
        self.outputs.push_back(Output::Close { link });
        self.dropped(now, link, at_least_ms);
    }

    /// A link is no more: what was in flight waits again, and the next dial is set.
    fn dropped(&mut self, now: Timestamp, link: LinkId, at_least_ms: u64) {
        let Some(relay) = self.links.remove(&link).and_then(|id| self.relays.get_mut(&id)) else {
            return;
        };
        let (id, was_up) = (relay.id(), relay.is_up());
        relay.dropped(now, link, at_least_ms, self.dice.next_u32());
        if was_up {
            self.parcels.forget_flights(id);
            self.helper_left(now, id);
        }
        if was_up {
            self.news(News::Gone { relay: id });
        }
        self.watch_offline(now);
    }

    fn watch_offline(&mut self, now: Timestamp) {
        let mut ordinary = self.relays.values().filter(|relay| relay.is_ordinary());
        let waits = ordinary.any(Relay::is_wanted) && self.is_alone();
        if waits && self.offline_at.is_none() {
            self.offline_at = Some(now.plus_ms(OFFLINE_AFTER_MS));
        }
    }

    /// Whether no relay answers but near ones.
    fn is_alone(&self) -> bool {
        !self.relays.values().any(|relay| relay.is_ordinary() && relay.is_up())
    }

    fn knocked(&mut self, now: Timestamp, id: [u8; 16], answer: Result<Vec<u8>, KnockError>) {
        let fate = match &answer {
            Ok(_) | Err(KnockError::NotFound | KnockError::Cut(_)) => Fate::Answered,
            Err(KnockError::Silenced) => Fate::Silenced,
            Err(KnockError::Reset) => Fate::Reset,
            Err(KnockError::Refused) => Fate::Refused,
            Err(KnockError::Unreachable) => Fate::Unknown,
        };
        self.hello_ended(now, Asker::Knock(id), fate);
        match self.knocks.answered(now, &id, answer, self.dice.next_u32()) {
            Knocked::Nothing => {}
            Knocked::Card(card) => self.news(News::Knocked { id, card }),
            Knocked::Spent => self.news(News::DoorSpent { id }),
        }
    }

    /// Everything that is due and everything that can be sent.
    fn turn(&mut self, now: Timestamp) {
        self.flush_arrivals();
        self.parcels.expire(now);
        self.tell_offline(now);
        self.check_silence(now);
        self.look(now);
        self.run_near(now);
        self.offer_help(now);
        self.dial(now);
        self.relieve(now);
        for relay in self.relays.values_mut() {
            relay.speak(now, &mut self.parcels, &mut self.outputs);
        }
        self.knock(now);
        self.remember(now);
        self.tell_reached();
        self.tell_tries();
    }

    fn tell_reached(&mut self) {
        let reached: Reached = self.relays.values().filter_map(Relay::reached).collect();
        if reached != self.reached {
            self.reached.clone_from(&reached);
            self.outputs.push_back(Output::Reached(reached));
        }
    }

    fn tell_offline(&mut self, now: Timestamp) {
        if self.offline_at.is_some_and(|at| at <= now) {
            // Once per outage: the far end of time keeps it from being told again.
            self.offline_at = Some(Timestamp(u64::MAX));
            self.outputs.push_back(Output::News(News::Offline));
        }
    }

    fn look(&mut self, now: Timestamp) {
        let is_alone = self.is_alone();
        let may_be_near = |relay: &&Relay| relay.may_be_near(is_alone);
        let is_missing = self.relays.values().filter(may_be_near).any(|relay| !relay.is_up());
        if self.looking.is_due(now, is_missing) {
            self.outputs.push_back(Output::Look);
        }
    }

    fn run_near(&mut self, now: Timestamp) {
        let is_wanted = self.relays.values().any(Relay::is_mine) && self.is_alone();
        self.outputs
            .extend(self.nearness.turn(now, is_wanted).map(Output::Near));
    }

    fn check_silence(&mut self, now: Timestamp) {
        let dead: BTreeSet<LinkId> = self.relays.values().filter_map(|relay| relay.dead_link(now)).collect();
        for link in dead {
            self.fell_silent(link);
            self.give_up(now, link, 0);
        }
        for relay in self.relays.values_mut() {
            relay.check_frozen(now);
            if let Some(link) = relay.link_to_ping(now) {
                self.outputs.push_back(Output::Ping { link });
            }
        }
    }

    fn dial(&mut self, now: Timestamp) {
        for id in self.relays.keys().copied().collect::<Vec<_>>() {
            let addresses = self.relays.get(&id).map(|relay| relay.to_dial(now)).unwrap_or_default();
            let Some(may) = self.first_hello(now, addresses, Purpose::Relay) else {
                continue;
            };
            let address = match may {
                Ok(address) => address,
                Err(later) => {
                    if let Some(relay) = self.relays.get_mut(&id) {
                        relay.dial_later(now, later);
                    }
                    continue;
                }
            };
            let over = self.over(now, &address);
            let Some(relay) = self.relays.get_mut(&id) else {
                continue;
            };
            let link = LinkId(self.next_link);
            self.next_link += 1;
            self.links.insert(link, id);
            let (mut dice, mut session) = ([0; 32], [0; 16]);
            self.dice.fill_bytes(&mut dice);
            self.dice.fill_bytes(&mut session);
            let path = relay.path(&address);
            let by = relay.by();
            let (keys, load_max) = relay.dialled(now, link, (address.clone(), over));
            self.polls.begin(link, &address, over);
            let hello = self.splits.begin(now, Asker::Link(link), &address);
            let hop = self.hop(id, &address);
            self.outputs.push_back(Output::Dial {
                link,
                address,
                relay: id,
                keys,
                dice,
                session,
                path,
                load_max,
                by,
                hello,
                over,
                hop,
            });
        }
    }

    /// Sends another connection where one is tired or frozen (TRK-3, TRK-4).
    fn relieve(&mut self, now: Timestamp) {
        for id in self.relays.keys().copied().collect::<Vec<_>>() {
            let addresses = self
                .relays
                .get(&id)
                .map(|relay| relay.to_relieve(now))
                .unwrap_or_default();
            let Some(may) = self.first_hello(now, addresses, Purpose::Relay) else {
                continue;
            };
            let Some(relay) = self.relays.get_mut(&id) else {
                continue;
            };
            match may {
                Err(later) => relay.relieve_later(later),
                Ok(address) => {
                    let Some(link) = relay.links().first().copied() else {
                        continue;
                    };
                    let hello = self.splits.begin(now, Asker::Link(link), &address);
                    let over = self.over(now, &address);
                    self.polls.begin(link, &address, over);
                    let hop = self.hop(id, &address);
                    if let Some(relay) = self.relays.get_mut(&id) {
                        self.outputs.extend(relay.relieve(now, address, (hello, over), hop));
                    }
                }
            }
        }
    }

    fn knock(&mut self, now: Timestamp) {
        while let Some((id, ways)) = self.knocks.next_to_ask(now) {
            match self.first_hello(now, ways, Purpose::Door) {
                Some(Ok(way)) => {
                    let hello = self.splits.begin(now, Asker::Knock(id), &way);
                    self.outputs.extend(self.knocks.ask(&id, way, hello));
                }
                Some(Err(later)) => self.knocks.ask_later(&id, later),
                None => return,
            }
        }
    }

    /// The first of these addresses with which a handshake may begin, or when one may; nothing where there are none.
    fn first_hello(
        &mut self,
        now: Timestamp,
        addresses: Vec<String>,
        purpose: Purpose,
    ) -> Option<Result<String, Timestamp>> {
        let mut soonest: Option<Timestamp> = None;
        for address in addresses {
            match self.hello(now, &address, purpose) {
                Ok(()) => return Some(Ok(address)),
                Err(later) => soonest = Some(soonest.map_or(later, |soonest| soonest.min(later))),
            }
        }
        soonest.map(Err)
    }

    /// Whether a handshake with this address may begin (TRK-5, FWD-8).
    fn hello(&mut self, now: Timestamp, address: &str, purpose: Purpose) -> Result<(), Timestamp> {
        self.has_channel(now, address)?;
        let relays = self.relays.values().map(|relay| relay.shaking_hands_with(address));
        let under_way = relays.sum::<usize>() + self.knocks.asking(address);
        let polling = self.relays.values().filter(|relay| relay.polls(address));
        let polls = purpose == Purpose::Relay && self.over(now, address) == Over::Requests;
        let wanted = Wanted {
            count: if polls { 2 } else { 1 },
            kept: polling.count().min(1),
        };
        self.hellos.begin_some(now, address, under_way, wanted)
    }

    fn wake_at(&self) -> Option<Timestamp> {
        let relays = self.relays.values().filter_map(Relay::wake_at);
        let others = [
            self.offline_at.filter(|at| at.0 != u64::MAX),
            self.knocks.wake_at(),
            self.parcels.wake_at(),
            self.looking.wake_at(),
            self.nearness.wake_at(),
        ];
        relays.chain(others.into_iter().flatten()).min()
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// A session with a relay.
    Relay,
    /// An invitation's door.
    Door,
}

/// What a way by name is by the number that it led to; nothing for one that has a number, or leads nowhere outside.
fn led_to(way: &str, place: SocketAddr) -> Option<String> {
    let is_number = dialled(way).parse::<SocketAddr>().is_ok();
    (!is_number && !place.ip().is_loopback()).then(|| format!("{way}@{place}"))
}

/// A pause that doubles with every failure, between a half and the whole of it by dice.
fn pause_ms(first_ms: u64, failures: u32, longest_ms: u64, dice: u32) -> u64 {
    let whole = first_ms.saturating_mul(1 << failures.min(16)).min(longest_ms);
    let half = whole / 2;
    half + u64::from(dice) % half.max(1)
}

#[cfg(test)]
mod tests;
