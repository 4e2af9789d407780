//! The segment log on a disk that fails, and on a real one.

use super::super::blobs::{BlobStore as _, NewBlob, conformance as blob_conformance};
use super::super::conformance::{self, contents, counts, door, envelope, tag};
use super::super::disk;
use super::*;

mod model;
mod power;
pub(crate) mod simulated;

use simulated::SimulatedDisk;

/// Segments so short that a few records fill one.
const SHORT: u32 = 4096;

fn fresh() -> SegmentLog<SimulatedDisk> {
    SegmentLog::with_segments(SimulatedDisk::new(1), 1, SHORT).unwrap()
}

fn on(disk: &SimulatedDisk) -> SegmentLog<SimulatedDisk> {
    SegmentLog::with_segments(disk.clone(), 2, SHORT).unwrap()
}

fn real(folder: &tempfile::TempDir) -> SegmentLog {
    SegmentLog::open(&folder.path().join("mailboxes"), [1; 8]).unwrap()
}

#[test]
fn it_behaves_as_a_store_rly_23() {
    conformance::duplicates_stay_one_copy_with_the_longer_life(fresh());
    conformance::reads_respect_cursor_and_budget(fresh());
    conformance::abandoning_drops_only_what_was_not_synced(fresh());
    conformance::expiry_drops_envelopes_and_doors_but_no_cursor(fresh());
    conformance::a_sequence_starts_where_it_is_told_to_and_never_goes_back(fresh());
    conformance::doors_are_replaced_counted_and_closed(fresh());
}

#[test]
fn it_keeps_blobs_as_a_store_does_blb_7() {
    blob_conformance::a_blob_is_begun_filled_and_given(fresh());
    blob_conformance::a_dropped_blob_is_gone_and_may_begin_again(fresh());
    blob_conformance::abandoning_takes_blobs_back(fresh());
    blob_conformance::blobs_go_when_their_life_is_over_or_they_stay_unfinished(fresh());
}

/// Found by losses of power in a longer history: the earlier one's record stands until its segment goes.
#[test]
fn a_blob_that_expired_is_not_back_after_a_start_where_its_successor_was_deleted_blb_7() {
    let (disk, second) = (SimulatedDisk::new(1), Timestamp::from_seconds);
    let mut log = on(&disk);
    log.append(&envelope(1, 1, 1000)).unwrap();
    log.begin_blob(&blob_conformance::blob(1, 2, 10)).unwrap();
    log.sync().unwrap();
    log.expire(second(20)).unwrap();
    let again = NewBlob {
        now: second(21),
        ..blob_conformance::blob(1, 2, 1000)
    };
    log.begin_blob(&again).unwrap();
    log.sync().unwrap();
    log.drop_blob(&again.id).unwrap();
    log.sync().unwrap();
    assert_eq!(log.blob(&again.id), None);
    drop(log);
    assert_eq!(on(&disk).blob(&again.id), None);
}

#[test]
fn what_was_synced_is_there_after_reopening_rly_22() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = real(&folder);
    log.append(&envelope(1, 1, 100)).unwrap();
    log.set_door(DoorPath::from_bytes([1; 12]), &door(9, 100)).unwrap();
    log.sync().unwrap();
    log.append(&envelope(1, 2, 100)).unwrap();
    drop(log);
    let log = real(&folder);
    assert_eq!((contents(&log, 1), log.total().doors), (vec![1], 1));
    assert_eq!(log.holds(&tag(1), &envelope(1, 1, 1).id), Ok(true));
    let found = log.door(&DoorPath::from_bytes([1; 12])).unwrap().unwrap();
    assert_eq!((found.card[0], found.card.len()), (9, 64));
}

