//! Near relays: relays that devices run for the network they are on.

use crate::bench::{Bench, Device, relay_keys};
use crate::forks::change;
use crate::groups::{account, chat, circle, create};
use stonechat_core::Input;
use stonechat_core::api::{self, Command, Event, Fault, MessageState, Reply};
use stonechat_wire::drop::drop_id;
use stonechat_wire::exchange::{Errand, NamedBy, NearRelay, News, Parcel};
use stonechat_wire::ids::{RelayId, Tag, Timestamp};
use stonechat_wire::route::{RelayKeys, RelayRoute};

const PLACE: &str = "192.168.43.7:5000";

/// The near relay of a device.
fn keys(device: usize) -> RelayKeys {
    RelayKeys::from_bytes([100 + u8::try_from(device).unwrap(); RelayKeys::SIZE])
}

fn id(device: usize) -> RelayId {
    keys(device).id()
}

fn near(device: usize, place: Option<&str>) -> NearRelay {
    NearRelay {
        relay: id(device),
        secret: [9; 16],
        keys: keys(device),
        place: place.map(str::to_owned),
        mine: true,
    }
}

/// What a device wants done after an input. It is done, as far as the one relay of the bench does it.
fn errands(bench: &mut Bench, device: usize, input: Input) -> Vec<Errand> {
    let outputs = bench.devices[device].step(input);
    let errands = outputs.errands.clone();
    bench.release(device, outputs);
    bench.settle();
    errands
}

fn name(bench: &mut Bench, device: usize, place: Option<&str>) -> Vec<Errand> {
    errands(bench, device, Input::Near(near(device, place)))
}

fn greets(bench: &mut Bench, device: usize, relay: RelayId) -> Vec<Errand> {
    let time = Timestamp(bench.devices[device].now);
    errands(bench, device, Input::News(News::Greeting { relay, time }))
}

fn is_gone(bench: &mut Bench, device: usize, relay: RelayId) {
    errands(bench, device, Input::News(News::Gone { relay }));
}

/// The tags that are to be read at a relay from now on.
fn reads(errands: &[Errand], at: RelayId) -> Vec<Tag> {
    let there = errands.iter().filter_map(|errand| match errand {
        Errand::Listen(listen) if listen.relay == at => Some(listen.add.iter().map(|(tag, _)| *tag)),
        _ => None,
    });
    there.flatten().collect()
}

/// What is to be put at a relay.
fn puts(errands: &[Errand], at: RelayId) -> Vec<Parcel> {
    let parcels = errands.iter().filter_map(|errand| match errand {
        Errand::Send(parcel) if parcel.relays.contains(&at) => Some(parcel.clone()),
        _ => None,
    });
    parcels.collect()
}

/// Where the last parcel of a device goes.
fn last_goes_to(device: &Device) -> Vec<RelayId> {
    device.sent.last().unwrap().relays.clone()
}

/// Ana and Bo, whose devices have told each other of their near relays.
fn friends() -> Bench {
    let mut bench = Bench::friends();
    for device in 0..2 {
        name(&mut bench, device, None);
        bench.pass(10_000);
    }
    for device in 0..2 {
        assert_eq!(near_rows(&mut bench, device), [1, 2]);
    }
    bench
}

fn near_rows(bench: &mut Bench, device: usize) -> Vec<u8> {
    let sql = "SELECT near FROM relay WHERE near > 0 ORDER BY near";
    bench.numbers(device, sql)
}

#[test]
fn contacts_are_told_once_of_a_near_relay_and_see_nothing_of_it_lan_4() {
    let mut bench = friends();
    let sent = bench.devices[0].sent.len();
    name(&mut bench, 0, None);
    name(&mut bench, 0, Some(PLACE));
    assert_eq!(bench.devices[0].sent.len(), sent, "once");
    assert!(bench.texts(1).is_empty());
    // Whoever is met later is told too.
    cy_comes(&mut bench);
    assert_eq!(near_rows(&mut bench, 2), [1]);
}

/// Cy meets Ana, with no relay of one's own.
fn cy_comes(bench: &mut Bench) {
    bench.devices.push(Device::new(3));
    let init = api::Init {
        name: "Cy".into(),
        relays: vec![],
        words: None,
    };
    bench.ask(2, Command::Init(init)).unwrap();
    let invite = bench.invite(0, api::Who::One, api::How::Plain);
    bench.accept(2, &invite.link, None).unwrap();
    bench.pass(10_000);
}

