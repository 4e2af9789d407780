//! Which relays carry a conversation, and how that changes.

use crate::bench::{Bench, Device, relay_keys};
use crate::content::query;
use crate::forks::{change, number};
use crate::groups::{self, account, circle, create};
use std::collections::BTreeSet;
use stonechat_core::Input;
use stonechat_core::api::{self, Answer, Command, Fault, Query};
use stonechat_wire::address::ways;
use stonechat_wire::exchange::{Errand, NamedBy, News, Parcel};
use stonechat_wire::group::{GroupState, Role};
use stonechat_wire::ids::{RelayId, Timestamp};
use stonechat_wire::route::{RelayKeys, RelayRoute};

const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;

/// A relay that is not the bench's.
fn other(number: u8) -> RelayId {
    RelayKeys::from_bytes([number; RelayKeys::SIZE]).id()
}

fn route(number: u8) -> String {
    RelayRoute {
        address: format!("192.0.2.{number}:9735"),
        relay: other(number),
        secret: Some([number; 16]),
        lan: false,
    }
    .to_text()
}

fn id(relay: RelayId) -> String {
    hex::encode(relay.as_bytes())
}

fn adds(bench: &mut Bench, device: usize, number: u8, private: bool) {
    let wish = api::RelayAdd {
        route: route(number),
        private,
    };
    bench.ask(device, Command::RelayAdd(wish)).unwrap();
}

fn takes_back(bench: &mut Bench, device: usize, relay: RelayId) -> Result<(), Fault> {
    let wish = api::ById { id: id(relay) };
    bench.ask(device, Command::RelayRemove(wish)).map(drop)
}

fn greets(bench: &mut Bench, device: usize, relay: RelayId) {
    let time = Timestamp(bench.devices[device].now);
    news(bench, device, News::Greeting { relay, time });
}

fn is_gone(bench: &mut Bench, device: usize, relay: RelayId) {
    news(bench, device, News::Gone { relay });
}

fn news(bench: &mut Bench, device: usize, news: News) {
    let outputs = bench.devices[device].step(Input::News(news));
    bench.release(device, outputs);
    bench.settle();
}

/// Ana adds a relay, which greets, and all have heard of it.
fn brings(bench: &mut Bench, device: usize, number: u8) {
    adds(bench, device, number, false);
    greets(bench, device, other(number));
    bench.pass(MINUTE);
}

/// By whom a device was told to use a relay.
fn told_of(device: &Device, relay: RelayId) -> Vec<NamedBy> {
    let named = device.told.iter().filter_map(|errand| match errand {
        Errand::UseRelay(route, _, by) if route.relay == relay => Some(*by),
        _ => None,
    });
    named.collect()
}

/// So many mailboxes a device reads at a relay.
fn reads(bench: &mut Bench, device: usize, relay: RelayId) -> i64 {
    let sql = format!("SELECT count(*) FROM listening WHERE relay = x'{}'", id(relay));
    number(bench, device, &sql)
}

fn last(bench: &Bench, device: usize) -> Parcel {
    bench.devices[device].sent.last().unwrap().clone()
}

/// The last parcel of a text, and where it goes.
fn says(bench: &mut Bench, device: usize, text: &str) -> Vec<RelayId> {
    let before = bench.devices[device].sent.len();
    bench.say(device, 1, text);
    bench.devices[device].sent[before].relays.clone()
}

fn shown(bench: &Bench, device: usize) -> Vec<(RelayId, bool, Vec<String>)> {
    let status = match query(bench, device, Query::Status) {
        Answer::Status(status) => status,
        other => panic!("{other:?}"),
    };
    let relays = status.relays.into_iter().map(|relay| {
        let id: [u8; 16] = hex::decode(&relay.id).unwrap().try_into().unwrap();
        (RelayId::from_bytes(id), relay.private, relay.dealt_to)
    });
    relays.collect()
}

#[test]
fn a_relay_that_is_added_is_told_of_once_it_has_greeted_rel_4() {
    let mut bench = Bench::friends();
    adds(&mut bench, 0, 8, false);
    bench.pass(DAY);
    assert!(told_of(&bench.devices[1], other(8)).is_empty(), "it never answered");
    greets(&mut bench, 0, other(8));
    bench.pass(MINUTE);
    assert_eq!(told_of(&bench.devices[1], other(8)), [NamedBy::Others]);
    assert!(reads(&mut bench, 0, other(8)) > 0 && reads(&mut bench, 1, other(8)) > 0);
    assert!(says(&mut bench, 1, "there too").contains(&other(8)));
    // Nothing is said again on any later day.
    bench.pass(MINUTE);
    let sent = bench.devices[0].sent.len();
    greets(&mut bench, 0, other(8));
    bench.pass(MINUTE);
    assert_eq!(bench.devices[0].sent.len(), sent);
}

