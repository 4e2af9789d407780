//! The devices of this account among themselves.
//!
//! `leaves`: each is in every conversation, and what is judged of commits about somebody's own leaves. `told`: what they
//! tell each other, and how one takes another into a conversation; `reading`: what was read; `behind`: one that cannot
//! follow. How a device becomes one is `link`'s.
//! Specified in `docs/protocol/14-devices.md` (OWN-*, DEV-4 to DEV-7).
//! Invariant: only the account's key brings a device or takes one away, whoever commits it.

mod behind;
mod leaves;
mod reading;
mod told;

pub(crate) use behind::ask as ask_home;
pub(crate) use leaves::{TIMES as SPREAD_TIMES, judge, spread, spread_chat, spread_due, taken_in};
pub(crate) use reading::{TIMES as READ_TIMES, arrived, reading, tell_read};
pub(crate) use told::{block_changed, call, check_pair, contact_changed, meet, remove, saved, take_in};
