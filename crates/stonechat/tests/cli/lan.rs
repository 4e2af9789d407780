//! The local network: no internet, and a relay whose address is another one each day.

use crate::harness::{Host, Person, Process, eventually, text};

/// A relay that is run for the local network.
fn relay(host: &Host, data: &std::path::Path) -> Process {
    let words = [
        "relay",
        "run",
        "--listen",
        "0.0.0.0:7481",
        "--lan",
        "--data",
        &text(data),
    ];
    Process::start_on(host, &words, "route: ")
}

#[test]
fn a_relay_is_found_on_the_local_network_at_another_address_lan_1() {
    let ana_s = Host::alone();
    let bo_s = Host::beside(&ana_s);
    ana_s.address("10.77.1.2");
    bo_s.address("10.77.1.3");
    let data = tempfile::tempdir().unwrap();
    let mut at_first = relay(&ana_s, data.path());
    let (mut ana, mut bo) = (Person::nobody(), Person::new("Bo", None));
    ana.run(&["init", "--name", "Ana", "--relay", &at_first.said]).ok();
    ana.serve_on(&ana_s);
    bo.serve_on(&bo_s);
    let link = ana.run(&["invite"]).line();
    bo.run(&["accept", &link]).ok();
    let words = |person: &Person| person.run(&["messages", "Ana"]).ok();
    let knows = |person: &Person, name| person.run(&["contacts"]).ok().contains(name).then_some(());
    eventually("Bo among Ana's contacts", || knows(&ana, "Bo"));
    ana.run(&["send", "Bo", "at home"]).ok();
    eventually("the first text", || words(&bo).contains("at home").then_some(()));

    // Another day, another hotspot: the same relay somewhere else, and nobody is told where.
    at_first.kill();
    ana_s.address("192.168.43.1");
    bo_s.address("192.168.43.77");
    let _again = relay(&ana_s, data.path());
    bo.run(&["send", "Ana", "on a hotspot"]).ok();
    // proves: LAN-3
    eventually("a text by the relay that was found", || {
        ana.run(&["messages", "Bo"]).ok().contains("on a hotspot").then_some(())
    });
    ana.run(&["send", "Bo", "and back"]).ok();
    eventually("the answer", || words(&bo).contains("and back").then_some(()));
}
