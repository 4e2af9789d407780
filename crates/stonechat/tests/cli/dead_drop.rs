//! Dead drops: no relay anywhere, only a folder on a stranger's web server.

use std::time::Instant;

use crate::harness::{Done, Person, eventually};
use crate::webdav::{Dav, Kind, PASSWORD};

fn with_drop(name: &str, dav: &Dav) -> (Person, Done) {
    let person = Person::nobody();
    let made = person.run(&["init", "--name", name, "--drop", &dav.url()]);
    (person, made)
}

#[test]
fn two_who_have_no_relay_meet_and_talk_over_a_drop_drp_1() {
    for kind in [Kind::Nginx, Kind::Apache] {
        let dav = Dav::start(kind);
        let ((mut ana, made), mut bo) = (with_drop("Ana", &dav), Person::new("Bo", None));
        // proves: DRP-13
        assert!(
            made.code == 0 && made.err.contains("network addresses of all"),
            "{made:?}"
        );
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
        assert!(dav.root().is_dir() && dav.files().len() > 4);
        let status = ana.run(&["status"]).ok();
        assert!(
            status.contains("relay: dav://127.0.0.1") && !status.contains(PASSWORD),
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
