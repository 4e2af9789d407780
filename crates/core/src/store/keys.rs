//! The key file: what opens the database of a home, as it lies on the disk.
//!
//! In: a home, perhaps a passphrase, dice. Out: a [`StoreKey`]. Without a passphrase the file protects from nobody
//! who has the disk. Specified in `docs/protocol/06-account.md` (STO-1, STO-2).
//!
//! File: `"STKY" | version 1 | kind 1 | body | SHA-256(all before)[..8]`, numbers big-endian. Body of kind 0: key 32.
//! Kind 1: memory KiB 4 | passes 4 | lanes 4 | salt 16 | nonce 12 | ChaCha20-Poly1305(key 32), with Argon2id over the
//! passphrase as its key and everything before the nonce as associated data.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use super::files;
use crate::Dice;

/// Name of the key file inside a home.
pub const KEY_FILE: &str = "key";

const MAGIC: &[u8; 4] = b"STKY";
const VERSION: u8 = 1;
const RAW: u8 = 0;
const WRAPPED: u8 = 1;
const CHECK_BYTES: usize = 8;
const FILE_BYTES_MAX: u64 = 256;
/// A damaged or planted file must not make us take all memory.
const COST_MAX: Cost = Cost {
    memory_kib: 1024 * 1024,
    passes: 16,
    lanes: 4,
};

/// 32 random bytes that encrypt the database. Wiped from memory when dropped, never printed.
#[derive(Clone)]
pub struct StoreKey(Zeroizing<[u8; 32]>);

/// What deriving a key from a passphrase costs; it stands in the file, so it may grow later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Memory of Argon2id, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

/// The key file of a home.
#[derive(Clone, Debug)]
pub struct KeyFile {
    path: PathBuf,
}

/// Why a key file did not give its key, or could not be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// There is none: a new profile, or a destroyed one.
    #[error("there is no key file")]
    Missing,
    /// `create` where there is one.
    #[error("there is a key file already")]
    Exists,
    /// A passphrase protects it and none was given.
    #[error("a passphrase is needed")]
    NeedsPassphrase,
    /// The passphrase is not the one.
    #[error("wrong passphrase")]
    WrongPassphrase,
    /// Not a key file, of a newer kind, or damaged.
    #[error("the key file is damaged")]
    Damaged,
    /// No room; the old file is untouched.
    #[error("the disk is full")]
    Full,
    /// The system does not let us.
    #[error("the key file cannot be used: {0}")]
    Io(io::ErrorKind),
}

/// What lies in the file.
enum Kept {
    Raw(StoreKey),
    Wrapped(Wrapped),
}

struct Wrapped {
    cost: Cost,
    salt: [u8; 16],
    nonce: [u8; 12],
    sealed: [u8; 48],
}

impl StoreKey {
    /// Wraps 32 secret bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The statement that gives SQLCipher this key as it is, without deriving another one from it.
    pub(crate) fn pragma(&self) -> Zeroizing<String> {
        let mut hex = Zeroizing::new([0; 64]);
        hex::encode_to_slice(*self.0, &mut *hex).expect("64 hex digits hold 32 bytes");
        let hex = std::str::from_utf8(&*hex).expect("hex digits are ASCII");
        let mut statement = Zeroizing::new(String::with_capacity(96));
        for part in ["PRAGMA key = \"x'", hex, "'\""] {
            statement.push_str(part);
        }
        statement
    }
}

impl Cost {
    /// What a home on a person's machine uses: 64 MiB, 3 passes (STO-2).
    pub const HOME: Self = Self {
        memory_kib: 64 * 1024,
        passes: 3,
        lanes: 1,
    };
    /// For tests and worlds only: protects from nobody.
    pub const TRIVIAL: Self = Self {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };

    const fn is_sane(self) -> bool {
        self.memory_kib <= COST_MAX.memory_kib && self.passes <= COST_MAX.passes && self.lanes <= COST_MAX.lanes
    }
}

