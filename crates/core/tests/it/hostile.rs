//! What strangers, thieves of links and the other member can throw at core: each leaves nothing behind.

use crate::bench::{Bench, relay_keys};
use stonechat_core::Input;
use stonechat_core::api::{AcceptanceState, How, Who};
use stonechat_wire::card::{Answer, CARD_BUCKET, Claim, ClaimSealed, ContactCard, Verdict};
use stonechat_wire::envelope::{self, Envelope, EnvelopeKey};
use stonechat_wire::exchange::{Arrival, News};
use stonechat_wire::ids::{Tag, Token};
use stonechat_wire::invite::{InviteLink, ROLE_CARD, ROLE_CLAIM, answer_role};

/// Puts an envelope where somebody listens and lets it arrive.
fn put(bench: &mut Bench, token: &Token, key: &EnvelopeKey, content: &[u8]) {
    let envelope = envelope::seal(key, token.tag(), [9; 16], content).unwrap();
    bench
        .relay
        .boxes
        .entry(token.tag())
        .or_default()
        .push(envelope.into_bytes());
    bench.settle();
}

fn link_of(code: &str) -> InviteLink {
    InviteLink::parse(code).unwrap()
}

/// All rows that a hostile input could have left, as one number each.
fn rows(bench: &mut Bench, device: usize) -> Vec<u8> {
    [
        "contact",
        "chat",
        "conversation",
        "epoch_row",
        "tree_piece",
        "message",
        "claim",
        "outbox",
    ]
    .iter()
    .flat_map(|table| bench.numbers(device, &format!("SELECT min(count(*), 255) FROM {table}")))
    .collect()
}

#[test]
fn a_claim_of_junk_is_answered_and_leaves_nothing_meet_7() {
    let mut bench = Bench::with(1);
    let invite = bench.invite(0, Who::One, How::Plain);
    let secret = link_of(&invite.code).secret;
    let before = rows(&mut bench, 0);
    let (token, key) = (secret.token(ROLE_CLAIM), secret.key(ROLE_CLAIM));
    put(&mut bench, &token, &key, b"no claim at all");
    let sealed = ClaimSealed {
        kem_output: vec![1; 1120],
        ciphertext: vec![2; 500],
    }
    .encode();
    put(&mut bench, &token, &key, &sealed);
    let after = rows(&mut bench, 0);
    assert_eq!(before[..6], after[..6]);
    assert_eq!(bench.numbers(0, "SELECT unopened FROM invite"), [2]);
    assert_eq!(bench.numbers(0, "SELECT state FROM invite"), [1]);
}

/// Replaces the card behind the only door by another one.
fn swap_card(bench: &mut Bench, code: &str, change: impl FnOnce(&mut ContactCard)) {
    let secret = link_of(code).secret;
    let (_, sealed) = bench.relay.doors.get(&secret.path()).unwrap().clone();
    let envelope = Envelope::decode(sealed).unwrap();
    let envelope::Content::Whole(plain) = envelope::open(&secret.key(ROLE_CARD), &envelope).unwrap() else {
        panic!()
    };
    let mut card = ContactCard::decode(&plain).unwrap();
    change(&mut card);
    let tag = secret.token(ROLE_CARD).tag();
    let sealed = envelope::seal_into(&secret.key(ROLE_CARD), tag, [1; 16], &card.encode(), CARD_BUCKET).unwrap();
    bench.relay.doors.get_mut(&secret.path()).unwrap().1 = sealed.into_bytes();
}

#[test]
fn a_relay_that_swaps_the_card_is_found_out_meet_4() {
    type Change = fn(&mut ContactCard);
    let changes: [Change; 4] = [
        |card| card.name = "Mallory".into(),
        |card| card.expires_at_s += 1,
        |card| card.seal_key = Some(vec![0; 1216]),
        |card| card.device_log.entries[0].entry.device_ed25519 = [5; 32],
    ];
    for change in changes {
        let mut bench = Bench::with(2);
        let invite = bench.invite(0, Who::One, How::Plain);
        swap_card(&mut bench, &invite.code, change);
        bench.accept(1, &invite.link, None).unwrap();
        assert_eq!(bench.acceptance(1).state, AcceptanceState::CardWrong);
        assert_eq!(bench.numbers(1, "SELECT count(*) FROM contact"), [0]);
    }
}

