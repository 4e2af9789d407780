//! TLS around a connection: an ordinary certificate, TLS 1.3, post-quantum key exchange.
//!
//! In: a certificate and accepted connections. Out: streams. Who the relay is, the face proves inside. The certificate can be
//! another one for the next connection; those that stand keep theirs. While a directory is to be shown a proof (ACM-3), who
//! asks for that gets it, and everybody else what they got before.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use tokio_rustls::rustls::server::{Acceptor, ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig, version};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};
use tokio_util::either::Either;

/// A connection, plain or inside TLS.
pub(super) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// What whoever asks for a proof speaks, and nothing else (RFC 8737).
const PROOF_PROTOCOL: &[u8] = b"acme-tls/1";
/// Longest TLS record that is sent, in bytes.
const RECORD_BYTES: usize = 2048;

/// Where certificate and key lie, as PEM: the chain with the own certificate first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file that is no PEM of its kind, or cannot be read.
    #[error("{0}: {1}")]
    File(PathBuf, pem::Error),
    /// No certificate in the file.
    #[error("{0} holds no certificate")]
    NoCertificate(PathBuf),
    /// Text that is no PEM of its kind.
    #[error("a certificate or key that is none: {0}")]
    Text(pem::Error),
    /// They do not fit.
    #[error("certificate and key do not fit: {0}")]
    Misfit(#[from] rustls::Error),
}

/// The certificate that is shown, and for a moment a proof besides.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    certificate: RwLock<Option<Arc<CertifiedKey>>>,
    proof: RwLock<Option<Asked>>,
}

/// To whom a proof is shown, and how.
#[derive(Clone, Debug)]
struct Asked {
    /// The name that is said in TLS.
    said: String,
    config: Arc<ServerConfig>,
}

/// A proof that is shown until this is dropped.
#[derive(Debug)]
pub(crate) struct Proof<'a>(&'a Shown);

impl Drop for Proof<'_> {
    fn drop(&mut self) {
        *self.0.proof.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Shown {
    /// Shows this certificate to connections from now on: its chain and its key, as PEM. Errors: they do not fit, and
    /// nothing has changed.
    pub(crate) fn show(&self, chain: &str, key: &str) -> Result<(), TlsError> {
        let certificate = Arc::new(certified(chain, key)?);
        *self.certificate.write().unwrap_or_else(PoisonError::into_inner) = Some(certificate);
        Ok(())
    }

    /// Shows another certificate to who says this name and speaks the directories' protocol only (ACM-3).
    pub(crate) fn prove(&self, said: &str, chain: &str, key: &str) -> Result<Proof<'_>, TlsError> {
        let (chain, key) = parts(chain, key)?;
        // Its mark is one that no ordinary certificate has, so it is not looked at as one.
        let key = default_provider().key_provider.load_private_key(key)?;
        let alone = Self {
            certificate: RwLock::new(Some(Arc::new(CertifiedKey::new(chain, key)))),
            proof: RwLock::default(),
        };
        let mut config = server_config(Arc::new(alone))?;
        config.alpn_protocols = vec![PROOF_PROTOCOL.to_vec()];
        config.send_tls13_tickets = 0;
        let asked = Asked {
            said: said.to_owned(),
            config: Arc::new(config),
        };
        *self.proof.write().unwrap_or_else(PoisonError::into_inner) = Some(asked);
        Ok(Proof(self))
    }

    fn certificate(&self) -> Option<Arc<CertifiedKey>> {
        self.certificate.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn proof(&self) -> Option<Asked> {
        self.proof.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.certificate()
    }
}

impl Asked {
    fn is_by(&self, hello: &ClientHello<'_>) -> bool {
        let protocols = hello.alpn().into_iter().flatten();
        let is_one = protocols.eq([PROOF_PROTOCOL]);
        is_one
            && hello
                .server_name()
                .is_some_and(|name| name.eq_ignore_ascii_case(&self.said))
    }
}

/// Accepts connections, inside TLS or not.
#[derive(Clone)]
pub(super) struct Outer(Option<Inside>);

#[derive(Clone)]
struct Inside {
    config: Arc<ServerConfig>,
    shown: Arc<Shown>,
}

impl std::fmt::Debug for Outer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Outer(TLS)" } else { "Outer(plain)" })
    }
}

impl Outer {
    pub(super) fn new(files: Option<&TlsFiles>) -> Result<Self, TlsError> {
        let Some(files) = files else { return Ok(Self(None)) };
        let shown = Shown {
            certificate: RwLock::new(Some(Arc::new(read(files)?))),
            proof: RwLock::default(),
        };
        Self::showing(Arc::new(shown))
    }

    /// Inside TLS, with whatever certificate is shown at the moment.
    pub(super) fn showing(shown: Arc<Shown>) -> Result<Self, TlsError> {
        let config = Arc::new(server_config(Arc::clone(&shown))?);
        Ok(Self(Some(Inside { config, shown })))
    }

