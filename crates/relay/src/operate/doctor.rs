//! Whether a relay can do its work here: what an operator would find out in the first bad night.
//!
//! In: the data folder and the settings. Out: findings, each with what to do about it. It makes the
//! folder and its keys if there are none, and writes a file to measure the disk, which it removes.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use crate::acme::{self, Subject};
use crate::home::{Home, HomeError};
use crate::listen::CoverChoice;
use crate::operate::settings::{HTTPS_PORT, Settings};

/// Files that a relay keeps open beside its connections.
const OTHER_FILES: u64 = 1024;
/// A sync slower than this makes people wait.
const SLOW_SYNC: Duration = Duration::from_millis(50);
const SYNCS: u32 = 10;
/// How long the web server behind may take to let one in.
const WEB_SERVER_MAX: Duration = Duration::from_secs(2);
const DAY_S: u64 = 86_400;
/// A certificate of an operator's own that ends sooner than this is to be renewed.
const SOON_S: u64 = 14 * DAY_S;
/// A clock before this is wrong: 2026.
const CLOCK_MIN_S: u64 = 1_767_225_600;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// As it should be.
    Good,
    /// It works, not well.
    Doubtful,
    /// It does not work.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub health: Health,
    /// What was found, and what to do.
    pub text: String,
}

/// Looks at everything.
pub fn examine(data: &Path, settings: &Settings) -> Vec<Finding> {
    let others = settings.also_listen().unwrap_or_default();
    let mut findings = vec![
        folder(data),
        clock(),
        files(settings),
        disk(data, settings),
        syncs(data),
        port(data, settings.listen),
        address(settings),
        before(settings),
        cover(settings),
    ];
    findings.extend(certificate(data, settings));
    findings.extend(looked_at(settings));
    findings.extend(bridge(data, settings));
    findings.extend(others.into_iter().map(|listen| port(data, listen)));
    findings
}

fn good(text: impl Into<String>) -> Finding {
    finding(Health::Good, text)
}

fn finding(health: Health, text: impl Into<String>) -> Finding {
    Finding {
        health,
        text: text.into(),
    }
}

fn folder(data: &Path) -> Finding {
    match Home::open(data) {
        Ok(_) => good("the data folder opens, its keys are whole"),
        Err(HomeError::InUse) => good("the data folder is in use: the relay runs"),
        Err(error) => finding(Health::Bad, format!("the data folder does not open: {error}")),
    }
}

fn clock() -> Finding {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    if since.as_secs() < CLOCK_MIN_S {
        return finding(
            Health::Bad,
            "the clock stands in the past: envelopes would expire at the wrong time; set it",
        );
    }
    good("the clock is plausible")
}

fn files(settings: &Settings) -> Finding {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let may: Option<u64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    let wants = (settings.limits().connections as u64).saturating_add(OTHER_FILES);
    match may {
        Some(may) if may < wants => finding(
            Health::Doubtful,
            format!("{may} open files are allowed here, {wants} are wanted: raise LimitNOFILE or lower `connections`"),
        ),
        Some(may) => good(format!("{may} open files are allowed, {wants} are wanted")),
        None => finding(Health::Doubtful, "the system does not say how many files may be open"),
    }
}

fn disk(data: &Path, settings: &Settings) -> Finding {
    let wants = settings.limits().total_bytes;
    match free_bytes(data) {
        Ok(free) if free < wants => finding(
            Health::Doubtful,
            format!(
                "{} GiB are free, {} are allowed to mailboxes: lower `disk_gib`",
                free >> 30,
                wants >> 30
            ),
        ),
        Ok(free) => good(format!(
            "{} GiB are free, {} are allowed to mailboxes",
            free >> 30,
            wants >> 30
        )),
        Err(error) => finding(
            Health::Doubtful,
            format!("the free space could not be found out: {error}"),
        ),
    }
}

