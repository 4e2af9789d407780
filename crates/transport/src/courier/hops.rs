//! Two hops: which relays are reached through which others (FWD-7 to FWD-11).
//!
//! In: who is up and passes on, and what came of asking. Out: ways. A way through another relay stands beside the relay's own
//! ones, written as one by number is, with the helper's id for the number; no address can name one. Pure.

use std::collections::BTreeMap;

use stonechat_wire::ids::{RelayId, Timestamp};

use super::memory::{hex, id};
use super::relay::Relay;
use super::{Courier, LinkId, Lost};

/// Most ways through others to one relay at a time.
pub const HELPERS_MAX: usize = 3;
/// Most relays reached through one other (FWD-5).
pub const HELPED_MAX: usize = 4;
/// How long a helper is not asked again for a relay that it did not reach, or where somebody else answered, in ms.
pub const NOT_PASSED_ON_MS: u64 = 600_000;
/// When to ask again where a helper has no channel left, in ms.
const HELPED_PAUSE_MS: u64 = 5_000;
/// Pairs of helpers and relays of which that is known.
const VAIN_MAX: usize = 256;

const VIA: &str = "via/";

/// A channel that a connection goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The connection with the relay that passes on.
    pub link: LinkId,
    /// The relay that is to be reached.
    pub relay: RelayId,
}

/// One of a relay's own ways, through a helper.
pub(super) fn through(way: &str, helper: &RelayId) -> String {
    let place = way.split_once('@').map_or(way, |(place, _)| place);
    format!("{place}@{VIA}{}", hex(helper.as_bytes()))
}

/// Through whom a way leads; nothing for one of a relay's own.
pub(crate) fn helper(way: &str) -> Option<RelayId> {
    let (_, number) = way.split_once('@')?;
    id(number.strip_prefix(VIA)?).map(RelayId::from_bytes)
}

/// Helpers that are not asked for a relay, and until when.
#[derive(Debug, Default)]
pub(super) struct Vain {
    until: BTreeMap<(RelayId, RelayId), Timestamp>,
}

impl Vain {
    pub(super) fn add(&mut self, now: Timestamp, helper: RelayId, relay: RelayId) {
        self.until.retain(|_, until| now < *until);
        if self.until.len() < VAIN_MAX {
            self.until.insert((helper, relay), now.plus_ms(NOT_PASSED_ON_MS));
        }
    }

    pub(super) fn holds(&self, now: Timestamp, helper: RelayId, relay: RelayId) -> bool {
        self.until.get(&(helper, relay)).is_some_and(|until| now < *until)
    }

    /// On another network another relay may be reached.
    pub(super) fn forget(&mut self) {
        self.until.clear();
    }
}

impl Courier {
    /// Tells each relay that is not reached who passes on to it (FWD-7, FWD-8).
    pub(super) fn offer_help(&mut self, now: Timestamp) {
        let helpers = self.relays.values().filter(|relay| relay.can_help());
        let helpers: Vec<RelayId> = helpers.map(Relay::id).collect();
        for id in self.relays.keys().copied().collect::<Vec<_>>() {
            let helps_itself = self.helped_by(id) > 0;
            let Some(relay) = self.relays.get_mut(&id) else {
                continue;
            };
            let may_help = |helper: &RelayId| *helper != id && !self.vain.holds(now, *helper, id);
            let wants = relay.wants_help() && !helps_itself;
            let some = helpers.iter().copied().filter(|helper| wants && may_help(helper));
            let some: Vec<RelayId> = some.take(HELPERS_MAX).collect();
            relay.offer_help(now, &some);
        }
    }

    /// Whether another channel of its helper may be opened for a way, or when to ask again (FWD-8).
    pub(super) fn has_channel(&self, now: Timestamp, way: &str) -> Result<(), Timestamp> {
        match helper(way) {
            Some(helper) if self.helped_by(helper) >= HELPED_MAX => Err(now.plus_ms(HELPED_PAUSE_MS)),
            Some(_) | None => Ok(()),
        }
    }

