//! The wiretap: every byte that relays see and every line that a log would hold, searched for what must not be there.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;

use stonechat_core::Input;
use stonechat_wire::exchange::{Errand, News};

/// In every text and every name of a world, and nowhere else.
pub const CANARY: &str = "qanarixy";

/// See the module.
#[derive(Debug, Default)]
pub struct Tap {
    wire: Vec<u8>,
    log: String,
}

impl Tap {
    /// Bytes went to a relay.
    pub fn wire(&mut self, bytes: &[u8]) {
        self.wire.extend_from_slice(bytes);
    }

    /// How much went to relays.
    #[must_use]
    pub fn wire_bytes(&self) -> usize {
        self.wire.len()
    }

    /// An input, as a log might print it. Arrivals are left out: what they hold went over the wire.
    pub fn log_input(&mut self, input: &Input) {
        if !matches!(
            input,
            Input::News(News::Arrived(_) | News::Signalled { .. } | News::Knocked { .. })
        ) {
            let _ = write!(self.log, "{input:?}");
        }
    }

    /// An errand, as a log might print it. A door's card goes over the wire too.
    pub fn log_errand(&mut self, errand: &Errand) {
        if !matches!(errand, Errand::OpenDoor(_)) {
            let _ = write!(self.log, "{errand:?}");
        }
    }

    /// Whether a log would hold a text or a name.
    #[must_use]
    pub fn log_sings(&self) -> bool {
        self.log.contains(CANARY)
    }

    /// Whether a log would hold one of these byte strings, as Rust or a person would print its first eight bytes.
    #[must_use]
    pub fn log_holds(&self, secrets: &[Vec<u8>]) -> bool {
        let begins: BTreeSet<[u8; 8]> = secrets
            .iter()
            .filter_map(|secret| secret.first_chunk().copied())
            .collect();
        let mut words = self.log.split(|c: char| !c.is_ascii_hexdigit());
        let mut lists = self.log.split(['[', ']']);
        words.any(|word| spells(word, &begins)) || lists.any(|list| lists_one(list, &begins))
    }

    /// Something that a log might hold.
    pub fn log_words(&mut self, words: &str) {
        self.log.push_str(words);
    }

    /// Which of these byte strings relays have seen, by index.
    #[must_use]
    pub fn seen(&self, secrets: &[Vec<u8>]) -> Vec<usize> {
        let mut starts = vec![Vec::new(); 1 << 16];
        for (n, secret) in secrets.iter().enumerate().filter(|(_, secret)| secret.len() >= 8) {
            starts[usize::from(secret[0]) << 8 | usize::from(secret[1])].push(n);
        }
        let mut found: Vec<usize> = Vec::new();
        for (at, pair) in self.wire.windows(2).enumerate() {
            for n in &starts[usize::from(pair[0]) << 8 | usize::from(pair[1])] {
                if self.wire[at..].starts_with(&secrets[*n]) {
                    found.push(*n);
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// A run of hex digits has one of these eight bytes in it.
fn spells(word: &str, begins: &BTreeSet<[u8; 8]>) -> bool {
    word.as_bytes().windows(16).any(|digits| {
        let mut bytes = [0; 8];
        hex::decode_to_slice(digits, &mut bytes).is_ok() && begins.contains(&bytes)
    })
}

/// Numbers with commas between them have.
fn lists_one(list: &str, begins: &BTreeSet<[u8; 8]>) -> bool {
    let mut last = VecDeque::new();
    list.split(", ").any(|number| {
        match number.parse::<u8>() {
            Ok(byte) => last.push_back(byte),
            Err(_) => last.clear(),
        }
        if last.len() > 8 {
            last.pop_front();
        }
        last.len() == 8
            && <[u8; 8]>::try_from(last.make_contiguous() as &[u8]).is_ok_and(|eight| begins.contains(&eight))
    })
}

/// The text with this number.
#[must_use]
pub fn text(number: usize, padding: usize) -> String {
    format!("{CANARY} {number} {}", "lorem ipsum ".repeat(padding / 12 + 1))
}

/// The number of a text.
#[must_use]
pub fn number_of(text: &str) -> Option<usize> {
    text.strip_prefix(CANARY)?.trim_start().split(' ').next()?.parse().ok()
}
