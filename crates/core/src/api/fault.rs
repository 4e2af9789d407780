//! What can go wrong, as an interface says it.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

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
    /// 256 accounts, or 1,024 in one that was founded as large.
    #[error("a group has at most 256 members, one that was made as large 1,024")]
    GroupFull,
    /// An owner was heard in the last 30 days.
    #[error("an owner of this group was heard in the last 30 days")]
    OwnerHeard,
    /// Somebody else has to own the group first.
    #[error("somebody else has to own the group first")]
    LastOwner,
    /// The contact's device has not sent the keys that it is added with.
    #[error("this contact's device has not answered yet; try again later")]
    NoKeysYet,
    /// Unknown chat, message, contact, invite or request.
    #[error("there is nothing with this id")]
    NotFound,
    /// Text empty or over the limit.
    #[error("a text has 1 to 16,384 bytes")]
    BadText,
    /// No bundle, or one that was cut short or changed.
    #[error("this is no whole bundle")]
    BrokenBundle,
    /// No voice note or photo.
    #[error("this is no voice note (Ogg with Opus) and no photo (JPEG)")]
    BadMedia,
    /// A voice note or photo over its limits.
    #[error("a voice note has at most two minutes, a photo at most 4,096 pixels a side, and each at most 192 kB")]
    MediaTooBig,
    /// A place that is not on this earth, or with too long a label.
    #[error("a place has coordinates on this earth and a label of at most 200 bytes")]
    BadPlace,
    /// Four people stand between already.
    #[error("too many people stand between you and this contact; compare safety numbers first")]
    TooFar,
    /// What was read is no safety code.
    #[error("this is not the code of a safety number")]
    NoSafetyCode,
    /// A safety code of another pair, or another number.
    #[error("this code is of other accounts: do not trust this chat before you have compared the numbers in person")]
    NumbersDiffer,
    /// Choices of a poll: too few, too many, too long, empty, or the same twice.
    #[error("a poll has 2 to 12 different choices of at most 200 bytes each")]
    BadPoll,
    /// The poll is over.
    #[error("this poll is over")]
    PollClosed,
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
    /// The account's capsule has not been found yet.
    #[error("the account is still being looked for; wait, or go on without its people")]
    StillLooking,
    /// The contact's device, or a group's, has not answered since the account came back.
    #[error("this chat is not back yet: the other side's device has not answered since your account came back")]
    NotBackYet,
    /// The account came back on another device.
    #[error("this device is not part of the account any more; it only shows what it has")]
    Revoked,
    /// What only the device that holds the account's words can do.
    #[error("only your first device, which has the recovery words, can do that")]
    NotHome,
    /// Not a device link, damaged on the way, or over.
    #[error("this is not a whole device link, or it is over")]
    BrokenDeviceLink,
    /// An error of the program itself.
    #[error("something went wrong inside; nothing was changed")]
    Internal,
}
