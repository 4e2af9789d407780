//! A second implementation of MLS reads what ours writes, and ours reads what it writes (mls-rs, in suite 0x0003, which
//! both know: X25519, ChaCha20-Poly1305, SHA-256, Ed25519).

use super::tests::Side;
use super::*;
use crate::mls::crypto::XWing;
use hpke_rs::{Hpke, Mode};
use hpke_rs_crypto::types as ht;
use mls_rs::client_builder::MlsConfig;
use mls_rs::group::ReceivedMessage;
use mls_rs::identity::SigningIdentity;
use mls_rs::identity::basic::{BasicCredential as TheirCredential, BasicIdentityProvider};
use mls_rs::mls_rules::{CommitOptions, DefaultMlsRules, EncryptionOptions};
use mls_rs::{CipherSuite, CipherSuiteProvider, Client, CryptoProvider, ExtensionList, Group, MlsMessage};
use mls_rs_crypto_rustcrypto::RustCryptoProvider;
use openmls_traits::types::{CryptoError, HpkeAeadType};
use std::cell::Cell;

const COMMON: Ciphersuite = Ciphersuite::MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519;
const THEIR_COMMON: CipherSuite = CipherSuite::CURVE25519_CHACHA;

thread_local! {
    static SPOKEN: Cell<Ciphersuite> = const { Cell::new(SUITE) };
}

/// The suite that is spoken on this thread.
pub(super) fn suite() -> Ciphersuite {
    SPOKEN.get()
}

/// On this thread, from here on.
pub(super) fn speak(suite: Ciphersuite) {
    SPOKEN.set(suite);
}

/// HPKE of RFC 9420's suites with X25519.
pub(super) fn hpke(aead: HpkeAeadType) -> Result<Hpke<XWing>, CryptoError> {
    let aead = match aead {
        HpkeAeadType::AesGcm128 => ht::AeadAlgorithm::Aes128Gcm,
        HpkeAeadType::ChaCha20Poly1305 => ht::AeadAlgorithm::ChaCha20Poly1305,
        _other => return Err(CryptoError::UnsupportedCiphersuite),
    };
    let (kem, kdf) = (ht::KemAlgorithm::DhKem25519, ht::KdfAlgorithm::HkdfSha256);
    Ok(Hpke::new(Mode::Base, kem, kdf, aead))
}

fn their_client(name: u8) -> Client<impl MlsConfig> {
    let crypto = RustCryptoProvider::default();
    let keys = crypto.cipher_suite_provider(THEIR_COMMON).unwrap();
    let (secret, public) = keys.signature_key_generate().unwrap();
    let identity = SigningIdentity::new(TheirCredential::new(vec![name; 32]).into_credential(), public);
    let rules = DefaultMlsRules::new()
        .with_commit_options(CommitOptions::new().with_path_required(true))
        .with_encryption_options(EncryptionOptions::new(true, Default::default()));
    Client::builder()
        .identity_provider(BasicIdentityProvider)
        .crypto_provider(crypto)
        .extension_type(STATE_EXTENSION.into())
        .mls_rules(rules)
        .signing_identity(identity, secret, THEIR_COMMON)
        .build()
}

fn their_key_package(client: &Client<impl MlsConfig>) -> (MlsMessage, Vec<u8>) {
    let message = client
        .generate_key_package_message(ExtensionList::new(), ExtensionList::new(), None)
        .unwrap();
    // Behind the version and the kind of message.
    let bytes = message.to_bytes().unwrap()[4..].to_vec();
    (message, bytes)
}

fn as_theirs(bytes: &[u8]) -> MlsMessage {
    MlsMessage::from_bytes(bytes).unwrap()
}

/// Both have the same epoch, and derive the same from it.
fn same_epoch(ours: &mut Side, at: (Gid, EpochId), theirs: &Group<impl MlsConfig>) {
    let exports = ours.step(|p, groups, _| groups.export(p, at).unwrap());
    for (label, ours) in [
        ("stonechat/mailbox", exports.mailbox_root),
        ("stonechat/env", exports.envelope_key),
    ] {
        let secret = theirs.export_secret(label.as_bytes(), at.1.as_bytes(), 32).unwrap();
        assert_eq!(secret.as_bytes(), ours, "{label}");
    }
}

fn we_say(ours: &mut Side, at: (Gid, EpochId), theirs: &mut Group<impl MlsConfig>, text: &[u8]) {
    let sent = ours.step(|p, groups, signer| groups.write(p, at, signer, text).unwrap());
    match theirs.process_incoming_message(as_theirs(&sent)).unwrap() {
        ReceivedMessage::ApplicationMessage(message) => assert_eq!(message.data(), text),
        other => panic!("{other:?}"),
    }
}

