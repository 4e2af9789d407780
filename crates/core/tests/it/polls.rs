//! Pins, polls and what is forwarded: in any order, by whoever may, and within their limits.

use crate::bench::Bench;
use crate::content::{backwards, count, delete, edit, group_page, only, page, query};
use crate::groups::{chat, circle, create, say};
use stonechat_core::api::{
    Answer, ByChat, ByMessage, Command, Fault, Forward, MediaKind, MediaSend, Message, Pin, PollSend, PollVote, Query,
    Reply, Send,
};

const HOUR: u64 = 3_600_000;

pub(crate) fn message(reply: Result<Reply, Fault>) -> Message {
    match reply.unwrap() {
        Reply::Message(message) => *message,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn pin(bench: &mut Bench, device: usize, id: &str, on: bool) -> Result<Reply, Fault> {
    bench.ask(device, Command::Pin(Pin { id: id.into(), on }))
}

pub(crate) fn pins(bench: &Bench, device: usize, chat: i64) -> Vec<String> {
    match query(bench, device, Query::Pins(ByChat { chat })) {
        Answer::Pins(all) => all.into_iter().map(|message| message.text).collect(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn ask(
    bench: &mut Bench,
    device: usize,
    chat: i64,
    several: bool,
    choices: &[&str],
) -> Result<Reply, Fault> {
    let wish = PollSend {
        chat,
        question: "when?".into(),
        choices: choices.iter().map(|choice| (*choice).to_owned()).collect(),
        several,
        client_id: Some("q".into()),
    };
    bench.ask(device, Command::PollSend(wish))
}

pub(crate) fn vote(bench: &mut Bench, device: usize, id: &str, choices: &[u8]) -> Result<Reply, Fault> {
    let (id, choices) = (id.into(), choices.to_vec());
    bench.ask(device, Command::PollVote(PollVote { id, choices }))
}

pub(crate) fn close(bench: &mut Bench, device: usize, id: &str) -> Result<Reply, Fault> {
    bench.ask(device, Command::PollClose(ByMessage { id: id.into() }))
}

/// `seven 2, eight 1* of 3`: a star at my own choices, an end where it is over.
pub(crate) fn result(message: &Message) -> String {
    let poll = message.poll.clone().unwrap();
    let star = |mine| if mine { "*" } else { "" };
    let one = |choice: &stonechat_core::api::Choice| format!("{} {}{}", choice.text, choice.count, star(choice.mine));
    let all: Vec<String> = poll.choices.iter().map(one).collect();
    let end = if poll.closed { " over" } else { "" };
    format!("{} of {}{end}", all.join(", "), poll.voters)
}

#[test]
fn what_is_pinned_stands_on_top_for_both_con_19() {
    let mut bench = Bench::friends();
    let (one, two) = (bench.say(0, 1, "one"), bench.say(0, 1, "two"));
    pin(&mut bench, 1, &two, true).unwrap();
    pin(&mut bench, 0, &one, true).unwrap();
    let sent = bench.devices[0].sent.len();
    pin(&mut bench, 0, &one, true).unwrap();
    assert_eq!(bench.devices[0].sent.len(), sent, "said again what is so already");
    bench.pass(HOUR);
    for device in [0, 1] {
        assert_eq!(pins(&bench, device, 1), ["one", "two"]);
        assert!(page(&bench, device, 1).iter().all(|message| message.pinned));
        assert_eq!(
            count(&mut bench, device, "SELECT unread FROM chat"),
            if device == 0 { 0 } else { 2 }
        );
    }
    pin(&mut bench, 0, &two, false).unwrap();
    delete(&mut bench, 0, &one, true).unwrap();
    for device in [0, 1] {
        assert!(pins(&bench, device, 1).is_empty(), "{device}");
    }
    assert_eq!(pin(&mut bench, 0, &one, true).unwrap_err(), Fault::NotFound);
}

#[test]
fn the_newest_pin_counts_whatever_came_first_con_19() {
    let mut bench = Bench::friends();
    backwards(&mut bench, |bench| {
        let id = bench.say(0, 1, "kept");
        pin(bench, 0, &id, true).unwrap();
        let id = bench.say(0, 1, "not kept");
        pin(bench, 0, &id, true).unwrap();
        pin(bench, 0, &id, false).unwrap();
    });
    for device in [0, 1] {
        assert_eq!(pins(&bench, device, 1), ["kept"]);
    }
}

#[test]
fn the_32_newest_pins_are_shown_con_19() {
    let mut bench = Bench::friends();
    let ids: Vec<String> = (0..33).map(|n| bench.say(0, 1, &format!("text {n}"))).collect();
    for id in &ids {
        pin(&mut bench, 0, id, true).unwrap();
    }
    bench.pass(HOUR);
    for device in [0, 1] {
        let shown = pins(&bench, device, 1);
        assert_eq!(
            (shown.len(), shown[0].as_str(), shown[31].as_str()),
            (32, "text 32", "text 1")
        );
    }
    pin(&mut bench, 0, &ids[32], false).unwrap();
    assert_eq!(pins(&bench, 1, 1)[31], "text 0");
}

#[test]
pub(crate) fn in_a_group_who_may_edit_pins_con_19() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    say(&mut bench, 1, "look").unwrap();
    bench.pass(6_000);
    let id = group_page(&mut bench, 1)[0].id.clone();
    assert_eq!(pin(&mut bench, 1, &id, true).unwrap_err(), Fault::NotAllowed);
    // By a program that does not ask.
    let tx = bench.devices[1].store.begin().unwrap();
    tx.execute("UPDATE epoch SET state = NULL", []).unwrap();
    tx.commit().unwrap();
    bench.devices[1].core.forget();
    pin(&mut bench, 1, &id, true).unwrap();
    bench.pass(6_000);
    for device in [0, 2] {
        let there = chat(&mut bench, device);
        assert!(pins(&bench, device, there).is_empty(), "{device}");
    }
    pin(&mut bench, 0, &id, true).unwrap();
    bench.pass(6_000);
    let there = chat(&mut bench, 2);
    assert_eq!(pins(&bench, 2, there), ["look"]);
}

#[test]
fn votes_are_counted_alike_and_can_be_changed_until_the_end_con_21() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    let there = chat(&mut bench, 0);
    let id = message(ask(&mut bench, 0, there, false, &["seven", "eight"])).id;
    assert_eq!(message(ask(&mut bench, 0, there, false, &["seven", "eight"])).id, id);
    bench.pass(6_000);
    for (device, choice) in [(0, 0), (1, 0), (2, 0), (2, 1)] {
        vote(&mut bench, device, &id, &[choice]).unwrap();
    }
    bench.pass(6_000);
    let results = |bench: &mut Bench| [0, 1, 2].map(|device| result(&group_page(bench, device)[0]));
    assert_eq!(
        results(&mut bench),
        [
            "seven 2*, eight 1 of 3",
            "seven 2*, eight 1 of 3",
            "seven 2, eight 1* of 3"
        ]
    );
    assert_eq!(
        group_page(&mut bench, 0)[0].poll.clone().unwrap().choices[1].names,
        ["Cy"]
    );
    vote(&mut bench, 1, &id, &[]).unwrap();
    assert_eq!(close(&mut bench, 1, &id).unwrap_err(), Fault::NotYours);
    bench.pass(6_000);
    close(&mut bench, 0, &id).unwrap();
    bench.pass(6_000);
    assert_eq!(vote(&mut bench, 2, &id, &[0]).unwrap_err(), Fault::PollClosed);
    assert_eq!(result(&group_page(&mut bench, 1)[0]), "seven 1, eight 1 of 2 over");
}

#[test]
fn what_a_poll_does_not_allow_is_refused_here_and_chooses_nothing_there_con_21() {
    let mut bench = Bench::friends();
    let id = message(ask(&mut bench, 0, 1, false, &["seven", "eight"])).id;
    for bad in [&[2][..], &[0, 1], &[200]] {
        assert_eq!(vote(&mut bench, 1, &id, bad).unwrap_err(), Fault::BadParams);
    }
    // By a program to which several may be chosen, and three are there.
    let more = stonechat_wire::poll::Poll::of(true, ["a", "b", "c"].map(String::from).to_vec()).unwrap();
    let tx = bench.devices[1].store.begin().unwrap();
    tx.execute("UPDATE message SET poll = ? WHERE poll IS NOT NULL", [more.encode()])
        .unwrap();
    tx.commit().unwrap();
    vote(&mut bench, 1, &id, &[0, 1]).unwrap();
    assert_eq!(result(&only(&bench, 0)), "seven 0, eight 0 of 0");
    vote(&mut bench, 1, &id, &[1, 2]).unwrap();
    assert_eq!(result(&only(&bench, 0)), "seven 0, eight 1 of 1");
}

#[test]
fn a_vote_and_an_end_before_their_poll_wait_for_it_con_22() {
    let mut bench = Bench::friends();
    backwards(&mut bench, |bench| {
        let id = message(ask(bench, 0, 1, true, &["seven", "eight"])).id;
        vote(bench, 0, &id, &[0]).unwrap();
        vote(bench, 0, &id, &[0, 1]).unwrap();
        close(bench, 0, &id).unwrap();
    });
    assert_eq!(result(&only(&bench, 0)), "seven 1*, eight 1* of 1 over");
    assert_eq!(result(&only(&bench, 1)), "seven 1, eight 1 of 1 over");
}

#[test]
fn votes_after_the_end_and_ends_by_others_do_nothing_con_22() {
    let mut bench = Bench::friends();
    let id = message(ask(&mut bench, 0, 1, false, &["seven", "eight"])).id;
    vote(&mut bench, 1, &id, &[0]).unwrap();
    // Bo's program takes the poll for Bo's.
    let turn = |bench: &mut Bench, sql: &str| {
        let tx = bench.devices[1].store.begin().unwrap();
        tx.execute(sql, []).unwrap();
        tx.commit().unwrap();
    };
    turn(&mut bench, "UPDATE message SET mine = 1 WHERE poll IS NOT NULL");
    close(&mut bench, 1, &id).unwrap();
    assert_eq!(result(&only(&bench, 0)), "seven 1, eight 0 of 1");
    bench.pass(HOUR);
    close(&mut bench, 0, &id).unwrap();
    // Bo's program has not heard of the end.
    turn(&mut bench, "DELETE FROM act WHERE kind = 5");
    bench.pass(HOUR);
    vote(&mut bench, 1, &id, &[1]).unwrap();
    assert_eq!(result(&only(&bench, 0)), "seven 1, eight 0 of 1 over");
}

#[test]
fn a_poll_keeps_its_question_and_its_limits_con_20() {
    let mut bench = Bench::friends();
    for bad in [&["one"][..], &["a", "a"], &["a", " "], &["x"; 13]] {
        assert_eq!(ask(&mut bench, 0, 1, false, bad).unwrap_err(), Fault::BadPoll);
    }
    let asked = message(ask(&mut bench, 0, 1, false, &[" a ", "b"]));
    assert_eq!(result(&asked), "a 0, b 0 of 0");
    assert_eq!(edit(&mut bench, 0, &asked.id, "what?").unwrap_err(), Fault::NotFound);
    delete(&mut bench, 0, &asked.id, true).unwrap();
    for device in [0, 1] {
        assert_eq!(only(&bench, device).poll, None);
        assert_eq!(
            count(
                &mut bench,
                device,
                "SELECT count(*) FROM message WHERE poll IS NOT NULL"
            ),
            0
        );
    }
}

fn forward(bench: &mut Bench, device: usize, id: &str, chat: i64, named: bool) -> Result<Reply, Fault> {
    let wish = Forward {
        id: id.into(),
        chat,
        named,
        client_id: None,
    };
    bench.ask(device, Command::Forward(wish))
}

#[test]
fn what_is_forwarded_keeps_its_marks_and_names_its_author_where_wanted_con_23() {
    let mut bench = circle(3);
    let wish = Send {
        chat: 1,
        text: "**news** for @Ana".into(),
        marked: true,
        client_id: None,
        reply_to: None,
    };
    let id = message(bench.ask(1, Command::Send(wish))).id;
    bench.pass(6_000);
    // Ana's chats: 1 with Bo, 2 with Cy.
    for named in [false, true] {
        forward(&mut bench, 0, &id, 2, named).unwrap();
    }
    bench.pass(6_000);
    let got = page(&bench, 2, 1);
    let author = |message: &Message| message.forwarded.clone().unwrap().name;
    assert_eq!((author(&got[0]), author(&got[1])), (None, Some("Bo".into())));
    assert_eq!(got[0].text, "news for @Ana");
    assert_eq!(got[0].format.len(), 2, "a mention is for those who were there");
    assert!(!got[0].mentions_me && got[0].typed.as_deref() == Some("**news** for @Ana"));
    // Further on it is still Bo's, or nobody's.
    create(&mut bench, &[1, 2]);
    let there = chat(&mut bench, 2);
    forward(&mut bench, 2, &got[1].id, there, true).unwrap();
    forward(&mut bench, 2, &got[0].id, there, true).unwrap();
    bench.pass(6_000);
    let got = group_page(&mut bench, 1);
    assert_eq!((author(&got[0]), author(&got[1])), (Some("Bo".into()), None));
}

#[test]
fn photos_and_notes_are_forwarded_and_polls_are_not_con_23() {
    use base64::Engine as _;
    let mut bench = circle(3);
    let wish = MediaSend {
        chat: 1,
        kind: MediaKind::Photo,
        data: base64::engine::general_purpose::STANDARD.encode(include_bytes!("../fixtures/photo.jpg")),
        preview: None,
        text: None,
        marked: false,
        client_id: None,
        reply_to: None,
    };
    let photo = message(bench.ask(0, Command::MediaSend(wish)));
    forward(&mut bench, 0, &photo.id, 2, false).unwrap();
    bench.pass(6_000);
    let got = page(&bench, 2, 1).pop().unwrap();
    assert_eq!(got.media, photo.media);
    assert!(got.forwarded.is_some());
    let poll = message(ask(&mut bench, 0, 1, false, &["a", "b"]));
    assert_eq!(forward(&mut bench, 0, &poll.id, 2, false).unwrap_err(), Fault::NotFound);
}
