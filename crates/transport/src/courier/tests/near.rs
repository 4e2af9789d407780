//! Relays on the local network: when the courier looks for them, and what it makes of what is said there.

use stonechat_wire::beacon::Beacon;
use stonechat_wire::exchange::NearRelay;

use super::*;

/// A relay is missed: how long after that, in ms, each of the first looks is.
fn looks(desk: &mut Desk, count: usize) -> Vec<u64> {
    let (began, mut at) = (desk.now, Vec::new());
    while at.len() < count && desk.now.since_ms(began) < DAY_MS {
        for output in desk.turn() {
            match output {
                Output::Look => at.push(desk.now.since_ms(began)),
                Output::Dial { link, .. } => desk.lose(link),
                _ => {}
            }
        }
        desk.wait(1_000);
    }
    at
}

fn near(desk: &mut Desk, beacon: Beacon, address: &str) {
    let addresses = vec![address.to_owned()];
    desk.courier.handle_input(desk.now, Input::Near { beacon, addresses });
}

fn dials(desk: &mut Desk) -> Vec<(LinkId, String)> {
    let dials = desk.turn().into_iter().filter_map(|output| match output {
        Output::Dial { link, address, .. } => Some((link, address)),
        _ => None,
    });
    dials.collect()
}

#[test]
fn it_looks_around_while_a_relay_is_missed_and_ever_less_often_lan_3() {
    let mut desk = Desk::new();
    desk.errand(use_relay(1, "a:1"));
    let pauses_s = [5, 65, 185, 425, 725, 1_025];
    let at: Vec<u64> = looks(&mut desk, 6).iter().map(|ms| ms / 1_000).collect();
    assert_eq!(at, pauses_s);
    desk.courier.handle_input(desk.now, Input::Network(NetworkId([9; 16])));
    assert_eq!(looks(&mut desk, 1), [5_000], "at once on another network");
    let mut well = Desk::new();
    well.up(1, "a:1");
    assert!(
        looks(&mut well, 1).first().is_none_or(|first| *first > 25_000),
        "not while it answers"
    );
    let mut inside_tls = Desk::new();
    inside_tls.errand(use_relay(1, "https://a:443"));
    assert!(looks(&mut inside_tls, 1).is_empty(), "its path is a secret");
}

#[test]
fn where_it_announces_itself_is_dialled_next_lan_3() {
    let mut desk = Desk::new();
    desk.errand(use_relay(1, "a:1"));
    let link = desk.dialled("a:1");
    desk.lose(link);
    let beacon = Beacon::new(&relay(1), [7; 8]);
    near(&mut desk, Beacon::new(&relay(2), [7; 8]), "10.0.0.9:1");
    assert!(dials(&mut desk).is_empty(), "somebody else's");
    near(&mut desk, beacon, "10.0.0.1:1");
    let found = dials(&mut desk);
    assert_eq!(
        found.iter().map(|(_, address)| address.as_str()).collect::<Vec<_>>(),
        ["10.0.0.1:1"]
    );
    desk.open(found[0].0);
    desk.greet(found[0].0);
    assert_eq!(desk.courier.remembered().address(&relay(1)), Some("10.0.0.1:1"));
    desk.lose_relay(1);
    desk.courier.handle_input(desk.now, Input::Network(NetworkId([9; 16])));
    let tried: Vec<_> = (0..4)
        .flat_map(|_| {
            desk.wait(2_000);
            dials(&mut desk)
        })
        .map(|(_, address)| address)
        .collect();
    assert!(
        tried.iter().all(|address| address == "a:1"),
        "forgotten with the network: {tried:?}"
    );
}

#[test]
fn whoever_repeats_a_beacon_with_other_keys_is_dropped_and_delays_nothing_lan_3() {
    let mut desk = Desk::new();
    desk.errand(use_relay(1, "a:1"));
    let link = desk.dialled("a:1");
    desk.lose(link);
    near(&mut desk, Beacon::new(&relay(1), [7; 8]), "10.0.0.1:1");
    let (link, _) = dials(&mut desk).remove(0);
    let why = Lost::WrongKeys;
    desk.courier.handle_input(desk.now, Input::Lost { link, why });
    let began = desk.now;
    let next = loop {
        if let Some((_, address)) = dials(&mut desk).pop() {
            break address;
        }
        desk.wait(100);
    };
    assert_eq!(next, "a:1");
    assert!(desk.now.since_ms(began) < 5_000);
}

/// Another device's near relay, or this one's.
pub(super) fn near_relay(n: u8, place: Option<&str>, mine: bool) -> Errand {
    Errand::UseNear(NearRelay {
        relay: relay(n),
        secret: [n; 16],
        keys: RelayKeys::from_bytes([1; RelayKeys::SIZE]),
        place: place.map(str::to_owned),
        mine,
    })
}

/// When the near relay is to run and to end, within so many ms, by what the courier says.
fn turns(desk: &mut Desk, ms: u64) -> Vec<(u64, bool)> {
    let (began, mut told) = (desk.now, Vec::new());
    while desk.now.since_ms(began) < ms {
        for output in desk.turn() {
            match output {
                Output::Near(runs) => told.push((desk.now.since_ms(began), runs)),
                Output::Dial { link, .. } => desk.lose(link),
                Output::Ping { .. } => desk.hear(1),
                _ => {}
            }
        }
        desk.wait(1_000);
    }
    told
}

