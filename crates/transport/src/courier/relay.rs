//! One relay, as the courier sees it: its addresses, its connection, and what is to be said on it.
//!
//! Everything that a lost connection forgets (subscriptions, doors, puts without an answer) is kept here and in
//! [`Parcels`], and said again on the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use stonechat_wire::address::{Around, is_bridge, is_drop, split, ways};
use stonechat_wire::exchange::{Arrival, Door, NamedBy, NearRelay, News};
use stonechat_wire::frame::{FORWARDS, FromRelay, Refusal, ToRelay, VERSION};
use stonechat_wire::ids::{DoorKey, DoorPath, EnvelopeId, RelayId, Tag, Timestamp};
use stonechat_wire::route::{RelayKeys, RelayRoute, near_path, relay_path};

use super::addresses::Addresses;
use super::hellos::key;
use super::hops::{Hop, helper};
use super::parcels::Parcels;
use super::truck::{Habit, Used};
use super::{
    DENIED_RETRY_MS_MAX, DIAL_MS_MAX, HOPELESS_RETRY_MS, Hello, LinkId, Output, Over, PING_AFTER_MS, PING_SOON_MS,
    RELIEF_MS_MAX, RETRY_MS, RETRY_MS_MAX, SIGN_MS, SLOW_BYTES_PER_MS, SLOW_MS_MAX, pause_ms,
};

mod browser;
mod helped;
mod polled;
mod proxied;
mod saying;

pub use helped::{BACK_MS, BACK_MS_MAX, TOLD_AFTER_MS};
use helped::{Help, in_turn};

/// Most mailboxes read on one relay.
pub const LISTENING_MAX: usize = 32_768;
/// How long after the one before a racer starts: the second, third and fourth (TRK-7), in ms.
const RACE_MS: [u64; 3] = [300, 300, 600];
/// Most bytes of puts without an answer.
pub const IN_FLIGHT_BYTES_MAX: usize = 1 << 20;

/// Most envelopes of one put: few enough that answers flow.
const PUT_ITEMS: usize = 256;
/// What is put on a fresh connection before the first answer, in bytes: a way that breaks off after 16 kB, as some do,
/// still brings something through each time. With every answer it doubles, up to [`IN_FLIGHT_BYTES_MAX`].
pub const FIRST_PUT_BYTES: usize = 8 << 10;
/// Most doors to be opened or closed on one relay.
const DOORS_MAX: usize = 256;
/// Pause of all puts and doors after a refusal, in ms.
const REFUSED_PAUSE_MS: u64 = 30_000;
/// Pause of an envelope whose mailbox is full, in ms.
const FULL_PAUSE_MS: u64 = 600_000;
/// A near relay that is not reached so often one after the other is not where it was (LAN-8).
pub const NEAR_TRIES: u32 = 8;
/// A connection that lasted so long was a good one, in ms.
const GOOD_AFTER_MS: u64 = 5_000;

/// Most signals of one relay in so many ms; the others are dropped.
pub(super) const SIGNALS_MAX: u32 = 32;
pub(super) const SIGNALS_MS: u64 = 10_000;

/// What a frame meant.
#[derive(Debug)]
pub(super) enum Heard {
    Nothing,
    Greeting(Timestamp),
    Arrival(Arrival),
    News(News),
    /// It will not have us; try again much later.
    Hopeless,
}

/// Whose near relay it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Near {
    Mine,
    Theirs,
}

#[derive(Debug)]
pub(super) struct Relay {
    id: RelayId,
    /// It is found on the local network only (LAN-4).
    near: Option<Near>,
    /// Signals taken since then.
    signals: u32,
    signals_since: Timestamp,
    addresses: Addresses,
    help: Help,
    secret: Option<[u8; 16]>,
    keys: Option<RelayKeys>,
    by: NamedBy,
    link: Link,
    habit: Habit,
    failures: u32,
    /// So many connections, one after the other, broke off before they were good ones.
    breaks: u32,
    /// So often, one after the other, its password was not taken.
    denials: u32,
    listening: BTreeMap<Tag, Reading>,
    listen_order: u64,
    /// Mailboxes to say on this connection, in the order core named them.
    unsaid: BTreeMap<u64, Tag>,
    undropped: BTreeSet<Tag>,
    doors: BTreeMap<DoorPath, DoorWish>,
    requests: BTreeMap<u32, Request>,
    next_request: u32,
    in_flight_bytes: usize,
    /// How much may be in flight.
    window_bytes: usize,
    paused_until: Timestamp,
    full: BTreeSet<(Timestamp, EnvelopeId)>,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    order: u64,
    cursor: u64,
}

#[derive(Debug)]
enum Link {
    Down { retry_at: Timestamp },
    Dialling(Race),
    Up(Up),
}

/// Dials to several addresses, one a little after the other; the first that comes through wins (TRK-7).
#[derive(Debug)]
struct Race {
    racers: Vec<Racer>,
    /// Addresses that were dialled in it.
    tried: BTreeSet<String>,
    /// When the next may start.
    next_at: Timestamp,
    /// When the next may that others said (REL-7).
    told_at: Timestamp,
    /// So often all others were tried in it.
    rounds: u32,
}

#[derive(Debug)]
struct Racer {
    link: LinkId,
    address: String,
    since: Timestamp,
    load_max: u32,
    over: Over,
}

