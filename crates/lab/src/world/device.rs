//! A device: the real messenger on a real encrypted database, driven as the daemon's loop drives it.
//!
//! In: one input and its fate. Out: what the step wants done, released only after its commit. A device that dies
//! keeps its database and nothing else. Its clock may be wrong by years and jump; its dice come from the seed.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rusqlite::{Params, Row};
use stonechat_core::api::{Answer, Connection, Query};
use stonechat_core::query::Live;
use stonechat_core::store::{DATABASE, Reader, Store, StoreError, StoreKey};
use stonechat_core::{Core, Dice, Input, Outputs, World};
use stonechat_wire::ids::Timestamp;
use tempfile::TempDir;

use super::Planted;
use super::roll::Roll;

/// No limit that a world reaches.
const PAGES_MAX: u32 = 1 << 20;

/// What is to become of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is committed and its outputs are released.
    Whole,
    /// The commit fails; the device lives on.
    CommitFails,
    /// The disk has no room for another page; the step may fail anywhere, or not need one.
    DiskFull,
    /// The device dies before it.
    DiesBefore,
    /// The device dies while committing: it never happened.
    DiesAtCommit,
    /// The device dies after the commit: nothing is released.
    DiesAfterCommit,
}

/// What became of a step.
#[derive(Debug)]
pub struct Stepped {
    /// It is in the database.
    pub committed: bool,
    /// The device is still running.
    pub alive: bool,
    /// The disk was too full for it.
    pub full: bool,
    /// What it wants done; present also where it must not be released, for the world to look at.
    pub outputs: Option<Outputs>,
}

/// A clock: the world's time, plus an error.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Ahead of the world by this.
    pub offset_ms: i64,
}

impl Clock {
    /// What it shows at this time of the world.
    #[must_use]
    pub fn read(self, world_ms: u64) -> Timestamp {
        Timestamp(world_ms.saturating_add_signed(self.offset_ms))
    }

    /// When the world will be where this clock shows `at`.
    #[must_use]
    pub fn when(self, at: Timestamp) -> u64 {
        at.0.saturating_add_signed(-self.offset_ms)
    }
}

/// See the module.
#[derive(Debug)]
pub struct Device {
    home: PathBuf,
    running: Option<Running>,
    /// For queries. It stays open where the process dies, as the files of one that is killed stay as they are.
    reader: Option<Reader>,
    roll: Roll,
    /// What its clock shows.
    pub clock: Clock,
    /// When it asked to be woken, by its clock.
    pub wake_at: Option<Timestamp>,
    /// How often it has started.
    pub starts: u64,
    /// Steps it has taken.
    pub steps: u64,
}

#[derive(Debug)]
struct Running {
    core: Core,
    dice: Dice,
    store: Store,
}

impl Device {
    /// A device with an empty database in this folder; it does not run yet.
    #[must_use]
    pub fn new(home: PathBuf, clock: Clock, roll: Roll) -> Self {
        std::fs::create_dir_all(&home).unwrap();
        std::fs::write(home.join(DATABASE), empty_database()).unwrap();
        Self {
            home,
            running: None,
            reader: None,
            roll,
            clock,
            wake_at: None,
            starts: 0,
            steps: 0,
        }
    }

    /// Starts the process: database open, messenger fresh.
    pub fn start(&mut self) {
        let store = Store::open(&self.home, &key()).unwrap();
        self.running = Some(Running {
            core: Core::new(),
            dice: Dice::seeded(self.roll.bytes()),
            store,
        });
        self.wake_at = None;
        self.starts += 1;
    }

    /// Ends the process where it stands.
    pub fn die(&mut self) {
        self.running = None;
        self.wake_at = None;
    }

