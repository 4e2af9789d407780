//! Links into groups: made, listed, closed; who comes by one, and who waits.

use crate::harness::{Person, Relay, eventually, friends};

#[test]
fn a_stranger_with_the_link_comes_into_the_group_glk_3() {
    let relay = Relay::start();
    let (mut ana, mut bo) = friends(&relay);
    let (mut cleo, mut dan) = (Person::new("Cleo", None), Person::new("Dan", None));
    for person in [&mut ana, &mut bo, &mut cleo, &mut dan] {
        person.serve();
    }
    eventually("Bo's key packages", || {
        let made = ana.run(&["group", "create", "House", "Bo", "--large"]);
        (made.code == 0).then_some(())
    });
    let shown = ana.run(&["group", "describe", "House", "of the lake"]).ok();
    assert!(shown.starts_with("House\nof the lake\n"), "{shown}");
    assert!(shown.contains("who may add people: admin and above\n"), "{shown}");
    let allowed = ana.run(&["group", "allow", "House", "add", "moderator"]).ok();
    assert!(
        allowed.contains("who may add people: moderator and above\n"),
        "{allowed}"
    );
    let allowed = ana.run(&["group", "allow", "House", "edit", "member", "--json"]).json();
    assert_eq!(
        (&allowed[0]["mayAdd"], &allowed[0]["mayEdit"]),
        (&"moderator".into(), &"member".into())
    );
    let refused = bo.run(&["group", "allow", "House", "add", "member"]);
    assert_ne!(refused.code, 0, "{refused:?}");
    let picture = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/tests/fixtures/photo.jpg");
    // proves: GRP-20
    assert!(
        ana.run(&["group", "picture", "House", picture])
            .ok()
            .contains("it has a picture")
    );
    let without = ana.run(&["group", "picture", "House", "--remove", "--json"]).json();
    assert_eq!(without[0]["picture"], false);
    let link = ana.run(&["group", "link", "House", "--most", "5"]).line();
    let said = cleo.run(&["accept", &link]).line();
    assert_eq!(said, "accepted: Ana; the group follows: House");
    eventually("the group at Cleo's", || {
        let shown = cleo.run(&["group", "show", "House"]);
        (shown.code == 0 && shown.out.contains("Bo")).then_some(())
    });

    let made = ana
        .run(&["group", "link", "House", "--approval", "--json"])
        .json()
        .remove(0);
    assert_eq!(
        (&made["group"]["name"], &made["group"]["most"]),
        (&"House".into(), &50.into())
    );
    dan.run(&["accept", made["link"].as_str().unwrap()]).ok();
    let request = eventually("Dan's request", || ana.run(&["requests", "--json"]).json().pop());
    assert_eq!((&request["name"], &request["group"]), (&"Dan".into(), &"House".into()));
    let listed = ana.run(&["group", "links", "House"]).ok();
    assert!(
        listed.contains("open  0 of 50 let in  1 waiting  with approval"),
        "{listed}"
    );
    assert!(listed.contains("open  1 of 5 let in  0 waiting"), "{listed}");
    let id = request["id"].as_str().unwrap();
    assert_eq!(ana.run(&["group", "approve", id]).line(), "approved: Dan");
    eventually("the group at Dan's", || {
        let shown = dan.run(&["group", "show", "House", "--json"]);
        (shown.code == 0).then_some(())
    });
    // proves: GRP-17, GRP-19
    let shown = dan.run(&["group", "show", "House", "--json"]).json().remove(0);
    assert_eq!((&shown["large"], &shown["consentsNeeded"]), (&true.into(), &3.into()));
    let too_soon = dan.run(&["group", "succeed", "House", "Bo"]);
    assert!(too_soon.err.contains("was heard in the last 30 days"), "{too_soon:?}");

    let id = made["id"].as_str().unwrap();
    assert_eq!(ana.run(&["group", "unlink", id]).line(), format!("closed: {id}"));
    let states: Vec<_> = ana.run(&["group", "links", "House", "--json"]).json();
    assert_eq!(states[0]["state"], "revoked");
    assert_eq!(ana.run(&["group", "unlink", "0000"]).code, 6);
    let late = Person::new("Eve", None);
    assert_eq!(late.run(&["accept", made["link"].as_str().unwrap()]).code, 5);
}

#[test]
fn somebody_blocked_is_in_no_list_but_that_one_blk_1() {
    let relay = Relay::start();
    let (mut ana, mut bo) = friends(&relay);
    ana.serve();
    bo.serve();
    assert_eq!(ana.run(&["block", "Bo"]).line(), "blocked: Bo");
    assert_eq!(ana.run(&["block", "Bo"]).line(), "blocked: Bo");
    assert!(!ana.run(&["contacts"]).ok().contains("Bo"));
    bo.run(&["send", "Ana", "hello?"]).ok();
    let blocked = ana.run(&["block", "--json"]).json();
    assert_eq!(
        (&blocked[0]["name"], &blocked[0]["blocked"]),
        (&"Bo".into(), &true.into())
    );
    assert_eq!(ana.run(&["send", "Bo", "hello"]).code, 6);
    assert!(ana.run(&["receive"]).ok().is_empty());
    assert_eq!(ana.run(&["block", "Bo", "--undo"]).line(), "unblocked: Bo");
    assert!(ana.run(&["contacts"]).ok().contains("Bo"));
    assert!(ana.run(&["block"]).ok().is_empty());
}
