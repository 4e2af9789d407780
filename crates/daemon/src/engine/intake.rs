//! What core is to take in next, batched, and kept until it has been.
//!
//! In: news as the courier brings it. Out: inputs, several arrivals in one, up to [`BATCH_MAX`] envelopes. What a full
//! disk refused comes again after [`RETRY_MS`]; what fails otherwise is tried one by one, [`TRIES_MAX`] times, and then
//! dropped, so that one broken envelope does not stop the rest.

use std::collections::VecDeque;

use stonechat_core::Input;
use stonechat_wire::exchange::{Arrival, News};
use stonechat_wire::ids::Timestamp;

/// So many envelopes at most share one transaction.
pub(super) const BATCH_MAX: usize = 1_000;
/// What found no room is tried again after this.
pub(super) const RETRY_MS: u64 = 2_000;

/// A single input that fails for another reason is tried so often.
const TRIES_MAX: u32 = 3;

/// The queue in front of core.
#[derive(Debug)]
pub(super) struct Intake {
    waiting: VecDeque<Item>,
    /// What core is busy with, as it was given.
    given: Option<Item>,
    retry_at: Option<Timestamp>,
    /// How often the first one waiting has failed.
    failures: u32,
}

/// An input that can be given more than once.
#[derive(Clone, Debug)]
enum Item {
    Started,
    News(News),
}

/// What became of the input last given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Committed.
    Taken,
    /// The disk was full at this time.
    NoRoom(Timestamp),
    /// It failed at this time for another reason.
    Failed(Timestamp),
}

impl Intake {
    /// Holds the first input of an opened profile.
    pub(super) fn new(first: Input) -> Self {
        let first = matches!(first, Input::Started).then_some(Item::Started);
        Self {
            waiting: first.into_iter().collect(),
            given: None,
            retry_at: None,
            failures: 0,
        }
    }

    /// Whether further news may be fetched: nothing is kept back.
    pub(super) fn is_free(&self) -> bool {
        self.waiting.is_empty() && self.given.is_none()
    }

    /// When what is kept back is to be tried again.
    pub(super) fn retry_at(&self) -> Option<Timestamp> {
        self.retry_at
    }

    /// Whether it is time for that.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.retry_at.is_some_and(|at| at <= now)
    }

    /// Takes news; arrivals draw those that wait behind them into their batch.
    pub(super) fn take(&mut self, first: News, mut more: impl FnMut() -> Option<News>) {
        let News::Arrived(mut batch) = first else {
            self.waiting.push_back(Item::News(first));
            return;
        };
        while batch.len() < BATCH_MAX {
            match more() {
                Some(News::Arrived(arrivals)) => batch.extend(arrivals),
                Some(other) => {
                    self.push_batches(batch);
                    self.waiting.push_back(Item::News(other));
                    return;
                }
                None => break,
            }
        }
        self.push_batches(batch);
    }

    fn push_batches(&mut self, mut batch: Vec<Arrival>) {
        while batch.len() > BATCH_MAX {
            let rest = batch.split_off(BATCH_MAX);
            self.waiting.push_back(Item::News(News::Arrived(batch)));
            batch = rest;
        }
        self.waiting.push_back(Item::News(News::Arrived(batch)));
    }

    /// The next input; `None` when there is none, or it is not time yet.
    pub(super) fn next(&mut self, now: Timestamp) -> Option<Input> {
        if self.retry_at.is_some_and(|at| at > now) {
            return None;
        }
        self.retry_at = None;
        let item = self.waiting.pop_front()?;
        self.given = Some(item.clone());
        Some(match item {
            Item::Started => Input::Started,
            Item::News(news) => Input::News(news),
        })
    }

    /// What became of it.
    pub(super) fn done(&mut self, outcome: Outcome) {
        let Some(item) = self.given.take() else { return };
        match (outcome, item) {
            (Outcome::Taken, _) => self.failures = 0,
            (Outcome::NoRoom(now), item) => self.again(item, now),
            (Outcome::Failed(_), Item::News(News::Arrived(batch))) if batch.len() > 1 => {
                for arrival in batch.into_iter().rev() {
                    self.waiting.push_front(Item::News(News::Arrived(vec![arrival])));
                }
            }
            (Outcome::Failed(now), item) if self.failures + 1 < TRIES_MAX => {
                self.failures += 1;
                self.again(item, now);
            }
            (Outcome::Failed(_), _) => {
                self.failures = 0;
                tracing::error!("an input was dropped: it cannot be taken in");
            }
        }
    }

    fn again(&mut self, item: Item, now: Timestamp) {
        self.waiting.push_front(item);
        self.retry_at = Some(Timestamp(now.0.saturating_add(RETRY_MS)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stonechat_wire::ids::{RelayId, Tag};

    const NOW: Timestamp = Timestamp(1_000);

    fn arrived(count: u64) -> News {
        let one = |cursor| Arrival {
            relay: RelayId::from_bytes([0; 16]),
            tag: Tag::from_bytes([0; 16]),
            cursor,
            envelope: Vec::new(),
        };
        News::Arrived((0..count).map(one).collect())
    }

    fn sizes(intake: &mut Intake, outcome: Outcome) -> Vec<usize> {
        let mut sizes = Vec::new();
        while let Some(input) = intake.next(NOW) {
            sizes.push(if let Input::News(News::Arrived(batch)) = input {
                batch.len()
            } else {
                0
            });
            intake.done(outcome);
        }
        sizes
    }

    fn empty() -> Intake {
        let mut intake = Intake::new(Input::Started);
        assert!(matches!(intake.next(NOW), Some(Input::Started)));
        intake.done(Outcome::Taken);
        intake
    }

    #[test]
    fn arrivals_that_wait_share_a_transaction_up_to_a_thousand() {
        let mut intake = empty();
        let mut queue = VecDeque::from([arrived(600), arrived(300), arrived(5)]);
        intake.take(arrived(500), || queue.pop_front());
        assert_eq!(sizes(&mut intake, Outcome::Taken), [1000, 100]);
        assert_eq!(queue.len(), 2);
    }

    #[test]
    fn other_news_keeps_its_place_behind_the_arrivals_before_it() {
        let mut intake = empty();
        let mut queue = VecDeque::from([arrived(2), News::Offline, arrived(4)]);
        intake.take(arrived(1), || queue.pop_front());
        assert_eq!(sizes(&mut intake, Outcome::Taken), [3, 0]);
    }

    #[test]
    fn what_a_full_disk_refuses_is_kept_and_tried_again_later() {
        let mut intake = empty();
        intake.take(arrived(3), || None);
        assert!(intake.next(NOW).is_some());
        intake.done(Outcome::NoRoom(NOW));
        assert!(intake.next(NOW).is_none() && !intake.is_free());
        let later = Timestamp(NOW.0 + RETRY_MS);
        assert!(
            intake.is_due(later) && matches!(intake.next(later), Some(Input::News(News::Arrived(b))) if b.len() == 3)
        );
    }

    #[test]
    fn a_batch_that_cannot_be_taken_in_is_tried_one_by_one_and_then_dropped() {
        let mut intake = empty();
        intake.take(arrived(2), || None);
        let mut sizes = Vec::new();
        for seconds in 0.. {
            let now = Timestamp(seconds * 1_000);
            match intake.next(now) {
                Some(Input::News(News::Arrived(batch))) => sizes.push(batch.len()),
                Some(_) => panic!("nothing else was taken"),
                None if intake.is_free() => break,
                None => continue,
            }
            intake.done(Outcome::Failed(now));
        }
        assert_eq!(sizes, [2, 1, 1, 1, 1, 1, 1]);
    }
}
