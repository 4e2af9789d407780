//! Channels: streams of bytes to other relays, through a relay that passes them on (FWD-1 to FWD-4).
//!
//! In: the id of the other relay; what the relay in between says of its channels. Out: a stream that is read and written as
//! a TCP connection is, and frames for the connection that carries it. Which relay helps with which is the courier's.
//! Invariant: a channel whose carrying session has ended neither ends nor goes on: the session inside it is not over, and
//! goes on over another way (FWD-10).

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use stonechat_wire::frame::forward::{ForwardAsk, ForwardTell, PASS_BYTES_MAX, Passed, WINDOW_BYTES};
use stonechat_wire::frame::{Refusal, ToRelay};
use stonechat_wire::ids::RelayId;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{mpsc, oneshot};

use super::ws::Command;

/// What came for a channel and was not read yet, in pieces of at most [`PASS_BYTES_MAX`] bytes: then the connection that
/// carries it is read no further.
pub const PIECES_MAX: usize = 16;

/// A channel to be opened: through whom, and to whom.
#[derive(Clone, Debug)]
pub struct Through {
    /// The channels of the relay that passes on.
    pub channels: Channels,
    /// The relay that is to be reached.
    pub relay: RelayId,
}

/// The channels of one session with a relay.
#[derive(Clone, Debug)]
pub struct Channels {
    /// Not held open by channels: a connection that is not wanted any more ends nevertheless.
    commands: mpsc::WeakUnboundedSender<Command>,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    newest: u32,
    all: BTreeMap<u32, Ends>,
}

/// What the session keeps of a channel.
#[derive(Debug)]
struct Ends {
    opened: Option<oneshot::Sender<Result<(), Refusal>>>,
    pieces: mpsc::Sender<Vec<u8>>,
    flow: Arc<Mutex<Flow>>,
}

/// What a channel's both ends know of it.
#[derive(Debug, Default)]
struct Flow {
    /// Bytes that the other relay has not taken yet; at most [`WINDOW_BYTES`] (FWD-3).
    under_way: usize,
    is_shut: bool,
    waker: Option<Waker>,
}

/// The relay in between does not know the other one, or does not reach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not passed on to that relay")]
struct NotPassedOn;

/// Whether an error says that the relay in between does not know the other one, or does not reach it.
pub fn is_not_passed_on(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<NotPassedOn>())
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Channels {
    /// None yet; their frames go where that connection's commands go.
    pub fn new(commands: &mpsc::UnboundedSender<Command>) -> Self {
        Self {
            commands: commands.downgrade(),
            known: Arc::default(),
        }
    }

    /// Reaches a relay. Waits for as long as the relay in between takes for it: limits are the caller's.
    pub async fn open(&self, relay: RelayId) -> io::Result<Channel> {
        let (opened, opens) = oneshot::channel();
        let (pieces, inbox) = mpsc::channel(PIECES_MAX);
        let flow = Arc::<Mutex<Flow>>::default();
        let number = {
            let mut known = lock(&self.known);
            known.newest = known.newest.saturating_add(1);
            let ends = Ends {
                opened: Some(opened),
                pieces,
                flow: Arc::clone(&flow),
            };
            let number = known.newest;
            known.all.insert(number, ends);
            number
        };
        let channel = Channel {
            number,
            channels: self.clone(),
            inbox,
            piece: Vec::new(),
            read: 0,
            flow,
        };
        if !self.say(ForwardAsk::Open { channel: number, relay }) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        match opens.await {
            Ok(Ok(())) => Ok(channel),
            Ok(Err(Refusal::NotHere)) => Err(io::Error::other(NotPassedOn)),
            Ok(Err(_)) | Err(_) => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }

    /// Takes what the relay says of a channel; nothing of one that has ended. Waits while its reader has enough.
    pub(super) async fn take(&self, tell: ForwardTell) {
        match tell {
            ForwardTell::Open { channel } => self.with(channel, |ends| ends.answer(Ok(()))),
            ForwardTell::Took { channel, bytes } => self.with(channel, |ends| ends.took(bytes)),
            ForwardTell::Pass(Passed { channel, bytes }) => {
                let pieces = lock(&self.known).all.get(&channel).map(|ends| ends.pieces.clone());
                if let Some(pieces) = pieces {
                    // A reader that is gone has shut the channel.
                    let _ = pieces.send(bytes).await;
                }
            }
            ForwardTell::Shut { channel, why } => {
                let ends = lock(&self.known).all.remove(&channel);
                ends.into_iter().for_each(|mut ends| ends.shut(why));
            }
        }
    }

    fn with(&self, channel: u32, change: impl FnOnce(&mut Ends)) {
        if let Some(ends) = lock(&self.known).all.get_mut(&channel) {
            change(ends);
        }
    }

    /// Out: whether there is still a connection to say it on.
    fn say(&self, ask: ForwardAsk) -> bool {
        let commands = self.commands.upgrade();
        commands.is_some_and(|commands| commands.send(Command::Send(ToRelay::Forward(ask))).is_ok())
    }
}

impl Ends {
    fn answer(&mut self, answer: Result<(), Refusal>) {
        // Whoever asked may have gone.
        self.opened.take().map(|opened| opened.send(answer));
    }

    fn took(&self, bytes: u32) {
        let mut flow = lock(&self.flow);
        flow.under_way = flow.under_way.saturating_sub(bytes as usize);
        flow.waker.take().into_iter().for_each(Waker::wake);
    }

    fn shut(&mut self, why: Refusal) {
        self.answer(Err(why));
        let mut flow = lock(&self.flow);
        flow.is_shut = true;
        flow.waker.take().into_iter().for_each(Waker::wake);
    }
}

/// One channel, as a stream.
pub struct Channel {
    number: u32,
    channels: Channels,
    inbox: mpsc::Receiver<Vec<u8>>,
    /// The piece that is being read, and how much of it was.
    piece: Vec<u8>,
    read: usize,
    flow: Arc<Mutex<Flow>>,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channel({})", self.number)
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        if lock(&self.channels.known).all.remove(&self.number).is_some() {
            self.channels.say(ForwardAsk::Shut { channel: self.number });
        }
    }
}

