//! Whatever is done to it, the log is what the store in memory is; restarts and compaction change nothing.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::simulated::SimulatedDisk;
use super::{SHORT, on};
use crate::store::blobs::conformance::{blob, chunk, id};
use crate::store::blobs::{BlobStore, NewBlob};
use crate::store::conformance::{WIDE, counts, door, envelope, tag};
use crate::store::disk::Disk;
use crate::store::log::SegmentLog;
use crate::store::memory::MemoryStore;
use crate::store::{Appended, Kept, MailboxStore};
use stonechat_wire::ids::{DoorPath, Timestamp};

#[derive(Clone, Debug)]
enum Step {
    Append { mailbox: u8, n: u8, life_s: u64 },
    Sync,
    Abandon,
    Wait(u64),
    SetDoor(u8, u64),
    UseDoor(u8),
    CloseDoor(u8),
    BeginBlob(u8, u64),
    AddChunk(u8, u16),
    DropBlob(u8),
    Restart,
    CloseAndRestart,
}

fn step() -> impl Strategy<Value = Step> {
    let life = prop_oneof![1..100u64, 1000..2000u64, 10 * 86_400..50 * 86_400u64];
    let append = |life| (0..5u8, 0..60u8, life).prop_map(|(mailbox, n, life_s)| Step::Append { mailbox, n, life_s });
    prop_oneof![
        8 => append(life.clone()),
        4 => Just(Step::Sync),
        1 => Just(Step::Abandon),
        2 => prop_oneof![1..200u64, 86_400..20 * 86_400u64].prop_map(Step::Wait),
        1 => (0..3u8, life.clone()).prop_map(|(n, life)| Step::SetDoor(n, life)),
        1 => (0..3u8).prop_map(Step::UseDoor),
        1 => (0..3u8).prop_map(Step::CloseDoor),
        2 => (0..3u8, life).prop_map(|(n, life)| Step::BeginBlob(n, life)),
        4 => (0..3u8, 0..4u16).prop_map(|(n, index)| Step::AddChunk(n, index)),
        1 => (0..3u8).prop_map(Step::DropBlob),
        1 => Just(Step::Restart),
        1 => Just(Step::CloseAndRestart),
    ]
}

/// Both stores, side by side. Cursors may differ; their order may not.
struct Both {
    disk: SimulatedDisk,
    log: Option<SegmentLog<SimulatedDisk>>,
    memory: MemoryStore,
    now_s: u64,
}

impl Both {
    fn new() -> Self {
        let disk = SimulatedDisk::new(3);
        let log = Some(on(&disk));
        Self {
            disk,
            log,
            memory: MemoryStore::default(),
            now_s: 1_000_000,
        }
    }

