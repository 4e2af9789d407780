//! What is marked in a text: bold, italic, struck out, fixed width, spoilers, code, quotes, mentions.
//!
//! In: a text and the bytes beside it. Out: [`Spans`], which form a tree over it. The text alone says everything: spans
//! only say how it is shown and who is meant. Links are not told, they are found. Specified in
//! `docs/protocol/13-content.md` (CON-16).
//! Invariant: any two spans are apart or one holds the other; there is one way to write a tree.

use alloc::vec::Vec;
use core::fmt;

use crate::cbor;
use crate::codec::{DecodeError, Reader};
use crate::ids::AccountId;
use crate::message::TEXT_BYTES_MAX;

/// Most spans of one text (CON-16).
pub const SPANS_MAX: usize = 128;

const MENTION: usize = 7;
const ALL: usize = 8;

/// What a span says. The order is that of their numbers on the wire: of two over the same text the first holds the other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Mark {
    /// Lines of somebody else.
    Quote,
    /// Lines as they stand, of fixed width.
    Code,
    /// Strong.
    Bold,
    /// Stressed.
    Italic,
    /// Struck out.
    Strike,
    /// Hidden until asked for.
    Spoiler,
    /// Of fixed width.
    Mono,
    /// Somebody is meant.
    Mention(AccountId),
    /// All members are meant.
    All,
}

impl Mark {
    const fn code(self) -> usize {
        match self {
            Self::Quote => 0,
            Self::Code => 1,
            Self::Bold => 2,
            Self::Italic => 3,
            Self::Strike => 4,
            Self::Spoiler => 5,
            Self::Mono => 6,
            Self::Mention(_) => MENTION,
            Self::All => ALL,
        }
    }

    /// Whole lines, and in nothing else.
    const fn is_block(self) -> bool {
        matches!(self, Self::Quote | Self::Code)
    }

    /// Nothing stands in it.
    const fn is_leaf(self) -> bool {
        matches!(self, Self::Code | Self::Mono | Self::Mention(_) | Self::All)
    }

    fn read(reader: &mut Reader<'_>, fields: usize) -> Result<Self, DecodeError> {
        let code = cbor::number(reader, ALL)?;
        if (fields == 4) != (code == MENTION) {
            return Err(DecodeError::Value("mark"));
        }
        Ok(match code {
            0 => Self::Quote,
            1 => Self::Code,
            2 => Self::Bold,
            3 => Self::Italic,
            4 => Self::Strike,
            5 => Self::Spoiler,
            6 => Self::Mono,
            MENTION => Self::Mention(AccountId::from_bytes([0; 32])),
            _all => Self::All,
        })
    }
}

/// A mark over some bytes of a text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub from: usize,
    /// How many bytes; never none.
    pub length: usize,
    /// What it says.
    pub mark: Mark,
}

impl Span {
    /// The byte behind its last one.
    pub const fn end(&self) -> usize {
        self.from.saturating_add(self.length)
    }

    fn order(&self) -> (usize, usize, usize) {
        (self.from, usize::MAX.saturating_sub(self.length), self.mark.code())
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({}+{})", self.mark, self.from, self.length)
    }
}

/// The spans of one text, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans(Vec<Span>);

impl Spans {
    /// Checks spans over `text`. Errors: over [`SPANS_MAX`], outside the text, out of order, across one another, a mark
    /// where it cannot stand.
    pub fn over(text: &str, spans: Vec<Span>) -> Result<Self, DecodeError> {
        if spans.len() > SPANS_MAX {
            return Err(DecodeError::Limit("spans"));
        }
        let mut open: Vec<Span> = Vec::new();
        let mut last = None;
        for span in &spans {
            if last.is_some_and(|last| last >= span.order()) || !covers(text, span) {
                return Err(DecodeError::Value("span"));
            }
            last = Some(span.order());
            open.retain(|outer| outer.end() > span.from);
            if !fits(&open, span) {
                return Err(DecodeError::Value("span"));
            }
            open.push(*span);
        }
        Ok(Self(spans))
    }

    /// Each before what it holds.
    pub fn all(&self) -> &[Span] {
        &self.0
    }

    /// Nothing is marked.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that are not refused. What is left is a tree still.
    #[must_use]
    pub fn without(&self, refused: impl Fn(&Mark) -> bool) -> Self {
        Self(self.0.iter().filter(|span| !refused(&span.mark)).copied().collect())
    }

