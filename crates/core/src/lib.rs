//! The messenger: identity, invites, conversations, history, search.
//!
//! In: one [`Input`] at a time, with the time and dice of that moment ([`World`]), inside one database transaction.
//! Out: [`Outputs`]: what to do outside (errands), what changed (events), the answer to a command, and when to wake.
//! Sockets, clocks, threads and dice of its own are not here. A crash at any instruction loses nothing:
//! outputs are released only after the commit, and are asked for again after a start.
//!
//! The way of a text out: `conversation::send` → `mls` (sealed for the group) → `outbox` (envelope, parcel).
//! The way in: `inbox` (envelope, purpose) → `mls` → `conversation::take_in` (graph, receipts) → event.
//! What messages do to messages (replies, reactions, edits, deletions): `content`.
//! What time itself asks for: `due`.
//! Commits: `conversation::renewal` (when) → `conversation::epochs` (the tree) → `mls::commit`; `fork` picks the head.
//! Meeting people: `meeting` (invites, claims, answers). Another device of one's own: `link`, then `own`.

pub mod account;
pub mod api;
pub mod defence;
pub mod fork;
pub mod query;
pub mod safety;
pub mod store;

mod bundle;
mod capsule;
mod content;
mod conversation;
mod devices;
mod dice;
mod due;
mod group;
mod inbox;
mod leaf;
mod link;
mod listening;
mod lookalike;
mod meeting;
mod mls;
mod near;
mod outbox;
mod own;
mod profile;
mod reach;
mod relays;
mod restore;
mod roles;
mod step;
mod typing;
mod watch;

pub use dice::Dice;

use api::{Command, Fault, Reply};
use content::{beside, forward, media, pins, polls, vanish, wishes};
use conversation::saved;
use group::{links, picture, succession};
use meeting::{accept, block, introduce, introduced, invite, public};
use mls::{Crypto, Groups, Provider, Rows};
use rusqlite::Transaction;
use step::{Step, Stop};
use stonechat_wire::exchange::{Errand, NearRelay, News};
use stonechat_wire::ids::Timestamp;
use store::StoreError;

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
    Command(Command),
    /// The courier brings something.
    News(News),
    /// What the courier wants to find at the next start: text that core does not read.
    Ways(String),
    /// This device's own near relay: which it is, and where it stands, while it runs.
    Near(NearRelay),
    /// The time asked for has come.
    Wake,
}

/// What a step wants done, after its transaction is committed.
#[derive(Debug, Default)]
pub struct Outputs {
    /// The answer, to [`Input::Command`] only.
    pub reply: Option<Result<Reply, Fault>>,
    /// For the courier, in this order.
    pub errands: Vec<Errand>,
    /// For whoever looks at the profile.
    pub events: Vec<api::Event>,
    /// When to come back with [`Input::Wake`], by the device's clock.
    pub wake_at: Option<Timestamp>,
    /// Why envelopes that came were refused, for the log.
    pub refused: Vec<&'static str>,
}

/// What was refused of what time asks for is tried again so much later.
pub(crate) const HELD_UP_MS: u64 = 60 * 1000;

/// The messenger. Holds nothing but a cache of the database.
#[derive(Debug, Default)]
pub struct Core {
    groups: Groups,
    seen: due::Seen,
}

impl Core {
    /// A core that has read nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Drops what is cached: after any error of [`Core::handle`], and after a commit that failed.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// Takes one input at `world.now` and changes everything it changes inside `tx`, or nothing.
    ///
    /// Cannot fail on what a peer sent: that is dropped. What the person got wrong comes back as `reply`.
    /// Errors: only the store's own; the caller rolls back and calls [`Core::forget`].
    pub fn handle(&mut self, tx: &Transaction<'_>, world: &mut World<'_>, input: Input) -> Result<Outputs, StoreError> {
        let mls = Provider {
            crypto: Crypto::new(world.dice.fork()),
            rows: Rows::of(tx),
        };
        let mut step = Step::new(tx, world.now, mls, &mut self.groups).map_err(store_error)?;
        take(&mut step, input)?;
        step.out.wake_at = due::settle(&mut step, &mut self.seen)?;
        step.finish_events().map_err(store_error)?;
        Ok(step.out)
    }
}

fn take(step: &mut Step<'_, '_>, input: Input) -> Result<(), StoreError> {
    // CAP-5: the account lives elsewhere by now.
    let revoked = restore::is_revoked(step).map_err(store_error)?;
    match input {
        Input::Started | Input::News(_) | Input::Near(_) if revoked => Ok(()),
        Input::Started => step.attempt(profile::resume).map(|_| ()),
        Input::Wake => Ok(()),
        Input::Near(near) => step.attempt(|step| near::set_mine(step, &near)).map(|_| ()),
        Input::Ways(learned) => query::save_ways(step.tx, &learned),
        // Each arrival is an attempt of its own; what is left can only be the store's.
        Input::News(news) => inbox::take_in(step, news).or_else(|stop| store_only(stop).map_or(Ok(()), Err)),
        Input::Command(command) => {
            let done = step.attempt(|step| obey(step, command))?;
            step.out.reply = Some(done.map_err(|stop| match stop {
                Stop::Fault(fault) => fault,
                Stop::Refused(_) | Stop::Store(_) => Fault::Internal,
            }));
            Ok(())
        }
    }
}

