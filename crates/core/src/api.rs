//! What the user interface and the command line speak: commands, queries, events and their types.
//!
//! In: a [`Command`] (changes something) or a [`Query`] (reads). Out: a [`Reply`], and [`Event`]s for everything
//! that changed. JSON names are camelCase; ids are lower-case hex; times are Unix milliseconds.
//! TypeScript types are generated from here into `ui/src/core/gen/`; a test fails when they drift.
//! Carrying these over a pipe is the daemon's job. Specified in `docs/protocol/10-api.md`.

mod bundle;
mod content;
mod device;
mod fault;
mod groups;
mod introduce;
mod media;
mod messages;
mod own;
mod people;
#[cfg(test)]
mod typescript;

pub use bundle::*;
pub use content::*;
pub use device::*;
pub use fault::*;
pub use groups::*;
pub use introduce::*;
pub use media::*;
pub use messages::*;
pub use own::*;
pub use people::*;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// A conversation list entry's number, stable for the life of the profile.
pub type ChatId = i64;

/// Changes something. JSON-RPC method = the name in `method`, parameters = `params`.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(tag = "method", content = "params")]
pub enum Command {
    /// Makes the account (fresh, or from recovery words). Refused when one exists.
    #[serde(rename = "init")]
    Init(Init),
    /// Brings an account back from its words and one entrance, with its contacts and groups.
    #[serde(rename = "restore")]
    Restore(Restore),
    /// Goes on without what was looked for.
    #[serde(rename = "restore.giveUp")]
    RestoreGiveUp(GiveUp),
    /// Shows the 24 recovery words.
    #[serde(rename = "words")]
    Words,
    /// Makes an invitation and its door.
    #[serde(rename = "invite.create")]
    InviteCreate(InviteCreate),
    /// Closes an invitation: its key package and seal key are deleted.
    #[serde(rename = "invite.revoke")]
    InviteRevoke(ById),
    /// Makes a public invitation: whoever has its link is dealt two relays.
    #[serde(rename = "public.create")]
    PublicCreate(PublicCreate),
    /// Closes a public invitation. Who was dealt relays by it keeps them.
    #[serde(rename = "public.revoke")]
    PublicRevoke(ById),
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
    /// Sends a voice note or a photo.
    #[serde(rename = "media.send")]
    MediaSend(MediaSend),
    /// Puts an emoji on a message, or takes it back.
    #[serde(rename = "react")]
    React(React),
    /// Writes another text in the place of one of mine.
    #[serde(rename = "edit")]
    Edit(Edit),
    /// Deletes a message, here or for everybody.
    #[serde(rename = "delete")]
    Delete(Delete),
    /// Says how long messages of a chat stay after they were read.
    #[serde(rename = "timer.set")]
    TimerSet(TimerSet),
    /// Puts a message on top of its chat, or takes it off.
    #[serde(rename = "pin")]
    Pin(Pin),
    /// Asks something with choices.
    #[serde(rename = "poll.send")]
    PollSend(PollSend),
    /// Says what I choose in a poll.
    #[serde(rename = "poll.vote")]
    PollVote(PollVote),
    /// Ends a poll of mine.
    #[serde(rename = "poll.close")]
    PollClose(ByMessage),
    /// Writes a message of one chat in another.
    #[serde(rename = "forward")]
    Forward(Forward),
    /// Sends the card of a contact.
    #[serde(rename = "card.send")]
    CardSend(CardSend),
    /// Sends a place.
    #[serde(rename = "place.send")]
    PlaceSend(PlaceSend),
    /// Something is being written in a chat: tells whoever is there, unless receipts are off. Say it every few seconds.
    #[serde(rename = "typing")]
    Typing(ByChat),
    /// Opens the chat with oneself, and makes it where there is none yet.
    #[serde(rename = "saved.open")]
    SavedOpen,
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
    /// Agrees that a member becomes an owner, where no owner was heard for 30 days.
    #[serde(rename = "group.consent")]
    GroupConsent(GroupConsent),
    /// Changes a group's name, description or policy.
    #[serde(rename = "group.edit")]
    GroupEdit(GroupEdit),
    /// Gives a group a picture, or takes it away.
    #[serde(rename = "group.picture.set")]
    GroupPicture(GroupPicture),
    /// Makes a link that leads whoever has it into a group.
    #[serde(rename = "group.link")]
    GroupLink(GroupLink),
    /// Everything in the chat up to this message has been read.
    #[serde(rename = "markRead")]
    MarkRead(MarkRead),
    /// Marks a contact as verified (or not) after comparing safety numbers.
    #[serde(rename = "verify")]
    Verify(Verify),
    /// Changes what a contact is called here. An empty name restores the contact's own.
    #[serde(rename = "contact.rename")]
    ContactRename(ContactRename),
    /// Makes a link for another device of this account.
    #[serde(rename = "device.link")]
    DeviceLink(DeviceLinkWish),
    /// Asks, on an empty profile, to become a device of the account that made the link.
    #[serde(rename = "device.accept")]
    DeviceAccept(DeviceAccept),
    /// Lets the device in that asks, by the number that it shows.
    #[serde(rename = "device.confirm")]
    DeviceConfirm(DeviceConfirm),
    /// Takes a device away from the account.
    #[serde(rename = "device.remove")]
    DeviceRemove(ById),
    /// Blocks a contact, or lets it in again. They are not told.
    #[serde(rename = "contact.block")]
    ContactBlock(ContactBlock),
    /// Gives a page of what waits, for a file that a person carries.
    #[serde(rename = "bundle.export")]
    BundleExport(BundleExport),
    /// Takes in a page of such a file.
    #[serde(rename = "bundle.import")]
    BundleImport(BundleImport),
    /// Asks two contacts whether they want to meet.
    #[serde(rename = "introduce")]
    Introduce(Introduce),
    /// Says whether I want to meet whom a contact wants to introduce.
    #[serde(rename = "introduction.answer")]
    IntroductionAnswer(IntroductionAnswer),
    /// What to look at in a new contact has been read: [`Chat::is_new`] is said no more.
    #[serde(rename = "contact.noticed")]
    ContactNoticed(ById),
    /// Adds a relay by its route (`stone:r...`), or a dead drop by its address; contacts hear of it once it has answered.
    #[serde(rename = "relay.add")]
    RelayAdd(RelayAdd),
    /// Takes an own relay back, by its id ([`Relay::id`]): contacts put nothing there any more.
    #[serde(rename = "relay.remove")]
    RelayRemove(ById),
    /// Gives up one further address of a relay. Errors: `notFound`.
    #[serde(rename = "relay.forgetWay")]
    RelayForgetWay(RelayForgetWay),
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

impl Command {
    /// It changes only what this device shows: allowed also where the account lives elsewhere (CAP-5).
    pub(crate) const fn stays_here(&self) -> bool {
        matches!(
            self,
            Self::Words
                | Self::MarkRead(_)
                | Self::Verify(_)
                | Self::ContactRename(_)
                | Self::ContactBlock(_)
                | Self::ContactNoticed(_)
                | Self::SettingsSet(_)
                | Self::DraftSet(_)
        )
    }
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
    /// Public invitations, newest first: list of [`PublicInvite`].
    #[serde(rename = "publics")]
    Publics,
    /// Acceptances on their way: list of [`Acceptance`].
    #[serde(rename = "acceptances")]
    Acceptances,
    /// People waiting for approval: list of [`Request`].
    #[serde(rename = "requests")]
    Requests,
    /// All contacts by name: list of [`Contact`].
    #[serde(rename = "contacts")]
    Contacts,
    /// Introductions that wait for my answer, newest first, at most 64: list of [`Message`].
    #[serde(rename = "introductions")]
    Introductions,
    /// Contacts that are blocked, by name: list of [`Contact`].
    #[serde(rename = "blocked")]
    Blocked,
    /// Chats, newest activity first: list of [`Chat`].
    #[serde(rename = "chats")]
    Chats(Page),
    /// A stretch of one chat, oldest first: [`Messages`].
    #[serde(rename = "messages")]
    Messages(MessagesOf),
    /// One message: [`Message`].
    #[serde(rename = "message")]
    Message(ByMessage),
    /// What is pinned in a chat, newest pin first, at most 32: list of [`Message`].
    #[serde(rename = "pins")]
    Pins(ByChat),
    /// What stood in the place of an edited text, oldest first, what stands there now last: list of [`Version`].
    #[serde(rename = "history")]
    History(ByMessage),
    /// The file of a voice note or a photo: [`MediaFile`].
    #[serde(rename = "media.get")]
    MediaGet(MediaGet),
    /// A group as its head says: [`Group`].
    #[serde(rename = "group")]
    Group(ByChat),
    /// A group's picture: [`MediaFile`].
    #[serde(rename = "group.picture.get")]
    GroupPictureGet(ByChat),
    /// Messages that hold the words, newest first: list of [`Hit`].
    #[serde(rename = "search")]
    Search(Search),
    /// The 60-digit number of a contact: [`SafetyNumber`].
    #[serde(rename = "safetyNumber")]
    SafetyNumber(ById),
    /// What to look at in a contact: [`FirstContact`].
    #[serde(rename = "firstContact")]
    FirstContact(ById),
    /// The account's devices, and how linking stands: [`Devices`].
    #[serde(rename = "devices")]
    Devices,
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
    /// [`Command::Init`], [`Command::Restore`]
    Me(Me),
    /// [`Command::Words`]
    Words(Words),
    /// [`Command::InviteCreate`], [`Command::GroupLink`]
    Invite(Invite),
    /// [`Command::PublicCreate`]
    Public(PublicInvite),
    /// [`Command::Accept`]
    Acceptance(Acceptance),
    /// [`Command::Approve`]
    Contact(Contact),
    /// [`Command::Send`], [`Command::MediaSend`], [`Command::React`], [`Command::Edit`], pins, polls, forwarding
    Message(Box<Message>),
    /// [`Command::GroupCreate`] and the other commands about groups
    Group(Group),
    /// [`Command::SavedOpen`]
    Chat(ByChat),
    /// [`Command::DeviceLink`]
    DeviceLink(DeviceLink),
    /// [`Command::DeviceConfirm`] with another number than the device shows
    Linking(Linking),
    /// [`Command::BundleExport`]
    BundlePage(BundlePage),
    /// [`Command::BundleImport`]
    BundleTaken(BundleTaken),
}

/// What a query answers.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// [`Query::Status`]
    Status(Status),
    /// [`Query::Invites`]
    Invites(Vec<Invite>),
    /// [`Query::Publics`]
    Publics(Vec<PublicInvite>),
    /// [`Query::Acceptances`]
    Acceptances(Vec<Acceptance>),
    /// [`Query::Requests`]
    Requests(Vec<Request>),
    /// [`Query::Contacts`], [`Query::Blocked`]
    Contacts(Vec<Contact>),
    /// [`Query::Chats`]
    Chats(Vec<Chat>),
    /// [`Query::Messages`]
    Messages(Messages),
    /// [`Query::Message`]
    Message(Box<Message>),
    /// [`Query::Pins`], [`Query::Introductions`]
    Pins(Vec<Message>),
    /// [`Query::History`]
    History(Vec<Version>),
    /// [`Query::MediaGet`], [`Query::GroupPictureGet`]
    MediaFile(MediaFile),
    /// [`Query::Group`]
    Group(Group),
    /// [`Query::Search`]
    Hits(Vec<Hit>),
    /// [`Query::SafetyNumber`]
    SafetyNumber(SafetyNumber),
    /// [`Query::FirstContact`]
    FirstContact(FirstContact),
    /// [`Query::Devices`]
    Devices(Devices),
    /// [`Query::SettingsGet`]
    Settings(Settings),
    /// [`Query::DraftGet`]
    Draft(Draft),
}

/// Something changed. Every event carries a growing `seq`; `subscribe {since}` replays what was missed or says `reset`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[allow(clippy::large_enum_variant, reason = "an event is made, told and gone")]
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
    /// A message was deleted here, or its time was over.
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
    /// Somebody writes in a chat at this moment. It is over after 6 seconds, or when their message comes.
    Typing {
        /// Where.
        chat: ChatId,
        /// Who, hex.
        account: String,
        /// Their name.
        name: String,
        /// When, by this device's clock.
        at: u64,
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
    /// A public invitation changed (door ready, expired, closed).
    PublicChanged {
        /// The whole entry.
        invite: PublicInvite,
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

/// Any one thing by its hex id.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ById {
    /// Hex.
    pub id: String,
}
