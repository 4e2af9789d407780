use super::blobs::Range;
use super::forward::{PASS_BYTES_MAX, Passed};
use super::*;
use crate::blob::{CHUNK_BYTES, ChunkList, ChunkSet, DeletionToken, RANGE_CHUNKS_MAX};
use crate::envelope::{EnvelopeKey, seal, seal_into};
use crate::ids::{BlobId, RelayId};
use proptest::prelude::*;
use std::vec;

fn token(n: u8) -> Token {
    Token::from_bytes([n; 32])
}

fn envelope(n: u8) -> Envelope {
    seal(&EnvelopeKey::new([1; 32]), token(n).tag(), [n; 16], b"hi").unwrap()
}

fn put(n: u8) -> PutItem {
    PutItem {
        token: token(n),
        ttl_s: 60,
        envelope: envelope(n),
    }
}

fn encoded(frame: &ToRelay) -> Vec<u8> {
    let mut out = Vec::new();
    frame.encode(&mut out);
    out
}

fn every_to_relay() -> Vec<ToRelay> {
    vec![
        ToRelay::Hello {
            version: 1,
            features: 5,
            secret: Some([9; 16]),
        },
        ToRelay::Hello {
            version: 1,
            features: 0,
            secret: None,
        },
        ToRelay::Put {
            request: 7,
            items: vec![put(1), put(2)],
        },
        ToRelay::Subscribe {
            add: vec![(token(1).tag(), 88)],
            drop: vec![token(2).tag()],
        },
        ToRelay::Fetch {
            request: 8,
            tag: token(1).tag(),
            cursor: 3,
            limit: 10,
        },
        ToRelay::Door {
            request: 9,
            path: DoorPath::from_bytes([3; 12]),
            proof_hash: [4; 32],
            key: DoorKey::from_bytes([6; 16]),
            expires_s: 1_800_000_000,
            card: vec![5; CARD_BUCKET],
        },
        ToRelay::Door {
            request: 9,
            path: DoorPath::from_bytes([3; 12]),
            proof_hash: [4; 32],
            key: DoorKey::from_bytes([6; 16]),
            expires_s: 1_800_000_000,
            card: crate::hand::deck(1_790_000_000, 1, &[vec![7; crate::hand::HAND_BUCKET]]),
        },
        ToRelay::CloseDoor {
            request: 10,
            path: DoorPath::from_bytes([3; 12]),
            key: DoorKey::from_bytes([6; 16]),
        },
        ToRelay::Ephemeral {
            token: token(1),
            envelope: envelope(1),
        },
        ToRelay::Quota { request: 11 },
        ToRelay::Blob(BlobAsk::Begin {
            request: 12,
            ttl_s: 60,
            deletion: [6; 32],
            list: chunk_list(),
        }),
        ToRelay::Blob(BlobAsk::Put {
            request: 13,
            id: BlobId::from_bytes([7; 32]),
            range: range(),
        }),
        ToRelay::Blob(BlobAsk::List {
            request: 14,
            id: BlobId::from_bytes([7; 32]),
        }),
        ToRelay::Blob(BlobAsk::Get {
            request: 15,
            id: BlobId::from_bytes([7; 32]),
            first: 3,
            count: 4,
        }),
        ToRelay::Blob(BlobAsk::Drop {
            request: 16,
            id: BlobId::from_bytes([7; 32]),
            token: DeletionToken::from_bytes([8; 32]),
        }),
        ToRelay::Credit { bytes: 70_000 },
        ToRelay::Forward(ForwardAsk::Open {
            channel: 3,
            relay: RelayId::from_bytes([6; 16]),
        }),
        ToRelay::Forward(ForwardAsk::Pass(passed())),
        ToRelay::Forward(ForwardAsk::Shut { channel: 3 }),
    ]
}

fn passed() -> Passed {
    Passed {
        channel: 3,
        bytes: vec![4; 99],
    }
}

fn chunk_list() -> ChunkList {
    ChunkList::new(70_000, vec![[1; 32], [2; 32]]).unwrap()
}

fn range() -> Range {
    Range {
        first: 1,
        bytes: vec![9; 100],
    }
}

