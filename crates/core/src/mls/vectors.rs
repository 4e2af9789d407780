//! RFC 9420's test vectors. The passive clients, on our cryptography: they join by recorded Welcomes, take recorded
//! proposals and commits in, and must have the same secret in every epoch. Recorded messages and lengths: they are read.
//!
//! The files are the working group's (`test-vectors/` of mlswg/mls-implementations: `passive-client-*.json`, `messages.json`, `deserialization.json`) and lie
//! elsewhere: `STONECHAT_MLS_VECTORS` names their folder. Without it nothing is tried, which the test says. Of the
//! suites there, 1 and 3 have primitives that are ours too.

use super::second::speak;
use super::*;
use openmls::prelude::RatchetTreeIn;
use openmls::schedule::PreSharedKeyId;
use openmls_rust_crypto::MemoryStorage;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use serde::Deserialize;
use std::path::Path;

const SUITES: [Ciphersuite; 2] = [
    Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519,
    Ciphersuite::MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519,
];
const FILES: [&str; 3] = [
    "passive-client-welcome",
    "passive-client-handling-commit",
    "passive-client-random",
];

#[derive(Deserialize)]
struct Case {
    cipher_suite: u16,
    external_psks: Vec<Psk>,
    key_package: String,
    encryption_priv: String,
    init_priv: String,
    welcome: String,
    ratchet_tree: Option<String>,
    initial_epoch_authenticator: String,
    epochs: Vec<Epoch>,
}

#[derive(Deserialize)]
struct Psk {
    psk_id: String,
    psk: String,
}

#[derive(Deserialize)]
struct Epoch {
    proposals: Vec<String>,
    commit: String,
    epoch_authenticator: String,
}

/// Our cryptography over rows in memory: ours refuse what Stonechat never uses, shared keys and proposals by reference.
struct Memory {
    crypto: Crypto,
    rows: MemoryStorage,
}

impl OpenMlsProvider for Memory {
    type CryptoProvider = Crypto;
    type RandProvider = Crypto;
    type StorageProvider = MemoryStorage;
    fn storage(&self) -> &MemoryStorage {
        &self.rows
    }
    fn crypto(&self) -> &Crypto {
        &self.crypto
    }
    fn rand(&self) -> &Crypto {
        &self.crypto
    }
}

fn bytes(hexes: &str) -> Vec<u8> {
    hex::decode(hexes).unwrap()
}

fn message(hexes: &str) -> MlsMessageIn {
    MlsMessageIn::tls_deserialize_exact(bytes(hexes)).unwrap()
}

/// A client with the keys of the case.
fn client(case: &Case) -> Memory {
    let p = Memory {
        crypto: Crypto::new(ChaCha20Rng::from_seed([7; 32])),
        rows: MemoryStorage::default(),
    };
    for Psk { psk_id, psk } in &case.external_psks {
        let id = PreSharedKeyId::external(bytes(psk_id), vec![]);
        id.store(&p, &bytes(psk)).unwrap();
    }
    let MlsMessageBodyIn::KeyPackage(package) = message(&case.key_package).extract() else {
        panic!("no key package");
    };
    // `validate` would look at its lifetime, which is over.
    let package: KeyPackage = serde_json::from_value(serde_json::to_value(package).unwrap()).unwrap();
    let secret = |hexes: &str| serde_json::to_value(tls_codec::SecretVLBytes::from(bytes(hexes))).unwrap();
    let bundle = serde_json::json!({
        "key_package": package,
        "private_init_key": secret(&case.init_priv),
        "private_encryption_key": { "key": secret(&case.encryption_priv) },
    });
    let bundle: openmls::prelude::KeyPackageBundle = serde_json::from_value(bundle).unwrap();
    p.rows
        .write_key_package(&package.hash_ref(&p.crypto).unwrap(), &bundle)
        .unwrap();
    p
}

fn joined(p: &Memory, case: &Case) -> MlsGroup {
    let MlsMessageBodyIn::Welcome(welcome) = message(&case.welcome).extract() else {
        panic!("no Welcome");
    };
    let config = MlsGroupJoinConfig::builder()
        .wire_format_policy(openmls::prelude::MIXED_PLAINTEXT_WIRE_FORMAT_POLICY)
        .number_of_resumption_psks(16)
        .use_ratchet_tree_extension(true)
        .build();
    let processed = ProcessedWelcome::new_from_welcome(p, &config, welcome).unwrap();
    let mut builder = JoinBuilder::new(p, processed).skip_lifetime_validation();
    if let Some(tree) = &case.ratchet_tree {
        builder = builder.with_ratchet_tree(RatchetTreeIn::tls_deserialize_exact(bytes(tree)).unwrap());
    }
    builder.build().unwrap().into_group(p).unwrap()
}

