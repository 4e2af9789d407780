//! The lab on the command line: one cell, or a matrix of them; or what flows look like from outside. `cargo xtask lab` builds and runs it.
//!
//! In: words. Out: rows on standard output or in a file, progress on standard error, and whether all went as it must.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program of the command line")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::{Args, Parser};
use stonechat_lab::back::{self, BACK_MAX, Wish};
use stonechat_lab::censor::Censor;
use stonechat_lab::flows::features::{GROUPS, Group, named};
use stonechat_lab::flows::judge::{Verdict, alone, judge};
use stonechat_lab::flows::stage::{Recorded, Wish as FlowWish, record};
use stonechat_lab::flows::tap::Flow;
use stonechat_lab::matrix::{
    Cell, KILL_PEERS, KILLS, Row, Rows, SMOKE, SMOKE_PEERS, SMOKE_PEOPLE, Through, broken_by_kills, broken_by_people,
    measure,
};
use stonechat_lab::peer::{LOADS, Load, PEERS, Peer, Work};
use stonechat_lab::router::Link;

/// Measures peers under censors.
#[derive(Debug, Parser)]
#[command(name = "lab")]
enum Line {
    /// One censor, one peer; prints the row.
    Run(Run),
    /// Censors × peers × seeds, into a file.
    Matrix(Matrix),
    /// Fifty cuts of all connections, ten in each of five labs at once; ends badly when a text is lost, doubled or late.
    Kills(Kills),
    /// Blocks all relays that fifty people know at once, and looks who comes back through a contact's.
    Back(Back),
    /// Records flows of a Chromium's page, of the dialer and of rustls, prints their fingerprints, and how well a classifier
    /// tells them apart.
    Flows(Flows),
}

#[derive(Debug, Args)]
struct Run {
    /// File of the censor.
    #[arg(long)]
    censor: PathBuf,
    /// Name of the peer.
    #[arg(long, value_parser = peer)]
    peer: Peer,
    /// Seed of the lab's dice.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    amount: Amount,
}

#[derive(Debug, Args)]
struct Matrix {
    /// Few censors, peers and texts; ends badly when one does not do what it must.
    #[arg(long)]
    smoke: bool,
    /// Folder of censors.
    #[arg(long, default_value = "crates/lab/censors")]
    censors: PathBuf,
    /// Names of peers; all without.
    #[arg(long, value_delimiter = ',', value_parser = peer)]
    peers: Vec<Peer>,
    /// So many seeds.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Begin no cell after so many minutes.
    #[arg(long)]
    minutes: Option<u64>,
    /// The rows; gone on with if it is there.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    amount: Amount,
}

#[derive(Debug, Args)]
struct Kills {
    /// Folder of censors.
    #[arg(long, default_value = "crates/lab/censors")]
    censors: PathBuf,
    /// Seed of the first lab's dice.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Args)]
struct Back {
    /// File of the censor.
    #[arg(long, default_value = "crates/lab/censors/hosting-blocked-in-conversation.toml")]
    censor: PathBuf,
    /// So many people.
    #[arg(long, default_value_t = 50)]
    people: usize,
    /// Seed of the lab's dice.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seconds that are waited for them.
    #[arg(long, default_value_t = BACK_MAX.as_secs())]
    patience_s: u64,
    /// Their contacts have no relays to deal: nobody can come back.
    #[arg(long)]
    nothing_dealt: bool,
}

#[derive(Debug, Args)]
struct Flows {
    /// So many of each kind.
    #[arg(long, default_value_t = 500)]
    flows: usize,
    /// Pairs of people of each kind: more are faster, and make the machine busier.
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// Give up after so many minutes.
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// Seeds of the halves that are learned from and judged; each figure is the middle of so many.
    #[arg(long, default_value_t = 5)]
    seeds: u64,
    /// The Chromium.
    #[arg(long, default_value = "/usr/bin/chromium-headless-shell")]
    chromium: PathBuf,
    /// What was recorded; judged again, and nothing recorded, if it is there.
    #[arg(long)]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, Args)]
struct Amount {
    /// What is said: `texts`, `kilobytes`, `media` (voice notes, and a photo's preview every fifth), or `stream` (60 bytes
    /// at a time, both ways).
    #[arg(long, default_value = "texts", value_parser = load)]
    load: Load,
    /// So often, at random times, all connections are cut.
    #[arg(long, default_value_t = 0)]
    kills: usize,
    /// Texts in a cell.
    #[arg(long, default_value_t = 40)]
    texts: usize,
    /// Milliseconds between two texts.
    #[arg(long, default_value_t = 500)]
    pace_ms: u64,
    /// Seconds after the last text.
    #[arg(long, default_value_t = 60)]
    patience_s: u64,
    /// Seconds between the meeting of two people and the first text: what was begun for it has run out by then.
    #[arg(long, default_value_t = 0)]
    rest_s: u64,
    /// Percent of packets lost.
    #[arg(long, default_value_t = 0.0)]
    loss: f64,
    /// Residual times of censors are divided by it.
    #[arg(long, default_value_t = 1.0)]
    residual_scale: f64,
}

impl Amount {
    const SMOKE: Self = Self {
        load: Load::Texts,
        kills: 0,
        texts: 6,
        pace_ms: 250,
        patience_s: 10,
        rest_s: 0,
        loss: 0.0,
        residual_scale: 1.0,
    };
    /// Four seconds of texts: people's lists and probers' begin in the middle of them.
    const SMOKE_PEOPLE: Self = Self {
        texts: 16,
        patience_s: 25,
        ..Self::SMOKE
    };
    /// 120 texts in 48 seconds: a cut each four to five.
    const KILLS: Self = Self {
        load: Load::Texts,
        kills: KILLS,
        texts: 120,
        pace_ms: 400,
        patience_s: 20,
        rest_s: 0,
        loss: 0.0,
        residual_scale: 1.0,
    };

