//! The people: they invite, accept, approve, write and read, and try again when their device has died meanwhile.
//!
//! In: what their device shows, by queries, as an interface would. Out: commands. They remember what they passed on
//! by word of mouth (links, spoken words); everything else they read from the screen.

use stonechat_core::Input;
use stonechat_core::api::{
    self, Acceptance, AcceptanceState, Answer, ById, Chat, Command, Event as Told, Fault as Refusal, How, InviteState,
    Page, Query, Reply,
};

use super::faults::Fault;
use super::groups::GROUP;
use super::plan::{HOUR, MINUTE, Meeting, SECOND, Spoken};
use super::tap;
use super::trace::Actor;
use super::{Came, Event, World};

/// Where a meeting stands, outside the devices.
#[derive(Clone, Debug, Default)]
pub(crate) struct Met {
    /// The link that was passed on, and the words that were said.
    link: Option<(String, Option<String>)>,
    /// The acceptance on the taker's device.
    acceptance: Option<String>,
    wrong_said: bool,
    /// An invitation led nowhere: the next one is passed on only when its door stands.
    turned: bool,
    pub(crate) done: bool,
}

impl World {
    /// Somebody looks at the screen and does what is to be done.
    pub(crate) fn look(&mut self, d: usize) {
        if !self.nodes[d].device.runs() || !self.has_account(d) {
            return;
        }
        for m in 0..self.met.len() {
            let met = self.plan.meetings[m];
            if met.inviter == d && met.at <= self.now {
                self.invite(d, m, met);
            }
            if met.taker == d && met.at <= self.now {
                self.come(d, m, met);
            }
            if !self.nodes[d].device.runs() {
                return;
            }
        }
        self.approve_all(d);
    }

    /// Soon; on a full disk somebody has to make room first.
    fn look_again(&mut self, d: usize) {
        let wait = MINUTE.max(self.retry_wait(d));
        self.look_after(wait, d);
    }

    /// One look is enough: whoever waits for something looks when the first of them is due, and then waits again.
    fn look_after(&mut self, wait: u64, d: usize) {
        let at = self.now + wait;
        let due = self.nodes[d].looks_at.filter(|due| *due > self.now);
        if due.is_none_or(|due| at < due) {
            self.nodes[d].looks_at = Some(at);
            self.at(at, Event::Look(d));
        }
    }

    fn has_account(&mut self, d: usize) -> bool {
        if self.nodes[d].account.is_some() || self.is_kin(d) {
            return self.nodes[d].account.is_some();
        }
        let relays = self.plan.devices[d]
            .relays
            .iter()
            .map(|r| self.relays[*r].route())
            .collect();
        let name = format!("{} {d}", tap::CANARY);
        match self.command(
            d,
            Command::Init(api::Init {
                name,
                relays,
                words: None,
            }),
        ) {
            Some(Ok(Reply::Me(me))) => self.nodes[d].account = Some(me.id),
            Some(Err(Refusal::AccountExists)) => {
                let Some(Answer::Status(status)) = self.nodes[d].device.ask(Query::Status) else {
                    return false;
                };
                self.nodes[d].account = status.me.map(|me| me.id);
            }
            Some(other) => self.broke(format!("device {d}: init: {other:?}")),
            None => {
                self.look_again(d);
                return false;
            }
        }
        let read_receipts = self.plan.devices[d].read_receipts;
        if !read_receipts {
            let settings = api::Settings {
                language: None,
                theme: None,
                read_receipts,
            };
            if self.command(d, Command::SettingsSet(settings)).is_none() {
                self.nodes[d].account = None;
                self.look_again(d);
            }
        }
        self.nodes[d].account.is_some()
    }

    /// Out: the answer, unless the device is down, died of it, or the commit failed.
    pub(crate) fn command(&mut self, d: usize, command: Command) -> Option<Result<Reply, Refusal>> {
        if !self.nodes[d].device.runs() {
            return None;
        }
        match self.step(d, Input::Command(command)) {
            Came::Answered(answer) => Some(answer),
            Came::Done | Came::Failed | Came::Died => None,
        }
    }

