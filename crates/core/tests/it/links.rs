//! Links into groups: who comes in by one, and who does not.

use crate::bench::Bench;
use crate::forks::change;
use crate::groups::{account, add, all_agree, chat, create, give, names, number, remove, say, texts};
use stonechat_core::api::{
    AcceptanceState, ByChat, ById, Command, Fault, GroupEdit, GroupLink, How, Invite, InviteCreate, InviteState, Reply,
    Role, Who,
};
use stonechat_wire::group::{GroupState, Seat};
use stonechat_wire::ids::AccountId;

const HOUR: u64 = 3_600_000;

/// Ana and Bo in a group; the others know nobody.
fn house(count: usize) -> Bench {
    let mut bench = Bench::with(count);
    let invite = bench.invite(0, Who::One, How::Plain);
    bench.accept(1, &invite.link, None).unwrap();
    bench.pass(6_000);
    create(&mut bench, &[1]);
    bench
}

fn link(bench: &mut Bench, by: usize, approval: bool, most: Option<u32>) -> Result<Invite, Fault> {
    let chat = chat(bench, by);
    let wish = GroupLink {
        chat,
        approval,
        most,
        hours: None,
    };
    match bench.ask(by, Command::GroupLink(wish))? {
        Reply::Invite(invite) => Ok(invite),
        other => panic!("{other:?}"),
    }
}

fn request(bench: &mut Bench, device: usize) -> String {
    let tx = bench.devices[device].store.begin().unwrap();
    tx.query_row("SELECT lower(hex(id)) FROM claim WHERE answer = 2", [], |row| {
        row.get(0)
    })
    .unwrap()
}

const GROUPS: &str = "SELECT count(*) FROM conversation WHERE grouped = 1 AND gone = 0";

#[test]
fn whoever_has_the_link_meets_the_inviter_and_is_added_by_one_commit_glk_3() {
    let mut bench = house(4);
    let epochs = number(&mut bench, 0, "SELECT count(*) FROM epoch");
    let link = link(&mut bench, 0, false, None).unwrap();
    assert!(link.link.len() <= 120);
    let led = link.group.clone().unwrap();
    assert_eq!((led.name.as_str(), led.most, led.approval), ("house", 50, false));
    for device in [2, 3] {
        bench.accept(device, &link.link, None).unwrap();
        let acceptance = bench.acceptance(device);
        assert_eq!(acceptance.state, AcceptanceState::Accepted);
        // proves: GLK-1
        assert_eq!(acceptance.group.as_deref(), Some("house"));
    }
    bench.pass(10_000);
    all_agree(&mut bench, &[0, 1, 2, 3]);
    let mut all = names(&mut bench, 1);
    all.sort();
    assert_eq!(all, ["Ana", "Bo", "Cy", "Di"]);
    // Each meeting founds an epoch; the group has one more, not two.
    assert_eq!(number(&mut bench, 0, "SELECT count(*) FROM epoch"), epochs + 2 + 1);
    assert_eq!(number(&mut bench, 0, "SELECT count(*) FROM newcomer"), 0);
    say(&mut bench, 3, "hello all").unwrap();
    bench.pass(6_000);
    assert_eq!(texts(&mut bench, 1), ["hello all"]);
    assert_eq!(texts(&mut bench, 2), ["hello all"]);
}

#[test]
fn one_who_cannot_be_added_keeps_nobody_out_and_is_given_up_after_a_day_glk_3() {
    let mut bench = house(4);
    let link = link(&mut bench, 0, false, None).unwrap();
    for device in [2, 3] {
        bench.accept(device, &link.link, None).unwrap();
    }
    let cy = account(&mut bench, 2);
    let bent = format!("UPDATE supply SET package = randomblob(40) WHERE mine = 0 AND account = x'{cy}'");
    change(&mut bench, 0, &bent);
    bench.pass(10_000);
    assert_eq!(names(&mut bench, 1), ["Ana", "Bo", "Di"]);
    let waits = "SELECT count(*) FROM newcomer";
    assert_eq!(number(&mut bench, 0, waits), 1);
    change(&mut bench, 0, "UPDATE newcomer SET tries = 142");
    bench.pass(11 * 60_000);
    assert_eq!(number(&mut bench, 0, waits), 1);
    bench.pass(10 * 60_000);
    assert_eq!(number(&mut bench, 0, waits), 0);
    assert_eq!(names(&mut bench, 1), ["Ana", "Bo", "Di"]);
}

#[test]
fn with_approval_each_waits_for_a_word_of_the_inviter_glk_2() {
    let mut bench = house(4);
    let link = link(&mut bench, 0, true, None).unwrap();
    bench.accept(2, &link.link, None).unwrap();
    bench.pass(HOUR);
    assert_eq!(bench.acceptance(2).state, AcceptanceState::Waiting);
    assert_eq!(names(&mut bench, 1), ["Ana", "Bo"]);
    let id = request(&mut bench, 0);
    bench.ask(0, Command::Approve(ById { id })).unwrap();
    bench.pass(10_000);
    all_agree(&mut bench, &[0, 1, 2]);
    bench.accept(3, &link.link, None).unwrap();
    let id = request(&mut bench, 0);
    bench.ask(0, Command::Decline(ById { id })).unwrap();
    bench.pass(10_000);
    assert_eq!(bench.acceptance(3).state, AcceptanceState::Declined);
    assert_eq!(names(&mut bench, 1), ["Ana", "Bo", "Cy"]);
    assert_eq!(number(&mut bench, 3, GROUPS), 0);
}

