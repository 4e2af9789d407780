//! Polls: what stands beside their question, and what members say of it.
//!
//! In: bodies in CBOR. Out: choices, votes. Who wins is core's job. Specified in `docs/protocol/13-content.md` (CON-20 to
//! CON-22).

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use crate::cbor;
use crate::codec::{DecodeError, Reader};
use crate::content::target_of_two;
use crate::ids::MessageId;

/// Fewest choices of a poll (CON-20).
pub const CHOICES_MIN: usize = 2;
/// Most choices of a poll (CON-20).
pub const CHOICES_MAX: usize = 12;
/// Most bytes of a choice (CON-20).
pub const CHOICE_BYTES_MAX: usize = 200;

/// What is to choose from (CON-20).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poll {
    /// One may choose several.
    pub several: bool,
    /// The choices, as they are numbered.
    pub choices: Vec<String>,
}

impl Poll {
    /// Checks choices. Errors: too few, too many, too long, one that says nothing, one twice.
    pub fn of(several: bool, choices: Vec<String>) -> Result<Self, DecodeError> {
        if choices.len() > CHOICES_MAX || choices.iter().any(|choice| choice.len() > CHOICE_BYTES_MAX) {
            return Err(DecodeError::Limit("choices"));
        }
        let different: BTreeSet<&String> = choices.iter().collect();
        let empty = choices
            .iter()
            .any(|choice| choice.trim() != choice || choice.is_empty());
        if choices.len() < CHOICES_MIN || different.len() != choices.len() || empty {
            return Err(DecodeError::Value("choices"));
        }
        Ok(Self { several, choices })
    }

    /// CBOR array of two: 1 where several may be chosen, else 0; array of texts.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.put(&mut out);
        out
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        cbor::put_array(out, 2);
        cbor::put_number(out, usize::from(self.several));
        cbor::put_array(out, self.choices.len());
        for choice in &self.choices {
            cbor::put_text(out, choice);
        }
    }

    /// Reads what [`Poll::encode`] gives. Errors: any other shape; those of [`Poll::of`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let poll = Self::take(&mut reader)?;
        reader.end()?;
        Ok(poll)
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if cbor::array(reader, 2)? != 2 {
            return Err(DecodeError::Value("poll"));
        }
        let several = cbor::number(reader, 1)? == 1;
        let mut choices = Vec::new();
        for _ in 0..cbor::array(reader, CHOICES_MAX)? {
            choices.push(String::from(cbor::text(reader, CHOICE_BYTES_MAX)?));
        }
        Self::of(several, choices)
    }
}

/// All that the sender chooses in a poll from now on: the body of a vote (CON-21).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// The poll.
    pub target: MessageId,
    /// Numbers of choices; none takes the vote back.
    pub choices: BTreeSet<u8>,
}

impl Vote {
    /// CBOR array of two: message id (byte string of 16), array of numbers in ascending order.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        cbor::put_array(&mut out, 2);
        cbor::put_bytes(&mut out, self.target.as_bytes());
        cbor::put_array(&mut out, self.choices.len());
        for choice in &self.choices {
            cbor::put_number(&mut out, usize::from(*choice));
        }
        out
    }

    /// Reads such a body. Errors: any other shape, a number that no choice has, one twice or out of order.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let target = target_of_two(&mut reader)?;
        let mut choices = BTreeSet::new();
        for _ in 0..cbor::array(&mut reader, CHOICES_MAX)? {
            let choice = cbor::number(&mut reader, CHOICES_MAX.saturating_sub(1))?;
            let choice = u8::try_from(choice).map_err(|_| DecodeError::Value("choice"))?;
            if choices.last().is_some_and(|last| *last >= choice) {
                return Err(DecodeError::Value("choice"));
            }
            choices.insert(choice);
        }
        reader.end()?;
        Ok(Self { target, choices })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{format, vec};

    fn of(choices: &[&str]) -> Result<Poll, DecodeError> {
        Poll::of(false, choices.iter().map(|choice| String::from(*choice)).collect())
    }

    #[test]
    fn a_poll_has_two_to_twelve_different_choices_con_20() {
        let many = |count: usize| (0..count).map(|n| format!("{n}")).collect::<Vec<_>>();
        assert!(Poll::of(true, many(CHOICES_MIN)).is_ok() && Poll::of(true, many(CHOICES_MAX)).is_ok());
        assert_eq!(
            Poll::of(true, many(CHOICES_MAX + 1)),
            Err(DecodeError::Limit("choices"))
        );
        assert!(of(&["a", &"x".repeat(CHOICE_BYTES_MAX)]).is_ok());
        assert_eq!(
            of(&["a", &"x".repeat(CHOICE_BYTES_MAX + 1)]),
            Err(DecodeError::Limit("choices"))
        );
        for bad in [&["one"][..], &["a", "a"], &["a", ""], &["a", " b"]] {
            assert_eq!(of(bad), Err(DecodeError::Value("choices")), "{bad:?}");
        }
    }

    #[test]
    fn a_vote_names_choices_once_and_in_order_con_21() {
        let vote = |choices: &[u8]| {
            let mut body = vec![0x82, 0x50];
            body.extend([7; 16]);
            body.push(0x80 | u8::try_from(choices.len()).unwrap());
            body.extend(choices);
            Vote::decode(&body).is_ok()
        };
        assert!(vote(&[]) && vote(&[0]) && vote(&[0, 3, 11]));
        assert!(!vote(&[12]) && !vote(&[3, 3]) && !vote(&[3, 0]));
    }

    proptest! {
        #[test]
        fn polls_and_votes_read_back_con_20(
            several in any::<bool>(),
            choices in prop::collection::btree_set("[a-zé]{1,20}", 2..=12),
            votes in prop::collection::btree_set(0..12_u8, 0..=12),
        ) {
            let poll = Poll::of(several, choices.into_iter().collect()).unwrap();
            prop_assert_eq!(Poll::decode(&poll.encode()), Ok(poll));
            let vote = Vote { target: MessageId::from_bytes([3; 16]), choices: votes };
            prop_assert_eq!(Vote::decode(&vote.encode()), Ok(vote));
        }

        #[test]
        fn any_bytes_are_a_poll_or_err_con_20(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(poll) = Poll::decode(&bytes) {
                prop_assert_eq!(poll.encode(), bytes.clone());
            }
            if let Ok(vote) = Vote::decode(&bytes) {
                prop_assert_eq!(vote.encode(), bytes);
            }
        }
    }
}
