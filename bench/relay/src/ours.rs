//! The relay: as a process, and a client of it that blocks. WebSocket, Noise and frames are the real ones.

use anyhow::{Context as _, Result, bail};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use stonechat_relay::forgetful::wipe_stack;
use stonechat_relay::{AccessChoice, Config, CoverChoice, Limits};
use stonechat_wire::envelope::Envelope;
use stonechat_wire::face::FaceClient;
use stonechat_wire::frame::{FromRelay, PutItem, ToRelay};
use stonechat_wire::ids::{EnvelopeId, Tag, Token};
use stonechat_wire::route::{RelayRoute, relay_path};
use stonechat_wire::session::{Opening, Session};
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

use crate::load::{Batch, Putter, Work};
use crate::process::{Server, free_address};

/// How long the envelopes live.
const TTL_S: u32 = 30 * 24 * 3600;
const ROUTE: &str = "route";
/// Longest message of the session.
const MESSAGE_BYTES: usize = 256 << 10;

/// Runs a relay until it is told to end. Its port comes in the environment, its route goes into a file.
pub(crate) fn serve(folder: &Path) -> Result<()> {
    let listen = std::env::var("BENCH_ADDRESS")?.parse()?;
    let config = Config {
        listen,
        also_listen: Vec::new(),
        data: folder.to_owned(),
        advertise: None,
        tls: None,
        acme: None,
        front: None,
        cover: CoverChoice::None,
        access: AccessChoice::Open,
        lan: false,
        bridge: None,
        near: None,
        forward: Vec::new(),
        metrics: None,
        // All clients come from one address here.
        limits: Limits {
            connections: 20_000,
            connections_per_address: 20_000,
            strangers_per_address: 512,
            subscriptions: 4_000_000,
            source_bytes_per_s: 1 << 40,
            source_bytes_max: 1 << 40,
            secret_bytes_per_day: 1 << 50,
            ..Limits::default()
        },
    };
    let route = folder.join(ROUTE);
    // As in the program that people run.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .on_thread_park(wipe_stack)
        .enable_all()
        .build()?;
    runtime.block_on(stonechat_relay::run(config, |running| {
        if let Err(error) = std::fs::write(route, running.route_text()) {
            eprintln!("{error}");
        }
    }))?;
    Ok(())
}

/// Starts a relay on a folder.
pub(crate) fn start(folder: &Path) -> Result<(Server, RelayRoute)> {
    std::fs::create_dir_all(folder)?;
    let _ = std::fs::remove_file(folder.join(ROUTE));
    let address = free_address()?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg("serve")
        .arg(folder)
        .env("BENCH_ADDRESS", address.to_string());
    let server = Server::start(&mut command, address)?;
    let text = loop {
        match std::fs::read_to_string(folder.join(ROUTE)) {
            Ok(text) if text.len() > 40 => break text,
            _ => std::thread::sleep(std::time::Duration::from_millis(1)),
        }
    };
    let route = RelayRoute::parse(text.trim()).ok().context("the relay's route")?;
    Ok((server, route))
}

/// A connection to a relay.
pub(crate) struct Client {
    socket: WebSocket<TcpStream>,
    session: Session,
    /// Said before the first message.
    opening: Option<Opening>,
    face: FaceClient,
    /// Frames that came and were not asked for yet.
    heard: std::collections::VecDeque<FromRelay>,
    request: u32,
}

