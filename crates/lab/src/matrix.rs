//! Peers × censors × seeds: one row each, in a file that can be gone on with.
//!
//! In: a [`Cell`]. Out: a [`Row`] of figures. A cell has a router, hosts and programs of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, io};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

use crate::censor::Censor;
use crate::censor::machine::Machine;
use crate::peer::{Load, Outcome, Peer, Work, echo, ephemeral, hosts, ours, stream};
use crate::prober;
use crate::router::{Link, Plan, Router, RouterError};

/// One thing to measure.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Who censors.
    pub censor: Censor,
    /// Who wants to talk.
    pub peer: Peer,
    /// For all dice of the lab; real programs and real time have their own.
    pub seed: u64,
    /// How much is said.
    pub work: Work,
    /// So often, at random times while something is said, all connections are cut.
    pub kills: usize,
    /// Time between the meeting and the work.
    pub rest: Duration,
    /// The line.
    pub link: Link,
    /// Residual times of the censor are divided by it.
    pub residual_scale: f64,
    /// Stonechat's program.
    pub program: PathBuf,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Id of the censor.
    pub censor: String,
    /// Name of the peer.
    pub peer: String,
    /// The seed.
    pub seed: u64,
    /// Whether the censor leaves any way open.
    pub path_open: bool,
    /// What was said: `texts` or `media`.
    pub said: String,
    /// How many.
    pub sent: usize,
    /// Texts that came in time.
    pub delivered: usize,
    /// Texts that came twice.
    pub duplicated: usize,
    /// Median time from when a text was due to when it came, of those that came.
    pub p50_ms: Option<u64>,
    /// The slowest of a hundred.
    pub p99_ms: Option<u64>,
    /// From the beginning of the block to the first text that was due after it and came.
    pub first_after_block_ms: Option<u64>,
    /// How often all connections were cut.
    pub kills: usize,
    /// Connections that were.
    #[serde(default)]
    pub cuts: u64,
    /// From the beginning of the work to when the last came, if all did.
    #[serde(default)]
    pub all_ms: Option<u64>,
    /// Of a stream: of a hundred pieces, so many came within 200 ms.
    #[serde(default)]
    pub within_200_ms: Option<f64>,
    /// The same within 400 ms.
    #[serde(default)]
    pub within_400_ms: Option<f64>,
    /// The longest time in which nothing came, of either direction.
    #[serde(default)]
    pub gap_max_ms: Option<u64>,
    /// Of all cuts, the longest from it to the first that was due after it and came.
    pub after_kill_max_ms: Option<u64>,
    /// How long two people took to meet (Stonechat only).
    pub met_ms: Option<u64>,
    /// Bytes over the border, all packets of both ways, headers and meeting included.
    pub wire_bytes: u64,
    /// Connections that clients began.
    pub handshakes: u64,
    /// Flows that the censor took hold of.
    pub hits: u64,
    /// What people and probers have put on its lists.
    #[serde(default)]
    pub listed: Vec<String>,
    /// Clients that a server of the censor's has seen.
    #[serde(default)]
    pub seen: usize,
    /// Texts that it could read.
    #[serde(default)]
    pub read: usize,
    /// What residual times were divided by.
    pub residual_scale: f64,
    /// What was measured.
    pub commit: String,
    /// The machine's load when it began.
    pub load: f64,
}

/// Measures one cell.
pub fn measure(cell: &Cell) -> Result<Row, RouterError> {
    let load = load();
    let router = Arc::new(Router::start(Plan {
        hosts: hosts(),
        link: cell.link,
        names: echo::names(),
        machine: Machine::new(cell.censor.clone(), cell.seed, cell.residual_scale),
        seed: cell.seed,
    })?);
    let onset = Duration::from_secs_f64(cell.censor.onset_s);
    if onset.is_zero() {
        router.begin();
    }
    if cell.censor.probes() {
        prober::start(&router);
    }
    let kills = kills(cell);
    let (met, outcome) = talk(cell, &router, (onset, kills.clone()));
    let traffic = router.traffic();
    let mut row = figures(&outcome, onset);
    row.said = cell.work.load.name().to_owned();
    row.kills = kills.len();
    row.after_kill_max_ms = kills.iter().filter_map(|kill| first_after(&outcome, *kill)).max();
    row.censor.clone_from(&cell.censor.id);
    row.peer = cell.peer.name().to_owned();
    row.seed = cell.seed;
    row.path_open = cell.censor.path_open;
    row.met_ms = met.map(ms);
    row.wire_bytes = traffic.wire_bytes;
    row.handshakes = traffic.openings;
    row.cuts = traffic.cuts;
    row.hits = traffic.deeds.hits;
    row.listed = router.listed();
    row.seen = router.seen();
    row.residual_scale = cell.residual_scale;
    row.commit = commit();
    row.load = load;
    Ok(row)
}

