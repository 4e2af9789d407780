//! Public invitations: who deals, and who is dealt.

use crate::bench::{Bench, relay_keys};
use crate::content::query;
use crate::forks::{change, number};
use std::collections::BTreeSet;
use stonechat_core::Input;
use stonechat_core::api::{
    Accept, AcceptanceState, Answer, ById, Command, Fault, How, InviteState, PublicCreate, PublicInvite, Query,
    RelayAdd, Reply, Who,
};
use stonechat_wire::drop::drop_id;
use stonechat_wire::envelope::{self, Envelope};
use stonechat_wire::exchange::{Errand, News};
use stonechat_wire::hand::{Deck, HAND_BUCKET, Hand, deck};
use stonechat_wire::ids::{RelayId, Timestamp};
use stonechat_wire::invite::{InviteLink, InviteSecret, ROLE_CLAIM, ROLE_HAND};
use stonechat_wire::route::{RelayKeys, RelayRoute};

const DAY: u64 = 24 * 3_600_000;

fn relay(number: u8) -> RelayId {
    let mut keys = [number; RelayKeys::SIZE];
    keys[0] = 200;
    RelayKeys::from_bytes(keys).id()
}

fn route_to(number: u8, address: &str) -> String {
    RelayRoute {
        address: address.into(),
        relay: relay(number),
        secret: Some([number; 16]),
        lan: false,
    }
    .to_text()
}

fn routes(count: u8) -> Vec<String> {
    (1..=count).map(|n| route_to(n, &address(n))).collect()
}

fn address(number: u8) -> String {
    format!("192.0.2.{number}:9735")
}

/// Devices that know the time.
fn people(count: usize) -> Bench {
    let mut bench = Bench::with(count);
    (0..count).for_each(|device| bench.greet(device));
    bench
}

fn wish(routes: Vec<String>, days: u16, a_day: Option<u16>) -> PublicCreate {
    PublicCreate { routes, days, a_day }
}

fn make(bench: &mut Bench, wish: PublicCreate) -> Result<PublicInvite, Fault> {
    match bench.ask(0, Command::PublicCreate(wish))? {
        Reply::Public(made) => Ok(made),
        other => panic!("{other:?}"),
    }
}

fn publics(bench: &mut Bench) -> Vec<PublicInvite> {
    match query(bench, 0, Query::Publics) {
        Answer::Publics(all) => all,
        other => panic!("{other:?}"),
    }
}

/// Own relays of a device: address, and whether it is private.
fn own(bench: &mut Bench, device: usize) -> Vec<(String, bool)> {
    let Answer::Status(status) = query(bench, device, Query::Status) else {
        panic!("no status")
    };
    let own = status.relays.into_iter().filter(|relay| relay.own);
    let mut own: Vec<_> = own.map(|relay| (relay.address, relay.private)).collect();
    own.sort();
    own
}

/// What a device has besides the bench's relay.
fn dealt(bench: &mut Bench, device: usize) -> Vec<(String, bool)> {
    let mut own = own(bench, device);
    own.retain(|(address, _)| address != "127.0.0.1:9");
    own
}

fn greets(bench: &mut Bench, device: usize, relay: RelayId) {
    let time = Timestamp(bench.devices[device].now);
    let outputs = bench.devices[device].step(Input::News(News::Greeting { relay, time }));
    bench.release(device, outputs);
    bench.settle();
}

fn take_up(bench: &mut Bench, device: usize, made: &PublicInvite) -> AcceptanceState {
    bench.accept(device, &made.link, None).unwrap();
    bench.acceptance(device).state
}

