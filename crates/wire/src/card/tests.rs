use super::*;
use proptest::prelude::*;
use std::vec;

fn entry(seq: u32, prev: [u8; 32]) -> DeviceLogEntry {
    let entry = DeviceEntry {
        change: DeviceChange::Added,
        device_id: DeviceId::from_bytes([seq as u8; 8]),
        device_ed25519: [4; 32],
        added_at_s: 1_700_000_000,
    };
    DeviceLogEntry {
        seq,
        prev,
        entry,
        signature: [5; 64],
    }
}

fn card() -> ContactCard {
    let first = entry(0, [0; 32]);
    let second = entry(1, first.hash());
    let keys = RelayKeys::from_bytes([6; 1216]);
    ContactCard {
        version: 3,
        account_ed25519: [1; 32],
        mldsa_hash: [2; 32],
        name: "Ana".into(),
        device_log: DeviceLog {
            entries: vec![first, second],
        },
        seal_key: Some(vec![3; SEAL_KEY_SIZE]),
        key_packages: vec![vec![7; 3000]],
        relays: vec![CardRelay {
            address: "127.0.0.1:4443".into(),
            relay: keys.id(),
            secret: Some([9; 16]),
            keys: Some(keys),
            lan: true,
        }],
        who: WHO_FAMILY,
        how: HOW_SPOKEN,
        group: None,
        expires_at_s: 1_800_000_000,
        created_at_s: 1_700_000_000,
        signature: [8; 64],
    }
}

#[test]
fn the_signature_covers_all_that_stands_before_it_card_1() {
    let bytes = card().encode();
    let signed = card().signed_bytes();
    assert_eq!(signed, [b"stonechat/card", &bytes[..bytes.len() - 64]].concat());
    assert_eq!(
        ContactCard {
            signature: [0; 64],
            ..card()
        }
        .signed_bytes(),
        signed
    );
    assert_eq!(ContactCard::decode(&bytes), Ok(card()));
}

#[test]
fn a_card_into_a_group_says_which_one_glk_1() {
    let of = |who: u8, group: Option<&str>| ContactCard {
        who,
        group: group.map(String::from),
        ..card()
    };
    let house = of(WHO_GROUP, Some("House"));
    assert_eq!(ContactCard::decode(&house.encode()), Ok(house));
    for none in [None, Some("")] {
        let nameless = of(WHO_GROUP, none).encode();
        assert_eq!(ContactCard::decode(&nameless), Err(DecodeError::Value("group name")));
    }
    let steering = of(WHO_GROUP, Some("Ho\u{8}use")).encode();
    assert_eq!(ContactCard::decode(&steering), Err(DecodeError::Value("name")));
    let newer = of(WHO_GROUP + 1, None).encode();
    assert_eq!(ContactCard::decode(&newer), Err(DecodeError::Value("who")));
    // Others say nothing of a group.
    assert_eq!(of(WHO_ONE, Some("House")).encode(), of(WHO_ONE, None).encode());
}

#[test]
fn an_account_is_named_by_both_its_keys_card_2() {
    let id = card().account_id();
    assert_eq!(id.as_bytes(), &sha256(&[b"stonechat/account", &[1; 32], &[2; 32]]));
    assert_ne!(id, account_id(&[1; 32], &[3; 32]));
    assert_ne!(id, account_id(&[3; 32], &[2; 32]));
}

#[test]
fn a_leaf_of_an_account_that_its_keys_do_not_name_is_none_card_2() {
    let mut leaf = LeafIdentity {
        account: account_id(&[1; 32], &[2; 32]),
        account_ed25519: [1; 32],
        mldsa_hash: [2; 32],
        device: entry(0, [0; 32]),
        signature: [8; 64],
    };
    assert_eq!(leaf.encode().len(), LeafIdentity::SIZE);
    assert_eq!(LeafIdentity::decode(&leaf.encode()), Ok(leaf.clone()));
    leaf.mldsa_hash = [3; 32];
    let not_theirs = DecodeError::Value("account id");
    assert_eq!(LeafIdentity::decode(&leaf.encode()), Err(not_theirs));
}

#[test]
fn a_device_log_is_one_chain_card_3() {
    let log = card().device_log;
    assert!(log.is_chained() && DeviceLog::default().is_chained());
    assert_eq!(DeviceLog::decode(&log.encode()), Ok(log.clone()));
    let changed = |change: fn(&mut DeviceLog)| {
        let mut log = log.clone();
        change(&mut log);
        log.is_chained()
    };
    assert!(!changed(|log| log.entries[0].seq = 1));
    assert!(!changed(|log| log.entries[0].entry.device_ed25519 = [0; 32]));
    assert!(!changed(|log| log.entries[0].signature = [0; 64]));
    assert!(!changed(|log| log.entries.swap(0, 1)));
    assert!(!changed(|log| log.entries[1].prev = [0; 32]));
}

