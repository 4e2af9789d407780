//! Chats, their messages, and what can be done with them; search and drafts.

use super::{ChatId, ForwardedFrom, GroupBrief, Introduction, Media, MediaKind, Node, PersonCard, Place, Poll};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// How far a message of mine got; messages of others are `received`, then `read`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum MessageState {
    /// Kept here; nobody has taken it yet.
    Queued,
    /// A carrier has it.
    Carried,
    /// The recipient's device has it.
    Delivered,
    /// The recipient has read it (mine), or I have (others').
    Read,
    /// Somebody else's message, not read yet.
    Received,
}

/// What kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum MessageKind {
    /// A text.
    Text,
    /// A kind this version does not know: kept, shown as "needs a newer version".
    Unknown,
    /// A line by the app: the conversation began.
    Began,
    /// Deleted for everybody: nothing of it is left.
    Deleted,
    /// A line by the app: its sender has a new device, and lost the ones before.
    NewDevice = 5,
    /// Its sender said how long messages of this chat stay.
    Timer = 6,
    /// Its sender asks whether two people want to meet.
    Introduction = 10,
}

/// The message that another one answers, as it stands now.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Quote {
    /// Its id, hex.
    pub id: String,
    /// What is here of it; absent: it is not in this chat (any more, or not yet).
    pub found: Option<Quoted>,
}

/// What is shown of a message that is answered.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Quoted {
    /// Its place in the chat.
    pub position: i64,
    /// Written on this account.
    pub mine: bool,
    /// Its sender's name.
    pub from_name: String,
    /// Its kind.
    pub kind: MessageKind,
    /// The first 160 characters of its text; spoilers are blotted out.
    pub text: String,
    /// What is heard or seen beside it.
    pub media: Option<MediaKind>,
}

impl core::fmt::Debug for Quote {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Quote({})", self.found.is_some())
    }
}

impl core::fmt::Debug for Quoted {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Quoted { .. }")
    }
}

/// An emoji on a message, and who put it there.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Reaction {
    /// The emoji.
    pub emoji: String,
    /// How many have put it there.
    pub count: u32,
    /// I am one of them.
    pub mine: bool,
    /// Names of the first of them (at most 16).
    pub names: Vec<String>,
}

impl core::fmt::Debug for Reaction {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Reaction({})", self.count)
    }
}

/// What stood in the place of a text, and since when.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// The text.
    pub text: String,
    /// As in [`Message::format`].
    pub format: Vec<Node>,
    /// By its author's clock.
    pub at: u64,
}

impl core::fmt::Debug for Version {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Version({})", self.at)
    }
}

/// One message.
#[derive(Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Hex (32 characters).
    pub id: String,
    /// Chat.
    pub chat: ChatId,
    /// Place in the chat: grows with the order shown; pages are asked for by it.
    pub position: i64,
    /// Sender's account id, hex.
    pub from: String,
    /// Sender's name.
    pub from_name: String,
    /// Written on this account.
    pub mine: bool,
    /// Kind.
    pub kind: MessageKind,
    /// Text (empty for kinds without).
    pub text: String,
    /// By the sender's clock, at most the time of arrival.
    pub sent_at: u64,
    /// State.
    pub state: MessageState,
    /// Echo of [`Send::client_id`].
    pub client_id: Option<String>,
    /// Written after its sender was removed, or lost the right to write: shown apart.
    pub late: bool,
    /// Messages before this one that are known to be missing: they may come, or never.
    pub missing_before: u32,
    /// Those that are missing were asked for.
    pub asked_for: bool,
    /// What it answers, where it is a reply.
    pub reply: Option<Quote>,
    /// When its text was last changed, where it was.
    pub edited_at: Option<u64>,
    /// Emojis on it, the most frequent first (at most 32).
    pub reactions: Vec<Reaction>,
    /// I may delete it for everybody.
    pub may_delete: bool,
    /// It goes so many seconds after it was read (mine: after it has left). Of a line about the timer: what it sets; absent:
    /// none.
    pub timer_s: Option<u32>,
    /// When it goes, where that counts already.
    pub vanishes_at: Option<u64>,
    /// What is heard or seen beside its text.
    pub media: Option<Media>,
    /// The text as a tree; empty where it is words alone.
    pub format: Vec<Node>,
    /// The text with the signs of its marks, to be changed ([`Send::marked`]); absent where nothing is marked.
    pub typed: Option<String>,
    /// I am meant in it.
    pub mentions_me: bool,
    /// It stands on top of the chat.
    pub pinned: bool,
    /// What is to choose from; the text is the question.
    pub poll: Option<Poll>,
    /// It was written elsewhere.
    pub forwarded: Option<ForwardedFrom>,
    /// Somebody whom its sender knows.
    pub card: Option<PersonCard>,
    /// Where somebody or something is.
    pub place: Option<Place>,
    /// Whom to meet, where that is asked.
    pub introduction: Option<Introduction>,
}

