//! Groups: founding, coming and going, who may do what, forks of membership.

use crate::bench::Bench;
use stonechat_core::Input;
use stonechat_core::api::{
    ByChat, Command, Fault, Group, GroupCreate, GroupEdit, GroupMembers, GroupRole, How, Init, Reply, Role, Send,
    Verify, Who,
};
use stonechat_wire::group::GroupState;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// Devices of whom all know the first.
pub(crate) fn circle(count: usize) -> Bench {
    let mut bench = Bench::with(count);
    for device in 1..count {
        let invite = bench.invite(0, Who::One, How::Plain);
        bench.accept(device, &invite.link, None).unwrap();
    }
    bench.pass(6_000);
    bench
}

pub(crate) fn account(bench: &mut Bench, device: usize) -> String {
    let tx = bench.devices[device].store.begin().unwrap();
    tx.query_row("SELECT lower(hex(account)) FROM account", [], |row| row.get(0))
        .unwrap()
}

pub(crate) fn number(bench: &mut Bench, device: usize, sql: &str) -> i64 {
    let tx = bench.devices[device].store.begin().unwrap();
    tx.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// The chat of the only group of a device.
pub(crate) fn chat(bench: &mut Bench, device: usize) -> i64 {
    number(bench, device, "SELECT chat FROM conversation WHERE grouped = 1")
}

pub(crate) fn head(bench: &mut Bench, device: usize) -> Vec<u8> {
    let tx = bench.devices[device].store.begin().unwrap();
    tx.query_row("SELECT head FROM conversation WHERE grouped = 1", [], |row| row.get(0))
        .unwrap()
}

pub(crate) fn group(reply: Result<Reply, Fault>) -> Result<Group, Fault> {
    match reply? {
        Reply::Group(group) => Ok(group),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn create(bench: &mut Bench, members: &[usize]) -> Group {
    let members = members.iter().map(|device| account(bench, *device)).collect();
    let made = bench.ask(
        0,
        Command::GroupCreate(GroupCreate {
            name: "house".into(),
            members,
            large: false,
        }),
    );
    bench.pass(6_000);
    group(made).unwrap()
}

fn members_of(bench: &mut Bench, by: usize, members: &[usize]) -> GroupMembers {
    GroupMembers {
        chat: chat(bench, by),
        members: members.iter().map(|device| account(bench, *device)).collect(),
    }
}

pub(crate) fn add(bench: &mut Bench, by: usize, members: &[usize]) -> Result<Group, Fault> {
    let wish = members_of(bench, by, members);
    group(bench.ask(by, Command::GroupAdd(wish)))
}

pub(crate) fn remove(bench: &mut Bench, by: usize, members: &[usize]) -> Result<Group, Fault> {
    let wish = members_of(bench, by, members);
    group(bench.ask(by, Command::GroupRemove(wish)))
}

pub(crate) fn give(bench: &mut Bench, by: usize, whom: usize, role: Role) -> Result<Group, Fault> {
    let wish = GroupRole {
        chat: chat(bench, by),
        member: account(bench, whom),
        role,
    };
    group(bench.ask(by, Command::GroupRole(wish)))
}

/// Every member may change the group's name, pins and timer.
pub(crate) fn let_all_edit(bench: &mut Bench, by: usize) {
    let edit = GroupEdit {
        chat: chat(bench, by),
        name: None,
        description: None,
        may_write: None,
        may_add: None,
        may_edit: Some(Role::Member),
    };
    bench.ask(by, Command::GroupEdit(edit)).unwrap();
}

pub(crate) fn say(bench: &mut Bench, device: usize, text: &str) -> Result<Reply, Fault> {
    let chat = chat(bench, device);
    bench.ask(
        device,
        Command::Send(Send {
            chat,
            text: text.into(),
            client_id: None,
            marked: false,
            reply_to: None,
        }),
    )
}

/// Texts of the group, `>` before own ones, `!` before late ones.
pub(crate) fn texts(bench: &mut Bench, device: usize) -> Vec<String> {
    let chat = chat(bench, device);
    let tx = bench.devices[device].store.begin().unwrap();
    let mut rows = tx
        .prepare("SELECT mine, text, late FROM message WHERE kind < 2 AND chat = ? ORDER BY position")
        .unwrap();
    let texts = rows.query_map([chat], |row| {
        let (mine, text, late): (bool, String, bool) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let marks = (if mine { "> " } else { "" }, if late { "! " } else { "" });
        Ok(format!("{}{}{text}", marks.0, marks.1))
    });
    texts.unwrap().collect::<Result<_, _>>().unwrap()
}

pub(crate) fn names(bench: &mut Bench, device: usize) -> Vec<String> {
    let tx = bench.devices[device].store.begin().unwrap();
    let mut rows = tx
        .prepare("SELECT name FROM seat WHERE place IS NOT NULL ORDER BY place")
        .unwrap();
    let names = rows.query_map([], |row| row.get(0)).unwrap();
    names.collect::<Result<_, _>>().unwrap()
}

pub(crate) fn all_agree(bench: &mut Bench, devices: &[usize]) {
    let first = head(bench, devices[0]);
    for device in devices {
        assert_eq!(head(bench, *device), first, "device {device}");
        let named = names(bench, devices[0]);
        assert_eq!(names(bench, *device), named);
    }
}

/// What only these devices do reaches nobody else until the relay carries everything again.
fn apart(bench: &mut Bench, body: impl FnOnce(&mut Bench)) {
    bench.relay.silent = true;
    body(bench);
    bench.relay.silent = false;
}

#[test]
fn everybody_of_a_group_reads_what_anybody_writes_grp_9() {
    let mut bench = circle(4);
    let made = create(&mut bench, &[1, 2, 3]);
    assert_eq!(made.members.len(), 4);
    all_agree(&mut bench, &[0, 1, 2, 3]);
    for device in 0..4 {
        say(&mut bench, device, &format!("from {device}")).unwrap();
        bench.pass(6_000);
    }
    for device in 0..4 {
        let wanted: Vec<String> = (0..4)
            .map(|from| format!("{}from {from}", if from == device { "> " } else { "" }))
            .collect();
        assert_eq!(texts(&mut bench, device), wanted);
    }
    // proves: OUT-7
    bench.pass(HOUR);
    for device in 0..4 {
        assert_eq!(
            number(&mut bench, device, "SELECT count(*) FROM outbox WHERE purpose <> 7"),
            0,
            "{device}"
        );
        let open = "SELECT count(*) FROM message WHERE mine = 1 AND kind = 0 AND state < 2";
        assert_eq!(number(&mut bench, device, open), 0);
    }
    assert_eq!(names(&mut bench, 2), ["Ana", "Bo", "Cy", "Di"]);
}

#[test]
fn a_message_is_delivered_when_everybody_has_it_out_7() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    let deaf = std::mem::take(&mut bench.devices[2].listening);
    say(&mut bench, 0, "heard by one").unwrap();
    bench.pass(HOUR);
    let state = "SELECT state FROM message WHERE mine = 1 AND kind = 0";
    assert_eq!(number(&mut bench, 0, state), 1);
    bench.devices[2].listening = deaf;
    bench.settle();
    bench.pass(HOUR);
    assert_eq!(number(&mut bench, 0, state), 2);
}

#[test]
fn who_comes_later_reads_what_is_written_from_then_on_grp_9() {
    let mut bench = circle(3);
    create(&mut bench, &[1]);
    say(&mut bench, 0, "before").unwrap();
    add(&mut bench, 0, &[2]).unwrap();
    bench.pass(6_000);
    say(&mut bench, 1, "after").unwrap();
    bench.pass(6_000);
    assert_eq!(texts(&mut bench, 2), ["after"]);
    assert_eq!(add(&mut bench, 0, &[2]).unwrap_err(), Fault::MemberAlready);
    // proves: CNV-6
    bench.pass(HOUR);
    assert_eq!(
        number(&mut bench, 2, "SELECT count(*) FROM message WHERE complete = 0"),
        0
    );
    for device in 0..3 {
        assert_eq!(
            number(&mut bench, device, "SELECT count(*) FROM outbox WHERE purpose <> 7"),
            0,
            "{device}"
        );
    }
    all_agree(&mut bench, &[0, 1, 2]);
    // proves: GRP-8
    let fresh = "SELECT count(*) FROM supply WHERE mine = 1 AND last_resort = 0";
    assert_eq!(number(&mut bench, 2, fresh), 3);
    let theirs = "SELECT count(*) FROM supply WHERE mine = 0";
    assert_eq!(number(&mut bench, 0, theirs), 8);
}

/// The key package of last resort of this device that lies with the other one.
fn last_resort(bench: &mut Bench, device: usize) -> String {
    let tx = bench.devices[device].store.begin().unwrap();
    let sql = "SELECT lower(hex(package)) FROM supply WHERE mine = 0 AND last_resort = 1";
    tx.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// Ana adds Bo to one more group by this key package. Out: in how many groups Bo is.
fn added_by(bench: &mut Bench, package: &str) -> i64 {
    let only = format!(
        "DELETE FROM supply WHERE mine = 0 AND package <> x'{package}';
         INSERT OR IGNORE INTO supply SELECT x'{package}', account, 0, 1, NULL, NULL, 0, NULL FROM contact"
    );
    crate::forks::change(bench, 0, &only);
    create(bench, &[1]);
    number(bench, 1, "SELECT count(*) FROM conversation WHERE grouped = 1")
}

#[test]
fn a_last_resort_is_renewed_after_30_days_and_opens_nothing_30_days_later_grp_23() {
    let mut bench = Bench::friends();
    bench.pass(6_000);
    let first = last_resort(&mut bench, 0);
    bench.pass(29 * DAY);
    bench.greet(1);
    bench.settle();
    assert_eq!(last_resort(&mut bench, 0), first);
    bench.pass(2 * DAY);
    bench.greet(1);
    bench.settle();
    let second = last_resort(&mut bench, 0);
    assert_ne!(second, first);
    bench.pass(HOUR);
    // What was sealed to the one before still opens, for who used it may not have known.
    assert_eq!(added_by(&mut bench, &first), 1);
    bench.pass(31 * DAY);
    bench.greet(1);
    bench.settle();
    bench.pass(HOUR);
    assert_eq!(added_by(&mut bench, &first), 1, "it opens nothing any more");
}

#[test]
fn a_last_resort_that_was_used_is_followed_by_another_one_grp_23() {
    let mut bench = Bench::friends();
    bench.pass(6_000);
    let first = last_resort(&mut bench, 0);
    assert_eq!(added_by(&mut bench, &first), 1);
    assert_ne!(last_resort(&mut bench, 0), first);
    assert_eq!(
        added_by(&mut bench, &first),
        2,
        "for a month it opens what is on its way"
    );
}

#[test]
fn who_is_removed_reads_and_writes_nothing_more_grp_4() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    say(&mut bench, 2, "still here").unwrap();
    bench.pass(6_000);
    remove(&mut bench, 0, &[2]).unwrap();
    bench.pass(6_000);
    say(&mut bench, 0, "among us").unwrap();
    bench.pass(HOUR);
    assert_eq!(texts(&mut bench, 1), ["still here", "among us"]);
    assert_eq!(texts(&mut bench, 2), ["> still here"]);
    assert_eq!(say(&mut bench, 2, "hello?").unwrap_err(), Fault::NotMember);
    assert_eq!(names(&mut bench, 1), ["Ana", "Bo"]);
    // Nobody waits for the one who is gone.
    assert_eq!(
        number(&mut bench, 0, "SELECT count(*) FROM outbox WHERE purpose <> 7"),
        0
    );
}

#[test]
fn rights_are_judged_here_and_by_everybody_else_grp_5() {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    assert_eq!(remove(&mut bench, 1, &[2]).unwrap_err(), Fault::NotAllowed);
    assert_eq!(give(&mut bench, 1, 1, Role::Owner).unwrap_err(), Fault::NotAllowed);
    give(&mut bench, 0, 1, Role::Admin).unwrap();
    bench.pass(6_000);
    assert_eq!(remove(&mut bench, 1, &[0]).unwrap_err(), Fault::NotAllowed);
    remove(&mut bench, 1, &[3]).unwrap();
    bench.pass(6_000);
    all_agree(&mut bench, &[0, 1, 2]);
    assert_eq!(names(&mut bench, 0), ["Ana", "Bo", "Cy"]);
}

#[test]
pub(crate) fn a_commit_that_the_rules_forbid_is_refused_by_everybody_else_grp_4() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    // Cy's program believes that Cy owns the group.
    let tx = bench.devices[2].store.begin().unwrap();
    let sql = "SELECT state FROM epoch WHERE epoch_id = (SELECT head FROM conversation WHERE grouped = 1)";
    let state: Vec<u8> = tx.query_row(sql, [], |row| row.get(0)).unwrap();
    let mut state = GroupState::decode(&state).unwrap();
    state.seats.reverse();
    for seat in &mut state.seats {
        seat.role = stonechat_wire::group::Role::Owner;
    }
    tx.execute("UPDATE epoch SET state = ? WHERE state IS NOT NULL", [state.encode()])
        .unwrap();
    tx.commit().unwrap();
    bench.devices[2].core.forget();
    let before = head(&mut bench, 0);
    remove(&mut bench, 2, &[1]).unwrap();
    bench.pass(HOUR);
    for device in [0, 1] {
        assert_eq!(head(&mut bench, device), before);
        assert_eq!(names(&mut bench, device), ["Ana", "Bo", "Cy"]);
    }
    say(&mut bench, 0, "nothing happened").unwrap();
    bench.pass(HOUR);
    assert_eq!(texts(&mut bench, 1), ["nothing happened"]);
}

#[test]
pub(crate) fn readers_write_nothing_and_a_lock_makes_members_readers_grp_10() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    let chat = chat(&mut bench, 0);
    let lock = GroupEdit {
        chat,
        name: Some("announcements".into()),
        description: None,
        may_write: Some(Role::Admin),
        may_add: None,
        may_edit: None,
    };
    group(bench.ask(0, Command::GroupEdit(lock))).unwrap();
    bench.pass(6_000);
    assert_eq!(say(&mut bench, 1, "may I?").unwrap_err(), Fault::NotAllowed);
    say(&mut bench, 0, "listen").unwrap();
    bench.pass(6_000);
    assert_eq!(texts(&mut bench, 2), ["listen"]);
    let name = "SELECT count(*) FROM chat WHERE name = 'announcements'";
    assert_eq!(number(&mut bench, 1, name), 1);
    // Whoever writes anyway, by a program that does not ask, is not read.
    let tx = bench.devices[1].store.begin().unwrap();
    tx.execute("UPDATE epoch SET state = NULL", []).unwrap();
    tx.commit().unwrap();
    bench.devices[1].core.forget();
    say(&mut bench, 1, "I may not").unwrap();
    bench.pass(6_000);
    assert_eq!(texts(&mut bench, 2), ["listen"]);
}

