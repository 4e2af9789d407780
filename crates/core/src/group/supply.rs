//! Key packages between contacts: each keeps some of the other's, to add it to groups while it is offline.
//!
//! In: a contact who was let in, a Welcome that used one, a message that brings some. Out: messages with fresh ones.
//! Three fresh ones and one of last resort lie with each contact, refilled when one was used, the last resort also when it
//! is old (GRP-8, GRP-23).

use super::{links, restored};
use crate::account::Account;
use crate::api::Fault;
use crate::conversation::{self, Conversation};
use crate::devices;
use crate::leaf;
use crate::meeting;
use crate::mls::{self, Signer};
use crate::reach;
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use sha2::{Digest, Sha256};
use stonechat_wire::group::{Supply, decode_supply, encode_supply};
use stonechat_wire::ids::{AccountId, DeviceId, Timestamp};
use stonechat_wire::message::Kind;

/// Key packages that open one Welcome each.
const FRESH: u32 = 3;
/// Key packages of one contact that are kept.
const KEPT_MAX: u32 = 8;

/// A last resort that is so old is renewed, and one that was renewed is kept for so long (GRP-23).
const LAST_RESORT_MS: u64 = 30 * 24 * 3600 * 1000;
/// So many contacts get a new one each time that a relay tells the time.
const RENEWED_AT_ONCE: u32 = 8;

/// Makes sure that a contact has enough of mine.
pub(crate) fn offer(step: &mut Step<'_, '_>, to: &Conversation, account: AccountId) -> Result<(), Stop> {
    let fresh = count(step, account, 0)?;
    let mut made = Vec::new();
    for _ in fresh..FRESH {
        made.push(make(step, account, false)?);
    }
    if count(step, account, 1)? == 0 {
        made.push(make(step, account, true)?);
    }
    if !made.is_empty() {
        conversation::tell(step, to, Kind::KeyPackages, &encode_supply(&made))?;
    }
    Ok(())
}

fn count(step: &Step<'_, '_>, account: AccountId, last_resort: u8) -> Result<u32, Stop> {
    Ok(step
        .tx
        .prepare_cached(
            "SELECT count(*) FROM supply WHERE account = ? AND mine = 1 AND last_resort = ? AND retired_at IS NULL",
        )?
        .query_row(params![account.as_bytes(), last_resort], |row| row.get(0))?)
}

fn make(step: &Step<'_, '_>, account: AccountId, last_resort: bool) -> Result<Supply, Stop> {
    let me = meeting::me(step)?;
    let signer = Signer::new(step.mls.crypto.bytes());
    let identity = leaf::identity(&me, &signer.public())?;
    let package = if last_resort {
        mls::key_package(&step.mls, &signer, identity)?
    } else {
        mls::fresh_key_package(&step.mls, &signer, identity)?
    };
    step.tx
        .prepare_cached("INSERT INTO supply VALUES (?, ?, 1, ?, ?, ?, ?, NULL)")?
        .execute(params![
            package,
            account.as_bytes(),
            last_resort,
            signer.seed(),
            signer.public(),
            step.time.0.cast_signed()
        ])?;
    Ok(Supply { last_resort, package })
}

/// A contact brings some: those that are its own are kept, the newest ones.
pub(crate) fn take_in(step: &mut Step<'_, '_>, from: AccountId, body: &[u8]) -> Result<(), Stop> {
    let supply = decode_supply(body).map_err(|_| Stop::Refused("supply"))?;
    for one in supply {
        let leaf = mls::leaf_of(&step.mls, &one.package)?;
        if leaf::account_of(&leaf)? != from {
            return Err(Stop::Refused("somebody else's key package"));
        }
        // DEV-3; a log that is not known yet speaks against nobody.
        let log = reach::known_log(step, from)?;
        if !log.entries.is_empty() && !devices::is_live(&log, leaf::device_of(&leaf)?) {
            return Err(Stop::Refused("a lost device's key package"));
        }
        if one.last_resort {
            step.tx
                .prepare_cached("DELETE FROM supply WHERE account = ? AND mine = 0 AND last_resort = 1")?
                .execute([from.as_bytes()])?;
        }
        step.tx
            .prepare_cached("INSERT OR IGNORE INTO supply VALUES (?, ?, 0, ?, NULL, NULL, ?, NULL)")?
            .execute(params![
                one.package,
                from.as_bytes(),
                one.last_resort,
                step.time.0.cast_signed()
            ])?;
    }
    step.tx
        .prepare_cached(
            "DELETE FROM supply WHERE account = ?1 AND mine = 0 AND package NOT IN
                 (SELECT package FROM supply WHERE account = ?1 AND mine = 0 ORDER BY last_resort DESC, package LIMIT ?2)",
        )?
        .execute(params![from.as_bytes(), KEPT_MAX])?;
    links::keys_came(step, from)?;
    restored::keys_came(step, from)
}

