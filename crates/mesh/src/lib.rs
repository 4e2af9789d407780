//! Store-carry-forward between neighbours. Nearly empty: the neighbours come with their own issue.
//!
//! In: envelopes and packets of peers. Out: the same envelopes, for other peers and for the courier. Sans-IO: radios
//! and sockets are the carriers' job. It sees envelopes, never keys or conversations.

/// How far an envelope may still travel from neighbour to neighbour, in hops.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HopsLeft(pub u8);
