//! The drop carrier: a folder on a WebDAV server or a mailbox on an IMAP server, as if a relay stood there (DRP).
//!
//! In: the address of a drop and the same frames as for a relay. Out: the same answers; only that nobody is there: what is
//! put becomes an object in the folder, and what others put is found by looking. One task per link, which ends when its
//! commands end and reports nothing after that. What it knows of a drop outlives its links ([`Drops`]).

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use stonechat_wire::drop::{DropKey, LyingCard, ObjectName, drop_id, open as unseal};
use stonechat_wire::exchange::NamedBy;
use stonechat_wire::frame::{FromRelay, ToRelay, VERSION};
use stonechat_wire::ids::{DoorPath, RelayId};
use stonechat_wire::invite::proof_hash;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

use super::knock::{KNOCK_BY_OTHERS_MAX, KNOCK_MAX, KnockFailure};
use super::means::Means;
use super::outer::{self, is_silence};
use super::ws::{Command, Dial};
use crate::courier::{Input, LinkId, Lost, Missed};
use connector::AskError;
use folder::{Folder, Got};
use index::Index;
use mail::SharedMails;
use reader::{Reader, Wish};
use writer::Writer;

mod connector;
mod dav;
mod folder;
mod http;
mod index;
mod listing;
mod mail;
mod pace;
mod reader;
mod writer;

pub use connector::{ANSWER_MAX, CONNECT_MAX, PUT_MAX};
pub use index::{BROKEN_TRIES, OBJECTS_MAX, OWN_MAX, REFUSED_MS};
pub use listing::{LISTING_BYTES_MAX, NAMES_MAX};
pub use mail::{LINE_MAX, MAIL_MAX};
pub use pace::{POLL_MS_MAX, POLL_MS_MIN, SCAN_MS};
pub use reader::{CLOCK_STEP_MS_MAX, DELETIONS_MAX, FETCH_BYTES_MAX, FETCHES_MAX};

/// Why a drop is not reached (any more).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DropError {
    /// The request brought no answer.
    #[error("{0}")]
    Ask(#[from] AskError),
    /// The server does not take the password, or does not let us at the folder.
    #[error("the server does not let us in")]
    Denied,
    /// Another answer than WebDAV gives.
    #[error("status {0}")]
    Status(u16),
    /// The server does not do it, or not now.
    #[error("the server says no")]
    Refused,
    /// The mailbox is not there.
    #[error("no such mailbox")]
    NoMailbox,
    /// The address is no drop's, or the secret is another drop's.
    #[error("not this drop")]
    NotThisDrop,
    /// The server's clock was set: which mailboxes are read depends on it.
    #[error("the server's clock was set")]
    ClockMoved,
    /// The courier closed it.
    #[error("no longer wanted")]
    Unwanted,
}

impl DropError {
    /// What the courier makes of it.
    fn lost(&self) -> Lost {
        match self {
            Self::Ask(AskError::Unreachable(error)) if is_silence(error) => Lost::Silenced,
            Self::Denied => Lost::Denied,
            Self::NotThisDrop => Lost::WrongKeys,
            Self::Ask(AskError::Malformed | AskError::TooLong) => Lost::Malformed,
            Self::Ask(_) | Self::Status(_) | Self::Refused | Self::NoMailbox | Self::ClockMoved | Self::Unwanted => {
                Lost::Broken
            }
        }
    }
}

impl DropError {
    /// What the person is told of it.
    fn missed(&self) -> Missed {
        match self {
            Self::Ask(AskError::Unreachable(error)) => outer::missed(error),
            Self::Ask(AskError::Slow) => Missed::Silent,
            Self::Denied => Missed::Password,
            Self::NoMailbox | Self::Status(404 | 410) => Missed::NoFolder,
            Self::Status(500..) | Self::Refused => Missed::Busy,
            Self::Ask(AskError::Malformed | AskError::TooLong) | Self::Status(_) | Self::NotThisDrop => {
                Missed::Stranger
            }
            Self::ClockMoved | Self::Unwanted => Missed::Ended,
        }
    }
}

