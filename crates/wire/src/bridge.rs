//! An obfs4 bridge to a relay: `obfs4://HOST:PORT/CERT`, a kind of address of its own (PRX-5).
//!
//! In: an address. Out: where obfs4's server listens, and the certificate without which it answers nobody. What goes on
//! inside is what a plain relay gets: a WebSocket, and in it the face.

use crate::address;

const SCHEME: &str = "obfs4://";
/// Characters of a certificate: 52 bytes in base64 without padding, a node's id and its public key.
pub const CERT_CHARS: usize = 70;

/// The parts of a bridge's address. The certificate does not print: whoever has it may speak to the bridge.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Bridge<'a> {
    /// `host:port` of obfs4's server.
    pub place: &'a str,
    /// What its clients must know of it.
    pub cert: &'a str,
}

impl<'a> Bridge<'a> {
    /// The parts of an address, where it is a bridge's and holds.
    pub fn read(address: &'a str) -> Option<Self> {
        Self::split(address).filter(|bridge| cert_holds(bridge.cert) && address::place_is_plain(bridge.place))
    }

    /// The same, not looking at what stands in them.
    pub(crate) fn split(address: &'a str) -> Option<Self> {
        let (place, cert) = address.strip_prefix(SCHEME)?.split_once('/')?;
        Some(Self { place, cert })
    }

    /// The address that holds them; nothing where they are none, or longer than an address may be.
    pub fn address(&self) -> Option<alloc::string::String> {
        let address = alloc::format!("{SCHEME}{}/{}", self.place, self.cert);
        address::holds(&address).then_some(address)
    }

    /// What may be shown of it: without the certificate.
    pub fn shown(&self) -> alloc::string::String {
        alloc::format!("{SCHEME}{}", self.place)
    }
}

impl core::fmt::Debug for Bridge<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Bridge(..)")
    }
}

/// Standard base64 in its one spelling: the last character stands for two bits.
fn cert_holds(cert: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    cert.len() == CERT_CHARS && cert.bytes().all(fits) && cert.ends_with(['A', 'Q', 'g', 'w'])
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;

    use super::*;
    use crate::address::{Around, dialled, is_bridge, is_drop, places, shown, split, ways};
    use crate::ids::RelayId;
    use crate::route::{ROUTE_TEXT_MAX, RelayRoute};

    const CERT: &str = "ssH+9rP8dG2NLDN2XuFw63hIO/9MNNinLmxQDpVa+7kTOa9/m+tGWT1SmSYpQ9uTBGa6Hw";

    #[test]
    fn a_bridge_is_a_place_and_a_certificate_prx_5() {
        let address = format!("obfs4://192.0.2.7:9443/{CERT}");
        let bridge = Bridge::read(&address).unwrap();
        assert_eq!((bridge.place, bridge.cert), ("192.0.2.7:9443", CERT));
        assert_eq!(bridge.address().as_deref(), Some(address.as_str()));
        assert!(address::holds(&address) && is_bridge(&address) && !is_drop(&address));
        assert_eq!(split(&address), (Around::Plain, "192.0.2.7:9443"));
        assert_eq!(dialled(&address), "192.0.2.7:9443");
        assert_eq!(ways(&address), [address.as_str()], "one way, and no further places");
        assert_eq!(places(&address).count(), 0);
        for bad in [
            format!("obfs4://192.0.2.7:9443/{}", CERT.get(1..).unwrap()),
            format!("obfs4://192.0.2.7:9443/{CERT}A"),
            format!("obfs4://192.0.2.7:9443/{CERT}@192.0.2.8:1"),
            format!("obfs4://192.0.2.7:9443/{CERT},192.0.2.8:1"),
            format!("obfs4://192.0.2.7:9443,192.0.2.8:1/{CERT}"),
            format!("obfs4://192.0.2.7/{CERT}"),
            format!("obfs4://https://a:1/{CERT}"),
            format!("obfs4://u:p@a:1/{CERT}"),
            format!("OBFS4://a:1/{CERT}"),
            format!("obfs4://a:1/{}B", CERT.get(..69).unwrap()),
            format!("obfs4://a:1/{}-w", CERT.get(..68).unwrap()),
            "obfs4://a:1/".into(),
            "obfs4://a:1".into(),
        ] {
            assert!(!address::holds(&bad), "{bad}");
            assert_eq!(Bridge::read(&bad), None, "{bad}");
        }
    }

    #[test]
    fn a_bridge_fits_a_route_with_a_host_and_port_of_up_to_25_characters_prx_5() {
        let route = |place: &str| RelayRoute {
            address: format!("obfs4://{place}/{CERT}"),
            relay: RelayId::from_bytes([5; 16]),
            secret: Some([9; 16]),
            lan: false,
        };
        for fits in [
            "255.255.255.255:65535",
            "obfs.relay-of-mine.net:443",
            "[2001:db8::7:77]:9443",
        ] {
            let is_short = fits.len() <= 25;
            let text = route(fits).to_text();
            assert_eq!(RelayRoute::parse(&text).is_ok(), is_short, "{fits}");
            assert!(!is_short || text.len() <= ROUTE_TEXT_MAX);
        }
        let long = Bridge {
            place: "a.very.long.name.of.a.bridge:443",
            cert: CERT,
        };
        assert_eq!(long.address(), None);
    }

    #[test]
    fn what_is_shown_of_a_bridge_is_without_its_certificate_rte_4() {
        let address = format!("obfs4://a.example:443/{CERT}");
        let bridge = Bridge::read(&address).unwrap();
        let all: [String; 3] = [shown(&address), bridge.shown(), format!("{bridge:?}")];
        assert!(all.iter().all(|text| !text.contains("ssH+")), "{all:?}");
        assert_eq!(shown(&address), "obfs4://a.example:443");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_bridge_or_none_prx_5(text in "\\PC{0,80}", cert in "[A-Za-z0-9+/@,]{60,72}") {
            let _ = Bridge::read(&text);
            let address = format!("obfs4://a:1/{cert}");
            proptest::prop_assert_eq!(Bridge::read(&address).is_some(), address::holds(&address));
        }
    }
}