fn take(p: &Memory, group: &mut MlsGroup, hexes: &str) {
    let message = message(hexes).try_into_protocol_message().unwrap();
    match group.process_message(p, message).unwrap().into_content() {
        ProcessedMessageContent::ProposalMessage(proposal) => {
            group.store_pending_proposal(&p.rows, *proposal).unwrap();
        }
        ProcessedMessageContent::StagedCommitMessage(commit) => group.merge_staged_commit(p, *commit).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Out: how many epochs it went through.
fn follow(case: &Case) -> usize {
    let p = client(case);
    let mut group = joined(&p, case);
    let same = |group: &MlsGroup, hexes: &str| assert_eq!(group.epoch_authenticator().as_slice(), bytes(hexes));
    same(&group, &case.initial_epoch_authenticator);
    for epoch in &case.epochs {
        for message in epoch.proposals.iter().chain([&epoch.commit]) {
            take(&p, &mut group, message);
        }
        same(&group, &epoch.epoch_authenticator);
    }
    1 + case.epochs.len()
}

/// A file of the working group; nothing where it is not said where they lie.
fn recorded<T: serde::de::DeserializeOwned>(file: &str) -> Option<Vec<T>> {
    let Some(folder) = std::env::var_os("STONECHAT_MLS_VECTORS") else {
        println!("0 of RFC 9420 ({file}): STONECHAT_MLS_VECTORS is not set");
        return None;
    };
    let text = std::fs::read(Path::new(&folder).join(file).with_extension("json")).unwrap();
    Some(serde_json::from_slice(&text).unwrap())
}

/// What comes from the wire goes through one decoder: it takes the whole of each recorded message and nothing cut off or
/// longer, and gives the same bytes back.
#[test]
fn the_recorded_messages_of_rfc_9420_come_back_as_they_were_mls_1() {
    let Some(cases) = recorded::<BTreeMap<String, String>>("messages") else {
        return;
    };
    let mut messages = 0;
    for (name, hexes) in cases.iter().flatten() {
        let whole = bytes(hexes);
        if name == "ratchet_tree" {
            let tree = RatchetTreeIn::tls_deserialize_exact(&whole).unwrap();
            assert_eq!(tree.tls_serialize_detached().unwrap(), whole);
        } else if ["mls_", "public_message_", "private_message"]
            .iter()
            .any(|begins| name.starts_with(begins))
        {
            let decoded = MlsMessageIn::tls_deserialize_exact(&whole).unwrap();
            assert_eq!(decoded.tls_serialize_detached().unwrap(), whole, "{name}");
            assert!(
                MlsMessageIn::tls_deserialize_exact(&whole[..whole.len() - 1]).is_err(),
                "{name}"
            );
            assert!(
                MlsMessageIn::tls_deserialize_exact([&whole[..], &[0]].concat()).is_err(),
                "{name}"
            );
        } else {
            continue; // parts of messages: OpenMLS opens them inside only
        }
        messages += 1;
    }
    println!("{messages} messages and trees of RFC 9420");
    assert!(messages > 2_000, "{messages}");
}

#[derive(Deserialize)]
struct Length {
    vlbytes_header: String,
    length: usize,
}

#[test]
fn the_recorded_lengths_of_rfc_9420_are_read_so_mls_1() {
    let Some(cases) = recorded::<Length>("deserialization") else {
        return;
    };
    // A gigabyte is not made for it; what claims one and has less is refused.
    const MOST: usize = 1 << 20;
    for case in &cases {
        let content = vec![7; case.length.min(MOST)];
        let read = tls_codec::VLBytes::tls_deserialize_exact([bytes(&case.vlbytes_header), content.clone()].concat());
        if case.length <= MOST {
            assert_eq!(read.unwrap().as_slice(), content);
        } else {
            assert!(read.is_err(), "{}", case.length);
        }
    }
    println!("{} lengths of RFC 9420", cases.len());
    assert!(cases.len() > 10);
}

#[test]
fn the_passive_clients_of_rfc_9420_have_every_epoch_mls_1() {
    for file in FILES {
        let Some(cases) = recorded::<Case>(file) else {
            return;
        };
        for suite in SUITES {
            speak(suite);
            let suite = u16::from(suite);
            let epochs: Vec<usize> = cases
                .iter()
                .filter(|case| case.cipher_suite == suite)
                .map(follow)
                .collect();
            let (clients, epochs) = (epochs.len(), epochs.iter().sum::<usize>());
            println!("{clients} clients of RFC 9420 through {epochs} epochs ({file}, suite {suite})");
        }
    }
}
