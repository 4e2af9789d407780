//! Several devices of one account: linking, what each of them reads and writes, removal.

use crate::bench::{Bench, Device};
use crate::forks::number as count;
use crate::groups::{self, create};
use sha2::{Digest, Sha256};
use stonechat_core::api::{self, Command, Event, Fault, How, LinkState, Linking, Query, Reply, Verify, Who};
use stonechat_core::query::Live;
use stonechat_wire::envelope::{Content, Envelope, open};
use stonechat_wire::invite::InviteSecret;
use stonechat_wire::link::{DeviceLink, Grant, GrantSealed, ROLE_REQUEST, answer_role};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// One more device on the bench, with nothing. Out: its number.
pub(crate) fn empty(bench: &mut Bench) -> usize {
    let mut device = Device::new(60 + bench.devices.len());
    device.now = bench.devices[0].now;
    bench.devices.push(device);
    bench.devices.len() - 1
}

fn link_of(bench: &mut Bench, home: usize) -> String {
    let wish = api::DeviceLinkWish { name: "Phone".into() };
    match bench.ask(home, Command::DeviceLink(wish)).unwrap() {
        Reply::DeviceLink(link) => link.link,
        other => panic!("{other:?}"),
    }
}

fn accept(bench: &mut Bench, device: usize, link: &str, name: &str) -> Result<Reply, Fault> {
    let wish = api::DeviceAccept {
        link: link.into(),
        name: name.into(),
    };
    bench.ask(device, Command::DeviceAccept(wish))
}

fn confirm(bench: &mut Bench, home: usize, number: &str) -> Result<Reply, Fault> {
    let wish = api::DeviceConfirm { number: number.into() };
    bench.ask(home, Command::DeviceConfirm(wish))
}

fn linking(bench: &mut Bench, device: usize) -> Linking {
    devices(bench, device).linking.expect("a link")
}

pub(crate) fn devices(bench: &mut Bench, device: usize) -> api::Devices {
    let reader = bench.devices[device].store.reader().unwrap();
    match reader.query(Query::Devices, &live()).unwrap() {
        api::Answer::Devices(devices) => devices,
        other => panic!("{other:?}"),
    }
}

fn live() -> Live {
    Live {
        version: String::new(),
        locked: false,
        has_passphrase: false,
        connection: api::Connection::Connected,
        connected: vec![],
        through: vec![],
        ways: vec![],
        tried: std::collections::BTreeMap::new(),
    }
}

/// Links an empty device to the account of `home`. Out: its number.
pub(crate) fn link(bench: &mut Bench, home: usize) -> usize {
    let text = link_of(bench, home);
    let device = empty(bench);
    accept(bench, device, &text, "Laptop").unwrap();
    let number = linking(bench, device).number.expect("a number");
    confirm(bench, home, &number).unwrap();
    assert_eq!(linking(bench, home).state, LinkState::Done);
    assert_eq!(linking(bench, device).state, LinkState::Linked);
    bench.pass(20 * SECOND);
    device
}

pub(crate) fn chat(bench: &mut Bench, device: usize) -> i64 {
    count(bench, device, "SELECT id FROM chat WHERE contact IS NOT NULL")
}

fn say(bench: &mut Bench, device: usize, text: &str) {
    let chat = chat(bench, device);
    bench.say(device, chat, text);
}

fn leaves(bench: &mut Bench, device: usize) -> i64 {
    let sql = "SELECT length(members) / 44 FROM epoch e JOIN conversation v ON v.head = e.epoch_id WHERE v.own = 0";
    count(bench, device, sql)
}

fn same_head(bench: &mut Bench, all: &[usize]) {
    let heads: Vec<Vec<u8>> = all
        .iter()
        .map(|device| {
            let tx = bench.devices[*device].store.begin().unwrap();
            tx.query_row("SELECT head FROM conversation WHERE own = 0", [], |row| row.get(0))
                .unwrap()
        })
        .collect();
    assert!(heads.windows(2).all(|pair| pair[0] == pair[1]), "{heads:?}");
}

pub(crate) fn nothing_waits(bench: &mut Bench, all: &[usize]) {
    for device in all {
        let waiting = "SELECT count(*) FROM outbox WHERE purpose <> 7";
        assert_eq!(count(bench, *device, waiting), 0, "{device}");
        assert_eq!(
            count(bench, *device, "SELECT count(*) FROM want WHERE due_at IS NOT NULL"),
            0,
            "{device}"
        );
    }
}

/// Ana with two devices (0 and 2), and Bo (1).
pub(crate) fn two_and_bo() -> Bench {
    let mut bench = Bench::friends();
    say(&mut bench, 0, "before");
    bench.pass(MINUTE);
    assert_eq!(link(&mut bench, 0), 2);
    bench
}

