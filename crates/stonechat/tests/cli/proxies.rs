//! Ways that others dial: a SOCKS 5 proxy that everything goes through, and obfs4 bridges by the real obfs4proxy.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use stonechat_wire::bridge::Bridge;
use stonechat_wire::route::RelayRoute;

use crate::harness::{Person, Process, eventually, free_port, text};

/// A proxy as RFC 1928 and 1929 have it, for one login. It knows one place, and notes all that it is asked for.
struct Socks {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

const LOGIN: &[u8] = b"\x01\x03ana\x06geheim";

impl Socks {
    /// `known` leads to this port of this machine; everything else to nowhere.
    fn start(known: &str, to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (known, notes) = (known.to_owned(), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (known, notes) = (known.clone(), Arc::clone(&notes));
                thread::spawn(move || serve(stream, &known, to, &notes));
            }
        });
        Self { port, asked }
    }

    fn url(&self) -> String {
        format!("socks5://ana:geheim@127.0.0.1:{}", self.port)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, known: &str, to: u16, asked: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut login = [0; LOGIN.len()];
    let mut hello = [0; 2];
    take(&mut stream, &mut hello)?;
    take(&mut stream, &mut vec![0; usize::from(hello[1])])?;
    stream.write_all(&[5, 2])?;
    take(&mut stream, &mut login)?;
    let is_right = login == *LOGIN;
    stream.write_all(&[1, u8::from(!is_right)])?;
    if !is_right {
        return Ok(());
    }
    let place = place(&mut stream)?;
    let is_known = place == known;
    asked.lock().unwrap().push(place);
    stream.write_all(&[5, if is_known { 0 } else { 4 }, 0, 1, 0, 0, 0, 0, 0, 0])?;
    if is_known {
        join(stream, TcpStream::connect(("127.0.0.1", to))?);
    }
    Ok(())
}

/// What it is asked for: a name stays one, a number has its kind before it.
fn place(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = [0; 4];
    take(stream, &mut head)?;
    let host = match head[3] {
        3 => {
            let mut length = [0];
            take(stream, &mut length)?;
            let mut name = vec![0; usize::from(length[0])];
            take(stream, &mut name)?;
            String::from_utf8_lossy(&name).into_owned()
        }
        kind => {
            take(stream, &mut vec![0; if kind == 1 { 4 } else { 16 }])?;
            format!("number {kind}")
        }
    };
    let mut port = [0; 2];
    take(stream, &mut port)?;
    Ok(format!("{host}:{}", u16::from_be_bytes(port)))
}

fn take(stream: &mut TcpStream, bytes: &mut [u8]) -> io::Result<()> {
    stream.read_exact(bytes)
}

