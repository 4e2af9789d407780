//! What a relay's operator does: sets it up, looks at its figures, and at all that it could hand over.

use std::fs;

use crate::harness::{Person, Process, Relay, eventually, free_port, friends, run, text};

#[test]
fn a_relay_is_set_up_checked_and_run_by_its_settings() {
    let folder = tempfile::tempdir().unwrap();
    let data = text(&folder.path().join("relay"));
    let said = run(&["relay", "init", "--data", &data, "--public", "relay.example:7481"]).ok();
    let route = said
        .lines()
        .find_map(|line| line.strip_prefix("route: "))
        .unwrap()
        .to_owned();
    assert_ne!(
        run(&["relay", "init", "--data", &data]).code,
        0,
        "what is there is left alone"
    );
    let settings = folder.path().join("relay").join("relay.toml");
    let port = free_port();
    let fitting = fs::read_to_string(&settings).unwrap();
    let fitting = fitting
        .replace("0.0.0.0:7481", &format!("127.0.0.1:{port}"))
        .replace(":7482", ":0");
    fs::write(&settings, fitting.replace("disk_gib = 64", "disk_gib = 0")).unwrap();
    let doctor = run(&["relay", "doctor", "--data", &data]).ok();
    assert!(doctor.lines().all(|line| !line.starts_with("bad")), "{doctor}");
    let relay = Process::start(&["relay", "run", "--data", &data], "route: ", &[]);
    assert_eq!(relay.said, route, "the route is the one that was given out");
    let more = folder.path().join("relay").join("access.secrets");
    fs::write(more, format!("{}\n", "0a".repeat(16))).unwrap();
    let routes = run(&["relay", "routes", "--data", &data]).ok();
    assert_eq!(
        (routes.lines().count(), routes.lines().next().unwrap()),
        (2, format!("route: {route}").as_str())
    );
    fs::write(&settings, "disc_gib = 1\n").unwrap();
    let bad = run(&["relay", "run", "--data", &data]);
    assert!(bad.code != 0 && bad.err.contains("disc_gib"), "{}", bad.err);
}

#[test]
fn a_relay_behind_a_web_server_names_its_name_and_is_run_in_plain_rly_46() {
    let folder = tempfile::tempdir().unwrap();
    let data = text(&folder.path().join("relay"));
    let words = [
        "relay",
        "init",
        "--data",
        &data,
        "--name",
        "relay.example",
        "--behind",
        "--proxy",
        "127.0.0.1:8080",
    ];
    let said = run(&words).ok();
    let route = said.lines().find_map(|line| line.strip_prefix("route: ")).unwrap();
    let parsed = stonechat_wire::route::RelayRoute::parse(route).unwrap();
    assert_eq!(parsed.address, "https://relay.example:443");
    let settings = folder.path().join("relay").join("relay.toml");
    let written = fs::read_to_string(&settings).unwrap();
    assert!(written.contains("listen = \"127.0.0.1:7481\"\n"), "{written}");
    fs::write(&settings, written.replace(":7481\"\n", ":0\"\n").replace(":7482", ":0")).unwrap();
    let doctor = run(&["relay", "doctor", "--data", &data]);
    assert!(
        doctor.out.contains("good: what stands before the relay"),
        "{}",
        doctor.out
    );
    let relay = Process::start(&["relay", "run", "--data", &data], "route: ", &[]);
    assert_eq!(relay.said, route);
    let both = run(&[
        "relay",
        "run",
        "--data",
        &data,
        "--behind=http",
        "--cert",
        "a",
        "--key",
        "b",
    ]);
    assert_eq!(both.code, 2, "{}", both.err);
    let otherwise = run(&["relay", "run", "--data", &data, "--behind=nginx"]);
    assert!(
        otherwise.code == 2 && otherwise.err.contains("proxy-protocol"),
        "{}",
        otherwise.err
    );
}

/// The figures of a relay that tells them.
fn figure(relay: &Relay, name: &str) -> u64 {
    let stats = run(&["relay", "stats", "--data", &text(relay.dir())]).ok();
    let found = stats
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("{name} in {stats}")).parse().unwrap()
}

