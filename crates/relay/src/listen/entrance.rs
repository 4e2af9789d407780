//! Who may come in: how many connections there are, and how many of them are strangers still.
//!
//! In: addresses of new connections. Out: a [`Ticket`] each, or nothing. A stranger is a connection that has not said
//! hello yet; one address can hold only some of the strangers' places, so that it cannot lock others out, and nor can several: where all are taken, a newcomer gets one of the address that has most (RLY-33).

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::limits::Limits;

/// The counts of all connections.
#[derive(Clone, Debug)]
pub(super) struct Entrance {
    limits: Limits,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Strangers by when they came.
    strangers: BTreeMap<u64, Stranger>,
    came: u64,
    addresses: HashMap<IpAddr, Address>,
}

#[derive(Debug)]
struct Stranger {
    from: IpAddr,
    /// Told when somebody else gets its place.
    place: oneshot::Sender<()>,
}

#[derive(Debug, Default)]
struct Address {
    connections: usize,
    strangers: usize,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    entrance: Entrance,
    from: IpAddr,
    /// Number among the strangers, until it has said hello.
    stranger: Option<u64>,
}

/// Says `Ok` once a stranger's place was given to another one; never to whoever has said hello.
pub(super) type ShownOut = oneshot::Receiver<()>;

impl Entrance {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            counts: Arc::default(),
        }
    }

    /// A place for a connection from this address, if there is one. Where all of the strangers' places are taken, the address
    /// that has most of them loses its oldest.
    pub(super) fn enter(&self, from: IpAddr) -> Option<(Ticket, ShownOut)> {
        let (place, shown_out) = oneshot::channel();
        let number = self.with(|counts| {
            let address = counts.addresses.entry(from).or_default();
            let has_room = address.strangers < self.limits.strangers_per_address
                && address.connections < self.limits.connections_per_address;
            if !has_room {
                return None;
            }
            address.connections += 1;
            if counts.strangers.len() >= self.limits.strangers {
                counts.show_one_out();
            }
            Some(counts.take_in(from, place))
        })?;
        let ticket = Ticket {
            entrance: self.clone(),
            from,
            stranger: Some(number),
        };
        Some((ticket, shown_out))
    }

    fn with<T>(&self, change: impl FnOnce(&mut Counts) -> T) -> T {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Ticket {
    /// It has said hello: its place among the strangers is free.
    pub(super) fn greeted(&mut self) {
        if let Some(number) = self.stranger.take() {
            self.entrance.with(|counts| counts.forget_stranger(number));
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.greeted();
        self.entrance.with(|counts| counts.leave(self.from));
    }
}

impl Counts {
    fn take_in(&mut self, from: IpAddr, place: oneshot::Sender<()>) -> u64 {
        self.came += 1;
        self.strangers.insert(self.came, Stranger { from, place });
        self.addresses.entry(from).or_default().strangers += 1;
        self.came
    }

    /// Whoever holds most places made the crowd, and whoever came first had the longest time to say hello.
    fn show_one_out(&mut self) {
        let holds = |stranger: &Stranger| {
            self.addresses
                .get(&stranger.from)
                .map_or(0, |address| address.strangers)
        };
        let most = self.strangers.values().map(holds).max().unwrap_or_default();
        let mut strangers = self.strangers.iter();
        let oldest = strangers.find(|(_, stranger)| holds(stranger) == most);
        let oldest = oldest.map(|(number, _)| *number);
        if let Some(stranger) = oldest.and_then(|number| self.forget_stranger(number)) {
            // It may have gone by itself.
            let _ = stranger.place.send(());
        }
    }

    fn forget_stranger(&mut self, number: u64) -> Option<Stranger> {
        let stranger = self.strangers.remove(&number)?;
        if let Some(address) = self.addresses.get_mut(&stranger.from) {
            address.strangers = address.strangers.saturating_sub(1);
        }
        Some(stranger)
    }

    fn leave(&mut self, from: IpAddr) {
        if let Some(address) = self.addresses.get_mut(&from) {
            address.connections = address.connections.saturating_sub(1);
            if address.connections == 0 {
                self.addresses.remove(&from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANA: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const BO: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    const CY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 3));

    fn entrance() -> Entrance {
        let limits = Limits {
            strangers: 3,
            strangers_per_address: 2,
            connections_per_address: 3,
            ..Limits::default()
        };
        Entrance::new(limits)
    }

    fn is_shown_out(shown_out: &mut ShownOut) -> bool {
        shown_out.try_recv().is_ok()
    }

    #[test]
    fn one_address_does_not_take_all_strangers_places_rly_33() {
        let entrance = entrance();
        let _ana: Vec<_> = (0..2).map(|_| entrance.enter(ANA).unwrap()).collect();
        assert!(entrance.enter(ANA).is_none());
        assert!(entrance.enter(BO).is_some());
    }

    #[test]
    fn who_comes_to_a_crowd_gets_the_oldest_place_of_whoever_has_most_rly_33() {
        let entrance = entrance();
        let (_bo, mut bo) = entrance.enter(BO).unwrap();
        let (ticket, mut first) = entrance.enter(ANA).unwrap();
        let (_ana, mut second) = entrance.enter(ANA).unwrap();
        let (_cy, mut cy) = entrance.enter(CY).unwrap();
        assert!(is_shown_out(&mut first));
        drop(ticket);
        assert!(!is_shown_out(&mut bo) && !is_shown_out(&mut second) && !is_shown_out(&mut cy));
        entrance.with(|counts| assert_eq!((counts.strangers.len(), counts.addresses[&ANA].connections), (3, 1)));
    }

    #[test]
    fn who_has_said_hello_is_never_shown_out_rly_33() {
        let entrance = entrance();
        let (mut ticket, mut ana) = entrance.enter(ANA).unwrap();
        ticket.greeted();
        let _crowd: Vec<_> = [BO, BO, CY, CY].map(|from| entrance.enter(from)).into();
        assert!(!is_shown_out(&mut ana));
    }

    #[test]
    fn a_hello_and_a_goodbye_free_their_places_rly_33() {
        let entrance = entrance();
        let mut guests = Vec::new();
        for _ in 0..3 {
            let (mut ticket, _) = entrance.enter(ANA).unwrap();
            ticket.greeted();
            ticket.greeted();
            guests.push(ticket);
        }
        assert!(entrance.enter(ANA).is_none(), "connections of one address");
        guests.pop();
        assert!(entrance.enter(ANA).is_some());
        drop(guests);
        entrance.with(|counts| assert_eq!((counts.strangers.len(), counts.addresses.len()), (0, 0)));
    }
}
