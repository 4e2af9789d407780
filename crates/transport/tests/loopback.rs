//! A real relay and real transports over loopback.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use futures_util::future::Either;
use futures_util::{SinkExt, StreamExt};
use stonechat_relay::{AccessChoice, Config, CoverChoice, Limits, Relay, Running};
use stonechat_transport::carrier::knock::{KnockFailure, knock};
use stonechat_transport::carrier::outer::{Outer, Trust};
use stonechat_transport::carrier::ws::{Dial, LinkError, Means, Opened, Truck, open};
use stonechat_transport::courier::{Hello, LinkId, Lost, Over};
use stonechat_transport::{Handle, Remembered, Transport};
use stonechat_wire::card::CARD_BUCKET;
use stonechat_wire::envelope::{EnvelopeKey, seal};
use stonechat_wire::exchange::{Arrival, Class, Door, Errand, Knock, Listen, NamedBy, News, Parcel};
use stonechat_wire::face::{FaceClient, FaceError, RelaySecret};
use stonechat_wire::frame::{FromRelay, PutItem, Refusal, ToRelay};
use stonechat_wire::ids::{DoorKey, DoorPath, EnvelopeId, Tag, Timestamp, Token};
use stonechat_wire::invite::{InviteSecret, proof_hash};
use stonechat_wire::route::RelayRoute;
use stonechat_wire::session::{Opening, Session};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

#[path = "loopback/acme.rs"]
mod acme;
#[path = "loopback/behind.rs"]
mod behind;
#[path = "loopback/blobs.rs"]
mod blobs;
#[path = "loopback/cover.rs"]
mod cover;
#[cfg(unix)]
#[path = "loopback/dead_drop.rs"]
mod dead_drop;
#[cfg(unix)]
#[path = "loopback/dialer.rs"]
mod dialer;
#[path = "loopback/drop_host.rs"]
mod drop_host;
#[path = "loopback/forward.rs"]
mod forward;
#[path = "loopback/hints.rs"]
mod hints;
#[path = "loopback/hops.rs"]
mod hops;
#[path = "loopback/lend.rs"]
mod lend;
#[path = "loopback/odd_drop.rs"]
mod odd_drop;
#[path = "loopback/odd_mail.rs"]
mod odd_mail;
#[path = "loopback/pebble.rs"]
mod pebble;
#[path = "loopback/poll.rs"]
mod poll;
#[path = "loopback/tls.rs"]
mod tls;
#[path = "loopback/tries.rs"]
mod tries;

const PATIENCE: Duration = Duration::from_secs(60);
const NO_END: Timestamp = Timestamp(u64::MAX);

#[tokio::test]
async fn an_envelope_goes_from_one_client_to_the_other_rly_4() {
    let house = House::new().await;
    let (mut ana, mut bo) = (
        Client::new(&house.relay.route).await,
        Client::new(&house.relay.route).await,
    );
    bo.listen(&[(token(1).tag(), 0)]).await;
    let sent = ana.put(1, "hello").await;
    ana.until_stored(&[sent]).await;
    let arrival = bo.arrivals(1).await.remove(0);
    assert_eq!((arrival.tag, id_of(&arrival)), (token(1).tag(), sent));
}

#[tokio::test]
async fn what_waited_is_replayed_from_the_cursor_rly_25() {
    let house = House::new().await;
    let mut ana = Client::new(&house.relay.route).await;
    let mut sent = Vec::new();
    for n in 0..20 {
        sent.push(ana.put(1, &format!("message {n}")).await);
    }
    ana.until_stored(&sent).await;
    let mut bo = Client::new(&house.relay.route).await;
    bo.listen(&[(token(1).tag(), 0)]).await;
    let all = bo.arrivals(20).await;
    assert_eq!(
        all.iter().map(id_of).collect::<Vec<_>>(),
        sent,
        "in the order of their puts"
    );
    let mut late = Client::new(&house.relay.route).await;
    late.listen(&[(token(1).tag(), all[14].cursor)]).await;
    assert_eq!(late.arrivals(5).await.iter().map(id_of).collect::<Vec<_>>(), sent[15..]);
}

