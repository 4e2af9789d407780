//! Where several devices, what is done to messages, groups, blocking and saved messages meet.

use crate::bench::Bench;
use crate::block::block;
use crate::content::{self, page};
use crate::devices::{self, link, two_and_bo};
use crate::forks::number as count;
use crate::groups::{self, circle, create};
use crate::polls::{ask, close, message, pin, pins, result, vote};
use crate::typing::{seen, types};
use stonechat_core::api::{Command, Fault, MarkRead, TimerSet};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

fn set_timer(bench: &mut Bench, device: usize, chat: i64, seconds: u32) {
    let wish = TimerSet {
        chat,
        seconds: Some(seconds),
    };
    bench.ask(device, Command::TimerSet(wish)).unwrap();
}

fn polls(bench: &Bench, all: &[(usize, i64)]) -> Vec<String> {
    all.iter()
        .map(|(device, chat)| {
            let there = page(bench, *device, *chat);
            result(there.iter().find(|message| message.poll.is_some()).unwrap())
        })
        .collect()
}

#[test]
fn a_poll_counts_an_account_once_whichever_device_chose_and_any_of_its_authors_ends_it_con_21() {
    let mut bench = two_and_bo();
    let chats = [0, 1, 2].map(|device| (device, devices::chat(&mut bench, device)));
    let id = message(ask(&mut bench, 0, chats[0].1, false, &["seven", "eight"])).id;
    bench.pass(MINUTE);
    for (device, choice) in [(0, 0), (1, 0), (2, 1)] {
        vote(&mut bench, device, &id, &[choice]).unwrap();
        bench.pass(MINUTE);
    }
    let mine = "seven 1, eight 1* of 2";
    assert_eq!(polls(&bench, &chats), [mine, "seven 1*, eight 1 of 2", mine]);
    // Both at once: the same one counts everywhere.
    for device in [0, 2] {
        bench.devices[device].cut = true;
    }
    vote(&mut bench, 2, &id, &[]).unwrap();
    vote(&mut bench, 0, &id, &[0]).unwrap();
    for device in [0, 2] {
        bench.reconnect(device);
    }
    bench.pass(MINUTE);
    let after = polls(&bench, &chats);
    assert_eq!(after[0], after[2]);
    assert_eq!(after[0].replace('*', ""), after[1].replace('*', ""));
    // proves: CON-22
    close(&mut bench, 2, &id).unwrap();
    pin(&mut bench, 2, &id, true).unwrap();
    bench.pass(MINUTE);
    assert!(polls(&bench, &chats).iter().all(|result| result.ends_with("over")));
    for (device, chat) in chats {
        assert_eq!(pins(&bench, device, chat), ["when?"], "{device}");
    }
    assert_eq!(vote(&mut bench, 0, &id, &[1]).unwrap_err(), Fault::PollClosed);
    bench.pass(HOUR);
    devices::nothing_waits(&mut bench, &[0, 1, 2]);
}

#[test]
fn what_was_read_on_one_device_goes_from_the_other_too_con_11() {
    let mut bench = two_and_bo();
    let theirs = devices::chat(&mut bench, 1);
    set_timer(&mut bench, 1, theirs, 3_600);
    bench.pass(MINUTE);
    bench.say(1, theirs, "short-lived");
    let mine = devices::chat(&mut bench, 2);
    bench.say(2, mine, "mine too");
    bench.pass(DAY);
    // Nothing was read: what waits for that stays, on both.
    assert_eq!([0, 2].map(|device| content::found(&bench, device, "lived")), [1, 1]);
    assert_eq!([0, 2].map(|device| content::found(&bench, device, "mine")), [0, 0]);
    let position = count(
        &mut bench,
        2,
        "SELECT max(position) FROM message WHERE text = 'short-lived'",
    );
    bench
        .ask(2, Command::MarkRead(MarkRead { chat: mine, position }))
        .unwrap();
    bench.pass(DAY);
    assert_eq!([0, 2].map(|device| content::found(&bench, device, "lived")), [0, 0]);
}

#[test]
fn a_linked_device_writes_with_the_timer_that_was_set_before_it_came_own_3() {
    let mut bench = Bench::friends();
    set_timer(&mut bench, 0, 1, 3_600);
    bench.pass(MINUTE);
    let laptop = link(&mut bench, 0);
    let chat = devices::chat(&mut bench, laptop);
    bench.say(laptop, chat, "from the laptop");
    bench.pass(MINUTE);
    let timer = "SELECT timer_s FROM message WHERE text = 'from the laptop'";
    assert_eq!([1, laptop].map(|device| count(&mut bench, device, timer)), [3_600; 2]);
    let lines = "SELECT count(*) FROM message WHERE kind = 6";
    assert_eq!([0, laptop].map(|device| count(&mut bench, device, lines)), [1, 1]);
}

#[test]
fn typing_is_seen_of_people_not_of_devices_and_never_of_who_is_blocked_eph_3() {
    let mut bench = circle(8);
    create(&mut bench, &[1, 2, 3, 4, 5, 6, 7]);
    let laptop = link(&mut bench, 0);
    bench.pass(MINUTE);
    let there = groups::chat(&mut bench, 0);
    let at = |bench: &mut Bench, device: usize| groups::chat(bench, device);
    // Nine leaves, eight people. My own other device shows nothing of me.
    types(&mut bench, 0, there);
    let chat = at(&mut bench, 1);
    assert_eq!(seen(&bench, 1), [(chat, "Ana".to_owned())]);
    assert!(seen(&bench, laptop).is_empty());
    let by = at(&mut bench, laptop);
    types(&mut bench, laptop, by);
    assert_eq!((seen(&bench, 1).len(), seen(&bench, 0).len()), (2, 0));
    // proves: BLK-2
    block(&mut bench, 0, 1, true).unwrap();
    types(&mut bench, 1, chat);
    assert_eq!((seen(&bench, 2).len(), seen(&bench, 0).len()), (3, 0));
}

