//! Who may come in: how many connections there are, and how many of them are strangers still.
//!
//! In: addresses of new connections. Out: a [`Ticket`] each, or nothing. A stranger is a connection that has not said
//! hello yet; one address can hold only some of the strangers' places, so that it cannot lock others out, and nor can
//! several: where all are taken, a newcomer gets one of the address that has most (RLY-33). Where a front tells whose a
//! connection is, it has a place first and an address later (RLY-46).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::forgetful::ForgetfulMap;
use crate::limits::Limits;

/// The counts of all connections.
#[derive(Clone, Debug)]
pub(super) struct Entrance {
    limits: Limits,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Strangers by when they came; each where it is wiped when it goes.
    strangers: BTreeMap<u64, Box<Stranger>>,
    /// Those of them whose address is not known.
    unknown: usize,
    came: u64,
    addresses: ForgetfulMap<IpAddr, Address>,
}

#[derive(Debug)]
struct Stranger {
    /// Nothing while its front has not told.
    from: Option<IpAddr>,
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
    from: Option<IpAddr>,
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

    /// A place for a connection from this address, if there is one for it. Where all of the strangers' places are taken, whoever
    /// has most of them loses the oldest.
    pub(super) fn enter(&self, from: IpAddr) -> Option<(Ticket, ShownOut)> {
        let has_room = self.with(|counts| counts.has_room(from, &self.limits));
        let (mut ticket, shown_out) = has_room.then(|| self.enter_unknown())?;
        ticket.is_for(from).then_some((ticket, shown_out))
    }

    /// A place for a connection of which a front has not told yet whose it is.
    pub(super) fn enter_unknown(&self) -> (Ticket, ShownOut) {
        let (place, shown_out) = oneshot::channel();
        let number = self.with(|counts| {
            if counts.strangers.len() >= self.limits.strangers {
                counts.show_one_out();
            }
            counts.take_in(place)
        });
        let ticket = Ticket {
            entrance: self.clone(),
            from: None,
            stranger: Some(number),
        };
        (ticket, shown_out)
    }

    fn with<T>(&self, change: impl FnOnce(&mut Counts) -> T) -> T {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Ticket {
    /// One place more for whoever has this one: for a session that goes on over requests, and outlives their connections.
    pub(super) fn another(&self) -> Option<(Self, ShownOut)> {
        self.entrance.enter(self.from?)
    }

    /// Whether it has not said hello yet.
    pub(super) const fn is_stranger(&self) -> bool {
        self.stranger.is_some()
    }

    /// Whether it is known whose it is.
    pub(super) const fn is_somebodys(&self) -> bool {
        self.from.is_some()
    }

    /// It is that address's from now on. Out: whether there is room for it; it is to be dropped where there is none.
    pub(super) fn is_for(&mut self, from: IpAddr) -> bool {
        let limits = self.entrance.limits;
        let has_room = self.entrance.with(|counts| {
            let has_room = counts.has_room(from, &limits);
            if has_room {
                counts.settle(self.stranger, from);
            }
            has_room
        });
        if has_room {
            self.from = Some(from);
        }
        has_room
    }

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
        if let Some(from) = self.from {
            self.entrance.with(|counts| counts.leave(from));
        }
    }
}

impl Counts {
    fn has_room(&self, from: IpAddr, limits: &Limits) -> bool {
        self.addresses.get(&from).is_none_or(|address| {
            address.strangers < limits.strangers_per_address && address.connections < limits.connections_per_address
        })
    }

    fn take_in(&mut self, place: oneshot::Sender<()>) -> u64 {
        self.came += 1;
        self.unknown += 1;
        self.strangers
            .insert(self.came, Box::new(Stranger { from: None, place }));
        self.came
    }

    fn settle(&mut self, number: Option<u64>, from: IpAddr) {
        let address = self.addresses.or_insert(from, Address::default());
        address.connections += 1;
        if let Some(stranger) = number.and_then(|number| self.strangers.get_mut(&number)) {
            stranger.from = Some(from);
            address.strangers += 1;
            self.unknown -= 1;
        }
    }

    /// How many places the one has whose this is, as far as is known.
    fn places_of(&self, stranger: &Stranger) -> usize {
        match stranger.from {
            Some(from) => self.addresses.get(&from).map_or(0, |address| address.strangers),
            None => self.unknown,
        }
    }

    /// Whoever holds most places made the crowd, and whoever came first had the longest time to say hello.
    fn show_one_out(&mut self) {
        let places = self.strangers.values().map(|stranger| self.places_of(stranger));
        let most = places.max().unwrap_or_default();
        let mut strangers = self.strangers.iter();
        let oldest = strangers.find(|(_, stranger)| self.places_of(stranger) == most);
        let oldest = oldest.map(|(number, _)| *number);
        if let Some(stranger) = oldest.and_then(|number| self.forget_stranger(number)) {
            // It may have gone by itself.
            let _ = stranger.place.send(());
        }
    }

    fn forget_stranger(&mut self, number: u64) -> Option<Box<Stranger>> {
        let stranger = self.strangers.remove(&number)?;
        match stranger.from {
            None => self.unknown -= 1,
            Some(from) => {
                if let Some(address) = self.addresses.get_mut(&from) {
                    address.strangers = address.strangers.saturating_sub(1);
                }
            }
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
        entrance.with(|counts| {
            assert_eq!(
                (counts.strangers.len(), counts.addresses.get(&ANA).unwrap().connections),
                (3, 1)
            )
        });
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

    #[test]
    fn whose_a_connection_is_may_be_known_later_rly_46() {
        let entrance = entrance();
        let mut guests: Vec<_> = (0..3).map(|_| entrance.enter_unknown()).collect();
        assert!(guests[0].0.is_for(ANA) && guests[1].0.is_for(ANA));
        assert!(!guests[2].0.is_for(ANA), "one address does not take all places");
        assert!(guests[2].0.is_for(BO));
        let _cy = entrance.enter_unknown();
        assert!(is_shown_out(&mut guests[0].1), "the oldest of whoever has most");
        assert!(!is_shown_out(&mut guests[1].1) && !is_shown_out(&mut guests[2].1));
        drop((guests, _cy));
        entrance.with(|counts| {
            assert_eq!(
                (counts.strangers.len(), counts.unknown, counts.addresses.len()),
                (0, 0, 0)
            )
        });
    }
}
