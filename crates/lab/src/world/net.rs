//! The network: connections that are ordered while they live, and die with what is in flight.
//!
//! In: frames of couriers and relays. Out: the same, later, twice, out of order between mailboxes, or not at all.
//! A dead connection is noticed late by either side; a cut device or relay is reached by nobody.

use std::collections::BTreeMap;

use stonechat_wire::exchange::{Errand, Knock, News};
use stonechat_wire::frame::{FromRelay, ToRelay};
use stonechat_wire::ids::{RelayId, Tag};

use super::courier::{Action, Courier};
use super::faults::Fault;
use super::plan::{HOUR, MINUTE, SECOND};
use super::trace::Actor;
use super::{Event, Planted, World};

/// A connection of a device to a relay.
#[derive(Debug, Default)]
pub(crate) struct Link {
    device: usize,
    relay: usize,
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

impl World {
    /// Does what a courier wants done.
    pub(crate) fn pump(&mut self, d: usize) {
        loop {
            let actions = self.nodes[d].courier.actions();
            if actions.is_empty() {
                return;
            }
            for action in actions {
                self.act(d, action);
            }
        }
    }

    fn act(&mut self, d: usize, action: Action) {
        let starts = self.nodes[d].device.starts;
        match action {
            Action::Dial(relay) => {
                let wait = self.roll.between(20, 400);
                self.after(wait, Event::Dial(d, relay, starts));
            }
            Action::Send(relay, frames) => {
                if let Some(link) = self.nodes[d].links.get(&relay).copied() {
                    self.send_up(link, frames);
                }
            }
            Action::Knock(knock) => {
                let wait = self.roll.between(20, 400);
                self.after(wait, Event::Knock(d, starts, knock, SECOND));
            }
        }
    }

    pub(crate) fn dial(&mut self, d: usize, relay: RelayId, starts: u64) {
        let node = &self.nodes[d];
        if node.device.starts != starts || !node.device.runs() || !node.courier.wants(relay) || node.links.contains_key(&relay) {
            return;
        }
        let r = self.relay_named(relay);
        if !self.reaches(d, r) {
            return self.dial_later(d, relay, starts);
        }
        self.last_link += 1;
        let link = self.last_link;
        self.links.insert(link, Link { device: d, relay: r, ..Link::default() });
        self.note(Actor::Device(d), "connects", [r as u64, link]);
        self.nodes[d].waits.remove(&relay);
        self.nodes[d].links.insert(relay, link);
        self.relays[r].connect(link);
        let hello = self.nodes[d].courier.hello(relay);
        self.send_up(link, vec![hello]);
    }

    /// Twice as long each time, at most half an hour.
    fn dial_later(&mut self, d: usize, relay: RelayId, starts: u64) {
        let wait = self.nodes[d].waits.entry(relay).or_insert(SECOND);
        *wait = (*wait * 2).min(30 * MINUTE);
        let wait = *wait;
        let jitter = self.roll.below(wait / 4);
        self.after(wait + jitter, Event::Dial(d, relay, starts));
        if wait == 32 * SECOND && self.nodes[d].links.is_empty() {
            self.bring(d, vec![News::Offline]);
        }
    }

    fn relay_named(&self, relay: RelayId) -> usize {
        self.relays.iter().position(|r| r.id() == relay).unwrap()
    }

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

