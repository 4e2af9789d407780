//! A relay: the real service over its store in memory, and for each client the session and face that
//! `listen/connection.rs` holds.
//!
//! In: what lines bring. Out: messages on lines. Sessions outlive lines: another one takes over, or their time is up.

use std::collections::{BTreeMap, VecDeque};

use stonechat_relay::limits::{Limits, weight};
use stonechat_relay::service::{Access, ConnectionId, Output, Service, Source};
use stonechat_relay::store::memory::MemoryStore;
use stonechat_wire::face::{FaceRelay, RelaySecret};
use stonechat_wire::frame::{FromRelay, ToRelay};
use stonechat_wire::route::{RelayKeys, RelayRoute};
use stonechat_wire::session::{Opening, Session, is_beginning};

use super::line::Direction;
use super::{Event, SECOND, World};
use crate::world::roll::Roll;
use crate::world::trace::Actor;

/// How often a relay looks at its clock.
const TICK: u64 = 10 * SECOND;

#[derive(Debug)]
pub(super) struct Host {
    service: Service<MemoryStore>,
    keys: RelaySecret,
    route: RelayRoute,
    seats: BTreeMap<u64, Seat>,
    /// Seats by the session that sits there.
    sessions: BTreeMap<[u8; 16], u64>,
    is_dirty: bool,
}

/// A session's place.
#[derive(Debug)]
struct Seat {
    id: [u8; 16],
    face: FaceRelay,
    session: Session,
    line: Option<u64>,
    is_greeted: bool,
    /// Since when nothing was heard.
    quiet_since: u64,
    /// Since when it waits for another line.
    waits_since: Option<u64>,
    /// Where in the stream each batch ends, and what it weighs for the service.
    weights: VecDeque<(u64, usize)>,
    /// What the service says meanwhile.
    outbox: Vec<FromRelay>,
}

impl Host {
    pub(super) fn new(number: usize, dice: &mut Roll) -> Self {
        let keys = RelaySecret::from_seed(&dice.bytes());
        let secret = dice.bytes();
        let place = format!("192.0.2.{}", number + 1);
        let route = RelayRoute {
            address: format!("https://relay{number}.test:443,{place}:443,{place}:8443"),
            relay: keys.keys().id(),
            secret: Some(secret),
            lan: false,
        };
        let service = Service::new(MemoryStore::default(), Access::Secrets(vec![secret]), Limits::default());
        let (seats, sessions, is_dirty) = (BTreeMap::new(), BTreeMap::new(), false);
        Self {
            service,
            keys,
            route,
            seats,
            sessions,
            is_dirty,
        }
    }

    pub(super) fn route(&self) -> RelayRoute {
        self.route.clone()
    }

    pub(super) fn keys(&self) -> RelayKeys {
        self.keys.keys().clone()
    }
}

impl World {
    /// A message from a client.
    pub(super) fn up(&mut self, line: u64, message: &[u8]) {
        let Some(state) = self.lines.get(&line).filter(|line| !line.relay_left) else {
            return;
        };
        let (r, seat) = (state.way.0, state.seat);
        let done = match seat {
            Some(seat) => self.listen(r, seat, message),
            None => self.seat(r, line, message),
        };
        if let Err(error) = done {
            self.broke(format!("relay {r}: {error}"));
            self.lose(line);
        }
    }

    /// A first message begins a session, or takes one over (SES-3).
    fn seat(&mut self, r: usize, line: u64, first: &[u8]) -> anyhow::Result<()> {
        let (Opening { id, load_max }, message) = Opening::split(first)?;
        let known = self.hosts[r].sessions.get(&id).copied();
        let seat = match known {
            Some(seat) => seat,
            None if is_beginning(message) => self.take_seat(r, id, line),
            None => {
                self.lose(line);
                return Ok(());
            }
        };
        self.lines.get_mut(&line).unwrap().seat = Some(seat);
        let state = self.hosts[r].seats.get_mut(&seat).unwrap();
        let old = state.line.replace(line).filter(|old| *old != line);
        state.waits_since = None;
        state.session.board(load_max);
        if let Some(old) = old {
            self.lose(old);
        }
        self.listen(r, seat, message)?;
        self.post(r, seat)
    }

    fn take_seat(&mut self, r: usize, id: [u8; 16], line: u64) -> u64 {
        let face = FaceRelay::new(&self.hosts[r].keys, self.dice.bytes());
        let seat = Seat {
            id,
            face,
            session: Session::default(),
            line: Some(line),
            is_greeted: false,
            quiet_since: self.now,
            waits_since: None,
            weights: VecDeque::new(),
            outbox: Vec::new(),
        };
        let host = &mut self.hosts[r];
        host.sessions.insert(id, line);
        host.seats.insert(line, seat);
        host.service.connect(ConnectionId(line), Source::default());
        self.note(Actor::Relay(r), "seats", [line, 0]);
        line
    }

    fn listen(&mut self, r: usize, seat: u64, message: &[u8]) -> anyhow::Result<()> {
        let (now, time) = (self.now, self.time());
        let host = &mut self.hosts[r];
        let Some(state) = host.seats.get_mut(&seat) else {
            return Ok(());
        };
        state.quiet_since = now;
        let bytes = state.session.take(message)?.bytes;
        let drained = state.drained();
        if drained > 0 {
            host.service.drained(ConnectionId(seat), drained);
        }
        let messages = state.face.receive(&bytes)?;
        for message in messages {
            for frame in ToRelay::decode_all(&message)? {
                host.service.handle(ConnectionId(seat), frame, time);
                host.is_dirty = true;
            }
        }
        let wait = self.dice.between(1, 20);
        self.after(wait, Event::Settle(r));
        self.utter(r, seat);
        Ok(())
    }

