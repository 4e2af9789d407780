//! The files of the segment log: which there are, what is written to them, and when it is durable.
//!
//! In: records. Out: where they stand, and their bytes again. Records gather in memory until [`Segments::sync`] writes
//! them and syncs each file that got some, once. A segment takes records that expire within the same ten days, so
//! that it can go as a whole; one that is full or was opened by an earlier process takes no more. What a record means
//! is the log's concern.
//! Invariant: a segment in which a write or a sync failed is cut to what was durable and never written to again.

use std::collections::BTreeMap;
use std::io;

use stonechat_wire::ids::Timestamp;

use super::record::{HEAD, HINT_LINE, Head, HintLine, HintSum, Kind, Mark, SEGMENT_HEAD, Salt, SegmentHead};
use crate::store::StoreError;
use crate::store::disk::{Disk, DiskFile};

/// How much time one segment's expiries span, in ms: ten days. Lives of up to 60 days make seven open segments.
const BUCKET_MS: u64 = 10 * 24 * 3_600_000;
/// Most segments that are open at once: most files that one sync has to wait for.
pub(super) const OPEN_MAX: usize = 8;
/// How many serials are promised ahead with one write of the mark.
const SERIALS_AHEAD: u64 = 1 << 20;
/// The file of the mark.
pub(super) const MARK_NAME: &str = "mark";
const MARK_NAME_NEW: &str = "mark.new";

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stand {
    pub(super) segment: u32,
    pub(super) place: u32,
}

/// All segments of one folder.
#[derive(Debug)]
pub(super) struct Segments<D: Disk> {
    pub(super) disk: D,
    pub(super) all: BTreeMap<u32, Segment<D::File>>,
    open: BTreeMap<u64, Open<D::File>>,
    full: Vec<Open<D::File>>,
    pub(super) next_number: u32,
    /// The highest serial given out.
    pub(super) serial: u64,
    pub(super) mark: Mark,
    names_changed: bool,
    seed: u64,
    pub(super) segment_max: u32,
    /// Bytes of all segments and their hints, with what is not written yet.
    pub(super) bytes: u64,
}

/// One file of records.
#[derive(Debug)]
pub(super) struct Segment<F> {
    pub(super) file: F,
    pub(super) salt: Salt,
    /// Its length, with what is not written yet.
    pub(super) len: u32,
    /// How many records it has.
    pub(super) records: u64,
    /// Bytes of records that still mean something.
    pub(super) live: u64,
    /// Bytes of remarks about doors that were taken down, and until when they are needed.
    pub(super) closed: u64,
    pub(super) closed_until: Timestamp,
    pub(super) serial_max: u64,
    pub(super) is_open: bool,
    /// Whether compaction has been through it: what is left in it stays until it expires.
    pub(super) is_compacted: bool,
}

/// A segment that takes records.
#[derive(Debug)]
struct Open<F> {
    number: u32,
    durable: u32,
    unwritten: Vec<u8>,
    hint: Option<Hint<F>>,
}

/// The hint of an open segment, as far as it has come.
#[derive(Debug)]
struct Hint<F> {
    file: F,
    len: u64,
    unwritten: Vec<u8>,
    sum: HintSum,
}

pub(super) fn segment_name(number: u32) -> String {
    format!("{number:08x}.seg")
}

pub(super) fn hint_name(number: u32) -> String {
    format!("{number:08x}.hint")
}

impl<D: Disk> Segments<D> {
    pub(super) fn new(disk: D, seed: u64, segment_max: u32) -> Self {
        let (all, open, full) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        Self {
            disk,
            all,
            open,
            full,
            next_number: 1,
            serial: 0,
            mark: Mark::default(),
            names_changed: false,
            seed,
            segment_max,
            bytes: 0,
        }
    }

    /// The next serial. It was promised durably before, so a lost record never makes it come again.
    pub(super) fn next_serial(&mut self) -> Result<u64, StoreError> {
        let next = self.serial.saturating_add(1);
        if next > self.mark.ceiling {
            self.write_mark()?;
        }
        self.serial = next;
        Ok(next)
    }

    /// Goes on behind every serial that may have been given out: bytes that would say which were are lost.
    pub(super) fn skip_serials(&mut self) {
        self.serial = self.mark.ceiling.max(self.serial.saturating_add(SERIALS_AHEAD));
    }