#[tokio::test]
async fn a_relay_that_restarts_midway_loses_and_doubles_nothing_rly_22() {
    let mut house = House::new().await;
    let (mut ana, mut bo) = (
        Client::new(&house.relay.route).await,
        Client::new(&house.relay.route).await,
    );
    bo.listen(&[(token(1).tag(), 0)]).await;
    let mut sent = Vec::new();
    for n in 0..60 {
        sent.push(ana.put(1, &format!("message {n}")).await);
        if n % 20 == 10 {
            house.restart().await;
        }
    }
    ana.until_stored(&sent).await;
    let arrived = bo.until_arrived(&sent).await;
    let cursors: Vec<_> = arrived.iter().map(|arrival| arrival.cursor).collect();
    assert!(
        cursors.is_sorted_by(|a, b| a < b),
        "each once, from where the last connection ended: {cursors:?}"
    );
    assert_eq!(house.stored_copies().await, 60);
}

#[tokio::test]
async fn a_connection_cut_in_the_middle_of_puts_loses_and_doubles_nothing_rly_23() {
    let house = House::new().await;
    let proxy = Proxy::before(house.relay.local_addr, 20_000).await;
    let route = RelayRoute {
        address: proxy.address.to_string(),
        ..house.relay.route.clone()
    };
    let mut ana = Client::new(&route).await;
    let mut sent = Vec::new();
    for n in 0..300 {
        sent.push(ana.put(1, &format!("message {n}")).await);
    }
    ana.until_stored(&sent).await;
    let mut bo = Client::new(&house.relay.route).await;
    bo.listen(&[(token(1).tag(), 0)]).await;
    let arrived = bo.until_arrived(&sent).await;
    assert_eq!(arrived.len(), 300, "one copy of each");
    assert!(
        proxy.cuts.load(std::sync::atomic::Ordering::Relaxed) >= 3,
        "the connection was cut"
    );
}

#[tokio::test]
async fn a_slow_reader_gets_everything_in_the_end_rly_26() {
    let house = House::new().await;
    let (mut ana, mut bo) = (
        Client::new(&house.relay.route).await,
        Client::new(&house.relay.route).await,
    );
    bo.listen(&[(token(1).tag(), 0)]).await;
    let big = "x".repeat(30_000);
    let mut sent = Vec::new();
    for n in 0..100 {
        sent.push(ana.put(1, &format!("{n} {big}")).await);
    }
    ana.until_stored(&sent).await;
    // 3 MB lie there, far more than may be under way; only now does bo begin to read its news.
    assert_eq!(bo.until_arrived(&sent).await.len(), 100);
}

#[tokio::test]
async fn a_wrong_secret_is_refused_and_nothing_else_answered_rly_20() {
    let house = House::new().await;
    let mut peer = Peer::open(&house).await;
    peer.send(ToRelay::Hello {
        version: 1,
        features: 0,
        secret: Some([9; 16]),
    })
    .await;
    assert_eq!(
        peer.receive().await,
        Some(FromRelay::Refused {
            request: 0,
            why: Refusal::Secret
        })
    );
    assert_eq!(peer.receive().await, None, "and it is closed");
    let mut peer = Peer::open(&house).await;
    peer.send(ToRelay::Quota { request: 1 }).await;
    assert_eq!(
        peer.receive().await,
        None,
        "a frame before the hello closes without a word"
    );
}

#[tokio::test]
async fn another_relays_keys_are_refused_face_3() {
    let house = House::new().await;
    let other = RelaySecret::from_seed(&[7; 32]).keys().clone();
    let asked = Dial {
        relay: other.id(),
        ..house.dial()
    };
    assert!(matches!(open(asked).await, Err(LinkError::Face(FaceError::WrongKeys))));
    let known = Dial {
        relay: other.id(),
        keys: Some(other),
        ..house.dial()
    };
    // The relay cannot read such a handshake and hangs up.
    let Err(LinkError::NotUpgraded(why)) = open(known).await else {
        panic!("it is open, or somebody else answered")
    };
    let hung_up = matches!(
        *why,
        LinkError::Closed | LinkError::Unreachable(_) | LinkError::WebSocket(_)
    );
    assert!(hung_up, "{why}");
}

