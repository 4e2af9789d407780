//! Links into groups: invitations whose taker meets the inviter and is then added to a group.
//!
//! In: wishes of the person, people whom an invitation has let in, key packages that came. Out: invitations (made and
//! answered by `meeting::invite`), commits that add. A link gives no right that its maker does not have: whoever gets the
//! commit judges it like any other (GRP-5). Specified in `docs/protocol/12-groups.md` (GLK-*).
//! Invariant: whoever was let in stands in `newcomer` until the group has them, or cannot.

use super::{add_all, joining, loaded, state, supply};
use crate::api::{self, Fault, How, Reply, Who};
use crate::conversation::{self, Conversation};
use crate::defence::{self, Defence};
use crate::due::Times;
use crate::meeting::invite::{self, IntoGroup, New};
use crate::mls::Gid;
use crate::step::{Step, Stop};
use rusqlite::params;
use stonechat_wire::group::SEATS_MAX;
use stonechat_wire::ids::AccountId;

const HOUR_MS: u64 = 3600 * 1000;
/// People that a link lets in, and hours that it lasts, where nothing is said (GLK-1).
const MOST_USUAL: u32 = 50;
const HOURS_USUAL: u32 = 7 * 24;
/// A seal key is kept for 30 days at most.
const HOURS_MAX: u32 = 30 * 24;
/// So soon somebody is added whose key packages are here: those who come meanwhile are added by the same commit.
const SOON_MS: u64 = 3_000;
/// What could not be done is tried again so much later, so often.
const RETRY_MS: u64 = 10 * 60 * 1000;
const TRIES_MAX: u32 = 144;
/// People whom one commit adds.
const AT_ONCE: u32 = 32;

const DUE: &str = "SELECT DISTINCT group_id FROM newcomer INDEXED BY newcomer_due
                   WHERE due_at IS NOT NULL AND (due_at <= ?1 OR due_at > ?1 + ?2)";
const KEYS_CAME: &str = "UPDATE newcomer SET due_at = ? WHERE account = ? AND due_at IS NULL";
const WAS_MEMBER: &str = "SELECT 1 FROM seat WHERE chat = ? AND account = ? AND place IS NULL";

/// Whom a link lets in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) most: u32,
    pub(crate) approval: bool,
}

/// Makes a link into a group (GLK-1).
pub(crate) fn create(step: &mut Step<'_, '_>, wish: &api::GroupLink) -> Result<Reply, Stop> {
    let of = loaded(step, wish.chat)?;
    if room(step, &of.group)?.is_none() {
        return Err(Stop::Fault(Fault::NotAllowed));
    }
    let most = wish.most.unwrap_or(MOST_USUAL);
    let hours = wish.hours.unwrap_or(HOURS_USUAL);
    let seats = u32::try_from(SEATS_MAX).unwrap_or(u32::MAX);
    if !(1..=seats).contains(&most) || !(1..=HOURS_MAX).contains(&hours) {
        return Err(Stop::Fault(Fault::BadParams));
    }
    let into = IntoGroup {
        group: of.group,
        name: state(step, &of)?.name,
        most,
        approval: wish.approval,
    };
    let new = New {
        who: Who::Group,
        how: How::Plain,
        life_ms: u64::from(hours) * HOUR_MS,
        into: Some(into),
        bound: None,
    };
    invite::make(step, &new)
}

/// How many more the group takes; nothing where I may not add.
pub(crate) fn room(step: &Step<'_, '_>, group: &Gid) -> Result<Option<usize>, Stop> {
    let Some(of) = conversation::load(step, group)?.filter(|of| of.grouped && !of.gone && !of.leaving) else {
        return Ok(None);
    };
    let state = state(step, &of)?;
    Ok(joining::may_add(&state, step.me()?).then(|| state.seats_max().saturating_sub(state.seats.len())))
}

/// Whoever was in the group before waits for approval, whatever the link says: it may have been removed (GLK-2).
pub(crate) fn lets_in_at_once(
    step: &Step<'_, '_>,
    group: &Gid,
    terms: Terms,
    account: AccountId,
) -> Result<bool, Stop> {
    let Some(of) = conversation::load(step, group)? else {
        return Ok(false);
    };
    let was_member = step
        .tx
        .prepare_cached(WAS_MEMBER)?
        .exists(params![of.chat, account.as_bytes()])?;
    let waits = terms.approval || (was_member && defence::holds(Defence::WasMember));
    Ok(!waits)
}

/// Somebody was let in by a link: is added as soon as key packages are here (GLK-3).
pub(crate) fn let_in(step: &Step<'_, '_>, group: &Gid, account: AccountId) -> Result<(), Stop> {
    let room = room(step, group)?.ok_or(Stop::Fault(Fault::NotAllowed))?;
    let of = conversation::load(step, group)?.ok_or(Stop::Fault(Fault::NotFound))?;
    if state(step, &of)?.rank(account).is_some() {
        return Ok(());
    }
    if room == 0 {
        return Err(Stop::Fault(Fault::GroupFull));
    }
    let due_at = supply::has(step, account)?.then(|| in_ms(step, SOON_MS));
    step.tx
        .prepare_cached("INSERT OR REPLACE INTO newcomer(group_id, account, due_at) VALUES (?, ?, ?)")?
        .execute(params![group, account.as_bytes(), due_at])?;
    Ok(())
}