/// A session, and the connection that carries it at the moment.
#[derive(Debug)]
struct Up {
    link: LinkId,
    /// The way that is in use.
    way: String,
    /// The number that it led to, as far as that is known.
    place: Option<SocketAddr>,
    since: Timestamp,
    is_greeted: bool,
    /// It passes on channels to others (FWD-6).
    forwards: bool,
    heard_at: Timestamp,
    /// Since when a request waits for its answer.
    waiting_since: Option<Timestamp>,
    /// Something has come since it was asked for a sign of life.
    is_lively: bool,
    pinged_at: Option<Timestamp>,
    frozen_at: Option<Timestamp>,
    used: Used,
    load_max: u32,
    over: Over,
    /// Where it goes by requests: when a WebSocket is tried again.
    upgrade_at: Option<Timestamp>,
    relief: Relief,
}

/// Another connection that shall take over.
#[derive(Debug)]
enum Relief {
    None {
        not_before: Timestamp,
        failures: u32,
    },
    UnderWay {
        address: String,
        load_max: u32,
        over: Over,
        failures: u32,
    },
}

impl Relief {
    const FRESH: Self = Self::None {
        not_before: Timestamp(0),
        failures: 0,
    };

    const fn failures(&self) -> u32 {
        match self {
            Self::None { failures, .. } | Self::UnderWay { failures, .. } => *failures,
        }
    }
}

impl Up {
    /// When to ask it for a sign of life.
    fn ping_at(&self) -> Timestamp {
        let quiet_since = self
            .waiting_since
            .map_or(self.heard_at, |since| since.max(self.heard_at));
        let is_soon = self.waiting_since.is_some() || self.is_lively;
        quiet_since.plus_ms(if is_soon { PING_SOON_MS } else { PING_AFTER_MS })
    }

    const fn heard(&mut self, now: Timestamp) {
        self.heard_at = now;
        self.pinged_at = None;
        self.frozen_at = None;
    }
}

#[derive(Debug)]
struct DoorWish {
    wish: Wished,
    is_said: bool,
}

#[derive(Debug)]
enum Wished {
    Open(Door),
    Closed(DoorKey),
}

#[derive(Debug)]
enum Request {
    /// Envelope and its size.
    Put(BTreeMap<EnvelopeId, usize>),
    Door(DoorPath),
}

impl Relay {
    pub(super) fn new(id: RelayId) -> Self {
        Self {
            id,
            near: None,
            addresses: Addresses::default(),
            help: Help::default(),
            secret: None,
            keys: None,
            by: NamedBy::Others,
            link: Link::Down { retry_at: Timestamp(0) },
            habit: Habit::default(),
            failures: 0,
            breaks: 0,
            denials: 0,
            signals: 0,
            signals_since: Timestamp(0),
            listening: BTreeMap::new(),
            listen_order: 0,
            unsaid: BTreeMap::new(),
            undropped: BTreeSet::new(),
            doors: BTreeMap::new(),
            requests: BTreeMap::new(),
            next_request: 1,
            in_flight_bytes: 0,
            window_bytes: FIRST_PUT_BYTES,
            paused_until: Timestamp(0),
            full: BTreeSet::new(),
        }
    }

    pub(super) const fn id(&self) -> RelayId {
        self.id
    }

    #[cfg(test)]
    pub(super) const fn addresses(&self) -> usize {
        self.addresses.len()
    }

    #[cfg(test)]
    pub(super) fn every_way(&self) -> impl Iterator<Item = String> {
        self.addresses.iter().map(str::to_owned)
    }

    #[cfg(test)]
    pub(super) fn listening(&self) -> usize {
        self.listening.len()
    }

    /// Where it stands at this address (RLY-41, LAN-5).
    pub(super) fn path(&self, address: &str) -> DoorPath {
        match (self.near, self.addresses.nonce(address), &self.secret) {
            (Some(Near::Theirs), Some(nonce), Some(secret)) => near_path(&self.id, secret, &nonce),
            _its_own => relay_path(&self.id, self.secret.as_ref()),
        }
    }

    /// Whether it stands for itself, and not for the network that somebody is on.
    pub(super) const fn is_ordinary(&self) -> bool {
        self.near.is_none()
    }

    /// Whether it is this device's own near relay.
    pub(super) fn is_mine(&self) -> bool {
        self.near == Some(Near::Mine)
    }

    /// Takes what is known of a near relay. One that is known by a route stays what it is.
    pub(super) fn be_near(&mut self, now: Timestamp, near: NearRelay) {
        if self.is_ordinary() && self.is_wanted() {
            return;
        }
        self.near = Some(if near.mine { Near::Mine } else { Near::Theirs });
        (self.secret, self.keys) = (Some(near.secret), Some(near.keys));
        match near.place {
            Some(place) if near.mine => {
                self.addresses.clear();
                self.addresses.add(place, false);
                if let Link::Down { retry_at } = &mut self.link {
                    *retry_at = now;
                }
            }
            Some(place) => self.found_near(now, vec![place], None),
            None if near.mine => self.addresses.clear(),
            None => {}
        }
    }

    /// Whether there is an address to reach it at.
    pub(super) fn is_wanted(&self) -> bool {
        !self.addresses.is_empty()
    }

