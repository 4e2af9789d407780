//! Two hops: which relay is dialled through which other, and when.

use stonechat_wire::frame::FORWARDS;

use super::near::near_relay;
use super::*;

/// A dial or a relief: whose link, the way, and the channel.
#[derive(Debug, PartialEq, Eq)]
struct Gone {
    link: LinkId,
    way: String,
    hop: Option<Hop>,
}

fn going(desk: &mut Desk) -> Vec<Gone> {
    let dials = desk.turn().into_iter().filter_map(|output| match output {
        Output::Dial { link, address, hop, .. } | Output::Relieve { link, address, hop, .. } => Some(Gone {
            link,
            way: address,
            hop,
        }),
        _ => None,
    });
    dials.collect()
}

/// All of them within so many ms; each fails for that reason.
fn failing(desk: &mut Desk, ms: u64, why: Lost) -> Vec<Gone> {
    let (until, mut all) = (desk.now.plus_ms(ms), Vec::new());
    while desk.now < until {
        for gone in going(desk) {
            let link = gone.link;
            desk.courier.handle_input(desk.now, Input::Lost { link, why });
            all.push(gone);
        }
        desk.wait(100);
    }
    all
}

fn via(place: &str, n: u8) -> String {
    format!("{place}@via/{:032x}", u128::from_be_bytes([n; 16]))
}

/// A relay that passes on is up.
fn helper_up(desk: &mut Desk, n: u8) {
    desk.errand(use_relay(n, &format!("helper{n}:1")));
    let link = desk.dialled(&format!("helper{n}:1"));
    greet_helper(desk, link);
    desk.turn();
}

fn greet_helper(desk: &mut Desk, link: LinkId) {
    desk.open(link);
    let hello = FromRelay::Hello {
        version: 1,
        features: FORWARDS,
        time_ms: 77,
    };
    let frames = vec![hello];
    desk.courier.handle_input(desk.now, Input::Frames { link, frames });
}

/// A sign of life.
fn alive(desk: &mut Desk, n: u8) {
    let link = desk.link(n);
    desk.courier.handle_input(desk.now, Input::Heard { link });
}

/// The first way through a helper that a relay is dialled or relieved by; other ways fail.
fn first_helped(desk: &mut Desk, ms: u64) -> Option<Gone> {
    let until = desk.now.plus_ms(ms);
    while desk.now < until {
        for gone in going(desk) {
            if gone.hop.is_some() {
                return Some(gone);
            }
            let (link, why) = (gone.link, Lost::Broken);
            let is_up = desk
                .courier
                .relays
                .values()
                .any(|relay| relay.is_up() && relay.links().contains(&link));
            let input = if is_up {
                Input::NotRelieved { link, why }
            } else {
                Input::Lost { link, why }
            };
            desk.courier.handle_input(desk.now, input);
        }
        desk.wait(100);
    }
    None
}

/// Relay 1 is up through helper 9.
fn helped() -> Desk {
    let mut desk = Desk::new();
    helper_up(&mut desk, 9);
    desk.errand(use_relay(1, "https://a:443"));
    let gone = first_helped(&mut desk, 60_000).expect("a way through the helper");
    desk.open(gone.link);
    desk.greet(gone.link);
    desk.take_news();
    desk
}

#[test]
fn a_relay_that_does_not_answer_is_reached_through_one_that_passes_on_fwd_7() {
    let mut desk = Desk::new();
    helper_up(&mut desk, 9);
    let hop = Hop {
        link: desk.link(9),
        relay: relay(1),
    };
    desk.errand(use_relay(1, "https://a:443"));
    desk.errand(use_relay(1, "https://a:443,192.0.2.7:443"));
    let gone = failing(&mut desk, 5_000, Lost::Broken);
    let ways: Vec<_> = gone.iter().map(|gone| (gone.way.as_str(), gone.hop)).collect();
    let through = via("https://a:443", 9);
    assert_eq!(ways[0], ("https://a:443", None), "its own first");
    assert_eq!(ways[1], ("https://a:443@192.0.2.7:443", None));
    let first = ways.iter().position(|way| way.1.is_some()).unwrap();
    assert_eq!(ways[first], (through.as_str(), Some(hop)));
    assert!((3..=4).contains(&first), "after a round of its own: {ways:?}");
}

