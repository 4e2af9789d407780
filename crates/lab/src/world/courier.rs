//! The lab's courier: carries a device's errands to relays and brings news, and forgets everything when it dies.
//!
//! In: errands of core, frames of relays, connections that come and go. Out: frames, dials and knocks to do, news.
//! It holds no clock and no dice: when a dial succeeds is the world's business. Everything unanswered is put again
//! on the next connection.

use std::collections::{BTreeMap, BTreeSet};

use stonechat_wire::exchange::{Arrival, Door, Errand, Knock, Listen, News, Parcel};
use stonechat_wire::frame::{self, FromRelay, PutItem, ToRelay, VERSION};
use stonechat_wire::ids::{DoorPath, EnvelopeId, RelayId, Tag, Timestamp};
use stonechat_wire::route::RelayRoute;

/// What the courier wants done.
#[derive(Debug)]
pub enum Action {
    /// Connect to this relay.
    Dial(RelayId),
    /// Send these over the open connection.
    Send(RelayId, Vec<ToRelay>),
    /// Ask the door at this address.
    Knock(Knock),
}

/// See the module.
#[derive(Debug, Default)]
pub struct Courier {
    roads: BTreeMap<RelayId, Road>,
    knocks: BTreeSet<[u8; 16]>,
    actions: Vec<Action>,
}

#[derive(Debug, Default)]
struct Road {
    route: Option<RelayRoute>,
    open: bool,
    tags: BTreeMap<Tag, u64>,
    parcels: BTreeMap<u64, (EnvelopeId, Parcel)>,
    unsent: BTreeSet<u64>,
    asked: BTreeMap<u32, Asked>,
    doors: BTreeMap<DoorPath, Door>,
    closing: BTreeSet<DoorPath>,
    last_parcel: u64,
    last_request: u32,
}

#[derive(Debug)]
enum Asked {
    Put(Vec<EnvelopeId>),
    Open(DoorPath),
    Close(DoorPath),
}

impl Courier {
    /// Takes an errand.
    pub fn take(&mut self, errand: Errand) {
        match errand {
            Errand::UseRelay(route, _keys) => self.use_relay(route),
            Errand::ForgetRelay(relay) => {
                self.roads.remove(&relay);
            }
            Errand::Send(parcel) => self.send(parcel),
            Errand::Listen(listen) => self.listen(listen),
            Errand::OpenDoor(door) => {
                let road = self.roads.entry(door.relay).or_default();
                road.closing.remove(&door.path);
                road.doors.insert(door.path, door.clone());
                if road.open {
                    let frame = road.open_door(&door);
                    self.actions.push(Action::Send(door.relay, vec![frame]));
                }
            }
            Errand::CloseDoor { relay, path } => {
                let road = self.roads.entry(relay).or_default();
                road.doors.remove(&path);
                road.closing.insert(path);
                if road.open {
                    let frame = road.close_door(path);
                    self.actions.push(Action::Send(relay, vec![frame]));
                }
            }
            Errand::Knock(knock) => {
                self.knocks.insert(knock.id);
                self.actions.push(Action::Knock(knock));
            }
            Errand::ForgetKnock(id) => {
                self.knocks.remove(&id);
            }
        }
    }

    /// What to do next.
    pub fn actions(&mut self) -> Vec<Action> {
        for (relay, road) in &mut self.roads {
            if road.open && !road.unsent.is_empty() {
                self.actions.push(Action::Send(*relay, road.puts()));
            }
        }
        std::mem::take(&mut self.actions)
    }

    /// A connection stands: what to say first.
    pub fn hello(&self, relay: RelayId) -> ToRelay {
        let secret = self.roads.get(&relay).and_then(|road| road.route.as_ref()).and_then(|route| route.secret);
        ToRelay::Hello { version: VERSION, features: 0, secret }
    }

    /// The connection is gone. Out: whether it had been of use.
    pub fn lost(&mut self, relay: RelayId) -> bool {
        let Some(road) = self.roads.get_mut(&relay) else { return false };
        road.asked.clear();
        std::mem::replace(&mut road.open, false)
    }

    /// Whether this relay is still wanted.
    #[must_use]
    pub fn wants(&self, relay: RelayId) -> bool {
        self.roads.get(&relay).is_some_and(|road| road.route.is_some())
    }

    /// Whether this knock still waits for an answer.
    #[must_use]
    pub fn knocks(&self, id: &[u8; 16]) -> bool {
        self.knocks.contains(id)
    }

    /// A door answered: the card, or that nobody lives there.
    pub fn answered(&mut self, id: [u8; 16], card: Option<Vec<u8>>) -> Option<News> {
        self.knocks.remove(&id).then(|| match card {
            Some(card) => News::Knocked { id, card },
            None => News::DoorSpent { id },
        })
    }

