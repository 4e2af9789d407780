//! A test bench: devices with real stores, and a relay made of maps that loses nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use stonechat_core::api::{self, Command, Event, Fault, Reply};
use stonechat_core::store::{Store, StoreKey};
use stonechat_core::{Core, Dice, Input, Outputs, World};
use stonechat_wire::exchange::{Arrival, Class, Errand, Knock, News, Parcel, Signal};
use stonechat_wire::hand::Deck;
use stonechat_wire::ids::{DoorPath, Tag, Timestamp};
use stonechat_wire::invite::proof_hash;
use stonechat_wire::route::{RelayKeys, RelayRoute};

pub(crate) const START: u64 = 1_800_000_000_000;
/// A courier hands them over as they come; so few that a receipt for each batch would be noticed.
const ARRIVALS_AT_ONCE: usize = 100;

pub(crate) struct Device {
    pub(crate) store: Store,
    pub(crate) core: Core,
    pub(crate) dice: Dice,
    pub(crate) now: u64,
    pub(crate) events: Vec<Event>,
    pub(crate) wake_at: Option<u64>,
    pub(crate) queue: VecDeque<Input>,
    pub(crate) listening: BTreeMap<Tag, u64>,
    /// Why envelopes that came were refused.
    pub(crate) refused: Vec<&'static str>,
    /// Parcels handed out, in order.
    pub(crate) sent: Vec<Parcel>,
    /// Relays that it was told of: `UseRelay` and `UseNear`.
    pub(crate) told: Vec<Errand>,
    /// It reaches no relay: what it sends is held back.
    pub(crate) cut: bool,
    pub(crate) held: Vec<Parcel>,
    key: StoreKey,
    home: tempfile::TempDir,
}

#[derive(Clone, Default)]
pub(crate) struct Relay {
    pub(crate) boxes: BTreeMap<Tag, Vec<Vec<u8>>>,
    pub(crate) doors: BTreeMap<DoorPath, ([u8; 32], Vec<u8>)>,
    /// A relay that takes puts but says nothing and gives nothing.
    pub(crate) silent: bool,
    /// Mailboxes without room.
    pub(crate) full: BTreeSet<Tag>,
    /// Of a hundred envelopes it loses so many, though it calls them stored; and the dice for that.
    pub(crate) loses: (u64, u64),
}

pub(crate) struct Bench {
    pub(crate) relay: Relay,
    pub(crate) devices: Vec<Device>,
}

pub(crate) fn relay_keys() -> RelayKeys {
    RelayKeys::from_bytes([7; RelayKeys::SIZE])
}

pub(crate) fn route() -> String {
    RelayRoute {
        address: "127.0.0.1:9".into(),
        relay: relay_keys().id(),
        secret: Some([3; 16]),
        lan: false,
    }
    .to_text()
}

impl Device {
    pub(crate) fn new(number: usize) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut seed = [u8::try_from(number % 256).unwrap(); 32];
        seed[0] ^= u8::try_from(number / 256).unwrap();
        let key = StoreKey::from_bytes(seed);
        let store = Store::create(home.path(), &key).unwrap();
        Self::of(home, store, key, Dice::seeded(seed))
    }

    fn of(home: tempfile::TempDir, store: Store, key: StoreKey, dice: Dice) -> Self {
        Self {
            store,
            core: Core::new(),
            dice,
            now: START,
            events: vec![],
            wake_at: None,
            queue: VecDeque::new(),
            listening: BTreeMap::new(),
            refused: vec![],
            sent: vec![],
            told: vec![],
            cut: false,
            held: vec![],
            key,
            home,
        }
    }

    /// Another device with all that this one has on its disk, out of reach.
    fn copied(&mut self) -> Self {
        self.store.checkpoint_truncate().unwrap();
        let home = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(self.home.path()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), home.path().join(file.file_name())).unwrap();
        }
        let store = Store::open(home.path(), &self.key).unwrap();
        let mut copy = Self::of(home, store, self.key.clone(), Dice::seeded([99; 32]));
        copy.now = self.now;
        copy.listening.clone_from(&self.listening);
        copy.cut = true;
        copy
    }

    pub(crate) fn step(&mut self, input: Input) -> Outputs {
        let mut world = World {
            now: Timestamp(self.now),
            dice: &mut self.dice,
        };
        let tx = self.store.begin().unwrap();
        let outputs = self.core.handle(&tx, &mut world, input).unwrap();
        tx.commit().unwrap();
        self.wake_at = outputs.wake_at.map(|at| at.0);
        self.events.extend(outputs.events.iter().cloned());
        self.refused.extend(outputs.refused.iter().copied());
        outputs
    }
}

