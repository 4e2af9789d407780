//! Addresses that others said (REL-7): whoever sits there sees who comes, so its own ways come first, and it goes back to them.

use stonechat_wire::address::ways;

use super::*;

fn told(address: &str) -> Errand {
    Errand::UseRelay(route(1, address), None, NamedBy::Others)
}

fn forget(address: &str) -> Errand {
    Errand::ForgetWays {
        relay: relay(1),
        ways: vec![address.to_owned()],
    }
}

/// All dials within so many ms: when, and where to.
fn dials(desk: &mut Desk, ms: u64) -> Vec<(u64, LinkId, String)> {
    let (began, mut all) = (desk.now, Vec::new());
    while desk.now.since_ms(began) < ms {
        for output in desk.turn() {
            if let Output::Dial { link, address, .. } = output {
                all.push((desk.now.since_ms(began), link, address));
            }
        }
        desk.wait(50);
    }
    all
}

fn when(dials: &[(u64, LinkId, String)]) -> Vec<(u64, &str)> {
    dials.iter().map(|(at, _, to)| (*at, to.as_str())).collect()
}

/// Reached where somebody said, for its own address was away.
fn lured() -> Desk {
    lured_over(Over::WebSocket)
}

/// The dial there; others come to nothing.
fn reached(desk: &mut Desk, place: &str) -> LinkId {
    for _ in 0..600 {
        for output in desk.turn() {
            match output {
                Output::Dial { link, address, .. } if address == place => return link,
                Output::Dial { link, .. } => desk.lose(link),
                _ => {}
            }
        }
        desk.wait(100);
    }
    panic!("{place} was never dialled")
}

fn lured_over(over: Over) -> Desk {
    let mut desk = Desk::new();
    desk.errand(use_relay(1, "a:1"));
    desk.errand(told("m:1"));
    let own = desk.dialled("a:1");
    desk.lose(own);
    let mut link = desk.dialled("m:1");
    if over == Over::Requests {
        let why = Lost::NotUpgraded;
        desk.courier.handle_input(desk.now, Input::Lost { link, why });
        link = reached(&mut desk, "m:1");
    }
    desk.open(link);
    desk.greet(link);
    desk.turn();
    assert_eq!(desk.courier.remembered().address(&relay(1)), Some("m:1"));
    desk
}

#[test]
fn what_others_say_waits_while_an_own_way_is_under_way_rel_7() {
    let mut desk = Desk::new();
    desk.errand(told("m:1"));
    desk.errand(use_relay(1, "a:1"));
    desk.errand(told("n:1"));
    desk.errand(use_relay(1, "b:1"));
    let all = dials(&mut desk, 5_000);
    // The first that was ever named has no other beside it: it is the relay's own.
    let expected = [(0, "m:1"), (300, "a:1"), (600, "b:1"), (TOLD_AFTER_MS, "n:1")];
    assert_eq!(when(&all), expected);
}

#[test]
fn where_the_own_ways_fall_what_others_say_is_dialled_at_once_rel_7() {
    let mut desk = Desk::new();
    desk.errand(use_relay(1, "a:1"));
    desk.errand(told("m:1"));
    let own = desk.dialled("a:1");
    desk.wait(100);
    desk.lose(own);
    assert_eq!(when(&dials(&mut desk, 1_000))[0], (0, "m:1"));
}

#[test]
fn behind_many_own_ways_that_are_silent_what_others_say_waits_no_longer_rel_7() {
    let mut desk = Desk::new();
    for own in ["a:1", "b:1", "c:1", "d:1", "e:1"] {
        desk.errand(use_relay(1, own));
    }
    desk.errand(told("m:1"));
    let all = dials(&mut desk, 5_000);
    let expected = [
        (0, "a:1"),
        (300, "b:1"),
        (600, "c:1"),
        (1_200, "d:1"),
        (TOLD_AFTER_MS, "m:1"),
    ];
    assert_eq!(when(&all), expected);
}

#[test]
fn what_worked_last_is_no_first_way_where_others_said_it_rel_7() {
    let mut desk = lured();
    desk.lose_relay(1);
    let again: Vec<_> = dials(&mut desk, TOLD_AFTER_MS)
        .into_iter()
        .map(|(_, _, to)| to)
        .collect();
    assert_eq!(again, ["a:1"]);
    let mut again = desk.restarted();
    again.errand(use_relay(1, "a:1"));
    again.errand(told("m:1"));
    assert_eq!(when(&dials(&mut again, 1_500)), [(0, "a:1")]);
}

