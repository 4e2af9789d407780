//! An nginx that holds the certificate before the relay, set up as docs/operate/relay.md says: what strangers see is
//! held against the same nginx before the same site without a relay, TLS and all.

use stonechat_relay::listen::TlsFiles;
use stonechat_relay::{Front, Telling};
use stonechat_transport::carrier::outer::reach;
use tokio::net::TcpSocket;

use super::cover::{More, Nginx, PROBERS, free_address, probe_on, probes};
use super::tls::certificate;
use super::*;

/// What an operator copies.
const GUIDE: &str = include_str!("../../../../docs/operate/relay.md");
/// Where the stream module lies on Debian.
const STREAM_MODULE: &str = "load_module /usr/lib/nginx/modules/ngx_stream_module.so;";

/// The block of the guide that begins with this line, with its places and files replaced.
fn from_guide(begins: &str, replaced: &[(&str, String)]) -> String {
    let mut blocks = GUIDE.split("```nginx\n").skip(1);
    let block = blocks
        .find(|block| block.starts_with(begins))
        .expect("a block of the guide");
    let mut text = block.split("```").next().unwrap().to_owned();
    for (old, new) in replaced {
        assert!(text.contains(old), "{old} in {text}");
        text = text.replace(old, new);
    }
    text
}

/// A relay behind an nginx, and the same nginx before the site alone.
struct Behind {
    relay: Running,
    /// Where the nginx passes on to the relay.
    before: SocketAddr,
    /// Where it passes on to the site.
    alone: SocketAddr,
    trust: Trust,
    door: String,
    _nginx: [Nginx; 2],
    _folder: tempfile::TempDir,
}

impl Behind {
    async fn http() -> Self {
        Self::new(Telling::Http).await
    }

    async fn new(telling: Telling) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (trust, files) = certificate(folder.path(), "127.0.0.1");
        let site = Nginx::with(&More::default()).await;
        let (before, alone) = (free_address().await, free_address().await);
        let relay = Relay::start(Config {
            advertise: Some(before.to_string()),
            front: Some(Front { telling, at: vec![] }),
            cover: CoverChoice::Proxy(site.address.to_string()),
            ..config(folder.path(), "127.0.0.1:0".parse().unwrap())
        })
        .await
        .unwrap();
        let front = match telling {
            Telling::Http => More {
                http: [
                    http_server(&files, before, relay.local_addr),
                    // What stands outside of the servers is there once.
                    http_server(&files, alone, site.address)
                        .split_once("}\n")
                        .unwrap()
                        .1
                        .to_owned(),
                ]
                .concat(),
                ..More::default()
            },
            Telling::ProxyProtocol => More {
                first: STREAM_MODULE.into(),
                last: stream_server(&files, before, relay.local_addr),
                ..More::default()
            },
        };
        let nginx = Nginx::with(&front).await;
        let mut behind = Self {
            relay,
            before,
            alone,
            trust,
            door: String::new(),
            _nginx: [site, nginx],
            _folder: folder,
        };
        behind.open_door().await;
        behind
    }

    /// A door that stands, and answers through the nginx.
    async fn open_door(&mut self) {
        let secret = InviteSecret::from_bytes([5; 20]);
        let mut owner = self.client().await;
        owner.open_door(&secret, card(1)).await;
        let address = &self.relay.route.address;
        let opened = knock(
            address,
            secret.path(),
            secret.proof(),
            vec![],
            &self.trust.clone().into(),
        )
        .await;
        assert_eq!(opened.unwrap(), card(1));
        let rest = knock(
            address,
            secret.path(),
            secret.proof(),
            card(1)[..9000].to_vec(),
            &self.trust.clone().into(),
        )
        .await;
        assert_eq!(rest.unwrap(), card(1), "what is left of it");
        self.door = secret.path().to_text();
    }

    async fn client(&self) -> Client {
        let trust = self.trust.clone();
        let mut client = Client::starting(Transport::start_trusting(trust, fresh_seed(), Remembered::default()));
        client.greet(&self.relay.route).await;
        client
    }

    async fn probe(&self, address: SocketAddr, pieces: &[Vec<u8>]) -> (String, bool) {
        let (stream, _) = reach(&format!("https://{address}"), &self.trust.clone().into())
            .await
            .unwrap();
        probe_on(stream, pieces).await
    }
}

