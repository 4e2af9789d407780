//! People who serve a censor: who reads invitations on their way, who is a member and tells, who runs a relay to catch.
//!
//! In: what a file says of them, and the seed's dice. Out: who of them is there in this world ([`Present`]), and what of a
//! [`Place`] that they tell of is listed, when. What a list does to packets is [`super::listed`]'s job, who hears what is
//! the peers'.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use serde::Deserialize;
use stonechat_wire::address;

use super::{CensorError, Net, Reassembly, check_seconds};

/// Most people in one file.
pub const PEOPLE_MAX: usize = 8;
/// Most members of whom a share is meant.
pub const MEMBERS_MAX: u32 = 10_000;
/// The people's dice are others than the packets'.
const DICE: u64 = 0x7065_6f70_6c65;

/// Somebody who serves a censor.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// What they do.
    pub does: Does,
    /// So long after they hear of a place it is listed.
    #[serde(default)]
    pub after_s: f64,
    /// By what it is listed then.
    #[serde(default)]
    pub lists: Vec<By>,
    /// Networks in which nothing is listed: too many others would suffer.
    #[serde(default)]
    pub spares: Vec<Net>,
    /// How well the filter reads a ClientHello for a listed name.
    #[serde(default)]
    pub reassembly: Reassembly,
    /// Of members: so large a part of them tell.
    pub share: Option<f64>,
    /// Of so many members, each by the seed's dice.
    pub of: Option<u32>,
    /// Of a relay: the second of the work from which it keeps what it is given.
    pub turns_s: Option<f64>,
}

/// What somebody does for a censor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Does {
    /// Reads every invitation that is handed over, and tells of the places in it.
    ReadInvites,
    /// Is a member, and tells of every place that members are told of.
    Tell,
    /// Runs one of the relays.
    RunRelay,
}

/// By what a place is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// Its name, in a ClientHello.
    Name,
    /// Its addresses with their ports.
    Port,
    /// Its addresses, at all ports.
    Address,
}

/// From whom a censor hears of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It stood in an invitation.
    Invitation,
    /// A member was told of it.
    Member,
    /// The censor's relay was asked to pass on to it.
    Relay,
}

/// A server as somebody knows it who was told of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Where it answers.
    pub at: Vec<SocketAddrV4>,
}

/// One line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A name.
    Name(String, Reassembly),
    /// An address and a port.
    Port(SocketAddrV4),
    /// An address.
    Address(Ipv4Addr),
}

/// Who is there in a world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// Whether one of the members tells.
    pub insider: bool,
    /// A relay of the censor's.
    pub honeypot: Option<Honeypot>,
}

/// A relay of the censor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Honeypot {
    dice: u32,
    /// So long after the beginning of the work it keeps what it is given.
    pub turns: Duration,
}

impl Honeypot {
    /// Which of so many relays it is.
    pub const fn which(self, of: usize) -> usize {
        if of == 0 { 0 } else { self.dice as usize % of }
    }
}

impl Person {
    pub(super) fn check(&self) -> Result<(), CensorError> {
        check_seconds(self.after_s, "person.after_s")?;
        check_seconds(self.turns_s.unwrap_or(0.0), "turns_s")?;
        let (is_member, is_relay) = (self.does == Does::Tell, self.does == Does::RunRelay);
        let is_right = [
            (
                self.share.is_some() == is_member && self.of.is_some() == is_member,
                "share and of, which belong to tell,",
            ),
            (
                self.share.is_none_or(|share| share > 0.0 && share <= 1.0),
                "person.share",
            ),
            (self.of.is_none_or(|of| (1..=MEMBERS_MAX).contains(&of)), "person.of"),
            (
                self.turns_s.is_some() == is_relay,
                "turns_s, which belongs to run-relay,",
            ),
            (is_relay || !self.lists.is_empty(), "a person who lists nothing"),
        ];
        let wrong = is_right.into_iter().find(|(is_right, _)| !is_right);
        wrong.map_or(Ok(()), |(_, what)| Err(CensorError::Value(what)))
    }

