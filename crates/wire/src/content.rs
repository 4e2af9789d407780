//! Bodies of messages that stand to another message: a reply, a reaction, an edit, a deletion, a pin.
//!
//! In: a body in CBOR. Out: which message it is about, and what it says. Whether its sender may do that, and what comes
//! of it, is core's job. Specified in `docs/protocol/13-content.md` (CON-*).

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use crate::cbor;
use crate::codec::{DecodeError, Reader};
use crate::emoji::{EMOJI_BYTES_MAX, is_emoji};
use crate::ids::MessageId;
use crate::marks::Spans;
use crate::message::TEXT_BYTES_MAX;

/// Most emojis that one account has on one message (CON-3).
pub const EMOJIS_MAX: usize = 8;

/// A text about a message: the body of a reply (CON-1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextAbout {
    /// The message answered.
    pub target: MessageId,
    /// The answer.
    pub text: String,
}

impl TextAbout {
    /// CBOR array of two: message id (byte string of 16), text.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        cbor::put_array(&mut out, 2);
        cbor::put_bytes(&mut out, self.target.as_bytes());
        cbor::put_text(&mut out, &self.text);
        out
    }

    /// Reads such a body. Errors: any other shape, a text over [`TEXT_BYTES_MAX`].
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let target = target_of_two(&mut reader)?;
        let text = String::from(cbor::text(&mut reader, TEXT_BYTES_MAX)?);
        reader.end()?;
        Ok(Self { target, text })
    }
}

/// Another text for a message: the body of an edit (CON-4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The message changed.
    pub target: MessageId,
    /// What shall stand there.
    pub text: String,
    /// What is marked in it (CON-16).
    pub spans: Spans,
}

impl Edit {
    /// CBOR array of two or three: message id (byte string of 16), text, and spans where there are some.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        cbor::put_array(&mut out, if self.spans.is_empty() { 2 } else { 3 });
        cbor::put_bytes(&mut out, self.target.as_bytes());
        cbor::put_text(&mut out, &self.text);
        if !self.spans.is_empty() {
            self.spans.put(&mut out);
        }
        out
    }

    /// Reads such a body. Errors: any other shape, a text over [`TEXT_BYTES_MAX`].
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let fields = cbor::array(&mut reader, 3)?;
        if fields < 2 {
            return Err(DecodeError::Value("about"));
        }
        let target = MessageId::from_bytes(cbor::bytes(&mut reader)?);
        let text = String::from(cbor::text(&mut reader, TEXT_BYTES_MAX)?);
        let spans = match fields {
            3 => Spans::some(&text, &mut reader)?,
            _two => Spans::default(),
        };
        reader.end()?;
        Ok(Self { target, text, spans })
    }
}

/// All emojis that the sender has on a message from now on: the body of a reaction (CON-3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reaction {
    /// The message.
    pub target: MessageId,
    /// None: the sender takes back what it had.
    pub emojis: BTreeSet<String>,
}

impl Reaction {
    /// CBOR array of two: message id (byte string of 16), array of texts in ascending order. Over [`EMOJIS_MAX`]: the
    /// first ones.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        cbor::put_array(&mut out, 2);
        cbor::put_bytes(&mut out, self.target.as_bytes());
        let emojis = self.emojis.len().min(EMOJIS_MAX);
        cbor::put_array(&mut out, emojis);
        for emoji in self.emojis.iter().take(emojis) {
            cbor::put_text(&mut out, emoji);
        }
        out
    }

    /// Reads such a body. Errors: any other shape, more than [`EMOJIS_MAX`], one twice or out of order, no emoji.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let target = target_of_two(&mut reader)?;
        let mut emojis = BTreeSet::new();
        for _ in 0..cbor::array(&mut reader, EMOJIS_MAX)? {
            let emoji = cbor::text(&mut reader, EMOJI_BYTES_MAX)?;
            let ascending = emojis.last().is_none_or(|last: &String| last.as_str() < emoji);
            if !ascending || !is_emoji(emoji) {
                return Err(DecodeError::Value("emoji"));
            }
            emojis.insert(String::from(emoji));
        }
        reader.end()?;
        Ok(Self { target, emojis })
    }
}

/// The body of a deletion for everybody: the message's id, one byte string of 16 (CON-5).
pub fn encode_deletion(target: MessageId) -> Vec<u8> {
    let mut out = Vec::new();
    cbor::put_bytes(&mut out, target.as_bytes());
    out
}

/// Reads such a body. Errors: any other shape.
pub fn decode_deletion(body: &[u8]) -> Result<MessageId, DecodeError> {
    let mut reader = Reader::new(body);
    let target = MessageId::from_bytes(cbor::bytes(&mut reader)?);
    reader.end()?;
    Ok(target)
}

/// The body of a pin: CBOR array of two: message id (byte string of 16), 1 to pin, 0 to take off (CON-19).
pub fn encode_pin(target: MessageId, on: bool) -> Vec<u8> {
    let mut out = Vec::new();
    cbor::put_array(&mut out, 2);
    cbor::put_bytes(&mut out, target.as_bytes());
    cbor::put_number(&mut out, usize::from(on));
    out
}

/// Reads such a body. Errors: any other shape.
pub fn decode_pin(body: &[u8]) -> Result<(MessageId, bool), DecodeError> {
    let mut reader = Reader::new(body);
    let target = target_of_two(&mut reader)?;
    let on = cbor::number(&mut reader, 1)? == 1;
    reader.end()?;
    Ok((target, on))
}