#[test]
fn all_relays_are_dealt_in_pairs_over_the_days_pub_4() {
    let mut bench = people(1);
    let made = make(&mut bench, wish(routes(6), 3, None)).unwrap();
    assert_eq!((made.state, made.days.len()), (InviteState::Preparing, 3));
    assert_eq!(
        publics(&mut bench)[0].state,
        InviteState::Open,
        "a relay has set the door up"
    );
    assert!(made.days.iter().all(|day| day.len() == 2), "{:?}", made.days);
    let all: BTreeSet<String> = made.days.concat().into_iter().collect();
    assert_eq!(all, (1..=6).map(address).collect());
    // More days than pairs: they are dealt again, in other pairs; an odd number too.
    let made = make(&mut bench, wish(routes(7), 30, None)).unwrap();
    assert!(
        made.days.iter().all(|day| day.len() == 2 && day[0] != day[1]),
        "{:?}",
        made.days
    );
    let first: BTreeSet<String> = made.days[..4].concat().into_iter().collect();
    assert_eq!(first, (1..=7).map(address).collect());
    let pairs: BTreeSet<BTreeSet<&String>> = made.days.iter().map(|day| day.iter().collect()).collect();
    assert!(pairs.len() > 10, "{pairs:?}");
    let made = make(&mut bench, wish(routes(5), 60, Some(4))).unwrap();
    let hands = made.days.concat();
    assert!(hands.chunks(2).all(|hand| hand[0] != hand[1]), "also where rounds meet");
    let made = make(&mut bench, wish(routes(8), 2, Some(3))).unwrap();
    assert!(made.days.iter().all(|day| day.len() == 6), "as many as are wished");
}

#[test]
fn whoever_deals_uses_none_of_them_and_names_them_nowhere_pub_4() {
    let mut bench = people(2);
    make(&mut bench, wish(routes(6), 3, None)).unwrap();
    bench.pass(DAY);
    for device in 0..2 {
        let told = &bench.devices[device].told;
        let used = |errand: &Errand| matches!(errand, Errand::UseRelay(route, ..) if route.relay != relay_keys().id());
        assert!(!told.iter().any(used), "{told:?}");
    }
    assert_eq!(own(&mut bench, 0).len(), 1);
}

#[test]
fn what_makes_no_public_invitation_is_refused_pub_4() {
    let mut bench = people(1);
    let bad = |routes: Vec<String>, days, a_day| (wish(routes, days, a_day), Fault::BadParams);
    let mine = crate::bench::route();
    let with = |route: String| [routes(4), vec![route]].concat();
    let drop = RelayRoute {
        address: "davs://a:b@example.org:443/f".into(),
        relay: drop_id(&[9; 16]),
        secret: Some([9; 16]),
        lan: false,
    };
    let cases = [
        bad(routes(3), 3, None),
        bad(routes(65), 3, None),
        bad([routes(3), routes(3)].concat(), 3, None),
        bad(routes(4), 0, None),
        bad(routes(4), 61, None),
        bad(routes(4), 3, Some(0)),
        bad(routes(4), 60, Some(5)),
        bad(with(mine), 3, None),
        bad(with(drop.to_text()), 3, None),
        (wish(with("hello".into()), 3, None), Fault::BrokenRoute),
        (wish(with("stone:iAQ".into()), 3, None), Fault::InviteNotRoute),
    ];
    for (wish, fault) in cases {
        assert_eq!(
            make(&mut bench, wish.clone()).unwrap_err(),
            fault,
            "{:?}",
            wish.routes.last()
        );
    }
    assert!(publics(&mut bench).is_empty() && number(&mut bench, 0, "SELECT count(*) FROM public_hand") == 0);
    assert!(make(&mut bench, wish(routes(64), 60, Some(4))).is_ok());
    for _ in 1..4 {
        make(&mut bench, wish(routes(4), 3, None)).unwrap();
    }
    assert_eq!(make(&mut bench, wish(routes(4), 3, None)).unwrap_err(), Fault::TooMany);
    let id = publics(&mut bench)[0].id.clone();
    bench.ask(0, Command::PublicRevoke(ById { id })).unwrap();
    assert!(make(&mut bench, wish(routes(4), 3, None)).is_ok(), "one is closed");
}