    /// Takes a record; it is durable after the next [`Segments::sync`].
    pub(super) fn write(&mut self, head: &Head, body: &[u8], id: [u8; 16]) -> Result<Stand, StoreError> {
        let bucket = head.expires_at.0 / BUCKET_MS;
        let bucket = self.make_room(bucket, head.record_len())?;
        let open = self.open.get_mut(&bucket).ok_or_else(unknown)?;
        let segment = self.all.get_mut(&open.number).ok_or_else(unknown)?;
        let place = segment.len;
        head.write(body, segment.salt, place, &mut open.unwritten);
        segment.len = place.saturating_add(head.record_len());
        segment.records += 1;
        segment.serial_max = segment.serial_max.max(head.serial);
        self.bytes += u64::from(head.record_len()) + HINT_LINE as u64;
        if let Some(hint) = &mut open.hint {
            HintLine::of(head, place, id).write(&mut hint.unwritten);
        }
        Ok(Stand {
            segment: open.number,
            place,
        })
    }

    /// Counts bytes of a segment as meaning something.
    pub(super) fn count(&mut self, segment: u32, record_len: u32) {
        if let Some(segment) = self.all.get_mut(&segment) {
            segment.live += u64::from(record_len);
        }
    }

    /// Counts bytes of a segment as meaning nothing any more.
    pub(super) fn discount(&mut self, segment: u32, record_len: u32) {
        if let Some(segment) = self.all.get_mut(&segment) {
            segment.live = segment.live.saturating_sub(u64::from(record_len));
        }
    }

    /// Counts a remark that a door was taken down.
    pub(super) fn count_closed(&mut self, segment: u32, until: Timestamp) {
        if let Some(segment) = self.all.get_mut(&segment) {
            segment.closed += HEAD as u64;
            segment.closed_until = segment.closed_until.max(until);
        }
    }