#[test]
fn nobody_is_asked_while_its_own_ways_answer_or_nobody_passes_on_fwd_7() {
    let mut desk = Desk::new();
    helper_up(&mut desk, 9);
    desk.up(1, "a:1");
    desk.up(2, "b:1");
    assert!(!desk.turn().iter().any(|output| matches!(output, Output::Dial { .. })));
    desk.errand(use_relay(3, "c:1"));
    desk.lose_relay(9);
    let gone = failing(&mut desk, 60_000, Lost::Broken);
    assert!(
        gone.iter().all(|gone| gone.hop.is_none()),
        "relays 1 and 2 say nothing of passing on: {gone:?}"
    );
}

#[test]
fn a_frozen_connection_that_its_own_ways_do_not_relieve_goes_on_through_another_fwd_7() {
    let mut desk = Desk::new();
    helper_up(&mut desk, 9);
    desk.up(1, "a:1");
    let link = desk.link(1);
    desk.freeze(1);
    alive(&mut desk, 9);
    let gone = first_helped(&mut desk, 10_000).expect("a way through the helper");
    assert_eq!((gone.link, gone.way), (link, via("a:1", 9)));
    desk.courier.handle_input(desk.now, Input::Relieved { link });
    desk.turn();
    assert_eq!(
        desk.courier.remembered().address(&relay(1)),
        Some(via("a:1", 9).as_str())
    );
}

#[test]
fn what_worked_through_another_is_begun_with_as_soon_as_that_one_is_there_fwd_7() {
    let mut desk = helped().restarted();
    desk.errand(use_relay(1, "https://a:443"));
    desk.errand(use_relay(9, "helper9:1"));
    let dials = going(&mut desk);
    let (own, other) = (&dials[0], &dials[1]);
    assert_eq!((own.way.as_str(), other.way.as_str()), ("https://a:443", "helper9:1"));
    desk.wait(400);
    greet_helper(&mut desk, other.link);
    let gone = first_helped(&mut desk, 1_000).expect("at once: its own way is still being tried");
    assert_eq!(gone.way, via("https://a:443", 9));
    // On another network nothing of that is known.
    desk.courier.handle_input(desk.now, Input::Network(NetworkId([9; 16])));
    assert!(!desk.courier.relays[&relay(1)].wants_help());
}

#[test]
fn never_through_one_that_is_reached_through_another_fwd_8() {
    let mut desk = Desk::new();
    helper_up(&mut desk, 9);
    desk.errand(use_relay(1, "https://a:443"));
    let gone = first_helped(&mut desk, 60_000).expect("a way through the helper");
    // It passes on itself, and so does the one before it.
    greet_helper(&mut desk, gone.link);
    desk.errand(use_relay(2, "b:1"));
    for _ in 0..20 {
        for gone in failing(&mut desk, 3_000, Lost::Broken) {
            assert_ne!(gone.way, via("b:1", 1), "a hop through a hop");
            assert_ne!(gone.way, via("helper9:1", 1), "a circle");
        }
        alive(&mut desk, 1);
        alive(&mut desk, 9);
    }
    assert!(!desk.courier.relays[&relay(1)].can_help());
}

#[test]
fn never_through_the_relay_of_this_device_fwd_8() {
    let mut desk = Desk::new();
    desk.errand(near_relay(9, Some("127.0.0.1:9"), true));
    let link = desk.dialled("127.0.0.1:9");
    greet_helper(&mut desk, link);
    desk.errand(use_relay(1, "a:1"));
    for _ in 0..20 {
        let gone = failing(&mut desk, 3_000, Lost::Broken);
        assert!(gone.iter().all(|gone| gone.hop.is_none()), "{gone:?}");
        alive(&mut desk, 9);
    }
}

#[test]
fn who_passes_on_to_others_is_not_reached_through_others_fwd_8() {
    let mut desk = helped();
    helper_up(&mut desk, 8);
    desk.freeze(9);
    let mut gone = Vec::new();
    for _ in 0..40 {
        alive(&mut desk, 8);
        gone.extend(failing_reliefs(&mut desk, 9, 500));
    }
    assert!(desk.courier.relays[&relay(8)].can_help());
    assert!(
        !gone.is_empty() && gone.iter().all(|gone| gone.hop.is_none()),
        "{gone:?}"
    );
}

