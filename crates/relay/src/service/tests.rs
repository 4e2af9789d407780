//! The service, driven by hand in virtual time.

use std::collections::BTreeSet;

use stonechat_wire::card::CARD_BUCKET;
use stonechat_wire::envelope::{Envelope, EnvelopeKey, seal, seal_into};
use stonechat_wire::hand::{HAND_BUCKET, deck};
use stonechat_wire::ids::{EnvelopeId, Token};
use stonechat_wire::invite::proof_hash;

use super::*;
use crate::limits::{COMEBACK_MS_MAX, EXPIRE_EVERY_MS, SERVED_AT_ONCE, UNSYNCED_PAUSE_MS};
use crate::store::log::SegmentLog;
use crate::store::log::tests::simulated::SimulatedDisk;
use crate::store::memory::MemoryStore;

mod blobs;
mod hints;

const ANA: ConnectionId = ConnectionId(1);
const BO: ConnectionId = ConnectionId(2);
const START: Timestamp = Timestamp(1_000_000_000_000);

#[test]
fn only_a_hello_with_the_secret_is_answered_rly_20() {
    let mut relay = World::new(Access::Secrets(vec![[6; 16], [7; 16]]), Limits::default());
    relay.connect(ANA);
    assert_eq!(
        relay.say(ANA, ToRelay::Quota { request: 1 }),
        [closed(ANA, Closed::NoHello)]
    );
    for secret in [None, Some([8; 16])] {
        relay.connect(ANA);
        let refused = to(
            ANA,
            FromRelay::Refused {
                request: 0,
                why: Refusal::Secret,
            },
        );
        assert_eq!(relay.hello(ANA, secret), [refused, closed(ANA, Closed::Secret)]);
    }
    relay.connect(ANA);
    let hello = FromRelay::Hello {
        version: 1,
        features: KEEPS_BLOBS | KNOWS_CREDITS,
        time_ms: START.0,
    };
    assert_eq!(relay.hello(ANA, Some([7; 16])), [to(ANA, hello)]);
}

#[test]
fn the_greeting_has_the_lower_version_and_the_relays_clock_rly_21() {
    let mut relay = World::new(Access::Open, Limits::default());
    relay.connect(ANA);
    let hello = |version| ToRelay::Hello {
        version,
        features: 0xffff,
        secret: None,
    };
    let answer = FromRelay::Hello {
        version: 1,
        features: KEEPS_BLOBS | KNOWS_CREDITS,
        time_ms: START.0,
    };
    assert_eq!(relay.say(ANA, hello(9)), [to(ANA, answer)]);
    assert_eq!(relay.say(ANA, hello(0)), [closed(ANA, Closed::Version)]);
}

#[test]
fn nothing_is_stored_pushed_or_read_before_the_sync_rly_22() {
    let mut relay = World::open();
    relay.say(BO, subscribe(1, 0));
    relay.service.handle(ANA, put(1, &[envelope(1, 1)]), START);
    relay.service.handle(BO, fetch(1, 0), START);
    assert_eq!(relay.service.poll_output(), None);
    let outputs = relay.settle();
    assert_eq!(stored(&outputs), [envelope(1, 1).id()]);
    assert_eq!(arrived_at(&outputs, BO), [1]);
}

#[test]
fn a_failed_sync_refuses_the_whole_batch_and_keeps_what_was_there_rly_22() {
    let mut relay = World::open();
    relay.say(ANA, put(1, &[envelope(1, 1)]));
    relay.service.store.fail_next_sync(StoreError::DiskFull);
    relay.service.handle(ANA, put(2, &[envelope(1, 2)]), relay.now);
    relay.service.handle(BO, put(3, &[envelope(2, 3)]), relay.now);
    let refused = |who, request| {
        to(
            who,
            FromRelay::Refused {
                request,
                why: Refusal::NoRoom,
            },
        )
    };
    assert_eq!(relay.settle(), [refused(ANA, 2), refused(BO, 3)]);
    assert_eq!(relay.service.store().total().envelopes, 1);
    // The store is left alone for a while; then it is tried again.
    assert_eq!(relay.say(ANA, put(4, &[envelope(1, 2)])), [refused(ANA, 4)]);
    assert_eq!(
        stored(&relay.say(ANA, put(5, &[envelope(1, 1)]))),
        [envelope(1, 1).id()],
        "it has that one"
    );
    relay.now = relay.now.plus_ms(UNSYNCED_PAUSE_MS);
    assert_eq!(
        stored(&relay.say(ANA, put(6, &[envelope(1, 2)]))),
        [envelope(1, 2).id()]
    );
}

