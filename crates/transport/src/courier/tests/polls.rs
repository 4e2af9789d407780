//! Requests in the place of a WebSocket (TRK-10).

use super::*;

/// How dials and reliefs go.
fn overs(outputs: &[Output]) -> Vec<Over> {
    let overs = outputs.iter().filter_map(|output| match output {
        Output::Dial { over, .. } | Output::Relieve { over, .. } => Some(*over),
        _ => None,
    });
    overs.collect()
}

impl Desk {
    /// The next dial within so many ms, and how it goes.
    fn dials_over(&mut self, ms: u64) -> (LinkId, Over) {
        let until = self.now.plus_ms(ms);
        loop {
            let found = self.turn().into_iter().find_map(|output| match output {
                Output::Dial { link, over, .. } => Some((link, over)),
                _ => None,
            });
            if let Some(found) = found {
                return found;
            }
            assert!(self.now < until, "no dial");
            self.wait(50);
        }
    }

    fn lose_with(&mut self, link: LinkId, why: Lost) {
        self.courier.handle_input(self.now, Input::Lost { link, why });
    }

    /// Everybody alive, for so long; what is dialled or relieved meanwhile.
    fn live(&mut self, n: u8, ms: u64) -> Vec<Output> {
        let until = self.now.plus_ms(ms);
        let mut all = Vec::new();
        while self.now < until {
            self.wait(1_000);
            all.extend(self.turn());
            self.hear(n);
        }
        all
    }
}

const WAY: &str = "https://a.example:443";

/// A desk whose relay is gone to by requests.
fn polling() -> Desk {
    let mut desk = Desk::new();
    desk.errand(use_relay(1, WAY));
    let (link, over) = desk.dials_over(0);
    assert_eq!(over, Over::WebSocket, "it comes first");
    desk.lose_with(link, Lost::NotUpgraded);
    let (link, over) = desk.dials_over(500);
    assert_eq!(over, Over::Requests, "at once");
    desk.open(link);
    desk.greet(link);
    desk
}

#[test]
fn where_no_websocket_passes_the_next_dial_goes_by_requests_and_that_is_kept_trk_10() {
    let mut desk = polling().restarted();
    desk.errand(use_relay(1, WAY));
    let (link, over) = desk.dials_over(0);
    assert_eq!(over, Over::Requests, "also after a restart");
    desk.lose(link);
    desk.wait(POLL_MS);
    assert_eq!(desk.dials_over(60_000).1, Over::WebSocket, "then it is tried again");
}

#[test]
fn a_relay_that_stands_by_requests_tries_a_websocket_after_a_while_trk_10() {
    let mut desk = polling();
    let link = desk.link(1);
    assert_eq!(overs(&desk.live(1, POLL_MS - 2_000)), []);
    assert_eq!(overs(&desk.live(1, 4_000)), [Over::WebSocket]);
    let why = Lost::NotUpgraded;
    desk.courier.handle_input(desk.now, Input::NotRelieved { link, why });
    assert_eq!(overs(&desk.live(1, 4 * POLL_MS - 10_000)), [], "for longer");
    assert_eq!(overs(&desk.live(1, 20_000)), [Over::WebSocket]);
    desk.relieve(link);
    assert_eq!(overs(&desk.live(1, 16 * POLL_MS)), [], "it goes on as one");
    desk.lose(link);
    assert_eq!(desk.dials_over(60_000).1, Over::WebSocket);
}

#[test]
fn one_that_freezes_is_relieved_by_requests_trk_10() {
    let mut desk = polling();
    desk.live(1, 30_000);
    desk.freeze(1);
    assert_eq!(overs(&desk.turn()), [Over::Requests]);
}

#[test]
fn somebody_else_is_asked_both_ways_and_then_left_alone_for_a_minute_rly_41() {
    let mut desk = Desk::new();
    desk.errand(use_relay(1, WAY));
    let (link, _) = desk.dials_over(0);
    desk.lose_with(link, Lost::NotUpgraded);
    let (link, over) = desk.dials_over(500);
    assert_eq!(over, Over::Requests);
    desk.lose_with(link, Lost::WrongKeys);
    desk.wait(HOPELESS_RETRY_MS - 1);
    assert_eq!(overs(&desk.turn()), []);
    desk.wait(1);
    assert_eq!(overs(&desk.turn()), [Over::WebSocket]);
}

#[test]
fn beside_one_that_polls_fewer_handshakes_begin_with_its_name_trk_5() {
    let mut desk = polling();
    let began = |desk: &mut Desk, id: u8| {
        desk.errand(Errand::Knock(knock(id, &[WAY])));
        let knocked = desk.knocked_at().len();
        desk.answer(id, Err(KnockError::Unreachable));
        knocked
    };
    desk.live(1, WINDOW_MS);
    let knocked = [1, 2, 3].map(|id| began(&mut desk, id));
    assert_eq!(knocked, [1, 1, 0], "one is kept for it");
}

#[test]
fn a_name_that_is_treated_with_care_is_not_polled_trk_6() {
    let mut desk = Desk::new();
    desk.errand(use_relay(1, WAY));
    // Whole and in pieces.
    for _ in 0..2 {
        let (link, _) = desk.dials_over(60_000);
        desk.lose_with(link, Lost::Silenced);
    }
    let (link, _) = desk.dials_over(2 * REST_MS);
    desk.lose_with(link, Lost::NotUpgraded);
    assert_eq!(desk.dials_over(60_000).1, Over::WebSocket);
}
