//! Routes: how to reach a relay and how to know that it is the right one.
//!
//! In: `stone:r...` text, or a relay's address, id and secret. Out: the other. A route is for the relay's own users;
//! what a stranger gets is an invite link ([`crate::invite`]). Specified in `docs/protocol/04-meeting.md` (RTE).

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::address::{self, ADDRESS_BYTES_MAX, NEAR};
use crate::codec::{DecodeError, Reader, Write, from_base64, to_base64};
use crate::ids::{DoorPath, RelayId};
use crate::kdf::{first, sha256};

/// What a route's text begins with.
pub const ROUTE_PREFIX: &str = "stone:r";
/// Longest route text, in characters (RTE-1).
pub const ROUTE_TEXT_MAX: usize = 200;
const VERSION: u8 = 1;
const CHECK: usize = 4;

/// A relay's two public keys: X25519 32 | ML-KEM-768 1184 (RTE-2).
#[derive(Clone, PartialEq, Eq)]
pub struct RelayKeys(Box<[u8; Self::SIZE]>);

impl RelayKeys {
    /// Length in bytes.
    pub const SIZE: usize = 1216;

    /// Wraps bytes as they are; whether they are keys the handshake finds out.
    pub fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        Self(Box::new(bytes))
    }

    /// The keys a slice holds, or nothing when its length is another.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Some(Self(Box::new(bytes.try_into().ok()?)))
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::SIZE] {
        &self.0
    }

    /// What a route pins: SHA-256("stonechat/relay" | keys)[..16] (RTE-2).
    pub fn id(&self) -> RelayId {
        RelayId::from_bytes(first(&sha256(&[b"stonechat/relay", self.as_bytes()])))
    }
}

impl fmt::Debug for RelayKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RelayKeys({:?})", self.id())
    }
}

/// How to reach a relay. The secret, where the relay asks for one, is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct RelayRoute {
    /// `host:port`.
    pub address: String,
    /// Whose keys must answer there.
    pub relay: RelayId,
    /// What a closed relay asks for.
    pub secret: Option<[u8; 16]>,
    /// Whoever runs it says that it is reachable only on the local network.
    pub lan: bool,
}

/// The path at which a relay serves those who have this secret (RLY-41): to anybody else nothing stands there.
pub fn relay_path(relay: &RelayId, secret: Option<&[u8; 16]>) -> DoorPath {
    let secret = secret.map_or(&[][..], |secret| &secret[..]);
    DoorPath::from_bytes(first(&sha256(&[b"stonechat/path", relay.as_bytes(), secret])))
}

/// The path at which a near relay serves those who have its secret, while it announces itself with this nonce (LAN-5): who
/// listens on the wire sees another one at each start.
pub fn near_path(relay: &RelayId, secret: &[u8; 16], nonce: &[u8; 8]) -> DoorPath {
    DoorPath::from_bytes(first(&sha256(&[b"stonechat/near", relay.as_bytes(), secret, nonce])))
}

impl fmt::Debug for RelayRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "RelayRoute({:?}, {})",
            self.relay,
            if self.secret.is_some() { "secret" } else { "open" }
        )
    }
}

/// Why a text is no route. The person who pasted it reads the difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// Something else altogether.
    #[error("this is not a relay route")]
    NotARoute,
    /// It begins as a route and is cut or mistyped.
    #[error("this relay route is broken; copy it again")]
    Broken,
    /// Made by a newer Stonechat.
    #[error("this relay route needs a newer Stonechat")]
    Newer,
    /// An invite link where a route belongs.
    #[error("this is an invitation, not a relay route")]
    IsInvite,
}

impl RelayRoute {
    /// `stone:r` and base64url of version | local? | secret? | relay id | address | check (RTE-1).
    pub fn to_text(&self) -> String {
        let mut bytes = Vec::from([VERSION, u8::from(self.lan)]);
        bytes.put_option(self.secret.as_ref());
        bytes.put(self.relay.as_bytes());
        bytes.put(self.address.as_bytes());
        let check: [u8; CHECK] = first(&sha256(&[b"stonechat/route", &bytes]));
        bytes.put(&check);
        format!("{ROUTE_PREFIX}{}", to_base64(&bytes))
    }

    /// Reads a route's text; white space around it is fine. Errors: told apart for the person (RTE-3).
    pub fn parse(text: &str) -> Result<Self, RouteError> {
        let text = text.trim();
        let Some(code) = text.strip_prefix(ROUTE_PREFIX) else {
            let invite = ["stone:i", "http://", "https://"]
                .iter()
                .any(|prefix| text.starts_with(prefix));
            return Err(if invite {
                RouteError::IsInvite
            } else {
                RouteError::NotARoute
            });
        };
        if text.len() > ROUTE_TEXT_MAX {
            return Err(RouteError::Broken);
        }
        let bytes = from_base64(code).ok_or(RouteError::Broken)?;
        if bytes.first().is_some_and(|version| *version > VERSION) {
            return Err(RouteError::Newer);
        }
        Self::decode(&bytes).map_err(|_| RouteError::Broken)
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (body, check) = bytes.split_last_chunk::<CHECK>().ok_or(DecodeError::Short)?;
        if *check != first::<CHECK>(&sha256(&[b"stonechat/route", body])) {
            return Err(DecodeError::Value("check"));
        }
        let mut reader = Reader::new(body);
        if reader.u8()? != VERSION {
            return Err(DecodeError::Value("version"));
        }
        let lan = reader.bool("local")?;
        let secret = reader.option("secret")?;
        let relay = RelayId::from_bytes(reader.array()?);
        let address = core::str::from_utf8(reader.rest()).ok().and_then(address::check);
        let address = String::from(address.ok_or(DecodeError::Value("address"))?);
        Ok(Self {
            address,
            relay,
            secret,
            lan,
        })
    }
}