    /// Syncs, and answers.
    pub(super) fn settle(&mut self, r: usize) {
        let time = self.time();
        let host = &mut self.hosts[r];
        if !std::mem::take(&mut host.is_dirty) && !host.service.has_backlog() {
            return;
        }
        host.service.settle(time);
        let mut said = Vec::new();
        while let Some(output) = host.service.poll_output() {
            match output {
                Output::Send { to, frame } => {
                    if let Some(seat) = host.seats.get_mut(&to.0) {
                        seat.outbox.push(frame);
                        said.push(to.0);
                    }
                }
                Output::Close { connection, why } => {
                    let told = format!("relay {r} closes {connection:?}: {why}");
                    self.report.broken.push(told);
                }
            }
        }
        if host.service.has_backlog() {
            self.after(1, Event::Settle(r));
        }
        said.dedup();
        for seat in said {
            let posted = self.post(r, seat);
            posted.unwrap_or_else(|error| self.broke(format!("relay {r}: {error}")));
        }
    }

    /// Seals what the service has said; between two lines that waits.
    fn post(&mut self, r: usize, seat: u64) -> anyhow::Result<()> {
        let Some(state) = self.hosts[r].seats.get_mut(&seat) else {
            return Ok(());
        };
        if state.line.is_none() {
            return Ok(());
        }
        let (mut message, mut weight_bytes) = (Vec::new(), 0);
        for frame in std::mem::take(&mut state.outbox) {
            state.is_greeted |= matches!(frame, FromRelay::Hello { .. });
            weight_bytes += weight(&frame);
            frame.encode(&mut message);
        }
        if !message.is_empty() {
            state.face.send(&message)?;
        }
        state.session.push(&state.face.take_output());
        state.weights.push_back((state.session.end(), weight_bytes));
        self.utter(r, seat);
        Ok(())
    }

    fn utter(&mut self, r: usize, seat: u64) {
        let most = self.plan.piece_bytes;
        let Some(state) = self.hosts[r].seats.get_mut(&seat) else {
            return;
        };
        state.session.push(&state.face.take_output());
        let Some(line) = state.line else { return };
        let messages: Vec<_> = std::iter::from_fn(|| state.session.next(most)).collect();
        for message in messages {
            self.put(line, Direction::Down, message);
        }
    }

    /// The relay drops a line; the client hears of it, if it hears anything.
    fn lose(&mut self, line: u64) {
        let Some(state) = self.lines.get_mut(&line) else { return };
        let is_heard = state.is_whole();
        state.relay_left = true;
        if is_heard {
            self.after(60, Event::ClientTold(line));
        }
    }

    /// The relay's system says that a line is dead: the session of a client that was greeted waits for another (SES-6).
    pub(super) fn relay_told(&mut self, line: u64) {
        let Some((r, Some(seat))) = self.lines.get(&line).map(|line| (line.way.0, line.seat)) else {
            return;
        };
        let now = self.now;
        let Some(state) = self.hosts[r]
            .seats
            .get_mut(&seat)
            .filter(|seat| seat.line == Some(line))
        else {
            return;
        };
        if state.is_greeted {
            (state.line, state.waits_since) = (None, Some(now));
        } else {
            self.unseat(r, seat);
        }
    }

    /// A close ends the session at once (SES-6).
    pub(super) fn goodbye(&mut self, line: u64) {
        if let Some((r, Some(seat))) = self.lines.get(&line).map(|line| (line.way.0, line.seat))
            && self.hosts[r]
                .seats
                .get(&seat)
                .is_some_and(|seat| seat.line == Some(line))
        {
            self.unseat(r, seat);
        }
    }

    fn unseat(&mut self, r: usize, seat: u64) {
        let host = &mut self.hosts[r];
        let Some(gone) = host.seats.remove(&seat) else { return };
        host.sessions.remove(&gone.id);
        host.service.disconnect(ConnectionId(seat));
        host.is_dirty = true;
        if let Some(line) = gone.line {
            self.lose(line);
        }
    }

    /// Who has said nothing for too long goes, and whose session nobody came for.
    pub(super) fn tick(&mut self, r: usize) {
        let (now, limits) = (self.now, Limits::default());
        let is_over = |seat: &Seat| {
            seat.waits_since.is_some_and(|since| now - since >= limits.session_ms)
                || now - seat.quiet_since >= limits.silence_ms
        };
        let over = self.hosts[r].seats.iter().filter(|(_, seat)| is_over(seat));
        for seat in over.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.unseat(r, seat);
        }
        self.hosts[r].is_dirty = true;
        self.settle(r);
        self.after(TICK, Event::Tick(r));
    }
}

impl Seat {
    /// What has come to the client since, as the service weighs it.
    fn drained(&mut self) -> usize {
        let mut bytes = 0;
        while let Some((end, weight)) = self.weights.front().copied()
            && end <= self.session.confirmed_to()
        {
            bytes += weight;
            self.weights.pop_front();
        }
        bytes
    }
}