#[test]
fn a_linked_device_reads_and_writes_what_the_first_does_own_4() {
    let mut bench = two_and_bo();
    assert_eq!([0, 1, 2].map(|device| leaves(&mut bench, device)), [3, 3, 3]);
    same_head(&mut bench, &[0, 1, 2]);
    // proves: LNK-6, ACC-6
    let seeds = "SELECT count(*) FROM account WHERE seed IS NOT NULL";
    assert_eq!([0, 2].map(|device| count(&mut bench, device, seeds)), [1, 0]);
    assert_eq!(
        count(&mut bench, 2, "SELECT count(*) FROM contact WHERE own_name = 'Bo'"),
        1
    );
    say(&mut bench, 0, "from the phone");
    say(&mut bench, 2, "from the laptop");
    say(&mut bench, 1, "from Bo");
    bench.pass(MINUTE);
    assert_eq!(
        bench.texts(0),
        ["> before", "> from the phone", "> from the laptop", "from Bo"]
    );
    assert_eq!(
        bench.texts(1),
        ["before", "from the phone", "from the laptop", "> from Bo"]
    );
    // proves: OWN-5
    assert_eq!(bench.texts(2), ["> from the phone", "> from the laptop", "from Bo"]);
    assert_eq!(bench.states(0), [2, 2, 2]);
    assert_eq!(bench.states(2), [2, 2]);
    assert_eq!(bench.states(1), [2]);
    bench.pass(HOUR);
    nothing_waits(&mut bench, &[0, 1, 2]);
    // proves: DEV-5
    let line = "SELECT count(*) FROM message WHERE kind = 5 AND mine = 0";
    assert_eq!(count(&mut bench, 1, line), 1);
    let line = "SELECT count(*) FROM message WHERE kind = 5 AND mine = 1";
    assert_eq!(count(&mut bench, 0, line), 1);
}

#[test]
fn days_pass_and_all_three_renew_and_read_everything_own_4() {
    let mut bench = two_and_bo();
    for day in 0..6 {
        for device in 0..3 {
            say(&mut bench, device, &format!("{day} {device}"));
        }
        bench.pass(DAY);
    }
    same_head(&mut bench, &[0, 1, 2]);
    let texts = bench.texts(1).len();
    assert_eq!(texts, 19);
    assert_eq!(bench.texts(2).len(), 18);
    for device in 0..3 {
        assert_eq!(count(&mut bench, device, "SELECT count(*) FROM alarm"), 0, "{device}");
        assert_eq!(
            count(&mut bench, device, "SELECT count(*) FROM message WHERE complete = 0"),
            0
        );
    }
    nothing_waits(&mut bench, &[0, 1, 2]);
}

#[test]
fn a_contact_with_several_devices_has_them_all_own_4() {
    let mut bench = two_and_bo();
    let other = link(&mut bench, 1);
    bench.pass(MINUTE);
    assert_eq!([0, 1, 2, other].map(|device| leaves(&mut bench, device)), [4, 4, 4, 4]);
    say(&mut bench, other, "from Bo's laptop");
    say(&mut bench, 2, "from Ana's laptop");
    bench.pass(MINUTE);
    for device in [0, 2] {
        assert_eq!(
            bench
                .texts(device)
                .iter()
                .filter(|text| text.ends_with("laptop"))
                .count(),
            2
        );
    }
    assert!(bench.texts(1).contains(&"> from Bo's laptop".into()));
    assert_eq!(bench.states(other), [2]);
}

#[test]
fn who_is_met_later_and_groups_come_to_the_linked_device_own_4() {
    let mut bench = groups::circle(3);
    create(&mut bench, &[1, 2]);
    bench.pass(MINUTE);
    let laptop = link(&mut bench, 0);
    bench.pass(MINUTE);
    assert_eq!(count(&mut bench, laptop, "SELECT count(*) FROM contact"), 2);
    groups::say(&mut bench, laptop, "from the laptop").unwrap();
    groups::say(&mut bench, 2, "from Cy").unwrap();
    bench.pass(MINUTE);
    for device in [0, 1, 2, laptop] {
        let texts = bench.texts(device);
        assert!(texts.iter().any(|text| text.ends_with("from the laptop")), "{device}");
        assert!(texts.iter().any(|text| text.ends_with("from Cy")), "{device}");
    }
    let sql = "SELECT state FROM message WHERE mine = 1 AND text = 'from the laptop'";
    assert_eq!(count(&mut bench, laptop, sql), 2);
    groups::all_agree(&mut bench, &[0, 1, 2, laptop]);
    let line = "SELECT count(*) FROM message m JOIN chat c ON c.id = m.chat WHERE m.kind = 5 AND c.contact IS NULL";
    assert_eq!(count(&mut bench, 1, line), 1);
    // A contact that comes later.
    let new = empty(&mut bench);
    let init = api::Init {
        name: "Late".into(),
        relays: vec![crate::bench::route()],
        words: None,
    };
    bench.ask(new, Command::Init(init)).unwrap();
    let invite = bench.invite(0, Who::One, How::Plain);
    bench.accept(new, &invite.link, None).unwrap();
    bench.pass(MINUTE);
    assert_eq!(count(&mut bench, laptop, "SELECT count(*) FROM contact"), 3);
    // And what is said of a contact on one device is known on the other. proves: OWN-8
    let bo = groups::account(&mut bench, 1);
    let verify = Verify {
        id: bo,
        verified: true,
        code: None,
    };
    bench.ask(laptop, Command::Verify(verify)).unwrap();
    bench.pass(MINUTE);
    assert_eq!(
        count(&mut bench, 0, "SELECT count(*) FROM contact WHERE verified = 1"),
        1
    );
}