/// Reads `host:port` behind a u32 length.
pub(crate) fn read_address(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    let text = reader.text("address", ADDRESS_BYTES_MAX)?;
    address::check(text)
        .map(String::from)
        .ok_or(DecodeError::Value("address"))
}

/// The same, or `near:` (LAN-4).
pub(crate) fn read_place(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    let text = reader.text("address", ADDRESS_BYTES_MAX)?;
    let place = Some(text).filter(|text| *text == NEAR).or_else(|| address::check(text));
    place.map(String::from).ok_or(DecodeError::Value("address"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn route(secret: Option<[u8; 16]>) -> RelayRoute {
        RelayRoute {
            address: "127.0.0.1:4443".into(),
            relay: RelayId::from_bytes([5; 16]),
            secret,
            lan: secret.is_none(),
        }
    }

    #[test]
    fn a_route_reads_back_from_its_text_rte_1() {
        for secret in [None, Some([9; 16])] {
            let text = route(secret).to_text();
            assert!(text.starts_with("stone:r") && text.len() <= 200, "{text}");
            assert_eq!(RelayRoute::parse(&format!("  {text}\n")), Ok(route(secret)));
        }
    }

    #[test]
    fn a_relay_is_named_by_the_hash_of_its_keys_rte_2() {
        let keys = RelayKeys::from_bytes([1; 1216]);
        let hash = sha256(&[b"stonechat/relay", &[1; 1216]]);
        assert_eq!(keys.id().as_bytes(), &hash[..16]);
    }

    #[test]
    fn a_relay_stands_at_a_path_of_its_secret_rly_41() {
        let relay = RelayId::from_bytes([5; 16]);
        let hash = sha256(&[b"stonechat/path", &[5; 16], &[9; 16]]);
        assert_eq!(relay_path(&relay, Some(&[9; 16])), DoorPath::from_bytes(first(&hash)));
        assert_ne!(relay_path(&relay, Some(&[8; 16])), relay_path(&relay, Some(&[9; 16])));
        assert_ne!(
            relay_path(&relay, None),
            relay_path(&RelayId::from_bytes([6; 16]), None)
        );
    }

    #[test]
    fn a_near_relay_stands_at_another_path_with_each_nonce_lan_5() {
        let relay = RelayId::from_bytes([5; 16]);
        let hash = sha256(&[b"stonechat/near", &[5; 16], &[9; 16], &[1; 8]]);
        assert_eq!(near_path(&relay, &[9; 16], &[1; 8]), DoorPath::from_bytes(first(&hash)));
        assert_ne!(
            near_path(&relay, &[9; 16], &[1; 8]),
            near_path(&relay, &[9; 16], &[2; 8])
        );
        assert_ne!(
            near_path(&relay, &[9; 16], &[1; 8]),
            near_path(&relay, &[8; 16], &[1; 8])
        );
    }

    #[test]
    fn bad_routes_are_told_apart_rte_3() {
        let good = route(Some([9; 16])).to_text();
        let newer = format!("stone:r{}", to_base64(&[2, 0, 0]));
        let flipped = good.replacen("stone:rA", "stone:rB", 1);
        let cases = [
            ("empty", String::new(), RouteError::NotARoute),
            ("prose", "hello".into(), RouteError::NotARoute),
            ("cut", good[..good.len() - 1].into(), RouteError::Broken),
            ("only the prefix", "stone:r".into(), RouteError::Broken),
            (
                "one letter wrong",
                good.replace("stone:rAQ", "stone:rAA"),
                RouteError::Broken,
            ),
            ("not base64", format!("{good}!"), RouteError::Broken),
            ("too long", format!("{good}{}", "A".repeat(300)), RouteError::Broken),
            ("newer", newer, RouteError::Newer),
            ("newer by its first byte", flipped, RouteError::Newer),
            ("an invite code", "stone:iAAAA".into(), RouteError::IsInvite),
            ("an invite link", "http://a:1/x#y".into(), RouteError::IsInvite),
        ];
        for (name, text, error) in cases {
            assert_eq!(RelayRoute::parse(&text), Err(error), "{name}");
        }
    }

    #[test]
    fn a_route_does_not_print_its_secret_rte_4() {
        let text = format!("{:?}", route(Some([0x41; 16])));
        assert!(
            !text.contains("4141") && !text.contains("65") && !text.contains("127"),
            "{text}"
        );
    }

    proptest! {
        #[test]
        fn any_text_parses_or_errs_rte_3(text in "\\PC{0,80}", code in "[A-Za-z0-9_-]{0,120}") {
            let _ = RelayRoute::parse(&text);
            let _ = RelayRoute::parse(&format!("stone:r{code}"));
        }
    }
}
