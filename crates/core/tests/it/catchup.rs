//! Catch-up bundles: whoever stayed behind gets the commits since as one, and is fooled by none that is not what it says.

use crate::behind;
use crate::bench::Bench;
use crate::forks::{change, number as count};
use crate::groups::{self, chat, circle, create, head};
use stonechat_core::Input;
use stonechat_core::api::{Command, GroupEdit};
use stonechat_wire::catchup::{COMMITS_MAX, encode_bundle};
use stonechat_wire::envelope::{EnvelopeKey, seal_all};
use stonechat_wire::exchange::Class;
use stonechat_wire::mailbox::{self, Lane, MailboxRoot, Slot};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

fn rename(bench: &mut Bench, name: &str) {
    let wish = GroupEdit {
        chat: chat(bench, 0),
        name: Some(name.into()),
        description: None,
        may_write: None,
        may_add: None,
        may_edit: None,
    };
    bench.ask(0, Command::GroupEdit(wish)).unwrap();
}

/// Nobody renews keys by itself in the next days.
fn no_renewals(bench: &mut Bench) {
    for device in 0..bench.devices.len() {
        let later = bench.devices[device].now + 3 * DAY;
        change(bench, device, &format!("UPDATE conversation SET renew_at = {later}"));
    }
}

/// What this device has put into commit lanes, in envelopes.
fn commit_envelopes(bench: &Bench, device: usize) -> usize {
    let parcels = bench.devices[device].sent.iter();
    parcels
        .filter(|parcel| parcel.ttl_s == 60 * 24 * 3600 && parcel.class == Class::Text)
        .count()
}

#[test]
fn a_device_back_after_28_days_gets_all_commits_as_one_epo_8() {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    bench.pass(MINUTE);
    bench.devices[2].cut = true;
    for n in 0..14 {
        no_renewals(&mut bench);
        rename(&mut bench, &format!("house {n}"));
        bench.pass(2 * DAY);
        (0..4)
            .filter(|device| *device != 2)
            .for_each(|device| bench.greet(device));
        bench.settle();
    }
    // The relay has lost them all, and their author puts them no more.
    for device in [0, 1, 3] {
        change(&mut bench, device, "DELETE FROM outbox WHERE purpose = 4");
    }
    bench.relay.boxes.values_mut().flatten().for_each(Vec::clear);
    no_renewals(&mut bench);
    bench.reconnect(2);
    bench.greet(2);
    bench.settle();
    let lacks = "SELECT count(*) FROM epoch WHERE group_id = (SELECT group_id FROM conversation WHERE grouped = 1)";
    let lacking = count(&mut bench, 0, lacks) - count(&mut bench, 2, lacks);
    assert!(lacking >= 14, "{lacking}");
    let before: Vec<usize> = (0..4).map(|device| commit_envelopes(&bench, device)).collect();
    let deadline = bench.devices[0].now + 3 * HOUR;
    while head(&mut bench, 2) != head(&mut bench, 0) {
        assert!(bench.devices[0].now < deadline);
        bench.pass(MINUTE);
    }
    let put: Vec<usize> = (0..4)
        .map(|device| commit_envelopes(&bench, device) - before[device])
        .collect();
    println!("{lacking} commits in {put:?} envelopes");
    assert_eq!(
        put.iter().filter(|count| **count > 0).count(),
        1,
        "one makes it: {put:?}"
    );
    assert!(
        put.iter().sum::<usize>() * 3 < usize::try_from(lacking).unwrap(),
        "{put:?}"
    );
    // Nobody makes it twice for that epoch on one day.
    bench.pass(2 * HOUR);
    let after: usize = (0..4)
        .map(|device| commit_envelopes(&bench, device) - before[device])
        .sum();
    assert_eq!(after, put.iter().sum::<usize>());
}

