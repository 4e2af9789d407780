//! OpenMLS's rows, half as long: bytes that CBOR writes as an array of numbers, written as bytes.
//!
//! In: CBOR as `ciborium` writes it. Out: one byte that says how, and the same items, where an array of numbers below 256 is
//! a byte string behind a tag. Back again, byte for byte. Nothing is compressed: most of it is keys, and what is left as it
//! is has no length that talks. A private format of the database, not of the wire.
//! Invariant: what cannot be packed is kept as it is, so packing never fails; what does not unpack is damage.

use zeroize::{Zeroize, Zeroizing};

const AS_IT_IS: u8 = 0;
const PACKED: u8 = 1;
/// A tag that nobody else uses (CBOR, RFC 8949: tag 6 is not assigned).
const BYTES: u8 = 0xc6;
/// Shorter arrays are left alone: the tag would eat what is saved.
const SHORTEST: usize = 4;

const UNSIGNED: u8 = 0;
const BYTE_STRING: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const TAG: u8 = 6;
const SIMPLE: u8 = 7;

/// One item's head, or a whole item where it holds no others.
struct Token {
    major: u8,
    value: u64,
    /// Of the head.
    head: usize,
    /// Of all of it.
    len: usize,
}

/// The shorter form of a row. The argument is wiped.
pub(super) fn pack(mut cbor: Vec<u8>) -> Vec<u8> {
    let mut row = Vec::with_capacity(cbor.len() + 1);
    row.push(PACKED);
    if pack_items(&cbor, &mut row).is_none() {
        row.zeroize();
        row.push(AS_IT_IS);
        row.extend_from_slice(&cbor);
    }
    cbor.zeroize();
    row
}

/// The row as OpenMLS wrote it; nothing where that is damaged.
pub(super) fn unpack(row: &[u8]) -> Option<Vec<u8>> {
    let (how, rest) = row.split_first()?;
    match *how {
        AS_IT_IS => Some(rest.to_vec()),
        PACKED => expand(rest),
        _other => None,
    }
}

/// The length of the byte string that stands first, with its head; nothing where something else does.
pub(super) fn byte_string(row: &[u8]) -> Option<usize> {
    token(row)
        .filter(|token| token.major == BYTE_STRING)
        .map(|token| token.len)
}

/// The length of what stands first: a head, or an item that holds no others.
pub(super) fn item_len(row: &[u8]) -> Option<usize> {
    token(row).map(|token| token.len)
}

fn pack_items(cbor: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut at = 0;
    while at < cbor.len() {
        let rest = cbor.get(at..)?;
        let token = token(rest)?;
        if token.major == TAG {
            return None;
        }
        match bytes_in(rest, &token) {
            Some((bytes, len)) => {
                out.push(BYTES);
                put_head(out, BYTE_STRING, bytes.len());
                out.extend_from_slice(&bytes);
                at += len;
            }
            None => {
                out.extend_from_slice(rest.get(..token.len)?);
                at += token.len;
            }
        }
    }
    Some(())
}

/// The numbers of an array where all are below 256, and its length as it is written.
fn bytes_in(rest: &[u8], array: &Token) -> Option<(Zeroizing<Vec<u8>>, usize)> {
    let count = usize::try_from(array.value).ok()?;
    if array.major != ARRAY || count < SHORTEST || count > rest.len() {
        return None;
    }
    // As `ciborium` writes heads and numbers, and not otherwise: or what comes back would not be the same.
    let mut head = Vec::new();
    put_head(&mut head, ARRAY, count);
    if rest.get(..array.head)? != head {
        return None;
    }
    let (mut bytes, mut at) = (Zeroizing::new(Vec::with_capacity(count)), array.head);
    for _ in 0..count {
        let first = *rest.get(at)?;
        let (byte, len) = match first {
            0..24 => (first, 1),
            24 => (*rest.get(at + 1).filter(|byte| **byte >= 24)?, 2),
            _other => return None,
        };
        bytes.push(byte);
        at += len;
    }
    Some((bytes, at))
}