#[tokio::test]
async fn a_door_gives_its_card_to_the_right_proof_rly_29() {
    let house = House::new().await;
    let (mut ana, bo) = (Client::new(&house.relay.route).await, Client::without_relay());
    let secret = InviteSecret::from_bytes([5; 20]);
    ana.open_door(&secret, card(1)).await;
    let knock = |id: u8, hints: Vec<String>, secret: &InviteSecret| {
        Errand::Knock(Knock {
            id: [id; 16],
            hints,
            path: secret.path(),
            proof: secret.proof(),
        })
    };
    let here = house.relay.local_addr.to_string();
    let mut bo = bo;
    bo.handle
        .send(knock(1, vec!["127.0.0.1:1".into(), here.clone()], &secret))
        .await
        .unwrap();
    assert_eq!(
        bo.news().await,
        News::Knocked {
            id: [1; 16],
            card: card(1)
        }
    );
    bo.handle
        .send(knock(2, vec![here.clone()], &InviteSecret::from_bytes([6; 20])))
        .await
        .unwrap();
    assert_eq!(bo.news().await, News::DoorSpent { id: [2; 16] });
    let relay = house.relay.route.relay;
    ana.handle
        .send(Errand::CloseDoor {
            relay,
            path: secret.path(),
            key: DOOR_KEY,
        })
        .await
        .unwrap();
    // The two connections race; once the door is closed it stays closed.
    let means = Means::default();
    let knock = || stonechat_transport::carrier::knock::knock(&here, secret.path(), secret.proof(), vec![], &means);
    while knock().await.is_ok() {}
    assert!(matches!(knock().await, Err(KnockFailure::NotFound)));
}

