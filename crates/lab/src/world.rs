//! A world: devices, relays and the network between them, in one process, under one seed, in virtual time.
//!
//! In: a seed. Out: [`Outcome`]: every promise that was broken, what went wrong on purpose, a hash of what happened.
//! Devices are the real messenger on a real encrypted database; relays are the real service. The network loses,
//! delays, repeats and reorders; devices and relays die anywhere; clocks are off by years. Then everything heals, and
//! `check` asks whether anything was lost, doubled, invented, disordered or shown to a relay.
//! Invariant: one seed, one world. No wall clock, no threads, no hash-map order here.

pub mod check;
pub mod content;
pub mod device;
pub mod faults;
mod forks;
pub mod groups;
pub mod kin;
mod media;
pub mod moves;
mod net;
mod people;
pub mod plan;
pub mod relay;
pub mod roll;
pub mod tap;
pub mod trace;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use stonechat_core::api::{Chat, Event as Told, Fault as Refusal, MessageState, Reply};
use stonechat_core::{Input, Outputs};
use stonechat_transport::courier::{Courier, Input as Report, LinkId, Remembered};
use stonechat_wire::exchange::{Errand, News};
use stonechat_wire::frame::{FromRelay, ToRelay};
use tempfile::TempDir;

use device::{Clock, Device, Fate};
use faults::{Fault, Totals};
use net::{Calling, Link};
use people::Met;
use plan::{DAY, HOUR, MINUTE, Odds, Plan, SECOND, Trouble};
use relay::Relay;
use roll::Roll;
use tap::Tap;
use trace::{Actor, Trace};

/// 2 March 2026, where every world begins, Unix ms.
pub const BEGINNING: u64 = 1_772_409_600_000;
/// What is not right so long after healing never will be.
const PATIENCE: u64 = 16 * DAY;
/// Everything that was lost comes again within a day, and what comes again may itself wait for its turn. Slower is a
/// text that its reader could not open: it is encrypted again only after two days (OUT-5).
const HEALS_WITHIN: u64 = 45 * HOUR;
/// What is right must stay right: longer than a message waits before it is sealed anew.
const AFTERWARDS: u64 = 25 * HOUR;
/// Of a thousand steps, where memory that is kept after it is to be found.
const COMMITS_FAIL: u64 = 300;
/// How often the tags in use are looked at.
const CENSUS_EVERY: u64 = 5 * DAY;
/// Steps of one world at most, and in a large one for each device: more than any plan needs.
const STEPS_MAX: u64 = 200_000;
const STEPS_EACH_MAX: u64 = 20_000;

/// A bug that the lab builds in, to see that the checks find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// Outputs are released although the commit failed.
    ReceiptBeforeCommit,
    /// A relay says `stored` before it has synced.
    StoredBeforeSync,
    /// The messenger's memory is kept after a failed commit.
    MemoryKept,
    /// Envelopes carry their text unsealed.
    Unsealed,
    /// All that a device says goes into one mailbox.
    OneMailbox,
    /// Envelopes carry the key that they are sealed with.
    KeySent,
    /// A log holds the keys that envelopes are sealed with.
    KeyLogged,
}

/// What a world came to.
#[derive(Debug)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// Promises broken; none: all is well.
    pub broken: Vec<String>,
    /// Trouble by kind.
    pub totals: Totals,
    /// Hash of everything that the seed decides.
    pub trace: [u8; 32],
    /// What happened, where it was asked for.
    pub lines: Vec<String>,
    /// Steps of all devices.
    pub steps: u64,
    /// Texts written.
    pub texts: usize,
    /// What was done to them: emojis, edits, deletions.
    pub touches: usize,
    /// Photos that are where they were sent to, or with who sent them.
    pub photos: usize,
    /// Voice notes that are.
    pub notes: usize,
    /// Devices that became another one of their owner's, by link or by words.
    pub kins: usize,
    /// Devices that were taken away or lost.
    pub parted: usize,
    /// Epochs that two commits or more were made on, by what devices know at the end.
    pub forks: usize,
    /// Different mailboxes that were read.
    pub tags: usize,
    /// Bytes that relays saw.
    pub wire_bytes: usize,
    /// From healing until everything was right, ms.
    pub healed_ms: u64,
    /// How long it lasted, simulated ms.
    pub lasted_ms: u64,
}