/// When connections are cut, since the work began: one in each equal part of it, at a time of its own.
fn kills(cell: &Cell) -> Vec<Duration> {
    let mut dice = ChaCha20Rng::seed_from_u64(cell.seed);
    // The last text is due after the last of them.
    let gaps = cell.work.texts.saturating_sub(1);
    let whole = cell.work.pace * u32::try_from(gaps).unwrap_or(u32::MAX);
    let part = whole / u32::try_from(cell.kills.max(1)).unwrap_or(u32::MAX);
    let parts = 0..u32::try_from(cell.kills).unwrap_or(u32::MAX);
    parts
        .map(|n| part * n + part.mul_f64(f64::from(dice.next_u32()) / f64::from(u32::MAX)))
        .collect()
}

/// So long at least people may take to meet, however little patience there is for texts.
const MEET_MIN: Duration = Duration::from_secs(10);

type Times = (Duration, Vec<Duration>);

fn talk(cell: &Cell, router: &Arc<Router>, (onset, kills): Times) -> (Option<Duration>, Outcome) {
    let face = match cell.peer {
        Peer::Stonechat => ours::Face::Tls,
        Peer::StonechatTwo => ours::Face::Two,
        Peer::StonechatHop => ours::Face::Hop,
        Peer::StonechatPrivate => ours::Face::Private,
        Peer::StonechatSite => ours::Face::Site,
        Peer::StonechatListed => ours::Face::Listed,
        Peer::StonechatDrop => ours::Face::Drop,
        Peer::StonechatMail => ours::Face::Mail,
        Peer::StonechatPlain => ours::Face::Plain,
        Peer::StonechatBridge => ours::Face::Bridge,
        Peer::TlsBlocked => return (None, alone(cell, router, echo::Kind::TlsBlocked, (onset, kills))),
        Peer::TlsOwn => return (None, alone(cell, router, echo::Kind::TlsOwn, (onset, kills))),
        Peer::Adaptive => return (None, alone(cell, router, echo::Kind::Adaptive, (onset, kills))),
        Peer::WebSocket => return (None, alone(cell, router, echo::Kind::WebSocket, (onset, kills))),
        Peer::Random => return (None, alone(cell, router, echo::Kind::Random, (onset, kills))),
        Peer::Shadowsocks => return (None, alone(cell, router, echo::Kind::Shadowsocks, (onset, kills))),
        Peer::Obfs4 => return (None, alone(cell, router, echo::Kind::Obfs4, (onset, kills))),
        Peer::StonechatEphemeral => {
            begin_later(router, onset);
            cut_later(router, kills);
            return (None, ephemeral::run(router, &cell.program, cell.work));
        }
    };
    let mut friends = ours::Friends::start(router, &cell.program, face);
    let met = friends.meet(cell.work.patience.max(MEET_MIN));
    std::thread::sleep(cell.rest);
    begin_later(router, onset);
    cut_later(router, kills);
    (met, friends.talk(cell.work, Instant::now()))
}

/// One of the simple peers, which meets nobody first.
fn alone(cell: &Cell, router: &Arc<Router>, kind: echo::Kind, (onset, kills): Times) -> Outcome {
    begin_later(router, onset);
    cut_later(router, kills);
    match cell.work.load {
        Load::Stream => stream::run(router, kind, cell.work),
        Load::Texts | Load::Kilobytes | Load::Media => echo::run(router, kind, cell.work),
    }
}

fn begin_later(router: &Arc<Router>, onset: Duration) {
    if !onset.is_zero() {
        let router = Arc::downgrade(router);
        std::thread::spawn(move || {
            std::thread::sleep(onset);
            if let Some(router) = router.upgrade() {
                router.begin();
            }
        });
    }
}

fn cut_later(router: &Arc<Router>, kills: Vec<Duration>) {
    let (router, began) = (Arc::downgrade(router), Instant::now());
    std::thread::spawn(move || {
        for kill in kills {
            std::thread::sleep(kill.saturating_sub(began.elapsed()));
            let Some(router) = router.upgrade() else { return };
            router.cut();
        }
    });
}

