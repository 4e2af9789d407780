//! `host:port`, or `https://host:port`: the one form in which a relay's address is written (RTE-5). Behind it may stand
//! where else the same relay answers, by number: for those to whom the name is not told, or its port is closed.
//!
//! An *address* is what routes and cards hold; a *way* is one place of it to be dialled, `NAME:PORT` or
//! `NAME:PORT@IP:PORT`. A drop has an address of its own, with `davs://` or `imaps://` before it ([`crate::drop::Place`]), and so
//! has an obfs4 bridge ([`crate::bridge::Bridge`]).

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::bridge::Bridge;
use crate::drop::Place;

/// What stands before an address that is spoken to inside TLS.
const TLS: &str = "https://";
/// What stands in the place of an address where a relay is found on the local network only (LAN-4).
pub const NEAR: &str = "near:";
/// Longest address, in bytes.
pub(crate) const ADDRESS_BYTES_MAX: usize = 104;
/// Most further places of an address.
pub const PLACES_MAX: usize = 3;

/// What surrounds a connection to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Around {
    /// Nothing: plain HTTP.
    Plain,
    /// TLS with an ordinary certificate.
    Tls,
}

/// What surrounds a connection to an address or by a way, and the `host:port` that it is known by there.
pub fn split(address: &str) -> (Around, &str) {
    if let Some(drop) = Place::split(address) {
        return (drop.around, drop.host);
    }
    if let Some(bridge) = Bridge::split(address) {
        return (Around::Plain, bridge.place);
    }
    let first = address.split([',', '@']).next().unwrap_or(address);
    first
        .strip_prefix(TLS)
        .map_or((Around::Plain, first), |place| (Around::Tls, place))
}

/// The ways to an address, the one by name first.
pub fn ways(address: &str) -> Vec<String> {
    if is_drop(address) {
        return Vec::from([String::from(address)]);
    }
    let mut parts = address.split(',');
    let first = parts.next().unwrap_or(address);
    let others = parts.map(|place| format!("{first}@{place}"));
    core::iter::once(String::from(first)).chain(others).collect()
}

/// What is dialled on a way: its number where it has one, else the name.
pub fn dialled(way: &str) -> &str {
    let number = way.split_once('@').filter(|_| !is_drop(way));
    number.map_or_else(|| split(way).1, |(_, place)| place)
}

/// The port that is dialled on a way.
pub fn port(way: &str) -> &str {
    dialled(way).rsplit_once(':').map_or("", |(_, port)| port)
}

/// The further places of an address.
pub fn places(address: &str) -> impl Iterator<Item = SocketAddr> {
    let others = address.split(',').skip(1).filter(|_| !is_drop(address));
    others.filter_map(|place| place.parse().ok())
}

/// The address with these places behind it, as many as an address can hold.
pub fn with_places(first: &str, places: impl IntoIterator<Item = SocketAddr>) -> String {
    let mut address = String::from(first);
    for place in places.into_iter().take(PLACES_MAX) {
        let longer = format!("{address},{place}");
        if longer.len() <= ADDRESS_BYTES_MAX {
            address = longer;
        }
    }
    address
}

/// Whether a drop lies there, and no relay stands.
pub fn is_drop(address: &str) -> bool {
    Place::split(address).is_some()
}

/// Whether it is an obfs4 bridge's (PRX-5).
pub fn is_bridge(address: &str) -> bool {
    Bridge::split(address).is_some()
}

/// The address as it may be shown: a drop's without user and password, a bridge's without its certificate.
pub fn shown(address: &str) -> String {
    let bridge = Bridge::split(address).map(|bridge| bridge.shown());
    let shown = bridge.or_else(|| Some(Place::split(address)?.shown()));
    shown.unwrap_or_else(|| String::from(address))
}

/// The same place, inside TLS.
pub fn inside_tls(place: &str) -> String {
    format!("{TLS}{place}")
}

/// Whether a text is an address.
pub fn holds(address: &str) -> bool {
    check(address).is_some()
}

/// The address as given, if it is `host:port` with a plausible host (a name, IPv4, or IPv6 in brackets), with or
/// without `https://` before it, and up to [`PLACES_MAX`] times a comma and `IP:PORT` behind it.
pub(crate) fn check(address: &str) -> Option<&str> {
    if is_drop(address) {
        let holds = |place: &Place<'_>| address.len() <= ADDRESS_BYTES_MAX && first_holds(place.host);
        return Place::read(address).filter(holds).map(|_| address);
    }
    if is_bridge(address) {
        let holds = |_: &Bridge<'_>| address.len() <= ADDRESS_BYTES_MAX;
        return Bridge::read(address).filter(holds).map(|_| address);
    }
    let mut parts = address.split(',');
    let first = parts.next()?;
    let ok = address.len() <= ADDRESS_BYTES_MAX
        && first_holds(first)
        && parts.clone().count() <= PLACES_MAX
        && parts.all(|place| place_holds(place, is_this_computer(first)));
    ok.then_some(address)
}

fn first_holds(first: &str) -> bool {
    place_is_plain(first.strip_prefix(TLS).unwrap_or(first))
}

/// Whether a text is `host:port` and nothing else.
pub fn place_is_plain(place: &str) -> bool {
    let Some((host, port)) = place.rsplit_once(':') else {
        return false;
    };
    let port_holds = port.parse::<u16>().is_ok_and(|port| port != 0) && port.bytes().all(|b| b.is_ascii_digit());
    port_holds && host_holds(host)
}

