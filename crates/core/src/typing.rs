//! Who is writing at this moment: signals that are passed on to whoever listens, and kept by nobody.
//!
//! In: the page's word that somebody types, signals that came. Out: one errand, one event. No row changes. Specified in
//! `docs/protocol/01-envelope.md` (EPH-*).

use crate::api::{ByChat, Event, Reply};
use crate::conversation::{self, Conversation, epochs, receipts};
use crate::inbox;
use crate::listening::{self, Purpose};
use crate::meeting::block;
use crate::outbox;
use crate::query;
use crate::step::{Step, Stop};
use stonechat_wire::envelope::Envelope;
use stonechat_wire::ephemeral;
use stonechat_wire::exchange::{Errand, Signal};
use stonechat_wire::ids::{EpochId, RelayId, Tag};

/// In larger groups nobody says that they type (EPH-3).
const ACCOUNTS_MAX: usize = 8;
/// What a signal of this kind says (EPH-3).
const TYPING: &[u8] = &[1];

/// Says that something is being written, if that is told at all.
pub(crate) fn say(step: &mut Step<'_, '_>, wish: &ByChat) -> Result<Reply, Stop> {
    let to = conversation::writable(step, wish.chat)?;
    if to.saved || to.accounts > ACCOUNTS_MAX || !receipts::may_tell_reading(step)? {
        return Ok(Reply::Done {});
    }
    let key = step.groups.ephemeral(&step.mls, (to.group, to.epoch))?;
    let random = step.mls.crypto.bytes();
    let sealed = ephemeral::seal(&key, to.leaf, random, TYPING).ok_or(Stop::Refused("signal"))?;
    let (envelope, token) = outbox::seal_signal(step, to.epoch, &sealed)?;
    let relays = listening::relays_of(step, &to.group)?;
    step.errand(Errand::Signal(Signal {
        envelope,
        token,
        relays,
    }));
    Ok(Reply::Done {})
}

/// Takes in a signal. Whatever is wrong with it, nothing is kept and nobody is told.
pub(crate) fn take_in(step: &mut Step<'_, '_>, relay: RelayId, tag: Tag, bytes: Vec<u8>) -> Result<(), Stop> {
    let Some(listening) = listening::find(step, relay, tag)?.filter(|one| one.purpose == Purpose::App) else {
        return Ok(());
    };
    let sealed = Envelope::decode(bytes).map_err(|_| Stop::Refused("signal"))?;
    if sealed.tag() != tag {
        return Err(Stop::Refused("signal"));
    }
    let Some((of, epoch, content)) = inbox::signal(step, &listening.about, &sealed)? else {
        return Ok(());
    };
    heard(step, &of, epoch, &content)
}

fn heard(step: &mut Step<'_, '_>, of: &Conversation, epoch: EpochId, content: &[u8]) -> Result<(), Stop> {
    let key = step.groups.ephemeral(&step.mls, (of.group, epoch))?;
    let signal = ephemeral::open(&key, content).map_err(|_| Stop::Refused("signal"))?;
    let members = epochs::members(step, epoch)?;
    let by = members.iter().find(|member| member.leaf == signal.leaf);
    let Some(by) = by.map(|member| member.account).filter(|_| signal.content == TYPING) else {
        return Ok(());
    };
    // Accounts, not leaves: somebody may have several devices.
    let few = epochs::accounts(step, epoch)?.len() <= ACCOUNTS_MAX;
    if of.hidden || of.gone || !few || by == step.me()? || block::is_blocked(step, by)? {
        return Ok(());
    }
    let name = query::load_name(step.tx, of.chat, by.as_bytes())?;
    step.event(Event::Typing {
        chat: of.chat,
        account: hex::encode(by.as_bytes()),
        name,
        at: step.now.0,
    });
    Ok(())
}
