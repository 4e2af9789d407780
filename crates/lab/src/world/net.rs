//! The network: connections that are ordered while they live, and die with what is in flight.
//!
//! In: what the real courier of each device wants done, and what relays say. Out: the same, later, twice, out of order
//! between mailboxes, or not at all. A dead connection is noticed late by either side; a cut device or relay is
//! reached by nobody. A courier without anything to do is woken once an hour only: its pings were answered meanwhile.

use std::collections::BTreeMap;

use stonechat_transport::courier::{Courier, Input as Report, KnockError, LinkId, Lost, Output};
use stonechat_wire::envelope::Envelope;
use stonechat_wire::exchange::Errand;
use stonechat_wire::frame::{FromRelay, ToRelay};
use stonechat_wire::ids::{DoorPath, Tag, Timestamp, Token};

use super::check::Lane;
use super::faults::Fault;
use super::plan::{HOUR, MINUTE, SECOND};
use super::trace::Actor;
use super::{BEGINNING, Event, Planted, World};

/// A courier that has something to do is watched closely for so long.
const STIRRED: u64 = 3 * MINUTE;

/// A connection of a device to a relay.
#[derive(Debug)]
pub(crate) struct Link {
    device: usize,
    relay: usize,
    name: LinkId,
    /// Nothing new gets through.
    broken: bool,
    /// What is in flight to the relay is lost.
    drops_up: bool,
    /// What is in flight to the device is lost.
    drops_down: bool,
    device_left: bool,
    relay_left: bool,
    up_free: u64,
    down_free: u64,
    tag_free: BTreeMap<Tag, u64>,
}

/// A request to a door on its way.
#[derive(Clone, Debug)]
pub(crate) struct Calling {
    id: [u8; 16],
    address: String,
    path: DoorPath,
    proof: [u8; 16],
}

/// The device's side: its courier.
impl World {
    pub(crate) fn new_courier(&mut self, d: usize) {
        let seed = self.roll.bytes();
        let node = &mut self.nodes[d];
        node.courier = Courier::new(seed, node.remembered.clone());
        node.courier_due = None;
        self.stir(d);
    }

    /// Couriers have a clock that only goes forward: the world's.
    fn courier_time(&self) -> Timestamp {
        Timestamp(self.time())
    }

    fn stir(&mut self, d: usize) {
        self.nodes[d].stirred_until = self.now + STIRRED;
    }

    /// An errand of core, its deadline moved from the device's clock to the courier's.
    pub(crate) fn give(&mut self, d: usize, mut errand: Errand) {
        if let Errand::Send(parcel) = &mut errand {
            let wait = parcel.deadline.since_ms(self.nodes[d].device.clock.read(self.time()));
            parcel.deadline = self.courier_time().plus_ms(wait);
        }
        self.feed(d, Report::Errand(errand));
    }

    /// Tells the courier something, after every sign of life that its connections gave meanwhile.
    fn feed(&mut self, d: usize, report: Report) {
        let now = self.courier_time();
        if !matches!(report, Report::Wake) {
            self.stir(d);
        }
        let alive = self
            .links
            .values()
            .filter(|link| link.device == d && !link.broken && !link.device_left);
        let alive: Vec<LinkId> = alive.map(|link| link.name).collect();
        for link in alive {
            self.nodes[d].courier.handle_input(now, Report::Heard { link });
        }
        self.nodes[d].courier.handle_input(now, report);
    }

    pub(crate) fn report(&mut self, d: usize, starts: u64, report: Report) {
        if self.nodes[d].device.starts == starts && self.nodes[d].device.runs() {
            self.feed(d, report);
            self.drain(d);
        }
    }

    pub(crate) fn wake_courier(&mut self, d: usize, starts: u64) {
        if self.nodes[d].courier_due == Some(self.now) && self.nodes[d].device.starts == starts {
            self.nodes[d].courier_due = None;
            self.report(d, starts, Report::Wake);
        }
    }

