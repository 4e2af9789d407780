//! Groups in a world: who founds one, who adds, removes, promotes, leaves and writes, while halves of it are cut off.
//!
//! In: a seed. Out: a [`Plan`] with deeds, what became of them, and sentences about what is not so once it has healed:
//! everybody who is in the group by its owner's device is in it by its own, writes to the same branch, lists the same
//! members, and has each text that was written while it was a member, once.

use std::collections::{BTreeMap, BTreeSet};

use stonechat_core::api::{
    self, Answer, Chat, Command, Fault as Refusal, GroupCreate, GroupMembers, GroupRole, Query, Reply, Role,
};
use stonechat_wire::group::GroupState;

use super::kin::Story;
use super::plan::{DAY, DevicePlan, HOUR, MINUTE, Meeting, Odds, Plan, RelayPlan, SECOND, Spoken, Text, Trouble};
use super::roll::Roll;
use super::{Event, World};

/// The receiver of a text that goes to the group.
pub const GROUP: usize = usize::MAX;

/// Larger worlds last half as long: every device renews its keys and hears everybody else do so.
const MANY: usize = 6;
/// A device puts its account's capsule again every day (CAP-4); it may be cut off meanwhile.
const PUT_AGAIN_WITHIN: u64 = 2 * DAY;

/// Something somebody does about the group.
#[derive(Clone, Copy, Debug)]
pub struct Deed {
    /// Who.
    pub by: usize,
    /// When at the earliest.
    pub at: u64,
    /// What.
    pub what: What,
}

/// What is done; numbers are devices.
#[derive(Clone, Copy, Debug)]
pub enum What {
    /// The group is made, with nobody yet.
    Create,
    /// A contact is added.
    Add(usize),
    /// A member is removed.
    Remove(usize),
    /// A member gets a role.
    Give(usize, Role),
    /// The one who does it leaves.
    Leave,
    /// The group is called something else.
    Rename(u32),
}

impl Plan {
    /// A world of one group: `people` who all know the first, with partitions between its halves.
    #[must_use]
    pub fn of_group(seed: u64, people: usize) -> Self {
        let mut roll = Roll::seeded(seed, 7);
        let roll = &mut roll;
        let longest = if people > MANY { 6 * DAY } else { 12 * DAY };
        let heals_at = roll.between(3 * DAY, longest);
        let relays: Vec<_> = (0..roll.between(1, 3)).map(|_| relay(roll)).collect();
        let devices = (0..people).map(|_| device(roll, relays.len())).collect();
        let meetings = (1..people).map(|taker| meeting(roll, taker)).collect();
        let plan = Self {
            texts: texts(roll, people, heals_at),
            troubles: troubles(roll, people, relays.len(), heals_at),
            deeds: deeds(roll, people, heals_at),
            touches: vec![],
            kin: vec![],
            moves: vec![],
            odds: odds(roll),
            devices,
            relays,
            meetings,
            heals_at,
        };
        plan.with_second_adder(seed).touched(seed).with_kin(seed).troubled(seed)
    }

    /// The second one, an admin, knows somebody too; both add that one, out of reach of each other, and go on from there.
    fn with_second_adder(mut self, seed: u64) -> Self {
        let roll = &mut Roll::seeded(seed, 11);
        let people = self.devices.len();
        if people < 3 || !roll.percent(40) {
            return self;
        }
        let newcomer = 2 + roll.index(people - 2);
        self.meetings.push(Meeting {
            inviter: 1,
            ..meeting(roll, newcomer)
        });
        if roll.percent(70) {
            // Who is new, and was not in it from the beginning.
            let first = |deed: &Deed| matches!(deed.what, What::Add(whom) if whom == newcomer);
            self.deeds.retain(|deed| !first(deed));
        }
        let (at, long) = (roll.between(DAY, self.heals_at / 2), roll.time(4 * HOUR, 3 * DAY));
        for d in (1..people).filter(|d| *d == 1 || roll.percent(50)).collect::<Vec<_>>() {
            self.troubles.push((at, Trouble::CutDevice(d, long)));
        }
        let mut does = |by: usize, what: What, after: u64| {
            self.deeds.push(Deed {
                by,
                at: at + after,
                what,
            });
        };
        does(0, What::Give(1, Role::Admin), 0);
        (0..2).for_each(|by| does(by, What::Add(newcomer), 10 * MINUTE));
        for by in 0..2 {
            match roll.below(4) {
                0 => does(by, What::Remove(newcomer), HOUR),
                1 => does(by, What::Remove(2 + roll.index(people - 2)), HOUR),
                2 => does(by, What::Give(newcomer, Role::Admin), HOUR),
                _ => {}
            }
        }
        self
    }