#[test]
fn a_crash_after_stored_loses_nothing_rly_22() {
    let mut relay = World::open();
    relay.say(ANA, put(1, &[envelope(1, 1)]));
    relay.service.handle(ANA, put(2, &[envelope(1, 2)]), START);
    let mut store = relay.service.into_store();
    store.crash();
    let mut relay = World::over(store);
    assert_eq!(arrived_at(&relay.say(BO, subscribe(1, 0)), BO), [1]);
}

#[test]
fn a_second_put_is_answered_stored_and_kept_once_rly_23() {
    let mut relay = World::open();
    let twice = put(1, &[envelope(1, 1), envelope(1, 1)]);
    assert_eq!(stored(&relay.say(ANA, twice)).len(), 2);
    assert_eq!(stored(&relay.say(BO, put(1, &[envelope(1, 1)]))), [envelope(1, 1).id()]);
    assert_eq!(relay.service.store().total().envelopes, 1);
}

#[test]
fn a_reader_gets_what_waited_and_then_what_comes_rly_25() {
    let mut relay = World::open();
    relay.say(ANA, put(1, &[envelope(1, 1), envelope(2, 2), envelope(1, 3)]));
    assert_eq!(arrived_at(&relay.say(BO, subscribe(1, 1)), BO), [3]);
    assert_eq!(
        arrived_at(&relay.say(ANA, put(2, &[envelope(1, 4), envelope(2, 5)])), BO),
        [4]
    );
    let stop = ToRelay::Subscribe {
        add: vec![],
        drop: vec![tag(1)],
    };
    relay.say(BO, stop);
    assert_eq!(
        arrived_at(&relay.say(ANA, put(3, &[envelope(1, 6)])), BO),
        [] as [u64; 0]
    );
}

#[test]
fn mailboxes_are_replayed_in_the_order_they_were_named_rly_25() {
    let mut relay = World::open();
    relay.say(ANA, put(1, &[envelope(1, 1), envelope(2, 2), envelope(3, 3)]));
    let add = vec![(tag(3), 0), (tag(1), 0), (tag(2), 0)];
    let outputs = relay.say(BO, ToRelay::Subscribe { add, drop: vec![] });
    assert_eq!(arrived_at(&outputs, BO), [3, 1, 2]);
}

#[test]
fn a_cursor_that_was_never_given_out_counts_as_the_start_rly_25() {
    let mut relay = World::open();
    relay.say(ANA, put(1, &[envelope(1, 1)]));
    assert_eq!(arrived_at(&relay.say(BO, subscribe(1, 999)), BO), [1]);
    let fetched = relay.say(BO, fetch(1, 999));
    assert!(matches!(sent_to(&fetched, BO)[..], [FromRelay::Fetched { items, more: false, .. }] if items.len() == 1));
}

#[test]
fn a_relay_that_lost_its_disk_stays_above_what_it_gave_out_rly_24() {
    let mut relay = World::open();
    relay.say(ANA, put(1, &[envelope(1, 1), envelope(1, 2), envelope(1, 3)]));
    let mut again = World::open();
    again.now = START.plus_ms(60_000);
    again.say(ANA, put(2, &[envelope(1, 4), envelope(1, 5)]));
    assert_eq!(arrived_at(&again.say(BO, subscribe(1, 3)), BO), [60_001, 60_002]);
}

#[test]
fn a_fetch_says_whether_there_is_more_rly_25() {
    let mut relay = World::open();
    relay.say(ANA, put(1, &[envelope(1, 1), envelope(1, 2), envelope(1, 3)]));
    let ask = |cursor, limit| ToRelay::Fetch {
        request: 9,
        tag: tag(1),
        cursor: nth(cursor),
        limit,
    };
    let answer = |outputs: Vec<Output>| match &sent_to(&outputs, BO)[..] {
        [
            FromRelay::Fetched {
                request: 9,
                items,
                more,
            },
        ] => (items.iter().map(|item| item.0 - START.0).collect(), *more),
        other => panic!("{other:?}"),
    };
    assert_eq!(answer(relay.say(BO, ask(0, 2))), (vec![1, 2], true));
    assert_eq!(answer(relay.say(BO, ask(2, 2))), (vec![3], false));
    assert_eq!(answer(relay.say(BO, ask(3, 2))), (vec![], false));
}

#[test]
fn a_slow_reader_is_served_as_it_drains_rly_26() {
    let limits = Limits {
        push_bytes: 2_000,
        ..Limits::default()
    };
    let mut relay = World::with(limits);
    relay.say(BO, subscribe(1, 0));
    let mut got = Vec::new();
    for n in 1..=20 {
        got.extend(arrived_at(&relay.say(ANA, put(u32::from(n), &[envelope(1, n)])), BO));
    }
    assert!(got.len() < 8, "{got:?}");
    for _ in 0..20 {
        relay.service.drained(BO, 2_000);
        let outputs = relay.settle();
        assert!(outputs.len() < 8);
        got.extend(arrived_at(&outputs, BO));
    }
    assert_eq!(got, (1..=20).collect::<Vec<u64>>());
    relay.service.drained(BO, 2_000);
    assert_eq!(
        arrived_at(&relay.say(ANA, put(99, &[envelope(1, 21)])), BO),
        [21],
        "live again"
    );
}

