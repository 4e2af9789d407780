//! A relay: the real service over its store in memory, with a clock of its own.
//!
//! In: frames of connections, knocks. Out: frames, each kept back until the service has synced. A crash drops what
//! was not synced and all connections. It remembers every `stored` it told, so that the world can hold it to that.

use std::collections::BTreeMap;

use stonechat_relay::limits::{Limits, weight};
use stonechat_relay::service::{Access, ConnectionId, Output, Service, Source};
use stonechat_relay::store::{Budget, MailboxStore, memory::MemoryStore};
use stonechat_wire::frame::{FromRelay, ToRelay};
use stonechat_wire::ids::{DoorPath, EnvelopeId, RelayId, Tag, Timestamp};
use stonechat_wire::route::{RelayKeys, RelayRoute};

use super::Planted;
use super::device::Clock;

/// See the module.
#[derive(Debug)]
pub struct Relay {
    service: Option<Service<MemoryStore>>,
    access: Access,
    keys: RelayKeys,
    /// `host:port`.
    pub address: String,
    /// Its clock.
    pub clock: Clock,
    /// Whether it runs.
    pub up: bool,
    /// Something waits for a sync.
    pub dirty: bool,
    /// Puts since the last sync.
    pub unsynced: u64,
    /// What was told to be stored: its mailbox, and until when it must be there.
    promised: BTreeMap<EnvelopeId, (Tag, Timestamp)>,
    putting: BTreeMap<EnvelopeId, (Tag, Timestamp)>,
    planted: Option<Planted>,
}

impl Relay {
    /// An empty relay.
    #[must_use]
    pub fn new(number: usize, clock: Clock, secret: Option<[u8; 16]>, planted: Option<Planted>) -> Self {
        let mut keys = [0x77; RelayKeys::SIZE];
        keys[0] = u8::try_from(number).unwrap();
        let access = secret.map_or(Access::Open, |secret| Access::Secrets(vec![secret]));
        let service = Service::new(MemoryStore::default(), access.clone(), Limits::default());
        Self {
            service: Some(service),
            access,
            keys: RelayKeys::from_bytes(keys),
            address: format!("relay{number}.example:443"),
            clock,
            up: true,
            dirty: false,
            unsynced: 0,
            promised: BTreeMap::new(),
            putting: BTreeMap::new(),
            planted,
        }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> RelayId {
        self.keys.id()
    }

    /// What its users paste.
    #[must_use]
    pub fn route(&self) -> String {
        let secret = match &self.access {
            Access::Secrets(secrets) => secrets.first().copied(),
            Access::Open => None,
        };
        RelayRoute {
            address: self.address.clone(),
            relay: self.id(),
            secret,
            lan: false,
        }
        .to_text()
    }

    /// A new connection.
    pub fn connect(&mut self, connection: u64) {
        self.service_mut().connect(ConnectionId(connection), Source::default());
    }

    /// A connection is gone.
    pub fn disconnect(&mut self, connection: u64) {
        self.service_mut().disconnect(ConnectionId(connection));
    }

    /// Takes frames; they take effect with the next [`Relay::settle`]. Out: what a relay with a planted bug says at once.
    pub fn take(&mut self, world_ms: u64, connection: u64, frames: Vec<ToRelay>) -> Vec<(u64, FromRelay)> {
        let now = self.clock.read(world_ms);
        let mut early = Vec::new();
        for frame in frames {
            if let ToRelay::Put { request, items } = &frame {
                for item in items {
                    self.unsynced += 1;
                    let until = now.plus_ms(u64::from(item.ttl_s) * 1000);
                    self.putting.insert(item.envelope.id(), (item.token.tag(), until));
                }
                if self.planted == Some(Planted::StoredBeforeSync) {
                    let ids = items.iter().map(|item| item.envelope.id()).collect();
                    early.push((connection, FromRelay::Stored { request: *request, ids }));
                }
            }
            self.service_mut().handle(ConnectionId(connection), frame, now);
        }
        self.dirty = true;
        self.promise(&early);
        early
    }

    /// Its keys.
    #[must_use]
    pub fn keys(&self) -> RelayKeys {
        self.keys.clone()
    }

    /// Syncs, and says what may be said by then. Out: frames, and connections to close.
    pub fn settle(&mut self, world_ms: u64) -> (Vec<(u64, FromRelay)>, Vec<u64>) {
        let now = self.clock.read(world_ms);
        let service = self.service_mut();
        service.settle(now);
        let (mut said, mut closed) = (Vec::new(), Vec::new());
        while let Some(output) = service.poll_output() {
            match output {
                Output::Send { to, frame } => {
                    service.drained(to, weight(&frame));
                    said.push((to.0, frame));
                }
                Output::Close { connection, .. } => closed.push(connection.0),
            }
        }
        self.dirty = false;
        self.unsynced = 0;
        self.promise(&said);
        (said, closed)
    }

    /// A request to a door.
    pub fn knock(&mut self, world_ms: u64, path: &DoorPath, proof: &[u8; 16]) -> Option<Vec<u8>> {
        let now = self.clock.read(world_ms);
        self.dirty = true;
        self.service_mut()
            .knock(path, proof, Source::default(), now)
            .map(|card| card.to_vec())
    }

    /// Dies. Out: how many puts were lost unsynced.
    pub fn crash(&mut self) -> u64 {
        let mut store = self.service.take().unwrap().into_store();
        store.crash();
        self.service = Some(Service::new(store, self.access.clone(), Limits::default()));
        self.up = false;
        self.dirty = false;
        self.putting.clear();
        std::mem::take(&mut self.unsynced)
    }

    /// Dies, and its disk with it: an empty store takes its place.
    pub fn forget(&mut self) {
        self.crash();
        self.service = Some(Service::new(
            MemoryStore::default(),
            self.access.clone(),
            Limits::default(),
        ));
        self.promised.clear();
    }

    /// How many envelopes that it called stored are not there before their time.
    #[must_use]
    pub fn broken_promises(&self, world_ms: u64) -> usize {
        let now = self.clock.read(world_ms);
        let due = self.promised.iter().filter(|(_, (_, until))| *until > now);
        let mut held: BTreeMap<Tag, Vec<EnvelopeId>> = BTreeMap::new();
        due.filter(|(id, (tag, _))| !held.entry(*tag).or_insert_with(|| self.mailbox(tag)).contains(id))
            .count()
    }

    fn mailbox(&self, tag: &Tag) -> Vec<EnvelopeId> {
        let budget = Budget {
            envelopes: usize::MAX,
            bytes: usize::MAX,
        };
        let kept = self.service.as_ref().unwrap().store().read(tag, 0, budget).unwrap();
        kept.iter()
            .filter_map(|kept| stonechat_wire::envelope::Envelope::decode(kept.bytes.to_vec()).ok())
            .map(|e| e.id())
            .collect()
    }

    fn promise(&mut self, said: &[(u64, FromRelay)]) {
        for (_, frame) in said {
            let FromRelay::Stored { ids, .. } = frame else { continue };
            for id in ids {
                if let Some(what) = self.putting.get(id) {
                    self.promised.insert(*id, *what);
                }
            }
        }
    }

    fn service_mut(&mut self) -> &mut Service<MemoryStore> {
        self.service.as_mut().unwrap()
    }
}
