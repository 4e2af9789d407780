//! Every conversation has a leaf of every device of mine (OWN-4), and what is judged of a commit about its author's own
//! leaves (DEV-4).
//!
//! In: conversations that begin or move, key packages of other devices of mine, such commits by others. Out: commits that add
//! and remove leaves of this account, their Welcomes, the newest log of whoever made one.

use super::behind;
use super::told::{take, welcome_device};
use crate::account;
use crate::api::{ChatId, Event};
use crate::capsule;
use crate::conversation::{self, Conversation, alarms, epochs};
use crate::defence::{self, Defence};
use crate::devices::{self, Beside};
use crate::due::Times;
use crate::fork::Class;
use crate::group;
use crate::leaf;
use crate::meeting;
use crate::mls::{self, Gid, Leaf, Taken, Wish};
use crate::reach;
use crate::roles::Judged;
use crate::step::{Step, Stop};
use rusqlite::params;
use std::collections::BTreeSet;
use stonechat_wire::card::DeviceLog;
use stonechat_wire::group::GroupState;
use stonechat_wire::ids::{AccountId, DeviceId};
use stonechat_wire::own::{LEAVES_MAX, LeafCut, OwnNote};

/// A conversation is looked at so long after it changed, and up to as much later by chance: contacts do the same (OWN-4).
const SOON_MS: u64 = 1_000;
/// Conversations looked at in one step.
const AT_ONCE: u32 = 4;
/// Later than this nothing is due: what says so was written under a wrong clock.
const LATEST_MS: u64 = 60_000;

/// A conversation has begun, or its head has moved: it may lack a leaf of mine.
pub(crate) fn spread(step: &Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    let due = soon(step);
    step.tx
        .prepare_cached("INSERT OR REPLACE INTO spread SELECT ?, ? WHERE EXISTS (SELECT 1 FROM own_device)")?
        .execute(params![group, due])?;
    Ok(())
}

/// A device came or went: every conversation is looked at.
pub(super) fn spread_all(step: &Step<'_, '_>) -> Result<(), Stop> {
    step.tx.execute(
        "INSERT OR REPLACE INTO spread SELECT v.group_id, ? FROM conversation v JOIN chat c ON c.id = v.chat
         WHERE v.gone = 0 AND v.own = 0 AND c.saved = 0",
        [soon(step)],
    )?;
    Ok(())
}

