//! Figures: how much, how long, how many. Never who, and never which mailbox.
//!
//! In: what the service counted and the store holds. Out: text as Prometheus reads it. There is no label on any figure
//! but the bounds of a histogram, so there is no place where a tag, a token or an address could stand.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use stonechat_wire::blob::CHUNK_BYTES;
use stonechat_wire::frame::FromRelay;
use stonechat_wire::frame::blobs::BlobTell;
use tokio::sync::watch;

use crate::acme::Word;
use crate::store::Total;

/// Upper bounds of the times that are counted apart, in ms.
const BOUNDS_MS: [u64; 10] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

/// What stands before the remark on the certificate: no figure, so whoever reads figures passes it by.
pub const REMARK: &str = "# certificate: ";

/// What the service counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Envelopes that were new and are durable.
    pub stored: u64,
    /// Envelopes that their mailbox had already.
    pub known: u64,
    /// Envelopes whose mailbox was full.
    pub full: u64,
    /// Envelopes and doors that were refused.
    pub refused: u64,
    /// Puts that were asked to come again.
    pub busy: u64,
    /// Envelopes pushed and fetched.
    pub sent: u64,
    /// Signals passed on.
    pub signals: u64,
    /// Envelopes that expired.
    pub expired: u64,
    /// Knocks that got a card.
    pub knocks_answered: u64,
    /// Knocks that got none.
    pub knocks_missed: u64,
    /// Hints given in place of envelopes.
    pub hints: u64,
    /// Chunks of blobs that were given.
    pub chunks_sent: u64,
    /// Batches that the store did not take.
    pub failed_batches: u64,
}

impl Tally {
    /// Counts a frame that goes out.
    pub(crate) fn count(&mut self, frame: &FromRelay) {
        match frame {
            FromRelay::Arrived { .. } => self.sent += 1,
            FromRelay::Fetched { items, .. } => self.sent += items.len() as u64,
            FromRelay::Ephemeral { .. } => self.signals += 1,
            FromRelay::Busy { .. } => self.busy += 1,
            FromRelay::Hint { .. } => self.hints += 1,
            FromRelay::Blob(BlobTell::Range { range, .. }) => {
                self.chunks_sent += range.bytes.len().div_ceil(CHUNK_BYTES) as u64;
            }
            FromRelay::Hello { .. }
            | FromRelay::Stored { .. }
            | FromRelay::Full { .. }
            | FromRelay::Refused { .. }
            | FromRelay::DoorOpen { .. }
            | FromRelay::Blob(_)
            | FromRelay::Forward(_)
            | FromRelay::Quota { .. } => {}
        }
    }
}

/// What is so at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Snapshot {
    /// Counted by the service.
    pub tally: Tally,
    /// Held by the store.
    pub total: Total,
    /// Connections.
    pub connections: usize,
    /// Mailboxes they read.
    pub subscriptions: usize,
    /// Damaged records and segments met since the start.
    pub damaged: u64,
}

/// The figures of a running relay, shared by who writes and who tells them.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Mutex<Figures>>);

#[derive(Debug, Default)]
struct Figures {
    now: Snapshot,
    batches: [u64; BOUNDS_MS.len() + 1],
    batch_time: Duration,
    certificate: Option<watch::Receiver<Word>>,
}

impl Metrics {
    /// From now on it is told how the certificate stands.
    pub(crate) fn certificate(&self, word: watch::Receiver<Word>) {
        let mut figures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        figures.certificate = Some(word);
    }

    /// One batch is done.
    pub fn batch(&self, took: Duration, now: Snapshot) {
        let mut figures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let nth = BOUNDS_MS.iter().position(|bound| took <= Duration::from_millis(*bound));
        if let Some(count) = figures.batches.get_mut(nth.unwrap_or(BOUNDS_MS.len())) {
            *count += 1;
        }
        figures.batch_time += took;
        figures.now = now;
    }