    /// A record's body; nothing if what stands there is not that record, whole.
    pub(super) fn read(&self, at: Stand, length: u32, kind: Kind, serial: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(segment) = self.all.get(&at.segment) else {
            return Ok(None);
        };
        let mut bytes = vec![0; (length as usize).saturating_add(HEAD)];
        if !self.read_unwritten(at, &mut bytes) {
            match segment.file.read_at(&mut bytes, u64::from(at.place)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        let Some(head) = Head::read(&bytes, segment.salt, at.place) else {
            return Ok(None);
        };
        let body = bytes.split_off(HEAD);
        let holds = head.kind == kind && head.serial == serial && head.fits(&body);
        Ok(holds.then_some(body))
    }

    /// Writes and syncs what was taken, and the names of new files with it.
    ///
    /// Errors: nothing of it counts; call [`Segments::retire`].
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        for open in self.open.values().chain(&self.full) {
            if let Some(segment) = self.all.get_mut(&open.number).filter(|_| !open.unwritten.is_empty()) {
                segment.file.write_at(&open.unwritten, u64::from(open.durable))?;
            }
        }
        for open in self.open.values().chain(&self.full) {
            if let Some(segment) = self.all.get_mut(&open.number).filter(|_| !open.unwritten.is_empty()) {
                segment.file.sync()?;
            }
        }
        self.sync_names()?;
        for open in self.open.values_mut().chain(&mut self.full) {
            open.settled();
        }
        for open in std::mem::take(&mut self.full) {
            self.seal(open);
        }
        Ok(())
    }

    /// After a failed write or sync: cuts what took records to what was durable, and never writes there again.
    pub(super) fn retire(&mut self) {
        let opened = std::mem::take(&mut self.open);
        let (hurt, unhurt): (Vec<_>, Vec<_>) = opened.into_iter().partition(|(_, open)| !open.unwritten.is_empty());
        self.open = unhurt.into_iter().collect();
        let full = std::mem::take(&mut self.full);
        for open in hurt.into_iter().map(|(_, open)| open).chain(full) {
            // None of these has to succeed: what is left over is cut off, or found and kept, at the next start.
            let _ = self.disk.remove(&hint_name(open.number));
            let Some(segment) = self.all.get_mut(&open.number) else {
                continue;
            };
            let _ = segment.file.cut(u64::from(open.durable));
            (segment.len, segment.is_open) = (open.durable, false);
            if (open.durable as usize) <= SEGMENT_HEAD {
                self.all.remove(&open.number);
                let _ = self.disk.remove(&segment_name(open.number));
            }
            self.names_changed = true;
        }
        self.recount_bytes();
    }

    /// Closes all open segments; call it after a sync.
    pub(super) fn seal_all(&mut self) {
        for (_, open) in std::mem::take(&mut self.open) {
            self.seal(open);
        }
    }

    /// Closes open segments whose time is over; call it after a sync.
    pub(super) fn seal_past(&mut self, now: Timestamp) {
        let future = self.open.split_off(&(now.0 / BUCKET_MS));
        for (_, open) in std::mem::replace(&mut self.open, future) {
            self.seal(open);
        }
    }

    /// Removes a segment that means nothing any more. What it said about serials is kept.
    pub(super) fn remove(&mut self, number: u32) -> Result<(), StoreError> {
        let (serial_max, bytes) = self
            .all
            .get(&number)
            .map_or((0, 0), |segment| (segment.serial_max, segment.bytes()));
        if serial_max > self.mark.floor {
            self.write_mark()?;
        }
        self.disk.remove(&segment_name(number))?;
        self.all.remove(&number);
        self.bytes = self.bytes.saturating_sub(bytes);
        if let Err(error) = self.disk.remove(&hint_name(number))
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error.into());
        }
        self.names_changed = true;
        Ok(())
    }

    /// Makes names that came and went durable.
    pub(super) fn sync_names(&mut self) -> Result<(), StoreError> {
        if self.names_changed {
            self.disk.sync_folder()?;
            self.names_changed = false;
        }
        Ok(())
    }

    /// Counts the bytes of all files anew.
    pub(super) fn recount_bytes(&mut self) {
        self.bytes = self.all.values().map(Segment::bytes).sum();
    }

    /// Writes the mark: a new file in place of the old one.
    pub(super) fn write_mark(&mut self) -> Result<(), StoreError> {
        let mark = Mark {
            floor: self.serial,
            ceiling: self.serial.saturating_add(SERIALS_AHEAD),
        };
        if let Err(error) = self.disk.remove(MARK_NAME_NEW)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error.into());
        }
        let mut file = self.disk.create(MARK_NAME_NEW)?;
        file.write_at(&mark.to_bytes(), 0)?;
        file.sync()?;
        self.disk.rename(MARK_NAME_NEW, MARK_NAME)?;
        self.disk.sync_folder()?;
        self.mark = mark;
        Ok(())
    }

    /// Writes the hint of a segment whose records are known.
    pub(super) fn write_hint(&self, number: u32, salt: Salt, lines: &[HintLine], len: u32) -> io::Result<()> {
        let mut bytes = Vec::new();
        lines.iter().for_each(|line| line.write(&mut bytes));
        let mut sum = HintSum::new(salt);
        sum.add(&bytes);
        bytes.extend(sum.end(len));
        let _ = self.disk.remove(&hint_name(number));
        let mut file = self.disk.create(&hint_name(number))?;
        file.write_at(&bytes, 0)?;
        file.sync()
    }

    /// Sees to it that an open segment has room. Out: its bucket; another one's where too many are open already.
    fn make_room(&mut self, bucket: u64, record_len: u32) -> Result<u64, StoreError> {
        let mut bucket = bucket;
        if !self.open.contains_key(&bucket) && self.open.len() >= OPEN_MAX {
            let nearest = self
                .open
                .range(..bucket)
                .next_back()
                .or_else(|| self.open.first_key_value());
            bucket = nearest.map_or(bucket, |(nearest, _)| *nearest);
        }
        if let Some(open) = self.open.get(&bucket) {
            let len = self.all.get(&open.number).map_or(u32::MAX, |segment| segment.len);
            if len.saturating_add(record_len) <= self.segment_max {
                return Ok(bucket);
            }
        }
        self.full.extend(self.open.remove(&bucket));
        let open = self.make_segment()?;
        self.open.insert(bucket, open);
        Ok(bucket)
    }

    fn make_segment(&mut self) -> Result<Open<D::File>, StoreError> {
        let number = self.next_number;
        let salt = self.next_salt();
        // A name is tried once: one that could not be removed must not stand in the way for ever.
        self.next_number = number.saturating_add(1);
        let file = self.disk.create(&segment_name(number))?;
        self.names_changed = true;
        let hint = self.disk.create(&hint_name(number)).ok().map(|file| Hint {
            file,
            len: 0,
            unwritten: Vec::new(),
            sum: HintSum::new(salt),
        });
        let floor = self.serial;
        let head = SegmentHead { number, salt, floor };
        self.all.insert(number, Segment::open(file, salt));
        self.bytes += SEGMENT_HEAD as u64;
        Ok(Open {
            number,
            durable: 0,
            unwritten: head.to_bytes(),
            hint,
        })
    }

    /// Nobody who puts envelopes here can know a segment's salt: it comes out of the seed (SplitMix64).
    fn next_salt(&mut self) -> Salt {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Salt((z ^ (z >> 31)).to_be_bytes())
    }

    /// Ends a segment's hint. Without one the segment is read whole at the next start: no more than time is lost.
    fn seal(&mut self, open: Open<D::File>) {
        let Some(segment) = self.all.get_mut(&open.number) else {
            return;
        };
        segment.is_open = false;
        let len = segment.len;
        let done = open.hint.map(|mut hint| {
            hint.file.write_at(&hint.sum.end(len), hint.len)?;
            hint.file.sync()
        });
        if let Some(Err(error)) = done {
            tracing::warn!(%error, "a hint could not be written");
        }
        self.names_changed = true;
    }

    fn read_unwritten(&self, at: Stand, bytes: &mut [u8]) -> bool {
        let is_it = |open: &&Open<D::File>| open.number == at.segment && at.place >= open.durable;
        let Some(open) = self.open.values().chain(&self.full).find(is_it) else {
            return false;
        };
        let from = at.place.saturating_sub(open.durable) as usize;
        match open.unwritten.get(from..from.saturating_add(bytes.len())) {
            Some(found) => bytes.copy_from_slice(found),
            None => bytes.fill(0),
        }
        true
    }
}

