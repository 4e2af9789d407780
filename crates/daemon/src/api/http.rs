//! The interface's HTTP server on loopback: the page, the launch, and the way to the WebSocket.
//!
//! In: HTTP requests of this machine. Out: files of the interface with strict headers, a session for a launch token,
//! a WebSocket. Which requests are answered at all is [`super::guard`]'s decision, taken before anything else.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Request, State, WebSocketUpgrade};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state, map_response_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, post};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::assets::{self, Asset, Cache};
use super::guard::{Guard, Kind, dialer_host};
use super::{dialer, websocket};
use crate::Daemon;
use crate::config::DEFAULT_PORT;

/// So many connections at once: a browser uses six and the WebSockets of its windows.
const CONNECTIONS_MAX: usize = 128;
/// A connection that says nothing for so long after it was made gives its place back.
const FIRST_WORD_WAIT: Duration = Duration::from_secs(10);
/// The largest body is a launch token in JSON.
const BODY_BYTES_MAX: usize = 1024;

/// Nothing but our own files, and the dialer's page in a frame (DIAL-3); no inline code; no page may frame us; no text becomes
/// markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; font-src 'self'; \
    connect-src 'self'; frame-src http://DIALER; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// The bound server; [`HttpServer::serve`] runs it.
#[derive(Debug)]
pub struct HttpServer {
    listener: TcpListener,
    port: u16,
    guard: Guard,
    base_url: String,
}

/// Why the interface cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The port asked for is taken.
    #[error("port {0} is in use")]
    PortInUse(u16),
    /// Another error of the system.
    #[error("the interface cannot be served: {0}")]
    Io(#[from] io::Error),
}

impl HttpServer {
    /// Binds to 127.0.0.1. Without a wish for a port: the usual one, or any where that is taken.
    ///
    /// Errors: see [`HttpError`].
    pub async fn bind(port: Option<u16>, name: Option<&str>) -> Result<Self, HttpError> {
        let listener = match port {
            Some(port) => bind(port).await?,
            None => match bind(DEFAULT_PORT).await {
                Err(HttpError::PortInUse(_)) => bind(0).await?,
                other => other?,
            },
        };
        let port = listener.local_addr()?.port();
        let host = name.map_or_else(|| "127.0.0.1".to_owned(), |name| format!("{name}.localhost"));
        Ok(Self {
            listener,
            port,
            guard: Guard::new(port, name),
            base_url: format!("http://{host}:{port}/"),
        })
    }

    /// The address of the page, without a launch token.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The port bound.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Serves until the future is dropped.
    pub async fn serve(self, daemon: Arc<Daemon>) {
        let app = router(App {
            daemon,
            policy: policy(self.port),
            guard: Arc::new(self.guard),
        });
        let listener = Limited::new(self.listener, CONNECTIONS_MAX);
        if let Err(error) = axum::serve(listener, app).await {
            tracing::error!(error = %error.kind(), "the interface is no longer served");
        }
    }
}

async fn bind(port: u16) -> Result<TcpListener, HttpError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => HttpError::PortInUse(port),
            _ => error.into(),
        })
}

#[derive(Clone, Debug)]
struct App {
    daemon: Arc<Daemon>,
    policy: HeaderValue,
    guard: Arc<Guard>,
}

fn policy(port: u16) -> HeaderValue {
    let policy = POLICY.replace("DIALER", &dialer_host(port));
    HeaderValue::from_str(&policy).expect("a host and a port are plain text")
}

fn router(app: App) -> Router {
    Router::new()
        .route("/ws", any(open_websocket))
        .route("/launch", post(launch))
        .fallback(file)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(app.clone(), check))
        .layer(map_response_with_state(app.clone(), with_strict_headers))
        .layer(from_fn_with_state(app.clone(), by_name))
        .with_state(app)
}

/// The dialer's page is another origin, with rules and headers of its own.
async fn by_name(State(app): State<App>, request: Request, next: Next) -> Response {
    if app.guard.is_for_dialer(request.uri(), request.headers()) {
        return dialer::answer(&app.daemon, &app.guard, request).await;
    }
    next.run(request).await
}

async fn check(State(app): State<App>, request: Request, next: Next) -> Response {
    let kind = match (request.method(), request.uri().path()) {
        (_, "/ws") => Kind::Write,
        (&Method::GET | &Method::HEAD, "/" | "/index.html") => Kind::Page,
        (&Method::GET | &Method::HEAD, _) => Kind::Part,
        _ => Kind::Write,
    };
    match app.guard.check(kind, request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => {
            tracing::debug!(?refusal, "a request was refused");
            refusal.status().into_response()
        }
    }
}

