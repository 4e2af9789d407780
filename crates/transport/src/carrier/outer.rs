//! The outer layer: a TCP connection, or a channel through another relay, inside TLS 1.3 where the address says so.
//!
//! In: a way. Out: a stream of bytes, and a meter of what the way sees of it. The certificate must be valid for the address's host by the system's
//! authorities (`SSL_CERT_FILE` names others): whoever stands in between with another one is refused, as a browser
//! would. Who the relay is, the face proves inside; TLS is what the way sees.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use stonechat_wire::address::{Around, split};
use stonechat_wire::drop::{Kind, Place};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{CertificateError, ClientConfig, RootCertStore, version};
use tokio_util::either::Either;

use super::channel::Through;
use super::cut;
pub use super::dial::TCP_MAX;
use super::dial::{Reach, Unled, dial};
use super::means::Means;
use super::meter::{Meter, Metered};
use crate::courier::{Hello, Missed, helper};

/// A connection, plain or inside TLS.
pub type Outer = Either<Metered, Box<TlsStream<Metered>>>;

/// Whose certificates are believed.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    config: Arc<OnceLock<Arc<ClientConfig>>>,
}

impl Trust {
    /// The system's authorities, read when first needed.
    pub fn system() -> Self {
        Self::default()
    }

    /// These authorities and no others.
    pub fn only(authorities: Vec<CertificateDer<'static>>) -> Self {
        let trust = Self::default();
        let _ = trust.config.set(config(authorities));
        trust
    }

    fn config(&self) -> Arc<ClientConfig> {
        let read = || config(rustls_native_certs::load_native_certs().certs);
        Arc::clone(self.config.get_or_init(read))
    }

    /// A mail program names no protocol, and some mail servers refuse one that is not theirs.
    fn config_for(&self, way: &str) -> Arc<ClientConfig> {
        let config = self.config();
        if !Place::read(way).is_some_and(|place| place.kind == Kind::Mailbox) {
            return config;
        }
        let mut config = ClientConfig::clone(&config);
        config.alpn_protocols.clear();
        Arc::new(config)
    }
}

/// TLS 1.3 only, with X25519MLKEM768 first: what is recorded today is not read later either.
fn config(authorities: Vec<CertificateDer<'static>>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities);
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&version::TLS13])
        .expect("the provider knows TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    // What a WebSocket over HTTP/1.1 says in a browser too.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// How long the handshake inside a TCP connection that stands may take.
pub const TLS_MAX: Duration = Duration::from_secs(8);

/// How long a channel may take: the relay in between gives up a dial after as long.
pub const CHANNEL_MAX: Duration = Duration::from_secs(10);

/// Whether an error of [`reach`] says that a hello got no answer.
pub fn is_silence(error: &io::Error) -> bool {
    is_befallen(error, Befallen::Silenced)
}

/// Whether an error of [`reach`] says that a hello was answered by a reset.
pub fn is_reset(error: &io::Error) -> bool {
    is_befallen(error, Befallen::Reset)
}

/// Whether an error of [`reach`] says that a hello was answered by an alert, or by the end of the connection.
pub fn is_refusal(error: &io::Error) -> bool {
    is_befallen(error, Befallen::Refused)
}

/// What befell a way, by an error of [`reach`] or of a connection (WAY-4).
pub fn missed(error: &io::Error) -> Missed {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable, TimedOut,
    };
    let inner = error.get_ref();
    if let Some(befallen) = inner.and_then(|inner| inner.downcast_ref::<Befallen>()) {
        return befallen.missed();
    }
    if let Some(unled) = inner.and_then(|inner| inner.downcast_ref::<Unled>()) {
        return unled.missed();
    }
    if let Some(rustls::Error::InvalidCertificate(why)) = inner.and_then(|inner| inner.downcast_ref()) {
        return certificate(why);
    }
    match error.kind() {
        ConnectionRefused => Missed::Closed,
        ConnectionReset | ConnectionAborted => Missed::Cut,
        TimedOut | HostUnreachable | NetworkUnreachable => Missed::Silent,
        _ended => Missed::Ended,
    }
}

const fn certificate(why: &CertificateError) -> Missed {
    use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    match why {
        Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. } => Missed::CertificateTime,
        _other => Missed::Certificate,
    }
}

fn is_befallen(error: &io::Error, wanted: Befallen) -> bool {
    let befallen = error.get_ref().and_then(|inner| inner.downcast_ref());
    befallen == Some(&wanted)
}

/// What befell a hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Befallen {
    #[error("no answer to the hello")]
    Silenced,
    #[error("a reset in answer to the hello")]
    Reset,
    #[error("a no to the hello")]
    Refused,
}

impl Befallen {
    const fn missed(self) -> Missed {
        match self {
            Self::Silenced => Missed::Silent,
            Self::Reset | Self::Refused => Missed::Cut,
        }
    }
}

