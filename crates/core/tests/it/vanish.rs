//! Messages that go by themselves: when, by which clock, and what is left of them.

use crate::bench::{Bench, START, relay_keys};
use crate::groups::{add, chat, circle, create, remove, say};
use stonechat_core::Input;
use stonechat_core::api::{
    Answer, Chat, Command, Connection, Delete, Edit, Event, Fault, MarkRead, MessageKind, MessagesOf, Page, Query,
    React, Reply, Search, Send, TimerSet,
};
use stonechat_core::query::Live;
use stonechat_wire::exchange::News;
use stonechat_wire::ids::Timestamp;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

fn query(bench: &Bench, device: usize, query: Query) -> Answer {
    let live = Live {
        version: String::new(),
        locked: false,
        has_passphrase: false,
        connection: Connection::Connected,
        connected: vec![],
        through: vec![],
        ways: vec![],
        tried: std::collections::BTreeMap::new(),
    };
    bench.devices[device]
        .store
        .reader()
        .unwrap()
        .query(query, &live)
        .unwrap()
}

/// Texts and lines about the timer, in the order shown.
fn lines(bench: &Bench, device: usize) -> Vec<String> {
    lines_of(bench, device, 1)
}

fn lines_of(bench: &Bench, device: usize, chat: i64) -> Vec<String> {
    let of = MessagesOf {
        chat,
        before: None,
        after: None,
        around: None,
        limit: 500,
    };
    let Answer::Messages(page) = query(bench, device, Query::Messages(of)) else {
        panic!("no page")
    };
    let line = |message: stonechat_core::api::Message| match message.kind {
        MessageKind::Timer => Some(format!("timer {:?}", message.timer_s)),
        MessageKind::Began => None,
        _other => Some(message.text),
    };
    page.messages.into_iter().filter_map(line).collect()
}

fn entry(bench: &Bench, device: usize) -> Chat {
    let page = Page { limit: 10, offset: 0 };
    match query(bench, device, Query::Chats(page)) {
        Answer::Chats(mut chats) => chats.remove(0),
        other => panic!("{other:?}"),
    }
}

fn set(bench: &mut Bench, device: usize, chat: i64, seconds: Option<u32>) -> Result<Reply, Fault> {
    bench.ask(device, Command::TimerSet(TimerSet { chat, seconds }))
}

fn read(bench: &mut Bench, device: usize, chat: i64) {
    let position = i64::MAX;
    bench
        .ask(device, Command::MarkRead(MarkRead { chat, position }))
        .unwrap();
}

