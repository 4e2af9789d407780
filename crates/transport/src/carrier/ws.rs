//! The WebSocket carrier: TCP (inside TLS where the address says so), HTTP/1.1 upgrade, or a browser that does all of this;
//! in its binary messages a session, and in that the face.
//!
//! In: an address, the relay's pin or keys, frames. Out: frames, or why there is no link. One task per link, which goes
//! over from one connection to the next when told to; it ends when its commands end, and reports nothing after that.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::Either;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use stonechat_wire::address::split;
use stonechat_wire::exchange::NamedBy;
use stonechat_wire::face::{FaceClient, FaceError};
use stonechat_wire::frame::{FrameError, FromRelay, ToRelay};
use stonechat_wire::ids::{DoorPath, RelayId};
use stonechat_wire::route::RelayKeys;
use stonechat_wire::session::{Opening, Session, SessionError};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::channel::{Channels, Through, is_not_passed_on};
use super::dialer::Line;
pub use super::means::Means;
use super::meter::Meter;
use super::outer::{self, Outer, is_refusal, is_reset, is_silence, reach_saying, reach_through};
use crate::courier::{Hello, Input, LinkId, Lost, Missed, Used, is_by_browser};

/// Time until the TCP connection, and TLS in it, stands.
pub const CONNECT_MAX: Duration = Duration::from_secs(10);
/// The same where somebody else dials: over a channel, by a proxy, to a bridge.
pub const CONNECT_THROUGH_MAX: Duration = Duration::from_secs(18);
/// Time from there until the face is open.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Longest WebSocket message that is taken, in bytes (RLY-35).
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Longest that is sent: the face is a stream and may be cut anywhere.
const MESSAGE_BYTES: usize = 256 << 10;
/// Most frame bytes sealed into one message.
const WRITE_BYTES: usize = 128 << 10;
/// Most commands taken at once.
const WRITE_COMMANDS: usize = 256;
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// What the courier wants on a link. Dropping the sender closes it.
#[derive(Debug)]
pub enum Command {
    /// Send this frame.
    Send(ToRelay),
    /// Ask for a sign of life.
    Ping,
    /// Go over to another connection.
    Relieve(Truck),
}

/// Where to, and what for.
#[derive(Debug)]
pub struct Dial {
    /// The courier's name for it.
    pub link: LinkId,
    /// Whose keys must answer.
    pub relay: RelayId,
    /// The keys, where known.
    pub keys: Option<RelayKeys>,
    /// For the handshake, used once.
    pub dice: [u8; 32],
    /// The session's id, as random.
    pub session: [u8; 16],
    /// Its first connection.
    pub truck: Truck,
    /// By what it is reached.
    pub means: Means,
    /// Who named the address.
    pub by: NamedBy,
}

/// One connection of a session.
#[derive(Clone, Debug)]
pub struct Truck {
    /// `host:port`, or `https://host:port`.
    pub address: String,
    /// Where the relay stands there (RLY-41).
    pub path: DoorPath,
    /// Most bytes of the session's stream that it carries, each way; 0: any number.
    pub load_max: u32,
    /// How its hello is said, inside TLS.
    pub hello: Hello,
    /// The channel that it goes over, where the way leads through another relay.
    pub through: Option<Through>,
}

