//! What is fuzzed: every parser of `crates/wire` that meets a stranger's bytes. The first byte chooses which.
//!
//! A target must not panic, and what it decodes must encode to the same bytes again.

use stonechat_wire::apart::{decode_lacking, encode_lacking};
use stonechat_wire::beacon::Beacon;
use stonechat_wire::brought::Brought;
use stonechat_wire::bundle;
use stonechat_wire::capsule::Capsule;
use stonechat_wire::card::{Answer, Claim, ClaimSealed, ContactCard, DeviceLog, LeafIdentity};
use stonechat_wire::catchup;
use stonechat_wire::content::{Edit, Reaction, TextAbout, decode_deletion, decode_pin, encode_deletion, encode_pin};
use stonechat_wire::drop::{self, DropKey, LyingCard, Object, ObjectName, Place};
use stonechat_wire::envelope::{Content, Envelope, EnvelopeKey, Gather, Part, open, seal, seal_all};
use stonechat_wire::ephemeral::{self, EphemeralKey};
use stonechat_wire::face::{FaceClient, FaceRelay, RelaySecret};
use stonechat_wire::frame::{FromRelay, ToRelay};
use stonechat_wire::group::{GroupState, Invitation, Note, decode_supply, encode_supply};
use stonechat_wire::hand::Hand;
use stonechat_wire::ids::{RelayId, Tag};
use stonechat_wire::introduce::{Ask, Word};
use stonechat_wire::invite::InviteLink;
use stonechat_wire::link::{Grant, LinkRequest};
use stonechat_wire::message::{
    MessageHeader, Receipt, decode_again, decode_text, decode_want, encode_again, encode_text, encode_want,
};
use stonechat_wire::own::{Own, OwnNote};
use stonechat_wire::poll::Vote;
use stonechat_wire::post::{Post, decode_timer, encode_timer};
use stonechat_wire::route::RelayRoute;
use stonechat_wire::spoken::normalise_words;
use stonechat_wire::succession::Agreed;
use stonechat_wire::{jpeg, opus};

const KEY: EnvelopeKey = EnvelopeKey::new([7; 32]);
const TAG: Tag = Tag::from_bytes([9; 16]);

/// Envelopes, their content, parts, signals, bundles, catch-up bundles, what lies in drops.
pub(crate) fn envelope(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else {
        return;
    };
    match choice % 8 {
        0 => decode_envelope(bytes),
        7 => dropped(bytes),
        1 => seal_and_open(bytes),
        2 => gather(bytes),
        3 => {
            if let Ok(part) = Part::decode(bytes) {
                assert_eq!(part.encode(), bytes);
            }
        }
        4 => drop(ephemeral::open(&EphemeralKey::new([7; 32]), bytes)),
        5 => decode_bundle(bytes),
        _ => {
            if let Ok(commits) = catchup::decode_bundle(bytes) {
                let commits: Vec<Vec<u8>> = commits.into_iter().map(<[u8]>::to_vec).collect();
                assert_eq!(catchup::encode_bundle(&commits), bytes);
            }
        }
    }
}

/// Objects and cards as they are inside their seal, and sealed; addresses.
fn dropped(bytes: &[u8]) {
    let (key, name) = (DropKey::new(&[7; 16]), ObjectName::from_bytes([9; 16]));
    same(bytes, Object::decode(bytes).ok().map(|object| object.encode()));
    same(bytes, LyingCard::decode(bytes).ok().map(|card| card.encode()));
    let sealed = drop::seal(&key, &name, [3; 16], bytes).expect("the fuzzer's inputs are short");
    assert_eq!(
        drop::open(&key, &name, &sealed).expect("sealed just now").as_slice(),
        bytes
    );
    let mut padded = bytes.to_vec();
    padded.resize(4096, 0);
    let _ = drop::open(&key, &name, &padded);
    if let Some(address) = core::str::from_utf8(bytes).ok().and_then(Place::from_url) {
        assert!(Place::read(&address).is_some_and(|place| !place.shown().contains('@') || place.path.contains('@')));
        assert_eq!(Place::from_url(&address), Some(address));
    }
}

/// As a page, and as a file around it.
fn decode_bundle(bytes: &[u8]) {
    let _ = bundle::open_file(bytes);
    let Ok(items) = bundle::decode_items(bytes) else {
        return;
    };
    let mut out = Vec::new();
    items.iter().for_each(|item| item.encode(&mut out));
    assert_eq!(out, bytes);
    let file = bundle::seal_file(bytes).expect("the fuzzer's inputs are short");
    assert_eq!(bundle::open_file(&file), Ok(bytes));
}

