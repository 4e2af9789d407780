use stonechat_wire::drop::Kept;
use stonechat_wire::envelope::{EnvelopeKey, seal};

use super::*;
use crate::carrier::drop::listing::Listed;

const DAY: u32 = 20_787;
const NOW_S: u64 = 1_796_011_200;

fn name(n: u8) -> ObjectName {
    ObjectName::from_bytes([n; 16])
}

fn tag(n: u8) -> Tag {
    Tag::from_bytes([n; 16])
}

fn listing(names: &[u8]) -> Listing {
    let listed = |n: &u8| Listed {
        changed_ms: 0,
        name: name(*n),
    };
    Listing {
        objects: names.iter().map(listed).collect(),
        days: Vec::new(),
        others: 0,
        is_whole: true,
    }
}

fn object(tags: &[u8]) -> Object {
    let kept = |n: &u8| Kept {
        ttl_s: 1000,
        envelope: seal(&EnvelopeKey::new([7; 32]), tag(*n), [3; 16], b"hello").unwrap(),
    };
    Object {
        written_at_s: NOW_S,
        items: tags.iter().map(kept).collect(),
    }
}

fn given(frames: &[FromRelay]) -> Vec<(u8, u64)> {
    let one = |frame: &FromRelay| match frame {
        FromRelay::Arrived { tag, cursor, .. } => (tag.as_bytes()[0], *cursor),
        other => panic!("{other:?}"),
    };
    frames.iter().map(one).collect()
}

fn fetch(index: &mut Index, tags: &[u8]) -> Vec<(u8, u64)> {
    let spot = index.next().unwrap();
    given(&index.took(spot, object(tags), NOW_S))
}

#[test]
fn what_comes_is_given_once_with_cursors_above_what_core_has_drp_11() {
    let mut index = Index::default();
    index.subscribe(&[(tag(1), 40), (tag(2), 7)], &[]);
    index.found(DAY, &listing(&[1, 2]), 0);
    assert_eq!(fetch(&mut index, &[1, 3, 2]), [(1, 41), (2, 42)]);
    assert_eq!(fetch(&mut index, &[1]), [(1, 43)]);
    index.found(DAY, &listing(&[1, 2]), 0);
    assert_eq!(index.next(), None, "read is read");
}

#[test]
fn what_came_before_its_mailbox_was_read_is_fetched_again_and_is_not_behind_drp_11() {
    let mut index = Index::default();
    index.subscribe(&[(tag(1), 0)], &[]);
    index.found(DAY, &listing(&[1, 2]), 0);
    assert_eq!(fetch(&mut index, &[3]), []);
    assert_eq!(fetch(&mut index, &[1, 3]), [(1, 1)]);
    index.subscribe(&[(tag(3), 0)], &[]);
    assert_eq!(fetch(&mut index, &[3]), [(3, 2)]);
    assert_eq!(
        fetch(&mut index, &[1, 3]),
        [(3, 3)],
        "what was given is not given again"
    );
    index.subscribe(&[], &[tag(3)]);
    index.found(DAY, &listing(&[3]), 0);
    assert_eq!(fetch(&mut index, &[3]), []);
}

#[test]
fn a_new_link_gives_what_core_did_not_get_and_wants_what_was_not_read_drp_11() {
    let mut index = Index::default();
    index.subscribe(&[(tag(1), 0)], &[]);
    index.found(DAY, &listing(&[1, 2, 3]), 0);
    assert_eq!(fetch(&mut index, &[1]), [(1, 1)]);
    assert_eq!(fetch(&mut index, &[1]), [(1, 2)]);
    let _under_way = index.next().unwrap();
    index.begin();
    // Core has the first alone: the second was lost between the carrier and core, the third on its way here.
    index.subscribe(&[(tag(1), 1)], &[]);
    let mut cursors = [fetch(&mut index, &[1]), fetch(&mut index, &[1])].concat();
    cursors.sort_unstable();
    assert_eq!(cursors, [(1, 3), (1, 4)]);
    assert_eq!(index.next(), None);
}

#[test]
fn an_object_that_does_not_open_is_fetched_again_but_not_for_ever_drp_9() {
    let mut index = Index::default();
    let (mut now_ms, mut fetches) = (0, 0);
    for _ in 0..1000 {
        index.found(DAY, &listing(&[1]), now_ms);
        while let Some(spot) = index.next() {
            fetches += 1;
            index.broke(spot, now_ms);
        }
        now_ms += 60_000;
    }
    assert_eq!(fetches, BROKEN_TRIES);
    assert!(index.objects.len() == 1 && index.queue.is_empty());
}

#[test]
fn half_of_an_object_is_read_when_it_is_whole_drp_9() {
    let mut index = Index::default();
    index.subscribe(&[(tag(1), 0)], &[]);
    index.found(DAY, &listing(&[1]), 0);
    let spot = index.next().unwrap();
    index.broke(spot, 0);
    index.found(DAY, &listing(&[1]), BROKEN_MS - 1);
    assert_eq!(index.next(), None);
    index.found(DAY, &listing(&[1]), BROKEN_MS);
    assert_eq!(fetch(&mut index, &[1]), [(1, 1)]);
}

