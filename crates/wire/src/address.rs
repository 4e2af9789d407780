//! `host:port`, the one form in which a relay's address is written.

use alloc::format;
use alloc::string::String;

/// Longest `host:port`, in bytes.
pub(crate) const ADDRESS_BYTES_MAX: usize = 104;

/// The address as given, if it is `host:port` with a plausible host (a name, IPv4, or IPv6 in brackets).
pub(crate) fn check(address: &str) -> Option<&str> {
    let (host, port) = address.rsplit_once(':')?;
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
    fn an_address_is_a_host_and_a_port() {
        for good in ["a:1", "127.0.0.1:4443", "[::1]:80", "relay.example-site.org:65535"] {
            assert_eq!(check(good), Some(good));
        }
        for bad in [
            "", ":1", "a", "a:", "a:0", "a:65536", "a:+1", "::1:80", "[]:1", "a b:1", "a/b:1", "[a]:1",
        ] {
            assert_eq!(check(bad), None, "{bad}");
        }
        assert_eq!(with_port("[::1]", 80).as_deref(), Some("[::1]:80"));
        assert_eq!(with_port("a", 80).as_deref(), Some("a:80"));
        assert_eq!(with_port("a:81", 80).as_deref(), Some("a:81"));
    }
}
