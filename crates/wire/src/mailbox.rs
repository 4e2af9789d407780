//! Mailbox rotation: where an epoch's envelopes wait, and which slots are read.
//!
//! In: an epoch's exporter secret and the slot clock's time. Out: tokens (the right to put) and, by
//! [`Token::tag`], tags (where to read). Which clock is right is core's question, polling the courier's.
//! Specified in `docs/protocol/02-mailbox.md`.

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::ids::{Timestamp, Token};
use crate::kdf::hmac;

/// One slot: a UTC week, counted from 1970-01-01 (MBX-4).
pub const SLOT_MS: u64 = 7 * 24 * 3600 * 1000;
/// How many past slots of the app lane stay read (MBX-5).
pub const SLOTS_BACK: u32 = 5;
/// How many future slots of the app lane are read (MBX-5).
pub const SLOTS_AHEAD: u32 = 1;
/// Highest `k` a writer goes to when mailboxes are full (MBX-6).
pub const OVERFLOW_MAX: u8 = 255;

/// Which of an epoch's two mailboxes: ordinary messages, or commits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Lane {
    /// Messages; rotates weekly.
    App,
    /// Commits; stands still, is kept longest.
    Commit,
}

impl Lane {
    const fn code(self) -> u8 {
        match self {
            Self::App => 0,
            Self::Commit => 1,
        }
    }
}

/// A UTC week, counted from 1970-01-01 (a Thursday).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Slot(pub u32);

impl Slot {
    /// The slot that `time` falls into.
    pub fn of(time: Timestamp) -> Self {
        Self(u32::try_from(time.0 / SLOT_MS).unwrap_or(u32::MAX))
    }

    /// When this slot begins.
    pub fn start(self) -> Timestamp {
        Timestamp(u64::from(self.0).saturating_mul(SLOT_MS))
    }

    /// The slot `weeks` later.
    pub const fn plus(self, weeks: u32) -> Self {
        Self(self.0.saturating_add(weeks))
    }

    /// The slot `weeks` earlier, not before the first.
    pub const fn minus(self, weeks: u32) -> Self {
        Self(self.0.saturating_sub(weeks))
    }
}

/// The exporter secret "stonechat/mailbox" of one epoch (MBX-3). Never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MailboxRoot([u8; 32]);

impl MailboxRoot {
    /// Wraps the exporter's 32 bytes.
    pub const fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }
}

impl fmt::Debug for MailboxRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MailboxRoot(..)")
    }
}

/// The right to put into one mailbox of an epoch: HMAC(root, lane | slot | k) (MBX-3).
///
/// The commit lane has no slots: its `slot` is written as 0 whatever is given. `k` is 0 until a relay says full (MBX-6).
pub fn token(root: &MailboxRoot, lane: Lane, slot: Slot, k: u8) -> Token {
    let slot = match lane {
        Lane::App => slot.0,
        Lane::Commit => 0,
    };
    Token::from_bytes(hmac(&root.0, &[&[lane.code()], &slot.to_be_bytes(), &[k]]))
}

/// The app-lane slots that are read at `now`: −5 … +1, oldest first (MBX-5).
pub const fn app_slots(now: Slot) -> [Slot; 7] {
    [
        now.minus(5),
        now.minus(4),
        now.minus(3),
        now.minus(2),
        now.minus(1),
        now,
        now.plus(1),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    const ROOT: MailboxRoot = MailboxRoot::new([7; 32]);

    #[test]
    fn tag_is_the_hash_of_its_token_mbx_1() {
        let token = token(&ROOT, Lane::App, Slot(2900), 0);
        let hash = crate::kdf::sha256(&[b"mbx", token.as_bytes()]);
        assert_eq!(token.tag().as_bytes(), &hash[..16]);
    }

    #[test]
    fn lanes_slots_and_overflows_have_mailboxes_of_their_own_mbx_3() {
        let mut tags = BTreeSet::new();
        for lane in [Lane::App, Lane::Commit] {
            for k in 0..3 {
                tags.insert(token(&ROOT, lane, Slot(2900), k).tag());
            }
        }
        tags.insert(token(&ROOT, Lane::App, Slot(2901), 0).tag());
        tags.insert(token(&MailboxRoot::new([8; 32]), Lane::App, Slot(2900), 0).tag());
        assert_eq!(tags.len(), 8);
    }

    #[test]
    fn the_commit_lane_stands_still_mbx_4() {
        assert_eq!(
            token(&ROOT, Lane::Commit, Slot(1), 0),
            token(&ROOT, Lane::Commit, Slot(2), 0)
        );
        assert_eq!(Slot::of(Timestamp(SLOT_MS - 1)), Slot(0));
        assert_eq!(Slot::of(Timestamp(SLOT_MS)), Slot(1));
        assert_eq!(Slot(1).start(), Timestamp(SLOT_MS));
    }

    #[test]
    fn seven_slots_are_read_oldest_first_mbx_5() {
        let slots: Vec<u32> = app_slots(Slot(100)).iter().map(|slot| slot.0).collect();
        assert_eq!(slots, [95, 96, 97, 98, 99, 100, 101]);
    }

    #[test]
    fn the_next_overflow_mailbox_is_another_one_mbx_6() {
        assert_ne!(
            token(&ROOT, Lane::App, Slot(1), 0).tag(),
            token(&ROOT, Lane::App, Slot(1), 1).tag()
        );
    }
}
