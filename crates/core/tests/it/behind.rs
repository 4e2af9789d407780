//! Members who stayed behind: commits are put again for them by whoever has them.

use crate::bench::Bench;
use crate::devices::link;
use crate::forks::{change, number as count};
use crate::groups::{all_agree, chat, circle, create, head, remove, say};
use crate::halves::{self, Apart};
use crate::media::PHOTO;
use crate::picture::{seen, set};
use stonechat_core::api::{Command, GroupEdit};
use stonechat_wire::exchange::Class;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

const DAY: u64 = 24 * HOUR;

fn has(bench: &mut Bench, device: usize, text: &str) -> bool {
    count(
        bench,
        device,
        &format!("SELECT count(*) FROM message WHERE text = '{text}'"),
    ) == 1
}

/// The relay loses what it holds. Places stay, so cursors go on.
fn lose_all(bench: &mut Bench) {
    let all = bench.relay.boxes.values_mut().flatten();
    all.for_each(|envelope| envelope.clear());
}

/// Time goes by, and the relay says so to whoever reaches it.
pub(crate) fn days(bench: &mut Bench, days: u64) {
    for _ in 0..days {
        bench.pass(DAY);
        for device in (0..bench.devices.len())
            .filter(|device| !bench.devices[*device].cut)
            .collect::<Vec<_>>()
        {
            bench.greet(device);
        }
        bench.settle();
    }
}

pub(crate) fn come_home(bench: &mut Bench, device: usize) {
    lose_all(bench);
    bench.reconnect(device);
    bench.greet(device);
    bench.settle();
}

/// A group of four; the third goes away for a hundred days, and what happened meanwhile is lost or closed.
fn away() -> Bench {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    bench.pass(MINUTE);
    bench.devices[2].cut = true;
    for n in 0..20 {
        rename(&mut bench, 0, &format!("house {n}"));
        days(&mut bench, 2);
    }
    days(&mut bench, 60);
    bench
}

#[test]
fn a_device_that_was_away_too_long_comes_back_by_itself_grp_11() {
    let mut bench = away();
    say(&mut bench, 1, "while Cy is away").unwrap();
    say(&mut bench, 2, "out of the wood").unwrap();
    come_home(&mut bench, 2);
    bench.pass(50 * MINUTE);
    assert_ne!(head(&mut bench, 2), head(&mut bench, 0));
    let epochs = count(&mut bench, 0, "SELECT count(*) FROM epoch");
    bench.pass(HOUR);
    // Where their chat of two has forked meanwhile, and his branch has lost, the Welcome is put again within a day.
    days(&mut bench, 1);
    assert_eq!(head(&mut bench, 2), head(&mut bench, 0));
    assert_eq!(head(&mut bench, 2), head(&mut bench, 1));
    // proves: GRP-12
    assert!(count(&mut bench, 0, "SELECT count(*) FROM epoch") > epochs);
    say(&mut bench, 2, "I am back").unwrap();
    say(&mut bench, 3, "welcome").unwrap();
    bench.pass(MINUTE);
    assert!(has(&mut bench, 0, "I am back") && has(&mut bench, 3, "I am back"));
    assert!(has(&mut bench, 2, "welcome"));
    // What was written meanwhile, on both sides, was kept by who wrote it.
    days(&mut bench, 4);
    assert!(has(&mut bench, 2, "while Cy is away"));
    assert!(has(&mut bench, 0, "out of the wood") && has(&mut bench, 3, "out of the wood"));
    assert_eq!(
        count(&mut bench, 2, "SELECT count(*) FROM message WHERE complete = 0"),
        0
    );
    assert_eq!(
        count(&mut bench, 2, "SELECT silent FROM conversation WHERE grouped = 1"),
        0
    );
    let waiting = "SELECT count(*) FROM outbox WHERE purpose = 0";
    for device in 0..4 {
        assert_eq!(count(&mut bench, device, waiting), 0, "{device}");
    }
}

