//! Who may come in: how many connections there are, and how many of them are strangers still.
//!
//! In: addresses of new connections. Out: a [`Ticket`] each, or nothing. A stranger is a connection that has not said
//! hello yet; one address can hold only some of the strangers' places, so that it cannot lock others out (RLY-33).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits::Limits;

/// The counts of all connections.
#[derive(Clone, Debug)]
pub(super) struct Entrance {
    limits: Limits,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    strangers: usize,
    addresses: HashMap<IpAddr, Address>,
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
    is_stranger: bool,
}

impl Entrance {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            counts: Arc::default(),
        }
    }

    /// A place for a connection from this address, if there is one.
    pub(super) fn enter(&self, from: IpAddr) -> Option<Ticket> {
        let limits = &self.limits;
        self.with(|counts| {
            let address = counts.addresses.entry(from).or_default();
            let has_room = counts.strangers < limits.strangers
                && address.strangers < limits.strangers_per_address
                && address.connections < limits.connections_per_address;
            if has_room {
                counts.strangers += 1;
                address.strangers += 1;
                address.connections += 1;
            }
            has_room
        })
        .then(|| Ticket {
            entrance: self.clone(),
            from,
            is_stranger: true,
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Counts) -> T) -> T {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Ticket {
    /// It has said hello: its place among the strangers is free.
    pub(super) fn greeted(&mut self) {
        if std::mem::take(&mut self.is_stranger) {
            self.entrance.with(|counts| counts.forget_stranger(self.from));
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
    fn forget_stranger(&mut self, from: IpAddr) {
        self.strangers = self.strangers.saturating_sub(1);
        if let Some(address) = self.addresses.get_mut(&from) {
            address.strangers = address.strangers.saturating_sub(1);
        }
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

    fn entrance() -> Entrance {
        let limits = Limits {
            strangers: 3,
            strangers_per_address: 2,
            connections_per_address: 3,
            ..Limits::default()
        };
        Entrance::new(limits)
    }

    #[test]
    fn one_address_does_not_take_all_strangers_places_rly_33() {
        let entrance = entrance();
        let _ana: Vec<_> = (0..2).map(|_| entrance.enter(ANA).unwrap()).collect();
        assert!(entrance.enter(ANA).is_none());
        let _bo = entrance.enter(BO).unwrap();
        assert!(entrance.enter(BO).is_none(), "all places together");
    }

    #[test]
    fn a_hello_and_a_goodbye_free_their_places_rly_33() {
        let entrance = entrance();
        let mut guests = Vec::new();
        for _ in 0..3 {
            let mut ticket = entrance.enter(ANA).unwrap();
            ticket.greeted();
            ticket.greeted();
            guests.push(ticket);
        }
        assert!(entrance.enter(ANA).is_none(), "connections of one address");
        guests.pop();
        assert!(entrance.enter(ANA).is_some());
        drop(guests);
        entrance.with(|counts| assert_eq!((counts.strangers, counts.addresses.len()), (0, 0)));
    }
}