impl<F: DiskFile> Segment<F> {
    fn open(file: F, salt: Salt) -> Self {
        Self {
            is_open: true,
            ..Self::loaded(file, salt, SEGMENT_HEAD as u32)
        }
    }

    /// A segment of an earlier process.
    pub(super) fn loaded(file: F, salt: Salt, len: u32) -> Self {
        let (live, closed, closed_until) = (0, 0, Timestamp::default());
        Self {
            file,
            salt,
            len,
            records: 0,
            live,
            closed,
            closed_until,
            serial_max: 0,
            is_open: false,
            is_compacted: false,
        }
    }

    /// Bytes of it and its hint.
    fn bytes(&self) -> u64 {
        u64::from(self.len).saturating_add(self.records.saturating_mul(HINT_LINE as u64))
    }

    /// Bytes of it that are needed at `now`.
    pub(super) fn needed(&self, now: Timestamp) -> u64 {
        let closed = if self.closed_until > now { self.closed } else { 0 };
        self.live.saturating_add(closed)
    }
}

impl<F: DiskFile> Open<F> {
    /// What was written is durable.
    fn settled(&mut self) {
        self.durable = self
            .durable
            .saturating_add(u32::try_from(self.unwritten.len()).unwrap_or(u32::MAX));
        // Freed, it is wiped; cleared, it would stay.
        self.unwritten = Vec::new();
        if let Some(hint) = &mut self.hint
            && hint.append().is_err()
        {
            self.hint = None;
        }
    }
}

impl<F: DiskFile> Hint<F> {
    fn append(&mut self) -> io::Result<()> {
        if !self.unwritten.is_empty() {
            self.file.write_at(&self.unwritten, self.len)?;
            self.sum.add(&self.unwritten);
            self.len += self.unwritten.len() as u64;
            self.unwritten = Vec::new();
        }
        Ok(())
    }
}

/// A segment that has to be there is not: only a mistake of this module can say so.
fn unknown() -> StoreError {
    StoreError::Io("a segment is missing from the log's own list".into())
}