#[test]
fn who_does_not_take_its_answers_is_closed_rly_26() {
    let limits = Limits {
        outstanding_bytes: 500,
        ..Limits::default()
    };
    let mut relay = World::with(limits);
    let outputs: Vec<_> = (0..20)
        .flat_map(|request| relay.say(ANA, ToRelay::Quota { request }))
        .collect();
    assert_eq!(outputs.last(), Some(&closed(ANA, Closed::TooSlow)));
    assert!(outputs.len() < 10);
}

#[test]
fn a_full_mailbox_says_so_and_still_knows_its_own_rly_27() {
    let limits = Limits {
        mailbox_envelopes: 2,
        ..Limits::default()
    };
    let mut relay = World::with(limits);
    let outputs = relay.say(
        ANA,
        put(1, &[envelope(1, 1), envelope(1, 2), envelope(1, 3), envelope(2, 4)]),
    );
    assert_eq!(
        stored(&outputs),
        [envelope(1, 1).id(), envelope(1, 2).id(), envelope(2, 4).id()]
    );
    let full = to(
        ANA,
        FromRelay::Full {
            request: 1,
            ids: vec![envelope(1, 3).id()],
        },
    );
    assert!(outputs.contains(&full));
    assert_eq!(
        stored(&relay.say(ANA, put(2, &[envelope(1, 2)]))),
        [envelope(1, 2).id()]
    );
    let limits = Limits {
        mailbox_bytes: 600,
        ..Limits::default()
    };
    let mut relay = World::with(limits);
    assert_eq!(
        stored(&relay.say(ANA, put(1, &[envelope(1, 1), envelope(1, 2), envelope(1, 3)]))).len(),
        2
    );
}

#[test]
fn a_full_relay_opens_no_mailbox_and_then_takes_nothing_rly_28() {
    let limits = Limits {
        total_bytes: 10 * 256,
        ..Limits::default()
    };
    let mut relay = World::with(limits);
    let eight: Vec<_> = (1..=8).map(|n| envelope(1, n)).collect();
    assert_eq!(stored(&relay.say(ANA, put(1, &eight))).len(), 8);
    let refused = to(
        ANA,
        FromRelay::Refused {
            request: 2,
            why: Refusal::NoRoom,
        },
    );
    assert_eq!(
        relay.say(ANA, put(2, &[envelope(2, 9)])),
        std::slice::from_ref(&refused),
        "80 %: no new mailbox"
    );
    let outputs = relay.say(ANA, put(2, &[envelope(1, 9), envelope(1, 10)]));
    assert_eq!(
        (stored(&outputs).len(), outputs.last()),
        (1, Some(&refused)),
        "90 %: nothing"
    );
    let limits = Limits {
        mailboxes: 1,
        ..Limits::default()
    };
    let mut relay = World::with(limits);
    let outputs = relay.say(ANA, put(2, &[envelope(1, 1), envelope(2, 2), envelope(1, 3)]));
    assert_eq!((stored(&outputs).len(), outputs.last()), (2, Some(&refused)));
    let limits = Limits {
        envelopes: 2,
        ..Limits::default()
    };
    let mut relay = World::with(limits);
    let outputs = relay.say(ANA, put(2, &[envelope(1, 1), envelope(1, 2), envelope(1, 3)]));
    assert_eq!((stored(&outputs).len(), outputs.last()), (2, Some(&refused)), "memory");
}

#[test]
fn a_door_answers_only_the_right_proof_and_only_while_it_stands_rly_29() {
    let mut relay = World::open();
    let (path, proof) = (DoorPath::from_bytes([1; 12]), [2; 16]);
    assert_eq!(
        relay.say(ANA, door(1, 2, 100)),
        [to(ANA, FromRelay::DoorOpen { request: 7 })]
    );
    let knock = |relay: &mut World, path: &DoorPath, proof: [u8; 16]| {
        let now = relay.now;
        relay
            .service
            .knock(path, &proof, Source::default(), now)
            .map(|card| card.len())
    };
    assert_eq!(knock(&mut relay, &path, proof), Some(CARD_BUCKET));
    assert_eq!(knock(&mut relay, &path, [3; 16]), None);
    assert_eq!(knock(&mut relay, &DoorPath::from_bytes([2; 12]), proof), None);
    relay.now = START.plus_ms(100_000);
    assert_eq!(knock(&mut relay, &path, proof), None, "expired");
    relay.say(ANA, door(1, 2, 300));
    assert_eq!(knock(&mut relay, &path, proof), Some(CARD_BUCKET));
    let close = |key| ToRelay::CloseDoor {
        request: 8,
        path,
        key: DoorKey::from_bytes(key),
    };
    let refused = |why| to(BO, FromRelay::Refused { request: 8, why });
    assert_eq!(relay.say(BO, close([6; 16])), [refused(Refusal::Wrong)]);
    assert_eq!(knock(&mut relay, &path, proof), Some(CARD_BUCKET), "not by another key");
    assert_eq!(
        relay.say(ANA, close([5; 16])),
        [to(ANA, FromRelay::DoorOpen { request: 8 })]
    );
    assert_eq!(knock(&mut relay, &path, proof), None, "taken down");
}

