//! The outermost layer: what a stranger's first request is, and the few answers there are.
//!
//! In: the bytes of a request's head, and a door's 16 bytes of proof. Out: what is asked for. Everything that is
//! neither the relay's path nor a door's request is the cover's (RLY-30).

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::str;

use stonechat_wire::ids::DoorPath;
use stonechat_wire::session::{HEADER, OPENING};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::limits::{HEAD_BYTES_MAX, HEADERS_MAX, POLL_BYTES_MAX};

/// Length of what opens a door, in bytes (INV-4).
pub const PROOF_SIZE: usize = 16;
/// Length of a path of ours as text, without the slash.
const PATH_CHARS: usize = 16;
/// What follows the path in a request of ours.
const LINE_END: &[u8] = b" HTTP/1.1\r\n";
/// Bytes of a long poll's body: an opening and a message of a session (RLY-47).
const POLL_SIZES: RangeInclusive<usize> = OPENING + HEADER..=OPENING + HEADER + POLL_BYTES_MAX;
/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The relay, if it stands there (RLY-41); the string answers its WebSocket key.
    Relay {
        /// Where.
        path: DoorPath,
        /// Value of `Sec-WebSocket-Accept`.
        accept: String,
    },
    /// A door; the proof is the body that follows the head.
    Door {
        /// Which.
        path: DoorPath,
        /// Bytes of the card that the asker has already.
        from: Option<usize>,
    },
    /// The relay, if it stands there, by a request that brings a message and waits for one (RLY-47).
    Poll {
        /// Where.
        path: DoorPath,
        /// Bytes of the body, which follows the head.
        length: usize,
        /// Another request may follow on the connection.
        goes_on: bool,
    },
}

/// Why a request is none of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Not HTTP/1.1.
    #[error("malformed request")]
    Malformed,
    /// The head is longer than [`HEAD_BYTES_MAX`], or has more than [`HEADERS_MAX`] lines.
    #[error("the head is too long")]
    TooLong,
    /// Nothing that stands here.
    #[error("nothing stands there")]
    NotFound,
    /// A body that is neither a door's proof nor a session's message.
    #[error("no proof in the body")]
    NoProof,
    /// The WebSocket handshake is not one.
    #[error("not a WebSocket handshake")]
    NotAWebSocket,
    /// Nothing stands there for who asks.
    #[error("no such path or proof")]
    NotProven,
    /// It ended early.
    #[error("the request ends early")]
    Cut,
    /// It took longer than [`crate::Limits::hello_ms`].
    #[error("the request took too long")]
    Slow,
}

/// Reads a head. Out: what is asked and the head's length; nothing while the head is not complete.
pub fn read_head(bytes: &[u8]) -> Result<Option<(Asked, usize)>, RequestError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let parsed = request.parse(bytes).map_err(|error| match error {
        httparse::Error::TooManyHeaders => RequestError::TooLong,
        _ => RequestError::Malformed,
    })?;
    match parsed {
        httparse::Status::Partial if bytes.len() >= HEAD_BYTES_MAX => Err(RequestError::TooLong),
        httparse::Status::Partial => Ok(None),
        httparse::Status::Complete(length) if length > HEAD_BYTES_MAX => Err(RequestError::TooLong),
        httparse::Status::Complete(length) => Ok(Some((asked(&request)?, length))),
    }
}

/// What a request could still become whose head is not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// Any of ours: its path is not there yet.
    Any,
    /// The relay's handshake, at this path.
    Relay(DoorPath),
    /// A door's request, or a long poll.
    Post(DoorPath),
}

/// Reads the beginning of a head. Out: nothing where no request of ours begins so.
pub fn read_beginning(bytes: &[u8]) -> Option<Beginning> {
    begins(bytes, b"GET /", Beginning::Relay).or_else(|| begins(bytes, b"POST /", Beginning::Post))
}

