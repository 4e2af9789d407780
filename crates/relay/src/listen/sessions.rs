//! Which sessions there are, so that a new connection finds the one that it goes on with (SES-3).
//!
//! In: a session's id out of a connection's first message. Out: where to hand the connection over, or a place for a new
//! session. A place is given back when dropped. How many there are is bounded with the connections (RLY-33).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::connection::Socket;
use super::entrance::Ticket;

/// Connections that wait to take one session over: the last one counts.
const TRUCKS_WAITING_MAX: usize = 2;

type Running = HashMap<[u8; 16], mpsc::Sender<Truck>>;

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
    pub(super) ticket: Ticket,
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
}

impl Sessions {
    /// Finds a session, or makes room for it where the message begins one.
    pub(super) fn place(&self, id: [u8; 16], is_beginning: bool) -> Place {
        self.with(|running| match running.get(&id) {
            Some(trucks) => Place::Taken(trucks.clone()),
            None if is_beginning => {
                let (sender, trucks) = mpsc::channel(TRUCKS_WAITING_MAX);
                running.insert(id, sender);
                let sessions = self.clone();
                Place::New(Held { sessions, id, trucks })
            }
            None => Place::None,
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
