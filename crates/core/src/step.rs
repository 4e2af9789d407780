//! One step: what every part of core works with while one input is handled.
//!
//! In: the transaction, the two clocks, the dice, the groups held in memory. Out: collected [`Outputs`].
//! The *device clock* measures intervals and says when to wake; the *slot clock* is what the protocol calls time:
//! the device clock, corrected by the relays' greetings where it is off by more than a day (MBX-7).
//! Invariant: what [`Step::attempt`] refuses leaves no row, no errand and no cached group behind.

use crate::api::{ChatId, Event, Fault};
use crate::mls::{Groups, MlsError, Provider, RowsError};
use crate::store::StoreError;
use crate::{Outputs, query};
use rusqlite::{OptionalExtension, Transaction, params};
use std::collections::BTreeSet;
use stonechat_wire::exchange::Errand;
use stonechat_wire::ids::{AccountId, MessageId, Timestamp};
use stonechat_wire::mailbox::Slot;

/// A clock off by more than this is corrected, and its owner told.
pub(crate) const CLOCK_TRUSTED_MS: i64 = 24 * 3600 * 1000;
/// Above this many new messages in one step, the interface is told to reload instead of each one.
const EVENTS_EACH_MAX: usize = 200;

/// Why a part of a step stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// Our own store: the whole step is rolled back.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The person asked for something that cannot be.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A peer sent something that cannot be: dropped, and nothing remains.
    #[error("refused: {0}")]
    Refused(&'static str),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<MlsError> for Stop {
    fn from(error: MlsError) -> Self {
        match error {
            MlsError::Rows(RowsError::Sql(error)) => Self::Store(error.into()),
            MlsError::Rows(RowsError::Codec(_) | RowsError::Unused(_)) => Self::Refused("group rows"),
            MlsError::Refused(why) => Self::Refused(why),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Step<'a, 't> {
    pub(crate) tx: &'a Transaction<'t>,
    /// Device clock.
    pub(crate) now: Timestamp,
    /// Slot clock.
    pub(crate) time: Timestamp,
    pub(crate) mls: Provider<'a>,
    pub(crate) groups: &'a mut Groups,
    pub(crate) out: Outputs,
    touched_chats: BTreeSet<ChatId>,
    touched_messages: BTreeSet<MessageId>,
}

impl<'a, 't> Step<'a, 't> {
    pub(crate) fn new(
        tx: &'a Transaction<'t>,
        now: Timestamp,
        mls: Provider<'a>,
        groups: &'a mut Groups,
    ) -> Result<Self, Stop> {
        let mut step = Self {
            tx,
            now,
            time: now,
            mls,
            groups,
            out: Outputs::default(),
            touched_chats: BTreeSet::new(),
            touched_messages: BTreeSet::new(),
        };
        step.read_clock()?;
        Ok(step)
    }

    /// Sets the slot clock from the device clock and the relays' greetings.
    pub(crate) fn read_clock(&mut self) -> Result<(), Stop> {
        let offset = self.clock_offset_ms()?;
        self.time = Timestamp(self.now.0.saturating_add_signed(offset));
        Ok(())
    }

    /// Median of the relays' clocks minus the device clock where that is more than a day; else 0 (MBX-7).
    pub(crate) fn clock_offset_ms(&self) -> Result<i64, Stop> {
        let mut rows = self
            .tx
            .prepare_cached("SELECT offset_ms FROM relay WHERE offset_ms IS NOT NULL")?;
        let mut offsets: Vec<i64> = rows.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        offsets.sort_unstable();
        let median = offsets.get(offsets.len() / 2).copied().unwrap_or(0);
        Ok(if median.unsigned_abs() > CLOCK_TRUSTED_MS.unsigned_abs() {
            median
        } else {
            0
        })
    }

    /// Some relay has said what time it is. Until then a wrong device clock must not refuse anything: an invitation's
    /// door and its owner know better whether it is over (MEET-3).
    pub(crate) fn knows_time(&self) -> Result<bool, Stop> {
        Ok(self
            .tx
            .prepare_cached("SELECT 1 FROM relay WHERE offset_ms IS NOT NULL")?
            .exists([])?)
    }

    pub(crate) fn slot(&self) -> Slot {
        Slot::of(self.time)
    }

    /// The own account, once there is one.
    pub(crate) fn me(&self) -> Result<AccountId, Stop> {
        self.tx
            .prepare_cached("SELECT account FROM account")?
            .query_row([], |row| row.get::<_, [u8; 32]>(0))
            .optional()?
            .map(AccountId::from_bytes)
            .ok_or(Stop::Fault(Fault::NoAccount))
    }

    pub(crate) fn errand(&mut self, errand: Errand) {
        self.out.errands.push(errand);
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.out.events.push(event);
    }

    /// Tells the interface about this chat once, at the end of the step.
    pub(crate) fn touch_chat(&mut self, chat: ChatId) {
        self.touched_chats.insert(chat);
    }

    /// Tells the interface once, at the end of the step, that this message has changed.
    pub(crate) fn touch_message(&mut self, id: MessageId) {
        self.touched_messages.insert(id);
    }

    /// Does a part of the step so that it happens whole or not at all.
    pub(crate) fn attempt<T>(
        &mut self,
        part: impl FnOnce(&mut Self) -> Result<T, Stop>,
    ) -> Result<Result<T, Stop>, StoreError> {
        self.run("SAVEPOINT part")?;
        let marks = (
            self.out.errands.len(),
            self.out.events.len(),
            self.touched_chats.clone(),
            self.touched_messages.clone(),
        );
        let done = part(self);
        if let Some(error) = self.mls.rows.take_failure() {
            return Err(error);
        }
        match done {
            Ok(done) => {
                self.run("RELEASE part")?;
                Ok(Ok(done))
            }
            Err(Stop::Store(error)) => Err(error),
            Err(stop) => {
                self.run("ROLLBACK TO part")?;
                self.run("RELEASE part")?;
                self.groups.forget();
                self.out.errands.truncate(marks.0);
                self.out.events.truncate(marks.1);
                self.touched_chats = marks.2;
                self.touched_messages = marks.3;
                Ok(Err(stop))
            }
        }
    }

    fn run(&self, sql: &str) -> Result<(), StoreError> {
        self.tx.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    /// Turns what was touched into events, and many messages into one.
    pub(crate) fn finish_events(&mut self) -> Result<(), Stop> {
        let added = self
            .out
            .events
            .iter()
            .filter(|e| matches!(e, Event::MessageAdded { .. }))
            .count();
        if added > EVENTS_EACH_MAX {
            self.out.events.retain(|e| !matches!(e, Event::MessageAdded { .. }));
            self.event(Event::Ingested {
                messages: u32::try_from(added).unwrap_or(u32::MAX),
            });
        }
        let changed = std::mem::take(&mut self.touched_messages);
        if changed.len() > EVENTS_EACH_MAX {
            self.event(Event::Ingested { messages: 0 });
        } else {
            for id in changed {
                if let Some(message) = query::load_message(self.tx, id.as_bytes())? {
                    self.event(Event::MessageChanged { message });
                }
            }
        }
        for chat in std::mem::take(&mut self.touched_chats) {
            if let Some(chat) = query::load_chat(self.tx, chat)? {
                self.event(Event::ChatChanged { chat });
            }
        }
        Ok(())
    }

    /// The next of the numbers that are kept by this name: it grows, whatever the clock does.
    pub(crate) fn next_number(&self, name: &str) -> Result<u64, Stop> {
        let last = self.setting(name)?.and_then(|last| last.parse::<u64>().ok());
        let next = self.time.0.max(last.unwrap_or(0).saturating_add(1));
        self.set_setting(name, Some(&next.to_string()))?;
        Ok(next)
    }

    /// A single value of the settings table.
    pub(crate) fn setting(&self, key: &str) -> Result<Option<String>, Stop> {
        Ok(self
            .tx
            .prepare_cached("SELECT value FROM setting WHERE key = ?")?
            .query_row([key], |row| row.get(0))
            .optional()?)
    }

    pub(crate) fn set_setting(&self, key: &str, value: Option<&str>) -> Result<(), Stop> {
        match value {
            Some(value) => {
                self.tx
                    .execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", params![key, value])?;
            }
            None => {
                self.tx.execute("DELETE FROM setting WHERE key = ?", [key])?;
            }
        }
        Ok(())
    }
}
