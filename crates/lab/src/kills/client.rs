//! A client: the real courier, and for each of its links the session and face that `carrier/ws.rs` holds.
//!
//! In: what lines bring, what the courier wants. Out: messages on lines, what came. Its job is that of the carrier's task.

use std::collections::BTreeMap;

use stonechat_transport::courier::{Courier, Input, LinkId, Lost, Output, Remembered, Used};
use stonechat_wire::address::{port, ways};
use stonechat_wire::exchange::{Arrival, Errand, News};
use stonechat_wire::face::FaceClient;
use stonechat_wire::frame::{FromRelay, ToRelay};
use stonechat_wire::ids::{EnvelopeId, RelayId};
use stonechat_wire::route::RelayKeys;
use stonechat_wire::session::{Opening, Session};

use super::line::{Direction, Shut, Way};
use super::{Event, Planted, World};
use crate::world::trace::Actor;

/// Time until a link's face is open.
const HANDSHAKE_MS: u64 = 10_000;

#[derive(Debug)]
pub(super) struct Client {
    pub(super) courier: Courier,
    /// How many texts it has written.
    pub(super) said: usize,
    links: BTreeMap<LinkId, Link>,
    /// When the courier is woken.
    wakes_at: Option<u64>,
}

impl Client {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        let (courier, links) = (Courier::new(seed, Remembered::default()), BTreeMap::new());
        Self {
            courier,
            said: 0,
            links,
            wakes_at: None,
        }
    }
}

/// A link of the courier's: a session over one line after the other.
#[derive(Debug)]
struct Link {
    id: [u8; 16],
    session: Session,
    face: FaceClient,
    /// The line that carries it; nothing while it is stranded, or not yet reached.
    line: Option<u64>,
    /// Said before the first message on the line.
    opening: Option<Opening>,
    /// The dial of the line that is to take over.
    relief: Option<u64>,
    is_open: bool,
    is_boarding: bool,
    has_more: bool,
    told: Used,
    /// Frames to be sealed.
    unsent: Vec<u8>,
}

/// A dial under way.
#[derive(Debug)]
pub(super) struct Dialled {
    client: usize,
    link: LinkId,
    way: Way,
    load_max: u32,
    is_relief: bool,
    lost: Lost,
}

impl World {
    pub(super) fn errand(&mut self, c: usize, errand: Errand) {
        self.feed(c, Input::Errand(errand));
    }

    fn feed(&mut self, c: usize, input: Input) {
        let now = self.time();
        self.clients[c].courier.handle_input(now, input);
    }

    pub(super) fn wake(&mut self, c: usize) {
        if self.clients[c].wakes_at == Some(self.now) {
            self.clients[c].wakes_at = None;
            self.feed(c, Input::Wake);
            self.drain(c);
        }
    }

    /// Does what the courier wants, and writes what came of it.
    pub(super) fn drain(&mut self, c: usize) {
        loop {
            let now = self.time();
            match self.clients[c].courier.poll_output(now) {
                Output::Wait(until) => {
                    self.wake_later(c, until.map(|until| until.0 - super::BEGINNING));
                    break;
                }
                output => self.obey(c, output),
            }
        }
        for link in self.clients[c].links.keys().copied().collect::<Vec<_>>() {
            self.write(c, link);
        }
    }

    fn wake_later(&mut self, c: usize, until: Option<u64>) {
        let Some(until) = until.map(|until| until.max(self.now + 1)) else {
            return;
        };
        if self.clients[c].wakes_at.is_none_or(|at| at > until || at <= self.now) {
            self.clients[c].wakes_at = Some(until);
            self.at(until, Event::Wake(c));
        }
    }

