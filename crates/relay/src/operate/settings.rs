//! One TOML file, each of its keys overridden by an environment variable.
//!
//! In: a file's text and the environment. Out: how to run the relay. A key that nobody knows is an error: a typing
//! mistake must not switch a limit off. `STONECHAT_RELAY_DISK_GIB=8` is the same as `disk_gib = 8`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;
use stonechat_wire::address;
use stonechat_wire::route::RelayRoute;

use crate::acme::{self, Acme, LETS_ENCRYPT};
use crate::limits::Limits;
use crate::listen::bridge::{BridgeConfig, PROGRAM};
use crate::listen::{AccessChoice, CoverChoice, Front, Telling};

/// What stands before a key's name in the environment.
const PREFIX: &str = "STONECHAT_RELAY_";
const KEYS: &[&str] = &[
    "listen",
    "also_listen",
    "public",
    "cert",
    "key",
    "acme",
    "acme_contact",
    "acme_roots",
    "behind",
    "behind_at",
    "site",
    "proxy",
    "obfs4",
    "obfs4_public",
    "obfs4_program",
    "access",
    "metrics",
    "disk_gib",
    "blob_gib",
    "connections",
    "envelopes",
    "secret_gib_per_day",
    "forward_to",
];

/// Where a web server with a certificate is looked for.
pub const HTTPS_PORT: u16 = 443;
/// Where a relay listens when nobody says otherwise.
pub const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7481);

/// How an operator wants a relay run.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where else to listen, with spaces between.
    also_listen: String,
    /// The address that goes into the route (RTE-5).
    pub public: Option<String>,
    /// File of the certificate, as PEM: then the relay speaks TLS.
    cert: Option<PathBuf>,
    /// File of its private key.
    key: Option<PathBuf>,
    /// URL of the directory that it gets a certificate from by itself.
    acme: Option<String>,
    /// E-mail address that the directory may write to.
    acme_contact: Option<String>,
    /// File of the authorities of the directory's own certificate, where these are not the system's.
    acme_roots: Option<PathBuf>,
    /// What holds the certificate before it: "http" or "proxy-protocol".
    behind: Option<Behind>,
    /// Where that stands, with spaces between; this machine where nothing is said.
    behind_at: String,
    /// Folder of the site that strangers see.
    site: Option<PathBuf>,
    /// `host:port` of the web server whose site strangers see.
    proxy: Option<String>,
    /// Where an obfs4 bridge to it listens.
    obfs4: Option<SocketAddr>,
    /// `HOST:PORT` of that in its route.
    obfs4_public: Option<String>,
    /// The program that is the bridge.
    obfs4_program: PathBuf,
    /// "secret" or "open".
    access: Access,
    /// Where figures are told, on loopback; nowhere if not set.
    pub metrics: Option<SocketAddr>,
    /// Disk that mailboxes may take, in GiB.
    disk_gib: u64,
    /// How much of that blobs may take, in GiB; 0 for no blobs.
    blob_gib: u64,
    /// Connections at once.
    connections: usize,
    /// Envelopes kept; each costs about 100 bytes of memory.
    envelopes: u64,
    /// What may be put with one secret a day, in GiB.
    secret_gib_per_day: u64,
    /// Routes of the relays that clients may have bytes passed on to, with spaces between them.
    forward_to: String,
}

/// A [`Telling`] as the settings have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Behind {
    Http,
    ProxyProtocol,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Access {
    Secret,
    Open,
}

