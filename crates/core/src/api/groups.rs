//! Groups, their members and roles.

use super::ChatId;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

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

/// Parameters of `Command::GroupCreate`.
#[derive(Clone, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct GroupCreate {
    /// 1 to 128 bytes after trimming, no control characters.
    pub name: String,
    /// Contacts, hex. May be empty.
    #[serde(default)]
    pub members: Vec<String>,
    /// For up to 1,024 accounts instead of 256; that is never changed.
    #[serde(default)]
    pub large: bool,
}

impl core::fmt::Debug for GroupCreate {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "GroupCreate({} members)", self.members.len())
    }
}

/// Parameters of `Command::GroupAdd` and `Command::GroupRemove`.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct GroupMembers {
    /// The group's chat.
    pub chat: ChatId,
    /// Accounts, hex.
    pub members: Vec<String>,
}

/// Parameters of `Command::GroupRole`.
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

/// Parameters of `Command::GroupConsent`.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct GroupConsent {
    /// The group's chat.
    pub chat: ChatId,
    /// Account, hex: who shall become an owner.
    pub member: String,
}

/// Somebody shall become an owner, and some agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Succession {
    /// Account, hex.
    pub account: String,
    /// So many agree.
    pub agreed: u32,
    /// I am one of them.
    pub mine: bool,
}

/// Parameters of `Command::GroupEdit`: what is absent stays.
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

/// Parameters of `Command::GroupPicture`.
#[derive(Clone, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct GroupPicture {
    /// The group's chat.
    pub chat: ChatId,
    /// A JPEG, base64: at most 61,440 bytes once what is no picture was taken out. Absent: the picture is taken away.
    #[serde(default)]
    pub data: Option<String>,
}

impl core::fmt::Debug for GroupPicture {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("GroupPicture")
            .field("chat", &self.chat)
            .finish_non_exhaustive()
    }
}

/// Parameters of `Command::GroupLink`.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields = nullable)]
pub struct GroupLink {
    /// The group's chat.
    pub chat: ChatId,
    /// Each who comes waits until I let them in.
    pub approval: bool,
    /// People it lets in at most: 1 to 256, else 50.
    #[serde(default)]
    pub most: Option<u32>,
    /// Hours that it lasts: 1 to 720, else 168.
    #[serde(default)]
    pub hours: Option<u32>,
}

/// The group that an invitation leads into.
#[derive(Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct LinkedGroup {
    /// Its chat.
    pub chat: ChatId,
    /// What it is called.
    pub name: String,
    /// People the link lets in at most.
    pub most: u32,
    /// Each of them waits until I let them in.
    pub approval: bool,
}

impl core::fmt::Debug for LinkedGroup {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("LinkedGroup")
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
    /// It has a picture, and its bytes are here.
    pub picture: bool,
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
    /// Founded for up to 1,024 accounts.
    pub large: bool,
    /// When an owner was heard here last, Unix ms; 0: not known.
    #[ts(type = "number")]
    pub owner_heard_at: i64,
    /// Accounts, hex, of those who are asked when no owner comes back.
    pub electors: Vec<String>,
    /// How many of them must agree.
    pub consents_needed: u32,
    /// Who shall become an owner, as far as anybody has said so.
    pub successions: Vec<Succession>,
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct GroupBrief {
    /// How many accounts.
    pub members: u32,
    /// I am in it, and have not said that I leave.
    pub member: bool,
    /// Nobody was heard there for long: this device has asked to be added again.
    pub behind: bool,
    /// It has a picture, and its bytes are here: another text for another picture.
    pub picture: Option<String>,
}