#[test]
fn what_was_read_on_one_device_is_read_on_the_other_own_6() {
    let mut bench = two_and_bo();
    say(&mut bench, 1, "one");
    say(&mut bench, 1, "two");
    bench.pass(MINUTE);
    let unread = "SELECT unread FROM chat WHERE contact IS NOT NULL";
    assert_eq!([0, 2].map(|device| count(&mut bench, device, unread)), [2, 2]);
    let chat = chat(&mut bench, 2);
    let position = count(&mut bench, 2, "SELECT max(position) FROM message WHERE text = 'two'");
    bench
        .ask(2, Command::MarkRead(api::MarkRead { chat, position }))
        .unwrap();
    bench.pass(MINUTE);
    assert_eq!([0, 2].map(|device| count(&mut bench, device, unread)), [0, 0]);
    let read = "SELECT count(*) FROM message WHERE mine = 1 AND state = 3 AND kind = 0";
    assert_eq!(count(&mut bench, 1, read), 2);
}

fn unread(bench: &mut Bench, device: usize) -> i64 {
    count(bench, device, "SELECT sum(unread) FROM chat")
}

fn read_all(bench: &mut Bench, device: usize) {
    let newest = "SELECT max(position) FROM message WHERE kind = 0 AND mine = 0";
    let position = count(bench, device, newest);
    let chat = count(
        bench,
        device,
        &format!("SELECT chat FROM message WHERE position = {position} AND kind = 0"),
    );
    bench
        .ask(device, Command::MarkRead(api::MarkRead { chat, position }))
        .unwrap();
}

#[test]
fn what_was_read_is_so_on_all_devices_where_nobody_else_is_told_own_10() {
    let mut bench = two_and_bo();
    assert_eq!(link(&mut bench, 0), 3);
    let quiet = api::Settings {
        language: None,
        theme: None,
        read_receipts: false,
    };
    for device in [0, 2, 3] {
        bench.ask(device, Command::SettingsSet(quiet.clone())).unwrap();
    }
    say(&mut bench, 1, "one");
    bench.pass(MINUTE);
    assert_eq!([0, 2, 3].map(|device| unread(&mut bench, device)), [1, 1, 1]);
    read_all(&mut bench, 2);
    // Word goes once for what is read at about the same time, and the home device tells it on.
    say(&mut bench, 1, "two");
    bench.pass(SECOND);
    read_all(&mut bench, 2);
    bench.pass(MINUTE);
    assert_eq!([0, 2, 3].map(|device| unread(&mut bench, device)), [0, 0, 0]);
    let told = "SELECT count(*) FROM message m JOIN conversation v USING (group_id)
                WHERE v.own = 1 AND m.mine = 1 AND m.epoch_id IS NOT NULL AND m.received_at > ";
    let since = bench.devices[2].now - 2 * MINUTE;
    assert_eq!(count(&mut bench, 2, &format!("{told}{since}")), 1);
    let read = "SELECT count(*) FROM message WHERE mine = 1 AND state = 3 AND kind = 0";
    assert_eq!(count(&mut bench, 1, read), 0, "Bo is told nothing");
}

#[test]
fn what_was_read_in_a_group_of_nine_is_read_also_where_it_comes_later_own_10() {
    let mut bench = groups::circle(9);
    assert_eq!(link(&mut bench, 0), 9);
    create(&mut bench, &[1, 2, 3, 4, 5, 6, 7, 8]);
    bench.pass(MINUTE);
    groups::say(&mut bench, 1, "for all").unwrap();
    bench.pass(MINUTE);
    assert_eq!([0, 9].map(|device| unread(&mut bench, device)), [1, 1]);
    read_all(&mut bench, 9);
    bench.pass(MINUTE);
    assert_eq!([0, 9].map(|device| unread(&mut bench, device)), [0, 0]);
    // The other device hears that it was read before it has it.
    bench.devices[0].cut = true;
    groups::say(&mut bench, 2, "later").unwrap();
    bench.pass(MINUTE);
    let tag = "SELECT count(*) FROM conversation WHERE read_awaited IS NOT NULL";
    read_all(&mut bench, 9);
    bench.pass(MINUTE);
    bench.reconnect(0);
    bench.pass(MINUTE);
    assert_eq!([0, 9].map(|device| unread(&mut bench, device)), [0, 0]);
    assert_eq!(count(&mut bench, 0, tag), 0);
}

