//! The dialer's page: an origin of its own, that holds WebSockets to relays for the daemon and understands nothing of them.
//!
//! In: requests that name [`super::DIALER_NAME`]. Out: one page, and the local socket on which it is told what to dial. It is
//! in a sandbox: no storage, no cookie, no way to the interface. What it says is weighed in
//! [`stonechat_transport::carrier::dialer`]. Specified in `docs/protocol/21-dialer.md`.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::ws::{Message, WebSocket};
use axum::extract::{FromRequestParts as _, Request, WebSocketUpgrade};
use axum::http::header::{self, HeaderName};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use sha2::{Digest as _, Sha256};
use stonechat_transport::carrier::dialer::{HEAD_BYTES, MESSAGE_BYTES_MAX};
use subtle::ConstantTimeEq as _;
use tokio::time::timeout;

use super::guard::{Guard, dialer_host};
use crate::{Daemon, random};

/// A ticket lives so long: the page is opened at once.
const TICKET_LIFE: Duration = Duration::from_secs(60);
/// So many may wait to be used; a further one replaces the oldest.
const TICKETS_MAX: usize = 8;
/// The ticket must come within this.
const TICKET_WAIT: Duration = Duration::from_secs(5);
/// A page that takes nothing for so long is gone.
const WRITE_WAIT: Duration = Duration::from_secs(30);

const SCRIPT: &str = include_str!("dialer/page.js");

/// The host of the page, with the port.
pub(crate) fn host(port: u16) -> String {
    dialer_host(port)
}

/// Tickets that open the page's socket, each once.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    waiting: Mutex<Vec<([u8; 32], Instant)>>,
}

impl Tickets {
    /// A fresh one.
    pub(crate) fn mint(&self, now: Instant) -> String {
        let ticket = hex::encode(random::bytes::<32>());
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= TICKETS_MAX {
            waiting.remove(0);
        }
        waiting.push((hash(&ticket), now));
        ticket
    }

    /// Whether it is one that was not used, and not too old.
    pub(crate) fn take(&self, ticket: &str, now: Instant) -> bool {
        let shown = hash(ticket);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|(_, made)| now.saturating_duration_since(*made) < TICKET_LIFE);
        let place = waiting.iter().position(|(kept, _)| kept.ct_eq(&shown).into());
        place.map(|place| waiting.remove(place)).is_some()
    }
}

fn hash(ticket: &str) -> [u8; 32] {
    Sha256::digest(ticket.as_bytes()).into()
}

/// Answers one request that names the dialer.
pub(super) async fn answer(daemon: &Arc<Daemon>, guard: &Guard, request: Request) -> Response {
    let response = match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => page(),
        (&Method::GET, "/socket") => match Guard::check_dialer(request.headers()) {
            Ok(()) => open_socket(daemon, request).await,
            Err(refusal) => refusal.status().into_response(),
        },
        _other => StatusCode::NOT_FOUND.into_response(),
    };
    with_headers(guard, response)
}

fn page() -> Response {
    let html = format!("<!doctype html><meta charset=\"utf-8\"><title>Stonechat</title><script>{SCRIPT}</script>");
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], Body::from(html)).into_response()
}

fn with_headers(guard: &Guard, mut response: Response) -> Response {
    let headers = response.headers_mut();
    let policy = policy(guard).parse().expect("hosts, a hash and ports are plain text");
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    for (name, value) in [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        (
            "permissions-policy",
            "camera=(), microphone=(), geolocation=(), display-capture=(), browsing-topics=()",
        ),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ] {
        headers.insert(HeaderName::from_static(name), value.parse().expect("it is plain text"));
    }
    response
}

/// This script and no other; connections to its socket and inside TLS, and to nothing else; in a frame of the interface only
/// (DIAL-3).
fn policy(guard: &Guard) -> String {
    static HASH: OnceLock<String> = OnceLock::new();
    let hash = HASH.get_or_init(|| STANDARD.encode(Sha256::digest(SCRIPT.as_bytes())));
    let ours: Vec<String> = guard.origins().collect();
    format!(
        "default-src 'none'; script-src 'sha256-{hash}'; connect-src ws://{} wss:; sandbox allow-scripts; base-uri 'none'; \
         form-action 'none'; frame-ancestors {}; require-trusted-types-for 'script'; trusted-types 'none'",
        guard.dialer(),
        ours.join(" ")
    )
}

async fn open_socket(daemon: &Arc<Daemon>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    let daemon = Arc::clone(daemon);
    let bytes_max = MESSAGE_BYTES_MAX + HEAD_BYTES;
    let upgrade = upgrade.max_message_size(bytes_max).max_frame_size(bytes_max);
    upgrade.on_upgrade(move |socket| serve(daemon, socket))
}

/// Runs one page's socket to its end; dropping it closes it, and ends the page's lines.
async fn serve(daemon: Arc<Daemon>, mut socket: WebSocket) {
    if !has_ticket(&daemon, &mut socket).await {
        return;
    }
    let Some((page, mut to_page)) = daemon.dialer().attach() else {
        return;
    };
    let mut ending = daemon.ending();
    let (mut sink, mut stream) = socket.split();
    let say = async {
        while let Some(message) = to_page.recv().await {
            let sent = timeout(WRITE_WAIT, sink.send(Message::Binary(message.into()))).await;
            if !matches!(sent, Ok(Ok(()))) {
                return;
            }
        }
    };
    let hear = async {
        while let Some(Ok(message)) = stream.next().await {
            let heard = match message {
                Message::Binary(bytes) => page.hear(&bytes).await.is_ok(),
                Message::Ping(_) | Message::Pong(_) => true,
                Message::Text(_) | Message::Close(_) => false,
            };
            if !heard {
                return;
            }
        }
    };
    tokio::select! {
        () = say => {}
        () = hear => {}
        _ = ending.wait_for(|ending| *ending) => {}
    }
}

async fn has_ticket(daemon: &Daemon, socket: &mut WebSocket) -> bool {
    match timeout(TICKET_WAIT, socket.recv()).await {
        Ok(Some(Ok(Message::Text(ticket)))) => daemon.tickets().take(&ticket, Instant::now()),
        _silent_or_else => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_good_once_for_a_minute_and_eight_wait_dial_2() {
        let (tickets, made) = (Tickets::default(), Instant::now());
        let (one, late) = (tickets.mint(made), tickets.mint(made));
        assert!(tickets.take(&one, made + Duration::from_secs(59)));
        assert!(!tickets.take(&one, made));
        assert!(!tickets.take(&late, made + TICKET_LIFE));
        assert!(!tickets.take("", made));
        let first = tickets.mint(made);
        for _ in 0..100 {
            tickets.mint(made);
        }
        assert_eq!(tickets.waiting.lock().unwrap().len(), TICKETS_MAX);
        assert!(!tickets.take(&first, made));
    }
}