#[tokio::test]
// proves: MEET-1
async fn everything_that_is_not_proven_gets_what_a_site_without_files_says_rly_30() {
    let house = House::new().await;
    let mut ana = Client::new(&house.relay.route).await;
    let secret = InviteSecret::from_bytes([5; 20]);
    ana.open_door(&secret, card(1)).await;
    let path = secret.path().to_text();
    let post = |path: &str, body: &str| {
        format!(
            "POST /{path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let (missing, no_post, noise) = ("404 Not Found", "405 Method Not Allowed", "400 Bad Request");
    let cases = [
        ("a door with a wrong proof", no_post, post(&path, "0123456789abcdef")),
        (
            "a path without a door",
            no_post,
            post("AAAAAAAAAAAAAAAA", "0123456789abcdef"),
        ),
        ("a proof of another length", no_post, post(&path, "0123")),
        ("a long body", no_post, post(&path, &"x".repeat(5000))),
        (
            "a door by GET",
            missing,
            format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n"),
        ),
        ("the root", missing, "GET / HTTP/1.1\r\nHost: a\r\n\r\n".into()),
        (
            "the relay's path without an upgrade",
            missing,
            "GET /relay HTTP/1.1\r\nHost: a\r\n\r\n".into(),
        ),
        ("no HTTP at all", noise, "\x16\x03\x01\x02\x00\x01\r\n\r\n".into()),
        ("a head without end", noise, "A".repeat(9000)),
    ];
    let mut answers = BTreeMap::new();
    for (name, status, request) in cases {
        let answer = raw(house.relay.local_addr, request.as_bytes()).await;
        assert!(
            answer.starts_with(format!("HTTP/1.1 {status}\r\n").as_bytes()),
            "{name}"
        );
        assert_eq!(
            answers.entry(status).or_insert_with(|| answer.clone()),
            &answer,
            "{name}: byte for byte"
        );
    }
    let right = [
        post(&path, "").replace("Length: 0", "Length: 16").as_bytes(),
        &secret.proof(),
    ]
    .concat();
    let card = raw(house.relay.local_addr, &right).await;
    assert!(card.starts_with(b"HTTP/1.1 200 OK\r\n") && card.len() > CARD_BUCKET);
}

#[tokio::test]
async fn hostile_bytes_close_the_connection_and_nothing_else_rly_33() {
    let house = House::new().await;
    let mut good = Client::new(&house.relay.route).await;
    let put_other = {
        let envelope = seal(&KEY, token(1).tag(), [0; 16], b"x").unwrap();
        ToRelay::Put {
            request: 1,
            items: vec![PutItem {
                token: token(2),
                ttl_s: 60,
                envelope,
            }],
        }
    };
    let mut wrong_token = Vec::new();
    put_other.encode(&mut wrong_token);
    let hostile: [(&str, Vec<u8>); 6] = [
        ("a frame that ends too early", vec![1, 0, 0, 0, 9, 1]),
        ("a header without a body", vec![2, 0]),
        ("a length beyond the limit", vec![2, 0xff, 0xff, 0xff, 0xff]),
        (
            "a put of no envelope",
            [&[2, 0, 0, 0, 46], &[0, 0, 0, 1, 0, 1][..], &[0; 40]].concat(),
        ),
        ("a put under another token", wrong_token),
        ("a batch beyond the limit", vec![2, 0, 0, 0, 6, 0, 0, 0, 1, 0xff, 0xff]),
    ];
    for (name, bytes) in hostile {
        let mut peer = Peer::open(&house).await;
        peer.hello(house.relay.route.secret).await;
        peer.send_bytes(&bytes).await;
        assert_eq!(peer.receive().await, None, "{name}");
    }
    let records: [(&str, Message); 4] = [
        ("a text message", Message::text("hello")),
        ("a record of zeros", Message::binary(vec![0; 64])),
        ("a record without a handshake", Message::binary(vec![0, 3, 9, 9, 9])),
        ("a message of 2 MB", Message::binary(vec![0; 2 << 20])),
    ];
    for (name, message) in records {
        let mut peer = Peer::open(&house).await;
        // The relay may hang up while this is still being written.
        let _ = peer.socket.send(message).await;
        assert_eq!(peer.receive().await, None, "{name}");
    }
    let sent = good.put(1, "still there").await;
    good.until_stored(&[sent]).await;
}

#[tokio::test]
async fn strangers_who_say_nothing_are_shown_out_rly_35() {
    let limits = Limits {
        hello_ms: 200,
        silence_ms: 400,
        ..Limits::default()
    };
    let house = House::with(limits).await;
    assert_eq!(raw(house.relay.local_addr, b"").await, b"", "no request");
    assert_eq!(
        raw(house.relay.local_addr, b"GET /relay HTT").await,
        b"",
        "half a request"
    );
    let mut peer = Peer::open(&house).await;
    assert_eq!(peer.receive().await, None, "no hello");
    let mut peer = Peer::open(&house).await;
    peer.hello(house.relay.route.secret).await;
    tokio::time::sleep(Duration::from_millis(250)).await;
    peer.send(ToRelay::Quota { request: 1 }).await;
    assert!(peer.receive().await.is_some(), "longer than a stranger may stay");
    assert_eq!(peer.receive().await, None, "silence");
}

#[tokio::test]
async fn strangers_beyond_their_places_are_not_served_rly_33() {
    let limits = Limits {
        strangers_per_address: 2,
        connections_per_address: 3,
        session_ms: 0,
        ..Limits::default()
    };
    let house = House::with(limits).await;
    let mut strangers = Vec::new();
    for _ in 0..2 {
        strangers.push(Peer::open(&house).await);
    }
    assert!(open(house.dial()).await.is_err(), "no place for a third stranger");
    for peer in &mut strangers {
        peer.hello(house.relay.route.secret).await;
    }
    let mut third = Peer::open(&house).await;
    third.hello(house.relay.route.secret).await;
    assert!(open(house.dial()).await.is_err(), "no fourth connection of one address");
    drop(third);
    while open(house.dial()).await.is_err() {}
}

#[tokio::test]
async fn a_crowd_of_silent_strangers_keeps_nobody_out_rly_33() {
    let limits = Limits {
        strangers: 8,
        strangers_per_address: 4,
        ..Limits::default()
    };
    let house = House::with(limits).await;
    let mut crowd = Vec::new();
    for from in [2, 3, 4, 5] {
        for _ in 0..4 {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(SocketAddr::from(([127, 0, 0, from], 0))).unwrap();
            crowd.push(socket.connect(house.relay.local_addr).await.unwrap());
        }
    }
    let mut peer = Peer::open(&house).await;
    peer.hello(house.relay.route.secret).await;
    peer.send(ToRelay::Quota { request: 1 }).await;
    assert!(peer.receive().await.is_some());
}

#[tokio::test]
async fn unknown_frames_are_skipped_rly_1() {
    let house = House::new().await;
    let mut peer = Peer::open(&house).await;
    peer.hello(house.relay.route.secret).await;
    peer.send_bytes(&[200, 0, 0, 0, 3, 1, 2, 3]).await;
    peer.send(ToRelay::Quota { request: 7 }).await;
    assert!(matches!(
        peer.receive().await,
        Some(FromRelay::Quota { request: 7, .. })
    ));
}

#[tokio::test]
async fn keys_that_are_known_spare_the_question_face_3() {
    let house = House::new().await;
    let asked = open(house.dial()).await.unwrap();
    let keys = asked.face.keys().unwrap().clone();
    assert_eq!(keys.id(), house.relay.route.relay);
    assert!(
        open(Dial {
            keys: Some(keys),
            ..house.dial()
        })
        .await
        .is_ok()
    );
}

/// Each connection falls silent after 16 KiB from the relay and stays open, as behind some filters: an envelope of 32 KB
/// and one that is put later come nevertheless, in one session.
#[tokio::test]
async fn a_session_goes_on_over_connections_that_freeze_ses_3() {
    let house = House::new().await;
    let mut ana = Client::new(&house.relay.route).await;
    let big = ana.put(1, &"x".repeat(30_000)).await;
    ana.until_stored(&[big]).await;
    let filter = Filter::before(house.relay.local_addr, 16 << 10).await;
    let mut bo = Client::new(&RelayRoute {
        address: filter.address.to_string(),
        ..house.relay.route.clone()
    })
    .await;
    bo.listen(&[(token(1).tag(), 0)]).await;
    assert_eq!(id_of(&bo.arrivals(1).await[0]), big);
    let small = ana.put(1, "later").await;
    assert_eq!(id_of(&bo.arrivals(1).await[0]), small);
    let connections = filter.count.load(std::sync::atomic::Ordering::Relaxed);
    assert!(connections >= 4, "one that froze, and short ones: {connections}");
}

#[tokio::test]
async fn a_card_comes_over_connections_that_freeze_rly_30() {
    let house = House::new().await;
    let mut ana = Client::new(&house.relay.route).await;
    let secret = InviteSecret::from_bytes([5; 20]);
    ana.open_door(&secret, card(1)).await;
    let filter = Filter::before(house.relay.local_addr, 9 << 10).await;
    let mut bo = Client::without_relay();
    let knock = Knock {
        id: [1; 16],
        hints: vec![filter.address.to_string()],
        path: secret.path(),
        proof: secret.proof(),
    };
    bo.handle.send(Errand::Knock(knock)).await.unwrap();
    assert_eq!(
        bo.news().await,
        News::Knocked {
            id: [1; 16],
            card: card(1)
        }
    );
    assert_eq!(filter.count.load(std::sync::atomic::Ordering::Relaxed), 2);
}

/// A goodbye ends a session; a connection that breaks off does not.
#[tokio::test]
async fn a_session_is_kept_for_a_while_after_its_connection_broke_off_ses_6() {
    let house = House::new().await;
    for (says_goodbye, is_kept) in [(false, true), (true, false)] {
        let mut peer = Peer::open(&house).await;
        peer.hello(house.relay.route.secret).await;
        if says_goodbye {
            let _ = peer.socket.close(None).await;
            while peer.socket.next().await.is_some() {}
        }
        drop(peer.socket);
        let mut socket = upgraded(&house).await;
        peer.session.board(0);
        let message = peer.session.next(9).unwrap();
        let opening = Opening {
            id: peer.id,
            load_max: 0,
        };
        socket.send(Message::binary(opening.before(&message))).await.unwrap();
        let answer = timeout(PATIENCE, socket.next()).await.expect("an answer or the end");
        assert_eq!(matches!(answer, Some(Ok(Message::Binary(_)))), is_kept, "{answer:?}");
    }
}

#[tokio::test]
async fn a_host_that_is_not_there_is_not_a_spent_door() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let answer = knock(
        &nobody.to_string(),
        DoorPath::from_bytes([1; 12]),
        [0; 16],
        vec![],
        &Means::default(),
    )
    .await;
    assert!(matches!(answer, Err(KnockFailure::Unreachable(_))));
}

#[tokio::test]
async fn what_worked_is_remembered() {
    let house = House::new().await;
    let client = Client::new(&house.relay.route).await;
    let mut remembered = client.handle.remembered();
    let wanted = house.relay.local_addr.to_string();
    let known = remembered.wait_for(|known| known.address(&house.relay.route.relay) == Some(&wanted));
    assert!(known.await.is_ok());
}

// Helpers.

const KEY: EnvelopeKey = EnvelopeKey::new([3; 32]);

fn token(n: u8) -> Token {
    Token::from_bytes([n; 32])
}

/// Of every door here.
const DOOR_KEY: DoorKey = DoorKey::from_bytes([7; 16]);

fn card(n: u8) -> Vec<u8> {
    vec![n; CARD_BUCKET]
}

fn id_of(arrival: &Arrival) -> EnvelopeId {
    stonechat_wire::envelope::Envelope::decode(arrival.envelope.clone())
        .unwrap()
        .id()
}

/// A relay and its data folder.
struct House {
    relay: Running,
    folder: tempfile::TempDir,
}

impl House {
    async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    async fn with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let anywhere = "127.0.0.1:0".parse().unwrap();
        let config = Config {
            limits,
            ..config(folder.path(), anywhere)
        };
        let relay = Relay::start(config).await.unwrap();
        Self { relay, folder }
    }

    /// Stops the relay and starts it again at the same address.
    async fn restart(&mut self) {
        let address = self.relay.local_addr;
        // Two relays cannot stand on one folder, so the old one has to go first; a second house keeps the place.
        let spare = Self::new().await.relay;
        std::mem::replace(&mut self.relay, spare).stop().await;
        let again = Relay::start(config(self.folder.path(), address)).await.unwrap();
        std::mem::replace(&mut self.relay, again).stop().await;
    }

    fn dial(&self) -> Dial {
        self.dial_as(fresh_id())
    }

    fn dial_as(&self, session: [u8; 16]) -> Dial {
        let address = self.relay.local_addr.to_string();
        Dial {
            link: LinkId(1),
            relay: self.relay.route.relay,
            keys: None,
            dice: [4; 32],
            session,
            truck: Truck {
                address,
                path: path_of(&self.relay.route),
                load_max: 0,
                hello: Hello::Whole,
                over: Over::WebSocket,
                through: None,
            },
            means: Trust::system().into(),
            by: NamedBy::Person,
        }
    }

    /// How many envelopes lie in mailbox 1, by a reader of its own.
    async fn stored_copies(&self) -> usize {
        let mut peer = Peer::open(self).await;
        peer.hello(self.relay.route.secret).await;
        peer.send(ToRelay::Fetch {
            request: 1,
            tag: token(1).tag(),
            cursor: 0,
            limit: 1024,
        })
        .await;
        match peer.receive().await {
            Some(FromRelay::Fetched { items, more: false, .. }) => items.len(),
            other => panic!("{other:?}"),
        }
    }
}

