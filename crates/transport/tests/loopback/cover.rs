//! What strangers see: a real nginx with and without a relay before it, and the relay's own site of files.

use std::process::{Child, Command, Stdio};

use super::*;

/// After so much silence an answer is over.
const QUIET: Duration = Duration::from_millis(400);
/// Probers at work at once.
pub(super) const PROBERS: usize = 16;

/// An nginx with a small site.
pub(super) struct Nginx {
    pub(super) address: SocketAddr,
    process: Child,
    _folder: tempfile::TempDir,
}

/// What an nginx reads besides its own small site.
#[derive(Default)]
pub(super) struct More {
    /// Before all, for instance to load a module.
    pub(super) first: String,
    /// Within `http`.
    pub(super) http: String,
    /// After all, for instance `stream`.
    pub(super) last: String,
}

impl Nginx {
    async fn start() -> Self {
        Self::with(&More::default()).await
    }

    pub(super) async fn with(more: &More) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = free_address().await;
        write_site(&folder.path().join("site"));
        let at = folder.path().display();
        let More { first, http, last } = more;
        let settings = format!(
            "{first} daemon off; master_process off; worker_processes 1; pid {at}/pid; error_log /dev/null;\n\
             events {{}}\nhttp {{ access_log off; client_body_temp_path {at}/a; proxy_temp_path {at}/b; fastcgi_temp_path {at}/c;\n\
             uwsgi_temp_path {at}/d; scgi_temp_path {at}/e; types {{ text/html html; text/css css; }}\n\
             client_header_timeout 3s; client_body_timeout 3s; keepalive_timeout 2s;\n\
             server {{ listen {address}; root {at}/site; }}\n{http} }}\n{last}"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, settings).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-c").arg(&file).arg("-p").arg(folder.path());
        let process = command.stderr(Stdio::null()).spawn().expect("nginx is installed");
        while TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self {
            address,
            process,
            _folder: folder,
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A place on loopback that is free now.
pub(super) async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

fn write_site(folder: &Path) {
    std::fs::create_dir_all(folder.join("more")).unwrap();
    std::fs::write(folder.join("index.html"), "<!doctype html><p>Bees and honey").unwrap();
    std::fs::write(folder.join("bees.css"), "p { color: #530 }").unwrap();
    std::fs::write(folder.join("more/index.html"), "<p>More bees").unwrap();
    // Nobody but this process need read it, nginx started by root excepted.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let parent = folder.parent().unwrap();
        std::fs::set_permissions(parent, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// A relay with a live door behind its cover.
pub(super) struct Covered {
    pub(super) relay: Running,
    pub(super) path: String,
    _folder: tempfile::TempDir,
}

impl Covered {
    async fn with(cover: CoverChoice) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            cover,
            ..config(folder.path(), "127.0.0.1:0".parse().unwrap())
        };
        let relay = Relay::start(config).await.unwrap();
        let mut owner = Client::new(&relay.route).await;
        let secret = InviteSecret::from_bytes([5; 20]);
        owner.open_door(&secret, card(1)).await;
        let path = secret.path().to_text();
        // The door does stand, and the relay too: `Client` has been greeted.
        let here = relay.local_addr.to_string();
        let opened = knock(&here, secret.path(), secret.proof(), vec![], &Means::default()).await;
        assert_eq!(opened.unwrap(), card(1));
        Self {
            relay,
            path,
            _folder: folder,
        }
    }
}

/// Everything that comes back, and whether the connection was closed then.
async fn probe(address: SocketAddr, pieces: &[Vec<u8>]) -> (String, bool) {
    probe_on(TcpStream::connect(address).await.unwrap(), pieces).await
}

/// The same on a connection that stands.
pub(super) async fn probe_on(
    mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin,
    pieces: &[Vec<u8>],
) -> (String, bool) {
    for (n, piece) in pieces.iter().enumerate() {
        if n > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // It may have been closed on us: that is seen below.
        let _ = stream.write_all(piece).await;
    }
    let (mut answer, mut chunk) = (Vec::new(), [0; 4096]);
    let is_closed = loop {
        match timeout(QUIET, stream.read(&mut chunk)).await {
            Ok(Ok(0) | Err(_)) => break true,
            Ok(Ok(count)) => answer.extend_from_slice(&chunk[..count]),
            Err(_) => break false,
        }
    };
    (without_date(&String::from_utf8_lossy(&answer)), is_closed)
}

/// The clock goes on between two probes.
fn without_date(answer: &str) -> String {
    let lines = answer.split("\r\n").filter(|line| !line.starts_with("Date: "));
    lines.collect::<Vec<_>>().join("\r\n")
}

/// What a prober says who has seen an invite's link, or only guesses. Named by what it says.
pub(super) fn probes(door: &str, relay: &str) -> Vec<(String, Vec<Vec<u8>>)> {
    let guess = "AAAABBBBCCCCDDDD";
    let mut all = Vec::new();
    let mut add = |text: String| all.push((text.clone(), vec![text.into_bytes()]));
    let head = "Host: site.example\r\n";
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for path in [
        "/",
        "/index.html",
        "/bees.css",
        "/more",
        "/more/",
        "/none",
        "/relay",
        "/../etc",
        "/%2e%2e/",
        "/?a=b",
    ] {
        add(format!("GET {path} HTTP/1.1\r\n{head}\r\n"));
    }
    for path in [door, relay, guess] {
        let is_relay = path == relay;
        for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"] {
            add(format!("{method} /{path} HTTP/1.1\r\n{head}\r\n"));
        }
        if !is_relay {
            add(format!("GET /{path} HTTP/1.1\r\n{head}{upgrade}\r\n"));
        }
        add(format!(
            "GET /{path} HTTP/1.1\r\n{head}{}\r\n",
            upgrade.replace("13", "12")
        ));
        add(format!(
            "GET /{path} HTTP/1.0\r\n{head}{}\r\n",
            upgrade.replace("websocket", "h2c")
        ));
        add(format!("GET /{path}/ HTTP/1.1\r\n{head}\r\n"));
        add(format!("GET /{path}?x HTTP/1.1\r\n{head}\r\n"));
        add(format!(
            "POST /{path} HTTP/1.1\r\n{head}Content-Length: 16\r\n\r\n0123456789abcdef"
        ));
        add(format!(
            "POST /{path} HTTP/1.1\r\n{head}Content-Length: 16\r\n\r\n01234567"
        ));
        add(format!("POST /{path} HTTP/1.1\r\n{head}Content-Length: 16\r\n\r\n"));
        add(format!("POST /{path} HTTP/1.1\r\n{head}Content-Length: 0\r\n\r\n"));
        add(format!(
            "POST /{path} HTTP/1.1\r\n{head}Range: bytes=9-\r\nContent-Length: 16\r\n\r\n0123456789abcdef"
        ));
        add(format!(
            "POST /{path} HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ));
        add(format!(
            "POST /{path} HTTP/1.1\r\n{head}Expect: 100-continue\r\nContent-Length: 16\r\n\r\n"
        ));
        let two = format!("GET / HTTP/1.1\r\n{head}\r\nGET /{path} HTTP/1.1\r\n{head}\r\n");
        add(two);
    }
    add("GET / HTTP/1.0\r\n\r\n".into());
    add("GET / HTTP/1.1\r\n\r\n".into());
    add("GET / HTTP/3.9\r\n\r\n".into());
    add("GET /\r\n".into());
    add(format!("GET / HTTP/1.1\r\n{head}Connection: close\r\n\r\n"));
    add(format!("GET / HTTP/1.1\r\n{head}Range: bytes=1-3\r\n\r\n"));
    add(format!("GET / HTTP/1.1\r\n{head}If-None-Match: \"x\"\r\n\r\n"));
    add("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".into());
    add(format!("GET / HTTP/1.1\r\n{head}A: {}\r\n\r\n", "a".repeat(7000)));
    add(format!("GET /{} HTTP/1.1\r\n{head}\r\n", "a".repeat(9000)));
    add(format!("GET / HTTP/1.1\r\n{head}{}\r\n", "A: b\r\n".repeat(80)));
    add("\r\n\r\n".into());
    add("hello\r\n\r\n".into());
    add("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into());
    add("SSH-2.0-OpenSSH_9.2\r\n".into());
    add("CONNECT site.example:443 HTTP/1.1\r\n\r\n".into());
    all.push(("a TLS hello".into(), vec![vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]]));
    all.push(("zeros".into(), vec![vec![0; 64]]));
    let halves = |text: &str| {
        let (first, second) = text.split_at(text.len() / 2);
        vec![first.as_bytes().to_vec(), second.as_bytes().to_vec()]
    };
    all.push((
        "a page in two pieces".into(),
        halves(&format!("GET / HTTP/1.1\r\n{head}\r\n")),
    ));
    let knock = format!("POST /{door} HTTP/1.1\r\n{head}Content-Length: 16\r\n\r\n0123456789abcdef");
    all.push(("a knock in two pieces".into(), halves(&knock)));
    let here = format!("GET /{guess} HTTP/1.1\r\n{head}{upgrade}\r\n");
    all.push(("a handshake elsewhere in two pieces".into(), halves(&here)));
    all.push((
        "bytes one after the other".into(),
        here.bytes().take(40).map(|byte| vec![byte]).collect(),
    ));
    all.push(("half a request".into(), vec![format!("GET /{door} HT").into_bytes()]));
    all
}

#[tokio::test]
async fn a_prober_cannot_tell_a_covered_relay_from_its_web_server_rly_42() {
    let nginx = Nginx::start().await;
    let covered = Covered::with(CoverChoice::Proxy(format!("http://{}", nginx.address))).await;
    let relay = path_of(&covered.relay.route).to_text();
    let probes = probes(&covered.path, &relay);
    assert!(probes.len() >= 60, "{}", probes.len());
    for some in probes.chunks(PROBERS) {
        let answers = some.iter().map(|(_, pieces)| async {
            tokio::join!(probe(nginx.address, pieces), probe(covered.relay.local_addr, pieces))
        });
        let answers = futures_util::future::join_all(answers).await;
        for ((name, _), (alone, before)) in some.iter().zip(answers) {
            assert_eq!(before, alone, "{name}");
        }
    }
    // Whoever says nothing waits as long as that server lets them, and 2 s.
    let (answer, _) = probe(covered.relay.local_addr, &[]).await;
    assert_eq!(answer, "");
}

#[tokio::test]
async fn our_own_request_may_come_in_pieces_rly_42() {
    let nginx = Nginx::start().await;
    let covered = Covered::with(CoverChoice::Proxy(format!("http://{}", nginx.address))).await;
    let relay = path_of(&covered.relay.route).to_text();
    let secret = InviteSecret::from_bytes([5; 20]);
    let handshake = format!(
        "GET /{relay} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let mut knock = format!(
        "POST /{} HTTP/1.1\r\nHost: a\r\nContent-Length: 16\r\n\r\n",
        covered.path
    )
    .into_bytes();
    let head = knock.len();
    knock.extend_from_slice(&secret.proof());
    for (request, ends, wanted) in [
        (handshake.as_bytes(), handshake.len(), "HTTP/1.1 101 "),
        (knock.as_slice(), head, "HTTP/1.1 200 OK"),
    ] {
        // In the method, the path, the line, a header, and before the last byte of the head.
        for at in [2, 12, 24, 40, ends - 1] {
            let (first, second) = request.split_at(at);
            let (answer, _) = probe(covered.relay.local_addr, &[first.to_vec(), second.to_vec()]).await;
            assert!(answer.starts_with(wanted), "{at}: {answer}");
        }
    }
}

#[tokio::test]
async fn what_cannot_become_ours_is_the_servers_at_once_rly_42() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let behind = server.local_addr().unwrap().to_string();
    let covered = Covered::with(CoverChoice::Proxy(behind)).await;
    for said in [
        "GET /AAAABBBBCCCCDDDD HTTP/1.1\r\nHo",
        "POST /AAAABBBBCCCCDDDD HT",
        "GET / HT",
        "x",
    ] {
        let mut stranger = TcpStream::connect(covered.relay.local_addr).await.unwrap();
        stranger.write_all(said.as_bytes()).await.unwrap();
        // Long before the 2 s are over.
        let (mut there, _) = timeout(Duration::from_secs(1), server.accept())
            .await
            .expect(said)
            .unwrap();
        let mut heard = vec![0; said.len()];
        there.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, said.as_bytes());
    }
}

#[tokio::test]
async fn a_site_of_files_shows_no_door_rly_43() {
    let folder = tempfile::tempdir().unwrap();
    write_site(&folder.path().join("site"));
    let covered = Covered::with(CoverChoice::Site(folder.path().join("site"))).await;
    let address = covered.relay.local_addr;
    let (page, _) = probe(address, &[b"GET / HTTP/1.1\r\n\r\n".to_vec()]).await;
    assert!(
        page.starts_with("HTTP/1.1 200 OK\r\n") && page.ends_with("Bees and honey"),
        "{page}"
    );
    let relay = path_of(&covered.relay.route).to_text();
    let guess = "AAAABBBBCCCCDDDD";
    for (name, pieces) in probes(&covered.path, &relay) {
        for path in [&covered.path, &relay] {
            if !name.contains(path.as_str()) {
                continue;
            }
            let other = |piece: &Vec<u8>| {
                String::from_utf8_lossy(piece)
                    .replace(path.as_str(), guess)
                    .into_bytes()
            };
            let others: Vec<_> = pieces.iter().map(other).collect();
            let (with, without) = tokio::join!(probe(address, &pieces), probe(address, &others));
            assert_eq!(with, without, "{name}");
        }
    }
}