/// Everything that can happen at a time.
#[derive(Debug)]
pub(crate) enum Event {
    Start(usize),
    Wake(usize, u64),
    Retry(usize, u64),
    Courier(usize, u64),
    Report(usize, u64, Report),
    Dial(usize, u64, LinkId, String),
    Up(u64, Vec<ToRelay>),
    Down(u64, Vec<FromRelay>),
    DeviceNotices(u64),
    RelayNotices(u64),
    Settle(usize),
    RelayUp(usize),
    Knock(usize, u64, Calling),
    Look(usize),
    ReadAll(usize),
    Say(usize),
    Touch(usize),
    Deed(usize),
    Move(usize),
    Kin(usize),
    Parts(usize),
    Trouble(Trouble),
    Heal,
    Inspect,
    Census,
    End,
}

/// What came of an input, as its device's person sees it.
#[derive(Debug)]
pub(crate) enum Came {
    /// It is taken in.
    Done,
    /// The answer to a command.
    Answered(Result<Reply, Refusal>),
    /// It did not happen; the device lives on.
    Failed,
    /// The device died of it, before or after it happened.
    Died,
}

/// A device and what surrounds it.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) device: Device,
    pub(crate) courier: Courier,
    remembered: Remembered,
    /// What core has yet to take in; nothing: the start.
    kept: VecDeque<Option<News>>,
    /// It is taking in news, or waits to try again.
    busy: bool,
    cut_until: u64,
    full_until: u64,
    /// The chats that its screen showed last, and after how many starts and steps.
    chats: Option<((u64, u64), Vec<Chat>)>,
    /// When its person looks at the screen next.
    looks_at: Option<u64>,
    links: BTreeMap<LinkId, u64>,
    /// Until then the courier is woken when it asks to be; later, once an hour.
    stirred_until: u64,
    courier_due: Option<u64>,
    pub(crate) account: Option<String>,
    /// Since when it is none of its account's any more.
    pub(crate) out: Option<u64>,
}

/// See the module.
#[derive(Debug)]
pub struct World {
    seed: u64,
    now: u64,
    queue: BTreeMap<(u64, u64), Event>,
    order: u64,
    roll: Roll,
    plan: Plan,
    odds: Odds,
    healed: bool,
    complete_at: Option<u64>,
    nodes: Vec<Node>,
    relays: Vec<Relay>,
    relays_cut_until: Vec<u64>,
    relays_forgot: bool,
    links: BTreeMap<u64, Link>,
    last_link: u64,
    met: Vec<Met>,
    said: Vec<Said>,
    /// Ids of the messages that texts became, as often as they were written.
    written: BTreeMap<String, usize>,
    became: BTreeMap<usize, content::Became>,
    touched: usize,
    said_count: u64,
    steps: u64,
    tap: Tap,
    /// Every tag that was ever read or put to, and what for.
    tags: BTreeMap<Vec<u8>, check::Lane>,
    photos: usize,
    notes: usize,
    stands: Vec<kin::Stands>,
    kins: usize,
    parted: usize,
    /// Texts of devices that are out, and who had a leaf when they were written.
    firm: BTreeMap<usize, Vec<u8>>,
    /// Epochs with more than one child.
    forks: BTreeSet<Vec<u8>>,
    /// Every secret that devices had whenever one looked.
    secrets: BTreeSet<Vec<u8>>,
    /// An envelope was refused: said once.
    refused: bool,
    trace: Trace,
    totals: Totals,
    broken: Vec<String>,
    planted: Option<Planted>,
    /// Where the databases are; removed with the world.
    home: TempDir,
}

/// What became of a text of the plan.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Said {
    /// Its writer has it, as the so-manieth text of this world.
    pub(crate) order: Option<u64>,
    /// When that was.
    pub(crate) at: u64,
    /// Its writer was in no group to write it to.
    pub(crate) kept_silent: bool,
}

/// Runs the world of a seed to its end.
#[must_use]
pub fn run(seed: u64, planted: Option<Planted>, loud: bool) -> Outcome {
    World::new(Plan::of(seed), seed, planted, loud).run()
}

