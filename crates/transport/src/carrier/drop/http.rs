//! HTTP/1.1 with one server: one request after the other, on a connection that is kept while the server keeps it.
//!
//! In: a method, a target, a body. Out: status, date and body, all within limits. What it means is the folder's job.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::super::knock::{HEAD_BYTES_MAX, HEADERS_MAX};
use super::super::outer::Outer;
use super::connector::{AskError, Connector};

/// Longest line that says how long a chunk is, and longest trailer, in bytes.
const CHUNK_LINE_MAX: usize = 1024;
/// Interim answers before the real one.
const INTERIM_MAX: usize = 8;
const READ_BYTES: usize = 16 << 10;

/// A request.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) method: &'static str,
    /// Path, as it stands in the request line.
    pub(super) target: &'a str,
    /// Further header lines, each with its end.
    pub(super) headers: &'a str,
    pub(super) body: &'a [u8],
    /// Most bytes of the answer's body that are read.
    pub(super) answer_max: usize,
    pub(super) within: Duration,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The server's clock, Unix ms.
    pub(super) date_ms: Option<u64>,
    pub(super) body: Vec<u8>,
    /// All of the body was read.
    pub(super) is_whole: bool,
}

/// A server, and the connection to it where one stands.
pub(super) struct Server {
    connector: Connector,
    /// Header lines that every request has. There is a password in them.
    head: Arc<Zeroizing<String>>,
    kept: Option<Outer>,
}

impl Server {
    pub(super) fn new(connector: Connector, head: String) -> Self {
        Self {
            connector,
            head: Arc::new(Zeroizing::new(head)),
            kept: None,
        }
    }

    /// The same server, on a connection of its own.
    pub(super) fn again(&self) -> Self {
        Self {
            connector: self.connector.clone(),
            head: Arc::clone(&self.head),
            kept: None,
        }
    }

    /// Asks, once more on a new connection where the one that was kept is gone. All methods may be repeated.
    pub(super) async fn ask(&mut self, request: &Request<'_>) -> Result<Answer, AskError> {
        if let Some(stream) = self.kept.take() {
            match self.within(request, stream).await {
                Err(AskError::Unreachable(_)) => {}
                answered => return answered,
            }
        }
        let stream = self.connector.connect().await?;
        self.within(request, stream).await
    }

    async fn within(&mut self, request: &Request<'_>, stream: Outer) -> Result<Answer, AskError> {
        let (answer, kept) = timeout(request.within, exchange(&self.head, request, stream))
            .await
            .map_err(|_| AskError::Slow)??;
        self.kept = kept;
        Ok(answer)
    }
}

