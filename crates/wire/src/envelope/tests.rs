use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

const KEY: EnvelopeKey = EnvelopeKey::new([1; 32]);
const TAG: Tag = Tag::from_bytes([2; 16]);

fn counting() -> impl FnMut() -> [u8; 16] {
    let mut count = 0u128;
    move || {
        count += 1;
        count.to_be_bytes()
    }
}

fn parts_of(content: &[u8]) -> Vec<Part> {
    let envelopes = seal_all(&KEY, TAG, &mut counting(), content).unwrap();
    let part = |envelope| match open(&KEY, envelope) {
        Ok(Content::Part(part)) => part,
        other => panic!("{other:?}"),
    };
    envelopes.iter().map(part).collect()
}

#[test]
fn an_envelope_is_version_tag_seed_and_noise_env_1() {
    let envelope = seal(&KEY, TAG, [3; 16], b"hi").unwrap();
    assert_eq!(envelope.bytes()[0], 1);
    assert_eq!(envelope.bytes()[1..17], [2; 16]);
    assert_eq!(envelope.bytes()[17..33], [3; 16]);
    assert_eq!(envelope.bytes().len(), 256);
    assert_eq!(OVERHEAD, HEADER + 2 + MAC);
}

#[test]
fn the_smallest_bucket_is_taken_env_2() {
    for bucket in BUCKETS {
        let fits = seal(&KEY, TAG, [3; 16], &vec![7; bucket - OVERHEAD]).unwrap();
        assert_eq!(fits.bytes().len(), bucket);
        assert_eq!(open(&KEY, &fits), Ok(Content::Whole(vec![7; bucket - OVERHEAD])));
    }
    assert_eq!(seal(&KEY, TAG, [3; 16], &[7; 206]).unwrap().bytes().len(), 512);
    assert_eq!(
        seal(&KEY, TAG, [3; 16], &[7; CONTENT_MAX + 1]),
        Err(TooLong(CONTENT_MAX + 1))
    );
}

/// What MLS may add around a 30-byte text with one parent: 205 bytes are there, header and body take 52.
#[test]
fn a_short_text_with_one_parent_leaves_153_bytes_to_mls_env_2() {
    use crate::message::{Kind, MessageHeader, encode_text};
    let header = MessageHeader {
        kind: Kind::Text,
        read_through: true,
        seq: 1,
        hlc: 1,
        parents: vec![[0; 8]],
    }
    .encode();
    let inner = header.len() + encode_text("thirty bytes of text, exactly.").len();
    assert_eq!((inner, 256 - OVERHEAD - inner), (52, 153));
}

#[test]
fn a_given_bucket_is_kept_env_2() {
    assert_eq!(
        seal_into(&KEY, TAG, [3; 16], b"card", 16384).unwrap().bytes().len(),
        16384
    );
    assert_eq!(seal_into(&KEY, TAG, [3; 16], &[0; 206], 256), Err(TooLong(206)));
    assert_eq!(seal_into(&KEY, TAG, [3; 16], b"x", 300), Err(TooLong(1)));
}

#[test]
fn seed_and_key_change_every_byte_env_3() {
    let first = seal(&KEY, TAG, [3; 16], b"hi").unwrap();
    let second = seal(&KEY, TAG, [4; 16], b"hi").unwrap();
    let third = seal(&EnvelopeKey::new([9; 32]), TAG, [3; 16], b"hi").unwrap();
    assert_ne!(first.bytes()[33..], second.bytes()[33..]);
    assert_ne!(first.bytes()[33..], third.bytes()[33..]);
}

#[test]
fn a_tampered_envelope_is_dropped_env_4() {
    let envelope = seal(&KEY, TAG, [3; 16], b"hi").unwrap();
    for at in 1..256 {
        let mut bytes = envelope.bytes().to_vec();
        bytes[at] ^= 1;
        assert_eq!(
            open(&KEY, &Envelope::decode(bytes).unwrap()),
            Err(OpenError),
            "byte {at}"
        );
    }
}

