//! When this device is to run its near relay (LAN-6).
//!
//! In: the time, and whether it is alone: no relay answers but near ones. Out: from when on it runs, and until when. Pure.

use stonechat_wire::ids::Timestamp;

/// No other relay has answered for so long: it is to run, in ms.
pub const NEAR_AFTER_MS: u64 = 5_000;
/// One has answered for so long: it ends, in ms. Until then those who read there hear what was under way.
pub const NEAR_LINGER_MS: u64 = 60_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Nearness {
    runs: bool,
    turn_at: Option<Timestamp>,
}

impl Nearness {
    /// Out: whether it is to run, where that changes now.
    pub(super) fn turn(&mut self, now: Timestamp, is_alone: bool) -> Option<bool> {
        if is_alone == self.runs {
            self.turn_at = None;
            return None;
        }
        let pause = if is_alone { NEAR_AFTER_MS } else { NEAR_LINGER_MS };
        if *self.turn_at.get_or_insert_with(|| now.plus_ms(pause)) > now {
            return None;
        }
        self.turn_at = None;
        self.runs = is_alone;
        Some(is_alone)
    }

    pub(super) const fn wake_at(&self) -> Option<Timestamp> {
        self.turn_at
    }
}
