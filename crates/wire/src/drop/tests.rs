use alloc::vec;

use proptest::prelude::*;

use super::*;
use crate::envelope::{self, EnvelopeKey};
use crate::ids::Tag;

const NAME: ObjectName = ObjectName::from_bytes([7; 16]);

fn key() -> DropKey {
    DropKey::new(&[1; 16])
}

fn envelope(bytes: usize) -> Envelope {
    envelope::seal(
        &EnvelopeKey::new([7; 32]),
        Tag::from_bytes([9; 16]),
        [3; 16],
        &vec![1; bytes],
    )
    .unwrap()
}

fn object(sizes: &[usize]) -> Object {
    let items = sizes.iter().map(|size| Kept {
        ttl_s: 2_592_000,
        envelope: envelope(*size),
    });
    Object {
        written_at_s: 1_779_000_000,
        items: items.collect(),
    }
}

// proves: DRP-3
#[test]
fn an_object_has_one_of_few_sizes_and_opens_under_its_name_alone_drp_4() {
    for (content, size) in [
        (0, 4096),
        (4060, 4096),
        (4061, 20_480),
        (65_500, 65_536),
        (CONTENT_MAX, 262_144),
    ] {
        let content = vec![5; content];
        let sealed = seal(&key(), &NAME, [2; 16], &content).unwrap();
        assert_eq!(sealed.len(), size);
        assert_eq!(open(&key(), &NAME, &sealed).unwrap().as_slice(), content);
    }
    assert_eq!(
        seal(&key(), &NAME, [2; 16], &vec![0; CONTENT_MAX + 1]),
        Err(TooLong(CONTENT_MAX + 1))
    );
    let sealed = seal(&key(), &NAME, [2; 16], b"hello").unwrap();
    let elsewhere = ObjectName::from_bytes([8; 16]);
    assert_eq!(
        open(&key(), &elsewhere, &sealed),
        Err(OpenError),
        "a copy under another name"
    );
    assert_eq!(open(&DropKey::new(&[2; 16]), &NAME, &sealed), Err(OpenError));
    assert_eq!(open(&key(), &NAME, &sealed[..4095]), Err(OpenError), "cut");
    let mut flipped = sealed;
    flipped[4000] ^= 1;
    assert_eq!(open(&key(), &NAME, &flipped), Err(OpenError));
}

#[test]
fn an_object_of_envelopes_reads_back_drp_5() {
    for sizes in [&[][..], &[30], &[30, 900, 32_000]] {
        let object = object(sizes);
        assert_eq!(Object::decode(&object.encode()), Ok(object));
    }
    let one = object(&[30]);
    assert_eq!(one.encode().len(), HEAD + ITEM_OVERHEAD + 256);
    assert_eq!(one.over_at_s(), 1_779_000_000 + 2_592_000);
    let mut forever = one.clone();
    forever.items[0].ttl_s = u32::MAX;
    assert_eq!(forever.over_at_s(), 1_779_000_000 + u64::from(LIFE_S_MAX));
    let bytes = one.encode();
    for cut in 0..bytes.len() {
        assert!(Object::decode(&bytes[..cut]).is_err());
    }
    assert_eq!(Object::decode(&[&bytes[..], &[0]].concat()), Err(DecodeError::Trailing));
    let newer = [&[2], &bytes[1..]].concat();
    assert_eq!(Object::decode(&newer), Err(DecodeError::Version(2)));
    let many = [&bytes[..9], &[4, 1]].concat();
    assert_eq!(Object::decode(&many), Err(DecodeError::Limit("envelopes")));
}

#[test]
fn a_card_lies_where_only_the_invited_finds_it_drp_7() {
    let path = DoorPath::from_bytes([4; 12]);
    let name = ObjectName::of_door(&path);
    let key = DropKey::of_door(&path, &[6; 32]);
    let lying = LyingCard {
        expires_s: 1_780_000_000,
        card: vec![3; CARD_BUCKET],
    };
    let sealed = seal(&key, &name, [2; 16], &lying.encode()).unwrap();
    assert_eq!(sealed.len(), 20_480);
    assert_eq!(
        LyingCard::decode(&open(&key, &name, &sealed).unwrap()),
        Ok(lying.clone())
    );
    assert!(
        open(&DropKey::of_door(&path, &[7; 32]), &name, &sealed).is_err(),
        "another proof"
    );
    let short = LyingCard {
        card: vec![3; CARD_BUCKET - 1],
        ..lying
    };
    assert_eq!(LyingCard::decode(&short.encode()), Err(DecodeError::Value("card")));
}

#[test]
fn a_drop_is_named_by_its_secret_and_tells_it_to_nobody_drp_2() {
    let hash = sha256(&[b"stonechat/drop", &[9; 16]]);
    assert_eq!(drop_id(&[9; 16]).as_bytes(), &hash[..16]);
    assert_ne!(drop_id(&[9; 16]), drop_id(&[8; 16]));
    assert_eq!(format!("{:?}", DropKey::new(&[0x41; 16])), "DropKey(..)");
}

#[test]
fn a_name_is_32_digits_in_any_case_drp_4() {
    let name = ObjectName::from_bytes(*b"\x00\x01\x02\x03\x0a\xff\x10\x20\x30\x40\x50\x60\x70\x80\x90\xa0");
    assert_eq!(name.to_text(), "000102030aff102030405060708090a0");
    assert_eq!(ObjectName::from_text("000102030AFF102030405060708090A0"), Some(name));
    for none in [
        "",
        "20787",
        "000102030aff102030405060708090a",
        "000102030aff102030405060708090ag",
    ] {
        assert_eq!(ObjectName::from_text(none), None, "{none}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_an_object_or_none_drp_5(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = (open(&key(), &NAME, &bytes), LyingCard::decode(&bytes));
        if let Ok(object) = Object::decode(&bytes) {
            prop_assert_eq!(object.encode(), bytes);
        }
    }

    #[test]
    fn what_is_sealed_opens_drp_4(content in proptest::collection::vec(any::<u8>(), 0..6000), seed in any::<[u8; 16]>()) {
        let sealed = seal(&key(), &NAME, seed, &content).unwrap();
        prop_assert!(SIZES.contains(&sealed.len()));
        let opened = open(&key(), &NAME, &sealed).unwrap();
        prop_assert_eq!(opened.as_slice(), content.as_slice());
    }
}
