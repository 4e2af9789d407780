//! The long poll: a session's messages in the bodies of ordinary requests and their answers, where no WebSocket passes (RLY-47).
//!
//! In: a connection that stands, and how to make another one; messages. Out: a socket that carries messages as any WebSocket
//! of ours does, and a [`Turn`], which tells when the next may be said. At most two requests are under way, on two
//! connections: one waits, one says. One that is cut off is said again; what is doubled by that, the session skips. When to
//! poll rather than upgrade is the courier's.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{Sink, Stream};
use stonechat_wire::session::{HEADER, OPENING};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::http::Response;
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message};

use super::outer::Outer;

/// Most bytes of the stream in one request or answer (RLY-47).
pub const POLL_BYTES_MAX: usize = 64 << 10;
/// How long an answer may take: a relay waits for 20 s.
pub const ANSWER_MAX: Duration = Duration::from_secs(35);
/// So often a request is begun that brings nothing back.
const TRIES: u32 = 3;
/// Pause before one is said again to a front whose relay does not answer.
const LATER: Duration = Duration::from_secs(1);
/// Longest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 8192;
/// Most header lines of an answer.
const HEADERS_MAX: usize = 64;
/// Connections at once.
const HANDS: usize = 2;

/// A connection that is being made.
pub(super) type Dialling = Pin<Box<dyn Future<Output = io::Result<Outer>> + Send>>;
/// Makes one more.
pub(super) type Redial = Box<dyn Fn() -> Dialling + Send + Sync>;

/// When the next request may begin. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Turn {
    counts: Arc<Counts>,
}

/// Requests are numbered as they begin.
#[derive(Debug, Default)]
struct Counts {
    said: AtomicU64,
    /// The newest that was answered: older ones are over for the session, whatever becomes of them.
    answered: AtomicU64,
    /// The newest that brought bytes of the stream.
    brought: AtomicU64,
}

impl Turn {
    /// Whether another may begin: where none is under way, or one that only waits and there is something to say.
    pub(super) fn is_on(&self, is_pressed: bool) -> bool {
        let [said, answered, brought] = self.counts.now();
        match said.saturating_sub(answered) {
            0 => true,
            1 => is_pressed && brought < said,
            _ => false,
        }
    }
}

impl Counts {
    fn now(&self) -> [u64; 3] {
        [&self.said, &self.answered, &self.brought].map(|count| count.load(Ordering::Relaxed))
    }

    fn begin(&self, brings: bool) -> u64 {
        let number = self.said.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if brings {
            self.brought.store(number, Ordering::Relaxed);
        }
        number
    }

    fn is_over(&self, number: u64) -> bool {
        number < self.answered.load(Ordering::Relaxed)
    }
}

/// A session's socket over requests.
#[derive(Debug)]
pub struct Polling {
    counts: Arc<Counts>,
    /// Bounded by the turn.
    say: mpsc::UnboundedSender<(u64, Vec<u8>)>,
    /// As many as are said.
    heard: mpsc::UnboundedReceiver<Result<Vec<u8>, WebSocketError>>,
    task: JoinHandle<()>,
}

impl Polling {
    /// Begins with a connection that stands. `head`: what each request begins with, as far as the length of its body.
    /// `pace`: how far apart others are made that follow the second.
    pub(super) fn begin(first: Outer, redial: Redial, pace: Duration, head: String) -> (Self, Turn) {
        let turn = Turn::default();
        let (say, said) = mpsc::unbounded_channel();
        let (tell, heard) = mpsc::unbounded_channel();
        let asking = Asking {
            counts: Arc::clone(&turn.counts),
            hands: [Hand::Free(Box::new(Link::new(first))), Hand::Empty],
            redial: Arc::new(redial),
            redial_at: Instant::now(),
            pace,
            head: Arc::from(head),
            tell,
            has_worked: false,
        };
        let polling = Self {
            counts: Arc::clone(&turn.counts),
            say,
            heard,
            task: tokio::spawn(asking.run(said)),
        };
        (polling, turn)
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stream for Polling {
    type Item = Result<Message, WebSocketError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let heard = ready!(self.heard.poll_recv(cx)).unwrap_or(Err(WebSocketError::ConnectionClosed));
        Poll::Ready(Some(heard.map(Message::binary)))
    }
}

impl Sink<Message> for Polling {
    type Error = WebSocketError;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), Self::Error> {
        let body = message.into_data().to_vec();
        let number = self.counts.begin(body.len() > OPENING + HEADER);
        // One that has ended has said why.
        let _ = self.say.send((number, body));
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }
}

