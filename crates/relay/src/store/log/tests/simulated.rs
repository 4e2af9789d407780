//! A disk that loses power, runs full, fails and flips bits.
//!
//! What was synced survives. Of what was not, any part may: writes of one file in any order, torn at any sector, with
//! zeros where a later one came first; names in the order in which they were made, up to any of them. After a failed
//! sync what was written may be gone for good although the next sync succeeds, as on Linux.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};
use std::rc::Rc;

use crate::store::disk::{Disk, DiskFile};

const SECTOR: usize = 512;

/// A generator of numbers (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

#[derive(Clone, Debug)]
pub(crate) struct SimulatedDisk(Rc<RefCell<State>>);

#[derive(Clone, Debug)]
pub(crate) struct SimulatedFile {
    disk: Rc<RefCell<State>>,
    inode: u64,
}

/// Everything about the disk at one moment.
#[derive(Clone, Debug)]
pub(crate) struct State {
    inodes: BTreeMap<u64, Inode>,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    unsynced_names: Vec<NameChange>,
    next_inode: u64,
    /// Calls that change something, so far.
    pub(crate) calls: u64,
    /// One in so many of them fails; 0: none.
    pub(crate) fails_one_in: u64,
    /// No byte more than this; 0: any.
    pub(crate) full_at: usize,
    dice: Dice,
    /// States before each call, where they are kept.
    pub(crate) history: Option<Vec<Self>>,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    live: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Cut(usize),
}

#[derive(Clone, Debug)]
enum NameChange {
    Made(String, u64),
    Renamed(String, String),
    Removed(String),
}

/// What of the unsynced survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Survives {
    Nothing,
    Everything,
    /// As the dice fall.
    Some,
}

impl SimulatedDisk {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Rc::new(RefCell::new(State {
            inodes: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            unsynced_names: Vec::new(),
            next_inode: 1,
            calls: 0,
            fails_one_in: 0,
            full_at: 0,
            dice: Dice(seed),
            history: None,
        })))
    }

    pub(crate) fn of(state: State) -> Self {
        Self(Rc::new(RefCell::new(state)))
    }

    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.borrow_mut())
    }

    /// As the disk stands after the power went.
    pub(crate) fn after_power_loss(&self, survives: Survives, dice: &mut Dice) -> Self {
        Self::of(self.with(|state| state.after_power_loss(survives, dice)))
    }
}

impl State {
    /// The process died; the system goes on, and what was not synced is still not.
    pub(crate) fn after_kill(&self) -> Self {
        Self {
            fails_one_in: 0,
            ..self.clone()
        }
    }

    pub(crate) fn after_power_loss(&self, survives: Survives, dice: &mut Dice) -> Self {
        let mut names = self.durable_names.clone();
        let kept = match survives {
            Survives::Nothing => 0,
            Survives::Everything => self.unsynced_names.len(),
            Survives::Some => dice.below(self.unsynced_names.len() as u64 + 1) as usize,
        };
        self.unsynced_names
            .iter()
            .take(kept)
            .for_each(|change| change.apply(&mut names));
        let inodes = names
            .values()
            .map(|number| (*number, self.inodes[number].survivor(survives, dice)));
        Self {
            inodes: inodes.collect(),
            durable_names: names.clone(),
            names,
            unsynced_names: Vec::new(),
            next_inode: self.next_inode,
            calls: 0,
            fails_one_in: 0,
            full_at: 0,
            dice: dice.clone(),
            history: None,
        }
    }

    /// Flips one bit somewhere. Out: in which file.
    pub(crate) fn flip_a_bit(&mut self, dice: &mut Dice) -> String {
        let all: Vec<(String, u64)> = self.names.iter().map(|(name, inode)| (name.clone(), *inode)).collect();
        let sizes: Vec<u64> = all
            .iter()
            .map(|(_, inode)| self.inodes[inode].live.len() as u64)
            .collect();
        let mut at = dice.below(sizes.iter().sum());
        let file = sizes.iter().position(|size| {
            let is_here = at < *size;
            at -= if is_here { 0 } else { *size };
            is_here
        });
        let (name, inode) = all[file.unwrap()].clone();
        let inode = self.inodes.get_mut(&inode).unwrap();
        for bytes in [&mut inode.live, &mut inode.durable] {
            if let Some(byte) = bytes.get_mut(at as usize) {
                *byte ^= 1 << dice.clone().below(8);
            }
        }
        name
    }

    pub(crate) fn bytes(&self) -> usize {
        self.names.values().map(|inode| self.inodes[inode].live.len()).sum()
    }

    /// Counts a call; it may be one that fails.
    fn call(&mut self) -> Result<()> {
        if let Some(mut history) = self.history.take() {
            history.push(self.clone());
            self.history = Some(history);
        }
        self.calls += 1;
        let fails = self.fails_one_in > 0 && self.dice.one_in(self.fails_one_in);
        if fails {
            Err(Error::other("the disk failed"))
        } else {
            Ok(())
        }
    }

    fn inode(&mut self, number: u64) -> &mut Inode {
        self.inodes.get_mut(&number).unwrap()
    }
}

impl Inode {
    fn survivor(&self, survives: Survives, dice: &mut Dice) -> Self {
        let mut bytes = self.durable.clone();
        for change in &self.unsynced {
            match (survives, change) {
                (Survives::Nothing, _) => {}
                (Survives::Everything, change) => change.apply(&mut bytes),
                (Survives::Some, change) => change.apply_some(&mut bytes, dice),
            }
        }
        Self {
            live: bytes.clone(),
            durable: bytes,
            unsynced: Vec::new(),
        }
    }
}

