//! What many Welcomes have in common, put once: it arrives, is asked for where it is lost, and is what the hash says.

use crate::bench::Bench;
use crate::groups::{all_agree, circle, create, number, remove, say, texts};
use stonechat_core::Input;
use stonechat_wire::apart::Apart;
use stonechat_wire::envelope;
use stonechat_wire::ids::Tag;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
/// So many that the tree of all does not fit beside a Welcome.
const MANY: usize = 20;

/// What Ana has put apart, as her invitations name it.
fn apart(bench: &mut Bench) -> (Apart, Vec<u8>) {
    let tx = bench.devices[0].store.begin().unwrap();
    let (secret, content): ([u8; 32], Vec<u8>) = tx
        .query_row("SELECT secret, content FROM apart", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    (Apart::of(secret, &content), content)
}

/// Ana founds a group of everybody, of whom only she is at the relay.
fn founded_while_all_are_away(count: usize) -> Bench {
    let mut bench = circle(count);
    for device in 1..count {
        bench.devices[device].cut = true;
    }
    create(&mut bench, &(1..count).collect::<Vec<_>>());
    bench
}

fn lose(bench: &mut Bench, tag: Tag) {
    bench
        .relay
        .boxes
        .entry(tag)
        .or_default()
        .iter_mut()
        .for_each(Vec::clear);
}

fn joined(bench: &mut Bench, device: usize) -> bool {
    number(bench, device, "SELECT count(*) FROM conversation WHERE grouped = 1") == 1
}

fn all_come_back(bench: &mut Bench) {
    for device in 1..bench.devices.len() {
        bench.reconnect(device);
    }
    bench.pass(6_000);
}

#[test]
fn the_tree_is_put_once_for_all_who_are_added_and_kept_until_all_were_heard_grp_15() {
    let mut bench = circle(MANY);
    let before = bench.devices[0].sent.len();
    create(&mut bench, &(1..MANY).collect::<Vec<_>>());
    all_agree(&mut bench, &(0..MANY).collect::<Vec<_>>());
    let sizes = bench.devices[0].sent[before..]
        .iter()
        .map(|parcel| parcel.envelope.bytes().len());
    let bytes: usize = sizes.sum();
    // A tree and a Welcome of at most 4 kB for each; whole Welcomes were 32 kB and more, each.
    assert!(bytes < 65_536 + MANY * 8_192, "{bytes}");
    for device in 0..MANY {
        say(&mut bench, device, &format!("from {device}")).unwrap();
    }
    bench.pass(HOUR);
    assert_eq!(texts(&mut bench, MANY - 1).len(), MANY);
    for (device, table) in [(0, "apart"), (0, "apart_for"), (1, "awaited")] {
        assert_eq!(
            number(&mut bench, device, &format!("SELECT count(*) FROM {table}")),
            0,
            "{table}"
        );
    }
    let reads = "SELECT count(*) FROM listening WHERE purpose = 7";
    assert_eq!(number(&mut bench, 1, reads), 0);
    assert_eq!(
        number(&mut bench, 0, "SELECT count(*) FROM outbox WHERE purpose = 8"),
        0
    );
}

#[test]
fn who_lacks_the_common_part_waits_says_so_and_gets_it_again_grp_16() {
    let mut bench = founded_while_all_are_away(MANY);
    let (apart, _) = apart(&mut bench);
    let tag = apart.token().tag();
    lose(&mut bench, tag);
    all_come_back(&mut bench);
    assert!(!joined(&mut bench, 1));
    assert_eq!(number(&mut bench, 1, "SELECT count(*) FROM awaited"), 1);
    // A crash loses nothing of it: what waits stands in the database.
    for device in 0..MANY {
        bench.devices[device].core.forget();
        let outputs = bench.devices[device].step(Input::Started);
        bench.release(device, outputs);
    }
    bench.pass(2 * HOUR);
    let everybody: Vec<usize> = (0..MANY).collect();
    all_agree(&mut bench, &everybody);
    // All asked, and it was put again once.
    let puts = bench.devices[0].sent.iter().filter(|parcel| parcel.token.tag() == tag);
    assert_eq!(puts.count(), 4, "two parts, twice");
    say(&mut bench, 0, "all here").unwrap();
    bench.pass(HOUR);
    assert_eq!(texts(&mut bench, MANY - 1), ["all here"]);
}

#[test]
fn nobody_but_who_was_added_gets_it_again_and_not_more_than_once_an_hour_grp_16() {
    let mut bench = founded_while_all_are_away(MANY);
    let (apart, _) = apart(&mut bench);
    let tag = apart.token().tag();
    // Who is removed before it came needs it no more.
    remove(&mut bench, 0, &[1]).unwrap();
    let waits = "SELECT count(*) FROM apart_for";
    assert_eq!(number(&mut bench, 0, waits), i64::try_from(MANY).unwrap() - 2);
    lose(&mut bench, tag);
    bench.reconnect(1);
    let puts = |bench: &Bench| {
        bench.devices[0]
            .sent
            .iter()
            .filter(|parcel| parcel.token.tag() == tag)
            .count()
    };
    let before = puts(&bench);
    bench.pass(2 * HOUR);
    assert_eq!(number(&mut bench, 1, "SELECT asked FROM awaited"), 1);
    assert_eq!(puts(&bench), before);
    // It asks no longer than 60 days.
    let tx = bench.devices[1].store.begin().unwrap();
    tx.execute("UPDATE awaited SET asked = 60", []).unwrap();
    tx.commit().unwrap();
    bench.pass(DAY);
    assert_eq!(number(&mut bench, 1, "SELECT count(*) FROM awaited"), 0);
    assert_eq!(
        number(&mut bench, 1, "SELECT count(*) FROM listening WHERE purpose = 7"),
        0
    );
}

#[test]
fn what_another_newcomer_puts_there_is_not_taken_for_the_common_part_grp_15() {
    let mut bench = founded_while_all_are_away(MANY);
    let (apart, content) = apart(&mut bench);
    let (key, tag) = (apart.key(), apart.token().tag());
    lose(&mut bench, tag);
    let mut bent = content;
    bent[700] ^= 1;
    let mut seed = 0;
    let mut seeds = || {
        seed += 1;
        [seed; 16]
    };
    // Another content of the same length, and a short one.
    let mut forged = envelope::seal_all(&key, tag, &mut seeds, &bent).unwrap();
    forged.push(envelope::seal(&key, tag, [77; 16], b"common").unwrap());
    let there = bench.relay.boxes.get_mut(&tag).unwrap();
    there.extend(forged.into_iter().map(envelope::Envelope::into_bytes));
    all_come_back(&mut bench);
    assert!(!joined(&mut bench, 1));
    bench.pass(2 * HOUR);
    all_agree(&mut bench, &(0..MANY).collect::<Vec<_>>());
}

#[test]
fn a_small_group_keeps_the_tree_in_its_welcomes_grp_15() {
    let mut bench = circle(6);
    create(&mut bench, &[1, 2, 3, 4, 5]);
    all_agree(&mut bench, &[0, 1, 2, 3, 4, 5]);
    assert_eq!(number(&mut bench, 0, "SELECT count(*) FROM apart"), 0);
    assert_eq!(
        number(&mut bench, 1, "SELECT count(*) FROM listening WHERE purpose = 7"),
        0
    );
}
