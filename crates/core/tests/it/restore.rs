//! The only device is lost: words and one entrance bring account, contacts and groups back.

use crate::bench::{Bench, Device, route};
use crate::devices;
use crate::forks::number as count;
use crate::groups::{circle, create, give, head, say};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use stonechat_core::api::{self, Command, ContactRename, Fault, How, Reply, Role, Verify, Who};
use stonechat_wire::capsule::{Capsule, CapsuleRoot};
use stonechat_wire::card::{ContactCard, DeviceChange};
use stonechat_wire::envelope::{self, Content, Envelope};
use stonechat_wire::ids::RelayId;
use stonechat_wire::reach::ReachSecret;
use stonechat_wire::route::RelayRoute;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

pub(crate) fn words(bench: &mut Bench, device: usize) -> String {
    match bench.ask(device, Command::Words) {
        Ok(Reply::Words(words)) => words.words.join(" "),
        other => panic!("{other:?}"),
    }
}

/// A device with nothing but words and an entrance. Out: its number.
pub(crate) fn come_back(bench: &mut Bench, words: &str, door: &str) -> usize {
    let seed = 100 + bench.devices.len();
    let now = bench.devices[0].now;
    bench.devices.push(Device::new(seed));
    let device = bench.devices.len() - 1;
    bench.devices[device].now = now;
    let wish = api::Restore {
        words: words.into(),
        door: door.into(),
    };
    bench.ask(device, Command::Restore(wish)).unwrap();
    device
}

fn texts_with(bench: &mut Bench, device: usize, text: &str) -> u32 {
    let sql = format!("SELECT count(*) FROM message WHERE chat IS NOT NULL AND text = '{text}'");
    u32::try_from(count(bench, device, &sql)).unwrap()
}

fn id(bench: &mut Bench, device: usize) -> String {
    let tx = bench.devices[device].store.begin().unwrap();
    tx.query_row("SELECT lower(hex(account)) FROM account", [], |row| row.get(0))
        .unwrap()
}

/// Four in a circle with a group of all; then the first one's device is lost.
fn lost() -> (Bench, String) {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    let bo = id(&mut bench, 1);
    let wishes = [
        Command::Verify(Verify {
            id: bo.clone(),
            verified: true,
            code: None,
        }),
        Command::ContactRename(ContactRename {
            id: bo,
            name: "Brother".into(),
        }),
    ];
    for wish in wishes {
        bench.ask(0, wish).unwrap();
    }
    bench.pass(2 * MINUTE);
    say(&mut bench, 0, "before").unwrap();
    bench.pass(MINUTE);
    let words = words(&mut bench, 0);
    bench.devices[0].cut = true;
    (bench, words)
}

#[test]
fn words_and_one_entrance_bring_people_and_groups_back_cap_7() {
    let (mut bench, words) = lost();
    let ana = come_back(&mut bench, &words, &route());
    bench.pass(30 * SECOND);
    let names = "SELECT count(*) FROM contact WHERE own_name IN ('Bo', 'Cy', 'Di')";
    assert_eq!(count(&mut bench, ana, names), 3);
    assert_eq!(
        count(
            &mut bench,
            ana,
            "SELECT count(*) FROM contact WHERE alias = 'Brother' AND verified = 1"
        ),
        1
    );
    assert_eq!(
        count(&mut bench, ana, "SELECT count(*) FROM account WHERE name = 'Ana'"),
        1
    );
    // proves: RCH-2, RCH-3, RCH-4
    assert_eq!(count(&mut bench, ana, "SELECT count(*) FROM coming_back"), 0);
    for device in 1..4 {
        let line =
            "SELECT count(*) FROM message m JOIN chat c ON c.id = m.chat WHERE m.kind = 5 AND c.contact IS NOT NULL";
        assert_eq!(count(&mut bench, device, line), 1, "{device}");
        // Nobody did anything, and nothing is asked.
        assert_eq!(count(&mut bench, device, "SELECT count(*) FROM alarm"), 0);
    }
    // proves: RCH-6
    bench.pass(HOUR);
    assert_eq!(count(&mut bench, ana, "SELECT count(*) FROM lost_group"), 0);
    assert_eq!(head(&mut bench, ana), head(&mut bench, 1));
    assert_eq!(
        count(&mut bench, 1, "SELECT count(*) FROM epoch WHERE unseats <> x''"),
        0
    );
    say(&mut bench, ana, "I am back").unwrap();
    say(&mut bench, 2, "welcome back").unwrap();
    bench.pass(MINUTE);
    for device in [1, 2, 3, ana] {
        assert_eq!(texts_with(&mut bench, device, "I am back"), 1, "{device}");
        assert_eq!(texts_with(&mut bench, device, "welcome back"), 1, "{device}");
    }
    // History is not there, and the group says who has a new device.
    assert_eq!(texts_with(&mut bench, ana, "before"), 0);
    let line = "SELECT count(*) FROM message m JOIN chat c ON c.id = m.chat WHERE m.kind = 5 AND c.contact IS NULL";
    assert_eq!([1, 2, 3].map(|device| count(&mut bench, device, line)), [1, 1, 1]);
    let role = "SELECT role FROM seat WHERE place = 0";
    assert_eq!(count(&mut bench, ana, role), 0, "she owns it still");
    talks(&mut bench, ana, 1);
    let waiting = "SELECT count(*) FROM outbox WHERE purpose <> 7";
    bench.pass(MINUTE);
    for device in [1, 2, 3, ana] {
        assert_eq!(count(&mut bench, device, waiting), 0, "{device}");
    }
}