    /// All figures as text.
    pub fn text(&self) -> String {
        let figures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::new();
        let Snapshot { tally, total, .. } = figures.now;
        for (name, what, value) in [
            (
                "envelopes_stored_total",
                "Envelopes that were new and are durable.",
                tally.stored,
            ),
            (
                "envelopes_known_total",
                "Envelopes that their mailbox had already.",
                tally.known,
            ),
            ("envelopes_full_total", "Envelopes whose mailbox was full.", tally.full),
            (
                "refused_total",
                "Envelopes, puts and doors that were refused.",
                tally.refused,
            ),
            ("busy_total", "Puts that were asked to come again.", tally.busy),
            ("envelopes_sent_total", "Envelopes pushed and fetched.", tally.sent),
            ("signals_total", "Signals passed on.", tally.signals),
            ("hints_total", "Hints given in place of envelopes.", tally.hints),
            ("chunks_sent_total", "Chunks of blobs given.", tally.chunks_sent),
            (
                "envelopes_expired_total",
                "Envelopes whose life was over.",
                tally.expired,
            ),
            (
                "knocks_answered_total",
                "Knocks that got a card.",
                tally.knocks_answered,
            ),
            ("knocks_missed_total", "Knocks that got none.", tally.knocks_missed),
            (
                "failed_batches_total",
                "Batches that the store did not take.",
                tally.failed_batches,
            ),
            (
                "damaged_total",
                "Damaged records and segments met.",
                figures.now.damaged,
            ),
        ] {
            one(&mut out, name, what, "counter", value);
        }
        for (name, what, value) in [
            ("envelopes", "Envelopes kept.", total.envelopes),
            ("mailboxes", "Mailboxes that are not empty.", total.mailboxes as u64),
            ("doors", "Doors that stand.", total.doors as u64),
            ("blobs", "Blobs kept or begun.", total.blobs as u64),
            ("blob_bytes", "Bytes that they have or are to have.", total.blob_bytes),
            ("payload_bytes", "Bytes of envelopes and cards.", total.bytes),
            ("disk_bytes", "Bytes that the store takes on disk.", total.disk_bytes),
            ("connections", "Connections.", figures.now.connections as u64),
            (
                "subscriptions",
                "Mailboxes that connections read.",
                figures.now.subscriptions as u64,
            ),
            ("resident_bytes", "Memory of the process.", resident_bytes()),
        ] {
            one(&mut out, name, what, "gauge", value);
        }
        figures.histogram(&mut out);
        figures.certificate(&mut out);
        out
    }
}

impl Figures {
    /// Where the relay gets its certificate by itself: figures, and a remark in words, which name no address.
    fn certificate(&self, out: &mut String) {
        let Some(word) = self.certificate.as_ref().map(|word| word.borrow().clone()) else {
            return;
        };
        let days = word.days_left().unwrap_or_default();
        one(
            out,
            "certificate_days_left",
            "Days for which the certificate holds.",
            "gauge",
            days,
        );
        let (name, what) = ("certificate_failures", "Attempts in a row that got no certificate.");
        one(out, name, what, "gauge", u64::from(word.failures));
        let _ = writeln!(out, "{REMARK}{word}");
    }

    fn histogram(&self, out: &mut String) {
        let name = "stonechat_relay_batch_seconds";
        let _ = writeln!(
            out,
            "# HELP {name} Time from the first request of a batch to its answers, sync included."
        );
        let _ = writeln!(out, "# TYPE {name} histogram");
        let mut count = 0;
        for (bound, in_it) in BOUNDS_MS.iter().zip(&self.batches) {
            count += in_it;
            let seconds = Duration::from_millis(*bound).as_secs_f64();
            let _ = writeln!(out, "{name}_bucket{{le=\"{seconds}\"}} {count}");
        }
        count += self.batches.last().copied().unwrap_or_default();
        let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {count}");
        let _ = writeln!(
            out,
            "{name}_sum {}\n{name}_count {count}",
            self.batch_time.as_secs_f64()
        );
    }
}

fn one(out: &mut String, name: &str, what: &str, kind: &str, value: u64) {
    // Writing into a string does not fail.
    let _ = writeln!(
        out,
        "# HELP stonechat_relay_{name} {what}\n# TYPE stonechat_relay_{name} {kind}"
    );
    let _ = writeln!(out, "stonechat_relay_{name} {value}");
}

/// Resident memory of this process; 0 where the system does not say.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or_default().saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_told_as_prometheus_reads_them() {
        let metrics = Metrics::default();
        let tally = Tally {
            stored: 7,
            ..Tally::default()
        };
        metrics.batch(
            Duration::from_millis(3),
            Snapshot {
                tally,
                ..Snapshot::default()
            },
        );
        metrics.batch(
            Duration::from_secs(9),
            Snapshot {
                tally,
                connections: 2,
                ..Snapshot::default()
            },
        );
        let text = metrics.text();
        for line in [
            "stonechat_relay_envelopes_stored_total 7",
            "stonechat_relay_connections 2",
            "stonechat_relay_batch_seconds_bucket{le=\"0.002\"} 0",
            "stonechat_relay_batch_seconds_bucket{le=\"0.005\"} 1",
            "stonechat_relay_batch_seconds_bucket{le=\"+Inf\"} 2",
            "stonechat_relay_batch_seconds_count 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        assert!(samples.clone().all(|line| {
            line.rsplit_once(' ')
                .is_some_and(|(_, value)| value.parse::<f64>().is_ok())
        }));
        let labels = samples.filter(|line| line.contains('{') && !line.contains("{le="));
        assert_eq!(labels.count(), 0, "no label but a histogram's bounds");
    }
}
