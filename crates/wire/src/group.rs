//! What a group is: its state, signed with its MLS context, and what a commit says beside it.
//!
//! In: bytes of a group context's extension, of a commit's authenticated data, of messages about groups; or typed values.
//! Out: the other. Who may change what is core's to judge. Specified in `docs/protocol/12-groups.md` (GRP-*).

use alloc::string::String;
use alloc::vec::Vec;

use crate::apart::Apart;
use crate::card::{CardRelay, KEY_PACKAGE_BYTES_MAX, RELAYS_MAX};
use crate::codec::{DecodeError, Reader, Write};
use crate::ids::{AccountId, EpochId};
use crate::post::{TIMER_S_MAX, TIMER_S_MIN};
pub use crate::succession::Consent;

/// Format version of everything here.
pub const VERSION: u8 = 1;
/// Format version of the state of a group that was founded as large (GRP-17).
const LARGE_VERSION: u8 = 2;
/// Most accounts of an ordinary group (GRP-1).
pub const SEATS_MAX: usize = 256;
/// Most accounts of a large group (GRP-17).
pub const LARGE_SEATS_MAX: usize = 1024;
/// Longest name of a group or of a member, in bytes of UTF-8 (GRP-1).
pub const NAME_BYTES_MAX: usize = 128;
/// Longest description, in bytes of UTF-8 (GRP-1).
pub const DESCRIPTION_BYTES_MAX: usize = 1024;
/// Most key packages of one message (GRP-8).
pub const SUPPLY_MAX: usize = 8;
/// Longest Welcome with its tree, and longest common part, in bytes: what goes into 128 envelopes (GRP-9, GRP-15, ENV-6).
pub const WELCOME_BYTES_MAX: usize = 4_000_000;

/// What a member may do; the lower number is the higher authority (GRP-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Role {
    /// Everything, and the only one to make admins and owners.
    Owner = 0,
    /// Members, roles below, name and policy.
    Admin = 1,
    /// Writes also where members may not.
    Moderator = 2,
    /// Writes.
    Member = 3,
    /// Reads.
    Reader = 4,
}

impl Role {
    /// All, from the highest authority down.
    pub const ALL: [Self; 5] = [Self::Owner, Self::Admin, Self::Moderator, Self::Member, Self::Reader];

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let number = usize::from(reader.u8()?);
        Self::ALL.get(number).copied().ok_or(DecodeError::Value("role"))
    }
}

/// One account of a group.
#[derive(Clone, PartialEq, Eq)]
pub struct Seat {
    /// Who.
    pub account: AccountId,
    /// As what.
    pub role: Role,
    /// What whoever added them calls them.
    pub name: String,
}

impl core::fmt::Debug for Seat {
    /// No name.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Seat({:?}, {:?})", self.account, self.role)
    }
}

/// A group's state: an extension of its MLS context (GRP-1).
#[derive(Clone, PartialEq, Eq)]
pub struct GroupState {
    /// Founded for up to [`LARGE_SEATS_MAX`] accounts; nothing changes it (GRP-17).
    pub large: bool,
    /// What it is called.
    pub name: String,
    /// What it is about; may be empty.
    pub description: String,
    /// The lowest role that may write.
    pub may_write: Role,
    /// The lowest role that may add members.
    pub may_add: Role,
    /// The lowest role that may change name and description.
    pub may_edit: Role,
    /// The accounts, in the order of their authority: by role, then by place in this list (GRP-2).
    pub seats: Vec<Seat>,
    /// SHA-256 of its picture, where it has one (GRP-20).
    pub picture: Option<[u8; 32]>,
}

impl core::fmt::Debug for GroupState {
    /// No names.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "GroupState({:?})", self.seats)
    }
}

