//! What was learned of the ways out, by network, for the next start.
//!
//! In: what worked, what froze, which names rest, and on which network. Out: plain data, and text to keep it as. A network is
//! named by whoever runs the courier; the courier only tells one from another (TRK-8).
//! Invariant: what is read back is never worse than knowing nothing: pauses that lie too far ahead are cut.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stonechat_wire::ids::{RelayId, Timestamp};

use super::hellos::Care;
use super::hops::helper;
use super::polls;
use super::splits::Split;
use super::truck::Habit;

/// Networks that are remembered; the one not seen for longest makes room.
pub const NETWORKS_MAX: usize = 16;
/// Relays and names of one network that are remembered.
pub const LEARNED_MAX: usize = 256;
/// The longest text it is read from, in bytes.
pub(super) const TEXT_BYTES_MAX: usize = 1 << 20;

/// One network, as whoever runs the courier names it; all zeros where it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkId(pub [u8; 16]);

/// Everything that was learned: plain data, kept by the caller on this device only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// The network that the device is on.
    pub network: NetworkId,
    networks: BTreeMap<NetworkId, Learned>,
    /// For each relay what one of its names led to, on whatever network (WAY-2).
    places: BTreeMap<RelayId, String>,
}

/// What was learned on one network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Learned {
    /// For each relay the address that answered last.
    pub(super) addresses: BTreeMap<RelayId, String>,
    /// How connections to it are held.
    pub(super) habits: BTreeMap<RelayId, Habit>,
    /// Names that want care.
    pub(super) cares: BTreeMap<String, Care>,
    /// Names that are said in pieces.
    pub(super) splits: BTreeMap<String, Split>,
    /// Places that are gone to by requests.
    pub(super) polls: BTreeMap<String, polls::Place>,
    seen_at: Timestamp,
}

impl Remembered {
    /// Where that relay answered last, on the network that the device is on.
    pub fn address(&self, relay: &RelayId) -> Option<&str> {
        let here = self.networks.get(&self.network)?;
        here.addresses.get(relay).map(String::as_str)
    }

    /// Whether that relay answered last through another one, on the network that the device is on (FWD-7).
    pub fn is_through(&self, relay: &RelayId) -> bool {
        self.address(relay).and_then(helper).is_some()
    }

    /// What one of that relay's names led to before, as a way.
    pub(super) fn place(&self, relay: &RelayId) -> Option<&str> {
        self.places.get(relay).map(String::as_str)
    }

    /// One of that relay's names led there, and it was the relay.
    pub(super) fn led_to(&mut self, relay: RelayId, way: String) {
        self.places.insert(relay, way);
        if self.places.len() > LEARNED_MAX {
            let mut others = self.places.keys().filter(|id| **id != relay);
            others.next().copied().and_then(|id| self.places.remove(&id));
        }
    }

    /// What is known of the network that the device is on.
    pub(super) fn here(&self) -> Learned {
        self.networks.get(&self.network).cloned().unwrap_or_default()
    }

    /// Puts that in its place. Out: whether it says anything new.
    pub(super) fn learn(&mut self, now: Timestamp, mut here: Learned) -> bool {
        here.cut();
        let old = self.networks.get(&self.network);
        here.seen_at = old.map_or(now, |old| old.seen_at);
        if old.is_some_and(|old| *old == here) || (old.is_none() && here.is_empty()) {
            return false;
        }
        here.seen_at = now;
        self.networks.insert(self.network, here);
        while self.networks.len() > NETWORKS_MAX {
            let others = self.networks.iter().filter(|(id, _)| **id != self.network);
            let Some(oldest) = others.min_by_key(|(_, learned)| learned.seen_at).map(|(id, _)| *id) else {
                break;
            };
            self.networks.remove(&oldest);
        }
        true
    }

    /// As text, to be kept.
    #[must_use]
    pub fn to_text(&self) -> String {
        let networks = self.networks.iter().map(|(id, learned)| learned.kept(id));
        let places = self
            .places
            .iter()
            .map(|(relay, way)| (hex(relay.as_bytes()), way.clone()));
        let kept = AllKept {
            networks: networks.collect(),
            places: places.collect(),
        };
        serde_json::to_string(&kept).unwrap_or_default()
    }

    /// From text that was kept. What does not read is nothing.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let kept: AllKept = Some(text)
            .filter(|text| text.len() <= TEXT_BYTES_MAX)
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        let networks = kept.networks.into_iter().take(NETWORKS_MAX);
        let places = kept.places.into_iter().take(LEARNED_MAX);
        Self {
            network: NetworkId::default(),
            networks: networks
                .filter_map(|kept| Some((NetworkId(id(&kept.network)?), kept.learned())))
                .collect(),
            places: places
                .filter_map(|(relay, way)| Some((RelayId::from_bytes(id(&relay)?), way)))
                .collect(),
        }
    }
}

impl Learned {
    fn is_empty(&self) -> bool {
        let has_names = !(self.cares.is_empty() && self.splits.is_empty() && self.polls.is_empty());
        self.addresses.is_empty() && self.habits.is_empty() && !has_names
    }

    fn cut(&mut self) {
        while self.addresses.len() > LEARNED_MAX {
            self.addresses.pop_first();
        }
        while self.habits.len() > LEARNED_MAX {
            self.habits.pop_first();
        }
        while self.cares.len() > LEARNED_MAX {
            self.cares.pop_first();
        }
        while self.splits.len() > LEARNED_MAX {
            self.splits.pop_first();
        }
        while self.polls.len() > LEARNED_MAX {
            self.polls.pop_first();
        }
    }

