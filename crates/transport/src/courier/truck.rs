//! How connections to a relay are held: one for long, or many short ones that end before a censor's count is full.
//!
//! In: what connections have used up, and which of them froze. Out: how much the next may carry, and when it is time for it.
//! Some networks let a connection carry 25 packets or 16 KB and then drop everything on it without a word; others close
//! a name to whoever begins four connections within ten seconds. So connections are held *steady* where that works, and
//! *short* where one froze young. After a while steady is tried again.

use stonechat_wire::ids::Timestamp;

/// Most bytes of a session that one short connection carries, each way: with both handshakes well below 16 KB.
pub const SHORT_LOAD_BYTES: u32 = 9 << 10;
/// Packets after which a short connection wants to be relieved.
pub const TIRED_PACKETS: u32 = 15;
/// Bytes after which it does.
pub const TIRED_BYTES: u32 = 11 << 10;
/// Packets after which nothing new is begun on a short connection: 25 end it on some networks.
pub const SPENT_PACKETS: u32 = 20;
/// A connection that carried more packets than this, and more bytes than [`PROVEN_BYTES`], is not one that a count cuts
/// short.
pub const PROVEN_PACKETS: u32 = 64;
/// See [`PROVEN_PACKETS`].
pub const PROVEN_BYTES: u32 = 40 << 10;
/// How long connections are held short after the first that froze, in ms; four times as long after each further one.
pub const SHORT_MS: u64 = 120_000;
/// The longest time for which they are held short, in ms.
pub const SHORT_MS_MAX: u64 = 24 * 3_600_000;

/// What a connection has used up so far, as the way sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Used {
    /// Packets with data, both ways.
    pub packets: u32,
    /// Bytes of the busier direction.
    pub bytes: u32,
    /// Something waits that this connection may not carry.
    pub is_full: bool,
}

impl Used {
    /// Whether it has gone farther than any known count lets it.
    pub const fn is_proven(self) -> bool {
        self.packets > PROVEN_PACKETS && self.bytes > PROVEN_BYTES
    }

    /// Whether a short connection should be relieved.
    pub(super) const fn is_tired(self) -> bool {
        self.is_full || self.packets >= TIRED_PACKETS || self.bytes >= TIRED_BYTES
    }
}

/// What was learned of the way to one relay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Habit {
    short_until: Timestamp,
    frozen_count: u32,
}

impl Habit {
    /// As it is kept: until when connections are held short, and how many froze.
    pub(super) const fn parts(self) -> (u64, u32) {
        (self.short_until.0, self.frozen_count)
    }

    pub(super) const fn of((short_until, frozen_count): (u64, u32)) -> Self {
        Self {
            short_until: Timestamp(short_until),
            frozen_count,
        }
    }

    /// As it was remembered: never longer than it could have been set now, whatever the clock did meanwhile.
    pub(super) fn recalled(self, now: Timestamp) -> Self {
        Self {
            short_until: self.short_until.min(now.plus_ms(SHORT_MS_MAX)),
            ..self
        }
    }

    /// How much of a session the next connection may carry; 0: any amount.
    pub(super) fn load_max(self, now: Timestamp) -> u32 {
        if self.is_short(now) { SHORT_LOAD_BYTES } else { 0 }
    }

    pub(super) fn is_short(self, now: Timestamp) -> bool {
        now < self.short_until
    }

    /// A connection fell silent. One that was young tells something about the way.
    pub(super) fn froze(&mut self, now: Timestamp, used: Used) {
        if !used.is_proven() {
            let ms = SHORT_MS
                .saturating_mul(4_u64.saturating_pow(self.frozen_count))
                .min(SHORT_MS_MAX);
            self.short_until = self.short_until.max(now.plus_ms(ms));
            self.frozen_count = self.frozen_count.saturating_add(1);
        }
    }

    /// A connection has used so much. One that was held and went far clears the way's name.
    pub(super) fn carried(&mut self, used: Used) {
        if used.is_proven() {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn used(packets: u32) -> Used {
        Used {
            packets,
            ..Used::default()
        }
    }

    const PROVEN: Used = Used {
        packets: PROVEN_PACKETS + 1,
        bytes: PROVEN_BYTES + 1,
        is_full: false,
    };

    #[test]
    fn a_young_connection_that_froze_makes_the_next_ones_short_trk_2() {
        let mut habit = Habit::default();
        assert_eq!(habit.load_max(NOW), 0);
        habit.froze(NOW, PROVEN);
        assert_eq!(habit.load_max(NOW), 0, "an old one proves nothing");
        habit.froze(NOW, used(26));
        assert_eq!(habit.load_max(NOW), SHORT_LOAD_BYTES);
        assert_eq!(habit.load_max(NOW.plus_ms(SHORT_MS)), 0, "then steady is tried again");
    }

    #[test]
    fn each_further_one_keeps_them_short_for_longer_up_to_a_day_trk_2() {
        let mut habit = Habit::default();
        let lasts = |habit: &mut Habit| {
            habit.froze(NOW, used(26));
            habit.short_until.since_ms(NOW)
        };
        let times: Vec<_> = (0..8).map(|_| lasts(&mut habit)).collect();
        assert_eq!(times[..3], [SHORT_MS, 4 * SHORT_MS, 16 * SHORT_MS]);
        assert_eq!(times[7], SHORT_MS_MAX);
        // Many small packets are below 16 KB, and few large ones below 25.
        habit.carried(Used {
            bytes: 16 << 10,
            ..PROVEN
        });
        habit.carried(Used { packets: 25, ..PROVEN });
        assert!(habit.is_short(NOW));
        habit.carried(PROVEN);
        assert_eq!(habit, Habit::default());
    }

    #[test]
    fn a_short_connection_tires_before_any_known_count_is_full_trk_3() {
        assert!(!used(TIRED_PACKETS - 1).is_tired() && used(TIRED_PACKETS).is_tired());
        let bytes = |bytes| Used {
            bytes,
            ..Used::default()
        };
        assert!(!bytes(TIRED_BYTES - 1).is_tired() && bytes(TIRED_BYTES).is_tired());
        let full = Used {
            is_full: true,
            ..Used::default()
        };
        assert!(full.is_tired());
    }
}