pub(crate) fn target_of_two(reader: &mut Reader<'_>) -> Result<MessageId, DecodeError> {
    if cbor::array(reader, 2)? != 2 {
        return Err(DecodeError::Value("about"));
    }
    Ok(MessageId::from_bytes(cbor::bytes(reader)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marks::{Mark, Span};
    use proptest::prelude::*;
    use std::vec;

    const TARGET: MessageId = MessageId::from_bytes([7; 16]);

    fn reaction(emojis: &[&str]) -> Vec<u8> {
        let mut out = vec![0x82, 0x50];
        out.extend(TARGET.as_bytes());
        cbor::put_array(&mut out, emojis.len());
        emojis.iter().for_each(|emoji| cbor::put_text(&mut out, emoji));
        out
    }

    #[test]
    fn bad_texts_about_messages_give_their_errors_con_1() {
        let good = TextAbout {
            target: TARGET,
            text: "yes".into(),
        };
        let bytes = good.encode();
        assert_eq!(TextAbout::decode(&bytes), Ok(good));
        assert_eq!(TextAbout::decode(&bytes[..bytes.len() - 1]), Err(DecodeError::Short));
        assert_eq!(
            TextAbout::decode(&[bytes.as_slice(), &[0]].concat()),
            Err(DecodeError::Trailing)
        );
        assert_eq!(TextAbout::decode(&[0x81, 0x50]), Err(DecodeError::Value("about")));
        assert_eq!(TextAbout::decode(&[0x82, 0x4f]), Err(DecodeError::Value("byte string")));
        let long = TextAbout {
            target: TARGET,
            text: "x".repeat(TEXT_BYTES_MAX + 1),
        };
        assert_eq!(
            TextAbout::decode(&long.encode()),
            Err(DecodeError::Limit("cbor length"))
        );
    }

    #[test]
    fn bad_reactions_give_their_errors_con_3() {
        assert_eq!(Reaction::decode(&reaction(&[])).unwrap().emojis.len(), 0);
        assert_eq!(Reaction::decode(&reaction(&["🎉", "👍"])).unwrap().emojis.len(), 2);
        for bad in [&["👍", "🎉"][..], &["👍", "👍"], &["ok"], &["👍", "👎 "], &[""]] {
            assert_eq!(
                Reaction::decode(&reaction(bad)),
                Err(DecodeError::Value("emoji")),
                "{bad:?}"
            );
        }
        let many = ["🌀", "🌁", "🌂", "🌃", "🌄", "🌅", "🌆", "🌇", "🌈"];
        assert!(Reaction::decode(&reaction(&many[..EMOJIS_MAX])).is_ok());
        assert_eq!(
            Reaction::decode(&reaction(&many)),
            Err(DecodeError::Limit("cbor length"))
        );
    }

    #[test]
    fn a_deletion_is_one_id_con_5() {
        let body = encode_deletion(TARGET);
        assert_eq!(decode_deletion(&body), Ok(TARGET));
        assert_eq!(decode_deletion(&body[..16]), Err(DecodeError::Short));
        assert_eq!(
            decode_deletion(&[body.as_slice(), &[1]].concat()),
            Err(DecodeError::Trailing)
        );
    }

    #[test]
    fn an_edit_has_spans_or_leaves_them_out_con_4() {
        let edit = |spans: &[Span]| Edit {
            target: TARGET,
            text: "so".into(),
            spans: Spans::over("so", spans.to_vec()).unwrap(),
        };
        let bold = Span {
            from: 0,
            length: 2,
            mark: Mark::Bold,
        };
        for edit in [edit(&[]), edit(&[bold])] {
            assert_eq!(Edit::decode(&edit.encode()), Ok(edit));
        }
        let mut none = edit(&[]).encode();
        none[0] = 0x83;
        none.push(0x80);
        assert_eq!(Edit::decode(&none), Err(DecodeError::Value("no span")));
        assert_eq!(Edit::decode(&[0x81, 0x50]), Err(DecodeError::Value("about")));
    }

    #[test]
    fn a_pin_is_put_or_taken_off_con_19() {
        for on in [true, false] {
            assert_eq!(decode_pin(&encode_pin(TARGET, on)), Ok((TARGET, on)));
        }
        let mut third = encode_pin(TARGET, true);
        third[18] = 2;
        assert_eq!(decode_pin(&third), Err(DecodeError::Limit("cbor length")));
    }

    proptest! {
        #[test]
        fn bodies_about_messages_read_back_con_1(target in any::<[u8; 16]>(), text in ".{0,300}") {
            let about = TextAbout { target: MessageId::from_bytes(target), text };
            prop_assert_eq!(TextAbout::decode(&about.encode()).unwrap(), about.clone());
            prop_assert_eq!(decode_deletion(&encode_deletion(about.target)).unwrap(), about.target);
        }

        #[test]
        fn any_bytes_are_a_body_or_err_con_1(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = TextAbout::decode(&bytes);
            let _ = Reaction::decode(&bytes);
            let _ = decode_deletion(&bytes);
            if let Ok(edit) = Edit::decode(&bytes) {
                prop_assert_eq!(edit.encode(), bytes.clone());
            }
            if let Ok((target, on)) = decode_pin(&bytes) {
                prop_assert_eq!(encode_pin(target, on), bytes);
            }
        }
    }
}
