//! What the user interface and the command line speak: commands, queries, events and their types.
//!
//! In: a [`Command`] (changes something) or a [`Query`] (reads). Out: a [`Reply`], and [`Event`]s for everything
//! that changed. JSON names are camelCase; ids are lower-case hex; times are Unix milliseconds.
//! TypeScript types are generated from here into `ui/src/core/gen/`; a test fails when they drift.
//! Carrying these over a pipe is the daemon's job. Specified in `docs/protocol/10-api.md`.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

#[cfg(test)]
mod typescript;

/// A conversation list entry's number, stable for the life of the profile.
pub type ChatId = i64;

/// Changes something. JSON-RPC method = the name in `method`, parameters = `params`.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(tag = "method", content = "params")]
pub enum Command {
    /// Makes the account (fresh, or from recovery words). Refused when one exists.
    #[serde(rename = "init")]
    Init(Init),
    /// Shows the 24 recovery words.
    #[serde(rename = "words")]
    Words,
    /// Makes an invitation and its door.
    #[serde(rename = "invite.create")]
    InviteCreate(InviteCreate),
    /// Closes an invitation: its key package and seal key are deleted.
    #[serde(rename = "invite.revoke")]
    InviteRevoke(ById),
    /// Takes up an invitation link.
    #[serde(rename = "accept")]
    Accept(Accept),
    /// Tries an acceptance again with other spoken words ("words do not match"), or forgets it.
    #[serde(rename = "accept.retry")]
    AcceptRetry(AcceptRetry),
    /// Forgets an acceptance that cannot go on.
    #[serde(rename = "accept.forget")]
    AcceptForget(ById),
    /// Lets a waiting person in.
    #[serde(rename = "approve")]
    Approve(ById),
    /// Turns a waiting person away; the claim is deleted.
    #[serde(rename = "decline")]
    Decline(ById),
    /// Sends a text.
    #[serde(rename = "send")]
    Send(Send),
    /// Puts an emoji on a message, or takes it back.
    #[serde(rename = "react")]
    React(React),
    /// Writes another text in the place of one of mine.
    #[serde(rename = "edit")]
    Edit(Edit),
    /// Deletes a message, here or for everybody.
    #[serde(rename = "delete")]
    Delete(Delete),
    /// Makes a group with some contacts.
    #[serde(rename = "group.create")]
    GroupCreate(GroupCreate),
    /// Adds contacts to a group.
    #[serde(rename = "group.add")]
    GroupAdd(GroupMembers),
    /// Removes members from a group.
    #[serde(rename = "group.remove")]
    GroupRemove(GroupMembers),
    /// Leaves a group.
    #[serde(rename = "group.leave")]
    GroupLeave(ByChat),
    /// Gives a member another role.
    #[serde(rename = "group.role")]
    GroupRole(GroupRole),
    /// Changes a group's name, description or policy.
    #[serde(rename = "group.edit")]
    GroupEdit(GroupEdit),
    /// Everything in the chat up to this message has been read.
    #[serde(rename = "markRead")]
    MarkRead(MarkRead),
    /// Marks a contact as verified (or not) after comparing safety numbers.
    #[serde(rename = "verify")]
    Verify(Verify),
    /// Changes what a contact is called here. An empty name restores the contact's own.
    #[serde(rename = "contact.rename")]
    ContactRename(ContactRename),
    /// Adds a relay by its route (`stone:r...`).
    #[serde(rename = "relay.add")]
    RelayAdd(RelayAdd),
    /// Changes the own display name (new invitations carry it).
    #[serde(rename = "profile.rename")]
    ProfileRename(ProfileRename),
    /// Stores interface settings.
    #[serde(rename = "settings.set")]
    SettingsSet(Settings),
    /// Keeps an unsent text for a chat (empty: none).
    #[serde(rename = "draft.set")]
    DraftSet(DraftSet),
}

