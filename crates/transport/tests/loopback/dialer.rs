//! A page in a browser, played by hand: it dials inside TLS as a Chromium does, and passes messages on.

use std::collections::HashMap;

use stonechat_transport::carrier::dialer::{Dialer, PageLine};
use stonechat_transport::carrier::outer::reach;
use stonechat_wire::address::inside_tls;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderMap;

use super::tls::certificate;
use super::*;

/// What a Chromium adds to the first request of a page that is in a sandbox.
const ADDED: [(&str, &str); 7] = [
    ("Pragma", "no-cache"),
    ("Cache-Control", "no-cache"),
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
    ),
    ("Origin", "null"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "en-US,en;q=0.9"),
    ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
];

type Outgoing = mpsc::UnboundedSender<Vec<u8>>;

/// A page that trusts this authority. Out: the task; dropped, the page is closed. The heads of the answers it got are told.
fn page(dialer: &Dialer, trust: Trust) -> (tokio::task::JoinHandle<()>, mpsc::UnboundedReceiver<HeaderMap>) {
    let (page, mut told) = dialer.attach().unwrap();
    let (heads, heads_out) = mpsc::unbounded_channel();
    let page = std::sync::Arc::new(page);
    let task = tokio::spawn(async move {
        let mut lines: HashMap<u32, Outgoing> = HashMap::new();
        let mut running = tokio::task::JoinSet::new();
        while let Some(message) = told.recv().await {
            let line = u32::from_be_bytes(message[1..5].try_into().unwrap());
            match message[0] {
                1 => {
                    let url = String::from_utf8(message[5..].to_vec()).unwrap();
                    let (send, outgoing) = mpsc::unbounded_channel();
                    lines.insert(line, send);
                    running.spawn(dial(
                        std::sync::Arc::clone(&page),
                        (line, url),
                        outgoing,
                        trust.clone(),
                        heads.clone(),
                    ));
                }
                2 => drop(lines.get(&line).unwrap().send(message[5..].to_vec())),
                4 => page.hear(&said(4, line, &[0; 4])).await.unwrap(),
                _ => drop(lines.remove(&line)),
            }
        }
    });
    (task, heads_out)
}

fn said(kind: u8, line: u32, rest: &[u8]) -> Vec<u8> {
    [&[kind][..], &line.to_be_bytes(), rest].concat()
}

async fn dial(
    page: std::sync::Arc<PageLine>,
    (line, url): (u32, String),
    mut outgoing: mpsc::UnboundedReceiver<Vec<u8>>,
    trust: Trust,
    heads: mpsc::UnboundedSender<HeaderMap>,
) {
    let place = url.strip_prefix("wss://").unwrap();
    let (host, _path) = place.split_once('/').unwrap();
    let stream = reach(&inside_tls(host), &trust.into()).await.unwrap().0;
    let mut request = format!("ws://{place}").into_client_request().unwrap();
    for (name, value) in ADDED {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let (mut socket, answer) = client_async(request, stream).await.unwrap();
    heads.send(answer.headers().clone()).unwrap();
    page.hear(&said(1, line, &[])).await.unwrap();
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Binary(bytes))) => page.hear(&said(2, line, &bytes)).await.unwrap(),
                Some(Ok(_)) => {}
                _ => return page.hear(&said(3, line, &[])).await.unwrap(),
            },
            message = outgoing.recv() => match message {
                Some(bytes) => socket.send(Message::binary(bytes)).await.unwrap(),
                None => return,
            },
        }
    }
}

/// A relay by name inside TLS, and what believes its certificate.
async fn named() -> (House, RelayRoute, Trust) {
    let folder = tempfile::tempdir().unwrap();
    let (trust, files) = certificate(folder.path(), "localhost");
    let config = Config {
        tls: Some(files),
        ..config(folder.path(), "127.0.0.1:0".parse().unwrap())
    };
    let relay = Relay::start(config).await.unwrap();
    let address = inside_tls(&format!("localhost:{}", relay.local_addr.port()));
    let route = RelayRoute {
        address,
        ..relay.route.clone()
    };
    (House { relay, folder }, route, trust)
}

