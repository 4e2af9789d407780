//! Two hops: a client reaches one relay through another.

use stonechat_wire::frame::FORWARDS;
use stonechat_wire::frame::forward::{ForwardAsk, ForwardTell, PASS_BYTES_MAX, Passed, WINDOW_BYTES};
use tokio::io::DuplexStream;

use super::*;

/// A relay that forwards to these.
pub(super) async fn forwarding(to: &[&RelayRoute], limits: Limits) -> House {
    let folder = tempfile::tempdir().unwrap();
    let anywhere = "127.0.0.1:0".parse().unwrap();
    let config = Config {
        limits,
        forward: to.iter().map(|route| (*route).clone()).collect(),
        ..config(folder.path(), anywhere)
    };
    let relay = Relay::start(config).await.unwrap();
    House { relay, folder }
}

pub(super) async fn greeted(house: &House) -> Peer {
    let mut peer = Peer::open(house).await;
    peer.hello(house.relay.route.secret).await;
    peer
}

pub(super) async fn open_channel(peer: &mut Peer, channel: u32, to: &RelayRoute) -> ForwardTell {
    let relay = to.relay;
    peer.send(ToRelay::Forward(ForwardAsk::Open { channel, relay })).await;
    told(peer).await
}

pub(super) async fn told(peer: &mut Peer) -> ForwardTell {
    match peer.receive().await {
        Some(FromRelay::Forward(tell)) => tell,
        other => panic!("{other:?}"),
    }
}

pub(super) fn pass(channel: u32, bytes: Vec<u8>) -> ToRelay {
    ToRelay::Forward(ForwardAsk::Pass(Passed { channel, bytes }))
}

pub(super) const fn shut(channel: u32, why: Refusal) -> ForwardTell {
    ForwardTell::Shut { channel, why }
}

/// Carries bytes between a channel and a stream, within the channel's window, until either ends.
async fn carry(mut peer: Peer, channel: u32, mut stream: DuplexStream) {
    let mut chunk = vec![0; PASS_BYTES_MAX];
    let mut under_way = 0;
    loop {
        let room = (WINDOW_BYTES - under_way).min(chunk.len());
        tokio::select! {
            read = stream.read(&mut chunk[..room]), if room > 0 => {
                let count = read.unwrap_or_default();
                if count == 0 {
                    return;
                }
                under_way += count;
                peer.send(pass(channel, chunk[..count].to_vec())).await;
            }
            message = peer.socket.next() => {
                let Some(Ok(Message::Binary(bytes))) = message else { return };
                let bytes = peer.session.take(&bytes).unwrap().bytes;
                for message in peer.face.receive(&bytes).unwrap() {
                    for frame in FromRelay::decode_all(&message).unwrap() {
                        match frame {
                            FromRelay::Forward(ForwardTell::Pass(passed)) => {
                                if stream.write_all(&passed.bytes).await.is_err() {
                                    return;
                                }
                            }
                            FromRelay::Forward(ForwardTell::Took { bytes, .. }) => under_way -= bytes as usize,
                            other => panic!("{other:?}"),
                        }
                    }
                }
                // Confirms what came.
                while let Some(message) = peer.session.next(usize::MAX) {
                    peer.socket.send(Message::binary(message)).await.unwrap();
                }
            }
        }
    }
}

/// A client of a relay over any stream.
struct Inner {
    socket: WebSocketStream<DuplexStream>,
    session: Session,
    face: FaceClient,
}

