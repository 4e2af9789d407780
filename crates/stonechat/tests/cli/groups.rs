//! Groups by the command line: which there are, and which one a name means.

use crate::harness::{Relay, eventually, friends};

/// The id of the group that was just made.
fn made(printed: &[serde_json::Value]) -> String {
    printed[0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn groups_are_listed_and_found_by_name_or_id() {
    let relay = Relay::start();
    let (ana, _bo) = friends(&relay);
    let first = made(&ana.run(&["group", "create", "House", "--json"]).json());
    assert_eq!(first.len(), 32);
    let second = made(&ana.run(&["group", "create", "House", "--json"]).json());
    let said = ana.run(&["send", "House", "x"]);
    assert!(
        said.code == 6 && said.err.contains(&first) && said.err.contains(&second),
        "{said:?}"
    );
    ana.run(&["send", &first[..8], "to the first"]).ok();
    let shown = ana.run(&["group", "show", &first]).ok();
    assert!(shown.contains(&format!("House\nid: {first}\n")), "{shown}");
    ana.run(&["group", "leave", &first]).ok();
    // What is left gives way.
    ana.run(&["send", "House", "to the second"]).ok();
    let all = ana.run(&["group", "list", "--json"]).json();
    let of = |id: &str| all.iter().find(|one| one["id"] == id).unwrap().clone();
    assert_eq!(
        (&of(&first)["role"], &of(&second)["role"]),
        (&serde_json::Value::Null, &"owner".into())
    );
    assert_eq!(
        (&of(&second)["name"], &of(&second)["members"]),
        (&"House".into(), &1.into())
    );
    let texts = ana.run(&["messages", &first, "--json"]).json();
    assert_eq!(
        (&texts.last().unwrap()["text"], &texts[0]["chat"]),
        (&"to the first".into(), &of(&first)["chat"])
    );
    let plainly = ana.run(&["group", "list"]).ok();
    assert!(
        plainly.contains(&format!("{first}  House  (you are not in it)  ")),
        "{plainly}"
    );
    assert!(
        plainly.contains(&format!("{second}  House  owner  1 member")),
        "{plainly}"
    );
}

#[test]
fn a_text_never_goes_to_a_person_where_a_group_is_called_so_too() {
    let relay = Relay::start();
    let (ana, bo) = friends(&relay);
    let group = made(&ana.run(&["group", "create", "BO", "--json"]).json());
    ana.run(&["send", "BO", "to the group"]).ok();
    let there = ana.run(&["messages", &group, "--json"]).json();
    assert_eq!(there.last().unwrap()["text"], "to the group");
    ana.run(&["group", "rename", &group, "Bo"]).ok();
    let both = ana.run(&["send", "Bo", "to whom?"]);
    assert!(
        both.code == 6 && both.err.contains(&format!("group {group}")),
        "{both:?}"
    );
    assert!(both.err.contains("contact "), "{both:?}");
    // A person who takes the name of the chat with oneself gets none of it.
    let id = bo.run(&["status", "--json"]).json()[0]["me"]["id"].clone();
    let cy = crate::harness::Person::new("saved", Some(&relay));
    let link = ana.run(&["invite"]).line();
    cy.run(&["accept", &link]).ok();
    eventually("the person", || {
        ana.run(&["contacts"]).ok().contains("saved").then_some(())
    });
    let own = ana.run(&["send", "saved", "to myself"]);
    assert!(own.code == 6 && own.err.contains("your saved messages"), "{own:?}");
    ana.run(&["send", &id.as_str().unwrap()[..8], "to Bo"]).ok();
    let to_bo = ana.run(&["messages", id.as_str().unwrap(), "--json"]).json();
    assert_eq!(to_bo.last().unwrap()["text"], "to Bo");
}
