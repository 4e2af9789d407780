//! What `disclose` says of a relay's memory, against a dump of that memory.
//!
//! A real relay is watched by its own parent: while somebody is connected, after they have left, after an envelope has been
//! handed on, after it has expired. What must be gone is looked for in all that the process can write to, freed memory and
//! stacks too, as bytes and as text. That the look finds what is there is part of each test.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use stonechat_wire::envelope::{EnvelopeKey, seal};
use stonechat_wire::frame::{FromRelay, PutItem, ToRelay};
use stonechat_wire::ids::{DoorKey, DoorPath, EnvelopeId, Tag, Token};
use stonechat_wire::route::RelayRoute;

use crate::harness::{Person, Relay, eventually};

mod dump;
mod guest;

use dump::Dump;
use guest::{Guest, dice};

/// How long what is to be gone may take: the end of a connection is a few messages between threads.
const GONE_MAX: Duration = Duration::from_secs(20);
/// How long an envelope of one second may take to go: the next full minute, and the round that tidies (RLY-32).
const EXPIRED_MAX: Duration = Duration::from_secs(150);

/// Something to be looked for.
#[derive(Clone)]
struct Canary {
    what: String,
    bytes: Vec<u8>,
}

fn canary(what: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Canary {
    let (what, bytes) = (what.into(), bytes.into());
    Canary { what, bytes }
}

/// Which of them are there.
fn found(dump: &Dump, canaries: &[Canary]) -> Vec<String> {
    let there = canaries.iter().map(|canary| (canary, dump.places(&canary.bytes)));
    let there = there.filter(|(_, places)| !places.is_empty());
    there
        .map(|(canary, places)| format!("{}: {}", canary.what, places.join(", ")))
        .collect()
}

/// Waits until none of them is there. Out: what stays.
fn left(relay: &Relay, canaries: &[Canary], within: Duration) -> Vec<String> {
    let end = Instant::now() + within;
    loop {
        let left = found(&Dump::of(relay.pid()), canaries);
        if left.is_empty() || Instant::now() > end {
            return left;
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// An address of this machine whose bytes happen to stand nowhere in the relay: four bytes are found by chance.
fn unheard_of(dump: &Dump) -> Ipv4Addr {
    loop {
        let [a, b, c] = dice();
        let address = Ipv4Addr::new(127, a | 1, b | 1, c | 1);
        if !addresses("", address).iter().any(|canary| dump.has(&canary.bytes)) {
            return address;
        }
    }
}

/// An address as it might stand in memory: in either order of bytes, as text, and its network as a source.
fn addresses(whose: &str, address: Ipv4Addr) -> Vec<Canary> {
    let bytes = address.octets();
    let mut turned = bytes;
    turned.reverse();
    let [a, b, c, _] = bytes;
    vec![
        canary(format!("{whose}: the address"), bytes),
        canary(format!("{whose}: the address turned round"), turned),
        canary(format!("{whose}: the address as text"), address.to_string()),
        canary(format!("{whose}: the network"), [a, b, c, 0, 0, 0]),
    ]
}

fn token() -> Token {
    Token::from_bytes(dice())
}

fn envelope(token: &Token) -> PutItem {
    let envelope = seal(&EnvelopeKey::new(dice()), token.tag(), dice(), b"sealed").unwrap();
    PutItem {
        token: Token::from_bytes(*token.as_bytes()),
        ttl_s: 30 * 24 * 3600,
        envelope,
    }
}

fn tag(what: &str, tag: Tag) -> Canary {
    canary(what, *tag.as_bytes())
}

/// The sealed bytes of an envelope: its head is its mailbox's tag, which stands elsewhere too.
fn sealed(what: &str, item: &PutItem) -> Canary {
    canary(what, &item.envelope.bytes()[40..104])
}

/// Puts, and waits until it is stored.
fn put(guest: &mut Guest, item: PutItem) {
    let (request, id) = (7, item.envelope.id());
    guest.say(&ToRelay::Put {
        request,
        items: vec![item],
    });
    let FromRelay::Stored { ids, .. } = guest.hear() else {
        panic!("not stored")
    };
    assert_eq!(ids, [id]);
}

/// Nobody else comes meanwhile: what is gone was wiped, and not only overwritten by the next one.
#[test]
fn what_a_connection_was_is_gone_from_a_relays_memory_when_it_ends_rly_48() {
    let relay = Relay::start();
    let route = RelayRoute::parse(&relay.route).unwrap();
    let before = Dump::of(relay.pid());
    let (here, there) = (unheard_of(&before), unheard_of(&before));
    let (shared, read_only, short) = (token(), token(), token());
    let mut reader = Guest::from(here, &route);
    let read = [shared.tag(), read_only.tag(), short.tag()];
    reader.say(&ToRelay::Subscribe {
        add: read.map(|tag| (tag, 0)).into(),
        drop: vec![],
    });
    let fetched = token().tag();
    reader.say(&ToRelay::Fetch {
        request: 1,
        tag: fetched,
        cursor: 0,
        limit: 9,
    });
    assert!(matches!(reader.hear(), FromRelay::Fetched { .. }));

    // While it is connected the relay has its address, its mailboxes and its keys: `disclose` says so.
    let during = Dump::of(relay.pid());
    let keys = reader.shared_with(&before, &during);
    assert!(keys.len() >= 2, "a key for each direction: {}", keys.len());
    let mut of_reader = addresses("the reader", here);
    of_reader.push(canary("the reader: its session's id", reader.id));
    let there_now = found(&during, &of_reader);
    assert!(there_now.len() >= 3, "the look finds what is there: {there_now:?}");
    assert!(during.has(read[1].as_bytes()));
    of_reader.extend(keys.iter().map(|key| canary("the reader: a session key", *key)));
    of_reader.push(tag("the reader: a mailbox it read", read[1]));
    of_reader.push(tag("the reader: a mailbox it fetched", fetched));

    // A put that is handed on: token and sealed bytes are nowhere, though both connections stand.
    let mut writer = Guest::from(there, &route);
    let item = envelope(&shared);
    let expired = PutItem {
        ttl_s: 1,
        ..envelope(&short)
    };
    let handed_on = [
        canary("the token of a put", *shared.as_bytes()),
        sealed("an envelope that was handed on", &item),
        canary("the token of a short put", *short.as_bytes()),
        sealed("a short envelope that was handed on", &expired),
    ];
    let ids = [&item, &expired].map(|item| item.envelope.id());
    put(&mut writer, item);
    put(&mut writer, expired);
    for _ in 0..2 {
        assert!(matches!(reader.hear(), FromRelay::Arrived { .. }));
    }
    let mut of_writer = [
        addresses("the writer", there),
        vec![canary("the writer: its session's id", writer.id)],
    ]
    .concat();
    let used = Dump::of(relay.pid());
    let keys = writer.shared_with(&during, &used);
    assert!(keys.len() >= 2);
    let mut stays = left(&relay, &handed_on, GONE_MAX);

    // A door that was set up and taken down again. Its path is on the disk until its records' time is over, and in what waits
    // to be written of that.
    let (path, key, card) = (DoorPath::from_bytes(dice()), DoorKey::from_bytes(dice()), card());
    let of_door = [
        canary("a closed door's path as text", path.to_text()),
        canary("a closed door's key", *key.as_bytes()),
        canary("a closed door's card", &card[900..964]),
    ];
    let proof_hash = dice();
    let same = DoorKey::from_bytes(*key.as_bytes());
    let expires_s = 4_000_000_000;
    writer.say(&ToRelay::Door {
        request: 2,
        path,
        proof_hash,
        key,
        expires_s,
        card,
    });
    assert!(matches!(writer.hear(), FromRelay::DoorOpen { .. }));
    writer.say(&ToRelay::CloseDoor {
        request: 3,
        path,
        key: same,
    });
    assert!(matches!(writer.hear(), FromRelay::DoorOpen { .. }));
    stays.extend(left(&relay, &of_door, GONE_MAX));

    reader.leave();
    stays.extend(left(&relay, &of_reader, GONE_MAX));
    writer.leave();
    of_writer.retain(|canary| !canary.what.ends_with("network"));
    of_writer.extend(keys.iter().map(|key| canary("the writer: a session key", *key)));
    stays.extend(left(&relay, &of_writer, GONE_MAX));

    // The envelope of one second goes with the next rounds; the other one stays, as the index of what is on disk.
    let of_expired = [
        tag("the mailbox of an expired envelope", short.tag()),
        canary("the id of an expired envelope", short_id(&ids[1])),
        canary("the network of who put it", network(there)),
    ];
    assert!(found(&Dump::of(relay.pid()), &of_expired).len() >= 2);
    stays.extend(left(&relay, &of_expired, EXPIRED_MAX));
    assert_eq!(stays, Vec::<String>::new(), "still in memory");
    let last = Dump::of(relay.pid());
    assert!(
        last.has(shared.tag().as_bytes()) && last.has(&short_id(&ids[0])),
        "what is kept is found"
    );
}

fn network(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, _] = address.octets();
    [a, b, c, 0, 0, 0]
}

fn short_id(id: &EnvelopeId) -> [u8; 16] {
    id.as_bytes()[..16].try_into().unwrap()
}

/// A card's size of random bytes.
fn card() -> Vec<u8> {
    let mut card = vec![0; stonechat_wire::card::CARD_BUCKET];
    getrandom::fill(&mut card).unwrap();
    card
}

#[test]
fn nothing_that_people_are_or_write_is_ever_in_a_relays_memory() {
    let relay = Relay::start();
    let (mut ana, mut bo) = (Person::new("Canaryana", Some(&relay)), Person::new("Canarybo", None));
    ana.serve();
    bo.serve();
    let link = ana.run(&["invite"]).line();
    bo.run(&["accept", &link]).ok();
    bo.run(&["send", "Canaryana", "canarytext is here"]).ok();
    let got = eventually("the message", || {
        ana.run(&["receive", "--json"]).json().into_iter().next()
    });
    let account = got["from_id"].as_str().unwrap().to_owned();
    ana.run(&["send", "Canarybo", "canarytext too"]).ok();
    eventually("the other message", || {
        bo.run(&["receive", "--json"]).json().into_iter().next()
    });
    let words = ana.run(&["words"]).line();
    let fragment = link.split_once('#').unwrap().1;
    let mut canaries = vec![
        canary("a name", "Canaryana"),
        canary("another name", "Canarybo"),
        canary("a text", "canarytext"),
        canary("an account", account.as_str()),
        canary("an invitation", fragment),
    ];
    canaries.extend(
        words
            .split(' ')
            .collect::<Vec<_>>()
            .windows(2)
            .map(|two| canary("two words", two.join(" "))),
    );
    let running = Dump::of(relay.pid());
    assert_eq!(found(&running, &canaries), Vec::<String>::new());
    // The same look finds a name where it has to be.
    assert!(!found(&Dump::of(ana.pid()), &canaries).is_empty());
}
