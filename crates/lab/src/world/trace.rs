//! What happened, as one hash, and as lines where somebody asks for them.
//!
//! Into the hash goes only what a seed decides: time, actor, event, sizes, numbers of texts. Ciphertexts are left out:
//! OpenMLS walks hash maps, so their bytes may differ between two runs of one seed.

use sha2::{Digest, Sha256};

/// Who did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The world itself.
    World,
    /// A device.
    Device(usize),
    /// A relay.
    Relay(usize),
}

/// See the module.
#[derive(Debug)]
pub struct Trace {
    hash: Sha256,
    lines: Option<Vec<String>>,
    /// How many events went into it.
    pub events: u64,
}

impl Trace {
    /// A trace that keeps its lines only if `loud`.
    #[must_use]
    pub fn new(loud: bool) -> Self {
        Self {
            hash: Sha256::new(),
            lines: loud.then(Vec::new),
            events: 0,
        }
    }

    /// Something happened: what, and two numbers about it (a size, an ordinal).
    pub fn note(&mut self, at_ms: u64, actor: Actor, what: &str, numbers: [u64; 2]) {
        let (kind, number) = match actor {
            Actor::World => (0u8, 0),
            Actor::Device(n) => (1, n),
            Actor::Relay(n) => (2, n),
        };
        self.hash.update(at_ms.to_be_bytes());
        self.hash.update([kind, u8::try_from(number).unwrap_or(u8::MAX)]);
        self.hash.update(what.as_bytes());
        numbers.iter().for_each(|n| self.hash.update(n.to_be_bytes()));
        self.events += 1;
        if let Some(lines) = &mut self.lines {
            let (days, rest) = (at_ms / 86_400_000, at_ms % 86_400_000);
            let (hours, minutes, ms) = (rest / 3_600_000, rest / 60_000 % 60, rest % 60_000);
            lines.push(format!(
                "{days:3}d {hours:02}:{minutes:02}:{ms:05} {actor:?} {what} {numbers:?}"
            ));
        }
    }

    /// Adds something to the lines that does not belong into the hash.
    pub fn remark(&mut self, remark: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("               {}", remark()));
        }
    }

    /// The hash, and the lines.
    #[must_use]
    pub fn finish(self) -> ([u8; 32], Vec<String>) {
        (self.hash.finalize().into(), self.lines.unwrap_or_default())
    }
}