/// From a moment to when the first text came that was due after it.
fn first_after(outcome: &Outcome, moment: Duration) -> Option<u64> {
    let after = outcome.texts.iter().filter(|(due, _)| *due >= moment);
    after
        .filter_map(|(due, took)| took.map(|took| ms((*due + took).saturating_sub(moment))))
        .min()
}

fn figures(outcome: &Outcome, onset: Duration) -> Row {
    let mut took: Vec<u64> = outcome.texts.iter().filter_map(|(_, took)| took.map(ms)).collect();
    took.sort_unstable();
    let came_at = outcome.texts.iter().map(|(due, took)| took.map(|took| ms(*due + took)));
    let all_ms = came_at
        .collect::<Option<Vec<_>>>()
        .and_then(|all| all.into_iter().max());
    let within = |most: u64| {
        let share = took.iter().filter(|took| **took <= most).count() as f64 / outcome.texts.len().max(1) as f64;
        outcome.gap_max.map(|_| (share * 1000.0).round() / 10.0)
    };
    Row {
        censor: String::new(),
        peer: String::new(),
        seed: 0,
        path_open: true,
        said: String::new(),
        sent: outcome.texts.len(),
        delivered: took.len(),
        duplicated: outcome.doubled,
        p50_ms: part(&took, 50),
        p99_ms: part(&took, 99),
        first_after_block_ms: first_after(outcome, onset),
        kills: 0,
        cuts: 0,
        all_ms,
        within_200_ms: within(200),
        within_400_ms: within(400),
        gap_max_ms: outcome.gap_max.map(ms),
        after_kill_max_ms: None,
        met_ms: None,
        wire_bytes: 0,
        handshakes: 0,
        hits: 0,
        listed: Vec::new(),
        seen: 0,
        read: outcome.read,
        residual_scale: 1.0,
        commit: String::new(),
        load: 0.0,
    }
}

/// The value below which so many of a hundred lie (nearest rank).
pub(crate) fn part(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

pub(crate) fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}

pub(crate) fn commit() -> String {
    let output = std::process::Command::new("git")
        .args(["describe", "--always", "--dirty"])
        .output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.ok()
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| "unknown".into())
}

/// Rows in a file, each written as soon as it is measured.
#[derive(Debug)]
pub struct Rows {
    file: PathBuf,
    /// All rows so far.
    pub all: Vec<Row>,
}

impl Rows {
    /// Opens a file that may hold rows already.
    pub fn open(file: &Path) -> io::Result<Self> {
        let all = match fs::read(file) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(Self { file: file.into(), all })
    }

    /// Whether this cell is measured already.
    pub fn has(&self, censor: &str, peer: Peer, seed: u64) -> bool {
        self.all
            .iter()
            .any(|row| row.censor == censor && row.peer == peer.name() && row.seed == seed)
    }

    /// Adds a row; the file is whole at any time.
    pub fn add(&mut self, row: Row) -> io::Result<()> {
        self.all.push(row);
        let fresh = self.file.with_extension("new");
        let lines: Vec<String> = self.all.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
        fs::write(&fresh, format!("[\n{}\n]\n", lines.join(",\n")))?;
        fs::rename(&fresh, &self.file)
    }

    /// A table in Markdown: a line a censor, a column a peer; delivered of sent, and the median of what came.
    pub fn table(&self) -> String {
        let mut peers: Vec<&str> = self.all.iter().map(|row| row.peer.as_str()).collect();
        peers.sort_unstable();
        peers.dedup();
        let mut lines: BTreeMap<&str, BTreeMap<&str, Vec<&Row>>> = BTreeMap::new();
        for row in &self.all {
            lines
                .entry(&row.censor)
                .or_default()
                .entry(&row.peer)
                .or_default()
                .push(row);
        }
        let mut table = format!(
            "| censor | {} |\n|---|{}\n",
            peers.join(" | "),
            "---|".repeat(peers.len())
        );
        for (censor, cells) in lines {
            let cells: Vec<String> = peers
                .iter()
                .map(|peer| cells.get(peer).map_or_else(String::new, |rows| sum(rows)))
                .collect();
            table.push_str(&format!("| {censor} | {} |\n", cells.join(" | ")));
        }
        table
    }
}

fn sum(rows: &[&Row]) -> String {
    let (sent, delivered): (usize, usize) = rows
        .iter()
        .fold((0, 0), |(a, b), row| (a + row.sent, b + row.delivered));
    let mut medians: Vec<u64> = rows.iter().filter_map(|row| row.p50_ms).collect();
    medians.sort_unstable();
    match part(&medians, 50) {
        Some(median) => format!("{delivered}/{sent}, {median} ms"),
        None => format!("{delivered}/{sent}"),
    }
}

