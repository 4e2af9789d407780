//! Commits: making one and taking one in, so that parent and child are two epoch objects afterwards.
//!
//! In: a parent epoch, and a wish or the bytes of somebody's commit. Out: the child epoch, and what changed with it.
//! Who may change what is the caller's to judge, inside the same savepoint: what it refuses leaves no row.
//! Invariant: the copy for the child is taken after the commit's key was used up in the parent, never before, and a
//! parent of mine forgets the staged commit. So a stolen parent opens nothing of its child (MLS-8, MLS-9; the argument:
//! `docs/safety/retained-parents.md`).

use super::{Gid, Groups, Leaf, MlsError, Provider, Signer, decode_key_package, encode, epoch_id, leaves, state_of};
use crate::defence::{self, Defence};
use openmls::group::StagedCommit;
use openmls::prelude::{
    Extension, ExtensionType, Extensions, GroupContext, LeafNodeIndex, MlsGroup, MlsMessageBodyIn, MlsMessageIn,
    ProcessedMessageContent, Proposal, ProposalOrRefType, ProtocolMessage, RequiredCapabilitiesExtension, Sender,
    UnknownExtension,
};
use stonechat_wire::ids::EpochId;
use tls_codec::Deserialize as _;

use super::STATE_EXTENSION;

/// What a commit of mine shall do. Nothing at all: renew my own keys.
#[derive(Debug, Default)]
pub(crate) struct Wish<'a> {
    /// Key packages of those who come.
    pub(crate) add: &'a [Vec<u8>],
    /// Leaves that go.
    pub(crate) remove: &'a [u32],
    /// The group's new state.
    pub(crate) state: Option<&'a [u8]>,
    /// Signed with the commit, readable before it is applied.
    pub(crate) note: &'a [u8],
}

/// A commit of mine, made and merged.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) child: EpochId,
    pub(crate) commit: Vec<u8>,
    pub(crate) welcome: Option<Vec<u8>>,
    pub(crate) members: Vec<Leaf>,
    pub(crate) state: Option<Vec<u8>>,
}

/// A commit of somebody else, taken in.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) child: EpochId,
    pub(crate) author: Leaf,
    pub(crate) before: Vec<Leaf>,
    pub(crate) after: Vec<Leaf>,
    pub(crate) added: Vec<Leaf>,
    pub(crate) removed: Vec<u32>,
    /// The state was changed by this commit.
    pub(crate) changed_state: bool,
    pub(crate) state: Option<Vec<u8>>,
    /// The committer's own keys are new.
    pub(crate) renewed: bool,
    pub(crate) note: Vec<u8>,
    /// I am in the child; where not, it has no rows here.
    pub(crate) with_me: bool,
}

/// What became of a received commit.
#[derive(Debug)]
pub(crate) enum CommitRead {
    Taken(Box<Taken>),
    /// By my own leaf: my echo, or a suspicion; OpenMLS stops before it authenticates.
    Own,
    /// Its key is used up, or it is junk, or nothing that a commit may be.
    Refused(&'static str),
}

impl Groups {
    /// Makes a commit on `at` and merges it into a child of its own (MLS-9).
    pub(crate) fn commit(
        &mut self,
        p: &Provider<'_>,
        at: (Gid, EpochId),
        signer: &Signer,
        wish: &Wish<'_>,
    ) -> Result<Made, MlsError> {
        let mut group = self.take_held(p, at)?;
        if defence::holds(Defence::StagedCleared) {
            p.rows.leave_staged_out();
        }
        let (commit, welcome) = stage(p, &mut group, signer, wish)?;
        let pending = group.pending_commit().ok_or(MlsError::Refused("nothing staged"))?;
        let child = epoch_id(pending.group_context())?;
        p.rows.descend(child)?;
        group
            .merge_pending_commit(p)
            .map_err(|_| MlsError::Refused("own commit"))?;
        let (members, state) = (leaves(&group), state_of(group.extensions()));
        p.rows.at(&at.0, at.1);
        self.hold((at.0, child), group);
        Ok(Made {
            child,
            commit,
            welcome,
            members,
            state,
        })
    }