// --- What a link alone does not do ---

#[test]
pub(crate) fn a_link_alone_links_nobody_and_three_wrong_numbers_close_it_lnk_4() {
    let mut bench = Bench::friends();
    let text = link_of(&mut bench, 0);
    let thief = empty(&mut bench);
    accept(&mut bench, thief, &text, "Laptop").unwrap();
    assert_eq!(linking(&mut bench, 0).state, LinkState::Asked);
    let number = linking(&mut bench, thief).number.unwrap();
    let other = if number == "000000" { "000001" } else { "000000" };
    for _ in 0..3 {
        let _ = confirm(&mut bench, 0, other);
    }
    assert_eq!(linking(&mut bench, 0).state, LinkState::Closed);
    // Now the right one is too late.
    assert_eq!(confirm(&mut bench, 0, &number).unwrap_err(), Fault::NotFound);
    bench.pass(MINUTE);
    assert_eq!(count(&mut bench, thief, "SELECT count(*) FROM account"), 0);
    assert_eq!(devices(&mut bench, 0).devices.len(), 1);
}

#[test]
pub(crate) fn two_devices_that_ask_by_one_link_close_it_lnk_4() {
    let mut bench = Bench::friends();
    let text = link_of(&mut bench, 0);
    let (thief, mine) = (empty(&mut bench), empty(&mut bench));
    accept(&mut bench, thief, &text, "Laptop").unwrap();
    accept(&mut bench, mine, &text, "Laptop").unwrap();
    // The owner's own device shows no number: nothing that it shows could let the other one in.
    assert_eq!(linking(&mut bench, mine).number, None);
    assert_eq!(linking(&mut bench, 0).state, LinkState::Closed);
    let number = linking(&mut bench, thief).number.unwrap();
    assert_eq!(confirm(&mut bench, 0, &number).unwrap_err(), Fault::NotFound);
}

#[test]
pub(crate) fn a_link_is_good_once_and_for_an_hour_lnk_1() {
    let mut bench = Bench::friends();
    let text = link_of(&mut bench, 0);
    bench.pass(HOUR + MINUTE);
    let late = empty(&mut bench);
    accept(&mut bench, late, &text, "Laptop").unwrap();
    assert_eq!(linking(&mut bench, 0).state, LinkState::Expired);
    assert_eq!(linking(&mut bench, late).state, LinkState::Asking);
    let text = link_of(&mut bench, 0);
    let first = empty(&mut bench);
    accept(&mut bench, first, &text, "Laptop").unwrap();
    let number = linking(&mut bench, first).number.unwrap();
    confirm(&mut bench, 0, &number).unwrap();
    let second = empty(&mut bench);
    accept(&mut bench, second, &text, "Laptop").unwrap();
    bench.pass(MINUTE);
    assert_eq!(linking(&mut bench, second).state, LinkState::Asking);
    assert_eq!(devices(&mut bench, 0).devices.len(), 2);
}

#[test]
pub(crate) fn a_link_for_another_account_shows_no_number_lnk_3() {
    let mut bench = Bench::friends();
    let text = link_of(&mut bench, 0);
    let mut forged = DeviceLink::parse(&text).unwrap();
    forged.pin = [1; 16];
    let device = empty(&mut bench);
    accept(&mut bench, device, &forged.to_text(), "Laptop").unwrap();
    assert_eq!(linking(&mut bench, device).state, LinkState::Asking);
    assert_eq!(linking(&mut bench, device).number, None);
}

#[test]
fn a_linked_device_links_removes_and_invites_nobody_acc_6() {
    let mut bench = two_and_bo();
    let link = bench.invite(1, Who::One, How::Plain).link;
    let wishes = [
        Command::DeviceLink(api::DeviceLinkWish { name: "x".into() }),
        Command::Words,
        Command::Accept(api::Accept {
            link,
            spoken_words: None,
        }),
        Command::InviteCreate(api::InviteCreate {
            who: Who::One,
            how: How::Plain,
        }),
    ];
    for wish in wishes {
        assert_eq!(bench.ask(2, wish).unwrap_err(), Fault::NotHome);
    }
    let home = devices(&mut bench, 2).devices[0].clone();
    assert!(home.home && !home.this && home.name == "Phone", "{home:?}");
    let remove = |id: String| Command::DeviceRemove(api::ById { id });
    assert_eq!(bench.ask(2, remove(home.id.clone())).unwrap_err(), Fault::NotHome);
    assert_eq!(bench.ask(0, remove(home.id)).unwrap_err(), Fault::NotHome);
}

