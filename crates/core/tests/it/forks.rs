//! Commits and forks between two: renewal, rivals, and what is kept.

use crate::bench::{Bench, START};
use stonechat_core::Input;
use stonechat_core::api::AlarmKind;
use stonechat_wire::exchange::Class;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// Changes a device's database behind its back.
pub(crate) fn change(bench: &mut Bench, device: usize, sql: &str) {
    let tx = bench.devices[device].store.begin().unwrap();
    tx.execute_batch(sql).unwrap();
    tx.commit().unwrap();
    bench.devices[device].core.forget();
}

/// One number out of a device's database.
pub(crate) fn number(bench: &mut Bench, device: usize, sql: &str) -> i64 {
    let tx = bench.devices[device].store.begin().unwrap();
    tx.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn head(bench: &mut Bench, device: usize) -> Vec<u8> {
    let tx = bench.devices[device].store.begin().unwrap();
    tx.query_row("SELECT head FROM conversation", [], |row| row.get(0))
        .unwrap()
}

/// The epochs from the head back to the root.
fn branch(bench: &mut Bench, device: usize) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let tx = bench.devices[device].store.begin().unwrap();
    let sql = "WITH RECURSIVE back(id, up, by) AS (
                   SELECT epoch_id, parent, author FROM epoch WHERE epoch_id = (SELECT head FROM conversation)
                   UNION ALL SELECT e.epoch_id, e.parent, e.author FROM epoch e JOIN back ON e.epoch_id = back.up)
               SELECT id, by FROM back";
    let mut rows = tx.prepare(sql).unwrap();
    rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

fn account(bench: &mut Bench, device: usize) -> Vec<u8> {
    let tx = bench.devices[device].store.begin().unwrap();
    tx.query_row("SELECT account FROM account", [], |row| row.get(0))
        .unwrap()
}

/// Makes a device renew its keys in this step.
pub(crate) fn renew(bench: &mut Bench, device: usize) {
    change(bench, device, "UPDATE conversation SET renew_at = 0, commit_at = 0");
    let outputs = bench.devices[device].step(Input::Wake);
    bench.release(device, outputs);
}

/// Both renew without hearing of each other, write, and meet again. Out: the epoch where they forked.
fn forked() -> (Bench, Vec<u8>) {
    let mut bench = Bench::friends();
    bench.say(0, 1, "before");
    bench.pass(HOUR);
    let parent = head(&mut bench, 0);
    bench.relay.silent = true;
    for device in [0, 1] {
        renew(&mut bench, device);
        bench.say(device, 1, &format!("on the branch of {device}"));
    }
    assert_ne!(head(&mut bench, 0), head(&mut bench, 1));
    bench.relay.silent = false;
    (bench, parent)
}

#[test]
fn after_a_fork_both_have_every_message_and_write_to_one_branch_epo_1() {
    let (mut bench, _) = forked();
    bench.settle();
    bench.pass(HOUR);
    assert_eq!(head(&mut bench, 0), head(&mut bench, 1));
    for (device, mine) in [(0, "> on the branch of 0"), (1, "> on the branch of 1")] {
        let texts = bench.texts(device);
        assert_eq!(texts.len(), 3, "{texts:?}");
        assert!(texts.contains(&mine.to_owned()));
    }
    bench.say(0, 1, "after");
    bench.pass(HOUR);
    assert_eq!(bench.texts(1).last().unwrap(), "after");
    assert!(bench.states(0).iter().all(|state| *state == 2));
    assert!(bench.states(1).iter().all(|state| *state == 2));
}

#[test]
fn what_was_written_on_a_branch_that_lost_and_nobody_saw_arrives_soon_out_5() {
    let (mut bench, _) = forked();
    let hash = |bench: &mut Bench, device: usize| {
        let tx = bench.devices[device].store.begin().unwrap();
        let sql = "SELECT commit_hash FROM epoch WHERE epoch_id = (SELECT head FROM conversation)";
        tx.query_row(sql, [], |row| row.get::<_, Vec<u8>>(0)).unwrap()
    };
    let loser = usize::from(hash(&mut bench, 0) < hash(&mut bench, 1));
    bench.lose_commits(loser);
    bench.settle();
    bench.pass(61_000);
    let text = format!("on the branch of {loser}");
    assert!(bench.texts(1 - loser).contains(&text), "{:?}", bench.texts(1 - loser));
}