#[test]
fn without_a_relay_that_knows_the_time_there_is_none_pub_4() {
    let mut bench = Bench::with(1);
    assert_eq!(make(&mut bench, wish(routes(4), 3, None)).unwrap_err(), Fault::NoRelay);
    bench.greet(0);
    make(&mut bench, wish(routes(4), 3, None)).unwrap();
    change(
        &mut bench,
        0,
        "UPDATE relay SET address = 'davs://a:b@example.org:443/f'",
    );
    assert_eq!(
        make(&mut bench, wish(routes(4), 3, None)).unwrap_err(),
        Fault::NoRelay,
        "a drop has no doors that deal"
    );
}

#[test]
fn its_door_stands_on_up_to_three_relays_of_the_account_pub_4() {
    let mut bench = people(1);
    for number in 10..14 {
        let route = route_to(number, &address(number));
        let private = number == 10;
        bench.pass(1_000);
        bench.ask(0, Command::RelayAdd(RelayAdd { route, private })).unwrap();
        if number < 13 {
            greets(&mut bench, 0, relay(number));
        }
    }
    let outputs = bench.devices[0].step(Input::Command(Command::PublicCreate(wish(routes(4), 3, None))));
    let stands = |errands: &[Errand]| -> Vec<RelayId> {
        let doors = errands.iter().filter_map(|errand| match errand {
            Errand::OpenDoor(door) => Some(door.relay),
            _ => None,
        });
        doors.collect()
    };
    assert_eq!(stands(&outputs.errands), [relay_keys().id(), relay(11), relay(12)]);
    let made = publics(&mut bench).remove(0);
    let hints = InviteLink::parse(&made.code).unwrap().hints;
    assert_eq!(hints, ["127.0.0.1:9".to_owned(), address(11), address(12)]);
    let outputs = bench.devices[0].step(Input::Started);
    assert_eq!(
        stands(&outputs.errands).len(),
        3,
        "after a start they are asked for again"
    );
    let outputs = bench.devices[0].step(Input::Command(Command::PublicRevoke(ById { id: made.id })));
    let closed = |errand: &&Errand| matches!(errand, Errand::CloseDoor { .. });
    assert_eq!(outputs.errands.iter().filter(closed).count(), 3);
}

/// Closed while no relay heard of it: said again at each start, as long as a door could stand.
#[test]
fn one_that_was_closed_is_taken_down_at_each_start_until_its_days_are_over_pub_4() {
    let mut bench = people(1);
    let made = make(&mut bench, wish(routes(4), 2, None)).unwrap();
    bench.ask(0, Command::PublicRevoke(ById { id: made.id })).unwrap();
    assert_eq!(number(&mut bench, 0, "SELECT length(deck) FROM public_invite"), 0);
    let closes = |bench: &mut Bench| {
        let outputs = bench.devices[0].step(Input::Started);
        let closed = |errand: &&Errand| matches!(errand, Errand::CloseDoor { .. });
        outputs.errands.iter().filter(closed).count()
    };
    assert_eq!(closes(&mut bench), 1);
    bench.pass(2 * DAY + 1_000);
    assert_eq!(closes(&mut bench), 0);
}

#[test]
fn a_relay_where_a_door_stands_is_kept_until_it_is_closed_pub_4() {
    let mut bench = people(1);
    let made = make(&mut bench, wish(routes(4), 2, None)).unwrap();
    let id = hex::encode(relay_keys().id().as_bytes());
    bench.ask(0, Command::RelayRemove(ById { id })).unwrap();
    let closed = bench.devices[0].step(Input::Command(Command::PublicRevoke(ById { id: made.id })));
    let at = |errand: &Errand| matches!(errand, Errand::CloseDoor { relay, .. } if *relay == relay_keys().id());
    assert!(closed.errands.iter().any(at));
    assert_eq!(number(&mut bench, 0, "SELECT count(*) FROM relay"), 1);
}

