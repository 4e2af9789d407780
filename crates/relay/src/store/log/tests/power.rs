//! Power loss at every call, failing disks, flipped bits: nothing acknowledged is lost, nothing corrupt is served.

mod blobs;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::simulated::{Dice, SimulatedDisk, State, Survives};
use super::{SHORT, on};
use crate::store::conformance::WIDE;
use crate::store::log::SegmentLog;
use crate::store::{Appended, Door, MailboxStore, NewEnvelope};
use stonechat_wire::ids::{DoorPath, EnvelopeId, Tag, Timestamp};

/// Power losses tried after each call of each history.
const LOSSES_PER_CALL: u64 = 10;

/// Writes at random, keeping a list of what it was promised.
struct Writer {
    disk: SimulatedDisk,
    log: SegmentLog<SimulatedDisk>,
    dice: Dice,
    now: Timestamp,
    /// By tag and cursor: the bytes that were put there, synced or not.
    put: BTreeMap<(Tag, u64), Arc<[u8]>>,
    unsynced: Vec<Promise>,
    promises: Vec<Promise>,
    /// What a door may be after a loss: as it was synced, or as it was set since.
    doors: BTreeMap<DoorPath, Vec<DoorState>>,
    blobs: blobs::Promises,
}

/// How a door was set. One that was refused may be there or not, until the next that was not refused.
#[derive(Clone, Debug)]
struct DoorState {
    at: u64,
    refused: bool,
    door: Option<Door>,
}

/// An envelope that is to be there until `until`, if the power goes after call `at`.
#[derive(Clone, Debug)]
struct Promise {
    tag: Tag,
    cursor: u64,
    until: Timestamp,
    at: u64,
    now: Timestamp,
}

impl Writer {
    fn new(seed: u64) -> Self {
        let disk = SimulatedDisk::new(seed);
        Self {
            log: on(&disk),
            disk,
            dice: Dice(seed),
            now: Timestamp::from_seconds(1_000_000),
            put: BTreeMap::new(),
            unsynced: Vec::new(),
            promises: Vec::new(),
            doors: BTreeMap::new(),
            blobs: blobs::Promises::default(),
        }
    }

    fn step(&mut self) {
        let done = match self.dice.below(28) {
            0..=9 => self.append(),
            10 | 11 => self.append_again(),
            12 => self.set_door(),
            13 => self.log.count_use(&path(self.dice.clone().below(2))),
            14 => self.close_door(),
            15 => self.wait(),
            16..=23 => self.about_blobs(),
            _ => self.sync(),
        };
        if done.is_err() {
            self.log.abandon();
            self.unsynced.clear();
            self.blobs.failed();
            self.unsynced_doors().for_each(|state| state.refused = true);
        }
    }

    fn unsynced_doors(&mut self) -> impl Iterator<Item = &mut DoorState> {
        let states = self.doors.values_mut().flatten();
        states.filter(|state| state.at == u64::MAX && !state.refused)
    }

    fn about_blobs(&mut self) -> Result<(), crate::store::StoreError> {
        let calls = self.disk.with(|state| state.calls);
        self.blobs.step(&mut self.log, &mut self.dice, (self.now, calls))
    }

    fn push_door(&mut self, path: DoorPath, door: Option<Door>) {
        let (at, refused) = (u64::MAX, false);
        self.doors
            .entry(path)
            .or_default()
            .push(DoorState { at, refused, door });
    }

    fn append(&mut self) -> Result<(), crate::store::StoreError> {
        let mut bytes = vec![0; if self.dice.one_in(8) { 1500 } else { 200 }];
        bytes.iter_mut().for_each(|byte| *byte = self.dice.next() as u8);
        let life_ms = [60_000, 3_600_000, 20 * 86_400_000, 40 * 86_400_000][self.dice.below(4) as usize];
        let new = NewEnvelope {
            tag: Tag::from_bytes([self.dice.below(4) as u8; 16]),
            id: EnvelopeId::of(&bytes),
            expires_at: self.now.plus_ms(life_ms),
            bytes: bytes.into(),
        };
        if let Appended::New(cursor) = self.log.append(&new)? {
            let other = self.put.insert((new.tag, cursor), new.bytes.clone());
            assert_eq!(other, None, "a cursor came again");
            self.promise(new.tag, cursor, new.expires_at);
        }
        Ok(())
    }

