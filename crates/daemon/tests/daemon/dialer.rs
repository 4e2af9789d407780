//! The dialer's page: what is answered under its name, who gets its socket, and what it may not reach.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::Message;

use crate::harness::{Served, Ws, ask, ask_socket};

impl Served {
    fn dialer(&self) -> String {
        format!("dialer.localhost:{}", self.port)
    }

    /// The ticket out of a fresh address of the page.
    fn ticket(&self) -> String {
        let url = self.daemon.dialer_url().unwrap();
        let (page, ticket) = url.split_once("/#").unwrap();
        assert_eq!(page, format!("http://{}", self.dialer()));
        ticket.to_owned()
    }

    /// Opens the page's socket as somebody of this origin. Errors: the HTTP status.
    async fn socket_as(&self, origin: Option<&str>) -> Result<Ws, u16> {
        let mut request = format!("ws://127.0.0.1:{}/socket", self.port)
            .into_client_request()
            .unwrap();
        request.headers_mut().insert("host", self.dialer().parse().unwrap());
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", origin.parse().unwrap());
        }
        match tokio_tungstenite::connect_async(request).await {
            Ok((ws, _)) => Ok(ws),
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// The socket after this was said first; whether it stands is seen by whether it is closed at once.
    async fn stands_after(&self, first: Message) -> (Ws, bool) {
        let mut ws = self.socket_as(Some("null")).await.unwrap();
        ws.send(first).await.unwrap();
        let over = tokio::time::timeout(Duration::from_millis(300), ws.next()).await;
        (ws, over.is_err())
    }
}

#[tokio::test]
async fn under_its_name_there_is_the_page_and_nothing_of_the_interface_dial_2() {
    let served = Served::start_with(Some("ana"), None).await;
    let host = served.dialer();
    let answer = served
        .http("GET /", &[("host", &host), ("sec-fetch-site", "cross-site")], "")
        .await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("<script>"));
    assert_eq!(answer.header("set-cookie"), None);
    for line in [
        "GET /index.html",
        "GET /ws",
        "POST /launch",
        "GET /launch",
        "POST /",
        "GET /logo.svg",
    ] {
        let headers = [("host", host.as_str()), ("origin", "null")];
        assert_eq!(served.http(line, &headers, "{}").await.status, 404, "{line}");
    }
    // And under the interface's names there is nothing of the dialer.
    for name in [served.host(), format!("ana.localhost:{}", served.port)] {
        let origin = format!("http://{name}");
        let headers = [("host", name.as_str()), ("origin", &origin)];
        assert_eq!(served.http("GET /socket", &headers, "").await.status, 404);
    }
    let elsewhere = format!("dialer.localhost:{}", served.port ^ 1);
    assert_eq!(served.http("GET /", &[("host", &elsewhere)], "").await.status, 421);
}

#[tokio::test]
async fn the_interface_takes_nothing_from_the_dialers_origin_dial_2() {
    let served = Served::start().await;
    let window = served.window().await;
    for origin in [format!("http://{}", served.dialer()), "null".to_owned()] {
        let headers = [("origin", origin.as_str()), ("cookie", &window.cookie)];
        assert_eq!(served.websocket(&headers).await.err(), Some(403), "{origin}");
    }
}

#[tokio::test]
async fn the_page_may_run_one_script_and_reach_its_socket_and_tls_only_dial_3() {
    let served = Served::start().await;
    let host = served.dialer();
    for line in ["GET /", "GET /missing", "GET /socket"] {
        let answer = served.http(line, &[("host", &host)], "").await;
        let policy = answer.header("content-security-policy").unwrap();
        let parts: Vec<&str> = policy.split(';').map(str::trim).collect();
        let connect = format!("connect-src ws://{host} wss:");
        let (port, hash) = (served.port, script_hash());
        let script = format!("script-src 'sha256-{hash}'");
        let framed = format!("frame-ancestors http://127.0.0.1:{port} http://localhost:{port}");
        let expected = [
            "default-src 'none'",
            &script,
            &connect,
            "sandbox allow-scripts",
            "base-uri 'none'",
            "form-action 'none'",
            &framed,
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ];
        assert_eq!(parts, expected, "{line}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    }
    let page = served.http("GET /", &[("host", &served.host())], "").await;
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains(&format!("; frame-src http://{host};")), "{policy}");
}

/// Of the script as it stands in the page.
fn script_hash() -> String {
    use base64::Engine as _;
    use sha2::Digest as _;
    let script = include_str!("../../src/api/dialer/page.js");
    base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(script.as_bytes()))
}

