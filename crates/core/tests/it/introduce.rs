//! Introductions: two contacts of one meet, if both want to; and whoever lies about it gets nowhere.

use crate::bench::Bench;
use crate::block::block;
use crate::devices::link;
use crate::groups::{account, circle, create, number};
use ed25519_dalek::{Signer as _, SigningKey};
use stonechat_core::api::{
    self, CameBy, CardSend, Command, Event, Fault, Introduce, Introduction, IntroductionAnswer, IntroductionState,
    KnownBy, MessageKind, Place, PlaceSend, Query, Reply, Verify,
};
use stonechat_core::query::{Live, load_chat, load_contact, load_message};
use stonechat_core::{Dice, Input};
use stonechat_wire::introduce::{Ask, Knows, Person, Vouch};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

fn introduce(bench: &mut Bench, by: usize, one: usize, other: usize) -> Result<Reply, Fault> {
    let wish = Introduce {
        one: account(bench, one),
        other: account(bench, other),
    };
    bench.ask(by, Command::Introduce(wish))
}

/// The message that asks, newest of a device, and what stands on it.
fn question(bench: &mut Bench, device: usize) -> Option<(String, Introduction)> {
    let db = bench.devices[device].store.begin().unwrap();
    let id: Vec<u8> = db
        .query_row(
            "SELECT id FROM message WHERE kind = 10 ORDER BY position DESC LIMIT 1",
            [],
            |row| row.get(0),
        )
        .ok()?;
    let message = load_message(&db, &id).unwrap()?;
    assert_eq!(message.kind, MessageKind::Introduction);
    Some((message.id, message.introduction?))
}

fn state(bench: &mut Bench, device: usize) -> IntroductionState {
    question(bench, device).expect("a question").1.state
}

fn answer(bench: &mut Bench, device: usize, yes: bool) -> Result<Reply, Fault> {
    let (id, _) = question(bench, device).expect("a question");
    bench.ask(device, Command::IntroductionAnswer(IntroductionAnswer { id, yes }))
}

fn contact(bench: &mut Bench, device: usize, of: usize) -> Option<api::Contact> {
    let id = hex::decode(account(bench, of)).unwrap();
    let db = bench.devices[device].store.begin().unwrap();
    load_contact(&db, &id).unwrap()
}

fn contacts(bench: &mut Bench, device: usize) -> i64 {
    number(
        bench,
        device,
        "SELECT count(*) FROM chat WHERE contact IS NOT NULL AND hidden = 0",
    )
}

/// Ana (0) knows Bo (1) and Cy (2), and introduces them.
fn asked() -> Bench {
    let mut bench = circle(3);
    introduce(&mut bench, 0, 1, 2).unwrap();
    bench.pass(HOUR);
    bench
}

#[test]
fn two_contacts_of_one_meet_when_both_have_said_yes_int_1() {
    let mut bench = asked();
    for (device, name) in [(1, "Cy"), (2, "Bo")] {
        let (_, introduction) = question(&mut bench, device).unwrap();
        assert_eq!(
            (introduction.name.as_str(), introduction.state),
            (name, IntroductionState::Asked)
        );
        let vouch = &introduction.vouches[0];
        assert_eq!((vouch.name.as_str(), vouch.known_by), ("Ana", KnownBy::Invitation));
    }
    // Nothing happens without both.
    assert_eq!(number(&mut bench, 2, "SELECT count(*) FROM invite"), 0);
    answer(&mut bench, 2, true).unwrap();
    bench.pass(20 * DAY);
    assert_eq!(number(&mut bench, 2, "SELECT count(*) FROM invite"), 0);
    assert_eq!((contacts(&mut bench, 1), contacts(&mut bench, 2)), (1, 1));
    assert_eq!(state(&mut bench, 2), IntroductionState::Agreed);
    answer(&mut bench, 1, true).unwrap();
    bench.pass(HOUR);
    assert_eq!((contacts(&mut bench, 1), contacts(&mut bench, 2)), (2, 2));
    for (device, other) in [(1, 2), (2, 1)] {
        assert_eq!(state(&mut bench, device), IntroductionState::Met);
        let met = contact(&mut bench, device, other).unwrap();
        // A vouch verifies nobody.
        assert!(!met.verified);
        assert_eq!(met.introduced[0].name, "Ana");
        let chat = met.chat.unwrap();
        bench.say(device, chat, "hello");
    }
    bench.pass(HOUR);
    assert_eq!(bench.texts(1), ["> hello", "hello"]);
    // The invitation stands in no list, and Ana sees what came of it.
    let listed = |event: &Event| matches!(event, Event::InviteChanged { .. });
    assert!(!bench.devices[2].events.iter().any(listed));
    assert_eq!(state(&mut bench, 0), IntroductionState::OnItsWay);
}