#[test]
fn a_closed_log_opens_by_its_hints_and_an_unclosed_one_without_rly_22() {
    let disk = SimulatedDisk::new(1);
    let mut log = on(&disk);
    for n in 1..=40 {
        log.append(&envelope(n % 4, n, 100)).unwrap();
        log.sync().unwrap();
    }
    let before: Vec<Vec<u8>> = (0..4).map(|mailbox| contents(&log, mailbox)).collect();
    let unclosed = SimulatedDisk::of(disk.with(|state| state.clone()));
    log.close().unwrap();
    for disk in [disk, unclosed] {
        let log = on(&disk);
        let after: Vec<Vec<u8>> = (0..4).map(|mailbox| contents(&log, mailbox)).collect();
        assert_eq!((after, log.damaged()), (before.clone(), 0));
        assert_eq!(log.total().envelopes, 40);
    }
}

#[test]
fn cursors_do_not_come_back_after_everything_expired_and_a_restart_rly_24() {
    let disk = SimulatedDisk::new(1);
    let mut log = on(&disk);
    log.append(&envelope(1, 1, 1)).unwrap();
    log.append(&envelope(1, 2, 1)).unwrap();
    log.sync().unwrap();
    log.close().unwrap();
    let mut log = on(&disk);
    log.expire(Timestamp::from_seconds(2)).unwrap();
    log.sync().unwrap();
    assert_eq!(disk.list().unwrap(), ["mark"], "all else is gone");
    drop(log);
    let mut log = on(&disk);
    assert_eq!(counts(&log), (0, 0, 0, 0));
    assert!(matches!(log.append(&envelope(1, 3, 100)), Ok(Appended::New(cursor)) if cursor > 2));
}

#[test]
fn a_lost_record_does_not_bring_its_cursor_back_rly_24() {
    let disk = SimulatedDisk::new(1);
    let mut log = on(&disk);
    log.append(&envelope(1, 1, 100)).unwrap();
    log.sync().unwrap();
    drop(log);
    let mut file = disk.open("00000001.seg").unwrap();
    let len = disk::DiskFile::size(&file).unwrap();
    disk::DiskFile::write_at(&mut file, &[0xff; 4], len - 4).unwrap();
    let mut log = on(&disk);
    assert_eq!((contents(&log, 1), log.damaged()), (vec![], 1));
    assert!(matches!(log.append(&envelope(1, 2, 100)), Ok(Appended::New(cursor)) if cursor > 1));
}

#[test]
fn a_full_disk_is_told_apart_and_loses_nothing_synced_rly_28() {
    let disk = SimulatedDisk::new(1);
    let mut log = on(&disk);
    log.append(&envelope(1, 1, 100)).unwrap();
    log.sync().unwrap();
    disk.with(|state| state.full_at = state.bytes() + 300);
    for _ in 0..20 {
        let failed = (2..=3).try_for_each(|n| log.append(&envelope(1, n, 100)).map(|_| ()));
        let failed = failed.and_then(|()| log.sync());
        assert_eq!(failed, Err(StoreError::DiskFull));
        log.abandon();
        assert_eq!((contents(&log, 1), counts(&log)), (vec![1], (1, 256, 1, 0)));
    }
    disk.with(|state| state.full_at = 0);
    log.append(&envelope(1, 4, 100)).unwrap();
    log.sync().unwrap();
    drop(log);
    assert_eq!(contents(&on(&disk), 1), [1, 4]);
}

#[test]
fn a_damaged_record_is_not_served_and_a_put_brings_it_back_rly_23() {
    let disk = SimulatedDisk::new(1);
    let mut log = on(&disk);
    for n in 1..=3 {
        log.append(&envelope(1, n, 100)).unwrap();
    }
    log.sync().unwrap();
    let mut file = disk.open("00000001.seg").unwrap();
    disk::DiskFile::write_at(&mut file, &[0xff], record::SEGMENT_HEAD as u64 + 301 + 100).unwrap();
    assert_eq!((contents(&log, 1), log.damaged()), (vec![1, 3], 1));
    assert_eq!(log.holds(&tag(1), &envelope(1, 2, 100).id), Ok(false));
    assert!(matches!(log.append(&envelope(1, 2, 100)), Ok(Appended::New(_))));
    log.sync().unwrap();
    assert_eq!(contents(&log, 1), [1, 3, 2]);
}

