//! `relay`: runs a relay in the foreground, and what its operator asks of it.
//!
//! In: where its data lies, flags, settings, the environment; flags win over the environment, and that over the file.
//! Out: its route on standard output, then service until told to end; or an answer.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use stonechat_daemon::config::Wishes;
use stonechat_daemon::home::make_private_dir;
use stonechat_daemon::log;
use stonechat_relay::acme::{Acme, LETS_ENCRYPT, Subject, Word};
use stonechat_relay::home::{Home, SETTINGS, write_durably};
use stonechat_relay::listen::{TlsFiles, bridge};
use stonechat_relay::operate::disclose::{Question, disclose, parse_day, parse_tag};
use stonechat_relay::operate::doctor::{Health, examine};
use stonechat_relay::operate::metrics::REMARK;
use stonechat_relay::operate::settings::{Beginning, HTTPS_PORT, Settings};
use stonechat_relay::{Config, CoverChoice, Front, Relay, route};
use stonechat_transport::lan::{self, Announced};
use stonechat_wire::address;
use stonechat_wire::route::RelayRoute;
use tokio::sync::watch;

use crate::client::settle;
use crate::failure::CommandError;
use crate::grammar::{RelayData, RelayDisclose, RelayFace, RelayInit, RelayRun, RelayVerb};
use crate::serve::End;
use crate::show;

/// How long a running relay may take to tell its figures.
const PATIENCE: Duration = Duration::from_secs(5);

/// Does what the operator asks. The relay's data lies in the home's folder `relay` where no other is given.
pub(crate) async fn command(verb: RelayVerb, home: &Path) -> Result<(), CommandError> {
    let at = |data: RelayData| data.data.unwrap_or_else(|| home.join("relay"));
    match verb {
        RelayVerb::Run(run) => self::run(run, home).await,
        RelayVerb::Init(init) => self::init(&at(init.at.clone()), &init),
        RelayVerb::Doctor(data) => doctor(&at(data)),
        RelayVerb::Routes(data) => routes(&at(data)),
        RelayVerb::Stats(data) => stats(&at(data)),
        RelayVerb::Disclose(wish) => tell_all(&at(wish.at.clone()), &wish),
    }
}

/// Runs until told to end.
async fn run(run: RelayRun, home: &Path) -> Result<(), CommandError> {
    let data = run.data.unwrap_or_else(|| home.join("relay"));
    if !data.exists() {
        make_private_dir(&data).map_err(|error| CommandError::Folder(data.display().to_string(), error))?;
    }
    let settings = settings(&data)?;
    let settings = if run.open { settings.opened() } else { settings };
    log::start(&Home::logs_in(&data), settle(&data, Wishes::default())?.log)?;
    let also_listen = if run.also_listen.is_empty() {
        settings.also_listen().map_err(anyhow::Error::from)?
    } else {
        run.also_listen
    };
    let (tls, front) = ends(&run.face, &settings)?;
    let config = Config {
        listen: run.listen.unwrap_or(settings.listen),
        also_listen,
        advertise: run.public.or_else(|| settings.public.clone()),
        acme: settings.acme().filter(|_| tls.is_none() && front.is_none()),
        tls: tls.map(|(cert, key)| TlsFiles { cert, key }),
        front,
        cover: run.face.cover().unwrap_or_else(|| settings.cover()),
        access: settings.access(),
        forward: settings.forward().map_err(anyhow::Error::from)?,
        bridge: settings.bridge(run.obfs4),
        metrics: settings.metrics,
        limits: settings.limits(),
        lan: run.lan,
        near: None,
        data,
    };
    let end = End::listen(run.while_stdin);
    let running = Relay::start(config).await.map_err(anyhow::Error::from)?;
    show::line(&format!("route: {}", running.route_text()))?;
    if let Some(route) = &running.bridge_route {
        show::line(&format!("obfs4: {}", route.to_text()))?;
    }
    if let Some(word) = running.certificate.clone() {
        tokio::spawn(tell_of_certificate(word));
    }
    let _announced = if run.lan {
        announced(&running.route_text())
    } else {
        None
    };
    end.told().await;
    running.stop().await;
    Ok(())
}