/// A client whose own hellos come to nothing: it believes no authority.
fn shut_out(dialer: &Dialer) -> Client {
    let (trust, dialer) = (Trust::only(vec![]), dialer.clone());
    Client::starting(Transport::start_with(
        Means {
            trust,
            dialer,
            ..Means::default()
        },
        fresh_seed(),
        Remembered::default(),
    ))
}

// proves: DIAL-8
#[tokio::test]
async fn envelopes_go_by_a_browser_where_our_own_way_is_shut_dial_1() {
    let (_house, route, trust) = named().await;
    let dialer = Dialer::default();
    let (page, mut heads) = page(&dialer, trust.clone());
    let mut ana = shut_out(&dialer);
    ana.greet(&route).await;
    let mut bo = Client::starting(Transport::start_trusting(trust, fresh_seed(), Remembered::default()));
    bo.greet(&route).await;
    bo.listen(&[(token(1).tag(), 0)]).await;
    let mut sent = Vec::new();
    for n in 0..300 {
        sent.push(ana.put(1, &format!("message {n}")).await);
    }
    ana.until_stored(&sent).await;
    assert_eq!(bo.until_arrived(&sent).await.len(), 300);
    let head = heads.recv().await.unwrap();
    assert!(
        !head.contains_key("Sec-WebSocket-Extensions"),
        "nothing is compressed: {head:?} (DIAL-8)"
    );
    // With the page its connections end, and the relay is gone for Ana.
    page.abort();
    assert!(matches!(ana.news().await, News::Gone { .. }));
}

#[tokio::test]
async fn a_page_that_comes_later_is_dialled_by_at_once_dial_1() {
    let (_house, route, trust) = named().await;
    let dialer = Dialer::default();
    let mut ana = shut_out(&dialer);
    ana.handle
        .send(Errand::UseRelay(route.clone(), None, NamedBy::Person))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (_page, _heads) = page(&dialer, trust);
    assert!(matches!(ana.news().await, News::Greeting { .. }));
}

#[tokio::test]
async fn what_a_page_lies_is_found_out_by_the_face_dial_1() {
    let (_house, route, trust) = named().await;
    let (other, elsewhere, _) = named().await;
    let dialer = Dialer::default();
    let (_page, _heads) = page(&dialer, trust);
    // The same names and path, but other keys behind the pin: as if the page had gone to somebody else.
    let dial = Dial {
        relay: elsewhere.relay,
        truck: Truck {
            address: format!(
                "{}@browser:{}",
                route.address,
                route.address.rsplit_once(':').unwrap().1
            ),
            path: path_of(&route),
            load_max: 0,
            hello: Hello::Whole,
            over: Over::WebSocket,
            through: None,
        },
        means: Means {
            trust: Trust::system(),
            dialer: dialer.clone(),
            ..Means::default()
        },
        ..other.dial()
    };
    let refused = open(dial).await.unwrap_err();
    assert!(matches!(refused, LinkError::Face(FaceError::WrongKeys)), "{refused:?}");
}

/// A line is what a WebSocket of ours is, to whoever talks on it.
#[tokio::test]
async fn a_session_opens_over_a_line_dial_4() {
    let (house, route, trust) = named().await;
    let dialer = Dialer::default();
    let (_page, _heads) = page(&dialer, trust);
    let dial = Dial {
        truck: Truck {
            address: format!(
                "{}@browser:{}",
                route.address,
                route.address.rsplit_once(':').unwrap().1
            ),
            path: path_of(&route),
            load_max: 0,
            hello: Hello::Whole,
            over: Over::WebSocket,
            through: None,
        },
        means: Means {
            trust: Trust::only(vec![]),
            dialer: dialer.clone(),
            ..Means::default()
        },
        ..house.dial()
    };
    let opened = open(dial).await.unwrap();
    assert!(matches!(opened.socket, Either::Right(_)));
    assert!(
        opened.meter.used().packets >= 5,
        "what a browser's handshake takes is counted (TRK-3)"
    );
}