async fn exchange(head: &str, request: &Request<'_>, mut stream: Outer) -> Result<(Answer, Option<Outer>), AskError> {
    let Request {
        method,
        target,
        headers,
        body,
        ..
    } = request;
    let mut bytes = Zeroizing::new(
        format!(
            "{method} {target} HTTP/1.1\r\n{head}{headers}Content-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes(),
    );
    bytes.extend_from_slice(body);
    // A server may refuse before it has read everything: then its answer counts.
    let written = async {
        stream.write_all(&bytes).await?;
        stream.flush().await
    };
    let written = written.await;
    let mut reading = Reading::new(stream);
    match (reading.answer(request.answer_max).await, written) {
        (Ok((answer, may_stay)), Ok(())) => Ok((answer, may_stay.then_some(reading.stream))),
        (Ok((answer, _)), Err(_)) => Ok((answer, None)),
        (Err(_), Err(error)) => Err(error.into()),
        (Err(error), Ok(())) => Err(error),
    }
}

/// An answer that is being read.
struct Reading<S> {
    stream: S,
    bytes: Vec<u8>,
}

/// How long a body is.
enum Length {
    Known(usize),
    Chunked,
    /// Until the connection ends.
    Open,
}

/// What a head says.
struct Head {
    status: u16,
    date_ms: Option<u64>,
    length: Length,
    may_stay: bool,
}

impl<S: AsyncRead + Unpin> Reading<S> {
    const fn new(stream: S) -> Self {
        Self {
            stream,
            bytes: Vec::new(),
        }
    }

    /// Reads some more. Out: nothing where the connection has ended.
    async fn more(&mut self) -> Result<bool, AskError> {
        let mut chunk = [0; READ_BYTES];
        let count = self.stream.read(&mut chunk).await?;
        self.bytes.extend_from_slice(chunk.get(..count).unwrap_or_default());
        Ok(count > 0)
    }

    async fn must_more(&mut self) -> Result<(), AskError> {
        if self.more().await? {
            return Ok(());
        }
        Err(AskError::Unreachable(io::ErrorKind::UnexpectedEof.into()))
    }

    /// Out: the answer, and whether the connection may be used again.
    async fn answer(&mut self, body_max: usize) -> Result<(Answer, bool), AskError> {
        let mut head = self.head().await?;
        for _ in 0..INTERIM_MAX {
            if head.status >= 200 {
                break;
            }
            head = self.head().await?;
        }
        let mut body = Vec::new();
        let is_whole = match head.length {
            Length::Known(length) => self.known(&mut body, length, body_max).await?,
            Length::Chunked => self.chunked(&mut body, body_max).await?,
            Length::Open => self.open(&mut body, body_max).await?,
        };
        let may_stay = head.may_stay && is_whole && self.bytes.is_empty();
        let answer = Answer {
            status: head.status,
            date_ms: head.date_ms,
            body,
            is_whole,
        };
        Ok((answer, may_stay))
    }

    async fn head(&mut self) -> Result<Head, AskError> {
        loop {
            if let Some((length, head)) = read_head(&self.bytes)? {
                self.bytes.drain(..length);
                return Ok(head);
            }
            if self.bytes.len() >= HEAD_BYTES_MAX {
                return Err(AskError::TooLong);
            }
            self.must_more().await?;
        }
    }

    async fn known(&mut self, body: &mut Vec<u8>, length: usize, max: usize) -> Result<bool, AskError> {
        let wanted = length.min(max);
        while body.len() < wanted {
            if self.bytes.is_empty() {
                self.must_more().await?;
            }
            let count = self.bytes.len().min(wanted - body.len());
            body.extend(self.bytes.drain(..count));
        }
        Ok(wanted == length)
    }

    async fn open(&mut self, body: &mut Vec<u8>, max: usize) -> Result<bool, AskError> {
        loop {
            let room = max - body.len();
            if self.bytes.len() > room {
                body.extend(self.bytes.drain(..room));
                return Ok(false);
            }
            body.append(&mut self.bytes);
            if !self.more().await? {
                return Ok(true);
            }
        }
    }

    async fn chunked(&mut self, body: &mut Vec<u8>, max: usize) -> Result<bool, AskError> {
        loop {
            let size = self.chunk_size().await?;
            if size == 0 {
                return self.trailer().await.map(|()| true);
            }
            let room = max - body.len();
            let until = body.len() + size.min(room);
            let is_whole = self.known(body, until, until).await? && size <= room;
            if !is_whole {
                return Ok(false);
            }
            while self.bytes.len() < 2 {
                self.must_more().await?;
            }
            if !self.bytes.starts_with(b"\r\n") {
                return Err(AskError::Malformed);
            }
            self.bytes.drain(..2);
        }
    }

    async fn chunk_size(&mut self) -> Result<usize, AskError> {
        loop {
            match httparse::parse_chunk_size(&self.bytes) {
                Ok(httparse::Status::Complete((length, size))) => {
                    self.bytes.drain(..length);
                    return usize::try_from(size).map_err(|_| AskError::TooLong);
                }
                Ok(httparse::Status::Partial) if self.bytes.len() < CHUNK_LINE_MAX => self.must_more().await?,
                Ok(httparse::Status::Partial) => return Err(AskError::TooLong),
                Err(_) => return Err(AskError::Malformed),
            }
        }
    }

    /// Lines up to an empty one.
    async fn trailer(&mut self) -> Result<(), AskError> {
        for _ in 0..HEADERS_MAX {
            let line = loop {
                match self.bytes.windows(2).position(|two| two == b"\r\n") {
                    Some(at) => break at,
                    None if self.bytes.len() >= CHUNK_LINE_MAX => return Err(AskError::TooLong),
                    None => self.must_more().await?,
                }
            };
            self.bytes.drain(..line + 2);
            if line == 0 {
                return Ok(());
            }
        }
        Err(AskError::TooLong)
    }
}

/// Out: the head and its length; nothing while it is not complete.
fn read_head(bytes: &[u8]) -> Result<Option<(usize, Head)>, AskError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut answer = httparse::Response::new(&mut headers);
    let parsed = answer.parse(bytes).map_err(|error| match error {
        httparse::Error::TooManyHeaders => AskError::TooLong,
        _ => AskError::Malformed,
    })?;
    let httparse::Status::Complete(head_length) = parsed else {
        return Ok(None);
    };
    let status = answer.code.unwrap_or_default();
    let said = |name: &'static str| {
        let named = answer
            .headers
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name));
        named.filter_map(|header| std::str::from_utf8(header.value).ok())
    };
    let closes = said("connection").any(|value| value.split(',').any(|word| word.trim().eq_ignore_ascii_case("close")));
    let date = said("date").find_map(|value| httpdate::parse_http_date(value.trim()).ok());
    let codings: Vec<&str> = said("transfer-encoding").collect();
    let lengths: Vec<Option<usize>> = said("content-length").map(|value| value.trim().parse().ok()).collect();
    let length = match (codings.as_slice(), lengths.as_slice()) {
        _ if status < 200 || matches!(status, 204 | 304) => Length::Known(0),
        ([coding], _) if coding.trim().eq_ignore_ascii_case("chunked") => Length::Chunked,
        ([], [Some(length)]) => Length::Known(*length),
        ([], []) => Length::Open,
        _ => return Err(AskError::Malformed),
    };
    let may_stay = answer.version == Some(1) && !closes && !matches!(length, Length::Open);
    let head = Head {
        status,
        date_ms: date.map(unix_ms),
        length,
        may_stay,
    };
    Ok(Some((head_length, head)))
}

