//! A front: the program before the relay that holds the certificate, and tells for whom it comes (RLY-46).
//!
//! In: accepted connections. Out: whose they are, and the bytes behind what the front said of them. What strangers see of
//! TLS is the front's own then, an nginx's or a Caddy's. Limits by address and source count those for whom it comes, so
//! it is believed only where it stands: on this machine, or where the operator says.

use std::io;
use std::net::IpAddr;
use std::str::FromStr;

use tokio::io::{AsyncRead, AsyncReadExt};

pub(super) mod proxy_header;

use proxy_header::{HEADER_BYTES_MAX, ProxyHeaderError, Told};

/// How a front tells for whom it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// It passes requests on, and says so in each, in `X-Forwarded-For`.
    Http,
    /// It passes bytes on, and says so before the first one: the PROXY protocol, version 1 or 2.
    ProxyProtocol,
}

/// A word that names no [`Telling`].
#[derive(Debug, thiserror::Error)]
#[error("\"http\" or \"proxy-protocol\" is wanted")]
pub struct NoTelling;

impl FromStr for Telling {
    type Err = NoTelling;

    fn from_str(word: &str) -> Result<Self, NoTelling> {
        match word {
            "http" => Ok(Self::Http),
            "proxy-protocol" => Ok(Self::ProxyProtocol),
            _ => Err(NoTelling),
        }
    }
}

impl Telling {
    /// As it stands in the settings.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::ProxyProtocol => "proxy-protocol",
        }
    }
}

/// What stands before a relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Front {
    /// How it tells for whom it comes.
    pub telling: Telling,
    /// Where it comes from; this machine where nothing is named. Nobody else is let in.
    pub at: Vec<IpAddr>,
}

impl Front {
    /// Whether a connection from there is the front's.
    pub(super) fn is_at(&self, from: IpAddr) -> bool {
        let from = from.to_canonical();
        let is_named = self.at.iter().any(|at| at.to_canonical() == from);
        is_named || (self.at.is_empty() && from.is_loopback())
    }
}

/// Why a connection of a front is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum FrontError {
    /// It broke off.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It ended before its header was whole.
    #[error("it ends within its PROXY header")]
    Cut,
    /// What it says first is no PROXY header.
    #[error("PROXY header: {0}")]
    Header(#[from] ProxyHeaderError),
}

/// Reads what a front says before the first byte. Out: for whom it comes, if for anybody, and what came behind it.
pub(super) async fn hear(stream: &mut (impl AsyncRead + Unpin)) -> Result<(Option<IpAddr>, Vec<u8>), FrontError> {
    let mut bytes = Vec::with_capacity(128);
    let mut chunk = [0; HEADER_BYTES_MAX];
    loop {
        if let Some(Told { whom, length }) = proxy_header::read(&bytes)? {
            return Ok((whom, bytes.split_off(length)));
        }
        let count = stream.read(&mut chunk).await?;
        if count == 0 {
            return Err(FrontError::Cut);
        }
        bytes.extend_from_slice(chunk.get(..count).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_front_stands_on_this_machine_or_where_the_operator_says_rly_46() {
        let here = Front {
            telling: Telling::Http,
            at: vec![],
        };
        let there = Front {
            at: vec![ip("192.0.2.7")],
            ..here.clone()
        };
        for (from, is_here, is_there) in [
            ("127.0.0.1", true, false),
            ("::1", true, false),
            ("::ffff:127.0.0.1", true, false),
            ("192.0.2.7", false, true),
            ("::ffff:192.0.2.7", false, true),
            ("192.0.2.8", false, false),
        ] {
            assert_eq!(
                (here.is_at(ip(from)), there.is_at(ip(from))),
                (is_here, is_there),
                "{from}"
            );
        }
    }

    #[tokio::test]
    async fn a_header_may_come_in_pieces_and_what_follows_is_kept_rly_46() {
        let (mut near, mut far) = tokio::io::duplex(8);
        let writing = tokio::spawn(async move {
            use tokio::io::AsyncWriteExt as _;
            near.write_all(b"PROXY TCP4 192.0.2.7 127.0.0.1 5 443\r\nGET /")
                .await
                .unwrap();
        });
        let (whom, mut rest) = hear(&mut far).await.unwrap();
        writing.await.unwrap();
        far.read_to_end(&mut rest).await.unwrap();
        assert_eq!((whom, rest), (Some(ip("192.0.2.7")), b"GET /".to_vec()));
        let mut short: &[u8] = b"PROXY TCP4 192";
        assert!(matches!(hear(&mut short).await, Err(FrontError::Cut)));
    }
}