/// mdk #971: that a group cannot be followed is known in memory only, and a restart makes it hang for ever.
#[test]
fn a_device_that_is_behind_and_restarts_comes_back_all_the_same_grp_11() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    bench.pass(MINUTE);
    let ears = std::mem::take(&mut bench.devices[2].listening);
    rename(&mut bench, 0, "another house");
    bench.pass(2 * HOUR);
    bench.devices[2].listening = ears;
    lose_all(&mut bench);
    for device in [0, 1] {
        change(
            &mut bench,
            device,
            "DELETE FROM outbox WHERE purpose = 4; DELETE FROM original WHERE lane = 1",
        );
    }
    let silent = "SELECT silent FROM conversation WHERE grouped = 1";
    change(
        &mut bench,
        2,
        "UPDATE conversation SET heard_at = 0, created_at = 0 WHERE grouped = 1",
    );
    bench.greet(2);
    assert_eq!(count(&mut bench, 2, silent), 1);
    for _ in 0..4 {
        bench.devices[2].core.forget();
        let outputs = bench.devices[2].step(stonechat_core::Input::Started);
        bench.release(2, outputs);
        bench.settle();
        bench.pass(30 * MINUTE);
    }
    assert_eq!(head(&mut bench, 2), head(&mut bench, 0));
    assert_eq!(count(&mut bench, 2, silent), 0);
}

#[test]
fn an_only_owner_that_was_away_is_brought_back_by_the_first_of_the_others_grp_12() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    bench.pass(MINUTE);
    bench.devices[0].cut = true;
    days(&mut bench, 80);
    come_home(&mut bench, 0);
    bench.pass(2 * HOUR);
    days(&mut bench, 2);
    assert_eq!(head(&mut bench, 0), head(&mut bench, 1));
    assert_eq!(head(&mut bench, 0), head(&mut bench, 2));
    say(&mut bench, 0, "I am back").unwrap();
    bench.pass(MINUTE);
    assert!(has(&mut bench, 1, "I am back") && has(&mut bench, 2, "I am back"));
    assert_eq!(count(&mut bench, 1, "SELECT role FROM seat WHERE place = 0"), 0);
    rename(&mut bench, 0, "the owner owns it still");
    bench.pass(MINUTE);
    assert_eq!(
        count(
            &mut bench,
            2,
            "SELECT count(*) FROM chat WHERE name = 'the owner owns it still'"
        ),
        1
    );
}

#[test]
fn who_lacks_commits_that_others_keep_is_given_them_and_no_new_leaf_grp_12() {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    bench.pass(MINUTE);
    bench.devices[2].cut = true;
    for n in 0..3 {
        rename(&mut bench, 0, &format!("house {n}"));
        days(&mut bench, 3);
    }
    for device in [0, 1, 3] {
        change(&mut bench, device, "DELETE FROM outbox WHERE purpose = 4");
    }
    let signer = "SELECT hex(signer) FROM conversation WHERE grouped = 1";
    let leaf = |bench: &mut Bench| {
        let tx = bench.devices[2].store.begin().unwrap();
        tx.query_row(signer, [], |row| row.get::<_, String>(0)).unwrap()
    };
    let before = leaf(&mut bench);
    come_home(&mut bench, 2);
    bench.pass(2 * HOUR);
    assert_eq!(head(&mut bench, 2), head(&mut bench, 0));
    days(&mut bench, 2);
    assert_eq!(leaf(&mut bench), before);
}

#[test]
fn who_is_not_behind_hears_so_and_changes_nothing_grp_12() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    bench.pass(MINUTE);
    let before = head(&mut bench, 0);
    change(
        &mut bench,
        2,
        "UPDATE conversation SET heard_at = 0, created_at = 0 WHERE grouped = 1",
    );
    bench.greet(2);
    assert_eq!(
        count(&mut bench, 2, "SELECT silent FROM conversation WHERE grouped = 1"),
        1
    );
    bench.pass(2 * HOUR);
    assert_eq!(
        count(&mut bench, 2, "SELECT silent FROM conversation WHERE grouped = 1"),
        0
    );
    assert_eq!(head(&mut bench, 0), before);
}

#[test]
pub(crate) fn who_asks_all_the_time_gets_one_leaf_in_three_days_grp_12() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    bench.pass(MINUTE);
    let parent = hex::encode(head(&mut bench, 2));
    rename(&mut bench, 0, "another house");
    bench.pass(MINUTE);
    let made = "SELECT count(*) FROM epoch WHERE author = (SELECT account FROM account) AND class = 1";
    let before = count(&mut bench, 0, made);
    for _ in 0..6 {
        // A program that says it stands where nobody can help it.
        change(
            &mut bench,
            0,
            "DELETE FROM standing; DELETE FROM original WHERE lane = 1",
        );
        let again = format!("UPDATE conversation SET head = x'{parent}', silent = 1, ask_at = 0 WHERE grouped = 1");
        change(&mut bench, 2, &again);
        let outputs = bench.devices[2].step(stonechat_core::Input::Wake);
        bench.release(2, outputs);
        bench.settle();
        bench.pass(30 * MINUTE);
    }
    assert_eq!(count(&mut bench, 0, made) - before, 1);
}

