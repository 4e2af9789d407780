//! Messages that go by themselves: some time after they were read, or after they have left.
//!
//! In: the chat's timer, reading and delivery news, the slot clock. Out: rows emptied as by a deletion for oneself
//! (CON-7), and when the next one is due. Each message carries its own time: what a timer says later changes nothing of
//! those that are written. Specified in `docs/protocol/13-content.md` (CON-9 to CON-12).
//! Invariant: a message goes with its text, its index entry, its acts and what was kept beside it in one transaction.

use super::shown::Shown;
use super::wishes;
use crate::api::{self, ChatId, Event, Fault, Reply};
use crate::conversation::{self, Conversation};
use crate::defence::{self, Defence};
use crate::due::{Clock, Then, Times};
use crate::group;
use crate::step::{CLOCK_TRUSTED_MS, Step, Stop};
use rusqlite::{OptionalExtension, params};
use stonechat_wire::group::SaidTimer;
use stonechat_wire::ids::{AccountId, MessageId};
use stonechat_wire::post::{TIMER_S_MAX, TIMER_S_MIN};

/// Messages that go in one step; the others a moment later.
const GO_AT_ONCE: u32 = 500;
/// Of more than these the interface reads all again.
const TOLD_MAX: usize = 100;

/// Messages of a chat up to a position are read at a time (CON-11), which a relay's clock may be ahead of (CON-12).
pub(crate) const READ: &str = "
    UPDATE message SET state = 3, (vanish_from, vanish_at, back_at) = (
      SELECT since, since + timer_s * 1000, iif(since > ?3, ?3 + timer_s * 1000, NULL)
      FROM (SELECT max(?3, ?4) AS since) WHERE timer_s > 0 AND kind <> 6)
    WHERE chat = ?1 AND state = 4 AND position <= ?2";
const LEFT: &str = "
    UPDATE message SET (vanish_from, vanish_at, back_at) = (
      SELECT since, since + timer_s * 1000, iif(since > ?2, ?2 + timer_s * 1000, NULL) FROM (SELECT max(?2, ?3) AS since))
    WHERE id = ?1 AND timer_s > 0 AND kind <> 6 AND mine = 1 AND vanish_at IS NULL";
/// The clock is behind what it showed: none stays longer than its timer from then on (CON-12). Where it is far behind it may
/// come forward again.
const BACK: &str = "
    UPDATE message INDEXED BY message_counting SET back_at = ?1 + timer_s * 1000
    WHERE vanish_from > ?2 AND (back_at IS NULL OR back_at > ?1 + timer_s * 1000)";
const BACK_A_LITTLE: &str = "
    UPDATE message INDEXED BY message_counting SET vanish_from = ?1, vanish_at = ?1 + timer_s * 1000, back_at = NULL
    WHERE vanish_from > ?1 AND vanish_from <= ?2";
const BACK_NO_MORE: &str = "
    UPDATE message INDEXED BY message_back SET back_at = NULL WHERE back_at IS NOT NULL AND vanish_from <= ?1";
const DUE: &str = "
    SELECT id, chat FROM message INDEXED BY message_vanishing WHERE vanish_at <= ?1
    UNION ALL SELECT id, chat FROM message INDEXED BY message_back WHERE back_at <= ?1 LIMIT ?2";
const OF_CHAT: &str = "
    SELECT nullif(timer_s, 0) FROM message INDEXED BY message_timer
    WHERE chat = ? AND kind = 6 AND late = 0 ORDER BY position DESC LIMIT 1";
const SAID: &str = "
    SELECT hlc, nullif(timer_s, 0) FROM message INDEXED BY message_timer
    WHERE chat = ? AND kind = 6 AND late = 0 ORDER BY position DESC LIMIT 1";

/// The timer of what is written in a chat now: what its lowest line about it says (CON-10).
pub(crate) fn of_chat(step: &Step<'_, '_>, chat: ChatId) -> Result<Option<u32>, Stop> {
    let timer: Option<Option<u32>> = step
        .tx
        .prepare_cached(OF_CHAT)?
        .query_row([chat], |row| row.get(0))
        .optional()?;
    Ok(timer.flatten())
}

/// The newest that was said about a chat's timer, for whoever comes into it.
pub(crate) fn said(step: &Step<'_, '_>, chat: ChatId) -> Result<Option<SaidTimer>, Stop> {
    Ok(step
        .tx
        .prepare_cached(SAID)?
        .query_row([chat], |row| {
            Ok(SaidTimer {
                hlc: row.get::<_, i64>(0)?.unsigned_abs(),
                seconds: row.get(1)?,
            })
        })
        .optional()?)
}

