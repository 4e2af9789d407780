//! Introductions, cards and places by the command line.

use crate::harness::{Person, Relay, eventually, friends};

#[test]
fn two_contacts_of_one_meet_by_the_command_line_int_1() {
    let relay = Relay::start();
    let (mut ana, mut bo) = friends(&relay);
    let mut cy = Person::new("Cy", Some(&relay));
    for person in [&mut ana, &mut bo, &mut cy] {
        person.serve();
    }
    let link = ana.run(&["invite"]).line();
    cy.run(&["accept", &link]).ok();
    eventually("Cy at Ana's", || {
        ana.run(&["contacts"]).ok().contains("Cy").then_some(())
    });
    let asked = ana.run(&["introduce", "Bo", "Cy"]).line();
    assert_eq!(asked, "asked Bo and Cy; both have to say yes");
    assert_eq!(ana.run(&["introduce", "Bo", "Nobody"]).code, 6);
    let same = ana.run(&["introduce", "Bo", "bo"]);
    assert!(same.code == 1 && same.err.contains("the same contact"), "{same:?}");
    for person in [&bo, &cy] {
        let id = eventually("the question", || {
            let open = person.run(&["introductions", "--json"]).json().pop()?;
            assert_eq!(open["introduction"]["vouches"][0]["name"], "Ana");
            open["id"].as_str().map(str::to_owned)
        });
        let said = person.run(&["meet", &id, "--json"]).json().remove(0);
        assert_eq!(said["introduction"]["state"], "agreed");
        assert!(person.run(&["introductions"]).ok().is_empty());
    }
    let number = eventually("Cy at Bo's", || {
        let shown = bo.run(&["words-of", "Cy", "--json"]);
        (shown.code == 0).then(|| shown.json().remove(0))
    });
    assert_eq!(number["introduced"][0]["name"], "Ana");
    assert_eq!(number["verified"], false);
    // proves: SAFE-2
    let words = eventually("the same words", || {
        let (here, there) = (bo.run(&["words-of", "Cy"]), cy.run(&["words-of", "Bo"]));
        let first = |text: &str| text.lines().next().map(str::to_owned);
        (here.code == 0 && there.code == 0 && first(&here.out) == first(&there.out)).then_some(here.out)
    });
    assert_eq!(words.lines().next().unwrap().split(' ').count(), 8);
    assert!(
        words.contains("introduced by\n    Ana: met by an invitation"),
        "{words}"
    );
    // proves: CON-25, CON-26
    let card = ana.run(&["card", "Bo", "Cy", "--json"]).json().remove(0);
    assert_eq!(card["card"]["name"], "Cy");
    let place = ana.run(&["place", "Bo", "-33.44556", "151.2", "--within", "12", "--label", "pier"]);
    assert_eq!(place.code, 0);
    let shown = ana.run(&["messages", "Bo"]).ok();
    assert!(
        shown.contains("(place \"pier\" -33.44556 151.20000, within 12 m)"),
        "{shown}"
    );
}
