//! The ways to one relay: those that routes name, one that its name led to before, those where it announced itself
//! on this network (LAN-3), and those that a browser dials (DIAL-1) or a proxy leads to (PRX-4).
//!
//! In: ways as they become known, and which one answered. Out: whom to dial, in turn. At most [`ADDRESSES_MAX`] of routes,
//! [`TOLD_MAX`] that others said (REL-7), one from before (WAY-2), [`NEAR_MAX`] near ones, [`BROWSER_MAX`] by a browser and
//! [`PROXY_MAX`] through a proxy; the oldest of its kind makes room, but never one that is in use.

use stonechat_wire::address::{Around, is_bridge, is_drop, split};

/// Most ways to one relay that routes name: the address it is named by and two further ones, each with all of its places (REL-7).
pub const ADDRESSES_MAX: usize = 12;
/// Most further ways to one relay that others say: two addresses with all of their places (REL-7).
pub const TOLD_MAX: usize = 8;
/// Most addresses of one relay on the local network.
pub const NEAR_MAX: usize = 2;

/// Most ways to one relay that a browser dials.
pub const BROWSER_MAX: usize = 2;
/// Most ways to one relay through a proxy.
pub const PROXY_MAX: usize = 2;

/// Where a way is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Route,
    Told,
    Before,
    Near,
    Browser,
    Proxy,
}

impl Source {
    /// What a name of another way leads to, or who dials it.
    const fn is_derived(self) -> bool {
        matches!(self, Self::Before | Self::Browser | Self::Proxy)
    }

    const fn most(self) -> usize {
        match self {
            Self::Route => ADDRESSES_MAX,
            Self::Told => TOLD_MAX,
            Self::Before => 1,
            Self::Near => NEAR_MAX,
            Self::Browser => BROWSER_MAX,
            Self::Proxy => PROXY_MAX,
        }
    }
}

#[derive(Debug)]
struct Address {
    place: String,
    source: Source,
    /// What it was announced with (LAN-2).
    nonce: Option<[u8; 8]>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    all: Vec<Address>,
    /// Which of them is dialled next, or is connected.
    current: usize,
}

