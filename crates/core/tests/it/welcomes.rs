//! Welcomes that lead nowhere: by somebody who may not add, onto a branch of its own, into a tree with somebody whom the list
//! does not name (GRP-9). New leaves for whoever fell behind or came back, by somebody who may not give them (GRP-12, RCH-6).
#![cfg(feature = "lab")]

use crate::behind::rename;
use crate::bench::{Bench, route};
use crate::forks::change;
use crate::groups::{account, add, all_agree, chat, circle, create, give, head, names, number, say};
use crate::restore::{come_back, words};
use ed25519_dalek::SigningKey;
use stonechat_core::Input;
use stonechat_core::api::{Command, Fault, GroupMembers, GroupRole, How, Role, Who};
use stonechat_core::defence::{Defence, without};
use stonechat_wire::exchange::{Class, Parcel};
use stonechat_wire::group::GroupState;
use stonechat_wire::ids::Tag;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

const GROUPS: &str = "SELECT count(*) FROM conversation WHERE grouped = 1";
/// One more each time that a device is added again.
const ROOTS: &str =
    "SELECT count(*) FROM epoch JOIN conversation USING (group_id) WHERE grouped = 1 AND parent IS NULL";

/// What a program does that does not ask whether it may.
fn unruly(bench: &mut Bench, device: usize, input: Input) {
    let outputs = without(Defence::CommitRules, || bench.devices[device].step(input));
    assert!(!matches!(outputs.reply, Some(Err(_))), "{:?}", outputs.reply);
    bench.release(device, outputs);
    bench.settle();
}

fn members(bench: &mut Bench, by: usize, whom: usize) -> GroupMembers {
    GroupMembers {
        chat: chat(bench, by),
        members: vec![account(bench, whom)],
    }
}

/// On a branch that only this device follows it makes itself an owner, and adds a member of the group anew.
fn draws(bench: &mut Bench, device: usize, whom: usize) {
    let role = GroupRole {
        chat: chat(bench, device),
        member: account(bench, device),
        role: Role::Owner,
    };
    unruly(bench, device, Input::Command(Command::GroupRole(role)));
    let both = members(bench, device, whom);
    unruly(bench, device, Input::Command(Command::GroupRemove(both.clone())));
    unruly(bench, device, Input::Command(Command::GroupAdd(both)));
}