#[test]
fn a_deck_deals_by_day_and_network_and_is_not_used_up_pub_3() {
    let limits = Limits {
        door_uses: 3,
        ..Limits::default()
    };
    let mut relay = World::with(limits);
    let hands: Vec<Vec<u8>> = (0..4).map(|n| vec![n; HAND_BUCKET]).collect();
    let (begins_s, day_s) = (START.seconds() + 10, 86_400);
    relay.say(ANA, door_with(1, 2, 30 * day_s, deck(begins_s, 2, &hands)));
    let mut knock = |now_s: u64, from: &str, proof: u8| {
        let source = Source::of(from.parse().unwrap());
        let now = Timestamp::from_seconds(now_s);
        let path = DoorPath::from_bytes([1; 12]);
        let hand = relay.service.knock(&path, &[proof; 16], source, now)?;
        assert_eq!(hand.len(), HAND_BUCKET);
        hand.first().copied()
    };
    assert_eq!(knock(begins_s, "192.0.2.1", 3), None, "another proof");
    let first = knock(begins_s, "192.0.2.1", 2);
    assert_eq!(knock(begins_s - 1_000, "192.0.2.1", 2), first, "before the first day");
    assert!(first.is_some_and(|hand| hand < 2));
    assert!(
        (0..100).all(|n| knock(begins_s + n, &format!("192.0.2.{n}"), 2) == first),
        "one network"
    );
    let all = |knock: &mut dyn FnMut(u64, &str, u8) -> Option<u8>, day: u64| -> BTreeSet<u8> {
        let from = |n: u64| format!("10.{n}.0.1");
        (0..200)
            .filter_map(|n| knock(begins_s + day * day_s, &from(n), 2))
            .collect()
    };
    assert_eq!(all(&mut knock, 0), BTreeSet::from([0, 1]));
    assert_eq!(all(&mut knock, 1), BTreeSet::from([2, 3]));
    assert_eq!(all(&mut knock, 2), BTreeSet::new(), "after the last");
    let uses = relay
        .service
        .into_store()
        .door(&DoorPath::from_bytes([1; 12]))
        .unwrap()
        .unwrap()
        .uses;
    assert_eq!(uses, 3, "counting ends, answering does not");
}

#[test]
fn a_network_of_6to4_is_its_ipv4_network_pub_3() {
    let of = |text: &str| Source::of(text.parse().unwrap());
    assert_eq!(of("2002:c000:0201::1"), of("192.0.2.77"));
    assert_eq!(of("2002:c000:02ff:7::1"), of("192.0.2.77"));
    assert_ne!(of("2002:c000:0301::1"), of("192.0.2.77"));
    assert_ne!(of("2001:db8:1::1"), of("2001:db8:2::1"));
}

#[test]
fn a_door_that_grows_finds_no_room_and_decks_are_counted_as_puts_are_rly_28() {
    let hands = |count: u8| -> Vec<u8> { deck(START.seconds(), 1, &vec![vec![1; HAND_BUCKET]; count.into()]) };
    let limits = Limits {
        total_bytes: 40_000,
        ..Limits::default()
    };
    let mut relay = World::with(limits);
    let answered = |frame: FromRelay| [to(ANA, frame)];
    let open = answered(FromRelay::DoorOpen { request: 7 });
    let full = answered(FromRelay::Refused {
        request: 7,
        why: Refusal::NoRoom,
    });
    assert_eq!(relay.say(ANA, door_with(1, 2, 100, hands(20))), open);
    assert_eq!(relay.say(ANA, door_with(1, 2, 100, hands(90))), full);
    assert_eq!(
        relay.say(ANA, door_with(1, 2, 100, hands(20))),
        open,
        "as large as it was"
    );
    let limits = Limits {
        source_bytes_max: 100_000,
        source_bytes_per_s: 1,
        ..Limits::default()
    };
    let mut relay = World::with(limits);
    assert_eq!(relay.say(ANA, door_with(1, 2, 100, hands(150))), open);
    assert_eq!(
        relay.say(ANA, door_with(1, 2, 100, hands(150))),
        full,
        "too much for one source"
    );
}

