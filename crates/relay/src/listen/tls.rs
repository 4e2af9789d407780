//! TLS around a connection: an ordinary certificate, TLS 1.3, post-quantum key exchange.
//!
//! In: two PEM files and accepted connections. Out: streams. Who the relay is, the face proves inside.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use tokio_rustls::rustls::{self, ServerConfig, version};
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

/// A connection, plain or inside TLS.
pub(super) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

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
    /// They do not fit.
    #[error("certificate and key do not fit: {0}")]
    Misfit(#[from] rustls::Error),
}

/// Accepts connections, inside TLS or not.
#[derive(Clone)]
pub(super) struct Outer(Option<TlsAcceptor>);

impl std::fmt::Debug for Outer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Outer(TLS)" } else { "Outer(plain)" })
    }
}

impl Outer {
    pub(super) fn new(files: Option<&TlsFiles>) -> Result<Self, TlsError> {
        Ok(Self(files.map(acceptor).transpose()?))
    }

    /// The stream inside. Takes as long as it takes: limits are the caller's.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<Stream> {
        match &self.0 {
            None => Ok(Either::Left(stream)),
            Some(acceptor) => Ok(Either::Right(Box::new(acceptor.accept(stream).await?))),
        }
    }
}

fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, TlsError> {
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
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Where a connection is cut after 16 KB, what came before should not wait for the rest of a long record.
    config.max_fragment_size = Some(RECORD_BYTES);
    // Clients come back often where connections are cut short: without the certificate that takes half the bytes.
    config.ticketer = Ticketer::new()?;
    Ok(TlsAcceptor::from(Arc::new(config)))
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
}
