//! Invitations, acceptances, requests and contacts.

use super::{ChatId, LinkedGroup, Vouched};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Who an invitation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum Who {
    /// Family and friends: up to 10, 48 hours, each approved.
    Family,
    /// One person: 14 days, approved at once (in person: when confirmed).
    One,
    /// Whoever has the link, into a group (`Command::GroupLink`).
    Group,
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

/// Parameters of `Command::InviteCreate`.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct InviteCreate {
    /// Who.
    pub who: Who,
    /// How.
    pub how: How,
}

/// Parameters of `Command::PublicCreate`.
#[derive(Clone, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct PublicCreate {
    /// The relays to deal, `stone:r...` each: 4 to 64, none of them one's own, no dead drops.
    pub routes: Vec<String>,
    /// For how many days: 1 to 60.
    pub days: u16,
    /// So many hands of two a day; absent: so that all relays are dealt once in that time.
    #[serde(default)]
    pub a_day: Option<u16>,
}

impl core::fmt::Debug for PublicCreate {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "PublicCreate({} relays, {} days)", self.routes.len(), self.days)
    }
}

/// A public invitation as its owner sees it. Who came by it nobody knows.
#[derive(Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct PublicInvite {
    /// Hex.
    pub id: String,
    /// `http://ADDR:PORT/PATH#FRAGMENT`: the first of its doors.
    pub link: String,
    /// `stone:i...`, with all of its doors (three at most): for QR and files.
    pub code: String,
    /// Reach of the doors.
    pub reach: Reach,
    /// State; never used up or attacked.
    pub state: InviteState,
    /// Made at, and the first day's beginning.
    pub created_at: u64,
    /// Not after.
    pub expires_at: u64,
    /// What is dealt on each day, from the first: the relays' addresses, two a hand.
    pub days: Vec<Vec<String>>,
}

impl core::fmt::Debug for PublicInvite {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "PublicInvite({:?}, {} days)", self.state, self.days.len())
    }
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
    /// `http://ADDR:PORT/PATH#FRAGMENT`, at most 120 characters; the code where the door is a dead drop's.
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
    /// The group it leads into, where there is one.
    pub group: Option<LinkedGroup>,
}

impl core::fmt::Debug for Invite {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Invite")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Parameters of `Command::Accept`.
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

/// Parameters of `Command::AcceptRetry`.
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
    /// Whoever invites is blocked here.
    Blocked,
    /// It was a public invitation: two relays were added.
    Dealt,
    /// It is a public invitation, and there is no room for two more relays.
    NoRoom,
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
    /// What the group is called that the link leads into, where there is one.
    pub group: Option<String>,
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
    /// What the group is called that the link leads into, where there is one.
    pub group: Option<String>,
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
    /// Nothing of theirs is shown or answered here.
    pub blocked: bool,
    /// Who introduced us, the one who did last; empty where nobody did. They vouch; it verifies nobody.
    pub introduced: Vec<Vouched>,
}

/// Parameters of `Command::Verify`.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct Verify {
    /// Contact, hex.
    pub id: String,
    /// The numbers were the same.
    pub verified: bool,
    /// The other side's code, as it was read: compared here, and `numbersDiffer` where it is not this pair's.
    #[serde(default)]
    pub code: Option<String>,
}

/// Parameters of `Command::ContactBlock`.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ContactBlock {
    /// Contact, hex.
    pub id: String,
    /// Nothing of theirs is shown or answered from now on.
    pub blocked: bool,
}

/// Parameters of `Command::ContactRename`.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ContactRename {
    /// Contact, hex.
    pub id: String,
    /// At most 64 characters.
    pub name: String,
}

/// The safety number of a pair of accounts.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct SafetyNumber {
    /// 60 digits in twelve groups of five.
    pub groups: Vec<String>,
    /// Eight words for a quick look, the same on both sides; none where there is no conversation yet.
    pub words: Vec<String>,
    /// The number for a camera: `stone:v...`, the same on both sides.
    pub code: String,
    /// Compared before.
    pub verified: bool,
}
