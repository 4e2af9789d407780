//! Ids and quantities that cross a border: fixed-size bytes with one meaning each.
//!
//! In: bytes. Out: types that do not mix. None of them prints its content: two bytes, enough to follow one through
//! a log. Making ids (hashing, deriving) is the job of the module that owns the rule.

use alloc::vec::Vec;
use core::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::kdf::sha256;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $size:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $size]);

        impl $name {
            /// Length in bytes.
            pub const SIZE: usize = $size;

            /// Wraps bytes as they are.
            pub const fn from_bytes(bytes: [u8; $size]) -> Self {
                Self(bytes)
            }

            /// The id a slice holds, or nothing when its length is another.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                Some(Self(bytes.try_into().ok()?))
            }

            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; $size] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            /// Two bytes: enough to follow one through a log.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let [a, b, ..] = self.0;
                write!(f, concat!(stringify!($name), "({:02x}{:02x}..)"), a, b)
            }
        }

        impl From<[u8; $size]> for $name {
            fn from(bytes: [u8; $size]) -> Self {
                Self(bytes)
            }
        }
    };
}

id!(
    /// Address where envelopes wait: random-looking to whoever stores them (MBX-1).
    Tag,
    16
);
id!(
    /// SHA-256 of an envelope's bytes; carriers dedupe by it (ENV-9).
    EnvelopeId,
    32
);
id!(
    /// Stands for a blob's size and every chunk of it (BLB-1).
    BlobId,
    32
);
id!(
    /// SHA-256 of an MLS group context, shortened: names one epoch of one branch.
    EpochId,
    16
);
id!(
    /// Names one message for good, however often it is encrypted again (MSG-5).
    MessageId,
    16
);
id!(
    /// A person's account: commits to both signature keys (CARD-2).
    AccountId,
    32
);
id!(
    /// One device of an account.
    DeviceId,
    8
);
id!(
    /// Hash of a relay's static keys: what a route pins (RTE-2).
    RelayId,
    16
);
id!(
    /// Where an invite's door stands on its relay (INV-4).
    DoorPath,
    12
);

impl MessageId {
    /// The first eight bytes: how a message names its parents (MSG-2).
    pub const fn short(&self) -> [u8; 8] {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        [a, b, c, d, e, f, g, h]
    }
}

impl DoorPath {
    /// As it stands in a link: 16 characters of base64url.
    pub fn to_text(&self) -> alloc::string::String {
        crate::codec::to_base64(&self.0)
    }

    /// Reads the 16 characters of a link or of a request line.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::from_slice(&crate::codec::from_base64(text)?)
    }
}

/// The right to put into one mailbox; whoever only knows the tag may read, not put (MBX-2). Never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Token([u8; 32]);

impl Token {
    /// Wraps 32 secret bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The secret bytes, for the frame that shows them to a relay.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The mailbox this token opens: SHA-256("mbx" | token)[..16] (MBX-1).
    pub fn tag(&self) -> Tag {
        let mut bytes = Vec::with_capacity(35);
        bytes.extend_from_slice(b"mbx");
        bytes.extend_from_slice(&self.0);
        let hash = sha256(&[&bytes]);
        bytes.zeroize();
        Tag(crate::kdf::first(&hash))
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}
impl Eq for Token {}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// What replaces a door and takes it down again; chosen by whoever sets it up (RLY-8). Never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct DoorKey([u8; 16]);

impl DoorKey {
    /// Wraps 16 secret bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The secret bytes, for the frame that shows them to a relay.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// What a relay keeps of it: its SHA-256.
    pub fn hash(&self) -> [u8; 32] {
        sha256(&[&self.0])
    }
}

impl PartialEq for DoorKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}
impl Eq for DoorKey {}

impl fmt::Debug for DoorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DoorKey(..)")
    }
}

impl EnvelopeId {
    /// The id of an envelope's bytes: their SHA-256 (ENV-9).
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha256(&[bytes]))
    }
}

/// Milliseconds since 1970, UTC. Whose clock it is, the field's name says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// From whole seconds since 1970.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Whole seconds since 1970, rounded down.
    pub const fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// Later by `ms`; stops at the end of time.
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Earlier by `ms`; stops at 1970.
    pub const fn minus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_sub(ms))
    }

    /// How long after `earlier` this is, in ms; 0 if it is not.
    pub const fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    // proves: MBX-2
    #[test]
    fn secrets_and_ids_do_not_print_mbx_2() {
        assert_eq!(format!("{:?}", Token::from_bytes([0x41; 32])), "Token(..)");
        assert_eq!(format!("{:?}", DoorKey::from_bytes([0x41; 16])), "DoorKey(..)");
        assert_eq!(format!("{:?}", Tag::from_bytes([0x41; 16])), "Tag(4141..)");
    }

    #[test]
    fn timestamps_stop_at_their_ends() {
        assert_eq!(Timestamp(5).minus_ms(9), Timestamp(0));
        assert_eq!(Timestamp(u64::MAX).plus_ms(9), Timestamp(u64::MAX));
        assert_eq!(Timestamp::from_seconds(3).seconds(), 3);
        assert_eq!(Timestamp(9).since_ms(Timestamp(5)), 4);
        assert_eq!(Timestamp(5).since_ms(Timestamp(9)), 0);
    }

    #[test]
    fn door_path_reads_back_from_its_text() {
        let path = DoorPath::from_bytes(*b"abcdefghijkl");
        assert_eq!(path.to_text().len(), 16);
        assert_eq!(DoorPath::from_text(&path.to_text()), Some(path));
        assert_eq!(DoorPath::from_text("short"), None);
    }
}
