//! Why a relay does not answer, as a courier tells it of real sockets (WAY-4).

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use stonechat_relay::listen::TlsFiles;
use stonechat_transport::courier::{Missed, Tries};
use stonechat_wire::ids::RelayId;
use tokio::sync::watch;

use super::*;

/// A courier that wants one relay after the other.
struct Caller {
    handle: Handle,
    tried: watch::Receiver<Tries>,
    _news: mpsc::Receiver<News>,
}

impl Caller {
    fn new(trust: Trust) -> Self {
        let (handle, news) = Transport::start_trusting(trust, fresh_seed(), Remembered::default());
        Self {
            tried: handle.tried(),
            handle,
            _news: news,
        }
    }

    async fn wants(&self, address: &str, relay: RelayId) {
        let route = RelayRoute {
            address: address.to_owned(),
            relay,
            secret: None,
            lan: false,
        };
        self.handle
            .send(Errand::UseRelay(route, None, NamedBy::Person))
            .await
            .unwrap();
    }

    /// What came of a relay's ways, once something did.
    async fn why(&mut self, relay: RelayId) -> Missed {
        let found = timeout(PATIENCE, self.tried.wait_for(|tries| tries.contains_key(&relay))).await;
        found.expect("a reason in time").unwrap()[&relay][0].why
    }
}

const fn id(n: u8) -> RelayId {
    RelayId::from_bytes([n; 16])
}

/// Somebody at an address who does this with each connection.
async fn somebody<F: Future<Output = ()> + Send>(does: impl Fn(TcpStream) -> F + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            does(stream).await;
        }
    });
    address
}

async fn says(answer: &'static str) -> String {
    somebody(async |mut stream| {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await
}

#[tokio::test]
async fn why_a_relay_does_not_answer_is_told_apart_way_4() {
    let mut caller = Caller::new(Trust::only(vec![]));
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    caller.wants(&gone.to_string(), id(1)).await;
    caller.wants("nowhere.invalid:443", id(2)).await;
    let cuts = somebody(async |stream| {
        let _ = stream.readable().await;
        // Unread bytes make the end a reset.
        drop(stream);
    });
    caller.wants(&format!("https://{}", cuts.await), id(3)).await;
    let holds = somebody(async |stream| {
        drop(tokio::spawn(async move {
            stream.readable().await.is_ok() && std::future::pending().await
        }))
    });
    caller.wants(&format!("https://{}", holds.await), id(4)).await;
    let missing = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    caller.wants(&says(missing).await, id(5)).await;
    let busy = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
    caller.wants(&says(busy).await, id(6)).await;
    let house = House::new().await;
    caller.wants(&house.relay.local_addr.to_string(), id(7)).await;

    let expected = [
        (1, Missed::Closed),
        (2, Missed::NoName),
        (3, Missed::Cut),
        (4, Missed::Silent),
        (5, Missed::Stranger),
        (6, Missed::Busy),
        (7, Missed::Stranger),
    ];
    for (n, why) in expected {
        assert_eq!(caller.why(id(n)).await, why, "relay {n}");
    }
}

/// A relay whose certificate was signed by itself and is valid so long.
async fn signed_by_itself(folder: &Path, until: i32) -> (Running, Trust) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.not_after = date_time_ymd(until, 1, 1);
    let own = params.self_signed(&key).unwrap();
    let files = TlsFiles {
        cert: folder.join("cert.pem"),
        key: folder.join("key.pem"),
    };
    std::fs::write(&files.cert, own.pem()).unwrap();
    std::fs::write(&files.key, key.serialize_pem()).unwrap();
    let anywhere = "127.0.0.1:0".parse().unwrap();
    let relay = Relay::start(Config {
        tls: Some(files),
        ..config(folder, anywhere)
    });
    (relay.await.unwrap(), Trust::only(vec![own.der().clone()]))
}

#[tokio::test]
async fn a_certificate_that_is_over_is_told_from_one_that_is_not_believed_way_4() {
    let (old, young) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (over, trust) = signed_by_itself(old.path(), 2001).await;
    let mut caller = Caller::new(trust);
    caller.wants(&over.route.address, over.route.relay).await;
    assert_eq!(caller.why(over.route.relay).await, Missed::CertificateTime);

    let (strange, _) = signed_by_itself(young.path(), 4000).await;
    caller.wants(&strange.route.address, strange.route.relay).await;
    assert_eq!(caller.why(strange.route.relay).await, Missed::Certificate);
}

#[tokio::test]
async fn what_was_missed_is_gone_once_the_relay_answers_and_told_when_it_ends_way_4() {
    let House { relay, folder } = House::new().await;
    let (route, address) = (relay.route.clone(), relay.local_addr);
    relay.stop().await;
    let mut caller = Caller::new(Trust::only(vec![]));
    let wish = Errand::UseRelay(route.clone(), None, NamedBy::Person);
    caller.handle.send(wish).await.unwrap();
    assert_eq!(caller.why(route.relay).await, Missed::Closed);
    let again = Relay::start(config(folder.path(), address)).await.unwrap();
    let answers = caller.tried.wait_for(|tries| !tries.contains_key(&route.relay));
    timeout(PATIENCE, answers).await.expect("it answers").unwrap();
    again.stop().await;
    caller.why(route.relay).await;
}
