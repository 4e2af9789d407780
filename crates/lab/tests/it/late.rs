//! Invitations and clocks: what a wrong clock must not refuse.

use crate::seeds::in_a_big_stack;
use stonechat_core::api::{How, Who};
use stonechat_lab::world::BEGINNING;
use stonechat_lab::world::plan::{
    DAY, DevicePlan, HOUR, MINUTE, Meeting, Odds, Plan, RelayPlan, Spoken, Text, Trouble,
};
use stonechat_lab::world::{Outcome, World};

/// Two people, one relay; the taker's clock is off by `offset_ms` and it knows no relay of its own.
fn plan(inviter_ms: i64, taker_ms: i64) -> Plan {
    let text = |n: u64| {
        let (from, to) = if n.is_multiple_of(2) { (0, 1) } else { (1, 0) };
        Text {
            from,
            to,
            at: HOUR + n * MINUTE,
            padding: 9,
            eager: true,
        }
    };
    let met = Meeting {
        inviter: 0,
        taker: 1,
        who: Who::One,
        how: How::Plain,
        spoken: Spoken::Right,
        shares: None,
        at: MINUTE,
    };
    Plan {
        devices: vec![
            DevicePlan {
                offset_ms: inviter_ms,
                relays: vec![0],
                read_receipts: true,
            },
            DevicePlan {
                offset_ms: taker_ms,
                relays: vec![],
                read_receipts: true,
            },
        ],
        relays: vec![RelayPlan {
            offset_ms: 0,
            secret: None,
        }],
        meetings: vec![met],
        texts: (0..8).map(text).collect(),
        touches: vec![],
        kin: vec![],
        moves: vec![],
        deeds: vec![],
        troubles: vec![],
        odds: Odds::default(),
        heals_at: DAY,
    }
}

fn run(plan: Plan) -> Outcome {
    in_a_big_stack(move || World::new(plan, 1, None, false).run())
}

#[test]
fn a_clock_years_off_takes_up_an_invitation_without_knowing_a_relay_meet_3() {
    let beginning = i64::try_from(BEGINNING).unwrap();
    let years = 400 * i64::try_from(DAY).unwrap();
    for (inviter, taker) in [
        (0, years),
        (0, -years),
        (years, -years),
        (0, -beginning),
        (-beginning, 0),
    ] {
        let outcome = run(plan(inviter, taker));
        assert_eq!(outcome.broken, [] as [String; 0], "inviter {inviter}, taker {taker}");
    }
}

/// The key package is made, the clock jumps by 120 days on both sides, then the claim comes.
#[test]
fn a_claim_taken_in_after_the_clock_jumped_120_days_is_let_in_mls_3() {
    let jump = 120 * i64::try_from(DAY).unwrap();
    let mut plan = plan(0, 0);
    plan.troubles = vec![
        (MINUTE + 1, Trouble::Jump(0, jump)),
        (MINUTE + 2, Trouble::Jump(1, jump)),
    ];
    assert_eq!(run(plan).broken, [] as [String; 0]);
}