#[test]
fn who_has_the_link_and_all_traffic_reads_no_grant_lnk_5() {
    let mut bench = Bench::friends();
    let text = link_of(&mut bench, 0);
    let device = empty(&mut bench);
    accept(&mut bench, device, &text, "Laptop").unwrap();
    let number = linking(&mut bench, device).number.unwrap();
    confirm(&mut bench, 0, &number).unwrap();
    assert_eq!(linking(&mut bench, device).state, LinkState::Linked);
    let secret = DeviceLink::parse(&text).unwrap().secret;
    // Neither side keeps it.
    let kept = "SELECT count(*) FROM device_link WHERE secret <> zeroblob(20) OR link <> ''";
    assert_eq!(count(&mut bench, 0, kept), 0);
    assert_eq!(
        count(&mut bench, device, "SELECT count(*) FROM linking WHERE link <> ''"),
        0
    );
    let request = letter(&bench, &secret, ROLE_REQUEST).expect("the request");
    let hash = <[u8; 32]>::from(Sha256::digest(&request));
    let sealed = letter(&bench, &secret, &answer_role(b"link/grant", &hash)).expect("the grant");
    let sealed = GrantSealed::decode(&sealed).unwrap();
    assert!(Grant::decode(&sealed.ciphertext).is_err());
    assert!(!sealed.ciphertext.windows(3).any(|three| three == b"Ana"));
    // Nor does any letter hold the seed or the words: there is none on the new device.
    let seedless = "SELECT count(*) FROM account WHERE seed IS NULL";
    assert_eq!(count(&mut bench, device, seedless), 1);
}

/// What lies in a mailbox of a link, opened as whoever has the link can.
fn letter(bench: &Bench, secret: &InviteSecret, role: &[u8]) -> Option<Vec<u8>> {
    let there = bench.relay.boxes.get(&secret.token(role).tag())?;
    let sealed = Envelope::decode(there.first()?.clone()).ok()?;
    match open(&secret.key(role), &sealed).ok()? {
        Content::Whole(content) => Some(content),
        Content::Part(_) => None,
    }
}

#[test]
fn two_with_several_devices_who_meet_fork_and_end_with_all_leaves_own_3() {
    let mut bench = Bench::with(2);
    let (anas, bos) = (link(&mut bench, 0), link(&mut bench, 1));
    let all = [0, 1, anas, bos];
    let invite = bench.invite(0, Who::One, How::Plain);
    bench.accept(1, &invite.link, None).unwrap();
    // Both add their second device before they see the other's commit: the Welcome of one leads onto a branch that loses.
    for device in [0, 1] {
        bench.devices[device].cut = true;
    }
    bench.pass(10 * SECOND);
    assert_eq!([0, 1].map(|device| leaves(&mut bench, device)), [3, 3]);
    for device in [0, 1] {
        bench.reconnect(device);
    }
    bench.pass(MINUTE);
    same_head(&mut bench, &all);
    assert_eq!(all.map(|device| leaves(&mut bench, device)), [4, 4, 4, 4]);
    for device in all {
        say(&mut bench, device, &format!("from {device}"));
    }
    bench.pass(MINUTE);
    for device in all {
        assert_eq!(bench.texts(device).len(), 4, "{device}");
        assert_eq!(count(&mut bench, device, "SELECT count(*) FROM alarm"), 0, "{device}");
    }
}

// --- Removal ---

pub(crate) fn remove_laptop(bench: &mut Bench) {
    let laptop = devices(bench, 0).devices[1].clone();
    assert_eq!(laptop.name, "Laptop");
    bench
        .ask(0, Command::DeviceRemove(api::ById { id: laptop.id }))
        .unwrap();
}

#[test]
fn a_removed_device_learns_it_and_reads_nothing_new_dev_7() {
    let mut bench = two_and_bo();
    // With its whole state and all traffic; only it does not hear of its removal.
    bench.devices[2].cut = true;
    remove_laptop(&mut bench);
    bench.pass(MINUTE);
    assert_eq!([0, 1].map(|device| leaves(&mut bench, device)), [2, 2]);
    say(&mut bench, 1, "new from Bo");
    say(&mut bench, 0, "new from Ana");
    bench.pass(MINUTE);
    bench.reconnect(2);
    bench.pass(MINUTE);
    assert_eq!(count(&mut bench, 2, "SELECT revoked FROM account"), 1);
    assert!(!bench.texts(2).iter().any(|text| text.contains("new")));
    let chat = chat(&mut bench, 2);
    let send = Command::Send(api::Send {
        chat,
        text: "still here".into(),
        client_id: None,
        reply_to: None,
        marked: false,
    });
    assert_eq!(bench.ask(2, send).unwrap_err(), Fault::Revoked);
    assert_eq!(devices(&mut bench, 0).devices.len(), 1);
    assert_eq!(bench.texts(1), ["before", "> new from Bo", "new from Ana"]);
    nothing_waits(&mut bench, &[1]);
}

