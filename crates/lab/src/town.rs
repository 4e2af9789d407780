//! A town of people who write to each other through one relay, and what can be made of what that relay holds.
//!
//! In: a seed and a plan. Out: all that is seized ([`Seized`]) and the truth, for whoever counts right guesses ([`Truth`]).
//! Real are the tokens and tags of every epoch and week, the sealing, the relay's service and the segment log on a disk.
//! Made up are the people: who knows whom, when they are awake, when they look at their devices and whom they answer; and
//! what a device does by itself is done after the rules (receipts RCP-2, renewal RNW-1 and RNW-2, slots MBX-4, lives OUT-2)
//! without the messenger. The guesses are made in [`attack`].

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr};

use stonechat_relay::limits::{Limits, weight};
use stonechat_relay::service::{Access, ConnectionId, Output, Service, Source};
use stonechat_relay::store::log::SegmentLog;
use stonechat_relay::store::log::inspect::{HeldEnvelope, Holding};
use stonechat_wire::envelope::{EnvelopeKey, seal};
use stonechat_wire::frame::{PutItem, ToRelay};
use stonechat_wire::ids::{Tag, Timestamp};
use stonechat_wire::mailbox::{Lane, MailboxRoot, SLOT_MS, Slot, app_slots, token};

use crate::world::roll::Roll;

pub mod attack;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// The town begins with a week.
const BEGINNING: u64 = 2_930 * SLOT_MS;
/// How long a message is kept, and a commit, in seconds (OUT-2).
const MESSAGE_TTL_S: u32 = 30 * 24 * 3600;
const COMMIT_TTL_S: u32 = 2 * MESSAGE_TTL_S;
/// Contents by size: most texts are short. They fill buckets of 256, 512 and 1024 bytes.
const TEXTS: [usize; 8] = [120, 120, 120, 120, 120, 300, 300, 700];
const RECEIPT: usize = 100;
const COMMIT: usize = 5_000;
/// Epochs whose mailboxes are still read, in the memory of the relay.
const EPOCHS_READ: usize = 24;
/// Puts that share a sync.
const PUTS_EACH: usize = 512;

/// What a town is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// People.
    pub people: usize,
    /// How long they write, in weeks. The last but one is linked to the last.
    pub weeks: u64,
    /// So long at most, by chance, devices wait with what they do by themselves once they are there: receipts and renewals.
    /// As they are: 0, or seconds by the rules.
    pub waits_ms: u64,
    /// A leak that is built in.
    pub planted: Option<Planted>,
}

/// A leak that the attacker must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// On a week's first day all goes into last week's mailbox too, as a careful writer might do for slow clocks.
    BothWeeks,
}

/// All that is seized.
#[derive(Debug)]
pub struct Seized {
    /// The disk, by cursor.
    pub envelopes: Vec<HeldEnvelope>,
    /// The memory: what each connection reads at that moment.
    pub readers: Vec<Vec<Tag>>,
    /// What only a hostile relay has, that kept it while it ran: which connection put at which cursor.
    pub puts: Vec<(usize, Tag)>,
}

/// Whose a mailbox is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whose {
    /// Which conversation's.
    pub conversation: usize,
    /// Its lane.
    pub lane: Lane,
    /// Its week, from the town's first.
    pub week: u64,
}

/// What is so.
#[derive(Debug, Default)]
pub struct Truth {
    /// Every mailbox that was put into.
    pub mailboxes: BTreeMap<Tag, Whose>,
    /// Who is in each conversation.
    pub members: Vec<BTreeSet<usize>>,
}

#[derive(Debug)]
struct Conversation {
    root: MailboxRoot,
    /// Earlier ones, oldest first.
    old: Vec<MailboxRoot>,
    committed_at: u64,
    /// Who has something to confirm or has read something.
    unread: BTreeSet<usize>,
    receipt_at: BTreeMap<usize, u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// Somebody looks at the device.
    Looks(usize),
    Writes(usize, usize),
    Confirms(usize, usize),
    /// A device of somebody renews its keys in a conversation.
    Renews(usize, usize),
}

