//! Groups: founding one, who comes and goes, who may do what.
//!
//! In: wishes of the person, the head moving, members who leave. Out: commits (through `conversation::epochs`), Welcomes
//! in conversations of two, the entry of the chat. What is allowed `roles` says, to whoever makes a commit as to whoever
//! receives it. `supply` keeps the key packages that others are added with, `joining` takes in a Welcome, `apart` has what
//! many Welcomes have in common, `succession` makes another owner where none comes back,
//! `again` does once more what lost to a fork, `placed` tells whom that had added,
//! `picture` keeps what the group is shown with, `behind` brings back who cannot follow, `links` adds whom a link has let in.
//! Specified in `docs/protocol/12-groups.md` (GRP-*).
//! Invariant: a group's chat shows what the head says; nothing here is kept that the head does not.

pub(crate) mod again;
pub(crate) mod apart;
pub(crate) mod behind;
pub(crate) mod joining;
pub(crate) mod links;
pub(crate) mod picture;
pub(crate) mod placed;
pub(crate) mod restored;
pub(crate) mod succession;
pub(crate) mod supply;

use crate::api::{self, ChatId, Fault, Reply};
use crate::content::vanish;
use crate::conversation::{self, Conversation, epochs, graph, renewal};
use crate::defence::{self, Defence};
use crate::leaf;
use crate::meeting;
use crate::mls::{self, Gid, Signer, Wish};
use crate::near;
use crate::outbox;
use crate::own;
use crate::query;
use crate::restore;
use crate::roles::{self, Change};
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use std::collections::BTreeSet;
use stonechat_wire::apart::{Apart, INSIDE_BYTES_MAX};
use stonechat_wire::group::{GroupState, Invitation, Leave, NAME_BYTES_MAX, Note, Role, Seat, leave_bytes};
use stonechat_wire::ids::{AccountId, EpochId, RelayId};
use stonechat_wire::message::Kind;

/// So soon an admin carries out what somebody who leaves has signed; others within [`LEAVE_LATE_MS`] (GRP-7).
const LEAVE_SOON_MS: u64 = 10 * 60 * 1000;
const LEAVE_LATE_MS: u64 = 6 * 3600 * 1000;

/// Makes a group of me and some contacts.
pub(crate) fn create(step: &mut Step<'_, '_>, wish: &api::GroupCreate) -> Result<Reply, Stop> {
    let me = meeting::me(step)?;
    restore::is_over(step)?;
    let signer = Signer::new(step.mls.crypto.bytes());
    let state = GroupState {
        large: wish.large,
        name: checked_name(&wish.name)?,
        description: String::new(),
        may_write: Role::Member,
        may_add: Role::Admin,
        may_edit: Role::Admin,
        seats: vec![Seat {
            account: me.id(),
            role: Role::Owner,
            name: me.name().to_owned(),
        }],
        picture: None,
    };
    let identity = leaf::identity(&me, &signer.public())?;
    let entered = mls::found_group(&step.mls, &signer, identity, &state.encode())?;
    let relays = meeting_places(step)?;
    let chat = begin(step, &entered, &signer, &relays)?;
    let members = accounts_of(&wish.members)?;
    if !members.is_empty() {
        add_all(step, chat, &members)?;
    }
    let of = loaded(step, chat)?;
    conversation::note_began(step, &of)?;
    shown(step, chat)
}

/// The chat and conversation of a group just founded or joined.
fn begin(step: &mut Step<'_, '_>, entered: &mls::Entered, signer: &Signer, relays: &[RelayId]) -> Result<ChatId, Stop> {
    let chat = chat_for(step, &entered.group)?;
    conversation::begin(step, chat, entered, signer, false, relays)?;
    step.tx.execute(
        "UPDATE conversation SET grouped = 1 WHERE group_id = ?",
        params![entered.group],
    )?;
    head_moved(step, &entered.group, &[])?;
    own::spread(step, &entered.group)?;
    Ok(chat)
}