/// A group of so many with one admin; then its owner's device is lost.
fn owner_lost(people: usize, admin: usize) -> (Bench, String) {
    let mut bench = circle(people);
    create(&mut bench, &(1..people).collect::<Vec<_>>());
    give(&mut bench, 0, admin, Role::Admin).unwrap();
    bench.pass(2 * MINUTE);
    let words = words(&mut bench, 0);
    bench.devices[0].cut = true;
    (bench, words)
}

/// Group seed 161: while Ana's device is lost the only admin steps down; Ana's capsule knows no other who may bring her back.
#[test]
fn who_steps_down_still_brings_the_owner_back_grp_14() {
    let (mut bench, words) = owner_lost(4, 3);
    give(&mut bench, 3, 3, Role::Member).unwrap();
    bench.pass(MINUTE);
    let ana = come_back(&mut bench, &words, &route());
    bench.pass(HOUR);
    assert_eq!(count(&mut bench, ana, "SELECT count(*) FROM lost_group"), 0);
    assert_eq!(head(&mut bench, ana), head(&mut bench, 1));
}

/// Who comes back owns the group itself: that is no turn to wait for.
#[test]
fn the_first_admin_brings_an_owner_back_within_a_minute_rch_6() {
    let (mut bench, words) = owner_lost(3, 1);
    let ana = come_back(&mut bench, &words, &route());
    bench.pass(MINUTE);
    assert_eq!(count(&mut bench, ana, "SELECT count(*) FROM lost_group"), 0);
    assert_eq!(head(&mut bench, ana), head(&mut bench, 1));
}

/// Nobody tells a linked device: it sees in a group that its account has come back without it.
#[test]
fn a_linked_device_learns_in_a_group_that_its_account_came_back_dev_7() {
    let (mut bench, words) = lost();
    bench.devices[0].cut = false;
    let linked = devices::link(&mut bench, 0);
    bench.pass(5 * MINUTE);
    bench.devices[0].cut = true;
    let ana = come_back(&mut bench, &words, &route());
    bench.pass(HOUR);
    assert_eq!(count(&mut bench, ana, "SELECT revoked FROM account"), 0);
    assert_eq!(head(&mut bench, ana), head(&mut bench, 1));
    assert_eq!(count(&mut bench, linked, "SELECT revoked FROM account"), 1);
    assert_eq!(say(&mut bench, linked, "still here").unwrap_err(), Fault::Revoked);
    let left = ["listening", "outbox"].map(|table| count(&mut bench, linked, &format!("SELECT count(*) FROM {table}")));
    assert_eq!(left, [0, 0]);
}

/// Both write in their chat of two, and both read.
fn talks(bench: &mut Bench, one: usize, other: usize) {
    for (from, to, text) in [(one, other, "hello again"), (other, one, "hello you")] {
        let account = id(bench, to);
        let sql = format!("SELECT id FROM chat WHERE contact = x'{account}'");
        let chat = count(bench, from, &sql);
        bench.say(from, chat, text);
        bench.pass(MINUTE);
        assert_eq!(texts_with(bench, to, text), 1, "{text}");
        let state = format!("SELECT state FROM message WHERE mine = 1 AND text = '{text}'");
        assert_eq!(count(bench, from, &state), 2, "{text}");
    }
}

#[test]
fn an_invitation_of_anybody_on_the_relay_is_an_entrance_too_cap_6() {
    let (mut bench, words) = lost();
    let invite = bench.invite(3, Who::One, How::Plain);
    let ana = come_back(&mut bench, &words, &invite.link);
    bench.pass(30 * SECOND);
    assert_eq!(count(&mut bench, ana, "SELECT count(*) FROM contact"), 3);
    talks(&mut bench, ana, 2);
    assert_eq!(
        count(&mut bench, 3, "SELECT count(*) FROM invite WHERE state = 1"),
        1,
        "it was not used up"
    );
}

#[test]
fn what_is_no_entrance_is_told_apart_cap_6() {
    let (mut bench, words) = lost();
    let invite = bench.invite(3, Who::One, How::Plain);
    bench.devices.push(Device::new(77));
    let last = bench.devices.len() - 1;
    let broken: String = route().chars().take(30).collect();
    for (words, door, fault) in [
        ("one two three", route().as_str(), Fault::BadWords),
        (&words, &broken, Fault::BrokenRoute),
        (&words, "hello", Fault::BrokenLink),
        (&words, "http://127.0.0.1:9/x#y", Fault::BrokenLink),
    ] {
        let wish = api::Restore {
            words: words.into(),
            door: door.into(),
        };
        assert_eq!(bench.ask(last, Command::Restore(wish)).unwrap_err(), fault, "{door}");
    }
    bench
        .ask(3, Command::InviteRevoke(api::ById { id: invite.id }))
        .unwrap();
    let spent = come_back(&mut bench, &words, &invite.link);
    assert_eq!(count(&mut bench, spent, "SELECT state FROM restore"), 3);
    // A relay may still be named.
    let wish = api::RelayAdd {
        route: route(),
        private: false,
    };
    bench.ask(spent, Command::RelayAdd(wish)).unwrap();
    bench.pass(30 * SECOND);
    assert_eq!(count(&mut bench, spent, "SELECT count(*) FROM contact"), 3);
}

