//! The relay: a dumb, fast, replaceable holder of mailboxes.
//!
//! In: frames of connections, and requests to doors. Out: answers and pushes. It sees tags and bytes, never people:
//! what is inside an envelope, and who talks to whom, is none of its business. Specified in
//! `docs/protocol/03-relay.md` (RLY).

pub mod limits;
pub mod service;
pub mod store;

pub mod acme;
pub mod forgetful;
pub mod home;
pub mod listen;
pub mod operate;
pub mod route;

pub use limits::Limits;
pub use listen::{AccessChoice, Config, CoverChoice, Front, Relay, Running, StartError, Telling, run};