    fn invite(&mut self, d: usize, m: usize, met: Meeting) {
        if self.met[m].link.is_some() || self.met[m].done {
            return;
        }
        if let Some(shared) = met.shares {
            self.met[m].link = self.met[shared].link.clone();
        } else {
            let wish = api::InviteCreate {
                who: met.who,
                how: met.how,
            };
            match self.command(d, Command::InviteCreate(wish)) {
                Some(Ok(Reply::Invite(invite))) => self.met[m].link = Some((invite.link, invite.spoken_words)),
                Some(other) => self.broke(format!("device {d}: invite: {other:?}")),
                None => {}
            }
        }
        let wait = self.roll.time(SECOND, 2 * HOUR);
        let then = if self.met[m].link.is_some() { met.taker } else { d };
        self.look_after(wait, then);
    }

    fn come(&mut self, d: usize, m: usize, met: Meeting) {
        let Some((link, words)) = self.met[m].link.clone() else {
            return;
        };
        if self.met[m].done {
            return;
        }
        let Some(acceptance) = self.acceptance(d, m) else {
            if self.met[m].turned && !self.door_stands(met.inviter, &link) {
                return self.look_after(HOUR, d);
            }
            return self.accept(d, m, met, link, words);
        };
        match acceptance.state {
            AcceptanceState::Saved | AcceptanceState::Claimed | AcceptanceState::Waiting => {}
            AcceptanceState::Accepted => self.met[m].done = true,
            AcceptanceState::NeedsWords => self.say_words(d, m, met, acceptance.id, words),
            AcceptanceState::WordsWrong if self.met[m].wrong_said => {
                self.say_words(d, m, met, acceptance.id, words);
            }
            AcceptanceState::Expired | AcceptanceState::DoorSpent => self.start_over(d, m, met, acceptance.id),
            AcceptanceState::Declined
            | AcceptanceState::Used
            | AcceptanceState::WordsWrong
            | AcceptanceState::CardWrong
            | AcceptanceState::Blocked
            | AcceptanceState::Dealt
            | AcceptanceState::NoRoom => {
                self.broke(format!(
                    "device {d}: the acceptance of meeting {m} is {:?}",
                    acceptance.state
                ));
                self.start_over(d, m, met, acceptance.id);
            }
        }
    }

    /// Whether the inviter's screen calls this invitation open; while it is being prepared it is not passed on.
    fn door_stands(&mut self, inviter: usize, link: &str) -> bool {
        let Some(Answer::Invites(all)) = self.nodes[inviter].device.ask(Query::Invites) else {
            return false;
        };
        let preparing = |invite: &api::Invite| invite.link == link && invite.state == InviteState::Preparing;
        !all.iter().any(preparing)
    }

    fn acceptance(&mut self, d: usize, m: usize) -> Option<Acceptance> {
        let id = self.met[m].acceptance.clone()?;
        let Some(Answer::Acceptances(all)) = self.nodes[d].device.ask(Query::Acceptances) else {
            return None;
        };
        all.into_iter().find(|acceptance| acceptance.id == id)
    }

    fn accept(&mut self, d: usize, m: usize, met: Meeting, link: String, words: Option<String>) {
        let typed = self.typed(m, met, words);
        match self.command(
            d,
            Command::Accept(api::Accept {
                link,
                spoken_words: typed,
            }),
        ) {
            Some(Ok(Reply::Acceptance(acceptance))) => self.met[m].acceptance = Some(acceptance.id),
            // The device died before it could say so.
            Some(Err(Refusal::AlreadyAccepted)) => self.met[m].acceptance = self.unclaimed_acceptance(d),
            Some(Err(Refusal::LinkExpired)) => {
                self.note(Actor::Device(d), "link expired", [m as u64, 0]);
                self.met[m].link = None;
                self.look_after(HOUR, met.inviter);
            }
            Some(other) => self.broke(format!("device {d}: accept: {other:?}")),
            None => {}
        }
        self.look_again(d);
    }

