//! Parcels under way: what waits for which relay, in which order, until when.

use std::collections::{BTreeMap, BTreeSet};

use stonechat_wire::exchange::{Class, Parcel};
use stonechat_wire::frame::PutItem;
use stonechat_wire::ids::{EnvelopeId, RelayId, Timestamp};

/// Most parcels kept; core offers what was refused again.
pub const PARCELS_MAX: usize = 65_536;
/// Most bytes of parcels kept.
pub const PARCEL_BYTES_MAX: usize = 256 << 20;

/// What each parcel costs besides its envelope, in bytes.
const OVERHEAD: usize = 256;

/// Urgency, then age: receipts wait for everything else.
type Place = (u8, u64);

/// All parcels, and for each relay those it has yet to be given.
#[derive(Debug, Default)]
pub(super) struct Parcels {
    held: BTreeMap<EnvelopeId, Held>,
    by_deadline: BTreeSet<(Timestamp, EnvelopeId)>,
    waiting: BTreeMap<RelayId, BTreeMap<Place, EnvelopeId>>,
    bytes: usize,
    next: u64,
}

#[derive(Debug)]
struct Held {
    parcel: Parcel,
    place: Place,
    /// Relays that have not stored it yet.
    left: BTreeSet<RelayId>,
}

impl Parcels {
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// Takes a parcel; one that is held already may name further relays. Out: relays it is refused for, all or none.
    pub(super) fn add(&mut self, id: EnvelopeId, parcel: Parcel) -> Vec<RelayId> {
        let relays = parcel.relays.clone();
        let size = parcel.envelope.bytes().len() + OVERHEAD;
        if !self.held.contains_key(&id) {
            if self.held.len() >= PARCELS_MAX || self.bytes + size > PARCEL_BYTES_MAX {
                return relays;
            }
            self.bytes += size;
            self.by_deadline.insert((parcel.deadline, id));
            let place = (rank(parcel.class), self.next);
            self.next += 1;
            self.held.insert(
                id,
                Held {
                    parcel,
                    place,
                    left: BTreeSet::new(),
                },
            );
        }
        let Some(held) = self.held.get_mut(&id) else {
            return relays;
        };
        for relay in relays {
            if held.left.insert(relay) {
                self.waiting.entry(relay).or_default().insert(held.place, id);
            }
        }
        Vec::new()
    }

    pub(super) fn has_waiting(&self, relay: RelayId) -> bool {
        self.waiting.get(&relay).is_some_and(|waiting| !waiting.is_empty())
    }

    /// Takes what goes into the next put to a relay: most urgent first, at most so many and so many bytes, at least one.
    pub(super) fn take(&mut self, relay: RelayId, count_max: usize, bytes_max: usize) -> Vec<(EnvelopeId, PutItem)> {
        let Some(waiting) = self.waiting.get_mut(&relay) else {
            return Vec::new();
        };
        let (mut items, mut bytes) = (Vec::new(), 0);
        while let Some(entry) = waiting.first_entry() {
            let Some(held) = self.held.get(entry.get()) else {
                entry.remove();
                continue;
            };
            let Parcel {
                envelope, token, ttl_s, ..
            } = &held.parcel;
            let item = PutItem {
                token: token.clone(),
                ttl_s: *ttl_s,
                envelope: envelope.clone(),
            };
            bytes += item.encoded_len();
            if items.len() >= count_max || (bytes > bytes_max && !items.is_empty()) {
                break;
            }
            items.push((entry.remove(), item));
        }
        items
    }

    /// A relay has stored it. Out: whether it was still waited for.
    pub(super) fn stored(&mut self, relay: RelayId, id: &EnvelopeId) -> bool {
        let Some(held) = self.held.get_mut(id) else {
            return false;
        };
        let was_left = held.left.remove(&relay);
        let (place, is_done) = (held.place, held.left.is_empty());
        if let Some(waiting) = self.waiting.get_mut(&relay) {
            waiting.remove(&place);
        }
        if is_done {
            self.drop_parcel(id);
        }
        was_left
    }

    /// A relay has not taken it: it waits again.
    pub(super) fn wait_again(&mut self, relay: RelayId, id: EnvelopeId) {
        if let Some(held) = self.held.get(&id).filter(|held| held.left.contains(&relay)) {
            self.waiting.entry(relay).or_default().insert(held.place, id);
        }
    }

    /// Whatever was under way to a relay waits again.
    pub(super) fn forget_flights(&mut self, relay: RelayId) {
        let left = self.held.iter().filter(|(_, held)| held.left.contains(&relay));
        let waiting: BTreeMap<_, _> = left.map(|(id, held)| (held.place, *id)).collect();
        self.waiting.insert(relay, waiting);
    }

    pub(super) fn forget_relay(&mut self, relay: RelayId) {
        self.waiting.remove(&relay);
        let mut done = Vec::new();
        for (id, held) in &mut self.held {
            if held.left.remove(&relay) && held.left.is_empty() {
                done.push(*id);
            }
        }
        done.iter().for_each(|id| self.drop_parcel(id));
    }

    /// Drops what is past its deadline; core will offer it anew, sealed anew.
    pub(super) fn expire(&mut self, now: Timestamp) {
        while let Some((_, id)) = self
            .by_deadline
            .first()
            .copied()
            .filter(|(deadline, _)| *deadline <= now)
        {
            self.drop_parcel(&id);
        }
    }

    pub(super) fn wake_at(&self) -> Option<Timestamp> {
        self.by_deadline.first().map(|(deadline, _)| *deadline)
    }

    fn drop_parcel(&mut self, id: &EnvelopeId) {
        let Some(held) = self.held.remove(id) else { return };
        self.bytes = self.bytes.saturating_sub(held.parcel.envelope.bytes().len() + OVERHEAD);
        self.by_deadline.remove(&(held.parcel.deadline, *id));
        for relay in &held.left {
            if let Some(waiting) = self.waiting.get_mut(relay) {
                waiting.remove(&held.place);
            }
        }
    }
}

const fn rank(class: Class) -> u8 {
    match class {
        Class::Invite | Class::Text => 0,
        Class::Receipt => 1,
    }
}