    /// Where a signal may go: a connection that does not count its bytes, and is not known to stand still.
    pub(super) const fn steady_link(&self) -> Option<LinkId> {
        match &self.link {
            Link::Up(up) if up.is_greeted && up.load_max == 0 && up.frozen_at.is_none() => Some(up.link),
            Link::Up(_) | Link::Down { .. } | Link::Dialling(_) => None,
        }
    }

    /// Whether it has greeted us and is there.
    pub(super) const fn is_up(&self) -> bool {
        matches!(&self.link, Link::Up(up) if up.is_greeted)
    }

    /// The link that is up, or those that are being dialled.
    pub(super) fn links(&self) -> Vec<LinkId> {
        match &self.link {
            Link::Down { .. } => Vec::new(),
            Link::Dialling(race) => race.racers.iter().map(|racer| racer.link).collect(),
            Link::Up(up) => vec![up.link],
        }
    }

    /// The way in use.
    pub(super) fn address(&self) -> Option<String> {
        match &self.link {
            Link::Up(up) => Some(up.way.clone()),
            Link::Down { .. } | Link::Dialling(_) => None,
        }
    }

    /// Takes a route; one with a new secret or address is tried at once. What others say of a relay that is known is one
    /// way more, which takes the place of none that it has (REL-7).
    pub(super) fn learn(
        &mut self,
        now: Timestamp,
        route: RelayRoute,
        keys: Option<RelayKeys>,
        by: NamedBy,
        worked: Option<&str>,
    ) {
        let is_told = by == NamedBy::Others && self.addresses.of_routes().next().is_some();
        let ways = ways(&route.address);
        let is_new = self.secret != route.secret || ways.iter().any(|way| !self.addresses.contains(way));
        self.near = None;
        self.secret = route.secret;
        self.keys = keys.filter(|keys| keys.id() == self.id).or_else(|| self.keys.take());
        for way in ways {
            let is_first = worked == Some(way.as_str()) && !self.addresses.contains(&way);
            if is_told {
                self.addresses.add_told(way.clone(), self.is_in_use());
            } else {
                self.addresses.add(way.clone(), self.is_in_use());
            }
            if is_first && !self.is_in_use() {
                self.addresses.turn_to(&way);
            }
        }
        if is_new && matches!(self.link, Link::Down { .. }) {
            self.link = Link::Down { retry_at: now };
        }
    }

    /// These are no ways to it any more. Out: the links that lead there.
    pub(super) fn forget_ways(&mut self, now: Timestamp, ways: &[String]) -> Vec<LinkId> {
        let gone = self.addresses.forget_all(ways);
        self.end_empty_race(now);
        let leads = |way: &str| gone.iter().any(|gone| gone == way);
        match &self.link {
            Link::Down { .. } => Vec::new(),
            Link::Dialling(race) => {
                let racers = race.racers.iter().filter(|racer| leads(&racer.address));
                racers.map(|racer| racer.link).collect()
            }
            Link::Up(up) => {
                let relief = matches!(&up.relief, Relief::UnderWay { address, .. } if leads(address));
                Vec::from_iter((relief || leads(&up.way)).then_some(up.link))
            }
        }
    }

    /// Where the last way that a race waited for is none any more, the next race begins.
    fn end_empty_race(&mut self, now: Timestamp) {
        let Link::Dialling(race) = &self.link else { return };
        if race.racers.is_empty() && self.untried(race).is_empty() {
            self.link = Link::Down { retry_at: now };
        }
    }

    /// The person's word stands, whoever else names it too.
    pub(super) fn named_by(&mut self, by: NamedBy) {
        if by == NamedBy::Person {
            self.by = by;
        }
    }

    pub(super) const fn by(&self) -> NamedBy {
        self.by
    }

    const fn is_in_use(&self) -> bool {
        !matches!(self.link, Link::Down { .. })
    }

    /// Where one of its names led before (WAY-2): tried beside what that name leads to now.
    pub(super) fn remember_place(&mut self, way: &str) {
        let is_of = |known: &str| !known.contains('@') && split(known) == split(way);
        if self.addresses.iter().any(is_of) {
            self.addresses.add_before(way.to_owned(), self.is_in_use());
        }
    }

    /// It announced itself at these addresses (LAN-3): a new one is the next, at once.
    pub(super) fn found_near(&mut self, now: Timestamp, places: Vec<String>, nonce: Option<[u8; 8]>) {
        for place in places {
            let in_use = self.is_in_use();
            if !self.addresses.add_near(place.clone(), nonce, in_use) {
                continue;
            }
            match &mut self.link {
                Link::Down { retry_at } => {
                    *retry_at = now;
                    self.addresses.turn_to(&place);
                }
                Link::Dialling(race) => race.next_at = race.next_at.min(now),
                Link::Up(_) => {}
            }
        }
    }

    /// Whether it may be looked for on the local network: not where it stands inside TLS or behind a bridge, for there its path is a secret
    /// that whoever repeats its beacon would be told.
    /// Others' near relays are looked for only where no other relay answers (LAN-8).
    pub(super) fn may_be_near(&self, is_alone: bool) -> bool {
        let stands_open = |address| split(address).0 == Around::Plain && !is_drop(address) && !is_bridge(address);
        match self.near {
            Some(Near::Theirs) => is_alone,
            Some(Near::Mine) => false,
            // What others say of it opens nothing and closes nothing.
            None => self.is_wanted() && self.addresses.of_routes().all(stands_open),
        }
    }