/// The same, where another device of mine has taken this one in (OWN-3).
pub(crate) fn begin_elsewhere(
    step: &mut Step<'_, '_>,
    entered: &mls::Entered,
    signer: &Signer,
    relays: &[RelayId],
) -> Result<ChatId, Stop> {
    begin(step, entered, signer, relays)
}

/// A new chat, or the one that the capsule has made for this group (RCH-6).
fn chat_for(step: &Step<'_, '_>, group: &Gid) -> Result<ChatId, Stop> {
    if let Some((chat, _)) = restore::lost(step, group)? {
        step.tx.execute("DELETE FROM lost_group WHERE group_id = ?", [group])?;
        return Ok(chat);
    }
    step.tx.execute(
        "INSERT INTO chat(name, hidden, waiting, read_to, active_at) VALUES ('', 0, 0, ?, ?)",
        params![i64::MIN / 4096, step.time.0.cast_signed()],
    )?;
    Ok(step.tx.last_insert_rowid())
}

/// Own relays before lent ones, as many as a conversation names.
fn meeting_places(step: &Step<'_, '_>) -> Result<Vec<RelayId>, Stop> {
    let mut relays = meeting::own_relays(step)?;
    relays.truncate(meeting::RELAYS_NAMED);
    relays.extend(near::mine(step)?.map(|(relay, _)| relay));
    if relays.is_empty() {
        return Err(Stop::Fault(Fault::NoRelay));
    }
    Ok(relays)
}

/// Adds contacts.
pub(crate) fn add(step: &mut Step<'_, '_>, wish: &api::GroupMembers) -> Result<Reply, Stop> {
    add_all(step, wish.chat, &accounts_of(&wish.members)?)?;
    shown(step, wish.chat)
}

fn add_all(step: &mut Step<'_, '_>, chat: ChatId, comes: &[AccountId]) -> Result<(), Stop> {
    let of = loaded(step, chat)?;
    let mut after = state(step, &of)?;
    for account in comes {
        if after.rank(*account).is_some() {
            return Err(Stop::Fault(Fault::MemberAlready));
        }
        let name = contact_name(step, *account)?;
        after.seats.push(Seat {
            account: *account,
            role: Role::Member,
            name,
        });
    }
    if after.seats.len() > after.seats_max() {
        return Err(Stop::Fault(Fault::GroupFull));
    }
    after.seats.sort_by_key(|seat| seat.role);
    change(step, &of, &after, comes, &BTreeSet::new())
}

/// Removes members.
pub(crate) fn remove(step: &mut Step<'_, '_>, wish: &api::GroupMembers) -> Result<Reply, Stop> {
    let of = loaded(step, wish.chat)?;
    let mut after = state(step, &of)?;
    let goes: BTreeSet<AccountId> = accounts_of(&wish.members)?.into_iter().collect();
    if goes.iter().any(|account| after.rank(*account).is_none()) {
        return Err(Stop::Fault(Fault::NotFound));
    }
    after.seats.retain(|seat| !goes.contains(&seat.account));
    change(step, &of, &after, &[], &goes)?;
    shown(step, wish.chat)
}

/// Gives a member another role.
pub(crate) fn set_role(step: &mut Step<'_, '_>, wish: &api::GroupRole) -> Result<Reply, Stop> {
    let of = loaded(step, wish.chat)?;
    let mut after = state(step, &of)?;
    let (whom, role) = (account_of(&wish.member)?, role_of(wish.role));
    let had = after.role(whom);
    let mine = whom == step.me()?;
    let moved = if mine && had.is_some_and(|had| had < role) {
        step_down(&mut after, whom, role)
    } else {
        give(&mut after, whom, role)
    };
    moved.ok_or(Stop::Fault(Fault::NotFound))?;
    // GRP-14: an owner steps down when somebody else is one.
    if after.seats.first().is_none_or(|seat| seat.role != Role::Owner) {
        let others = !mine && had == Some(Role::Owner);
        return Err(Stop::Fault(if others { Fault::NotAllowed } else { Fault::LastOwner }));
    }
    change(step, &of, &after, &[], &BTreeSet::new())?;
    shown(step, wish.chat)
}

