//! What is missing is asked for, and whoever has it answers; nobody can make anybody send without bound.

use crate::bench::Bench;
use crate::devices::link;
use crate::groups::{add, chat, circle, create, give, head, remove, say};
use stonechat_core::api::{How, Role, Who};
use stonechat_core::query;
use stonechat_wire::exchange::Class;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

/// What has not arrived at this device yet never will.
fn skip(bench: &mut Bench, device: usize) {
    for (tag, cursor) in &mut bench.devices[device].listening {
        let there = bench.relay.boxes.get(tag).map_or(0, Vec::len);
        *cursor = u64::try_from(there).unwrap();
    }
}

/// One says something that this device never gets.
fn miss(bench: &mut Bench, from: usize, device: usize, text: &str) {
    let ears = std::mem::take(&mut bench.devices[device].listening);
    say(bench, from, text).unwrap();
    bench.devices[device].listening = ears;
    skip(bench, device);
}

fn change(bench: &mut Bench, device: usize, sql: &str) {
    let tx = bench.devices[device].store.begin().unwrap();
    tx.execute_batch(sql).unwrap();
    tx.commit().unwrap();
    bench.devices[device].core.forget();
}

fn wake(bench: &mut Bench, device: usize) {
    let outputs = bench.devices[device].step(stonechat_core::Input::Wake);
    bench.release(device, outputs);
    bench.settle();
}

fn count(bench: &mut Bench, device: usize, sql: &str) -> i64 {
    let tx = bench.devices[device].store.begin().unwrap();
    tx.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// Messages, commits, lists and answers that a device has sent; no receipts.
fn sent(bench: &Bench, device: usize) -> usize {
    let parcels = bench.devices[device].sent.iter();
    parcels.filter(|parcel| parcel.class == Class::Text).count()
}

fn group_texts(bench: &mut Bench, device: usize) -> Vec<String> {
    let chat = chat(bench, device);
    let tx = bench.devices[device].store.begin().unwrap();
    let mut rows = tx
        .prepare("SELECT text FROM message WHERE kind = 0 AND chat = ? ORDER BY position")
        .unwrap();
    let texts = rows.query_map([chat], |row| row.get(0)).unwrap();
    texts.collect::<Result<_, _>>().unwrap()
}

/// A member reads all of the group, and says so.
fn read_all(bench: &mut Bench, device: usize) {
    let read = stonechat_core::api::MarkRead {
        chat: chat(bench, device),
        position: i64::MAX / 2,
    };
    bench.ask(device, stonechat_core::api::Command::MarkRead(read)).unwrap();
}

/// How often the newest text says that something is missing before it, and whether it was asked for.
fn gap(bench: &mut Bench, device: usize) -> (u32, bool) {
    let tx = bench.devices[device].store.begin().unwrap();
    let sql = "SELECT id FROM message WHERE kind = 0 ORDER BY position DESC LIMIT 1";
    let id: Vec<u8> = tx.query_row(sql, [], |row| row.get(0)).unwrap();
    let message = query::load_message(&tx, &id).unwrap().unwrap();
    (message.missing_before, message.asked_for)
}

#[test]
fn what_is_missing_is_asked_for_after_a_minute_and_put_again_by_its_author_wnt_2() {
    let mut bench = Bench::friends();
    bench.pass(MINUTE);
    let ears = std::mem::take(&mut bench.devices[1].listening);
    bench.say(0, 1, "one");
    bench.devices[1].listening = ears;
    skip(&mut bench, 1);
    bench.say(0, 1, "two");
    bench.pass(50_000);
    assert_eq!(bench.texts(1), ["two"]);
    // proves: WNT-6
    assert_eq!(gap(&mut bench, 1), (1, false));
    bench.relay.silent = true;
    bench.pass(20_000);
    assert_eq!(gap(&mut bench, 1), (1, true));
    bench.relay.silent = false;
    bench.settle();
    bench.pass(1_000);
    assert_eq!(bench.texts(1), ["one", "two"]);
    assert_eq!(gap(&mut bench, 1), (0, false));
    assert_eq!(count(&mut bench, 1, "SELECT count(*) FROM want"), 0);
    bench.pass(MINUTE);
    assert_eq!(bench.states(0), [2, 2]);
}

#[test]
fn where_the_author_is_away_another_member_answers_and_only_one_wnt_4() {
    let mut bench = circle(5);
    create(&mut bench, &[1, 2, 3, 4]);
    miss(&mut bench, 0, 2, "from one who goes away");
    bench.devices[0].cut = true;
    say(&mut bench, 1, "an answer to it").unwrap();
    assert_eq!(group_texts(&mut bench, 2), ["an answer to it"]);
    let before: Vec<usize> = (0..5).map(|device| sent(&bench, device)).collect();
    bench.pass(3 * MINUTE);
    assert_eq!(
        group_texts(&mut bench, 2),
        ["from one who goes away", "an answer to it"]
    );
    let after: usize = [1, 3, 4]
        .iter()
        .map(|device| sent(&bench, *device) - before[*device])
        .sum();
    assert_eq!(after, 1, "one answer");
    assert_eq!(sent(&bench, 2) - before[2], 1, "one list");
    assert_eq!(count(&mut bench, 1, "SELECT count(*) FROM answer"), 0);
    assert_eq!(count(&mut bench, 3, "SELECT count(*) FROM answer"), 0);
}

/// Group seed 161: what was missing when it was removed was never asked for again.
#[test]
fn who_is_added_again_asks_for_what_it_lacked_wnt_2() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    bench.pass(MINUTE);
    miss(&mut bench, 0, 2, "before it went");
    say(&mut bench, 0, "the last that it got").unwrap();
    remove(&mut bench, 0, &[2]).unwrap();
    bench.pass(HOUR);
    assert_eq!(group_texts(&mut bench, 2), ["the last that it got"]);
    assert_eq!(
        count(&mut bench, 2, "SELECT count(*) FROM want WHERE due_at IS NOT NULL"),
        0
    );
    add(&mut bench, 0, &[2]).unwrap();
    bench.pass(HOUR);
    assert_eq!(group_texts(&mut bench, 2), ["before it went", "the last that it got"]);
    assert_eq!(count(&mut bench, 2, "SELECT count(*) FROM want"), 0);
}