#[test]
fn who_is_alone_in_a_group_leaves_at_once_grp_7() {
    let mut bench = circle(1);
    create(&mut bench, &[]);
    let chat = chat(&mut bench, 0);
    bench.ask(0, Command::GroupLeave(ByChat { chat })).unwrap();
    let gone = "SELECT gone FROM conversation WHERE grouped = 1";
    assert_eq!(number(&mut bench, 0, gone), 1);
    assert_eq!(
        number(&mut bench, 0, "SELECT count(*) FROM outbox WHERE purpose <> 7"),
        0
    );
}

#[test]
fn who_leaves_is_taken_out_by_somebodys_next_commit_grp_7() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    let leaves = chat(&mut bench, 1);
    bench.ask(1, Command::GroupLeave(ByChat { chat: leaves })).unwrap();
    assert_eq!(say(&mut bench, 1, "one more thing").unwrap_err(), Fault::NotMember);
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 2]);
    assert_eq!(names(&mut bench, 0), ["Ana", "Cy"]);
    // The last owner leaves: the first of the others owns the group.
    let leaves = chat(&mut bench, 0);
    bench.ask(0, Command::GroupLeave(ByChat { chat: leaves })).unwrap();
    bench.pass(DAY);
    assert_eq!(names(&mut bench, 2), ["Cy"]);
    assert_eq!(number(&mut bench, 2, "SELECT role FROM seat WHERE place = 0"), 0);
    // proves: GRP-3
    assert_eq!(
        number(&mut bench, 2, "SELECT accounts FROM conversation WHERE grouped = 1"),
        1
    );
}

