//! The memory of a process, as whoever seizes the running machine reads it.
//!
//! In: a process of ours. Out: all that it can write to: heap, stacks, what it was given by the system; freed memory is
//! memory too. Pages of nothing but zeros are left out.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use memchr::memmem;

/// Read at once, in bytes.
const CHUNK: usize = 1 << 16;
/// What is left out where it is all zeros, in bytes.
const PAGE: usize = 4096;
/// How long a stack is, in bytes.
const STACK: u64 = 2 << 20;

/// Runs of memory that hold something.
pub struct Dump {
    runs: Vec<(u64, Vec<u8>)>,
    /// Each thread's name, and where its stack ends at the moment.
    threads: Vec<(String, u64)>,
}

impl Dump {
    /// Reads another process. Fails the test where that is not allowed: nothing would be proved.
    pub fn of(pid: u32) -> Self {
        let memory =
            File::open(format!("/proc/{pid}/mem")).expect("to read a process of ours, as its parent or as root");
        let mut runs = Vec::new();
        for (from, to) in writable(pid) {
            read_into(&memory, from, to, &mut runs);
        }
        let threads = threads(pid);
        let dump = Self { runs, threads };
        assert!(dump.bytes() > 100_000, "{} bytes are no process", dump.bytes());
        dump
    }

    /// How much it holds.
    pub fn bytes(&self) -> usize {
        self.runs.iter().map(|(_, run)| run.len()).sum()
    }

    pub fn has(&self, needle: &[u8]) -> bool {
        let finder = memmem::Finder::new(needle);
        self.runs.iter().any(|(_, run)| finder.find(run).is_some())
    }

    /// Where something stands, for whoever has to find out how it comes there.
    pub fn places(&self, needle: &[u8]) -> Vec<String> {
        let finder = memmem::Finder::new(needle);
        let found = self
            .runs
            .iter()
            .flat_map(|(from, run)| finder.find_iter(run).map(move |at| from + at as u64));
        found.map(|at| self.place(at)).collect()
    }

    fn place(&self, at: u64) -> String {
        let near = self.threads.iter().find(|(_, end)| end.abs_diff(at) < STACK);
        near.map_or_else(
            || format!("{at:x}"),
            |(name, end)| match end.checked_sub(at) {
                Some(below) => format!("{below} bytes below the stack of {name}"),
                None => format!("{} bytes up the stack of {name}", at - end),
            },
        )
    }
}

/// Bytes of this process itself, from a place on; fewer where it ends.
pub fn own(from: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let got = File::open("/proc/self/mem").unwrap().read_at(&mut bytes, from);
    bytes.truncate(got.unwrap_or_default());
    bytes
}

fn writable(pid: u32) -> Vec<(u64, u64)> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let places = maps.lines().filter_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (from, to) = range.split_once('-')?;
        let place = |text| u64::from_str_radix(text, 16).ok();
        rest.starts_with("rw").then_some((place(from)?, place(to)?))
    });
    places.collect()
}

fn read_into(memory: &File, from: u64, to: u64, runs: &mut Vec<(u64, Vec<u8>)>) {
    let (mut at, mut run) = (from, Vec::new());
    let mut chunk = vec![0; CHUNK];
    while at < to {
        let wanted = CHUNK.min(usize::try_from(to - at).unwrap());
        // A mapping may be gone by now.
        let Ok(got @ 1..) = memory.read_at(&mut chunk[..wanted], at) else {
            break;
        };
        for page in chunk[..got].chunks(PAGE) {
            if page.iter().any(|byte| *byte != 0) {
                run.extend_from_slice(page);
            } else if !run.is_empty() {
                runs.push((at - run.len() as u64, std::mem::take(&mut run)));
            }
            at += page.len() as u64;
        }
    }
    runs.push((at - run.len() as u64, run));
}

/// The last word but one of a waiting thread's `syscall` is its stack pointer.
fn threads(pid: u32) -> Vec<(String, u64)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let threads = tasks.filter_map(|task| {
        let name = fs::read_to_string(task.path().join("comm")).ok()?;
        let call = fs::read_to_string(task.path().join("syscall")).ok()?;
        let end = call.split_whitespace().rev().nth(1)?.strip_prefix("0x")?;
        Some((name.trim().to_owned(), u64::from_str_radix(end, 16).ok()?))
    });
    threads.collect()
}
