//! The ways to one address: by its name, by its numbers, and by the number that the name led to before.

use super::*;

const ADDRESS: &str = "https://a.example:443,192.0.2.7:443,192.0.2.7:8443";

/// What is dialled within so many ms, and when.
fn dials(desk: &mut Desk, ms: u64) -> Vec<(u64, String, LinkId)> {
    let began = desk.now;
    let mut dials = Vec::new();
    while desk.now.since_ms(began) < ms {
        for output in desk.turn() {
            if let Output::Dial { link, address, .. } = output {
                dials.push((desk.now.since_ms(began), address, link));
            }
        }
        desk.wait(50);
    }
    dials
}

fn open_at(desk: &mut Desk, link: LinkId, place: &str) {
    let keys = Some(RelayKeys::from_bytes([1; RelayKeys::SIZE]));
    let place = Some(place.parse().unwrap());
    desk.courier.handle_input(desk.now, Input::Open { link, keys, place });
    desk.turn();
    desk.greet(link);
}

#[test]
fn where_the_name_leads_nowhere_its_numbers_are_dialled_way_1() {
    let mut desk = Desk::new();
    desk.errand(use_relay(1, ADDRESS));
    let dials = dials(&mut desk, 2_000);
    let dials: Vec<_> = dials.iter().map(|(at, way, _)| (*at, way.as_str())).collect();
    let expected = [
        (0, "https://a.example:443"),
        (300, "https://a.example:443@192.0.2.7:443"),
        (600, "https://a.example:443@192.0.2.7:8443"),
    ];
    assert_eq!(dials, expected);
}

#[test]
fn somebody_else_at_one_way_ends_that_one_only_way_1() {
    let mut desk = Desk::new();
    desk.errand(use_relay(1, ADDRESS));
    let link = desk.dialled("https://a.example:443");
    let why = Lost::WrongKeys;
    desk.courier.handle_input(desk.now, Input::Lost { link, why });
    let link = desk.dialled("https://a.example:443@192.0.2.7:443");
    open_at(&mut desk, link, "192.0.2.7:443");
    assert!(desk.courier.relays[&relay(1)].is_up());
}

#[test]
fn a_knock_goes_every_way_of_its_hint_way_1() {
    let mut desk = Desk::new();
    desk.errand(Errand::Knock(knock(1, &[ADDRESS])));
    for way in ["https://a.example:443", "https://a.example:443@192.0.2.7:443"] {
        assert_eq!(desk.knocked_at(), [way]);
        desk.answer(1, Err(KnockError::Unreachable));
    }
    assert_eq!(desk.knocked_at(), ["https://a.example:443@192.0.2.7:8443"]);
}

/// A hello that was answered by silence closes the name's port for a while: another port is asked at once.
#[test]
fn a_silenced_knock_goes_on_at_another_port_trk_6() {
    let mut desk = Desk::new();
    desk.errand(Errand::Knock(knock(1, &[ADDRESS])));
    assert_eq!(desk.knocked_at(), ["https://a.example:443"]);
    desk.answer(1, Err(KnockError::Silenced));
    // In pieces at once (TRK-9), and then not there any more.
    assert_eq!(desk.knocked_at(), ["https://a.example:443@192.0.2.7:443"]);
    desk.answer(1, Err(KnockError::Silenced));
    let other_port = "https://a.example:443@192.0.2.7:8443";
    assert_eq!(desk.knocked_at(), [other_port]);
    desk.errand(use_relay(1, ADDRESS));
    assert_eq!(dials(&mut desk, WINDOW_MS), [], "with care");
    assert_eq!(dials(&mut desk, 200)[0].1, other_port);
}

