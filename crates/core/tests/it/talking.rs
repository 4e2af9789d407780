//! Texts and receipts between two.

use crate::bench::{Bench, START};
use crate::forks::change;
use crate::groups::{circle, number};
use stonechat_core::Input;
use stonechat_core::api::{Command, MarkRead};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

#[test]
fn a_text_arrives_and_is_confirmed_and_read_rcp_1() {
    let mut bench = Bench::friends();
    bench.say(0, 1, "hello");
    bench.pass(6_000);
    assert_eq!(bench.texts(1), ["hello"]);
    assert_eq!(bench.states(0), [2]);
    bench
        .ask(
            1,
            Command::MarkRead(MarkRead {
                chat: 1,
                position: i64::MAX / 2,
            }),
        )
        .unwrap();
    bench.pass(6_000);
    assert_eq!(bench.states(0), [3]);
    bench.say(1, 1, "hi");
    bench.pass(6_000);
    assert_eq!(bench.texts(0), ["> hello", "hi"]);
    assert_eq!(bench.states(1), [2]);
}

#[test]
fn what_a_meeting_sends_does_not_delay_the_receipt_of_the_first_text_rcp_2() {
    let mut bench = Bench::friends();
    bench.say(1, 1, "hello");
    assert_eq!(bench.states(1), [2], "confirmed at once: no time has passed");
    bench.say(1, 1, "again");
    assert_eq!(bench.states(1), [2, 1], "the next receipt waits");
    bench.pass(5_000);
    assert_eq!(bench.states(1), [2, 2]);
}

#[test]
fn what_shows_nothing_is_confirmed_after_five_seconds_rcp_2() {
    let mut bench = Bench::friends();
    let waiting = |bench: &mut Bench| -> u32 {
        let tx = bench.devices[1].store.begin().unwrap();
        tx.query_row("SELECT count(*) FROM outbox WHERE purpose <> 7", [], |row| row.get(0))
            .unwrap()
    };
    assert_ne!(waiting(&mut bench), 0, "the key packages of the meeting");
    bench.pass(5_000);
    assert_eq!(waiting(&mut bench), 0);
    bench.say(1, 1, "hello");
    assert_eq!(bench.states(1), [2], "and that receipt does not delay the next");
}

#[test]
fn a_text_of_thirty_bytes_is_one_envelope_of_256_msg_2() {
    let mut bench = Bench::friends();
    bench.say(0, 1, "first, so that there is a parent");
    bench.pass(6_000);
    let before = bench.devices[0].sent.len();
    bench.say(0, 1, &"x".repeat(30));
    let sent = &bench.devices[0].sent[before..];
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].envelope.bytes().len(), 256);
}

#[test]
fn what_nobody_confirms_is_sealed_anew_after_a_day_out_2() {
    let mut bench = Bench::friends();
    bench.relay.silent = true;
    bench.say(0, 1, "are you there");
    let first = bench.devices[0].sent.last().unwrap().envelope.clone();
    bench.pass(25 * 3_600_000);
    let again = bench.devices[0].sent.last().unwrap().envelope.clone();
    assert_ne!(first.id(), again.id());
    bench.relay.silent = false;
    bench.settle();
    bench.pass(6_000);
    assert_eq!(bench.texts(1), ["are you there"]);
    assert_eq!(bench.states(0), [2]);
}

#[test]
fn a_restart_hands_out_what_was_not_stored_out_4() {
    let mut bench = Bench::friends();
    let outputs = bench.devices[0].step(Input::Command(Command::Send(stonechat_core::api::Send {
        chat: 1,
        text: "lost on the way out".into(),
        client_id: None,
        marked: false,
        reply_to: None,
    })));
    drop(outputs); // crashed after the commit, before anything was released
    bench.devices[0].core.forget();
    bench.devices[0].listening.clear();
    let outputs = bench.devices[0].step(Input::Started);
    bench.release(0, outputs);
    bench.settle();
    bench.pass(6_000);
    assert_eq!(bench.texts(1), ["lost on the way out"]);
    assert_eq!(bench.states(0), [2]);
    assert!(bench.devices[0].now > START);
}

#[test]
fn ten_thousand_queued_texts_need_few_receipts_rcp_2() {
    const TEXTS: usize = 10_000;
    let mut bench = Bench::friends();
    bench.relay.silent = true;
    for n in 0..TEXTS {
        bench.say(0, 1, &format!("text {n}"));
    }
    let before = bench.devices[1].sent.len();
    bench.relay.silent = false;
    bench.settle();
    bench.pass(60_000);
    let expected: Vec<String> = (0..TEXTS).map(|n| format!("text {n}")).collect();
    assert_eq!(bench.texts(1), expected);
    assert!(bench.states(0).iter().all(|state| *state == 2));
    let receipts = bench.devices[1].sent.len() - before;
    assert!((1..=20).contains(&receipts), "{receipts} receipts");
}

#[test]
fn a_text_that_the_window_has_passed_is_encrypted_again_out_5() {
    let mut bench = Bench::friends();
    bench.relay.silent = true;
    bench.say(0, 1, "the first one is lost");
    let lost = bench.devices[0].sent.last().unwrap().envelope.clone();
    for mailbox in bench.relay.boxes.values_mut() {
        mailbox.retain(|bytes| bytes != lost.bytes());
    }
    for n in 0..600 {
        bench.say(0, 1, &format!("later {n}"));
    }
    bench.relay.silent = false;
    bench.settle();
    assert_eq!(bench.texts(1).len(), 600);
    bench.pass(60 * 3_600_000);
    assert_eq!(bench.texts(1).len(), 601);
    assert_eq!(bench.texts(1)[0], "the first one is lost");
    assert!(bench.states(0).iter().all(|state| *state == 2));
}

/// What time asks for is refused in one chat, whatever the reason: the others go on, and it is not tried again at once.
#[test]
fn a_chat_that_cannot_be_written_to_holds_up_no_other_rcp_2() {
    let mut bench = circle(3);
    let [bo, cy] = ["Bo", "Cy"].map(|name| {
        number(
            &mut bench,
            0,
            &format!("SELECT h.id FROM chat h JOIN contact c ON c.account = h.contact WHERE c.own_name = '{name}'"),
        )
    });
    let broken = format!(
        "DELETE FROM epoch_row WHERE instr(group_id, (SELECT group_id FROM conversation WHERE chat = {bo})) > 0"
    );
    change(&mut bench, 0, &broken);
    bench.devices[0].core.forget();
    change(
        &mut bench,
        0,
        &format!("UPDATE conversation SET receipt_due = 1 WHERE chat = {bo}"),
    );
    bench.say(2, 1, "hello");
    bench.pass(HOUR);
    assert_eq!(bench.texts(0), ["hello"]);
    assert_eq!(bench.states(2), [2], "it was confirmed");
    bench.say(0, cy, "hello you");
    bench.pass(MINUTE);
    assert_eq!(bench.texts(2), ["> hello", "hello you"]);
    bench.pass(12 * HOUR);
    let device = &bench.devices[0];
    assert!(device.refused.len() < 5_000, "{}", device.refused.len());
}
