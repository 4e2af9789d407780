//! What is kept of a certificate by ACME in the data folder, so that a kill at any moment leaves something to go on from.
//!
//! Each file is written whole or not at all, for its owner only. The account's key is written before the directory hears
//! of it, an order and the key of its certificate before it is asked to issue: no kill makes a second account, and none
//! loses a certificate that was issued (ACM-4).

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::failure::{Failed, Failure};
use crate::home::write_durably;
use crate::store::disk::make_folder;

const FOLDER: &str = "acme";
const KEY: &str = "account.key";
const ACCOUNT: &str = "account.json";
const ORDER: &str = "order.json";
const CERTIFICATE: &str = "certificate.json";
const LAST: &str = "last.json";
/// Largest file that is read: a chain is some kilobytes.
const FILE_BYTES_MAX: u64 = 256 << 10;
/// How long a start after a failure waits at most, where the directory did not ask for a pause itself.
const RESTART_S: u64 = 900;

/// Every file of these, from the data folder, and what it is.
pub const FILES: &[(&str, &str)] = &[
    (
        "acme/account.key",
        "the private key of its account at the certificate's directory",
    ),
    (
        "acme/account.json",
        "that account: the directory, its number there, the contact",
    ),
    (
        "acme/order.json",
        "a certificate that is asked for, and its private key",
    ),
    (
        "acme/certificate.json",
        "the certificate, its private key, and for whom it is",
    ),
    ("acme/last.json", "how the last attempt to get a certificate went"),
];

/// The files below a data folder.
#[derive(Clone, Debug)]
pub(crate) struct Kept(PathBuf);

/// An account at a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) directory: String,
    /// Its URL there.
    pub(crate) id: String,
    pub(crate) contact: Option<String>,
}

/// A certificate that is asked for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) directory: String,
    pub(crate) subject: String,
    /// Its URL there.
    pub(crate) url: String,
    /// The private key of the certificate that it is to become, as PEM.
    #[serde(with = "wiped")]
    pub(crate) key: Zeroizing<String>,
}

/// A certificate with its key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Certificate {
    pub(crate) directory: String,
    /// The chain, its own first, as PEM.
    pub(crate) chain: String,
    /// As PEM.
    #[serde(with = "wiped")]
    pub(crate) key: Zeroizing<String>,
}

/// A secret text in a file, wiped when it is dropped.
mod wiped {
    use serde::{Deserialize, Deserializer, Serializer};
    use zeroize::Zeroizing;

    pub(super) fn serialize<S: Serializer>(text: &Zeroizing<String>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Zeroizing<String>, D::Error> {
        String::deserialize(from).map(Zeroizing::new)
    }
}

/// How the last attempt went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Last {
    /// When it was, in Unix seconds.
    pub(crate) at_s: u64,
    /// Failures in a row; none where it went well.
    pub(crate) failures: u32,
    pub(crate) why: Option<Failure>,
    /// What the directory said, for its operator's eyes.
    pub(crate) detail: Option<String>,
    /// Before then it is not tried again.
    pub(crate) not_before_s: u64,
    /// The directory itself asked for that.
    pub(crate) was_asked: bool,
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Order(..)")
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate(..)")
    }
}

impl Last {
    pub(crate) fn good(now_s: u64) -> Self {
        Self {
            at_s: now_s,
            ..Self::default()
        }
    }

    /// The next one, after another failure.
    pub(crate) fn after(&self, failed: &Failed, now_s: u64, dice: u32) -> Self {
        let failures = self.failures.saturating_add(1);
        Self {
            at_s: now_s,
            failures,
            why: Some(failed.why),
            detail: failed.detail.clone(),
            not_before_s: now_s.saturating_add(failed.pause(failures, dice).as_secs()),
            was_asked: failed.patience.is_some() || failed.why == Failure::RateLimited,
        }
    }

    /// When the next attempt may be. A start makes a long pause shorter, for whoever has put something right; one that the
    /// directory asked for stays (ACM-6). What a clock that stood wrong wrote into the future does not count.
    pub(crate) fn not_before_s(&self, started_s: u64) -> u64 {
        let is_of_the_future = self.at_s > started_s.max(super::now_s());
        let began_anew = started_s > self.at_s && !self.was_asked;
        match (is_of_the_future, began_anew) {
            (true, _) => 0,
            (false, true) => self.not_before_s.min(self.at_s.saturating_add(RESTART_S)),
            (false, false) => self.not_before_s,
        }
    }
}

impl Kept {
    pub(crate) fn at(data: &Path) -> Self {
        Self(data.join(FOLDER))
    }