/// Reliefs of a relay within so many ms, none of which comes about.
fn failing_reliefs(desk: &mut Desk, n: u8, ms: u64) -> Vec<Gone> {
    let (link, until, mut all) = (desk.link(n), desk.now.plus_ms(ms), Vec::new());
    while desk.now < until {
        let more = going(desk);
        all.extend(more.into_iter().filter(|gone| gone.link == link));
        let why = Lost::Broken;
        desk.courier.handle_input(desk.now, Input::NotRelieved { link, why });
        desk.wait(500);
    }
    all
}

#[test]
fn four_are_reached_through_one_and_no_more_fwd_8() {
    let mut desk = Desk::new();
    helper_up(&mut desk, 9);
    let mut through = BTreeSet::new();
    for n in 10..20 {
        desk.errand(use_relay(n, &format!("r{n}:1")));
    }
    for _ in 0..100 {
        for gone in going(&mut desk) {
            match gone.hop {
                Some(hop) => drop(through.insert(hop.relay)),
                None => desk.lose(gone.link),
            }
        }
        desk.wait(200);
    }
    assert_eq!(through.len(), HELPED_MAX);
    let mut many = Desk::new();
    (2..9).for_each(|n| helper_up(&mut many, n));
    many.errand(use_relay(1, "a:1"));
    let gone = failing(&mut many, 60_000, Lost::Broken);
    let helpers: BTreeSet<_> = gone
        .iter()
        .filter(|gone| gone.hop.is_some())
        .map(|gone| &gone.way)
        .collect();
    assert_eq!(helpers.len(), HELPERS_MAX);
}

#[test]
fn a_helper_that_does_not_reach_it_is_left_alone_for_a_while_fwd_9() {
    for why in [Lost::NotPassedOn, Lost::WrongKeys, Lost::Broken] {
        let mut desk = Desk::new();
        helper_up(&mut desk, 9);
        desk.errand(use_relay(1, "a:1"));
        let count = |desk: &mut Desk, ms| {
            let mut helped = 0;
            let until = desk.now.plus_ms(ms);
            while desk.now < until {
                for gone in going(desk) {
                    helped += usize::from(gone.hop.is_some());
                    let why = if gone.hop.is_some() { why } else { Lost::Broken };
                    desk.courier
                        .handle_input(desk.now, Input::Lost { link: gone.link, why });
                }
                alive(desk, 9);
                desk.wait(500);
            }
            helped
        };
        let soon = count(&mut desk, NOT_PASSED_ON_MS - 60_000);
        if why == Lost::Broken {
            assert!(soon > 1, "a line that broke says nothing");
            continue;
        }
        assert_eq!(soon, 1, "{why:?}");
        assert_eq!(count(&mut desk, 180_000), 1, "{why:?}: then once more");
        desk.courier.handle_input(desk.now, Input::Network(NetworkId([9; 16])));
        assert_eq!(count(&mut desk, 180_000), 1, "{why:?}: another network, another answer");
    }
}

#[test]
fn when_the_one_in_between_goes_the_session_goes_on_another_way_fwd_10() {
    let mut desk = helped();
    helper_up(&mut desk, 8);
    let link = desk.link(1);
    desk.lose_relay(9);
    let gone = going(&mut desk);
    let relief = gone.iter().find(|gone| gone.link == link).expect("at once");
    assert_eq!(relief.way, via("https://a:443", 8));
    assert!(
        !desk.news().contains(&News::Gone { relay: relay(1) }),
        "its session stands"
    );
    desk.courier.handle_input(desk.now, Input::Relieved { link });
    desk.wait(SIGN_MS);
    assert!(desk.courier.relays[&relay(1)].is_up());
    // And a dial that is under way ends with its helper.
    let mut other = Desk::new();
    helper_up(&mut other, 9);
    other.errand(use_relay(1, "a:1"));
    let dial = first_helped(&mut other, 60_000).unwrap().link;
    other.lose_relay(9);
    assert!(other.turn().contains(&Output::Close { link: dial }));
}

