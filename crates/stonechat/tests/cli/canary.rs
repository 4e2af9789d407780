//! The log never holds contents, names, words, keys, addresses or whole ids, not even at its loudest.

use std::fs;
use std::path::Path;

use crate::drop_host::{Host, Kind, PASSWORD};
use crate::harness::{Person, Relay, eventually, friends};

#[test]
fn nothing_private_is_in_any_log_at_trace_level_loc_10() {
    let relay = Relay::start();
    let (mut ana, mut bo) = (Person::new("Canaryana", Some(&relay)), Person::new("Canarybo", None));
    let page = ana.serve().said.clone();
    bo.serve();
    let said = ana.run(&["invite", "--spoken"]).ok();
    let (link, words) = said.trim().split_once('\n').unwrap();
    bo.run(&["accept", link, "--spoken", words]).ok();
    let id = bo.run(&["send", "Canaryana", "canarytext is here"]).line();
    let got = eventually("the message", || {
        let got = ana.run(&["receive", "--json"]).json();
        got.into_iter().next()
    });
    ana.run(&["send", "Canarybo", "canarytext too"]).ok();
    ana.run(&["search", "canarytext"]).ok();
    let recovery = ana.run(&["words"]).line();
    let account = got["from_id"].as_str().unwrap().to_owned();
    let logs = [ana.home(), bo.home(), relay.dir().to_path_buf()].map(|dir| read_logs(&dir.join("log")));
    assert!(
        logs[..2].iter().all(|log| log.contains("stonechat")),
        "the logs are written"
    );
    let fragment = link.split_once('#').unwrap().1;
    let token = page.split_once("#launch=").unwrap().1;
    let route = relay.route.as_str();
    let mut canaries: Vec<&str> = vec![
        "Canaryana",
        "Canarybo",
        "canarytext",
        fragment,
        token,
        route,
        relay.address(),
        &account,
        &id,
        words,
    ];
    let recovery: Vec<&str> = recovery.split(' ').collect();
    let pairs: Vec<String> = recovery.windows(2).map(|pair| pair.join(" ")).collect();
    canaries.extend(pairs.iter().map(String::as_str));
    for (whose, log) in ["ana", "bo", "relay"].iter().zip(&logs) {
        for canary in &canaries {
            let line = log.lines().find(|line| line.contains(canary));
            assert!(line.is_none(), "{canary} stands in the log of {whose}: {line:?}");
        }
    }
}

#[test]
fn a_drops_user_and_password_are_in_no_log_rte_4() {
    for kind in [Kind::Apache, Kind::Dovecot] {
        let host = Host::start(kind);
        let (mut ana, mut bo) = (Person::nobody(), Person::new("Bo", None));
        ana.run(&["init", "--name", "Ana", "--drop", &host.url()]).ok();
        ana.serve();
        bo.serve();
        let code = ana.run(&["invite"]).line();
        bo.run(&["accept", &code]).ok();
        eventually("Bo among Ana's contacts", || {
            ana.run(&["contacts"]).ok().contains("Bo").then_some(())
        });
        // What a server refuses is noted too.
        let wrong = host.url().replace(PASSWORD, "canary-other");
        let other = Person::nobody();
        other.run(&["init", "--name", "Other", "--drop", &wrong]).ok();
        other.run(&["invite"]);
        for (whose, person) in [("Ana", &ana), ("Bo", &bo), ("another", &other)] {
            let log = read_logs(&person.home().join("log"));
            assert!(log.contains("stonechat"), "{whose}'s log is written");
            for canary in ["canary-", "Y2FuYXJ5", code.as_str()] {
                let line = log.lines().find(|line| line.contains(canary));
                assert!(line.is_none(), "{canary} stands in the log of {whose}: {line:?}");
            }
        }
    }
}

fn read_logs(dir: &Path) -> String {
    let files = fs::read_dir(dir).unwrap().flatten();
    files.map(|file| fs::read_to_string(file.path()).unwrap()).collect()
}

#[test]
fn what_was_used_up_or_deleted_is_not_in_the_databases_log_sto_6() {
    let relay = Relay::start();
    let (ana, bo) = friends(&relay);
    for person in [&ana, &bo] {
        let log = person.home().join("stonechat.db-wal");
        ana.run(&["send", "Bo", "hello"]).ok();
        eventually("the log cut to nothing while the daemon runs", || {
            (fs::metadata(&log).unwrap().len() == 0).then_some(())
        });
    }
}
