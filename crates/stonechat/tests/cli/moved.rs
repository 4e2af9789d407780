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

    let first = moves.address().to_owned();
    moves.move_away();
    ana.run(&["relays", "add", &moves.route]).ok();
    ana.run(&["send", "Bo", "two"]).ok();
    eventually("the second text", || has(&bo, "Ana", "two"));
    // He sees who said the new address.
    let line = format!("  also at {}, said by Ana", moves.address());
    eventually("who said the address", || {
        bo.run(&["relays"])
            .ok()
            .lines()
            .any(|of| of.starts_with(&line))
            .then_some(())
    });
    ends.stop();
    bo.run(&["send", "Ana", "by the one that moved"]).ok();
    eventually("a text by the relay that moved", || {
        has(&ana, "Bo", "by the one that moved")
    });

    eventually("that he is connected there", || {
        bo.run(&["relays"])
            .ok()
            .contains(&format!("{line}, in use"))
            .then_some(())
    });
    // It is known after a start too.
    bo.serve();
    ana.serve();
    bo.run(&["send", "Ana", "after a start"]).ok();
    eventually("a text after a start", || has(&ana, "Bo", "after a start"));

    // Given up it is no way any more.
    let (relay, address) = (first.as_str(), moves.address());
    for (relay, address, why) in [
        (relay, "192.0.2.1:1", "no further address"),
        ("nowhere", address, "no relay"),
    ] {
        let done = bo.run(&["relays", "forget-address", relay, address]);
        assert!(done.code != 0 && done.err.contains(why), "{done:?}");
    }
    bo.run(&["relays", "forget-address", relay, address]).ok();
    bo.run(&["send", "Ana", "nowhere to put it"]).ok();
    assert!(!bo.run(&["relays"]).ok().contains(address));
    assert!(has(&ana, "Bo", "nowhere to put it").is_none());
}
