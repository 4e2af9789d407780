//! Who comes back: all relays that people know are blocked at once, and of each one contact is left whose relay is not.
//!
//! In: how many, the program, a censor that takes a whole network away. Out: how many are back, and after how long. Back is
//! whose text to another of them, written after the block, is confirmed by that one's device: both reach their relays again.
//! Everything is real: the relays, the people's daemons, their contacts, and the private relays that those have dealt to
//! them one each (REL-5), which pass on to the blocked ones (FWD-1). Nobody is told anything by hand. Where the censor has
//! insiders, so large a share of the people are such, by dice: they tell of all that their own devices show, and what they told
//! of is blocked besides. Nobody asks whether they are back, nor those who write to them: whose entrance was told of confirms nothing.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::censor::Censor;
use crate::censor::machine::Machine;
use crate::censor::people::insiders_among;
use crate::matrix::{commit, load, ms, part};
use crate::peer::insider::Insider;
use crate::peer::ours::{Program, Socket, TlsFiles, finish, pass_on, start, text};
use crate::router::{Link, Plan, Router};

/// Relays that everybody knows.
const KNOWN: usize = 3;
/// People who have one contact in common: each has an entrance of its own from it.
const EACH: usize = 5;
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// How long people may take to meet, and entrances to be dealt: ten minutes of that is REL-5's pause.
const READY_MAX: Duration = Duration::from_secs(1_200);
/// So many programs are started, and meetings held, at once.
const AT_ONCE: usize = 6;
/// How long is waited for those who come back.
pub const BACK_MAX: Duration = Duration::from_secs(600);

/// What is to be seen.
#[derive(Clone, Debug)]
pub struct Wish {
    /// People: an even number.
    pub people: usize,
    /// Whether their contacts deal them entrances; without, nobody can come back.
    pub deals: bool,
    /// The censor that begins; its own onset does not count.
    pub censor: Censor,
    /// For the lab's dice.
    pub seed: u64,
    /// How long is waited for them.
    pub patience: Duration,
    /// Stonechat's program.
    pub program: PathBuf,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Returned {
    /// Id of the censor.
    pub censor: String,
    /// The seed.
    pub seed: u64,
    /// People.
    pub people: usize,
    /// Those of them who tell the censor.
    pub insiders: usize,
    /// What it has on its lists then.
    pub listed: usize,
    /// Those who had an entrance when it began.
    pub dealt: usize,
    /// Those who are asked: neither insiders, nor do they write to one.
    pub asked: usize,
    /// Those of them who are back in time.
    pub back: usize,
    /// From the block to being back: the middle one of those who are.
    pub p50_ms: Option<u64>,
    /// Nine of ten of those.
    pub p90_ms: Option<u64>,
    /// The last of them.
    pub max_ms: Option<u64>,
    /// What was measured.
    pub commit: String,
    /// The machine's load when the block began.
    pub load: f64,
}

/// Builds the world, blocks it, and looks who comes back.
///
/// Errors: there is no lab here, or people do not meet.
pub fn measure(wish: &Wish) -> anyhow::Result<Returned> {
    let town = Town::build(wish)?;
    town.meet()?;
    let dealt = if wish.deals { town.deal()? } else { 0 };
    let load = load();
    town.router.begin();
    let tells = insiders_among(&wish.censor.person, wish.people, wish.seed);
    town.tell(&tells, &wish.censor);
    let took = town.come_back(wish.patience);
    let asked = asked(&tells);
    let took = took.into_iter().zip(&asked).filter(|(_, asked)| **asked);
    let took = took.map(|(took, _)| took);
    let mut back: Vec<u64> = took.flatten().map(ms).collect();
    back.sort_unstable();
    Ok(Returned {
        censor: wish.censor.id.clone(),
        seed: wish.seed,
        people: wish.people,
        insiders: tells.iter().filter(|tells| **tells).count(),
        listed: town.router.listed().len(),
        asked: asked.iter().filter(|asked| **asked).count(),
        dealt,
        back: back.len(),
        p50_ms: part(&back, 50),
        p90_ms: part(&back, 90),
        max_ms: back.last().copied(),
        commit: commit(),
        load,
    })
}

/// Who is asked whether they are back: both of a pair, where neither tells.
fn asked(tells: &[bool]) -> Vec<bool> {
    let asked = |n: usize| !tells[n] && !tells[n ^ 1];
    (0..tells.len()).map(asked).collect()
}

/// A relay that everybody knows stands in a hosting network.
fn known_at(n: usize) -> Ipv4Addr {
    Ipv4Addr::new(203, 0, 113, 10 + byte(n))
}

/// A contact's computer, and the relays that it deals, are at home somewhere abroad.
fn home_at(n: usize) -> Ipv4Addr {
    Ipv4Addr::new(198, 51, 100, 10 + byte(n))
}

/// Each private relay has an address of its own: a censor blocks addresses.
fn entrance_at(n: usize) -> Ipv4Addr {
    Ipv4Addr::new(198, 51, 100, 100 + byte(n))
}

fn person_at(n: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, 2 + byte(n))
}

