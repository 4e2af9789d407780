//! A member makes commits without end: that is shown. What epochs keep has a limit in bytes.

use crate::bench::Bench;
use crate::forks::{alarms_in, change, number, renew};
use crate::groups::{chat, circle, create};

const HOUR: u64 = 3_600_000;
/// Whoever floods.
const CY: usize = 2;

/// A commit of Cy's that no rule of honest devices puts off.
fn another(bench: &mut Bench) {
    change(
        bench,
        CY,
        "UPDATE outbox SET purpose = 6 WHERE purpose = 4; UPDATE epoch SET made_at = 0",
    );
    renew(bench, CY);
    bench.settle();
}

/// Twelve in a day are none yet; who was away for long takes in many at once, and sees none either.
#[test]
fn what_waited_for_somebody_away_is_no_flood_alm_3() {
    let mut bench = circle(3);
    create(&mut bench, &[1, CY]);
    let there = chat(&mut bench, 1);
    for _ in 0..12 {
        another(&mut bench);
    }
    assert_eq!(alarms_in(&mut bench, 1, there), []);
    let ears = std::mem::take(&mut bench.devices[1].listening);
    let mut made = 0;
    while made < 20 {
        bench.pass(20 * HOUR);
        another(&mut bench);
        made += 1;
    }
    for (tag, cursor) in ears {
        bench.devices[1].listening.insert(tag, cursor);
    }
    bench.settle();
    bench.pass(HOUR);
    assert_eq!(alarms_in(&mut bench, 1, there), []);
    // What comes now comes all at once: the room that the days gave is used up.
    for _ in 0..40 {
        another(&mut bench);
    }
    let first = number(&mut bench, 1, "SELECT at FROM alarm WHERE kind = 3");
    // A flood of another day is shown anew.
    bench.pass(25 * HOUR);
    for _ in 0..20 {
        another(&mut bench);
    }
    let again = number(&mut bench, 1, "SELECT at FROM alarm WHERE kind = 3");
    assert!(again >= first + 24 * i64::try_from(HOUR).unwrap(), "{first} {again}");
}

/// What epochs keep has a limit in bytes as well: here rows stand for commits that bring much.
#[test]
fn epochs_that_take_more_than_64_mib_are_closed_epo_4() {
    let mut bench = Bench::friends();
    for device in [0, 1, 0, 1, 0, 1] {
        bench.pass(3 * HOUR);
        renew(&mut bench, device);
        bench.settle();
    }
    let open = "SELECT count(*) FROM epoch WHERE mailbox_root IS NOT NULL";
    assert_eq!(number(&mut bench, 0, open), 7);
    let much = "INSERT INTO epoch_row SELECT group_id, epoch_id, x'ff', zeroblob(12000000) FROM epoch";
    change(&mut bench, 0, much);
    bench.pass(3 * HOUR);
    renew(&mut bench, 1);
    bench.settle();
    assert_eq!(number(&mut bench, 0, open), 6, "five that take 12 MB, and the new one");
    let kept = "SELECT sum(length(value)) FROM epoch_row";
    assert!(number(&mut bench, 0, kept) <= 64 << 20);
    bench.say(1, 1, "goes on");
    assert_eq!(bench.texts(0), ["goes on"]);
}
