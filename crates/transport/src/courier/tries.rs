//! What came of the ways to relays that do not answer: for the person to see, and for nothing else (WAY-4).
//!
//! In: what befell a dial or a connection. Out: of each relay the last result of each way, the newest first, until it answers.
//! Nothing is decided by it, nothing of it is kept over a restart. Pure.

use std::collections::BTreeMap;

use stonechat_wire::address::{dialled, shown};
use stonechat_wire::ids::RelayId;

use super::browser::is_by_browser;
use super::hops::helper;
use super::proxied::is_by_proxy;
use super::{Courier, LinkId, Output};

/// Of so many ways of a relay the result is known, the newest.
pub const TRIES_MAX: usize = 8;

/// What befell a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// The name leads nowhere.
    NoName,
    /// Nobody listens there.
    Closed,
    /// Nothing comes back.
    Silent,
    /// It was cut off while hands were shaken.
    Cut,
    /// It stood, and then nothing came any more.
    Frozen,
    /// It stood, and ended.
    Ended,
    /// The certificate is not valid at this device's time.
    CertificateTime,
    /// The certificate is not believed for another reason.
    Certificate,
    /// Somebody else answers there: another relay, or no relay at all.
    Stranger,
    /// The relay's secret is not taken (any more).
    Secret,
    /// The drop's password is not taken.
    Password,
    /// The drop's folder or mailbox is not there.
    NoFolder,
    /// Who answers has no time or no room for it now.
    Busy,
    /// The relay in between does not reach it.
    NotPassedOn,
    /// The proxy does not answer, or does not let in.
    NoProxy,
    /// The program for obfs4 bridges is not there, or does not work.
    NoProgram,
}

/// A way, and what befell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Try {
    /// `host:port` that was dialled; a drop's address without user and password.
    pub place: String,
    /// The relay in between.
    pub through: Option<RelayId>,
    /// A page in a browser dialled.
    pub by_browser: bool,
    /// What befell it.
    pub why: Missed,
}

/// Of each relay that does not answer.
pub type Tries = BTreeMap<RelayId, Vec<Try>>;

impl Try {
    fn new(way: &str, why: Missed) -> Self {
        let (through, by_browser) = (helper(way), is_by_browser(way));
        let place = match way.split_once('@') {
            Some((named, _)) if through.is_some() || by_browser || is_by_proxy(way) => dialled(named).to_owned(),
            Some(_) | None if stonechat_wire::address::is_drop(way) => shown(way),
            Some(_) | None => dialled(way).to_owned(),
        };
        Self {
            place,
            through,
            by_browser,
            why,
        }
    }

    fn is_same_way(&self, other: &Self) -> bool {
        (&self.place, self.through, self.by_browser) == (&other.place, other.through, other.by_browser)
    }
}

/// The tries, and whether they have changed since they were told.
#[derive(Debug, Default)]
pub(super) struct Told {
    tries: Tries,
    is_news: bool,
}

impl Told {
    pub(super) fn missed(&mut self, relay: RelayId, way: &str, why: Missed) {
        let newest = Try::new(way, why);
        let tries = self.tries.entry(relay).or_default();
        self.is_news |= !tries.contains(&newest);
        tries.retain(|known| !known.is_same_way(&newest));
        tries.insert(0, newest);
        tries.truncate(TRIES_MAX);
    }

    /// It answers, or is not used any more.
    pub(super) fn over(&mut self, relay: &RelayId) {
        self.is_news |= self.tries.remove(relay).is_some();
    }

    fn news(&mut self) -> Option<Tries> {
        std::mem::take(&mut self.is_news).then(|| self.tries.clone())
    }
}

impl Courier {
    /// A dial, or the connection, of a link has failed like that.
    pub(super) fn missed(&mut self, link: LinkId, why: Missed) {
        let relay = self.links.get(&link).and_then(|id| self.relays.get(id));
        let way = relay.and_then(|relay| Some((relay.id(), relay.way(link)?)));
        if let Some((id, way)) = way {
            self.tries.missed(id, &way, why);
        }
    }

    /// A connection has stood still, or a dial has come to nothing, for so long that it is given up.
    pub(super) fn fell_silent(&mut self, link: LinkId) {
        let relay = self.links.get(&link).and_then(|id| self.relays.get(id));
        match relay.and_then(|relay| Some((relay.id(), relay.address()?))) {
            Some((id, way)) => self.tries.missed(id, &way, Missed::Frozen),
            None => self.missed(link, Missed::Silent),
        }
    }

    pub(super) fn tell_tries(&mut self) {
        self.outputs.extend(self.tries.news().map(Output::Tried));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELAY: RelayId = RelayId::from_bytes([7; 16]);

    #[test]
    fn a_way_is_named_by_what_was_dialled_way_4() {
        let helper = format!("https://a.test:443@via/{:032x}", 2);
        let cases = [
            ("https://a.test:443", "a.test:443", false, false),
            ("https://a.test:443@192.0.2.7:8443", "192.0.2.7:8443", false, false),
            ("https://a.test:443@browser:443", "a.test:443", false, true),
            (helper.as_str(), "a.test:443", true, false),
            ("a.test:80", "a.test:80", false, false),
        ];
        for (way, place, is_through, by_browser) in cases {
            let of = Try::new(way, Missed::Silent);
            assert_eq!(
                (of.place.as_str(), of.through.is_some(), of.by_browser),
                (place, is_through, by_browser)
            );
        }
    }

    #[test]
    fn a_drop_is_named_without_user_and_password_way_4() {
        let of = Try::new("davs://ana:geheim@dav.test:443/photos", Missed::Password);
        assert_eq!(of.place, shown("davs://ana:geheim@dav.test:443/photos"));
        assert!(
            !of.place.contains("geheim") && !of.place.contains("ana"),
            "{}",
            of.place
        );
    }

    #[test]
    fn of_each_way_the_last_result_is_known_and_of_so_many_way_4() {
        let mut told = Told::default();
        told.missed(RELAY, "a.test:80", Missed::NoName);
        told.missed(RELAY, "a.test:80@192.0.2.7:80", Missed::Silent);
        let tries = told.news().unwrap();
        let whys: Vec<Missed> = tries[&RELAY].iter().map(|of| of.why).collect();
        assert_eq!(whys, [Missed::Silent, Missed::NoName], "the newest first");

        told.missed(RELAY, "a.test:80", Missed::NoName);
        assert_eq!(told.news(), None, "the same again is no news");
        told.missed(RELAY, "a.test:80", Missed::Closed);
        assert_eq!(told.news().unwrap()[&RELAY].len(), 2);
        for n in 0..100 {
            told.missed(RELAY, &format!("a.test:80@192.0.2.{n}:80"), Missed::Silent);
        }
        assert_eq!(told.news().unwrap()[&RELAY].len(), TRIES_MAX);

        told.over(&RELAY);
        assert_eq!(told.news(), Some(Tries::new()));
        told.over(&RELAY);
        assert_eq!(told.news(), None);
    }
}