    /// CBOR array of spans: each an array of mark, first byte, length, and of a mention the account.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.put(&mut out);
        out
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        cbor::put_array(out, self.0.len());
        for span in &self.0 {
            let account = match span.mark {
                Mark::Mention(account) => Some(account),
                _other => None,
            };
            cbor::put_array(out, if account.is_some() { 4 } else { 3 });
            cbor::put_number(out, span.mark.code());
            cbor::put_number(out, span.from);
            cbor::put_number(out, span.length);
            if let Some(account) = account {
                cbor::put_bytes(out, account.as_bytes());
            }
        }
    }

    /// Reads what [`Spans::encode`] gives, over its text. Errors: any other shape; those of [`Spans::over`].
    pub fn decode(text: &str, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let spans = Self::take(text, &mut reader)?;
        reader.end()?;
        Ok(spans)
    }

    /// Of what is in a message: none is left out instead.
    pub(crate) fn some(text: &str, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let spans = Self::take(text, reader)?;
        if spans.is_empty() {
            return Err(DecodeError::Value("no span"));
        }
        Ok(spans)
    }

    fn take(text: &str, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut spans = Vec::new();
        for _ in 0..cbor::array(reader, SPANS_MAX)? {
            let fields = cbor::array(reader, 4)?;
            if fields < 3 {
                return Err(DecodeError::Value("span"));
            }
            let mark = Mark::read(reader, fields)?;
            let (from, length) = (
                cbor::number(reader, TEXT_BYTES_MAX)?,
                cbor::number(reader, TEXT_BYTES_MAX)?,
            );
            let mark = match mark {
                Mark::Mention(_) => Mark::Mention(AccountId::from_bytes(cbor::bytes(reader)?)),
                other => other,
            };
            spans.push(Span { from, length, mark });
        }
        Self::over(text, spans)
    }
}

/// Whole letters of the text; whole lines where the mark is for lines; a mention begins with @.
fn covers(text: &str, span: &Span) -> bool {
    let Some(covered) = text.get(span.from..span.end()) else {
        return false;
    };
    let line_before = text.get(..span.from).is_some_and(|t| t.is_empty() || t.ends_with('\n'));
    let line_behind = text
        .get(span.end()..)
        .is_some_and(|t| t.is_empty() || t.starts_with('\n'));
    !covered.is_empty()
        && (!span.mark.is_block() || (line_before && line_behind))
        && (span.mark.code() < MENTION || covered.starts_with('@'))
}