/// Reads something; changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(tag = "method", content = "params")]
pub enum Query {
    /// Who and how: [`Status`].
    #[serde(rename = "status")]
    Status,
    /// Open and closed invitations, newest first: list of [`Invite`].
    #[serde(rename = "invites")]
    Invites,
    /// Acceptances on their way: list of [`Acceptance`].
    #[serde(rename = "acceptances")]
    Acceptances,
    /// People waiting for approval: list of [`Request`].
    #[serde(rename = "requests")]
    Requests,
    /// All contacts by name: list of [`Contact`].
    #[serde(rename = "contacts")]
    Contacts,
    /// Chats, newest activity first: list of [`Chat`].
    #[serde(rename = "chats")]
    Chats(Page),
    /// A stretch of one chat, oldest first: [`Messages`].
    #[serde(rename = "messages")]
    Messages(MessagesOf),
    /// One message: [`Message`].
    #[serde(rename = "message")]
    Message(ByMessage),
    /// What stood in the place of an edited text, oldest first, what stands there now last: list of [`Version`].
    #[serde(rename = "history")]
    History(ByMessage),
    /// A group as its head says: [`Group`].
    #[serde(rename = "group")]
    Group(ByChat),
    /// Messages that hold the words, newest first: list of [`Hit`].
    #[serde(rename = "search")]
    Search(Search),
    /// The 60-digit number of a contact: [`SafetyNumber`].
    #[serde(rename = "safetyNumber")]
    SafetyNumber(ById),
    /// Interface settings: [`Settings`].
    #[serde(rename = "settings.get")]
    SettingsGet,
    /// The kept draft of a chat: [`Draft`].
    #[serde(rename = "draft.get")]
    DraftGet(ByChat),
}

/// What a command answers.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(untagged)]
pub enum Reply {
    /// Nothing to say.
    Done {},
    /// [`Command::Init`]
    Me(Me),
    /// [`Command::Words`]
    Words(Words),
    /// [`Command::InviteCreate`]
    Invite(Invite),
    /// [`Command::Accept`]
    Acceptance(Acceptance),
    /// [`Command::Approve`]
    Contact(Contact),
    /// [`Command::Send`], [`Command::React`], [`Command::Edit`]
    Message(Box<Message>),
    /// [`Command::GroupCreate`] and the other commands about groups
    Group(Group),
}

/// What a query answers.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// [`Query::Status`]
    Status(Status),
    /// [`Query::Invites`]
    Invites(Vec<Invite>),
    /// [`Query::Acceptances`]
    Acceptances(Vec<Acceptance>),
    /// [`Query::Requests`]
    Requests(Vec<Request>),
    /// [`Query::Contacts`]
    Contacts(Vec<Contact>),
    /// [`Query::Chats`]
    Chats(Vec<Chat>),
    /// [`Query::Messages`]
    Messages(Messages),
    /// [`Query::Message`]
    Message(Box<Message>),
    /// [`Query::History`]
    History(Vec<Version>),
    /// [`Query::Group`]
    Group(Group),
    /// [`Query::Search`]
    Hits(Vec<Hit>),
    /// [`Query::SafetyNumber`]
    SafetyNumber(SafetyNumber),
    /// [`Query::SettingsGet`]
    Settings(Settings),
    /// [`Query::DraftGet`]
    Draft(Draft),
}

/// Something changed. Every event carries a growing `seq`; `subscribe {since}` replays what was missed or says `reset`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// A message arrived or was written. `mine` tells which.
    MessageAdded {
        /// The whole message.
        message: Message,
    },
    /// A message changed: its text, its reactions, what it quotes; or it was deleted for everybody.
    MessageChanged {
        /// The whole message.
        message: Message,
    },
    /// A message was deleted here.
    MessageRemoved {
        /// Where.
        chat: ChatId,
        /// Which.
        id: String,
    },
    /// The state of a message changed (carried, delivered, read).
    MessageState {
        /// Where.
        chat: ChatId,
        /// Which.
        id: String,
        /// The state it has reached.
        state: MessageState,
    },
    /// A chat appeared or changed (name, unread count, last message).
    ChatChanged {
        /// The whole entry.
        chat: Chat,
    },
    /// A chat is gone (a declined claim).
    ChatRemoved {
        /// Which.
        chat: ChatId,
    },
    /// Contact new or changed.
    ContactChanged {
        /// The whole entry.
        contact: Contact,
    },
    /// Somebody waits for approval.
    RequestAdded {
        /// The whole entry.
        request: Request,
    },
    /// A waiting request was approved or declined.
    RequestRemoved {
        /// Which.
        id: String,
    },
    /// An invitation changed (door ready, claimed, expired, alarm).
    InviteChanged {
        /// The whole entry.
        invite: Invite,
    },
    /// An acceptance moved on.
    AcceptanceChanged {
        /// The whole entry.
        acceptance: Acceptance,
    },
    /// The way to the relays changed.
    ConnectionChanged {
        /// In one word; the interface has the sentence.
        connection: Connection,
    },
    /// The device's clock is off by more than a day (0 = right again).
    ClockOff {
        /// Relay clock minus device clock.
        offset_ms: i64,
    },
    /// The account was made, the name or settings changed.
    StatusChanged {},
    /// A large batch was taken in at once, or messages moved: reload what is on screen. `messages` = how many came.
    Ingested {
        /// New messages in this batch.
        messages: u32,
    },
    /// The profile was locked (from any window).
    Locked {},
    /// The profile was opened with its passphrase.
    Unlocked {},
    /// The profile was destroyed.
    Wiped {},
    /// The disk is full: what was being done did not happen.
    DiskFull {},
}

