//! Replies, reactions, edits and deletions from the command line.

use serde_json::Value;

use crate::harness::{Person, Relay, eventually, friends};

/// The message as a person has it, once it fulfils something.
fn until(person: &Person, contact: &str, id: &str, holds: impl Fn(&Value) -> bool) -> Value {
    eventually("the message to change", || {
        let all = person.run(&["messages", contact, "--json"]).json();
        all.into_iter()
            .find(|message| message["id"] == id)
            .filter(|message| holds(message))
    })
}

#[test]
fn a_message_is_answered_liked_edited_and_deleted() {
    let relay = Relay::start();
    let (ana, bo) = friends(&relay);
    let id = ana.run(&["send", "Bo", "at seven?"]).line();
    until(&bo, "Ana", &id, |_| true);
    let answer = bo.run(&["reply", &id, "make it eight", "--json"]).json();
    assert_eq!(
        (&answer[0]["reply_to"], &answer[0]["quoted"]),
        (&Value::from(id.as_str()), &Value::from("at seven?"))
    );
    bo.run(&["react", &id, "👍"]).ok();
    let liked = until(&ana, "Bo", &id, |message| message["reactions"][0]["count"] == 1);
    assert_eq!(liked["reactions"][0]["names"][0], "Bo");
    assert!(
        ana.run(&["edit", &id, "at eight?"])
            .ok()
            .contains("at eight?  (edited)  [👍 1]")
    );
    until(&bo, "Ana", &id, |message| message["text"] == "at eight?");
    let texts: Vec<Value> = bo.run(&["history", &id, "--json"]).json();
    assert_eq!(
        (&texts[0]["text"], &texts[1]["text"]),
        (&"at seven?".into(), &"at eight?".into())
    );
    assert!(
        bo.run(&["messages", "Ana"])
            .ok()
            .contains("(to Ana: \"at eight?\") make it eight")
    );
    bo.run(&["react", &id, "👍", "--remove"]).ok();
    until(&ana, "Bo", &id, |message| message["reactions"] == Value::Array(vec![]));
    let done = ana.run(&["delete", &id, "--everyone", "--json"]).json();
    assert_eq!(done[0]["everyone"], true);
    until(&bo, "Ana", &id, |message| {
        message["kind"] == "deleted" && message["text"] == ""
    });
    let said = bo.run(&["messages", "Ana"]).ok();
    assert!(
        said.contains("Ana: (deleted)") && said.contains("(to a deleted message)"),
        "{said}"
    );
    bo.run(&["delete", &id]).ok();
    assert!(!bo.run(&["messages", "Ana"]).ok().contains("Ana: (deleted)"));
    assert!(ana.run(&["messages", "Bo"]).ok().contains("Ana: (deleted)"));
}

#[test]
fn a_timer_lets_messages_go() {
    let relay = Relay::start();
    let (ana, bo) = friends(&relay);
    let set = ana.run(&["timer", "Bo", "5s", "--json"]).json();
    assert_eq!(set[0]["timer_s"], 5);
    let id = ana.run(&["send", "Bo", "not for long"]).line();
    let there = until(&bo, "Ana", &id, |_| true);
    assert_eq!((&there["timer_s"], &there["vanishes_at"]), (&5.into(), &Value::Null));
    assert!(
        bo.run(&["messages", "Ana"])
            .ok()
            .contains("Ana: (messages go 5s after they were read)")
    );
    assert!(bo.run(&["receive", "--json"]).ok().contains("not for long"));
    for (person, other) in [(&ana, "Bo"), (&bo, "Ana")] {
        eventually("the message to go", || {
            let all = person.run(&["messages", other]).ok();
            (!all.contains("not for long")).then_some(())
        });
    }
    assert_eq!(
        bo.run(&["timer", "Ana"]).line(),
        "(messages go 5s after they were read)"
    );
    bo.run(&["timer", "Ana", "off"]).ok();
    eventually("the timer to be off", || {
        let timer = ana.run(&["timer", "Bo", "--json"]).json();
        (timer[0]["timer_s"] == Value::Null).then_some(())
    });
    assert_eq!(ana.run(&["timer", "Bo", "4s"]).code, 2);
}