#[test]
fn another_contact_gives_a_near_relay_no_other_secret_lan_4() {
    let mut bench = friends();
    cy_comes(&mut bench);
    let false_one = NearRelay {
        secret: [8; 16],
        ..near(1, None)
    };
    errands(&mut bench, 2, Input::Near(false_one));
    bench.pass(10_000);
    let secrets: Vec<_> = bench.devices[0]
        .told
        .iter()
        .filter_map(|errand| match errand {
            Errand::UseNear(near) if near.relay == id(1) => Some(near.secret),
            _ => None,
        })
        .collect();
    assert_eq!(secrets, [[9; 16]; 2], "by Bo, and by Cy without effect");
}

#[test]
fn a_relay_that_was_called_near_by_a_contact_is_used_where_an_invitation_stands_there_lan_4() {
    let mut bench = Bench::friends();
    cy_comes(&mut bench);
    let bench_relay = NearRelay {
        relay: relay_keys().id(),
        keys: relay_keys(),
        ..near(0, None)
    };
    bench.devices.push(Device::new(4));
    let init = |name: &str, relays| {
        let (name, words) = (name.into(), None);
        Command::Init(api::Init { name, relays, words })
    };
    bench.ask(3, init("Di", vec![])).unwrap();
    // Before Di hears of the relay, somebody calls it a near one.
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let row = format!(
        "INSERT INTO relay(relay, address, secret, own, lan, near, gone, added_at) VALUES (x'{}', 'near:', x'{}', 0, 1, 1, 1, 0)",
        hex(bench_relay.relay.as_bytes()),
        hex(&bench_relay.secret),
    );
    change(&mut bench, 3, &row);
    let invite = bench.invite(0, api::Who::One, api::How::Plain);
    bench.accept(3, &invite.link, None).unwrap();
    bench.pass(10_000);
    bench.say(0, 3, "hello");
    let used = |errand: &Errand| matches!(errand, Errand::UseRelay(route, _, NamedBy::Person) if route.relay == bench_relay.relay);
    assert!(bench.devices[3].told.iter().any(used));
}

#[test]
fn what_others_name_is_told_from_what_the_person_chose_drp_19() {
    let mut bench = Bench::friends();
    cy_comes(&mut bench);
    let by = |device: &Device, relay: RelayId| {
        let named = device.told.iter().filter_map(move |errand| match errand {
            Errand::UseRelay(route, _, by) if route.relay == relay => Some(*by),
            _ => None,
        });
        named.collect::<Vec<_>>()
    };
    assert_eq!(
        by(&bench.devices[2], relay_keys().id()),
        [NamedBy::Person],
        "an invitation"
    );
    let secret = [6; 16];
    let drop = RelayRoute {
        address: "dav://127.0.0.1:8080/photos".to_owned(),
        relay: drop_id(&secret),
        secret: Some(secret),
        lan: false,
    };
    let wish = api::RelayAdd {
        route: drop.to_text(),
        private: false,
    };
    bench.ask(0, Command::RelayAdd(wish)).unwrap();
    assert_eq!(by(&bench.devices[0], drop.relay), [NamedBy::Person], "a route");
    let wish = api::GroupCreate {
        name: "The dacha".into(),
        members: vec![account(&mut bench, 2)],
        large: false,
    };
    bench.ask(0, Command::GroupCreate(wish)).unwrap();
    bench.pass(10_000);
    assert_eq!(by(&bench.devices[2], drop.relay), [NamedBy::Others], "a Welcome");
    for (device, of, said) in [
        (0, drop.relay, NamedBy::Person),
        (2, drop.relay, NamedBy::Others),
        (2, relay_keys().id(), NamedBy::Person),
    ] {
        bench.devices[device].told.clear();
        let outputs = bench.devices[device].step(Input::Started);
        bench.release(device, outputs);
        bench.settle();
        assert_eq!(by(&bench.devices[device], of), [said], "after a start");
    }
}

