//! The drill: a machine is lost, and words and one entrance bring account, contacts and groups back on an empty one.

use crate::harness::{Person, Relay, eventually, friends, text};

/// Keeps what Ana would have on paper. Out: the file with the words, the entrance.
fn on_paper(ana: &Person, dir: &tempfile::TempDir) -> (String, String) {
    let words = ana.run(&["words"]).line();
    let file = dir.path().join("words");
    std::fs::write(&file, words).unwrap();
    (text(&file), ana.run(&["words", "--doors"]).line())
}

fn contacts(person: &Person) -> Vec<(String, bool)> {
    let all = person.run(&["contacts", "--json"]).json();
    let mut all: Vec<_> = all
        .iter()
        .map(|one| {
            (
                one["name"].as_str().unwrap().to_owned(),
                one["verified"].as_bool().unwrap(),
            )
        })
        .collect();
    all.sort();
    all
}

/// Waits until a text has come to somebody.
fn comes(to: &Person, said: &str) {
    eventually(said, || {
        let got = to.run(&["receive", "--json"]).json();
        got.iter().any(|one| one["text"] == said).then_some(())
    });
}

// proves: CAP-6, CAP-7, RCH-3, RCH-6
#[test]
fn words_and_one_door_bring_account_contacts_and_groups_back() {
    let relay = Relay::start();
    let (mut ana, bo) = friends(&relay);
    let mut cy = Person::new("Cy", Some(&relay));
    cy.serve();
    let link = ana.run(&["invite"]).line();
    assert_eq!(cy.run(&["accept", &link]).line(), "accepted: Ana");
    eventually("the keys of both have come", || {
        let made = ana.run(&["group", "create", "House", "Bo", "Cy"]);
        (made.code == 0).then_some(())
    });
    ana.run(&["send", "House", "before"]).ok();
    comes(&bo, "before");
    comes(&cy, "before");
    let account = ana.run(&["status", "--json"]).json()[0]["me"]["id"].clone();
    let paper = tempfile::tempdir().unwrap();
    let (words, door) = on_paper(&ana, &paper);
    assert!(door.starts_with("stone:r"), "{door}");
    // CAP-4: ten seconds after the last change.
    std::thread::sleep(std::time::Duration::from_secs(15));
    ana.stop();
    drop(ana);

    let mut ana = Person::nobody();
    // A whole route, of a relay that has never seen her: another door may follow.
    let other = Relay::start();
    let there = ["restore", "--words-file", &words, "--door", &other.route, "--wait", "1"];
    let lost = ana.run(&there);
    assert!(lost.code == 1 && lost.err.contains("another door"), "{lost:?}");
    let back = ana.run(&["restore", "--words-file", &words, "--door", &door, "--json"]);
    let told = &back.json()[0];
    assert_eq!(told["id"], account);
    assert_eq!(
        (told["name"].as_str(), told["state"].as_str()),
        (Some("Ana"), Some("found"))
    );
    assert_eq!(
        (told["people"].as_u64(), told["leftOut"].as_u64()),
        (Some(0), Some(0)),
        "{told}"
    );
    assert_eq!(contacts(&ana), [("Bo".to_owned(), false), ("Cy".to_owned(), false)]);
    ana.serve();
    eventually("the group is back", || {
        (ana.run(&["send", "House", "I am back"]).code == 0).then_some(())
    });
    comes(&bo, "I am back");
    comes(&cy, "I am back");
    bo.run(&["send", "Ana", "welcome"]).ok();
    comes(&ana, "welcome");
    let seen = bo.run(&["messages", "Ana"]).ok();
    assert!(seen.contains("has a new device"), "{seen}");
    let all = ana.run(&["messages", "House"]).ok();
    assert!(!all.contains("before"), "history does not come back: {all}");
    assert!(ana.run(&["status"]).ok().contains("restore: found"));
}

#[test]
fn what_brings_nothing_back_is_told_apart() {
    let relay = Relay::start();
    let ana = Person::new("Ana", Some(&relay));
    let paper = tempfile::tempdir().unwrap();
    let (words, door) = on_paper(&ana, &paper);
    let bad = paper.path().join("bad");
    std::fs::write(&bad, "one two three").unwrap();
    for (words, door, code, says) in [
        (text(&bad).as_str(), door.as_str(), 1, "recovery words"),
        (&words, "stone:rAAAA", 5, "route"),
        (&words, "hello", 5, "invitation"),
    ] {
        let nobody = Person::nobody();
        let done = nobody.run(&["restore", "--words-file", words, "--door", door]);
        assert_eq!(done.code, code, "{done:?}");
        assert!(done.err.contains(says), "{done:?}");
        assert!(!nobody.home().join("stonechat.db").exists());
    }
    // A relay that has never seen this account.
    let other = Relay::start();
    let nobody = Person::nobody();
    let done = nobody.run(&["restore", "--words-file", &words, "--door", &other.route, "--wait", "3"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.err.contains("not found yet"), "{done:?}");
    assert!(nobody.run(&["status"]).ok().contains("restore: looking"));
    let invite = nobody.run(&["invite"]);
    assert!(invite.code == 1 && invite.err.contains("looked for"), "{invite:?}");
    // One goes on without.
    let given_up = nobody.run(&["restore", "--give-up", "Ana", "--json"]).json();
    assert_eq!(
        (&given_up[0]["name"], &given_up[0]["state"]),
        (&"Ana".into(), &"givenUp".into())
    );
    nobody.run(&["invite"]).ok();
    let over = nobody.run(&["restore", "--give-up", "Ana"]);
    assert!(over.code == 6 && over.err.contains("looked for"), "{over:?}");
    let again = nobody.run(&["restore", "--words-file", &words, "--door", &door]);
    assert!(again.code == 1 && again.err.contains("already"), "{again:?}");
}
