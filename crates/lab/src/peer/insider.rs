//! Somebody among the contacts who tells: a member like any other, with the real program.
//!
//! In: the folder of the member's profile. Out: the censor hears of every relay that the member's own device shows. What a
//! member is not told of, an insider cannot tell.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use super::ours::Socket;
use crate::censor::people::Source;
use crate::router::Router;

/// Time between two looks.
const EVERY: Duration = Duration::from_millis(500);

/// A member who tells.
#[derive(Debug)]
pub(crate) struct Insider {
    home: PathBuf,
    looked: Option<Instant>,
}

impl Insider {
    pub(crate) const fn new(home: PathBuf) -> Self {
        Self { home, looked: None }
    }

    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// Tells what has become known since; to be called now and then.
    pub(crate) fn tells(&mut self, router: &Router) {
        if self.looked.is_none_or(|looked| looked.elapsed() >= EVERY) {
            self.looked = Some(Instant::now());
            self.known()
                .iter()
                .for_each(|address| router.told(Source::Member, address));
        }
    }

    fn known(&self) -> Vec<String> {
        let status = Socket::open(&self.home).and_then(|mut socket| socket.ask("status", &json!({})));
        let status = status.unwrap_or_default();
        let relays = status["relays"].as_array().into_iter().flatten();
        relays
            .filter_map(|relay| relay["address"].as_str().map(str::to_owned))
            .collect()
    }
}