impl GroupState {
    /// version 1 (2: large) | name | description | may write 1 | may add 1 | may edit 1 | count 2 | (account 32 | role 1 | name) each |
    /// the picture's hash 32, or nothing.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::from([if self.large { LARGE_VERSION } else { VERSION }]);
        out.put_bytes(self.name.as_bytes());
        out.put_bytes(self.description.as_bytes());
        out.put(&[self.may_write as u8, self.may_add as u8, self.may_edit as u8]);
        out.put_count(self.seats.len());
        for seat in &self.seats {
            out.put(seat.account.as_bytes());
            out.push(seat.role as u8);
            out.put_bytes(seat.name.as_bytes());
        }
        out.put(self.picture.as_ref().map_or(&[], |hash| hash.as_slice()));
        out
    }

    /// Reads a state. Errors: another version, a limit, seats out of order, an account twice, nobody who owns it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let large = match reader.u8()? {
            VERSION => false,
            LARGE_VERSION => true,
            newer => return Err(DecodeError::Version(newer)),
        };
        let state = Self {
            large,
            name: String::from(reader.text("group name", NAME_BYTES_MAX)?),
            description: String::from(reader.text("description", DESCRIPTION_BYTES_MAX)?),
            may_write: Role::read(&mut reader)?,
            may_add: Role::read(&mut reader)?,
            may_edit: Role::read(&mut reader)?,
            seats: reader.list("seats", seats_max(large), |reader| {
                Ok(Seat {
                    account: AccountId::from_bytes(reader.array()?),
                    role: Role::read(reader)?,
                    name: String::from(reader.text("member name", NAME_BYTES_MAX)?),
                })
            })?,
            picture: if reader.rest().is_empty() {
                None
            } else {
                Some(reader.array()?)
            },
        };
        reader.end()?;
        state.check()?;
        Ok(state)
    }

    /// How many accounts it may have.
    pub const fn seats_max(&self) -> usize {
        seats_max(self.large)
    }

    fn check(&self) -> Result<(), DecodeError> {
        let mut accounts: Vec<AccountId> = self.seats.iter().map(|seat| seat.account).collect();
        accounts.sort_unstable();
        accounts.dedup();
        if accounts.len() != self.seats.len() || !self.seats.is_sorted_by_key(|seat| seat.role) {
            return Err(DecodeError::Value("seats"));
        }
        match self.seats.first() {
            Some(seat) if seat.role == Role::Owner => Ok(()),
            _nobody => Err(DecodeError::Value("owner")),
        }
    }

    /// An account's authority: its place in the list; 0 is the highest (GRP-2).
    pub fn rank(&self, account: AccountId) -> Option<usize> {
        self.seats.iter().position(|seat| seat.account == account)
    }

    /// An account's role.
    pub fn role(&self, account: AccountId) -> Option<Role> {
        self.seats
            .iter()
            .find(|seat| seat.account == account)
            .map(|seat| seat.role)
    }
}

const fn seats_max(large: bool) -> usize {
    if large { LARGE_SEATS_MAX } else { SEATS_MAX }
}

/// Most messages that a cut names (GRP-6).
pub const SAID_MAX: usize = 64;

/// Up to where the messages of an account count that a commit takes rights from (GRP-6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Whose messages.
    pub account: AccountId,
    /// The last ones that the commit's author had seen, newest first: the beginnings of their ids. None: it had seen none.
    pub said: Vec<[u8; 8]>,
}

/// count 1 | the beginnings of message ids, 8 bytes each: as they stand in a cut (GRP-6, DEV-4).
pub(crate) fn write_said(said: &[[u8; 8]], out: &mut Vec<u8>) {
    let said = said.get(..SAID_MAX).unwrap_or(said);
    out.push(u8::try_from(said.len()).unwrap_or(u8::MAX));
    said.iter().for_each(|id| out.put(id));
}

/// Reads what [`write_said`] wrote. Errors: more than [`SAID_MAX`].
pub(crate) fn read_said(reader: &mut Reader<'_>) -> Result<Vec<[u8; 8]>, DecodeError> {
    let count = usize::from(reader.u8()?);
    if count > SAID_MAX {
        return Err(DecodeError::Limit("said"));
    }
    (0..count).map(|_| reader.array()).collect()
}

/// A member's own word that it leaves (GRP-7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leave {
    /// Who.
    pub account: AccountId,
    /// Ed25519 by the leaf's key over [`leave_bytes`].
    pub signature: [u8; 64],
}

/// What a leaf signs to leave: "stonechat/leave/1" | group id | account.
pub fn leave_bytes(group_id: &[u8], account: AccountId) -> Vec<u8> {
    let mut out = Vec::from(*b"stonechat/leave/1");
    out.put(group_id);
    out.put(account.as_bytes());
    out
}

/// What a commit says beside its proposals, as MLS authenticated data (GRP-6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// For everybody that the commit takes rights from.
    pub cuts: Vec<Cut>,
    /// The words of those that it removes because they left.
    pub leaves: Vec<Leave>,
    /// The words of those who agree that somebody becomes an owner (GRP-18).
    pub consents: Vec<Consent>,
}