#[test]
fn one_that_never_greeted_is_not_told_of_beside_another_rel_4() {
    let mut bench = Bench::friends();
    adds(&mut bench, 0, 8, false);
    brings(&mut bench, 0, 9);
    assert_eq!(told_of(&bench.devices[1], other(9)), [NamedBy::Others]);
    assert!(told_of(&bench.devices[1], other(8)).is_empty());
}

#[test]
fn an_ordinary_conversation_says_nothing_of_relays_rel_4() {
    let mut bench = Bench::friends();
    bench.pass(10 * MINUTE);
    let sent = bench.devices[0].sent.len();
    greets(&mut bench, 0, relay_keys().id());
    bench.pass(MINUTE);
    assert_eq!(bench.devices[0].sent.len(), sent);
    assert_eq!(number(&mut bench, 0, "SELECT count(*) FROM relays_said"), 0);
}

#[test]
fn who_is_met_later_hears_of_what_the_invitation_did_not_name_rel_4() {
    let mut bench = Bench::with(2);
    adds(&mut bench, 0, 8, false);
    greets(&mut bench, 0, other(8));
    let invite = bench.invite(0, api::Who::One, api::How::Plain);
    bench.accept(1, &invite.link, None).unwrap();
    bench.pass(MINUTE);
    assert_eq!(told_of(&bench.devices[1], other(8)), [NamedBy::Others]);
}

#[test]
fn what_waits_is_put_at_a_relay_that_comes_in_rel_2() {
    let mut bench = Bench::friends();
    bench.pass(MINUTE);
    bench.devices[1].cut = true;
    bench.say(0, 1, "unheard");
    let text = last(&bench, 0).envelope.id();
    brings(&mut bench, 0, 8);
    let again = bench.devices[0]
        .sent
        .iter()
        .filter(|parcel| parcel.envelope.id() == text);
    assert_eq!(again.filter(|parcel| parcel.relays.contains(&other(8))).count(), 1);
}

#[test]
fn a_relay_that_somebody_brought_is_named_to_nobody_else_rel_2() {
    let mut bench = Bench::friends();
    brings(&mut bench, 0, 8);
    bench.devices.push(Device::new(3));
    let init = api::Init {
        name: "Cy".into(),
        relays: vec![],
        words: None,
    };
    bench.ask(2, Command::Init(init)).unwrap();
    let invite = bench.invite(1, api::Who::One, api::How::Plain);
    bench.accept(2, &invite.link, None).unwrap();
    bench.pass(MINUTE);
    let wish = api::GroupCreate {
        name: "The dacha".into(),
        members: vec![account(&mut bench, 2)],
        large: false,
    };
    bench.ask(1, Command::GroupCreate(wish)).unwrap();
    bench.pass(MINUTE);
    assert!(!told_of(&bench.devices[2], relay_keys().id()).is_empty());
    assert!(told_of(&bench.devices[2], other(8)).is_empty());
}

#[test]
fn in_a_group_an_owner_brings_and_a_member_does_not_rel_2() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    bench.pass(MINUTE);
    brings(&mut bench, 0, 8);
    let sql = |relay: RelayId| {
        let of = "c JOIN conversation v USING (group_id) WHERE v.grouped = 1";
        format!(
            "SELECT count(*) FROM conversation_relay {of} AND c.relay = x'{}'",
            id(relay)
        )
    };
    assert_eq!(number(&mut bench, 2, &sql(other(8))), 1);
    // A member says it as well, whose own device was made to believe that it is an owner.
    make_owner(&mut bench, 1);
    brings(&mut bench, 1, 9);
    assert_eq!(number(&mut bench, 1, &sql(other(9))), 1, "it was said");
    let said = "SELECT count(*) FROM relays_said r JOIN conversation v USING (group_id) WHERE v.grouped = 1";
    assert_eq!(number(&mut bench, 1, said), 2);
    assert_eq!(number(&mut bench, 2, &sql(other(9))), 0, "to no effect");
    assert_eq!(number(&mut bench, 0, &sql(other(9))), 0, "to no effect");
}

/// Writes into a device's own rows that it is an owner.
fn make_owner(bench: &mut Bench, device: usize) {
    let me = account(bench, device);
    let head = groups::head(bench, device);
    let tx = bench.devices[device].store.begin().unwrap();
    let state: Vec<u8> = tx
        .query_row("SELECT state FROM epoch WHERE epoch_id = ?", [&head], |row| row.get(0))
        .unwrap();
    let mut state = GroupState::decode(&state).unwrap();
    for seat in &mut state.seats {
        if hex::encode(seat.account.as_bytes()) == me {
            seat.role = Role::Owner;
        }
    }
    state.seats.sort_by_key(|seat| seat.role);
    tx.execute(
        "UPDATE epoch SET state = ? WHERE epoch_id = ?",
        rusqlite::params![state.encode(), head],
    )
    .unwrap();
    tx.commit().unwrap();
    bench.devices[device].core.forget();
}

