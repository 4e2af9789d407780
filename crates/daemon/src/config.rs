//! Settings of the process: flag, else environment, else `config.toml`, else the default.
//!
//! In: what the command line gave, the environment, the home's `config.toml`. Out: [`Config`].
//! What the person sets in the interface lives in the database, not here.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use stonechat_transport::carrier::means::{Beside, ByProxy, Means};
use stonechat_transport::carrier::obfs4::{Obfs4, PROGRAM};
use stonechat_transport::carrier::socks::{NoProxy, Proxy};

use crate::api::DIALER_NAME;

/// What one source wishes; absent: ask the next source.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wishes {
    /// Port of the interface on loopback; 0: any.
    pub port: Option<u16>,
    /// Serve the interface at `NAME.localhost` too, and print that address.
    pub name: Option<String>,
    /// Routes of relays to use when an account is made without any.
    pub relays: Option<Vec<String>>,
    /// `off`, `error`, `warn`, `info`, `debug` or `trace`.
    pub log: Option<String>,
    /// File whose first line is the passphrase.
    pub passphrase_file: Option<PathBuf>,
    /// Whether `run` makes its relay reachable on the local network.
    pub lan: Option<bool>,
    /// Whether a near relay runs for the local network while no other is reached.
    pub near: Option<bool>,
    /// Whether it runs always, and passes on to the relays that this device reaches.
    pub lend: Option<bool>,
    /// A SOCKS 5 proxy that everything goes through (PRX-3).
    pub proxy: Option<ProxyUrl>,
    /// Whether that is one way more, and others are gone too (PRX-4).
    pub proxy_also: Option<bool>,
    /// The program that dials obfs4 bridges.
    pub obfs4_program: Option<PathBuf>,
}

/// A proxy's URL as somebody wrote it. It does not print: a password may stand in it.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct ProxyUrl(pub String);

impl std::fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProxyUrl(..)")
    }
}

/// Settled settings.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// As in [`Wishes`]; absent: [`DEFAULT_PORT`], or any where that is taken.
    pub port: Option<u16>,
    /// As in [`Wishes`].
    pub name: Option<String>,
    /// As in [`Wishes`].
    pub relays: Vec<String>,
    /// As in [`Wishes`].
    pub log: LogLevel,
    /// As in [`Wishes`].
    pub passphrase_file: Option<PathBuf>,
    /// As in [`Wishes`].
    pub lan: bool,
    /// As in [`Wishes`]; absent: yes, but not where everything goes through a proxy.
    pub near: bool,
    /// As in [`Wishes`]; what `stonechat lend` says counts more.
    pub lend: bool,
    /// The proxy, and what is dialled beside it.
    pub proxy: Option<ByProxy>,
    /// As in [`Wishes`]; absent: obfs4proxy, wherever programs are.
    pub obfs4_program: PathBuf,
}

/// Tried first when nobody asked for a port.
pub const DEFAULT_PORT: u16 = 7480;
/// The folder in the home in which the program for bridges keeps what it needs.
const OBFS4_FOLDER: &str = "obfs4";

/// How much the log holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What needs a person.
    Error,
    /// And what went wrong without harm.
    Warn,
    /// And a line for each change of state.
    #[default]
    Info,
    /// And more of them.
    Debug,
    /// Everything.
    Trace,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// `config.toml` is not readable.
    #[error("config.toml cannot be read: {0}")]
    Unreadable(std::io::Error),
    /// `config.toml` is not valid.
    #[error("config.toml: {0}")]
    Malformed(String),
    /// What is no proxy. It is not repeated: a password may stand in it.
    #[error("proxy: {0}")]
    BadProxy(#[from] NoProxy),
    /// A value outside its range.
    #[error("{name} cannot be \"{value}\"")]
    BadValue {
        /// Which setting.
        name: &'static str,
        /// What it was.
        value: String,
    },
}

