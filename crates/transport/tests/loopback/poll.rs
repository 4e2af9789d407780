//! Long polls: through a real nginx that passes no upgrade, and by hand.

use std::time::Instant;

use stonechat_relay::{Front, Telling};
use stonechat_wire::session::HEADER;

use super::cover::{More, Nginx, free_address};
use super::tls::certificate;
use super::*;

/// An nginx that passes requests on as it does by itself: HTTP/1.0, and no upgrade.
async fn plain_nginx(to: SocketAddr) -> (Nginx, SocketAddr) {
    let at = free_address().await;
    let http = format!("server {{ listen {at}; location / {{ proxy_pass http://{to}; }} }}");
    let nginx = Nginx::with(&More {
        http,
        ..More::default()
    })
    .await;
    (nginx, at)
}

fn at(route: &RelayRoute, address: SocketAddr) -> RelayRoute {
    RelayRoute {
        address: address.to_string(),
        ..route.clone()
    }
}

/// So many texts each way, each of which arrives once.
async fn talk(ana: &mut Client, bo: &mut Client, count: usize) {
    ana.listen(&[(token(2).tag(), 0)]).await;
    bo.listen(&[(token(1).tag(), 0)]).await;
    let (mut from_ana, mut from_bo) = (Vec::new(), Vec::new());
    for n in 0..count {
        from_ana.push(ana.put(1, &format!("message {n}")).await);
        from_bo.push(bo.put(2, &format!("answer {n}")).await);
    }
    assert_eq!(bo.until_arrived(&from_ana).await.len(), count);
    assert_eq!(ana.until_arrived(&from_bo).await.len(), count);
}

