//! What the Welcomes of one commit have in common, put once in a mailbox of its own instead of in each of them.
//!
//! In: a fresh secret and those bytes, or what an invitation says of them. Out: mailbox and key, whether bytes are the
//! ones that were meant, the question of whoever lacks them. Specified in `docs/protocol/12-groups.md` (GRP-15, GRP-16).

use core::fmt;

use alloc::vec::Vec;
use zeroize::Zeroize;

use crate::codec::{DecodeError, Reader, Write};
use crate::envelope::EnvelopeKey;
use crate::group::WELCOME_BYTES_MAX;
use crate::ids::Token;
use crate::kdf::{hkdf_expand, hmac, sha256};

/// A common part up to this long stands in each Welcome: with it the message still fits one envelope (GRP-15).
pub const INSIDE_BYTES_MAX: usize = 24_000;

/// Where the common part lies, and which it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Apart {
    /// 32 fresh bytes: mailbox and key come from them.
    pub secret: [u8; 32],
    /// SHA-256 of the part.
    pub hash: [u8; 32],
    /// How many bytes it has.
    pub length: u32,
}

impl Apart {
    /// For these bytes, under a fresh secret.
    pub fn of(secret: [u8; 32], bytes: &[u8]) -> Self {
        Self {
            secret,
            hash: sha256(&[bytes]),
            length: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        }
    }

    /// Whether these bytes are the ones that were meant.
    pub fn fits(&self, bytes: &[u8]) -> bool {
        usize::try_from(self.length) == Ok(bytes.len()) && sha256(&[bytes]) == self.hash
    }

    /// Where it is put: HMAC-SHA-256(secret, "apart").
    pub fn token(&self) -> Token {
        Token::from_bytes(hmac(&self.secret, &[b"apart"]))
    }

    /// What it is sealed with: HKDF-SHA-256-Expand(secret, "apart", 32).
    pub fn key(&self) -> EnvelopeKey {
        EnvelopeKey::new(hkdf_expand(&self.secret, &[b"apart"]))
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.put(&self.secret);
        out.put(&self.hash);
        out.put(&self.length.to_be_bytes());
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let apart = Self {
            secret: reader.array()?,
            hash: reader.array()?,
            length: reader.u32()?,
        };
        match usize::try_from(apart.length) {
            Ok(length) if (1..=WELCOME_BYTES_MAX).contains(&length) => Ok(apart),
            _none_or_too_long => Err(DecodeError::Limit("common part")),
        }
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl fmt::Debug for Apart {
    /// No secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Apart({} bytes)", self.length)
    }
}

/// The body of a message of kind *lacking*: the hash of a common part that has not come (GRP-16).
pub const fn encode_lacking(hash: &[u8; 32]) -> &[u8] {
    hash
}

/// Reads it. Errors: any other length.
pub fn decode_lacking(bytes: &[u8]) -> Result<[u8; 32], DecodeError> {
    let mut reader = Reader::new(bytes);
    let hash = reader.array()?;
    reader.end()?;
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::format;

    #[test]
    fn the_hash_binds_the_common_part_and_the_secret_says_where_it_lies_grp_15() {
        let apart = Apart::of([7; 32], b"common");
        assert!(apart.fits(b"common"));
        assert!(!apart.fits(b"cannot"));
        assert!(!apart.fits(b"common "));
        assert_ne!(apart.token().tag(), Apart::of([8; 32], b"common").token().tag());
        assert_eq!(format!("{apart:?}"), "Apart(6 bytes)");
    }

    #[test]
    fn a_common_part_has_an_end_grp_15() {
        for (length, fits) in [
            (0, false),
            (1, true),
            (WELCOME_BYTES_MAX, true),
            (WELCOME_BYTES_MAX + 1, false),
        ] {
            let mut bytes = Vec::new();
            let length = u32::try_from(length).unwrap();
            let mut apart = Apart::of([1; 32], b"x");
            apart.length = length;
            apart.write(&mut bytes);
            assert_eq!(Apart::read(&mut Reader::new(&bytes)).is_ok(), fits, "{length}");
        }
    }

    #[test]
    fn who_lacks_it_says_its_hash_and_nothing_besides_grp_16() {
        assert_eq!(decode_lacking(encode_lacking(&[5; 32])), Ok([5; 32]));
        assert_eq!(decode_lacking(&[5; 31]), Err(DecodeError::Short));
        assert_eq!(decode_lacking(&[5; 33]), Err(DecodeError::Trailing));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_err_grp_15(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Apart::read(&mut Reader::new(&bytes));
            let _ = decode_lacking(&bytes);
        }
    }
}