/// What asks: two hands, each with a connection, or none.
struct Asking {
    counts: Arc<Counts>,
    hands: [Hand; HANDS],
    redial: Arc<Redial>,
    /// When the next connection may be made.
    redial_at: Instant,
    pace: Duration,
    head: Arc<str>,
    tell: mpsc::UnboundedSender<Result<Vec<u8>, WebSocketError>>,
    has_worked: bool,
}

enum Hand {
    Empty,
    Free(Box<Link>),
    Busy(Flight),
}

struct Flight {
    number: u64,
    body: Arc<[u8]>,
    tries: u32,
    going: Pin<Box<dyn Future<Output = Landed> + Send>>,
}

/// The connection, where it may be used again, and what came.
type Landed = (Option<Box<Link>>, Result<Vec<u8>, PollFailure>);

/// Why a request brought nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum PollFailure {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("no answer in time")]
    Slow,
    #[error("status {0}")]
    Status(u16),
    #[error("no answer of ours")]
    Malformed,
}

impl PollFailure {
    fn is_later(&self) -> bool {
        matches!(self, Self::Status(429 | 500..))
    }

    /// What it is for the session's socket. Who answers 404 in the midst of it has no such session any more.
    fn error(self, has_worked: bool) -> WebSocketError {
        let status = match self {
            Self::Io(error) => return WebSocketError::Io(error),
            Self::Slow => return WebSocketError::Io(io::ErrorKind::TimedOut.into()),
            Self::Status(_) if has_worked => return WebSocketError::ConnectionClosed,
            Self::Status(status) => status,
            // Not what a relay says, nor a web server.
            Self::Malformed => 400,
        };
        match Response::builder().status(status).body(None) {
            Ok(answer) => WebSocketError::Http(Box::new(answer)),
            Err(_) => WebSocketError::ConnectionClosed,
        }
    }
}

impl Asking {
    async fn run(mut self, mut said: mpsc::UnboundedReceiver<(u64, Vec<u8>)>) {
        loop {
            let [one, other] = &mut self.hands;
            let (at, landed) = tokio::select! {
                next = said.recv() => match next {
                    Some((number, body)) => {
                        self.take(number, body.into(), 0, Duration::ZERO);
                        continue;
                    }
                    None => return,
                },
                landed = one.lands() => (0, landed),
                landed = other.lands() => (1, landed),
            };
            if let Err(error) = self.landed(at, landed) {
                // Nobody listens when everything ends.
                let _ = self.tell.send(Err(error));
                return;
            }
        }
    }

    /// Begins a request: on a connection that is free, or on a new one in the place of whatever is over.
    fn take(&mut self, number: u64, body: Arc<[u8]>, tries: u32, pause: Duration) {
        let is_free = |hand: &Hand| matches!(hand, Hand::Free(_));
        let is_over = |hand: &Hand| match hand {
            Hand::Empty => true,
            Hand::Free(_) => false,
            Hand::Busy(flight) => self.counts.is_over(flight.number),
        };
        let free = self.hands.iter().position(is_free);
        let at = free.or_else(|| self.hands.iter().position(is_over));
        let Some(hand) = at.and_then(|at| self.hands.get_mut(at)) else {
            return;
        };
        let link = match std::mem::replace(hand, Hand::Empty) {
            Hand::Free(link) => Some(link),
            Hand::Empty | Hand::Busy(_) => None,
        };
        let mut begins_at = Instant::now() + pause;
        if link.is_none() {
            begins_at = begins_at.max(self.redial_at);
            self.redial_at = begins_at + self.pace;
        }
        let (redial, head, said) = (Arc::clone(&self.redial), Arc::clone(&self.head), Arc::clone(&body));
        let going = Box::pin(async move {
            sleep_until(begins_at).await;
            match timeout(ANSWER_MAX, go(link, &redial, &head, &said)).await {
                Ok(landed) => landed,
                Err(_) => (None, Err(PollFailure::Slow)),
            }
        });
        *hand = Hand::Busy(Flight {
            number,
            body,
            tries,
            going,
        });
    }