/// Why there is no connection (any more).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// Nobody answers at the address.
    #[error("not reached: {0}")]
    Unreachable(#[from] io::Error),
    /// It took too long.
    #[error("no answer in time")]
    Slow,
    /// The WebSocket layer's own: a refused upgrade, a broken connection.
    #[error("websocket: {0}")]
    WebSocket(#[from] Box<WebSocketError>),
    /// Wrong keys, or a record that does not open.
    #[error("face: {0}")]
    Face(#[from] FaceError),
    /// Messages of no session.
    #[error("session: {0}")]
    Session(#[from] SessionError),
    /// Frames that are none.
    #[error("frame: {0}")]
    Frame(#[from] FrameError),
    /// A WebSocket message that is not binary.
    #[error("a text message")]
    Text,
    /// The relay closed it.
    #[error("closed by the relay")]
    Closed,
    /// The courier closed it.
    #[error("no longer wanted")]
    Unwanted,
}

impl From<WebSocketError> for LinkError {
    fn from(error: WebSocketError) -> Self {
        match error {
            WebSocketError::ConnectionClosed | WebSocketError::AlreadyClosed => Self::Closed,
            WebSocketError::Io(error) => Self::Unreachable(error),
            other => Self::WebSocket(Box::new(other)),
        }
    }
}

/// A front says that what is behind it does not answer now, or that there is too much.
fn is_later(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

impl LinkError {
    /// What the courier makes of it.
    pub fn lost(&self) -> Lost {
        match self {
            Self::Unreachable(error) if is_not_passed_on(error) => Lost::NotPassedOn,
            Self::Unreachable(error) if is_silence(error) => Lost::Silenced,
            Self::Unreachable(error) if is_reset(error) => Lost::Reset,
            Self::Unreachable(error) if is_refusal(error) => Lost::Refused,
            // A site that does not know our path, or another relay; but one that has no time, or whose relay is away, says so.
            Self::WebSocket(error) => match &**error {
                WebSocketError::Http(answer) if is_later(answer.status()) => Lost::Broken,
                WebSocketError::Http(_) => Lost::WrongKeys,
                _ => Lost::Broken,
            },
            Self::Face(FaceError::WrongKeys | FaceError::Handshake) => Lost::WrongKeys,
            Self::Face(_) | Self::Session(_) | Self::Frame(_) | Self::Text => Lost::Malformed,
            Self::Unreachable(_) | Self::Slow | Self::Closed | Self::Unwanted => Lost::Broken,
        }
    }

    /// What the person is told of it; nothing where it was not wanted any more.
    pub fn missed(&self) -> Option<Missed> {
        Some(match self {
            Self::Unreachable(error) if is_not_passed_on(error) => Missed::NotPassedOn,
            Self::Unreachable(error) => outer::missed(error),
            Self::Slow => Missed::Silent,
            Self::WebSocket(error) => match &**error {
                WebSocketError::Http(answer) if is_later(answer.status()) => Missed::Busy,
                WebSocketError::Http(_) | WebSocketError::HttpFormat(_) => Missed::Stranger,
                _ => Missed::Ended,
            },
            Self::Face(_) | Self::Session(_) | Self::Frame(_) | Self::Text => Missed::Stranger,
            Self::Closed => Missed::Ended,
            Self::Unwanted => return None,
        })
    }

    /// Whether only the connection is lost, so that the session may go on with another.
    const fn is_of_the_socket(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::WebSocket(_))
    }
}

/// Dials, reports [`Input::Open`], carries frames both ways, and reports [`Input::Lost`] at the end. What comes for
/// channels is theirs.
pub async fn carry(
    dial: Dial,
    channels: Channels,
    mut commands: mpsc::UnboundedReceiver<Command>,
    events: mpsc::Sender<Input>,
) {
    let (link, id, means) = (dial.link, dial.session, dial.means.clone());
    let opened = tokio::select! {
        opened = open(dial) => opened,
        // Nothing is said before it is open: this is the end of the commands.
        _ = commands.recv() => Err(LinkError::Unwanted),
    };
    let error = match opened {
        Ok(opened) => {
            Talk::new(link, opened, channels, &events)
                .run(id, &means, &mut commands)
                .await
        }
        Err(error) => error,
    };
    tracing::debug!(%error, "a link ended");
    if !matches!(error, LinkError::Unwanted) {
        if let Some(why) = error.missed() {
            let _ = events.send(Input::Missed { link, why }).await;
        }
        // Nobody listens when everything ends.
        let _ = events
            .send(Input::Lost {
                link,
                why: error.lost(),
            })
            .await;
    }
}

/// A WebSocket of ours, or one that a browser holds.
type Socket = Either<WebSocketStream<Outer>, Line>;

/// A link whose face is open.
#[derive(Debug)]
pub struct Opened {
    /// The connection.
    pub socket: Socket,
    /// What it has used so far.
    pub meter: Meter,
    /// The session on it.
    pub session: Session,
    /// The face in the session.
    pub face: FaceClient,
}

/// TCP, TLS, upgrade, face.
pub async fn open(dial: Dial) -> Result<Opened, LinkError> {
    let (socket, meter) = connect(&dial.truck, &dial.means).await?;
    timeout(HANDSHAKE_MAX, shake_hands(socket, meter, dial))
        .await
        .map_err(|_| LinkError::Slow)?
}

/// TCP, TLS, upgrade.
async fn connect(truck: &Truck, means: &Means) -> Result<(Socket, Meter), LinkError> {
    let place = format!("{}/{}", split(&truck.address).1, truck.path.to_text());
    if is_by_browser(&truck.address) {
        let (line, meter) = means.dialer.connect(&format!("wss://{place}")).await?;
        return Ok((Either::Right(line), meter));
    }
    let connecting = match &truck.through {
        None => {
            let limit = if means.is_led(&truck.address) {
                CONNECT_THROUGH_MAX
            } else {
                CONNECT_MAX
            };
            timeout(limit, reach_saying(truck.hello, &truck.address, means)).await
        }
        Some(through) => {
            timeout(
                CONNECT_THROUGH_MAX,
                reach_through(through, &truck.address, &means.trust),
            )
            .await
        }
    };
    let (stream, meter) = connecting.map_err(|_| LinkError::Slow)??;
    let url = format!("ws://{place}");
    let upgrade = client_async_with_config(url, stream, Some(config()));
    let (socket, _) = timeout(HANDSHAKE_MAX, upgrade).await.map_err(|_| LinkError::Slow)??;
    Ok((Either::Left(socket), meter))
}

async fn shake_hands(mut socket: Socket, meter: Meter, dial: Dial) -> Result<Opened, LinkError> {
    let mut face = match dial.keys {
        Some(keys) => FaceClient::new(&keys, dial.dice)?,
        None => FaceClient::asking(dial.relay, dial.dice),
    };
    let load_max = dial.truck.load_max;
    let mut opening = Some(Opening {
        id: dial.session,
        load_max,
    });
    let mut session = Session::default();
    session.board(load_max);
    while !face.is_open() {
        session.push(&face.take_output());
        while let Some(message) = session.next(MESSAGE_BYTES) {
            let message = opening
                .take()
                .map_or_else(|| message.clone(), |opening| opening.before(&message));
            socket.send(Message::binary(message)).await?;
        }
        match socket.next().await.ok_or(LinkError::Closed)?? {
            // A relay says nothing before the hello, so there are no frames yet.
            Message::Binary(bytes) => drop(face.receive(&session.take(&bytes)?.bytes)?),
            Message::Text(_) => return Err(LinkError::Text),
            Message::Close(_) => return Err(LinkError::Closed),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
    Ok(Opened {
        socket,
        meter,
        session,
        face,
    })
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(16 << 10)
        .write_buffer_size(16 << 10)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
}

/// What a conversation waits for.
enum Event {
    Message(Option<Result<Message, WebSocketError>>),
    Flushed(Result<(), WebSocketError>),
    Commands(Vec<Command>),
    Relief(Box<Result<(Socket, Meter), LinkError>>, u32),
}

/// A connection that is to take over, and its load.
type Relief<'a> = (
    Pin<Box<dyn Future<Output = Result<(Socket, Meter), LinkError>> + Send + 'a>>,
    u32,
);

/// The conversation with one relay, over one connection after the other.
struct Talk<'a> {
    link: LinkId,
    sink: SplitSink<Socket, Message>,
    stream: SplitStream<Socket>,
    meter: Meter,
    session: Session,
    face: FaceClient,
    events: &'a mpsc::Sender<Input>,
    channels: Channels,
    is_flushed: bool,
    /// The connection is lost, and another is under way.
    is_stranded: bool,
    /// The relay has said nothing on this connection yet.
    is_boarding: bool,
    /// The relay has more than this connection may carry.
    has_more: bool,
    told: Used,
}

impl<'a> Talk<'a> {
    fn new(link: LinkId, opened: Opened, channels: Channels, events: &'a mpsc::Sender<Input>) -> Self {
        let (sink, stream) = opened.socket.split();
        let (is_stranded, is_boarding, has_more) = (false, false, false);
        Self {
            link,
            sink,
            stream,
            meter: opened.meter,
            session: opened.session,
            face: opened.face,
            events,
            channels,
            is_flushed: true,
            is_stranded,
            is_boarding,
            has_more,
            told: Used::default(),
        }
    }

    async fn run(mut self, id: [u8; 16], means: &Means, commands: &mut mpsc::UnboundedReceiver<Command>) -> LinkError {
        if let Some(keys) = self.face.keys().cloned() {
            let (link, keys, place) = (self.link, Some(keys), self.meter.place());
            self.report(Input::Open { link, keys, place }).await;
        }
        let mut relief: Option<Relief<'_>> = None;
        let error = loop {
            match self.turn(id, means, commands, &mut relief).await {
                Ok(()) => {}
                Err(error) if error.is_of_the_socket() && relief.is_some() => self.is_stranded = true,
                Err(error) => break error,
            }
            self.tell_used().await;
        };
        // A short goodbye; nobody has to hear it.
        let _ = timeout(GOODBYE, self.sink.close()).await;
        error
    }

    async fn turn<'t>(
        &mut self,
        id: [u8; 16],
        means: &'t Means,
        commands: &mut mpsc::UnboundedReceiver<Command>,
        relief: &mut Option<Relief<'t>>,
    ) -> Result<(), LinkError> {
        let mut taken = Vec::new();
        let has_socket = !self.is_stranded;
        let event = tokio::select! {
            message = self.stream.next(), if has_socket => Event::Message(message),
            flushed = self.sink.flush(), if has_socket && !self.is_flushed => Event::Flushed(flushed),
            _ = commands.recv_many(&mut taken, WRITE_COMMANDS), if self.is_flushed || !has_socket => Event::Commands(taken),
            (relieved, load_max) = arrival(relief) => Event::Relief(Box::new(relieved), load_max),
        };
        match event {
            Event::Message(message) => self.take(message.ok_or(LinkError::Closed)??).await,
            Event::Flushed(flushed) => {
                flushed?;
                self.is_flushed = true;
                self.write_next().await
            }
            Event::Commands(commands) if commands.is_empty() => Err(LinkError::Unwanted),
            Event::Commands(commands) => self.obey(commands, means, relief).await,
            Event::Relief(relieved, load_max) => {
                *relief = None;
                self.relieved(id, *relieved, load_max).await
            }
        }
    }

    /// Goes over to the new connection, or reports that there is none.
    async fn relieved(
        &mut self,
        id: [u8; 16],
        relieved: Result<(Socket, Meter), LinkError>,
        load_max: u32,
    ) -> Result<(), LinkError> {
        let (socket, meter) = match relieved {
            Ok(relieved) => relieved,
            Err(error) if self.is_stranded => return Err(error),
            Err(error) => {
                if let Some(why) = error.missed() {
                    self.report(Input::Missed { link: self.link, why }).await;
                }
                let why = error.lost();
                self.report(Input::NotRelieved { link: self.link, why }).await;
                return Ok(());
            }
        };
        // The old connection is dropped without a goodbye: that would end the session (SES-6).
        (self.sink, self.stream) = socket.split();
        (self.meter, self.told, self.has_more) = (meter, Used::default(), false);
        (self.is_stranded, self.is_boarding, self.is_flushed) = (false, true, false);
        self.session.board(load_max);
        let message = self.session.next(MESSAGE_BYTES).unwrap_or_default();
        let first = Opening { id, load_max }.before(&message);
        self.sink.feed(Message::binary(first)).await?;
        Ok(())
    }

    async fn take(&mut self, message: Message) -> Result<(), LinkError> {
        match message {
            Message::Binary(bytes) => self.hear(&bytes).await,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {
                // The library has queued the pong; a flush sends it.
                self.is_flushed = false;
                self.report(Input::Heard { link: self.link }).await;
                Ok(())
            }
            Message::Close(_) => Err(LinkError::Closed),
            Message::Text(_) => Err(LinkError::Text),
        }
    }

    async fn hear(&mut self, message: &[u8]) -> Result<(), LinkError> {
        let came = self.session.take(message)?;
        self.has_more |= came.has_more;
        if std::mem::take(&mut self.is_boarding) {
            self.report(Input::Relieved { link: self.link }).await;
        }
        let messages = self.face.receive(&came.bytes)?;
        let mut is_told = false;
        for message in messages {
            let frames = self.pass_on(FromRelay::decode_all(&message)?).await;
            let link = self.link;
            if !frames.is_empty() {
                is_told = true;
                self.report(Input::Frames { link, frames }).await;
            }
        }
        if !is_told {
            self.report(Input::Heard { link: self.link }).await;
        }
        self.write_next().await
    }

    /// Gives the channels what is theirs. Out: the rest.
    async fn pass_on(&self, frames: Vec<FromRelay>) -> Vec<FromRelay> {
        let mut rest = Vec::with_capacity(frames.len());
        for frame in frames {
            match frame {
                FromRelay::Forward(tell) => self.channels.take(tell).await,
                other => rest.push(other),
            }
        }
        rest
    }

    /// Seals frames, several into one message, and begins to write them.
    async fn obey<'t>(
        &mut self,
        commands: Vec<Command>,
        means: &'t Means,
        relief: &mut Option<Relief<'t>>,
    ) -> Result<(), LinkError> {
        let mut message = Vec::new();
        for command in commands {
            match command {
                Command::Ping => self.session.ping(),
                Command::Relieve(truck) => {
                    let load_max = truck.load_max;
                    *relief = Some((Box::pin(async move { connect(&truck, means).await }), load_max));
                }
                Command::Send(frame) => frame.encode(&mut message),
            }
            if message.len() >= WRITE_BYTES {
                self.face.send(&std::mem::take(&mut message))?;
            }
        }
        if !message.is_empty() {
            self.face.send(&message)?;
        }
        self.session.push(&self.face.take_output());
        self.write_next().await
    }

    /// Begins to write the next piece, if the last one is out: more would block, and reading with it.
    async fn write_next(&mut self) -> Result<(), LinkError> {
        if self.is_flushed
            && !self.is_stranded
            && let Some(message) = self.session.next(MESSAGE_BYTES)
        {
            self.is_flushed = false;
            self.sink.feed(Message::binary(message)).await?;
        }
        Ok(())
    }

    /// Tells what the connection has used, while that may matter to anybody.
    async fn tell_used(&mut self) {
        let used = Used {
            is_full: self.has_more || self.session.is_full(),
            ..self.meter.used()
        };
        let is_news = used.is_full != self.told.is_full || used.packets >= self.told.packets.saturating_add(2);
        if is_news && !self.told.is_proven() {
            self.told = used;
            self.report(Input::Used { link: self.link, used }).await;
        }
    }

    async fn report(&self, input: Input) {
        // Nobody listens when everything ends; then the commands end too.
        let _ = self.events.send(input).await;
    }
}

/// Waits for the connection that is to take over; for ever where there is none.
async fn arrival(relief: &mut Option<Relief<'_>>) -> (Result<(Socket, Meter), LinkError>, u32) {
    match relief {
        Some((connecting, load_max)) => (connecting.as_mut().await, *load_max),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::http::Response;

    use super::*;

    #[test]
    fn a_front_whose_relay_is_away_is_asked_again_soon_rly_46() {
        let lost = |status: u16| {
            let answer = Response::builder().status(status).body(None).unwrap();
            LinkError::WebSocket(Box::new(WebSocketError::Http(answer.into()))).lost()
        };
        for status in [429, 500, 502, 503, 504] {
            assert_eq!(lost(status), Lost::Broken, "{status}");
        }
        for status in [200, 301, 400, 404] {
            assert_eq!(lost(status), Lost::WrongKeys, "{status}");
        }
    }
}