#[test]
fn who_says_no_is_not_asked_again_by_it_and_may_change_their_mind_int_4() {
    let mut bench = asked();
    answer(&mut bench, 1, true).unwrap();
    answer(&mut bench, 2, false).unwrap();
    bench.pass(DAY);
    assert_eq!(state(&mut bench, 2), IntroductionState::Declined);
    // Bo is not told.
    assert_eq!(state(&mut bench, 1), IntroductionState::Agreed);
    answer(&mut bench, 2, true).unwrap();
    bench.pass(HOUR);
    assert_eq!(contacts(&mut bench, 1), 2);
    // A yes stays one.
    answer(&mut bench, 2, false).unwrap();
    assert_eq!(state(&mut bench, 2), IntroductionState::Met);
}

#[test]
fn whatever_is_lost_and_whoever_was_away_both_meet_once_int_7() {
    for seed in [1, 5] {
        let mut bench = circle(3);
        bench.relay.loses = (40, seed);
        introduce(&mut bench, 0, 1, 2).unwrap();
        bench.pass(4 * DAY);
        bench.devices[0].cut = true;
        answer(&mut bench, 1, true).unwrap();
        answer(&mut bench, 2, true).unwrap();
        bench.pass(2 * DAY);
        bench.reconnect(0);
        bench.pass(8 * DAY);
        assert_eq!(contacts(&mut bench, 1), 2, "seed {seed}");
        assert_eq!(number(&mut bench, 2, "SELECT count(*) FROM invite"), 1);
        assert_eq!(
            number(
                &mut bench,
                1,
                "SELECT count(*) FROM acceptance WHERE account IS NOT NULL"
            ),
            2
        );
    }
}

#[test]
fn a_linked_device_answers_and_the_first_one_does_the_rest_int_7() {
    let mut bench = circle(3);
    let laptop = link(&mut bench, 2);
    introduce(&mut bench, 0, 1, 2).unwrap();
    bench.pass(HOUR);
    // The first device is away: it hears of the answer later, and of everything else.
    bench.devices[2].cut = true;
    answer(&mut bench, laptop, true).unwrap();
    answer(&mut bench, 1, true).unwrap();
    bench.pass(DAY);
    assert_eq!(contacts(&mut bench, 1), 1);
    bench.reconnect(2);
    bench.pass(3 * DAY);
    assert_eq!((contacts(&mut bench, 1), contacts(&mut bench, 2)), (2, 2));
    assert_eq!(state(&mut bench, laptop), IntroductionState::Met);
    assert_eq!(contact(&mut bench, laptop, 1).unwrap().introduced.len(), 1);
    assert_eq!(number(&mut bench, laptop, "SELECT count(*) FROM invite"), 0);
    // It introduces nobody: it cannot sign. proves: INT-1
    assert_eq!(introduce(&mut bench, laptop, 0, 1).unwrap_err(), Fault::NotHome);
}

#[test]
fn a_yes_said_on_one_device_stands_whatever_another_one_says_int_4() {
    let mut bench = circle(3);
    let laptop = link(&mut bench, 2);
    introduce(&mut bench, 0, 1, 2).unwrap();
    bench.pass(HOUR);
    bench.devices[laptop].cut = true;
    answer(&mut bench, 2, true).unwrap();
    answer(&mut bench, laptop, false).unwrap();
    // Ana and the first device hear the no after the yes, the laptop the yes after the no.
    bench.reconnect(laptop);
    bench.pass(HOUR);
    for device in [2, laptop] {
        assert_eq!(state(&mut bench, device), IntroductionState::Agreed, "{device}");
    }
    answer(&mut bench, 1, true).unwrap();
    bench.pass(HOUR);
    assert_eq!((contacts(&mut bench, 1), contacts(&mut bench, 2)), (2, 2));
}

