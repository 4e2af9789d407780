//! How often a TLS handshake with one name may begin: whoever hammers gets the name listed.
//!
//! In: ways and times. Out: now, or when. Counted are dials, reliefs and knocks alike, for who looks on sees no difference;
//! by name and port, since what the name leads to is not known here. A way without TLS names nobody and is not counted.

use std::collections::{BTreeMap, VecDeque};

use stonechat_wire::address::{Around, port, split};
use stonechat_wire::ids::Timestamp;

use super::browser::is_by_browser;
use super::hops::helper;
use super::proxied::is_by_proxy;

/// Most handshakes with one address that begin within [`WINDOW_MS`].
pub const HELLOS_MAX: usize = 3;
/// See [`HELLOS_MAX`]; in ms. Some censors count four within 10 s.
pub const WINDOW_MS: u64 = 10_500;
/// Most handshakes with one address that are under way at once.
pub const UNDER_WAY_MAX: usize = 2;
/// When to ask again while too many are under way, in ms.
const UNDER_WAY_PAUSE_MS: u64 = 500;

/// How long a name rests after a handshake that was silenced, in ms: longer than the minute for which it is held in
/// Russia and Iran. Twice as long after each further one.
pub const REST_MS: u64 = 65_000;
/// The longest rest, in ms: longer than the six minutes for which a name is held in China.
pub const REST_MS_MAX: u64 = 400_000;
/// For so long after a rest one handshake begins within [`WINDOW_MS`], not [`HELLOS_MAX`], in ms.
pub const CAREFUL_MS: u64 = 600_000;

/// What handshakes are counted by: the name that is said in them, and the port that is dialled.
pub(super) fn key(way: &str) -> String {
    format!("{}|{}", split(way).1, port(way))
}

/// Whether nobody here sees a name on this way: there is none, or another relay (FWD-7) or a proxy passes it on.
fn is_unseen(way: &str) -> bool {
    split(way).0 == Around::Plain || helper(way).is_some() || is_by_proxy(way)
}

/// The name of a [`key`].
fn name_of(key: &str) -> &str {
    key.split_once('|').map_or(key, |(name, _)| name)
}

/// How many handshakes begin at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// So many.
    pub(super) count: usize,
    /// So many others are kept free for whoever needs one without asking.
    pub(super) kept: usize,
}

/// When handshakes began, by [`key`], as far back as it matters, and which want care.
#[derive(Debug, Default)]
pub(super) struct Hellos {
    began: BTreeMap<String, VecDeque<Timestamp>>,
    cares: BTreeMap<String, Care>,
}

/// What a silenced handshake leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Care {
    rests_until: Timestamp,
    silenced_count: u32,
}

impl Care {
    /// As it is kept: until when the name rests, and how many were silenced.
    pub(super) const fn parts(self) -> (u64, u32) {
        (self.rests_until.0, self.silenced_count)
    }

    pub(super) const fn of((rests_until, silenced_count): (u64, u32)) -> Self {
        Self {
            rests_until: Timestamp(rests_until),
            silenced_count,
        }
    }

    const fn ends_at(&self) -> Timestamp {
        self.rests_until.plus_ms(CAREFUL_MS)
    }
}

impl Hellos {
    /// Names that want care now.
    pub(super) fn cares(&self, now: Timestamp) -> BTreeMap<String, Care> {
        let still = self.cares.iter().filter(|(_, care)| now < care.ends_at());
        still.map(|(name, care)| (name.clone(), *care)).collect()
    }

    /// On this network these names want care; none rests for longer than it could have been told to now.
    pub(super) fn recall(&mut self, now: Timestamp, cares: BTreeMap<String, Care>) {
        self.cares = cares;
        for care in self.cares.values_mut() {
            care.rests_until = care.rests_until.min(now.plus_ms(REST_MS_MAX));
        }
    }

    /// Whether a name is treated with care at the moment (TRK-6).
    pub(super) fn is_careful(&self, now: Timestamp, address: &str) -> bool {
        let key = key(address);
        let of_name = |other: &str| name_of(other) == name_of(&key);
        let mut cares = self.cares.iter();
        !is_unseen(address) && cares.any(|(other, care)| of_name(other) && now < care.ends_at())
    }

    #[cfg(test)]
    fn begin(&mut self, now: Timestamp, address: &str, under_way: usize) -> Result<(), Timestamp> {
        let one = Wanted { count: 1, kept: 0 };
        self.begin_some(now, address, under_way, one)
    }

    /// Begins a handshake, or two, `under_way` of which are so with this address. Errors: too early, and when to ask again.
    pub(super) fn begin_some(
        &mut self,
        now: Timestamp,
        address: &str,
        under_way: usize,
        wanted: Wanted,
    ) -> Result<(), Timestamp> {
        if is_unseen(address) {
            return Ok(());
        }
        if under_way >= UNDER_WAY_MAX {
            return Err(now.plus_ms(UNDER_WAY_PAUSE_MS));
        }
        self.began.retain(|_, times| {
            times.retain(|time| now < time.plus_ms(WINDOW_MS));
            !times.is_empty()
        });
        self.cares.retain(|_, care| now < care.ends_at());
        let key = key(address);
        // A browser's hello is another one (DIAL-1).
        let is_resting = |care: &&Care| now < care.rests_until && !is_by_browser(address);
        if let Some(care) = self.cares.get(&key).filter(is_resting) {
            return Err(care.rests_until);
        }
        let is_careful = self.cares.keys().any(|other| name_of(other) == name_of(&key));
        let most = if is_careful {
            1
        } else {
            HELLOS_MAX.saturating_sub(wanted.kept)
        };
        let times = self.began.entry(key).or_default();
        // Those that it leaves room for.
        let others = most.saturating_sub(wanted.count);
        match times.iter().rev().nth(others) {
            Some(first) => Err(first.plus_ms(WINDOW_MS)),
            None => {
                times.extend(std::iter::repeat_n(now, wanted.count));
                Ok(())
            }
        }
    }