impl Inner {
    async fn open(stream: DuplexStream, route: &RelayRoute) -> Self {
        let url = format!("ws://{}/{}", route.address, path_of(route).to_text());
        let (socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
        let mut session = Session::default();
        session.board(0);
        let face = FaceClient::asking(route.relay, [9; 32]);
        let mut inner = Self { socket, session, face };
        let mut opening = Some(Opening {
            id: fresh_id(),
            load_max: 0,
        });
        while !inner.face.is_open() {
            inner.session.push(&inner.face.take_output());
            while let Some(message) = inner.session.next(usize::MAX) {
                let message = opening
                    .take()
                    .map_or_else(|| message.clone(), |opening| opening.before(&message));
                inner.socket.send(Message::binary(message)).await.unwrap();
            }
            inner.hear().await;
        }
        inner
    }

    async fn hear(&mut self) -> Vec<FromRelay> {
        let message = timeout(PATIENCE, self.socket.next()).await.unwrap();
        let Some(Ok(Message::Binary(bytes))) = message else {
            panic!("{message:?}");
        };
        let bytes = self.session.take(&bytes).unwrap().bytes;
        let messages = self.face.receive(&bytes).unwrap();
        messages
            .iter()
            .flat_map(|message| FromRelay::decode_all(message).unwrap())
            .collect()
    }

    async fn ask(&mut self, frame: &ToRelay) -> Vec<FromRelay> {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        self.face.send(&bytes).unwrap();
        self.session.push(&self.face.take_output());
        while let Some(message) = self.session.next(64 << 10) {
            self.socket.send(Message::binary(message)).await.unwrap();
        }
        loop {
            let heard = self.hear().await;
            if !heard.is_empty() {
                return heard;
            }
        }
    }
}

// proves: FWD-1, FWD-3
#[tokio::test]
async fn a_relay_is_reached_through_another_fwd_2() {
    let far = House::new().await;
    let near = forwarding(&[&far.relay.route], Limits::default()).await;
    let mut peer = greeted(&near).await;
    assert_eq!(
        open_channel(&mut peer, 7, &far.relay.route).await,
        ForwardTell::Open { channel: 7 }
    );
    let (ours, theirs) = tokio::io::duplex(16 << 10);
    let carrying = tokio::spawn(carry(peer, 7, theirs));
    let mut inner = Inner::open(ours, &far.relay.route).await;
    let hello = ToRelay::Hello {
        version: 1,
        features: 0,
        secret: far.relay.route.secret,
    };
    assert!(matches!(inner.ask(&hello).await[..], [FromRelay::Hello { .. }]));
    // Far more than a window each way.
    for n in 0..20_u8 {
        let envelope = |k: u8| seal(&EnvelopeKey::new([1; 32]), token(1).tag(), [k; 16], &[k; 20_000]).unwrap();
        let item = |k: u8| PutItem {
            token: token(1),
            ttl_s: 60,
            envelope: envelope(k),
        };
        let put = ToRelay::Put {
            request: n.into(),
            items: (0..10).map(|k| item(n * 10 + k)).collect(),
        };
        assert!(matches!(&inner.ask(&put).await[..], [FromRelay::Stored { ids, .. }] if ids.len() == 10));
    }
    let (mut cursor, mut count) = (0, 0);
    while count < 200 {
        let fetch = ToRelay::Fetch {
            request: 1,
            tag: token(1).tag(),
            cursor,
            limit: 1024,
        };
        let fetched = inner.ask(&fetch).await;
        let [FromRelay::Fetched { items, .. }] = &fetched[..] else {
            panic!("{} frames", fetched.len());
        };
        (cursor, count) = (items.last().unwrap().0, count + items.len());
    }
    assert_eq!(far.stored_copies_of_200().await, 200);
    drop(inner);
    carrying.await.unwrap();
}

impl House {
    /// How many of the first envelopes of mailbox 1 one fetch after another gives, straight from the relay.
    async fn stored_copies_of_200(&self) -> usize {
        let mut peer = greeted(self).await;
        let (mut cursor, mut count) = (0, 0);
        loop {
            peer.send(ToRelay::Fetch {
                request: 1,
                tag: token(1).tag(),
                cursor,
                limit: 1024,
            })
            .await;
            let Some(FromRelay::Fetched { items, more, .. }) = peer.receive().await else {
                panic!("no answer");
            };
            (cursor, count) = (items.last().map_or(cursor, |last| last.0), count + items.len());
            if !more {
                return count;
            }
        }
    }
}

// proves: FWD-6
#[tokio::test]
async fn only_relays_that_the_operator_named_are_dialled_fwd_1() {
    let (far, stranger) = (House::new().await, House::new().await);
    let near = forwarding(&[&far.relay.route], Limits::default()).await;
    for (house, forwards) in [(&near, true), (&far, false)] {
        let mut peer = Peer::open(house).await;
        let secret = house.relay.route.secret;
        // Before it has heard the hello nobody forwards anything.
        peer.send(ToRelay::Hello {
            version: 1,
            features: 0,
            secret,
        })
        .await;
        let hello = peer.receive().await;
        assert!(matches!(hello, Some(FromRelay::Hello { features, .. }) if (features & FORWARDS != 0) == forwards));
    }
    let mut peer = greeted(&near).await;
    assert_eq!(
        open_channel(&mut peer, 1, &stranger.relay.route).await,
        shut(1, Refusal::NotHere)
    );
    assert_eq!(
        open_channel(&mut peer, 2, &near.relay.route).await,
        shut(2, Refusal::NotHere)
    );
    let mut other = greeted(&far).await;
    assert_eq!(
        open_channel(&mut other, 1, &far.relay.route).await,
        shut(1, Refusal::NotHere)
    );
    let mut early = Peer::open(&near).await;
    let relay = far.relay.route.relay;
    early
        .send(ToRelay::Forward(ForwardAsk::Open { channel: 1, relay }))
        .await;
    assert_eq!(early.receive().await, None, "before a hello there is no answer");
    // One that is named and does not answer.
    let address = far.relay.route.clone();
    far.relay.stop().await;
    assert_eq!(open_channel(&mut peer, 3, &address).await, shut(3, Refusal::NotHere));
}

#[tokio::test]
async fn channels_are_few_and_their_numbers_grow_fwd_5() {
    let far = House::new().await;
    let limits = Limits {
        forwards: 3,
        forwards_per_connection: 2,
        ..Limits::default()
    };
    let near = forwarding(&[&far.relay.route], limits).await;
    let (mut ana, mut bo) = (greeted(&near).await, greeted(&near).await);
    let route = &far.relay.route;
    for channel in [1, 2] {
        assert_eq!(
            open_channel(&mut ana, channel, route).await,
            ForwardTell::Open { channel }
        );
    }
    assert_eq!(
        open_channel(&mut ana, 3, route).await,
        shut(3, Refusal::Limit),
        "its own limit"
    );
    assert_eq!(open_channel(&mut bo, 1, route).await, ForwardTell::Open { channel: 1 });
    assert_eq!(
        open_channel(&mut bo, 2, route).await,
        shut(2, Refusal::Limit),
        "everybody's limit"
    );
    ana.send(ToRelay::Forward(ForwardAsk::Shut { channel: 1 })).await;
    assert_eq!(
        open_channel(&mut ana, 1, route).await,
        shut(1, Refusal::Limit),
        "an old number"
    );
    assert_eq!(open_channel(&mut ana, 4, route).await, ForwardTell::Open { channel: 4 });
    // A connection that goes takes its channels with it.
    ana.socket.close(None).await.unwrap();
    bo.socket.close(None).await.unwrap();
    let mut again = greeted(&near).await;
    let mut channel = 0;
    let opened = loop {
        channel += 1;
        match open_channel(&mut again, channel, route).await {
            ForwardTell::Open { .. } => break true,
            _ if channel < 200 => tokio::time::sleep(Duration::from_millis(50)).await,
            _ => break false,
        }
    };
    assert!(opened);
}

#[tokio::test]
async fn who_sends_more_than_its_window_is_shut_fwd_3() {
    // One that takes a connection and reads nothing.
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let route = RelayRoute {
        address: deaf.local_addr().unwrap().to_string(),
        relay: RelaySecret::from_seed(&[5; 32]).keys().id(),
        secret: None,
        lan: false,
    };
    let near = forwarding(&[&route], Limits::default()).await;
    let mut peer = greeted(&near).await;
    assert_eq!(
        open_channel(&mut peer, 1, &route).await,
        ForwardTell::Open { channel: 1 }
    );
    let (_held, _) = deaf.accept().await.unwrap();
    let mut sent = 0;
    // Keeps to its window until the other side takes nothing any more, then does not.
    let mut under_way = 0;
    let why = loop {
        peer.send(pass(1, vec![7; 32 << 10])).await;
        (sent, under_way) = (sent + (32 << 10), under_way + (32 << 10));
        let heard = timeout(Duration::from_millis(300), told(&mut peer)).await;
        match heard {
            Ok(ForwardTell::Took { bytes, .. }) => under_way -= bytes as usize,
            Ok(ForwardTell::Shut { why, .. }) => break why,
            Ok(other) => panic!("{other:?}"),
            Err(_) => {}
        }
        assert!(
            under_way <= WINDOW_BYTES + (32 << 10),
            "{under_way} under way and nobody minds"
        );
    };
    assert_eq!(why, Refusal::Limit);
    assert!(sent < 64 << 20, "{sent}");
    peer.send(pass(1, vec![1])).await;
    assert_eq!(told(&mut peer).await, shut(1, Refusal::NotHere), "it is gone");
    peer.send(ToRelay::Quota { request: 1 }).await;
    assert!(
        matches!(peer.receive().await, Some(FromRelay::Quota { .. })),
        "all else goes on"
    );
}

#[tokio::test]
async fn who_asks_for_channels_and_takes_no_answers_is_closed_fwd_3() {
    let near = forwarding(&[], Limits::default()).await;
    let mut peer = greeted(&near).await;
    let relay = near.relay.route.relay;
    let mut asks = Vec::new();
    for channel in 0..40_000 {
        ToRelay::Forward(ForwardAsk::Open { channel, relay }).encode(&mut asks);
    }
    for _ in 0..200 {
        peer.face.send(&asks).unwrap();
        peer.session.push(&peer.face.take_output());
        let message = peer.session.next(usize::MAX).unwrap();
        if peer.socket.send(Message::binary(message)).await.is_err() {
            return;
        }
    }
    panic!("200 MB of asking and no end");
}

#[tokio::test]
async fn who_takes_nothing_is_read_for_no_further_fwd_3() {
    // One that says more than anybody takes.
    let chatty = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let route = RelayRoute {
        address: chatty.local_addr().unwrap().to_string(),
        relay: RelaySecret::from_seed(&[5; 32]).keys().id(),
        secret: None,
        lan: false,
    };
    let near = forwarding(&[&route], Limits::default()).await;
    let mut peer = greeted(&near).await;
    tokio::spawn(async move {
        let (mut socket, _) = chatty.accept().await.unwrap();
        while socket.write_all(&[3; 16 << 10]).await.is_ok() {}
    });
    assert_eq!(
        open_channel(&mut peer, 1, &route).await,
        ForwardTell::Open { channel: 1 }
    );
    // It reads its socket and confirms nothing: what the relay keeps for it ends somewhere.
    let mut came = 0;
    while came < 240 << 10 {
        came += passed(&mut peer).await;
    }
    while let Ok(more) = timeout(Duration::from_secs(1), passed(&mut peer)).await {
        came += more;
        assert!(came < 400 << 10, "{came}");
    }
    while came < 1 << 20 {
        while let Some(message) = peer.session.next(usize::MAX) {
            peer.socket.send(Message::binary(message)).await.unwrap();
        }
        came += passed(&mut peer).await;
    }
}

async fn passed(peer: &mut Peer) -> usize {
    match told(peer).await {
        ForwardTell::Pass(passed) => passed.bytes.len(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_one_source_has_passed_on_is_paced_and_not_lost_fwd_5() {
    let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let route = RelayRoute {
        address: echo.local_addr().unwrap().to_string(),
        relay: RelaySecret::from_seed(&[5; 32]).keys().id(),
        secret: None,
        lan: false,
    };
    tokio::spawn(async move {
        let (socket, _) = echo.accept().await.unwrap();
        let (mut read, mut write) = socket.into_split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    });
    let limits = Limits {
        forward_bytes_per_s: 64 << 10,
        forward_bytes_max: 32 << 10,
        ..Limits::default()
    };
    let near = forwarding(&[&route], limits).await;
    let mut peer = greeted(&near).await;
    open_channel(&mut peer, 1, &route).await;
    let began = std::time::Instant::now();
    let bytes: Vec<u8> = (0..60_000_u32).map(|n| n as u8).collect();
    for part in bytes.chunks(10_000) {
        peer.send(pass(1, part.to_vec())).await;
    }
    let mut came = Vec::new();
    while came.len() < bytes.len() {
        if let ForwardTell::Pass(passed) = told(&mut peer).await {
            came.extend(passed.bytes);
        }
    }
    assert!(came == bytes);
    // 120,000 bytes both ways, of which 32,768 at once and 65,536 a second.
    assert!(began.elapsed() > Duration::from_millis(1_000), "{:?}", began.elapsed());
}

// proves: FWD-4
#[tokio::test]
async fn a_channel_ends_when_the_other_side_does_fwd_4() {
    let far = House::new().await;
    let near = forwarding(&[&far.relay.route], Limits::default()).await;
    let mut peer = greeted(&near).await;
    assert_eq!(
        open_channel(&mut peer, 1, &far.relay.route).await,
        ForwardTell::Open { channel: 1 }
    );
    peer.send(pass(1, b"GET / HTTP/1.1\r\n\r\n".to_vec())).await;
    let mut answer = Vec::new();
    loop {
        match told(&mut peer).await {
            ForwardTell::Pass(passed) => answer.extend(passed.bytes),
            ForwardTell::Shut { channel: 1, why } => break assert_eq!(why, Refusal::NotHere),
            ForwardTell::Took { channel: 1, bytes: 18 } => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(answer.starts_with(b"HTTP/1.1 404"), "what any stranger gets");
}
