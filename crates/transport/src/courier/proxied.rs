//! A proxy as one more way: each way of a relay's own to be dialled through it too (PRX-4).
//!
//! In: that there is such a proxy. Out: ways in the relays' lists, after the ones they stand for. Where everything goes through
//! a proxy there are no such ways: then all are dialled through it, and nothing here knows.

use stonechat_wire::address::{is_bridge, is_drop, port};
use stonechat_wire::ids::Timestamp;

use super::Courier;

/// What stands in the place of the number on such a way.
const PROXY: &str = "proxy";

/// The same way, through a proxy: by its name alone, which the proxy looks up. Nothing for drops, for bridges, which are dialled
/// by a program, and for a way that somebody else goes already.
pub fn by_proxy(way: &str) -> Option<String> {
    let is_plain = !way.contains('@') && !is_drop(way) && !is_bridge(way);
    is_plain.then(|| format!("{way}@{PROXY}:{}", port(way)))
}

/// Whether a way leads through a proxy.
pub fn is_by_proxy(way: &str) -> bool {
    let dialled = way.split_once('@').filter(|_| !is_drop(way));
    dialled.is_some_and(|(_, dialled)| dialled.rsplit_once(':').is_some_and(|(host, _)| host == PROXY))
}

impl Courier {
    /// There is a proxy, from now on and for good.
    pub(super) fn has_proxy(&mut self, now: Timestamp) {
        self.has_proxy = true;
        for (id, relay) in &mut self.relays {
            let worked = self.here.as_ref().and_then(|here| here.addresses.get(id));
            relay.proxied(now, worked.map(String::as_str));
        }
    }
}

#[cfg(test)]
mod tests {
    use stonechat_wire::address::{Around, split};

    use super::*;

    #[test]
    fn a_proxy_is_asked_for_names_and_numbers_but_not_for_drops_and_bridges_prx_4() {
        let way = by_proxy("https://a.example:8443").unwrap();
        assert_eq!(way, "https://a.example:8443@proxy:8443");
        assert!(is_by_proxy(&way));
        assert_eq!(split(&way), (Around::Tls, "a.example:8443"));
        assert_eq!(port(&way), "8443");
        assert!(by_proxy("192.0.2.7:80").is_some() && by_proxy("a.onion:80").is_some());
        let bridge = format!("obfs4://192.0.2.7:1/{}", "A".repeat(70));
        for other in [
            "https://a.example:443@192.0.2.7:443",
            "https://a.example:443@browser:443",
            "https://a.example:443@proxy:443",
            "davs://u:p@dav.example:443/x",
            bridge.as_str(),
        ] {
            assert_eq!(by_proxy(other), None, "{other}");
        }
        for other in [
            "https://proxy:443",
            "davs://u:p@proxy:443/x",
            "https://a:443@browser:443",
        ] {
            assert!(!is_by_proxy(other), "{other}");
        }
    }
}