#[test]
fn two_who_have_met_meanwhile_get_no_second_chat_int_7() {
    let mut bench = asked();
    let invite = bench.invite(2, api::Who::One, api::How::Plain);
    bench.accept(1, &invite.link, None).unwrap();
    bench.pass(HOUR);
    answer(&mut bench, 1, true).unwrap();
    answer(&mut bench, 2, true).unwrap();
    bench.pass(DAY);
    for device in [1, 2] {
        assert_eq!(state(&mut bench, device), IntroductionState::Met);
        assert_eq!(number(&mut bench, device, "SELECT count(*) FROM conversation"), 2);
        let more = "SELECT count(*) FROM invite WHERE bound IS NOT NULL";
        assert_eq!(number(&mut bench, device, more), 0, "nothing is made for it");
    }
}

fn start(bench: &mut Bench, device: usize) {
    bench.devices[device].core.forget();
    let outputs = bench.devices[device].step(Input::Started);
    bench.release(device, outputs);
    bench.settle();
}

#[test]
fn what_could_not_be_done_is_tried_again_at_the_next_start_int_7() {
    let mut bench = asked();
    answer(&mut bench, 2, true).unwrap();
    // Ana cannot tell Cy that both want to, for he is blocked just then.
    block(&mut bench, 0, 2, true).unwrap();
    answer(&mut bench, 1, true).unwrap();
    block(&mut bench, 0, 2, false).unwrap();
    bench.pass(HOUR);
    let told = "SELECT linked FROM introducing";
    assert_eq!(number(&mut bench, 0, told), 0);
    // And Cy has made as many invitations as may be open.
    (0..64).for_each(|_| drop(bench.invite(2, api::Who::One, api::How::Plain)));
    start(&mut bench, 0);
    bench.pass(HOUR);
    assert_eq!(number(&mut bench, 0, told), 1);
    change(&mut bench, 2, "UPDATE invite SET state = 4", &[]);
    bench.pass(HOUR);
    assert_eq!(contacts(&mut bench, 2), 1);
    start(&mut bench, 2);
    bench.pass(HOUR);
    assert_eq!((contacts(&mut bench, 1), contacts(&mut bench, 2)), (2, 2));
}

/// The number of the only introduction that a device is asked about.
fn id_of(bench: &mut Bench, device: usize) -> [u8; 16] {
    let db = bench.devices[device].store.begin().unwrap();
    db.query_row("SELECT id FROM introduced", [], |row| row.get(0)).unwrap()
}

/// Di (3), a contact of Ana's too, has heard of the number of what Bo and Cy were asked, and says yes in Cy's place.
#[test]
pub(crate) fn who_was_not_asked_answers_for_nobody_int_4() {
    let mut bench = circle(4);
    introduce(&mut bench, 0, 3, 1).unwrap();
    introduce(&mut bench, 0, 1, 2).unwrap();
    bench.pass(HOUR);
    let id = id_of(&mut bench, 2);
    change(&mut bench, 3, "UPDATE introduced SET id = ?", &[&id]);
    answer(&mut bench, 3, true).unwrap();
    answer(&mut bench, 1, true).unwrap();
    bench.pass(HOUR);
    let said = "SELECT count(*) FROM introducing WHERE maker_said IS NOT NULL OR linked > 0";
    assert_eq!(number(&mut bench, 0, said), 0);
}

/// Cy makes the invitation before anybody has told him that Bo wants to.
#[test]
pub(crate) fn a_link_that_comes_before_both_have_said_yes_is_not_passed_on_int_4() {
    let mut bench = asked();
    change(&mut bench, 2, "UPDATE introduced SET both = 1", &[]);
    answer(&mut bench, 2, true).unwrap();
    bench.pass(HOUR);
    let made = "SELECT count(*) FROM invite WHERE bound IS NOT NULL";
    assert_eq!(number(&mut bench, 2, made), 1);
    let has_link = "SELECT count(*) FROM introduced WHERE link IS NOT NULL";
    assert_eq!(number(&mut bench, 1, has_link), 0);
    assert_eq!(number(&mut bench, 0, "SELECT linked FROM introducing"), 0);
}

