//! Stonechat in the lab: the real program, a relay abroad and two people inside, who meet and then talk.
//!
//! In: the program's path and a running [`Router`]. Out: when each text came to Bo, as his own daemon tells it. The
//! daemons are asked over their local sockets, which no network namespace shuts off. Where the censor has people, one of
//! them is Ana's contact ([`Insider`]), or runs one of the relays ([`Honeypot`]), or reads the invitation.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::sleep;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use stonechat_wire::invite::InviteLink;

use super::echo::{HOME_NAME, LISTED_NAME, OWN_NAME, STORAGE_NAME};
use super::honeypot::{Honeypot, readable, run_like_others};
use super::insider::Insider;
use super::{HOME_ADDRESS, Load, NOTE_SOUNDS, OWN_ADDRESS, Outcome, PHOTO_BYTES, STORAGE_ADDRESS, TEXT_BYTES, Work};
use crate::censor::people::Source;
use crate::files::{note, photo};
use crate::router::Router;

/// What the relay looks like from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// Plain HTTP at an address.
    Plain,
    /// An obfs4 bridge at an address, and nothing else.
    Bridge,
    /// TLS at a name that is on no list, with a certificate of an authority that everybody here believes.
    Tls,
    /// That, and a second relay like it in a residential network, at another name: Ana has both.
    Two,
    /// Both of them, and the second passes on to the first: the two meet by the first alone, and use the second from then on.
    Hop,
    /// The same, and both have the second one for themselves alone: nobody else is told of it.
    Private,
    /// As [`Face::Tls`], with a site that strangers see.
    Site,
    /// As [`Face::Tls`], at a name that is on the list.
    Listed,
    /// No relay: a folder on a web server in a listed network, of a listed name.
    Drop,
    /// No relay: a mailbox there.
    Mail,
}

impl Face {
    /// The hosts that have a relay, with their addresses and names.
    const fn relays(self) -> &'static [(&'static str, Ipv4Addr, &'static str)] {
        const BOTH: &[(&str, Ipv4Addr, &str)] = &[
            ("hosting", OWN_ADDRESS, OWN_NAME),
            ("residential", HOME_ADDRESS, HOME_NAME),
        ];
        match self {
            Self::Plain | Self::Bridge | Self::Tls | Self::Site => BOTH.first_chunk::<1>().expect("it has two"),
            Self::Two | Self::Hop | Self::Private => BOTH,
            Self::Listed => &[("hosting", OWN_ADDRESS, LISTED_NAME)],
            Self::Drop | Self::Mail => &[],
        }
    }

    /// Where there is no relay, but a drop.
    const fn drop(self) -> Option<&'static str> {
        match self {
            Self::Plain
            | Self::Bridge
            | Self::Tls
            | Self::Two
            | Self::Hop
            | Self::Private
            | Self::Site
            | Self::Listed => None,
            Self::Drop => Some(DROP),
            Self::Mail => Some(MAILBOX),
        }
    }

    /// The second relay passes on to the first, and is used from their meeting on.
    const fn has_helper(self) -> bool {
        matches!(self, Self::Hop | Self::Private)
    }
}

/// Another port of each relay inside TLS, which its route names with its number.
pub(super) const SECOND_PORT: u16 = 8443;

/// How long a program may take to say that it is up.
const START_MAX: Duration = Duration::from_secs(60);
/// Time between two looks at what has come.
const LOOK: Duration = Duration::from_millis(20);

/// So many messages may overtake one.
const LATE_MAX: usize = 50;

/// A relay and two people, running.
#[derive(Debug)]
pub struct Friends {
    router: Arc<Router>,
    face: Face,
    ana: PathBuf,
    bo: PathBuf,
    /// The route of a relay that both use once they have met.
    helper: Option<String>,
    insider: Option<Insider>,
    /// A relay of the censor's, and where it keeps what it is given.
    honeypot: Option<(Honeypot, PathBuf)>,
    programs: Vec<Program>,
    _mail: Option<Group>,
    /// Gone after all that use it.
    folder: tempfile::TempDir,
}

