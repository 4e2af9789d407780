//! Which relays an account brings into a conversation.
//!
//! In: the body of a message of [`Kind::Relays`](crate::message::Kind::Relays), or what one is to say. Out: the other. Who
//! may bring, and what follows, is core's job. Specified in `docs/protocol/20-relays.md`.

use alloc::vec::Vec;

use crate::address::NEAR;
use crate::card::CardRelay;
use crate::codec::{DecodeError, Reader, Write};
use crate::ids::RelayId;

/// Format version.
const VERSION: u8 = 1;
/// Most relays that one account brings into a conversation (REL-1).
pub const BROUGHT_MAX: usize = 4;
/// Most that one message takes back (REL-1).
pub const TAKEN_BACK_MAX: usize = 16;

/// What an account says of its relays in a conversation: all that it brings from now on (REL-1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brought {
    /// Grows with each that an account says; the highest counts.
    pub number: u64,
    /// All of them, none near.
    pub relays: Vec<CardRelay>,
    /// Those from the conversation's beginning that are not to be used any more.
    pub taken_back: Vec<RelayId>,
}

impl Brought {
    /// version 1 | number 8 | count 2 | relays | count 2 | ids 16 each.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::from([VERSION]);
        out.put(&self.number.to_be_bytes());
        out.put_count(self.relays.len());
        for relay in &self.relays {
            relay.write(&mut out);
        }
        out.put_count(self.taken_back.len());
        for relay in &self.taken_back {
            out.put(relay.as_bytes());
        }
        out
    }

    /// Errors: another version, too many, a near relay, bytes left over.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return Err(DecodeError::Value("version"));
        }
        let number = reader.u64()?;
        let relays = reader.list("relays", BROUGHT_MAX, CardRelay::read)?;
        if relays.iter().any(|relay| relay.address == NEAR) {
            return Err(DecodeError::Value("near relay"));
        }
        let taken_back = reader.list("taken back", TAKEN_BACK_MAX, |reader| {
            reader.array().map(RelayId::from_bytes)
        })?;
        reader.end()?;
        Ok(Self {
            number,
            relays,
            taken_back,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn relay(address: &str) -> CardRelay {
        CardRelay {
            address: address.into(),
            relay: RelayId::from_bytes([7; 16]),
            secret: Some([1; 16]),
            keys: None,
            lan: false,
        }
    }

    fn brought() -> Brought {
        Brought {
            number: 5,
            relays: vec![relay("https://example.org:443"), relay("192.0.2.1:9735")],
            taken_back: vec![RelayId::from_bytes([9; 16])],
        }
    }

    #[test]
    fn what_is_brought_is_read_as_it_was_said_rel_1() {
        let said = brought();
        assert_eq!(Brought::decode(&said.encode()), Ok(said));
        let nothing = Brought {
            relays: vec![],
            taken_back: vec![],
            ..brought()
        };
        assert_eq!(Brought::decode(&nothing.encode()), Ok(nothing));
    }

    #[test]
    fn cuts_and_more_than_there_may_be_are_refused_rel_1() {
        let bytes = brought().encode();
        for end in 0..bytes.len() {
            assert!(Brought::decode(bytes.get(..end).unwrap_or_default()).is_err(), "{end}");
        }
        assert_eq!(
            Brought::decode(&[&bytes[..], &[0]].concat()),
            Err(DecodeError::Trailing)
        );
        let many = Brought {
            relays: vec![relay("192.0.2.1:9735"); BROUGHT_MAX + 1],
            ..brought()
        };
        assert_eq!(Brought::decode(&many.encode()), Err(DecodeError::Limit("relays")));
        let many = Brought {
            taken_back: vec![RelayId::from_bytes([9; 16]); TAKEN_BACK_MAX + 1],
            ..brought()
        };
        assert_eq!(Brought::decode(&many.encode()), Err(DecodeError::Limit("taken back")));
        let near = Brought {
            relays: vec![CardRelay {
                keys: Some(crate::route::RelayKeys::from_bytes([3; crate::route::RelayKeys::SIZE])),
                relay: crate::route::RelayKeys::from_bytes([3; crate::route::RelayKeys::SIZE]).id(),
                ..relay(NEAR)
            }],
            ..brought()
        };
        assert_eq!(Brought::decode(&near.encode()), Err(DecodeError::Value("near relay")));
        let mut newer = bytes;
        newer[0] = 2;
        assert_eq!(Brought::decode(&newer), Err(DecodeError::Value("version")));
    }
}