impl KeyFile {
    /// The key file of this home, whether it exists or not.
    #[must_use]
    pub fn at(home: &Path) -> Self {
        Self {
            path: home.join(KEY_FILE),
        }
    }

    /// Whether there is one.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.path.exists()
    }

    /// Makes a fresh key and its file, wrapped from the start where a passphrase is given.
    ///
    /// Errors: [`KeyError::Exists`], [`KeyError::Full`], [`KeyError::Io`].
    pub fn create(&self, passphrase: Option<(&str, Cost)>, dice: &mut Dice) -> Result<StoreKey, KeyError> {
        if self.exists() {
            return Err(KeyError::Exists);
        }
        let key = StoreKey::from_bytes(dice.bytes());
        self.write(&key, passphrase, dice)?;
        Ok(key)
    }

    /// Takes the key out. A passphrase given for a file without one is ignored.
    ///
    /// Takes as long as the file's [`Cost`] says. Errors: any but `Exists` and `Full`.
    pub fn open(&self, passphrase: Option<&str>) -> Result<StoreKey, KeyError> {
        match self.read()? {
            Kept::Raw(key) => Ok(key),
            Kept::Wrapped(wrapped) => wrapped.open(passphrase.ok_or(KeyError::NeedsPassphrase)?),
        }
    }

    /// Whether a passphrase protects it.
    ///
    /// Errors: [`KeyError::Missing`], [`KeyError::Damaged`], [`KeyError::Io`].
    pub fn is_passphrase(&self) -> Result<bool, KeyError> {
        Ok(matches!(self.read()?, Kept::Wrapped(_)))
    }

    /// Sets or changes the passphrase. The database's key stays the same, so this takes no time for a big one.
    ///
    /// Errors: as for [`KeyFile::open`] with `old`; [`KeyError::Full`] leaves the old file.
    pub fn set_passphrase(&self, old: Option<&str>, new: &str, cost: Cost, dice: &mut Dice) -> Result<(), KeyError> {
        let key = self.open(old)?;
        self.write(&key, Some((new, cost)), dice)
    }

    /// Removes the passphrase: from now on the file opens by itself.
    ///
    /// Errors: as for [`KeyFile::set_passphrase`].
    pub fn remove_passphrase(&self, old: &str, dice: &mut Dice) -> Result<(), KeyError> {
        let key = self.open(Some(old))?;
        self.write(&key, None, dice)
    }

    /// Overwrites the key, on the disk when this returns, and removes the file (STO-7). A missing file is no error.
    ///
    /// Errors: the system's.
    pub fn destroy(&self) -> io::Result<()> {
        let half = files::destroy(&self.path.with_extension("new"));
        files::destroy(&self.path).and(half)
    }

    fn write(&self, key: &StoreKey, passphrase: Option<(&str, Cost)>, dice: &mut Dice) -> Result<(), KeyError> {
        let kept = match passphrase {
            None => Kept::Raw(key.clone()),
            Some((passphrase, cost)) => Kept::Wrapped(Wrapped::seal(key, passphrase, cost, dice)?),
        };
        Ok(files::replace(&self.path, &kept.encode())?)
    }

    fn read(&self) -> Result<Kept, KeyError> {
        let bytes = Zeroizing::new(files::read_small(&self.path, FILE_BYTES_MAX)?);
        Kept::decode(&bytes).ok_or(KeyError::Damaged)
    }
}