/// Milliseconds since 1970.
pub(super) fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use proptest::prelude::*;

    use super::*;

    /// Reads an answer that is all there.
    fn read(bytes: &[u8]) -> Result<(Answer, bool), AskError> {
        let mut reading = Reading::new(bytes);
        let answer = reading.answer(64).now_or_never();
        answer.expect("nothing is waited for")
    }

    #[test]
    fn bodies_are_read_in_each_of_their_forms_drp_9() {
        let cases = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", true, true),
            (
                "HTTP/1.1 207 X\r\nTransfer-Encoding: Chunked\r\n\r\n3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nA: b\r\n\r\n",
                "hello",
                true,
                true,
            ),
            ("HTTP/1.1 200 OK\r\n\r\nhello", "hello", true, false),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
                "hello",
                true,
                false,
            ),
            (
                "HTTP/1.1 200 OK\r\nConnection: Keep, CLOSE\r\nContent-Length: 0\r\n\r\n",
                "",
                true,
                false,
            ),
            ("HTTP/1.1 204 OK\r\nContent-Length: 5\r\n\r\n", "", true, true),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
                "",
                true,
                true,
            ),
        ];
        for (bytes, body, is_whole, may_stay) in cases {
            let (answer, stays) = read(bytes.as_bytes()).unwrap();
            assert_eq!(
                (answer.body.as_slice(), answer.is_whole),
                (body.as_bytes(), is_whole),
                "{bytes}"
            );
            assert_eq!(stays, may_stay, "{bytes}");
        }
        let dated = "HTTP/1.1 204 X\r\nDate: Mon, 30 Nov 2026 04:00:00 GMT\r\n\r\n";
        assert_eq!(read(dated.as_bytes()).unwrap().0.date_ms, Some(1_796_011_200_000));
    }

    #[test]
    fn a_body_without_end_is_cut_drp_9() {
        let long = "x".repeat(100);
        for head in ["", "Content-Length: 100\r\n"] {
            let (answer, stays) = read(format!("HTTP/1.1 200 OK\r\n{head}\r\n{long}").as_bytes()).unwrap();
            assert_eq!((answer.body.len(), answer.is_whole, stays), (64, false, false));
        }
        for chunks in ["64\r\n", "ffffffffffff\r\n"] {
            let bytes = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}{long}");
            let (answer, stays) = read(bytes.as_bytes()).unwrap();
            assert_eq!((answer.body.len(), answer.is_whole, stays), (64, false, false));
        }
    }

    #[test]
    fn what_is_no_answer_is_told_apart_drp_9() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let cases = [
            ("nothing", String::new(), "not reached: unexpected end of file"),
            ("no http", "\x16\x03\x01".into(), "malformed answer"),
            (
                "cut",
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell".into(),
                "not reached: unexpected end of file",
            ),
            (
                "two lengths",
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello".into(),
                "malformed answer",
            ),
            (
                "no length",
                "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello".into(),
                "malformed answer",
            ),
            (
                "a coding that nobody asked for",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".into(),
                "malformed answer",
            ),
            (
                "a chunk that is longer",
                format!("{chunked}3\r\nhello\r\n"),
                "malformed answer",
            ),
            ("a chunk of no size", format!("{chunked}x\r\n"), "malformed answer"),
            (
                "a head without end",
                format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(2 * HEAD_BYTES_MAX)),
                "the answer is too long",
            ),
            (
                "a trailer without end",
                format!("{chunked}0\r\n{}", "a".repeat(2 * CHUNK_LINE_MAX)),
                "the answer is too long",
            ),
            (
                "trailers without end",
                format!("{chunked}0\r\n{}", "a: b\r\n".repeat(2 * HEADERS_MAX)),
                "the answer is too long",
            ),
        ];
        for (name, bytes, error) in cases {
            assert_eq!(read(bytes.as_bytes()).unwrap_err().to_string(), error, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_none_drp_9(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            rest in "([0-9a-f]{1,3}|\r\n|;|x|A: b|Transfer-Encoding: chunked|Content-Length: 3|Date: 1)*",
        ) {
            for bytes in [bytes, format!("HTTP/1.1 200 OK\r\n{rest}").into_bytes()] {
                if let Ok((answer, _)) = read(&bytes) {
                    prop_assert!(answer.body.len() <= 64);
                }
            }
        }
    }
}
