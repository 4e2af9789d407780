//! The stream through a relay: two ends, connected as the transport connects, say each piece in an ephemeral envelope
//! (RLY-9), which the relay passes on to the other and keeps nowhere.
//!
//! In: a running [`Router`] and the program. Out: when each piece was due and when it came. There are no calls yet: this is
//! no part of the messenger, and has no courier. A connection on which nothing comes for five seconds is opened again a
//! second later, wherever a courier would know better.

use std::sync::Arc;
use std::time::Instant;

use futures_util::{SinkExt as _, StreamExt as _};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use stonechat_transport::carrier::outer::Trust;
use stonechat_transport::carrier::ws::{Dial, Opened, Truck, open};
use stonechat_transport::courier::{Hello, LinkId, Over};
use stonechat_wire::address::ways;
use stonechat_wire::envelope::{Content, Envelope, EnvelopeKey, open as unseal, seal};
use stonechat_wire::exchange::NamedBy;
use stonechat_wire::frame::{FromRelay, ToRelay, VERSION};
use stonechat_wire::ids::Token;
use stonechat_wire::route::{RelayRoute, relay_path};
use tokio::time::{sleep, sleep_until, timeout, timeout_at};
use tokio_tungstenite::tungstenite::Message;

use super::echo::OWN_NAME;
use super::ours::{Face, TlsFiles, start_relay};
use super::stream::{End, PAUSE, SILENCE_MAX, Score};
use super::{OWN_ADDRESS, Outcome, Work};
use crate::router::Router;

/// After so many pieces a sign of life is asked for: the other end may have none.
const PING_EVERY: usize = 100;

/// Runs both ends.
pub fn run(router: &Router, program: &std::path::Path, work: Work) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let tls = TlsFiles::make(folder.path());
    let at = ("hosting", OWN_ADDRESS, OWN_NAME);
    let (_relay, route) = start_relay(router, program, Face::Tls, &tls, at, &folder.path().join("relay"));
    let route = RelayRoute::parse(&route).unwrap();
    let trust = Trust::only(vec![CertificateDer::from_pem_file(&tls.cert).unwrap()]);
    let score = Arc::new(Score::new(work));
    let ends = [("ana", End::One), ("bo", End::Other)].map(|(host, end)| {
        let (score, route, trust) = (Arc::clone(&score), route.clone(), trust.clone());
        router.host(host).run(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(talk(&score, end, &route, &trust));
        })
    });
    ends.into_iter().for_each(|end| end.join().unwrap());
    score.outcome()
}

/// One connection after the other.
async fn talk(score: &Score, end: End, route: &RelayRoute, trust: &Trust) {
    for attempt in 0.. {
        let line = async {
            let mut line = Line::open(end, attempt, route, trust).await?;
            line.greet(route.secret).await?;
            line.hold(score).await
        };
        // Whatever ends it: the next one.
        if timeout_at(score.end().into(), line).await.is_err() {
            return;
        }
        sleep(PAUSE).await;
    }
}

/// What an end's mailbox is put with.
const fn token(of: End) -> Token {
    match of {
        End::One => Token::from_bytes([1; 32]),
        End::Other => Token::from_bytes([2; 32]),
    }
}

fn key() -> EnvelopeKey {
    EnvelopeKey::new([3; 32])
}

struct Line {
    end: End,
    opened: Opened,
}

impl Line {
    async fn open(end: End, attempt: u64, route: &RelayRoute, trust: &Trust) -> anyhow::Result<Self> {
        // Nothing is secret here, and nothing is used twice.
        let mut dice = [end as u8; 32];
        dice[..8].copy_from_slice(&attempt.to_be_bytes());
        let session = *dice.first_chunk::<16>().unwrap();
        let truck = Truck {
            address: ways(&route.address)[0].clone(),
            path: relay_path(&route.relay, route.secret.as_ref()),
            load_max: 0,
            hello: Hello::Whole,
            over: Over::WebSocket,
            through: None,
        };
        let (link, relay, keys, by) = (LinkId(1), route.relay, None, NamedBy::Person);
        let means = trust.clone().into();
        let dial = Dial {
            link,
            relay,
            keys,
            dice,
            session,
            truck,
            means,
            by,
        };
        Ok(Self {
            end,
            opened: open(dial).await?,
        })
    }

    async fn greet(&mut self, secret: Option<[u8; 16]>) -> anyhow::Result<()> {
        let (version, features) = (VERSION, 0);
        self.say(&[
            ToRelay::Hello {
                version,
                features,
                secret,
            },
            ToRelay::Subscribe {
                add: vec![(token(self.end).tag(), 0)],
                drop: Vec::new(),
            },
        ])
        .await
    }

    async fn say(&mut self, frames: &[ToRelay]) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| frame.encode(&mut bytes));
        if !bytes.is_empty() {
            self.opened.face.send(&bytes)?;
        }
        self.opened.session.push(&self.opened.face.take_output());
        while let Some(message) = self.opened.session.next(usize::MAX) {
            // Where nothing gets through the system takes no more after a while.
            timeout(SILENCE_MAX, self.opened.socket.send(Message::binary(message))).await??;
        }
        Ok(())
    }

    /// Says what is due and takes what comes, until nothing comes any more.
    async fn hold(&mut self, score: &Score) -> anyhow::Result<()> {
        let (mut next, mut heard) = (score.next(), Instant::now());
        while heard.elapsed() < SILENCE_MAX {
            tokio::select! {
                () = sleep_until(score.due(next).into()) => {
                    if next % PING_EVERY == 0 {
                        self.opened.session.ping();
                    }
                    let frame = score.piece(self.end, next).map(|piece| self.wrap(next, &piece)).transpose()?;
                    self.say(frame.as_slice()).await?;
                    next += 1;
                }
                message = self.opened.socket.next() => {
                    if let Message::Binary(bytes) = message.ok_or_else(|| anyhow::anyhow!("closed"))?? {
                        heard = Instant::now();
                        self.take(&bytes, score)?;
                        self.say(&[]).await?;
                    }
                }
            }
        }
        Ok(())
    }

    fn wrap(&self, number: usize, piece: &[u8]) -> anyhow::Result<ToRelay> {
        let token = token(self.end.other());
        let mut seed = [self.end as u8; 16];
        seed[..8].copy_from_slice(&(number as u64).to_be_bytes());
        let envelope = seal(&key(), token.tag(), seed, piece)?;
        Ok(ToRelay::Ephemeral { token, envelope })
    }

    fn take(&mut self, message: &[u8], score: &Score) -> anyhow::Result<()> {
        let came = self.opened.session.take(message)?;
        for message in self.opened.face.receive(&came.bytes)? {
            for frame in FromRelay::decode_all(&message)? {
                if let FromRelay::Ephemeral { envelope, .. } = frame
                    && let Content::Whole(piece) = unseal(&key(), &Envelope::decode(envelope)?)?
                {
                    score.came(self.end.other(), &piece);
                }
            }
        }
        Ok(())
    }
}