/// A whole route to a relay where nothing of the account lies.
fn elsewhere() -> String {
    RelayRoute {
        address: "127.0.0.1:8".into(),
        relay: RelayId::from_bytes([9; 16]),
        secret: None,
        lan: false,
    }
    .to_text()
}

#[test]
fn another_door_may_be_given_while_the_account_is_looked_for_cap_6() {
    let (mut bench, words) = lost();
    let closed = bench.invite(3, Who::One, How::Plain);
    bench
        .ask(3, Command::InviteRevoke(api::ById { id: closed.id }))
        .unwrap();
    let ana = come_back(&mut bench, &words, &elsewhere());
    bench.pass(MINUTE);
    let again = |bench: &mut Bench, words: &str, door: &str| {
        let (words, door) = (words.into(), door.into());
        bench.ask(ana, Command::Restore(api::Restore { words, door }))
    };
    // A door that is spent, then one at which the account is found.
    again(&mut bench, &words, &closed.link).unwrap();
    bench.pass(10 * SECOND);
    assert_eq!(count(&mut bench, ana, "SELECT state FROM restore"), 3);
    let others = self::words(&mut bench, 1);
    assert_eq!(again(&mut bench, &others, &route()).unwrap_err(), Fault::AccountExists);
    again(&mut bench, &words, &route()).unwrap();
    bench.pass(30 * SECOND);
    assert_eq!(count(&mut bench, ana, "SELECT state FROM restore"), 1);
    assert_eq!(count(&mut bench, ana, "SELECT count(*) FROM contact"), 3);
    assert_eq!(
        again(&mut bench, &words, &route()).unwrap_err(),
        Fault::AccountExists,
        "nothing is looked for any more"
    );
}

#[test]
fn nothing_is_founded_while_the_capsule_is_looked_for_and_one_may_give_up_cap_6() {
    let mut bench = Bench::with(1);
    let words = words(&mut bench, 0);
    // Nothing was put yet: ten seconds have not passed.
    bench.devices[0].cut = true;
    let ana = come_back(&mut bench, &words, &route());
    let invite = api::InviteCreate {
        who: Who::One,
        how: How::Plain,
    };
    let tries = Command::InviteCreate(invite.clone());
    assert_eq!(bench.ask(ana, tries).unwrap_err(), Fault::StillLooking);
    let wish = api::GiveUp { name: "Ana".into() };
    bench.ask(ana, Command::RestoreGiveUp(wish.clone())).unwrap();
    bench.ask(ana, Command::InviteCreate(invite)).unwrap();
    assert_eq!(
        bench.ask(ana, Command::RestoreGiveUp(wish)).unwrap_err(),
        Fault::NotFound
    );
}

#[test]
fn the_device_before_is_told_and_says_nothing_more_cap_5() {
    let (mut bench, words) = lost();
    bench.devices[0].cut = false;
    let ana = come_back(&mut bench, &words, &route());
    bench.pass(2 * MINUTE);
    assert_eq!(count(&mut bench, 0, "SELECT revoked FROM account"), 1);
    assert!(bench.devices[0].listening.is_empty());
    let sent = bench.devices[0].sent.len();
    let wish = api::Send {
        chat: 1,
        text: "I am the old one".into(),
        client_id: None,
        marked: false,
        reply_to: None,
    };
    assert_eq!(bench.ask(0, Command::Send(wish)).unwrap_err(), Fault::Revoked);
    bench.pass(3 * DAY);
    assert_eq!(bench.devices[0].sent.len(), sent);
    // What was written before is still there.
    assert_eq!(texts_with(&mut bench, 0, "before"), 1);
    talks(&mut bench, ana, 1);
}

#[test]
fn what_waited_for_the_lost_device_is_written_anew_rch_5() {
    let (mut bench, words) = lost();
    let ana = id(&mut bench, 0);
    let chat = count(&mut bench, 1, &format!("SELECT id FROM chat WHERE contact = x'{ana}'"));
    for text in ["are you there", "and this one"] {
        bench.say(1, chat, text);
    }
    bench.pass(HOUR);
    let new = come_back(&mut bench, &words, &route());
    bench.pass(2 * MINUTE);
    for text in ["are you there", "and this one"] {
        assert_eq!(texts_with(&mut bench, new, text), 1, "{text}");
        assert_eq!(texts_with(&mut bench, 1, text), 1, "{text}");
        let state = format!("SELECT state FROM message WHERE mine = 1 AND text = '{text}'");
        assert_eq!(count(&mut bench, 1, &state), 2, "{text}");
    }
}

