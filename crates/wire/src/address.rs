//! `host:port`, or `https://host:port`: the one form in which a relay's address is written (RTE-5).

use alloc::format;
use alloc::string::String;

/// What stands before an address that is spoken to inside TLS.
const TLS: &str = "https://";
/// Longest address, in bytes.
pub(crate) const ADDRESS_BYTES_MAX: usize = 104;

/// What surrounds a connection to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Around {
    /// Nothing: plain HTTP.
    Plain,
    /// TLS with an ordinary certificate.
    Tls,
}

/// What surrounds a connection to an address, and its `host:port`.
pub fn split(address: &str) -> (Around, &str) {
    address
        .strip_prefix(TLS)
        .map_or((Around::Plain, address), |place| (Around::Tls, place))
}

/// The same place, inside TLS.
pub fn inside_tls(place: &str) -> String {
    format!("{TLS}{place}")
}

/// The address as given, if it is `host:port` with a plausible host (a name, IPv4, or IPv6 in brackets), with or
/// without `https://` before it.
pub(crate) fn check(address: &str) -> Option<&str> {
    let (_, place) = split(address);
    let (host, port) = place.rsplit_once(':')?;
    let port_holds = port.parse::<u16>().is_ok_and(|port| port != 0) && port.bytes().all(|b| b.is_ascii_digit());
    let ok = address.len() <= ADDRESS_BYTES_MAX && port_holds && host_holds(host);
    ok.then_some(address)
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
    check(&address).map(String::from)
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
        ] {
            assert_eq!(check(bad), None, "{bad}");
        }
        assert_eq!(split("https://a:1"), (Around::Tls, "a:1"));
        assert_eq!(split("a:1"), (Around::Plain, "a:1"));
        assert_eq!(split(&inside_tls("a:1")).0, Around::Tls);
        assert_eq!(with_port("[::1]", 80).as_deref(), Some("[::1]:80"));
        assert_eq!(with_port("a", 80).as_deref(), Some("a:80"));
        assert_eq!(with_port("a:81", 80).as_deref(), Some("a:81"));
    }
}
