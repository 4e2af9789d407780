//! The commands that talk to a profile.
//!
//! In: a verb of the grammar and a [`Client`]. Out: lines on standard output; what is only for a person's eye goes to
//! standard error. Running daemons and relays is in [`crate::serve`], [`crate::relay`] and [`crate::supervise`].

mod account;
mod block;
mod bundle;
mod content;
mod devices;
mod drops;
mod find;
mod give;
mod group;
mod introduce;
mod links;
mod media;
mod meeting;
mod polls;
mod profile;
mod public;
mod receive;
mod relays;
mod restoring;
mod talk;

use crate::client::{Client, IfMissing, Place};
use crate::failure::CommandError;
use crate::grammar::{Switch, Verb};
use stonechat_daemon::types::MediaKind;

/// Does one command against the profile at `place`.
pub(crate) async fn run(verb: Verb, place: &Place) -> Result<(), CommandError> {
    let missing = match &verb {
        Verb::Init(_) | Verb::Device(crate::grammar::Device::Accept(_)) => IfMissing::Make,
        Verb::Restore(restore) if restore.give_up.is_none() => IfMissing::Make,
        _ => IfMissing::Refuse,
    };
    match verb {
        Verb::Open => return profile::open(place).await,
        Verb::Lock => return profile::lock(place).await,
        Verb::Lend { to } => return profile::lend(place, to == Switch::On).await,
        Verb::Wipe => return profile::wipe(place).await,
        _ => {}
    }
    if let Verb::Init(init) = &verb {
        account::check(init)?;
    }
    if let Verb::Restore(restore) = &verb {
        restoring::check(restore)?;
    }
    if let Verb::Device(crate::grammar::Device::Accept(accept)) = &verb {
        devices::check(accept)?;
    }
    let mut client = Client::open(place, missing).await?;
    let result = with(verb, &mut client, place).await;
    client.close().await;
    result
}

async fn with(verb: Verb, client: &mut Client, place: &Place) -> Result<(), CommandError> {
    match verb {
        Verb::Init(init) => account::init(client, &init, place).await,
        Verb::Restore(restore) => restoring::restore(client, &restore, place).await,
        Verb::Words(words) => account::words(client, &words).await,
        Verb::Status(listing) => account::status(client, &listing).await,
        Verb::Invite(invite) => meeting::invite(client, &invite).await,
        Verb::Accept(accept) => meeting::accept(client, &accept).await,
        Verb::Requests(listing) => meeting::requests(client, &listing).await,
        Verb::Approve(by) => meeting::approve(client, &by).await,
        Verb::Decline(by) => meeting::decline(client, &by).await,
        Verb::Contacts(listing) => talk::contacts(client, &listing).await,
        Verb::Block(wish) => block::run(client, &wish).await,
        Verb::Bundle(wish) => bundle::run(client, &wish).await,
        Verb::Introduce(wish) => introduce::introduce(client, &wish).await,
        Verb::Introductions(listing) => introduce::introductions(client, &listing).await,
        Verb::Meet(wish) => introduce::meet(client, &wish).await,
        Verb::Card(wish) => introduce::card(client, &wish).await,
        Verb::Place(wish) => introduce::place(client, &wish).await,
        Verb::Give(wish) => give::run(client, &wish).await,
        Verb::Group(wish) => group::run(client, wish).await,
        Verb::Public(wish) => public::run(client, wish).await,
        Verb::Relays(wish) => relays::run(client, wish).await,
        Verb::Device(wish) => devices::run(client, wish, place).await,
        Verb::Reply(reply) => content::reply(client, &reply).await,
        Verb::React(react) => content::react(client, &react).await,
        Verb::Edit(edit) => content::edit(client, &edit).await,
        Verb::Delete(delete) => content::delete(client, &delete).await,
        Verb::History(of) => content::history(client, &of).await,
        Verb::Photo(wish) => media::send(client, &wish, MediaKind::Photo).await,
        Verb::Voice(wish) => media::send(client, &wish, MediaKind::Voice).await,
        Verb::Save(save) => media::save(client, &save).await,
        Verb::Pin(pin) => polls::pin(client, &pin).await,
        Verb::Pins(of) => polls::pins(client, &of).await,
        Verb::Poll(poll) => polls::poll(client, &poll).await,
        Verb::Forward(wish) => polls::forward(client, &wish).await,
        Verb::Timer(timer) => content::timer(client, &timer).await,
        Verb::Send(send) => talk::send(client, &send).await,
        Verb::Messages(messages) => talk::messages(client, &messages).await,
        Verb::Receive(receive) => receive::receive(client, &receive).await,
        Verb::SafetyNumber(of) => talk::safety_number(client, &of).await,
        Verb::Verify(wish) => talk::verify(client, &wish).await,
        Verb::Compare(of) => talk::compare(client, &of).await,
        Verb::Search(search) => talk::search(client, &search).await,
        Verb::Open
        | Verb::Lock
        | Verb::Lend { .. }
        | Verb::Wipe
        | Verb::Serve(_)
        | Verb::Relay(_)
        | Verb::Run(_)
        | Verb::Demo(_) => Err(anyhow::anyhow!("this command is done elsewhere").into()),
    }
}