#[test]
fn both_halves_of_a_group_change_members_apart_and_end_as_one_fork_7() {
    let mut bench = circle(6);
    create(&mut bench, &[1, 2, 3]);
    give(&mut bench, 0, 1, Role::Admin).unwrap();
    bench.pass(6_000);
    // Bo knows Flo too, to add her.
    let invite = bench.invite(1, Who::One, How::Plain);
    bench.accept(5, &invite.link, None).unwrap();
    bench.pass(HOUR);
    apart(&mut bench, |bench| {
        add(bench, 0, &[4]).unwrap();
        say(bench, 0, "Ed is here").unwrap();
        remove(bench, 1, &[3]).unwrap();
        add(bench, 1, &[5]).unwrap();
        say(bench, 1, "Flo is here, Di is not").unwrap();
        bench.pass(7 * DAY);
    });
    bench.settle();
    bench.pass(HOUR);
    bench.settle();
    all_agree(&mut bench, &[0, 1, 2]);
    let mut named = names(&mut bench, 0);
    named.sort();
    assert_eq!(named, ["Ana", "Bo", "Cy", "Ed", "Flo"]);
    bench.pass(2 * DAY);
    all_agree(&mut bench, &[0, 1, 2, 4, 5]);
    for text in ["Ed is here", "Flo is here, Di is not"] {
        assert!(texts(&mut bench, 2).iter().any(|there| there.ends_with(text)));
    }
    say(&mut bench, 4, "together").unwrap();
    bench.pass(HOUR);
    for device in [0, 1, 2, 5] {
        assert_eq!(texts(&mut bench, device).last().unwrap(), "together", "{device}");
    }
}

