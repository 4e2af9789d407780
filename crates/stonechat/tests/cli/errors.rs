//! What goes wrong says what it is, in one line, with an exit code of its own.

use std::process::Command;

use stonechat_wire::invite::InviteLink;

use crate::harness::{PROGRAM, Person, Relay, friends, run, text};

fn refused(person: &Person, words: &[&str], code: i32, saying: &str) {
    let done = person.run(words);
    assert_eq!(done.code, code, "{words:?} {done:?}");
    assert!(done.err.contains(saying), "{words:?} {done:?}");
    assert_eq!(done.err.lines().count(), 1, "{words:?} {done:?}");
    assert!(done.out.is_empty(), "{words:?} {done:?}");
}

#[test]
fn links_and_routes_that_are_no_good_are_told_apart() {
    let relay = Relay::start();
    let ana = Person::new("Ana", Some(&relay));
    let link = ana.run(&["invite"]).line();
    let bo = Person::new("Bo", None);
    let cut = &link[..link.len() - 5];
    refused(&bo, &["accept", cut], 5, "not a whole invitation");
    refused(&bo, &["accept", "hello"], 5, "not a whole invitation");
    refused(&bo, &["accept", ""], 5, "not a whole invitation");
    refused(&bo, &["accept", &relay.route], 5, "a relay's route, not an invitation");
    refused(&ana, &["accept", &link], 5, "your own invitation");
    let late = InviteLink {
        expiry_day: 20_000, // in 2024
        ..InviteLink::parse(&link).unwrap()
    };
    refused(&ana, &["accept", &late.to_url()], 5, "has expired"); // she has heard a relay: she knows the time
    let nobody = Person::nobody();
    refused(
        &nobody,
        &["init", "--name", "X", "--relay", &link],
        5,
        "an invitation, not a relay's route",
    );
    refused(
        &nobody,
        &["init", "--name", "X", "--relay", "stone:rxyz"],
        5,
        "not a whole relay route",
    );
    refused(&bo, &["invite"], 1, "no relay");
}

#[test]
fn a_door_that_nobody_answers_at_is_named() {
    let relay = Relay::start();
    let ana = Person::new("Ana", Some(&relay));
    let link = ana.run(&["invite"]).line();
    // Another relay at the same address knows no such door.
    let address = relay.address().to_owned();
    drop(relay);
    let data = tempfile::tempdir().unwrap();
    let words = ["relay", "run", "--listen", &address, "--data", &text(data.path())];
    let _other = crate::harness::Process::start(&words, "route: ", &[]);
    refused(&Person::new("Bo", None), &["accept", &link], 5, "nobody answers");
}

#[test]
fn unknown_contacts_accounts_and_names_are_refused() {
    let ana = Person::new("Ana", None);
    refused(&ana, &["send", "Zoe", "x"], 6, "no contact or group \"Zoe\"");
    refused(&ana, &["safety-number", "Zoe"], 6, "no contact");
    refused(&ana, &["group", "show", "Zoe"], 6, "no group \"Zoe\"");
    refused(&ana, &["group", "unlink", "12ab"], 6, "no open link \"12ab\"");
    refused(&ana, &["device", "remove", "Zoe"], 6, "no device \"Zoe\"");
    refused(&ana, &["device", "confirm", "123456"], 6, "no device is being linked");
    refused(&ana, &["init", "--name", "Ana"], 1, "an account here already");
    refused(&Person::nobody(), &["words"], 1, "no account");
    refused(&Person::nobody(), &["init", "--name", " "], 1, "1 to 64 characters");
    refused(
        &Person::nobody(),
        &["--passphrase-file", "/nowhere", "words"],
        1,
        "/nowhere",
    );
}

#[test]
fn an_init_that_is_refused_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let words = dir.path().join("words");
    std::fs::write(&words, "zoo ".repeat(24)).unwrap();
    let (nobody, words) = (Person::nobody(), text(&words));
    for (wrong, code, saying) in [
        (["--words-file", words.as_str()], 1, "not valid recovery words"),
        (["--words-file", "/nowhere"], 1, "/nowhere"),
        (["--relay", "stone:rxyz"], 5, "not a whole relay route"),
    ] {
        refused(
            &nobody,
            &[&["init", "--name", "Ana"][..], &wrong].concat(),
            code,
            saying,
        );
        assert!(!nobody.home().exists(), "{wrong:?}");
    }
}

#[test]
fn a_name_that_steers_a_terminal_is_refused() {
    let nobody = Person::nobody();
    for name in ["A\u{1b}[2Jna", "Ana\nBo", "Ana\u{9b}"] {
        refused(&nobody, &["init", "--name", name], 1, "no control characters");
        assert!(!nobody.home().exists());
    }
}