#[test]
pub(crate) fn a_card_of_another_account_does_not_fit_the_link_inv_3() {
    let mut bench = Bench::with(3);
    let of_ana = bench.invite(0, Who::One, How::Plain);
    let of_cy = bench.invite(2, Who::One, How::Plain);
    let (ana, cy) = (link_of(&of_ana.code).secret, link_of(&of_cy.code).secret);
    let envelope = Envelope::decode(bench.relay.doors[&cy.path()].1.clone()).unwrap();
    let envelope::Content::Whole(card) = envelope::open(&cy.key(ROLE_CARD), &envelope).unwrap() else {
        panic!()
    };
    let tag = ana.token(ROLE_CARD).tag();
    let sealed = envelope::seal_into(&ana.key(ROLE_CARD), tag, [1; 16], &card, CARD_BUCKET).unwrap();
    bench.relay.doors.get_mut(&ana.path()).unwrap().1 = sealed.into_bytes();
    bench.accept(1, &of_ana.link, None).unwrap();
    assert_eq!(bench.acceptance(1).state, AcceptanceState::CardWrong);
}

#[test]
pub(crate) fn nobody_but_the_inviter_answers_a_claim_meet_12() {
    let mut bench = Bench::with(2);
    let invite = bench.invite(0, Who::Family, How::Plain);
    let secret = link_of(&invite.code).secret;
    bench.accept(1, &invite.link, None).unwrap();
    assert_eq!(bench.acceptance(1).state, AcceptanceState::Waiting);
    let claim = claim_of(&bench, &secret.token(ROLE_CLAIM).tag(), &secret.key(ROLE_CLAIM));
    let role = answer_role(ClaimSealed::decode(&claim).unwrap().hash());
    let forged = Answer {
        verdict: Verdict::Accepted,
        verified: true,
        signature: [7; 64],
    };
    put(&mut bench, &secret.token(&role), &secret.key(&role), &forged.encode());
    assert_eq!(bench.acceptance(1).state, AcceptanceState::Waiting);
    assert_eq!(bench.numbers(1, "SELECT verified FROM contact"), [0]);
}

fn claim_of(bench: &Bench, tag: &Tag, key: &EnvelopeKey) -> Vec<u8> {
    let sealed = Envelope::decode(bench.relay.boxes[tag][0].clone()).unwrap();
    let envelope::Content::Whole(claim) = envelope::open(key, &sealed).unwrap() else {
        panic!()
    };
    claim
}

#[test]
fn a_reader_of_the_link_without_the_words_gets_no_further_meet_6() {
    let mut bench = Bench::with(3);
    let invite = bench.invite(0, Who::One, How::Spoken);
    // Cy read the text of the invitation in transit and tries without words, and with empty ones.
    bench.accept(2, &invite.link, Some("   ")).unwrap();
    assert_eq!(bench.acceptance(2).state, AcceptanceState::NeedsWords);
    let id = bench.acceptance(2).id;
    let wish = stonechat_core::api::AcceptRetry { id, spoken_words: None };
    bench.ask(2, stonechat_core::api::Command::AcceptRetry(wish)).unwrap();
    assert_eq!(bench.acceptance(2).state, AcceptanceState::WordsWrong);
    // What the link and the card show of the inviter's relays is one entrance.
    bench.accept(1, &invite.link, invite.spoken_words.as_deref()).unwrap();
    assert_eq!(bench.acceptance(1).state, AcceptanceState::Accepted);
    assert_eq!(bench.numbers(2, "SELECT count(*) FROM relay"), [1]);
}

