//! Public invitations, with real relays: somebody who has nothing reads one, and begins.

use crate::harness::{Person, Relay, eventually};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// A file with the routes of these relays.
fn file(of: &Person, relays: &[Relay]) -> PathBuf {
    let lines: Vec<&str> = relays.iter().map(|relay| relay.route.as_str()).collect();
    let path = of.home().with_extension("routes");
    std::fs::write(&path, lines.join("\n")).unwrap();
    path
}

fn own(of: &Person) -> Vec<Value> {
    let relays = of.run(&["relays", "--json"]).json();
    relays.into_iter().filter(|relay| relay["own"] == true).collect()
}

fn addresses(relays: &[Value]) -> BTreeSet<String> {
    let address = |relay: &Value| relay["address"].as_str().unwrap().to_owned();
    relays.iter().map(address).collect()
}

#[test]
fn somebody_with_nothing_begins_by_a_public_invitation_pub_5() {
    let door = Relay::start();
    let mut dealt: Vec<Relay> = (0..4).map(|_| Relay::start()).collect();
    let mut paper = Person::new("Paper", Some(&door));
    paper.serve();
    let routes = file(&paper, &dealt);
    let made = eventually("a relay that knows the time", || {
        let made = paper.run(&["public", "make", "--relays", routes.to_str()?, "--days", "2", "--json"]);
        (made.code == 0).then(|| made.json().remove(0))
    });
    assert_eq!(made["state"], "open");
    let link = made["link"].as_str().unwrap();

    let (mut nina, mut oleg) = (Person::new("Nina", None), Person::new("Oleg", None));
    nina.serve();
    oleg.serve();
    let said = nina.run(&["accept", link]).line();
    assert_eq!(
        said,
        "two relays were given to you: you can invite people, and be invited"
    );
    let of_today: BTreeSet<String> = made["days"][0]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(addresses(&own(&nina)), of_today);
    let private: Vec<Value> = own(&nina)
        .into_iter()
        .filter(|relay| relay["private"] == true)
        .collect();
    assert_eq!(private.len(), 1);
    assert!(
        paper.run(&["contacts"]).ok().is_empty() && paper.run(&["requests"]).ok().is_empty(),
        "nobody is told"
    );

    // The paper, its door and the relays of other days are gone: Nina invites somebody by what she was dealt.
    paper.stop();
    drop(door);
    dealt.retain(|relay| of_today.contains(relay.address()));
    let invitation = nina.run(&["invite"]).line();
    assert_eq!(oleg.run(&["accept", &invitation]).line(), "accepted: Nina");
    nina.run(&["send", "Oleg", "we begin"]).ok();
    eventually("the text", || {
        oleg.run(&["messages", "Nina"]).ok().contains("we begin").then_some(())
    });
    let named = addresses(&oleg.run(&["relays", "--json"]).json());
    let kept = private[0]["address"].as_str().unwrap();
    assert!(
        named.len() == 1 && !named.contains(kept),
        "the one that is kept is named in no link: {named:?}"
    );
}

#[test]
fn public_invitations_are_listed_by_day_and_closed_pub_4() {
    let door = Relay::start();
    let dealt: Vec<Relay> = (0..4).map(|_| Relay::start()).collect();
    let mut paper = Person::new("Paper", Some(&door));
    paper.serve();
    let routes = file(&paper, &dealt);
    let routes = routes.to_str().unwrap();
    let made = eventually("a relay that knows the time", || {
        let made = paper.run(&["public", "make", "--relays", routes, "--days", "2"]);
        (made.code == 0).then_some(made)
    });
    assert!(made.err.contains("works only on this computer"), "{made:?}");
    assert!(made.err.contains("a censor"), "its limits are said: {made:?}");
    let listed = paper.run(&["public", "list"]).ok();
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines.len() == 4 && lines[0].contains("  open  until "), "{listed}");
    assert_eq!(lines[1].trim(), made.out.lines().next().unwrap());
    for relay in &dealt {
        assert!(lines[2..].iter().any(|line| line.contains(relay.address())), "{listed}");
    }
    let id = lines[0].split(' ').next().unwrap();
    assert_eq!(
        paper.run(&["public", "close", &id[..8]]).line(),
        format!("closed: {id}")
    );
    assert_eq!(paper.run(&["public", "list", "--json"]).json()[0]["state"], "revoked");
    let nobody = paper.run(&["public", "close", "ffffffff"]);
    assert!(
        nobody.code == 6 && nobody.err.contains("no public invitation"),
        "{nobody:?}"
    );
    let mine = file(&paper, &[door]);
    let refused = paper.run(&["public", "make", "--relays", mine.to_str().unwrap()]);
    assert_ne!(refused.code, 0, "{refused:?}");
    let missing = paper.run(&["public", "make", "--relays", "/nowhere"]);
    assert!(missing.code == 1 && missing.err.contains("/nowhere"), "{missing:?}");
}
