//! Worlds: many seeds, one by one.

mod late;
mod planted;
mod replay;
mod seeds;
mod weeks;