/// A chat is back that was put away (BLK-3): devices may have come or gone meanwhile.
pub(crate) fn spread_chat(step: &Step<'_, '_>, chat: ChatId) -> Result<(), Stop> {
    let groups: Vec<Gid> = step
        .tx
        .prepare_cached("SELECT group_id FROM conversation WHERE chat = ? AND gone = 0")?
        .query_map([chat], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    groups.iter().try_for_each(|group| spread(step, group))
}

pub(super) fn soon(step: &Step<'_, '_>) -> i64 {
    let chance = u64::from_be_bytes(step.mls.crypto.bytes()) % SOON_MS;
    step.now.0.saturating_add(SOON_MS).saturating_add(chance).cast_signed()
}

/// Looks at the conversations whose time has come.
pub(crate) fn spread_due(step: &mut Step<'_, '_>) -> Result<(), Stop> {
    let (now, far) = (step.now.0, step.now.0.saturating_add(LATEST_MS));
    let sql =
        "SELECT group_id FROM spread WHERE due_at <= ? UNION SELECT group_id FROM spread WHERE due_at > ? LIMIT ?";
    let groups: Vec<Gid> = step
        .tx
        .prepare_cached(sql)?
        .query_map(params![now.cast_signed(), far.cast_signed(), AT_ONCE], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for group in groups {
        step.tx
            .prepare_cached("UPDATE spread SET due_at = NULL WHERE group_id = ?")?
            .execute([group])?;
        let _refused = step.attempt(|step| spread_one(step, &group))?;
    }
    Ok(())
}

/// When the next one is due.
pub(crate) const TIMES: Times = Times::of(
    "SELECT min(due_at) FROM spread WHERE due_at IS NOT NULL",
    "SELECT max(due_at) FROM spread WHERE due_at IS NOT NULL",
    LATEST_MS,
);

fn spread_one(step: &mut Step<'_, '_>, group: &Gid) -> Result<(), Stop> {
    let Some(of) = conversation::load(step, group)? else {
        return Ok(());
    };
    let waits: bool = step
        .tx
        .prepare_cached("SELECT waiting FROM conversation WHERE group_id = ?")?
        .query_row([group], |row| row.get(0))?;
    if of.own || of.gone || of.leaving || of.hidden || waits {
        return Ok(());
    }
    let me = meeting::me(step)?;
    let leaves = step.groups.leaves(&step.mls, (of.group, of.epoch))?;
    let mine: Vec<&Leaf> = leaves
        .iter()
        .filter(|leaf| mls::account_in(&leaf.identity) == Some(me.id()))
        .collect();
    let live: BTreeSet<DeviceId> = devices::live(me.device_log())
        .iter()
        .map(|logged| logged.entry.device_id)
        .collect();
    let there: BTreeSet<DeviceId> = mine
        .iter()
        .map(|leaf| leaf::device_of(leaf))
        .collect::<Result<_, _>>()?;
    let goes: Vec<&Leaf> = mine
        .iter()
        .copied()
        .filter(|leaf| me.is_home() && leaf::device_of(leaf).is_ok_and(|device| !live.contains(&device)))
        .collect();
    let lacks: Vec<DeviceId> = live.difference(&there).copied().collect();
    let stuck = behind::stuck(step, &of, &mine)?;
    if goes.is_empty() && lacks.is_empty() && stuck.is_empty() {
        step.tx
            .prepare_cached("DELETE FROM spread WHERE group_id = ?")?
            .execute([group])?;
        return Ok(());
    }
    let mut comes = Vec::new();
    for device in lacks {
        if let Some(package) = take(step, device)? {
            comes.push((device, package));
        }
    }
    let mut changes = Vec::new();
    for (device, leaf) in stuck {
        if let Some(package) = take(step, device)? {
            comes.push((device, package));
            changes.push(leaf);
        }
    }
    if comes.is_empty() && goes.is_empty() {
        return Ok(());
    }
    commit(step, &of, &comes, &goes, &changes)
}

fn commit(
    step: &mut Step<'_, '_>,
    of: &Conversation,
    comes: &[(DeviceId, Vec<u8>)],
    goes: &[&Leaf],
    changes: &[&Leaf],
) -> Result<(), Stop> {
    let me = meeting::me(step)?;
    let note = OwnNote {
        log: me.device_log().clone(),
        cuts: goes.iter().map(|leaf| cut(step, of, leaf)).collect::<Result<_, _>>()?,
    };
    let judged = judged(group::rank(step, of)?, note.cuts.iter().map(|cut| cut.leaf).collect());
    let packages: Vec<Vec<u8>> = comes.iter().map(|(_, package)| package.clone()).collect();
    let remove: Vec<u32> = goes.iter().chain(changes).map(|leaf| leaf.index).collect();
    let wish = Wish {
        add: &packages,
        remove: &remove,
        state: None,
        note: &note.encode(),
    };
    let made = epochs::commit_own(step, of, &wish, &judged, &note)?;
    let welcome = made.welcome.unwrap_or_default();
    for (device, package) in comes {
        let own = mls::welcome_for(&step.mls, &welcome, package)?;
        welcome_device(step, of, *device, own)?;
    }
    if comes.len() > changes.len() {
        conversation::note_device(step, of, me.id())?;
    }
    if !comes.is_empty() {
        group::picture::again(step, of)?;
    }
    Ok(())
}

fn cut(step: &Step<'_, '_>, of: &Conversation, leaf: &Leaf) -> Result<LeafCut, Stop> {
    let key = key_of(leaf)?;
    let said = epochs::leaf_cut(step, of, &key, leaf.index)?;
    Ok(LeafCut { leaf: key, said })
}

fn key_of(leaf: &Leaf) -> Result<[u8; 8], Stop> {
    leaf.public.first_chunk().copied().ok_or(Stop::Refused("leaf"))
}

const fn judged(rank: u32, ousts: Vec<[u8; 8]>) -> Judged {
    Judged {
        class: if ousts.is_empty() { Class::Admin } else { Class::Unseats },
        rank,
        unseats: Vec::new(),
        ousts,
    }
}

/// Whether it is allowed: a function of the parent and of the commit, as every such judgement (EPO-2).
pub(crate) fn judge(before: Option<&GroupState>, taken: &Taken, note: &OwnNote) -> Result<Judged, Stop> {
    const REFUSED: Stop = Stop::Refused("own leaves");
    let author = leaf::account_of(&taken.author)?;
    let key = leaf::account_key(&taken.author)?;
    if defence::holds(Defence::OwnLeaves) {
        account::check_log(&note.log, &key).map_err(|_| REFUSED)?;
    }
    if taken.changed_state || !taken.renewed || (taken.added.is_empty() && taken.removed.is_empty()) {
        return Err(REFUSED);
    }
    let live = |leaf: &Leaf| Ok::<_, Stop>(devices::is_live(&note.log, leaf::device_of(leaf)?));
    if !live(&taken.author)? {
        return Err(REFUSED);
    }
    for leaf in &taken.added {
        if leaf::account_of(leaf)? != author || !live(leaf)? {
            return Err(REFUSED);
        }
    }
    let mut ousts = Vec::new();
    for leaf in taken.before.iter().filter(|leaf| taken.removed.contains(&leaf.index)) {
        if leaf::account_of(leaf)? != author || (live(leaf)? && !is_changed(taken, note, leaf)?) {
            return Err(REFUSED);
        }
        if !live(leaf)? {
            ousts.push(key_of(leaf)?);
        }
    }
    let told: Vec<[u8; 8]> = note.cuts.iter().map(|cut| cut.leaf).collect();
    let left = taken
        .after
        .iter()
        .filter(|leaf| mls::account_in(&leaf.identity) == Some(author));
    if BTreeSet::from_iter(&told) != BTreeSet::from_iter(&ousts) || left.count() > LEAVES_MAX {
        return Err(REFUSED);
    }
    let rank = match before {
        Some(state) => state.rank(author).ok_or(REFUSED)?,
        None => 0,
    };
    Ok(judged(u32::try_from(rank).map_err(|_| REFUSED)?, ousts))
}

/// The home device gives a device of its account, which cannot follow, another leaf in the place of this one (OWN-11).
fn is_changed(taken: &Taken, note: &OwnNote, leaf: &Leaf) -> Result<bool, Stop> {
    let whose = leaf::device_of(leaf)?;
    let home = devices::home(&note.log);
    let anew = taken
        .added
        .iter()
        .any(|leaf| leaf::device_of(leaf).is_ok_and(|device| device == whose));
    Ok(anew && whose != leaf::device_of(&taken.author)? && home == Some(leaf::device_of(&taken.author)?))
}

/// Such a commit was taken in: the log counts (DEV-2), the chat says that there is a new device (DEV-5).
pub(crate) fn taken_in(
    step: &mut Step<'_, '_>,
    of: &Conversation,
    author: AccountId,
    taken: &Taken,
    note: &OwnNote,
) -> Result<(), Stop> {
    if author == step.me()? {
        log_seen(step, &note.log)?;
    } else {
        contact_log_seen(step, of, author, taken, note)?;
    }
    if taken.added.len() > taken.removed.len().saturating_sub(note.cuts.len()) && !of.own {
        conversation::note_device(step, of, author)?;
    }
    Ok(())
}

fn contact_log_seen(
    step: &mut Step<'_, '_>,
    of: &Conversation,
    author: AccountId,
    taken: &Taken,
    note: &OwnNote,
) -> Result<(), Stop> {
    let known = reach::known_log(step, author)?;
    epochs::note_log(step, taken.child, &note.log)?;
    match devices::beside(&known, &note.log) {
        Beside::Newer => keep_contact_log(step, author, &note.log),
        Beside::Same => Ok(()),
        Beside::PartedLonger => {
            keep_contact_log(step, author, &note.log)?;
            alarms::two_logs(step, &of.group, author, &note.log)
        }
        Beside::Parted => alarms::two_logs(step, &of.group, author, &note.log),
        // After a newer one on the same branch: a device that is revoked meanwhile is let in by it (DEV-6).
        Beside::Older if epochs::newer_log_before(step, taken.child, author)? => {
            let mut added = taken.added.iter();
            let not_live = |leaf| leaf::device_of(leaf).is_ok_and(|device| !devices::is_live(&known, device));
            if added.any(not_live) && defence::holds(Defence::OldLogs) {
                alarms::two_logs(step, &of.group, author, &note.log)?;
            }
            Ok(())
        }
        Beside::Older => Ok(()),
    }
}

fn keep_contact_log(step: &Step<'_, '_>, account: AccountId, log: &DeviceLog) -> Result<(), Stop> {
    step.tx
        .prepare_cached("UPDATE contact SET device_log = ? WHERE account = ?")?
        .execute(params![log.encode(), account.as_bytes()])?;
    Ok(())
}

/// A log of this account has come, from whomever: its signature is what counts (DEV-7).
pub(super) fn log_seen(step: &mut Step<'_, '_>, log: &DeviceLog) -> Result<(), Stop> {
    let mut me = meeting::me(step)?;
    account::check_log(log, &me.ed25519_public()).map_err(|_| Stop::Refused("log"))?;
    let counts = match devices::beside(me.device_log(), log) {
        Beside::Newer => true,
        // The home device knows best what it has signed.
        Beside::PartedLonger => !me.is_home(),
        Beside::Same | Beside::Older | Beside::Parted => false,
    };
    if !counts {
        return Ok(());
    }
    if !devices::is_live(log, me.device()) {
        return capsule::revoke(step);
    }
    me.keep_log(step.tx, log.clone())?;
    spread_all(step)?;
    step.event(Event::StatusChanged {});
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dice;
    use crate::account::{Account, Origin};
    use crate::store::{Store, StoreKey};
    use ed25519_dalek::{Signer as _, SigningKey};
    use stonechat_wire::card::{DeviceChange, LeafIdentity};
    use stonechat_wire::ids::{EpochId, Timestamp};

    struct Family {
        me: Account,
        keys: Vec<SigningKey>,
    }

    /// An account with a home device (place 0) and some more; those named are revoked.
    fn family(dice: u8, more: u8, revoked: &[usize]) -> Family {
        let home = tempfile::tempdir().unwrap();
        let mut store = Store::create(home.path(), &StoreKey::from_bytes([1; 32])).unwrap();
        let tx = store.begin().unwrap();
        let mut dice = Dice::seeded([dice; 32]);
        let mut me = Account::found(&tx, Origin::Fresh, "Ana", Timestamp(5_000), &mut dice).unwrap();
        let mut keys = vec![me.device_key().clone()];
        for n in 1..=more {
            let key = SigningKey::from_bytes(&[n; 32]);
            let public = key.verifying_key().to_bytes();
            assert!(
                me.log_device(&tx, DeviceChange::Added, &public, Timestamp(6_000))
                    .unwrap()
            );
            keys.push(key);
        }
        for n in revoked {
            let public = keys[*n].verifying_key().to_bytes();
            assert!(
                me.log_device(&tx, DeviceChange::Revoked, &public, Timestamp(7_000))
                    .unwrap()
            );
        }
        Family { me, keys }
    }

    impl Family {
        fn leaf(&self, device: usize) -> Leaf {
            let public = [u8::try_from(device).unwrap() + 100; 32];
            let key = &self.keys[device];
            let id = account::device_id(&key.verifying_key().to_bytes());
            let entries = &self.me.device_log().entries;
            let entry = entries.iter().find(|logged| logged.entry.device_id == id).unwrap();
            let mut identity = LeafIdentity {
                account: self.me.id(),
                account_ed25519: self.me.ed25519_public(),
                mldsa_hash: *self.me.mldsa_hash(),
                device: entry.clone(),
                signature: [0; 64],
            };
            identity.signature = key.sign(&identity.signed_bytes(&public)).to_bytes();
            Leaf {
                index: u32::try_from(device).unwrap(),
                identity: identity.encode(),
                public: public.to_vec(),
            }
        }

        /// Device `by` adds and removes leaves of these devices.
        fn commit(&self, by: usize, before: &[usize], adds: &[usize], removes: &[usize]) -> Taken {
            let leaves = |devices: &[usize]| devices.iter().map(|device| self.leaf(*device)).collect::<Vec<_>>();
            let stay: Vec<usize> = before
                .iter()
                .filter(|device| !removes.contains(device))
                .copied()
                .collect();
            Taken {
                child: EpochId::from_bytes([1; 16]),
                author: self.leaf(by),
                before: leaves(before),
                after: leaves(&[stay.as_slice(), adds].concat()),
                added: leaves(adds),
                removed: removes.iter().map(|device| u32::try_from(*device).unwrap()).collect(),
                changed_state: false,
                state: None,
                renewed: true,
                note: vec![],
                with_me: true,
            }
        }

        fn note(&self, cuts: &[usize]) -> OwnNote {
            let cut = |device: &usize| LeafCut {
                leaf: key_of(&self.leaf(*device)).unwrap(),
                said: vec![[3; 8]],
            };
            OwnNote {
                log: self.me.device_log().clone(),
                cuts: cuts.iter().map(cut).collect(),
            }
        }
    }

    #[test]
    fn an_account_changes_its_own_leaves_as_its_log_says_and_nothing_else_dev_4() {
        let all = family(3, 2, &[2]);
        let verdict = |taken: &Taken, note: &OwnNote| judge(None, taken, note);
        let added = verdict(&all.commit(0, &[0], &[1], &[]), &all.note(&[])).unwrap();
        assert_eq!((added.class, added.ousts.len()), (Class::Admin, 0));
        // Any live device may; the log is the account's.
        let taken_out = verdict(&all.commit(1, &[0, 1, 2], &[], &[2]), &all.note(&[2])).unwrap();
        assert_eq!((taken_out.class, taken_out.ousts), (Class::Unseats, vec![[102; 8]]));
        assert!(verdict(&all.commit(0, &[0, 2], &[1], &[2]), &all.note(&[2])).is_ok());
        let refused = [
            (
                "a revoked device is added",
                all.commit(0, &[0], &[2], &[]),
                all.note(&[]),
            ),
            (
                "a revoked device adds",
                all.commit(2, &[0, 2], &[1], &[]),
                all.note(&[]),
            ),
            (
                "a live one is removed",
                all.commit(1, &[0, 1], &[], &[0]),
                all.note(&[0]),
            ),
            ("no cut", all.commit(0, &[0, 2], &[], &[2]), all.note(&[])),
            ("a cut too many", all.commit(0, &[0], &[1], &[]), all.note(&[1])),
            ("nothing", all.commit(0, &[0], &[], &[]), all.note(&[])),
        ];
        for (what, taken, note) in refused {
            assert!(verdict(&taken, &note).is_err(), "{what}");
        }
        for change in [
            |taken: &mut Taken| taken.renewed = false,
            |taken: &mut Taken| taken.changed_state = true,
        ] {
            let mut taken = all.commit(0, &[0], &[1], &[]);
            change(&mut taken);
            assert!(verdict(&taken, &all.note(&[])).is_err());
        }
        // Somebody else's leaf, and somebody else's log.
        let other = family(9, 1, &[]);
        let mut taken = all.commit(0, &[0], &[1], &[]);
        taken.added = vec![other.leaf(1)];
        assert!(verdict(&taken, &all.note(&[])).is_err());
        assert!(verdict(&all.commit(0, &[0], &[1], &[]), &other.note(&[])).is_err());
        let mut broken = all.note(&[]);
        broken.log.entries[1].signature[0] ^= 1;
        assert!(verdict(&all.commit(0, &[0], &[1], &[]), &broken).is_err());
    }

    #[test]
    fn only_the_home_device_gives_another_one_a_leaf_in_the_place_of_its_own_dev_4() {
        let all = family(3, 2, &[]);
        let changed = judge(None, &all.commit(0, &[0, 1, 2], &[1], &[1]), &all.note(&[])).unwrap();
        // Nobody is taken out: what that device wrote stays where it stands.
        assert_eq!((changed.class, changed.ousts.len()), (Class::Admin, 0));
        let refused = [
            (
                "the home device's leaf",
                all.commit(1, &[0, 1, 2], &[0], &[0]),
                all.note(&[]),
            ),
            ("by another one", all.commit(1, &[0, 1, 2], &[2], &[2]), all.note(&[])),
            ("its own", all.commit(0, &[0, 1, 2], &[0], &[0]), all.note(&[])),
            (
                "another device's comes",
                all.commit(0, &[0, 1], &[2], &[1]),
                all.note(&[]),
            ),
            (
                "as if it were revoked",
                all.commit(0, &[0, 1, 2], &[1], &[1]),
                all.note(&[1]),
            ),
        ];
        for (what, taken, note) in refused {
            assert!(judge(None, &taken, &note).is_err(), "{what}");
        }
    }

    #[test]
    fn an_account_has_at_most_eight_leaves_dev_4() {
        let all = family(3, 8, &[]);
        let seven: Vec<usize> = (0..7).collect();
        assert!(judge(None, &all.commit(0, &seven, &[7], &[]), &all.note(&[])).is_ok());
        assert!(judge(None, &all.commit(0, &seven, &[7, 8], &[]), &all.note(&[])).is_err());
    }
}
