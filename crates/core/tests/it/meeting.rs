//! Invitations, claims and their answers.

use crate::bench::Bench;
use stonechat_core::api::{AcceptanceState, ById, Command, Fault, How, InviteState, Who};

#[test]
fn one_person_is_approved_at_once_and_the_next_finds_it_used_meet_10() {
    let mut bench = Bench::with(3);
    let invite = bench.invite(0, Who::One, How::Plain);
    assert!(invite.link.len() <= 120, "{}", invite.link);
    bench.accept(1, &invite.link, None).unwrap();
    assert_eq!(bench.acceptance(1).state, AcceptanceState::Accepted);
    bench.accept(2, &invite.code, None).unwrap();
    assert_eq!(bench.acceptance(2).state, AcceptanceState::Used);
    assert_eq!(bench.numbers(0, "SELECT used_twice FROM invite"), [1]);
}

#[test]
fn wrong_words_do_not_use_it_up_and_right_ones_open_it_meet_7() {
    let mut bench = Bench::with(2);
    let invite = bench.invite(0, Who::One, How::Spoken);
    let words = invite.spoken_words.clone().unwrap();
    bench.accept(1, &invite.link, None).unwrap();
    assert_eq!(bench.acceptance(1).state, AcceptanceState::NeedsWords);
    let id = bench.acceptance(1).id;
    let mut retry = |words: &str| {
        let wish = stonechat_core::api::AcceptRetry {
            id: id.clone(),
            spoken_words: Some(words.into()),
        };
        bench.ask(1, Command::AcceptRetry(wish)).unwrap();
        bench.acceptance(1).state
    };
    assert_eq!(retry("these are wrong"), AcceptanceState::WordsWrong);
    assert_eq!(retry(&words.to_uppercase()), AcceptanceState::Accepted);
}

#[test]
pub(crate) fn ten_claims_that_do_not_open_close_it_meet_11() {
    let mut bench = Bench::with(2);
    let invite = bench.invite(0, Who::One, How::Spoken);
    bench.accept(1, &invite.link, Some("no idea at all")).unwrap();
    let id = bench.acceptance(1).id;
    for n in 0..10 {
        let wish = stonechat_core::api::AcceptRetry {
            id: id.clone(),
            spoken_words: Some(format!("guess {n}")),
        };
        bench.ask(1, Command::AcceptRetry(wish)).unwrap();
    }
    assert_eq!(
        bench.numbers(0, "SELECT state FROM invite"),
        [InviteState::Attacked as u8]
    );
    assert_eq!(bench.numbers(0, "SELECT count(*) FROM loose_row"), [0]);
}

#[test]
fn a_family_claim_waits_for_approval_and_may_write_meanwhile_meet_8() {
    let mut bench = Bench::with(3);
    let invite = bench.invite(0, Who::Family, How::Plain);
    for device in [1, 2] {
        bench.accept(device, &invite.link, None).unwrap();
        assert_eq!(bench.acceptance(device).state, AcceptanceState::Waiting);
        bench.say(device, 1, "it is me");
    }
    bench.pass(60_000);
    // proves: RCP-4
    assert_eq!(bench.states(1), [1]);
    let claims = claims(&mut bench);
    assert_eq!(claims.len(), 2);
    bench.ask(0, Command::Approve(ById { id: claims[0].clone() })).unwrap();
    bench.ask(0, Command::Decline(ById { id: claims[1].clone() })).unwrap();
    bench.pass(60_000);
    let states = [bench.acceptance(1).state, bench.acceptance(2).state];
    assert!(states.contains(&AcceptanceState::Accepted) && states.contains(&AcceptanceState::Declined));
    assert_eq!(bench.texts(0), ["it is me"]);
}

#[test]
fn the_door_of_a_used_invite_stands_for_48_hours_and_then_falls_meet_9() {
    const HOUR: u64 = 3_600_000;
    let mut bench = Bench::with(4);
    let invite = bench.invite(0, Who::One, How::Plain);
    bench.accept(1, &invite.link, None).unwrap();
    assert_eq!(
        bench.numbers(0, "SELECT count(*) FROM invite WHERE seal_private IS NOT NULL"),
        [0]
    );
    bench.pass(47 * HOUR);
    bench.accept(2, &invite.link, None).unwrap();
    assert_eq!(
        bench.acceptance(2).state,
        AcceptanceState::Used,
        "who comes late is told"
    );
    assert_eq!(bench.relay.doors.len(), 1);
    bench.pass(HOUR + HOUR / 2);
    assert_eq!(bench.relay.doors.len(), 0);
    bench.accept(3, &invite.link, None).unwrap();
    assert_eq!(bench.acceptance(3).state, AcceptanceState::DoorSpent);
}

#[test]
fn the_door_of_a_revoked_or_expired_invite_falls_at_once_meet_9() {
    let mut bench = Bench::with(1);
    let revoked = bench.invite(0, Who::One, How::Plain);
    bench.invite(0, Who::Family, How::Plain);
    assert_eq!(bench.relay.doors.len(), 2);
    bench.ask(0, Command::InviteRevoke(ById { id: revoked.id })).unwrap();
    assert_eq!(bench.relay.doors.len(), 1);
    bench.pass(49 * 3_600_000);
    assert_eq!(bench.relay.doors.len(), 0);
}

