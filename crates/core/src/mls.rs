//! MLS groups (RFC 9420) over the current transaction: found, join, write, read, export.
//!
//! In: key packages, Welcomes and messages as bytes, the dice and rows of one step ([`Provider`]). Out: bytes, and for
//! everything foreign a plain verdict. One suite, 0x004F; no past epochs kept inside OpenMLS; proposals by reference
//! are refused. Commits are `commit`'s. Who may be a member is decided by the caller from [`Leaf`]s.
//! Specified in `docs/protocol/07-conversation.md` (MLS-*).
//! Invariant: [`Groups`] is only a cache of the rows. What failed is dropped from it and read again.

mod commit;
mod crypto;
mod pack;
mod pieces;
mod rows;
mod welcome;

pub(crate) use commit::{CommitRead, Made, Taken, Wish};
pub(crate) use crypto::{Crypto, open_psk, seal_key_pair};
pub(crate) use rows::{Rows, RowsError, UNPLACED};
pub(crate) use welcome::{is_mine, split_for, welcome_for};

use openmls::framing::errors::{MessageDecryptionError, SecretTreeError};
use openmls::group::{JoinBuilder, ProcessedWelcome};
use openmls::prelude::{
    BasicCredential, Capabilities, Ciphersuite, CredentialWithKey, ExtensionType, Extensions, GroupContext, GroupId,
    KeyPackage, KeyPackageIn, LeafNode, Lifetime, MlsGroup, MlsGroupCreateConfig, MlsGroupJoinConfig, MlsMessageBodyIn,
    MlsMessageIn, OpenMlsProvider, PURE_CIPHERTEXT_WIRE_FORMAT_POLICY, ProcessMessageError, ProcessedMessageContent,
    ProtocolMessage, ProtocolVersion, Sender, SenderRatchetConfiguration, SignatureScheme, ValidationError,
};
use openmls_basic_credential::SignatureKeyPair;
use openmls_traits::storage::StorageProvider;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use stonechat_wire::ephemeral::EphemeralKey;
use stonechat_wire::ids::{AccountId, EpochId};
use tls_codec::{Deserialize as _, Serialize as _};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// X-Wing, AES-128-GCM, SHA-256, Ed25519: the only suite (MLS-2).
pub(crate) const SUITE: Ciphersuite = Ciphersuite::MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519;

/// [`SUITE`]; only tests that meet another implementation speak one of RFC 9420's.
#[cfg(not(test))]
const fn suite() -> Ciphersuite {
    SUITE
}
#[cfg(test)]
use second::suite;

/// Messages of one sender that may arrive late, and how far one may be ahead (MLS-6).
const OUT_OF_ORDER: u32 = 512;
const FORWARD: u32 = 4096;

/// Where a group's own state stands in its context (GRP-1): a number of the range for private use.
const STATE_EXTENSION: u16 = 0xf053;

/// Groups kept in memory at most.
const GROUPS_HELD: usize = 64;

/// Identity of an MLS group: 16 random bytes.
pub(crate) type Gid = [u8; 16];

/// Why something could not be done with a group.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MlsError {
    /// Our own store.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// What was handed in does not fit; the reason is for the log of a developer, never for the peer.
    #[error("refused: {0}")]
    Refused(&'static str),
}

/// OpenMLS's view of one step.
#[derive(Debug)]
pub(crate) struct Provider<'t> {
    pub(crate) crypto: Crypto,
    pub(crate) rows: Rows<'t>,
}

impl<'t> OpenMlsProvider for Provider<'t> {
    type CryptoProvider = Crypto;
    type RandProvider = Crypto;
    type StorageProvider = Rows<'t>;
    fn storage(&self) -> &Rows<'t> {
        &self.rows
    }
    fn crypto(&self) -> &Crypto {
        &self.crypto
    }
    fn rand(&self) -> &Crypto {
        &self.crypto
    }
}

/// The key a device signs with in one conversation.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Signer([u8; 32]);