#[derive(Debug)]
struct Person {
    /// From this time of the day on they are awake, for sixteen hours.
    wakes: u64,
    devices: usize,
    /// Conversations, the liked ones several times.
    likes: Vec<usize>,
}

struct Town {
    plan: Plan,
    dice: Roll,
    service: Service<SegmentLog>,
    people: Vec<Person>,
    conversations: Vec<Conversation>,
    truth: Truth,
    puts: Vec<(usize, Tag)>,
    due: BinaryHeap<Reverse<(u64, u64, Event)>>,
    number: u64,
    now: u64,
    unsettled: usize,
}

/// Lets a town write, then takes its relay.
///
/// # Errors
/// The disk's own.
pub fn seize(seed: u64, plan: Plan) -> anyhow::Result<(Seized, Truth)> {
    let folder = tempfile::tempdir()?;
    let store = SegmentLog::open(folder.path(), seed.to_be_bytes())?;
    let limits = Limits {
        source_bytes_per_s: 1 << 40,
        source_bytes_max: 1 << 40,
        secret_bytes_per_day: 1 << 50,
        ..Limits::default()
    };
    let mut town = Town::new(seed, plan, Service::new(store, Access::Open, limits));
    while let Some(Reverse((at, _, event))) = town.due.pop() {
        town.now = at;
        if at >= plan.weeks * SLOT_MS {
            break;
        }
        town.happen(event);
    }
    let readers = town.readers();
    town.settle();
    stonechat_relay::store::MailboxStore::close(town.service.into_store())?;
    let mut envelopes = Holding::read(folder.path())?.envelopes;
    envelopes.sort_by_key(|envelope| envelope.cursor);
    let puts = town.puts;
    Ok((
        Seized {
            envelopes,
            readers,
            puts,
        },
        town.truth,
    ))
}

impl Town {
    fn new(seed: u64, plan: Plan, service: Service<SegmentLog>) -> Self {
        let mut dice = Roll::seeded(seed, 7);
        let people = (0..plan.people).map(|_| Person {
            wakes: dice.between(5 * HOUR, 10 * HOUR),
            devices: if dice.percent(30) { 2 } else { 1 },
            likes: vec![],
        });
        let people: Vec<Person> = people.collect();
        let mut town = Self {
            plan,
            dice,
            service,
            people,
            conversations: vec![],
            truth: Truth::default(),
            puts: vec![],
            due: BinaryHeap::new(),
            number: 0,
            now: 0,
            unsettled: 0,
        };
        town.settle_down();
        town
    }

    /// Everybody knows some neighbours and some others; every fifth founds a group of those around.
    fn settle_down(&mut self) {
        let count = self.people.len();
        for person in 0..count {
            self.connect(person);
            for step in [1, 2] {
                self.meet([person, (person + step) % count].into());
            }
            let other = self.dice.index(count);
            if other != person {
                self.meet([person, other].into());
            }
            if person % 5 == 0 {
                let size = 3 + self.dice.index(8);
                let members: BTreeSet<usize> = (0..size).map(|_| (person + self.dice.index(20)) % count).collect();
                self.meet(members);
            }
            let at = self.dice.below(DAY);
            self.at(at, Event::Looks(person));
        }
    }

    fn connect(&mut self, person: usize) {
        let octets = u16::try_from(person).unwrap_or_default().to_be_bytes();
        let from = IpAddr::V4(Ipv4Addr::new(10, octets[0], octets[1], 1));
        let id = ConnectionId(person as u64 + 1);
        self.service.connect(id, Source::of(from));
        let (version, features, secret) = (1, 0, None);
        self.service.handle(
            id,
            ToRelay::Hello {
                version,
                features,
                secret,
            },
            self.time(),
        );
    }

