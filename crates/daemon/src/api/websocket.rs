//! The WebSocket of a window: the second half of its session first, then its conversation.
//!
//! In: a socket whose request passed the guard, and the cookie it brought. Out: a conversation, or close code 4401.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::WebSocketUpgrade;
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::stream::SplitStream;
use futures_util::{SinkExt as _, Stream, StreamExt as _};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::converse::{Caller, converse, until_either_ends};
use crate::Daemon;
use crate::rpc::REQUEST_BYTES_MAX;

/// The secret must come within this.
const SECRET_WAIT: Duration = Duration::from_secs(5);
/// "Not logged in": open a fresh address.
const NOT_ADMITTED: u16 = 4401;
/// "The program ends".
const GOING_AWAY: u16 = 1001;
/// "Events were missed": connect again.
const MISSED: u16 = 4409;
/// A window that takes nothing for so long is gone.
const WRITE_WAIT: Duration = Duration::from_secs(30);
/// Texts that wait for the window.
const QUEUE_MAX: usize = 256;

/// A frame may be longer than a request may be, so that a longer request gets its answer; not much longer.
pub(super) fn limits(upgrade: WebSocketUpgrade) -> WebSocketUpgrade {
    upgrade
        .max_message_size(4 * REQUEST_BYTES_MAX)
        .max_frame_size(4 * REQUEST_BYTES_MAX)
}

#[derive(Deserialize)]
struct Hello {
    secret: String,
}

/// Runs one window's connection to its end.
pub(super) async fn talk(daemon: Arc<Daemon>, mut socket: WebSocket, cookie: String) {
    if !is_admitted(&daemon, &mut socket, &cookie).await {
        close(&mut socket, NOT_ADMITTED, "not logged in").await;
        return;
    }
    if socket.send(Message::text(r#"{"ok":true}"#)).await.is_err() {
        return;
    }
    let (mut sink, stream) = socket.split();
    let (outgoing, mut queue) = mpsc::channel::<String>(QUEUE_MAX);
    let ending = daemon.ending();
    let writer = async move {
        while let Some(text) = queue.recv().await {
            let sent = tokio::time::timeout(WRITE_WAIT, sink.send(Message::text(text))).await;
            if !matches!(sent, Ok(Ok(()))) {
                return;
            }
        }
        let code = if *ending.borrow() { GOING_AWAY } else { MISSED };
        let reason = "".into();
        let _ = sink.send(Message::Close(Some(CloseFrame { code, reason }))).await;
    };
    let talk = converse(daemon, Caller::Browser, texts(stream), outgoing);
    until_either_ends(writer, talk).await;
}

async fn is_admitted(daemon: &Daemon, socket: &mut WebSocket, cookie: &str) -> bool {
    let Ok(Some(Ok(Message::Text(text)))) = tokio::time::timeout(SECRET_WAIT, socket.recv()).await else {
        return false;
    };
    let Ok(Hello { secret }) = serde_json::from_str(&text) else {
        return false;
    };
    daemon.launch().admits(cookie, &secret)
}

async fn close(socket: &mut WebSocket, code: u16, reason: &'static str) {
    let _ = socket
        .send(Message::Close(Some(CloseFrame {
            code,
            reason: reason.into(),
        })))
        .await;
}

/// Text frames; pings are answered below, and binary frames are not requests.
fn texts(stream: SplitStream<WebSocket>) -> impl Stream<Item = String> {
    let whole = stream
        .take_while(|frame| std::future::ready(matches!(frame, Ok(frame) if !matches!(frame, Message::Close(_)))));
    whole.filter_map(|frame| async move {
        match frame {
            Ok(Message::Text(text)) => Some(text.to_string()),
            Ok(Message::Binary(_)) => Some(String::new()),
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_)) | Err(_) => None,
        }
    })
}
