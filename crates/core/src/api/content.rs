//! What stands in messages and beside them: marks, polls, pins, where a message comes from.

use super::ChatId;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// What a part of a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum NodeKind {
    /// Words.
    Text,
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
    /// Somebody is meant, or all.
    Mention,
    /// What can be opened: its text is where it leads.
    Link,
}

/// A part of a text as a tree. Code, fixed width, mentions, links and words have a text; the others hold parts.
#[allow(clippy::use_self, reason = "the generated types need its name")]
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Its text.
    pub text: String,
    /// What it holds.
    pub inside: Vec<Node>,
    /// Who is meant.
    pub mention: Option<Mentioned>,
}

impl core::fmt::Debug for Node {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Node({:?})", self.kind)
    }
}

/// Who is meant.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Mentioned {
    /// The account, hex; absent: all members.
    pub account: Option<String>,
    /// What that account is called here.
    pub name: String,
    /// It is me, or I am one of all.
    pub me: bool,
}

impl core::fmt::Debug for Mentioned {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Mentioned({})", self.me)
    }
}

/// Where a message was written first.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ForwardedFrom {
    /// By whom, as whoever forwarded it says; absent: it is not said.
    pub name: Option<String>,
}

impl core::fmt::Debug for ForwardedFrom {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ForwardedFrom({})", self.name.is_some())
    }
}

/// What is to choose from. The message's text is the question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Poll {
    /// One may choose several.
    pub several: bool,
    /// Its author has ended it.
    pub closed: bool,
    /// How many have chosen something.
    pub voters: u32,
    /// The choices, as they are numbered.
    pub choices: Vec<Choice>,
}

/// One choice of a poll.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Choice {
    /// What it says.
    pub text: String,
    /// How many chose it.
    pub count: u32,
    /// I am one of them.
    pub mine: bool,
    /// Names of the first of them (at most 16).
    pub names: Vec<String>,
}

impl core::fmt::Debug for Choice {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Choice({})", self.count)
    }
}

/// Parameters of `Command::Pin`.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Pin {
    /// The message, hex.
    pub id: String,
    /// Put it on top; else take it off.
    pub on: bool,
}

/// Parameters of `Command::PollSend`.
#[derive(Clone, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct PollSend {
    /// Chat.
    pub chat: ChatId,
    /// 1 to 16,384 bytes of UTF-8 after trimming.
    pub question: String,
    /// 2 to 12 different texts of 1 to 200 bytes after trimming.
    pub choices: Vec<String>,
    /// One may choose several.
    pub several: bool,
    /// The caller's own id: sending twice with the same one sends once.
    #[serde(default)]
    pub client_id: Option<String>,
}

impl core::fmt::Debug for PollSend {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PollSend")
            .field("chat", &self.chat)
            .finish_non_exhaustive()
    }
}

/// Parameters of `Command::PollVote`.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct PollVote {
    /// The poll, hex.
    pub id: String,
    /// Numbers of all that I choose, from 0; none takes my vote back.
    pub choices: Vec<u8>,
}

/// Parameters of `Command::Forward`.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct Forward {
    /// The message, hex. No poll.
    pub id: String,
    /// The chat it goes to.
    pub chat: ChatId,
    /// Say who wrote it.
    pub named: bool,
    /// The caller's own id: sending twice with the same one sends once.
    #[serde(default)]
    pub client_id: Option<String>,
}
