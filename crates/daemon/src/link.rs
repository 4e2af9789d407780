//! The way to the relays in one word, from what is handed to the courier and what it tells.
//!
//! In: errands and news as they pass. Out: [`Connection`], and the relays that answer. Nothing is decided by it.

use std::collections::BTreeSet;

use stonechat_core::api::Connection;
use stonechat_wire::exchange::{Errand, News};
use stonechat_wire::ids::RelayId;

/// What is known of the relays in use.
#[derive(Debug, Default)]
pub(crate) struct Link {
    used: BTreeSet<RelayId>,
    answering: BTreeSet<RelayId>,
    /// Those of them that stand for a local network only, and this device's own.
    near: BTreeSet<RelayId>,
    mine: Option<RelayId>,
    tried_in_vain: bool,
}

impl Link {
    /// Takes note of an errand.
    pub(crate) fn asked(&mut self, errand: &Errand) {
        match errand {
            Errand::UseRelay(route, ..) => {
                self.near.remove(&route.relay);
                self.used.insert(route.relay);
            }
            Errand::UseNear(near) if self.used.contains(&near.relay) => {}
            Errand::UseNear(near) => {
                self.near.insert(near.relay);
                self.mine = Some(near.relay).filter(|_| near.mine).or(self.mine);
            }
            Errand::ForgetRelay(relay) => {
                self.used.remove(relay);
                self.answering.remove(relay);
            }
            Errand::ForgetWays { .. }
            | Errand::Send(_)
            | Errand::Signal(_)
            | Errand::Listen(_)
            | Errand::OpenDoor(_)
            | Errand::CloseDoor { .. }
            | Errand::Knock(_)
            | Errand::ForgetKnock(_) => {}
        }
    }

    /// Takes note of news.
    pub(crate) fn heard(&mut self, news: &News) {
        match news {
            News::Greeting { relay, .. } => {
                self.answering.insert(*relay);
                self.tried_in_vain &= self.near.contains(relay);
            }
            News::Gone { relay } => drop(self.answering.remove(relay)),
            News::Offline => {
                self.answering.retain(|relay| self.near.contains(relay));
                self.tried_in_vain = true;
            }
            News::Arrived(_)
            | News::Signalled { .. }
            | News::Stored { .. }
            | News::Full { .. }
            | News::Refused { .. }
            | News::DoorOpen { .. }
            | News::Knocked { .. }
            | News::DoorSpent { .. } => {}
        }
    }

    /// The relays that answer.
    pub(crate) fn answering(&self) -> Vec<RelayId> {
        self.answering.iter().copied().collect()
    }

    /// The way to them in one word.
    pub(crate) fn word(&self) -> Connection {
        if self.answering.iter().any(|relay| !self.near.contains(relay)) {
            Connection::Connected
        } else if self.answering.iter().any(|relay| Some(*relay) != self.mine) {
            Connection::Nearby
        } else if self.tried_in_vain {
            Connection::Offline
        } else if self.used.is_empty() {
            Connection::NoRelay
        } else {
            Connection::Connecting
        }
    }
}

#[cfg(test)]
mod tests {
    use stonechat_wire::exchange::NamedBy;

    use super::*;
    use stonechat_wire::ids::Timestamp;
    use stonechat_wire::route::RelayRoute;

    #[test]
    fn the_word_follows_the_relays() {
        let relay = RelayId::from_bytes([1; 16]);
        let greeting = News::Greeting {
            relay,
            time: Timestamp(0),
        };
        let mut link = Link::default();
        let mut words = vec![link.word()];
        link.asked(&Errand::UseRelay(
            RelayRoute {
                address: "h:1".to_owned(),
                relay,
                secret: None,
                lan: false,
            },
            None,
            NamedBy::Person,
        ));
        words.push(link.word());
        for news in [News::Offline, greeting.clone(), News::Gone { relay }, greeting] {
            link.heard(&news);
            words.push(link.word());
        }
        link.asked(&Errand::ForgetRelay(relay));
        words.push(link.word());
        use Connection::{Connected, Connecting, NoRelay, Offline};
        assert_eq!(
            words,
            [NoRelay, Connecting, Offline, Connected, Connecting, Connected, NoRelay]
        );
    }
}
