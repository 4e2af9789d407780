//! Members that cannot follow a group any more: away too long, or on a branch that everybody has left. They ask to be
//! added again by themselves, and whoever may does so; no person does anything.
//!
//! In: when somebody was heard, that a relay was reached, what others ask. Out: the question, in a conversation of two;
//! commits put again, or a commit that gives the asker a new leaf. Specified in `docs/protocol/12-groups.md` (GRP-11, GRP-12).
//! Invariant: whoever asks gets one new leaf in a while, whatever it says.

use super::bring_back;
use crate::conversation::{self, Conversation, epochs, originals, receipts};
use crate::defence::{self, Defence};
use crate::due::Times;
use crate::leaf;
use crate::meeting;
use crate::mls::Gid;
use crate::own;
use crate::roles;
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use stonechat_wire::group::Behind;
use stonechat_wire::ids::{AccountId, EpochId};
use stonechat_wire::message::Kind;

const HOUR_MS: u64 = 3600 * 1000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// So long nobody was heard in a group: this device may be behind (GRP-11).
const SILENT_MS: u64 = 7 * DAY_MS;
/// So long after a relay was reached it may still catch up by what lies there (GRP-11).
const GRACE_MS: u64 = HOUR_MS;
/// Another one is asked after so long; when all were asked, after [`ROUND_MS`] (GRP-11).
const ASK_EVERY_MS: u64 = DAY_MS;
const ROUND_MS: u64 = 7 * DAY_MS;
/// Later than this nothing is ever due: what says so was written under a wrong clock.
const LATEST_MS: u64 = 2 * ROUND_MS;
/// Times asked that are counted.
const COUNTED_MAX: u32 = 200;
/// Whoever asks is added again so long after, if nothing was heard of it in the head by then (GRP-12).
const ADD_AFTER_MS: u64 = 10 * 60 * 1000;
/// ... and so long after where the commits that it lacks were put again.
const CAUGHT_UP_MS: u64 = DAY_MS;
/// An account is heard once in so long (GRP-12).
const HEARD_EVERY_MS: u64 = 3 * DAY_MS;

/// Somebody else was heard in a group.
pub(crate) fn heard(step: &Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    let time = step.time.0.cast_signed();
    let hour_ago = time.saturating_sub_unsigned(HOUR_MS);
    step.tx
        .prepare_cached(
            "UPDATE conversation SET heard_at = ?2, silent = 0
             WHERE group_id = ?1 AND (silent > 0 OR heard_at < ?3 OR heard_at > ?2)",
        )?
        .execute(params![group, time, hour_ago])?;
    Ok(())
}

/// A relay was reached, and the time is known: groups where nobody was heard for long are looked after in an hour.
pub(crate) fn relay_reached(step: &Step<'_, '_>) -> Result<(), Stop> {
    let (now, time) = (step.now.0, step.time.0.cast_signed());
    step.tx
        .prepare_cached(
            "UPDATE conversation SET silent = 1, ask_at = ?1
             WHERE (grouped = 1 OR (own = 0 AND (SELECT seed FROM account) IS NULL)) AND silent = 0 AND gone = 0 AND leaving = 0 AND accounts > 1
               AND max(heard_at, created_at) < ?2",
        )?
        .execute(params![
            now.saturating_add(GRACE_MS).cast_signed(),
            time.saturating_sub_unsigned(SILENT_MS)
        ])?;
    Ok(())
}