/// The seat goes to the end of those of its new role: the last of them in authority.
fn give(state: &mut GroupState, account: AccountId, role: Role) -> Option<()> {
    let mut seat = taken_out(state, account)?;
    seat.role = role;
    let end = state.seats.partition_point(|other| other.role <= role);
    state.seats.insert(end, seat);
    Some(())
}

/// My own seat goes before those of its new role: an owner whose capsule is older knows me as one who may bring it back
/// (GRP-14).
fn step_down(state: &mut GroupState, me: AccountId, role: Role) -> Option<()> {
    let mut seat = taken_out(state, me)?;
    seat.role = role;
    let first = state.seats.partition_point(|other| other.role < role);
    state.seats.insert(first, seat);
    Some(())
}

fn taken_out(state: &mut GroupState, account: AccountId) -> Option<Seat> {
    let place = state.rank(account)?;
    Some(state.seats.remove(place))
}

/// Changes name, description or policy.
pub(crate) fn edit(step: &mut Step<'_, '_>, wish: &api::GroupEdit) -> Result<Reply, Stop> {
    let of = loaded(step, wish.chat)?;
    let mut after = state(step, &of)?;
    if let Some(name) = &wish.name {
        after.name = checked_name(name)?;
    }
    if let Some(description) = &wish.description {
        if description.len() > stonechat_wire::group::DESCRIPTION_BYTES_MAX {
            return Err(Stop::Fault(Fault::BadText));
        }
        description.trim().clone_into(&mut after.description);
    }
    after.may_write = wish.may_write.map_or(after.may_write, role_of);
    after.may_add = wish.may_add.map_or(after.may_add, role_of);
    after.may_edit = wish.may_edit.map_or(after.may_edit, role_of);
    change(step, &of, &after, &[], &BTreeSet::new())?;
    shown(step, wish.chat)
}

/// Says that I leave. Somebody's next commit takes me out; until then I am still in, and write nothing.
pub(crate) fn leave(step: &mut Step<'_, '_>, wish: &api::ByChat) -> Result<Reply, Stop> {
    let of = loaded(step, wish.chat)?;
    let me = step.me()?;
    if of.accounts == 1 {
        step.tx
            .execute("UPDATE conversation SET gone = 1 WHERE group_id = ?", [of.group])?;
    } else {
        let signature = of.signer.sign(&leave_bytes(&of.group, me));
        conversation::tell(step, &of, Kind::Leave, &signature)?;
        step.tx
            .execute("UPDATE conversation SET leaving = 1 WHERE group_id = ?", [of.group])?;
    }
    links::look(step, &of)?;
    step.touch_chat(wish.chat);
    shown(step, wish.chat)
}

/// Makes the commit from the state that shall be, and sends the Welcomes.
fn change(
    step: &mut Step<'_, '_>,
    of: &Conversation,
    after: &GroupState,
    comes: &[AccountId],
    goes: &BTreeSet<AccountId>,
) -> Result<(), Stop> {
    change_as(step, of, after, comes, goes, None)
}