/// Cy's device takes itself for another account when it makes the invitation: the pin is that one's.
#[test]
fn who_introduces_passes_on_no_link_of_somebody_else_int_4() {
    let mut bench = asked();
    answer(&mut bench, 2, true).unwrap();
    change(&mut bench, 2, "UPDATE account SET mldsa_hash = randomblob(32)", &[]);
    bench.devices[2].core.forget();
    answer(&mut bench, 1, true).unwrap();
    bench.pass(HOUR);
    let made = "SELECT count(*) FROM invite WHERE bound IS NOT NULL";
    assert_eq!(number(&mut bench, 2, made), 1);
    assert_eq!(state(&mut bench, 1), IntroductionState::Agreed);
    assert_eq!(number(&mut bench, 0, "SELECT linked FROM introducing"), 1);
}

/// Ana's own device, or whoever reads the link, takes it up instead of Bo.
#[test]
pub(crate) fn an_introductions_link_lets_in_nobody_but_the_one_it_is_for_int_5() {
    let mut bench = circle(4);
    introduce(&mut bench, 0, 1, 2).unwrap();
    bench.pass(HOUR);
    // What comes of his yes does not reach Bo yet.
    answer(&mut bench, 1, true).unwrap();
    bench.devices[1].cut = true;
    answer(&mut bench, 2, true).unwrap();
    bench.pass(HOUR);
    let link = {
        let db = bench.devices[2].store.begin().unwrap();
        let sql = "SELECT link FROM invite WHERE bound IS NOT NULL";
        db.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap()
    };
    bench.accept(3, &link, None).unwrap();
    bench.pass(HOUR);
    assert_eq!(contacts(&mut bench, 2), 1, "whoever reads the link is not let in");
    bench.reconnect(1);
    bench.pass(DAY);
    assert_eq!(contacts(&mut bench, 1), 2, "and Bo is, afterwards");
}

/// The key of a device's account.
fn key(bench: &mut Bench, device: usize) -> SigningKey {
    let db = bench.devices[device].store.begin().unwrap();
    let seed: [u8; 32] = db.query_row("SELECT seed FROM account", [], |row| row.get(0)).unwrap();
    let mut ed25519 = [0; 32];
    hkdf::Hkdf::<sha2::Sha256>::new(None, &seed)
        .expand(b"stonechat/account/1/ed25519", &mut ed25519)
        .unwrap();
    SigningKey::from_bytes(&ed25519)
}

fn person(bench: &mut Bench, device: usize) -> Person {
    let db = bench.devices[device].store.begin().unwrap();
    db.query_row("SELECT ed25519, mldsa_hash, name FROM account", [], |row| {
        Ok(Person {
            ed25519: row.get(0)?,
            mldsa_hash: row.get(1)?,
            name: row.get(2)?,
        })
    })
    .unwrap()
}

/// Rewrites rows of a device, as somebody does who wants it to lie.
fn change(bench: &mut Bench, device: usize, sql: &str, values: &[&dyn rusqlite::ToSql]) {
    let tx = bench.devices[device].store.begin().unwrap();
    tx.execute(sql, values).unwrap();
    tx.commit().unwrap();
}

fn vouch(bench: &mut Bench, (by, signer): (usize, usize), to: usize, about: usize, knows: Knows) -> Vouch {
    let mut vouch = Vouch {
        by: person(bench, by),
        to: person(bench, to).account(),
        about: person(bench, about).account(),
        knows,
        at_s: 1_800_000_000,
        signature: [0; 64],
    };
    vouch.signature = key(bench, signer).sign(&vouch.signed_bytes()).to_bytes();
    vouch
}

/// Ana (0) says that Di (3), whom Bo trusts, vouches for Cy (2); Di does not know of it.
#[test]
pub(crate) fn a_vouch_that_nobody_signed_shows_no_question_int_3() {
    let mut bench = circle(4);
    let forged = vouch(&mut bench, (3, 0), 0, 2, Knows::Verified);
    let ask = Ask {
        id: [7; 16],
        who: person(&mut bench, 2),
        makes: false,
        chain: vec![forged],
    };
    let (via, about) = (person(&mut bench, 3).account(), person(&mut bench, 2).account());
    let sql = "INSERT INTO introduced(via, id, account, body, said, done, at) VALUES (?, ?, ?, ?, 1, 1, 1)";
    let row: [&dyn rusqlite::ToSql; 4] = [via.as_bytes(), &ask.id, about.as_bytes(), &ask.encode()];
    change(&mut bench, 0, sql, &row);
    introduce(&mut bench, 0, 1, 2).unwrap();
    bench.pass(HOUR);
    assert!(question(&mut bench, 1).is_none());
    // The one whom nobody lied about is asked.
    assert_eq!(state(&mut bench, 2), IntroductionState::Asked);
}