impl Signer {
    pub(crate) const fn new(seed: [u8; 32]) -> Self {
        Self(seed)
    }
    pub(crate) const fn seed(&self) -> &[u8; 32] {
        &self.0
    }
    pub(crate) fn public(&self) -> [u8; 32] {
        ed25519_dalek::SigningKey::from_bytes(&self.0)
            .verifying_key()
            .to_bytes()
    }
    /// Ed25519 over bytes that others than MLS read.
    pub(crate) fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        use ed25519_dalek::Signer as _;
        ed25519_dalek::SigningKey::from_bytes(&self.0).sign(bytes).to_bytes()
    }
    fn pair(&self) -> SignatureKeyPair {
        SignatureKeyPair::from_raw(SignatureScheme::ED25519, self.0.to_vec(), self.public().to_vec())
    }
    fn credential(&self, identity: Vec<u8>) -> CredentialWithKey {
        CredentialWithKey {
            credential: BasicCredential::new(identity).into(),
            signature_key: self.public().to_vec().into(),
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}

/// One member's leaf, as MLS shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) index: u32,
    pub(crate) identity: Vec<u8>,
    pub(crate) public: Vec<u8>,
}

impl Leaf {
    fn of(index: u32, leaf: &LeafNode) -> Self {
        Self {
            index,
            identity: leaf.credential().serialized_content().to_vec(),
            public: leaf.signature_key().as_slice().to_vec(),
        }
    }
}

/// A group just founded or joined.
#[derive(Debug)]
pub(crate) struct Entered {
    pub(crate) group: Gid,
    pub(crate) epoch: EpochId,
    pub(crate) own_leaf: u32,
    pub(crate) members: Vec<Leaf>,
    /// The group's own state, where it has one.
    pub(crate) state: Option<Vec<u8>>,
}

/// Whether a Welcome may lead into a group that is known already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Never: a conversation of two.
    Never,
    /// Into another epoch of it: whoever fell behind is added again.
    Again,
}

/// What an epoch gives to the mailbox and the envelope (MBX-1, ENV-3).
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Exports {
    pub(crate) mailbox_root: [u8; 32],
    pub(crate) envelope_key: [u8; 32],
}