#[test]
fn one_more_than_it_lets_in_is_told_and_no_alarm_is_raised_glk_4() {
    let mut bench = house(4);
    let link = link(&mut bench, 0, false, Some(1)).unwrap();
    bench.accept(2, &link.link, None).unwrap();
    bench.accept(3, &link.link, None).unwrap();
    assert_eq!(bench.acceptance(3).state, AcceptanceState::Used);
    bench.pass(10_000);
    assert_eq!(names(&mut bench, 1), ["Ana", "Bo", "Cy"]);
    let state = "SELECT state FROM invite WHERE group_id IS NOT NULL";
    assert_eq!(bench.numbers(0, state), [InviteState::Used as u8]);
    assert_eq!(bench.numbers(0, "SELECT sum(used_twice) FROM invite"), [0]);
}

#[test]
fn a_claim_that_comes_after_the_link_was_revoked_gets_its_answer_glk_4() {
    let mut bench = house(4);
    let link = link(&mut bench, 0, false, None).unwrap();
    bench.devices[0].cut = true;
    bench.accept(2, &link.link, None).unwrap();
    bench.ask(0, Command::InviteRevoke(ById { id: link.id })).unwrap();
    bench.reconnect(0);
    assert_eq!(bench.acceptance(2).state, AcceptanceState::Used);
    bench.accept(3, &link.link, None).unwrap();
    assert_eq!(bench.acceptance(3).state, AcceptanceState::DoorSpent);
    bench.pass(10_000);
    assert_eq!(names(&mut bench, 1), ["Ana", "Bo"]);
}

#[test]
pub(crate) fn who_was_removed_does_not_come_back_by_the_link_without_a_word_glk_2() {
    let mut bench = house(3);
    let link = link(&mut bench, 0, false, None).unwrap();
    bench.accept(2, &link.link, None).unwrap();
    bench.pass(10_000);
    remove(&mut bench, 0, &[2]).unwrap();
    bench.pass(10_000);
    // The removed one takes the link up anew.
    let id = bench.acceptance(2).id;
    bench.ask(2, Command::AcceptForget(ById { id })).unwrap();
    bench.accept(2, &link.link, None).unwrap();
    bench.pass(HOUR);
    assert_eq!(bench.acceptance(2).state, AcceptanceState::Waiting);
    assert_eq!(names(&mut bench, 1), ["Ana", "Bo"]);
    let id = request(&mut bench, 0);
    bench.ask(0, Command::Approve(ById { id })).unwrap();
    bench.pass(HOUR);
    assert_eq!(names(&mut bench, 1), ["Ana", "Bo", "Cy"]);
}

#[test]
fn a_link_ends_with_its_makers_right_to_add_glk_5() {
    let mut bench = house(4);
    assert_eq!(link(&mut bench, 1, false, None).unwrap_err(), Fault::NotAllowed);
    let allow = |bench: &mut Bench, role| {
        let chat = chat(bench, 0);
        let edit = GroupEdit {
            chat,
            name: None,
            description: None,
            may_write: None,
            may_add: Some(role),
            may_edit: None,
        };
        bench.ask(0, Command::GroupEdit(edit)).unwrap();
        bench.pass(6_000);
    };
    allow(&mut bench, Role::Member);
    let link = link(&mut bench, 1, true, None).unwrap();
    bench.accept(2, &link.link, None).unwrap();
    assert_eq!(bench.acceptance(2).state, AcceptanceState::Waiting);
    let waits = request(&mut bench, 1);
    allow(&mut bench, Role::Admin);
    assert_eq!(
        bench.numbers(1, "SELECT state FROM invite WHERE group_id IS NOT NULL"),
        [InviteState::Revoked as u8]
    );
    bench.accept(3, &link.link, None).unwrap();
    assert_eq!(bench.acceptance(3).state, AcceptanceState::DoorSpent);
    let approved = bench.ask(1, Command::Approve(ById { id: waits }));
    assert_eq!(approved.unwrap_err(), Fault::NotAllowed);
    // Who leaves takes the links along.
    give(&mut bench, 0, 1, Role::Admin).unwrap();
    bench.pass(6_000);
    self::link(&mut bench, 1, true, None).unwrap();
    let chat = chat(&mut bench, 1);
    bench.ask(1, Command::GroupLeave(ByChat { chat })).unwrap();
    let open = "SELECT count(*) FROM invite WHERE group_id IS NOT NULL AND state < 2";
    assert_eq!(bench.numbers(1, open), [0]);
}

