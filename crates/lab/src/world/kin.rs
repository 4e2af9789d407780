//! Several devices of one person: a second one is linked over the world's relays, and may be taken away again; an only
//! one is lost, and the account comes back from its words on an empty one.
//!
//! In: a seed's story. Out: more devices in the plan, commands, and sentences about what is not so. The model knows which
//! devices are whose at every time: what was written while a device had its leaf is on it, what a removed one wrote
//! later is shown by nobody as if nothing had happened.

use std::collections::BTreeMap;

use stonechat_core::api::{self, Answer, Command, Fault as Refusal, LinkState, Linking, Query, Reply};

use super::groups::GROUP;
use super::plan::{DAY, DevicePlan, HOUR, MINUTE, Plan, Text, Trouble};
use super::roll::Roll;
use super::trace::Actor;
use super::{Event, World};

/// Larger worlds have one device a person: in a group of more than eight nobody names what a new leaf cannot open (CNV-6).
const PEOPLE_MAX: usize = 8;
/// A removal is in the group a few seconds after it was wished for, and after a crash somewhat later.
const REMOVED_WITHIN: u64 = 2 * HOUR;

/// Another device of somebody, and how it comes to be one.
#[derive(Clone, Copy, Debug)]
pub struct Kin {
    /// The device that was there before.
    pub home: usize,
    /// The other one.
    pub device: usize,
    /// What happens.
    pub story: Story,
}

/// What happens to a person's devices.
#[derive(Clone, Copy, Debug)]
pub enum Story {
    /// A second one is linked.
    Linked {
        /// When at the earliest.
        at: u64,
        /// When the home device takes it away again.
        removed_at: Option<u64>,
    },
    /// The only one is lost.
    Restored {
        /// When at the earliest.
        lost_at: u64,
        /// So much later the words are typed on another one.
        after: u64,
    },
}

/// Where a story stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stands {
    /// The link that the home device shows, and whether the new one took it up.
    link: Option<(String, bool)>,
    words: Option<String>,
}

impl Plan {
    /// With a second device of somebody, in half of the seeds. It has dice of its own: the other half stays what it was.
    pub(crate) fn with_kin(mut self, seed: u64) -> Self {
        let mut roll = Roll::seeded(seed, 8);
        let people = self.devices.len();
        let (home, heals_at) = (roll.index(people), self.heals_at);
        let at = roll.between(6 * HOUR, heals_at * 5 / 10);
        let removed_at = Some(roll.between(at + 6 * HOUR, heals_at * 9 / 10));
        let story = match roll.below(100) {
            _ if people > PEOPLE_MAX => return self,
            0..50 => return self,
            50..70 => Story::Linked { at, removed_at: None },
            70..85 => Story::Linked { at, removed_at },
            _ => Story::Restored {
                lost_at: at,
                after: roll.time(HOUR, DAY),
            },
        };
        let offset_ms = if roll.percent(70) {
            0
        } else {
            self.devices[home].offset_ms
        };
        let device = people;
        self.devices.push(DevicePlan {
            offset_ms,
            relays: self.devices[home].relays.clone(),
            read_receipts: true,
        });
        self.kin.push(Kin { home, device, story });
        self.texts_of_kin(&mut roll, at);
        self.troubles_of_kin(&mut roll, at);
        self
    }

    /// Both devices write, to the group and to a contact, and the contact writes to their owner.
    fn texts_of_kin(&mut self, roll: &mut Roll, from_at: u64) {
        let Some(Kin { home, device, .. }) = self.kin.last().copied() else {
            return;
        };
        let friend = if home == 0 { 1 + roll.index(device - 1) } else { 0 };
        let ways = [(device, GROUP), (home, friend), (device, friend), (friend, home)];
        for n in 0..roll.between(8, 13) {
            let (from, to) = ways[usize::try_from(n).unwrap_or(0) % ways.len()];
            self.texts.push(Text {
                from,
                to,
                at: roll.between(from_at, self.heals_at * 19 / 20),
                padding: roll.index(120),
                eager: true,
            });
        }
    }

    /// The other one is cut off for hours or days; one that is to be removed often just then.
    fn troubles_of_kin(&mut self, roll: &mut Roll, from_at: u64) {
        let Some(Kin { device, story, .. }) = self.kin.last().copied() else {
            return;
        };
        let long = roll.time(HOUR, 4 * DAY);
        let at = match story {
            Story::Linked {
                removed_at: Some(removed_at),
                ..
            } if roll.percent(60) => removed_at - roll.below(6 * HOUR),
            _ => roll.between(from_at, self.heals_at * 9 / 10),
        };
        self.troubles.push((at, Trouble::CutDevice(device, long)));
    }
}