#[tokio::test]
// proves: TRK-10
async fn two_people_talk_through_a_web_server_that_passes_no_upgrade_rly_47() {
    let house = House::new().await;
    let (_nginx, address) = plain_nginx(house.relay.local_addr).await;
    let route = at(&house.relay.route, address);
    let began = Instant::now();
    let (mut ana, mut bo) = (Client::new(&route).await, Client::new(&route).await);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    talk(&mut ana, &mut bo, 100).await;
    let wanted = format!("\"polls\":{{\"{address}|{}\"", address.port());
    let mut remembered = ana.handle.remembered();
    let known = remembered.wait_for(|known| known.to_text().contains(&wanted));
    assert!(
        timeout(PATIENCE, known).await.is_ok_and(|known| known.is_ok()),
        "and it is kept"
    );
    // Both wait by now, and each of these comes while the other one does.
    for n in 0..5 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let began = Instant::now();
        let sent = ana.put(1, &format!("later {n}")).await;
        assert_eq!(bo.until_arrived(&[sent]).await.len(), 1);
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn two_people_talk_inside_tls_where_a_front_passes_no_upgrade_rly_47() {
    let folder = tempfile::tempdir().unwrap();
    let (trust, files) = certificate(folder.path(), "127.0.0.1");
    let site = Nginx::with(&More::default()).await;
    let before = free_address().await;
    let relay = Relay::start(Config {
        advertise: Some(before.to_string()),
        front: Some(Front {
            telling: Telling::Http,
            at: vec![],
        }),
        cover: CoverChoice::Proxy(site.address.to_string()),
        ..config(folder.path(), "127.0.0.1:0".parse().unwrap())
    })
    .await
    .unwrap();
    let http = format!(
        "server {{ listen {before} ssl; ssl_certificate {}; ssl_certificate_key {}; ssl_protocols TLSv1.3;\n\
         location / {{ proxy_pass http://{}; proxy_set_header X-Forwarded-For $remote_addr; }} }}",
        files.cert.display(),
        files.key.display(),
        relay.local_addr
    );
    let _nginx = Nginx::with(&More {
        http,
        ..More::default()
    })
    .await;
    let mut people = Vec::new();
    for _ in 0..2 {
        let started = Transport::start_trusting(trust.clone(), fresh_seed(), Remembered::default());
        let mut client = Client::starting(started);
        client.greet(&relay.route).await;
        people.push(client);
    }
    let [ana, bo] = people.as_mut_slice() else { panic!() };
    talk(ana, bo, 50).await;
}

#[tokio::test]
async fn requests_that_are_cut_off_are_said_again_in_the_same_session_rly_47() {
    let house = House::new().await;
    let (_nginx, inner) = plain_nginx(house.relay.local_addr).await;
    let proxy = Proxy::before(inner, 100_000).await;
    let mut ana = Client::new(&at(&house.relay.route, proxy.address)).await;
    let mut left = std::collections::BTreeSet::new();
    for n in 0..300 {
        left.insert(ana.put(1, &format!("{n} {}", "x".repeat(2_000))).await);
    }
    let sent: Vec<_> = left.iter().copied().collect();
    while !left.is_empty() {
        match ana.news().await {
            News::Stored { ids, .. } => ids.iter().for_each(|id| assert!(left.remove(id), "told twice")),
            News::Gone { .. } => panic!("the session goes on"),
            _ => {}
        }
    }
    let mut bo = Client::new(&house.relay.route).await;
    bo.listen(&[(token(1).tag(), 0)]).await;
    assert_eq!(bo.until_arrived(&sent).await.len(), 300, "one copy of each");
    let cuts = proxy.cuts.load(std::sync::atomic::Ordering::Relaxed);
    assert!(cuts >= 3, "{cuts}");
}

#[tokio::test]
async fn a_connection_that_has_brought_a_request_is_no_visitor_of_the_site_rly_42() {
    let folder = tempfile::tempdir().unwrap();
    let site = Nginx::with(&More::default()).await;
    let relay = Relay::start(Config {
        cover: CoverChoice::Proxy(site.address.to_string()),
        ..config(folder.path(), "127.0.0.1:0".parse().unwrap())
    })
    .await
    .unwrap();
    let house = House { relay, folder };
    let mut hand = Hand::greeted(&house).await;
    // Longer than a first request is waited for.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(hand.quota(1).await, [1]);
    // What follows and is none of ours is the site's all the same.
    hand.stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let page = answer(&mut hand.stream).await.unwrap();
    assert!(String::from_utf8_lossy(&page.body).contains("Bees"), "{}", page.head);
}

#[tokio::test]
async fn who_leaves_after_a_request_is_no_visitor_of_the_site_rly_42() {
    let folder = tempfile::tempdir().unwrap();
    let site = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = Relay::start(Config {
        cover: CoverChoice::Proxy(site.local_addr().unwrap().to_string()),
        ..config(folder.path(), "127.0.0.1:0".parse().unwrap())
    })
    .await
    .unwrap();
    let house = House { relay, folder };
    let mut hand = Hand::greeted(&house).await;
    assert_eq!(hand.quota(1).await, [1]);
    drop(hand);
    let visit = timeout(Duration::from_millis(500), site.accept()).await;
    assert!(visit.is_err());
}

#[tokio::test]
async fn before_a_front_a_connection_carries_one_request_rly_46() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::start(Config {
        front: Some(Front {
            telling: Telling::Http,
            at: vec![],
        }),
        ..config(folder.path(), "127.0.0.1:0".parse().unwrap())
    })
    .await
    .unwrap();
    let house = House { relay, folder };
    let parts = Parts {
        id: fresh_id(),
        session: Session::default(),
        face: FaceClient::asking(house.relay.route.relay, fresh_seed()),
    };
    let mut hand = Hand::of(&house, parts).await;
    let body = hand.body(&[], true);
    let request = hand.request(&body);
    hand.stream.write_all(&request).await.unwrap();
    let told = answer(&mut hand.stream).await.unwrap();
    assert!(told.head.contains("\r\nConnection: close\r\n"), "{}", told.head);
    assert!(answer(&mut hand.stream).await.is_none(), "and it is closed");
}

/// A client by hand whose messages are requests.
struct Hand {
    at: SocketAddr,
    stream: TcpStream,
    path: String,
    peer: Parts,
}

/// What is left of a peer without its socket.
struct Parts {
    id: [u8; 16],
    session: Session,
    face: FaceClient,
}

struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Hand {
    /// A session of its own, whose face is open.
    async fn open(house: &House) -> Self {
        let parts = Parts {
            id: fresh_id(),
            session: Session::default(),
            face: FaceClient::asking(house.relay.route.relay, fresh_seed()),
        };
        let mut hand = Self::of(house, parts).await;
        while !hand.peer.face.is_open() {
            assert_eq!(hand.ask(&[]).await.unwrap(), []);
        }
        hand
    }

    async fn of(house: &House, peer: Parts) -> Self {
        let at = house.relay.local_addr;
        let stream = TcpStream::connect(at).await.unwrap();
        let path = path_of(&house.relay.route).to_text();
        Self { at, stream, path, peer }
    }

    async fn greeted(house: &House) -> Self {
        let mut hand = Self::open(house).await;
        let hello = ToRelay::Hello {
            version: 1,
            features: 0,
            secret: house.relay.route.secret,
        };
        let answer = hand
            .until(&[hello], |frame| matches!(frame, FromRelay::Hello { .. }))
            .await;
        assert!(matches!(answer[..], [FromRelay::Hello { .. }]), "{answer:?}");
        hand
    }

    /// What the next request says: these frames, and that it wants an answer at once, or not.
    fn body(&mut self, frames: &[ToRelay], at_once: bool) -> Vec<u8> {
        for frame in frames {
            let mut bytes = Vec::new();
            frame.encode(&mut bytes);
            self.peer.face.send(&bytes).unwrap();
        }
        let session = &mut self.peer.session;
        session.push(&self.peer.face.take_output());
        session.board_request(0);
        session.owe();
        if at_once {
            session.ping();
        }
        let message = session.next(60_000).unwrap();
        let (id, load_max) = (self.peer.id, 0);
        Opening { id, load_max }.before(&message)
    }

    fn request(&self, body: &[u8]) -> Vec<u8> {
        let (path, length) = (&self.path, body.len());
        let head = format!("POST /{path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        [head.as_bytes(), body].concat()
    }

    /// One request that wants an answer. Out: the frames in it.
    async fn ask(&mut self, frames: &[ToRelay]) -> Option<Vec<FromRelay>> {
        let body = self.body(frames, frames.is_empty());
        let request = self.request(&body);
        self.stream.write_all(&request).await.unwrap();
        let answer = answer(&mut self.stream).await?;
        Some(self.take(&answer))
    }

    /// The same, and further requests until such a frame has come. Out: all frames.
    async fn until(&mut self, frames: &[ToRelay], wanted: impl Fn(&FromRelay) -> bool) -> Vec<FromRelay> {
        let mut all = self.ask(frames).await.expect("the connection stands");
        while !all.iter().any(&wanted) {
            let body = self.body(&[], false);
            let request = self.request(&body);
            self.stream.write_all(&request).await.unwrap();
            let answer = answer(&mut self.stream).await.expect("the connection stands");
            all.extend(self.take(&answer));
        }
        all
    }

    /// Asks for the quota. Out: the numbers of all answers up to this one.
    async fn quota(&mut self, number: u32) -> Vec<u32> {
        let is_it = |frame: &FromRelay| matches!(frame, FromRelay::Quota { request, .. } if *request == number);
        requests(&self.until(&[quota(number)], is_it).await)
    }

    fn take(&mut self, answer: &Answer) -> Vec<FromRelay> {
        assert!(answer.head.starts_with("HTTP/1.1 200 OK\r\n"), "{}", answer.head);
        assert!(answer.head.contains("Cache-Control: no-store\r\n"), "{}", answer.head);
        let bytes = self.peer.session.take(&answer.body).unwrap().bytes;
        let messages = self.peer.face.receive(&bytes).unwrap();
        let frames = messages
            .iter()
            .flat_map(|message| FromRelay::decode_all(message).unwrap());
        frames.collect()
    }

    /// Another connection of the same client.
    async fn other(&self) -> TcpStream {
        TcpStream::connect(self.at).await.unwrap()
    }
}

/// One answer; nothing where the connection ends before.
async fn answer(stream: &mut TcpStream) -> Option<Answer> {
    timeout(PATIENCE, async {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            bytes.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(bytes).unwrap();
        let length = head.split("Content-Length: ").nth(1)?.split("\r\n").next()?;
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).await.ok()?;
        Some(Answer { head, body })
    })
    .await
    .expect("an answer or the end")
}

fn quota(request: u32) -> ToRelay {
    ToRelay::Quota { request }
}

fn requests(frames: &[FromRelay]) -> Vec<u32> {
    let numbers = frames.iter().filter_map(|frame| match frame {
        FromRelay::Quota { request, .. } => Some(*request),
        _ => None,
    });
    numbers.collect()
}

#[tokio::test]
async fn a_thousand_requests_go_over_one_connection_rly_47() {
    let house = House::new().await;
    let mut hand = Hand::greeted(&house).await;
    for n in 0..1_000 {
        assert_eq!(hand.quota(n).await, [n]);
    }
}