    /// What of a place this person's word puts on lists.
    pub(super) fn marks<'a>(&'a self, place: &'a Place) -> impl Iterator<Item = Mark> + 'a {
        let is_spared = |at: &SocketAddrV4| self.spares.iter().any(|net| net.holds(*at.ip()));
        let is_all_spared = !place.at.is_empty() && place.at.iter().all(is_spared);
        let name = place.name.iter().filter(move |_| !is_all_spared);
        let by = |what: By| self.lists.contains(&what);
        let at = move || place.at.iter().filter(move |at| !is_spared(at));
        let names = name.filter(move |_| by(By::Name));
        let ports = at().filter(move |_| by(By::Port));
        let addresses = at().filter(move |_| by(By::Address));
        names
            .map(|name| Mark::Name(name.clone(), self.reassembly))
            .chain(ports.map(|at| Mark::Port(*at)))
            .chain(addresses.map(|at| Mark::Address(*at.ip())))
    }

    /// Whether this person hears of what comes from there.
    pub(super) fn hears(&self, source: Source, present: Present) -> bool {
        match source {
            Source::Invitation => self.does == Does::ReadInvites,
            Source::Member => self.does == Does::Tell && present.insider,
            Source::Relay => self.does == Does::RunRelay,
        }
    }
}

impl Present {
    /// Throws the seed's dice for each member.
    pub fn roll(people: &[Person], seed: u64) -> Self {
        let mut dice = ChaCha20Rng::seed_from_u64(seed ^ DICE);
        let mut present = Self::default();
        for person in people {
            present.insider |= insiders(person, &mut dice) > 0;
            let honeypot = person.turns_s.map(|turns| Honeypot {
                dice: dice.next_u32(),
                turns: Duration::from_secs_f64(turns),
            });
            present.honeypot = present.honeypot.or(honeypot);
        }
        present
    }
}

fn insiders(person: &Person, dice: &mut ChaCha20Rng) -> usize {
    let share = person.share.unwrap_or(0.0);
    (0..person.of.unwrap_or(0))
        .filter(|_| f64::from(dice.next_u32()) < share * (f64::from(u32::MAX) + 1.0))
        .count()
}

/// Which of so many real people tell, of whom a censor's members are a share.
pub fn insiders_among(people: &[Person], count: usize, seed: u64) -> Vec<bool> {
    let mut dice = ChaCha20Rng::seed_from_u64(seed ^ DICE);
    let share: f64 = people.iter().filter_map(|person| person.share).sum();
    let one = |_| f64::from(dice.next_u32()) < share * (f64::from(u32::MAX) + 1.0);
    (0..count).map(one).collect()
}