    fn meet(&mut self, members: BTreeSet<usize>) {
        if members.len() < 2 {
            return;
        }
        let number = self.conversations.len();
        // Some are written to every hour, some twice a month.
        let liked = 1 << self.dice.below(6);
        for member in &members {
            self.people[*member].likes.extend(std::iter::repeat_n(number, liked));
            for _ in 0..self.people[*member].devices {
                let at = self.dice.below(30 * HOUR);
                self.at(at, Event::Renews(number, *member));
            }
        }
        self.conversations.push(Conversation {
            root: MailboxRoot::new(self.dice.bytes()),
            old: vec![],
            committed_at: 0,
            unread: BTreeSet::new(),
            receipt_at: BTreeMap::new(),
        });
        self.truth.members.push(members);
    }

    fn at(&mut self, at: u64, event: Event) {
        self.number += 1;
        self.due.push(Reverse((at, self.number, event)));
    }

    fn time(&self) -> Timestamp {
        Timestamp(BEGINNING + self.now)
    }

    /// When somebody is awake next; devices sleep with their people.
    fn awake_at(&mut self, person: usize, at: u64) -> u64 {
        let since = (at + DAY - self.people[person].wakes) % DAY;
        if since < 16 * HOUR {
            at
        } else {
            at + DAY - since + self.dice.between(15 * SECOND, 10 * MINUTE) + self.waits()
        }
    }

    fn waits(&mut self) -> u64 {
        match self.plan.waits_ms {
            0 => 0,
            most => self.dice.below(most),
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Looks(person) => self.looks(person),
            Event::Writes(conversation, person) => self.writes(conversation, person),
            Event::Confirms(conversation, person) => self.confirms(conversation, person),
            Event::Renews(conversation, person) => self.renews(conversation, person),
        }
    }

    /// Reads what came, and writes to one or two.
    fn looks(&mut self, person: usize) {
        let next = self.now + self.dice.between(15 * MINUTE, 3 * HOUR);
        let next = self.awake_at(person, next);
        self.at(next, Event::Looks(person));
        let mine: BTreeSet<usize> = self.people[person].likes.iter().copied().collect();
        for conversation in mine {
            if self.conversations[conversation].unread.remove(&person) {
                let at = self.now + self.dice.between(2 * SECOND, 2 * MINUTE) + self.waits();
                self.at(at, Event::Confirms(conversation, person));
            }
        }
        for _ in 0..self.dice.below(3) {
            let conversation = *self.dice.pick(&self.people[person].likes);
            for _ in 0..=self.dice.below(3) {
                let at = self.now + self.dice.between(10 * SECOND, 5 * MINUTE);
                self.at(at, Event::Writes(conversation, person));
            }
        }
    }

    fn writes(&mut self, conversation: usize, person: usize) {
        let size = *self.dice.pick(&TEXTS);
        self.put(conversation, person, Lane::App, size);
        self.heard(conversation, person, SECOND);
        for member in self.truth.members[conversation].clone() {
            let state = &mut self.conversations[conversation];
            if member != person {
                state.unread.insert(member);
            }
            // Some look at once, and answer.
            if member != person && self.awake_at(member, self.now) == self.now && self.dice.percent(25) {
                let at = self.now + self.dice.between(20 * SECOND, 4 * MINUTE);
                self.conversations[conversation].unread.remove(&member);
                self.at(at, Event::Writes(conversation, member));
                break;
            }
        }
    }

    /// The others confirm what came once their devices are there (RCP-2).
    fn heard(&mut self, conversation: usize, from: usize, after: u64) {
        for member in self.truth.members[conversation].clone() {
            if member != from {
                let at = self.now + after + self.dice.below(2 * SECOND) + self.waits();
                let at = self.awake_at(member, at);
                self.at(at, Event::Confirms(conversation, member));
            }
        }
    }

    fn confirms(&mut self, conversation: usize, person: usize) {
        let last = self.conversations[conversation].receipt_at.insert(person, self.now);
        if last.is_none_or(|last| self.now >= last + 5 * SECOND) {
            self.put(conversation, person, Lane::App, RECEIPT);
        }
    }

