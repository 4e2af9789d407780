//! Ways that a browser dials.

use super::*;

const NAME: &str = "https://a.example:443";
const BROWSER: &str = "https://a.example:443@browser:443";

impl Desk {
    fn browser(&mut self, is_there: bool) {
        self.courier.handle_input(self.now, Input::Browser(is_there));
    }

    fn lose_so(&mut self, link: LinkId, why: Lost) {
        self.courier.handle_input(self.now, Input::Lost { link, why });
    }

    /// What is dialled within so many ms.
    fn dialled_within(&mut self, ms: u64) -> Vec<(u64, LinkId, String)> {
        let (began, mut dials) = (self.now, Vec::new());
        while self.now.since_ms(began) < ms {
            let outputs = self.turn().into_iter();
            dials.extend(outputs.filter_map(|output| match output {
                Output::Dial { link, address, .. } => Some((self.now.since_ms(began), link, address)),
                _ => None,
            }));
            self.wait(50);
        }
        dials
    }
}

fn places(dials: &[(u64, LinkId, String)]) -> Vec<(u64, &str)> {
    dials.iter().map(|(at, _, way)| (*at, way.as_str())).collect()
}

#[test]
fn a_browser_is_raced_after_the_other_ways_dial_1() {
    let mut desk = Desk::new();
    desk.browser(true);
    desk.errand(use_relay(1, "https://a.example:443,192.0.2.7:8443"));
    let dials = desk.dialled_within(2_000);
    let expected = [(0, NAME), (300, "https://a.example:443@192.0.2.7:8443"), (600, BROWSER)];
    assert_eq!(places(&dials), expected);
}

#[test]
fn without_a_page_nothing_is_dialled_by_one_and_with_one_only_names_inside_tls_dial_1() {
    for (address, is_there) in [(NAME, false), ("a.example:443", true), ("https://192.0.2.7:443", true)] {
        let mut desk = Desk::new();
        desk.browser(is_there);
        desk.errand(use_relay(1, address));
        assert_eq!(places(&desk.dialled_within(2_000)), [(0, address)]);
    }
}

#[test]
fn where_our_hello_is_silenced_a_browser_dials_though_the_name_rests_dial_1() {
    let mut desk = Desk::new();
    desk.errand(use_relay(1, NAME));
    // Whole, then in pieces: then the name rests (TRK-9).
    for _ in 0..2 {
        let (_, link, _) = desk.dialled_within(2_000).pop().expect("a dial");
        desk.lose_so(link, Lost::Silenced);
    }
    assert_eq!(places(&desk.dialled_within(2_000)), [], "it rests");
    desk.browser(true);
    let dials = desk.dialled_within(20_000);
    assert_eq!(dials.first().map(|(_, _, way)| way.as_str()), Some(BROWSER));
    // Its own failures make the pauses of any way.
    let link = dials[0].1;
    desk.lose(link);
    let dials = desk.dialled_within(40_000);
    assert!(dials.iter().all(|(_, _, way)| way == BROWSER), "{dials:?}");
}

#[test]
fn a_browsers_handshakes_count_with_ours_dial_1() {
    let mut desk = Desk::new();
    desk.browser(true);
    for n in 1..9 {
        desk.errand(use_relay(n, NAME));
    }
    let (mut begun, mut waiting) = (0, Vec::new());
    for _ in 0..200 {
        for (_, link, _) in desk.dialled_within(50) {
            begun += 1;
            waiting.push(link);
        }
        if let Some(link) = waiting.pop() {
            desk.lose(link);
        }
    }
    assert!(begun <= HELLOS_MAX, "{begun} within 10 s");
}

#[test]
fn a_page_that_comes_is_tried_at_once_where_its_relay_is_not_reached_dial_1() {
    let mut desk = Desk::new();
    desk.errand(use_relay(1, NAME));
    let link = desk.dialled(NAME);
    desk.lose_so(link, Lost::Reset);
    desk.browser(true);
    let ways: Vec<_> = desk.dialled_within(1_000).into_iter().map(|(_, _, way)| way).collect();
    assert!(ways.iter().any(|way| way == BROWSER), "{ways:?}");
}

#[test]
fn where_a_browser_worked_last_it_is_dialled_first_dial_1() {
    let mut before = Desk::new();
    before.browser(true);
    before.errand(use_relay(1, NAME));
    let link = before.dialled(NAME);
    before.lose_so(link, Lost::Reset);
    let link = before.dialled(BROWSER);
    before.open(link);
    before.greet(link);
    before.turn();
    let mut desk = before.restarted();
    desk.browser(true);
    desk.errand(use_relay(1, NAME));
    assert_eq!(places(&desk.dialled_within(200)), [(0, BROWSER)]);
    let mut without = before.restarted();
    without.errand(use_relay(1, NAME));
    assert_eq!(places(&without.dialled_within(200)), [(0, NAME)]);
}

#[test]
fn with_the_last_page_its_ways_are_gone_dial_1() {
    let mut desk = Desk::new();
    desk.browser(true);
    desk.errand(use_relay(1, NAME));
    let link = desk.dialled(NAME);
    desk.lose(link);
    let link = desk.dialled(BROWSER);
    desk.open(link);
    desk.greet(link);
    desk.browser(false);
    desk.lose(link);
    let dials = desk.dialled_within(2_000);
    assert_eq!(dials.first().map(|(_, _, way)| way.as_str()), Some(NAME));
    assert_eq!(desk.courier.relays[&relay(1)].addresses(), 1);
    assert_eq!(dials.len(), 1);
}