#[test]
fn padding_that_is_not_zero_is_dropped_env_5() {
    let (cipher, nonce) = cipher(&KEY, &[3; 16]);
    let mut plain = vec![0; 256 - HEADER - MAC];
    plain[..4].copy_from_slice(&[0, 1, b'x', 0]);
    let sealed = |mut plain: Vec<u8>| {
        let mac = cipher
            .encrypt_in_place_detached(&nonce.into(), &aad(TAG), &mut plain)
            .unwrap();
        let mut bytes = vec![VERSION];
        bytes.extend(TAG.as_bytes());
        bytes.extend([3; 16]);
        bytes.extend(plain);
        bytes.extend(mac);
        Envelope::decode(bytes).unwrap()
    };
    assert_eq!(open(&KEY, &sealed(plain.clone())), Ok(Content::Whole(b"x".to_vec())));
    plain[200] = 1;
    assert_eq!(open(&KEY, &sealed(plain.clone())), Err(OpenError));
    plain[..2].copy_from_slice(&[0x7f, 0xff]);
    assert_eq!(open(&KEY, &sealed(plain)), Err(OpenError), "longer than the envelope");
}

#[test]
fn long_content_travels_as_parts_and_comes_together_in_any_order_env_6() {
    let content: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
    let mut parts = parts_of(&content);
    assert_eq!(parts.len(), 7);
    parts.reverse();
    parts.insert(2, parts[1].clone());
    let mut gather = Gather::default();
    let done: Vec<Vec<u8>> = parts
        .into_iter()
        .filter_map(|part| gather.add(TAG, part).unwrap())
        .collect();
    assert_eq!(done, [content]);
    assert_eq!((gather.size_bytes(), gather.set_count()), (0, 0));
    let too_long = vec![0; PART_BYTES_MAX * usize::from(PARTS_MAX) + 1];
    assert_eq!(
        seal_all(&KEY, TAG, &mut counting(), &too_long),
        Err(TooLong(too_long.len()))
    );
}

#[test]
fn bad_parts_give_their_errors_env_6() {
    let good = &parts_of(&[5; 40_000]);
    let header = |index: u16, count: u16| {
        let mut bytes = vec![9; 32];
        bytes.extend(index.to_be_bytes());
        bytes.extend(count.to_be_bytes());
        bytes
    };
    let with_byte = |index, count| [header(index, count), vec![1]].concat();
    let cases = [
        ("cut", vec![9; 35], DecodeError::Short),
        ("no bytes", header(0, 2), DecodeError::Short),
        ("only one", with_byte(0, 1), DecodeError::Value("part number")),
        ("none", with_byte(0, 0), DecodeError::Value("part number")),
        (
            "number past the end",
            with_byte(2, 2),
            DecodeError::Value("part number"),
        ),
        ("too many", with_byte(0, PARTS_MAX + 1), DecodeError::Limit("parts")),
    ];
    for (name, bytes, error) in cases {
        assert_eq!(Part::decode(&bytes), Err(error), "{name}");
    }
    assert_eq!(Part::decode(&good[0].encode()), Ok(good[0].clone()));
}

#[test]
fn parts_that_contradict_each_other_are_dropped_env_7() {
    let parts = &parts_of(&[5; 40_000]);
    let with = |change: fn(&mut Part)| {
        let mut part = parts[1].clone();
        change(&mut part);
        part
    };
    let cases = [
        ("another count", with(|part| part.count = 3), GatherError::Contradiction),
        (
            "other bytes for the same number",
            with(|part| part.index = 0),
            GatherError::Contradiction,
        ),
        ("other bytes", with(|part| part.bytes[0] ^= 1), GatherError::WrongHash),
        (
            "a number past the end",
            with(|part| part.index = 2),
            GatherError::Malformed,
        ),
        ("no bytes", with(|part| part.bytes.clear()), GatherError::Malformed),
    ];
    for (name, part, error) in cases {
        let mut gather = Gather::default();
        gather.add(TAG, parts[0].clone()).unwrap();
        assert_eq!(gather.add(TAG, part), Err(error), "{name}");
    }
}

