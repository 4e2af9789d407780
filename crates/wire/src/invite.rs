//! Invite links: the few bytes with which somebody finds, and proves to have been invited by, somebody else.
//!
//! In: a link or code as pasted or scanned. Out: where to knock and everything derived from its secret: the door's
//! path and proof, keys and mailboxes of card, claim and answer. Fetching and checking the card is core's job.
//! Specified in `docs/protocol/04-meeting.md` (INV).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::address::{self, Around, PLACES_MAX};
use crate::codec::{DecodeError, Reader, Write, from_base64, to_base64};
use crate::envelope::EnvelopeKey;
use crate::ids::{AccountId, DoorPath, Token};
use crate::kdf::{first, hkdf, hmac, sha256};
use crate::route::read_address;

/// What an invite's code begins with.
pub const INVITE_PREFIX: &str = "stone:i";
/// Role of the contact card behind the door.
pub const ROLE_CARD: &[u8] = b"card";
/// Role of a hand behind a public invitation's door.
pub const ROLE_HAND: &[u8] = b"hand";
/// Role of the claim that answers it.
pub const ROLE_CLAIM: &[u8] = b"claim";
/// Most hints of one code (INV-2).
pub const HINTS_MAX: usize = 3;
/// Longest text that is looked at, in bytes.
pub const LINK_TEXT_MAX: usize = 4096;
const VERSION: u8 = 1;
const CHECK: usize = 4;

/// What makes an invite: 20 random bytes. Never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct InviteSecret([u8; 20]);

impl InviteSecret {
    /// Wraps 20 random bytes.
    pub const fn from_bytes(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// The bytes, for the link and for the invite's own row.
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }

    /// Where the door stands: HMAC(secret, "path")[..12] (INV-4).
    pub fn path(&self) -> DoorPath {
        DoorPath::from_bytes(first(&hmac(&self.0, &[b"path"])))
    }

    /// What opens the door: HMAC(secret, "door")[..16] (INV-4).
    pub fn proof(&self) -> [u8; 16] {
        first(&hmac(&self.0, &[b"door"]))
    }

    /// What the relay is told of the proof: its SHA-256 (INV-4).
    pub fn proof_hash(&self) -> [u8; 32] {
        proof_hash(&self.proof())
    }

    /// What the envelopes of a role are sealed with: HKDF(secret, role) (INV-5).
    pub fn key(&self, role: &[u8]) -> EnvelopeKey {
        EnvelopeKey::new(hkdf(&self.0, &[role]))
    }

    /// The mailbox of a role: HMAC(secret, role) (INV-5).
    pub fn token(&self, role: &[u8]) -> Token {
        Token::from_bytes(hmac(&self.0, &[role]))
    }
}

impl fmt::Debug for InviteSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InviteSecret(..)")
    }
}

/// What a relay keeps of a door's proof: SHA-256(proof) (INV-4).
pub fn proof_hash(proof: &[u8; 16]) -> [u8; 32] {
    sha256(&[proof])
}

/// Role of the answer to one claim: "answer" | SHA-256(claim as sealed) (INV-5).
pub fn answer_role(claim_hash: [u8; 32]) -> Vec<u8> {
    let mut role = Vec::from(*b"answer");
    role.put(&claim_hash);
    role
}

/// What ties a link to the account that made it: SHA-256("stonechat/pin" | secret | account id)[..16] (INV-3).
pub fn account_pin(secret: &InviteSecret, account: AccountId) -> [u8; 16] {
    first(&sha256(&[b"stonechat/pin", &secret.0, account.as_bytes()]))
}

/// An invite as it is handed over.
#[derive(Clone, PartialEq, Eq)]
pub struct InviteLink {
    /// Where to knock, an address (RTE-5) each; one in a link, up to [`HINTS_MAX`] in a code.
    pub hints: Vec<String>,
    /// The secret everything derives from.
    pub secret: InviteSecret,
    /// Whose card must be behind the door: [`account_pin`].
    pub pin: [u8; 16],
    /// Day since 1970, rounded up, after which it is expired. Only for words; the card decides.
    pub expiry_day: u16,
}