    /// What is typed the first time.
    fn typed(&mut self, m: usize, met: Meeting, words: Option<String>) -> Option<String> {
        match (met.spoken, words) {
            (Spoken::WrongFirst, Some(_)) if !self.met[m].wrong_said => {
                self.met[m].wrong_said = true;
                self.totals.add(Fault::WrongWords, 1);
                Some("wrong wrong wrong".into())
            }
            (Spoken::NoneFirst, Some(_)) => None,
            (_, words) => words,
        }
    }

    fn unclaimed_acceptance(&mut self, d: usize) -> Option<String> {
        let Some(Answer::Acceptances(all)) = self.nodes[d].device.ask(Query::Acceptances) else {
            return None;
        };
        let known: Vec<_> = self.met.iter().filter_map(|met| met.acceptance.clone()).collect();
        all.into_iter()
            .map(|acceptance| acceptance.id)
            .find(|id| !known.contains(id))
    }

    fn say_words(&mut self, d: usize, m: usize, met: Meeting, id: String, words: Option<String>) {
        let words = if met.how == How::Spoken { words } else { None };
        let retry = api::AcceptRetry {
            id,
            spoken_words: words,
        };
        match self.command(d, Command::AcceptRetry(retry)) {
            Some(Ok(_)) | None => {}
            Some(other) => self.broke(format!("device {d}: retry of meeting {m}: {other:?}")),
        }
        self.look_again(d);
    }

    /// This invitation leads nowhere any more: forget it, and ask for another.
    fn start_over(&mut self, d: usize, m: usize, met: Meeting, id: String) {
        match self.command(d, Command::AcceptForget(ById { id })) {
            Some(Ok(_)) => {}
            Some(Err(Refusal::NotFound)) => {}
            Some(other) => self.broke(format!("device {d}: forget: {other:?}")),
            None => return self.look_again(d),
        }
        self.note(Actor::Device(d), "starts over", [m as u64, 0]);
        self.met[m] = Met {
            wrong_said: self.met[m].wrong_said,
            turned: true,
            ..Met::default()
        };
        if let Some(shared) = met.shares {
            self.plan.meetings[m].shares = None;
            self.note(Actor::World, "no more sharing", [shared as u64, 0]);
        }
        self.write_again(d);
        self.look_after(MINUTE, met.inviter);
    }

    /// What was written to nobody is gone with its chat: write it again.
    fn write_again(&mut self, d: usize) {
        let sql = "SELECT lower(hex(id)) FROM message WHERE mine = 1 AND kind IN (0, 3)";
        let ids = self.nodes[d].device.rows(sql, |row| row.get::<_, String>(0));
        let there: Vec<usize> = ids.iter().filter_map(|id| self.written.get(id).copied()).collect();
        for k in 0..self.said.len() {
            if self.plan.texts[k].from == d && self.said[k].order.is_some() && !there.contains(&k) {
                self.said[k].order = None;
                self.after(HOUR, Event::Say(k));
            }
        }
    }

    fn approve_all(&mut self, d: usize) {
        let Some(Answer::Requests(requests)) = self.nodes[d].device.ask(Query::Requests) else {
            return;
        };
        for request in requests {
            match self.command(d, Command::Approve(ById { id: request.id })) {
                Some(Ok(_)) => {}
                Some(other) => self.broke(format!("device {d}: approve: {other:?}")),
                None => return self.look_again(d),
            }
        }
    }