#[test]
fn photos_and_timers_that_waited_for_the_lost_device_are_written_anew_rch_5() {
    let (mut bench, words) = lost();
    let ana = id(&mut bench, 0);
    let chat = count(&mut bench, 1, &format!("SELECT id FROM chat WHERE contact = x'{ana}'"));
    let timer = api::TimerSet {
        chat,
        seconds: Some(86_400),
    };
    bench.ask(1, Command::TimerSet(timer)).unwrap();
    let photo = api::MediaSend {
        chat,
        kind: api::MediaKind::Photo,
        data: STANDARD.encode(include_bytes!("../fixtures/photo.jpg")),
        preview: None,
        text: None,
        client_id: None,
        marked: false,
        reply_to: None,
    };
    bench.ask(1, Command::MediaSend(photo)).unwrap();
    bench.pass(HOUR);
    let new = come_back(&mut bench, &words, &route());
    bench.pass(2 * MINUTE);
    let photos = "SELECT count(*) FROM attachment a JOIN message m ON m.id = a.message
                  WHERE m.chat IS NOT NULL AND m.timer_s = 86400";
    for device in [1, new] {
        assert_eq!(count(&mut bench, device, photos), 1);
        assert_eq!(count(&mut bench, device, "SELECT count(*) FROM attachment"), 1);
        let lines = "SELECT count(*) FROM message WHERE chat IS NOT NULL AND kind = 6";
        assert_eq!(count(&mut bench, device, lines), 1);
    }
}

#[test]
fn who_comes_back_hears_of_the_timer_rch_5() {
    let (mut bench, words) = lost();
    bench.reconnect(0);
    let ana = id(&mut bench, 0);
    let chat = count(&mut bench, 1, &format!("SELECT id FROM chat WHERE contact = x'{ana}'"));
    let timer = api::TimerSet {
        chat,
        seconds: Some(3_600),
    };
    bench.ask(1, Command::TimerSet(timer)).unwrap();
    bench.pass(MINUTE);
    bench.devices[0].cut = true;
    let new = come_back(&mut bench, &words, &route());
    bench.pass(2 * MINUTE);
    let bo = id(&mut bench, 1);
    let chat = count(&mut bench, new, &format!("SELECT id FROM chat WHERE contact = x'{bo}'"));
    bench.say(new, chat, "it goes too");
    let timer = "SELECT timer_s FROM message WHERE text = 'it goes too'";
    assert_eq!(count(&mut bench, new, timer), 3_600);
}

#[test]
fn what_comes_late_from_a_lost_device_is_shown_apart_rch_3() {
    let (mut bench, words) = lost();
    bench.devices[0].cut = true;
    let bo = id(&mut bench, 1);
    let chat = count(&mut bench, 0, &format!("SELECT id FROM chat WHERE contact = x'{bo}'"));
    bench.say(0, chat, "by the thief");
    come_back(&mut bench, &words, &route());
    bench.pass(2 * MINUTE);
    bench.reconnect(0);
    bench.pass(MINUTE);
    assert_eq!(texts_with(&mut bench, 1, "by the thief"), 1);
    let late = "SELECT late FROM message WHERE text = 'by the thief'";
    assert_eq!(count(&mut bench, 1, late), 1);
    assert_eq!(texts_with(&mut bench, 1, "before"), 1);
    assert_eq!(
        count(&mut bench, 1, "SELECT late FROM message WHERE text = 'before'"),
        0
    );
}

/// The capsules that lie on the relay, oldest first, and their mailbox.
fn capsules(bench: &mut Bench, device: usize) -> Vec<Vec<u8>> {
    let tags: Vec<[u8; 16]> = {
        let tx = bench.devices[device].store.begin().unwrap();
        let mut rows = tx.prepare("SELECT tag FROM listening WHERE purpose = 4").unwrap();
        rows.query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    };
    let boxes = tags.into_iter().filter_map(|tag| bench.relay.boxes.get(&tag.into()));
    boxes.flatten().cloned().collect()
}

/// The relay keeps back all capsules but these.
fn only(bench: &mut Bench, device: usize, keep: impl Fn(usize) -> bool) {
    let all = capsules(bench, device);
    for bytes in bench.relay.boxes.values_mut().flatten() {
        if let Some(place) = all.iter().position(|capsule| capsule == bytes)
            && !keep(place)
        {
            bytes.clear();
        }
    }
}

#[test]
fn an_old_capsule_brings_back_whom_it_knew_and_the_next_alarm_says_so_cap_8() {
    let (mut bench, words) = lost();
    let before = capsules(&mut bench, 0).len();
    let first = come_back(&mut bench, &words, &route());
    bench.pass(2 * MINUTE);
    assert!(capsules(&mut bench, first).len() > before);
    // The second one is given only what lay there before the first came back.
    bench.devices[first].cut = true;
    only(&mut bench, first, |place| place < before);
    let second = come_back(&mut bench, &words, &route());
    bench.pass(2 * MINUTE);
    assert_eq!(count(&mut bench, second, "SELECT count(*) FROM contact"), 3);
    // proves: DEV-2
    for device in 1..4 {
        let alarms = "SELECT count(*) FROM alarm WHERE kind = 2";
        assert_eq!(count(&mut bench, device, alarms), 1, "{device}");
    }
    let answered = "SELECT count(*) FROM coming_back";
    assert_eq!(count(&mut bench, second, answered), 3, "the one known first counts");
    let wish = api::Send {
        chat: 1,
        text: "not yet".into(),
        client_id: None,
        marked: false,
        reply_to: None,
    };
    assert_eq!(bench.ask(second, Command::Send(wish)).unwrap_err(), Fault::NotBackYet);
}