impl fmt::Debug for InviteLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InviteLink({} hints, day {})", self.hints.len(), self.expiry_day)
    }
}

/// Why a text is no invite. The person who pasted it reads the difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// Something else altogether.
    #[error("this is not an invitation")]
    NotALink,
    /// It begins as an invite and is cut or mistyped.
    #[error("this invitation is broken; copy all of it again")]
    Broken,
    /// Made by a newer Stonechat.
    #[error("this invitation needs a newer Stonechat")]
    Newer,
    /// A relay's route where an invite belongs.
    #[error("this is a relay route, not an invitation")]
    IsRoute,
}

impl InviteLink {
    /// `http://HOST:PORT/PATH#FRAGMENT` with the first hint (`https://` where that says so); at most 120 characters for
    /// hosts up to 35, and ten more for each further IPv4 place (INV-1). Where that is a drop or an obfs4 bridge it is the code: no
    /// browser has business there (DRP-7, PRX-5).
    pub fn to_url(&self) -> String {
        let hint = self.hints.first().map_or("", String::as_str);
        if address::is_drop(hint) || address::is_bridge(hint) {
            return self.to_code();
        }
        let (scheme, place) = match address::split(hint) {
            (Around::Plain, place) => ("http", place),
            (Around::Tls, place) => ("https", place),
        };
        let mut fragment = self.fragment();
        address::places(hint).for_each(|place| put_place(&mut fragment, place));
        format!(
            "{scheme}://{place}/{}#{}",
            self.secret.path().to_text(),
            to_base64(&fragment)
        )
    }

    /// `stone:i` and base64url of fragment | hints | check: the same invite for QR and files (INV-2).
    pub fn to_code(&self) -> String {
        let mut bytes = self.fragment();
        bytes.put_count(self.hints.len().min(HINTS_MAX));
        for hint in self.hints.iter().take(HINTS_MAX) {
            bytes.put_bytes(hint.as_bytes());
        }
        let check: [u8; CHECK] = first(&sha256(&[b"stonechat/invite", &bytes]));
        bytes.put(&check);
        format!("{INVITE_PREFIX}{}", to_base64(&bytes))
    }

    /// Finds the invite in what was pasted or scanned: the link or code alone, or the message it stood in (INV-6).
    pub fn parse(text: &str) -> Result<Self, LinkError> {
        if text.len() > LINK_TEXT_MAX {
            return Err(LinkError::NotALink);
        }
        let mut error = LinkError::NotALink;
        for word in text.split_whitespace() {
            let word = word.trim_matches(['<', '>', '"', '\'', '(', ')', ',', ';', '.']);
            match Self::parse_word(word) {
                Err(LinkError::NotALink) => {}
                Err(found) => error = found,
                Ok(link) => return Ok(link),
            }
        }
        Err(error)
    }

    fn parse_word(word: &str) -> Result<Self, LinkError> {
        if word.starts_with(crate::route::ROUTE_PREFIX) {
            return Err(LinkError::IsRoute);
        }
        if let Some(code) = word.strip_prefix(INVITE_PREFIX) {
            return Self::parse_code(code);
        }
        if let Some(rest) = word.strip_prefix("http://") {
            return Self::parse_url(rest, Around::Plain);
        }
        word.strip_prefix("https://")
            .map_or(Err(LinkError::NotALink), |rest| Self::parse_url(rest, Around::Tls))
    }