#[test]
fn who_was_added_again_does_not_wait_for_what_it_could_not_read_cnv_6() {
    let mut bench = circle(10);
    create(&mut bench, &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    bench.pass(MINUTE);
    let ears = std::mem::take(&mut bench.devices[2].listening);
    rename(&mut bench, 0, "another house");
    say(&mut bench, 1, "missed").unwrap();
    bench.pass(2 * HOUR);
    bench.devices[2].listening = ears;
    lose_all(&mut bench);
    bench.settle();
    // Three others have what Cy missed: nobody keeps it for Cy any more.
    for device in [0, 1] {
        change(
            &mut bench,
            device,
            "DELETE FROM outbox WHERE purpose IN (0, 4); DELETE FROM original WHERE lane = 1",
        );
    }
    change(
        &mut bench,
        2,
        "UPDATE conversation SET silent = 1, ask_at = 0 WHERE grouped = 1",
    );
    let outputs = bench.devices[2].step(stonechat_core::Input::Wake);
    bench.release(2, outputs);
    bench.settle();
    bench.pass(30 * MINUTE);
    assert_eq!(head(&mut bench, 2), head(&mut bench, 1));
    say(&mut bench, 1, "after").unwrap();
    bench.pass(HOUR);
    assert!(has(&mut bench, 2, "after") && !has(&mut bench, 2, "missed"));
    assert_eq!(
        count(&mut bench, 2, "SELECT count(*) FROM message WHERE complete = 0"),
        0
    );
}

/// Cy gets a new leaf in Ana's half, and the other half wins: there Cy's old one stands, and Cy does not follow with it.
#[test]
fn who_got_a_leaf_beside_the_head_is_brought_back_once_more_grp_12() {
    let mut apart = Apart::between(halves::group(), [&[0, 2], &[1, 3, 4]]);
    apart.work(1, |bench| drop(remove(bench, 1, &[5]).unwrap()));
    apart.work(0, |bench| {
        let ears = std::mem::take(&mut bench.devices[2].listening);
        rename(bench, 0, "another house");
        bench.pass(2 * HOUR);
        bench.devices[2].listening = ears;
        lose_all(bench);
        let lost = "DELETE FROM outbox WHERE purpose IN (0, 4); DELETE FROM original WHERE lane = 1";
        change(bench, 0, lost);
        cannot_follow(bench, 2);
        assert_eq!(head(bench, 2), head(bench, 0));
    });
    let mut bench = apart.meet();
    assert_ne!(head(&mut bench, 2), head(&mut bench, 0));
    bench.pass(3 * DAY);
    cannot_follow(&mut bench, 2);
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 1, 2, 3, 4]);
    say(&mut bench, 2, "back").unwrap();
    bench.pass(HOUR);
    assert!(has(&mut bench, 1, "back"));
}

#[test]
fn two_who_have_not_met_for_a_hundred_days_go_on_where_they_were_epo_4() {
    let mut bench = Bench::friends();
    bench.say(0, 1, "before");
    bench.pass(MINUTE);
    bench.devices[1].cut = true;
    bench.say(0, 1, "to one who is away");
    bench.say(1, 1, "from one who is away");
    days(&mut bench, 100);
    come_home(&mut bench, 1);
    bench.pass(3 * DAY);
    assert_eq!(bench.texts(0).len(), 3, "{:?}", bench.texts(0));
    assert_eq!(bench.texts(1).len(), 3, "{:?}", bench.texts(1));
    bench.say(1, 1, "after");
    bench.pass(MINUTE);
    assert_eq!(bench.texts(0).last().unwrap(), "after");
}

pub(crate) fn rename(bench: &mut Bench, device: usize, name: &str) {
    let wish = GroupEdit {
        chat: chat(bench, device),
        name: Some(name.into()),
        description: None,
        may_write: None,
        may_add: None,
        may_edit: None,
    };
    bench.ask(device, Command::GroupEdit(wish)).unwrap();
}