fn config(data: &Path, listen: SocketAddr) -> Config {
    let data = data.to_owned();
    let (access, limits) = (AccessChoice::Secret, Limits::default());
    Config {
        listen,
        also_listen: Vec::new(),
        data,
        advertise: None,
        tls: None,
        acme: None,
        front: None,
        cover: CoverChoice::None,
        forward: Vec::new(),
        access,
        lan: false,
        bridge: None,
        near: None,
        metrics: None,
        limits,
    }
}

/// A transport that has been greeted.
struct Client {
    handle: Handle,
    news: mpsc::Receiver<News>,
    relay: Option<RelayRoute>,
    sent: u64,
}

impl Client {
    fn without_relay() -> Self {
        Self::starting(Transport::start(fresh_seed(), Remembered::default()))
    }

    fn starting((handle, news): (Handle, mpsc::Receiver<News>)) -> Self {
        Self {
            handle,
            news,
            relay: None,
            sent: 0,
        }
    }

    async fn new(route: &RelayRoute) -> Self {
        let mut client = Self::without_relay();
        client.greet(route).await;
        client
    }

    async fn greet(&mut self, route: &RelayRoute) {
        self.relay = Some(route.clone());
        self.handle
            .send(Errand::UseRelay(route.clone(), None, NamedBy::Person))
            .await
            .unwrap();
        assert!(matches!(self.news().await, News::Greeting { .. }));
    }

