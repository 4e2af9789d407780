//! The messenger: identity, invites, conversations, history, search.
//!
//! In: one [`Input`] at a time, with the time and dice of that moment, inside one database transaction.
//! Out: [`Outputs`]: what to do outside (errands), what changed (events), the answer to a command, and when to wake.
//! Sockets, clocks, threads and dice of its own are not here. A crash at any instruction loses nothing:
//! outputs are released only after the commit, and are asked for again after a start.

pub mod api;
