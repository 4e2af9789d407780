//! Meeting: invite, accept, approve, decline, spoken words, links that are used up.

use crate::harness::{Person, Relay, eventually, friends};

#[test]
fn one_person_is_in_at_once_and_needs_no_relay_of_their_own() {
    let relay = Relay::start();
    let (ana, bo) = friends(&relay);
    assert!(ana.run(&["contacts"]).ok().contains("Bo"));
    assert!(bo.run(&["contacts"]).ok().contains("Ana"));
    let numbers = [
        ana.run(&["safety-number", "Bo"]).line(),
        bo.run(&["safety-number", "Ana"]).line(),
    ];
    assert_eq!(numbers[0], numbers[1]);
    assert_eq!(numbers[0].split(' ').map(str::len).collect::<Vec<_>>(), [5; 12]);
    // proves: SAFE-3
    let shown = bo.run(&["safety-number", "Ana", "--json"]).json().remove(0);
    let code = shown["code"].as_str().unwrap();
    assert_eq!(
        (&shown["verified"], shown["number"].as_array().unwrap().len()),
        (&false.into(), 12)
    );
    let other = format!("{}AAAA", &code[..code.len() - 4]);
    let refused = ana.run(&["verify", "Bo", "--code", &other]);
    assert!(
        refused.code == 1 && refused.err.contains("other accounts"),
        "{refused:?}"
    );
    let verified = |ana: &Person| ana.run(&["contacts", "--json"]).json().remove(0)["verified"].clone();
    assert_eq!(verified(&ana), false);
    assert_eq!(ana.run(&["verify", "Bo", "--code", code]).line(), "Bo: verified");
    assert_eq!(verified(&ana), true);
    assert_eq!(ana.run(&["verify", "Bo", "--undo"]).line(), "Bo: not verified");
    let marked = ana.run(&["verify", "Bo", "--json"]).json().remove(0);
    assert_eq!((&marked["verified"], verified(&ana)), (&true.into(), true.into()));
}

#[test]
fn a_used_link_says_so_and_a_second_person_stays_out() {
    let relay = Relay::start();
    let (mut ana, mut bo) = (Person::new("Ana", Some(&relay)), Person::new("Bo", None));
    ana.serve();
    bo.serve();
    let link = ana.run(&["invite"]).line();
    bo.run(&["accept", &link]).ok();
    let cleo = Person::new("Cleo", None);
    let done = cleo.run(&["accept", &link]);
    assert_eq!((done.code, done.out.as_str()), (5, ""), "{done:?}");
    assert!(done.err.contains("used"), "{done:?}");
    assert!(!ana.run(&["contacts"]).ok().contains("Cleo"));
    let again = bo.run(&["accept", &link]);
    assert_eq!(again.code, 5, "{again:?}");
}

#[test]
fn family_waits_for_approval_and_may_write_meanwhile() {
    let relay = Relay::start();
    let (mut ana, mut bo) = (Person::new("Ana", Some(&relay)), Person::new("Bo", None));
    ana.serve();
    bo.serve();
    let link = ana.run(&["invite", "--family"]).line();
    assert_eq!(
        bo.run(&["accept", &link]).line(),
        "waiting: Ana decides; you can already write"
    );
    let id = bo.run(&["send", "Ana", "it is me"]).line();
    let request = eventually("the request and its first message", || {
        let requests = ana.run(&["requests", "--json"]).json();
        requests
            .into_iter()
            .find(|request| request["firstMessages"][0] == "it is me")
    });
    assert_eq!(request["name"], "Bo");
    assert!(
        ana.run(&["receive"]).ok().is_empty(),
        "nothing of a stranger is a message yet"
    );
    assert_eq!(
        ana.run(&["approve", request["id"].as_str().unwrap()]).line(),
        "approved: Bo"
    );
    assert_eq!(
        ana.run(&["receive", "--wait", "20", "--json"]).json()[0]["id"],
        id.as_str()
    );
    assert_eq!(ana.run(&["approve", "0123456789"]).code, 6);
}

#[test]
fn a_declined_person_is_told_and_gone() {
    let relay = Relay::start();
    let (mut ana, mut bo) = (Person::new("Ana", Some(&relay)), Person::new("Bo", None));
    ana.serve();
    bo.serve();
    let link = ana.run(&["invite", "--family"]).line();
    bo.run(&["accept", &link]).ok();
    let id = eventually("the request", || {
        ana.run(&["requests"]).ok().split_whitespace().next().map(str::to_owned)
    });
    assert_eq!(ana.run(&["decline", &id]).line(), "declined: Bo");
    assert!(ana.run(&["requests"]).ok().is_empty() && ana.run(&["contacts"]).ok().is_empty());
}

#[test]
fn spoken_words_are_asked_for_and_must_match() {
    let relay = Relay::start();
    let mut ana = Person::new("Ana", Some(&relay));
    ana.serve();
    let said = ana.run(&["invite", "--spoken"]).ok();
    let (link, words) = said.trim().split_once('\n').unwrap();
    assert_eq!(words.split_whitespace().count(), 3, "{said}");
    let without = Person::new("Bo", None).run(&["accept", link]);
    assert_eq!(without.code, 5, "{without:?}");
    assert!(without.err.contains("--spoken"), "{without:?}");
    let wrong = Person::new("Bo", None).run(&["accept", link, "--spoken", "able able able"]);
    assert_eq!(wrong.code, 5, "{wrong:?}");
    assert!(wrong.err.contains("do not match"), "{wrong:?}");
    let right = Person::new("Bo", None).run(&["accept", link, "--spoken", words]);
    assert_eq!(right.line(), "accepted: Ana");
}

#[test]
fn a_link_is_taken_up_offline_and_finished_later() {
    let mut relay = Relay::start();
    let (mut ana, mut bo) = (Person::new("Ana", Some(&relay)), Person::new("Bo", None));
    ana.serve();
    let link = ana.run(&["invite"]).line();
    bo.serve();
    relay.stop();
    let said = bo.run(&["accept", &link]).line();
    assert!(said.starts_with("saved:"), "{said}");
    relay.restart();
    eventually("the acceptance finishes", || {
        bo.run(&["contacts"]).ok().contains("Ana").then_some(())
    });
}

#[test]
fn everything_works_without_a_daemon_too() {
    let relay = Relay::start();
    let (ana, bo) = (Person::new("Ana", Some(&relay)), Person::new("Bo", None));
    let link = ana.run(&["invite"]).line();
    let said = bo.run(&["accept", &link]).line();
    assert!(said.starts_with("claimed: Ana"), "{said}");
    let id = bo.run(&["send", "Ana", "hello"]).line();
    let got = ana.run(&["receive", "--wait", "20", "--json"]).json();
    assert_eq!(
        (got[0]["id"].as_str(), got[0]["text"].as_str()),
        (Some(id.as_str()), Some("hello"))
    );
    ana.run(&["send", "Bo", "hello too"]).ok();
    assert_eq!(bo.run(&["receive", "--wait", "20", "--json"]).json()[0]["from"], "Ana");
    let state = bo.state_of("Ana", &id);
    assert!(["delivered", "read"].contains(&state.as_str()), "{state}");
}