/// Whether a host is this computer by what it is called.
fn is_this_computer(first: &str) -> bool {
    let place = first.strip_prefix(TLS).unwrap_or(first);
    let host = place.rsplit_once(':').map_or(place, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// A number in its one spelling, that can be dialled. What stands for other machines does not lead to this one, nor to all.
fn place_holds(place: &str, may_be_this_computer: bool) -> bool {
    let number = place.parse::<SocketAddr>();
    // Without an IPv6 address's scope, which means something on one machine only.
    let spelt = |number: SocketAddr| SocketAddr::new(number.ip(), number.port()).to_string();
    number.is_ok_and(|number| {
        let ip = number.ip().to_canonical();
        let is_one = !ip.is_unspecified() && !ip.is_multicast() && ip != IpAddr::V4(Ipv4Addr::BROADCAST);
        let may_be = !ip.is_loopback() || may_be_this_computer;
        number.port() != 0 && is_one && may_be && ip == number.ip() && spelt(number) == place
    })
}

/// `host:port` out of a link's authority part; `port` where it names none.
pub(crate) fn with_port(authority: &str, port: u16) -> Option<String> {
    let has_port = authority
        .rsplit_once(':')
        .is_some_and(|(_, after)| !after.contains(']'));
    let address = if has_port {
        String::from(authority)
    } else {
        format!("{authority}:{port}")
    };
    let is_one = address.len() <= ADDRESS_BYTES_MAX && first_holds(&address);
    is_one.then_some(address)
}

fn host_holds(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return inner.contains(':') && inner.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'));
    }
    !host.is_empty()
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port_rte_5() {
        for good in [
            "https://a:1",
            "https://[::1]:443",
            "a:1",
            "127.0.0.1:4443",
            "[::1]:80",
            "relay.example-site.org:65535",
        ] {
            assert_eq!(check(good), Some(good));
        }
        for bad in [
            "",
            ":1",
            "a",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "::1:80",
            "[]:1",
            "a b:1",
            "a/b:1",
            "[a]:1",
            "https://",
            "https://a",
            "https://https://a:1",
            "http://a:1",
            "HTTPS://a:1",
            NEAR,
        ] {
            assert_eq!(check(bad), None, "{bad}");
        }
        assert_eq!(split("https://a:1"), (Around::Tls, "a:1"));
        assert_eq!(split("a:1"), (Around::Plain, "a:1"));
        assert_eq!(split(&inside_tls("a:1")).0, Around::Tls);
        assert_eq!(with_port("[::1]", 80).as_deref(), Some("[::1]:80"));
        assert_eq!(with_port("a", 80).as_deref(), Some("a:80"));
        assert_eq!(with_port("a:81", 80).as_deref(), Some("a:81"));
        assert_eq!(with_port("a:81,192.0.2.7:80", 80), None);
    }

    #[test]
    fn further_places_are_numbers_behind_the_name_rte_5() {
        let address = "https://a.example:443,192.0.2.7:443,[2001:db8::7]:8443";
        assert_eq!(check(address), Some(address));
        assert_eq!(split(address), (Around::Tls, "a.example:443"));
        let ways = ways(address);
        assert_eq!(
            ways,
            [
                "https://a.example:443",
                "https://a.example:443@192.0.2.7:443",
                "https://a.example:443@[2001:db8::7]:8443"
            ]
        );
        let dialled: Vec<_> = ways.iter().map(|way| dialled(way)).collect();
        assert_eq!(dialled, ["a.example:443", "192.0.2.7:443", "[2001:db8::7]:8443"]);
        assert!(ways.iter().all(|way| split(way) == (Around::Tls, "a.example:443")));
        assert_eq!((port(&ways[0]), port(&ways[2])), ("443", "8443"));
        assert_eq!(with_places("https://a.example:443", places(address)), address);
        for good in [
            "a:1,192.0.2.7:2",
            "localhost:1,127.0.0.1:2",
            "https://127.0.0.1:1,[::1]:2",
        ] {
            assert_eq!(check(good), Some(good));
        }
        for bad in [
            "a:1,",
            "a:1,b:2",
            "a:1,192.0.2.7",
            "a:1,192.0.2.7:0",
            "a:1,0.0.0.0:1",
            "a:1,127.0.0.1:1",
            "a:1,[::1]:1",
            "a:1,[::ffff:127.0.0.1]:1",
            "a:1,[::ffff:192.0.2.7]:1",
            "a:1,224.0.0.251:5353",
            "a:1,[ff02::fb]:5353",
            "a:1,255.255.255.255:1",
            "a:1,192.0.2.7:01",
            "a:1,[2001:0db8::7]:1",
            "a:1,[fe80::1%1]:1",
            "a:1,https://192.0.2.7:1",
            "a:1, 192.0.2.7:1",
            "a:1@192.0.2.7:1",
            ",192.0.2.7:1",
            "a:1,192.0.2.1:1,192.0.2.2:1,192.0.2.3:1,192.0.2.4:1",
        ] {
            assert_eq!(check(bad), None, "{bad}");
        }
        let many = with_places(&format!("{}:1", "a".repeat(80)), places(address));
        assert!(
            holds(&many) && many.ends_with("192.0.2.7:443"),
            "what does not fit is left out"
        );
    }
}
