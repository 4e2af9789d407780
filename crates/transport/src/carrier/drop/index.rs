//! What is known of a drop's objects: which were read, which are wanted, and which cursors their envelopes were given.
//!
//! In: listings, objects, mailboxes to read. Out: what to fetch next, and what to hand on. Cursors are this device's own: one
//! growing sequence, above whatever core says it has. So a start reads again what is live, and core takes it once; what is
//! wanted again later is given a new cursor, and is never behind what was given before (DRP-11).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use stonechat_wire::drop::{Object, ObjectName};
use stonechat_wire::frame::FromRelay;
use stonechat_wire::ids::Tag;
use tokio::time::Instant;

use super::listing::Listing;
use super::mail::SharedMails;

/// Most objects of one drop that are known; of older days those are forgotten for which there is no room, or never read.
pub const OBJECTS_MAX: usize = 65_536;
/// Most of one's own objects that are looked after.
pub const OWN_MAX: usize = 16_384;
/// How often an object that does not open is fetched: it may be half written.
pub const BROKEN_TRIES: u32 = 4;
/// Pause before an object that the server did not give is asked for again, in ms.
pub const REFUSED_MS: u64 = 10_000;
/// First pause before it is fetched again, in ms; ten times as long each time.
const BROKEN_MS: u64 = 5_000;

/// Where an object lies.
pub(super) type Spot = (u32, ObjectName);

#[derive(Debug)]
enum Entry {
    /// Not read yet.
    Wanted,
    Read {
        /// When it may be taken away, Unix seconds.
        over_at_s: u64,
        /// Mailbox of each of its envelopes, and the cursor it was given; 0: none.
        items: Vec<(Tag, u64)>,
    },
    /// It does not open.
    Broken { tries: u32, again_at_ms: u64 },
}

/// See the module.
#[derive(Debug, Default)]
pub struct Index {
    objects: BTreeMap<Spot, Entry>,
    /// Some may not be wanted any more: those that are not in `queued`.
    queue: VecDeque<Spot>,
    queued: BTreeSet<Spot>,
    reading: BTreeSet<Tag>,
    /// Own objects: when they are over, and the look during which they were written.
    own: BTreeMap<Spot, (u64, u64)>,
    last_cursor: u64,
    looks: u64,
    /// When everything was looked at last.
    pub(super) scanned_at: Option<Instant>,
    /// Of a mailbox: under which numbers its objects are.
    pub(super) mails: SharedMails,
}

impl Index {
    /// A link begins: nothing is subscribed, and what the last one did not get to is wanted again.
    pub(super) fn begin(&mut self) {
        self.reading.clear();
        self.queue.clear();
        self.queued.clear();
        let mut wanted = Vec::new();
        for (spot, entry) in &mut self.objects {
            match entry {
                Entry::Wanted => wanted.push(*spot),
                Entry::Broken { again_at_ms, .. } => *again_at_ms = 0,
                Entry::Read { .. } => {}
            }
        }
        wanted.into_iter().for_each(|spot| self.enqueue(spot));
    }

    fn enqueue(&mut self, spot: Spot) {
        if self.queued.insert(spot) {
            self.queue.push_back(spot);
        }
    }

    /// A change of what is read. What was read of these mailboxes before is fetched again, but what core has.
    pub(super) fn subscribe(&mut self, add: &[(Tag, u64)], drop: &[Tag]) {
        drop.iter().for_each(|tag| _ = self.reading.remove(tag));
        let wanted: BTreeMap<Tag, u64> = add.iter().copied().collect();
        self.reading.extend(wanted.keys());
        let said = wanted.values().max().copied().unwrap_or_default();
        self.last_cursor = self.last_cursor.max(said);
        let mut again = Vec::new();
        for (spot, entry) in &mut self.objects {
            let Entry::Read { items, .. } = entry else { continue };
            let mut is_wanted = false;
            for (tag, given) in items {
                if wanted.get(tag).is_some_and(|has| *given == 0 || *given > *has) {
                    *given = 0;
                    is_wanted = true;
                }
            }
            if is_wanted {
                again.push(*spot);
            }
        }
        again.into_iter().for_each(|spot| self.enqueue(spot));
    }

    /// A look at a folder begins.
    pub(super) const fn look(&mut self) {
        self.looks += 1;
    }

    /// What a look at a day's folder found, queued to be fetched before what waits.
    pub(super) fn found(&mut self, day: u32, listing: &Listing, now_ms: u64) {
        let mut fresh = Vec::new();
        for listed in &listing.objects {
            let spot = (day, listed.name);
            let has_room = self.objects.contains_key(&spot) || self.make_room(day);
            match self.objects.get_mut(&spot) {
                Some(Entry::Broken { tries, again_at_ms }) if *tries < BROKEN_TRIES && *again_at_ms <= now_ms => {
                    *again_at_ms = u64::MAX;
                    fresh.push(spot);
                }
                Some(_) => {}
                None if has_room => {
                    self.objects.insert(spot, Entry::Wanted);
                    fresh.push(spot);
                }
                None => {}
            }
        }
        for spot in fresh.into_iter().rev() {
            if self.queued.insert(spot) {
                self.queue.push_front(spot);
            }
        }
    }