    fn log(&mut self) -> &mut SegmentLog<SimulatedDisk> {
        self.log.as_mut().unwrap()
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Append { mailbox, n, life_s } => {
                let new = envelope(*mailbox, *n, self.now_s + life_s);
                let (here, there) = (self.log().append(&new).unwrap(), self.memory.append(&new).unwrap());
                assert_eq!(matches!(here, Appended::New(_)), matches!(there, Appended::New(_)));
            }
            Step::Sync => self.both(MailboxStore::sync, MailboxStore::sync),
            Step::Abandon => {
                self.log().abandon();
                self.memory.abandon();
                self.expire();
            }
            Step::Wait(s) => {
                self.now_s += s;
                self.expire();
            }
            Step::SetDoor(n, life) => {
                let (path, door) = (DoorPath::from_bytes([*n; 12]), door(*n, self.now_s + life));
                self.log().set_door(path, &door).unwrap();
                self.memory.set_door(path, &door).unwrap();
            }
            Step::UseDoor(n) => {
                let path = DoorPath::from_bytes([*n; 12]);
                self.log().count_use(&path).unwrap();
                self.memory.count_use(&path).unwrap();
            }
            Step::CloseDoor(n) => {
                let path = DoorPath::from_bytes([*n; 12]);
                self.log().close_door(&path).unwrap();
                self.memory.close_door(&path).unwrap();
            }
            Step::BeginBlob(n, life) => {
                let now = Timestamp::from_seconds(self.now_s);
                let new = NewBlob {
                    now,
                    ..blob(*n, u16::from(*n) + 1, self.now_s + life)
                };
                self.log().begin_blob(&new).unwrap();
                self.memory.begin_blob(&new).unwrap();
            }
            Step::AddChunk(n, index) => {
                self.log().add_chunk(&id(*n), *index, &chunk(*n, *index)).unwrap();
                self.memory.add_chunk(&id(*n), *index, &chunk(*n, *index)).unwrap();
            }
            Step::DropBlob(n) => {
                self.log().drop_blob(&id(*n)).unwrap();
                self.memory.drop_blob(&id(*n)).unwrap();
            }
            Step::Restart => {
                // What was not synced was never written: a crash loses it.
                self.log = Some(on(&self.disk));
                self.memory.crash();
                self.expire();
            }
            Step::CloseAndRestart => {
                self.log.take().unwrap().close().unwrap();
                self.memory.sync().unwrap();
                self.memory.crash();
                let damaged_before = on(&self.disk).damaged();
                self.log = Some(on(&self.disk));
                assert_eq!(damaged_before, 0);
                self.expire();
            }
        }
        self.compare();
    }

    fn both(
        &mut self,
        log: impl Fn(&mut SegmentLog<SimulatedDisk>) -> Result<(), crate::store::StoreError>,
        memory: impl Fn(&mut MemoryStore) -> Result<(), crate::store::StoreError>,
    ) {
        log(self.log()).unwrap();
        memory(&mut self.memory).unwrap();
    }

    /// Expiry is no change of a batch here: what expired has expired. So it comes with a sync, like the service's.
    fn expire(&mut self) {
        let now = Timestamp::from_seconds(self.now_s);
        let mut left = 1000;
        while self.log().expire(now).unwrap().has_more {
            self.log().sync().unwrap();
            left -= 1;
            assert!(left > 0, "it never comes to rest");
        }
        self.memory.expire(now).unwrap();
        self.both(MailboxStore::sync, MailboxStore::sync);
    }

    fn compare(&mut self) {
        let log = self.log.as_ref().unwrap();
        assert_eq!(counts(log), counts(&self.memory));
        let mut order = BTreeMap::new();
        for mailbox in 0..5 {
            let (here, there) = (read(log, mailbox), read(&self.memory, mailbox));
            let bytes = |kept: &[Kept]| -> Vec<u8> { kept.iter().map(|kept| kept.bytes[0]).collect() };
            assert_eq!(bytes(&here), bytes(&there), "mailbox {mailbox}");
            order.extend(here.iter().zip(&there).map(|(here, there)| (here.cursor, there.cursor)));
            assert!(here.iter().all(|kept| kept.cursor <= log.high_water()));
        }
        assert!(
            order.values().is_sorted(),
            "one order of cursors over all mailboxes: {order:?}"
        );
        for n in 0..3 {
            let path = DoorPath::from_bytes([n; 12]);
            assert_eq!(log.door(&path), self.memory.door(&path), "door {n}");
        }
        let (log, memory) = (self.log.as_mut().unwrap(), &mut self.memory);
        assert_eq!(log.total().blob_bytes, memory.total().blob_bytes);
        for n in 0..3 {
            assert_eq!(log.blob(&id(n)), memory.blob(&id(n)), "blob {n}");
            assert_eq!(log.blob_list(&id(n)), memory.blob_list(&id(n)), "blob {n}");
            for index in 0..4 {
                assert_eq!(
                    log.chunk(&id(n), index),
                    memory.chunk(&id(n), index),
                    "chunk {index} of {n}"
                );
            }
        }
    }
}

fn read(store: &impl MailboxStore, mailbox: u8) -> Vec<Kept> {
    store.read(&tag(mailbox), 0, WIDE).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn the_log_is_what_the_store_in_memory_is_rly_22(steps in proptest::collection::vec(step(), 1..120)) {
        let mut both = Both::new();
        steps.iter().for_each(|step| both.take(step));
        let bytes = both.disk.with(|state| state.bytes()) as u64;
        let counted = both.log().total().disk_bytes;
        // All but the mark, the ends of hints, and what waits for a sync.
        prop_assert!(counted + 16 * 1024 >= bytes && bytes + 128 * 1024 >= counted, "{counted} of {bytes}");
        let _ = (both.disk.list().unwrap(), SHORT);
    }
}
