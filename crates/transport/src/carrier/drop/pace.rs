//! When to look: soon while there is talk, seldom while there is none, and never to the beat of a clock.

use rand_core::Rng;

/// Time to the next look after something came or was put, in ms.
pub const POLL_MS_MIN: u64 = 2_000;
/// Longest time between two looks, in ms, before jitter.
pub const POLL_MS_MAX: u64 = 60_000;
/// Time between two looks at everything, in ms.
pub const SCAN_MS: u64 = 3_600_000;

#[derive(Debug)]
pub(super) struct Pace {
    interval_ms: u64,
}

impl Pace {
    pub(super) const fn new() -> Self {
        Self {
            interval_ms: POLL_MS_MIN,
        }
    }

    /// There is talk.
    pub(super) const fn liven(&mut self) {
        self.interval_ms = POLL_MS_MIN;
    }

    /// How long until the next look, in ms: each time half as long again, a quarter more or less by dice.
    pub(super) fn next_ms(&mut self, dice: &mut impl Rng) -> u64 {
        let now = self.interval_ms;
        self.interval_ms = (now + now / 2).min(POLL_MS_MAX);
        jittered(now, dice)
    }

    /// The same where the server says by itself what comes, so that a look only finds out whether it still does.
    pub(super) fn rest_ms(&mut self, dice: &mut impl Rng) -> u64 {
        self.interval_ms = POLL_MS_MAX;
        jittered(POLL_MS_MAX, dice)
    }
}

fn jittered(ms: u64, dice: &mut impl Rng) -> u64 {
    ms * 3 / 4 + u64::from(dice.next_u32()) % (ms / 2)
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn looks_become_rare_while_nobody_talks_and_keep_no_beat_drp_10() {
        let (mut pace, mut dice) = (Pace::new(), ChaCha20Rng::from_seed([1; 32]));
        let waits: Vec<u64> = (0..40).map(|_| pace.next_ms(&mut dice)).collect();
        assert!((1_500..=2_500).contains(&waits[0]), "{waits:?}");
        assert!(waits[..8].iter().sum::<u64>() < 120_000, "{waits:?}");
        let late = &waits[12..];
        assert!(late.iter().all(|wait| (45_000..=75_000).contains(wait)), "{late:?}");
        let (least, most) = (late.iter().min().unwrap(), late.iter().max().unwrap());
        assert!(most - least > 15_000, "{late:?}");
        pace.liven();
        assert!(pace.next_ms(&mut dice) <= 2_500);
    }
}