fn every_from_relay() -> Vec<FromRelay> {
    let ids = vec![envelope(1).id(), envelope(2).id()];
    vec![
        FromRelay::Hello {
            version: 1,
            features: 0,
            time_ms: 1_700_000_000_000,
        },
        FromRelay::Stored {
            request: 7,
            ids: ids.clone(),
        },
        FromRelay::Full { request: 7, ids },
        FromRelay::Refused {
            request: 7,
            why: Refusal::Quota,
        },
        FromRelay::Refused {
            request: 7,
            why: Refusal::Unknown(200),
        },
        FromRelay::Busy { retry_after_ms: 500 },
        FromRelay::Arrived {
            tag: token(1).tag(),
            cursor: 4,
            envelope: envelope(1).into_bytes(),
        },
        FromRelay::Fetched {
            request: 8,
            items: vec![(1, envelope(1).into_bytes())],
            more: true,
        },
        FromRelay::DoorOpen { request: 9 },
        FromRelay::Ephemeral {
            tag: token(1).tag(),
            envelope: envelope(1).into_bytes(),
        },
        FromRelay::Quota {
            request: 11,
            used_bytes: 5,
            limit_bytes: 6,
        },
        FromRelay::Refused {
            request: 12,
            why: Refusal::Wrong,
        },
        FromRelay::Blob(BlobTell::Has {
            request: 12,
            set: ChunkSet::of(2, |index| index == 1),
        }),
        FromRelay::Blob(BlobTell::List {
            request: 14,
            list: chunk_list(),
            set: ChunkSet::none_of(2),
        }),
        FromRelay::Blob(BlobTell::Range {
            request: 15,
            range: range(),
        }),
        FromRelay::Blob(BlobTell::Gone { request: 16 }),
        FromRelay::Hint {
            tag: token(1).tag(),
            cursor: 17,
        },
        FromRelay::Forward(ForwardTell::Open { channel: 3 }),
        FromRelay::Forward(ForwardTell::Pass(passed())),
        FromRelay::Forward(ForwardTell::Took { channel: 3, bytes: 99 }),
        FromRelay::Forward(ForwardTell::Shut {
            channel: 3,
            why: Refusal::NotHere,
        }),
    ]
}

// proves: RLY-1, RLY-3, RLY-5, RLY-7, RLY-8, RLY-9, RLY-10, RLY-11, FWD-1, FWD-2, FWD-3, FWD-4, BLB-2, BLB-3, BLB-4, BLB-5, BLB-6
#[test]
fn every_frame_reads_back_and_unknown_ones_are_skipped_rly_1() {
    let mut up = vec![200, 0, 0, 0, 3, 1, 2, 3];
    every_to_relay().iter().for_each(|frame| frame.encode(&mut up));
    up.extend([99, 0, 0, 0, 0]);
    assert_eq!(ToRelay::decode_all(&up), Ok(every_to_relay()));

    let mut down = vec![200, 0, 0, 0, 0];
    every_from_relay().iter().for_each(|frame| frame.encode(&mut down));
    assert_eq!(FromRelay::decode_all(&down), Ok(every_from_relay()));
    assert_eq!(FromRelay::decode(&[200, 0, 0, 0, 0, 8]), Ok((None, &[8][..])));
}

#[test]
fn puts_are_cut_into_batches_that_fit_a_frame_rly_2() {
    let big = |n: u8| PutItem {
        envelope: seal_into(&EnvelopeKey::new([1; 32]), token(n).tag(), [n; 16], b"hi", 32768).unwrap(),
        ..put(n)
    };
    let items: Vec<PutItem> = (0..70).map(big).chain((0..200).map(put)).collect();
    let batches = batches(items.clone());
    assert!(batches.len() > 2);
    for batch in &batches {
        let bytes = encoded(&ToRelay::Put {
            request: 1,
            items: batch.clone(),
        });
        assert!(bytes.len() <= FRAME_BODY_MAX + FRAME_HEADER && ToRelay::decode_all(&bytes).is_ok());
    }
    assert_eq!(batches.concat(), items);
    assert!(super::batches(vec![put(1); BATCH_MAX + 1]).len() == 2);
    assert!(super::batches(vec![]).is_empty());
}

#[test]
fn a_short_text_is_one_small_envelope_at_the_decoder_rly_4() {
    let bytes = encoded(&ToRelay::Put {
        request: 1,
        items: vec![put(1)],
    });
    let Ok((Some(ToRelay::Put { items, .. }), _)) = ToRelay::decode(&bytes) else {
        panic!("not a put")
    };
    assert_eq!(items[0].envelope.bytes().len(), 256);
    assert_eq!(bytes.len(), FRAME_HEADER + 6 + 40 + 256);
}