/// Commits that this device has handed out.
fn commits(bench: &Bench, device: usize) -> usize {
    let parcels = bench.devices[device].sent.iter();
    parcels
        .filter(|parcel| parcel.ttl_s == 60 * 24 * 3600 && parcel.class == Class::Text)
        .count()
}

/// A group of four; the first makes a commit that the third never gets, and goes away.
fn left_behind() -> Bench {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    bench.pass(MINUTE);
    let ears = std::mem::take(&mut bench.devices[2].listening);
    rename(&mut bench, 0, "another house");
    bench.lose_commits(0);
    bench.devices[0].cut = true;
    bench.devices[2].listening = ears;
    bench
}

#[test]
pub(crate) fn a_commit_whose_author_is_away_is_put_again_by_one_of_the_others_epo_7() {
    let mut bench = left_behind();
    bench.pass(2 * HOUR);
    assert_ne!(head(&mut bench, 2), head(&mut bench, 1));
    let before = commits(&bench, 1) + commits(&bench, 3);
    say(&mut bench, 2, "where is everybody?").unwrap();
    bench.pass(9 * MINUTE);
    assert_ne!(
        head(&mut bench, 2),
        head(&mut bench, 1),
        "it has ten minutes to catch up by itself"
    );
    bench.pass(2 * MINUTE);
    assert_eq!(head(&mut bench, 2), head(&mut bench, 1));
    assert_eq!(commits(&bench, 1) + commits(&bench, 3) - before, 1, "one is enough");
}

#[test]
fn a_commit_is_put_for_others_once_a_day_epo_7() {
    let mut bench = left_behind();
    bench.devices[2].listening.clear();
    bench.pass(2 * HOUR);
    let before = commits(&bench, 1) + commits(&bench, 3);
    for n in 0..8 {
        say(&mut bench, 2, &format!("{n}")).unwrap();
        bench.pass(20 * MINUTE);
    }
    assert!(commits(&bench, 1) + commits(&bench, 3) - before <= 2, "each once");
}

#[test]
fn nobody_puts_a_commit_again_that_is_new_or_was_followed_meanwhile_epo_7() {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    bench.pass(MINUTE);
    let ears = std::mem::take(&mut bench.devices[2].listening);
    rename(&mut bench, 0, "another house");
    say(&mut bench, 2, "I know nothing of it yet").unwrap();
    bench.devices[2].listening = ears.clone();
    bench.settle();
    bench.pass(30 * MINUTE);
    bench.devices[2].listening.clear();
    rename(&mut bench, 0, "a third house");
    bench.pass(2 * HOUR);
    let before: usize = (0..4).map(|device| commits(&bench, device)).sum();
    say(&mut bench, 2, "nor of that").unwrap();
    bench.devices[2].core.forget();
    let outputs = bench.devices[2].step(stonechat_core::Input::Started);
    bench.release(2, outputs);
    bench.settle();
    assert_eq!(head(&mut bench, 2), head(&mut bench, 1));
    bench.pass(HOUR);
    let after: usize = (0..4).map(|device| commits(&bench, device)).sum();
    assert_eq!(before, after);
}

// --- A linked device (OWN-11) ---

/// Heads of all conversations with others, by group.
fn heads(bench: &mut Bench, device: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let tx = bench.devices[device].store.begin().unwrap();
    let mut rows = tx
        .prepare("SELECT group_id, head FROM conversation WHERE own = 0 ORDER BY group_id")
        .unwrap();
    let heads = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    heads.collect::<Result<_, _>>().unwrap()
}

/// A group of three; the second one, who is no admin and knows only the owner, has a laptop (3).
fn with_laptop() -> Bench {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    assert_eq!(link(&mut bench, 1), 3);
    bench.pass(MINUTE);
    bench
}

