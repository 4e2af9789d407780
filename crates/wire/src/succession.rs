//! A way on for a group whose owners do not come back: who agrees that somebody becomes one.
//!
//! In: what a member signs, or what it says in the group. Out: the other. Who must agree is core's to judge (`roles`).
//! Specified in `docs/protocol/12-groups.md` (GRP-18, GRP-19).

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, Write};
use crate::ids::AccountId;

/// A consent as a commit carries it (GRP-18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consent {
    /// Whose it is.
    pub account: AccountId,
    /// The number in MLS of the epoch it was given in.
    pub number: u64,
    /// Ed25519 by a leaf of that account over [`consent_bytes`].
    pub signature: [u8; 64],
}

impl Consent {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.put(self.account.as_bytes());
        out.put(&self.number.to_be_bytes());
        out.put(&self.signature);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            account: AccountId::from_bytes(reader.array()?),
            number: u64::from_be_bytes(reader.array()?),
            signature: reader.array()?,
        })
    }
}

/// What a leaf signs to agree: "stonechat/succession/1" | group id | council 32 | number 8 | candidate 32.
///
/// `council`: SHA-256 over the owners and those who are asked, as core lists them: another list, another consent.
pub fn consent_bytes(group_id: &[u8], council: &[u8; 32], number: u64, candidate: AccountId) -> Vec<u8> {
    let mut out = Vec::from(*b"stonechat/succession/1");
    out.put(group_id);
    out.put(council);
    out.put(&number.to_be_bytes());
    out.put(candidate.as_bytes());
    out
}

/// The body of a message of kind *consent*: its sender agrees (GRP-19).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Who shall become an owner.
    pub candidate: AccountId,
    /// The number in MLS of the epoch it is given in.
    pub number: u64,
    /// As in [`Consent`].
    pub signature: [u8; 64],
}

impl Agreed {
    /// candidate 32 | number 8 | signature 64.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put(self.candidate.as_bytes());
        out.put(&self.number.to_be_bytes());
        out.put(&self.signature);
        out
    }

    /// Reads it. Errors: any other length.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let agreed = Self {
            candidate: AccountId::from_bytes(reader.array()?),
            number: u64::from_be_bytes(reader.array()?),
            signature: reader.array()?,
        };
        reader.end()?;
        Ok(agreed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_consent_is_104_bytes_and_signs_group_council_epoch_and_candidate_grp_19() {
        let id = |n| AccountId::from_bytes([n; 32]);
        let agreed = Agreed {
            candidate: id(4),
            number: 9,
            signature: [7; 64],
        };
        let bytes = agreed.encode();
        assert_eq!(bytes.len(), 104);
        assert_eq!(Agreed::decode(&bytes), Ok(agreed));
        assert_eq!(Agreed::decode(&bytes[..103]), Err(DecodeError::Short));
        assert_eq!(Agreed::decode(&[&bytes[..], &[0]].concat()), Err(DecodeError::Trailing));
        let signed = consent_bytes(&[1; 16], &[2; 32], 9, id(4));
        for other in [
            consent_bytes(&[0; 16], &[2; 32], 9, id(4)),
            consent_bytes(&[1; 16], &[0; 32], 9, id(4)),
            consent_bytes(&[1; 16], &[2; 32], 8, id(4)),
            consent_bytes(&[1; 16], &[2; 32], 9, id(5)),
        ] {
            assert_ne!(signed, other);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_err_grp_19(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = Agreed::decode(&bytes);
        }
    }
}