    /// What else goes wrong: a relay is out of reach for days, a disk is full for hours.
    fn troubled(mut self, seed: u64) -> Self {
        let roll = &mut Roll::seeded(seed, 9);
        let (people, relays) = (self.devices.len(), self.relays.len());
        let when = |roll: &mut Roll| roll.below(self.heals_at * 8 / 10);
        let mut more = Vec::new();
        if roll.percent(40) {
            more.push((
                when(roll),
                Trouble::CutRelay(roll.index(relays), roll.time(10 * MINUTE, 3 * DAY)),
            ));
        }
        for _ in 0..roll.between(0, 3) {
            more.push((
                when(roll),
                Trouble::DiskFull(roll.index(people), roll.time(10 * MINUTE, 8 * HOUR)),
            ));
        }
        self.troubles.extend(more);
        self.worse(seed)
    }

    /// A relay forgets all it has, a clock jumps.
    fn worse(mut self, seed: u64) -> Self {
        let roll = &mut Roll::seeded(seed, 10);
        let (people, relays) = (self.devices.len(), self.relays.len());
        let latest = self.heals_at * 8 / 10;
        if roll.percent(20) {
            let (at, relay) = (roll.below(latest), roll.index(relays));
            if !self.takes_the_capsule(at, relay) {
                self.troubles.push((at, Trouble::RelayForgets(relay)));
            }
        }
        if roll.percent(30) {
            let far = *roll.pick(&[3 * DAY, 400 * DAY]);
            let by = roll.below(2 * far).cast_signed() - far.cast_signed();
            self.troubles
                .push((roll.below(latest), Trouble::Jump(roll.index(people), by)));
        }
        self
    }

    /// Whether the only relay that has somebody's capsule loses it when the device that would put it again is about to be
    /// lost, or is: then the words bring nothing back, and nothing can.
    fn takes_the_capsule(&self, at: u64, relay: usize) -> bool {
        self.kin.iter().any(|kin| match kin.story {
            Story::Restored { lost_at, .. } => {
                at + PUT_AGAIN_WITHIN > lost_at && self.devices[kin.home].relays == [relay]
            }
            Story::Linked { .. } => false,
        })
    }
}

fn relay(roll: &mut Roll) -> RelayPlan {
    RelayPlan {
        offset_ms: 0,
        secret: Some(roll.bytes()),
    }
}

fn device(roll: &mut Roll, relays: usize) -> DevicePlan {
    let offset_ms = if roll.percent(80) {
        0
    } else {
        roll.below(800 * DAY).cast_signed() - (400 * DAY).cast_signed()
    };
    DevicePlan {
        offset_ms,
        relays: vec![roll.index(relays)],
        read_receipts: roll.percent(80),
    }
}

fn meeting(roll: &mut Roll, taker: usize) -> Meeting {
    Meeting {
        inviter: 0,
        taker,
        who: api::Who::One,
        how: api::How::Plain,
        spoken: Spoken::Right,
        shares: None,
        at: roll.time(SECOND, HOUR),
    }
}