fn they_say(ours: &mut Side, at: (Gid, EpochId), theirs: &mut Group<impl MlsConfig>, text: &[u8]) {
    let sent = theirs
        .encrypt_application_message(text, vec![])
        .unwrap()
        .to_bytes()
        .unwrap();
    match ours.step(|p, groups, _| groups.read(p, at, &sent).unwrap()) {
        Read::Message { plain, .. } => assert_eq!(plain, text),
        other => panic!("{other:?}"),
    }
}

/// Out: how many messages went over.
fn both_say(ours: &mut Side, at: (Gid, EpochId), theirs: &mut Group<impl MlsConfig>) -> u32 {
    same_epoch(ours, at, theirs);
    for turn in 0..3 {
        we_say(ours, at, theirs, format!("ours {turn}").as_bytes());
        they_say(ours, at, theirs, format!("theirs {turn}").as_bytes());
    }
    6
}

#[test]
fn a_second_implementation_talks_with_ours_mls_1() {
    speak(COMMON);
    let (mut ana, mut cem) = (Side::new(1), Side::new(3));
    let bo = their_client(b'b');
    let (_, package) = their_key_package(&bo);
    // Ours founds a group with a state, and adds theirs by a commit.
    let founded = ana.step(|p, _, signer| found_group(p, signer, [b'a'; 32].to_vec(), b"state").unwrap());
    let add = Wish {
        add: &[package],
        ..Wish::default()
    };
    let made = ana.step(|p, groups, signer| groups.commit(p, (founded.group, founded.epoch), signer, &add).unwrap());
    let welcome = as_theirs(&made.welcome.unwrap());
    let (mut theirs, _) = bo.join_group(None, &welcome, None).unwrap();
    let mut at = (founded.group, made.child);
    let mut said = both_say(&mut ana, at, &mut theirs);

    // Ours renews its keys; theirs takes the commit in.
    let made = ana.step(|p, groups, signer| groups.commit(p, at, signer, &Wish::default()).unwrap());
    theirs.process_incoming_message(as_theirs(&made.commit)).unwrap();
    at.1 = made.child;
    said += both_say(&mut ana, at, &mut theirs);

    // Theirs renews its own; ours takes that in.
    let commit = theirs
        .commit_builder()
        .build()
        .unwrap()
        .commit_message
        .to_bytes()
        .unwrap();
    theirs.apply_pending_commit().unwrap();
    at.1 = match ana.step(|p, groups, _| groups.take_commit(p, at, &commit).unwrap()) {
        CommitRead::Taken(taken) => taken.child,
        other => panic!("{other:?}"),
    };
    said += both_say(&mut ana, at, &mut theirs);

    // Theirs adds a third, of ours, who joins by its Welcome.
    let package = cem.step(|p, _, signer| key_package(p, signer, [b'c'; 32].to_vec()).unwrap());
    let mut message = vec![0, 1, 0, 5];
    message.extend(&package);
    let output = theirs
        .commit_builder()
        .add_member(as_theirs(&message))
        .unwrap()
        .build()
        .unwrap();
    theirs.apply_pending_commit().unwrap();
    let (commit, welcome) = (
        output.commit_message.to_bytes().unwrap(),
        output.welcome_messages[0].to_bytes().unwrap(),
    );
    at.1 = match ana.step(|p, groups, _| groups.take_commit(p, at, &commit).unwrap()) {
        CommitRead::Taken(taken) => taken.child,
        other => panic!("{other:?}"),
    };
    let joined = cem.step(|p, _, _| join(p, &welcome, Known::Never).unwrap());
    assert_eq!((joined.epoch, joined.state.as_deref()), (at.1, Some(&b"state"[..])));
    said += both_say(&mut ana, at, &mut theirs);
    said += both_say(&mut cem, at, &mut theirs);

    // Ours removes theirs, which reads nothing from then on.
    let out = Wish {
        remove: &[theirs.current_member_index()],
        ..Wish::default()
    };
    let made = ana.step(|p, groups, signer| groups.commit(p, at, signer, &out).unwrap());
    theirs.process_incoming_message(as_theirs(&made.commit)).unwrap();
    let sent = ana.step(|p, groups, signer| groups.write(p, (at.0, made.child), signer, b"alone").unwrap());
    assert!(theirs.process_incoming_message(as_theirs(&sent)).is_err());
    println!(
        "mls-rs and ours: {said} messages, and the same exports, through {} epochs",
        theirs.current_epoch()
    );
}
