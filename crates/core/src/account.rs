//! The account: a root seed on paper, the keys that come from it, and this device's place in it.
//!
//! In: a seed or its recovery words, dice for the device. Out: [`Account`], its id and signatures, its row in the
//! database. Cards and claims are `meeting`'s job. Specified in `docs/protocol/06-account.md` (ACC-*).
//! Invariant: secrets are wiped from memory when dropped and never printed.

use std::fmt;

use bip39::{Language, Mnemonic};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use hkdf::Hkdf;
use ml_dsa::{Keypair as _, MlDsa65};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sha2::{Digest as _, Sha256};
use stonechat_wire::capsule::CapsuleRoot;
use stonechat_wire::card::{DeviceChange, DeviceEntry, DeviceLog, DeviceLogEntry, LOG_ENTRIES_MAX};
use stonechat_wire::ids::{AccountId, DeviceId, Timestamp};
use zeroize::{Zeroize as _, Zeroizing};

use crate::Dice;
use crate::safety::Person;
use crate::store::StoreError;

pub use stonechat_wire::card::account_id;

const ED25519_LABEL: &[u8] = b"stonechat/account/1/ed25519";
const MLDSA_LABEL: &[u8] = b"stonechat/account/1/ml-dsa-65";
const CAPSULE_LABEL: &[u8] = b"stonechat/capsule/1";
const DEVICE_LABEL: &[u8] = b"stonechat/device/1";
/// Words that carry a seed of 32 bytes.
pub const WORD_COUNT: usize = 24;
/// Spoken words of an invitation are the same list's.
const WORD_LIST: Language = Language::English;

/// 32 bytes that everything of an account comes from. Whoever has them is the account.
#[derive(Clone)]
pub struct RootSeed(Zeroizing<[u8; 32]>);

/// What comes from a seed: the signing key, and what the account id commits to (ACC-2).
pub struct Keys {
    signing: SigningKey,
    mldsa_hash: [u8; 32],
}

/// An account on this device. Only its home device holds the seed, and what signs for the account (ACC-6).
pub struct Account {
    home: Option<(RootSeed, SigningKey)>,
    ed25519: [u8; 32],
    mldsa_hash: [u8; 32],
    name: String,
    device: Device,
    log: DeviceLog,
    restored: bool,
}

/// This device's key.
struct Device {
    id: DeviceId,
    key: SigningKey,
}

/// Where a seed comes from.
#[derive(Debug)]
pub enum Origin {
    /// A new account.
    Fresh,
    /// Recovery words.
    Restored(RootSeed),
}

/// What is wrong with recovery words; all are [`crate::api::Fault::BadWords`] to the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WordsError {
    /// Not 24.
    #[error("{0} words instead of 24")]
    Count(usize),
    /// The word at this place, from 0, is not in the list.
    #[error("word {0} is not a recovery word")]
    Unknown(usize),
    /// All are in the list, but not together: a word was exchanged.
    #[error("the words do not fit together")]
    Checksum,
}

/// A device log that is not what the account signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// No device.
    #[error("the device log is empty")]
    Empty,
    /// An entry does not follow the one before.
    #[error("the device log is not a chain")]
    NotAChain,
    /// A signature, or the account's key itself, is wrong.
    #[error("the device log is not signed by its account")]
    NotSigned,
    /// A device does not carry the name that its key gives it.
    #[error("a device has another's name")]
    WrongDevice,
}

impl RootSeed {
    /// Wraps 32 secret bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads recovery words, however they are spaced and written (ACC-1).
    ///
    /// Errors: [`WordsError`].
    pub fn from_words(typed: &str) -> Result<Self, WordsError> {
        let words = Zeroizing::new(typed.to_lowercase());
        let words = Zeroizing::new(words.split_whitespace().collect::<Vec<_>>().join(" "));
        let count = words.split_whitespace().count();
        if count != WORD_COUNT {
            return Err(WordsError::Count(count));
        }
        let mnemonic = Mnemonic::parse_in_normalized(WORD_LIST, &words).map_err(|error| match error {
            bip39::Error::UnknownWord(place) => WordsError::Unknown(place),
            _ => WordsError::Checksum,
        })?;
        let (mut entropy, _) = mnemonic.to_entropy_array();
        let seed = entropy.first_chunk().copied().map(Self::from_bytes);
        entropy.zeroize();
        seed.ok_or(WordsError::Checksum)
    }

