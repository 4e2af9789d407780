//! Eight weeks, three conversations, no trouble: what relays see of them.

use crate::seeds::in_a_big_stack;
use stonechat_core::api::{How, Who};
use stonechat_lab::world::plan::{DAY, DevicePlan, HOUR, Meeting, Odds, Plan, RelayPlan, SECOND, Spoken, Text};
use stonechat_lab::world::{Outcome, Planted, World};

const WEEKS: u64 = 8;

/// One person talks with three others, a few texts a day, over two relays.
fn eight_weeks() -> Plan {
    let device = |relays: &[usize]| DevicePlan {
        offset_ms: 0,
        relays: relays.to_vec(),
        read_receipts: true,
    };
    let relay = |offset_ms| RelayPlan {
        offset_ms,
        secret: Some([7; 16]),
    };
    let meeting = |taker: usize, how| Meeting {
        inviter: 0,
        taker,
        who: Who::One,
        how,
        spoken: Spoken::Right,
        shares: None,
        at: taker as u64 * HOUR,
    };
    let text = |n: u64| {
        let friend = 1 + usize::try_from(n % 3).unwrap();
        let (from, to) = if n.is_multiple_of(2) { (0, friend) } else { (friend, 0) };
        Text {
            from,
            to,
            at: 2 * DAY + n * 9 * HOUR + n * SECOND,
            padding: 40,
            eager: true,
        }
    };
    Plan {
        devices: vec![device(&[0, 1]), device(&[0]), device(&[1]), device(&[])],
        relays: vec![relay(-1_800_000), relay(3_000_000)],
        meetings: vec![
            meeting(1, How::Plain),
            meeting(2, How::Spoken),
            meeting(3, How::InPerson),
        ],
        texts: (0..(WEEKS * 7 - 3) * 24 / 9).map(text).collect(),
        touches: vec![],
        kin: vec![],
        moves: vec![],
        deeds: vec![],
        troubles: vec![],
        odds: Odds::default(),
        heals_at: WEEKS * 7 * DAY,
    }
}

fn run(planted: Option<Planted>) -> Outcome {
    in_a_big_stack(move || World::new(eight_weeks(), 8, planted, false).run())
}

/// Names and texts are canaries; every byte that any relay was sent is searched for them, and for keys.
#[test]
fn eight_weeks_show_a_relay_no_name_no_text_and_no_tag_twice_env_1() {
    let outcome = run(None);
    assert_eq!(outcome.broken, [] as [String; 0]);
    // Seven weeks are listened to at once; eight more pass; three conversations.
    assert!(outcome.tags >= 3 * 14, "{} tags", outcome.tags);
    assert!(outcome.wire_bytes > 200_000, "{} bytes", outcome.wire_bytes);
}

#[test]
fn eight_weeks_without_sealing_show_everything() {
    breaks(Planted::Unsealed, "a relay saw a text or a name");
}

#[test]
fn eight_weeks_in_one_mailbox_show_who_belongs_together() {
    breaks(Planted::OneMailbox, "one tag stands for two conversations or weeks");
}

fn breaks(planted: Planted, promise: &str) {
    let broken = run(Some(planted)).broken;
    assert!(broken.iter().any(|what| what.contains(promise)), "{broken:?}");
}