#[test]
fn who_was_turned_away_is_told_so_instead_of_writing_to_nobody() {
    let write = |bench: &mut Bench, device| {
        let wish = stonechat_core::api::Send {
            chat: 1,
            text: "hello?".into(),
            client_id: None,
            marked: false,
            reply_to: None,
        };
        bench.ask(device, Command::Send(wish)).map(drop)
    };
    let mut bench = Bench::with(3);
    let family = bench.invite(0, Who::Family, How::Plain);
    bench.accept(1, &family.link, None).unwrap();
    assert_eq!(write(&mut bench, 1), Ok(()), "who waits may write");
    let claim = claims(&mut bench).remove(0);
    bench.ask(0, Command::Decline(ById { id: claim })).unwrap();
    assert_eq!(bench.acceptance(1).state, AcceptanceState::Declined);
    assert_eq!(write(&mut bench, 1), Err(Fault::NotLetIn));
    assert_eq!(bench.texts(1), ["> hello?"], "what was refused is not kept");

    let mut bench = Bench::with(3);
    let one = bench.invite(0, Who::One, How::Plain);
    bench.accept(1, &one.link, None).unwrap();
    bench.accept(2, &one.link, None).unwrap();
    assert_eq!(bench.acceptance(2).state, AcceptanceState::Used);
    assert_eq!(write(&mut bench, 1), Ok(()), "who was let in may write");
    assert_eq!(write(&mut bench, 2), Err(Fault::NotLetIn));
}

