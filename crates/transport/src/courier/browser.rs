//! The browser as one more way: each way to a relay by its name, inside TLS, dialled by a page in a browser (DIAL-1).
//!
//! In: whether such a page is there. Out: ways in the relays' lists, after their other ones. The hello is the browser's own,
//! so it may begin where ours was silenced; it says the same name, so it counts with ours (TRK-5). How a page dials is
//! [`crate::carrier::dialer`]'s.

use std::net::IpAddr;

use stonechat_wire::address::{Around, is_drop, port, split};
use stonechat_wire::ids::Timestamp;

use super::Courier;

/// What stands in the place of the number on such a way.
const BROWSER: &str = "browser";

/// The same way, dialled by a browser; nothing for one that says no name, or is not inside TLS: a page could not tell whom it
/// speaks to, and would send ours in the clear.
pub fn by_browser(way: &str) -> Option<String> {
    let (around, place) = split(way);
    let (host, _) = place.rsplit_once(':')?;
    let is_number = host.starts_with('[') || host.parse::<IpAddr>().is_ok();
    let is_by_name = !way.contains('@') && around == Around::Tls && !is_number && !is_drop(way);
    is_by_name.then(|| format!("{way}@{BROWSER}:{}", port(way)))
}

/// Whether a browser dials on this way.
pub fn is_by_browser(way: &str) -> bool {
    let dialled = way.split_once('@').filter(|_| !is_drop(way));
    dialled.is_some_and(|(_, dialled)| dialled.rsplit_once(':').is_some_and(|(host, _)| host == BROWSER))
}

impl Courier {
    /// A page that dials is there from now on, or none is.
    pub(super) fn browser(&mut self, now: Timestamp, is_there: bool) {
        self.has_browser = is_there;
        for (id, relay) in &mut self.relays {
            let worked = self.here.as_ref().and_then(|here| here.addresses.get(id));
            relay.browser(now, is_there, worked.map(String::as_str));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_dials_names_inside_tls_only_dial_1() {
        let way = by_browser("https://a.example:8443").unwrap();
        assert_eq!(way, "https://a.example:8443@browser:8443");
        assert!(is_by_browser(&way));
        assert_eq!(split(&way), (Around::Tls, "a.example:8443"));
        assert_eq!(port(&way), "8443");
        for other in [
            "a.example:443",
            "https://192.0.2.7:443",
            "https://[2001:db8::7]:443",
            "https://a.example:443@192.0.2.7:443",
            "https://a.example:443@browser:443",
            "davs://u:p@browser.example:443/x",
            "near:",
        ] {
            assert_eq!(by_browser(other), None, "{other}");
        }
        for other in [
            "https://browser:443",
            "https://a.example:443@192.0.2.7:443",
            "davs://u:p@browser:443/x",
        ] {
            assert!(!is_by_browser(other), "{other}");
        }
    }
}
