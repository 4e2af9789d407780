//! A moment to come that a clock which is set back does not put off.
//!
//! In: a time of the device clock, or how long from now. Out: whether it has come: by that clock, or by the time that has passed
//! since (which stands still while a computer sleeps, so that the clock counts as well).

use crate::engine::now;
use std::time::{Duration, Instant};
use stonechat_wire::ids::Timestamp;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Alarm {
    at: Timestamp,
    /// None where that is further away than can be said.
    by: Option<Instant>,
}

impl Alarm {
    pub(crate) fn at(at: Timestamp) -> Self {
        Self::seen(at, now(), Instant::now())
    }

    pub(crate) fn after(ms: u64) -> Self {
        Self::at(now().plus_ms(ms))
    }

    fn seen(at: Timestamp, now: Timestamp, passed: Instant) -> Self {
        let left = Duration::from_millis(at.0.saturating_sub(now.0));
        Self {
            at,
            by: passed.checked_add(left),
        }
    }

    pub(crate) fn is_due(self) -> bool {
        self.left().is_zero()
    }

    /// How long until then.
    pub(crate) fn left(self) -> Duration {
        self.left_at(now(), Instant::now())
    }

    fn left_at(self, now: Timestamp, passed: Instant) -> Duration {
        let by_clock = Duration::from_millis(self.at.0.saturating_sub(now.0));
        let by_time = self.by.map(|by| by.saturating_duration_since(passed));
        by_time.map_or(by_clock, |by_time| by_time.min(by_clock))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_or_on_puts_nothing_off_sto_6() {
        let (noon, start) = (Timestamp(43_200_000), Instant::now());
        let alarm = Alarm::seen(noon.plus_ms(1000), noon, start);
        let later = |ms| start + Duration::from_millis(ms);
        assert_eq!(alarm.left_at(noon, start), Duration::from_secs(1));
        assert_eq!(alarm.left_at(noon.plus_ms(400), later(400)), Duration::from_millis(600));
        // Two hours back: what has passed counts.
        assert_eq!(
            alarm.left_at(Timestamp(36_000_000), later(400)),
            Duration::from_millis(600)
        );
        assert_eq!(alarm.left_at(Timestamp(36_000_000), later(1000)), Duration::ZERO);
        // The computer slept: the clock counts.
        assert_eq!(alarm.left_at(noon.plus_ms(5000), later(1)), Duration::ZERO);
    }

    #[test]
    fn never_is_never() {
        let start = Instant::now();
        let alarm = Alarm::seen(Timestamp(u64::MAX), Timestamp(0), start);
        assert!(!alarm.left_at(Timestamp(1), start).is_zero());
    }
}
