//! People who are blocked: nothing of them is shown or answered, alone and in groups, and they are not told.

use crate::bench::Bench;
use crate::groups::{account, all_agree, circle, create, number, say, texts};
use stonechat_core::api::{
    AcceptanceState, Command, ContactBlock, Event, Fault, GroupMembers, How, InviteState, React, Reply, Send, Who,
};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

pub(crate) fn block(bench: &mut Bench, by: usize, whom: usize, blocked: bool) -> Result<Reply, Fault> {
    let id = account(bench, whom);
    bench.ask(by, Command::ContactBlock(ContactBlock { id, blocked }))
}

/// How many parcels a device has put where the other one reads. (Its own capsule is for nobody else.)
fn sent(bench: &Bench, device: usize, to: usize) -> usize {
    let heard = &bench.devices[to].listening;
    let parcels = bench.devices[device].sent.iter();
    parcels.filter(|parcel| heard.contains_key(&parcel.token.tag())).count()
}

#[test]
fn nothing_of_somebody_blocked_is_shown_or_answered_and_it_comes_when_they_are_let_in_blk_3() {
    let mut bench = Bench::friends();
    bench.say(0, 1, "before");
    bench.pass(HOUR);
    block(&mut bench, 1, 0, true).unwrap();
    let removed = |event: &Event| matches!(event, Event::ChatRemoved { .. });
    assert!(bench.devices[1].events.iter().any(removed));
    // proves: BLK-1
    let (put, seen) = (sent(&bench, 1, 0), bench.devices[1].events.len());
    bench.say(0, 1, "are you there?");
    bench.pass(3 * DAY);
    assert_eq!(bench.texts(1), ["before"]);
    assert_eq!(sent(&bench, 1, 0), put, "no receipt, no renewal, nothing");
    let shown = |event: &Event| matches!(event, Event::MessageAdded { .. } | Event::ChatChanged { .. });
    assert!(!bench.devices[1].events[seen..].iter().any(shown));
    // To whoever is blocked it looks as if nobody had been there.
    assert_eq!(bench.states(0), [2, 1]);
    let wish = Send {
        chat: 1,
        text: "to somebody blocked".into(),
        client_id: None,
        reply_to: None,
        marked: false,
    };
    assert_eq!(bench.ask(1, Command::Send(wish)).unwrap_err(), Fault::NotFound);
    block(&mut bench, 1, 0, false).unwrap();
    bench.pass(2 * DAY);
    assert_eq!(bench.texts(1), ["before", "are you there?"]);
    bench.say(1, 1, "now I am");
    bench.pass(HOUR);
    assert_eq!(bench.texts(0).last().map(String::as_str), Some("now I am"));
}

#[test]
fn in_a_group_a_blocked_member_is_not_seen_and_the_others_go_on_blk_2() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    say(&mut bench, 1, "before").unwrap();
    bench.pass(10_000);
    block(&mut bench, 0, 1, true).unwrap();
    let id = match say(&mut bench, 2, "hello").unwrap() {
        Reply::Message(message) => message.id,
        other => panic!("{other:?}"),
    };
    bench.pass(10_000);
    say(&mut bench, 1, "you cannot hear me").unwrap();
    let react = React {
        id,
        emoji: "👍".into(),
        on: true,
    };
    bench.ask(1, Command::React(react)).unwrap();
    bench.pass(10_000);
    say(&mut bench, 2, "and on").unwrap();
    bench.pass(HOUR);
    assert_eq!(texts(&mut bench, 0), ["before", "hello", "and on"]);
    assert_eq!(
        texts(&mut bench, 2),
        ["before", "> hello", "you cannot hear me", "> and on"]
    );
    assert_eq!(number(&mut bench, 0, "SELECT count(*) FROM act"), 0);
    assert_eq!(
        number(&mut bench, 0, "SELECT count(*) FROM message WHERE complete = 0"),
        0
    );
    all_agree(&mut bench, &[0, 1, 2]);
    let unread = "SELECT unread FROM chat WHERE contact IS NULL";
    assert_eq!(number(&mut bench, 0, unread), 3);
}

#[test]
pub(crate) fn somebody_blocked_comes_in_by_no_other_door_blk_1() {
    let mut bench = circle(3);
    block(&mut bench, 0, 1, true).unwrap();
    // By a new invitation: it is neither answered nor used up.
    let invite = bench.invite(0, Who::One, How::Plain);
    bench.accept(1, &invite.link, None).unwrap();
    bench.pass(2 * DAY);
    assert_eq!(bench.acceptance(1).state, AcceptanceState::Claimed);
    let state = format!("SELECT state FROM invite WHERE code = '{}'", invite.code);
    assert_eq!(bench.numbers(0, &state), [InviteState::Open as u8]);
    assert_eq!(bench.numbers(0, "SELECT hidden FROM chat WHERE id = 1"), [1]);
    // By an invitation of theirs under whatever name: nothing is founded.
    let theirs = bench.invite(1, Who::One, How::Plain);
    bench.accept(0, &theirs.link, None).unwrap();
    assert_eq!(bench.acceptance(0).state, AcceptanceState::Blocked);
    // Into a group of theirs: the Welcome is not even opened.
    let members = vec![account(&mut bench, 0)];
    let made = stonechat_core::api::GroupCreate {
        name: "trap".into(),
        members: members.clone(),
        large: false,
    };
    bench.ask(1, Command::GroupCreate(made)).unwrap();
    bench.pass(DAY);
    assert_eq!(
        number(&mut bench, 0, "SELECT count(*) FROM conversation WHERE grouped = 1"),
        0
    );
    // Nor are they added to mine by accident.
    create(&mut bench, &[2]);
    let chat = crate::groups::chat(&mut bench, 0);
    let members = vec![account(&mut bench, 1)];
    let added = bench.ask(0, Command::GroupAdd(GroupMembers { chat, members }));
    assert_eq!(added.unwrap_err(), Fault::NotFound);
    assert_eq!(block(&mut bench, 0, 2, false).map(drop), Ok(()), "nobody was blocked");
}