impl Relay {
    /// What a door answers somebody from the network of this number.
    fn behind(&self, knock: &Knock, now: Timestamp, from: usize) -> Option<Vec<u8>> {
        let (hash, card) = self.doors.get(&knock.path)?;
        if *hash != proof_hash(&knock.proof) {
            return None;
        }
        match Deck::decode(card) {
            Ok(deck) => {
                let source = [10, u8::try_from(from).unwrap(), 0, 0, 0, 0];
                deck.dealt(now.seconds(), &source).map(<[u8]>::to_vec)
            }
            Err(_) => Some(card.clone()),
        }
    }
}

impl Bench {
    /// Devices with accounts named a, b, c ... on one relay.
    pub(crate) fn with(count: usize) -> Self {
        let mut bench = Self {
            relay: Relay::default(),
            devices: (1..=count).map(Device::new).collect(),
        };
        let names = [
            "Ana", "Bo", "Cy", "Di", "Ed", "Flo", "Gus", "Hal", "Ida", "Jo", "Kim", "Lu",
        ];
        for device in 0..count {
            let name = names
                .get(device)
                .map_or_else(|| format!("Member {device}"), |name| (*name).to_owned());
            bench
                .ask(
                    device,
                    Command::Init(api::Init {
                        name,
                        relays: vec![route()],
                        words: None,
                    }),
                )
                .unwrap();
        }
        bench
    }

    /// One more device, which is a copy of this one and reaches nobody. Out: its number.
    pub(crate) fn copy(&mut self, device: usize) -> usize {
        let copy = self.devices[device].copied();
        self.devices.push(copy);
        self.devices.len() - 1
    }

    pub(crate) fn ask(&mut self, device: usize, command: Command) -> Result<Reply, Fault> {
        let outputs = self.devices[device].step(Input::Command(command));
        let reply = outputs.reply.clone().unwrap();
        self.release(device, outputs);
        self.settle();
        reply
    }

    /// The relay tells a device the time that its clock shows.
    pub(crate) fn greet(&mut self, device: usize) {
        let (relay, time) = (relay_keys().id(), Timestamp(self.devices[device].now));
        let outputs = self.devices[device].step(Input::News(News::Greeting { relay, time }));
        self.release(device, outputs);
    }

    /// Lets everything arrive that can.
    pub(crate) fn settle(&mut self) {
        for _ in 0..200 {
            let mut quiet = true;
            for device in 0..self.devices.len() {
                while let Some(input) = self.devices[device].queue.pop_front() {
                    quiet = false;
                    let outputs = self.devices[device].step(input);
                    self.release(device, outputs);
                }
                quiet &= !self.deliver(device);
            }
            if quiet {
                return;
            }
        }
        panic!("the bench does not come to rest");
    }

    /// Moves all clocks on, waking whoever asked for it.
    pub(crate) fn pass(&mut self, ms: u64) {
        let end = self.devices[0].now + ms;
        loop {
            let next = (0..self.devices.len())
                .filter_map(|d| self.devices[d].wake_at.map(|at| (at, d)))
                .filter(|(at, _)| *at <= end)
                .min();
            let Some((at, device)) = next else { break };
            for d in &mut self.devices {
                d.now = d.now.max(at);
            }
            let outputs = self.devices[device].step(Input::Wake);
            self.release(device, outputs);
            self.settle();
        }
        for d in &mut self.devices {
            d.now = end;
        }
    }