#[test]
fn what_a_link_may_be_has_limits_glk_1() {
    let mut bench = house(2);
    let chat = chat(&mut bench, 0);
    for (most, hours, fits) in [
        (Some(256), Some(720), true),
        (Some(257), None, false),
        (Some(0), None, false),
        (None, Some(721), false),
        (None, Some(0), false),
    ] {
        let wish = GroupLink {
            chat,
            approval: false,
            most,
            hours,
        };
        let made = bench.ask(0, Command::GroupLink(wish));
        assert_eq!(made.is_ok(), fits, "{most:?} {hours:?}");
    }
    let (who, how) = (Who::Group, How::Plain);
    let loose = bench.ask(0, Command::InviteCreate(InviteCreate { who, how }));
    assert_eq!(loose.unwrap_err(), Fault::BadParams);
}

#[test]
fn a_contact_who_comes_by_the_link_and_a_member_who_does_are_not_added_twice_glk_3() {
    let mut bench = house(3);
    let link = link(&mut bench, 0, false, None).unwrap();
    bench.accept(1, &link.link, None).unwrap();
    bench.accept(2, &link.link, None).unwrap();
    // Added by hand before the link does it.
    add(&mut bench, 0, &[2]).unwrap();
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 1, 2]);
    assert_eq!(names(&mut bench, 1), ["Ana", "Bo", "Cy"]);
    assert_eq!(number(&mut bench, 0, "SELECT count(*) FROM newcomer"), 0);
    let who = account(&mut bench, 1);
    let chats = format!("SELECT count(*) FROM chat WHERE lower(hex(contact)) = '{who}'");
    assert_eq!(number(&mut bench, 0, &chats), 1);
}

/// Ana's device takes the group for one with so many members.
fn crowd(bench: &mut Bench, seats: usize) {
    let head = "SELECT state FROM epoch WHERE epoch_id = (SELECT head FROM conversation WHERE grouped = 1)";
    let state: Vec<u8> = {
        let tx = bench.devices[0].store.begin().unwrap();
        tx.query_row(head, [], |row| row.get(0)).unwrap()
    };
    let mut state = GroupState::decode(&state).unwrap();
    state.seats.retain(|seat| !seat.name.starts_with("one of"));
    while state.seats.len() < seats {
        let number = u8::try_from(state.seats.len()).unwrap();
        state.seats.push(Seat {
            account: AccountId::from_bytes([number; 32]),
            role: stonechat_wire::group::Role::Member,
            name: format!("one of {seats}"),
        });
    }
    let sql = format!(
        "UPDATE epoch SET state = x'{}' WHERE epoch_id = (SELECT head FROM conversation WHERE grouped = 1)",
        hex::encode(state.encode())
    );
    change(bench, 0, &sql);
}

#[test]
fn a_full_group_lets_nobody_in_by_its_link_and_no_alarm_is_raised_glk_4() {
    let mut bench = house(4);
    let link = link(&mut bench, 0, false, None).unwrap();
    crowd(&mut bench, 256);
    bench.accept(2, &link.link, None).unwrap();
    assert_eq!(bench.acceptance(2).state, AcceptanceState::Used);
    assert_eq!(bench.numbers(0, "SELECT sum(used_twice) FROM invite"), [0]);
    assert_eq!(number(&mut bench, 0, "SELECT count(*) FROM contact"), 1);
    // The link is open still: where somebody goes there is room again.
    crowd(&mut bench, 2);
    bench.accept(3, &link.link, None).unwrap();
    assert_eq!(bench.acceptance(3).state, AcceptanceState::Accepted);
    bench.pass(10_000);
    assert_eq!(names(&mut bench, 1), ["Ana", "Bo", "Di"]);
}

#[test]
fn whom_a_full_group_has_no_room_for_is_not_approved_glk_4() {
    let mut bench = house(3);
    let link = link(&mut bench, 0, true, None).unwrap();
    bench.accept(2, &link.link, None).unwrap();
    let id = request(&mut bench, 0);
    crowd(&mut bench, 256);
    let approved = bench.ask(0, Command::Approve(ById { id: id.clone() }));
    assert_eq!(approved.unwrap_err(), Fault::GroupFull);
    bench.pass(10_000);
    assert_eq!(bench.acceptance(2).state, AcceptanceState::Waiting);
    crowd(&mut bench, 2);
    bench.ask(0, Command::Approve(ById { id })).unwrap();
    bench.pass(10_000);
    assert_eq!(names(&mut bench, 1), ["Ana", "Bo", "Cy"]);
}

/// Two were let in, and by the time they are added there is room for one.
#[test]
fn whoever_finds_no_room_any_more_waits_no_longer_glk_3() {
    let mut bench = house(4);
    let link = link(&mut bench, 0, false, None).unwrap();
    for device in [2, 3] {
        bench.accept(device, &link.link, None).unwrap();
        assert_eq!(bench.acceptance(device).state, AcceptanceState::Accepted);
    }
    crowd(&mut bench, 255);
    bench.pass(10_000);
    assert_eq!(number(&mut bench, 0, "SELECT count(*) FROM newcomer"), 0);
    let seats = "SELECT count(*) FROM seat WHERE place IS NOT NULL AND name IN ('Cy', 'Di')";
    assert_eq!(number(&mut bench, 0, seats), 1);
}