fn byte(n: usize) -> u8 {
    u8::try_from(n).expect("a few hundred at most")
}

/// A name that lives as long as the lab.
fn name(kind: &str, n: usize) -> &'static str {
    format!("{kind}{n}").leak()
}

struct Town {
    people: Vec<PathBuf>,
    contacts: Vec<PathBuf>,
    entrances: Vec<String>,
    router: Arc<Router>,
    _programs: Vec<Program>,
    _folder: TempDir,
}

impl Town {
    /// Starts all programs. Nobody has met yet.
    fn build(wish: &Wish) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let homes = wish.people.div_ceil(EACH);
        let known: Vec<_> = (0..KNOWN).map(|n| (name("relay", n), known_at(n))).collect();
        let abroad: Vec<_> = (0..homes).map(|n| (name("home", n), home_at(n))).collect();
        let doors = if wish.deals { wish.people } else { 0 };
        let doors: Vec<_> = (0..doors).map(|n| (name("entrance", n), entrance_at(n))).collect();
        let inside: Vec<_> = (0..wish.people).map(|n| (name("person", n), person_at(n))).collect();
        let router = Arc::new(Router::start(Plan {
            hosts: [&known[..], &abroad, &doors, &inside].concat(),
            link: Link::default(),
            names: known
                .iter()
                .chain(&doors)
                .map(|(host, at)| (domain(host), *at))
                .collect(),
            machine: Machine::new(wish.censor.clone(), wish.seed, 1.0),
            seed: wish.seed,
        })?);
        let names = known.iter().chain(&doors).map(|(host, _)| domain(host)).collect();
        let stage = Stage {
            router: &router,
            program: &wish.program,
            tls: TlsFiles::of(folder.path(), names),
            at: folder.path(),
        };
        let mut programs = Vec::new();
        let mut routes = Vec::new();
        for (host, at) in &known {
            let (relay, route) = stage.relay(host, *at, &[]);
            programs.push(relay);
            routes.push(route);
        }
        let mut entrances = Vec::new();
        for (host, at) in &doors {
            let (relay, route) = stage.relay(host, *at, &routes);
            programs.push(relay);
            entrances.push(route);
        }
        let hosts: Vec<&'static str> = abroad.iter().chain(&inside).map(|(host, _)| *host).collect();
        let started = each(&hosts, |_, host| stage.person(host, &routes));
        let (mut contacts, served): (Vec<PathBuf>, Vec<Program>) = started.into_iter().unzip();
        programs.extend(served);
        let people = contacts.split_off(homes);
        Ok(Self {
            people,
            contacts,
            entrances,
            router,
            _programs: programs,
            _folder: folder,
        })
    }

    /// Each meets the contact, and one other person.
    fn meet(&self) -> anyhow::Result<()> {
        let mut pairs: Vec<(&Path, &Path)> = Vec::new();
        for two in self.people.chunks_exact(2) {
            pairs.push((&two[0], &two[1]));
        }
        for (n, person) in self.people.iter().enumerate() {
            pairs.push((&self.contacts[n / EACH], person));
        }
        let met = each(&pairs, |_, (one, other)| acquaint(one, other));
        met.into_iter().collect()
    }

    /// The contacts add their private relays, and deal them. Out: how many people have one, and are connected to it.
    fn deal(&self) -> anyhow::Result<usize> {
        for (n, route) in self.entrances.iter().enumerate() {
            let mut contact = Socket::open(&self.contacts[n / EACH])?;
            contact.ask("relay.add", &json!({ "route": route, "private": true }))?;
        }
        let end = Instant::now() + READY_MAX;
        loop {
            let connected = each(&self.people, |_, person| {
                relays(person).map_or(0, |up| up.saturating_sub(KNOWN))
            });
            let dealt = connected.iter().filter(|entrances| **entrances > 0).count();
            if dealt == self.people.len() || Instant::now() > end {
                return Ok(dealt);
            }
            sleep(LOOK * 4);
        }
    }

    /// The insiders among them tell; out when that is on the lists.
    fn tell(&self, tells: &[bool], censor: &Censor) {
        let insiders = self.people.iter().zip(tells).filter(|(_, tells)| **tells);
        insiders.for_each(|(home, _)| Insider::new(home.clone()).tells(&self.router));
        let after_s = censor.person.iter().map(|person| person.after_s).fold(0.0, f64::max);
        sleep(Duration::from_secs_f64(after_s));
    }

    /// Each writes to the other one of its pair. Out: for each how long after the block that was confirmed.
    fn come_back(&self, patience: Duration) -> Vec<Option<Duration>> {
        let began = Instant::now();
        let threads: Vec<_> = (0..self.people.len())
            .map(|n| {
                let (person, other) = (self.people[n].clone(), title(&self.people[n ^ 1]));
                std::thread::spawn(move || confirmed(&person, &other, began, patience))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().ok().flatten()).collect()
    }
}

