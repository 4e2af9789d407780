//! The face: how a client and a relay come to speak in private over any ordered stream of bytes.
//!
//! Noise `hybridNK` (X25519 and ML-KEM-768, ChaCha20-Poly1305, SHA-256): the client knows the relay's keys, the relay
//! knows nothing of the client. Sans-IO: bytes that came go in ([`FaceClient::receive`]), whole messages come out;
//! bytes to write are taken with [`FaceClient::take_output`]. Dice are a 32-byte seed, used once. The two handshake
//! messages are written over `clatter`'s symmetric state, because its own handshake takes no seed; a test holds the
//! two against each other. TLS around it, and what is said inside it, are others' jobs. Specified in
//! `docs/protocol/03-relay.md` (FACE).

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use clatter::cipherstate::CipherState;
use clatter::crypto::cipher::ChaChaPoly;
use clatter::crypto::hash::Sha256;
use clatter::symmetricstate::SymmetricState;
use ml_kem::kem::{Decapsulate, Encapsulate, KeyExport};
use ml_kem::{DecapsulationKey, EncapsulationKey, MlKem768};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, Zeroizing};

use crate::codec::{Reader, Write};
use crate::ids::RelayId;
use crate::kdf::hkdf;
use crate::route::RelayKeys;

/// Longest message, in bytes: what one [`FaceClient::send`] takes and one peer may make us hold (FACE-5).
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// Most bytes of an unfinished record: its length and itself (FACE-5).
pub const RECORD_BYTES_MAX: usize = 2 + RECORD_MAX;
/// Length of each handshake message, in bytes.
pub const HANDSHAKE_SIZE: usize = CT + DH + KEM_KEY + MAC;
/// Name of the Noise protocol (FACE-1).
pub const NOISE_NAME: &str = "Noise_hybridNK_25519+MLKEM768_ChaChaPoly_SHA256";
/// Mixed into the handshake: no other protocol's handshake passes for ours (FACE-1).
pub const PROLOGUE: &[u8] = b"stonechat/face/1";

const RECORD_MAX: usize = 65_535;
const MAC: usize = 16;
/// Most message bytes of one record: the rest is mac and the more/last byte.
const CHUNK_MAX: usize = RECORD_MAX - MAC - 1;
const CT: usize = 1088;
const DH: usize = 32;
const KEM_KEY: usize = 1184;

const ASK_KEYS: u8 = 0;
const TELL_KEYS: u8 = 1;
const HANDSHAKE: u8 = 2;

const LAST: u8 = 0;
const MORE: u8 = 1;

/// Why a connection cannot go on. It is closed without a word; a new one may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaceError {
    /// A plain record that has no place here.
    #[error("unexpected record")]
    Unexpected,
    /// The keys told are not those that are pinned: somebody else answers at this address.
    #[error("the relay's keys are not the pinned ones")]
    WrongKeys,
    /// The handshake does not hold: other keys, or not our protocol.
    #[error("the handshake failed")]
    Handshake,
    /// A sealed record that does not open: broken, replayed or out of order.
    #[error("a record does not open")]
    Record,
    /// More than [`MESSAGE_BYTES_MAX`] in one message.
    #[error("the message is too long")]
    TooLong,
    /// Nothing can be sent before the handshake is over.
    #[error("the face is not open yet")]
    NotOpen,
    /// All nonces of a direction are used up.
    #[error("the connection is worn out")]
    Exhausted,
    /// An earlier error has ended this face.
    #[error("the face is closed")]
    Closed,
}

/// A relay's two private keys, shared between its connections. Never printed; wiped when the last copy goes.
#[derive(Clone)]
pub struct RelaySecret(Arc<Secret>);

struct Secret {
    dh: StaticSecret,
    kem: DecapsulationKey<MlKem768>,
    keys: RelayKeys,
}

