//! Seeded cryptography for OpenMLS: RustCrypto's algorithms, our dice.
//!
//! In: the dice of one step. Out: `OpenMlsRand` and `OpenMlsCrypto` for suite 0x004F and nothing else.
//! Everything random comes from three places: the stream (path secrets, init keys, reuse guards), signature keys
//! (the same stream; Ed25519 signing draws nothing), and HPKE encapsulation. hpke-rs builds its generator itself, with
//! no argument, and OpenMLS calls it from rayon's threads in any order. So that generator is keyed per call, inside the
//! seal: SHA-256(step seed | recipient key | info | aad | plaintext). Order and thread do not matter, and two calls
//! share randomness only if they would produce the same ciphertext anyway. Outside a seal it refuses to be drawn from.
//! Implements MLS-1 of `docs/protocol/07-conversation.md`.

use super::suite;
use hpke_rs::{Hpke, Mode};
use hpke_rs_crypto::types as ht;
use hpke_rs_crypto::{HpkeCrypto, error::Error as HpkeFault};
use hpke_rs_rust_crypto::HpkeRustCrypto as Stock;
use openmls_rust_crypto::RustCrypto;
use openmls_traits::crypto::OpenMlsCrypto;
use openmls_traits::random::OpenMlsRand;
use openmls_traits::types::{
    AeadType, Ciphersuite, CryptoError, ExporterSecret, HashType, HpkeAeadType, HpkeCiphertext, HpkeConfig,
    HpkeKdfType, HpkeKemType, HpkeKeyPair, KemOutput, SignatureScheme,
};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tls_codec::SecretVLBytes;
use zeroize::Zeroize;

thread_local! {
    /// Set only while a seal runs on this thread.
    static SEAL_DICE: RefCell<Option<ChaCha20Rng>> = const { RefCell::new(None) };
}

/// The cryptography of one step.
pub(crate) struct Crypto {
    stock: RustCrypto,
    stream: Mutex<ChaCha20Rng>,
    seal_seed: [u8; 32],
}

impl Crypto {
    pub(crate) fn new(mut dice: ChaCha20Rng) -> Self {
        let mut seal_seed = [0; 32];
        dice.fill_bytes(&mut seal_seed);
        Self {
            stock: RustCrypto::default(),
            stream: Mutex::new(dice),
            seal_seed,
        }
    }

    pub(crate) fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut out = [0; N];
        self.stream().fill_bytes(&mut out);
        out
    }

    /// HPKE with a pre-shared key (RFC 9180 §5.1.2), for claims: (encapsulated key, ciphertext).
    pub(crate) fn seal_psk(
        &self,
        public: &[u8],
        info: &[u8],
        plain: &[u8],
        psk: &[u8],
        psk_id: &[u8],
    ) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
        self.seal_with([public, info, psk_id, plain], || {
            hpke(Mode::Psk)
                .seal(&public.into(), info, &[], plain, Some(psk), Some(psk_id), None)
                .map_err(|_| CryptoError::CryptoLibraryError)
        })
    }

    fn stream(&self) -> MutexGuard<'_, ChaCha20Rng> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seal_with<T>(&self, parts: [&[u8]; 4], seal: impl FnOnce() -> T) -> T {
        let mut hash = Sha256::new_with_prefix(self.seal_seed);
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        SEAL_DICE.set(Some(ChaCha20Rng::from_seed(hash.finalize().into())));
        let out = seal();
        SEAL_DICE.set(None);
        out
    }
}

impl fmt::Debug for Crypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Crypto")
    }
}

impl Drop for Crypto {
    fn drop(&mut self) {
        self.seal_seed.zeroize();
    }
}

