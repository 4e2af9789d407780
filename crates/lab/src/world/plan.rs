//! What a seed means: who lives in this world, what they want, and what will go wrong.
//!
//! In: a seed. Out: a [`Plan`]. Times are milliseconds from the beginning. Every plan has at least two devices,
//! twenty texts, a partition and a crash.

use stonechat_core::api::{How, Who};

use super::roll::Roll;

/// A second.
pub const SECOND: u64 = 1000;
/// A minute.
pub const MINUTE: u64 = 60 * SECOND;
/// An hour.
pub const HOUR: u64 = 60 * MINUTE;
/// A day.
pub const DAY: u64 = 24 * HOUR;

/// Everything that a seed decides beforehand.
#[derive(Debug)]
pub struct Plan {
    /// The people, one device each.
    pub devices: Vec<DevicePlan>,
    /// The relays.
    pub relays: Vec<RelayPlan>,
    /// Who meets whom.
    pub meetings: Vec<Meeting>,
    /// Who writes what to whom.
    pub texts: Vec<Text>,
    /// What is done to the texts.
    pub touches: Vec<super::content::Touch>,
    /// What is done about the group, where there is one.
    pub deeds: Vec<super::groups::Deed>,
    /// Other devices of the same people.
    pub kin: Vec<super::kin::Kin>,
    /// What is done about relays.
    pub moves: Vec<super::moves::Move>,
    /// What happens at set times.
    pub troubles: Vec<(u64, Trouble)>,
    /// What happens by chance, until everything heals.
    pub odds: Odds,
    /// From then on nothing goes wrong any more.
    pub heals_at: u64,
}

/// One person's device.
#[derive(Debug)]
pub struct DevicePlan {
    /// Device clock minus the world's time.
    pub offset_ms: i64,
    /// Its own relays.
    pub relays: Vec<usize>,
    /// Tells others what was read.
    pub read_receipts: bool,
}

/// One relay.
#[derive(Debug)]
pub struct RelayPlan {
    /// Relay clock minus the world's time.
    pub offset_ms: i64,
    /// Access secret.
    pub secret: Option<[u8; 16]>,
}

/// What is typed when spoken words are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// The right ones.
    Right,
    /// Wrong ones, then the right ones.
    WrongFirst,
    /// None, then the right ones.
    NoneFirst,
}

/// One invitation from one person to another.
#[derive(Clone, Copy, Debug)]
pub struct Meeting {
    /// Who invites.
    pub inviter: usize,
    /// Who comes.
    pub taker: usize,
    /// For whom.
    pub who: Who,
    /// How it is passed on.
    pub how: How,
    /// What is typed.
    pub spoken: Spoken,
    /// The taker comes with the invitation of this earlier meeting.
    pub shares: Option<usize>,
    /// When.
    pub at: u64,
}

/// One text.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// Who writes.
    pub from: usize,
    /// To whom.
    pub to: usize,
    /// When at the earliest.
    pub at: u64,
    /// So many letters follow its number.
    pub padding: usize,
    /// Does not wait until the other side has approved.
    pub eager: bool,
}

/// Trouble at a set time.
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    /// A device has no network for so long.
    CutDevice(usize, u64),
    /// Nobody reaches a relay for so long.
    CutRelay(usize, u64),
    /// A relay dies and comes back.
    CrashRelay(usize, u64),
    /// A device dies and comes back.
    CrashDevice(usize, u64),
    /// A device's disk has no room for so long.
    DiskFull(usize, u64),
    /// A relay loses everything that it ever stored.
    RelayForgets(usize),
    /// A device's clock jumps by so much.
    Jump(usize, i64),
}

/// Chances of a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Odds {
    /// Some frames are lost, and their connection with them.
    pub lose: u64,
    /// Some frames take long.
    pub delay: u64,
    /// Some frames come twice.
    pub duplicate: u64,
    /// Pushes of one mailbox overtake others.
    pub reorder: u64,
    /// A step is fatal, or its commit fails.
    pub step: u64,
    /// A relay dies between a put and its sync.
    pub relay_dies: u64,
}