    fn cell(self, censor: Censor, peer: Peer, seed: u64) -> anyhow::Result<Cell> {
        if !peer.says(self.load) {
            bail!("{} does not say {}", peer.name(), self.load.name());
        }
        Ok(Cell {
            censor,
            peer,
            seed,
            kills: self.kills,
            work: Work {
                load: self.load,
                texts: self.texts,
                pace: Duration::from_millis(self.pace_ms),
                patience: Duration::from_secs(self.patience_s),
            },
            rest: Duration::from_secs(self.rest_s),
            link: Link {
                loss_percent: self.loss,
                ..Link::default()
            },
            residual_scale: self.residual_scale,
            program: program()?,
        })
    }
}

fn peer(name: &str) -> Result<Peer, String> {
    let names = PEERS.map(Peer::name).join(", ");
    Peer::named(name).ok_or_else(|| format!("there are {names}"))
}

fn load(name: &str) -> Result<Load, String> {
    let names = LOADS.map(Load::name).join(", ");
    Load::named(name).ok_or_else(|| format!("there are {names}"))
}

/// Stonechat's program: the one named, or the one beside this one.
fn program() -> anyhow::Result<PathBuf> {
    let beside = std::env::current_exe()?.with_file_name("stonechat");
    let program = std::env::var_os("STONECHAT_BIN").map_or(beside, PathBuf::from);
    program.is_file().then_some(program).context("stonechat is not built")
}

fn main() -> ExitCode {
    let done = match Line::parse() {
        Line::Run(run) => one(&run),
        Line::Matrix(matrix) => all(&matrix),
        Line::Kills(wish) => kills(&wish),
        Line::Back(wish) => back(&wish),
        Line::Flows(wish) => flows(&wish),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn one(run: &Run) -> anyhow::Result<bool> {
    let censor = Censor::read(&run.censor).with_context(|| run.censor.display().to_string())?;
    let row = measure(&run.amount.cell(censor, run.peer, run.seed)?)?;
    println!("{}", serde_json::to_string(&row)?);
    Ok(true)
}

fn kills(wish: &Kills) -> anyhow::Result<bool> {
    let file = wish.censors.join("none.toml");
    let censor = Censor::read(&file).with_context(|| file.display().to_string())?;
    let cells = (wish.seed..).zip(KILL_PEERS);
    let cells = cells.map(|(seed, peer)| Amount::KILLS.cell(censor.clone(), peer, seed));
    let cells = cells.collect::<anyhow::Result<Vec<_>>>()?;
    let labs: Vec<_> = cells
        .into_iter()
        .map(|cell| std::thread::spawn(move || measure(&cell)))
        .collect();
    let mut is_right = true;
    for lab in labs {
        let row = lab.join().map_err(|_| anyhow::anyhow!("a lab ended early"))??;
        println!("{}", serde_json::to_string(&row)?);
        for broken in broken_by_kills(&row) {
            eprintln!("{broken}");
            is_right = false;
        }
    }
    Ok(is_right)
}

/// Nine of ten must be back.
fn back(wish: &Back) -> anyhow::Result<bool> {
    let returned = back::measure(&Wish {
        people: wish.people / 2 * 2,
        deals: !wish.nothing_dealt,
        censor: Censor::read(&wish.censor).with_context(|| wish.censor.display().to_string())?,
        seed: wish.seed,
        patience: Duration::from_secs(wish.patience_s),
        program: program()?,
    })?;
    println!("{}", serde_json::to_string(&returned)?);
    Ok(returned.back * 10 >= returned.asked * 9)
}

fn flows(wish: &Flows) -> anyhow::Result<bool> {
    if !wish.out.exists() {
        let patience = Duration::from_secs(wish.minutes * 60);
        let (flows, pairs) = (wish.flows, wish.pairs);
        let wanted = FlowWish { flows, pairs, patience };
        let recorded = record(&program()?, &wish.chromium, wanted)?;
        std::fs::write(&wish.out, serde_json::to_vec(&recorded)?)?;
    }
    let recorded: Recorded = serde_json::from_slice(&std::fs::read(&wish.out)?)?;
    let kinds = [
        ("page", &recorded.page),
        ("page again", &recorded.again),
        ("dialer", &recorded.dialer),
        ("rustls", &recorded.rustls),
    ];
    println!("| flows | JA4 | of a hundred |\n|---|---|---|");
    for (name, flows) in kinds {
        for (ja4, share) in fingerprints(flows) {
            println!("| {name} ({}) | `{ja4}` | {share:.0} |", flows.len());
        }
    }
    println!("\n| told from the page | by | logistic: found, area | nearest: found, area |\n|---|---|---|---|");
    for (name, flows) in &kinds[1..] {
        for group in GROUPS {
            let (logistic, nearest) = judged(group, flows, &recorded.page, wish.seeds);
            let cell = |(found, area): (f64, f64)| format!("{found:.1} %, {area:.3}");
            println!("| {name} | {} | {} | {} |", group.name(), cell(logistic), cell(nearest));
        }
    }
    println!("\n| told from the page | by one number alone | found |\n|---|---|---|");
    for (name, flows) in &kinds[1..] {
        for (number, found) in strongest(flows, &recorded.page) {
            println!("| {name} | {number} | {found:.0} % |");
        }
    }
    Ok(true)
}

/// The five numbers that tell most by themselves.
fn strongest(one: &[Flow], other: &[Flow]) -> Vec<(String, f64)> {
    let numbers = |flows: &[Flow]| flows.iter().map(named).collect::<Vec<_>>();
    let (one, other) = (numbers(one), numbers(other));
    let names = one
        .first()
        .map(|flow| flow.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
    let column = |flows: &[Vec<(String, f64)>], at: usize| {
        flows
            .iter()
            .filter_map(|flow| Some(flow.get(at)?.1))
            .collect::<Vec<_>>()
    };
    let judged = |(at, name)| (name, alone(&column(&one, at), &column(&other, at)));
    let mut found: Vec<(String, f64)> = names.unwrap_or_default().into_iter().enumerate().map(judged).collect();
    found.sort_by(|a, b| b.1.total_cmp(&a.1));
    found.truncate(5);
    found
}

/// Fingerprints by how often they were seen, in percent.
fn fingerprints(flows: &[Flow]) -> Vec<(String, f64)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for flow in flows {
        *counts.entry(&flow.ja4).or_default() += 1;
    }
    let share = |count: usize| 100.0 * count as f64 / flows.len().max(1) as f64;
    let mut shares: Vec<_> = counts
        .iter()
        .map(|(ja4, count)| ((*ja4).to_owned(), share(*count)))
        .collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    shares
}

/// The middle of all seeds: found and area, of both classifiers.
fn judged(group: Group, one: &[Flow], other: &[Flow], seeds: u64) -> ((f64, f64), (f64, f64)) {
    let numbers = |flows: &[Flow]| flows.iter().map(|flow| group.of(flow)).collect::<Vec<_>>();
    let (one, other) = (numbers(one), numbers(other));
    let verdicts: Vec<_> = (1..=seeds.max(1)).map(|seed| judge(&one, &other, seed)).collect();
    let middle = |value: &dyn Fn(&Verdict) -> f64| {
        let mut all: Vec<f64> = verdicts.iter().map(value).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or_default()
    };
    (
        (middle(&|v| v.logistic.0), middle(&|v| v.logistic.1)),
        (middle(&|v| v.nearest.0), middle(&|v| v.nearest.1)),
    )
}

fn all(matrix: &Matrix) -> anyhow::Result<bool> {
    let began = Instant::now();
    let mut rows = Rows::open(&matrix.out).with_context(|| matrix.out.display().to_string())?;
    let cells = cells(matrix)?;
    let count = cells.len();
    for (n, cell) in cells.into_iter().enumerate() {
        if matrix
            .minutes
            .is_some_and(|minutes| began.elapsed() > Duration::from_secs(minutes * 60))
        {
            break;
        }
        if !rows.has(&cell.censor.id, cell.peer, cell.seed) {
            let row = measure(&cell)?;
            let Row { delivered, sent, .. } = row;
            let (censor, peer) = (&cell.censor.id, cell.peer.name());
            eprintln!(
                "{}/{count} {censor} {peer} {}: {delivered}/{sent} ({:?})",
                n + 1,
                cell.seed,
                began.elapsed()
            );
            rows.add(row)?;
        }
    }
    println!("{}", rows.table());
    Ok(!matrix.smoke || is_as_it_must_be(&rows))
}

fn cells(matrix: &Matrix) -> anyhow::Result<Vec<Cell>> {
    let mut censors = Censor::read_all(&matrix.censors).with_context(|| folder_name(&matrix.censors))?;
    let (mut peers, mut amount) = (matrix.peers.clone(), matrix.amount);
    let mut cells = Vec::new();
    if matrix.smoke {
        cells = people(&censors)?;
        censors.retain(|censor| SMOKE.iter().any(|(id, _)| *id == censor.id));
        (peers, amount) = (SMOKE_PEERS.to_vec(), Amount::SMOKE);
    }
    if peers.is_empty() {
        peers = PEERS.into_iter().filter(|peer| peer.says(amount.load)).collect();
    }
    if censors.is_empty() {
        bail!("no censors in {}", matrix.censors.display());
    }
    for seed in 1..=matrix.seeds {
        for censor in &censors {
            for peer in &peers {
                cells.push(amount.cell(censor.clone(), *peer, seed)?);
            }
        }
    }
    Ok(cells)
}

/// The smoke matrix's cells of people and probers.
fn people(censors: &[Censor]) -> anyhow::Result<Vec<Cell>> {
    let cell = |(id, peer, through, _): (&str, Peer, Through, _)| {
        let censor = censors.iter().find(|censor| censor.id == id);
        let censor = censor.with_context(|| format!("no censor {id}"))?;
        let mut amount = Amount::SMOKE_PEOPLE;
        if through != Through::All {
            // What does not come is not waited for.
            amount.patience_s = 1;
        }
        amount.cell(censor.clone(), peer, 1)
    };
    SMOKE_PEOPLE.into_iter().map(cell).collect()
}

fn folder_name(folder: &Path) -> String {
    format!("censors of {}", folder.display())
}

/// Holds the smoke matrix against what it must be, and says where it is not.
fn is_as_it_must_be(rows: &Rows) -> bool {
    let mut is_right = true;
    for (censor, expected) in SMOKE {
        for (peer, through) in SMOKE_PEERS.into_iter().zip(expected) {
            let row = rows
                .all
                .iter()
                .find(|row| row.censor == censor && row.peer == peer.name());
            if !row.is_some_and(|row| through.holds(row)) {
                eprintln!("{censor} × {}: {through:?} must come through; {row:?}", peer.name());
                is_right = false;
            }
        }
    }
    for (censor, peer, through, is_listed) in SMOKE_PEOPLE {
        let mut all = rows.all.iter();
        let row = all.find(|row| row.censor == censor && row.peer == peer.name());
        let broken = row.map_or_else(
            || vec![format!("{censor} × {} is missing", peer.name())],
            |row| broken_by_people(row, through, is_listed),
        );
        broken.iter().for_each(|what| eprintln!("{what}"));
        is_right &= broken.is_empty();
    }
    is_right
}