/// Parameters of [`Command::Init`].
#[derive(Clone, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct Init {
    /// Display name, 1 to 64 characters after trimming.
    pub name: String,
    /// Routes of relays (`stone:r...`) to use.
    #[serde(default)]
    #[ts(as = "Option<Vec<String>>", optional)]
    pub relays: Vec<String>,
    /// 24 recovery words to restore an account; absent: a fresh one.
    #[serde(default)]
    pub words: Option<String>,
}

impl core::fmt::Debug for Init {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { name: _, relays, words } = self;
        f.debug_struct("Init")
            .field("relays", &relays.len())
            .field("words", &words.is_some())
            .finish_non_exhaustive()
    }
}

/// Who an invitation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum Who {
    /// Family and friends: up to 10, 48 hours, each approved.
    Family,
    /// One person: 14 days, approved at once (in person: when confirmed).
    One,
}

/// How an invitation is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum How {
    /// Scanned from screen to screen. Approval means "this is the person in front of me" and verifies both sides.
    InPerson,
    /// By a channel that others may read: three words are said by phone.
    Spoken,
    /// By a channel the sender trusts: no words.
    Plain,
}

/// Parameters of [`Command::InviteCreate`].
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct InviteCreate {
    /// Who.
    pub who: Who,
    /// How.
    pub how: How,
}

/// How far an invitation's entrance can be reached from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum Reach {
    /// Loopback: "works only on this computer".
    ThisComputer,
    /// Private address: "works only in this network".
    LocalNetwork,
    /// Anything else.
    Internet,
}

/// Where an invitation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum InviteState {
    /// The relay has not confirmed the door yet.
    Preparing,
    /// Can be claimed.
    Open,
    /// Used up (one person approved, or ten claims).
    Used,
    /// Past its time.
    Expired,
    /// Closed by its owner.
    Revoked,
    /// Closed by ten claims that did not open (somebody is guessing words).
    Attacked,
}

/// An invitation as its owner sees it.
#[derive(Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Invite {
    /// Hex.
    pub id: String,
    /// Who.
    pub who: Who,
    /// How.
    pub how: How,
    /// `http://ADDR:PORT/PATH#FRAGMENT`, at most 120 characters.
    pub link: String,
    /// The same as `stone:i...`, for QR and files.
    pub code: String,
    /// The three words, where there are some.
    pub spoken_words: Option<String>,
    /// Reach of the entrance.
    pub reach: Reach,
    /// State.
    pub state: InviteState,
    /// Made at.
    pub created_at: u64,
    /// Not after.
    pub expires_at: u64,
    /// People let in with it.
    pub approved: u32,
    /// People waiting.
    pub waiting: u32,
    /// It was claimed again after it was used: somebody else holds the link.
    pub used_twice: bool,
}

impl core::fmt::Debug for Invite {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Invite")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Parameters of [`Command::Accept`].
#[derive(Clone, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct Accept {
    /// `http...#...` or `stone:i...`
    pub link: String,
    /// Three words, where the inviter said some.
    #[serde(default)]
    pub spoken_words: Option<String>,
}

impl core::fmt::Debug for Accept {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Accept { .. }")
    }
}

/// Parameters of [`Command::AcceptRetry`].
#[derive(Clone, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct AcceptRetry {
    /// The acceptance.
    pub id: String,
    /// Other words.
    #[serde(default)]
    pub spoken_words: Option<String>,
}

impl core::fmt::Debug for AcceptRetry {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("AcceptRetry { .. }")
    }
}