#[test]
fn a_capsule_that_is_cut_or_junk_is_as_if_it_were_not_there_cap_6() {
    let (mut bench, words) = lost();
    let all = capsules(&mut bench, 0).len();
    assert!(all > 1);
    let newest = capsules(&mut bench, 0).pop().unwrap();
    for bytes in bench.relay.boxes.values_mut().flatten() {
        if *bytes == newest {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
    }
    let ana = come_back(&mut bench, &words, &route());
    bench.pass(30 * SECOND);
    // The one before it is taken.
    assert_eq!(count(&mut bench, ana, "SELECT state FROM restore"), 1);
    let generation = count(&mut bench, ana, "SELECT generation FROM restore");
    assert_eq!(generation, i64::try_from(all).unwrap() - 1);
}

#[test]
fn a_capsule_is_put_after_changes_eight_times_a_day_and_after_twenty_days_cap_4() {
    let mut bench = Bench::friends();
    let puts = |bench: &mut Bench| capsules(bench, 0).len();
    bench.pass(MINUTE);
    let first = puts(&mut bench);
    assert!((1..=2).contains(&first), "{first}");
    bench.say(0, 1, "a text changes nothing of it");
    bench.pass(3 * DAY);
    assert_eq!(puts(&mut bench), first, "renewals of a chat of two neither");
    let bo = id(&mut bench, 1);
    for n in 0..30 {
        let wish = ContactRename {
            id: bo.clone(),
            name: format!("Bo {n}"),
        };
        bench.ask(0, Command::ContactRename(wish)).unwrap();
        bench.pass(MINUTE);
    }
    assert_eq!(puts(&mut bench), first + 8);
    bench.pass(DAY);
    assert_eq!(puts(&mut bench), first + 9);
    bench.pass(19 * DAY);
    assert_eq!(puts(&mut bench), first + 9);
    bench.pass(2 * DAY);
    assert_eq!(puts(&mut bench), first + 10);
    let ttl = bench.devices[0].sent.iter().map(|parcel| parcel.ttl_s).max();
    assert_eq!(ttl, Some(60 * 24 * 3600));
}

#[test]
fn a_relay_that_lost_everything_has_the_capsule_again_within_a_day_cap_4() {
    let mut bench = Bench::friends();
    bench.pass(MINUTE);
    let words = words(&mut bench, 0);
    bench.relay.boxes.values_mut().flatten().for_each(Vec::clear);
    bench.pass(25 * HOUR);
    bench.devices[0].cut = true;
    let ana = come_back(&mut bench, &words, &route());
    bench.pass(30 * SECOND);
    let names = "SELECT count(*) FROM contact WHERE own_name = 'Bo'";
    assert_eq!(count(&mut bench, ana, names), 1);
}

#[test]
fn who_has_no_relay_of_its_own_has_its_capsule_where_it_talks_cap_4() {
    let mut bench = Bench::with(1);
    bench.devices.push(Device::new(50));
    let wish = api::Init {
        name: "Bo".into(),
        relays: vec![],
        words: None,
    };
    bench.ask(1, Command::Init(wish)).unwrap();
    let invite = bench.invite(0, Who::One, How::Plain);
    bench.accept(1, &invite.link, None).unwrap();
    bench.pass(MINUTE);
    let words = words(&mut bench, 1);
    bench.devices[1].cut = true;
    let invite = bench.invite(0, Who::One, How::Plain);
    let bo = come_back(&mut bench, &words, &invite.link);
    bench.pass(MINUTE);
    talks(&mut bench, bo, 0);
    assert_eq!(count(&mut bench, bo, "SELECT count(*) FROM relay WHERE own = 1"), 0);
}

#[test]
fn a_request_that_the_relay_lost_is_put_again_rch_2() {
    let (mut bench, words) = lost();
    for device in 1..4 {
        bench.devices[device].cut = true;
    }
    let ana = come_back(&mut bench, &words, &route());
    bench.pass(MINUTE);
    let asked = bench.devices[ana].sent.clone();
    for bytes in bench.relay.boxes.values_mut().flatten() {
        if asked.iter().any(|parcel| parcel.envelope.bytes() == bytes) {
            bytes.clear();
        }
    }
    for device in 1..4 {
        bench.reconnect(device);
    }
    assert_eq!(count(&mut bench, ana, "SELECT count(*) FROM coming_back"), 3);
    bench.pass(25 * HOUR);
    assert_eq!(count(&mut bench, ana, "SELECT count(*) FROM coming_back"), 0);
    talks(&mut bench, ana, 1);
}

#[test]
fn whoever_comes_back_twice_is_taken_twice_rch_3() {
    let (mut bench, words) = lost();
    let first = come_back(&mut bench, &words, &route());
    bench.pass(2 * HOUR);
    bench.devices[first].cut = true;
    let second = come_back(&mut bench, &words, &route());
    bench.pass(2 * HOUR);
    assert_eq!(count(&mut bench, second, "SELECT count(*) FROM coming_back"), 0);
    assert_eq!(count(&mut bench, second, "SELECT count(*) FROM lost_group"), 0);
    assert_eq!(count(&mut bench, 1, "SELECT count(*) FROM alarm"), 0);
    talks(&mut bench, second, 1);
    say(&mut bench, second, "back again").unwrap();
    bench.pass(MINUTE);
    assert_eq!(texts_with(&mut bench, 3, "back again"), 1);
}

fn rows<const N: usize>(bench: &mut Bench, device: usize, sql: &str) -> Vec<[u8; N]> {
    let tx = bench.devices[device].store.begin().unwrap();
    let mut rows = tx.prepare(sql).unwrap();
    rows.query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

fn blobs(bench: &mut Bench, device: usize, sql: &str) -> Vec<Vec<u8>> {
    let tx = bench.devices[device].store.begin().unwrap();
    let mut rows = tx.prepare(sql).unwrap();
    rows.query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

/// What words and relay together give: the newest capsule in plain bytes.
fn opened(bench: &mut Bench, device: usize) -> Vec<u8> {
    let [seed] = rows::<32>(bench, device, "SELECT seed FROM account")[..] else {
        panic!("one account")
    };
    let mut root = [0; 32];
    hkdf::Hkdf::<sha2::Sha256>::new(None, &seed)
        .expand(b"stonechat/capsule/1", &mut root)
        .unwrap();
    let newest = capsules(bench, device).pop().unwrap();
    let newest = Envelope::decode(newest).unwrap();
    match envelope::open(&CapsuleRoot::new(root).key(), &newest).unwrap() {
        Content::Whole(plain) => plain,
        Content::Part(_) => panic!("small enough"),
    }
}

#[test]
fn a_thief_of_words_and_capsule_has_no_key_of_a_conversation_cap_9() {
    let (mut bench, words) = lost();
    let plain = opened(&mut bench, 0);
    assert!(Capsule::decode(&plain).is_ok());
    let holds = |secret: &[u8]| plain.windows(secret.len()).any(|part| part == secret);
    let reach = blobs(&mut bench, 0, "SELECT reach FROM conversation WHERE reach IS NOT NULL");
    assert_eq!(reach.len(), 3);
    assert!(reach.iter().all(|reach| holds(reach)), "the search finds what is there");
    let mut searched = 0;
    for sql in [
        "SELECT mailbox_root FROM epoch WHERE mailbox_root IS NOT NULL",
        "SELECT envelope_key FROM epoch WHERE envelope_key IS NOT NULL",
        "SELECT signer FROM conversation",
        "SELECT signer FROM supply WHERE signer IS NOT NULL",
        "SELECT value FROM epoch_row WHERE length(value) >= 32",
        "SELECT value FROM loose_row WHERE length(value) >= 32",
        "SELECT seed FROM account",
        "SELECT device_key FROM account",
        "SELECT CAST('before' AS BLOB)",
    ] {
        for secret in blobs(&mut bench, 0, sql) {
            searched += 1;
            assert!(!holds(&secret), "{sql}");
        }
    }
    assert!(searched > 50, "{searched}");
    // The thief becomes the account, is seen, and reads nothing of before.
    let thief = come_back(&mut bench, &words, &route());
    bench.pass(HOUR);
    assert_eq!(texts_with(&mut bench, thief, "before"), 0);
    let line = "SELECT count(*) FROM message WHERE kind = 5";
    assert!((1..4).all(|device| count(&mut bench, device, line) > 0));
}

#[test]
fn both_know_the_same_way_to_find_each_other_and_groups_have_none_rch_1() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    let of_two = "SELECT reach FROM conversation WHERE grouped = 0 ORDER BY reach";
    let before = blobs(&mut bench, 0, of_two);
    assert_eq!(before.len(), 2);
    let bo = blobs(&mut bench, 1, of_two);
    assert!(before.iter().any(|reach| bo.contains(reach)));
    bench.pass(3 * DAY);
    assert_eq!(blobs(&mut bench, 0, of_two), before, "renewals do not change it");
    let groups = "SELECT count(*) FROM conversation WHERE grouped = 1 AND reach IS NOT NULL";
    assert_eq!(count(&mut bench, 0, groups), 0);
}

/// Puts something into the mailbox of Ana's requests to Bo, sealed as it should be: whoever knows their secret can.
fn put_request(bench: &mut Bench, content: &[u8]) -> Vec<&'static str> {
    let ana = rows::<32>(bench, 0, "SELECT account FROM account")[0];
    let sql = format!(
        "SELECT v.reach FROM conversation v JOIN chat c ON c.id = v.chat WHERE c.contact = x'{}'",
        hex::encode(ana)
    );
    let reach = ReachSecret::new(rows::<32>(bench, 1, &sql)[0]);
    let (token, key) = (reach.request_token(ana.into()), reach.request_key(ana.into()));
    let sealed = envelope::seal_all(&key, token.tag(), &mut || [9; 16], content).unwrap();
    let there = bench.relay.boxes.entry(token.tag()).or_default();
    there.extend(sealed.into_iter().map(Envelope::into_bytes));
    bench.deliver(1);
    let mut refused = vec![];
    while let Some(input) = bench.devices[1].queue.pop_front() {
        let outputs = bench.devices[1].step(input);
        refused.extend(outputs.refused.iter().copied());
        bench.release(1, outputs);
    }
    refused
}

/// The request that Bo was sent.
fn genuine(bench: &mut Bench, device: usize) -> Vec<u8> {
    let sql = "SELECT reach FROM coming_back";
    let all: Vec<[u8; 32]> = rows(bench, device, sql);
    let ana = rows::<32>(bench, device, "SELECT account FROM account")[0];
    let bo: Vec<[u8; 32]> = rows(bench, 1, "SELECT reach FROM conversation WHERE reach IS NOT NULL");
    let reach = ReachSecret::new(*all.iter().find(|reach| bo.contains(reach)).unwrap());
    let tag = reach.request_token(ana.into()).tag();
    let sealed = bench.relay.boxes.get(&tag).unwrap().last().unwrap().clone();
    let sealed = Envelope::decode(sealed).unwrap();
    match envelope::open(&reach.request_key(ana.into()), &sealed).unwrap() {
        Content::Whole(plain) => plain,
        Content::Part(_) => panic!("small enough"),
    }
}

#[test]
fn only_the_account_s_own_key_brings_a_new_device_rch_3() {
    let (mut bench, words) = lost();
    bench.devices[1].cut = true;
    let ana = come_back(&mut bench, &words, &route());
    bench.pass(MINUTE);
    let request = genuine(&mut bench, ana);
    for bytes in bench.relay.boxes.values_mut().flatten() {
        if bytes.len() >= request.len() {
            bytes.clear(); // Bo is given forged ones only.
        }
    }
    bench.devices[1].cut = false;
    let card = ContactCard::decode(&request).unwrap();
    let forged = |change: &dyn Fn(&mut ContactCard)| {
        let mut card = card.clone();
        change(&mut card);
        card.encode()
    };
    // proves: DEV-3
    let cases: [(&str, Vec<u8>); 6] = [
        ("junk", b"hello".to_vec()),
        ("another name", forged(&|card| card.name = "Eve".into())),
        ("no log", forged(&|card| card.device_log.entries.clear())),
        (
            "a log without the return",
            forged(&|card| {
                card.device_log.entries.pop();
            }),
        ),
        (
            "an addition that revokes",
            forged(&|card| {
                card.device_log.entries[0].entry.change = DeviceChange::Restored;
            }),
        ),
        ("another key package", forged(&|card| card.key_packages[0][40] ^= 1)),
    ];
    for (what, content) in cases {
        let refused = put_request(&mut bench, &content);
        assert_eq!(refused.len(), 1, "{what}");
    }
    let line = "SELECT count(*) FROM message m JOIN chat c ON c.id = m.chat WHERE m.kind = 5 AND c.contact IS NOT NULL";
    assert_eq!(count(&mut bench, 1, line), 0);
    assert_eq!(
        put_request(&mut bench, &request),
        [] as [&str; 0],
        "the genuine one is taken"
    );
    assert_eq!(count(&mut bench, 1, line), 1);
    // The same again is answered again, and changes nothing.
    assert_eq!(put_request(&mut bench, &request), [] as [&str; 0]);
    assert_eq!(count(&mut bench, 1, line), 1);
    bench.settle();
    bench.pass(MINUTE);
    talks(&mut bench, ana, 1);
    // After the next return the first request is an old one.
    bench.devices[ana].cut = true;
    come_back(&mut bench, &words, &route());
    bench.pass(MINUTE);
    assert_eq!(count(&mut bench, 1, line), 2);
    let refused = put_request(&mut bench, &request);
    assert!(refused.iter().all(|why| *why == "an old request"), "{refused:?}");
    assert_eq!(count(&mut bench, 1, line), 2);
}

#[test]
fn a_contact_whose_log_parts_from_what_the_capsule_knew_raises_the_alarm_rch_4() {
    let (mut bench, words) = lost();
    for device in 1..4 {
        bench.devices[device].cut = true;
    }
    let ana = come_back(&mut bench, &words, &route());
    bench.pass(MINUTE);
    let bo = id(&mut bench, 1);
    let sql = format!("UPDATE coming_back SET log_hash = zeroblob(32) WHERE account = x'{bo}'");
    crate::forks::change(&mut bench, ana, &sql);
    for device in 1..4 {
        bench.reconnect(device);
    }
    bench.pass(MINUTE);
    assert_eq!(count(&mut bench, ana, "SELECT count(*) FROM coming_back"), 0);
    assert_eq!(count(&mut bench, ana, "SELECT count(*) FROM alarm WHERE kind = 2"), 1);
    talks(&mut bench, ana, 1);
}

#[test]
fn what_has_no_room_in_the_capsule_is_left_out_and_counted_cap_3() {
    let mut bench = Bench::with(1);
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600)";
    for sql in [
        "INSERT INTO contact(account, own_name, ed25519, mldsa_hash, device_log, added_at)
         SELECT randomblob(32), 'person ' || i, randomblob(32), randomblob(32), x'010000', i FROM n",
        "INSERT INTO chat(contact, hidden, waiting, read_to, active_at)
         SELECT account, 0, 0, 0, added_at FROM contact WHERE account NOT IN (SELECT contact FROM chat)",
        "INSERT INTO coming_back SELECT contact, id, randomblob(32), 1, randomblob(32), x'', randomblob(32), x'', x'', 1800000000000 FROM chat",
        "UPDATE relay SET own = 1",
    ] {
        let whole = if sql.contains(" FROM n") {
            sql.replacen("INSERT", &format!("{many} INSERT"), 1)
        } else {
            sql.to_owned()
        };
        crate::forks::change(&mut bench, 0, &whole);
    }
    bench.pass(MINUTE);
    let words = words(&mut bench, 0);
    bench.devices[0].cut = true;
    let ana = come_back(&mut bench, &words, &route());
    bench.pass(MINUTE);
    let there = count(&mut bench, ana, "SELECT count(*) FROM contact");
    let left_out = count(&mut bench, ana, "SELECT left_out FROM restore");
    assert!((300..500).contains(&there), "{there}");
    assert_eq!(there + left_out, 600);
    let newest = "SELECT count(*) FROM contact WHERE own_name = 'person 600'";
    assert_eq!(count(&mut bench, ana, newest), 1, "the newest activity first");
}