/// What became of a received MLS message.
#[derive(Debug)]
pub(crate) enum Read {
    /// From this leaf, whose credential begins with an account.
    Message {
        leaf: u32,
        account: AccountId,
        plain: Vec<u8>,
    },
    /// My own, come back.
    Own,
    /// Read before: its key is used up.
    Again,
    /// Further ahead of its sender's last one than the window reaches.
    Ahead,
    /// Junk, hostile, or a kind this version refuses.
    Refused(&'static str),
}

/// Makes a last-resort key package without an end (MLS-3). Out: TLS-encoded `KeyPackage`.
pub(crate) fn key_package(p: &Provider<'_>, signer: &Signer, identity: Vec<u8>) -> Result<Vec<u8>, MlsError> {
    any_key_package(p, signer, identity, true)
}

/// Makes a key package that opens one Welcome.
pub(crate) fn fresh_key_package(p: &Provider<'_>, signer: &Signer, identity: Vec<u8>) -> Result<Vec<u8>, MlsError> {
    any_key_package(p, signer, identity, false)
}

fn any_key_package(
    p: &Provider<'_>,
    signer: &Signer,
    identity: Vec<u8>,
    last_resort: bool,
) -> Result<Vec<u8>, MlsError> {
    let mut builder = KeyPackage::builder()
        .leaf_node_capabilities(capabilities())
        .key_package_lifetime(Lifetime::init(0, u64::MAX));
    if last_resort {
        builder = builder.mark_as_last_resort();
    }
    let bundle = builder
        .build(suite(), p, &signer.pair(), signer.credential(identity))
        .map_err(|_| MlsError::Refused("key package"))?;
    encode(bundle.key_package())
}

/// Deletes the private halves of a key package: no Welcome to it opens any more.
pub(crate) fn forget_key_package(p: &Provider<'_>, bytes: &[u8]) -> Result<(), MlsError> {
    let package = decode_key_package(p, bytes)?;
    let reference = package
        .hash_ref(&p.crypto)
        .map_err(|_| MlsError::Refused("key package"))?;
    p.rows.delete_key_package(&reference)?;
    p.rows
        .delete_encryption_key_pair(package.leaf_node().encryption_key())?;
    Ok(())
}

/// The leaf of a foreign key package, after checking its signature and suite; its lifetime is not looked at (MLS-3).
pub(crate) fn leaf_of(p: &Provider<'_>, bytes: &[u8]) -> Result<Leaf, MlsError> {
    let package = decode_key_package(p, bytes)?;
    Ok(Leaf::of(1, package.leaf_node()))
}

/// Founds a group of two. Out: the group, and the Welcome (with tree) for the other one.
pub(crate) fn found(
    p: &Provider<'_>,
    signer: &Signer,
    identity: Vec<u8>,
    other: &[u8],
) -> Result<(Entered, Vec<u8>), MlsError> {
    let group_id: Gid = p.crypto.bytes();
    p.rows.at(&group_id, UNPLACED);
    let pair = signer.pair();
    let refused = |what| move |_| MlsError::Refused(what);
    let mut group = MlsGroup::new_with_group_id(
        p,
        &pair,
        &create_config(),
        GroupId::from_slice(&group_id),
        signer.credential(identity),
    )
    .map_err(|_| MlsError::Refused("founding"))?;
    let bundle = group
        .commit_builder()
        .propose_adds([decode_key_package(p, other)?])
        .load_psks(&p.rows)
        .map_err(|_| MlsError::Refused("founding commit"))?
        .build(&p.crypto, &p.crypto, &pair, |_| true)
        .map_err(|_| MlsError::Refused("founding commit"))?
        .stage_commit(p)
        .map_err(|_| MlsError::Refused("founding commit"))?;
    let welcome = bundle.into_welcome_msg().ok_or(MlsError::Refused("no welcome"))?;
    let welcome = welcome.tls_serialize_detached().map_err(refused("welcome"))?;
    // The founding commit has no rival: it is merged at once and no parent is kept.
    group
        .merge_pending_commit(p)
        .map_err(|_| MlsError::Refused("founding commit"))?;
    Ok((entered(p, &group, group_id)?, welcome))
}

/// Founds a group with this state, of me alone. Others come by commits.
pub(crate) fn found_group(
    p: &Provider<'_>,
    signer: &Signer,
    identity: Vec<u8>,
    state: &[u8],
) -> Result<Entered, MlsError> {
    let group_id: Gid = p.crypto.bytes();
    p.rows.at(&group_id, UNPLACED);
    let config = MlsGroupCreateConfig::builder()
        .ciphersuite(suite())
        .capabilities(capabilities())
        .lifetime(Lifetime::init(0, u64::MAX))
        .wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
        .max_past_epochs(0)
        .number_of_resumption_psks(0)
        .sender_ratchet_configuration(SenderRatchetConfiguration::new(OUT_OF_ORDER, FORWARD))
        .use_ratchet_tree_extension(true)
        .with_group_context_extensions(commit::extensions(state)?)
        .build();
    let group = MlsGroup::new_with_group_id(
        p,
        &signer.pair(),
        &config,
        GroupId::from_slice(&group_id),
        signer.credential(identity),
    )
    .map_err(|_| MlsError::Refused("founding"))?;
    entered(p, &group, group_id)
}

/// Joins by a Welcome to one of our key packages. Rolls back with the caller's savepoint on any error:
/// OpenMLS deletes a key package before it validates.
pub(crate) fn join(p: &Provider<'_>, welcome: &[u8], may_know: Known) -> Result<Entered, MlsError> {
    let refused = MlsError::Refused;
    let message = MlsMessageIn::tls_deserialize_exact(welcome).map_err(|_| refused("welcome bytes"))?;
    let MlsMessageBodyIn::Welcome(welcome) = message.extract() else {
        return Err(refused("not a welcome"));
    };
    let processed = ProcessedWelcome::new_from_welcome(p, &join_config(), welcome).map_err(|_| refused("welcome"))?;
    let info = processed.unverified_group_info();
    if info.ciphersuite() != suite() {
        return Err(refused("suite"));
    }
    let group_id: Gid = info.group_id().as_slice().try_into().map_err(|_| refused("group id"))?;
    if may_know == Known::Never && p.rows.knows(&group_id)? {
        return Err(refused("known group")); // CNV-1
    }
    p.rows.at(&group_id, UNPLACED);
    // Lifetimes are not validated: OpenMLS would read the clock (MLS-3).
    let staged = JoinBuilder::new(p, processed)
        .skip_lifetime_validation()
        .build()
        .map_err(|_| refused("welcome"))?;
    if !commit::only_ours(staged.group_context().extensions()) {
        return Err(refused("extensions"));
    }
    if p.rows.holds(&group_id, epoch_id(staged.group_context())?)? {
        return Err(refused("known epoch"));
    }
    let group = staged.into_group(p).map_err(|_| refused("welcome"))?;
    entered(p, &group, group_id)
}

fn entered(p: &Provider<'_>, group: &MlsGroup, group_id: Gid) -> Result<Entered, MlsError> {
    let epoch = epoch_id(group.public_group().group_context())?;
    p.rows.place(epoch)?;
    Ok(Entered {
        group: group_id,
        epoch,
        own_leaf: group.own_leaf_index().u32(),
        members: leaves(group),
        state: state_of(group.extensions()),
    })
}

fn leaves(group: &MlsGroup) -> Vec<Leaf> {
    group
        .members()
        .map(|m| Leaf {
            index: m.index.u32(),
            identity: m.credential.serialized_content().to_vec(),
            public: m.signature_key,
        })
        .collect()
}

fn state_of(extensions: &Extensions<GroupContext>) -> Option<Vec<u8>> {
    extensions.unknown(STATE_EXTENSION).map(|state| state.0.clone())
}

/// `SHA-256(GroupContext)[..16]`: unique per branch (MLS-4).
fn epoch_id(context: &GroupContext) -> Result<EpochId, MlsError> {
    let hash = Sha256::digest(encode(context)?);
    let id = hash.first_chunk::<16>().copied().ok_or(MlsError::Refused("epoch id"))?;
    Ok(EpochId::from_bytes(id))
}

/// Groups that were used lately.
#[derive(Default)]
pub(crate) struct Groups(BTreeMap<(Gid, EpochId), MlsGroup>);

impl Groups {
    /// Drops everything held: the rows decide.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }

    /// Seals `plain` for the group. Out: TLS-encoded MLSMessage.
    pub(crate) fn write(
        &mut self,
        p: &Provider<'_>,
        at: (Gid, EpochId),
        signer: &Signer,
        plain: &[u8],
    ) -> Result<Vec<u8>, MlsError> {
        let group = self.at(p, at)?;
        let out = group.create_message(p, &signer.pair(), plain);
        let Ok(message) = out else {
            self.0.remove(&at);
            return Err(MlsError::Refused("cannot write"));
        };
        message
            .tls_serialize_detached()
            .map_err(|_| MlsError::Refused("cannot write"))
    }

    /// Opens one MLSMessage in the given epoch.
    pub(crate) fn read(&mut self, p: &Provider<'_>, at: (Gid, EpochId), bytes: &[u8]) -> Result<Read, MlsError> {
        let Ok(message) = MlsMessageIn::tls_deserialize_exact(bytes) else {
            return Ok(Read::Refused("not an MLS message"));
        };
        let MlsMessageBodyIn::PrivateMessage(message) = message.extract() else {
            return Ok(Read::Refused("not a private message"));
        };
        let group = self.at(p, at)?;
        match group.process_message(p, ProtocolMessage::from(message)) {
            Ok(done) => {
                let account = account_in(done.credential().serialized_content());
                Ok(verdict(done.sender().clone(), account, done.into_content()))
            }
            Err(error) => {
                self.0.remove(&at);
                Ok(refusal(&error))
            }
        }
    }

