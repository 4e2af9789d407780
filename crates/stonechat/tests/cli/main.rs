//! The command line from outside: the real program, real relay and daemon processes.
#![cfg(unix)]
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

mod acme;
mod bundle;
mod canary;
mod content;
mod dead_drop;
mod devices;
#[path = "../../../transport/tests/loopback/drop_host.rs"]
mod drop_host;
mod errors;
mod faults;
mod groups;
mod halves;
mod introduce;
mod kill;
mod lan;
mod links;
mod meet;
mod memory;
mod moved;
mod near;
mod operate;
#[path = "../../../transport/tests/loopback/pebble.rs"]
mod pebble;
mod proxies;
mod public;
mod restore;
mod supervise;
mod talk;
mod untouched;