#[test]
fn bad_cards_give_their_errors_card_4() {
    let good = card().encode();
    let with = |change: fn(&mut ContactCard)| {
        let mut card = card();
        change(&mut card);
        card.encode()
    };
    let relay = || card().relays[0].clone();
    let relays = ContactCard {
        relays: vec![relay(); RELAYS_MAX + 1],
        ..card()
    }
    .encode();
    let cases = [
        ("empty", vec![], DecodeError::Short),
        ("cut", good[..good.len() - 1].to_vec(), DecodeError::Short),
        ("longer", [&good[..], &[0]].concat(), DecodeError::Trailing),
        ("a newer version", [&[2], &good[1..]].concat(), DecodeError::Version(2)),
        (
            "a name too long",
            with(|card| card.name = "x".repeat(129)),
            DecodeError::Limit("name"),
        ),
        (
            "a name that steers a terminal",
            with(|card| card.name = "A\u{1b}[2Jna".into()),
            DecodeError::Value("name"),
        ),
        (
            "a name with a control character of Latin 1",
            with(|card| card.name = "Ana\u{9b}".into()),
            DecodeError::Value("name"),
        ),
        (
            "a short seal key",
            with(|card| card.seal_key = Some(vec![0; 9])),
            DecodeError::Value("seal key"),
        ),
        (
            "a long seal key",
            with(|card| card.seal_key = Some(vec![0; 1217])),
            DecodeError::Limit("seal key"),
        ),
        (
            "too many key packages",
            with(|card| card.key_packages = vec![vec![]; 9]),
            DecodeError::Limit("key packages"),
        ),
        (
            "a huge key package",
            with(|card| card.key_packages = vec![vec![0; 8193]]),
            DecodeError::Limit("key packages"),
        ),
        ("too many relays", relays, DecodeError::Limit("relays")),
        (
            "no address",
            with(|card| card.relays[0].address = "x".into()),
            DecodeError::Value("address"),
        ),
        (
            "keys of another relay",
            with(|card| card.relays[0].relay = [0; 16].into()),
            DecodeError::Value("relay keys"),
        ),
        ("a stranger who", with(|card| card.who = 7), DecodeError::Value("who")),
        ("a stranger how", with(|card| card.how = 7), DecodeError::Value("how")),
    ];
    for (name, bytes, error) in cases {
        assert_eq!(ContactCard::decode(&bytes), Err(error), "{name}");
    }
}

#[test]
fn a_card_with_one_device_and_one_relay_fits_its_door_card_5() {
    let (card, room) = (card().encode().len(), CARD_BUCKET - crate::envelope::OVERHEAD);
    assert!(card < 6000 && room > 16_000, "{card} of {room}");
}

#[test]
fn a_claim_and_its_sealed_form_read_back_or_err_card_6() {
    let claim = Claim {
        card: card(),
        welcomes: vec![vec![1; 5000], vec![2; 10]],
    };
    assert_eq!(Claim::decode(&claim.encode()), Ok(claim.clone()));
    let sealed = ClaimSealed {
        kem_output: vec![1; 1120],
        ciphertext: claim.encode(),
    };
    assert_eq!(ClaimSealed::decode(&sealed.encode()), Ok(sealed.clone()));
    let many = Claim {
        card: card(),
        welcomes: vec![vec![]; WELCOMES_MAX + 1],
    };
    assert_eq!(Claim::decode(&many.encode()), Err(DecodeError::Limit("welcomes")));
    assert_eq!(Claim::decode(&[2]), Err(DecodeError::Version(2)));
    assert_eq!(
        ClaimSealed::decode(&[1, 0, 0, 9, 0]),
        Err(DecodeError::Limit("kem output"))
    );
    assert_eq!(
        ClaimSealed::decode(&[sealed.encode(), vec![0]].concat()),
        Err(DecodeError::Trailing)
    );
}

