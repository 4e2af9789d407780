use super::*;
use clatter::bytearray::{ByteArray, HeapArray, SensitiveByteArray};
use clatter::crypto::dh::X25519;
use clatter::error::{KemError, KemResult};
use clatter::handshakepattern::noise_hybrid_nk;
use clatter::rand_core::{CryptoRng, Error, RngCore};
use clatter::traits::{CryptoComponent, Handshaker as _, Rng as ClatterRng};
use clatter::{HybridHandshakeCore, HybridHandshakeParams, KeyPair};
use proptest::prelude::*;

fn secret() -> RelaySecret {
    RelaySecret::from_seed(&[7; 32])
}

/// Carries bytes both ways until nothing moves.
fn pump(client: &mut FaceClient, relay: &mut FaceRelay) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut at_client, mut at_relay) = (Vec::new(), Vec::new());
    loop {
        let (up, down) = (client.take_output(), relay.take_output());
        if up.is_empty() && down.is_empty() {
            return (at_client, at_relay);
        }
        at_relay.extend(relay.receive(&up).unwrap());
        at_client.extend(client.receive(&down).unwrap());
    }
}

fn open_pair() -> (FaceClient, FaceRelay) {
    let secret = secret();
    let mut client = FaceClient::new(secret.keys(), [1; 32]).unwrap();
    let mut relay = FaceRelay::new(&secret, [2; 32]);
    pump(&mut client, &mut relay);
    assert!(client.is_open() && relay.is_open());
    (client, relay)
}

#[test]
fn both_sides_hear_each_other_face_1() {
    let (mut client, mut relay) = open_pair();
    client.send(b"hello").unwrap();
    client.send(b"").unwrap();
    relay.send(&vec![9; 200_000]).unwrap();
    let (at_client, at_relay) = pump(&mut client, &mut relay);
    assert_eq!(at_relay, [b"hello".to_vec(), Vec::new()]);
    assert_eq!(at_client, [vec![9; 200_000]]);
}

#[test]
fn a_handshake_takes_2_323_bytes_each_way_face_1() {
    let secret = secret();
    let mut client = FaceClient::new(secret.keys(), [1; 32]).unwrap();
    let mut relay = FaceRelay::new(&secret, [2; 32]);
    let up = client.take_output();
    relay.receive(&up).unwrap();
    assert_eq!(
        (up.len(), relay.take_output().len()),
        (HANDSHAKE_SIZE + 3, HANDSHAKE_SIZE + 3)
    );
    assert_eq!(HANDSHAKE_SIZE, 2320);
}

#[test]
fn one_seed_makes_one_relay_and_one_connection_face_2() {
    assert_eq!(RelaySecret::from_seed(&[7; 32]).keys(), secret().keys());
    assert_ne!(RelaySecret::from_seed(&[8; 32]).keys(), secret().keys());
    let mut first = FaceClient::new(secret().keys(), [1; 32]).unwrap();
    let mut second = FaceClient::new(secret().keys(), [1; 32]).unwrap();
    assert_eq!(first.take_output(), second.take_output());
}

#[test]
fn a_client_with_only_the_pin_asks_and_checks_face_3() {
    let secret = secret();
    let mut client = FaceClient::asking(secret.keys().id(), [1; 32]);
    let mut relay = FaceRelay::new(&secret, [2; 32]);
    client.send(b"too early").unwrap_err();
    pump(&mut client, &mut relay);
    assert!(client.is_open() && relay.is_open());
    assert_eq!(client.keys(), Some(secret.keys()));
}

#[test]
fn keys_that_are_not_pinned_end_it_face_3() {
    let mut client = FaceClient::asking(RelayId::from_bytes([0; 16]), [1; 32]);
    let mut relay = FaceRelay::new(&secret(), [2; 32]);
    relay.receive(&client.take_output()).unwrap();
    assert_eq!(client.receive(&relay.take_output()), Err(FaceError::WrongKeys));
    assert_eq!(client.receive(&[]), Err(FaceError::Closed));
}

#[test]
fn keys_are_told_once_per_connection_face_3() {
    let mut relay = FaceRelay::new(&secret(), [2; 32]);
    relay.receive(&[0, 1, ASK_KEYS]).unwrap();
    assert_eq!(relay.receive(&[0, 1, ASK_KEYS]), Err(FaceError::Unexpected));
}

