//! Talking: states up to read, each message printed once, the queue without a relay, search, words, lock, wipe.

use serde_json::Value;

use crate::harness::{Person, Relay, eventually, friends, text};

#[test]
fn a_message_goes_from_carried_to_read() {
    let relay = Relay::start();
    let (ana, bo) = friends(&relay);
    let done = ana.run(&["send", "Bo", "hi — привет 👋"]);
    let id = done.line();
    assert_eq!(id.len(), 32);
    let got = eventually("the message", || {
        bo.run(&["messages", "Ana", "--json"])
            .json()
            .into_iter()
            .find(|m| m["id"] == id.as_str())
    });
    assert_eq!(
        (&got["text"], &got["state"]),
        (&Value::from("hi — привет 👋"), &Value::from("received"))
    );
    let kinds = |got: &[Value]| got.iter().map(|m| m["kind"].clone()).collect::<Vec<_>>();
    assert_eq!(kinds(&bo.run(&["messages", "Ana", "--json"]).json()), ["began", "text"]);
    eventually("delivered", || (ana.state_of("Bo", &id) == "delivered").then_some(()));
    let printed = bo.run(&["receive", "--json"]).json();
    assert_eq!(
        (printed.len(), &printed[0]["from"], &printed[0]["state"]),
        (1, &Value::from("Ana"), &Value::from("received"))
    );
    assert!(printed[0]["sent_at"].is_u64() && printed[0]["chat"].is_i64());
    eventually("read", || (ana.state_of("Bo", &id) == "read").then_some(()));
}

#[test]
fn receive_prints_each_message_once_and_waits_for_the_first() {
    let relay = Relay::start();
    let (ana, bo) = friends(&relay);
    assert!(bo.run(&["receive"]).ok().is_empty());
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| bo.run(&["receive", "--wait", "30"]).ok());
        std::thread::sleep(std::time::Duration::from_millis(300));
        ana.run(&["send", "Bo", "one"]).ok();
        waiting.join().unwrap()
    });
    assert!(waiting.contains("Ana: one"), "{waiting}");
    for word in ["two", "three"] {
        ana.run(&["send", "Bo", word]).ok();
    }
    let mut got = Vec::new();
    eventually("both", || {
        got.extend(bo.run(&["receive", "--json"]).json());
        (got.len() >= 2).then_some(())
    });
    assert_eq!(
        got.iter().map(|m| m["text"].as_str().unwrap()).collect::<Vec<_>>(),
        ["two", "three"]
    );
    assert!(bo.run(&["receive", "--json"]).ok().is_empty());
}

#[test]
fn without_a_relay_messages_queue_and_leave_later() {
    let mut relay = Relay::start();
    let (ana, bo) = friends(&relay);
    relay.stop();
    let done = ana.run(&["send", "Bo", "later"]);
    assert_eq!(done.code, 0, "{done:?}");
    let lines: Vec<&str> = done.out.lines().collect();
    assert_eq!((lines.len(), lines[1]), (2, "queued"), "{done:?}");
    assert!(done.err.contains("no relay"), "{done:?}");
    assert_eq!(ana.state_of("Bo", lines[0]), "queued");
    // proves: WAY-4
    let status = ana.run(&["status"]).ok();
    let why = format!("tried {}: nobody listens there", relay.address());
    assert!(status.contains(&why), "{status}");
    relay.restart();
    eventually("it answers", || {
        (!ana.run(&["status"]).ok().contains("tried")).then_some(())
    });
    let got = bo.run(&["receive", "--wait", "60", "--json"]).json();
    assert_eq!(got[0]["id"], lines[0]);
}

#[test]
fn words_are_found_and_shown() {
    let relay = Relay::start();
    let (ana, _bo) = friends(&relay);
    ana.run(&["send", "Bo", "the kettle is on"]).ok();
    ana.run(&["send", "Bo", "come over"]).ok();
    let found = ana.run(&["search", "kett", "--json"]).json();
    assert_eq!((found.len(), &found[0]["text"]), (1, &Value::from("the kettle is on")));
    assert_eq!(
        ana.run(&["messages", "Bo", "--limit", "1", "--json"]).json()[0]["text"],
        "come over"
    );
    assert!(ana.run(&["messages", "Bo"]).ok().contains("Ana: come over"));
}

#[test]
fn recovery_words_bring_back_the_same_account() {
    let ana = Person::nobody();
    let id = ana.run(&["init", "--name", "Ana"]).line();
    let words = ana.run(&["words"]).line();
    assert_eq!(words.split(' ').count(), 24);
    let file = ana.home().join("words");
    std::fs::write(&file, words + "\n").unwrap();
    let other = Person::nobody();
    let done = other.run(&["init", "--name", "Ana", "--words-file", &text(&file)]);
    assert_eq!(done.out.trim(), id, "{done:?}");
    assert!(done.err.contains("contacts"), "{done:?}");
    std::fs::write(&file, "not these words").unwrap();
    let wrong = Person::nobody().run(&["init", "--name", "Ana", "--words-file", &text(&file)]);
    assert_eq!(wrong.code, 1, "{wrong:?}");
    assert!(wrong.err.contains("not valid recovery words"), "{wrong:?}");
}

#[test]
fn a_running_profile_is_locked_and_wiped_from_the_command_line() {
    let mut ana = Person::nobody();
    let file = ana.home().with_extension("passphrase");
    std::fs::write(&file, "correct horse\n").unwrap();
    let file = text(&file);
    ana.run(&["--passphrase-file", &file, "init", "--name", "Ana"]).ok();
    assert_eq!(ana.run(&["words"]).code, 4, "a passphrase is needed");
    ana.serve();
    let status = ana.run(&["status", "--json"]).json();
    assert_eq!(
        (&status[0]["locked"], &status[0]["me"]),
        (&Value::Bool(true), &Value::Null)
    );
    ana.run(&["--passphrase-file", &file, "words"]).ok();
    ana.run(&["lock"]).ok();
    assert_eq!(ana.run(&["contacts"]).code, 4);
    ana.run(&["wipe"]).ok();
    assert_eq!(ana.run(&["--passphrase-file", &file, "words"]).code, 1);
    ana.stop();
    ana.run(&["wipe"]).ok();
    assert!(!ana.home().join("key").exists() && !ana.home().join("stonechat.db").exists());
}

#[test]
fn status_tells_version_with_commit_relay_and_connection() {
    let relay = Relay::start();
    let mut ana = Person::new("Ana", Some(&relay));
    let alone = ana.run(&["status", "--json"]).json();
    assert_eq!(alone[0]["connection"], "connected");
    ana.serve();
    eventually("connected", || {
        (ana.run(&["status", "--json"]).json()[0]["connection"] == "connected").then_some(())
    });
    let said = ana.run(&["status"]).ok();
    let version = crate::harness::run(&["--version"]).line();
    let version = version.strip_prefix("stonechat ").unwrap();
    assert!(said.contains(version) && version.contains('('), "{said} {version}");
    assert!(said.contains(relay.address()), "{said}");
}

#[test]
fn open_prints_a_fresh_address_of_the_running_interface_only() {
    let mut ana = Person::new("Ana", None);
    let done = ana.run(&["open"]);
    assert_eq!(done.code, 1, "{done:?}");
    let first = ana.serve().said.clone();
    let next = ana.run(&["open"]).line();
    let (a, b) = (
        first.split_once("#launch=").unwrap(),
        next.split_once("#launch=").unwrap(),
    );
    assert_eq!(a.0, b.0);
    assert_ne!(a.1, b.1);
}
