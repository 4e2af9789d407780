//! Linking a device: what is said between a device of the account and one that is to become another.
//!
//! In: bytes that the link's secret opened, or typed values. Out: the other; and the number that the person carries from one
//! screen to the other. What is believed is core's. Specified in `docs/protocol/14-devices.md` (LNK-*).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::card::{
    CardRelay, DeviceLog, KEM_OUTPUT_MAX, KEY_PACKAGE_BYTES_MAX, SEAL_KEY_SIZE, WELCOME_BYTES_MAX, read_name,
};
use crate::codec::{DecodeError, Reader, Write, from_base64, to_base64};
use crate::ids::AccountId;
use crate::invite::InviteSecret;
use crate::kdf::{first, sha256};
use crate::route::{ROUTE_TEXT_MAX, RelayRoute};

/// What a device link begins with.
pub const LINK_PREFIX: &str = "stone:d";
/// Longest link, in bytes.
pub const LINK_BYTES_MAX: usize = 512;
/// Most relays of a grant.
pub const RELAYS_MAX: usize = 64;
/// Longest ciphertext of a grant, in bytes.
const GRANT_BYTES_MAX: usize = 256 * 1024;
/// Role of the request.
pub const ROLE_REQUEST: &[u8] = b"link/request";
const VERSION: u8 = 1;
const CHECK: usize = 4;

/// A device link as it is handed over. Never printed but for its owner.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceLink {
    /// What mailboxes and keys come from (INV-5, with other roles).
    pub secret: InviteSecret,
    /// Whose device it makes: [`link_pin`].
    pub pin: [u8; 16],
    /// Unix seconds.
    pub expires_at_s: u64,
    /// Where both meet.
    pub route: RelayRoute,
}

/// SHA-256("stonechat/link/pin" | secret | account id)[..16] (LNK-1).
pub fn link_pin(secret: &InviteSecret, account: AccountId) -> [u8; 16] {
    first(&sha256(&[b"stonechat/link/pin", secret.as_bytes(), account.as_bytes()]))
}

/// Role of what answers the request with this hash: `what` | hash (LNK-2).
pub fn answer_role(what: &[u8], request: &[u8; 32]) -> Vec<u8> {
    let mut role = Vec::from(what);
    role.put(request);
    role
}

/// The six digits that the person carries over (LNK-4).
pub fn code(secret: &InviteSecret, request: &[u8; 32], nonce: &[u8; 16]) -> String {
    let hash = sha256(&[b"stonechat/link/code", secret.as_bytes(), request, nonce]);
    let number = u64::from_be_bytes(first(&hash)) % 1_000_000;
    format!("{number:06}")
}

impl DeviceLink {
    /// `stone:d` and base64url of version 1 | secret 20 | pin 16 | expires 8 | route (its text) | check 4 (LNK-1).
    pub fn to_text(&self) -> String {
        let mut bytes = Vec::from([VERSION]);
        bytes.put(self.secret.as_bytes());
        bytes.put(&self.pin);
        bytes.put(&self.expires_at_s.to_be_bytes());
        bytes.put(self.route.to_text().as_bytes());
        let check: [u8; CHECK] = first(&sha256(&[b"stonechat/link", &bytes]));
        bytes.put(&check);
        format!("{LINK_PREFIX}{}", to_base64(&bytes))
    }

    /// Reads a link; white space around it is fine. Errors: anything else, another version too.
    pub fn parse(text: &str) -> Result<Self, DecodeError> {
        let text = text.trim();
        if text.len() > LINK_BYTES_MAX {
            return Err(DecodeError::Limit("link"));
        }
        let code = text.strip_prefix(LINK_PREFIX).ok_or(DecodeError::Value("link"))?;
        let bytes = from_base64(code).ok_or(DecodeError::Value("link"))?;
        let (bytes, check) = bytes.split_last_chunk::<CHECK>().ok_or(DecodeError::Short)?;
        let expected: [u8; CHECK] = first(&sha256(&[b"stonechat/link", bytes]));
        if *check != expected {
            return Err(DecodeError::Value("check"));
        }
        let mut reader = Reader::new(bytes);
        check_version(&mut reader)?;
        let (secret, pin, expires_at_s) = (reader.array()?, reader.array()?, reader.u64()?);
        let route = core::str::from_utf8(reader.rest()).map_err(|_| DecodeError::Value("route"))?;
        if route.len() > ROUTE_TEXT_MAX {
            return Err(DecodeError::Limit("route"));
        }
        Ok(Self {
            secret: InviteSecret::from_bytes(secret),
            pin,
            expires_at_s,
            route: RelayRoute::parse(route).map_err(|_| DecodeError::Value("route"))?,
        })
    }
}

impl fmt::Debug for DeviceLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceLink({:?})", self.route)
    }
}

