//! What the courier itself makes of silence, and when a try is told no more.

use super::*;

fn why(desk: &Desk, n: u8) -> Vec<Missed> {
    let tries = desk.tried.get(&relay(n)).into_iter().flatten();
    tries.map(|of| of.why).collect()
}

#[test]
fn a_connection_that_stands_still_is_told_until_its_relay_answers_way_4() {
    let mut desk = Desk::new();
    desk.up(1, "a:1");
    desk.freeze(1);
    desk.turn();
    assert_eq!(why(&desk, 1), [], "it may go on");
    let first = desk.link(1);
    while desk.courier.relays[&relay(1)].links().contains(&first) {
        desk.turn();
        desk.wait(500);
    }
    assert_eq!(why(&desk, 1), [Missed::Frozen]);
    while desk.courier.relays[&relay(1)].links().is_empty() {
        desk.wait(100);
        desk.turn();
    }
    let next = desk.link(1);
    desk.open(next);
    desk.greet(next);
    desk.turn();
    assert_eq!(why(&desk, 1), []);
}

#[test]
fn a_dial_that_nothing_comes_of_is_told_way_4() {
    let mut desk = Desk::new();
    desk.errand(use_relay(1, "a:1"));
    let link = desk.dialled("a:1");
    desk.wait(DIAL_MS_MAX);
    desk.turn();
    assert_eq!(why(&desk, 1), [Missed::Silent]);
    let over = Input::Missed { link, why: Missed::Cut };
    desk.courier.handle_input(desk.now, over);
    desk.turn();
    assert_eq!(why(&desk, 1), [Missed::Silent], "nothing of one that is over");
}

#[test]
fn a_secret_that_is_not_taken_is_told_and_a_relay_that_is_forgotten_is_not_way_4() {
    let mut desk = Desk::new();
    desk.errand(use_relay(1, "a:1"));
    let link = desk.dialled("a:1");
    desk.open(link);
    let refused = FromRelay::Refused {
        request: 0,
        why: Refusal::Secret,
    };
    let frames = vec![refused];
    desk.courier.handle_input(desk.now, Input::Frames { link, frames });
    desk.turn();
    assert_eq!(why(&desk, 1), [Missed::Secret]);
    desk.errand(Errand::ForgetRelay(relay(1)));
    desk.turn();
    assert_eq!(why(&desk, 1), []);
}
