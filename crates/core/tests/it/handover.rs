//! A group that is handed over: its owner steps down, and what then holds.

use crate::groups::{all_agree, circle, create, give, names, number, remove};
use stonechat_core::api::{Fault, Role};

#[test]
fn an_owner_hands_the_group_over_and_is_a_member_like_others_grp_14() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    assert_eq!(give(&mut bench, 0, 0, Role::Member).unwrap_err(), Fault::LastOwner);
    give(&mut bench, 0, 1, Role::Owner).unwrap();
    bench.pass(6_000);
    give(&mut bench, 0, 0, Role::Member).unwrap();
    bench.pass(6_000);
    all_agree(&mut bench, &[0, 1, 2]);
    assert_eq!(names(&mut bench, 2), ["Bo", "Ana", "Cy"]);
    assert_eq!(remove(&mut bench, 0, &[2]).unwrap_err(), Fault::NotAllowed);
    assert_eq!(give(&mut bench, 0, 0, Role::Owner).unwrap_err(), Fault::NotAllowed);
    // Who may not at all is not told to look for another owner first.
    assert_eq!(give(&mut bench, 0, 1, Role::Member).unwrap_err(), Fault::NotAllowed);
    assert_eq!(give(&mut bench, 1, 1, Role::Admin).unwrap_err(), Fault::LastOwner);
    remove(&mut bench, 1, &[0]).unwrap();
    bench.pass(6_000);
    assert_eq!(names(&mut bench, 2), ["Bo", "Cy"]);
}

#[test]
fn two_owners_who_step_down_apart_leave_one_grp_14() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    give(&mut bench, 0, 1, Role::Owner).unwrap();
    bench.pass(6_000);
    bench.devices[1].cut = true;
    give(&mut bench, 1, 1, Role::Member).unwrap();
    give(&mut bench, 0, 0, Role::Member).unwrap();
    bench.reconnect(1);
    bench.pass(3_600_000);
    all_agree(&mut bench, &[0, 1, 2]);
    for device in 0..3 {
        let owners = "SELECT count(*) FROM seat WHERE place IS NOT NULL AND role = 0";
        assert_eq!(number(&mut bench, device, owners), 1, "{device}");
    }
}