/// Carries bytes both ways until both have ended.
fn join(one: TcpStream, other: TcpStream) {
    let pairs = [(one.try_clone().unwrap(), other.try_clone().unwrap()), (other, one)];
    for (mut from, mut to) in pairs {
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
}

/// A place that nobody should come to: counts who does.
fn untrodden() -> (u16, Arc<Mutex<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let count: Arc<Mutex<usize>> = Arc::default();
    let counted = Arc::clone(&count);
    thread::spawn(move || listener.incoming().for_each(|_| *counted.lock().unwrap() += 1));
    (port, count)
}

/// Somebody whose settings say so, from before there is an account.
fn person(name: &str, settings: &str, relay: Option<&str>) -> Person {
    let person = Person::nobody();
    fs::create_dir_all(person.home()).unwrap();
    fs::write(person.home().join("config.toml"), settings).unwrap();
    let mut words = vec!["init", "--name", name];
    words.extend(relay.into_iter().flat_map(|relay| ["--relay", relay]));
    person.run(&words).ok();
    person
}

/// A text from one to the other, and its receipt back.
fn says(from: &Person, to: &str, what: &str) {
    let id = from.run(&["send", to, what]).line();
    eventually(what, || (from.state_of(to, &id) == "delivered").then_some(()));
}

fn meet(ana: &Person, bo: &Person) {
    let link = ana.run(&["invite"]).line();
    assert_eq!(bo.run(&["accept", &link]).line(), "accepted: Ana");
    says(ana, "Bo", "hi");
    says(bo, "Ana", "hi back");
}

/// Two people meet and talk through a proxy alone. Out: what it was asked for.
fn through_a_proxy(public: &str) -> Vec<String> {
    let data = tempfile::tempdir().unwrap();
    let port = free_port();
    let words = [
        "relay",
        "--listen",
        &format!("127.0.0.1:{port}"),
        "--data",
        &text(data.path()),
        "--public",
        public,
    ];
    let relay = Process::start(&words, "route: ", &[]);
    let socks = Socks::start(public, port);
    let settings = format!("proxy = \"{}\"\nlog = \"trace\"\n", socks.url());
    let (mut ana, mut bo) = (
        person("Ana", &settings, Some(&relay.said)),
        person("Bo", &settings, None),
    );
    ana.serve();
    bo.serve();
    meet(&ana, &bo);
    for person in [&ana, &bo] {
        let log = logs(&person.home());
        assert!(!log.is_empty() && !log.contains("geheim"), "a password in a log");
    }
    socks.asked()
}

/// All that a home's log has.
fn logs(home: &Path) -> String {
    let files = fs::read_dir(home.join("log")).unwrap();
    files
        .map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
        .collect()
}

#[test]
fn all_goes_through_the_proxy_and_nothing_beside_it_prx_1_prx_2_prx_3() {
    // The relay's name leads, for everybody but the proxy, to where somebody counts.
    let (port, direct) = untrodden();
    let public = format!("localhost:{port}");
    let asked = through_a_proxy(&public);
    assert_eq!(*direct.lock().unwrap(), 0, "somebody was dialled beside the proxy");
    let places: BTreeSet<&String> = asked.iter().collect();
    assert_eq!(
        places,
        BTreeSet::from([&public]),
        "asked for the name, and for nothing else"
    );
    assert!(asked.len() >= 3, "both people, and a knock: {asked:?}");
}

#[test]
fn a_name_that_the_proxy_alone_knows_is_enough_prx_1() {
    let public = "wjtzjwcrj5vu2qyl.onion:80";
    let asked = through_a_proxy(public);
    assert!(
        !asked.is_empty() && asked.iter().all(|place| place == public),
        "{asked:?}"
    );
}

#[test]
fn a_proxy_that_is_away_is_said_so_and_not_gone_around_prx_3_way_4() {
    let (port, direct) = untrodden();
    let data = tempfile::tempdir().unwrap();
    let public = format!("localhost:{port}");
    let words = [
        "relay",
        "--listen",
        "127.0.0.1:0",
        "--data",
        &text(data.path()),
        "--public",
        &public,
    ];
    let relay = Process::start(&words, "route: ", &[]);
    let settings = format!("proxy = \"socks5://ana:geheim@127.0.0.1:{}\"\n", free_port());
    let mut ana = person("Ana", &settings, Some(&relay.said));
    ana.serve();
    let told = eventually("the proxy is away", || {
        let told = ana.run(&["relays"]).ok();
        told.contains("the proxy of the settings does not answer")
            .then_some(told)
    });
    assert!(!told.contains("geheim") && told.contains(&public), "{told}");
    thread::sleep(Duration::from_secs(2));
    assert_eq!(*direct.lock().unwrap(), 0);
}

#[test]
fn a_proxy_that_is_one_way_more_is_used_where_the_others_lead_nowhere_prx_4() {
    let data = tempfile::tempdir().unwrap();
    let (port, public) = (free_port(), "relay.invalid:80");
    let words = [
        "relay",
        "--listen",
        &format!("127.0.0.1:{port}"),
        "--data",
        &text(data.path()),
        "--public",
        public,
    ];
    let relay = Process::start(&words, "route: ", &[]);
    let socks = Socks::start(public, port);
    let settings = format!("proxy = \"{}\"\nproxy_also = true\n", socks.url());
    let (mut ana, mut bo) = (
        person("Ana", &settings, Some(&relay.said)),
        person("Bo", &settings, None),
    );
    ana.serve();
    bo.serve();
    meet(&ana, &bo);
    assert!(!socks.asked().is_empty());
    // And where there is no proxy, a relay is reached all the same.
    let (near, plain) = (tempfile::tempdir().unwrap(), free_port());
    let words = [
        "relay",
        "--listen",
        &format!("127.0.0.1:{plain}"),
        "--data",
        &text(near.path()),
    ];
    let open = Process::start(&words, "route: ", &[]);
    let settings = format!("proxy = \"socks5://127.0.0.1:{}\"\nproxy_also = true\n", free_port());
    let mut cy = person("Cy", &settings, Some(&open.said));
    cy.serve();
    eventually("it is reached without the proxy", || {
        cy.run(&["relays"]).ok().contains("connected)").then_some(())
    });
}

/// A relay that others reach by its bridge alone.
fn bridged(data: &Path) -> Process {
    let words = [
        "relay",
        "--listen",
        "127.0.0.1:0",
        "--data",
        &text(data),
        "--obfs4",
        "127.0.0.1:0",
    ];
    Process::start(&words, "obfs4: ", &[])
}

/// The programs for bridges that a process has started.
fn programs(parent: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    all.filter(|pid| is_obfs4proxy(*pid) && parent_of(*pid) == Some(parent))
        .collect()
}

fn is_obfs4proxy(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "obfs4proxy")
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // State, then the parent, behind the name.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    is_obfs4proxy(pid) && !stat.contains(") Z ")
}

fn kill(pid: u32, signal: &str) {
    let killed = std::process::Command::new("kill")
        .args([signal, &pid.to_string()])
        .status();
    assert!(killed.unwrap().success());
}

