//! A place beside a text: where somebody or something is.
//!
//! In: CBOR, or coordinates. Out: the other. Nothing is looked up for it. Specified in `docs/protocol/13-content.md` (CON-26).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::cbor;
use crate::codec::{DecodeError, Reader};

/// Steps of one degree.
pub const STEPS: i32 = 100_000;
/// Greatest latitude, in steps north or south.
pub const LAT_MAX: i32 = 90 * STEPS;
/// Greatest longitude, in steps east or west.
pub const LON_MAX: i32 = 180 * STEPS;
/// Greatest accuracy, in metres.
pub const ACCURACY_MAX: u32 = 1_000_000;
/// Most bytes of a label.
pub const LABEL_BYTES_MAX: usize = 200;

/// Where somebody or something is, in steps of 1/100,000 of a degree: about a metre (CON-26).
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    /// North of the equator; below 0: south.
    pub lat: i32,
    /// East of Greenwich; below 0: west.
    pub lon: i32,
    /// Within so many metres; 0: not said.
    pub accuracy_m: u32,
    /// What it is called; may be empty.
    pub label: String,
}

impl Place {
    /// Checks one. Errors: out of the limits; a label with control characters.
    pub fn of(lat: i32, lon: i32, accuracy_m: u32, label: String) -> Result<Self, DecodeError> {
        let inside = lat.unsigned_abs() <= LAT_MAX.unsigned_abs() && lon.unsigned_abs() <= LON_MAX.unsigned_abs();
        if !inside || accuracy_m > ACCURACY_MAX {
            return Err(DecodeError::Limit("place"));
        }
        if label.len() > LABEL_BYTES_MAX {
            return Err(DecodeError::Limit("label"));
        }
        if label.chars().any(char::is_control) {
            return Err(DecodeError::Value("label"));
        }
        Ok(Self {
            lat,
            lon,
            accuracy_m,
            label,
        })
    }

    /// Array of 4: latitude from the south pole, longitude from 180 degrees west, accuracy, label.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        cbor::put_array(out, 4);
        cbor::put_number(out, above(self.lat, LAT_MAX));
        cbor::put_number(out, above(self.lon, LON_MAX));
        cbor::put_number(out, usize::try_from(self.accuracy_m).unwrap_or(usize::MAX));
        cbor::put_text(out, &self.label);
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if cbor::array(reader, 4)? != 4 {
            return Err(DecodeError::Value("place"));
        }
        let lat = below(reader, LAT_MAX)?;
        let lon = below(reader, LON_MAX)?;
        let most = usize::try_from(ACCURACY_MAX).unwrap_or(usize::MAX);
        let accuracy_m = u32::try_from(cbor::number(reader, most)?).unwrap_or(0);
        Self::of(lat, lon, accuracy_m, String::from(cbor::text(reader, LABEL_BYTES_MAX)?))
    }

    /// By itself, as core keeps it.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.put(&mut out);
        out
    }

    /// The opposite of [`Place::encode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let place = Self::take(&mut reader)?;
        reader.end()?;
        Ok(place)
    }
}

impl fmt::Debug for Place {
    /// Where is nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Place(..)")
    }
}

fn above(steps: i32, most: i32) -> usize {
    usize::try_from(steps.saturating_add(most)).unwrap_or(0)
}

fn below(reader: &mut Reader<'_>, most: i32) -> Result<i32, DecodeError> {
    let limit = usize::try_from(most.saturating_mul(2)).unwrap_or(usize::MAX);
    let steps = i32::try_from(cbor::number(reader, limit)?).unwrap_or(i32::MAX);
    Ok(steps.saturating_sub(most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::post::Post;
    use proptest::prelude::*;

    #[test]
    fn a_place_is_on_this_earth_con_26() {
        let corner = |lat, lon, accuracy| Place::of(lat, lon, accuracy, "pole".into());
        for (lat, lon) in [
            (LAT_MAX, LON_MAX),
            (-LAT_MAX, -LON_MAX),
            (0, 0),
            (-3_344_556, 15_111_223),
        ] {
            let place = corner(lat, lon, 12).unwrap();
            assert_eq!(Place::decode(&place.encode()), Ok(place));
        }
        assert!(corner(LAT_MAX + 1, 0, 0).is_err());
        assert!(corner(0, -LON_MAX - 1, 0).is_err());
        assert!(corner(i32::MIN, i32::MIN, 0).is_err());
        assert!(corner(0, 0, ACCURACY_MAX + 1).is_err());
        let labelled = |label: &str| Place::of(0, 0, 0, label.into());
        assert!(labelled(&"l".repeat(LABEL_BYTES_MAX)).is_ok());
        assert!(labelled(&"l".repeat(LABEL_BYTES_MAX + 1)).is_err());
        assert!(labelled("a\nb").is_err());
    }

    #[test]
    fn beside_a_text_stands_one_thing_con_26() {
        let place = Place::of(1, 2, 3, "here".into()).unwrap();
        let post = Post {
            place: Some(place),
            ..Post::default()
        };
        assert_eq!(Post::decode(&post.encode()), Ok(post.clone()));
        let card = crate::introduce::Person {
            ed25519: [1; 32],
            mldsa_hash: [2; 32],
            name: "Bo".into(),
        };
        let both = Post {
            card: Some(card.clone()),
            ..post
        };
        let error = DecodeError::Value("two things beside a text");
        assert_eq!(Post::decode(&both.encode()), Err(error));
        // proves: CON-25
        let alone = Post {
            card: Some(card),
            ..Post::default()
        };
        assert_eq!(Post::decode(&alone.encode()), Ok(alone));
    }

    proptest! {
        #[test]
        fn every_place_reads_back_con_26(lat in -LAT_MAX..=LAT_MAX, lon in -LON_MAX..=LON_MAX, accuracy in 0..=ACCURACY_MAX,
                                         label in "[a-zа-я ]{0,40}") {
            let place = Place::of(lat, lon, accuracy, label).unwrap();
            prop_assert_eq!(Place::decode(&place.encode()), Ok(place));
        }

        #[test]
        fn what_reads_is_written_so_again_con_26(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(place) = Place::decode(&bytes) {
                prop_assert_eq!(place.encode(), bytes);
            }
        }
    }
}