/// Why settings do not hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// Not TOML, an unknown key, or a value of the wrong kind.
    #[error("the relay's settings cannot be read: {0}")]
    Unreadable(String),
    /// One address cannot show two sites.
    #[error("site and proxy exclude each other")]
    TwoCovers,
    /// One certificate, one holder.
    #[error("behind and cert exclude each other: what stands before the relay holds the certificate")]
    TwoEnds,
    /// One certificate, one source.
    #[error("acme excludes cert and behind: with it the relay gets and holds the certificate itself")]
    TwoSources,
    /// `acme` is no URL of a directory.
    #[error("acme: {0:?} is not the URL of a directory, https://HOST/PATH")]
    NotADirectory(String),
    /// `acme_contact` is none.
    #[error("acme_contact: {0:?} is not an e-mail address")]
    NotAContact(String),
    /// A word of `behind_at` that is none.
    #[error("behind_at: {0:?} is not an address")]
    NotAPlace(String),
    /// A word of `also_listen` that is none.
    #[error("also_listen: {0:?} is not ADDRESS:PORT")]
    NotAnAddress(String),
    /// `public` is no address that a route can hold.
    #[error("public: {0:?} is not HOST:PORT, nor that and up to three of \",IP:PORT\"")]
    NotPublic(String),
    /// One without the other.
    #[error("cert and key go together")]
    HalfOfTls,
    /// A word of `forward_to` that is none.
    #[error("forward_to: {0:?} is not a relay's route")]
    NotARoute(String),
    /// Figures are for this machine only.
    #[error("metrics may be told on loopback only, not at {0}")]
    MetricsNotLocal(SocketAddr),
}

impl Default for Settings {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            listen: LISTEN,
            also_listen: String::new(),
            public: None,
            cert: None,
            key: None,
            acme: None,
            acme_contact: None,
            acme_roots: None,
            behind: None,
            behind_at: String::new(),
            site: None,
            proxy: None,
            obfs4: None,
            obfs4_public: None,
            obfs4_program: PROGRAM.into(),
            access: Access::Secret,
            metrics: None,
            disk_gib: limits.total_bytes >> 30,
            blob_gib: limits.blob_bytes >> 30,
            connections: limits.connections,
            envelopes: limits.envelopes,
            secret_gib_per_day: limits.secret_bytes_per_day >> 30,
            forward_to: String::new(),
        }
    }
}

impl Settings {
    /// Settings out of a file's text, overridden by the environment.
    ///
    /// Errors: what cannot be read, and what must not be.
    pub fn read(text: &str, environment: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let unreadable = |error: toml::de::Error| SettingsError::Unreadable(error.message().to_owned());
        let mut table: toml::Table = text.parse().map_err(unreadable)?;
        for key in KEYS {
            if let Some(value) = environment(&format!("{PREFIX}{}", key.to_uppercase())) {
                let value = value.parse().map_or(toml::Value::String(value), toml::Value::Integer);
                table.insert((*key).to_owned(), value);
            }
        }
        let settings: Self = table.try_into().map_err(unreadable)?;
        if settings.cert.is_some() != settings.key.is_some() {
            return Err(SettingsError::HalfOfTls);
        }
        if settings.site.is_some() && settings.proxy.is_some() {
            return Err(SettingsError::TwoCovers);
        }
        if settings.behind.is_some() && settings.cert.is_some() {
            return Err(SettingsError::TwoEnds);
        }
        settings.holds_on_acme()?;
        settings.behind_at()?;
        settings.forward()?;
        settings.also_listen()?;
        if let Some(public) = settings.public.as_ref().filter(|public| !address::holds(public)) {
            return Err(SettingsError::NotPublic(public.clone()));
        }
        match settings.metrics.filter(|address| !address.ip().is_loopback()) {
            Some(address) => Err(SettingsError::MetricsNotLocal(address)),
            None => Ok(settings),
        }
    }

    fn holds_on_acme(&self) -> Result<(), SettingsError> {
        let Some(acme) = self.acme() else { return Ok(()) };
        if self.cert.is_some() || self.behind.is_some() {
            return Err(SettingsError::TwoSources);
        }
        if !acme::is_directory(&acme.directory) {
            return Err(SettingsError::NotADirectory(acme.directory));
        }
        let wrong = acme.contact.filter(|contact| !acme::is_contact(contact));
        wrong.map_or(Ok(()), |contact| Err(SettingsError::NotAContact(contact)))
    }

    /// The obfs4 bridge to it, where one is wanted; `listen` counts more than the settings.
    pub fn bridge(&self, listen: Option<SocketAddr>) -> Option<BridgeConfig> {
        Some(BridgeConfig {
            listen: listen.or(self.obfs4)?,
            advertise: self.obfs4_public.clone(),
            program: self.obfs4_program.clone(),
        })
    }