impl World {
    /// The world of a plan, at its beginning.
    #[must_use]
    pub fn new(plan: Plan, seed: u64, planted: Option<Planted>, loud: bool) -> Self {
        let home = device::folder();
        let nodes = plan.devices.iter().enumerate().map(|(n, device)| {
            let clock = Clock {
                offset_ms: device.offset_ms,
            };
            Node::new(Device::new(
                home.path().join(n.to_string()),
                clock,
                Roll::seeded(seed, 100 + n as u64),
            ))
        });
        let nodes: Vec<_> = nodes.collect();
        let relays = plan.relays.iter().enumerate().map(|(n, relay)| {
            Relay::new(
                n,
                Clock {
                    offset_ms: relay.offset_ms,
                },
                relay.secret,
                planted,
            )
        });
        let relays: Vec<_> = relays.collect();
        let mut world = Self {
            seed,
            now: 0,
            queue: BTreeMap::new(),
            order: 0,
            roll: Roll::seeded(seed, 2),
            odds: plan.odds,
            healed: false,
            complete_at: None,
            relays_cut_until: vec![0; relays.len()],
            relays_forgot: false,
            links: BTreeMap::new(),
            last_link: 0,
            met: plan.meetings.iter().map(|_| Met::default()).collect(),
            said: vec![Said::default(); plan.texts.len()],
            written: BTreeMap::new(),
            became: BTreeMap::new(),
            touched: 0,
            said_count: 0,
            steps: 0,
            tap: Tap::default(),
            tags: BTreeMap::new(),
            photos: 0,
            notes: 0,
            stands: vec![kin::Stands::default(); plan.kin.len()],
            kins: 0,
            parted: 0,
            firm: BTreeMap::new(),
            forks: BTreeSet::new(),
            secrets: BTreeSet::new(),
            refused: false,
            trace: Trace::new(loud),
            totals: Totals::default(),
            broken: Vec::new(),
            planted,
            home,
            nodes,
            relays,
            plan,
        };
        world.schedule_plan();
        world
    }

    fn schedule_plan(&mut self) {
        self.schedule_kin();
        for d in 0..self.nodes.len() {
            self.at(0, Event::Start(d));
            if self.plan.devices[d].offset_ms.unsigned_abs() > DAY {
                self.totals.add(Fault::ClockOff, 1);
            }
        }
        for (at, trouble) in self.plan.troubles.clone() {
            self.at(at, Event::Trouble(trouble));
        }
        for (k, text) in self.plan.texts.clone().into_iter().enumerate() {
            self.at(text.at, Event::Say(k));
        }
        for (n, touch) in self.plan.touches.clone().into_iter().enumerate() {
            self.at(touch.at, Event::Touch(n));
        }
        for (k, deed) in self.plan.deeds.clone().into_iter().enumerate() {
            self.at(deed.at, Event::Deed(k));
        }
        for (n, change) in self.plan.moves.clone().into_iter().enumerate() {
            self.at(change.at, Event::Move(n));
        }
        for met in self.plan.meetings.clone() {
            self.at(met.at, Event::Look(met.inviter));
            self.at(met.at + SECOND, Event::Look(met.taker));
        }
        let heals_at = self.plan.heals_at;
        self.at(heals_at, Event::Heal);
        self.at(CENSUS_EVERY, Event::Census);
    }

    /// Runs it to its end.
    #[must_use]
    pub fn run(mut self) -> Outcome {
        while let Some(((at, _), event)) = self.queue.pop_first() {
            self.now = at;
            if let Event::End = event {
                break;
            }
            self.happen(event);
            if self.steps > STEPS_MAX.max(STEPS_EACH_MAX * self.nodes.len() as u64) {
                self.broke("more steps than any plan needs: something goes round in circles".into());
                break;
            }
        }
        self.check_all();
        self.check_speed();
        let healed_ms = self.complete_at.unwrap_or(self.now).saturating_sub(self.plan.heals_at);
        let (trace, lines) = std::mem::replace(&mut self.trace, Trace::new(false)).finish();
        self.nodes.clear();
        self.home.close().unwrap();
        Outcome {
            seed: self.seed,
            broken: self.broken,
            totals: self.totals,
            trace,
            lines,
            steps: self.steps,
            texts: self.said.len(),
            touches: self.touched,
            photos: self.photos,
            notes: self.notes,
            kins: self.kins,
            parted: self.parted,
            forks: self.forks.len(),
            tags: self.tags.len(),
            wire_bytes: self.tap.wire_bytes(),
            healed_ms,
            lasted_ms: self.now,
        }
    }

