//! Who makes the flows: one nginx with a certificate, behind it a chat and a relay, before it taps; one Chromium; and people.
//!
//! In: the real program, and how many flows of a kind are wanted. Out: [`Recorded`]. All kinds are recorded at the same time, so
//! that a busy machine is busy for all of them.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertifiedKey, PublicKeyData as _, generate_simple_self_signed};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::site;
use super::tap::{Flow, Tap};
use crate::peer::ours::{Program, Socket, chat, command, text};

/// How long a connection lasts, in ms: one that broke early would be dialled again later and later.
const LIFE_MS: (u64, u64) = (5_500, 10_000);
/// A flow with fewer sealed records says too little.
const RECORDS_MIN: usize = 12;
/// Milliseconds between two texts of a person.
const PAUSE_MS: (u64, u64) = (500, 2_500);
/// How long a program may take to be up, and people to meet.
const START_MAX: Duration = Duration::from_secs(90);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// The flows of each kind.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Recorded {
    /// A Chromium's own, of a page that chats.
    pub page: Vec<Flow>,
    /// The same once more, in another tab.
    pub again: Vec<Flow>,
    /// Stonechat's, dialled by that Chromium.
    pub dialer: Vec<Flow>,
    /// Stonechat's, inside the daemon's own TLS.
    pub rustls: Vec<Flow>,
}

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// Flows of each kind.
    pub flows: usize,
    /// Pairs of people of each kind.
    pub pairs: usize,
    /// Give up after so long.
    pub patience: Duration,
}

/// Makes and records flows.
///
/// Errors: a program is missing or does not start, or there were too few flows in time.
pub fn record(program: &Path, chromium: &Path, wish: Wish) -> anyhow::Result<Recorded> {
    let folder = tempfile::tempdir()?;
    let tls = Tls::make(folder.path())?;
    let chat_server = site::serve()?;
    let fronts = [free_port()?, free_port()?];
    let relays = [free_port()?, free_port()?];
    let _nginx = start_nginx(&tls, folder.path(), fronts, relays, chat_server)?;
    let taps =
        [fronts[0], fronts[0], fronts[0], fronts[1]].map(|to| Tap::before(SocketAddr::from(([127, 0, 0, 1], to))));
    let [page, again, dialer, rustls] = taps;
    let [page, again, dialer, rustls] = [page?, again?, dialer?, rustls?];
    let mut houses = Vec::new();
    for (tap, relay, name) in [(&dialer, relays[0], "dialer"), (&rustls, relays[1], "rustls")] {
        tap.begin(Some(LIFE_MS));
        houses.push(House::start(
            program,
            &tls,
            folder.path(),
            (tap, relay, name),
            wish.pairs,
        )?);
    }
    let browser = Browser::start(chromium, folder.path(), &tls)?;
    for home in houses[0].homes() {
        let url = Socket::open(home)?.ask("dialer", &json!({}))?["url"].clone();
        browser.open(url.as_str().context("a daemon gives an address")?)?;
    }
    dialer.be_strict();
    for tap in [&page, &again] {
        browser.open(&format!("https://localhost:{}/chat.html", tap.address.port()))?;
    }
    let ending = Arc::new(AtomicBool::new(false));
    let people: Vec<JoinHandle<()>> = houses.iter().flat_map(|house| house.write(&ending)).collect();
    // What was begun before is over.
    sleep(Duration::from_millis(LIFE_MS.1 + 2_000));
    dialer.begin(Some(LIFE_MS));
    rustls.begin(Some(LIFE_MS));
    page.begin(None);
    again.begin(None);
    let taps = [&page, &again, &dialer, &rustls];
    let counted = wait(&taps, wish);
    ending.store(true, Ordering::Relaxed);
    people.into_iter().for_each(|person| drop(person.join()));
    counted?;
    let [page, again, dialer, rustls] = taps.map(|tap| {
        let mut flows = tap.flows(RECORDS_MIN);
        flows.truncate(wish.flows);
        flows
    });
    Ok(Recorded {
        page,
        again,
        dialer,
        rustls,
    })
}

fn wait(taps: &[&Tap; 4], wish: Wish) -> anyhow::Result<()> {
    let began = Instant::now();
    let counts = || taps.map(|tap| tap.count(RECORDS_MIN));
    while counts().iter().any(|count| *count < wish.flows) {
        ensure!(
            began.elapsed() < wish.patience,
            "too few flows in time (page, again, dialer, rustls): {:?}; reset: {}",
            counts(),
            taps[2].refused().len()
        );
        sleep(Duration::from_secs(1));
    }
    Ok(())
}

