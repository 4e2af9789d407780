//! Worlds: many seeds, one by one.

mod seeds;