#[test]
fn on_a_day_with_a_relay_a_near_one_costs_nothing_lan_7() {
    let mut bench = friends();
    let rows = |bench: &mut Bench| {
        let sql = "SELECT count(*) FROM listening WHERE relay IN (SELECT relay FROM relay WHERE near > 0)
                   UNION ALL SELECT count(*) FROM outbox_relay WHERE relay IN (SELECT relay FROM relay WHERE near > 0)";
        bench.numbers(0, sql)
    };
    bench.say(0, 1, "as always");
    assert_eq!(last_goes_to(&bench.devices[0]), [relay_keys().id()]);
    bench.pass(15 * 24 * 3_600_000);
    assert_eq!(rows(&mut bench), [0, 0]);
}

#[test]
fn what_waits_goes_to_a_near_relay_that_appears_lan_7() {
    let mut bench = friends();
    bench.lose(0);
    bench.say(0, 1, "queued");
    let seen = greets(&mut bench, 0, id(1));
    let put = puts(&seen, id(1));
    assert!(!put.is_empty() && !reads(&seen, id(1)).is_empty());
    bench.say(0, 1, "while it is there");
    assert!(last_goes_to(&bench.devices[0]).contains(&id(1)));
    assert_eq!(
        last_goes_to(&bench.devices[0]).len(),
        2,
        "the other one is not pushed out"
    );
    is_gone(&mut bench, 0, id(1));
    bench.say(0, 1, "it is away");
    assert_eq!(last_goes_to(&bench.devices[0]), [relay_keys().id()]);
}

#[test]
fn what_lies_on_this_device_alone_is_not_carried_lan_7() {
    let mut bench = friends();
    bench.lose(0);
    name(&mut bench, 0, Some(PLACE));
    greets(&mut bench, 0, id(0));
    greets(&mut bench, 0, id(1));
    let message = bench.say(0, 1, "is it carried?");
    let ids = vec![bench.devices[0].sent.last().unwrap().envelope.id()];
    let state = |bench: &Bench| {
        let mut told = bench.devices[0].events.iter().rev().filter_map(|event| match event {
            Event::MessageState { id, state, .. } if *id == message => Some(*state),
            _ => None,
        });
        told.next()
    };
    let stored = |relay| {
        Input::News(News::Stored {
            relay,
            ids: ids.clone(),
        })
    };
    errands(&mut bench, 0, stored(id(0)));
    assert_eq!(state(&bench), None, "it lies on her own disk");
    errands(&mut bench, 0, stored(id(1)));
    assert_eq!(state(&bench), Some(MessageState::Carried));
}

#[test]
fn a_near_relay_s_clock_says_nothing_lan_7() {
    let mut bench = friends();
    let time = Timestamp(bench.devices[0].now + 400 * 24 * 3_600_000);
    bench.devices[0].events.clear();
    for relay in [id(0), id(1)] {
        errands(&mut bench, 0, Input::News(News::Greeting { relay, time }));
    }
    let clock = |event: &Event| matches!(event, Event::ClockOff { .. });
    assert!(!bench.devices[0].events.iter().any(clock));
}

#[test]
fn a_contact_names_few_near_relays_and_all_together_not_too_many_lan_9() {
    let mut bench = friends();
    for n in 0..40 {
        let mut other = near(0, None);
        other.keys = RelayKeys::from_bytes([n; RelayKeys::SIZE]);
        other.relay = other.keys.id();
        errands(&mut bench, 0, Input::Near(other));
        bench.pass(10_000);
    }
    let theirs = "SELECT count(*) FROM relay WHERE near = 1";
    assert_eq!(bench.numbers(1, theirs), [8]);
    let named = "SELECT count(*) FROM conversation_relay c JOIN relay r USING (relay) WHERE r.near = 1";
    assert_eq!(bench.numbers(1, named), [8]);
}