impl Place {
    /// The place that an address (RTE-5) says; `resolve`: where a name leads.
    pub fn of(text: &str, resolve: impl Fn(&str) -> Option<Ipv4Addr>) -> Self {
        let (_, first) = address::split(text);
        let (host, port) = first.rsplit_once(':').unwrap_or((first, "443"));
        let port: u16 = port.parse().unwrap_or(443);
        let number: Option<Ipv4Addr> = host.parse().ok();
        let name = number.is_none().then(|| host.to_lowercase());
        let led = number.or_else(|| resolve(&host.to_lowercase()));
        let mut at: Vec<SocketAddrV4> = led.map(|ip| SocketAddrV4::new(ip, port)).into_iter().collect();
        at.extend(address::places(text).filter_map(|place| match place.ip() {
            IpAddr::V4(ip) => Some(SocketAddrV4::new(ip, place.port())),
            IpAddr::V6(_) => None,
        }));
        at.sort_unstable();
        at.dedup();
        Self { name, at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(text: &str) -> Person {
        let person: Person = toml::from_str(text).unwrap();
        person.check().unwrap();
        person
    }

    #[test]
    fn an_address_is_read_as_whoever_has_the_invitation_reads_it() {
        let resolve = |name: &str| (name == "garden.example").then_some(Ipv4Addr::new(203, 0, 113, 10));
        let place = Place::of("https://Garden.example:443,203.0.113.10:443,203.0.113.11:8443", resolve);
        assert_eq!(place.name.as_deref(), Some("garden.example"));
        let at = place.at.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(at, ["203.0.113.10:443", "203.0.113.11:8443"]);
        let plain = Place::of("203.0.113.10:80", resolve);
        assert_eq!((plain.name, plain.at[0].port()), (None, 80));
        let drop = Place::of("davs://garden.example/files", resolve);
        assert_eq!((drop.name.as_deref(), drop.at[0].port()), (Some("garden.example"), 443));
    }

    #[test]
    fn what_is_listed_is_what_the_file_says_and_nothing_in_spared_networks() {
        let place = Place::of("https://a.example:443,203.0.113.10:443,192.0.2.9:443", |_| None);
        let marks = |text: &str, place: &Place| person(text).marks(place).collect::<Vec<_>>();
        let all = marks(
            "does='read-invites'\nlists=['name','port','address']\nspares=['listed']",
            &place,
        );
        let port = SocketAddrV4::new([203, 0, 113, 10].into(), 443);
        assert_eq!(
            all,
            [
                Mark::Name("a.example".into(), Reassembly::None),
                Mark::Port(port),
                Mark::Address(*port.ip())
            ]
        );
        assert_eq!(
            marks("does='read-invites'\nlists=['port']\nspares=['listed']", &place).len(),
            1
        );
        let spared = Place::of("https://a.example:443,192.0.2.9:443", |_| None);
        let none = marks(
            "does='read-invites'\nlists=['name','address']\nspares=['listed']",
            &spared,
        );
        assert_eq!(none, [], "the name of what is spared is spared too");
    }

    #[test]
    fn one_of_a_hundred_is_rarely_among_twenty_and_one_of_ten_mostly() {
        let with = |share: f64| {
            let people = [person(&format!("does='tell'\nlists=['name']\nshare={share}\nof=20"))];
            let there = (0..1000).filter(|seed| Present::roll(&people, *seed).insider);
            there.count()
        };
        // 1 - 0.99^20 = 18 %, 1 - 0.9^20 = 88 %.
        assert!((140..=225).contains(&with(0.01)), "{}", with(0.01));
        assert!((840..=915).contains(&with(0.1)), "{}", with(0.1));
        assert_eq!(with(1.0), 1000);
    }

    #[test]
    fn of_real_people_the_same_share_tells_and_one_seed_is_one_choice() {
        let people = [person("does='tell'\nlists=['name']\nshare=0.1\nof=20")];
        let all: usize = (0..200)
            .map(|seed| {
                insiders_among(&people, 50, seed)
                    .into_iter()
                    .filter(|tells| *tells)
                    .count()
            })
            .sum();
        assert!((850..=1150).contains(&all), "{all} of 10,000");
        assert_eq!(insiders_among(&people, 50, 7), insiders_among(&people, 50, 7));
        assert!(insiders_among(&[], 50, 7).iter().all(|tells| !tells));
    }

    #[test]
    fn each_relay_is_the_honeypot_in_some_world_and_nobody_hears_what_is_not_theirs() {
        let people = [person("does='run-relay'\nturns_s=2.0\nlists=['address']")];
        let which = |seed| Present::roll(&people, seed).honeypot.unwrap().which(2);
        let mut all: Vec<usize> = (1..=20).map(which).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all, [0, 1]);
        let nobody = Present::default();
        let hears = |does: &str| {
            let one = person(&format!("{does}\nlists=['name']"));
            [Source::Invitation, Source::Member, Source::Relay].map(|source| one.hears(source, nobody))
        };
        assert_eq!(hears("does='read-invites'"), [true, false, false]);
        assert_eq!(hears("does='tell'\nshare=0.1\nof=1"), [false; 3], "no member tells");
        assert_eq!(hears("does='run-relay'\nturns_s=1.0"), [false, false, true]);
    }

    #[test]
    fn people_who_are_none_are_told_apart() {
        for (text, word) in [
            ("does='tell'\nlists=['name']\nshare=0.1", "share and of"),
            ("does='read-invites'\nlists=['name']\nshare=0.1\nof=3", "share and of"),
            ("does='tell'\nlists=['name']\nshare=1.5\nof=3", "share"),
            ("does='tell'\nlists=['name']\nshare=0.0\nof=3", "share"),
            ("does='tell'\nlists=['name']\nshare=0.1\nof=10001", "person.of"),
            ("does='tell'\nlists=['name']\nshare=0.1\nof=0", "person.of"),
            ("does='read-invites'", "lists nothing"),
            ("does='read-invites'\nlists=['name']\nturns_s=1.0", "turns_s"),
            ("does='run-relay'", "turns_s"),
            ("does='read-invites'\nlists=['name']\nafter_s=-1.0", "after_s"),
        ] {
            let person: Person = toml::from_str(text).unwrap();
            let error = person.check().unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
        for text in ["does='sleep'", "does='tell'\ncolour=1", "does='tell'\nlists=['hat']"] {
            assert!(toml::from_str::<Person>(text).is_err(), "{text}");
        }
    }
}