    /// Another network: nobody is near.
    pub(super) fn forget_near(&mut self) {
        self.addresses.forget_near();
    }

    /// Somebody else answers at what was dialled. Out: whether it was only said to be near.
    pub(super) fn is_not_near(&mut self, link: LinkId) -> bool {
        let place = self.dialling(link).map(str::to_owned);
        place.is_some_and(|place| self.addresses.is_not(&place))
    }

    /// How connections to it are held, and the address that answered.
    pub(super) const fn habit(&self) -> Habit {
        self.habit
    }

    /// What was learned of it on this network. Where it is not connected it is tried at once.
    pub(super) fn recall(&mut self, now: Timestamp, habit: Habit, worked: Option<&str>) {
        self.habit = habit.recalled(now);
        self.help = Help::recalled(worked);
        if let Link::Down { retry_at } = &mut self.link {
            *retry_at = now;
            self.addresses.turn_to(worked.unwrap_or_default());
        }
    }

    pub(super) fn listen(&mut self, add: Vec<(Tag, u64)>, drop: Vec<Tag>) {
        for tag in drop {
            if let Some(reading) = self.listening.remove(&tag) {
                self.unsaid.remove(&reading.order);
                self.undropped.insert(tag);
            }
        }
        for (tag, cursor) in add {
            if !self.listening.contains_key(&tag) && self.listening.len() >= LISTENING_MAX {
                continue;
            }
            let order = self.listen_order;
            self.listen_order += 1;
            if let Some(old) = self.listening.insert(tag, Reading { order, cursor }) {
                self.unsaid.remove(&old.order);
            }
            self.undropped.remove(&tag);
            self.unsaid.insert(order, tag);
        }
    }

    pub(super) fn open_door(&mut self, door: Door) {
        if self.doors.len() < DOORS_MAX || self.doors.contains_key(&door.path) {
            self.wish(door.path, Wished::Open(door));
        }
    }

    pub(super) fn close_door(&mut self, path: DoorPath, key: DoorKey) {
        if self.doors.len() < DOORS_MAX || self.doors.contains_key(&path) {
            self.wish(path, Wished::Closed(key));
        }
    }

    fn wish(&mut self, path: DoorPath, wish: Wished) {
        self.doors.insert(path, DoorWish { wish, is_said: false });
    }

    /// The addresses to dial, if a dial is due: the first that may be dialled is.
    pub(super) fn to_dial(&self, now: Timestamp) -> Vec<String> {
        match &self.link {
            Link::Down { retry_at } if *retry_at <= now => self.ways(0),
            Link::Dialling(race) => {
                let mut ways = self.untried(race);
                ways.retain(|way| self.starts_at(race, way) <= now);
                ways
            }
            Link::Down { .. } | Link::Up(_) => Vec::new(),
        }
    }

    fn untried(&self, race: &Race) -> Vec<String> {
        let mut ways = self.ways(0);
        ways.retain(|way| !race.tried.contains(way));
        ways
    }

    /// When the next of a race may start, if there is one.
    fn next_racer_at(&self, race: &Race) -> Option<Timestamp> {
        self.untried(race).iter().map(|way| self.starts_at(race, way)).min()
    }

    /// When this way may start in a race.
    fn starts_at(&self, race: &Race, way: &str) -> Timestamp {
        if self.addresses.is_told(way) {
            race.told_at
        } else {
            race.next_at
        }
    }

    fn ways(&self, skipped: usize) -> Vec<String> {
        in_turn(&self.addresses, &self.help, self.is_let_down(), skipped)
    }

    /// Its own ways have let in and broken off, each of them and once more: they come after what others say.
    fn is_let_down(&self) -> bool {
        self.breaks as usize > self.addresses.in_turn().0.len()
    }

    /// How much a connection that way may carry: what is learned of short ones is of the relay's own ways.
    fn load_max(&self, now: Timestamp, way: &str) -> u32 {
        helper(way).map_or_else(|| self.habit.load_max(now), |_| 0)
    }

    /// Nothing that is due may be dialled before then. What others said is not due yet perhaps, and does not wait for that.
    pub(super) fn dial_later(&mut self, now: Timestamp, later: Timestamp) {
        match &mut self.link {
            Link::Down { retry_at } => *retry_at = later,
            Link::Dialling(race) => {
                for due in [&mut race.next_at, &mut race.told_at] {
                    *due = if *due <= now { later } else { *due };
                }
            }
            Link::Up(_) => {}
        }
    }

    /// A dial has begun. Out: the keys if known, and how much the connection may carry.
    pub(super) fn dialled(
        &mut self,
        now: Timestamp,
        link: LinkId,
        (address, over): (String, Over),
    ) -> (Option<RelayKeys>, u32) {
        let load_max = self.load_max(now, &address);
        let is_told = self.addresses.is_told(&address);
        if !matches!(self.link, Link::Dialling(_)) {
            let (racers, tried) = (Vec::new(), BTreeSet::new());
            self.link = Link::Dialling(Race {
                racers,
                tried,
                next_at: now.plus_ms(if is_told { TOLD_AFTER_MS } else { 0 }),
                told_at: now.plus_ms(TOLD_AFTER_MS),
                rounds: 0,
            });
        }
        if let Link::Dialling(race) = &mut self.link {
            let step = RACE_MS.get(race.tried.len()).copied();
            let next = if is_told { &mut race.told_at } else { &mut race.next_at };
            *next = now.plus_ms(step.unwrap_or(DIAL_MS_MAX));
            race.tried.insert(address.clone());
            race.racers.push(Racer {
                link,
                address,
                since: now,
                load_max,
                over,
            });
        }
        (self.keys.clone(), load_max)
    }

