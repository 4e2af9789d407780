//! What a commit did that lost is done again, and what must not be.

use crate::behind::{come_home, days, rename};
use crate::bench::Bench;
use crate::groups::{all_agree, chat, circle, create, give, names, number, remove, say, texts};
use stonechat_core::api::{Command, Fault, GroupEdit, Role};
use stonechat_wire::exchange::Parcel;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

/// Only admins write from now on.
pub(crate) fn lock(bench: &mut Bench, device: usize) {
    let wish = GroupEdit {
        chat: chat(bench, device),
        name: None,
        description: None,
        may_write: Some(Role::Admin),
        may_add: None,
        may_edit: None,
    };
    bench.ask(device, Command::GroupEdit(wish)).unwrap();
}

/// Ana owns the group, Bo and Di are admins, Cy is a member.
fn two_admins() -> Bench {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    for admin in [1, 3] {
        give(&mut bench, 0, admin, Role::Admin).unwrap();
        bench.pass(HOUR);
    }
    bench
}

/// Ana removes Bo, who removes Cy meanwhile; Di sees Bo's commit first.
#[test]
fn what_a_removed_admin_did_is_not_done_again_by_another_one_fork_7() {
    let mut bench = two_admins();
    bench.devices[0].cut = true;
    remove(&mut bench, 0, &[1]).unwrap();
    remove(&mut bench, 1, &[2]).unwrap();
    bench.pass(HOUR);
    assert_eq!(names(&mut bench, 3), ["Ana", "Bo", "Di"]);
    bench.reconnect(0);
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 2, 3]);
    assert_eq!(names(&mut bench, 0), ["Ana", "Di", "Cy"]);
}

#[test]
fn a_lock_that_lost_is_made_again_fork_7() {
    let mut bench = two_admins();
    bench.devices[0].cut = true;
    lock(&mut bench, 1);
    remove(&mut bench, 0, &[3]).unwrap();
    bench.reconnect(0);
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 1, 2]);
    assert_eq!(names(&mut bench, 0), ["Ana", "Bo", "Cy"]);
    assert_eq!(say(&mut bench, 2, "may I?").unwrap_err(), Fault::NotAllowed);
    say(&mut bench, 1, "listen").unwrap();
}

/// Cy removes Di out of reach; by the time he is back nobody can read that commit, and he is added again.
#[test]
fn a_removal_that_nobody_saw_is_made_again_by_whoever_was_added_again_fork_7() {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    give(&mut bench, 0, 2, Role::Admin).unwrap();
    bench.pass(HOUR);
    bench.devices[2].cut = true;
    remove(&mut bench, 2, &[3]).unwrap();
    for n in 0..20 {
        rename(&mut bench, 0, &format!("house {n}"));
        days(&mut bench, 2);
    }
    days(&mut bench, 60);
    come_home(&mut bench, 2);
    days(&mut bench, 2);
    all_agree(&mut bench, &[0, 1, 2]);
    assert_eq!(names(&mut bench, 0), ["Ana", "Cy", "Bo"]);
    assert_eq!(
        number(&mut bench, 3, "SELECT gone FROM conversation WHERE grouped = 1"),
        1
    );
}

/// Puts what this device has held back, and does not let it hear anything.
fn put(bench: &mut Bench, device: usize, held: Vec<Parcel>) {
    let ears = std::mem::take(&mut bench.devices[device].listening);
    bench.devices[device].held = held;
    bench.reconnect(device);
    bench.devices[device].cut = true;
    bench.devices[device].listening = ears;
    bench.pass(MINUTE);
}

/// Ana removes Bo, who removes Cy meanwhile, and has not seen what Cy wrote: by Bo's commit, as long as it counts, that is late.
#[test]
fn what_a_void_removal_cuts_off_is_in_time_grp_6() {
    let mut bench = two_admins();
    bench.devices[0].cut = true;
    bench.devices[2].cut = true;
    remove(&mut bench, 0, &[1]).unwrap();
    let [one, two] = ["one", "two"].map(|text| {
        say(&mut bench, 2, text).unwrap();
        std::mem::take(&mut bench.devices[2].held)
    });
    remove(&mut bench, 1, &[2]).unwrap();
    bench.pass(MINUTE);
    put(&mut bench, 2, one);
    assert_eq!(texts(&mut bench, 3), ["! one"]);
    bench.reconnect(0);
    bench.pass(MINUTE);
    assert_eq!(texts(&mut bench, 3), ["one"]);
    put(&mut bench, 2, two);
    for device in [0, 3] {
        assert_eq!(texts(&mut bench, device), ["one", "two"], "{device}");
    }
    bench.reconnect(2);
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 2, 3]);
    for device in [0, 2, 3] {
        let late = "SELECT count(*) FROM message WHERE late = 1";
        assert_eq!(number(&mut bench, device, late), 0, "{device}");
    }
}