/// Ana asks Bo about Cy, and hands him Di's link.
#[test]
pub(crate) fn a_link_of_somebody_else_than_was_asked_about_is_not_taken_up_int_6() {
    let mut bench = circle(4);
    introduce(&mut bench, 0, 1, 3).unwrap();
    bench.pass(HOUR);
    // As if she had asked about Cy: it is what Bo was shown, and said yes to.
    let id = id_of(&mut bench, 1);
    let ask = Ask {
        id,
        who: person(&mut bench, 2),
        makes: false,
        chain: vec![vouch(&mut bench, (0, 0), 1, 2, Knows::Met)],
    };
    let (about, body) = (*ask.who.account().as_bytes(), ask.encode());
    change(
        &mut bench,
        1,
        "UPDATE introduced SET account = ?, body = ?",
        &[&about, &body],
    );
    answer(&mut bench, 1, true).unwrap();
    answer(&mut bench, 3, true).unwrap();
    bench.pass(DAY);
    assert_eq!(contacts(&mut bench, 1), 1);
    assert_eq!(state(&mut bench, 1), IntroductionState::Wrong);
}

#[test]
fn a_chain_is_shown_with_all_who_vouch_int_3() {
    let mut bench = circle(3);
    let di = bench.devices.len();
    bench.devices.push(crate::bench::Device::new(9));
    let wish = api::Init {
        name: "Di".into(),
        relays: vec![crate::bench::route()],
        words: None,
    };
    bench.ask(di, Command::Init(wish)).unwrap();
    let invite = bench.invite(1, api::Who::One, api::How::Plain);
    bench.accept(di, &invite.link, None).unwrap();
    introduce(&mut bench, 0, 1, 2).unwrap();
    bench.pass(HOUR);
    answer(&mut bench, 1, true).unwrap();
    answer(&mut bench, 2, true).unwrap();
    bench.pass(HOUR);
    // Bo passes on what Ana said of Cy. Di has verified Bo, and has never heard of Ana.
    let id = account(&mut bench, 1);
    bench
        .ask(
            di,
            Command::Verify(Verify {
                id,
                verified: true,
                code: None,
            }),
        )
        .unwrap();
    introduce(&mut bench, 1, di, 2).unwrap();
    bench.pass(HOUR);
    let (_, introduction) = question(&mut bench, di).unwrap();
    let said: Vec<_> = introduction
        .vouches
        .iter()
        .map(|vouch| (vouch.name.as_str(), vouch.known_by, vouch.verified))
        .collect();
    assert_eq!(
        said,
        [("Ana", KnownBy::Invitation, false), ("Bo", KnownBy::Introduction, true)]
    );
    answer(&mut bench, di, true).unwrap();
    answer(&mut bench, 2, true).unwrap();
    bench.pass(HOUR);
    let met = contact(&mut bench, di, 2).unwrap();
    assert_eq!((met.introduced.len(), met.verified), (2, false));
    // A chain of four is passed on no more.
    let link = vouch(&mut bench, (0, 0), 1, 2, Knows::Met);
    let ask = Ask {
        id: [7; 16],
        who: person(&mut bench, 2),
        makes: false,
        chain: vec![link; 4],
    };
    change(&mut bench, di, "UPDATE introduced SET body = ?", &[&ask.encode()]);
    let invite = bench.invite(di, api::Who::One, api::How::Plain);
    bench.accept(0, &invite.link, None).unwrap();
    bench.pass(HOUR);
    // Ana stands in it already: to her Di says what he knows himself.
    introduce(&mut bench, di, 0, 2).unwrap();
    let last = vouch(&mut bench, (1, 1), 0, 2, Knows::Met);
    let ask = Ask {
        chain: vec![last; 4],
        ..ask
    };
    change(&mut bench, di, "UPDATE introduced SET body = ?", &[&ask.encode()]);
    change(&mut bench, di, "DELETE FROM introducing", &[]);
    assert_eq!(introduce(&mut bench, di, 0, 2).unwrap_err(), Fault::TooFar);
}

