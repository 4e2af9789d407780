//! "Written after removal" stays, however long ago the commit was that said so.

use crate::bench::{Bench, route};
use crate::content::delete;
use crate::devices::{devices, link, remove_laptop, two_and_bo};
use crate::forks::{change, number, renew};
use crate::groups::{add, all_agree, circle, create, give, names, remove, say, texts};
use crate::restore::{come_back, words};
use stonechat_core::Input;
use stonechat_core::api::{ById, Command, Role};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

/// So many commits that the epochs of what was before are forgotten (EPO-4).
fn many_commits(bench: &mut Bench, device: usize) {
    for _ in 0..36 {
        bench.pass(3 * HOUR);
        renew(bench, device);
        bench.settle();
    }
}

fn id_of(bench: &mut Bench, device: usize, text: &str) -> String {
    let tx = bench.devices[device].store.begin().unwrap();
    let sql = "SELECT lower(hex(id)) FROM message WHERE text = ?";
    tx.query_row(sql, [text], |row| row.get(0)).unwrap()
}

/// Cy writes and deletes after the last that Ana, who removes him, has seen.
#[test]
fn what_the_removed_wrote_stays_apart_when_its_epoch_is_forgotten_grp_6() {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    say(&mut bench, 2, "seen").unwrap();
    bench.pass(HOUR);
    bench.devices[2].cut = true;
    let seen = id_of(&mut bench, 2, "seen");
    delete(&mut bench, 2, &seen, true).unwrap();
    say(&mut bench, 2, "late").unwrap();
    remove(&mut bench, 0, &[2]).unwrap();
    bench.reconnect(2);
    bench.pass(HOUR);
    assert_eq!(texts(&mut bench, 1), ["seen", "! late"]);
    many_commits(&mut bench, 1);
    remove(&mut bench, 0, &[3]).unwrap();
    bench.pass(HOUR);
    say(&mut bench, 1, "goes on").unwrap();
    for (device, last) in [(0, "goes on"), (1, "> goes on")] {
        assert_eq!(texts(&mut bench, device), ["seen", "! late", last], "{device}");
    }
}

/// The same of one device of an account.
#[test]
fn what_a_removed_device_wrote_stays_apart_when_its_epoch_is_forgotten_dev_6() {
    let mut bench = two_and_bo();
    bench.devices[2].cut = true;
    remove_laptop(&mut bench);
    bench.pass(MINUTE);
    let there = crate::devices::chat(&mut bench, 2);
    bench.say(2, there, "late");
    bench.reconnect(2);
    bench.pass(MINUTE);
    let late = "SELECT late FROM message WHERE text = 'late'";
    for commit in 0..36 {
        bench.pass(3 * HOUR);
        renew(&mut bench, 1);
        bench.settle();
        assert_eq!(number(&mut bench, 1, late), 1, "commit {commit}");
    }
}

/// Ana is added again: what her old tree said of Cy's message holds.
#[test]
fn what_was_late_stays_late_for_whoever_is_added_again_grp_6() {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    bench.pass(HOUR);
    bench.devices[2].cut = true;
    say(&mut bench, 2, "late").unwrap();
    remove(&mut bench, 0, &[2]).unwrap();
    bench.reconnect(2);
    bench.pass(HOUR);
    assert_eq!(texts(&mut bench, 3), ["! late"]);
    // Di loses what was committed next, and asks Ana, whom she knows.
    let ears = std::mem::take(&mut bench.devices[3].listening);
    renew(&mut bench, 1);
    bench.settle();
    bench.pass(2 * HOUR);
    bench.devices[3].listening = ears;
    bench.relay.boxes.values_mut().flatten().for_each(Vec::clear);
    for device in [0, 1] {
        change(
            &mut bench,
            device,
            "DELETE FROM outbox WHERE purpose = 4; DELETE FROM original WHERE lane = 1",
        );
    }
    change(
        &mut bench,
        3,
        "UPDATE conversation SET heard_at = 0, created_at = 0 WHERE grouped = 1",
    );
    bench.greet(3);
    bench.pass(2 * HOUR);
    let root = "SELECT (SELECT parent FROM epoch WHERE epoch_id = root) IS NULL AND
                (SELECT count(*) FROM epoch e WHERE e.group_id = v.group_id AND parent IS NULL) > 1
                FROM conversation v WHERE grouped = 1";
    assert_eq!(number(&mut bench, 3, root), 1, "a new root");
    say(&mut bench, 1, "goes on").unwrap();
    bench.pass(HOUR);
    remove(&mut bench, 0, &[1]).unwrap();
    bench.pass(HOUR);
    assert_eq!(texts(&mut bench, 3), ["! late", "goes on"]);
}