#[test]
fn from_where_others_said_it_goes_back_to_its_own_ways_rel_7() {
    let mut desk = lured();
    let link = desk.link(1);
    let mut left_ms = BACK_MS * 2;
    let mut reliefs = Vec::new();
    while reliefs.is_empty() && left_ms > 0 {
        let link = desk.link(1);
        desk.courier.handle_input(desk.now, Input::Heard { link });
        reliefs = desk.relieved_at();
        desk.wait(1_000);
        left_ms -= 1_000;
    }
    assert_eq!(reliefs, [("a:1".to_owned(), 0)]);
    assert!(left_ms >= BACK_MS / 2, "after five minutes, and not ten");
    desk.relieve(link);
    desk.turn();
    assert_eq!(desk.courier.remembered().address(&relay(1)), Some("a:1"));
}

/// On from there by requests, where no WebSocket passes: back to its own ways is tried as seldom, and not on and on.
#[test]
fn an_own_way_that_stays_away_is_tried_ever_less_often_rel_7() {
    for over in [Over::WebSocket, Over::Requests] {
        let mut desk = lured_over(over);
        let (began, mut tried) = (desk.now, Vec::new());
        while desk.now.since_ms(began) < 100 * 60_000 {
            let link = desk.link(1);
            desk.courier.handle_input(desk.now, Input::Heard { link });
            for (to, _) in desk.relieved_at() {
                let why = Lost::Broken;
                desk.courier.handle_input(desk.now, Input::NotRelieved { link, why });
                tried.extend((to == "a:1").then(|| desk.now.since_ms(began) / 60_000));
            }
            desk.wait(2_000);
        }
        assert_eq!(tried, [5, 15, 35, 75], "{over:?}");
    }
}

/// A way that lets in and breaks off each time is as good as none: then what others say comes to its turn.
#[test]
fn an_own_way_that_only_lets_in_gives_way_to_what_others_say_rel_7() {
    let mut desk = Desk::new();
    desk.errand(use_relay(1, "a:1"));
    desk.errand(told("m:1"));
    let mut reached = Vec::new();
    for _ in 0..8 {
        let (link, to) = loop {
            let dialled = desk.turn().into_iter().find_map(|output| match output {
                Output::Dial { link, address, .. } => Some((link, address)),
                _ => None,
            });
            match dialled {
                Some(found) => break found,
                None => desk.wait(100),
            }
        };
        reached.push(to);
        desk.open(link);
        desk.greet(link);
        desk.lose(link);
    }
    assert_eq!(reached[0], "a:1");
    assert!(reached.contains(&"m:1".to_owned()), "{reached:?}");
}

#[test]
fn an_address_that_is_given_up_is_dialled_no_more_and_its_connection_ends_rel_7() {
    let mut desk = lured();
    let link = desk.link(1);
    desk.errand(forget("m:1"));
    assert!(desk.turn().contains(&Output::Close { link }));
    let all = dials(&mut desk, RETRY_MS_MAX);
    assert!(!all.is_empty() && all.iter().all(|(_, _, to)| to == "a:1"), "{all:?}");
    // Also one that is only being dialled.
    let mut desk = Desk::new();
    desk.errand(use_relay(1, "a:1"));
    desk.errand(told("m:1"));
    let own = desk.dialled("a:1");
    desk.lose(own);
    let racer = desk.dialled("m:1");
    desk.errand(forget("m:1"));
    assert!(desk.turn().contains(&Output::Close { link: racer }));
    desk.errand(forget("a:1"));
    assert_eq!(desk.courier.relays[&relay(1)].addresses(), 0);
    assert_eq!(dials(&mut desk, RETRY_MS_MAX), []);
}

/// Where others say that it stands inside TLS too: whether it is looked for on this network stays as it was.
#[test]
fn what_others_say_stops_nobody_from_being_looked_for_near_rel_7() {
    let mut desk = Desk::new();
    desk.errand(use_relay(1, "a:1"));
    desk.errand(told("https://m:443"));
    assert!(desk.courier.relays[&relay(1)].may_be_near(false));
    desk.errand(use_relay(1, "https://a:443"));
    assert!(!desk.courier.relays[&relay(1)].may_be_near(false));
}

/// The way that a race waits for is given up: the next race begins, and not never.
#[test]
fn a_race_whose_last_way_is_given_up_begins_anew_rel_7() {
    let mut desk = Desk::new();
    desk.errand(use_relay(1, "a:1"));
    desk.errand(told("https://m:443,192.0.2.1:443,192.0.2.2:443,192.0.2.3:443"));
    let own = desk.dialled("a:1");
    desk.lose(own);
    // Its places come to nothing but for the last, which waits: of one name there are only so many handshakes (TRK-5).
    let ways = ways("https://m:443,192.0.2.1:443,192.0.2.2:443,192.0.2.3:443");
    for (_, link, _) in dials(&mut desk, 1_500) {
        desk.lose(link);
    }
    desk.errand(Errand::ForgetWays { relay: relay(1), ways });
    let all = dials(&mut desk, RETRY_MS_MAX);
    assert!(!all.is_empty() && all.iter().all(|(_, _, to)| to == "a:1"), "{all:?}");
}