impl core::fmt::Debug for Message {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Message")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// One entry of the chat list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Chat {
    /// Chat.
    pub id: ChatId,
    /// The contact, hex (64 characters); of a group: its id (32 characters).
    pub contact: String,
    /// It is the chat with oneself: saved messages. It has no name; `contact` is the own account.
    pub own: bool,
    /// Present where it is a group.
    pub group: Option<GroupBrief>,
    /// Shown name.
    pub name: String,
    /// Contact verified.
    pub verified: bool,
    /// Newest message.
    pub last: Option<Message>,
    /// Messages of others not read yet.
    pub unread: u32,
    /// Those of them in which I am meant.
    pub mentions: u32,
    /// Messages on top of it (at most 32).
    pub pins: u32,
    /// First unread message's position, if any.
    pub first_unread: Option<i64>,
    /// The inviter has not approved yet: what I write waits there.
    pub waiting: bool,
    /// My account came back, and this contact's device has not answered yet.
    pub coming_back: bool,
    /// Kept draft, where there is one.
    pub draft: Option<String>,
    /// Newest activity.
    pub active_at: u64,
    /// When the contact was last heard of.
    pub heard_at: Option<u64>,
    /// Messages written now go so many seconds after they were read.
    pub timer_s: Option<u32>,
    /// What is wrong with its keys, if anything.
    pub alarms: Vec<Alarm>,
    /// The contact is not verified, and what to look at was not put away: `Query::FirstContact`.
    pub is_new: bool,
}

/// What is wrong with a conversation's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum AlarmKind {
    /// A member has made two commits on one epoch: its program is broken, or there are two copies of its keys.
    TwoCommits,
    /// A commit says that it is by this device, which has not made it: a copy of its keys is in use, or a member says so
    /// to frighten.
    NotMine,
    /// This account was brought back twice: somebody else has its recovery words, or an old capsule was used.
    TwoLogs,
    /// This account changes its keys all the time: its program is broken, or it fills what others keep.
    Flood,
}

/// An alarm about a conversation.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Alarm {
    /// What.
    pub kind: AlarmKind,
    /// Whose keys, hex (64 characters).
    pub account: String,
    /// That account's name.
    pub name: String,
    /// When it was noticed.
    pub at: u64,
}

impl core::fmt::Debug for Alarm {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Alarm")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// A window into a list.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    /// At most this many (1 to 1000).
    pub limit: u32,
    /// Skip so many.
    #[serde(default)]
    #[ts(as = "Option<u32>", optional)]
    pub offset: u32,
}

/// Parameters of `Query::Messages`. Give at most one of `before`, `after`, `around`; none: the newest.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct MessagesOf {
    /// Chat.
    pub chat: ChatId,
    /// Positions below this.
    #[serde(default)]
    pub before: Option<i64>,
    /// Positions above this.
    #[serde(default)]
    pub after: Option<i64>,
    /// Half of the page before this position, half from it on.
    #[serde(default)]
    pub around: Option<i64>,
    /// At most this many (1 to 500).
    pub limit: u32,
}

