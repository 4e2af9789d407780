//! How envelopes travel: the courier decides the way and the time, carriers do it.
//!
//! In: [`stonechat_wire::exchange::Errand`]s. Out: [`stonechat_wire::exchange::News`]. It sees envelopes, tags and
//! tokens, never a key or a conversation. What to send and what to make of what comes is core's job.

pub mod courier;

pub mod carrier;
pub mod lan;
mod run;

pub use courier::{Courier, NetworkId, Reached, Remembered};
pub use run::{ERRANDS_WAITING_MAX, Ended, Handle, NEWS_WAITING_MAX, Transport, run};
