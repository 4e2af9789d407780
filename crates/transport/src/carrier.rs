//! Carriers: how bytes reach a relay. The courier says where and when; a carrier knows nothing of parcels.

pub mod channel;
mod cut;
pub mod dialer;
pub mod drop;
pub mod knock;
pub mod meter;
pub mod outer;
pub mod ws;