    /// Whether there is room for one more of that day: what is older gives way. Whoever fills old days hides no new ones.
    fn make_room(&mut self, day: u32) -> bool {
        if self.objects.len() < OBJECTS_MAX {
            return true;
        }
        let oldest = self.objects.first_key_value().map(|(spot, _)| *spot);
        let Some(older) = oldest.filter(|(of, _)| *of < day) else {
            return false;
        };
        self.objects.remove(&older);
        self.queued.remove(&older);
        if self.queue.len() >= 2 * OBJECTS_MAX {
            self.queue.retain(|spot| self.queued.contains(spot));
        }
        true
    }

    /// Compares a day with what was known of it. Out: how many objects are gone before their time.
    pub(super) fn missing(&mut self, day: u32, listing: &Listing, now_s: u64) -> usize {
        if !listing.is_whole {
            return 0;
        }
        let there: BTreeSet<ObjectName> = listing.objects.iter().map(|listed| listed.name).collect();
        let of_day = (day, ObjectName::from_bytes([0; 16]))..=(day, ObjectName::from_bytes([0xff; 16]));
        let mut gone = BTreeSet::new();
        for (spot, entry) in self.objects.range(of_day.clone()) {
            if !there.contains(&spot.1) {
                let is_early = matches!(entry, Entry::Read { over_at_s, .. } if *over_at_s > now_s);
                gone.insert((*spot, is_early));
            }
        }
        let looks = self.looks;
        for (spot, (over_at_s, look)) in self.own.range(of_day) {
            if !there.contains(&spot.1) && *look < looks {
                gone.insert((*spot, *over_at_s > now_s));
            }
        }
        let mut early = BTreeSet::new();
        for (spot, is_early) in gone {
            self.objects.remove(&spot);
            self.own.remove(&spot);
            if is_early {
                early.insert(spot);
            }
        }
        early.len()
    }

    /// The days of which something is known.
    pub(super) fn days(&self) -> BTreeSet<u32> {
        self.objects
            .keys()
            .chain(self.own.keys())
            .map(|(day, _)| *day)
            .collect()
    }

    /// What to fetch next.
    pub(super) fn next(&mut self) -> Option<Spot> {
        loop {
            let spot = self.queue.pop_front()?;
            if self.queued.remove(&spot) && self.objects.contains_key(&spot) {
                return Some(spot);
            }
        }
    }

    pub(super) fn has_next(&self) -> bool {
        !self.queued.is_empty()
    }

    /// An object was read. Out: what is to be handed on.
    pub(super) fn took(&mut self, spot: Spot, object: Object, now_s: u64) -> Vec<FromRelay> {
        let over_at_s = object.over_at_s();
        let before = match self.objects.remove(&spot) {
            Some(Entry::Read { items, .. }) => items,
            Some(Entry::Wanted | Entry::Broken { .. }) | None => Vec::new(),
        };
        let (mut items, mut frames) = (Vec::new(), Vec::new());
        for (at, item) in object.items.into_iter().enumerate() {
            let tag = item.envelope.tag();
            let mut given = before.get(at).map_or(0, |(_, given)| *given);
            let is_live = object.written_at_s.saturating_add(u64::from(item.ttl_s)) > now_s;
            if given == 0 && is_live && self.reading.contains(&tag) {
                self.last_cursor = self.last_cursor.saturating_add(1);
                given = self.last_cursor;
                let envelope = item.envelope.into_bytes();
                frames.push(FromRelay::Arrived {
                    tag,
                    cursor: given,
                    envelope,
                });
            }
            items.push((tag, given));
        }
        self.objects.insert(spot, Entry::Read { over_at_s, items });
        frames
    }

    /// It does not open: it may be half written.
    pub(super) fn broke(&mut self, spot: Spot, now_ms: u64) {
        let tries = match self.objects.get(&spot) {
            Some(Entry::Broken { tries, .. }) => tries.saturating_add(1),
            Some(Entry::Wanted | Entry::Read { .. }) | None => 1,
        };
        let pause_ms = BROKEN_MS.saturating_mul(10_u64.saturating_pow(tries - 1));
        let again_at_ms = now_ms.saturating_add(pause_ms);
        self.objects.insert(spot, Entry::Broken { tries, again_at_ms });
    }

    /// The server has not given it, whatever it is: it is asked for until it does.
    pub(super) fn not_given(&mut self, spot: Spot, now_ms: u64) {
        let tries = match self.objects.get(&spot) {
            Some(Entry::Broken { tries, .. }) => *tries,
            Some(Entry::Wanted | Entry::Read { .. }) | None => 0,
        };
        let again_at_ms = now_ms.saturating_add(REFUSED_MS);
        self.objects.insert(spot, Entry::Broken { tries, again_at_ms });
    }

    /// It is not there any more: somebody took it away meanwhile.
    pub(super) fn vanished(&mut self, spot: Spot) {
        self.objects.remove(&spot);
    }

    /// I wrote it.
    pub(super) fn wrote(&mut self, spot: Spot, over_at_s: u64) {
        if self.own.len() < OWN_MAX {
            self.own.insert(spot, (over_at_s, self.looks));
        }
    }

    pub(super) fn is_own(&self, spot: &Spot) -> bool {
        self.own.contains_key(spot)
    }

    /// Objects of which nothing is to be kept any more.
    pub(super) fn over(&self, now_s: u64) -> Vec<Spot> {
        let over = |entry: &Entry| matches!(entry, Entry::Read { over_at_s, .. } if *over_at_s <= now_s);
        let spots = self.objects.iter().filter(|(_, entry)| over(entry));
        spots.map(|(spot, _)| *spot).collect()
    }
}

#[cfg(test)]
mod tests;
