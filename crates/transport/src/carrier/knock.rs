//! The knock: one HTTP/1.1 POST to an invite's door.
//!
//! In: an address, the door's path and proof, what came before. Out: the card or the hand, or why there is none. When to ask again is the courier's
//! job; what is in the card is core's.

use std::io;
use std::time::Duration;

use stonechat_wire::address::split;
use stonechat_wire::card::CARD_BUCKET;
use stonechat_wire::hand::HAND_BUCKET;
use stonechat_wire::ids::DoorPath;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::means::Means;
use super::outer::{Outer, is_refusal, is_reset, is_silence, reach_saying};
use crate::courier::{Hello, KnockError};

/// Time from the first packet to the last byte of the card.
pub const KNOCK_MAX: Duration = Duration::from_secs(15);
/// The same where somebody else dials: a proxy, or the program for bridges.
pub const KNOCK_BY_OTHERS_MAX: Duration = Duration::from_secs(30);
/// A card of which nothing more comes for so long is cut: some ways let only the first 16 KB of a connection pass.
pub const STALL_MAX: Duration = Duration::from_secs(3);
/// Longest head of an answer, in bytes.
pub const HEAD_BYTES_MAX: usize = 8192;
/// Most header lines of an answer.
pub const HEADERS_MAX: usize = 64;

/// Why a door gave no card.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KnockFailure {
    /// Nobody answers at the address.
    #[error("not reached: {0}")]
    Unreachable(#[from] io::Error),
    /// It took longer than [`KNOCK_MAX`].
    #[error("no answer in time")]
    Slow,
    /// The site says 404, or 405.
    #[error("no such door")]
    NotFound,
    /// Another status: no door says that.
    #[error("status {0}")]
    Status(u16),
    /// Not HTTP/1.1, or cut short.
    #[error("malformed answer")]
    Malformed,
    /// The head is longer than [`HEAD_BYTES_MAX`].
    #[error("the head is too long")]
    TooLong,
    /// The card came in part only.
    #[error("the card is cut after {} bytes", .0.len())]
    Cut(Vec<u8>),
    /// A body of a length that no card has.
    #[error("a body that is no card")]
    NoCard,
}

impl KnockFailure {
    /// What the courier makes of it.
    pub fn reason(self) -> KnockError {
        match self {
            Self::NotFound => KnockError::NotFound,
            Self::Cut(have) => KnockError::Cut(have),
            Self::Unreachable(error) if is_silence(&error) => KnockError::Silenced,
            Self::Unreachable(error) if is_reset(&error) => KnockError::Reset,
            Self::Unreachable(error) if is_refusal(&error) => KnockError::Refused,
            Self::Unreachable(_) | Self::Slow | Self::Status(_) | Self::Malformed | Self::TooLong | Self::NoCard => {
                KnockError::Unreachable
            }
        }
    }
}

/// Asks a door for its card, or for what is left of it behind the bytes that are there already.
pub async fn knock(
    address: &str,
    path: DoorPath,
    proof: [u8; 16],
    have: Vec<u8>,
    means: &Means,
) -> Result<Vec<u8>, KnockFailure> {
    knock_saying(Hello::Whole, address, path, proof, have, means).await
}

/// The same, with a hello that is said so.
pub async fn knock_saying(
    hello: Hello,
    address: &str,
    path: DoorPath,
    proof: [u8; 16],
    have: Vec<u8>,
    means: &Means,
) -> Result<Vec<u8>, KnockFailure> {
    let limit = if means.is_led(address) {
        KNOCK_BY_OTHERS_MAX
    } else {
        KNOCK_MAX
    };
    timeout(limit, ask(hello, address, path, proof, have, means))
        .await
        .map_err(|_| KnockFailure::Slow)?
}

async fn ask(
    hello: Hello,
    address: &str,
    path: DoorPath,
    proof: [u8; 16],
    mut have: Vec<u8>,
    means: &Means,
) -> Result<Vec<u8>, KnockFailure> {
    let (mut stream, _) = reach_saying(hello, address, means).await?;
    stream
        .write_all(&request(split(address).1, path, proof, have.len()))
        .await?;
    stream.flush().await?;
    let mut bytes = Vec::with_capacity(CARD_BUCKET);
    loop {
        if let Some(found) = read_head(&bytes, have.len())? {
            have.truncate(found.from);
            have.extend(bytes.split_off(found.head));
            return read_body(&mut stream, have, found.length).await;
        }
        if read_some(&mut stream, &mut bytes).await? == 0 {
            return Err(KnockFailure::Malformed);
        }
    }
}

fn request(address: &str, path: DoorPath, proof: [u8; 16], from: usize) -> Vec<u8> {
    let range = if from > 0 {
        format!("Range: bytes={from}-\r\n")
    } else {
        String::new()
    };
    let head = format!(
        "POST /{} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/octet-stream\r\n\
         Content-Length: {}\r\n{range}Connection: close\r\n\r\n",
        path.to_text(),
        proof.len(),
    );
    [head.as_bytes(), &proof].concat()
}