/// The same, where it does again what another commit did that lost.
fn change_as(
    step: &mut Step<'_, '_>,
    of: &Conversation,
    after: &GroupState,
    comes: &[AccountId],
    goes: &BTreeSet<AccountId>,
    lost: Option<EpochId>,
) -> Result<(), Stop> {
    let leaves = signed_leaves(step, of)?;
    let before = state(step, of)?;
    if before == *after {
        return Ok(());
    }
    let left = leaves
        .iter()
        .map(|leave| leave.account)
        .filter(|account| goes.contains(account));
    let change = Change {
        before: &before,
        after,
        author: step.me()?,
        comes: comes.iter().copied().collect(),
        goes: goes.clone(),
        left: left.collect(),
        consents: BTreeSet::new(),
        renewed: true,
    };
    let judged = roles::judge(&change).map_err(|_| Stop::Fault(Fault::NotAllowed))?;
    let unwilling: Vec<AccountId> = judged
        .unseats
        .iter()
        .filter(|account| !change.left.contains(account))
        .copied()
        .collect();
    let note = Note {
        cuts: epochs::cuts(step, of, &unwilling, lost)?,
        leaves: leaves
            .into_iter()
            .filter(|leave| goes.contains(&leave.account))
            .collect(),
        consents: vec![],
    };
    let packages = comes
        .iter()
        .map(|account| supply::take(step, *account))
        .collect::<Result<Vec<_>, _>>()?;
    let members = epochs::members(step, of.epoch)?;
    let gone: Vec<u32> = members
        .iter()
        .filter(|m| goes.contains(&m.account))
        .map(|m| m.leaf)
        .collect();
    let wish = Wish {
        add: &packages,
        remove: &gone,
        state: Some(&after.encode()),
        note: &note.encode(),
    };
    let made = epochs::commit(step, of, &wish, &judged, &note)?;
    invite_all(step, of, comes, &packages, &made)
}

/// Sends each newcomer its Welcome; what they have in common goes apart where it is long (GRP-15).
fn invite_all(
    step: &mut Step<'_, '_>,
    of: &Conversation,
    comes: &[AccountId],
    packages: &[Vec<u8>],
    made: &mls::Made,
) -> Result<(), Stop> {
    let welcome = made.welcome.as_deref().unwrap_or_default();
    let mut lies = None;
    for (account, package) in comes.iter().zip(packages) {
        let (mut own, common) = mls::split_for(&step.mls, welcome, package)?;
        if common.len() <= INSIDE_BYTES_MAX {
            own.extend_from_slice(common);
        } else if lies.is_none() {
            lies = Some(apart::put(step, of, common)?);
        }
        if let Some(apart) = &lies {
            apart::awaits(step, apart, &mls::leaf_of(&step.mls, package)?)?;
        }
        invite(step, of, *account, own, lies.clone())?;
    }
    if comes.is_empty() {
        return Ok(());
    }
    picture::again(step, of)
}

/// A new leaf for a member that fell behind, in one commit; everything else stays (GRP-12).
fn bring_back(
    step: &mut Step<'_, '_>,
    of: &Conversation,
    account: AccountId,
    behind: Option<&[u8; 32]>,
) -> Result<(), Stop> {
    let state = state(step, of)?;
    let both: BTreeSet<AccountId> = [account].into();
    let change = Change {
        before: &state,
        after: &state,
        author: step.me()?,
        comes: both.clone(),
        goes: both,
        left: BTreeSet::new(),
        consents: BTreeSet::new(),
        renewed: true,
    };
    let judged = roles::judge(&change).map_err(|_| Stop::Fault(Fault::NotAllowed))?;
    let packages = [supply::take(step, account)?];
    let members = epochs::members(step, of.epoch)?;
    // Of several leaves the one that is behind; all where the account came back from its words (RCH-6).
    let old: Vec<u32> = members
        .iter()
        .filter(|member| member.account == account && behind.is_none_or(|leaf| leaf.starts_with(&member.key)))
        .map(|member| member.leaf)
        .collect();
    if old.is_empty() {
        return Err(Stop::Fault(Fault::NotFound));
    }
    let wish = Wish {
        add: &packages,
        remove: &old,
        state: None,
        note: &[],
    };
    let made = epochs::commit(step, of, &wish, &judged, &Note::default())?;
    invite_all(step, of, &[account], &packages, &made)
}

/// Sends the Welcome in the conversation of two (GRP-9).
fn invite(
    step: &mut Step<'_, '_>,
    of: &Conversation,
    account: AccountId,
    welcome: Vec<u8>,
    apart: Option<Apart>,
) -> Result<(), Stop> {
    let relays = crate::listening::relays_of(step, &of.group)?;
    let named = relays
        .into_iter()
        .take(meeting::RELAYS_NAMED)
        .map(|relay| meeting::name_relay(step, relay));
    let invitation = Invitation {
        relays: named.collect::<Result<_, _>>()?,
        welcome,
        timer: vanish::said(step, of.chat)?,
        apart,
    };
    let to = conversation::with_contact(step, account)?;
    conversation::tell(step, &to, Kind::Welcome, &invitation.encode())?;
    Ok(())
}