#[test]
fn a_door_is_replaced_by_its_own_proof_and_key_only_rly_29() {
    let mut relay = World::open();
    relay.say(ANA, door(1, 2, 100));
    let mut by_others = door(1, 2, 100);
    if let ToRelay::Door { key, .. } = &mut by_others {
        *key = DoorKey::from_bytes([6; 16]);
    }
    let why = Refusal::DoorTaken;
    assert_eq!(
        relay.say(BO, by_others),
        [to(BO, FromRelay::Refused { request: 7, why })]
    );
    let taken = to(
        BO,
        FromRelay::Refused {
            request: 7,
            why: Refusal::DoorTaken,
        },
    );
    assert_eq!(relay.say(BO, door(1, 3, 100)), [taken]);
    assert_eq!(
        relay.say(ANA, door(1, 2, 200)),
        [to(ANA, FromRelay::DoorOpen { request: 7 })]
    );
    relay.now = START.plus_ms(200_000);
    assert_eq!(
        relay.say(BO, door(1, 3, 300)),
        [to(BO, FromRelay::DoorOpen { request: 7 })],
        "the old one is gone"
    );
}

#[test]
fn doors_and_their_uses_are_limited_rly_29() {
    let limits = Limits {
        doors: 2,
        door_uses: 3,
        ..Limits::default()
    };
    let mut relay = World::with(limits);
    relay.say(ANA, door(1, 2, 100));
    relay.say(ANA, door(2, 2, 100));
    assert_eq!(
        relay.say(ANA, door(3, 2, 100)),
        [to(
            ANA,
            FromRelay::Refused {
                request: 7,
                why: Refusal::Limit
            }
        )]
    );
    assert_eq!(
        relay.say(ANA, door(2, 2, 200)),
        [to(ANA, FromRelay::DoorOpen { request: 7 })],
        "replacing is free"
    );
    let answers = (0..5).filter(|_| {
        relay
            .service
            .knock(&DoorPath::from_bytes([1; 12]), &[2; 16], Source::default(), START)
            .is_some()
    });
    assert_eq!(answers.count(), 3);
}

#[test]
fn a_signal_reaches_live_readers_and_is_never_stored_rly_31() {
    let mut relay = World::open();
    relay.say(BO, subscribe(1, 0));
    relay.say(ANA, subscribe(1, 0));
    let signal = ToRelay::Ephemeral {
        token: token(1),
        envelope: envelope(1, 1),
    };
    let passed = FromRelay::Ephemeral {
        tag: tag(1),
        envelope: envelope(1, 1).into_bytes(),
    };
    assert_eq!(relay.say(ANA, signal), [to(BO, passed)], "and not back to its sender");
    assert_eq!(relay.service.store().total().envelopes, 0);
}

#[test]
fn a_life_is_at_most_sixty_days_and_then_over_rly_32() {
    let mut relay = World::open();
    let items = |ttl_s| {
        vec![PutItem {
            token: token(1),
            ttl_s,
            envelope: envelope(1, 1),
        }]
    };
    relay.say(
        ANA,
        ToRelay::Put {
            request: 1,
            items: items(u32::MAX),
        },
    );
    relay.now = START.plus_ms(TTL_S_MAX * 1000 - 1);
    relay.settle();
    assert_eq!(relay.service.store().total().envelopes, 1);
    relay.now = relay.now.plus_ms(24 * 3_600_000 + EXPIRE_EVERY_MS);
    relay.settle();
    assert_eq!(relay.service.store().total().envelopes, 0);
    relay.say(
        ANA,
        ToRelay::Put {
            request: 1,
            items: items(0),
        },
    );
    assert_eq!(relay.service.store().total().envelopes, 1, "no life at all is a second");
}

#[test]
fn an_expiry_does_not_tell_when_its_envelope_came_rly_32() {
    let at = |ms, life_s| rounded_expiry(Timestamp(ms), life_s).0;
    assert_eq!((at(1, 30), at(59_999, 1), at(30_000, 30)), (60_000, 120_000, 60_000));
    let (hour, day) = (3_600_000, 24 * 3_600_000);
    for (life_s, together) in [(2 * 24 * 3600, hour), (30 * 24 * 3600, day)] {
        let mut all = (1..=60).map(|part| at(part * together / 60, life_s));
        assert!(all.all(|until| until == life_s * 1000 + together), "{life_s}");
    }
}