#[test]
fn an_older_word_has_no_effect_rel_1() {
    let mut bench = Bench::friends();
    brings(&mut bench, 0, 8);
    change(&mut bench, 1, "UPDATE relays_said SET number = 9000000000000000000");
    brings(&mut bench, 0, 9);
    assert!(reads(&mut bench, 0, other(9)) > 0);
    assert_eq!(reads(&mut bench, 1, other(9)), 0);
    assert!(told_of(&bench.devices[1], other(9)).is_empty(), "nor is it called");
}

#[test]
fn a_relay_that_is_taken_back_is_read_for_a_month_and_put_to_no_more_rel_3() {
    let mut bench = Bench::friends();
    brings(&mut bench, 0, 8);
    assert_eq!(takes_back(&mut bench, 0, other(8)), Ok(()));
    bench.pass(MINUTE);
    for device in 0..2 {
        assert!(!says(&mut bench, device, "elsewhere").contains(&other(8)), "{device}");
        assert!(reads(&mut bench, device, other(8)) > 0, "{device}");
    }
    assert!(shown(&bench, 0).iter().all(|(relay, ..)| *relay != other(8)));
    bench.pass(29 * DAY);
    assert!(reads(&mut bench, 1, other(8)) > 0);
    bench.pass(9 * DAY);
    for device in 0..2 {
        assert_eq!(reads(&mut bench, device, other(8)), 0, "{device}");
        let sql = format!("SELECT count(*) FROM relay WHERE relay = x'{}'", id(other(8)));
        assert_eq!(number(&mut bench, device, &sql), 0, "{device}");
    }
    assert_eq!(takes_back(&mut bench, 0, other(8)), Err(Fault::NotFound));
}

#[test]
fn a_relay_from_the_beginning_is_taken_back_where_another_one_is_rel_3() {
    let mut bench = Bench::friends();
    // The last one stays, whatever is said.
    takes_back(&mut bench, 0, relay_keys().id()).unwrap();
    bench.pass(MINUTE);
    assert_eq!(says(&mut bench, 1, "here"), [relay_keys().id()]);
    assert_eq!(says(&mut bench, 0, "here"), [relay_keys().id()]);
    // Where there is another one, it goes.
    brings(&mut bench, 0, 8);
    assert_eq!(says(&mut bench, 1, "there"), [other(8)]);
    assert_eq!(says(&mut bench, 0, "there"), [other(8)]);
}

#[test]
fn each_contact_is_dealt_an_entrance_of_its_own_and_it_is_seen_whose_it_is_rel_5() {
    let mut bench = circle(3);
    for number in [8, 9] {
        adds(&mut bench, 0, number, true);
        greets(&mut bench, 0, other(number));
    }
    bench.pass(9 * MINUTE);
    assert!(
        told_of(&bench.devices[1], other(8)).is_empty(),
        "there may be more of them"
    );
    bench.pass(30 * MINUTE);
    let of = |device: &Device| [8, 9].map(|number| told_of(device, other(number)).len());
    assert_eq!(of(&bench.devices[1]).iter().sum::<usize>(), 1);
    assert_eq!(of(&bench.devices[2]).iter().sum::<usize>(), 1);
    assert_ne!(of(&bench.devices[1]), of(&bench.devices[2]), "one each");
    let entrances: Vec<_> = shown(&bench, 0)
        .into_iter()
        .filter(|(_, private, _)| *private)
        .collect();
    let mut dealt: Vec<String> = entrances.into_iter().flat_map(|(.., to)| to).collect();
    dealt.sort();
    assert_eq!(dealt, ["Bo", "Cy"]);
}

#[test]
fn a_private_relay_is_named_in_no_invitation_and_no_group_rel_5() {
    let mut bench = circle(2);
    adds(&mut bench, 0, 8, true);
    greets(&mut bench, 0, other(8));
    bench.pass(30 * MINUTE);
    create(&mut bench, &[1]);
    bench.pass(MINUTE);
    let sql =
        "SELECT count(*) FROM conversation_relay c JOIN conversation v USING (group_id) JOIN relay r USING (relay)
               WHERE v.grouped = 1 AND r.private = 1";
    assert_eq!(number(&mut bench, 0, sql), 0);
    let invite = bench.invite(0, api::Who::One, api::How::Plain);
    let sql = format!(
        "SELECT count(*) FROM invite WHERE relay = x'{}' OR instr(card, x'{}') > 0",
        id(other(8)),
        id(other(8))
    );
    assert_eq!(number(&mut bench, 0, &sql), 0, "{}", invite.id);
    let words = match bench.ask(0, Command::Words) {
        Ok(api::Reply::Words(words)) => words,
        other => panic!("{other:?}"),
    };
    assert!(
        !words.doors.contains(&route(8)),
        "what is written down with the words is shown around"
    );
}

