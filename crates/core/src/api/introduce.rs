//! Introductions, cards, places, and what is said of somebody new.

use super::ChatId;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Parameters of `Command::Introduce`.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Introduce {
    /// A contact, hex.
    pub one: String,
    /// Another contact, hex.
    pub other: String,
}

/// Parameters of `Command::IntroductionAnswer`.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct IntroductionAnswer {
    /// The message that asks, hex.
    pub id: String,
    /// I want to meet. A yes is not taken back.
    pub yes: bool,
}

/// Where an introduction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum IntroductionState {
    /// The one who was asked has not answered.
    Asked,
    /// They have said yes; the other one has not yet, or it is being done.
    Agreed,
    /// They have said no.
    Declined,
    /// Both have said yes: the invitation is on its way.
    OnItsWay,
    /// The two are contacts.
    Met,
    /// What came is not the invitation of the one who was introduced.
    Wrong,
}

/// How somebody knows whom they vouch for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum KnownBy {
    /// They have compared safety numbers, or met in person.
    Verified,
    /// They know each other by an invitation.
    Invitation,
    /// Somebody introduced them to each other.
    Introduction,
}

/// "This is the account of the one I call so": signed, and checked.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Vouched {
    /// Who says so, hex.
    pub account: String,
    /// Their name: what they are called here, else what they call themselves.
    pub name: String,
    /// How they know.
    pub known_by: KnownBy,
    /// When they said so.
    pub at: u64,
    /// I have verified the one who says so.
    pub verified: bool,
}

impl core::fmt::Debug for Vouched {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Vouched({:?})", self.known_by)
    }
}

/// Two people shall meet: on a message of kind `introduction`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Introduction {
    /// Whom the one who is asked shall meet, hex.
    pub account: String,
    /// That person's name, as they give it.
    pub name: String,
    /// Where it stands, as far as is known here.
    pub state: IntroductionState,
    /// Who knows that person, the one who asks last. Empty on my own question.
    pub vouches: Vec<Vouched>,
}

impl core::fmt::Debug for Introduction {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Introduction({:?})", self.state)
    }
}

/// Somebody whom the sender of a message knows.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct PersonCard {
    /// The account, hex.
    pub account: String,
    /// The name they give.
    pub name: String,
    /// The chat with them, where they are a contact of mine.
    pub chat: Option<ChatId>,
    /// It is my own.
    pub me: bool,
}

impl core::fmt::Debug for PersonCard {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("PersonCard { .. }")
    }
}

/// Where somebody or something is, in steps of 1/100,000 of a degree.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// North of the equator; below 0: south. At most 9,000,000 either way.
    pub lat: i32,
    /// East of Greenwich; below 0: west. At most 18,000,000 either way.
    pub lon: i32,
    /// Within so many metres; 0: not said.
    pub accuracy_m: u32,
    /// What it is called; may be empty. At most 200 bytes.
    pub label: String,
}

impl core::fmt::Debug for Place {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Place { .. }")
    }
}

/// Parameters of `Command::CardSend`.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct CardSend {
    /// Chat.
    pub chat: ChatId,
    /// Whose card: a contact, hex.
    pub contact: String,
    /// The caller's own id: sending twice with the same one sends once.
    #[serde(default)]
    pub client_id: Option<String>,
}

/// Parameters of `Command::PlaceSend`.
#[derive(Clone, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct PlaceSend {
    /// Chat.
    pub chat: ChatId,
    /// Where.
    pub place: Place,
    /// The caller's own id: sending twice with the same one sends once.
    #[serde(default)]
    pub client_id: Option<String>,
}

impl core::fmt::Debug for PlaceSend {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PlaceSend")
            .field("chat", &self.chat)
            .finish_non_exhaustive()
    }
}

/// How a contact came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum CameBy {
    /// By an invitation to one or some.
    Invitation,
    /// By a link into a group.
    GroupLink,
    /// Somebody introduced us.
    Introduction,
    /// It is not known here.
    Unknown,
}

/// What to look at before trusting somebody.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct FirstContact {
    /// How they came.
    pub came_by: CameBy,
    /// Another contact whose name looks the same.
    pub looks_like: Option<String>,
    /// Letters of several alphabets stand in one word of the name.
    pub mixed_letters: bool,
}

impl core::fmt::Debug for FirstContact {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "FirstContact({:?})", self.came_by)
    }
}
