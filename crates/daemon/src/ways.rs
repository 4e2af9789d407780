//! The ways out: core's errands to the courier, the courier's news to the engine.
//!
//! In: errands after their commit. Out: news into the engine's queue. It also counts what no relay has confirmed, so
//! that a command that ends soon knows when it may. The courier itself is `stonechat_transport`.

use std::collections::BTreeSet;

use stonechat_wire::exchange::{Errand, News};
use stonechat_wire::ids::{DoorPath, EnvelopeId};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// A running courier. Dropping it ends its connections.
#[derive(Debug)]
pub(crate) struct Ways {
    _news: mpsc::Sender<News>,
    envelopes: BTreeSet<EnvelopeId>,
    doors: BTreeSet<DoorPath>,
}

impl Ways {
    /// Starts a courier without relays.
    pub(crate) fn start(_runtime: &Handle, news: mpsc::Sender<News>) -> Self {
        Self {
            _news: news,
            envelopes: BTreeSet::new(),
            doors: BTreeSet::new(),
        }
    }

    /// Hands over one errand; queues and returns.
    pub(crate) fn accept(&mut self, errand: Errand) {
        match &errand {
            Errand::Send(parcel) => drop(self.envelopes.insert(parcel.envelope.id())),
            Errand::OpenDoor(door) => drop(self.doors.insert(door.path)),
            _ => {}
        }
    }

    /// Takes note of what the courier said.
    pub(crate) fn heard(&mut self, news: &News) {
        match news {
            News::Stored { ids, .. } | News::Full { ids, .. } | News::Refused { ids, .. } => {
                for id in ids {
                    self.envelopes.remove(id);
                }
            }
            News::DoorOpen { path, .. } => drop(self.doors.remove(path)),
            _ => {}
        }
    }

    /// How much no relay has confirmed.
    pub(crate) fn unconfirmed(&self) -> usize {
        self.envelopes.len().saturating_add(self.doors.len())
    }
}