    fn relay(&self) -> stonechat_wire::ids::RelayId {
        self.relay.as_ref().unwrap().relay
    }

    async fn news(&mut self) -> News {
        timeout(PATIENCE, self.news.recv())
            .await
            .expect("news in time")
            .expect("a running transport")
    }

    async fn listen(&self, add: &[(Tag, u64)]) {
        let listen = Listen {
            relay: self.relay(),
            add: add.to_vec(),
            drop: vec![],
        };
        self.handle.send(Errand::Listen(listen)).await.unwrap();
    }

    async fn put(&mut self, mailbox: u8, text: &str) -> EnvelopeId {
        self.sent += 1;
        let mut seed = [0; 16];
        seed[..8].copy_from_slice(&self.sent.to_be_bytes());
        let token = token(mailbox);
        let envelope = seal(&KEY, token.tag(), seed, text.as_bytes()).unwrap();
        let id = envelope.id();
        let relays = vec![self.relay()];
        let parcel = Parcel {
            envelope,
            token,
            relays,
            class: Class::Text,
            ttl_s: 3600,
            deadline: NO_END,
        };
        self.handle.send(Errand::Send(parcel)).await.unwrap();
        id
    }

    async fn until_stored(&mut self, wanted: &[EnvelopeId]) {
        let mut left: std::collections::BTreeSet<_> = wanted.iter().copied().collect();
        while !left.is_empty() {
            if let News::Stored { ids, .. } = self.news().await {
                for id in ids {
                    assert!(left.remove(&id), "told twice, or never sent");
                }
            }
        }
    }

