//! What the segment log keeps in memory: where each envelope stands, by mailbox, and when it is due to go.
//!
//! In: entries as they are written, loaded or moved. Out: the same, by cursor, by id, by expiry. About 100 bytes an
//! envelope. Nothing here touches a file.
//! Invariant: every entry stands in the calendar exactly once, however often its life was prolonged.

use std::collections::BTreeMap;

use stonechat_wire::ids::{EnvelopeId, Tag, Timestamp};

use crate::forgetful::{Blank as _, ForgetfulMap};
use crate::store::MailboxSize;

/// Mailboxes of more envelopes than this find an id by a table of their own.
const SEARCHED_IN_LINE: usize = 48;
/// How fine the calendar is, in ms.
const CALENDAR_MS: u64 = 60_000;

/// Where an envelope stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) serial: u64,
    pub(super) expires_at: Timestamp,
    pub(super) id: [u8; 16],
    pub(super) segment: u32,
    pub(super) place: u32,
    pub(super) length: u32,
    /// The segment that says it lives longer than its record does; 0 if none.
    pub(super) note: u32,
}

/// All mailboxes.
#[derive(Debug, Default)]
pub(super) struct Index {
    slots: Vec<Mailbox>,
    free: Vec<u32>,
    by_tag: ForgetfulMap<Tag, u32>,
    calendar: BTreeMap<u64, Vec<(u32, u64)>>,
    envelopes: u64,
    bytes: u64,
}

/// Serials by id.
#[derive(Debug)]
struct Ids(ForgetfulMap<[u8; 16], u64>);

#[derive(Debug)]
struct Mailbox {
    tag: Tag,
    bytes: u64,
    /// By serial.
    entries: Vec<Entry>,
    /// Serial by id, once there are many.
    by_id: Option<Box<Ids>>,
}

/// The half of an id that is kept: no two envelopes share it but by chance of one in 2^64 for whoever tries.
pub(super) fn short(id: &EnvelopeId) -> [u8; 16] {
    let mut short = [0; 16];
    for (to, from) in short.iter_mut().zip(id.as_bytes()) {
        *to = *from;
    }
    short
}

impl Index {
    /// Adds an entry with the highest serial of its mailbox.
    pub(super) fn add(&mut self, tag: Tag, entry: Entry) {
        let slot = self.slot(tag);
        self.calendar
            .entry(entry.expires_at.0 / CALENDAR_MS)
            .or_default()
            .push((slot, entry.serial));
        self.envelopes += 1;
        self.bytes += u64::from(entry.length);
        if let Some(mailbox) = self.slots.get_mut(slot as usize) {
            mailbox.add(entry);
        }
    }

    /// Takes back the entry that was added last.
    pub(super) fn take_back(&mut self, tag: Tag, serial: u64) -> Option<Entry> {
        let entry = self.remove(tag, serial)?;
        let minute = entry.expires_at.0 / CALENDAR_MS;
        if let Some(page) = self.calendar.get_mut(&minute) {
            match page.pop() {
                Some((_, last)) if last == serial => {}
                other => {
                    page.extend(other);
                    page.retain(|(_, of)| *of != serial);
                }
            }
            if page.is_empty() {
                self.calendar.remove(&minute);
            }
        }
        Some(entry)
    }

    /// Forgets an entry.
    pub(super) fn remove(&mut self, tag: Tag, serial: u64) -> Option<Entry> {
        let slot = *self.by_tag.get(&tag)?;
        self.remove_all(&[(slot, serial)]).pop()
    }

    /// An entry by its mailbox and cursor.
    pub(super) fn entry_mut(&mut self, tag: &Tag, serial: u64) -> Option<&mut Entry> {
        let slot = *self.by_tag.get(tag)?;
        self.slots.get_mut(slot as usize)?.entry_mut(serial)
    }

    /// An entry by its mailbox and id.
    pub(super) fn find(&self, tag: &Tag, id: &[u8; 16]) -> Option<&Entry> {
        self.mailbox(tag)?.find(id)
    }

