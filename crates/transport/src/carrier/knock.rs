//! The knock: one HTTP/1.1 POST to an invite's door.
//!
//! In: an address, the door's path and proof. Out: the card, or why there is none. When to ask again is the courier's
//! job; what is in the card is core's.

use std::io;
use std::time::Duration;

use stonechat_wire::address::split;
use stonechat_wire::card::CARD_BUCKET;
use stonechat_wire::ids::DoorPath;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::outer::{Outer, Trust, reach};
use crate::courier::KnockError;

/// Time from the first packet to the last byte of the card.
pub const KNOCK_MAX: Duration = Duration::from_secs(15);
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
    /// The site says 404.
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
    /// A body of a length that no card has.
    #[error("a body that is no card")]
    NoCard,
}

impl KnockFailure {
    /// What the courier makes of it.
    pub const fn reason(&self) -> KnockError {
        match self {
            Self::NotFound => KnockError::NotFound,
            Self::Unreachable(_) | Self::Slow | Self::Status(_) | Self::Malformed | Self::TooLong | Self::NoCard => {
                KnockError::Unreachable
            }
        }
    }
}

/// Asks a door for its card.
pub async fn knock(address: &str, path: DoorPath, proof: [u8; 16], trust: &Trust) -> Result<Vec<u8>, KnockFailure> {
    timeout(KNOCK_MAX, ask(address, path, proof, trust))
        .await
        .map_err(|_| KnockFailure::Slow)?
}

async fn ask(address: &str, path: DoorPath, proof: [u8; 16], trust: &Trust) -> Result<Vec<u8>, KnockFailure> {
    let (mut stream, _) = reach(address, trust).await?;
    stream.write_all(&request(split(address).1, path, proof)).await?;
    stream.flush().await?;
    let mut bytes = Vec::with_capacity(CARD_BUCKET);
    loop {
        if let Some(head) = read_head(&bytes)? {
            return read_card(&mut stream, bytes.split_off(head)).await;
        }
        if read_some(&mut stream, &mut bytes).await? == 0 {
            return Err(KnockFailure::Malformed);
        }
    }
}

fn request(address: &str, path: DoorPath, proof: [u8; 16]) -> Vec<u8> {
    let head = format!(
        "POST /{} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/octet-stream\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        path.to_text(),
        proof.len(),
    );
    [head.as_bytes(), &proof].concat()
}

/// Reads an answer's head. Out: its length if a card follows; nothing while it is not complete.
fn read_head(bytes: &[u8]) -> Result<Option<usize>, KnockFailure> {
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
        Some(200) if content_length(&answer) == Some(CARD_BUCKET) => Ok(Some(length)),
        Some(200) => Err(KnockFailure::NoCard),
        Some(404) => Err(KnockFailure::NotFound),
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

async fn read_card(stream: &mut Outer, mut card: Vec<u8>) -> Result<Vec<u8>, KnockFailure> {
    while card.len() < CARD_BUCKET {
        if read_some(stream, &mut card).await? == 0 {
            return Err(KnockFailure::NoCard);
        }
    }
    if card.len() == CARD_BUCKET {
        Ok(card)
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
        assert_eq!(read_head(ok.as_bytes()).unwrap(), Some(ok.len()));
        let cases = [
            ("a 404", "HTTP/1.1 404 Not Found\r\n\r\n".to_owned(), "no such door"),
            ("another status", "HTTP/1.1 502 Bad\r\n\r\n".into(), "status 502"),
            ("no length", "HTTP/1.1 200 OK\r\n\r\n".into(), "a body that is no card"),
            ("another length", ok.replace("16384", "16385"), "a body that is no card"),
            ("binary", "\x16\x03\x01".into(), "malformed answer"),
            (
                "an endless head",
                format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(HEAD_BYTES_MAX)),
                "the head is too long",
            ),
        ];
        for (name, answer, error) in cases {
            assert_eq!(read_head(answer.as_bytes()).unwrap_err().to_string(), error, "{name}");
        }
    }
}
