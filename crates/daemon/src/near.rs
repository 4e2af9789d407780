//! This device's near relay, as far as the daemon knows of it: the relay itself is run by whoever runs the daemon.
//!
//! In: what the courier wants while a profile is open; what is said of the relay that runs. Out: [`NearWish`], and core's
//! knowledge of it. See `docs/protocol/18-lan.md` (LAN-6).

use std::time::Duration;

use tokio::runtime;
use tokio::sync::watch;

/// How long a profile that is destroyed waits for its near relay to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is wanted of the near relay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NearWish {
    /// No profile is open: nothing of it is to be touched.
    #[default]
    Closed,
    /// It may be named, and does not run.
    Idle,
    /// It runs: no other relay is reached.
    Run,
}

/// What daemon and near relay tell each other.
#[derive(Clone, Debug, Default)]
pub(crate) struct NearLine {
    pub(crate) wish: watch::Sender<NearWish>,
    pub(crate) runs: watch::Sender<bool>,
}

impl NearLine {
    /// A profile is open: its courier says what it wants, until it ends.
    pub(crate) fn follow(&self, runtime: &runtime::Handle, mut wanted: watch::Receiver<bool>) {
        self.wish.send_replace(NearWish::Idle);
        let wish = self.wish.clone();
        runtime.spawn(async move {
            while wanted.changed().await.is_ok() {
                let next = if *wanted.borrow_and_update() {
                    NearWish::Run
                } else {
                    NearWish::Idle
                };
                // Closed stays closed: this courier is being ended.
                wish.send_if_modified(|known| *known != NearWish::Closed && std::mem::replace(known, next) != next);
            }
        });
    }

    /// The profile is closed. From a thread without a runtime.
    pub(crate) fn close(&self) {
        self.wish.send_replace(NearWish::Closed);
    }

    /// Waits until it has ended; at most [`PATIENCE`].
    pub(crate) fn ended(&self, runtime: &runtime::Handle) {
        let mut runs = self.runs.subscribe();
        let _ = runtime.block_on(async { tokio::time::timeout(PATIENCE, runs.wait_for(|runs| !runs)).await });
    }
}
