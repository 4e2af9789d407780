//! Connections to a drop's server: made when one is needed, and few in a short time.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use stonechat_wire::address::{Around, split};
use stonechat_wire::exchange::NamedBy;
use tokio::time::{Instant, sleep_until, timeout};

use super::super::means::Means;
use super::super::meter::Meter;
use super::super::outer::{Outer, reach, reach_outside};
use crate::courier::{HELLOS_MAX, WINDOW_MS};

/// Time until the connection stands.
pub const CONNECT_MAX: Duration = Duration::from_secs(15);
/// The same where a proxy dials.
pub(super) const CONNECT_BY_OTHERS_MAX: Duration = Duration::from_secs(25);
/// Time for a request and the whole of its answer.
pub const ANSWER_MAX: Duration = Duration::from_secs(45);
/// Time for a request that writes: some hosts hold those of strangers' programs for a minute.
pub const PUT_MAX: Duration = Duration::from_secs(150);

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// Nobody answers, or it broke off.
    #[error("not reached: {0}")]
    Unreachable(#[from] io::Error),
    /// It took too long.
    #[error("no answer in time")]
    Slow,
    /// Not what such a server says.
    #[error("malformed answer")]
    Malformed,
    /// A part of the answer is longer than it may be.
    #[error("the answer is too long")]
    TooLong,
}

/// When connections to the server began, for all who make some (TRK-5).
type Begun = Arc<Mutex<VecDeque<Instant>>>;

/// Connects to one server. Clones count their connections together.
#[derive(Clone)]
pub(super) struct Connector {
    address: String,
    means: Means,
    by: NamedBy,
    begun: Begun,
}

impl Connector {
    pub(super) fn new(address: String, means: Means, by: NamedBy) -> Self {
        Self {
            address,
            means,
            by,
            begun: Begun::default(),
        }
    }

    pub(super) async fn connect(&self) -> Result<Outer, AskError> {
        sleep_until(self.may_begin()).await;
        let limit = if self.means.is_led(&self.address) {
            CONNECT_BY_OTHERS_MAX
        } else {
            CONNECT_MAX
        };
        let reached = timeout(limit, self.reach()).await;
        let (stream, _) = reached.map_err(|_| AskError::Slow)??;
        Ok(stream)
    }

    async fn reach(&self) -> io::Result<(Outer, Meter)> {
        match self.by {
            NamedBy::Person => reach(&self.address, &self.means).await,
            NamedBy::Others => reach_outside(&self.address, &self.means).await,
        }
    }

    /// When the next handshake may begin; it is counted as begun then.
    fn may_begin(&self) -> Instant {
        if split(&self.address).0 == Around::Plain {
            return Instant::now();
        }
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let at = match begun.front() {
            Some(first) if begun.len() >= HELLOS_MAX => now.max(*first + Duration::from_millis(WINDOW_MS)),
            Some(_) | None => now,
        };
        if begun.len() >= HELLOS_MAX {
            begun.pop_front();
        }
        begun.push_back(at);
        at
    }
}
