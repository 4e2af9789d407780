//! Bodies of posts: a text, and whatever stands beside it; and of what sets a chat's timer.
//!
//! In: a body in CBOR. Out: its parts, each checked. What a text and a reply can say goes as these (MSG-6, CON-1): a post
//! is for the rest. Specified in `docs/protocol/13-content.md` (CON-8 and on).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::cbor;
use crate::codec::{DecodeError, Reader};
use crate::ids::MessageId;
use crate::introduce::Person;
use crate::jpeg::{self, Measures};
use crate::marks::Spans;
use crate::message::TEXT_BYTES_MAX;
use crate::opus;
use crate::place::Place;
use crate::poll::Poll;

/// Shortest timer, in seconds (CON-9).
pub const TIMER_S_MIN: u32 = 5;
/// Most bytes of a voice note, and of a photo with its preview (CON-13).
pub const MEDIA_BYTES_MAX: usize = 192 * 1024;
/// Most bytes of a preview (CON-15).
pub const PREVIEW_BYTES_MAX: usize = 60 * 1024;
/// Longest timer: 366 days, in seconds (CON-9).
pub const TIMER_S_MAX: u32 = 366 * 24 * 3600;

const TEXT: usize = 0;
const TARGET: usize = 1;
const TIMER: usize = 2;
const VOICE: usize = 3;
const PHOTO: usize = 4;
const PREVIEW: usize = 5;
const SPANS: usize = 6;
const POLL: usize = 7;
const FORWARDED: usize = 8;
const CARD: usize = 9;
const PLACE: usize = 10;
/// Greatest key of a post's map.
const KEY_MAX: usize = PLACE;
/// Most bytes of a person on a card (CON-25): two keys, a length, a name.
const CARD_BYTES_MAX: usize = 68 + 128;
/// Most bytes of the name of whoever wrote what is forwarded (CON-23).
pub const AUTHOR_BYTES_MAX: usize = 128;

/// A text, and whatever stands beside it (CON-8).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Post {
    /// What is read.
    pub text: String,
    /// The message that it answers.
    pub target: Option<MessageId>,
    /// It goes so many seconds after it was read (CON-9).
    pub timer_s: Option<u32>,
    /// What is heard or seen (CON-13).
    pub media: Option<Media>,
    /// What is marked in the text (CON-16).
    pub spans: Spans,
    /// What is to choose from; the text is the question (CON-20).
    pub poll: Option<Poll>,
    /// It was written elsewhere (CON-23).
    pub forwarded: Option<Forwarded>,
    /// Somebody whom the sender knows (CON-25).
    pub card: Option<Person>,
    /// Where somebody or something is (CON-26).
    pub place: Option<Place>,
}

/// Who wrote what is forwarded, if whoever forwards it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// It is not said.
    Unnamed,
    /// This is the name; nothing proves it.
    By(String),
}

impl Forwarded {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Unnamed => cbor::put_null(out),
            Self::By(name) => cbor::put_text(out, name),
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if cbor::null(reader) {
            return Ok(Self::Unnamed);
        }
        match cbor::text(reader, AUTHOR_BYTES_MAX)? {
            "" => Err(DecodeError::Value("author")),
            name => Ok(Self::By(String::from(name))),
        }
    }
}

/// What is heard or seen beside a text; each was checked.
#[derive(Clone, PartialEq, Eq)]
pub enum Media {
    /// A voice note (CON-14).
    Voice {
        /// An Ogg file.
        bytes: Vec<u8>,
        /// How long it plays.
        duration_ms: u32,
    },
    /// A photo (CON-15).
    Photo {
        /// A JPEG file.
        bytes: Vec<u8>,
        /// Its measures.
        measures: Measures,
        /// A smaller one of the same.
        preview: Option<Vec<u8>>,
    },
}

impl Media {
    /// Checks a voice note. Errors: over [`MEDIA_BYTES_MAX`]; those of [`opus::check`].
    pub fn voice(bytes: Vec<u8>) -> Result<Self, DecodeError> {
        limited(bytes.len())?;
        let duration_ms = opus::check(&bytes)?;
        Ok(Self::Voice { bytes, duration_ms })
    }

