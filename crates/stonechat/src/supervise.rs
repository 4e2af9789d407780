//! `run` and `demo`: a relay and one or two profiles as child processes that live and end together.
//!
//! In: a home. Out: the addresses the children print, then waiting. Children read a pipe from here and end when it
//! closes, so that nothing is left behind even when this process is killed.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Stdio;

use anyhow::anyhow;
use serde_json::{Value, json};
use stonechat_daemon::config::Wishes;
use stonechat_daemon::home::make_private_dir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::client::{Client, Place, settle};
use crate::failure::CommandError;
use crate::grammar::{Demo, Run};
use crate::serve::End;
use crate::{desktop, show};

/// Where a relay listens when it may choose: it keeps its port, since contacts know it.
const RELAY_PORT: u16 = 7481;

/// A relay for this machine (or its network), and this profile.
pub(crate) async fn run(run: Run, dir: &Path, passphrase_file: Option<&Path>) -> Result<(), CommandError> {
    if let Some(url) = url_of_running(dir).await? {
        show::note("this profile runs already");
        show::line(&format!("ui: {url}"))?;
        desktop::open(&url);
        return Ok(());
    }
    let end = End::listen(false);
    let lan = settle(
        dir,
        Wishes {
            lan: run.lan.then_some(true),
            ..Wishes::default()
        },
    )?
    .lan;
    let relay = Part::relay(&dir.join("relay"), lan, RELAY_PORT).await?;
    let mut serve = vec!["serve".to_owned()];
    serve.extend(
        run.port
            .into_iter()
            .flat_map(|port| ["--port".to_owned(), port.to_string()]),
    );
    let profile = Part::profile(dir, serve, &relay.said, passphrase_file).await?;
    show::line(&format!("route: {}", relay.said))?;
    show::line(&format!("ui: {}", profile.said))?;
    desktop::open(&profile.said);
    until_the_end(vec![profile, relay], end).await
}

/// A relay of its own, Ana and Bo.
pub(crate) async fn demo(demo: &Demo, dir: &Path) -> Result<(), CommandError> {
    let end = End::listen(false);
    let dir = dir.join("demo");
    let relay_port = if demo.any_port { 0 } else { RELAY_PORT };
    let relay = Part::relay(&dir.join("relay"), false, relay_port).await?;
    let mut parts = Vec::new();
    for (name, port) in [("ana", 7482_u16), ("bo", 7483)] {
        let port = if demo.any_port || !is_free(Ipv4Addr::LOCALHOST, port) {
            0
        } else {
            port
        };
        let serve = ["serve", "--name", name, "--port", &port.to_string()]
            .map(str::to_owned)
            .to_vec();
        let part = Part::profile(&dir.join(name), serve, &relay.said, None).await?;
        show::line(&format!("{name}: {}", part.said))?;
        desktop::open(&part.said);
        parts.push(part);
    }
    parts.push(relay);
    until_the_end(parts, end).await
}

async fn url_of_running(dir: &Path) -> Result<Option<String>, CommandError> {
    let place = Place {
        dir: dir.to_path_buf(),
        passphrase: None,
    };
    let Some(mut client) = Client::running(&place).await? else {
        return Ok(None);
    };
    let answer: Value = client.call("open", json!({})).await?;
    Ok(answer.get("url").and_then(Value::as_str).map(str::to_owned))
}

/// A child process that has said what it is there for.
struct Part {
    name: String,
    said: String,
    child: Child,
    /// Closing it ends the child.
    _leash: Option<ChildStdin>,
    _rest: Lines<BufReader<ChildStdout>>,
}

impl Part {
    /// Starts a relay. It has said its route.
    async fn relay(dir: &Path, lan: bool, port: u16) -> Result<Self, CommandError> {
        make_private_dir(dir)?;
        let host = if lan {
            Ipv4Addr::UNSPECIFIED
        } else {
            Ipv4Addr::LOCALHOST
        };
        let port = kept_port(&dir.join("port"), host, port)?;
        let mut words = vec![
            "relay".to_owned(),
            "run".to_owned(),
            "--listen".to_owned(),
            format!("{host}:{port}"),
        ];
        words.extend(["--data".to_owned(), dir.display().to_string()]);
        words.extend(lan.then(|| "--lan".to_owned()));
        Self::start("the relay", words, "route: ").await
    }

    /// Starts a profile. It has said its address.
    async fn profile(
        dir: &Path,
        serve: Vec<String>,
        route: &str,
        passphrase_file: Option<&Path>,
    ) -> Result<Self, CommandError> {
        let mut words = vec!["--home".to_owned(), dir.display().to_string()];
        words.extend(
            passphrase_file
                .into_iter()
                .flat_map(|file| ["--passphrase-file".to_owned(), file.display().to_string()]),
        );
        words.extend(serve);
        words.extend(["--relay".to_owned(), route.to_owned()]);
        Self::start("the profile", words, "ui: ").await
    }

    async fn start(name: &str, mut words: Vec<String>, prefix: &str) -> Result<Self, CommandError> {
        words.push("--while-stdin".to_owned());
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let leash = child.stdin.take();
        let mut lines = BufReader::new(child.stdout.take().ok_or_else(|| anyhow!("no pipe"))?).lines();
        while let Some(line) = lines.next_line().await? {
            if let Some(said) = line.strip_prefix(prefix) {
                return Ok(Self {
                    name: name.to_owned(),
                    said: said.to_owned(),
                    child,
                    _leash: leash,
                    _rest: lines,
                });
            }
        }
        Err(anyhow!("{name} did not start").into())
    }

    /// Asks it to end and waits.
    async fn end(mut self) {
        drop(self._leash.take());
        let _ = tokio::time::timeout(crate::client::PATIENCE, self.child.wait()).await;
    }
}

/// Waits for Ctrl-C or for the first part that ends by itself; then ends all, profiles first.
async fn until_the_end(mut parts: Vec<Part>, end: End) -> Result<(), CommandError> {
    let ended = tokio::select! {
        () = end.told() => None,
        name = first_to_end(&mut parts) => Some(name),
    };
    for part in parts {
        part.end().await;
    }
    ended.map_or(Ok(()), |name| Err(anyhow!("{name} ended by itself").into()))
}

async fn first_to_end(parts: &mut [Part]) -> String {
    loop {
        for part in &mut *parts {
            if !matches!(part.child.try_wait(), Ok(None)) {
                return part.name.clone();
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

/// The port used last time; the first time the one wished for, or any where that is taken.
fn kept_port(file: &Path, host: Ipv4Addr, wish: u16) -> Result<u16, CommandError> {
    let kept = std::fs::read_to_string(file)
        .ok()
        .and_then(|text| text.trim().parse().ok());
    if let Some(port) = kept {
        return Ok(port);
    }
    let listener = TcpListener::bind((host, wish)).or_else(|_| TcpListener::bind((host, 0)))?;
    let port = listener.local_addr()?.port();
    std::fs::write(file, port.to_string())?;
    Ok(port)
}

fn is_free(host: Ipv4Addr, port: u16) -> bool {
    TcpListener::bind((host, port)).is_ok()
}