impl Client {
    /// Connects and says hello.
    pub(crate) fn connect(address: SocketAddr, route: &RelayRoute, number: u64) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(std::time::Duration::from_secs(60)))?;
        let path = relay_path(&route.relay, route.secret.as_ref()).to_text();
        let (socket, _) = client(format!("ws://{address}/{path}"), stream)
            .ok()
            .context("the upgrade")?;
        let mut dice = [7; 32];
        for (to, from) in dice.iter_mut().zip(number.to_be_bytes()) {
            *to = from;
        }
        let (face, heard) = (FaceClient::asking(route.relay, dice), std::collections::VecDeque::new());
        let mut session = Session::default();
        session.board(0);
        let id = (u128::from(number) + 1).to_be_bytes();
        let mut client = Self {
            socket,
            session,
            opening: Some(Opening { id, load_max: 0 }),
            face,
            heard,
            request: 0,
        };
        while !client.face.is_open() {
            client.flush()?;
            client.take()?;
        }
        client.say(&ToRelay::Hello {
            version: 1,
            features: 0,
            secret: route.secret,
        })?;
        match client.hear()? {
            FromRelay::Hello { .. } => Ok(client),
            other => bail!("instead of a hello: {other:?}"),
        }
    }

    pub(crate) fn say(&mut self, frame: &ToRelay) -> Result<()> {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        self.say_bytes(&bytes)
    }

    pub(crate) fn say_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.face.send(bytes)?;
        self.flush()
    }

    pub(crate) fn hear(&mut self) -> Result<FromRelay> {
        loop {
            if let Some(frame) = self.heard.pop_front() {
                return Ok(frame);
            }
            self.take()?;
        }
    }

    /// All envelopes of a mailbox.
    pub(crate) fn fetch_all(&mut self, tag: Tag) -> Result<Vec<Vec<u8>>> {
        let (mut cursor, mut all) = (0, Vec::new());
        loop {
            self.request += 1;
            let (request, limit) = (self.request, 1024);
            self.say(&ToRelay::Fetch {
                request,
                tag,
                cursor,
                limit,
            })?;
            let FromRelay::Fetched { items, more, .. } = self.hear()? else {
                bail!("no answer to a fetch");
            };
            cursor = items.last().map_or(cursor, |last| last.0);
            all.extend(items.into_iter().map(|(_, bytes)| bytes));
            if !more {
                return Ok(all);
            }
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.session.push(&self.face.take_output());
        while let Some(message) = self.session.next(MESSAGE_BYTES) {
            let opening = self.opening.take();
            let message = opening.map_or_else(|| message.clone(), |opening| opening.before(&message));
            self.socket.send(Message::binary(message))?;
        }
        Ok(())
    }

    fn take(&mut self) -> Result<()> {
        if let Message::Binary(bytes) = self.socket.read()? {
            let bytes = self.session.take(&bytes)?.bytes;
            for message in self.face.receive(&bytes)? {
                self.heard.extend(FromRelay::decode_all(&message)?);
            }
        }
        // Confirms what came, where that is due: a relay keeps only so much that is not confirmed.
        self.flush()
    }
}

impl Putter for Client {
    fn prepare(&self, work: &[Work]) -> Batch {
        let items = work.iter().map(|work| PutItem {
            token: token(work.mailbox),
            ttl_s: TTL_S,
            envelope: envelope(work),
        });
        let put = ToRelay::Put {
            request: 1,
            items: items.collect(),
        };
        let mut bytes = Vec::new();
        put.encode(&mut bytes);
        Batch {
            bytes,
            count: work.len(),
        }
    }

    fn put(&mut self, batch: &Batch) -> Result<()> {
        self.say_bytes(&batch.bytes)?;
        let mut left = batch.count;
        while left > 0 {
            match self.hear()? {
                FromRelay::Stored { ids, .. } => left = left.saturating_sub(ids.len()),
                other => bail!("instead of stored: {other:?}"),
            }
        }
        Ok(())
    }
}

/// The right to put into a numbered mailbox.
pub(crate) fn token(mailbox: u32) -> Token {
    let mut bytes = [0x42; 32];
    for (to, from) in bytes.iter_mut().zip(mailbox.to_be_bytes()) {
        *to = from;
    }
    Token::from_bytes(bytes)
}

/// Bytes that look sealed, for a numbered mailbox.
pub(crate) fn envelope(work: &Work) -> Envelope {
    let mut bytes = vec![1];
    bytes.extend(token(work.mailbox).tag().as_bytes());
    bytes.extend(work.body.iter().skip(bytes.len()));
    Envelope::decode(bytes).expect("a body has the size of a bucket")
}

/// Its id.
pub(crate) fn id(work: &Work) -> EnvelopeId {
    envelope(work).id()
}