impl RelaySecret {
    /// Makes both keys from 32 random bytes: HKDF(seed, "stonechat/relay", 96) = X25519 32 | ML-KEM seed 64 (FACE-2).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let expanded = Zeroizing::new(hkdf::<96>(seed, &[b"stonechat/relay"]));
        let (dh, kem_seed) = expanded.split_first_chunk::<DH>().expect("96 is more than 32");
        let mut kem_seed: [u8; 64] = kem_seed.try_into().expect("96 is 32 and 64");
        let dh = StaticSecret::from(*dh);
        let kem = DecapsulationKey::<MlKem768>::from_seed(kem_seed.into());
        kem_seed.zeroize();
        let mut keys = [0; RelayKeys::SIZE];
        let public = PublicKey::from(&dh);
        let kem_public = kem.encapsulation_key().to_bytes();
        for (to, from) in keys.iter_mut().zip(public.as_bytes().iter().chain(kem_public.iter())) {
            *to = *from;
        }
        Self(Arc::new(Secret {
            dh,
            kem,
            keys: RelayKeys::from_bytes(keys),
        }))
    }

    /// The public keys, for routes and cards.
    pub fn keys(&self) -> &RelayKeys {
        &self.0.keys
    }
}

impl fmt::Debug for RelaySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RelaySecret({:?})", self.0.keys.id())
    }
}

/// The client's side of one connection.
pub struct FaceClient {
    state: ClientState,
    wire: Wire,
    keys: Option<RelayKeys>,
}

enum ClientState {
    Asking { pin: RelayId, dice: Box<ChaCha20Rng> },
    Greeting(Box<Greeting>),
    Open,
}

/// What the client holds between the two handshake messages.
struct Greeting {
    noise: Noise,
    dh: StaticSecret,
    kem: DecapsulationKey<MlKem768>,
}

impl FaceClient {
    /// Begins at once, with keys known from a card or an earlier connection. Errors: keys that are none.
    pub fn new(keys: &RelayKeys, dice: [u8; 32]) -> Result<Self, FaceError> {
        let mut wire = Wire::default();
        let greeting = greet(&mut wire, keys, &mut ChaCha20Rng::from_seed(dice))?;
        Ok(Self {
            state: ClientState::Greeting(Box::new(greeting)),
            wire,
            keys: Some(keys.clone()),
        })
    }

    /// Begins with only the pin of a route: asks for the keys and checks them first (FACE-3).
    pub fn asking(pin: RelayId, dice: [u8; 32]) -> Self {
        let mut wire = Wire::default();
        wire.write_plain(ASK_KEYS, &[]);
        let dice = Box::new(ChaCha20Rng::from_seed(dice));
        Self {
            state: ClientState::Asking { pin, dice },
            wire,
            keys: None,
        }
    }

    /// The relay's keys, once known: worth keeping, the next connection need not ask.
    pub const fn keys(&self) -> Option<&RelayKeys> {
        self.keys.as_ref()
    }

    /// Whether messages can be sent.
    pub const fn is_open(&self) -> bool {
        self.wire.ciphers.is_some()
    }

    /// Takes bytes as they came, in any cut; gives the whole messages they complete.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, FaceError> {
        let (state, keys) = (&mut self.state, &mut self.keys);
        self.wire
            .receive(bytes, |wire, record| client_step(state, keys, wire, record))
    }

    /// Bytes to write to the stream, in this order.
    pub fn take_output(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.wire.output)
    }

    /// Seals one message of at most [`MESSAGE_BYTES_MAX`].
    pub fn send(&mut self, message: &[u8]) -> Result<(), FaceError> {
        self.wire.send(message)
    }
}

/// The relay's side of one connection.
pub struct FaceRelay {
    secret: RelaySecret,
    dice: Option<Box<ChaCha20Rng>>,
    asked: bool,
    wire: Wire,
}

impl FaceRelay {
    /// Waits for a client.
    pub fn new(secret: &RelaySecret, dice: [u8; 32]) -> Self {
        let dice = Some(Box::new(ChaCha20Rng::from_seed(dice)));
        Self {
            secret: secret.clone(),
            dice,
            asked: false,
            wire: Wire::default(),
        }
    }