fn texts(roll: &mut Roll, people: usize, heals_at: u64) -> Vec<Text> {
    let count = roll.between(15, 30);
    let text = |roll: &mut Roll| Text {
        from: roll.index(people),
        to: GROUP,
        at: roll.between(6 * HOUR, heals_at * 9 / 10),
        padding: roll.index(120),
        eager: true,
    };
    (0..count).map(|_| text(roll)).collect()
}

/// The group grows first, then everything happens to it.
fn deeds(roll: &mut Roll, people: usize, heals_at: u64) -> Vec<Deed> {
    let mut deeds = vec![Deed {
        by: 0,
        at: 2 * HOUR,
        what: What::Create,
    }];
    for whom in 1..people {
        deeds.push(Deed {
            by: 0,
            at: 3 * HOUR + roll.time(SECOND, 2 * HOUR),
            what: What::Add(whom),
        });
    }
    if people > 2 && roll.percent(70) {
        deeds.push(Deed {
            by: 0,
            at: 8 * HOUR,
            what: What::Give(1, Role::Admin),
        });
    }
    for _ in 0..roll.between(2, 7) {
        let whom = 1 + roll.index(people - 1);
        let what = match roll.below(100) {
            0..30 => What::Remove(whom),
            30..55 => What::Add(whom),
            55..75 => What::Give(whom, *roll.pick(&[Role::Member, Role::Admin, Role::Moderator])),
            75..85 => What::Leave,
            _ => What::Rename(u32::try_from(roll.below(1000)).unwrap_or(0)),
        };
        let by = match what {
            What::Leave => whom,
            _ => *roll.pick(&[0, 0, 1]),
        };
        deeds.push(Deed {
            by,
            at: roll.between(9 * HOUR, heals_at * 9 / 10),
            what,
        });
    }
    deeds
}

/// A half of the group is cut off for hours or days, some of it twice; devices and relays die.
fn troubles(roll: &mut Roll, people: usize, relays: usize, heals_at: u64) -> Vec<(u64, Trouble)> {
    let mut troubles = Vec::new();
    for _ in 0..roll.between(1, 4) {
        let (at, long) = (roll.below(heals_at * 8 / 10), roll.time(HOUR, 7 * DAY));
        for d in (0..people).filter(|_| roll.percent(40)).collect::<Vec<_>>() {
            troubles.push((at, Trouble::CutDevice(d, long)));
        }
    }
    for _ in 0..roll.between(0, 3) {
        let at = roll.below(heals_at * 9 / 10);
        troubles.push((at, Trouble::CrashDevice(roll.index(people), roll.time(SECOND, DAY))));
        let at = roll.below(heals_at * 9 / 10);
        troubles.push((
            at,
            Trouble::CrashRelay(roll.index(relays), roll.time(10 * SECOND, HOUR)),
        ));
    }
    troubles
}

fn odds(roll: &mut Roll) -> Odds {
    Odds {
        lose: *roll.pick(&[0, 6, 20]),
        delay: *roll.pick(&[0, 20, 100]),
        duplicate: *roll.pick(&[0, 20]),
        reorder: *roll.pick(&[0, 50]),
        step: *roll.pick(&[0, 3, 6]),
        relay_dies: *roll.pick(&[0, 5]),
    }
}

impl World {
    /// Somebody does something about the group; what cannot be done yet is tried again until the world heals.
    pub(crate) fn deed(&mut self, k: usize) {
        let mut deed = self.plan.deeds[k];
        deed.by = self.heir(deed.by);
        let Some(command) = self.command_of(deed) else {
            return self.deed_later(k);
        };
        let done = self.command(deed.by, command);
        self.trace.remark(|| {
            format!(
                "device {}: {:?}: {:?}",
                deed.by,
                deed.what,
                done.as_ref().map(|done| done.as_ref().err())
            )
        });
        match done {
            Some(Ok(Reply::Group(_))) => {}
            Some(Err(
                Refusal::NoKeysYet | Refusal::NotFound | Refusal::NoRelay | Refusal::NotBackYet | Refusal::StillLooking,
            ))
            | None => self.deed_later(k),
            Some(Err(Refusal::NotAllowed | Refusal::MemberAlready | Refusal::NotMember)) => {}
            Some(other) => self.broke(format!("device {}: {:?}: {other:?}", deed.by, deed.what)),
        }
    }

