//! Connections that die at any moment, and what that does to what is under way: nothing may be lost, doubled or out of order.
//!
//! In: a seed. Out: a [`Report`]. Real are the courier, both sides' sessions and faces, the relay's service over its store in
//! memory, and frames and messages as bytes. The lines between them are made up, in virtual time: they take time for every
//! byte, so that a kill meets messages half-way. What `carrier/ws.rs` and `listen/connection.rs` do around their sockets is
//! done again without sockets ([`client`], [`host`]); those have tests of their own.
//! Every error of a session, a face or a frame is a broken promise here: both sides are honest, and lines only die.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use stonechat_wire::envelope::{EnvelopeKey, seal};
use stonechat_wire::exchange::{Class, Errand, Listen, NamedBy, Parcel};
use stonechat_wire::ids::{EnvelopeId, RelayId, Tag, Timestamp, Token};

use crate::world::roll::Roll;
use crate::world::trace::{Actor, Trace};
use client::Client;
use host::Host;
pub use line::Death;
use line::{Line, Way};

mod client;
mod host;
mod line;

const SECOND: u64 = 1_000;
/// When the world begins, on every clock.
const BEGINNING: u64 = 1_790_000_000_000;
/// Quiet time after the last kill, in which everything must have come. The courier has been careful by then for as long as
/// TRK-2 and TRK-6 say, and what waits may be much.
const HEALING: u64 = 1_800 * SECOND;
/// So long after the last kill something is written.
const WRITING: u64 = 60 * SECOND;
/// The next text comes within so long of a kill, where that can be asked.
pub const NEXT_MS_MAX: u64 = 5 * SECOND;
/// Sizes of what is written, by dice: most are texts. Over short connections some 4 kB a second go, and all of it has to.
const SIZES: [usize; 10] = [100, 100, 100, 100, 100, 100, 400, 400, 400, 3_000];

/// What a world is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Devices; each writes to the next one.
    pub clients: usize,
    /// Relays, each with three ways.
    pub relays: usize,
    /// So many kills.
    pub kills: usize,
    /// Lines die by themselves after so many packets; 0: never. The courier holds short ones then.
    pub freezes_after: u32,
    /// Every kill tells the client: the courier has no reason to be careful, and the next text must come soon.
    pub is_told: bool,
    /// Most bytes of a message of a session.
    pub piece_bytes: usize,
}

impl Plan {
    /// What this seed makes of so many kills.
    #[must_use]
    pub fn of(seed: u64, kills: usize) -> Self {
        let mut dice = Roll::seeded(seed, 1);
        let is_told = dice.percent(40);
        Self {
            clients: 2 + dice.index(3),
            relays: 1 + dice.index(3),
            kills,
            freezes_after: if !is_told && dice.percent(30) { 25 } else { 0 },
            is_told,
            piece_bytes: *dice.pick(&[700, 4 << 10, 256 << 10]),
        }
    }
}

/// A bug that the world itself plants, to see whether it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// On a new connection the client's first message is taken for sent and is not.
    ForgetsOnBoarding,
    /// The client reads a mailbox from the start on every connection.
    ForgetsCursors,
    /// The client takes what was under way to be stored when its connection dies.
    TakesLostForStored,
}

/// What happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Lines that were killed, by [`Death`].
    pub kills: BTreeMap<Death, usize>,
    /// How many of the kills met a message half-way.
    pub mid_message: usize,
    /// In how many the way that was in use stayed shut for a while.
    pub shut: usize,
    /// Lines that died by themselves.
    pub frozen: usize,
    /// What was written, and came.
    pub texts: usize,
    /// How often a session went on with another connection.
    pub went_on: usize,
    /// How often a session began.
    pub began: usize,
    /// Kills after which everybody had an open way: those are measured.
    pub measured: usize,
    /// The longest from one that the client noticed at once to the next text, both ways, in ms.
    pub after_told_ms: u64,
    /// The same of kills that nobody was told of.
    pub after_silent_ms: u64,
    /// Hash of all that happened.
    pub trace: [u8; 32],
    /// The lines of it, if asked for.
    pub lines: Vec<String>,
    /// What must not be.
    pub broken: Vec<String>,
}

/// Runs the world of a seed to its end.
#[must_use]
pub fn run(seed: u64, plan: Plan, planted: Option<Planted>, loud: bool) -> Report {
    let mut world = World::new(seed, plan, planted, loud);
    while let Some(Reverse(due)) = world.due.pop() {
        world.now = due.at;
        if world.now > world.ends_at {
            break;
        }
        world.happen(due.event);
    }
    world.report(seed)
}

/// Something to come.
#[derive(Debug)]
enum Event {
    /// A client's courier wants to be woken.
    Wake(usize),
    /// A dial gets through, or does not.
    Reach(u64),
    /// A dial came to nothing.
    Missed(u64),
    /// A link's handshake has had its time.
    Late(usize, u64),
    /// A message comes to the relay.
    Up(u64, Vec<u8>),
    /// ... to the client.
    Down(u64, Vec<u8>),
    /// The client's system says that a line is dead.
    ClientTold(u64),
    /// The relay's does.
    RelayTold(u64),
    /// The client says goodbye on it.
    Goodbye(u64),
    /// A relay syncs and answers.
    Settle(usize),
    /// A relay looks at its clock.
    Tick(usize),
    /// A client writes.
    Say(usize),
    /// The next kill.
    Kill,
}

