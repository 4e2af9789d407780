//! Near relays: two who have no common relay within reach talk on the network that both are on.

use crate::harness::{Host, Person, Process, eventually, text};

/// Ana and Bo, each on a computer, on one wire.
fn on_a_wire() -> (Host, Host) {
    let ana_s = Host::alone();
    let bo_s = Host::beside(&ana_s);
    ana_s.address("10.77.1.2");
    bo_s.address("10.77.1.3");
    (ana_s, bo_s)
}

fn knows(person: &Person, name: &str) -> Option<()> {
    person.run(&["contacts"]).ok().contains(name).then_some(())
}

/// Waits until somebody has read this from somebody.
fn reads(person: &Person, from: &str, words: &str) {
    eventually(words, || {
        person.run(&["messages", from]).ok().contains(words).then_some(())
    });
}

/// What `status` says of the way to others.
fn way(person: &Person) -> String {
    person.run(&["status"]).ok()
}

#[test]
fn two_whose_relay_is_gone_go_on_by_a_near_relay_lan_7() {
    let (ana_s, bo_s) = on_a_wire();
    let data = tempfile::tempdir().unwrap();
    let words = [
        "relay",
        "run",
        "--listen",
        "10.77.1.2:7481",
        "--data",
        &text(data.path()),
    ];
    let mut relay = Process::start_on(&ana_s, &words, "route: ");
    let (mut ana, mut bo) = (Person::nobody(), Person::new("Bo", None));
    ana.run(&["init", "--name", "Ana", "--relay", &relay.said]).ok();
    ana.serve_near_on(&ana_s);
    bo.serve_near_on(&bo_s);
    let link = ana.run(&["invite"]).line();
    bo.run(&["accept", &link]).ok();
    eventually("Bo among Ana's contacts", || knows(&ana, "Bo"));
    ana.run(&["send", "Bo", "while it was there"]).ok();
    reads(&bo, "Ana", "while it was there");

    relay.kill();
    ana.run(&["send", "Bo", "after the shutdown"]).ok();
    reads(&bo, "Ana", "after the shutdown");
    bo.run(&["send", "Ana", "and back"]).ok();
    reads(&ana, "Bo", "and back");
    eventually("the word for it", || {
        way(&bo).contains("local network only").then_some(())
    });

    // It comes back: the near relays end, and nothing is lost.
    let _again = Process::start_on(&ana_s, &words, "route: ");
    eventually("the relay again", || {
        way(&bo).contains("connection: connected").then_some(())
    });
    ana.run(&["send", "Bo", "over the relay again"]).ok();
    reads(&bo, "Ana", "over the relay again");
}

#[test]
fn two_without_any_relay_meet_and_talk_on_one_network_lan_6() {
    let (ana_s, bo_s) = on_a_wire();
    let (mut ana, mut bo) = (Person::new("Ana", None), Person::new("Bo", None));
    ana.serve_near_on(&ana_s);
    bo.serve_near_on(&bo_s);
    let link = eventually("a door", || {
        let made = ana.run(&["invite"]);
        (made.code == 0).then(|| {
            assert!(made.err.contains("only in this network"), "{made:?}");
            made.line()
        })
    });
    assert!(link.starts_with("http://10.77.1.2:"), "{link}");
    bo.run(&["accept", &link]).ok();
    eventually("Bo among Ana's contacts", || knows(&ana, "Bo"));
    ana.run(&["send", "Bo", "no relay at all"]).ok();
    reads(&bo, "Ana", "no relay at all");
    bo.run(&["send", "Ana", "none here either"]).ok();
    reads(&ana, "Bo", "none here either");

    // Another network, and the daemons start anew: they find each other by themselves.
    ana.stop();
    bo.stop();
    ana_s.address("192.168.43.1");
    bo_s.address("192.168.43.77");
    bo.serve_near_on(&bo_s);
    bo.run(&["send", "Ana", "from a hotspot"]).ok();
    ana.serve_near_on(&ana_s);
    reads(&ana, "Bo", "from a hotspot");
}