/// Asks where that is due.
pub(crate) fn ask_due(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let sql = "SELECT group_id, silent FROM conversation WHERE silent > 0 AND (ask_at <= ? OR ask_at > ?)";
    let due: Vec<(Gid, u32)> = step
        .tx
        .prepare_cached(sql)?
        .query_map(range(step), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (group, silent) in due {
        // Who cannot be asked now is passed over; the next one is asked in time.
        let _refused = step.attempt(|step| ask(step, &group, silent))?;
    }
    Ok(())
}

/// What is due is at most the first, or more than the second.
fn range(step: &Step<'_, '_>) -> [i64; 2] {
    let now = step.now.0;
    [now.cast_signed(), now.saturating_add(LATEST_MS).cast_signed()]
}

/// When somebody is asked.
pub(crate) const ASK_TIMES: Times = Times::of(
    "SELECT min(ask_at) FROM conversation INDEXED BY conversation_silent WHERE silent > 0",
    "SELECT max(ask_at) FROM conversation INDEXED BY conversation_silent WHERE silent > 0",
    LATEST_MS,
);
/// When somebody is added again.
pub(crate) const ADD_TIMES: Times = Times::of(
    "SELECT min(due_at) FROM behind WHERE due_at IS NOT NULL",
    "SELECT max(due_at) FROM behind WHERE due_at IS NOT NULL",
    LATEST_MS,
);

fn ask(step: &mut Step<'_, '_>, group: &Gid, silent: u32) -> Result<(), Stop> {
    let of = conversation::load(step, group)?.ok_or(Stop::Refused("no such conversation"))?;
    let linked = !meeting::me(step)?.is_home();
    let helpers = helpers(step, &of)?;
    let asked = usize::try_from(silent.saturating_sub(1)).unwrap_or(0);
    let all_asked = asked + 1 >= helpers.len();
    let wait = if all_asked { ROUND_MS } else { ASK_EVERY_MS };
    step.tx
        .prepare_cached("UPDATE conversation SET silent = min(silent + 1, ?), ask_at = ? WHERE group_id = ?")?
        .execute(params![
            COUNTED_MAX,
            step.now.0.saturating_add(wait).cast_signed(),
            group
        ])?;
    step.touch_chat(of.chat);
    let behind = Behind {
        group: *group,
        epoch: of.epoch,
        number: step.groups.number(&step.mls, (*group, of.epoch))?,
        leaf: of.signer.public(),
    };
    if linked {
        return own::ask_home(step, &behind);
    }
    let turn = asked.checked_rem(helpers.len()).and_then(|turn| helpers.get(turn));
    let Some(helper) = turn else { return Ok(()) };
    let to = conversation::with_contact(step, *helper)?;
    conversation::tell(step, &to, Kind::Behind, &behind.encode())?;
    Ok(())
}

/// Contacts who could bring me back, by what I know of the group, the highest authority first.
fn helpers(step: &Step<'_, '_>, of: &Conversation) -> Result<Vec<AccountId>, Stop> {
    let me = step.me()?;
    // Key packages of mine that lie with contacts are the home device's: a linked one would not come back by them.
    if !meeting::me(step)?.is_home() {
        return Ok(vec![]);
    }
    let Some(state) = epochs::state(step, of.epoch)? else {
        return Ok(vec![]);
    };
    let may = |account: &AccountId| *account != me && roles::may_bring_back(&state, *account, me);
    let seats = state.seats.iter().map(|seat| seat.account);
    Ok(seats
        .filter(may)
        .filter(|account| conversation::with_contact(step, *account).is_ok())
        .collect())
}

/// A contact cannot follow a group. What it lacks is put again, where that is kept; and after a while it gets a new leaf.
pub(crate) fn take_in(step: &mut Step<'_, '_>, account: AccountId, body: &[u8]) -> Result<(), Stop> {
    let behind = Behind::decode(body).map_err(|_| Stop::Refused("behind"))?;
    let Some(of) = conversation::load(step, &behind.group)?.filter(|of| of.grouped && !of.gone && !of.leaving) else {
        return Ok(());
    };
    let Some(leaf) = leaf_in_head(step, &of, account, &behind)? else {
        return Ok(());
    };
    if !hears(step, &of, account)? {
        return Ok(());
    }
    if behind.epoch == of.epoch {
        return receipts::due(step, &of.group); // it is not behind: it hears that somebody is there
    }
    // With a leaf that it has beside the head's branch alone it follows nothing that is put again.
    let wait = if leaf == behind.leaf && originals::catch_up(step, &of, account, behind.epoch)? {
        CAUGHT_UP_MS
    } else {
        ADD_AFTER_MS
    };
    step.tx
        .prepare_cached(
            "INSERT OR REPLACE INTO behind(group_id, account, leaf, epoch_id, number, due_at, asked_at)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            of.group,
            account.as_bytes(),
            leaf,
            behind.epoch.as_bytes(),
            i64::try_from(behind.number).unwrap_or(i64::MAX),
            step.now.0.saturating_add(wait).cast_signed(),
            step.now.0.cast_signed()
        ])?;
    Ok(())
}