/// A relay may have lost its disk.
#[test]
fn a_door_is_said_anew_once_a_day_and_no_oftener_pub_4() {
    let mut bench = people(1);
    make(&mut bench, wish(routes(4), 3, None)).unwrap();
    bench.relay.doors.clear();
    bench.pass(DAY - 60_000);
    greets(&mut bench, 0, relay_keys().id());
    assert!(bench.relay.doors.is_empty(), "it was said less than a day ago");
    bench.pass(60_000);
    assert_eq!(bench.relay.doors.len(), 1);
    bench.relay.doors.clear();
    // A clock that was ahead does not keep it from being said.
    change(
        &mut bench,
        0,
        &format!("UPDATE public_invite SET said_at = said_at + {}", 40 * DAY),
    );
    bench.pass(120_000);
    assert_eq!(bench.relay.doors.len(), 1);
}

/// What somebody from a network gets at the door now: the addresses of all hands that are dealt.
fn at_the_door(bench: &Bench, made: &PublicInvite) -> BTreeSet<String> {
    let secret = InviteLink::parse(&made.link).unwrap().secret;
    let (_, bytes) = &bench.relay.doors[&secret.path()];
    let (door, now_s) = (Deck::decode(bytes).unwrap(), bench.devices[0].now / 1000);
    let sources = (0..=255).map(|n| [10, n, 0, 0, 0, 0]);
    let hands = sources.filter_map(|source| door.dealt(now_s, &source));
    hands
        .flat_map(|hand| opened(&secret, hand).relays.map(|relay| relay.address))
        .collect()
}

fn hands_behind(bench: &Bench, made: &PublicInvite) -> usize {
    let path = InviteLink::parse(&made.link).unwrap().secret.path();
    Deck::decode(&bench.relay.doors[&path].1).unwrap().bytes().len() / HAND_BUCKET
}

#[test]
fn a_door_has_the_hands_of_seven_days_alone_and_deals_on_each_day_that_days_pub_4() {
    let mut bench = people(1);
    let made = make(&mut bench, wish(routes(40), 20, Some(3))).unwrap();
    for (day, left) in made.days.iter().zip((1..=20).rev()) {
        let of_the_day: BTreeSet<String> = day.iter().cloned().collect();
        assert_eq!(at_the_door(&bench, &made), of_the_day, "{left}");
        assert_eq!(hands_behind(&bench, &made), 3 * left.min(7), "{left}");
        bench.pass(DAY);
    }
    assert!(at_the_door(&bench, &made).is_empty());
}

/// It is one relay that tells the time here, and it has the door.
#[test]
fn a_relay_that_says_another_time_gets_no_further_days_by_it_and_ends_nothing_pub_4() {
    let mut bench = people(1);
    let made = make(&mut bench, wish(routes(40), 20, Some(2))).unwrap();
    let begins_s = bench.devices[0].now / 1000;
    let says = |bench: &mut Bench, days: u64| {
        let (relay, time) = (relay_keys().id(), Timestamp(bench.devices[0].now + days * DAY));
        let outputs = bench.devices[0].step(Input::News(News::Greeting { relay, time }));
        bench.release(0, outputs);
        bench.pass(120_000);
    };
    let path = InviteLink::parse(&made.link).unwrap().secret.path();
    for days in [6, 7, 14, 19, 30] {
        says(&mut bench, days);
        let begins = Deck::decode(&bench.relay.doors[&path].1).unwrap().begins_s;
        assert!((begins_s..=begins_s + 86_400).contains(&begins), "{days}");
    }
    assert_eq!(publics(&mut bench)[0].state, InviteState::Expired);
    says(&mut bench, 0);
    assert_eq!(publics(&mut bench)[0].state, InviteState::Open);
    bench.pass(8 * DAY);
    assert_eq!(at_the_door(&bench, &made), made.days[8].iter().cloned().collect());
    // Over by the clock for as long as it lies: the door goes on, a day early.
    says(&mut bench, 30);
    bench.pass(8 * DAY);
    assert_eq!(publics(&mut bench)[0].state, InviteState::Expired);
    assert_eq!(at_the_door(&bench, &made), made.days[17].iter().cloned().collect());
}

