//! When to look around on the local network for relays that do not answer (LAN-3).
//!
//! In: the time, and whether a relay is missing. Out: now, or when. Pure.

use stonechat_wire::ids::Timestamp;

/// A relay has not answered for so long, in ms.
pub const LOOK_AFTER_MS: u64 = 5_000;
/// Pause after the first look, in ms; it doubles.
pub const LOOK_EVERY_MS: u64 = 60_000;
/// Longest pause, in ms.
pub const LOOK_EVERY_MS_MAX: u64 = 300_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Looking {
    next_at: Option<Timestamp>,
    looks: u32,
}

impl Looking {
    /// Whether to look now.
    pub(super) fn is_due(&mut self, now: Timestamp, is_missing: bool) -> bool {
        if !is_missing {
            *self = Self::default();
            return false;
        }
        let next_at = *self.next_at.get_or_insert_with(|| now.plus_ms(LOOK_AFTER_MS));
        if next_at > now {
            return false;
        }
        let pause = LOOK_EVERY_MS.saturating_mul(1 << self.looks.min(16));
        self.next_at = Some(now.plus_ms(pause.min(LOOK_EVERY_MS_MAX)));
        self.looks = self.looks.saturating_add(1);
        true
    }

    /// Another network: who is missing may be near.
    pub(super) fn begin_again(&mut self) {
        *self = Self::default();
    }

    pub(super) const fn wake_at(&self) -> Option<Timestamp> {
        self.next_at
    }
}