#[test]
fn whom_i_blocked_is_not_introduced_and_in_a_group_nobody_is_int_1() {
    let mut bench = circle(3);
    let invite = bench.invite(2, api::Who::One, api::How::Plain);
    bench.accept(1, &invite.link, None).unwrap();
    bench.pass(HOUR);
    block(&mut bench, 1, 2, true).unwrap();
    introduce(&mut bench, 0, 1, 2).unwrap();
    bench.pass(HOUR);
    assert!(question(&mut bench, 1).is_none());
    // And I introduce nobody whom I blocked.
    block(&mut bench, 0, 2, true).unwrap();
    assert_eq!(introduce(&mut bench, 0, 1, 2).unwrap_err(), Fault::NotFound);
    block(&mut bench, 0, 2, false).unwrap();
    block(&mut bench, 1, 2, false).unwrap();
    create(&mut bench, &[1, 2]);
    change(&mut bench, 0, "DELETE FROM introducing", &[]);
    // Ana's device is made to ask where all read it.
    let to_bo = "(SELECT h.id FROM chat h JOIN contact c ON c.account = h.contact WHERE c.own_name = 'Bo')";
    change(
        &mut bench,
        0,
        &format!("UPDATE conversation SET gone = 1 WHERE chat = {to_bo}"),
        &[],
    );
    change(
        &mut bench,
        0,
        &format!("UPDATE conversation SET chat = {to_bo} WHERE grouped = 1"),
        &[],
    );
    let shown = number(&mut bench, 1, "SELECT count(*) FROM message WHERE kind = 10");
    introduce(&mut bench, 0, 1, 2).unwrap();
    bench.pass(HOUR);
    assert_eq!(
        number(&mut bench, 1, "SELECT count(*) FROM message WHERE kind = 10"),
        shown
    );
    assert_eq!(number(&mut bench, 1, "SELECT count(*) FROM introduced"), 0);
}

#[test]
fn of_one_contact_eight_questions_wait_and_no_more_int_8() {
    let mut bench = circle(3);
    for _ in 0..10 {
        introduce(&mut bench, 0, 1, 2).unwrap();
        // Twice is once, as long as it is open. proves: INT-1
        introduce(&mut bench, 0, 2, 1).unwrap();
        assert_eq!(number(&mut bench, 0, "SELECT count(*) FROM introducing"), 1);
        change(&mut bench, 0, "DELETE FROM introducing", &[]);
    }
    bench.pass(HOUR);
    assert_eq!(number(&mut bench, 1, "SELECT count(*) FROM introduced"), 8);
    assert_eq!(number(&mut bench, 1, "SELECT count(*) FROM message WHERE kind = 10"), 8);
    answer(&mut bench, 1, false).unwrap();
    introduce(&mut bench, 0, 1, 2).unwrap();
    bench.pass(HOUR);
    assert_eq!(number(&mut bench, 1, "SELECT count(*) FROM introduced"), 9);
    // And who introduces has 64 open ones.
    change(&mut bench, 0, "DELETE FROM introducing", &[]);
    let (bo, cy) = (person(&mut bench, 1).account(), person(&mut bench, 2).account());
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 64)
               INSERT INTO introducing(id, taker, maker, taker_ask, maker_ask, taker_said, at)
               SELECT randomblob(16), ?, ?, randomblob(16), randomblob(16), 0, 1800000000000 FROM n";
    change(&mut bench, 0, sql, &[bo.as_bytes(), cy.as_bytes()]);
    assert_eq!(introduce(&mut bench, 0, 1, 2).unwrap_err(), Fault::TooMany);
    bench.pass(31 * DAY);
    introduce(&mut bench, 0, 1, 2).unwrap();
}