impl Config {
    /// Settles the settings of a home.
    ///
    /// Errors: see [`ConfigError`]; a missing `config.toml` is none.
    pub fn settle(dir: &Path, flags: Wishes, variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let environment = from_environment(variable)?;
        let file = from_file(&dir.join("config.toml"))?;
        let wishes = flags.or(environment).or(file);
        let log = wishes
            .log
            .as_deref()
            .map_or_else(|| Ok(LogLevel::default()), LogLevel::parse)?;
        if let Some(name) = wishes
            .name
            .as_deref()
            .filter(|name| !is_host_label(name) || *name == DIALER_NAME)
        {
            return Err(ConfigError::BadValue {
                name: "name",
                value: name.to_owned(),
            });
        }
        let proxy = by_proxy(&wishes)?;
        let is_alone = proxy.as_ref().is_some_and(|by| by.beside != Beside::All);
        Ok(Self {
            port: wishes.port,
            name: wishes.name,
            relays: wishes.relays.unwrap_or_default(),
            log,
            passphrase_file: wishes.passphrase_file,
            lan: wishes.lan.unwrap_or(false),
            near: wishes.near.unwrap_or(!is_alone),
            lend: wishes.lend.unwrap_or(false),
            proxy,
            obfs4_program: wishes.obfs4_program.unwrap_or_else(|| PROGRAM.into()),
        })
    }

    /// By what relays are reached; `dir` is the home, in which the program for bridges has a folder of its own.
    pub(crate) fn means(&self, dir: &Path) -> Means {
        let through = self.proxy.as_ref().filter(|by| by.beside != Beside::All);
        let through = through.map(|by| by.proxy.clone());
        let obfs4 = Obfs4::new(self.obfs4_program.clone(), dir.join(OBFS4_FOLDER), through);
        Means {
            proxy: self.proxy.clone(),
            obfs4: Some(obfs4),
            ..Means::default()
        }
    }
}

/// The proxy that is wished for. Where nothing else is said, nothing is dialled beside it.
fn by_proxy(wishes: &Wishes) -> Result<Option<ByProxy>, NoProxy> {
    let Some(ProxyUrl(url)) = &wishes.proxy else {
        return Ok(None);
    };
    let proxy: Proxy = url.parse()?;
    let beside = match (wishes.proxy_also, wishes.near) {
        (Some(true), _) => Beside::All,
        (_, Some(true)) => Beside::Near,
        (_, _) => Beside::Nothing,
    };
    Ok(Some(ByProxy { proxy, beside }))
}

impl Wishes {
    fn or(self, next: Self) -> Self {
        Self {
            port: self.port.or(next.port),
            name: self.name.or(next.name),
            relays: self.relays.or(next.relays),
            log: self.log.or(next.log),
            passphrase_file: self.passphrase_file.or(next.passphrase_file),
            lan: self.lan.or(next.lan),
            near: self.near.or(next.near),
            lend: self.lend.or(next.lend),
            proxy: self.proxy.or(next.proxy),
            proxy_also: self.proxy_also.or(next.proxy_also),
            obfs4_program: self.obfs4_program.or(next.obfs4_program),
        }
    }
}

impl LogLevel {
    fn parse(text: &str) -> Result<Self, ConfigError> {
        match text {
            "off" => Ok(Self::Off),
            "error" => Ok(Self::Error),
            "warn" => Ok(Self::Warn),
            "info" => Ok(Self::Info),
            "debug" => Ok(Self::Debug),
            "trace" => Ok(Self::Trace),
            other => Err(ConfigError::BadValue {
                name: "log",
                value: other.to_owned(),
            }),
        }
    }
}

fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Wishes, ConfigError> {
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    let port = variable("STONECHAT_PORT")
        .map(|value| number("STONECHAT_PORT", value))
        .transpose()?;
    let relays = variable("STONECHAT_RELAY").map(|list| list.split_whitespace().map(str::to_owned).collect());
    let is_yes = |value: String| value == "1" || value == "true";
    Ok(Wishes {
        port,
        name: variable("STONECHAT_NAME"),
        relays,
        log: variable("STONECHAT_LOG"),
        passphrase_file: variable("STONECHAT_PASSPHRASE_FILE").map(PathBuf::from),
        lan: variable("STONECHAT_LAN").map(is_yes),
        near: variable("STONECHAT_NEAR").map(is_yes),
        lend: variable("STONECHAT_LEND").map(is_yes),
        proxy: variable("STONECHAT_PROXY").map(ProxyUrl),
        proxy_also: variable("STONECHAT_PROXY_ALSO").map(is_yes),
        obfs4_program: variable("STONECHAT_OBFS4_PROGRAM").map(PathBuf::from),
    })
}

fn number(name: &'static str, value: String) -> Result<u16, ConfigError> {
    value.parse().map_err(|_| ConfigError::BadValue { name, value })
}