#[test]
fn another_entrance_is_dealt_after_a_month_and_only_for_a_dead_one_rel_5() {
    let mut bench = Bench::friends();
    for number in [8, 9] {
        adds(&mut bench, 0, number, true);
        greets(&mut bench, 0, other(number));
        bench.pass(MINUTE);
    }
    bench.pass(30 * MINUTE);
    assert_eq!(told_of(&bench.devices[1], other(8)).len(), 1);
    let later = |bench: &mut Bench, days: u64| {
        bench.pass(days * DAY);
        greets(bench, 0, other(9));
        bench.pass(30 * MINUTE);
        told_of(&bench.devices[1], other(9)).len()
    };
    // Blocked within the month: nothing else is given away.
    is_gone(&mut bench, 0, other(8));
    assert_eq!(later(&mut bench, 20), 0);
    brings(&mut bench, 0, 7);
    assert!(
        told_of(&bench.devices[1], other(9)).is_empty(),
        "nor where something else is said"
    );
    // A month later it lives.
    greets(&mut bench, 0, other(8));
    assert_eq!(later(&mut bench, 11), 0);
    is_gone(&mut bench, 0, other(8));
    assert_eq!(later(&mut bench, 0), 0, "a moment is not dead");
    assert_eq!(later(&mut bench, 2), 1);
    assert!(!says(&mut bench, 0, "by the new one").contains(&other(8)));
}

#[test]
fn of_relays_that_others_bring_so_many_are_known_rel_6() {
    let mut bench = Bench::friends();
    change(
        &mut bench,
        1,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 256)
         INSERT INTO relay(relay, address, own, chosen, brought, added_at)
         SELECT unhex(printf('%032x', i)), '192.0.2.1:' || i, 0, 1, 1, 0 FROM n",
    );
    brings(&mut bench, 0, 8);
    assert!(told_of(&bench.devices[1], other(8)).is_empty(), "no room");
    change(
        &mut bench,
        1,
        "DELETE FROM relay WHERE relay = unhex(printf('%032x', 7))",
    );
    brings(&mut bench, 0, 9);
    let told = [8, 9].map(|number| told_of(&bench.devices[1], other(number)).len());
    assert_eq!(told.iter().sum::<usize>(), 1, "room for one");
}

#[test]
fn of_relays_taken_back_the_newest_few_are_read_rel_6() {
    let mut bench = Bench::friends();
    for number in 10..22 {
        brings(&mut bench, 0, number);
        takes_back(&mut bench, 0, other(number)).unwrap();
        bench.pass(MINUTE);
    }
    let sql = "SELECT count(*) FROM conversation_relay WHERE taken_at IS NOT NULL";
    for device in 0..2 {
        assert_eq!(number(&mut bench, device, sql), 8, "{device}");
        assert_eq!(reads(&mut bench, device, other(10)), 0, "{device}");
        assert!(reads(&mut bench, device, other(21)) > 0, "{device}");
    }
}

/// Ana and Bo with three relays, all of which greet Ana.
fn three() -> Bench {
    let mut bench = Bench::friends();
    brings(&mut bench, 0, 8);
    brings(&mut bench, 0, 9);
    greets(&mut bench, 0, relay_keys().id());
    bench.pass(MINUTE);
    bench
}

#[test]
fn a_message_goes_where_a_relay_is_reached_and_the_other_side_was_heard_out_3() {
    let mut bench = three();
    bench.say(1, 1, "heard at the bench's");
    bench.pass(MINUTE);
    assert_eq!(says(&mut bench, 0, "a")[0], relay_keys().id());
    let first = format!("UPDATE relay SET added_at = relay = x'{}'", id(relay_keys().id()));
    change(&mut bench, 0, &first);
    assert_eq!(
        says(&mut bench, 0, "a")[0],
        relay_keys().id(),
        "though others are older"
    );
    is_gone(&mut bench, 0, relay_keys().id());
    let mut both = says(&mut bench, 0, "b");
    both.sort_by_key(|relay| *relay == other(9));
    assert_eq!(both, [other(8), other(9)]);
    is_gone(&mut bench, 0, other(8));
    let to = says(&mut bench, 0, "c");
    assert_eq!(to[0], other(9), "the one that is reached");
}

