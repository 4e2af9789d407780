//! Who leaves a group while its halves are apart: whom that keeps in, or takes out, when they have met (GRP-7).

use crate::groups::{add, all_agree, chat, remove, say};
use crate::halves::{Apart, group};
use crate::placed::{HOUR, MINUTE, is_out, meet, reads, sorted_names};
use stonechat_core::api::{ByChat, Command};

/// Bo removes Cy and leaves; Ana's half wins and hears both at once.
#[test]
fn who_removes_somebody_and_leaves_has_removed_it_grp_7() {
    let mut apart = Apart::between(group(), [&[0, 5], &[1, 3]]);
    apart.work(0, |bench| drop(remove(bench, 0, &[4]).unwrap()));
    apart.work(1, |bench| {
        remove(bench, 1, &[2]).unwrap();
        bench.pass(MINUTE);
        say(bench, 3, "not for Cy").unwrap();
        bench.pass(MINUTE);
        let chat = chat(bench, 1);
        bench.ask(1, Command::GroupLeave(ByChat { chat })).unwrap();
    });
    apart.halves = [vec![0, 5], vec![3]];
    (0..3).for_each(|_| apart.pass());
    apart.halves = [vec![0, 5], vec![2, 3]];
    let mut bench = apart.meet();
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 3, 5]);
    assert_eq!(sorted_names(&mut bench, 0), ["Ana", "Di", "Flo"]);
    assert!(reads(&mut bench, 0, "not for Cy") && is_out(&mut bench, 2) && !reads(&mut bench, 2, "not for Cy"));
}

/// The same where no admin is there for two days: members take nobody out who has left before Ana has removed Cy again.
#[test]
fn a_leave_waits_for_what_who_leaves_has_removed_grp_7() {
    let mut apart = Apart::between(group(), [&[0, 5], &[1, 3]]);
    apart.work(0, |bench| drop(remove(bench, 0, &[4]).unwrap()));
    apart.work(1, |bench| {
        remove(bench, 1, &[2]).unwrap();
        bench.pass(MINUTE);
        let chat = chat(bench, 1);
        bench.ask(1, Command::GroupLeave(ByChat { chat })).unwrap();
    });
    apart.halves = [vec![5], vec![3]];
    for _half_a_day in 0..4 {
        (0..2).for_each(|_| apart.pass());
        apart.bench.pass(12 * HOUR);
    }
    apart.halves = [vec![0, 5], vec![3]];
    let mut bench = apart.meet();
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 3, 5]);
    assert_eq!(sorted_names(&mut bench, 0), ["Ana", "Di", "Flo"]);
}

/// Flo leaves in Bo's half, and is taken back there: Ana's device does not take her out by the word of before.
#[test]
fn who_left_and_came_back_in_one_half_stays_in_both_grp_7() {
    let mut bench = group();
    meet(&mut bench, 1, 5);
    let mut apart = Apart::between(bench, [&[0, 2, 4], &[1, 3, 5]]);
    apart.work(0, |bench| drop(remove(bench, 0, &[4]).unwrap()));
    apart.work(1, |bench| {
        let chat = chat(bench, 5);
        bench.ask(5, Command::GroupLeave(ByChat { chat })).unwrap();
        bench.pass(HOUR);
        assert!(is_out(bench, 5));
        add(bench, 1, &[5]).unwrap();
        bench.pass(MINUTE);
        say(bench, 5, "back").unwrap();
    });
    let mut bench = apart.meet();
    bench.pass(HOUR);
    assert_eq!(sorted_names(&mut bench, 0), ["Ana", "Bo", "Cy", "Di", "Flo"]);
    all_agree(&mut bench, &[0, 1, 2, 3, 5]);
    say(&mut bench, 5, "still here").unwrap();
    bench.pass(HOUR);
    assert!(reads(&mut bench, 0, "still here") && reads(&mut bench, 0, "back"));
}

/// Bo removes Flo and takes her back; she leaves in Ana's half, where nobody has taken her out yet. What Bo did is no coming
/// back: it carried no leave out.
#[test]
fn who_leaves_is_kept_by_nobody_who_did_not_carry_it_out_grp_7() {
    let mut bench = group();
    meet(&mut bench, 1, 5);
    let mut apart = Apart::between(bench, [&[0, 2, 5], &[1, 3]]);
    apart.work(1, |bench| {
        remove(bench, 1, &[5]).unwrap();
        bench.pass(MINUTE);
        add(bench, 1, &[5]).unwrap();
    });
    apart.work(0, |bench| {
        remove(bench, 0, &[4]).unwrap();
        bench.pass(MINUTE);
        bench.devices[0].cut = true;
        let chat = chat(bench, 5);
        bench.ask(5, Command::GroupLeave(ByChat { chat })).unwrap();
    });
    apart.halves[0] = vec![0, 2];
    let mut bench = apart.meet();
    assert!(sorted_names(&mut bench, 0).contains(&"Flo".into()));
    bench.pass(HOUR);
    assert_eq!(sorted_names(&mut bench, 0), ["Ana", "Bo", "Cy", "Di"]);
    all_agree(&mut bench, &[0, 1, 2, 3]);
}

/// Bo, whom Ana removes, carries out Flo's leave and takes her back: nobody has come back by that.
#[test]
fn who_leaves_is_kept_by_no_void_commit_grp_7() {
    let mut bench = group();
    meet(&mut bench, 1, 5);
    let mut apart = Apart::between(bench, [&[0, 2, 3, 4], &[1, 5]]);
    apart.work(0, |bench| drop(remove(bench, 0, &[1]).unwrap()));
    apart.work(1, |bench| {
        let chat = chat(bench, 5);
        bench.ask(5, Command::GroupLeave(ByChat { chat })).unwrap();
        bench.pass(HOUR);
        add(bench, 1, &[5]).unwrap();
    });
    let mut bench = apart.meet();
    bench.pass(HOUR);
    assert_eq!(sorted_names(&mut bench, 0), ["Ana", "Cy", "Di", "Ed"]);
    all_agree(&mut bench, &[0, 2, 3, 4]);
}
