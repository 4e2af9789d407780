//! Looking into a drop: new names, then what they hold, for the mailboxes that are read.

use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::Rng as _;
use stonechat_wire::drop::{DropKey, LIFE_S_MAX, Object, open as unseal};
use stonechat_wire::ids::Tag;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::folder::{Before, Clock, DAY_MS, Folder, Got, Scope, Told};
use super::index::{Index, Spot};
use super::listing::Listing;
use super::pace::{Pace, SCAN_MS};
use super::{DropError, say};
use crate::courier::{Input, LinkId};

/// Most objects fetched between two looks.
pub const FETCHES_MAX: usize = 256;
/// Most bytes fetched between two looks; one object more may begin below it.
pub const FETCH_BYTES_MAX: usize = 4 << 20;
/// Most objects that are taken away after one look at everything.
pub const DELETIONS_MAX: usize = 64;
/// So long into a day the folder of the one before is looked at too: something may have been on its way.
const MIDNIGHT_MS: u64 = 3_600_000;
/// Least time between two looks because the server says so, in ms.
const TOLD_MS_MIN: u64 = 1_000;
/// Old days that are tidied after one look at everything, and objects that are fetched of each for it.
const OLD_DAYS: usize = 8;
const OLD_OBJECTS: usize = 8;
/// The server's clock may be so far from what was told when the link began, in ms: which mailbox it is depends on the clock.
pub const CLOCK_STEP_MS_MAX: u64 = 10 * 60_000;
/// Days after which nothing in a folder can be alive.
const DAYS_MAX: u32 = LIFE_S_MAX / (24 * 3600) + 1;
/// Days ahead of the server's clock that are looked at.
const DAYS_AHEAD: u32 = 1;

/// What the reader is told.
#[derive(Debug)]
pub(super) enum Wish {
    /// Mailboxes to read from now on, and no more.
    Change { add: Vec<(Tag, u64)>, drop: Vec<Tag> },
    /// I wrote an object that is over then, in Unix seconds.
    Wrote(Spot, u64),
}

