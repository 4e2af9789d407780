//! What is kept of beginnings, how often one is told that it is out, and how long a text waits: each at its limit.

use crate::behind::rename;
use crate::bench::Bench;
use crate::groups::{add, number, remove, say};
use crate::halves::{Apart, group, said};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

const HELD: &str = "SELECT count(*) FROM outbox WHERE purpose = 0 AND envelope = x''";

/// Ana takes Cy out and in again six times: what began before counts no more, and four of it are kept.
#[test]
fn of_many_beginnings_four_are_kept_beside_the_last_fork_9() {
    let mut bench = group();
    for _ in 0..6 {
        remove(&mut bench, 0, &[2]).unwrap();
        bench.pass(MINUTE);
        add(&mut bench, 0, &[2]).unwrap();
        bench.pass(MINUTE);
    }
    assert_eq!(number(&mut bench, 2, "SELECT count(*) FROM root"), 4);
    say(&mut bench, 2, "in again").unwrap();
    bench.pass(MINUTE);
    assert!(said(&mut bench, 0).contains(&"in again".into()));
}

/// Hal, whom only Bo's lost commit lets in, hears nothing for two days, and writes on.
#[test]
fn who_does_not_hear_that_it_is_out_is_told_once_a_day_grp_24() {
    let mut apart = Apart::between(group(), [&[0, 2, 3], &[1, 7]]);
    apart.work(0, |bench| drop(remove(bench, 0, &[5]).unwrap()));
    apart.work(1, |bench| drop(add(bench, 1, &[7]).unwrap()));
    apart.halves = [vec![0, 2, 3], vec![7]];
    let ears = std::mem::take(&mut apart.bench.devices[7].listening);
    let mut told = Vec::new();
    for hours in [1, 20, 5, 0] {
        for text in ["does anybody hear me?", "hello?"] {
            say(&mut apart.bench, 7, text).unwrap();
            (0..2).for_each(|_| apart.exchange());
        }
        told.push(number(&mut apart.bench, 0, "SELECT said_at FROM outside"));
        apart.bench.pass(hours * HOUR);
    }
    assert_eq!([told[1], told[2]], [told[0]; 2], "within a day");
    assert!(told[3] >= told[0] + DAY.cast_signed(), "{told:?}");
    apart.bench.devices[7].listening = ears;
}

/// Where Ana's removal of Di lost to what Bo's half wrote, and neither is there.
fn without_admins(writers: &[usize], after: impl FnOnce(&mut Bench)) -> Apart {
    let mut apart = Apart::between(group(), [&[0], &[1, 2, 3, 4, 5]]);
    apart.work(0, |bench| drop(remove(bench, 0, &[3]).unwrap()));
    without_ana(apart, writers, after)
}

fn without_ana(mut apart: Apart, writers: &[usize], after: impl FnOnce(&mut Bench)) -> Apart {
    apart.work(1, |bench| {
        after(bench);
        for writer in writers {
            say(bench, *writer, "Bo's half").unwrap();
        }
    });
    apart.halves = [vec![], vec![2, 5]];
    [1, 3, 4].iter().for_each(|away| apart.bench.devices[*away].cut = true);
    (0..3).for_each(|_| apart.exchange());
    say(&mut apart.bench, 2, "not for Di").unwrap();
    apart
}

#[test]
fn where_nobody_does_a_removal_again_texts_wait_for_a_minute_fork_8() {
    let mut apart = without_admins(&[1, 2, 3, 4, 5], |bench| rename(bench, 1, "Bo's name for it"));
    assert_eq!(number(&mut apart.bench, 2, HELD), 1);
    apart.bench.pass(58 * SECOND);
    assert_eq!(number(&mut apart.bench, 2, HELD), 1, "a minute is not over");
    apart.bench.pass(10 * SECOND);
    assert_eq!(number(&mut apart.bench, 2, HELD), 0);
    apart.halves = [vec![], vec![2, 3, 5]];
    (0..3).for_each(|_| apart.pass());
    assert!(said(&mut apart.bench, 5).contains(&"not for Di".into()));
    assert!(!said(&mut apart.bench, 3).contains(&"not for Di".into()));
}

/// On Ana's branch Gus is new: who writes there keeps nothing from whom Ana has let in.
#[test]
fn who_is_new_on_the_removals_branch_mutes_nobody_fork_8() {
    let mut apart = Apart::between(group(), [&[0, 6], &[1, 2, 3, 4, 5]]);
    apart.work(0, |bench| {
        remove(bench, 0, &[3]).unwrap();
        bench.pass(MINUTE);
        add(bench, 0, &[6]).unwrap();
    });
    let mut apart = without_ana(apart, &[1, 2, 3, 4, 5], |bench| rename(bench, 1, "Bo's name for it"));
    apart.bench.pass(70 * SECOND);
    assert_eq!(number(&mut apart.bench, 2, HELD), 0);
    (0..3).for_each(|_| apart.pass());
    assert!(said(&mut apart.bench, 5).contains(&"not for Di".into()));
}

/// On the branch of either removal somebody is whom the other one removed.
#[test]
fn where_both_removed_somebody_and_nobody_does_it_again_texts_wait_while_the_branch_is_open_fork_8() {
    let mut apart = without_admins(&[1, 2, 5], |bench| drop(remove(bench, 1, &[4]).unwrap()));
    for wait in [HOUR, 20 * DAY] {
        [2, 5].iter().for_each(|device| apart.bench.greet(*device));
        apart.bench.pass(wait);
        apart.pass();
        assert_eq!(number(&mut apart.bench, 2, HELD), 1, "{wait}");
    }
    apart.bench.pass(12 * DAY);
    [2, 5].iter().for_each(|device| apart.bench.greet(*device));
    (0..9).for_each(|_| apart.pass());
    assert_eq!(number(&mut apart.bench, 2, HELD), 0);
    assert!(said(&mut apart.bench, 5).contains(&"not for Di".into()));
}