    fn deed_later(&mut self, k: usize) {
        let create = matches!(self.plan.deeds[k].what, What::Create);
        if self.now < self.plan.heals_at || create {
            self.after(HOUR, Event::Deed(k));
        }
    }

    fn command_of(&mut self, deed: Deed) -> Option<Command> {
        if !self.nodes[deed.by].device.runs() {
            return None;
        }
        if let What::Create = deed.what {
            let there = self.group_chat(deed.by).is_some();
            let name = format!("{} house", super::tap::CANARY);
            let made = Command::GroupCreate(GroupCreate {
                name,
                members: vec![],
                large: false,
            });
            return (!there && self.nodes[deed.by].account.is_some()).then_some(made);
        }
        let chat = self.group_chat(deed.by)?.id;
        let account = |whom: usize, world: &Self| world.nodes[whom].account.clone();
        Some(match deed.what {
            What::Create => return None,
            What::Add(whom) => Command::GroupAdd(GroupMembers {
                chat,
                members: vec![account(whom, self)?],
            }),
            What::Remove(whom) => Command::GroupRemove(GroupMembers {
                chat,
                members: vec![account(whom, self)?],
            }),
            What::Give(whom, role) => Command::GroupRole(GroupRole {
                chat,
                member: account(whom, self)?,
                role,
            }),
            What::Leave => Command::GroupLeave(api::ByChat { chat }),
            What::Rename(number) => Command::GroupEdit(api::GroupEdit {
                chat,
                name: Some(format!("{} {number}", super::tap::CANARY)),
                description: None,
                may_write: None,
                may_add: None,
                may_edit: None,
            }),
        })
    }

    /// The group on somebody's screen.
    pub(crate) fn group_chat(&mut self, d: usize) -> Option<Chat> {
        self.chats(d).into_iter().find(|chat| chat.group.is_some())
    }

    /// Somebody writes to the group, while in it; who is in none by the time it heals keeps silent.
    pub(crate) fn say_to_group(&mut self, k: usize) {
        let d = self.plan.texts[k].from;
        if self.healed && self.is_kin(d) && !self.members().contains(&d) {
            self.said[k].kept_silent = true;
            return;
        }
        let chat = self.group_chat(d);
        match chat.filter(|chat| chat.group.as_ref().is_some_and(|group| group.member)) {
            Some(chat) => self.send(k, d, chat.id),
            None if self.now < self.plan.heals_at => self.after(HOUR, Event::Say(k)),
            None => self.said[k].kept_silent = true,
        }
    }

    /// Who is in the group by its founder's device, or by the first one that is in it.
    pub(crate) fn members(&mut self) -> BTreeSet<usize> {
        for d in 0..self.nodes.len() {
            if !self.lives(d) || self.is_kin(d) && self.still_outside(d) {
                continue;
            }
            let Some(chat) = self.group_chat(d) else { continue };
            let Some(Answer::Group(group)) = self.nodes[d].device.ask(Query::Group(api::ByChat { chat: chat.id }))
            else {
                continue;
            };
            if !group.members.iter().any(|member| member.me) {
                continue;
            }
            let accounts: BTreeSet<String> = group.members.into_iter().map(|member| member.account).collect();
            let inside = |node: &super::Node| node.account.as_ref().is_some_and(|account| accounts.contains(account));
            return (0..self.nodes.len())
                .filter(|d| self.lives(*d) && inside(&self.nodes[*d]))
                .collect();
        }
        BTreeSet::new()
    }