#[test]
fn of_one_contact_256_questions_are_kept_int_8() {
    let mut bench = circle(3);
    let ana = person(&mut bench, 0).account();
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 255)
               INSERT INTO introduced(via, id, said, at) SELECT ?, randomblob(16), 0, 1 FROM n";
    change(&mut bench, 1, sql, &[ana.as_bytes()]);
    for _ in 0..2 {
        introduce(&mut bench, 0, 1, 2).unwrap();
        bench.pass(HOUR);
        assert_eq!(number(&mut bench, 1, "SELECT count(*) FROM introduced"), 256);
        assert_eq!(number(&mut bench, 1, "SELECT count(*) FROM message WHERE kind = 10"), 1);
        change(&mut bench, 0, "DELETE FROM introducing", &[]);
    }
}

/// Bo has said that he wants to meet Cy; Ana asks him once more under that number, about Di.
#[test]
pub(crate) fn a_question_stays_about_the_one_it_was_asked_about_int_8() {
    let mut bench = circle(4);
    for other in [2, 3] {
        bench.devices[0].dice = Dice::seeded([9; 32]);
        introduce(&mut bench, 0, 1, other).unwrap();
        bench.pass(HOUR);
        change(&mut bench, 0, "DELETE FROM introducing", &[]);
        answer(&mut bench, 1, true).unwrap();
    }
    assert_eq!(id_of(&mut bench, 2), id_of(&mut bench, 3), "one number for both");
    assert_eq!(number(&mut bench, 1, "SELECT count(*) FROM message WHERE kind = 10"), 1);
    assert_eq!(question(&mut bench, 1).unwrap().1.name, "Cy");
    let about = "SELECT count(*) FROM introduced i JOIN contact c ON c.account = i.account WHERE c.own_name = 'Di'";
    assert_eq!(number(&mut bench, 1, about), 0);
}

fn ask(bench: &mut Bench, device: usize, query: Query) -> api::Answer {
    let live = Live {
        version: String::new(),
        locked: false,
        has_passphrase: false,
        connection: api::Connection::Connected,
        connected: vec![],
        through: vec![],
        ways: vec![],
        tried: std::collections::BTreeMap::new(),
    };
    let reader = bench.devices[device].store.reader().unwrap();
    reader.query(query, &live).unwrap()
}

fn words(bench: &mut Bench, device: usize, of: usize) -> Vec<String> {
    let id = account(bench, of);
    match ask(bench, device, Query::SafetyNumber(api::ById { id })) {
        api::Answer::SafetyNumber(number) => number.words,
        other => panic!("{other:?}"),
    }
}

/// Ana introduces Bo and Cy to each other, and means her own second account both times.
#[test]
fn who_stands_between_two_shows_them_other_words_safe_2() {
    let mut bench = circle(4);
    for other in [1, 2] {
        introduce(&mut bench, 0, other, 3).unwrap();
        bench.pass(HOUR);
        answer(&mut bench, other, true).unwrap();
        answer(&mut bench, 3, true).unwrap();
        bench.pass(HOUR);
        assert_eq!(words(&mut bench, other, 3), words(&mut bench, 3, other));
        assert_eq!(words(&mut bench, other, 3).len(), 8);
    }
    assert_ne!(words(&mut bench, 1, 3), words(&mut bench, 2, 3));
}

fn is_new(bench: &mut Bench, device: usize, of: usize) -> bool {
    let chat = contact(bench, device, of).unwrap().chat.unwrap();
    let db = bench.devices[device].store.begin().unwrap();
    load_chat(&db, chat).unwrap().unwrap().is_new
}

fn first_contact(bench: &mut Bench, device: usize, of: usize) -> api::FirstContact {
    let id = account(bench, of);
    match ask(bench, device, Query::FirstContact(api::ById { id })) {
        api::Answer::FirstContact(seen) => seen,
        other => panic!("{other:?}"),
    }
}

#[test]
fn somebody_new_is_looked_at_until_verified_or_put_away_fst_1() {
    let mut bench = asked();
    answer(&mut bench, 1, true).unwrap();
    answer(&mut bench, 2, true).unwrap();
    bench.pass(HOUR);
    for (device, of, came_by) in [
        (1, 0, CameBy::Invitation),
        (0, 1, CameBy::Invitation),
        (1, 2, CameBy::Introduction),
    ] {
        assert!(is_new(&mut bench, device, of));
        assert_eq!(first_contact(&mut bench, device, of).came_by, came_by);
    }
    let id = account(&mut bench, 0);
    bench
        .ask(
            1,
            Command::Verify(Verify {
                id,
                verified: true,
                code: None,
            }),
        )
        .unwrap();
    assert!(!is_new(&mut bench, 1, 0));
    let id = account(&mut bench, 2);
    bench.ask(1, Command::ContactNoticed(api::ById { id })).unwrap();
    assert!(!is_new(&mut bench, 1, 2));
    let nobody = api::ById { id: "ab".into() };
    assert_eq!(
        bench.ask(1, Command::ContactNoticed(nobody)).unwrap_err(),
        Fault::NotFound
    );
}