#[tokio::test]
async fn a_request_waits_until_there_is_something_to_say_rly_47() {
    let house = House::new().await;
    let mut hand = Hand::greeted(&house).await;
    let subscribe = ToRelay::Subscribe {
        add: vec![(token(1).tag(), 0)],
        drop: vec![],
    };
    let began = Instant::now();
    assert_eq!(hand.ask(&[subscribe]).await.unwrap(), [], "what it brought has come");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let body = hand.body(&[], false);
    let waiting = hand.request(&body);
    hand.stream.write_all(&waiting).await.unwrap();
    let early = timeout(Duration::from_millis(600), hand.stream.peek(&mut [0])).await;
    assert!(early.is_err(), "nothing yet");
    let mut ana = Client::new(&house.relay.route).await;
    let sent = ana.put(1, "hello").await;
    ana.until_stored(&[sent]).await;
    let told = answer(&mut hand.stream).await.unwrap();
    assert!(matches!(hand.take(&told)[..], [FromRelay::Arrived { .. }]));
    // Nothing more: it waits for its time, and is told so.
    let body = hand.body(&[], false);
    let waiting = hand.request(&body);
    let began = Instant::now();
    hand.stream.write_all(&waiting).await.unwrap();
    let told = answer(&mut hand.stream).await.unwrap();
    assert_eq!((hand.take(&told), told.body.len()), (vec![], HEADER));
    let waited = began.elapsed();
    assert!(
        (Duration::from_secs(19)..Duration::from_secs(25)).contains(&waited),
        "{waited:?}"
    );
}

#[tokio::test]
async fn of_two_requests_that_wait_the_first_is_let_go_rly_47() {
    let house = House::new().await;
    let mut hand = Hand::greeted(&house).await;
    let (first, second) = (hand.body(&[], false), hand.body(&[], false));
    let (first, second) = (hand.request(&first), hand.request(&second));
    hand.stream.write_all(&first).await.unwrap();
    let mut other = hand.other().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    other.write_all(&second).await.unwrap();
    let told = timeout(Duration::from_secs(5), answer(&mut hand.stream))
        .await
        .expect("at once")
        .unwrap();
    assert_eq!((hand.take(&told), told.body.len()), (vec![], HEADER));
    let early = timeout(Duration::from_millis(300), other.peek(&mut [0])).await;
    assert!(early.is_err(), "the other one waits");
    assert_eq!(hand.quota(7).await, [7], "and is let go too");
    let told = timeout(Duration::from_secs(5), answer(&mut other))
        .await
        .expect("at once")
        .unwrap();
    assert_eq!(hand.take(&told), []);
}

#[tokio::test]
async fn a_request_that_is_cut_midway_and_said_again_doubles_nothing_ses_3() {
    let house = House::new().await;
    let mut hand = Hand::greeted(&house).await;
    let body = hand.body(&[quota(1)], false);
    let whole = hand.request(&body);
    for cut in [10, whole.len() - body.len(), whole.len() - 1] {
        let mut half = hand.other().await;
        half.write_all(&whole[..cut]).await.unwrap();
    }
    // Its answer is lost, and it comes twice more.
    let mut lost = hand.other().await;
    lost.write_all(&whole).await.unwrap();
    let _ = timeout(Duration::from_millis(200), lost.peek(&mut [0])).await;
    drop(lost);
    let mut all = Vec::new();
    for _ in 0..2 {
        hand.stream.write_all(&whole).await.unwrap();
        let told = answer(&mut hand.stream).await.unwrap();
        all.extend(requests(&hand.take(&told)));
    }
    all.extend(hand.quota(2).await);
    assert_eq!(all, [1, 2]);
}

#[tokio::test]
async fn a_session_goes_from_a_websocket_to_requests_and_back_ses_3() {
    let house = House::new().await;
    let mut peer = Peer::open(&house).await;
    peer.hello(house.relay.route.secret).await;
    let mut seen = Vec::new();
    for round in 0..3 {
        peer.send(quota(3 * round)).await;
        let Peer {
            id,
            socket,
            session,
            face,
            ..
        } = peer;
        // What was asked may be answered on the next one.
        let mut hand = Hand::of(&house, Parts { id, session, face }).await;
        seen.extend(hand.quota(3 * round + 1).await);
        drop(socket);
        let Parts {
            id,
            mut session,
            mut face,
        } = hand.peer;
        let mut bytes = Vec::new();
        quota(3 * round + 2).encode(&mut bytes);
        face.send(&bytes).unwrap();
        session.push(&face.take_output());
        session.board(0);
        let message = session.next(usize::MAX).unwrap();
        let mut socket = upgraded(&house).await;
        let opening = Opening { id, load_max: 0 };
        socket.send(Message::binary(opening.before(&message))).await.unwrap();
        peer = Peer {
            id,
            socket,
            session,
            face,
            waiting: Default::default(),
        };
        while seen.last() != Some(&(3 * round + 2)) {
            let frame = peer.receive().await.expect("the session goes on");
            seen.extend(requests(&[frame]));
        }
    }
    assert_eq!(seen, (0..9).collect::<Vec<_>>(), "each once, in order");
}