    fn check_speed(&mut self) {
        let took = self.complete_at.unwrap_or(self.now).saturating_sub(self.plan.heals_at);
        if took > HEALS_WITHIN && self.plan.deeds.is_empty() {
            self.broke(format!(
                "{} h after everything was well something was missing",
                took / HOUR
            ));
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Start(d) => self.start(d),
            Event::Wake(d, starts) => self.wake(d, starts),
            Event::Retry(d, starts) => self.retry(d, starts),
            Event::Courier(d, starts) => self.wake_courier(d, starts),
            Event::Report(d, starts, report) => self.report(d, starts, report),
            Event::Dial(d, starts, link, address) => self.dial(d, starts, link, &address),
            Event::Up(link, frames) => self.up(link, frames),
            Event::Down(link, frames) => self.down(link, frames),
            Event::DeviceNotices(link) => self.device_notices(link),
            Event::RelayNotices(link) => self.relay_notices(link),
            Event::Settle(r) => self.settle(r),
            Event::RelayUp(r) => self.relays[r].up = true,
            Event::Knock(d, starts, knock) => self.knock(d, starts, &knock),
            Event::Look(d) => self.look(d),
            Event::ReadAll(d) => self.read_all(d),
            Event::Say(k) => self.say(k),
            Event::Touch(n) => self.touch(n),
            Event::Deed(k) => self.deed(k),
            Event::Move(n) => self.change_relays(n),
            Event::Kin(i) => self.come_to(i),
            Event::Parts(i) => self.part(i),
            Event::Trouble(trouble) => self.trouble(trouble),
            Event::Heal => self.heal(),
            Event::Inspect => self.inspect(),
            Event::Census => self.census(),
            Event::End => {}
        }
    }

    pub(crate) fn at(&mut self, at: u64, event: Event) {
        self.order += 1;
        self.queue.insert((at.max(self.now), self.order), event);
    }

    pub(crate) fn after(&mut self, wait: u64, event: Event) {
        self.at(self.now.saturating_add(wait), event);
    }

    /// Unix milliseconds.
    pub(crate) fn time(&self) -> u64 {
        BEGINNING + self.now
    }

    pub(crate) fn broke(&mut self, what: String) {
        self.trace.remark(|| format!("BROKEN: {what}"));
        if self.broken.len() < 50 {
            self.broken.push(what);
        }
    }

    pub(crate) fn note(&mut self, actor: Actor, what: &str, numbers: [u64; 2]) {
        self.trace.note(self.now, actor, what, numbers);
    }

    fn start(&mut self, d: usize) {
        if self.nodes[d].device.runs() || self.is_lost(d) {
            return;
        }
        self.note(Actor::Device(d), "start", [0, 0]);
        self.nodes[d].device.start();
        self.new_courier(d);
        self.nodes[d].kept.push_back(None);
        self.take_in(d);
        self.after(SECOND, Event::Look(d));
    }

    fn wake(&mut self, d: usize, starts: u64) {
        let (time, node) = (self.time(), &self.nodes[d]);
        let due = node.device.wake_at.is_some_and(|at| at <= node.device.clock.read(time));
        if due && node.device.starts == starts {
            self.nodes[d].device.wake_at = None;
            self.step(d, Input::Wake);
            if self.nodes[d].device.runs() && self.nodes[d].device.wake_at.is_none() {
                // As the daemon does when a step fails.
                let wait = self.retry_wait(d);
                let again = self.nodes[d].device.clock.read(time).plus_ms(wait);
                self.nodes[d].device.wake_at = Some(again);
                self.after(wait, Event::Wake(d, starts));
            }
        }
    }

