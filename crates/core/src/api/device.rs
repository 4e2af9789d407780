//! The account, its relays, settings and state.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Parameters of `Command::Init`.
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

/// Parameters of `Command::Restore`.
#[derive(Clone, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Restore {
    /// 24 recovery words.
    pub words: String,
    /// Route of one of the account's relays (`stone:r...`), or any invitation whose door stands on one.
    pub door: String,
}

impl core::fmt::Debug for Restore {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Restore { .. }")
    }
}

/// Parameters of `Command::RestoreGiveUp`.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct GiveUp {
    /// Display name, 1 to 64 characters.
    pub name: String,
}

/// Where coming back from the words stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum RestoreState {
    /// The capsule is looked for.
    Looking,
    /// Contacts and groups are back; their devices answer by themselves.
    Found,
    /// Gone on without.
    GivenUp,
    /// Nobody lives behind the invitation that was given; a relay may be added.
    DoorSpent,
}

/// How an account comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Restoring {
    /// Where it stands.
    pub state: RestoreState,
    /// When what was found had been made: who was met after that is not in it.
    pub made_at: Option<u64>,
    /// People and groups that it had no room for.
    pub left_out: u32,
    /// People whose devices have not answered yet.
    pub people: u32,
    /// Groups that nobody has brought this account back into yet.
    pub groups: u32,
}

/// Parameters of `Command::RelayAdd`.
#[derive(Clone, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct RelayAdd {
    /// `stone:r...`, or where a dead drop is: `davs://USER:PASSWORD@HOST/FOLDER`, `imaps://USER:PASSWORD@HOST/MAILBOX`.
    pub route: String,
    /// It is named in no invitation and no group, and dealt to contacts, one each.
    #[serde(default)]
    pub private: bool,
}

impl core::fmt::Debug for RelayAdd {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("RelayAdd { .. }")
    }
}

/// Parameters of `Command::ProfileRename`.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ProfileRename {
    /// 1 to 64 characters.
    pub name: String,
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
    /// Entrances to keep with them: routes of the account's own relays.
    pub doors: Vec<String>,
}

impl core::fmt::Debug for Words {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Words { .. }")
    }
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
    /// No relay but somebody's near one answers: only who is on this local network is reached.
    Nearby,
}

/// One relay this profile uses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Relay {
    /// Its id, hex (32 characters).
    pub id: String,
    /// `host:port`; a drop's without user and password.
    pub address: String,
    /// Own (given by the user), or lent by a contact's card.
    pub own: bool,
    /// Answers now.
    pub connected: bool,
    /// It does so through another relay only.
    pub through: bool,
    /// Calls envelopes stored and does not give them.
    pub withholds: bool,
    /// Own, and for contacts alone, one each.
    pub private: bool,
    /// When it answered last; absent: never yet.
    pub answered_at: Option<u64>,
    /// A public invitation gave it: whoever read that knows it too.
    pub from_public: bool,
    /// Contacts who were dealt it as their entrance, by name.
    pub dealt_to: Vec<String>,
    /// Its further addresses.
    pub ways: Vec<RelayWay>,
    /// Where it does not answer: which ways were tried last, the newest first.
    pub tried: Vec<Tried>,
}

/// A further address of a relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct RelayWay {
    /// `host:port`, or a bridge without its keys.
    pub address: String,
    /// Who said it, by name; absent: the account itself gave it.
    pub said_by: Option<String>,
    /// The relay is reached there at the moment.
    pub in_use: bool,
}

/// Parameters of `Command::RelayForgetWay`.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct RelayForgetWay {
    /// The relay's id, hex.
    pub id: String,
    /// One of its further addresses, as [`RelayWay`] shows it.
    pub address: String,
}

/// A way to a relay that was tried, and what befell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Tried {
    /// `host:port` that was dialled; a drop's without user and password.
    pub place: String,
    /// The address of the relay in between, where it led through one.
    pub through: Option<String>,
    /// A page in a browser dialled.
    pub by_browser: bool,
    /// What befell it.
    pub why: Missed,
}

/// What befell a way to a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum Missed {
    /// The name leads nowhere.
    NoName,
    /// Nobody listens there.
    Closed,
    /// Nothing comes back.
    Silent,
    /// It was cut off while hands were shaken.
    Cut,
    /// It stood, and then nothing came any more.
    Frozen,
    /// It stood, and ended.
    Ended,
    /// The certificate is not valid at this device's time.
    CertificateTime,
    /// The certificate is not believed for another reason.
    Certificate,
    /// Somebody else answers there: another relay, or no relay at all.
    Stranger,
    /// The relay's secret is not taken.
    Secret,
    /// The drop's password is not taken.
    Password,
    /// The drop's folder or mailbox is not there.
    NoFolder,
    /// Who answers has no time or no room for it now.
    Busy,
    /// The relay in between does not reach it.
    NotPassedOn,
    /// The proxy of the settings does not answer, or does not let in.
    NoProxy,
    /// The program for obfs4 bridges is not there, or does not work.
    NoProgram,
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
    /// Restored from words: what was written before does not come back, and the interface says so.
    pub restored: bool,
    /// How that stands, where a capsule was looked for.
    pub restoring: Option<Restoring>,
    /// This device is not part of the account any more.
    pub revoked: bool,
    /// This device holds the account's words: it links and removes others, invites, and takes invitations up.
    pub home: bool,
    /// Unread messages in all chats.
    pub unread: u32,
    /// People waiting for approval.
    pub requests: u32,
}
