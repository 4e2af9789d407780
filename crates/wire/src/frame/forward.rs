//! What a client and a relay say to each other about channels: bytes that the relay passes on to another one.
//!
//! In, out: as the frames around it. What is in the bytes is between the client and the other relay.
//! Specified in `docs/protocol/17-forward.md` (FWD).

use alloc::vec::Vec;
use core::fmt;

use super::Refusal;
use crate::codec::{DecodeError, Reader, Write};
use crate::ids::RelayId;

/// Most bytes of one frame (FWD-2).
pub const PASS_BYTES_MAX: usize = 65_536;
/// Most bytes of a channel that a client has sent and were not taken yet (FWD-3).
pub const WINDOW_BYTES: usize = 65_536;

/// What a client asks about a channel. Its numbers are the client's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardAsk {
    /// Open a channel to that relay (FWD-1).
    Open {
        /// The channel's number.
        channel: u32,
        /// Which relay.
        relay: RelayId,
    },
    /// Pass these on (FWD-2).
    Pass(Passed),
    /// End it (FWD-4).
    Shut {
        /// The channel's number.
        channel: u32,
    },
}

/// What a relay says about a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardTell {
    /// The other relay is reached (FWD-1).
    Open {
        /// The channel's number.
        channel: u32,
    },
    /// These came from it (FWD-2).
    Pass(Passed),
    /// It took so many more bytes (FWD-3).
    Took {
        /// The channel's number.
        channel: u32,
        /// How many.
        bytes: u32,
    },
    /// The channel has ended (FWD-4).
    Shut {
        /// The channel's number.
        channel: u32,
        /// Why.
        why: Refusal,
    },
}

/// Bytes of a channel.
#[derive(Clone, PartialEq, Eq)]
pub struct Passed {
    /// The channel's number.
    pub channel: u32,
    /// At most [`PASS_BYTES_MAX`].
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Passed({} bytes of channel {})", self.bytes.len(), self.channel)
    }
}

impl Passed {
    fn write(&self, out: &mut Vec<u8>) {
        out.put(&self.channel.to_be_bytes());
        out.put_bytes(&self.bytes);
    }

    fn read(channel: u32, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let bytes = reader.bytes("passed bytes", PASS_BYTES_MAX)?.to_vec();
        Ok(Self { channel, bytes })
    }
}

impl ForwardAsk {
    pub(super) const KINDS: core::ops::RangeInclusive<u8> = 15..=17;

    pub(super) const fn kind(&self) -> u8 {
        match self {
            Self::Open { .. } => 15,
            Self::Pass(_) => 16,
            Self::Shut { .. } => 17,
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Open { channel, relay } => {
                out.put(&channel.to_be_bytes());
                out.put(relay.as_bytes());
            }
            Self::Pass(passed) => passed.write(out),
            Self::Shut { channel } => out.put(&channel.to_be_bytes()),
        }
    }

    /// A body whose kind is one of [`ForwardAsk::KINDS`].
    pub(super) fn read(kind: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let channel = reader.u32()?;
        Ok(match kind {
            15 => Self::Open {
                channel,
                relay: RelayId::from_bytes(reader.array()?),
            },
            16 => Self::Pass(Passed::read(channel, reader)?),
            _ => Self::Shut { channel },
        })
    }
}

impl ForwardTell {
    pub(super) const KINDS: core::ops::RangeInclusive<u8> = 16..=19;

    pub(super) const fn kind(&self) -> u8 {
        match self {
            Self::Open { .. } => 16,
            Self::Pass(_) => 17,
            Self::Took { .. } => 18,
            Self::Shut { .. } => 19,
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Open { channel } => out.put(&channel.to_be_bytes()),
            Self::Pass(passed) => passed.write(out),
            Self::Took { channel, bytes } => {
                out.put(&channel.to_be_bytes());
                out.put(&bytes.to_be_bytes());
            }
            Self::Shut { channel, why } => {
                out.put(&channel.to_be_bytes());
                out.push(why.code());
            }
        }
    }

    /// A body whose kind is one of [`ForwardTell::KINDS`].
    pub(super) fn read(kind: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let channel = reader.u32()?;
        Ok(match kind {
            16 => Self::Open { channel },
            17 => Self::Pass(Passed::read(channel, reader)?),
            18 => Self::Took {
                channel,
                bytes: reader.u32()?,
            },
            _ => Self::Shut {
                channel,
                why: Refusal::from_code(reader.u8()?),
            },
        })
    }
}