/// What is known of each drop, for as long as the transport runs: which objects were read, and which cursors were given.
#[derive(Debug, Default)]
pub struct Drops {
    known: HashMap<RelayId, Arc<Mutex<Index>>>,
}

impl Drops {
    /// What is known of one. A link holds it until it ends; the next one waits for that.
    pub fn of(&mut self, drop: RelayId) -> Arc<Mutex<Index>> {
        Arc::clone(self.known.entry(drop).or_default())
    }

    /// What is known of one is of no use any more.
    pub fn forget(&mut self, drop: &RelayId) {
        self.known.remove(drop);
    }
}

/// Looks at the folder, reports [`Input::Open`], does what frames say, and reports [`Input::Lost`] at the end.
pub async fn carry(
    dial: Dial,
    known: Arc<Mutex<Index>>,
    mut commands: mpsc::UnboundedReceiver<Command>,
    events: mpsc::Sender<Input>,
) {
    let link = dial.link;
    let error = talk(dial, known, &mut commands, &events).await;
    tracing::debug!(%error, "a drop's link ended");
    if !matches!(error, DropError::Unwanted) {
        let why = error.missed();
        let _ = events.send(Input::Missed { link, why }).await;
        let why = error.lost();
        // Nobody listens when everything ends.
        let _ = events.send(Input::Lost { link, why }).await;
    }
}

async fn talk(
    dial: Dial,
    known: Arc<Mutex<Index>>,
    commands: &mut mpsc::UnboundedReceiver<Command>,
    events: &mpsc::Sender<Input>,
) -> DropError {
    let mut known = known.lock_owned().await;
    let mut dice = ChaCha20Rng::from_seed(dial.dice);
    let opened = tokio::select! {
        opened = reach(&dial, &known.mails) => opened,
        // Nothing is said before it is open: this is the end of the commands.
        _ = commands.recv() => Err(DropError::Unwanted),
    };
    let folder = match opened {
        Ok(folder) => folder,
        Err(error) => return error,
    };
    let link = dial.link;
    let _ = events
        .send(Input::Open {
            link,
            keys: None,
            place: None,
        })
        .await;
    let key = match greet(&dial, commands, events, &folder).await {
        Ok(key) => key,
        Err(error) => return error,
    };
    let (wishes, wished) = mpsc::unbounded_channel();
    let (writes, written) = mpsc::unbounded_channel();
    let writer = Writer::new(link, folder.again(), key.clone(), events, seeded(&mut dice));
    let reader = Reader::new(link, folder, key, &mut known, events, seeded(&mut dice));
    tokio::select! {
        error = reader.run(wished) => error,
        error = writer.run(written, wishes.clone()) => error,
        error = obey(link, commands, events, &wishes, &writes) => error,
    }
}

fn seeded(dice: &mut ChaCha20Rng) -> ChaCha20Rng {
    let mut seed = [0; 32];
    dice.fill_bytes(&mut seed);
    ChaCha20Rng::from_seed(seed)
}

/// Whether the folder is there, and lets us look at it. A folder that is not there is made.
async fn reach(dial: &Dial, mails: &SharedMails) -> Result<Folder, DropError> {
    let mut folder = Folder::at(&dial.truck.address, &dial.means, dial.by, mails).ok_or(DropError::NotThisDrop)?;
    folder.open().await?;
    Ok(folder)
}

/// The first frame says which secret the drop has, and so with what its objects are sealed.
async fn greet(
    dial: &Dial,
    commands: &mut mpsc::UnboundedReceiver<Command>,
    events: &mpsc::Sender<Input>,
    folder: &Folder,
) -> Result<DropKey, DropError> {
    loop {
        match commands.recv().await.ok_or(DropError::Unwanted)? {
            Command::Send(ToRelay::Hello { secret, .. }) => {
                let secret = secret.filter(|secret| drop_id(secret) == dial.relay);
                let key = DropKey::new(&secret.ok_or(DropError::NotThisDrop)?);
                let hello = FromRelay::Hello {
                    version: VERSION,
                    features: 0,
                    time_ms: folder.now_ms(),
                };
                say(events, dial.link, vec![hello]).await;
                return Ok(key);
            }
            Command::Send(_) | Command::Ping | Command::Relieve(_) => {}
        }
    }
}

