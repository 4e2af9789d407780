//! The same inside TLS, with a certificate authority that lives as long as the test.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use stonechat_relay::listen::TlsFiles;
use stonechat_transport::carrier::outer::{Trust, reach, reach_saying};
use stonechat_wire::address::{Around, split};

use super::*;

/// An authority, and a relay at 127.0.0.1 with a certificate of it.
pub(super) struct Guarded {
    pub(super) house: House,
    pub(super) trust: Trust,
}

impl Guarded {
    pub(super) async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    async fn with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (authority, files) = certificate(folder.path(), "127.0.0.1");
        let anywhere = "127.0.0.1:0".parse().unwrap();
        let config = Config {
            tls: Some(files),
            limits,
            ..config(folder.path(), anywhere)
        };
        let relay = Relay::start(config).await.unwrap();
        let house = House { relay, folder };
        Self {
            house,
            trust: authority,
        }
    }

    fn dial(&self) -> Dial {
        Dial {
            truck: truck(&self.house.relay.route.address, &self.house),
            means: self.trust.clone().into(),
            ..self.house.dial()
        }
    }

    async fn client(&self) -> Client {
        let mut client = Client::starting(Transport::start_trusting(
            self.trust.clone(),
            fresh_seed(),
            Remembered::default(),
        ));
        client.greet(&self.house.relay.route).await;
        client
    }
}

fn truck(address: &str, house: &House) -> Truck {
    Truck {
        address: address.to_owned(),
        path: path_of(&house.relay.route),
        load_max: 0,
        hello: Hello::Whole,
        over: Over::WebSocket,
        through: None,
    }
}

/// Makes an authority and a certificate of it for this host. Out: trust in the authority, and the files.
pub(super) fn certificate(folder: &Path, host: &str) -> (Trust, TlsFiles) {
    let authority_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(params, authority_key);
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec![host.to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let files = TlsFiles {
        cert: folder.join("cert.pem"),
        key: folder.join("key.pem"),
    };
    std::fs::write(&files.cert, own.pem()).unwrap();
    std::fs::write(&files.key, key.serialize_pem()).unwrap();
    (Trust::only(vec![authority.der().clone()]), files)
}

#[tokio::test]
async fn an_envelope_goes_inside_tls_rly_40() {
    let guarded = Guarded::new().await;
    assert_eq!(
        split(&guarded.house.relay.route.address).0,
        Around::Tls,
        "the route says so"
    );
    let (mut ana, mut bo) = (guarded.client().await, guarded.client().await);
    bo.listen(&[(token(1).tag(), 0)]).await;
    let mut sent = Vec::new();
    for n in 0..300 {
        sent.push(ana.put(1, &format!("message {n}")).await);
    }
    ana.until_stored(&sent).await;
    assert_eq!(bo.until_arrived(&sent).await.len(), 300);
}

#[tokio::test]
async fn a_door_answers_inside_tls_rly_40() {
    let guarded = Guarded::new().await;
    let address = &guarded.house.relay.route.address;
    let answer = knock(
        address,
        DoorPath::from_bytes([1; 12]),
        [0; 16],
        vec![],
        &guarded.trust.clone().into(),
    )
    .await;
    assert!(matches!(answer, Err(KnockFailure::NotFound)), "{answer:?}");
}

#[tokio::test]
async fn a_certificate_of_a_strange_authority_is_refused_rly_40() {
    let guarded = Guarded::new().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let (stranger, _) = certificate(elsewhere.path(), "127.0.0.1");
    let dial = Dial {
        means: stranger.into(),
        ..guarded.dial()
    };
    assert!(matches!(open(dial).await, Err(LinkError::Unreachable(_))));
    assert!(open(guarded.dial()).await.is_ok(), "the right one is not");
}

#[tokio::test]
async fn who_says_nothing_is_closed_before_tls_rly_40() {
    let hello_ms = 200;
    let guarded = Guarded::with(Limits {
        hello_ms,
        ..Limits::default()
    })
    .await;
    let mut stream = TcpStream::connect(guarded.house.relay.local_addr).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("an end in time")
        .unwrap();
    assert!(answer.is_empty(), "without a word");
}

#[tokio::test]
async fn plain_and_tls_do_not_meet_rly_40() {
    let (plain, guarded) = (House::new().await, Guarded::new().await);
    let to_plain = Dial {
        truck: truck(
            &stonechat_wire::address::inside_tls(&plain.relay.local_addr.to_string()),
            &plain,
        ),
        ..guarded.dial()
    };
    assert!(open(to_plain).await.is_err());
    let to_guarded = Dial {
        truck: truck(&guarded.house.relay.local_addr.to_string(), &guarded.house),
        ..guarded.dial()
    };
    assert!(open(to_guarded).await.is_err());
}

#[tokio::test]
async fn the_hello_offers_the_post_quantum_key_exchange_rly_40() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = stonechat_wire::address::inside_tls(&listener.local_addr().unwrap().to_string());
    let dialling = tokio::spawn(async move { reach(&address, &Means::default()).await.is_ok() });
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut hello = vec![0; 5];
    stream.read_exact(&mut hello).await.unwrap();
    let size = usize::from(u16::from_be_bytes([hello[3], hello[4]]));
    hello.resize(5 + size, 0);
    stream.read_exact(&mut hello[5..]).await.unwrap();
    // X25519MLKEM768 is 0x11ec; its share is 1,216 bytes (FIPS 203 and X25519).
    let share = [0x11, 0xec, 0x04, 0xc0];
    assert!(hello.windows(4).any(|part| part == share), "a key share of it");
    drop(stream);
    assert!(!dialling.await.unwrap());
}