    /// Where it gets a certificate by itself.
    pub fn acme(&self) -> Option<Acme> {
        let directory = self.acme.clone()?;
        let (contact, roots) = (self.acme_contact.clone(), self.acme_roots.clone());
        Some(Acme {
            directory,
            contact,
            roots,
        })
    }

    /// The relays that clients may have bytes passed on to. Errors: a word that is no route.
    pub fn forward(&self) -> Result<Vec<RelayRoute>, SettingsError> {
        let route = |word: &str| RelayRoute::parse(word).map_err(|_| SettingsError::NotARoute(word.to_owned()));
        self.forward_to.split_whitespace().map(route).collect()
    }

    /// Where else to listen. Errors: a word that is no address.
    pub fn also_listen(&self) -> Result<Vec<SocketAddr>, SettingsError> {
        let address = |word: &str| word.parse().map_err(|_| SettingsError::NotAnAddress(word.to_owned()));
        self.also_listen.split_whitespace().map(address).collect()
    }

    /// What holds the certificate before it. Errors: a word of `behind_at` that is no address.
    pub fn front(&self) -> Result<Option<Front>, SettingsError> {
        let at = self.behind_at()?;
        let telling = self.behind.map(|behind| match behind {
            Behind::Http => Telling::Http,
            Behind::ProxyProtocol => Telling::ProxyProtocol,
        });
        Ok(telling.map(|telling| Front { telling, at }))
    }

    /// Where what stands before it may come from; this machine where nothing is said.
    pub fn behind_at(&self) -> Result<Vec<IpAddr>, SettingsError> {
        let address = |word: &str| word.parse().map_err(|_| SettingsError::NotAPlace(word.to_owned()));
        self.behind_at.split_whitespace().map(address).collect()
    }

    /// Whether its address is one of TLS, whoever holds the certificate.
    pub const fn is_inside_tls(&self) -> bool {
        self.behind.is_some() || self.cert.is_some() || self.acme.is_some()
    }

    /// The files of certificate and key, where it speaks TLS.
    pub fn tls(&self) -> Option<(PathBuf, PathBuf)> {
        self.cert.clone().zip(self.key.clone())
    }

    /// What strangers see.
    pub fn cover(&self) -> CoverChoice {
        match (&self.site, &self.proxy) {
            (Some(folder), _) => CoverChoice::Site(folder.clone()),
            (None, Some(address)) => CoverChoice::Proxy(address.clone()),
            (None, None) => CoverChoice::None,
        }
    }

    /// Who may use the relay.
    pub const fn access(&self) -> AccessChoice {
        match self.access {
            Access::Secret => AccessChoice::Secret,
            Access::Open => AccessChoice::Open,
        }
    }

    /// The same, open to everybody.
    #[must_use]
    pub fn opened(mut self) -> Self {
        self.access = Access::Open;
        self
    }

    /// How far it lets things grow.
    pub fn limits(&self) -> Limits {
        Limits {
            total_bytes: self.disk_gib.saturating_mul(1 << 30),
            blob_bytes: self.blob_gib.saturating_mul(1 << 30),
            connections: self.connections,
            envelopes: self.envelopes,
            secret_bytes_per_day: self.secret_gib_per_day.saturating_mul(1 << 30),
            ..Limits::default()
        }
    }