    /// The stream inside. Takes as long as it takes: limits are the caller's. Errors: without a certificate there is none.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<Stream> {
        match &self.0 {
            None => Ok(Either::Left(stream)),
            Some(inside) => Ok(Either::Right(Box::new(inside.accept(stream).await?))),
        }
    }
}

impl Inside {
    async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let Some(proof) = self.shown.proof() else {
            self.has_certificate()?;
            return TlsAcceptor::from(Arc::clone(&self.config)).accept(stream).await;
        };
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        if proof.is_by(&hello.client_hello()) {
            hello.into_stream(proof.config).await?.shutdown().await?;
            return Err(io::Error::other("a proof was shown"));
        }
        self.has_certificate()?;
        hello.into_stream(Arc::clone(&self.config)).await
    }

    fn has_certificate(&self) -> io::Result<()> {
        let certificate = self.shown.certificate();
        certificate
            .map(drop)
            .ok_or_else(|| io::Error::other("there is no certificate yet"))
    }
}

fn certified(chain: &str, key: &str) -> Result<CertifiedKey, TlsError> {
    let (chain, key) = parts(chain, key)?;
    Ok(CertifiedKey::from_der(chain, key, &default_provider())?)
}

fn parts(chain: &str, key: &str) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
    let chain = chain.map_err(TlsError::Text)?;
    if chain.is_empty() {
        return Err(TlsError::Text(pem::Error::NoItemsFound));
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(TlsError::Text)?;
    Ok((chain, key))
}