/// Bo removes Cy and sees what he wrote after that; Ana's commit wins, and the removal is made again on it.
#[test]
fn a_removal_that_is_made_again_keeps_what_it_said_fork_7() {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    give(&mut bench, 0, 1, Role::Admin).unwrap();
    bench.pass(HOUR);
    bench.devices[0].cut = true;
    bench.devices[2].cut = true;
    remove(&mut bench, 1, &[2]).unwrap();
    say(&mut bench, 2, "late").unwrap();
    bench.reconnect(2);
    bench.pass(HOUR);
    assert_eq!(texts(&mut bench, 1), ["! late"]);
    remove(&mut bench, 0, &[3]).unwrap();
    bench.reconnect(0);
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 1]);
    assert_eq!(names(&mut bench, 0), ["Ana", "Bo"]);
    assert_eq!([0, 1].map(|device| texts(&mut bench, device)), [["! late"], ["! late"]]);
}

/// The same of a device that Bo takes away.
#[test]
fn what_a_removed_device_wrote_stays_apart_where_its_removal_is_made_again_dev_6() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    bench.pass(HOUR);
    let laptop = link(&mut bench, 1);
    bench.pass(HOUR);
    bench.devices[0].cut = true;
    bench.devices[laptop].cut = true;
    let id = devices(&mut bench, 1).devices[1].id.clone();
    bench.ask(1, Command::DeviceRemove(ById { id })).unwrap();
    bench.pass(MINUTE);
    say(&mut bench, laptop, "late").unwrap();
    bench.reconnect(laptop);
    bench.pass(MINUTE);
    let late = "SELECT late FROM message WHERE text = 'late'";
    assert_eq!(number(&mut bench, 1, late), 1);
    remove(&mut bench, 0, &[2]).unwrap();
    bench.reconnect(0);
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 1]);
    assert_eq!(names(&mut bench, 0), ["Ana", "Bo"]);
    assert_eq!([0, 1].map(|device| number(&mut bench, device, late)), [1, 1]);
    // Whoever has not heard of the removal that lost reads the same in the other one.
    let of_group = "FROM cut JOIN conversation USING (group_id) WHERE grouped = 1 AND cut.leaf <> x''";
    let counted = ["count(*)", "count(DISTINCT said)"];
    let counted = counted.map(|what| number(&mut bench, 0, &format!("SELECT {what} {of_group}")));
    assert_eq!(counted, [2, 1]);
}

/// The account itself is removed meanwhile, by somebody who has seen what the device wrote: that removal wins, and nobody
/// takes the device away once more.
#[test]
fn what_a_removed_device_wrote_stays_apart_where_its_account_goes_too_dev_6() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    bench.pass(HOUR);
    let laptop = link(&mut bench, 1);
    bench.pass(HOUR);
    bench.devices[1].cut = true;
    let id = devices(&mut bench, 1).devices[1].id.clone();
    bench.ask(1, Command::DeviceRemove(ById { id })).unwrap();
    bench.pass(MINUTE);
    say(&mut bench, laptop, "late").unwrap();
    bench.pass(MINUTE);
    let late = "SELECT late FROM message WHERE text = 'late'";
    assert_eq!([0, 2].map(|device| number(&mut bench, device, late)), [0, 0]);
    remove(&mut bench, 0, &[1]).unwrap();
    bench.pass(MINUTE);
    bench.reconnect(1);
    bench.pass(HOUR);
    assert_eq!(names(&mut bench, 0), ["Ana", "Cy"]);
    assert_eq!([0, 2].map(|device| number(&mut bench, device, late)), [1, 1]);
}

/// The device counts its messages on from here.
fn counts_from(bench: &mut Bench, device: usize, seq: u32) {
    let sql = format!("UPDATE conversation SET seq = {seq} WHERE own = 0 AND waiting = 0");
    change(bench, device, &sql);
}

/// What these devices show of all that stands there, but for the marks of who wrote it.
fn all_show(bench: &mut Bench, devices: &[usize], expected: &[&str]) {
    for device in devices {
        let shown = texts(bench, *device);
        let shown: Vec<&str> = shown.iter().map(|text| text.trim_start_matches("> ")).collect();
        assert_eq!(shown, expected, "device {device}");
    }
}

