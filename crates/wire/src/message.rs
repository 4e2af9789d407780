//! What stands inside an MLS application message: a fixed header, then a body in CBOR.
//!
//! In: a decrypted message, or what one is to say. Out: header and body, or their bytes; and the message's id.
//! Ordering, gaps and receipts are core's job. Specified in `docs/protocol/05-message.md`.

use alloc::string::String;
use alloc::vec::Vec;

use crate::cbor;
use crate::codec::{DecodeError, Reader, Write};
use crate::ids::{EpochId, MessageId};
use crate::kdf::{first, sha256};

/// Length of a header without parents, in bytes.
pub const HEADER_SIZE: usize = 12;
/// Most parents of one message (MSG-2).
pub const PARENTS_MAX: usize = 32;
/// Most heads of one receipt (MSG-7).
pub const HEADS_MAX: usize = 64;
/// Most messages that one want list asks for (WNT-2).
pub const WANTED_MAX: usize = 64;
/// Longest text, in bytes of UTF-8 (MSG-6).
pub const TEXT_BYTES_MAX: usize = 65_536;
/// Greatest HLC: 48 bits of Unix milliseconds (MSG-3).
pub const HLC_MAX: u64 = (1 << 48) - 1;

const READ_THROUGH: u8 = 0x80;

/// First byte of a message that was encrypted again in another epoch (MSG-8); no kind has this number.
const AGAIN: u8 = 0x7f;

/// What a message's body is (MSG-4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// A text.
    Text,
    /// Delivery news.
    Receipt,
    /// Key packages for the other side to add me to groups with (GRP-8).
    KeyPackages,
    /// The other side is added to a group (GRP-9).
    Welcome,
    /// The sender leaves the group (GRP-7).
    Leave,
    /// Messages that the sender lacks (WNT-2).
    Want,
    /// The sender cannot follow a group any more (GRP-11).
    Behind,
    /// Whether the commit counts by which the sender added the other side to a group (GRP-24).
    Placed,
    /// What one device of an account tells another (OWN-2).
    Own,
    /// The common part of a Welcome has not come to the sender (GRP-16).
    Lacking,
    /// The near relay of the sender's device (LAN-4).
    Near,
    /// The relays that the sender's account brings into the conversation (REL-1).
    Relays,
    /// A text that answers a message (CON-1).
    Reply,
    /// The sender's emojis on a message (CON-3).
    Reaction,
    /// Another text for a message of the sender's (CON-4).
    Edit,
    /// A message is taken away from everybody (CON-5).
    Deletion,
    /// A text with more than a text beside it (CON-8).
    Post,
    /// The chat's timer is set (CON-10).
    Timer,
    /// A message is put on top of its chat, or taken off (CON-19).
    Pin,
    /// The sender's choices in a poll (CON-21).
    Vote,
    /// A poll is over (CON-22).
    Close,
    /// The receiver is asked whether to meet somebody (INT-1).
    Introduce,
    /// What is said about that later (INT-4).
    Introduced,
    /// The sender agrees that somebody becomes an owner (GRP-19).
    Consent,
    /// The bytes of a group's picture (GRP-21).
    Picture,
    /// Made by a newer Stonechat; kept, and shown as such.
    Unknown(u8),
}

impl Kind {
    /// Reads the low seven bits of a header's first byte.
    pub const fn from_code(code: u8) -> Self {
        match code & !READ_THROUGH {
            1 => Self::Text,
            2 => Self::Receipt,
            3 => Self::KeyPackages,
            4 => Self::Welcome,
            5 => Self::Leave,
            32 => Self::Want,
            33 => Self::Behind,
            34 => Self::Placed,
            40 => Self::Own,
            41 => Self::Lacking,
            42 => Self::Near,
            43 => Self::Relays,
            6 => Self::Reply,
            7 => Self::Reaction,
            8 => Self::Edit,
            9 => Self::Deletion,
            10 => Self::Post,
            11 => Self::Timer,
            12 => Self::Pin,
            13 => Self::Vote,
            14 => Self::Close,
            18 => Self::Introduce,
            19 => Self::Introduced,
            15 => Self::Consent,
            16 => Self::Picture,
            other => Self::Unknown(other),
        }
    }