    /// A file to begin with: every key with what it means.
    pub fn template(wish: &Beginning) -> String {
        let all = Self::default();
        let (cert, key) = wish.tls.clone().unzip();
        let (cert, key) = (cert.map(as_text), key.map(as_text));
        let acme = wish.acme.as_ref();
        let obfs4 = wish.obfs4.map(|listen| listen.to_string());
        let roots = acme.and_then(|acme| acme.roots.clone()).map(as_text);
        let (site, proxy) = match &wish.cover {
            CoverChoice::None => (None, None),
            CoverChoice::Site(folder) => (Some(as_text(folder.clone())), None),
            CoverChoice::Proxy(address) => (None, Some(address.clone())),
        };
        format!(
            "# Settings of a Stonechat relay. Each key can be overridden by STONECHAT_RELAY_ and its name in capitals.\n\n\
             # Where to listen; 0.0.0.0 is every address of this machine.\nlisten = \"{}\"\n\
             # Where else, with spaces between: a second port helps those to whom the first is closed.\n\
             # also_listen = \"0.0.0.0:8443\"\n\
             # HOST:PORT under which others reach it: goes into the route. Behind it up to three times a comma and\n\
             # IP:PORT, for those to whom the name is not told or its port is closed.\n{}\
             # Certificate (its chain behind it) and private key, as PEM: then the relay speaks TLS.\n{}{}\
             # Or it gets and renews one by itself, from this directory (ACME), for the first host of `public`. Who sets this\n\
             # agrees to the directory's terms. Where it may write to, and the authorities of its own certificate if they\n\
             # are not the system's.\n{}{}{}\
             # Or another program holds the certificate and stands before this one, which listens in plain then.\n\
             # \"http\": it passes requests on, with X-Forwarded-For. \"proxy-protocol\": bytes, with that header.\n{}\
             # The addresses it comes from, where that is not this machine. Nobody else is let in.\n\
             # behind_at = \"192.0.2.7\"\n\
             # What strangers see: the files of a folder, or the site of a web server behind.\n{}{}\
             # Where an obfs4 bridge to it listens, a way for those to whom others are closed, and HOST:PORT of that in its\n\
             # route, of at most 25 characters; else the host of `public`. Its program is Debian's obfs4proxy.\n{}{}\
             # obfs4_program = {PROGRAM:?}\n\
             # \"secret\": whoever has the route. \"open\": everybody.\naccess = \"secret\"\n\
             # Where figures are told, for this machine only.\nmetrics = \"127.0.0.1:7482\"\n\
             # Disk for mailboxes. At 80 % no new mailbox is opened, at 90 % nothing is taken.\ndisk_gib = {}\n\
             # How much of that large files may take, counted at their whole size; 0 for none.\nblob_gib = {}\n\
             # Connections at once; the system must allow as many open files.\nconnections = {}\n\
             # Envelopes kept, about 100 bytes of memory each.\nenvelopes = {}\n\
             # What may be put with one secret a day.\nsecret_gib_per_day = {}\n\
             # Routes of relays that clients may reach through this one, with spaces between them; their secrets are not used.\n\
             # forward_to = \"stone:r... stone:r...\"\n",
            wish.listen(),
            line("public", wish.public.as_deref(), "relay.example:7481"),
            line("cert", cert.as_deref(), "/etc/stonechat/cert.pem"),
            line("key", key.as_deref(), "/etc/stonechat/key.pem"),
            line("acme", acme.map(|acme| acme.directory.as_str()), LETS_ENCRYPT),
            line(
                "acme_contact",
                acme.and_then(|acme| acme.contact.as_deref()),
                "you@relay.example"
            ),
            line("acme_roots", roots.as_deref(), "/etc/stonechat/directory.pem"),
            line("behind", wish.behind.map(Telling::word), "http"),
            line("site", site.as_deref(), "/srv/site"),
            line("proxy", proxy.as_deref(), "127.0.0.1:8080"),
            line("obfs4", obfs4.as_deref(), "0.0.0.0:9443"),
            line("obfs4_public", None, "192.0.2.7:9443"),
            all.disk_gib,
            all.blob_gib,
            all.connections,
            all.envelopes,
            all.secret_gib_per_day
        )
    }
}

/// What a settings file begins with, where it is not the default.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// The address that goes into the route.
    pub public: Option<String>,
    /// Files of certificate and key.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Where it gets a certificate by itself.
    pub acme: Option<Acme>,
    /// What holds the certificate before it.
    pub behind: Option<Telling>,
    /// What strangers see.
    pub cover: CoverChoice,
    /// Where an obfs4 bridge to it listens.
    pub obfs4: Option<SocketAddr>,
}

impl Default for Beginning {
    fn default() -> Self {
        Self {
            public: None,
            tls: None,
            acme: None,
            behind: None,
            cover: CoverChoice::None,
            obfs4: None,
        }
    }
}

impl Beginning {
    /// Behind another program for this machine only; with a certificate where browsers look.
    fn listen(&self) -> SocketAddr {
        match (self.behind, self.tls.is_some() || self.acme.is_some()) {
            (Some(_), _) => LISTEN,
            (None, true) => (Ipv4Addr::UNSPECIFIED, HTTPS_PORT).into(),
            (None, false) => (Ipv4Addr::UNSPECIFIED, LISTEN.port()).into(),
        }
    }
}

