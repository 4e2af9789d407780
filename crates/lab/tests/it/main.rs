//! Worlds: many seeds, one by one.

mod planted;
mod replay;
mod seeds;