#[test]
fn another_relay_cannot_answer_face_4() {
    let mut client = FaceClient::new(secret().keys(), [1; 32]).unwrap();
    let mut relay = FaceRelay::new(&RelaySecret::from_seed(&[8; 32]), [2; 32]);
    assert_eq!(relay.receive(&client.take_output()), Err(FaceError::Handshake));
    assert!(!relay.is_open());
}

#[test]
fn a_message_over_the_limit_is_refused_both_ways_face_5() {
    let (mut client, mut relay) = open_pair();
    assert_eq!(client.send(&vec![0; MESSAGE_BYTES_MAX + 1]), Err(FaceError::TooLong));
    client.send(&vec![0; MESSAGE_BYTES_MAX]).unwrap();
    assert_eq!(
        relay.receive(&client.take_output()).unwrap()[0].len(),
        MESSAGE_BYTES_MAX
    );
    for _ in 0..MESSAGE_BYTES_MAX / CHUNK_MAX {
        client.wire.seal(MORE, &[0; CHUNK_MAX]).unwrap();
    }
    relay.receive(&client.take_output()).unwrap();
    client.wire.seal(LAST, &[0; CHUNK_MAX]).unwrap();
    assert_eq!(relay.receive(&client.take_output()), Err(FaceError::TooLong));
}

#[test]
fn bad_records_give_their_errors_and_close_face_6() {
    type Break = fn(&mut Vec<u8>);
    let cases: [(&str, Break, FaceError); 5] = [
        ("one bit", |record| record[5] ^= 1, FaceError::Record),
        ("the mac", |record| *record.last_mut().unwrap() ^= 1, FaceError::Record),
        ("an empty record", |record| *record = vec![0, 0], FaceError::Record),
        (
            "shorter than a mac",
            |record| *record = vec![0, 3, 1, 2, 3],
            FaceError::Record,
        ),
        ("replayed", |record| record.extend_from_within(..), FaceError::Record),
    ];
    for (name, break_it, error) in cases {
        let (mut client, mut relay) = open_pair();
        client.send(b"hello").unwrap();
        let mut record = client.take_output();
        break_it(&mut record);
        assert_eq!(relay.receive(&record), Err(error), "{name}");
        assert_eq!(relay.receive(&[]), Err(FaceError::Closed), "{name}");
        assert_eq!(relay.send(b"x"), Err(FaceError::Closed), "{name}");
    }
}

#[test]
fn bad_beginnings_give_their_errors_face_6() {
    let mut short = vec![0, 10, HANDSHAKE];
    short.resize(12, 0);
    let mut zeros = vec![9, 17, HANDSHAKE];
    zeros.resize(2 + HANDSHAKE_SIZE + 1, 0);
    let cases: [(&str, &[u8], FaceError); 5] = [
        ("an empty record", &[0, 0], FaceError::Unexpected),
        ("no such kind", &[0, 1, 77], FaceError::Unexpected),
        ("keys told to a relay", &[0, 1, TELL_KEYS], FaceError::Unexpected),
        ("a short handshake", &short, FaceError::Handshake),
        ("a handshake of zeros", &zeros, FaceError::Handshake),
    ];
    for (name, bytes, error) in cases {
        assert_eq!(FaceRelay::new(&secret(), [2; 32]).receive(bytes), Err(error), "{name}");
    }
    let mut client = FaceClient::new(secret().keys(), [1; 32]).unwrap();
    assert_eq!(client.receive(&[0, 1, ASK_KEYS]), Err(FaceError::Unexpected));
}

#[test]
fn a_worn_out_direction_says_so_face_7() {
    let (mut client, _) = open_pair();
    client.wire.ciphers.as_mut().unwrap().sending.set_nonce(u64::MAX);
    client.send(b"last").unwrap();
    assert_eq!(client.send(b"one too many"), Err(FaceError::Exhausted));
}

#[test]
fn secrets_do_not_print_face_2() {
    assert!(std::format!("{:?}", secret()).starts_with("RelaySecret(RelayId("));
    assert_eq!(std::format!("{:?}", open_pair().0), "FaceClient(open)");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_cut_of_the_stream_gives_the_same_messages_face_5(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 1..6),
        cut in 1..700usize,
    ) {
        let (mut client, mut relay) = open_pair();
        for message in &messages {
            client.send(message).unwrap();
        }
        let mut got = Vec::new();
        for bytes in client.take_output().chunks(cut) {
            got.extend(relay.receive(bytes).unwrap());
            prop_assert!(relay.wire.input.len() < RECORD_BYTES_MAX);
        }
        prop_assert_eq!(got, messages);
    }

    #[test]
    fn any_bytes_are_survived_face_6(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        let _ = FaceRelay::new(&secret(), [2; 32]).receive(&bytes);
        let _ = FaceClient::asking(secret().keys().id(), [1; 32]).receive(&bytes);
        let _ = open_pair().0.receive(&bytes);
    }
}