    /// An envelope that was put before, in this run or one whose promise was lost, with another life.
    fn append_again(&mut self) -> Result<(), crate::store::StoreError> {
        let nth = self.dice.below(self.put.len() as u64) as usize;
        let Some(((tag, _), bytes)) = self.put.iter().nth(nth).map(|(at, bytes)| (*at, bytes.clone())) else {
            return Ok(());
        };
        let expires_at = self.now.plus_ms(self.dice.below(50 * 86_400_000));
        let id = EnvelopeId::of(&bytes);
        let new = NewEnvelope {
            tag,
            id,
            expires_at,
            bytes,
        };
        match self.log.append(&new)? {
            Appended::New(cursor) => {
                self.put.insert((tag, cursor), new.bytes.clone());
                self.promise(tag, cursor, expires_at);
            }
            Appended::Known => {
                let all = self
                    .put
                    .iter()
                    .filter(|(at, bytes)| at.0 == tag && **bytes == new.bytes);
                let here = self.log.index.find(&tag, &super::super::index::short(&id)).unwrap();
                assert!(all.map(|(at, _)| at.1).any(|cursor| cursor == here.serial));
                let cursor = here.serial;
                self.promise(tag, cursor, expires_at);
            }
        }
        Ok(())
    }

    fn promise(&mut self, tag: Tag, cursor: u64, until: Timestamp) {
        let (at, now) = (u64::MAX, self.now);
        self.unsynced.push(Promise {
            tag,
            cursor,
            until,
            at,
            now,
        });
    }

    fn set_door(&mut self) -> Result<(), crate::store::StoreError> {
        let door = Door {
            proof_hash: [self.dice.next() as u8; 32],
            key_hash: [self.dice.next() as u8; 32],
            expires_at: self.now.plus_ms(30 * 86_400_000),
            uses: 0,
            card: vec![self.dice.next() as u8; 300].into(),
        };
        let path = path(self.dice.below(2));
        self.push_door(path, Some(door.clone()));
        self.log.set_door(path, &door)
    }

    fn close_door(&mut self) -> Result<(), crate::store::StoreError> {
        let path = path(self.dice.below(2));
        self.push_door(path, None);
        self.log.close_door(&path)
    }

    fn wait(&mut self) -> Result<(), crate::store::StoreError> {
        self.now = self.now.plus_ms(self.dice.below(3 * 86_400_000));
        let calls = self.disk.with(|state| state.calls);
        let expired = self.log.expire(self.now);
        self.blobs.waited(&self.log, calls);
        expired?;
        self.sync()
    }

    fn sync(&mut self) -> Result<(), crate::store::StoreError> {
        self.log.sync()?;
        let at = self.disk.with(|state| state.calls);
        self.promises
            .extend(self.unsynced.drain(..).map(|promise| Promise { at, ..promise }));
        self.unsynced_doors().for_each(|state| state.at = at);
        self.blobs.synced(at);
        Ok(())
    }

    /// The power went after `calls` calls, at a time when it was `now`; checks what is there.
    fn check(&self, disk: &SimulatedDisk, calls: u64, dice: &mut Dice) {
        let mut log = on(disk);
        self.check_served(&log);
        let now = self
            .promises
            .iter()
            .filter(|p| p.at <= calls)
            .map(|p| p.now)
            .max()
            .unwrap_or_default();
        for promise in self
            .promises
            .iter()
            .filter(|p| p.at <= calls && p.until > self.now.max(now))
        {
            assert!(log.high_water() >= promise.cursor);
            let kept = log.read(&promise.tag, promise.cursor - 1, WIDE).unwrap();
            let is_there = kept.first().is_some_and(|kept| kept.cursor == promise.cursor);
            assert!(is_there, "lost {promise:?} at call {calls}");
        }
        self.check_doors(&log, calls);
        self.blobs.check(&mut log, calls, self.now.max(now));
        // Its longer life survived too.
        let later = self.now.plus_ms(86_400_000);
        while log.expire(later).unwrap().has_more {
            log.sync().unwrap();
        }
        log.sync().unwrap();
        for promise in self.promises.iter().filter(|p| p.at <= calls && p.until > later) {
            let kept = log.read(&promise.tag, promise.cursor - 1, WIDE).unwrap();
            assert!(
                kept.first().is_some_and(|kept| kept.cursor == promise.cursor),
                "forgot {promise:?}"
            );
        }
        self.check_that_the_found_stays(log, disk, dice);
    }

    fn check_served(&self, log: &SegmentLog<SimulatedDisk>) {
        for n in 0..4 {
            let tag = Tag::from_bytes([n; 16]);
            for kept in log.read(&tag, 0, WIDE).unwrap() {
                assert_eq!(
                    self.put.get(&(tag, kept.cursor)),
                    Some(&kept.bytes),
                    "something else is served"
                );
            }
        }
    }