async fn with_strict_headers(State(app): State<App>, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, app.policy);
    for (name, value) in [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        (
            "permissions-policy",
            "camera=(), microphone=(self), geolocation=(self), display-capture=(), browsing-topics=()",
        ),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn file(method: Method, request: Request) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    match assets::find(request.uri().path()) {
        Some(asset) => asset_response(&asset, request.headers()),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn asset_response(asset: &Asset, request: &HeaderMap) -> Response {
    let cache = match asset.cache {
        Cache::Never => "no-store",
        Cache::Ask => "no-cache",
        Cache::Forever => "private, max-age=31536000, immutable",
    };
    let headers = [
        (header::CONTENT_TYPE, asset.content_type),
        (header::CACHE_CONTROL, cache),
    ];
    if asset.cache == Cache::Never {
        return (headers, Body::from(asset.bytes)).into_response();
    }
    let known = request
        .get(header::IF_NONE_MATCH)
        .is_some_and(|tag| tag.as_bytes() == asset.etag().as_bytes());
    let tag = [(header::ETAG, asset.etag())];
    if known {
        (StatusCode::NOT_MODIFIED, headers, tag).into_response()
    } else {
        (headers, tag, Body::from(asset.bytes)).into_response()
    }
}

#[derive(Deserialize)]
struct LaunchRequest {
    token: String,
}

/// Takes a launch token, once. The cookie goes to the browser, the secret to the page.
async fn launch(State(app): State<App>, body: Bytes) -> Response {
    let Ok(LaunchRequest { token }) = serde_json::from_slice(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let launch = app.daemon.launch();
    let Some(admission) = launch.exchange(&token, Instant::now()) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let cookie = format!(
        "{}={}; HttpOnly; SameSite=Strict; Path=/; Max-Age=2592000",
        launch.cookie_name(),
        admission.cookie
    );
    let answer = json!({ "secret": admission.secret, "profile": launch.profile_id() });
    (
        [
            (header::SET_COOKIE, cookie.as_str()),
            (header::CONTENT_TYPE, "application/json"),
        ],
        answer.to_string(),
    )
        .into_response()
}

async fn open_websocket(State(app): State<App>, headers: HeaderMap, upgrade: WebSocketUpgrade) -> Response {
    let cookie = cookie(&headers, &app.daemon.launch().cookie_name()).unwrap_or_default();
    websocket::limits(upgrade).on_upgrade(move |socket| websocket::talk(app.daemon, socket, cookie))
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(';')).find_map(|pair| {
        let (found, value) = pair.trim().split_once('=')?;
        (found == name).then(|| value.to_owned())
    })
}

/// A listener that takes no more connections than there is room for.
#[derive(Debug)]
pub(super) struct Limited {
    listener: TcpListener,
    room: Arc<Semaphore>,
}

impl Limited {
    /// With room for so many.
    pub(super) fn new(listener: TcpListener, connections_max: usize) -> Self {
        let room = Arc::new(Semaphore::new(connections_max));
        Self { listener, room }
    }
}

impl axum::serve::Listener for Limited {
    type Io = Occupied;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let permit = Arc::clone(&self.room)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    return (Occupied::new(stream, permit), address);
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

use occupied::Occupied;

/// A connection that gives its place back when it is dropped, and that must begin to speak soon.
mod occupied {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
    use tokio::net::TcpStream;
    use tokio::sync::OwnedSemaphorePermit;
    use tokio::time::{Sleep, sleep};

    use super::FIRST_WORD_WAIT;

    #[derive(Debug)]
    pub(crate) struct Occupied {
        stream: TcpStream,
        /// Until the first byte.
        silence: Option<Pin<Box<Sleep>>>,
        _permit: OwnedSemaphorePermit,
    }

    impl Occupied {
        pub(super) fn new(stream: TcpStream, permit: OwnedSemaphorePermit) -> Self {
            let silence = Some(Box::pin(sleep(FIRST_WORD_WAIT)));
            Self {
                stream,
                silence,
                _permit: permit,
            }
        }
    }

    impl AsyncRead for Occupied {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            let read = Pin::new(&mut self.stream).poll_read(cx, buf);
            if read.is_ready() {
                self.silence = None;
                return read;
            }
            match &mut self.silence {
                Some(silence) => silence.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
                None => Poll::Pending,
            }
        }
    }

    impl AsyncWrite for Occupied {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.stream).poll_write(cx, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.stream).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.stream).poll_shutdown(cx)
        }
    }
}
