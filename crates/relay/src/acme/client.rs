//! HTTPS to a directory: what the library asks, one connection a request.
//!
//! In: requests of the library. Out: answers, with a bound on their size and time. This is where what the directory says
//! becomes ours: the library trusts a few of its words more than it should (it ends with a panic on an endless pause or a
//! URL that is none), so these are looked at here first.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Bytes;
use hyper::header::{HOST, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;

use super::Acme;
use super::failure::{Failure, PATIENCE_MAX};

/// How long a connection to the directory may take, and then its answer.
const CONNECT_MAX: Duration = Duration::from_secs(20);
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Largest answer: a chain, or a directory, is some kilobytes.
const ANSWER_BYTES_MAX: usize = 256 << 10;
const HTTPS_PORT: u16 = 443;

/// The file of authorities does not hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootsError {
    /// It cannot be read.
    #[error("acme_roots: {0}: {1}")]
    File(PathBuf, pem::Error),
    /// Nothing in it.
    #[error("acme_roots: {0} holds no certificate")]
    Empty(PathBuf),
    /// The library's own.
    #[error("no TLS to the directory: {0}")]
    Tls(#[from] rustls::Error),
}

/// Asks a directory.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    directory: Uri,
    tls: Arc<ClientConfig>,
    /// The pause that the last refusal asked for.
    patience: Arc<Mutex<Option<Duration>>>,
}

impl Client {
    pub(crate) fn new(acme: &Acme) -> Result<Self, RootsError> {
        let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots(acme.roots.as_deref())?)
            .with_no_client_auth();
        Ok(Self {
            directory: acme.directory.parse().unwrap_or_default(),
            tls: Arc::new(tls),
            patience: Arc::default(),
        })
    }

    /// The pause that the last refusal asked for, once.
    pub(crate) fn patience(&self) -> Option<Duration> {
        self.patience.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn answer(&self, mut request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Failure> {
        let uri = request.uri().clone();
        let (host, port) = place(&uri).ok_or(Failure::Nonsense)?;
        let named = uri
            .authority()
            .map(hyper::http::uri::Authority::as_str)
            .unwrap_or_default();
        let named = HeaderValue::from_str(named).map_err(|_| Failure::Nonsense)?;
        request.headers_mut().insert(HOST, named);
        let path = uri.path_and_query().map_or("/", hyper::http::uri::PathAndQuery::as_str);
        *request.uri_mut() = path.parse().map_err(|_| Failure::Nonsense)?;
        let stream = timeout(CONNECT_MAX, self.connect(host, port)).await;
        let stream = stream.map_err(|_| Failure::NotReached)??;
        let answer = timeout(ANSWER_MAX, exchange(stream, request)).await;
        let answer = answer.map_err(|_| Failure::NotReached)??;
        self.looked_at(answer, uri == self.directory)
    }

    async fn connect(&self, host: &str, port: u16) -> Result<TlsStream<TcpStream>, Failure> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| Failure::Nonsense)?;
        let stream = TcpStream::connect((bare, port))
            .await
            .map_err(|_| Failure::NotReached)?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        connector.connect(name, stream).await.map_err(|error| broken(&error))
    }

    fn looked_at(&self, mut answer: Response<Bytes>, is_directory: bool) -> Result<BytesResponse, Failure> {
        let asked = patience(answer.headers());
        answer.headers_mut().remove(RETRY_AFTER);
        if let Some(asked) = asked {
            answer
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(asked.as_secs()));
        }
        let is_refusal = !answer.status().is_success();
        *self.patience.lock().unwrap_or_else(PoisonError::into_inner) = asked.filter(|_| is_refusal);
        if is_directory && (is_refusal || !is_a_directory(answer.body())) {
            let status = answer.status();
            return Err(if status.is_server_error() {
                Failure::Trouble
            } else {
                Failure::Nonsense
            });
        }
        let (parts, body) = answer.into_parts();
        let body = if is_refusal {
            as_problem(body, parts.status.as_u16())
        } else {
            body
        };
        Ok(BytesResponse {
            parts,
            body: Box::new(body),
        })
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.clone();
        Box::pin(async move { client.answer(request).await.map_err(|why| Error::Other(Box::new(why))) })
    }
}

async fn exchange(
    stream: TlsStream<TcpStream>,
    request: Request<BodyWrapper<Bytes>>,
) -> Result<Response<Bytes>, Failure> {
    let lost = |_| Failure::NotReached;
    let (mut asking, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(lost)?;
    let asked = async {
        let (head, body) = asking.send_request(request).await.map_err(lost)?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|_| Failure::Nonsense)?.to_bytes();
        Ok(Response::from_parts(head, body))
    };
    tokio::pin!(asked, connection);
    tokio::select! {
        answer = &mut asked => answer,
        // What came before the end of the connection may still be read.
        _ = &mut connection => asked.await,
    }
}

/// The authorities that are believed.
fn roots(file: Option<&Path>) -> Result<RootCertStore, RootsError> {
    let mut roots = RootCertStore::empty();
    let Some(file) = file else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    let wrong = |error| RootsError::File(file.to_owned(), error);
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).map_err(wrong)?.collect();
    let (added, _) = roots.add_parsable_certificates(found.map_err(wrong)?);
    if added == 0 {
        return Err(RootsError::Empty(file.to_owned()));
    }
    Ok(roots)
}

/// Whether it is an `https` URL with a host.
pub(super) fn is_https(url: &str) -> bool {
    url.parse().is_ok_and(|uri: Uri| place(&uri).is_some())
}

