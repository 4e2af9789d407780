//! The relay's data folder: its keys, its access secret, and the lock that keeps a second relay out.
//!
//! In: a path. Out: what is in it, made on the first start and kept from then on. Files are readable by their owner
//! only, where the system knows such a thing. The mailboxes' folder beside them is the store's.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use stonechat_wire::face::RelaySecret;
use stonechat_wire::ids::RelayId;
use zeroize::Zeroizing;

use crate::limits::SECRETS_MAX;
use crate::store::disk::{make_folder, own_file, sync_folder};

const LOCK: &str = "lock";
const SEED: &str = "relay.key";
const SECRET: &str = "access.secret";
const MORE_SECRETS: &str = "access.secrets";
/// The file of the relay's settings.
pub const SETTINGS: &str = "relay.toml";
const MAILBOXES: &str = "mailboxes";
const OLD_MAILBOXES: &str = "mailboxes.sqlite";
const TAKEN_OVER: &str = "mailboxes.sqlite.taken-over";

/// Every file of the folder that is not the mailboxes', and what it is.
pub const OWN_FILES: &[(&str, &str)] = &[
    (SEED, "the seed of the relay's private keys"),
    (SECRET, "the access secret that its route carries"),
    (MORE_SECRETS, "further access secrets"),
    (SETTINGS, "its settings"),
    (LOCK, "a lock, always empty"),
    (
        OLD_MAILBOXES,
        "envelopes as the first version kept them, not yet taken over",
    ),
    (
        TAKEN_OVER,
        "envelopes as the first version kept them, long taken over: delete it",
    ),
];

/// An open data folder; nobody else has it until it is dropped.
#[derive(Debug)]
pub struct Home {
    /// The relay's private keys.
    pub keys: RelaySecret,
    /// What a closed relay asks for, and its own route carries.
    pub secret: [u8; 16],
    /// All secrets that let somebody in: that one, and those of the file `access.secrets`, each 32 hex digits a line.
    pub secrets: Vec<[u8; 16]>,
    /// The folder of the mailboxes.
    pub mailboxes: PathBuf,
    /// The file in which the first version had them.
    pub old_mailboxes: PathBuf,
    _lock: File,
}

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HomeError {
    /// Another relay has it.
    #[error("the relay's data folder is in use by another relay")]
    InUse,
    /// A key file with a length that no key has; nothing is written over it.
    #[error("{0} in the relay's data folder is damaged")]
    Damaged(&'static str),
    /// No random bytes to be had.
    #[error("the system gives no random bytes")]
    NoDice,
    /// The disk's own.
    #[error("the relay's data folder cannot be used: {0}")]
    Io(#[from] io::Error),
}

impl Home {
    /// Where a data folder has its mailboxes.
    pub fn mailboxes_in(folder: &Path) -> PathBuf {
        folder.join(MAILBOXES)
    }

    /// Where a relay that runs from a data folder has its log.
    pub fn logs_in(folder: &Path) -> PathBuf {
        folder.join("log")
    }

    /// Whose relay it is and who may use it, also while it runs. Errors: nothing was made here yet, or it is damaged.
    pub fn look(folder: &Path) -> Result<(RelayId, Vec<[u8; 16]>), HomeError> {
        let seed = Zeroizing::new(fs::read(folder.join(SEED))?);
        let seed = Zeroizing::new(<[u8; 32]>::try_from(seed.as_slice()).map_err(|_| HomeError::Damaged(SEED))?);
        let secret = fs::read(folder.join(SECRET))?.try_into();
        let mut secrets = vec![secret.map_err(|_| HomeError::Damaged(SECRET))?];
        secrets.extend(more_secrets(folder)?);
        Ok((RelaySecret::from_seed(&seed).keys().id(), secrets))
    }

    /// Opens the folder, making it, the keys and the secret on the first start.
    pub fn open(folder: &Path) -> Result<Self, HomeError> {
        make_folder(folder)?;
        let lock = own_file(OpenOptions::new().write(true).create(true).truncate(false)).open(folder.join(LOCK))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => HomeError::InUse,
            TryLockError::Error(error) => HomeError::Io(error),
        })?;
        let seed = Zeroizing::new(kept_or_made::<32>(folder, SEED)?);
        let secret = kept_or_made::<16>(folder, SECRET)?;
        let mut secrets = vec![secret];
        secrets.extend(more_secrets(folder)?);
        let (mailboxes, old_mailboxes) = (Self::mailboxes_in(folder), folder.join(OLD_MAILBOXES));
        Ok(Self {
            keys: RelaySecret::from_seed(&seed),
            secret,
            secrets,
            mailboxes,
            old_mailboxes,
            _lock: lock,
        })
    }
}