    /// A request is over. One that brought nothing is said again, unless a newer one was answered meanwhile.
    fn landed(&mut self, at: usize, (link, result): Landed) -> Result<(), WebSocketError> {
        let Some(hand) = self.hands.get_mut(at) else {
            return Ok(());
        };
        let left = link.map_or(Hand::Empty, Hand::Free);
        let Hand::Busy(flight) = std::mem::replace(hand, left) else {
            return Ok(());
        };
        let failure = match result {
            Ok(message) => {
                self.has_worked = true;
                self.counts.answered.fetch_max(flight.number, Ordering::Relaxed);
                let _ = self.tell.send(Ok(message));
                return Ok(());
            }
            Err(failure) => failure,
        };
        tracing::debug!(error = %failure, "a request brought nothing");
        let is_final = matches!(failure, PollFailure::Status(_) | PollFailure::Malformed) && !failure.is_later();
        let tries = flight.tries.saturating_add(1);
        if self.counts.is_over(flight.number) {
            Ok(())
        } else if is_final || tries >= TRIES || !self.has_worked {
            Err(failure.error(self.has_worked))
        } else {
            let pause = if failure.is_later() { LATER } else { Duration::ZERO };
            self.take(flight.number, flight.body, tries, pause);
            Ok(())
        }
    }
}

impl Hand {
    /// Waits for the end of its request; for ever where it has none.
    async fn lands(&mut self) -> Landed {
        match self {
            Self::Busy(flight) => flight.going.as_mut().await,
            Self::Empty | Self::Free(_) => std::future::pending().await,
        }
    }
}

/// Says one request, on a connection that stands or a new one.
async fn go(link: Option<Box<Link>>, redial: &Redial, head: &str, body: &[u8]) -> Landed {
    let mut link = match link {
        Some(link) => link,
        None => match redial().await {
            Ok(stream) => Box::new(Link::new(stream)),
            Err(error) => return (None, Err(error.into())),
        },
    };
    match link.ask(head, body).await {
        Ok((message, true)) => (Some(link), Ok(message)),
        Ok((message, false)) => (None, Ok(message)),
        Err(failure) => (None, Err(failure)),
    }
}

/// A connection that carries one request after the other.
struct Link {
    stream: Outer,
    /// What came and was not read yet.
    bytes: Vec<u8>,
}

impl Link {
    const fn new(stream: Outer) -> Self {
        let bytes = Vec::new();
        Self { stream, bytes }
    }

    /// One request and its answer's body; and whether another may follow.
    async fn ask(&mut self, head: &str, body: &[u8]) -> Result<(Vec<u8>, bool), PollFailure> {
        let head = format!("{head}{}\r\n\r\n", body.len());
        self.stream.write_all(&[head.as_bytes(), body].concat()).await?;
        self.stream.flush().await?;
        loop {
            if let Some(found) = read_head(&self.bytes)? {
                let end = found.head.saturating_add(found.length);
                while self.bytes.len() < end {
                    self.read_some().await?;
                }
                let answer: Vec<u8> = self.bytes.drain(..end).skip(found.head).collect();
                return Ok((answer, found.goes_on));
            }
            self.read_some().await?;
        }
    }

    async fn read_some(&mut self) -> Result<(), PollFailure> {
        let mut chunk = [0; 4096];
        let count = self.stream.read(&mut chunk).await?;
        self.bytes.extend_from_slice(chunk.get(..count).unwrap_or_default());
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(())
    }
}

/// What an answer's head says.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    /// Its own length.
    head: usize,
    /// The body's.
    length: usize,
    /// Another request may follow on the connection.
    goes_on: bool,
}