/// What an answer's head says.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    /// Its own length.
    head: usize,
    /// The place in the body at which what follows begins.
    from: usize,
    /// Length of the whole body: a card's or a hand's.
    length: usize,
}

impl Found {
    fn of(head: usize, from: usize, left: Option<usize>) -> Result<Option<Self>, KnockFailure> {
        let length = left.and_then(|left| left.checked_add(from));
        let length = length.filter(|length| [CARD_BUCKET, HAND_BUCKET].contains(length));
        length.map_or(Err(KnockFailure::NoCard), |length| {
            Ok(Some(Self { head, from, length }))
        })
    }
}

/// Reads an answer's head; `asked_from`: the place asked for. Out: nothing while it is not complete.
fn read_head(bytes: &[u8], asked_from: usize) -> Result<Option<Found>, KnockFailure> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut answer = httparse::Response::new(&mut headers);
    let parsed = answer.parse(bytes).map_err(|error| match error {
        httparse::Error::TooManyHeaders => KnockFailure::TooLong,
        _ => KnockFailure::Malformed,
    })?;
    let httparse::Status::Complete(length) = parsed else {
        return if bytes.len() >= HEAD_BYTES_MAX {
            Err(KnockFailure::TooLong)
        } else {
            Ok(None)
        };
    };
    match answer.code {
        Some(200) => Found::of(length, 0, content_length(&answer)),
        Some(206) => Found::of(length, asked_from, content_length(&answer)),
        // A site of files says 405 to any POST.
        Some(404 | 405) => Err(KnockFailure::NotFound),
        code => Err(KnockFailure::Status(code.unwrap_or_default())),
    }
}

fn content_length(answer: &httparse::Response<'_, '_>) -> Option<usize> {
    let header = answer
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))?;
    std::str::from_utf8(header.value).ok()?.trim().parse().ok()
}

/// A card that is cut goes on where it was cut. A hand is asked for anew: on another day it is another one (PUB-3).
async fn read_body(stream: &mut Outer, mut body: Vec<u8>, length: usize) -> Result<Vec<u8>, KnockFailure> {
    while body.len() < length {
        match timeout(STALL_MAX, read_some(stream, &mut body)).await {
            Ok(Ok(1..)) => {}
            Ok(Ok(0) | Err(_)) | Err(_) if length == HAND_BUCKET => return Err(KnockFailure::Slow),
            Ok(Ok(0) | Err(_)) | Err(_) => return Err(KnockFailure::Cut(body)),
        }
    }
    if body.len() == length {
        Ok(body)
    } else {
        Err(KnockFailure::NoCard)
    }
}

async fn read_some(stream: &mut Outer, bytes: &mut Vec<u8>) -> io::Result<usize> {
    let mut chunk = [0; 4096];
    let count = stream.read(&mut chunk).await?;
    bytes.extend_from_slice(chunk.get(..count).unwrap_or_default());
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_answers_are_told_apart_rly_30() {
        let ok = format!("HTTP/1.1 200 OK\r\nContent-Length: {CARD_BUCKET}\r\n\r\n");
        let found = |head: &str, from, length| {
            let head = head.len();
            Some(Found { head, from, length })
        };
        assert_eq!(read_head(ok.as_bytes(), 0).unwrap(), found(&ok, 0, CARD_BUCKET));
        let hand = ok.replace("16384", "512");
        assert_eq!(read_head(hand.as_bytes(), 0).unwrap(), found(&hand, 0, HAND_BUCKET));
        let rest = "HTTP/1.1 206 Partial Content\r\nContent-Length: 384\r\n\r\n";
        assert_eq!(
            read_head(rest.as_bytes(), 16_000).unwrap(),
            found(rest, 16_000, CARD_BUCKET)
        );
        assert_eq!(
            read_head(ok.as_bytes(), 16_000).unwrap(),
            found(&ok, 0, CARD_BUCKET),
            "all of it is fine too"
        );
        let cases = [
            ("a 404", "HTTP/1.1 404 Not Found\r\n\r\n".to_owned(), "no such door"),
            (
                "a site's 405",
                "HTTP/1.1 405 Method Not Allowed\r\n\r\n".into(),
                "no such door",
            ),
            ("another status", "HTTP/1.1 502 Bad\r\n\r\n".into(), "status 502"),
            ("no length", "HTTP/1.1 200 OK\r\n\r\n".into(), "a body that is no card"),
            ("another length", ok.replace("16384", "16385"), "a body that is no card"),
            (
                "another rest than asked for",
                "HTTP/1.1 206 Partial Content\r\nContent-Length: 9\r\n\r\n".into(),
                "a body that is no card",
            ),
            ("binary", "\x16\x03\x01".into(), "malformed answer"),
            (
                "an endless head",
                format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(HEAD_BYTES_MAX)),
                "the head is too long",
            ),
        ];
        for (name, answer, error) in cases {
            assert_eq!(
                read_head(answer.as_bytes(), 0).unwrap_err().to_string(),
                error,
                "{name}"
            );
        }
    }
}
