//! The messenger: identity, invites, conversations, history, search.
//!
//! In: one [`Input`] at a time, with the time and dice of that moment ([`World`]), inside one database transaction.
//! Out: [`Outputs`]: what to do outside (errands), what changed (events), the answer to a command, and when to wake.
//! Sockets, clocks, threads and dice of its own are not here. A crash at any instruction loses nothing:
//! outputs are released only after the commit, and are asked for again after a start.
//!
//! The way of a text out: `conversation::send` → `mls` (sealed for the group) → `outbox` (envelope, parcel).
//! The way in: `inbox` (envelope, purpose) → `mls` → `conversation::take_in` (graph, receipts) → event.
//! Meeting people: `meeting` (invites, claims, answers).

pub mod api;
pub mod store;
mod dice;
mod mls;

pub use dice::Dice;

use stonechat_wire::ids::Timestamp;
use stonechat_wire::exchange::{Errand, News};

/// What a step may know of the world: the device's clock, and dice.
#[derive(Debug)]
pub struct World<'a> {
    /// Device clock, Unix ms. May be wrong by years.
    pub now: Timestamp,
    /// All randomness of the step comes from here.
    pub dice: &'a mut Dice,
}

/// Whatever happens to the messenger.
#[derive(Debug)]
pub enum Input {
    /// The process started: listen, send and knock for everything the database holds.
    Started,
    /// A person or program wants something.
    Command(api::Command),
    /// The courier brings something.
    News(News),
    /// The time asked for has come.
    Wake,
}

/// What a step wants done, after its transaction is committed.
#[derive(Debug, Default)]
pub struct Outputs {
    /// The answer, to [`Input::Command`] only.
    pub reply: Option<Result<api::Reply, api::Fault>>,
    /// For the courier, in this order.
    pub errands: Vec<Errand>,
    /// For whoever looks at the profile.
    pub events: Vec<api::Event>,
    /// When to come back with [`Input::Wake`], by the device's clock.
    pub wake_at: Option<Timestamp>,
}