/// Seals a content into the commit lane of an epoch that this device knows.
fn put_in_lane(bench: &mut Bench, device: usize, epoch: &[u8], content: &[u8]) {
    let (root, key): ([u8; 32], [u8; 32]) = {
        let tx = bench.devices[device].store.begin().unwrap();
        let sql = "SELECT mailbox_root, envelope_key FROM epoch WHERE epoch_id = ?";
        tx.query_row(sql, [epoch], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
    };
    let tag = mailbox::token(&MailboxRoot::new(root), Lane::Commit, Slot(0), 0).tag();
    let mut number = u128::try_from(bench.devices[device].sent.len() + content.len()).unwrap();
    let mut seed = || {
        number += 1;
        (number << 64).to_be_bytes()
    };
    let envelopes = seal_all(&EnvelopeKey::new(key), tag, &mut seed, content).unwrap();
    let there = bench.relay.boxes.entry(tag).or_default();
    there.extend(envelopes.into_iter().map(|envelope| envelope.bytes().to_vec()));
    bench.settle();
}

/// The group's commits as the first device keeps them, oldest first, and the epochs that they make.
fn kept(bench: &mut Bench) -> Vec<(Vec<u8>, Vec<u8>)> {
    let tx = bench.devices[0].store.begin().unwrap();
    let sql = "SELECT message, content FROM original WHERE lane = 1
               AND group_id = (SELECT group_id FROM conversation WHERE grouped = 1) ORDER BY number";
    let mut rows = tx.prepare(sql).unwrap();
    rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

#[test]
fn a_bundle_that_is_bent_out_of_order_foreign_or_too_large_leads_nowhere_epo_8() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    bench.pass(MINUTE);
    let start = head(&mut bench, 2);
    let ears = std::mem::take(&mut bench.devices[2].listening);
    for n in 0..4 {
        rename(&mut bench, &format!("house {n}"));
    }
    let commits: Vec<(Vec<u8>, Vec<u8>)> = kept(&mut bench).into_iter().rev().take(4).rev().collect();
    assert_eq!(commits.len(), 4);
    bench.relay.boxes.values_mut().flatten().for_each(Vec::clear);
    bench.devices[2].listening = ears;
    let bundle = |which: &[usize]| {
        let commits: Vec<Vec<u8>> = which.iter().map(|n| commits[*n].1.clone()).collect();
        encode_bundle(&commits)
    };
    // The second first, the last first; one more than a bundle may have; nothing behind the mark.
    let too_many = bundle(&[0; COMMITS_MAX + 1]);
    for nowhere in [bundle(&[1, 0, 2]), bundle(&[3, 2, 1, 0]), too_many, vec![0xff]] {
        put_in_lane(&mut bench, 2, &start, &nowhere);
        assert_eq!(head(&mut bench, 2), start);
    }
    // The second one is bent: the first counts, and what comes behind it does not.
    let mut bent = commits[1].1.clone();
    let middle = bent.len() / 2;
    bent[middle] ^= 1;
    put_in_lane(
        &mut bench,
        2,
        &start,
        &encode_bundle(&[commits[0].1.clone(), bent, commits[2].1.clone()]),
    );
    assert_eq!(head(&mut bench, 2), commits[0].0);
    // One of another place in the tree stands between: again what came before it counts.
    let at = commits[0].0.clone();
    put_in_lane(&mut bench, 2, &at, &bundle(&[1, 0, 2]));
    assert_eq!(head(&mut bench, 2), commits[1].0);
    // The whole bundle, from where the device stood at first: what is known is passed over.
    put_in_lane(&mut bench, 2, &start, &bundle(&[0, 1, 2, 3]));
    assert_eq!(head(&mut bench, 2), commits[3].0);
    assert_eq!(head(&mut bench, 2), head(&mut bench, 0));
    assert_eq!(count(&mut bench, 2, "SELECT count(*) FROM alarm"), 0);
}

/// Group seed 43 found it.
#[test]
fn a_bundle_leads_whoever_it_removes_no_further_epo_8() {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    bench.pass(MINUTE);
    let start = head(&mut bench, 2);
    let ears = std::mem::take(&mut bench.devices[2].listening);
    rename(&mut bench, "before");
    groups::remove(&mut bench, 0, &[2]).unwrap();
    rename(&mut bench, "after");
    let commits: Vec<Vec<u8>> = kept(&mut bench).into_iter().map(|(_, commit)| commit).collect();
    let last: Vec<Vec<u8>> = commits.into_iter().rev().take(3).rev().collect();
    bench.relay.boxes.values_mut().flatten().for_each(Vec::clear);
    bench.devices[2].listening = ears;
    bench.devices[2].refused.clear();
    put_in_lane(&mut bench, 2, &start, &encode_bundle(&last));
    let gone = "SELECT gone FROM conversation WHERE grouped = 1";
    assert_eq!(count(&mut bench, 2, gone), 1);
    assert_eq!(bench.devices[2].refused, [""; 0], "what follows is not for it");
}

/// Cy takes in forty commits at once: what was written between them lies in epochs that are old by then, and is read first.
#[test]
fn what_was_written_in_epochs_that_become_known_all_at_once_is_read_epo_10() {
    const MANY: usize = 40;
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    bench.pass(MINUTE);
    let start = head(&mut bench, 2);
    let ears = std::mem::take(&mut bench.devices[2].listening);
    for n in 0..MANY {
        rename(&mut bench, &format!("house {n}"));
        groups::say(&mut bench, 1, &format!("in house {n}")).unwrap();
    }
    bench.lose_commits(0);
    let commits: Vec<Vec<u8>> = kept(&mut bench).into_iter().map(|(_, commit)| commit).collect();
    bench.devices[2].listening = ears;
    put_in_lane(&mut bench, 2, &start, &encode_bundle(&commits[commits.len() - MANY..]));
    assert_eq!(head(&mut bench, 2), head(&mut bench, 0));
    assert_eq!(groups::texts(&mut bench, 2).len(), MANY, "before anybody was asked");
    // An hour later the oldest of them take commits only.
    let far = "SELECT count(*) FROM epoch WHERE far = 1";
    assert_eq!(count(&mut bench, 2, far), 0);
    bench.pass(HOUR + MINUTE);
    rename(&mut bench, "the last house");
    assert!(count(&mut bench, 2, far) > 0);
}

/// Cy was off for three weeks. The commit that it lacks comes an hour after it is back; what was written behind it then lies in
/// a mailbox of three weeks ago, and nobody has it any more who could put it again.
#[test]
fn what_becomes_known_hours_after_coming_back_is_read_from_long_ago_mbx_5() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    bench.pass(MINUTE);
    (0..3).for_each(|device| bench.greet(device));
    let ears = std::mem::take(&mut bench.devices[2].listening);
    rename(&mut bench, "another house");
    groups::say(&mut bench, 1, "long ago").unwrap();
    bench.lose_commits(0);
    let nobody = "DELETE FROM outbox; DELETE FROM original WHERE lane = 0";
    [0, 1].into_iter().for_each(|device| change(&mut bench, device, nobody));
    for _ in 0..11 {
        no_renewals(&mut bench);
        bench.devices[2].wake_at = None;
        bench.pass(2 * DAY);
        [0, 1].into_iter().for_each(|device| bench.greet(device));
    }
    no_renewals(&mut bench);
    bench.devices[2].listening = ears;
    let outputs = bench.devices[2].step(Input::Started);
    bench.release(2, outputs);
    bench.greet(2);
    bench.settle();
    assert_ne!(head(&mut bench, 2), head(&mut bench, 0));
    bench.pass(2 * HOUR);
    assert_eq!(head(&mut bench, 2), head(&mut bench, 0));
    assert_eq!(groups::texts(&mut bench, 2), ["long ago"]);
}