/// A program that is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Program(pub(crate) Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program that is killed with all that it has started.
#[derive(Debug)]
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.0.wait();
    }
}

impl Friends {
    /// Starts everything; nobody has met yet.
    pub fn start(router: &Arc<Router>, program: &Path, face: Face) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tls = TlsFiles::make(folder.path());
        let home = |name: &str| folder.path().join(name);
        let mut friends = Self {
            router: Arc::clone(router),
            face,
            ana: home("ana"),
            bo: home("bo"),
            helper: None,
            insider: router.present().insider.then(|| Insider::new(home("cy"))),
            honeypot: None,
            programs: Vec::new(),
            _mail: (face == Face::Mail).then(|| start_mail(router, &tls, folder.path())),
            folder,
        };
        let mut routes = friends.start_relays(program, &tls);
        if face == Face::Drop {
            let storage = start_storage(router, &tls, friends.folder.path());
            friends.programs.push(storage);
        }
        friends.helper = face.has_helper().then(|| routes.pop()).flatten();
        friends.start_daemons(program, &tls, &routes);
        friends
    }

    /// Ana, who has the relays, Bo, and whoever tells.
    fn start_daemons(&mut self, program: &Path, tls: &TlsFiles, routes: &[String]) {
        let mut all = vec![("ana", self.ana.clone(), "Ana"), ("bo", self.bo.clone(), "Bo")];
        if let Some(insider) = &self.insider {
            all.push(("cy", insider.home().to_owned(), "Cy"));
        }
        for (host, home, name) in all {
            let mut words = vec!["--home", text(&home), "init", "--name", name];
            if name == "Ana" {
                words.extend(routes.iter().flat_map(|route| ["--relay", route]));
                words.extend(self.face.drop().map(|drop| ["--drop", drop]).into_iter().flatten());
            }
            finish(&self.router, host, program, &words);
            let serve = ["--home", text(&home), "serve", "--port", "0"];
            let daemon = start(&self.router, host, program, Some(&tls.cert), &serve, "ui: ").0;
            self.programs.push(daemon);
        }
    }

    /// Starts the relays; one of them may be the censor's. Out: their routes.
    fn start_relays(&mut self, program: &Path, tls: &TlsFiles) -> Vec<String> {
        let relays = self.face.relays();
        let honeypot = self.router.present().honeypot.map(|pot| pot.which(relays.len()));
        let mut routes = Vec::new();
        for (n, (host, at, name)) in relays.iter().enumerate() {
            let data = self.folder.path().join(host);
            let to: &[String] = if self.face.has_helper() { &routes } else { &[] };
            let route = if honeypot == Some(n) {
                let config = run_like_others(self.face, tls, (*at, name), (&data, to));
                let (pot, route) = Honeypot::start(&self.router, host, config);
                self.router.watch(*at);
                self.honeypot = Some((pot, data));
                route
            } else {
                if !to.is_empty() {
                    pass_on(&data, to);
                }
                let place = (*host, *at, *name);
                let (relay, route) = start_relay(&self.router, program, self.face, tls, place, &data);
                self.programs.push(relay);
                route
            };
            routes.push(route);
        }
        routes
    }

    /// Ana invites, Bo accepts. Out: how long it took until both have the conversation; nothing if it did not come to that.
    pub fn meet(&self, patience: Duration) -> Option<Duration> {
        if let Some(insider) = &self.insider {
            // Whoever tells has been a contact for long.
            self.acquaint(insider.home(), "Cy", patience)?;
        }
        let met = self.acquaint(&self.bo, "Bo", patience)?;
        let both = [Socket::open(&self.ana).ok()?, Socket::open(&self.bo).ok()?];
        self.use_helper(both, Instant::now() + patience)?;
        Some(met)
    }

    fn acquaint(&self, guest: &Path, name: &str, patience: Duration) -> Option<Duration> {
        let started = Instant::now();
        let (mut ana, mut guest) = (Socket::open(&self.ana).ok()?, Socket::open(guest).ok()?);
        let invite = ana
            .ask("invite.create", &json!({ "who": "one", "how": "plain" }))
            .ok()?;
        while ana.ask("invites", &json!({})).ok()?[0]["state"] == "preparing" {
            if started.elapsed() > patience {
                return None;
            }
            sleep(LOOK);
        }
        let link = invite["link"].as_str()?;
        for hint in InviteLink::parse(link).ok()?.hints {
            self.router.told(Source::Invitation, &hint);
        }
        guest.ask("accept", &json!({ "link": link })).ok()?;
        while started.elapsed() < patience {
            let accepted = guest.ask("acceptances", &json!({})).ok()?;
            if chat_named(&mut ana, name).is_some() && accepted[0]["state"] == "accepted" {
                return Some(started.elapsed());
            }
            sleep(LOOK);
        }
        None
    }

    /// Both use the relay that passes on, and are connected to it; nothing if it does not come to that.
    fn use_helper(&self, both: [Socket; 2], end: Instant) -> Option<()> {
        let Some(route) = &self.helper else { return Some(()) };
        let is_private = self.face == Face::Private;
        for mut one in both {
            one.ask("relay.add", &json!({ "route": route, "private": is_private }))
                .ok()?;
            let is_up = |relay: &Value| relay["connected"] == true;
            while one.ask("status", &json!({})).ok()?["relays"]
                .as_array()?
                .iter()
                .filter(|relay| is_up(relay))
                .count()
                < 2
            {
                if Instant::now() > end {
                    return None;
                }
                sleep(LOOK);
            }
        }
        Some(())
    }

    /// Ana writes, Bo reads. `began`: when the work began.
    pub fn talk(&mut self, work: Work, began: Instant) -> Outcome {
        let (mut ana, mut bo) = (Socket::open(&self.ana).unwrap(), Socket::open(&self.bo).unwrap());
        let (to, from) = (chat_named(&mut ana, "Bo"), chat(&mut bo));
        let (Some(to), Some(from)) = (to, from) else {
            return nothing(work);
        };
        let writing = std::thread::spawn(move || {
            for n in 0..work.texts {
                let (method, asked) = saying(work.load, n, &to);
                sleep(work.due(began, n).saturating_duration_since(Instant::now()));
                ana.ask(method, &asked).unwrap();
            }
        });
        let mut came: BTreeMap<String, (Instant, usize)> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        while came.len() < work.texts && Instant::now() < work.end(began) {
            self.people_act(began);
            look(&mut bo, &from, &mut seen, &mut came);
            sleep(LOOK);
        }
        writing.join().unwrap();
        look(&mut bo, &from, &mut seen, &mut came);
        let texts = (0..work.texts).map(|n| {
            let due = work.due(began, n);
            let at = came.get(&name_of(n)).map(|(at, _)| at.saturating_duration_since(due));
            (due - began, at)
        });
        Outcome {
            texts: texts.collect(),
            doubled: came.values().filter(|(_, times)| *times > 1).count(),
            gap_max: None,
            read: self.read(work.texts),
        }
    }

    /// What the censor's people do as time goes by.
    fn people_act(&mut self, began: Instant) {
        if let Some(insider) = &mut self.insider {
            insider.tells(&self.router);
        }
        if let (Some((pot, _)), Some(honeypot)) = (&mut self.honeypot, self.router.present().honeypot)
            && began.elapsed() >= honeypot.turns
        {
            pot.turn();
        }
    }

    /// How many of the texts stand in clear in what the censor's relay keeps.
    fn read(&self, texts: usize) -> usize {
        let words: Vec<String> = (0..texts).map(name_of).collect();
        self.honeypot.as_ref().map_or(0, |(_, data)| readable(data, &words))
    }
}