impl Plan {
    /// The plan of this seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut roll = Roll::seeded(seed, 1);
        let roll = &mut roll;
        let people = *roll.pick(&[2, 2, 2, 2, 2, 2, 2, 2, 3, 4]);
        let heals_at = length(roll);
        let relays: Vec<_> = (0..roll.between(1, 4)).map(|_| relay(roll)).collect();
        let devices: Vec<_> = (0..people).map(|_| device(roll, relays.len())).collect();
        let meetings = meetings(roll, people);
        let texts = texts(roll, &meetings, heals_at);
        let mut troubles = troubles(roll, people, relays.len(), heals_at);
        fill_disks(roll, &texts, &mut troubles);
        let mut plan = Self {
            devices,
            relays,
            meetings,
            texts,
            touches: vec![],
            deeds: vec![],
            kin: vec![],
            moves: vec![],
            troubles,
            odds: odds(roll),
            heals_at,
        };
        plan.give_inviters_a_relay(roll);
        plan.touched(seed).moved(seed)
    }

    /// Whoever invites needs a place to be found at.
    fn give_inviters_a_relay(&mut self, roll: &mut Roll) {
        for meeting in &self.meetings {
            let own = &mut self.devices[meeting.inviter].relays;
            if own.is_empty() {
                own.push(roll.index(self.relays.len()));
            }
        }
    }
}

fn length(roll: &mut Roll) -> u64 {
    match roll.below(100) {
        0..74 => roll.between(DAY / 3, 2 * DAY),
        74..95 => roll.between(2 * DAY, 5 * DAY),
        95..99 => roll.between(8 * DAY, 16 * DAY),
        _ if roll.percent(50) => roll.between(16 * DAY, 25 * DAY),
        _ => roll.between(30 * DAY, 60 * DAY),
    }
}

fn relay(roll: &mut Roll) -> RelayPlan {
    let offset_ms = around(roll, HOUR);
    let secret = roll.percent(70).then(|| roll.bytes());
    RelayPlan { offset_ms, secret }
}

fn device(roll: &mut Roll, relays: usize) -> DevicePlan {
    let offset_ms = match roll.below(100) {
        0..40 => around(roll, 5 * MINUTE),
        40..55 => around(roll, 30 * HOUR),
        _ => around(roll, 400 * DAY),
    };
    let mut own: Vec<usize> = (0..relays).filter(|_| roll.percent(55)).collect();
    if own.is_empty() && roll.percent(60) {
        own.push(roll.index(relays));
    }
    DevicePlan {
        offset_ms,
        relays: own,
        read_receipts: roll.percent(80),
    }
}

fn around(roll: &mut Roll, most: u64) -> i64 {
    roll.below(2 * most).cast_signed() - most.cast_signed()
}

fn meetings(roll: &mut Roll, people: usize) -> Vec<Meeting> {
    let mut meetings: Vec<Meeting> = Vec::new();
    for taker in 1..people {
        let inviter = roll.index(taker);
        let earlier = meetings
            .iter()
            .position(|m| m.inviter == inviter && m.who == Who::Family);
        let mut meeting = meeting(roll, inviter, taker);
        if let Some(earlier) = earlier {
            let first = meetings[earlier];
            meeting = Meeting {
                shares: Some(earlier),
                at: first.at + roll.time(SECOND, HOUR),
                ..meeting
            };
            (meeting.who, meeting.how) = (first.who, first.how);
        }
        let (inviter, taker) = if roll.percent(50) && earlier.is_none() {
            (taker, inviter)
        } else {
            (inviter, taker)
        };
        (meeting.inviter, meeting.taker) = (inviter, taker);
        meetings.push(meeting);
        if roll.percent(25) {
            let back = self::meeting(roll, taker, inviter);
            meetings.push(Meeting {
                at: (meeting.at + back.at) / 2,
                ..back
            });
        }
    }
    meetings
}