    fn send_up(&mut self, id: u64, frames: Vec<ToRelay>) {
        let Some(link) = self.links.get(&id) else { return };
        if link.broken {
            return self.totals.add(Fault::Loss, 1);
        }
        if self.roll.permille(self.odds.lose) {
            self.totals.add(Fault::Loss, 1);
            return self.break_link(id);
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

    pub(crate) fn up(&mut self, id: u64, frames: Vec<ToRelay>) {
        let Some(link) = self.links.get(&id) else { return };
        let r = link.relay;
        if link.drops_up || link.relay_left || !self.relays[r].up {
            return self.totals.add(Fault::Loss, 1);
        }
        let early = self.relays[r].take(self.now + super::BEGINNING, id, frames);
        self.send_down(early);
        if self.relays[r].unsynced > 0 && self.roll.permille(self.odds.relay_dies) {
            let down = self.roll.time(SECOND, HOUR);
            return self.crash_relay(r, down);
        }
        let wait = self.roll.between(1, 20);
        self.after(wait, Event::Settle(r));
    }

    pub(crate) fn settle(&mut self, r: usize) {
        if self.relays[r].up && self.relays[r].dirty {
            let said = self.relays[r].settle(self.now + super::BEGINNING);
            self.send_down(said);
        }
    }

    /// Sends what a relay said, each connection's in order, except that mailboxes may overtake one another.
    fn send_down(&mut self, said: Vec<(u64, FromRelay)>) {
        let mut by_link: BTreeMap<u64, Vec<FromRelay>> = BTreeMap::new();
        for (link, frame) in said {
            by_link.entry(link).or_default().push(frame);
        }
        for (link, frames) in by_link {
            self.send_down_one(link, frames);
        }
    }

    fn send_down_one(&mut self, id: u64, frames: Vec<FromRelay>) {
        let Some(link) = self.links.get(&id) else { return };
        if link.broken {
            return self.totals.add(Fault::Loss, 1);
        }
        if self.roll.permille(self.odds.lose) {
            self.totals.add(Fault::Loss, 1);
            return self.break_link(id);
        }
        let mut late: BTreeMap<Tag, Vec<FromRelay>> = BTreeMap::new();
        let mut ordered = Vec::new();
        let mut fates: BTreeMap<Tag, bool> = BTreeMap::new();
        for frame in frames {
            let FromRelay::Arrived { tag, .. } = &frame else {
                ordered.push(frame);
                continue;
            };
            let held = self.links[&id].tag_free.get(tag).is_some_and(|free| *free > self.now);
            let chance = self.odds.reorder;
            let late_too = *fates.entry(*tag).or_insert_with(|| held || self.roll.permille(chance));
            if late_too {
                late.entry(*tag).or_default().push(frame);
            } else {
                ordered.push(frame);
            }
        }
        self.deliver_down(id, ordered);
        for (tag, frames) in late {
            self.totals.add(Fault::Reorder, 1);
            let wait = self.roll.time(50, MINUTE);
            let link = self.links.get_mut(&id).unwrap();
            let free = link.tag_free.entry(tag).or_default();
            *free = (*free).max(link.down_free).max(self.now + wait);
            let at = *free;
            self.at(at, Event::Down(id, frames));
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

    pub(crate) fn down(&mut self, id: u64, frames: Vec<FromRelay>) {
        let Some(link) = self.links.get(&id) else { return };
        let d = link.device;
        if link.drops_down || link.device_left {
            return self.totals.add(Fault::Loss, 1);
        }
        let relay = self.relays[link.relay].id();
        let news = self.nodes[d].courier.heard(relay, frames);
        self.bring(d, news);
        self.pump(d);
    }

    /// The connection dies. What the relay was sent may still arrive.
    fn break_link(&mut self, id: u64) {
        let still_arrives = self.roll.percent(50);
        let Some(link) = self.links.get_mut(&id) else { return };
        link.broken = true;
        link.drops_down = true;
        link.drops_up |= !still_arrives;
        let device = if self.roll.percent(50) { 10 } else { self.roll.between(15 * SECOND, 90 * SECOND) };
        let relay = if self.roll.percent(50) { 10 } else { self.roll.between(15 * SECOND, 5 * MINUTE) };
        self.after(device, Event::DeviceNotices(id));
        self.after(relay, Event::RelayNotices(id));
    }

    pub(crate) fn device_notices(&mut self, id: u64) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if std::mem::replace(&mut link.device_left, true) {
            return;
        }
        let (d, relay) = (link.device, self.relays[link.relay].id());
        self.drop_link(id);
        self.nodes[d].links.remove(&relay);
        let was_open = self.nodes[d].courier.lost(relay);
        let starts = self.nodes[d].device.starts;
        let wait = self.roll.between(100, 2 * SECOND);
        self.after(wait, Event::Dial(d, relay, starts));
        if was_open {
            self.bring(d, vec![News::Gone { relay }]);
        }
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
        if self.links.get(&id).is_some_and(|link| link.device_left && link.relay_left) {
            self.links.remove(&id);
        }
    }

    fn links_where(&self, pick: impl Fn(&Link) -> bool) -> Vec<u64> {
        self.links.iter().filter(|(_, link)| pick(link)).map(|(id, _)| *id).collect()
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

    pub(crate) fn crash_relay(&mut self, r: usize, ms: u64) {
        if !self.relays[r].up {
            return;
        }
        let unsynced = self.relays[r].crash();
        self.totals.add(Fault::RelayCrash, 1);
        self.totals.add(Fault::Unsynced, u64::from(unsynced > 0));
        self.note(Actor::Relay(r), "dies", [unsynced, ms]);
        for id in self.links_where(|link| link.relay == r) {
            self.links.get_mut(&id).unwrap().relay_left = true;
            self.break_link(id);
            self.drop_link(id);
        }
        self.check_promises(r);
        self.after(ms, Event::RelayUp(r));
    }

    /// A device is dead: its connections are too, and its courier has forgotten everything.
    pub(crate) fn died(&mut self, d: usize) {
        for id in self.links_where(|link| link.device == d && !link.device_left) {
            self.links.get_mut(&id).unwrap().device_left = true;
            self.break_link(id);
            self.drop_link(id);
        }
        let node = &mut self.nodes[d];
        node.courier = Courier::default();
        node.kept.clear();
        node.retries = false;
        node.links.clear();
        node.waits.clear();
    }

    /// All cuts end, all relays run, and every connection is made anew.
    pub(crate) fn reconnect_all(&mut self) {
        self.relays_cut_until.fill(0);
        for r in 0..self.relays.len() {
            self.relays[r].up = true;
        }
        for d in 0..self.nodes.len() {
            self.nodes[d].cut_until = 0;
            self.nodes[d].waits.clear();
            let starts = self.nodes[d].device.starts;
            for relay in self.relays.iter().map(super::Relay::id).collect::<Vec<_>>() {
                self.after(5 * MINUTE, Event::Dial(d, relay, starts));
            }
        }
        self.silence(|_| true);
    }

    pub(crate) fn knock(&mut self, d: usize, starts: u64, knock: Knock, wait: u64) {
        if self.nodes[d].device.starts != starts || !self.nodes[d].courier.knocks(&knock.id) {
            return;
        }
        let there = knock.hints.iter().find_map(|hint| self.relays.iter().position(|relay| relay.address == *hint));
        let reached = there.filter(|r| self.reaches(d, *r));
        let Some(r) = reached else { return self.knock_later(d, starts, knock, wait) };
        let card = self.relays[r].knock(self.now + super::BEGINNING, &knock.path, &knock.proof);
        self.note(Actor::Relay(r), "door", [u64::from(card.is_some()), 0]);
        if self.roll.permille(self.odds.lose) {
            self.totals.add(Fault::Loss, 1);
            return self.knock_later(d, starts, knock, wait);
        }
        let latency = self.latency();
        self.after(latency, Event::DoorAnswers(d, starts, knock, wait, card));
        self.after(SECOND, Event::Settle(r));
    }

    fn knock_later(&mut self, d: usize, starts: u64, knock: Knock, wait: u64) {
        let next = (wait * 2).min(HOUR);
        self.after(wait, Event::Knock(d, starts, knock, next));
    }

    pub(crate) fn door_answers(&mut self, d: usize, starts: u64, knock: Knock, wait: u64, card: Option<Vec<u8>>) {
        if self.nodes[d].device.starts != starts {
            return;
        }
        if self.nodes[d].cut_until > self.now {
            return self.knock_later(d, starts, knock, wait);
        }
        if let Some(news) = self.nodes[d].courier.answered(knock.id, card) {
            self.bring(d, vec![news]);
        }
    }

    /// With sealing off, an envelope shows the text that it carries.
    pub(crate) fn sabotage(&mut self, d: usize, errand: Errand) -> Errand {
        let Errand::Send(mut parcel) = errand else { return errand };
        if self.planted == Some(Planted::Unsealed) {
            let sql = "SELECT m.text FROM message m JOIN outbox o ON o.about = m.id ORDER BY o.id DESC LIMIT 1";
            let text: Vec<String> = self.nodes[d].device.rows(sql, |row| row.get(0));
            let mut bytes = parcel.envelope.into_bytes();
            for (byte, plain) in bytes.iter_mut().skip(33).zip(text.iter().flat_map(|text| text.bytes())) {
                *byte = plain;
            }
            parcel.envelope = stonechat_wire::envelope::Envelope::decode(bytes).unwrap();
        }
        Errand::Send(parcel)
    }
}
