//! A relay that is reached through others, or where others said that it is: when that is wanted, and when its own ways are
//! tried again (FWD-7, FWD-11, REL-7).
//!
//! In: what came of its own ways, who offers to pass on, what others say. Out: the ways to dial, in turn. Whoever is in between
//! sees who comes and how much, so its own ways come first, and it goes back to them.

use std::net::SocketAddr;

use stonechat_wire::address::is_drop;
use stonechat_wire::ids::{RelayId, Timestamp};

use super::{Link, Relay, Relief};
use crate::courier::LinkId;
use crate::courier::addresses::Addresses;
use crate::courier::hops::{helper, through};

/// A relay that is reached through another, or where others said that it is, goes back to its own ways after so long, in ms;
/// each time that this fails, or lasts for no longer, it waits twice as long.
pub const BACK_MS: u64 = 300_000;
/// The longest time after which it does, in ms.
pub const BACK_MS_MAX: u64 = 3_600_000;
/// While one of its own ways is under way those that others said wait for so long from the first dial on, in ms (REL-7).
pub const TOLD_AFTER_MS: u64 = 2_000;

/// What is known of its need of others.
#[derive(Debug, Default)]
pub(super) struct Help {
    /// It did not answer on its own ways.
    is_hidden: bool,
    /// The ways through others.
    offered: Vec<String>,
    /// Its own ways are tried again then.
    back_at: Timestamp,
    /// How often that was in vain.
    backs: u32,
    /// Since when an own way is in use.
    own_since: Option<Timestamp>,
}

impl Help {
    /// As it was here last: the way that worked tells.
    pub(super) fn recalled(worked: Option<&str>) -> Self {
        Self {
            is_hidden: worked.and_then(helper).is_some(),
            ..Self::default()
        }
    }

    /// It is reached this way from now on, which is an own one or not.
    pub(super) fn turned_to(&mut self, now: Timestamp, way: &str, is_own: bool) {
        self.is_hidden = helper(way).is_some();
        if is_own {
            self.own_since = Some(now);
            return;
        }
        let lasted = self.own_since.take().map(|since| now.since_ms(since));
        match lasted {
            Some(ms) if ms < BACK_MS => self.backs = self.backs.saturating_add(1),
            Some(_) | None => self.backs = 0,
        }
        self.back_at = now.plus_ms(self.pause_ms());
    }

    /// Its own ways were tried in vain.
    pub(super) fn stays(&mut self, now: Timestamp) {
        self.backs = self.backs.saturating_add(1);
        self.back_at = now.plus_ms(self.pause_ms());
    }

    fn pause_ms(&self) -> u64 {
        BACK_MS.saturating_mul(1 << self.backs.min(16)).min(BACK_MS_MAX)
    }
}

/// All ways in turn, from so many behind the first: those through others stand behind the one that is dialled first, those
/// that others said behind its own, where these have not let us down.
pub(super) fn in_turn(addresses: &Addresses, help: &Help, is_let_down: bool, skipped: usize) -> Vec<String> {
    let (own, told) = addresses.in_turn();
    let mut ways = if is_let_down { [told, own] } else { [own, told] }.concat();
    let at = ways.len().min(1);
    ways.splice(at..at, help.offered.iter().cloned());
    let skipped = skipped.checked_rem(ways.len()).unwrap_or_default();
    ways.rotate_left(skipped);
    ways
}

impl Relay {
    /// Through whom it is reached.
    pub(in crate::courier) fn helper(&self) -> Option<RelayId> {
        match &self.link {
            Link::Up(up) => helper(&up.way),
            Link::Down { .. } | Link::Dialling(_) => None,
        }
    }

    /// The number at which it answers, where it is one that stands for itself and is reached on its own ways.
    pub(in crate::courier) fn reached(&self) -> Option<(RelayId, SocketAddr)> {
        let Link::Up(up) = &self.link else { return None };
        let is_own = up.is_greeted && self.is_ordinary() && helper(&up.way).is_none() && !is_drop(&up.way);
        up.place.filter(|_| is_own).map(|place| (self.id(), place))
    }

