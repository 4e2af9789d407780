//! What the devices of one account tell each other, and what their commits say.
//!
//! In: bodies and MLS authenticated data that MLS opened, or typed values. Out: the other. What is believed is core's.
//! Specified in `docs/protocol/14-devices.md` (OWN-*, DEV-*).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::card::{CardRelay, DeviceLog, LOG_ENTRIES_MAX, account_id, read_name};
use crate::codec::{DecodeError, Reader, Write};
use crate::group::{
    Behind, SaidTimer, Supply, WELCOME_BYTES_MAX, decode_supply, encode_supply, read_said, read_timer, write_said,
    write_timer,
};
use crate::ids::{AccountId, DeviceId, MessageId};

/// Most leaves of one account in one conversation (DEV-4).
pub const LEAVES_MAX: usize = 8;
/// First byte of what a commit about the committer's own leaves says: no other note begins so.
const NOTE_VERSION: u8 = 2;
const RELAYS_MAX: usize = 4;
/// Longest header and body of a saved message that one device tells another (OWN-9).
pub const SAVED_BYTES_MAX: usize = 300_000;

/// What a commit that changes its author's own leaves says as MLS authenticated data (DEV-4): version 2 | device log |
/// count 2 | (beginning of the leaf's key 8 | count 1 | id 8 each) each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnNote {
    /// The account's log: proves who comes and who goes.
    pub log: DeviceLog,
    /// For each leaf of a device that is revoked: the last of its messages that the author has seen.
    pub cuts: Vec<LeafCut>,
}

/// Where the messages of a revoked device's leaf end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafCut {
    /// Beginning of the leaf's public key.
    pub leaf: [u8; 8],
    /// The beginnings of the ids of its last messages, newest first (GRP-6).
    pub said: Vec<[u8; 8]>,
}

impl OwnNote {
    /// As it stands in the commit.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::from([NOTE_VERSION]);
        self.log.write(&mut out);
        out.put_count(self.cuts.len());
        for cut in &self.cuts {
            out.put(&cut.leaf);
            write_said(&cut.said, &mut out);
        }
        out
    }

    /// Reads one; nothing where it is another kind of note. Errors: any limit, bytes left over.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        let mut reader = Reader::new(bytes);
        if bytes.first() != Some(&NOTE_VERSION) {
            return Ok(None);
        }
        reader.u8()?;
        let note = Self {
            log: DeviceLog::read(&mut reader)?,
            cuts: reader.list("cuts", LEAVES_MAX, |reader| {
                Ok(LeafCut {
                    leaf: reader.array()?,
                    said: read_said(reader)?,
                })
            })?,
        };
        reader.end()?;
        Ok(Some(note))
    }
}

/// A contact, as one device of an account tells it to another.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnContact {
    /// The account's Ed25519 key.
    pub ed25519: [u8; 32],
    /// SHA-256 of the account's ML-DSA-65 key.
    pub mldsa_hash: [u8; 32],
    /// What the person calls themselves.
    pub own_name: String,
    /// What the owner calls them; empty where there is nothing.
    pub alias: String,
    /// Compared or met in person.
    pub verified: bool,
    /// The newest log known.
    pub device_log: DeviceLog,
}

impl OwnContact {
    /// Whose it is (CARD-2).
    pub fn account(&self) -> AccountId {
        account_id(&self.ed25519, &self.mldsa_hash)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.put(&self.ed25519);
        out.put(&self.mldsa_hash);
        out.put_bytes(self.own_name.as_bytes());
        out.put_bytes(self.alias.as_bytes());
        out.push(u8::from(self.verified));
        self.device_log.write(out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            ed25519: reader.array()?,
            mldsa_hash: reader.array()?,
            own_name: read_name(reader)?,
            alias: read_name(reader)?,
            verified: reader.bool("verified")?,
            device_log: DeviceLog::read(reader)?,
        })
    }
}

