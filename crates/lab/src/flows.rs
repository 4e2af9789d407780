//! What an onlooker who cannot read sees of connections: recorded, and judged by a classifier.
//!
//! In: real programs on loopback (a Chromium with an ordinary chat page, the same Chromium as dialer, the daemon's own TLS),
//! all to one nginx. Out: fingerprints, and how well one kind of flow is told from another. Nothing leaves loopback.
//! What the figures mean and do not is in `docs/lab.md`.

pub mod features;
pub mod judge;
mod site;
pub mod stage;
pub mod tap;