    /// Checks a photo and its preview. Errors: over [`MEDIA_BYTES_MAX`] together, a preview over [`PREVIEW_BYTES_MAX`];
    /// those of [`jpeg::check`].
    pub fn photo(bytes: Vec<u8>, preview: Option<Vec<u8>>) -> Result<Self, DecodeError> {
        let small = preview.as_ref().map_or(0, Vec::len);
        limited(bytes.len().saturating_add(small))?;
        if small > PREVIEW_BYTES_MAX {
            return Err(DecodeError::Limit("preview"));
        }
        let measures = jpeg::check(&bytes)?;
        if let Some(preview) = &preview {
            jpeg::check(preview)?;
        }
        Ok(Self::Photo {
            bytes,
            measures,
            preview,
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let (key, bytes, preview) = match self {
            Self::Voice { bytes, .. } => (VOICE, bytes, None),
            Self::Photo { bytes, preview, .. } => (PHOTO, bytes, preview.as_ref()),
        };
        cbor::put_number(out, key);
        cbor::put_bytes(out, bytes);
        if let Some(preview) = preview {
            cbor::put_number(out, PREVIEW);
            cbor::put_bytes(out, preview);
        }
    }

    const fn fields(&self) -> usize {
        match self {
            Self::Photo { preview: Some(_), .. } => 2,
            Self::Voice { .. } | Self::Photo { .. } => 1,
        }
    }
}

impl fmt::Debug for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Voice { duration_ms, .. } => write!(f, "Voice({duration_ms} ms)"),
            Self::Photo { measures, .. } => write!(f, "Photo({measures:?})"),
        }
    }
}

fn limited(length: usize) -> Result<(), DecodeError> {
    if length > MEDIA_BYTES_MAX {
        Err(DecodeError::Limit("media"))
    } else {
        Ok(())
    }
}

impl Post {
    /// CBOR map: small numbers, ascending, to what each is; what there is none of is left out.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let some = [
            !self.text.is_empty(),
            self.target.is_some(),
            self.timer_s.is_some(),
            !self.spans.is_empty(),
            self.poll.is_some(),
            self.forwarded.is_some(),
            self.card.is_some(),
            self.place.is_some(),
        ];
        let fields = some.iter().filter(|some| **some).count();
        let media = self.media.as_ref().map_or(0, Media::fields);
        cbor::put_map(&mut out, fields.saturating_add(media));
        if !self.text.is_empty() {
            cbor::put_number(&mut out, TEXT);
            cbor::put_text(&mut out, &self.text);
        }
        if let Some(target) = &self.target {
            cbor::put_number(&mut out, TARGET);
            cbor::put_bytes(&mut out, target.as_bytes());
        }
        if let Some(seconds) = self.timer_s {
            cbor::put_number(&mut out, TIMER);
            put_seconds(&mut out, seconds);
        }
        if let Some(media) = &self.media {
            media.encode(&mut out);
        }
        if !self.spans.is_empty() {
            cbor::put_number(&mut out, SPANS);
            self.spans.put(&mut out);
        }
        if let Some(poll) = &self.poll {
            cbor::put_number(&mut out, POLL);
            poll.put(&mut out);
        }
        if let Some(forwarded) = &self.forwarded {
            cbor::put_number(&mut out, FORWARDED);
            forwarded.put(&mut out);
        }
        if let Some(card) = &self.card {
            cbor::put_number(&mut out, CARD);
            cbor::put_bytes(&mut out, &card.encode());
        }
        if let Some(place) = &self.place {
            cbor::put_number(&mut out, PLACE);
            place.put(&mut out);
        }
        out
    }

    /// Reads such a body. Errors: any other shape, a key that is not known, twice or out of order, nothing to show.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let mut post = Self::default();
        let mut last = None;
        for _ in 0..cbor::map(&mut reader, KEY_MAX.saturating_add(1))? {
            let key = cbor::number(&mut reader, KEY_MAX)?;
            if last.is_some_and(|last| last >= key) {
                return Err(DecodeError::Value("post key"));
            }
            post.take(key, &mut reader)?;
            last = Some(key);
        }
        reader.end()?;
        let beside = [post.media.is_some(), post.card.is_some(), post.place.is_some()];
        let beside = beside.iter().filter(|there| **there).count();
        if post.text.is_empty() && beside == 0 {
            return Err(DecodeError::Value("empty post"));
        }
        if post.poll.is_some() && (post.text.is_empty() || beside > 0 || post.forwarded.is_some()) {
            return Err(DecodeError::Value("poll"));
        }
        if beside > 1 {
            return Err(DecodeError::Value("two things beside a text"));
        }
        Ok(post)
    }

    fn take(&mut self, key: usize, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        match key {
            TEXT => self.text = text(reader)?,
            TARGET => self.target = Some(MessageId::from_bytes(cbor::bytes(reader)?)),
            TIMER => self.timer_s = Some(seconds(reader)?),
            VOICE => self.media = Some(Media::voice(file(reader)?)?),
            PHOTO if self.media.is_none() => self.media = Some(Media::photo(file(reader)?, None)?),
            PREVIEW => match self.media.take() {
                Some(Media::Photo { bytes, .. }) => self.media = Some(Media::photo(bytes, Some(file(reader)?))?),
                _none => return Err(DecodeError::Value("preview")),
            },
            SPANS => self.spans = Spans::some(&self.text, reader)?,
            POLL => self.poll = Some(Poll::take(reader)?),
            FORWARDED => self.forwarded = Some(Forwarded::take(reader)?),
            CARD => self.card = Some(Person::decode(cbor::blob(reader, CARD_BYTES_MAX)?)?),
            PLACE => self.place = Some(Place::take(reader)?),
            _unknown => return Err(DecodeError::Value("post key")),
        }
        Ok(())
    }
}