/// What happens.
impl World {
    pub(crate) fn schedule_kin(&mut self) {
        for (i, kin) in self.plan.kin.clone().into_iter().enumerate() {
            match kin.story {
                Story::Linked { at, removed_at } => {
                    self.at(at, Event::Kin(i));
                    if let Some(removed_at) = removed_at {
                        self.at(removed_at, Event::Parts(i));
                    }
                }
                Story::Restored { lost_at, .. } => self.at(lost_at, Event::Parts(i)),
            }
        }
    }

    /// Whether somebody else's device was there before this one.
    pub(crate) fn is_kin(&self, d: usize) -> bool {
        self.plan.kin.iter().any(|kin| kin.device == d)
    }

    /// The first device of a device's owner: in plans, who that is.
    pub(crate) fn person(&self, d: usize) -> usize {
        let kin = self.plan.kin.iter().find(|kin| kin.device == d);
        kin.map_or(d, |kin| kin.home)
    }

    /// Who does by now what this device was to do.
    pub(crate) fn heir(&self, d: usize) -> usize {
        let lost = self.plan.kin.iter().find(|kin| kin.home == d && self.is_lost(d));
        lost.map_or(d, |kin| kin.device)
    }

    /// It is gone for good.
    pub(crate) fn is_lost(&self, d: usize) -> bool {
        let of_it = |kin: &Kin| kin.home == d && matches!(kin.story, Story::Restored { .. });
        self.nodes[d].out.is_some() && self.plan.kin.iter().any(of_it)
    }

    /// It is one of its account's devices now.
    pub(crate) fn lives(&self, d: usize) -> bool {
        self.nodes[d].out.is_none() && (self.nodes[d].account.is_some() || !self.is_kin(d))
    }

    /// All devices that live, of this account.
    pub(crate) fn devices_of(&self, account: &str) -> Vec<usize> {
        let of_it = |d: &usize| self.lives(*d) && self.nodes[*d].account.as_deref() == Some(account);
        (0..self.nodes.len()).filter(of_it).collect()
    }

    /// A device comes to its account, step by step.
    pub(crate) fn come_to(&mut self, i: usize) {
        let Kin { home, device, story } = self.plan.kin[i];
        if self.nodes[device].account.is_some() || self.complete_at.is_some() {
            return;
        }
        match story {
            Story::Linked { .. } => self.link(i, home, device),
            Story::Restored { .. } => self.restore(i, home, device),
        }
        let wait = self.roll.time(MINUTE, HOUR / 2).max(self.retry_wait(device));
        self.after(wait, Event::Kin(i));
    }

    fn linking(&mut self, d: usize) -> Option<Linking> {
        match self.nodes[d].device.ask(Query::Devices) {
            Some(Answer::Devices(devices)) => devices.linking,
            _other => None,
        }
    }

    fn link(&mut self, i: usize, home: usize, device: usize) {
        let (old, new) = (self.linking(home), self.linking(device));
        if new.as_ref().is_some_and(|new| new.state == LinkState::Linked) {
            self.nodes[device].account = self.nodes[home].account.clone();
            return self.note(Actor::Device(device), "linked", [0, 0]);
        }
        let number = new.and_then(|new| new.number);
        match (old.map(|old| old.state), number, self.stands[i].link.clone()) {
            (Some(LinkState::Asked), Some(number), _) => {
                self.wish(home, Command::DeviceConfirm(api::DeviceConfirm { number }));
            }
            (Some(LinkState::Open), _, Some((link, false))) => {
                let name = "second".into();
                let taken = Command::DeviceAccept(api::DeviceAccept {
                    link: link.clone(),
                    name,
                });
                if self.wish(device, taken).is_some() {
                    self.stands[i].link = Some((link, true));
                }
            }
            (Some(LinkState::Open | LinkState::Asked | LinkState::Granted), _, Some(_)) => {}
            _ if self.nodes[home].account.is_some() => {
                let made = self.wish(home, Command::DeviceLink(api::DeviceLinkWish { name: "first".into() }));
                if let Some(Reply::DeviceLink(made)) = made {
                    self.stands[i].link = Some((made.link, false));
                }
            }
            _nobody => {}
        }
    }