fn decode_envelope(bytes: &[u8]) {
    let mut padded = bytes.to_vec();
    if let Some(bucket) = [256, 512, 1024, 2048].into_iter().find(|bucket| *bucket >= bytes.len()) {
        padded.resize(bucket, 0);
    }
    for bytes in [bytes.to_vec(), padded] {
        if let Ok(envelope) = Envelope::decode(bytes) {
            let _ = (envelope.id(), envelope.tag(), open(&KEY, &envelope));
        }
    }
}

fn seal_and_open(bytes: &[u8]) {
    let envelope = seal(&KEY, TAG, [3; 16], bytes).expect("the fuzzer's inputs are short");
    assert_eq!(open(&KEY, &envelope), Ok(Content::Whole(bytes.to_vec())));
}

/// A script of parts: hash choice, index, count, size, one byte each.
fn gather(script: &[u8]) {
    let mut gather = Gather::default();
    for step in script.chunks_exact(4) {
        let [set, index, count, size] = *step else { return };
        let part = Part {
            hash: [set % 40; 32],
            index: u16::from(index),
            count: u16::from(count),
            bytes: vec![set; usize::from(size) * 64],
        };
        let _ = gather.add(TAG, part);
        assert!(gather.set_count() <= stonechat_wire::envelope::GATHER_SETS_MAX);
        assert!(gather.size_bytes() <= stonechat_wire::envelope::GATHER_BYTES_MAX);
    }
    let whole = vec![script.len().to_le_bytes()[0]; 40_000];
    let parts = seal_all(&KEY, TAG, &mut || [1; 16], &whole).expect("two parts");
    let mut done = None;
    for sealed in &parts {
        let Ok(Content::Part(part)) = open(&KEY, sealed) else {
            unreachable!("parts were sealed")
        };
        done = gather.add(TAG, part).expect("fresh parts");
    }
    assert_eq!(done, Some(whole));
}

/// Frames of both directions, and the face before and after its handshake.
pub(crate) fn frames(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else {
        return;
    };
    match choice % 6 {
        0 => {
            if let Ok(frames) = ToRelay::decode_all(bytes) {
                let mut out = Vec::new();
                frames.iter().for_each(|frame| frame.encode(&mut out));
                assert_eq!(ToRelay::decode_all(&out), Ok(frames));
            }
        }
        1 => {
            if let Ok(frames) = FromRelay::decode_all(bytes) {
                let mut out = Vec::new();
                frames.iter().for_each(|frame| frame.encode(&mut out));
                assert_eq!(FromRelay::decode_all(&out), Ok(frames));
            }
        }
        2 => drop(FaceRelay::new(&secret(), [2; 32]).receive(bytes)),
        3 => drop(FaceClient::asking(secret().keys().id(), [1; 32]).receive(bytes)),
        4 => drop(FaceClient::asking(RelayId::from_bytes([0; 16]), [1; 32]).receive(bytes)),
        _ => open_face(bytes),
    }
}

fn secret() -> RelaySecret {
    static SECRET: std::sync::OnceLock<RelaySecret> = std::sync::OnceLock::new();
    SECRET.get_or_init(|| RelaySecret::from_seed(&[5; 32])).clone()
}

/// An open face takes a stranger's bytes after a good message, in pieces.
fn open_face(bytes: &[u8]) {
    let secret = secret();
    let mut client = FaceClient::new(secret.keys(), [1; 32]).expect("good keys");
    let mut relay = FaceRelay::new(&secret, [2; 32]);
    relay.receive(&client.take_output()).expect("a good greeting");
    client.receive(&relay.take_output()).expect("a good answer");
    client.send(bytes).expect("open");
    let mut got = Vec::new();
    for piece in client.take_output().chunks(bytes.len() / 3 + 1) {
        got.extend(relay.receive(piece).expect("in order"));
    }
    assert_eq!(got, [bytes]);
    let _ = relay.receive(bytes);
}