#[test]
fn without_any_relay_an_invitation_stands_on_the_near_one_lan_6() {
    let mut bench = Bench {
        relay: crate::bench::Relay::default(),
        devices: vec![Device::new(1)],
    };
    let wish = Command::InviteCreate(api::InviteCreate {
        who: api::Who::One,
        how: api::How::Plain,
    });
    let init = api::Init {
        name: "Ana".into(),
        relays: vec![],
        words: None,
    };
    bench.ask(0, Command::Init(init)).unwrap();
    assert_eq!(bench.ask(0, wish.clone()).err(), Some(Fault::NoRelay));
    name(&mut bench, 0, None);
    assert_eq!(
        bench.ask(0, wish.clone()).err(),
        Some(Fault::NoRelay),
        "it does not run"
    );
    name(&mut bench, 0, Some(PLACE));
    let Ok(Reply::Invite(invite)) = bench.ask(0, wish) else {
        panic!("no invitation")
    };
    assert!(invite.link.starts_with("http://192.168.43.7:5000/"), "{}", invite.link);
    assert_eq!(invite.reach, api::Reach::LocalNetwork);
    // It ends and runs again: the door is set up anew.
    let doors = |errands: &[Errand]| {
        let open = |errand: &&Errand| matches!(errand, Errand::OpenDoor(door) if door.relay == id(0));
        errands.iter().filter(open).count()
    };
    assert_eq!(doors(&name(&mut bench, 0, None)), 0);
    assert_eq!(doors(&name(&mut bench, 0, Some("192.168.43.7:5001"))), 1);
}

#[test]
fn members_of_a_small_group_who_are_no_contacts_hear_one_another_s_near_relays_lan_4() {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2]);
    let chat = chat(&mut bench, 0);
    for device in 0..4 {
        name(&mut bench, device, None);
        bench.pass(10_000);
    }
    // Bo and Cy know Ana alone, and each other's near relays by the group. Di is not in it.
    for (device, known) in [(0, 3), (1, 2), (2, 2), (3, 1)] {
        let theirs = "SELECT count(*) FROM relay WHERE near = 1";
        assert_eq!(bench.numbers(device, theirs), [known], "device {device}");
    }
    let add = api::GroupMembers {
        chat,
        members: vec![account(&mut bench, 3)],
    };
    bench.ask(0, Command::GroupAdd(add)).unwrap();
    bench.pass(60_000);
    for device in 0..4 {
        let theirs = "SELECT count(*) FROM relay WHERE near = 1";
        assert_eq!(bench.numbers(device, theirs), [3], "device {device}");
    }
    // Where Bo's device reaches Cy's near relay alone, it reads the group there.
    bench.lose(1);
    assert!(!reads(&greets(&mut bench, 1, id(2)), id(2)).is_empty());
    // And nobody goes on telling: none is left who was not told.
    for device in [0, 2, 3] {
        let untold = "SELECT count(*) FROM conversation WHERE near_told IS NULL";
        assert_eq!(bench.numbers(device, untold), [0], "device {device}");
    }
}

#[test]
fn in_a_larger_group_nobody_tells_of_near_relays_lan_4() {
    let mut bench = circle(17);
    create(&mut bench, &(1..17).collect::<Vec<_>>());
    for device in [1, 2] {
        name(&mut bench, device, None);
        bench.pass(10_000);
    }
    assert_eq!(bench.numbers(1, "SELECT count(*) FROM relay WHERE near = 1"), [0]);
    assert_eq!(bench.numbers(0, "SELECT count(*) FROM relay WHERE near = 1"), [2]);
}

#[test]
fn members_of_groups_leave_room_for_contacts_near_relays_lan_9() {
    const THEIRS: &str = "SELECT count(*) FROM relay WHERE near = 1";
    let known = |bench: &mut Bench, device: usize, until: u32| {
        let rows = format!(
            "INSERT INTO relay(relay, address, secret, own, lan, near, gone, added_at)
             WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n + ({THEIRS}) < {until})
             SELECT randomblob(16), 'near:', randomblob(16), 0, 1, 1, 1, 0 FROM n"
        );
        change(bench, device, &rows);
        assert_eq!(bench.numbers(device, THEIRS), [u8::try_from(until).unwrap()]);
    };
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    known(&mut bench, 1, 50);
    // Cy is no contact of Bo's, and Ana is.
    name(&mut bench, 2, None);
    bench.pass(10_000);
    assert_eq!(bench.numbers(1, THEIRS), [50]);
    name(&mut bench, 0, None);
    bench.pass(10_000);
    assert_eq!(bench.numbers(1, THEIRS), [51]);
    known(&mut bench, 2, 100);
    bench.pass(10_000);
    name(&mut bench, 1, None);
    bench.pass(10_000);
    assert_eq!(
        bench.numbers(2, THEIRS),
        [100],
        "nor is more than that known of anybody"
    );
}