    /// A command whose time may be over: then it is wished again another way.
    fn wish(&mut self, d: usize, command: Command) -> Option<Reply> {
        match self.command(d, command) {
            Some(Ok(reply)) => Some(reply),
            Some(Err(Refusal::NotFound | Refusal::BrokenDeviceLink | Refusal::AccountExists)) | None => None,
            Some(Err(other)) => {
                self.broke(format!("device {d}: of its owner's devices: {other:?}"));
                None
            }
        }
    }

    fn restore(&mut self, i: usize, home: usize, device: usize) {
        let Some(words) = self.stands[i].words.clone() else {
            return;
        };
        let door = self.relays[self.plan.devices[home].relays[0]].route();
        let came = self.command(device, Command::Restore(api::Restore { words, door }));
        if matches!(came, Some(Ok(_) | Err(Refusal::AccountExists))) {
            self.nodes[device].account = self.nodes[home].account.clone();
            return self.note(Actor::Device(device), "comes back", [0, 0]);
        }
        if came.is_some() {
            self.broke(format!("device {device}: restore: {came:?}"));
        }
    }

    /// A device is taken away from its account, or lost.
    pub(crate) fn part(&mut self, i: usize) {
        let Kin { home, device, story } = self.plan.kin[i];
        let done = match story {
            Story::Linked { .. } => self.take_away(home, device),
            Story::Restored { after, .. } => self.lose(i, home, device, after),
        };
        if !done && !self.healed {
            self.after(HOUR, Event::Parts(i));
        }
    }

    fn take_away(&mut self, home: usize, device: usize) -> bool {
        let Some(Answer::Devices(all)) = self.nodes[home].device.ask(Query::Devices) else {
            return false;
        };
        if self.nodes[device].account.is_none() {
            return false;
        }
        // Where the device died of it, it may have happened.
        let Some(other) = all.devices.into_iter().find(|one| !one.this) else {
            self.nodes[device].out = Some(self.now);
            return true;
        };
        self.hold(device, Some(home));
        let id = other.id;
        if self.wish(home, Command::DeviceRemove(api::ById { id })).is_some() {
            self.nodes[device].out = Some(self.now);
            self.note(Actor::Device(device), "taken away", [0, 0]);
        }
        self.nodes[device].out.is_some()
    }

    /// It is gone, once what it knew lies on its relays.
    fn lose(&mut self, i: usize, home: usize, device: usize, after: u64) -> bool {
        let settled = "SELECT 1 FROM capsule WHERE changed = 0 AND hash IS NOT NULL
                       AND NOT EXISTS (SELECT 1 FROM outbox WHERE purpose = 7)";
        let ready = self.met.iter().all(|met| met.done)
            && self.group_chat(home).is_some()
            && !self.nodes[home].device.rows(settled, |_| Ok(())).is_empty();
        if !ready {
            return false;
        }
        let Some(Reply::Words(words)) = self.wish(home, Command::Words) else {
            return false;
        };
        self.stands[i].words = Some(words.words.join(" "));
        self.hold(home, None);
        self.nodes[home].out = Some(self.now);
        self.nodes[home].device.die();
        self.died(home);
        self.note(Actor::Device(home), "is lost", [0, 0]);
        self.after(after, Event::Start(device));
        self.after(after + MINUTE, Event::Kin(i));
        true
    }

    /// What a device had written that all others had confirmed is held against them for ever: it cannot be asked any more.
    /// Of one that is taken away counts what the device that does it has.
    fn hold(&mut self, d: usize, by: Option<usize>) {
        for k in 0..self.said.len() {
            if self.plan.texts[k].from != d {
                continue;
            }
            for id in self.ids_of(k) {
                let sql = format!(
                    "SELECT e.members FROM message m JOIN epoch e ON e.epoch_id = m.epoch_id
                     WHERE m.id = x'{id}' AND m.state IN (2, 3) AND NOT EXISTS (SELECT 1 FROM outbox WHERE about = m.id)"
                );
                let there: Vec<Vec<u8>> = self.nodes[d].device.rows(&sql, |row| row.get(0));
                let sql = "SELECT 1 FROM message WHERE id = unhex(?)";
                let known = by.is_none_or(|by| self.nodes[by].device.holds(sql, [&id]));
                if let (Some(members), true) = (there.into_iter().next(), known) {
                    self.firm.insert(k, members);
                }
            }
        }
    }
}

