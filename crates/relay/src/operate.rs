//! What an operator sees of a relay: its settings, its figures, its health, and all that it could hand over.

pub mod disclose;
pub mod doctor;
pub mod metrics;
pub mod settings;
