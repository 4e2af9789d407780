//! The WebSocket carrier: TCP (inside TLS where the address says so), HTTP/1.1 upgrade, or a browser that does all of this, or
//! requests in its place; in its binary messages a session, and in that the face.
//!
//! In: an address, the relay's pin or keys, frames. Out: frames, or why there is no link. One task per link, which goes
//! over from one connection to the next when told to; it ends when its commands end, and reports nothing after that.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::Either;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use stonechat_wire::address::{Around, split};
use stonechat_wire::exchange::NamedBy;
use stonechat_wire::face::{FaceClient, FaceError};
use stonechat_wire::frame::{FrameError, FromRelay, ToRelay};
use stonechat_wire::ids::{DoorPath, RelayId};
use stonechat_wire::route::RelayKeys;
use stonechat_wire::session::{HEADER, Opening, Session, SessionError};
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
use super::poll::{POLL_BYTES_MAX, Polling, Redial, Turn};
use crate::courier::{Hello, Input, LinkId, Lost, Missed, Over, Used, WINDOW_MS, is_by_browser, may_poll};

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
    /// How the session's messages go.
    pub over: Over,
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
    /// The connection stood, and no WebSocket came about on it, or it ended before the face was open (TRK-10).
    #[error("no WebSocket passes: {0}")]
    NotUpgraded(Box<Self>),
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
    let is_never = matches!(
        status,
        StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED
    );
    (status.is_server_error() && !is_never) || status == StatusCode::TOO_MANY_REQUESTS
}

impl LinkError {
    /// What it is where a WebSocket was being made on a connection that stood. Who proved to be somebody else, or says that
    /// it has no time, is what it was.
    fn while_upgrading(self) -> Self {
        match &self {
            Self::Slow | Self::Closed | Self::Unreachable(_) => Self::NotUpgraded(Box::new(self)),
            Self::WebSocket(error) => match &**error {
                WebSocketError::Http(answer) if is_later(answer.status()) => self,
                _ => Self::NotUpgraded(Box::new(self)),
            },
            _ => self,
        }
    }