/// What must be so.
impl World {
    /// Everybody has the devices that they are to have, and each conversation has a leaf of each of them, and no other.
    pub(crate) fn kin_is_settled(&mut self) -> bool {
        self.strays().is_empty()
    }

    fn strays(&mut self) -> Vec<String> {
        let mut strays = Vec::new();
        for i in 0..self.plan.kin.len() {
            let Kin { home, device, story } = self.plan.kin[i];
            let comes = matches!(story, Story::Linked { .. }) || self.nodes[home].out.is_some();
            if comes && self.nodes[device].account.is_none() {
                strays.push(format!("device {device} is nobody's yet"));
            } else if comes && self.nodes[device].out.is_none() {
                strays.extend(self.not_back(device));
            }
        }
        if !self.plan.kin.is_empty() {
            strays.extend(
                (0..self.nodes.len())
                    .flat_map(|d| self.odd_leaves(d))
                    .collect::<Vec<_>>(),
            );
        }
        strays
    }

    /// Contacts that have not answered, and a group that a member is not in.
    fn not_back(&mut self, d: usize) -> Vec<String> {
        let mut strays = Vec::new();
        let asked = "SELECT 1 FROM coming_back";
        if !self.nodes[d].device.rows(asked, |_| Ok(())).is_empty() {
            strays.push(format!("device {d} waits for contacts"));
        }
        let inside = "SELECT 1 FROM conversation WHERE grouped = 1 AND gone = 0";
        if self.members().contains(&d) && self.nodes[d].device.rows(inside, |_| Ok(())).is_empty() {
            strays.push(format!("device {d} is not in its owner's group"));
        }
        strays
    }