fn http_server(files: &TlsFiles, at: SocketAddr, to: SocketAddr) -> String {
    let replaced = [
        ("443", at.to_string()),
        (
            "/etc/letsencrypt/live/example.org/fullchain.pem",
            files.cert.display().to_string(),
        ),
        (
            "/etc/letsencrypt/live/example.org/privkey.pem",
            files.key.display().to_string(),
        ),
        ("127.0.0.1:7481", to.to_string()),
    ];
    from_guide("map", &replaced)
}

fn stream_server(files: &TlsFiles, at: SocketAddr, to: SocketAddr) -> String {
    let replaced = [
        ("443", at.to_string()),
        (
            "/etc/letsencrypt/live/example.org/fullchain.pem",
            files.cert.display().to_string(),
        ),
        (
            "/etc/letsencrypt/live/example.org/privkey.pem",
            files.key.display().to_string(),
        ),
        ("127.0.0.1:7481", to.to_string()),
    ];
    from_guide("stream", &replaced)
}

#[tokio::test]
async fn a_prober_cannot_tell_a_relay_behind_an_nginx_from_that_nginx_rly_46() {
    let behind = Behind::http().await;
    let relay = path_of(&behind.relay.route).to_text();
    let probes = probes(&behind.door, &relay);
    assert!(probes.len() >= 60, "{}", probes.len());
    for some in probes.chunks(PROBERS) {
        let answers = some.iter().map(|(_, pieces)| async {
            tokio::join!(behind.probe(behind.alone, pieces), behind.probe(behind.before, pieces))
        });
        let answers = futures_util::future::join_all(answers).await;
        for ((name, _), (alone, before)) in some.iter().zip(answers) {
            let (alone, before) = (as_one(&alone, behind.alone), as_one(&before, behind.before));
            assert_eq!(before, alone, "{name}");
        }
    }
}

/// The two stand at different ports, which a page's new address may name.
fn as_one((answer, is_closed): &(String, bool), at: SocketAddr) -> (String, bool) {
    (answer.replace(&at.port().to_string(), "PORT"), *is_closed)
}

/// A ClientHello as one program or another says it.
struct Hello {
    name: &'static str,
    version: u16,
    ciphers: &'static [u16],
    versions: &'static [u16],
    protocols: &'static [&'static str],
    groups: &'static [u16],
    server_name: bool,
}

const OLD: &[u16] = &[0xc02b, 0xc02c, 0xcca9, 0xc009, 0xc00a, 0x009c, 0x002f, 0x0035, 0x000a];

impl Hello {
    const ALL: [Self; 12] = [
        Self::of("a browser"),
        Self {
            protocols: &["http/1.1"],
            ..Self::of("a WebSocket")
        },
        Self {
            protocols: &["spdy/1", "hq"],
            ..Self::of("strange protocols")
        },
        Self {
            protocols: &[],
            ..Self::of("no protocols")
        },
        Self {
            versions: &[0x0303],
            ..Self::of("1.2 only")
        },
        Self {
            versions: &[],
            ciphers: OLD,
            ..Self::of("1.2 without versions")
        },
        Self {
            versions: &[],
            version: 0x0301,
            ciphers: OLD,
            ..Self::of("1.0")
        },
        Self {
            versions: &[0x0304],
            ciphers: &[0x1303, 0x1301],
            ..Self::of("another order")
        },
        Self {
            versions: &[0x0304],
            ciphers: &[0x13ff],
            ..Self::of("no cipher in common")
        },
        Self {
            groups: &[0x0018],
            ..Self::of("another group")
        },
        Self {
            groups: &[0x11ec],
            versions: &[0x0304],
            ..Self::of("a group that nobody has")
        },
        Self {
            server_name: false,
            ..Self::of("no name")
        },
    ];