#[test]
fn saved_messages_are_in_no_ones_way_when_a_device_comes_or_a_clock_is_put_right_con_24() {
    let mut bench = Bench::friends();
    let saved = match bench.ask(0, Command::SavedOpen).unwrap() {
        stonechat_core::api::Reply::Chat(by) => by.chat,
        other => panic!("{other:?}"),
    };
    bench.say(0, saved, "note");
    let laptop = link(&mut bench, 0);
    bench.pass(MINUTE);
    assert_eq!(
        count(&mut bench, 0, "SELECT count(*) FROM spread"),
        0,
        "nothing is looked at for ever"
    );
    // The clock was weeks ahead: what was said is said again, but not there.
    bench.devices[0].now += 40 * DAY;
    bench.greet(0);
    bench.devices[0].now -= 40 * DAY;
    bench.greet(0);
    bench.settle();
    bench.pass(MINUTE);
    let due = "SELECT count(*) FROM conversation WHERE group_id = zeroblob(16) AND receipt_due IS NOT NULL";
    assert_eq!(count(&mut bench, 0, due), 0);
    let chat = devices::chat(&mut bench, laptop);
    bench.say(laptop, chat, "all is well");
    bench.say(1, 1, "indeed");
    bench.pass(MINUTE);
    assert!(bench.texts(0).contains(&"> all is well".into()));
    assert_eq!(
        count(&mut bench, 0, "SELECT count(*) FROM outbox WHERE purpose <> 7"),
        0
    );
    // Nobody can write to one's own devices as to a person.
    let own = count(&mut bench, 0, "SELECT id FROM chat WHERE own = 1");
    let wish = stonechat_core::api::Send {
        chat: own,
        text: "hello, laptop".into(),
        marked: false,
        client_id: None,
        reply_to: None,
    };
    assert_eq!(bench.ask(0, Command::Send(wish)).unwrap_err(), Fault::NotFound);
}

#[test]
fn who_is_blocked_is_so_on_every_device_and_let_in_again_on_every_device_blk_4() {
    let mut bench = two_and_bo();
    block(&mut bench, 2, 1, true).unwrap();
    bench.pass(MINUTE);
    let blocked = "SELECT count(*) FROM contact WHERE blocked = 1";
    assert_eq!([0, 2].map(|device| count(&mut bench, device, blocked)), [1, 1]);
    let theirs = devices::chat(&mut bench, 1);
    bench.say(1, theirs, "are you there?");
    types(&mut bench, 1, theirs);
    bench.pass(HOUR);
    assert_eq!(bench.states(1), [1]);
    assert!(seen(&bench, 0).is_empty() && seen(&bench, 2).is_empty());
    // Another device comes meanwhile.
    let tablet = link(&mut bench, 0);
    block(&mut bench, 0, 1, false).unwrap();
    bench.pass(3 * DAY);
    assert_eq!([0, 2].map(|device| count(&mut bench, device, blocked)), [0, 0]);
    assert!(
        [0, 2]
            .iter()
            .all(|device| bench.texts(*device).contains(&"are you there?".into()))
    );
    let chat = devices::chat(&mut bench, tablet);
    bench.say(tablet, chat, "from the tablet");
    bench.pass(MINUTE);
    assert!(bench.texts(1).contains(&"from the tablet".into()));
}

#[test]
fn a_member_with_two_devices_comes_into_a_group_and_goes_from_it_with_both_own_4() {
    let mut bench = circle(3);
    let bos = link(&mut bench, 1);
    bench.pass(MINUTE);
    create(&mut bench, &[1, 2]);
    bench.pass(MINUTE);
    let there = groups::chat(&mut bench, 0);
    set_timer(&mut bench, 0, there, 3_600);
    bench.pass(MINUTE);
    groups::say(&mut bench, bos, "from Bo's laptop").unwrap();
    bench.pass(MINUTE);
    for device in [0, 1, 2, bos] {
        assert!(
            groups::texts(&mut bench, device).concat().contains("laptop"),
            "{device}"
        );
    }
    let timer = "SELECT timer_s FROM message WHERE text = 'from Bo''s laptop'";
    assert_eq!([0, 1, 2].map(|device| count(&mut bench, device, timer)), [3_600; 3]);
    groups::all_agree(&mut bench, &[0, 1, 2, bos]);
    groups::remove(&mut bench, 0, &[1]).unwrap();
    bench.pass(MINUTE);
    let gone = "SELECT gone FROM conversation WHERE grouped = 1";
    assert_eq!(
        [0, 1, 2, bos].map(|device| count(&mut bench, device, gone)),
        [0, 1, 0, 1]
    );
    groups::say(&mut bench, 2, "without Bo").unwrap();
    bench.pass(MINUTE);
    assert!(
        ![1, bos]
            .iter()
            .any(|device| groups::texts(&mut bench, *device).concat().contains("without"))
    );
    groups::add(&mut bench, 0, &[1]).unwrap();
    bench.pass(MINUTE);
    groups::say(&mut bench, bos, "here again").unwrap();
    bench.pass(MINUTE);
    // Its second device knows the timer like the first one. proves: GRP-13
    let timer = "SELECT timer_s FROM message WHERE text = 'here again'";
    assert_eq!(
        [0, 1, 2, bos].map(|device| count(&mut bench, device, timer)),
        [3_600; 4]
    );
}