    /// Whether others may be reached through it: it says so, answers, and is reached on its own ways (FWD-8).
    pub(in crate::courier) fn can_help(&self) -> bool {
        let helps =
            |link: &Link| matches!(link, Link::Up(up) if up.is_greeted && up.forwards && up.frozen_at.is_none());
        helps(&self.link) && self.helper().is_none() && !self.is_mine()
    }

    /// Whether it is to be reached through others: it was not on its own ways (FWD-7).
    pub(in crate::courier) fn wants_help(&self) -> bool {
        let wants = match &self.link {
            Link::Down { .. } | Link::Dialling(_) => self.help.is_hidden,
            Link::Up(up) => helper(&up.way).is_some() || (up.frozen_at.is_some() && up.relief.failures() > 0),
        };
        wants && self.is_ordinary() && self.is_wanted()
    }

    /// How many connections to it, and dials, lead through that one.
    pub(in crate::courier) fn leads_through(&self, wanted: RelayId) -> usize {
        let leads = |way: &str| usize::from(helper(way) == Some(wanted));
        match &self.link {
            Link::Down { .. } => 0,
            Link::Dialling(race) => race.racers.iter().map(|racer| leads(&racer.address)).sum(),
            Link::Up(up) => match &up.relief {
                Relief::UnderWay { address, .. } => leads(&up.way) + leads(address),
                Relief::None { .. } => leads(&up.way),
            },
        }
    }

    /// Its dials that lead through that one.
    pub(in crate::courier) fn dials_through(&self, wanted: RelayId) -> Vec<LinkId> {
        let Link::Dialling(race) = &self.link else {
            return Vec::new();
        };
        let racers = race.racers.iter();
        let racers = racers.filter(|racer| helper(&racer.address) == Some(wanted));
        racers.map(|racer| racer.link).collect()
    }

    /// These pass on to it: a new one is tried at once.
    pub(in crate::courier) fn offer_help(&mut self, now: Timestamp, helpers: &[RelayId]) {
        let named = self.addresses.named();
        let ways = helpers.iter().filter_map(|id| Some(through(named?, id)));
        let ways: Vec<String> = ways.collect();
        let is_new = ways.iter().any(|way| !self.help.offered.contains(way));
        if let Link::Down { retry_at } = &mut self.link
            && is_new
        {
            *retry_at = now;
        }
        self.help.offered = ways;
    }

    /// The one in between is gone: its session goes on another way (FWD-10).
    pub(in crate::courier) fn helper_left(&mut self, now: Timestamp, gone: RelayId) {
        if let Link::Up(up) = &mut self.link
            && helper(&up.way) == Some(gone)
        {
            up.frozen_at.get_or_insert(now);
        }
    }

    /// Whether this way is one of its own: nobody is in between, by what others said either.
    pub(in crate::courier) fn is_own(&self, way: &str) -> bool {
        helper(way).is_none() && !self.addresses.is_told(way)
    }

    /// When it goes back to its own ways; nothing where it is on one, or stands still.
    pub(super) fn goes_back_at(&self) -> Option<Timestamp> {
        match &self.link {
            Link::Up(up) if up.frozen_at.is_none() && !self.is_own(&up.way) => Some(self.help.back_at),
            Link::Up(_) | Link::Down { .. } | Link::Dialling(_) => None,
        }
    }

    /// The connection is over, or a round of dials is: whether its own ways have failed.
    pub(super) fn note_missed(&mut self) {
        self.help.is_hidden |= match &self.link {
            Link::Dialling(_) => true,
            // It lets in, and nothing more; or it stood still, and no other way came through.
            Link::Up(up) => up.frozen_at.is_some() || self.failures as usize > self.addresses.len(),
            Link::Down { .. } => false,
        };
    }
}