    /// Whether the process runs.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.running.is_some()
    }

    /// One input, one transaction, one fate.
    pub fn step(
        &mut self,
        world_ms: u64,
        input: Input,
        fate: Fate,
        planted: Option<Planted>,
    ) -> Result<Stepped, String> {
        let now = self.clock.read(world_ms);
        self.steps += 1;
        if fate == Fate::DiesBefore {
            self.die();
            return Ok(Stepped {
                committed: false,
                alive: false,
                full: false,
                outputs: None,
            });
        }
        let Some(running) = self.running.as_mut() else {
            return Err("a step of a device that does not run".into());
        };
        let committed = matches!(fate, Fate::Whole | Fate::DiskFull | Fate::DiesAfterCommit);
        if fate == Fate::DiskFull {
            running.let_grow(false);
        }
        let outputs = running.transact(now, input, committed);
        if fate == Fate::DiskFull {
            running.let_grow(true);
        }
        let outputs = match outputs {
            Ok(outputs) => outputs,
            Err(StoreError::Full) => {
                running.core.forget();
                return Ok(Stepped {
                    committed: false,
                    alive: true,
                    full: true,
                    outputs: None,
                });
            }
            Err(error) => {
                running.core.forget();
                return Err(format!("core refused a step: {error}"));
            }
        };
        match fate {
            Fate::Whole | Fate::DiskFull => self.wake_at = outputs.wake_at,
            Fate::CommitFails if planted == Some(Planted::MemoryKept) => {}
            Fate::CommitFails => running.core.forget(),
            Fate::DiesBefore | Fate::DiesAtCommit | Fate::DiesAfterCommit => self.die(),
        }
        Ok(Stepped {
            committed,
            alive: self.runs(),
            full: false,
            outputs: Some(outputs),
        })
    }

    /// Answers a query as the interface would ask it.
    pub fn ask(&mut self, query: Query) -> Option<Answer> {
        let running = self.running.as_ref()?;
        if self.reader.is_none() {
            self.reader = Some(running.store.reader().unwrap());
        }
        self.reader.as_ref()?.query(query, &live()).ok()
    }

    /// Whether the database has such a row, also while the process is down.
    pub fn holds(&mut self, sql: &str, values: impl Params) -> bool {
        let Some(running) = self.running.as_mut() else {
            let mut store = Store::open(&self.home, &key()).unwrap();
            let tx = store.begin().unwrap();
            return tx.prepare(sql).unwrap().exists(values).unwrap();
        };
        let tx = running.store.begin().unwrap();
        tx.prepare_cached(sql).unwrap().exists(values).unwrap()
    }

    /// Reads rows of the database past all interfaces: for checks only.
    pub fn rows<T>(&mut self, sql: &str, map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
        self.rows_of(sql, [], map)
    }

    /// The same with values: what is asked often is parsed once, and drives none of core's statements out of memory.
    pub fn rows_of<T>(
        &mut self,
        sql: &str,
        values: impl Params,
        map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Vec<T> {
        let Some(running) = self.running.as_mut() else {
            return vec![];
        };
        let tx = running.store.begin().unwrap();
        let mut rows = tx.prepare_cached(sql).unwrap();
        rows.query_map(values, map).unwrap().collect::<Result<_, _>>().unwrap()
    }
}

impl Running {
    fn transact(&mut self, now: Timestamp, input: Input, commit: bool) -> Result<Outputs, StoreError> {
        let tx = self.store.begin()?;
        let outputs = self.core.handle(
            &tx,
            &mut World {
                now,
                dice: &mut self.dice,
            },
            input,
        )?;
        if commit {
            tx.commit().map_err(StoreError::from)?;
        }
        Ok(outputs)
    }

    fn let_grow(&self, may: bool) {
        let pages = if may { PAGES_MAX } else { self.store.pages().unwrap() };
        self.store.limit_pages(pages).unwrap();
    }
}

/// All databases of the lab have one raw key.
fn key() -> StoreKey {
    StoreKey::from_bytes([0x5a; 32])
}

fn live() -> Live {
    Live {
        version: String::new(),
        locked: false,
        has_passphrase: false,
        connection: Connection::Connected,
        connected: vec![],
        through: vec![],
        ways: vec![],
        tried: std::collections::BTreeMap::new(),
    }
}

/// An empty database to copy, made once per process.
fn empty_database() -> &'static [u8] {
    static MADE: OnceLock<Vec<u8>> = OnceLock::new();
    MADE.get_or_init(|| {
        let home = folder();
        drop(Store::create(home.path(), &key()).unwrap());
        std::fs::read(home.path().join(DATABASE)).unwrap()
    })
}

/// A new folder in memory, where the system has one. Never one that was there: what a killed process left of a log would
/// be read as this database's.
pub(crate) fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() {
        memory.to_path_buf()
    } else {
        std::env::temp_dir()
    };
    let named = tempfile::Builder::new().prefix("stonechat-lab-").tempdir_in(base);
    named.unwrap()
}
