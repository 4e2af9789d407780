//! A client of a relay that comes from an address of its own; WebSocket, session, face and frames are the real ones.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use stonechat_wire::face::FaceClient;
use stonechat_wire::frame::{FromRelay, ToRelay};
use stonechat_wire::route::{RelayRoute, relay_path};
use stonechat_wire::session::{Opening, Session};
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

use super::dump::{Dump, own};

pub struct Guest {
    /// Its session's id.
    pub id: [u8; 16],
    socket: WebSocket<TcpStream>,
    session: Session,
    opening: Option<Opening>,
    face: Box<FaceClient>,
    heard: VecDeque<FromRelay>,
}

impl Guest {
    /// Connects from there and says hello.
    pub fn from(address: Ipv4Addr, route: &RelayRoute) -> Self {
        let stream = connect(address, route.address.parse().unwrap());
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let path = relay_path(&route.relay, route.secret.as_ref()).to_text();
        let (socket, _) = client(format!("ws://{}/{path}", route.address), stream).unwrap();
        let (id, mut session) = (dice(), Session::default());
        session.board(0);
        let mut guest = Self {
            id,
            socket,
            session,
            opening: Some(Opening { id, load_max: 0 }),
            face: Box::new(FaceClient::asking(route.relay, dice())),
            heard: VecDeque::new(),
        };
        while !guest.face.is_open() {
            guest.flush();
            guest.take();
        }
        let secret = route.secret;
        guest.say(&ToRelay::Hello {
            version: 1,
            features: 0,
            secret,
        });
        assert!(matches!(guest.hear(), FromRelay::Hello { .. }));
        guest
    }

    pub fn say(&mut self, frame: &ToRelay) {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        self.face.send(&bytes).unwrap();
        self.flush();
    }

    pub fn hear(&mut self) -> FromRelay {
        loop {
            if let Some(frame) = self.heard.pop_front() {
                return frame;
            }
            self.take();
        }
    }

    /// Says goodbye.
    pub fn leave(mut self) {
        self.socket.close(None).unwrap();
        while self.socket.read().is_ok() {}
    }

    /// What its end of the session and the relay have both, and the relay had not before: keys, and what was told of them.
    /// Taken out of both memories, so that nothing here has to know how the face keeps its keys.
    pub fn shared_with(&self, before: &Dump, during: &Dump) -> Vec<[u8; 32]> {
        let face = own(std::ptr::from_ref(&*self.face).addr() as u64, size_of::<FaceClient>());
        let pointers = face.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
        let behind = pointers
            .filter(|place| (1 << 20..1 << 47).contains(place))
            .map(|place| own(place, 1024));
        let mut shared = Vec::new();
        for bytes in std::iter::once(face.clone()).chain(behind) {
            for window in bytes.windows(32).step_by(4) {
                let window: [u8; 32] = window.try_into().unwrap();
                if is_random(&window) && during.has(&window) && !before.has(&window) {
                    shared.push(window);
                }
            }
        }
        shared.sort_unstable();
        shared.dedup();
        shared
    }

    fn flush(&mut self) {
        self.session.push(&self.face.take_output());
        while let Some(message) = self.session.next(64 << 10) {
            let opening = self.opening.take();
            let message = opening.map_or_else(|| message.clone(), |opening| opening.before(&message));
            self.socket.send(Message::binary(message)).unwrap();
        }
    }

    fn take(&mut self) {
        if let Message::Binary(bytes) = self.socket.read().unwrap() {
            let bytes = self.session.take(&bytes).unwrap().bytes;
            for message in self.face.receive(&bytes).unwrap() {
                self.heard.extend(FromRelay::decode_all(&message).unwrap());
            }
        }
        self.flush();
    }
}

/// Random bytes.
pub fn dice<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

/// Keys have hardly a byte twice; counters and pointers have.
fn is_random(bytes: &[u8; 32]) -> bool {
    let mut sorted = *bytes;
    sorted.sort_unstable();
    sorted.chunk_by(|a, b| a == b).count() > 22
}

/// The standard library binds no socket that connects.
fn connect(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let connected = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        socket.connect(to).await?.into_std()
    });
    let stream = connected.unwrap();
    stream.set_nonblocking(false).unwrap();
    stream
}
