//! A group whose only owner does not come back: the others make one of them an owner, and nobody else can.

use crate::bench::Bench;
use crate::groups::{account, all_agree, chat, circle, create, give, group, names, number, say};
use stonechat_core::Input;
use stonechat_core::api::{Command, Fault, Group, GroupConsent, Role};
#[cfg(feature = "lab")]
use stonechat_core::defence::{Defence, without};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

fn wish(bench: &mut Bench, by: usize, candidate: usize) -> Command {
    Command::GroupConsent(GroupConsent {
        chat: chat(bench, by),
        member: account(bench, candidate),
    })
}

fn agree(bench: &mut Bench, by: usize, candidate: usize) -> Result<Group, Fault> {
    let wish = wish(bench, by, candidate);
    let reply = bench.ask(by, wish);
    bench.pass(6_000);
    group(reply)
}

/// Roles as a device knows them, by place.
fn roles(bench: &mut Bench, device: usize) -> Vec<u8> {
    bench.numbers(device, "SELECT role FROM seat WHERE place IS NOT NULL ORDER BY place")
}

/// Ana owns a group with Bo, Cy and Di, and was not heard for so long.
fn silent_for(days: u64) -> Bench {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    goes_away(&mut bench, days);
    bench
}

fn goes_away(bench: &mut Bench, days: u64) {
    say(bench, 0, "I am off").unwrap();
    bench.pass(HOUR);
    bench.devices[0].cut = true;
    for _ in 0..days {
        bench.pass(DAY);
        for device in 1..4 {
            bench.greet(device);
        }
    }
}

#[test]
fn where_no_owner_was_heard_for_30_days_all_of_three_make_one_of_them_an_owner_grp_19() {
    let mut bench = silent_for(29);
    assert_eq!(agree(&mut bench, 1, 1).unwrap_err(), Fault::OwnerHeard);
    bench.pass(2 * DAY);
    assert_eq!(
        agree(&mut bench, 1, 0).unwrap_err(),
        Fault::NotAllowed,
        "an owner is no candidate"
    );
    let proposed = agree(&mut bench, 2, 1).unwrap();
    assert_eq!((proposed.consents_needed, proposed.electors.len()), (3, 3));
    let seen = agree(&mut bench, 1, 1).unwrap();
    assert_eq!(
        (
            seen.successions.len(),
            seen.successions[0].agreed,
            seen.successions[0].mine
        ),
        (1, 2, true)
    );
    assert_eq!(
        roles(&mut bench, 1),
        [0, 3, 3, 3],
        "two of three are not more than two thirds"
    );
    agree(&mut bench, 3, 1).unwrap();
    bench.pass(HOUR);
    for device in 1..4 {
        assert_eq!(names(&mut bench, device), ["Ana", "Bo", "Cy", "Di"]);
        assert_eq!(roles(&mut bench, device), [0, 0, 3, 3], "{device}");
    }
    // What an owner may: here making an admin.
    give(&mut bench, 1, 2, Role::Admin).unwrap();
    bench.pass(HOUR);
    // Ana comes back, has lost nothing, and takes it back.
    bench.reconnect(0);
    bench.greet(0);
    bench.pass(2 * DAY);
    all_agree(&mut bench, &[0, 1, 2, 3]);
    give(&mut bench, 0, 1, Role::Member).unwrap();
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 1, 2, 3]);
    for device in 0..4 {
        assert_eq!(roles(&mut bench, device), [0, 1, 3, 3], "{device}");
    }
}

#[test]
fn who_is_no_elector_does_not_agree_and_what_was_agreed_is_over_when_an_owner_is_heard_grp_19() {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    give(&mut bench, 0, 3, Role::Reader).unwrap();
    goes_away(&mut bench, 31);
    assert_eq!(agree(&mut bench, 3, 1).unwrap_err(), Fault::NotAllowed);
    agree(&mut bench, 2, 1).unwrap();
    let kept = "SELECT count(*) FROM consent";
    assert_eq!([1, 2, 3].map(|device| number(&mut bench, device, kept)), [1; 3]);
    bench.reconnect(0);
    bench.greet(0);
    say(&mut bench, 0, "I am back").unwrap();
    bench.pass(HOUR);
    assert_eq!([1, 2, 3].map(|device| number(&mut bench, device, kept)), [0; 3]);
    assert_eq!(agree(&mut bench, 1, 1).unwrap_err(), Fault::OwnerHeard);
}

/// Bo's program takes its own consent and Cy's for enough.
#[cfg(feature = "lab")]
#[test]
pub(crate) fn two_of_three_make_nobody_an_owner_grp_18() {
    let mut bench = silent_for(31);
    agree(&mut bench, 2, 1).unwrap();
    let wish = wish(&mut bench, 1, 1);
    let outputs = without(Defence::Consents, || bench.devices[1].step(Input::Command(wish)));
    assert_eq!(roles(&mut bench, 1), [0, 0, 3, 3], "at Bo's");
    bench.release(1, outputs);
    bench.settle();
    bench.pass(HOUR);
    for device in [2, 3] {
        assert_eq!(roles(&mut bench, device), [0, 3, 3, 3], "{device}");
    }
    assert_eq!(
        number(&mut bench, 2, "SELECT count(*) FROM epoch WHERE class = 1 AND rank = 1"),
        0
    );
}