    fn parse_url(rest: &str, around: Around) -> Result<Self, LinkError> {
        let (place, fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let (authority, path) = place.split_once('/').ok_or(LinkError::NotALink)?;
        let path = DoorPath::from_text(path).ok_or(LinkError::NotALink)?;
        let bytes = read_base64(fragment)?;
        let mut reader = Reader::new(&bytes);
        let mut link = Self::read_fragment(&mut reader).map_err(|_| LinkError::Broken)?;
        let places = read_places(&mut reader).map_err(|_| LinkError::Broken)?;
        if path != link.secret.path() {
            return Err(LinkError::Broken);
        }
        let hint = match around {
            Around::Plain => address::with_port(authority, 80),
            Around::Tls => address::with_port(authority, 443).map(|place| address::inside_tls(&place)),
        };
        let hint = address::with_places(&hint.ok_or(LinkError::Broken)?, places.iter().copied());
        if !address::holds(&hint) || address::places(&hint).count() != places.len() {
            return Err(LinkError::Broken);
        }
        link.hints.push(hint);
        Ok(link)
    }

    fn parse_code(code: &str) -> Result<Self, LinkError> {
        let bytes = read_base64(code)?;
        let (body, check) = bytes.split_last_chunk::<CHECK>().ok_or(LinkError::Broken)?;
        if *check != first::<CHECK>(&sha256(&[b"stonechat/invite", body])) {
            return Err(LinkError::Broken);
        }
        let mut reader = Reader::new(body);
        let mut link = Self::read_fragment(&mut reader).map_err(|_| LinkError::Broken)?;
        link.hints = reader
            .list("hints", HINTS_MAX, read_address)
            .map_err(|_| LinkError::Broken)?;
        reader.end().map_err(|_| LinkError::Broken)?;
        if link.hints.is_empty() {
            Err(LinkError::Broken)
        } else {
            Ok(link)
        }
    }

    /// version 1 | secret 20 | pin 16 | expiry day 2.
    fn fragment(&self) -> Vec<u8> {
        let mut bytes = Vec::from([VERSION]);
        bytes.put(self.secret.as_bytes());
        bytes.put(&self.pin);
        bytes.put(&self.expiry_day.to_be_bytes());
        bytes
    }

    fn read_fragment(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if reader.u8()? != VERSION {
            return Err(DecodeError::Value("version"));
        }
        let secret = InviteSecret(reader.array()?);
        Ok(Self {
            hints: Vec::new(),
            secret,
            pin: reader.array()?,
            expiry_day: reader.u16()?,
        })
    }
}

/// 4 | IPv4 address 4 | port 2, or 6 | IPv6 address 16 | port 2.
fn put_place(bytes: &mut Vec<u8>, place: SocketAddr) {
    match place.ip() {
        IpAddr::V4(ip) => {
            bytes.put(&[4]);
            bytes.put(&ip.octets());
        }
        IpAddr::V6(ip) => {
            bytes.put(&[6]);
            bytes.put(&ip.octets());
        }
    }
    bytes.put(&place.port().to_be_bytes());
}

fn read_places(reader: &mut Reader<'_>) -> Result<Vec<SocketAddr>, DecodeError> {
    let mut places = Vec::new();
    while !reader.is_empty() && places.len() < PLACES_MAX {
        let ip = match reader.u8()? {
            4 => IpAddr::from(reader.array::<4>()?),
            6 => IpAddr::from(reader.array::<16>()?),
            _ => return Err(DecodeError::Value("place")),
        };
        let place = SocketAddr::new(ip, reader.u16()?);
        if place.port() == 0 || ip.is_unspecified() {
            return Err(DecodeError::Value("place"));
        }
        places.push(place);
    }
    reader.end()?;
    Ok(places)
}

/// Decodes base64url and tells a newer version from a broken one.
fn read_base64(text: &str) -> Result<Vec<u8>, LinkError> {
    let bytes = from_base64(text).ok_or(LinkError::Broken)?;
    match bytes.first() {
        Some(version) if *version > VERSION => Err(LinkError::Newer),
        _ => Ok(bytes),
    }
}

#[cfg(test)]
mod tests;