impl Addresses {
    pub(super) const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) const fn len(&self) -> usize {
        self.all.len()
    }

    #[cfg(test)]
    fn current(&self) -> Option<String> {
        self.all.get(self.current).map(|address| address.place.clone())
    }

    pub(super) fn contains(&self, place: &str) -> bool {
        self.position(place).is_some()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|address| address.place.as_str())
    }

    /// Those that routes name.
    pub(super) fn of_routes(&self) -> impl Iterator<Item = &str> {
        let named = self.all.iter().filter(|address| address.source == Source::Route);
        named.map(|address| address.place.as_str())
    }

    /// The one that a relay which passes on has most likely: of a route, inside TLS where there is one, and no bridge.
    pub(super) fn named(&self) -> Option<&str> {
        let named = |address: &&Address| {
            let is_own = !is_drop(&address.place) && !is_bridge(&address.place);
            address.source == Source::Route && is_own
        };
        let mut all = self.all.iter().filter(named).map(|address| address.place.as_str());
        let tls = all.clone().find(|place| split(place).0 == Around::Tls);
        tls.or_else(|| all.next())
    }

    fn position(&self, place: &str) -> Option<usize> {
        self.iter().position(|known| known == place)
    }

    /// Whether it is known only because others said it: the way itself, or the name that it leads to (REL-7).
    pub(super) fn is_told(&self, way: &str) -> bool {
        let source = |place: &str| {
            self.all
                .iter()
                .find(|known| known.place == place)
                .map(|known| known.source)
        };
        let told = |place: &str| source(place) == Some(Source::Told);
        let name = way
            .split_once('@')
            .filter(|_| source(way).is_some_and(Source::is_derived));
        told(way) || name.is_some_and(|(name, _)| told(name))
    }

    /// In turn from the one in use on: those that are its own, and those that others said.
    pub(super) fn in_turn(&self) -> (Vec<String>, Vec<String>) {
        let in_turn = self.all.iter().cycle().skip(self.current).take(self.all.len());
        let (told, own) = in_turn
            .map(|address| address.place.clone())
            .partition(|way| self.is_told(way));
        (own, told)
    }

    /// This one is in use, or comes next; one that is not known changes nothing.
    pub(super) fn turn_to(&mut self, place: &str) {
        self.current = self.position(place).unwrap_or(self.current);
    }

    /// The others first.
    pub(super) fn turn_on(&mut self) {
        if !self.all.is_empty() {
            self.current = (self.current + 1) % self.all.len();
        }
    }

    /// One that a route names. `in_use`: whether the current one is dialled or connected. What was known otherwise is of a
    /// route now.
    pub(super) fn add(&mut self, place: String, in_use: bool) {
        if let Some(known) = self.all.iter_mut().find(|known| known.place == place) {
            known.source = Source::Route;
        } else {
            self.push(place, Source::Route, in_use);
        }
    }

    /// One that others say of a relay that is known.
    pub(super) fn add_told(&mut self, place: String, in_use: bool) {
        if !self.contains(&place) {
            self.push(place, Source::Told, in_use);
        }
    }

    /// One where the relay announced itself here, or was. Out: whether it is new, or announced anew.
    pub(super) fn add_near(&mut self, place: String, nonce: Option<[u8; 8]>, in_use: bool) -> bool {
        if let Some(known) = self.all.iter_mut().find(|known| known.place == place) {
            return nonce.is_some() && std::mem::replace(&mut known.nonce, nonce) != nonce;
        }
        self.push(place, Source::Near, in_use);
        if let Some(pushed) = self.all.last_mut() {
            pushed.nonce = nonce;
        }
        true
    }

    /// What the relay announced itself with at this address.
    pub(super) fn nonce(&self, place: &str) -> Option<[u8; 8]> {
        self.all.iter().find(|known| known.place == place)?.nonce
    }

    /// Where its name led before.
    pub(super) fn add_before(&mut self, place: String, in_use: bool) {
        if !self.contains(&place) {
            self.push(place, Source::Before, in_use);
        }
    }

    /// One that a browser dials. Out: whether it is new.
    pub(super) fn add_browser(&mut self, place: String, in_use: bool) -> bool {
        let is_new = !self.contains(&place);
        if is_new {
            self.push(place, Source::Browser, in_use);
        }
        is_new
    }

    /// One through a proxy. Out: whether it is new.
    pub(super) fn add_proxied(&mut self, place: String, in_use: bool) -> bool {
        let is_new = !self.contains(&place);
        if is_new {
            self.push(place, Source::Proxy, in_use);
        }
        is_new
    }

    fn push(&mut self, place: String, source: Source, in_use: bool) {
        let alike = |address: &Address| address.source == source;
        if self.all.iter().filter(|address| alike(address)).count() >= source.most() {
            let spared = |at: usize| in_use && at == self.current;
            let mut places = self.all.iter().enumerate();
            let oldest = places.find(|(at, address)| alike(address) && !spared(*at));
            if let Some((at, _)) = oldest {
                self.remove(at);
            }
        }
        self.all.push(Address {
            place,
            source,
            nonce: None,
        });
    }

    fn remove(&mut self, at: usize) {
        self.all.remove(at);
        if self.current > at || self.current == self.all.len() {
            self.current = self.current.saturating_sub(1);
        }
    }

    /// It is nowhere.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Another network: what was near is not here.
    pub(super) fn forget_near(&mut self) {
        self.forget(Source::Near);
    }

    /// No browser is there.
    pub(super) fn forget_browser(&mut self) {
        self.forget(Source::Browser);
    }

    /// These are no ways any more, with all that they led to. Out: what went.
    pub(super) fn forget_all(&mut self, ways: &[String]) -> Vec<String> {
        let goes = |address: &Address| {
            let name = address.place.split_once('@').filter(|_| address.source.is_derived());
            let is = |place: &str| ways.iter().any(|way| way == place);
            is(&address.place) || name.is_some_and(|(name, _)| is(name))
        };
        let mut gone = Vec::new();
        while let Some(at) = self.all.iter().position(goes) {
            gone.extend(self.all.get(at).map(|address| address.place.clone()));
            self.remove(at);
        }
        gone
    }

    fn forget(&mut self, source: Source) {
        while let Some(at) = self.all.iter().position(|address| address.source == source) {
            self.remove(at);
        }
    }

    /// Somebody else answers there. Out: whether it was a near one; others stay.
    pub(super) fn is_not(&mut self, place: &str) -> bool {
        let near = |address: &Address| address.source == Source::Near && address.place == place;
        let Some(at) = self.all.iter().position(near) else {
            return false;
        };
        self.remove(at);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(places: &[&str]) -> Addresses {
        let mut addresses = Addresses::default();
        places
            .iter()
            .for_each(|place| addresses.add((*place).to_owned(), false));
        addresses
    }

    #[test]
    fn the_oldest_of_a_kind_makes_room_and_never_the_one_in_use_lan_3() {
        let names: Vec<String> = (0..ADDRESSES_MAX)
            .map(|n| format!("{}:1", (b'a' + n as u8) as char))
            .collect();
        let mut addresses = of(&names.iter().map(String::as_str).collect::<Vec<_>>());
        addresses.add("z:1".into(), true);
        assert_eq!(addresses.len(), ADDRESSES_MAX);
        assert!(addresses.contains("a:1") && !addresses.contains("b:1") && addresses.contains("z:1"));
        for port in 1..50 {
            assert!(addresses.add_near(format!("10.0.0.1:{port}"), None, true));
        }
        assert_eq!(addresses.len(), ADDRESSES_MAX + NEAR_MAX);
        assert_eq!(addresses.current().as_deref(), Some("a:1"));
        addresses.turn_to("10.0.0.1:49");
        addresses.add_near("10.0.0.1:50".into(), None, true);
        addresses.add_near("10.0.0.1:51".into(), None, true);
        assert!(addresses.contains("10.0.0.1:49"));
    }

    #[test]
    fn what_others_say_takes_the_place_of_no_address_of_a_route_rel_7() {
        let mut addresses = of(&["a:1", "b:1"]);
        for port in 1..50 {
            addresses.add_told(format!("192.0.2.1:{port}"), false);
        }
        assert_eq!(addresses.len(), 2 + TOLD_MAX);
        assert!(addresses.contains("a:1") && addresses.contains("b:1") && addresses.contains("192.0.2.1:49"));
        addresses.add_told("a:1".into(), false);
        addresses.add("192.0.2.1:49".into(), false);
        assert_eq!(
            addresses.of_routes().collect::<Vec<_>>(),
            ["a:1", "b:1", "192.0.2.1:49"]
        );
        assert_eq!(addresses.len(), 2 + TOLD_MAX);
    }

    #[test]
    fn what_others_said_stays_apart_with_all_that_it_leads_to_rel_7() {
        let mut addresses = of(&["https://a:443", "a:1"]);
        for told in ["https://m:443", "https://a:443@192.0.2.9:443"] {
            addresses.add_told(told.into(), false);
        }
        addresses.add_before("https://m:443@192.0.2.8:443".into(), false);
        addresses.add_browser("https://m:443@browser:443".into(), false);
        addresses.add_browser("https://a:443@browser:443".into(), false);
        addresses.turn_to("https://m:443");
        let (own, told) = addresses.in_turn();
        assert_eq!(own, ["https://a:443@browser:443", "https://a:443", "a:1"]);
        let of_m = [
            "https://m:443",
            "https://a:443@192.0.2.9:443",
            "https://m:443@192.0.2.8:443",
        ];
        assert_eq!(told, [&of_m[..], &["https://m:443@browser:443"]].concat());
        addresses.add("https://m:443".into(), false);
        assert!(!addresses.is_told("https://m:443@browser:443"), "the person named it");
        assert!(
            addresses.is_told("https://a:443@192.0.2.9:443"),
            "its name is the person's, the number is not"
        );
    }

    #[test]
    fn what_is_given_up_takes_along_what_it_led_to_rel_7() {
        let mut addresses = of(&["https://a:443"]);
        addresses.add_told("https://m:443".into(), false);
        addresses.add_before("https://m:443@192.0.2.8:443".into(), false);
        addresses.add_browser("https://m:443@browser:443".into(), false);
        addresses.add_browser("https://a:443@browser:443".into(), false);
        addresses.turn_to("https://a:443@browser:443");
        assert_eq!(addresses.forget_all(&["https://m:443".into()]).len(), 3);
        assert_eq!(addresses.current().as_deref(), Some("https://a:443@browser:443"));
        assert_eq!(addresses.in_turn().1, [""; 0]);
        assert_eq!(addresses.len(), 2);
    }

    #[test]
    fn an_address_keeps_the_newest_nonce_lan_5() {
        let mut addresses = of(&["a:1"]);
        assert!(addresses.add_near("10.0.0.1:1".into(), Some([1; 8]), false));
        assert!(!addresses.add_near("10.0.0.1:1".into(), Some([1; 8]), false));
        assert!(!addresses.add_near("10.0.0.1:1".into(), None, false));
        assert!(addresses.add_near("10.0.0.1:1".into(), Some([2; 8]), false));
        assert_eq!(addresses.nonce("10.0.0.1:1"), Some([2; 8]));
        assert_eq!(addresses.nonce("a:1"), None);
        assert_eq!(addresses.len(), 2);
    }

    #[test]
    fn what_is_near_goes_with_the_network_and_where_somebody_else_answers_lan_3() {
        let mut addresses = of(&["a:1", "b:1"]);
        addresses.add_near("10.0.0.1:1".into(), None, false);
        addresses.turn_to("10.0.0.1:1");
        assert!(!addresses.is_not("a:1"));
        assert!(addresses.is_not("10.0.0.1:1"));
        assert_eq!(addresses.in_turn().0, ["b:1", "a:1"]);
        addresses.add_near("10.0.0.1:2".into(), None, false);
        addresses.turn_to("10.0.0.1:2");
        addresses.forget_near();
        assert_eq!(addresses.len(), 2);
        addresses.add_near("b:1".into(), None, false);
        addresses.forget_near();
        assert!(addresses.contains("b:1"), "what a route names stays");
    }

    #[test]
    fn one_place_from_before_is_kept_and_a_routes_own_is_no_second_one_way_2() {
        let mut addresses = of(&["a:1", "a:1@192.0.2.1:1"]);
        addresses.add_before("a:1@192.0.2.1:1".into(), false);
        assert_eq!(addresses.len(), 2);
        for n in 2..9 {
            addresses.add_before(format!("a:1@192.0.2.{n}:1"), false);
        }
        assert_eq!(addresses.in_turn().0, ["a:1", "a:1@192.0.2.1:1", "a:1@192.0.2.8:1"]);
    }
}