    fn obey(&mut self, c: usize, output: Output) {
        match output {
            Output::Dial {
                link,
                address,
                relay,
                keys,
                dice,
                session,
                load_max,
                ..
            } => {
                self.report.began += 1;
                let face = keys.map_or_else(
                    || FaceClient::asking(relay, dice),
                    |keys: RelayKeys| FaceClient::new(&keys, dice).unwrap(),
                );
                self.clients[c].links.insert(link, Link::new(session, face));
                self.dial(c, link, address, load_max, false);
            }
            Output::Relieve {
                link,
                address,
                load_max,
                ..
            } => {
                let dial = self.dial(c, link, address, load_max, true);
                if let Some(link) = self.clients[c].links.get_mut(&link) {
                    link.relief = Some(dial);
                }
            }
            Output::Send { link, frame } => self.with(c, link, |link| frame.encode(&mut link.unsent)),
            Output::Ping { link } => self.with(c, link, |link| link.session.ping()),
            Output::Close { link } => self.close(c, link),
            Output::News(News::Arrived(arrivals)) => arrivals.iter().for_each(|arrival| self.arrived(c, arrival)),
            Output::News(_) | Output::Remember(_) | Output::Reached(_) | Output::Tried(_) => {}
            // Nobody knocks, and there is no local network.
            Output::Knock { .. } | Output::Look | Output::Near(_) | Output::Wait(_) => {}
        }
    }

    fn with(&mut self, c: usize, link: LinkId, change: impl FnOnce(&mut Link)) {
        if let Some(link) = self.clients[c].links.get_mut(&link) {
            change(link);
        }
    }

    /// TCP, TLS and the upgrade take four times there and back.
    fn dial(&mut self, client: usize, link: LinkId, address: String, load_max: u32, is_relief: bool) -> u64 {
        self.last_line += 1;
        let dial = self.last_line;
        let host = self
            .hosts
            .iter()
            .position(|host| ways(&host.route().address).contains(&address));
        let way = (host.unwrap(), address);
        let hellos = self.hellos.entry((client, way.0, port(&way.1).to_owned())).or_default();
        hellos.push(self.now);
        let lost = Lost::Broken;
        self.dials.insert(
            dial,
            Dialled {
                client,
                link,
                way,
                load_max,
                is_relief,
                lost,
            },
        );
        let wait = self.dice.between(80, 400);
        self.after(wait, Event::Reach(dial));
        dial
    }

    pub(super) fn reach(&mut self, dial: u64) {
        let Some(dialled) = self.dials.get_mut(&dial) else {
            return;
        };
        let shut = self.shut.get(&dialled.way).filter(|(until, _)| *until > self.now);
        if let Some((why, wait)) = shut.map(|(_, how)| Shut::lost(*how)) {
            dialled.lost = why;
            return self.after(wait, Event::Missed(dial));
        }
        let Some(dialled) = self.dials.remove(&dial) else {
            return;
        };
        let Dialled {
            client: c,
            link,
            way,
            load_max,
            is_relief,
            ..
        } = dialled;
        let is_wanted = self.clients[c].links.get(&link);
        if !is_wanted.is_some_and(|link| !is_relief || link.relief == Some(dial)) {
            return;
        }
        let line = self.lay(c, link, way);
        if is_relief {
            self.take_over(c, link, line, load_max);
        } else {
            self.with(c, link, |link| link.begin(line, load_max));
            self.after(HANDSHAKE_MS, Event::Late(c, line));
        }
        self.write(c, link);
    }

    pub(super) fn missed(&mut self, dial: u64) {
        let Some(Dialled {
            client: c,
            link,
            is_relief,
            lost,
            ..
        }) = self.dials.remove(&dial)
        else {
            return;
        };
        let Some(state) = self.clients[c].links.get_mut(&link) else {
            return;
        };
        if !is_relief {
            return self.end(c, link, lost);
        }
        if state.relief != Some(dial) {
            return;
        }
        state.relief = None;
        if state.line.is_none() {
            return self.end(c, link, lost);
        }
        self.feed(c, Input::NotRelieved { link, why: lost });
        self.drain(c);
    }