/// mdk #1671: after eight waves of rivals, read in the opposite order and three times over, a member who was away stays one
/// epoch behind the others and follows nobody any more.
#[test]
fn who_was_away_for_eight_waves_of_rivals_follows_the_winners_epo_1() {
    const WAVES: usize = 8;
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    groups::let_all_edit(&mut bench, 0);
    bench.pass(HOUR);
    let ears = std::mem::take(&mut bench.devices[2].listening);
    for wave in 0..WAVES {
        bench.relay.silent = true;
        for device in [0, 1] {
            behind::rename(&mut bench, device, &format!("house {wave} of {device}"));
            groups::say(&mut bench, device, &format!("{wave} by {device}")).unwrap();
        }
        assert_ne!(head(&mut bench, 0), head(&mut bench, 1));
        bench.relay.silent = false;
        bench.settle();
        bench.pass(MINUTE);
        groups::all_agree(&mut bench, &[0, 1, 3]);
    }
    for waiting in bench.relay.boxes.values_mut() {
        waiting.reverse();
        let once = waiting.clone();
        waiting.extend(once.iter().chain(&once).cloned().collect::<Vec<_>>());
    }
    bench.devices[2].listening = ears;
    bench.greet(2);
    bench.settle();
    bench.pass(2 * HOUR);
    groups::all_agree(&mut bench, &[0, 1, 2, 3]);
    assert_eq!(groups::texts(&mut bench, 2).len(), 2 * WAVES);
    assert_eq!(count(&mut bench, 2, "SELECT count(*) FROM alarm"), 0);
    groups::say(&mut bench, 2, "here I am").unwrap();
    bench.pass(MINUTE);
    assert!(groups::texts(&mut bench, 3).contains(&"here I am".to_owned()));
}
