//! The browser as dialer: pages of ours, in the person's own browser, that open WebSockets and pass their messages on.
//!
//! In: pages as they come and go, with the messages on their local socket; addresses to dial. Out: a [`Line`], which carries
//! messages as any WebSocket of ours does. What a page says is believed in nothing: the face inside proves the relay, and a
//! page that says what makes no sense is dropped with all its lines. Specified in `docs/protocol/21-dialer.md`.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use futures_util::{Sink, Stream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Sleep, sleep, timeout};
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message};

use super::meter::Meter;

/// Most pages that dial at once: windows of one person's browser.
pub const PAGES_MAX: usize = 4;
/// Most lines of one page.
pub const LINES_MAX: usize = 16;
/// Longest message on a line, in bytes (RLY-35).
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// What stands before it on the local socket: kind 1, line 4.
pub const HEAD_BYTES: usize = 5;
/// Messages of one line that wait to be read; a page that has more is read no further.
const WAITING_MAX: usize = 16;
/// How long a browser may take to reach somebody: TCP, TLS and upgrade.
const OPEN_MAX: Duration = Duration::from_secs(14);
/// So much may wait in the browser when the next message is given to it, in bytes.
const LEFT_BYTES_MAX: u64 = 64 << 10;
/// How often it is asked how much waits: a page in the background has no timer that it could tell by.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// Bytes that the TLS handshake and the upgrade of a Chromium take, out and in.
const HANDSHAKE_BYTES: (usize, usize) = (2_700, 4_300);

/// What daemon and page say to each other: the first byte of each message. What one of them asks, the other answers alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    /// Dial what follows. | It is open.
    Open = 1,
    /// A message of the line.
    Data = 2,
    /// Close it. | It is closed, or never was open.
    Close = 3,
    /// How much waits to be sent? | So many bytes 4.
    Left = 4,
    /// Forget it, and say no goodbye (SES-6).
    LetGo = 5,
}

impl Kind {
    const fn read(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Open,
            2 => Self::Data,
            3 => Self::Close,
            4 => Self::Left,
            _ => return None,
        })
    }

    fn message(self, line: u32, rest: &[u8]) -> Vec<u8> {
        let mut message = Vec::with_capacity(HEAD_BYTES + rest.len());
        message.push(self as u8);
        message.extend_from_slice(&line.to_be_bytes());
        message.extend_from_slice(rest);
        message
    }
}

/// A page said what makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not what a dialer page says")]
pub struct Misfit;

/// All pages that dial. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Dialer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The one that is asked first stands last.
    pages: Mutex<Vec<Arc<Page>>>,
    is_there: watch::Sender<bool>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            pages: Mutex::default(),
            is_there: watch::Sender::new(false),
        }
    }
}

#[derive(Debug)]
struct Page {
    /// Bounded by what is under way: a line gives one message at a time.
    say: mpsc::UnboundedSender<Vec<u8>>,
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    last: u32,
    ears: BTreeMap<u32, Ears>,
}

#[derive(Clone, Debug)]
struct Ears {
    said: mpsc::Sender<Said>,
    left: Arc<Left>,
}

#[derive(Debug)]
enum Said {
    Open,
    Message(Vec<u8>),
}

/// How much of a line waits in the browser, as it said last.
#[derive(Debug)]
struct Left {
    bytes: AtomicU64,
    waker: AtomicWaker,
}

impl Left {
    const UNKNOWN: u64 = u64::MAX;
    const CLOSED: u64 = u64::MAX - 1;

    const fn new() -> Self {
        Self {
            bytes: AtomicU64::new(Self::UNKNOWN),
            waker: AtomicWaker::new(),
        }
    }