/// Key packages of this contact are here.
pub(crate) fn keys_came(step: &Step<'_, '_>, account: AccountId) -> Result<(), Stop> {
    step.tx
        .prepare_cached(KEYS_CAME)?
        .execute(params![in_ms(step, SOON_MS), account.as_bytes()])?;
    Ok(())
}

fn in_ms(step: &Step<'_, '_>, ms: u64) -> i64 {
    step.now.0.saturating_add(ms).cast_signed()
}

/// Adds those who are due, those of one group by one commit.
pub(crate) fn add_due(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let groups: Vec<Gid> = step
        .tx
        .prepare_cached(DUE)?
        .query_map(params![step.now.0.cast_signed(), RETRY_MS.cast_signed()], |row| {
            row.get(0)
        })?
        .collect::<Result<_, _>>()?;
    for group in groups {
        let accounts = due(step, &group)?;
        if step.attempt(|step| add(step, &group, &accounts))?.is_ok() {
            continue;
        }
        // One who cannot be added must not keep the others out.
        for account in accounts {
            if step.attempt(|step| add(step, &group, &[account]))?.is_err() {
                put_off(step, &group, account)?;
            }
        }
    }
    Ok(())
}

fn due(step: &Step<'_, '_>, group: &Gid) -> Result<Vec<AccountId>, Stop> {
    let sql = "SELECT account FROM newcomer WHERE group_id = ?1 AND (due_at <= ?2 OR due_at > ?2 + ?3)
               ORDER BY due_at, account LIMIT ?4";
    let now = step.now.0.cast_signed();
    Ok(step
        .tx
        .prepare_cached(sql)?
        .query_map(params![group, now, RETRY_MS.cast_signed(), AT_ONCE], |row| {
            row.get(0).map(AccountId::from_bytes)
        })?
        .collect::<Result<_, _>>()?)
}

fn add(step: &mut Step<'_, '_>, group: &Gid, accounts: &[AccountId]) -> Result<(), Stop> {
    let Some(room) = room(step, group)? else {
        return lost(step, group);
    };
    let of = conversation::load(step, group)?.ok_or(Stop::Fault(Fault::NotFound))?;
    let head = state(step, &of)?;
    let mut comes = Vec::new();
    for account in accounts {
        // Who is in already, and whoever finds no room, waits no more.
        let here = head.rank(*account).is_some() || comes.len() >= room;
        if here || supply::has(step, *account)? {
            forget(step, group, *account)?;
            comes.extend((!here).then_some(*account));
        } else {
            wait_for_keys(step, group, *account)?;
        }
    }
    if comes.is_empty() {
        return Ok(());
    }
    add_all(step, of.chat, &comes)
}

fn forget(step: &Step<'_, '_>, group: &Gid, account: AccountId) -> Result<(), Stop> {
    step.tx
        .prepare_cached("DELETE FROM newcomer WHERE group_id = ? AND account = ?")?
        .execute(params![group, account.as_bytes()])?;
    Ok(())
}

fn wait_for_keys(step: &Step<'_, '_>, group: &Gid, account: AccountId) -> Result<(), Stop> {
    step.tx
        .prepare_cached("UPDATE newcomer SET due_at = NULL WHERE group_id = ? AND account = ?")?
        .execute(params![group, account.as_bytes()])?;
    Ok(())
}

fn put_off(step: &Step<'_, '_>, group: &Gid, account: AccountId) -> Result<(), Stop> {
    let tries: u32 = step
        .tx
        .prepare_cached(
            "UPDATE newcomer SET due_at = ?, tries = tries + 1 WHERE group_id = ? AND account = ? RETURNING tries",
        )?
        .query_row(params![in_ms(step, RETRY_MS), group, account.as_bytes()], |row| {
            row.get(0)
        })?;
    if tries >= TRIES_MAX {
        return forget(step, group, account);
    }
    Ok(())
}

/// The head has moved, or I leave: where I may add no more, links lead nowhere and nobody waits (GLK-5).
pub(crate) fn look(step: &mut Step<'_, '_>, of: &Conversation) -> Result<(), Stop> {
    match room(step, &of.group)? {
        Some(_) => Ok(()),
        None => lost(step, &of.group),
    }
}

fn lost(step: &mut Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    step.tx
        .prepare_cached("DELETE FROM newcomer WHERE group_id = ?")?
        .execute([group])?;
    invite::close_links(step, group)
}

/// When the next one is due.
pub(crate) const TIMES: Times = Times::of(
    "SELECT min(due_at) FROM newcomer WHERE due_at IS NOT NULL",
    "SELECT max(due_at) FROM newcomer WHERE due_at IS NOT NULL",
    RETRY_MS,
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Store, StoreKey};

    #[test]
    fn what_every_step_asks_of_newcomers_is_answered_by_an_index_glk_3() {
        let home = tempfile::tempdir().unwrap();
        let mut store = Store::create(home.path(), &StoreKey::from_bytes([1; 32])).unwrap();
        let tx = store.begin().unwrap();
        for sql in [DUE, KEYS_CAME, WAS_MEMBER] {
            let mut plan = tx.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let lines: Vec<String> = plan.raw_query().mapped(|row| row.get(3)).map(Result::unwrap).collect();
            let walks = |line: &&String| line.starts_with("SCAN") && !line.contains("INDEX newcomer_due");
            assert_eq!(lines.iter().find(walks), None, "{lines:?}");
        }
    }
}