fn claims(bench: &mut Bench) -> Vec<String> {
    let tx = bench.devices[0].store.begin().unwrap();
    let mut rows = tx.prepare("SELECT lower(hex(id)) FROM claim").unwrap();
    rows.query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

#[test]
fn meeting_in_person_verifies_both_sides_when_confirmed_meet_5() {
    let mut bench = Bench::with(2);
    let invite = bench.invite(0, Who::One, How::InPerson);
    bench.accept(1, &invite.code, None).unwrap();
    assert_eq!(bench.acceptance(1).state, AcceptanceState::Waiting);
    let claims = claims(&mut bench);
    bench.ask(0, Command::Approve(ById { id: claims[0].clone() })).unwrap();
    for device in [0, 1] {
        assert_eq!(bench.numbers(device, "SELECT verified FROM contact"), [1]);
    }
}

#[test]
fn old_links_and_own_links_and_routes_are_told_apart_meet_3() {
    let mut bench = Bench::with(2);
    let invite = bench.invite(0, Who::Family, How::Plain);
    assert_eq!(bench.accept(0, &invite.link, None).unwrap_err(), Fault::OwnInvite);
    assert_eq!(
        bench.accept(1, &crate::bench::route(), None).unwrap_err(),
        Fault::RouteNotInvite
    );
    assert_eq!(bench.accept(1, "hello", None).unwrap_err(), Fault::BrokenLink);
    bench.pass(5 * 24 * 3_600_000);
    bench.greet(1);
    assert_eq!(bench.accept(1, &invite.link, None).unwrap_err(), Fault::LinkExpired);
    assert_eq!(
        bench.numbers(0, "SELECT state FROM invite"),
        [InviteState::Expired as u8]
    );
}

#[test]
fn two_who_invite_each_other_have_one_chat_meet_14() {
    let mut bench = Bench::with(2);
    let from_ana = bench.invite(0, Who::One, How::Plain);
    let from_bo = bench.invite(1, Who::One, How::Plain);
    bench.accept(1, &from_ana.link, None).unwrap();
    bench.accept(0, &from_bo.link, None).unwrap();
    bench.say(0, 1, "one");
    bench.say(1, 1, "two");
    bench.pass(60_000);
    for device in [0, 1] {
        assert_eq!(bench.numbers(device, "SELECT count(*) FROM chat"), [1]);
        assert_eq!(
            bench.numbers(device, "SELECT count(DISTINCT group_id) FROM message WHERE kind = 0"),
            [1]
        );
        assert_eq!(bench.texts(device).len(), 2);
    }
}

#[test]
fn what_one_person_writes_in_both_conversations_of_a_chat_stands_in_its_order_cnv_2() {
    let mut bench = crossed();
    let claims = claims(&mut bench);
    bench.ask(0, Command::Approve(ById { id: claims[0].clone() })).unwrap();
    bench.pass(60_000);
    // Ana's clock is days ahead: Bo's answer must stand after her text, far from what his own clock says.
    bench.devices[0].now += 3 * 24 * 3_600_000;
    bench.say(0, 1, "from the future");
    bench.say(1, 1, "an answer");
    let tx = bench.devices[1].store.begin().unwrap();
    tx.execute_batch("UPDATE conversation SET waiting = 1 - (group_id = (SELECT max(group_id) FROM conversation))")
        .unwrap();
    tx.commit().unwrap();
    bench.say(1, 1, "in the other conversation");
    let groups = "SELECT count(DISTINCT group_id) FROM message WHERE kind = 0 AND mine = 0";
    assert_eq!(bench.numbers(0, groups), [2]);
    assert_eq!(
        bench.texts(0),
        ["> from the future", "an answer", "in the other conversation"]
    );
    assert_eq!(
        bench.texts(1),
        ["from the future", "> an answer", "> in the other conversation"]
    );
}

#[test]
fn whoever_came_too_late_and_is_invited_again_writes_where_it_was_let_in_meet_14() {
    // Which of two conversations has the smaller id is chance: a few more draws make both happen.
    for draws in 0..6 {
        let mut bench = Bench::with(3);
        (0..draws).for_each(|_| drop(bench.invite(2, Who::One, How::Plain)));
        let first = bench.invite(0, Who::One, How::Plain);
        bench.accept(1, &first.link, None).unwrap();
        bench.accept(2, &first.link, None).unwrap();
        assert_eq!(bench.acceptance(2).state, AcceptanceState::Used);
        let second = bench.invite(0, Who::Family, How::Plain);
        bench.accept(2, &second.link, None).unwrap();
        bench.say(2, 1, "while I wait");
        let claim = claims_waiting(&mut bench);
        bench.ask(0, Command::Approve(ById { id: claim })).unwrap();
        bench.say(2, 1, "and now that I am in");
        bench.pass(60_000);
        assert_eq!(bench.texts(0), ["while I wait", "and now that I am in"]);
        assert_eq!(bench.numbers(2, "SELECT sum(gone) FROM conversation"), [1]);
    }
}

fn claims_waiting(bench: &mut Bench) -> String {
    let tx = bench.devices[0].store.begin().unwrap();
    tx.query_row("SELECT lower(hex(id)) FROM claim WHERE answer = 2", [], |row| {
        row.get(0)
    })
    .unwrap()
}

/// Bo's request waits at Ana's when she accepts an invitation of his.
fn crossed() -> Bench {
    let mut bench = Bench::with(2);
    let from_ana = bench.invite(0, Who::Family, How::Plain);
    let from_bo = bench.invite(1, Who::One, How::Plain);
    bench.accept(1, &from_ana.link, None).unwrap();
    assert_eq!(bench.acceptance(1).state, AcceptanceState::Waiting);
    bench.accept(0, &from_bo.link, None).unwrap();
    bench
}

#[test]
fn an_invitation_by_somebody_whose_request_waits_is_accepted_meet_14() {
    let mut bench = crossed();
    assert_eq!(bench.acceptance(0).state, AcceptanceState::Accepted);
    bench.say(0, 1, "hello");
    bench.say(1, 1, "hello too");
    let claims = claims(&mut bench);
    bench.ask(0, Command::Approve(ById { id: claims[0].clone() })).unwrap();
    bench.pass(60_000);
    for device in [0, 1] {
        assert_eq!(bench.texts(device).len(), 2);
        assert_eq!(
            bench.numbers(device, "SELECT count(*) FROM outbox WHERE purpose <> 7"),
            [0]
        );
    }
}

#[test]
fn a_request_is_hidden_again_when_the_acceptance_is_forgotten_meet_14() {
    let mut bench = Bench::with(2);
    let from_ana = bench.invite(0, Who::Family, How::Plain);
    let from_bo = bench.invite(1, Who::One, How::InPerson);
    bench.accept(1, &from_ana.link, None).unwrap();
    let id = bench.accept(0, &from_bo.link, None).unwrap().id;
    assert_eq!(bench.numbers(0, "SELECT hidden FROM chat"), [0]);
    bench.ask(0, Command::AcceptForget(ById { id })).unwrap();
    assert_eq!(bench.numbers(0, "SELECT hidden FROM chat"), [1]);
    assert_eq!(bench.numbers(0, "SELECT count(*) FROM conversation"), [1]);
}

#[test]
fn a_claim_whose_answer_was_lost_is_sealed_anew_and_answered_again_meet_16() {
    let mut bench = Bench::with(2);
    let invite = bench.invite(0, Who::One, How::Plain);
    bench.devices[0].cut = true;
    bench.accept(1, &invite.link, None).unwrap();
    bench.devices[1].cut = true;
    bench.reconnect(0);
    assert_eq!(bench.numbers(0, "SELECT approved FROM invite"), [1]);
    // The relay loses everything but the claim, which it keeps once (RLY-23).
    let claim = bench.devices[1].sent[0].token.tag();
    bench.relay.boxes.retain(|tag, _| *tag == claim);
    bench.reconnect(1);
    assert_eq!(bench.acceptance(1).state, AcceptanceState::Claimed);
    bench.pass(25 * 3_600_000);
    assert_eq!(bench.acceptance(1).state, AcceptanceState::Accepted);
    // proves: MEET-10
    let told = "SELECT used_twice FROM invite UNION ALL SELECT count(*) FROM claim";
    assert_eq!(bench.numbers(0, told), [0, 1], "it was the same claim");
}
