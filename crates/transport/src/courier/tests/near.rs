//! Relays on the local network: when the courier looks for them, and what it makes of what is said there.

use stonechat_wire::beacon::Beacon;

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
