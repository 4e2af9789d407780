//! Bundles: envelopes and doors in a file, for people who carry it where no network is.
//!
//! In: items. Out: the bytes of a file; and back. Specified in `docs/protocol/15-bundle.md` (BDL-*).
//! Invariant: a file that was cut short or changed gives no item at all.

use alloc::vec::Vec;

use sha2::{Digest, Sha256};

use crate::codec::{DecodeError, Reader, Write};
use crate::envelope::Envelope;
use crate::ids::DoorPath;

const VERSION: u8 = 1;
const END: u8 = 0;
const DOOR: u8 = 1;
const ENVELOPE: u8 = 2;
const HASH: usize = 32;

/// The longest bundle, in bytes.
pub const BUNDLE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Items of a bundle at most.
pub const ITEMS_MAX: usize = 65_536;
/// The longest item: a door's path, and the largest envelope.
const ITEM_BYTES_MAX: usize = DoorPath::SIZE + 32_768;

/// One thing in a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// What an invitation's door answers.
    Door {
        /// Which door.
        path: DoorPath,
        /// Its card, sealed.
        card: Envelope,
    },
    /// What lies in a mailbox.
    Envelope(Envelope),
}

impl Item {
    /// Appends it: kind 1 | length 4 | content.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (kind, path, envelope) = match self {
            Self::Door { path, card } => (DOOR, path.as_bytes().as_slice(), card),
            Self::Envelope(envelope) => (ENVELOPE, &[][..], envelope),
        };
        out.put(&[kind]);
        out.put_bytes(&[path, envelope.bytes()].concat());
    }

    fn decode(kind: u8, content: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(content);
        let path = match kind {
            DOOR => Some(DoorPath::from_bytes(reader.array()?)),
            ENVELOPE => None,
            _ => return Err(DecodeError::Value("kind of item")),
        };
        let envelope = Envelope::decode(reader.rest().to_vec()).map_err(|_| DecodeError::Value("envelope"))?;
        Ok(match path {
            Some(path) => Self::Door { path, card: envelope },
            None => Self::Envelope(envelope),
        })
    }
}

/// Reads items that stand one after the other: a page of a bundle. Errors: anything else in it.
pub fn decode_items(bytes: &[u8]) -> Result<Vec<Item>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let mut items = Vec::new();
    while !reader.rest().is_empty() {
        if items.len() >= ITEMS_MAX {
            return Err(DecodeError::Limit("items"));
        }
        items.push(item(&mut reader)?);
    }
    Ok(items)
}

fn item(reader: &mut Reader<'_>) -> Result<Item, DecodeError> {
    let kind = reader.u8()?;
    Item::decode(kind, reader.bytes("item", ITEM_BYTES_MAX)?)
}

/// A whole bundle of encoded items. Nothing where it would be longer than [`BUNDLE_BYTES_MAX`].
#[must_use]
pub fn seal_file(items: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(items.len().checked_add(HASH + 2)?);
    out.put(&[VERSION]);
    out.put(items);
    out.put(&[END]);
    let hash = Sha256::digest(&out);
    out.put(&hash);
    (out.len() <= BUNDLE_BYTES_MAX).then_some(out)
}

/// The encoded items of a whole bundle, each checked to be one. Errors: it is cut short, changed, or no bundle.
pub fn open_file(bytes: &[u8]) -> Result<&[u8], DecodeError> {
    if bytes.len() > BUNDLE_BYTES_MAX {
        return Err(DecodeError::Limit("bundle"));
    }
    let (body, hash) = bytes.split_last_chunk::<HASH>().ok_or(DecodeError::Short)?;
    match body.first() {
        Some(&VERSION) => {}
        Some(&other) => return Err(DecodeError::Version(other)),
        None => return Err(DecodeError::Short),
    }
    if Sha256::digest(body).as_slice() != hash {
        return Err(DecodeError::Value("bundle"));
    }
    let items = match body.split_last() {
        Some((&END, rest)) => rest.get(1..).ok_or(DecodeError::Short)?,
        _ => return Err(DecodeError::Value("end of bundle")),
    };
    decode_items(items).map(|_| items)
}