/// The body of what sets a chat's timer: seconds as a CBOR number, or null for none (CON-10).
pub fn encode_timer(timer_s: Option<u32>) -> Vec<u8> {
    let mut out = Vec::new();
    match timer_s {
        Some(seconds) => put_seconds(&mut out, seconds),
        None => cbor::put_null(&mut out),
    }
    out
}

/// Reads such a body. Errors: any other shape, fewer seconds than [`TIMER_S_MIN`], more than [`TIMER_S_MAX`].
pub fn decode_timer(body: &[u8]) -> Result<Option<u32>, DecodeError> {
    let mut reader = Reader::new(body);
    let timer = if cbor::null(&mut reader) {
        None
    } else {
        Some(seconds(&mut reader)?)
    };
    reader.end()?;
    Ok(timer)
}

fn put_seconds(out: &mut Vec<u8>, seconds: u32) {
    cbor::put_number(out, usize::try_from(seconds).unwrap_or(usize::MAX));
}

fn seconds(reader: &mut Reader<'_>) -> Result<u32, DecodeError> {
    let most = usize::try_from(TIMER_S_MAX).unwrap_or(usize::MAX);
    let seconds = u32::try_from(cbor::number(reader, most)?).unwrap_or(u32::MAX);
    if seconds < TIMER_S_MIN {
        return Err(DecodeError::Value("timer"));
    }
    Ok(seconds)
}

fn file(reader: &mut Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    Ok(cbor::blob(reader, MEDIA_BYTES_MAX)?.to_vec())
}