    fn kept(&self, network: &NetworkId) -> Kept {
        Kept {
            network: hex(&network.0),
            seen_at: self.seen_at.0,
            addresses: self
                .addresses
                .iter()
                .map(|(relay, address)| (hex(relay.as_bytes()), address.clone()))
                .collect(),
            habits: self
                .habits
                .iter()
                .map(|(relay, habit)| (hex(relay.as_bytes()), habit.parts()))
                .collect(),
            cares: self
                .cares
                .iter()
                .map(|(name, care)| (name.clone(), care.parts()))
                .collect(),
            splits: self
                .splits
                .iter()
                .map(|(name, split)| (name.clone(), split.parts()))
                .collect(),
            polls: self
                .polls
                .iter()
                .map(|(place, known)| (place.clone(), known.parts()))
                .collect(),
        }
    }
}

/// As it stands in the text.
#[derive(Default, Serialize, Deserialize)]
struct AllKept {
    networks: Vec<Kept>,
    places: BTreeMap<String, String>,
}

/// One network of it.
#[derive(Serialize, Deserialize)]
struct Kept {
    network: String,
    seen_at: u64,
    addresses: BTreeMap<String, String>,
    habits: BTreeMap<String, (u64, u32)>,
    cares: BTreeMap<String, (u64, u32)>,
    /// Not there in what was kept before there was any.
    #[serde(default)]
    splits: BTreeMap<String, (u64, u32, bool)>,
    /// The same.
    #[serde(default)]
    polls: BTreeMap<String, (u64, u32)>,
}

impl Kept {
    fn learned(self) -> Learned {
        let relay = |text: &str| id(text).map(RelayId::from_bytes);
        let mut learned = Learned {
            addresses: self
                .addresses
                .into_iter()
                .filter_map(|(of, address)| Some((relay(&of)?, address)))
                .collect(),
            habits: self
                .habits
                .into_iter()
                .filter_map(|(of, parts)| Some((relay(&of)?, Habit::of(parts))))
                .collect(),
            cares: self
                .cares
                .into_iter()
                .map(|(name, parts)| (name, Care::of(parts)))
                .collect(),
            splits: self
                .splits
                .into_iter()
                .map(|(name, parts)| (name, Split::of(parts)))
                .collect(),
            polls: self
                .polls
                .into_iter()
                .map(|(place, parts)| (place, polls::Place::of(parts)))
                .collect(),
            seen_at: Timestamp(self.seen_at),
        };
        learned.cut();
        learned
    }
}

pub(super) fn hex(bytes: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*bytes))
}

pub(super) fn id(text: &str) -> Option<[u8; 16]> {
    let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u128::from_str_radix(text, 16).ok().filter(|_| is_hex)?;
    Some(number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn learned(relay: u8) -> Learned {
        let relay = RelayId::from_bytes([relay; 16]);
        Learned {
            addresses: [(relay, "https://a:443".to_owned())].into(),
            habits: [(relay, Habit::of((5, 1)))].into(),
            cares: [("https://b:443".to_owned(), Care::of((7, 2)))].into(),
            splits: [("b".to_owned(), Split::of((8, 3, true)))].into(),
            polls: [("c:1|1".to_owned(), polls::Place::of((9, 4)))].into(),
            seen_at: Timestamp(0),
        }
    }

    #[test]
    fn what_was_learned_comes_back_from_its_text_trk_8() {
        let mut all = Remembered::default();
        for network in 0..3 {
            all.network = NetworkId([network; 16]);
            assert!(all.learn(NOW, learned(network)));
            assert!(!all.learn(NOW.plus_ms(5), learned(network)), "nothing new");
        }
        all.network = NetworkId::default();
        all.led_to(RelayId::from_bytes([3; 16]), "https://a:443@192.0.2.7:443".into());
        assert_eq!(Remembered::from_text(&all.to_text()), all);
        for broken in ["", "{", "[1]", "[{\"network\":\"zz\"}]"] {
            assert_eq!(Remembered::from_text(broken), Remembered::default(), "{broken}");
        }
        let long = format!("{{{}\"networks\":[],\"places\":{{}}}}", " ".repeat(TEXT_BYTES_MAX));
        assert_eq!(Remembered::from_text(&long), Remembered::default());
    }

    #[test]
    fn sixteen_networks_and_no_more_are_remembered_trk_8() {
        let mut all = Remembered::default();
        for network in 0..40 {
            all.network = NetworkId([network; 16]);
            all.learn(NOW.plus_ms(u64::from(network)), learned(network));
        }
        assert_eq!(all.networks.len(), NETWORKS_MAX);
        assert!(all.networks.keys().all(|id| id.0[0] >= 24), "the newest");
        let mut many = Learned::default();
        for n in 0..=u16::MAX {
            many.cares.insert(n.to_string(), Care::of((1, 1)));
        }
        all.learn(NOW, many);
        assert_eq!(all.here().cares.len(), LEARNED_MAX);
        for n in 0..1000_u128 {
            all.led_to(RelayId::from_bytes(n.to_be_bytes()), n.to_string());
        }
        assert_eq!(all.places.len(), LEARNED_MAX);
        assert!(
            all.place(&RelayId::from_bytes(999_u128.to_be_bytes())).is_some(),
            "the newest"
        );
    }
}