#[test]
fn a_near_relay_runs_only_while_no_other_answers_lan_6() {
    let mut desk = Desk::new();
    assert!(turns(&mut desk, 60_000).is_empty(), "there is none to run");
    desk.errand(near_relay(9, None, true));
    assert_eq!(turns(&mut desk, 60_000), [(NEAR_AFTER_MS, true)], "no relay at all");
    desk.up(1, "a:1");
    assert_eq!(turns(&mut desk, 120_000), [(NEAR_LINGER_MS, false)]);
    desk.lose_relay(1);
    assert_eq!(turns(&mut desk, 60_000), [(NEAR_AFTER_MS, true)]);
}

#[test]
fn a_relay_that_is_away_for_a_moment_starts_no_near_one_lan_6() {
    let mut desk = Desk::new();
    desk.errand(near_relay(9, None, true));
    desk.up(1, "a:1");
    desk.lose_relay(1);
    desk.wait(NEAR_AFTER_MS / 2);
    let link = desk.dialled("a:1");
    desk.open(link);
    desk.greet(link);
    assert!(turns(&mut desk, 120_000).is_empty());
}

#[test]
fn a_near_relay_of_somebody_is_looked_for_only_where_no_other_answers_lan_8() {
    let mut desk = Desk::new();
    desk.errand(near_relay(2, None, false));
    assert_eq!(looks(&mut desk, 1), [LOOK_AFTER_MS]);
    let mut well = Desk::new();
    well.up(1, "https://a:1");
    well.errand(near_relay(2, None, false));
    near(&mut well, Beacon::new(&relay(2), [7; 8]), "10.0.0.2:1");
    assert!(dials(&mut well).is_empty());
    assert!(turns(&mut well, 600_000).is_empty());
    let looks = (0..600).filter(|_| {
        well.wait(1_000);
        let outputs = well.turn();
        well.hear(1);
        outputs.contains(&Output::Look)
    });
    assert_eq!(looks.count(), 0, "ordinary days cost no look");
}

#[test]
fn a_near_relay_is_dialled_where_it_announces_itself_at_a_path_of_that_moment_lan_5() {
    let mut desk = Desk::new();
    desk.errand(near_relay(2, None, false));
    assert!(dials(&mut desk).is_empty(), "it has no address");
    let path = |desk: &mut Desk, nonce| {
        near(desk, Beacon::new(&relay(2), nonce), "10.0.0.2:1");
        desk.turn().into_iter().find_map(|output| match output {
            Output::Dial { link, path, .. } => Some((link, path)),
            _ => None,
        })
    };
    let (link, first) = path(&mut desk, [7; 8]).unwrap();
    assert_eq!(first, stonechat_wire::route::near_path(&relay(2), &[2; 16], &[7; 8]));
    desk.lose(link);
    let (_, again) = path(&mut desk, [8; 8]).unwrap();
    assert_eq!(again, stonechat_wire::route::near_path(&relay(2), &[2; 16], &[8; 8]));
}

#[test]
fn a_near_relay_that_is_gone_is_not_dialled_for_ever_lan_8() {
    let mut desk = Desk::new();
    desk.errand(near_relay(2, None, false));
    near(&mut desk, Beacon::new(&relay(2), [7; 8]), "10.0.0.2:1");
    let mut count = 0;
    for _ in 0..3_600 {
        for (link, _) in dials(&mut desk) {
            count += 1;
            desk.lose(link);
        }
        desk.wait(1_000);
    }
    assert_eq!(count, NEAR_TRIES);
    near(&mut desk, Beacon::new(&relay(2), [9; 8]), "10.0.0.3:1");
    assert_eq!(dials(&mut desk).len(), 1, "where it is found again, it is");
}

#[test]
fn near_relays_are_not_the_way_to_others_lan_6() {
    let mut desk = Desk::new();
    desk.up(1, "a:1");
    desk.errand(near_relay(2, Some("10.0.0.2:1"), false));
    let link = desk.dialled("10.0.0.2:1");
    desk.open(link);
    desk.greet(link);
    desk.lose_relay(1);
    desk.take_news();
    let mut offline = 0;
    for _ in 0..60 {
        for (link, _) in dials(&mut desk) {
            desk.lose(link);
        }
        desk.hear(2);
        let told = desk.news();
        offline += told.iter().filter(|news| **news == News::Offline).count();
        desk.wait(1_000);
    }
    assert_eq!(offline, 1, "a near relay that answers is no way to others");
}

#[test]
fn mine_ends_at_once_and_keeps_what_is_to_be_said_there_lan_6() {
    let mut desk = Desk::new();
    desk.errand(near_relay(9, Some("127.0.0.1:5"), true));
    desk.errand(listen(9, &[(tag(1), 0)]));
    let link = desk.dialled("127.0.0.1:5");
    desk.open(link);
    assert_eq!(subscribed(&desk.greet(link)), [(tag(1), 0)]);
    desk.take_news();
    desk.errand(near_relay(9, None, true));
    assert!(desk.turn().contains(&Output::Close { link }));
    assert_eq!(desk.news(), [News::Gone { relay: relay(9) }]);
    desk.wait(DAY_MS);
    assert!(dials(&mut desk).is_empty(), "it does not run");
    desk.errand(near_relay(9, Some("127.0.0.1:6"), true));
    let link = desk.dialled("127.0.0.1:6");
    desk.open(link);
    assert_eq!(subscribed(&desk.greet(link)), [(tag(1), 0)]);
}

#[test]
fn near_relays_leave_room_for_others_lan_9() {
    let mut desk = Desk::new();
    for n in 0..2 * NEAR_RELAYS_MAX {
        desk.errand(Errand::UseNear(NearRelay {
            relay: numbered_relay(n),
            secret: [1; 16],
            keys: RelayKeys::from_bytes([1; RelayKeys::SIZE]),
            place: None,
            mine: false,
        }));
    }
    assert_eq!(desk.courier.relays.len(), NEAR_RELAYS_MAX);
    desk.up(1, "a:1");
}