/// Whether a span may stand in those that hold it.
fn fits(open: &[Span], span: &Span) -> bool {
    open.iter().all(|outer| {
        span.end() <= outer.end()
            && !outer.mark.is_leaf()
            && !span.mark.is_block()
            && outer.mark.code() != span.mark.code()
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    const ACCOUNT: AccountId = AccountId::from_bytes([5; 32]);

    fn span(from: usize, length: usize, mark: Mark) -> Span {
        Span { from, length, mark }
    }

    fn good(text: &str, spans: &[Span]) -> bool {
        Spans::over(text, spans.to_vec()).is_ok()
    }

    #[test]
    fn spans_form_a_tree_in_one_way_only_con_16() {
        let text = "a bold and é@Bo";
        assert!(good(text, &[span(2, 4, Mark::Bold)]));
        assert!(good(
            text,
            &[span(0, 6, Mark::Bold), span(0, 6, Mark::Italic), span(2, 4, Mark::Mono)]
        ));
        assert!(good(text, &[span(13, 3, Mark::Mention(ACCOUNT))]));
        let bad: [(&str, &[Span]); 11] = [
            ("of no length", &[span(2, 0, Mark::Bold)]),
            ("outside", &[span(2, 40, Mark::Bold)]),
            ("at the very end of numbers", &[span(usize::MAX, 2, Mark::Bold)]),
            ("half a letter", &[span(12, 1, Mark::Bold)]),
            ("out of order", &[span(2, 4, Mark::Bold), span(0, 1, Mark::Bold)]),
            (
                "the outer one second",
                &[span(0, 2, Mark::Bold), span(0, 6, Mark::Italic)],
            ),
            ("twice", &[span(2, 4, Mark::Bold), span(2, 4, Mark::Bold)]),
            (
                "across one another",
                &[span(0, 4, Mark::Bold), span(2, 4, Mark::Italic)],
            ),
            ("in itself", &[span(0, 6, Mark::Bold), span(2, 2, Mark::Bold)]),
            (
                "in what holds none",
                &[span(0, 6, Mark::Mono), span(2, 2, Mark::Mention(ACCOUNT))],
            ),
            ("a mention without @", &[span(2, 4, Mark::All)]),
        ];
        for (name, spans) in bad {
            assert!(!good(text, spans), "{name}");
        }
    }

    #[test]
    fn quotes_and_code_are_whole_lines_and_stand_in_nothing_con_16() {
        let text = "one\ntwo\nthree";
        assert!(good(text, &[span(4, 3, Mark::Quote), span(8, 5, Mark::Code)]));
        assert!(good(text, &[span(0, 7, Mark::Quote), span(0, 5, Mark::Bold)]));
        for bad in [
            &[span(4, 2, Mark::Quote)][..],
            &[span(5, 2, Mark::Code)],
            &[span(0, 7, Mark::Bold), span(4, 3, Mark::Quote)],
            &[span(0, 7, Mark::Quote), span(4, 3, Mark::Code)],
        ] {
            assert!(!good(text, bad), "{bad:?}");
        }
    }

    #[test]
    fn a_text_has_at_most_128_spans_con_16() {
        let text = "x".repeat(400);
        let many = |count: usize| (0..count).map(|n| span(n, 1, Mark::Bold)).collect::<Vec<_>>();
        let full = Spans::over(&text, many(SPANS_MAX)).unwrap();
        assert_eq!(Spans::decode(&text, &full.encode()), Ok(full));
        assert_eq!(
            Spans::over(&text, many(SPANS_MAX + 1)),
            Err(DecodeError::Limit("spans"))
        );
        assert_eq!(
            Spans::decode(&text, &[0x98, 129]),
            Err(DecodeError::Limit("cbor length"))
        );
    }

    #[test]
    fn what_is_no_span_gives_its_error_con_16() {
        for (name, bytes) in [
            ("two fields", &[0x81, 0x82, 2, 0][..]),
            ("a mark of later", &[0x81, 0x83, 9, 0, 1]),
            ("bold with an account", &[0x81, 0x84, 2, 0, 1, 0x40]),
            ("a mention of nobody", &[0x81, 0x83, 7, 0, 1]),
            ("longer", &[0x81, 0x83, 2, 0, 1, 0]),
        ] {
            assert!(Spans::decode("@a", bytes).is_err(), "{name}");
        }
    }

    /// Spans as anybody could make them; those that are no tree are left out one by one.
    pub(crate) fn spans(text: &str, wild: Vec<(usize, usize, u8)>) -> Spans {
        let mut kept: Vec<Span> = Vec::new();
        for (from, length, mark) in wild {
            let mark = match mark % 9 {
                0 => Mark::Quote,
                1 => Mark::Code,
                2 => Mark::Bold,
                3 => Mark::Italic,
                4 => Mark::Strike,
                5 => Mark::Spoiler,
                6 => Mark::Mono,
                7 => Mark::Mention(ACCOUNT),
                _ => Mark::All,
            };
            let mut more = kept.clone();
            more.push(span(from, length, mark));
            more.sort_by_key(Span::order);
            if Spans::over(text, more.clone()).is_ok() {
                kept = more;
            }
        }
        Spans(kept)
    }

    proptest! {
        #[test]
        fn spans_read_back_con_16(text in "[a@é\n]{1,40}", wild in prop::collection::vec((0..40_usize, 1..12_usize, any::<u8>()), 0..30)) {
            let spans = spans(&text, wild);
            prop_assert_eq!(Spans::decode(&text, &spans.encode()), Ok(spans.clone()));
            let left = spans.without(|mark| *mark == Mark::Bold);
            prop_assert_eq!(Spans::over(&text, left.all().to_vec()), Ok(left));
        }

        #[test]
        fn any_bytes_are_spans_or_err_con_16(text in "[a@\n]{0,9}", bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(spans) = Spans::decode(&text, &bytes) {
                prop_assert_eq!(spans.encode(), bytes);
            }
        }
    }
}
