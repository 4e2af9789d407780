//! Single rules of conversations, the outbox and meetings.

use crate::bench::{Bench, START, relay_keys, route};
use stonechat_core::Input;
use stonechat_core::api::{
    Accept, AcceptRetry, AcceptanceState, ById, Command, Event, Fault, How, MarkRead, Reach, Reply, Send, Settings, Who,
};
use stonechat_wire::card::{Claim, ContactCard};
use stonechat_wire::envelope::{self, Envelope};
use stonechat_wire::invite::{InviteLink, ROLE_CARD};
use stonechat_wire::route::{RelayKeys, RelayRoute};

const HOUR: u64 = 3_600_000;

fn send(text: &str, client_id: Option<&str>) -> Command {
    Command::Send(Send {
        chat: 1,
        text: text.into(),
        client_id: client_id.map(str::to_owned),
        marked: false,
        reply_to: None,
    })
}

fn change(bench: &mut Bench, device: usize, sql: &str) {
    let tx = bench.devices[device].store.begin().unwrap();
    tx.execute(sql, []).unwrap();
    tx.commit().unwrap();
}

#[test]
fn texts_have_bounds_and_one_client_id_sends_once_cnv_5() {
    let mut bench = Bench::friends();
    for bad in ["", "  \n ", &"x".repeat(16_385)] {
        assert_eq!(bench.ask(0, send(bad, None)).unwrap_err(), Fault::BadText);
    }
    let longest = "x".repeat(16_384);
    let ids: Vec<String> = [Some("one"), Some("one")]
        .iter()
        .map(|client| match bench.ask(0, send(&longest, *client)) {
            Ok(Reply::Message(message)) => message.id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ids[0], ids[1]);
    assert_eq!(bench.texts(1), [longest]);
}

#[test]
fn what_a_relay_stored_is_carried_and_still_kept_out_1() {
    let mut bench = Bench::friends();
    bench.devices[1].listening.clear();
    bench.say(0, 1, "kept");
    bench.pass(HOUR);
    assert_eq!(bench.states(0), [1]);
    assert_eq!(bench.numbers(0, "SELECT count(*) FROM outbox WHERE purpose = 0"), [1]);
}

#[test]
fn a_message_goes_to_two_relays_of_three_out_3() {
    let mut bench = Bench::friends();
    for number in [8, 9] {
        let keys = RelayKeys::from_bytes([number; RelayKeys::SIZE]);
        let route = RelayRoute {
            address: format!("127.0.0.1:{number}"),
            relay: keys.id(),
            secret: None,
            lan: false,
        };
        let wish = stonechat_core::api::RelayAdd {
            route: route.to_text(),
            private: false,
        };
        bench.ask(0, Command::RelayAdd(wish)).unwrap();
    }
    change(
        &mut bench,
        0,
        "INSERT OR IGNORE INTO conversation_relay(group_id, relay) SELECT group_id, relay FROM conversation, relay",
    );
    bench.say(0, 1, "twice");
    let parcel = bench.devices[0].sent.last().unwrap();
    assert_eq!(parcel.relays.len(), 2);
    assert!(parcel.relays.contains(&relay_keys().id()));
}

#[test]
fn who_does_not_tell_what_was_read_tells_nothing_rcp_3() {
    let mut bench = Bench::friends();
    let quiet = Settings {
        language: None,
        theme: None,
        read_receipts: false,
    };
    bench.ask(1, Command::SettingsSet(quiet)).unwrap();
    bench.say(0, 1, "seen?");
    bench
        .ask(
            1,
            Command::MarkRead(MarkRead {
                chat: 1,
                position: i64::MAX / 2,
            }),
        )
        .unwrap();
    bench.pass(HOUR);
    bench.say(1, 1, "an answer");
    bench.pass(HOUR);
    assert_eq!(bench.states(0), [2]);
}

#[test]
pub(crate) fn a_clock_far_ahead_does_not_pull_mine_along_msg_3() {
    let mut bench = Bench::friends();
    // So far ahead that its mailbox is still read.
    bench.devices[1].now += 6 * 24 * HOUR;
    bench.say(1, 1, "from next week");
    assert_eq!(bench.texts(0), ["from next week"]);
    let hlc = |bench: &mut Bench| -> u64 {
        let tx = bench.devices[0].store.begin().unwrap();
        tx.query_row("SELECT hlc FROM account", [], |row| row.get::<_, i64>(0))
            .unwrap()
            .unsigned_abs()
    };
    bench.say(0, 1, "from today");
    assert!(hlc(&mut bench) < START + 24 * HOUR);
    // proves: CNV-4
    let shown: Vec<u8> = bench.numbers(0, "SELECT sent_at <= received_at FROM message");
    assert!(shown.iter().all(|fits| *fits == 1));
}

#[test]
fn a_step_that_is_not_committed_never_happened_mls_4() {
    let mut bench = Bench::friends();
    bench.say(0, 1, "before");
    {
        let device = &mut bench.devices[0];
        let mut world = stonechat_core::World {
            now: stonechat_wire::ids::Timestamp(device.now),
            dice: &mut device.dice,
        };
        let tx = device.store.begin().unwrap();
        let outputs = device
            .core
            .handle(&tx, &mut world, Input::Command(send("never", None)))
            .unwrap();
        assert!(outputs.reply.unwrap().is_ok());
        drop(tx);
        device.core.forget();
    }
    bench.say(0, 1, "after");
    bench.pass(HOUR);
    assert_eq!(bench.texts(1), ["before", "after"]);
    assert_eq!(bench.states(0), [2, 2]);
}

#[test]
fn what_is_missing_is_counted_and_not_confirmed_cnv_3() {
    let mut bench = Bench::friends();
    bench.relay.silent = true;
    bench.say(0, 1, "one");
    let lost = bench.devices[0].sent.last().unwrap().envelope.clone();
    bench
        .relay
        .boxes
        .values_mut()
        .for_each(|mailbox| mailbox.retain(|bytes| bytes != lost.bytes()));
    bench.say(0, 1, "two");
    bench.relay.silent = false;
    bench.settle();
    bench.pass(50_000);
    assert_eq!(bench.texts(1), ["two"]);
    assert_eq!(bench.states(0), [0, 0]);
    let missing = bench.devices[1].events.iter().rev().find_map(|event| match event {
        Event::MessageAdded { message } => Some(message.missing_before),
        _ => None,
    });
    assert_eq!(missing, Some(1));
    bench.pass(30 * HOUR);
    // proves: CNV-2
    assert_eq!(bench.texts(1), ["one", "two"]);
    assert_eq!(bench.states(0), [2, 2]);
}

/// The relay loses what it holds. Places stay, so cursors go on.
fn lose_all(bench: &mut Bench) {
    bench
        .relay
        .boxes
        .values_mut()
        .flatten()
        .for_each(|envelope| envelope.clear());
}

#[test]
fn a_late_message_moves_what_belongs_below_it_cnv_2() {
    let mut bench = Bench::friends();
    bench.devices[1].now += 3 * 24 * HOUR;
    bench.say(1, 1, "from a clock that is ahead");
    bench.relay.silent = true;
    bench.say(0, 1, "first");
    lose_all(&mut bench);
    bench.relay.silent = false;
    bench.settle();
    bench.say(0, 1, "second");
    // Nothing says yet that it stands below mine.
    assert_eq!(bench.texts(1), ["second", "> from a clock that is ahead"]);
    bench.pass(30 * HOUR);
    assert_eq!(bench.texts(1), ["> from a clock that is ahead", "first", "second"]);
    let told = bench.devices[1].events.iter();
    assert!(told.filter(|event| matches!(event, Event::Ingested { .. })).count() > 0);
}

#[test]
fn a_leaf_that_numbers_against_its_parents_moves_messages_only_so_often_cnv_2() {
    let mut bench = Bench::friends();
    bench.devices[1].now += 3 * 24 * HOUR;
    bench.say(1, 1, "mine");
    bench.relay.silent = true;
    bench.say(0, 1, "first");
    lose_all(&mut bench);
    bench.relay.silent = false;
    bench.settle();
    bench.say(0, 1, "second");
    bench.say(0, 1, "third");
    // The second claims to answer the third: each must stand below the other.
    let circle = "INSERT INTO message_parent SELECT a.group_id, a.id, substr(b.id, 1, 8) FROM message a, message b
                  WHERE a.text = 'second' AND b.text = 'third'";
    change(&mut bench, 1, circle);
    bench.pass(30 * HOUR);
    let mut texts = bench.texts(1);
    texts.sort();
    assert_eq!(texts, ["> mine", "first", "second", "third"]);
}

#[test]
fn an_answer_that_a_relay_lost_comes_again_meet_16() {
    let mut bench = Bench::with(2);
    let invite = bench.invite(0, Who::Family, How::Plain);
    bench.accept(1, &invite.link, None).unwrap();
    assert_eq!(bench.acceptance(1).state, AcceptanceState::Waiting);
    bench.relay.silent = true;
    let id = bench.devices[0].events.iter().rev().find_map(|event| match event {
        Event::RequestAdded { request } => Some(request.id.clone()),
        _ => None,
    });
    bench.ask(0, Command::Approve(ById { id: id.unwrap() })).unwrap();
    lose_all(&mut bench);
    bench.relay.silent = false;
    bench.settle();
    assert_eq!(bench.acceptance(1).state, AcceptanceState::Waiting);
    bench.pass(25 * HOUR);
    assert_eq!(bench.acceptance(1).state, AcceptanceState::Accepted);
    // The claim goes with its last answer.
    assert_eq!(
        bench.numbers(1, "SELECT purpose FROM outbox"),
        [7],
        "only the capsule stays"
    );
}

/// Lets device 1 make a new claim of what `change` makes of its offer.
fn claim_again(bench: &mut Bench, change: impl FnOnce(&mut Claim)) -> AcceptanceState {
    let offer: Vec<u8> = {
        let tx = bench.devices[1].store.begin().unwrap();
        tx.query_row("SELECT offer FROM acceptance", [], |row| row.get(0))
            .unwrap()
    };
    let mut claim = Claim::decode(&offer).unwrap();
    change(&mut claim);
    let tx = bench.devices[1].store.begin().unwrap();
    tx.execute("UPDATE acceptance SET offer = ?, state = 8", [claim.encode()])
        .unwrap();
    tx.commit().unwrap();
    let id = bench.acceptance(1).id;
    bench
        .ask(1, Command::AcceptRetry(AcceptRetry { id, spoken_words: None }))
        .unwrap();
    bench.acceptance(1).state
}

#[test]
fn a_group_that_is_known_is_not_joined_again_cnv_1() {
    let mut bench = Bench::with(2);
    let invite = bench.invite(0, Who::Family, How::Plain);
    bench.accept(1, &invite.link, None).unwrap();
    assert_eq!(claim_again(&mut bench, |_| {}), AcceptanceState::Declined);
    assert_eq!(bench.numbers(0, "SELECT count(*) FROM conversation"), [1]);
}

#[test]
pub(crate) fn a_leaf_that_is_not_of_the_claims_account_is_refused_mls_7() {
    let mut bench = Bench::with(3);
    let invite = bench.invite(0, Who::Family, How::Plain);
    for device in [1, 2] {
        bench.accept(device, &invite.link, None).unwrap();
    }
    let of_cy: Vec<u8> = {
        let tx = bench.devices[2].store.begin().unwrap();
        tx.query_row("SELECT offer FROM acceptance", [], |row| row.get(0))
            .unwrap()
    };
    let cys_card = Claim::decode(&of_cy).unwrap().card;
    // Ana forgets the groups that came, so that only the leaf is wrong in what comes next.
    let claims: Vec<String> = {
        let tx = bench.devices[0].store.begin().unwrap();
        let mut rows = tx.prepare("SELECT lower(hex(id)) FROM claim").unwrap();
        rows.query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    };
    for id in claims {
        bench.ask(0, Command::Decline(ById { id })).unwrap();
    }
    assert_eq!(
        claim_again(&mut bench, |claim| claim.card = cys_card),
        AcceptanceState::Declined
    );
}

#[test]
fn the_eleventh_of_a_family_finds_it_used_meet_8() {
    let mut bench = Bench::with(12);
    let invite = bench.invite(0, Who::Family, How::Plain);
    for device in 1..=11 {
        bench.accept(device, &invite.link, None).unwrap();
    }
    let states: Vec<_> = (1..=11).map(|device| bench.acceptance(device).state).collect();
    assert_eq!(states[..10], [AcceptanceState::Waiting; 10]);
    assert_eq!(states[10], AcceptanceState::Used);
}

#[test]
fn a_claim_that_comes_too_late_is_answered_expired_meet_12() {
    let mut bench = Bench::with(2);
    let invite = bench.invite(0, Who::Family, How::Plain);
    bench.relay.silent = true;
    bench.accept(1, &invite.link, None).unwrap();
    bench.pass(49 * HOUR);
    bench.relay.silent = false;
    bench.settle();
    bench.pass(HOUR);
    assert_eq!(bench.acceptance(1).state, AcceptanceState::Expired);
    assert_eq!(bench.numbers(0, "SELECT count(*) FROM contact"), [0]);
}

#[test]
fn a_link_taken_up_without_a_network_goes_on_by_itself_meet_2() {
    let mut bench = Bench::with(2);
    let invite = bench.invite(0, Who::One, How::Plain);
    let wish = Accept {
        link: invite.link,
        spoken_words: None,
    };
    let outputs = bench.devices[1].step(Input::Command(Command::Accept(wish)));
    drop(outputs); // no network: nothing got out
    assert_eq!(bench.acceptance(1).state, AcceptanceState::Saved);
    bench.devices[1].core.forget();
    let outputs = bench.devices[1].step(Input::Started);
    bench.release(1, outputs);
    bench.settle();
    assert_eq!(bench.acceptance(1).state, AcceptanceState::Accepted);
}

#[test]
fn a_card_opens_one_door_meet_13() {
    let mut bench = Bench::with(1);
    let keys = RelayKeys::from_bytes([8; RelayKeys::SIZE]);
    let route = RelayRoute {
        address: "203.0.113.7:443".into(),
        relay: keys.id(),
        secret: Some([1; 16]),
        lan: false,
    };
    bench
        .ask(
            0,
            Command::RelayAdd(stonechat_core::api::RelayAdd {
                route: route.to_text(),
                private: false,
            }),
        )
        .unwrap();
    let invite = bench.invite(0, Who::One, How::Plain);
    let secret = InviteLink::parse(&invite.code).unwrap().secret;
    let sealed = Envelope::decode(bench.relay.doors[&secret.path()].1.clone()).unwrap();
    let envelope::Content::Whole(plain) = envelope::open(&secret.key(ROLE_CARD), &sealed).unwrap() else {
        panic!()
    };
    let card = ContactCard::decode(&plain).unwrap();
    assert_eq!(card.relays.len(), 1);
    assert!(!invite.link.contains("203.0.113.7"));
    for form in [&invite.link, &invite.code] {
        assert_eq!(InviteLink::parse(form).unwrap().hints, ["127.0.0.1:9"]);
    }
}

#[test]
fn an_invitation_says_how_far_it_reaches_meet_15() {
    let cases = [
        ("127.0.0.1:9", Reach::ThisComputer),
        ("localhost:9", Reach::ThisComputer),
        ("[::1]:9", Reach::ThisComputer),
        ("192.168.1.7:9", Reach::LocalNetwork),
        ("10.0.0.1:9", Reach::LocalNetwork),
        ("100.80.1.1:9", Reach::LocalNetwork),
        ("https://192.168.1.7:9", Reach::LocalNetwork),
        ("https://localhost:9", Reach::ThisComputer),
        ("laptop.local:9", Reach::LocalNetwork),
        ("203.0.113.7:443", Reach::Internet),
        ("relay.example.org:443", Reach::Internet),
    ];
    for (address, reach) in cases {
        let mut bench = Bench::with(1);
        change(&mut bench, 0, &format!("UPDATE relay SET address = '{address}'"));
        assert_eq!(bench.invite(0, Who::One, How::Plain).reach, reach, "{address}");
    }
}

#[test]
fn a_relay_that_is_run_for_the_local_network_reaches_no_further_meet_15() {
    for (lan, reach) in [(false, Reach::Internet), (true, Reach::LocalNetwork)] {
        let mut bench = Bench::with(1);
        let route = RelayRoute {
            address: "203.0.113.7:443".into(),
            lan,
            ..RelayRoute::parse(&route()).unwrap()
        };
        bench
            .ask(
                0,
                Command::RelayAdd(stonechat_core::api::RelayAdd {
                    route: route.to_text(),
                    private: false,
                }),
            )
            .unwrap();
        assert_eq!(bench.invite(0, Who::One, How::Plain).reach, reach);
    }
}
