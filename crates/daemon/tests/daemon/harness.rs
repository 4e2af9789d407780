//! A daemon in a temporary home, and clients that send exactly what a test says.

use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use stonechat_daemon::Daemon;
use stonechat_daemon::api::HttpServer;
use stonechat_daemon::config::Config;
use stonechat_daemon::home::Home;
use stonechat_daemon::rpc::Secret;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// A served profile.
pub struct Served {
    pub daemon: Arc<Daemon>,
    pub port: u16,
    pub dir: tempfile::TempDir,
}

/// An answer of the HTTP server.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// A logged-in window.
#[derive(Clone, Debug)]
pub struct Window {
    pub cookie: String,
    pub secret: String,
}

pub type Ws = WebSocketStream<MaybeTlsStream<TcpStream>>;

impl Served {
    pub async fn start() -> Self {
        Self::start_with(None, None).await
    }

    pub async fn start_with(name: Option<&str>, passphrase: Option<&str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let daemon = open(&dir, passphrase);
        let server = HttpServer::bind(Some(0), name).await.unwrap();
        let port = server.port();
        daemon.set_address(server.base_url().to_owned());
        tokio::spawn(stonechat_daemon::api::listen(&daemon).unwrap());
        tokio::spawn(server.serve(Arc::clone(&daemon)));
        Self { daemon, port, dir }
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The launch token out of a fresh address.
    pub fn token(&self) -> String {
        let url = self.daemon.open_url().unwrap();
        url.split_once("/#launch=").unwrap().1.to_owned()
    }

    /// Sends a request with these headers and no others.
    pub async fn http(&self, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let mut text = format!(
            "{line} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text.push_str(body);
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        Answer::read(&answer)
    }

    pub async fn launch(&self, token: &str) -> Answer {
        let body = json!({ "token": token }).to_string();
        let headers = [
            ("host", self.host()),
            ("origin", self.origin()),
            ("sec-fetch-site", "same-origin".into()),
        ];
        self.http(
            "POST /launch",
            &headers.each_ref().map(|(n, v)| (*n, v.as_str())),
            &body,
        )
        .await
    }

    pub async fn window(&self) -> Window {
        let answer = self.launch(&self.token()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let cookie = answer
            .header("set-cookie")
            .unwrap()
            .split(';')
            .next()
            .unwrap()
            .to_owned();
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        Window {
            cookie,
            secret: body["secret"].as_str().unwrap().to_owned(),
        }
    }

    /// Opens a WebSocket with these headers besides the protocol's own. Errors: the HTTP status.
    pub async fn websocket(&self, headers: &[(&str, &str)]) -> Result<Ws, u16> {
        let mut request = format!("ws://127.0.0.1:{}/ws", self.port)
            .into_client_request()
            .unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(
                name.to_lowercase().parse::<axum::http::HeaderName>().unwrap(),
                value.parse().unwrap(),
            );
        }
        match tokio_tungstenite::connect_async(request).await {
            Ok((ws, _)) => Ok(ws),
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// A WebSocket that has said its secret, and what came of it.
    pub async fn greeted(&self, cookie: &str, secret: &str) -> (Ws, Said) {
        let mut ws = self
            .websocket(&[("origin", &self.origin()), ("cookie", cookie)])
            .await
            .unwrap();
        ws.send(Message::text(json!({ "secret": secret }).to_string()))
            .await
            .unwrap();
        let said = said(&mut ws).await;
        (ws, said)
    }

    /// A WebSocket that may ask.
    pub async fn open_ws(&self) -> Ws {
        let window = self.window().await;
        let (ws, said) = self.greeted(&window.cookie, &window.secret).await;
        assert_eq!(said, Said::Text(json!({ "ok": true })));
        ws
    }
}

/// Opens a daemon without HTTP on a folder.
pub fn open(dir: &tempfile::TempDir, passphrase: Option<&str>) -> Arc<Daemon> {
    let home = Home::claim(dir.path()).unwrap();
    Daemon::start(
        home,
        Config::default(),
        passphrase.map(|text| Secret::new(text.to_owned())),
        "test",
    )
    .unwrap()
}

impl Answer {
    fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let mut lines = head.lines();
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|code| code.parse().ok())
            .unwrap_or(0);
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(n, v)| (n.to_lowercase(), v.to_owned()))
            .collect();
        Self {
            status,
            headers,
            body: body.to_owned(),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }
}

/// What a WebSocket said next.
#[derive(Debug, PartialEq)]
pub enum Said {
    Text(Value),
    Closed(u16),
    Ended,
}

pub async fn said(ws: &mut Ws) -> Said {
    loop {
        match ws.next().await {
            Some(Ok(Message::Text(text))) => return Said::Text(serde_json::from_str(&text).unwrap()),
            Some(Ok(Message::Close(frame))) => return Said::Closed(frame.map_or(0, |frame| frame.code.into())),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Said::Ended,
        }
    }
}

/// Asks over a WebSocket and gives the answer to that request, past events.
pub async fn ask(ws: &mut Ws, method: &str, params: Value) -> Value {
    ask_text(
        ws,
        &json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }).to_string(),
    )
    .await
}

pub async fn ask_text(ws: &mut Ws, text: &str) -> Value {
    ws.send(Message::text(text)).await.unwrap();
    loop {
        match said(ws).await {
            Said::Text(value) if value.get("method").is_none() => return value,
            Said::Text(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Asks over the UNIX socket.
pub async fn ask_socket(served: &Served, text: &str) -> Value {
    let mut stream = stonechat_daemon::api::connect(served.dir.path()).await.unwrap();
    stream.write_all(format!("{text}\n").as_bytes()).await.unwrap();
    read_line(&mut stream).await
}

async fn read_line(stream: &mut UnixStream) -> Value {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await.unwrap();
    serde_json::from_str(&line).unwrap()
}