    /// The secrets that the mailbox and the envelope of this epoch rest on.
    pub(crate) fn export(&mut self, p: &Provider<'_>, at: (Gid, EpochId)) -> Result<Exports, MlsError> {
        let group = self.at(p, at)?;
        let secret = |label: &str| -> Result<[u8; 32], MlsError> {
            let bytes = group.export_secret(&p.crypto, label, at.1.as_bytes(), 32);
            let bytes = Zeroizing::new(bytes.map_err(|_| MlsError::Refused("export"))?);
            bytes.as_slice().try_into().map_err(|_| MlsError::Refused("export"))
        };
        Ok(Exports {
            mailbox_root: secret("stonechat/mailbox")?,
            envelope_key: secret("stonechat/env")?,
        })
    }

    /// What signals of this epoch are sealed with (EPH-1).
    pub(crate) fn ephemeral(&mut self, p: &Provider<'_>, at: (Gid, EpochId)) -> Result<EphemeralKey, MlsError> {
        let group = self.at(p, at)?;
        let bytes = group.export_secret(&p.crypto, "stonechat/eph", at.1.as_bytes(), 32);
        let bytes = Zeroizing::new(bytes.map_err(|_| MlsError::Refused("export"))?);
        let secret = bytes.as_slice().try_into().map_err(|_| MlsError::Refused("export"))?;
        Ok(EphemeralKey::new(secret))
    }

    /// What two people find each other again by (RCH-1).
    pub(crate) fn reach(&mut self, p: &Provider<'_>, at: (Gid, EpochId)) -> Result<Zeroizing<Vec<u8>>, MlsError> {
        let group = self.at(p, at)?;
        let bytes = group.export_secret(&p.crypto, "stonechat/reach", at.1.as_bytes(), 32);
        Ok(Zeroizing::new(bytes.map_err(|_| MlsError::Refused("export"))?))
    }

    /// One member's leaf in an epoch.
    pub(crate) fn leaf(&mut self, p: &Provider<'_>, at: (Gid, EpochId), index: u32) -> Result<Leaf, MlsError> {
        let group = self.at(p, at)?;
        let found = leaves(group).into_iter().find(|leaf| leaf.index == index);
        found.ok_or(MlsError::Refused("no such leaf"))
    }

    /// All leaves of an epoch.
    pub(crate) fn leaves(&mut self, p: &Provider<'_>, at: (Gid, EpochId)) -> Result<Vec<Leaf>, MlsError> {
        Ok(leaves(self.at(p, at)?))
    }

    /// An epoch's number in MLS: it grows along every branch.
    pub(crate) fn number(&mut self, p: &Provider<'_>, at: (Gid, EpochId)) -> Result<u64, MlsError> {
        Ok(self.at(p, at)?.epoch().as_u64())
    }

    /// One epoch for a commit to work on: what is held of it, or its rows. Held any longer it is not, for a commit
    /// makes the child of it.
    fn take_held(&mut self, p: &Provider<'_>, at: (Gid, EpochId)) -> Result<MlsGroup, MlsError> {
        p.rows.at(&at.0, at.1);
        self.0.remove(&at).map_or_else(|| load(p, at), Ok)
    }

    /// Keeps what a commit made, as its rows have it.
    fn hold(&mut self, at: (Gid, EpochId), group: MlsGroup) {
        while self.0.len() >= GROUPS_HELD {
            self.0.pop_first();
        }
        self.0.insert(at, group);
    }