#[test]
fn a_renewal_that_lost_is_made_up_for_before_its_device_writes_rnw_4() {
    let (mut bench, parent) = forked();
    bench.settle();
    bench.pass(1_000);
    let winner = branch(&mut bench, 0)
        .into_iter()
        .rev()
        .find_map(|(epoch, by)| (epoch != parent).then_some(by).flatten())
        .unwrap();
    let loser = usize::from(winner != account(&mut bench, 1));
    // Receipts are writing too: by now the loser has made up for it, on the winner's branch.
    bench.say(loser, 1, "I write");
    let loser_account = account(&mut bench, loser);
    let made = branch(&mut bench, loser);
    let renewals = made
        .iter()
        .filter(|(_, by)| by.as_ref() == Some(&loser_account))
        .count();
    assert_eq!(renewals, 1, "{made:?}");
    assert_eq!(number(&mut bench, loser, "SELECT renew_lost FROM conversation"), 0);
    bench.pass(HOUR);
    assert_eq!(head(&mut bench, 0), head(&mut bench, 1));
}

#[test]
fn each_device_renews_daily_whether_anybody_writes_or_not_rnw_1() {
    let mut bench = Bench::friends();
    bench.pass(23 * HOUR);
    assert_eq!(
        number(&mut bench, 0, "SELECT count(*) FROM epoch WHERE parent IS NOT NULL"),
        0
    );
    bench.pass(20 * HOUR);
    for device in [0, 1] {
        let me = hex::encode(account(&mut bench, device));
        let sql = format!("SELECT count(*) FROM epoch WHERE author = x'{me}'");
        for of in [0, 1] {
            let made = number(&mut bench, of, &sql);
            assert!((1..=2).contains(&made), "{made}");
        }
    }
    assert_eq!(head(&mut bench, 0), head(&mut bench, 1));
    // proves: EPO-6
    bench.pass(HOUR);
    for device in [0, 1] {
        assert_eq!(
            number(&mut bench, device, "SELECT count(*) FROM outbox WHERE purpose <> 7"),
            0
        );
    }
    // proves: OUT-6
    let commits = bench.devices[0]
        .sent
        .iter()
        .filter(|parcel| parcel.ttl_s == 60 * 24 * 3600 && parcel.class == Class::Text);
    assert!(commits.count() >= 1);
}

#[test]
fn who_waits_for_approval_renews_nothing_rnw_1() {
    let mut bench = Bench::with(2);
    let invite = bench.invite(0, stonechat_core::api::Who::Family, stonechat_core::api::How::Plain);
    bench.accept(1, &invite.link, None).unwrap();
    bench.pass(40 * HOUR);
    for device in [0, 1] {
        assert_eq!(
            number(
                &mut bench,
                device,
                "SELECT count(*) FROM epoch WHERE parent IS NOT NULL"
            ),
            0
        );
    }
}

#[test]
fn a_renewal_waits_for_three_quiet_hours_and_eight_a_day_are_enough_rnw_2() {
    let mut bench = Bench::friends();
    renew(&mut bench, 0);
    bench.settle();
    let at = bench.devices[1].now;
    change(&mut bench, 1, "UPDATE conversation SET renew_at = 0");
    let outputs = bench.devices[1].step(Input::Wake);
    bench.release(1, outputs);
    bench.pass(2 * HOUR + HOUR / 2);
    assert_eq!(
        number(&mut bench, 1, "SELECT count(*) FROM epoch WHERE parent IS NOT NULL"),
        1
    );
    assert!(number(&mut bench, 1, "SELECT renew_at FROM conversation") > i64::try_from(at + 2 * HOUR).unwrap());
    bench.pass(5 * HOUR);
    assert_eq!(
        number(&mut bench, 1, "SELECT count(*) FROM epoch WHERE parent IS NOT NULL"),
        2
    );
    for _ in 0..20 {
        renew(&mut bench, 0);
        bench.settle();
        bench.pass(6_000);
    }
    assert_eq!(
        number(&mut bench, 1, "SELECT count(*) FROM epoch WHERE parent IS NOT NULL"),
        8
    );
}

