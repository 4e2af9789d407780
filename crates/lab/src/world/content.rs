//! What people do to messages: they answer, put emojis, change and delete what they wrote, set timers, while everything
//! goes wrong.
//!
//! In: touches of the plan. Out: commands; at the end sentences about what two people see differently, and about what
//! somebody did that did not come of it.

use std::collections::{BTreeMap, BTreeSet};

use stonechat_core::api::{self, Command, Fault as Refusal, Message, MessageKind};

use super::groups::GROUP;
use super::plan::{DAY, HOUR, MINUTE, Plan, SECOND, Trouble};
use super::roll::Roll;
use super::tap;
use super::trace::Actor;
use super::{Event, World};

/// 366 days.
const TIMER_S: u32 = 31_622_400;
const EMOJIS: [&str; 4] = ["👍", "❤️", "😂", "🇺🇦"];

/// Something done to a text.
#[derive(Clone, Copy, Debug)]
pub struct Touch {
    /// Which text.
    pub text: usize,
    /// By whom.
    pub by: usize,
    /// When.
    pub at: u64,
    /// What.
    pub what: What,
}

/// What is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// An emoji is put there, or taken back.
    Like(usize, bool),
    /// It becomes a text with so much padding.
    Edit(usize),
    /// It is pinned, or taken off.
    Pin(bool),
    /// It is deleted for everybody.
    Delete,
    /// Its chat's timer is set to a year, longer than any world, or off.
    Timer(bool),
}

/// What must come of a text, as its writer's device said.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Became {
    padding: Option<usize>,
    deleted: bool,
    /// A command died with its device: it may have been done or not.
    vague: bool,
}

impl Plan {
    /// With some touches. They have dice of their own: the rest of a seed's plan stays what it was.
    pub(crate) fn touched(mut self, seed: u64) -> Self {
        let mut roll = Roll::seeded(seed, 3);
        let count = roll.between(4, 14);
        self.touches = (0..count).map(|_| touch(&mut roll, &self)).collect();
        self
    }
}

impl Plan {
    /// Whether a clock jumps ahead so far that a timer is over before the world is.
    fn jumps_a_year(&self) -> bool {
        let far_ms = i64::from(TIMER_S) * 1000 - (60 * DAY).cast_signed();
        let mut troubles = self.troubles.iter();
        troubles.any(|(_, trouble)| matches!(trouble, Trouble::Jump(_, by) if *by > far_ms))
    }
}

/// Several at the same few texts, so that they meet.
fn touch(roll: &mut Roll, plan: &Plan) -> Touch {
    let few = plan.texts.len().min(5);
    let number = roll.index(few) * plan.texts.len() / few;
    let text = plan.texts[number];
    let what = match roll.below(100) {
        0..45 => What::Like(roll.index(EMOJIS.len()), roll.percent(70)),
        45..75 => What::Edit(roll.index(300)),
        // In the group few may; who does is not in the plan.
        75..85 if text.to == GROUP => What::Edit(roll.index(300)),
        75..85 => What::Pin(roll.percent(60)),
        // Nobody keeps what was deleted, so that nobody could say who had to know of it.
        _ if text.to == GROUP => What::Like(0, true),
        85..93 => What::Delete,
        // A clock that jumps ahead lets messages go early (CON-12).
        _ if plan.jumps_a_year() => What::Delete,
        _ => What::Timer(roll.percent(60)),
    };
    let by = match what {
        What::Like(..) if text.to == GROUP => roll.index(plan.devices.len()),
        What::Like(..) | What::Pin(_) | What::Timer(_) if roll.percent(50) => text.to,
        _ => text.from,
    };
    Touch {
        text: number,
        by,
        at: text.at + roll.time(SECOND, 2 * DAY),
        what,
    }
}