    /// How many handshakes that count with this one are under way.
    pub(super) fn shaking_hands_with(&self, wanted: &str) -> usize {
        let counts = |way: &str| key(way) == key(wanted);
        match &self.link {
            Link::Down { .. } => 0,
            Link::Dialling(race) => race.racers.iter().filter(|racer| counts(&racer.address)).count(),
            Link::Up(up) => usize::from(matches!(&up.relief, Relief::UnderWay { address, .. } if counts(address))),
        }
    }

    /// The address that a link, or the relief of it, is dialling.
    pub(super) fn dialling(&self, link: LinkId) -> Option<&str> {
        match &self.link {
            Link::Down { .. } => None,
            Link::Dialling(race) => {
                let mut racers = race.racers.iter().filter(|racer| racer.link == link);
                racers.next().map(|racer| racer.address.as_str())
            }
            Link::Up(up) => match &up.relief {
                Relief::UnderWay { address, .. } => Some(address),
                Relief::None { .. } => None,
            },
        }
    }

    /// The way that a link is on, or is dialling.
    pub(super) fn way(&self, link: LinkId) -> Option<String> {
        let dialling = self.dialling(link).map(str::to_owned);
        dialling.or_else(|| self.address())
    }

    /// The addresses for another connection, if one should take over (TRK-3, TRK-4): after a failure others first.
    pub(super) fn to_relieve(&self, now: Timestamp) -> Vec<String> {
        let Link::Up(up) = &self.link else { return Vec::new() };
        let Relief::None { not_before, failures } = up.relief else {
            return Vec::new();
        };
        let is_wanted = up.is_greeted && (up.frozen_at.is_some() || self.is_tired());
        if !up.is_greeted || not_before > now {
            Vec::new()
        } else if is_wanted {
            self.ways(failures as usize + usize::from(self.helper().is_some()))
        } else if self.goes_back_at().is_some_and(|at| at <= now) {
            self.addresses.in_turn().0
        } else if up.upgrade_at.is_some_and(|at| at <= now) {
            vec![up.way.clone()]
        } else {
            Vec::new()
        }
    }

    pub(super) fn relieve_later(&mut self, not_before: Timestamp) {
        if let Link::Up(up) = &mut self.link {
            let failures = up.relief.failures();
            up.relief = Relief::None { not_before, failures };
        }
    }

    pub(super) fn relieve(
        &mut self,
        now: Timestamp,
        address: String,
        (hello, over): (Hello, Over),
        hop: Option<Hop>,
    ) -> Option<Output> {
        let (path, load_max) = (self.path(&address), self.load_max(now, &address));
        let Link::Up(up) = &mut self.link else { return None };
        let failures = up.relief.failures();
        up.relief = Relief::UnderWay {
            address: address.clone(),
            load_max,
            over,
            failures,
        };
        Some(Output::Relieve {
            link: up.link,
            address,
            path,
            load_max,
            hello,
            over,
            hop,
        })
    }

    /// Another connection carries the session.
    pub(super) fn relieved(&mut self, now: Timestamp) {
        let is_own = self.is_relieved_by_own();
        if let Link::Up(up) = &mut self.link {
            let relief = std::mem::replace(&mut up.relief, Relief::FRESH);
            if let Relief::UnderWay {
                address,
                load_max,
                over,
                ..
            } = relief
            {
                (up.load_max, up.over, up.upgrade_at) = (load_max, over, None);
                up.place = up.place.filter(|_| up.way == address);
                up.way.clone_from(&address);
                self.addresses.turn_to(&address);
                self.help.turned_to(now, &address, is_own);
            }
            up.used = Used {
                packets: 0,
                bytes: 0,
                is_full: false,
            };
            up.is_lively = true;
            up.heard(now);
        }
    }

    fn is_relieved_by_own(&self) -> bool {
        let Link::Up(up) = &self.link else { return true };
        !matches!(&up.relief, Relief::UnderWay { address, .. } if !self.is_own(address))
    }

    /// Whether its connection has carried as much as one may.
    fn is_tired(&self) -> bool {
        matches!(&self.link, Link::Up(up) if up.load_max > 0 && up.used.is_tired())
    }

    pub(super) fn not_relieved(&mut self, now: Timestamp, dice: u32) {
        let is_back = self.goes_back_at().is_some_and(|at| at <= now);
        let upgrades = self.only_upgrades();
        if let Link::Up(up) = &mut self.link {
            if is_back {
                up.relief = Relief::FRESH;
                self.help.stays(now);
                return;
            }
            if upgrades {
                up.relief = Relief::FRESH;
                return;
            }
            let failures = up.relief.failures();
            let not_before = now.plus_ms(pause_ms(RETRY_MS, failures, RETRY_MS_MAX, dice));
            let failures = failures.saturating_add(1);
            up.relief = Relief::None { not_before, failures };
        }
    }

