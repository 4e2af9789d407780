//! Opening the log: what an earlier process left, whole or torn.
//!
//! In: a folder. Out: segments, index and doors as they were at the last sync, and maybe a little more. A sealed
//! segment is known by its hint; any other is walked through, synced and given one. Serials go on where they were;
//! where bytes were lost, behind all that may have been given out.

use std::io;

use stonechat_wire::ids::{DoorPath, EnvelopeId, Tag};

use super::blobs::{self, Words};
use super::doors::{self, Word};
use super::index::{Entry, Index, short};
use super::record::{HEAD, Head, HintLine, Kind, Mark, SEGMENT_HEAD, SegmentHead, read_hint};
use super::segments::{MARK_NAME, Segment, Segments, Stand, hint_name, segment_name};
use super::walk::Walk;
use crate::store::StoreError;
use crate::store::disk::{Disk, DiskFile};

/// How much is written again at once, in bytes.
const CHUNK: u32 = 1 << 20;

/// What was loaded so far.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) index: Index,
    pub(super) words: Vec<(u64, DoorPath, Word)>,
    pub(super) blobs: Words,
    prolonged: Vec<(HintLine, u32)>,
    closed: Vec<(HintLine, u32)>,
    /// Segments in which something was that is no record.
    pub(super) damaged: u64,
}

/// Loads everything there is, and leaves every segment durable and sealed.
pub(super) fn load<D: Disk>(segments: &mut Segments<D>) -> Result<Loaded, StoreError> {
    let mut loaded = Loaded::default();
    let names = segments.disk.list()?;
    let mark = read_mark(segments, &names)?;
    segments.mark = mark.unwrap_or_default();
    segments.serial = segments.mark.floor;
    let numbers: Vec<u32> = names.iter().filter_map(|name| number(name)).collect();
    for number in &numbers {
        loaded.segment(segments, *number)?;
    }
    for name in names.iter().filter(|name| is_stray(name, &numbers)) {
        segments.disk.remove(name)?;
    }
    segments.next_number = numbers.iter().max().copied().unwrap_or_default().saturating_add(1);
    if loaded.damaged > 0 || (mark.is_none() && !numbers.is_empty()) {
        segments.skip_serials();
    }
    segments.disk.sync_folder()?;
    loaded.settle(segments);
    segments.recount_bytes();
    Ok(loaded)
}

fn read_mark<D: Disk>(segments: &Segments<D>, names: &[String]) -> Result<Option<Mark>, StoreError> {
    if !names.iter().any(|name| name == MARK_NAME) {
        return Ok(None);
    }
    Ok(Mark::from_bytes(&whole(&segments.disk.open(MARK_NAME)?)?))
}

fn whole(file: &impl DiskFile) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(file.size()?).unwrap_or(usize::MAX)];
    file.read_at(&mut bytes, 0)?;
    Ok(bytes)
}

fn number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".seg").filter(|digits| digits.len() == 8)?;
    u32::from_str_radix(digits, 16).ok()
}

/// Half-made files, and hints whose segments are gone.
fn is_stray(name: &str, numbers: &[u32]) -> bool {
    let is_orphan = |number: u32| numbers.binary_search(&number).is_err() && name == hint_name(number);
    let hint_of = name
        .strip_suffix(".hint")
        .and_then(|digits| u32::from_str_radix(digits, 16).ok());
    name.ends_with(".new") || hint_of.is_some_and(is_orphan)
}

impl Loaded {
    fn segment<D: Disk>(&mut self, segments: &mut Segments<D>, number: u32) -> Result<(), StoreError> {
        let mut file = segments.disk.open(&segment_name(number))?;
        let len = u32::try_from(file.size()?).unwrap_or(u32::MAX);
        let mut head = vec![0; SEGMENT_HEAD.min(len as usize)];
        file.read_at(&mut head, 0)?;
        let Some(head) = SegmentHead::from_bytes(&head).filter(|head| head.number == number) else {
            return self.headless(segments, number, len);
        };
        segments.serial = segments.serial.max(head.floor);
        let lines = match hinted(segments, number, &head, len)? {
            Some(lines) => lines,
            None => self.walked(segments, &mut file, &head, len)?,
        };
        let mut segment = Segment::loaded(file, head.salt, len);
        segment.records = lines.len() as u64;
        for line in &lines {
            segment.serial_max = segment.serial_max.max(line.serial);
            self.line(&segment.file, &head, line)?;
        }
        segments.serial = segments.serial.max(segment.serial_max);
        segments.all.insert(number, segment);
        Ok(())
    }

    /// A file that was made and never synced holds nothing that anybody was promised. Anything longer is kept aside.
    fn headless<D: Disk>(&mut self, segments: &Segments<D>, number: u32, len: u32) -> Result<(), StoreError> {
        let mut rest = vec![0; len as usize];
        segments.disk.open(&segment_name(number))?.read_at(&mut rest, 0)?;
        if rest.iter().all(|byte| *byte == 0) || rest.len() < SEGMENT_HEAD {
            segments.disk.remove(&segment_name(number))?;
            return Ok(());
        }
        tracing::error!(number, "a segment's head is damaged; the file is kept aside");
        self.damaged += 1;
        segments
            .disk
            .rename(&segment_name(number), &format!("{number:08x}.damaged"))?;
        Ok(())
    }

