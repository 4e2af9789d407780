//! This device's near relay, as far as the daemon knows of it: the relay itself is run by whoever runs the daemon.
//!
//! In: what the courier wants while a profile is open; what is said of the relay that runs. Out: [`NearWish`], and core's
//! knowledge of it. See `docs/protocol/18-lan.md` (LAN-6).

use std::time::Duration;

use stonechat_transport::Reached;
use stonechat_transport::carrier::outer::is_outside;
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
    /// What the device itself reaches on the internet, and so may lend; nothing where no profile is open.
    pub(crate) lent: watch::Sender<Reached>,
    /// Whether it lends its connection.
    pub(crate) lends: watch::Sender<bool>,
}

impl NearLine {
    /// A profile is open: its courier says what it wants, until it ends.
    pub(crate) fn follow(
        &self,
        runtime: &runtime::Handle,
        mut wanted: watch::Receiver<bool>,
        mut reached: watch::Receiver<Reached>,
    ) {
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
        let (wish, tell) = (self.wish.subscribe(), self.lent.clone());
        runtime.spawn(async move {
            while reached.changed().await.is_ok() {
                let next = outside(reached.borrow_and_update().clone());
                let is_open = *wish.borrow() != NearWish::Closed;
                tell.send_replace(if is_open { next } else { Reached::new() });
            }
            tell.send_replace(Reached::new());
        });
    }

    /// The profile is closed. From a thread without a runtime.
    pub(crate) fn close(&self) {
        self.wish.send_replace(NearWish::Closed);
        self.lent.send_replace(Reached::new());
    }

    /// Waits until it has ended; at most [`PATIENCE`].
    pub(crate) fn ended(&self, runtime: &runtime::Handle) {
        let mut runs = self.runs.subscribe();
        let _ = runtime.block_on(async { tokio::time::timeout(PATIENCE, runs.wait_for(|runs| !runs)).await });
    }
}

/// Those at addresses of the internet.
fn outside(mut reached: Reached) -> Reached {
    reached.retain(|_, place| is_outside(place.ip()));
    reached
}

#[cfg(test)]
mod tests {
    use super::*;
    use stonechat_wire::ids::RelayId;

    #[test]
    fn only_relays_at_addresses_of_the_internet_are_lent_fwd_12() {
        let own = "127.0.0.1:443 10.0.0.1:443 192.168.1.1:80 169.254.1.1:443 100.64.0.1:443 [::1]:443 [fe80::1]:443 \
                   [fd00::1]:443 [::ffff:10.0.0.1]:443";
        let all = format!("{own} 8.8.8.8:443 [2a00:1450::1]:8443");
        let places = all.split_whitespace().zip(0_u8..);
        let reached = places.map(|(place, n)| (RelayId::from_bytes([n; 16]), place.parse().unwrap()));
        let lent: Vec<String> = outside(reached.collect()).values().map(ToString::to_string).collect();
        assert_eq!(lent, ["8.8.8.8:443", "[2a00:1450::1]:8443"]);
    }
}