#[cfg(unix)]
fn free_bytes(data: &Path) -> io::Result<u64> {
    let space = rustix::fs::statvfs(data)?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> io::Result<u64> {
    Err(io::ErrorKind::Unsupported.into())
}

fn syncs(data: &Path) -> Finding {
    match sync_time(data) {
        Ok(time) if time > SLOW_SYNC => finding(
            Health::Doubtful,
            format!(
                "a sync takes {} ms: everybody waits that long for `stored`; another disk would help",
                time.as_millis()
            ),
        ),
        Ok(time) => good(format!("a sync takes {:.1} ms", time.as_secs_f64() * 1e3)),
        Err(error) => finding(Health::Bad, format!("the data folder cannot be written: {error}")),
    }
}

fn sync_time(data: &Path) -> io::Result<Duration> {
    let path = data.join("doctor.tmp");
    let mut file = File::create(&path)?;
    let began = Instant::now();
    for _ in 0..SYNCS {
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
    }
    let took = began.elapsed() / SYNCS;
    fs::remove_file(path)?;
    Ok(took)
}

fn port(data: &Path, listen: SocketAddr) -> Finding {
    match TcpListener::bind(listen) {
        Ok(_) => good(format!("{listen} can be listened on")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && matches!(Home::open(data), Err(HomeError::InUse)) => {
            good(format!("{listen} is listened on by the relay"))
        }
        Err(error) => finding(Health::Bad, format!("{listen} cannot be listened on: {error}")),
    }
}

fn address(settings: &Settings) -> Finding {
    if settings.public.is_none() && settings.listen.ip().is_unspecified() {
        let text = "no `public` is set: the route names an address that others may not reach";
        return finding(Health::Doubtful, text);
    }
    let public = settings.public.as_deref().unwrap_or_default();
    let is_name = !public.is_empty() && public.split(',').all(|place| place.parse::<SocketAddr>().is_err());
    if is_name && settings.is_inside_tls() {
        let text = "`public` names no number: who is told another one for the name does not find the relay; put a comma and \
                    IP:PORT behind it";
        return finding(Health::Doubtful, text);
    }
    good("the route names where others reach it")
}

/// Whether the program is there that is the bridge to it, and its place free.
fn bridge(data: &Path, settings: &Settings) -> Vec<Finding> {
    let Some(bridge) = settings.bridge(None) else {
        return Vec::new();
    };
    let asked = Command::new(&bridge.program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let name = bridge.program.display();
    let program = match asked {
        Ok(_) => good(format!("{name}, the bridge's program, is there")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => finding(
            Health::Bad,
            format!("{name}, the bridge's program, is not installed (Debian: apt install obfs4proxy)"),
        ),
        Err(error) => finding(
            Health::Bad,
            format!("{name}, the bridge's program, cannot be run: {error}"),
        ),
    };
    vec![program, port(data, bridge.listen)]
}

/// What strangers are shown, and whether it is there.
fn cover(settings: &Settings) -> Finding {
    match settings.cover() {
        CoverChoice::None => good("strangers are shown a site without pages"),
        CoverChoice::Site(folder) if folder.is_dir() => good("the site's folder is there"),
        CoverChoice::Site(folder) => finding(
            Health::Bad,
            format!("there is no folder {} for the site", folder.display()),
        ),
        CoverChoice::Proxy(place) => web_server(settings, &place),
    }
}

fn web_server(settings: &Settings, place: &str) -> Finding {
    if place.starts_with("https://") {
        return finding(
            Health::Bad,
            "`proxy` must be http://HOST:PORT: the relay speaks to the web server in plain",
        );
    }
    let place = place.strip_prefix("http://").unwrap_or(place).trim_end_matches('/');
    let found = place.to_socket_addrs().ok().and_then(|mut all| all.next());
    let Some(address) = found else {
        return finding(
            Health::Bad,
            format!("`proxy` names no place: {place} (host:port is wanted)"),
        );
    };
    if address == settings.listen {
        return finding(Health::Bad, "`proxy` leads to the relay itself");
    }
    match TcpStream::connect_timeout(&address, WEB_SERVER_MAX) {
        Ok(_) => good(format!("the web server at {place} answers")),
        Err(error) => finding(
            Health::Bad,
            format!("the web server at {place} does not answer ({error}): strangers see nothing"),
        ),
    }
}

/// What stands before the relay, and whether strangers could go past it.
fn before(settings: &Settings) -> Finding {
    let Ok(Some(front)) = settings.front() else {
        return good("nothing stands before the relay");
    };
    if settings.public.is_none() {
        let text = "`behind` is set and no `public`: the route must name where others reach what holds the certificate";
        return finding(Health::Bad, text);
    }
    if settings.cover() == CoverChoice::None {
        let text = "what stands before the relay shows strangers a bare 404: set `proxy` to a site, or `site`";
        return finding(Health::Doubtful, text);
    }
    if front.at.is_empty() && !settings.listen.ip().is_loopback() {
        let text = format!(
            "{} is open to others, who get nothing there but see that something listens: listen on 127.0.0.1",
            settings.listen
        );
        return finding(Health::Doubtful, text);
    }
    good("what stands before the relay holds the certificate; nobody else is let in")
}

/// How the certificate stands, where the relay holds one.
fn certificate(data: &Path, settings: &Settings) -> Option<Finding> {
    if settings.acme().is_some() {
        return Some(own_certificate(data));
    }
    let (cert, _) = settings.tls()?;
    let Some(ends_s) = acme::ends_at(&cert) else {
        return Some(finding(Health::Bad, format!("{} holds no certificate", cert.display())));
    };
    let left_s = ends_s.saturating_sub(now_s());
    let text = format!("the certificate holds for {} days", left_s / DAY_S);
    Some(match left_s {
        0 => finding(Health::Bad, "the certificate has ended: renew it and restart the relay"),
        _ if left_s < SOON_S => finding(Health::Doubtful, format!("{text}: renew it and restart the relay")),
        _ => good(text),
    })
}

/// The one that the relay gets by itself. What the directory said last is for whoever asks here, and stands in no log.
fn own_certificate(data: &Path) -> Finding {
    let word = acme::look(data);
    let said = word
        .detail
        .as_ref()
        .map(|said| format!(" (the directory said: {said})"));
    let text = format!("{word}{}", said.unwrap_or_default());
    match (word.ends_s, word.failure) {
        (Some(_), _) if word.has_ended() => finding(Health::Bad, text),
        (Some(_), None) => good(text),
        (None, Some(_)) => finding(Health::Bad, text),
        (Some(_), Some(_)) => finding(Health::Doubtful, text),
        (None, None) => finding(Health::Doubtful, format!("{text}: the relay asks for one once it runs")),
    }
}

/// Whether the directory can look where it looks: at port 443 of the first host of `public`.
fn looked_at(settings: &Settings) -> Option<Finding> {
    settings.acme()?;
    let public = settings.public.as_deref().unwrap_or_default();
    let Some(subject) = Subject::of(public) else {
        let text = "`acme` is set, and `public` names nobody that a directory can look at: a name with a dot, or an IP";
        return Some(finding(Health::Bad, text));
    };
    if let (Subject::Name(name), false) = (&subject, leads_somewhere(&subject)) {
        let text = format!("{name} leads nowhere: set an A or AAAA record; without it there is no certificate");
        return Some(finding(Health::Bad, text));
    }
    let others = settings.also_listen().unwrap_or_default();
    let is_there = others
        .iter()
        .chain([&settings.listen])
        .any(|listen| listen.port() == HTTPS_PORT);
    if !is_there {
        let text = "the directory looks at port 443, where the relay does not listen: something must pass that port on as it is";
        return Some(finding(Health::Doubtful, text));
    }
    Some(good("the directory looks where the relay listens"))
}

fn leads_somewhere(subject: &Subject) -> bool {
    let Subject::Name(name) = subject else { return true };
    (name.as_str(), HTTPS_PORT)
        .to_socket_addrs()
        .is_ok_and(|mut all| all.next().is_some())
}

fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        Settings::read(text, |_| None).unwrap()
    }

    fn worst(findings: &[Finding]) -> Health {
        findings.iter().map(|finding| finding.health).max().unwrap()
    }

    #[test]
    fn a_folder_that_is_fine_is_good_and_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings("listen = \"127.0.0.1:0\"\ndisk_gib = 0\nconnections = 10");
        let findings = examine(folder.path(), &settings);
        let bad: Vec<_> = findings
            .iter()
            .filter(|finding| finding.health == Health::Bad)
            .collect();
        assert_eq!(bad, [] as [&Finding; 0]);
        assert!(!folder.path().join("doctor.tmp").exists());
    }

    #[test]
    fn a_cover_that_is_not_there_is_found_rly_42() {
        let site = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = site.local_addr().unwrap();
        let of = |text: String| cover(&settings(&text)).health;
        assert_eq!(of(String::new()), Health::Good);
        assert_eq!(of(format!("proxy = \"http://{place}/\"")), Health::Good);
        assert_eq!(of(format!("proxy = \"https://{place}\"")), Health::Bad);
        assert_eq!(
            of(format!("proxy = \"{place}\"\nlisten = \"{place}\"")),
            Health::Bad,
            "itself"
        );
        assert_eq!(of("proxy = \"nonsense\"".into()), Health::Bad);
        drop(site);
        assert_eq!(
            of(format!("proxy = \"http://{place}\"")),
            Health::Bad,
            "nobody is there"
        );
        assert_eq!(of("site = \"/nowhere/at/all\"".into()), Health::Bad);
    }

    #[test]
    fn what_stands_before_it_is_looked_at_rly_46() {
        let behind = "behind = \"http\"\n";
        for (text, health) in [
            ("", Health::Good),
            (behind, Health::Bad),
            ("behind = \"http\"\npublic = \"a:443\"", Health::Doubtful),
            (
                "behind = \"http\"\npublic = \"a:443\"\nproxy = \"127.0.0.1:1\"",
                Health::Good,
            ),
            (
                "behind = \"http\"\npublic = \"a:443\"\nproxy = \"127.0.0.1:1\"\nlisten = \"0.0.0.0:1\"",
                Health::Doubtful,
            ),
        ] {
            assert_eq!(before(&settings(text)).health, health, "{text}");
        }
    }

    #[test]
    fn a_certificates_end_is_found_acm_7() {
        let folder = tempfile::tempdir().unwrap();
        let write = |days: i64| {
            let mut params = rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap();
            let now = i64::try_from(now_s()).unwrap();
            let at = |s: i64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(s).unwrap());
            (params.not_before, params.not_after) = (at(now - 100 * 86_400), at(now + days * 86_400 + 60));
            let made = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
            fs::write(folder.path().join("cert.pem"), made.pem()).unwrap();
        };
        let cert = folder.path().join("cert.pem");
        let settings = settings(&format!("cert = {:?}\nkey = \"k\"", cert.display().to_string()));
        let found = || certificate(folder.path(), &settings).unwrap();
        for (days, health, says) in [
            (61, Health::Good, "for 61 days"),
            (13, Health::Doubtful, "for 13 days"),
            (-1, Health::Bad, "has ended"),
        ] {
            write(days);
            let found = found();
            assert!(found.health == health && found.text.contains(says), "{found:?}");
        }
        fs::write(&cert, "").unwrap();
        assert_eq!(found().health, Health::Bad);
    }

    #[test]
    fn where_a_directory_cannot_look_is_found_acm_7() {
        let of = |text: &str| {
            let settings = settings(&format!("acme = \"https://acme.example/directory\"\n{text}"));
            looked_at(&settings).unwrap().health
        };
        assert_eq!(of("listen = \"0.0.0.0:443\""), Health::Bad, "of whom?");
        assert_eq!(
            of("listen = \"0.0.0.0:443\"\npublic = \"relay.invalid:443\""),
            Health::Bad,
            "no such name"
        );
        let public = "public = \"192.0.2.7:443\"\n";
        assert_eq!(of(&format!("{public}listen = \"0.0.0.0:443\"")), Health::Good);
        assert_eq!(of(&format!("{public}listen = \"0.0.0.0:8443\"")), Health::Doubtful);
        assert_eq!(of(&format!("{public}also_listen = \"0.0.0.0:443\"")), Health::Good);
        assert!(looked_at(&settings("")).is_none());
    }

    #[test]
    fn what_is_wrong_is_found() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("relay.key"), b"short").unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = format!("listen = \"{}\"\n", taken.local_addr().unwrap());
        let settings = settings(&format!("{listen}disk_gib = 1000000000\nconnections = 1000000000"));
        let findings = examine(folder.path(), &settings);
        let texts: Vec<&str> = findings
            .iter()
            .filter(|f| f.health > Health::Good)
            .map(|f| f.text.as_str())
            .collect();
        for word in ["does not open", "open files", "disk_gib", "cannot be listened on"] {
            assert!(texts.iter().any(|text| text.contains(word)), "{word} in {texts:?}");
        }
        assert_eq!(worst(&findings), Health::Bad);
    }
}