#[test]
fn photos_and_voice_notes_arrive_without_what_is_no_picture_con_15() {
    let relay = Relay::start();
    let (ana, bo) = friends(&relay);
    let photo: &[u8] = include_bytes!("../../../core/tests/fixtures/photo.jpg");
    let note: &[u8] = include_bytes!("../../../core/tests/fixtures/note.ogg");
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let told = b"\xff\xe1\x00\x11Exif\0\0GPS 59.93";
    std::fs::write(path("p.jpg"), [&photo[..2], told, &photo[2..]].concat()).unwrap();
    std::fs::write(path("v.ogg"), note).unwrap();
    let sent = ana
        .run(&["photo", "Bo", &path("p.jpg"), "--text", "our street", "--json"])
        .json();
    let seen = until(&bo, "Ana", sent[0]["id"].as_str().unwrap(), |_| true);
    assert_eq!(
        (&seen["media"]["kind"], &seen["media"]["width"]),
        (&"photo".into(), &640.into())
    );
    let saved = bo
        .run(&["save", sent[0]["id"].as_str().unwrap(), &path("got.jpg"), "--json"])
        .json();
    assert_eq!(saved[0]["bytes"], photo.len());
    assert_eq!(std::fs::read(path("got.jpg")).unwrap(), photo);
    let id = bo.run(&["voice", "Ana", &path("v.ogg")]).line();
    ana.run(&["group", "create", "House"]).ok();
    until(&ana, "Bo", &id, |message| message["media"]["durationMs"] == 3_000);
    assert!(ana.run(&["messages", "Bo"]).ok().contains("Bo: (voice note, 3 s)"));
    assert!(
        ana.run(&["messages", "Bo"])
            .ok()
            .contains("(photo, 640 x 480) our street")
    );
    for (words, saying) in [
        (&["voice", "Bo", &path("p.jpg")][..], "no voice note"),
        (&["photo", "Bo", &path("v.ogg")], "no photo"),
        (&["photo", "Bo", &path("nowhere")], "reading"),
        (&["save", &id, &path("v.ogg")], "writing"),
        (
            &["group", "picture", "House", &path("v.ogg")],
            "a picture of a group is a JPEG",
        ),
    ] {
        let done = ana.run(words);
        assert!(done.code == 1 && done.err.contains(saying), "{words:?} {done:?}");
    }
}

#[test]
fn what_cannot_be_done_to_a_message_says_why() {
    let relay = Relay::start();
    let (ana, bo) = friends(&relay);
    let id = ana.run(&["send", "Bo", "mine"]).line();
    until(&bo, "Ana", &id, |_| true);
    for (words, code, saying) in [
        (&["edit", &id, "yours"][..], 1, "not yours"),
        (&["delete", &id, "--everyone"], 1, "not yours"),
        (&["react", &id, "ok"], 1, "not one emoji"),
        (&["react", "abc", "👍"], 6, "nothing with this id"),
        (&["reply", "abc", "hello"], 6, "nothing with this id"),
        (&["history", "abc"], 6, "nothing with this id"),
    ] {
        let done = bo.run(words);
        assert_eq!(done.code, code, "{words:?} {done:?}");
        assert!(done.err.contains(saying), "{words:?} {done:?}");
    }
}

#[test]
fn marks_pins_polls_and_what_is_forwarded_go_by_command_con_16() {
    let relay = Relay::start();
    let (ana, bo) = friends(&relay);
    let id = ana.run(&["send", "Bo", "**now** or ||never||", "--marks"]).line();
    let seen = until(&bo, "Ana", &id, |_| true);
    assert_eq!(
        (&seen["text"], &seen["format"][0]["kind"]),
        (&"now or never".into(), &"bold".into())
    );
    assert!(bo.run(&["messages", "Ana"]).ok().contains("Ana: **now** or ||never||"));
    bo.run(&["pin", &id]).ok();
    until(&ana, "Bo", &id, |message| message["pinned"] == true);
    assert_eq!(ana.run(&["pins", "Bo", "--json"]).json()[0]["id"], id);
    let poll = ana.run(&["poll", "ask", "Bo", "when?", "at seven", "at eight"]).line();
    until(&bo, "Ana", &poll, |_| true);
    let voted = bo.run(&["poll", "vote", &poll, "2", "--json"]).json();
    assert_eq!(voted[0]["poll"]["choices"][1]["mine"], true);
    until(&ana, "Bo", &poll, |message| message["poll"]["choices"][1]["count"] == 1);
    let over = ana.run(&["poll", "end", &poll]).ok();
    assert!(over.contains("2. at eight: 1\n    (over)"), "{over}");
    until(&bo, "Ana", &poll, |message| message["poll"]["closed"] == true);
    for (words, code, saying) in [
        (&["poll", "vote", &poll, "1"][..], 1, "over"),
        (
            &["poll", "ask", "Ana", "when?", "never", "never"],
            1,
            "2 to 12 different",
        ),
        (&["poll", "vote", &poll, "0"], 2, "0 is not in"),
        (&["forward", &poll, "saved"], 1, "cannot be forwarded"),
        (&["forward", &"7".repeat(32), "saved"], 6, "nothing with this id"),
    ] {
        let done = bo.run(words);
        assert!(done.code == code && done.err.contains(saying), "{words:?} {done:?}");
    }
    let kept = bo.run(&["forward", &id, "saved", "--named", "--json"]).json();
    assert_eq!(kept[0]["state"], "read");
    assert_eq!(
        bo.run(&["send", "saved", "buy tea"]).ok().lines().count(),
        1,
        "it waits for nobody"
    );
    assert!(bo.run(&["messages", "saved"]).ok().contains("Bo: buy tea"));
    let sent = bo.run(&["forward", &id, "Ana", "--named", "--json"]).json();
    assert_eq!(sent[0]["forwarded"]["name"], "Ana");
    assert!(
        bo.run(&["messages", "Ana"])
            .ok()
            .contains("Bo: (forwarded from Ana) **now**")
    );
}
