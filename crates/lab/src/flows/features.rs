//! What a classifier is told of a flow: numbers, in groups, so that it is seen which of them tell.
//!
//! In: a [`Flow`]. Out: as many numbers for each as for any other; what is not there is nought.

use super::tap::{Flow, Record};

/// Sealed records that are looked at: the handshake's last ones, the upgrade, and the first messages.
pub const RECORDS: usize = 24;

/// Which numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// The parts of JA4, and the size of the hello.
    Hello,
    /// Sizes and times of all records until the server has answered the upgrade, and the hello.
    Opening,
    /// The same without the request's length, which is that of a site's addresses.
    Unasked,
    /// Sizes and directions of the first records.
    Sizes,
    /// Their times.
    Times,
    /// All of it.
    All,
}

/// All groups.
pub const GROUPS: [Group; 6] = [
    Group::Hello,
    Group::Opening,
    Group::Unasked,
    Group::Sizes,
    Group::Times,
    Group::All,
];

impl Group {
    /// As it stands in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello (JA4, size)",
            Self::Opening => "until the upgrade is answered",
            Self::Unasked => "the same without the request's length",
            Self::Sizes => "sizes and directions",
            Self::Times => "times",
            Self::All => "all",
        }
    }

    /// The numbers of a flow.
    pub fn of(self, flow: &Flow) -> Vec<f64> {
        match self {
            Self::Hello => hello(flow),
            Self::Opening => [hello(flow), opening(flow, true)].concat(),
            Self::Unasked => [hello(flow), opening(flow, false)].concat(),
            Self::Sizes => sizes(flow, RECORDS),
            Self::Times => times(flow, RECORDS),
            Self::All => [hello(flow), sizes(flow, RECORDS), times(flow, RECORDS)].concat(),
        }
    }
}

/// Numbers of a flow that a person can read, each by itself: to say which of them tell.
pub fn named(flow: &Flow) -> Vec<(String, f64)> {
    let mut numbers = vec![(
        "size of the hello".to_owned(),
        flow.records.first().map_or(0.0, |record| record.size as f64),
    )];
    for (way, is_out) in [("client", true), ("server", false)] {
        let sealed = flow
            .records
            .iter()
            .filter(|record| record.kind == 23 && record.is_out == is_out);
        let first: Vec<&Record> = sealed.take(10).collect();
        for at in 0..10 {
            let (size, at_ms) = first
                .get(at)
                .map_or((0.0, 0.0), |record| (record.size as f64, record.at_ms));
            numbers.push((format!("size of the {way}'s sealed record {}", at + 1), size));
            numbers.push((format!("time of the {way}'s sealed record {}", at + 1), at_ms));
        }
    }
    numbers
}

/// JA4's counts, and its hashes as so many bits each: equal hashes are near each other, and nothing else is.
fn hello(flow: &Flow) -> Vec<f64> {
    let mut parts = flow.ja4.split('_');
    let first = parts.next().unwrap_or_default();
    let count = |from: usize| {
        first
            .get(from..from + 2)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0.0)
    };
    let alpn = f64::from(u8::from(first.ends_with("h1")));
    let bits = parts.flat_map(|hash| {
        let value = u16::from_str_radix(hash.get(..4).unwrap_or_default(), 16).unwrap_or_default();
        (0..16).map(move |bit| f64::from(value >> bit & 1))
    });
    let mut numbers: Vec<f64> = [count(4), count(6), alpn].into_iter().chain(bits).collect();
    numbers.resize(3 + 32, 0.0);
    let size = flow.records.first().map_or(0, |record| record.size);
    numbers.push(size as f64);
    numbers
}

/// Records until the answer to the upgrade. It is the server's first after the client's first long one that is sealed: what
/// comes before are the rest of the handshake, which is short, and the server's tickets.
fn opening(flow: &Flow, with_length: bool) -> Vec<f64> {
    let sealed = || flow.records.iter().enumerate().filter(|(_, record)| record.kind == 23);
    let asked = sealed()
        .find(|(_, record)| record.is_out && record.size > 150)
        .map(|(at, _)| at);
    let answered =
        asked.and_then(|asked| sealed().find(|(at, record)| *at > asked && !record.is_out && record.size < 400));
    let end = answered.map_or(0, |(at, _)| at + 1);
    let mut until = Flow {
        ja4: String::new(),
        records: flow.records[..end].to_vec(),
    };
    if let Some(asked) = asked.and_then(|at| until.records.get_mut(at)).filter(|_| !with_length) {
        asked.size = 1;
    }
    let length = asked
        .filter(|_| with_length)
        .map_or(0.0, |at| flow.records[at].size as f64);
    let took = answered.map_or(0.0, |(_, record)| record.at_ms);
    [vec![length, took, end as f64], sizes(&until, 12), times(&until, 12)].concat()
}

/// Sizes with a sign for the direction, and their logarithms: a byte more is much in small ones.
fn sizes(flow: &Flow, most: usize) -> Vec<f64> {
    let sized = |record: &Record| {
        let sign = if record.is_out { 1.0 } else { -1.0 };
        let size = record.size as f64;
        [sign * size, sign * size.ln()]
    };
    let mut numbers: Vec<f64> = flow.records.iter().take(most).flat_map(sized).collect();
    numbers.resize(2 * most, 0.0);
    numbers
}

/// Logarithms of the times between records.
fn times(flow: &Flow, most: usize) -> Vec<f64> {
    let mut before = 0.0;
    let mut numbers = Vec::new();
    for record in flow.records.iter().take(most) {
        numbers.push((record.at_ms - before + 0.01).ln());
        before = record.at_ms;
    }
    numbers.resize(most, 0.0);
    numbers
}