#[tokio::test]
async fn what_is_no_request_of_a_session_is_the_covers_rly_30() {
    let limits = Limits {
        hello_ms: 400,
        ..Limits::default()
    };
    let house = House::with(limits).await;
    let relay = house.relay.local_addr;
    let path = path_of(&house.relay.route).to_text();
    let post = |path: &str, length: usize, body: &[u8]| {
        let head = format!("POST /{path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        [head.as_bytes(), body].concat()
    };
    let elsewhere = raw(relay, &post("AAAABBBBCCCCDDDD", 99, &[7; 99])).await;
    assert!(
        elsewhere.starts_with(b"HTTP/1.1 405 "),
        "{}",
        String::from_utf8_lossy(&elsewhere)
    );
    // A session that is not there, one that would begin, with no handshake in it, and bodies of other lengths.
    let unknown = [&[5; 16][..], &[0; 4], &[0], &[0; 7], &[9; 9], b"x"].concat();
    let beginning = [&[6; 16][..], &[0; 4], &[0; 17], &[0, 3, 9, 9, 9]].concat();
    for (name, request) in [
        ("an unknown session", post(&path, unknown.len(), &unknown)),
        ("no handshake", post(&path, beginning.len(), &beginning)),
        ("a short one", post(&path, 36, &[0; 36])),
        ("a giant one", post(&path, 65_574, &[0; 100])),
        ("a proof's length", post(&path, 16, &[0; 16])),
        ("none", post(&path, 0, b"")),
    ] {
        assert_eq!(raw(relay, &request).await, elsewhere, "{name}");
    }
    let began = Instant::now();
    assert_eq!(raw(relay, &post(&path, 99, &[7; 50])).await, b"", "half a body");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_body_of_whoever_has_said_hello_may_come_slowly_rly_47() {
    let limits = Limits {
        hello_ms: 400,
        ..Limits::default()
    };
    let house = House::with(limits).await;
    let mut hand = Hand::greeted(&house).await;
    let body = hand.body(&[quota(1)], false);
    let whole = hand.request(&body);
    let (first, second) = whole.split_at(whole.len() - 20);
    hand.stream.write_all(first).await.unwrap();
    tokio::time::sleep(Duration::from_millis(900)).await;
    hand.stream.write_all(second).await.unwrap();
    let told = answer(&mut hand.stream).await.unwrap();
    let mut all = requests(&hand.take(&told));
    all.extend(hand.quota(2).await);
    assert_eq!(all, [1, 2]);
}

#[tokio::test]
async fn a_session_over_requests_has_a_strangers_place_until_its_hello_rly_33() {
    let limits = Limits {
        strangers_per_address: 3,
        hello_ms: 4_000,
        ..Limits::default()
    };
    let house = House::with(limits).await;
    let began = |id: u8| {
        let mut face = FaceClient::asking(house.relay.route.relay, [id; 32]);
        let mut session = Session::default();
        session.push(&face.take_output());
        session.board(0);
        let opening = Opening {
            id: [id; 16],
            load_max: 0,
        };
        opening.before(&session.next(99).unwrap())
    };
    let path = path_of(&house.relay.route).to_text();
    let ask = async |id: u8| {
        let body = began(id);
        let mut stream = TcpStream::connect(house.relay.local_addr).await.unwrap();
        let head = format!(
            "POST /{path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
        drop(stream);
        tokio::time::sleep(Duration::from_millis(300)).await;
        answer.starts_with(b"HTTP/1.1 200 OK")
    };
    assert!(
        ask(1).await && ask(2).await,
        "their connections are over, their places are not"
    );
    assert!(!ask(3).await, "a third session and its connection are too many");
    tokio::time::sleep(Duration::from_millis(4_500)).await;
    assert!(ask(4).await, "without a hello they end");
}
