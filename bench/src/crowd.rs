//! Many messengers in one process, each on a store of its own, with a relay made of a map between them.
//!
//! The first one knows all others. Who is not awake takes nothing in: its key packages lie with the first one, so it can
//! be a member of groups, and costs nothing.

use anyhow::{Context as _, Result, bail};
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use stonechat_core::api::{self, Command, How, Reply, Who};
use stonechat_core::store::{DATABASE, Store, StoreKey};
use stonechat_core::{Core, Dice, Input, World};
use stonechat_wire::exchange::{Arrival, Errand, News};
use stonechat_wire::ids::{RelayId, Tag, Timestamp};
use stonechat_wire::route::RelayRoute;

const NOW_MS: u64 = 1_800_000_000_000;
const RELAY: RelayId = RelayId::from_bytes([7; 16]);
/// So long after something arrived a receipt and what was put off with it has left.
const A_MOMENT_MS: u64 = 6_000;

/// One messenger.
pub(crate) struct Person {
    pub(crate) store: Store,
    core: Core,
    dice: Dice,
    listening: BTreeMap<Tag, u64>,
    news: VecDeque<News>,
    pub(crate) now: u64,
    pub(crate) account: String,
}

/// All of them.
pub(crate) struct Crowd {
    people: Vec<Person>,
    boxes: BTreeMap<Tag, Vec<Vec<u8>>>,
    door: Vec<u8>,
}

/// What one step took, and what it put on the wire.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) time: Duration,
    pub(crate) envelopes: usize,
    pub(crate) bytes: usize,
}

fn key() -> StoreKey {
    StoreKey::from_bytes([9; 32])
}

impl Person {
    /// On a copy of an empty database: making one takes longer than everything else here.
    fn open(folder: &Path, number: usize) -> Result<Self> {
        let empty = folder.join("empty");
        if !empty.exists() {
            drop(Store::create_at(&empty, &key())?);
        }
        let home = folder.join(number.to_string());
        fs::create_dir_all(&home)?;
        fs::copy(&empty, home.join(DATABASE))?;
        let mut seed = [0; 32];
        seed.iter_mut()
            .zip(number.to_le_bytes())
            .for_each(|(to, from)| *to = from);
        Ok(Self {
            store: Store::open(&home, &key())?,
            core: Core::new(),
            dice: Dice::seeded(seed),
            listening: BTreeMap::new(),
            news: VecDeque::new(),
            now: NOW_MS,
            account: String::new(),
        })
    }

    /// One number out of its database.
    ///
    /// Errors: the store's, or there is none.
    pub(crate) fn number(&mut self, sql: &str) -> Result<i64> {
        Ok(self.store.begin()?.query_row(sql, [], |row| row.get(0))?)
    }

    /// Changes its database.
    ///
    /// Errors: the store's.
    pub(crate) fn change(&mut self, sql: &str) -> Result<()> {
        let change = self.store.begin()?;
        change.execute_batch(sql)?;
        Ok(change.commit()?)
    }
}

impl Crowd {
    /// So many accounts below `folder`, all met by the first.
    ///
    /// Errors: stores that do not open; a meeting that does not happen.
    pub(crate) fn met(folder: &Path, count: usize) -> Result<Self> {
        let people = (0..count).map(|number| Person::open(folder, number));
        let mut crowd = Self {
            people: people.collect::<Result<_>>()?,
            boxes: BTreeMap::new(),
            door: vec![],
        };
        for number in 0..count {
            crowd.begin(number)?;
        }
        for number in 1..count {
            crowd.meet(number)?;
        }
        Ok(crowd)
    }

    fn begin(&mut self, number: usize) -> Result<()> {
        let route = RelayRoute {
            address: "127.0.0.1:9".into(),
            relay: RELAY,
            secret: None,
            lan: false,
        };
        let wish = api::Init {
            name: format!("Person {number}"),
            relays: vec![route.to_text()],
            words: None,
        };
        self.ask(number, Command::Init(wish))?;
        let sql = "SELECT lower(hex(account)) FROM account";
        let person = self.person(number)?;
        let account = person.store.begin()?.query_row(sql, [], |row| row.get(0))?;
        person.account = account;
        Ok(())
    }

