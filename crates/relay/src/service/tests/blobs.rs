//! Blobs, driven by hand.

use stonechat_wire::blob::{CHUNK_BYTES, ChunkList, DeletionToken};
use stonechat_wire::frame::KEEPS_BLOBS;
use stonechat_wire::frame::blobs::{BlobAsk, BlobTell, Range};
use stonechat_wire::ids::BlobId;

use super::*;
use crate::limits::BLOB_OVERHEAD_BYTES;
use crate::store::blobs::{BlobStore, UNFINISHED_MS};
use crate::store::disk::{Disk, DiskFile};
use crate::store::log::tests::simulated::Dice;

/// A blob of some whole chunks and ten bytes more.
fn bytes(n: u8, chunks: usize) -> Vec<u8> {
    let mut dice = Dice(n.into());
    (0..chunks * CHUNK_BYTES + 10).map(|_| dice.next() as u8).collect()
}

fn id(bytes: &[u8]) -> BlobId {
    ChunkList::of(bytes).unwrap().id()
}

fn token(n: u8) -> DeletionToken {
    DeletionToken::from_bytes([n; 32])
}

fn begin_for(bytes: &[u8], ttl_s: u32) -> ToRelay {
    ToRelay::Blob(BlobAsk::Begin {
        request: 1,
        ttl_s,
        deletion: token(1).hash(),
        list: ChunkList::of(bytes).unwrap(),
    })
}

fn begin(bytes: &[u8]) -> ToRelay {
    begin_for(bytes, 30 * 24 * 3600)
}

fn range(bytes: &[u8], first: u16, count: usize) -> Range {
    let (from, end) = (
        usize::from(first) * CHUNK_BYTES,
        (usize::from(first) + count) * CHUNK_BYTES,
    );
    let bytes = bytes[from..end.min(bytes.len())].to_vec();
    Range { first, bytes }
}

fn put_range(bytes: &[u8], first: u16, count: usize) -> ToRelay {
    ToRelay::Blob(BlobAsk::Put {
        request: 2,
        id: id(bytes),
        range: range(bytes, first, count),
    })
}

fn get(bytes: &[u8], first: u16, count: u16) -> ToRelay {
    ToRelay::Blob(BlobAsk::Get {
        request: 3,
        id: id(bytes),
        first,
        count,
    })
}

fn drop_with(bytes: &[u8], token: DeletionToken) -> ToRelay {
    ToRelay::Blob(BlobAsk::Drop {
        request: 4,
        id: id(bytes),
        token,
    })
}

fn refused(outputs: &[Output]) -> Option<Refusal> {
    let mut frames = outputs.iter().filter_map(|output| match output {
        Output::Send {
            frame: FromRelay::Refused { why, .. },
            ..
        } => Some(*why),
        Output::Send { .. } | Output::Close { .. } => None,
    });
    frames.next_back()
}

fn told(outputs: &[Output]) -> &BlobTell {
    match outputs {
        [
            Output::Send {
                frame: FromRelay::Blob(tell),
                ..
            },
        ] => tell,
        other => panic!("{other:?}"),
    }
}

/// What a *has* says is missing.
fn missing(outputs: &[Output]) -> Vec<u16> {
    match told(outputs) {
        BlobTell::Has { set, .. } => set.missing().collect(),
        other => panic!("{other:?}"),
    }
}

fn got(outputs: &[Output]) -> &Range {
    match told(outputs) {
        BlobTell::Range { range, .. } => range,
        other => panic!("{other:?}"),
    }
}

impl<S: MailboxStore> World<S> {
    /// Puts a whole blob.
    fn put_blob(&mut self, who: ConnectionId, bytes: &[u8]) {
        let mut left = missing(&self.say(who, begin(bytes)));
        while let Some(first) = left.first().copied() {
            left = missing(&self.say(who, put_range(bytes, first, 4)));
        }
    }

    fn whole(&self, bytes: &[u8]) -> bool {
        self.service
            .store
            .blob(&id(bytes))
            .is_some_and(|blob| blob.set.is_whole())
    }
}

