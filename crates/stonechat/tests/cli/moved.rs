//! A relay whose address is another one from one day to the next, with no name that leads to it.

use crate::harness::{Person, Relay, eventually, friends};

fn has(person: &Person, chat: &str, text: &str) -> Option<()> {
    person.run(&["messages", chat]).ok().contains(text).then_some(())
}

/// Two relays; one moves, and only Ana is given its new route. Then the other one ends.
#[test]
fn who_is_told_where_a_relay_has_moved_to_reaches_it_there_rel_7() {
    let (mut moves, mut ends) = (Relay::start(), Relay::start());
    let (mut ana, mut bo) = friends(&ends);
    ana.run(&["relays", "add", &moves.route]).ok();
    ana.run(&["send", "Bo", "one"]).ok();
    eventually("the first text", || has(&bo, "Ana", "one"));
    // Once Bo has heard of the relay he uses it.
    let uses = |person: &Person, relay: &Relay| person.run(&["relays"]).ok().contains(relay.address()).then_some(());
    eventually("Bo hears of the second relay", || uses(&bo, &moves));

    moves.move_away();
    ana.run(&["relays", "add", &moves.route]).ok();
    ana.run(&["send", "Bo", "two"]).ok();
    eventually("the second text", || has(&bo, "Ana", "two"));
    ends.stop();
    bo.run(&["send", "Ana", "by the one that moved"]).ok();
    eventually("a text by the relay that moved", || {
        has(&ana, "Bo", "by the one that moved")
    });

    // It is known after a start too.
    bo.serve();
    ana.serve();
    bo.run(&["send", "Ana", "after a start"]).ok();
    eventually("a text after a start", || has(&ana, "Bo", "after a start"));
}