/// Reads an answer's head. Out: nothing while it is not complete.
fn read_head(bytes: &[u8]) -> Result<Option<Found>, PollFailure> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut answer = httparse::Response::new(&mut headers);
    let parsed = answer.parse(bytes).map_err(|_| PollFailure::Malformed)?;
    let httparse::Status::Complete(head) = parsed else {
        let is_endless = bytes.len() >= HEAD_BYTES_MAX;
        return if is_endless {
            Err(PollFailure::Malformed)
        } else {
            Ok(None)
        };
    };
    match answer.code {
        Some(200) => {}
        code => return Err(PollFailure::Status(code.unwrap_or_default())),
    }
    let value = |name: &str| {
        let mut named = answer
            .headers
            .iter()
            .filter(|header| header.name.eq_ignore_ascii_case(name));
        std::str::from_utf8(named.next()?.value).ok()
    };
    let length = value("content-length").and_then(|length| length.trim().parse().ok());
    // A body of another length is somebody else's page.
    let length = length.filter(|length| (HEADER..=HEADER + POLL_BYTES_MAX).contains(length));
    let closes = value("connection").is_some_and(|words| words.to_ascii_lowercase().contains("close"));
    Ok(Some(Found {
        head,
        length: length.ok_or(PollFailure::Malformed)?,
        goes_on: answer.version == Some(1) && !closes,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n";

    #[test]
    fn one_request_waits_and_one_says_rly_47() {
        let turn = Turn::default();
        assert!(turn.is_on(false), "nothing is under way");
        turn.counts.begin(true);
        assert!(!turn.is_on(true), "what was brought is answered soon");
        turn.counts.answered.fetch_max(1, Ordering::Relaxed);
        turn.counts.begin(false);
        assert!(!turn.is_on(false), "one that waits is enough");
        assert!(turn.is_on(true), "but does not keep back what is to be said");
        turn.counts.begin(true);
        assert!(!turn.is_on(true), "two at most");
        turn.counts.answered.fetch_max(3, Ordering::Relaxed);
        assert!(turn.is_on(false), "an older one counts no more");
        assert!(turn.counts.is_over(2) && !turn.counts.is_over(3));
    }

    #[test]
    fn answers_that_are_none_of_ours_are_told_apart_rly_47() {
        let found = |goes_on| {
            let head = ANSWER.len();
            Some(Found {
                head,
                length: 17,
                goes_on,
            })
        };
        assert_eq!(read_head(ANSWER.as_bytes()).unwrap(), found(true));
        for cut in 0..ANSWER.len() {
            assert_eq!(read_head(&ANSWER.as_bytes()[..cut]).unwrap(), None);
        }
        let closing = ANSWER.replace("OK\r\n", "OK\r\nConnection: keep, Close\r\n");
        assert!(!read_head(closing.as_bytes()).unwrap().unwrap().goes_on);
        let old = ANSWER.replace("HTTP/1.1", "HTTP/1.0");
        assert!(!read_head(old.as_bytes()).unwrap().unwrap().goes_on);
        let giant = ANSWER.replace("17", &(HEADER + POLL_BYTES_MAX + 1).to_string());
        let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(HEAD_BYTES_MAX));
        for (name, answer) in [
            ("a short body", ANSWER.replace("17", "16")),
            ("a giant body", giant),
            ("no length", ANSWER.replace("Content-Length", "A")),
            ("an endless head", endless),
            ("binary", "\x16\x03\x01".into()),
        ] {
            let error = read_head(answer.as_bytes()).unwrap_err();
            assert!(matches!(error, PollFailure::Malformed), "{name}");
        }
        let missing = ANSWER.replace("200", "404");
        let error = read_head(missing.as_bytes()).unwrap_err();
        assert!(matches!(error, PollFailure::Status(404)));
    }

    const HEAD: &str = "POST / HTTP/1.1\r\nContent-Length: ";

    /// A front: tells the body of each request as it comes, and what to do with it.
    struct Front {
        listener: tokio::net::TcpListener,
    }

    impl Front {
        async fn new() -> (Self, Polling, Turn) {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let at = listener.local_addr().unwrap();
            let dial = move || async move {
                let stream = tokio::net::TcpStream::connect(at).await?;
                Ok(Outer::Left(super::super::meter::Metered::new(stream).0))
            };
            let first = dial().await.unwrap();
            let redial: Redial = Box::new(move || Box::pin(dial()));
            let (polling, turn) = Polling::begin(first, redial, Duration::ZERO, HEAD.to_owned());
            (Self { listener }, polling, turn)
        }

        /// The next request on a new connection. Out: the connection, and what was asked.
        async fn asked(&self) -> (tokio::net::TcpStream, String) {
            let asked = timeout(Duration::from_secs(5), self.listener.accept()).await;
            let mut stream = asked.expect("a connection").unwrap().0;
            let body = next(&mut stream).await;
            (stream, body)
        }
    }

    /// The next request on a connection.
    async fn next(stream: &mut tokio::net::TcpStream) -> String {
        let mut bytes = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length: usize = head.rsplit(' ').next().unwrap().parse().unwrap();
                if body.len() >= length {
                    return body.to_owned();
                }
            }
            assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0);
        }
    }

    async fn says(stream: &mut tokio::net::TcpStream, body: &str) {
        stream.write_all(format!("{ANSWER}{body:17}").as_bytes()).await.unwrap();
    }

    async fn say(polling: &mut Polling, body: &str) {
        use futures_util::SinkExt;
        polling.send(Message::binary(body.as_bytes().to_vec())).await.unwrap();
    }

    async fn hears(polling: &mut Polling) -> Result<String, WebSocketError> {
        use futures_util::StreamExt;
        let message = polling.next().await.unwrap()?;
        Ok(String::from_utf8_lossy(&message.into_data()).trim().to_owned())
    }

    #[tokio::test]
    async fn a_request_that_is_cut_off_is_said_again_twice_rly_47() {
        let (front, mut polling, _turn) = Front::new().await;
        say(&mut polling, "one").await;
        let (mut stream, body) = front.asked().await;
        assert_eq!(body, "one");
        says(&mut stream, "first").await;
        assert_eq!(hears(&mut polling).await.unwrap(), "first");
        say(&mut polling, "two").await;
        assert_eq!(next(&mut stream).await, "two");
        drop(stream);
        drop(front.asked().await);
        let (mut third, again) = front.asked().await;
        assert_eq!(again, "two", "the same");
        says(&mut third, "second").await;
        assert_eq!(hears(&mut polling).await.unwrap(), "second");
        say(&mut polling, "three").await;
        assert_eq!(next(&mut third).await, "three");
        drop(third);
        for _ in 0..2 {
            drop(front.asked().await);
        }
        assert!(hears(&mut polling).await.is_err(), "that is enough");
    }

    #[tokio::test]
    async fn where_nothing_ever_came_back_it_is_said_once_rly_47() {
        let (front, mut polling, _turn) = Front::new().await;
        say(&mut polling, "one").await;
        drop(front.asked().await);
        assert!(hears(&mut polling).await.is_err());
    }

    #[tokio::test]
    async fn a_front_whose_relay_is_away_is_asked_again_a_little_later_rly_47() {
        let (front, mut polling, _turn) = Front::new().await;
        say(&mut polling, "one").await;
        let (mut stream, _) = front.asked().await;
        says(&mut stream, "first").await;
        hears(&mut polling).await.unwrap();
        say(&mut polling, "two").await;
        next(&mut stream).await;
        let began = Instant::now();
        stream
            .write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            .await
            .unwrap();
        let (mut stream, body) = front.asked().await;
        assert!(body == "two" && began.elapsed() >= LATER, "{:?}", began.elapsed());
        says(&mut stream, "second").await;
        assert_eq!(hears(&mut polling).await.unwrap(), "second");
        // Any other word is its last.
        say(&mut polling, "three").await;
        next(&mut stream).await;
        stream.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n").await.unwrap();
        assert!(matches!(
            hears(&mut polling).await,
            Err(WebSocketError::ConnectionClosed)
        ));
    }

    /// The newer one was answered: what befalls the older one is no matter.
    #[tokio::test]
    async fn an_older_request_that_is_cut_off_ends_nothing_rly_47() {
        let (front, mut polling, _turn) = Front::new().await;
        say(&mut polling, "one").await;
        let (mut older, _) = front.asked().await;
        says(&mut older, "first").await;
        hears(&mut polling).await.unwrap();
        say(&mut polling, "waits").await;
        next(&mut older).await;
        say(&mut polling, "says").await;
        let (mut newer, body) = front.asked().await;
        assert_eq!(body, "says");
        says(&mut newer, "second").await;
        assert_eq!(hears(&mut polling).await.unwrap(), "second");
        older.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n").await.unwrap();
        drop(older);
        // It is not said again either.
        say(&mut polling, "goes on").await;
        assert_eq!(next(&mut newer).await, "goes on");
        says(&mut newer, "third").await;
        assert_eq!(hears(&mut polling).await.unwrap(), "third");
        assert!(timeout(Duration::from_millis(200), front.asked()).await.is_err());
    }
}