fn from_file(path: &Path) -> Result<Wishes, ConfigError> {
    match std::fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text).map_err(|error| ConfigError::Malformed(error.message().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Wishes::default()),
        Err(error) => Err(ConfigError::Unreadable(error)),
    }
}

/// One label of a host name: letters, digits and inner hyphens, at most 63.
fn is_host_label(name: &str) -> bool {
    let inside = name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    (1..=63).contains(&name.len()) && inside && !name.starts_with('-') && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(flags: Wishes, environment: &[(&str, &str)], file: &str) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.toml"), file).unwrap();
        let find = |name: &str| {
            environment
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| (*v).to_owned())
        };
        Config::settle(dir.path(), flags, find)
    }

    #[test]
    fn a_flag_beats_the_environment_which_beats_the_file() {
        let flags = Wishes {
            port: Some(1),
            ..Wishes::default()
        };
        let config = settle(
            flags,
            &[("STONECHAT_PORT", "2"), ("STONECHAT_LOG", "warn")],
            "port = 3\nlog = \"debug\"\nname = \"bo\"",
        )
        .unwrap();
        assert_eq!(
            (config.port, config.log, config.name.as_deref()),
            (Some(1), LogLevel::Warn, Some("bo"))
        );
    }

    #[test]
    fn an_absent_file_gives_the_defaults() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::settle(dir.path(), Wishes::default(), |_| None).unwrap();
        assert_eq!((config.port, config.log), (None, LogLevel::Info));
        assert_eq!((config.lan, config.near, config.lend), (false, true, false));
    }

    #[test]
    fn a_proxy_is_the_only_way_where_nothing_else_is_said_prx_3() {
        let beside = |environment: &[(&str, &str)], file: &str| {
            let config = settle(Wishes::default(), environment, file).unwrap();
            (config.proxy.map(|by| by.beside), config.near)
        };
        let file = "proxy = \"socks5://127.0.0.1:9050\"\n";
        assert_eq!(beside(&[], ""), (None, true));
        assert_eq!(beside(&[], file), (Some(Beside::Nothing), false));
        let near = format!("{file}near = true");
        assert_eq!(beside(&[], &near), (Some(Beside::Near), true));
        let also = [("STONECHAT_PROXY_ALSO", "1")];
        assert_eq!(beside(&also, file), (Some(Beside::All), true));
        let other = [("STONECHAT_PROXY", "socks5://ana:pw@proxy.example:1080")];
        let config = settle(Wishes::default(), &other, file).unwrap();
        assert_eq!(config.proxy.unwrap().proxy.place(), "proxy.example:1080");
    }

    #[test]
    fn a_proxys_password_stands_in_no_error_and_is_not_printed_prx_2() {
        let flags = Wishes {
            proxy: Some(ProxyUrl("socks5://ana:geheim@proxy.example:1".into())),
            ..Wishes::default()
        };
        let printed = format!("{flags:?} {:?}", settle(flags.clone(), &[], "").unwrap());
        let bad = settle(Wishes::default(), &[("STONECHAT_PROXY", "socks4://ana:geheim@a:1")], "");
        let error = bad.unwrap_err();
        for text in [printed, error.to_string(), format!("{error:?}")] {
            assert!(!text.contains("geheim") && !text.contains("ana"), "{text}");
        }
    }

    #[test]
    fn unknown_keys_and_bad_values_are_named() {
        assert!(matches!(
            settle(Wishes::default(), &[], "prot = 1"),
            Err(ConfigError::Malformed(_))
        ));
        assert!(matches!(
            settle(Wishes::default(), &[("STONECHAT_PORT", "x")], ""),
            Err(ConfigError::BadValue {
                name: "STONECHAT_PORT",
                ..
            })
        ));
        assert!(matches!(
            settle(Wishes::default(), &[], "name = \"a.b\""),
            Err(ConfigError::BadValue { name: "name", .. })
        ));
        // Under that name stands another origin (DIAL-2).
        assert!(matches!(
            settle(Wishes::default(), &[("STONECHAT_NAME", "dialer")], ""),
            Err(ConfigError::BadValue { name: "name", .. })
        ));
        assert!(matches!(
            settle(Wishes::default(), &[], "log = \"loud\""),
            Err(ConfigError::BadValue { name: "log", .. })
        ));
    }
}
