//! Whose a leaf is: the credential that proves it by itself.
//!
//! In: my account and a leaf's public key; or somebody's leaf. Out: what the credential says; the account it proves.
//! No card and no list is needed: the account id commits to the account's key, that certifies the device, and the
//! device signs for the leaf (MLS-7). Whether that account belongs here is the caller's question.

use crate::account::{self, Account};
use crate::mls::Leaf;
use crate::step::Stop;
use ed25519_dalek::{Signature, Signer as _, VerifyingKey};
use stonechat_wire::card::{DeviceChange, DeviceLogEntry, LeafIdentity};
use stonechat_wire::ids::{AccountId, DeviceId};

/// What the credential of a leaf of mine says.
pub(crate) fn identity(me: &Account, leaf_public: &[u8; 32]) -> Result<Vec<u8>, Stop> {
    let entries = &me.device_log().entries;
    let entry = entries
        .iter()
        .rfind(|logged| logged.entry.device_id == me.device() && logged.entry.change != DeviceChange::Revoked);
    let mut identity = LeafIdentity {
        account: me.id(),
        account_ed25519: me.ed25519_public(),
        mldsa_hash: *me.mldsa_hash(),
        device: entry.cloned().ok_or(Stop::Refused("own device"))?,
        signature: [0; 64],
    };
    identity.signature = me.device_key().sign(&identity.signed_bytes(leaf_public)).to_bytes();
    Ok(identity.encode())
}

/// The account that a leaf belongs to. Errors: anything that does not fit or is not signed.
pub(crate) fn account_of(leaf: &Leaf) -> Result<AccountId, Stop> {
    let identity = LeafIdentity::decode(&leaf.identity).map_err(|_| Stop::Refused("credential"))?;
    certified(&identity, &leaf.public).ok_or(Stop::Refused("leaf"))
}

/// The Ed25519 key of a leaf's account; the leaf's credential is checked elsewhere.
pub(crate) fn account_key(leaf: &Leaf) -> Result<[u8; 32], Stop> {
    let identity = LeafIdentity::decode(&leaf.identity).map_err(|_| Stop::Refused("credential"))?;
    Ok(identity.account_ed25519)
}

/// The device that a leaf belongs to; the leaf's credential is checked elsewhere.
pub(crate) fn device_of(leaf: &Leaf) -> Result<DeviceId, Stop> {
    Ok(entry_of(leaf)?.entry.device_id)
}

/// The entry of the device log that a leaf's credential holds; it is checked elsewhere.
pub(crate) fn entry_of(leaf: &Leaf) -> Result<DeviceLogEntry, Stop> {
    let identity = LeafIdentity::decode(&leaf.identity).map_err(|_| Stop::Refused("credential"))?;
    Ok(identity.device)
}

fn certified(identity: &LeafIdentity, leaf_public: &[u8]) -> Option<AccountId> {
    let device = &identity.device.entry;
    // DEV-1: what revokes a device does not certify it.
    if device.change == DeviceChange::Revoked {
        return None;
    }
    if device.device_id != account::device_id(&device.device_ed25519) {
        return None;
    }
    verified(
        &identity.account_ed25519,
        &identity.device.signed_bytes(),
        &identity.device.signature,
    )?;
    let bound = identity.signed_bytes(leaf_public);
    verified(&device.device_ed25519, &bound, &identity.signature)?;
    Some(identity.account)
}

/// Ed25519, strictly.
pub(crate) fn verified(key: &[u8; 32], bytes: &[u8], signature: &[u8; 64]) -> Option<()> {
    let key = VerifyingKey::from_bytes(key).ok()?;
    key.verify_strict(bytes, &Signature::from_bytes(signature)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dice;
    use crate::account::{Origin, RootSeed};
    use crate::meeting;
    use crate::store::{Store, StoreKey};
    use stonechat_wire::card::{ContactCard, DeviceLog};
    use stonechat_wire::ids::Timestamp;

    const LEAF: [u8; 32] = [7; 32];

    fn account(origin: Origin, dice: u8) -> Account {
        let home = tempfile::tempdir().unwrap();
        let mut store = Store::create(home.path(), &StoreKey::from_bytes([1; 32])).unwrap();
        let tx = store.begin().unwrap();
        Account::found(&tx, origin, "Ana", Timestamp(5_000), &mut Dice::seeded([dice; 32])).unwrap()
    }

    fn leaf(identity: Vec<u8>) -> Leaf {
        Leaf {
            index: 0,
            identity,
            public: LEAF.to_vec(),
        }
    }

    /// The entry of a device, said to do something else, and signed so.
    fn entry(me: &Account, log: &DeviceLog, of: &DeviceLogEntry, change: DeviceChange) -> DeviceLogEntry {
        let mut entry = of.clone();
        entry.entry.change = change;
        entry.seq = u32::try_from(log.entries.len()).unwrap();
        entry.prev = log.entries.last().map_or([0; 32], DeviceLogEntry::hash);
        entry.signature = me.sign(&entry.signed_bytes()).unwrap();
        entry
    }

    #[test]
    fn what_revokes_a_device_does_not_certify_it_dev_1() {
        let me = account(Origin::Fresh, 3);
        let good = identity(&me, &LEAF).unwrap();
        assert_eq!(account_of(&leaf(good.clone())).unwrap(), me.id());
        let mut identity = LeafIdentity::decode(&good).unwrap();
        identity.device = entry(&me, &DeviceLog::default(), &identity.device, DeviceChange::Revoked);
        assert!(account_of(&leaf(identity.encode())).is_err());
        identity.device = entry(&me, &DeviceLog::default(), &identity.device, DeviceChange::Restored);
        assert!(
            account_of(&leaf(identity.encode())).is_ok(),
            "it is signed as it should be"
        );
    }

    #[test]
    fn a_leaf_of_a_device_that_is_not_live_is_not_let_in_dev_3() {
        let old = account(Origin::Fresh, 3);
        let seed = RootSeed::from_words(&old.words().unwrap().join(" ")).unwrap();
        let new = account(Origin::Restored(seed), 4);
        let mut log = old.device_log().clone();
        let of_old = leaf(identity(&old, &LEAF).unwrap());
        let card = |log: &DeviceLog| ContactCard {
            version: 1,
            account_ed25519: old.ed25519_public(),
            mldsa_hash: *old.mldsa_hash(),
            name: "Ana".into(),
            device_log: log.clone(),
            seal_key: None,
            key_packages: vec![],
            relays: vec![],
            who: 0,
            how: 0,
            group: None,
            expires_at_s: 0,
            created_at_s: 0,
            signature: [0; 64],
        };
        assert!(meeting::check_leaf(&card(&log), &of_old).is_ok());
        let first = new.device_log().entries.first().unwrap();
        let back = entry(&old, &log, first, DeviceChange::Restored);
        log.entries.push(back);
        assert!(meeting::check_leaf(&card(&log), &of_old).is_err());
    }
}
