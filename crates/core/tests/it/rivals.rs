//! Commits that come late to an epoch where everybody has moved on: by somebody who has moved on itself (FORK-5), and by
//! somebody who has made another one there (FORK-6).

use crate::behind::rename;
use crate::bench::Bench;
use crate::forks::{change, number, renew};
use crate::groups::{circle, create, head, let_all_edit, say};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

/// Ana, Bo, Cy and Di, who all may change the group. Out: and the epoch where they stand.
fn all_may_edit() -> (Bench, String) {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    let_all_edit(&mut bench, 0);
    bench.pass(HOUR);
    let parent = hex::encode(head(&mut bench, 0));
    (bench, parent)
}

fn rivals(bench: &mut Bench, device: usize, parent: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM epoch WHERE parent = x'{parent}'");
    number(bench, device, &sql)
}

/// Ana renews. Di follows her, writes there, and then makes a commit on the epoch before, which goes first by its class.
#[test]
pub(crate) fn who_has_moved_on_draws_nobody_back_to_a_late_rival_fork_5() {
    let (mut bench, parent) = all_may_edit();
    renew(&mut bench, 0);
    bench.settle();
    say(&mut bench, 3, "moved on").unwrap();
    bench.pass(MINUTE);
    let stays = head(&mut bench, 0);
    let back = format!("UPDATE conversation SET head = x'{parent}' WHERE grouped = 1");
    change(&mut bench, 3, &back);
    rename(&mut bench, 3, "Di's house");
    bench.pass(MINUTE);
    for device in 0..3 {
        assert_eq!(rivals(&mut bench, device, &parent), 2, "{device} knows both");
        assert_eq!(head(&mut bench, device), stays, "{device}");
    }
}

/// Bo shows one of two commits, and the others write behind it: more than two thirds. Then he shows the other one, which is
/// the lower.
#[test]
pub(crate) fn of_two_commits_by_one_member_the_lower_counts_whoever_wrote_where_fork_6() {
    let (mut bench, parent) = all_may_edit();
    bench.devices[1].cut = true;
    rename(&mut bench, 1, "Bo's house");
    let (lower, kept_back) = (head(&mut bench, 1), std::mem::take(&mut bench.devices[1].held));
    let back = format!(
        "UPDATE conversation SET head = x'{parent}' WHERE grouped = 1; DELETE FROM outbox;
         DELETE FROM epoch WHERE parent = x'{parent}'; DELETE FROM epoch_row WHERE object = x'{}'",
        hex::encode(&lower)
    );
    change(&mut bench, 1, &back);
    renew(&mut bench, 1);
    bench.devices[1].listening.clear();
    bench.reconnect(1);
    for device in [0, 2, 3] {
        say(&mut bench, device, "behind the higher one").unwrap();
    }
    bench.pass(MINUTE);
    for device in [0, 2, 3] {
        assert_eq!(rivals(&mut bench, device, &parent), 1, "{device} knows one");
        assert_ne!(head(&mut bench, device), lower, "{device}");
    }
    bench.devices[1].held = kept_back;
    bench.reconnect(1);
    bench.pass(MINUTE);
    for device in [0, 2, 3] {
        assert_eq!(rivals(&mut bench, device, &parent), 2, "{device} knows both");
        assert_eq!(head(&mut bench, device), lower, "{device}");
    }
}
