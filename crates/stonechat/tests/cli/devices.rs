//! One account on two machines, by the command line: linked through a relay, then removed.

use std::process::{Command, Stdio};

use crate::harness::{Relay, eventually, friends};

// proves: LNK-4, LNK-6, OWN-4, DEV-7
#[test]
fn a_second_device_is_linked_talks_and_is_removed() {
    let relay = Relay::start();
    let (mut ana, bo) = friends(&relay);
    ana.run(&["send", "Bo", "before"]).ok();
    let link = ana.run(&["device", "link", "--name", "Phone"]).line();
    assert!(link.starts_with("stone:d"), "{link}");
    let mut laptop = crate::harness::Person::nobody();
    // The new device waits for its number to be typed: beside the test, as beside the person.
    let mut accepting = Command::new(env!("CARGO_BIN_EXE_stonechat"))
        .args(["device", "accept", &link, "--name", "Laptop", "--json"])
        .env("STONECHAT_HOME", laptop.home())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(accepting.stdout.take().unwrap()));
    let shown: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    let number = shown["number"].as_str().unwrap().to_owned();
    let wrong = if number == "000000" { "000001" } else { "000000" };
    let refused = ana.run(&["device", "confirm", wrong]);
    assert!(
        refused.code == 1 && refused.err.contains("not the number"),
        "{refused:?}"
    );
    let done = ana.run(&["device", "confirm", &number, "--json"]).json();
    assert_eq!(
        (done[0]["state"].as_str(), done[0]["name"].as_str()),
        (Some("done"), Some("Laptop"))
    );
    let linked: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(linked["state"], "linked");
    assert!(lines.next().is_none());
    assert!(accepting.wait().unwrap().success());
    laptop.serve();
    eventually("Bo is known there", || {
        (laptop.run(&["send", "Bo", "from the laptop"]).code == 0).then_some(())
    });
    let has = |person: &crate::harness::Person, chat: &str, text: &str| {
        eventually(text, || {
            person.run(&["messages", chat]).ok().contains(text).then_some(())
        });
    };
    has(&bo, "Ana", "from the laptop");
    has(&ana, "Bo", "from the laptop");
    bo.run(&["send", "Ana", "to both"]).ok();
    has(&ana, "Bo", "to both");
    has(&laptop, "Bo", "to both");
    assert!(bo.run(&["messages", "Ana"]).ok().contains("has a new device"));
    let all = laptop.run(&["messages", "Bo"]).ok();
    assert!(!all.contains("before"), "history does not come along: {all}");
    // Only the first device has the words.
    let words = laptop.run(&["words"]);
    assert!(words.code == 1 && words.err.contains("first device"), "{words:?}");
    let listed = laptop.run(&["device", "list", "--json"]).json();
    assert_eq!(listed.len(), 2);
    assert_eq!(
        (&listed[0]["name"], &listed[1]["this"]),
        (&"Phone".into(), &true.into())
    );

    for (person, name, saying) in [
        (&ana, "Phone", "the device you are on"),
        (&laptop, "Phone", "first device"),
    ] {
        let done = person.run(&["device", "remove", name]);
        assert!(done.code == 1 && done.err.contains(saying), "{done:?}");
    }
    let left = ana.run(&["device", "remove", "Laptop", "--json"]).json();
    assert_eq!(left.len(), 1);
    eventually("the laptop learns it", || {
        laptop.run(&["status"]).ok().contains("revoked").then_some(())
    });
    bo.run(&["send", "Ana", "to the phone"]).ok();
    has(&ana, "Bo", "to the phone");
    assert!(!laptop.run(&["messages", "Bo"]).ok().contains("to the phone"));
    ana.stop();
}

#[test]
fn what_is_no_device_link_makes_no_profile() {
    let nobody = crate::harness::Person::nobody();
    let done = nobody.run(&["device", "accept", "stone:dAAAA"]);
    assert_eq!(done.code, 5, "{done:?}");
    assert!(!nobody.home().join("stonechat.db").exists());
}
