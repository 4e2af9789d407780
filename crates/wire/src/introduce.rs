//! Introductions: what is asked of two people who shall meet, and how they answer.
//!
//! In: bodies of messages in conversations of two, or typed values. Out: the other. Signatures, and what comes of it, are
//! core's. Specified in `docs/protocol/04-meeting.md` (INT-*).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::card::{VERSION, account_id, read_name};
use crate::codec::{DecodeError, Reader, Write};
use crate::ids::AccountId;

/// Most vouches between two people (INT-3).
pub const CHAIN_MAX: usize = 4;
/// Longest link that is passed on, in bytes (INT-5).
pub const LINK_BYTES_MAX: usize = 512;

/// A person as somebody else names them.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    /// The account's Ed25519 key.
    pub ed25519: [u8; 32],
    /// SHA-256 of the account's ML-DSA-65 key.
    pub mldsa_hash: [u8; 32],
    /// What they are called.
    pub name: String,
}

impl Person {
    /// Whose account it is (CARD-2).
    pub fn account(&self) -> AccountId {
        account_id(&self.ed25519, &self.mldsa_hash)
    }

    /// Ed25519 key 32 | SHA-256 of the ML-DSA key 32 | name.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.put(&self.ed25519);
        out.put(&self.mldsa_hash);
        out.put_bytes(self.name.as_bytes());
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let person = Self {
            ed25519: reader.array()?,
            mldsa_hash: reader.array()?,
            name: read_name(reader)?,
        };
        if person.name.trim().is_empty() {
            return Err(DecodeError::Value("name"));
        }
        Ok(person)
    }

    /// By itself, as core keeps it.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// The opposite of [`Person::encode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let person = Self::read(&mut reader)?;
        reader.end()?;
        Ok(person)
    }
}

impl fmt::Debug for Person {
    /// No name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Person({:?})", self.account())
    }
}

/// How somebody knows whom they vouch for (INT-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Knows {
    /// They have compared the numbers, or stood before one another.
    Verified = 0,
    /// They have met by an invitation, and compared nothing.
    Met = 1,
    /// Somebody introduced them; that vouch stands before.
    Introduced = 2,
}

/// "This is the account of the one I call so", said to one person (INT-2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouch {
    /// Who says it, by the name they give themselves.
    pub by: Person,
    /// To whom.
    pub to: AccountId,
    /// Of whom.
    pub about: AccountId,
    /// How they know.
    pub knows: Knows,
    /// Unix seconds.
    pub at_s: u64,
    /// Ed25519 by the account of `by` over [`Vouch::signed_bytes`].
    pub signature: [u8; 64],
}

impl Vouch {
    /// "stonechat/vouch/1" | everything before the signature.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut out = Vec::from(*b"stonechat/vouch/1");
        self.write_unsigned(&mut out);
        out
    }

    fn write_unsigned(&self, out: &mut Vec<u8>) {
        self.by.write(out);
        out.put(self.to.as_bytes());
        out.put(self.about.as_bytes());
        out.push(self.knows as u8);
        out.put(&self.at_s.to_be_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            by: Person::read(reader)?,
            to: AccountId::from_bytes(reader.array()?),
            about: AccountId::from_bytes(reader.array()?),
            knows: match reader.u8()? {
                0 => Knows::Verified,
                1 => Knows::Met,
                2 => Knows::Introduced,
                _ => return Err(DecodeError::Value("knows")),
            },
            at_s: reader.u64()?,
            signature: reader.array()?,
        })
    }
}

/// "I would like you to meet": the body of kind 18 (INT-1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Names the introduction, on both sides.
    pub id: [u8; 16],
    /// Whom the receiver shall meet.
    pub who: Person,
    /// The receiver is the one who makes the invitation; else the one who takes it up.
    pub makes: bool,
    /// Who knows that person, the sender last.
    pub chain: Vec<Vouch>,
}

impl Ask {
    /// version 1 | id 16 | makes 1 | person | vouches.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::from([VERSION]);
        out.put(&self.id);
        out.push(u8::from(self.makes));
        self.who.write(&mut out);
        out.put_count(self.chain.len());
        for vouch in &self.chain {
            vouch.write_unsigned(&mut out);
            out.put(&vouch.signature);
        }
        out
    }

    /// Reads one. Errors: another version, any limit, no vouch, bytes left over. Nothing is verified.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        read_version(&mut reader)?;
        let ask = Self {
            id: reader.array()?,
            makes: reader.bool("makes")?,
            who: Person::read(&mut reader)?,
            chain: reader.list("vouches", CHAIN_MAX, Vouch::read)?,
        };
        reader.end()?;
        if ask.chain.is_empty() {
            return Err(DecodeError::Value("vouches"));
        }
        Ok(ask)
    }
}

/// What is said about an introduction later: the body of kind 19 (INT-4).
#[derive(Clone, PartialEq, Eq)]
pub enum Word {
    /// 0: the one who was asked does not want to.
    No,
    /// 1: the one who was asked wants to.
    Yes,
    /// 2: both want to; the receiver makes the invitation.
    Both,
    /// 3: the invitation's link, to whoever introduces, and from there to the other.
    Link(String),
}