/// The one program of a process, once it is there and none of these.
fn the_program(parent: u32, others: &[u32]) -> u32 {
    eventually("obfs4proxy runs", || match programs(parent)[..] {
        [one] if !others.contains(&one) => Some(one),
        _ => None,
    })
}

#[test]
fn two_meet_and_talk_by_a_bridge_alone_whoever_is_killed_prx_5_prx_6_prx_8() {
    let data = tempfile::tempdir().unwrap();
    let mut relay = bridged(data.path());
    let (mut ana, mut bo) = (Person::nobody(), Person::nobody());
    ana.run(&["init", "--name", "Ana", "--relay", &relay.said]).ok();
    bo.run(&["init", "--name", "Bo"]).ok();
    ana.serve();
    bo.serve();
    meet(&ana, &bo);
    let (ana_pid, bo_pid) = (ana.pid(), bo.pid());
    let (client, other) = (the_program(ana_pid, &[]), the_program(bo_pid, &[]));
    let server = the_program(relay.id(), &[]);

    kill(client, "-KILL");
    says(&ana, "Bo", "after my program was killed");
    let client = the_program(ana_pid, &[client]);
    kill(server, "-KILL");
    let server = the_program(relay.id(), &[server]);
    says(&bo, "Ana", "after the bridge was killed");

    // A polite end, a kill of the daemon, a kill of the relay: nothing is left behind.
    kill(ana_pid, "-TERM");
    eventually("Ana's program is gone", || (!is_alive(client)).then_some(()));
    bo.stop();
    eventually("Bo's program is gone", || (!is_alive(other)).then_some(()));
    relay.kill();
    eventually("the bridge is gone", || (!is_alive(server)).then_some(()));

    // Its keys outlive it: the route leads to it again.
    let again = bridged(data.path());
    assert_eq!(certificate(&again.said), certificate(&relay.said));
}

/// What a bridge's route says its clients must know.
fn certificate(route: &str) -> String {
    let route = RelayRoute::parse(route).unwrap();
    Bridge::read(&route.address).unwrap().cert.to_owned()
}

#[test]
fn without_the_program_a_bridge_is_said_to_be_out_of_reach_way_4() {
    let data = tempfile::tempdir().unwrap();
    let relay = bridged(data.path());
    let settings = "obfs4_program = \"/nowhere/obfs4proxy\"\n";
    let mut ana = person("Ana", settings, Some(&relay.said));
    ana.serve();
    let told = eventually("the program is missed", || {
        let told = ana.run(&["relays"]).ok();
        told.contains("obfs4proxy, which dials bridges, is not installed")
            .then_some(told)
    });
    assert!(told.contains("obfs4://127.0.0.1:") && !told.contains("cert"), "{told}");
}

#[test]
fn a_bridge_goes_by_the_proxy_too_prx_7() {
    let data = tempfile::tempdir().unwrap();
    let port = free_port();
    let words = [
        "relay",
        "--listen",
        "127.0.0.1:0",
        "--data",
        &text(data.path()),
        "--obfs4",
        &format!("127.0.0.1:{port}"),
        "--public",
        "bridge.invalid:1",
    ];
    let relay = Process::start(&words, "obfs4: ", &[]);
    let place = format!("bridge.invalid:{port}");
    let socks = Socks::start(&place, port);
    let settings = format!("proxy = \"{}\"\n", socks.url());
    let mut ana = person("Ana", &settings, Some(&relay.said));
    ana.serve();
    eventually("it is reached", || {
        ana.run(&["relays"]).ok().contains("connected)").then_some(())
    });
    assert!(socks.asked().iter().all(|asked| *asked == place), "{:?}", socks.asked());
}

#[test]
fn a_relay_that_shall_have_a_bridge_wants_its_program_prx_8() {
    let data = tempfile::tempdir().unwrap();
    let at = text(data.path());
    let done = crate::harness::run(&[
        "relay",
        "init",
        "--data",
        &at,
        "--obfs4",
        &format!("127.0.0.1:{}", free_port()),
    ]);
    done.ok();
    let examine = |program: &str| {
        let file = data.path().join("relay.toml");
        let settings = fs::read_to_string(&file).unwrap();
        let line = settings
            .lines()
            .find(|line| line.contains("obfs4_program"))
            .unwrap()
            .to_owned();
        fs::write(
            &file,
            settings.replace(&line, &format!("obfs4_program = \"{program}\"")),
        )
        .unwrap();
        crate::harness::run(&["relay", "doctor", "--data", &at]).out
    };
    assert!(examine("obfs4proxy").contains("good: obfs4proxy, the bridge's program, is there"));
    let told = examine("/nowhere/obfs4proxy");
    assert!(
        told.contains("bad: /nowhere/obfs4proxy, the bridge's program, is not installed"),
        "{told}"
    );
    let failed = crate::harness::run(&["relay", "run", "--data", &at, "--listen", "127.0.0.1:0"]);
    assert!(
        failed.code != 0 && failed.err.contains("is not installed"),
        "{failed:?}"
    );
}