/// While its device is away a door goes on for the days it has, then answers nobody until the device is back.
#[test]
fn a_door_outlives_its_device_by_seven_days_and_goes_on_when_it_is_back_pub_4() {
    let mut bench = people(1);
    let made = make(&mut bench, wish(routes(40), 20, Some(2))).unwrap();
    bench.devices[0].now += 6 * DAY;
    assert_eq!(at_the_door(&bench, &made), made.days[6].iter().cloned().collect());
    bench.devices[0].now += DAY;
    assert!(at_the_door(&bench, &made).is_empty());
    bench.pass(1);
    assert_eq!(at_the_door(&bench, &made), made.days[7].iter().cloned().collect());
}

#[test]
fn no_door_stands_on_a_relay_that_a_contact_has_lent_and_none_of_those_is_dealt_pub_4() {
    let mut bench = people(1);
    change(&mut bench, 0, "UPDATE relay SET own = 0");
    assert_eq!(make(&mut bench, wish(routes(4), 3, None)).unwrap_err(), Fault::NoRelay);
    change(&mut bench, 0, "UPDATE relay SET own = 1");
    let route = route_to(4, &address(4));
    let private = false;
    bench.ask(0, Command::RelayAdd(RelayAdd { route, private })).unwrap();
    change(
        &mut bench,
        0,
        "UPDATE relay SET own = 0 WHERE address = '192.0.2.4:9735'",
    );
    let lent = make(&mut bench, wish(routes(5), 3, None));
    assert_eq!(lent.unwrap_err(), Fault::BadParams);
}

#[test]
fn what_is_reached_from_less_far_than_the_door_is_not_dealt_pub_4() {
    let mut bench = people(1);
    change(&mut bench, 0, "UPDATE relay SET address = '198.51.100.1:9735'");
    for near in ["192.168.1.4:9735", "127.0.0.1:9735"] {
        let with = [routes(4), vec![route_to(5, near)]].concat();
        assert_eq!(make(&mut bench, wish(with, 3, None)).unwrap_err(), Fault::BadParams);
    }
    assert!(make(&mut bench, wish(routes(5), 3, None)).is_ok());
}

#[test]
fn it_ends_with_its_days_or_when_it_is_closed_pub_4() {
    let mut bench = people(2);
    let made = make(&mut bench, wish(routes(4), 2, None)).unwrap();
    bench.pass(2 * DAY + 1_000);
    assert_eq!(publics(&mut bench)[0].state, InviteState::Expired);
    assert_eq!(
        bench.relay.doors.len(),
        1,
        "it goes by the relay's clock: this one may be wrong"
    );
    assert_eq!(publics(&mut bench)[0].days, made.days, "what was dealt is still known");
    let made = make(&mut bench, wish(routes(4), 2, None)).unwrap();
    bench
        .ask(0, Command::PublicRevoke(ById { id: made.id.clone() }))
        .unwrap();
    assert_eq!(publics(&mut bench)[0].state, InviteState::Revoked);
    assert_eq!(take_up(&mut bench, 1, &made), AcceptanceState::DoorSpent);
    let none = bench.ask(0, Command::PublicRevoke(ById { id: "00".repeat(16) }));
    assert_eq!(none.unwrap_err(), Fault::NotFound);
}

#[test]
fn a_newcomer_is_dealt_one_relay_to_name_and_one_to_keep_and_nobody_hears_of_it_pub_5() {
    let mut bench = people(2);
    let made = make(&mut bench, wish(routes(4), 2, None)).unwrap();
    assert_eq!(take_up(&mut bench, 1, &made), AcceptanceState::Dealt);
    let [first, second] = &made.days[0][..] else {
        panic!("{:?}", made.days)
    };
    let both = BTreeSet::from([(first.clone(), false), (second.clone(), true)]);
    assert_eq!(dealt(&mut bench, 1).into_iter().collect::<BTreeSet<_>>(), both);
    bench.pass(60_000);
    let claims = InviteLink::parse(&made.link).unwrap().secret.token(ROLE_CLAIM).tag();
    assert!(!bench.relay.boxes.contains_key(&claims), "no claim is sent");
    for device in 0..2 {
        assert_eq!(number(&mut bench, device, "SELECT count(*) FROM contact"), 0);
        assert_eq!(number(&mut bench, device, "SELECT count(*) FROM chat WHERE own = 0"), 0);
    }
    // The one that is kept stands in no invitation.
    change(
        &mut bench,
        1,
        "UPDATE relay SET added_at = added_at + 1 WHERE address = '127.0.0.1:9'",
    );
    let names = "SELECT count(*) FROM relay WHERE own = 1 AND private = 1";
    assert_eq!(number(&mut bench, 1, names), 1);
}