fn begins(bytes: &[u8], method: &[u8], at: impl Fn(DoorPath) -> Beginning) -> Option<Beginning> {
    let Some(rest) = bytes.strip_prefix(method) else {
        return method.starts_with(bytes).then_some(Beginning::Any);
    };
    let Some((path, end)) = rest.split_at_checked(PATH_CHARS) else {
        let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        return rest.iter().all(fits).then_some(Beginning::Any);
    };
    let line = LINE_END.get(..end.len()).unwrap_or(LINE_END);
    let path = DoorPath::from_text(str::from_utf8(path).ok()?)?;
    end.starts_with(line).then(|| at(path))
}

/// For whom a front passes a request on: the last address of its last `X-Forwarded-For`, which is the front's own word.
/// What stands before it may be the visitor's.
pub fn forwarded_for(bytes: &[u8]) -> Option<IpAddr> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    // What is read of a head that is not whole, or too long, counts as well.
    let _ = request.parse(bytes);
    let mut lines = request.headers.iter().rev();
    let line = lines.find(|header| header.name.eq_ignore_ascii_case("x-forwarded-for"))?;
    let last = str::from_utf8(line.value).ok()?.rsplit(',').next()?.trim();
    let with_port = || last.parse().ok().map(|place: SocketAddr| place.ip());
    last.parse().ok().or_else(with_port)
}

/// The answer that turns the connection into a WebSocket.
pub fn switching(accept: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

/// The head before a door's card, or before what is left of it from a place on.
pub fn found(length: usize, from: Option<usize>) -> String {
    let (status, range) = from.map_or_else(
        || ("200 OK", String::new()),
        |from| {
            let last = length.saturating_sub(1);
            (
                "206 Partial Content",
                format!("Content-Range: bytes {from}-{last}/{length}\r\n"),
            )
        },
    );
    let left = length.saturating_sub(from.unwrap_or_default());
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nContent-Length: {left}\r\n{range}\
         Connection: close\r\n\r\n"
    )
}

/// The head before a message that a long poll waited for.
pub fn told(length: usize, goes_on: bool) -> String {
    let connection = if goes_on { "" } else { "Connection: close\r\n" };
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {length}\r\n\
         Cache-Control: no-store\r\n{connection}\r\n"
    )
}

fn asked(request: &httparse::Request<'_, '_>) -> Result<Asked, RequestError> {
    match (request.method, request.path) {
        (Some("GET"), Some(path)) => web_socket(request, path),
        (Some("POST"), Some(path)) => post(request, path),
        _ => Err(RequestError::NotFound),
    }
}

fn post(request: &httparse::Request<'_, '_>, path: &str) -> Result<Asked, RequestError> {
    let path = path
        .strip_prefix('/')
        .and_then(DoorPath::from_text)
        .ok_or(RequestError::NotFound)?;
    let length = header(request, "content-length").and_then(|value| value.parse().ok());
    let is_plain = !is_there(request, "transfer-encoding");
    match length.filter(|_| is_plain) {
        Some(PROOF_SIZE) => {
            let from = header(request, "range").and_then(place);
            Ok(Asked::Door { path, from })
        }
        Some(length) if POLL_SIZES.contains(&length) => Ok(Asked::Poll {
            path,
            length,
            goes_on: request.version == Some(1) && !lists(request, "connection", "close"),
        }),
        Some(_) | None => Err(RequestError::NoProof),
    }
}

fn is_there(request: &httparse::Request<'_, '_>, name: &str) -> bool {
    let mut names = request.headers.iter().map(|header| header.name);
    names.any(|named| named.eq_ignore_ascii_case(name))
}

/// Whether a header's words, set apart by commas, have this one among them.
fn lists(request: &httparse::Request<'_, '_>, name: &str, wanted: &str) -> bool {
    let value = header(request, name).unwrap_or_default();
    value.split(',').any(|part| part.trim().eq_ignore_ascii_case(wanted))
}

/// `bytes=N-`; another range counts as none.
fn place(range: &str) -> Option<usize> {
    range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
}

