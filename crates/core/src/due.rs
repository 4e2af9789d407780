//! What time asks for: the slots turned, what is due done, and when to come back.
//!
//! In: the two clocks, rows that carry a time. Out: what is due is done, in a fixed order; the next time to wake.
//! Nearly every step finds nothing due. So one statement asks everybody's [`Times`] at once; from the first part whose time
//! has come on they look for themselves. Times further ahead than their writers set them were written under a wrong clock:
//! those are looked for when a clock has gone back, and else once a minute.
//! Invariant: a part that would do something has a time here that says so.

use crate::capsule;
use crate::content::vanish;
use crate::conversation::{epochs, originals, receipts, renewal, wants};
use crate::group::{again, apart, behind, links};
use crate::link;
use crate::listening;
use crate::meeting::{accept, invite, public};
use crate::outbox;
use crate::own;
use crate::relays;
use crate::restore;
use crate::step::{Step, Stop};
use crate::store::StoreError;
use crate::{HELD_UP_MS, store_error};
use std::sync::OnceLock;
use stonechat_wire::ids::Timestamp;
use stonechat_wire::mailbox::Slot;

/// Between two looks for times that are too far ahead.
const LOOK_FAR_EVERY_MS: u64 = 60_000;

/// Which clock a time is of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Clock {
    Device,
    Slot,
}

/// Whether a time that is to come is worth a step of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Wake,
    /// It can wait for any other step.
    Wait,
}

/// When a part has something to do. Each query gives one number, or none; an index answers it.
#[derive(Debug)]
pub(crate) struct Times {
    /// The smallest of the times.
    pub(crate) soonest: &'static str,
    /// The largest one.
    pub(crate) latest: Option<&'static str>,
    pub(crate) clock: Clock,
    /// It is due so long after it.
    pub(crate) after_ms: u64,
    /// A time that is further ahead than this is due as well.
    pub(crate) far_ms: u64,
    pub(crate) then: Then,
}

impl Times {
    /// Times of the device clock.
    pub(crate) const fn of(soonest: &'static str, latest: &'static str, far_ms: u64) -> Self {
        Self {
            soonest,
            latest: Some(latest),
            clock: Clock::Device,
            after_ms: 0,
            far_ms,
            then: Then::Wake,
        }
    }

    /// When it is due, by the device clock.
    fn due(&self, step: &Step<'_, '_>, time: i64) -> i64 {
        self.here(step, time.saturating_add_unsigned(self.after_ms))
    }

    fn is_far(&self, step: &Step<'_, '_>, time: i64) -> bool {
        self.here(step, time) > step.now.0.saturating_add(self.far_ms).cast_signed()
    }

    /// By the device clock.
    const fn here(&self, step: &Step<'_, '_>, time: i64) -> i64 {
        match self.clock {
            Clock::Device => time,
            Clock::Slot => {
                let left = time.saturating_sub(step.time.0.cast_signed());
                step.now.0.cast_signed().saturating_add(left)
            }
        }
    }
}

type Due = fn(&mut Step<'_, '_>) -> Result<(), Stop>;

/// What time itself asks for, in this order, and when it has something to do.
const PARTS: [(Due, &[Times]); 24] = [
    (epochs::follow_others, &[epochs::SEVERAL_ROOTS]),
    (again::do_due, &[again::TIMES]),
    (restore::take_due, &[restore::TAKE_TIMES]),
    (restore::ask_due, &[restore::ASK_TIMES]),
    (invite::expire, &[invite::OPEN_TIMES, invite::USED_TIMES]),
    (public::expire, &[public::TIMES]),
    (public::say_ahead, &[public::AHEAD_TIMES]),
    (accept::expire, &[accept::TIMES]),
    (link::expire, &[link::TIMES]),
    (own::spread_due, &[own::SPREAD_TIMES]),
    (renewal::renew_due, &[renewal::TIMES]),
    (relays::tell_due, &[relays::TIMES]),
    (outbox::reseal_due, &[outbox::TIMES]),
    (outbox::wider::do_due, &[outbox::wider::TIMES]),
    (receipts::flush, &[receipts::TIMES]),
    (own::tell_read, &[own::READ_TIMES]),
    (wants::ask_due, &[wants::TIMES]),
    (originals::answer_due, &[originals::TIMES]),
    (behind::ask_due, &[behind::ASK_TIMES]),
    (behind::add_due, &[behind::ADD_TIMES]),
    (apart::ask_due, &[apart::TIMES]),
    (links::add_due, &[links::TIMES]),
    (capsule::put_due, &[capsule::TIMES]),
    (
        vanish::go_due,
        &[vanish::TIMES, vanish::BACK_TIMES, vanish::COUNT_TIMES],
    ),
];