/// A certificate for `localhost`, in files.
struct Tls {
    cert: PathBuf,
    key: PathBuf,
    /// Hash of its key, by which the Chromium believes it.
    pin: String,
}

impl Tls {
    fn make(folder: &Path) -> anyhow::Result<Self> {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()])?;
        let pin = STANDARD.encode(Sha256::digest(signing_key.subject_public_key_info()));
        let (file, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        std::fs::write(&file, cert.pem())?;
        std::fs::write(&key, signing_key.serialize_pem())?;
        Ok(Self { cert: file, key, pin })
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// One nginx: at both ports the chat and its page, and all else a relay's, as docs/operate/relay.md has it.
fn start_nginx(
    tls: &Tls,
    folder: &Path,
    fronts: [u16; 2],
    relays: [u16; 2],
    chat: SocketAddr,
) -> anyhow::Result<Program> {
    let at = folder.join("nginx");
    std::fs::create_dir_all(&at)?;
    for open in [folder, &at] {
        std::fs::set_permissions(open, std::fs::Permissions::from_mode(0o755))?;
    }
    std::fs::write(at.join("chat.html"), site::PAGE)?;
    let (dir, cert, key) = (text(&at), text(&tls.cert), text(&tls.key));
    let pass = "proxy_http_version 1.1; proxy_set_header Host $http_host; proxy_set_header Upgrade $http_upgrade;\n\
        proxy_set_header Connection $passed_connection; proxy_set_header X-Forwarded-For $remote_addr;";
    let servers = fronts.iter().zip(relays).map(|(front, relay)| {
        format!(
            "server {{ listen 127.0.0.1:{front} ssl; ssl_certificate {cert}; ssl_certificate_key {key};\n\
             ssl_protocols TLSv1.2 TLSv1.3;\n\
             location = /chat.html {{ root {dir}; }}\n\
             location = /chat {{ proxy_pass http://{chat}; {pass} }}\n\
             location / {{ proxy_pass http://127.0.0.1:{relay}; {pass} }} }}\n"
        )
    });
    let settings = format!(
        "daemon off; master_process off; worker_processes 1; pid {dir}/pid; error_log {dir}/errors;\n\
         events {{}}\nhttp {{ access_log off; client_body_temp_path {dir}/a; proxy_temp_path {dir}/b;\n\
         fastcgi_temp_path {dir}/c; uwsgi_temp_path {dir}/d; scgi_temp_path {dir}/e; types {{ text/html html; }}\n\
         map $http_upgrade $passed_connection {{ default upgrade; '' close; }}\n{} }}",
        servers.collect::<String>()
    );
    let file = at.join("conf");
    std::fs::write(&file, settings)?;
    let mut nginx = Command::new("nginx");
    nginx
        .args(["-p", dir, "-c", text(&file)])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let process = Program(nginx.spawn().context("nginx is installed")?);
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", fronts[1])).is_err() {
        ensure!(began.elapsed() < START_MAX, "nginx does not start");
        sleep(LOOK);
    }
    Ok(process)
}

/// Starts a program of ours. Out: what follows the prefix in the first line that has it.
fn start(
    program: &Path,
    trust: Option<&Path>,
    words: &[&str],
    prefix: &'static str,
) -> anyhow::Result<(Program, String)> {
    let mut command = command(program, words);
    command
        .envs(trust.map(|file| ("SSL_CERT_FILE", file)))
        .stdout(Stdio::piped());
    let mut process = Program(command.spawn()?);
    let lines = BufReader::new(process.0.stdout.take().context("it has an output")?).lines();
    for line in lines {
        if let Some(rest) = line?.strip_prefix(prefix) {
            return Ok((process, rest.to_owned()));
        }
    }
    bail!("{words:?} does not start")
}

/// A relay behind the nginx, and pairs of people who have met there.
struct House {
    pairs: Vec<[PathBuf; 2]>,
    _programs: Vec<Program>,
}