fn count(bench: &mut Bench, device: usize, sql: &str) -> i64 {
    let tx = bench.devices[device].store.begin().unwrap();
    tx.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn found(bench: &Bench, device: usize, words: &str) -> usize {
    let search = Search {
        words: words.into(),
        chat: None,
        limit: 10,
    };
    match query(bench, device, Query::Search(search)) {
        Answer::Hits(hits) => hits.len(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_goes_its_time_after_it_was_read_con_11() {
    let mut bench = Bench::friends();
    set(&mut bench, 0, 1, Some(3600)).unwrap();
    bench.say(0, 1, "burn this letter");
    bench.pass(30 * MINUTE);
    // Not read yet at Bo's: it stays there, however long. At its author's it counts since a relay has it.
    assert_eq!(lines(&bench, 1), ["timer Some(3600)", "burn this letter"]);
    assert_eq!(lines(&bench, 0).len(), 2);
    bench.pass(31 * MINUTE);
    assert_eq!(lines(&bench, 0), ["timer Some(3600)"]);
    bench.pass(5 * DAY);
    assert_eq!(lines(&bench, 1).len(), 2);
    read(&mut bench, 1, 1);
    bench.pass(HOUR - 1);
    assert_eq!((lines(&bench, 1).len(), found(&bench, 1, "letter")), (2, 1));
    assert_eq!(entry(&bench, 1).last.unwrap().text, "burn this letter");
    bench.pass(2);
    assert_eq!((lines(&bench, 1).len(), found(&bench, 1, "letter")), (1, 0));
    assert_eq!(entry(&bench, 1).last.unwrap().kind, MessageKind::Timer);
    for device in 0..2 {
        let kept = "SELECT count(*) FROM message WHERE text LIKE '%letter%' OR original LIKE '%letter%'";
        assert_eq!(count(&mut bench, device, kept), 0);
        let known =
            "SELECT count(*) FROM message WHERE kind = 4 AND chat IS NULL AND timer_s IS NULL AND vanish_at IS NULL";
        assert!(count(&mut bench, device, known) > 0);
        let removed = bench.devices[device].events.iter();
        assert!(removed.filter(|e| matches!(e, Event::MessageRemoved { .. })).count() == 1);
    }
}

#[test]
fn what_is_not_sent_or_has_no_timer_stays_con_9() {
    let mut bench = Bench::friends();
    bench.say(0, 1, "before");
    set(&mut bench, 1, 1, Some(5)).unwrap();
    bench.devices[0].cut = true;
    bench.say(0, 1, "waits");
    bench.pass(20 * DAY);
    assert_eq!(lines(&bench, 0), ["before", "timer Some(5)", "waits"]);
    bench.reconnect(0);
    bench.pass(6_000);
    assert_eq!(lines(&bench, 0), ["before", "timer Some(5)"]);
    assert_eq!(lines(&bench, 1), ["before", "timer Some(5)", "waits"]);
    set(&mut bench, 0, 1, None).unwrap();
    bench.say(0, 1, "for good");
    read(&mut bench, 1, 1);
    bench.pass(DAY);
    assert_eq!(lines(&bench, 1), ["before", "timer Some(5)", "timer None", "for good"]);
    assert_eq!((entry(&bench, 0).timer_s, entry(&bench, 1).timer_s), (None, None));
}

#[test]
fn what_was_done_to_a_message_goes_with_it_con_11() {
    let mut bench = Bench::friends();
    set(&mut bench, 0, 1, Some(60)).unwrap();
    let id = bench.say(0, 1, "first words");
    let (edit, react) = (
        Edit {
            id: id.clone(),
            text: "other words".into(),
            marked: false,
        },
        React {
            id: id.clone(),
            emoji: "👍".into(),
            on: true,
        },
    );
    bench.ask(0, Command::Edit(edit)).unwrap();
    bench.ask(1, Command::React(react)).unwrap();
    set(&mut bench, 1, 1, None).unwrap();
    let answer = Send {
        chat: 1,
        text: "an answer".into(),
        client_id: None,
        marked: false,
        reply_to: Some(id.clone()),
    };
    bench.ask(1, Command::Send(answer)).unwrap();
    read(&mut bench, 1, 1);
    bench.pass(2 * MINUTE);
    for device in 0..2 {
        assert_eq!(lines(&bench, device), ["timer Some(60)", "timer None", "an answer"]);
        assert_eq!(count(&mut bench, device, "SELECT count(*) FROM act"), 0);
        let quote = entry(&bench, device).last.unwrap().reply.unwrap();
        assert_eq!((quote.id.as_str(), quote.found), (id.as_str(), None));
        assert_eq!(found(&bench, device, "words"), 0);
    }
    // What comes later does nothing.
    let late = Edit {
        id,
        text: "back".into(),
        marked: false,
    };
    assert_eq!(bench.ask(0, Command::Edit(late)).err(), Some(Fault::NotFound));
}

#[test]
fn the_mark_of_a_deleted_message_goes_too_con_11() {
    let mut bench = Bench::friends();
    set(&mut bench, 0, 1, Some(60)).unwrap();
    let id = bench.say(0, 1, "a slip");
    read(&mut bench, 1, 1);
    bench.ask(0, Command::Delete(Delete { id, everyone: true })).unwrap();
    bench.pass(2 * MINUTE);
    for device in 0..2 {
        assert_eq!(lines(&bench, device), ["timer Some(60)"]);
    }
}

#[test]
fn a_timer_has_limits_and_its_line_stays_con_10() {
    let mut bench = Bench::friends();
    for seconds in [0, 4, 31_622_401, u32::MAX] {
        assert_eq!(set(&mut bench, 0, 1, Some(seconds)).err(), Some(Fault::BadParams));
    }
    assert!(matches!(set(&mut bench, 0, 1, None), Ok(Reply::Done {})));
    set(&mut bench, 0, 1, Some(31_622_400)).unwrap();
    let line = entry(&bench, 0).last.unwrap();
    assert!(matches!(set(&mut bench, 1, 1, Some(31_622_400)), Ok(Reply::Done {})));
    for everyone in [true, false] {
        let id = line.id.clone();
        let delete = Command::Delete(Delete { id, everyone });
        assert_eq!(bench.ask(0, delete).err(), Some(Fault::NotFound));
    }
    set(&mut bench, 1, 1, Some(5)).unwrap();
    for device in 0..2 {
        read(&mut bench, device, 1);
    }
    bench.pass(DAY);
    for device in 0..2 {
        assert_eq!(lines(&bench, device), ["timer Some(31622400)", "timer Some(5)"]);
        assert_eq!(entry(&bench, device).timer_s, Some(5));
    }
}

#[test]
fn in_a_group_whoever_may_edit_it_sets_the_timer_con_10() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    bench.pass(HOUR);
    let (ana, bo) = (chat(&mut bench, 0), chat(&mut bench, 1));
    assert_eq!(set(&mut bench, 1, bo, Some(60)).err(), Some(Fault::NotAllowed));
    set(&mut bench, 0, ana, Some(60)).unwrap();
    bench.pass(HOUR);
    say(&mut bench, 1, "for a minute").unwrap();
    bench.pass(30_000);
    assert_eq!(lines_of(&bench, 1, bo).last().unwrap(), "for a minute");
    read(&mut bench, 0, ana);
    bench.pass(HOUR);
    for (device, there) in [(0, false), (1, false), (2, true)] {
        let of = chat(&mut bench, device);
        assert_eq!(
            lines_of(&bench, device, of).contains(&"for a minute".into()),
            there,
            "{device}"
        );
    }
    // Whoever sets it anyway, by a program that does not ask, sets nothing.
    let tx = bench.devices[1].store.begin().unwrap();
    tx.execute("UPDATE epoch SET state = NULL", []).unwrap();
    tx.commit().unwrap();
    set(&mut bench, 1, bo, Some(5)).unwrap();
    bench.pass(HOUR);
    let cy = chat(&mut bench, 2);
    assert_eq!(lines_of(&bench, 2, cy), ["timer Some(60)", "for a minute"]);
    assert_eq!(
        count(&mut bench, 2, "SELECT count(*) FROM message WHERE complete = 0"),
        0
    );
}

#[test]
fn whoever_is_added_knows_the_timer_and_whoever_comes_back_learns_the_newer_one_grp_13() {
    let mut bench = circle(4);
    create(&mut bench, &[1]);
    let ana = chat(&mut bench, 0);
    let set = |bench: &mut Bench, seconds| {
        let wish = TimerSet { chat: ana, seconds };
        bench.ask(0, Command::TimerSet(wish)).unwrap();
        bench.pass(10_000);
    };
    set(&mut bench, Some(3600));
    set(&mut bench, Some(60));
    add(&mut bench, 0, &[2]).unwrap();
    bench.pass(10_000);
    let cy = chat(&mut bench, 2);
    assert_eq!(lines_of(&bench, 2, cy), ["timer Some(60)"]);
    say(&mut bench, 2, "goes by itself").unwrap();
    bench.pass(10_000);
    let gone = "SELECT count(*) FROM message WHERE kind = 0 AND timer_s = 60";
    assert_eq!(bench.numbers(0, gone), [1]);

    // Removed, and added again when another time counts.
    remove(&mut bench, 0, &[2]).unwrap();
    bench.pass(10_000);
    set(&mut bench, None);
    add(&mut bench, 0, &[2]).unwrap();
    bench.pass(10_000);
    let shown = lines_of(&bench, 2, cy);
    assert_eq!(shown, ["timer Some(60)", "goes by itself", "timer None"]);
    // Di comes when nothing counts: messages stay, and a line says so; what is set then is newer than that line.
    add(&mut bench, 0, &[3]).unwrap();
    bench.pass(10_000);
    set(&mut bench, Some(5));
    let di = chat(&mut bench, 3);
    assert_eq!(lines_of(&bench, 3, di), ["timer None", "timer Some(5)"]);
    say(&mut bench, 3, "short").unwrap();
    let short = "SELECT count(*) FROM message WHERE mine = 1 AND kind = 0 AND timer_s = 5";
    assert_eq!(bench.numbers(3, short), [1]);
}

#[test]
pub(crate) fn a_wrong_clock_keeps_nothing_longer_than_its_timer_con_12() {
    let mut bench = Bench::friends();
    set(&mut bench, 0, 1, Some(24 * 3600)).unwrap();
    bench.say(0, 1, "for a day");
    read(&mut bench, 1, 1);
    // Bo's clock is set back to 1970, and no relay says otherwise.
    bench.devices[1].now = 1_000;
    bench.devices[1].step(Input::Wake);
    assert_eq!(lines(&bench, 1).len(), 2);
    bench.devices[1].now = 1_000 + DAY - 1;
    bench.devices[1].step(Input::Wake);
    assert_eq!(lines(&bench, 1).len(), 2);
    bench.devices[1].now = 1_000 + DAY;
    bench.devices[1].step(Input::Wake);
    assert_eq!(lines(&bench, 1).len(), 1);
    // A clock that is wrong by a month counts right where a relay says what time it is.
    let mut bench = Bench::friends();
    bench.devices[1].now += 30 * DAY;
    let relay = relay_keys().id();
    let time = Timestamp(START);
    bench.devices[1].step(Input::News(News::Greeting { relay, time }));
    set(&mut bench, 0, 1, Some(24 * 3600)).unwrap();
    bench.say(0, 1, "for a day");
    read(&mut bench, 1, 1);
    let began = bench.devices[1].now;
    let counted = "SELECT vanish_at - vanish_from FROM message WHERE vanish_at IS NOT NULL";
    assert_eq!(count(&mut bench, 1, counted), i64::try_from(DAY).unwrap());
    assert!(
        bench.devices[1]
            .step(Input::Wake)
            .wake_at
            .is_some_and(|at| at.0 <= began + DAY)
    );
    bench.devices[1].now = began + DAY + 1;
    bench.devices[1].step(Input::Wake);
    assert_eq!(lines(&bench, 1).len(), 1);
}

#[test]
fn a_battery_that_was_empty_lets_nothing_go_early_con_12() {
    let mut bench = Bench::friends();
    let (relay, time) = (relay_keys().id(), Timestamp(START));
    let began = bench.devices[1].now;
    bench.devices[1].step(Input::News(News::Greeting { relay, time }));
    set(&mut bench, 0, 1, Some(24 * 3600)).unwrap();
    bench.say(0, 1, "read before");
    read(&mut bench, 1, 1);
    // The phone wakes up in 1970, and Bo reads what came before any relay says what time it is.
    bench.say(0, 1, "read in 1970");
    bench.devices[1].now = 1_000;
    bench.devices[1].step(Input::Wake);
    read(&mut bench, 1, 1);
    bench.devices[1].now = began + HOUR;
    bench.devices[1].step(Input::Wake);
    assert_eq!(lines(&bench, 1).len(), 3);
    bench.devices[1].now = began + DAY - 1;
    bench.devices[1].step(Input::Wake);
    assert_eq!(lines(&bench, 1).len(), 3);
    bench.devices[1].now = began + DAY + MINUTE;
    bench.devices[1].step(Input::Wake);
    assert_eq!(lines(&bench, 1).len(), 1);
}

#[test]
fn many_that_fall_due_at_once_go_in_several_steps_con_11() {
    let mut bench = Bench::friends();
    set(&mut bench, 0, 1, Some(60)).unwrap();
    for n in 0..20 {
        bench.say(0, 1, &format!("number {n}"));
    }
    read(&mut bench, 1, 1);
    // As if 25 times as many stood there.
    let tx = bench.devices[1].store.begin().unwrap();
    for n in 1..=25 {
        tx.execute(
            "INSERT INTO message(id, chat, position, group_id, epoch_id, leaf, seq, hlc, sender, mine, kind, text, sent_at,
                                 received_at, state, complete, acked, timer_s, vanish_from, vanish_at)
             SELECT randomblob(16), chat, position + ?1 * 100000000, group_id, epoch_id, leaf, seq, hlc, sender, 0, 0, text,
                    sent_at, received_at, 3, 1, 2, timer_s, vanish_from, vanish_at
             FROM message WHERE kind = 0 AND received_at > 0 AND seq > 0 LIMIT 20",
            [n],
        )
        .unwrap();
    }
    tx.commit().unwrap();
    bench.devices[1].now += 2 * MINUTE;
    let first = bench.devices[1].step(Input::Wake);
    assert_eq!(lines(&bench, 1).len(), 21);
    assert!(first.events.iter().any(|event| matches!(event, Event::Ingested { .. })));
    assert_eq!(first.wake_at.unwrap().0, bench.devices[1].now + 1);
    bench.devices[1].now += 1;
    bench.devices[1].step(Input::Wake);
    assert_eq!(lines(&bench, 1).len(), 1);
}