/// Where taking up an invitation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum AcceptanceState {
    /// Saved; the card has not been fetched yet ("We will finish as soon as there is any connection").
    Saved,
    /// The card is here and says that words were spoken; none were given.
    NeedsWords,
    /// Claim on its way; writing is possible.
    Claimed,
    /// The inviter will decide.
    Waiting,
    /// In.
    Accepted,
    /// The inviter said no.
    Declined,
    /// Somebody already used it.
    Used,
    /// Past its time.
    Expired,
    /// The spoken words do not match.
    WordsWrong,
    /// The door answers nothing (expired, revoked, or another site lives there by now).
    DoorSpent,
    /// What the door gave is not the card this link names.
    CardWrong,
}

/// An invitation as its taker sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Acceptance {
    /// Hex.
    pub id: String,
    /// State.
    pub state: AcceptanceState,
    /// Who invited, once the card is here.
    pub name: Option<String>,
    /// The chat, once it exists.
    pub chat: Option<ChatId>,
    /// When the link was taken up.
    pub created_at: u64,
}

/// A person who waits for approval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Hex.
    pub id: String,
    /// By which invitation.
    pub invite: String,
    /// The name the person gives.
    pub name: String,
    /// Account, hex.
    pub account: String,
    /// Whether approving means "this is the person in front of me".
    pub in_person: bool,
    /// Arrived.
    pub received_at: u64,
    /// What the person already wrote (at most 3 are shown).
    pub first_messages: Vec<String>,
}

/// A person we can write to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Contact {
    /// Account id, hex (64 characters).
    pub id: String,
    /// Shown name: the alias if one was given.
    pub name: String,
    /// The name the person gives.
    pub own_name: String,
    /// Safety number compared, or met in person.
    pub verified: bool,
    /// The 1:1 chat.
    pub chat: Option<ChatId>,
    /// When a message or receipt last came from this person (not "online").
    pub heard_at: Option<u64>,
}

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
    /// The first 160 characters of its text.
    pub text: String,
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
    /// Messages before this one that are known to be missing ("n messages on their way").
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
    /// First unread message's position, if any.
    pub first_unread: Option<i64>,
    /// The inviter has not approved yet: what I write waits there.
    pub waiting: bool,
    /// Kept draft, where there is one.
    pub draft: Option<String>,
    /// Newest activity.
    pub active_at: u64,
    /// When the contact was last heard of.
    pub heard_at: Option<u64>,
    /// What is wrong with its keys, if anything.
    pub alarms: Vec<Alarm>,
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

/// Parameters of [`Query::Messages`]. Give at most one of `before`, `after`, `around`; none: the newest.
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

/// Parameters of [`Command::Send`].
#[derive(Clone, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct Send {
    /// Chat.
    pub chat: ChatId,
    /// 1 to 16,384 bytes of UTF-8 after trimming.
    pub text: String,
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

/// Parameters of [`Command::React`].
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

/// Parameters of [`Command::Edit`].
#[derive(Clone, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Edit {
    /// A text of mine, hex.
    pub id: String,
    /// What shall stand there: 1 to 16,384 bytes of UTF-8 after trimming.
    pub text: String,
}

impl core::fmt::Debug for Edit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Edit { .. }")
    }
}

/// Parameters of [`Command::Delete`].
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Delete {
    /// The message, hex.
    pub id: String,
    /// For everybody; else only here.
    pub everyone: bool,
}

/// What a member of a group may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Everything; makes owners and admins.
    Owner,
    /// Members, roles below, name and policy.
    Admin,
    /// Writes also where members may not.
    Moderator,
    /// Writes.
    Member,
    /// Reads.
    Reader,
}

/// Parameters of [`Command::GroupCreate`].
#[derive(Clone, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct GroupCreate {
    /// 1 to 128 bytes after trimming, no control characters.
    pub name: String,
    /// Contacts, hex. May be empty.
    #[serde(default)]
    pub members: Vec<String>,
}

impl core::fmt::Debug for GroupCreate {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "GroupCreate({} members)", self.members.len())
    }
}

/// Parameters of [`Command::GroupAdd`] and [`Command::GroupRemove`].
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct GroupMembers {
    /// The group's chat.
    pub chat: ChatId,
    /// Accounts, hex.
    pub members: Vec<String>,
}

/// Parameters of [`Command::GroupRole`].
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct GroupRole {
    /// The group's chat.
    pub chat: ChatId,
    /// Account, hex.
    pub member: String,
    /// The new role.
    pub role: Role,
}