#[test]
fn what_nobody_confirms_goes_to_the_other_relays_too_out_11() {
    let mut bench = three();
    bench.devices[1].cut = true;
    let first = says(&mut bench, 0, "unheard");
    let text = last(&bench, 0).envelope.id();
    let goes_to = |bench: &Bench| {
        let parcels = bench.devices[0]
            .sent
            .iter()
            .filter(|parcel| parcel.envelope.id() == text);
        let mut all: Vec<RelayId> = parcels.flat_map(|parcel| parcel.relays.clone()).collect();
        all.sort();
        all.dedup();
        all.len()
    };
    assert_eq!((first.len(), goes_to(&bench)), (2, 2));
    bench.pass(MINUTE - 1000);
    assert_eq!(goes_to(&bench), 2);
    bench.pass(2000);
    assert_eq!(goes_to(&bench), 3);
    let sent = bench.devices[0].sent.len();
    bench.pass(60 * MINUTE);
    assert_eq!(bench.devices[0].sent.len(), sent, "once to each");
}

#[test]
fn where_none_of_its_relays_is_reached_another_one_is_looked_for_soon_out_11() {
    let mut bench = three();
    let all = [relay_keys().id(), other(8), other(9)];
    for relay in all {
        is_gone(&mut bench, 0, relay);
    }
    bench.devices[0].cut = true;
    let first = says(&mut bench, 0, "to nobody");
    let third = all.into_iter().find(|relay| !first.contains(relay)).unwrap();
    bench.pass(33 * MINUTE);
    assert!(
        bench.devices[0]
            .sent
            .iter()
            .all(|parcel| parcel.class != last(&bench, 0).class
                || !parcel.relays.contains(&third)
                || parcel.envelope.id() != last(&bench, 0).envelope.id())
    );
    greets(&mut bench, 0, third);
    bench.pass(11_000);
    assert!(last(&bench, 0).relays.contains(&third));
}

#[test]
fn what_no_relay_has_stored_goes_elsewhere_soon_after_one_is_lost_out_11() {
    let mut bench = three();
    bench.devices[0].cut = true;
    let first = says(&mut bench, 0, "to nobody");
    let third = [relay_keys().id(), other(8), other(9)];
    let third = third.into_iter().find(|relay| !first.contains(relay)).unwrap();
    let sent = bench.devices[0].sent.len();
    is_gone(&mut bench, 0, first[0]);
    bench.pass(9_000);
    assert_eq!(bench.devices[0].sent.len(), sent, "it may be back in a moment");
    bench.pass(2_000);
    assert!(last(&bench, 0).relays.contains(&third));
}

/// The addresses at which a device was told to use a relay, since its start.
fn addresses_of(device: &Device, relay: RelayId) -> Vec<(String, NamedBy)> {
    let named = device.told.iter().filter_map(|errand| match errand {
        Errand::UseRelay(route, _, by) if route.relay == relay => Some((route.address.clone(), *by)),
        _ => None,
    });
    named.collect()
}

/// What the courier has of a relay by now, in order of name.
fn ways_of(device: &Device, relay: RelayId) -> Vec<String> {
    let mut all = BTreeSet::new();
    for errand in &device.told {
        match errand {
            Errand::UseRelay(route, ..) if route.relay == relay => all.extend(ways(&route.address)),
            Errand::ForgetWays { relay: of, ways } if *of == relay => all.retain(|way| !ways.contains(way)),
            _ => {}
        }
    }
    all.into_iter().collect()
}

fn at(number: u8, port: u16) -> String {
    format!("192.0.2.{number}:{port}")
}

/// The person gives a route with another address of relay 8.
fn gives(bench: &mut Bench, device: usize, address: &str) {
    let route = RelayRoute {
        address: address.into(),
        relay: other(8),
        secret: Some([8; 16]),
        lan: false,
    }
    .to_text();
    let wish = api::RelayAdd { route, private: false };
    bench.ask(device, Command::RelayAdd(wish)).unwrap();
    bench.pass(MINUTE);
}

fn starts(bench: &mut Bench, device: usize) {
    bench.devices[device].told.clear();
    bench.devices[device].core.forget();
    let outputs = bench.devices[device].step(Input::Started);
    bench.release(device, outputs);
    bench.settle();
}