#[test]
fn who_waits_for_a_word_of_mine_is_asked_for_nothing_rcp_4() {
    let mut bench = Bench::with(2);
    let invite = bench.invite(0, Who::Family, How::Plain);
    bench.accept(1, &invite.link, None).unwrap();
    let ears = std::mem::take(&mut bench.devices[0].listening);
    bench.say(1, 1, "it is me");
    bench.devices[0].listening = ears;
    skip(&mut bench, 0);
    let before = sent(&bench, 0);
    bench.say(1, 1, "are you there?");
    bench.pass(2 * HOUR);
    assert_eq!(bench.texts(0), ["are you there?"]);
    assert_eq!(count(&mut bench, 0, "SELECT count(*) FROM want"), 0);
    assert_eq!(sent(&bench, 0), before);
}

/// Group seed 95: what follows it was confirmed before it came, and nobody confirms that again.
#[test]
fn what_another_device_of_mine_wrote_and_comes_late_is_confirmed_by_what_follows_it_rcp_1() {
    let mut bench = circle(2);
    create(&mut bench, &[1]);
    let laptop = link(&mut bench, 0);
    bench.pass(MINUTE);
    miss(&mut bench, laptop, 0, "first");
    say(&mut bench, laptop, "second").unwrap();
    bench.pass(20_000);
    assert_eq!(group_texts(&mut bench, 0), ["second"]);
    bench.pass(HOUR);
    assert_eq!(group_texts(&mut bench, 0), ["first", "second"]);
    let unconfirmed = "SELECT count(*) FROM message WHERE mine = 1 AND kind = 0 AND state < 2";
    assert_eq!([0, laptop].map(|device| count(&mut bench, device, unconfirmed)), [0, 0]);
}