#[test]
fn a_removed_admin_does_not_come_back_by_a_commit_made_apart_fork_2() {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    give(&mut bench, 0, 1, Role::Admin).unwrap();
    bench.pass(HOUR);
    apart(&mut bench, |bench| {
        remove(bench, 1, &[2]).unwrap(); // by the admin, while
        remove(bench, 0, &[1]).unwrap(); // the owner removes the admin
    });
    bench.settle();
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 2, 3]);
    assert_eq!(names(&mut bench, 3), ["Ana", "Cy", "Di"]);
    assert_eq!(say(&mut bench, 1, "I am back").unwrap_err(), Fault::NotMember);
}

#[test]
pub(crate) fn what_the_removed_wrote_afterwards_is_shown_apart_grp_6() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    say(&mut bench, 2, "seen").unwrap();
    bench.pass(HOUR);
    apart(&mut bench, |bench| {
        say(bench, 2, "not seen by whoever removes").unwrap();
        remove(bench, 0, &[2]).unwrap();
    });
    bench.settle();
    bench.pass(HOUR);
    for device in [0, 1] {
        assert_eq!(texts(&mut bench, device), ["seen", "! not seen by whoever removes"]);
    }
}

#[test]
fn a_verified_mark_outlives_removal_and_adding_again_and_is_no_other_accounts_grp_8() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    bench.pass(HOUR);
    let id = account(&mut bench, 2);
    let wish = Verify {
        id,
        verified: true,
        code: None,
    };
    bench.ask(0, Command::Verify(wish)).unwrap();
    let verified =
        "SELECT group_concat(verified) FROM (SELECT verified FROM contact WHERE own_name = 'Cy' ORDER BY added_at)";
    for step in [remove, add] {
        step(&mut bench, 0, &[2]).unwrap();
        bench.pass(HOUR);
        assert_eq!(text(&mut bench, 0, verified), "1");
    }
    // Somebody else of the same name has no mark by it.
    bench.devices.push(crate::bench::Device::new(80));
    bench.devices[3].now = bench.devices[0].now;
    let init = Init {
        name: "Cy".into(),
        relays: vec![crate::bench::route()],
        words: None,
    };
    bench.ask(3, Command::Init(init)).unwrap();
    let invite = bench.invite(0, Who::One, How::Plain);
    bench.accept(3, &invite.link, None).unwrap();
    bench.pass(HOUR);
    add(&mut bench, 0, &[3]).unwrap();
    bench.pass(HOUR);
    assert_eq!(text(&mut bench, 0, verified), "1,0");
}

