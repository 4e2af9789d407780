//! The lab: the whole messenger in one process, where everything that can go wrong does, and can be repeated.
//!
//! In: a seed. Out: what happened, and every promise that was broken. Nothing here is shipped.
//! Real networks and real censors are not its job yet. See `docs/lab-world.md`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a world is a test: what cannot be ends it, and says where"
)]

pub mod world;