impl World {
    /// Somebody does something to a message on the screen. Until it is there, later; once the world has healed, no more.
    pub(crate) fn touch(&mut self, n: usize) {
        let touch = self.plan.touches[n];
        let d = touch.by;
        if self.healed {
            return;
        }
        let Some(id) = self.on_screen(d, touch.text) else {
            return self.after(HOUR, Event::Touch(n));
        };
        let command = match touch.what {
            What::Like(emoji, on) => Command::React(api::React {
                id,
                emoji: EMOJIS[emoji].into(),
                on,
            }),
            What::Edit(padding) => Command::Edit(api::Edit {
                id,
                text: tap::text(touch.text, padding),
                marked: true,
            }),
            What::Pin(on) => Command::Pin(api::Pin { id, on }),
            What::Delete => Command::Delete(api::Delete { id, everyone: true }),
            What::Timer(on) => Command::TimerSet(api::TimerSet {
                chat: self.chat_of(d, &id),
                seconds: on.then_some(TIMER_S),
            }),
        };
        match self.command(d, command) {
            Some(Ok(_)) => self.became(touch),
            // Turned away meanwhile, or deleted before the answer came.
            Some(Err(Refusal::NotFound | Refusal::NotLetIn)) => {}
            Some(Err(Refusal::NotMember | Refusal::NotAllowed)) if self.plan.texts[touch.text].to == GROUP => {}
            Some(other) => self.broke(format!("device {d}: {:?}: {other:?}", touch.what)),
            None => {
                self.became.entry(touch.text).or_default().vague = true;
                let wait = self.roll.time(SECOND, 5 * MINUTE).max(self.retry_wait(d));
                self.after(wait, Event::Touch(n));
            }
        }
    }

    fn became(&mut self, touch: Touch) {
        self.note(Actor::World, "touched", [touch.text as u64, 0]);
        self.touched += 1;
        let became = self.became.entry(touch.text).or_default();
        match touch.what {
            What::Like(..) | What::Pin(_) | What::Timer(_) => {}
            What::Edit(padding) => (became.padding, became.vague) = (Some(padding), false),
            What::Delete => (became.deleted, became.vague) = (true, false),
        }
    }

    fn chat_of(&mut self, d: usize, id: &str) -> api::ChatId {
        let sql = format!("SELECT chat FROM message WHERE id = x'{id}'");
        let chats = self.nodes[d].device.rows(&sql, |row| row.get(0));
        chats.first().copied().unwrap_or_default()
    }

    /// The id of a text that stands in a chat of this device and can be changed.
    fn on_screen(&mut self, d: usize, k: usize) -> Option<String> {
        self.ids_of(k).into_iter().find(|id| {
            let sql = format!(
                "SELECT 1 FROM message m JOIN chat c ON c.id = m.chat
                 WHERE m.id = x'{id}' AND m.kind = 0 AND c.hidden = 0 AND c.waiting = 0"
            );
            !self.nodes[d].device.rows(&sql, |_| Ok(())).is_empty()
        })
    }

    /// The ids of the messages that a text became.
    pub(crate) fn ids_of(&self, k: usize) -> Vec<String> {
        let of_k = self.written.iter().filter(|(_, of)| **of == k);
        of_k.map(|(id, _)| id.clone()).collect()
    }

    /// The message that a text answers: every third one the newest in its chat.
    pub(crate) fn answers(&mut self, k: usize, d: usize, chat: api::ChatId) -> Option<String> {
        let newest = self.chats(d).into_iter().find(|one| one.id == chat)?.last?;
        (k % 3 == 2 && newest.kind == MessageKind::Text).then_some(newest.id)
    }

    /// Which text of the plan a message is.
    pub(crate) fn text_of(&self, message: &Message) -> Option<usize> {
        self.written.get(&message.id).copied()
    }

    /// Whether a message says what its writer wrote, or made of it.
    pub(crate) fn says(&self, k: usize, message: &Message) -> bool {
        let first = tap::text(k, self.plan.texts[k].padding);
        match message.kind {
            MessageKind::Deleted => message.text.is_empty() && message.reactions.is_empty(),
            _other if message.edited_at.is_some() => tap::number_of(&message.text) == Some(k),
            _other => message.text == first.trim(),
        }
    }

    /// Both sides of every chat of two see the same, and what a writer did came of it.
    pub(crate) fn check_contents(&mut self) {
        let mut all: Vec<BTreeMap<String, Vec<Message>>> = Vec::new();
        for d in 0..self.nodes.len() {
            all.push(self.all_messages(d).into_iter().collect());
        }
        for (d, chats) in all.iter().enumerate() {
            for (contact, messages) in chats {
                let me = self.nodes[d].account.clone().unwrap_or_default();
                for other in self.devices_of(contact) {
                    let theirs = all[other].get(&me).map(|messages| seen(messages));
                    self.check_alike([d, other], &seen(messages), &theirs.unwrap_or_default());
                }
                self.check_became(d, messages);
            }
        }
    }

    fn check_alike(&mut self, pair: [usize; 2], mine: &BTreeMap<String, Sight>, theirs: &BTreeMap<String, Sight>) {
        for (id, sight) in mine {
            let alike = theirs
                .get(id)
                .is_none_or(|theirs| theirs.is_like(sight, self.plan.kin.is_empty()));
            if !alike {
                let k = self.written.get(id);
                self.broke(format!("devices {pair:?} see text {k:?} differently"));
            }
        }
    }