#[test]
fn it_can_be_taken_up_again_and_gives_what_it_gives_on_that_day_pub_6() {
    let mut bench = people(2);
    let made = make(&mut bench, wish(routes(4), 2, None)).unwrap();
    assert_eq!(take_up(&mut bench, 1, &made), AcceptanceState::Dealt);
    assert_eq!(take_up(&mut bench, 1, &made), AcceptanceState::Dealt);
    assert_eq!(dealt(&mut bench, 1).len(), 2, "the same ones on the same day");
    bench.pass(DAY);
    assert_eq!(take_up(&mut bench, 1, &made), AcceptanceState::Dealt);
    let all: BTreeSet<String> = dealt(&mut bench, 1).into_iter().map(|(address, _)| address).collect();
    assert_eq!(all, (1..=4).map(address).collect());
    assert_eq!(number(&mut bench, 1, "SELECT count(*) FROM acceptance"), 1);
}

/// Whoever read the same link knows it too: that one stands with it says nothing.
#[test]
fn an_entrance_of_ones_own_is_dealt_before_one_that_a_public_invitation_gave_pub_5() {
    let mut bench = people(2);
    let made = make(&mut bench, wish(routes(4), 2, None)).unwrap();
    assert_eq!(take_up(&mut bench, 1, &made), AcceptanceState::Dealt);
    assert_eq!(bench.numbers(1, "SELECT dealt FROM relay ORDER BY dealt"), [0, 1, 1]);
    bench.pass(1_000);
    let (route, private) = (route_to(9, &address(9)), true);
    bench.ask(1, Command::RelayAdd(RelayAdd { route, private })).unwrap();
    let second = (1..=4).find(|n| address(*n) == made.days[0][1]).unwrap();
    for entrance in [relay(second), relay(9)] {
        greets(&mut bench, 1, entrance);
    }
    let invite = bench.invite(0, Who::One, How::Plain);
    bench.accept(1, &invite.link, None).unwrap();
    bench.pass(DAY / 24);
    let dealt = "SELECT count(*) FROM entrance e JOIN relay r USING (relay) WHERE r.address = '192.0.2.9:9735'";
    assert_eq!(number(&mut bench, 1, dealt), 1);
    assert_eq!(number(&mut bench, 1, "SELECT count(*) FROM entrance"), 1);
}

#[test]
fn one_that_was_only_lent_becomes_ones_own_and_a_near_one_is_left_alone_pub_5() {
    let mut bench = people(2);
    let made = make(&mut bench, wish(routes(4), 2, None)).unwrap();
    for n in 1..=4 {
        let (route, private) = (route_to(n, &address(n)), false);
        bench.ask(1, Command::RelayAdd(RelayAdd { route, private })).unwrap();
    }
    change(&mut bench, 1, "UPDATE relay SET own = 0 WHERE address <> '127.0.0.1:9'");
    let near = format!("UPDATE relay SET near = 1 WHERE address = '{}'", made.days[0][1]);
    change(&mut bench, 1, &near);
    assert_eq!(take_up(&mut bench, 1, &made), AcceptanceState::Dealt);
    assert_eq!(dealt(&mut bench, 1), [(made.days[0][0].clone(), false)]);
    assert_eq!(number(&mut bench, 1, "SELECT count(*) FROM relay WHERE near = 1"), 1);
}