/// Whoever added me says how long messages stay there: it counts where nothing newer is known (GRP-13).
pub(crate) fn learn(step: &mut Step<'_, '_>, of: &Conversation, by: AccountId, timer: SaidTimer) -> Result<(), Stop> {
    if said(step, of.chat)?.is_some_and(|known| known.hlc >= timer.hlc) {
        return Ok(());
    }
    conversation::note_timer(step, of, by, timer)
}

/// Sets the timer of a chat. What is so already stays so, and nobody is told.
pub(crate) fn set(step: &mut Step<'_, '_>, wish: &api::TimerSet) -> Result<Reply, Stop> {
    if wish.seconds.is_some_and(|s| !(TIMER_S_MIN..=TIMER_S_MAX).contains(&s)) {
        return Err(Stop::Fault(Fault::BadParams));
    }
    let to = conversation::writable(step, wish.chat)?;
    if !group::may_edit(step, to.epoch, step.me()?)? {
        return Err(Stop::Fault(Fault::NotAllowed));
    }
    if of_chat(step, to.chat)? == wish.seconds {
        return Ok(Reply::Done {});
    }
    conversation::show(step, to, &Shown::timer(wish.seconds), None)?;
    Ok(Reply::Done {})
}

/// A message of mine is on its way: its time counts from here on (CON-11).
pub(crate) fn left(step: &Step<'_, '_>, id: MessageId) -> Result<(), Stop> {
    let (now, confirmed) = (step.time.0.cast_signed(), confirmed(step)?);
    step.tx
        .prepare_cached(LEFT)?
        .execute(params![id.as_bytes(), now, confirmed])?;
    Ok(())
}

/// What some relay said last that it is, where the slot clock is more than a day behind; else 0.
pub(crate) fn confirmed(step: &Step<'_, '_>) -> Result<i64, Stop> {
    let sql = "SELECT max(clock) FROM relay WHERE clock > ?";
    let trusted = step.time.0.cast_signed().saturating_add(CLOCK_TRUSTED_MS);
    let clock: Option<i64> = step.tx.prepare_cached(sql)?.query_row([trusted], |row| row.get(0))?;
    Ok(clock.unwrap_or(0))
}

/// Counts anew what began to count later than it is now.
fn go_back(step: &Step<'_, '_>) -> Result<(), Stop> {
    if !defence::holds(Defence::ClockBack) {
        return Ok(());
    }
    let now = step.time.0.cast_signed();
    let far = now.saturating_add(CLOCK_TRUSTED_MS);
    step.tx.prepare_cached(BACK_NO_MORE)?.execute([now])?;
    step.tx.prepare_cached(BACK_A_LITTLE)?.execute([now, far])?;
    step.tx.prepare_cached(BACK)?.execute([now, far])?;
    Ok(())
}

/// Lets go of what is due.
pub(crate) fn go_due(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let any = "SELECT 1 FROM message INDEXED BY message_vanishing WHERE vanish_at IS NOT NULL";
    if !step.tx.prepare_cached(any)?.exists([])? {
        return Ok(());
    }
    go_back(step)?;
    let now = step.time.0.cast_signed();
    let due: Vec<([u8; 16], ChatId)> = step
        .tx
        .prepare_cached(DUE)?
        .query_map(params![now, GO_AT_ONCE], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (id, chat) in &due {
        wishes::forget(step, MessageId::from_bytes(*id), *chat)?;
    }
    if due.len() > TOLD_MAX {
        step.event(Event::Ingested { messages: 0 });
        return Ok(());
    }
    for (id, chat) in due {
        let id = hex::encode(id);
        step.event(Event::MessageRemoved { chat, id });
    }
    Ok(())
}

/// When the next one goes.
pub(crate) const TIMES: Times = slot_times(
    "SELECT min(vanish_at) FROM message INDEXED BY message_vanishing WHERE vanish_at IS NOT NULL",
    None,
);
/// When the next one goes while the clock is behind. Whether it is so still is looked at as often as may be.
pub(crate) const BACK_TIMES: Times = slot_times(
    "SELECT min(back_at) FROM message INDEXED BY message_back WHERE back_at IS NOT NULL",
    Some("SELECT 9000000000000000 FROM message INDEXED BY message_back WHERE back_at IS NOT NULL LIMIT 1"),
);
/// Since when the last one counts: a clock that is behind that counts anew.
pub(crate) const COUNT_TIMES: Times = slot_times(
    "SELECT NULL",
    Some("SELECT max(vanish_from) FROM message INDEXED BY message_counting WHERE vanish_from IS NOT NULL"),
);

const fn slot_times(soonest: &'static str, latest: Option<&'static str>) -> Times {
    Times {
        soonest,
        latest,
        clock: Clock::Slot,
        after_ms: 0,
        far_ms: 0,
        then: Then::Wake,
    }
}