#[test]
pub(crate) fn what_a_removed_device_says_late_is_shown_apart_and_changes_nothing_dev_6() {
    let mut bench = two_and_bo();
    bench.devices[2].cut = true;
    remove_laptop(&mut bench);
    bench.pass(MINUTE);
    // The removed one goes on with its full state: it writes, and it renews its keys.
    say(&mut bench, 2, "late");
    let group = "UPDATE conversation SET renew_at = 0, commit_at = -9000000000000000 WHERE own = 0";
    crate::forks::change(&mut bench, 2, group);
    let outputs = bench.devices[2].step(stonechat_core::Input::Wake);
    bench.release(2, outputs);
    bench.reconnect(2);
    bench.pass(MINUTE);
    for device in [0, 1] {
        assert_eq!(leaves(&mut bench, device), 2, "{device}");
        let late = "SELECT late FROM message WHERE text = 'late'";
        assert_eq!(count(&mut bench, device, late), 1, "{device}");
    }
    same_head(&mut bench, &[0, 1]);
    say(&mut bench, 0, "goes on");
    bench.pass(MINUTE);
    assert!(bench.texts(1).contains(&"goes on".into()));
}

#[test]
fn the_list_is_told_to_every_device_and_events_say_so_own_2() {
    let mut bench = two_and_bo();
    let names = |bench: &mut Bench, device| {
        let listed = devices(bench, device).devices;
        listed.into_iter().map(|one| (one.name, one.home)).collect::<Vec<_>>()
    };
    let expected = [("Phone".to_owned(), true), ("Laptop".to_owned(), false)];
    assert_eq!(names(&mut bench, 0), expected);
    assert_eq!(names(&mut bench, 2), expected);
    let told = |event: &Event| matches!(event, Event::StatusChanged {});
    assert!(bench.devices[2].events.iter().any(told));
    // No list of chats shows what devices tell each other. proves: OWN-1
    let shown = "SELECT count(*) FROM message WHERE chat IN (SELECT id FROM chat WHERE own = 1)";
    assert_eq!([0, 2].map(|device| count(&mut bench, device, shown)), [0, 0]);
}

// --- What hostile ones try ---

/// A commit about own leaves as a device that has all its state but not the account's key could make it.
fn forge(bench: &mut Bench, device: usize) {
    let sql = "UPDATE conversation SET renew_at = 0, commit_at = -9000000000000000, renew_lost = 0 WHERE own = 0";
    crate::forks::change(bench, device, sql);
}

#[test]
pub(crate) fn the_first_device_cannot_be_removed_by_another_dev_4() {
    let mut bench = two_and_bo();
    // The laptop says of itself that it is the home device: it takes out whatever its log does not hold live, and its log,
    // which it cannot sign, is the old one.
    crate::forks::change(&mut bench, 2, "UPDATE account SET seed = randomblob(32)");
    let phone = devices(&mut bench, 2).devices[0].id.clone();
    let removed = bench.ask(2, Command::DeviceRemove(api::ById { id: phone }));
    assert!(removed.is_ok(), "it believes so itself: {removed:?}");
    bench.pass(MINUTE);
    forge(&mut bench, 2);
    bench.pass(MINUTE);
    assert_eq!([0, 1].map(|device| leaves(&mut bench, device)), [3, 3]);
    same_head(&mut bench, &[0, 1]);
    assert_eq!(count(&mut bench, 0, "SELECT revoked FROM account"), 0);
    say(&mut bench, 0, "still here");
    bench.pass(MINUTE);
    assert!(bench.texts(1).contains(&"still here".into()));
}

#[test]
fn a_crash_of_the_relay_between_the_letters_of_linking_only_delays_it_lnk_6() {
    let mut bench = Bench::friends();
    let text = link_of(&mut bench, 0);
    let device = empty(&mut bench);
    bench.devices[device].cut = true;
    accept(&mut bench, device, &text, "Laptop").unwrap();
    bench.pass(MINUTE);
    bench.reconnect(device);
    let number = linking(&mut bench, device).number.unwrap();
    bench.devices[0].cut = true;
    confirm(&mut bench, 0, &number).unwrap();
    bench.pass(MINUTE);
    assert_eq!(linking(&mut bench, 0).state, LinkState::Granted);
    bench.reconnect(0);
    bench.pass(MINUTE);
    assert_eq!(linking(&mut bench, 0).state, LinkState::Done);
    assert_eq!([0, 1, 2].map(|device| leaves(&mut bench, device)), [3, 3, 3]);
}