#[test]
fn a_relay_that_is_known_stays_as_it_is_pub_5() {
    let mut bench = people(2);
    let made = make(&mut bench, wish(routes(4), 2, None)).unwrap();
    let first = (1..=4).find(|n| address(*n) == made.days[0][0]).unwrap();
    let route = route_to(first, "192.0.2.99:1");
    bench
        .ask(1, Command::RelayAdd(RelayAdd { route, private: true }))
        .unwrap();
    assert_eq!(take_up(&mut bench, 1, &made), AcceptanceState::Dealt);
    assert_eq!(
        dealt(&mut bench, 1),
        [(made.days[0][1].clone(), true), ("192.0.2.99:1".to_owned(), true)]
    );
}

#[test]
fn where_there_is_no_room_for_both_none_is_added_pub_5() {
    let mut bench = people(2);
    let made = make(&mut bench, wish(routes(4), 2, None)).unwrap();
    for number in 100..162 {
        let route = route_to(number, &address(number));
        let private = false;
        bench.ask(1, Command::RelayAdd(RelayAdd { route, private })).unwrap();
    }
    assert_eq!(own(&mut bench, 1).len(), 63);
    assert_eq!(take_up(&mut bench, 1, &made), AcceptanceState::NoRoom);
    assert_eq!(own(&mut bench, 1).len(), 63);
    change(&mut bench, 1, "DELETE FROM relay WHERE address = '192.0.2.161:9735'");
    assert_eq!(take_up(&mut bench, 1, &made), AcceptanceState::Dealt);
    assert_eq!(own(&mut bench, 1).len(), 64);
}

fn knocks(errands: &[Errand]) -> Vec<Vec<String>> {
    let knocks = errands.iter().filter_map(|errand| match errand {
        Errand::Knock(knock) => Some(knock.hints.clone()),
        _ => None,
    });
    knocks.collect()
}

/// One relay of the link gives rubbish: the next is asked, also after a start; where all do, that is the end.
#[test]
fn what_one_relay_of_a_link_gives_wrongly_another_may_give_rightly_meet_4() {
    let mut bench = people(2);
    for number in 10..12 {
        let route = route_to(number, &address(number));
        bench.pass(1_000);
        bench
            .ask(0, Command::RelayAdd(RelayAdd { route, private: false }))
            .unwrap();
        greets(&mut bench, 0, relay(number));
    }
    let made = make(&mut bench, wish(routes(4), 3, None)).unwrap();
    let [first, second, third] = ["127.0.0.1:9".to_owned(), address(10), address(11)];
    let link = made.code.clone();
    let wrong = |bench: &mut Bench, id, card: Vec<u8>| {
        let outputs = bench.devices[1].step(Input::News(News::Knocked { id, card }));
        knocks(&outputs.errands)
    };
    for ends_well in [true, false] {
        let accept = Command::Accept(Accept {
            link: link.clone(),
            spoken_words: None,
        });
        let outputs = bench.devices[1].step(Input::Command(accept));
        assert_eq!(knocks(&outputs.errands), [[&first, &second, &third].map(Clone::clone)]);
        let id: [u8; 16] = hex::decode(bench.acceptance(1).id).unwrap().try_into().unwrap();
        let asked = wrong(&mut bench, id, vec![1; HAND_BUCKET]);
        assert_eq!(asked, [[&second, &third, &first].map(Clone::clone)]);
        assert_eq!(bench.acceptance(1).state, AcceptanceState::Saved);
        let outputs = bench.devices[1].step(Input::Started);
        assert_eq!(knocks(&outputs.errands), [[&second, &third, &first].map(Clone::clone)]);
        // Of the length of a card, too.
        let asked = wrong(&mut bench, id, vec![1; 16_384]);
        assert_eq!(asked, [[&third, &first, &second].map(Clone::clone)]);
        if ends_well {
            let secret = InviteLink::parse(&link).unwrap().secret;
            let (_, bytes) = bench.relay.doors[&secret.path()].clone();
            let hand = Deck::decode(&bytes).unwrap().open_on(0)[0].to_vec();
            assert!(wrong(&mut bench, id, hand).is_empty());
            assert_eq!(bench.acceptance(1).state, AcceptanceState::Dealt);
        } else {
            assert!(wrong(&mut bench, id, vec![1; HAND_BUCKET]).is_empty());
            assert_eq!(bench.acceptance(1).state, AcceptanceState::CardWrong);
        }
    }
}