fn read(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let wrong = |file: &Path| {
        let file = file.to_owned();
        move |error| TlsError::File(file, error)
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&files.cert)
        .map_err(wrong(&files.cert))?
        .collect();
    let chain = chain.map_err(wrong(&files.cert))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate(files.cert.clone()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(wrong(&files.key))?;
    Ok(CertifiedKey::from_der(chain, key, &default_provider())?)
}

fn server_config(shown: Arc<Shown>) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&version::TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(shown);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Where a connection is cut after 16 KB, what came before should not wait for the rest of a long record.
    config.max_fragment_size = Some(RECORD_BYTES);
    // Clients come back often where connections are cut short: without the certificate that takes half the bytes.
    config.ticketer = Ticketer::new()?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_files_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["relay.example".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(vec!["relay.example".to_owned()]).unwrap();
        let write = |name: &str, text: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).unwrap();
            file
        };
        let cert = write("cert", &made.cert.pem());
        let key = write("key", &made.signing_key.serialize_pem());
        let foreign = write("foreign", &other.signing_key.serialize_pem());
        let (empty, missing) = (write("empty", ""), folder.path().join("none"));
        let files = |cert: &PathBuf, key: &PathBuf| TlsFiles {
            cert: cert.clone(),
            key: key.clone(),
        };
        assert!(Outer::new(Some(&files(&cert, &key))).is_ok());
        let error = |cert, key| Outer::new(Some(&files(cert, key))).unwrap_err();
        assert!(matches!(error(&empty, &key), TlsError::NoCertificate(_)));
        assert!(matches!(error(&cert, &empty), TlsError::File(..)));
        assert!(matches!(error(&missing, &key), TlsError::File(..)));
        assert!(matches!(error(&cert, &foreign), TlsError::Misfit(_)));
    }

    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::pki_types::ServerName;
    use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore};

    const NAME: &str = "relay.example";

    /// A certificate for a name, and its key, as PEM.
    fn made(name: &str) -> (CertificateDer<'static>, String, String) {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        (
            made.cert.der().clone(),
            made.cert.pem(),
            made.signing_key.serialize_pem(),
        )
    }

    fn asking(trusted: &[&CertificateDer<'static>], protocols: &[&str]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        trusted.iter().for_each(|own| roots.add((*own).clone()).unwrap());
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// A hello as it goes over the wire.
    fn hello(name: &'static str, protocols: &[&str]) -> Vec<u8> {
        let name = ServerName::try_from(name).unwrap();
        let mut client = ClientConnection::new(asking(&[], protocols), name).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    /// A connection to it, whose other end is accepted. Out: this end.
    async fn connected(outer: &Outer) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let outer = outer.clone();
        tokio::spawn(async move { drop(outer.accept(accepted).await) });
        stream
    }

    /// All that somebody hears who says this: kind and length of each record, and what is in those that nobody sealed.
    async fn heard(outer: &Outer, said: &[u8]) -> Vec<(u8, usize, Vec<u8>)> {
        let bytes = bytes(outer, said).await;
        let (mut records, mut rest) = (Vec::new(), bytes.as_slice());
        while let [kind, _, _, high, low, more @ ..] = rest {
            let size = usize::from(u16::from_be_bytes([*high, *low]));
            let (body, after) = more.split_at(size);
            let plain = if *kind == 21 { body.to_vec() } else { vec![] };
            records.push((*kind, size, plain));
            rest = after;
        }
        assert!(rest.is_empty(), "{bytes:?}");
        records
    }

    async fn bytes(outer: &Outer, said: &[u8]) -> Vec<u8> {
        let mut stream = connected(outer).await;
        stream.write_all(said).await.unwrap();
        let mut answer = Vec::new();
        // A reset is an end too.
        let _ = stream.read_to_end(&mut answer).await;
        answer
    }

    /// Which certificate somebody is shown, and by which protocol.
    async fn seen(outer: &Outer, config: Arc<ClientConfig>) -> io::Result<(CertificateDer<'static>, Vec<u8>)> {
        let stream = connected(outer).await;
        let name = ServerName::try_from(NAME).unwrap();
        let stream = TlsConnector::from(config).connect(name, stream).await?;
        let (_, tls) = stream.get_ref();
        let shown = tls.peer_certificates().unwrap().first().unwrap().clone();
        Ok((shown, tls.alpn_protocol().unwrap_or_default().to_vec()))
    }

    #[tokio::test]
    async fn a_proof_is_for_who_asks_for_it_and_others_hear_what_they_heard_before_acm_3() {
        let (own, chain, key) = made(NAME);
        let (proof, proof_chain, proof_key) = made(NAME);
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles {
            cert: folder.path().join("cert"),
            key: folder.path().join("key"),
        };
        std::fs::write(&files.cert, &chain).unwrap();
        std::fs::write(&files.key, &key).unwrap();
        let before = Outer::new(Some(&files)).unwrap();
        let shown = Arc::new(Shown::default());
        shown.show(&chain, &key).unwrap();
        let outer = Outer::showing(Arc::clone(&shown)).unwrap();
        let probes = [
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            b"\x16\x03\x01\x00\x05hello".to_vec(),
            hello(NAME, &["acme-tls/1"]),
            hello("other.example", &["acme-tls/1"]),
            hello(NAME, &["h2"]),
        ];
        let mut usual = Vec::new();
        for probe in &probes {
            usual.push(heard(&before, probe).await);
            assert_eq!(heard(&outer, probe).await, *usual.last().unwrap());
        }
        assert!(!usual[2].is_empty(), "an alert at least");
        {
            let _proof = shown.prove(NAME, &proof_chain, &proof_key).unwrap();
            for (nth, (probe, usual)) in probes.iter().zip(&usual).enumerate().filter(|(nth, _)| *nth != 2) {
                assert_eq!(heard(&outer, probe).await, *usual, "{nth}");
            }
            let trusted = [&own, &proof];
            let alone = seen(&outer, asking(&trusted, &["acme-tls/1"])).await.unwrap();
            assert_eq!(alone, (proof.clone(), b"acme-tls/1".to_vec()));
            for others in [&["http/1.1"][..], &["acme-tls/1", "http/1.1"], &[]] {
                let (certificate, protocol) = seen(&outer, asking(&trusted, others)).await.unwrap();
                assert!(certificate == own && protocol != b"acme-tls/1", "{others:?}");
            }
        }
        assert!(
            seen(&outer, asking(&[&own, &proof], &["acme-tls/1"])).await.is_err(),
            "it is over"
        );
    }

    #[tokio::test]
    async fn without_a_certificate_nothing_is_said_but_the_proof_acm_3() {
        let shown = Arc::new(Shown::default());
        let outer = Outer::showing(Arc::clone(&shown)).unwrap();
        let (usual, asking_for_proof) = (hello(NAME, &["http/1.1"]), hello(NAME, &["acme-tls/1"]));
        assert_eq!(bytes(&outer, &usual).await, b"");
        let (proof, chain, key) = made(NAME);
        let standing = shown.prove(NAME, &chain, &key).unwrap();
        assert_eq!(bytes(&outer, &usual).await, b"");
        assert_eq!(seen(&outer, asking(&[&proof], &["acme-tls/1"])).await.unwrap().0, proof);
        drop(standing);
        assert_eq!(bytes(&outer, &asking_for_proof).await, b"");
    }

    #[tokio::test]
    async fn another_certificate_is_for_the_next_connection_acm_5() {
        let shown = Arc::new(Shown::default());
        let outer = Outer::showing(Arc::clone(&shown)).unwrap();
        let (first, second) = (made(NAME), made(NAME));
        for (der, chain, key) in [&first, &second] {
            shown.show(chain, key).unwrap();
            let trusted = asking(&[&first.0, &second.0], &["http/1.1"]);
            assert_eq!(seen(&outer, trusted).await.unwrap().0, *der);
        }
        assert!(shown.show(&first.1, &second.2).is_err(), "they do not fit");
        assert!(shown.show("", &second.2).is_err());
        let trusted = asking(&[&first.0, &second.0], &["http/1.1"]);
        assert_eq!(
            seen(&outer, trusted).await.unwrap().0,
            second.0,
            "and nothing has changed"
        );
    }
}