    /// One input for one device, with whatever fate.
    pub(crate) fn step(&mut self, d: usize, input: Input) -> Came {
        self.steps += 1;
        let mut fate = self.fate();
        if fate == Fate::Whole && self.nodes[d].full_until > self.now {
            fate = Fate::DiskFull;
        }
        self.note(Actor::Device(d), kind_of(&input), [size_of(&input), 0]);
        self.trace
            .remark(|| format!("{fate:?} {input:?}").chars().take(400).collect());
        self.tap.log_input(&input);
        let time = self.time();
        let planted = self.planted;
        let stepped = match self.nodes[d].device.step(time, input, fate, planted) {
            Ok(stepped) => stepped,
            Err(why) => {
                self.broke(format!("device {d}: {why}"));
                return Came::Failed;
            }
        };
        self.count(fate);
        if stepped.full {
            self.totals.add(Fault::DiskFull, 1);
            self.note(Actor::Device(d), "disk full", [0, 0]);
        }
        if let Some(outputs) = stepped.outputs.as_ref().filter(|_| stepped.committed) {
            self.witness(d, outputs);
        }
        if !stepped.alive {
            self.note(Actor::Device(d), "dies", [fate as u64, 0]);
            self.died(d);
            let wait = self.roll.time(SECOND, HOUR);
            self.after(wait, Event::Start(d));
            return Came::Died;
        }
        let released = stepped.committed || planted == Some(Planted::ReceiptBeforeCommit);
        let outputs = stepped.outputs.filter(|_| released);
        let reply = outputs.as_ref().and_then(|outputs| outputs.reply.clone());
        if let Some(outputs) = outputs {
            self.release(d, outputs);
        }
        match (stepped.committed, reply) {
            (false, _) => Came::Failed,
            (true, None) => Came::Done,
            (true, Some(reply)) => Came::Answered(reply),
        }
    }

    fn fate(&mut self) -> Fate {
        let odds = match self.planted {
            Some(Planted::MemoryKept) if !self.healed => COMMITS_FAIL,
            _ => self.odds.step,
        };
        if !self.roll.permille(odds) {
            return Fate::Whole;
        }
        let dies = [
            Fate::CommitFails,
            Fate::DiesBefore,
            Fate::DiesAtCommit,
            Fate::DiesAfterCommit,
        ];
        match (*self.roll.pick(&dies), self.planted) {
            (_, Some(Planted::ReceiptBeforeCommit | Planted::MemoryKept)) => Fate::CommitFails,
            (fate, _) => fate,
        }
    }

    fn count(&mut self, fate: Fate) {
        let fault = match fate {
            Fate::Whole | Fate::DiskFull => return,
            Fate::CommitFails => Fault::CommitFailed,
            Fate::DiesBefore => Fault::CrashBetween,
            Fate::DiesAtCommit => Fault::CrashAtCommit,
            Fate::DiesAfterCommit => Fault::CrashAfterCommit,
        };
        self.totals.add(fault, 1);
    }

    fn release(&mut self, d: usize, outputs: Outputs) {
        let Outputs {
            errands,
            events,
            wake_at,
            ..
        } = outputs;
        for errand in errands {
            self.tap.log_errand(&errand);
            self.trace_errand(d, &errand);
            let lane = self.lane_of(d, &errand);
            let errand = self.sabotage(d, lane.as_ref(), errand);
            self.check_put(d, lane, &errand);
            self.give(d, errand);
        }
        if let Some(at) = wake_at {
            let (at, starts) = (self.nodes[d].device.clock.when(at), self.nodes[d].device.starts);
            self.at(at.saturating_sub(BEGINNING), Event::Wake(d, starts));
        }
        self.hear(d, &events);
        self.drain(d);
    }

    fn trace_errand(&mut self, d: usize, errand: &Errand) {
        let (what, numbers) = match errand {
            Errand::UseRelay(..) => ("use relay", [0, 0]),
            Errand::UseNear(_) => ("use near relay", [0, 0]),
            Errand::ForgetRelay(_) => ("forget relay", [0, 0]),
            Errand::ForgetWays { .. } => ("forget ways", [0, 0]),
            Errand::Send(parcel) => (
                "send",
                [
                    parcel.envelope.bytes().len() as u64,
                    parcel.class as u64 * 8 + parcel.relays.len() as u64,
                ],
            ),
            Errand::Signal(_) => ("signal", [0, 0]),
            Errand::Listen(listen) => ("listen", [listen.add.len() as u64, listen.drop.len() as u64]),
            Errand::OpenDoor(_) => ("open door", [0, 0]),
            Errand::CloseDoor { .. } => ("close door", [0, 0]),
            Errand::Knock(_) => ("knock", [0, 0]),
            Errand::ForgetKnock(_) => ("forget knock", [0, 0]),
        };
        self.note(Actor::Device(d), what, numbers);
        self.trace.remark(|| format!("{errand:?}").chars().take(400).collect());
    }