// proves: BLB-2, BLB-4, BLB-5, BLB-10
#[test]
fn a_blob_is_put_and_got_by_ranges_blb_3() {
    let mut relay = World::open();
    relay.connect(ConnectionId(9));
    let hello = relay.hello(ConnectionId(9), None);
    assert!(
        matches!(sent_to(&hello, ConnectionId(9))[..], [FromRelay::Hello { features, .. }] if features & KEEPS_BLOBS != 0)
    );
    let all = bytes(1, 5);
    assert_eq!(missing(&relay.say(ANA, begin(&all))), [0, 1, 2, 3, 4, 5]);
    assert_eq!(missing(&relay.say(ANA, put_range(&all, 2, 4))), [0, 1], "in any order");
    assert_eq!(
        got(&relay.say(BO, get(&all, 4, 9))),
        &range(&all, 4, 2),
        "while it is unfinished"
    );
    assert_eq!(refused(&relay.say(BO, get(&all, 1, 2))), Some(Refusal::NotHere));
    // Another connection goes on, told what is missing; what is here is not missed a second time.
    assert_eq!(missing(&relay.say(BO, begin(&all))), [0, 1]);
    assert_eq!(missing(&relay.say(BO, put_range(&all, 0, 4))), [] as [u16; 0]);
    assert_eq!(missing(&relay.say(ANA, put_range(&all, 1, 1))), [] as [u16; 0]);
    let list = relay.say(
        BO,
        ToRelay::Blob(BlobAsk::List {
            request: 3,
            id: id(&all),
        }),
    );
    assert!(matches!(told(&list), BlobTell::List { list, set, .. } if list.id() == id(&all) && set.is_whole()));
    assert_eq!(
        got(&relay.say(BO, get(&all, 0, 100))),
        &range(&all, 0, 4),
        "four at once"
    );
    assert_eq!(got(&relay.say(BO, get(&all, 5, 1))), &range(&all, 5, 1));
    for beyond in [
        get(&all, 6, 1),
        get(&all, u16::MAX, 5),
        get(&all, 0, 0),
        get(&bytes(2, 0), 0, 1),
    ] {
        assert_eq!(refused(&relay.say(BO, beyond)), Some(Refusal::NotHere));
    }
}

#[test]
fn a_chunk_that_is_not_what_the_list_says_is_never_kept_blb_3() {
    let mut relay = World::open();
    let (all, other) = (bytes(1, 2), bytes(7, 2));
    relay.say(ANA, begin(&all));
    let wrong = |range| {
        ToRelay::Blob(BlobAsk::Put {
            request: 2,
            id: id(&all),
            range,
        })
    };
    let mut half_wrong = range(&all, 0, 2);
    half_wrong.bytes[CHUNK_BYTES] ^= 1;
    let cut = Range {
        first: 0,
        bytes: all[..CHUNK_BYTES - 1].to_vec(),
    };
    let moved = Range {
        first: 1,
        ..range(&all, 0, 1)
    };
    for range in [range(&other, 0, 1), half_wrong, cut, moved] {
        assert_eq!(refused(&relay.say(ANA, wrong(range))), Some(Refusal::Wrong));
    }
    assert_eq!(
        missing(&relay.say(ANA, begin(&all))),
        [0, 1, 2],
        "nothing of any was taken"
    );
    assert_eq!(
        refused(&relay.say(ANA, put_range(&other, 0, 1))),
        Some(Refusal::NotHere),
        "never begun"
    );
}

#[test]
fn nothing_of_a_blob_is_told_before_it_is_synced_blb_7() {
    let mut relay = World::open();
    let all = bytes(1, 1);
    relay.service.handle(ANA, begin(&all), START);
    relay.service.handle(ANA, put_range(&all, 0, 2), START);
    relay.service.handle(BO, get(&all, 0, 2), START);
    assert_eq!(relay.service.poll_output(), None);
    let outputs = relay.settle();
    assert_eq!(outputs.len(), 3);
    assert_eq!(got(&outputs[2..]), &range(&all, 0, 2));
    // Without a sync nothing was put, and nothing was deleted.
    let later = bytes(2, 1);
    for ask in [begin(&later), drop_with(&all, token(1))] {
        relay.service.store.fail_next_sync(StoreError::DiskFull);
        assert_eq!(refused(&relay.say(ANA, ask)), Some(Refusal::NoRoom));
        relay.now = relay.now.plus_ms(UNSYNCED_PAUSE_MS);
    }
    assert!(relay.whole(&all) && relay.service.store.blob(&id(&later)).is_none());
}