pub(super) struct Reader<'a> {
    link: LinkId,
    folder: Folder,
    key: DropKey,
    index: &'a mut Index,
    events: &'a mpsc::Sender<Input>,
    dice: ChaCha20Rng,
    pace: Pace,
    look_at: Instant,
    looked_at: Instant,
    /// Whether the server says by itself that something came.
    told: Told,
    /// What is over was not taken away yet since everything was looked at.
    is_untidy: bool,
    /// The clock that was told when the link began.
    greeted: Clock,
    fetches: usize,
    fetched_bytes: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        link: LinkId,
        folder: Folder,
        key: DropKey,
        index: &'a mut Index,
        events: &'a mpsc::Sender<Input>,
        dice: ChaCha20Rng,
    ) -> Self {
        index.begin();
        let now = Instant::now();
        let greeted = Clock {
            ms: folder.now_ms(),
            at: now,
        };
        Self {
            link,
            folder,
            key,
            index,
            events,
            dice,
            pace: Pace::new(),
            look_at: now,
            looked_at: now,
            told: Told::Never,
            is_untidy: true,
            greeted,
            fetches: 0,
            fetched_bytes: 0,
        }
    }

    /// Looks for as long as the server answers.
    pub(super) async fn run(mut self, mut wishes: mpsc::UnboundedReceiver<Wish>) -> DropError {
        loop {
            while let Ok(wish) = wishes.try_recv() {
                self.wish(wish);
            }
            let done = if self.look_at <= Instant::now() {
                self.look().await
            } else if let Some(spot) = self.next_fetch() {
                self.fetch(spot).await
            } else {
                self.wait(&mut wishes).await
            };
            if let Err(error) = done {
                return error;
            }
        }
    }

    /// Until there is something to do.
    async fn wait(&mut self, wishes: &mut mpsc::UnboundedReceiver<Wish>) -> Result<(), DropError> {
        self.told = self.folder.listen().await?;
        tokio::select! {
            Some(wish) = wishes.recv() => self.wish(wish),
            () = self.folder.told() => self.look_at = self.looked_at + Duration::from_millis(TOLD_MS_MIN),
            () = sleep_until(self.look_at) => {}
        }
        Ok(())
    }

    fn wish(&mut self, wish: Wish) {
        match wish {
            Wish::Change { add, drop } => self.index.subscribe(&add, &drop),
            Wish::Wrote(spot, over_at_s) => {
                self.index.wrote(spot, over_at_s);
                self.liven();
            }
        }
    }

    /// Somebody talks: the next look comes soon, where nobody would say that more has come.
    fn liven(&mut self) {
        if self.told == Told::Never {
            self.soon();
        }
    }

    fn soon(&mut self) {
        self.pace.liven();
        let soon = Instant::now() + Duration::from_millis(self.pace.next_ms(&mut self.dice));
        self.look_at = self.look_at.min(soon);
    }

    async fn look(&mut self) -> Result<(), DropError> {
        let scanned = self.index.scanned_at;
        let is_due = scanned.is_none_or(|at| at.elapsed() >= Duration::from_millis(SCAN_MS));
        let scope = if is_due { Scope::All } else { Scope::New };
        if self.folder.look(scope).await? == Before::Other || is_due {
            self.scan().await?;
            self.index.scanned_at = Some(Instant::now());
        } else {
            let today = self.folder.today();
            if self.folder.now_ms() % DAY_MS < MIDNIGHT_MS {
                self.look_into(today.saturating_sub(1)).await?;
            }
            let is_there = self.look_into(today).await?;
            if !is_there && self.folder.list(None).await?.is_none() {
                // The drop's own folder: the next link makes it.
                return Err(DropError::Status(404));
            }
            if self.is_untidy && self.folder.agrees_with_device().is_some() {
                let root = self.folder.list(None).await?.unwrap_or_else(Listing::none);
                self.tidy(&root).await?;
            }
        }
        if self.folder.now_ms().abs_diff(self.greeted.now_ms()) > CLOCK_STEP_MS_MAX {
            return Err(DropError::ClockMoved);
        }
        (self.fetches, self.fetched_bytes) = (0, 0);
        let has_more = self.index.has_next();
        if has_more {
            self.pace.liven();
        }
        let wait_ms = match self.told {
            Told::AtOnce if has_more => self.pace.next_ms(&mut self.dice),
            Told::AtOnce => self.pace.rest_ms(&mut self.dice),
            Told::Never => self.pace.next_ms(&mut self.dice),
        };
        self.looked_at = Instant::now();
        self.look_at = self.looked_at + Duration::from_millis(wait_ms);
        Ok(())
    }

    /// Out: whether there is such a folder.
    async fn look_into(&mut self, day: u32) -> Result<bool, DropError> {
        self.index.look();
        let Some(listing) = self.folder.list(Some(day)).await? else {
            return Ok(false);
        };
        let now_ms = self.folder.now_ms();
        self.index.found(day, &listing, now_ms);
        Ok(true)
    }

    /// Looks at everything: what quick looks miss, what is gone, and what may go. The newest days first, for there may be more
    /// than is kept in mind; what they hold is fetched behind what older ones do.
    async fn scan(&mut self) -> Result<(), DropError> {
        let root = self.folder.list(None).await?.ok_or(DropError::Status(404))?;
        let today = self.folder.today();
        let oldest = today.saturating_sub(DAYS_MAX);
        let mut days = self.index.days();
        days.extend(root.days.iter().copied());
        let mut gone = 0;
        for day in days.range(oldest..=today.saturating_add(DAYS_AHEAD)).rev().copied() {
            self.index.look();
            let listing = self.folder.list(Some(day)).await?.unwrap_or_else(Listing::none);
            let now_ms = self.folder.now_ms();
            gone += self.index.missing(day, &listing, now_ms / 1000);
            self.index.found(day, &listing, now_ms);
        }
        if gone > 0 {
            tracing::warn!(gone, "objects of a drop are gone before their time");
        }
        self.is_untidy = true;
        self.tidy(&root).await
    }

    /// Takes away what is over (DRP-8), once the server's clock is known. Not where that is far off: it would be believed about
    /// everything.
    async fn tidy(&mut self, root: &Listing) -> Result<(), DropError> {
        let Some(agrees) = self.folder.agrees_with_device() else {
            return Ok(());
        };
        self.is_untidy = false;
        if !agrees {
            return Ok(());
        }
        let now_ms = self.folder.now_ms();
        for (day, name) in self.index.over(now_ms / 1000).into_iter().take(DELETIONS_MAX) {
            self.folder.remove(Some(day), &name).await?;
        }
        let oldest = self.folder.today().saturating_sub(DAYS_MAX);
        let mut old: Vec<u32> = root.days.iter().copied().filter(|day| *day < oldest).collect();
        if !old.is_empty() {
            let some = self.dice.next_u32() as usize % old.len();
            old.rotate_left(some);
        }
        for day in old.into_iter().take(OLD_DAYS) {
            self.tidy_day(day).await?;
        }
        Ok(())
    }

    /// The folder may be somebody else's, whatever it is called: what does not open with this drop's secret stays, and so does
    /// a folder in which anything is left.
    async fn tidy_day(&mut self, day: u32) -> Result<(), DropError> {
        let Some(listing) = self.folder.list(Some(day)).await? else {
            return Ok(());
        };
        if listing.is_empty_day() {
            self.folder.remove_day(day).await?;
        }
        for listed in listing.objects.iter().take(OLD_OBJECTS) {
            let got = self.folder.get(Some(day), &listed.name).await?;
            let Got::Bytes(bytes) = got else { continue };
            if unseal(&self.key, &listed.name, &bytes).is_ok() {
                self.folder.remove(Some(day), &listed.name).await?;
            }
        }
        Ok(())
    }

    fn next_fetch(&mut self) -> Option<Spot> {
        let has_room = self.fetches < FETCHES_MAX && self.fetched_bytes < FETCH_BYTES_MAX;
        has_room.then(|| self.index.next()).flatten()
    }

    async fn fetch(&mut self, spot: Spot) -> Result<(), DropError> {
        let (day, name) = spot;
        let got = self.folder.get(Some(day), &name).await?;
        self.fetches += 1;
        let bytes = match got {
            Got::Bytes(bytes) => bytes,
            Got::Nothing => {
                self.index.vanished(spot);
                return Ok(());
            }
            Got::Status(status) => {
                tracing::debug!(status, "an object of a drop was not given");
                self.index.not_given(spot, self.folder.now_ms());
                return Ok(());
            }
        };
        self.fetched_bytes += bytes.len();
        let plain = unseal(&self.key, &name, &bytes).ok();
        let Some(object) = plain.and_then(|plain| Object::decode(&plain).ok()) else {
            self.index.broke(spot, self.folder.now_ms());
            return Ok(());
        };
        let is_own = self.index.is_own(&spot);
        let frames = self.index.took(spot, object, self.folder.now_ms() / 1000);
        if !is_own && !frames.is_empty() {
            self.liven();
        }
        say(self.events, self.link, frames).await;
        // A backlog is read on without waiting for the next look's time.
        if self.index.has_next() && (self.fetches >= FETCHES_MAX || self.fetched_bytes >= FETCH_BYTES_MAX) {
            self.soon();
        }
        Ok(())
    }
}
