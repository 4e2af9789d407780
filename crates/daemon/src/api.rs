//! The local API: JSON-RPC over a WebSocket (the interface) and over a UNIX socket (the command line, bots).
//!
//! In: HTTP and socket connections of this machine. Out: pages, answers, events. Everything said here goes through
//! [`crate::Daemon`]; this module decides only who may speak and in which frames.
//! Specified in `docs/protocol/10-api.md`.

pub mod launch;

mod assets;
mod converse;
pub(crate) mod dialer;
mod give;
mod guard;
mod http;
#[cfg(unix)]
mod socket;
mod websocket;

pub(crate) use guard::DIALER_NAME;

pub use assets::is_built as interface_is_built;
pub use converse::{Caller, converse_lines};
pub use give::{GIVEN_AT_ONCE_MAX, Gift, Giving};
pub use http::{HttpError, HttpServer};
#[cfg(unix)]
pub use socket::{connect, listen};