/// A stretch of a chat.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Messages {
    /// Oldest first.
    pub messages: Vec<Message>,
    /// There are older ones.
    pub more_before: bool,
    /// There are newer ones.
    pub more_after: bool,
    /// All messages of the chat (for `aria-setsize`).
    pub total: u32,
    /// How many of the chat's messages stand before the first one here (for `aria-posinset`).
    pub index: u32,
}

/// Parameters of `Command::Send`.
#[derive(Clone, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct Send {
    /// Chat.
    pub chat: ChatId,
    /// 1 to 16,384 bytes of UTF-8 after trimming.
    pub text: String,
    /// Signs in the text are marks: `**bold**`, `__italic__`, `~~struck~~`, `||spoiler||`, the first three with one sign
    /// each too, `` `fixed` ``, code between lines of three backticks, quotes behind `> `, `@name`, `@all`.
    #[serde(default)]
    #[ts(as = "Option<bool>", optional)]
    pub marked: bool,
    /// The caller's own id: sending twice with the same one sends once.
    #[serde(default)]
    pub client_id: Option<String>,
    /// The message of this chat that it answers, hex.
    #[serde(default)]
    pub reply_to: Option<String>,
}

impl core::fmt::Debug for Send {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Send").field("chat", &self.chat).finish_non_exhaustive()
    }
}

/// Parameters of `Command::React`.
#[derive(Clone, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct React {
    /// The message, hex.
    pub id: String,
    /// One emoji. A message has at most 8 of each account.
    pub emoji: String,
    /// Put it there; else take it back.
    pub on: bool,
}

impl core::fmt::Debug for React {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("React").field("on", &self.on).finish_non_exhaustive()
    }
}

/// Parameters of `Command::Edit`.
#[derive(Clone, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Edit {
    /// A text of mine, hex.
    pub id: String,
    /// What shall stand there: 1 to 16,384 bytes of UTF-8 after trimming.
    pub text: String,
    /// Signs in the text are marks, as in [`Send::marked`].
    #[serde(default)]
    #[ts(as = "Option<bool>", optional)]
    pub marked: bool,
}

impl core::fmt::Debug for Edit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Edit { .. }")
    }
}

/// Parameters of `Command::Delete`.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Delete {
    /// The message, hex.
    pub id: String,
    /// For everybody; else only here.
    pub everyone: bool,
}

/// Parameters of `Command::TimerSet`.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct TimerSet {
    /// The chat.
    pub chat: ChatId,
    /// 5 to 31,622,400 (366 days); absent: messages stay.
    pub seconds: Option<u32>,
}

/// Parameters of `Query::Search`.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct Search {
    /// Words; the last one may be a beginning.
    pub words: String,
    /// Only in this chat.
    #[serde(default)]
    pub chat: Option<ChatId>,
    /// At most this many (1 to 200).
    pub limit: u32,
}

/// A found message.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Hit {
    /// The message.
    pub message: Message,
    /// Name of its chat.
    pub chat_name: String,
    /// Text around the match as plain and marked pieces.
    pub pieces: Vec<Piece>,
}

/// Part of a snippet.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Piece {
    /// Text.
    pub text: String,
    /// Part of the match.
    pub marked: bool,
}

/// One message by its id.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ByMessage {
    /// Hex.
    pub id: String,
}

/// One chat.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ByChat {
    /// Chat.
    pub chat: ChatId,
}

/// Parameters of `Command::MarkRead`.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct MarkRead {
    /// Chat.
    pub chat: ChatId,
    /// Up to and with this position.
    pub position: i64,
}

/// Parameters of `Command::DraftSet`.
#[derive(Clone, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct DraftSet {
    /// Chat.
    pub chat: ChatId,
    /// Unsent text.
    pub text: String,
}

impl core::fmt::Debug for DraftSet {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("DraftSet")
            .field("chat", &self.chat)
            .finish_non_exhaustive()
    }
}

/// A kept draft.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Draft {
    /// Unsent text.
    pub text: String,
}