/// A member says that it leaves (GRP-7).
pub(crate) fn leave_said(
    step: &mut Step<'_, '_>,
    of: &Conversation,
    by: conversation::Sealed,
    body: &[u8],
) -> Result<(), Stop> {
    let signature: [u8; 64] = body.try_into().map_err(|_| Stop::Refused("leave"))?;
    let leaf = step.groups.leaf(&step.mls, (of.group, by.epoch), by.leaf)?;
    if defence::holds(Defence::LeaveSigned) {
        check_leave(&of.group, by.account, &leaf, &signature)?;
    }
    step.tx
        .prepare_cached("INSERT OR REPLACE INTO leaving(group_id, account, signature, key) VALUES (?, ?, ?, ?)")?
        .execute(params![
            of.group,
            by.account.as_bytes(),
            signature,
            leaf.public.get(..8)
        ])?;
    if by.account == step.me()? {
        // Said on another device of mine.
        step.tx
            .execute("UPDATE conversation SET leaving = 1 WHERE group_id = ?", [of.group])?;
        return Ok(());
    }
    hasten_leaves(step, of)
}

fn check_leave(group: &Gid, account: AccountId, leaf: &mls::Leaf, signature: &[u8; 64]) -> Result<(), Stop> {
    let key = leaf.public.as_slice().try_into().map_err(|_| Stop::Refused("leaf"))?;
    leaf::verified(key, &leave_bytes(group, account), signature).ok_or(Stop::Refused("leave"))
}

/// What members of the head have signed with the leaves they have there.
fn signed_leaves(step: &mut Step<'_, '_>, of: &Conversation) -> Result<Vec<Leave>, Stop> {
    let said = who_leave(step, of)?;
    let members = epochs::members(step, of.epoch)?;
    let mut leaves = Vec::new();
    let busy = if said.is_empty() {
        BTreeSet::new()
    } else {
        again::waits_for(step, of)?
    };
    for leave in said.into_iter().filter(|leave| !busy.contains(&leave.account)) {
        // Any of its leaves may have said it.
        for member in members.iter().filter(|member| member.account == leave.account) {
            let leaf = step.groups.leaf(&step.mls, (of.group, of.epoch), member.leaf)?;
            if check_leave(&of.group, leave.account, &leaf, &leave.signature).is_ok() {
                leaves.push(leave);
                break;
            }
        }
    }
    Ok(leaves)
}