fn obey(step: &mut Step<'_, '_>, command: Command) -> Result<Reply, Stop> {
    if restore::is_revoked(step)? && !command.stays_here() {
        return Err(Stop::Fault(Fault::Revoked));
    }
    match command {
        Command::Init(wish) => profile::init(step, &wish),
        Command::Restore(wish) => restore::begin(step, &wish),
        Command::RestoreGiveUp(wish) => restore::give_up(step, &wish),
        Command::Words => profile::words(step),
        Command::InviteCreate(wish) => invite::create(step, &wish),
        Command::InviteRevoke(wish) => invite::revoke(step, &wish.id),
        Command::PublicCreate(wish) => public::create(step, &wish),
        Command::PublicRevoke(wish) => public::revoke(step, &wish.id),
        Command::Accept(wish) => accept::accept(step, &wish),
        Command::AcceptRetry(wish) => accept::retry(step, &wish),
        Command::AcceptForget(wish) => accept::forget(step, &wish.id),
        Command::Approve(wish) => invite::approve(step, &wish.id),
        Command::Decline(wish) => invite::decline(step, &wish.id),
        Command::Send(wish) => conversation::send(step, &wish),
        Command::MediaSend(wish) => media::send(step, &wish),
        Command::React(wish) => wishes::react(step, &wish),
        Command::Edit(wish) => wishes::edit(step, &wish),
        Command::Delete(wish) => wishes::delete(step, &wish),
        Command::TimerSet(wish) => vanish::set(step, &wish),
        Command::Pin(wish) => pins::pin(step, &wish),
        Command::PollSend(wish) => polls::ask(step, &wish),
        Command::PollVote(wish) => polls::vote(step, &wish),
        Command::PollClose(wish) => polls::close(step, &wish),
        Command::Forward(wish) => forward::forward(step, &wish),
        Command::CardSend(wish) => beside::send_card(step, &wish),
        Command::PlaceSend(wish) => beside::send_place(step, &wish),
        Command::SavedOpen => saved::open(step),
        Command::Typing(wish) => typing::say(step, &wish),
        Command::GroupCreate(wish) => group::create(step, &wish),
        Command::GroupAdd(wish) => group::add(step, &wish),
        Command::GroupRemove(wish) => group::remove(step, &wish),
        Command::GroupLeave(wish) => group::leave(step, &wish),
        Command::GroupRole(wish) => group::set_role(step, &wish),
        Command::GroupConsent(wish) => succession::agree(step, &wish),
        Command::GroupEdit(wish) => group::edit(step, &wish),
        Command::GroupPicture(wish) => picture::set(step, &wish),
        Command::GroupLink(wish) => links::create(step, &wish),
        Command::MarkRead(wish) => conversation::mark_read(step, wish.chat, wish.position),
        Command::Verify(wish) => profile::verify(step, &wish),
        Command::ContactBlock(wish) => block::set(step, &wish),
        Command::Introduce(wish) => introduce::introduce(step, &wish),
        Command::IntroductionAnswer(wish) => introduced::answer(step, &wish),
        Command::ContactNoticed(wish) => profile::noticed(step, &wish.id),
        Command::ContactRename(wish) => profile::rename_contact(step, &wish),
        Command::DeviceLink(wish) => link::create(step, &wish),
        Command::DeviceAccept(wish) => link::accept(step, &wish),
        Command::DeviceConfirm(wish) => link::confirm(step, &wish.number),
        Command::DeviceRemove(wish) => own::remove(step, &wish.id),
        Command::BundleExport(wish) => bundle::export(step, wish.from),
        Command::BundleImport(wish) => bundle::import(step, &wish.data),
        Command::RelayAdd(wish) => profile::add_relay(step, &wish),
        Command::RelayRemove(wish) => relays::take_back(step, &wish.id),
        Command::RelayForgetWay(wish) => relays::ways::forget(step, &wish),
        Command::ProfileRename(wish) => profile::rename(step, &wish.name),
        Command::SettingsSet(wish) => profile::set_settings(step, &wish),
        Command::DraftSet(wish) => profile::set_draft(step, &wish),
    }
}

fn store_only(stop: Stop) -> Option<StoreError> {
    match stop {
        Stop::Store(error) => Some(error),
        Stop::Fault(_) | Stop::Refused(_) => None,
    }
}

/// For parts of a step that read only our own rows: what else stops them is damage.
fn store_error(stop: Stop) -> StoreError {
    store_only(stop).unwrap_or(StoreError::Broken)
}
