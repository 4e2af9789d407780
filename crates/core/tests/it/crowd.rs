//! Large groups: what one text costs in receipts, and how often a group of daily writers commits and forks.
//!
//! `./test` runs a small one of each; `STONECHAT_CROWD=256`, `STONECHAT_WRITERS=40` and `STONECHAT_DAYS=30` the whole
//! (`./test --long`).

use crate::bench::{Bench, Device};
use crate::forks::change;
use crate::groups::{all_agree, circle, create, give, head, number, say, texts};
use std::collections::{BTreeMap, BTreeSet};
use stonechat_core::Input;
use stonechat_core::api::Role;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// A text of so many bytes.
const TEXT_BYTES: usize = 30;
/// What it may cause in receipts of everybody.
const RECEIPT_BYTES_MAX: usize = 10_000;
const COMMITS_A_DAY_MAX: usize = 8;
const HEADS_MAX: usize = 4;
const AWAY_HOURS: usize = 20;

fn size(name: &str, small: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(small)
}

#[test]
pub(crate) fn one_text_in_a_crowd_causes_ten_kilobytes_of_receipts_rcp_5() {
    let count = size("STONECHAT_CROWD", 24);
    let mut bench = circle(count);
    create(&mut bench, &(1..count).collect::<Vec<_>>());
    bench.pass(HOUR);
    let before: Vec<usize> = bench.devices.iter().map(|device| device.sent.len()).collect();
    say(&mut bench, 3, &"x".repeat(TEXT_BYTES)).unwrap();
    bench.pass(2 * HOUR);
    let told = bench
        .devices
        .iter()
        .zip(before)
        .enumerate()
        .filter(|(who, _)| *who != 3);
    let told: Vec<usize> = told.map(|(_, (device, before))| bytes(device, before)).collect();
    let (sum, speakers) = (
        told.iter().sum::<usize>(),
        told.iter().filter(|bytes| **bytes > 0).count(),
    );
    println!("{count} members: {sum} bytes of receipts from {speakers}");
    assert!(sum > 0 && sum <= RECEIPT_BYTES_MAX, "{sum} bytes");
    assert!(speakers <= 5, "{speakers}");
    for device in (0..count).filter(|device| *device != 3) {
        assert_eq!(texts(&mut bench, device), ["x".repeat(TEXT_BYTES)], "{device}");
    }
    let state = "SELECT state FROM message WHERE mine = 1 AND kind = 0";
    assert_eq!(number(&mut bench, 3, state), 2);
}

/// Everything that a device has sent since.
fn bytes(device: &Device, before: usize) -> usize {
    device.sent[before..]
        .iter()
        .map(|parcel| parcel.envelope.bytes().len())
        .sum()
}

/// Everybody writes once a day; a fourth of them do so out of reach of the relay, for twenty hours.
#[test]
fn daily_writers_make_eight_commits_a_day_and_never_more_than_four_heads_rnw_2() {
    let (count, days) = (size("STONECHAT_WRITERS", 12), size("STONECHAT_DAYS", 5));
    let mut bench = circle(count);
    create(&mut bench, &(1..count).collect::<Vec<_>>());
    let (mut made, mut heads_most) = (BTreeMap::new(), 0);
    for day in 0..days {
        for hour in 0..24 {
            hour_of_writing(&mut bench, count, day, hour);
            heads_most = heads_most.max(heads(&mut bench, count));
        }
        (0..count).for_each(|who| made.extend(made_by(&mut bench, who)));
    }
    let commits_most = in_a_day(made.into_values().collect());
    println!("{count} writers, {days} days: {commits_most} commits on the busiest day, {heads_most} heads at most");
    assert!(
        commits_most > 0 && commits_most <= COMMITS_A_DAY_MAX,
        "{commits_most} commits"
    );
    assert!(heads_most <= HEADS_MAX, "{heads_most} heads");
    (0..count).for_each(|who| bench.reconnect(who));
    bench.pass(DAY);
    let everybody: Vec<usize> = (0..count).collect();
    all_agree(&mut bench, &everybody);
    for device in everybody {
        assert_eq!(texts(&mut bench, device).len(), count * days, "{device}");
    }
}

/// A renewal that lost to a fork is made up for before writing, but neither as the ninth commit of a day nor where nobody
/// would see it.
#[test]
fn what_lost_is_made_up_for_only_where_the_day_has_room_rnw_4() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    for role in [Role::Moderator, Role::Member].repeat(4) {
        give(&mut bench, 0, 2, role).unwrap();
    }
    assert_eq!(made_by_writing(&mut bench), 0, "the day is full");
    bench.pass(30 * HOUR);
    assert_eq!(made_by_writing(&mut bench), 1);
    bench.pass(4 * HOUR);
    bench.devices[1].cut = true;
    say(&mut bench, 1, "waits").unwrap();
    bench.pass(2 * HOUR);
    assert_eq!(made_by_writing(&mut bench), 0, "out of reach");
}

