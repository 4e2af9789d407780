use super::*;
use crate::group::{Role, Seat};
use crate::ids::RelayId;
use std::collections::BTreeSet;
use std::vec;

fn contact(n: u8) -> KeptContact {
    KeptContact {
        ed25519: [n; 32],
        mldsa_hash: [n ^ 0xff; 32],
        own_name: "Bo".into(),
        alias: Some("Бо".into()),
        verified: true,
        log_count: 1,
        log_hash: [3; 32],
        reach: ReachSecret::new([n; 32]),
        relays: vec![0],
    }
}

fn capsule() -> Capsule {
    Capsule {
        generation: 7,
        made_at_s: 1_800_000_000,
        name: "Ana".into(),
        device_log: DeviceLog::default(),
        relays: vec![(
            Whose::Own,
            CardRelay {
                address: "192.0.2.7:7481".into(),
                relay: RelayId::from_bytes([5; 16]),
                secret: Some([6; 16]),
                keys: None,
                lan: false,
            },
        )],
        contacts: vec![contact(1), contact(2)],
        groups: vec![KeptGroup {
            group: [8; 16],
            state: GroupState {
                large: false,
                name: "House".into(),
                description: String::new(),
                may_write: Role::Member,
                may_add: Role::Admin,
                may_edit: Role::Admin,
                seats: vec![Seat {
                    account: AccountId::from_bytes([9; 32]),
                    role: Role::Owner,
                    name: "Ana".into(),
                }],
                picture: None,
            },
        }],
        left_out: 3,
    }
}

#[test]
fn what_goes_in_comes_out_cap_2() {
    let bytes = capsule().encode();
    assert_eq!(Capsule::decode(&bytes).unwrap(), capsule());
    let mut nobody = capsule();
    nobody.contacts.clear();
    nobody.groups.clear();
    assert_eq!(Capsule::decode(&nobody.encode()).unwrap(), nobody);
    assert_eq!(contact(1).size(), 149);
}

#[test]
fn a_cut_longer_or_changed_capsule_is_none_cap_2() {
    let bytes = capsule().encode();
    for end in 0..bytes.len() {
        assert!(Capsule::decode(&bytes[..end]).is_err(), "cut at {end}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert_eq!(Capsule::decode(&longer), Err(DecodeError::Trailing));
    let mut newer = bytes;
    newer[0] = 2;
    assert_eq!(Capsule::decode(&newer), Err(DecodeError::Version(2)));
    let mut nowhere = capsule();
    nowhere.contacts[0].relays = vec![1];
    assert!(Capsule::decode(&nowhere.encode()).is_err());
    nowhere.contacts[0].relays = vec![0; 5];
    assert!(Capsule::decode(&nowhere.encode()).is_err());
}

#[test]
fn every_limit_holds_cap_2() {
    let mut large = capsule();
    large.contacts = (0..=u8::MAX).map(contact).chain((0..=u8::MAX).map(contact)).collect();
    let bytes = large.encode();
    assert!(bytes.len() > CAPSULE_BYTES_MAX);
    assert_eq!(Capsule::decode(&bytes), Err(DecodeError::Limit("capsule")));
    let mut relays = capsule();
    relays.relays = vec![relays.relays[0].clone(); RELAYS_MAX + 1];
    assert_eq!(Capsule::decode(&relays.encode()), Err(DecodeError::Limit("relays")));
    let mut groups = capsule();
    groups.contacts.clear();
    let short = KeptGroup {
        state: GroupState {
            large: false,
            name: String::new(),
            ..groups.groups[0].state.clone()
        },
        ..groups.groups[0].clone()
    };
    groups.groups = vec![short; 600];
    assert!(groups.encode().len() < CAPSULE_BYTES_MAX);
    assert!(Capsule::decode(&groups.encode()).is_ok());
}

#[test]
fn five_mailboxes_are_read_and_the_present_one_is_among_them_cap_1() {
    let root = CapsuleRoot::new([4; 32]);
    let tags = |slot: u32| -> BTreeSet<_> { root.tokens(Slot(slot)).iter().map(Token::tag).collect() };
    assert_eq!(tags(2900).len(), 5);
    assert!(tags(2900).contains(&root.token(Slot(2900)).tag()));
    assert_eq!(root.token(Slot(2900)).tag(), root.token(Slot(2903)).tag());
    assert_ne!(root.token(Slot(2900)).tag(), root.token(Slot(2904)).tag());
    // Sixty days are not quite nine weeks: what was put then is still read.
    for slot in 2900..2904 {
        assert!(tags(slot + 9).contains(&root.token(Slot(slot)).tag()), "{slot}");
    }
    assert_ne!(
        CapsuleRoot::new([5; 32]).token(Slot(1)).tag(),
        root.token(Slot(1)).tag()
    );
}
