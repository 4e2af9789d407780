//! What MLS is given here, against the cases that others have got wrong (Project Wycheproof): AES-128-GCM, HKDF, Ed25519;
//! and the key that an account id commits to besides: ML-DSA-65, of which keys are made from seeds and nothing else is used yet.

use super::*;
use ::wycheproof::{aead, eddsa, hkdf, mldsa_sign, mldsa_verify};
use ml_dsa::{EncodedSignature, EncodedVerifyingKey, Keypair as _, MlDsa65, Signature, SigningKey, VerifyingKey};
use openmls_traits::crypto::OpenMlsCrypto as _;
use openmls_traits::types::{AeadType, HashType, SignatureScheme};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

fn crypto() -> Crypto {
    Crypto::new(ChaCha20Rng::from_seed([1; 32]))
}

#[test]
fn aes_128_gcm_opens_what_it_should_and_nothing_else() {
    let set = aead::TestSet::load(aead::TestName::AesGcm).unwrap();
    let (crypto, mut tried) = (crypto(), 0);
    let ours = |group: &&aead::TestGroup| (group.key_size, group.nonce_size, group.tag_size) == (128, 96, 128);
    for test in set.test_groups.iter().filter(ours).flat_map(|group| &group.tests) {
        let sealed = [&test.ct[..], &test.tag[..]].concat();
        let opened = crypto.aead_decrypt(AeadType::Aes128Gcm, &test.key, &sealed, &test.nonce, &test.aad);
        if test.result.must_fail() {
            assert!(opened.is_err(), "case {}", test.tc_id);
        } else {
            assert_eq!(opened.unwrap(), test.pt[..], "case {}", test.tc_id);
            let made = crypto.aead_encrypt(AeadType::Aes128Gcm, &test.key, &test.pt, &test.nonce, &test.aad);
            assert_eq!(made.unwrap(), sealed, "case {}", test.tc_id);
        }
        tried += 1;
    }
    println!("{tried} cases of AES-128-GCM");
    assert!(tried > 50, "{tried}");
}

#[test]
fn hkdf_gives_what_it_should() {
    let set = hkdf::TestSet::load(hkdf::TestName::HkdfSha256).unwrap();
    let (crypto, mut tried) = (crypto(), 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let prk = crypto.hkdf_extract(HashType::Sha2_256, &test.salt, &test.ikm).unwrap();
        let made = crypto.hkdf_expand(HashType::Sha2_256, prk.as_slice(), &test.info, test.size);
        if test.result.must_fail() {
            assert!(made.is_err(), "case {}", test.tc_id);
        } else {
            assert_eq!(made.unwrap().as_slice(), &test.okm[..], "case {}", test.tc_id);
        }
        tried += 1;
    }
    println!("{tried} cases of HKDF-SHA-256");
    assert!(tried > 50, "{tried}");
}

#[test]
fn ed25519_takes_what_it_should_and_nothing_else() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let (crypto, mut tried) = (crypto(), 0);
    for group in &set.test_groups {
        for test in &group.tests {
            let verified = crypto.verify_signature(SignatureScheme::ED25519, &test.msg, &group.key.pk, &test.sig);
            assert_eq!(verified.is_err(), test.result.must_fail(), "case {}", test.tc_id);
            tried += 1;
        }
    }
    println!("{tried} cases of Ed25519");
    assert!(tried > 100, "{tried}");
}

#[test]
fn ml_dsa_65_makes_the_keys_it_should() {
    let set = mldsa_sign::TestSet::load(mldsa_sign::TestName::MlDsa65SignSeed).unwrap();
    let mut tried = 0;
    for group in &set.test_groups {
        let (Some(seed), Some(public)) = (&group.privseed, &group.pubkey) else {
            continue;
        };
        let Ok(seed) = <[u8; 32]>::try_from(&seed[..]) else {
            continue; // no seed: nothing is made of it here
        };
        let made = SigningKey::<MlDsa65>::from_seed(&seed.into());
        assert_eq!(made.verifying_key().encode()[..], public[..]);
        tried += 1;
    }
    println!("{tried} keys of ML-DSA-65");
    assert!(tried > 5, "{tried}");
}

#[test]
fn ml_dsa_65_takes_what_it_should_and_nothing_else() {
    let set = mldsa_verify::TestSet::load(mldsa_verify::TestName::MlDsa65Verify).unwrap();
    let mut tried = 0;
    for group in &set.test_groups {
        let key = EncodedVerifyingKey::<MlDsa65>::try_from(&group.pubkey[..]).ok();
        for test in &group.tests {
            let signature = EncodedSignature::<MlDsa65>::try_from(&test.sig[..]).ok();
            let signature = signature.and_then(|bytes| Signature::<MlDsa65>::decode(&bytes));
            let context = test.ctx.as_ref().map_or(&[][..], |context| &context[..]);
            let verified = key.as_ref().zip(signature).is_some_and(|(key, signature)| {
                VerifyingKey::<MlDsa65>::decode(key).verify_with_context(&test.msg, context, &signature)
            });
            assert_eq!(verified, !test.result.must_fail(), "case {}", test.tc_id);
            tried += 1;
        }
    }
    println!("{tried} cases of ML-DSA-65");
    assert!(tried > 50, "{tried}");
}
