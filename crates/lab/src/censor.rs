//! Censors as data: one file each, written down from reports, papers and measurements.
//!
//! In: the text of a file (`crates/lab/censors/*.toml`, format in `docs/lab.md`). Out: a [`Censor`], or where and why
//! the file is none. What a censor does to packets is [`machine`]'s job; what it can read in them is [`sight`]'s.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub mod listed;
pub mod machine;
pub mod people;
pub mod probe;
pub mod sight;

use people::{PEOPLE_MAX, Person};
use probe::Probe;

/// Most rules in one file.
pub const RULES_MAX: usize = 16;

/// One censor.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Censor {
    /// Its name, the same as its file's.
    pub id: String,
    /// In one sentence, what it does.
    pub about: String,
    /// Where that is known from.
    pub source: String,
    /// Since when it is seen, as the source has it.
    #[serde(default)]
    pub since: String,
    /// How well it is known.
    pub confidence: Confidence,
    /// Whether any way out is left for texts: what a peer is measured by.
    #[serde(default = "yes")]
    pub path_open: bool,
    /// The work's seconds after which it begins; 0: it was there before anybody met.
    #[serde(default)]
    pub onset_s: f64,
    /// What it does, each rule by itself.
    #[serde(default)]
    pub rule: Vec<Rule>,
    /// Who serves it.
    #[serde(default)]
    pub person: Vec<Person>,
}

/// How well a model is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// Measured, and the measurement can be repeated.
    Measured,
    /// From a paper.
    Paper,
    /// Reports of several people from the field.
    Field,
    /// One report, or a plan that was announced.
    Report,
    /// Made up, to ask what would be.
    Invented,
}

/// One thing that a censor does.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Which flows; everything that is named must fit.
    #[serde(default, rename = "match")]
    pub fits: Match,
    /// After how much of it; without: at once.
    #[serde(default)]
    pub count: Option<Count>,
    /// What happens to them.
    pub action: Action,
    /// Whom else it hits afterwards.
    #[serde(default)]
    pub residual: Option<Residual>,
    /// How well it reads a ClientHello that comes in pieces.
    #[serde(default)]
    pub reassembly: Reassembly,
    /// Of a hundred flows that fit, so many are hit.
    #[serde(default = "hundred")]
    pub percent: u8,
}

/// Which flows a rule is about.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// `tcp` or `udp`; without: both, and all else.
    pub proto: Option<Proto>,
    /// Networks the server is in: zones of the lab, or `a.b.c.d/n`.
    #[serde(default)]
    pub to: Vec<Net>,
    /// Networks it must not be in.
    #[serde(default)]
    pub not_to: Vec<Net>,
    /// Ports of the server.
    #[serde(default)]
    pub port: Vec<u16>,
    /// Ports it must not have.
    #[serde(default)]
    pub not_port: Vec<u16>,
    /// Names in the ClientHello: `name`, `*.name`, or `*` for any name at all.
    #[serde(default)]
    pub sni: Vec<String>,
    /// Names that let a flow pass; a flow without a name does not pass.
    #[serde(default)]
    pub not_sni: Vec<String>,
    /// JA4 of the ClientHello.
    #[serde(default)]
    pub ja4: Vec<String>,
    /// What the client's first bytes look like; one of these.
    #[serde(default)]
    pub first: Vec<First>,
    /// Names asked for over DNS.
    #[serde(default)]
    pub qname: Vec<String>,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proto {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// What a flow's first bytes from the client look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum First {
    /// A TLS ClientHello.
    Tls,
    /// Anything but TLS.
    NotTls,
    /// Neither TLS, nor HTTP, nor DNS.
    NoProtocol,
    /// As random as ciphertext from the first byte (Wu et al. 2023, algorithm 1).
    Encrypted,
    /// A plain HTTP request that asks for a WebSocket.
    WebSocket,
}

/// After how much of a flow a rule takes hold: all that are named.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// More packets with data than this, both ways together.
    pub packets: Option<u32>,
    /// More bytes of data than this, from the server.
    pub bytes: Option<u64>,
    /// At least so many ClientHellos with one name to one address and port …
    pub hellos: Option<u32>,
    /// … within so many seconds …
    pub window_s: Option<f64>,
    /// … of one client; without, of all clients together.
    #[serde(default)]
    pub per_client: bool,
}