#[test]
fn a_restart_and_a_rotten_disk_lose_no_more_than_what_rotted_blb_7() {
    let disk = SimulatedDisk::new(1);
    let mut relay = World::over(SegmentLog::on(disk.clone(), 1).unwrap());
    let all = bytes(1, 3);
    relay.say(ANA, begin(&all));
    assert_eq!(missing(&relay.say(ANA, put_range(&all, 0, 2))), [2, 3]);
    drop(relay);
    let mut relay = World::over(SegmentLog::on(disk.clone(), 2).unwrap());
    assert_eq!(missing(&relay.say(ANA, begin(&all))), [2, 3], "it goes on where it was");
    relay.put_blob(ANA, &all);
    // A byte of the second chunk rots where it lies.
    let mut file = disk.open("00000001.seg").unwrap();
    let mut found = vec![0; file.size().unwrap() as usize];
    file.read_at(&mut found, 0).unwrap();
    let chunk = &all[CHUNK_BYTES..CHUNK_BYTES + 64];
    let at = found.windows(64).position(|window| window == chunk).unwrap();
    file.write_at(&[!found[at]], at as u64).unwrap();
    assert_eq!(got(&relay.say(BO, get(&all, 0, 4))), &range(&all, 0, 1), "up to there");
    assert_eq!(refused(&relay.say(BO, get(&all, 1, 1))), Some(Refusal::NotHere));
    assert_eq!(missing(&relay.say(ANA, begin(&all))), [1], "and it says so");
    relay.put_blob(ANA, &all);
    assert_eq!(got(&relay.say(BO, get(&all, 0, 4))), &range(&all, 0, 4));
    assert_eq!(relay.service.store().damaged(), 1);
}

#[test]
fn a_rotten_chunk_is_put_again_although_nobody_asked_for_it_blb_7() {
    let disk = SimulatedDisk::new(1);
    let mut relay = World::over(SegmentLog::on(disk.clone(), 1).unwrap());
    let all = bytes(1, 0);
    relay.put_blob(ANA, &all);
    let mut file = disk.open("00000001.seg").unwrap();
    let size = file.size().unwrap();
    file.write_at(&[0xff; 3], size - 3).unwrap();
    assert_eq!(missing(&relay.say(ANA, put_range(&all, 0, 1))), [] as [u16; 0]);
    assert_eq!(got(&relay.say(BO, get(&all, 0, 1))), &range(&all, 0, 1));
}

#[test]
fn who_shows_the_token_deletes_and_nobody_else_blb_6() {
    let mut relay = World::open();
    let all = bytes(1, 1);
    relay.put_blob(ANA, &all);
    // Who puts it again does not become its owner.
    let mine = ToRelay::Blob(BlobAsk::Begin {
        request: 1,
        ttl_s: 60,
        deletion: token(2).hash(),
        list: ChunkList::of(&all).unwrap(),
    });
    assert_eq!(missing(&relay.say(BO, mine)), [] as [u16; 0]);
    assert_eq!(refused(&relay.say(BO, drop_with(&all, token(2)))), Some(Refusal::Wrong));
    assert!(relay.whole(&all));
    for _ in 0..2 {
        assert_eq!(
            told(&relay.say(ANA, drop_with(&all, token(1)))),
            &BlobTell::Gone { request: 4 }
        );
    }
    assert_eq!(refused(&relay.say(BO, get(&all, 0, 1))), Some(Refusal::NotHere));
    assert_eq!(relay.service.store.total().blob_bytes, 0);
}