    pub(super) fn used(&mut self, used: Used) {
        if let Link::Up(up) = &mut self.link {
            up.used = used;
            if helper(&up.way).is_none() {
                self.habit.carried(used);
            }
        }
    }

    /// A connection that gives no sign of life is frozen: what it had used tells how to hold the next (TRK-1, TRK-2).
    pub(super) fn check_frozen(&mut self, now: Timestamp) {
        let patience_ms = self.patience_ms();
        if let Link::Up(up) = &mut self.link
            && up.frozen_at.is_none()
            && up.pinged_at.is_some_and(|at| at.plus_ms(patience_ms) <= now)
        {
            up.frozen_at = Some(now);
            if helper(&up.way).is_none() {
                self.habit.froze(now, up.used);
            }
        }
    }

    /// How long a sign of life may take.
    fn patience_ms(&self) -> u64 {
        let slow_ms = (self.in_flight_bytes / SLOW_BYTES_PER_MS) as u64;
        SIGN_MS + slow_ms.min(SLOW_MS_MAX)
    }

    /// A face is open. Out: what to say first, and which other dials to end.
    pub(super) fn opened(
        &mut self,
        now: Timestamp,
        link: LinkId,
        keys: Option<RelayKeys>,
        place: Option<SocketAddr>,
    ) -> Option<(ToRelay, Vec<LinkId>)> {
        let Link::Dialling(race) = &self.link else { return None };
        let winner = race.racers.iter().find(|racer| racer.link == link)?;
        let (load_max, over, address) = (winner.load_max, winner.over, winner.address.clone());
        let losers = race
            .racers
            .iter()
            .map(|racer| racer.link)
            .filter(|other| *other != link);
        let losers: Vec<_> = losers.collect();
        let is_own = self.is_own(&address);
        self.addresses.turn_to(&address);
        self.help.turned_to(now, &address, is_own);
        self.keys = keys.or_else(|| self.keys.take());
        self.link = Link::Up(Up {
            link,
            way: address,
            place,
            since: now,
            is_greeted: false,
            forwards: false,
            heard_at: now,
            waiting_since: None,
            is_lively: true,
            pinged_at: None,
            frozen_at: None,
            used: Used::default(),
            load_max,
            over,
            upgrade_at: None,
            relief: Relief::FRESH,
        });
        let hello = ToRelay::Hello {
            version: VERSION,
            features: 0,
            secret: self.secret,
        };
        Some((hello, losers))
    }

    pub(super) const fn heard(&mut self, now: Timestamp) {
        if let Link::Up(up) = &mut self.link {
            up.heard(now);
        }
    }

    /// Its password was not taken. Out: how long to leave it alone, so that its server does not lock the account (DRP-20).
    pub(super) fn denied(&mut self) -> u64 {
        let pause = HOPELESS_RETRY_MS.saturating_mul(2_u64.saturating_pow(self.denials));
        self.denials = self.denials.saturating_add(1);
        pause.min(DENIED_RETRY_MS_MAX)
    }

    /// The connection or a dial is over. While others are in the race, or may still start, that is all.
    pub(super) fn dropped(&mut self, now: Timestamp, link: LinkId, at_least_ms: u64, dice: u32) {
        let fallen = self.way(link).unwrap_or_default();
        if let Link::Dialling(race) = &mut self.link {
            race.racers.retain(|racer| racer.link != link);
            if !self.addresses.is_told(&fallen) {
                race.next_at = race.next_at.min(now);
            }
        }
        if self.race_goes_on(now, dice) {
            return;
        }
        let was_up = matches!(&self.link, Link::Up(_));
        self.note_missed();
        let was_good = matches!(&self.link, Link::Up(up) if up.is_greeted && now.since_ms(up.since) >= GOOD_AFTER_MS);
        self.failures = if was_good { 0 } else { self.failures.saturating_add(1) };
        let broke = u32::from(was_up && !was_good);
        self.breaks = if was_good { 0 } else { self.breaks.saturating_add(broke) };
        let rounds = self.failures.saturating_sub(1);
        let pause = pause_ms(RETRY_MS, rounds, RETRY_MS_MAX, dice).max(at_least_ms);
        if was_up && !was_good && self.helper().is_none() {
            // It let us in and then broke off: others first.
            self.addresses.turn_on();
        }
        self.link = Link::Down {
            retry_at: now.plus_ms(pause),
        };
        if self.near == Some(Near::Theirs) && self.failures >= NEAR_TRIES {
            self.addresses.forget_near();
            self.failures = 0;
        }
        self.unsaid = self
            .listening
            .iter()
            .map(|(tag, reading)| (reading.order, *tag))
            .collect();
        self.undropped.clear();
        self.doors.values_mut().for_each(|door| door.is_said = false);
        self.requests.clear();
        self.in_flight_bytes = 0;
        self.window_bytes = FIRST_PUT_BYTES;
        self.full.clear();
    }

