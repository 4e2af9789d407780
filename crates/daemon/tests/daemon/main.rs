//! The daemon from outside: its HTTP server, its WebSocket, its UNIX socket, the profile's life.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::or_fun_call,
    reason = "a test may stop at the first surprise"
)]
#![expect(unreachable_pub, reason = "modules of one test program")]

mod harness;

mod dialer;
mod local_security;
mod profile;
mod requests;
