//! Saved messages: everything works there, and nothing leaves.

use crate::bench::Bench;
use crate::content::{count, delete, edit, found, history, page, query};
use crate::devices::link;
use stonechat_core::api::{
    Answer, ByChat, Chat, Command, Forward, MessageState, Page, Pin, PollSend, PollVote, Query, React, Reply, Send,
    TimerSet,
};

const DAY: u64 = 24 * 3_600_000;

fn open(bench: &mut Bench) -> i64 {
    match bench.ask(0, Command::SavedOpen).unwrap() {
        Reply::Chat(by) => by.chat,
        other => panic!("{other:?}"),
    }
}

fn write(bench: &mut Bench, chat: i64, text: &str) -> String {
    let wish = Send {
        chat,
        text: text.into(),
        marked: true,
        client_id: None,
        reply_to: None,
    };
    match bench.ask(0, Command::Send(wish)).unwrap() {
        Reply::Message(message) => message.id,
        other => panic!("{other:?}"),
    }
}

fn entry(bench: &Bench, chat: i64) -> Chat {
    let page = Page { limit: 10, offset: 0 };
    match query(bench, 0, Query::Chats(page)) {
        Answer::Chats(all) => all.into_iter().find(|one| one.id == chat).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_saved_stays_here_con_24() {
    let mut bench = Bench::friends();
    bench.pass(2 * DAY);
    let sent = bench.devices[0].sent.len();
    let chat = open(&mut bench);
    assert_eq!(open(&mut bench), chat, "there is one");
    let id = write(&mut bench, chat, "**buy** tea");
    edit(&mut bench, 0, &id, "buy much tea").unwrap();
    let react = React {
        id: id.clone(),
        emoji: "👍".into(),
        on: true,
    };
    bench.ask(0, Command::React(react)).unwrap();
    bench
        .ask(
            0,
            Command::Pin(Pin {
                id: id.clone(),
                on: true,
            }),
        )
        .unwrap();
    let poll = PollSend {
        chat,
        question: "which?".into(),
        choices: vec!["green".into(), "black".into()],
        several: false,
        client_id: None,
    };
    let Reply::Message(poll) = bench.ask(0, Command::PollSend(poll)).unwrap() else {
        panic!()
    };
    let vote = PollVote {
        id: poll.id.clone(),
        choices: vec![1],
    };
    bench.ask(0, Command::PollVote(vote)).unwrap();
    delete(&mut bench, 0, &poll.id, true).unwrap();
    assert_eq!(bench.devices[0].sent.len(), sent, "something left");
    assert_eq!(
        count(&mut bench, 0, "SELECT count(*) FROM outbox WHERE purpose <> 7"),
        0
    );
    let all = page(&bench, 0, chat);
    assert_eq!(
        (all.len(), all[0].text.as_str(), all[0].state),
        (2, "buy much tea", MessageState::Read)
    );
    assert_eq!(
        (all[0].pinned, all[0].reactions.len(), found(&bench, 0, "much")),
        (true, 1, 1)
    );
    assert_eq!(history(&bench, 0, &id), ["buy tea", "buy much tea"]);
    let shown = entry(&bench, chat);
    assert!(shown.own && shown.group.is_none() && shown.unread == 0 && shown.pins == 1);
    // Weeks later too: no commit, no receipt, no mailbox is for it.
    bench.pass(20 * DAY);
    let rows = "SELECT (SELECT count(*) FROM epoch WHERE group_id = zeroblob(16))
                     + (SELECT count(*) FROM outbox WHERE group_id = zeroblob(16))
                     + (SELECT count(*) FROM conversation_relay WHERE group_id = zeroblob(16))";
    assert_eq!(count(&mut bench, 0, rows), 0);
}

#[test]
fn messages_are_saved_by_forwarding_and_go_by_their_timer_con_24() {
    let mut bench = Bench::friends();
    let id = bench.say(1, 1, "the address");
    bench.pass(6_000);
    let chat = open(&mut bench);
    let timer = TimerSet {
        chat,
        seconds: Some(3_600),
    };
    bench.ask(0, Command::TimerSet(timer)).unwrap();
    let wish = Forward {
        id,
        chat,
        named: true,
        client_id: None,
    };
    bench.ask(0, Command::Forward(wish)).unwrap();
    let kept = page(&bench, 0, chat).pop().unwrap();
    assert_eq!(
        (kept.text.as_str(), kept.forwarded.unwrap().name),
        ("the address", Some("Bo".into()))
    );
    bench.pass(DAY);
    assert_eq!(page(&bench, 0, chat).len(), 1, "the line about the timer stays");
    let by = Query::Pins(ByChat { chat });
    assert!(matches!(query(&bench, 0, by), Answer::Pins(pins) if pins.is_empty()));
}

/// Texts of the chat with oneself, `!` before one that waits for others.
fn texts(bench: &mut Bench, device: usize) -> Vec<String> {
    let tx = bench.devices[device].store.begin().unwrap();
    let mut rows = tx
        .prepare(
            "SELECT m.text, m.complete, m.state FROM message m JOIN chat c ON c.id = m.chat
             WHERE c.saved = 1 AND m.kind IN (0, 3) ORDER BY m.position",
        )
        .unwrap();
    let texts = rows.query_map([], |row| {
        let (text, complete, state): (String, bool, u8) = (row.get(0)?, row.get(1)?, row.get(2)?);
        assert_eq!(state, MessageState::Read as u8);
        Ok(if complete { text } else { format!("!{text}") })
    });
    texts.unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn what_is_saved_on_one_device_is_on_all_and_so_is_what_is_done_to_it_own_9() {
    let mut bench = Bench::with(1);
    let chat = open(&mut bench);
    write(&mut bench, chat, "before any other device");
    let (laptop, tablet) = (link(&mut bench, 0), link(&mut bench, 0));
    let first = write(&mut bench, chat, "**milk**");
    bench.pass(60_000);
    // What was before is not there, and nobody waits for it.
    for device in [laptop, tablet] {
        assert_eq!(texts(&mut bench, device), ["milk"]);
    }
    let at_laptop = match bench.ask(laptop, Command::SavedOpen).unwrap() {
        Reply::Chat(by) => by.chat,
        other => panic!("{other:?}"),
    };
    bench.devices[tablet].cut = true;
    let second = bench.say(laptop, at_laptop, "bread");
    edit(&mut bench, laptop, &first, "milk and honey").unwrap();
    bench.pass(60_000);
    assert_eq!(
        texts(&mut bench, 0),
        ["before any other device", "milk and honey", "bread"]
    );
    delete(&mut bench, 0, &second, true).unwrap();
    bench.reconnect(tablet);
    bench.pass(2 * DAY);
    for device in [laptop, tablet] {
        assert_eq!(texts(&mut bench, device), ["milk and honey", ""]);
    }
    // A device that is taken away hears nothing more.
    let gone = count(&mut bench, tablet, "SELECT count(*) FROM message WHERE kind < 2");
    let devices = match query(&bench, 0, Query::Devices) {
        Answer::Devices(devices) => devices.devices,
        other => panic!("{other:?}"),
    };
    let id = devices.last().unwrap().id.clone();
    bench
        .ask(0, Command::DeviceRemove(stonechat_core::api::ById { id }))
        .unwrap();
    write(&mut bench, chat, "not for the tablet");
    bench.pass(DAY);
    assert_eq!(
        count(&mut bench, tablet, "SELECT count(*) FROM message WHERE kind < 2"),
        gone
    );
    assert_eq!(texts(&mut bench, laptop), ["milk and honey", "", "not for the tablet"]);
}