fn check_version(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    match reader.u8()? {
        VERSION => Ok(()),
        other => Err(DecodeError::Version(other)),
    }
}

/// What a new device asks (LNK-2): version 1 | device's Ed25519 key 32 | seal key 1,216 | name.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkRequest {
    /// The device's key.
    pub device_ed25519: [u8; 32],
    /// What the grant is sealed to.
    pub seal_key: Vec<u8>,
    /// What the person calls the device.
    pub name: String,
}

impl LinkRequest {
    /// As it is sealed.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::from([VERSION]);
        out.put(&self.device_ed25519);
        out.put_bytes(&self.seal_key);
        out.put_bytes(self.name.as_bytes());
        out
    }

    /// Reads one. Errors: another version, a key of another length, bytes left over.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        check_version(&mut reader)?;
        let device_ed25519 = reader.array()?;
        let seal_key = reader.bytes("seal key", SEAL_KEY_SIZE)?.to_vec();
        if seal_key.len() != SEAL_KEY_SIZE {
            return Err(DecodeError::Value("seal key"));
        }
        let name = read_name(&mut reader)?;
        reader.end()?;
        Ok(Self {
            device_ed25519,
            seal_key,
            name,
        })
    }
}

impl fmt::Debug for LinkRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkRequest")
    }
}

/// What the home device says to a request before anything is decided (LNK-3): version 1 | Ed25519 key 32 | SHA-256 of the
/// ML-DSA key 32 | nonce 16 | signature 64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The account's Ed25519 key.
    pub ed25519: [u8; 32],
    /// SHA-256 of the account's ML-DSA-65 key.
    pub mldsa_hash: [u8; 32],
    /// Dice thrown after the request had come: nobody could choose a request by the number that it gives.
    pub nonce: [u8; 16],
    /// Ed25519 by the account's key over [`Challenge::signed_bytes`].
    pub signature: [u8; 64],
}

impl Challenge {
    /// "stonechat/link/challenge" | SHA-256(request) | nonce.
    pub fn signed_bytes(request: &[u8; 32], nonce: &[u8; 16]) -> Vec<u8> {
        let mut out = Vec::from(*b"stonechat/link/challenge");
        out.put(request);
        out.put(nonce);
        out
    }

    /// As it is sealed.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::from([VERSION]);
        out.put(&self.ed25519);
        out.put(&self.mldsa_hash);
        out.put(&self.nonce);
        out.put(&self.signature);
        out
    }

    /// Reads one. Errors: another version or length.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        check_version(&mut reader)?;
        let challenge = Self {
            ed25519: reader.array()?,
            mldsa_hash: reader.array()?,
            nonce: reader.array()?,
            signature: reader.array()?,
        };
        reader.end()?;
        Ok(challenge)
    }
}

/// What makes the new device one of the account's (LNK-5): version 1 | account's name | device log | relays (own 1, a relay
/// as in CARD-1) | key package of the home device | names (device id 8, name) | signature 64.
#[derive(Clone, PartialEq, Eq)]
pub struct Grant {
    /// What the person calls themselves.
    pub name: String,
    /// Its last entry adds the new device.
    pub device_log: DeviceLog,
    /// The account's relays; own ones are marked.
    pub relays: Vec<(bool, CardRelay)>,
    /// What the conversation of the two devices is founded from.
    pub package: Vec<u8>,
    /// What the home device is called.
    pub home_name: String,
    /// Ed25519 by the account's key over [`Grant::signed_bytes`].
    pub signature: [u8; 64],
}

impl Grant {
    fn encode_unsigned(&self) -> Vec<u8> {
        let mut out = Vec::from([VERSION]);
        out.put_bytes(self.name.as_bytes());
        self.device_log.write(&mut out);
        out.put_count(self.relays.len());
        for (own, relay) in &self.relays {
            out.push(u8::from(*own));
            relay.write(&mut out);
        }
        out.put_bytes(&self.package);
        out.put_bytes(self.home_name.as_bytes());
        out
    }

    /// "stonechat/link/grant" | SHA-256(request) | everything before the signature.
    pub fn signed_bytes(&self, request: &[u8; 32]) -> Vec<u8> {
        let mut out = Vec::from(*b"stonechat/link/grant");
        out.put(request);
        out.put(&self.encode_unsigned());
        out
    }

    /// As it is sealed.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.encode_unsigned();
        out.put(&self.signature);
        out
    }

    /// Reads one. Errors: another version, any limit, bytes left over. Nothing is verified.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        check_version(&mut reader)?;
        let grant = Self {
            name: read_name(&mut reader)?,
            device_log: DeviceLog::read(&mut reader)?,
            relays: reader.list("relays", RELAYS_MAX, |reader| {
                Ok((reader.bool("own")?, CardRelay::read(reader)?))
            })?,
            package: reader.bytes("key package", KEY_PACKAGE_BYTES_MAX)?.to_vec(),
            home_name: read_name(&mut reader)?,
            signature: reader.array()?,
        };
        reader.end()?;
        Ok(grant)
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Grant({} devices)", self.device_log.entries.len())
    }
}

