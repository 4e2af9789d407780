//! Two messengers in one process, on stores of their own, with a relay made of a map between them.

use anyhow::{Context as _, Result, bail};
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use stonechat_core::api::{self, Command, How, Reply, Who};
use stonechat_core::store::{Store, StoreKey};
use stonechat_core::{Core, Dice, Input, Outputs, World};
use stonechat_wire::exchange::{Arrival, Errand, News};
use stonechat_wire::ids::{RelayId, Tag, Timestamp};
use stonechat_wire::route::RelayRoute;

const NOW_MS: u64 = 1_800_000_000_000;
const RELAY: RelayId = RelayId::from_bytes([7; 16]);

/// One messenger.
pub(crate) struct Side {
    pub(crate) store: Store,
    core: Core,
    dice: Dice,
    listening: BTreeMap<Tag, u64>,
    news: VecDeque<News>,
    now: u64,
    /// Envelopes handed out so far.
    pub(crate) sent: usize,
}

/// Two that have met.
pub(crate) struct Pair {
    pub(crate) sides: [Side; 2],
    boxes: BTreeMap<Tag, Vec<Vec<u8>>>,
    door: Vec<u8>,
}

impl Side {
    fn open(home: &Path, number: u8) -> Result<Self> {
        std::fs::create_dir_all(home)?;
        Ok(Self {
            store: Store::create(home, &StoreKey::from_bytes([number; 32]))?,
            core: Core::new(),
            dice: Dice::seeded([number; 32]),
            listening: BTreeMap::new(),
            news: VecDeque::new(),
            now: NOW_MS,
            sent: 0,
        })
    }

    fn step(&mut self, input: Input) -> Result<Outputs> {
        let mut world = World {
            now: Timestamp(self.now),
            dice: &mut self.dice,
        };
        let tx = self.store.begin()?;
        let outputs = self.core.handle(&tx, &mut world, input)?;
        tx.commit()?;
        Ok(outputs)
    }
}

impl Pair {
    /// Two accounts below `folder`, met by an invitation.
    ///
    /// Errors: stores that do not open; a meeting that does not happen.
    pub(crate) fn met(folder: &Path) -> Result<Self> {
        let sides = [Side::open(&folder.join("ana"), 1)?, Side::open(&folder.join("bo"), 2)?];
        let mut pair = Self {
            sides,
            boxes: BTreeMap::new(),
            door: vec![],
        };
        let route = RelayRoute {
            address: "127.0.0.1:9".into(),
            relay: RELAY,
            secret: None,
            lan: false,
        }
        .to_text();
        for (side, name) in [(0, "Ana"), (1, "Bo")] {
            let wish = api::Init {
                name: name.into(),
                relays: vec![route.clone()],
                words: None,
            };
            pair.ask(side, Command::Init(wish))?;
        }
        let wish = api::InviteCreate {
            who: Who::One,
            how: How::Plain,
        };
        let Reply::Invite(invite) = pair.ask(0, Command::InviteCreate(wish))? else {
            bail!("no invitation")
        };
        pair.ask(
            1,
            Command::Accept(api::Accept {
                link: invite.link,
                spoken_words: None,
            }),
        )?;
        pair.settle()?;
        Ok(pair)
    }

    /// Writes a text; it waits at the relay.
    ///
    /// Errors: the store's, or a refusal.
    pub(crate) fn say(&mut self, side: usize, text: &str) -> Result<()> {
        self.ask(
            side,
            Command::Send(api::Send {
                chat: 1,
                text: text.into(),
                client_id: None,
                marked: false,
                reply_to: None,
            }),
        )
        .map(|_| ())
    }

    /// What waits at the relay for a side, as the daemon would hand it over.
    pub(crate) fn waiting(&mut self, side: usize) -> Vec<Arrival> {
        let mut arrivals = vec![];
        let Some(side) = self.sides.get_mut(side) else {
            return arrivals;
        };
        for (tag, cursor) in &mut side.listening {
            let waiting = self.boxes.get(tag).map_or(&[][..], Vec::as_slice);
            for envelope in waiting.iter().skip(usize::try_from(*cursor).unwrap_or(usize::MAX)) {
                *cursor += 1;
                arrivals.push(Arrival {
                    relay: RELAY,
                    tag: *tag,
                    cursor: *cursor,
                    envelope: envelope.clone(),
                });
            }
        }
        arrivals
    }

    /// Hands arrivals to a side in one step.
    ///
    /// Errors: the store's.
    pub(crate) fn take_in(&mut self, side: usize, arrivals: Vec<Arrival>) -> Result<()> {
        self.drive(side, Input::News(News::Arrived(arrivals))).map(|_| ())
    }

    fn ask(&mut self, side: usize, command: Command) -> Result<Reply> {
        let outputs = self.drive(side, Input::Command(command))?;
        Ok(outputs.context("a command is answered")??)
    }

    fn drive(&mut self, number: usize, input: Input) -> Result<Option<Result<Reply, api::Fault>>> {
        let side = self.sides.get_mut(number).context("there are two")?;
        let outputs = side.step(input)?;
        for errand in outputs.errands {
            match errand {
                Errand::Send(parcel) => {
                    side.sent += 1;
                    self.boxes
                        .entry(parcel.token.tag())
                        .or_default()
                        .push(parcel.envelope.into_bytes());
                }
                Errand::Listen(listen) => side.listening.extend(listen.add),
                Errand::OpenDoor(door) => self.door = door.card,
                Errand::Knock(knock) => side.news.push_back(News::Knocked {
                    id: knock.id,
                    card: self.door.clone(),
                }),
                Errand::UseRelay(..)
                | Errand::Signal(_)
                | Errand::UseNear(_)
                | Errand::ForgetRelay(_)
                | Errand::ForgetWays { .. }
                | Errand::CloseDoor { .. }
                | Errand::ForgetKnock(_) => {}
            }
        }
        Ok(outputs.reply)
    }

    fn settle(&mut self) -> Result<()> {
        loop {
            let mut quiet = true;
            for side in [0, 1] {
                while let Some(news) = self.sides.get_mut(side).and_then(|side| side.news.pop_front()) {
                    quiet = false;
                    self.drive(side, Input::News(news))?;
                }
                let arrivals = self.waiting(side);
                if !arrivals.is_empty() {
                    quiet = false;
                    self.take_in(side, arrivals)?;
                }
            }
            if quiet {
                return Ok(());
            }
        }
    }
}
