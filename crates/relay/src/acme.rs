//! A certificate that the relay gets and renews by itself, from a directory that speaks ACME (RFC 8555).
//!
//! In: for whom, from which directory, and the data folder. Out: a certificate that is shown, a word on how it stands, and
//! what a start after a kill goes on from. The directory proves the name or number by asking at port 443 with a protocol
//! of its own (TLS-ALPN-01, RFC 8737): `listen::tls` answers there. Specified in `docs/protocol/22-acme.md` (ACM).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

mod attempt;
mod client;
mod failure;
mod kept;
mod plan;
mod subject;
mod word;

use attempt::Attempt;
use client::Client;
pub use client::RootsError;
use failure::Failed;
pub use failure::Failure;
pub use kept::FILES;
use kept::{Certificate, Kept, Last};
use plan::{Leaf, Window};
pub use subject::Subject;
pub use word::Word;

use crate::listen::Shown;

/// Let's Encrypt's: the directory that is asked where no other is named.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// Longest single wait: clocks are set, and machines sleep.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);
/// How long one attempt may take.
const ATTEMPT_MAX: Duration = Duration::from_secs(600);

/// How a certificate is asked for. Whoever sets it agrees to the directory's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// URL of the directory, `https` (see [`is_directory`]).
    pub directory: String,
    /// Where the directory may write to, an e-mail address.
    pub contact: Option<String>,
    /// File of authorities, as PEM, that the directory's own certificate is to be of; the system's where none is named.
    pub roots: Option<PathBuf>,
}

/// Whether a text can be a directory's URL.
pub fn is_directory(url: &str) -> bool {
    client::is_https(url)
}

/// Whether a text can be an e-mail address.
pub fn is_contact(mail: &str) -> bool {
    let is_plain = mail
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !b",;?<>\"".contains(&byte));
    is_plain
        && mail
            .split_once('@')
            .is_some_and(|(who, at)| !who.is_empty() && at.contains('.'))
}

/// How the certificate in a data folder stands, also while the relay runs.
pub fn look(data: &Path) -> Word {
    let kept = Kept::at(data);
    Word::of(kept.certificate().as_ref(), kept.last())
}

/// When an operator's own certificate ends, in Unix seconds. In: the file of its chain. Out: nothing where that is none.
pub fn ends_at(chain: &Path) -> Option<u64> {
    let chain = std::fs::read_to_string(chain).ok()?;
    Some(Leaf::read(&chain)?.not_after_s)
}

/// Keeps a certificate: shows the one there is, and asks for the next when it is time. It has no end.
#[derive(Debug)]
pub(crate) struct Keeper {
    acme: Acme,
    subject: Subject,
    kept: Kept,
    client: Client,
    shown: Arc<Shown>,
    told: watch::Sender<Word>,
    certificate: Option<(Certificate, Leaf)>,
    window: Option<Window>,
    last: Last,
    started_s: u64,
}

impl Keeper {
    /// Reads what the data folder has. Errors: the file of authorities.
    pub(crate) fn new(acme: Acme, subject: Subject, data: &Path, shown: Arc<Shown>) -> Result<Self, RootsError> {
        let (kept, client) = (Kept::at(data), Client::new(&acme)?);
        let (certificate, last) = (kept.certificate(), kept.last());
        let (told, _) = watch::channel(Word::default());
        let mut keeper = Self {
            acme,
            subject,
            kept,
            client,
            shown,
            told,
            certificate: None,
            window: None,
            last,
            started_s: now_s(),
        };
        if let Some(certificate) = certificate {
            // One that does not hold is as good as none.
            let _ = keeper.show(certificate);
        }
        keeper.tell();
        Ok(keeper)
    }

    /// How it stands, from now on.
    pub(crate) fn telling(&self) -> watch::Receiver<Word> {
        self.told.subscribe()
    }

    pub(crate) async fn keep(mut self) {
        loop {
            self.ask_for_window().await;
            let wait = self.due_s().saturating_sub(now_s());
            if wait > 0 {
                tokio::time::sleep(Duration::from_secs(wait).min(LOOK_AGAIN)).await;
            } else {
                self.attempt().await;
            }
        }
    }

    /// Shows a certificate, if it is for whom this relay is. Errors: it does not hold.
    fn show(&mut self, certificate: Certificate) -> Result<(), Failure> {
        let leaf = Leaf::read(&certificate.chain).filter(|leaf| leaf.is_for(&self.subject));
        let leaf = leaf.ok_or(Failure::Nonsense)?;
        self.shown
            .show(&certificate.chain, &certificate.key)
            .map_err(|_| Failure::Nonsense)?;
        self.certificate = Some((certificate, leaf));
        Ok(())
    }

    /// When to act next, in Unix seconds (ACM-5, ACM-6).
    fn due_s(&self) -> u64 {
        let renewal = match &self.certificate {
            Some((certificate, leaf)) if certificate.directory == self.acme.directory => {
                plan::renew_at(leaf, self.window.as_ref())
            }
            Some(_) | None => 0,
        };
        renewal.max(self.last.not_before_s(self.started_s))
    }

    /// Asks the directory when it wants this certificate renewed (RFC 9773), where it is time to ask. It need not know.
    async fn ask_for_window(&mut self) {
        let Some((_, leaf)) = &self.certificate else { return };
        if self.window.as_ref().is_some_and(|window| now_s() < window.ask_again_s) {
            return;
        }
        let attempt = Attempt::new(&self.acme, &self.subject, &self.kept, &self.client, &self.shown);
        let asked = tokio::time::timeout(ATTEMPT_MAX, attempt.window(leaf)).await;
        self.window = Some(asked.ok().flatten().unwrap_or_else(|| Window::unknown(now_s())));
    }

    async fn attempt(&mut self) {
        let attempt = Attempt::new(&self.acme, &self.subject, &self.kept, &self.client, &self.shown);
        let replaces = self.certificate.as_ref().map(|(_, leaf)| leaf);
        let replaces = replaces.filter(|_| self.window.as_ref().is_some_and(Window::is_told));
        let gained = tokio::time::timeout(ATTEMPT_MAX, attempt.run(replaces)).await;
        let done = match gained.unwrap_or_else(|_| Err(Failure::Slow.into())) {
            Ok(certificate) => self.take(certificate),
            Err(failed) => Err(failed),
        };
        self.note(done);
    }

    /// Keeps and shows a new certificate. The order that it came from is done only now.
    fn take(&mut self, certificate: Certificate) -> Result<(), Failed> {
        self.show(certificate.clone())?;
        self.kept.keep_certificate(&certificate).map_err(|_| Failure::Disk)?;
        self.kept.forget_order();
        self.window = None;
        Ok(())
    }

    /// Writes down how an attempt went, so that a start after it does not ask again at once.
    fn note(&mut self, done: Result<(), Failed>) {
        let now = now_s();
        match done {
            Ok(()) => {
                tracing::info!("the relay has a new certificate");
                self.last = Last::good(now);
            }
            Err(failed) => {
                tracing::warn!(why = %failed.why, "there is no new certificate this time");
                self.last = self.last.after(&failed, now, dice());
            }
        }
        if self.kept.keep_last(&self.last).is_err() {
            tracing::warn!("how the certificate stands could not be written down");
        }
        self.tell();
    }

    fn tell(&self) {
        let certificate = self.certificate.as_ref().map(|(certificate, _)| certificate);
        self.told.send_replace(Word::of(certificate, self.last.clone()));
    }
}

fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// Without dice there is no jitter: better than no certificate.
fn dice() -> u32 {
    crate::home::dice().map_or(0, u32::from_le_bytes)
}