    /// The seven bits on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::Text => 1,
            Self::Receipt => 2,
            Self::KeyPackages => 3,
            Self::Welcome => 4,
            Self::Leave => 5,
            Self::Want => 32,
            Self::Behind => 33,
            Self::Placed => 34,
            Self::Own => 40,
            Self::Lacking => 41,
            Self::Near => 42,
            Self::Relays => 43,
            Self::Reply => 6,
            Self::Reaction => 7,
            Self::Edit => 8,
            Self::Deletion => 9,
            Self::Post => 10,
            Self::Timer => 11,
            Self::Pin => 12,
            Self::Vote => 13,
            Self::Close => 14,
            Self::Introduce => 18,
            Self::Introduced => 19,
            Self::Consent => 15,
            Self::Picture => 16,
            Self::Unknown(code) => code & !READ_THROUGH,
        }
    }
}

/// The fixed header of every durable message (MSG-1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageHeader {
    /// What the body is.
    pub kind: Kind,
    /// "I have read everything up to my parents."
    pub read_through: bool,
    /// Count of durable messages of this leaf, from 1.
    pub seq: u32,
    /// Hybrid logical clock: Unix ms, 48 bits (MSG-3).
    pub hlc: u64,
    /// The conversation's heads as the sender saw them: first 8 bytes of each message id (MSG-2).
    pub parents: Vec<[u8; 8]>,
}

impl MessageHeader {
    /// kind 1 | seq 4 | HLC 6 | parent count 1 | parents 8 each. Over [`PARENTS_MAX`] parents: the first ones.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.push(self.kind.code() | if self.read_through { READ_THROUGH } else { 0 });
        out.put(&self.seq.to_be_bytes());
        let [_, _, hlc @ ..] = self.hlc.min(HLC_MAX).to_be_bytes();
        out.put(&hlc);
        let parents = self.parents.iter().take(PARENTS_MAX);
        out.push(u8::try_from(parents.len()).unwrap_or(0));
        for parent in parents {
            out.put(parent);
        }
        out
    }

    /// Reads the header off the front; the rest is the body. Errors: too short, too many parents.
    pub fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), DecodeError> {
        let mut reader = Reader::new(bytes);
        let first = reader.u8()?;
        let seq = reader.u32()?;
        let [a, b, c, d, e, f] = reader.array()?;
        let count = usize::from(reader.u8()?);
        if count > PARENTS_MAX {
            return Err(DecodeError::Limit("parents"));
        }
        let mut parents = Vec::with_capacity(count);
        for _ in 0..count {
            parents.push(reader.array()?);
        }
        let header = Self {
            kind: Kind::from_code(first),
            read_through: first & READ_THROUGH != 0,
            seq,
            hlc: u64::from_be_bytes([0, 0, a, b, c, d, e, f]),
            parents,
        };
        Ok((header, reader.rest()))
    }
}

/// The message's name: SHA-256("msg" | group id length 1 | group id | first epoch id | leaf 4 | header | body)[..16].
///
/// `first_epoch` and `leaf` are those of its first encryption: a message encrypted again keeps its id (MSG-5).
pub fn message_id(group_id: &[u8], first_epoch: EpochId, leaf: u32, header: &[u8], body: &[u8]) -> MessageId {
    let group_length = u8::try_from(group_id.len()).unwrap_or(u8::MAX);
    let hash = sha256(&[
        b"msg",
        &[group_length],
        group_id,
        first_epoch.as_bytes(),
        &leaf.to_be_bytes(),
        header,
        body,
    ]);
    MessageId::from_bytes(first(&hash))
}