/// Parameters of [`Command::GroupEdit`]: what is absent stays.
#[derive(Clone, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct GroupEdit {
    /// The group's chat.
    pub chat: ChatId,
    /// 1 to 128 bytes.
    #[serde(default)]
    pub name: Option<String>,
    /// At most 1,024 bytes.
    #[serde(default)]
    pub description: Option<String>,
    /// The lowest role that may write.
    #[serde(default)]
    pub may_write: Option<Role>,
    /// The lowest role that may add members.
    #[serde(default)]
    pub may_add: Option<Role>,
    /// The lowest role that may change name and description.
    #[serde(default)]
    pub may_edit: Option<Role>,
}

impl core::fmt::Debug for GroupEdit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("GroupEdit")
            .field("chat", &self.chat)
            .finish_non_exhaustive()
    }
}

/// A group, as the branch that is written to says.
#[derive(Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// Its chat.
    pub chat: ChatId,
    /// What it is called.
    pub name: String,
    /// What it is about.
    pub description: String,
    /// The lowest role that may write.
    pub may_write: Role,
    /// The lowest role that may add members.
    pub may_add: Role,
    /// The lowest role that may change name and description.
    pub may_edit: Role,
    /// Members, the highest authority first.
    pub members: Vec<Member>,
    /// I am in it, and have not said that I leave.
    pub member: bool,
}

impl core::fmt::Debug for Group {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Group")
            .field("chat", &self.chat)
            .finish_non_exhaustive()
    }
}

/// A member of a group.
#[derive(Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Account, hex.
    pub account: String,
    /// What the group calls them; contacts are called as in the list of contacts.
    pub name: String,
    /// Role.
    pub role: Role,
    /// This is me.
    pub me: bool,
}

impl core::fmt::Debug for Member {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Member")
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// What the chat list says of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct GroupBrief {
    /// How many accounts.
    pub members: u32,
    /// I am in it, and have not said that I leave.
    pub member: bool,
    /// Nobody was heard there for long: this device has asked to be added again.
    pub behind: bool,
}

/// Parameters of [`Query::Search`].
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

/// Any one thing by its hex id.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ById {
    /// Hex.
    pub id: String,
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

/// Parameters of [`Command::MarkRead`].
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct MarkRead {
    /// Chat.
    pub chat: ChatId,
    /// Up to and with this position.
    pub position: i64,
}

/// Parameters of [`Command::Verify`].
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Verify {
    /// Contact, hex.
    pub id: String,
    /// The numbers were the same.
    pub verified: bool,
}

/// Parameters of [`Command::ContactRename`].
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ContactRename {
    /// Contact, hex.
    pub id: String,
    /// At most 64 characters.
    pub name: String,
}

/// Parameters of [`Command::RelayAdd`].
#[derive(Clone, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct RelayAdd {
    /// `stone:r...`
    pub route: String,
}

impl core::fmt::Debug for RelayAdd {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("RelayAdd { .. }")
    }
}

/// Parameters of [`Command::ProfileRename`].
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ProfileRename {
    /// 1 to 64 characters.
    pub name: String,
}

/// Parameters of [`Command::DraftSet`].
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

/// The account on this device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Me {
    /// Account id, hex (64 characters).
    pub id: String,
    /// Display name.
    pub name: String,
}

/// The 24 recovery words.
#[derive(Clone, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Words {
    /// English BIP-39 words, in order.
    pub words: Vec<String>,
}

impl core::fmt::Debug for Words {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Words { .. }")
    }
}

/// The safety number of a pair of accounts.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct SafetyNumber {
    /// 60 digits in twelve groups of five.
    pub groups: Vec<String>,
    /// Compared before.
    pub verified: bool,
}

/// The way to the relays, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum Connection {
    /// No relay is known yet.
    NoRelay,
    /// At least one relay answers.
    Connected,
    /// First try, or trying again.
    Connecting,
    /// Tried for a while without success.
    Offline,
}

/// One relay this profile uses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Relay {
    /// `host:port`
    pub address: String,
    /// Own (given by the user), or lent by a contact's card.
    pub own: bool,
    /// Answers now.
    pub connected: bool,
    /// Calls envelopes stored and does not give them.
    pub withholds: bool,
}

/// Language and looks of the interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct Settings {
    /// `en`, `ru`, or absent: the browser's.
    #[serde(default)]
    pub language: Option<String>,
    /// `light`, `dark`, or absent: the system's.
    #[serde(default)]
    pub theme: Option<String>,
    /// Tell others what I have read.
    pub read_receipts: bool,
}