    /// What the courier makes of it.
    pub fn lost(&self) -> Lost {
        match self {
            Self::NotUpgraded(_) => Lost::NotUpgraded,
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
            Self::NotUpgraded(error) => return error.missed(),
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

/// A WebSocket of ours, one that a browser holds, or requests.
type Socket = Either<WebSocketStream<Outer>, Either<Line, Polling>>;

/// What goes before a session's messages on one connection.
#[derive(Debug)]
pub struct Saying {
    opening: Opening,
    is_opened: bool,
    /// Where each message is a request: when the next may begin, and how much of the stream may still go each way, where
    /// that is counted.
    polls: Option<(Turn, Option<Left>)>,
}

/// Bytes of the stream.
#[derive(Clone, Copy, Debug)]
struct Left {
    out: usize,
    back: usize,
}

impl Saying {
    fn new(id: [u8; 16], load_max: u32, turn: Option<Turn>) -> Self {
        let bytes = usize::try_from(load_max).unwrap_or(usize::MAX);
        let left = (load_max > 0).then_some(Left {
            out: bytes,
            back: bytes,
        });
        Self {
            opening: Opening { id, load_max },
            is_opened: false,
            polls: turn.map(|turn| (turn, left)),
        }
    }

    /// Begins on it with a session.
    fn board(&self, session: &mut Session) {
        session.board(self.opening.load_max);
        if self.polls.is_some() {
            // A request waits for its answer, and this one shall not.
            session.ping();
        }
    }

    /// The next message, with what stands before it; nothing where nothing is to be said, or it is not its turn.
    fn next(&mut self, session: &mut Session) -> Option<Vec<u8>> {
        let Some((turn, left)) = &mut self.polls else {
            let message = session.next(MESSAGE_BYTES)?;
            let is_first = !std::mem::replace(&mut self.is_opened, true);
            return Some(if is_first {
                self.opening.before(&message)
            } else {
                message
            });
        };
        let is_spent = left.is_some_and(|left| left.back == 0);
        if is_spent || !turn.is_on(session.is_pressed()) {
            return None;
        }
        // Each request goes on with the session as another connection does: what is not confirmed is said again.
        session.board_request(0);
        session.owe();
        let message = session.next(left.map_or(POLL_BYTES_MAX, |left| left.out.min(POLL_BYTES_MAX)))?;
        let mut opening = self.opening;
        if let Some(left) = left {
            opening.load_max = u32::try_from(left.back).unwrap_or(u32::MAX);
            left.out = left.out.saturating_sub(message.len().saturating_sub(HEADER));
        }
        Some(opening.before(&message))
    }

    /// A message came.
    fn came(&mut self, message: &[u8]) {
        if let Some((_, Some(left))) = &mut self.polls {
            left.back = left.back.saturating_sub(message.len().saturating_sub(HEADER));
        }
    }

    /// Whether it may carry no more.
    fn is_full(&self) -> bool {
        matches!(&self.polls, Some((_, Some(left))) if left.back == 0 || left.out == 0)
    }
}

/// A link whose face is open.
#[derive(Debug)]
pub struct Opened {
    /// The connection.
    pub socket: Socket,
    /// What it has used so far.
    pub meter: Meter,
    /// What goes before its messages.
    pub saying: Saying,
    /// The session on it.
    pub session: Session,
    /// The face in the session.
    pub face: FaceClient,
}

/// TCP, TLS, upgrade, face.
pub async fn open(dial: Dial) -> Result<Opened, LinkError> {
    let connected = connect(&dial.truck, &dial.means).await?;
    let upgrades = upgrades(&dial.truck);
    let shaking_hands = timeout(HANDSHAKE_MAX, shake_hands(connected, dial)).await;
    let opened = shaking_hands.map_err(|_| LinkError::Slow).flatten();
    opened.map_err(|error| if upgrades { error.while_upgrading() } else { error })
}

/// Whether a connection is made into a WebSocket that could be requests instead.
fn upgrades(truck: &Truck) -> bool {
    truck.over == Over::WebSocket && may_poll(&truck.address)
}

/// A connection that is ready for messages.
struct Connected {
    socket: Socket,
    meter: Meter,
    /// Where it is requests: whose turn it is.
    turn: Option<Turn>,
}

/// TCP, TLS, upgrade.
async fn connect(truck: &Truck, means: &Means) -> Result<Connected, LinkError> {
    let place = format!("{}/{}", split(&truck.address).1, truck.path.to_text());
    if is_by_browser(&truck.address) {
        let (line, meter) = means.dialer.connect(&format!("wss://{place}")).await?;
        let socket = Either::Right(Either::Left(line));
        return Ok(Connected {
            socket,
            meter,
            turn: None,
        });
    }
    let (stream, meter) = reach(truck, means).await?;
    if truck.over == Over::Requests {
        return Ok(polling(truck, means, stream, meter));
    }
    let upgrading = timeout(
        HANDSHAKE_MAX,
        client_async_with_config(format!("ws://{place}"), stream, Some(config())),
    )
    .await;
    let upgraded = upgrading.map_err(|_| LinkError::Slow).and_then(|done| Ok(done?));
    let (socket, _) = upgraded.map_err(|error| {
        if upgrades(truck) {
            error.while_upgrading()
        } else {
            error
        }
    })?;
    let socket = Either::Left(socket);
    Ok(Connected {
        socket,
        meter,
        turn: None,
    })
}

/// TCP and TLS, or a channel and TLS.
async fn reach(truck: &Truck, means: &Means) -> Result<(Outer, Meter), LinkError> {
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
    Ok(connecting.map_err(|_| LinkError::Slow)??)
}

/// Requests on a connection that stands, and on another one where that is needed.
fn polling(truck: &Truck, means: &Means, stream: Outer, meter: Meter) -> Connected {
    let head = format!(
        "POST /{} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/octet-stream\r\nContent-Length: ",
        truck.path.to_text(),
        split(&truck.address).1,
    );
    let (again, means, counts) = (truck.clone(), means.clone(), meter.clone());
    let redial: Redial = Box::new(move || {
        let (truck, means, counts) = (again.clone(), means.clone(), counts.clone());
        Box::pin(async move {
            let (stream, meter) = reach_saying(truck.hello, &truck.address, &means).await?;
            meter.count_onto(&counts);
            Ok(stream)
        })
    });
    // Handshakes with a name are counted (TRK-5); others are nobody's concern.
    let pace = match split(&truck.address).0 {
        Around::Tls => Duration::from_millis(WINDOW_MS),
        Around::Plain => Duration::ZERO,
    };
    let (polling, turn) = Polling::begin(stream, redial, pace, head);
    let socket = Either::Right(Either::Right(polling));
    Connected {
        socket,
        meter,
        turn: Some(turn),
    }
}

async fn shake_hands(connected: Connected, dial: Dial) -> Result<Opened, LinkError> {
    let Connected {
        mut socket,
        meter,
        turn,
    } = connected;
    let mut face = match dial.keys {
        Some(keys) => FaceClient::new(&keys, dial.dice)?,
        None => FaceClient::asking(dial.relay, dial.dice),
    };
    let mut saying = Saying::new(dial.session, dial.truck.load_max, turn);
    let mut session = Session::default();
    saying.board(&mut session);
    while !face.is_open() {
        session.push(&face.take_output());
        while let Some(message) = saying.next(&mut session) {
            socket.send(Message::binary(message)).await?;
        }
        match socket.next().await.ok_or(LinkError::Closed)?? {
            // A relay says nothing before the hello, so there are no frames yet.
            Message::Binary(bytes) => {
                saying.came(&bytes);
                drop(face.receive(&session.take(&bytes)?.bytes)?);
            }
            Message::Text(_) => return Err(LinkError::Text),
            Message::Close(_) => return Err(LinkError::Closed),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
    Ok(Opened {
        socket,
        meter,
        saying,
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
    Relief(Box<Result<Connected, LinkError>>, u32),
}

/// A connection that is to take over, and its load.
type Relief<'a> = (
    Pin<Box<dyn Future<Output = Result<Connected, LinkError>> + Send + 'a>>,
    u32,
);

/// The conversation with one relay, over one connection after the other.
struct Talk<'a> {
    link: LinkId,
    sink: SplitSink<Socket, Message>,
    stream: SplitStream<Socket>,
    meter: Meter,
    saying: Saying,
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
            saying: opened.saying,
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
        relieved: Result<Connected, LinkError>,
        load_max: u32,
    ) -> Result<(), LinkError> {
        let Connected { socket, meter, turn } = match relieved {
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
        self.saying = Saying::new(id, load_max, turn);
        self.saying.board(&mut self.session);
        let first = self.saying.next(&mut self.session).unwrap_or_default();
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
        self.saying.came(message);
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
            && let Some(message) = self.saying.next(&mut self.session)
        {
            self.is_flushed = false;
            self.sink.feed(Message::binary(message)).await?;
        }
        Ok(())
    }

    /// Tells what the connection has used, while that may matter to anybody.
    async fn tell_used(&mut self) {
        let used = Used {
            is_full: self.has_more || self.session.is_full() || self.saying.is_full(),
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
async fn arrival(relief: &mut Option<Relief<'_>>) -> (Result<Connected, LinkError>, u32) {
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
        for status in [200, 301, 400, 404, 501] {
            assert_eq!(lost(status), Lost::WrongKeys, "{status}");
        }
    }

    #[test]
    fn where_no_websocket_came_about_on_a_connection_that_stood_is_told_trk_10() {
        let http = |status: u16| {
            let answer = Response::builder().status(status).body(None).unwrap();
            LinkError::WebSocket(Box::new(WebSocketError::Http(answer.into())))
        };
        let reset = || LinkError::Unreachable(io::ErrorKind::ConnectionReset.into());
        for error in [
            http(400),
            http(404),
            http(501),
            LinkError::Slow,
            LinkError::Closed,
            reset(),
        ] {
            let missed = error.missed();
            let error = error.while_upgrading();
            assert_eq!((error.lost(), error.missed()), (Lost::NotUpgraded, missed));
        }
        for error in [http(502), LinkError::Face(FaceError::WrongKeys), LinkError::Text] {
            let lost = error.lost();
            assert_eq!(error.while_upgrading().lost(), lost);
        }
    }
}
