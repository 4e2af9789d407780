//! A catch-up bundle: commits that follow one another, for whoever stayed behind, as one content of the commit lane.
//!
//! In: commits as they came. Out: bytes that no MLS message begins with, and the commits again. Whether a commit is good is
//! judged where it is taken in, as if it had come alone. Specified in `docs/protocol/07-conversation.md` (EPO-8).

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, Write};

/// Most commits of one bundle (EPO-8).
pub const COMMITS_MAX: usize = 64;
/// Most bytes of one bundle's commits together (EPO-8).
pub const COMMIT_BYTES_MAX: usize = 1 << 20;

/// An MLS message begins with 0.
const MARK: u8 = 0xff;
const VERSION: u8 = 1;

/// These bytes are a bundle, or nothing: a commit begins otherwise.
pub fn is_bundle(bytes: &[u8]) -> bool {
    bytes.first() == Some(&MARK)
}

/// mark 1 | version 1 | count 2 | (length 4 | commit) each.
pub fn encode_bundle(commits: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put(&[MARK, VERSION]);
    out.put_count(commits.len());
    for commit in commits {
        out.put_bytes(commit);
    }
    out
}

/// Reads it. Errors: another mark or version, fewer than two or too many commits, an empty one, too many bytes, bytes left over.
pub fn decode_bundle(bytes: &[u8]) -> Result<Vec<&[u8]>, DecodeError> {
    let mut reader = Reader::new(bytes);
    if reader.u8()? != MARK {
        return Err(DecodeError::Value("bundle"));
    }
    match reader.u8()? {
        VERSION => {}
        newer => return Err(DecodeError::Version(newer)),
    }
    let mut left = COMMIT_BYTES_MAX;
    let commits = reader.list("commits", COMMITS_MAX, |reader| {
        let commit = reader.bytes("commits", left)?;
        left = left.saturating_sub(commit.len());
        Ok(commit)
    })?;
    reader.end()?;
    if commits.len() < 2 || commits.iter().any(|commit| commit.is_empty()) {
        return Err(DecodeError::Value("bundle"));
    }
    Ok(commits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bundle_comes_back_as_it_was_epo_8(
            commits in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 2..=COMMITS_MAX)
        ) {
            let bytes = encode_bundle(&commits);
            prop_assert!(is_bundle(&bytes));
            prop_assert_eq!(decode_bundle(&bytes).unwrap(), commits);
        }

        #[test]
        fn whatever_comes_is_a_bundle_or_an_error_epo_8(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let with_head = [&[MARK, VERSION, 0], &bytes[..]].concat();
            for bytes in [bytes, with_head] {
                if let Ok(commits) = decode_bundle(&bytes) {
                    let commits: Vec<Vec<u8>> = commits.into_iter().map(<[u8]>::to_vec).collect();
                    prop_assert_eq!(encode_bundle(&commits), bytes);
                }
            }
        }
    }

    #[test]
    fn too_few_too_many_and_too_much_are_no_bundle_epo_8() {
        let of = |count: usize, len: usize| encode_bundle(&vec![vec![7; len]; count]);
        assert!(decode_bundle(&of(2, COMMIT_BYTES_MAX / 2)).is_ok());
        assert!(decode_bundle(&of(COMMITS_MAX, 9)).is_ok());
        assert_eq!(
            decode_bundle(&of(COMMITS_MAX + 1, 9)),
            Err(DecodeError::Limit("commits"))
        );
        assert_eq!(
            decode_bundle(&of(2, COMMIT_BYTES_MAX / 2 + 1)),
            Err(DecodeError::Limit("commits"))
        );
        for (count, len) in [(0, 9), (1, 9), (2, 0)] {
            assert_eq!(decode_bundle(&of(count, len)), Err(DecodeError::Value("bundle")));
        }
        let good = of(2, 9);
        assert_eq!(decode_bundle(&good[..good.len() - 1]), Err(DecodeError::Short));
        assert_eq!(decode_bundle(&[&good[..], &[0]].concat()), Err(DecodeError::Trailing));
        assert_eq!(decode_bundle(&[MARK, 2, 0, 2]), Err(DecodeError::Version(2)));
        assert!(!is_bundle(&[0, 1, 0, 2]), "an MLS message");
    }
}
