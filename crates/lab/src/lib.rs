//! The lab: the whole messenger in one process, where everything that can go wrong does, and can be repeated.
//!
//! In: a seed. Out: what happened, and every promise that was broken. Nothing here is shipped.
//! [`world`] is virtual: see `docs/lab-world.md`. [`censor`] and what stands on it run real programs over real packets: see
//! `docs/lab.md`; so does [`flows`], which records what an onlooker sees. [`kills`] has connections alone, in virtual time. [`town`] is of
//! people who write, and of what their relay could make of it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a world is a test: what cannot be ends it, and says where"
)]

pub mod back;
pub mod censor;
mod files;
pub mod flows;
pub mod kills;
pub mod matrix;
pub mod packet;
pub mod peer;
mod prober;
pub mod router;
pub mod town;
pub mod world;