/// Bo takes Di out, and Cy writes there; but Bo was taken out himself, and Di is in after all. What Cy wrote Di gets late
/// (OUT-9), and it stands on top of what Di waits for.
#[test]
fn a_receipt_names_what_stands_below_a_head_that_somebody_cannot_have_rcp_1() {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    give(&mut bench, 0, 1, Role::Admin).unwrap();
    bench.pass(MINUTE);
    let ears = std::mem::take(&mut bench.devices[3].listening);
    say(&mut bench, 3, "from Di").unwrap();
    bench.pass(MINUTE);
    bench.devices[0].cut = true;
    remove(&mut bench, 0, &[1]).unwrap();
    remove(&mut bench, 1, &[3]).unwrap();
    say(&mut bench, 2, "without Di").unwrap();
    bench.pass(MINUTE);
    bench.devices[3].listening = ears;
    skip(&mut bench, 3);
    bench.reconnect(0);
    bench.pass(50 * HOUR);
    let heads = [0, 2, 3].map(|device| head(&mut bench, device));
    assert!(heads.iter().all(|other| *other == heads[0]), "{heads:?}");
    for device in [0, 3] {
        assert_eq!(group_texts(&mut bench, device), ["from Di", "without Di"]);
    }
    let open = "SELECT count(*) FROM message WHERE mine = 1 AND kind = 0 AND state < 2";
    assert_eq!([2, 3].map(|device| count(&mut bench, device, open)), [0, 0]);
}

/// Group seeds 393, 440: Di is out, others write on, and Di comes back by another leaf. What stands on top of its words it
/// never gets, and in its epoch is a leaf of it that is no more.
#[test]
fn who_was_added_again_learns_that_its_own_words_came_rcp_1() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    bench.pass(MINUTE);
    let ears = std::mem::take(&mut bench.devices[2].listening);
    say(&mut bench, 2, "from Di").unwrap();
    bench.pass(MINUTE);
    remove(&mut bench, 0, &[2]).unwrap();
    bench.pass(MINUTE);
    say(&mut bench, 1, "without Di").unwrap();
    bench.pass(MINUTE);
    bench.devices[2].listening = ears;
    skip(&mut bench, 2);
    add(&mut bench, 0, &[2]).unwrap();
    bench.pass(50 * HOUR);
    assert_eq!(group_texts(&mut bench, 0), ["from Di", "without Di"]);
    assert_eq!(group_texts(&mut bench, 2), ["from Di"]);
    let open = "SELECT count(*) FROM message WHERE mine = 1 AND kind = 0 AND state < 2";
    assert_eq!([1, 2].map(|device| count(&mut bench, device, open)), [0, 0]);
    assert_eq!(count(&mut bench, 2, "SELECT count(*) FROM outbox WHERE purpose = 0"), 0);
}

#[test]
fn what_only_a_receipt_names_is_asked_for_too_wnt_1() {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    bench.pass(MINUTE);
    miss(&mut bench, 0, 2, "the last word");
    bench.devices[0].cut = true;
    bench.pass(MINUTE);
    // Another one reads it, and says so.
    read_all(&mut bench, 1);
    assert!(group_texts(&mut bench, 2).is_empty());
    bench.pass(3 * MINUTE);
    assert_eq!(group_texts(&mut bench, 2), ["the last word"]);
}