/// Replaces all hands behind the door.
fn swap(bench: &mut Bench, made: &PublicInvite, change: impl FnOnce(&mut Hand)) {
    let secret = InviteLink::parse(&made.link).unwrap().secret;
    let (_, bytes) = bench.relay.doors[&secret.path()].clone();
    let old = Deck::decode(&bytes).unwrap();
    let mut hand = opened(&secret, old.open_on(0)[0]);
    change(&mut hand);
    let (key, tag) = (secret.key(ROLE_HAND), secret.token(ROLE_HAND).tag());
    let sealed = envelope::seal_into(&key, tag, [1; 16], &hand.encode(), HAND_BUCKET).unwrap();
    let count = old.bytes().len() / HAND_BUCKET;
    let hands = vec![sealed.into_bytes(); count];
    bench.relay.doors.get_mut(&secret.path()).unwrap().1 = deck(old.begins_s, old.a_day, &hands);
}

fn opened(secret: &InviteSecret, sealed: &[u8]) -> Hand {
    let sealed = Envelope::decode(sealed.to_vec()).unwrap();
    match envelope::open(&secret.key(ROLE_HAND), &sealed).unwrap() {
        envelope::Content::Whole(plain) => Hand::decode(&plain).unwrap(),
        envelope::Content::Part(_) => panic!("a part"),
    }
}

#[test]
fn a_hand_that_the_account_of_the_link_has_not_signed_is_not_taken_pub_5() {
    type Change = fn(&mut Hand);
    let changes: [Change; 3] = [
        |hand| hand.relays[0].address = "192.0.2.66:1".into(),
        |hand| hand.expires_at_s += 1,
        |hand| hand.mldsa_hash = [0; 32],
    ];
    for change in changes {
        let mut bench = people(2);
        let made = make(&mut bench, wish(routes(4), 2, None)).unwrap();
        swap(&mut bench, &made, change);
        assert_eq!(take_up(&mut bench, 1, &made), AcceptanceState::CardWrong);
        assert!(dealt(&mut bench, 1).is_empty());
    }
    // Another account's, signed by that one.
    let mut bench = people(2);
    let made = make(&mut bench, wish(routes(4), 2, None)).unwrap();
    swap(&mut bench, &made, |hand| {
        let other = ed25519_dalek::SigningKey::from_bytes(&[5; 32]);
        hand.account_ed25519 = other.verifying_key().to_bytes();
        hand.signature = ed25519_dalek::Signer::sign(&other, &hand.signed_bytes()).to_bytes();
    });
    assert_eq!(take_up(&mut bench, 1, &made), AcceptanceState::CardWrong);
}

#[test]
fn a_hand_that_has_expired_is_not_taken_pub_5() {
    let mut bench = people(2);
    let made = make(&mut bench, wish(routes(4), 2, None)).unwrap();
    bench.devices[1].now += 2 * DAY + 1_000;
    bench.greet(1);
    // The link's day is rounded up: it may be taken up still, and what the door gives says that it is over.
    let secret = InviteLink::parse(&made.link).unwrap().secret;
    let (_, bytes) = bench.relay.doors[&secret.path()].clone();
    let old = Deck::decode(&bytes).unwrap();
    let hands: Vec<Vec<u8>> = old.open_on(0).into_iter().map(<[u8]>::to_vec).collect();
    bench.relay.doors.get_mut(&secret.path()).unwrap().1 = deck(bench.devices[1].now / 1000, 1, &hands);
    assert_eq!(take_up(&mut bench, 1, &made), AcceptanceState::Expired);
    assert!(dealt(&mut bench, 1).is_empty());
}