/// A text that is not left out.
fn text(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    match cbor::text(reader, TEXT_BYTES_MAX)? {
        "" => Err(DecodeError::Value("empty text")),
        text => Ok(String::from(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;

    fn post() -> Post {
        Post {
            text: "gone by noon".into(),
            target: Some(MessageId::from_bytes([7; 16])),
            timer_s: Some(3600),
            ..Post::default()
        }
    }

    #[test]
    fn bad_posts_give_their_errors_con_8() {
        let bytes = post().encode();
        assert_eq!(Post::decode(&bytes), Ok(post()));
        let cases: [(&str, Vec<u8>, DecodeError); 9] = [
            ("cut", bytes[..bytes.len() - 1].to_vec(), DecodeError::Short),
            ("longer", [bytes.as_slice(), &[0]].concat(), DecodeError::Trailing),
            ("nothing", vec![0xa0], DecodeError::Value("empty post")),
            ("an empty text", vec![0xa1, 0, 0x60], DecodeError::Value("empty text")),
            (
                "a timer alone",
                vec![0xa1, 2, 0x19, 0x0e, 0x10],
                DecodeError::Value("empty post"),
            ),
            (
                "a key twice",
                vec![0xa2, 0, 0x61, b'a', 0, 0x61, b'b'],
                DecodeError::Value("post key"),
            ),
            ("a key of later", vec![0xa1, 0x17, 0], DecodeError::Limit("cbor length")),
            (
                "no span",
                vec![0xa2, 0, 0x61, b'a', 6, 0x80],
                DecodeError::Value("no span"),
            ),
            ("an array", vec![0x81, 0], DecodeError::Value("cbor type")),
        ];
        for (name, body, error) in cases {
            assert_eq!(Post::decode(&body), Err(error), "{name}");
        }
        let turned = [&[0xa2, 2, 9, 0, 0x61], &b"a"[..]].concat();
        assert_eq!(Post::decode(&turned), Err(DecodeError::Value("post key")));
    }

    #[test]
    fn a_timer_has_five_seconds_to_a_year_con_9() {
        for (timer, good) in [
            (None, true),
            (Some(TIMER_S_MIN - 1), false),
            (Some(TIMER_S_MIN), true),
            (Some(TIMER_S_MAX), true),
            (Some(TIMER_S_MAX + 1), false),
            (Some(u32::MAX), false),
        ] {
            assert_eq!(
                decode_timer(&encode_timer(timer)).ok() == Some(timer),
                good,
                "{timer:?}"
            );
            let timed = Post {
                timer_s: timer,
                ..post()
            };
            assert_eq!(Post::decode(&timed.encode()).is_ok(), good, "{timer:?}");
        }
        assert_eq!(decode_timer(&[0xf6, 0]), Err(DecodeError::Trailing));
    }

    #[test]
    fn media_have_their_limits_con_13() {
        let photo = |extra: usize| jpeg::samples::photo(64, 48, extra);
        let with = |photo: Vec<u8>, preview: Option<Vec<u8>>| Media::photo(photo, preview).map(|_| ());
        let room = MEDIA_BYTES_MAX - photo(0).len();
        assert_eq!(with(photo(room), None), Ok(()));
        assert_eq!(with(photo(room + 1), None), Err(DecodeError::Limit("media")));
        assert_eq!(with(photo(room), Some(photo(0))), Err(DecodeError::Limit("media")));
        let small = PREVIEW_BYTES_MAX - photo(0).len();
        assert_eq!(with(photo(0), Some(photo(small))), Ok(()));
        assert_eq!(
            with(photo(0), Some(photo(small + 1))),
            Err(DecodeError::Limit("preview"))
        );
        let note = opus::samples::note;
        assert!(Media::voice(note(6_000, 20)).is_ok());
        assert_eq!(Media::voice(note(6_000, 40)), Err(DecodeError::Limit("media")));
    }

    #[test]
    fn a_post_has_one_thing_to_hear_or_see_con_13() {
        let photo = jpeg::samples::photo(64, 48, 10);
        let note = opus::samples::note(3, 4);
        let seen = Post {
            media: Some(Media::photo(photo.clone(), Some(photo.clone())).unwrap()),
            text: String::new(),
            ..post()
        };
        assert_eq!(Post::decode(&seen.encode()), Ok(seen.clone()));
        let heard = Post {
            media: Some(Media::voice(note.clone()).unwrap()),
            ..seen
        };
        assert_eq!(Post::decode(&heard.encode()), Ok(heard));
        let raw = |fields: &[(usize, &[u8])]| {
            let mut out = Vec::new();
            cbor::put_map(&mut out, fields.len());
            for (key, bytes) in fields {
                cbor::put_number(&mut out, *key);
                cbor::put_bytes(&mut out, bytes);
            }
            Post::decode(&out)
        };
        assert!(raw(&[(VOICE, &note)]).is_ok());
        assert!(raw(&[(VOICE, &note), (PHOTO, &photo)]).is_err());
        assert_eq!(raw(&[(PREVIEW, &photo)]), Err(DecodeError::Value("preview")));
        assert_eq!(raw(&[(PHOTO, &note)]), Err(DecodeError::Value("jpeg")));
        assert_eq!(raw(&[(VOICE, &photo)]), Err(DecodeError::Value("ogg page")));
    }

    #[test]
    fn a_poll_has_a_question_and_nothing_else_beside_it_con_20() {
        let poll = Poll::of(false, vec!["yes".into(), "no".into()]).unwrap();
        let asked = Post {
            poll: Some(poll),
            ..post()
        };
        assert_eq!(Post::decode(&asked.encode()), Ok(asked.clone()));
        let media = Some(Media::voice(opus::samples::note(3, 4)).unwrap());
        for bad in [
            Post {
                text: String::new(),
                media: media.clone(),
                ..asked.clone()
            },
            Post { media, ..asked.clone() },
            Post {
                forwarded: Some(Forwarded::Unnamed),
                ..asked
            },
        ] {
            assert_eq!(Post::decode(&bad.encode()), Err(DecodeError::Value("poll")));
        }
    }

    #[test]
    fn what_is_forwarded_may_name_its_author_con_23() {
        for (forwarded, good) in [
            (Forwarded::Unnamed, true),
            (Forwarded::By("Bo".into()), true),
            (Forwarded::By(String::new()), false),
            (Forwarded::By("x".repeat(AUTHOR_BYTES_MAX)), true),
            (Forwarded::By("x".repeat(AUTHOR_BYTES_MAX + 1)), false),
        ] {
            let post = Post {
                forwarded: Some(forwarded),
                ..post()
            };
            assert_eq!(Post::decode(&post.encode()).is_ok(), good, "{post:?}");
        }
    }

    /// What stands beside the text takes little room (ENV-2).
    #[test]
    fn a_timed_text_of_thirty_bytes_is_no_longer_than_eight_more_con_8() {
        let text = "thirty bytes of text, exactly.";
        let timed = Post {
            text: text.into(),
            timer_s: Some(TIMER_S_MAX),
            ..Post::default()
        };
        assert!(timed.encode().len() <= crate::message::encode_text(text).len() + 8);
    }

    proptest! {
        #[test]
        fn posts_read_back_con_8(
            text in ".{1,300}",
            target in any::<Option<[u8; 16]>>(),
            timer in prop::option::of(TIMER_S_MIN..=TIMER_S_MAX),
            wild in prop::collection::vec((0..40_usize, 1..12_usize, any::<u8>()), 0..9),
            forwarded in prop::option::of(prop::option::of(".{1,30}")),
            choices in prop::option::of(prop::collection::btree_set("[a-z]{1,9}", 2..5)),
        ) {
            let spans = crate::marks::tests::spans(&text, wild);
            let poll = choices.map(|choices| Poll::of(true, choices.into_iter().collect()).unwrap());
            let forwarded = forwarded.filter(|_| poll.is_none()).map(|name| name.map_or(Forwarded::Unnamed, Forwarded::By));
            let post = Post { text, target: target.map(MessageId::from_bytes), timer_s: timer, media: None, spans, poll, forwarded, card: None, place: None };
            prop_assert_eq!(Post::decode(&post.encode()), Ok(post));
            prop_assert_eq!(decode_timer(&encode_timer(timer)), Ok(timer));
        }

        #[test]
        fn any_bytes_are_a_post_or_err_con_8(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(post) = Post::decode(&bytes) {
                prop_assert_eq!(post.encode(), bytes.clone());
            }
            if let Ok(timer) = decode_timer(&bytes) {
                prop_assert_eq!(encode_timer(timer), bytes);
            }
        }
    }
}