/// A certificate of all names, which everybody here believes, and its key.
pub(crate) struct TlsFiles {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl TlsFiles {
    pub(super) fn make(folder: &Path) -> Self {
        let names = [OWN_NAME, LISTED_NAME, HOME_NAME, STORAGE_NAME];
        Self::of(folder, names.map(str::to_owned).to_vec())
    }

    /// The same of these names.
    pub(crate) fn of(folder: &Path, names: Vec<String>) -> Self {
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        Self { cert, key }
    }
}

/// A folder on a real web server that asks for no password.
const DROP: &str = "https://mail.example/files";

/// A mailbox of an account at a real mail server.
const MAILBOX: &str = "imaps://ana:pass@mail.example/stonechat";

/// An nginx that keeps files and lists them (WebDAV), inside TLS.
fn start_storage(router: &Router, tls: &TlsFiles, folder: &Path) -> Program {
    let at = folder.join("storage");
    std::fs::create_dir_all(at.join("root")).unwrap();
    for open in [folder, &at, &at.join("root")] {
        std::fs::set_permissions(open, std::fs::Permissions::from_mode(0o777)).unwrap();
    }
    let (at, cert, key) = (text(&at), text(&tls.cert), text(&tls.key));
    let settings = format!(
        "load_module /usr/lib/nginx/modules/ngx_http_dav_ext_module.so;\n\
         daemon off; master_process off; worker_processes 1; pid {at}/pid; error_log {at}/errors;\n\
         events {{}}\nhttp {{ access_log off; client_body_temp_path {at}/a; proxy_temp_path {at}/b;\n\
         fastcgi_temp_path {at}/c; uwsgi_temp_path {at}/d; scgi_temp_path {at}/e; client_max_body_size 1m;\n\
         server {{ listen {STORAGE_ADDRESS}:443 ssl; ssl_certificate {cert}; ssl_certificate_key {key};\n\
         ssl_protocols TLSv1.3; root {at}/root; location / {{\n\
         dav_methods PUT DELETE MKCOL; dav_ext_methods PROPFIND OPTIONS; }} }} }}"
    );
    let file = folder.join("storage/conf");
    std::fs::write(&file, settings).unwrap();
    let mut command = Command::new("nginx");
    command
        .args(["-p", at, "-c", text(&file)])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let started = router.host("storage").run(move || {
        let process = command.spawn().expect("nginx is installed, with dav-ext");
        let began = Instant::now();
        while TcpStream::connect((STORAGE_ADDRESS, 443)).is_err() {
            assert!(began.elapsed() < START_MAX, "nginx does not start");
            sleep(LOOK);
        }
        process
    });
    Program(started.join().unwrap())
}

/// A Dovecot that keeps mails, inside TLS. It reads them as nobody.
fn start_mail(router: &Router, tls: &TlsFiles, folder: &Path) -> Group {
    let at = folder.join("mail");
    std::fs::create_dir_all(at.join("root")).unwrap();
    for open in [folder, &at, &at.join("root")] {
        std::fs::set_permissions(open, std::fs::Permissions::from_mode(0o777)).unwrap();
    }
    let (at, cert, key) = (text(&at), text(&tls.cert), text(&tls.key));
    let settings = format!(
        "base_dir = {at}/run\nstate_dir = {at}/state\nlog_path = {at}/errors\nprotocols = imap\nlisten = {STORAGE_ADDRESS}\n\
         ssl = required\nssl_cert = <{cert}\nssl_key = <{key}\nfirst_valid_uid = 1\n\
         passdb {{\n driver = static\n args = password=pass\n}}\n\
         userdb {{\n driver = static\n args = uid=65534 gid=65534 home={at}/root\n}}\n\
         mail_location = maildir:{at}/root\n\
         service imap-login {{\n chroot =\n inet_listener imap {{\n port = 0\n }}\n}}\n"
    );
    let file = folder.join("mail/conf");
    std::fs::write(&file, settings).unwrap();
    let mut command = Command::new("dovecot");
    command
        .args(["-F", "-c", text(&file)])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    let started = router.host("storage").run(move || {
        let process = command.spawn().expect("dovecot is installed");
        let began = Instant::now();
        while TcpStream::connect((STORAGE_ADDRESS, 993)).is_err() {
            assert!(began.elapsed() < START_MAX, "dovecot does not start");
            sleep(LOOK);
        }
        process
    });
    Group(started.join().unwrap())
}

/// A relay that will begin with these settings passes on to these.
pub(crate) fn pass_on(data: &Path, routes: &[String]) {
    std::fs::create_dir_all(data).unwrap();
    std::fs::set_permissions(data, std::fs::Permissions::from_mode(0o700)).unwrap();
    let settings = format!("forward_to = \"{}\"\n", routes.join(" "));
    std::fs::write(data.join("relay.toml"), settings).unwrap();
}

/// A relay at two ports, whose route names it by name and by number; a plain one, or a bridge, at one port by its number.
pub(super) fn start_relay(
    router: &Router,
    program: &Path,
    face: Face,
    tls: &TlsFiles,
    (host, at, name): (&str, Ipv4Addr, &str),
    data: &Path,
) -> (Program, String) {
    if face == Face::Plain {
        let listen = format!("{at}:80");
        let words = ["relay", "run", "--data", text(data), "--listen", &listen];
        return start(router, host, program, None, &words, "route: ");
    }
    if face == Face::Bridge {
        let bridge = format!("{at}:{SECOND_PORT}");
        let words = [
            "relay",
            "run",
            "--data",
            text(data),
            "--listen",
            "127.0.0.1:0",
            "--obfs4",
            &bridge,
        ];
        return start(router, host, program, None, &words, "obfs4: ");
    }
    let (listen, also) = (format!("{at}:443"), format!("{at}:{SECOND_PORT}"));
    let public = format!("{name}:443,{listen},{also}");
    let mut words = vec!["relay", "run", "--data", text(data)];
    words.extend(["--listen", &listen, "--also-listen", &also, "--public", &public]);
    words.extend(["--cert", text(&tls.cert), "--key", text(&tls.key)]);
    let site = data.with_extension("site");
    if face == Face::Site {
        std::fs::create_dir_all(&site).unwrap();
        std::fs::write(
            site.join("index.html"),
            "<title>Garden</title><h1>Apples and pears</h1>",
        )
        .unwrap();
        words.extend(["--site", text(&site)]);
    }
    start(router, host, program, None, &words, "route: ")
}

/// How the daemon is told to send the `n`th.
fn saying(load: Load, n: usize, chat: &Value) -> (&'static str, Value) {
    let text = name_of(n);
    let send = |kind: &str, file: Vec<u8>, preview: Option<String>| {
        let data = STANDARD.encode(file);
        let asked = json!({ "chat": chat, "kind": kind, "data": data, "preview": preview, "text": text });
        ("media.send", asked)
    };
    match load {
        Load::Texts => ("send", json!({ "chat": chat, "text": text })),
        Load::Kilobytes => ("send", json!({ "chat": chat, "text": format!("{text:.<TEXT_BYTES$}") })),
        Load::Stream => unreachable!("no daemon says a stream"),
        // A photo that is no larger than its preview.
        Load::Media if Load::is_photo(n) => send("photo", photo(PHOTO_BYTES, 7), None),
        Load::Media => send("voice", note(NOTE_SOUNDS, 7), None),
    }
}

/// They never met: nothing came.
fn nothing(work: Work) -> Outcome {
    Outcome {
        texts: (0..work.texts)
            .map(|n| (work.pace * u32::try_from(n).unwrap(), None))
            .collect(),
        doubled: 0,
        gap_max: None,
        read: 0,
    }
}

/// What the `n`th text begins with.
fn name_of(n: usize) -> String {
    format!("text {n}")
}

pub(crate) fn chat(socket: &mut Socket) -> Option<Value> {
    let chats = socket.ask("chats", &json!({ "limit": 1 })).ok()?;
    chats.get(0).map(|chat| chat["id"].clone())
}

/// The chat with somebody of this name.
fn chat_named(socket: &mut Socket, name: &str) -> Option<Value> {
    let chats = socket.ask("chats", &json!({ "limit": 10 })).ok()?;
    let chat = chats.as_array()?.iter().find(|chat| chat["name"] == name)?;
    Some(chat["id"].clone())
}

/// `seen`: positions of messages. They are in the order of writing: what comes late stands before what came.
fn look(bo: &mut Socket, chat: &Value, seen: &mut BTreeSet<i64>, came: &mut BTreeMap<String, (Instant, usize)>) {
    let after = seen.iter().nth_back(LATE_MAX).copied().unwrap_or(i64::MIN);
    let Ok(page) = bo.ask("messages", &json!({ "chat": chat, "after": after, "limit": 500 })) else {
        return;
    };
    for message in page["messages"].as_array().into_iter().flatten() {
        let is_new = seen.insert(message["position"].as_i64().unwrap());
        if is_new && message["kind"] == "text" {
            let text = message["text"]
                .as_str()
                .unwrap_or_default()
                .trim_end_matches('.')
                .to_owned();
            came.entry(text).or_insert_with(|| (Instant::now(), 0)).1 += 1;
        }
    }
}

/// Starts a program in a host. Out: what follows the prefix in the first line that has it.
pub(crate) fn start(
    router: &Router,
    host: &str,
    program: &Path,
    trust: Option<&Path>,
    words: &[&str],
    prefix: &'static str,
) -> (Program, String) {
    let mut command = command(program, words);
    // Whose certificates the program believes.
    command.envs(trust.map(|file| ("SSL_CERT_FILE", file)));
    let (told, said) = channel();
    let started = router
        .host(host)
        .run(move || command.stdout(Stdio::piped()).spawn().expect("the program runs"));
    let mut child = started.join().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            if let Some(rest) = line.strip_prefix(prefix) {
                let _ = told.send(rest.to_owned());
            }
        }
    });
    let program = Program(child);
    (
        program,
        said.recv_timeout(START_MAX).expect("the program says that it is up"),
    )
}