    /// RNW-1, RNW-2.
    fn renews(&mut self, conversation: usize, person: usize) {
        let again = |at| Event::Renews(conversation, at);
        let awake = self.awake_at(person, self.now);
        if awake != self.now {
            return self.at(awake, again(person));
        }
        let since = self.now - self.conversations[conversation].committed_at;
        if since < 3 * HOUR && self.conversations[conversation].committed_at > 0 {
            let at = self.now + self.dice.between(3 * HOUR, 6 * HOUR);
            return self.at(at, again(person));
        }
        self.put(conversation, person, Lane::Commit, COMMIT);
        let root = MailboxRoot::new(self.dice.bytes());
        let state = &mut self.conversations[conversation];
        let old = std::mem::replace(&mut state.root, root);
        state.old.push(old);
        state.committed_at = self.now;
        self.heard(conversation, person, 5 * SECOND);
        let members = self.truth.members[conversation].len() as u64;
        let at = self.now + (24 * HOUR).max(3 * HOUR * members) + self.dice.below(6 * HOUR);
        self.at(at, again(person));
    }

    fn put(&mut self, conversation: usize, person: usize, lane: Lane, size: usize) {
        let slot = Slot::of(self.time());
        self.put_at(conversation, person, (lane, slot), size);
        let is_first_day = self.now % SLOT_MS < DAY;
        if self.plan.planted == Some(Planted::BothWeeks) && lane == Lane::App && is_first_day && self.now > SLOT_MS {
            self.put_at(conversation, person, (lane, slot.minus(1)), size);
        }
    }

    fn put_at(&mut self, conversation: usize, person: usize, (lane, slot): (Lane, Slot), size: usize) {
        let state = &self.conversations[conversation];
        let token = token(&state.root, lane, slot, 0);
        let (tag, week) = (token.tag(), u64::from(slot.0) - BEGINNING / SLOT_MS);
        self.truth.mailboxes.entry(tag).or_insert(Whose {
            conversation,
            lane,
            week,
        });
        let ttl_s = if lane == Lane::Commit {
            COMMIT_TTL_S
        } else {
            MESSAGE_TTL_S
        };
        let key = EnvelopeKey::new(self.dice.bytes());
        let envelope = seal(&key, tag, self.dice.bytes(), &vec![0; size]).expect("it fits a bucket");
        let items = vec![PutItem { token, ttl_s, envelope }];
        let now = self.time();
        self.service
            .handle(ConnectionId(person as u64 + 1), ToRelay::Put { request: 1, items }, now);
        self.puts.push((person, tag));
        self.unsettled += 1;
        if self.unsettled >= PUTS_EACH {
            self.settle();
        }
    }

    fn settle(&mut self) {
        self.unsettled = 0;
        self.service.settle(self.time());
        while let Some(output) = self.service.poll_output() {
            if let Output::Send { to, frame } = output {
                self.service.drained(to, weight(&frame));
            }
        }
    }

    /// What each connection reads now (MBX-5): the list that the relay's memory has of it.
    fn readers(&self) -> Vec<Vec<Tag>> {
        let mut all = Vec::new();
        for (number, person) in self.people.iter().enumerate() {
            let mine = self.truth.members.iter().zip(&self.conversations);
            let mine = mine.filter(|(members, _)| members.contains(&number));
            let tags: Vec<Tag> = mine.flat_map(|(_, state)| self.read_of(state)).collect();
            all.extend(std::iter::repeat_n(tags, person.devices));
        }
        all
    }

    fn read_of(&self, state: &Conversation) -> Vec<Tag> {
        let mut tags = Vec::new();
        let slots = app_slots(Slot::of(self.time()));
        let roots = state.old.iter().rev().take(EPOCHS_READ).chain([&state.root]);
        for root in roots {
            tags.extend(slots.iter().map(|slot| token(root, Lane::App, *slot, 0).tag()));
            tags.push(token(root, Lane::Commit, Slot(0), 0).tag());
        }
        tags
    }
}
