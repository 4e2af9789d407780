//! Where no WebSocket passes: what came to nothing as one, on a connection that stood, is tried by requests (TRK-10).
//!
//! In: dials as they begin, and what came of them. Out: whether the next goes by requests. A box that takes TLS apart, or a web server before a relay, may pass ordinary requests and no upgrade; but
//! requests cost more, so they are for where they are needed, and a WebSocket is tried again after a while. How messages
//! go in requests is the carrier's. Pure.

use std::collections::BTreeMap;

use stonechat_wire::address::{is_bridge, is_drop};
use stonechat_wire::ids::Timestamp;

use super::browser::is_by_browser;
use super::hellos::key;
use super::hops::helper;
use super::relay::Relay;
use super::{Courier, LinkId, Lost};

/// How long a place is gone to by requests after they worked where no WebSocket did, in ms; four times as long after each
/// further time.
pub const POLL_MS: u64 = 600_000;
/// The longest time for which it is, in ms; for so long after it nothing is forgotten.
pub const POLL_MS_MAX: u64 = 24 * 3_600_000;
/// Places of which something is known at once.
const PLACES_MAX: usize = super::LEARNED_MAX;

/// How a session's messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Over {
    /// In those of a WebSocket.
    #[default]
    WebSocket,
    /// In the bodies of requests and answers (RLY-47).
    Requests,
}

/// Whether a way may be gone by requests: one of a relay's own. What somebody else dials is theirs, and who passes channels
/// on or is a bridge has no web server before it.
pub fn may_poll(way: &str) -> bool {
    helper(way).is_none() && !is_by_browser(way) && !is_drop(way) && !is_bridge(way)
}

/// What came of a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// The relay.
    Open,
    /// A connection that stood, and no WebSocket on it.
    NotUpgraded,
    /// Somebody else.
    Stranger,
    /// It says nothing of that: nobody was reached, or nobody waits for it any more.
    Unknown,
}

