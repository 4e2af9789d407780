//! Blobs in the histories that lose power: what was acknowledged of them, and what may be served.

use std::collections::BTreeMap;

use super::super::on;
use super::super::simulated::{Dice, SimulatedDisk, Survives};
use crate::store::blobs::conformance::{blob, chunk, id};
use crate::store::blobs::{BlobStore, NewBlob};
use crate::store::log::SegmentLog;
use crate::store::{MailboxStore, StoreError};
use stonechat_wire::ids::Timestamp;

/// Blobs that come and go.
const BLOBS: u8 = 4;

type Log = SegmentLog<SimulatedDisk>;

/// What was promised of blobs. A chunk is promised until somebody asks for its blob's deletion.
#[derive(Debug, Default)]
pub(super) struct Promises {
    chunks: Vec<Promise>,
    deleted: Vec<Promise>,
    unsynced: Vec<Promise>,
    /// Blobs somebody asked to delete: what was refused may happen after all, until one of that id begins anew.
    doomed: BTreeMap<u8, bool>,
}

#[derive(Clone, Copy, Debug)]
struct Promise {
    n: u8,
    /// Which chunk; none: that it is gone.
    index: Option<u16>,
    until: Timestamp,
    /// It holds for losses after call `at` and until call `ends`.
    at: u64,
    ends: u64,
}

/// A blob's chunks.
fn count(n: u8) -> u16 {
    u16::from(n) + 1
}

impl Promises {
    pub(super) fn step(
        &mut self,
        log: &mut Log,
        dice: &mut Dice,
        (now, calls): (Timestamp, u64),
    ) -> Result<(), StoreError> {
        let n = dice.below(u64::from(BLOBS)) as u8;
        match dice.below(8) {
            0 | 1 => self.begin(
                log,
                n,
                now.plus_ms([3_600_000, 20 * 86_400_000][dice.below(2) as usize]),
                (now, calls),
            ),
            2 if dice.one_in(2) => self.delete(log, n, calls),
            _ => self.add(log, n, dice.below(u64::from(count(n))) as u16, now),
        }
    }

    fn begin(
        &mut self,
        log: &mut Log,
        n: u8,
        until: Timestamp,
        (now, calls): (Timestamp, u64),
    ) -> Result<(), StoreError> {
        if log.blob(&id(n)).is_none() {
            self.end(|promise| promise.n == n, calls);
            // One that is begun again before its deletion was synced was never promised to be gone.
            self.unsynced.retain(|promise| promise.n != n);
            self.doomed.insert(n, false);
        }
        log.begin_blob(&NewBlob {
            expires_at: until,
            now,
            ..blob(n, count(n), 0)
        })
    }

    fn add(&mut self, log: &mut Log, n: u8, index: u16, now: Timestamp) -> Result<(), StoreError> {
        log.add_chunk(&id(n), index, &chunk(n, index))?;
        let is_kept = log.blob(&id(n)).is_some() && !self.doomed.get(&n).copied().unwrap_or(true);
        if let Some(until) = log.blob_until(&id(n)).filter(|until| is_kept && *until > now) {
            let (at, ends, index) = (u64::MAX, u64::MAX, Some(index));
            self.unsynced.push(Promise {
                n,
                index,
                until,
                at,
                ends,
            });
        }
        Ok(())
    }

    fn delete(&mut self, log: &mut Log, n: u8, calls: u64) -> Result<(), StoreError> {
        let Some(until) = log.blob_until(&id(n)) else {
            return Ok(());
        };
        self.end(|promise| promise.n == n && promise.index.is_some(), calls);
        self.unsynced.retain(|promise| promise.n != n);
        self.doomed.insert(n, true);
        log.drop_blob(&id(n))?;
        let (at, ends, index) = (u64::MAX, u64::MAX, None);
        self.unsynced.push(Promise {
            n,
            index,
            until,
            at,
            ends,
        });
        Ok(())
    }

    /// Blobs that stay unfinished are deleted as time passes.
    pub(super) fn waited(&mut self, log: &Log, calls: u64) {
        for n in (0..BLOBS).filter(|n| log.blob(&id(*n)).is_none()) {
            self.end(|promise| promise.n == n && promise.index.is_some(), calls);
            self.unsynced.retain(|promise| promise.n != n);
            self.doomed.insert(n, true);
        }
    }

    pub(super) fn synced(&mut self, calls: u64) {
        for promise in self.unsynced.drain(..) {
            let all = if promise.index.is_some() {
                &mut self.chunks
            } else {
                &mut self.deleted
            };
            all.push(Promise { at: calls, ..promise });
        }
    }

    pub(super) fn failed(&mut self) {
        self.unsynced.clear();
    }

    fn end(&mut self, which: impl Fn(&Promise) -> bool, calls: u64) {
        let all = self.chunks.iter_mut().chain(&mut self.deleted);
        all.filter(|promise| which(promise) && promise.ends == u64::MAX)
            .for_each(|promise| promise.ends = calls);
    }

    /// Everything promised is there, `calls` calls after the beginning.
    pub(super) fn check(&self, log: &mut Log, calls: u64, now: Timestamp) {
        check_served(log);
        let holds = |promise: &&Promise| promise.at <= calls && calls < promise.ends && promise.until > now;
        for promise in self.chunks.iter().filter(holds) {
            let found = log.chunk(&id(promise.n), promise.index.unwrap()).unwrap();
            assert!(found.is_some(), "lost {promise:?} at call {calls}");
        }
        for promise in self.deleted.iter().filter(holds) {
            assert_eq!(
                log.blob(&id(promise.n)),
                None,
                "back again: {promise:?} at call {calls}"
            );
        }
    }
}

/// What is served is what was put, whatever became of the disk.
pub(super) fn check_served(log: &mut Log) {
    for n in 0..BLOBS {
        if let Some(list) = log.blob_list(&id(n)).unwrap() {
            assert_eq!(list, *blob(n, count(n), 0).list);
        }
        for index in 0..count(n) {
            if let Some(found) = log.chunk(&id(n), index).unwrap() {
                assert_eq!(found, chunk(n, index), "something else is served");
            }
        }
    }
}

/// What was found and is put again is acknowledged without a write: so it must have been made durable.
pub(super) fn check_that_the_found_stays(log: &mut Log, disk: &SimulatedDisk, dice: &mut Dice) {
    let mut told = Vec::new();
    for n in 0..BLOBS {
        if log.blob(&id(n)).is_none() {
            continue;
        }
        for index in 0..count(n) {
            log.add_chunk(&id(n), index, &chunk(n, index)).unwrap();
            told.push((n, index));
        }
    }
    log.sync().unwrap();
    let mut log = on(&disk.after_power_loss(Survives::Nothing, dice));
    for (n, index) in told {
        assert!(log.chunk(&id(n), index).unwrap().is_some(), "found, acknowledged, lost");
    }
}