impl fmt::Debug for OwnContact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnContact({:?})", self.account())
    }
}

/// A device has a new leaf in a conversation (OWN-3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnWelcome {
    /// Grows with each that the sender makes: an older one that comes later is nothing.
    pub number: u64,
    /// The highest seq of this account in the conversation.
    pub seq: u32,
    /// With whom, in a conversation of two.
    pub contact: Option<OwnContact>,
    /// Where it meets.
    pub relays: Vec<CardRelay>,
    /// With the tree.
    pub welcome: Vec<u8>,
    /// The chat's timer, where one was ever set.
    pub timer: Option<SaidTimer>,
}

/// The body of a message of kind *own* (OWN-2): what 1 | content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Own {
    /// 0: key packages of the sender (as in GRP-8).
    Supply(Vec<Supply>),
    /// 1: the account's log, and what its devices are called.
    Devices(DeviceLog, Vec<(DeviceId, String)>),
    /// 2: the receiver is in a conversation.
    Welcome(OwnWelcome),
    /// 3: what the owner says of a contact.
    Contact(OwnContact),
    /// 4: whether the owner has blocked a contact.
    Blocked(AccountId, bool),
    /// 5: header and body of what was written in the chat with oneself.
    Saved(Vec<u8>),
    /// 6: up to which message a conversation was read (OWN-10).
    Read {
        /// The conversation.
        group: [u8; 16],
        /// The newest that was read.
        message: MessageId,
    },
    /// 7: the sender cannot follow a conversation any more (OWN-11).
    Behind(Behind),
}