#[test]
fn a_name_that_looks_like_another_contacts_is_told_fst_2() {
    let mut bench = circle(3);
    assert_eq!(first_contact(&mut bench, 0, 2).looks_like, None);
    let sql = "UPDATE contact SET own_name = 'В0' WHERE own_name = 'Cy'";
    change(&mut bench, 0, sql, &[]);
    let seen = first_contact(&mut bench, 0, 2);
    assert_eq!((seen.looks_like.as_deref(), seen.mixed_letters), (Some("Bo"), false));
    change(
        &mut bench,
        0,
        "UPDATE contact SET own_name = 'Вo' WHERE own_name = 'В0'",
        &[],
    );
    assert!(first_contact(&mut bench, 0, 2).mixed_letters);
}

fn newest(bench: &mut Bench, device: usize) -> api::Message {
    let db = bench.devices[device].store.begin().unwrap();
    let sql = "SELECT id FROM message WHERE kind IN (0, 3) ORDER BY position DESC LIMIT 1";
    let id: Vec<u8> = db.query_row(sql, [], |row| row.get(0)).unwrap();
    load_message(&db, &id).unwrap().unwrap()
}

#[test]
fn a_card_names_somebody_and_a_place_says_where_con_25() {
    let mut bench = circle(3);
    let chat = contact(&mut bench, 0, 1).unwrap().chat.unwrap();
    let card = CardSend {
        chat,
        contact: account(&mut bench, 2),
        client_id: Some("one".into()),
    };
    bench.ask(0, Command::CardSend(card.clone())).unwrap();
    bench.ask(0, Command::CardSend(card)).unwrap();
    bench.pass(HOUR);
    let shown = newest(&mut bench, 1).card.unwrap();
    assert_eq!((shown.name.as_str(), shown.chat, shown.me), ("Cy", None, false));
    assert_eq!(shown.account, account(&mut bench, 2));
    assert_eq!(number(&mut bench, 1, "SELECT count(*) FROM message WHERE kind = 0"), 1);
    let nobody = CardSend {
        chat,
        contact: "ab".repeat(32),
        client_id: None,
    };
    assert_eq!(bench.ask(0, Command::CardSend(nobody)).unwrap_err(), Fault::NotFound);
    // proves: CON-26
    let place = Place {
        lat: -3_344_556,
        lon: 15_120_000,
        accuracy_m: 12,
        label: "pier".into(),
    };
    let send = |place: Place| {
        Command::PlaceSend(PlaceSend {
            chat,
            place,
            client_id: None,
        })
    };
    let away = Place {
        lat: 9_000_001,
        ..place.clone()
    };
    assert_eq!(bench.ask(0, send(away)).unwrap_err(), Fault::BadPlace);
    bench.ask(0, send(place.clone())).unwrap();
    bench.pass(HOUR);
    let there = newest(&mut bench, 1);
    assert_eq!(there.place, Some(place.clone()));
    // It is forwarded as it is, and deleted with everything.
    let forward = api::Forward {
        id: there.id.clone(),
        chat: there.chat,
        named: false,
        client_id: None,
    };
    bench.ask(1, Command::Forward(forward)).unwrap();
    bench.pass(HOUR);
    assert_eq!(newest(&mut bench, 0).place, Some(place));
    let id = newest(&mut bench, 1).id;
    bench
        .ask(1, Command::Delete(api::Delete { id, everyone: true }))
        .unwrap();
    bench.pass(HOUR);
    assert_eq!(
        (newest(&mut bench, 0).kind, newest(&mut bench, 0).place),
        (MessageKind::Deleted, None)
    );
    let left = "SELECT count(*) FROM message WHERE place IS NOT NULL AND kind = 3";
    assert_eq!(number(&mut bench, 0, left), 0);
}