    /// Whether messages can be sent.
    pub const fn is_open(&self) -> bool {
        self.wire.ciphers.is_some()
    }

    /// Takes bytes as they came, in any cut; gives the whole messages they complete.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, FaceError> {
        let (secret, dice, asked) = (&self.secret, &mut self.dice, &mut self.asked);
        self.wire
            .receive(bytes, |wire, record| relay_step(secret, dice, asked, wire, record))
    }

    /// Bytes to write to the stream, in this order.
    pub fn take_output(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.wire.output)
    }

    /// Seals one message of at most [`MESSAGE_BYTES_MAX`].
    pub fn send(&mut self, message: &[u8]) -> Result<(), FaceError> {
        self.wire.send(message)
    }
}

impl fmt::Debug for FaceClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_open() {
            "FaceClient(open)"
        } else {
            "FaceClient(opening)"
        })
    }
}

impl fmt::Debug for FaceRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_open() {
            "FaceRelay(open)"
        } else {
            "FaceRelay(opening)"
        })
    }
}

type Noise = SymmetricState<ChaChaPoly, Sha256>;

/// One plain record at the client, before the face is open.
fn client_step(
    state: &mut ClientState,
    known: &mut Option<RelayKeys>,
    wire: &mut Wire,
    record: &[u8],
) -> Result<(), FaceError> {
    let (kind, body) = record.split_first().ok_or(FaceError::Unexpected)?;
    match (state, *kind) {
        (state @ ClientState::Asking { .. }, TELL_KEYS) => learn_keys(state, known, wire, body),
        (state @ ClientState::Greeting(_), HANDSHAKE) => {
            let ClientState::Greeting(greeting) = core::mem::replace(state, ClientState::Open) else {
                return Err(FaceError::Unexpected);
            };
            wire.open(finish(*greeting, body)?, Side::Client)
        }
        _ => Err(FaceError::Unexpected),
    }
}

fn learn_keys(
    state: &mut ClientState,
    known: &mut Option<RelayKeys>,
    wire: &mut Wire,
    body: &[u8],
) -> Result<(), FaceError> {
    let ClientState::Asking { pin, dice } = state else {
        return Err(FaceError::Unexpected);
    };
    let keys = RelayKeys::from_slice(body)
        .filter(|keys| keys.id() == *pin)
        .ok_or(FaceError::WrongKeys)?;
    let greeting = greet(wire, &keys, dice)?;
    *known = Some(keys);
    *state = ClientState::Greeting(Box::new(greeting));
    Ok(())
}

/// One plain record at the relay, before the face is open. Keys are told once per connection (FACE-3).
fn relay_step(
    secret: &RelaySecret,
    dice: &mut Option<Box<ChaCha20Rng>>,
    asked: &mut bool,
    wire: &mut Wire,
    record: &[u8],
) -> Result<(), FaceError> {
    let (kind, body) = record.split_first().ok_or(FaceError::Unexpected)?;
    match *kind {
        ASK_KEYS if !*asked && body.is_empty() => {
            *asked = true;
            wire.write_plain(TELL_KEYS, secret.keys().as_bytes());
            Ok(())
        }
        HANDSHAKE => {
            let mut dice = dice.take().ok_or(FaceError::Unexpected)?;
            let noise = answer(secret, wire, body, &mut dice)?;
            wire.open(noise, Side::Relay)
        }
        _ => Err(FaceError::Unexpected),
    }
}

/// Begins the symmetric state with both public keys of the relay (pattern `<- s`).
fn noise(keys: &RelayKeys) -> (Noise, [u8; DH], [u8; KEM_KEY]) {
    let mut noise = Noise::new(NOISE_NAME);
    noise.mix_hash(PROLOGUE);
    let (dh, kem) = keys.as_bytes().split_first_chunk::<DH>().expect("1216 is more than 32");
    noise.mix_hash(dh);
    noise.mix_hash(kem);
    (noise, *dh, kem.try_into().expect("1216 is 32 and 1184"))
}