#[test]
fn a_blob_takes_its_size_out_of_the_secrets_day_when_it_is_begun_blb_8() {
    let all = bytes(1, 1);
    let cost = all.len() as u64 + BLOB_OVERHEAD_BYTES + 6 + 64;
    let limits = Limits {
        secret_bytes_per_day: 2 * cost,
        ..Limits::default()
    };
    let access = Access::Secrets(vec![[1; 16], [2; 16]]);
    let mut relay = World::new(access, limits);
    for (who, secret) in [(ANA, 1), (BO, 2)] {
        relay.connect(who);
        relay.hello(who, Some([secret; 16]));
    }
    relay.put_blob(ANA, &all);
    relay.say(ANA, begin(&bytes(2, 1)));
    assert_eq!(refused(&relay.say(ANA, begin(&bytes(3, 1)))), Some(Refusal::Quota));
    assert_eq!(
        missing(&relay.say(ANA, put_range(&bytes(2, 1), 0, 2))),
        [] as [u16; 0],
        "paid for"
    );
    assert_eq!(missing(&relay.say(BO, begin(&bytes(3, 1)))), [0, 1], "another's day");
    let limits = Limits {
        source_bytes_max: cost,
        source_bytes_per_s: cost,
        ..Limits::default()
    };
    let mut relay = World::with(limits);
    relay.put_blob(ANA, &all);
    let outputs = relay.say(ANA, begin(&bytes(2, 1)));
    assert!(
        matches!(sent_to(&outputs, ANA)[..], [FromRelay::Busy { retry_after_ms: 1000 }]),
        "{outputs:?}"
    );
    relay.now = relay.now.plus_ms(1000);
    relay.put_blob(ANA, &bytes(2, 1));
}

#[test]
fn blobs_have_limits_of_their_own_blb_8() {
    let few = Limits {
        blobs: 2,
        ..Limits::default()
    };
    let mut relay = World::with(few);
    relay.put_blob(ANA, &bytes(1, 0));
    relay.put_blob(ANA, &bytes(2, 0));
    assert_eq!(refused(&relay.say(ANA, begin(&bytes(3, 0)))), Some(Refusal::Limit));
    relay.put_blob(ANA, &bytes(1, 0));
    relay.say(ANA, drop_with(&bytes(1, 0), token(1)));
    relay.put_blob(ANA, &bytes(3, 0));

    // Counted at what they are to be: who begins much and puts nothing takes the room of nobody who does not pay too.
    let small = Limits {
        blob_bytes: 2 * CHUNK_BYTES as u64,
        ..Limits::default()
    };
    let mut relay = World::with(small);
    relay.say(ANA, begin(&bytes(1, 1)));
    assert_eq!(refused(&relay.say(BO, begin(&bytes(2, 1)))), Some(Refusal::NoRoom));
    relay.put_blob(BO, &bytes(2, 0));
}

#[test]
fn above_80_percent_no_blob_begins_and_above_90_no_chunk_is_taken_blb_8() {
    let limits = Limits {
        total_bytes: 10 * CHUNK_BYTES as u64,
        ..Limits::default()
    };
    let mut relay = World::with(limits);
    let (seven, two) = (bytes(1, 7), bytes(2, 2));
    relay.say(ANA, begin(&two));
    relay.put_blob(ANA, &seven);
    assert_eq!(
        refused(&relay.say(ANA, begin(&bytes(3, 1)))),
        Some(Refusal::NoRoom),
        "80 %"
    );
    assert_eq!(missing(&relay.say(ANA, put_range(&two, 0, 1))), [1, 2]);
    assert_eq!(
        refused(&relay.say(ANA, put_range(&two, 1, 1))),
        Some(Refusal::NoRoom),
        "90 %"
    );
    assert_eq!(
        missing(&relay.say(ANA, put_range(&two, 0, 1))),
        [1, 2],
        "it has that one"
    );
    assert_eq!(missing(&relay.say(ANA, begin(&seven))), [] as [u16; 0]);
    assert_eq!(stored(&relay.say(ANA, put(1, &[envelope(1, 1)]))).len(), 0);
}

