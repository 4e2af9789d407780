//! A relay that gets its certificate by itself, from a Pebble.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::pki_types::pem::PemObject as _;
use stonechat_relay::acme::{self, Acme, Failure, Word};
use stonechat_transport::carrier::outer::reach;

use super::pebble::Pebble;
use super::*;

const YEAR_S: u64 = 365 * 86_400;
/// A directory sleeps, and computers are busy.
const ISSUING_MAX: Duration = Duration::from_secs(60);

/// A relay's place before it runs: where it listens is known to the directory first.
struct Place {
    folder: tempfile::TempDir,
    listen: SocketAddr,
}

impl Place {
    fn new() -> Self {
        let listen = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        Self { folder, listen }
    }

    fn pebble(&self, validity_s: u64) -> Pebble {
        Pebble::looking_at(self.listen.port(), validity_s)
    }

    /// Starts the relay, which is to get a certificate for this host.
    async fn relay(&self, host: &str, pebble: &Pebble) -> Running {
        let acme = Acme {
            directory: pebble.url(),
            contact: Some("me@relay.example".into()),
            roots: Some(pebble.roots()),
        };
        let config = Config {
            acme: Some(acme),
            advertise: Some(format!("{host}:{}", self.listen.port())),
            ..config(self.folder.path(), self.listen)
        };
        Relay::start(config).await.unwrap()
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join("acme").join(name)
    }