/// Hands on what the courier says; answers for itself what no server need be asked.
async fn obey(
    link: LinkId,
    commands: &mut mpsc::UnboundedReceiver<Command>,
    events: &mpsc::Sender<Input>,
    wishes: &mpsc::UnboundedSender<Wish>,
    writes: &mpsc::UnboundedSender<ToRelay>,
) -> DropError {
    while let Some(command) = commands.recv().await {
        match command {
            // Requests have their own limits; nothing freezes between them.
            Command::Ping => drop(events.send(Input::Heard { link }).await),
            Command::Relieve(_) => {
                let why = Lost::Broken;
                let _ = events.send(Input::NotRelieved { link, why }).await;
            }
            Command::Send(ToRelay::Subscribe { add, drop }) => {
                let _ = wishes.send(Wish::Change { add, drop });
            }
            // How much may wait the courier limits: puts in flight, doors.
            Command::Send(frame @ (ToRelay::Put { .. } | ToRelay::Door { .. } | ToRelay::CloseDoor { .. })) => {
                let _ = writes.send(frame);
            }
            // Nobody is there who could pass it on.
            Command::Send(_) => {}
        }
    }
    DropError::Unwanted
}

/// Reports frames.
async fn say(events: &mpsc::Sender<Input>, link: LinkId, frames: Vec<FromRelay>) {
    if !frames.is_empty() {
        // Nobody listens when everything ends; then the commands end too.
        let _ = events.send(Input::Frames { link, frames }).await;
    }
}

/// Looks for the card of an invitation whose door is a drop's (DRP-7).
pub async fn knock(address: &str, path: DoorPath, proof: [u8; 16], means: &Means) -> Result<Vec<u8>, KnockFailure> {
    let limit = if means.is_led(address) {
        KNOCK_BY_OTHERS_MAX
    } else {
        KNOCK_MAX
    };
    timeout(limit, look(address, path, proof, means))
        .await
        .map_err(|_| KnockFailure::Slow)?
}

async fn look(address: &str, path: DoorPath, proof: [u8; 16], means: &Means) -> Result<Vec<u8>, KnockFailure> {
    // The person has taken up an invitation.
    let mut folder =
        Folder::at(address, means, NamedBy::Person, &SharedMails::default()).ok_or(KnockFailure::Malformed)?;
    let name = ObjectName::of_door(&path);
    let got = folder.get(None, &name).await.map_err(not_found)?;
    let bytes = match got {
        Got::Bytes(bytes) => bytes,
        Got::Nothing => return Err(KnockFailure::NotFound),
        Got::Status(status) => return Err(KnockFailure::Status(status)),
    };
    let key = DropKey::of_door(&path, &proof_hash(&proof));
    let plain = unseal(&key, &name, &bytes).map_err(|_| KnockFailure::NoCard)?;
    let lying = LyingCard::decode(&plain).map_err(|_| KnockFailure::NoCard)?;
    // Whoever made it may be away, and nobody else can take it down.
    if lying.expires_s < folder.now_ms() / 1000 {
        return Err(KnockFailure::NotFound);
    }
    Ok(lying.card)
}

fn not_found(error: DropError) -> KnockFailure {
    match error {
        DropError::Ask(AskError::Unreachable(error)) => KnockFailure::Unreachable(error),
        DropError::Ask(AskError::Slow) => KnockFailure::Slow,
        DropError::Ask(AskError::TooLong) => KnockFailure::TooLong,
        DropError::Status(status) => KnockFailure::Status(status),
        DropError::NoMailbox => KnockFailure::NotFound,
        DropError::Denied => KnockFailure::Unreachable(io::ErrorKind::PermissionDenied.into()),
        DropError::Ask(AskError::Malformed)
        | DropError::Refused
        | DropError::NotThisDrop
        | DropError::ClockMoved
        | DropError::Unwanted => KnockFailure::Malformed,
    }
}