#[test]
fn who_is_not_answered_stops_renewing_rnw_3() {
    let mut bench = Bench::friends();
    let deaf: Vec<_> = [0, 1]
        .map(|device| std::mem::take(&mut bench.devices[device].listening))
        .into();
    bench.pass(10 * DAY);
    for device in [0, 1] {
        assert_eq!(
            number(
                &mut bench,
                device,
                "SELECT count(*) FROM epoch WHERE parent IS NOT NULL"
            ),
            2
        );
    }
    for (device, listening) in deaf.into_iter().enumerate() {
        bench.devices[device].listening.extend(listening);
    }
    bench.settle();
    bench.pass(2 * DAY);
    assert_eq!(head(&mut bench, 0), head(&mut bench, 1));
}

#[test]
fn the_same_commit_again_changes_nothing_epo_3() {
    let mut bench = Bench::friends();
    bench.devices[1].listening.clear(); // hears nothing, so that the commit is sealed anew
    renew(&mut bench, 0);
    bench.settle();
    bench.pass(30 * HOUR);
    assert!(
        bench.devices[0]
            .sent
            .iter()
            .filter(|parcel| parcel.ttl_s == 60 * 24 * 3600 && parcel.class == Class::Text)
            .count()
            >= 2
    );
    bench.devices[1].core.forget();
    let outputs = bench.devices[1].step(Input::Started);
    bench.release(1, outputs);
    bench.settle();
    bench.pass(HOUR);
    let known = "SELECT count(*) FROM (SELECT DISTINCT parent, commit_hash FROM epoch WHERE parent IS NOT NULL)";
    let all = "SELECT count(*) FROM epoch WHERE parent IS NOT NULL";
    assert_eq!(number(&mut bench, 1, known), number(&mut bench, 1, all));
    assert_eq!(head(&mut bench, 0), head(&mut bench, 1));
}

#[test]
pub(crate) fn at_most_32_epochs_keep_keys_and_what_waits_in_a_closed_one_comes_at_the_head_epo_4() {
    let mut bench = Bench::friends();
    renew(&mut bench, 1);
    bench.settle();
    bench.relay.silent = true;
    bench.say(0, 1, "from long ago");
    let lost = bench.devices[0].sent.last().unwrap().envelope.clone();
    for mailbox in bench.relay.boxes.values_mut() {
        mailbox.retain(|bytes| bytes != lost.bytes());
    }
    bench.relay.silent = false;
    for _ in 0..40 {
        bench.pass(3 * HOUR);
        renew(&mut bench, 1);
        bench.settle();
    }
    for device in [0, 1] {
        let open = number(
            &mut bench,
            device,
            "SELECT count(*) FROM epoch WHERE mailbox_root IS NOT NULL",
        );
        assert!(open <= 32, "{open}");
        let objects = number(&mut bench, device, "SELECT count(DISTINCT object) FROM epoch_row");
        assert_eq!(objects, open);
        assert!(number(&mut bench, device, "SELECT count(*) FROM epoch") <= open + 2);
    }
    bench.pass(2 * DAY);
    // proves: MSG-8
    assert_eq!(bench.texts(1), ["from long ago"]);
    assert_eq!(bench.states(0), [2]);
    bench.pass(70 * DAY);
    assert!(bench.devices[0].now > START + 70 * DAY);
    let old = "SELECT count(*) FROM epoch WHERE mailbox_root IS NOT NULL AND left_at < (SELECT max(made_at) FROM epoch) - 31 * 86400000
               AND epoch_id <> (SELECT head FROM conversation)";
    assert_eq!(number(&mut bench, 0, old), 0);
}

