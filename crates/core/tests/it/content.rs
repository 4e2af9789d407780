//! Replies, reactions, edits and deletions: in any order, by whoever may, and within their limits.

use crate::bench::Bench;
use crate::groups::{chat, circle, create, give, remove, say};
use stonechat_core::Input;
use stonechat_core::api::{
    Answer, ByMessage, Command, Connection, Delete, Edit, Event, Fault, Message, MessageKind, MessagesOf, Query, React,
    Reply, Role, Search, Send,
};
use stonechat_core::query::Live;
use stonechat_wire::exchange::News;

const HOUR: u64 = 3_600_000;

fn live() -> Live {
    Live {
        version: String::new(),
        locked: false,
        has_passphrase: false,
        connection: Connection::Connected,
        connected: vec![],
        through: vec![],
        ways: vec![],
        tried: std::collections::BTreeMap::new(),
    }
}

pub(crate) fn query(bench: &Bench, device: usize, query: Query) -> Answer {
    let reader = bench.devices[device].store.reader().unwrap();
    reader.query(query, &live()).unwrap()
}

/// The messages of a chat but for its beginning.
pub(crate) fn page(bench: &Bench, device: usize, chat: i64) -> Vec<Message> {
    let of = MessagesOf {
        chat,
        before: None,
        after: None,
        around: None,
        limit: 500,
    };
    match query(bench, device, Query::Messages(of)) {
        Answer::Messages(page) => {
            let all = page.messages.into_iter();
            all.filter(|message| message.kind != MessageKind::Began).collect()
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) fn only(bench: &Bench, device: usize) -> Message {
    let mut all = page(bench, device, 1);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

pub(crate) fn history(bench: &Bench, device: usize, id: &str) -> Vec<String> {
    match query(bench, device, Query::History(ByMessage { id: id.into() })) {
        Answer::History(all) => all.into_iter().map(|version| version.text).collect(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn found(bench: &Bench, device: usize, words: &str) -> usize {
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

/// Emojis as `2👍*`: how many, and a star where mine is among them.
fn emojis(message: &Message) -> Vec<String> {
    let star = |mine| if mine { "*" } else { "" };
    let one = |reaction: &stonechat_core::api::Reaction| {
        format!("{}{}{}", reaction.count, reaction.emoji, star(reaction.mine))
    };
    message.reactions.iter().map(one).collect()
}

fn answer(bench: &mut Bench, device: usize, to: &str, text: &str) -> Result<Reply, Fault> {
    bench.ask(
        device,
        Command::Send(Send {
            chat: 1,
            text: text.into(),
            client_id: None,
            marked: false,
            reply_to: Some(to.into()),
        }),
    )
}

fn react(bench: &mut Bench, device: usize, id: &str, emoji: &str, on: bool) -> Result<Reply, Fault> {
    let (id, emoji) = (id.into(), emoji.into());
    bench.ask(device, Command::React(React { id, emoji, on }))
}

pub(crate) fn edit(bench: &mut Bench, device: usize, id: &str, text: &str) -> Result<Reply, Fault> {
    let (id, text) = (id.into(), text.into());
    bench.ask(
        device,
        Command::Edit(Edit {
            id,
            text,
            marked: false,
        }),
    )
}

pub(crate) fn delete(bench: &mut Bench, device: usize, id: &str, everyone: bool) -> Result<Reply, Fault> {
    bench.ask(
        device,
        Command::Delete(Delete {
            id: id.into(),
            everyone,
        }),
    )
}

pub(crate) fn count(bench: &mut Bench, device: usize, sql: &str) -> i64 {
    let tx = bench.devices[device].store.begin().unwrap();
    tx.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// What device 0 does meanwhile reaches device 1 in the opposite order.
pub(crate) fn backwards(bench: &mut Bench, body: impl FnOnce(&mut Bench)) {
    bench.relay.silent = true;
    body(bench);
    bench.relay.silent = false;
    let Bench { relay, devices } = &mut *bench;
    for (tag, cursor) in &devices[1].listening {
        if let Some(waiting) = relay.boxes.get_mut(tag) {
            waiting[usize::try_from(*cursor).unwrap()..].reverse();
        }
    }
    bench.settle();
    bench.pass(HOUR);
}

#[test]
fn a_reply_quotes_its_target_as_it_stands_con_1() {
    let mut bench = Bench::friends();
    let id = bench.say(0, 1, "shall we meet");
    answer(&mut bench, 1, &id, "yes").unwrap();
    bench.pass(HOUR);
    for (device, mine) in [(0, true), (1, false)] {
        let all = page(&bench, device, 1);
        let quote = all[1].reply.clone().unwrap();
        let quoted = quote.found.unwrap();
        assert_eq!(
            (quote.id.as_str(), quoted.text.as_str()),
            (id.as_str(), "shall we meet")
        );
        assert_eq!((quoted.mine, quoted.from_name.as_str()), (mine, "Ana"));
        assert_eq!(quoted.position, all[0].position);
    }
    edit(&mut bench, 0, &id, "shall we meet at eight").unwrap();
    let quoted = |bench: &Bench| page(bench, 1, 1)[1].reply.clone().unwrap().found;
    assert_eq!(quoted(&bench).unwrap().text, "shall we meet at eight");
    delete(&mut bench, 0, &id, true).unwrap();
    let left = quoted(&bench).unwrap();
    assert_eq!((left.kind, left.text.as_str()), (MessageKind::Deleted, ""));
    assert_eq!(answer(&mut bench, 1, &id, "still?").unwrap_err(), Fault::NotFound);
    assert_eq!(
        answer(&mut bench, 1, &"ab".repeat(16), "what?").unwrap_err(),
        Fault::NotFound
    );
}

#[test]
fn a_quote_that_is_missing_comes_with_its_target_con_1() {
    let mut bench = Bench::friends();
    backwards(&mut bench, |bench| {
        let id = bench.say(0, 1, "first");
        answer(bench, 0, &id, "to that").unwrap();
    });
    let before = bench.devices[1].events.iter().find_map(|event| match event {
        Event::MessageAdded { message } if message.text == "to that" => Some(message.clone()),
        _ => None,
    });
    assert!(before.unwrap().reply.unwrap().found.is_none());
    let told = bench.devices[1].events.iter().rev().find_map(|event| match event {
        Event::MessageChanged { message } => Some(message.clone()),
        _ => None,
    });
    assert_eq!(told.unwrap().reply.unwrap().found.unwrap().text, "first");
}

#[test]
fn emojis_are_put_and_taken_back_one_of_each_for_everybody_con_3() {
    let mut bench = Bench::friends();
    let id = bench.say(0, 1, "good news");
    react(&mut bench, 1, &id, "👍", true).unwrap();
    react(&mut bench, 1, &id, "🎉", true).unwrap();
    let before = bench.devices[1].sent.len();
    react(&mut bench, 1, &id, "🎉", true).unwrap();
    assert_eq!(bench.devices[1].sent.len(), before, "said again what is so already");
    react(&mut bench, 0, &id, "👍", true).unwrap();
    bench.pass(HOUR);
    assert_eq!(emojis(&only(&bench, 0)), ["2👍*", "1🎉"]);
    assert_eq!(emojis(&only(&bench, 1)), ["2👍*", "1🎉*"]);
    assert_eq!(only(&bench, 0).reactions[1].names, ["Bo"]);
    react(&mut bench, 1, &id, "👍", false).unwrap();
    assert_eq!(emojis(&only(&bench, 0)), ["1🎉", "1👍*"].map(String::from));
    // It is no message of its own: nothing unread, nothing in the chat.
    assert_eq!(page(&bench, 0, 1).len(), 1);
    assert_eq!(count(&mut bench, 0, "SELECT unread FROM chat"), 0);
    for bad in ["", "ok", "👍👍", "<b>"] {
        assert_eq!(react(&mut bench, 1, &id, bad, true).unwrap_err(), Fault::BadEmoji);
    }
}

#[test]
fn a_ninth_emoji_of_one_person_is_refused_con_3() {
    let mut bench = Bench::friends();
    let id = bench.say(0, 1, "much");
    for emoji in ["🌀", "🌁", "🌂", "🌃", "🌄", "🌅", "🌆", "🌇"] {
        react(&mut bench, 1, &id, emoji, true).unwrap();
    }
    assert_eq!(
        react(&mut bench, 1, &id, "🌈", true).unwrap_err(),
        Fault::TooManyReactions
    );
    assert_eq!(only(&bench, 0).reactions.len(), 8);
}

#[test]
fn an_edit_stands_in_the_place_of_the_text_with_its_history_con_4() {
    let mut bench = Bench::friends();
    let id = bench.say(0, 1, "at seven");
    assert_eq!(only(&bench, 1).edited_at, None);
    bench.pass(HOUR);
    edit(&mut bench, 0, &id, " at eight ").unwrap();
    edit(&mut bench, 0, &id, "at nine").unwrap();
    for device in [0, 1] {
        let message = only(&bench, device);
        assert_eq!(message.text, "at nine");
        assert!(message.edited_at.unwrap() > message.sent_at);
        assert_eq!(history(&bench, device, &id), ["at seven", "at eight", "at nine"]);
        assert_eq!((found(&bench, device, "nine"), found(&bench, device, "seven")), (1, 0));
    }
    for (device, text, fault) in [
        (1, "mine now", Fault::NotYours),
        (0, " ", Fault::BadText),
        (0, &"x".repeat(16_385), Fault::BadText),
    ] {
        assert_eq!(edit(&mut bench, device, &id, text).unwrap_err(), fault);
    }
    bench.pass(HOUR);
    assert_eq!(bench.states(0), [2]);
    assert_eq!(
        count(&mut bench, 0, "SELECT count(*) FROM outbox WHERE purpose <> 7"),
        0
    );
}

#[test]
fn acts_that_come_before_their_target_wait_for_it_con_2() {
    let mut bench = Bench::friends();
    backwards(&mut bench, |bench| {
        let id = bench.say(0, 1, "one");
        edit(bench, 0, &id, "two").unwrap();
        edit(bench, 0, &id, "three").unwrap();
        react(bench, 0, &id, "👍", true).unwrap();
        react(bench, 0, &id, "👍", false).unwrap();
        react(bench, 0, &id, "🎉", true).unwrap();
    });
    let message = only(&bench, 1);
    assert_eq!((message.text.as_str(), emojis(&message)), ("three", vec!["1🎉".into()]));
    assert_eq!(history(&bench, 1, &message.id), ["one", "two", "three"]);
    assert_eq!(count(&mut bench, 1, "SELECT count(*) FROM act WHERE waiting = 1"), 0);
}

#[test]
fn a_deletion_that_comes_first_is_done_when_its_target_comes_con_2() {
    let mut bench = Bench::friends();
    backwards(&mut bench, |bench| {
        let id = bench.say(0, 1, "never to be seen");
        edit(bench, 0, &id, "nor this").unwrap();
        delete(bench, 0, &id, true).unwrap();
    });
    let message = only(&bench, 1);
    assert_eq!((message.kind, message.text.as_str()), (MessageKind::Deleted, ""));
    let shown = bench.devices[1].events.iter().any(|event| match event {
        Event::MessageAdded { message } | Event::MessageChanged { message } => !message.text.is_empty(),
        _ => false,
    });
    assert!(!shown);
}

#[test]
fn of_what_waits_and_what_piles_up_the_newest_stay_con_2() {
    let mut bench = Bench::friends();
    let id = bench.say(0, 1, "text 0");
    for n in 1..=70 {
        edit(&mut bench, 0, &id, &format!("text {n}")).unwrap();
    }
    bench.pass(HOUR);
    for device in [0, 1] {
        let versions = history(&bench, device, &id);
        assert_eq!((versions.len(), versions[0].as_str()), (65, "text 0"));
        assert_eq!(versions[1], "text 7");
        assert_eq!(only(&bench, device).text, "text 70");
    }
    // Device 1 has never had what these are about.
    let lost = bench.say(0, 1, "lost");
    let tx = bench.devices[1].store.begin().unwrap();
    tx.execute("DELETE FROM message WHERE text = 'lost'", []).unwrap();
    tx.commit().unwrap();
    for n in 0..260 {
        react(&mut bench, 0, &lost, "👍", n % 2 == 0).unwrap();
    }
    let waiting = "SELECT count(*) FROM act WHERE waiting = 1";
    assert_eq!(count(&mut bench, 1, waiting), 256);
    let oldest = "SELECT count(*) FROM act WHERE waiting = 1 AND hlc < (SELECT min(hlc) FROM (SELECT hlc FROM act
                  WHERE waiting = 1 ORDER BY hlc DESC LIMIT 256))";
    assert_eq!(count(&mut bench, 1, oldest), 0);
}

#[test]
fn of_a_deleted_message_only_a_mark_is_left_con_6() {
    let mut bench = Bench::friends();
    let id = bench.say(0, 1, "the secret word is xyzzy");
    edit(&mut bench, 0, &id, "the secret word is plugh").unwrap();
    react(&mut bench, 1, &id, "👍", true).unwrap();
    answer(&mut bench, 1, &id, "good to know").unwrap();
    bench.pass(HOUR);
    delete(&mut bench, 0, &id, true).unwrap();
    bench.pass(HOUR);
    for device in [0, 1] {
        let all = page(&bench, device, 1);
        assert_eq!(
            (all.len(), all[0].kind, all[0].text.as_str()),
            (2, MessageKind::Deleted, "")
        );
        assert_eq!((all[0].from_name.as_str(), all[0].reactions.len()), ("Ana", 0));
        assert_eq!((all[0].edited_at, all[0].may_delete), (None, false));
        assert_eq!((found(&bench, device, "xyzzy"), found(&bench, device, "plugh")), (0, 0));
        for (table, column) in [
            ("message", "text || coalesce(original, '')"),
            ("message", "coalesce(body, '')"),
            ("act", "content"),
            ("outbox", "coalesce(plain, '')"),
            ("kept", "plain"),
            ("message_fts_data", "block"),
        ] {
            let holds = format!(
                "SELECT count(*) FROM {table} WHERE instr(CAST({column} AS BLOB), x'78797a7a79')
                                                  + instr(CAST({column} AS BLOB), x'706c756768') > 0"
            );
            assert_eq!(count(&mut bench, device, &holds), 0, "{device} {table}");
        }
    }
    // Nothing brings it back.
    assert_eq!(edit(&mut bench, 0, &id, "back").unwrap_err(), Fault::NotFound);
    assert_eq!(react(&mut bench, 1, &id, "👍", true).unwrap_err(), Fault::NotFound);
    assert!(delete(&mut bench, 0, &id, true).is_ok());
}

#[test]
fn an_edit_that_comes_after_the_deletion_changes_nothing_con_6() {
    let mut bench = Bench::friends();
    let id = bench.say(0, 1, "one");
    backwards(&mut bench, |bench| {
        edit(bench, 0, &id, "two").unwrap();
        delete(bench, 0, &id, true).unwrap();
    });
    let message = only(&bench, 1);
    assert_eq!((message.kind, message.text.as_str()), (MessageKind::Deleted, ""));
    assert_eq!(count(&mut bench, 1, "SELECT count(*) FROM act"), 0);
}

#[test]
fn between_two_only_the_author_deletes_for_both_con_5() {
    let mut bench = Bench::friends();
    let id = bench.say(0, 1, "mine");
    assert!(only(&bench, 0).may_delete);
    assert!(!only(&bench, 1).may_delete);
    assert_eq!(delete(&mut bench, 1, &id, true).unwrap_err(), Fault::NotYours);
    assert_eq!(only(&bench, 1).text, "mine");
    assert_eq!(delete(&mut bench, 0, "nonsense", true).unwrap_err(), Fault::NotFound);
}

/// A message in a group, and its id everywhere.
fn group_text(bench: &mut Bench, device: usize, text: &str) -> String {
    match say(bench, device, text) {
        Ok(Reply::Message(message)) => {
            bench.pass(6_000);
            message.id
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) fn group_page(bench: &mut Bench, device: usize) -> Vec<Message> {
    let chat = chat(bench, device);
    page(bench, device, chat)
}

#[test]
pub(crate) fn in_a_group_who_moderates_deletes_what_stands_below_con_5() {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    give(&mut bench, 0, 1, Role::Moderator).unwrap();
    bench.pass(6_000);
    let owners = group_text(&mut bench, 0, "from the owner");
    let members = group_text(&mut bench, 2, "from a member");
    for (device, id, fault) in [
        (1, &owners, Fault::NotYours),
        (3, &members, Fault::NotYours),
        (2, &owners, Fault::NotYours),
    ] {
        assert_eq!(delete(&mut bench, device, id, true).unwrap_err(), fault, "{device}");
    }
    let may = |bench: &mut Bench, device| -> Vec<bool> {
        let all = group_page(bench, device).into_iter();
        all.map(|message| message.may_delete).collect()
    };
    assert_eq!(may(&mut bench, 0), [true, true]);
    assert_eq!(may(&mut bench, 1), [false, true]);
    assert_eq!(may(&mut bench, 3), [false, false]);
    delete(&mut bench, 1, &members, true).unwrap();
    bench.pass(6_000);
    for device in 0..4 {
        let kinds: Vec<MessageKind> = group_page(&mut bench, device).iter().map(|m| m.kind).collect();
        assert_eq!(kinds, [MessageKind::Text, MessageKind::Deleted], "{device}");
    }
}

/// A device that believes it may: what it writes is refused by all others.
fn pretends(bench: &mut Bench, device: usize, sql: &str, id: &str) {
    let tx = bench.devices[device].store.begin().unwrap();
    tx.execute(sql, []).unwrap();
    tx.commit().unwrap();
    bench.devices[device].core.forget();
    let _either = edit(bench, device, id, "forged");
    let _either = delete(bench, device, id, true);
    bench.pass(6_000);
}

#[test]
fn what_others_forge_does_nothing_con_4() {
    let mut bench = Bench::friends();
    let id = bench.say(0, 1, "as I wrote it");
    pretends(
        &mut bench,
        1,
        "UPDATE message SET mine = 1, sender = (SELECT account FROM account) WHERE mine = 0",
        &id,
    );
    assert_eq!(count(&mut bench, 1, "SELECT count(*) FROM message WHERE kind = 3"), 1);
    let message = only(&bench, 0);
    assert_eq!((message.text.as_str(), message.edited_at), ("as I wrote it", None));
    assert_eq!(count(&mut bench, 0, "SELECT count(*) FROM act"), 0);
}

#[test]
fn an_act_of_another_chat_changes_nothing_con_2() {
    let mut bench = circle(3);
    // Cy learns the id of what Ana wrote to Bo, and takes it for a message of Ana's to Cy.
    let id = bench.say(0, 1, "for Bo alone");
    let sql = format!(
        "INSERT INTO message(id, chat, position, group_id, epoch_id, leaf, seq, hlc, sender, mine, kind, text, sent_at,
                             received_at, state, complete, acked)
         SELECT x'{id}', 1, 7, group_id, epoch_id, leaf, 0, 7, sender, 0, 0, 'x', 7, 7, 3, 1, 2 FROM message
         WHERE kind = 2 LIMIT 1"
    );
    let tx = bench.devices[2].store.begin().unwrap();
    assert_eq!(tx.execute(&sql, []).unwrap(), 1);
    tx.commit().unwrap();
    react(&mut bench, 2, &id, "👎", true).unwrap();
    bench.pass(6_000);
    assert_eq!(page(&bench, 0, 1)[0].reactions.len(), 0);
    assert_eq!(count(&mut bench, 0, "SELECT count(*) FROM act"), 0);
}

#[test]
fn what_somebody_removed_did_late_is_undone_and_a_deletion_is_not_con_6() {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    let kept = group_text(&mut bench, 3, "as it was");
    let gone = group_text(&mut bench, 3, "to be gone");
    let liked = group_text(&mut bench, 0, "liked");
    bench.devices[0].cut = true;
    // 3 does not hear of its removal, and 1 and 2 hear of it only later.
    remove(&mut bench, 0, &[3]).unwrap();
    edit(&mut bench, 3, &kept, "changed late").unwrap();
    delete(&mut bench, 3, &gone, true).unwrap();
    react(&mut bench, 3, &liked, "👍", true).unwrap();
    let before = group_page(&mut bench, 1);
    assert_eq!(before[0].text, "changed late");
    assert_eq!((before[1].kind, before[2].reactions.len()), (MessageKind::Deleted, 1));
    bench.reconnect(0);
    bench.pass(6_000);
    let after = group_page(&mut bench, 1);
    assert_eq!((after[0].text.as_str(), after[0].edited_at), ("as it was", None));
    assert_eq!((after[1].kind, after[2].reactions.len()), (MessageKind::Deleted, 0));
    // Who knew of the removal first takes none of it.
    let owner = group_page(&mut bench, 0);
    assert_eq!(
        (owner[0].text.as_str(), owner[1].text.as_str()),
        ("as it was", "to be gone")
    );
    assert_eq!(owner[2].reactions.len(), 0);
}

#[test]
fn who_only_reads_puts_no_emoji_con_2() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    let id = group_text(&mut bench, 0, "read this");
    give(&mut bench, 0, 2, Role::Reader).unwrap();
    bench.pass(6_000);
    assert_eq!(react(&mut bench, 2, &id, "👍", true).unwrap_err(), Fault::NotAllowed);
}

#[test]
fn deleted_for_oneself_it_is_gone_here_alone_and_stays_away_con_7() {
    let mut bench = Bench::friends();
    let id = bench.say(0, 1, "read and forget");
    answer(&mut bench, 0, &id, "this stays").unwrap();
    assert_eq!(count(&mut bench, 1, "SELECT unread FROM chat"), 2);
    delete(&mut bench, 1, &id, false).unwrap();
    let left = only(&bench, 1);
    assert_eq!(left.text, "this stays");
    assert!(left.reply.unwrap().found.is_none());
    assert_eq!(found(&bench, 1, "forget"), 0);
    assert_eq!(count(&mut bench, 1, "SELECT unread FROM chat"), 1);
    assert!(
        bench.devices[1]
            .events
            .iter()
            .any(|event| { matches!(event, Event::MessageRemoved { chat: 1, id: gone } if *gone == id) })
    );
    // It comes again, and is changed by its author: it stays away.
    bench.pass(30 * HOUR);
    edit(&mut bench, 0, &id, "read and forget, please").unwrap();
    bench.pass(HOUR);
    assert_eq!(page(&bench, 1, 1).len(), 1);
    assert_eq!(page(&bench, 0, 1).len(), 2);
    assert_eq!(bench.states(0), [2, 2]);
    assert_eq!(delete(&mut bench, 1, &id, false).unwrap_err(), Fault::NotFound);
}

#[test]
fn a_crowd_of_changes_is_one_word_to_read_again_con_2() {
    let mut bench = Bench::friends();
    let ids: Vec<String> = (0..201).map(|n| bench.say(0, 1, &format!("text {n}"))).collect();
    for id in &ids[..65] {
        answer(&mut bench, 0, &ids[200], &format!("about {id}")).unwrap();
    }
    bench.pass(HOUR);
    let changes = |bench: &Bench, from: usize| {
        let told = bench.devices[1].events[from..].iter();
        let (mut single, mut crowds) = (0, 0);
        for event in told {
            single += usize::from(matches!(event, Event::MessageChanged { .. }));
            crowds += usize::from(matches!(event, Event::Ingested { .. }));
        }
        (single, crowds)
    };
    // Many quotes of one message.
    let seen = bench.devices[1].events.len();
    edit(&mut bench, 0, &ids[200], "another text").unwrap();
    assert_eq!(changes(&bench, seen), (1, 1));
    // Many messages in one step.
    bench.relay.silent = true;
    for id in &ids {
        react(&mut bench, 0, id, "👍", true).unwrap();
    }
    bench.relay.silent = false;
    bench.deliver(1);
    let mut all = vec![];
    for input in std::mem::take(&mut bench.devices[1].queue) {
        match input {
            Input::News(News::Arrived(arrivals)) => all.extend(arrivals),
            other => panic!("{other:?}"),
        }
    }
    let seen = bench.devices[1].events.len();
    bench.devices[1].step(Input::News(News::Arrived(all)));
    assert_eq!(changes(&bench, seen), (0, 1));
    let all = page(&bench, 1, 1);
    assert!(all.iter().take(201).all(|message| message.reactions.len() == 1));
}