#[test]
fn where_others_said_and_nobody_answers_the_own_way_is_tried_again_meanwhile_rel_7() {
    let mut desk = Desk::new();
    desk.errand(use_relay(1, "a:1"));
    for silent in ["m:1", "n:1"] {
        desk.errand(told(silent));
    }
    let own = desk.dialled("a:1");
    desk.lose(own);
    let mut own = Vec::new();
    let began = desk.now;
    while desk.now.since_ms(began) < 20_000 {
        for (at, link, to) in dials(&mut desk, 50) {
            if to == "a:1" {
                own.push(desk.now.since_ms(began) + at);
                desk.lose(link);
            }
        }
    }
    assert!(own.len() >= 3 && own[0] < 2_000, "{own:?}");
    assert!(own.len() <= 8, "ever less often: {own:?}");
}

#[test]
fn somebody_else_where_others_said_keeps_nobody_waiting_rel_7() {
    let mut desk = Desk::new();
    desk.errand(use_relay(1, "a:1"));
    desk.errand(told("m:1"));
    let own = desk.dialled("a:1");
    desk.lose(own);
    let stranger = desk.dialled("m:1");
    let why = Lost::WrongKeys;
    desk.courier.handle_input(desk.now, Input::Lost { link: stranger, why });
    let all = dials(&mut desk, 3_000);
    assert!(all.iter().any(|(_, _, to)| to == "a:1"), "{all:?}");
}

/// Of the two that a browser dials the relay's own come first, and what its name led to is not forgotten for another's.
#[test]
fn what_others_said_takes_the_place_of_no_browsers_way_and_of_no_number_rel_7() {
    let mut desk = Desk::new();
    desk.courier.handle_input(desk.now, Input::Browser(true));
    for own in ["https://a:443", "https://b:443"] {
        desk.errand(use_relay(1, own));
    }
    desk.errand(told("https://m:443"));
    let browsers: Vec<String> = desk.courier.relays[&relay(1)]
        .every_way()
        .filter(|way| way.contains("@browser"))
        .collect();
    assert_eq!(browsers, ["https://a:443@browser:443", "https://b:443@browser:443"]);
}

#[test]
fn of_several_that_others_said_one_starts_a_little_after_the_other_rel_7() {
    let mut desk = Desk::new();
    desk.errand(use_relay(1, "a:1"));
    desk.errand(told("m:1"));
    desk.errand(told("n:1"));
    let all = dials(&mut desk, 5_000);
    assert_eq!(
        when(&all),
        [(0, "a:1"), (TOLD_AFTER_MS, "m:1"), (TOLD_AFTER_MS + 300, "n:1")]
    );
}

/// Of one name two handshakes at most are under way (TRK-5): that the third waits keeps nobody else waiting.
#[test]
fn where_an_own_way_must_wait_what_others_say_waits_no_longer_rel_7() {
    let mut desk = Desk::new();
    desk.errand(use_relay(1, "https://a:443,192.0.2.1:443,192.0.2.2:443"));
    desk.errand(told("m:1"));
    let all = dials(&mut desk, 5_000);
    let m = all.iter().find(|(_, _, to)| to == "m:1");
    assert_eq!(m.map(|(at, ..)| *at), Some(TOLD_AFTER_MS), "{all:?}");
}

/// A connection there that has carried as much as one may is followed by another one there, if its own ways do not answer.
#[test]
fn what_is_short_goes_on_where_others_said_and_hammers_no_own_way_rel_7() {
    let mut desk = lured();
    let link = desk.link(1);
    desk.freeze(1);
    let why = Lost::Broken;
    assert_eq!(desk.relieved_at()[0].0, "a:1");
    desk.courier.handle_input(desk.now, Input::NotRelieved { link, why });
    desk.wait(RETRY_MS);
    assert_eq!(desk.relieved_at()[0].0, "m:1");
    desk.relieve(link);
    desk.wait(BACK_MS_MAX);
    let used = Used {
        packets: TIRED_PACKETS,
        ..Used::default()
    };
    desk.courier.handle_input(desk.now, Input::Used { link, used });
    let mut asked = Vec::new();
    for _ in 0..20 {
        desk.courier.handle_input(desk.now, Input::Heard { link });
        for (to, _) in desk.relieved_at() {
            desk.courier.handle_input(desk.now, Input::NotRelieved { link, why });
            asked.push(to);
        }
        desk.wait(100);
    }
    assert!(asked.len() <= 4, "{asked:?}");
    assert!(asked.contains(&"m:1".to_owned()), "{asked:?}");
}
