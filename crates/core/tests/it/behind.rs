//! Members who stayed behind: commits are put again for them by whoever has them.

use crate::bench::Bench;
use crate::groups::{chat, circle, create, head, say};
use stonechat_core::api::{Command, GroupEdit};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

fn rename(bench: &mut Bench, device: usize, name: &str) {
    let wish = GroupEdit {
        chat: chat(bench, device),
        name: Some(name.into()),
        description: None,
        may_write: None,
        may_add: None,
        may_edit: None,
    };
    bench.ask(device, Command::GroupEdit(wish)).unwrap();
}

/// Commits that this device has handed out.
fn commits(bench: &Bench, device: usize) -> usize {
    let parcels = bench.devices[device].sent.iter();
    parcels.filter(|parcel| parcel.ttl_s == 60 * 24 * 3600).count()
}

/// A group of four; the first makes a commit that the third never gets, and goes away.
fn left_behind() -> Bench {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    bench.pass(MINUTE);
    let ears = std::mem::take(&mut bench.devices[2].listening);
    rename(&mut bench, 0, "another house");
    bench.lose_commits(0);
    bench.devices[0].cut = true;
    bench.devices[2].listening = ears;
    bench
}

#[test]
fn a_commit_whose_author_is_away_is_put_again_by_one_of_the_others_epo_7() {
    let mut bench = left_behind();
    bench.pass(2 * HOUR);
    assert_ne!(head(&mut bench, 2), head(&mut bench, 1));
    let before = commits(&bench, 1) + commits(&bench, 3);
    say(&mut bench, 2, "where is everybody?").unwrap();
    bench.pass(9 * MINUTE);
    assert_ne!(
        head(&mut bench, 2),
        head(&mut bench, 1),
        "it has ten minutes to catch up by itself"
    );
    bench.pass(2 * MINUTE);
    assert_eq!(head(&mut bench, 2), head(&mut bench, 1));
    assert_eq!(commits(&bench, 1) + commits(&bench, 3) - before, 1, "one is enough");
}

#[test]
fn a_commit_is_put_for_others_once_a_day_epo_7() {
    let mut bench = left_behind();
    bench.devices[2].listening.clear();
    bench.pass(2 * HOUR);
    let before = commits(&bench, 1) + commits(&bench, 3);
    for n in 0..8 {
        say(&mut bench, 2, &format!("{n}")).unwrap();
        bench.pass(20 * MINUTE);
    }
    assert!(commits(&bench, 1) + commits(&bench, 3) - before <= 2, "each once");
}

#[test]
fn nobody_puts_a_commit_again_that_is_new_or_was_followed_meanwhile_epo_7() {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    bench.pass(MINUTE);
    let ears = std::mem::take(&mut bench.devices[2].listening);
    rename(&mut bench, 0, "another house");
    say(&mut bench, 2, "I know nothing of it yet").unwrap();
    bench.devices[2].listening = ears.clone();
    bench.settle();
    bench.pass(30 * MINUTE);
    bench.devices[2].listening.clear();
    rename(&mut bench, 0, "a third house");
    bench.pass(2 * HOUR);
    let before: usize = (0..4).map(|device| commits(&bench, device)).sum();
    say(&mut bench, 2, "nor of that").unwrap();
    bench.devices[2].core.forget();
    let outputs = bench.devices[2].step(stonechat_core::Input::Started);
    bench.release(2, outputs);
    bench.settle();
    assert_eq!(head(&mut bench, 2), head(&mut bench, 1));
    bench.pass(HOUR);
    let after: usize = (0..4).map(|device| commits(&bench, device)).sum();
    assert_eq!(before, after);
}