/// When a text of this person was confirmed by the other's device.
fn confirmed(person: &Path, other: &str, began: Instant, patience: Duration) -> Option<Duration> {
    let mut socket = Socket::open(person).ok()?;
    let chat = chat_with(&mut socket, other)?;
    let sent = socket
        .ask("send", &json!({ "chat": chat, "text": "are you there?" }))
        .ok()?;
    while began.elapsed() < patience {
        let message = socket.ask("message", &json!({ "id": sent["id"] })).ok()?;
        if message["state"] == "delivered" || message["state"] == "read" {
            return Some(began.elapsed());
        }
        sleep(LOOK);
    }
    None
}

/// One invites, the other accepts, and both have the chat.
fn acquaint(one: &Path, other: &Path) -> anyhow::Result<()> {
    let (mut inviter, mut guest) = (Socket::open(one)?, Socket::open(other)?);
    let invite = inviter.ask("invite.create", &json!({ "who": "one", "how": "plain" }))?;
    let is_ready = |invites: &Value| {
        let mut all = invites.as_array().into_iter().flatten();
        all.any(|known| known["id"] == invite["id"] && known["state"] != "preparing")
    };
    let end = Instant::now() + READY_MAX;
    while !is_ready(&inviter.ask("invites", &json!({}))?) {
        anyhow::ensure!(Instant::now() < end, "an invitation was not ready");
        sleep(LOOK);
    }
    guest.ask("accept", &json!({ "link": invite["link"] }))?;
    while chat_with(&mut inviter, &title(other)).is_none() || chat_with(&mut guest, &title(one)).is_none() {
        anyhow::ensure!(Instant::now() < end, "two did not meet");
        sleep(LOOK);
    }
    Ok(())
}

/// A chat by the name of the other one, once both may write in it.
fn chat_with(socket: &mut Socket, other: &str) -> Option<Value> {
    let chats = socket.ask("chats", &json!({ "limit": 100 })).ok()?;
    let mut all = chats.as_array()?.iter();
    let chat = all.find(|chat| chat["name"] == other && chat["waiting"] == false)?;
    Some(chat["id"].clone())
}

/// How many relays somebody is connected to.
fn relays(person: &Path) -> Option<usize> {
    let status = Socket::open(person).ok()?.ask("status", &json!({})).ok()?;
    let up = status["relays"]
        .as_array()?
        .iter()
        .filter(|relay| relay["connected"] == true);
    Some(up.count())
}

/// What somebody is called: as their folder.
fn title(home: &Path) -> String {
    home.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn domain(host: &str) -> String {
    format!("{host}.example")
}

/// Does it with each of them, several at once. Out: in the same order.
fn each<A: Sync, T: Send>(all: &[A], work: impl Fn(usize, &A) -> T + Sync) -> Vec<T> {
    let mut done = Vec::new();
    for (chunk, some) in all.chunks(AT_ONCE).enumerate() {
        done.extend(std::thread::scope(|scope| {
            let work = &work;
            let threads = some.iter().enumerate();
            let threads: Vec<_> = threads
                .map(|(n, one)| scope.spawn(move || work(chunk * AT_ONCE + n, one)))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect::<Vec<_>>()
        }));
    }
    done
}

struct Stage<'a> {
    router: &'a Router,
    program: &'a Path,
    tls: TlsFiles,
    at: &'a Path,
}

impl Stage<'_> {
    /// A relay in TLS, which passes on to these.
    fn relay(&self, host: &'static str, at: Ipv4Addr, to: &[String]) -> (Program, String) {
        let data = self.at.join(host);
        if !to.is_empty() {
            pass_on(&data, to);
        }
        let (listen, public) = (format!("{at}:443"), format!("{}:443,{at}:443", domain(host)));
        let mut words = vec![
            "relay",
            "run",
            "--data",
            text(&data),
            "--listen",
            &listen,
            "--public",
            &public,
        ];
        words.extend(["--cert", text(&self.tls.cert), "--key", text(&self.tls.key)]);
        start(self.router, host, self.program, None, &words, "route: ")
    }

    /// Somebody who knows these relays. Out: the home, and the daemon.
    fn person(&self, host: &'static str, routes: &[String]) -> (PathBuf, Program) {
        let home = self.at.join(host);
        let mut words = vec!["--home", text(&home), "init", "--name", host];
        words.extend(routes.iter().flat_map(|route| ["--relay", route]));
        finish(self.router, host, self.program, &words);
        let serve = ["--home", text(&home), "serve", "--port", "0"];
        let (daemon, _) = start(self.router, host, self.program, Some(&self.tls.cert), &serve, "ui: ");
        (home, daemon)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_who_tells_is_asked_nor_who_writes_to_them() {
        assert_eq!(asked(&[false, false, true, false]), [true, true, false, false]);
    }
}
