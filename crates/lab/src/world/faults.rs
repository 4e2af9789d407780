//! What goes wrong, by kind, and how often it did.

use std::fmt;

/// One kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum Fault {
    /// What was in flight is lost with its connection.
    Loss,
    /// Something takes seconds to minutes.
    Delay,
    /// The same frames come twice.
    Duplicate,
    /// A push overtakes one of another mailbox.
    Reorder,
    /// A device is cut off.
    DeviceCut,
    /// A relay is cut off.
    RelayCut,
    /// A relay dies: what it had not synced is gone.
    RelayCrash,
    /// It died while something was not synced.
    Unsynced,
    /// A device dies between two steps.
    CrashBetween,
    /// A device dies while it commits.
    CrashAtCommit,
    /// A device dies after a commit, before anything leaves.
    CrashAfterCommit,
    /// A commit fails and the device lives on.
    CommitFailed,
    /// A device's disk has no room in the middle of a step.
    DiskFull,
    /// A relay comes back with an empty store.
    RelayForgets,
    /// A device's clock is off by more than a day.
    ClockOff,
    /// A device's clock jumps.
    ClockJump,
    /// Somebody types the wrong spoken words.
    WrongWords,
}

/// All kinds.
pub const FAULTS: [Fault; 17] = [
    Fault::Loss,
    Fault::Delay,
    Fault::Duplicate,
    Fault::Reorder,
    Fault::DeviceCut,
    Fault::RelayCut,
    Fault::RelayCrash,
    Fault::Unsynced,
    Fault::CrashBetween,
    Fault::CrashAtCommit,
    Fault::CrashAfterCommit,
    Fault::CommitFailed,
    Fault::DiskFull,
    Fault::RelayForgets,
    Fault::ClockOff,
    Fault::ClockJump,
    Fault::WrongWords,
];

/// How often each kind happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals([u64; FAULTS.len()]);

impl Totals {
    /// One more.
    pub fn add(&mut self, fault: Fault, count: u64) {
        self.0[fault as usize] += count;
    }

    /// How often so far.
    #[must_use]
    pub fn of(&self, fault: Fault) -> u64 {
        self.0[fault as usize]
    }

    /// How often a device died between steps or around a commit, or a commit failed or found no room.
    #[must_use]
    pub fn crashes(&self) -> u64 {
        let kinds = [
            Fault::CrashBetween,
            Fault::CrashAtCommit,
            Fault::CrashAfterCommit,
            Fault::CommitFailed,
            Fault::DiskFull,
        ];
        kinds.into_iter().map(|fault| self.of(fault)).sum()
    }

    /// The kinds that happened less often than this.
    #[must_use]
    pub fn below(&self, least: u64) -> Vec<Fault> {
        FAULTS.into_iter().filter(|fault| self.of(*fault) < least).collect()
    }

    /// Adds another world's.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in FAULTS {
            writeln!(f, "  {:<18}{:>9}", format!("{fault:?}"), self.of(fault))?;
        }
        Ok(())
    }
}