/// Who this profile is and how it is doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Program version and commit.
    pub version: String,
    /// Absent before the first screen is done, and while locked.
    pub me: Option<Me>,
    /// Locked behind the passphrase.
    pub locked: bool,
    /// A passphrase protects the key (otherwise a key file, which protects from nobody who has the disk).
    pub has_passphrase: bool,
    /// In one word.
    pub connection: Connection,
    /// Relays in use.
    pub relays: Vec<Relay>,
    /// Device clock off by more than a day: relay clock minus device clock; else 0.
    pub clock_offset_ms: i64,
    /// Messages of mine nobody has taken yet.
    pub queued: u32,
    /// Restored from words: contacts do not come back yet, and the interface says so.
    pub restored: bool,
    /// Unread messages in all chats.
    pub unread: u32,
    /// People waiting for approval.
    pub requests: u32,
}

/// Why a command or query was not done. The JSON-RPC error's `data.kind`; each has its words in the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Fault {
    /// No account yet: `init` first.
    #[error("there is no account here yet")]
    NoAccount,
    /// `init` on a profile that has one.
    #[error("there is an account here already")]
    AccountExists,
    /// Name empty, too long, or with control characters.
    #[error("a name has 1 to 64 characters, and no control characters")]
    BadName,
    /// Not 24 words, a word not in the list, or a wrong checksum.
    #[error("these are not valid recovery words")]
    BadWords,
    /// Not an invitation link, or damaged on the way.
    #[error("this is not a whole invitation link")]
    BrokenLink,
    /// A route where an invitation belongs.
    #[error("this is a relay's route, not an invitation")]
    RouteNotInvite,
    /// An invitation where a route belongs.
    #[error("this is an invitation, not a relay's route")]
    InviteNotRoute,
    /// Not a route, or damaged.
    #[error("this is not a whole relay route")]
    BrokenRoute,
    /// A link of a newer protocol version.
    #[error("this invitation needs a newer version")]
    NewerLink,
    /// The link says that it is over.
    #[error("this invitation has expired")]
    LinkExpired,
    /// The link was made on this account.
    #[error("this is your own invitation")]
    OwnInvite,
    /// Already taken up here.
    #[error("this invitation was already taken up here")]
    AlreadyAccepted,
    /// The person who invited said no, or the invitation was used or over.
    #[error("the person who invited you did not let you in")]
    NotLetIn,
    /// No relay to make a door on.
    #[error("no relay is known yet, so there is no place to be found at")]
    NoRelay,
    /// The group's rules do not let this account do that.
    #[error("this group does not let you do that")]
    NotAllowed,
    /// Not a member of this group (any more).
    #[error("you are not in this group")]
    NotMember,
    /// Already in this group.
    #[error("already a member of this group")]
    MemberAlready,
    /// 256 accounts.
    #[error("a group has at most 256 members")]
    GroupFull,
    /// The contact's device has not sent the keys that it is added with.
    #[error("this contact's device has not answered yet; try again later")]
    NoKeysYet,
    /// Unknown chat, message, contact, invite or request.
    #[error("there is nothing with this id")]
    NotFound,
    /// Text empty or over the limit.
    #[error("a text has 1 to 16,384 bytes")]
    BadText,
    /// Not exactly one emoji.
    #[error("this is not one emoji")]
    BadEmoji,
    /// A ninth emoji of mine on one message.
    #[error("a message has at most 8 emojis of each person")]
    TooManyReactions,
    /// Somebody else's message.
    #[error("this message is not yours to change")]
    NotYours,
    /// The profile is locked.
    #[error("the profile is locked")]
    Locked,
    /// Passphrase wrong.
    #[error("wrong passphrase")]
    WrongPassphrase,
    /// Parameters that do not fit the method.
    #[error("the parameters do not fit")]
    BadParams,
    /// No such method.
    #[error("there is no such method")]
    NoMethod,
    /// The database was written by a newer version.
    #[error("this profile was written by a newer version of Stonechat")]
    NewerDatabase,
    /// The database does not open: damaged, or not one.
    #[error("the profile's database is damaged")]
    BrokenDatabase,
    /// The disk is full.
    #[error("the disk is full; nothing was changed")]
    DiskFull,
    /// Too many open invitations, acceptances or requests.
    #[error("too many at once; close some first")]
    TooMany,
    /// An error of the program itself.
    #[error("something went wrong inside; nothing was changed")]
    Internal,
}
