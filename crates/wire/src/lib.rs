//! Bytes and types of the Stonechat protocol: the vocabulary every other crate speaks.
//!
//! In: bytes from outside, or typed values. Out: typed values, or bytes. Nothing here does I/O, reads a clock or
//! owns dice: seeds and times are arguments. Whatever a stranger sends is decoded totally: it gives a value or a
//! typed error, never a panic. Specified page by page in `docs/protocol/`.
#![no_std]
#![deny(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::string_slice,
        reason = "tests may stop at the first surprise"
    )
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod ids;

pub mod catchup;
pub mod envelope;
pub mod ephemeral;
pub mod mailbox;
pub mod message;

pub mod content;
pub mod emoji;
pub mod jpeg;
pub mod marks;
pub mod opus;
pub mod place;
pub mod poll;
pub mod post;

pub mod apart;
pub mod blob;
pub mod brought;
pub mod bundle;
pub mod capsule;
pub mod card;
pub mod group;
pub mod hand;
pub mod introduce;
pub mod invite;
pub mod link;
pub mod own;
pub mod picture;
pub mod reach;
pub mod route;
pub mod safety;
pub mod spoken;
pub mod succession;

pub mod face;
pub mod frame;
pub mod session;

pub mod drop;

pub mod exchange;

pub mod address;
pub mod beacon;
pub mod bridge;
mod cbor;
pub mod codec;
mod kdf;
pub mod pt;