/// Says how the certificate stands, now and whenever that changes.
async fn tell_of_certificate(mut word: watch::Receiver<Word>) {
    loop {
        let said = word.borrow_and_update().to_string();
        show::note(&format!("{said}."));
        if word.changed().await.is_err() {
            return;
        }
    }
}

/// Certificate and key.
type Pair = (PathBuf, PathBuf);

/// Who holds the certificate: the relay, or what stands before it. Flags win.
fn ends(face: &RelayFace, settings: &Settings) -> Result<(Option<Pair>, Option<Front>), CommandError> {
    let at = settings.behind_at().map_err(anyhow::Error::from)?;
    match (face.tls(), face.behind) {
        (Some(tls), _) => Ok((Some(tls), None)),
        (None, Some(telling)) => Ok((None, Some(Front { telling, at }))),
        (None, None) => Ok((settings.tls(), settings.front().map_err(anyhow::Error::from)?)),
    }
}

/// Says on the local network where the relay is: those who know it find it there when its address changes (LAN-1).
fn announced(route: &str) -> Option<Announced> {
    let route = RelayRoute::parse(route).ok()?;
    let port = address::port(&route.address);
    let mut dice = [0; 16];
    getrandom::fill(&mut dice).ok()?;
    let announced = lan::announce(&route.relay, port.parse().ok()?, dice, &[]);
    let announced =
        announced.inspect_err(|error| tracing::warn!(%error, "the relay is not announced on the local network"));
    announced.ok()
}

fn settings(data: &Path) -> Result<Settings, CommandError> {
    let text = match std::fs::read_to_string(data.join(SETTINGS)) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(CommandError::File(SETTINGS.to_owned(), error)),
    };
    let settings = Settings::read(&text, |name| std::env::var(name).ok());
    Ok(settings.map_err(anyhow::Error::from)?)
}

fn init(data: &Path, wish: &RelayInit) -> Result<(), CommandError> {
    let home = Home::open(data).map_err(anyhow::Error::from)?;
    let file = data.join(SETTINGS);
    if file.exists() {
        return Err(anyhow!("{} is there already; it is left as it is", file.display()).into());
    }
    let named = wish.name.as_ref().map(|name| format!("{name}:{HTTPS_PORT}"));
    let numbered = wish.address.map(|ip| SocketAddr::new(ip, HTTPS_PORT).to_string());
    let public = wish.public.clone().or(named).or(numbered);
    let acme = acme(wish, public.as_deref())?;
    let beginning = Beginning {
        public: public.as_deref().map(with_numbers),
        tls: wish.face.tls(),
        acme: acme.clone(),
        behind: wish.face.behind,
        cover: wish.face.cover().unwrap_or(CoverChoice::None),
        obfs4: wish.obfs4,
    };
    write_durably(data, &file, Settings::template(&beginning).as_bytes())?;
    drop(home);
    show::line(&format!("settings: {}", file.display()))?;
    routes(data)?;
    if wish.face.behind.is_some() {
        show::note("What stands before it must pass everything on: docs/operate/relay.md, \"Behind nginx\".");
    }
    if let Some(acme) = acme {
        show::note(&agreed(&acme));
    }
    show::note("Next: read the settings, then `stonechat relay doctor`, then `stonechat relay run`.");
    Ok(())
}

/// Where the relay is to get a certificate by itself. Errors: nobody is named whom a directory can look at, or the
/// directory or contact cannot be such.
fn acme(wish: &RelayInit, public: Option<&str>) -> Result<Option<Acme>, CommandError> {
    if !wish.acme {
        return Ok(None);
    }
    if public.and_then(Subject::of).is_none() {
        return Err(anyhow!(
            "--acme needs whom the certificate is for: --name HOST (with a dot in it) or --address IP"
        )
        .into());
    }
    Ok(Some(Acme {
        directory: wish.directory.clone().unwrap_or_else(|| LETS_ENCRYPT.to_owned()),
        contact: wish.contact.clone(),
        roots: wish.acme_roots.clone(),
    }))
}

