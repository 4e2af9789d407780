//! Why a command was not done: one line for a person, one exit code for a script.

use std::io;

use stonechat_daemon::rpc::Failure;
use stonechat_daemon::types::{AcceptanceState, Fault};

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("profile in use")]
    InUse,
    #[error("{0}")]
    Refused(#[from] Failure),
    #[error("{0}")]
    Link(String),
    #[error("there is no contact \"{0}\"")]
    NoContact(String),
    #[error("there is no group \"{0}\"")]
    NoGroup(String),
    #[error("there is no contact or group \"{0}\"")]
    NoChat(String),
    #[error("nobody in this group is called \"{0}\"")]
    NoMember(String),
    #[error("there is no device \"{0}\"; `device list` shows names and ids")]
    NoDevice(String),
    #[error("no device is being linked: `device link` makes a link")]
    NoLinking,
    #[error("there is no open link \"{0}\" into a group")]
    NoGroupLink(String),
    #[error(
        "a public invitation gives 4 to 64 relays and at most 256 pairs; none of them may be one that this profile uses, a \
         dead drop, or one that is reached from less far than the invitation itself"
    )]
    NotGiven,
    #[error("there is no public invitation \"{0}\"; `public list` shows them")]
    NoPublic(String),
    #[error("this poll has no such choice, or takes only one")]
    NoChoice,
    /// What was typed, and what it fits.
    #[error("\"{0}\" fits more than one: {1}; use the id")]
    Ambiguous(String, String),
    #[error(
        "this is no address of a folder on a WebDAV server, davs://USER:PASSWORD@HOST/FOLDER, nor of a mailbox, \
             imaps://USER:PASSWORD@HOST/MAILBOX: at most 104 characters, with %40 for an @ and %3A for a colon in the user's name or the password"
    )]
    NoDrop,
    #[error("no own relay, or more than one, has this address or id: `relays` shows them")]
    NoOwnRelay,
    #[error("no relay, or more than one, has this address or id: `relays` shows them")]
    NoSuchRelay,
    #[error(
        "this is no further address of that relay: `relays` shows them, and the one that a relay is named by stays"
    )]
    NoSuchAddress,
    #[error("no account is being looked for here")]
    NotLooking,
    #[error("these are one and the same contact")]
    SameContact,
    #[error("a picture of a group is a JPEG file of at most 60 kB and 4,096 pixels a side")]
    NoPicture,
    #[error("this kind of message cannot be forwarded")]
    NotForwarded,
    #[error("this is the device you are on: only another one can be removed here")]
    ThisDevice,
    #[error("nothing waits under \"{0}\"")]
    NoRequest(String),
    #[error("no daemon runs for this profile: start it with `stonechat serve`")]
    NotRunning,
    #[error("this computer is on no local network")]
    NoNetwork,
    #[error("an invitation of this profile would give away the password of its dead drop")]
    NoGift,
    #[error("the file {0} cannot be read: {1}")]
    File(String, io::Error),
    #[error("the folder {0} cannot be made: {1}")]
    Folder(String, io::Error),
    #[error("the first line of the file {0} is empty: that is no passphrase")]
    NoPassphrase(String),
    #[error("the running daemon went away")]
    Gone,
    /// Whoever read the output went away, as `head` does: nobody is left to be told.
    #[error("nobody reads the output any more")]
    Unheard,
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

impl From<io::Error> for CommandError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull => Self::Refused(Fault::DiskFull.into()),
            _ => Self::Other(error.into()),
        }
    }
}

impl CommandError {
    /// What the process ends with.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::InUse => 3,
            Self::Refused(failure) => code_of(failure.kind),
            Self::Link(_) => 5,
            Self::NoContact(_)
            | Self::NoGroup(_)
            | Self::NoChat(_)
            | Self::NoMember(_)
            | Self::NoDevice(_)
            | Self::NoLinking
            | Self::NotLooking
            | Self::NoGroupLink(_)
            | Self::NoPublic(_)
            | Self::Ambiguous(..)
            | Self::NoRequest(_) => 6,
            Self::Unheard => 141,
            Self::NotRunning
            | Self::NoNetwork
            | Self::NoGift
            | Self::File(..)
            | Self::Folder(..)
            | Self::NoPassphrase(_)
            | Self::NoChoice
            | Self::NotGiven
            | Self::NoDrop
            | Self::NoOwnRelay
            | Self::NoSuchRelay
            | Self::NoSuchAddress
            | Self::SameContact
            | Self::NoPicture
            | Self::NotForwarded
            | Self::ThisDevice
            | Self::Gone
            | Self::Other(_) => 1,
        }
    }
}

fn code_of(fault: Fault) -> u8 {
    match fault {
        Fault::Locked | Fault::WrongPassphrase => 4,
        Fault::BrokenLink
        | Fault::RouteNotInvite
        | Fault::InviteNotRoute
        | Fault::BrokenRoute
        | Fault::BrokenDeviceLink
        | Fault::NewerLink
        | Fault::LinkExpired
        | Fault::OwnInvite
        | Fault::AlreadyAccepted
        | Fault::NotLetIn => 5,
        Fault::NotFound => 6,
        Fault::NewerDatabase | Fault::BrokenDatabase => 7,
        Fault::DiskFull => 8,
        // The rest is told apart by its words.
        _ => 1,
    }
}

/// What to say when taking up an invitation came to an end without success; `None`: it did not.
pub(crate) fn refusal_of(state: AcceptanceState) -> Option<&'static str> {
    match state {
        AcceptanceState::Saved
        | AcceptanceState::Claimed
        | AcceptanceState::Waiting
        | AcceptanceState::Accepted
        | AcceptanceState::Dealt => None,
        AcceptanceState::NoRoom => {
            Some("this invitation gives two relays, and there is no room for them: take one back (`relays remove`)")
        }
        AcceptanceState::NeedsWords => Some("this invitation needs the three spoken words: --spoken \"a b c\""),
        AcceptanceState::Declined => Some("the inviter declined"),
        AcceptanceState::Used => {
            Some("this invitation was already used; if it was not you, ask for a new one in person")
        }
        AcceptanceState::Expired => Some("this invitation has expired"),
        AcceptanceState::WordsWrong => Some("the spoken words do not match"),
        AcceptanceState::DoorSpent => {
            Some("nobody answers at this invitation any more: it was used, closed, or has expired")
        }
        AcceptanceState::CardWrong => Some("what was found at this link is not what the link names; do not trust it"),
        AcceptanceState::Blocked => Some("you have blocked the person who made this invitation: block NAME --undo"),
    }
}