#[test]
pub(crate) fn of_three_commits_by_one_member_on_one_epoch_the_two_lowest_are_kept_epo_5() {
    let mut bench = Bench::friends();
    let parent = hex::encode(head(&mut bench, 1));
    for _ in 0..3 {
        renew(&mut bench, 1);
        // Bo's device goes back to where it was, and makes another commit on the same epoch.
        change(
            &mut bench,
            1,
            &format!(
                "UPDATE conversation SET head = x'{parent}';
                 DELETE FROM outbox; DELETE FROM epoch WHERE parent IS NOT NULL;
                 DELETE FROM epoch_row WHERE object <> x'{parent}'"
            ),
        );
    }
    bench.settle();
    let rivals = format!("SELECT count(*) FROM epoch WHERE parent = x'{parent}'");
    assert_eq!(number(&mut bench, 0, &rivals), 2);
    let lowest = format!("SELECT epoch_id FROM epoch WHERE parent = x'{parent}' ORDER BY commit_hash LIMIT 1");
    let tx = bench.devices[0].store.begin().unwrap();
    let lowest: Vec<u8> = tx.query_row(&lowest, [], |row| row.get(0)).unwrap();
    drop(tx);
    assert_eq!(head(&mut bench, 0), lowest);
}

/// Each rival has a child; those under a rival that is put out go with it, and the head is on what is left.
#[test]
fn what_descends_from_a_rival_that_was_put_out_keeps_no_keys_epo_5() {
    let mut bench = Bench::friends();
    let parent = hex::encode(head(&mut bench, 1));
    for _ in 0..6 {
        for _ in 0..2 {
            renew(&mut bench, 1);
            bench.settle();
        }
        let back = format!(
            "UPDATE conversation SET head = x'{parent}';
             DELETE FROM outbox; DELETE FROM epoch WHERE parent IS NOT NULL;
             DELETE FROM epoch_row WHERE object <> x'{parent}'"
        );
        change(&mut bench, 1, &back);
    }
    let put_out = "SELECT count(*) FROM epoch WHERE parent IS NULL AND commit_hash IS NOT NULL";
    assert!(number(&mut bench, 0, put_out) > 0);
    let below = "WITH RECURSIVE below(id) AS (
                     SELECT root FROM conversation UNION SELECT e.epoch_id FROM epoch e JOIN below ON e.parent = id)
                 SELECT id FROM below";
    let lost = format!("SELECT count(*) FROM epoch WHERE mailbox_root IS NOT NULL AND epoch_id NOT IN ({below})");
    assert_eq!(number(&mut bench, 0, &lost), 0);
    let there = format!("SELECT head IN ({below}) FROM conversation");
    assert_eq!(number(&mut bench, 0, &there), 1);
}

/// What this device tells about the keys of its only chat.
fn alarms(bench: &mut Bench, device: usize) -> Vec<(AlarmKind, String)> {
    alarms_in(bench, device, 1)
}

pub(crate) fn alarms_in(bench: &mut Bench, device: usize, chat: i64) -> Vec<(AlarmKind, String)> {
    let tx = bench.devices[device].store.begin().unwrap();
    let chat = stonechat_core::query::load_chat(&tx, chat).unwrap().unwrap();
    chat.alarms.into_iter().map(|alarm| (alarm.kind, alarm.name)).collect()
}

#[test]
pub(crate) fn two_commits_by_one_member_on_one_epoch_are_shown_to_everybody_alm_1() {
    let mut bench = Bench::friends();
    let parent = hex::encode(head(&mut bench, 1));
    renew(&mut bench, 1);
    bench.settle();
    bench.pass(HOUR);
    assert_eq!(alarms(&mut bench, 0), []);
    // Bo's device goes back to where it was, and makes another commit on the same epoch.
    let back = format!(
        "UPDATE conversation SET head = x'{parent}';
         DELETE FROM outbox; DELETE FROM epoch WHERE parent IS NOT NULL; DELETE FROM epoch_row WHERE object <> x'{parent}'"
    );
    change(&mut bench, 1, &back);
    renew(&mut bench, 1);
    bench.settle();
    assert_eq!(alarms(&mut bench, 0), [(AlarmKind::TwoCommits, "Bo".to_owned())]);
    bench.pass(HOUR);
    let told = bench.devices[0]
        .events
        .iter()
        .filter(|event| matches!(event, stonechat_core::api::Event::ChatChanged { chat } if !chat.alarms.is_empty()));
    assert!(told.count() > 0);
    assert_eq!(number(&mut bench, 0, "SELECT count(*) FROM alarm"), 1);
}