#[test]
fn a_linked_device_that_was_away_too_long_gets_another_leaf_from_the_home_device_own_11() {
    let mut bench = with_laptop();
    bench.devices[3].cut = true;
    for n in 0..3 {
        rename(&mut bench, 0, &format!("house {n}"));
        days(&mut bench, 2);
    }
    // Commits are kept for 60 days.
    days(&mut bench, 61);
    say(&mut bench, 3, "out of the wood").unwrap();
    come_home(&mut bench, 3);
    days(&mut bench, 2);
    assert_eq!(heads(&mut bench, 3), heads(&mut bench, 1));
    assert_eq!(head(&mut bench, 3), head(&mut bench, 0));
    say(&mut bench, 2, "are you back?").unwrap();
    say(&mut bench, 3, "yes").unwrap();
    bench.pass(HOUR);
    // What it wrote meanwhile waited, and is said where the group is.
    for (device, text) in [
        (3, "are you back?"),
        (0, "yes"),
        (2, "yes"),
        (0, "out of the wood"),
        (1, "out of the wood"),
    ] {
        assert!(has(&mut bench, device, text), "{device}: {text}");
    }
    let late = "SELECT count(*) FROM message WHERE late = 1";
    assert_eq!([0, 1, 2, 3].map(|device| count(&mut bench, device, late)), [0; 4]);
    let alarms = "SELECT count(*) FROM alarm";
    assert_eq!([0, 1, 2, 3].map(|device| count(&mut bench, device, alarms)), [0; 4]);
}

/// A device says of the group that it cannot follow.
fn cannot_follow(bench: &mut Bench, device: usize) {
    let silent = "UPDATE conversation SET silent = 1, ask_at = 0 WHERE grouped = 1";
    change(bench, device, silent);
    let outputs = bench.devices[device].step(stonechat_core::Input::Wake);
    bench.release(device, outputs);
    bench.settle();
    bench.pass(30 * MINUTE);
}

const LEAVES_GIVEN: &str = "SELECT count(*) FROM epoch WHERE author = (SELECT account FROM account) AND class = 1";

#[test]
pub(crate) fn a_linked_device_that_asks_all_the_time_gets_one_leaf_in_three_days_own_11() {
    let mut bench = with_laptop();
    let parent = hex::encode(head(&mut bench, 3));
    rename(&mut bench, 0, "another house");
    bench.pass(MINUTE);
    let before = count(&mut bench, 1, LEAVES_GIVEN);
    for _ in 0..6 {
        let again = format!("UPDATE conversation SET head = x'{parent}' WHERE grouped = 1");
        change(&mut bench, 3, &again);
        cannot_follow(&mut bench, 3);
    }
    assert_eq!(count(&mut bench, 1, LEAVES_GIVEN) - before, 1);
}

#[test]
fn a_leaf_is_given_by_the_home_device_and_only_where_it_stands_further_own_11() {
    let mut bench = with_laptop();
    let before = [1, 3].map(|device| count(&mut bench, device, LEAVES_GIVEN));
    let ears = std::mem::take(&mut bench.devices[1].listening);
    rename(&mut bench, 0, "another house");
    lose_all(&mut bench);
    bench.devices[1].listening = ears;
    assert_ne!(head(&mut bench, 1), head(&mut bench, 3), "the laptop is ahead");
    cannot_follow(&mut bench, 3);
    // The first device takes the laptop for its home, and asks there.
    let log = {
        let db = bench.devices[1].store.begin().unwrap();
        let log: Vec<u8> = db
            .query_row("SELECT device_log FROM account", [], |row| row.get(0))
            .unwrap();
        let mut log = stonechat_wire::card::DeviceLog::decode(&log).unwrap();
        log.entries.reverse();
        hex::encode(log.encode())
    };
    let linked = format!("UPDATE account SET seed = NULL, device_log = x'{log}'");
    change(&mut bench, 1, &linked);
    bench.devices[1].core.forget();
    cannot_follow(&mut bench, 1);
    let heard = "SELECT count(*) FROM own_behind";
    assert_eq!([1, 3].map(|device| count(&mut bench, device, heard)), [0, 0]);
    assert_eq!([1, 3].map(|device| count(&mut bench, device, LEAVES_GIVEN)), before);
}

#[test]
fn with_another_leaf_comes_the_groups_picture_grp_21() {
    let mut bench = with_laptop();
    let ears = std::mem::take(&mut bench.devices[3].listening);
    set(&mut bench, 0, Some(PHOTO)).unwrap();
    bench.pass(2 * HOUR);
    bench.devices[3].listening = ears;
    lose_all(&mut bench);
    for device in 0..3 {
        change(&mut bench, device, "DELETE FROM outbox; DELETE FROM original");
    }
    cannot_follow(&mut bench, 3);
    assert_eq!(heads(&mut bench, 3), heads(&mut bench, 1));
    assert!(seen(&mut bench, 3).as_deref() == Some(PHOTO));
}