    fn check_doors(&self, log: &SegmentLog<SimulatedDisk>, calls: u64) {
        for (path, states) in &self.doors {
            let synced = states.iter().rposition(|state| state.at <= calls);
            let of = |door: &Option<Door>| door.as_ref().map(|door| (door.proof_hash, door.card.clone()));
            let found = of(&log.door(path).unwrap());
            let mut may_be = states[synced.unwrap_or(0)..].iter().map(|state| of(&state.door));
            let is_over = |door: &Option<Door>| door.as_ref().is_none_or(|door| door.expires_at <= self.now);
            let may_be_none = synced.is_none_or(|at| is_over(&states[at].door));
            let fits = may_be.any(|state| state == found) || (found.is_none() && may_be_none);
            assert!(fits, "door {path:?} at call {calls}");
        }
    }

    /// What was found and is put again is acknowledged without a write: so it must have been made durable.
    fn check_that_the_found_stays(&self, mut log: SegmentLog<SimulatedDisk>, disk: &SimulatedDisk, dice: &mut Dice) {
        let mut told = Vec::new();
        for ((tag, _), bytes) in self.put.iter().rev().take(6) {
            let expires_at = self.now.plus_ms(50 * 86_400_000);
            let (id, bytes) = (EnvelopeId::of(bytes), bytes.clone());
            let new = NewEnvelope {
                tag: *tag,
                id,
                expires_at,
                bytes,
            };
            log.append(&new).unwrap();
            told.push(new);
        }
        log.sync().unwrap();
        blobs::check_that_the_found_stays(&mut log, disk, dice);
        drop(log);
        let log = on(&disk.after_power_loss(Survives::Nothing, dice));
        for new in told {
            assert_eq!(log.holds(&new.tag, &new.id), Ok(true), "found, acknowledged, lost");
        }
    }
}

fn path(n: u64) -> DoorPath {
    DoorPath::from_bytes([n as u8; 12])
}

/// Runs a history of some steps; out: its writer, and the disk before every call.
fn history(seed: u64, steps: u64, fails_one_in: u64) -> (Writer, Vec<State>) {
    let mut writer = Writer::new(seed);
    writer.disk.with(|state| {
        state.fails_one_in = fails_one_in;
        state.history = Some(Vec::new());
    });
    (0..steps).for_each(|_| writer.step());
    let states = writer.disk.with(|state| state.history.take()).unwrap();
    (writer, states)
}

/// Loses power after every call of some histories. Out: how often.
fn lose_power(seeds: std::ops::Range<u64>, steps: u64, fails_one_in: u64) -> u64 {
    let mut losses = 0;
    for seed in seeds {
        let (mut writer, states) = history(seed, steps, fails_one_in);
        let mut dice = Dice(seed ^ 0x5eed);
        writer.now = writer.now.max(Timestamp(0));
        for state in states {
            for nth in 0..LOSSES_PER_CALL {
                let disk = SimulatedDisk::of(match nth {
                    0 => state.after_kill(),
                    1 => state.after_power_loss(Survives::Nothing, &mut dice),
                    2 => state.after_power_loss(Survives::Everything, &mut dice),
                    _ => state.after_power_loss(Survives::Some, &mut dice),
                });
                writer.check(&disk, state.calls, &mut dice);
                losses += 1;
            }
        }
    }
    losses
}

// proves: BLB-7
#[test]
fn power_loss_at_any_call_loses_nothing_acknowledged_rly_22() {
    let losses = lose_power(0..8, 300, 0);
    println!("{losses} losses of power, none lost what was acknowledged");
    assert!(losses >= 10_000, "{losses}");
}

// proves: BLB-7
#[test]
fn failing_writes_and_syncs_lose_nothing_acknowledged_rly_22() {
    let losses = lose_power(100..104, 300, 25);
    assert!(losses >= 2_000, "{losses}");
}

// proves: BLB-7
#[test]
fn a_flipped_bit_costs_one_record_at_most_and_is_never_served_rly_22() {
    let mut flips = 0;
    for seed in 200..210 {
        let (mut writer, _) = history(seed, 400, 0);
        writer.sync().unwrap();
        let mut dice = Dice(seed);
        for nth in 0..200 {
            let survives = if nth % 2 == 0 {
                Survives::Nothing
            } else {
                Survives::Everything
            };
            let disk = writer.disk.after_power_loss(survives, &mut dice);
            let before = on(&writer.disk.after_power_loss(survives, &mut dice)).total().envelopes;
            let file = disk.with(|state| state.flip_a_bit(&mut dice));
            let mut log = on(&disk);
            writer.check_served(&log);
            blobs::check_served(&mut log);
            let served: usize = (0..4)
                .map(|n| log.read(&Tag::from_bytes([n; 16]), 0, WIDE).unwrap().len())
                .sum();
            assert!(served as u64 + 1 >= before, "{file}: {served} of {before}");
            flips += 1;
        }
    }
    assert!(flips >= 2_000);
    let _ = SHORT;
}
