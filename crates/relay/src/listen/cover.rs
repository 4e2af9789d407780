//! What stands at the relay's address for everybody else (RLY-42, RLY-43).
//!
//! In: a connection whose first request did not prove itself, and the bytes that came. Out: what an ordinary site says to
//! it: a real web server's own answer, or that of a folder of files, or of one without any. Who is let in is decided elsewhere.

use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::connection::answer_and_close;
use super::http::RequestError;
use super::site::{Site, SiteError};
use super::tls::Stream;

/// How long a connection before a web server may say nothing before it is that server's.
const SILENT_MAX: Duration = Duration::from_secs(2);

/// What covers a relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoverChoice {
    /// Nothing: a site without files.
    None,
    /// The files of this folder.
    Site(PathBuf),
    /// The web server at this `host:port`, with or without `http://` before it.
    Proxy(String),
}

/// The same, ready.
#[derive(Debug)]
pub(super) enum Cover {
    Site(Site),
    Proxy(String),
}

impl Cover {
    pub(super) fn new(choice: &CoverChoice) -> Result<Self, SiteError> {
        Ok(match choice {
            CoverChoice::None => Self::Site(Site::empty()),
            CoverChoice::Site(folder) => Self::Site(Site::read(folder)?),
            CoverChoice::Proxy(address) => {
                let place = address.strip_prefix("http://").unwrap_or(address);
                Self::Proxy(place.trim_end_matches('/').to_owned())
            }
        })
    }

    pub(super) const fn is_proxy(&self) -> bool {
        matches!(self, Self::Proxy(_))
    }

    /// Until when a first request is waited for.
    pub(super) fn patience(&self, deadline: Instant) -> Instant {
        match self {
            Self::Proxy(_) => deadline.min(Instant::now() + SILENT_MAX),
            Self::Site(_) => deadline,
        }
    }

    /// Answers a connection that is none of ours, from its first byte.
    pub(super) async fn answer(&self, stream: Stream, bytes: &[u8], why: RequestError) {
        match self {
            Self::Proxy(address) => splice(stream, bytes, address).await,
            Self::Site(_) if matches!(why, RequestError::Slow | RequestError::Cut) => {}
            Self::Site(site) => answer_and_close(stream, &[&site.answer(bytes)]).await,
        }
    }
}

/// Byte for byte, both ways, until one side has had enough.
async fn splice(mut stream: Stream, bytes: &[u8], address: &str) {
    let Ok(mut behind) = TcpStream::connect(address).await else {
        return tracing::warn!("the web server behind does not answer");
    };
    let _ = behind.set_nodelay(true);
    if behind.write_all(bytes).await.is_ok() {
        // How it ends is between the two.
        let _ = copy_bidirectional(&mut stream, &mut behind).await;
    }
}