/// Its own renewal, due long ago, would have been a fork on an epoch that the others have closed by now (RNW-5).
#[test]
fn a_linked_device_that_was_off_for_thirty_five_days_walks_to_the_others_own_11() {
    let mut bench = with_laptop();
    let leaf = "SELECT leaf FROM conversation WHERE grouped = 1";
    let before = count(&mut bench, 3, leaf);
    bench.greet(3);
    let ears = std::mem::take(&mut bench.devices[3].listening);
    for n in 0..5 {
        rename(&mut bench, 0, &format!("house {n}"));
        say(&mut bench, 2, &format!("week {n}")).unwrap();
        bench.devices[3].wake_at = None;
        bench.pass(7 * DAY);
        (0..3).for_each(|device| bench.greet(device));
    }
    bench.devices[3].listening = ears;
    let commits_of_mine = "SELECT count(*) FROM outbox WHERE purpose = 4";
    let waiting = count(&mut bench, 3, commits_of_mine);
    let outputs = bench.devices[3].step(stonechat_core::Input::Started);
    bench.release(3, outputs);
    assert_eq!(
        count(&mut bench, 3, commits_of_mine),
        waiting,
        "it commits before it reads"
    );
    bench.greet(3);
    bench.settle();
    assert_eq!(heads(&mut bench, 3), heads(&mut bench, 1));
    days(&mut bench, 2);
    assert_eq!(heads(&mut bench, 3), heads(&mut bench, 1));
    // proves: MBX-5 (of what became known only now the weeks before are read too)
    (0..5).for_each(|n| assert!(has(&mut bench, 3, &format!("week {n}")), "week {n}"));
    assert_eq!(count(&mut bench, 3, leaf), before, "nobody gave it another leaf");
    assert_eq!(count(&mut bench, 1, "SELECT count(*) FROM own_behind"), 0);
}

/// Where three confirm for all, nobody waits for one who is away: what was written lies at the relay, in epochs that all
/// become known to it at once, for the first commit is gone and the others come with it (EPO-8).
#[test]
fn one_of_nine_who_was_off_for_sixteen_days_has_all_that_was_written_mbx_5_epo_10() {
    const OFF: usize = 8;
    const DAYS: usize = 16;
    let mut bench = circle(OFF + 1);
    create(&mut bench, &(1..=OFF).collect::<Vec<_>>());
    bench.pass(HOUR);
    bench.greet(OFF);
    let ears = std::mem::take(&mut bench.devices[OFF].listening);
    for n in 0..DAYS {
        rename(&mut bench, 0, &format!("house {n}"));
        say(&mut bench, n % OFF, &format!("day {n}")).unwrap();
        bench.devices[OFF].wake_at = None;
        bench.pass(DAY);
        (0..OFF).for_each(|device| bench.greet(device));
    }
    let known = "SELECT count(*) FROM epoch JOIN conversation USING (group_id) WHERE grouped = 1";
    let before = count(&mut bench, OFF, known);
    lose_commits(&mut bench, OFF);
    bench.devices[OFF].listening = ears;
    let outputs = bench.devices[OFF].step(stonechat_core::Input::Started);
    bench.release(OFF, outputs);
    bench.greet(OFF);
    bench.settle();
    assert_eq!(count(&mut bench, OFF, known), before, "it reads no commit");
    say(&mut bench, OFF, "where are you all?").unwrap();
    bench.pass(2 * HOUR);
    assert_eq!(head(&mut bench, OFF), head(&mut bench, 0));
    let walked = count(&mut bench, OFF, known) - before;
    assert!(walked > 40, "{walked} commits: too few to show that none goes unread");
    (0..DAYS).for_each(|n| assert!(has(&mut bench, OFF, &format!("day {n}")), "day {n}"));
}

/// The relay has none of the commits any more that this device would read next in its groups.
fn lose_commits(bench: &mut Bench, device: usize) {
    let tx = bench.devices[device].store.begin().unwrap();
    let sql =
        "SELECT l.tag FROM listening l JOIN conversation v ON v.head = l.about WHERE l.purpose = 3 AND v.grouped = 1";
    let mut rows = tx.prepare(sql).unwrap();
    let tags = rows.query_map([], |row| row.get::<_, [u8; 16]>(0)).unwrap();
    for tag in tags {
        let there = bench.relay.boxes.get_mut(&tag.unwrap().into());
        there.into_iter().flatten().for_each(Vec::clear);
    }
}