    fn told(&self, bytes: u64) {
        // Closed stays closed.
        let change = |old| (old != Self::CLOSED).then_some(bytes);
        let _ = self.bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, change);
        self.waker.wake();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Dialer {
    /// A page has come. Out: the page, and what is to be said to it; nothing where [`PAGES_MAX`] are there.
    pub fn attach(&self) -> Option<(PageLine, mpsc::UnboundedReceiver<Vec<u8>>)> {
        let mut pages = lock(&self.shared.pages);
        if pages.len() >= PAGES_MAX {
            return None;
        }
        let (say, to_page) = mpsc::unbounded_channel();
        let lines = Mutex::default();
        let page = Arc::new(Page { say, lines });
        pages.push(Arc::clone(&page));
        self.shared.is_there.send_replace(true);
        let dialer = self.clone();
        Some((PageLine { page, dialer }, to_page))
    }

    /// Whether there is a page; changes are seen on it.
    pub fn is_there(&self) -> watch::Receiver<bool> {
        self.shared.is_there.subscribe()
    }

    /// Has a page dial a `wss://` address.
    ///
    /// Errors: there is no page, or nobody answers it there; a page tells no more.
    pub(super) async fn connect(&self, url: &str) -> io::Result<(Line, Meter)> {
        self.connect_within(OPEN_MAX, url).await
    }

    async fn connect_within(&self, patience: Duration, url: &str) -> io::Result<(Line, Meter)> {
        let page = lock(&self.shared.pages).last().map(Arc::clone);
        let page = page.ok_or(io::ErrorKind::NotConnected)?;
        let mut line = page.open(url).ok_or(io::ErrorKind::QuotaExceeded)?;
        match timeout(patience, line.said.recv()).await {
            Ok(Some(Said::Open)) => {}
            Ok(Some(Said::Message(_)) | None) => return Err(io::ErrorKind::ConnectionRefused.into()),
            Err(_) => {
                self.ask_last(&page);
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        line.end = Kind::LetGo;
        line.meter.came(HANDSHAKE_BYTES.1);
        line.meter.went(HANDSHAKE_BYTES.0);
        let meter = line.meter.clone();
        Ok((line, meter))
    }

    /// A page that is asleep shall not stand before one that is awake.
    fn ask_last(&self, page: &Arc<Page>) {
        lock(&self.shared.pages).sort_by_key(|other| !Arc::ptr_eq(other, page));
    }

    fn detach(&self, page: &Arc<Page>) {
        let mut pages = lock(&self.shared.pages);
        pages.retain(|other| !Arc::ptr_eq(other, page));
        self.shared.is_there.send_replace(!pages.is_empty());
    }
}

/// A page that is there, as whoever holds its local socket sees it; gone when this is dropped, and its lines with it.
#[derive(Debug)]
pub struct PageLine {
    page: Arc<Page>,
    dialer: Dialer,
}

impl PageLine {
    /// Takes a message of the page; waits while the line it is for is not read.
    ///
    /// Errors: it makes no sense, and the page is to be dropped.
    pub async fn hear(&self, message: &[u8]) -> Result<(), Misfit> {
        let (kind, line, rest) = read(message)?;
        // One that is over may have had something on its way.
        let Some(ears) = self.page.ears(line) else {
            return Ok(());
        };
        let said = match kind {
            Kind::Open if rest.is_empty() => Said::Open,
            Kind::Data => Said::Message(rest.to_vec()),
            Kind::Close if rest.is_empty() => {
                self.page.hang_up(line);
                return Ok(());
            }
            Kind::Left => {
                let bytes = rest.try_into().map(u32::from_be_bytes).map_err(|_| Misfit)?;
                ears.left.told(u64::from(bytes));
                return Ok(());
            }
            Kind::Open | Kind::Close | Kind::LetGo => return Err(Misfit),
        };
        // Nobody listens any more: it is being closed.
        let _ = ears.said.send(said).await;
        Ok(())
    }
}

impl Drop for PageLine {
    fn drop(&mut self) {
        self.dialer.detach(&self.page);
        self.page.hang_up_all();
    }
}

fn read(message: &[u8]) -> Result<(Kind, u32, &[u8]), Misfit> {
    let (kind, rest) = message.split_first().ok_or(Misfit)?;
    let (line, rest) = rest.split_first_chunk().ok_or(Misfit)?;
    let kind = Kind::read(*kind).ok_or(Misfit)?;
    let line = u32::from_be_bytes(*line);
    (rest.len() <= MESSAGE_BYTES_MAX)
        .then_some((kind, line, rest))
        .ok_or(Misfit)
}

impl Page {
    fn open(self: &Arc<Self>, url: &str) -> Option<Line> {
        let (hear, said) = mpsc::channel(WAITING_MAX);
        let left = Arc::new(Left::new());
        let number = {
            let mut lines = lock(&self.lines);
            if lines.ears.len() >= LINES_MAX {
                return None;
            }
            lines.last = lines.last.wrapping_add(1);
            let (number, left) = (lines.last, Arc::clone(&left));
            lines.ears.insert(number, Ears { said: hear, left });
            number
        };
        self.say(Kind::Open, number, url.as_bytes());
        Some(Line {
            page: Arc::clone(self),
            number,
            said,
            left,
            flush: Flush::Done,
            end: Kind::Close,
            meter: Meter::default(),
        })
    }

    fn ears(&self, line: u32) -> Option<Ears> {
        lock(&self.lines).ears.get(&line).cloned()
    }

    fn say(&self, kind: Kind, line: u32, rest: &[u8]) {
        // A page that is gone has hung up on its lines.
        let _ = self.say.send(kind.message(line, rest));
    }

    fn hang_up(&self, line: u32) {
        if let Some(ears) = lock(&self.lines).ears.remove(&line) {
            ears.left.told(Left::CLOSED);
        }
    }

    fn hang_up_all(&self) {
        for ears in std::mem::take(&mut lock(&self.lines).ears).into_values() {
            ears.left.told(Left::CLOSED);
        }
    }
}

/// A WebSocket that a page holds. Dropped, it says no goodbye once it was open; closed, it does.
#[derive(Debug)]
pub struct Line {
    page: Arc<Page>,
    number: u32,
    said: mpsc::Receiver<Said>,
    left: Arc<Left>,
    flush: Flush,
    /// What is said when it is dropped.
    end: Kind,
    meter: Meter,
}

/// Whether what was given to the browser has left it.
#[derive(Debug)]
enum Flush {
    Done,
    Ask,
    Asked,
    Pause(Pin<Box<Sleep>>),
}

impl Stream for Line {
    type Item = Result<Message, WebSocketError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let said = ready!(self.said.poll_recv(cx));
        Poll::Ready(Some(match said {
            Some(Said::Message(bytes)) => {
                self.meter.came(bytes.len());
                Ok(Message::binary(bytes))
            }
            Some(Said::Open) | None => Err(WebSocketError::ConnectionClosed),
        }))
    }
}

impl Sink<Message> for Line {
    type Error = WebSocketError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.poll_flush(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Self::Error> {
        // Nothing else is ever said on a session.
        if let Message::Binary(bytes) = message {
            self.meter.went(bytes.len());
            self.page.say(Kind::Data, self.number, &bytes);
            self.flush = Flush::Ask;
        }
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        loop {
            match &mut self.flush {
                Flush::Done => return Poll::Ready(Ok(())),
                Flush::Ask => {
                    self.left.told(Left::UNKNOWN);
                    self.page.say(Kind::Left, self.number, &[]);
                    self.flush = Flush::Asked;
                }
                Flush::Asked => {
                    self.left.waker.register(cx.waker());
                    match self.left.bytes.load(Ordering::Acquire) {
                        Left::UNKNOWN => return Poll::Pending,
                        Left::CLOSED => return Poll::Ready(Err(WebSocketError::ConnectionClosed)),
                        0..=LEFT_BYTES_MAX => self.flush = Flush::Done,
                        _more => self.flush = Flush::Pause(Box::pin(sleep(ASK_EVERY))),
                    }
                }
                Flush::Pause(pause) => {
                    ready!(pause.as_mut().poll(cx));
                    self.flush = Flush::Ask;
                }
            }
        }
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.end = Kind::Close;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.page.hang_up(self.number);
        self.page.say(self.end, self.number, &[]);
    }
}

#[cfg(test)]
mod tests;