#[test]
fn what_a_receipt_named_first_is_asked_for_again_when_a_message_waits_for_it_wnt_2() {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    bench.pass(MINUTE);
    miss(&mut bench, 0, 2, "the last word");
    bench.devices[0].cut = true;
    bench.pass(MINUTE);
    for device in [1, 3] {
        change(&mut bench, device, "DELETE FROM original"); // they cannot help
    }
    read_all(&mut bench, 1);
    bench.pass(2 * HOUR);
    let given_up = "SELECT count(*) FROM want WHERE asked = 3 AND due_at IS NULL";
    assert_eq!(count(&mut bench, 2, given_up), 1);
    say(&mut bench, 1, "an answer to it").unwrap();
    assert_eq!(count(&mut bench, 2, given_up), 0);
    bench.reconnect(0);
    bench.pass(5 * MINUTE);
    assert_eq!(group_texts(&mut bench, 2), ["the last word", "an answer to it"]);
}

#[test]
fn who_hears_another_ask_for_the_same_waits_wnt_3() {
    let mut bench = circle(5);
    create(&mut bench, &[1, 2, 3, 4]);
    let ears: Vec<_> = (2..5)
        .map(|device| std::mem::take(&mut bench.devices[device].listening))
        .collect();
    say(&mut bench, 0, "three miss it").unwrap();
    for (device, ears) in (2..5).zip(ears) {
        bench.devices[device].listening = ears;
        skip(&mut bench, device);
    }
    say(&mut bench, 1, "an answer").unwrap();
    // Whoever has it is away for the moment.
    (bench.devices[0].cut, bench.devices[1].cut) = (true, true);
    let before: Vec<usize> = (0..5).map(|device| sent(&bench, device)).collect();
    bench.pass(3 * MINUTE);
    let lists: usize = (2..5).map(|device| sent(&bench, device) - before[device]).sum();
    assert_eq!(lists, 1);
    bench.reconnect(0);
    bench.pass(MINUTE);
    for device in 2..5 {
        assert_eq!(group_texts(&mut bench, device), ["three miss it", "an answer"]);
    }
}

/// Everything of the group counts as missing, and as due.
const ALL_MISSING: &str = "
    INSERT OR REPLACE INTO want(group_id, short, times, asked, due_at)
    SELECT group_id, substr(id, 1, 8), 6, 0, 0 FROM message
    WHERE mine = 0 AND kind = 0 AND group_id = (SELECT group_id FROM conversation WHERE grouped = 1)";

#[test]
fn a_list_names_64_and_the_next_one_waits_a_minute_wnt_2() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    for n in 0..130 {
        say(&mut bench, 0, &format!("text {n}")).unwrap();
    }
    bench.pass(MINUTE);
    change(&mut bench, 1, ALL_MISSING);
    let asked = "SELECT count(*) FROM want WHERE asked = 1";
    for wanted in [64, 128, 130] {
        let before = sent(&bench, 1);
        wake(&mut bench, 1);
        assert_eq!(sent(&bench, 1) - before, 1);
        assert_eq!(count(&mut bench, 1, asked), wanted);
        wake(&mut bench, 1);
        assert_eq!(count(&mut bench, 1, asked), wanted, "a minute later, not before");
        bench.devices[1].now += MINUTE;
    }
}

#[test]
pub(crate) fn whoever_asks_for_everything_gets_256_answers_an_hour_wnt_4() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    for n in 0..400 {
        say(&mut bench, 0, &format!("text {n}")).unwrap();
    }
    bench.pass(HOUR);
    bench.pass(HOUR - (bench.devices[0].now % HOUR) + MINUTE);
    let before = [sent(&bench, 0), sent(&bench, 2)];
    for _ in 0..12 {
        change(&mut bench, 1, ALL_MISSING);
        wake(&mut bench, 1);
        bench.pass(4 * MINUTE);
    }
    // Most of what is asked for is the author's to answer; what others answer for it has the same limit.
    let answers = [sent(&bench, 0) - before[0], sent(&bench, 2) - before[1]];
    assert!((200..=256).contains(&answers[0]), "{answers:?}");
    assert!(answers[1] <= 256, "{answers:?}");
    assert!(sent(&bench, 1) < 60 + 400, "a list a minute");
}