    /// A mailbox's entries after a cursor, by cursor.
    pub(super) fn after(&self, tag: &Tag, cursor: u64) -> &[Entry] {
        let entries = self.mailbox(tag).map_or(&[][..], |mailbox| &mailbox.entries);
        let from = entries.partition_point(|entry| entry.serial <= cursor);
        entries.get(from..).unwrap_or_default()
    }

    pub(super) fn size(&self, tag: &Tag) -> MailboxSize {
        let Some(mailbox) = self.mailbox(tag) else {
            return MailboxSize::default();
        };
        MailboxSize {
            envelopes: mailbox.entries.len() as u64,
            bytes: mailbox.bytes,
            newest: mailbox.entries.last().map_or(0, |entry| entry.serial),
        }
    }

    /// Envelopes, their bytes, mailboxes.
    pub(super) fn total(&self) -> (u64, u64, usize) {
        (self.envelopes, self.bytes, self.by_tag.len())
    }

    /// Forgets at most `limit` entries whose time has come, and says which they were.
    pub(super) fn due(&mut self, now: Timestamp, limit: usize) -> Vec<Entry> {
        let this_minute = now.0 / CALENDAR_MS;
        let (mut due, mut later) = (Vec::new(), Vec::new());
        while due.len() < limit
            && let Some(mut page) = self.calendar.first_entry()
            && *page.key() <= this_minute
        {
            let is_current = *page.key() == this_minute;
            let all = page.get_mut();
            let left_there = if is_current {
                0
            } else {
                all.len().saturating_sub(limit - due.len())
            };
            let some = all.split_off(left_there);
            if all.is_empty() {
                page.remove();
            }
            for (slot, serial) in some {
                match self.expiry(slot, serial) {
                    Some(until) if until <= now && due.len() < limit => due.push((slot, serial)),
                    Some(until) => later.push((until.0 / CALENDAR_MS, (slot, serial))),
                    None => {}
                }
            }
            if is_current {
                break;
            }
        }
        for (minute, entry) in later {
            self.calendar.entry(minute).or_default().push(entry);
        }
        due.sort_unstable();
        let each_mailbox = due.chunk_by(|a, b| a.0 == b.0);
        each_mailbox.flat_map(|due| self.remove_all(due)).collect()
    }

    /// Adds an entry out of a segment, in whatever order; [`Index::settle`] puts all in order.
    pub(super) fn load(&mut self, tag: Tag, entry: Entry) {
        let slot = self.slot(tag);
        if let Some(mailbox) = self.slots.get_mut(slot as usize) {
            mailbox.entries.push(entry);
        }
    }

    /// Puts what was loaded in order. Of one envelope that stands twice, the later segment's is kept.
    pub(super) fn settle(&mut self) {
        (self.envelopes, self.bytes) = (0, 0);
        self.calendar.clear();
        for (slot, mailbox) in self.slots.iter_mut().enumerate() {
            mailbox
                .entries
                .sort_unstable_by_key(|entry| (entry.serial, std::cmp::Reverse(entry.segment)));
            mailbox.entries.dedup_by_key(|entry| entry.serial);
            mailbox.settle();
            self.envelopes += mailbox.entries.len() as u64;
            self.bytes += mailbox.bytes;
            for entry in &mailbox.entries {
                let due = (u32::try_from(slot).unwrap_or(u32::MAX), entry.serial);
                let minute = entry.expires_at.0 / CALENDAR_MS;
                self.calendar.entry(minute).or_default().push(due);
            }
        }
    }

    /// All entries, by no order that means anything.
    pub(super) fn all(&self) -> impl Iterator<Item = &Entry> {
        self.slots.iter().flat_map(|mailbox| &mailbox.entries)
    }

    fn mailbox(&self, tag: &Tag) -> Option<&Mailbox> {
        self.slots.get(*self.by_tag.get(tag)? as usize)
    }