/// The cells of the kill run: every way to hold a conversation, ten cuts in each, one each four seconds.
pub const KILL_PEERS: [Peer; 5] = [
    Peer::Stonechat,
    Peer::StonechatTwo,
    Peer::StonechatHop,
    Peer::StonechatListed,
    Peer::StonechatPlain,
];

/// Cuts of one of them.
pub const KILLS: usize = 10;
/// The next text comes within so long of a cut, in ms.
pub const AFTER_KILL_MS_MAX: u64 = 5_000;

/// What a row of the kill run breaks.
pub fn broken_by_kills(row: &Row) -> Vec<String> {
    let asked = [
        (
            row.delivered == row.sent,
            format!("{} of {} came", row.delivered, row.sent),
        ),
        (row.duplicated == 0, format!("{} came twice", row.duplicated)),
        (row.kills == KILLS, format!("{} kills", row.kills)),
        (row.cuts >= KILLS as u64, format!("{} connections were cut", row.cuts)),
        (
            row.after_kill_max_ms.is_some_and(|after| after <= AFTER_KILL_MS_MAX),
            format!("the next after {:?} ms", row.after_kill_max_ms),
        ),
    ];
    let broken = asked.into_iter().filter(|(holds, _)| !holds);
    broken.map(|(_, what)| format!("{}: {what}", row.peer)).collect()
}

/// What the smoke matrix asks: which of [`SMOKE_PEERS`] get everything through, and which nothing.
pub const SMOKE: [(&str, [Through; 3]); 8] = [
    ("none", [Through::All, Through::All, Through::All]),
    ("ru-sni-drop", [Through::Nothing, Through::All, Through::All]),
    ("ru-sni-rst", [Through::Nothing, Through::All, Through::All]),
    ("ru-nsdi-dns", [Through::Nothing, Through::All, Through::All]),
    ("cn-fet-always", [Through::All, Through::All, Through::All]),
    ("ir-protofilter", [Through::All, Through::All, Through::All]),
    ("tls-only", [Through::All, Through::Nothing, Through::All]),
    ("shutdown", [Through::Nothing, Through::Nothing, Through::Nothing]),
];

/// The peers of the smoke matrix.
pub const SMOKE_PEERS: [Peer; 3] = [Peer::TlsBlocked, Peer::WebSocket, Peer::Stonechat];

/// What is asked besides, of people and probers: through what, and whether anything is listed.
pub const SMOKE_PEOPLE: [(&str, Peer, Through, bool); 6] = [
    ("ru-invite-reader", Peer::StonechatTwo, Through::All, true),
    ("ru-insider-10pct", Peer::StonechatPrivate, Through::All, true),
    ("ru-honeypot-relay", Peer::StonechatTwo, Through::All, false),
    ("ru-honeypot-relay", Peer::Stonechat, Through::Some, false),
    ("cn-probe", Peer::StonechatPlain, Through::All, false),
    ("cn-probe", Peer::Obfs4, Through::Some, true),
];

/// What a row of [`SMOKE_PEOPLE`] breaks.
pub fn broken_by_people(row: &Row, through: Through, is_listed: bool) -> Vec<String> {
    let asked = [
        (through.holds(row), format!("{} of {} came", row.delivered, row.sent)),
        (
            row.listed.is_empty() != is_listed,
            format!("listed is {:?}", row.listed),
        ),
        (row.read == 0, format!("{} were read", row.read)),
    ];
    let broken = asked.into_iter().filter(|(holds, _)| !holds);
    broken
        .map(|(_, what)| format!("{} × {}: {what}", row.censor, row.peer))
        .collect()
}

/// How much must come through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Through {
    /// Every text, once.
    All,
    /// Not all, and not nothing.
    Some,
    /// Not one.
    Nothing,
}

