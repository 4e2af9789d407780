//! Carriers: how bytes reach a relay. The courier says where and when; a carrier knows nothing of parcels.

pub mod channel;
mod cut;
mod dial;
pub mod dialer;
pub mod drop;
pub mod knock;
pub mod means;
pub mod meter;
pub mod obfs4;
pub mod outer;
pub mod poll;
pub mod socks;
pub mod ws;