    /// The account's private key (PKCS #8), made by `make` where there is none.
    pub(crate) fn key<E: From<Failure>>(
        &self,
        make: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Zeroizing<Vec<u8>>, E> {
        let file = self.0.join(KEY);
        match fs::read(&file) {
            Ok(key) => return Ok(Zeroizing::new(key)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => return Err(Failure::Disk.into()),
        }
        let key = Zeroizing::new(make()?);
        self.write(KEY, &key).map_err(|_| Failure::Disk)?;
        Ok(key)
    }

    pub(crate) fn account(&self) -> Option<Account> {
        self.read(ACCOUNT)
    }

    pub(crate) fn keep_account(&self, account: &Account) -> io::Result<()> {
        self.write_json(ACCOUNT, account)
    }

    pub(crate) fn forget_account(&self) {
        self.remove(ACCOUNT);
    }

    pub(crate) fn order(&self) -> Option<Order> {
        self.read(ORDER)
    }

    pub(crate) fn keep_order(&self, order: &Order) -> io::Result<()> {
        self.write_json(ORDER, order)
    }

    pub(crate) fn forget_order(&self) {
        self.remove(ORDER);
    }

    pub(crate) fn certificate(&self) -> Option<Certificate> {
        self.read(CERTIFICATE)
    }

    pub(crate) fn keep_certificate(&self, certificate: &Certificate) -> io::Result<()> {
        self.write_json(CERTIFICATE, certificate)
    }

    /// How the last attempt went; as if there had been none where nothing says.
    pub(crate) fn last(&self) -> Last {
        self.read(LAST).unwrap_or_default()
    }

    pub(crate) fn keep_last(&self, last: &Last) -> io::Result<()> {
        self.write_json(LAST, last)
    }

    /// A file that is damaged is as good as none: everything here can be had again.
    fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let file = self.0.join(name);
        if fs::metadata(&file).ok()?.len() > FILE_BYTES_MAX {
            return None;
        }
        let bytes = Zeroizing::new(fs::read(file).ok()?);
        serde_json::from_slice(&bytes).ok()
    }

    fn write_json(&self, name: &str, value: &impl Serialize) -> io::Result<()> {
        let bytes = Zeroizing::new(serde_json::to_vec_pretty(value).map_err(io::Error::other)?);
        self.write(name, &bytes)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        make_folder(&self.0)?;
        write_durably(&self.0, &self.0.join(name), bytes)
    }

    /// One that is not there is gone already.
    fn remove(&self, name: &str) {
        let _ = fs::remove_file(self.0.join(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_makes_a_pause_shorter_but_none_that_was_asked_for_acm_6() {
        let failed = Last::default().after(&Failure::NotHere.into(), 1000, u32::MAX);
        assert_eq!((failed.failures, failed.not_before_s), (1, 1000 + 1800));
        assert_eq!(failed.not_before_s(900), 2800, "the run that failed waits");
        assert_eq!(failed.not_before_s(1001), 1900, "one that is started after it, less");
        let asked = Last::default().after(&Failure::RateLimited.into(), 1000, 0);
        assert_eq!(asked.not_before_s(1001), 1000 + 3600);
        let again = failed.after(&Failure::NotHere.into(), 3000, 0);
        assert_eq!((again.failures, again.not_before_s), (2, 3000 + 1800));
        assert_eq!(Last::good(3000).not_before_s(1), 0);
        let future = Last {
            at_s: u64::MAX - 5,
            ..failed
        };
        assert_eq!(future.not_before_s(1001), 0, "a clock stood wrong");
    }

    #[cfg(unix)]
    #[test]
    fn its_files_are_its_owners_and_a_damaged_one_is_none_acm_4() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::at(folder.path());
        let made = kept.key::<Failed>(|| Ok(vec![7; 9])).unwrap();
        let again = kept.key::<Failed>(|| panic!("there is one")).unwrap();
        assert_eq!((made.as_slice(), again.as_slice()), (&[7; 9][..], &[7; 9][..]));
        let order = Order {
            directory: "https://a/".into(),
            subject: "b".into(),
            url: "https://a/1".into(),
            key: Zeroizing::new("secret".into()),
        };
        let certificate = Certificate {
            directory: "https://a/".into(),
            chain: "chain".into(),
            key: Zeroizing::new("secret".into()),
        };
        let account = Account {
            directory: "https://a/".into(),
            id: "https://a/2".into(),
            contact: None,
        };
        kept.keep_order(&order).unwrap();
        kept.keep_certificate(&certificate).unwrap();
        kept.keep_account(&account).unwrap();
        kept.keep_last(&Last::good(5)).unwrap();
        assert!(!format!("{order:?}{certificate:?}").contains("secret"));
        assert_eq!((kept.order(), kept.certificate()), (Some(order), Some(certificate)));
        assert_eq!((kept.account(), kept.last()), (Some(account), Last::good(5)));
        for (name, _) in FILES {
            let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        let mode = fs::metadata(folder.path().join(FOLDER)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        fs::write(folder.path().join("acme/order.json"), "{\"url\":").unwrap();
        fs::write(
            folder.path().join("acme/certificate.json"),
            vec![b' '; FILE_BYTES_MAX as usize + 1],
        )
        .unwrap();
        assert_eq!((kept.order(), kept.certificate()), (None, None));
    }
}