/// Opens what [`Crypto::seal_psk`] made.
pub(crate) fn open_psk(
    private: &[u8],
    kem_output: &[u8],
    info: &[u8],
    ciphertext: &[u8],
    psk: &[u8],
    psk_id: &[u8],
) -> Option<Vec<u8>> {
    hpke(Mode::Psk)
        .open(
            kem_output,
            &private.into(),
            info,
            &[],
            ciphertext,
            Some(psk),
            Some(psk_id),
            None,
        )
        .ok()
}

/// An X-Wing key pair from 32 bytes: (private, public).
pub(crate) fn seal_key_pair(seed: &[u8; 32]) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
    let (private, public) = hpke(Mode::Base)
        .derive_key_pair(seed)
        .map_err(|_| CryptoError::CryptoLibraryError)?
        .into_keys();
    Ok((private.as_slice().to_vec(), public.as_slice().to_vec()))
}

fn hpke(mode: Mode) -> Hpke<XWing> {
    Hpke::new(
        mode,
        ht::KemAlgorithm::XWingDraft06,
        ht::KdfAlgorithm::HkdfSha256,
        ht::AeadAlgorithm::Aes128Gcm,
    )
}

fn checked(config: HpkeConfig) -> Result<Hpke<XWing>, CryptoError> {
    match (config.0, config.1, config.2) {
        (HpkeKemType::XWingKemDraft6, HpkeKdfType::HkdfSha256, HpkeAeadType::AesGcm128) => Ok(hpke(Mode::Base)),
        // The suites of RFC 9420 that tests meet other implementations in.
        #[cfg(test)]
        (HpkeKemType::DhKem25519, HpkeKdfType::HkdfSha256, aead) => super::second::hpke(aead),
        _other_suites => Err(CryptoError::UnsupportedCiphersuite),
    }
}

/// The generator hpke-rs draws from. Empty outside a seal: a draw then fails instead of being predictable.
pub(crate) struct SealDice(Option<ChaCha20Rng>);

/// Drawn outside a seal.
#[derive(Debug, thiserror::Error)]
#[error("dice drawn outside a seal")]
pub(crate) struct NoDice;

impl rand_core::TryRng for SealDice {
    type Error = core::convert::Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(self.inside().next_u32())
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(self.inside().next_u64())
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        self.inside().fill_bytes(out);
        Ok(())
    }
}
impl rand_core::TryCryptoRng for SealDice {}
impl SealDice {
    fn inside(&mut self) -> &mut ChaCha20Rng {
        self.0
            .as_mut()
            .expect("hpke-rs draws only while it encapsulates, which happens only in seal_with")
    }
}
impl Zeroize for SealDice {
    fn zeroize(&mut self) {
        self.0 = None;
    }
}
impl hpke_rs_crypto::HpkeTestRng for SealDice {
    type Error = fmt::Error;
    fn try_fill_test_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        self.inside().fill_bytes(out);
        Ok(())
    }
    fn seed(&mut self, _: &[u8]) {}
}

/// X-Wing; everything but the dice is the stock RustCrypto implementation.
#[derive(Debug)]
pub(crate) struct XWing;

impl HpkeCrypto for XWing {
    type HpkePrng = SealDice;