    /// Takes in somebody's commit on `at` (MLS-8): a function of the parent's rows and these bytes.
    pub(crate) fn take_commit(
        &mut self,
        p: &Provider<'_>,
        at: (Gid, EpochId),
        bytes: &[u8],
    ) -> Result<CommitRead, MlsError> {
        let Some(message) = private(bytes) else {
            return Ok(CommitRead::Refused("not a private message"));
        };
        let mut group = self.take_held(p, at)?;
        let before = leaves(&group);
        let done = match group.process_message(p, message) {
            Ok(done) => done,
            Err(_used_up_or_junk) => return Ok(CommitRead::Refused("does not open")),
        };
        let (sender, note) = (done.sender().clone(), done.aad().to_vec());
        let staged = match done.into_content() {
            ProcessedMessageContent::StagedCommitMessage(staged) => staged,
            ProcessedMessageContent::OwnPrivateMessage => return Ok(CommitRead::Own),
            _message_or_proposal => return Ok(CommitRead::Refused("not a commit")),
        };
        let Sender::Member(author) = sender else {
            return Ok(CommitRead::Refused("not by a member"));
        };
        let Some(author) = before.iter().find(|leaf| leaf.index == author.u32()).cloned() else {
            return Ok(CommitRead::Refused("not by a member"));
        };
        if let Err(why) = well_formed(&staged, &author) {
            return Ok(CommitRead::Refused(why));
        }
        let mut taken = described(&staged, author, before, note)?;
        if p.rows.holds(&at.0, taken.child)? {
            return Ok(CommitRead::Refused("known child"));
        }
        if taken.with_me {
            p.rows.descend(taken.child)?;
            group
                .merge_staged_commit(p, *staged)
                .map_err(|_| MlsError::Refused("merging"))?;
            taken.after = leaves(&group);
            self.hold((at.0, taken.child), group);
        }
        Ok(CommitRead::Taken(Box::new(taken)))
    }
}

fn private(bytes: &[u8]) -> Option<ProtocolMessage> {
    match MlsMessageIn::tls_deserialize_exact(bytes).ok()?.extract() {
        MlsMessageBodyIn::PrivateMessage(message) => Some(ProtocolMessage::from(message)),
        _other => None,
    }
}

/// Builds and stages it. Out: commit, Welcome.
fn stage(
    p: &Provider<'_>,
    group: &mut MlsGroup,
    signer: &Signer,
    wish: &Wish<'_>,
) -> Result<(Vec<u8>, Option<Vec<u8>>), MlsError> {
    const REFUSED: MlsError = MlsError::Refused("own commit");
    let come = wish
        .add
        .iter()
        .map(|package| decode_key_package(p, package))
        .collect::<Result<Vec<_>, _>>()?;
    group.set_aad(wish.note.to_vec());
    let mut builder = group
        .commit_builder()
        .force_self_update(true)
        .propose_adds(come)
        .propose_removals(wish.remove.iter().map(|leaf| LeafNodeIndex::new(*leaf)));
    if let Some(state) = wish.state {
        builder = builder
            .propose_group_context_extensions(extensions(state)?)
            .map_err(|_| REFUSED)?;
    }
    let bundle = builder
        .load_psks(&p.rows)
        .map_err(|_| REFUSED)?
        .build(&p.crypto, &p.crypto, &signer.pair(), |_| true)
        .map_err(|_| REFUSED)?
        .stage_commit(p)
        .map_err(|_| REFUSED)?;
    let commit = encode(bundle.commit())?;
    let welcome = bundle.into_welcome_msg().map(|welcome| encode(&welcome)).transpose()?;
    Ok((commit, welcome))
}

/// The group context's extensions: our state, that every member must know it, and nothing else.
pub(super) fn extensions(state: &[u8]) -> Result<Extensions<GroupContext>, MlsError> {
    let state = Extension::Unknown(STATE_EXTENSION, UnknownExtension(state.to_vec()));
    Extensions::from_vec(vec![Extension::RequiredCapabilities(required()), state])
        .map_err(|_| MlsError::Refused("state"))
}

fn required() -> RequiredCapabilitiesExtension {
    RequiredCapabilitiesExtension::new(&[ExtensionType::Unknown(STATE_EXTENSION)], &[], &[])
}

/// None at all, or those of a group: nobody brings in senders from outside, or asks for more (GRP-1).
pub(super) fn only_ours(extensions: &Extensions<GroupContext>) -> bool {
    let ours = |extension: &Extension| match extension {
        Extension::RequiredCapabilities(asked) => *asked == required(),
        Extension::Unknown(kind, _) => *kind == STATE_EXTENSION,
        _other => false,
    };
    extensions.iter().all(ours) && matches!(extensions.iter().count(), 0 | 2)
}

/// Everything by value, of the kinds we use, and the committer stays who it was (MLS-5).
fn well_formed(staged: &StagedCommit, author: &Leaf) -> Result<(), &'static str> {
    for queued in staged.queued_proposals() {
        if queued.proposal_or_ref_type() != ProposalOrRefType::Proposal {
            return Err("proposal by reference");
        }
        match queued.proposal() {
            Proposal::Add(_) | Proposal::Remove(_) | Proposal::GroupContextExtensions(_) => {}
            _other => return Err("kind of proposal"),
        }
    }
    if !only_ours(staged.group_context().extensions()) {
        return Err("extensions");
    }
    match staged.update_path_leaf_node() {
        Some(leaf)
            if leaf.signature_key().as_slice() != author.public
                || leaf.credential().serialized_content() != author.identity =>
        {
            Err("another leaf")
        }
        _same_or_none => Ok(()),
    }
}

fn described(staged: &StagedCommit, author: Leaf, before: Vec<Leaf>, note: Vec<u8>) -> Result<Taken, MlsError> {
    let removed: Vec<u32> = staged
        .remove_proposals()
        .map(|queued| queued.remove_proposal().removed().u32())
        .collect();
    let added: Vec<Leaf> = staged
        .add_proposals()
        .map(|queued| Leaf::of(u32::MAX, queued.add_proposal().key_package().leaf_node()))
        .collect();
    let stay = before.iter().filter(|leaf| !removed.contains(&leaf.index));
    Ok(Taken {
        child: epoch_id(staged.group_context())?,
        author,
        after: stay.chain(&added).cloned().collect(),
        before,
        added,
        removed,
        changed_state: staged
            .queued_proposals()
            .any(|queued| matches!(queued.proposal(), Proposal::GroupContextExtensions(_))),
        state: state_of(staged.group_context().extensions()),
        renewed: staged.update_path_leaf_node().is_some(),
        note,
        with_me: !staged.self_removed(),
    })
}
