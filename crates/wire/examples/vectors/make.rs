//! The vectors themselves: a pure function, so that a test can compare them with the committed files.

use serde_json::{Map, Value, json};
use stonechat_wire::address::NEAR;
use stonechat_wire::apart::{Apart, encode_lacking};
use stonechat_wire::beacon::Beacon;
use stonechat_wire::blob::{CHUNK_BYTES, ChunkList, ChunkSet, DeletionToken};
use stonechat_wire::brought::Brought;
use stonechat_wire::bundle::{Item, seal_file};
use stonechat_wire::capsule::{Capsule, CapsuleRoot, KeptContact, KeptGroup, Whose};
use stonechat_wire::card::{
    Answer, CardRelay, Claim, ClaimSealed, ContactCard, DeviceChange, DeviceEntry, DeviceLog, DeviceLogEntry,
    HOW_SPOKEN, Verdict, WHO_FAMILY, WHO_GROUP, encode_near,
};
use stonechat_wire::catchup::encode_bundle;
use stonechat_wire::content::{Edit, Reaction, TextAbout, encode_deletion, encode_pin};
use stonechat_wire::drop::{self, DropKey, Kept, LyingCard, Object, ObjectName, drop_id};
use stonechat_wire::envelope::{EnvelopeKey, seal, seal_all};
use stonechat_wire::ephemeral::{self, EphemeralKey};
use stonechat_wire::face::{FaceClient, FaceRelay, RelaySecret};
use stonechat_wire::frame::blobs::{BlobAsk, BlobTell, Range};
use stonechat_wire::frame::forward::{ForwardAsk, ForwardTell, Passed};
use stonechat_wire::frame::{FromRelay, PutItem, Refusal, ToRelay};
use stonechat_wire::group::{
    Behind, Consent, Cut, GroupState, Invitation, Leave, Note, Placed, Role, SaidTimer, Seat, Supply, encode_supply,
    leave_bytes,
};
use stonechat_wire::hand::{DAY_S, Deck, HAND_BUCKET, Hand, deck};
use stonechat_wire::ids::{AccountId, DeviceId, DoorKey, DoorPath, EpochId, MessageId, RelayId, Tag, Timestamp, Token};
use stonechat_wire::introduce::{Ask, Knows, Person, Vouch, Word};
use stonechat_wire::invite::{InviteLink, InviteSecret, ROLE_CARD, ROLE_CLAIM, ROLE_HAND, account_pin, answer_role};
use stonechat_wire::link::{self, Challenge, DeviceLink, Grant, GrantSealed, LinkRequest, link_pin};
use stonechat_wire::mailbox::{Lane, MailboxRoot, Slot, app_slots, token};
use stonechat_wire::marks::{Mark, Span, Spans};
use stonechat_wire::message::{
    First, Kind, MessageHeader, Receipt, encode_again, encode_text, encode_want, message_id,
};
use stonechat_wire::own::{LeafCut, Own, OwnContact, OwnNote, OwnWelcome};
use stonechat_wire::picture;
use stonechat_wire::place::Place;
use stonechat_wire::poll::{Poll, Vote};
use stonechat_wire::post::{Forwarded, Media, Post, encode_timer};
use stonechat_wire::reach::ReachSecret;
use stonechat_wire::route::{RelayKeys, RelayRoute, near_path, relay_path};
use stonechat_wire::session::{Opening, Session};
use stonechat_wire::spoken::normalise_words;
use stonechat_wire::succession::{Agreed, consent_bytes};

/// File names and what stands in them.
pub(crate) fn all() -> Vec<(&'static str, Value)> {
    vec![
        ("envelope.json", envelopes()),
        ("ephemeral.json", signals()),
        ("catchup.json", catch_ups()),
        ("mailbox.json", mailboxes()),
        ("message.json", messages()),
        ("content.json", contents()),
        ("group.json", groups()),
        ("frames.json", frames()),
        ("blobs.json", blobs()),
        ("face.json", face()),
        ("session.json", session()),
        ("meeting.json", meeting()),
        ("capsule.json", capsules()),
        ("link.json", links()),
        ("bundle.json", bundles()),
        ("drop.json", drops()),
    ]
}

/// Seeds of the fuzzers' corpora: target, file name, bytes (the first chooses the parser, see `fuzz/src/targets.rs`).
pub(crate) fn corpora() -> Vec<Seed> {
    [envelope_seeds(), frame_seeds(), meeting_seeds()].concat()
}