/// What happens to a flow that a rule has taken hold of.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// Its packets vanish.
    Drop {
        /// Which of them.
        #[serde(default)]
        direction: Direction,
    },
    /// Both ends get forged RSTs; the packets themselves pass.
    Rst,
    /// Nothing yet: it is noted, and the residual drops whom it hits.
    List,
    /// Nothing yet: the server is spoken to, and the residual drops it if it is taken for a proxy.
    Probe(Probe),
    /// More than so many bytes in a second, each way, vanish.
    Police {
        /// Bytes in a second.
        bytes_per_s: u64,
    },
    /// A question is answered with a lie.
    ForgeDns {
        /// The lie; without: there is no such name.
        answer: Option<Ipv4Addr>,
        /// Whether the question still reaches the resolver, so that the truth comes second.
        #[serde(default)]
        truth_follows: bool,
    },
}

/// Which way packets go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To the server.
    Out,
    /// From the server.
    In,
    /// Both.
    #[default]
    Both,
}

/// Whom a rule hits after it has taken hold once: new flows are treated like the first, without being looked at.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Residual {
    /// Which flows.
    pub scope: Scope,
    /// For so long.
    pub seconds: f64,
    /// Beginning so long after: a list is made first, then sent out.
    #[serde(default)]
    pub after_s: f64,
    /// Whether each try begins the time anew.
    #[serde(default)]
    pub reset_on_retry: bool,
}

/// Which flows share a fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// One client to one server's port.
    Triple,
    /// One client to one server.
    Pair,
    /// Everybody to one server's port.
    Server,
}

/// How well a censor reads a ClientHello that comes in pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reassembly {
    /// It looks at the first packet with data.
    #[default]
    None,
    /// It puts TCP segments together, and reads one TLS record.
    Tcp,
    /// It puts TLS records together too.
    TcpAndRecords,
}

/// A network: a zone of the lab, or a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Net {
    base: u32,
    mask: u32,
}

/// The zones of the lab and their networks.
pub const ZONES: [(&str, &str); 5] = [
    ("inside", "10.77.0.0/24"),
    ("domestic", "10.77.1.0/24"),
    ("hosting", "203.0.113.0/24"),
    ("residential", "198.51.100.0/24"),
    ("listed", "192.0.2.0/24"),
];

impl Net {
    /// Whether an address is in it.
    pub const fn holds(self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask == self.base
    }
}

impl TryFrom<String> for Net {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let zone = ZONES.iter().find(|(name, _)| *name == text).map(|(_, net)| *net);
        let wrong = || format!("{text} is neither a zone of the lab nor a network such as 203.0.113.0/24");
        let (address, bits) = zone.unwrap_or(&text).split_once('/').ok_or_else(wrong)?;
        let address: Ipv4Addr = address.parse().map_err(|_| wrong())?;
        let bits: u32 = bits.parse().ok().filter(|bits| *bits <= 32).ok_or_else(wrong)?;
        let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
        Ok(Self {
            base: address.to_bits() & mask,
            mask,
        })
    }
}