#[test]
fn what_a_stranger_can_grow_ends_somewhere_rly_33() {
    let limits = Limits {
        connections: 3,
        subscriptions_per_connection: 2,
        subscriptions: 3,
        ..Limits::default()
    };
    let mut relay = World::with(limits);
    assert!(relay.service.connect(ConnectionId(3), Source::default()));
    assert!(!relay.service.connect(ConnectionId(4), Source::default()));
    let many = |n: u8| ToRelay::Subscribe {
        add: (0..n).map(|n| (tag(n), 0)).collect(),
        drop: vec![],
    };
    let limit = |who| {
        to(
            who,
            FromRelay::Refused {
                request: 0,
                why: Refusal::Limit,
            },
        )
    };
    assert_eq!(relay.say(ANA, many(3)), [limit(ANA)], "its own limit");
    assert_eq!(relay.say(BO, many(2)), [limit(BO)], "everybody's limit");
    assert_eq!(relay.say(ANA, many(2)), [], "saying the same again is no growth");
    relay.service.disconnect(ANA);
    assert_eq!(relay.say(BO, many(2)), [], "what left makes room");
}

#[test]
fn many_who_are_behind_are_served_in_turns_rly_26() {
    let mut relay = World::open();
    relay.say(ANA, put(1, &[envelope(1, 1)]));
    let crowd: Vec<_> = (10..10 + SERVED_AT_ONCE as u64 + 5).map(ConnectionId).collect();
    for who in &crowd {
        relay.connect(*who);
        relay.hello(*who, None);
    }
    for who in &crowd {
        relay.service.handle(*who, subscribe(1, 0), relay.now);
    }
    assert_eq!(relay.settle().len(), SERVED_AT_ONCE);
    assert!(relay.service.has_backlog());
    assert_eq!(relay.settle().len(), 5);
    assert!(!relay.service.has_backlog());
}

#[test]
fn an_empty_put_has_an_answer_too() {
    let mut relay = World::open();
    let answer = FromRelay::Stored {
        request: 4,
        ids: vec![],
    };
    assert_eq!(relay.say(ANA, put(4, &[])), [to(ANA, answer)]);
}

#[test]
fn a_full_disk_refuses_puts_and_goes_on_serving_reads_rly_28() {
    let disk = SimulatedDisk::new(1);
    let mut relay = World::over(SegmentLog::on(disk.clone(), 1).unwrap());
    relay.say(ANA, put(1, &[envelope(1, 1)]));
    disk.with(|state| state.full_at = state.bytes());
    let outputs = relay.say(ANA, put(2, &(2..=255).map(|n| envelope(1, n)).collect::<Vec<_>>()));
    assert_eq!(
        outputs,
        [to(
            ANA,
            FromRelay::Refused {
                request: 2,
                why: Refusal::NoRoom
            }
        )]
    );
    assert_eq!(arrived_at(&relay.say(BO, subscribe(1, 0)), BO), [1]);
    assert_eq!(
        stored(&relay.say(ANA, put(3, &[envelope(1, 1)]))),
        [envelope(1, 1).id()]
    );
}

#[test]
fn a_batch_that_grows_too_large_is_answered_busy_rly_33() {
    let limits = Limits {
        batch_bytes: 700,
        ..Limits::default()
    };
    let mut relay = World::with(limits);
    relay.service.handle(ANA, put(1, &[envelope(1, 1)]), START);
    assert!(!relay.service.wants_settling());
    relay.service.handle(ANA, put(2, &[envelope(1, 2)]), START);
    assert!(relay.service.wants_settling());
    relay.service.handle(ANA, put(3, &[envelope(1, 3)]), START);
    let outputs = relay.settle();
    assert_eq!(stored(&outputs).len(), 2);
    assert!(outputs.contains(&to(
        ANA,
        FromRelay::Busy {
            retry_after_ms: BUSY_RETRY_MS
        }
    )));
    assert_eq!(stored(&relay.say(ANA, put(4, &[envelope(1, 3)]))).len(), 1);
}

#[test]
fn a_source_that_puts_too_much_waits_and_nobody_else_does_rly_37() {
    let limits = Limits {
        source_bytes_per_s: 296,
        source_bytes_max: 700,
        ..Limits::default()
    };
    let mut relay = World::with(limits);
    let two = put(1, &[envelope(1, 1), envelope(1, 2)]);
    assert_eq!(stored(&relay.say(ANA, two)).len(), 2);
    let busy = |retry_after_ms| to(ANA, FromRelay::Busy { retry_after_ms });
    assert_eq!(relay.say(ANA, put(2, &[envelope(1, 3)])), [busy(636)]);
    assert_eq!(stored(&relay.say(BO, put(3, &[envelope(1, 4)]))).len(), 1);
    relay.now = relay.now.plus_ms(636);
    assert_eq!(stored(&relay.say(ANA, put(4, &[envelope(1, 3)]))).len(), 1);
}