    fn name() -> String {
        "stonechat".into()
    }
    fn prng() -> SealDice {
        SealDice(SEAL_DICE.with_borrow_mut(|dice| {
            dice.as_mut().map(|dice| {
                let mut seed = [0; 32];
                dice.fill_bytes(&mut seed);
                ChaCha20Rng::from_seed(seed)
            })
        }))
    }
    fn kem_encaps(alg: ht::KemAlgorithm, public: &[u8], dice: &mut SealDice) -> Result<(Vec<u8>, Vec<u8>), HpkeFault> {
        use x_wing::{Encapsulate, TryKeyInit};
        if alg != ht::KemAlgorithm::XWingDraft06 {
            return Err(HpkeFault::UnknownKemAlgorithm);
        }
        let key = x_wing::EncapsulationKey::new_from_slice(public).map_err(|_| HpkeFault::KemInvalidPublicKey)?;
        let (ciphertext, secret) = key.encapsulate_with_rng(dice);
        Ok((secret.as_slice().to_vec(), ciphertext.as_slice().to_vec()))
    }
    fn kem_key_gen(alg: ht::KemAlgorithm, dice: &mut SealDice) -> Result<(Vec<u8>, Vec<u8>), HpkeFault> {
        let mut seed = [0; 32];
        dice.inside().fill_bytes(&mut seed);
        Stock::kem_key_gen_derand(alg, &seed)
    }
    fn supports_kdf(a: ht::KdfAlgorithm) -> Result<(), HpkeFault> {
        Stock::supports_kdf(a)
    }
    fn supports_kem(a: ht::KemAlgorithm) -> Result<(), HpkeFault> {
        Stock::supports_kem(a)
    }
    fn supports_aead(a: ht::AeadAlgorithm) -> Result<(), HpkeFault> {
        Stock::supports_aead(a)
    }
    fn kdf_extract(a: ht::KdfAlgorithm, salt: &[u8], ikm: &[u8]) -> Result<Vec<u8>, HpkeFault> {
        Stock::kdf_extract(a, salt, ikm)
    }
    fn kdf_expand(a: ht::KdfAlgorithm, prk: &[u8], info: &[u8], n: usize) -> Result<Vec<u8>, HpkeFault> {
        Stock::kdf_expand(a, prk, info, n)
    }
    fn dh(a: ht::KemAlgorithm, public: &[u8], private: &[u8]) -> Result<Vec<u8>, HpkeFault> {
        Stock::dh(a, public, private)
    }
    fn secret_to_public(a: ht::KemAlgorithm, private: &[u8]) -> Result<Vec<u8>, HpkeFault> {
        Stock::secret_to_public(a, private)
    }
    fn kem_key_gen_derand(a: ht::KemAlgorithm, seed: &[u8]) -> Result<(Vec<u8>, Vec<u8>), HpkeFault> {
        Stock::kem_key_gen_derand(a, seed)
    }
    fn kem_decaps(a: ht::KemAlgorithm, ciphertext: &[u8], private: &[u8]) -> Result<Vec<u8>, HpkeFault> {
        Stock::kem_decaps(a, ciphertext, private)
    }
    fn dh_validate_sk(a: ht::KemAlgorithm, private: &[u8]) -> Result<Vec<u8>, HpkeFault> {
        Stock::dh_validate_sk(a, private)
    }
    fn aead_seal(a: ht::AeadAlgorithm, k: &[u8], n: &[u8], aad: &[u8], m: &[u8]) -> Result<Vec<u8>, HpkeFault> {
        Stock::aead_seal(a, k, n, aad, m)
    }
    fn aead_open(a: ht::AeadAlgorithm, k: &[u8], n: &[u8], aad: &[u8], m: &[u8]) -> Result<Vec<u8>, HpkeFault> {
        Stock::aead_open(a, k, n, aad, m)
    }
}

impl OpenMlsRand for Crypto {
    type Error = NoDice;
    fn random_array<const N: usize>(&self) -> Result<[u8; N], NoDice> {
        Ok(self.bytes())
    }
    fn random_vec(&self, len: usize) -> Result<Vec<u8>, NoDice> {
        let mut out = vec![0; len];
        self.stream().fill_bytes(&mut out);
        Ok(out)
    }
}

