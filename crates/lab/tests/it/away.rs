//! Devices that come back after a month or four, with the right clock or one in 1970: they catch up, or are added again,
//! without anybody doing anything.

use crate::seeds::in_a_big_stack;
use stonechat_core::api::{How, Who};
use stonechat_lab::world::groups::{Deed, GROUP, What};
use stonechat_lab::world::plan::{DAY, DevicePlan, HOUR, Meeting, Odds, Plan, RelayPlan, Spoken, Text, Trouble};
use stonechat_lab::world::{BEGINNING, Outcome, World};

const PEOPLE: usize = 4;
/// Who goes away, on the third day.
const GOES: usize = 2;

/// A group of four; one is away so long, its clock off by this.
fn plan(away: u64, clock_ms: i64) -> Plan {
    let device = |d: usize| DevicePlan {
        offset_ms: if d == GOES { clock_ms } else { 0 },
        relays: vec![0],
        read_receipts: true,
    };
    let meeting = |taker: usize| Meeting {
        inviter: 0,
        taker,
        who: Who::One,
        how: How::Plain,
        spoken: Spoken::Right,
        shares: None,
        at: taker as u64 * HOUR / 4,
    };
    let text = |from: usize, at: u64| Text {
        from,
        to: GROUP,
        at,
        padding: 9,
        eager: true,
    };
    let deed = |at: u64, what| Deed { by: 0, at, what };
    let heals_at = 3 * DAY + away + DAY;
    let mut deeds = vec![deed(2 * HOUR, What::Create)];
    deeds.extend((1..PEOPLE).map(|whom| deed((2 + whom as u64) * HOUR, What::Add(whom))));
    deeds.extend((0..away / DAY).map(|day| deed((4 + day) * DAY, What::Rename(u32::try_from(day).unwrap()))));
    Plan {
        devices: (0..PEOPLE).map(device).collect(),
        relays: vec![RelayPlan {
            offset_ms: 0,
            secret: Some([7; 16]),
        }],
        meetings: (1..PEOPLE).map(meeting).collect(),
        texts: (0..12)
            .map(|n| text(n % PEOPLE, DAY + n as u64 * (away + 3 * DAY) / 12))
            .collect(),
        deeds,
        touches: vec![],
        kin: vec![],
        moves: vec![],
        troubles: vec![(3 * DAY, Trouble::CutDevice(GOES, away))],
        odds: Odds::default(),
        heals_at,
    }
}

fn run(plan: Plan) -> Outcome {
    in_a_big_stack(move || World::new(plan, 1, None, false).run())
}

#[test]
fn a_device_back_after_35_days_catches_up_grp_11() {
    assert_eq!(run(plan(35 * DAY, 0)).broken, [] as [String; 0]);
}

#[test]
fn a_device_back_after_120_days_is_added_again_grp_11() {
    assert_eq!(run(plan(120 * DAY, 0)).broken, [] as [String; 0]);
}

#[test]
fn a_device_back_with_its_clock_in_1970_catches_up_or_is_added_again_grp_11() {
    let clock = -i64::try_from(BEGINNING).unwrap();
    for days in [35, 120] {
        assert_eq!(run(plan(days * DAY, clock)).broken, [] as [String; 0], "{days} days");
    }
}