#[test]
fn what_is_gone_before_its_time_is_counted_once_drp_12() {
    let mut index = Index::default();
    index.found(DAY, &listing(&[1, 2]), 0);
    fetch(&mut index, &[1]);
    fetch(&mut index, &[1]);
    index.look();
    assert_eq!(index.missing(DAY, &listing(&[1, 2]), NOW_S), 0);
    let cut = Listing {
        is_whole: false,
        ..listing(&[])
    };
    assert_eq!(index.missing(DAY, &cut, NOW_S), 0, "a listing in part tells nothing");
    assert_eq!(index.missing(DAY, &listing(&[2]), NOW_S), 1, "read, and gone");
    assert_eq!(index.missing(DAY, &listing(&[2]), NOW_S), 0);
    assert_eq!(
        index.missing(DAY, &Listing::none(), NOW_S + 1000),
        0,
        "its time was over"
    );
}

#[test]
fn my_own_object_that_nobody_lists_is_missed_but_not_by_a_look_that_had_begun_drp_12() {
    let mut index = Index::default();
    index.look();
    index.wrote((DAY, name(1)), NOW_S + 1000);
    assert_eq!(
        index.missing(DAY, &listing(&[]), NOW_S),
        0,
        "it was written during the look"
    );
    index.look();
    assert!(index.is_own(&(DAY, name(1))) && index.days().contains(&DAY));
    assert_eq!(index.missing(DAY, &listing(&[]), NOW_S), 1);
}

#[test]
fn names_without_end_are_not_all_kept_in_mind_drp_9() {
    let mut index = Index::default();
    let named = |n: usize| Listed {
        changed_ms: 0,
        name: ObjectName::from_bytes((n as u128).to_be_bytes()),
    };
    for day in 0..20 {
        let objects = (0..10_000).map(named).collect();
        let listing = Listing {
            objects,
            ..Listing::none()
        };
        index.found(DAY + day, &listing, 0);
        index.found(DAY + day, &listing, 0);
    }
    assert_eq!((index.objects.len(), index.queued.len()), (OBJECTS_MAX, OBJECTS_MAX));
    assert!(index.queue.len() <= 2 * OBJECTS_MAX);
    for n in 0..OWN_MAX + 9 {
        index.wrote((DAY, named(n).name), NOW_S);
    }
    assert_eq!(index.own.len(), OWN_MAX);
    assert_eq!(index.over(NOW_S).len(), 0);
}

#[test]
fn what_was_read_and_is_over_may_go_drp_8() {
    let mut index = Index::default();
    index.subscribe(&[(tag(1), 0)], &[]);
    index.found(DAY, &listing(&[1, 2]), 0);
    let spot = index.next().unwrap();
    assert_eq!(
        index.took(spot, object(&[1]), NOW_S + 1000),
        [],
        "over before it was read"
    );
    assert_eq!(index.over(NOW_S + 999), []);
    assert_eq!(index.over(NOW_S + 1000), [spot], "and the other is not known");
}

#[test]
fn what_the_server_did_not_give_is_asked_for_until_it_does_drp_9() {
    let mut index = Index::default();
    index.subscribe(&[(tag(1), 0)], &[]);
    let mut now_ms = 0;
    for _ in 0..100 {
        index.found(DAY, &listing(&[1]), now_ms);
        let spot = index.next().unwrap();
        index.not_given(spot, now_ms);
        index.found(DAY, &listing(&[1]), now_ms + REFUSED_MS - 1);
        assert_eq!(index.next(), None, "not at once");
        now_ms += REFUSED_MS;
    }
    index.found(DAY, &listing(&[1]), now_ms);
    assert_eq!(fetch(&mut index, &[1]), [(1, 1)]);
}

#[test]
fn whoever_fills_old_days_hides_no_new_ones_drp_9() {
    let mut index = Index::default();
    let many = |from: usize, count: usize| {
        let listed = |n: usize| Listed {
            changed_ms: 0,
            name: ObjectName::from_bytes((n as u128).to_be_bytes()),
        };
        Listing {
            objects: (from..from + count).map(listed).collect(),
            ..listing(&[])
        }
    };
    index.found(DAY - 1, &many(0, OBJECTS_MAX + 10), 0);
    assert_eq!(index.objects.len(), OBJECTS_MAX);
    index.subscribe(&[(tag(1), 0)], &[]);
    index.found(DAY, &many(0, 3), 0);
    for n in 1..=3 {
        assert_eq!(index.queue.front().map(|spot| spot.0), Some(DAY), "before what is old");
        assert_eq!(fetch(&mut index, &[1]), [(1, n)]);
    }
    index.found(DAY - 2, &many(0, 3), 0);
    assert_eq!(index.objects.len(), OBJECTS_MAX);
    assert!(index.objects.keys().all(|(day, _)| *day >= DAY - 1));
}
