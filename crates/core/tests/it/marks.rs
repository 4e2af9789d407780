//! Marked texts: what becomes of them on their way, who is meant, what stays hidden.

use crate::bench::Bench;
use crate::content::{backwards, count, edit, found, group_page, history, only, page, query};
use crate::groups::{chat, circle, create, give};
use stonechat_core::api::{
    Answer, Chat, Command, Edit, Fault, Message, Node, NodeKind, Page, Query, Reply, Role, Search, Send,
};
use stonechat_wire::group::GroupState;

const HOUR: u64 = 3_600_000;

fn marked(bench: &mut Bench, device: usize, chat: i64, text: &str, reply_to: Option<&str>) -> Message {
    let wish = Send {
        chat,
        text: text.into(),
        marked: true,
        client_id: None,
        reply_to: reply_to.map(str::to_owned),
    };
    match bench.ask(device, Command::Send(wish)).unwrap() {
        Reply::Message(message) => *message,
        other => panic!("{other:?}"),
    }
}

fn change(bench: &mut Bench, device: usize, id: &str, text: &str) -> Result<Reply, Fault> {
    let wish = Edit {
        id: id.into(),
        text: text.into(),
        marked: true,
    };
    bench.ask(device, Command::Edit(wish))
}

/// `words<Kind inside>`.
fn drawn(nodes: &[Node]) -> String {
    let one = |node: &Node| match node.kind {
        NodeKind::Text => node.text.clone(),
        kind => format!("<{kind:?} {}{}>", node.text, drawn(&node.inside)),
    };
    nodes.iter().map(one).collect()
}