/// What the relay holds of what a device has put, but for commits and the capsule, is lost.
fn lose_what_was_put(bench: &mut Bench, device: usize, from: usize) {
    let put = bench.devices[device].sent[from..].to_vec();
    for bytes in bench.relay.boxes.values_mut().flatten() {
        if put.iter().any(|parcel| parcel.envelope.bytes() == bytes) {
            bytes.clear();
        }
    }
}

#[test]
fn an_answer_that_the_relay_lost_is_given_again_rch_3() {
    let (mut bench, words) = lost();
    let before: Vec<usize> = bench.devices.iter().map(|device| device.sent.len()).collect();
    bench.devices[0].cut = true;
    let ana = come_back(&mut bench, &words, &route());
    // She hears nothing of the answers, and they are lost.
    while count(&mut bench, ana, "SELECT count(*) FROM restore WHERE state = 1") == 0 {
        let next = bench.devices[ana].wake_at.unwrap();
        for device in &mut bench.devices {
            device.now = device.now.max(next);
        }
        let outputs = bench.devices[ana].step(stonechat_core::Input::Wake);
        bench.release(ana, outputs);
    }
    let tags: Vec<[u8; 16]> = rows(&mut bench, ana, "SELECT tag FROM listening WHERE purpose = 6");
    for tag in &tags {
        bench.devices[ana].listening.remove(&(*tag).into());
    }
    bench.settle();
    assert_eq!(count(&mut bench, ana, "SELECT count(*) FROM coming_back"), 3);
    for (device, from) in before.into_iter().enumerate().skip(1) {
        lose_what_was_put(&mut bench, device, from);
    }
    for tag in tags {
        bench.devices[ana].listening.insert(tag.into(), 0);
    }
    bench.pass(25 * HOUR);
    assert_eq!(count(&mut bench, ana, "SELECT count(*) FROM coming_back"), 0);
    let line = "SELECT count(*) FROM message m JOIN chat c ON c.id = m.chat WHERE m.kind = 5 AND c.contact IS NOT NULL";
    assert_eq!(count(&mut bench, 1, line), 1, "the same answer");
    talks(&mut bench, ana, 1);
}

