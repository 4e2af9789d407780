//! A relay of the censor's: the real server, run by somebody who means ill, in our own process.
//!
//! In: the host it stands in and how it is run. Out: a relay that behaves well until it is turned; from then on it takes
//! everything, calls it stored, and gives nothing to anybody. Its operator can read its data folder: [`readable`].

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;

use stonechat_relay::{AccessChoice, Config, CoverChoice, Limits, Relay};
use stonechat_wire::route::RelayRoute;
use tokio::sync::oneshot;

use super::ours::{Face, SECOND_PORT, TlsFiles};
use crate::router::Router;

/// It runs until this is dropped.
#[derive(Debug)]
pub(super) struct Honeypot {
    turn: Option<oneshot::Sender<()>>,
    end: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<()>>,
}

impl Honeypot {
    /// Starts it, behaving well. Out: its route besides.
    pub(super) fn start(router: &Router, host: &str, config: Config) -> (Self, String) {
        let ((turn, turned), (end, ended)) = (oneshot::channel(), oneshot::channel());
        let (told, route) = channel();
        let running = router.host(host).run(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let well = Relay::start(config.clone()).await.unwrap();
                told.send(well.route_text()).unwrap();
                let is_turned = turned.await.is_ok();
                well.stop().await;
                if is_turned {
                    let ill = Relay::start(withholding(config)).await.unwrap();
                    // Whoever drops it ends it.
                    let _ = ended.await;
                    ill.stop().await;
                }
            });
        });
        let honeypot = Self {
            turn: Some(turn),
            end: Some(end),
            running: Some(running),
        };
        (honeypot, route.recv().unwrap())
    }

    /// From now on it keeps what it is given.
    pub(super) fn turn(&mut self) {
        if let Some(turn) = self.turn.take() {
            let _ = turn.send(());
        }
    }
}

impl Drop for Honeypot {
    fn drop(&mut self) {
        (self.turn, self.end) = (None, None);
        if let Some(running) = self.running.take() {
            let _ = running.join();
        }
    }
}

/// How it is run: as the other relays are, at the same ports; `to`: routes that it passes on to.
pub(super) fn run_like_others(
    face: Face,
    tls: &TlsFiles,
    (at, name): (Ipv4Addr, &str),
    (data, to): (&Path, &[String]),
) -> Config {
    std::fs::create_dir_all(data).unwrap();
    std::fs::set_permissions(data, std::fs::Permissions::from_mode(0o700)).unwrap();
    let is_plain = face == Face::Plain;
    let files = stonechat_relay::listen::TlsFiles {
        cert: tls.cert.clone(),
        key: tls.key.clone(),
    };
    Config {
        listen: (at, if is_plain { 80 } else { 443 }).into(),
        also_listen: (!is_plain).then(|| (at, SECOND_PORT).into()).into_iter().collect(),
        data: data.to_owned(),
        advertise: (!is_plain).then(|| format!("{name}:443,{at}:443,{at}:{SECOND_PORT}")),
        tls: (!is_plain).then_some(files),
        acme: None,
        front: None,
        bridge: None,
        cover: CoverChoice::None,
        access: AccessChoice::Secret,
        lan: false,
        near: None,
        forward: to.iter().map(|route| RelayRoute::parse(route).unwrap()).collect(),
        metrics: None,
        limits: Limits::default(),
    }
}

/// No byte is ever under way to anybody: what it takes stays with it.
fn withholding(config: Config) -> Config {
    let limits = Limits {
        push_bytes: 0,
        ..config.limits
    };
    Config { limits, ..config }
}

/// How many of these words stand in clear in any file of a folder.
pub(super) fn readable(folder: &Path, words: &[String]) -> usize {
    let files = files(folder);
    let stands = |word: &&String| files.iter().any(|bytes| holds(bytes, word.as_bytes()));
    words.iter().filter(stands).count()
}

fn holds(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len().max(1)).any(|part| part == word)
}

fn files(folder: &Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let each = entries.flat_map(|entry| {
        let path = entry.path();
        if path.is_dir() {
            files(&path)
        } else {
            std::fs::read(path).into_iter().collect()
        }
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_clear_in_any_file_is_found() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("in")).unwrap();
        std::fs::write(folder.path().join("in/one"), b"..text 3..").unwrap();
        let words = ["text 2", "text 3"].map(str::to_owned);
        assert_eq!(readable(folder.path(), &words), 1);
        assert_eq!(readable(&folder.path().join("none"), &words), 0);
    }
}