fn expand(packed: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(packed.len() * 2);
    let mut at = 0;
    while at < packed.len() {
        let rest = packed.get(at..)?;
        if rest.first() == Some(&BYTES) {
            let inner = rest.get(1..)?;
            let token = token(inner).filter(|token| token.major == BYTE_STRING)?;
            let bytes = inner.get(token.head..token.len)?;
            put_head(&mut out, ARRAY, bytes.len());
            for byte in bytes {
                if *byte >= 24 {
                    out.push(24);
                }
                out.push(*byte);
            }
            at += 1 + token.len;
        } else {
            let token = token(rest)?;
            out.extend_from_slice(rest.get(..token.len)?);
            at += token.len;
        }
    }
    Some(out)
}

fn token(rest: &[u8]) -> Option<Token> {
    let first = *rest.first()?;
    let (major, short) = (first >> 5, first & 0x1f);
    let more = match short {
        0..24 | 31 => 0,
        24 => 1,
        25 => 2,
        26 => 4,
        27 => 8,
        _reserved => return None,
    };
    let head = 1 + more;
    let value = match rest.get(1..head)? {
        [] => u64::from(short),
        bytes => bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)),
    };
    let endless = short == 31;
    let len = match major {
        // Strings of no given length are none of ciborium's.
        BYTE_STRING | TEXT if endless => return None,
        BYTE_STRING | TEXT => head.checked_add(usize::try_from(value).ok()?)?,
        UNSIGNED..=SIMPLE => head,
        _no_other => return None,
    };
    let value = if endless { 0 } else { value };
    (len <= rest.len()).then_some(Token {
        major,
        value,
        head,
        len,
    })
}

fn put_head(out: &mut Vec<u8>, major: u8, count: usize) {
    let (top, count) = (major << 5, count as u64);
    let bytes = count.to_be_bytes();
    let (short, skip) = match count {
        0..24 => {
            out.push(top | bytes[7]);
            return;
        }
        24..0x100 => (24, 7),
        0x100..0x1_0000 => (25, 6),
        0x1_0000..0x1_0000_0000 => (26, 4),
        _longer => (27, 0),
    };
    out.push(top | short);
    out.extend(bytes.iter().skip(skip));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Serialize;

    #[derive(Serialize)]
    struct Like {
        keys: Vec<Vec<u8>>,
        small: Vec<u8>,
        numbers: Vec<u64>,
        name: String,
        nothing: Option<u8>,
        pairs: std::collections::BTreeMap<u32, (bool, Vec<u8>)>,
    }

    fn cbor(value: &impl Serialize) -> Vec<u8> {
        let mut out = vec![];
        ciborium::into_writer(value, &mut out).unwrap();
        out
    }

    proptest! {
        #[test]
        fn rows_come_back_byte_for_byte_mls_10(
            keys in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 0..9),
            small in prop::collection::vec(any::<u8>(), 0..6),
            numbers in prop::collection::vec(0u64..600, 0..40),
            name in ".*",
            nothing in any::<Option<u8>>(),
            pairs in prop::collection::btree_map(any::<u32>(), (any::<bool>(), prop::collection::vec(any::<u8>(), 0..40)), 0..5),
        ) {
            let written = cbor(&Like { keys, small, numbers, name, nothing, pairs });
            prop_assert_eq!(unpack(&pack(written.clone())), Some(written));
        }

        #[test]
        fn whatever_lies_in_a_row_is_packed_or_left_alone_mls_10(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            prop_assert_eq!(unpack(&pack(bytes.clone())), Some(bytes.clone()));
            let _damaged = unpack(&bytes);
        }
    }

    #[test]
    fn keys_take_their_own_length_mls_10() {
        let key: Vec<u8> = (0..=255).collect();
        let written = cbor(&vec![key.clone(), key]);
        assert!(written.len() > 2 * 480);
        assert!(pack(written).len() <= 2 * 260 + 2);
    }
}