#[test]
fn where_a_relay_has_moved_to_is_told_and_the_old_address_stays_a_way_rel_7() {
    let mut bench = Bench::friends();
    brings(&mut bench, 0, 8);
    gives(&mut bench, 0, &at(8, 443));
    let told = addresses_of(&bench.devices[1], other(8));
    assert_eq!(told, [(at(8, 9735), NamedBy::Others), (at(8, 443), NamedBy::Others)]);
    let newest = "SELECT max(number) FROM relays_said";
    let said = number(&mut bench, 0, newest);
    bench.pass(DAY);
    assert_eq!(number(&mut bench, 0, newest), said, "it is said once");
    starts(&mut bench, 0);
    let both = [(at(8, 443), NamedBy::Person), (at(8, 9735), NamedBy::Person)];
    assert_eq!(addresses_of(&bench.devices[0], other(8)), both);
    starts(&mut bench, 1);
    assert_eq!(
        addresses_of(&bench.devices[1], other(8)),
        told,
        "what it is named by stays"
    );
    // Back where it was: told again, and no address stands twice.
    gives(&mut bench, 0, &at(8, 9735));
    starts(&mut bench, 0);
    let back = [(at(8, 9735), NamedBy::Person), (at(8, 443), NamedBy::Person)];
    assert_eq!(addresses_of(&bench.devices[0], other(8)), back);
    // Away a second time, by the relay that is the other's own too.
    adds(&mut bench, 1, 8, false);
    gives(&mut bench, 0, &at(8, 8443));
    greets(&mut bench, 0, other(8));
    bench.pass(MINUTE);
    starts(&mut bench, 1);
    let told = addresses_of(&bench.devices[1], other(8));
    assert_eq!(told, [(at(8, 9735), NamedBy::Person), (at(8, 8443), NamedBy::Others)]);
}

/// Not taken back meanwhile: who has no other relay would be cut off.
#[test]
fn a_move_of_a_relay_that_is_not_reached_is_told_at_once_and_takes_nothing_back_rel_7() {
    let mut bench = Bench::friends();
    brings(&mut bench, 0, 8);
    is_gone(&mut bench, 0, other(8));
    gives(&mut bench, 0, &at(8, 443));
    assert_eq!(addresses_of(&bench.devices[1], other(8)).len(), 2);
    let taken = "SELECT count(*) FROM conversation_relay WHERE taken_at IS NOT NULL";
    assert_eq!(number(&mut bench, 1, taken), 0);
    // A private one stays private, whatever is said of it when it moves.
    adds(&mut bench, 0, 9, true);
    greets(&mut bench, 0, other(9));
    let route = RelayRoute {
        address: at(9, 443),
        relay: other(9),
        secret: Some([9; 16]),
        lan: false,
    }
    .to_text();
    bench
        .ask(0, Command::RelayAdd(api::RelayAdd { route, private: false }))
        .unwrap();
    assert!(
        shown(&bench, 0)
            .iter()
            .any(|(relay, private, _)| *relay == other(9) && *private)
    );
}

/// Whoever is dialled learns the path: so who does not know the secret, or names it in the clear, is not listened to.
#[test]
fn an_address_counts_from_those_alone_who_know_the_secret_and_share_the_relay_rel_7() {
    let mut bench = circle(3);
    let says = |bench: &mut Bench, device: usize, number: u8, address: &str, secret: u8| {
        let route = RelayRoute {
            address: address.into(),
            relay: other(number),
            secret: Some([secret; 16]),
            lan: false,
        }
        .to_text();
        bench
            .ask(device, Command::RelayAdd(api::RelayAdd { route, private: false }))
            .unwrap();
        greets(bench, device, other(number));
        bench.pass(MINUTE);
    };
    let heard = |bench: &mut Bench| number(bench, 0, "SELECT count(*) FROM relay_way WHERE by IS NOT NULL");
    // Another secret.
    says(&mut bench, 0, 8, &at(8, 9735), 8);
    says(&mut bench, 1, 8, &at(8, 1), 7);
    assert_eq!(heard(&mut bench), 0);
    // In the clear where it stands inside TLS.
    says(&mut bench, 0, 10, "https://a.example:443", 10);
    says(&mut bench, 1, 10, &at(10, 1), 10);
    assert_eq!(heard(&mut bench), 0);
    says(&mut bench, 1, 10, "https://b.example:443", 10);
    assert_eq!(heard(&mut bench), 1);
    // Another secret from now on, or blocked.
    says(&mut bench, 0, 10, "https://c.example:443", 11);
    assert_eq!(heard(&mut bench), 0);
    says(&mut bench, 2, 8, &at(8, 2), 8);
    assert_eq!(heard(&mut bench), 1);
    assert_eq!(ways_of(&bench.devices[0], other(8)), [at(8, 2), at(8, 9735)]);
    let id = account(&mut bench, 2);
    bench
        .ask(0, Command::ContactBlock(api::ContactBlock { id, blocked: true }))
        .unwrap();
    assert_eq!(heard(&mut bench), 0);
    assert_eq!(ways_of(&bench.devices[0], other(8)), [at(8, 9735)], "at once");
}