/// The public key of this device's leaf in a group that another one follows: the one it writes with, or one of those that lie
/// with its contacts.
fn leaf_in_head(bench: &mut Bench, of: usize, seen_by: usize) -> [u8; 32] {
    let members: Vec<u8> = {
        let tx = bench.devices[seen_by].store.begin().unwrap();
        let sql = "SELECT e.members FROM epoch e JOIN conversation v ON v.head = e.epoch_id WHERE v.grouped = 1";
        tx.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let tx = bench.devices[of].store.begin().unwrap();
    let sql = "SELECT signer FROM conversation WHERE grouped = 1
               UNION SELECT signer FROM supply WHERE signer IS NOT NULL";
    let mut rows = tx.prepare(sql).unwrap();
    let signers = rows.query_map([], |row| row.get::<_, [u8; 32]>(0)).unwrap();
    let mut keys = signers.map(|seed| SigningKey::from_bytes(&seed.unwrap()).verifying_key().to_bytes());
    let is_there = |key: &[u8; 32]| members.windows(8).any(|part| part == &key[..8]);
    keys.find(is_there).expect("a leaf")
}

/// A device gives a member another leaf, as if that one had lost its device.
fn gives_leaf(bench: &mut Bench, by: usize, whom: usize) {
    let (account, leaf) = (account(bench, whom), hex::encode(leaf_in_head(bench, whom, by)));
    let due = format!(
        "INSERT OR REPLACE INTO behind(group_id, account, leaf, epoch_id, number, due_at, asked_at, lost)
         SELECT group_id, x'{account}', x'{leaf}', head, 0, 0, 0, 1 FROM conversation WHERE grouped = 1"
    );
    change(bench, by, &due);
    unruly(bench, by, Input::Wake);
}

/// This device does not hear the group.
fn deaf_to_the_group(bench: &mut Bench, device: usize) -> Vec<(Tag, u64)> {
    let tags: Vec<[u8; 16]> = {
        let tx = bench.devices[device].store.begin().unwrap();
        let sql = "SELECT l.tag FROM listening l JOIN epoch e ON e.epoch_id = l.about
                   JOIN conversation v USING (group_id) WHERE v.grouped = 1";
        let mut rows = tx.prepare(sql).unwrap();
        let tags = rows.query_map([], |row| row.get(0)).unwrap();
        tags.map(Result::unwrap).collect()
    };
    let ears = &mut bench.devices[device].listening;
    tags.into_iter()
        .filter_map(|tag| Some((tag.into(), ears.remove(&tag.into())?)))
        .collect()
}

/// Devices of whom each knows the one before it and the one after it.
fn chain(count: usize) -> Bench {
    let mut bench = Bench::with(count);
    for device in 1..count {
        let invite = bench.invite(device - 1, Who::One, How::Plain);
        bench.accept(device, &invite.link, None).unwrap();
    }
    bench.pass(6_000);
    bench
}

/// Ana has a group with Bo, who may not add, and adds Cy.
#[test]
pub(crate) fn who_may_not_add_leads_nobody_into_a_group_grp_9() {
    let mut bench = chain(3);
    create(&mut bench, &[1]);
    let cy = members(&mut bench, 1, 2);
    unruly(&mut bench, 1, Input::Command(Command::GroupAdd(cy)));
    bench.pass(HOUR);
    assert_eq!(number(&mut bench, 2, GROUPS), 0);
}

/// Bo makes itself an owner, apart, and adds Cy there, by whose knowledge Bo may not.
#[test]
pub(crate) fn who_makes_itself_an_owner_draws_nobody_onto_its_branch_grp_9() {
    let mut bench = Bench::with(3);
    for (inviter, taker) in [(0, 1), (0, 2), (1, 2)] {
        let invite = bench.invite(inviter, Who::One, How::Plain);
        bench.accept(taker, &invite.link, None).unwrap();
    }
    bench.pass(6_000);
    create(&mut bench, &[1, 2]);
    bench.pass(HOUR);
    draws(&mut bench, 1, 2);
    bench.pass(HOUR);
    assert_eq!(number(&mut bench, 2, ROOTS), 1);
    all_agree(&mut bench, &[0, 2]);
    say(&mut bench, 0, "here").unwrap();
    bench.pass(MINUTE);
    assert_eq!(crate::groups::texts(&mut bench, 2), ["here"]);
}

/// Cy has not heard that Bo is no admin any more; the Welcome says so.
#[test]
pub(crate) fn who_is_no_admin_any_more_brings_nobody_back_grp_12() {
    let mut bench = Bench::with(3);
    for (inviter, taker) in [(0, 1), (0, 2), (1, 2)] {
        let invite = bench.invite(inviter, Who::One, How::Plain);
        bench.accept(taker, &invite.link, None).unwrap();
    }
    bench.pass(6_000);
    create(&mut bench, &[1, 2]);
    give(&mut bench, 0, 1, Role::Admin).unwrap();
    bench.pass(HOUR);
    let ears = deaf_to_the_group(&mut bench, 2);
    give(&mut bench, 0, 1, Role::Member).unwrap();
    gives_leaf(&mut bench, 1, 2);
    bench.pass(MINUTE);
    assert_eq!(number(&mut bench, 2, ROOTS), 1);
    bench.devices[2].listening.extend(ears);
    bench.settle();
    bench.pass(HOUR);
    all_agree(&mut bench, &[0, 2]);
}

/// Bo, no admin, gives Cy a new leaf.
#[test]
pub(crate) fn a_leaf_by_somebody_who_may_not_give_it_is_followed_by_nobody_grp_12() {
    let mut bench = Bench::with(4);
    for (inviter, taker) in [(0, 1), (0, 2), (0, 3), (1, 2)] {
        let invite = bench.invite(inviter, Who::One, How::Plain);
        bench.accept(taker, &invite.link, None).unwrap();
    }
    bench.pass(6_000);
    create(&mut bench, &[1, 2, 3]);
    bench.pass(HOUR);
    let before = head(&mut bench, 0);
    gives_leaf(&mut bench, 1, 2);
    bench.pass(HOUR);
    for device in [0, 2, 3] {
        assert_eq!(head(&mut bench, device), before, "{device}");
    }
}

/// Ana's program forgets that Cy has a seat, and adds Bo: Cy would read along, and Bo see nobody.
#[test]
pub(crate) fn who_is_in_the_tree_and_not_in_the_list_keeps_everybody_out_grp_9() {
    let mut bench = circle(3);
    create(&mut bench, &[2]);
    bench.pass(HOUR);
    let (state, cy) = {
        let tx = bench.devices[0].store.begin().unwrap();
        let sql = "SELECT state FROM epoch WHERE epoch_id = (SELECT head FROM conversation WHERE grouped = 1)";
        let state: Vec<u8> = tx.query_row(sql, [], |row| row.get(0)).unwrap();
        (GroupState::decode(&state).unwrap(), "Cy")
    };
    let mut hidden = state;
    hidden.seats.retain(|seat| seat.name != cy);
    let sql = format!(
        "UPDATE epoch SET state = x'{}' WHERE state IS NOT NULL",
        hex::encode(hidden.encode())
    );
    change(&mut bench, 0, &sql);
    add(&mut bench, 0, &[1]).unwrap();
    bench.pass(HOUR);
    assert_eq!(number(&mut bench, 1, GROUPS), 0);
}

/// Ana comes back from her words. Bo, no admin, is quicker than Cy, who is one.
#[test]
pub(crate) fn who_came_back_follows_nobody_who_could_not_bring_it_back_rch_6() {
    let mut bench = circle(3);
    create(&mut bench, &[1, 2]);
    give(&mut bench, 0, 2, Role::Admin).unwrap();
    bench.pass(2 * MINUTE);
    let words = words(&mut bench, 0);
    bench.devices[0].cut = true;
    bench.devices[2].cut = true;
    let ana = come_back(&mut bench, &words, &route());
    bench.pass(2 * MINUTE);
    draws(&mut bench, 1, ana);
    bench.pass(MINUTE);
    let lost = "SELECT count(*) FROM lost_group";
    assert_eq!(number(&mut bench, ana, lost), 1);
    bench.reconnect(2);
    bench.pass(HOUR);
    assert_eq!(number(&mut bench, ana, lost), 0);
    all_agree(&mut bench, &[2, ana]);
}

/// Ana owns the group; Bo, an admin, gives her a new leaf and keeps the Welcome. Di is an admin too.
fn leaf_replaced() -> Bench {
    let mut bench = circle(4);
    create(&mut bench, &[1, 2, 3]);
    for admin in [1, 3] {
        give(&mut bench, 0, admin, Role::Admin).unwrap();
    }
    bench.pass(HOUR);
    bench.devices[1].cut = true;
    gives_leaf(&mut bench, 1, 0);
    let is_commit = |parcel: &Parcel| parcel.ttl_s == 60 * 24 * 3600 && parcel.class == Class::Text;
    bench.devices[1].held.retain(is_commit);
    change(&mut bench, 1, "DELETE FROM outbox WHERE purpose = 0");
    bench.reconnect(1);
    bench.pass(MINUTE);
    all_agree(&mut bench, &[1, 2, 3]);
    bench
}

/// Her device shows that it is out, and does not believe that it writes. Another admin brings her back.
#[test]
fn whose_leaf_was_replaced_behind_its_back_shows_that_it_is_out_grp_12() {
    let mut bench = leaf_replaced();
    let gone = "SELECT gone FROM conversation WHERE grouped = 1";
    assert_eq!(number(&mut bench, 0, gone), 1);
    assert_eq!(say(&mut bench, 0, "hello?").unwrap_err(), Fault::NotMember);
    gives_leaf(&mut bench, 3, 0);
    bench.pass(MINUTE);
    assert_eq!(number(&mut bench, 0, gone), 0);
    say(&mut bench, 0, "I am back").unwrap();
    rename(&mut bench, 0, "mine still");
    bench.pass(MINUTE);
    all_agree(&mut bench, &[0, 1, 2, 3]);
    let names = names(&mut bench, 2);
    assert_eq!(names.first().map(String::as_str), Some("Ana"));
    let back = "SELECT count(*) FROM message WHERE text = 'I am back'";
    assert_eq!([1, 2, 3].map(|device| number(&mut bench, device, back)), [1, 1, 1]);
}

/// Nobody's program does that by itself, but where she comes back from her words.
#[test]
fn whose_leaf_was_replaced_behind_its_back_is_back_with_its_words_rch_6() {
    let mut bench = leaf_replaced();
    let words = words(&mut bench, 0);
    bench.devices[0].cut = true;
    let ana = come_back(&mut bench, &words, &route());
    bench.pass(HOUR);
    all_agree(&mut bench, &[1, 2, 3, ana]);
    say(&mut bench, ana, "I am back").unwrap();
    bench.pass(MINUTE);
    let back = "SELECT count(*) FROM message WHERE text = 'I am back'";
    assert_eq!([1, 2, 3].map(|device| number(&mut bench, device, back)), [1, 1, 1]);
    assert_eq!(number(&mut bench, ana, "SELECT role FROM seat WHERE place = 0"), 0);
}