/// Ana removes Cy, whose `after` is done out of reach before he hears of it.
fn removed_while(bench: &mut Bench, after: impl FnOnce(&mut Bench)) {
    bench.devices[2].cut = true;
    after(bench);
    remove(bench, 0, &[2]).unwrap();
    bench.pass(MINUTE);
    bench.reconnect(2);
    bench.pass(HOUR);
}

/// Cy once wrote a number far ahead, and later writes those that it left out: texts, and a deletion.
#[test]
pub(crate) fn numbers_that_were_left_out_write_nothing_after_a_removal_grp_6() {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    say(&mut bench, 2, "seen").unwrap();
    counts_from(&mut bench, 2, 1_000);
    say(&mut bench, 2, "far").unwrap();
    bench.pass(HOUR);
    let seen = id_of(&mut bench, 2, "seen");
    removed_while(&mut bench, |bench| {
        counts_from(bench, 2, 10);
        say(bench, 2, "late").unwrap();
        delete(bench, 2, &seen, true).unwrap();
    });
    all_show(&mut bench, &[0, 1, 3], &["seen", "far", "! late"]);
}

/// Cy uses a number once more that Ana has seen.
#[test]
pub(crate) fn a_number_that_was_used_writes_nothing_after_a_removal_grp_6() {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    say(&mut bench, 2, "seen").unwrap();
    bench.pass(HOUR);
    removed_while(&mut bench, |bench| {
        let seq = number(bench, 2, "SELECT seq FROM conversation WHERE grouped = 1");
        counts_from(bench, 2, u32::try_from(seq - 1).unwrap());
        say(bench, 2, "late").unwrap();
    });
    all_show(&mut bench, &[0, 1, 3], &["seen", "! late"]);
}

/// Cy lost his device, which had counted far, and counts from the beginning on the new one. Then he is removed.
#[test]
pub(crate) fn who_came_back_from_words_and_is_removed_writes_nothing_unseen_afterwards_grp_6() {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    for n in 0..5 {
        say(&mut bench, 2, &format!("old {n}")).unwrap();
    }
    bench.pass(2 * MINUTE);
    let words = words(&mut bench, 2);
    bench.devices[2].cut = true;
    let cy = come_back(&mut bench, &words, &route());
    bench.pass(2 * HOUR);
    say(&mut bench, cy, "back").unwrap();
    bench.pass(HOUR);
    bench.devices[cy].cut = true;
    say(&mut bench, cy, "late").unwrap();
    remove(&mut bench, 0, &[cy]).unwrap();
    bench.pass(MINUTE);
    bench.reconnect(cy);
    bench.pass(HOUR);
    let shown = ["old 0", "old 1", "old 2", "old 3", "old 4", "back", "! late"];
    all_show(&mut bench, &[0, 1, 3], &shown);
}

/// What comes to device 1 from now on comes in the opposite order, newest first.
fn backwards(bench: &mut Bench, body: impl FnOnce(&mut Bench)) {
    bench.devices[1].cut = true;
    body(bench);
    let Bench { relay, devices } = &mut *bench;
    for (tag, cursor) in &devices[1].listening {
        if let Some(waiting) = relay.boxes.get_mut(tag) {
            waiting[usize::try_from(*cursor).unwrap()..].reverse();
        }
    }
    bench.reconnect(1);
    bench.pass(HOUR);
}

/// Bo hears of the removal and of all that Cy wrote before it in the opposite order; in the middle of it Di was added.
#[test]
fn what_was_seen_before_a_removal_is_in_time_in_whatever_order_it_comes_grp_6() {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2]);
    say(&mut bench, 2, "first").unwrap();
    bench.pass(HOUR);
    backwards(&mut bench, |bench| {
        for text in ["a", "b"] {
            say(bench, 2, text).unwrap();
            say(bench, 0, &format!("{text}?")).unwrap();
        }
        add(bench, 0, &[3]).unwrap();
        bench.pass(MINUTE);
        for text in ["c", "d"] {
            say(bench, 2, text).unwrap();
            say(bench, 3, &format!("{text}?")).unwrap();
        }
        bench.pass(MINUTE);
        remove(bench, 0, &[2]).unwrap();
        bench.pass(MINUTE);
    });
    let shown = ["first", "a", "a?", "b", "b?", "c", "c?", "d", "d?"];
    all_show(&mut bench, &[0, 1], &shown);
    assert_eq!(number(&mut bench, 1, "SELECT count(*) FROM message WHERE late = 1"), 0);
}