#[test]
fn a_secret_has_a_day_of_its_own_rly_37() {
    let limits = Limits {
        secret_bytes_per_day: 86_400,
        ..Limits::default()
    };
    let access = Access::Secrets(vec![[1; 16], [2; 16]]);
    let mut relay = World::new(access, limits);
    for (who, secret) in [(ANA, 1), (BO, 2), (ConnectionId(3), 1)] {
        relay.connect(who);
        relay.hello(who, Some([secret; 16]));
    }
    // 290 puts of 296 bytes are the most that fit.
    let puts = (0..300_u32).map(|n| stored(&relay.say(ANA, put(n, &[envelope((n % 9) as u8, (n % 250) as u8)]))).len());
    assert_eq!(puts.sum::<usize>(), 291);
    let refused = |to, request| Output::Send {
        to,
        frame: FromRelay::Refused {
            request,
            why: Refusal::Quota,
        },
    };
    assert_eq!(
        relay.say(ConnectionId(3), put(5, &[envelope(1, 1)])),
        [refused(ConnectionId(3), 5)],
        "one secret"
    );
    assert_eq!(stored(&relay.say(BO, put(6, &[envelope(1, 1)]))).len(), 1, "another");
    let used = |outputs: Vec<Output>| match sent_to(&outputs, ANA)[..] {
        [
            FromRelay::Quota {
                used_bytes,
                limit_bytes,
                ..
            },
        ] => (*used_bytes, *limit_bytes),
        _ => panic!("no quota"),
    };
    assert_eq!(used(relay.say(ANA, ToRelay::Quota { request: 1 })), (291 * 296, 86_400));
    relay.now = relay.now.plus_ms(86_400_000);
    assert_eq!(
        stored(&relay.say(ANA, put(7, &[envelope(1, 1)]))).len(),
        1,
        "the next day"
    );
}

#[test]
fn a_relay_that_goes_down_spreads_who_comes_back_rly_38() {
    let mut relay = World::open();
    relay.service.part([9; 8]);
    let outputs: Vec<Output> = std::iter::from_fn(|| relay.service.poll_output()).collect();
    let pauses: Vec<u32> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::Send {
                frame: FromRelay::Busy { retry_after_ms },
                ..
            } => Some(*retry_after_ms),
            Output::Send { .. } | Output::Close { .. } => None,
        })
        .collect();
    assert_eq!(pauses.len(), 2);
    assert_eq!(pauses[0].abs_diff(pauses[1]), 3, "two come back at two times");
    assert!(outputs.contains(&closed(ANA, Closed::GoingDown)) && outputs.contains(&closed(BO, Closed::GoingDown)));
    let mut relay = World::new(
        Access::Open,
        Limits {
            connections: 20_000,
            ..Limits::default()
        },
    );
    for n in 0..20_000 {
        relay.connect(ConnectionId(n));
        relay.service.handle(
            ConnectionId(n),
            ToRelay::Hello {
                version: 1,
                features: 0,
                secret: None,
            },
            START,
        );
    }
    relay.settle();
    relay.service.part([9; 8]);
    let mut seconds = [0; 30];
    while let Some(output) = relay.service.poll_output() {
        if let Output::Send {
            frame: FromRelay::Busy { retry_after_ms },
            ..
        } = output
        {
            assert!(retry_after_ms < COMEBACK_MS_MAX);
            seconds[retry_after_ms as usize / 1000] += 1;
        }
    }
    assert!(seconds.iter().all(|count| (600..=700).contains(count)), "{seconds:?}");
}

#[test]
fn who_brought_an_envelope_does_not_get_it_back_rly_34() {
    let mut relay = World::open();
    relay.say(ANA, subscribe(1, 0));
    assert_eq!(
        arrived_at(&relay.say(ANA, put(1, &[envelope(1, 1)])), ANA),
        [] as [u64; 0]
    );
    assert_eq!(arrived_at(&relay.say(BO, put(1, &[envelope(1, 2)])), ANA), [2]);
}

#[test]
fn frames_of_a_connection_that_is_gone_are_dropped() {
    let mut relay = World::open();
    relay.service.disconnect(ANA);
    assert_eq!(relay.say(ANA, put(1, &[envelope(1, 1)])), []);
    relay.service.drained(ANA, 5);
    relay.service.disconnect(ANA);
}

// Helpers.

/// A service with a clock.
struct World<S = MemoryStore> {
    service: Service<S>,
    now: Timestamp,
}

impl World {
    fn new(access: Access, limits: Limits) -> Self {
        Self {
            service: Service::new(MemoryStore::default(), access, limits),
            now: START,
        }
    }

    /// An open relay with Ana and Bo.
    fn with(limits: Limits) -> Self {
        let mut relay = Self::new(Access::Open, limits);
        relay.welcome_both();
        relay
    }

    fn open() -> Self {
        Self::with(Limits::default())
    }
}

