//! People with homes, relays and daemons as processes; each is killed by its own handle when the test ends.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_stonechat");

/// Everything of this test that is slow waits at most so long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A command that has ended.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Done {
    /// Standard output of a command that must have worked.
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    /// Its first line.
    pub fn line(self) -> String {
        self.ok().lines().next().unwrap_or_default().to_owned()
    }

    /// Each line as JSON.
    pub fn json(self) -> Vec<Value> {
        self.ok()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// A process that serves until it is dropped.
pub struct Process {
    child: Child,
    /// What came after the prefix of its first matching line.
    pub said: String,
}

impl Process {
    pub fn start(words: &[&str], prefix: &str, environment: &[(&str, &str)]) -> Self {
        let mut command = base(Command::new(PROGRAM));
        command.envs(environment.iter().copied());
        Self::start_as(command, words, prefix)
    }

    /// The program on a host of its own.
    pub fn start_on(host: &Host, words: &[&str], prefix: &str) -> Self {
        Self::start_as(base(host.command(PROGRAM)), words, prefix)
    }

    fn start_as(mut command: Command, words: &[&str], prefix: &str) -> Self {
        let mut child = command.args(words).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = lines.find_map(|line| line.ok()?.strip_prefix(prefix).map(str::to_owned));
        // Read to the end, so that the process never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            said: said.unwrap_or_else(|| panic!("{words:?} said nothing")),
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// kill -9.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A relay process that can come back at the same address.
pub struct Relay {
    dir: tempfile::TempDir,
    process: Option<Process>,
    pub route: String,
    listen: String,
}

impl Relay {
    pub fn start() -> Self {
        let listen = format!("127.0.0.1:{}", free_port());
        let mut relay = Self {
            dir: tempfile::tempdir().unwrap(),
            process: None,
            route: String::new(),
            listen,
        };
        relay.restart();
        relay
    }

    pub fn restart(&mut self) {
        self.stop();
        let words = ["relay", "--listen", &self.listen, "--data", &text(self.dir.path())];
        let process = Process::start(&words, "route: ", &[("STONECHAT_LOG", "trace")]);
        self.route.clone_from(&process.said);
        self.process = Some(process);
    }

    pub fn stop(&mut self) {
        self.process = None;
    }

    /// The same relay on another port.
    pub fn move_away(&mut self) {
        self.stop();
        self.listen = format!("127.0.0.1:{}", free_port());
        self.restart();
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    pub fn address(&self) -> &str {
        &self.listen
    }
}

/// Somebody with a home.
pub struct Person {
    dir: tempfile::TempDir,
    daemon: Option<Process>,
}

impl Person {
    /// A home without an account.
    pub fn nobody() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            daemon: None,
        }
    }

    /// A home with an account; a relay only where one is given.
    pub fn new(name: &str, relay: Option<&Relay>) -> Self {
        let person = Self::nobody();
        let mut words = vec!["init", "--name", name];
        words.extend(relay.into_iter().flat_map(|relay| ["--relay", relay.route.as_str()]));
        person.run(&words).ok();
        person
    }

    pub fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// Runs one command to its end.
    pub fn run(&self, words: &[&str]) -> Done {
        run_in(&self.home(), words)
    }

    /// Starts the daemon (again).
    pub fn serve(&mut self) -> &Process {
        self.serve_with(&[])
    }

    /// The same with more in its environment.
    pub fn serve_with(&mut self, environment: &[(&str, &str)]) -> &Process {
        self.stop();
        let home = text(&self.home());
        let words = ["--home", &home, "serve", "--port", "0", "--log", "trace"];
        self.daemon.insert(Process::start(&words, "ui: ", environment))
    }

    /// The same on a host of its own.
    pub fn serve_on(&mut self, host: &Host) {
        self.stop();
        let home = text(&self.home());
        let words = ["--home", &home, "serve", "--port", "0"];
        self.daemon = Some(Process::start_on(host, &words, "ui: "));
    }

    /// The same, with a near relay where no other is reached.
    pub fn serve_near_on(&mut self, host: &Host) {
        self.stop();
        let home = text(&self.home());
        let mut command = base(host.command(PROGRAM));
        command.env("STONECHAT_NEAR", "1");
        let words = ["--home", &home, "serve", "--port", "0", "--log", "debug"];
        self.daemon = Some(Process::start_as(command, &words, "ui: "));
    }

    /// The daemon's process id.
    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().unwrap().id()
    }

    /// Kills the daemon.
    pub fn stop(&mut self) {
        self.daemon = None;
    }

    /// A connection to the daemon's socket.
    pub fn socket(&self) -> std::io::Result<Socket> {
        connect(&self.home())
    }

    /// The state that a message to a contact has reached.
    pub fn state_of(&self, contact: &str, id: &str) -> String {
        let all = self.run(&["messages", contact, "--json"]).json();
        let found = all.iter().find(|message| message["id"] == id);
        found.map_or_else(String::new, |message| message["state"].as_str().unwrap().to_owned())
    }
}

/// Two people with daemons who know each other.
pub fn friends(relay: &Relay) -> (Person, Person) {
    let (mut ana, mut bo) = (Person::new("Ana", Some(relay)), Person::new("Bo", None));
    ana.serve();
    bo.serve();
    let link = ana.run(&["invite"]).line();
    assert_eq!(bo.run(&["accept", &link]).line(), "accepted: Ana");
    (ana, bo)
}

/// Connects to the daemon of a home.
pub fn connect(home: &Path) -> std::io::Result<Socket> {
    let write = UnixStream::connect(home.join("socket"))?;
    let read = BufReader::new(write.try_clone()?);
    Ok(Socket {
        write,
        read,
        last_id: 0,
    })
}

/// JSON-RPC over a daemon's socket.
pub struct Socket {
    write: UnixStream,
    read: BufReader<UnixStream>,
    last_id: u64,
}

impl Socket {
    /// Asks. Errors: the pipe broke (the daemon was killed). A refusal fails the test.
    pub fn ask(&mut self, method: &str, params: &Value) -> std::io::Result<Value> {
        self.last_id += 1;
        let request = json!({ "jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params });
        writeln!(self.write, "{request}")?;
        loop {
            let mut line = String::new();
            if self.read.read_line(&mut line)? == 0 || !line.ends_with('\n') {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let mut said: Value = serde_json::from_str(&line)?;
            if said["id"] == self.last_id {
                assert!(said.get("error").is_none(), "{method}: {said}");
                return Ok(said["result"].take());
            }
        }
    }

    /// The next event of a subscription.
    pub fn event(&mut self) -> std::io::Result<Value> {
        let mut line = String::new();
        self.read.read_line(&mut line)?;
        let mut said: Value = serde_json::from_str(&line)?;
        Ok(said["params"]["event"].take())
    }
}

/// Runs one command in a home.
pub fn run_in(home: &Path, words: &[&str]) -> Done {
    let mut all = vec!["--home".to_owned(), text(home)];
    all.extend(words.iter().map(|word| (*word).to_owned()));
    run(&all.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Runs one command.
pub fn run(words: &[&str]) -> Done {
    let output = base(Command::new(PROGRAM)).args(words).output().unwrap();
    Done {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A command, with nothing of this process's environment that the program would listen to.
fn base(mut command: Command) -> Command {
    let ours = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("STONECHAT_"));
    for name in ours
        .map(|(name, _)| name)
        .chain(["DISPLAY".into(), "WAYLAND_DISPLAY".into()])
    {
        command.env_remove(name);
    }
    // Nothing is said to the network that the tests run on.
    command.env("STONECHAT_NEAR", "0");
    command.stdin(Stdio::null());
    command
}

/// A network namespace: a computer with an interface of its own, as long as this lives.
pub struct Host(Child);

impl Host {
    /// One without a network.
    pub fn alone() -> Self {
        let mut command = Command::new("unshare");
        command.arg("--net");
        if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
            command.arg("--map-root-user");
        }
        Self::hold(command)
    }

    /// Another one, on the other end of a wire.
    pub fn beside(other: &Self) -> Self {
        let mut command = other.command("unshare");
        command.arg("--net");
        let host = Self::hold(command);
        let end = host.0.id().to_string();
        other.ip(&[
            "link", "add", "lan0", "type", "veth", "peer", "name", "lan0", "netns", &end,
        ]);
        host
    }

    /// Several on one network, as on a hotspot: the first is where the others meet.
    pub fn hotspot(addresses: &[&str]) -> Vec<Self> {
        let first = Self::alone();
        first.ip(&["link", "add", "lan0", "type", "bridge"]);
        let mut hosts = vec![first];
        for n in 1..addresses.len() {
            let mut command = hosts[0].command("unshare");
            command.arg("--net");
            let host = Self::hold(command);
            let (port, end) = (format!("port{n}"), host.0.id().to_string());
            hosts[0].ip(&[
                "link", "add", &port, "type", "veth", "peer", "name", "lan0", "netns", &end,
            ]);
            hosts[0].ip(&["link", "set", &port, "master", "lan0", "up"]);
            hosts.push(host);
        }
        hosts
            .iter()
            .zip(addresses)
            .for_each(|(host, address)| host.address(address));
        hosts
    }

    fn hold(mut command: Command) -> Self {
        let held = "ip link set lo up && echo up && exec sleep 600";
        let mut child = command.args(["sh", "-c", held]).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut said)
            .unwrap();
        assert_eq!(said, "up\n");
        Self(child)
    }

    /// Gives its end of the wire this address, in the place of any other.
    pub fn address(&self, address: &str) {
        self.ip(&["addr", "flush", "dev", "lan0"]);
        self.ip(&["addr", "add", &format!("{address}/24"), "dev", "lan0"]);
        self.ip(&["link", "set", "lan0", "up"]);
    }

    fn ip(&self, words: &[&str]) {
        assert!(self.command("ip").args(words).status().unwrap().success(), "{words:?}");
    }

    /// A command there.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.0.id().to_string(), "--net"]);
        if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg(program);
        command
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Tries until it is so, or fails the test.
pub fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(Instant::now() < end, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

pub fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