    fn slot(&mut self, tag: Tag) -> u32 {
        if let Some(slot) = self.by_tag.get(&tag) {
            return *slot;
        }
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(Mailbox::empty(tag));
                u32::try_from(self.slots.len().saturating_sub(1)).unwrap_or(u32::MAX)
            }
        };
        if let Some(mailbox) = self.slots.get_mut(slot as usize) {
            *mailbox = Mailbox::empty(tag);
        }
        self.by_tag.insert(tag, slot);
        slot
    }

    fn expiry(&self, slot: u32, serial: u64) -> Option<Timestamp> {
        let entries = &self.slots.get(slot as usize)?.entries;
        let at = entries.binary_search_by_key(&serial, |entry| entry.serial).ok()?;
        entries.get(at).map(|entry| entry.expires_at)
    }

    /// Forgets entries of one slot, given by serial in order; one pass, however many there are.
    fn remove_all(&mut self, due: &[(u32, u64)]) -> Vec<Entry> {
        let Some((slot, _)) = due.first() else {
            return Vec::new();
        };
        let Some(mailbox) = self.slots.get_mut(*slot as usize) else {
            return Vec::new();
        };
        let gone = mailbox.remove_all(due);
        let tag = mailbox.tag;
        if mailbox.entries.is_empty() && self.by_tag.remove(&tag).is_some() {
            *mailbox = Mailbox::empty(Tag::BLANK);
            self.free.push(*slot);
        }
        self.envelopes = self.envelopes.saturating_sub(gone.len() as u64);
        let bytes: u64 = gone.iter().map(|entry| u64::from(entry.length)).sum();
        self.bytes = self.bytes.saturating_sub(bytes);
        gone
    }
}

impl Mailbox {
    const fn empty(tag: Tag) -> Self {
        Self {
            tag,
            bytes: 0,
            entries: Vec::new(),
            by_id: None,
        }
    }

    fn add(&mut self, entry: Entry) {
        self.bytes += u64::from(entry.length);
        if let Some(by_id) = &mut self.by_id {
            by_id.0.insert(entry.id, entry.serial);
        }
        self.entries.push(entry);
        self.learn_ids();
    }

    fn settle(&mut self) {
        self.bytes = self.entries.iter().map(|entry| u64::from(entry.length)).sum();
        self.entries.shrink_to_fit();
        self.by_id = None;
        self.learn_ids();
    }

    fn learn_ids(&mut self) {
        if self.by_id.is_none() && self.entries.len() > SEARCHED_IN_LINE {
            let ids = self.entries.iter().map(|entry| (entry.id, entry.serial));
            self.by_id = Some(Box::new(Ids(ids.collect())));
        }
    }

    fn entry_mut(&mut self, serial: u64) -> Option<&mut Entry> {
        let at = self.at(serial)?;
        self.entries.get_mut(at)
    }

    fn at(&self, serial: u64) -> Option<usize> {
        self.entries.binary_search_by_key(&serial, |entry| entry.serial).ok()
    }

    fn find(&self, id: &[u8; 16]) -> Option<&Entry> {
        match &self.by_id {
            Some(by_id) => self.entries.get(self.at(*by_id.0.get(id)?)?),
            None => self.entries.iter().find(|entry| entry.id == *id),
        }
    }

    fn remove_all(&mut self, due: &[(u32, u64)]) -> Vec<Entry> {
        let is_last = |(_, serial): &(u32, u64)| self.entries.last().is_some_and(|last| last.serial == *serial);
        let gone: Vec<Entry> = match due {
            [only] if is_last(only) => self.entries.pop().into_iter().collect(),
            _ => {
                let is_due = |entry: &mut Entry| due.binary_search_by_key(&entry.serial, |(_, serial)| *serial).is_ok();
                self.entries.extract_if(.., is_due).collect()
            }
        };
        // What moved up left a copy behind.
        self.entries.shrink_to_fit();
        for entry in &gone {
            self.bytes = self.bytes.saturating_sub(u64::from(entry.length));
            if let Some(by_id) = &mut self.by_id {
                by_id.0.remove(&entry.id);
            }
        }
        gone
    }
}