    /// Its capsule knew the group; nobody has brought it back there yet.
    fn still_outside(&mut self, d: usize) -> bool {
        !self.nodes[d]
            .device
            .rows("SELECT 1 FROM lost_group", |_| Ok(()))
            .is_empty()
    }

    /// Nothing is left to do about it: who leaves is out, and everybody in it knows.
    pub(crate) fn group_is_settled(&mut self) -> bool {
        if self.plan.deeds.is_empty() {
            return true;
        }
        let all = self.members();
        let leaving = all.iter().any(|d| {
            let sql = "SELECT leaf FROM conversation WHERE grouped = 1 AND (leaving = 1 OR gone = 1)";
            !self.nodes[*d].device.rows(sql, |row| row.get::<_, u32>(0)).is_empty()
        });
        let mut heads: BTreeSet<Vec<u8>> = BTreeSet::new();
        for d in &all {
            let sql = "SELECT head FROM conversation WHERE grouped = 1";
            heads.extend(self.nodes[*d].device.rows(sql, |row| row.get::<_, Vec<u8>>(0)));
        }
        !leaving && heads.len() <= 1
    }

    /// What is not so about the group.
    pub(crate) fn check_group(&mut self) {
        if self.plan.deeds.is_empty() {
            return;
        }
        let members = self.members();
        let mut lists: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        for d in &members {
            let sql = "SELECT e.state FROM conversation v JOIN epoch e ON e.epoch_id = v.head WHERE v.grouped = 1 AND v.gone = 0";
            let states: Vec<Vec<u8>> = self.nodes[*d].device.rows(sql, |row| row.get(0));
            match states.first() {
                Some(state) => drop(lists.insert(state.clone(), *d)),
                None => self.broke(format!("device {d} is a member and does not know it")),
            }
        }
        for d in (0..self.nodes.len()).filter(|d| !members.contains(d)) {
            let chat = if self.lives(d) { self.group_chat(d) } else { None };
            if chat.and_then(|chat| chat.group).is_some_and(|group| group.member) {
                self.broke(format!("device {d} is out of the group and does not know it"));
                members
                    .first()
                    .into_iter()
                    .chain([&d])
                    .for_each(|d| self.tell_of_stuck(*d));
            }
        }
        if lists.len() > 1 {
            self.broke(format!(
                "the members list different members: devices {:?}",
                lists.values().collect::<Vec<_>>()
            ));
        }
        if lists.keys().any(|state| GroupState::decode(state).is_err()) {
            self.broke("a state that is none".into());
        }
        for k in 0..self.said.len() {
            if self.plan.texts[k].to == GROUP && self.said[k].order.is_some() {
                let all: Vec<usize> = members.iter().copied().collect();
                self.check_text(k, &all);
            }
        }
        self.check_group_contents(&members);
    }

    /// Nobody keeps for somebody who was removed meanwhile.
    pub(crate) fn came_back(&mut self, d: usize) -> bool {
        let joined = "SELECT e.leaf IS NULL FROM epoch e JOIN conversation v USING (group_id) WHERE v.grouped = 1 AND e.commit_hash IS NULL";
        self.nodes[d].device.rows(joined, |row| row.get::<_, bool>(0)).len() > 1
    }

    /// It was to be removed and later added again: what it lacked when it went it may ask for when it is back, as long as
    /// others keep it (WNT-2); nothing is kept for whoever is out.
    pub(crate) fn added_again(&self, d: usize) -> bool {
        let deeds = &self.plan.deeds;
        let out = deeds
            .iter()
            .filter(|deed| matches!(deed.what, What::Remove(whom) if whom == d));
        let back = |since: u64| {
            deeds
                .iter()
                .any(|deed| matches!(deed.what, What::Add(whom) if whom == d) && deed.at > since)
        };
        out.map(|deed| deed.at).any(back)
    }
}