#[derive(Debug)]
struct Due {
    at: u64,
    order: u64,
    event: Event,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// One text: who wrote it, its number, for whom, when.
#[derive(Clone, Copy, Debug)]
struct Text {
    from: usize,
    number: usize,
    to: usize,
    said_at: u64,
    came_at: Option<u64>,
}

#[derive(Debug)]
struct Killed {
    at: u64,
    client: usize,
    death: Death,
    /// Everybody had an open way, and might begin handshakes there (TRK-5), for as long as the next text may take.
    has_way: bool,
}

#[derive(Debug)]
struct World {
    now: u64,
    ends_at: u64,
    plan: Plan,
    planted: Option<Planted>,
    dice: Roll,
    due: BinaryHeap<Reverse<Due>>,
    order: u64,
    clients: Vec<Client>,
    hosts: Vec<Host>,
    lines: BTreeMap<u64, Line>,
    dials: BTreeMap<u64, client::Dialled>,
    /// When a client began handshakes with a relay at a port.
    hellos: BTreeMap<(usize, usize, String), Vec<u64>>,
    last_line: u64,
    /// Ways that are shut, until when, and what a dial meets there.
    shut: BTreeMap<Way, (u64, line::Shut)>,
    kills_left: usize,
    killed: Vec<Killed>,
    texts: BTreeMap<EnvelopeId, Text>,
    /// What came to a client from a relay, in turn.
    came: BTreeMap<(usize, RelayId, usize), Vec<usize>>,
    trace: Trace,
    report: Report,
}

impl World {
    fn new(seed: u64, plan: Plan, planted: Option<Planted>, loud: bool) -> Self {
        let mut dice = Roll::seeded(seed, 2);
        let hosts: Vec<Host> = (0..plan.relays).map(|n| Host::new(n, &mut dice)).collect();
        let clients = (0..plan.clients).map(|_| Client::new(dice.bytes())).collect();
        let mut world = Self {
            now: 0,
            ends_at: u64::MAX,
            plan,
            planted,
            dice,
            due: BinaryHeap::new(),
            order: 0,
            clients,
            hosts,
            lines: BTreeMap::new(),
            dials: BTreeMap::new(),
            hellos: BTreeMap::new(),
            last_line: 0,
            shut: BTreeMap::new(),
            kills_left: plan.kills,
            killed: Vec::new(),
            texts: BTreeMap::new(),
            came: BTreeMap::new(),
            trace: Trace::new(loud),
            report: Report::default(),
        };
        world.begin();
        world
    }

    /// Everybody uses every relay and reads their mailbox there.
    fn begin(&mut self) {
        let relays: Vec<_> = self.hosts.iter().map(|host| (host.route(), host.keys())).collect();
        for c in 0..self.clients.len() {
            for (route, keys) in &relays {
                let keys = self.dice.percent(50).then(|| keys.clone());
                let relay = route.relay;
                self.errand(c, Errand::UseRelay(route.clone(), keys, NamedBy::Person));
                let (add, drop) = (vec![(mailbox(c), 0)], Vec::new());
                self.errand(c, Errand::Listen(Listen { relay, add, drop }));
            }
            self.drain(c);
            let first = 5 * SECOND + self.dice.below(SECOND);
            self.after(first, Event::Say(c));
        }
        for r in 0..self.hosts.len() {
            self.after(SECOND, Event::Tick(r));
        }
        self.after(10 * SECOND, Event::Kill);
    }

    fn time(&self) -> Timestamp {
        Timestamp(BEGINNING + self.now)
    }

    fn after(&mut self, ms: u64, event: Event) {
        self.at(self.now + ms, event);
    }

    fn at(&mut self, at: u64, event: Event) {
        self.order += 1;
        let (at, order) = (at.max(self.now), self.order);
        self.due.push(Reverse(Due { at, order, event }));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Wake(c) => self.wake(c),
            Event::Reach(dial) => self.reach(dial),
            Event::Missed(dial) => self.missed(dial),
            Event::Late(c, line) => self.late(c, line),
            Event::Up(line, message) => self.up(line, &message),
            Event::Down(line, message) => self.down(line, &message),
            Event::ClientTold(line) => self.client_told(line),
            Event::RelayTold(line) => self.relay_told(line),
            Event::Goodbye(line) => self.goodbye(line),
            Event::Settle(r) => self.settle(r),
            Event::Tick(r) => self.tick(r),
            Event::Say(c) => self.say(c),
            Event::Kill => self.kill(),
        }
    }