impl AsyncRead for Channel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.read >= self.piece.len() {
            match ready!(self.inbox.poll_recv(context)) {
                Some(piece) => (self.piece, self.read) = (piece, 0),
                None if lock(&self.flow).is_shut => return Poll::Ready(Ok(())),
                None => return Poll::Pending,
            }
        }
        let left = self.piece.get(self.read..).unwrap_or_default();
        let some = left.get(..buffer.remaining().min(left.len())).unwrap_or_default();
        buffer.put_slice(some);
        self.read += some.len();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Channel {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut flow = lock(&self.flow);
        if flow.is_shut {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = WINDOW_BYTES.saturating_sub(flow.under_way).min(PASS_BYTES_MAX);
        let some = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        let passed = Passed {
            channel: self.number,
            bytes: some.to_vec(),
        };
        if room == 0 || !self.channels.say(ForwardAsk::Pass(passed)) {
            flow.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        flow.under_way += some.len();
        Poll::Ready(Ok(some.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    const RELAY: RelayId = RelayId::from_bytes([7; 16]);
    const MOMENT: Duration = Duration::from_millis(50);

    struct Bench {
        commands: mpsc::UnboundedSender<Command>,
        said: mpsc::UnboundedReceiver<Command>,
        channels: Channels,
    }

    impl Bench {
        fn new() -> Self {
            let (commands, said) = mpsc::unbounded_channel();
            let channels = Channels::new(&commands);
            Self {
                commands,
                said,
                channels,
            }
        }

        async fn opened(&mut self) -> Channel {
            let channels = self.channels.clone();
            let opening = tokio::spawn(async move { channels.open(RELAY).await });
            let ForwardAsk::Open { channel, relay: RELAY } = self.asked().await else {
                panic!("no channel was asked for");
            };
            self.channels.take(ForwardTell::Open { channel }).await;
            opening.await.unwrap().unwrap()
        }

        async fn asked(&mut self) -> ForwardAsk {
            match timeout(MOMENT, self.said.recv()).await {
                Ok(Some(Command::Send(ToRelay::Forward(ask)))) => ask,
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn no_more_is_under_way_than_the_window_fwd_3() {
        let mut bench = Bench::new();
        let mut channel = bench.opened().await;
        let bytes = vec![3; WINDOW_BYTES + 100];
        assert!(timeout(MOMENT, channel.write_all(&bytes)).await.is_err(), "it waits");
        let ForwardAsk::Pass(passed) = bench.asked().await else {
            panic!()
        };
        assert_eq!(passed.bytes.len(), WINDOW_BYTES);
        assert!(timeout(MOMENT, channel.write(&[1])).await.is_err());
        let took = ForwardTell::Took { channel: 1, bytes: 10 };
        bench.channels.take(took).await;
        assert_eq!(channel.write(&[1; 100]).await.unwrap(), 10);
    }

    #[tokio::test]
    async fn what_nobody_reads_stops_the_connection_that_carries_it_fwd_3() {
        let mut bench = Bench::new();
        let mut channel = bench.opened().await;
        let pass = |n: u8| {
            let (channel, bytes) = (1, vec![n; 1000]);
            ForwardTell::Pass(Passed { channel, bytes })
        };
        for n in 0..PIECES_MAX {
            bench.channels.take(pass(n as u8)).await;
        }
        assert!(timeout(MOMENT, bench.channels.take(pass(99))).await.is_err());
        let mut came = [0; 1001];
        channel.read_exact(&mut came).await.unwrap();
        assert_eq!((came[999], came[1000]), (0, 1), "in order");
        timeout(MOMENT, bench.channels.take(pass(99))).await.unwrap();
        drop(channel);
        assert_eq!(bench.asked().await, ForwardAsk::Shut { channel: 1 });
        timeout(MOMENT, bench.channels.take(pass(99))).await.unwrap();
    }

    #[tokio::test]
    async fn one_that_is_shut_ends_and_one_whose_carrier_ends_does_not_fwd_10() {
        let mut bench = Bench::new();
        let (mut shut, mut left) = (bench.opened().await, bench.opened().await);
        let why = Refusal::NotHere;
        bench.channels.take(ForwardTell::Shut { channel: 1, why }).await;
        assert_eq!(shut.read(&mut [0; 9]).await.unwrap(), 0);
        assert!(shut.write(&[1]).await.is_err());
        drop(bench.commands);
        assert!(timeout(MOMENT, left.read(&mut [0; 9])).await.is_err());
        assert!(timeout(MOMENT, left.write(&[1])).await.is_err());
        assert!(bench.channels.open(RELAY).await.is_err());
    }

    #[tokio::test]
    async fn a_relay_that_is_not_known_there_is_told_from_other_reasons_fwd_9() {
        for (why, is_so) in [(Refusal::NotHere, true), (Refusal::Limit, false)] {
            let mut bench = Bench::new();
            let channels = bench.channels.clone();
            let opening = tokio::spawn(async move { channels.open(RELAY).await });
            bench.asked().await;
            bench.channels.take(ForwardTell::Shut { channel: 1, why }).await;
            let error = opening.await.unwrap().unwrap_err();
            assert_eq!(is_not_passed_on(&error), is_so);
        }
    }
}