#[test]
fn unfinished_sets_stay_within_their_limits_env_7() {
    let mut gather = Gather::default();
    let part = |n: u32, size: usize| {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&n.to_be_bytes());
        Part {
            hash,
            index: 0,
            count: 2,
            bytes: vec![0; size],
        }
    };
    for n in 0..100 {
        gather.add(TAG, part(n, 10)).unwrap();
    }
    assert_eq!(
        (gather.set_count(), gather.size_bytes()),
        (GATHER_SETS_MAX, GATHER_SETS_MAX * 10)
    );
    let left: BTreeSet<u8> = gather.sets.keys().map(|(_, hash)| hash[3]).collect();
    assert_eq!(left, (68..100).collect(), "the oldest go first");
    for index in 0..PARTS_MAX - 1 {
        for n in 0..5 {
            let part = Part {
                index,
                count: PARTS_MAX,
                ..part(1000 + n, PART_BYTES_MAX)
            };
            gather.add(TAG, part).unwrap();
            assert!(gather.size_bytes() <= GATHER_BYTES_MAX);
        }
    }
}

#[test]
fn bad_envelopes_give_their_errors_env_8() {
    let envelope = seal(&KEY, TAG, [3; 16], b"hi").unwrap().into_bytes();
    let cases = [
        ("empty", vec![], EnvelopeError::Size(0)),
        ("one byte short", envelope[..255].to_vec(), EnvelopeError::Size(255)),
        (
            "one byte long",
            [&envelope[..], &[0]].concat(),
            EnvelopeError::Size(257),
        ),
        (
            "twice as big as the biggest",
            vec![1; 65536],
            EnvelopeError::Size(65536),
        ),
        ("version 0", vec![0; 256], EnvelopeError::Version(0)),
        ("version 2", vec![2; 256], EnvelopeError::Version(2)),
    ];
    for (name, bytes, error) in cases {
        assert_eq!(Envelope::decode(bytes), Err(error), "{name}");
    }
    let sealed = Envelope::decode(envelope).unwrap();
    assert_eq!(
        open(&EnvelopeKey::new([9; 32]), &sealed),
        Err(OpenError),
        "another epoch's key"
    );
    assert_eq!(
        open(&KEY, &Envelope::decode(vec![1; 256]).unwrap()),
        Err(OpenError),
        "no sealing at all"
    );
}

#[test]
fn an_id_is_the_hash_of_all_bytes_env_9() {
    let envelope = seal(&KEY, TAG, [3; 16], b"hi").unwrap();
    assert_eq!(envelope.id().as_bytes(), &sha256(&[envelope.bytes()]));
}

#[test]
fn keys_and_contents_do_not_print_env_8() {
    let printed = std::format!("{KEY:?} {:?}", seal(&KEY, TAG, [3; 16], b"hi").unwrap());
    assert_eq!(printed, "EnvelopeKey(..) Envelope(Tag(0202..), 256 bytes)");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_sealed_opens_env_1(
        (key, tag, seed) in any::<([u8; 32], [u8; 16], [u8; 16])>(),
        content in prop::collection::vec(any::<u8>(), 0..5000),
    ) {
        let key = EnvelopeKey::new(key);
        let envelope = seal(&key, Tag::from_bytes(tag), seed, &content).unwrap();
        let travelled = Envelope::decode(envelope.bytes().to_vec()).unwrap();
        prop_assert_eq!(travelled.tag(), Tag::from_bytes(tag));
        prop_assert_eq!(open(&key, &travelled), Ok(Content::Whole(content)));
    }

    #[test]
    fn any_bytes_decode_or_err_env_8(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = Envelope::decode(bytes.clone());
        let mut whole = bytes;
        whole.resize(512, 1);
        if let Ok(envelope) = Envelope::decode(whole) {
            prop_assert_eq!(open(&KEY, &envelope), Err(OpenError));
        }
    }
}
