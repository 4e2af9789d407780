//! The ways out: core's errands to the courier, the courier's news to the engine.
//!
//! In: errands after their commit. Out: news into the engine's queue. It also counts what no relay has confirmed, so
//! that a command that ends soon knows when it may. The courier itself is `stonechat_transport`.

use std::collections::BTreeSet;

use stonechat_transport::{Handle, Remembered, Transport};
use stonechat_wire::exchange::{Errand, News};
use stonechat_wire::ids::{DoorPath, EnvelopeId};
use tokio::runtime;
use tokio::sync::mpsc;

use crate::random;

/// A running courier. Dropping it ends its connections.
#[derive(Debug)]
pub(crate) struct Ways {
    courier: Handle,
    envelopes: BTreeSet<EnvelopeId>,
    doors: BTreeSet<DoorPath>,
}

impl Ways {
    /// Starts a courier without relays. Out: itself, and its news.
    pub(crate) fn start(runtime: &runtime::Handle) -> (Self, mpsc::Receiver<News>) {
        let _here = runtime.enter();
        let (courier, news) = Transport::start(random::bytes(), Remembered::default());
        let ways = Self {
            courier,
            envelopes: BTreeSet::new(),
            doors: BTreeSet::new(),
        };
        (ways, news)
    }

    /// Hands over one errand. The courier always takes them, so this waits for no network.
    pub(crate) fn accept(&mut self, mut errand: Errand) {
        match &mut errand {
            Errand::Send(parcel) => {
                parcel.deadline = crate::lab::by_the_courier(parcel.deadline);
                self.envelopes.insert(parcel.envelope.id());
            }
            Errand::OpenDoor(door) => drop(self.doors.insert(door.path)),
            _ => {}
        }
        if self.courier.blocking_send(errand).is_err() {
            // Said again after the next start: core keeps everything until it is confirmed.
            tracing::error!("the courier has ended");
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