#[test]
fn bad_frames_give_their_errors_rly_1() {
    let malformed = |kind, error| FrameError::Malformed(kind, error);
    let good_put = encoded(&ToRelay::Put {
        request: 1,
        items: vec![put(1)],
    });
    let with = |at: usize, byte: u8| {
        let mut bytes = good_put.clone();
        bytes[at] = byte;
        bytes
    };
    let (token_at, length_at, version_at) = (FRAME_HEADER + 6, FRAME_HEADER + 44, FRAME_HEADER + 46);
    let card = ToRelay::Door {
        request: 1,
        path: DoorPath::from_bytes([3; 12]),
        proof_hash: [4; 32],
        key: DoorKey::from_bytes([6; 16]),
        expires_s: 1,
        card: vec![5; 100],
    };
    let cases = [
        ("half a header", vec![2, 0, 0], FrameError::Short),
        ("half a body", good_put[..50].to_vec(), FrameError::Short),
        (
            "a huge length",
            vec![2, 0xff, 0, 0, 0],
            FrameError::TooLong(0xff00_0000),
        ),
        (
            "a hello that goes on",
            vec![1, 0, 0, 0, 7, 1, 0, 0, 0, 0, 0, 9],
            malformed(1, DecodeError::Trailing),
        ),
        (
            "a hello cut",
            vec![1, 0, 0, 0, 2, 1, 0],
            malformed(1, DecodeError::Short),
        ),
        (
            "a secret that may be",
            vec![1, 0, 0, 0, 6, 1, 0, 0, 0, 0, 2],
            malformed(1, DecodeError::Value("secret")),
        ),
        (
            "too many items",
            vec![2, 0, 0, 0, 6, 0, 0, 0, 1, 0xff, 0xff],
            malformed(2, DecodeError::Limit("put items")),
        ),
        (
            "more items than there are",
            with(FRAME_HEADER + 5, 2),
            malformed(2, DecodeError::Short),
        ),
        ("another mailbox's token", with(token_at, 99), FrameError::WrongToken),
        (
            "no envelope size",
            with(length_at, 0),
            FrameError::NotAnEnvelope(EnvelopeError::Size(0)),
        ),
        (
            "no envelope version",
            with(version_at, 7),
            FrameError::NotAnEnvelope(EnvelopeError::Version(7)),
        ),
        (
            "too many tags",
            vec![3, 0, 0, 0, 2, 0xff, 0xff],
            malformed(3, DecodeError::Limit("tags")),
        ),
        ("a small card", encoded(&card), malformed(5, DecodeError::Value("card"))),
    ];
    for (name, bytes, error) in cases {
        assert_eq!(ToRelay::decode_all(&bytes), Err(error), "{name}");
    }
    let too_big = vec![
        6, 0, 0, 0, 28, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0x80, 1, 0,
    ];
    assert_eq!(
        FromRelay::decode_all(&too_big),
        Err(malformed(6, DecodeError::Limit("envelope")))
    );
}

#[test]
fn what_is_passed_on_in_one_frame_ends_somewhere_fwd_2() {
    let bytes = vec![1; PASS_BYTES_MAX + 1];
    let too_much = encoded(&ToRelay::Forward(ForwardAsk::Pass(Passed { channel: 1, bytes })));
    let error = FrameError::Malformed(16, DecodeError::Limit("passed bytes"));
    assert_eq!(ToRelay::decode_all(&too_much), Err(error));
}

#[test]
fn a_range_is_some_bytes_and_four_chunks_at_most_blb_3() {
    let put = |bytes| {
        let range = Range { first: 0, bytes };
        let id = BlobId::from_bytes([7; 32]);
        encoded(&ToRelay::Blob(BlobAsk::Put { request: 1, id, range }))
    };
    let most = RANGE_CHUNKS_MAX * CHUNK_BYTES;
    assert!(ToRelay::decode_all(&put(vec![1; most])).is_ok());
    for (bytes, error) in [
        (vec![1; most + 1], DecodeError::Limit("range")),
        (vec![], DecodeError::Value("range")),
    ] {
        assert_eq!(ToRelay::decode_all(&put(bytes)), Err(FrameError::Malformed(10, error)));
    }
}

#[test]
fn tokens_do_not_print_rly_4() {
    let printed = std::format!("{:?}", every_to_relay());
    assert!(
        ["[1, 1, 1, 1", "[2, 2, 2, 2", "[8, 8, 8, 8"]
            .iter()
            .all(|token| !printed.contains(token)),
        "{printed}"
    );
}

proptest! {
    #[test]
    fn any_bytes_decode_or_err_rly_1(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0..24u8) {
        let _ = ToRelay::decode_all(&bytes);
        let _ = FromRelay::decode_all(&bytes);
        let mut framed = vec![kind];
        framed.put_bytes(&bytes);
        let _ = ToRelay::decode_all(&framed);
        let _ = FromRelay::decode_all(&framed);
    }

    #[test]
    fn every_subscription_and_answer_reads_back_rly_6(
        add in prop::collection::vec(any::<([u8; 16], u64)>(), 0..50),
        drop in prop::collection::vec(any::<[u8; 16]>(), 0..50),
        ids in prop::collection::vec(any::<[u8; 32]>(), 0..50),
        items in prop::collection::vec((any::<u64>(), prop::collection::vec(any::<u8>(), 0..300)), 0..10),
        (request, more) in any::<(u32, bool)>(),
    ) {
        let add = add.into_iter().map(|(tag, cursor)| (Tag::from_bytes(tag), cursor)).collect();
        let subscribe = ToRelay::Subscribe { add, drop: drop.into_iter().map(Tag::from_bytes).collect() };
        prop_assert_eq!(ToRelay::decode_all(&encoded(&subscribe)), Ok(vec![subscribe]));
        let answers = vec![
            FromRelay::Stored { request, ids: ids.into_iter().map(EnvelopeId::from_bytes).collect() },
            FromRelay::Fetched { request, items, more },
        ];
        let mut bytes = Vec::new();
        answers.iter().for_each(|frame| frame.encode(&mut bytes));
        prop_assert_eq!(FromRelay::decode_all(&bytes), Ok(answers));
    }
}
