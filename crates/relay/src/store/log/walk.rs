//! Reading a segment from its beginning, record by record, past whatever is damaged.
//!
//! In: a file of which nothing is believed. Out: each whole record with its place, and whether anything else stood
//! between them. After damage the next record is looked for byte by byte; a record's sum covers its place and a salt,
//! so nothing that somebody put inside an envelope is mistaken for one.

use std::io;

use super::record::{BODY_MAX, HEAD, Head, SEGMENT_HEAD, Salt};
use crate::store::disk::DiskFile;

/// How much is read at once, in bytes.
const WINDOW: usize = 1 << 20;

/// A walk through one segment.
#[derive(Debug)]
pub(super) struct Walk<'a, F> {
    file: &'a F,
    salt: Salt,
    /// Where the segment ends.
    len: u32,
    /// Where the next record is looked for.
    pub(super) place: u32,
    window: Vec<u8>,
    window_at: u32,
    /// Whether something that is no record was passed.
    pub(super) met_damage: bool,
}

impl<'a, F: DiskFile> Walk<'a, F> {
    /// Begins at `place`, or at the first record.
    pub(super) fn new(file: &'a F, salt: Salt, len: u32, place: u32) -> Self {
        let place = place.max(SEGMENT_HEAD as u32);
        Self {
            file,
            salt,
            len,
            place,
            window: Vec::new(),
            window_at: place,
            met_damage: false,
        }
    }

    /// The next whole record: its head, its place and its body.
    pub(super) fn next(&mut self) -> io::Result<Option<(Head, u32, Vec<u8>)>> {
        while self.place < self.len {
            let place = self.place;
            if let Some((head, body)) = self.record()? {
                self.place = place.saturating_add(head.record_len());
                return Ok(Some((head, place, body)));
            }
            self.met_damage = true;
        }
        Ok(None)
    }

    /// The record here. Where there is none, goes on: past a body that does not fit its head, or by one byte.
    fn record(&mut self) -> io::Result<Option<(Head, Vec<u8>)>> {
        let (salt, place) = (self.salt, self.place);
        let Some(head) = Head::read(self.bytes(HEAD)?, salt, place) else {
            self.place = place.saturating_add(1);
            return Ok(None);
        };
        let whole = self.bytes(head.record_len() as usize)?;
        let body = whole.get(HEAD..).unwrap_or_default();
        if head.fits(body) {
            return Ok(Some((head, body.to_vec())));
        }
        self.place = place.saturating_add(head.record_len());
        Ok(None)
    }

    /// At most `count` bytes from here on; fewer where the segment ends.
    fn bytes(&mut self, count: usize) -> io::Result<&[u8]> {
        let left = self.len.saturating_sub(self.place) as usize;
        let count = count.min(left);
        let has = self.place.saturating_sub(self.window_at) as usize;
        if self.place < self.window_at || has.saturating_add(count) > self.window.len() {
            self.window.resize(left.min(WINDOW.max(BODY_MAX + HEAD)), 0);
            self.file.read_at(&mut self.window, u64::from(self.place))?;
            self.window_at = self.place;
        }
        let from = self.place.saturating_sub(self.window_at) as usize;
        Ok(self.window.get(from..from.saturating_add(count)).unwrap_or_default())
    }
}