impl Note {
    /// Nothing at all where there is nothing to say; else version 1 | cuts (count 2; account 32 | count 1 | id 8
    /// each) | leaves (count 2; account 32 | signature 64) | consents (count 2; account 32 | number 8 | signature 64).
    pub fn encode(&self) -> Vec<u8> {
        if *self == Self::default() {
            return Vec::new();
        }
        let mut out = Vec::from([VERSION]);
        out.put_count(self.cuts.len());
        for cut in &self.cuts {
            out.put(cut.account.as_bytes());
            write_said(&cut.said, &mut out);
        }
        out.put_count(self.leaves.len());
        for leave in &self.leaves {
            out.put(leave.account.as_bytes());
            out.put(&leave.signature);
        }
        out.put_count(self.consents.len());
        self.consents.iter().for_each(|consent| consent.write(&mut out));
        out
    }

    /// Reads a note. Errors: another version, more than [`LARGE_SEATS_MAX`] of a kind or [`SAID_MAX`] of one cut, bytes left
    /// over, nothing said at length.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let mut reader = Reader::new(bytes);
        check_version(&mut reader)?;
        let note = Self {
            cuts: reader.list("cuts", LARGE_SEATS_MAX, |reader| {
                Ok(Cut {
                    account: AccountId::from_bytes(reader.array()?),
                    said: read_said(reader)?,
                })
            })?,
            leaves: reader.list("leaves", LARGE_SEATS_MAX, |reader| {
                Ok(Leave {
                    account: AccountId::from_bytes(reader.array()?),
                    signature: reader.array()?,
                })
            })?,
            consents: reader.list("consents", LARGE_SEATS_MAX, Consent::read)?,
        };
        reader.end()?;
        if note == Self::default() {
            return Err(DecodeError::Value("note"));
        }
        Ok(note)
    }
}

/// A key package that somebody keeps for a contact to add them with (GRP-8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supply {
    /// To be used more than once, when the others are used up.
    pub last_resort: bool,
    /// The encoded `KeyPackage`.
    pub package: Vec<u8>,
}

/// count 2 | (last resort 1 | key package) each: the body of a message of kind *key packages* (GRP-8).
pub fn encode_supply(supply: &[Supply]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_count(supply.len());
    for one in supply {
        out.push(u8::from(one.last_resort));
        out.put_bytes(&one.package);
    }
    out
}

/// Reads it. Errors: a limit, bytes left over.
pub fn decode_supply(bytes: &[u8]) -> Result<Vec<Supply>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let supply = reader.list("supply", SUPPLY_MAX, |reader| {
        Ok(Supply {
            last_resort: reader.bool("last resort")?,
            package: reader.bytes("key package", KEY_PACKAGE_BYTES_MAX)?.to_vec(),
        })
    })?;
    reader.end()?;
    Ok(supply)
}

/// How long messages of a group stay, as the newest message that says so has it (GRP-13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaidTimer {
    /// That message's clock (MSG-3): says which of two is newer.
    pub hlc: u64,
    /// Seconds; nothing: they stay.
    pub seconds: Option<u32>,
}

/// The body of a message of kind *welcome*: into which group, where it meets, and what was said there before (GRP-9).
#[derive(Clone, PartialEq, Eq)]
pub struct Invitation {
    /// The relays of the group that whoever adds uses.
    pub relays: Vec<CardRelay>,
    /// The encoded Welcome, with its tree; without its common part where that lies apart.
    pub welcome: Vec<u8>,
    /// The group's timer, where one was ever set.
    pub timer: Option<SaidTimer>,
    /// Where the common part lies, if it is not in the Welcome (GRP-15).
    pub apart: Option<Apart>,
}

impl core::fmt::Debug for Invitation {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Invitation({} bytes)", self.welcome.len())
    }
}

impl Invitation {
    /// count 2 | relays (CARD-1) | Welcome (length 4) | timer: 0, or 1 | clock 8 | seconds 4, 0 where messages stay |
    /// common part: 0, or 1 | secret 32 | hash 32 | length 4.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_count(self.relays.len());
        self.relays.iter().for_each(|relay| relay.write(&mut out));
        out.put_bytes(&self.welcome);
        write_timer(self.timer, &mut out);
        out.push(u8::from(self.apart.is_some()));
        if let Some(apart) = &self.apart {
            apart.write(&mut out);
        }
        out
    }

    /// Reads it. Errors: a limit, a time that no timer has, bytes left over.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let invitation = Self {
            relays: reader.list("relays", RELAYS_MAX, CardRelay::read)?,
            welcome: reader.bytes("welcome", WELCOME_BYTES_MAX)?.to_vec(),
            timer: read_timer(&mut reader)?,
            apart: if reader.bool("apart")? {
                Some(Apart::read(&mut reader)?)
            } else {
                None
            },
        };
        reader.end()?;
        Ok(invitation)
    }
}

