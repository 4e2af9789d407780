//! A relay's ways by a browser (DIAL-1).

use stonechat_wire::ids::Timestamp;

use super::{Link, Relay};
use crate::courier::BROWSER_MAX;
use crate::courier::browser::by_browser;

impl Relay {
    /// A page that dials is there, or is not. What it dials comes after the other ways, but for the one that worked here last;
    /// where the relay is not reached it is tried at once.
    pub(in crate::courier) fn browser(&mut self, now: Timestamp, is_there: bool, worked: Option<&str>) {
        if !is_there {
            return self.addresses.forget_browser();
        }
        let (own, told) = self.addresses.in_turn();
        let ways: Vec<String> = own.iter().chain(&told).filter_map(|way| by_browser(way)).collect();
        for way in ways.into_iter().take(BROWSER_MAX) {
            let in_use = self.is_in_use();
            if !self.addresses.add_browser(way.clone(), in_use) {
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
