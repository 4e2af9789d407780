//! The command line from outside: the real program, real relay and daemon processes.
#![cfg(unix)]
#![expect(unreachable_pub, reason = "modules of one test program")]

mod harness;

mod canary;
mod errors;
mod kill;
mod meet;
mod supervise;
mod talk;
