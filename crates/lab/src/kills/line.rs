//! A line: a connection of a client with a relay, on which messages take time and which can die in several ways.
//!
//! In: messages. Out: when each arrives, or that it does not.

use stonechat_transport::courier::{HELLOS_MAX, LinkId, Lost, Used, WINDOW_MS};
use stonechat_wire::address::{port, ways};

use super::{Event, HEALING, Killed, NEXT_MS_MAX, World};
use crate::world::trace::Actor;

/// Bytes of a packet.
const PACKET_BYTES: usize = 1_400;
/// Packets that a side sends of which it hears nothing: as many as TCP begins with.
const UNANSWERED_MAX: u32 = 10;
/// How long a way may stay shut after a kill, in ms.
const SHUT_MS: (u64, u64) = (3_000, 25_000);

/// A relay's way: its place among the relays, and what is dialled.
pub(super) type Way = (usize, String);

/// How a line dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Death {
    /// Both ends are told.
    Reset,
    /// The client is told; the relay goes on.
    ClientTold,
    /// The relay is told; the client goes on.
    RelayTold,
    /// Nobody is told.
    Silent,
    /// What the client says is lost, and nobody is told.
    SilentUp,
    /// What the relay says is lost, and nobody is told.
    SilentDown,
}

/// All of them.
pub(super) const DEATHS: [Death; 6] = [
    Death::Reset,
    Death::ClientTold,
    Death::RelayTold,
    Death::Silent,
    Death::SilentUp,
    Death::SilentDown,
];

/// Those of which the client hears at once.
pub(super) const TOLD: [Death; 2] = [Death::Reset, Death::ClientTold];

impl Death {
    /// Whether the client hears of it at once.
    pub(super) const fn tells_client(self) -> bool {
        matches!(self, Self::Reset | Self::ClientTold)
    }

    const fn tells_relay(self) -> bool {
        matches!(self, Self::Reset | Self::RelayTold)
    }
}

/// What a dial meets on a way that is shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shut {
    /// No connection.
    Refused,
    /// A reset after the hello.
    Reset,
    /// Nothing after the hello.
    Silent,
}

/// All of them; only the last is silent.
const SHUTS: [Shut; 3] = [Shut::Refused, Shut::Reset, Shut::Silent];

impl Shut {
    /// What the carrier says of it, and after how long.
    pub(super) const fn lost(self) -> (Lost, u64) {
        match self {
            Self::Refused => (Lost::Broken, 0),
            Self::Reset => (Lost::Reset, 0),
            Self::Silent => (Lost::Silenced, 8_000),
        }
    }
}

/// Which direction something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Up,
    Down,
}

#[derive(Debug)]
pub(super) struct Line {
    pub(super) client: usize,
    pub(super) link: LinkId,
    pub(super) way: Way,
    /// The relay's seat that it belongs to.
    pub(super) seat: Option<u64>,
    pub(super) client_left: bool,
    pub(super) relay_left: bool,
    /// It dies so half-way through the next message.
    pub(super) doomed: Option<Death>,
    latency: u64,
    bytes_per_ms: usize,
    /// What arrives later than that does not.
    up_dead: u64,
    down_dead: u64,
    up_free: u64,
    down_free: u64,
    packets: u32,
    /// Packets since one direction alone is dead.
    unanswered: u32,
    up_bytes: u32,
    down_bytes: u32,
}

impl Line {
    /// Whether it carries both ways.
    pub(super) const fn is_whole(&self) -> bool {
        self.up_dead == u64::MAX && self.down_dead == u64::MAX && !self.client_left && self.doomed.is_none()
    }

    /// What the client's meter shows.
    pub(super) fn used(&self) -> Used {
        Used {
            packets: self.packets,
            bytes: self.up_bytes.max(self.down_bytes),
            is_full: false,
        }
    }

    /// Where one direction is dead the other one goes on for as long as TCP does without an answer.
    fn starve(&mut self, now: u64, packets: u32) {
        if (self.up_dead <= now) != (self.down_dead <= now) {
            self.unanswered += packets;
        }
        if self.unanswered > UNANSWERED_MAX {
            (self.up_dead, self.down_dead) = (self.up_dead.min(now), self.down_dead.min(now));
        }
    }

    /// Puts a message on the way. Out: when it begins and when it is there whole.
    fn carry(&mut self, now: u64, direction: Direction, size: usize) -> (u64, u64) {
        let bytes = u32::try_from(size).unwrap_or(u32::MAX);
        let packets = bytes / PACKET_BYTES as u32 + 1;
        self.packets += packets;
        self.starve(now, packets);
        let took = (size / self.bytes_per_ms) as u64 + 1;
        let (free, sum) = match direction {
            Direction::Up => (&mut self.up_free, &mut self.up_bytes),
            Direction::Down => (&mut self.down_free, &mut self.down_bytes),
        };
        *sum += bytes;
        let begins = now.max(*free);
        *free = begins + took;
        (begins, begins + took + self.latency)
    }

