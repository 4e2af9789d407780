//! The first step of a way: a TCP connection that leads to its place, by oneself, by a proxy or by obfs4's program.
//!
//! In: a way and the means. Out: the connection with its meter. Where somebody else dialled, it leads to no number that is
//! known here.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use stonechat_wire::address::dialled;
use stonechat_wire::bridge::Bridge;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::means::Means;
use super::meter::{Meter, Metered};
use super::outer::is_outside;
use super::socks::{Proxy, SocksError};
use crate::courier::Missed;

/// How long a TCP connection may take: three tries of the system.
pub const TCP_MAX: Duration = Duration::from_secs(6);
/// The same where somebody else dials: a proxy has ways of its own.
pub(super) const TCP_BY_OTHERS_MAX: Duration = Duration::from_secs(15);

/// How far one goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Wherever it is.
    Anywhere,
    /// Only to where anybody could go (DRP-19).
    Outside,
}

/// What befell the first step, where the system's own words do not say it (WAY-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unled {
    #[error("the name leads nowhere")]
    Name,
    #[error("the proxy does not answer, or does not let in")]
    Proxy,
    #[error("the program for bridges is not there, or does not work")]
    Program,
}

impl Unled {
    pub(super) const fn missed(self) -> Missed {
        match self {
            Self::Name => Missed::NoName,
            Self::Proxy => Missed::NoProxy,
            Self::Program => Missed::NoProgram,
        }
    }

    pub(super) fn error(self) -> io::Error {
        io::Error::other(self)
    }
}

/// Goes the first step, in [`TCP_MAX`] or [`TCP_BY_OTHERS_MAX`].
pub(super) async fn dial(way: &str, means: &Means, reach: Reach) -> io::Result<(Metered, Meter)> {
    if let Some(bridge) = Bridge::read(way) {
        let program = means.obfs4.as_ref().ok_or_else(|| Unled::Program.error())?;
        return by_others(program.dial(&bridge)).await;
    }
    match means.proxy_of(way) {
        Some((proxy, place)) if reach == Reach::Anywhere || may_be_outside(place) => {
            by_others(through(proxy, place)).await
        }
        Some(_own) => Err(io::ErrorKind::AddrNotAvailable.into()),
        None => by_oneself(way, reach).await,
    }
}

async fn by_others(going: impl Future<Output = io::Result<TcpStream>>) -> io::Result<(Metered, Meter)> {
    let stream = in_time(TCP_BY_OTHERS_MAX, going).await?;
    Ok(Metered::led(stream))
}

async fn by_oneself(way: &str, reach: Reach) -> io::Result<(Metered, Meter)> {
    let going = async {
        let mut found = found(dialled(way)).await?;
        found.retain(|place| reach == Reach::Anywhere || is_outside(place.ip()));
        TcpStream::connect(&found[..]).await
    };
    Ok(Metered::new(in_time(TCP_MAX, going).await?))
}

async fn in_time(limit: Duration, going: impl Future<Output = io::Result<TcpStream>>) -> io::Result<TcpStream> {
    let stream = timeout(limit, going).await;
    let stream = stream.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    // Frames are small and somebody waits for each.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Asks a proxy for a place. The proxy's own name is the one thing that is looked up.
async fn through(proxy: &Proxy, place: &str) -> io::Result<TcpStream> {
    let no_proxy = |_| Unled::Proxy.error();
    let found = found(proxy.place()).await.map_err(no_proxy)?;
    let mut stream = TcpStream::connect(&found[..]).await.map_err(no_proxy)?;
    proxy.lead(&mut stream, place).await.map_err(refused)?;
    Ok(stream)
}

/// What a proxy's no means: RFC 1928's numbers, of which some tell of the place.
fn refused(error: SocksError) -> io::Error {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut};
    match error {
        SocksError::Refused(1 | 4) => HostUnreachable.into(),
        SocksError::Refused(3) => NetworkUnreachable.into(),
        SocksError::Refused(5) => ConnectionRefused.into(),
        SocksError::Refused(6) => TimedOut.into(),
        SocksError::Refused(_)
        | SocksError::Io(_)
        | SocksError::NotSocks
        | SocksError::Denied
        | SocksError::TooLong => Unled::Proxy.error(),
    }
}

/// The numbers that a place leads to.
pub(super) async fn found(place: &str) -> io::Result<Vec<SocketAddr>> {
    let no_name = || Unled::Name.error();
    let found: Vec<SocketAddr> = lookup_host(place).await.map_err(|_| no_name())?.collect();
    if found.is_empty() { Err(no_name()) } else { Ok(found) }
}

/// Whether a place that a proxy is to look up may be anybody's: a number of the internet, or a name that is not this computer's or
/// a local network's by its form. What else a name leads to the proxy alone knows.
fn may_be_outside(place: &str) -> bool {
    let host = place.rsplit_once(':').map_or(place, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = host.parse::<IpAddr>() {
        return is_outside(ip);
    }
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    const OWN: [&str; 6] = ["localhost", "local", "lan", "internal", "home", "arpa"];
    host.rsplit_once('.').is_some_and(|(_, top)| !OWN.contains(&top))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_ones_own_are_not_asked_of_a_proxy_for_others_drp_19() {
        for own in [
            "127.0.0.1:1",
            "[::1]:1",
            "10.0.0.1:1",
            "localhost:1",
            "printer:1",
            "printer.local:1",
            "a.localhost:1",
            "router.lan:1",
            "nas.home.arpa:1",
            "LOCALHOST.:1",
        ] {
            assert!(!may_be_outside(own), "{own}");
        }
        for other in ["8.8.8.8:1", "[2a00:1450::1]:1", "dav.example.org:443", "abc.onion:80"] {
            assert!(may_be_outside(other), "{other}");
        }
    }

    #[test]
    fn a_proxys_no_is_told_in_our_words_way_4() {
        use crate::carrier::outer::missed;
        let cases = [
            (SocksError::Refused(1), Missed::Silent),
            (SocksError::Refused(2), Missed::NoProxy),
            (SocksError::Refused(4), Missed::Silent),
            (SocksError::Refused(5), Missed::Closed),
            (SocksError::Refused(6), Missed::Silent),
            (SocksError::Refused(99), Missed::NoProxy),
            (SocksError::Denied, Missed::NoProxy),
            (SocksError::NotSocks, Missed::NoProxy),
        ];
        for (error, why) in cases {
            assert_eq!(missed(&refused(error)), why);
        }
    }
}