/// Thirty bytes with one parent, from a real daemon over a real connection: what the relay decoded and counts of it.
#[test]
fn a_text_of_thirty_bytes_is_one_envelope_of_256_at_the_relay_env_2() {
    let mut relay = Relay::start();
    let metrics = format!("metrics = \"127.0.0.1:{}\"\n", free_port());
    fs::write(relay.dir().join("relay.toml"), metrics).unwrap();
    relay.restart();
    let (ana, mut bo) = friends(&relay);
    let parent = bo.run(&["send", "Ana", "the parent"]).line();
    eventually("confirmed", || {
        (bo.state_of("Ana", &parent) == "delivered").then_some(())
    });
    bo.stop(); // no receipt comes between
    let counted = || {
        (
            figure(&relay, "envelopes_stored_total"),
            figure(&relay, "payload_bytes"),
        )
    };
    let (envelopes, bytes) = eventually("quiet", || {
        let before = counted();
        std::thread::sleep(std::time::Duration::from_millis(300));
        (counted() == before).then_some(before)
    });
    ana.run(&["send", "Bo", &"x".repeat(30)]).ok();
    // The figures follow the answer.
    eventually("counted", || (counted().0 > envelopes).then_some(()));
    assert_eq!(counted(), (envelopes + 1, bytes + 256));
}

/// Whoever else has an account on the machine reads nothing of a relay's.
#[cfg(unix)]
#[test]
fn only_its_owner_reads_the_files_of_a_relay() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = tempfile::tempdir().unwrap();
    let (data, set_up) = (place.path().join("relay"), place.path().join("set up"));
    run(&["relay", "init", "--data", &text(&set_up)]).ok();
    let address = format!("127.0.0.1:{}", free_port());
    let words = ["relay", "run", "--listen", &address, "--data", &text(&data)];
    let process = Process::start(&words, "route: ", &[]);
    let ana = Person::nobody();
    ana.run(&["init", "--name", "Ana", "--relay", &process.said]).ok();
    ana.run(&["invite"]).ok();
    let (mut folders, mut files) = (vec![data, set_up], vec![]);
    while let Some(folder) = folders.pop() {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
        for entry in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry)
            } else {
                files.push(entry)
            }
        }
    }
    assert!(
        files.iter().any(|file| file.ends_with("relay.toml")) && files.len() > 8,
        "{files:?}"
    );
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }

    fn mode(path: &std::path::Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }
}

#[test]
fn figures_and_logs_name_no_mailbox_and_disclose_names_them_all() {
    let mut relay = Relay::start();
    let metrics = format!("metrics = \"127.0.0.1:{}\"\n", free_port());
    fs::write(relay.dir().join("relay.toml"), metrics).unwrap();
    relay.restart();
    let (ana, bo) = friends(&relay);
    ana.run(&["send", "Bo", "something to keep"]).ok();
    eventually("the message", || {
        bo.run(&["receive", "--json"]).json().into_iter().next()
    });
    let data = text(relay.dir());
    let stats = run(&["relay", "stats", "--data", &data]).ok();
    let stored = stats
        .lines()
        .find_map(|line| line.strip_prefix("envelopes_stored_total "));
    assert!(stored.unwrap().parse::<u64>().unwrap() > 2, "{stats}");
    let all = run(&["relay", "disclose", "--data", &data]).ok();
    let tags: Vec<&str> = all
        .lines()
        .filter_map(|line| line.strip_prefix("tag ")?.get(..32))
        .collect();
    let doors: Vec<&str> = all
        .lines()
        .filter_map(|line| line.strip_prefix("door ")?.get(..16))
        .collect();
    assert!(tags.len() > 1 && !doors.is_empty(), "{all}");
    let about = run(&["relay", "disclose", "--data", &data, "--tag", tags[0]]).ok();
    assert!(about.contains("sealed: 01"), "{about}");
    assert!(
        run(&["relay", "disclose", "--data", &data, "--ip", "127.0.0.1"])
            .ok()
            .contains("Nothing on disk")
    );
    let logs: String = fs::read_dir(relay.dir().join("log"))
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    assert!(logs.contains("relay is up"), "the log is written");
    for (name, shown) in [("log", &logs), ("figures", &stats)] {
        for word in tags.iter().chain(&doors).chain(&["127.0.0.1", &relay.route]) {
            assert!(!shown.contains(word), "{word} is in the {name}");
        }
    }
}