impl Change {
    fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Self::Cut(len) => file.resize(*len, 0),
            Self::Write(at, bytes) => {
                file.resize(file.len().max(at + bytes.len()), 0);
                file[*at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
    }

    /// Some sectors of it; maybe the length without the bytes, maybe nothing.
    fn apply_some(&self, file: &mut Vec<u8>, dice: &mut Dice) {
        match (self, dice.below(4)) {
            (_, 0) => {}
            (Self::Cut(_), _) | (_, 1) => self.apply(file),
            (Self::Write(at, bytes), 2) => {
                Self::Write(*at, bytes[..dice.below(bytes.len() as u64 + 1) as usize].to_vec()).apply(file)
            }
            (Self::Write(at, bytes), _) => {
                file.resize(file.len().max(at + bytes.len()), 0);
                let mut from = 0;
                while from < bytes.len() {
                    let to = (from + SECTOR - (at + from) % SECTOR).min(bytes.len());
                    if dice.one_in(2) {
                        file[at + from..at + to].copy_from_slice(&bytes[from..to]);
                    }
                    from = to;
                }
            }
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Made(name, inode) => {
                names.insert(name.clone(), *inode);
            }
            Self::Renamed(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
            Self::Removed(name) => {
                names.remove(name);
            }
        }
    }
}

impl Disk for SimulatedDisk {
    type File = SimulatedFile;

    fn list(&self) -> Result<Vec<String>> {
        Ok(self.with(|state| state.names.keys().cloned().collect()))
    }

    fn create(&self, name: &str) -> Result<SimulatedFile> {
        let inode = self.with(|state| {
            state.call()?;
            if state.names.contains_key(name) {
                return Err(Error::from(ErrorKind::AlreadyExists));
            }
            let inode = state.next_inode;
            state.next_inode += 1;
            state.inodes.insert(inode, Inode::default());
            state.names.insert(name.into(), inode);
            state.unsynced_names.push(NameChange::Made(name.into(), inode));
            Ok(inode)
        })?;
        let disk = self.0.clone();
        Ok(SimulatedFile { disk, inode })
    }

    fn open(&self, name: &str) -> Result<SimulatedFile> {
        let inode = self.with(|state| state.names.get(name).copied());
        let disk = self.0.clone();
        inode
            .map(|inode| SimulatedFile { disk, inode })
            .ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.with(|state| {
            state.call()?;
            let inode = state.names.remove(from).ok_or(ErrorKind::NotFound)?;
            state.names.insert(to.into(), inode);
            state.unsynced_names.push(NameChange::Renamed(from.into(), to.into()));
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.with(|state| {
            if !state.names.contains_key(name) {
                return Err(ErrorKind::NotFound.into());
            }
            state.call()?;
            state.names.remove(name);
            state.unsynced_names.push(NameChange::Removed(name.into()));
            Ok(())
        })
    }

    fn sync_folder(&self) -> Result<()> {
        self.with(|state| {
            state.call()?;
            let (mut names, changes) = (state.durable_names.clone(), std::mem::take(&mut state.unsynced_names));
            changes.iter().for_each(|change| change.apply(&mut names));
            state.durable_names = names;
            Ok(())
        })
    }
}

impl SimulatedFile {
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.disk.borrow_mut())
    }
}

impl DiskFile for SimulatedFile {
    fn size(&self) -> Result<u64> {
        Ok(self.with(|state| state.inode(self.inode).live.len() as u64))
    }

    fn read_at(&self, bytes: &mut [u8], at: u64) -> Result<()> {
        self.with(|state| {
            let (from, file) = (at as usize, &state.inode(self.inode).live);
            let found = file.get(from..from + bytes.len()).ok_or(ErrorKind::UnexpectedEof)?;
            bytes.copy_from_slice(found);
            Ok(())
        })
    }

    fn write_at(&mut self, bytes: &[u8], at: u64) -> Result<()> {
        let (inode, at) = (self.inode, at as usize);
        self.with(|state| {
            let called = state.call();
            let left = if state.full_at == 0 {
                usize::MAX
            } else {
                state.full_at.saturating_sub(state.bytes())
            };
            let is_full = left < bytes.len();
            let some = if called.is_err() {
                state.dice.below(bytes.len() as u64) as usize
            } else {
                bytes.len()
            };
            let written = bytes[..some.min(left)].to_vec();
            let change = Change::Write(at, written);
            change.apply(&mut state.inode(inode).live);
            state.inode(inode).unsynced.push(change);
            match is_full {
                true => called.and_then(|()| Err(ErrorKind::StorageFull.into())),
                false => called,
            }
        })
    }

    fn sync(&mut self) -> Result<()> {
        let inode = self.inode;
        self.with(|state| {
            let called = state.call();
            let mut dice = state.dice.clone();
            state.dice.next();
            let file = state.inode(inode);
            for change in std::mem::take(&mut file.unsynced) {
                match &called {
                    Ok(()) => change.apply(&mut file.durable),
                    Err(_) => change.apply_some(&mut file.durable, &mut dice),
                }
            }
            called
        })
    }

    fn cut(&mut self, len: u64) -> Result<()> {
        let inode = self.inode;
        self.with(|state| {
            state.call()?;
            let change = Change::Cut(len as usize);
            change.apply(&mut state.inode(inode).live);
            state.inode(inode).unsynced.push(change);
            Ok(())
        })
    }
}
