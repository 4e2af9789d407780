//! The prober: it connects to whatever the censor noted, says what the file names, and reports what comes back.
//!
//! In: a running [`Router`] with a host `prober`, in a domestic network whose packets no censor judges. Out: servers that
//! the rule takes for proxies are convicted. It ends with the router.

use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::sync::{Arc, Weak};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use crate::censor::probe::{Answer, Means, Probe, Sign, Suspect};
use crate::router::{Host, Router};

/// The prober's host.
const HOST: &str = "prober";
/// Time between two looks at what was noted.
const LOOK: Duration = Duration::from_millis(50);
/// Most bytes of an answer that are kept.
const ANSWER_BYTES_MAX: usize = 4096;
/// Length of random probes: one that is often seen (Alice et al., IMC 2020).
const RANDOM_BYTES: usize = 221;
const GET: &str = "GET / HTTP/1.1\r\nHost: ";

/// Probes until the router is gone.
pub(crate) fn start(router: &Arc<Router>) {
    let (weak, host) = (Arc::downgrade(router), router.host(HOST).clone());
    std::thread::spawn(move || {
        loop {
            sleep(LOOK);
            let Some(noted) = weak.upgrade().map(|router| router.suspects()) else {
                return;
            };
            for (suspect, probe) in noted {
                examine(&host, suspect, probe, Weak::clone(&weak));
            }
        }
    });
}

/// Probes one server, on threads of the prober's host.
fn examine(host: &Host, suspect: Suspect, probe: Probe, router: Weak<Router>) {
    host.run(move || {
        sleep(Duration::from_secs_f64(probe.after_s));
        let sign = probe_all(&suspect, &probe);
        if let (Some(sign), Some(router)) = (sign, router.upgrade()) {
            router.convict(&suspect, sign);
        }
    });
}

/// Says everything at once, each on a connection of its own.
fn probe_all(suspect: &Suspect, probe: &Probe) -> Option<Sign> {
    let wait = Duration::from_secs_f64(probe.wait_s);
    let answers = std::thread::scope(|scope| {
        let each = probe.with.iter();
        let each: Vec<_> = each
            .map(|means| scope.spawn(move || (*means, ask(suspect, *means, wait))))
            .collect();
        each.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    probe.verdict(&answers)
}

/// What comes back of one probe.
fn ask(suspect: &Suspect, means: Means, wait: Duration) -> Answer {
    let Ok(stream) = TcpStream::connect_timeout(&suspect.server.into(), wait) else {
        return Answer::Refused;
    };
    if stream.set_read_timeout(Some(wait)).is_err() {
        return Answer::Refused;
    }
    match means {
        Means::Random => say(stream, &noise(), wait),
        Means::Http => say(stream, &request(suspect), wait),
        Means::Replay => say(stream, &suspect.first, wait),
        Means::TlsHttp => say_inside(stream, suspect, &request(suspect), wait),
        Means::TlsRandom => say_inside(stream, suspect, &noise(), wait),
    }
}

fn say(mut stream: impl Read + Write, bytes: &[u8], wait: Duration) -> Answer {
    if stream.write_all(bytes).and_then(|()| stream.flush()).is_err() {
        return Answer::Nothing;
    }
    let heard = hear(&mut stream, wait);
    if heard.is_empty() {
        Answer::Nothing
    } else {
        Answer::Said(heard)
    }
}

/// The same inside TLS. Whoever speaks TLS has said something, whatever comes inside.
fn say_inside(mut stream: TcpStream, suspect: &Suspect, bytes: &[u8], wait: Duration) -> Answer {
    let host = suspect.name.clone().unwrap_or_else(|| suspect.server.ip().to_string());
    let name = ServerName::try_from(host).unwrap();
    let mut session = ClientConnection::new(believes_all(), name).unwrap();
    match session.complete_io(&mut stream) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Answer::Said(Vec::new()),
        Err(_) => return Answer::Nothing,
    }
    match say(StreamOwned::new(session, stream), bytes, wait) {
        Answer::Nothing => Answer::Said(Vec::new()),
        answer @ (Answer::Refused | Answer::Said(_)) => answer,
    }
}

/// All that comes until the end, or until time is up.
fn hear(stream: &mut impl Read, wait: Duration) -> Vec<u8> {
    let (began, mut heard, mut some) = (Instant::now(), Vec::new(), [0; 1024]);
    while began.elapsed() < wait && heard.len() < ANSWER_BYTES_MAX {
        match stream.read(&mut some) {
            Ok(count) if count > 0 => heard.extend_from_slice(&some[..count]),
            Ok(_) | Err(_) => break,
        }
    }
    heard
}

fn request(suspect: &Suspect) -> Vec<u8> {
    let server: SocketAddrV4 = suspect.server;
    let host = suspect.name.clone().unwrap_or_else(|| server.to_string());
    format!("{GET}{host}\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\n\r\n").into_bytes()
}

fn noise() -> Vec<u8> {
    use rand_core::{Rng as _, SeedableRng as _};
    let mut bytes = vec![0; RANDOM_BYTES];
    rand_chacha::ChaCha20Rng::seed_from_u64(221).fill_bytes(&mut bytes);
    bytes
}

/// A prober asks nobody whether a certificate is good.
fn believes_all() -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    Arc::new(config)
}

#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    /// A server on loopback that does this with each connection.
    fn server(answer: impl Fn(TcpStream) + Send + 'static) -> Suspect {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || listener.incoming().flatten().for_each(answer));
        suspect(port)
    }

    fn suspect(port: u16) -> Suspect {
        Suspect {
            rule: 0,
            server: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port),
            first: b"what the client said".to_vec(),
            name: None,
        }
    }

    fn asked(suspect: &Suspect, means: Means) -> Answer {
        ask(suspect, means, Duration::from_millis(300))
    }

    #[test]
    fn silence_an_end_an_answer_and_nobody_are_told_apart() {
        let silent = server(|stream| {
            std::thread::spawn(move || {
                sleep(Duration::from_secs(5));
                drop(stream);
            });
        });
        let ends = server(drop);
        let web = server(|mut stream| {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n");
        });
        for means in [
            Means::Random,
            Means::Http,
            Means::Replay,
            Means::TlsHttp,
            Means::TlsRandom,
        ] {
            assert_eq!(asked(&silent, means), Answer::Nothing, "{means:?}");
            assert_eq!(asked(&ends, means), Answer::Nothing, "{means:?}");
            assert!(matches!(asked(&web, means), Answer::Said(_)), "{means:?}");
        }
        let said = asked(&web, Means::Http);
        assert_eq!(said, Answer::Said(b"HTTP/1.1 404 Not Found\r\n\r\n".to_vec()));
        let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = nobody.local_addr().unwrap().port();
        drop(nobody);
        assert_eq!(asked(&suspect(port), Means::Random), Answer::Refused);
    }

    #[test]
    fn a_replay_is_what_the_client_said() {
        let (heard, hears) = std::sync::mpsc::channel();
        let listens = server(move |mut stream| {
            let mut some = [0; 64];
            let count = stream.read(&mut some).unwrap();
            heard.send(some[..count].to_vec()).unwrap();
        });
        asked(&listens, Means::Replay);
        assert_eq!(hears.recv().unwrap(), b"what the client said");
    }
}
