//! How often a TLS handshake with one name may begin: whoever hammers gets the name listed.
//!
//! In: addresses and times. Out: now, or when. Counted are dials, reliefs and knocks alike, for the way sees no difference.
//! An address without TLS names nobody and is not counted.

use std::collections::{BTreeMap, VecDeque};

use stonechat_wire::address::{Around, split};
use stonechat_wire::ids::Timestamp;

/// Most handshakes with one address that begin within [`WINDOW_MS`].
pub const HELLOS_MAX: usize = 3;
/// See [`HELLOS_MAX`]; in ms. Some censors count four within 10 s.
pub const WINDOW_MS: u64 = 10_500;
/// Most handshakes with one address that are under way at once.
pub const UNDER_WAY_MAX: usize = 2;
/// When to ask again while too many are under way, in ms.
const UNDER_WAY_PAUSE_MS: u64 = 500;

/// When handshakes began, by address, as far back as it matters.
#[derive(Debug, Default)]
pub(super) struct Hellos {
    began: BTreeMap<String, VecDeque<Timestamp>>,
}

impl Hellos {
    /// Begins a handshake, `under_way` of which are so with this address. Errors: too early, and when to ask again.
    pub(super) fn begin(&mut self, now: Timestamp, address: &str, under_way: usize) -> Result<(), Timestamp> {
        if split(address).0 == Around::Plain {
            return Ok(());
        }
        if under_way >= UNDER_WAY_MAX {
            return Err(now.plus_ms(UNDER_WAY_PAUSE_MS));
        }
        self.began.retain(|_, times| {
            times.retain(|time| now < time.plus_ms(WINDOW_MS));
            !times.is_empty()
        });
        let times = self.began.entry(address.to_owned()).or_default();
        match times.front() {
            Some(first) if times.len() >= HELLOS_MAX => Err(first.plus_ms(WINDOW_MS)),
            Some(_) | None => {
                times.push_back(now);
                Ok(())
            }
        }
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
        assert_eq!(hellos.begin(NOW.plus_ms(9_000), "https://b:443", 0), Ok(()), "another name");
        assert_eq!(hellos.begin(NOW.plus_ms(9_000), "a:443", 9), Ok(()), "no name at all");
        assert_eq!(hellos.begin(free_at, "https://a:443", 0), Ok(()));
        assert!(hellos.begin(free_at, "https://a:443", 0).is_err());
    }

    #[test]
    fn two_at_once_and_no_more_trk_5() {
        let mut hellos = Hellos::default();
        assert_eq!(hellos.begin(NOW, "https://a:443", 1), Ok(()));
        assert!(hellos.begin(NOW, "https://a:443", 2).is_err());
    }
}