    const fn of(name: &'static str) -> Self {
        Self {
            name,
            version: 0x0303,
            ciphers: &[0x1301, 0x1302, 0x1303, 0xc02b, 0xc02c, 0xcca9],
            versions: &[0x0304, 0x0303],
            protocols: &["h2", "http/1.1"],
            groups: &[0x001d, 0x0017],
            server_name: true,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let words = |words: &[u16]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>();
        let mut extensions = Vec::new();
        let mut add = |kind: u16, body: Vec<u8>| extensions.extend([kind.to_be_bytes().to_vec(), two(&body)].concat());
        if self.server_name {
            add(0x0000, two(&[vec![0], two(b"site.example")].concat()));
        }
        add(0x000a, two(&words(self.groups)));
        add(0x000b, one(&[0]));
        add(0x000d, two(&words(&[0x0403, 0x0804, 0x0401, 0x0503, 0x0201])));
        add(0x0017, vec![]);
        if !self.protocols.is_empty() {
            let names = self.protocols.iter().flat_map(|name| one(name.as_bytes()));
            add(0x0010, two(&names.collect::<Vec<_>>()));
        }
        if !self.versions.is_empty() {
            add(0x002b, one(&words(self.versions)));
            // The base point: a share that holds.
            let share = [&[0x00, 0x1d][..], &two(&[&[9][..], &[0; 31]].concat())].concat();
            add(0x0033, two(if self.groups.contains(&0x001d) { &share } else { &[] }));
        }
        let body = [
            &self.version.to_be_bytes()[..],
            &[7; 32],
            &one(&[8; 32]),
            &two(&words(self.ciphers)),
            &one(&[0]),
            &two(&extensions),
        ]
        .concat();
        let message = [&[1, 0][..], &two(&body)].concat();
        [&[0x16, 3, 1][..], &two(&message)].concat()
    }
}

fn one(body: &[u8]) -> Vec<u8> {
    [&[u8::try_from(body.len()).unwrap()][..], body].concat()
}

fn two(body: &[u8]) -> Vec<u8> {
    [&u16::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat()
}

/// What a server says to bytes: its records' kinds, versions and lengths, the ServerHello without what is random in it,
/// alerts, and all of what is no TLS; and whether it closes then.
async fn face(address: SocketAddr, bytes: &[u8]) -> (Vec<String>, bool) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let (mut answer, mut chunk) = (Vec::new(), [0; 4096]);
    let is_closed = loop {
        match timeout(Duration::from_millis(400), stream.read(&mut chunk)).await {
            Ok(Ok(0) | Err(_)) => break true,
            Ok(Ok(count)) => answer.extend_from_slice(&chunk[..count]),
            Err(_) => break false,
        }
    };
    (records(&answer), is_closed)
}

fn records(mut bytes: &[u8]) -> Vec<String> {
    let mut records = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<5>() {
        let size = usize::from(u16::from_be_bytes([head[3], head[4]]));
        if !matches!(head[0], 20..=23) || rest.len() < size {
            break;
        }
        let (body, others) = rest.split_at(size);
        bytes = others;
        records.push(match (head[0], body.first()) {
            (22, Some(2)) => format!("{head:?} {}", server_hello(body)),
            (21, _) => format!("{head:?} {body:?}"),
            // An ECDSA signature is a byte or two longer at times, and so is what it is sealed in.
            (kind, first) => format!("{kind} {first:?}", first = first.filter(|_| kind == 22)),
        });
    }
    let rest = String::from_utf8_lossy(bytes);
    records.push(rest.split("\r\n").filter(|line| !line.starts_with("Date: ")).collect());
    records
}

/// Version, cipher, and which extensions of which length in which order. A ServerHello may have other messages behind it.
fn server_hello(body: &[u8]) -> String {
    let session = usize::from(body[38]);
    let at = 39 + session;
    let end = 4 + usize::from(u16::from_be_bytes([body[2], body[3]]));
    let mut extensions = &body[(at + 5).min(end)..end];
    let mut seen = Vec::new();
    while let [a, b, c, d, rest @ ..] = extensions {
        let size = usize::from(u16::from_be_bytes([*c, *d])).min(rest.len());
        let shown = if (*a, *b) == (0, 0x33) {
            &rest[..2.min(size)]
        } else {
            &rest[..size]
        };
        seen.push(format!("{:02x}{:02x}:{size}:{shown:?}", a, b));
        extensions = &rest[size..];
    }
    // A retry has a random of its own that says so.
    let is_retry = body[6..10] == [0xcf, 0x21, 0xad, 0x74];
    format!(
        "{:?} retry {is_retry} session {session} cipher {:?} {seen:?}",
        &body[4..6],
        &body[at..at + 2]
    )
}

#[tokio::test]
async fn the_tls_face_of_a_relay_behind_an_nginx_is_that_nginxs_rly_46() {
    let behind = Behind::http().await;
    let mut said: Vec<(&str, Vec<u8>)> = Hello::ALL.iter().map(|hello| (hello.name, hello.bytes())).collect();
    let whole = Hello::of("").bytes();
    let mut wrong_size = whole.clone();
    wrong_size[7] ^= 0x40;
    said.extend([
        (
            "a plain request",
            b"GET / HTTP/1.1\r\nHost: site.example\r\n\r\n".to_vec(),
        ),
        ("half a hello", whole[..40].to_vec()),
        ("a hello of another size", wrong_size),
        ("an alert", vec![21, 3, 1, 0, 2, 2, 40]),
        ("zeros", vec![0; 64]),
        ("SSL 2", vec![0x80, 0x2e, 1, 0, 2, 0, 21, 0, 0, 0, 16]),
    ]);
    let ours = tls_of_ours(&behind).await;
    let mut differs = 0;
    for (name, bytes) in &said {
        let (alone, before) = tokio::join!(face(behind.alone, bytes), face(behind.before, bytes));
        assert_eq!(before, alone, "{name}");
        differs += usize::from(face(ours.local_addr, bytes).await != alone);
    }
    assert!(
        differs > said.len() / 2,
        "it would be seen: {differs} of {}",
        said.len()
    );
}

/// A relay that speaks TLS itself, for comparison.
async fn tls_of_ours(behind: &Behind) -> Running {
    let folder = behind._folder.path().join("ours");
    std::fs::create_dir(&folder).unwrap();
    let (_, files) = certificate(&folder, "127.0.0.1");
    let anywhere = "127.0.0.1:0".parse().unwrap();
    Relay::start(Config {
        tls: Some(files),
        ..config(&folder, anywhere)
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn people_talk_through_an_nginx_of_either_kind_rly_46() {
    for telling in [Telling::Http, Telling::ProxyProtocol] {
        let behind = Behind::new(telling).await;
        let (mut ana, mut bo) = (behind.client().await, behind.client().await);
        bo.listen(&[(token(1).tag(), 0)]).await;
        let mut sent = Vec::new();
        for n in 0..100 {
            sent.push(ana.put(1, &format!("message {n}")).await);
        }
        ana.until_stored(&sent).await;
        assert_eq!(bo.until_arrived(&sent).await.len(), 100, "{telling:?}");
    }
}

/// A relay behind anything that tells so; one address may have one connection there that has not said hello.
async fn alone_behind(telling: Telling, at: Vec<std::net::IpAddr>) -> (Running, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits {
        strangers_per_address: 1,
        hello_ms: 2_000,
        ..Limits::default()
    };
    let relay = Relay::start(Config {
        front: Some(Front { telling, at }),
        limits,
        ..config(folder.path(), "127.0.0.1:0".parse().unwrap())
    })
    .await
    .unwrap();
    (relay, folder)
}

/// Whether a connection with this said first stands still, as one does that may say hello.
async fn stands(relay: &Running, first: &str) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(relay.local_addr).await.unwrap();
    stream.write_all(first.as_bytes()).await.unwrap();
    let mut byte = [0; 1];
    let is_quiet = timeout(Duration::from_millis(150), stream.read(&mut byte))
        .await
        .is_err();
    is_quiet.then_some(stream)
}

#[tokio::test]
async fn visitors_of_the_site_behind_take_no_strangers_places_rly_33() {
    // A site whose answers take long.
    let site = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = site.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut visits = Vec::new();
        while let Ok((stream, _)) = site.accept().await {
            visits.push(stream);
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits {
        strangers_per_address: 1,
        ..Limits::default()
    };
    let relay = Relay::start(Config {
        cover: CoverChoice::Proxy(place),
        limits,
        ..config(folder.path(), "127.0.0.1:0".parse().unwrap())
    })
    .await
    .unwrap();
    let slow = "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n";
    let first = stands(&relay, slow).await;
    let second = stands(&relay, slow).await;
    assert!(
        first.is_some() && second.is_some(),
        "a site has as many visitors as it likes"
    );
}

/// So many knocks the service has answered with nothing.
async fn knocks_missed(relay: &Running) -> String {
    let mut stream = TcpStream::connect(relay.metrics_addr.unwrap()).await.unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let is_it = |line: &&str| !line.starts_with('#') && line.contains("knocks_missed_total ");
    let line = text.lines().find(is_it).expect("the figure");
    line.rsplit(' ').next().unwrap().to_owned()
}

#[tokio::test]
async fn where_no_door_stands_the_service_is_not_asked_rly_42() {
    let folder = tempfile::tempdir().unwrap();
    let anywhere = "127.0.0.1:0".parse().unwrap();
    let relay = Relay::start(Config {
        metrics: Some(anywhere),
        ..config(folder.path(), anywhere)
    })
    .await
    .unwrap();
    let secret = InviteSecret::from_bytes([5; 20]);
    let post = async || {
        let mut stream = TcpStream::connect(relay.local_addr).await.unwrap();
        let path = secret.path().to_text();
        let head = format!("POST /{path} HTTP/1.1\r\nHost: a\r\nContent-Length: 16\r\n\r\n");
        stream.write_all(&[head.as_bytes(), &[7; 16]].concat()).await.unwrap();
        let mut answer = Vec::new();
        let _ = timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
    };
    post().await;
    let mut ana = Client::new(&relay.route).await;
    ana.open_door(&secret, card(1)).await;
    // A batch's figures are there after its answers: the first knock's are by now, as the door was opened in a later one.
    assert_eq!(knocks_missed(&relay).await, "0");
    post().await;
    let counted = async {
        while knocks_missed(&relay).await == "0" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = timeout(Duration::from_secs(20), counted).await;
    in_time.expect("a wrong proof at one that stands is counted");
    assert_eq!(knocks_missed(&relay).await, "1");
}

#[tokio::test]
async fn limits_count_those_for_whom_a_front_comes_rly_46() {
    let (relay, _folder) = alone_behind(Telling::ProxyProtocol, vec![]).await;
    let from = |address: &str| format!("PROXY TCP4 {address} 127.0.0.1 5 443\r\nGET /");
    let ana = stands(&relay, &from("192.0.2.7"))
        .await
        .expect("the first of an address");
    assert!(stands(&relay, &from("192.0.2.7")).await.is_none(), "the second of it");
    let bo = stands(&relay, &from("192.0.2.8")).await;
    assert!(bo.is_some(), "another one's");
    drop(ana);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(
        stands(&relay, &from("192.0.2.7")).await.is_some(),
        "its place is free again"
    );
}

#[tokio::test]
async fn limits_count_those_whom_a_request_names_rly_46() {
    let (relay, _folder) = alone_behind(Telling::Http, vec![]).await;
    let path = path_of(&relay.route).to_text();
    let upgrade = |header: &str| {
        format!(
            "GET /{path} HTTP/1.1\r\nHost: a\r\n{header}Upgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
    };
    let open = async |header: &str| {
        let mut stream = TcpStream::connect(relay.local_addr).await.unwrap();
        stream.write_all(upgrade(header).as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        let is_open = stream.read_exact(&mut answer).await.is_ok() && answer == *b"HTTP/1.1 101";
        is_open.then_some(stream)
    };
    let ana = open("X-Forwarded-For: 203.0.113.1, 192.0.2.7\r\n").await;
    assert!(ana.is_some());
    // What the visitor says of itself stands before what the front says.
    assert!(open("X-Forwarded-For: 203.0.113.2, 192.0.2.7\r\n").await.is_none());
    assert!(open("X-Forwarded-For: 192.0.2.8\r\n").await.is_some(), "another one's");
    let unnamed = open("").await;
    assert!(unnamed.is_some() && open("").await.is_none(), "the front's own");
}

#[tokio::test]
async fn who_is_no_front_is_not_let_in_rly_46() {
    let elsewhere = vec!["192.0.2.1".parse().unwrap()];
    let (relay, _folder) = alone_behind(Telling::Http, elsewhere).await;
    assert!(stands(&relay, "GET /").await.is_none(), "it does not come from there");
    let (relay, _folder) = alone_behind(Telling::ProxyProtocol, vec!["127.0.0.2".parse().unwrap()]).await;
    let header = "PROXY TCP4 192.0.2.7 127.0.0.1 5 443\r\n";
    assert!(stands(&relay, header).await.is_none());
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut there = socket.connect(relay.local_addr).await.unwrap();
    there
        .write_all(format!("{header}GET / HTTP/1.1\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    there.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

#[tokio::test]
async fn without_its_header_a_connection_ends_without_a_word_rly_46() {
    let (relay, _folder) = alone_behind(Telling::ProxyProtocol, vec![]).await;
    for first in [
        "GET / HTTP/1.1\r\n\r\n",
        "PROXY TCP4 a b c d\r\n",
        "PROXY TCP4 192.0.2.7",
    ] {
        let mut stream = TcpStream::connect(relay.local_addr).await.unwrap();
        stream.write_all(first.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A reset is an end too.
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer))
            .await
            .expect("an end in time");
        assert_eq!(answer, b"", "{first}");
    }
}

/// An nginx that answers inside TLS, and where.
pub(super) async fn tls_nginx(files: &TlsFiles) -> (Nginx, SocketAddr) {
    let at = free_address().await;
    let http = http_server(files, at, at);
    let more = More {
        http,
        ..More::default()
    };
    (Nginx::with(&more).await, at)
}