pub(crate) fn write_timer(timer: Option<SaidTimer>, out: &mut Vec<u8>) {
    out.push(u8::from(timer.is_some()));
    if let Some(timer) = timer {
        out.put(&timer.hlc.to_be_bytes());
        out.put(&timer.seconds.unwrap_or(0).to_be_bytes());
    }
}

pub(crate) fn read_timer(reader: &mut Reader<'_>) -> Result<Option<SaidTimer>, DecodeError> {
    if !reader.bool("timer")? {
        return Ok(None);
    }
    let (hlc, seconds) = (reader.u64()?, reader.u32()?);
    if seconds != 0 && !(TIMER_S_MIN..=TIMER_S_MAX).contains(&seconds) {
        return Err(DecodeError::Value("timer"));
    }
    let seconds = (seconds != 0).then_some(seconds);
    Ok(Some(SaidTimer { hlc, seconds }))
}

/// The body of a message of kind *behind*: a device cannot follow a group any more, and asks to be added again (GRP-11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// Which group.
    pub group: [u8; 16],
    /// The head, as that device knows it.
    pub epoch: EpochId,
    /// That epoch's number in MLS.
    pub number: u64,
    /// The public key of that device's leaf.
    pub leaf: [u8; 32],
}

impl Behind {
    /// group id 16 | epoch id 16 | number 8 | leaf's key 32.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put(&self.group);
        out.put(self.epoch.as_bytes());
        out.put(&self.number.to_be_bytes());
        out.put(&self.leaf);
        out
    }

    /// Reads it. Errors: too short, bytes left over.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let behind = Self {
            group: reader.array()?,
            epoch: EpochId::from_bytes(reader.array()?),
            number: u64::from_be_bytes(reader.array()?),
            leaf: reader.array()?,
        };
        reader.end()?;
        Ok(behind)
    }
}

/// The body of a message of kind *placed*: whether somebody's addition to a group lies on the head's branch (GRP-24).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Which group.
    pub group: [u8; 16],
    /// The epoch that the addition made; or, said in the group, one of its branch.
    pub epoch: EpochId,
    /// It does.
    pub counts: bool,
    /// Whose addition; the receiver's, where it is said in a conversation of two.
    pub whom: Option<AccountId>,
}

impl Placed {
    /// group id 16 | epoch id 16 | 0 or 1 | account 32, or nothing.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put(&self.group);
        out.put(self.epoch.as_bytes());
        out.push(u8::from(self.counts));
        out.put(self.whom.as_ref().map_or(&[], |whom| whom.as_bytes().as_slice()));
        out
    }

    /// Reads it. Errors: too short, bytes left over, neither 0 nor 1.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let (group, epoch) = (reader.array()?, EpochId::from_bytes(reader.array()?));
        let counts = match reader.u8()? {
            0 => false,
            1 => true,
            _other => return Err(DecodeError::Value("counts")),
        };
        let whom = match reader.rest() {
            [] => None,
            _account => Some(AccountId::from_bytes(reader.array()?)),
        };
        reader.end()?;
        Ok(Self {
            group,
            epoch,
            counts,
            whom,
        })
    }
}