    /// The 24 words to write down.
    #[must_use]
    pub fn to_words(&self) -> Vec<String> {
        let mnemonic = Mnemonic::from_entropy_in(WORD_LIST, &*self.0).expect("32 bytes make 24 words");
        mnemonic.words().map(str::to_owned).collect()
    }

    fn derive(&self, label: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        let done = Hkdf::<Sha256>::new(None, &*self.0).expand(label, &mut *key);
        done.expect("32 bytes are far below HKDF's limit");
        key
    }

    fn signing_key(&self) -> SigningKey {
        SigningKey::from_bytes(&self.derive(ED25519_LABEL))
    }
}

impl Keys {
    /// Derives them; making the ML-DSA-65 key takes about a millisecond.
    #[must_use]
    pub fn of(seed: &RootSeed) -> Self {
        let mldsa = ml_dsa::SigningKey::<MlDsa65>::from_seed(&(*seed.derive(MLDSA_LABEL)).into());
        let mldsa_hash = Sha256::digest(mldsa.verifying_key().encode()).into();
        Self {
            signing: seed.signing_key(),
            mldsa_hash,
        }
    }

    /// The key that the account's signatures are checked with.
    #[must_use]
    pub fn ed25519_public(&self) -> [u8; 32] {
        self.signing.verifying_key().to_bytes()
    }

    /// SHA-256 of the ML-DSA-65 public key, which signs nothing yet.
    #[must_use]
    pub const fn mldsa_hash(&self) -> &[u8; 32] {
        &self.mldsa_hash
    }

    /// The account id: commits to both (CARD-2).
    #[must_use]
    pub fn id(&self) -> AccountId {
        account_id(&self.ed25519_public(), &self.mldsa_hash)
    }
}

impl Account {
    /// Makes an account and its first device, and keeps both: the one row of table `account`.
    ///
    /// Whether there may be one is for the caller to ask. Errors: the database's own.
    pub fn found(
        db: &Connection,
        origin: Origin,
        name: &str,
        now: Timestamp,
        dice: &mut Dice,
    ) -> Result<Self, StoreError> {
        let restored = matches!(origin, Origin::Restored(_));
        let seed = match origin {
            Origin::Fresh => RootSeed::from_bytes(dice.bytes()),
            Origin::Restored(seed) => seed,
        };
        let device = Device::from_seed(&Zeroizing::new(dice.bytes()));
        let keys = Keys::of(&seed);
        let log = DeviceLog {
            entries: vec![next_entry(
                &keys.signing,
                &DeviceLog::default(),
                DeviceChange::Added,
                &device.key.verifying_key().to_bytes(),
                now,
            )],
        };
        let account = Self {
            ed25519: keys.ed25519_public(),
            mldsa_hash: *keys.mldsa_hash(),
            home: Some((seed, keys.signing)),
            name: name.to_owned(),
            device,
            log,
            restored,
        };
        account.insert(db, now)?;
        Ok(account)
    }

    /// Keeps an account whose home is another device: this one was linked (LNK-6). Its log, checked, has this device.
    pub(crate) fn linked(
        db: &Connection,
        (ed25519, mldsa_hash): ([u8; 32], [u8; 32]),
        name: &str,
        device_key: &[u8; 32],
        log: DeviceLog,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let account = Self {
            home: None,
            ed25519,
            mldsa_hash,
            name: name.to_owned(),
            device: Device::from_seed(device_key),
            log,
            restored: false,
        };
        account.insert(db, now)?;
        Ok(account)
    }

