//! The ways out: core's errands to the courier, the courier's news to the engine.
//!
//! In: errands after their commit. Out: news into the engine's queue. It also counts what no relay has confirmed, so
//! that a command that ends soon knows when it may. The courier itself is `stonechat_transport`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use stonechat_core::api;
use stonechat_core::query::LiveTry;
use stonechat_transport::carrier::means::Means;
use stonechat_transport::courier::{Missed, Tries, Try};
use stonechat_transport::{Handle, NetworkId, Reached, Remembered, Transport};
use stonechat_wire::exchange::{Errand, News};
use stonechat_wire::ids::{DoorPath, EnvelopeId, RelayId};
use tokio::runtime;
use tokio::sync::{mpsc, watch};

use crate::{network, random};

/// How often the network is looked at.
const NETWORK_EVERY: Duration = Duration::from_secs(15);

/// A running courier. Dropping it ends its connections.
#[derive(Debug)]
pub(crate) struct Ways {
    courier: Handle,
    learned: watch::Receiver<Remembered>,
    tried: watch::Receiver<Tries>,
    envelopes: BTreeSet<EnvelopeId>,
    doors: BTreeSet<DoorPath>,
}

/// What has changed with the courier.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    /// It has learned something that is worth keeping.
    Learned,
    /// It has tried other ways, or some answer.
    Tried,
}

impl Ways {
    /// Starts a courier without relays, with what the last one learned. Out: itself, and its news.
    pub(crate) fn start(runtime: &runtime::Handle, learned: &str, means: Means) -> (Self, mpsc::Receiver<News>) {
        let _here = runtime.enter();
        let mut remembered = Remembered::from_text(learned);
        remembered.network = network::here().unwrap_or_default();
        let (courier, news) = Transport::start_with(means, random::bytes(), remembered);
        tokio::spawn(watch_network(courier.network()));
        let ways = Self {
            learned: courier.remembered(),
            tried: courier.tried(),
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

    /// Waits until something came of another try, or, where that is asked for, until the courier has learned something.
    pub(crate) async fn changes(&mut self, learns: bool) -> Change {
        tokio::select! {
            Ok(()) = self.learned.changed(), if learns => Change::Learned,
            Ok(()) = self.tried.changed() => Change::Tried,
            else => std::future::pending().await,
        }
    }

    /// What came of the ways to relays that do not answer.
    pub(crate) fn tried(&self) -> BTreeMap<RelayId, Vec<LiveTry>> {
        let tries = self.tried.borrow();
        let shown = |of: &Try| LiveTry {
            place: of.place.clone(),
            through: of.through,
            by_browser: of.by_browser,
            why: shown(of.why),
        };
        tries
            .iter()
            .map(|(relay, tries)| (*relay, tries.iter().map(shown).collect()))
            .collect()
    }

    /// What the courier has learned, as text to be kept.
    pub(crate) fn learned(&self) -> String {
        self.learned.borrow().to_text()
    }

    /// Those of these relays that are reached through another one.
    pub(crate) fn through(&self, mut relays: Vec<RelayId>) -> Vec<RelayId> {
        let learned = self.learned.borrow();
        relays.retain(|relay| learned.is_through(relay));
        relays
    }

    /// The way that each of these relays is reached on.
    pub(crate) fn in_use(&self, relays: &[RelayId]) -> Vec<(RelayId, String)> {
        let learned = self.learned.borrow();
        let way = |relay: &RelayId| Some((*relay, learned.address(relay)?.to_owned()));
        relays.iter().filter_map(way).collect()
    }

    /// Whether this device's near relay is to run; changes are seen on it.
    pub(crate) fn near(&self) -> watch::Receiver<bool> {
        self.courier.near()
    }

    /// The relays that are reached on their own ways, and where; changes are seen on it.
    pub(crate) fn reached(&self) -> watch::Receiver<Reached> {
        self.courier.reached()
    }

    /// How much no relay has confirmed.
    pub(crate) fn unconfirmed(&self) -> usize {
        self.envelopes.len().saturating_add(self.doors.len())
    }
}

/// The courier's word for what befell a way, in the API's.
const fn shown(why: Missed) -> api::Missed {
    match why {
        Missed::NoName => api::Missed::NoName,
        Missed::Closed => api::Missed::Closed,
        Missed::Silent => api::Missed::Silent,
        Missed::Cut => api::Missed::Cut,
        Missed::Frozen => api::Missed::Frozen,
        Missed::Ended => api::Missed::Ended,
        Missed::CertificateTime => api::Missed::CertificateTime,
        Missed::Certificate => api::Missed::Certificate,
        Missed::Stranger => api::Missed::Stranger,
        Missed::Secret => api::Missed::Secret,
        Missed::Password => api::Missed::Password,
        Missed::NoFolder => api::Missed::NoFolder,
        Missed::Busy => api::Missed::Busy,
        Missed::NotPassedOn => api::Missed::NotPassedOn,
        Missed::NoProxy => api::Missed::NoProxy,
        Missed::NoProgram => api::Missed::NoProgram,
    }
}

/// Tells the courier when the computer moves, until the courier ends.
async fn watch_network(tell: watch::Sender<NetworkId>) {
    while !tell.is_closed() {
        if let Some(here) = network::here() {
            tell.send_if_modified(|known| std::mem::replace(known, here) != here);
        }
        tokio::time::sleep(NETWORK_EVERY).await;
    }
}