    /// Heads with a leaf too many or too few.
    fn odd_leaves(&mut self, d: usize) -> Vec<String> {
        if !self.lives(d) || !self.nodes[d].device.runs() {
            return vec![];
        }
        let inside = self.members().contains(&d);
        let sql = "SELECT v.grouped, v.leaf, e.members FROM conversation v JOIN epoch e ON e.epoch_id = v.head
                   WHERE v.gone = 0 AND v.own = 0 AND v.waiting = 0";
        let rows = self.nodes[d]
            .device
            .rows(sql, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        let rows: Vec<(bool, u32, Vec<u8>)> = rows;
        let mut odd = Vec::new();
        for (_, _, members) in rows.into_iter().filter(|(grouped, ..)| inside || !*grouped) {
            let mut accounts: BTreeMap<String, usize> = BTreeMap::new();
            for member in members.chunks_exact(44) {
                *accounts.entry(hex::encode(&member[4..36])).or_default() += 1;
            }
            for (account, count) in accounts {
                let owned = self.devices_of(&account).len();
                if owned != count {
                    odd.push(format!("device {d}: {count} leaves of an account with {owned} devices"));
                }
            }
        }
        odd
    }

    /// What is not so about who has which devices.
    pub(crate) fn check_kin(&mut self) {
        for stray in self.strays() {
            self.broke(stray);
        }
        for i in 0..self.plan.kin.len() {
            let Kin { home, device, .. } = self.plan.kin[i];
            let account = self.nodes[home].account.clone().unwrap_or_default();
            self.kins += usize::from(self.nodes[device].account.is_some());
            self.parted += usize::from([home, device].iter().any(|d| self.nodes[*d].out.is_some()));
            for d in self.devices_of(&account) {
                self.check_list(d, &account);
            }
            self.check_told(device, &account);
            self.check_after_removal(device);
        }
        for k in 0..self.said.len() {
            let direct = self.plan.texts[k].to != GROUP && !self.plan.kin.is_empty();
            if direct && self.said[k].order.is_some() {
                let all: Vec<usize> = (0..self.nodes.len()).filter(|d| self.lives(*d)).collect();
                self.check_text(k, &all);
            }
        }
    }

    /// The owner sees which devices there are.
    fn check_list(&mut self, d: usize, account: &str) {
        let owned = self.devices_of(account).len();
        let Some(Answer::Devices(list)) = self.nodes[d].device.ask(Query::Devices) else {
            return;
        };
        if list.devices.len() != owned {
            let listed = list.devices.len();
            self.broke(format!("device {d} lists {listed} devices of its owner's {owned}"));
        }
    }

    /// Contacts are told of another device (DEV-5, RCH-3).
    fn check_told(&mut self, device: usize, account: &str) {
        if self.nodes[device].account.is_none() {
            return;
        }
        let sql = format!(
            "SELECT 1 FROM message m JOIN chat c ON c.id = m.chat WHERE m.kind = 5 AND c.contact = x'{account}'"
        );
        for d in 0..self.nodes.len() {
            let contact = format!("SELECT 1 FROM contact WHERE account = x'{account}'");
            let knows = self.lives(d) && !self.is_kin(d) && !self.nodes[d].device.rows(&contact, |_| Ok(())).is_empty();
            if knows && self.nodes[d].device.rows(&sql, |_| Ok(())).is_empty() {
                self.broke(format!("device {d} was not told of its contact's device {device}"));
            }
        }
    }

    /// What a device wrote after it was taken away stands apart wherever it is shown, but for those who are out.
    fn check_after_removal(&mut self, device: usize) {
        let Some(out) = self.nodes[device].out else { return };
        for k in 0..self.said.len() {
            let later = self.said[k].at > out + REMOVED_WITHIN;
            if self.plan.texts[k].from != device || self.said[k].order.is_none() || !later {
                continue;
            }
            for id in self.ids_of(k) {
                // Who is out itself has no commit of later.
                let shown = format!(
                    "SELECT 1 FROM message m JOIN conversation v USING (group_id)
                     WHERE m.id = x'{id}' AND m.chat IS NOT NULL AND m.late = 0 AND v.gone = 0"
                );
                for d in (0..self.nodes.len()).filter(|d| *d != device).collect::<Vec<_>>() {
                    if !self.nodes[d].device.rows(&shown, |_| Ok(())).is_empty() {
                        self.broke(format!(
                            "device {d} shows text {k} of the removed device {device} as any other"
                        ));
                    }
                }
            }
        }
    }

    /// The leaf of a device in the conversation of these leaves: account and beginning of its key.
    fn leaf_in(&mut self, d: usize, members: &[u8]) -> bool {
        let account = self.nodes[d].account.clone().unwrap_or_default();
        let of_account = |member: &&[u8]| hex::encode(&member[4..36]) == account;
        let theirs: Vec<Vec<u8>> = members
            .chunks_exact(44)
            .filter(of_account)
            .map(|member| member[36..].to_vec())
            .collect();
        let sql = "SELECT v.leaf, e.members FROM conversation v JOIN epoch e ON e.epoch_id = v.head";
        let heads: Vec<(u32, Vec<u8>)> = self.nodes[d].device.rows(sql, |row| Ok((row.get(0)?, row.get(1)?)));
        heads.iter().any(|(leaf, members)| {
            let own = |member: &&[u8]| member[..4] == leaf.to_be_bytes();
            let mine = members.chunks_exact(44).find(own);
            mine.is_some_and(|mine| theirs.iter().any(|key| key[..] == mine[36..]))
        })
    }

    /// Whoever had its leaf there when a text was written, and has been there ever since, has it once, as any other.
    pub(crate) fn check_text(&mut self, k: usize, all: &[usize]) {
        let writer = self.plan.texts[k].from;
        let ids: Vec<String> = self.ids_of(k).iter().map(|id| format!("x'{id}'")).collect();
        let ids = ids.join(", ");
        let sql = format!(
            "SELECT e.members FROM message m JOIN epoch e ON e.epoch_id = m.epoch_id
             WHERE m.id IN ({ids}) AND m.mine = 1 AND m.chat IS NOT NULL"
        );
        let own: Vec<Vec<u8>> = self.nodes[writer].device.rows(&sql, |row| row.get(0));
        let own = own
            .into_iter()
            .next()
            .filter(|_| all.contains(&writer) && self.lives(writer));
        let Some(then) = own.or_else(|| self.firm.get(&k).cloned()) else {
            return;
        };
        // Who was out of the group meanwhile may have written after a removal, and is shown so.
        let ordinary = if self.plan.texts[k].to == GROUP && !self.firm.contains_key(&k) {
            ""
        } else {
            "AND late = 0"
        };
        for d in all.iter().copied() {
            if self.plan.texts[k].to == GROUP && self.came_back(d) {
                continue;
            }
            let sql = format!("SELECT id FROM message WHERE id IN ({ids}) AND chat IS NOT NULL {ordinary}");
            let found: Vec<Vec<u8>> = self.nodes[d].device.rows(&sql, |row| row.get(0));
            if self.leaf_in(d, &then) && found.len() != 1 {
                self.broke(format!(
                    "device {d}: text {k} of {writer} is there {} times",
                    found.len()
                ));
            }
        }
    }
}