#[test]
fn a_full_disk_refuses_chunks_and_goes_on_giving_blb_7() {
    let disk = SimulatedDisk::new(1);
    let mut relay = World::over(SegmentLog::on(disk.clone(), 1).unwrap());
    let (all, more) = (bytes(1, 2), bytes(2, 2));
    relay.put_blob(ANA, &all);
    relay.say(ANA, begin(&more));
    disk.with(|state| state.full_at = state.bytes() + 100);
    assert_eq!(refused(&relay.say(ANA, put_range(&more, 0, 3))), Some(Refusal::NoRoom));
    assert_eq!(got(&relay.say(BO, get(&all, 0, 4))), &range(&all, 0, 3));
    disk.with(|state| state.full_at = 0);
    relay.now = relay.now.plus_ms(UNSYNCED_PAUSE_MS);
    assert_eq!(missing(&relay.say(ANA, begin(&more))), [0, 1, 2]);
    relay.put_blob(ANA, &more);
}

#[test]
fn a_blob_lives_as_long_as_its_longest_ttl_and_unfinished_for_a_day_blb_9() {
    let mut relay = World::open();
    let (short, long, unfinished) = (bytes(1, 0), bytes(2, 0), bytes(3, 0));
    for (blob, ttl_s) in [
        (&short, 3600),
        (&long, 3600),
        (&long, 40 * 86_400),
        (&unfinished, 40 * 86_400),
    ] {
        relay.say(ANA, begin_for(blob, ttl_s));
    }
    for blob in [&short, &long] {
        relay.say(ANA, put_range(blob, 0, 1));
    }
    let here = |relay: &World| [&short, &long, &unfinished].map(|blob| relay.service.store.blob(&id(blob)).is_some());
    relay.now = START.plus_ms(3_600_000 + EXPIRE_EVERY_MS);
    relay.settle();
    assert_eq!(here(&relay), [false, true, true]);
    relay.now = START.plus_ms(UNFINISHED_MS + EXPIRE_EVERY_MS);
    relay.settle();
    assert_eq!(here(&relay), [false, true, false]);
    relay.now = START.plus_ms(42 * 86_400_000);
    relay.settle();
    assert_eq!(here(&relay), [false, false, false]);
}

#[test]
fn who_does_not_take_its_ranges_waits_and_is_not_closed_blb_5() {
    let mut relay = World::open();
    let all = bytes(1, 3);
    relay.put_blob(ANA, &all);
    let answers: Vec<FromRelay> = (0..50)
        .flat_map(|_| {
            sent_to(&relay.say(BO, get(&all, 0, 4)), BO)
                .into_iter()
                .cloned()
                .collect::<Vec<_>>()
        })
        .collect();
    let ranges = answers
        .iter()
        .filter(|frame| matches!(frame, FromRelay::Blob(_)))
        .count();
    assert_eq!((ranges, answers.len()), (6, 50), "then busy: {:?}", answers.last());
    relay.service.drained(BO, usize::MAX);
    assert_eq!(got(&relay.say(BO, get(&all, 0, 4))), &range(&all, 0, 4));
}

#[test]
fn ranges_that_wait_for_a_sync_are_bounded_rly_33() {
    let limits = Limits {
        batch_bytes: 3 * CHUNK_BYTES,
        ..Limits::default()
    };
    let mut relay = World::with(limits);
    let all = bytes(1, 6);
    relay.say(ANA, begin(&all));
    for first in [0, 2, 4] {
        relay.service.handle(ANA, put_range(&all, first, 2), relay.now);
    }
    assert!(relay.service.wants_settling());
    let outputs = relay.settle();
    let busy = |output: &&Output| {
        matches!(
            output,
            Output::Send {
                frame: FromRelay::Busy { .. },
                ..
            }
        )
    };
    assert_eq!((outputs.iter().filter(busy).count(), outputs.len()), (2, 3));
    assert_eq!(missing(&relay.say(ANA, begin(&all))), [2, 3, 4, 5, 6]);
}