    /// The chats on somebody's screen: asked for again only when the device has done something since.
    pub(crate) fn chats(&mut self, d: usize) -> Vec<Chat> {
        let node = &mut self.nodes[d];
        let now = (node.device.starts, node.device.steps);
        if let Some((_, chats)) = node
            .chats
            .as_ref()
            .filter(|(then, _)| node.device.runs() && *then == now)
        {
            return chats.clone();
        }
        match node.device.ask(Query::Chats(Page { limit: 100, offset: 0 })) {
            Some(Answer::Chats(chats)) => {
                node.chats = Some((now, chats.clone()));
                chats
            }
            _other => vec![],
        }
    }

    /// Somebody writes a text, if there is a chat to write it in; else later.
    pub(crate) fn say(&mut self, k: usize) {
        if self.said[k].order.is_some() || self.complete_at.is_some() {
            return;
        }
        self.plan.texts[k].from = self.heir(self.plan.texts[k].from);
        let text = self.plan.texts[k];
        if self.is_kin(text.from) && self.has_nobody(text.from) {
            self.said[k].kept_silent = self.healed;
            return self.after(HOUR, Event::Say(k));
        }
        if text.to == GROUP {
            return self.say_to_group(k);
        }
        let (d, to) = (text.from, self.nodes[text.to].account.clone());
        let chat = self
            .chats(d)
            .into_iter()
            .find(|chat| Some(&chat.contact) == to.as_ref());
        let Some(chat) = chat.filter(|chat| text.eager || !chat.waiting) else {
            return self.after(HOUR, Event::Say(k));
        };
        self.send(k, d, chat.id);
    }

    /// It was to be somebody's device, and its story did not begin.
    fn has_nobody(&self, d: usize) -> bool {
        self.nodes[d].account.is_none()
    }

    /// Writes a text in a chat; if that fails, tries again.
    pub(crate) fn send(&mut self, k: usize, d: usize, chat: api::ChatId) {
        let text = self.plan.texts[k];
        let reply_to = self.answers(k, d, chat);
        let command = self.media_command(k, chat, reply_to.clone()).unwrap_or_else(|| {
            Command::Send(api::Send {
                chat,
                text: tap::text(k, text.padding),
                client_id: Some(format!("t{k}")),
                marked: true,
                reply_to,
            })
        });
        match self.command(d, command) {
            Some(Ok(_)) => {}
            Some(Err(Refusal::NotMember | Refusal::NotAllowed)) if text.to == GROUP => {
                self.after(HOUR, Event::Say(k));
            }
            Some(Err(Refusal::Revoked)) if self.nodes[d].out.is_some() => self.said[k].kept_silent = true,
            // Until another invitation leads there, or the other side's device has answered.
            Some(Err(Refusal::NotLetIn | Refusal::NotBackYet | Refusal::StillLooking)) => {
                self.after(HOUR, Event::Say(k))
            }
            Some(other) => self.broke(format!("device {d}: send: {other:?}")),
            None => {
                let wait = self.roll.time(SECOND, 5 * MINUTE).max(self.retry_wait(d));
                self.after(wait, Event::Say(k));
            }
        }
    }

    /// Somebody reads everything there is.
    pub(crate) fn read_all(&mut self, d: usize) {
        for chat in self.chats(d) {
            let Some(last) = chat.last.filter(|_| chat.unread > 0) else {
                continue;
            };
            let read = api::MarkRead {
                chat: chat.id,
                position: last.position,
            };
            self.command(d, Command::MarkRead(read));
        }
    }

    /// Something on the screen changed: somebody looks at it, soon or late.
    pub(crate) fn hear(&mut self, d: usize, events: &[Told]) {
        let mut looks = false;
        let mut reads = false;
        for event in events {
            match event {
                Told::RequestAdded { .. } | Told::AcceptanceChanged { .. } => looks = true,
                Told::MessageAdded { message } => reads |= !message.mine,
                _other => {}
            }
        }
        if looks {
            let wait = self.roll.time(SECOND, 3 * HOUR);
            self.look_after(wait, d);
        }
        if reads && self.roll.percent(40) {
            let wait = self.roll.time(SECOND, 6 * HOUR);
            self.after(wait, Event::ReadAll(d));
        }
    }
}
