//! What core and the courier say to each other. They never import one another; these types are all they share.
//!
//! Core → courier: [`Errand`]s, released only after the commit of the step that made them. Courier → core:
//! [`News`]. The courier sees envelopes, tags and tokens, never a key or a conversation; core never sees a socket.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::envelope::Envelope;
use crate::ids::{DoorKey, DoorPath, EnvelopeId, RelayId, Tag, Timestamp, Token};
use crate::route::{RelayKeys, RelayRoute};

/// Who named a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedBy {
    /// The person: by a route, or by taking up an invitation.
    Person,
    /// Others, in a card or a Welcome: nobody was asked, so a drop of theirs is not looked for on networks that only this
    /// device sees (DRP-19).
    Others,
}

/// What core wants done outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Keep a connection to this relay from now on. Keys, where core has them, spare asking.
    UseRelay(RelayRoute, Option<RelayKeys>, NamedBy),
    /// Know of a relay that is found on the local network only.
    UseNear(NearRelay),
    /// Drop the relay and everything that waits for it.
    ForgetRelay(RelayId),
    /// These are no ways to a relay any more (REL-7).
    ForgetWays {
        /// The relay, which stays.
        relay: RelayId,
        /// The ways, each as [`crate::address::ways`] has it.
        ways: Vec<String>,
    },
    /// Carry an envelope.
    Send(Parcel),
    /// Pass on to whoever reads that mailbox now, or drop it: said at once or never (EPH-3).
    Signal(Signal),
    /// Read these mailboxes.
    Listen(Listen),
    /// Set up an invite's door.
    OpenDoor(Door),
    /// Take a door down.
    CloseDoor {
        /// The relay it stands on.
        relay: RelayId,
        /// Which door.
        path: DoorPath,
        /// As it was set up with.
        key: DoorKey,
    },
    /// Ask a door for its card.
    Knock(Knock),
    /// Stop asking.
    ForgetKnock([u8; 16]),
}

/// A relay that some device runs for the network it is on (LAN-4). The secret is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct NearRelay {
    /// Which.
    pub relay: RelayId,
    /// What it asks for.
    pub secret: [u8; 16],
    /// Its keys.
    pub keys: RelayKeys,
    /// Where it is at the moment, as far as that is known without looking: `host:port`.
    pub place: Option<String>,
    /// It is this device's own; without a place it does not run.
    pub mine: bool,
}

impl fmt::Debug for NearRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "NearRelay({:?}, {})",
            self.relay,
            if self.mine { "mine" } else { "theirs" }
        )
    }
}

/// How urgent and how big a loss: lets the courier choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A message somebody waits for.
    Text,
    /// Delivery news; may wait and be batched.
    Receipt,
    /// A step of meeting somebody.
    Invite,
}

/// An envelope, where it goes, until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// What is carried.
    pub envelope: Envelope,
    /// The right to put it; its tag is the mailbox.
    pub token: Token,
    /// Relays of the mailbox; the courier puts to every one of them.
    pub relays: Vec<RelayId>,
    /// For ordering.
    pub class: Class,
    /// How long a relay shall keep it.
    pub ttl_s: u32,
    /// When to stop trying.
    pub deadline: Timestamp,
}

/// An envelope that nobody keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// What is passed on.
    pub envelope: Envelope,
    /// The right to put; its tag is the mailbox.
    pub token: Token,
    /// Relays of the mailbox.
    pub relays: Vec<RelayId>,
}

/// A change of what is read on one relay. Cursors are core's: the courier keeps none beyond the live connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Where.
    pub relay: RelayId,
    /// Mailboxes to read, each from after this cursor (0: from the start).
    pub add: Vec<(Tag, u64)>,
    /// Mailboxes not to read any more.
    pub drop: Vec<Tag>,
}

/// An invite's door to set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// Where it shall stand.
    pub relay: RelayId,
    /// Its path.
    pub path: DoorPath,
    /// SHA-256 of the proof that opens it.
    pub proof_hash: [u8; 32],
    /// What replaces it and takes it down.
    pub key: DoorKey,
    /// Unix seconds after which it is gone.
    pub expires_s: u64,
    /// What it answers: one sealed envelope, or a [`Deck`](crate::hand::Deck).
    pub card: Vec<u8>,
}

/// A request to an invite's door. Its proof is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Knock {
    /// Core's name for this attempt.
    pub id: [u8; 16],
    /// `host:port`, tried in turn.
    pub hints: Vec<String>,
    /// Which door.
    pub path: DoorPath,
    /// What opens it.
    pub proof: [u8; 16],
}

impl fmt::Debug for Knock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Knock({} hints)", self.hints.len())
    }
}

/// One envelope that came out of a mailbox, not checked in any way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// From which relay.
    pub relay: RelayId,
    /// Out of which mailbox.
    pub tag: Tag,
    /// Its place there; store it in the arrival's transaction.
    pub cursor: u64,
    /// Its bytes as they came.
    pub envelope: Vec<u8>,
}

/// What the courier has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A relay is reached; its clock says this. Subscriptions must be said again.
    Greeting {
        /// Which.
        relay: RelayId,
        /// Its clock.
        time: Timestamp,
    },
    /// The connection to a relay is lost.
    Gone {
        /// Which.
        relay: RelayId,
    },
    /// Tried for a while: no relay answers.
    Offline,
    /// Envelopes came.
    Arrived(Vec<Arrival>),
    /// A signal was passed on.
    Signalled {
        /// By which relay.
        relay: RelayId,
        /// Out of which mailbox.
        tag: Tag,
        /// Its bytes as they came.
        envelope: Vec<u8>,
    },
    /// A relay has synced these to disk. A hint, not a delivery.
    Stored {
        /// Which relay.
        relay: RelayId,
        /// What it stored.
        ids: Vec<EnvelopeId>,
    },
    /// The mailbox is full: use the next one (MBX-6).
    Full {
        /// Which relay.
        relay: RelayId,
        /// What found no room.
        ids: Vec<EnvelopeId>,
    },
    /// The relay will not take these.
    Refused {
        /// Which relay.
        relay: RelayId,
        /// What it refused.
        ids: Vec<EnvelopeId>,
    },
    /// A door stands.
    DoorOpen {
        /// Where.
        relay: RelayId,
        /// Which.
        path: DoorPath,
    },
    /// A door answered a knock.
    Knocked {
        /// Core's name for the attempt.
        id: [u8; 16],
        /// The answer: one sealed envelope, not checked.
        card: Vec<u8>,
    },
    /// A door does not answer (used, expired, never there): the site said 404.
    DoorSpent {
        /// Core's name for the attempt.
        id: [u8; 16],
    },
}