/// Whether this contact can be added.
pub(crate) fn has(step: &Step<'_, '_>, account: AccountId) -> Result<bool, Stop> {
    Ok(step
        .tx
        .prepare_cached("SELECT 1 FROM supply WHERE account = ? AND mine = 0")?
        .exists([account.as_bytes()])?)
}

/// One to add this contact with; the last resort stays. Of the fresh ones, which all my devices have, those that fall to
/// this one: each opens one Welcome (GRP-8).
pub(crate) fn take(step: &Step<'_, '_>, account: AccountId) -> Result<Vec<u8>, Stop> {
    let me = meeting::me(step)?;
    let packages: Vec<(Vec<u8>, bool)> = step
        .tx
        .prepare_cached("SELECT package, last_resort FROM supply WHERE account = ? AND mine = 0 ORDER BY last_resort")?
        .query_map([account.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let found = packages
        .into_iter()
        .find(|(package, last_resort)| *last_resort || falls_to(&me, package) == Some(me.device()));
    let (package, last_resort) = found.ok_or(Stop::Fault(Fault::NoKeysYet))?;
    if !last_resort {
        step.tx.execute("DELETE FROM supply WHERE package = ?", [&package])?;
    }
    Ok(package)
}

/// The device of mine that uses a key package: the lowest by SHA-256(package | device id).
fn falls_to(me: &Account, package: &[u8]) -> Option<DeviceId> {
    let live = devices::live(me.device_log()).into_iter();
    live.map(|logged| logged.entry.device_id).min_by_key(|device| {
        let mut hash = Sha256::new_with_prefix(package);
        hash.update(device.as_bytes());
        <[u8; 32]>::from(hash.finalize())
    })
}

/// The signer of a leaf made from a key package of mine; a fresh one is used up. Out: nothing where it is none of mine.
pub(crate) fn used(step: &Step<'_, '_>, public: &[u8]) -> Result<Option<Signer>, Stop> {
    let found: Option<([u8; 32], bool)> = step
        .tx
        .query_row(
            "SELECT signer, last_resort FROM supply WHERE mine = 1 AND public = ?",
            [public],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let Some((seed, last_resort)) = found else {
        return Ok(None);
    };
    if last_resort {
        retire(step, public)?;
    } else {
        step.tx
            .execute("DELETE FROM supply WHERE mine = 1 AND public = ?", [public])?;
    }
    Ok(Some(Signer::new(seed)))
}

/// A last resort of mine is followed by another one; what is on its way still opens by it.
fn retire(step: &Step<'_, '_>, public: &[u8]) -> Result<(), Stop> {
    step.tx
        .prepare_cached("UPDATE supply SET retired_at = ? WHERE mine = 1 AND public = ? AND retired_at IS NULL")?
        .execute(params![step.time.0.cast_signed(), public])?;
    Ok(())
}

/// A relay has told the time: old last resorts of mine are followed by new ones, and those retired long ago open nothing
/// any more (GRP-23). In: the time as that relay told it.
pub(crate) fn renew_old(step: &mut Step<'_, '_>, told: Timestamp) -> Result<(), Stop> {
    let before = told.0.saturating_sub(LAST_RESORT_MS).cast_signed();
    forget_retired(step, before)?;
    let old: Vec<([u8; 32], Vec<u8>)> = step
        .tx
        .prepare_cached(
            "SELECT account, public FROM supply WHERE mine = 1 AND last_resort = 1 AND retired_at IS NULL AND made_at <= ?
             LIMIT ?",
        )?
        .query_map(params![before, RENEWED_AT_ONCE], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (account, public) in old {
        let account = AccountId::from_bytes(account);
        let of = match conversation::with_contact(step, account) {
            Ok(of) => of,
            // Nothing is said there now: not before it is old again, so that others have their turn.
            Err(Stop::Fault(_)) => {
                step.tx
                    .prepare_cached("UPDATE supply SET made_at = ? WHERE mine = 1 AND public = ?")?
                    .execute(params![told.0.cast_signed(), public])?;
                continue;
            }
            Err(other) => return Err(other),
        };
        retire(step, &public)?;
        offer(step, &of, account)?;
    }
    Ok(())
}

fn forget_retired(step: &Step<'_, '_>, before: i64) -> Result<(), Stop> {
    let retired: Vec<Vec<u8>> = step
        .tx
        .prepare_cached("SELECT package FROM supply WHERE mine = 1 AND retired_at <= ?")?
        .query_map([before], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for package in retired {
        mls::forget_key_package(&step.mls, &package)?;
        step.tx
            .prepare_cached("DELETE FROM supply WHERE package = ?")?
            .execute([package])?;
    }
    Ok(())
}
