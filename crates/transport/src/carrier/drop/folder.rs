//! Where a drop's objects lie, of whichever kind its server is: a folder (WebDAV) or a mailbox (IMAP).
//!
//! In: names and bytes. Out: listings and bytes. Objects belong to a day (UTC, by the server's clock), doors to none (DRP-6).

use std::time::SystemTime;

use stonechat_wire::drop::{Kind, ObjectName, Place};
use stonechat_wire::exchange::NamedBy;
use tokio::time::Instant;

use super::super::means::Means;
use super::DropError;
use super::connector::Connector;
use super::dav::Dav;
use super::http::unix_ms;
use super::listing::Listing;
use super::mail::{Mailbox, SharedMails};

/// Milliseconds of a day.
pub(super) const DAY_MS: u64 = 24 * 3600 * 1000;

/// What came of a request for an object.
#[derive(Debug)]
pub(super) enum Got {
    Bytes(Vec<u8>),
    /// It is not there (any more).
    Nothing,
    /// Another answer.
    Status(u16),
}

/// What came of writing an object.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrote {
    /// The server says that it is there.
    Stored,
    /// Another object has the name.
    NameTaken,
    /// The day's folder is not there.
    NoFolder,
    /// The server has no room for it, or none for us.
    NoRoom,
    /// It asks to come back later.
    Busy,
}

/// Whether an object may take the place of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Nothing,
    Itself,
}

/// What came of taking an object away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removed {
    /// It is not there, and perhaps was not before.
    Gone,
    /// The server does not do it.
    Kept,
}

/// What is to be found out before listings are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// What came since.
    New,
    /// What is gone, too.
    All,
}

/// What became of what was known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Before {
    /// It holds.
    #[default]
    Same,
    /// Nothing: it is another mailbox of the same name, or an older state of it.
    Other,
}

/// A clock, as it was at a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) ms: u64,
    pub(super) at: Instant,
}

impl Clock {
    pub(super) fn of_device() -> Self {
        Self {
            ms: unix_ms(SystemTime::now()),
            at: Instant::now(),
        }
    }

    /// What it shows, Unix ms.
    pub(super) fn now_ms(&self) -> u64 {
        let since = u64::try_from(self.at.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.ms.saturating_add(since)
    }
}

pub(super) enum Folder {
    Dav(Dav),
    Mail(Mailbox),
}

impl Folder {
    /// The folder at an address, not looked at yet. Nothing where the address is no drop's.
    pub(super) fn at(address: &str, means: &Means, by: NamedBy, mails: &SharedMails) -> Option<Self> {
        let place = Place::read(address)?;
        let connector = Connector::new(address.to_owned(), means.clone(), by);
        match place.kind {
            Kind::Folder => Some(Self::Dav(Dav::at(connector, &place))),
            Kind::Mailbox => Mailbox::at(connector, &place, mails).map(Self::Mail),
        }
    }

    /// The same folder, on a connection of its own.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::Dav(dav) => Self::Dav(dav.again()),
            Self::Mail(mailbox) => Self::Mail(mailbox.again()),
        }
    }

    /// The server's clock, Unix ms; the device's where that is not known.
    pub(super) fn now_ms(&self) -> u64 {
        match self {
            Self::Dav(dav) => dav.clock().now_ms(),
            Self::Mail(mailbox) => mailbox.clock().unwrap_or_else(Clock::of_device).now_ms(),
        }
    }

    /// The day that it is on the server.
    pub(super) fn today(&self) -> u32 {
        u32::try_from(self.now_ms() / DAY_MS).unwrap_or(u32::MAX)
    }

    /// Whether the server's clock and the device's agree about the day, so that what is over may be taken away; nothing while
    /// the server's is not known.
    pub(super) fn agrees_with_device(&self) -> Option<bool> {
        let known = match self {
            Self::Dav(dav) => Some(dav.clock()),
            Self::Mail(mailbox) => mailbox.clock(),
        };
        known.map(|clock| clock.now_ms().abs_diff(Clock::of_device().ms) <= DAY_MS)
    }

    /// Looks whether the folder is there, and makes it where it is not.
    pub(super) async fn open(&mut self) -> Result<(), DropError> {
        match self {
            Self::Dav(dav) => dav.open().await,
            Self::Mail(mailbox) => mailbox.open().await,
        }
    }

    /// To be asked before listings: a mailbox tells what is new in one answer for all days.
    pub(super) async fn look(&mut self, scope: Scope) -> Result<Before, DropError> {
        match self {
            Self::Dav(_) => Ok(Before::Same),
            Self::Mail(mailbox) => mailbox.look(scope).await,
        }
    }

    /// What there is of a day, or of none; nothing where there is no such folder.
    pub(super) async fn list(&mut self, day: Option<u32>) -> Result<Option<Listing>, DropError> {
        match self {
            Self::Dav(dav) => dav.list(day).await,
            Self::Mail(mailbox) => Ok(Some(mailbox.list(day))),
        }
    }

    pub(super) async fn get(&mut self, day: Option<u32>, name: &ObjectName) -> Result<Got, DropError> {
        match self {
            Self::Dav(dav) => dav.get(day, name).await,
            Self::Mail(mailbox) => mailbox.get(day, name).await,
        }
    }

    pub(super) async fn put(
        &mut self,
        day: Option<u32>,
        name: &ObjectName,
        bytes: &[u8],
        over: Over,
    ) -> Result<Wrote, DropError> {
        match self {
            Self::Dav(dav) => dav.put(day, name, bytes, over).await,
            Self::Mail(mailbox) => {
                let now_ms = mailbox.clock().unwrap_or_else(Clock::of_device).now_ms();
                mailbox.put(day, name, bytes, over, now_ms).await
            }
        }
    }

    /// Makes a day's folder. A mailbox has none.
    pub(super) async fn make(&mut self, day: u32) -> Result<(), DropError> {
        match self {
            Self::Dav(dav) => dav.make(Some(day)).await,
            Self::Mail(_) => Ok(()),
        }
    }

    /// Takes away a day's folder, with all that is in it. A mailbox has none.
    pub(super) async fn remove_day(&mut self, day: u32) -> Result<Removed, DropError> {
        match self {
            Self::Dav(dav) => dav.remove_day(day).await,
            Self::Mail(_) => Ok(Removed::Gone),
        }
    }

    /// Takes away an object. That it is not there is fine, and so is a server that does not do it.
    pub(super) async fn remove(&mut self, day: Option<u32>, name: &ObjectName) -> Result<Removed, DropError> {
        match self {
            Self::Dav(dav) => dav.remove(day, name).await,
            Self::Mail(mailbox) => mailbox.remove(day, name).await,
        }
    }

    /// Asks to be told when something comes. Out: whether the server does that.
    pub(super) async fn listen(&mut self) -> Result<Told, DropError> {
        match self {
            Self::Dav(_) => Ok(Told::Never),
            Self::Mail(mailbox) => mailbox.listen().await,
        }
    }

    /// Waits until something came, or the connection ended; for ever where the server tells nothing. May be dropped midway.
    pub(super) async fn told(&mut self) {
        match self {
            Self::Dav(_) => std::future::pending().await,
            Self::Mail(mailbox) => mailbox.told().await,
        }
    }
}

/// Whether a server says by itself that something came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    AtOnce,
    Never,
}
