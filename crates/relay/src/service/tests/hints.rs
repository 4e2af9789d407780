//! Credits and hints, driven by hand.

use stonechat_wire::frame::KNOWS_CREDITS;

use super::*;
use crate::limits::{CREDIT_BYTES_MAX, weight};

/// What an envelope of 256 bytes takes out of the credit: type, length, tag, cursor, length, bytes.
const PUSH: u32 = 5 + 16 + 8 + 4 + 256;

/// A relay whose Bo knows credits, and has none.
fn frugal(limits: Limits) -> World {
    let mut relay = World::with(limits);
    know_credits(&mut relay, BO);
    relay
}

fn know_credits(relay: &mut World, who: ConnectionId) {
    relay.say(
        who,
        ToRelay::Hello {
            version: 1,
            features: KNOWS_CREDITS,
            secret: None,
        },
    );
    relay.service.drained(who, usize::MAX);
}

fn hint(who: ConnectionId, mailbox: u8, cursor: u64) -> Output {
    let (tag, cursor) = (tag(mailbox), nth(cursor));
    to(who, FromRelay::Hint { tag, cursor })
}

fn put_one(relay: &mut World, mailbox: u8, n: u8) -> Vec<Output> {
    let mut outputs = relay.say(ANA, put(u32::from(n), &[envelope(mailbox, n)]));
    outputs.retain(|output| matches!(output, Output::Send { to, .. } if *to == BO));
    outputs
}

// proves: RLY-11
#[test]
fn who_has_no_credit_is_told_once_that_there_is_something_rly_45() {
    let mut relay = frugal(Limits::default());
    assert_eq!(relay.say(BO, subscribe(1, 0)), []);
    assert_eq!(put_one(&mut relay, 1, 1), [hint(BO, 1, 1)]);
    assert_eq!(put_one(&mut relay, 1, 2), [], "once");
    assert_eq!(relay.say(BO, subscribe(1, 0)), [hint(BO, 1, 2)], "asked anew");
    assert_eq!(relay.say(BO, subscribe(1, 2)), [], "up to date");
    assert_eq!(put_one(&mut relay, 1, 3), [hint(BO, 1, 3)]);
    assert_eq!(arrived_at(&relay.say(BO, ToRelay::Credit { bytes: PUSH }), BO), [3]);
    assert_eq!(
        put_one(&mut relay, 1, 4),
        [hint(BO, 1, 4)],
        "it was up to date in between"
    );
    let stop = ToRelay::Subscribe {
        add: vec![],
        drop: vec![tag(1)],
    };
    assert_eq!(relay.say(BO, stop), []);
    assert_eq!(relay.say(BO, ToRelay::Credit { bytes: 9 * PUSH }), []);
}

#[test]
fn what_waits_is_hinted_for_each_mailbox_that_has_something_rly_45() {
    let mut relay = frugal(Limits::default());
    relay.say(ANA, put(1, &[envelope(1, 1), envelope(2, 2), envelope(1, 3)]));
    let add = [1, 2, 3].map(|n| (tag(n), 0)).to_vec();
    let hints = relay.say(BO, ToRelay::Subscribe { add, drop: vec![] });
    assert_eq!(hints.len(), 2);
    assert!(hints.contains(&hint(BO, 1, 3)) && hints.contains(&hint(BO, 2, 2)));
    // It fetches what it likes, which takes no credit, and goes on from there.
    let fetched = relay.say(BO, fetch(2, 0));
    assert!(matches!(sent_to(&fetched, BO)[..], [FromRelay::Fetched { items, .. }] if items.len() == 1));
    assert_eq!(relay.say(BO, subscribe(2, 2)), []);
    assert_eq!(
        arrived_at(&relay.say(BO, ToRelay::Credit { bytes: 99 * PUSH }), BO),
        [1, 3]
    );
}