#[test]
fn a_damaged_segment_gives_up_only_what_is_damaged() {
    let disk = SimulatedDisk::new(1);
    let mut log = SegmentLog::with_segments(disk.clone(), 2, 1 << 20).unwrap();
    for n in 1..=100 {
        log.append(&envelope(1, n, 100)).unwrap();
    }
    log.sync().unwrap();
    drop(log);
    let mut file = disk.open("00000001.seg").unwrap();
    // The heads of two records that do not follow one another: their lengths cannot be believed any more.
    for n in [20, 60] {
        disk::DiskFile::write_at(&mut file, &[0xff; 9], record::SEGMENT_HEAD as u64 + n * 301).unwrap();
    }
    let log = SegmentLog::with_segments(disk, 2, 1 << 20).unwrap();
    let kept: Vec<u8> = (1..=100).filter(|n| ![21, 61].contains(n)).collect();
    assert_eq!(contents(&log, 1), kept);
}

#[test]
fn bytes_inside_an_envelope_are_never_taken_for_a_record() {
    let disk = SimulatedDisk::new(1);
    let mut log = SegmentLog::with_segments(disk.clone(), 2, 1 << 20).unwrap();
    // Somebody who knew a segment's bytes puts them, shifted, into an envelope.
    log.append(&envelope(1, 1, 100)).unwrap();
    log.sync().unwrap();
    let mut stolen = vec![0; 301];
    let mut file = disk.open("00000001.seg").unwrap();
    disk::DiskFile::read_at(&file, &mut stolen, record::SEGMENT_HEAD as u64).unwrap();
    let bytes: std::sync::Arc<[u8]> = stolen.into();
    let id = EnvelopeId::of(&bytes);
    log.append(&NewEnvelope {
        bytes,
        id,
        ..envelope(2, 2, 100)
    })
    .unwrap();
    log.sync().unwrap();
    drop(log);
    // The head of the envelope that holds them is damaged, so that they are looked at byte by byte.
    disk::DiskFile::write_at(&mut file, &[0xff; 4], record::SEGMENT_HEAD as u64 + 301).unwrap();
    let log = SegmentLog::with_segments(disk, 2, 1 << 20).unwrap();
    assert_eq!(
        (contents(&log, 1), contents(&log, 2), log.total().envelopes),
        (vec![1], vec![], 1)
    );
}

#[test]
fn a_mostly_dead_segment_is_copied_on_and_removed() {
    let disk = SimulatedDisk::new(1);
    let mut log = on(&disk);
    // Of ten envelopes in a segment nine die early and one lives on; doors and longer lives are among what lives.
    for n in 1..=100 {
        let until = if n % 10 == 0 { 5000 } else { 50 };
        log.append(&envelope(n % 3, n, until)).unwrap();
        log.sync().unwrap();
    }
    log.append(&envelope(90 % 3, 90, 6000)).unwrap();
    log.set_door(DoorPath::from_bytes([1; 12]), &door(9, 5000)).unwrap();
    log.count_use(&DoorPath::from_bytes([1; 12])).unwrap();
    log.sync().unwrap();
    let full = log.total().disk_bytes;
    settle(&mut log, 100);
    assert_eq!(log.total().envelopes, 10);
    assert!(
        log.total().disk_bytes < full / 3,
        "{} of {full}",
        log.total().disk_bytes
    );
    let after_restart = on(&disk);
    for log in [&log, &after_restart] {
        let mut all: Vec<u8> = (0..3).flat_map(|mailbox| contents(log, mailbox)).collect();
        all.sort_unstable();
        assert_eq!(all, [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]);
        assert_eq!(
            log.door(&DoorPath::from_bytes([1; 12])).unwrap().map(|door| door.uses),
            Some(1)
        );
    }
    let mut log = after_restart;
    settle(&mut log, 5500);
    assert_eq!(contents(&log, 0), [90], "its longer life was copied too");
}

