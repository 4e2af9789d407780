//! What changed, numbered: kept for a while so that a window that lost its connection misses nothing.
//!
//! In: events, in order, from the engine's thread. Out: to each subscriber the events after the one it saw last,
//! or "reset" when those are no longer kept. Numbers grow across restarts, so an old window is told to reload.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// So many events are kept.
pub(crate) const KEPT: usize = 4_096;

/// The ring of recent events.
#[derive(Debug)]
pub(crate) struct Events {
    ring: Mutex<Ring>,
    newest: watch::Sender<u64>,
}

#[derive(Debug)]
struct Ring {
    /// Number of the event before the first kept one.
    before: u64,
    kept: VecDeque<Arc<str>>,
}

impl Ring {
    fn newest(&self) -> u64 {
        self.before
            .saturating_add(u64::try_from(self.kept.len()).unwrap_or(u64::MAX))
    }
}

/// Where a subscriber stands.
#[derive(Debug)]
pub(crate) struct Reader {
    events: Arc<Events>,
    seen: u64,
    newest: watch::Receiver<u64>,
}

/// The reader was too slow: what it missed is no longer kept.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("events were missed")]
pub(crate) struct Missed;

impl Events {
    /// Numbers begin at 1,000 for each millisecond since 1970: above every number of an earlier run.
    pub(crate) fn new(now_ms: u64) -> Arc<Self> {
        let before = now_ms.saturating_mul(1_000);
        let ring = Ring {
            before,
            kept: VecDeque::new(),
        };
        Arc::new(Self {
            ring: Mutex::new(ring),
            newest: watch::Sender::new(before),
        })
    }

    /// Adds events (as JSON text) and wakes the readers.
    pub(crate) fn publish(&self, events: impl IntoIterator<Item = String>) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            if ring.kept.len() == KEPT {
                ring.kept.pop_front();
                ring.before = ring.before.saturating_add(1);
            }
            ring.kept.push_back(event.into());
        }
        self.newest.send_replace(ring.newest());
    }

    /// Starts reading after `since`. Out: the reader, the number it starts after, and whether what lay between is lost.
    pub(crate) fn read(self: &Arc<Self>, since: Option<u64>) -> (Reader, u64, bool) {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = ring.newest();
        let resumable = since.filter(|since| (ring.before..=newest).contains(since));
        let seen = resumable.unwrap_or(newest);
        let reader = Reader {
            events: Arc::clone(self),
            seen,
            newest: self.newest.subscribe(),
        };
        (reader, seen, since.is_some() && resumable.is_none())
    }
}

impl Reader {
    /// Waits for events after the last one given out. Out: at least one `(number, JSON text)`.
    ///
    /// Errors: [`Missed`] when the ring went past this reader.
    pub(crate) async fn next(&mut self) -> Result<Vec<(u64, Arc<str>)>, Missed> {
        let seen = self.seen;
        // The sender lives in `events`, which this reader holds.
        let _ = self.newest.wait_for(|newest| *newest > seen).await;
        let ring = self.events.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let skip = self.seen.checked_sub(ring.before).ok_or(Missed)?;
        let skip = usize::try_from(skip).map_err(|_| Missed)?;
        let first = self.seen.saturating_add(1);
        let batch: Vec<_> = (first..).zip(ring.kept.iter().skip(skip).cloned()).collect();
        self.seen = ring.newest();
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(range: std::ops::Range<u32>) -> Vec<String> {
        range.map(|n| n.to_string()).collect()
    }

    fn texts(batch: Vec<(u64, Arc<str>)>) -> Vec<String> {
        batch.into_iter().map(|(_, text)| text.to_string()).collect()
    }

    #[tokio::test]
    async fn a_reader_resumes_after_the_event_it_saw_last() {
        let events = Events::new(1);
        events.publish(numbered(0..3));
        let (mut reader, seen, reset) = events.read(Some(1_001));
        assert_eq!((seen, reset), (1_001, false));
        assert_eq!(texts(reader.next().await.unwrap()), ["1", "2"]);
        events.publish(numbered(3..4));
        assert_eq!(reader.next().await.unwrap(), [(1_004, "3".into())]);
    }

    #[tokio::test]
    async fn a_reader_of_another_run_or_of_long_ago_is_reset() {
        let events = Events::new(1);
        events.publish(numbered(0..5_000));
        for since in [0, 1_000, 9_999_999] {
            let (_, seen, reset) = events.read(Some(since));
            assert_eq!((seen, reset), (6_000, true));
        }
        let (_, seen, reset) = events.read(None);
        assert_eq!((seen, reset), (6_000, false));
    }

    #[tokio::test]
    async fn a_reader_that_sleeps_too_long_is_told_that_it_missed_events() {
        let events = Events::new(1);
        let (mut reader, ..) = events.read(None);
        events.publish(numbered(0..5_000));
        assert_eq!(reader.next().await.unwrap_err(), Missed);
    }

    #[test]
    fn the_ring_is_bounded() {
        let events = Events::new(1);
        events.publish(numbered(0..20_000));
        assert_eq!(events.ring.lock().unwrap().kept.len(), KEPT);
    }
}