/// `contacts | head -1`: the reader goes, and what is left to print has nobody to be told to.
#[test]
fn a_reader_that_goes_away_ends_a_command_quietly() {
    let ana = Person::new("Ana", None);
    let mut child = Command::new(PROGRAM)
        .args(["--home", &text(&ana.home()), "status"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let done = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(done.stderr).unwrap(), "");
    assert_eq!(done.status.code(), Some(141));
}

#[test]
fn a_data_folder_that_cannot_be_is_named_in_one_line() {
    let done = run(&["relay", "--listen", "127.0.0.1:0", "--data", "/proc/nope"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(
        done.err.contains("/proc/nope") && done.err.lines().count() == 1,
        "{done:?}"
    );
    assert!(done.out.is_empty(), "{done:?}");
}

#[test]
fn an_empty_or_endless_text_is_refused() {
    let relay = Relay::start();
    let (ana, _bo) = friends(&relay);
    refused(&ana, &["send", "Bo", " "], 1, "1 to 16,384 bytes");
    refused(&ana, &["send", "Bo", &"x".repeat(16_385)], 1, "1 to 16,384 bytes");
}

#[test]
fn a_wrong_passphrase_is_told() {
    let ana = Person::nobody();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        std::fs::write(dir.path().join(name), content).unwrap();
        text(&dir.path().join(name))
    };
    let (right, wrong) = (file("right", "correct horse\n"), file("wrong", "battery staple\n"));
    ana.run(&["--passphrase-file", &right, "init", "--name", "Ana"]).ok();
    refused(&ana, &["--passphrase-file", &wrong, "words"], 4, "wrong passphrase");
    refused(
        &ana,
        &["--passphrase-file", &wrong, "serve", "--port", "0"],
        4,
        "wrong passphrase",
    );
    refused(&ana, &["words"], 4, "needs its passphrase");
    ana.run(&["--passphrase-file", &right, "words"]).ok();
}

#[test]
fn a_profile_in_use_is_waited_for_and_then_told() {
    let ana = Person::new("Ana", None);
    let lock = std::fs::File::options()
        .write(true)
        .open(ana.home().join("lock"))
        .unwrap();
    lock.lock().unwrap();
    let began = std::time::Instant::now();
    refused(&ana, &["words"], 3, "profile in use");
    assert!(began.elapsed().as_secs() >= 5);
    let released = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| ana.run(&["words"]));
        std::thread::sleep(std::time::Duration::from_millis(500));
        drop(lock);
        waiting.join().unwrap()
    });
    released.ok();
}

#[test]
fn a_newer_or_damaged_database_is_told_and_left_alone() {
    let ana = Person::new("Ana", None);
    let database = ana.home().join("stonechat.db");
    let key = std::fs::read(ana.home().join("key")).unwrap();
    let hex: String = key[6..38].iter().map(|byte| format!("{byte:02x}")).collect();
    let connection = rusqlite::Connection::open(&database).unwrap();
    connection
        .execute_batch(&format!(
            "PRAGMA key = \"x'{hex}'\"; PRAGMA cipher_page_size = 2048; PRAGMA cipher_hmac_algorithm = HMAC_SHA256;
             PRAGMA user_version = 99;"
        ))
        .unwrap();
    drop(connection);
    refused(&ana, &["words"], 7, "newer version");
    std::fs::write(&database, [7; 10_000]).unwrap();
    refused(&ana, &["words"], 7, "damaged");
    assert_eq!(std::fs::read(&database).unwrap(), [7; 10_000]);
}

#[test]
fn a_full_disk_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let home = text(dir.path());
    // A file system of 200 kB, in a mount namespace of its own.
    let script = format!("mount -t tmpfs -o size=200k none {home} && exec {PROGRAM} --home {home}/a init --name Ana");
    let output = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", &script])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(8), "{said}");
    assert!(said.contains("the disk is full"), "{said}");
}

#[test]
fn a_port_in_use_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    refused(&Person::nobody(), &["serve", "--port", &port], 1, "in use");
    let data = tempfile::tempdir().unwrap();
    let done = run(&[
        "relay",
        "--listen",
        &format!("127.0.0.1:{port}"),
        "--data",
        &text(data.path()),
    ]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.err.contains(&port), "{done:?}");
}

#[test]
fn wrong_settings_are_named() {
    let ana = Person::new("Ana", None);
    std::fs::write(ana.home().join("config.toml"), "prot = 1\n").unwrap();
    refused(&ana, &["words"], 1, "config.toml");
}