    /// What a committed step tells the world, also where nobody else gets to hear it.
    fn witness(&mut self, d: usize, outputs: &Outputs) {
        // Everybody here is honest, and the network damages nothing: what does not open would be undecryptable for ever.
        if let (Some(why), false) = (outputs.refused.first(), self.refused) {
            self.refused = true;
            self.broke(format!("device {d}: refused an envelope: {why}"));
        }
        for event in &outputs.events {
            match event {
                Told::MessageAdded { message } if message.mine => {
                    if let Some(k) = tap::number_of(&message.text) {
                        self.note(Actor::Device(d), "wrote", [k as u64, 0]);
                        self.said_count += 1;
                        let order = self.said_count;
                        if self.said[k].order.is_none() {
                            (self.said[k].order, self.said[k].at) = (Some(order), self.now);
                        }
                        if self.written.insert(message.id.clone(), k).is_none() {
                            self.became.remove(&k);
                        }
                    }
                }
                Told::MessageAdded { message } => {
                    let k = tap::number_of(&message.text).map_or(u64::MAX, |k| k as u64);
                    self.note(Actor::Device(d), "got", [k, 0]);
                }
                Told::MessageState { id, state, .. } => self.check_state(d, id, *state),
                _other => {}
            }
        }
    }

    /// A state beyond "carried" means that the other side has committed it.
    fn check_state(&mut self, d: usize, id: &str, state: MessageState) {
        self.note(Actor::Device(d), "state", [state as u64, 0]);
        if !matches!(state, MessageState::Delivered | MessageState::Read) {
            return;
        }
        let sql = "SELECT 1 FROM message WHERE id = unhex(?) AND mine = 0";
        let mut others = self.nodes.iter_mut().enumerate().filter(|(other, _)| *other != d);
        let held = others.any(|(_, node)| node.device.holds(sql, [id]));
        if !held {
            self.broke(format!("device {d}: a message is {state:?} that nobody has"));
        }
    }

    pub(crate) fn bring(&mut self, d: usize, news: Vec<News>) {
        self.nodes[d].kept.extend(news.into_iter().map(Some));
        if !self.nodes[d].busy {
            self.take_in(d);
        }
    }

    /// Gives core what the courier brought, one after the other; what a failed commit refused comes again.
    fn take_in(&mut self, d: usize) {
        self.nodes[d].busy = true;
        while let Some(news) = self.nodes[d].kept.pop_front() {
            match self.step(d, news.clone().map_or(Input::Started, Input::News)) {
                Came::Done | Came::Answered(_) => {}
                Came::Died => return,
                Came::Failed => {
                    self.nodes[d].kept.push_front(news);
                    let (starts, wait) = (self.nodes[d].device.starts, self.retry_wait(d));
                    return self.after(wait, Event::Retry(d, starts));
                }
            }
        }
        self.nodes[d].busy = false;
    }

    /// The daemon tries every two seconds; on a full disk that would be too many steps for a world.
    pub(crate) fn retry_wait(&self, d: usize) -> u64 {
        if self.nodes[d].full_until > self.now {
            HOUR
        } else {
            2 * SECOND
        }
    }

    fn retry(&mut self, d: usize, starts: u64) {
        if self.nodes[d].device.starts == starts && self.nodes[d].device.runs() {
            self.take_in(d);
        }
    }