    pub(crate) fn deliver(&mut self, device: usize) -> bool {
        if self.relay.silent || self.devices[device].cut {
            return false;
        }
        let mut arrivals = vec![];
        let d = &mut self.devices[device];
        for (tag, cursor) in &mut d.listening {
            let waiting = self.relay.boxes.get(tag).map_or(&[][..], |b| b.as_slice());
            while let Some(envelope) = waiting.get(usize::try_from(*cursor).unwrap()) {
                *cursor += 1;
                if envelope.is_empty() {
                    continue; // lost
                }
                arrivals.push(Arrival {
                    relay: relay_keys().id(),
                    tag: *tag,
                    cursor: *cursor,
                    envelope: envelope.clone(),
                });
            }
        }
        if arrivals.is_empty() {
            return false;
        }
        for batch in arrivals.chunks(ARRIVALS_AT_ONCE) {
            d.queue.push_back(Input::News(News::Arrived(batch.to_vec())));
        }
        true
    }

    pub(crate) fn release(&mut self, device: usize, outputs: Outputs) {
        let relay = relay_keys().id();
        for errand in outputs.errands {
            let d = &mut self.devices[device];
            match errand {
                Errand::Send(parcel) => {
                    d.sent.push(parcel.clone());
                    if d.cut {
                        d.held.push(parcel);
                    } else {
                        self.put(device, parcel);
                    }
                }
                Errand::Signal(signal) => self.signal(device, &signal),
                // The bench's relay stands for all others too.
                Errand::Listen(listen) if listen.relay != relay => {
                    for (tag, cursor) in listen.add {
                        d.listening.entry(tag).or_insert(cursor);
                    }
                }
                Errand::Listen(listen) => {
                    for (tag, cursor) in listen.add {
                        d.listening.insert(tag, cursor);
                    }
                    for tag in listen.drop {
                        d.listening.remove(&tag);
                    }
                }
                // Whoever is cut off sets up no door and knocks at none.
                Errand::OpenDoor(_) | Errand::Knock(_) if d.cut => {}
                Errand::OpenDoor(door) => {
                    self.relay.doors.insert(door.path, (door.proof_hash, door.card));
                    d.queue
                        .push_back(Input::News(News::DoorOpen { relay, path: door.path }));
                }
                Errand::CloseDoor { path, .. } => {
                    self.relay.doors.remove(&path);
                }
                Errand::Knock(knock) => {
                    let (id, now) = (knock.id, Timestamp(d.now));
                    d.queue
                        .push_back(Input::News(match self.relay.behind(&knock, now, device) {
                            Some(card) => News::Knocked { id, card },
                            None => News::DoorSpent { id },
                        }));
                }
                Errand::UseRelay(..) | Errand::UseNear(_) => d.told.push(errand),
                Errand::ForgetRelay(_) | Errand::ForgetKnock(_) => {}
                Errand::ForgetWays { .. } => d.told.push(errand),
            }
        }
    }

    /// To all others who read the mailbox now.
    fn signal(&mut self, from: usize, signal: &Signal) {
        let (relay, tag) = (relay_keys().id(), signal.token.tag());
        let envelope = signal.envelope.bytes().to_vec();
        for (number, device) in self.devices.iter_mut().enumerate() {
            if number != from && device.listening.contains_key(&tag) {
                let envelope = envelope.clone();
                device
                    .queue
                    .push_back(Input::News(News::Signalled { relay, tag, envelope }));
            }
        }
    }

    fn put(&mut self, device: usize, parcel: Parcel) {
        let (tag, id) = (parcel.token.tag(), parcel.envelope.id());
        assert_eq!(tag, parcel.envelope.tag());
        if self.relay.full.contains(&tag) {
            let (relay, ids) = (relay_keys().id(), vec![id]);
            self.devices[device]
                .queue
                .push_back(Input::News(News::Full { relay, ids }));
            return;
        }
        let there = self.relay.boxes.entry(tag).or_default();
        let bytes = parcel.envelope.bytes().to_vec();
        let (percent, dice) = &mut self.relay.loses;
        *dice = dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        if (*dice >> 33) % 100 < *percent {
            there.push(vec![]);
        } else if !there.contains(&bytes) {
            there.push(bytes);
        }
        if !self.relay.silent {
            let relay = relay_keys().id();
            self.devices[device]
                .queue
                .push_back(Input::News(News::Stored { relay, ids: vec![id] }));
        }
    }

