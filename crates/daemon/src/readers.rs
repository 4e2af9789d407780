//! Queries: a few read-only connections, used from blocking threads.
//!
//! In: a query. Out: its answer as JSON, from what was committed when it began. Writing is the engine's alone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use stonechat_core::api::{Fault, Query};
use stonechat_core::query::Live;
use stonechat_core::store::Reader;
use tokio::sync::Semaphore;

/// So many queries run at once; others wait.
pub(crate) const READERS: usize = 3;

/// The read-only connections of a profile, while it is open.
#[derive(Debug)]
pub(crate) struct Readers {
    state: Mutex<State>,
    room: Semaphore,
}

#[derive(Debug)]
struct State {
    idle: Vec<Reader>,
    /// Grows with every opening and closing: a connection that comes back late is not taken up again.
    opening: u64,
    closed_by: Option<Fault>,
}

impl Readers {
    /// Closed for `fault` until [`Readers::open`].
    pub(crate) fn closed(fault: Fault) -> Arc<Self> {
        let state = State {
            idle: Vec::new(),
            opening: 0,
            closed_by: Some(fault),
        };
        Arc::new(Self {
            state: Mutex::new(state),
            room: Semaphore::new(READERS),
        })
    }

    /// Takes up the connections of an opened profile.
    pub(crate) fn open(&self, readers: Vec<Reader>) {
        let mut state = self.state();
        *state = State {
            idle: readers,
            opening: state.opening.wrapping_add(1),
            closed_by: None,
        };
    }

    /// Drops the connections; queries answer `fault` from now on.
    pub(crate) fn close(&self, fault: Fault) {
        let mut state = self.state();
        *state = State {
            idle: Vec::new(),
            opening: state.opening.wrapping_add(1),
            closed_by: Some(fault),
        };
    }

    /// Why there are no connections, if there are none.
    pub(crate) fn closed_by(&self) -> Option<Fault> {
        self.state().closed_by
    }

    /// Runs one query.
    ///
    /// Errors: why the profile is closed; the query's own.
    pub(crate) async fn query(self: &Arc<Self>, query: Query, live: Live) -> Result<Value, Fault> {
        let _permit = self.room.acquire().await.map_err(|_| Fault::Internal)?;
        let this = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || {
            let (reader, opening) = this.take()?;
            let answer = catch_unwind(AssertUnwindSafe(|| reader.query(query, &live)));
            this.give_back(reader, opening);
            let answer = answer.map_err(|_| Fault::Internal)?.map_err(|error| error.fault())?;
            serde_json::to_value(answer).map_err(|_| Fault::Internal)
        });
        done.await.unwrap_or(Err(Fault::Internal))
    }

    fn take(&self) -> Result<(Reader, u64), Fault> {
        let mut state = self.state();
        if let Some(fault) = state.closed_by {
            return Err(fault);
        }
        // There are as many readers as permits.
        Ok((state.idle.pop().ok_or(Fault::Internal)?, state.opening))
    }

    fn give_back(&self, reader: Reader, opening: u64) {
        let mut state = self.state();
        if state.opening == opening {
            state.idle.push(reader);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
