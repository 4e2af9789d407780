//! Two people who meet and talk by files alone: no relay ever runs while they do.

use crate::harness::{Person, Relay};

/// Somebody writes a file, somebody else takes it in. Out: how many items were new.
fn carry(from: &Person, to: &Person, stick: &std::path::Path, number: &mut u32) -> u64 {
    *number += 1;
    let file = stick.join(format!("{number}"));
    let file = file.to_str().unwrap();
    from.run(&["bundle", "export", file]).ok();
    let taken = to.run(&["bundle", "import", file, "--json"]).json().remove(0);
    taken["taken"].as_u64().unwrap()
}

#[test]
fn two_meet_and_talk_by_stick_with_no_relay_running_bdl_3() {
    let mut relay = Relay::start();
    let (mut ana, bo) = (Person::new("Ana", Some(&relay)), Person::new("Bo", None));
    relay.stop();
    // One with a daemon, one without: files are the same to both.
    ana.serve();
    let stick = tempfile::tempdir().unwrap();
    let mut number = 0;
    let link = ana.run(&["invite"]).line();
    bo.run(&["accept", &link]).ok();
    for _ in 0..2 {
        assert!(carry(&ana, &bo, stick.path(), &mut number) > 0);
        assert!(carry(&bo, &ana, stick.path(), &mut number) > 0);
    }
    let id = ana.run(&["send", "Bo", "no network anywhere"]).line();
    assert!(carry(&ana, &bo, stick.path(), &mut number) > 0);
    assert!(bo.run(&["receive"]).ok().contains("no network anywhere"));
    assert_ne!(ana.state_of("Bo", &id), "delivered");
    carry(&bo, &ana, stick.path(), &mut number);
    assert!(matches!(ana.state_of("Bo", &id).as_str(), "delivered" | "read"));

    // A second time, and by somebody whom it does not concern.
    let last = stick.path().join("5");
    let again = bo.run(&["bundle", "import", last.to_str().unwrap(), "--json"]).json();
    assert_eq!(again[0]["taken"], 0);
    let cy = Person::new("Cy", None);
    let foreign = cy.run(&["bundle", "import", last.to_str().unwrap()]).line();
    assert!(foreign.starts_with("0 taken in, 0 known already, "), "{foreign}");
    let broken = stick.path().join("broken");
    let whole = std::fs::read(&last).unwrap();
    std::fs::write(&broken, &whole[..whole.len() - 1]).unwrap();
    let refused = bo.run(&["bundle", "import", broken.to_str().unwrap()]);
    assert_eq!(
        (refused.code, refused.err.trim()),
        (1, "stonechat: this is no whole bundle")
    );
    // No file is written over.
    assert_eq!(ana.run(&["bundle", "export", last.to_str().unwrap()]).code, 1);
    assert_eq!(std::fs::read(&last).unwrap(), whole);
}