    /// A device loses the relay, and its courier says so.
    pub(crate) fn lose(&mut self, device: usize) {
        self.devices[device].cut = true;
        let relay = relay_keys().id();
        let outputs = self.devices[device].step(Input::News(News::Gone { relay }));
        self.release(device, outputs);
    }

    /// A device that was cut off reaches the relay again.
    pub(crate) fn reconnect(&mut self, device: usize) {
        self.devices[device].cut = false;
        for parcel in std::mem::take(&mut self.devices[device].held) {
            self.put(device, parcel);
        }
        self.settle();
    }

    /// The relay loses the commits that a device has put so far.
    pub(crate) fn lose_commits(&mut self, device: usize) {
        for parcel in self.devices[device]
            .sent
            .iter()
            .filter(|p| p.ttl_s == 60 * 24 * 3600 && p.class == Class::Text)
        {
            let there = self.relay.boxes.entry(parcel.token.tag()).or_default();
            // Cursors count what was ever there.
            for kept in there.iter_mut().filter(|kept| *kept == parcel.envelope.bytes()) {
                kept.clear();
            }
        }
    }

    pub(crate) fn invite(&mut self, device: usize, who: api::Who, how: api::How) -> api::Invite {
        match self.ask(device, Command::InviteCreate(api::InviteCreate { who, how })) {
            Ok(Reply::Invite(invite)) => invite,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn accept(&mut self, device: usize, link: &str, words: Option<&str>) -> Result<api::Acceptance, Fault> {
        let wish = api::Accept {
            link: link.into(),
            spoken_words: words.map(str::to_owned),
        };
        match self.ask(device, Command::Accept(wish))? {
            Reply::Acceptance(acceptance) => Ok(acceptance),
            other => panic!("{other:?}"),
        }
    }

    /// The newest state of the only acceptance of this device.
    pub(crate) fn acceptance(&self, device: usize) -> api::Acceptance {
        let newest = self.devices[device].events.iter().rev().find_map(|event| match event {
            Event::AcceptanceChanged { acceptance } => Some(acceptance.clone()),
            _ => None,
        });
        newest.expect("an acceptance")
    }

    pub(crate) fn say(&mut self, device: usize, chat: i64, text: &str) -> String {
        match self.ask(
            device,
            Command::Send(api::Send {
                chat,
                text: text.into(),
                client_id: None,
                marked: false,
                reply_to: None,
            }),
        ) {
            Ok(Reply::Message(message)) => message.id,
            other => panic!("{other:?}"),
        }
    }

    /// Texts of all chats in the order shown, `>` before own ones.
    pub(crate) fn texts(&mut self, device: usize) -> Vec<String> {
        let tx = self.devices[device].store.begin().unwrap();
        let mut rows = tx
            .prepare("SELECT mine, text FROM message WHERE kind < 2 ORDER BY chat, position")
            .unwrap();
        let texts = rows.query_map([], |row| {
            let (mine, text): (bool, String) = (row.get(0)?, row.get(1)?);
            Ok(if mine { format!("> {text}") } else { text })
        });
        texts.unwrap().collect::<Result<_, _>>().unwrap()
    }

    /// State numbers of own messages, in the order shown.
    pub(crate) fn states(&mut self, device: usize) -> Vec<u8> {
        self.numbers(
            device,
            "SELECT state FROM message WHERE mine = 1 AND kind < 2 ORDER BY chat, position",
        )
    }

    pub(crate) fn numbers(&mut self, device: usize, sql: &str) -> Vec<u8> {
        let tx = self.devices[device].store.begin().unwrap();
        let mut rows = tx.prepare(sql).unwrap();
        rows.query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    }

    /// Ana and Bo, met by a plain invitation for one person.
    pub(crate) fn friends() -> Self {
        let mut bench = Self::with(2);
        let invite = bench.invite(0, api::Who::One, api::How::Plain);
        bench.accept(1, &invite.link, None).unwrap();
        assert_eq!(bench.acceptance(1).state, api::AcceptanceState::Accepted);
        bench
    }
}