    /// The old line is dropped without a goodbye: that would end the session (SES-6).
    fn take_over(&mut self, c: usize, link: LinkId, line: u64, load_max: u32) {
        self.report.went_on += 1;
        let planted = self.planted;
        let Some(state) = self.clients[c].links.get_mut(&link) else {
            return;
        };
        let old = state.line.take();
        state.begin(line, load_max);
        (state.relief, state.is_boarding) = (None, true);
        if planted == Some(Planted::ForgetsOnBoarding) {
            let _lost = state.session.next(usize::MAX);
        }
        if let Some(old) = old {
            self.leave(old, Event::RelayTold(old));
        }
        self.note(Actor::Device(c), "goes on", [link.0, line]);
    }

    /// The client's end of a line is gone; the relay hears of it, if it hears anything.
    fn leave(&mut self, line: u64, word: Event) {
        let Some(state) = self.lines.get_mut(&line) else { return };
        let is_heard = state.is_whole();
        state.client_left = true;
        if is_heard {
            self.after(60, word);
        }
    }

    fn close(&mut self, c: usize, link: LinkId) {
        let Some(state) = self.clients[c].links.remove(&link) else {
            return;
        };
        if let Some(line) = state.line {
            self.leave(line, Event::Goodbye(line));
        }
    }

    /// A link is over.
    fn end(&mut self, c: usize, link: LinkId, why: Lost) {
        let Some(state) = self.clients[c].links.remove(&link) else {
            return;
        };
        if let Some(line) = state.line {
            self.leave(line, Event::Goodbye(line));
        }
        if self.planted == Some(Planted::TakesLostForStored) {
            self.take_for_stored(c, link);
        }
        self.feed(c, Input::Lost { link, why });
        self.drain(c);
    }

    fn take_for_stored(&mut self, c: usize, link: LinkId) {
        let mine = self.texts.iter().filter(|(_, text)| text.from == c);
        let ids: Vec<EnvelopeId> = mine.map(|(id, _)| *id).collect();
        let frames = vec![FromRelay::Stored { request: 0, ids }];
        self.feed(c, Input::Frames { link, frames });
    }

    pub(super) fn late(&mut self, c: usize, line: u64) {
        let Some(link) = self.lines.get(&line).map(|line| line.link) else {
            return;
        };
        let state = self.clients[c].links.get(&link);
        if state.is_some_and(|state| !state.is_open && state.line == Some(line)) {
            self.end(c, link, Lost::Broken);
        }
    }

    /// While another line is under way the session waits for it.
    pub(super) fn client_told(&mut self, line: u64) {
        let Some((c, link)) = self.lines.get(&line).map(|line| (line.client, line.link)) else {
            return;
        };
        let Some(state) = self.clients[c]
            .links
            .get_mut(&link)
            .filter(|link| link.line == Some(line))
        else {
            return;
        };
        if state.relief.is_some() {
            state.line = None;
            self.leave(line, Event::RelayTold(line));
        } else {
            self.end(c, link, Lost::Broken);
        }
    }

    /// A message from the relay.
    pub(super) fn down(&mut self, line: u64, message: &[u8]) {
        let Some((c, link)) = self.lines.get(&line).map(|line| (line.client, line.link)) else {
            return;
        };
        let is_its = self.clients[c]
            .links
            .get(&link)
            .is_some_and(|link| link.line == Some(line));
        if !is_its {
            return;
        }
        match self.hear(c, link, message) {
            Ok(()) => {
                self.drain(c);
                self.tell_used(c, link);
            }
            Err(error) => {
                self.broke(format!("client {c}: {error}"));
                self.end(c, link, Lost::Malformed);
            }
        }
    }