impl House {
    fn start(
        program: &Path,
        tls: &Tls,
        folder: &Path,
        (tap, port, name): (&Tap, u16, &str),
        pairs: usize,
    ) -> anyhow::Result<Self> {
        let (data, listen) = (folder.join(format!("relay-{name}")), format!("127.0.0.1:{port}"));
        let public = format!("localhost:{}", tap.address.port());
        let words = [
            "relay",
            "run",
            "--data",
            text(&data),
            "--listen",
            &listen,
            "--public",
            &public,
            "--behind=http",
        ];
        let (relay, route) = start(program, None, &words, "route: ")?;
        let mut house = Self {
            pairs: Vec::new(),
            _programs: vec![relay],
        };
        for n in 0..pairs {
            let pair = ["ana", "bo"].map(|who| folder.join(format!("{name}-{who}-{n}")));
            for (home, more) in pair.iter().zip([vec!["--relay", &route], vec![]]) {
                let words = [vec!["--home", text(home), "init", "--name", "Somebody"], more].concat();
                ensure!(
                    command(program, &words).stdout(Stdio::null()).status()?.success(),
                    "{words:?}"
                );
                let words = ["--home", text(home), "serve", "--port", "0", "--no-near"];
                house._programs.push(start(program, Some(&tls.cert), &words, "ui: ")?.0);
            }
            meet(&pair)?;
            house.pairs.push(pair);
        }
        Ok(house)
    }

    fn homes(&self) -> impl Iterator<Item = &Path> {
        self.pairs.iter().flatten().map(PathBuf::as_path)
    }

    /// Everybody writes, now and then, until it ends.
    fn write(&self, ending: &Arc<AtomicBool>) -> Vec<JoinHandle<()>> {
        let person = |(n, home): (u64, &Path)| {
            let (home, ending) = (home.to_owned(), Arc::clone(ending));
            spawn(move || write(&home, n, &ending))
        };
        (0..).zip(self.homes()).map(person).collect()
    }
}

fn meet(pair: &[PathBuf; 2]) -> anyhow::Result<()> {
    let began = Instant::now();
    let (mut ana, mut bo) = (Socket::open(&pair[0])?, Socket::open(&pair[1])?);
    let invite = ana.ask("invite.create", &json!({ "who": "one", "how": "plain" }))?;
    while ana.ask("invites", &json!({}))?[0]["state"] == "preparing" {
        ensure!(began.elapsed() < START_MAX, "no relay");
        sleep(LOOK);
    }
    bo.ask("accept", &json!({ "link": invite["link"] }))?;
    while chat(&mut ana).is_none() || bo.ask("acceptances", &json!({}))?[0]["state"] != "accepted" {
        ensure!(began.elapsed() < START_MAX, "they did not meet");
        sleep(LOOK);
    }
    Ok(())
}

fn write(home: &Path, number: u64, ending: &AtomicBool) {
    use rand_core::{Rng as _, SeedableRng as _};
    let mut dice = rand_chacha::ChaCha20Rng::seed_from_u64(number);
    let Ok(mut socket) = Socket::open(home) else { return };
    let Some(to) = chat(&mut socket) else { return };
    while !ending.load(Ordering::Relaxed) {
        let length = usize::try_from(5 + dice.next_u32() % 295).unwrap();
        // One that is not taken is one text less.
        let _ = socket.ask("send", &json!({ "chat": to, "text": "x".repeat(length) }));
        sleep(Duration::from_millis(
            PAUSE_MS.0 + dice.next_u64() % (PAUSE_MS.1 - PAUSE_MS.0),
        ));
    }
}

/// A Chromium that opens tabs when it is told to.
struct Browser {
    port: u16,
    _process: Program,
}

impl Browser {
    fn start(program: &Path, folder: &Path, tls: &Tls) -> anyhow::Result<Self> {
        let profile = format!("--user-data-dir={}", text(&folder.join("browser")));
        let believed = format!("--ignore-certificate-errors-spki-list={}", tls.pin);
        let mut command = Command::new(program);
        command
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                "--remote-debugging-port=0",
            ])
            .args([&profile, &believed, "about:blank"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut process = Program(command.spawn().with_context(|| program.display().to_string())?);
        let mut lines = BufReader::new(process.0.stderr.take().context("it has an output")?).lines();
        while let Some(line) = lines.next() {
            let line = line?;
            let Some(place) = line.strip_prefix("DevTools listening on ws://127.0.0.1:") else {
                continue;
            };
            let port = place.split('/').next().unwrap_or_default().parse()?;
            // It is not to wait for whoever reads what it grumbles.
            spawn(move || lines.map_while(Result::ok).for_each(drop));
            return Ok(Self {
                port,
                _process: process,
            });
        }
        bail!("no Chromium")
    }

    fn open(&self, url: &str) -> anyhow::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        let (port, url) = (self.port, url.replace('#', "%23"));
        write!(
            stream,
            "PUT /json/new?{url} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = [0; 15];
        stream.read_exact(&mut answer)?;
        ensure!(
            answer.starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&answer)
        );
        Ok(())
    }
}