    fn insert(&self, db: &Connection, now: Timestamp) -> Result<(), StoreError> {
        db.execute(
            "INSERT INTO account(one, account, ed25519, mldsa_hash, seed, name, device, device_key, device_log, restored,
                                 created_at)
             VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                self.id().as_bytes(),
                self.ed25519,
                self.mldsa_hash,
                self.home.as_ref().map(|(seed, _)| *seed.0),
                self.name,
                self.device.id.as_bytes(),
                self.device.key.as_bytes(),
                self.log.encode(),
                self.restored,
                now.0.cast_signed(),
            ],
        )?;
        Ok(())
    }

    /// Who this is.
    #[must_use]
    pub fn id(&self) -> AccountId {
        account_id(&self.ed25519, &self.mldsa_hash)
    }

    /// The key that the account's signatures are checked with.
    #[must_use]
    pub const fn ed25519_public(&self) -> [u8; 32] {
        self.ed25519
    }

    /// SHA-256 of the ML-DSA-65 public key.
    #[must_use]
    pub const fn mldsa_hash(&self) -> &[u8; 32] {
        &self.mldsa_hash
    }

    /// This device holds what signs for the account (ACC-6).
    #[must_use]
    pub const fn is_home(&self) -> bool {
        self.home.is_some()
    }

    /// Signs as the account, Ed25519; nothing where that is another device's to do.
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> Option<[u8; 64]> {
        let (_, signing) = self.home.as_ref()?;
        Some(signing.sign(bytes).to_bytes())
    }

    /// What the person calls themselves.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The words to write down, on the home device.
    #[must_use]
    pub fn words(&self) -> Option<Vec<String>> {
        self.home.as_ref().map(|(seed, _)| seed.to_words())
    }

    /// This device.
    #[must_use]
    pub const fn device(&self) -> DeviceId {
        self.device.id
    }

    /// The key of this device; binds its leaf keys.
    #[must_use]
    pub const fn device_key(&self) -> &SigningKey {
        &self.device.key
    }

    /// All devices, signed (ACC-4).
    #[must_use]
    pub const fn device_log(&self) -> &DeviceLog {
        &self.log
    }

    /// Continues the log that came back with the words: this device is added, all before it are revoked (CAP-7).
    ///
    /// Errors: the database's own. Out: false where the log is not of this account, or full.
    pub(crate) fn continue_log(
        &mut self,
        db: &Connection,
        mut log: DeviceLog,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some((_, signing)) = &self.home else {
            return Ok(false);
        };
        if check_log(&log, &self.ed25519).is_err() || log.entries.len() >= LOG_ENTRIES_MAX {
            return Ok(false);
        }
        let key = self.device.key.verifying_key().to_bytes();
        let entry = next_entry(signing, &log, DeviceChange::Restored, &key, now);
        log.entries.push(entry);
        self.keep_log(db, log)?;
        Ok(true)
    }

    /// Continues the log by what becomes of the device with this key (DEV-1).
    ///
    /// Errors: the database's own. Out: false where this is not the home device, or the log is full.
    pub(crate) fn log_device(
        &mut self,
        db: &Connection,
        change: DeviceChange,
        device_ed25519: &[u8; 32],
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some((_, signing)) = &self.home else {
            return Ok(false);
        };
        if self.log.entries.len() >= LOG_ENTRIES_MAX {
            return Ok(false);
        }
        let mut log = self.log.clone();
        log.entries.push(next_entry(signing, &log, change, device_ed25519, now));
        self.keep_log(db, log)?;
        Ok(true)
    }

    /// Keeps a log that continues the one known; the caller has checked that it does.
    pub(crate) fn keep_log(&mut self, db: &Connection, log: DeviceLog) -> Result<(), StoreError> {
        db.execute("UPDATE account SET device_log = ?", [log.encode()])?;
        self.log = log;
        Ok(())
    }

    /// What opens the account's capsule, and where it lies (CAP-1); the home device's only.
    pub(crate) fn capsule_root(&self) -> Option<CapsuleRoot> {
        let (seed, _) = self.home.as_ref()?;
        Some(CapsuleRoot::new(*seed.derive(CAPSULE_LABEL)))
    }

    /// It came back from recovery words.
    #[must_use]
    pub const fn restored(&self) -> bool {
        self.restored
    }
}

impl Device {
    /// The device's name is a hash of its key, so that no other can carry it (ACC-4).
    fn from_seed(seed: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(seed);
        Self {
            id: device_id(&key.verifying_key().to_bytes()),
            key,
        }
    }
}

/// The name of the device with this key: SHA-256("stonechat/device/1" | key)[..8] (ACC-4).
#[must_use]
pub fn device_id(ed25519: &[u8; 32]) -> DeviceId {
    let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(
        Sha256::new()
            .chain_update(DEVICE_LABEL)
            .chain_update(ed25519)
            .finalize(),
    );
    DeviceId::from_bytes([a, b, c, d, e, f, g, h])
}