#[tokio::test]
async fn a_hello_without_an_answer_is_told_from_a_host_that_is_not_there_trk_6() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mute = stonechat_wire::address::inside_tls(&listener.local_addr().unwrap().to_string());
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let nobody = stonechat_wire::address::inside_tls(&nobody.to_string());
    let house = House::new().await;
    for (address, why) in [(mute, Lost::Silenced), (nobody, Lost::Broken)] {
        let dial = Dial {
            truck: truck(&address, &house),
            ..house.dial()
        };
        assert_eq!(open(dial).await.unwrap_err().lost(), why);
    }
}

/// Where a name leads nowhere, and one port is closed, a number and another port are left.
#[tokio::test]
async fn a_relay_is_reached_by_a_number_at_its_second_port_way_1() {
    let folder = tempfile::tempdir().unwrap();
    let (trust, files) = certificate(folder.path(), "relay.invalid");
    let anywhere: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let config = Config {
        tls: Some(files),
        also_listen: vec![anywhere],
        ..config(folder.path(), anywhere)
    };
    let relay = Relay::start(config).await.unwrap();
    let second = relay.also_at[0];
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let address = |name: &str| format!("https://{name}:443,{closed},{second}");
    let route = RelayRoute {
        address: address("relay.invalid"),
        ..relay.route.clone()
    };
    let start = || {
        Client::starting(Transport::start_trusting(
            trust.clone(),
            fresh_seed(),
            Remembered::default(),
        ))
    };
    let mut ana = start();
    ana.greet(&route).await;
    let sent = ana.put(1, "there").await;
    ana.until_stored(&[sent]).await;
    // The number proves nothing: the certificate must be of the name.
    let way = format!("https://other.invalid:443@{second}");
    assert!(reach(&way, &trust.clone().into()).await.is_err());
    relay.stop().await;
}

/// A way to the relay on which somebody notes what the client says first, segment by segment.
async fn watched(to: SocketAddr) -> (SocketAddr, tokio::task::JoinHandle<Vec<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let watching = tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = TcpStream::connect(to).await.unwrap();
        let (mut seen, mut chunk) = (Vec::new(), [0; 8192]);
        while seen.len() < 2 {
            let count = near.read(&mut chunk).await.unwrap();
            far.write_all(&chunk[..count]).await.unwrap();
            seen.push(chunk[..count].to_vec());
            // Whoever says its hello whole says more only after an answer.
            if timeout(Duration::from_millis(200), near.readable()).await.is_err() {
                break;
            }
        }
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        seen
    });
    (address, watching)
}