pub(crate) fn finish(router: &Router, host: &str, program: &Path, words: &[&str]) {
    let mut command = command(program, words);
    let output = router
        .host(host)
        .run(move || command.stderr(Stdio::piped()).output().expect("the program runs"));
    let output = output.join().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The program, with nothing of this process's environment that it would listen to.
pub(crate) fn command(program: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("STONECHAT_")) {
        command.env_remove(name);
    }
    command
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .args(words)
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    command
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a path of ours")
}

/// JSON-RPC over a daemon's socket.
pub(crate) struct Socket {
    write: UnixStream,
    read: BufReader<UnixStream>,
    last_id: u64,
}

impl Socket {
    pub(crate) fn open(home: &Path) -> io::Result<Self> {
        let write = UnixStream::connect(home.join("socket"))?;
        write.set_read_timeout(Some(START_MAX))?;
        let read = BufReader::new(write.try_clone()?);
        Ok(Self {
            write,
            read,
            last_id: 0,
        })
    }

    pub(crate) fn ask(&mut self, method: &str, params: &Value) -> io::Result<Value> {
        self.last_id += 1;
        let request = json!({ "jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params });
        writeln!(self.write, "{request}")?;
        loop {
            let mut line = String::new();
            if self.read.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let mut said: Value = serde_json::from_str(&line)?;
            if said["id"] == self.last_id {
                return match said.get("error") {
                    Some(error) => Err(io::Error::other(error.to_string())),
                    None => Ok(said["result"].take()),
                };
            }
        }
    }
}