/// The relay loses what comes to device 1 meanwhile.
fn lost_to_bo(bench: &mut Bench, body: impl FnOnce(&mut Bench)) {
    bench.devices[1].cut = true;
    body(bench);
    let Bench { relay, devices } = &mut *bench;
    for (tag, cursor) in &devices[1].listening {
        let waiting = relay.boxes.entry(*tag).or_default();
        waiting[usize::try_from(*cursor).unwrap()..].fill(vec![]);
    }
    bench.reconnect(1);
}

/// What connects Cy's "one" with what Ana has seen of him is missing at Bo; he asks for it, and it comes.
#[test]
fn what_connects_a_message_with_what_was_seen_may_come_last_grp_6() {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    bench.pass(HOUR);
    say(&mut bench, 2, "one").unwrap();
    bench.pass(6_000);
    lost_to_bo(&mut bench, |bench| {
        say(bench, 3, "two").unwrap();
        bench.pass(6_000);
    });
    say(&mut bench, 2, "three").unwrap();
    remove(&mut bench, 0, &[2]).unwrap();
    bench.pass(6_000);
    assert_eq!(texts(&mut bench, 1), ["! one", "three"]);
    bench.pass(HOUR);
    assert_eq!(texts(&mut bench, 1), ["one", "two", "three"]);
}

/// The same of a device of Ana's: what it left out, or used before, it writes in vain; what she has seen of it is in time.
#[test]
pub(crate) fn numbers_that_were_left_out_write_nothing_after_a_device_was_removed_dev_6() {
    let mut bench = two_and_bo();
    let there = crate::devices::chat(&mut bench, 2);
    bench.say(2, there, "seen");
    counts_from(&mut bench, 2, 1_000);
    bench.say(2, there, "far");
    bench.pass(MINUTE);
    bench.devices[2].cut = true;
    remove_laptop(&mut bench);
    bench.pass(MINUTE);
    counts_from(&mut bench, 2, 10);
    bench.say(2, there, "late");
    bench.reconnect(2);
    bench.pass(MINUTE);
    for device in [0, 1] {
        let marks = ["seen", "far", "late"].map(|text| {
            number(
                &mut bench,
                device,
                &format!("SELECT late FROM message WHERE text = '{text}'"),
            )
        });
        assert_eq!(marks, [0, 0, 1], "{device}");
    }
}

/// Bo hears of what the laptop wrote in the opposite order, after its removal.
#[test]
fn what_was_seen_of_a_removed_device_is_in_time_in_whatever_order_it_comes_dev_6() {
    let mut bench = two_and_bo();
    let (here, there) = [0, 2].map(|device| crate::devices::chat(&mut bench, device)).into();
    backwards(&mut bench, |bench| {
        for text in ["a", "b", "c"] {
            bench.say(2, there, text);
            bench.say(0, here, &format!("{text}?"));
        }
        bench.pass(MINUTE);
        remove_laptop(bench);
        bench.pass(MINUTE);
    });
    for device in [0, 1] {
        assert_eq!(
            number(&mut bench, device, "SELECT count(*) FROM message WHERE late = 1"),
            0
        );
        assert_eq!(
            number(&mut bench, device, "SELECT count(*) FROM message WHERE text = 'b'"),
            1
        );
    }
}

/// A device says of what it wrote last that it was encrypted first elsewhere, and puts it so.
fn says_first(bench: &mut Bench, device: usize, first: &str) {
    bench.devices[device].held.clear();
    let sql = format!(
        "UPDATE message SET {first} WHERE text = 'late';
         UPDATE outbox SET tries = 1, sealed_at = -9000000000000000 WHERE purpose = 0 AND plain IS NOT NULL"
    );
    change(bench, device, &sql);
    let outputs = bench.devices[device].step(Input::Wake);
    bench.release(device, outputs);
    assert!(!bench.devices[device].held.is_empty());
}