#[test]
pub(crate) fn a_commit_by_my_leaf_that_i_did_not_make_is_shown_alm_2() {
    let mut bench = Bench::friends();
    let parent = hex::encode(head(&mut bench, 1));
    renew(&mut bench, 1);
    bench.settle();
    bench.pass(HOUR);
    assert_eq!(alarms(&mut bench, 1), [], "its own echo is none");
    // It was made by a copy of Bo's device: this one has never seen it.
    let forget = format!(
        "UPDATE conversation SET head = x'{parent}'; UPDATE listening SET cursor = 0; DELETE FROM envelope_seen;
         DELETE FROM outbox; DELETE FROM epoch WHERE parent IS NOT NULL; DELETE FROM epoch_row WHERE object <> x'{parent}'"
    );
    change(&mut bench, 1, &forget);
    for cursor in bench.devices[1].listening.values_mut() {
        *cursor = 0;
    }
    bench.settle();
    assert_eq!(alarms(&mut bench, 1), [(AlarmKind::NotMine, "Bo".to_owned())]);
    assert_eq!(
        number(&mut bench, 1, "SELECT count(*) FROM epoch"),
        1,
        "it is not followed"
    );
}

#[test]
fn who_reaches_no_relay_does_not_renew_rnw_5() {
    let mut bench = Bench::friends();
    bench.pass(6_000);
    bench.devices[0].cut = true;
    bench.say(0, 1, "waits");
    bench.pass(40 * 3_600_000);
    let waiting = "SELECT count(*) FROM outbox WHERE purpose = 4";
    assert_eq!(number(&mut bench, 0, waiting), 0);
    bench.reconnect(0);
    let renewed = "SELECT count(*) FROM epoch WHERE leaf = (SELECT leaf FROM conversation)";
    assert_eq!(number(&mut bench, 0, renewed), 0);
    bench.pass(10 * 3_600_000);
    assert_eq!(number(&mut bench, 0, renewed), 1);
}

#[test]
fn nobody_makes_a_second_commit_on_one_epoch_rnw_6() {
    let mut bench = Bench::friends();
    bench.pass(6_000);
    let due = "UPDATE conversation SET renew_at = 0, commit_at = 0";
    change(&mut bench, 0, due);
    renew(&mut bench, 0);
    let made = "SELECT count(*) FROM epoch WHERE author = (SELECT account FROM account)";
    assert_eq!(number(&mut bench, 0, made), 1);
    // As if that one were void: the head is where it was.
    let back =
        "UPDATE conversation SET head = (SELECT parent FROM epoch WHERE epoch_id = head), renew_at = 0, commit_at = 0";
    change(&mut bench, 0, back);
    renew(&mut bench, 0);
    assert_eq!(number(&mut bench, 0, made), 1);
}

/// mdk #706: a committer cannot take in its own commit again, and after a restart stays on it for ever.
#[test]
fn a_committer_that_restarts_before_it_hears_of_a_rival_follows_the_winner_epo_1() {
    let (mut bench, _) = forked();
    for device in [0, 1] {
        bench.devices[device].core.forget();
        let outputs = bench.devices[device].step(Input::Started);
        bench.release(device, outputs);
    }
    bench.settle();
    bench.pass(HOUR);
    assert_eq!(head(&mut bench, 0), head(&mut bench, 1));
    assert!((0..2).all(|device| bench.texts(device).len() == 3));
    assert_eq!(alarms(&mut bench, 0), []);
    assert_eq!(alarms(&mut bench, 1), []);
}

/// marmot #375: who is about to be removed makes one renewal after the other, so that its branch is the longer one.
#[test]
fn whoever_renews_all_the_time_is_removed_all_the_same_fork_4() {
    use crate::groups::{all_agree, circle, create, head as head_of, remove};
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    bench.pass(HOUR);
    bench.devices[2].cut = true;
    for _ in 0..6 {
        let before = head_of(&mut bench, 2);
        renew(&mut bench, 2);
        assert_ne!(head_of(&mut bench, 2), before);
        // They are held back, and put all at once.
        change(&mut bench, 2, "UPDATE outbox SET purpose = 6 WHERE purpose = 4");
    }
    remove(&mut bench, 0, &[2]).unwrap();
    bench.reconnect(2);
    bench.pass(HOUR);
    let members = "SELECT accounts FROM conversation WHERE grouped = 1";
    for device in [0, 1] {
        assert_eq!(number(&mut bench, device, members), 2);
    }
    all_agree(&mut bench, &[0, 1]);
}