/// All times, in the order of their parts.
fn times() -> impl Iterator<Item = &'static Times> {
    PARTS.iter().flat_map(|(_, times)| times.iter())
}

/// What is remembered from step to step, a cache.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The slot that listening and outbox were last turned to.
    slot: Option<Slot>,
    /// When times too far ahead were last looked for: device clock, slot clock.
    far: Option<(Timestamp, Timestamp)>,
}

impl Seen {
    fn looks_far(&self, step: &Step<'_, '_>) -> bool {
        self.far.is_none_or(|(now, time)| {
            step.now < now || step.time < time || step.now.0 >= now.0.saturating_add(LOOK_FAR_EVERY_MS)
        })
    }
}

/// Turns the slots and does what is due. Out: when to come back.
pub(crate) fn settle(step: &mut Step<'_, '_>, seen: &mut Seen) -> Result<Option<Timestamp>, StoreError> {
    let soon = Soonest::of(step).map_err(store_error)?;
    let looks_far = seen.looks_far(step);
    let far = looks_far && any_far(step).map_err(store_error)?;
    if looks_far {
        seen.far = Some((step.now, step.time));
    }
    if soon.revoked {
        seen.slot = Some(step.slot());
        return Ok(None);
    }
    let first = if far || seen.slot != Some(step.slot()) {
        Some(0)
    } else {
        soon.first_due(step)
    };
    #[cfg(debug_assertions)]
    check_not_due(step, looks_far, first.unwrap_or(PARTS.len()))?;
    let Some(first) = first else {
        return Ok(Some(soon.wake_at(step, 1)));
    };
    let settled = step.attempt(|step| do_from(step, first, seen.slot))?;
    let floor = if settled.is_ok() { 1 } else { HELD_UP_MS };
    seen.slot = match settled {
        Ok(slot) => Some(slot),
        Err(_) => {
            seen.far = None;
            do_apart(step, seen.slot)?
        }
    };
    let soon = Soonest::of(step).map_err(store_error)?;
    Ok((!soon.revoked).then(|| soon.wake_at(step, floor)))
}

/// Does what is due from this part on: none before it is, and what it does may make others due.
fn do_from(step: &mut Step<'_, '_>, first: usize, turned: Option<Slot>) -> Result<Slot, Stop> {
    let slot = step.slot();
    turn(step, turned)?;
    PARTS.iter().skip(first).try_for_each(|(due, _)| due(step))?;
    Ok(slot)
}

/// The same where something of it is refused: each by itself, for it must not hold up the others. Out: the slot that is
/// turned to.
fn do_apart(step: &mut Step<'_, '_>, turned: Option<Slot>) -> Result<Option<Slot>, StoreError> {
    let slot = step.slot();
    let done = step.attempt(|step| turn(step, turned))?;
    for (due, _) in PARTS {
        if let Err(Stop::Refused(why)) = step.attempt(due)? {
            step.out.refused.push(why);
        }
    }
    Ok(done.map_or(turned, |()| Some(slot)))
}

fn turn(step: &mut Step<'_, '_>, turned: Option<Slot>) -> Result<(), Stop> {
    if turned == Some(step.slot()) {
        return Ok(());
    }
    listening::turn_slots(step)?;
    outbox::turn_slot(step)?;
    relays::turn_slot(step)?;
    capsule::turn_slot(step)
}

/// The soonest of each of [`times`].
struct Soonest {
    /// The account lives elsewhere: nothing is ever due.
    revoked: bool,
    soonest: Vec<Option<i64>>,
}