#[test]
fn a_claim_replayed_under_another_seed_is_answered_again_and_not_taken_twice_meet_10() {
    let mut bench = Bench::with(2);
    let invite = bench.invite(0, Who::Family, How::Plain);
    let secret = link_of(&invite.code).secret;
    bench.accept(1, &invite.link, None).unwrap();
    let (token, key) = (secret.token(ROLE_CLAIM), secret.key(ROLE_CLAIM));
    let claim = claim_of(&bench, &token.tag(), &key);
    let before = rows(&mut bench, 0);
    put(&mut bench, &token, &key, &claim);
    assert_eq!(rows(&mut bench, 0)[..7], before[..7]);
}

#[test]
fn envelopes_replayed_or_bent_say_nothing_twice_env_8() {
    let mut bench = Bench::friends();
    bench.say(0, 1, "once");
    bench.pass(6_000);
    let sent = bench.devices[0].sent.last().unwrap().clone();
    let tag = sent.token.tag();
    let mut bent = sent.envelope.bytes().to_vec();
    *bent.last_mut().unwrap() ^= 1;
    let whole = sent.envelope.bytes().to_vec();
    let mut refused = vec![];
    for (cursor, envelope) in (1_000_000..).zip([whole, bent, vec![], vec![1; 256], vec![2; 300]]) {
        let arrival = Arrival {
            relay: relay_keys().id(),
            tag,
            cursor,
            envelope,
        };
        let outputs = bench.devices[1].step(Input::News(News::Arrived(vec![arrival])));
        refused.extend(outputs.refused);
    }
    assert_eq!(refused, ["does not open"], "the bent one; the others do not get so far");
    assert_eq!(bench.texts(1), ["once"]);
    let last = "SELECT max(cursor) - 1000000 FROM listening";
    assert_eq!(bench.numbers(1, last), [4], "all were looked at");
}

#[test]
fn a_message_encrypted_by_the_other_member_for_another_mailbox_is_no_message_env_4() {
    let mut bench = Bench::friends();
    bench.say(0, 1, "first");
    let sent = bench.devices[0].sent.last().unwrap().clone();
    // The same bytes under a tag that is read too (the slot before): the mac covers the tag.
    let other = bench.devices[1]
        .listening
        .keys()
        .find(|tag| **tag != sent.token.tag())
        .copied()
        .unwrap();
    let mut bytes = sent.envelope.bytes().to_vec();
    bytes[1..17].copy_from_slice(other.as_bytes());
    let arrival = Arrival {
        relay: relay_keys().id(),
        tag: other,
        cursor: 77,
        envelope: bytes,
    };
    bench.devices[1].step(Input::News(News::Arrived(vec![arrival])));
    bench.pass(6_000);
    assert_eq!(bench.texts(1), ["first"]);
}

#[test]
fn a_welcome_that_is_no_welcome_rolls_everything_back_meet_9() {
    let mut bench = Bench::with(2);
    let invite = bench.invite(0, Who::Family, How::Plain);
    bench.accept(1, &invite.link, None).unwrap();
    let offer: Vec<u8> = {
        let tx = bench.devices[1].store.begin().unwrap();
        tx.query_row("SELECT offer FROM acceptance", [], |row| row.get(0))
            .unwrap()
    };
    let mut claim = Claim::decode(&offer).unwrap();
    for bend in [0, 100, 1000, 3000] {
        let welcome = &mut claim.welcomes[0];
        let place = bend % welcome.len();
        welcome[place] ^= 0x55;
        let tx = bench.devices[1].store.begin().unwrap();
        tx.execute("UPDATE acceptance SET offer = ?, state = 8", [claim.encode()])
            .unwrap();
        tx.commit().unwrap();
        let before = rows(&mut bench, 0);
        let id = bench.acceptance(1).id;
        let wish = stonechat_core::api::AcceptRetry { id, spoken_words: None };
        bench.ask(1, stonechat_core::api::Command::AcceptRetry(wish)).unwrap();
        assert_eq!(bench.acceptance(1).state, AcceptanceState::Declined);
        assert_eq!(rows(&mut bench, 0)[..6], before[..6]);
    }
}