    /// Does what the courier wants done.
    pub(crate) fn drain(&mut self, d: usize) {
        let (now, starts) = (self.courier_time(), self.nodes[d].device.starts);
        let mut frames: BTreeMap<LinkId, Vec<ToRelay>> = BTreeMap::new();
        let mut news = Vec::new();
        loop {
            match self.nodes[d].courier.poll_output(now) {
                Output::Wait(until) => {
                    self.watch_courier(d, until);
                    break;
                }
                Output::Dial { link, address, .. } => {
                    let wait = self.roll.between(20, 400);
                    self.after(wait, Event::Dial(d, starts, link, address));
                }
                Output::Send { link, frame } => frames.entry(link).or_default().push(frame),
                Output::Ping { link } => self.pinged(d, link),
                Output::Relieve { link, .. } => self.relieve(d, link),
                Output::Close { link } => self.device_closes(d, link),
                Output::Knock {
                    id,
                    address,
                    path,
                    proof,
                    have: _,
                    hello: _,
                } => {
                    let wait = self.roll.between(20, 400);
                    self.after(
                        wait,
                        Event::Knock(
                            d,
                            starts,
                            Calling {
                                id,
                                address,
                                path,
                                proof,
                            },
                        ),
                    );
                }
                Output::News(one) => news.push(one),
                Output::Remember(remembered) => self.nodes[d].remembered = remembered,
                // No world has a local network.
                Output::Look | Output::Near(_) | Output::Reached(_) | Output::Tried(_) => {}
            }
        }
        for (name, frames) in frames {
            if let Some(link) = self.nodes[d].links.get(&name).copied() {
                self.send_up(link, frames);
            }
        }
        if !news.is_empty() {
            self.bring(d, news);
        }
    }

    /// A living connection answers at once.
    fn pinged(&mut self, d: usize, name: LinkId) {
        let link = self.nodes[d].links.get(&name).and_then(|link| self.links.get(link));
        if link.is_some_and(|link| !link.broken) {
            let now = self.courier_time();
            self.nodes[d].courier.handle_input(now, Report::Heard { link: name });
        }
    }

    /// Here no session outlives its connection: one that is lost is lost, and a living one needs no other.
    fn relieve(&mut self, d: usize, name: LinkId) {
        let link = self.nodes[d].links.get(&name).and_then(|link| self.links.get(link));
        let report = if link.is_some_and(|link| !link.broken) {
            Report::Relieved { link: name }
        } else {
            self.device_closes(d, name);
            let why = Lost::Broken;
            Report::Lost { link: name, why }
        };
        let starts = self.nodes[d].device.starts;
        self.after(SECOND, Event::Report(d, starts, report));
    }

    fn watch_courier(&mut self, d: usize, until: Option<Timestamp>) {
        let Some(until) = until else { return };
        let wanted = until.0.saturating_sub(BEGINNING).max(self.now + 1);
        let due = if wanted <= self.nodes[d].stirred_until {
            wanted
        } else {
            wanted.max(self.now + HOUR)
        };
        if self.nodes[d].courier_due != Some(due) {
            self.nodes[d].courier_due = Some(due);
            let starts = self.nodes[d].device.starts;
            self.at(due, Event::Courier(d, starts));
        }
    }

    pub(crate) fn dial(&mut self, d: usize, starts: u64, name: LinkId, address: &str) {
        if self.nodes[d].device.starts != starts || !self.nodes[d].device.runs() {
            return;
        }
        let there = self.relays.iter().position(|relay| relay.address == address);
        let Some(r) = there.filter(|r| self.reaches(d, *r)) else {
            // Refused at once, or silence until the courier gives up.
            if self.roll.percent(50) {
                self.after(
                    SECOND,
                    Event::Report(
                        d,
                        starts,
                        Report::Lost {
                            link: name,
                            why: Lost::Broken,
                        },
                    ),
                );
            }
            return;
        };
        self.last_link += 1;
        let id = self.last_link;
        self.links.insert(id, Link::new(d, r, name));
        self.note(Actor::Device(d), "connects", [r as u64, id]);
        self.nodes[d].links.insert(name, id);
        self.relays[r].connect(id);
        let keys = self.relays[r].keys();
        self.feed(
            d,
            Report::Open {
                link: name,
                keys: Some(keys),
                place: None,
            },
        );
        self.drain(d);
    }

    pub(crate) fn knock(&mut self, d: usize, starts: u64, calling: &Calling) {
        let there = self.relays.iter().position(|relay| relay.address == calling.address);
        let id = calling.id;
        let Some(r) = there.filter(|r| self.reaches(d, *r)) else {
            let answer = Err(KnockError::Unreachable);
            return self.after(SECOND, Event::Report(d, starts, Report::Knocked { id, answer }));
        };
        let time = self.time();
        let card = self.relays[r].knock(time, &calling.path, &calling.proof);
        self.note(Actor::Relay(r), "door", [u64::from(card.is_some()), 0]);
        let mut answer = card.ok_or(KnockError::NotFound);
        if self.roll.permille(self.odds.lose) {
            self.totals.add(Fault::Loss, 1);
            answer = Err(KnockError::Unreachable);
        }
        let latency = self.latency();
        self.after(latency, Event::Report(d, starts, Report::Knocked { id, answer }));
        self.after(SECOND, Event::Settle(r));
    }

