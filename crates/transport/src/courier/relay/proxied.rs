//! A relay's ways through a proxy (PRX-4).

use stonechat_wire::ids::Timestamp;

use super::{Link, Relay};
use crate::courier::proxied::by_proxy;

impl Relay {
    /// There is a proxy: what it leads to comes after the other ways, but for the one that worked here last. Where the relay is
    /// not reached it is tried at once.
    pub(in crate::courier) fn proxied(&mut self, now: Timestamp, worked: Option<&str>) {
        if !self.is_ordinary() {
            return;
        }
        let ways: Vec<String> = self.addresses.of_routes().filter_map(by_proxy).collect();
        for way in ways {
            let in_use = self.is_in_use();
            if !self.addresses.add_proxied(way.clone(), in_use) {
                continue;
            }
            match &mut self.link {
                Link::Down { retry_at } => {
                    *retry_at = now;
                    if worked == Some(way.as_str()) {
                        self.addresses.turn_to(&way);
                    }
                }
                Link::Dialling(race) => race.next_at = race.next_at.min(now),
                Link::Up(_) => {}
            }
        }
    }
}