    /// A handshake with this address was silenced: it rests, and is treated with care afterwards (TRK-6).
    pub(super) fn silenced(&mut self, now: Timestamp, address: &str) {
        if is_unseen(address) {
            return;
        }
        let care = self.cares.entry(key(address)).or_insert(Care {
            rests_until: now,
            silenced_count: 0,
        });
        let rest_ms = REST_MS.saturating_mul(1 << care.silenced_count.min(8)).min(REST_MS_MAX);
        care.rests_until = care.rests_until.max(now.plus_ms(rest_ms));
        care.silenced_count = care.silenced_count.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    #[test]
    fn three_handshakes_with_a_name_and_then_a_pause_trk_5() {
        let mut hellos = Hellos::default();
        for n in 0..3 {
            assert_eq!(hellos.begin(NOW.plus_ms(n), "https://a:443", 0), Ok(()));
        }
        let free_at = NOW.plus_ms(WINDOW_MS);
        assert_eq!(hellos.begin(NOW.plus_ms(9_000), "https://a:443", 0), Err(free_at));
        assert_eq!(
            hellos.begin(NOW.plus_ms(9_000), "https://b:443", 0),
            Ok(()),
            "another name"
        );
        assert_eq!(hellos.begin(NOW.plus_ms(9_000), "a:443", 9), Ok(()), "no name at all");
        assert_eq!(hellos.begin(free_at, "https://a:443", 0), Ok(()));
        assert!(hellos.begin(free_at, "https://a:443", 0).is_err());
    }

    #[test]
    fn a_silenced_name_rests_and_is_then_treated_with_care_trk_6() {
        let mut hellos = Hellos::default();
        let address = "https://a:443";
        hellos.silenced(NOW, address);
        assert_eq!(hellos.begin(NOW, address, 0), Err(NOW.plus_ms(REST_MS)));
        assert_eq!(hellos.begin(NOW, "https://b:443", 0), Ok(()), "another name");
        let after = NOW.plus_ms(REST_MS);
        assert_eq!(hellos.begin(after, address, 0), Ok(()));
        assert_eq!(
            hellos.begin(after, address, 0),
            Err(after.plus_ms(WINDOW_MS)),
            "one at a time"
        );
        hellos.silenced(after, address);
        assert_eq!(
            hellos.begin(after, address, 0),
            Err(after.plus_ms(2 * REST_MS)),
            "longer"
        );
        for _ in 0..9 {
            hellos.silenced(after, address);
        }
        assert_eq!(hellos.begin(after, address, 0), Err(after.plus_ms(REST_MS_MAX)));
        let long_after = after.plus_ms(REST_MS_MAX + CAREFUL_MS);
        for _ in 0..HELLOS_MAX {
            assert_eq!(hellos.begin(long_after, address, 0), Ok(()), "forgotten");
        }
    }

    #[test]
    fn what_a_name_leads_to_and_its_numbers_count_together_by_port_trk_5() {
        let mut hellos = Hellos::default();
        for way in [
            "https://a:443",
            "https://a:443@192.0.2.7:443",
            "https://a:443@192.0.2.8:443",
        ] {
            assert_eq!(hellos.begin(NOW, way, 0), Ok(()));
        }
        assert!(hellos.begin(NOW, "https://a:443", 0).is_err());
        assert_eq!(
            hellos.begin(NOW, "https://a:443@192.0.2.7:8443", 0),
            Ok(()),
            "another port"
        );
        hellos.silenced(NOW, "https://a:443@192.0.2.7:8443");
        let after = NOW.plus_ms(WINDOW_MS);
        assert_eq!(hellos.begin(after, "https://a:443", 0), Ok(()));
        assert!(
            hellos.begin(after, "https://a:443", 0).is_err(),
            "the name is treated with care at every port"
        );
        assert!(hellos.begin(after, "https://a:443@192.0.2.7:8443", 0).is_err());
    }

    #[test]
    fn a_long_poll_counts_as_two_and_has_one_more_kept_for_it_trk_10() {
        let mut hellos = Hellos::default();
        let begin = |hellos: &mut Hellos, at: u64, count, kept| {
            let wanted = Wanted { count, kept };
            hellos.begin_some(NOW.plus_ms(at), "https://a:443", 0, wanted)
        };
        assert_eq!(begin(&mut hellos, 0, 2, 0), Ok(()));
        let free_at = NOW.plus_ms(WINDOW_MS);
        assert_eq!(begin(&mut hellos, 1, 1, 1), Err(free_at), "the third is the poll's own");
        assert_eq!(begin(&mut hellos, 2, 1, 0), Ok(()), "where none stands");
        assert_eq!(begin(&mut hellos, 3, 2, 0), Err(free_at));
        assert_eq!(begin(&mut hellos, WINDOW_MS, 2, 0), Ok(()), "three in all");
        assert_eq!(
            begin(&mut hellos, 2 * WINDOW_MS, 2, 1),
            Ok(()),
            "one takes another over"
        );
        assert_eq!(begin(&mut hellos, 2 * WINDOW_MS, 1, 1), Err(NOW.plus_ms(3 * WINDOW_MS)));
    }

    #[test]
    fn two_at_once_and_no_more_trk_5() {
        let mut hellos = Hellos::default();
        assert_eq!(hellos.begin(NOW, "https://a:443", 1), Ok(()));
        assert!(hellos.begin(NOW, "https://a:443", 2).is_err());
    }
}
