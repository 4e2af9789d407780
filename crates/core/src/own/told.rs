//! What the devices of this account tell each other (OWN-2), and how one takes another into a conversation (OWN-3).
//!
//! In: what another device of mine says, what the person says here of contacts and devices. Out: the same for the others;
//! conversations joined; a device taken away.

use super::leaves::{log_seen, soon, spread_all};
use super::{behind, reading};
use crate::account;
use crate::api::{Event, Fault, Reply};
use crate::content::vanish;
use crate::conversation::{self, Conversation, epochs};
use crate::devices;
use crate::group;
use crate::leaf;
use crate::link;
use crate::listening;
use crate::meeting::{self, block};
use crate::mls::{self, Entered, Gid, Known, Signer};
use crate::query;
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use std::collections::BTreeSet;
use stonechat_wire::card::{DeviceChange, DeviceLog};
use stonechat_wire::group::{GroupState, SUPPLY_MAX, Supply};
use stonechat_wire::ids::{AccountId, DeviceId, RelayId};
use stonechat_wire::message::Kind;
use stonechat_wire::own::{Own, OwnContact, OwnWelcome, SAVED_BYTES_MAX};

/// Key packages that lie with another device of mine (OWN-2).
const FRESH: u32 = 16;
/// Key packages of another device of mine that are kept.
const KEPT_MAX: u32 = 32;

/// Another device of mine, and the conversation with it.
pub(super) struct Other {
    device: DeviceId,
    group: Gid,
}

/// Takes in what another device of mine says.
pub(crate) fn take_in(step: &mut Step<'_, '_>, from: &Conversation, body: &[u8]) -> Result<(), Stop> {
    let Some(device) = whose(step, &from.group)? else {
        return Err(Stop::Refused("no such device"));
    };
    let me = meeting::me(step)?;
    // DEV-7: a revoked one has nothing more to say.
    if !devices::is_live(me.device_log(), device) {
        return Err(Stop::Refused("a revoked device"));
    }
    link::is_heard(step)?;
    match Own::decode(body).map_err(|_| Stop::Refused("own"))? {
        Own::Supply(supply) => supply_came(step, device, supply),
        Own::Devices(log, names) => {
            for (device, name) in names {
                call(step, device, &name)?;
            }
            log_seen(step, &log)?;
            step.event(Event::StatusChanged {});
            Ok(())
        }
        Own::Welcome(welcome) => welcomed(step, device, &welcome),
        Own::Contact(contact) => contact_told(step, device, &contact),
        Own::Blocked(account, blocked) => blocked_told(step, device, account, blocked),
        Own::Saved(plain) => {
            if conversation::saved::came(step, &plain)? {
                saved(step, plain, Some(device))?;
            }
            Ok(())
        }
        Own::Read { group, message } => reading::came(step, device, group, message),
        Own::Behind(asked) => behind::came(step, device, &asked),
    }
}

fn whose(step: &Step<'_, '_>, group: &Gid) -> Result<Option<DeviceId>, Stop> {
    let sql = "SELECT device FROM own_device WHERE group_id = ?";
    let found = step.tx.prepare_cached(sql)?.query_row([group], |row| row.get(0));
    Ok(found.optional()?.map(DeviceId::from_bytes))
}

fn other(step: &Step<'_, '_>, device: DeviceId) -> Result<Option<Other>, Stop> {
    let sql = "SELECT group_id FROM own_device WHERE device = ? AND group_id IS NOT NULL";
    let found = step
        .tx
        .prepare_cached(sql)?
        .query_row([device.as_bytes()], |row| row.get(0));
    Ok(found.optional()?.map(|group| Other { device, group }))
}