fn text(bench: &mut Bench, device: usize, sql: &str) -> String {
    let tx = bench.devices[device].store.begin().unwrap();
    tx.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_group_of_more_than_eight_has_five_who_confirm_rcp_5() {
    let mut bench = circle(11);
    create(&mut bench, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    bench.pass(DAY);
    let before: Vec<usize> = bench.devices.iter().map(|device| device.sent.len()).collect();
    say(&mut bench, 3, &"x".repeat(30)).unwrap();
    bench.pass(HOUR);
    let sent = bench
        .devices
        .iter()
        .zip(before)
        .flat_map(|(device, before)| &device.sent[before..]);
    let receipts = sent.filter(|parcel| parcel.class == stonechat_wire::exchange::Class::Receipt);
    let bytes: usize = receipts.map(|parcel| parcel.envelope.bytes().len()).sum();
    assert!(bytes > 0 && bytes <= 10_000, "{bytes}");
    let state = "SELECT state FROM message WHERE mine = 1 AND kind = 0";
    assert_eq!(number(&mut bench, 3, state), 2);
    // proves: OUT-8, ENV-7
    assert!(
        bench.devices[0]
            .sent
            .iter()
            .any(|parcel| parcel.envelope.bytes().len() == 32_768)
    );
    assert_eq!(number(&mut bench, 7, "SELECT count(*) FROM part"), 0);
}

#[test]
fn what_three_confirmed_on_a_branch_that_lost_comes_again_to_those_who_were_elsewhere_out_9() {
    let mut bench = circle(10);
    create(&mut bench, &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    bench.devices[0].cut = true;
    let tx = bench.devices[1].store.begin().unwrap();
    tx.execute_batch("UPDATE conversation SET renew_at = 0, commit_at = 0 WHERE grouped = 1")
        .unwrap();
    tx.commit().unwrap();
    bench.devices[1].core.forget();
    let outputs = bench.devices[1].step(Input::Wake);
    bench.release(1, outputs);
    bench.settle();
    say(&mut bench, 1, "while one is away").unwrap();
    bench.pass(HOUR);
    assert_eq!(number(&mut bench, 1, "SELECT count(*) FROM kept"), 1);
    let waiting = "SELECT count(*) FROM outbox JOIN conversation USING (group_id) WHERE grouped = 1 AND purpose = 0";
    assert_eq!(number(&mut bench, 1, waiting), 0);
    // The one who was away has made a commit that goes first, and the relay has lost the other one.
    let wish = GroupEdit {
        chat: chat(&mut bench, 0),
        name: Some("another house".into()),
        description: None,
        may_write: None,
        may_add: None,
        may_edit: None,
    };
    group(bench.ask(0, Command::GroupEdit(wish))).unwrap();
    bench.lose_commits(1);
    bench.reconnect(0);
    assert_eq!(head(&mut bench, 0), head(&mut bench, 1));
    assert!(texts(&mut bench, 0).is_empty());
    bench.pass(61_000);
    assert_eq!(texts(&mut bench, 0), ["while one is away"]);
    bench.pass(HOUR);
    assert_eq!(number(&mut bench, 1, waiting), 0);
}

#[test]
fn of_what_three_confirmed_the_newest_thousand_are_kept_out_9() {
    let mut bench = circle(10);
    create(&mut bench, &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let tx = bench.devices[1].store.begin().unwrap();
    tx.execute_batch(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1024)
         INSERT INTO kept SELECT CAST(i AS BLOB), group_id, head, x'00', i FROM n JOIN conversation WHERE grouped = 1",
    )
    .unwrap();
    tx.commit().unwrap();
    say(&mut bench, 1, "one more").unwrap();
    bench.pass(HOUR);
    assert_eq!(number(&mut bench, 1, "SELECT count(*) FROM kept"), 1024);
    assert_eq!(number(&mut bench, 1, "SELECT min(kept_at) FROM kept"), 2);
}

#[test]
fn a_restart_in_the_middle_changes_nothing_of_a_group_grp_9() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    for device in 0..3 {
        bench.devices[device].core.forget();
        bench.devices[device].listening.clear();
        let outputs = bench.devices[device].step(Input::Started);
        bench.release(device, outputs);
    }
    bench.settle();
    say(&mut bench, 1, "after the restart").unwrap();
    bench.pass(HOUR);
    assert_eq!(texts(&mut bench, 2), ["after the restart"]);
}

#[test]
fn a_group_s_name_holds_no_control_characters_grp_1() {
    let mut bench = Bench::with(1);
    for name in ["two\nlines", "\u{1b}[2J", "bell\u{7}"] {
        let wish = GroupCreate {
            name: name.into(),
            members: vec![],
            large: false,
        };
        let refused = bench.ask(0, Command::GroupCreate(wish)).unwrap_err();
        assert_eq!(refused, Fault::BadName, "{name:?}");
    }
}