/// What whoever uses a directory has agreed to.
fn agreed(acme: &Acme) -> String {
    let directory = &acme.directory;
    let terms = if directory == LETS_ENCRYPT {
        "https://letsencrypt.org/repository/".to_owned()
    } else {
        format!("\"termsOfService\" at {directory}")
    };
    format!(
        "By --acme you agree to the terms of service of {directory} ({terms}).\n\
         The relay asks it for a certificate once it runs; port 443 must lead here. Certificates are public: everybody can read \
         in the logs of all certificates that one was made for this name or number, and when."
    )
}

/// The address with the numbers that its name leads to behind it (WAY-1): those that others reach.
fn with_numbers(public: &str) -> String {
    let has_some = address::places(public).next().is_some();
    let is_number = public.parse::<SocketAddr>().is_ok();
    if has_some || is_number {
        return public.to_owned();
    }
    let numbers = public.to_socket_addrs().into_iter().flatten();
    address::with_places(public, numbers.filter(|number| !number.ip().is_loopback()))
}

fn doctor(data: &Path) -> Result<(), CommandError> {
    let mut worst = Health::Good;
    for finding in examine(data, &settings(data)?) {
        let word = match finding.health {
            Health::Good => "good",
            Health::Doubtful => "doubtful",
            Health::Bad => "bad",
        };
        worst = worst.max(finding.health);
        show::line(&format!("{word}: {}", finding.text))?;
    }
    if worst == Health::Bad {
        return Err(anyhow!("a relay cannot run here as it stands").into());
    }
    Ok(())
}

fn routes(data: &Path) -> Result<(), CommandError> {
    let settings = settings(data)?;
    let (keys, secrets) = Home::look(data).map_err(anyhow::Error::from)?;
    let address = settings.public.clone().unwrap_or_else(|| settings.listen.to_string());
    let address = if settings.is_inside_tls() {
        route::inside_tls(&address)
    } else {
        address
    };
    for route in route::all(&address, keys, settings.access(), &secrets) {
        show::line(&format!("route: {}", route.to_text()))?;
    }
    let Some((bridge, cert)) = settings.bridge(None).zip(bridge::known_cert(data)) else {
        return Ok(());
    };
    let at = bridge::address(bridge.advertise.as_deref(), &address, bridge.listen, &cert);
    for route in route::all(&at.map_err(anyhow::Error::from)?, keys, settings.access(), &secrets) {
        show::line(&format!("obfs4: {}", route.to_text()))?;
    }
    Ok(())
}

fn stats(data: &Path) -> Result<(), CommandError> {
    let address = settings(data)?
        .metrics
        .context("the settings name no `metrics` address")?;
    let asked = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = asked().with_context(|| format!("no relay tells its figures at {address}"))?;
    let (_, body) = answer.split_once("\r\n\r\n").context("an answer without a body")?;
    for line in body.lines() {
        if let Some(remark) = line.strip_prefix(REMARK) {
            show::line(&format!("certificate: {remark}"))?;
        } else if !line.starts_with('#') {
            show::line(line.trim_start_matches("stonechat_relay_"))?;
        }
    }
    Ok(())
}

fn tell_all(data: &Path, wish: &RelayDisclose) -> Result<(), CommandError> {
    let question = match (&wish.tag, wish.ip, &wish.day) {
        (Some(tag), ..) => Question::Tag(parse_tag(tag).context("a tag has 32 hex digits")?),
        (None, Some(address), _) => Question::Address(address),
        (None, None, Some(day)) => Question::Day(parse_day(day).context("a day is YYYY-MM-DD")?),
        (None, None, None) => Question::All,
    };
    let text = disclose(data, question)?;
    show::line(text.trim_end())?;
    Ok(())
}