/// Links, routes, cards, claims, answers, message headers and bodies, spoken words.
pub(crate) fn meeting(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else {
        return;
    };
    match choice % 24 {
        0 => texts(bytes),
        23 => same(bytes, Hand::decode(bytes).ok().map(|hand| hand.encode())),
        20 => same(bytes, Ask::decode(bytes).ok().map(|ask| ask.encode())),
        22 => same(bytes, Brought::decode(bytes).ok().map(|brought| brought.encode())),
        21 => same(bytes, Word::decode(bytes).ok().map(|(id, word)| word.encode(&id))),
        1 => same(bytes, ContactCard::decode(bytes).ok().map(|card| card.encode())),
        2 => same(bytes, Claim::decode(bytes).ok().map(|claim| claim.encode())),
        3 => same(bytes, ClaimSealed::decode(bytes).ok().map(|claim| claim.encode())),
        4 => same(bytes, Answer::decode(bytes).ok().map(|answer| answer.encode())),
        5 => same(bytes, DeviceLog::decode(bytes).ok().map(|log| log.encode())),
        6 => message(bytes),
        15 => same(bytes, Capsule::decode(bytes).ok().map(|capsule| capsule.encode())),
        16 => same(bytes, Own::decode(bytes).ok().map(|own| own.encode())),
        17 => same(bytes, OwnNote::decode(bytes).ok().flatten().map(|note| note.encode())),
        18 => same(bytes, Grant::decode(bytes).ok().map(|grant| grant.encode())),
        19 => same(bytes, LinkRequest::decode(bytes).ok().map(|request| request.encode())),
        14 => same(bytes, decode_want(bytes).ok().map(|wanted| encode_want(&wanted))),
        7 => same(bytes, Receipt::decode(bytes).ok().map(|receipt| receipt.encode())),
        8 => same(bytes, GroupState::decode(bytes).ok().map(|state| state.encode())),
        9 => same(bytes, Note::decode(bytes).ok().map(|note| note.encode())),
        10 => same(bytes, decode_supply(bytes).ok().map(|supply| encode_supply(&supply))),
        11 => same(
            bytes,
            Invitation::decode(bytes).ok().map(|invitation| invitation.encode()),
        ),
        12 => same(
            bytes,
            LeafIdentity::decode(bytes).ok().map(|identity| identity.encode()),
        ),
        _ => {
            if let Ok((Some(first), plain)) = decode_again(bytes) {
                assert_eq!(encode_again(first, plain), bytes);
            }
        }
    }
}

fn texts(bytes: &[u8]) {
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    if let Ok(link) = InviteLink::parse(text) {
        assert_eq!(InviteLink::parse(&link.to_code()), Ok(link));
    }
    if let Ok(route) = RelayRoute::parse(text) {
        assert_eq!(RelayRoute::parse(&route.to_text()), Ok(route));
    }
    if let Some(beacon) = Beacon::parse(text) {
        assert_eq!(Beacon::parse(&beacon.to_text()), Some(beacon));
    }
    let words = normalise_words(text);
    assert_eq!(normalise_words(&words), words);
}

fn message(bytes: &[u8]) {
    if let Ok((header, body)) = MessageHeader::decode(bytes) {
        assert_eq!([&header.encode(), body].concat(), bytes);
        same(body, decode_text(body).ok().map(|text| encode_text(&text)));
        same(body, TextAbout::decode(body).ok().map(|about| about.encode()));
        same(body, Reaction::decode(body).ok().map(|reaction| reaction.encode()));
        same(body, decode_deletion(body).ok().map(encode_deletion));
        same(body, Edit::decode(body).ok().map(|edit| edit.encode()));
        same(body, Vote::decode(body).ok().map(|vote| vote.encode()));
        same(body, decode_pin(body).ok().map(|(target, on)| encode_pin(target, on)));
        same(body, Post::decode(body).ok().map(|post| post.encode()));
        same(body, decode_timer(body).ok().map(encode_timer));
        same(body, Agreed::decode(body).ok().map(|agreed| agreed.encode()));
        same(
            body,
            decode_lacking(body).ok().map(|hash| encode_lacking(&hash).to_vec()),
        );
        files(body);
    }
}

/// Voice notes and photos as files.
fn files(bytes: &[u8]) {
    let _ = opus::check(bytes);
    if let Ok(bare) = jpeg::bare(bytes) {
        assert!(jpeg::check(&bare).is_ok());
    }
}

/// A decoder is strict: what it takes has one encoding.
fn same(bytes: &[u8], again: Option<Vec<u8>>) {
    if let Some(again) = again {
        assert_eq!(again, bytes);
    }
}