fn place(uri: &Uri) -> Option<(&str, u16)> {
    let host = uri
        .host()
        .filter(|host| !host.is_empty() && uri.scheme_str() == Some("https"))?;
    Some((host, uri.port_u16().unwrap_or(HTTPS_PORT)))
}

/// Whether the URLs stand in it that the library takes for such.
fn is_a_directory(body: &[u8]) -> bool {
    let Ok(found) = serde_json::from_slice::<serde_json::Value>(body) else {
        return false;
    };
    let has = |name: &str| {
        found
            .get(name)
            .and_then(serde_json::Value::as_str)
            .is_some_and(is_https)
    };
    ["newNonce", "newAccount", "newOrder"].into_iter().all(has)
}

/// A refusal that is no problem document (a web server's page, say) as one that says its status.
fn as_problem(body: Bytes, status: u16) -> Bytes {
    match serde_json::from_slice::<instant_acme::Problem>(&body) {
        Ok(problem) if problem.r#type.is_some() => body,
        Ok(_) | Err(_) => Bytes::from(format!("{{\"status\":{status}}}")),
    }
}

/// The pause that an answer asks for, as long as it may be.
fn patience(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => PATIENCE_MAX,
        Err(_) => httpdate::parse_http_date(text)
            .ok()?
            .duration_since(SystemTime::now())
            .unwrap_or_default(),
    };
    Some(pause.min(PATIENCE_MAX))
}

/// Why there is no TLS to the directory.
fn broken(error: &io::Error) -> Failure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(_)) => Failure::NotTrusted,
        Some(_) | None => Failure::NotReached,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_understood_and_never_endless_acm_6() {
        let asked = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            patience(&headers)
        };
        assert_eq!(asked("120"), Some(Duration::from_secs(120)));
        for endless in [
            "18446744073709551615",
            "99999999999999999999999",
            "Fri, 31 Dec 2399 23:59:59 GMT",
        ] {
            assert_eq!(asked(endless), Some(PATIENCE_MAX), "{endless}");
        }
        assert_eq!(asked("Fri, 31 Dec 1999 23:59:59 GMT"), Some(Duration::ZERO));
        assert_eq!((asked("soon"), asked("-1")), (None, None));
    }

    #[test]
    fn what_is_no_directory_is_not_taken_for_one_acm_1() {
        let with = |nonce: &str| {
            format!("{{\"newNonce\":\"{nonce}\",\"newAccount\":\"https://a/b\",\"newOrder\":\"https://a/c\"}}")
        };
        assert!(is_a_directory(with("https://a/d").as_bytes()));
        for bad in ["", "http://a/d", "no url", "https://", "https://a b/"] {
            assert!(!is_a_directory(with(bad).as_bytes()), "{bad}");
        }
        assert!(!is_a_directory(b"<html>") && !is_a_directory(b"{}"));
    }

    #[test]
    fn only_https_is_asked_acm_1() {
        assert!(is_https("https://acme.example/directory") && is_https("https://[::1]:14000/dir"));
        for bad in ["http://acme.example/", "acme.example", "https:///x", "", "ftp://a/"] {
            assert!(!is_https(bad), "{bad}");
        }
    }

    /// Whoever asks this server is answered so, and then sent more spaces than any answer needs.
    async fn endless(head: &'static str) -> (Client, tempfile::TempDir) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let roots = folder.path().join("roots.pem");
        std::fs::write(&roots, made.cert.pem()).unwrap();
        let shown = Arc::new(crate::listen::Shown::default());
        shown.show(&made.cert.pem(), &made.signing_key.serialize_pem()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(shown);
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let directory = format!("https://{}/directory", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = acceptor.accept(stream).await.unwrap();
                let mut asked = [0; 4096];
                let _ = stream.read(&mut asked).await.unwrap();
                stream.write_all(head.as_bytes()).await.unwrap();
                let _ = stream.write_all(&vec![b' '; 4 * ANSWER_BYTES_MAX]).await;
                let _ = stream.shutdown().await;
            }
        });
        let acme = Acme {
            directory,
            contact: None,
            roots: Some(roots),
        };
        (Client::new(&acme).unwrap(), folder)
    }

    async fn asked(client: &Client) -> Result<(), Failure> {
        let request = Request::builder()
            .uri(client.directory.clone())
            .body(BodyWrapper::default())
            .unwrap();
        client.answer(request).await.map(drop)
    }

    #[tokio::test]
    async fn an_answer_that_is_too_long_is_cut_acm_1() {
        // But for its length it is a directory.
        let said = r#"{"newNonce":"https://a/b","newAccount":"https://a/c","newOrder":"https://a/d"}"#;
        let (client, _folder) = endless(format!("HTTP/1.1 200 OK\r\n\r\n{said}").leak()).await;
        let cut = timeout(Duration::from_secs(20), asked(&client)).await.expect("in time");
        assert_eq!(cut, Err(Failure::Nonsense));
        let (client, _folder) = endless("HTTP/1.1 200 OK\r\nA: ").await;
        let cut = timeout(Duration::from_secs(20), asked(&client)).await.expect("in time");
        assert_eq!(cut, Err(Failure::NotReached), "nor a head");
    }

    #[tokio::test]
    async fn a_directory_of_a_strange_authority_is_not_asked_acm_1() {
        let (client, _folder) = endless("HTTP/1.1 200 OK\r\n\r\n").await;
        let (other, _other) = endless("").await;
        let misled = Client {
            directory: other.directory.clone(),
            ..client
        };
        assert_eq!(asked(&misled).await, Err(Failure::NotTrusted));
    }
}
