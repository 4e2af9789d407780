//! Safety number: sixty digits that two people compare to know that nobody stands between them.
//!
//! In: the public side of both accounts. Out: twelve groups of five digits, the same on both sides, and as a code.
//! Specified in `docs/protocol/06-account.md` (SAFE-1 to SAFE-3).

use crate::account::word;
use sha2::{Digest as _, Sha512};
use stonechat_wire::ids::AccountId;
use stonechat_wire::safety::SafetyCode;

/// Format version, the first two bytes that are hashed.
const VERSION: [u8; 2] = [0, 1];
/// How often each half is hashed: makes looking for a similar number dear.
const ROUNDS: usize = 5_200;

/// What a half of the number is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Person {
    /// Commits to both signature keys.
    pub account: AccountId,
    /// The account's Ed25519 key.
    pub ed25519: [u8; 32],
}

/// The number of a pair: the half of the lower account id first (SAFE-1).
///
/// Takes some milliseconds: 2 * 5,200 hashes.
#[must_use]
pub fn number(one: &Person, other: &Person) -> [String; 12] {
    let (low, high) = if one.account <= other.account {
        (one, other)
    } else {
        (other, one)
    };
    let [a, b, c, d, e, f] = half(low);
    let [g, h, i, j, k, l] = half(high);
    [a, b, c, d, e, f, g, h, i, j, k, l]
}

/// The number and whose it is, for a camera to read (SAFE-3).
#[must_use]
pub fn code(one: &Person, other: &Person) -> SafetyCode {
    let digits = number(one, other).concat();
    let (pairs, _) = digits.as_bytes().as_chunks::<2>();
    let mut pairs = pairs.iter();
    SafetyCode {
        low: one.account.min(other.account),
        high: one.account.max(other.account),
        number: std::array::from_fn(|_| {
            pairs
                .next()
                .map_or(0, |[tens, ones]| (tens & 0x0f) << 4 | (ones & 0x0f))
        }),
    }
}

/// Words of a conversation: a quick look at what the number says in full (SAFE-2).
///
/// Takes some milliseconds, so that looking for a pair of accounts with the same ones is dear.
#[must_use]
pub fn words(one: &Person, other: &Person, group: &[u8]) -> [String; 8] {
    let (low, high) = if one.account <= other.account {
        (one, other)
    } else {
        (other, one)
    };
    let mut said = Vec::from(*b"stonechat/words/1");
    for person in [low, high] {
        said.extend_from_slice(person.account.as_bytes());
        said.extend_from_slice(&person.ed25519);
    }
    said.extend_from_slice(group);
    let mut hash = Sha512::digest(&said);
    for _ in 1..ROUNDS {
        hash = Sha512::new().chain_update(hash).chain_update(&said).finalize();
    }
    let (pairs, _) = hash.as_slice().as_chunks::<2>();
    let mut pairs = pairs.iter();
    std::array::from_fn(|_| pairs.next().map_or_else(String::new, |pair| word(*pair).to_owned()))
}

/// Thirty digits of one account.
fn half(person: &Person) -> [String; 6] {
    let parts: [&[u8]; 3] = [&VERSION, person.account.as_bytes(), &person.ed25519];
    let mut hash = Sha512::digest(parts.concat());
    for _ in 1..ROUNDS {
        hash = Sha512::new().chain_update(hash).chain_update(parts.concat()).finalize();
    }
    let mut chunks = hash.chunks_exact(5);
    std::array::from_fn(|_| chunks.next().map_or_else(String::new, digits))
}

/// Five bytes, big-endian, modulo 100,000.
fn digits(bytes: &[u8]) -> String {
    let number = bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    format!("{:05}", number % 100_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(fill: u8) -> Person {
        Person {
            account: AccountId::from_bytes([fill; 32]),
            ed25519: [fill ^ 0xff; 32],
        }
    }

    #[test]
    fn both_sides_see_the_same_sixty_digits_safe_1() {
        let number_here = number(&person(1), &person(2));
        assert_eq!(number_here, number(&person(2), &person(1)));
        assert_eq!(number_here.concat().len(), 60);
        assert!(number_here.concat().bytes().all(|digit| digit.is_ascii_digit()));
    }

    #[test]
    fn the_code_is_the_same_on_both_sides_and_says_the_number_safe_3() {
        let here = code(&person(1), &person(2));
        assert_eq!(here, code(&person(2), &person(1)));
        assert_eq!(hex::encode(here.number), number(&person(1), &person(2)).concat());
        assert_eq!((here.low, here.high), (person(1).account, person(2).account));
        let other_key = Person {
            ed25519: [9; 32],
            ..person(2)
        };
        assert_ne!(here, code(&person(1), &other_key));
    }

    #[test]
    fn both_sides_see_the_same_words_and_each_pair_and_conversation_others_safe_2() {
        let here = words(&person(1), &person(2), b"group");
        assert_eq!(here, words(&person(2), &person(1), b"group"));
        assert!(here.iter().all(|word| !word.is_empty()));
        assert_ne!(here, words(&person(1), &person(2), b"grouq"));
        // Somebody who stands between has a conversation with each.
        assert_ne!(here, words(&person(1), &person(3), b"group"));
        let other_key = Person {
            ed25519: [9; 32],
            ..person(2)
        };
        assert_ne!(here, words(&person(1), &other_key, b"group"));
    }

    #[test]
    fn another_account_or_key_changes_its_half_only_safe_1() {
        let known = number(&person(1), &person(2));
        let other_key = Person {
            ed25519: [9; 32],
            ..person(2)
        };
        let changed = number(&person(1), &other_key);
        assert_eq!(known[..6], changed[..6]);
        assert_ne!(known[6..], changed[6..]);
        assert_ne!(known, number(&person(1), &person(3)));
    }
}