impl Through {
    /// Whether a row is so.
    pub const fn holds(self, row: &Row) -> bool {
        match self {
            Self::All => row.delivered == row.sent && row.duplicated == 0,
            Self::Some => row.delivered > 0 && row.delivered < row.sent && row.duplicated == 0,
            Self::Nothing => row.delivered == 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(took_ms: &[Option<u64>]) -> Outcome {
        let texts = took_ms.iter().enumerate();
        let texts = texts.map(|(n, took)| (Duration::from_secs(n as u64), took.map(Duration::from_millis)));
        Outcome {
            texts: texts.collect(),
            doubled: 0,
            gap_max: None,
            read: 0,
        }
    }

    #[test]
    fn figures_are_of_what_came() {
        let row = figures(&outcome(&[Some(30), None, Some(10), Some(20)]), Duration::from_secs(1));
        assert_eq!(
            (row.sent, row.delivered, row.p50_ms, row.p99_ms),
            (4, 3, Some(20), Some(30))
        );
        assert_eq!(
            row.first_after_block_ms,
            Some(1010),
            "the third text, a second after the block"
        );
        assert_eq!(figures(&outcome(&[None]), Duration::ZERO).p50_ms, None);
        assert_eq!(row.all_ms, None, "one did not come");
        assert_eq!(
            figures(&outcome(&[Some(30), Some(10)]), Duration::ZERO).all_ms,
            Some(1010)
        );
    }

    #[test]
    fn a_stream_is_measured_by_what_was_late() {
        let mut stream = outcome(&[Some(200), Some(201), None, Some(401)]);
        let row = figures(&stream, Duration::ZERO);
        assert_eq!((row.within_200_ms, row.gap_max_ms), (None, None), "no stream");
        stream.gap_max = Some(Duration::from_millis(300));
        let row = figures(&stream, Duration::ZERO);
        assert_eq!(
            (row.within_200_ms, row.within_400_ms, row.gap_max_ms),
            (Some(25.0), Some(50.0), Some(300))
        );
    }

    #[test]
    fn a_file_of_rows_is_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rows.json");
        let mut rows = Rows::open(&file).unwrap();
        let mut row = figures(&outcome(&[Some(5)]), Duration::ZERO);
        (row.censor, row.peer, row.seed) = ("none".into(), "stonechat".into(), 3);
        rows.add(row).unwrap();
        let again = Rows::open(&file).unwrap();
        assert!(again.has("none", Peer::Stonechat, 3) && !again.has("none", Peer::Stonechat, 4));
        assert_eq!(again.all, rows.all);
        assert!(again.table().contains("| none | 1/1, 5 ms |"), "{}", again.table());
        fs::write(&file, "[{").unwrap();
        assert!(Rows::open(&file).is_err(), "a broken file is not written over");
    }

    #[test]
    fn a_row_of_kills_is_held_to_every_promise() {
        let mut row = figures(&outcome(&[Some(1), Some(1)]), Duration::ZERO);
        (row.kills, row.cuts, row.after_kill_max_ms) = (KILLS, KILLS as u64, Some(AFTER_KILL_MS_MAX));
        assert_eq!(broken_by_kills(&row), Vec::<String>::new());
        for spoil in [
            |row: &mut Row| row.delivered = 1,
            |row: &mut Row| row.duplicated = 1,
            |row: &mut Row| row.kills -= 1,
            |row: &mut Row| row.cuts = 0,
            |row: &mut Row| row.after_kill_max_ms = None,
            |row: &mut Row| row.after_kill_max_ms = Some(AFTER_KILL_MS_MAX + 1),
        ] {
            let mut spoiled = row.clone();
            spoil(&mut spoiled);
            assert_eq!(broken_by_kills(&spoiled).len(), 1, "{spoiled:?}");
        }
    }

    #[test]
    fn a_row_of_people_is_held_to_what_came_what_is_listed_and_what_was_read() {
        let mut row = figures(&outcome(&[Some(1), Some(1)]), Duration::ZERO);
        assert_eq!(broken_by_people(&row, Through::All, false), Vec::<String>::new());
        assert_eq!(broken_by_people(&row, Through::All, true).len(), 1, "nothing is listed");
        (row.delivered, row.listed, row.read) = (1, vec!["a.example".into()], 1);
        assert_eq!(broken_by_people(&row, Through::All, false).len(), 3);
        assert_eq!(broken_by_people(&row, Through::Some, true).len(), 1, "one was read");
    }

    #[test]
    fn nothing_and_all_are_told_apart() {
        let row = |took: &[Option<u64>]| figures(&outcome(took), Duration::ZERO);
        assert!(Through::All.holds(&row(&[Some(1)])) && !Through::All.holds(&row(&[Some(1), None])));
        assert!(Through::Nothing.holds(&row(&[None])) && !Through::Nothing.holds(&row(&[Some(1), None])));
        let some = [&[Some(1), None][..], &[Some(1)], &[None]].map(|took| Through::Some.holds(&row(took)));
        assert_eq!(some, [true, false, false]);
    }
}
