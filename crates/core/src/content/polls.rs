//! Polls: asking, choosing, ending.
//!
//! In: wishes. Out: posts and acts; what they come to is counted when it is read, from the acts alone, so that the order
//! they came in changes nothing (CON-20 to CON-22).

use super::shown::Shown;
use super::wishes::{act, open, shown};
use super::{Target, vanish};
use crate::api::{self, Fault, Reply};
use crate::conversation::{self, TEXT_MAX};
use crate::step::{Step, Stop};
use std::collections::BTreeSet;
use stonechat_wire::codec::DecodeError;
use stonechat_wire::content::encode_deletion;
use stonechat_wire::message::Kind;
use stonechat_wire::poll::{Poll, Vote};

/// Asks something. Asking twice with one client id asks once.
pub(crate) fn ask(step: &mut Step<'_, '_>, wish: &api::PollSend) -> Result<Reply, Stop> {
    let question = wish.question.trim();
    if question.is_empty() || question.len() > TEXT_MAX {
        return Err(Stop::Fault(Fault::BadText));
    }
    let choices = wish.choices.iter().map(|choice| choice.trim().to_owned()).collect();
    let poll = Poll::of(wish.several, choices).map_err(|_: DecodeError| Stop::Fault(Fault::BadPoll))?;
    if let Some(id) = conversation::sent_before(step, wish.chat, wish.client_id.as_deref())? {
        return shown(step, id);
    }
    let to = conversation::writable(step, wish.chat)?;
    let asked = Shown {
        timer_s: vanish::of_chat(step, to.chat)?,
        poll: Some(poll),
        ..Shown::text(question.to_owned())
    };
    conversation::show(step, to, &asked, wish.client_id.as_deref())
}

/// Says all that I choose. What is so already stays so, and nobody is told.
pub(crate) fn vote(step: &mut Step<'_, '_>, wish: &api::PollVote) -> Result<Reply, Stop> {
    let target = a_poll(step, &wish.id)?;
    let choices: BTreeSet<u8> = wish.choices.iter().copied().collect();
    let now = poll_of(step, &target)?;
    let known = choices.iter().all(|choice| usize::from(*choice) < now.choices.len());
    if !known || (!now.several && choices.len() > 1) {
        return Err(Stop::Fault(Fault::BadParams));
    }
    if now.closed {
        return Err(Stop::Fault(Fault::PollClosed));
    }
    let mine = now.choices.iter().zip(0..).filter(|(choice, _)| choice.mine);
    if mine.map(|(_, number)| number).collect::<BTreeSet<u8>>() != choices {
        let vote = Vote {
            target: target.id,
            choices,
        };
        act(step, &target, Kind::Vote, &vote.encode())?;
    }
    shown(step, target.id)
}

/// Ends a poll of mine.
pub(crate) fn close(step: &mut Step<'_, '_>, wish: &api::ByMessage) -> Result<Reply, Stop> {
    let target = a_poll(step, &wish.id)?;
    if !target.mine {
        return Err(Stop::Fault(Fault::NotYours));
    }
    if !poll_of(step, &target)?.closed {
        act(step, &target, Kind::Close, &encode_deletion(target.id))?;
    }
    shown(step, target.id)
}

fn a_poll(step: &Step<'_, '_>, hex: &str) -> Result<Target, Stop> {
    let target = open(step, hex)?;
    if target.is_poll {
        Ok(target)
    } else {
        Err(Stop::Fault(Fault::NotFound))
    }
}

fn poll_of(step: &Step<'_, '_>, target: &Target) -> Result<api::Poll, Stop> {
    let message = conversation::loaded(step, target.id)?;
    message.poll.ok_or(Stop::Fault(Fault::NotFound))
}
