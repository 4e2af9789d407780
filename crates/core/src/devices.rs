//! The device log: which devices of an account are live, and what one log says against another.
//!
//! In: logs whose signatures were checked. Out: verdicts, nothing else: pure. Specified in `docs/protocol/14-devices.md`
//! (DEV-*).

use stonechat_wire::card::{DeviceChange, DeviceLog, DeviceLogEntry};
use stonechat_wire::ids::DeviceId;

/// What a log is beside the one that is known (DEV-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    Same,
    /// It continues what is known.
    Newer,
    /// What is known continues it.
    Older,
    /// Both were signed from some entry on; the new one is longer.
    PartedLonger,
    /// Both were signed from some entry on; the new one is not longer.
    Parted,
}

/// Compares a log with the one that is known (DEV-2).
pub(crate) fn beside(known: &DeviceLog, new: &DeviceLog) -> Beside {
    let (a, b) = (&known.entries, &new.entries);
    if a.iter().zip(b).any(|(one, other)| one != other) {
        return if b.len() > a.len() {
            Beside::PartedLonger
        } else {
            Beside::Parted
        };
    }
    match b.len().cmp(&a.len()) {
        std::cmp::Ordering::Less => Beside::Older,
        std::cmp::Ordering::Equal => Beside::Same,
        std::cmp::Ordering::Greater => Beside::Newer,
    }
}

/// Whether a log is or continues the one of which only length and last hash are known (RCH-4).
pub(crate) fn continues(log: &DeviceLog, count: u32, hash: &[u8; 32]) -> bool {
    let last = usize::try_from(count)
        .ok()
        .and_then(|count| log.entries.get(count.checked_sub(1)?));
    last.is_some_and(|entry| entry.hash() == *hash)
}

/// The entries of the devices that are live, oldest first (DEV-1).
pub(crate) fn live(log: &DeviceLog) -> Vec<&DeviceLogEntry> {
    let mut live: Vec<&DeviceLogEntry> = Vec::new();
    for logged in &log.entries {
        match logged.entry.change {
            DeviceChange::Added => live.push(logged),
            DeviceChange::Restored => {
                live.clear();
                live.push(logged);
            }
            DeviceChange::Revoked => live.retain(|other| other.entry.device_id != logged.entry.device_id),
        }
    }
    live
}

/// Whether this device is live (DEV-1).
pub(crate) fn is_live(log: &DeviceLog, device: DeviceId) -> bool {
    live(log).iter().any(|logged| logged.entry.device_id == device)
}

/// The home device: the first, or the one that came back from the words (ACC-6).
pub(crate) fn home(log: &DeviceLog) -> Option<DeviceId> {
    live(log).first().map(|logged| logged.entry.device_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stonechat_wire::card::DeviceEntry;

    fn log(of: &[(DeviceChange, u8)]) -> DeviceLog {
        let mut log = DeviceLog::default();
        for (change, n) in of {
            let prev = log.entries.last().map_or([0; 32], DeviceLogEntry::hash);
            log.entries.push(DeviceLogEntry {
                seq: u32::try_from(log.entries.len()).unwrap(),
                prev,
                entry: DeviceEntry {
                    change: *change,
                    device_id: id(*n),
                    device_ed25519: [*n; 32],
                    added_at_s: 1,
                },
                signature: [*n; 64],
            });
        }
        log
    }

    fn id(n: u8) -> DeviceId {
        DeviceId::from_bytes([n; 8])
    }

    fn live_in(of: &[(DeviceChange, u8)]) -> Vec<u8> {
        let log = log(of);
        live(&log)
            .iter()
            .map(|logged| logged.entry.device_id.as_bytes()[0])
            .collect()
    }

    #[test]
    fn live_are_those_added_and_not_revoked_since_dev_1() {
        use DeviceChange::{Added, Restored, Revoked};
        assert_eq!(live_in(&[(Added, 1), (Added, 2)]), [1, 2]);
        assert_eq!(live_in(&[(Added, 1), (Added, 2), (Revoked, 1)]), [2]);
        assert_eq!(live_in(&[(Added, 1), (Added, 2), (Restored, 3)]), [3]);
        assert_eq!(live_in(&[(Added, 1), (Restored, 3), (Added, 4)]), [3, 4]);
        assert_eq!(live_in(&[(Added, 1), (Revoked, 1), (Added, 1)]), [1]);
        assert!(!is_live(&log(&[(Added, 1), (Restored, 2)]), id(1)));
    }

    #[test]
    fn logs_are_compared_entry_by_entry_dev_2() {
        use DeviceChange::{Added, Restored};
        let known = log(&[(Added, 1), (Restored, 2)]);
        assert_eq!(beside(&known, &known), Beside::Same);
        assert_eq!(beside(&known, &log(&[(Added, 1)])), Beside::Older);
        let newer = log(&[(Added, 1), (Restored, 2), (Restored, 3)]);
        assert_eq!(beside(&known, &newer), Beside::Newer);
        assert_eq!(beside(&known, &log(&[(Added, 1), (Restored, 4)])), Beside::Parted);
        let longer = log(&[(Added, 1), (Restored, 4), (Restored, 5)]);
        assert_eq!(beside(&known, &longer), Beside::PartedLonger);
    }

    #[test]
    fn a_log_is_known_by_its_length_and_last_entry_rch_4() {
        use DeviceChange::{Added, Restored};
        let known = log(&[(Added, 1)]);
        let hash = known.entries[0].hash();
        assert!(continues(&known, 1, &hash));
        assert!(continues(&log(&[(Added, 1), (Restored, 2)]), 1, &hash));
        assert!(!continues(&log(&[(Added, 3), (Restored, 2)]), 1, &hash));
        assert!(!continues(&known, 2, &hash));
        assert!(!continues(&known, 0, &hash));
    }
}