/// The entry that continues a log by what becomes of a device (DEV-1).
fn next_entry(
    account: &SigningKey,
    log: &DeviceLog,
    change: DeviceChange,
    device_ed25519: &[u8; 32],
    now: Timestamp,
) -> DeviceLogEntry {
    let entry = DeviceEntry {
        change,
        device_id: device_id(device_ed25519),
        device_ed25519: *device_ed25519,
        added_at_s: now.seconds(),
    };
    let mut entry = DeviceLogEntry {
        seq: u32::try_from(log.entries.len()).unwrap_or(u32::MAX),
        prev: log.entries.last().map_or([0; 32], DeviceLogEntry::hash),
        entry,
        signature: [0; 64],
    };
    entry.signature = account.sign(&entry.signed_bytes()).to_bytes();
    entry
}

/// Whether a device log is one chain, every entry signed by this account key (ACC-4).
///
/// Errors: [`LogError`]; believe no entry then.
pub fn check_log(log: &DeviceLog, account_ed25519: &[u8; 32]) -> Result<(), LogError> {
    let key = VerifyingKey::from_bytes(account_ed25519).map_err(|_| LogError::NotSigned)?;
    if log.entries.is_empty() {
        return Err(LogError::Empty);
    }
    if !log.is_chained() {
        return Err(LogError::NotAChain);
    }
    log.entries.iter().try_for_each(|entry| check_entry(entry, &key))
}

fn check_entry(entry: &DeviceLogEntry, key: &VerifyingKey) -> Result<(), LogError> {
    let signature = Signature::from_bytes(&entry.signature);
    key.verify_strict(&entry.signed_bytes(), &signature)
        .map_err(|_| LogError::NotSigned)?;
    if entry.entry.device_id == device_id(&entry.entry.device_ed25519) {
        Ok(())
    } else {
        Err(LogError::WrongDevice)
    }
}

/// The account on this device, where there is one.
///
/// The ML-DSA-65 key is not made again: what the account id commits to stands in the row. Errors: the database's own.
pub fn load(db: &Connection) -> Result<Option<Account>, StoreError> {
    let sql = "SELECT seed, name, device_key, device_log, restored, ed25519, mldsa_hash FROM account";
    let mut statement = db.prepare_cached(sql)?;
    Ok(statement.query_row([], account_row).optional()?)
}

fn account_row(row: &Row<'_>) -> rusqlite::Result<Account> {
    let seed = row.get::<_, Option<[u8; 32]>>(0)?.map(RootSeed::from_bytes);
    let log = DeviceLog::decode(row.get_ref(3)?.as_blob()?);
    Ok(Account {
        home: seed.map(|seed| {
            let signing = seed.signing_key();
            (seed, signing)
        }),
        ed25519: row.get(5)?,
        mldsa_hash: row.get(6)?,
        name: row.get(1)?,
        device: Device::from_seed(&Zeroizing::new(row.get(2)?)),
        log: log.map_err(|_| rusqlite::Error::IntegralValueOutOfRange(3, 0))?,
        restored: row.get(4)?,
    })
}

/// There is an account, and its words are here (ACC-6).
pub(crate) fn is_home(db: &Connection) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM account WHERE seed IS NOT NULL";
    Ok(db.prepare_cached(sql)?.exists([])?)
}

/// The public side of the account, for safety numbers.
pub(crate) fn load_public(db: &Connection) -> Result<Option<Person>, StoreError> {
    let mut statement = db.prepare_cached("SELECT account, ed25519 FROM account")?;
    let person = statement.query_row([], |row| {
        Ok(Person {
            account: row.get::<_, [u8; 32]>(0)?.into(),
            ed25519: row.get(1)?,
        })
    });
    Ok(person.optional()?)
}

/// The word of the list that two bytes name: their lowest 11 bits.
#[must_use]
pub fn word(pair: [u8; 2]) -> &'static str {
    let list = WORD_LIST.word_list();
    let place = usize::from(u16::from_be_bytes(pair)) % list.len().max(1);
    list.get(place).copied().unwrap_or_default()
}

/// Three words to say by phone: 33 bits of `dice`, from the list of recovery words (ACC-5).
#[must_use]
pub fn spoken_words(dice: [u8; 6]) -> String {
    let list = WORD_LIST.word_list();
    let (numbers, _) = dice.as_chunks::<2>();
    let places = numbers
        .iter()
        .map(|pair| usize::from(u16::from_be_bytes(*pair)) % list.len());
    places
        .filter_map(|place| list.get(place).copied())
        .collect::<Vec<_>>()
        .join(" ")
}

impl fmt::Debug for RootSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootSeed(..)")
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(..)")
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
