//! One connection: from its first request to its end.
//!
//! In: a socket. Out: frames to the engine, and back. First the HTTP head, then the WebSocket or a long poll, inside it the
//! session, inside that the face, inside that frames. A session outlives its sockets: when one is lost, another may take over.
//! Slow, silent and malformed connections end here, and are told nothing.

use std::collections::{HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Once};
use std::time::Duration;

use futures_util::future::Either;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use stonechat_wire::face::{FaceError, FaceRelay};
use stonechat_wire::frame::forward::ForwardTell;
use stonechat_wire::frame::{FrameError, FromRelay, ToRelay};
use stonechat_wire::ids::DoorPath;
use stonechat_wire::session::{Opening, Session, SessionError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error as WebSocketError, Message};

use super::Hall;
use super::cover::Cover;
use super::engine::{Ended, Engine, Outgoing};
use super::entrance::{ShownOut, Ticket};
use super::forward::{Channels, Forwarding, Told};
use super::http::{self, Asked, Beginning, PROOF_SIZE, RequestError, read_head};
use super::poll::{self, Polled, Request};
use super::sessions::{Held, Place, Sessions, Truck};
use super::tls::Stream;
use crate::limits::{HEAD_BYTES_MAX, Limits, POLL_BYTES_MAX, POLL_SOON_MS, POLL_WAIT_MS, weight};
use crate::service::{Closed, ConnectionId, Source};