#[tokio::test]
async fn a_split_hello_is_understood_and_no_segment_and_no_record_holds_the_name_trk_9() {
    let folder = tempfile::tempdir().unwrap();
    let (trust, files) = certificate(folder.path(), "relay.invalid");
    let nginx = behind::tls_nginx(&files).await;
    let config = Config {
        tls: Some(files),
        ..config(folder.path(), "127.0.0.1:0".parse().unwrap())
    };
    let relay = Relay::start(config).await.unwrap();
    for to in [relay.local_addr, nginx.1] {
        for (hello, pieces) in [(Hello::Whole, 1), (Hello::Split, 2)] {
            let (at, watching) = watched(to).await;
            let way = format!("https://relay.invalid:443@{at}");
            let (stream, _) = reach_saying(hello, &way, &trust.clone().into()).await.unwrap();
            drop(stream);
            let seen = watching.await.unwrap();
            let says = |part: &[u8]| part.windows(13).any(|part| part == b"relay.invalid");
            assert_eq!(seen.len(), pieces, "{hello:?}");
            assert_eq!(seen.iter().any(|piece| says(piece)), hello == Hello::Whole);
            // Each piece is a record of its own, so whoever puts segments together and no records reads no name.
            for piece in &seen {
                let size = usize::from(u16::from_be_bytes([piece[3], piece[4]]));
                assert_eq!((piece[0], piece.len()), (22, 5 + size));
            }
            assert_eq!(says(&seen.concat()), hello == Hello::Whole);
        }
    }
}

/// Whoever resets each connection that says the name, and puts segments together before it reads.
async fn censor(to: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut said, mut chunk) = (Vec::new(), [0; 8192]);
                while said.len() < 1000 {
                    let count = near.read(&mut chunk).await.unwrap();
                    said.extend_from_slice(&chunk[..count]);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
                if said.windows(13).any(|part| part == b"relay.invalid") {
                    return near.set_zero_linger().unwrap();
                }
                let mut far = TcpStream::connect(to).await.unwrap();
                far.write_all(&said).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn where_a_name_is_reset_people_talk_with_split_hellos_trk_9() {
    let folder = tempfile::tempdir().unwrap();
    let (trust, files) = certificate(folder.path(), "relay.invalid");
    let config = Config {
        tls: Some(files),
        ..config(folder.path(), "127.0.0.1:0".parse().unwrap())
    };
    let relay = Relay::start(config).await.unwrap();
    let at = censor(relay.local_addr).await;
    let address = format!("https://relay.invalid:443,{at}");
    let route = RelayRoute {
        address: address.clone(),
        ..relay.route.clone()
    };
    let error = reach(&format!("https://relay.invalid:443@{at}"), &trust.clone().into())
        .await
        .unwrap_err();
    assert!(stonechat_transport::carrier::outer::is_reset(&error), "{error}");
    let start = || {
        Client::starting(Transport::start_trusting(
            trust.clone(),
            fresh_seed(),
            Remembered::default(),
        ))
    };
    let mut ana = start();
    ana.greet(&route).await;
    let sent = ana.put(1, "in pieces").await;
    ana.until_stored(&[sent]).await;
    // Doors too.
    let secret = InviteSecret::from_bytes([5; 20]);
    ana.open_door(&secret, card(1)).await;
    let mut bo = start();
    let knock = Knock {
        id: [1; 16],
        hints: vec![address],
        path: secret.path(),
        proof: secret.proof(),
    };
    bo.handle.send(Errand::Knock(knock)).await.unwrap();
    let (id, card) = ([1; 16], card(1));
    assert_eq!(bo.news().await, News::Knocked { id, card });
}