    const fn arrives(&self, direction: Direction, at: u64) -> bool {
        match direction {
            Direction::Up => at <= self.up_dead,
            Direction::Down => at <= self.down_dead,
        }
    }
}

impl World {
    /// A line stands.
    pub(super) fn lay(&mut self, client: usize, link: LinkId, way: Way) -> u64 {
        self.last_line += 1;
        let line = Line {
            client,
            link,
            way,
            seat: None,
            client_left: false,
            relay_left: false,
            doomed: None,
            latency: self.dice.between(5, 80),
            bytes_per_ms: self.dice.between(20, 400) as usize,
            up_dead: u64::MAX,
            down_dead: u64::MAX,
            up_free: 0,
            down_free: 0,
            packets: 0,
            unanswered: 0,
            up_bytes: 0,
            down_bytes: 0,
        };
        self.lines.insert(self.last_line, line);
        self.last_line
    }

    /// One end says something.
    pub(super) fn put(&mut self, id: u64, direction: Direction, message: Vec<u8>) {
        let now = self.now;
        let Some(line) = self.lines.get_mut(&id) else { return };
        let (begins, arrives) = line.carry(now, direction, message.len());
        if let Some(death) = line.doomed.take() {
            let at = begins + self.dice.below(arrives - begins);
            self.die_at(id, death, at);
        }
        self.freeze(id);
        let Some(line) = self.lines.get(&id) else { return };
        if line.arrives(direction, arrives) {
            let event = match direction {
                Direction::Up => Event::Up(id, message),
                Direction::Down => Event::Down(id, message),
            };
            self.at(arrives, event);
        }
    }

    /// A censor's count is full.
    fn freeze(&mut self, id: u64) {
        let (most, now) = (self.plan.freezes_after, self.now);
        let Some(line) = self.lines.get_mut(&id) else { return };
        if most > 0 && line.packets > most && line.is_whole() {
            (line.up_dead, line.down_dead) = (now, now);
            self.report.frozen += 1;
        }
    }

    pub(super) fn die(&mut self, id: u64, death: Death) {
        self.die_at(id, death, self.now);
    }

    /// From that moment on nothing arrives; and its way may stay shut.
    fn die_at(&mut self, id: u64, death: Death, at: u64) {
        let (up_later, down_later) = (self.dice.below(30), self.dice.below(30));
        let Some(line) = self.lines.get_mut(&id) else { return };
        let (client, way, latency) = (line.client, line.way.clone(), line.latency);
        if death != Death::SilentDown {
            line.up_dead = at + up_later;
        }
        if death != Death::SilentUp {
            line.down_dead = at + down_later;
        }
        let half_way = |dead: u64, free: u64| dead != u64::MAX && dead < free + latency;
        let is_half_way = half_way(line.up_dead, line.up_free) || half_way(line.down_dead, line.down_free);
        self.report.mid_message += usize::from(is_half_way);
        *self.report.kills.entry(death).or_default() += 1;
        self.note(Actor::Device(client), "loses a line", [id, death as u64]);
        self.count(at);
        let told_after = at - self.now + 30 + self.dice.below(20);
        if death.tells_client() {
            self.after(told_after, Event::ClientTold(id));
        }
        if death.tells_relay() {
            self.after(told_after, Event::RelayTold(id));
        }
        if self.dice.percent(30) {
            let until = at + self.dice.between(SHUT_MS.0, SHUT_MS.1);
            let kinds = if self.plan.is_told { &SHUTS[..2] } else { &SHUTS };
            let how = *self.dice.pick(kinds);
            self.shut.insert(way, (until, how));
            self.report.shut += 1;
        }
        let has_way = (0..self.clients.len()).all(|client| self.has_way(client));
        let lately = self.killed.iter_mut().filter(|killed| killed.at + NEXT_MS_MAX > at);
        lately.for_each(|killed| killed.has_way &= has_way);
        self.killed.push(Killed {
            at,
            client,
            death,
            has_way,
        });
    }

    /// One kill less; after the last one everything may heal.
    fn count(&mut self, at: u64) {
        self.kills_left = self.kills_left.saturating_sub(1);
        if self.kills_left == 0 {
            self.lines.values_mut().for_each(|line| line.doomed = None);
            self.ends_at = at + HEALING;
        }
    }

    /// Whether some way is not shut, and so many handshakes may begin there that one on a shut way of the same port is no harm.
    fn has_way(&self, client: usize) -> bool {
        let lately = |way: &Way| {
            let hellos = self.hellos.get(&(client, way.0, port(&way.1).to_owned()));
            let lately = hellos.into_iter().flatten().filter(|at| **at + WINDOW_MS > self.now);
            lately.count()
        };
        let is_open = |way: &Way| {
            let is_shut = self.shut.get(way).is_some_and(|(until, _)| *until > self.now);
            !is_shut && lately(way) + 2 <= HELLOS_MAX
        };
        let mut hosts = self.hosts.iter().enumerate();
        hosts.any(|(r, host)| ways(&host.route().address).into_iter().any(|way| is_open(&(r, way))))
    }
}