#[test]
fn a_device_that_dies_while_it_comes_back_goes_on_where_it_was_out_4() {
    let (mut bench, words) = lost();
    let ana = come_back(&mut bench, &words, &route());
    for seconds in [1, 3, 1, 2, 20] {
        bench.devices[ana].core.forget();
        bench.devices[ana].listening.clear();
        bench.devices[ana].queue.clear();
        let outputs = bench.devices[ana].step(stonechat_core::Input::Started);
        bench.release(ana, outputs);
        bench.settle();
        bench.pass(seconds * SECOND);
    }
    bench.pass(HOUR);
    assert_eq!(count(&mut bench, ana, "SELECT count(*) FROM coming_back"), 0);
    assert_eq!(count(&mut bench, ana, "SELECT count(*) FROM lost_group"), 0);
    talks(&mut bench, ana, 3);
}

#[test]
fn who_begins_without_its_capsule_is_not_revoked_by_an_old_one_cap_5() {
    let (mut bench, words) = lost();
    let second = come_back(&mut bench, &words, &route());
    bench.pass(MINUTE);
    bench.devices[second].cut = true;
    bench.devices.push(Device::new(201));
    let third = bench.devices.len() - 1;
    bench.devices[third].now = bench.devices[0].now + SECOND;
    let wish = api::Init {
        name: "Ana".into(),
        relays: vec![route()],
        words: Some(words.clone()),
    };
    bench.ask(third, Command::Init(wish)).unwrap();
    bench.pass(5 * MINUTE);
    assert!(capsules(&mut bench, third).len() > 2, "it reads them");
    assert_eq!(count(&mut bench, third, "SELECT revoked FROM account"), 0);
    let put = "SELECT count(*) FROM capsule WHERE hash IS NOT NULL";
    assert_eq!(count(&mut bench, third, put), 0, "its own would hide them");
    // One that comes back later by the words is the newer one.
    bench.pass(MINUTE);
    let fourth = come_back(&mut bench, &words, &route());
    bench.pass(5 * MINUTE);
    assert_eq!(count(&mut bench, third, "SELECT revoked FROM account"), 1);
    assert_eq!(count(&mut bench, fourth, "SELECT count(*) FROM contact"), 3);
}
