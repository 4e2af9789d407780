//! Carriers: how bytes reach a relay. The courier says where and when; a carrier knows nothing of parcels.

mod cut;
pub mod drop;
pub mod knock;
pub mod meter;
pub mod outer;
pub mod ws;
