//! The messenger with its open database: one input, one transaction.
//!
//! In: an input, the time, dice. Out: core's outputs, released only after the commit. Whatever fails, core forgets what
//! it had cached, so that memory and database agree again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use stonechat_core::api::Fault;
use stonechat_core::store::{self, Cost, KeyError, KeyFile, OpenError, Reader, Store, StoreError};
use stonechat_core::{Core, Dice, Input, Outputs, World};
use stonechat_wire::ids::Timestamp;

/// An open profile.
#[derive(Debug)]
pub(crate) struct Machine {
    store: Store,
    core: Core,
}

/// Why a step did not happen. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StepError {
    /// No room: try the same again later.
    Full,
    /// The database is damaged: close it.
    Broken,
    /// A mistake of the program: this input cannot be taken in.
    Internal,
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => Self::Full,
            StoreError::Broken => Self::Broken,
            other => {
                tracing::error!(%other, "the store refused a step");
                Self::Internal
            }
        }
    }
}

impl From<StepError> for Fault {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Full => Self::DiskFull,
            StepError::Broken => Self::BrokenDatabase,
            StepError::Internal => Self::Internal,
        }
    }
}

impl Machine {
    /// Opens the profile of a home; makes it where there is none, wrapped by the passphrase if one is given.
    ///
    /// Errors: the fault to show.
    pub(crate) fn open(home: &Path, passphrase: Option<&str>, dice: &mut Dice) -> Result<Self, Fault> {
        let file = KeyFile::at(home);
        let has_database = home.join(store::DATABASE).exists();
        if !file.exists() && has_database {
            // Without its key the database is noise: half a wipe, or a lost file.
            return Err(Fault::BrokenDatabase);
        }
        let key = if file.exists() {
            file.open(passphrase)
        } else {
            file.create(passphrase.map(|p| (p, Cost::HOME)), dice)
        };
        let key = key.map_err(fault_of_key)?;
        let store = if has_database {
            Store::open(home, &key)
        } else {
            Store::create(home, &key)
        };
        let store = store.map_err(fault_of_open)?;
        crate::lab::limit_disk(&store);
        Ok(Self {
            store,
            core: Core::new(),
        })
    }

    /// One input, one transaction. A panic on the way is a failed step like any other.
    pub(crate) fn step(&mut self, now: Timestamp, dice: &mut Dice, input: Input) -> Result<Outputs, StepError> {
        let stepped = catch_unwind(AssertUnwindSafe(|| self.transact(now, dice, input)));
        let result = stepped.unwrap_or(Err(StepError::Internal));
        if result.is_err() {
            self.core.forget();
        }
        result
    }

    fn transact(&mut self, now: Timestamp, dice: &mut Dice, input: Input) -> Result<Outputs, StepError> {
        let tx = self.store.begin()?;
        let outputs = self.core.handle(&tx, &mut World { now, dice }, input)?;
        tx.commit().map_err(StoreError::from)?;
        Ok(outputs)
    }

    /// Takes what was deleted out of the log (STO-6). Out: whether it is gone; if not, try again.
    pub(crate) fn clean(&mut self) -> bool {
        let cleaned = self.store.checkpoint_truncate();
        cleaned
            .inspect_err(|error| tracing::debug!(%error, "the log is not cut yet"))
            .unwrap_or(false)
    }

    /// A connection for queries.
    pub(crate) fn reader(&self) -> Result<Reader, Fault> {
        self.store.reader().map_err(fault_of_open)
    }
}

/// Whether a passphrase protects the profile's key.
pub(crate) fn has_passphrase(home: &Path) -> bool {
    KeyFile::at(home).is_passphrase().unwrap_or(false)
}

/// Sets, changes or (without `new`) removes the passphrase.
pub(crate) fn set_passphrase(home: &Path, old: Option<&str>, new: Option<&str>, dice: &mut Dice) -> Result<(), Fault> {
    let file = KeyFile::at(home);
    match (old, new) {
        (old, Some(new)) if !new.is_empty() => file.set_passphrase(old, new, Cost::HOME, dice),
        (_, Some(_)) => return Err(Fault::BadParams),
        (Some(old), None) => file.remove_passphrase(old, dice),
        (None, None) if has_passphrase(home) => Err(KeyError::WrongPassphrase),
        (None, None) => Ok(()),
    }
    .map_err(|error| {
        if error == KeyError::NeedsPassphrase {
            Fault::WrongPassphrase
        } else {
            fault_of_key(error)
        }
    })
}

fn fault_of_key(error: KeyError) -> Fault {
    match error {
        KeyError::NeedsPassphrase => Fault::Locked,
        KeyError::WrongPassphrase => Fault::WrongPassphrase,
        KeyError::Damaged => Fault::BrokenDatabase,
        KeyError::Full => Fault::DiskFull,
        other => {
            tracing::error!(%other, "the key file cannot be used");
            Fault::Internal
        }
    }
}

fn fault_of_open(error: OpenError) -> Fault {
    match error {
        OpenError::WrongKey | OpenError::Broken | OpenError::Missing => Fault::BrokenDatabase,
        OpenError::Newer { .. } => Fault::NewerDatabase,
        OpenError::Full => Fault::DiskFull,
        other => {
            tracing::error!(%other, "the database does not open");
            Fault::Internal
        }
    }
}
