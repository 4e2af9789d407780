//! How two people find each other again when one of them has lost everything but its words: a secret of their first
//! conversation, and the mailboxes and keys that come from it.
//!
//! In: the exporter secret of the epoch that founded a conversation of two. Out: keys and tokens of requests and answers.
//! It opens no message. Who asks, and whether to believe it, is core's. Specified in `docs/protocol/14-devices.md` (RCH-*).

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::envelope::EnvelopeKey;
use crate::ids::{AccountId, Token};
use crate::kdf::{hkdf_expand, hmac};

/// The exporter secret "stonechat/reach" of a founding epoch (RCH-1). Never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct ReachSecret([u8; 32]);

impl ReachSecret {
    /// Wraps the exporter's 32 bytes.
    pub const fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// The bytes, for the capsule and for the conversation's own row.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What a request of this account is sealed with (RCH-2).
    pub fn request_key(&self, from: AccountId) -> EnvelopeKey {
        EnvelopeKey::new(hkdf_expand(&self.0, &[b"request", from.as_bytes()]))
    }

    /// Where requests of this account are put (RCH-2).
    pub fn request_token(&self, from: AccountId) -> Token {
        Token::from_bytes(hmac(&self.0, &[b"request", from.as_bytes()]))
    }

    /// What the answer to the request with this hash is sealed with (RCH-3).
    pub fn answer_key(&self, request: &[u8; 32]) -> EnvelopeKey {
        EnvelopeKey::new(hkdf_expand(&self.0, &[b"answer", request]))
    }

    /// Where the answer to the request with this hash is put (RCH-3).
    pub fn answer_token(&self, request: &[u8; 32]) -> Token {
        Token::from_bytes(hmac(&self.0, &[b"answer", request]))
    }
}

impl fmt::Debug for ReachSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReachSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::format;

    #[test]
    fn each_side_and_each_request_has_a_mailbox_of_its_own_rch_2() {
        let reach = ReachSecret::new([7; 32]);
        let (a, b) = (AccountId::from_bytes([1; 32]), AccountId::from_bytes([2; 32]));
        let tags: BTreeSet<_> = [
            reach.request_token(a),
            reach.request_token(b),
            reach.answer_token(&[1; 32]),
            reach.answer_token(&[3; 32]),
            ReachSecret::new([8; 32]).request_token(a),
        ]
        .iter()
        .map(Token::tag)
        .collect();
        assert_eq!(tags.len(), 5);
        assert_eq!(format!("{reach:?}"), "ReachSecret(..)");
    }
}