/// Client's message: skem, e, es, empty payload.
fn greet(wire: &mut Wire, keys: &RelayKeys, dice: &mut ChaCha20Rng) -> Result<Greeting, FaceError> {
    let (mut noise, relay_dh, relay_kem) = noise(keys);
    let mut out = vec![0; HANDSHAKE_SIZE];
    let fields = Fields::cut(&mut out).ok_or(FaceError::Handshake)?;

    let (ct, shared) = encapsulate(&relay_kem, dice)?;
    noise
        .encrypt_and_hash(&ct, fields.ct)
        .map_err(|_| FaceError::Handshake)?;
    noise.mix_key_and_hash(&*shared);

    let (dh, kem) = ephemeral(dice);
    write_ephemeral(&mut noise, &dh, kem.encapsulation_key(), fields.dh, fields.kem);

    noise.mix_key(dh.diffie_hellman(&PublicKey::from(relay_dh)).as_bytes());
    noise
        .encrypt_and_hash(&[], fields.mac)
        .map_err(|_| FaceError::Handshake)?;
    wire.write_plain(HANDSHAKE, &out);
    Ok(Greeting { noise, dh, kem })
}

/// Relay reads the client's message and writes its own: ekem, e, ee, empty payload.
fn answer(secret: &RelaySecret, wire: &mut Wire, message: &[u8], dice: &mut ChaCha20Rng) -> Result<Noise, FaceError> {
    let (mut noise, _, _) = noise(secret.keys());
    let mut reader = Reader::new(message);
    let (client_ct, client_dh, client_kem, mac) = read_message(&mut reader)?;

    let mut ct = [0; CT];
    noise
        .decrypt_and_hash(&client_ct, &mut ct)
        .map_err(|_| FaceError::Handshake)?;
    noise.mix_key_and_hash(&*decapsulate(&secret.0.kem, &ct));
    noise.mix_hash(&client_dh);
    noise.mix_hash(&client_kem);
    noise.mix_key(secret.0.dh.diffie_hellman(&PublicKey::from(client_dh)).as_bytes());
    noise
        .decrypt_and_hash(&mac, &mut [])
        .map_err(|_| FaceError::Handshake)?;

    let mut out = vec![0; HANDSHAKE_SIZE];
    let fields = Fields::cut(&mut out).ok_or(FaceError::Handshake)?;
    let (ct, shared) = encapsulate(&client_kem, dice)?;
    noise.mix_hash(&ct);
    noise.mix_key(&*shared);
    fields.ct.copy_from_slice(&ct);

    let (dh, kem) = ephemeral(dice);
    write_ephemeral(&mut noise, &dh, kem.encapsulation_key(), fields.dh, fields.kem);

    noise.mix_key(dh.diffie_hellman(&PublicKey::from(client_dh)).as_bytes());
    noise
        .encrypt_and_hash(&[], fields.mac)
        .map_err(|_| FaceError::Handshake)?;
    wire.write_plain(HANDSHAKE, &out);
    Ok(noise)
}

/// Client reads the relay's message.
fn finish(greeting: Greeting, message: &[u8]) -> Result<Noise, FaceError> {
    let Greeting { mut noise, dh, kem } = greeting;
    let mut reader = Reader::new(message);
    let (ct, relay_dh, relay_kem, mac) = read_message(&mut reader)?;
    noise.mix_hash(&ct);
    noise.mix_key(&*decapsulate(&kem, &ct));
    noise.mix_hash(&relay_dh);
    noise.mix_hash(&relay_kem);
    noise.mix_key(dh.diffie_hellman(&PublicKey::from(relay_dh)).as_bytes());
    noise
        .decrypt_and_hash(&mac, &mut [])
        .map_err(|_| FaceError::Handshake)?;
    Ok(noise)
}