fn web_socket(request: &httparse::Request<'_, '_>, path: &str) -> Result<Asked, RequestError> {
    let path = path
        .strip_prefix('/')
        .and_then(DoorPath::from_text)
        .ok_or(RequestError::NotFound)?;
    let key = header(request, "sec-websocket-key").filter(|key| key.len() == 24);
    let holds = lists(request, "upgrade", "websocket")
        && lists(request, "connection", "upgrade")
        && header(request, "sec-websocket-version") == Some("13");
    match key.filter(|_| holds) {
        Some(key) => Ok(Asked::Relay {
            path,
            accept: derive_accept_key(key.as_bytes()),
        }),
        None => Err(RequestError::NotAWebSocket),
    }
}

/// A header that stands there exactly once, as text.
fn header<'a>(request: &'a httparse::Request<'_, '_>, name: &str) -> Option<&'a str> {
    let mut found = request
        .headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case(name));
    let value = str::from_utf8(found.next()?.value).ok()?.trim();
    found.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UPGRADE: &str = "GET /AAAAAAAAAAAAAAAA HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    const KNOCK: &str = "POST /AAAAAAAAAAAAAAAA HTTP/1.1\r\nHost: a\r\nContent-Length: 16\r\n\r\n";

    #[test]
    fn what_could_still_become_one_of_ours_waits_for_its_rest_rly_42() {
        let path = DoorPath::from_bytes([0; 12]);
        for (request, at) in [(UPGRADE, Beginning::Relay(path)), (KNOCK, Beginning::Post(path))] {
            let path_ends = request.find(" HTTP").unwrap();
            for length in 0..request.len() {
                let wanted = if length < path_ends { Beginning::Any } else { at };
                let found = read_beginning(&request.as_bytes()[..length]);
                assert_eq!(found, Some(wanted), "{length} bytes of {request}");
            }
        }
        for other in [
            "get /",
            "HEAD /",
            "GET  ",
            "GET /a/",
            "GET /a ",
            "GET /AAAAAAAAAAAAAAAA?",
            "GET /AAAAAAAAAAAAAAAA HTTP/1.0",
            "\r\n",
        ] {
            assert_eq!(read_beginning(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn the_relay_and_a_door_are_told_apart_rly_35() {
        let path = DoorPath::from_bytes([0; 12]);
        let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned(); // the example of RFC 6455
        assert_eq!(
            read_head(UPGRADE.as_bytes()),
            Ok(Some((Asked::Relay { path, accept }, UPGRADE.len())))
        );
        let with_body = format!("{KNOCK}0123456789abcdef");
        assert_eq!(
            read_head(with_body.as_bytes()),
            Ok(Some((Asked::Door { path, from: None }, KNOCK.len())))
        );
        for (range, from) in [
            ("bytes=9000-", Some(9000)),
            ("bytes=1-2", None),
            ("lines=1-", None),
            ("bytes=-1", None),
        ] {
            let knock = KNOCK.replace("Host: a", &format!("Host: a\r\nRange: {range}"));
            let (asked, _) = read_head(knock.as_bytes()).unwrap().unwrap();
            assert_eq!(asked, Asked::Door { path, from }, "{range}");
        }
    }

    #[test]
    fn a_long_poll_has_a_body_of_a_session_and_says_whether_more_follows_rly_47() {
        let path = DoorPath::from_bytes([0; 12]);
        let asked = |length: usize, from: &str, to: &str| {
            let request = KNOCK.replace("16", &length.to_string()).replace(from, to);
            read_head(request.as_bytes()).map(|asked| asked.unwrap().0)
        };
        let poll = |length, goes_on| Ok(Asked::Poll { path, length, goes_on });
        let (least, most) = POLL_SIZES.into_inner();
        assert_eq!((least, most), (37, 37 + 65_536));
        for length in [least, most] {
            assert_eq!(asked(length, "", ""), poll(length, true));
        }
        for length in [0, 15, 17, least - 1, most + 1] {
            assert_eq!(asked(length, "", ""), Err(RequestError::NoProof), "{length}");
        }
        assert_eq!(asked(99, "HTTP/1.1", "HTTP/1.0"), poll(99, false));
        assert_eq!(asked(99, "Host: a", "Connection: Close"), poll(99, false));
        for bad in [
            "Transfer-Encoding: chunked",
            "Content-Length: 99",
            "A: b\r\nTransfer-Encoding: x\r\nTransfer-Encoding: y",
        ] {
            assert_eq!(asked(99, "Host: a", bad), Err(RequestError::NoProof), "{bad}");
        }
        assert!(told(5, true).ends_with("Content-Length: 5\r\nCache-Control: no-store\r\n\r\n"));
        assert!(told(5, false).ends_with("Connection: close\r\n\r\n"));
    }

    #[test]
    fn the_last_address_is_the_fronts_own_word_rly_46() {
        let of = |lines: &str| forwarded_for(format!("GET / HTTP/1.1\r\n{lines}\r\n").as_bytes());
        let ip = |text: &str| Some(text.parse().unwrap());
        for (lines, whom) in [
            ("X-Forwarded-For: 192.0.2.7\r\n", ip("192.0.2.7")),
            ("x-forwarded-for: 198.51.100.1, 192.0.2.7\r\n", ip("192.0.2.7")),
            (
                "X-Forwarded-For: 198.51.100.1\r\nA: b\r\nX-Forwarded-For: 2001:db8::7\r\n",
                ip("2001:db8::7"),
            ),
            ("X-Forwarded-For: 192.0.2.7:5\r\n", ip("192.0.2.7")),
            ("X-Forwarded-For: [2001:db8::7]:5\r\n", ip("2001:db8::7")),
            ("X-Forwarded-For: 192.0.2.7, unknown\r\n", None),
            ("X-Forwarded-For:\r\n", None),
            ("A: b\r\n", None),
        ] {
            assert_eq!(of(lines), whom, "{lines}");
        }
        assert_eq!(forwarded_for(b"\x16\x03\x01"), None);
    }

    #[test]
    fn bad_requests_are_told_apart_rly_30() {
        let long = format!("GET / HTTP/1.1\r\nA: {}", "a".repeat(HEAD_BYTES_MAX));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(HEADERS_MAX + 1));
        let cases = [
            ("binary", "\x16\x03\x01\x02".to_owned(), RequestError::Malformed),
            ("no version", "GET /relay\r\n\r\n".into(), RequestError::Malformed),
            ("endless head", long, RequestError::TooLong),
            ("too many headers", many, RequestError::TooLong),
            ("another path", "GET / HTTP/1.1\r\n\r\n".into(), RequestError::NotFound),
            (
                "a door by GET",
                KNOCK.replace("POST", "GET"),
                RequestError::NotAWebSocket,
            ),
            (
                "a path of another length",
                KNOCK.replace("/AAAA", "/AAA"),
                RequestError::NotFound,
            ),
            (
                "a path that is no base64",
                KNOCK.replace("/A", "/!"),
                RequestError::NotFound,
            ),
            (
                "a proof of another length",
                KNOCK.replace("16", "17"),
                RequestError::NoProof,
            ),
            (
                "a proof without length",
                KNOCK.replace("Content-Length", "X"),
                RequestError::NoProof,
            ),
            (
                "two lengths",
                KNOCK.replace("Host: a", "Content-Length: 16"),
                RequestError::NoProof,
            ),
            (
                "chunked",
                KNOCK.replace("Host: a", "Transfer-Encoding: chunked"),
                RequestError::NoProof,
            ),
            (
                "no upgrade",
                "GET /AAAAAAAAAAAAAAAA HTTP/1.1\r\n\r\n".into(),
                RequestError::NotAWebSocket,
            ),
            (
                "an old version",
                UPGRADE.replace("13", "8"),
                RequestError::NotAWebSocket,
            ),
            ("a short key", UPGRADE.replace("dGhl", ""), RequestError::NotAWebSocket),
            (
                "another protocol",
                UPGRADE.replace("WebSocket\r", "h2c\r"),
                RequestError::NotAWebSocket,
            ),
        ];
        for (name, head, error) in cases {
            assert_eq!(read_head(head.as_bytes()), Err(error), "{name}");
        }
    }

    #[test]
    fn an_incomplete_head_waits_rly_30() {
        for cut in 0..KNOCK.len() {
            assert_eq!(read_head(&KNOCK.as_bytes()[..cut]), Ok(None));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_err_rly_30(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read_head(&bytes);
        }
    }
}