    /// What a walk finds. It may be more than was synced, so it is made durable before anybody is told that it is here.
    fn walked<D: Disk>(
        &mut self,
        segments: &Segments<D>,
        file: &mut D::File,
        head: &SegmentHead,
        len: u32,
    ) -> Result<Vec<HintLine>, StoreError> {
        let mut walk = Walk::new(&*file, head.salt, len, 0);
        let mut lines = Vec::new();
        while let Some((record, place, body)) = walk.next()? {
            let id = match record.kind {
                Kind::Envelope => short(&EnvelopeId::of(&body)),
                Kind::Chunk => blobs::line_id(blobs::index_of(&body)),
                Kind::Prolonged
                | Kind::Door
                | Kind::DoorUsed
                | Kind::DoorClosed
                | Kind::Blob
                | Kind::BlobProlonged
                | Kind::BlobGone => [0; 16],
            };
            lines.push(HintLine::of(&record, place, id));
        }
        if walk.met_damage {
            tracing::warn!(
                number = head.number,
                "a segment ends torn or is damaged; its whole records are kept"
            );
            self.damaged += 1;
        }
        write_again(file, len)?;
        if let Err(error) = segments.write_hint(head.number, head.salt, &lines, len) {
            tracing::warn!(%error, "a hint could not be written");
        }
        Ok(lines)
    }

    fn line<F: DiskFile>(&mut self, file: &F, head: &SegmentHead, line: &HintLine) -> Result<(), StoreError> {
        let at = Stand {
            segment: head.number,
            place: line.place,
        };
        match line.kind {
            Kind::Envelope => self.index.load(
                Tag::from_bytes(line.key),
                Entry {
                    serial: line.serial,
                    expires_at: line.expires_at,
                    id: line.id,
                    segment: at.segment,
                    place: at.place,
                    length: line.length,
                    note: 0,
                },
            ),
            Kind::Prolonged => self.prolonged.push((*line, head.number)),
            Kind::Door | Kind::DoorUsed | Kind::DoorClosed => self.door(file, head, line, at)?,
            Kind::Blob => {
                if let Some((record, body)) = self.record(file, head, line)? {
                    self.blobs.begun(&record, at, &body);
                }
            }
            Kind::Chunk | Kind::BlobProlonged => self.blobs.line(line, at),
            Kind::BlobGone => {
                self.closed.push((*line, head.number));
                self.blobs.line(line, at);
            }
        }
        Ok(())
    }

    fn door<F: DiskFile>(
        &mut self,
        file: &F,
        head: &SegmentHead,
        line: &HintLine,
        at: Stand,
    ) -> Result<(), StoreError> {
        let Some((record, body)) = self.record(file, head, line)? else {
            return Ok(());
        };
        if record.kind == Kind::DoorClosed {
            self.closed.push((*line, at.segment));
        }
        let word = doors::path(&record.key).zip(Word::read(&record, at, &body));
        self.words.extend(word.map(|(path, word)| (record.serial, path, word)));
        Ok(())
    }

    /// The record of a line; nothing if it is not whole.
    fn record<F: DiskFile>(
        &mut self,
        file: &F,
        head: &SegmentHead,
        line: &HintLine,
    ) -> Result<Option<(Head, Vec<u8>)>, StoreError> {
        let mut bytes = vec![0; (line.length as usize).saturating_add(HEAD)];
        file.read_at(&mut bytes, u64::from(line.place))?;
        let record = Head::read(&bytes, head.salt, line.place);
        let body = bytes.split_off(HEAD);
        let record = record.filter(|record| record.fits(&body));
        self.damaged += u64::from(record.is_none());
        Ok(record.map(|record| (record, body)))
    }

    /// Puts what the segments say together.
    fn settle<D: Disk>(&mut self, segments: &mut Segments<D>) {
        self.index.settle();
        for (line, segment) in self.prolonged.drain(..) {
            let entry = self.index.entry_mut(&Tag::from_bytes(line.key), line.serial);
            if let Some(entry) = entry.filter(|entry| entry.expires_at < line.expires_at) {
                (entry.expires_at, entry.note) = (line.expires_at, segment);
            }
        }
        for (line, segment) in self.closed.drain(..) {
            segments.count_closed(segment, line.expires_at);
        }
    }
}

/// Makes a file durable whatever happened to it before.
///
/// After a failed sync Linux takes what it holds in memory for written: it reads well, the next sync succeeds, and
/// nothing is on the disk. So it is written once more.
fn write_again(file: &mut impl DiskFile, len: u32) -> io::Result<()> {
    let mut at = 0;
    let mut chunk = Vec::new();
    while at < len {
        chunk.resize((len - at).min(CHUNK) as usize, 0);
        file.read_at(&mut chunk, u64::from(at))?;
        file.write_at(&chunk, u64::from(at))?;
        at = at.saturating_add(CHUNK);
    }
    file.sync()
}

/// The lines of a segment's hint, if it has one and it fits.
fn hinted<D: Disk>(
    segments: &Segments<D>,
    number: u32,
    head: &SegmentHead,
    len: u32,
) -> Result<Option<Vec<HintLine>>, StoreError> {
    let file = match segments.disk.open(&hint_name(number)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let hint = read_hint(&whole(&file)?, head.salt);
    Ok(hint.filter(|(_, of)| *of == len).map(|(lines, _)| lines))
}