#[test]
fn pushes_take_their_length_out_of_the_credit_rly_44() {
    let mut relay = frugal(Limits::default());
    relay.say(BO, subscribe(1, 0));
    relay.say(BO, ToRelay::Credit { bytes: 2 * PUSH });
    assert_eq!(arrived_at(&put_one(&mut relay, 1, 1), BO), [1]);
    let mut bytes = Vec::new();
    let frame = FromRelay::Arrived {
        tag: tag(1),
        cursor: 1,
        envelope: envelope(1, 1).into_bytes(),
    };
    frame.encode(&mut bytes);
    assert_eq!(bytes.len(), PUSH as usize);
    let signal = ToRelay::Ephemeral {
        token: token(1),
        envelope: envelope(1, 9),
    };
    assert_eq!(relay.say(ANA, signal.clone()).len(), 1, "signals take some too");
    assert_eq!(put_one(&mut relay, 1, 2), [hint(BO, 1, 2)], "8 bytes are left");
    assert_eq!(relay.say(ANA, signal), [], "and wait for nobody");
    let less = PUSH - 8 - 1;
    assert_eq!(relay.say(BO, ToRelay::Credit { bytes: less - 8 }), []);
    assert_eq!(arrived_at(&relay.say(BO, ToRelay::Credit { bytes: PUSH }), BO), [2]);
}

#[test]
fn credit_ends_somewhere_and_begins_anew_with_a_hello_rly_44() {
    let mut relay = frugal(Limits::default());
    for _ in 0..3 {
        relay.say(BO, ToRelay::Credit { bytes: u32::MAX });
    }
    assert_eq!(relay.service.readers.credit_of(BO), Some(CREDIT_BYTES_MAX));
    know_credits(&mut relay, BO);
    assert_eq!(relay.service.readers.credit_of(BO), Some(0));
    relay.say(ANA, ToRelay::Credit { bytes: 5 });
    assert_eq!(
        relay.service.readers.credit_of(ANA),
        None,
        "who does not know credits has no limit by them"
    );
    relay.say(ANA, subscribe(1, 0));
    assert_eq!(arrived_at(&relay.say(BO, put(1, &[envelope(1, 1)])), ANA), [1]);
}

#[test]
fn who_takes_nothing_costs_no_more_than_its_room_and_is_not_closed_rly_45() {
    let limits = Limits {
        push_bytes: 3_000,
        ..Limits::default()
    };
    let mut relay = frugal(limits);
    let mailboxes = 1..=200;
    let add = mailboxes.clone().map(|n| (tag(n), 0)).collect();
    relay.say(BO, ToRelay::Subscribe { add, drop: vec![] });
    relay.say(BO, ToRelay::Credit { bytes: u32::MAX });
    let mut sent = Vec::new();
    for n in mailboxes.clone() {
        sent.extend(put_one(&mut relay, n, n));
        sent.extend(put_one(&mut relay, n, 201));
    }
    let bytes = |sent: &[Output]| -> usize {
        let frames = sent_to(sent, BO).into_iter();
        frames.map(weight).sum()
    };
    // Its room, and one envelope over that.
    let most = 3_000 + 64 + 256;
    assert!(bytes(&sent) <= most && sent.len() < 40, "{} bytes", bytes(&sent));
    // As it takes them, all come in the end.
    let mut arrived = arrived_at(&sent, BO).len();
    while arrived < 400 {
        relay.service.drained(BO, bytes(&sent));
        sent = relay.settle();
        assert!(!sent.is_empty() && bytes(&sent) <= most);
        arrived += arrived_at(&sent, BO).len();
    }
    assert_eq!(arrived, 400, "each once");
}

#[test]
fn hints_wait_for_room_too_rly_45() {
    let limits = Limits {
        push_bytes: 200,
        ..Limits::default()
    };
    let mut relay = frugal(limits);
    relay.say(ANA, put(1, &(1..=9).map(|n| envelope(n, n)).collect::<Vec<_>>()));
    let add = (1..=9).map(|n| (tag(n), 0)).collect();
    let mut hints = relay.say(BO, ToRelay::Subscribe { add, drop: vec![] });
    assert_eq!(hints.len(), 3);
    while hints.len() < 9 {
        relay.service.drained(BO, 200);
        let more = relay.settle();
        assert!((1..=3).contains(&more.len()));
        hints.extend(more);
    }
    relay.service.drained(BO, 200);
    assert_eq!(relay.settle(), [], "each once");
}
