//! The few derivations that the protocol's rules are made of: SHA-256, HMAC, HKDF.

use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

/// SHA-256 over the parts, one after another.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// HMAC-SHA-256 over the parts, one after another.
pub(crate) fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// HKDF-SHA-256 (extract without salt, expand with `info`): `N` bytes from a secret that is not uniform.
pub(crate) fn hkdf<const N: usize>(secret: &[u8], info: &[&[u8]]) -> [u8; N] {
    let mut out = [0; N];
    let short = Hkdf::<Sha256>::new(None, secret).expand_multi_info(info, &mut out);
    short.expect("N is far below 255 * 32");
    out
}

/// HKDF-SHA-256, expand only: `N` bytes from a 32-byte key that is already uniform.
pub(crate) fn hkdf_expand<const N: usize>(key: &[u8; 32], info: &[&[u8]]) -> [u8; N] {
    let mut out = [0; N];
    let prk = Hkdf::<Sha256>::from_prk(key).expect("32 bytes are enough for a PRK");
    prk.expand_multi_info(info, &mut out).expect("N is far below 255 * 32");
    out
}

/// The first `N` bytes of a hash.
pub(crate) fn first<const N: usize>(hash: &[u8; 32]) -> [u8; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(hash) {
        *to = *from;
    }
    out
}