impl Soonest {
    fn of(step: &Step<'_, '_>) -> Result<Self, Stop> {
        static SQL: OnceLock<String> = OnceLock::new();
        let sql = SQL.get_or_init(|| {
            let all: Vec<String> = times().map(|times| format!("({})", times.soonest)).collect();
            format!(
                "SELECT EXISTS (SELECT 1 FROM account WHERE revoked = 1), {}",
                all.join(", ")
            )
        });
        Ok(step.tx.prepare_cached(sql)?.query_row([], |row| {
            let soonest = times().enumerate().map(|(n, _)| row.get(n + 1));
            Ok(Self {
                revoked: row.get(0)?,
                soonest: soonest.collect::<Result<_, _>>()?,
            })
        })?)
    }

    /// The first part that is due.
    fn first_due(&self, step: &Step<'_, '_>) -> Option<usize> {
        let mut soonest = self.soonest.iter();
        PARTS.iter().position(|(_, times)| {
            let mut here = times.iter().zip(soonest.by_ref().take(times.len()));
            here.any(|(times, at)| at.is_some_and(|at| times.due(step, at) <= step.now.0.cast_signed()))
        })
    }

    fn wake_at(&self, step: &Step<'_, '_>, floor: u64) -> Timestamp {
        let turn = step.slot().plus(1).start().0.saturating_sub(step.time.0);
        let turn = step.now.0.saturating_add(turn.max(1));
        let wakes = times().zip(&self.soonest).filter(|(times, _)| times.then == Then::Wake);
        let due = wakes.filter_map(|(times, at)| Some(u64::try_from(times.due(step, (*at)?)).unwrap_or(0)));
        let at = due.fold(turn, u64::min);
        // Never in the past: a wake that changes nothing must not ask for another one at once.
        Timestamp(at.max(step.now.0.saturating_add(floor)))
    }
}

fn any_far(step: &Step<'_, '_>) -> Result<bool, Stop> {
    static SQL: OnceLock<String> = OnceLock::new();
    let sql = SQL.get_or_init(|| {
        let latest = |times: &Times| format!("({})", times.latest.unwrap_or("SELECT NULL"));
        let all: Vec<String> = times().map(latest).collect();
        format!("SELECT {}", all.join(", "))
    });
    Ok(step.tx.prepare_cached(sql)?.query_row([], |row| {
        let mut far = false;
        for (n, times) in times().enumerate() {
            far |= row.get::<_, Option<i64>>(n)?.is_some_and(|at| times.is_far(step, at));
        }
        Ok(far)
    })?)
}

/// Where debug assertions are on, once in a while: parts whose time has not come do nothing.
#[cfg(debug_assertions)]
fn check_not_due(step: &mut Step<'_, '_>, looked_far: bool, first: usize) -> Result<(), StoreError> {
    const ONE_IN: u64 = 16;
    if !looked_far || !step.now.0.is_multiple_of(ONE_IN) {
        return Ok(());
    }
    let done = |step: &Step<'_, '_>| (step.tx.total_changes(), step.out.errands.len(), step.out.events.len());
    let before = done(step);
    for (n, (due, _)) in PARTS.iter().enumerate().take(first) {
        due(step).map_err(store_error)?;
        debug_assert_eq!(before, done(step), "part {n} had something to do, and no time said so");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Store, StoreKey};

    #[test]
    fn what_every_step_asks_walks_no_table_that_grows() {
        let home = tempfile::tempdir().unwrap();
        let mut store = Store::create(home.path(), &StoreKey::from_bytes([1; 32])).unwrap();
        let tx = store.begin().unwrap();
        let all = times().flat_map(|times| [Some(times.soonest), times.latest]).flatten();
        for sql in all {
            let mut plan = tx.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let lines: Vec<String> = plan.raw_query().mapped(|row| row.get(3)).map(Result::unwrap).collect();
            let grows = [
                "outbox",
                "message",
                "conversation",
                "v ",
                "invite",
                "answer",
                "want",
                "newcomer",
                "spread",
            ];
            let walks = |line: &&String| {
                grows.iter().any(|table| line.starts_with(&format!("SCAN {table}"))) && !line.contains("INDEX")
            };
            assert_eq!(lines.iter().find(walks), None, "{sql}: {lines:?}");
        }
    }
}