    fn chain(&self) -> String {
        let text = std::fs::read_to_string(self.file("certificate.json")).unwrap();
        text.split("\"chain\": \"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap()
            .to_owned()
    }
}

/// How the certificate stands once it stands so.
async fn when(relay: &Running, wanted: impl Fn(&Word) -> bool) -> Word {
    let mut word = relay.certificate.clone().unwrap();
    let found = timeout(ISSUING_MAX, word.wait_for(wanted))
        .await
        .map(|found| found.unwrap().clone());
    found.unwrap_or_else(|_| panic!("in vain: {:?}", relay.certificate.as_ref().unwrap().borrow()))
}

async fn certified(relay: &Running) -> Word {
    when(relay, |word| word.ends_s.is_some() && word.failure.is_none()).await
}

async fn failed(relay: &Running) -> Word {
    when(relay, |word| word.failure.is_some()).await
}

/// Trust in who issues there.
async fn trust(pebble: &Pebble) -> Trust {
    let roots = certificates(&std::fs::read_to_string(pebble.roots()).unwrap());
    let management = format!("https://{}", pebble.management);
    let (mut stream, _) = reach(&management, &Trust::only(roots).into()).await.unwrap();
    stream.write_all(b"GET /roots/0 HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    // It may leave without a goodbye.
    let _ = stream.read_to_string(&mut answer).await;
    Trust::only(certificates(&answer))
}

fn certificates(text: &str) -> Vec<rustls::pki_types::CertificateDer<'static>> {
    let begins = text.find("-----BEGIN").unwrap();
    let all = rustls::pki_types::CertificateDer::pem_slice_iter(&text.as_bytes()[begins..]);
    all.map(Result::unwrap).collect()
}

fn client(trust: &Trust) -> Client {
    Client::starting(Transport::start_trusting(
        trust.clone(),
        fresh_seed(),
        Remembered::default(),
    ))
}

#[tokio::test]
async fn a_relay_gets_a_certificate_for_its_name_acm_1() {
    let place = Place::new();
    // One of five nonces is refused: the library and an attempt's further tries are to bear that.
    let refusing = [("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "20")];
    let pebble = place.pebble(YEAR_S).with(&refusing).started();
    let relay = place.relay("relay.acme.test", &pebble).await;
    assert!(relay.route.address.starts_with("https://relay.acme.test:"));
    let word = certified(&relay).await;
    assert_eq!(word.days_left(), Some(364));
    assert_eq!(acme::look(place.folder.path()), word, "as the doctor sees it");
    // A name of the test leads nowhere: the number behind it does (WAY-1).
    let trust = trust(&pebble).await;
    let route = RelayRoute {
        address: format!("{},{}", relay.route.address, relay.local_addr),
        ..relay.route.clone()
    };
    let mut ana = client(&trust);
    ana.greet(&route).await;
    let sent = ana.put(1, "inside").await;
    ana.until_stored(&[sent]).await;
    assert!(
        reach(&format!("https://{}", relay.local_addr), &trust.clone().into())
            .await
            .is_err(),
        "it is of the name"
    );
    assert!(!place.file("order.json").exists());
    relay.stop().await;
    // A start shows what there is, also where the directory is away.
    let (chain, url) = (place.chain(), pebble.url());
    drop(pebble);
    let away = Pebble::looking_at(1, 1);
    assert_ne!(away.url(), url);
    let relay = place.relay("relay.acme.test", &away).await;
    let way = format!("https://relay.acme.test:443@{}", relay.local_addr);
    reach(&way, &trust.clone().into()).await.unwrap();
    assert_eq!(
        failed(&relay).await.failure,
        Some(Failure::NotReached),
        "another directory is asked at once"
    );
    reach(&way, &trust.clone().into()).await.unwrap();
    assert_eq!(place.chain(), chain);
    relay.stop().await;
    // One that is somebody else's is not shown.
    let relay = place.relay("127.0.0.1", &away).await;
    assert!(
        reach(&way, &trust.clone().into()).await.is_err()
            && relay.certificate.clone().unwrap().borrow().ends_s.is_none()
    );
    relay.stop().await;
}

#[tokio::test]
async fn a_directory_that_takes_no_nonce_is_tried_three_times_acm_6() {
    let place = Place::new();
    let refusing = [("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "100")];
    let pebble = place.pebble(YEAR_S).with(&refusing).started();
    let relay = place.relay("127.0.0.1", &pebble).await;
    assert_eq!(failed(&relay).await.failure, Some(Failure::Nonce));
    tokio::time::sleep(Duration::from_secs(1)).await;
    // The library says each request three times itself.
    assert_eq!((pebble.asked("POST /sign-me-up"), pebble.orders()), (9, 0));
    relay.stop().await;
}

/// A way to the relay, and how many connections have come by it.
async fn counted(to: SocketAddr) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counting = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            counting.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut far = TcpStream::connect(to).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    (address, count)
}

// proves: ACM-2, ACM-5
#[tokio::test]
async fn a_certificate_for_a_number_is_renewed_while_somebody_is_connected_acm_5() {
    let (place, validity_s) = (Place::new(), 20);
    let pebble = place.pebble(validity_s).started();
    let relay = place.relay("127.0.0.1", &pebble).await;
    let first = certified(&relay).await;
    let trust = trust(&pebble).await;
    let (address, count) = counted(relay.local_addr).await;
    let route = RelayRoute {
        address: format!("https://{address}"),
        ..relay.route.clone()
    };
    let mut ana = client(&trust);
    ana.greet(&route).await;
    let chain = place.chain();
    let second = when(&relay, |word| word.ends_s > first.ends_s).await;
    let third_left = first.ends_s.unwrap() - validity_s / 3;
    let renewed_s = second.ends_s.unwrap() - validity_s;
    assert!(
        renewed_s + 2 >= third_left && renewed_s < first.ends_s.unwrap(),
        "{first:?} {second:?}"
    );
    assert_ne!(place.chain(), chain);
    // Once the first has ended only the second lets somebody in.
    tokio::time::sleep(until(first.ends_s.unwrap() + 1)).await;
    reach(&format!("https://{}", relay.local_addr), &trust.clone().into())
        .await
        .unwrap();
    let sent = ana.put(1, "still here").await;
    ana.until_stored(&[sent]).await;
    assert_eq!(
        count.load(Ordering::Relaxed),
        1,
        "the connection has stood all the time"
    );
    relay.stop().await;
}

fn until(at_s: u64) -> Duration {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    Duration::from_secs(at_s).saturating_sub(now)
}

#[tokio::test]
async fn a_directory_that_is_away_is_asked_again_when_it_is_there_acm_6() {
    let place = Place::new();
    let mut pebble = place.pebble(YEAR_S);
    let relay = place.relay("127.0.0.1", &pebble).await;
    let word = failed(&relay).await;
    assert_eq!(
        (word.failure, word.failures, word.ends_s),
        (Some(Failure::NotReached), 1, None)
    );
    assert!(word.to_string().starts_with("no certificate yet; "), "{word}");
    // Until there is one, whoever comes is not let in, and hears nothing.
    let mut stream = TcpStream::connect(relay.local_addr).await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("an end in time");
    assert_eq!(answer, b"");
    pebble.start();
    let word = certified(&relay).await;
    assert_eq!((word.failures, pebble.orders()), (0, 1));
    relay.stop().await;
}

/// Attempts of relays whom a directory does not find, or gives nothing.
#[tokio::test]
async fn who_is_refused_is_told_why_and_does_not_ask_again_at_once_acm_7() {
    let elsewhere = somebody_else().await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    for (host, looks_at, why) in [
        ("127.0.0.1", elsewhere, Failure::NotHere),
        // Let's Encrypt would tell these two apart.
        ("127.0.0.1", nobody, Failure::NotHere),
        ("blocked.test", nobody, Failure::NotForThis),
    ] {
        let place = Place::new();
        let pebble = Pebble::looking_at(looks_at, YEAR_S).started();
        let relay = place.relay(host, &pebble).await;
        let word = failed(&relay).await;
        assert_eq!(word.failure, Some(why), "{word:?}");
        assert!(
            word.detail.as_ref().is_some_and(|said| !said.is_empty()),
            "what it said is there for the doctor"
        );
        let orders = pebble.orders();
        assert!(orders <= 1 && !place.file("order.json").exists());
        relay.stop().await;
        // A start does not make it ask more.
        let relay = place.relay(host, &pebble).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(pebble.orders(), orders);
        assert!(until(acme::look(place.folder.path()).again_s) > Duration::from_secs(800));
        relay.stop().await;
    }
}

/// One who speaks the directories' protocol, and shows a certificate that is no proof.
async fn somebody_else() -> u16 {
    let folder = tempfile::tempdir().unwrap();
    let (_, files) = tls::certificate(folder.path(), "127.0.0.1");
    let chain = certificates(&std::fs::read_to_string(files.cert).unwrap());
    let key = rustls::pki_types::PrivateKeyDer::from_pem_file(files.key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let mut config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    port
}

/// Killed after the directory has issued, and before the certificate was kept: it is had from the same order.
#[tokio::test]
async fn a_certificate_that_was_issued_is_not_lost_acm_4() {
    let place = Place::new();
    let pebble = place.pebble(YEAR_S).started();
    let relay = place.relay("127.0.0.1", &pebble).await;
    let order = timeout(ISSUING_MAX, async {
        loop {
            if let Ok(order) = std::fs::read(place.file("order.json")) {
                break order;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let order = order.await.expect("an order in time");
    certified(&relay).await;
    relay.stop().await;
    let chain = place.chain();
    for gone in ["certificate.json", "last.json"] {
        std::fs::remove_file(place.file(gone)).unwrap();
    }
    std::fs::write(place.file("order.json"), order).unwrap();
    let relay = place.relay("127.0.0.1", &pebble).await;
    certified(&relay).await;
    assert_eq!((place.chain(), pebble.orders()), (chain, 1));
    relay.stop().await;
}

/// A directory that has lost everything (or never knew this relay) gets to know it again.
#[tokio::test]
async fn an_account_that_the_directory_does_not_know_is_made_anew_acm_4() {
    let place = Place::new();
    let first = place.pebble(YEAR_S).started();
    let relay = place.relay("127.0.0.1", &first).await;
    certified(&relay).await;
    relay.stop().await;
    let key = std::fs::read(place.file("account.key")).unwrap();
    let account = std::fs::read_to_string(place.file("account.json")).unwrap();
    for gone in ["certificate.json", "last.json"] {
        std::fs::remove_file(place.file(gone)).unwrap();
    }
    // The same place, which knows nothing: the account that is kept is nobody's there.
    let second = place.pebble(YEAR_S).started();
    let host = |pebble: &Pebble| pebble.url().trim_end_matches("/dir").to_owned();
    let there = account.replace(&host(&first), &host(&second));
    std::fs::write(place.file("account.json"), there).unwrap();
    let relay = place.relay("127.0.0.1", &second).await;
    certified(&relay).await;
    assert_eq!(
        std::fs::read(place.file("account.key")).unwrap(),
        key,
        "with the same key"
    );
    relay.stop().await;
}