fn others(step: &Step<'_, '_>) -> Result<Vec<Other>, Stop> {
    let sql = "SELECT device, group_id FROM own_device WHERE group_id IS NOT NULL ORDER BY device";
    let mut rows = step.tx.prepare_cached(sql)?;
    let found = rows.query_map([], |row| {
        Ok(Other {
            device: DeviceId::from_bytes(row.get(0)?),
            group: row.get(1)?,
        })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// The home device, as a linked one has it.
pub(super) fn home(step: &Step<'_, '_>) -> Result<Option<Other>, Stop> {
    let me = meeting::me(step)?;
    let home = devices::home(me.device_log()).filter(|home| *home != me.device());
    home.map_or(Ok(None), |home| other(step, home))
}

pub(super) fn tell(step: &mut Step<'_, '_>, to: &Other, what: &Own) -> Result<(), Stop> {
    let of = conversation::load(step, &to.group)?.ok_or(Stop::Refused("no such conversation"))?;
    if of.gone {
        return Ok(());
    }
    conversation::tell(step, &of, Kind::Own, &what.encode())?;
    Ok(())
}

pub(super) fn tell_all(step: &mut Step<'_, '_>, what: &Own, but: Option<DeviceId>) -> Result<(), Stop> {
    for to in others(step)? {
        if Some(to.device) != but {
            tell(step, &to, what)?;
        }
    }
    Ok(())
}

/// What a device is called; this one too.
pub(crate) fn call(step: &Step<'_, '_>, device: DeviceId, name: &str) -> Result<(), Stop> {
    step.tx.execute(
        "INSERT INTO own_device(device, name) VALUES (?, ?) ON CONFLICT DO UPDATE SET name = excluded.name",
        params![device.as_bytes(), name],
    )?;
    Ok(())
}

/// The conversation with another device of mine begins (OWN-1).
pub(crate) fn meet(
    step: &mut Step<'_, '_>,
    device: DeviceId,
    entered: &Entered,
    signer: &Signer,
    relays: &[RelayId],
) -> Result<(), Stop> {
    step.tx.execute(
        "INSERT INTO chat(hidden, waiting, read_to, active_at, own) VALUES (0, 0, ?, ?, 1)",
        params![i64::MIN / 4096, step.time.0.cast_signed()],
    )?;
    let chat = step.tx.last_insert_rowid();
    conversation::enter(step, (chat, true), entered, signer, false, relays)?;
    step.tx.execute(
        "UPDATE own_device SET group_id = ? WHERE device = ?",
        params![entered.group, device.as_bytes()],
    )?;
    offer(step, device)?;
    if meeting::me(step)?.is_home() {
        tell_devices(step)?;
        spread_all(step)?;
    }
    Ok(())
}

/// Two leaves of this account: mine by `signer`, and one of that device.
pub(crate) fn check_pair(
    step: &Step<'_, '_>,
    entered: &Entered,
    signer: &Signer,
    device: DeviceId,
) -> Result<(), Stop> {
    const REFUSED: Stop = Stop::Refused("own pair");
    let [a, b] = entered.members.as_slice() else {
        return Err(REFUSED);
    };
    let (mine, theirs) = if a.index == entered.own_leaf { (a, b) } else { (b, a) };
    let me = step.me()?;
    let same = leaf::account_of(mine)? == me && leaf::account_of(theirs)? == me;
    if same && entered.state.is_none() && mine.public == signer.public() && leaf::device_of(theirs)? == device {
        Ok(())
    } else {
        Err(REFUSED)
    }
}

/// Tells all devices which there are, and what they are called.
fn tell_devices(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let me = meeting::me(step)?;
    let names: Vec<(DeviceId, String)> = step
        .tx
        .prepare_cached("SELECT device, name FROM own_device ORDER BY device LIMIT 64")?
        .query_map([], |row| Ok((DeviceId::from_bytes(row.get(0)?), row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    tell_all(step, &Own::Devices(me.device_log().clone(), names), None)
}

/// Makes sure that another device of mine has enough of my key packages.
fn offer(step: &mut Step<'_, '_>, device: DeviceId) -> Result<(), Stop> {
    let Some(to) = other(step, device)? else { return Ok(()) };
    let there: u32 = step
        .tx
        .prepare_cached("SELECT count(*) FROM own_supply WHERE device = ? AND mine = 1")?
        .query_row([device.as_bytes()], |row| row.get(0))?;
    let me = meeting::me(step)?;
    let mut made = Vec::new();
    for _ in there..FRESH {
        let signer = Signer::new(step.mls.crypto.bytes());
        let package = mls::fresh_key_package(&step.mls, &signer, leaf::identity(&me, &signer.public())?)?;
        step.tx
            .prepare_cached("INSERT INTO own_supply VALUES (?, ?, 1, ?, ?)")?
            .execute(params![package, device.as_bytes(), signer.seed(), signer.public()])?;
        made.push(Supply {
            last_resort: false,
            package,
        });
    }
    for some in made.chunks(SUPPLY_MAX) {
        tell(step, &to, &Own::Supply(some.to_vec()))?;
    }
    Ok(())
}

/// Key packages of another device of mine have come: what waited for them goes on.
fn supply_came(step: &mut Step<'_, '_>, device: DeviceId, supply: Vec<Supply>) -> Result<(), Stop> {
    let me = step.me()?;
    for one in supply {
        let leaf = mls::leaf_of(&step.mls, &one.package)?;
        if leaf::account_of(&leaf)? != me || leaf::device_of(&leaf)? != device {
            return Err(Stop::Refused("somebody else's key package"));
        }
        step.tx
            .prepare_cached(
                "INSERT OR IGNORE INTO own_supply
                 SELECT ?1, ?2, 0, NULL, NULL WHERE (SELECT count(*) FROM own_supply WHERE device = ?2 AND mine = 0) < ?3",
            )?
            .execute(params![one.package, device.as_bytes(), KEPT_MAX])?;
    }
    let due = soon(step);
    step.tx
        .prepare_cached("UPDATE spread SET due_at = ? WHERE due_at IS NULL")?
        .execute([due])?;
    Ok(())
}

pub(super) fn take(step: &Step<'_, '_>, device: DeviceId) -> Result<Option<Vec<u8>>, Stop> {
    let sql = "DELETE FROM own_supply WHERE package =
                   (SELECT package FROM own_supply WHERE device = ? AND mine = 0 LIMIT 1) RETURNING package";
    let found = step
        .tx
        .prepare_cached(sql)?
        .query_row([device.as_bytes()], |row| row.get(0));
    Ok(found.optional()?)
}

/// The signer of a leaf from a key package of mine, which is used up.
fn used(step: &Step<'_, '_>, entered: &Entered) -> Result<Signer, Stop> {
    let own = entered.members.iter().find(|leaf| leaf.index == entered.own_leaf);
    let public = own.map(|leaf| leaf.public.clone()).unwrap_or_default();
    let found: Option<[u8; 32]> = step
        .tx
        .query_row(
            "DELETE FROM own_supply WHERE mine = 1 AND public = ? RETURNING signer",
            [public],
            |row| row.get(0),
        )
        .optional()?;
    Ok(Signer::new(found.ok_or(Stop::Refused("own key package"))?))
}

/// Tells another device of mine that it is in a conversation (OWN-3).
pub(super) fn welcome_device(
    step: &mut Step<'_, '_>,
    of: &Conversation,
    device: DeviceId,
    welcome: Vec<u8>,
) -> Result<(), Stop> {
    let Some(to) = other(step, device)? else {
        return Err(Stop::Refused("no such device"));
    };
    let relays = listening::relays_of(step, &of.group)?;
    let named = relays.into_iter().take(meeting::RELAYS_NAMED + 1);
    let seq: u32 = step
        .tx
        .prepare_cached("SELECT seq FROM conversation WHERE group_id = ?")?
        .query_row([of.group], |row| row.get(0))?;
    let told = OwnWelcome {
        number: step.next_number("welcome_number")?,
        seq,
        contact: contact_of(step, of.chat)?,
        relays: named
            .map(|relay| meeting::name_relay(step, relay))
            .collect::<Result<_, _>>()?,
        welcome,
        timer: vanish::said(step, of.chat)?,
    };
    tell(step, &to, &Own::Welcome(told))
}

fn contact_of(step: &Step<'_, '_>, chat: i64) -> Result<Option<OwnContact>, Stop> {
    let sql = "SELECT contact FROM chat WHERE id = ?";
    let account: Option<Vec<u8>> = step.tx.prepare_cached(sql)?.query_row([chat], |row| row.get(0))?;
    match account {
        Some(account) => contact(step, &account),
        None => Ok(None),
    }
}

fn contact(step: &Step<'_, '_>, account: &[u8]) -> Result<Option<OwnContact>, Stop> {
    let sql = "SELECT ed25519, mldsa_hash, own_name, alias, verified, device_log FROM contact WHERE account = ?";
    let found = step.tx.prepare_cached(sql)?.query_row([account], |row| {
        Ok(OwnContact {
            ed25519: row.get(0)?,
            mldsa_hash: row.get(1)?,
            own_name: row.get(2)?,
            alias: row.get::<_, Option<String>>(3)?.unwrap_or_default(),
            verified: row.get(4)?,
            device_log: DeviceLog::decode(row.get_ref(5)?.as_blob()?).unwrap_or_default(),
        })
    });
    Ok(found.optional()?)
}

/// Another device of mine has taken this one into a conversation (OWN-3).
fn welcomed(step: &mut Step<'_, '_>, device: DeviceId, told: &OwnWelcome) -> Result<(), Stop> {
    let entered = mls::join(&step.mls, &told.welcome, Known::Again)?;
    let signer = used(step, &entered)?;
    let relays = meeting::use_all(step, told.relays.iter())?;
    check_members(step, &entered, told.contact.as_ref())?;
    let known = conversation::load(step, &entered.group)?;
    match known {
        Some(of) if number_of(step, &of)? < told.number => again(step, &of, &entered, &signer, &relays)?,
        Some(_newer) => return Err(Stop::Refused("an old welcome")),
        None => begin(step, told, &entered, &signer, &relays)?,
    }
    step.tx.execute(
        "UPDATE conversation SET seq = max(seq, ?), welcome_number = ? WHERE group_id = ?",
        params![told.seq, told.number.cast_signed(), entered.group],
    )?;
    if let (Some(of), Some(timer)) = (conversation::load(step, &entered.group)?, told.timer) {
        vanish::learn(step, &of, step.me()?, timer)?;
    }
    offer(step, device)
}

fn number_of(step: &Step<'_, '_>, of: &Conversation) -> Result<u64, Stop> {
    let sql = "SELECT welcome_number FROM conversation WHERE group_id = ?";
    let number: i64 = step.tx.prepare_cached(sql)?.query_row([of.group], |row| row.get(0))?;
    Ok(number.unsigned_abs())
}

/// Every leaf proves its account, and the accounts are those that belong there.
fn check_members(step: &Step<'_, '_>, entered: &Entered, contact: Option<&OwnContact>) -> Result<(), Stop> {
    let leaves: BTreeSet<AccountId> = entered.members.iter().map(leaf::account_of).collect::<Result<_, _>>()?;
    let me = step.me()?;
    let belong: BTreeSet<AccountId> = match (contact, &entered.state) {
        (Some(contact), None) => [me, contact.account()].into(),
        (None, Some(state)) => {
            let state = GroupState::decode(state).map_err(|_| Stop::Refused("state"))?;
            state.seats.iter().map(|seat| seat.account).collect()
        }
        _neither => return Err(Stop::Refused("no conversation")),
    };
    if leaves == belong && leaves.contains(&me) {
        Ok(())
    } else {
        Err(Stop::Refused("members"))
    }
}

fn begin(
    step: &mut Step<'_, '_>,
    told: &OwnWelcome,
    entered: &Entered,
    signer: &Signer,
    relays: &[RelayId],
) -> Result<(), Stop> {
    match &told.contact {
        Some(contact) => {
            let chat = chat_with(step, contact)?;
            conversation::enter(step, (chat, false), entered, signer, false, relays)?;
            end_lost(step, chat, contact)?;
            if let Some(contact) = query::load_contact(step.tx, contact.account().as_bytes())? {
                step.event(Event::ContactChanged { contact });
            }
            step.touch_chat(chat);
        }
        None => {
            let chat = group::begin_elsewhere(step, entered, signer, relays)?;
            step.touch_chat(chat);
        }
    }
    let of = conversation::load(step, &entered.group)?.ok_or(Stop::Refused("no such conversation"))?;
    conversation::note_began(step, &of)
}

fn again(
    step: &mut Step<'_, '_>,
    of: &Conversation,
    entered: &Entered,
    signer: &Signer,
    relays: &[RelayId],
) -> Result<(), Stop> {
    for relay in relays {
        conversation::join_relay(step, of.group, *relay)?;
    }
    epochs::plant_again(step, entered, signer)?;
    conversation::follow(step, of)
}

fn chat_with(step: &mut Step<'_, '_>, contact: &OwnContact) -> Result<i64, Stop> {
    let account = contact.account();
    if account == step.me()? {
        return Err(Stop::Refused("myself"));
    }
    account::check_log(&contact.device_log, &contact.ed25519).map_err(|_| Stop::Refused("contact's log"))?;
    let alias = Some(&contact.alias).filter(|alias| !alias.is_empty());
    step.tx.execute(
        "INSERT INTO contact(account, own_name, alias, ed25519, mldsa_hash, device_log, verified, added_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT(account) DO UPDATE SET own_name = excluded.own_name, device_log = excluded.device_log",
        params![
            account.as_bytes(),
            contact.own_name,
            alias,
            contact.ed25519,
            contact.mldsa_hash,
            contact.device_log.encode(),
            contact.verified,
            step.time.0.cast_signed()
        ],
    )?;
    meeting::chat_with(step, account, false, false)
}

/// The contact came back from its words: conversations in which only its lost devices are, end here too (RCH-3).
fn end_lost(step: &mut Step<'_, '_>, chat: i64, contact: &OwnContact) -> Result<(), Stop> {
    let groups: Vec<Gid> = step
        .tx
        .prepare_cached("SELECT group_id FROM conversation WHERE chat = ? AND gone = 0")?
        .query_map([chat], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for group in groups {
        let Some(of) = conversation::load(step, &group)? else {
            continue;
        };
        let leaves = step.groups.leaves(&step.mls, (of.group, of.epoch))?;
        let theirs = leaves
            .iter()
            .filter(|leaf| mls::account_in(&leaf.identity) == Some(contact.account()));
        let mut live =
            theirs.map(|leaf| leaf::device_of(leaf).map(|device| devices::is_live(&contact.device_log, device)));
        if !live.any(|live| live.unwrap_or(true)) {
            step.tx.execute(
                "UPDATE conversation SET gone = 1, receipt_due = NULL WHERE group_id = ?",
                [group],
            )?;
        }
    }
    Ok(())
}

/// What the owner says of a contact, said on another device (OWN-8).
fn contact_told(step: &mut Step<'_, '_>, from: DeviceId, told: &OwnContact) -> Result<(), Stop> {
    let alias = Some(&told.alias).filter(|alias| !alias.is_empty());
    let changed = step.tx.execute(
        "UPDATE contact SET alias = ?1, verified = ?2 WHERE account = ?3 AND (alias IS NOT ?1 OR verified <> ?2)",
        params![alias, told.verified, told.account().as_bytes()],
    )?;
    if changed == 0 {
        return Ok(());
    }
    if let Some(contact) = query::load_contact(step.tx, told.account().as_bytes())? {
        if let Some(chat) = contact.chat {
            step.touch_chat(chat);
        }
        step.event(Event::ContactChanged { contact });
    }
    tell_all(step, &Own::Contact(told.clone()), Some(from))
}

/// The owner has said something of a contact here.
pub(crate) fn contact_changed(step: &mut Step<'_, '_>, account: &[u8]) -> Result<(), Stop> {
    match contact(step, account)? {
        Some(contact) => tell_all(step, &Own::Contact(contact), None),
        None => Ok(()),
    }
}

/// A contact was blocked on another device, or let in again (BLK-4).
fn blocked_told(step: &mut Step<'_, '_>, from: DeviceId, account: AccountId, blocked: bool) -> Result<(), Stop> {
    if !block::put(step, account.as_bytes(), blocked)? {
        return Ok(());
    }
    if let Some(contact) = query::load_contact(step.tx, account.as_bytes())? {
        step.event(Event::ContactChanged { contact });
    }
    tell_all(step, &Own::Blocked(account, blocked), Some(from))
}

/// Something was written in the chat with oneself (OWN-9), here or, as that other device said, there.
pub(crate) fn saved(step: &mut Step<'_, '_>, plain: Vec<u8>, but: Option<DeviceId>) -> Result<(), Stop> {
    if plain.len() > SAVED_BYTES_MAX {
        return Ok(());
    }
    tell_all(step, &Own::Saved(plain), but)
}

/// A contact was blocked here, or let in again.
pub(crate) fn block_changed(step: &mut Step<'_, '_>, account: AccountId, blocked: bool) -> Result<(), Stop> {
    tell_all(step, &Own::Blocked(account, blocked), None)
}

// --- Removal (DEV-7) ---

/// Takes a device away: the log says so, every conversation removes its leaf.
pub(crate) fn remove(step: &mut Step<'_, '_>, id: &str) -> Result<Reply, Stop> {
    let mut me = meeting::me(step)?;
    let device = hex::decode(id)
        .ok()
        .and_then(|id| id.try_into().ok())
        .map(DeviceId::from_bytes)
        .ok_or(Stop::Fault(Fault::NotFound))?;
    if !me.is_home() || device == me.device() {
        return Err(Stop::Fault(Fault::NotHome));
    }
    let key = devices::live(me.device_log())
        .iter()
        .find(|logged| logged.entry.device_id == device)
        .map(|logged| logged.entry.device_ed25519);
    let key = key.ok_or(Stop::Fault(Fault::NotFound))?;
    if !me.log_device(step.tx, DeviceChange::Revoked, &key, step.time)? {
        return Err(Stop::Fault(Fault::TooMany));
    }
    // It is told as well: it may be in no other conversation.
    tell_devices(step)?;
    let packages: Vec<(Vec<u8>, bool)> = step
        .tx
        .prepare("DELETE FROM own_supply WHERE device = ? RETURNING package, mine")?
        .query_map([device.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (package, _) in packages.iter().filter(|(_, mine)| *mine) {
        mls::forget_key_package(&step.mls, package)?;
    }
    step.tx.execute(
        "UPDATE conversation SET gone = 1, receipt_due = NULL WHERE group_id =
             (SELECT group_id FROM own_device WHERE device = ?)",
        [device.as_bytes()],
    )?;
    spread_all(step)?;
    step.event(Event::StatusChanged {});
    Ok(Reply::Done {})
}