// --- Under faults ---

/// What a seed decides.
struct Roll(u64);

impl Roll {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// Two people with two devices each write for two weeks, while devices are cut off and the relay loses a tenth.
fn weeks(seed: u64) {
    let mut bench = two_and_bo();
    let bos = link(&mut bench, 1);
    let all = [0, 1, 2, bos];
    let mut roll = Roll(seed);
    bench.relay.loses = (10, seed);
    let mut said = 0;
    for _ in 0..40 {
        let device = all[usize::try_from(roll.below(4)).unwrap()];
        match roll.below(4) {
            0 => bench.devices[device].cut = true,
            1 => bench.reconnect(device),
            _ => {
                say(&mut bench, device, &format!("text {said}"));
                said += 1;
            }
        }
        bench.pass(MINUTE + roll.below(16 * HOUR));
    }
    bench.relay.loses = (0, 0);
    for device in all {
        bench.reconnect(device);
    }
    for day in 0..5 {
        say(&mut bench, all[day % 4], &format!("healed {day}"));
        bench.pass(DAY + HOUR);
    }
    same_head(&mut bench, &all);
    for device in all {
        assert_eq!(leaves(&mut bench, device), 4, "seed {seed}: {device}");
        let texts = bench.texts(device);
        for text in (0..said).map(|text| format!("text {text}")) {
            let times = texts
                .iter()
                .filter(|shown| shown.trim_start_matches("> ") == text)
                .count();
            assert_eq!(times, 1, "seed {seed}: {device} {text} of {said}");
        }
        let open = "SELECT count(*) FROM message WHERE mine = 1 AND kind = 0 AND state < 2";
        assert_eq!(count(&mut bench, device, open), 0, "seed {seed}: {device}");
        assert_eq!(
            count(&mut bench, device, "SELECT count(*) FROM alarm"),
            0,
            "seed {seed}: {device}"
        );
        let incomplete = "SELECT count(*) FROM message WHERE complete = 0";
        assert_eq!(count(&mut bench, device, incomplete), 0, "seed {seed}: {device}");
    }
}

#[test]
fn whatever_is_lost_and_whoever_is_cut_off_all_devices_end_with_everything_own_7() {
    let seeds = std::env::var("STONECHAT_DEVICE_SEEDS").map_or(2, |count| count.parse().unwrap());
    (1..=seeds).for_each(weeks);
}

#[test]
fn what_the_laptop_wrote_waits_on_no_device_for_who_was_removed_own_5() {
    let mut bench = groups::circle(2);
    create(&mut bench, &[1]);
    let laptop = link(&mut bench, 0);
    bench.pass(MINUTE);
    bench.devices[1].cut = true;
    groups::say(&mut bench, laptop, "for Bo").unwrap();
    bench.pass(MINUTE);
    let state = |bench: &mut Bench, device, text: &str| {
        count(
            bench,
            device,
            &format!("SELECT state FROM message WHERE text = '{text}' AND kind = 0"),
        )
    };
    assert_eq!([0, laptop].map(|device| state(&mut bench, device, "for Bo")), [1, 1]);
    groups::remove(&mut bench, 0, &[1]).unwrap();
    bench.pass(MINUTE);
    groups::say(&mut bench, laptop, "for nobody").unwrap();
    bench.pass(MINUTE);
    for text in ["for Bo", "for nobody"] {
        assert_eq!(
            [0, laptop].map(|device| state(&mut bench, device, text)),
            [2, 2],
            "{text}"
        );
    }
}

/// Ana reads what Bo said of his laptop in the chat, that it is gone, before she reads in the group that it came.
#[test]
fn a_device_that_came_in_one_conversation_and_went_in_another_is_no_alarm_dev_6() {
    let mut bench = groups::circle(2);
    create(&mut bench, &[1]);
    bench.pass(MINUTE);
    let tags: Vec<[u8; 16]> = {
        let tx = bench.devices[0].store.begin().unwrap();
        let in_group = "SELECT l.tag FROM listening l JOIN epoch e ON e.epoch_id = l.about
                        JOIN conversation v USING (group_id) WHERE v.grouped = 1";
        let mut rows = tx.prepare(in_group).unwrap();
        let tags = rows.query_map([], |row| row.get(0)).unwrap();
        tags.map(Result::unwrap).collect()
    };
    let ears = &mut bench.devices[0].listening;
    let later: Vec<_> = tags
        .into_iter()
        .filter_map(|tag| Some((tag.into(), ears.remove(&tag.into())?)))
        .collect();
    link(&mut bench, 1);
    bench.pass(MINUTE);
    let id = devices(&mut bench, 1).devices[1].id.clone();
    bench.ask(1, Command::DeviceRemove(api::ById { id })).unwrap();
    bench.pass(MINUTE);
    bench.devices[0].listening.extend(later);
    bench.settle();
    bench.pass(MINUTE);
    let newest =
        "SELECT max(length(members)) / 44 FROM epoch e JOIN conversation v ON v.head = e.epoch_id WHERE v.own = 0";
    assert_eq!(count(&mut bench, 0, newest), 2, "the laptop came, and went");
    let most = "SELECT max(length(members)) / 44 FROM epoch JOIN conversation USING (group_id) WHERE grouped = 1";
    assert_eq!(count(&mut bench, 0, most), 3);
    assert_eq!(count(&mut bench, 0, "SELECT count(*) FROM alarm"), 0);
}

/// In a group of nobody but devices of mine nobody confirms; what was written out of reach must not be lost for that.
#[test]
fn what_was_written_out_of_reach_among_own_devices_waits_for_a_relay_own_5() {
    let mut bench = groups::circle(2);
    create(&mut bench, &[1]);
    let laptop = link(&mut bench, 0);
    bench.pass(MINUTE);
    groups::remove(&mut bench, 0, &[1]).unwrap();
    bench.pass(MINUTE);
    bench.devices[laptop].cut = true;
    groups::say(&mut bench, laptop, "to myself").unwrap();
    bench.pass(MINUTE);
    // The courier carries it for a day.
    bench.pass(25 * 60 * MINUTE);
    bench.devices[laptop].held.clear();
    bench.reconnect(laptop);
    bench.pass(25 * 60 * MINUTE);
    assert_eq!(groups::texts(&mut bench, 0), ["> to myself"]);
    let waits = "SELECT count(*) FROM outbox WHERE purpose = 0";
    assert_eq!(count(&mut bench, laptop, waits), 0);
}

/// Another device of the account has used the highest number: that stops nobody.
#[test]
fn the_highest_number_of_a_linked_device_stops_no_other_msg_1() {
    let mut bench = two_and_bo();
    crate::forks::change(&mut bench, 2, "UPDATE conversation SET seq = 4294967294 WHERE own = 0");
    say(&mut bench, 2, "by the laptop");
    bench.pass(MINUTE);
    say(&mut bench, 0, "from home");
    say(&mut bench, 2, "by the laptop again");
    bench.pass(MINUTE);
    let told = ["from home", "by the laptop again"];
    let shown = bench.texts(1);
    assert!(
        told.iter().all(|text| shown.iter().any(|shown| shown == text)),
        "{shown:?}"
    );
}

/// The only row of these columns, as SQL has it.
fn row(bench: &mut Bench, device: usize, sql: &str) -> Vec<String> {
    let tx = bench.devices[device].store.begin().unwrap();
    let mut rows = tx.prepare(sql).unwrap();
    let columns = rows.column_count();
    rows.query_row([], |row| (0..columns).map(|column| row.get(column)).collect())
        .unwrap()
}

/// Bo's first device comes back from an old copy of itself: by its log the laptop was never taken away, and it lets it in again.
#[test]
pub(crate) fn an_account_that_lets_a_removed_device_in_by_an_old_log_is_shown_dev_6() {
    let mut bench = Bench::friends();
    bench.pass(MINUTE);
    link(&mut bench, 1);
    bench.pass(MINUTE);
    let log = row(&mut bench, 1, "SELECT hex(device_log) FROM account");
    let package = row(
        &mut bench,
        1,
        "SELECT hex(package), hex(device) FROM own_supply WHERE mine = 0 LIMIT 1",
    );
    let id = devices(&mut bench, 1).devices[1].id.clone();
    bench.ask(1, Command::DeviceRemove(api::ById { id })).unwrap();
    bench.pass(MINUTE);
    assert_eq!([0, 1].map(|device| leaves(&mut bench, device)), [2, 2]);
    let alarms = "SELECT count(*) FROM alarm WHERE kind = 2";
    assert_eq!(count(&mut bench, 0, alarms), 0);
    let old = format!(
        "UPDATE account SET device_log = x'{}';
         INSERT INTO own_supply VALUES (x'{}', x'{}', 0, NULL, NULL);
         INSERT OR REPLACE INTO spread SELECT group_id, 0 FROM conversation WHERE own = 0",
        log[0], package[0], package[1]
    );
    crate::forks::change(&mut bench, 1, &old);
    let outputs = bench.devices[1].step(stonechat_core::Input::Wake);
    bench.release(1, outputs);
    bench.settle();
    bench.pass(MINUTE);
    assert_eq!(leaves(&mut bench, 0), 3, "the commit is one as any other");
    assert_eq!(count(&mut bench, 0, alarms), 1);
}