fn entry(bench: &Bench, device: usize, id: i64) -> Chat {
    let page = Page { limit: 10, offset: 0 };
    match query(bench, device, Query::Chats(page)) {
        Answer::Chats(all) => all.into_iter().find(|chat| chat.id == id).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_marked_text_is_the_same_tree_on_both_sides_con_16() {
    let mut bench = Bench::friends();
    marked(
        &mut bench,
        0,
        1,
        " **see** __https://a.example__ \n> he said\n`x` ",
        None,
    );
    bench.pass(HOUR);
    for device in [0, 1] {
        let message = only(&bench, device);
        assert_eq!(message.text, "see https://a.example \nhe said\nx");
        let tree = "<Bold see> <Italic <Link https://a.example>> <Quote he said><Mono x>";
        assert_eq!(drawn(&message.format), tree);
        assert_eq!(message.typed.unwrap(), "**see** __https://a.example__ \n> he said\n`x`");
        assert_eq!(found(&bench, device, "said"), 1);
    }
    // Without its signs read it is what it is.
    bench.say(0, 1, "**so**");
    let last = page(&bench, 1, 1).pop().unwrap();
    assert_eq!((last.text.as_str(), last.format.len(), last.typed), ("**so**", 0, None));
}

#[test]
fn an_edit_keeps_marks_changes_them_and_takes_them_away_con_4() {
    let mut bench = Bench::friends();
    let id = marked(&mut bench, 0, 1, "**at seven**", None).id;
    let sent = bench.devices[0].sent.len();
    change(&mut bench, 0, &id, "**at seven**").unwrap();
    assert_eq!(bench.devices[0].sent.len(), sent, "said again what is so already");
    bench.pass(HOUR);
    change(&mut bench, 0, &id, "**at** __eight__").unwrap();
    bench.pass(HOUR);
    for device in [0, 1] {
        assert_eq!(drawn(&only(&bench, device).format), "<Bold at> <Italic eight>");
        assert_eq!(history(&bench, device, &id), ["at seven", "at eight"]);
    }
    change(&mut bench, 0, &id, "at eight").unwrap();
    assert_eq!(only(&bench, 1).typed, None);
    assert!(only(&bench, 1).edited_at.is_some());
}

#[test]
fn spoilers_are_blotted_out_in_quotes_and_in_what_search_shows_con_17() {
    let mut bench = Bench::friends();
    let id = marked(&mut bench, 0, 1, "in the end ||she leaves||", None).id;
    marked(&mut bench, 1, 1, "oh", Some(&id));
    bench.pass(HOUR);
    for device in [0, 1] {
        let quote = page(&bench, device, 1)[1].reply.clone().unwrap().found.unwrap();
        assert_eq!(quote.text, "in the end ▒▒▒ ▒▒▒▒▒▒");
        let search = Search {
            words: "leaves".into(),
            chat: None,
            limit: 5,
        };
        let Answer::Hits(hits) = query(&bench, device, Query::Search(search)) else {
            panic!()
        };
        let pieces: String = hits[0].pieces.iter().map(|piece| piece.text.as_str()).collect();
        assert_eq!(pieces, "in the end ▒▒▒ ▒▒▒▒▒▒");
    }
}

#[test]
fn whoever_is_meant_finds_the_chat_marked_until_it_is_read_con_18() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    let (there, bos) = (chat(&mut bench, 0), chat(&mut bench, 1));
    let said = marked(&mut bench, 0, there, "@Bo are you in? Not @Di", None);
    assert_eq!(drawn(&said.format), "<Mention @Bo> are you in? Not @Di");
    bench.pass(6_000);
    let at_bo = entry(&bench, 1, bos);
    assert_eq!((at_bo.unread, at_bo.mentions), (1, 1));
    let seen = group_page(&mut bench, 1).pop().unwrap();
    let mention = seen.format[0].mention.clone().unwrap();
    assert!(seen.mentions_me && mention.me);
    let cys = chat(&mut bench, 2);
    assert_eq!((entry(&bench, 2, cys).unread, entry(&bench, 2, cys).mentions), (1, 0));
    let at_cy = group_page(&mut bench, 2).pop().unwrap().format[0]
        .mention
        .clone()
        .unwrap();
    assert_eq!((at_cy.me, at_cy.name.as_str()), (false, "Bo"));
    let wish = stonechat_core::api::MarkRead {
        chat: bos,
        position: seen.position,
    };
    bench.ask(1, Command::MarkRead(wish)).unwrap();
    assert_eq!(entry(&bench, 1, bos).mentions, 0);
}

#[test]
fn all_are_meant_by_moderators_and_above_only_con_18() {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    give(&mut bench, 0, 1, Role::Moderator).unwrap();
    bench.pass(6_000);
    let say = |bench: &mut Bench, device: usize| {
        let there = chat(bench, device);
        let said = drawn(&marked(bench, device, there, "@all come", None).format);
        bench.pass(6_000);
        said
    };
    assert_eq!(say(&mut bench, 1), "<Mention @all> come");
    assert_eq!(say(&mut bench, 2), "");
    // Cy's program believes that Cy owns the group: the others do not.
    let tx = bench.devices[2].store.begin().unwrap();
    let sql = "SELECT state FROM epoch WHERE epoch_id = (SELECT head FROM conversation WHERE grouped = 1)";
    let state: Vec<u8> = tx.query_row(sql, [], |row| row.get(0)).unwrap();
    let mut state = GroupState::decode(&state).unwrap();
    state
        .seats
        .iter_mut()
        .for_each(|seat| seat.role = stonechat_wire::group::Role::Owner);
    tx.execute("UPDATE epoch SET state = ? WHERE state IS NOT NULL", [state.encode()])
        .unwrap();
    tx.commit().unwrap();
    bench.devices[2].core.forget();
    assert_eq!(say(&mut bench, 2), "<Mention @all> come");
    for device in [0, 3] {
        let all: Vec<(bool, String)> = group_page(&mut bench, device)
            .iter()
            .map(|message| (message.mentions_me, drawn(&message.format)))
            .collect();
        let (yes, no) = ((true, "<Mention @all> come".to_owned()), (false, String::new()));
        assert_eq!(all, [yes, no.clone(), no], "{device}");
        let there = chat(&mut bench, device);
        assert_eq!(entry(&bench, device, there).mentions, 1);
    }
}

#[test]
fn an_edit_mentions_whoever_it_may_and_marks_nothing_anew_con_18() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    let there = chat(&mut bench, 2);
    let id = marked(&mut bench, 2, there, "come", None).id;
    change(&mut bench, 2, &id, "@Ana come, @all").unwrap();
    bench.pass(6_000);
    let at_ana = group_page(&mut bench, 0).pop().unwrap();
    assert_eq!(drawn(&at_ana.format), "<Mention @Ana> come, @all");
    let there = chat(&mut bench, 0);
    assert_eq!((at_ana.mentions_me, entry(&bench, 0, there).mentions), (false, 0));
}

#[test]
fn marks_that_come_before_their_message_wait_for_it_con_2() {
    let mut bench = Bench::friends();
    backwards(&mut bench, |bench| {
        let id = marked(bench, 0, 1, "**one**", None).id;
        change(bench, 0, &id, "__two__").unwrap();
    });
    assert_eq!(drawn(&only(&bench, 1).format), "<Italic two>");
    assert_eq!(count(&mut bench, 1, "SELECT count(*) FROM act WHERE waiting = 1"), 0);
    let id = only(&bench, 1).id;
    assert_eq!(edit(&mut bench, 1, &id, "mine").unwrap_err(), Fault::NotYours);
}