fn check_version(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    match reader.u8()? {
        VERSION => Ok(()),
        newer => Err(DecodeError::Version(newer)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;

    fn seat(n: u8, role: Role) -> Seat {
        Seat {
            account: AccountId::from_bytes([n; 32]),
            role,
            name: "somebody".into(),
        }
    }

    fn state(seats: Vec<Seat>) -> GroupState {
        GroupState {
            large: false,
            name: "house".into(),
            description: String::new(),
            may_write: Role::Member,
            may_add: Role::Admin,
            may_edit: Role::Admin,
            seats,
            picture: None,
        }
    }

    #[test]
    fn a_state_reads_back_and_ranks_its_seats_grp_1() {
        let state = state(vec![seat(2, Role::Owner), seat(1, Role::Member), seat(3, Role::Member)]);
        assert_eq!(GroupState::decode(&state.encode()), Ok(state.clone()));
        // proves: GRP-2
        assert_eq!(state.rank(AccountId::from_bytes([3; 32])), Some(2));
        assert_eq!(state.role(AccountId::from_bytes([9; 32])), None);
    }

    #[test]
    fn bad_states_give_their_errors_grp_1() {
        let refused = |seats: Vec<Seat>| GroupState::decode(&state(seats).encode()).unwrap_err();
        assert_eq!(refused(vec![]), DecodeError::Value("owner"));
        assert_eq!(refused(vec![seat(1, Role::Admin)]), DecodeError::Value("owner"));
        assert_eq!(
            refused(vec![seat(1, Role::Owner), seat(1, Role::Admin)]),
            DecodeError::Value("seats")
        );
        assert_eq!(
            refused(vec![seat(1, Role::Owner), seat(2, Role::Reader), seat(3, Role::Admin)]),
            DecodeError::Value("seats")
        );
        let many = (0..=SEATS_MAX).map(|n| Seat {
            account: AccountId::from_bytes(core::array::from_fn(|i| if i < 2 { n.to_be_bytes()[6 + i] } else { 0 })),
            ..seat(0, Role::Owner)
        });
        assert_eq!(refused(many.collect()), DecodeError::Limit("seats"));
        let mut newer = state(vec![seat(1, Role::Owner)]).encode();
        newer[0] = 3;
        assert_eq!(GroupState::decode(&newer), Err(DecodeError::Version(3)));
    }

    #[test]
    fn a_state_says_which_picture_the_group_has_grp_20() {
        let plain = state(vec![seat(1, Role::Owner)]);
        let with = GroupState {
            picture: Some([7; 32]),
            ..plain.clone()
        };
        let bytes = with.encode();
        assert_eq!(bytes, [plain.encode(), vec![7; 32]].concat());
        assert_eq!(GroupState::decode(&bytes), Ok(with));
        assert_eq!(GroupState::decode(&bytes[..bytes.len() - 1]), Err(DecodeError::Short));
        assert_eq!(
            GroupState::decode(&[&bytes[..], &[0]].concat()),
            Err(DecodeError::Trailing)
        );
    }

    #[test]
    fn a_large_group_says_so_and_has_1024_seats_grp_17() {
        let of = |count: usize| GroupState {
            large: true,
            ..state(
                (0..count)
                    .map(|n| Seat {
                        account: AccountId::from_bytes(core::array::from_fn(|i| match i {
                            0 => u8::try_from(n / 256).unwrap(),
                            1 => u8::try_from(n % 256).unwrap(),
                            _rest => 0,
                        })),
                        ..seat(0, Role::Owner)
                    })
                    .collect(),
            )
        };
        let most = of(LARGE_SEATS_MAX);
        assert_eq!(GroupState::decode(&most.encode()), Ok(most.clone()));
        assert_eq!(
            GroupState::decode(&of(LARGE_SEATS_MAX + 1).encode()),
            Err(DecodeError::Limit("seats"))
        );
        let ordinary = GroupState { large: false, ..most };
        assert_eq!(GroupState::decode(&ordinary.encode()), Err(DecodeError::Limit("seats")));
    }

    #[test]
    fn an_invitation_says_no_time_that_no_timer_has_grp_13() {
        for (seconds, fits) in [(TIMER_S_MIN, true), (TIMER_S_MIN - 1, false), (TIMER_S_MAX + 1, false)] {
            let invitation = Invitation {
                relays: vec![],
                welcome: vec![],
                timer: Some(SaidTimer {
                    hlc: 1,
                    seconds: Some(seconds),
                }),
                apart: None,
            };
            assert_eq!(Invitation::decode(&invitation.encode()).is_ok(), fits, "{seconds}");
        }
    }

    #[test]
    fn nothing_to_say_is_nothing_on_the_wire_grp_6() {
        assert_eq!(Note::default().encode(), []);
        assert_eq!(Note::decode(&[]), Ok(Note::default()));
    }

    #[test]
    fn a_cut_names_64_messages_at_most_grp_6() {
        let note = |most: u8| Note {
            cuts: vec![Cut {
                account: AccountId::from_bytes([1; 32]),
                said: (0..most).map(|n| [n; 8]).collect(),
            }],
            ..Note::default()
        };
        let full = note(64).encode();
        assert_eq!(Note::decode(&full), Ok(note(64)));
        assert_eq!(note(65).encode(), full);
        let mut more = full;
        let count = more.iter().position(|byte| *byte == 64).unwrap();
        more[count] = 65;
        more.splice(count + 1..count + 1, [9; 8]);
        assert_eq!(Note::decode(&more), Err(DecodeError::Limit("said")));
    }

    proptest! {
        #[test]
        fn notes_supplies_and_invitations_read_back_grp_6(
            cuts in prop::collection::vec((any::<[u8; 32]>(), prop::collection::vec(any::<[u8; 8]>(), 0..=SAID_MAX)), 0..4),
            leaves in prop::collection::vec((any::<[u8; 32]>(), any::<[u8; 32]>()), 0..4),
            packages in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..40)), 0..SUPPLY_MAX),
            timer in prop::option::of((any::<u64>(), prop::option::of(TIMER_S_MIN..=TIMER_S_MAX))),
            apart in any::<Option<[u8; 32]>>(),
            consents in prop::collection::vec((any::<[u8; 32]>(), any::<u64>()), 0..3),
        ) {
            let timer = timer.map(|(hlc, seconds)| SaidTimer { hlc, seconds });
            let note = Note {
                cuts: cuts.into_iter().map(|(account, said)| Cut { account: account.into(), said }).collect(),
                leaves: leaves.into_iter().map(|(account, half)| {
                    let mut signature = [0; 64];
                    signature[..32].copy_from_slice(&half);
                    Leave { account: account.into(), signature }
                }).collect(),
                // proves: GRP-18
                consents: consents.into_iter().map(|(account, number)| Consent {
                    account: account.into(), number, signature: [7; 64],
                }).collect(),
            };
            prop_assert_eq!(Note::decode(&note.encode()).unwrap(), note);
            let supply: Vec<Supply> = packages.into_iter().map(|(last_resort, package)| Supply { last_resort, package }).collect();
            // proves: GRP-8
            prop_assert_eq!(decode_supply(&encode_supply(&supply)).unwrap(), supply.clone());
            let invitation = Invitation { relays: vec![], welcome: supply.first().map(|one| one.package.clone()).unwrap_or_default(), timer, apart: apart.map(|secret| Apart::of(secret, &secret)) };
            // proves: GRP-9
            prop_assert_eq!(Invitation::decode(&invitation.encode()).unwrap(), invitation);
        }

        #[test]
        fn any_bytes_decode_or_err_grp_1(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = GroupState::decode(&bytes);
            let _ = Note::decode(&bytes);
            let _ = decode_supply(&bytes);
            let _ = Invitation::decode(&bytes);
            let _ = Placed::decode(&bytes);
            let _ = crate::card::LeafIdentity::decode(&bytes);
        }
    }

    #[test]
    fn what_is_said_of_an_addition_is_33_bytes_or_names_somebody_grp_24() {
        let mut placed = Placed {
            group: [1; 16],
            epoch: EpochId::from_bytes([2; 16]),
            counts: true,
            whom: None,
        };
        let bytes = placed.encode();
        assert_eq!(bytes.len(), 33);
        assert_eq!(Placed::decode(&bytes), Ok(placed));
        assert_eq!(Placed::decode(&bytes[..32]), Err(DecodeError::Short));
        assert_eq!(Placed::decode(&[&bytes[..], &[0]].concat()), Err(DecodeError::Short));
        assert_eq!(
            Placed::decode(&[&bytes[..32], &[2]].concat()),
            Err(DecodeError::Value("counts"))
        );
        placed.whom = Some(AccountId::from_bytes([9; 32]));
        let bytes = placed.encode();
        assert_eq!((bytes.len(), Placed::decode(&bytes)), (65, Ok(placed)));
        assert_eq!(Placed::decode(&[&bytes[..], &[0]].concat()), Err(DecodeError::Trailing));
    }

    #[test]
    fn who_is_behind_says_it_in_72_bytes_grp_11() {
        let behind = Behind {
            group: [1; 16],
            epoch: EpochId::from_bytes([2; 16]),
            number: 3,
            leaf: [4; 32],
        };
        let bytes = behind.encode();
        assert_eq!(bytes.len(), 72);
        assert_eq!(Behind::decode(&bytes), Ok(behind));
        assert_eq!(Behind::decode(&bytes[..71]), Err(DecodeError::Short));
        assert_eq!(Behind::decode(&[&bytes[..], &[0]].concat()), Err(DecodeError::Trailing));
    }
}
