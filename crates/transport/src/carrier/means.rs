//! By what relays are reached: whose certificates are believed, who else dials, and what all goes through.
//!
//! In: settings. Out: for each way, who is asked to dial it. Where a proxy is set and nothing else is said, everything goes
//! through it: no name is looked up here, no browser dials, nobody is looked for on the local network (PRX-3).

use std::net::SocketAddr;

use stonechat_wire::address::{dialled, is_bridge, split};
use tokio::sync::watch;

use super::dialer::Dialer;
use super::obfs4::Obfs4;
use super::outer::{Trust, is_outside};
use super::socks::Proxy;
use crate::courier::is_by_proxy;

/// A proxy, and what goes through it.
#[derive(Clone, Debug)]
pub struct ByProxy {
    /// The proxy.
    pub proxy: Proxy,
    /// What is dialled beside it.
    pub beside: Beside,
}

/// What is dialled beside a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// Nothing: everything goes through it.
    Nothing,
    /// Numbers of this computer and of its local networks: near relays.
    Near,
    /// Everything: the proxy is one way more (PRX-4).
    All,
}

/// By what relays are reached.
#[derive(Clone, Debug, Default)]
pub struct Means {
    /// Whose certificates are believed.
    pub trust: Trust,
    /// The pages in a browser that dial (DIAL-1).
    pub dialer: Dialer,
    /// What goes through a proxy, where there is one.
    pub proxy: Option<ByProxy>,
    /// The program that dials bridges, where one is known.
    pub obfs4: Option<Obfs4>,
}

impl From<Trust> for Means {
    fn from(trust: Trust) -> Self {
        Self {
            trust,
            ..Self::default()
        }
    }
}

impl Means {
    /// The same for another courier: the program for bridges ends with the one that it dialled for.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self {
            obfs4: self.obfs4.as_ref().map(Obfs4::anew),
            ..self.clone()
        }
    }

    fn beside(&self) -> Beside {
        self.proxy.as_ref().map_or(Beside::All, |by| by.beside)
    }

    /// Whether each way has one more beside it, through a proxy.
    pub fn has_proxy_also(&self) -> bool {
        self.proxy.is_some() && self.beside() == Beside::All
    }

    /// Whether relays are looked for on the local network.
    pub fn looks_around(&self) -> bool {
        self.beside() != Beside::Nothing
    }

    /// Whether pages in a browser dial; never beside a proxy that everything goes through.
    pub(crate) fn browser(&self) -> watch::Receiver<bool> {
        match self.beside() {
            Beside::All => self.dialer.is_there(),
            Beside::Nothing | Beside::Near => watch::Sender::new(false).subscribe(),
        }
    }

    /// Whether somebody else dials a way.
    pub(super) fn is_led(&self, way: &str) -> bool {
        is_bridge(way) || self.proxy_of(way).is_some()
    }

    /// The proxy that a way goes through, and the `host:port` that it is asked for; nothing for a way that is dialled from here.
    pub(super) fn proxy_of<'a>(&'a self, way: &'a str) -> Option<(&'a Proxy, &'a str)> {
        let by = self.proxy.as_ref()?;
        let is_marked = is_by_proxy(way);
        let place = if is_marked { split(way).1 } else { dialled(way) };
        let goes = match by.beside {
            Beside::All => is_marked,
            Beside::Near => !is_near(place),
            Beside::Nothing => true,
        };
        (goes && !is_bridge(way)).then_some((&by.proxy, place))
    }
}

/// A number of this computer or of a network of its own.
fn is_near(place: &str) -> bool {
    place.parse::<SocketAddr>().is_ok_and(|place| !is_outside(place.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn means(beside: Beside) -> Means {
        let proxy = "socks5://127.0.0.1:9050".parse().unwrap();
        Means {
            proxy: Some(ByProxy { proxy, beside }),
            ..Means::default()
        }
    }

    #[test]
    fn everything_goes_through_a_proxy_that_nothing_is_dialled_beside_prx_3() {
        let ways = [
            ("a.example:80", "a.example:80"),
            ("https://a.example:443", "a.example:443"),
            ("https://a.example:443@192.0.2.7:8443", "192.0.2.7:8443"),
            ("127.0.0.1:7481", "127.0.0.1:7481"),
            ("10.0.0.2:7481", "10.0.0.2:7481"),
            ("davs://u:p@dav.example:443/x", "dav.example:443"),
            ("imaps://u:p@mail.example:993/x", "mail.example:993"),
        ];
        let alone = means(Beside::Nothing);
        for (way, place) in ways {
            assert_eq!(alone.proxy_of(way).map(|(_, place)| place), Some(place), "{way}");
            assert!(means(Beside::All).proxy_of(way).is_none(), "{way}");
            assert!(Means::default().proxy_of(way).is_none(), "{way}");
        }
        assert!(!alone.looks_around() && !alone.has_proxy_also());
        let _page = alone.dialer.attach().unwrap();
        assert!(*alone.dialer.is_there().borrow());
        assert!(!*alone.browser().borrow(), "no browser dials");
    }

    #[test]
    fn what_is_near_is_dialled_beside_it_where_the_person_says_so_prx_3() {
        let near = means(Beside::Near);
        for way in ["127.0.0.1:7481", "10.0.0.2:7481", "192.168.1.7:1"] {
            assert!(near.proxy_of(way).is_none(), "{way}");
        }
        for way in ["localhost:1", "printer.local:1", "8.8.8.8:443", "https://a:1@8.8.8.8:1"] {
            assert!(near.proxy_of(way).is_some(), "{way}");
        }
        assert!(near.looks_around());
    }

    #[test]
    fn a_proxy_that_is_one_way_more_is_asked_for_marked_ways_by_name_prx_4() {
        let also = means(Beside::All);
        let (_, place) = also.proxy_of("https://a.example:443@proxy:443").unwrap();
        assert_eq!(place, "a.example:443");
        assert!(also.has_proxy_also());
        assert!(!means(Beside::Near).has_proxy_also() && !Means::default().has_proxy_also());
    }
}
