//! The long poll: a request that brings a message of a session, and waits for one (RLY-47).
//!
//! In: a POST to a path of the relay's. Out: the session's next message, once it has one, or its time is over. For a session
//! a request is one more connection that takes it over (SES-3), so nothing here knows what was lost. What does not go on
//! with a session, nor begins one, is the cover's, with every byte of it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::Either;
use futures_util::{Sink, Stream as Incoming};
use stonechat_wire::session::{Opening, is_beginning};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message};

use super::connection::{EndReason, Seat, begin, read_some};
use super::http::{self, RequestError};
use super::sessions::{Held, Place, Truck};
use super::tls::Stream;
use crate::limits::HEAD_BYTES_MAX;

/// Bytes that are read behind a request before it is answered: another one's beginning.
const AHEAD_BYTES_MAX: usize = HEAD_BYTES_MAX;
/// A session's id stands at the beginning of a body.
const ID: usize = 16;

/// A request that waits for its one answer, as the socket of a session: what is said on it first is the answer, and the end
/// of it.
#[derive(Debug)]
pub(super) struct Request {
    answer: Option<oneshot::Sender<Vec<u8>>>,
}

fn over() -> WebSocketError {
    WebSocketError::Io(io::ErrorKind::NotConnected.into())
}

impl Incoming for Request {
    type Item = Result<Message, WebSocketError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(answer) = &mut self.answer {
            ready!(answer.poll_closed(cx));
        }
        Poll::Ready(Some(Err(over())))
    }
}

impl Sink<Message> for Request {
    type Error = WebSocketError;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Self::Error> {
        let answer = self.answer.take().ok_or_else(over)?;
        answer.send(message.into_data().to_vec()).map_err(|_| over())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.answer = None;
        Poll::Ready(Ok(()))
    }
}

/// What came of a request.
pub(super) enum Polled {
    /// This is to be said. What stands in the bytes is what came behind the request.
    Said(Vec<u8>),
    /// Nobody waits for it any more.
    Ended(EndReason),
    /// It is none of ours. Its bytes are all there.
    NotOurs(RequestError),
}

/// Hears one request, whose head and `length` bytes of body stand at the beginning of `bytes` or are still to come, and
/// waits for what is to be said.
pub(super) async fn hear(
    stream: &mut Stream,
    bytes: &mut Vec<u8>,
    (head, length): (usize, usize),
    seat: &mut Seat,
    deadline: Instant,
) -> Polled {
    let end = head.saturating_add(length);
    if let Err(error) = read_body(stream, bytes, head..end, seat, deadline).await {
        return Polled::NotOurs(error);
    }
    let body = bytes.get(head..end).unwrap_or_default();
    let Some(answered) = hand_over(body, seat, deadline).await else {
        return Polled::NotOurs(RequestError::NotProven);
    };
    let mut stopping = seat.stopping.clone();
    let answer = tokio::select! {
        answer = answered => answer,
        () = gone(stream, bytes, end) => return Polled::Ended(EndReason::Left),
        _ = stopping.wait_for(|stop| *stop) => return Polled::Ended(EndReason::GoingDown),
    };
    // A session that has ended without a word was none: there was no handshake in it, or what makes no sense.
    let Ok(answer) = answer else {
        return Polled::NotOurs(RequestError::NotProven);
    };
    bytes.drain(..end);
    bytes.shrink_to(HEAD_BYTES_MAX);
    Polled::Said(answer)
}

/// Writes an answer on a connection that goes on.
pub(super) async fn say(stream: &mut Stream, message: &[u8], limit: Duration) -> Result<(), EndReason> {
    let answer = [http::told(message.len(), true).as_bytes(), message].concat();
    let saying = async {
        stream.write_all(&answer).await?;
        stream.flush().await
    };
    match timeout(limit, saying).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(EndReason::Left),
        Err(_) => Err(EndReason::Stuck),
    }
}

/// Reads what is missing of a body. Whose session has said hello has time as for any other write; others until the deadline.
async fn read_body(
    stream: &mut Stream,
    bytes: &mut Vec<u8>,
    body: std::ops::Range<usize>,
    seat: &Seat,
    deadline: Instant,
) -> Result<(), RequestError> {
    let id = body.start..body.start.saturating_add(ID);
    let (mut until, mut is_known) = (deadline, false);
    while bytes.len() < body.end {
        if !is_known && bytes.get(id.clone()).is_some_and(|id| seat.sessions.knows(id)) {
            is_known = true;
            until = Instant::now() + Duration::from_millis(seat.limits.write_ms);
        }
        let read = timeout_at(until, read_some(stream, bytes)).await;
        read.map_err(|_| RequestError::Slow)??;
    }
    Ok(())
}

/// Gives a request to the session that it goes on with, or that it begins. Out: where its answer comes; nothing where there
/// is no such session, or no room for one.
async fn hand_over(body: &[u8], seat: &mut Seat, deadline: Instant) -> Option<oneshot::Receiver<Vec<u8>>> {
    let (opening, message) = Opening::split(body).ok()?;
    let (answer, answered) = oneshot::channel();
    let truck = Truck {
        socket: Either::Right(Request { answer: Some(answer) }),
        load_max: opening.load_max,
        message: message.to_vec(),
        ticket: None,
    };
    match seat.sessions.place(opening.id, is_beginning(message)) {
        Place::Taken(running) => {
            if seat.sessions.knows(&opening.id) {
                seat.ticket.greeted();
            }
            running.send(truck).await.ok()?;
        }
        Place::New(place) => found(truck, place, seat, deadline)?,
        Place::None => return None,
    }
    Some(answered)
}

/// Begins a session that goes on over requests, in a place of its own: it outlives their connections.
fn found(truck: Truck, place: Held, seat: &Seat, hello_by: Instant) -> Option<()> {
    let (seat, shown_out) = seat.another()?;
    tokio::spawn(async move {
        tokio::select! {
            why = begin(truck, seat, place, hello_by) => tracing::debug!(%why, "a session over requests ended"),
            Ok(()) = shown_out => tracing::debug!("a session made room for another one"),
        }
    });
    Some(())
}

/// Waits until whoever asked has gone. What comes meanwhile is kept.
async fn gone(stream: &mut Stream, bytes: &mut Vec<u8>, end: usize) {
    let mut chunk = [0; 512];
    while bytes.len() < end.saturating_add(AHEAD_BYTES_MAX) {
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return,
            Ok(count) => bytes.extend_from_slice(chunk.get(..count).unwrap_or_default()),
        }
    }
    std::future::pending().await
}