/// Where a message was encrypted first: what its id rests on (MSG-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct First {
    /// The epoch.
    pub epoch: EpochId,
    /// The leaf.
    pub leaf: u32,
}

/// A message for another epoch than its first: 127 | first epoch id 16 | leaf 4 | header and body (MSG-8).
pub fn encode_again(first: First, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(plain.len().saturating_add(21));
    out.push(AGAIN);
    out.put(first.epoch.as_bytes());
    out.put(&first.leaf.to_be_bytes());
    out.put(plain);
    out
}

/// Takes the first epoch and leaf off the front, where they stand there; the rest is header and body (MSG-8).
/// Errors: too short, or wrapped twice.
pub fn decode_again(bytes: &[u8]) -> Result<(Option<First>, &[u8]), DecodeError> {
    let mut reader = Reader::new(bytes);
    if reader.u8()? != AGAIN {
        return Ok((None, bytes));
    }
    let (epoch, leaf) = (EpochId::from_bytes(reader.array()?), reader.u32()?);
    match reader.rest().first() {
        None => Err(DecodeError::Short),
        Some(&AGAIN) => Err(DecodeError::Value("wrapped twice")),
        Some(_) => Ok((Some(First { epoch, leaf }), reader.rest())),
    }
}

/// The body of [`Kind::Text`]: one CBOR text string (MSG-6).
pub fn encode_text(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    cbor::put_text(&mut out, text);
    out
}

/// Reads the body of [`Kind::Text`]. Errors: not one text string of at most [`TEXT_BYTES_MAX`].
pub fn decode_text(body: &[u8]) -> Result<String, DecodeError> {
    let mut reader = Reader::new(body);
    let text = String::from(cbor::text(&mut reader, TEXT_BYTES_MAX)?);
    reader.end()?;
    Ok(text)
}

/// The body of [`Kind::Receipt`]: what has arrived, and how far it was read (MSG-7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Heads of what this device has: first 8 bytes of each message id.
    pub heads: Vec<[u8; 8]>,
    /// Newest message read, if this person tells.
    pub read: Option<MessageId>,
}

impl Receipt {
    /// CBOR array of two: heads (byte strings of 8), and the read mark (byte string of 16) or null.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        cbor::put_array(&mut out, 2);
        let heads = self.heads.iter().take(HEADS_MAX);
        cbor::put_array(&mut out, heads.len());
        for head in heads {
            cbor::put_bytes(&mut out, head);
        }
        match &self.read {
            Some(id) => cbor::put_bytes(&mut out, id.as_bytes()),
            None => cbor::put_null(&mut out),
        }
        out
    }

    /// Reads a receipt's body. Errors: any other shape, more than [`HEADS_MAX`] heads.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        if cbor::array(&mut reader, 2)? != 2 {
            return Err(DecodeError::Value("receipt"));
        }
        let mut heads = Vec::new();
        for _ in 0..cbor::array(&mut reader, HEADS_MAX)? {
            heads.push(cbor::bytes(&mut reader)?);
        }
        let unread = cbor::null(&mut reader);
        let read = if unread {
            None
        } else {
            Some(MessageId::from_bytes(cbor::bytes(&mut reader)?))
        };
        reader.end()?;
        Ok(Self { heads, read })
    }
}

/// The body of [`Kind::Want`]: CBOR array of 1 to [`WANTED_MAX`] byte strings of 8, the beginnings of message ids
/// (WNT-2). Of more than that: the first ones.
pub fn encode_want(wanted: &[[u8; 8]]) -> Vec<u8> {
    let mut out = Vec::new();
    let wanted = wanted.iter().take(WANTED_MAX);
    cbor::put_array(&mut out, wanted.len());
    for short in wanted {
        cbor::put_bytes(&mut out, short);
    }
    out
}

