//! Who may talk to the interface's WebSocket: one-time launch tokens, and the two-part sessions they become.
//!
//! In: tokens and secrets as the browser shows them. Out: yes or no. Only hashes are kept, in memory and in the
//! sessions file (0600), so that windows survive a restart. A cookie on 127.0.0.1 is sent to every port, so half of
//! a session is a secret that only the page's own origin can read. HTTP is not its job.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::home::write_private;
use crate::random;

/// A launch token lives so long.
pub const TOKEN_LIFE: Duration = Duration::from_secs(600);
/// So many tokens may wait to be used; a further one replaces the oldest.
pub const TOKENS_MAX: usize = 8;
/// So many windows may be open; a further one closes the oldest.
pub const SESSIONS_MAX: usize = 32;

/// Tokens and sessions of one profile.
#[derive(Debug)]
pub struct Launch {
    profile_id: String,
    token_file: PathBuf,
    sessions_file: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tokens: Vec<(Hash, Instant)>,
    sessions: Vec<Session>,
}

type Hash = [u8; 32];

#[derive(Clone, Copy, Debug)]
struct Session {
    cookie: Hash,
    secret: Hash,
}

/// A fresh session, to be given to the browser once.
pub struct Admission {
    /// Value of the cookie.
    pub cookie: String,
    /// For the page's session storage.
    pub secret: String,
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Admission")
    }
}

impl Launch {
    /// Takes up the sessions of the last run, as far as they can be read.
    pub fn new(profile_id: String, token_file: PathBuf, sessions_file: PathBuf) -> Self {
        let sessions = std::fs::read_to_string(&sessions_file).unwrap_or_default();
        let sessions = sessions.lines().filter_map(Session::read).take(SESSIONS_MAX).collect();
        let state = Mutex::new(State {
            tokens: Vec::new(),
            sessions,
        });
        Self {
            profile_id,
            token_file,
            sessions_file,
            state,
        }
    }

    /// Tells this profile from others in the same browser.
    pub fn profile_id(&self) -> &str {
        &self.profile_id
    }

    /// Name of this profile's cookie.
    pub fn cookie_name(&self) -> String {
        format!("stonechat-{}", self.profile_id)
    }

    /// A fresh launch token, good once, for [`TOKEN_LIFE`]. It also lies in the token file until it is used.
    pub fn mint(&self, now: Instant) -> String {
        let token = hex::encode(random::bytes::<32>());
        let mut state = self.state();
        if state.tokens.len() >= TOKENS_MAX {
            state.tokens.remove(0);
        }
        state.tokens.push((hash(&token), now));
        // Only a convenience for own programs: the address printed is enough.
        let _ = write_private(&self.token_file, token.as_bytes());
        token
    }

    /// Takes a token and gives a session for it; `None` when it is unknown, used or too old.
    pub fn exchange(&self, token: &str, now: Instant) -> Option<Admission> {
        let shown = hash(token);
        let mut state = self.state();
        state
            .tokens
            .retain(|(_, made)| now.saturating_duration_since(*made) < TOKEN_LIFE);
        let place = state.tokens.iter().position(|(kept, _)| same(kept, &shown))?;
        state.tokens.remove(place);
        let _ = std::fs::remove_file(&self.token_file);
        let admission = Admission {
            cookie: hex::encode(random::bytes::<32>()),
            secret: hex::encode(random::bytes::<32>()),
        };
        if state.sessions.len() >= SESSIONS_MAX {
            state.sessions.remove(0);
        }
        state.sessions.push(Session {
            cookie: hash(&admission.cookie),
            secret: hash(&admission.secret),
        });
        self.keep(&state.sessions);
        Some(admission)
    }

    /// Whether both halves belong to one open session.
    pub fn admits(&self, cookie: &str, secret: &str) -> bool {
        let (cookie, secret) = (hash(cookie), hash(secret));
        self.state()
            .sessions
            .iter()
            .any(|session| same(&session.cookie, &cookie) & same(&session.secret, &secret))
    }

    fn keep(&self, sessions: &[Session]) {
        let lines: String = sessions.iter().map(Session::line).collect();
        if let Err(error) = write_private(&self.sessions_file, lines.as_bytes()) {
            tracing::warn!(error = %error.kind(), "sessions are not kept for the next run");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn line(&self) -> String {
        format!("{} {}\n", hex::encode(self.cookie), hex::encode(self.secret))
    }

    fn read(line: &str) -> Option<Self> {
        let (cookie, secret) = line.split_once(' ')?;
        let hash = |text| -> Option<Hash> { hex::decode(text).ok()?.try_into().ok() };
        Some(Self {
            cookie: hash(cookie)?,
            secret: hash(secret)?,
        })
    }
}

fn hash(text: &str) -> Hash {
    Sha256::digest(text.as_bytes()).into()
}

fn same(a: &Hash, b: &Hash) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(dir: &tempfile::TempDir) -> Launch {
        Launch::new("00".repeat(8), dir.path().join("launch"), dir.path().join("sessions"))
    }

    #[test]
    fn a_launch_token_works_once() {
        let dir = tempfile::tempdir().unwrap();
        let launch = launch(&dir);
        let token = launch.mint(Instant::now());
        assert!(launch.exchange(&token, Instant::now()).is_some());
        assert!(launch.exchange(&token, Instant::now()).is_none());
    }

    #[test]
    fn a_launch_token_lives_ten_minutes() {
        let dir = tempfile::tempdir().unwrap();
        let launch = launch(&dir);
        let made = Instant::now();
        let (early, late) = (launch.mint(made), launch.mint(made));
        assert!(launch.exchange(&early, made + Duration::from_secs(599)).is_some());
        assert!(launch.exchange(&late, made + Duration::from_secs(600)).is_none());
    }

    #[test]
    fn only_the_two_halves_of_one_session_open() {
        let dir = tempfile::tempdir().unwrap();
        let launch = launch(&dir);
        let session = |launch: &Launch| launch.exchange(&launch.mint(Instant::now()), Instant::now()).unwrap();
        let (one, other) = (session(&launch), session(&launch));
        assert!(launch.admits(&one.cookie, &one.secret));
        assert!(!launch.admits(&one.cookie, &other.secret));
        assert!(!launch.admits(&one.cookie, ""));
        assert!(!launch.admits("", &one.secret));
    }

    #[test]
    fn sessions_survive_a_restart_and_their_file_holds_only_hashes() {
        let dir = tempfile::tempdir().unwrap();
        let before = launch(&dir);
        let session = before.exchange(&before.mint(Instant::now()), Instant::now()).unwrap();
        let file = std::fs::read_to_string(dir.path().join("sessions")).unwrap();
        assert!(!file.contains(&session.cookie) && !file.contains(&session.secret));
        assert!(launch(&dir).admits(&session.cookie, &session.secret));
    }

    #[test]
    fn tokens_and_sessions_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let launch = launch(&dir);
        for _ in 0..100 {
            let token = launch.mint(Instant::now());
            launch.exchange(&token, Instant::now());
            launch.mint(Instant::now());
        }
        let state = launch.state();
        assert_eq!((state.tokens.len(), state.sessions.len()), (TOKENS_MAX, SESSIONS_MAX));
    }

    #[cfg(unix)]
    #[test]
    fn the_token_file_is_0600_and_gone_once_the_token_is_used() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let launch = launch(&dir);
        let token = launch.mint(Instant::now());
        let file = dir.path().join("launch");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), token);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        launch.exchange(&token, Instant::now());
        assert!(!file.exists());
    }
}