    fn device_closes(&mut self, d: usize, name: LinkId) {
        let Some(id) = self.nodes[d].links.remove(&name) else {
            return;
        };
        if let Some(link) = self.links.get_mut(&id) {
            link.broken = true;
            link.device_left = true;
            self.after(10, Event::RelayNotices(id));
        }
    }

    /// A device is dead: its connections are too, and its courier has forgotten everything.
    pub(crate) fn died(&mut self, d: usize) {
        for id in self.links_where(|link| link.device == d && !link.device_left) {
            self.break_link(id);
            self.links.get_mut(&id).unwrap().device_left = true;
            self.drop_link(id);
        }
        let node = &mut self.nodes[d];
        node.kept.clear();
        node.busy = false;
        node.links.clear();
        node.courier_due = None;
    }
}

/// In between.
impl World {
    fn reaches(&mut self, d: usize, r: usize) -> bool {
        let open = self.nodes[d].cut_until <= self.now && self.relays_cut_until[r] <= self.now && self.relays[r].up;
        open && !self.roll.permille(self.odds.lose)
    }

    fn latency(&mut self) -> u64 {
        let usual = self.roll.between(5, 80);
        if !self.roll.permille(self.odds.delay) {
            return usual;
        }
        self.totals.add(Fault::Delay, 1);
        usual + self.roll.time(SECOND, 10 * MINUTE)
    }

    /// Whether something sent on this connection gets as far as the wire.
    fn gets_out(&mut self, id: u64) -> bool {
        let Some(link) = self.links.get(&id) else { return false };
        if link.broken {
            self.totals.add(Fault::Loss, 1);
            return false;
        }
        if self.roll.permille(self.odds.lose) {
            self.totals.add(Fault::Loss, 1);
            self.break_link(id);
            return false;
        }
        true
    }