fn listed(bench: &mut Bench, device: usize) -> api::Relay {
    let Answer::Status(status) = query(bench, device, Query::Status) else {
        panic!("the status")
    };
    let mut relays = status.relays.into_iter();
    relays.find(|relay| relay.id == id(other(8))).unwrap()
}

fn shown_ways(bench: &mut Bench, device: usize) -> Vec<(String, Option<String>)> {
    let ways = listed(bench, device).ways.into_iter();
    ways.map(|way| (way.address, way.said_by)).collect()
}

fn gives_up(bench: &mut Bench, device: usize, address: &str) -> Result<(), Fault> {
    let wish = api::RelayForgetWay {
        id: id(other(8)),
        address: address.into(),
    };
    bench.ask(device, Command::RelayForgetWay(wish)).map(drop)
}

#[test]
fn a_further_address_is_shown_with_its_sayer_and_can_be_given_up_for_good_rel_7() {
    let mut bench = circle(2);
    adds(&mut bench, 0, 8, false);
    adds(&mut bench, 1, 8, false);
    greets(&mut bench, 1, other(8));
    gives(&mut bench, 1, &at(8, 1));
    gives(&mut bench, 0, &at(8, 443));
    let all = [(at(8, 9735), None), (at(8, 1), Some("Bo".to_owned()))];
    assert_eq!(shown_ways(&mut bench, 0), all);
    assert_eq!(gives_up(&mut bench, 0, &at(8, 443)), Err(Fault::NotFound), "its name");
    assert_eq!(gives_up(&mut bench, 0, &at(8, 7)), Err(Fault::NotFound));
    for (address, _) in all {
        gives_up(&mut bench, 0, &address).unwrap();
        assert_eq!(gives_up(&mut bench, 0, &address), Err(Fault::NotFound));
    }
    assert_eq!(shown_ways(&mut bench, 0), []);
    assert_eq!(ways_of(&bench.devices[0], other(8)), [at(8, 443)]);
    // Said again with others, it is not heard; another address is.
    brings(&mut bench, 1, 9);
    assert_eq!(shown_ways(&mut bench, 0), []);
    starts(&mut bench, 0);
    assert_eq!(ways_of(&bench.devices[0], other(8)), [at(8, 443)]);
    gives(&mut bench, 1, &at(8, 2));
    assert_eq!(shown_ways(&mut bench, 0), [(at(8, 2), Some("Bo".to_owned()))]);
    gives(&mut bench, 0, &at(8, 1));
    assert_eq!(ways_of(&bench.devices[0], other(8)), [at(8, 1), at(8, 2), at(8, 443)]);
}

/// Whoever names a relay first is not believed for good: the person's own route takes the place of that.
#[test]
fn where_somebody_else_had_named_a_relay_the_persons_route_stands_alone_rel_7() {
    let mut bench = circle(2);
    gives(&mut bench, 1, &at(8, 666));
    greets(&mut bench, 1, other(8));
    bench.pass(MINUTE);
    assert_eq!(ways_of(&bench.devices[0], other(8)), [at(8, 666)]);
    gives(&mut bench, 0, &at(8, 9735));
    assert_eq!(ways_of(&bench.devices[0], other(8)), [at(8, 9735)]);
    assert_eq!(shown_ways(&mut bench, 0), []);
}

/// A new secret at the same address: who knew the old one says no address any more.
#[test]
fn with_a_new_secret_what_others_said_is_forgotten_at_the_same_address_too_rel_7() {
    let mut bench = circle(2);
    adds(&mut bench, 0, 8, false);
    adds(&mut bench, 1, 8, false);
    greets(&mut bench, 1, other(8));
    gives(&mut bench, 1, &at(8, 1));
    assert_eq!(shown_ways(&mut bench, 0).len(), 1);
    let route = RelayRoute {
        address: at(8, 9735),
        relay: other(8),
        secret: Some([9; 16]),
        lan: false,
    };
    let wish = api::RelayAdd {
        route: route.to_text(),
        private: false,
    };
    bench.ask(0, Command::RelayAdd(wish)).unwrap();
    assert_eq!(shown_ways(&mut bench, 0), []);
    assert_eq!(ways_of(&bench.devices[0], other(8)), [at(8, 9735)]);
}