/// How long after that, in minutes, its own way is tried; each time in vain.
fn backs(desk: &mut Desk, count: usize) -> Vec<u64> {
    let (link, began, mut all) = (desk.link(1), desk.now, Vec::new());
    while all.len() < count && desk.now.since_ms(began) < DAY_MS {
        for gone in going(desk) {
            assert_eq!((gone.link, gone.way.as_str(), gone.hop), (link, "https://a:443", None));
            all.push(desk.now.since_ms(began) / 60_000);
            let why = Lost::Silenced;
            desk.courier.handle_input(desk.now, Input::NotRelieved { link, why });
        }
        alive(desk, 1);
        alive(desk, 9);
        desk.wait(2_000);
    }
    all
}

#[test]
fn it_goes_back_to_its_own_way_when_that_works_again_fwd_11() {
    let mut desk = helped();
    let link = desk.link(1);
    assert_eq!(backs(&mut desk, 6), [5, 15, 35, 75, 135, 195], "ever less often");
    assert!(
        desk.courier.relays[&relay(1)].is_up(),
        "and all the while it is reached"
    );
    for _ in 0..2_000 {
        if going(&mut desk).iter().any(|gone| gone.link == link) {
            break;
        }
        alive(&mut desk, 1);
        alive(&mut desk, 9);
        desk.wait(2_000);
    }
    desk.courier.handle_input(desk.now, Input::Relieved { link });
    desk.turn();
    assert_eq!(desk.courier.remembered().address(&relay(1)), Some("https://a:443"));
    assert!(
        !desk.news().contains(&News::Gone { relay: relay(1) }),
        "the same session"
    );
}

#[test]
fn an_own_way_that_does_not_last_is_tried_less_often_fwd_11() {
    let mut desk = helped();
    let link = desk.link(1);
    let mut pauses = Vec::new();
    for _ in 0..4 {
        let since = desk.now;
        while !going(&mut desk)
            .iter()
            .any(|gone| gone.link == link && gone.hop.is_none())
        {
            alive(&mut desk, 1);
            alive(&mut desk, 9);
            desk.wait(2_000);
        }
        pauses.push(desk.now.since_ms(since) / 60_000);
        // It comes through, and freezes.
        desk.courier.handle_input(desk.now, Input::Relieved { link });
        desk.freeze(1);
        alive(&mut desk, 9);
        let gone = first_helped(&mut desk, 20_000).expect("through the helper again");
        assert_eq!(gone.link, link);
        desk.courier.handle_input(desk.now, Input::Relieved { link });
    }
    assert_eq!(pauses, [5, 10, 20, 40]);
}

#[test]
fn what_is_reached_on_its_own_ways_may_be_lent_and_nothing_else_fwd_12() {
    let mut desk = Desk::new();
    let place = |n: u8| Some(SocketAddr::from(([8, 8, 8, n], 443)));
    let told = |desk: &mut Desk| {
        let told = desk.turn().into_iter().rev().find_map(|output| match output {
            Output::Reached(reached) => Some(reached),
            _ => None,
        });
        told.map(|reached| reached.into_keys().collect::<Vec<_>>())
    };
    let up = |desk: &mut Desk, link: LinkId, place| {
        let keys = Some(RelayKeys::from_bytes([1; RelayKeys::SIZE]));
        desk.courier.handle_input(desk.now, Input::Open { link, keys, place });
        greet_helper(desk, link);
    };
    desk.errand(use_relay(9, "helper9:1"));
    let link = desk.dialled("helper9:1");
    up(&mut desk, link, place(9));
    assert_eq!(told(&mut desk), Some(vec![relay(9)]));
    // One that is reached through it, and one of which no number is known.
    desk.errand(use_relay(1, "a:1"));
    let gone = first_helped(&mut desk, 60_000).unwrap();
    up(&mut desk, gone.link, place(1));
    desk.up(2, "b:1");
    assert_eq!(told(&mut desk), None, "nothing new");
    desk.lose_relay(9);
    assert_eq!(told(&mut desk), Some(vec![]), "nothing any more");
}
