//! Worlds: many seeds, one by one.
#![allow(clippy::unwrap_used, reason = "tests fail loudly")]

mod away;
mod groups;
mod kills;
mod late;
mod ledger;
mod planted;
mod replay;
mod seeds;
mod town;
mod weeks;