    fn check_became(&mut self, d: usize, messages: &[Message]) {
        for message in messages.iter().filter(|message| message.mine) {
            let Some(k) = self.text_of(message) else { continue };
            let Some(became) = self.became.get(&k).copied().filter(|became| !became.vague) else {
                continue;
            };
            let deleted = message.kind == MessageKind::Deleted;
            let edited = became
                .padding
                .is_none_or(|padding| deleted || message.text == tap::text(k, padding).trim());
            if became.deleted != deleted || !edited {
                self.broke(format!("device {d}: text {k} is not what its writer made of it"));
            }
        }
    }
}

impl World {
    /// Members who have been there all the time see the same of what they and their like did to texts of the group.
    pub(crate) fn check_group_contents(&mut self, members: &BTreeSet<usize>) {
        let steady: Vec<usize> = members.iter().copied().filter(|d| !self.came_back(*d)).collect();
        let accounts: BTreeSet<String> = steady.iter().filter_map(|d| self.nodes[*d].account.clone()).collect();
        let sights: Vec<_> = steady.iter().map(|d| self.group_sights(*d)).collect();
        let Some((first, others)) = sights.split_first() else {
            return;
        };
        for (at, theirs) in others.iter().enumerate() {
            let pair = [steady[0], steady[at + 1]];
            for (id, sight) in first {
                let differs = theirs.get(id).is_some_and(|theirs| theirs != sight);
                if differs && pair.iter().all(|d| self.all_knew(*d, id, &accounts, pair)) {
                    let k = self.written.get(id);
                    self.broke(format!("devices {pair:?} see text {k:?} of the group differently"));
                }
            }
        }
    }

    fn group_sights(&mut self, d: usize) -> BTreeMap<String, Sight> {
        let Some(chat) = self.group_chat(d) else {
            return BTreeMap::new();
        };
        let mut all = seen(&self.messages_of(d, chat.id));
        // What is quoted may be what somebody removed made of it.
        all.values_mut().for_each(|sight| sight.quote = None);
        all
    }

    /// Whether all that was done to a message here was done by these, where both of the pair were members.
    fn all_knew(&mut self, d: usize, id: &str, accounts: &BTreeSet<String>, pair: [usize; 2]) -> bool {
        let sql = format!(
            "SELECT lower(hex(a.sender)), lower(hex(coalesce(e.members, x''))) FROM act a JOIN message m ON m.id = a.id
             LEFT JOIN epoch e ON e.epoch_id = m.epoch_id WHERE a.target = x'{id}'"
        );
        let acts: Vec<(String, String)> = self.nodes[d].device.rows(&sql, |row| Ok((row.get(0)?, row.get(1)?)));
        let there = pair.map(|d| self.nodes[d].account.clone().unwrap_or_default());
        acts.iter()
            .all(|(sender, members)| accounts.contains(sender) && there.iter().all(|account| members.contains(account)))
    }
}

/// What everybody must see alike of a message.
#[derive(Debug, PartialEq, Eq)]
struct Sight {
    text: String,
    kind: MessageKind,
    edited: bool,
    pinned: bool,
    timer_s: Option<u32>,
    emojis: Vec<(String, u32)>,
    quote: Option<(String, Option<String>)>,
}

impl Sight {
    /// What is quoted may have been written before one of the devices was there.
    fn is_like(&self, other: &Self, quotes: bool) -> bool {
        let quotes = !quotes || self.quote == other.quote;
        let text = (&self.text, self.kind, self.edited) == (&other.text, other.kind, other.edited);
        quotes && text && (self.pinned, self.timer_s) == (other.pinned, other.timer_s) && self.emojis == other.emojis
    }
}

fn seen(messages: &[Message]) -> BTreeMap<String, Sight> {
    let sight = |message: &Message| {
        let emojis = message.reactions.iter();
        let mut emojis: Vec<_> = emojis.map(|one| (one.emoji.clone(), one.count)).collect();
        emojis.sort();
        let quote = message.reply.clone();
        Sight {
            text: message.text.clone(),
            kind: message.kind,
            edited: message.edited_at.is_some(),
            pinned: message.pinned,
            timer_s: message.timer_s,
            emojis,
            quote: quote.map(|quote| (quote.id, quote.found.map(|found| found.text))),
        }
    };
    messages
        .iter()
        .filter(|message| !matches!(message.kind, MessageKind::Began | MessageKind::NewDevice))
        .map(|message| (message.id.clone(), sight(message)))
        .collect()
}