fn meeting(roll: &mut Roll, inviter: usize, taker: usize) -> Meeting {
    Meeting {
        inviter,
        taker,
        who: *roll.pick(&[Who::One, Who::Family]),
        how: *roll.pick(&[How::InPerson, How::Spoken, How::Spoken, How::Spoken, How::Plain]),
        spoken: *roll.pick(&[Spoken::Right, Spoken::WrongFirst, Spoken::NoneFirst]),
        shares: None,
        at: roll.time(SECOND, 4 * HOUR),
    }
}

/// Bursts of texts, long silences between them.
fn texts(roll: &mut Roll, meetings: &[Meeting], heals_at: u64) -> Vec<Text> {
    let count = roll.between(20, 23);
    let mut texts: Vec<Text> = Vec::new();
    let mut at = 0;
    let mut pair = (0, 1);
    for n in 0..count {
        if n == 0 || roll.percent(30) {
            at = roll.between(0, heals_at * 9 / 10);
            let met = roll.pick(meetings);
            pair = (met.inviter, met.taker);
        }
        at += roll.time(SECOND / 2, 10 * MINUTE);
        if roll.percent(40) {
            pair = (pair.1, pair.0);
        }
        let padding = if roll.percent(4) {
            roll.index(15_000)
        } else {
            roll.index(120)
        };
        texts.push(Text {
            from: pair.0,
            to: pair.1,
            at,
            padding,
            eager: roll.percent(60),
        });
    }
    texts
}

fn troubles(roll: &mut Roll, people: usize, relays: usize, heals_at: u64) -> Vec<(u64, Trouble)> {
    let mut troubles = Vec::new();
    let at = |roll: &mut Roll| roll.below(heals_at * 9 / 10);
    let longest = heals_at.min(20 * DAY);
    for _ in 0..roll.between(1, 3) {
        troubles.push((
            at(roll),
            Trouble::CutDevice(roll.index(people), roll.time(10 * MINUTE, longest)),
        ));
    }
    for _ in 0..roll.between(0, 3) {
        troubles.push((
            at(roll),
            Trouble::CutRelay(roll.index(relays), roll.time(10 * MINUTE, longest)),
        ));
    }
    for _ in 0..roll.between(0, 3) {
        troubles.push((
            at(roll),
            Trouble::CrashRelay(roll.index(relays), roll.time(10 * SECOND, DAY)),
        ));
    }
    for _ in 0..roll.between(1, 3) {
        troubles.push((
            at(roll),
            Trouble::CrashDevice(roll.index(people), roll.time(SECOND, DAY)),
        ));
    }
    if roll.percent(40) {
        troubles.push((at(roll), Trouble::RelayForgets(roll.index(relays))));
    }
    if roll.percent(50) {
        let by = if roll.percent(50) {
            around(roll, 400 * DAY)
        } else {
            around(roll, 3 * DAY)
        };
        troubles.push((at(roll), Trouble::Jump(roll.index(people), by)));
    }
    troubles
}

/// Shortly before a text: whoever writes or gets it has no room for it.
fn fill_disks(roll: &mut Roll, texts: &[Text], troubles: &mut Vec<(u64, Trouble)>) {
    for _ in 0..roll.between(0, 3) {
        let text = *roll.pick(texts);
        let who = *roll.pick(&[text.from, text.to]);
        let at = text.at.saturating_sub(MINUTE);
        troubles.push((at, Trouble::DiskFull(who, roll.time(10 * MINUTE, 8 * HOUR))));
    }
}

fn odds(roll: &mut Roll) -> Odds {
    Odds {
        lose: *roll.pick(&[0, 6, 20, 70]),
        delay: *roll.pick(&[0, 20, 100, 300]),
        duplicate: *roll.pick(&[0, 20, 80]),
        reorder: *roll.pick(&[0, 50, 200]),
        step: *roll.pick(&[3, 6, 12, 40]),
        relay_dies: *roll.pick(&[0, 5, 30]),
    }
}
