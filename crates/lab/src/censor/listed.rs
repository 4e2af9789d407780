//! What people and probers have put on a censor's lists, and which flows that closes.
//!
//! In: lines with the time from which they hold. Out: whether a flow is closed. A listed address closes what stands too; a
//! listed name only what begins later, for filters look for names in hellos.

use std::net::SocketAddrV4;
use std::time::Duration;

use super::Reassembly;
use super::people::Mark;
use super::sight::{Beginning, Sight};

/// Most lines; what comes later is not listed.
pub const LISTED_MAX: usize = 256;

/// The lists.
#[derive(Debug, Default)]
pub(super) struct Listed {
    lines: Vec<(Mark, Duration)>,
}

impl Listed {
    /// From this time on it is listed; nothing changes where it is already.
    pub(super) fn add(&mut self, mark: Mark, from: Duration) {
        let is_known = self.lines.iter().any(|(line, _)| *line == mark);
        if !is_known && self.lines.len() < LISTED_MAX {
            self.lines.push((mark, from));
        }
    }

    /// Whether a flow that was opened then is closed now.
    pub(super) fn closes(&self, now: Duration, server: SocketAddrV4, opened: Duration, said: &Beginning) -> bool {
        self.lines.iter().any(|(mark, from)| match mark {
            Mark::Port(port) => *from <= now && *port == server,
            Mark::Address(address) => *from <= now && address == server.ip(),
            Mark::Name(name, reassembly) => *from <= opened && says(said, name, *reassembly),
        })
    }

    /// All lines, in words.
    pub(super) fn told(&self) -> impl Iterator<Item = String> + '_ {
        self.lines.iter().map(|(mark, _)| match mark {
            Mark::Name(name, _) => name.clone(),
            Mark::Port(port) => port.to_string(),
            Mark::Address(address) => address.to_string(),
        })
    }
}

fn says(said: &Beginning, name: &str, reassembly: Reassembly) -> bool {
    match said.sight(reassembly) {
        Sight::Hello(hello) => hello.sni.as_deref() == Some(name),
        Sight::Waiting | Sight::Other => false,
    }
}