/// Cuts encoded items into pages of at most `page` bytes, and one item more. Errors: as [`decode_items`].
pub fn pages(mut items: &[u8], page: usize) -> Result<Vec<&[u8]>, DecodeError> {
    let mut pages = Vec::new();
    while !items.is_empty() {
        let mut reader = Reader::new(items);
        while !reader.rest().is_empty() && items.len().saturating_sub(reader.rest().len()) < page {
            item(&mut reader)?;
        }
        let (head, rest) = items
            .split_at_checked(items.len().saturating_sub(reader.rest().len()))
            .ok_or(DecodeError::Short)?;
        pages.push(head);
        items = rest;
    }
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{EnvelopeKey, seal};
    use crate::ids::Tag;
    use proptest::prelude::*;

    fn envelope(fill: u8, length: usize) -> Envelope {
        let content = alloc::vec![fill; length];
        seal(
            &EnvelopeKey::new([1; 32]),
            Tag::from_bytes([fill; 16]),
            [2; 16],
            &content,
        )
        .unwrap()
    }

    fn some_items(sizes: &[(u8, usize)]) -> (Vec<Item>, Vec<u8>) {
        let items: Vec<Item> = sizes
            .iter()
            .map(|(fill, length)| match fill % 2 {
                0 => Item::Envelope(envelope(*fill, *length)),
                _ => Item::Door {
                    path: DoorPath::from_bytes([*fill; 12]),
                    card: envelope(*fill, *length),
                },
            })
            .collect();
        let mut bytes = Vec::new();
        items.iter().for_each(|item| item.encode(&mut bytes));
        (items, bytes)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_goes_into_a_bundle_comes_out_bdl_1(
            sizes in proptest::collection::vec((any::<u8>(), 0usize..5_000), 0..12),
            page in 1usize..20_000,
        ) {
            let (items, bytes) = some_items(&sizes);
            let file = seal_file(&bytes).unwrap();
            prop_assert_eq!(open_file(&file), Ok(bytes.as_slice()));
            prop_assert_eq!(decode_items(&bytes), Ok(items));
            let pages = pages(&bytes, page).unwrap();
            prop_assert_eq!(pages.concat(), bytes.as_slice());
            // proves: BDL-4
            for one in pages {
                prop_assert!(one.len() < page + ITEM_BYTES_MAX + 5);
                prop_assert!(decode_items(one).is_ok());
            }
        }

        #[test]
        fn a_bundle_cut_short_or_changed_gives_nothing_bdl_1(at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let (_, bytes) = some_items(&[(2, 100), (3, 900)]);
            let file = seal_file(&bytes).unwrap();
            let at = at.index(file.len());
            prop_assert!(open_file(&file[..at]).is_err());
            let mut bent = file.clone();
            bent[at] ^= 1 << bit;
            prop_assert!(open_file(&bent).is_err());
        }
    }

    #[test]
    fn what_a_bundle_may_not_hold_is_refused_by_name_bdl_1() {
        let with = |items: &[u8]| open_file(&seal_file(items).unwrap()).map(<[u8]>::len);
        assert_eq!(with(&[]), Ok(0));
        assert_eq!(with(&[9, 0, 0, 0, 0]), Err(DecodeError::Value("kind of item")));
        assert_eq!(with(&[ENVELOPE, 0, 0, 0, 1, 7]), Err(DecodeError::Value("envelope")));
        assert_eq!(with(&[DOOR, 0, 0, 0, 1, 7]), Err(DecodeError::Short));
        assert_eq!(with(&[ENVELOPE, 0, 1, 0, 0]), Err(DecodeError::Limit("item")));
        let (_, bytes) = some_items(&[(2, 0)]);
        assert_eq!(with(&bytes.repeat(ITEMS_MAX + 1)), Err(DecodeError::Limit("items")));
        assert_eq!(seal_file(&alloc::vec![0; BUNDLE_BYTES_MAX]), None);
        let mut newer = seal_file(&[]).unwrap();
        newer[0] = 2;
        assert_eq!(open_file(&newer), Err(DecodeError::Version(2)));
        assert_eq!(open_file(&[]), Err(DecodeError::Short));
    }
}