    /// Whether somebody is still in the race, or may still start. Where only those are left that others said, they start now, and
    /// the others are tried again after a pause: whoever sits there and says nothing holds nobody up (REL-7).
    fn race_goes_on(&mut self, now: Timestamp, dice: u32) -> bool {
        let Link::Dialling(race) = &self.link else { return false };
        let racing = race.racers.iter().map(|racer| racer.address.clone());
        let left: Vec<String> = racing.chain(self.untried(race)).collect();
        let only_told = left.iter().all(|way| self.addresses.is_told(way));
        if !left.is_empty() && only_told {
            self.note_missed();
            self.begin_round(now, dice);
        }
        !left.is_empty()
    }

    fn begin_round(&mut self, now: Timestamp, dice: u32) {
        if let Link::Dialling(race) = &mut self.link {
            race.tried.retain(|way| self.addresses.is_told(way));
            race.told_at = race.told_at.min(now);
            race.next_at = now.plus_ms(pause_ms(RETRY_MS, race.rounds, RETRY_MS_MAX, dice));
            race.rounds = race.rounds.saturating_add(1);
        }
    }

    pub(super) fn dead_link(&self, now: Timestamp) -> Option<LinkId> {
        match &self.link {
            Link::Dialling(race) => {
                let late = race.racers.iter().find(|racer| racer.since.plus_ms(DIAL_MS_MAX) <= now);
                late.map(|racer| racer.link)
            }
            Link::Up(up) => self.dead_at().filter(|at| *at <= now).map(|_| up.link),
            Link::Down { .. } => None,
        }
    }

    fn dead_at(&self) -> Option<Timestamp> {
        match &self.link {
            Link::Down { .. } => None,
            Link::Dialling(race) => race.racers.iter().map(|racer| racer.since.plus_ms(DIAL_MS_MAX)).min(),
            Link::Up(up) if up.is_greeted => up.frozen_at.map(|at| at.plus_ms(RELIEF_MS_MAX)),
            Link::Up(up) => Some(up.since.plus_ms(DIAL_MS_MAX)),
        }
    }

    pub(super) fn link_to_ping(&mut self, now: Timestamp) -> Option<LinkId> {
        let Link::Up(up) = &mut self.link else { return None };
        if !up.is_greeted || up.pinged_at.is_some() || now < up.ping_at() {
            return None;
        }
        up.pinged_at = Some(now);
        up.is_lively = false;
        Some(up.link)
    }

    pub(super) fn wake_at(&self) -> Option<Timestamp> {
        let link = match &self.link {
            Link::Down { retry_at } => (!self.addresses.is_empty()).then_some(*retry_at),
            Link::Up(up) if up.is_greeted => [self.sign_due_at(up), self.relief_due_at(up)]
                .into_iter()
                .flatten()
                .min(),
            Link::Dialling(race) => [self.dead_at(), self.next_racer_at(race)].into_iter().flatten().min(),
            Link::Up(_) => self.dead_at(),
        };
        let puts = (self.is_up() && self.paused_until.0 > 0).then_some(self.paused_until);
        let full = self.full.first().map(|(at, _)| *at);
        [link, puts, full].into_iter().flatten().min()
    }

    fn sign_due_at(&self, up: &Up) -> Option<Timestamp> {
        match (up.frozen_at, up.pinged_at) {
            (Some(_), _) => self.dead_at(),
            (None, Some(at)) => Some(at.plus_ms(self.patience_ms())),
            (None, None) => Some(up.ping_at()),
        }
    }

    fn relief_due_at(&self, up: &Up) -> Option<Timestamp> {
        match up.relief {
            Relief::None { not_before, .. } if !self.to_relieve(not_before).is_empty() => Some(not_before),
            Relief::None { not_before, .. } => {
                let at = [self.goes_back_at(), up.upgrade_at].into_iter().flatten().min();
                at.map(|at| at.max(not_before))
            }
            Relief::UnderWay { .. } => None,
        }
    }

    /// Takes one frame.
    pub(super) fn take(&mut self, now: Timestamp, frame: FromRelay, parcels: &mut Parcels) -> Heard {
        let relay = self.id;
        if let Link::Up(up) = &mut self.link {
            up.heard(now);
            up.is_lively = true;
        }
        let heard = self.take_frame(now, relay, frame, parcels);
        self.note_waiting(now);
        heard
    }

    /// Whether an answer is waited for, and since when.
    fn note_waiting(&mut self, now: Timestamp) {
        let waits = !self.requests.is_empty();
        if let Link::Up(up) = &mut self.link {
            up.waiting_since = if waits { up.waiting_since.or(Some(now)) } else { None };
        }
    }

    fn take_frame(&mut self, now: Timestamp, relay: RelayId, frame: FromRelay, parcels: &mut Parcels) -> Heard {
        match frame {
            FromRelay::Hello { time_ms, features, .. } => self.greeted(Timestamp(time_ms), features),
            FromRelay::Stored { request, ids } => self.stored(request, ids, parcels),
            FromRelay::Full { request, ids } => {
                for id in &ids {
                    self.landed(request, id);
                    self.full.insert((now.plus_ms(FULL_PAUSE_MS), *id));
                }
                Heard::News(News::Full { relay, ids })
            }
            FromRelay::Refused {
                why: Refusal::Secret, ..
            } => Heard::Hopeless,
            FromRelay::Refused { request, why } => self.refused(now, request, why, parcels),
            FromRelay::Busy { retry_after_ms } => {
                self.pause(now, u64::from(retry_after_ms).min(REFUSED_PAUSE_MS));
                self.put_again(parcels);
                Heard::Nothing
            }
            FromRelay::Arrived { tag, cursor, envelope } => match self.listening.get_mut(&tag) {
                Some(reading) => {
                    reading.cursor = cursor;
                    Heard::Arrival(Arrival {
                        relay,
                        tag,
                        cursor,
                        envelope,
                    })
                }
                None => Heard::Nothing,
            },
            FromRelay::DoorOpen { request } => self.door_done(request),
            FromRelay::Ephemeral { tag, envelope } => self.signalled(now, tag, envelope),
            FromRelay::Fetched { .. }
            | FromRelay::Quota { .. }
            | FromRelay::Blob(_)
            | FromRelay::Hint { .. }
            | FromRelay::Forward(_) => Heard::Nothing,
        }
    }