/// The asker's leaf in the head: the one that it names, or that of the same device where a commit beside the head's branch has
/// given it the one that it names. None where it has another one already, or none.
fn leaf_in_head(
    step: &mut Step<'_, '_>,
    of: &Conversation,
    account: AccountId,
    behind: &Behind,
) -> Result<Option<[u8; 32]>, Stop> {
    if is_leaf_of(step, of, account, &behind.leaf)? {
        return Ok(Some(behind.leaf));
    }
    if !epochs::is_kept_beside(step, of, behind.epoch)? {
        return Ok(None);
    }
    let there = step.groups.leaves(&step.mls, (of.group, behind.epoch))?;
    let Some(named) = there.iter().find(|leaf| leaf.public == behind.leaf) else {
        return Ok(None);
    };
    let device = leaf::device_of(named)?;
    for leaf in step.groups.leaves(&step.mls, (of.group, of.epoch))? {
        let is_theirs = leaf::account_of(&leaf)? == account && leaf::account_of(named)? == account;
        if is_theirs && leaf::device_of(&leaf)? == device {
            return Ok(leaf.public.as_slice().try_into().ok());
        }
    }
    Ok(None)
}

/// The account has this leaf in the head: nobody has given it another one.
fn is_leaf_of(step: &mut Step<'_, '_>, of: &Conversation, account: AccountId, leaf: &[u8; 32]) -> Result<bool, Stop> {
    let members = epochs::members(step, of.epoch)?;
    for member in members.iter().filter(|member| member.account == account) {
        let found = step.groups.leaf(&step.mls, (of.group, of.epoch), member.leaf)?;
        if found.public == leaf {
            return Ok(true);
        }
    }
    Ok(false)
}

fn hears(step: &Step<'_, '_>, of: &Conversation, account: AccountId) -> Result<bool, Stop> {
    let now = step.now.0.cast_signed();
    let last: Option<i64> = step
        .tx
        .prepare_cached("SELECT asked_at FROM behind WHERE group_id = ? AND account = ?")?
        .query_row(params![of.group, account.as_bytes()], |row| row.get(0))
        .optional()?;
    let long_ago = |last: i64| last > now || last.saturating_add_unsigned(HEARD_EVERY_MS) <= now;
    Ok(last.is_none_or(long_ago) || !defence::holds(Defence::BackOnce))
}

/// Gives new leaves to those who asked and were not heard in the head since.
pub(crate) fn add_due(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let sql = "SELECT group_id, account FROM behind WHERE due_at <= ? OR due_at > ? ORDER BY due_at, account";
    let due: Vec<(Gid, [u8; 32])> = step
        .tx
        .prepare_cached(sql)?
        .query_map(range(step), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (group, account) in due {
        let (number, leaf, stands, lost): (i64, [u8; 32], [u8; 16], bool) = step
            .tx
            .prepare_cached(
                "UPDATE behind SET due_at = NULL WHERE group_id = ? AND account = ?
                 RETURNING number, leaf, epoch_id, lost",
            )?
            .query_row(params![group, account], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?;
        let behind = Behind {
            group,
            epoch: EpochId::from_bytes(stands),
            number: number.unsigned_abs(),
            leaf,
        };
        // Who may not is not the one who was to be asked.
        let _refused = step.attempt(|step| add(step, AccountId::from_bytes(account), &behind, lost))?;
    }
    Ok(())
}

fn add(step: &mut Step<'_, '_>, account: AccountId, behind: &Behind, lost: bool) -> Result<(), Stop> {
    let Some(of) = conversation::load(step, &behind.group)?.filter(|of| !of.gone && !of.leaving) else {
        return Ok(());
    };
    // RCH-6: a lost device cannot follow, wherever it stands.
    if lost {
        return if is_leaf_of(step, &of, account, &behind.leaf)? {
            bring_back(step, &of, account, None)?;
            let of = conversation::load(step, &behind.group)?.ok_or(Stop::Refused("no such conversation"))?;
            conversation::note_device(step, &of, account)
        } else {
            Ok(())
        };
    }
    // One that is further than I am is not behind: I am.
    let number = step.groups.number(&step.mls, (of.group, of.epoch))?;
    let behind_me = number > behind.number || somebody_stands_at_head(step, &of, account)?;
    if !behind_me || originals::stands_at_head(step, &of, account)? {
        return Ok(());
    }
    if is_leaf_of(step, &of, account, &behind.leaf)? {
        bring_back(step, &of, account, Some(&behind.leaf))?;
    }
    Ok(())
}

/// A third one was heard in the head last: it is not I who is behind.
fn somebody_stands_at_head(step: &Step<'_, '_>, of: &Conversation, besides: AccountId) -> Result<bool, Stop> {
    Ok(step
        .tx
        .prepare_cached("SELECT 1 FROM standing WHERE group_id = ? AND epoch_id = ? AND account <> ?")?
        .exists(params![of.group, of.epoch.as_bytes(), besides.as_bytes()])?)
}