/// It would commit on an epoch on which others commit at the same time, and nobody would see it.
#[test]
fn who_has_lost_the_relay_renews_nothing_until_it_is_back_rnw_5() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    bench.lose(1);
    let before = made_by(&mut bench, 1).len();
    bench.pass(4 * DAY);
    assert_eq!(made_by(&mut bench, 1).len(), before);
    assert!(made_by(&mut bench, 2).len() > 1);
    bench.reconnect(1);
    bench.greet(1);
    bench.pass(DAY);
    assert!(made_by(&mut bench, 1).len() > before);
}

/// What others did meanwhile lies at the relay: a commit beside it would be a fork, and perhaps on an epoch that they have
/// closed.
#[test]
fn who_starts_after_a_long_time_reads_before_it_renews_rnw_5() {
    let mut bench = circle(2);
    let ears = std::mem::take(&mut bench.devices[1].listening);
    bench.devices[1].wake_at = None;
    bench.pass(20 * DAY);
    let before = "SELECT count(*) FROM epoch WHERE author = (SELECT account FROM account) AND commit_hash IS NOT NULL";
    let made = number(&mut bench, 1, before);
    let outputs = bench.devices[1].step(Input::Started);
    bench.release(1, outputs);
    assert_eq!(number(&mut bench, 1, before), made, "it renewed before it read");
    bench.devices[1].listening = ears;
    bench.greet(1);
    assert_eq!(number(&mut bench, 1, before), made, "it renewed before it read");
    bench.settle();
    bench.pass(12 * HOUR);
    assert_eq!(number(&mut bench, 1, before), made + 1);
    let forks =
        "SELECT count(*) FROM (SELECT 1 FROM epoch WHERE parent IS NOT NULL GROUP BY parent HAVING count(*) > 1)";
    assert_eq!(number(&mut bench, 0, forks), 0);
}

/// How many commits the second device makes because it writes, after one of its renewals has lost.
fn made_by_writing(bench: &mut Bench) -> i64 {
    let mine = "SELECT count(*) FROM epoch WHERE author = (SELECT account FROM account) AND parent IS NOT NULL
                AND group_id = (SELECT group_id FROM conversation WHERE grouped = 1)";
    change(bench, 1, "UPDATE conversation SET renew_lost = 1 WHERE grouped = 1");
    let before = number(bench, 1, mine);
    say(bench, 1, "I write").unwrap();
    number(bench, 1, mine) - before
}

fn hour_of_writing(bench: &mut Bench, count: usize, day: usize, hour: usize) {
    let at = day * 24 + hour;
    for who in 0..count {
        if at >= AWAY_HOURS && writes(who, at - AWAY_HOURS) && bench.devices[who].cut {
            bench.greet(who);
            bench.reconnect(who);
        }
        if writes(who, at) {
            if (who + day).is_multiple_of(4) {
                bench.lose(who);
            }
            say(bench, who, &format!("day {day} of {who}")).unwrap();
        }
    }
    bench.pass(HOUR);
}

/// The epochs that a device's commits have made, and when; also on branches that lost.
fn made_by(bench: &mut Bench, device: usize) -> Vec<(Vec<u8>, u64)> {
    let tx = bench.devices[device].store.begin().unwrap();
    let mut rows = tx
        .prepare(
            "SELECT epoch_id, made_at FROM epoch WHERE author = (SELECT account FROM account) AND commit_hash IS NOT NULL
             AND group_id = (SELECT group_id FROM conversation WHERE grouped = 1)",
        )
        .unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())));
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

/// The most of these moments that lie within one day.
fn in_a_day(mut moments: Vec<u64>) -> usize {
    moments.sort_unstable();
    let within = |first: &u64| moments.iter().filter(|at| (*first..first + DAY).contains(*at)).count();
    moments.iter().map(within).max().unwrap_or(0)
}

fn writes(who: usize, hour: usize) -> bool {
    (who * 7 + hour / 24 * 5) % 24 == hour % 24
}

/// How many branches are written to at this moment: epochs of which none descends from another. Who was cut off and is
/// merely behind is on no branch of its own.
fn heads(bench: &mut Bench, count: usize) -> usize {
    let heads: BTreeSet<Vec<u8>> = (0..count).map(|device| head(bench, device)).collect();
    if heads.len() <= HEADS_MAX {
        return heads.len();
    }
    let parents: BTreeMap<Vec<u8>, Vec<u8>> = (0..count).flat_map(|device| parents(bench, device)).collect();
    let mut passed = BTreeSet::new();
    for head in &heads {
        passed.extend(std::iter::successors(parents.get(head), |epoch| parents.get(*epoch)));
    }
    heads.iter().filter(|head| !passed.contains(head)).count()
}

/// Each epoch that a device knows, and the one before it.
fn parents(bench: &mut Bench, device: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let tx = bench.devices[device].store.begin().unwrap();
    let mut rows = tx
        .prepare("SELECT epoch_id, parent FROM epoch WHERE parent IS NOT NULL")
        .unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}