    fn hear(&mut self, c: usize, link: LinkId, message: &[u8]) -> anyhow::Result<()> {
        let Some(state) = self.clients[c].links.get_mut(&link) else {
            return Ok(());
        };
        let came = state.session.take(message)?;
        state.has_more |= came.has_more;
        let messages = state.face.receive(&came.bytes)?;
        let is_boarded = std::mem::take(&mut state.is_boarding);
        let opens = state.face.is_open() && !std::mem::replace(&mut state.is_open, state.face.is_open());
        let keys = state.face.keys().cloned();
        if is_boarded {
            self.feed(c, Input::Relieved { link });
        }
        if opens {
            self.feed(
                c,
                Input::Open {
                    link,
                    keys,
                    place: None,
                },
            );
        }
        let mut frames = Vec::new();
        for message in messages {
            frames.extend(FromRelay::decode_all(&message)?);
        }
        let input = if frames.is_empty() {
            Input::Heard { link }
        } else {
            Input::Frames { link, frames }
        };
        self.feed(c, input);
        Ok(())
    }

    fn tell_used(&mut self, c: usize, link: LinkId) {
        let Some(state) = self.clients[c].links.get_mut(&link) else {
            return;
        };
        let Some(line) = state.line.and_then(|line| self.lines.get(&line)) else {
            return;
        };
        let is_full = state.has_more || state.session.is_full();
        let used = Used { is_full, ..line.used() };
        let is_news = used.is_full != state.told.is_full || used.packets >= state.told.packets.saturating_add(2);
        if state.is_open && is_news && !state.told.is_proven() {
            state.told = used;
            self.feed(c, Input::Used { link, used });
            self.drain(c);
        }
    }

    /// Seals what is to be sent, and says what may be said.
    fn write(&mut self, c: usize, link: LinkId) {
        let planted = self.planted;
        let Some(state) = self.clients[c].links.get_mut(&link) else {
            return;
        };
        if !state.unsent.is_empty() {
            let frames = std::mem::take(&mut state.unsent);
            let frames = if planted == Some(Planted::ForgetsCursors) {
                from_the_start(&frames)
            } else {
                frames
            };
            state.face.send(&frames).unwrap();
        }
        state.session.push(&state.face.take_output());
        let Some(line) = state.line else { return };
        let mut messages = Vec::new();
        while let Some(message) = state.session.next(self.plan.piece_bytes) {
            let opening = state.opening.take();
            messages.push(opening.map_or_else(|| message.clone(), |opening| opening.before(&message)));
        }
        for message in messages {
            self.put(line, Direction::Up, message);
        }
    }

    /// A text has come out of a mailbox.
    fn arrived(&mut self, c: usize, arrival: &Arrival) {
        let now = self.now;
        let Some(text) = self.texts.get_mut(&EnvelopeId::of(&arrival.envelope)) else {
            return self.broke(format!("client {c} got what nobody wrote"));
        };
        text.came_at.get_or_insert(now);
        let text = *text;
        if text.to != c {
            self.broke(format!("client {c} got what is for {}", text.to));
        }
        self.note(Actor::Device(c), "gets", [text.from as u64, text.number as u64]);
        let key: (usize, RelayId, usize) = (c, arrival.relay, text.from);
        self.came.entry(key).or_default().push(text.number);
    }
}

impl Link {
    fn new(id: [u8; 16], face: FaceClient) -> Self {
        Self {
            id,
            session: Session::default(),
            face,
            line: None,
            opening: None,
            relief: None,
            is_open: false,
            is_boarding: false,
            has_more: false,
            told: Used::default(),
            unsent: Vec::new(),
        }
    }

    /// A line carries it from now on.
    fn begin(&mut self, line: u64, load_max: u32) {
        self.line = Some(line);
        self.opening = Some(Opening { id: self.id, load_max });
        (self.has_more, self.told) = (false, Used::default());
        self.session.board(load_max);
    }
}

/// The same frames, as of a client that remembers no cursor.
fn from_the_start(frames: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for mut frame in ToRelay::decode_all(frames).unwrap() {
        if let ToRelay::Subscribe { add, .. } = &mut frame {
            add.iter_mut().for_each(|(_, cursor)| *cursor = 0);
        }
        frame.encode(&mut out);
    }
    out
}
