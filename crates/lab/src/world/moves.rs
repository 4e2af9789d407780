//! Relays come and go: people add one of their own, private or not, and take one back (REL-1 to REL-5).
//!
//! In: a plan. Out: what its people do about relays, and when. Nobody waits for it: whatever is brought and taken back, each
//! text is read.

use stonechat_core::api::{ById, Command, RelayAdd};

use super::plan::{Plan, SECOND};
use super::roll::Roll;
use super::{Event, World};

/// Worlds of a hundred in which somebody does something about relays.
const PERCENT: u64 = 40;

/// What somebody does about a relay.
#[derive(Clone, Copy, Debug)]
pub struct Move {
    /// Whose device.
    pub by: usize,
    /// Which relay.
    pub relay: usize,
    /// What.
    pub change: Change,
    /// When at the earliest.
    pub at: u64,
}

/// Added, or taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// For everybody.
    Add,
    /// For contacts, one each.
    AddPrivate,
    /// If it is their own.
    TakeBack,
}

impl Plan {
    /// The same plan, with relays that come and go in some worlds; by dice of its own.
    #[must_use]
    pub(super) fn moved(mut self, seed: u64) -> Self {
        let mut roll = Roll::seeded(seed, 9);
        let roll = &mut roll;
        if self.deeds.is_empty() && roll.percent(PERCENT) {
            self.moves = (0..roll.between(1, 4)).map(|_| self.one_move(roll)).collect();
        }
        self
    }

    fn one_move(&self, roll: &mut Roll) -> Move {
        let (by, relay) = (roll.index(self.devices.len()), roll.index(self.relays.len()));
        let mut change = *roll.pick(&[Change::Add, Change::Add, Change::AddPrivate, Change::TakeBack]);
        // Whoever has no relay that others may be told of can invite nobody.
        if self.devices[by].relays.iter().all(|own| *own == relay) {
            change = Change::Add;
        }
        let at = roll.below(self.heals_at);
        Move { by, relay, change, at }
    }
}

impl World {
    /// Somebody does something about a relay. Until it is done, again; once the world has healed, no more.
    pub(crate) fn change_relays(&mut self, n: usize) {
        let Move { by, relay, change, .. } = self.plan.moves[n];
        if self.healed {
            return;
        }
        let command = match change {
            Change::Add | Change::AddPrivate => Command::RelayAdd(RelayAdd {
                route: self.relays[relay].route(),
                private: change == Change::AddPrivate,
            }),
            Change::TakeBack => Command::RelayRemove(ById {
                id: hex::encode(self.relays[relay].id().as_bytes()),
            }),
        };
        // Refused is fine: there is no account yet, or the relay is not theirs.
        if self.command(by, command).is_none() {
            let wait = self.roll.time(SECOND, 300 * SECOND).max(self.retry_wait(by));
            self.after(wait, Event::Move(n));
        }
    }
}