/// The four fields of a handshake message to write.
struct Fields<'a> {
    ct: &'a mut [u8],
    dh: &'a mut [u8],
    kem: &'a mut [u8],
    mac: &'a mut [u8],
}

impl<'a> Fields<'a> {
    fn cut(out: &'a mut [u8]) -> Option<Self> {
        let (ct, out) = out.split_at_mut_checked(CT)?;
        let (dh, out) = out.split_at_mut_checked(DH)?;
        let (kem, mac) = out.split_at_mut_checked(KEM_KEY)?;
        Some(Self { ct, dh, kem, mac })
    }
}

type Message = ([u8; CT], [u8; DH], [u8; KEM_KEY], [u8; MAC]);

fn read_message(reader: &mut Reader<'_>) -> Result<Message, FaceError> {
    let mut read = || Ok((reader.array()?, reader.array()?, reader.array()?, reader.array()?));
    let message = read().map_err(|_: crate::codec::DecodeError| FaceError::Handshake)?;
    if reader.rest().is_empty() {
        Ok(message)
    } else {
        Err(FaceError::Handshake)
    }
}

/// Fresh X25519 and ML-KEM keys.
fn ephemeral(dice: &mut ChaCha20Rng) -> (StaticSecret, DecapsulationKey<MlKem768>) {
    let mut dh = Zeroizing::new([0; DH]);
    dice.fill_bytes(&mut *dh);
    let mut seed = Zeroizing::new([0; 64]);
    dice.fill_bytes(&mut *seed);
    (StaticSecret::from(*dh), DecapsulationKey::from_seed((*seed).into()))
}

fn write_ephemeral(
    noise: &mut Noise,
    dh: &StaticSecret,
    kem: &EncapsulationKey<MlKem768>,
    dh_out: &mut [u8],
    kem_out: &mut [u8],
) {
    dh_out.copy_from_slice(PublicKey::from(dh).as_bytes());
    kem_out.copy_from_slice(&kem.to_bytes());
    noise.mix_hash(dh_out);
    noise.mix_hash(kem_out);
}

type Shared = Zeroizing<[u8; 32]>;

fn encapsulate(key: &[u8; KEM_KEY], dice: &mut ChaCha20Rng) -> Result<([u8; CT], Shared), FaceError> {
    let key = EncapsulationKey::<MlKem768>::new(&(*key).into()).map_err(|_| FaceError::Handshake)?;
    let (ct, shared) = key.encapsulate_with_rng(dice);
    Ok((ct.into(), Zeroizing::new(shared.into())))
}

fn decapsulate(key: &DecapsulationKey<MlKem768>, ct: &[u8; CT]) -> Shared {
    let ct: ml_kem::Ciphertext<MlKem768> = (*ct).into();
    Zeroizing::new(key.decapsulate(&ct).into())
}

#[derive(Clone, Copy)]
enum Side {
    Client,
    Relay,
}

/// Records in both directions: u16 length | body; plain until the handshake is over, sealed after.
#[derive(Default)]
struct Wire {
    input: Vec<u8>,
    output: Vec<u8>,
    /// Records of a message whose last one has not come.
    message: Vec<u8>,
    ciphers: Option<Box<Ciphers>>,
    closed: bool,
}

struct Ciphers {
    sending: CipherState<ChaChaPoly>,
    receiving: CipherState<ChaChaPoly>,
}

impl Wire {
    fn write_plain(&mut self, kind: u8, body: &[u8]) {
        let length = u16::try_from(body.len().saturating_add(1)).unwrap_or(u16::MAX);
        self.output.put(&length.to_be_bytes());
        self.output.push(kind);
        self.output.put(body);
    }

    fn open(&mut self, noise: Noise, side: Side) -> Result<(), FaceError> {
        let both = noise.split().map_err(|_| FaceError::Handshake)?;
        let (up, down) = (both.initiator_to_responder, both.responder_to_initiator);
        let (sending, receiving) = match side {
            Side::Client => (up, down),
            Side::Relay => (down, up),
        };
        self.ciphers = Some(Box::new(Ciphers { sending, receiving }));
        Ok(())
    }