impl<S: MailboxStore> World<S> {
    /// An open relay over a store, with Ana and Bo.
    fn over(store: S) -> Self {
        let service = Service::new(store, Access::Open, Limits::default());
        let mut relay = Self { service, now: START };
        relay.welcome_both();
        relay
    }

    fn welcome_both(&mut self) {
        for who in [ANA, BO] {
            self.connect(who);
            self.hello(who, None);
            self.service.drained(who, usize::MAX);
        }
    }

    fn connect(&mut self, who: ConnectionId) {
        // Everybody comes from a network of their own.
        let address = [10, 0, u8::try_from(who.0 % 200).unwrap(), 1];
        assert!(self.service.connect(who, Source::of(address.into())));
    }

    fn hello(&mut self, who: ConnectionId, secret: Option<[u8; 16]>) -> Vec<Output> {
        self.say(
            who,
            ToRelay::Hello {
                version: 1,
                features: 0,
                secret,
            },
        )
    }

    fn say(&mut self, who: ConnectionId, frame: ToRelay) -> Vec<Output> {
        self.service.handle(who, frame, self.now);
        self.settle()
    }

    fn settle(&mut self) -> Vec<Output> {
        self.service.settle(self.now);
        std::iter::from_fn(|| self.service.poll_output()).collect()
    }
}

fn token(n: u8) -> Token {
    Token::from_bytes([n; 32])
}

fn tag(n: u8) -> Tag {
    token(n).tag()
}

fn envelope(mailbox: u8, n: u8) -> Envelope {
    seal(&EnvelopeKey::new([1; 32]), tag(mailbox), [n; 16], b"hello").unwrap()
}

fn put(request: u32, envelopes: &[Envelope]) -> ToRelay {
    let token_of = |envelope: &Envelope| {
        (0..=255)
            .map(token)
            .find(|token| token.tag() == envelope.tag())
            .unwrap()
    };
    let item = |envelope: &Envelope| PutItem {
        token: token_of(envelope),
        ttl_s: 3600,
        envelope: envelope.clone(),
    };
    ToRelay::Put {
        request,
        items: envelopes.iter().map(item).collect(),
    }
}

/// The cursor of the n-th envelope that a relay stores; 0 is the start.
fn nth(n: u64) -> u64 {
    if n == 0 { 0 } else { START.0 + n }
}

fn subscribe(mailbox: u8, cursor: u64) -> ToRelay {
    ToRelay::Subscribe {
        add: vec![(tag(mailbox), nth(cursor))],
        drop: vec![],
    }
}

fn fetch(mailbox: u8, cursor: u64) -> ToRelay {
    ToRelay::Fetch {
        request: 1,
        tag: tag(mailbox),
        cursor: nth(cursor),
        limit: 100,
    }
}

/// A door at path `n` that opens to proof `proof`, for `life_s` seconds.
fn door(n: u8, proof: u8, life_s: u64) -> ToRelay {
    let card = seal_into(&EnvelopeKey::new([1; 32]), tag(n), [n; 16], b"card", CARD_BUCKET).unwrap();
    door_with(n, proof, life_s, card.into_bytes())
}

fn door_with(n: u8, proof: u8, life_s: u64, card: Vec<u8>) -> ToRelay {
    ToRelay::Door {
        request: 7,
        path: DoorPath::from_bytes([n; 12]),
        proof_hash: proof_hash(&[proof; 16]),
        key: DoorKey::from_bytes([5; 16]),
        expires_s: START.seconds() + life_s,
        card,
    }
}

fn to(who: ConnectionId, frame: FromRelay) -> Output {
    Output::Send { to: who, frame }
}

fn closed(connection: ConnectionId, why: Closed) -> Output {
    Output::Close { connection, why }
}

fn sent_to(outputs: &[Output], who: ConnectionId) -> Vec<&FromRelay> {
    let frames = outputs.iter().filter_map(|output| match output {
        Output::Send { to, frame } if *to == who => Some(frame),
        Output::Send { .. } | Output::Close { .. } => None,
    });
    frames.collect()
}

fn arrived_at(outputs: &[Output], who: ConnectionId) -> Vec<u64> {
    let frames = sent_to(outputs, who).into_iter();
    frames
        .filter_map(|frame| {
            if let FromRelay::Arrived { cursor, .. } = frame {
                Some(*cursor - START.0)
            } else {
                None
            }
        })
        .collect()
}

/// Everything that anybody was told is stored.
fn stored(outputs: &[Output]) -> Vec<EnvelopeId> {
    let frames = outputs.iter().filter_map(|output| match output {
        Output::Send {
            frame: FromRelay::Stored { ids, .. },
            ..
        } => Some(ids.clone()),
        Output::Send { .. } | Output::Close { .. } => None,
    });
    frames.flatten().collect()
}