#[test]
fn where_a_name_led_once_is_tried_where_it_leads_elsewhere_way_2() {
    let mut desk = Desk::new();
    desk.errand(use_relay(1, "https://a.example:443"));
    let link = desk.dialled("https://a.example:443");
    open_at(&mut desk, link, "192.0.2.7:443");
    let mut later = desk.restarted();
    later
        .courier
        .handle_input(later.now, Input::Network(NetworkId([9; 16])));
    later.errand(use_relay(1, "https://a.example:443"));
    let dialled = dials(&mut later, 1_000);
    let expected = ["https://a.example:443", "https://a.example:443@192.0.2.7:443"];
    let ways: Vec<_> = dialled.iter().map(|(_, way, _)| way.as_str()).collect();
    assert_eq!(ways, expected);
    // It is the relay's own name that led there, and no other's.
    later.errand(use_relay(2, "https://b.example:443"));
    assert_eq!(dials(&mut later, 1_000).len(), 1);
    open_at(&mut later, dialled[1].2, "192.0.2.7:443");
    assert_eq!(
        later.courier.remembered().address(&relay(1)),
        Some("https://a.example:443@192.0.2.7:443")
    );
}

#[test]
fn numbers_and_this_computer_are_nothing_to_remember_way_2() {
    for (address, place) in [("192.0.2.7:443", "192.0.2.7:443"), ("localhost:80", "127.0.0.1:80")] {
        let mut desk = Desk::new();
        desk.errand(use_relay(1, address));
        let link = desk.dialled(address);
        open_at(&mut desk, link, place);
        assert_eq!(desk.courier.remembered().place(&relay(1)), None);
    }
}

/// How the next dial, or what takes a link over, says its hello.
fn said(desk: &mut Desk, ms: u64) -> Option<(LinkId, Hello)> {
    desk.wait(ms);
    desk.turn().into_iter().find_map(|output| match output {
        Output::Dial { link, hello, .. } | Output::Relieve { link, hello, .. } => Some((link, hello)),
        _ => None,
    })
}

#[test]
fn a_hello_is_split_after_a_silenced_one_and_on_that_network_from_the_start_trk_9() {
    let mut desk = Desk::new();
    desk.errand(use_relay(1, "https://a.example:443"));
    let (link, hello) = said(&mut desk, 0).unwrap();
    assert_eq!(hello, Hello::Whole);
    let why = Lost::Silenced;
    desk.courier.handle_input(desk.now, Input::Lost { link, why });
    let (link, hello) = said(&mut desk, RETRY_MS).expect("without a rest");
    assert_eq!(hello, Hello::Split);
    open_at(&mut desk, link, "192.0.2.7:443");
    desk.turn();
    let mut later = desk.restarted();
    later.errand(use_relay(1, "https://a.example:443"));
    assert_eq!(said(&mut later, 0).map(|(_, hello)| hello), Some(Hello::Split));
    // Another network has done nothing yet.
    let mut away = desk.restarted();
    away.courier.handle_input(away.now, Input::Network(NetworkId([9; 16])));
    away.errand(use_relay(1, "https://a.example:443"));
    assert_eq!(said(&mut away, 0).map(|(_, hello)| hello), Some(Hello::Whole));
}

#[test]
fn what_takes_over_and_a_knock_are_split_too_trk_9() {
    let mut desk = Desk::new();
    desk.errand(Errand::Knock(knock(1, &["https://a.example:443"])));
    desk.knocked_at();
    desk.answer(1, Err(KnockError::Reset));
    desk.wait(2_000);
    let hello = desk.turn().into_iter().find_map(|output| match output {
        Output::Knock { hello, .. } => Some(hello),
        _ => None,
    });
    assert_eq!(hello, Some(Hello::Split));
    desk.errand(use_relay(1, "https://a.example:443"));
    let (link, hello) = said(&mut desk, 0).unwrap();
    assert_eq!(hello, Hello::Split);
    open_at(&mut desk, link, "192.0.2.7:443");
    desk.wait(PING_AFTER_MS + SIGN_MS);
    desk.turn();
    assert_eq!(said(&mut desk, SIGN_MS + 1_000), Some((link, Hello::Split)));
}
