//! What is known of a mailbox's mails: which of them are objects, under which numbers.
//!
//! In: what the server says of each. Out: listings. A number (UID) means the same mail for as long as the mailbox's validity
//! stays, so that what was listed once is not listed again; also on the next connection.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use stonechat_wire::drop::ObjectName;
use tokio::time::Instant;

use super::super::folder::{Before, Clock};
use super::super::listing::{Listed, Listing, NAMES_MAX};
use super::answer::Mail;
use super::letter::{MAIL_MAX, read_name};

/// Where an object is: its day, if any, and its name.
pub(super) type Where = (Option<u32>, ObjectName);

/// After so long what was written is not waited for any more.
const FORGET: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug, Default)]
pub(in crate::carrier::drop) struct Mails {
    validity: u32,
    before: Before,
    /// How many mails of any kind there were at the last look.
    exists: u32,
    /// All mails, by number; those that are no objects too, for they are not asked about again.
    known: BTreeMap<u32, Option<Where>>,
    /// The newest mail of each object, and when it came.
    objects: BTreeMap<Where, (u32, u64)>,
    /// There are older ones than are known.
    was_cut: bool,
    /// Something that was written here and not seen since, and when.
    written: Option<(ObjectName, Instant)>,
    clock: Option<Clock>,
}

/// Which object a mail is, by its head and size.
pub(super) fn object(mail: &Mail) -> Option<Where> {
    let fits = usize::try_from(mail.size).is_ok_and(|size| size <= MAIL_MAX);
    mail.part.as_deref().filter(|_| fits).and_then(read_name)
}

impl Mails {
    /// A mailbox was selected, whose next mail will have that number.
    pub(super) fn selected(&mut self, validity: u32, next: Option<u32>) {
        let is_older = next.is_some_and(|next| next <= self.highest());
        if self.validity == validity && !is_older {
            return;
        }
        if self.validity != 0 {
            self.before = Before::Other;
        }
        self.validity = validity;
        self.known.clear();
        self.objects.clear();
        self.exists = 0;
    }

    /// Whether what was known held, since this was asked last.
    pub(super) fn take_before(&mut self) -> Before {
        std::mem::take(&mut self.before)
    }

    /// Out: how many more there are than at the last look.
    pub(super) const fn grown_to(&mut self, exists: u32) -> u32 {
        let grown = exists.saturating_sub(self.exists);
        self.exists = exists;
        grown
    }

    /// The highest number that is known.
    pub(super) fn highest(&self) -> u32 {
        self.known.last_key_value().map_or(0, |(uid, _)| *uid)
    }

    /// All numbers that there are, but for older ones where it was cut. Out: the lowest that is not known.
    pub(super) fn keep(&mut self, there: &BTreeSet<u32>, was_cut: bool) -> Option<u32> {
        self.was_cut = was_cut;
        let gone: Vec<u32> = self.known.keys().filter(|uid| !there.contains(uid)).copied().collect();
        gone.into_iter().for_each(|uid| self.forget(uid));
        there.iter().find(|uid| !self.known.contains_key(uid)).copied()
    }

    /// What the server says of a mail.
    pub(super) fn add(&mut self, mail: &Mail) {
        let object = object(mail);
        self.known.insert(mail.uid, object);
        if let Some(object) = object {
            let newest = self.objects.entry(object).or_default();
            *newest = (*newest).max((mail.uid, mail.came_ms));
            self.set_clock(&object.1, mail.came_ms);
        }
        if self.known.len() > NAMES_MAX {
            self.was_cut = true;
            let oldest = self.known.first_key_value().map(|(uid, _)| *uid);
            oldest.into_iter().for_each(|uid| self.forget(uid));
        }
    }

    pub(super) fn forget(&mut self, uid: u32) {
        if let Some(Some(object)) = self.known.remove(&uid)
            && self.objects.get(&object).is_some_and(|(newest, _)| *newest == uid)
        {
            self.objects.remove(&object);
        }
    }

    /// The number of an object.
    pub(super) fn uid(&self, object: &Where) -> Option<u32> {
        self.objects.get(object).map(|(uid, _)| *uid)
    }

    /// What there is of a day, or of none; all days.
    pub(super) fn list(&self, day: Option<u32>) -> Listing {
        let listed = |(object, (uid, came_ms)): (&Where, &(u32, u64))| {
            let (changed_ms, name) = (*came_ms, object.1);
            (*uid, Listed { changed_ms, name })
        };
        // Numbers tell the order within a second too.
        let objects: BTreeMap<u32, Listed> = self.of_day(day).map(listed).collect();
        let days: BTreeSet<u32> = self.objects.keys().filter_map(|(day, _)| *day).collect();
        Listing {
            objects: objects.into_values().collect(),
            days: days.into_iter().collect(),
            others: 0,
            is_whole: !self.was_cut,
        }
    }

    fn of_day(&self, day: Option<u32>) -> impl Iterator<Item = (&Where, &(u32, u64))> {
        let of_day = (day, ObjectName::from_bytes([0; 16]))..=(day, ObjectName::from_bytes([0xff; 16]));
        self.objects.range(of_day)
    }

    /// An object is about to be written here.
    pub(super) fn writes(&mut self, name: ObjectName) {
        if self.written.is_none_or(|(_, at)| at.elapsed() > FORGET) {
            self.written = Some((name, Instant::now()));
        }
    }

    /// What the server says of when one's own mail came is its clock, for nobody else has set it (DRP-17).
    fn set_clock(&mut self, name: &ObjectName, came_ms: u64) {
        if let Some((written, at)) = self.written
            && written == *name
            && came_ms > 0
        {
            self.clock = Some(Clock { ms: came_ms, at });
            self.written = None;
        }
    }

    /// The server's clock, once it is known.
    pub(super) const fn clock(&self) -> Option<Clock> {
        self.clock
    }
}
