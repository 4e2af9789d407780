//! A removal that loses to a fork: until it is done again nobody writes what the removed could read (FORK-8).

use crate::behind::rename;
use crate::bench::Bench;
use crate::forks::renew;
use crate::groups::{circle, create, let_all_edit, names, remove, say, texts};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

/// Everybody may rename; Bo does while away, and Di renews. Then Ana removes Cy and goes: Bo's rename comes and wins where
/// they parted.
fn late_winner() -> Bench {
    let mut bench = circle(6);
    create(&mut bench, &[1, 2, 3, 4, 5]);
    let_all_edit(&mut bench, 0);
    bench.pass(HOUR);
    (0..6).for_each(|device| bench.greet(device));
    bench.settle();
    bench.lose(1);
    rename(&mut bench, 1, "Bo's name for it");
    renew(&mut bench, 3);
    bench.settle();
    bench.pass(HOUR);
    // Cy's program does not take in its removal.
    bench.devices[2].cut = true;
    remove(&mut bench, 0, &[2]).unwrap();
    bench.pass(HOUR);
    bench.lose(0);
    bench.greet(1);
    bench.reconnect(1);
    bench.pass(10 * MINUTE);
    bench
}

#[test]
pub(crate) fn nobody_writes_what_the_removed_reads_while_the_removal_is_lost_fork_8() {
    let mut bench = late_winner();
    assert!(names(&mut bench, 3).contains(&"Cy".to_owned()), "the removal has lost");
    say(&mut bench, 3, "secret").unwrap();
    say(&mut bench, 1, "secret too").unwrap();
    bench.pass(MINUTE);
    bench.lose_commits(0);
    bench.reconnect(2);
    bench.pass(MINUTE);
    let seen = texts(&mut bench, 2);
    assert!(!seen.iter().any(|text| text.contains("secret")), "{seen:?}");
    bench.greet(0);
    bench.reconnect(0);
    bench.pass(HOUR);
    for device in [0, 1, 3, 4, 5] {
        assert!(!names(&mut bench, device).contains(&"Cy".to_owned()), "{device}");
        let all = texts(&mut bench, device);
        let told = ["secret", "secret too"].map(|text| all.iter().filter(|shown| shown.ends_with(text)).count());
        assert_eq!(told, [1, 1], "{device}: {all:?}");
    }
    let seen = texts(&mut bench, 2);
    assert!(!seen.iter().any(|text| text.contains("secret")), "{seen:?}");
}
