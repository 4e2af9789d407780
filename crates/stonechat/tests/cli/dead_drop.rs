//! Dead drops: no relay anywhere, only a folder on a stranger's web server.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::drop_host::{Host, Kind, PASSWORD};
use crate::harness::{Done, Person, eventually};

fn with_drop(name: &str, host: &Host) -> (Person, Done) {
    let person = Person::nobody();
    let made = person.run(&["init", "--name", name, "--drop", &host.url()]);
    (person, made)
}

#[test]
fn two_who_have_no_relay_meet_and_talk_over_a_drop_drp_1() {
    for kind in [Kind::Nginx, Kind::Apache, Kind::Dovecot] {
        let host = Host::start(kind);
        let ((mut ana, made), mut bo) = (with_drop("Ana", &host), Person::new("Bo", None));
        // proves: DRP-13
        assert!(
            made.code == 0 && made.err.contains("network addresses of all"),
            "{made:?}"
        );
        assert_eq!(made.err.contains("send all mail"), kind == Kind::Dovecot, "{made:?}");
        ana.serve();
        bo.serve();
        let invited = ana.run(&["invite"]);
        // proves: DRP-7
        assert!(invited.err.contains("carries the password"), "{invited:?}");
        let code = invited.line();
        assert!(code.starts_with("stone:i"), "{code}");
        bo.run(&["accept", &code]).ok();
        let began = Instant::now();
        eventually("Bo among Ana's contacts", || {
            ana.run(&["contacts"]).ok().contains("Bo").then_some(())
        });
        ana.run(&["send", "Bo", "by the hollow tree"]).ok();
        eventually("the text", || {
            bo.run(&["messages", "Ana"]).ok().contains("hollow tree").then_some(())
        });
        let id = bo.run(&["send", "Ana", "found it"]).line();
        eventually("the answer", || {
            ana.run(&["messages", "Bo"]).ok().contains("found it").then_some(())
        });
        eventually("the receipt", || {
            ["delivered", "read"]
                .contains(&bo.state_of("Ana", &id).as_str())
                .then_some(())
        });
        println!("{kind:?}: met and talked in {:?}", began.elapsed());
        assert!(host.root().is_dir() && host.files().len() > 4);
        let status = ana.run(&["status"]).ok();
        assert!(
            status.contains(&format!("relay: {}://127.0.0.1", host.scheme())) && !status.contains(PASSWORD),
            "{status}"
        );
    }
}

#[test]
fn a_drop_that_is_no_address_makes_no_account() {
    let person = Person::nobody();
    let done = person.run(&["init", "--name", "Ana", "--drop", "davs://ana@dav.example/drop"]);
    assert!(
        done.code == 1 && done.err.contains("davs://USER:PASSWORD@HOST/FOLDER"),
        "{done:?}"
    );
    assert!(!person.home().exists());
}

#[test]
fn a_daemon_that_is_killed_while_it_puts_loses_and_doubles_nothing_drp_6() {
    for kind in [Kind::Apache, Kind::Dovecot] {
        kill_while_it_puts(kind);
    }
}

fn kill_while_it_puts(kind: Kind) {
    let host = Host::start(kind);
    let ((mut ana, _), mut bo) = (with_drop("Ana", &host), Person::new("Bo", None));
    ana.serve();
    bo.serve();
    let code = ana.run(&["invite"]).line();
    bo.run(&["accept", &code]).ok();
    eventually("Bo among Ana's contacts", || {
        ana.run(&["contacts"]).ok().contains("Bo").then_some(())
    });
    let mut socket = ana.socket().unwrap();
    let chat = socket.ask("chats", &json!({ "limit": 1 })).unwrap()[0]["id"].clone();
    for n in 0..6_u64 {
        // Both write at once, and one of them dies a little later each time.
        for k in 0..3 {
            let text = json!({ "chat": chat, "text": format!("round {n} text {k}"), "clientId": format!("{n} {k}") });
            socket.ask("send", &text).unwrap();
        }
        bo.run(&["send", "Ana", &format!("answer {n}")]).ok();
        std::thread::sleep(Duration::from_millis(n * 7));
        ana.serve();
        socket = ana.socket().unwrap();
    }
    let texts = |person: &Person, contact: &str, prefix: &str| {
        let all = person.run(&["messages", contact, "--json"]).json();
        let texts = all.iter().filter_map(|message| message["text"].as_str());
        texts
            .filter(|text| text.starts_with(prefix))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    for (from, from_s, to, to_s, prefix) in [(&ana, "Bo", &bo, "Ana", "round"), (&bo, "Ana", &ana, "Bo", "answer")] {
        eventually("all that was kept, once each", || {
            let (mut kept, mut came) = (texts(from, from_s, prefix), texts(to, to_s, prefix));
            kept.sort();
            came.sort();
            (kept == came).then_some(())
        });
    }
}