impl OpenMlsCrypto for Crypto {
    fn supports(&self, asked: Ciphersuite) -> Result<(), CryptoError> {
        if asked == suite() {
            Ok(())
        } else {
            Err(CryptoError::UnsupportedCiphersuite)
        }
    }
    fn supported_ciphersuites(&self) -> Vec<Ciphersuite> {
        vec![suite()]
    }
    fn hkdf_extract(&self, h: HashType, salt: &[u8], ikm: &[u8]) -> Result<SecretVLBytes, CryptoError> {
        self.stock.hkdf_extract(h, salt, ikm)
    }
    fn hmac(&self, h: HashType, key: &[u8], m: &[u8]) -> Result<SecretVLBytes, CryptoError> {
        self.stock.hmac(h, key, m)
    }
    fn hkdf_expand(&self, h: HashType, prk: &[u8], info: &[u8], n: usize) -> Result<SecretVLBytes, CryptoError> {
        self.stock.hkdf_expand(h, prk, info, n)
    }
    fn hash(&self, h: HashType, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.stock.hash(h, data)
    }
    fn aead_encrypt(&self, a: AeadType, k: &[u8], m: &[u8], n: &[u8], aad: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.stock.aead_encrypt(a, k, m, n, aad)
    }
    fn aead_decrypt(&self, a: AeadType, k: &[u8], c: &[u8], n: &[u8], aad: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.stock.aead_decrypt(a, k, c, n, aad)
    }
    fn signature_key_gen(&self, scheme: SignatureScheme) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
        if scheme != SignatureScheme::ED25519 {
            return Err(CryptoError::UnsupportedSignatureScheme);
        }
        let key = ed25519_dalek::SigningKey::from_bytes(&self.bytes());
        Ok((key.to_bytes().to_vec(), key.verifying_key().to_bytes().to_vec()))
    }
    fn verify_signature(&self, a: SignatureScheme, m: &[u8], public: &[u8], s: &[u8]) -> Result<(), CryptoError> {
        self.stock.verify_signature(a, m, public, s)
    }
    fn sign(&self, a: SignatureScheme, m: &[u8], private: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.stock.sign(a, m, private)
    }
    fn hpke_seal(
        &self,
        config: HpkeConfig,
        public: &[u8],
        info: &[u8],
        aad: &[u8],
        m: &[u8],
    ) -> Result<HpkeCiphertext, CryptoError> {
        // `checked` builds hpke-rs's generator, so it is called inside, where that is the keyed one.
        let (kem_output, ciphertext) = self.seal_with([public, info, aad, m], || {
            checked(config)?
                .seal(&public.into(), info, aad, m, None, None, None)
                .map_err(|_| CryptoError::CryptoLibraryError)
        })?;
        Ok(HpkeCiphertext {
            kem_output: kem_output.into(),
            ciphertext: ciphertext.into(),
        })
    }
    fn hpke_open(
        &self,
        config: HpkeConfig,
        input: &HpkeCiphertext,
        private: &[u8],
        info: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        checked(config)?
            .open(
                input.kem_output.as_slice(),
                &private.into(),
                info,
                aad,
                input.ciphertext.as_slice(),
                None,
                None,
                None,
            )
            .map_err(|_| CryptoError::HpkeDecryptionError)
    }
    fn hpke_setup_sender_and_export(
        &self,
        _: HpkeConfig,
        _: &[u8],
        _: &[u8],
        _: &[u8],
        _: usize,
    ) -> Result<(KemOutput, ExporterSecret), CryptoError> {
        Err(CryptoError::SenderSetupError) // external commits are off
    }
    fn hpke_setup_receiver_and_export(
        &self,
        _: HpkeConfig,
        _: &[u8],
        _: &[u8],
        _: &[u8],
        _: &[u8],
        _: usize,
    ) -> Result<ExporterSecret, CryptoError> {
        Err(CryptoError::ReceiverSetupError)
    }
    fn derive_hpke_keypair(&self, config: HpkeConfig, ikm: &[u8]) -> Result<HpkeKeyPair, CryptoError> {
        let (private, public) = checked(config)?
            .derive_key_pair(ikm)
            .map_err(|_| CryptoError::CryptoLibraryError)?
            .into_keys();
        Ok(HpkeKeyPair {
            private: private.as_slice().to_vec().into(),
            public: public.as_slice().to_vec(),
        })
    }
}
