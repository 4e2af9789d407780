//! The system's network is as it was: Stonechat needs no VPN, and is none.

use std::process::Command;

use crate::drop_host::{Host as DropHost, Kind};
use crate::harness::{Host, Person, Process, eventually, text};

/// What programs without any privilege could find changed.
const FILES: [&str; 5] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/environment",
    "/etc/gai.conf",
];

/// Interfaces, routes of every table, rules, and TUN devices, as a network namespace has them; and those files.
fn network(run: impl Fn(&str) -> Command) -> Vec<String> {
    let shown = |words: &[&str]| {
        let done = run("ip").args(words).output().unwrap();
        assert!(done.status.success(), "{words:?}: {done:?}");
        String::from_utf8(done.stdout).unwrap()
    };
    let mut all = vec![
        shown(&["-brief", "address", "show"]),
        shown(&["-4", "route", "show", "table", "all"]),
        shown(&["rule", "show"]),
        shown(&["tuntap", "list"]),
    ];
    all.extend(FILES.map(|file| std::fs::read_to_string(file).unwrap_or_default()));
    all
}

fn knows(person: &Person, name: &str) -> Option<()> {
    person.run(&["contacts"]).ok().contains(name).then_some(())
}

fn reads(person: &Person, from: &str, words: &str) {
    eventually(words, || {
        person.run(&["messages", from]).ok().contains(words).then_some(())
    });
}

#[test]
fn relay_and_near_relay_change_nothing_of_the_systems_network_way_3() {
    let ana_s = Host::alone();
    let bo_s = Host::beside(&ana_s);
    ana_s.address("10.77.1.2");
    bo_s.address("10.77.1.3");
    let here = |host: &Host| network(|program| host.command(program));
    let (mut ana, mut bo) = (Person::nobody(), Person::new("Bo", None));
    let data = tempfile::tempdir().unwrap();
    let words = [
        "relay",
        "run",
        "--listen",
        "10.77.1.2:7481",
        "--data",
        &text(data.path()),
    ];
    // An address of IPv6 needs a moment until it is there for good.
    let before = eventually("quiet", || {
        let before = [here(&ana_s), here(&bo_s)];
        std::thread::sleep(std::time::Duration::from_millis(500));
        ([here(&ana_s), here(&bo_s)] == before && !before.concat().concat().contains("tentative")).then_some(before)
    });
    let mut relay = Process::start_on(&ana_s, &words, "route: ");
    ana.run(&["init", "--name", "Ana", "--relay", &relay.said]).ok();
    ana.serve_near_on(&ana_s);
    bo.serve_near_on(&bo_s);
    bo.run(&["accept", &ana.run(&["invite"]).line()]).ok();
    eventually("Bo among Ana's contacts", || knows(&ana, "Bo"));
    ana.run(&["send", "Bo", "by the relay"]).ok();
    reads(&bo, "Ana", "by the relay");
    assert_eq!([here(&ana_s), here(&bo_s)], before, "with a relay");
    relay.kill();
    ana.run(&["send", "Bo", "by a near relay"]).ok();
    reads(&bo, "Ana", "by a near relay");
    assert_eq!([here(&ana_s), here(&bo_s)], before, "with a near relay");
    ana.stop();
    bo.stop();
    assert_eq!([here(&ana_s), here(&bo_s)], before, "afterwards");
}

#[test]
fn a_drop_changes_nothing_of_the_systems_network_way_3() {
    let here = || network(|program| Command::new(program));
    let before = here();
    let host = DropHost::start(Kind::Nginx);
    let (mut ana, mut bo) = (Person::nobody(), Person::new("Bo", None));
    ana.run(&["init", "--name", "Ana", "--drop", &host.url()]).ok();
    ana.serve();
    bo.serve();
    bo.run(&["accept", &ana.run(&["invite"]).line()]).ok();
    eventually("Bo among Ana's contacts", || knows(&ana, "Bo"));
    ana.run(&["send", "Bo", "by a drop"]).ok();
    reads(&bo, "Ana", "by a drop");
    assert_eq!(here(), before);
}