/// A family of five in a group, of whom the four know only Ana: everything is shut down, and they share a hotspot.
#[test]
fn a_family_of_five_on_a_hotspot_talks_on_lan_7() {
    const NAMES: [&str; 5] = ["Ana", "Bo", "Cy", "Di", "Ed"];
    let hosts = Host::hotspot(&[
        "192.168.43.1",
        "192.168.43.12",
        "192.168.43.13",
        "192.168.43.14",
        "192.168.43.15",
    ]);
    let data = tempfile::tempdir().unwrap();
    let at = "192.168.43.1:7481";
    let words = ["relay", "run", "--listen", at, "--data", &text(data.path())];
    let mut relay = Process::start_on(&hosts[0], &words, "route: ");
    let mut family: Vec<Person> = NAMES.iter().map(|_| Person::nobody()).collect();
    for ((person, name), host) in family.iter_mut().zip(NAMES).zip(&hosts) {
        person.run(&["init", "--name", name, "--relay", &relay.said]).ok();
        person.serve_near_on(host);
    }
    let (ana, others) = family.split_first().unwrap();
    ana.run(&["group", "create", "Family"]).ok();
    for (other, name) in others.iter().zip(&NAMES[1..]) {
        other.run(&["accept", &ana.run(&["invite"]).line()]).ok();
        eventually(name, || knows(ana, name));
        eventually("added", || {
            (ana.run(&["group", "add", "Family", name]).code == 0).then_some(())
        });
    }
    ana.run(&["send", "Family", "all here?"]).ok();
    others.iter().for_each(|other| reads(other, "Family", "all here?"));

    relay.kill();
    for (person, name) in family.iter().zip(NAMES) {
        person
            .run(&["send", "Family", &format!("{name} after the shutdown")])
            .ok();
    }
    for person in &family {
        for name in NAMES {
            reads(person, "Family", &format!("{name} after the shutdown"));
        }
    }

    // Ana goes, whom alone they all know.
    let ana = family.remove(0);
    drop(ana);
    for (person, name) in family.iter().zip(&NAMES[1..]) {
        person.run(&["send", "Family", &format!("{name} without Ana")]).ok();
    }
    for person in &family {
        for name in &NAMES[1..] {
            reads(person, "Family", &format!("{name} without Ana"));
        }
    }
}

/// What is there at an address, asked from a host.
fn fetched(host: &Host, url: &str) -> Vec<u8> {
    let script = "import sys, urllib.request; sys.stdout.buffer.write(urllib.request.urlopen(sys.argv[1]).read())";
    let output = host.command("python3").args(["-c", script, url]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// No internet, no relay, and Bo has nothing but a browser.
#[test]
fn who_has_nothing_gets_the_program_and_an_invitation_from_somebody_near_lan_10() {
    let (ana_s, bo_s) = on_a_wire();
    let (mut ana, mut bo) = (Person::new("Ana", None), Person::nobody());
    assert!(ana.run(&["give"]).err.contains("no daemon runs"));
    ana.serve_near_on(&ana_s);
    let home = text(&ana.home());
    let giving = Process::start_on(&ana_s, &["--home", &home, "give"], "http://");
    assert!(giving.said.starts_with("10.77.1.2:"), "{}", giving.said);
    let url = format!("http://{}", giving.said);

    let page = String::from_utf8(fetched(&bo_s, &url)).unwrap();
    let given = fetched(&bo_s, &format!("{url}stonechat"));
    assert!(
        given == std::fs::read(crate::harness::PROGRAM).unwrap(),
        "the very program"
    );
    let link = page
        .split("<code dir=\"ltr\">")
        .find(|part| part.starts_with("http://"));
    let link = link.and_then(|part| part.split('<').next()).expect("an invitation");

    bo.run(&["init", "--name", "Bo"]).ok();
    bo.serve_near_on(&bo_s);
    bo.run(&["accept", link]).ok();
    let id = eventually("Bo asks", || {
        let waiting = ana.run(&["requests", "--json"]).json();
        waiting.first().map(|one| one["id"].as_str().unwrap().to_owned())
    });
    ana.run(&["approve", &id]).ok();
    ana.run(&["send", "Bo", "with nothing but us"]).ok();
    reads(&bo, "Ana", "with nothing but us");
}