/// Longest WebSocket message that is taken, in bytes (RLY-35).
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Longest that is sent: the face is a stream and may be cut anywhere.
const MESSAGE_BYTES: usize = 256 << 10;
/// Most frame bytes sealed into one message: more than a write takes, little enough to interleave.
const WRITE_BYTES: usize = 128 << 10;
/// Most frames taken out of the outbox at once.
const WRITE_FRAMES: usize = 256;
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);
/// How long an answer over plain HTTP may take.
const FAREWELL: Duration = Duration::from_secs(10);
/// Most bytes read after an answer, so that it is not lost to a reset.
const LINGER_BYTES_MAX: usize = 64 << 10;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndReason {
    /// The other side closed it.
    #[error("closed by the other side")]
    Left,
    /// The relay is going down.
    #[error("the relay is going down")]
    GoingDown,
    /// Its first request was none of ours; the cover answered it.
    #[error("not for us: {0}")]
    Request(#[from] RequestError),
    /// The handshake or a record does not hold.
    #[error("face: {0}")]
    Face(#[from] FaceError),
    /// Frames that are none.
    #[error("frame: {0}")]
    Frame(#[from] FrameError),
    /// Messages of no session.
    #[error("session: {0}")]
    Session(#[from] SessionError),
    /// Another connection goes on with the session.
    #[error("its session goes on elsewhere")]
    Relieved,
    /// A WebSocket message that is not binary.
    #[error("a text message")]
    Text,
    /// The WebSocket layer's own.
    #[error("websocket: {0}")]
    WebSocket(#[from] Box<WebSocketError>),
    /// No hello in time.
    #[error("no hello in time")]
    NoHello,
    /// Silent for too long.
    #[error("silent for too long")]
    Silent,
    /// It does not read.
    #[error("a write hung for too long")]
    Stuck,
    /// Too many connections.
    #[error("too many connections")]
    TooMany,
    /// The service closed it.
    #[error("{0}")]
    Service(Closed),
}

impl From<Ended> for EndReason {
    fn from(_: Ended) -> Self {
        Self::GoingDown
    }
}

impl From<WebSocketError> for EndReason {
    fn from(error: WebSocketError) -> Self {
        match error {
            WebSocketError::ConnectionClosed | WebSocketError::AlreadyClosed => Self::Left,
            other => Self::WebSocket(Box::new(other)),
        }
    }
}

/// What a connection is given at its start.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) id: ConnectionId,
    pub(super) source: Source,
    /// Where the front stands whose requests say for whom they come, in a header (RLY-46).
    pub(super) front: Option<IpAddr>,
    pub(super) hall: Arc<Hall>,
    pub(super) engine: Engine,
    pub(super) sessions: Sessions,
    pub(super) forwarding: Arc<Forwarding>,
    /// Where the relay stands (RLY-41).
    pub(super) paths: Arc<HashSet<DoorPath>>,
    pub(super) cover: Arc<Cover>,
    pub(super) face: FaceRelay,
    pub(super) stopping: watch::Receiver<bool>,
    pub(super) ticket: Ticket,
    pub(super) limits: Limits,
}

impl Seat {
    /// Where a front's requests say for whom they come, it is that one's connection from now on, or the front's where it
    /// does not say. Out: whether there is room for it.
    fn is_known(&mut self, request: &[u8]) -> bool {
        let Some(front) = self.front else {
            return true;
        };
        let from = http::forwarded_for(request).unwrap_or_else(|| {
            SAID_ONCE.call_once(|| tracing::warn!("the front names no source: it sends no X-Forwarded-For"));
            front
        });
        self.source = Source::of(from);
        self.ticket.is_for(from)
    }

    /// One more, for a session of its own, if there is room.
    pub(super) fn another(&self) -> Option<(Self, ShownOut)> {
        let (ticket, shown_out) = self.ticket.another()?;
        let seat = self.hall.seat(ticket, self.source, None).ok()?;
        Some((seat, shown_out))
    }

    /// How long the next request is waited for, on a connection that has brought one.
    fn patience(&self) -> Instant {
        later(if self.ticket.is_stranger() {
            self.limits.hello_ms
        } else {
            self.limits.silence_ms
        })
    }
}

/// The front's silence is said once, not with each request.
static SAID_ONCE: Once = Once::new();

/// Serves one connection to its end; `bytes` of it were read already. Only long polls follow one another on it.
pub(super) async fn serve(mut stream: Stream, mut bytes: Vec<u8>, mut seat: Seat) -> EndReason {
    let (mut turn, mut deadline) = (Turn::First, later(seat.limits.hello_ms));
    bytes.reserve(1024);
    loop {
        let mut stopping = seat.stopping.clone();
        let request = tokio::select! {
            // In a box, like all that comes before and after the long silence: a connection idles in little memory.
            request = Box::pin(read_request(&mut stream, &mut bytes, &seat, (turn, deadline))) => request,
            _ = stopping.wait_for(|stop| *stop) => return EndReason::GoingDown,
        };
        if turn == Turn::First && !seat.is_known(&bytes) {
            return EndReason::TooMany;
        }
        let error = match request {
            Ok((Asked::Relay { path, accept }, head)) if seat.paths.contains(&path) => {
                let rest = bytes.split_off(head);
                return upgrade(stream, &accept, rest, seat, deadline).await;
            }
            Ok((Asked::Poll { path, length, goes_on }, head)) if seat.paths.contains(&path) => {
                let goes_on = goes_on && seat.front.is_none();
                let write_max = Duration::from_millis(seat.limits.write_ms);
                let body_by = later(seat.limits.hello_ms);
                match Box::pin(poll::hear(&mut stream, &mut bytes, (head, length), &mut seat, body_by)).await {
                    Polled::Said(message) if goes_on => {
                        if let Err(why) = Box::pin(poll::say(&mut stream, &message, write_max)).await {
                            return why;
                        }
                        (turn, deadline) = (Turn::Further, seat.patience());
                        continue;
                    }
                    Polled::Said(message) => {
                        let head = http::told(message.len(), false);
                        Box::pin(answer_and_close(stream, &[head.as_bytes(), &message])).await;
                        return EndReason::Left;
                    }
                    Polled::Ended(why) => return why,
                    Polled::NotOurs(error) => error,
                }
            }
            Ok((Asked::Door { path, from }, head)) => {
                let proof = bytes.get(head..).and_then(<[u8]>::first_chunk::<PROOF_SIZE>);
                match knock(&seat, path, proof).await {
                    Some(card) => {
                        Box::pin(show(stream, &card, from)).await;
                        return EndReason::Left;
                    }
                    None => RequestError::NotProven,
                }
            }
            Ok((Asked::Relay { .. } | Asked::Poll { .. }, _)) => RequestError::NotProven,
            // It had what it wanted.
            Err(_) if turn == Turn::Further && bytes.is_empty() => return EndReason::Left,
            Err(error) => error,
        };
        if seat.cover.is_proxy() {
            // From here on it is the web server's visitor, for as long as that one likes: others get its place among the strangers.
            seat.ticket.greeted();
        }
        Box::pin(seat.cover.answer(stream, &bytes, error)).await;
        return error.into();
    }
}

/// Which request of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// It decides whose the connection is.
    First,
    /// It follows a long poll.
    Further,
}

/// Reads a head and what comes with it. Out: what is asked, and the head's length; the bytes are there also after an error.
///
/// Before a web server behind, what could not become one of ours is that server's at once: how long it waits for the rest is
/// its affair (RLY-42).
async fn read_request(
    stream: &mut Stream,
    bytes: &mut Vec<u8>,
    seat: &Seat,
    (turn, deadline): (Turn, Instant),
) -> Result<(Asked, usize), RequestError> {
    let patience = match turn {
        Turn::First => seat.cover.patience(deadline),
        Turn::Further => deadline,
    };
    let mut cleared = None;
    loop {
        match read_head(bytes)? {
            Some(found) => return Ok(found),
            None if seat.cover.is_proxy() && !could_be_ours(bytes, seat, &mut cleared) => {
                return Err(RequestError::Slow);
            }
            None => {}
        }
        let read = timeout_at(patience, read_some(stream, bytes)).await;
        read.map_err(|_| RequestError::Slow)??;
    }
}

/// The rest may make it a request to this relay, or to a door that stands; that is asked once of a connection.
fn could_be_ours(bytes: &[u8], seat: &Seat, cleared: &mut Option<Beginning>) -> bool {
    let begins = http::read_beginning(bytes);
    let is_ours = match begins {
        None => false,
        same if same == *cleared => true,
        Some(Beginning::Any) => true,
        Some(Beginning::Relay(path)) => seat.paths.contains(&path),
        Some(Beginning::Post(path)) => seat.paths.contains(&path) || seat.engine.doors().stand(&path),
    };
    *cleared = begins;
    is_ours
}

pub(super) async fn read_some(stream: &mut Stream, bytes: &mut Vec<u8>) -> Result<(), RequestError> {
    let mut chunk = [0; HEAD_BYTES_MAX];
    let count = stream.read(&mut chunk).await.map_err(|_| RequestError::Cut)?;
    bytes.extend_from_slice(chunk.get(..count).unwrap_or_default());
    if count == 0 { Err(RequestError::Cut) } else { Ok(()) }
}

/// What is behind a door, for the right proof. A proof that did not come with the head is none.
///
/// Where no door stands nobody is asked: it would take longer than for any other path of the site.
async fn knock(seat: &Seat, path: DoorPath, proof: Option<&[u8; PROOF_SIZE]>) -> Option<Arc<[u8]>> {
    let proof = proof.filter(|_| seat.engine.doors().stand(&path))?;
    seat.engine.knock(path, *proof, seat.source).await.unwrap_or_default()
}

/// Shows a card, or what is left of it from a place on; a place behind its end is as good as none.
async fn show(stream: Stream, card: &[u8], from: Option<usize>) {
    let from = from.filter(|from| *from < card.len());
    let left = card.get(from.unwrap_or_default()..).unwrap_or_default();
    answer_and_close(stream, &[http::found(card.len(), from).as_bytes(), left]).await;
}

/// Writes an answer, then waits a moment for the other side to take it: a close with unread bytes would reset it.
pub(super) async fn answer_and_close(mut stream: Stream, parts: &[&[u8]]) {
    let answer = parts.concat();
    let farewell = async {
        stream.write_all(&answer).await?;
        stream.shutdown().await?;
        let mut sink = [0; 4096];
        let mut left = LINGER_BYTES_MAX;
        while left > 0 {
            let count = stream.read(&mut sink).await?;
            left = if count == 0 { 0 } else { left.saturating_sub(count) };
        }
        std::io::Result::Ok(())
    };
    // Whether it arrived is the other side's concern.
    let _ = timeout(FAREWELL, farewell).await;
}

async fn upgrade(mut stream: Stream, accept: &str, rest: Vec<u8>, seat: Seat, hello_by: Instant) -> EndReason {
    let answer = http::switching(accept);
    if stream.write_all(answer.as_bytes()).await.is_err() || stream.flush().await.is_err() {
        return EndReason::Left;
    }
    let socket = WebSocketStream::from_partially_read(stream, rest, Role::Server, Some(web_socket_config())).await;
    let mut socket = Either::Left(socket);
    let first = match timeout_at(hello_by, first_message(&mut socket)).await {
        Ok(first) => first,
        Err(_) => Err(EndReason::NoHello),
    };
    match first {
        Ok(first) => seat_or_relieve(socket, &first, seat, hello_by).await,
        Err(why) => why,
    }
}

async fn first_message(socket: &mut Socket) -> Result<Bytes, EndReason> {
    loop {
        match socket.next().await.ok_or(EndReason::Left)?? {
            Message::Binary(bytes) => return Ok(bytes),
            Message::Text(_) => return Err(EndReason::Text),
            Message::Close(_) => return Err(EndReason::Left),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}

/// A first message begins a session, or takes one over from the connection that had it (SES-3).
async fn seat_or_relieve(socket: Socket, first: &[u8], seat: Seat, hello_by: Instant) -> EndReason {
    let (opening, message) = match Opening::split(first) {
        Ok(split) => split,
        Err(error) => return error.into(),
    };
    let sessions = seat.sessions.clone();
    let truck = |ticket| Truck {
        socket,
        load_max: opening.load_max,
        message: message.to_vec(),
        ticket,
    };
    match sessions.place(opening.id, stonechat_wire::session::is_beginning(message)) {
        Place::Taken(running) => {
            // A session that has just ended takes nobody: its client begins another.
            let _ = running.send(truck(Some(seat.ticket))).await;
            EndReason::Relieved
        }
        Place::New(place) => begin(truck(None), seat, place, hello_by).await,
        Place::None => EndReason::Left,
    }
}

/// A session from its first connection to its end.
pub(super) async fn begin(truck: Truck, mut seat: Seat, mut place: Held, hello_by: Instant) -> EndReason {
    let (outbox, inbox) = mpsc::unbounded_channel();
    match seat.engine.connect(seat.id, seat.source, outbox).await {
        Ok(true) => {}
        Ok(false) => return EndReason::TooMany,
        Err(ended) => return ended.into(),
    }
    let mut talk = Talk::new(truck.socket, inbox, &mut seat, hello_by);
    talk.mount(truck.load_max);
    let why = match talk.hear(&truck.message).await {
        Ok(()) => talk.run(&mut place).await,
        Err(why) => why,
    };
    // The engine only fails when everything ends.
    let _ = seat.engine.gone(seat.id).await;
    why
}

fn later(ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(ms)
}

fn web_socket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(4 << 10)
        .write_buffer_size(16 << 10)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
}

/// What carries a session at the moment.
pub(super) type Socket = Either<WebSocketStream<Stream>, Request>;

/// What is known of it once it is taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carriage {
    WebSocket,
    /// A request that waits.
    Waiting,
    /// One that has its answer: nothing more can be said on it.
    Answered,
}

impl Carriage {
    const fn of(socket: &Socket) -> Self {
        match socket {
            Either::Left(_) => Self::WebSocket,
            Either::Right(_) => Self::Waiting,
        }
    }
}

/// What a conversation waits for.
enum Event {
    Message(Option<Result<Message, WebSocketError>>),
    Flushed(Result<(), WebSocketError>),
    Outgoing(Vec<Outgoing>),
    Relief(Option<Box<Truck>>),
    Told(Option<Told>),
    /// A request has waited long enough.
    Due,
    Overdue,
    Stopping,
}

/// The conversation with one client.
struct Talk<'a> {
    seat: &'a mut Seat,
    sink: SplitSink<Socket, Message>,
    stream: SplitStream<Socket>,
    carriage: Carriage,
    /// When a request that waits is answered, even with nothing.
    answer_by: Instant,
    inbox: mpsc::UnboundedReceiver<Outgoing>,
    channels: Channels,
    session: Session,
    /// Frames that are not confirmed: where in the stream each batch ends, and its weight.
    weights: VecDeque<(u64, usize)>,
    is_flushed: bool,
    is_greeted: bool,
    closing: Option<Closed>,
    silent_at: Instant,
    stuck_at: Instant,
}

impl<'a> Talk<'a> {
    fn new(socket: Socket, inbox: mpsc::UnboundedReceiver<Outgoing>, seat: &'a mut Seat, hello_by: Instant) -> Self {
        let carriage = Carriage::of(&socket);
        let (sink, stream) = socket.split();
        let (weights, is_flushed, is_greeted, closing) = (VecDeque::new(), true, false, None);
        let stuck_at = hello_by;
        let channels = Channels::new(Arc::clone(&seat.forwarding), seat.source);
        Self {
            seat,
            sink,
            stream,
            carriage,
            answer_by: hello_by,
            inbox,
            channels,
            session: Session::default(),
            weights,
            is_flushed,
            is_greeted,
            closing,
            silent_at: hello_by,
            stuck_at,
        }
    }

    async fn run(mut self, place: &mut Held) -> EndReason {
        let why = loop {
            match self.turn(&mut place.trucks).await {
                Ok(()) => {}
                Err(why) if self.outlives_its_socket() && is_of_the_socket(&why) => {
                    if let Err(why) = self.wait_for_relief(&mut place.trucks).await {
                        break why;
                    }
                }
                Err(why) => break why,
            }
            if self.is_greeted {
                place.greeted();
            }
        };
        // A short goodbye; nobody has to hear it.
        let _ = timeout(GOODBYE, self.sink.close()).await;
        why
    }

    /// One without a hello ends with its connection (SES-6), but not with a request, which ends with every answer.
    fn outlives_its_socket(&self) -> bool {
        self.is_greeted || self.carriage != Carriage::WebSocket
    }

    /// Begins with what carries it from now on.
    fn mount(&mut self, load_max: u32) {
        if self.carriage == Carriage::WebSocket {
            self.session.board(load_max);
        } else {
            self.session.board_request(load_max);
            self.answer_by = later(POLL_WAIT_MS);
        }
    }

    /// Waits for the next thing to happen and does it.
    async fn turn(&mut self, trucks: &mut mpsc::Receiver<Truck>) -> Result<(), EndReason> {
        match self.wait(trucks).await {
            Event::Message(message) => self.take(message.ok_or(EndReason::Left)??).await,
            Event::Flushed(flushed) => {
                flushed?;
                self.flushed().await
            }
            Event::Outgoing(frames) if frames.is_empty() => Err(EndReason::GoingDown),
            Event::Outgoing(frames) => self.post(frames).await,
            Event::Told(told) => match told.and_then(|told| self.channels.tell(told)) {
                Some(tell) => self.tell(tell).await,
                None => Ok(()),
            },
            Event::Relief(Some(truck)) => self.board(*truck).await,
            Event::Relief(None) | Event::Stopping => Err(EndReason::GoingDown),
            Event::Due => {
                self.session.owe();
                self.write_next().await
            }
            Event::Overdue => Err(self.overdue()),
        }
    }

    async fn wait(&mut self, trucks: &mut mpsc::Receiver<Truck>) -> Event {
        let mut frames = Vec::new();
        let may_pass = self.unconfirmed() < self.seat.limits.forward_unconfirmed_bytes;
        let deadline = if self.is_flushed {
            self.silent_at
        } else {
            self.silent_at.min(self.stuck_at)
        };
        tokio::select! {
            message = self.stream.next() => Event::Message(message),
            flushed = self.sink.flush(), if !self.is_flushed => Event::Flushed(flushed),
            _ = self.inbox.recv_many(&mut frames, WRITE_FRAMES), if self.is_flushed => Event::Outgoing(frames),
            truck = trucks.recv() => Event::Relief(truck.map(Box::new)),
            told = self.channels.next(), if self.is_flushed && may_pass => Event::Told(told),
            () = sleep_until(self.answer_by), if self.carriage == Carriage::Waiting => Event::Due,
            () = sleep_until(deadline) => Event::Overdue,
            _ = self.seat.stopping.wait_for(|stop| *stop) => Event::Stopping,
        }
    }

    /// Between two connections: what the service has to say waits in its outbox, which it bounds (RLY-26).
    async fn wait_for_relief(&mut self, trucks: &mut mpsc::Receiver<Truck>) -> Result<(), EndReason> {
        let until = if self.is_greeted {
            later(self.seat.limits.session_ms)
        } else {
            self.silent_at
        };
        let mut stopping = self.seat.stopping.clone();
        let truck = tokio::select! {
            truck = timeout_at(until, trucks.recv()) => truck.map_err(|_| EndReason::Left)?,
            _ = stopping.wait_for(|stop| *stop) => None,
        };
        self.board(truck.ok_or(EndReason::GoingDown)?).await
    }

    /// Goes over to another connection of the same client.
    async fn board(&mut self, truck: Truck) -> Result<(), EndReason> {
        self.let_go().await;
        self.carriage = Carriage::of(&truck.socket);
        (self.sink, self.stream) = truck.socket.split();
        if let Some(ticket) = truck.ticket {
            self.seat.ticket = ticket;
        }
        if self.is_greeted {
            self.seat.ticket.greeted();
        }
        self.is_flushed = true;
        self.mount(truck.load_max);
        self.hear(&truck.message).await?;
        // The service's last word may have waited for it.
        match self.closing {
            Some(_) => self.flushed().await,
            None => Ok(()),
        }
    }

    /// A request that waits is answered when another connection comes: it says what has come, and no more.
    async fn let_go(&mut self) {
        if self.carriage == Carriage::Waiting {
            self.session.owe();
            let message = self.session.next(0).unwrap_or_default();
            // Who asked may have gone.
            let _ = self.sink.send(Message::binary(message)).await;
        }
    }

    fn overdue(&self) -> EndReason {
        match (self.is_greeted, self.is_flushed || self.silent_at < self.stuck_at) {
            (false, _) => EndReason::NoHello,
            (true, true) => EndReason::Silent,
            (true, false) => EndReason::Stuck,
        }
    }

    /// Takes one WebSocket message.
    async fn take(&mut self, message: Message) -> Result<(), EndReason> {
        match message {
            Message::Binary(bytes) => self.hear(&bytes).await,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {
                // The library has queued the pong; a flush sends it.
                self.start_write();
                Ok(())
            }
            Message::Close(_) => Err(EndReason::Left),
            Message::Text(_) => Err(EndReason::Text),
        }
    }

    /// Takes one message of the session: bytes of the face, as they came.
    async fn hear(&mut self, message: &[u8]) -> Result<(), EndReason> {
        if self.is_greeted {
            self.silent_at = later(self.seat.limits.silence_ms);
        }
        let bytes = self.session.take(message)?.bytes;
        if !bytes.is_empty() {
            self.answer_by = self.answer_by.min(later(POLL_SOON_MS));
        }
        self.tell_drained().await?;
        let messages = self.seat.face.receive(&bytes)?;
        self.write_face().await?;
        for message in messages {
            let frames = self.forward(ToRelay::decode_all(&message)?).await?;
            if !frames.is_empty() {
                self.seat.engine.frames(self.seat.id, frames, message.len()).await?;
            }
        }
        Ok(())
    }

    /// Does what a client that has heard the hello asks about channels. Out: all other frames.
    async fn forward(&mut self, frames: Vec<ToRelay>) -> Result<Vec<ToRelay>, EndReason> {
        if !self.is_greeted {
            return Ok(frames);
        }
        let mut others = Vec::new();
        for frame in frames {
            let ToRelay::Forward(ask) = frame else {
                others.push(frame);
                continue;
            };
            if let Some(tell) = self.channels.take(ask) {
                self.tell(tell).await?;
            }
        }
        Ok(others)
    }

    /// Bytes that the client was sent, or is to be, and has not confirmed.
    fn unconfirmed(&self) -> u64 {
        self.session.end().saturating_sub(self.session.confirmed_to())
    }

    /// Says something about a channel.
    async fn tell(&mut self, tell: ForwardTell) -> Result<(), EndReason> {
        // These answers are no part of what the service counts (RLY-26), so here is the end for who takes none.
        if self.unconfirmed() > 2 * self.seat.limits.outstanding_bytes as u64 {
            return Err(EndReason::Service(Closed::TooSlow));
        }
        let mut message = Vec::new();
        FromRelay::Forward(tell).encode(&mut message);
        self.seat.face.send(&message)?;
        self.write_face().await
    }

    /// The service hears of what has come to the client.
    async fn tell_drained(&mut self) -> Result<(), EndReason> {
        let mut bytes = 0;
        while let Some((end, weight)) = self.weights.front().copied()
            && end <= self.session.confirmed_to()
        {
            bytes += weight;
            self.weights.pop_front();
        }
        if bytes > 0 {
            self.seat.engine.drained(self.seat.id, bytes).await?;
        }
        Ok(())
    }

    /// Seals frames, several into one message, and begins to write them.
    async fn post(&mut self, outgoing: Vec<Outgoing>) -> Result<(), EndReason> {
        let (mut message, mut weight_bytes) = (Vec::new(), 0);
        for outgoing in outgoing {
            match outgoing {
                Outgoing::Close(why) => self.closing = Some(why),
                Outgoing::Frame(frame) => {
                    self.greet(&frame);
                    weight_bytes += weight(&frame);
                    frame.encode(&mut message);
                    if message.len() >= WRITE_BYTES {
                        self.seat.face.send(&std::mem::take(&mut message))?;
                    }
                }
            }
        }
        if !message.is_empty() {
            self.seat.face.send(&message)?;
        }
        self.session.push(&self.seat.face.take_output());
        if weight_bytes > 0 {
            self.weights.push_back((self.session.end(), weight_bytes));
        }
        if self.is_flushed { self.flushed().await } else { Ok(()) }
    }

    /// With the hello's answer a stranger becomes a client.
    fn greet(&mut self, frame: &FromRelay) {
        if !self.is_greeted && matches!(frame, FromRelay::Hello { .. }) {
            self.is_greeted = true;
            self.silent_at = later(self.seat.limits.silence_ms);
            self.seat.ticket.greeted();
        }
    }

    async fn write_face(&mut self) -> Result<(), EndReason> {
        self.session.push(&self.seat.face.take_output());
        self.write_next().await
    }

    /// Begins to write the next piece, if the last one is out: more would block, and reading with it.
    async fn write_next(&mut self) -> Result<(), EndReason> {
        if !self.is_flushed {
            return Ok(());
        }
        match self.carriage {
            Carriage::Answered => {}
            Carriage::Waiting => {
                if let Some(message) = self.session.next(POLL_BYTES_MAX) {
                    self.carriage = Carriage::Answered;
                    // It is given to whoever holds the request: nothing to wait for.
                    self.sink.send(Message::binary(message)).await?;
                }
            }
            Carriage::WebSocket => {
                if let Some(message) = self.session.next(MESSAGE_BYTES) {
                    self.start_write();
                    self.sink.feed(Message::binary(message)).await?;
                }
            }
        }
        Ok(())
    }

    fn start_write(&mut self) {
        if self.is_flushed {
            self.is_flushed = false;
            self.stuck_at = later(self.seat.limits.write_ms);
        }
    }

    /// A piece is out; the next one follows. The service's last word is followed by the end.
    async fn flushed(&mut self) -> Result<(), EndReason> {
        self.is_flushed = true;
        self.write_next().await?;
        match self.closing {
            Some(why) if self.is_flushed && !self.session.has_unsent() => Err(EndReason::Service(why)),
            Some(_) | None => Ok(()),
        }
    }
}

/// Whether only the connection is lost, so that the session may go on with another. A goodbye ends both.
const fn is_of_the_socket(why: &EndReason) -> bool {
    matches!(why, EndReason::WebSocket(_))
}
