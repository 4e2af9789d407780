use super::*;
use crate::face::RelaySecret;
use crate::ids::RelayId;
use proptest::prelude::*;
use std::vec;

fn relay(n: u8) -> CardRelay {
    CardRelay {
        address: std::format!("https://r{n}.example.org:443,192.0.2.{n}:443"),
        relay: RelayId::from_bytes([n; 16]),
        secret: Some([n; 16]),
        keys: None,
        lan: false,
    }
}

fn hand() -> Hand {
    Hand {
        account_ed25519: [1; 32],
        mldsa_hash: [2; 32],
        relays: [relay(1), relay(2)],
        expires_at_s: 1_800_000_000,
        signature: [9; 64],
    }
}

fn with(change: impl FnOnce(&mut Hand)) -> Result<Hand, DecodeError> {
    let mut hand = hand();
    change(&mut hand);
    Hand::decode(&hand.encode())
}

#[test]
fn a_hand_reads_back_and_fits_its_bucket_pub_1() {
    assert_eq!(Hand::decode(&hand().encode()), Ok(hand()));
    let longest = Hand {
        relays: [1, 2].map(|n| CardRelay {
            address: "a".repeat(98) + ":65535",
            ..relay(n)
        }),
        ..hand()
    };
    let bytes = longest.encode();
    assert_eq!(Hand::decode(&bytes), Ok(longest));
    assert!(
        bytes.len() + crate::envelope::OVERHEAD <= HAND_BUCKET,
        "{}",
        bytes.len()
    );
}

#[test]
fn what_is_no_hand_is_refused_pub_1() {
    let refused = |error| Err(DecodeError::Value(error));
    assert_eq!(
        with(|hand| hand.relays[1].relay = hand.relays[0].relay),
        refused("one relay twice")
    );
    let keys = RelaySecret::from_seed(&[1; 32]).keys().clone();
    let near = CardRelay {
        address: NEAR.into(),
        relay: keys.id(),
        keys: Some(keys.clone()),
        ..relay(1)
    };
    assert_eq!(with(|hand| hand.relays[0] = near.clone()), refused("relay of a hand"));
    let keyed = CardRelay {
        relay: keys.id(),
        keys: Some(keys.clone()),
        ..relay(1)
    };
    assert_eq!(with(|hand| hand.relays[1] = keyed), refused("relay of a hand"));
    let drop = "davs://ana:word@example.org:443/folder";
    assert!(address::is_drop(drop));
    assert_eq!(
        with(|hand| hand.relays[1].address = drop.into()),
        refused("relay of a hand")
    );
    let mut newer = hand().encode();
    newer[0] = 2;
    assert_eq!(Hand::decode(&newer), refused("version"));
    let bytes = hand().encode();
    for length in 0..bytes.len() {
        assert!(Hand::decode(&bytes[..length]).is_err(), "{length}");
    }
    assert_eq!(Hand::decode(&[&bytes[..], &[0]].concat()), Err(DecodeError::Trailing));
}

#[test]
fn the_signature_covers_all_of_it_pub_1() {
    let signed = hand().signed_bytes();
    assert_eq!(&signed[..14], b"stonechat/hand");
    assert_eq!(&signed[14..], &hand().encode()[..signed.len() - 14]);
    assert_eq!(hand().encode().len(), signed.len() - 14 + 64);
}

fn hands(count: u8) -> Vec<Vec<u8>> {
    (0..count).map(|n| vec![n; HAND_BUCKET]).collect()
}

fn first_bytes(deck: &Deck<'_>, day: u32) -> Vec<u8> {
    deck.open_on(day).iter().map(|hand| hand[0]).collect()
}

#[test]
fn a_deck_opens_so_many_hands_a_day_pub_2() {
    let bytes = deck(1_000_000, 2, &hands(5));
    let deck = Deck::decode(&bytes).unwrap();
    assert_eq!(deck.day(0), 0, "by a clock that is behind");
    assert_eq!(deck.day(1_000_000 + DAY_S - 1), 0);
    assert_eq!(deck.day(1_000_000 + DAY_S), 1);
    assert_eq!(deck.day(u64::MAX), u32::MAX, "days that nobody lives to see");
    assert_eq!(first_bytes(&deck, 0), [0, 1]);
    assert_eq!(first_bytes(&deck, 1), [2, 3]);
    assert_eq!(first_bytes(&deck, 2), [4]);
    assert_eq!(first_bytes(&deck, 3), b"");
    assert_eq!(first_bytes(&deck, u32::MAX), b"");
}

