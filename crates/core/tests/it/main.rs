//! Core through its only door: inputs in, outputs out, a relay made of maps between.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a test may stop at the first surprise"
)]

mod again;
mod apart;
mod attacks;
mod behind;
mod bench;
mod block;
mod bundle;
mod catchup;
mod content;
mod copy;
mod crowd;
mod cuts;
mod devices;
mod flood;
mod fork_model;
mod forks;
mod groups;
mod halves;
mod handover;
mod hostile;
mod informers;
mod introduce;
mod leaving;
mod leaving_apart;
mod limits;
mod links;
mod lost_removal;
mod marks;
mod media;
mod meeting;
mod near;
mod outsiders;
mod overflow;
mod picture;
mod placed;
mod placed_limits;
mod polls;
mod public;
mod relays;
mod restore;
mod rivals;
mod rules;
mod saved;
mod seeded;
mod split;
mod succession;
mod talking;
mod together;
mod typing;
mod vanish;
mod void;
mod wants;
mod watch;
mod welcomes;