#[test]
fn an_answer_is_bound_to_its_claim_card_7() {
    let bound = Answer::signed_bytes(Verdict::Accepted, true, &[1; 32]);
    assert_ne!(bound, Answer::signed_bytes(Verdict::Accepted, true, &[2; 32]));
    assert_ne!(bound, Answer::signed_bytes(Verdict::Accepted, false, &[1; 32]));
    assert_ne!(bound, Answer::signed_bytes(Verdict::Waiting, true, &[1; 32]));
    for verdict in Verdict::ALL {
        let answer = Answer {
            verdict,
            verified: true,
            signature: [1; 64],
        };
        assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
    }
    let cases: [(&str, &[u8], DecodeError); 4] = [
        ("empty", &[], DecodeError::Short),
        ("a newer version", &[9], DecodeError::Version(9)),
        ("no such verdict", &[1, 7, 0], DecodeError::Value("verdict")),
        ("half verified", &[1, 1, 2], DecodeError::Value("verified")),
    ];
    for (name, bytes, error) in cases {
        assert_eq!(Answer::decode(bytes), Err(error), "{name}");
    }
}

#[test]
fn a_near_relay_has_no_address_and_brings_its_keys_and_secret_lan_4() {
    let of = |change: fn(&mut CardRelay)| {
        let mut card = card();
        card.relays[0].address = NEAR.into();
        change(&mut card.relays[0]);
        ContactCard::decode(&card.encode()).map(|read| read == card)
    };
    assert_eq!(of(|_| {}), Ok(true));
    let refused = Err(DecodeError::Value("near relay"));
    assert_eq!(of(|relay| relay.secret = None), refused);
    assert_eq!(of(|relay| relay.keys = None), refused);
    let address = Err(DecodeError::Value("address"));
    for wrong in ["near", "near:a:1", "Near:"] {
        let mut card = card();
        card.relays[0].address = wrong.into();
        assert_eq!(ContactCard::decode(&card.encode()).map(|_| true), address, "{wrong}");
    }
    let relay = &card().relays[0];
    assert_eq!(decode_near(&encode_near(relay)), Err(DecodeError::Value("near relay")));
    let near = CardRelay {
        address: NEAR.into(),
        ..relay.clone()
    };
    let bytes = encode_near(&near);
    assert_eq!(decode_near(&bytes), Ok(near));
    assert!(decode_near(&bytes[..bytes.len() - 1]).is_err() && decode_near(&[&bytes[..], &[0]].concat()).is_err());
    // Nobody is sent anywhere by it: it is no hint of an invitation, and no route.
    let route = crate::route::RelayRoute {
        address: NEAR.into(),
        relay: RelayId::from_bytes([1; 16]),
        secret: None,
        lan: true,
    };
    assert_eq!(
        crate::route::RelayRoute::parse(&route.to_text()),
        Err(crate::route::RouteError::Broken)
    );
}

#[test]
fn a_card_does_not_print_names_or_addresses_card_8() {
    let printed = std::format!("{:?} {:?}", card(), card().relays);
    assert!(
        !printed.contains("Ana") && !printed.contains("127.0") && !printed.contains("[9,"),
        "{printed}"
    );
}

proptest! {
    #[test]
    fn every_card_reads_back_card_1(
        name in "\\PC{0,30}",
        (version, expires_at_s, created_at_s) in any::<(u32, u64, u64)>(),
        packages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..=KEY_PACKAGES_MAX),
        (sealed, secret, keyed, lan) in any::<(bool, Option<[u8; 16]>, bool, bool)>(),
        (who, how) in (0..=WHO_GROUP, 0..=HOW_SPOKEN),
        group in "[a-zж]{1,20}",
    ) {
        let group = (who == WHO_GROUP).then_some(group);
        let mut card = ContactCard { name, version, expires_at_s, created_at_s, who, how, group, ..card() };
        card.key_packages = packages;
        card.seal_key = card.seal_key.filter(|_| sealed);
        card.relays[0] = CardRelay { secret, lan, ..card.relays[0].clone() };
        card.relays[0].keys = card.relays[0].keys.take().filter(|_| keyed);
        prop_assert_eq!(ContactCard::decode(&card.encode()), Ok(card));
    }

    #[test]
    fn any_bytes_decode_or_err_card_4(mut bytes in prop::collection::vec(any::<u8>(), 0..400), at in 0..4000usize) {
        let mut mutated = card().encode();
        let length = mutated.len();
        mutated[at % length] ^= 0x41;
        let _ = ContactCard::decode(&mutated);
        if let Some(first) = bytes.first_mut() {
            *first = 1;
        }
        let _ = ContactCard::decode(&bytes);
        let _ = Claim::decode(&bytes);
        let _ = ClaimSealed::decode(&bytes);
        let _ = Answer::decode(&bytes);
        let _ = DeviceLog::decode(&bytes);
    }
}