    fn send_up(&mut self, id: u64, frames: Vec<ToRelay>) {
        if !self.gets_out(id) {
            return;
        }
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| frame.encode(&mut bytes));
        self.tap.wire(&bytes);
        let frames = ToRelay::decode_all(&bytes).unwrap();
        let latency = self.latency();
        let link = self.links.get_mut(&id).unwrap();
        link.up_free = link.up_free.max(self.now + latency);
        let at = link.up_free;
        if self.roll.permille(self.odds.duplicate) {
            self.totals.add(Fault::Duplicate, 1);
            self.at(at, Event::Up(id, frames.clone()));
        }
        self.at(at, Event::Up(id, frames));
    }

    /// Sends what a relay said, each connection's in order, except that mailboxes may overtake one another.
    fn send_down(&mut self, said: Vec<(u64, FromRelay)>) {
        let mut by_link: BTreeMap<u64, Vec<FromRelay>> = BTreeMap::new();
        for (link, frame) in said {
            by_link.entry(link).or_default().push(frame);
        }
        for (link, frames) in by_link {
            if self.gets_out(link) {
                self.send_down_one(link, frames);
            }
        }
    }

    fn send_down_one(&mut self, id: u64, frames: Vec<FromRelay>) {
        let mut late: BTreeMap<Tag, Vec<FromRelay>> = BTreeMap::new();
        let mut is_late: BTreeMap<Tag, bool> = BTreeMap::new();
        let mut ordered = Vec::new();
        for frame in frames {
            let FromRelay::Arrived { tag, .. } = &frame else {
                ordered.push(frame);
                continue;
            };
            let held = self.links[&id].tag_free.get(tag).is_some_and(|free| *free > self.now);
            let chance = self.odds.reorder;
            if *is_late
                .entry(*tag)
                .or_insert_with(|| held || self.roll.permille(chance))
            {
                late.entry(*tag).or_default().push(frame);
            } else {
                ordered.push(frame);
            }
        }
        self.deliver_down(id, ordered);
        for (tag, frames) in late {
            self.deliver_late(id, tag, frames);
        }
    }

    fn deliver_down(&mut self, id: u64, frames: Vec<FromRelay>) {
        if frames.is_empty() {
            return;
        }
        let latency = self.latency();
        let link = self.links.get_mut(&id).unwrap();
        link.down_free = link.down_free.max(self.now + latency);
        let at = link.down_free;
        if self.roll.permille(self.odds.duplicate) {
            self.totals.add(Fault::Duplicate, 1);
            self.at(at, Event::Down(id, frames.clone()));
        }
        self.at(at, Event::Down(id, frames));
    }

    /// Pushes of one mailbox, behind what comes after them, but never behind later ones of the same mailbox.
    fn deliver_late(&mut self, id: u64, tag: Tag, frames: Vec<FromRelay>) {
        self.totals.add(Fault::Reorder, 1);
        let wait = self.roll.time(50, MINUTE);
        let link = self.links.get_mut(&id).unwrap();
        let free = link.tag_free.entry(tag).or_default();
        *free = (*free).max(link.down_free).max(self.now + wait);
        let at = *free;
        self.at(at, Event::Down(id, frames));
    }

    pub(crate) fn down(&mut self, id: u64, frames: Vec<FromRelay>) {
        let Some(link) = self.links.get(&id) else { return };
        if link.drops_down || link.device_left {
            return self.totals.add(Fault::Loss, 1);
        }
        let (d, link) = (link.device, link.name);
        self.feed(d, Report::Frames { link, frames });
        self.drain(d);
    }

    /// The connection dies. What the relay was sent may still arrive; the device may be told, or find out.
    fn break_link(&mut self, id: u64) {
        let Some(d) = self.links.get(&id).filter(|link| !link.broken).map(|link| link.device) else {
            return;
        };
        self.feed(d, Report::Wake);
        self.stir(d);
        let still_arrives = self.roll.percent(50);
        let link = self.links.get_mut(&id).unwrap();
        link.broken = true;
        link.drops_down = true;
        link.drops_up |= !still_arrives;
        if self.roll.percent(50) {
            self.after(10, Event::DeviceNotices(id));
        } else {
            let starts = self.nodes[d].device.starts;
            self.nodes[d].courier_due = Some(self.now + SECOND);
            self.after(SECOND, Event::Courier(d, starts));
        }
        let relay = if self.roll.percent(50) {
            10
        } else {
            self.roll.between(15 * SECOND, 5 * MINUTE)
        };
        self.after(relay, Event::RelayNotices(id));
    }

    pub(crate) fn device_notices(&mut self, id: u64) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if std::mem::replace(&mut link.device_left, true) {
            return;
        }
        let (d, name) = (link.device, link.name);
        self.drop_link(id);
        self.nodes[d].links.remove(&name);
        let starts = self.nodes[d].device.starts;
        self.report(
            d,
            starts,
            Report::Lost {
                link: name,
                why: Lost::Broken,
            },
        );
    }

    pub(crate) fn relay_notices(&mut self, id: u64) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if !std::mem::replace(&mut link.relay_left, true) {
            let r = link.relay;
            self.relays[r].disconnect(id);
        }
        self.drop_link(id);
    }

    fn drop_link(&mut self, id: u64) {
        if self
            .links
            .get(&id)
            .is_some_and(|link| link.device_left && link.relay_left)
        {
            self.links.remove(&id);
        }
    }

    fn links_where(&self, pick: impl Fn(&Link) -> bool) -> Vec<u64> {
        self.links
            .iter()
            .filter(|(_, link)| pick(link))
            .map(|(id, _)| *id)
            .collect()
    }

    pub(crate) fn cut_device(&mut self, d: usize, ms: u64) {
        self.totals.add(Fault::DeviceCut, 1);
        self.note(Actor::Device(d), "is cut off", [ms, 0]);
        self.nodes[d].cut_until = self.nodes[d].cut_until.max(self.now + ms);
        self.silence(|link| link.device == d);
    }

    pub(crate) fn cut_relay(&mut self, r: usize, ms: u64) {
        self.totals.add(Fault::RelayCut, 1);
        self.note(Actor::Relay(r), "is cut off", [ms, 0]);
        self.relays_cut_until[r] = self.relays_cut_until[r].max(self.now + ms);
        self.silence(|link| link.relay == r);
    }

    fn silence(&mut self, pick: impl Fn(&Link) -> bool) {
        for id in self.links_where(|link| !link.broken && pick(link)) {
            self.break_link(id);
            self.links.get_mut(&id).unwrap().drops_up = true;
        }
    }

    /// All cuts end, all relays run, and every connection is made anew.
    pub(crate) fn reconnect_all(&mut self) {
        self.relays_cut_until.fill(0);
        self.relays.iter_mut().for_each(|relay| relay.up = true);
        self.silence(|_| true);
        for d in 0..self.nodes.len() {
            self.nodes[d].cut_until = 0;
            let starts = self.nodes[d].device.starts;
            self.stir(d);
            self.nodes[d].courier_due = Some(self.now + SECOND);
            self.after(SECOND, Event::Courier(d, starts));
        }
    }
}