    fn at(&mut self, p: &Provider<'_>, at: (Gid, EpochId)) -> Result<&mut MlsGroup, MlsError> {
        p.rows.at(&at.0, at.1);
        if !self.0.contains_key(&at) {
            self.hold(at, load(p, at)?);
        }
        self.0.get_mut(&at).ok_or(MlsError::Refused("no group"))
    }
}

/// An epoch, from the rows that [`Rows::at`] points to.
fn load(p: &Provider<'_>, at: (Gid, EpochId)) -> Result<MlsGroup, MlsError> {
    MlsGroup::load(&p.rows, &GroupId::from_slice(&at.0))?.ok_or(MlsError::Refused("no group"))
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Groups({})", self.0.len())
    }
}

fn verdict(sender: Sender, account: Option<AccountId>, content: ProcessedMessageContent) -> Read {
    match (sender, account, content) {
        (Sender::Member(leaf), Some(account), ProcessedMessageContent::ApplicationMessage(message)) => Read::Message {
            leaf: leaf.u32(),
            account,
            plain: message.into_bytes(),
        },
        (_, _, ProcessedMessageContent::OwnPrivateMessage) => Read::Own,
        // MLS-5: commits have a lane of their own; proposals by reference there are none.
        (_, _, _commit_or_proposal) => Read::Refused("commit or proposal"),
    }
}

/// The account that a credential begins with (MLS-7).
pub(crate) fn account_in(identity: &[u8]) -> Option<AccountId> {
    Some(AccountId::from_bytes(*identity.first_chunk()?))
}

fn refusal(error: &ProcessMessageError<RowsError>) -> Read {
    let ProcessMessageError::ValidationError(ValidationError::UnableToDecrypt(
        MessageDecryptionError::SecretTreeError(error),
    )) = error
    else {
        return Read::Refused("not of this group");
    };
    match error {
        SecretTreeError::SecretReuseError | SecretTreeError::TooDistantInThePast => Read::Again,
        SecretTreeError::TooDistantInTheFuture => Read::Ahead,
        _other => Read::Refused("no key"),
    }
}

fn decode_key_package(p: &Provider<'_>, bytes: &[u8]) -> Result<KeyPackage, MlsError> {
    let package = KeyPackageIn::tls_deserialize_exact(bytes)
        .map_err(|_| MlsError::Refused("key package bytes"))?
        .validate(&p.crypto, ProtocolVersion::Mls10)
        .map_err(|_| MlsError::Refused("key package"))?;
    if package.ciphersuite() == suite() {
        Ok(package)
    } else {
        Err(MlsError::Refused("suite"))
    }
}

fn encode<T: tls_codec::Serialize>(value: &T) -> Result<Vec<u8>, MlsError> {
    value
        .tls_serialize_detached()
        .map_err(|_| MlsError::Refused("encoding"))
}

fn capabilities() -> Capabilities {
    Capabilities::builder()
        .ciphersuites(vec![suite()])
        .extensions(vec![ExtensionType::LastResort, ExtensionType::Unknown(STATE_EXTENSION)])
        .build()
}

fn join_config() -> MlsGroupJoinConfig {
    MlsGroupJoinConfig::builder()
        .wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
        .max_past_epochs(0)
        .number_of_resumption_psks(0)
        .sender_ratchet_configuration(SenderRatchetConfiguration::new(OUT_OF_ORDER, FORWARD))
        .use_ratchet_tree_extension(true)
        .build()
}

fn create_config() -> MlsGroupCreateConfig {
    MlsGroupCreateConfig::builder()
        .ciphersuite(suite())
        .capabilities(capabilities())
        .lifetime(Lifetime::init(0, u64::MAX))
        .wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
        .max_past_epochs(0)
        .number_of_resumption_psks(0)
        .sender_ratchet_configuration(SenderRatchetConfiguration::new(OUT_OF_ORDER, FORWARD))
        .use_ratchet_tree_extension(true)
        .build()
}

#[cfg(test)]
mod second;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
#[cfg(test)]
mod wycheproof;