    async fn arrivals(&mut self, count: usize) -> Vec<Arrival> {
        let mut all = Vec::new();
        while all.len() < count {
            if let News::Arrived(arrivals) = self.news().await {
                all.extend(arrivals);
            }
        }
        assert_eq!(all.len(), count);
        all
    }

    async fn until_arrived(&mut self, wanted: &[EnvelopeId]) -> Vec<Arrival> {
        let mut left: std::collections::BTreeSet<_> = wanted.iter().copied().collect();
        let mut all = Vec::new();
        while !left.is_empty() {
            if let News::Arrived(arrivals) = self.news().await {
                left.retain(|id| !arrivals.iter().any(|arrival| id_of(arrival) == *id));
                all.extend(arrivals);
            }
        }
        all
    }

    async fn open_door(&mut self, secret: &InviteSecret, card: Vec<u8>) {
        let (relay, path) = (self.relay(), secret.path());
        let proof_hash = proof_hash(&secret.proof());
        let door = Door {
            relay,
            path,
            proof_hash,
            key: DOOR_KEY,
            expires_s: u64::MAX / 1000,
            card,
        };
        self.handle.send(Errand::OpenDoor(door)).await.unwrap();
        assert_eq!(self.news().await, News::DoorOpen { relay, path });
    }
}

fn path_of(route: &RelayRoute) -> DoorPath {
    stonechat_wire::route::relay_path(&route.relay, route.secret.as_ref())
}

/// Another courier's dice each time.
fn fresh_seed() -> [u8; 32] {
    let mut seed = [0; 32];
    seed[..16].copy_from_slice(&fresh_id());
    seed
}

/// Another session's id each time.
fn fresh_id() -> [u8; 16] {
    static LAST: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    let number = LAST.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    u128::from(number).to_be_bytes()
}

/// A client by hand: says what it likes.
struct Peer {
    id: [u8; 16],
    socket: WebSocketStream<Outer>,
    session: Session,
    face: FaceClient,
    waiting: std::collections::VecDeque<FromRelay>,
}