impl Own {
    /// As it is sealed.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Supply(supply) => {
                out.push(0);
                out.put(&encode_supply(supply));
            }
            Self::Devices(log, names) => {
                out.push(1);
                log.write(&mut out);
                out.put_count(names.len());
                for (device, name) in names {
                    out.put(device.as_bytes());
                    out.put_bytes(name.as_bytes());
                }
            }
            Self::Welcome(welcome) => {
                out.push(2);
                out.put(&welcome.number.to_be_bytes());
                out.put(&welcome.seq.to_be_bytes());
                out.push(u8::from(welcome.contact.is_some()));
                if let Some(contact) = &welcome.contact {
                    contact.write(&mut out);
                }
                out.put_count(welcome.relays.len());
                welcome.relays.iter().for_each(|relay| relay.write(&mut out));
                out.put_bytes(&welcome.welcome);
                write_timer(welcome.timer, &mut out);
            }
            Self::Contact(contact) => {
                out.push(3);
                contact.write(&mut out);
            }
            Self::Blocked(account, blocked) => {
                out.push(4);
                out.put(account.as_bytes());
                out.push(u8::from(*blocked));
            }
            Self::Saved(plain) => {
                out.push(5);
                out.put_bytes(plain);
            }
            Self::Read { group, message } => {
                out.push(6);
                out.put(group);
                out.put(message.as_bytes());
            }
            Self::Behind(behind) => {
                out.push(7);
                out.put(&behind.encode());
            }
        }
        out
    }

    /// Reads one. Errors: of a newer kind, any limit, bytes left over.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let own = match reader.u8()? {
            0 => return Ok(Self::Supply(decode_supply(reader.rest())?)),
            1 => Self::Devices(
                DeviceLog::read(&mut reader)?,
                reader.list("names", LOG_ENTRIES_MAX, |reader| {
                    Ok((DeviceId::from_bytes(reader.array()?), read_name(reader)?))
                })?,
            ),
            2 => Self::Welcome(OwnWelcome {
                number: reader.u64()?,
                seq: reader.u32()?,
                contact: if reader.bool("contact")? {
                    Some(OwnContact::read(&mut reader)?)
                } else {
                    None
                },
                relays: reader.list("relays", RELAYS_MAX, CardRelay::read)?,
                welcome: reader.bytes("welcome", WELCOME_BYTES_MAX)?.to_vec(),
                timer: read_timer(&mut reader)?,
            }),
            3 => Self::Contact(OwnContact::read(&mut reader)?),
            4 => Self::Blocked(AccountId::from_bytes(reader.array()?), reader.bool("blocked")?),
            5 => Self::Saved(reader.bytes("saved message", SAVED_BYTES_MAX)?.to_vec()),
            6 => Self::Read {
                group: reader.array()?,
                message: MessageId::from_bytes(reader.array()?),
            },
            7 => return Ok(Self::Behind(Behind::decode(reader.rest())?)),
            _ => return Err(DecodeError::Value("own")),
        };
        reader.end()?;
        Ok(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::EpochId;
    use std::vec;

    fn contact() -> OwnContact {
        OwnContact {
            ed25519: [1; 32],
            mldsa_hash: [2; 32],
            own_name: "Bo".into(),
            alias: "Brother".into(),
            verified: true,
            device_log: DeviceLog::default(),
        }
    }

    fn all() -> Vec<Own> {
        vec![
            Own::Supply(vec![Supply {
                last_resort: false,
                package: vec![3; 40],
            }]),
            Own::Devices(
                DeviceLog::default(),
                vec![(DeviceId::from_bytes([4; 8]), "Laptop".into())],
            ),
            Own::Welcome(OwnWelcome {
                number: 5,
                seq: 6,
                contact: Some(contact()),
                relays: vec![],
                welcome: vec![7; 50],
                timer: Some(SaidTimer {
                    hlc: 8,
                    seconds: Some(60),
                }),
            }),
            Own::Contact(contact()),
            Own::Blocked(AccountId::from_bytes([9; 32]), true),
            Own::Saved([7; 40].to_vec()),
            Own::Read {
                group: [1; 16],
                message: MessageId::from_bytes([2; 16]),
            },
            Own::Behind(Behind {
                group: [3; 16],
                epoch: EpochId::from_bytes([4; 16]),
                number: 5,
                leaf: [6; 32],
            }),
        ]
    }

    #[test]
    fn what_devices_tell_each_other_reads_back_own_2() {
        for own in all() {
            let bytes = own.encode();
            assert_eq!(Own::decode(&bytes), Ok(own));
            assert!(Own::decode(&bytes[..bytes.len() - 1]).is_err());
            assert!(Own::decode(&[bytes.as_slice(), &[0]].concat()).is_err());
        }
        assert!(Own::decode(&[]).is_err());
        assert_eq!(Own::decode(&[9]), Err(DecodeError::Value("own")));
    }

    #[test]
    fn a_saved_message_has_its_limit_own_9() {
        let most = Own::Saved([7].repeat(SAVED_BYTES_MAX));
        assert_eq!(Own::decode(&most.encode()), Ok(most));
        let more = Own::Saved([7].repeat(SAVED_BYTES_MAX + 1)).encode();
        assert_eq!(Own::decode(&more), Err(DecodeError::Limit("saved message")));
    }

    #[test]
    fn a_note_about_own_leaves_is_told_from_any_other_dev_4() {
        let note = OwnNote {
            log: DeviceLog::default(),
            cuts: vec![LeafCut {
                leaf: [1; 8],
                said: vec![[2; 8], [3; 8]],
            }],
        };
        let bytes = note.encode();
        assert_eq!(OwnNote::decode(&bytes), Ok(Some(note.clone())));
        assert_eq!(OwnNote::decode(&[]), Ok(None));
        assert_eq!(OwnNote::decode(&[1, 0]), Ok(None));
        assert!(crate::group::Note::decode(&bytes).is_err());
        assert!(OwnNote::decode(&bytes[..bytes.len() - 1]).is_err());
        let many = OwnNote {
            cuts: vec![note.cuts[0].clone(); LEAVES_MAX + 1],
            ..note
        };
        assert_eq!(OwnNote::decode(&many.encode()), Err(DecodeError::Limit("cuts")));
    }
}
