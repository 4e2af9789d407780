//! Whose a leaf is: the credential that proves it by itself.
//!
//! In: my account and a leaf's public key; or somebody's leaf. Out: what the credential says; the account it proves.
//! No card and no list is needed: the account id commits to the account's key, that certifies the device, and the
//! device signs for the leaf (MLS-7). Whether that account belongs here is the caller's question.

use crate::account::{self, Account};
use crate::mls::Leaf;
use crate::step::Stop;
use ed25519_dalek::{Signature, Signer as _, VerifyingKey};
use stonechat_wire::card::{DeviceChange, LeafIdentity};
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

/// The device that a leaf belongs to; the leaf's credential is checked elsewhere.
pub(crate) fn device_of(leaf: &Leaf) -> Result<DeviceId, Stop> {
    let identity = LeafIdentity::decode(&leaf.identity).map_err(|_| Stop::Refused("credential"))?;
    Ok(identity.device.entry.device_id)
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