impl Peer {
    async fn open(house: &House) -> Self {
        let id = fresh_id();
        let Opened {
            socket, session, face, ..
        } = open(house.dial_as(id)).await.unwrap();
        let Either::Left(socket) = socket else {
            panic!("no browser is there")
        };
        Self {
            id,
            socket,
            session,
            face,
            waiting: Default::default(),
        }
    }

    async fn hello(&mut self, secret: Option<[u8; 16]>) {
        self.send(ToRelay::Hello {
            version: 1,
            features: 0,
            secret,
        })
        .await;
        assert!(matches!(
            self.receive().await,
            Some(FromRelay::Hello { version: 1, .. })
        ));
    }

    async fn send(&mut self, frame: ToRelay) {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        self.send_bytes(&bytes).await;
    }

    async fn send_bytes(&mut self, bytes: &[u8]) {
        self.face.send(bytes).unwrap();
        self.session.push(&self.face.take_output());
        let message = self.session.next(usize::MAX).unwrap();
        self.socket.send(Message::binary(message)).await.unwrap();
    }

    /// The next frame; nothing when the relay has hung up.
    async fn receive(&mut self) -> Option<FromRelay> {
        while self.waiting.is_empty() {
            match timeout(PATIENCE, self.socket.next())
                .await
                .expect("an answer or the end")?
            {
                Ok(Message::Binary(bytes)) => {
                    let bytes = self.session.take(&bytes).unwrap().bytes;
                    for message in self.face.receive(&bytes).unwrap() {
                        self.waiting.extend(FromRelay::decode_all(&message).unwrap());
                    }
                }
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
        self.waiting.pop_front()
    }
}

/// A WebSocket to the relay on which nothing was said.
async fn upgraded(house: &House) -> WebSocketStream<Outer> {
    let relay = house.relay.local_addr;
    let (stream, _) = stonechat_transport::carrier::outer::reach(&relay.to_string(), &Means::default())
        .await
        .unwrap();
    let url = format!("ws://{relay}/{}", path_of(&house.relay.route).to_text());
    tokio_tungstenite::client_async(url, stream).await.unwrap().0
}

/// Passes bytes on, and lets each connection fall silent after so many from the relay.
struct Filter {
    address: SocketAddr,
    count: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

impl Filter {
    async fn before(target: SocketAddr, bytes_max: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let connections = std::sync::Arc::clone(&count);
        tokio::spawn(async move {
            while let Ok((inside, _)) = listener.accept().await {
                connections.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                tokio::spawn(async move {
                    let outside = TcpStream::connect(target).await.unwrap();
                    let (mut inside_read, mut inside_write) = inside.into_split();
                    let (outside_read, mut outside_write) = outside.into_split();
                    let mut limited = outside_read.take(bytes_max);
                    let up = async {
                        let _ = tokio::io::copy(&mut inside_read, &mut outside_write).await;
                    };
                    let down = async {
                        let _ = tokio::io::copy(&mut limited, &mut inside_write).await;
                        std::future::pending::<()>().await;
                    };
                    tokio::select! { () = up => {}, () = down => {} }
                });
            }
        });
        Self { address, count }
    }
}

/// Passes bytes on, and cuts each connection after so many from the client.
struct Proxy {
    address: SocketAddr,
    cuts: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

impl Proxy {
    async fn before(target: SocketAddr, bytes_max: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cuts = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = std::sync::Arc::clone(&cuts);
        tokio::spawn(async move {
            while let Ok((mut inside, _)) = listener.accept().await {
                let mut outside = TcpStream::connect(target).await.unwrap();
                let (inside_read, mut inside_write) = inside.split();
                let (mut outside_read, mut outside_write) = outside.split();
                let mut limited = inside_read.take(bytes_max);
                tokio::select! {
                    _ = tokio::io::copy(&mut limited, &mut outside_write) => {}
                    _ = tokio::io::copy(&mut outside_read, &mut inside_write) => {}
                }
                count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        });
        Self { address, cuts }
    }
}

/// One request as given, and everything that comes back.
async fn raw(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("an answer in time");
    answer
}
