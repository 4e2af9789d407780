//! A group's picture: a small JPEG whose hash stands in the group's state.
//!
//! In: a file of the person, or a stranger's bytes. Out: the picture without anything else, its hash.
//! Specified in `docs/protocol/12-groups.md` (GRP-20, GRP-21).

use alloc::vec::Vec;

use crate::codec::DecodeError;
use crate::jpeg;
use crate::kdf::sha256;

/// Longest picture of a group, in bytes (GRP-20).
pub const PICTURE_BYTES_MAX: usize = 61_440;

/// What stands in the state for it (GRP-20).
pub fn hash(bytes: &[u8]) -> [u8; 32] {
    sha256(&[bytes])
}

/// Checks a picture. Errors: too long, no photo (CON-15).
pub fn check(bytes: &[u8]) -> Result<(), DecodeError> {
    if bytes.len() > PICTURE_BYTES_MAX {
        return Err(DecodeError::Limit("picture"));
    }
    jpeg::check(bytes).map(|_measures| ())
}

/// The picture alone, of a file that may hold more. Errors: as [`check`].
pub fn bare(file: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let bare = jpeg::bare(file)?;
    check(&bare)?;
    Ok(bare)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jpeg::samples::{photo, with};

    #[test]
    fn a_picture_is_a_photo_of_at_most_60_kb_grp_20() {
        let empty = photo(8, 8, 0).len();
        let most = photo(8, 8, PICTURE_BYTES_MAX - empty);
        assert_eq!((most.len(), check(&most)), (PICTURE_BYTES_MAX, Ok(())));
        let more = photo(8, 8, PICTURE_BYTES_MAX - empty + 1);
        assert_eq!(check(&more), Err(DecodeError::Limit("picture")));
        assert_eq!(bare(&more), Err(DecodeError::Limit("picture")));
        let telling = with(&[(0xe1, b"Exif\0\0GPS 59.93 N")]);
        assert_eq!(check(&telling), Err(DecodeError::Value("more than a picture")));
        assert_eq!(bare(&telling), Ok(with(&[])));
        assert_eq!(check(b"GIF89a"), Err(DecodeError::Value("jpeg")));
    }
}
