//! Dead drops at servers that are full, slow, or gone in the middle of a request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use stonechat_transport::carrier::drop::{self, Drops};
use stonechat_transport::carrier::ws::Command;
use stonechat_transport::courier::Input;
use stonechat_wire::drop::drop_id;
use stonechat_wire::envelope::Envelope;

use super::*;

const SECRET: [u8; 16] = [0x5a; 16];

/// What a server does with what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Fine,
    Full,
    Busy,
    /// It reads all of it and hangs up.
    Gone,
    /// It keeps it and hangs up.
    GoneAfter,
    /// It answers nothing any more, whatever is asked.
    Mute,
    /// The folder is not there any more, nor what it lay in.
    NoFolder,
    /// What lies there is given later.
    Later,
    /// Its clock is a day ahead.
    Ahead,
}

/// A server that keeps files in memory.
#[derive(Clone)]
struct Odd {
    address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    mood: Mood,
    files: BTreeMap<String, Vec<u8>>,
}

impl Odd {
    async fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let inner = Inner {
            mood,
            files: BTreeMap::new(),
        };
        let odd = Self {
            address: listener.local_addr().unwrap(),
            inner: Arc::new(Mutex::new(inner)),
        };
        let serving = odd.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        odd
    }

    fn set(&self, mood: Mood) {
        self.inner.lock().unwrap().mood = mood;
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut bytes = Vec::new();
        while let Some((method, target, body)) = request(&mut stream, &mut bytes).await {
            let Some(answer) = self.answer(&method, &target, body) else {
                // Mute servers keep the connection, others end it.
                while self.inner.lock().unwrap().mood == Mood::Mute {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                return;
            };
            if stream.write_all(&answer).await.is_err() {
                return;
            }
        }
    }

    fn answer(&self, method: &str, target: &str, body: Vec<u8>) -> Option<Vec<u8>> {
        let mut inner = self.inner.lock().unwrap();
        let ahead = Duration::from_secs(if inner.mood == Mood::Ahead { 86_400 } else { 0 });
        let said = |status: &str, body: &[u8]| {
            let date = httpdate::fmt_http_date(std::time::SystemTime::now() + ahead);
            let head = format!(
                "HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            Some([head.as_bytes(), body].concat())
        };
        match (method, inner.mood) {
            (_, Mood::Mute) => None,
            ("PROPFIND", Mood::NoFolder) => said("404 Not Found", b""),
            (_, Mood::NoFolder) => said("409 Conflict", b""),
            ("GET", Mood::Later) => said("503 Busy", b""),
            ("PUT", Mood::Full) => said("507 Insufficient Storage", b""),
            ("PUT", Mood::Busy) => said("503 Busy", b""),
            ("PUT", Mood::Gone) => None,
            ("PUT", mood) => {
                inner.files.insert(target.to_owned(), body);
                if mood == Mood::GoneAfter {
                    None
                } else {
                    said("201 Created", b"")
                }
            }
            ("MKCOL", _) => said("405 It is there", b""),
            ("GET", _) => match inner.files.get(target) {
                Some(bytes) => said("200 OK", bytes),
                None => said("404 Not Found", b""),
            },
            ("PROPFIND", _) => said("207 Multi-Status", listing(&inner.files, target).as_bytes()),
            _ => said("204 No Content", b""),
        }
    }

    fn url(&self) -> String {
        format!("dav://{}/d", self.address)
    }
}

fn dial(address: &str) -> Dial {
    Dial {
        link: LinkId(1),
        relay: drop_id(&SECRET),
        keys: None,
        dice: fresh_seed(),
        session: fresh_id(),
        truck: Truck {
            address: address.to_owned(),
            path: DoorPath::from_bytes([0; 12]),
            load_max: 0,
            hello: Hello::Whole,
            over: Over::WebSocket,
            through: None,
        },
        means: Trust::system().into(),
        by: NamedBy::Person,
    }
}

async fn request(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<(String, String, Vec<u8>)> {
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut parsed = httparse::Request::new(&mut headers);
        if let httparse::Status::Complete(head) = parsed.parse(bytes).unwrap() {
            let length = parsed.headers.iter().find(|header| header.name == "Content-Length");
            let length: usize = std::str::from_utf8(length.unwrap().value).unwrap().parse().unwrap();
            let (method, target) = (parsed.method.unwrap().to_owned(), parsed.path.unwrap().to_owned());
            while bytes.len() < head + length {
                if stream.read_buf(bytes).await.ok()? == 0 {
                    return None;
                }
            }
            let body = bytes[head..head + length].to_vec();
            bytes.drain(..head + length);
            return Some((method, target, body));
        }
        if stream.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    }
}

fn listing(files: &BTreeMap<String, Vec<u8>>, folder: &str) -> String {
    let mut below: std::collections::BTreeSet<&str> = std::collections::BTreeSet::new();
    for path in files.keys().filter_map(|path| path.strip_prefix(folder)) {
        below.extend(path.split('/').next());
    }
    let response = |name: &&str| format!("<response><href>{folder}{name}</href></response>");
    let responses: String = below.iter().map(response).collect();
    format!("<multistatus xmlns=\"DAV:\">{responses}</multistatus>")
}

/// A link to a drop, without a courier.
pub(super) struct Bare {
    commands: mpsc::UnboundedSender<Command>,
    events: mpsc::Receiver<Input>,
    task: tokio::task::JoinHandle<()>,
}

impl Bare {
    pub(super) fn dial(address: &str, drops: &mut Drops) -> Self {
        let (commands, commands_in) = mpsc::unbounded_channel();
        let (events_out, events) = mpsc::channel(64);
        let dial = dial(address);
        let known = drops.of(dial.relay);
        let task = tokio::spawn(drop::carry(dial, known, commands_in, events_out));
        Self { commands, events, task }
    }

    /// The same, greeted.
    pub(super) async fn open(address: &str, drops: &mut Drops) -> Self {
        let mut bare = Self::dial(address, drops);
        assert!(matches!(bare.event().await, Input::Open { keys: None, .. }));
        bare.say(ToRelay::Hello {
            version: 1,
            features: 0,
            secret: Some(SECRET),
        });
        assert!(matches!(bare.frame().await, FromRelay::Hello { .. }));
        bare
    }

    /// Ends it.
    pub(super) async fn leave(self) {
        drop(self.commands);
        timeout(PATIENCE, self.task)
            .await
            .expect("the link ends when it is not wanted")
            .unwrap();
    }

    pub(super) fn say(&self, frame: ToRelay) {
        self.commands.send(Command::Send(frame)).unwrap();
    }

    pub(super) fn put(&self, request: u32, text: &str) -> EnvelopeId {
        let envelope = envelope(request, text);
        let id = envelope.id();
        let (token, ttl_s) = (token(1), 3600);
        let items = vec![PutItem { token, ttl_s, envelope }];
        self.say(ToRelay::Put { request, items });
        id
    }

    pub(super) fn listen(&self, cursor: u64) {
        let add = vec![(token(1).tag(), cursor)];
        self.say(ToRelay::Subscribe { add, drop: vec![] });
    }

    /// What comes next, but for what the person alone is told (WAY-4).
    pub(super) async fn event(&mut self) -> Input {
        loop {
            let event = timeout(PATIENCE, self.events.recv()).await.expect("in time");
            match event.expect("an event") {
                Input::Missed { .. } => {}
                event => return event,
            }
        }
    }

    pub(super) async fn frame(&mut self) -> FromRelay {
        match self.event().await {
            Input::Frames { mut frames, .. } if frames.len() == 1 => frames.remove(0),
            other => panic!("{other:?}"),
        }
    }
}

/// What is put by that request.
pub(super) fn envelope(request: u32, text: &str) -> Envelope {
    let mut seed = [0; 16];
    seed[..4].copy_from_slice(&request.to_be_bytes());
    seal(&KEY, token(1).tag(), seed, text.as_bytes()).unwrap()
}

#[tokio::test]
async fn a_full_or_busy_server_has_stored_nothing_drp_6() {
    let odd = Odd::start(Mood::Full).await;
    let mut ana = Bare::open(&odd.url(), &mut Drops::default()).await;
    ana.put(1, "hello");
    let why = Refusal::NoRoom;
    assert_eq!(ana.frame().await, FromRelay::Refused { request: 1, why });
    odd.set(Mood::Busy);
    ana.put(2, "hello");
    assert!(matches!(ana.frame().await, FromRelay::Busy { .. }));
    odd.set(Mood::Fine);
    let id = ana.put(3, "hello");
    let ids = vec![id];
    assert_eq!(ana.frame().await, FromRelay::Stored { request: 3, ids });
}

#[tokio::test]
async fn nothing_is_stored_before_the_server_says_so_drp_6() {
    for (mood, copies) in [(Mood::Gone, 1), (Mood::GoneAfter, 2)] {
        let odd = Odd::start(mood).await;
        let mut drops = Drops::default();
        let mut ana = Bare::open(&odd.url(), &mut drops).await;
        ana.put(1, "hello");
        let why = Lost::Broken;
        assert!(
            matches!(ana.event().await, Input::Lost { why: lost, .. } if lost == why),
            "{mood:?}"
        );
        odd.set(Mood::Fine);
        let mut again = Bare::open(&odd.url(), &mut drops).await;
        again.listen(0);
        let id = again.put(1, "hello");
        let mut stored = false;
        let mut arrived = Vec::new();
        // What a server kept without saying so comes as well.
        while !stored || arrived.len() < copies {
            match again.frame().await {
                FromRelay::Stored { ids, .. } => stored = ids == [id],
                FromRelay::Arrived { cursor, envelope, .. } => arrived.push((cursor, envelope)),
                other => panic!("{other:?}"),
            }
        }
        assert!(arrived.is_sorted_by(|a, b| a.0 < b.0) && arrived.iter().all(|(_, bytes)| *bytes == arrived[0].1));
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_holds_nobody_drp_9() {
    let odd = Odd::start(Mood::Mute).await;
    let mut drops = Drops::default();
    let bare = Bare::dial(&odd.url(), &mut drops);
    tokio::time::sleep(Duration::from_millis(300)).await;
    bare.leave().await;
    odd.set(Mood::Fine);
    let ana = Bare::open(&odd.url(), &mut drops).await;
    odd.set(Mood::Mute);
    ana.put(1, "hello");
    ana.commands.send(Command::Ping).unwrap();
    let mut events = ana.events;
    assert!(matches!(
        timeout(PATIENCE, events.recv()).await,
        Ok(Some(Input::Heard { .. }))
    ));
    drop(ana.commands);
    timeout(PATIENCE, ana.task)
        .await
        .expect("nor does it wait for an answer")
        .unwrap();
}

#[tokio::test]
async fn another_drops_secret_opens_nothing_drp_2() {
    let odd = Odd::start(Mood::Fine).await;
    let mut bare = Bare::dial(&odd.url(), &mut Drops::default());
    assert!(matches!(bare.event().await, Input::Open { .. }));
    bare.say(ToRelay::Hello {
        version: 1,
        features: 0,
        secret: Some([1; 16]),
    });
    assert!(matches!(
        bare.event().await,
        Input::Lost {
            why: Lost::WrongKeys,
            ..
        }
    ));
}

#[tokio::test]
async fn what_is_not_given_for_a_while_is_read_later_drp_9() {
    let odd = Odd::start(Mood::Later).await;
    let mut ana = Bare::open(&odd.url(), &mut Drops::default()).await;
    ana.listen(0);
    ana.put(1, "hello");
    assert!(matches!(ana.frame().await, FromRelay::Stored { .. }));
    tokio::time::sleep(Duration::from_secs(3)).await;
    odd.set(Mood::Fine);
    let later = timeout(Duration::from_secs(60), ana.events.recv()).await;
    assert!(matches!(later, Ok(Some(Input::Frames { .. }))), "{later:?}");
}

#[tokio::test]
async fn a_thousand_files_that_do_not_open_hold_nobody_up_for_long_drp_9() {
    let odd = Odd::start(Mood::Fine).await;
    let today = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() / 86_400;
    let mut ana = Bare::open(&odd.url(), &mut Drops::default()).await;
    ana.put(1, "hello");
    assert!(matches!(ana.frame().await, FromRelay::Stored { .. }));
    for n in 0..1000_u128 {
        let name = format!("/d/{today}/{:032x}", n * 0x0041_1040_0000_0000_0000_0000_0000_0000);
        odd.inner.lock().unwrap().files.insert(name, vec![0; 4096]);
    }
    let mut bo = Bare::open(&odd.url(), &mut Drops::default()).await;
    bo.listen(0);
    let read = timeout(Duration::from_secs(60), bo.events.recv()).await;
    assert!(matches!(read, Ok(Some(Input::Frames { .. }))), "{read:?}");
}

#[tokio::test]
async fn a_folder_that_is_taken_away_ends_the_link_and_the_next_one_makes_it_drp_6() {
    let odd = Odd::start(Mood::Fine).await;
    for puts in [true, false] {
        let mut ana = Bare::open(&odd.url(), &mut Drops::default()).await;
        ana.listen(0);
        ana.put(7, "hello");
        while !matches!(ana.frame().await, FromRelay::Arrived { .. }) {}
        odd.set(Mood::NoFolder);
        if puts {
            ana.put(1, "hello");
        }
        while !matches!(ana.event().await, Input::Lost { why: Lost::Broken, .. }) {}
        odd.set(Mood::Fine);
    }
    Bare::open(&odd.url(), &mut Drops::default()).await;
}

#[tokio::test]
async fn a_clock_that_was_set_ends_the_link_drp_10() {
    let odd = Odd::start(Mood::Fine).await;
    let mut ana = Bare::open(&odd.url(), &mut Drops::default()).await;
    odd.set(Mood::Ahead);
    let why = Lost::Broken;
    assert!(matches!(ana.event().await, Input::Lost { why: lost, .. } if lost == why));
}
