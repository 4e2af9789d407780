//! The WebSocket carrier: TCP (inside TLS where the address says so), HTTP/1.1 upgrade, and the face inside binary
//! messages.
//!
//! In: an address, the relay's pin or keys, frames. Out: frames, or why there is no connection. One task per
//! connection; it ends when its commands end, and reports nothing after that.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use stonechat_wire::address::split;
use stonechat_wire::face::{FaceClient, FaceError};
use stonechat_wire::frame::{FrameError, FromRelay, ToRelay};
use stonechat_wire::ids::RelayId;
use stonechat_wire::route::RelayKeys;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Error as WebSocketError, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::outer::{Outer, Trust, reach};
use crate::courier::{Input, LinkId, Lost};

/// Time until the TCP connection, and TLS in it, stands.
pub const CONNECT_MAX: Duration = Duration::from_secs(10);
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

/// What the courier wants on a connection. Dropping the sender closes it.
#[derive(Debug)]
pub enum Command {
    /// Send this frame.
    Send(ToRelay),
    /// Ask for a sign of life.
    Ping,
}

/// Where to, and what for.
#[derive(Debug)]
pub struct Dial {
    /// The courier's name for it.
    pub link: LinkId,
    /// `host:port`, or `https://host:port`.
    pub address: String,
    /// Whose keys must answer.
    pub relay: RelayId,
    /// The keys, where known.
    pub keys: Option<RelayKeys>,
    /// For the handshake, used once.
    pub dice: [u8; 32],
    /// Whose certificates are believed.
    pub trust: Trust,
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

impl LinkError {
    /// What the courier makes of it.
    pub const fn lost(&self) -> Lost {
        match self {
            Self::Face(FaceError::WrongKeys | FaceError::Handshake) => Lost::WrongKeys,
            Self::Face(_) | Self::Frame(_) | Self::Text => Lost::Malformed,
            Self::Unreachable(_) | Self::Slow | Self::WebSocket(_) | Self::Closed | Self::Unwanted => Lost::Broken,
        }
    }
}

/// Dials, reports [`Input::Open`], carries frames both ways, and reports [`Input::Lost`] at the end.
pub async fn carry(dial: Dial, mut commands: mpsc::UnboundedReceiver<Command>, events: mpsc::Sender<Input>) {
    let link = dial.link;
    let opened = tokio::select! {
        opened = open(dial) => opened,
        // Nothing is said before it is open: this is the end of the commands.
        _ = commands.recv() => Err(LinkError::Unwanted),
    };
    let error = match opened {
        Ok((socket, face)) => Talk::new(link, socket, face, &events).run(&mut commands).await,
        Err(error) => error,
    };
    tracing::debug!(%error, "a link ended");
    if !matches!(error, LinkError::Unwanted) {
        // Nobody listens when everything ends.
        let _ = events
            .send(Input::Lost {
                link,
                why: error.lost(),
            })
            .await;
    }
}

type Socket = WebSocketStream<Outer>;

/// TCP, TLS, upgrade, face.
pub async fn open(dial: Dial) -> Result<(Socket, FaceClient), LinkError> {
    let connecting = timeout(CONNECT_MAX, reach(&dial.address, &dial.trust)).await;
    let stream = connecting.map_err(|_| LinkError::Slow)??;
    timeout(HANDSHAKE_MAX, shake_hands(stream, dial))
        .await
        .map_err(|_| LinkError::Slow)?
}

async fn shake_hands(stream: Outer, dial: Dial) -> Result<(Socket, FaceClient), LinkError> {
    let url = format!("ws://{}/relay", split(&dial.address).1);
    let (mut socket, _) = client_async_with_config(url, stream, Some(config())).await?;
    let mut face = match dial.keys {
        Some(keys) => FaceClient::new(&keys, dial.dice)?,
        None => FaceClient::asking(dial.relay, dial.dice),
    };
    while !face.is_open() {
        let bytes = face.take_output();
        if !bytes.is_empty() {
            socket.send(Message::binary(bytes)).await?;
        }
        match socket.next().await.ok_or(LinkError::Closed)?? {
            // A relay says nothing before the hello, so there are no messages yet.
            Message::Binary(bytes) => drop(face.receive(&bytes)?),
            Message::Text(_) => return Err(LinkError::Text),
            Message::Close(_) => return Err(LinkError::Closed),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
    Ok((socket, face))
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
}

/// The conversation with one relay.
struct Talk<'a> {
    link: LinkId,
    sink: SplitSink<Socket, Message>,
    stream: SplitStream<Socket>,
    face: FaceClient,
    events: &'a mpsc::Sender<Input>,
    /// What is to be written after the piece that is being written.
    unsent: VecDeque<Message>,
    is_flushed: bool,
}

impl<'a> Talk<'a> {
    fn new(link: LinkId, socket: Socket, face: FaceClient, events: &'a mpsc::Sender<Input>) -> Self {
        let (sink, stream) = socket.split();
        Self {
            link,
            sink,
            stream,
            face,
            events,
            unsent: VecDeque::new(),
            is_flushed: true,
        }
    }

    async fn run(mut self, commands: &mut mpsc::UnboundedReceiver<Command>) -> LinkError {
        if let Some(keys) = self.face.keys().cloned() {
            self.report(Input::Open { link: self.link, keys }).await;
        }
        let error = loop {
            if let Err(error) = self.turn(commands).await {
                break error;
            }
        };
        // A short goodbye; nobody has to hear it.
        let _ = timeout(GOODBYE, self.sink.close()).await;
        error
    }

    async fn turn(&mut self, commands: &mut mpsc::UnboundedReceiver<Command>) -> Result<(), LinkError> {
        let mut taken = Vec::new();
        let event = tokio::select! {
            message = self.stream.next() => Event::Message(message),
            flushed = self.sink.flush(), if !self.is_flushed => Event::Flushed(flushed),
            _ = commands.recv_many(&mut taken, WRITE_COMMANDS), if self.is_flushed => Event::Commands(taken),
        };
        match event {
            Event::Message(message) => self.take(message.ok_or(LinkError::Closed)??).await,
            Event::Flushed(flushed) => {
                flushed?;
                self.is_flushed = true;
                self.write_next().await
            }
            Event::Commands(commands) if commands.is_empty() => Err(LinkError::Unwanted),
            Event::Commands(commands) => self.obey(commands).await,
        }
    }

    async fn take(&mut self, message: Message) -> Result<(), LinkError> {
        match message {
            Message::Binary(bytes) => {
                for message in self.face.receive(&bytes)? {
                    let frames = FromRelay::decode_all(&message)?;
                    self.report(Input::Frames {
                        link: self.link,
                        frames,
                    })
                    .await;
                }
                Ok(())
            }
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

    /// Seals frames, several into one message, and begins to write them.
    async fn obey(&mut self, commands: Vec<Command>) -> Result<(), LinkError> {
        let mut message = Vec::new();
        for command in commands {
            match command {
                Command::Ping => self.unsent.push_back(Message::Ping(Bytes::new())),
                Command::Send(frame) => frame.encode(&mut message),
            }
            if message.len() >= WRITE_BYTES {
                self.face.send(&std::mem::take(&mut message))?;
            }
        }
        if !message.is_empty() {
            self.face.send(&message)?;
        }
        let mut bytes = Bytes::from(self.face.take_output());
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(MESSAGE_BYTES));
            self.unsent.push_back(Message::Binary(piece));
        }
        self.write_next().await
    }

    /// Begins to write the next piece, if the last one is out: more would block, and reading with it.
    async fn write_next(&mut self) -> Result<(), LinkError> {
        if self.is_flushed
            && let Some(message) = self.unsent.pop_front()
        {
            self.is_flushed = false;
            self.sink.feed(message).await?;
        }
        Ok(())
    }

    async fn report(&self, input: Input) {
        // Nobody listens when everything ends; then the commands end too.
        let _ = self.events.send(input).await;
    }
}