/// The relay's side.
impl World {
    pub(crate) fn up(&mut self, id: u64, frames: Vec<ToRelay>) {
        let Some(link) = self.links.get(&id) else { return };
        let r = link.relay;
        if link.drops_up || link.relay_left || !self.relays[r].up {
            return self.totals.add(Fault::Loss, 1);
        }
        let time = self.time();
        let early = self.relays[r].take(time, id, frames);
        self.send_down(early);
        if self.relays[r].unsynced > 0 && self.roll.permille(self.odds.relay_dies) {
            let down = self.roll.time(SECOND, HOUR);
            return self.crash_relay(r, down);
        }
        let wait = self.roll.between(1, 20);
        self.after(wait, Event::Settle(r));
    }

    pub(crate) fn settle(&mut self, r: usize) {
        if !self.relays[r].up || !self.relays[r].dirty {
            return;
        }
        let time = self.time();
        let (said, closed) = self.relays[r].settle(time);
        self.send_down(said);
        for id in closed {
            self.break_link(id);
        }
    }

    pub(crate) fn crash_relay(&mut self, r: usize, ms: u64) {
        if !self.relays[r].up {
            return;
        }
        let unsynced = self.relays[r].crash();
        self.totals.add(Fault::RelayCrash, 1);
        self.totals.add(Fault::Unsynced, u64::from(unsynced > 0));
        self.note(Actor::Relay(r), "dies", [unsynced, ms]);
        for id in self.links_where(|link| link.relay == r) {
            self.break_link(id);
            self.links.get_mut(&id).unwrap().relay_left = true;
            self.drop_link(id);
        }
        self.check_promises(r);
        self.after(ms, Event::RelayUp(r));
    }

    /// A relay's disk dies. Relays may lose: only what it says afterwards is held against it.
    pub(crate) fn relay_forgets(&mut self, r: usize) {
        self.crash_relay(r, HOUR);
        self.relays[r].forget();
        self.relays_forgot = true;
        self.totals.add(Fault::RelayForgets, 1);
        self.note(Actor::Relay(r), "forgets", [0, 0]);
        self.after(HOUR, Event::RelayUp(r));
    }

    /// With sealing off, an envelope shows the text that it carries; with one mailbox, it goes where all the others go.
    pub(crate) fn sabotage(&mut self, d: usize, lane: Option<&Lane>, errand: Errand) -> Errand {
        let Errand::Send(mut parcel) = errand else {
            return errand;
        };
        if self.planted == Some(Planted::Unsealed) {
            let sql = "SELECT m.text FROM message m JOIN outbox o ON o.about = m.id ORDER BY o.id DESC LIMIT 1";
            let text: Vec<String> = self.nodes[d].device.rows(sql, |row| row.get(0));
            let mut bytes = parcel.envelope.into_bytes();
            for (byte, plain) in bytes.iter_mut().skip(33).zip(text.iter().flat_map(|text| text.bytes())) {
                *byte = plain;
            }
            parcel.envelope = Envelope::decode(bytes).unwrap();
        }
        if matches!(self.planted, Some(Planted::KeySent | Planted::KeyLogged)) {
            let sql = "SELECT envelope_key FROM epoch WHERE envelope_key IS NOT NULL LIMIT 1";
            let keys: Vec<Vec<u8>> = self.nodes[d].device.rows(sql, |row| row.get(0));
            let key = keys.concat();
            if self.planted == Some(Planted::KeyLogged) {
                self.tap.log_words(&format!("{key:?}"));
            } else {
                let mut bytes = parcel.envelope.into_bytes();
                for (byte, secret) in bytes.iter_mut().skip(100).zip(key) {
                    *byte = secret;
                }
                parcel.envelope = Envelope::decode(bytes).unwrap();
            }
        }
        if self.planted == Some(Planted::OneMailbox) && lane.is_some() {
            parcel.token = Token::from_bytes([9; 32]);
            let mut bytes = parcel.envelope.into_bytes();
            bytes[1..17].copy_from_slice(parcel.token.tag().as_bytes());
            parcel.envelope = Envelope::decode(bytes).unwrap();
        }
        Errand::Send(parcel)
    }
}

impl Link {
    fn new(device: usize, relay: usize, name: LinkId) -> Self {
        Self {
            device,
            relay,
            name,
            broken: false,
            drops_up: false,
            drops_down: false,
            device_left: false,
            relay_left: false,
            up_free: 0,
            down_free: 0,
            tag_free: BTreeMap::new(),
        }
    }
}
