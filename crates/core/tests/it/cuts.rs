//! "Written after removal" stays, however long ago the commit was that said so.

use crate::bench::Bench;
use crate::content::delete;
use crate::devices::{devices, link, remove_laptop, two_and_bo};
use crate::forks::{change, number, renew};
use crate::groups::{all_agree, circle, create, give, names, remove, say, texts};
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