impl Word {
    /// version 1 | id 16 | what 1 | link (only with 3).
    pub fn encode(&self, id: &[u8; 16]) -> Vec<u8> {
        let mut out = Vec::from([VERSION]);
        out.put(id);
        match self {
            Self::No => out.push(0),
            Self::Yes => out.push(1),
            Self::Both => out.push(2),
            Self::Link(link) => {
                out.push(3);
                out.put_bytes(link.as_bytes());
            }
        }
        out
    }

    /// Reads one. Errors: another version, what is not known, a link over its limit, bytes left over.
    pub fn decode(bytes: &[u8]) -> Result<([u8; 16], Self), DecodeError> {
        let mut reader = Reader::new(bytes);
        read_version(&mut reader)?;
        let id = reader.array()?;
        let word = match reader.u8()? {
            0 => Self::No,
            1 => Self::Yes,
            2 => Self::Both,
            3 => Self::Link(String::from(reader.text("link", LINK_BYTES_MAX)?)),
            _ => return Err(DecodeError::Value("word")),
        };
        reader.end()?;
        Ok((id, word))
    }
}

impl fmt::Debug for Word {
    /// A link is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::No => "No",
            Self::Yes => "Yes",
            Self::Both => "Both",
            Self::Link(_) => "Link",
        })
    }
}

fn read_version(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    match reader.u8()? {
        VERSION => Ok(()),
        other => Err(DecodeError::Version(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;

    fn person(fill: u8) -> Person {
        Person {
            ed25519: [fill; 32],
            mldsa_hash: [fill ^ 1; 32],
            name: "Bo".into(),
        }
    }

    fn ask(links: usize) -> Ask {
        let vouch = Vouch {
            by: person(3),
            to: person(4).account(),
            about: person(5).account(),
            knows: Knows::Introduced,
            at_s: 7,
            signature: [8; 64],
        };
        Ask {
            id: [1; 16],
            who: person(5),
            makes: true,
            chain: vec![vouch; links],
        }
    }

    #[test]
    fn a_chain_has_one_to_four_links_int_3() {
        for links in 1..=CHAIN_MAX {
            assert_eq!(Ask::decode(&ask(links).encode()), Ok(ask(links)));
        }
        let too_long = ask(CHAIN_MAX + 1).encode();
        assert_eq!(Ask::decode(&too_long), Err(DecodeError::Limit("vouches")));
        assert_eq!(Ask::decode(&ask(0).encode()), Err(DecodeError::Value("vouches")));
    }

    #[test]
    fn bad_introductions_give_their_errors_int_1() {
        let good = ask(1).encode();
        let mut newer = good.clone();
        newer[0] = 2;
        assert_eq!(Ask::decode(&newer), Err(DecodeError::Version(2)));
        assert_eq!(Ask::decode(&good[..good.len() - 1]), Err(DecodeError::Short));
        assert_eq!(Ask::decode(&[good, vec![0]].concat()), Err(DecodeError::Trailing));
        let mut nameless = ask(1);
        nameless.who.name = " ".into();
        assert_eq!(Ask::decode(&nameless.encode()), Err(DecodeError::Value("name")));
        nameless.who.name = "a\u{7}".into();
        assert_eq!(Ask::decode(&nameless.encode()), Err(DecodeError::Value("name")));
    }

    #[test]
    fn bad_words_give_their_errors_int_4() {
        let id = [9; 16];
        for word in [Word::No, Word::Yes, Word::Both, Word::Link("l".repeat(LINK_BYTES_MAX))] {
            assert_eq!(Word::decode(&word.encode(&id)), Ok((id, word)));
        }
        let long = Word::Link("l".repeat(LINK_BYTES_MAX + 1)).encode(&id);
        assert_eq!(Word::decode(&long), Err(DecodeError::Limit("link")));
        let mut unknown = Word::No.encode(&id);
        unknown[17] = 4;
        assert_eq!(Word::decode(&unknown), Err(DecodeError::Value("word")));
        assert_eq!(Word::decode(&unknown[..17]), Err(DecodeError::Short));
    }

    #[test]
    fn everything_before_the_signature_is_signed_int_2() {
        let good = ask(1).chain.remove(0);
        let changes: [fn(&mut Vouch); 6] = [
            |v| v.by.ed25519[0] ^= 1,
            |v| v.by.name.push('b'),
            |v| v.to = person(9).account(),
            |v| v.about = person(9).account(),
            |v| v.knows = Knows::Verified,
            |v| v.at_s += 1,
        ];
        for change in changes {
            let mut other = good.clone();
            change(&mut other);
            assert_ne!(other.signed_bytes(), good.signed_bytes());
        }
    }

    proptest! {
        #[test]
        fn what_reads_is_written_so_again_int_1(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(ask) = Ask::decode(&bytes) {
                prop_assert_eq!(ask.encode(), &bytes[..]);
            }
            if let Ok((id, word)) = Word::decode(&bytes) {
                prop_assert_eq!(word.encode(&id), bytes);
            }
        }
    }
}