/// Reads the body of [`Kind::Want`]. Errors: any other shape, none, more than [`WANTED_MAX`].
pub fn decode_want(body: &[u8]) -> Result<Vec<[u8; 8]>, DecodeError> {
    let mut reader = Reader::new(body);
    let count = cbor::array(&mut reader, WANTED_MAX)?;
    if count == 0 {
        return Err(DecodeError::Value("want"));
    }
    let mut wanted = Vec::with_capacity(count);
    for _ in 0..count {
        wanted.push(cbor::bytes(&mut reader)?);
    }
    reader.end()?;
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;

    fn header(parents: usize) -> MessageHeader {
        MessageHeader {
            kind: Kind::Text,
            read_through: true,
            seq: 7,
            hlc: 1 << 40,
            parents: vec![[9; 8]; parents],
        }
    }

    #[test]
    fn a_header_is_twelve_bytes_and_eight_per_parent_msg_1() {
        assert_eq!(header(0).encode().len(), HEADER_SIZE);
        assert_eq!(header(3).encode().len(), HEADER_SIZE + 24);
        assert_eq!(header(1).encode()[0], 0x81);
    }

    #[test]
    fn parents_are_the_first_bytes_of_ids_and_limited_msg_2() {
        let id = message_id(b"group", EpochId::from_bytes([1; 16]), 0, b"h", b"b");
        assert_eq!(id.short(), id.as_bytes()[..8]);
        let mut bytes = header(PARENTS_MAX).encode();
        assert!(MessageHeader::decode(&bytes).is_ok());
        bytes[11] += 1;
        assert_eq!(MessageHeader::decode(&bytes), Err(DecodeError::Limit("parents")));
    }

    #[test]
    fn a_clock_beyond_48_bits_stops_at_its_end_msg_3() {
        let late = MessageHeader {
            hlc: u64::MAX,
            ..header(0)
        };
        assert_eq!(MessageHeader::decode(&late.encode()).unwrap().0.hlc, HLC_MAX);
    }

    #[test]
    fn an_unknown_kind_is_kept_msg_4() {
        let newer = MessageHeader {
            kind: Kind::Unknown(99),
            ..header(1)
        };
        assert_eq!(MessageHeader::decode(&newer.encode()).unwrap().0, newer);
    }

    #[test]
    fn an_id_depends_on_every_input_msg_5() {
        let epoch = EpochId::from_bytes([1; 16]);
        let id = message_id(b"group", epoch, 3, b"header", b"body");
        for other in [
            message_id(b"grouq", epoch, 3, b"header", b"body"),
            message_id(b"group", EpochId::from_bytes([2; 16]), 3, b"header", b"body"),
            message_id(b"group", epoch, 4, b"header", b"body"),
            message_id(b"group", epoch, 3, b"headex", b"body"),
            message_id(b"group", epoch, 3, b"header", b"bodx"),
        ] {
            assert_ne!(id, other);
        }
    }

    #[test]
    fn a_message_encrypted_again_says_where_it_was_first_msg_8() {
        let first = First {
            epoch: EpochId::from_bytes([3; 16]),
            leaf: 7,
        };
        let plain = header(1).encode();
        let again = encode_again(first, &plain);
        assert_eq!(decode_again(&again), Ok((Some(first), plain.as_slice())));
        assert_eq!(decode_again(&plain), Ok((None, plain.as_slice())));
        let twice = encode_again(first, &again);
        assert_eq!(decode_again(&twice), Err(DecodeError::Value("wrapped twice")));
        assert_eq!(decode_again(&again[..21]), Err(DecodeError::Short));
        assert_eq!(decode_again(&[]), Err(DecodeError::Short));
    }

    #[test]
    fn bad_bodies_give_their_errors_msg_6() {
        let cases: [(&str, &[u8], DecodeError); 8] = [
            ("empty", &[], DecodeError::Short),
            ("a number", &[0x01], DecodeError::Value("cbor type")),
            ("cut", &[0x63, b'a'], DecodeError::Short),
            ("longer than its text", &[0x61, b'a', b'b'], DecodeError::Trailing),
            ("not utf-8", &[0x61, 0xff], DecodeError::Value("text")),
            (
                "a long form of a short length",
                &[0x78, 1, b'a'],
                DecodeError::Value("cbor length"),
            ),
            ("indefinite", &[0x7f, 0xff], DecodeError::Value("cbor length")),
            (
                "huge",
                &[0x7a, 0xff, 0xff, 0xff, 0xff],
                DecodeError::Limit("cbor length"),
            ),
        ];
        for (name, body, error) in cases {
            assert_eq!(decode_text(body), Err(error), "{name}");
        }
    }

    #[test]
    fn bad_receipts_give_their_errors_msg_7() {
        let good = Receipt {
            heads: vec![[1; 8]],
            read: Some(MessageId::from_bytes([2; 16])),
        };
        assert_eq!(Receipt::decode(&good.encode()), Ok(good));
        let cases: [(&str, &[u8], DecodeError); 4] = [
            ("one field", &[0x81, 0x80], DecodeError::Value("receipt")),
            (
                "a head of seven bytes",
                &[0x82, 0x81, 0x47],
                DecodeError::Value("byte string"),
            ),
            (
                "a read mark of nine",
                &[0x82, 0x80, 0x49],
                DecodeError::Value("byte string"),
            ),
            ("too many heads", &[0x82, 0x98, 65], DecodeError::Limit("cbor length")),
        ];
        for (name, body, error) in cases {
            assert_eq!(Receipt::decode(body), Err(error), "{name}");
        }
    }

    #[test]
    fn a_want_list_names_one_to_sixty_four_wnt_2() {
        let most = vec![[7; 8]; WANTED_MAX];
        assert_eq!(decode_want(&encode_want(&most)), Ok(most.clone()));
        let more = vec![[7; 8]; WANTED_MAX + 1];
        assert_eq!(decode_want(&encode_want(&more)), Ok(most));
        let cases: [(&str, &[u8], DecodeError); 4] = [
            ("none", &[0x80], DecodeError::Value("want")),
            ("65", &[0x98, 65], DecodeError::Limit("cbor length")),
            ("seven bytes", &[0x81, 0x47], DecodeError::Value("byte string")),
            (
                "longer than its list",
                &[0x81, 0x48, 1, 1, 1, 1, 1, 1, 1, 1, 0],
                DecodeError::Trailing,
            ),
        ];
        for (name, body, error) in cases {
            assert_eq!(decode_want(body), Err(error), "{name}");
        }
    }

    proptest! {
        #[test]
        fn headers_and_bodies_read_back_msg_1(
            (code, read_through, seq, hlc) in (0..128u8, any::<bool>(), any::<u32>(), 0..=HLC_MAX),
            parents in prop::collection::vec(any::<[u8; 8]>(), 0..=PARENTS_MAX),
            text in ".{0,400}",
            read in any::<Option<[u8; 16]>>(),
        ) {
            let header = MessageHeader { kind: Kind::from_code(code), read_through, seq, hlc, parents: parents.clone() };
            let mut bytes = header.encode();
            bytes.extend(encode_text(&text));
            let (back, body) = MessageHeader::decode(&bytes).unwrap();
            prop_assert_eq!(back, header);
            prop_assert_eq!(decode_text(body).unwrap(), text);
            let receipt = Receipt { heads: parents, read: read.map(MessageId::from_bytes) };
            prop_assert_eq!(Receipt::decode(&receipt.encode()).unwrap(), receipt);
        }

        #[test]
        fn any_bytes_decode_or_err_msg_1(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = MessageHeader::decode(&bytes);
            let _ = decode_text(&bytes);
            let _ = Receipt::decode(&bytes);
            let _ = decode_want(&bytes);
        }
    }
}