/// `key = "value"`, or as a comment with an example.
fn line(key: &str, value: Option<&str>, example: &str) -> String {
    match value {
        Some(value) => format!("{key} = {}\n", toml::Value::from(value)),
        None => format!("# {key} = {example:?}\n"),
    }
}

fn as_text(path: PathBuf) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn a_file_is_read_and_the_environment_wins() {
        let text = "disk_gib = 2\naccess = \"open\"\npublic = \"a:1\"";
        let settings = Settings::read(text, nothing).unwrap();
        assert_eq!(settings.limits().total_bytes, 2 << 30);
        assert_eq!(
            (settings.access(), settings.public.as_deref()),
            (AccessChoice::Open, Some("a:1"))
        );
        let environment = |name: &str| match name {
            "STONECHAT_RELAY_DISK_GIB" => Some("3".to_owned()),
            "STONECHAT_RELAY_LISTEN" => Some("127.0.0.1:9".to_owned()),
            _ => None,
        };
        let settings = Settings::read(text, environment).unwrap();
        assert_eq!((settings.limits().total_bytes, settings.listen.port()), (3 << 30, 9));
    }

    #[test]
    fn the_template_reads_as_what_it_says() {
        let wish = Beginning {
            public: Some("relay.example:7481".into()),
            ..Beginning::default()
        };
        let settings = Settings::read(&Settings::template(&wish), nothing).unwrap();
        assert_eq!(settings.public.as_deref(), Some("relay.example:7481"));
        let default = Settings::default();
        assert_eq!(
            Settings {
                listen: default.listen,
                public: None,
                metrics: None,
                ..settings
            },
            default
        );
        for key in KEYS {
            assert!(Settings::template(&wish).contains(&format!("{key} =")), "{key}");
        }
        let wish = Beginning {
            tls: Some(("a b".into(), "c\"d".into())),
            cover: CoverChoice::Site("e".into()),
            ..Beginning::default()
        };
        let settings = Settings::read(&Settings::template(&wish), nothing).unwrap();
        assert_eq!((settings.tls(), settings.cover()), (wish.tls, wish.cover));
        assert_eq!(settings.listen.to_string(), "0.0.0.0:443");
    }

    #[test]
    fn a_file_with_a_bridge_reads_as_what_it_says_prx_8() {
        let wish = Beginning {
            obfs4: Some("0.0.0.0:9443".parse().unwrap()),
            ..Beginning::default()
        };
        let settings = Settings::read(&Settings::template(&wish), nothing).unwrap();
        let bridge = settings.bridge(None).unwrap();
        assert_eq!((bridge.listen.port(), bridge.program.to_str()), (9443, Some(PROGRAM)));
        let other = settings.bridge(Some("127.0.0.1:1".parse().unwrap())).unwrap();
        assert_eq!(other.listen.port(), 1, "what is said at the start counts more");
        assert_eq!(Settings::default().bridge(None), None);
        assert!(Settings::read("obfs4 = \"here\"", nothing).is_err());
    }

    #[test]
    fn a_file_with_a_directory_reads_as_what_it_says_acm_1() {
        let acme = Acme {
            directory: "https://acme.example/directory".into(),
            contact: Some("me@relay.example".into()),
            roots: Some("/a b.pem".into()),
        };
        let wish = Beginning {
            acme: Some(acme.clone()),
            ..Beginning::default()
        };
        let settings = Settings::read(&Settings::template(&wish), nothing).unwrap();
        assert_eq!((settings.acme(), settings.listen.port()), (Some(acme), HTTPS_PORT));
        assert!(settings.is_inside_tls());
        let environment = |name: &str| (name == "STONECHAT_RELAY_ACME").then(|| LETS_ENCRYPT.to_owned());
        assert_eq!(
            Settings::read("", environment).unwrap().acme().unwrap().directory,
            LETS_ENCRYPT
        );
    }

    #[test]
    fn a_directory_that_cannot_be_one_is_refused_acm_1() {
        let read = |text: &str| Settings::read(&format!("acme = \"{LETS_ENCRYPT}\"\n{text}"), nothing);
        assert!(read("acme_contact = \"me@relay.example\"").is_ok());
        for other in ["behind = \"http\"", "cert = \"a\"\nkey = \"b\""] {
            assert!(matches!(read(other), Err(SettingsError::TwoSources)), "{other}");
        }
        for mail in [
            "me",
            "a@b",
            "me@a.example,you@b.example",
            "me@a.example?x",
            "m e@a.example",
        ] {
            let settings = read(&format!("acme_contact = \"{mail}\""));
            assert!(matches!(settings, Err(SettingsError::NotAContact(_))), "{mail}");
        }
        for url in ["http://acme.example/directory", "letsencrypt", ""] {
            let settings = Settings::read(&format!("acme = \"{url}\""), nothing);
            assert!(matches!(settings, Err(SettingsError::NotADirectory(_))), "{url}");
        }
    }

    #[test]
    fn a_file_behind_another_program_listens_for_this_machine_only_rly_46() {
        for telling in [Telling::Http, Telling::ProxyProtocol] {
            let wish = Beginning {
                behind: Some(telling),
                cover: CoverChoice::Proxy("127.0.0.1:8080".into()),
                ..Beginning::default()
            };
            let settings = Settings::read(&Settings::template(&wish), nothing).unwrap();
            assert!(settings.listen.ip().is_loopback() && settings.is_inside_tls());
            let front = Front { telling, at: vec![] };
            assert_eq!((settings.front().unwrap(), settings.cover()), (Some(front), wish.cover));
        }
        let named = Settings::read("behind = \"http\"\nbehind_at = \"192.0.2.7 ::1\"", nothing).unwrap();
        assert_eq!(named.front().unwrap().unwrap().at.len(), 2);
    }

    #[test]
    fn what_nobody_knows_and_what_must_not_be_is_refused() {
        for bad in [
            "disc_gib = 2",
            "disk_gib = \"much\"",
            "access = \"none\"",
            "behind = \"nginx\"",
            "listen = 5",
            "= =",
        ] {
            assert!(
                matches!(Settings::read(bad, nothing), Err(SettingsError::Unreadable(_))),
                "{bad}"
            );
        }
        assert!(matches!(
            Settings::read("cert = \"a\"", nothing),
            Err(SettingsError::HalfOfTls)
        ));
        let both = Settings::read("cert = \"a\"\nkey = \"b\"\nbehind = \"http\"", nothing);
        assert!(matches!(both, Err(SettingsError::TwoEnds)));
        let nowhere = Settings::read("behind_at = \"here\"", nothing);
        assert!(matches!(nowhere, Err(SettingsError::NotAPlace(word)) if word == "here"));
        let both = Settings::read("site = \"a\"\nproxy = \"b:1\"", nothing);
        assert!(matches!(both, Err(SettingsError::TwoCovers)));
        let proxied = Settings::read("proxy = \"b:1\"", nothing).unwrap();
        assert_eq!(proxied.cover(), CoverChoice::Proxy("b:1".into()));
        let both = Settings::read("cert = \"a\"\nkey = \"b\"", nothing).unwrap();
        assert_eq!(both.tls(), Some(("a".into(), "b".into())));
        let route = Settings::read("forward_to = \"stone:x\"", nothing);
        assert!(matches!(route, Err(SettingsError::NotARoute(word)) if word == "stone:x"));
        let listen = Settings::read("also_listen = \"127.0.0.1:1 b\"", nothing);
        assert!(matches!(listen, Err(SettingsError::NotAnAddress(word)) if word == "b"));
        let public = Settings::read("public = \"a\"", nothing);
        assert!(matches!(public, Err(SettingsError::NotPublic(word)) if word == "a"));
        let both = Settings::read("public = \"a:1,192.0.2.7:1\"\nalso_listen = \"[::1]:2\"", nothing).unwrap();
        assert_eq!(both.also_listen().unwrap(), ["[::1]:2".parse().unwrap()]);
        let public = Settings::read("metrics = \"0.0.0.0:1\"", nothing);
        assert!(matches!(public, Err(SettingsError::MetricsNotLocal(_))));
    }
}
