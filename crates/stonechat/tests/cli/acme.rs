//! A relay that gets its certificate by itself, as its operator sees it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{Process, eventually, free_port, run, text};
use crate::pebble::Pebble;

const YEAR_S: u64 = 365 * 86_400;

/// A relay that is set up as docs/operate/relay.md says, but for its ports.
struct SetUp {
    folder: tempfile::TempDir,
    pebble: Pebble,
}

impl SetUp {
    fn new(environment: &[(&'static str, &'static str)]) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let pebble = Pebble::looking_at(port, YEAR_S).with(environment).started();
        let set_up = Self { folder, pebble };
        let (data, url, roots) = (set_up.data(), set_up.pebble.url(), text(&set_up.pebble.roots()));
        let words = ["relay", "init", "--data", &data, "--address", "127.0.0.1", "--acme"];
        let more = [
            "--contact",
            "me@relay.example",
            "--directory",
            &url,
            "--acme-roots",
            &roots,
        ];
        let said = run(&[&words[..], &more].concat());
        assert!(said.err.contains("you agree to the terms of service"), "{}", said.err);
        assert!(said.ok().contains("route: stone:"));
        let settings = set_up.path().join("relay.toml");
        let written = fs::read_to_string(&settings).unwrap();
        let fitting = written.replace("0.0.0.0:443", &format!("127.0.0.1:{port}"));
        assert_ne!(fitting, written, "where browsers look");
        let fitting = fitting.replace(":7482", &format!(":{}", free_port()));
        fs::write(&settings, fitting).unwrap();
        set_up
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("relay")
    }

    fn data(&self) -> String {
        text(&self.path())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join("acme").join(name)
    }

    fn start(&self) -> Process {
        let data = self.data();
        Process::start(
            &["relay", "run", "--data", &data],
            "route: ",
            &[("STONECHAT_LOG", "trace")],
        )
    }

    fn is_there(&self, name: &str) -> bool {
        eventually(name, || self.file(name).exists().then_some(true))
    }
}

fn logs(data: &Path) -> String {
    let files = fs::read_dir(data.join("log")).unwrap();
    files
        .map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
        .collect()
}

#[test]
fn an_operator_sees_how_the_certificate_stands_acm_7() {
    let set_up = SetUp::new(&[("PEBBLE_VA_NOSLEEP", "1")]);
    let data = set_up.data();
    let doctor = run(&["relay", "doctor", "--data", &data]);
    assert!(doctor.out.contains("doubtful: no certificate yet"), "{}", doctor.out);
    let relay = set_up.start();
    assert!(set_up.is_there("certificate.json"));
    let doctor = eventually("the doctor", || {
        let found = run(&["relay", "doctor", "--data", &data]);
        found
            .out
            .contains("good: the certificate holds for 364 days")
            .then_some(found)
    });
    doctor.ok();
    let stats = run(&["relay", "stats", "--data", &data]).ok();
    assert!(
        stats.contains("certificate: the certificate holds for 364 days\n"),
        "{stats}"
    );
    assert!(
        stats.contains("certificate_days_left 364\n") && stats.contains("certificate_failures 0\n"),
        "{stats}"
    );
    let all = run(&["relay", "disclose", "--data", &data]).ok();
    for entry in fs::read_dir(set_up.path().join("acme")).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(
            all.contains(&format!("file acme/{}: ", name.display())),
            "{name:?} in {all}"
        );
    }
    drop(relay);
    let logs = logs(&set_up.path());
    assert!(logs.contains("the relay has a new certificate"), "{logs}");
    let account = fs::read_to_string(set_up.file("account.json")).unwrap();
    let id = account.split("\"id\": \"").nth(1).unwrap().split('"').next().unwrap();
    for word in ["127.0.0.1", "me@relay.example", id, &set_up.pebble.url()] {
        assert!(!logs.contains(word), "{word} is in the log");
    }
}

#[test]
fn a_kill_between_order_and_certificate_is_gone_on_from_acm_4() {
    // It looks some seconds later than it is asked to.
    let set_up = SetUp::new(&[("PEBBLE_VA_SLEEPTIME", "4")]);
    let mut relay = set_up.start();
    assert!(set_up.is_there("order.json"));
    relay.kill();
    assert!(!set_up.file("certificate.json").exists());
    let account = fs::read(set_up.file("account.json")).unwrap();
    let _relay = set_up.start();
    assert!(set_up.is_there("certificate.json"));
    eventually("done with the order", || {
        (!set_up.file("order.json").exists()).then_some(())
    });
    assert_eq!(fs::read(set_up.file("account.json")).unwrap(), account);
    // Where the directory looked while nobody was there, that order was lost.
    assert!(set_up.pebble.orders() <= 2, "{}", set_up.pebble.orders());
}

#[test]
fn a_certificate_is_asked_for_somebody_acm_2() {
    let folder = tempfile::tempdir().unwrap();
    let data = text(folder.path());
    for (words, says) in [
        (&["--acme"][..], "--name HOST"),
        (&["--acme", "--name", "localhost"], "--name HOST"),
        (&["--acme", "--name", "a.example", "--behind"], "cannot be used with"),
        (&["--name", "a.example", "--contact", "a@b.example"], "--acme"),
        (
            &["--acme", "--name", "a.example", "--directory", "http://b.example"],
            "https://HOST/PATH",
        ),
        (&["--acme", "--name", "a.example", "--contact", "nobody"], "e-mail"),
    ] {
        let done = run(&[&["relay", "init", "--data", &data], words].concat());
        assert!(done.code != 0 && done.err.contains(says), "{words:?}: {}", done.err);
    }
}