/// What a further address shares with another one stays a way.
#[test]
fn a_number_of_two_addresses_is_given_up_with_the_second_rel_7() {
    let mut bench = circle(2);
    adds(&mut bench, 0, 8, false);
    adds(&mut bench, 1, 8, false);
    greets(&mut bench, 1, other(8));
    gives(&mut bench, 0, "relay.example:1,192.0.2.8:1");
    gives(&mut bench, 1, "relay.example:1,192.0.2.9:1");
    gives_up(&mut bench, 0, "relay.example:1,192.0.2.9:1").unwrap();
    let left = ways_of(&bench.devices[0], other(8));
    starts(&mut bench, 0);
    assert_eq!(left, ways_of(&bench.devices[0], other(8)));
    assert!(left.iter().any(|way| way == "relay.example:1"), "{left:?}");
    assert!(!left.iter().any(|way| way.contains("192.0.2.9")), "{left:?}");
}

#[test]
fn a_bridge_is_no_name_of_a_relay_that_is_another_ones_or_was_taken_back_rel_7() {
    let bridge = format!("obfs4://192.0.2.8:9443/{}", "A".repeat(70));
    let named = |bench: &mut Bench| {
        let of = listed(bench, 0);
        (of.address, of.own, of.ways.len())
    };
    let mut bench = Bench::friends();
    brings(&mut bench, 1, 8);
    assert_eq!(named(&mut bench), (at(8, 9735), false, 0));
    gives(&mut bench, 0, &bridge);
    assert_eq!(named(&mut bench), (at(8, 9735), true, 1));
    takes_back(&mut bench, 0, other(8)).unwrap();
    gives(&mut bench, 0, &bridge);
    assert_eq!(named(&mut bench), (at(8, 9735), true, 1));
}

#[test]
fn with_all_relays_known_that_may_be_one_of_them_can_move_rel_7() {
    let mut bench = Bench::friends();
    adds(&mut bench, 0, 8, false);
    for number in 100..=u8::MAX {
        let route = RelayRoute {
            relay: other(number),
            address: at(number, 1),
            secret: None,
            lan: false,
        };
        let wish = api::RelayAdd {
            route: route.to_text(),
            private: false,
        };
        if bench.ask(0, Command::RelayAdd(wish)).is_err() {
            gives(&mut bench, 0, &at(8, 443));
            assert_eq!(shown_ways(&mut bench, 0), [(at(8, 9735), None)]);
            return;
        }
    }
    panic!("the limit was never met");
}

#[test]
fn a_bridge_to_a_relay_of_ones_own_is_one_way_more_and_told_to_nobody_rel_7() {
    let mut bench = Bench::friends();
    brings(&mut bench, 0, 8);
    let bridge = format!("obfs4://192.0.2.8:9443/{}", "A".repeat(70));
    gives(&mut bench, 0, &bridge);
    bench.pass(DAY);
    assert_eq!(
        addresses_of(&bench.devices[1], other(8)),
        [(at(8, 9735), NamedBy::Others)]
    );
    starts(&mut bench, 0);
    let both = [(at(8, 9735), NamedBy::Person), (bridge, NamedBy::Person)];
    assert_eq!(addresses_of(&bench.devices[0], other(8)), both);
    takes_back(&mut bench, 0, other(8)).unwrap();
    bench.pass(40 * DAY);
    assert_eq!(number(&mut bench, 0, "SELECT count(*) FROM relay_way"), 0);
}

/// Somebody who says ever new addresses is kept one, and takes no place of what others say, nor of the person's.
#[test]
fn of_a_relay_two_addresses_that_others_say_are_kept_one_of_each_rel_7() {
    let mut bench = circle(4);
    let ways = |bench: &mut Bench| {
        let before = ways_of(&bench.devices[0], other(8));
        starts(bench, 0);
        assert_eq!(before, ways_of(&bench.devices[0], other(8)), "the same without a start");
        let mut all: Vec<String> = addresses_of(&bench.devices[0], other(8))
            .into_iter()
            .map(|(way, _)| way)
            .collect();
        all.sort();
        all
    };
    adds(&mut bench, 0, 8, true);
    for device in [1, 2] {
        adds(&mut bench, device, 8, false);
        greets(&mut bench, device, other(8));
    }
    for port in 1..=9 {
        gives(&mut bench, 1, &at(8, 100 + port));
    }
    gives(&mut bench, 2, &at(8, 201));
    assert_eq!(ways(&mut bench), [at(8, 109), at(8, 201), at(8, 9735)]);
    adds(&mut bench, 3, 8, false);
    greets(&mut bench, 3, other(8));
    gives(&mut bench, 3, &at(8, 301));
    assert_eq!(
        ways(&mut bench),
        [at(8, 201), at(8, 301), at(8, 9735)],
        "the oldest makes room"
    );
    for port in 1..=4 {
        gives(&mut bench, 0, &at(8, 400 + port));
    }
    let all = [at(8, 201), at(8, 301), at(8, 402), at(8, 403), at(8, 404)];
    assert_eq!(ways(&mut bench), all, "of mine the one it is named by, and two");
}