    /// Any error closes for good: nothing that follows on the stream can be trusted to be in order (FACE-6).
    fn receive(
        &mut self,
        bytes: &[u8],
        mut plain: impl FnMut(&mut Self, &[u8]) -> Result<(), FaceError>,
    ) -> Result<Vec<Vec<u8>>, FaceError> {
        if self.closed {
            return Err(FaceError::Closed);
        }
        let result = self.take_records(bytes, &mut plain);
        if result.is_err() {
            self.closed = true;
            self.input = Vec::new();
            self.message = Vec::new();
        }
        result
    }

    /// Handles every record that is whole; what is left is shorter than [`RECORD_BYTES_MAX`].
    fn take_records(
        &mut self,
        bytes: &[u8],
        plain: &mut impl FnMut(&mut Self, &[u8]) -> Result<(), FaceError>,
    ) -> Result<Vec<Vec<u8>>, FaceError> {
        let mut messages = Vec::new();
        let mut input = core::mem::take(&mut self.input);
        input.put(bytes);
        let mut reader = Reader::new(&input);
        while let Some(record) = next_record(&mut reader) {
            if self.ciphers.is_some() {
                messages.extend(self.unseal(record)?);
            } else {
                plain(self, record)?;
            }
        }
        let consumed = input.len().saturating_sub(reader.rest().len());
        input.drain(..consumed);
        self.input = input;
        Ok(messages)
    }

    /// Opens one record; gives the message when it was its last.
    fn unseal(&mut self, record: &[u8]) -> Result<Option<Vec<u8>>, FaceError> {
        let ciphers = self.ciphers.as_mut().ok_or(FaceError::NotOpen)?;
        let size = record.len().checked_sub(MAC).ok_or(FaceError::Record)?;
        let mut chunk = vec![0; size];
        ciphers
            .receiving
            .decrypt_with_ad(&[], record, &mut chunk)
            .map_err(|_| FaceError::Record)?;
        let (more, chunk) = chunk.split_first().ok_or(FaceError::Record)?;
        if self.message.len().saturating_add(chunk.len()) > MESSAGE_BYTES_MAX {
            return Err(FaceError::TooLong);
        }
        self.message.put(chunk);
        match *more {
            LAST => Ok(Some(core::mem::take(&mut self.message))),
            MORE if !chunk.is_empty() => Ok(None),
            _ => Err(FaceError::Record),
        }
    }

    fn send(&mut self, message: &[u8]) -> Result<(), FaceError> {
        if self.closed {
            return Err(FaceError::Closed);
        }
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(FaceError::TooLong);
        }
        let mut rest = message;
        while rest.len() > CHUNK_MAX {
            let (chunk, after) = rest.split_at_checked(CHUNK_MAX).ok_or(FaceError::TooLong)?;
            self.seal(MORE, chunk)?;
            rest = after;
        }
        self.seal(LAST, rest)
    }

    fn seal(&mut self, more: u8, chunk: &[u8]) -> Result<(), FaceError> {
        let ciphers = self.ciphers.as_mut().ok_or(FaceError::NotOpen)?;
        let plain_len = chunk.len().saturating_add(1);
        let mut record = vec![more];
        record.put(chunk);
        record.resize(plain_len.saturating_add(MAC), 0);
        let sealed = ciphers.sending.encrypt_with_ad_in_place(&[], &mut record, plain_len);
        sealed.map_err(|_| FaceError::Exhausted)?;
        let length = u16::try_from(record.len()).map_err(|_| FaceError::TooLong)?;
        self.output.put(&length.to_be_bytes());
        self.output.put(&record);
        Ok(())
    }
}

fn next_record<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let mut ahead = *reader;
    let length = ahead.u16().ok()?;
    let record = ahead.take(usize::from(length)).ok()?;
    *reader = ahead;
    Some(record)
}

#[cfg(test)]
mod tests;
