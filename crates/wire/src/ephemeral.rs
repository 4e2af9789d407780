//! Ephemeral signals (typing, recording, ringing): sealed once, forwarded to live readers, never stored.
//!
//! In: the exporter secret "stonechat/eph" of an epoch. Out: bytes that travel as the content of an envelope.
//! Specified in `docs/protocol/01-envelope.md` (EPH); no feature uses it yet.

use alloc::vec::Vec;
use core::fmt;

use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::codec::{Reader, Write};
use crate::envelope::OpenError;
use crate::kdf::hkdf_expand;

/// Longest signal, in bytes: with it a signal still fits a 256-byte envelope.
pub const SIGNAL_BYTES_MAX: usize = 160;
const MAC: usize = 16;

/// The exporter secret "stonechat/eph" of one epoch. Never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct EphemeralKey([u8; 32]);

impl EphemeralKey {
    /// Wraps the exporter's 32 bytes.
    pub const fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }
}

impl fmt::Debug for EphemeralKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EphemeralKey(..)")
    }
}

/// A signal that opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// The leaf it says it comes from; any member can claim it (EPH-2).
    pub leaf: u32,
    /// Its content.
    pub content: Vec<u8>,
}

/// Seals a signal: leaf 4 | random 16 | ciphertext | mac 16 (EPH-1). `random` must be fresh.
pub fn seal(key: &EphemeralKey, leaf: u32, random: [u8; 16], content: &[u8]) -> Option<Vec<u8>> {
    if content.len() > SIGNAL_BYTES_MAX {
        return None;
    }
    let (cipher, nonce) = cipher(key, leaf, &random);
    let mut sealed = content.to_vec();
    let mac = cipher.encrypt_in_place_detached(&nonce.into(), &[], &mut sealed).ok()?;
    let mut out = Vec::new();
    out.put(&leaf.to_be_bytes());
    out.put(&random);
    out.put(&sealed);
    out.put(&mac);
    Some(out)
}

/// Opens a signal. Errors: any doubt at all.
pub fn open(key: &EphemeralKey, bytes: &[u8]) -> Result<Signal, OpenError> {
    let mut reader = Reader::new(bytes);
    let leaf = reader.u32().map_err(|_| OpenError)?;
    let random = reader.array().map_err(|_| OpenError)?;
    let (sealed, mac) = reader.rest().split_last_chunk::<MAC>().ok_or(OpenError)?;
    if sealed.len() > SIGNAL_BYTES_MAX {
        return Err(OpenError);
    }
    let (cipher, nonce) = cipher(key, leaf, &random);
    let mut content = sealed.to_vec();
    cipher
        .decrypt_in_place_detached(&nonce.into(), &[], &mut content, mac.into())
        .map_err(|_| OpenError)?;
    Ok(Signal { leaf, content })
}

/// HKDF-Expand(secret, leaf | random, 44): key 32 | nonce 12 (EPH-1).
fn cipher(key: &EphemeralKey, leaf: u32, random: &[u8; 16]) -> (ChaCha20Poly1305, [u8; 12]) {
    let derived = Zeroizing::new(hkdf_expand::<44>(&key.0, &[&leaf.to_be_bytes(), random]));
    let (key, nonce) = derived.split_first_chunk::<32>().expect("44 is more than 32");
    (
        ChaCha20Poly1305::new(key.into()),
        nonce.try_into().expect("44 is 32 and 12"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_opens_only_whole_and_only_with_its_key_eph_1() {
        let key = EphemeralKey::new([3; 32]);
        let sealed = seal(&key, 5, [9; 16], b"typing").unwrap();
        assert_eq!(
            open(&key, &sealed),
            Ok(Signal {
                leaf: 5,
                content: b"typing".to_vec()
            })
        );
        for at in 0..sealed.len() {
            let mut broken = sealed.clone();
            broken[at] ^= 1;
            assert_eq!(open(&key, &broken), Err(OpenError));
            assert_eq!(open(&key, &sealed[..at]), Err(OpenError));
        }
        assert_eq!(open(&EphemeralKey::new([4; 32]), &sealed), Err(OpenError));
    }

    #[test]
    fn a_signal_fits_the_smallest_envelope_eph_2() {
        let longest = seal(&EphemeralKey::new([3; 32]), 5, [9; 16], &[0; SIGNAL_BYTES_MAX]).unwrap();
        assert!(longest.len() + crate::envelope::OVERHEAD <= 256);
        assert_eq!(
            seal(&EphemeralKey::new([3; 32]), 5, [9; 16], &[0; SIGNAL_BYTES_MAX + 1]),
            None
        );
    }
}
