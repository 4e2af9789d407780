//! The daemon from outside: its HTTP server, its WebSocket, its UNIX socket, the profile's life.
#![expect(unreachable_pub, reason = "modules of one test program")]

mod harness;

mod local_security;
mod profile;
mod requests;