type Seed = (&'static str, String, Vec<u8>);

fn seed(target: &'static str, name: &str, choice: u8, bytes: &[u8]) -> Seed {
    (target, name.replace(' ', "-"), [&[choice], bytes].concat())
}

fn envelope_seeds() -> Vec<Seed> {
    let tag = Tag::from_bytes([9; 16]);
    let envelope = seal(&EnvelopeKey::new([7; 32]), tag, [3; 16], b"hello").expect("short");
    let signal = ephemeral::seal(&EphemeralKey::new([7; 32]), 3, [5; 16], b"typing").expect("short");
    let script = [1, 0, 3, 9, 1, 2, 3, 9, 1, 1, 3, 9, 2, 0, 2, 255];
    vec![
        seed("envelope", "opens", 0, envelope.bytes()),
        seed("envelope", "seal", 1, b"hello"),
        seed("envelope", "parts", 2, &script),
        seed("envelope", "part", 3, &[&[8; 32][..], &[0, 1, 0, 2, 77]].concat()),
        seed("envelope", "signal", 4, &signal),
        seed("envelope", "bundle", 5, &bundle_items()),
        seed("envelope", "catch-up", 6, &encode_bundle(&two_commits())),
        seed("envelope", "drop", 7, &dropped().encode()),
        seed("envelope", "drop address", 7, DROP_ADDRESS.as_bytes()),
    ]
}

const DROP_ADDRESS: &str = "davs://ana%40dav.example:pass%3Aword@dav.example:443/files/drop";

/// Two envelopes that were put together.
fn dropped() -> Object {
    let kept = |fill: u8| Kept {
        ttl_s: 2_592_000,
        envelope: seal(
            &EnvelopeKey::new([7; 32]),
            Tag::from_bytes([fill; 16]),
            [3; 16],
            b"hello",
        )
        .expect("short"),
    };
    Object {
        written_at_s: 1_796_000_000,
        items: vec![kept(1), kept(2)],
    }
}

fn drops() -> Value {
    let (secret, name, seed) = (bytes::<16>(80), ObjectName::from_bytes(bytes(60)), bytes(7));
    let content = dropped().encode();
    let object = drop::seal(&DropKey::new(&secret), &name, seed, &content).expect("short");
    let link = invite();
    let (path, proof_hash) = (link.secret.path(), link.secret.proof_hash());
    let lying = LyingCard {
        expires_s: 1_796_000_000,
        card: vec![5; 16_384],
    };
    let door = ObjectName::of_door(&path);
    let card = drop::seal(&DropKey::of_door(&path, &proof_hash), &door, seed, &lying.encode()).expect("short");
    let by_drop = InviteLink {
        hints: vec![DROP_ADDRESS.into()],
        ..link
    };
    json!({
        "object": { "rule": "DRP-2 to DRP-5", "secret": hex(secret), "id": hex(drop_id(&secret).as_bytes()),
            "name": name.to_text(), "seed": hex(seed), "content": hex(&content), "sealed_sha256": sha256_hex(&object),
            "sealed_first_64": hex(object.get(..64).unwrap_or_default()), "size": object.len() },
        "door": { "rule": "DRP-7", "path": hex(path.as_bytes()), "proof_hash": hex(proof_hash), "name": door.to_text(),
            "seed": hex(seed), "expires": lying.expires_s, "card": "16384 bytes of 05",
            "sealed_sha256": sha256_hex(&card), "size": card.len() },
        "invitation": { "rule": "DRP-7", "address": DROP_ADDRESS, "link": by_drop.to_url() },
    })
}

/// SHA-256 of something long: an envelope's id is one.
fn sha256_hex(bytes: &[u8]) -> String {
    hex(stonechat_wire::ids::EnvelopeId::of(bytes).as_bytes())
}

fn bundle_items() -> Vec<u8> {
    let envelope = |fill: u8| {
        let (key, tag) = (EnvelopeKey::new([7; 32]), Tag::from_bytes([fill; 16]));
        seal(&key, tag, [3; 16], b"hello").expect("short")
    };
    let mut items = Vec::new();
    let (path, card) = (DoorPath::from_bytes([8; 12]), envelope(1));
    Item::Door { path, card }.encode(&mut items);
    Item::Envelope(envelope(2)).encode(&mut items);
    items
}

fn bundles() -> Value {
    let items = bundle_items();
    let file = seal_file(&items).expect("short");
    json!([{ "rule": "BDL-1", "items": hex(&items), "file": hex(&file) }])
}

fn frame_seeds() -> Vec<Seed> {
    let mut out = Vec::new();
    for (name, frame) in to_relay() {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        out.push(seed("frames", &format!("up {name}"), 0, &bytes));
    }
    for (name, frame) in from_relay() {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        out.push(seed("frames", &format!("down {name}"), 1, &bytes));
    }
    let (greeting, answer, ping, _) = conversation();
    out.push(seed("frames", "relay hears", 2, &[greeting, ping].concat()));
    out.push(seed("frames", "client hears", 3, &answer));
    out.push(seed(
        "frames",
        "keys",
        4,
        &[&[4, 193, 1][..], &bytes::<1216>(1)].concat(),
    ));
    out.push(seed("frames", "open", 5, b"ping"));
    out
}

fn meeting_seeds() -> Vec<Seed> {
    vec![
        seed("meeting", "link", 0, invite().to_url().as_bytes()),
        seed("meeting", "code", 0, invite().to_code().as_bytes()),
        seed("meeting", "route", 0, route().to_text().as_bytes()),
        seed(
            "meeting",
            "beacon",
            0,
            Beacon::new(&route().relay, bytes(90)).to_text().as_bytes(),
        ),
        seed("meeting", "card", 1, &card().encode()),
        seed("meeting", "card with a near relay", 1, &near_card().encode()),
        seed("meeting", "card into a group", 1, &group_card().encode()),
        seed("meeting", "claim", 2, &claim().0.encode()),
        seed("meeting", "claim sealed", 3, &claim().1.encode()),
        seed("meeting", "answer", 4, &answer().encode()),
        seed("meeting", "log", 5, &card().device_log.encode()),
        seed(
            "meeting",
            "message",
            6,
            &[text_header().encode(), encode_text("hello")].concat(),
        ),
        seed(
            "meeting",
            "reply",
            6,
            &[text_header().encode(), about("yes").encode()].concat(),
        ),
        seed(
            "meeting",
            "reaction",
            6,
            &[text_header().encode(), reaction().encode()].concat(),
        ),
        seed(
            "meeting",
            "deletion",
            6,
            &[text_header().encode(), encode_deletion(about("").target)].concat(),
        ),
        seed(
            "meeting",
            "post",
            6,
            &[text_header().encode(), post().encode()].concat(),
        ),
        seed(
            "meeting",
            "marks",
            6,
            &[text_header().encode(), marked().encode()].concat(),
        ),
        seed(
            "meeting",
            "edit",
            6,
            &[text_header().encode(), edit().encode()].concat(),
        ),
        seed(
            "meeting",
            "poll",
            6,
            &[text_header().encode(), poll().encode()].concat(),
        ),
        seed(
            "meeting",
            "vote",
            6,
            &[text_header().encode(), vote().encode()].concat(),
        ),
        seed(
            "meeting",
            "voice",
            6,
            &[text_header().encode(), voice().encode()].concat(),
        ),
        seed(
            "meeting",
            "photo",
            6,
            &[text_header().encode(), photo().encode()].concat(),
        ),
        seed(
            "meeting",
            "timer",
            6,
            &[text_header().encode(), encode_timer(Some(86_400))].concat(),
        ),
        seed(
            "meeting",
            "voice file",
            6,
            &[
                text_header().encode(),
                include_bytes!("../../tests/fixtures/small.ogg").to_vec(),
            ]
            .concat(),
        ),
        seed(
            "meeting",
            "photo file",
            6,
            &[
                text_header().encode(),
                include_bytes!("../../tests/fixtures/small.jpg").to_vec(),
            ]
            .concat(),
        ),
        seed("meeting", "receipt", 7, &receipt().encode()),
        seed("meeting", "group state", 8, &group_state().encode()),
        seed("meeting", "group state with a picture", 8, &pictured_state().encode()),
        seed("meeting", "note", 9, &note().encode()),
        seed("meeting", "capsule", 15, &capsule().encode()),
        seed("meeting", "own welcome", 16, &own_welcome().encode()),
        seed(
            "meeting",
            "own saved message",
            16,
            &Own::Saved([text_header().encode(), encode_text("hi")].concat()).encode(),
        ),
        seed("meeting", "own note", 17, &own_note().encode()),
        seed("meeting", "grant", 18, &grant().encode()),
        seed("meeting", "link request", 19, &link_request().encode()),
        seed("meeting", "introduction", 20, &ask().encode()),
        seed(
            "meeting",
            "introduction link",
            21,
            &Word::Link("l".into()).encode(&bytes(60)),
        ),
        seed(
            "meeting",
            "place",
            6,
            &[text_header().encode(), place_post().encode()].concat(),
        ),
    ]
}

/// The same with keys in alphabetical order, however maps are kept in this build.
pub(crate) fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> = map.into_iter().collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(
                entries
                    .into_iter()
                    .map(|(key, value)| (key, sorted(value)))
                    .collect::<Map<_, _>>(),
            )
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// `first`, `first + 1`, … : bytes that are all different.
fn bytes<const N: usize>(first: u8) -> [u8; N] {
    let mut next = first;
    [(); N].map(|()| {
        let byte = next;
        next = next.wrapping_add(1);
        byte
    })
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    hex::encode(bytes)
}

fn envelopes() -> Value {
    let (key, tag) = (bytes::<32>(1), Tag::from_bytes(bytes(100)));
    let sealing = EnvelopeKey::new(key);
    let whole = |content: &[u8], seed: [u8; 16]| {
        let envelope = seal(&sealing, tag, seed, content).expect("short");
        json!({ "rule": "ENV-1", "content": hex(content), "seed": hex(seed), "envelope": hex(envelope.bytes()),
            "id": hex(envelope.id().as_bytes()) })
    };
    let long: Vec<u8> = (0..33_000u32).map(|n| n.to_le_bytes()[0]).collect();
    let mut next = 0u8;
    let mut seeds = || {
        next += 1;
        [next; 16]
    };
    let parts = seal_all(&sealing, tag, &mut seeds, &long).expect("two parts");
    json!({
        "key": hex(key),
        "tag": hex(tag.as_bytes()),
        "whole": [whole(b"", bytes(7)), whole(b"hello", bytes(8)), whole(&[0x5a; 205], bytes(9)),
            whole(&[0x5a; 206], bytes(10))],
        "parts": { "rule": "ENV-6", "content": "33000 bytes: n mod 256", "seeds": "sixteen 01, sixteen 02",
            "ids": parts.iter().map(|part| hex(part.id().as_bytes())).collect::<Vec<_>>(),
            "sizes": parts.iter().map(|part| part.bytes().len()).collect::<Vec<_>>() },
    })
}

fn signals() -> Value {
    let (key, random) = (bytes::<32>(1), bytes::<16>(50));
    let sealed = ephemeral::seal(&EphemeralKey::new(key), 3, random, b"typing").expect("short");
    json!({ "rule": "EPH-1", "key": hex(key), "leaf": 3, "random": hex(random), "content": hex(b"typing"),
        "sealed": hex(sealed) })
}

fn mailboxes() -> Value {
    let root = bytes::<32>(1);
    let time = Timestamp(1_780_000_000_000);
    let now = Slot::of(time);
    let mut lanes = Vec::new();
    for (name, lane) in [("app", Lane::App), ("commit", Lane::Commit)] {
        for k in [0, 1, 2] {
            let token = token(&MailboxRoot::new(root), lane, now, k);
            lanes.push(
                json!({ "rule": "MBX-3", "lane": name, "slot": now.0, "k": k, "token": hex(token.as_bytes()),
                "tag": hex(token.tag().as_bytes()) }),
            );
        }
    }
    json!({ "root": hex(root), "lanes": lanes, "slots": { "rule": "MBX-5", "time_ms": time.0,
        "read": app_slots(now).map(|slot| slot.0) } })
}

fn text_header() -> MessageHeader {
    MessageHeader {
        kind: Kind::Text,
        read_through: true,
        seq: 1,
        hlc: 1_780_000_000_000,
        parents: vec![bytes(200)],
    }
}

fn receipt() -> Receipt {
    Receipt {
        heads: vec![bytes(1), bytes(9)],
        read: Some(MessageId::from_bytes(bytes(77))),
    }
}

fn behind() -> Behind {
    Behind {
        group: bytes(1),
        epoch: EpochId::from_bytes(bytes(40)),
        number: 7,
        leaf: bytes(100),
    }
}

fn placed() -> Placed {
    Placed {
        group: bytes(1),
        epoch: EpochId::from_bytes(bytes(40)),
        counts: false,
        whom: None,
    }
}

fn about(text: &str) -> TextAbout {
    TextAbout {
        target: MessageId::from_bytes(bytes(90)),
        text: text.into(),
    }
}

fn reaction() -> Reaction {
    Reaction {
        target: about("").target,
        emojis: ["👍", "🎉"].map(String::from).into(),
    }
}

fn post() -> Post {
    Post {
        text: "gone by noon".into(),
        target: Some(about("").target),
        timer_s: Some(3600),
        ..Post::default()
    }
}

const MARKED: &str = "@Bo: see you at eight";

/// A mention, and a stress in what is bold.
fn spans() -> Spans {
    let mention = Mark::Mention(AccountId::from_bytes(bytes(20)));
    let spans = [(0, 3, mention), (5, 16, Mark::Bold), (16, 5, Mark::Italic)];
    let spans = spans.map(|(from, length, mark)| Span { from, length, mark });
    Spans::over(MARKED, spans.to_vec()).expect("a tree")
}

fn marked() -> Post {
    Post {
        text: MARKED.into(),
        spans: spans(),
        forwarded: Some(Forwarded::By("Cy".into())),
        ..Post::default()
    }
}

fn edit() -> Edit {
    Edit {
        target: about("").target,
        text: MARKED.into(),
        spans: spans(),
    }
}

fn poll() -> Post {
    let choices = ["at seven", "at eight"].map(String::from).to_vec();
    Post {
        text: "When?".into(),
        poll: Some(Poll::of(true, choices).expect("two choices")),
        ..Post::default()
    }
}

fn vote() -> Vote {
    Vote {
        target: about("").target,
        choices: [0, 1].into(),
    }
}

/// A note of 60 ms.
fn voice() -> Post {
    let note = include_bytes!("../../tests/fixtures/small.ogg").to_vec();
    Post {
        media: Some(Media::voice(note).expect("a note")),
        ..Post::default()
    }
}

/// A photo of 64 by 48 pixels with itself as its preview, and a text.
fn photo() -> Post {
    let photo = include_bytes!("../../tests/fixtures/small.jpg").to_vec();
    Post {
        text: "our street".into(),
        media: Some(Media::photo(photo.clone(), Some(photo)).expect("a photo")),
        ..Post::default()
    }
}

/// Messages about messages.
fn person(first: u8, name: &str) -> Person {
    Person {
        ed25519: bytes(first),
        mldsa_hash: bytes(first + 1),
        name: name.into(),
    }
}

fn ask() -> Ask {
    let cy = person(70, "Cy");
    Ask {
        id: bytes(60),
        makes: false,
        chain: vec![Vouch {
            by: person(72, "Ана"),
            to: person(74, "Bo").account(),
            about: cy.account(),
            knows: Knows::Met,
            at_s: 1_796_000_000,
            signature: bytes(61),
        }],
        who: cy,
    }
}

fn card_post() -> Post {
    Post {
        card: Some(person(70, "Cy")),
        ..Post::default()
    }
}

fn place_post() -> Post {
    let place = Place::of(-3_344_556, 15_120_000, 12, "pier".into());
    Post {
        place: place.ok(),
        ..Post::default()
    }
}

fn introductions() -> Value {
    let id = bytes(60);
    let words = [Word::No, Word::Yes, Word::Both, Word::Link("http://h/p#f".into())];
    json!({ "rule": "INT-1, INT-2, INT-4", "ask": hex(ask().encode()), "signed": hex(ask().chain.remove(0).signed_bytes()),
        "words": words.iter().map(|word| hex(word.encode(&id))).collect::<Vec<_>>() })
}

fn contents() -> Value {
    let one = |rule: &str, kind: Kind, body: Vec<u8>| {
        let header = MessageHeader { kind, ..text_header() };
        json!({ "rule": rule, "header": hex(header.encode()), "body": hex(body) })
    };
    let taken_back = Reaction {
        emojis: [].into(),
        ..reaction()
    };
    json!({ "target": hex(about("").target.as_bytes()),
        "reply": one("CON-1", Kind::Reply, about("yes").encode()),
        "reaction": one("CON-3", Kind::Reaction, reaction().encode()),
        "reaction_taken_back": one("CON-3", Kind::Reaction, taken_back.encode()),
        "edit": one("CON-4", Kind::Edit, Edit { spans: Spans::default(), ..edit() }.encode()),
        "edit_with_marks": one("CON-16", Kind::Edit, edit().encode()),
        "marks": one("CON-16, CON-23", Kind::Post, marked().encode()),
        "pin": one("CON-19", Kind::Pin, encode_pin(about("").target, true)),
        "poll": one("CON-20", Kind::Post, poll().encode()),
        "vote": one("CON-21", Kind::Vote, vote().encode()),
        "close": one("CON-22", Kind::Close, encode_deletion(about("").target)),
        "deletion": one("CON-5", Kind::Deletion, encode_deletion(about("").target)),
        "post": one("CON-8", Kind::Post, post().encode()),
        "voice": one("CON-14", Kind::Post, voice().encode()),
        "photo": one("CON-15", Kind::Post, photo().encode()),
        "card": one("CON-25", Kind::Post, card_post().encode()),
        "place": one("CON-26", Kind::Post, place_post().encode()),
        "timer": one("CON-10", Kind::Timer, encode_timer(Some(86_400))),
        "timer_off": one("CON-10", Kind::Timer, encode_timer(None)) })
}

fn messages() -> Value {
    let (group, epoch) = (bytes::<16>(1), EpochId::from_bytes(bytes(40)));
    let (text, receipt) = (text_header(), receipt());
    let header = MessageHeader {
        kind: Kind::Receipt,
        read_through: false,
        seq: 2,
        parents: vec![],
        ..text.clone()
    };
    let one = |header: &MessageHeader, body: Vec<u8>| {
        let head = header.encode();
        let id = message_id(&group, epoch, 1, &head, &body);
        json!({ "rule": "MSG-1, MSG-5", "header": hex(&head), "body": hex(&body), "id": hex(id.as_bytes()) })
    };
    json!({ "group_id": hex(group), "first_epoch": hex(epoch.as_bytes()), "leaf": 1,
        "text": one(&text, encode_text("thirty bytes of text, exactly.")),
        "receipt": one(&header, receipt.encode()),
        "receipt_without_read_mark": hex(Receipt { read: None, ..receipt }.encode()),
        "behind": { "rule": "GRP-11", "body": hex(behind().encode()) },
        "placed": { "rule": "GRP-24", "body": hex(placed().encode()),
            "in_the_group": hex(Placed { whom: Some(AccountId::from_bytes(bytes(100))), ..placed() }.encode()) },
        "want": { "rule": "WNT-2", "body": hex(encode_want(&[bytes(1), bytes(9)])) },
        "again": { "rule": "MSG-8", "inner": hex(text.encode()),
            "message": hex(encode_again(First { epoch, leaf: 1 }, &text.encode())) } })
}

fn group_state() -> GroupState {
    let seat = |n: u8, role, name: &str| Seat {
        account: AccountId::from_bytes(bytes(n)),
        role,
        name: name.into(),
    };
    GroupState {
        large: false,
        name: "House".into(),
        description: "Who feeds the cat".into(),
        may_write: Role::Member,
        may_add: Role::Admin,
        may_edit: Role::Moderator,
        seats: vec![
            seat(1, Role::Owner, "Ana"),
            seat(40, Role::Admin, "Bo"),
            seat(80, Role::Reader, "Cy"),
        ],
        picture: None,
    }
}

fn pictured_state() -> GroupState {
    GroupState {
        picture: Some(picture::hash(&bytes::<40>(9))),
        ..group_state()
    }
}

fn note() -> Note {
    let account = AccountId::from_bytes(bytes(80));
    Note {
        cuts: vec![Cut {
            account,
            said: vec![bytes(40), bytes(41)],
        }],
        leaves: vec![Leave {
            account,
            signature: bytes(9),
        }],
        consents: vec![Consent {
            account,
            number: 12,
            signature: bytes(50),
        }],
    }
}

fn two_commits() -> Vec<Vec<u8>> {
    vec![vec![1, 2, 3], vec![4, 5]]
}

fn catch_ups() -> Value {
    json!({ "bundle": { "rule": "EPO-8", "bytes": hex(encode_bundle(&two_commits())) } })
}

fn groups() -> Value {
    let supply = [Supply {
        last_resort: true,
        package: vec![1, 2, 3],
    }];
    let invitation = Invitation {
        relays: vec![],
        welcome: vec![4, 5, 6],
        timer: None,
        apart: None,
    };
    let apart = Apart::of(bytes(30), b"what all Welcomes of a commit have in common");
    let hello = seal(&apart.key(), apart.token().tag(), bytes(7), b"hello").expect("short");
    let parted = Invitation {
        apart: Some(apart.clone()),
        ..invitation.clone()
    };
    let timed = Invitation {
        timer: Some(SaidTimer {
            hlc: 1_796_000_000_000,
            seconds: Some(3600),
        }),
        ..invitation.clone()
    };
    json!({
        "state": { "rule": "GRP-1, GRP-2", "bytes": hex(group_state().encode()) },
        "large state": { "rule": "GRP-17", "bytes": hex(GroupState { large: true, ..group_state() }.encode()) },
        "state with a picture": { "rule": "GRP-20", "bytes": hex(pictured_state().encode()),
            "hash of": hex(bytes::<40>(9)) },
        "consent": { "rule": "GRP-18, GRP-19",
            "signed": hex(consent_bytes(&bytes::<16>(1), &bytes(60), 12, AccountId::from_bytes(bytes(40)))),
            "body": hex(Agreed { candidate: AccountId::from_bytes(bytes(40)), number: 12, signature: bytes(50) }.encode()) },
        "note": { "rule": "GRP-6", "bytes": hex(note().encode()) },
        "leave": { "rule": "GRP-7", "signed": hex(leave_bytes(&bytes::<16>(1), AccountId::from_bytes(bytes(80)))) },
        "key_packages": { "rule": "GRP-8", "body": hex(encode_supply(&supply)) },
        "welcome": { "rule": "GRP-9", "body": hex(invitation.encode()) },
        "welcome with a timer": { "rule": "GRP-13", "body": hex(timed.encode()) },
        "welcome whose common part lies apart": { "rule": "GRP-15", "body": hex(parted.encode()),
            "token": hex(apart.token().as_bytes()), "tag": hex(apart.token().tag().as_bytes()),
            "envelope of hello": hex(hello.bytes()) },
        "lacking": { "rule": "GRP-16", "body": hex(encode_lacking(&apart.hash)) },
    })
}

/// Every frame once, with names.
fn to_relay() -> Vec<(&'static str, ToRelay)> {
    let token = Token::from_bytes(bytes(1));
    let tag = token.tag();
    let envelope = seal(&EnvelopeKey::new(bytes(1)), tag, bytes(7), b"hello").expect("short");
    let path = DoorPath::from_bytes(bytes(60));
    let item = PutItem {
        token: token.clone(),
        ttl_s: 2_592_000,
        envelope: envelope.clone(),
    };
    vec![
        (
            "hello",
            ToRelay::Hello {
                version: 1,
                features: 0,
                secret: None,
            },
        ),
        (
            "hello with a secret",
            ToRelay::Hello {
                version: 1,
                features: 3,
                secret: Some(bytes(80)),
            },
        ),
        (
            "put",
            ToRelay::Put {
                request: 1,
                items: vec![item],
            },
        ),
        (
            "subscribe",
            ToRelay::Subscribe {
                add: vec![(tag, 5)],
                drop: vec![Tag::from_bytes(bytes(9))],
            },
        ),
        (
            "fetch",
            ToRelay::Fetch {
                request: 2,
                tag,
                cursor: 6,
                limit: 100,
            },
        ),
        (
            "door",
            ToRelay::Door {
                request: 3,
                path,
                proof_hash: bytes(90),
                key: DoorKey::from_bytes(bytes(91)),
                expires_s: 1_780_000_000,
                card: vec![0xcd; 16384],
            },
        ),
        (
            "door with a deck",
            ToRelay::Door {
                request: 3,
                path,
                proof_hash: bytes(90),
                key: DoorKey::from_bytes(bytes(91)),
                expires_s: 1_780_000_000,
                card: deck(1_779_000_000, 1, &[vec![0xab; HAND_BUCKET], vec![0xcd; HAND_BUCKET]]),
            },
        ),
        (
            "close door",
            ToRelay::CloseDoor {
                request: 4,
                path,
                key: DoorKey::from_bytes(bytes(91)),
            },
        ),
        ("ephemeral", ToRelay::Ephemeral { token, envelope }),
        ("quota", ToRelay::Quota { request: 5 }),
    ]
    .into_iter()
    .chain(blob_asks())
    .chain([("credit", ToRelay::Credit { bytes: 65_536 })])
    .chain(forward_asks())
    .collect()
}

fn forward_asks() -> Vec<(&'static str, ToRelay)> {
    let (channel, relay) = (1, RelaySecret::from_seed(&bytes(1)).keys().id());
    let passed = Passed {
        channel,
        bytes: b"up".to_vec(),
    };
    let asks = [
        ("forward", ForwardAsk::Open { channel, relay }),
        ("pass", ForwardAsk::Pass(passed)),
        ("shut", ForwardAsk::Shut { channel }),
    ];
    asks.map(|(name, ask)| (name, ToRelay::Forward(ask))).to_vec()
}

fn forward_tells() -> Vec<(&'static str, FromRelay)> {
    let channel = 1;
    let passed = Passed {
        channel,
        bytes: b"down".to_vec(),
    };
    let why = Refusal::NotHere;
    let tells = [
        ("forwarding", ForwardTell::Open { channel }),
        ("pass", ForwardTell::Pass(passed)),
        ("took", ForwardTell::Took { channel, bytes: 2 }),
        ("shut", ForwardTell::Shut { channel, why }),
    ];
    tells.map(|(name, tell)| (name, FromRelay::Forward(tell))).to_vec()
}

/// A blob of a chunk and ten bytes.
fn blob() -> Vec<u8> {
    (0..=250).cycle().take(CHUNK_BYTES + 10).collect()
}

fn blob_asks() -> Vec<(&'static str, ToRelay)> {
    let all = blob();
    let list = ChunkList::of(&all).expect("short");
    let (id, token) = (list.id(), DeletionToken::from_bytes(bytes(20)));
    let range = Range {
        first: 1,
        bytes: all.get(CHUNK_BYTES..).unwrap_or_default().to_vec(),
    };
    let asks = [
        (
            "begin blob",
            BlobAsk::Begin {
                request: 6,
                ttl_s: 2_592_000,
                deletion: token.hash(),
                list,
            },
        ),
        ("put range", BlobAsk::Put { request: 7, id, range }),
        ("ask blob", BlobAsk::List { request: 8, id }),
        (
            "get range",
            BlobAsk::Get {
                request: 9,
                id,
                first: 1,
                count: 4,
            },
        ),
        ("drop blob", BlobAsk::Drop { request: 10, id, token }),
    ];
    asks.map(|(name, ask)| (name, ToRelay::Blob(ask))).to_vec()
}

fn blob_tells() -> Vec<(&'static str, FromRelay)> {
    let all = blob();
    let list = ChunkList::of(&all).expect("short");
    let set = ChunkSet::of(2, |index| index == 1);
    let range = Range {
        first: 1,
        bytes: all.get(CHUNK_BYTES..).unwrap_or_default().to_vec(),
    };
    let tells = [
        (
            "has",
            BlobTell::Has {
                request: 7,
                set: set.clone(),
            },
        ),
        ("blob", BlobTell::List { request: 8, list, set }),
        ("range", BlobTell::Range { request: 9, range }),
        ("gone", BlobTell::Gone { request: 10 }),
    ];
    tells.map(|(name, tell)| (name, FromRelay::Blob(tell))).to_vec()
}

fn blobs() -> Value {
    let all = blob();
    let list = ChunkList::of(&all).expect("short");
    let token = DeletionToken::from_bytes(bytes(20));
    let mut bytes = Vec::new();
    list.write(&mut bytes);
    json!({ "rule": "BLB-1, BLB-2, BLB-6", "blob": "bytes 0 to 250 over and over, 65,546 in all", "list": hex(bytes),
        "id": hex(list.id().as_bytes()), "deletion_token": hex(token.as_bytes()), "deletion_hash": hex(token.hash()) })
}

/// Every frame once, with names.
fn from_relay() -> Vec<(&'static str, FromRelay)> {
    let tag = Token::from_bytes(bytes(1)).tag();
    let envelope = seal(&EnvelopeKey::new(bytes(1)), tag, bytes(7), b"hello").expect("short");
    let ids = vec![envelope.id()];
    let envelope = envelope.into_bytes();
    vec![
        (
            "hello",
            FromRelay::Hello {
                version: 1,
                features: 0,
                time_ms: 1_780_000_000_000,
            },
        ),
        (
            "stored",
            FromRelay::Stored {
                request: 1,
                ids: ids.clone(),
            },
        ),
        ("full", FromRelay::Full { request: 1, ids }),
        (
            "refused",
            FromRelay::Refused {
                request: 1,
                why: Refusal::Quota,
            },
        ),
        ("busy", FromRelay::Busy { retry_after_ms: 1500 }),
        (
            "arrived",
            FromRelay::Arrived {
                tag,
                cursor: 9,
                envelope: envelope.clone(),
            },
        ),
        (
            "fetched",
            FromRelay::Fetched {
                request: 2,
                items: vec![(9, envelope.clone())],
                more: true,
            },
        ),
        ("door open", FromRelay::DoorOpen { request: 3 }),
        ("ephemeral", FromRelay::Ephemeral { tag, envelope }),
        (
            "quota",
            FromRelay::Quota {
                request: 5,
                used_bytes: 1000,
                limit_bytes: 1_000_000,
            },
        ),
    ]
    .into_iter()
    .chain(blob_tells())
    .chain([("hint", FromRelay::Hint { tag, cursor: 10 })])
    .chain(forward_tells())
    .collect()
}

fn frames() -> Value {
    let up = to_relay().into_iter().map(|(name, frame)| {
        let mut out = Vec::new();
        frame.encode(&mut out);
        json!({ "name": name, "frame": hex(out) })
    });
    let down = from_relay().into_iter().map(|(name, frame)| {
        let mut out = Vec::new();
        frame.encode(&mut out);
        json!({ "name": name, "frame": hex(out) })
    });
    json!({ "rule": "RLY-1", "to_relay": up.collect::<Vec<_>>(), "from_relay": down.collect::<Vec<_>>() })
}

/// Both sides' bytes of one connection: handshakes, then "ping" up and "pong" down.
fn conversation() -> (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>) {
    let secret = RelaySecret::from_seed(&bytes(1));
    let mut client = FaceClient::new(secret.keys(), bytes(50)).expect("keys");
    let mut relay = FaceRelay::new(&secret, bytes(90));
    let greeting = client.take_output();
    relay.receive(&greeting).expect("greeting");
    let answer = relay.take_output();
    client.receive(&answer).expect("answer");
    client.send(b"ping").expect("open");
    relay.send(b"pong").expect("open");
    (greeting, answer, client.take_output(), relay.take_output())
}

fn face() -> Value {
    let secret = RelaySecret::from_seed(&bytes(1));
    let (greeting, answer, ping, pong) = conversation();
    json!({ "rule": "FACE-1, FACE-2", "relay_seed": hex(bytes::<32>(1)), "relay_keys": hex(secret.keys().as_bytes()),
        "relay_id": hex(secret.keys().id().as_bytes()), "client_dice": hex(bytes::<32>(50)),
        "relay_dice": hex(bytes::<32>(90)), "dice": "ChaCha20 generator of rand_chacha, seeded",
        "client_handshake": hex(greeting), "relay_handshake": hex(answer), "ping": hex(ping), "pong": hex(pong) })
}

/// A client's first message, the relay's answer, and how the client goes on over a second connection after the loss of
/// what it sent last on the first.
fn session() -> Value {
    let (id, load_max) = (bytes(9), 9216);
    let (mut client, mut relay) = (Session::default(), Session::default());
    client.board(load_max);
    client.push(b"one");
    let first = client.next(64).expect("three bytes to send");
    let opened = Opening { id, load_max }.before(&first);
    relay.board(load_max);
    relay.take(&first).expect("a first message");
    relay.push(b"two");
    let answer = relay.next(64).expect("three bytes to send");
    client.take(&answer).expect("an answer");
    client.push(b"three");
    let lost = client.next(64).expect("five bytes to send");
    client.board(load_max);
    client.ping();
    let again = Opening { id, load_max }.before(&client.next(64).expect("the same five"));
    let relay_path = relay_path(&RelayId::from_bytes(bytes(20)), Some(&bytes(80)));
    json!({ "rule": "SES-1, SES-2, SES-3; RLY-41", "session": hex(bytes::<16>(9)), "load_max": load_max,
        "first": hex(opened), "answer": hex(answer), "lost": hex(lost), "again": hex(again),
        "relay_id": hex(bytes::<16>(20)), "secret": hex(bytes::<16>(80)), "relay_path": relay_path.to_text() })
}

/// An invite with three addresses.
fn invite() -> InviteLink {
    let secret = InviteSecret::from_bytes(bytes(1));
    let pin = account_pin(&secret, AccountId::from_bytes(bytes(40)));
    let hints = vec![
        "https://relay.example.org:443,192.0.2.7:443,[2001:db8::7]:8443".into(),
        "[2001:db8::7]:4443".into(),
        "192.0.2.7:4443".into(),
    ];
    InviteLink {
        hints,
        secret,
        pin,
        expiry_day: 20_602,
    }
}

/// A route with a secret.
fn route() -> RelayRoute {
    RelayRoute {
        address: "192.0.2.7:4443".into(),
        relay: RelayId::from_bytes(bytes(20)),
        secret: Some(bytes(80)),
        lan: false,
    }
}

/// A card with everything in it. Its signatures are made-up bytes: signing is core's.
fn card() -> ContactCard {
    let entry = DeviceEntry {
        change: DeviceChange::Added,
        device_id: DeviceId::from_bytes(bytes(11)),
        device_ed25519: bytes(30),
        added_at_s: 1_779_000_000,
    };
    let first = DeviceLogEntry {
        seq: 0,
        prev: [0; 32],
        entry: entry.clone(),
        signature: bytes(5),
    };
    let second = DeviceLogEntry {
        seq: 1,
        prev: first.hash(),
        entry,
        signature: bytes(6),
    };
    let keys = RelayKeys::from_bytes(bytes(1));
    ContactCard {
        version: 1,
        account_ed25519: bytes(1),
        mldsa_hash: bytes(2),
        name: "Ана".into(),
        device_log: DeviceLog {
            entries: vec![first, second],
        },
        seal_key: Some(bytes::<1216>(3).to_vec()),
        key_packages: vec![b"key package".to_vec()],
        relays: vec![CardRelay {
            address: "192.0.2.7:4443".into(),
            relay: keys.id(),
            secret: Some(bytes(80)),
            keys: Some(keys),
            lan: false,
        }],
        who: WHO_FAMILY,
        how: HOW_SPOKEN,
        group: None,
        expires_at_s: 1_780_000_000,
        created_at_s: 1_779_000_000,
        signature: bytes(9),
    }
}

/// A card that leads into a group.
fn group_card() -> ContactCard {
    ContactCard {
        who: WHO_GROUP,
        group: Some("Дом".into()),
        ..card()
    }
}

/// A card of somebody who has no relay but a near one.
fn near_card() -> ContactCard {
    ContactCard {
        relays: vec![near_relay()],
        ..card()
    }
}

fn near_relay() -> CardRelay {
    let keys = RelayKeys::from_bytes(bytes(1));
    CardRelay {
        address: NEAR.into(),
        relay: keys.id(),
        secret: Some(bytes(80)),
        keys: Some(keys),
        lan: true,
    }
}

/// A claim's two forms. The sealed one is not really sealed: HPKE is core's.
fn claim() -> (Claim, ClaimSealed) {
    let card = ContactCard {
        seal_key: None,
        key_packages: vec![],
        ..card()
    };
    let claim = Claim {
        card,
        welcomes: vec![b"welcome".to_vec()],
    };
    let sealed = ClaimSealed {
        kem_output: bytes::<1120>(4).to_vec(),
        ciphertext: b"ciphertext".to_vec(),
    };
    (claim, sealed)
}

/// An answer.
fn answer() -> Answer {
    Answer {
        verdict: Verdict::Accepted,
        verified: true,
        signature: bytes(12),
    }
}

fn meeting() -> Value {
    let (link, (claim, sealed)) = (invite(), claim());
    let role = |name: &str, role: &[u8]| {
        // The key itself stays inside its type; an envelope that it seals stands for it.
        let token = link.secret.token(role);
        let envelope = seal(&link.secret.key(role), token.tag(), bytes(7), b"hello").expect("short");
        json!({ "rule": "INV-5", "role": name, "token": hex(token.as_bytes()), "tag": hex(token.tag().as_bytes()),
            "hello_with_seed_07_to_16": hex(envelope.bytes()) })
    };
    json!({
        "invite": { "rule": "INV-1 to INV-4", "secret": hex(link.secret.as_bytes()), "account": hex(bytes::<32>(40)),
            "pin": hex(link.pin), "expiry_day": link.expiry_day, "hints": link.hints, "url": link.to_url(),
            "code": link.to_code(), "path": hex(link.secret.path().as_bytes()), "proof": hex(link.secret.proof()),
            "proof_hash": hex(link.secret.proof_hash()) },
        "roles": [role("card", ROLE_CARD), role("hand", ROLE_HAND), role("claim", ROLE_CLAIM),
            role("answer | sha-256(sealed claim)", &answer_role(sealed.hash()))],
        "route": { "rule": "RTE-1", "address": route().address, "relay": hex(route().relay.as_bytes()),
            "secret": hex(bytes::<16>(80)), "text": route().to_text() },
        "beacon": { "rule": "LAN-2", "relay": hex(route().relay.as_bytes()), "nonce": hex(bytes::<8>(90)),
            "text": Beacon::new(&route().relay, bytes(90)).to_text() },
        "near path": { "rule": "LAN-5", "relay": hex(route().relay.as_bytes()), "secret": hex(bytes::<16>(80)),
            "nonce": hex(bytes::<8>(90)),
            "path": hex(near_path(&route().relay, &bytes(80), &bytes(90)).as_bytes()) },
        "card": { "rule": "CARD-1 to CARD-3", "encoded": hex(card().encode()), "hash": hex(card().hash()),
            "account": hex(card().account_id().as_bytes()) },
        "relays": { "rule": "REL-1", "encoded": hex(brought().encode()) },
        "hand": { "rule": "PUB-1", "encoded": hex(hand().encode()), "signed": hex(hand().signed_bytes()) },
        "dealt": { "rule": "PUB-3", "deck": hex(dealing()), "source": hex([192, 0, 2, 0, 0, 0]),
            "hands by day": (0..3).map(dealt_on).collect::<Vec<_>>() },
        "near relay": { "rule": "LAN-4", "encoded": hex(encode_near(&near_relay())) },
        "card with a near relay": { "rule": "CARD-1, LAN-4", "encoded": hex(near_card().encode()) },
        "card into a group": { "rule": "CARD-1, GLK-1", "encoded": hex(group_card().encode()) },
        "claim": { "rule": "CARD-6", "encoded": hex(claim.encode()), "sealed": hex(sealed.encode()),
            "sealed_hash": hex(sealed.hash()) },
        "answer": { "rule": "CARD-7", "encoded": hex(answer().encode()),
            "signed": hex(Answer::signed_bytes(Verdict::Accepted, true, &sealed.hash())) },
        "introduction": introductions(),
        "words": [json!({ "rule": "INV-8", "typed": " River, MOON-chair.", "means": normalise_words(" River, MOON-chair.") })],
    })
}

fn hand() -> Hand {
    let first = CardRelay {
        keys: None,
        ..card().relays.remove(0)
    };
    let second = CardRelay {
        address: "https://relay.example.net:443".into(),
        relay: RelayId::from_bytes(bytes(96)),
        ..first.clone()
    };
    Hand {
        account_ed25519: bytes(40),
        mldsa_hash: bytes(41),
        relays: [first, second],
        expires_at_s: 1_796_000_000,
        signature: bytes(97),
    }
}

/// Four hands, two a day.
fn dealing() -> Vec<u8> {
    let hands: Vec<Vec<u8>> = (0..4).map(|n| vec![n; HAND_BUCKET]).collect();
    deck(1_779_000_000, 2, &hands)
}

/// The number of the hand that 192.0.2.0/24 is dealt on a day; none after the last.
fn dealt_on(day: u64) -> Option<u8> {
    let bytes = dealing();
    let deck = Deck::decode(&bytes).expect("a deck");
    let hand = deck.dealt(1_779_000_000 + day * DAY_S, &[192, 0, 2, 0, 0, 0])?;
    hand.first().copied()
}

fn brought() -> Brought {
    Brought {
        number: 1_790_000_000_000,
        relays: card().relays,
        taken_back: vec![RelayId::from_bytes(bytes(95))],
    }
}

fn capsule() -> Capsule {
    let relay = CardRelay {
        keys: None,
        ..card().relays.remove(0)
    };
    Capsule {
        generation: 3,
        made_at_s: 1_796_000_000,
        name: "Ана".into(),
        device_log: card().device_log,
        relays: vec![(Whose::Own, relay)],
        contacts: vec![KeptContact {
            ed25519: bytes(40),
            mldsa_hash: bytes(41),
            own_name: "Bo".into(),
            alias: None,
            verified: true,
            log_count: 1,
            log_hash: bytes(42),
            reach: ReachSecret::new(bytes(43)),
            relays: vec![0],
        }],
        groups: vec![KeptGroup {
            group: bytes(44),
            state: group_state(),
        }],
        left_out: 0,
    }
}

fn capsules() -> Value {
    let (root, reach, account) = (
        CapsuleRoot::new(bytes(1)),
        ReachSecret::new(bytes(2)),
        AccountId::from_bytes(bytes(3)),
    );
    json!({
        "capsule": { "rule": "CAP-2", "encoded": hex(capsule().encode()) },
        "mailboxes": { "rule": "CAP-1", "root": hex(bytes::<32>(1)), "slot": 2968,
            "token": hex(root.token(Slot(2968)).as_bytes()),
            "read": root.tokens(Slot(2968)).iter().map(|token| hex(token.tag().as_bytes())).collect::<Vec<_>>() },
        "reach": { "rule": "RCH-2, RCH-3", "reach": hex(bytes::<32>(2)), "account": hex(account.as_bytes()),
            "request hash": hex(bytes::<32>(4)),
            "request token": hex(reach.request_token(account).as_bytes()),
            "answer token": hex(reach.answer_token(&bytes(4)).as_bytes()) },
    })
}

fn link_request() -> LinkRequest {
    LinkRequest {
        device_ed25519: bytes(50),
        seal_key: bytes::<1216>(51).to_vec(),
        name: "Ноутбук".into(),
    }
}

fn grant() -> Grant {
    Grant {
        name: "Ана".into(),
        device_log: card().device_log,
        relays: card().relays.into_iter().map(|relay| (true, relay)).collect(),
        package: bytes::<64>(52).to_vec(),
        home_name: "Phone".into(),
        signature: bytes(53),
    }
}

fn own_behind() -> Own {
    Own::Behind(Behind {
        group: bytes(42),
        epoch: EpochId::from_bytes(bytes(43)),
        number: 9,
        leaf: bytes(44),
    })
}

fn own_note() -> OwnNote {
    OwnNote {
        log: card().device_log,
        cuts: vec![LeafCut {
            leaf: bytes(54),
            said: vec![bytes(56)],
        }],
    }
}

fn own_contact() -> OwnContact {
    OwnContact {
        ed25519: bytes(40),
        mldsa_hash: bytes(41),
        own_name: "Bo".into(),
        alias: String::new(),
        verified: true,
        device_log: card().device_log,
    }
}

fn own_welcome() -> Own {
    Own::Welcome(OwnWelcome {
        number: 7,
        seq: 12,
        contact: Some(own_contact()),
        relays: vec![capsule().relays.remove(0).1],
        welcome: bytes::<64>(55).to_vec(),
        timer: Some(SaidTimer {
            hlc: 1_800_000_000_000,
            seconds: Some(3_600),
        }),
    })
}

fn links() -> Value {
    let (secret, account, nonce) = (
        InviteSecret::from_bytes(bytes(1)),
        AccountId::from_bytes(bytes(2)),
        bytes(3),
    );
    let link = DeviceLink {
        secret: secret.clone(),
        pin: link_pin(&secret, account),
        expires_at_s: 1_796_003_600,
        route: RelayRoute {
            address: "relay.example:443".into(),
            relay: RelayId::from_bytes(bytes(4)),
            secret: Some(bytes(5)),
            lan: false,
        },
    };
    let request = bytes::<32>(6);
    let challenge = Challenge {
        ed25519: bytes(30),
        mldsa_hash: bytes(31),
        nonce,
        signature: bytes(32),
    };
    let sealed = GrantSealed {
        kem_output: bytes::<8>(33).to_vec(),
        ciphertext: bytes::<8>(34).to_vec(),
    };
    let role = link::answer_role(b"link/grant", &request);
    json!({
        "link": { "rule": "LNK-1", "secret": hex(secret.as_bytes()), "account": hex(account.as_bytes()), "text": link.to_text() },
        "number": { "rule": "LNK-4", "request hash": hex(request), "nonce": hex(nonce), "number": link::code(&secret, &request, &nonce) },
        "letters": { "rule": "LNK-2, LNK-3, LNK-5",
            "request": hex(link_request().encode()),
            "challenge": hex(challenge.encode()), "challenge signed": hex(Challenge::signed_bytes(&request, &nonce)),
            "grant": hex(grant().encode()), "grant signed": hex(grant().signed_bytes(&request)), "sealed": hex(sealed.encode()),
            "grant token": hex(secret.token(&role).as_bytes()) },
        "note": { "rule": "DEV-4", "encoded": hex(own_note().encode()) },
        "own": { "rule": "OWN-2",
            "devices": hex(Own::Devices(card().device_log, vec![(DeviceId::from_bytes(bytes(11)), "Phone".into())]).encode()),
            "welcome": hex(own_welcome().encode()), "contact": hex(Own::Contact(own_contact()).encode()),
            "blocked": hex(Own::Blocked(own_contact().account(), true).encode()),
            "saved": hex(Own::Saved([text_header().encode(), encode_text("hi")].concat()).encode()),
            "read": hex(Own::Read { group: bytes(40), message: MessageId::from_bytes(bytes(41)) }.encode()),
            "behind": hex(own_behind().encode()) },
    })
}