#[test]
fn repeated_puts_with_longer_lives_do_not_fill_the_disk_rly_33() {
    let mut log = fresh();
    for n in 0..5000 {
        log.append(&envelope(1, 1, 100 + n)).unwrap();
        log.sync().unwrap();
        if n % 16 == 0 {
            settle(&mut log, 50);
        }
    }
    settle(&mut log, 50);
    assert_eq!(log.total().envelopes, 1);
    assert!(
        log.total().disk_bytes < 5 * u64::from(SHORT),
        "{}",
        log.total().disk_bytes
    );
}

#[test]
fn the_files_of_one_sync_are_few_however_lives_differ_rly_33() {
    let disk = SimulatedDisk::new(1);
    let mut log = SegmentLog::with_segments(disk.clone(), 2, 1 << 20).unwrap();
    for n in 0..250 {
        log.append(&envelope(1, n, u64::from(n) * 20 * 86_400)).unwrap();
    }
    log.sync().unwrap();
    let before = disk.with(|state| state.calls);
    for n in 0..250_u8 {
        log.append(&envelope(2, n, u64::from(n % 6) * 10 * 86_400)).unwrap();
    }
    log.sync().unwrap();
    let calls = disk.with(|state| state.calls) - before;
    assert!(calls <= 6 * segments::OPEN_MAX as u64, "{calls}");
}

#[test]
fn the_table_of_the_first_version_is_taken_over_with_its_cursors_rly_24() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("mailboxes.sqlite");
    std::fs::write(&table, include_bytes!("../../../tests/fixtures/mailboxes-1.sqlite")).unwrap();
    let mut log = real(&folder);
    crate::store::import::import(&table, &mut log).unwrap();
    assert!(!table.exists() && table.with_extension("sqlite.taken-over").exists());
    drop(log);
    let mut log = real(&folder);
    let cursors: Vec<u64> = log
        .read(&tag(1), 0, conformance::WIDE)
        .unwrap()
        .iter()
        .map(|kept| kept.cursor)
        .collect();
    assert_eq!(
        (cursors, contents(&log, 1), contents(&log, 2)),
        (vec![3, 6], vec![7, 9], vec![8])
    );
    let door = log.door(&DoorPath::from_bytes([4; 12])).unwrap().unwrap();
    assert_eq!((door.uses, door.card.len(), door.proof_hash), (3, 64, [2; 32]));
    assert!(matches!(log.append(&envelope(1, 1, 100)), Ok(Appended::New(cursor)) if cursor > 40));
}

#[test]
fn a_later_table_and_a_file_that_is_none_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = real(&folder);
    let table = folder.path().join("mailboxes.sqlite");
    rusqlite::Connection::open(&table)
        .unwrap()
        .execute_batch("PRAGMA user_version = 9")
        .unwrap();
    assert!(matches!(
        crate::store::import::import(&table, &mut log),
        Err(StoreError::Import(_))
    ));
    std::fs::write(&table, [7; 4096]).unwrap();
    assert!(matches!(
        crate::store::import::import(&table, &mut log),
        Err(StoreError::Import(_))
    ));
    assert_eq!(std::fs::read(&table).unwrap(), [7; 4096]);
}

/// Expires and tidies until there is nothing more to do.
fn settle<D: Disk>(log: &mut SegmentLog<D>, now_s: u64) {
    for _ in 0..1000 {
        let expired = log.expire(Timestamp::from_seconds(now_s)).unwrap();
        log.sync().unwrap();
        if !expired.has_more {
            return;
        }
    }
    panic!("it never comes to rest");
}
