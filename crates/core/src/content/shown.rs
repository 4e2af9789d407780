//! What a message is to a reader: a text and what stands beside it, something newer, or nothing to show.
//!
//! In: the kind and body of a message that came, or what the person wants to write. Out: [`Shown`], or kind and body.
//! The smallest kind that says it is taken. Who may write what is judged elsewhere.

use crate::api::MessageKind;
use stonechat_wire::codec::DecodeError;
use stonechat_wire::content::TextAbout;
use stonechat_wire::ids::MessageId;
use stonechat_wire::introduce::{Ask, Person};
use stonechat_wire::marks::Spans;
use stonechat_wire::message::{self, Kind};
use stonechat_wire::place::Place;
use stonechat_wire::poll::Poll;
use stonechat_wire::post::{Forwarded, Media, Post, decode_timer, encode_timer};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// Nothing where there is nothing to show.
    pub(crate) kind: Option<MessageKind>,
    pub(crate) text: String,
    pub(crate) reply_to: Option<MessageId>,
    /// It goes so many seconds after it was read; of a line about the timer: what it sets.
    pub(crate) timer_s: Option<u32>,
    /// What is heard or seen beside the text.
    pub(crate) media: Option<Media>,
    /// What is marked in the text.
    pub(crate) spans: Spans,
    /// What is to choose from; the text is the question.
    pub(crate) poll: Option<Poll>,
    /// It was written elsewhere.
    pub(crate) forwarded: Option<Forwarded>,
    /// Somebody whom its sender knows.
    pub(crate) card: Option<Person>,
    /// Where somebody or something is.
    pub(crate) place: Option<Place>,
    /// Whom to meet; the text is that person's name.
    pub(crate) introduction: Option<Ask>,
    /// I am meant.
    pub(crate) mentions_me: bool,
}

impl Shown {
    /// What a body says. One that does not read is kept as something newer.
    pub(crate) fn read(kind: Kind, body: &[u8]) -> Self {
        let read = match kind {
            Kind::Text => message::decode_text(body).map(Self::text),
            Kind::Reply => TextAbout::decode(body).map(|about| Self {
                reply_to: Some(about.target),
                ..Self::text(about.text)
            }),
            Kind::Post => Post::decode(body).map(Self::post),
            Kind::Timer => decode_timer(body).map(Self::timer),
            Kind::Introduce => Ask::decode(body).map(Self::introduction),
            _newer => Err(DecodeError::Value("kind")),
        };
        read.unwrap_or_else(|_| Self {
            kind: Some(MessageKind::Unknown),
            ..Self::default()
        })
    }

    pub(crate) fn text(text: String) -> Self {
        Self {
            kind: Some(MessageKind::Text),
            text,
            ..Self::default()
        }
    }

    fn post(post: Post) -> Self {
        Self {
            reply_to: post.target,
            timer_s: post.timer_s,
            media: post.media,
            spans: post.spans,
            poll: post.poll,
            forwarded: post.forwarded,
            card: post.card,
            place: post.place,
            ..Self::text(post.text)
        }
    }

    /// A question whether to meet somebody.
    pub(crate) fn introduction(ask: Ask) -> Self {
        Self {
            kind: Some(MessageKind::Introduction),
            text: ask.who.name.clone(),
            introduction: Some(ask),
            ..Self::default()
        }
    }

    /// A line about the chat's timer.
    pub(crate) fn timer(timer_s: Option<u32>) -> Self {
        Self {
            kind: Some(MessageKind::Timer),
            timer_s,
            ..Self::default()
        }
    }

    /// The kind and body that say it.
    pub(crate) fn encoded(&self) -> (Kind, Vec<u8>) {
        if self.kind == Some(MessageKind::Timer) {
            return (Kind::Timer, encode_timer(self.timer_s));
        }
        if let Some(ask) = &self.introduction {
            return (Kind::Introduce, ask.encode());
        }
        let text = self.text.clone();
        match (self.timer_s, self.reply_to) {
            _beside if self.has_more() => (Kind::Post, self.as_post().encode()),
            (None, None) => (Kind::Text, message::encode_text(&text)),
            (None, Some(target)) => (Kind::Reply, TextAbout { target, text }.encode()),
            (Some(_), _) => (Kind::Post, self.as_post().encode()),
        }
    }

    /// More stands beside the text than a target and a timer.
    fn has_more(&self) -> bool {
        self.media.is_some()
            || !self.spans.is_empty()
            || self.poll.is_some()
            || self.forwarded.is_some()
            || self.card.is_some()
            || self.place.is_some()
    }

    fn as_post(&self) -> Post {
        Post {
            text: self.text.clone(),
            target: self.reply_to,
            timer_s: self.timer_s,
            media: self.media.clone(),
            spans: self.spans.clone(),
            poll: self.poll.clone(),
            forwarded: self.forwarded.clone(),
            card: self.card.clone(),
            place: self.place.clone(),
        }
    }

    /// As the column has them.
    pub(crate) fn spans(&self) -> Option<Vec<u8>> {
        (!self.spans.is_empty()).then(|| self.spans.encode())
    }

    /// As the column has it: empty where nobody is named.
    pub(crate) fn forwarded(&self) -> Option<&str> {
        self.forwarded.as_ref().map(|forwarded| match forwarded {
            Forwarded::Unnamed => "",
            Forwarded::By(name) => name.as_str(),
        })
    }

    /// As the column has it: 0 where a line about the timer sets none.
    pub(crate) fn timer_s(&self) -> Option<u32> {
        match self.kind {
            Some(MessageKind::Timer) => Some(self.timer_s.unwrap_or(0)),
            _other => self.timer_s,
        }
    }
}