impl Lost {
    pub(super) const fn came(self) -> Came {
        match self {
            Self::NotUpgraded => Came::NotUpgraded,
            Self::WrongKeys | Self::Malformed => Came::Stranger,
            Self::Broken | Self::Silenced | Self::Reset | Self::Refused | Self::Denied | Self::NotPassedOn => {
                Came::Unknown
            }
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Polls {
    begun: BTreeMap<LinkId, (String, Over)>,
    places: BTreeMap<String, Place>,
}

/// What is known of a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    until: Timestamp,
    worked_count: u32,
    /// Requests are to be tried next.
    is_next: bool,
}

impl Place {
    /// As it is kept: until when, and how often requests worked.
    pub(super) const fn parts(self) -> (u64, u32) {
        (self.until.0, self.worked_count)
    }

    pub(super) const fn of((until, worked_count): (u64, u32)) -> Self {
        Self {
            until: Timestamp(until),
            worked_count,
            is_next: false,
        }
    }

    /// Requests work, or still do. Out: until when nothing else is tried.
    fn works(&mut self, now: Timestamp) -> Timestamp {
        self.is_next = false;
        if self.until <= now {
            let times = 4_u64.saturating_pow(self.worked_count);
            self.until = now.plus_ms(POLL_MS.saturating_mul(times).min(POLL_MS_MAX));
            self.worked_count = self.worked_count.saturating_add(1);
        }
        self.until
    }
}

impl Polls {
    /// How the next dial on a way is to go.
    pub(super) fn over(&self, now: Timestamp, way: &str) -> Over {
        let place = self.places.get(&key(way)).filter(|_| may_poll(way));
        if place.is_some_and(|place| place.is_next || now < place.until) {
            Over::Requests
        } else {
            Over::WebSocket
        }
    }

    /// A dial begins.
    pub(super) fn begin(&mut self, link: LinkId, way: &str, over: Over) {
        self.begun.insert(link, (way.to_owned(), over));
    }

    /// What came of it. Out: until when a way that goes by requests does so.
    pub(super) fn ended(&mut self, now: Timestamp, link: LinkId, came: Came) -> Option<Timestamp> {
        let (way, over) = self.begun.remove(&link)?;
        match (over, came) {
            (Over::WebSocket, Came::NotUpgraded) if may_poll(&way) => self.place(&way).is_next = true,
            (Over::WebSocket, Came::Open) => {
                if let Some(place) = self.places.get_mut(&key(&way)) {
                    place.is_next = false;
                }
            }
            (Over::WebSocket, Came::NotUpgraded | Came::Stranger | Came::Unknown) => {}
            (Over::Requests, Came::Open) => return Some(self.place(&way).works(now)),
            (Over::Requests, Came::NotUpgraded | Came::Stranger) => {
                let place = self.place(&way);
                (place.is_next, place.until) = (false, place.until.min(now));
            }
            (Over::Requests, Came::Unknown) => self.place(&way).is_next = false,
        }
        None
    }

    /// A WebSocket on a way that goes by requests was tried in vain. Out: when to try again.
    fn stays(&mut self, now: Timestamp, way: &str) -> Timestamp {
        self.place(way).works(now)
    }

    fn place(&mut self, way: &str) -> &mut Place {
        let key = key(way);
        if self.places.len() >= PLACES_MAX && !self.places.contains_key(&key) {
            let oldest = self.places.iter().min_by_key(|(_, place)| place.until);
            let oldest = oldest.map(|(name, _)| name.clone());
            oldest.and_then(|name| self.places.remove(&name));
        }
        self.places.entry(key).or_default()
    }

    /// What is worth keeping.
    pub(super) fn kept(&self, now: Timestamp) -> BTreeMap<String, Place> {
        let worked = |place: &Place| place.worked_count > 0 && now < place.until.plus_ms(POLL_MS_MAX);
        let still = self.places.iter().filter(|(_, place)| worked(place));
        still
            .map(|(key, place)| (key.clone(), Place::of(place.parts())))
            .collect()
    }

    /// On this network that is known; nothing goes by requests for longer than it could have been told to now.
    pub(super) fn recall(&mut self, now: Timestamp, places: BTreeMap<String, Place>) {
        self.places = places;
        for place in self.places.values_mut() {
            place.until = place.until.min(now.plus_ms(POLL_MS_MAX));
        }
    }
}

impl Courier {
    /// How the next dial on a way is to go. With a name that is treated with care there is no second connection to spare
    /// (TRK-6).
    pub(super) fn over(&self, now: Timestamp, way: &str) -> Over {
        match self.polls.over(now, way) {
            Over::Requests if !self.hellos.is_careful(now, way) => Over::Requests,
            Over::Requests | Over::WebSocket => Over::WebSocket,
        }
    }

    /// A dial, or another connection for a link, is over.
    pub(super) fn dial_ended(&mut self, now: Timestamp, link: LinkId, came: Came) {
        let until = self.polls.ended(now, link, came);
        if came == Came::Open {
            self.with_relay(link, |relay| relay.polls_until(until));
        }
    }

    /// Another connection for a link did not come about: one that goes by requests goes on so.
    pub(super) fn poll_stays(&mut self, now: Timestamp, link: LinkId) {
        let relay = self.links.get(&link).and_then(|id| self.relays.get(id));
        if let Some(way) = relay.and_then(Relay::polled_way) {
            let until = self.polls.stays(now, &way);
            self.with_relay(link, |relay| relay.polls_until(Some(until)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);
    const WAY: &str = "https://a.example:443";
    const LINK: LinkId = LinkId(1);

    /// One dial from beginning to end. Out: how it went.
    fn one(polls: &mut Polls, now: Timestamp, way: &str, came: Came) -> Over {
        let over = polls.over(now, way);
        polls.begin(LINK, way, over);
        polls.ended(now, LINK, came);
        over
    }

    #[test]
    fn where_no_websocket_passes_requests_are_tried_and_kept_to_for_a_while_trk_10() {
        let mut polls = Polls::default();
        assert_eq!(one(&mut polls, NOW, WAY, Came::NotUpgraded), Over::WebSocket);
        assert_eq!(
            one(&mut polls, NOW, "https://b.example:443", Came::Open),
            Over::WebSocket
        );
        let numbered = "https://a.example:443@192.0.2.7:443";
        assert_eq!(
            one(&mut polls, NOW, numbered, Came::Open),
            Over::Requests,
            "its numbers too"
        );
        let mut now = NOW.plus_ms(POLL_MS - 1);
        assert_eq!(one(&mut polls, now, WAY, Came::Open), Over::Requests);
        for times in [4, 16] {
            now = now.plus_ms(1);
            assert_eq!(
                one(&mut polls, now, WAY, Came::NotUpgraded),
                Over::WebSocket,
                "tried again"
            );
            assert_eq!(one(&mut polls, now, WAY, Came::Open), Over::Requests);
            now = now.plus_ms(times * POLL_MS - 1);
            assert_eq!(one(&mut polls, now, WAY, Came::Open), Over::Requests, "for longer");
        }
        for _ in 0..9 {
            now = now.plus_ms(POLL_MS_MAX);
            one(&mut polls, now, WAY, Came::NotUpgraded);
            one(&mut polls, now, WAY, Came::Open);
        }
        assert_eq!(
            polls.over(now.plus_ms(POLL_MS_MAX), WAY),
            Over::WebSocket,
            "a day at most"
        );
    }

    #[test]
    fn where_neither_passes_both_are_tried_in_turn_trk_10() {
        for came in [Came::Stranger, Came::Unknown] {
            let mut polls = Polls::default();
            for over in [Over::WebSocket, Over::Requests, Over::WebSocket, Over::Requests] {
                let came = if over == Over::WebSocket {
                    Came::NotUpgraded
                } else {
                    came
                };
                assert_eq!(one(&mut polls, NOW, WAY, came), over);
            }
        }
        let mut polls = Polls::default();
        one(&mut polls, NOW, WAY, Came::NotUpgraded);
        one(&mut polls, NOW, WAY, Came::Open);
        one(&mut polls, NOW, WAY, Came::Unknown);
        assert_eq!(polls.over(NOW, WAY), Over::Requests, "who is not reached says nothing");
        one(&mut polls, NOW, WAY, Came::Stranger);
        assert_eq!(polls.over(NOW, WAY), Over::WebSocket);
    }

    #[test]
    fn what_others_dial_is_not_ours_to_poll_trk_10() {
        let bridge = format!("obfs4://192.0.2.7:1/{}", "A".repeat(70));
        for way in [
            "https://a.example:443@browser:443",
            "davs://u:p@dav.example:443/x",
            &format!("https://a.example:443@via/{:032x}", 2),
            &bridge,
        ] {
            let mut polls = Polls::default();
            one(&mut polls, NOW, way, Came::NotUpgraded);
            assert_eq!(polls.over(NOW, way), Over::WebSocket, "{way}");
            assert!(polls.places.is_empty());
        }
        assert!(may_poll("https://a.example:443@proxy:443") && may_poll("a.example:80"));
    }

    #[test]
    fn what_is_known_of_places_is_kept_for_a_day_more_and_of_so_many_trk_8() {
        let mut polls = Polls::default();
        for n in 0..1_000 {
            let (way, now) = (format!("a{n}:1"), NOW.plus_ms(n));
            one(&mut polls, now, &way, Came::NotUpgraded);
            one(&mut polls, now, &way, Came::Open);
        }
        assert_eq!(polls.places.len(), PLACES_MAX);
        let kept = polls.kept(NOW);
        assert_eq!(kept.len(), PLACES_MAX);
        assert!(polls.kept(NOW.plus_ms(1_000 + POLL_MS + POLL_MS_MAX)).is_empty());
        let mut later = Polls::default();
        // A clock that was set back since.
        let before = NOW.minus_ms(500_000);
        later.recall(before, kept.clone());
        assert_eq!(later.over(before, "a999:1"), Over::Requests);
        later.recall(before, [(key("a:1"), Place::of((u64::MAX, 9)))].into());
        assert_eq!(later.over(before.plus_ms(POLL_MS_MAX), "a:1"), Over::WebSocket);
    }
}