/// clatter's own handshake over the same KEM: what ours must be byte-compatible with.
#[test]
fn clatters_own_handshake_understands_ours_face_1() {
    let secret = secret();
    let dh: [u8; 32] = secret.0.dh.to_bytes();
    let seed = secret.0.kem.to_seed().unwrap();
    let params = HybridHandshakeParams::new(noise_hybrid_nk(), false)
        .with_prologue(PROLOGUE)
        .with_s(KeyPair::new(
            secret.keys().as_bytes()[..32].try_into().unwrap(),
            SensitiveByteArray::new(dh),
        ))
        .with_s_kem(KeyPair::new(
            HeapArray::from_slice(&secret.keys().as_bytes()[32..]),
            SensitiveByteArray::new(HeapArray::from_slice(&seed)),
        ));
    let mut relay = TheirHandshake::new(params).unwrap();
    assert_eq!(relay.get_name().as_str(), NOISE_NAME);

    let mut client = FaceClient::new(secret.keys(), [1; 32]).unwrap();
    let mut payload = [0; 64];
    assert_eq!(relay.read_message(&client.take_output()[3..], &mut payload).unwrap(), 0);
    let mut reply = vec![0; HANDSHAKE_SIZE];
    assert_eq!(relay.write_message(&[], &mut reply).unwrap(), HANDSHAKE_SIZE);
    let mut record = vec![9, 17, HANDSHAKE];
    record.extend(&reply);
    assert_eq!(client.receive(&record), Ok(vec![]));

    let mut transport = relay.finalize().unwrap();
    client.send(b"hi").unwrap();
    assert_eq!(transport.receive_vec(&client.take_output()[2..]).unwrap(), b"\0hi");
}

type TheirHandshake = HybridHandshakeCore<X25519, TestKem, TestKem, ChaChaPoly, Sha256, FixedRng>;

#[derive(Clone)]
struct TestKem;

impl CryptoComponent for TestKem {
    fn name() -> &'static str {
        "MLKEM768"
    }
}

impl clatter::traits::Kem for TestKem {
    type SecretKey = SensitiveByteArray<HeapArray<64>>;
    type PubKey = HeapArray<KEM_KEY>;
    type Ct = HeapArray<CT>;
    type Ss = SensitiveByteArray<[u8; 32]>;

    fn genkey_rng<R: ClatterRng>(rng: &mut R) -> KemResult<KeyPair<Self::PubKey, Self::SecretKey>> {
        let mut seed = [0; 64];
        rng.fill_bytes(&mut seed);
        let key = DecapsulationKey::<MlKem768>::from_seed(seed.into());
        let public = HeapArray::from_slice(&key.encapsulation_key().to_bytes());
        Ok(KeyPair::new(
            public,
            SensitiveByteArray::new(HeapArray::from_slice(&seed)),
        ))
    }

    fn encapsulate<R: ClatterRng>(pk: &[u8], rng: &mut R) -> KemResult<(Self::Ct, Self::Ss)> {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        let pk: [u8; KEM_KEY] = pk.try_into().map_err(|_| KemError::Input)?;
        let (ct, shared) = encapsulate(&pk, &mut ChaCha20Rng::from_seed(seed)).unwrap();
        Ok((HeapArray::from_slice(&ct), SensitiveByteArray::new(*shared)))
    }

    fn decapsulate(ct: &[u8], sk: &[u8]) -> KemResult<Self::Ss> {
        let seed: [u8; 64] = sk.try_into().map_err(|_| KemError::Input)?;
        let key = DecapsulationKey::<MlKem768>::from_seed(seed.into());
        Ok(SensitiveByteArray::new(*decapsulate(&key, ct.try_into().unwrap())))
    }
}

/// Always the same bytes: enough to compare two handshakes, and nothing else.
#[derive(Clone, Default)]
struct FixedRng;

impl RngCore for FixedRng {
    fn next_u32(&mut self) -> u32 {
        0x4242_4242
    }
    fn next_u64(&mut self) -> u64 {
        0x4242_4242_4242_4242
    }
    fn fill_bytes(&mut self, out: &mut [u8]) {
        out.fill(0x42);
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl CryptoRng for FixedRng {}