#[test]
pub(crate) fn lists_that_follow_one_another_are_not_heard_wnt_4() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    for n in 0..4 {
        say(&mut bench, 0, &format!("text {n}")).unwrap();
    }
    bench.pass(MINUTE);
    let before = sent(&bench, 0);
    for _ in 0..5 {
        // A program that does not wait.
        change(
            &mut bench,
            1,
            &format!("UPDATE conversation SET want_at = 0; {ALL_MISSING}"),
        );
        wake(&mut bench, 1);
    }
    bench.pass(10_000);
    assert_eq!(sent(&bench, 0) - before, 4, "each text once");
}

#[test]
pub(crate) fn who_was_not_there_when_it_was_written_gets_no_answer_wnt_4() {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2]);
    say(&mut bench, 0, "before Di came").unwrap();
    bench.pass(MINUTE);
    let short = {
        let tx = bench.devices[0].store.begin().unwrap();
        let sql = "SELECT lower(hex(substr(id, 1, 8))) FROM message WHERE text = 'before Di came'";
        tx.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap()
    };
    let wish = stonechat_core::api::GroupMembers {
        chat: chat(&mut bench, 0),
        members: vec![crate::groups::account(&mut bench, 3)],
    };
    bench.ask(0, stonechat_core::api::Command::GroupAdd(wish)).unwrap();
    bench.pass(MINUTE);
    let before: Vec<usize> = (0..3).map(|device| sent(&bench, device)).collect();
    let sql =
        format!("INSERT OR REPLACE INTO want SELECT group_id, x'{short}', 6, 0, 0 FROM conversation WHERE grouped = 1");
    change(&mut bench, 3, &sql);
    wake(&mut bench, 3);
    bench.pass(2 * MINUTE);
    assert_eq!(count(&mut bench, 3, "SELECT max(asked) FROM want"), 1);
    let after: Vec<usize> = (0..3).map(|device| sent(&bench, device)).collect();
    assert_eq!(before, after);
}

#[test]
pub(crate) fn of_what_members_name_1024_are_noted_wnt_1() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    change(
        &mut bench,
        1,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1024)
         INSERT INTO want SELECT group_id, CAST(printf('%08d', i) AS BLOB), 6, 6, NULL FROM n JOIN conversation
         WHERE grouped = 1",
    );
    miss(&mut bench, 0, 1, "one more");
    say(&mut bench, 0, "after it").unwrap();
    bench.pass(MINUTE);
    assert_eq!(gap(&mut bench, 1), (1, false));
    assert_eq!(count(&mut bench, 1, "SELECT count(*) FROM want"), 1024);
}

#[test]
fn the_newest_1024_messages_are_kept_as_they_came_wnt_5() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    change(
        &mut bench,
        1,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)
         INSERT INTO original(message, lane, group_id, epoch_id, kept_at, content) SELECT CAST(i AS BLOB), 0, group_id, head, i, x'00'
         FROM n JOIN conversation WHERE grouped = 1",
    );
    for n in 0..32 {
        say(&mut bench, 0, &format!("{n}")).unwrap();
    }
    bench.pass(MINUTE);
    let kept = count(&mut bench, 1, "SELECT count(*) FROM original");
    assert!((1024..1024 + 32).contains(&kept), "{kept}");
    let newest = "SELECT count(*) FROM original JOIN message ON id = message";
    assert_eq!(count(&mut bench, 1, newest), 32);
    // The longest text is kept too.
    say(&mut bench, 0, &"x".repeat(16_000)).unwrap();
    bench.pass(MINUTE);
    assert_eq!(count(&mut bench, 1, newest), 33);
}

#[test]
fn between_two_nothing_is_kept_for_others_wnt_5() {
    let mut bench = Bench::friends();
    bench.say(0, 1, "only for you");
    bench.pass(MINUTE);
    for device in [0, 1] {
        assert_eq!(count(&mut bench, device, "SELECT count(*) FROM original"), 0);
    }
}
