//! Mailboxes that somebody has filled: the conversation goes on in the next one.

use crate::bench::Bench;
use crate::groups::{self, circle, create};
use stonechat_wire::ids::{Tag, Timestamp};
use stonechat_wire::mailbox::Slot;

const MINUTE: u64 = 60 * 1000;
const DAY: u64 = 24 * 60 * MINUTE;
/// An attacker's envelope has the largest size there is.
const JUNK_BYTES: usize = 32_768;
/// Mailboxes of one lane.
const MOST: usize = 16;

/// The group's mailboxes that a device reads, by `purpose`: 0 app lane of this week, 3 commit lane of the head.
fn tags(bench: &mut Bench, device: usize, purpose: u8) -> Vec<Tag> {
    let week = Slot::of(Timestamp(bench.devices[device].now)).0;
    let tx = bench.devices[device].store.begin().unwrap();
    let sql = "SELECT l.tag FROM listening l JOIN conversation c ON c.head = l.about AND c.grouped = 1
               WHERE l.purpose = ?1 AND (l.purpose = 3 OR l.slot = ?2) ORDER BY l.k";
    let mut rows = tx.prepare(sql).unwrap();
    let found = rows
        .query_map((purpose, week), |row| row.get::<_, [u8; 16]>(0))
        .unwrap();
    found.map(|tag| Tag::from_bytes(tag.unwrap())).collect()
}

/// Puts so much into a mailbox that a relay takes no more.
fn fill(bench: &mut Bench, tag: Tag) {
    let there = bench.relay.boxes.entry(tag).or_default();
    for number in 0..130_u8 {
        let mut junk = vec![number; JUNK_BYTES];
        junk[0] = 1;
        junk[1..17].copy_from_slice(tag.as_bytes());
        there.push(junk);
    }
    bench.relay.full.insert(tag);
    bench.settle();
}

#[test]
fn who_is_to_be_removed_does_not_stop_it_by_filling_the_commit_lane_mbx_6() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    bench.pass(MINUTE);
    let lane = tags(&mut bench, 2, 3);
    assert_eq!(lane.len(), 1);
    fill(&mut bench, lane[0]);
    // Nobody was told, and all read on.
    assert_eq!([0, 1].map(|device| tags(&mut bench, device, 3).len()), [2, 2]);
    groups::remove(&mut bench, 0, &[2]).unwrap();
    bench.pass(MINUTE);
    assert_eq!(groups::names(&mut bench, 1).len(), 2);
    assert_eq!(groups::head(&mut bench, 0), groups::head(&mut bench, 1));
    assert_eq!(
        groups::number(&mut bench, 0, "SELECT count(*) FROM outbox WHERE purpose = 4"),
        0
    );
}

#[test]
fn a_full_mailbox_silences_nobody_mbx_6() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    bench.pass(MINUTE);
    let week = tags(&mut bench, 2, 0)[0];
    fill(&mut bench, week);
    // One finds the door shut and goes to the next; the other goes there at once.
    for (device, text) in [(0, "still here"), (1, "me too"), (1, "and again")] {
        groups::say(&mut bench, device, text).unwrap();
        bench.pass(MINUTE);
    }
    for device in 0..3 {
        let texts = groups::texts(&mut bench, device).join("/").replace("> ", "");
        assert_eq!(texts, "still here/me too/and again", "{device}");
    }
    let waits = "SELECT count(*) FROM outbox WHERE purpose < 2";
    assert_eq!(
        [0, 1, 2].map(|device| groups::number(&mut bench, device, waits)),
        [0; 3]
    );
}

#[test]
fn a_lane_has_sixteen_mailboxes_and_what_finds_all_full_waits_for_the_next_week_mbx_6() {
    let mut bench = circle(2);
    create(&mut bench, &[1]);
    bench.pass(MINUTE);
    for k in 0..MOST {
        let lane = tags(&mut bench, 0, 0);
        assert_eq!(lane.len(), k + 1);
        fill(&mut bench, lane[k]);
    }
    assert_eq!(tags(&mut bench, 0, 0).len(), MOST);
    groups::say(&mut bench, 1, "some day").unwrap();
    bench.pass(MINUTE);
    assert!(groups::texts(&mut bench, 0).is_empty());
    bench.pass(8 * DAY);
    assert_eq!(groups::texts(&mut bench, 0), ["some day"]);
    let known = "SELECT count(*) FROM overflow";
    assert_eq!(groups::number(&mut bench, 0, known), 1);
    // proves: MBX-5 (the rows go with their week)
    bench.pass(6 * 7 * DAY);
    assert_eq!(groups::number(&mut bench, 0, known), 0);
}