impl Kept {
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(128));
        out.extend_from_slice(MAGIC);
        out.push(VERSION);
        match self {
            Self::Raw(key) => {
                out.push(RAW);
                out.extend_from_slice(&*key.0);
            }
            Self::Wrapped(wrapped) => {
                out.push(WRAPPED);
                out.extend_from_slice(&wrapped.cost_and_salt());
                out.extend_from_slice(&wrapped.nonce);
                out.extend_from_slice(&wrapped.sealed);
            }
        }
        let check = check(&out);
        out.extend_from_slice(&check);
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, found) = bytes.split_at_checked(bytes.len().checked_sub(CHECK_BYTES)?)?;
        let body = body.strip_prefix(MAGIC).filter(|_| check(body) == *found)?;
        match body.strip_prefix(&[VERSION])?.split_first()? {
            (&RAW, key) => Some(Self::Raw(StoreKey::from_bytes(key.try_into().ok()?))),
            (&WRAPPED, rest) => Some(Self::Wrapped(Wrapped::decode(rest)?)),
            _ => None,
        }
    }
}

impl Wrapped {
    fn seal(key: &StoreKey, passphrase: &str, cost: Cost, dice: &mut Dice) -> Result<Self, KeyError> {
        let mut wrapped = Self {
            cost,
            salt: dice.bytes(),
            nonce: dice.bytes(),
            sealed: [0; 48],
        };
        let cipher = wrapped.cipher(passphrase)?;
        let payload = Payload {
            msg: &*key.0,
            aad: &wrapped.cost_and_salt(),
        };
        let sealed = cipher.encrypt(Nonce::from_slice(&wrapped.nonce), payload);
        wrapped.sealed = sealed
            .ok()
            .and_then(|sealed| sealed.try_into().ok())
            .expect("32 bytes become 48");
        Ok(wrapped)
    }

    fn open(&self, passphrase: &str) -> Result<StoreKey, KeyError> {
        let cipher = self.cipher(passphrase)?;
        let payload = Payload {
            msg: &self.sealed,
            aad: &self.cost_and_salt(),
        };
        let opened = cipher
            .decrypt(Nonce::from_slice(&self.nonce), payload)
            .map_err(|_| KeyError::WrongPassphrase)?;
        let opened = Zeroizing::new(opened);
        let key = opened.as_slice().try_into().map_err(|_| KeyError::Damaged)?;
        Ok(StoreKey::from_bytes(key))
    }

    fn cipher(&self, passphrase: &str) -> Result<ChaCha20Poly1305, KeyError> {
        let Cost {
            memory_kib,
            passes,
            lanes,
        } = self.cost;
        let params = Params::new(memory_kib, passes, lanes, Some(32)).map_err(|_| KeyError::Damaged)?;
        let mut derived = Key::default();
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let done = argon.hash_password_into(passphrase.as_bytes(), &self.salt, &mut derived);
        let cipher = ChaCha20Poly1305::new(&derived);
        derived.zeroize();
        done.map(|()| cipher).map_err(|_| KeyError::Damaged)
    }

    fn cost_and_salt(&self) -> [u8; 28] {
        let Cost {
            memory_kib,
            passes,
            lanes,
        } = self.cost;
        let mut out = [0; 28];
        let numbers = [memory_kib, passes, lanes].map(u32::to_be_bytes);
        for (to, from) in out.iter_mut().zip(numbers.as_flattened().iter().chain(&self.salt)) {
            *to = *from;
        }
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (memory_kib, rest) = take_number(bytes)?;
        let (passes, rest) = take_number(rest)?;
        let (lanes, rest) = take_number(rest)?;
        let (salt, rest) = rest.split_first_chunk()?;
        let (nonce, sealed) = rest.split_first_chunk()?;
        let cost = Cost {
            memory_kib,
            passes,
            lanes,
        };
        let wrapped = Self {
            cost,
            salt: *salt,
            nonce: *nonce,
            sealed: sealed.try_into().ok()?,
        };
        cost.is_sane().then_some(wrapped)
    }
}

fn take_number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*number), rest))
}

fn check(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(Sha256::digest(bytes));
    [a, b, c, d, e, f, g, h]
}

impl From<io::Error> for KeyError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::InvalidData => Self::Damaged,
            _ if files::is_full(&error) => Self::Full,
            kind => Self::Io(kind),
        }
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKey(..)")
    }
}

#[cfg(test)]
mod tests;
