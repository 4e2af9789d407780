//! `run` and `demo`: what is started together ends together.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, Stdio};

use crate::harness::{PROGRAM, eventually, text};

struct Started {
    child: Child,
    lines: Vec<String>,
    _dir: tempfile::TempDir,
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts it and reads so many lines.
fn start(words: &[&str], count: usize) -> Started {
    start_as(Command::new(PROGRAM), words, count)
}

/// In a network of its own whose only address is a public one, 203.0.113.5 (RFC 5737).
fn start_in_a_public_network(words: &[&str], count: usize) -> Started {
    let network =
        "ip link set lo up && ip addr add 203.0.113.5/24 dev lo && ip route add default dev lo src 203.0.113.5";
    let mut command = Command::new("unshare");
    command.arg("--net");
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        command.arg("--map-root-user");
    }
    command.args(["sh", "-c", &format!("{network} && exec \"$@\""), "sh", PROGRAM]);
    start_as(command, words, count)
}

fn start_as(mut command: Command, words: &[&str], count: usize) -> Started {
    let dir = tempfile::tempdir().unwrap();
    let home = text(&dir.path().join("home"));
    command
        .args(["--home", &home])
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = command
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .take(count)
        .map(Result::unwrap)
        .collect();
    Started {
        child,
        lines,
        _dir: dir,
    }
}

fn address_in(line: &str) -> SocketAddr {
    let port = line.split_once("/#launch=").unwrap().0.rsplit_once(':').unwrap().1;
    SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()))
}

fn answers(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

/// Bug: who was told to end right after the address had been printed was killed by the signal, and cleaned up nothing.
#[test]
fn what_is_said_as_soon_as_the_address_is_there_is_heard() {
    for signal in ["INT", "TERM"] {
        let mut run = start(&["run", "--port", "0"], 2);
        let id = run.child.id().to_string();
        let kill = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(kill.unwrap().success());
        let status = eventually("it ends", || run.child.try_wait().unwrap());
        assert!(status.success(), "{signal}");
    }
}

#[test]
fn the_demo_prints_two_addresses_and_ends_all_it_started() {
    let mut demo = start(&["demo", "--any-port"], 2);
    assert!(
        demo.lines[0].starts_with("ana: http://ana.localhost:"),
        "{:?}",
        demo.lines
    );
    assert!(
        demo.lines[1].starts_with("bo: http://bo.localhost:"),
        "{:?}",
        demo.lines
    );
    let pages: Vec<SocketAddr> = demo.lines.iter().map(|line| address_in(line)).collect();
    assert!(pages.iter().all(|page| answers(*page)));
    let id = demo.child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-s", "INT", &id])
            .status()
            .unwrap()
            .success()
    );
    let status = eventually("it ends", || demo.child.try_wait().unwrap());
    assert!(status.success());
    assert!(!pages.iter().any(|page| answers(*page)));
}

#[test]
fn killing_the_demo_leaves_nothing_behind() {
    let mut demo = start(&["demo", "--any-port"], 2);
    let pages: Vec<SocketAddr> = demo.lines.iter().map(|line| address_in(line)).collect();
    demo.child.kill().unwrap();
    eventually("the children end", || {
        (!pages.iter().any(|page| answers(*page))).then_some(())
    });
}

#[test]
fn run_starts_relay_and_profile_and_a_second_run_gives_another_address() {
    let run = start(&["run", "--port", "0"], 2);
    assert!(run.lines[0].starts_with("route: stone:r"), "{:?}", run.lines);
    assert!(run.lines[1].starts_with("ui: http://127.0.0.1:"), "{:?}", run.lines);
    let home = text(&run._dir.path().join("home"));
    let done = crate::harness::run(&["--home", &home, "run"]);
    assert!(done.out.starts_with("ui: http://127.0.0.1:"), "{done:?}");
    assert_ne!(done.out.trim(), run.lines[1]);
    let init = crate::harness::run(&["--home", &home, "init", "--name", "Ana"]);
    assert_eq!(init.code, 0, "{init:?}");
    let invite = crate::harness::run(&["--home", &home, "invite"]);
    assert!(
        invite.out.starts_with("http://127.0.0.1:"),
        "the relay of the run is used: {invite:?}"
    );
    assert!(invite.err.contains("only on this computer"), "{invite:?}");
}

// proves: MEET-15
#[test]
fn what_is_run_for_the_local_network_invites_into_it_whatever_its_address() {
    for (words, says) in [
        (&["run", "--lan", "--port", "0"][..], "only in this network"),
        (&["run", "--port", "0"], "only on this computer"),
    ] {
        let run = start_in_a_public_network(words, 2);
        let home = text(&run._dir.path().join("home"));
        let init = crate::harness::run(&["--home", &home, "init", "--name", "Ana"]);
        assert_eq!(init.code, 0, "{init:?}");
        let invite = crate::harness::run(&["--home", &home, "invite"]);
        assert!(invite.err.contains(says), "{invite:?}");
        let address = if words.contains(&"--lan") {
            "http://203.0.113.5:"
        } else {
            "http://127.0.0.1:"
        };
        assert!(invite.out.starts_with(address), "{invite:?}");
    }
}