    /// Signals of mailboxes that are read; of many the first, for they are nothing to wait for.
    fn signalled(&mut self, now: Timestamp, tag: Tag, envelope: Vec<u8>) -> Heard {
        if now.since_ms(self.signals_since) >= SIGNALS_MS {
            (self.signals, self.signals_since) = (0, now);
        }
        if self.signals >= SIGNALS_MAX || !self.listening.contains_key(&tag) {
            return Heard::Nothing;
        }
        self.signals += 1;
        Heard::News(News::Signalled {
            relay: self.id,
            tag,
            envelope,
        })
    }

    const fn greeted(&mut self, time: Timestamp, features: u32) -> Heard {
        match &mut self.link {
            Link::Up(up) if !up.is_greeted => {
                up.is_greeted = true;
                self.denials = 0;
                up.forwards = features & FORWARDS != 0;
                Heard::Greeting(time)
            }
            Link::Up(_) | Link::Down { .. } | Link::Dialling(_) => Heard::Nothing,
        }
    }

    fn stored(&mut self, request: u32, ids: Vec<EnvelopeId>, parcels: &mut Parcels) -> Heard {
        (self.failures, self.breaks) = (0, 0);
        self.window_bytes = (self.window_bytes * 2).min(IN_FLIGHT_BYTES_MAX);
        ids.iter().for_each(|id| self.landed(request, id));
        let ids: Vec<_> = ids.into_iter().filter(|id| parcels.stored(self.id, id)).collect();
        if ids.is_empty() {
            Heard::Nothing
        } else {
            Heard::News(News::Stored { relay: self.id, ids })
        }
    }

    /// One envelope of a put is answered.
    fn landed(&mut self, request: u32, id: &EnvelopeId) {
        let Some(Request::Put(flying)) = self.requests.get_mut(&request) else {
            return;
        };
        let size = flying.remove(id).unwrap_or_default();
        self.in_flight_bytes = self.in_flight_bytes.saturating_sub(size);
        if flying.is_empty() {
            self.requests.remove(&request);
        }
    }

    /// What a refused request had not been answered yet waits again, and all puts pause.
    fn refused(&mut self, now: Timestamp, request: u32, why: Refusal, parcels: &mut Parcels) -> Heard {
        match self.requests.remove(&request) {
            Some(Request::Put(flying)) => {
                self.pause(now, REFUSED_PAUSE_MS);
                self.in_flight_bytes = self.in_flight_bytes.saturating_sub(flying.values().sum());
                let ids: Vec<_> = flying.into_keys().collect();
                ids.iter().for_each(|id| parcels.wait_again(self.id, *id));
                Heard::News(News::Refused { relay: self.id, ids })
            }
            Some(Request::Door(path)) => {
                self.door_refused(now, path, why);
                Heard::Nothing
            }
            None => Heard::Nothing,
        }
    }

    /// Room may come; somebody else's door does not go away for asking.
    fn door_refused(&mut self, now: Timestamp, path: DoorPath, why: Refusal) {
        match self.doors.get_mut(&path) {
            Some(wish) if why == Refusal::NoRoom => {
                wish.is_said = false;
                self.pause(now, REFUSED_PAUSE_MS);
            }
            Some(_) | None => drop(self.doors.remove(&path)),
        }
    }

    fn pause(&mut self, now: Timestamp, ms: u64) {
        self.paused_until = self.paused_until.max(now.plus_ms(ms));
    }

    /// Which puts a busy relay did not take it does not say: all of them wait again; what it stored it tells by id.
    fn put_again(&mut self, parcels: &mut Parcels) {
        for request in self.requests.values() {
            if let Request::Put(flying) = request {
                flying.keys().for_each(|id| parcels.wait_again(self.id, *id));
            }
        }
        self.requests.retain(|_, request| matches!(request, Request::Door(_)));
        self.in_flight_bytes = 0;
    }

    fn door_done(&mut self, request: u32) -> Heard {
        let Some(Request::Door(path)) = self.requests.remove(&request) else {
            return Heard::Nothing;
        };
        // A wish that changed meanwhile is said next.
        match self.doors.remove(&path) {
            Some(DoorWish {
                wish: Wished::Open(_),
                is_said: true,
            }) => Heard::News(News::DoorOpen { relay: self.id, path }),
            Some(DoorWish {
                wish: Wished::Closed(_),
                is_said: true,
            })
            | None => Heard::Nothing,
            Some(wish) => {
                self.doors.insert(path, wish);
                Heard::Nothing
            }
        }
    }
}