    /// The next text of a client, to every relay; a while after the last kill the last one.
    fn say(&mut self, c: usize) {
        let number = self.clients[c].said;
        self.clients[c].said += 1;
        let to = (c + 1) % self.clients.len();
        let content = vec![7; *self.dice.pick(&SIZES)];
        let key = EnvelopeKey::new([3; 32]);
        let envelope = seal(&key, mailbox(to), self.dice.bytes(), &content).unwrap();
        let (from, said_at, came_at) = (c, self.now, None);
        let text = Text {
            from,
            number,
            to,
            said_at,
            came_at,
        };
        self.texts.insert(envelope.id(), text);
        self.note(Actor::Device(c), "says", [number as u64, content.len() as u64]);
        let parcel = Parcel {
            envelope,
            token: token(to),
            relays: self.hosts.iter().map(|host| host.route().relay).collect(),
            class: Class::Text,
            ttl_s: 86_400,
            deadline: self.time().plus_ms(86_400_000),
        };
        self.errand(c, Errand::Send(parcel));
        self.drain(c);
        if self.kills_left > 0 || self.now + HEALING < self.ends_at + WRITING {
            let pause = self.dice.between(200, 1_500);
            self.after(pause, Event::Say(c));
        }
    }

    /// A line dies: now, or half-way through the next message on it.
    fn kill(&mut self) {
        if self.kills_left == 0 {
            return;
        }
        let alive: Vec<u64> = self
            .lines
            .iter()
            .filter(|(_, line)| line.is_whole())
            .map(|(id, _)| *id)
            .collect();
        if alive.is_empty() {
            return self.after(100, Event::Kill);
        }
        let id = *self.dice.pick(&alive);
        let kinds = if self.plan.is_told {
            &line::TOLD[..]
        } else {
            &line::DEATHS
        };
        let death = *self.dice.pick(kinds);
        if self.dice.percent(50) {
            self.die(id, death);
        } else if let Some(line) = self.lines.get_mut(&id) {
            line.doomed = Some(death);
        }
        let pause = self.dice.between(2 * SECOND, 14 * SECOND);
        self.after(pause, Event::Kill);
    }

    fn note(&mut self, actor: Actor, what: &str, numbers: [u64; 2]) {
        self.trace.note(self.now, actor, what, numbers);
    }

    fn broke(&mut self, what: String) {
        self.report.broken.push(format!("{} ms: {what}", self.now));
    }

    /// What came, held against what was written.
    fn report(mut self, seed: u64) -> Report {
        self.check_texts();
        self.check_waiting();
        self.measure();
        self.report.seed = seed;
        self.report.texts = self.texts.len();
        (self.report.trace, self.report.lines) = self.trace.finish();
        self.report
    }

    /// Each relay brought each text to its reader once, each writer's in the order of writing.
    fn check_texts(&mut self) {
        let relays: Vec<RelayId> = self.hosts.iter().map(|host| host.route().relay).collect();
        for (r, relay) in relays.into_iter().enumerate() {
            for from in 0..self.clients.len() {
                let to = (from + 1) % self.clients.len();
                let came = self.came.get(&(to, relay, from)).cloned().unwrap_or_default();
                let written: Vec<usize> = (0..self.clients[from].said).collect();
                if came != written {
                    let [lost, doubled] = differ(&written, &came);
                    self.broke(format!(
                        "of client {from} relay {r} brought {} of {}: {lost} lost, {doubled} doubled",
                        came.len(),
                        written.len()
                    ));
                }
            }
        }
    }

    fn check_waiting(&mut self) {
        for c in 0..self.clients.len() {
            let waiting = self.clients[c].courier.parcel_count();
            if waiting > 0 {
                self.broke(format!("client {c} still keeps {waiting} that are stored"));
            }
        }
    }

    /// From each kill to the next text there and back.
    fn measure(&mut self) {
        for n in 0..self.killed.len() {
            if !self.killed[n].has_way {
                continue;
            }
            self.report.measured += 1;
            let Killed { at, client, death, .. } = self.killed[n];
            let next = |of: &dyn Fn(&Text) -> bool| {
                let due = self.texts.values().filter(|text| text.said_at >= at && of(text));
                due.filter_map(|text| text.came_at).min()
            };
            let there = next(&|text| text.from == client);
            let back = next(&|text| text.to == client);
            let after = there.into_iter().chain(back).max().map_or(0, |came| came - at);
            if death.tells_client() {
                self.report.after_told_ms = self.report.after_told_ms.max(after);
            } else {
                self.report.after_silent_ms = self.report.after_silent_ms.max(after);
            }
        }
    }
}

/// How many did not come, and how many more than once; neither where only their order is wrong.
fn differ(written: &[usize], came: &[usize]) -> [usize; 2] {
    let count = |n: &usize| came.iter().filter(|other| *other == n).count();
    let lost = written.iter().filter(|n| count(n) == 0).count();
    [lost, written.iter().filter(|n| count(n) > 1).count()]
}

/// What a client's mailbox is put with.
fn token(c: usize) -> Token {
    Token::from_bytes([u8::try_from(c).unwrap_or(u8::MAX); 32])
}

fn mailbox(c: usize) -> Tag {
    token(c).tag()
}