    fn trouble(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::CutDevice(d, ms) => self.cut_device(d, ms),
            Trouble::CutRelay(r, ms) => self.cut_relay(r, ms),
            Trouble::CrashRelay(r, ms) => self.crash_relay(r, ms),
            Trouble::CrashDevice(d, ms) => {
                if self.nodes[d].device.runs() {
                    self.totals.add(Fault::CrashBetween, 1);
                    self.note(Actor::Device(d), "dies", [9, 0]);
                    self.nodes[d].device.die();
                    self.died(d);
                    self.after(ms, Event::Start(d));
                }
            }
            Trouble::DiskFull(d, ms) => self.nodes[d].full_until = self.now + ms,
            Trouble::RelayForgets(r) => self.relay_forgets(r),
            Trouble::Jump(d, by) => self.jump(d, by),
        }
    }

    fn jump(&mut self, d: usize, by: i64) {
        self.totals.add(Fault::ClockJump, 1);
        self.note(Actor::Device(d), "clock jumps", [by.unsigned_abs(), 0]);
        self.nodes[d].device.clock.offset_ms += by;
        let starts = self.nodes[d].device.starts;
        self.after(MINUTE, Event::Wake(d, starts));
        if let Some(at) = self.nodes[d].device.wake_at {
            let at = self.nodes[d].device.clock.when(at);
            self.at(at.saturating_sub(BEGINNING), Event::Wake(d, starts));
        }
    }

    fn heal(&mut self) {
        self.note(Actor::World, "heals", [0, 0]);
        self.odds = Odds::default();
        self.healed = true;
        self.reconnect_all();
        self.nodes.iter_mut().for_each(|node| node.full_until = 0);
        for d in 0..self.nodes.len() {
            self.after(SECOND, Event::Start(d));
        }
        self.after(HOUR, Event::Inspect);
    }

    /// Which tags are read and which secrets are held at this moment; more often than slots turn.
    fn census(&mut self) {
        self.check_tags();
        self.gather_secrets();
        self.after(CENSUS_EVERY, Event::Census);
    }

    /// An hour after healing, when people read what there is; an hour later; then twice a day: is everything as it
    /// should be by now?
    fn inspect(&mut self) {
        if self.complete_at.is_none() {
            for d in 0..self.nodes.len() {
                self.look(d);
                self.read_all(d);
            }
            if self.is_complete() {
                self.complete_at = Some(self.now);
                self.note(Actor::World, "complete", [0, 0]);
                return self.after(AFTERWARDS, Event::End);
            }
        }
        if self.now > self.plan.heals_at + PATIENCE {
            return self.at(self.now, Event::End);
        }
        let soon = self.now < self.plan.heals_at + 2 * HOUR;
        self.after(if soon { HOUR } else { 12 * HOUR }, Event::Inspect);
    }
}

impl Node {
    fn new(device: Device) -> Self {
        Self {
            device,
            courier: Courier::new([0; 32], Remembered::default()),
            remembered: Remembered::default(),
            kept: VecDeque::new(),
            busy: false,
            cut_until: 0,
            full_until: 0,
            chats: None,
            looks_at: None,
            links: BTreeMap::new(),
            stirred_until: 0,
            courier_due: None,
            account: None,
            out: None,
        }
    }
}

fn kind_of(input: &Input) -> &'static str {
    match input {
        Input::Started => "in: started",
        Input::Wake => "in: wake",
        Input::Ways(_) => "in: ways",
        Input::Near(_) => "in: near",
        Input::Command(_) => "in: command",
        Input::News(News::Greeting { .. }) => "in: greeting",
        Input::News(News::Gone { .. }) => "in: gone",
        Input::News(News::Offline) => "in: offline",
        Input::News(News::Arrived(_)) => "in: arrived",
        Input::News(News::Signalled { .. }) => "in: signalled",
        Input::News(News::Stored { .. }) => "in: stored",
        Input::News(News::Full { .. }) => "in: full",
        Input::News(News::Refused { .. }) => "in: refused",
        Input::News(News::DoorOpen { .. }) => "in: door open",
        Input::News(News::Knocked { .. }) => "in: knocked",
        Input::News(News::DoorSpent { .. }) => "in: door spent",
    }
}

fn size_of(input: &Input) -> u64 {
    match input {
        Input::News(News::Arrived(arrivals)) => arrivals.iter().map(|arrival| arrival.envelope.len() as u64).sum(),
        Input::News(News::Stored { ids, .. }) => ids.len() as u64,
        _other => 0,
    }
}
