//! Where the relay tells its figures: a listener of its own, on loopback.
//!
//! In: a request for `/metrics`. Out: the figures as text; to anything else a 404. One request a connection, and a few
//! at once: whoever reads figures is a program of the operator's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::limits::HEAD_BYTES_MAX;
use crate::operate::metrics::Metrics;

/// Readers at once.
const READERS_MAX: usize = 8;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Tells figures to whoever asks, until its task is ended.
pub(super) async fn tell(listener: TcpListener, metrics: Metrics) {
    let seats = Arc::new(Semaphore::new(READERS_MAX));
    loop {
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let metrics = metrics.clone();
                tokio::spawn(async move {
                    // Whether it was heard is the asker's concern.
                    let _ = timeout(PATIENCE, answer(stream, &metrics)).await;
                    drop(seat);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Binds the listener. The settings have seen to it that the address is on loopback.
pub(super) async fn bind(address: Option<SocketAddr>) -> std::io::Result<Option<TcpListener>> {
    match address {
        Some(address) => TcpListener::bind(address).await.map(Some),
        None => Ok(None),
    }
}

async fn answer(mut stream: TcpStream, metrics: &Metrics) -> std::io::Result<()> {
    let mut head = Vec::with_capacity(1024);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut chunk = [0; 1024];
        let count = stream.read(&mut chunk).await?;
        head.extend_from_slice(chunk.get(..count).unwrap_or_default());
        if count == 0 || head.len() > HEAD_BYTES_MAX {
            return Ok(());
        }
    }
    let (status, body) = if head.starts_with(b"GET /metrics ") {
        ("200 OK", metrics.text())
    } else {
        ("404 Not Found", String::new())
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