    fn meet(&mut self, number: usize) -> Result<()> {
        let wish = api::InviteCreate {
            who: Who::One,
            how: How::Plain,
        };
        let (Reply::Invite(invite), _) = self.ask(0, Command::InviteCreate(wish))? else {
            bail!("no invitation")
        };
        let wish = api::Accept {
            link: invite.link,
            spoken_words: None,
        };
        self.ask(number, Command::Accept(wish))?;
        for _ in 0..3 {
            self.settle(&[0, number])?;
            for who in [0, number] {
                self.person(who)?.now += A_MOMENT_MS;
                self.drive(who, Input::Wake)?;
            }
        }
        Ok(())
    }

    /// One of them.
    ///
    /// Errors: there are not so many.
    pub(crate) fn person(&mut self, number: usize) -> Result<&mut Person> {
        self.people.get_mut(number).context("so many there are not")
    }

    /// A wish, and what it cost.
    ///
    /// Errors: the store's, or a refusal.
    pub(crate) fn ask(&mut self, number: usize, command: Command) -> Result<(Reply, Cost)> {
        let (reply, cost) = self.drive(number, Input::Command(command))?;
        let reply = reply.context("a command is answered")?;
        Ok((reply.map_err(|fault| anyhow::anyhow!("refused: {fault:?}"))?, cost))
    }

    /// What waits for a person at this moment, as the daemon would hand it over. Out: what it was, and what it took.
    ///
    /// Errors: the store's; an envelope that is refused.
    pub(crate) fn take_in(&mut self, number: usize) -> Result<Cost> {
        let arrivals = self.waiting(number)?;
        let mut cost = Cost {
            envelopes: arrivals.len(),
            bytes: arrivals.iter().map(|arrival| arrival.envelope.len()).sum(),
            ..Cost::default()
        };
        if !arrivals.is_empty() {
            cost.time = self.drive(number, Input::News(News::Arrived(arrivals)))?.1.time;
        }
        Ok(cost)
    }

    /// Lets these take in whatever there is for them.
    ///
    /// Errors: as [`Crowd::take_in`].
    pub(crate) fn settle(&mut self, awake: &[usize]) -> Result<()> {
        loop {
            let mut quiet = true;
            for number in awake {
                while let Some(news) = self.person(*number)?.news.pop_front() {
                    quiet = false;
                    self.drive(*number, Input::News(news))?;
                }
                quiet &= self.take_in(*number)?.envelopes == 0;
            }
            if quiet {
                return Ok(());
            }
        }
    }

    /// Time itself: what is due now. Out: what that took and put on the wire.
    ///
    /// Errors: the store's.
    pub(crate) fn wake(&mut self, number: usize) -> Result<Cost> {
        Ok(self.drive(number, Input::Wake)?.1)
    }

    fn waiting(&mut self, number: usize) -> Result<Vec<Arrival>> {
        let person = self.people.get_mut(number).context("so many there are not")?;
        let mut arrivals = vec![];
        for (tag, cursor) in &mut person.listening {
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
        Ok(arrivals)
    }

    fn drive(&mut self, number: usize, input: Input) -> Result<(Option<Result<Reply, api::Fault>>, Cost)> {
        let person = self.people.get_mut(number).context("so many there are not")?;
        let mut world = World {
            now: Timestamp(person.now),
            dice: &mut person.dice,
        };
        let began = Instant::now();
        let step = person.store.begin()?;
        let outputs = person.core.handle(&step, &mut world, input)?;
        step.commit()?;
        let mut cost = Cost {
            time: began.elapsed(),
            ..Cost::default()
        };
        if let Some(why) = outputs.refused.first() {
            bail!("person {number} refused an envelope: {why}");
        }
        for errand in outputs.errands {
            match errand {
                Errand::Send(parcel) => {
                    let (tag, id) = (parcel.token.tag(), parcel.envelope.id());
                    cost.envelopes += 1;
                    cost.bytes += parcel.envelope.bytes().len();
                    self.boxes.entry(tag).or_default().push(parcel.envelope.into_bytes());
                    let ids = vec![id];
                    person.news.push_back(News::Stored { relay: RELAY, ids });
                }
                Errand::Listen(listen) => {
                    person.listening.extend(listen.add);
                    listen.drop.iter().for_each(|tag| {
                        person.listening.remove(tag);
                    });
                }
                Errand::OpenDoor(door) => {
                    self.door = door.card;
                    let path = door.path;
                    person.news.push_back(News::DoorOpen { relay: RELAY, path });
                }
                Errand::Knock(knock) => person.news.push_back(News::Knocked {
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
        Ok((outputs.reply, cost))
    }
}