/// A grant as it travels: version 1 | KEM output | ciphertext (LNK-5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantSealed {
    /// Of HPKE.
    pub kem_output: Vec<u8>,
    /// Of HPKE.
    pub ciphertext: Vec<u8>,
}

impl GrantSealed {
    /// As it is put into envelopes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::from([VERSION]);
        out.put_bytes(&self.kem_output);
        out.put_bytes(&self.ciphertext);
        out
    }

    /// Reads one. Errors: another version, any limit, bytes left over.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        check_version(&mut reader)?;
        let sealed = Self {
            kem_output: reader.bytes("kem output", KEM_OUTPUT_MAX)?.to_vec(),
            ciphertext: reader.bytes("grant", GRANT_BYTES_MAX)?.to_vec(),
        };
        reader.end()?;
        Ok(sealed)
    }
}

/// Longest Welcome with which the new device answers a grant (LNK-6).
pub const HELLO_BYTES_MAX: usize = WELCOME_BYTES_MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RelayId;
    use std::vec;

    fn link() -> DeviceLink {
        DeviceLink {
            secret: InviteSecret::from_bytes([7; 20]),
            pin: [8; 16],
            expires_at_s: 1_800_000_000,
            route: RelayRoute {
                address: "relay.example:443".into(),
                relay: RelayId::from_bytes([9; 16]),
                secret: Some([3; 16]),
                lan: false,
            },
        }
    }

    #[test]
    fn a_link_reads_back_and_a_changed_one_is_none_lnk_1() {
        let text = link().to_text();
        assert!(text.len() <= LINK_BYTES_MAX);
        assert_eq!(DeviceLink::parse(&format!(" {text}\n")), Ok(link()));
        for place in 7..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(changed == text || DeviceLink::parse(&changed).is_err(), "{place}");
        }
        assert!(DeviceLink::parse(&link().route.to_text()).is_err());
        assert!(DeviceLink::parse(&"x".repeat(600)).is_err());
        let mut longest = link();
        longest.route.address = format!("{}:1", "a".repeat(100));
        assert_eq!(DeviceLink::parse(&longest.to_text()), Ok(longest));
    }

    #[test]
    fn the_number_rests_on_link_request_and_nonce_lnk_4() {
        let (one, other) = (InviteSecret::from_bytes([1; 20]), InviteSecret::from_bytes([2; 20]));
        let number = code(&one, &[3; 32], &[4; 16]);
        assert_eq!(number.len(), 6);
        assert!(number.chars().all(|digit| digit.is_ascii_digit()));
        for changed in [
            code(&other, &[3; 32], &[4; 16]),
            code(&one, &[4; 32], &[4; 16]),
            code(&one, &[3; 32], &[5; 16]),
        ] {
            assert_ne!(changed, number);
        }
    }

    #[test]
    fn cut_or_longer_letters_are_none_lnk_2() {
        let request = LinkRequest {
            device_ed25519: [1; 32],
            seal_key: vec![2; SEAL_KEY_SIZE],
            name: "Laptop".into(),
        };
        let challenge = Challenge {
            ed25519: [1; 32],
            mldsa_hash: [2; 32],
            nonce: [3; 16],
            signature: [4; 64],
        };
        let grant = Grant {
            name: "Ana".into(),
            device_log: DeviceLog::default(),
            relays: vec![],
            package: vec![5; 100],
            home_name: "Phone".into(),
            signature: [6; 64],
        };
        let sealed = GrantSealed {
            kem_output: vec![7; 1120],
            ciphertext: vec![8; 300],
        };
        assert_eq!(LinkRequest::decode(&request.encode()), Ok(request.clone()));
        assert_eq!(Challenge::decode(&challenge.encode()), Ok(challenge.clone()));
        assert_eq!(Grant::decode(&grant.encode()), Ok(grant.clone()));
        assert_eq!(GrantSealed::decode(&sealed.encode()), Ok(sealed.clone()));
        let letters = [request.encode(), challenge.encode(), grant.encode(), sealed.encode()];
        for (which, letter) in letters.iter().enumerate() {
            let longer = [letter.as_slice(), &[0]].concat();
            for bytes in [&letter[..letter.len() - 1], longer.as_slice(), &[], &[2]] {
                let all = [
                    LinkRequest::decode(bytes).is_err(),
                    Challenge::decode(bytes).is_err(),
                    Grant::decode(bytes).is_err(),
                    GrantSealed::decode(bytes).is_err(),
                ];
                assert!(all[which], "{which}");
            }
        }
    }
}