    /// How many parcels and doors no relay has answered.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.roads.values().map(|road| road.parcels.len() + road.doors.len() + road.closing.len()).sum()
    }

    /// Takes what a relay said. Out: the news in it, pushes together.
    pub fn heard(&mut self, relay: RelayId, frames: Vec<FromRelay>) -> Vec<News> {
        let mut news = Vec::new();
        let mut pushed = Vec::new();
        for frame in frames {
            match frame {
                FromRelay::Arrived { tag, cursor, envelope } => {
                    let Some(seen) = self.roads.get_mut(&relay).and_then(|road| road.tags.get_mut(&tag)) else { continue };
                    *seen = cursor.max(*seen);
                    pushed.push(Arrival { relay, tag, cursor, envelope });
                }
                other => news.extend(self.answer(relay, other)),
            }
        }
        if !pushed.is_empty() {
            news.push(News::Arrived(pushed));
        }
        news
    }

    fn answer(&mut self, relay: RelayId, frame: FromRelay) -> Option<News> {
        let road = self.roads.get_mut(&relay)?;
        match frame {
            FromRelay::Hello { time_ms, .. } => {
                let frames = road.begin();
                self.actions.push(Action::Send(relay, frames));
                Some(News::Greeting { relay, time: Timestamp(time_ms) })
            }
            FromRelay::Stored { ids, .. } => {
                road.forget(&ids);
                Some(News::Stored { relay, ids })
            }
            FromRelay::Full { ids, .. } => {
                road.forget(&ids);
                Some(News::Full { relay, ids })
            }
            FromRelay::Refused { request, .. } => match road.asked.remove(&request)? {
                Asked::Put(ids) => {
                    road.forget(&ids);
                    Some(News::Refused { relay, ids })
                }
                Asked::Open(_) | Asked::Close(_) => None,
            },
            FromRelay::DoorOpen { request } => match road.asked.remove(&request)? {
                Asked::Open(path) => road.doors.remove(&path).map(|_| News::DoorOpen { relay, path }),
                Asked::Close(path) => {
                    road.closing.remove(&path);
                    None
                }
                Asked::Put(_) => None,
            },
            FromRelay::Busy { .. }
            | FromRelay::Arrived { .. }
            | FromRelay::Fetched { .. }
            | FromRelay::Ephemeral { .. }
            | FromRelay::Quota { .. } => None,
        }
    }

    fn use_relay(&mut self, route: RelayRoute) {
        let relay = route.relay;
        let road = self.roads.entry(relay).or_default();
        if road.route.replace(route).is_none() {
            self.actions.push(Action::Dial(relay));
        }
    }

    fn send(&mut self, parcel: Parcel) {
        for relay in &parcel.relays {
            let road = self.roads.entry(*relay).or_default();
            road.last_parcel += 1;
            road.parcels.insert(road.last_parcel, (parcel.envelope.id(), parcel.clone()));
            road.unsent.insert(road.last_parcel);
        }
    }

    fn listen(&mut self, listen: Listen) {
        let Listen { relay, add, drop } = listen;
        let road = self.roads.entry(relay).or_default();
        for tag in &drop {
            road.tags.remove(tag);
        }
        road.tags.extend(add.iter().copied());
        if road.open {
            self.actions.push(Action::Send(relay, vec![ToRelay::Subscribe { add, drop }]));
        }
    }
}

impl Road {
    /// Everything a fresh connection must be told.
    fn begin(&mut self) -> Vec<ToRelay> {
        self.open = true;
        self.unsent = self.parcels.keys().copied().collect();
        let add = self.tags.iter().map(|(tag, cursor)| (*tag, *cursor)).collect();
        let mut frames = vec![ToRelay::Subscribe { add, drop: vec![] }];
        for door in self.doors.values().cloned().collect::<Vec<_>>() {
            frames.push(self.open_door(&door));
        }
        for path in self.closing.clone() {
            frames.push(self.close_door(path));
        }
        frames
    }

    fn puts(&mut self) -> Vec<ToRelay> {
        let unsent = std::mem::take(&mut self.unsent);
        let items = unsent.iter().filter_map(|order| self.parcels.get(order)).map(|(_, parcel)| PutItem {
            token: parcel.token.clone(),
            ttl_s: parcel.ttl_s,
            envelope: parcel.envelope.clone(),
        });
        let batches = frame::batches(items.collect());
        batches.into_iter().map(|items| self.put(items)).collect()
    }

    fn put(&mut self, items: Vec<PutItem>) -> ToRelay {
        let request = self.ask(Asked::Put(items.iter().map(|item| item.envelope.id()).collect()));
        ToRelay::Put { request, items }
    }

    fn open_door(&mut self, door: &Door) -> ToRelay {
        let request = self.ask(Asked::Open(door.path));
        let Door { path, proof_hash, expires_s, card, .. } = door.clone();
        ToRelay::Door { request, path, proof_hash, expires_s, card }
    }

    fn close_door(&mut self, path: DoorPath) -> ToRelay {
        let request = self.ask(Asked::Close(path));
        ToRelay::CloseDoor { request, path }
    }

    fn ask(&mut self, asked: Asked) -> u32 {
        self.last_request += 1;
        self.asked.insert(self.last_request, asked);
        self.last_request
    }

    fn forget(&mut self, ids: &[EnvelopeId]) {
        self.parcels.retain(|_, (id, _)| !ids.contains(id));
    }
}