    /// How many connections lead through it.
    fn helped_by(&self, helper: RelayId) -> usize {
        self.relays.values().map(|relay| relay.leads_through(helper)).sum()
    }

    /// The channel that a way to a relay needs.
    pub(super) fn hop(&self, relay: RelayId, way: &str) -> Option<Hop> {
        let links = self.relays.get(&helper(way)?)?.links();
        let link = links.first().copied()?;
        Some(Hop { link, relay })
    }

    /// A relay is gone, and with it all channels through it (FWD-10).
    pub(super) fn helper_left(&mut self, now: Timestamp, gone: RelayId) {
        let dials: Vec<LinkId> = self
            .relays
            .values()
            .flat_map(|relay| relay.dials_through(gone))
            .collect();
        for link in dials {
            self.give_up(now, link, 0);
        }
        for relay in self.relays.values_mut() {
            relay.helper_left(now, gone);
        }
    }

    /// Whether a link leads through another relay, or where others said: who answers there says nothing about the relay.
    pub(super) fn is_between(&self, link: LinkId) -> bool {
        let relay = self.links.get(&link).and_then(|id| self.relays.get(id));
        let way = |relay: &Relay| relay.address().or_else(|| relay.dialling(link).map(str::to_owned));
        relay.is_some_and(|relay| way(relay).is_some_and(|way| !relay.is_own(&way)))
    }

    /// A dial is over: whether its helper is to be asked again for that relay (FWD-9).
    pub(super) fn was_in_vain(&mut self, now: Timestamp, link: LinkId, why: Lost) {
        let relay = self.links.get(&link).and_then(|id| self.relays.get(id));
        let asked = relay.and_then(|relay| Some((helper(relay.dialling(link)?)?, relay.id())));
        match (asked, why) {
            (Some((helper, relay)), Lost::NotPassedOn | Lost::WrongKeys | Lost::Malformed) => {
                self.vain.add(now, helper, relay);
            }
            (
                Some(_),
                Lost::Broken | Lost::NotUpgraded | Lost::Silenced | Lost::Reset | Lost::Refused | Lost::Denied,
            )
            | (None, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use stonechat_wire::address::{Around, dialled, holds, split};

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn relay(n: u64) -> RelayId {
        RelayId::from_bytes((u128::from(n) + 1).to_be_bytes())
    }

    #[test]
    fn a_way_through_another_keeps_the_name_and_is_no_address_fwd_7() {
        let way = through("https://a.test:443@192.0.2.7:443", &relay(1));
        assert_eq!(way, format!("https://a.test:443@via/{:032x}", 2));
        assert_eq!(split(&way), (Around::Tls, "a.test:443"));
        assert_eq!(helper(&way), Some(relay(1)));
        assert!(dialled(&way).parse::<std::net::SocketAddr>().is_err());
        for own in ["a:1", "https://a:1@192.0.2.7:1", "a:1@via/7", "via/1"] {
            assert_eq!(helper(own), None, "{own}");
        }
        let (_, number) = way.split_once('@').unwrap();
        for address in [way.clone(), format!("a:1,{number}"), number.to_owned()] {
            assert!(!holds(&address), "{address}");
        }
    }

    #[test]
    fn what_was_in_vain_is_known_for_a_while_and_of_so_many_fwd_9() {
        let mut vain = Vain::default();
        vain.add(NOW, relay(1), relay(2));
        assert!(vain.holds(NOW, relay(1), relay(2)));
        assert!(!vain.holds(NOW, relay(2), relay(1)));
        assert!(!vain.holds(NOW.plus_ms(NOT_PASSED_ON_MS), relay(1), relay(2)));
        for n in 0..1_000 {
            vain.add(NOW, relay(n), relay(2));
        }
        assert_eq!(vain.until.len(), VAIN_MAX);
    }
}