/// Cy encrypts again what he says he wrote in an epoch that nobody knows. Bo and Di read it before the removal, Ana after it.
#[test]
pub(crate) fn what_says_it_is_of_an_epoch_nobody_knows_is_late_grp_6() {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    say(&mut bench, 2, "seen").unwrap();
    bench.pass(HOUR);
    bench.devices[0].cut = true;
    bench.devices[2].cut = true;
    remove(&mut bench, 0, &[2]).unwrap();
    say(&mut bench, 2, "late").unwrap();
    says_first(&mut bench, 2, "epoch_id = x'77777777777777777777777777777777'");
    bench.reconnect(2);
    bench.pass(MINUTE);
    all_show(&mut bench, &[1, 3], &["seen", "late"]);
    bench.reconnect(0);
    bench.pass(HOUR);
    all_show(&mut bench, &[0, 1, 3], &["seen", "! late"]);
}

/// Ana's laptop says that her other device wrote it first.
#[test]
pub(crate) fn a_removed_device_does_not_write_as_another_one_of_its_account_dev_6() {
    let mut bench = two_and_bo();
    let there = crate::devices::chat(&mut bench, 2);
    bench.devices[2].cut = true;
    remove_laptop(&mut bench);
    bench.pass(MINUTE);
    bench.say(2, there, "late");
    let home = number(&mut bench, 0, "SELECT leaf FROM conversation WHERE own = 0");
    says_first(&mut bench, 2, &format!("leaf = {home}"));
    bench.reconnect(2);
    bench.pass(MINUTE);
    for device in [0, 1] {
        assert_eq!(
            number(&mut bench, device, "SELECT late FROM message WHERE text = 'late'"),
            1,
            "{device}"
        );
    }
}

/// Cy writes 70 texts of which none names another one: of so many pieces whoever removes him names the newest 64.
#[test]
fn of_what_does_not_hang_together_the_newest_64_are_named_grp_6() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    bench.pass(HOUR);
    for n in 0..70 {
        change(&mut bench, 2, "DELETE FROM message_head");
        say(&mut bench, 2, &format!("{n}")).unwrap();
    }
    bench.pass(MINUTE);
    remove(&mut bench, 0, &[2]).unwrap();
    bench.pass(MINUTE);
    for device in [0, 1] {
        let late = "SELECT count(*) FROM message WHERE late = 1";
        assert_eq!(number(&mut bench, device, late), 6, "{device}");
        let oldest = "SELECT max(CAST(text AS INTEGER)) FROM message WHERE late = 1";
        assert_eq!(number(&mut bench, device, oldest), 5, "{device}");
    }
}

/// Bo reads "two", by Cy, who is removed; then `as_if` is done to it, and what it names comes: "one", which Ana has not seen.
fn named_by_one_without_a_mark(as_if: &str) -> Vec<String> {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    say(&mut bench, 2, "seen").unwrap();
    bench.pass(HOUR);
    bench.devices[2].cut = true;
    let [one, two] = ["one", "two"].map(|text| {
        say(&mut bench, 2, text).unwrap();
        std::mem::take(&mut bench.devices[2].held)
    });
    remove(&mut bench, 0, &[2]).unwrap();
    bench.pass(6_000);
    bench.devices[2].listening.clear();
    bench.devices[2].held = two;
    bench.reconnect(2);
    assert_eq!(texts(&mut bench, 1), ["seen", "! two"]);
    change(&mut bench, 1, &format!("DELETE FROM after_cut; {as_if}"));
    bench.devices[2].cut = true;
    bench.devices[2].held = one;
    bench.reconnect(2);
    texts(&mut bench, 1)
}

/// Of some messages no mark is there, although a cut concerns them by now: those that came encrypted again while their first
/// epoch was not known, and those of an epoch that was taken out of the tree (EPO-5). They bring nothing in time.
#[test]
fn what_could_not_be_judged_when_it_came_connects_nothing_grp_6() {
    let again = "UPDATE message SET came_epoch = epoch_id, came_leaf = leaf WHERE text = 'two'";
    let taken_out = "INSERT INTO epoch(epoch_id, group_id, members, made_at, number)
                         SELECT zeroblob(16), group_id, members, made_at, number FROM epoch
                         WHERE epoch_id = (SELECT epoch_id FROM message WHERE text = 'two');
                     UPDATE message SET epoch_id = zeroblob(16) WHERE text = 'two'";
    for as_if in [again, taken_out] {
        let shown = named_by_one_without_a_mark(as_if);
        assert!(shown.contains(&"! one".to_owned()), "{shown:?}");
    }
}