#[tokio::test]
async fn a_ticket_opens_the_socket_once_dial_2() {
    let served = Served::start().await;
    let ticket = served.ticket();
    let (_page, stands) = served.stands_after(Message::text(ticket.clone())).await;
    assert!(stands);
    let none = [
        Message::text(ticket.clone()),
        Message::text(""),
        Message::text("00".repeat(32)),
        Message::binary(served.ticket().into_bytes()),
    ];
    for first in none {
        assert!(!served.stands_after(first).await.1);
    }
}

#[tokio::test]
async fn only_a_page_in_a_sandbox_gets_to_the_socket_dial_2() {
    let served = Served::start().await;
    let own = format!("http://{}", served.dialer());
    for origin in [
        None,
        Some("http://evil.example"),
        Some(served.origin().as_str()),
        Some(own.as_str()),
    ] {
        assert_eq!(served.socket_as(origin).await.err(), Some(403), "{origin:?}");
    }
    assert!(served.socket_as(Some("null")).await.is_ok());
}

#[tokio::test]
async fn a_launch_token_is_no_ticket_and_a_ticket_no_launch_token_dial_2() {
    let served = Served::start().await;
    assert!(!served.stands_after(Message::text(served.token())).await.1);
    assert_eq!(served.launch(&served.ticket()).await.status, 401);
}

#[tokio::test]
async fn what_makes_no_sense_ends_the_page_dial_6() {
    let served = Served::start().await;
    for odd in [
        Message::binary(vec![9, 0, 0, 0, 1]),
        Message::binary(vec![]),
        Message::text("status"),
        Message::binary(vec![2; (1 << 20) + 6]),
    ] {
        let (mut ws, stands) = served.stands_after(Message::text(served.ticket())).await;
        assert!(stands);
        // What is too long may be cut off while it is sent.
        let _ = ws.send(odd).await;
        let over = tokio::time::timeout(Duration::from_secs(5), ws.next()).await.unwrap();
        assert!(!matches!(over, Some(Ok(Message::Binary(_)))), "{over:?}");
    }
}

#[tokio::test]
async fn a_socket_without_a_ticket_is_closed_after_five_seconds_dial_2() {
    let served = Served::start().await;
    let mut ws = served.socket_as(Some("null")).await.unwrap();
    let over = tokio::time::timeout(Duration::from_secs(8), ws.next()).await;
    assert!(over.is_ok());
}

#[tokio::test]
async fn four_pages_are_there_at_once_dial_6() {
    let served = Served::start().await;
    let mut pages = Vec::new();
    for _ in 0..4 {
        let (page, stands) = served.stands_after(Message::text(served.ticket())).await;
        assert!(stands);
        pages.push(page);
    }
    assert!(!served.stands_after(Message::text(served.ticket())).await.1);
    pages.pop();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(served.stands_after(Message::text(served.ticket())).await.1);
}

#[tokio::test]
async fn whoever_is_let_in_gets_addresses_of_the_page_dial_2() {
    let served = Served::start().await;
    let mut ws = served.open_ws().await;
    let asked = ask(&mut ws, "dialer", json!({})).await;
    let by_socket = ask_socket(&served, r#"{"jsonrpc":"2.0","id":1,"method":"dialer"}"#).await;
    for answer in [asked, by_socket] {
        let url = answer["result"]["url"].as_str().unwrap().to_owned();
        assert!(url.starts_with(&format!("http://{}/#", served.dialer())), "{url}");
    }
}
