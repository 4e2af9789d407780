//! Which sessions there are, so that a new connection finds the one that it goes on with (SES-3).
//!
//! In: a session's id out of a connection's first message. Out: where to hand the connection over, or a place for a new
//! session. A place is given back when dropped. How many there are is bounded with the connections (RLY-33).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::connection::Socket;
use super::entrance::Ticket;
use crate::forgetful::ForgetfulMap;

/// Connections that wait to take one session over: the last one counts.
const TRUCKS_WAITING_MAX: usize = 2;

type Running = ForgetfulMap<[u8; 16], Known>;

#[derive(Clone, Debug)]
struct Known {
    trucks: mpsc::Sender<Truck>,
    is_greeted: Arc<AtomicBool>,
}

/// All sessions.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions(Arc<Mutex<Running>>);

/// A connection that takes a session over.
#[derive(Debug)]
pub(super) struct Truck {
    pub(super) socket: Socket,
    pub(super) load_max: u32,
    /// The first message, without its opening.
    pub(super) message: Vec<u8>,
    /// Its place among the connections; a request has none of its own.
    pub(super) ticket: Option<Ticket>,
}

/// Where a connection belongs.
pub(super) enum Place {
    /// A new session.
    New(Held),
    /// One that runs.
    Taken(mpsc::Sender<Truck>),
    /// It wants to go on with a session that is not there.
    None,
}

/// A session's place.
#[derive(Debug)]
pub(super) struct Held {
    sessions: Sessions,
    id: [u8; 16],
    pub(super) trucks: mpsc::Receiver<Truck>,
    is_greeted: Arc<AtomicBool>,
}

impl Held {
    /// Its client has said hello.
    pub(super) fn greeted(&self) {
        self.is_greeted.store(true, Ordering::Relaxed);
    }
}

impl Sessions {
    /// Finds a session, or makes room for it where the message begins one.
    pub(super) fn place(&self, id: [u8; 16], is_beginning: bool) -> Place {
        self.with(|running| match running.get(&id) {
            Some(known) => Place::Taken(known.trucks.clone()),
            None if is_beginning => {
                let (sender, trucks) = mpsc::channel(TRUCKS_WAITING_MAX);
                let known = Known {
                    trucks: sender,
                    is_greeted: Arc::default(),
                };
                let (sessions, is_greeted) = (self.clone(), Arc::clone(&known.is_greeted));
                running.insert(id, known);
                Place::New(Held {
                    sessions,
                    id,
                    trucks,
                    is_greeted,
                })
            }
            None => Place::None,
        })
    }

    /// Whether there is such a session, and its client has said hello: whoever knows its id is no stranger.
    pub(super) fn knows(&self, id: &[u8]) -> bool {
        let Ok(id) = <[u8; 16]>::try_from(id) else { return false };
        self.with(|running| {
            running
                .get(&id)
                .is_some_and(|known| known.is_greeted.load(Ordering::Relaxed))
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Running) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.sessions.with(|running| running.remove(&self.id));
    }
}