#[test]
fn a_network_is_dealt_one_hand_a_day_and_all_of_them_the_days_hands_pub_3() {
    let bytes = deck(1_000_000, 4, &hands(8));
    let deck = Deck::decode(&bytes).unwrap();
    let all = |now_s: u64| -> std::collections::BTreeSet<u8> {
        let sources = (0..1_000u16).map(|n| [10, n.to_be_bytes()[0], n.to_be_bytes()[1], 0, 0, 0]);
        sources.map(|source| deck.dealt(now_s, &source).unwrap()[0]).collect()
    };
    assert_eq!(all(1_000_000), (0..4).collect());
    assert_eq!(all(1_000_000 + DAY_S), (4..8).collect());
    let source = [192, 0, 2, 0, 0, 0];
    let dealt = |now_s| deck.dealt(now_s, &source);
    assert_eq!(dealt(0), dealt(1_000_000), "before the first day");
    assert!(dealt(1_000_000 + 2 * DAY_S).is_none(), "after the last");
    let one: std::collections::BTreeSet<_> = (0..100).map(|hour| dealt(1_000_000 + hour * 860)).collect();
    assert_eq!(one.len(), 1, "however often it asks");
    let other = super::deck(1_000_000, 4, &hands(7));
    let other = Deck::decode(&other).unwrap();
    let differs = |n: u8| deck.dealt(1_000_000, &[n; 6]) != other.dealt(1_000_000, &[n; 6]);
    assert!(!(0..50).any(differs), "the day's hands alone say who gets which");
    let mut others = hands(4);
    others[3][1] = 9;
    let other = super::deck(1_000_000, 4, &others);
    let other = Deck::decode(&other).unwrap();
    let differs = |n: u8| deck.dealt(1_000_000, &[n; 6]) != other.dealt(1_000_000, &[n; 6]);
    assert!((0..50).any(differs), "and all of them");
}

#[test]
fn what_a_door_has_of_the_days_ahead_deals_as_the_whole_deck_does_pub_4() {
    let bytes = deck(1_000_000, 2, &hands(9));
    let whole = Deck::decode(&bytes).unwrap();
    let ahead = |now_s, days| whole.ahead(now_s, days).unwrap();
    assert_eq!(ahead(0, 60), bytes, "before the first day");
    assert_eq!(ahead(1_000_000 + DAY_S, 2), deck(1_000_000 + DAY_S, 2, &hands(9)[2..6]));
    let today = ahead(1_000_000 + DAY_S + 5, 2);
    let today = Deck::decode(&today).unwrap();
    for hour in 24..72 {
        let now_s = 1_000_000 + hour * 3600;
        let same = |n: u8| today.dealt(now_s, &[n; 6]) == whole.dealt(now_s, &[n; 6]);
        assert!((0..50).all(same), "{hour}");
    }
    assert!(
        today.dealt(1_000_000 + 3 * DAY_S, &[1; 6]).is_none(),
        "no more than it was given"
    );
    // The last day may have fewer.
    assert_eq!(
        ahead(1_000_000 + 4 * DAY_S, 7),
        deck(1_000_000 + 4 * DAY_S, 1, &hands(9)[8..])
    );
    assert!(whole.ahead(1_000_000 + 5 * DAY_S, 7).is_none() && whole.ahead(u64::MAX, 7).is_none());
}

#[test]
fn what_is_no_deck_is_refused_pub_2() {
    assert!(Deck::decode(&[1; crate::card::CARD_BUCKET]).is_err(), "a card");
    assert!(Deck::decode(&[]).is_err());
    assert!(Deck::decode(&deck(1, 1, &hands(0))).is_err(), "no hands");
    assert!(Deck::decode(&deck(1, 0, &hands(2))).is_err(), "none a day");
    assert!(
        Deck::decode(&deck(1, 3, &hands(2))).is_err(),
        "more a day than there are"
    );
    let mut newer = deck(1, 1, &hands(2));
    newer[0] = 2;
    assert!(Deck::decode(&newer).is_err());
    let good = deck(1, 1, &hands(2));
    assert!(Deck::decode(&good[..good.len() - 1]).is_err(), "cut");
    assert!(Deck::decode(&[&good[..], &[0]].concat()).is_err(), "too long");
    let full = deck(1, 1, &vec![vec![0; HAND_BUCKET]; HANDS_MAX]);
    assert!(Deck::decode(&full).is_ok() && full.len() == DECK_BYTES_MAX);
    let over = deck(1, 1, &vec![vec![0; HAND_BUCKET]; HANDS_MAX + 1]);
    assert!(Deck::decode(&over).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_a_deck_and_a_hand_or_none_pub_2(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _ = Hand::decode(&bytes);
        if let Ok(found) = Deck::decode(&bytes) {
            let hands: Vec<Vec<u8>> = found.bytes().chunks(HAND_BUCKET).map(<[u8]>::to_vec).collect();
            prop_assert_eq!(deck(found.begins_s, found.a_day, &hands), bytes);
        }
    }
}
