//! A relay that is gone to by requests: where, and when a WebSocket is tried again (TRK-10).

use stonechat_wire::ids::Timestamp;

use super::{Link, Relay};
use crate::courier::Over;
use crate::courier::hellos::key;

impl Relay {
    /// Whether it is gone to by requests at what counts with this address: another connection may be needed there at any time.
    pub(in crate::courier) fn polls(&self, wanted: &str) -> bool {
        self.polled_way().is_some_and(|way| key(&way) == key(wanted))
    }

    /// The way that is gone by requests.
    pub(in crate::courier) fn polled_way(&self) -> Option<String> {
        match &self.link {
            Link::Up(up) if up.over == Over::Requests => Some(up.way.clone()),
            Link::Up(_) | Link::Down { .. } | Link::Dialling(_) => None,
        }
    }

    /// When a WebSocket is tried again, where it is gone to by requests.
    pub(in crate::courier) const fn polls_until(&mut self, until: Option<Timestamp>) {
        if let Link::Up(up) = &mut self.link {
            up.upgrade_at = until;
        }
    }

    /// Whether another connection is under way for no other reason than that a WebSocket is tried again.
    pub(super) fn only_upgrades(&self) -> bool {
        match &self.link {
            Link::Up(up) => up.upgrade_at.is_some() && up.frozen_at.is_none() && !self.is_tired(),
            Link::Down { .. } | Link::Dialling(_) => false,
        }
    }
}
