//! Beacons: how a relay on the local network is known by those who know it, and by nobody else.
//!
//! In: a relay's id and a nonce, or what an announcement says. Out: the other. Specified in `docs/protocol/18-lan.md` (LAN).

use alloc::string::String;

use crate::codec::{from_base64, to_base64};
use crate::ids::RelayId;
use crate::kdf::{first, hmac};

/// Length of each half, in bytes.
const HALF: usize = 8;

/// Which relay announces itself. Who has its id can tell; two announcements of one relay look unlike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beacon {
    nonce: [u8; HALF],
    tag: [u8; HALF],
}

impl Beacon {
    /// A relay's beacon. `nonce`: random, new at each start (LAN-2).
    pub fn new(relay: &RelayId, nonce: [u8; HALF]) -> Self {
        Self {
            nonce,
            tag: tag(relay, &nonce),
        }
    }

    /// Whether this relay made it, or somebody repeats what it made.
    pub fn is_of(&self, relay: &RelayId) -> bool {
        self.tag == tag(relay, &self.nonce)
    }

    /// The nonce, new at each start: the path of a near relay depends on it (LAN-5).
    pub const fn nonce(&self) -> [u8; HALF] {
        self.nonce
    }

    /// base64url, 22 characters (LAN-2).
    pub fn to_text(&self) -> String {
        to_base64(&[self.nonce, self.tag].concat())
    }

    /// Reads what an announcement says; nothing where it is no beacon.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 2 * HALF] = from_base64(text)?.try_into().ok()?;
        let (nonce, tag) = bytes.split_first_chunk::<HALF>()?;
        Some(Self {
            nonce: *nonce,
            tag: tag.try_into().ok()?,
        })
    }
}

fn tag(relay: &RelayId, nonce: &[u8; HALF]) -> [u8; HALF] {
    first(&hmac(relay.as_bytes(), &[b"stonechat/lan", nonce]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_knows_the_relay_knows_its_beacon_and_nobody_else_does_lan_2() {
        let (mine, other) = (RelayId::from_bytes([1; 16]), RelayId::from_bytes([2; 16]));
        let beacon = Beacon::new(&mine, [7; 8]);
        assert!(beacon.is_of(&mine));
        assert!(!beacon.is_of(&other));
        let again = Beacon::new(&mine, [8; 8]);
        assert!(beacon.nonce != again.nonce && beacon.tag != again.tag);
        let text = beacon.to_text();
        assert_eq!(text.len(), 22);
        assert_eq!(Beacon::parse(&text), Some(beacon));
        for wrong in ["", "AAAA", &text[1..], &alloc::format!("{text}A"), "ä"] {
            assert_eq!(Beacon::parse(wrong), None, "{wrong}");
        }
    }
}