/// Why a file is no censor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CensorError {
    /// It cannot be read.
    #[error("{0}: {1}")]
    Io(PathBuf, std::io::Error),
    /// It is no TOML, or not of this form.
    #[error("{0}")]
    Form(#[from] Box<toml::de::Error>),
    /// Too many rules.
    #[error("more than {RULES_MAX} rules")]
    TooManyRules,
    /// Too many people.
    #[error("more than {PEOPLE_MAX} people")]
    TooManyPeople,
    /// A number that makes no sense.
    #[error("{0} makes no sense")]
    Value(&'static str),
    /// A rule that forges answers without saying to which questions, or the other way round.
    #[error("qname and the action forge-dns go together")]
    Dns,
    /// A list that is not there.
    #[error("no list {0} beside the file")]
    List(String),
    /// Its id is not its file's name.
    #[error("the id is {0}, the file is {1}")]
    Name(String, String),
}

impl Censor {
    /// Nobody censors.
    pub fn nobody() -> Self {
        Self {
            id: "none".into(),
            about: "Nobody censors.".into(),
            source: "none".into(),
            since: String::new(),
            confidence: Confidence::Measured,
            path_open: true,
            onset_s: 0.0,
            rule: Vec::new(),
            person: Vec::new(),
        }
    }

    /// Whether it probes.
    pub fn probes(&self) -> bool {
        self.rule.iter().any(|rule| matches!(rule.action, Action::Probe(_)))
    }

    /// Reads a file, and the lists beside it that it names.
    pub fn read(path: &Path) -> Result<Self, CensorError> {
        let text = std::fs::read_to_string(path).map_err(|error| CensorError::Io(path.into(), error))?;
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        let mut lists = BTreeMap::new();
        for name in list_names(&text) {
            let file = folder.join("lists").join(format!("{name}.txt"));
            let list = std::fs::read_to_string(&file).map_err(|_| CensorError::List(name.clone()))?;
            lists.insert(name, list);
        }
        let censor = Self::parse(&text, &lists)?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if censor.id != stem {
            return Err(CensorError::Name(censor.id, stem));
        }
        Ok(censor)
    }

    /// Reads a file's text. A name `@list` stands for all lines of that list.
    pub fn parse(text: &str, lists: &BTreeMap<String, String>) -> Result<Self, CensorError> {
        let mut censor: Self = toml::from_str(text).map_err(Box::new)?;
        if censor.rule.len() > RULES_MAX {
            return Err(CensorError::TooManyRules);
        }
        if censor.person.len() > PEOPLE_MAX {
            return Err(CensorError::TooManyPeople);
        }
        check_seconds(censor.onset_s, "onset_s")?;
        censor.person.iter().try_for_each(Person::check)?;
        for rule in &mut censor.rule {
            rule.check()?;
            for names in [&mut rule.fits.sni, &mut rule.fits.not_sni, &mut rule.fits.qname] {
                *names = spelled_out(names, lists)?;
            }
        }
        Ok(censor)
    }

    /// All files of a folder, in the order of their names.
    pub fn read_all(folder: &Path) -> Result<Vec<Self>, CensorError> {
        let io = |error| CensorError::Io(folder.into(), error);
        let entries = std::fs::read_dir(folder).map_err(io)?;
        let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.retain(|file| file.extension().is_some_and(|ending| ending == "toml"));
        files.sort();
        files.iter().map(|file| Self::read(file)).collect()
    }
}

impl Rule {
    fn check(&self) -> Result<(), CensorError> {
        if self.percent == 0 || self.percent > 100 {
            return Err(CensorError::Value("percent"));
        }
        let forges = matches!(self.action, Action::ForgeDns { .. });
        if forges == self.fits.qname.is_empty() {
            return Err(CensorError::Dns);
        }
        if matches!(self.action, Action::Police { bytes_per_s: 0 }) {
            return Err(CensorError::Value("bytes_per_s"));
        }
        if self.action == Action::List && self.residual.is_none() {
            return Err(CensorError::Value("a list without a residual"));
        }
        if let Action::Probe(probe) = &self.action {
            self.check_probe(probe)?;
        }
        if let Some(count) = &self.count {
            count.check()?;
        }
        if let Some(residual) = &self.residual {
            check_seconds(residual.seconds, "residual.seconds")?;
            check_seconds(residual.after_s, "residual.after_s")?;
        }
        Ok(())
    }

    /// What is probed is a server, by what its client said first.
    fn check_probe(&self, probe: &Probe) -> Result<(), CensorError> {
        probe.check()?;
        if self.fits.first.is_empty() {
            return Err(CensorError::Value("a probe without match.first"));
        }
        if self.residual.is_none_or(|residual| residual.scope != Scope::Server) {
            return Err(CensorError::Value("a probe without a residual of scope server"));
        }
        Ok(())
    }
}

impl Count {
    fn check(&self) -> Result<(), CensorError> {
        if self.hellos.is_some() != self.window_s.is_some() {
            return Err(CensorError::Value(
                "hellos without window_s, or window_s without hellos,",
            ));
        }
        if self.packets.is_none() && self.bytes.is_none() && self.hellos.is_none() {
            return Err(CensorError::Value("a count of nothing"));
        }
        check_seconds(self.window_s.unwrap_or(0.0), "window_s")
    }
}

/// Up to a day.
fn check_seconds(seconds: f64, what: &'static str) -> Result<(), CensorError> {
    if (0.0..=86_400.0).contains(&seconds) {
        Ok(())
    } else {
        Err(CensorError::Value(what))
    }
}

fn list_names(text: &str) -> Vec<String> {
    let words = text.split('"').filter_map(|word| word.strip_prefix('@'));
    words
        .filter(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'))
        .map(str::to_owned)
        .collect()
}

fn spelled_out(names: &[String], lists: &BTreeMap<String, String>) -> Result<Vec<String>, CensorError> {
    let mut all = Vec::new();
    for name in names {
        match name.strip_prefix('@') {
            None => all.push(name.to_lowercase()),
            Some(list) => {
                let text = lists.get(list).ok_or_else(|| CensorError::List(list.to_owned()))?;
                let lines = text.lines().map(str::trim);
                all.extend(
                    lines
                        .filter(|line| !line.is_empty() && !line.starts_with('#'))
                        .map(str::to_lowercase),
                );
            }
        }
    }
    Ok(all)
}

const fn yes() -> bool {
    true
}

const fn hundred() -> u8 {
    100
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: &str = "id = 'x'\nabout = 'y'\nsource = 'z'\nconfidence = 'field'\n";

    const PROBE: &str =
        "action = { kind = 'probe', with = ['http'], after_s = 1.0, wait_s = 2.0, proxy_if = ['mute'] }\n";
    const SERVER: &str = "residual = { scope = 'server', seconds = 60.0 }\n";

    fn parse(rest: &str) -> Result<Censor, CensorError> {
        Censor::parse(&format!("{HEAD}{rest}"), &BTreeMap::new())
    }

    #[test]
    fn every_file_of_ours_is_a_censor_with_source_and_confidence() {
        let all = Censor::read_all(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/censors"))).unwrap();
        assert!(all.len() >= 48, "{}", all.len());
        for censor in all {
            assert!(censor.source.len() > 4 && censor.about.len() > 10, "{}", censor.id);
        }
    }

    #[test]
    fn files_that_are_none_are_told_apart() {
        let drop = "action = { kind = 'drop' }\n";
        let cases = [
            ("an unknown word", "colour = 1".to_owned(), "colour"),
            ("no action", "[[rule]]\n".into(), "action"),
            (
                "an unknown zone",
                format!("[[rule]]\n{drop}match.to = ['moon']"),
                "moon",
            ),
            (
                "a prefix too long",
                format!("[[rule]]\n{drop}match.to = ['1.2.3.4/33']"),
                "1.2.3.4/33",
            ),
            ("percent 0", format!("[[rule]]\n{drop}percent = 0"), "percent"),
            ("an endless onset", "onset_s = inf".into(), "onset_s"),
            ("no onset", "onset_s = nan".into(), "onset_s"),
            (
                "hellos for ever",
                format!("[[rule]]\n{drop}count.hellos = 4"),
                "window_s",
            ),
            (
                "names and no lie",
                format!("[[rule]]\n{drop}match.qname = ['a']"),
                "qname",
            ),
            (
                "a lie and no names",
                "[[rule]]\naction = { kind = 'forge-dns' }".into(),
                "qname",
            ),
            (
                "a list that is missing",
                format!("[[rule]]\n{drop}match.sni = ['@no']"),
                "no list no",
            ),
            (
                "a list of nobody",
                "[[rule]]\naction = { kind = 'list' }".into(),
                "list",
            ),
            (
                "too many rules",
                format!("[[rule]]\n{drop}").repeat(RULES_MAX + 1),
                "more than 16",
            ),
            (
                "too many people",
                "[[person]]\ndoes = 'read-invites'\nlists = ['name']\n".repeat(PEOPLE_MAX + 1),
                "more than 8 people",
            ),
            (
                "a person who does nothing",
                "[[person]]\nlists = ['name']".into(),
                "does",
            ),
            (
                "a probe of nothing",
                format!("[[rule]]\n{PROBE}{SERVER}"),
                "match.first",
            ),
            (
                "a probe for nobody",
                format!("[[rule]]\n{PROBE}match.first = ['tls']"),
                "residual",
            ),
            (
                "a probe without signs",
                format!("[[rule]]\n{}{SERVER}match.first = ['tls']", PROBE.replace("'mute'", "")),
                "proxy_if",
            ),
            (
                "a probe without words",
                format!("[[rule]]\n{}{SERVER}match.first = ['tls']", PROBE.replace("'http'", "")),
                "probe.with",
            ),
            (
                "a probe that waits for ever",
                format!(
                    "[[rule]]\n{}{SERVER}match.first = ['tls']",
                    PROBE.replace("2.0", "121.0")
                ),
                "wait_s",
            ),
        ];
        for (name, text, word) in cases {
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.contains(word), "{name}: {error}");
        }
    }

    #[test]
    fn a_list_stands_for_its_lines() {
        let text = format!("{HEAD}[[rule]]\naction = {{ kind = 'rst' }}\nmatch.sni = ['Own.Example', '@some']");
        let lists = BTreeMap::from([("some".to_owned(), "# names\nA.example\n\n b.example \n".to_owned())]);
        let censor = Censor::parse(&text, &lists).unwrap();
        assert_eq!(censor.rule[0].fits.sni, ["own.example", "a.example", "b.example"]);
    }

    #[test]
    fn networks_hold_their_addresses() {
        let net = |text: &str| Net::try_from(text.to_owned()).unwrap();
        assert!(net("hosting").holds(Ipv4Addr::new(203, 0, 113, 10)));
        assert!(!net("hosting").holds(Ipv4Addr::new(203, 0, 114, 10)));
        assert!(net("0.0.0.0/0").holds(Ipv4Addr::new(9, 9, 9, 9)));
    }

    proptest! {
        #[test]
        fn any_text_parses_or_errs(rest in "\\PC{0,200}", key in "[a-z_.]{1,12}", value in "[-0-9a-z'\\[\\]{}=. ]{0,24}") {
            let _ = parse(&rest);
            let _ = parse(&format!("[[rule]]\n{key} = {value}\naction.kind = 'drop'"));
        }
    }
}