/// Those who have said that they leave with a leaf that the head has, and have not come back since.
fn who_leave(step: &Step<'_, '_>, of: &Conversation) -> Result<Vec<Leave>, Stop> {
    let said: Vec<([u8; 32], [u8; 64], [u8; 8])> = step
        .tx
        .prepare_cached("SELECT account, signature, key FROM leaving WHERE group_id = ?")?
        .query_map([of.group], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    if said.is_empty() {
        return Ok(vec![]);
    }
    let (members, mut leaves) = (epochs::members(step, of.epoch)?, Vec::new());
    for (account, signature, key) in said {
        let account = AccountId::from_bytes(account);
        let has_leaf = members.iter().any(|one| one.account == account && one.key == key);
        if has_leaf && !epochs::came_back(step, of, account, key)? {
            leaves.push(Leave { account, signature });
        }
    }
    Ok(leaves)
}

/// This account has said that it leaves.
pub(crate) fn leaves(step: &Step<'_, '_>, of: &Conversation, account: AccountId) -> Result<bool, Stop> {
    Ok(who_leave(step, of)?.iter().any(|leave| leave.account == account))
}

/// Somebody leaves who is in the head: that is carried out soon.
fn hasten_leaves(step: &Step<'_, '_>, of: &Conversation) -> Result<(), Stop> {
    if of.gone || !somebody_leaves(step, &of.group)? {
        return Ok(());
    }
    renewal::hasten(step, &of.group, leave_within_ms(step, of)?)
}

/// So soon I carry out what somebody who leaves has signed (GRP-7).
fn leave_within_ms(step: &Step<'_, '_>, of: &Conversation) -> Result<u64, Stop> {
    let role = state(step, of)?.role(step.me()?);
    let admin = role.is_some_and(|role| role <= Role::Admin);
    Ok(if admin { LEAVE_SOON_MS } else { LEAVE_LATE_MS })
}

/// Somebody has said that it leaves, and is still in.
pub(crate) fn somebody_leaves(step: &Step<'_, '_>, group: &Gid) -> Result<bool, Stop> {
    let Some(of) = conversation::load(step, group)? else {
        return Ok(false);
    };
    let me = step.me()?;
    Ok(who_leave(step, &of)?.iter().any(|leave| leave.account != me))
}

/// Takes out those who have signed that they leave. Out: whether that made a commit.
pub(crate) fn carry_out_leaves(step: &mut Step<'_, '_>, of: &Conversation) -> Result<bool, Stop> {
    if !of.grouped {
        return Ok(false);
    }
    let me = step.me()?;
    let leaves = signed_leaves(step, of)?.into_iter().map(|leave| leave.account);
    let goes: BTreeSet<AccountId> = leaves.filter(|account| *account != me).collect();
    if goes.is_empty() {
        return Ok(false);
    }
    let after = roles::without(&state(step, of)?, &goes);
    change(step, of, &after, &[], &goes)?;
    Ok(true)
}

/// My authority in the head; 0 in a conversation of two.
pub(crate) fn rank(step: &Step<'_, '_>, of: &Conversation) -> Result<u32, Stop> {
    let Some(state) = epochs::state(step, of.epoch)? else {
        return Ok(0);
    };
    let rank = state.rank(step.me()?).ok_or(Stop::Refused("not a member"))?;
    u32::try_from(rank).map_err(|_| Stop::Refused("rank"))
}

/// Whether this account may write in this epoch (GRP-10).
pub(crate) fn may_write(step: &Step<'_, '_>, epoch: EpochId, account: AccountId) -> Result<bool, Stop> {
    Ok(match epochs::state(step, epoch)? {
        None => true,
        Some(state) => state.role(account).is_some_and(|role| role <= state.may_write),
    })
}

/// Whether this account may say how long messages stay in this epoch (CON-10).
pub(crate) fn may_edit(step: &Step<'_, '_>, epoch: EpochId, account: AccountId) -> Result<bool, Stop> {
    Ok(match epochs::rights(step, epoch)? {
        None => true,
        Some(state) => state.role(account).is_some_and(|role| role <= state.may_edit),
    })
}

/// The conversation writes to another epoch: its chat shows what that says, and what was lost is done again.
pub(crate) fn head_moved(step: &mut Step<'_, '_>, group: &Gid, lost: &[EpochId]) -> Result<(), Stop> {
    let Some(of) = conversation::load(step, group)?.filter(|of| of.grouped) else {
        return Ok(());
    };
    let accounts = epochs::accounts(step, of.epoch)?;
    // My account may be in it by another leaf alone, until the Welcome comes.
    let inside = accounts.contains(&step.me()?) && epochs::is_readable(step, of.epoch)?;
    let gone = !inside || epochs::counts_no_more(step, group)? || epochs::is_removed_beside(step, &of)?;
    step.tx
        .prepare_cached("UPDATE conversation SET gone = ?, accounts = ? WHERE group_id = ?")?
        .execute(params![gone, u32::try_from(accounts.len()).unwrap_or(u32::MAX), group])?;
    let state = state(step, &of)?;
    seat_all(step, of.chat, &state)?;
    picture::head_moved(step, of.chat, state.picture)?;
    step.touch_chat(of.chat);
    let of = conversation::load(step, group)?.ok_or(Stop::Refused("no such conversation"))?;
    graph::recount(step, &of)?;
    links::look(step, &of)?;
    apart::head_moved(step, &of)?;
    if gone {
        return Ok(());
    }
    outbox::look_for_place(step, group)?;
    succession::look(step, group)?;
    hasten_leaves(step, &of)?;
    again::soon(step, &of, lost)
}

pub(crate) fn seat_all(step: &Step<'_, '_>, chat: ChatId, state: &GroupState) -> Result<(), Stop> {
    step.tx
        .prepare_cached("UPDATE chat SET name = ? WHERE id = ?")?
        .execute(params![state.name, chat])?;
    step.tx
        .prepare_cached("UPDATE seat SET place = NULL WHERE chat = ?")?
        .execute([chat])?;
    for (place, seat) in (0u32..).zip(&state.seats) {
        step.tx
            .prepare_cached(
                "INSERT INTO seat(chat, account, name, role, place, heard_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT(chat, account) DO UPDATE SET name = ?3, role = ?4, place = ?5,
                     heard_at = CASE role WHEN ?4 THEN heard_at ELSE ?6 END",
            )?
            .execute(params![
                chat,
                seat.account.as_bytes(),
                seat.name,
                seat.role as u8,
                place,
                step.time.0.cast_signed()
            ])?;
    }
    Ok(())
}

fn state(step: &Step<'_, '_>, of: &Conversation) -> Result<GroupState, Stop> {
    epochs::state(step, of.epoch)?.ok_or(Stop::Fault(Fault::NotFound))
}

/// The group of a chat, as long as I am in it.
fn loaded(step: &Step<'_, '_>, chat: ChatId) -> Result<Conversation, Stop> {
    let group: Option<Gid> = step
        .tx
        .query_row(
            "SELECT group_id FROM conversation WHERE chat = ? AND grouped = 1",
            [chat],
            |row| row.get(0),
        )
        .optional()?;
    let of = match group {
        Some(group) => conversation::load(step, &group)?,
        None => None,
    };
    let mut of = of.ok_or(Stop::Fault(Fault::NotFound))?;
    if of.gone || of.leaving {
        return Err(Stop::Fault(Fault::NotMember));
    }
    of.hidden = false;
    Ok(of)
}

fn shown(step: &Step<'_, '_>, chat: ChatId) -> Result<Reply, Stop> {
    let group = query::load_group(step.tx, chat)?.ok_or(Stop::Fault(Fault::NotFound))?;
    Ok(Reply::Group(group))
}

fn checked_name(name: &str) -> Result<String, Stop> {
    let name = name.trim();
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(Stop::Fault(Fault::BadName));
    }
    Ok(name.to_owned())
}

fn contact_name(step: &Step<'_, '_>, account: AccountId) -> Result<String, Stop> {
    let sql = "SELECT own_name FROM contact WHERE account = ?";
    step.tx
        .query_row(sql, [account.as_bytes()], |row| row.get(0))
        .optional()?
        .ok_or(Stop::Fault(Fault::NotFound))
}

fn accounts_of(ids: &[String]) -> Result<Vec<AccountId>, Stop> {
    let mut accounts = Vec::new();
    for id in ids {
        let account = account_of(id)?;
        if !accounts.contains(&account) {
            accounts.push(account);
        }
    }
    Ok(accounts)
}

fn account_of(id: &str) -> Result<AccountId, Stop> {
    let bytes = hex::decode(id).ok();
    bytes
        .and_then(|bytes| AccountId::from_slice(&bytes))
        .ok_or(Stop::Fault(Fault::NotFound))
}

const fn role_of(role: api::Role) -> Role {
    match role {
        api::Role::Owner => Role::Owner,
        api::Role::Admin => Role::Admin,
        api::Role::Moderator => Role::Moderator,
        api::Role::Member => Role::Member,
        api::Role::Reader => Role::Reader,
    }
}