/// Goes a way, in [`TCP_MAX`] (or what others may take who dial it) and [`TLS_MAX`]: other limits are the caller's.
pub async fn reach(way: &str, means: &Means) -> io::Result<(Outer, Meter)> {
    reach_saying(Hello::Whole, way, means).await
}

/// The same, with a hello that is said so.
pub async fn reach_saying(hello: Hello, way: &str, means: &Means) -> io::Result<(Outer, Meter)> {
    if helper(way).is_some() {
        return Err(io::ErrorKind::NotConnected.into());
    }
    let dialled = dial(way, means, Reach::Anywhere).await?;
    wrap(hello, way, &means.trust, dialled).await
}

/// The same through another relay, in [`CHANNEL_MAX`] and [`TLS_MAX`].
pub async fn reach_through(through: &Through, way: &str, trust: &Trust) -> io::Result<(Outer, Meter)> {
    let opening = through.channels.open(through.relay);
    let channel = timeout(CHANNEL_MAX, opening).await;
    let channel = channel.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    wrap(Hello::Whole, way, trust, Metered::through(channel)).await
}

/// The same, but only to where anybody could go: not to this computer, nor to a network of its own (DRP-19).
pub async fn reach_outside(way: &str, means: &Means) -> io::Result<(Outer, Meter)> {
    let dialled = dial(way, means, Reach::Outside).await?;
    wrap(Hello::Whole, way, &means.trust, dialled).await
}

/// Whether an address is one of the internet's: the same machine for everybody.
pub fn is_outside(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            let is_shared = first == 100 && (64..128).contains(&second);
            let is_kept = first == 0 || first >= 240 || (first, second) == (192, 0) || is_shared;
            !(is_kept || ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_multicast())
        }
        IpAddr::V6(ip) => ip.segments()[0] & 0xe000 == 0x2000,
    }
}

/// TLS around it, where the way says so.
async fn wrap(hello: Hello, way: &str, trust: &Trust, (stream, meter): (Metered, Meter)) -> io::Result<(Outer, Meter)> {
    let (around, place) = split(way);
    match around {
        Around::Plain => Ok((Either::Left(stream), meter)),
        Around::Tls => {
            let host = place.rsplit_once(':').map_or(place, |(host, _)| host);
            let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            let shaking_hands = timeout(TLS_MAX, shake_hands(hello, host, stream, trust.config_for(way))).await;
            let stream = shaking_hands.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, Befallen::Silenced))?;
            let stream = stream.map_err(befallen)?;
            Ok((Either::Right(Box::new(stream)), meter))
        }
    }
}

/// What a failed handshake says of the hello; of a certificate that is not believed, nothing.
fn befallen(error: io::Error) -> io::Error {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let what = match (error.kind(), tls) {
        (io::ErrorKind::ConnectionReset, _) => Befallen::Reset,
        (_, Some(rustls::Error::InvalidCertificate(_))) => return error,
        (_, _alert_or_end) => Befallen::Refused,
    };
    tracing::debug!(%error, "a handshake failed");
    io::Error::new(error.kind(), what)
}

async fn shake_hands(
    hello: Hello,
    host: String,
    stream: Metered,
    config: Arc<ClientConfig>,
) -> io::Result<TlsStream<Metered>> {
    let connector = TlsConnector::from(config);
    let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
    if hello == Hello::Whole {
        return connector.connect(name, stream).await;
    }
    // TLS's first words are taken from it, and said for it.
    let mut first = Vec::new();
    let mut taken = Ok(0);
    let mut connecting = connector.connect_with(name, stream, |tls| taken = tls.write_tls(&mut first));
    taken?;
    if let Some(stream) = connecting.get_mut() {
        cut::say(stream, &first, &host).await?;
    }
    connecting.await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_outside_drp_19() {
        let own = "127.0.0.1 10.0.0.1 172.16.3.4 192.168.1.1 169.254.0.1 100.64.0.1 0.0.0.0 224.0.0.1 255.255.255.255 192.0.0.8 \
                   ::1 :: fe80::1 fd00::1 ff02::1 ::ffff:192.168.1.1 64:ff9b::1";
        for ip in own.split_whitespace() {
            assert!(!is_outside(ip.parse().unwrap()), "{ip}");
        }
        for ip in "8.8.8.8 100.128.0.1 172.32.0.1 2a00:1450::1 ::ffff:8.8.8.8".split(' ') {
            assert!(is_outside(ip.parse().unwrap()), "{ip}");
        }
    }

    #[tokio::test]
    async fn what_others_name_is_not_looked_for_on_this_computer_drp_19() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["127.0.0.1", "localhost"] {
            let way = format!("dav://{host}:{port}/photos");
            assert!(reach_outside(&way, &Means::default()).await.is_err());
            assert!(reach(&way, &Means::default()).await.is_ok());
            listener.accept().await.unwrap();
        }
        let more = timeout(Duration::from_millis(100), listener.accept()).await;
        assert!(more.is_err(), "nobody came but by one's own wish");
    }
}
