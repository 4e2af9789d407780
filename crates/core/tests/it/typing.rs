//! Signals that somebody types: heard by who is there, kept by nobody.

use crate::bench::{Bench, relay_keys};
use crate::groups::{chat, circle, create};
use stonechat_core::Input;
use stonechat_core::api::{ByChat, Command, Event, Settings};
use stonechat_wire::exchange::{Errand, News, Signal};

pub(crate) fn types(bench: &mut Bench, device: usize, chat: i64) {
    bench.ask(device, Command::Typing(ByChat { chat })).unwrap();
    bench.settle();
}

/// Who was seen typing, in order.
pub(crate) fn seen(bench: &Bench, device: usize) -> Vec<(i64, String)> {
    let one = |event: &Event| match event {
        Event::Typing { chat, name, .. } => Some((*chat, name.clone())),
        _ => None,
    };
    bench.devices[device].events.iter().filter_map(one).collect()
}

/// The signal that typing makes, as the courier gets it.
fn signal(bench: &mut Bench, device: usize, chat: i64) -> Option<Signal> {
    let outputs = bench.devices[device].step(Input::Command(Command::Typing(ByChat { chat })));
    outputs.errands.into_iter().find_map(|errand| match errand {
        Errand::Signal(signal) => Some(signal),
        _ => None,
    })
}

#[test]
fn who_is_there_sees_who_types_and_nothing_is_kept_eph_3() {
    let mut bench = Bench::friends();
    bench.pass(60_000);
    let before = bench.devices[1].store.begin().unwrap().query_row(
        "SELECT (SELECT count(*) FROM message) + (SELECT count(*) FROM envelope_seen) + (SELECT count(*) FROM outbox)",
        [],
        |row| row.get::<_, i64>(0),
    );
    types(&mut bench, 0, 1);
    assert_eq!(seen(&bench, 1), [(1, "Ana".to_owned())]);
    assert!(seen(&bench, 0).is_empty());
    let after = bench.devices[1].store.begin().unwrap().query_row(
        "SELECT (SELECT count(*) FROM message) + (SELECT count(*) FROM envelope_seen) + (SELECT count(*) FROM outbox)",
        [],
        |row| row.get::<_, i64>(0),
    );
    assert_eq!(before.unwrap(), after.unwrap());
}

#[test]
fn a_signal_fits_the_smallest_envelope_and_is_never_the_same_eph_3() {
    let mut bench = Bench::friends();
    let (one, two) = (signal(&mut bench, 0, 1).unwrap(), signal(&mut bench, 0, 1).unwrap());
    assert_eq!(one.envelope.bytes().len(), 256);
    assert_ne!(one.envelope, two.envelope);
    assert_eq!(one.relays, [relay_keys().id()]);
}

#[test]
fn whoever_tells_no_reading_tells_no_typing_and_crowds_tell_none_eph_3() {
    let mut bench = circle(10);
    create(&mut bench, &[1, 2, 3, 4, 5, 6, 7]);
    let there = chat(&mut bench, 0);
    assert!(signal(&mut bench, 0, there).is_some(), "eight");
    crate::groups::add(&mut bench, 0, &[8]).unwrap();
    assert!(signal(&mut bench, 0, there).is_none(), "nine");
    let settings = Settings {
        language: None,
        theme: None,
        read_receipts: false,
    };
    assert!(signal(&mut bench, 1, 1).is_some());
    bench.ask(1, Command::SettingsSet(settings)).unwrap();
    assert!(signal(&mut bench, 1, 1).is_none());
}

#[test]
fn signals_that_are_bent_or_of_another_epoch_say_nothing_eph_4() {
    let mut bench = circle(3);
    let good = signal(&mut bench, 0, 1).unwrap();
    let relay = relay_keys().id();
    let tag = good.token.tag();
    let whole = good.envelope.bytes().to_vec();
    let mut bent = whole.clone();
    bent[100] ^= 1;
    let mut elsewhere = whole.clone();
    elsewhere[3] ^= 1;
    for bytes in [vec![], vec![1; 256], bent, elsewhere, whole[..255].to_vec()] {
        let news = News::Signalled {
            relay,
            tag,
            envelope: bytes,
        };
        bench.devices[1].step(Input::News(news));
    }
    // A message is no signal, and whoever does not read the mailbox hears nothing.
    bench.say(0, 1, "a text");
    let text = bench.devices[0].sent.last().unwrap().envelope.bytes().to_vec();
    for (device, envelope) in [(1, text), (2, whole.clone())] {
        let news = News::Signalled { relay, tag, envelope };
        bench.devices[device].step(Input::News(news));
    }
    assert!(seen(&bench, 1).is_empty() && seen(&bench, 2).is_empty());
    let news = News::Signalled {
        relay,
        tag,
        envelope: whole,
    };
    let outputs = bench.devices[1].step(Input::News(news));
    assert!(outputs.events.iter().any(|event| matches!(event, Event::Typing { .. })));
}