/// `N` random bytes from the system.
pub(crate) fn dice<const N: usize>() -> Result<[u8; N], HomeError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| HomeError::NoDice)?;
    Ok(bytes)
}

/// Reads a file of random bytes; where there is none, makes it durably first.
fn kept_or_made<const N: usize>(folder: &Path, name: &'static str) -> Result<[u8; N], HomeError> {
    let file = folder.join(name);
    match fs::read(&file) {
        Ok(bytes) => bytes.try_into().map_err(|_| HomeError::Damaged(name)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let bytes = dice::<N>()?;
            write_durably(folder, &file, &bytes)?;
            Ok(bytes)
        }
        Err(error) => Err(error.into()),
    }
}

/// Further secrets, each with a quota of its own: one for each circle of people that somebody lets in.
fn more_secrets(folder: &Path) -> Result<Vec<[u8; 16]>, HomeError> {
    let text = match fs::read_to_string(folder.join(MORE_SECRETS)) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let secret = |line: &str| {
        let is_hex = line.len() == 32 && line.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u128::from_str_radix(line, 16).ok().filter(|_| is_hex);
        number.map(u128::to_be_bytes).ok_or(HomeError::Damaged(MORE_SECRETS))
    };
    let secrets: Vec<[u8; 16]> = lines.map(secret).collect::<Result<_, _>>()?;
    if secrets.len() >= SECRETS_MAX {
        Err(HomeError::Damaged(MORE_SECRETS))
    } else {
        Ok(secrets)
    }
}

/// Writes a file for its owner only, all of it or nothing: a half-written key would be a relay that nobody finds
/// again.
pub fn write_durably(folder: &Path, file: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = file.with_extension("new");
    let mut open = own_file(OpenOptions::new().write(true).create(true).truncate(true)).open(&fresh)?;
    open.write_all(bytes)?;
    open.sync_all()?;
    fs::rename(&fresh, file)?;
    sync_folder(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_secret_are_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep").join("relay");
        let first = Home::open(&path).unwrap();
        let (id, secret) = (first.keys.keys().id(), first.secret);
        drop(first);
        let again = Home::open(&path).unwrap();
        assert_eq!((again.keys.keys().id(), again.secret), (id, secret));
    }

    #[test]
    fn a_second_relay_is_kept_out() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Home::open(folder.path()).unwrap();
        assert!(matches!(Home::open(folder.path()), Err(HomeError::InUse)));
    }

    #[test]
    fn a_damaged_key_is_told_and_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(SEED), b"short").unwrap();
        assert!(matches!(Home::open(folder.path()), Err(HomeError::Damaged(SEED))));
        assert_eq!(fs::read(folder.path().join(SEED)).unwrap(), b"short");
    }

    #[test]
    fn more_secrets_are_read_and_a_damaged_line_is_told_rly_20() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(
            folder.path().join(MORE_SECRETS),
            format!("{}\n\n {} \n", "0a".repeat(16), "FF".repeat(16)),
        )
        .unwrap();
        let home = Home::open(folder.path()).unwrap();
        assert_eq!(home.secrets, [home.secret, [10; 16], [255; 16]]);
        drop(home);
        for bad in [
            "0a",
            &"0g".repeat(16),
            &"+a".repeat(16),
            &format!("{}\n", "0a".repeat(16)).repeat(SECRETS_MAX),
        ] {
            fs::write(folder.path().join(MORE_SECRETS), bad).unwrap();
            assert!(
                matches!(Home::open(folder.path()), Err(HomeError::Damaged(MORE_SECRETS))),
                "{bad}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_reads_the_keys() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay");
        let _home = Home::open(&path).unwrap();
        for (name, mode) in [("", 0o700), (SEED, 0o600), (SECRET, 0o600), (LOCK, 0o600)] {
            let found = fs::metadata(path.join(name)).unwrap().permissions().mode();
            assert_eq!(found & 0o777, mode, "{name}");
        }
    }
}
