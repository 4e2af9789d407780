//! What the way sees of a connection: packets with data and bytes, both ways.
//!
//! In: reads and writes. Out: counts. Packets are reckoned from bytes, for the system does not tell them everywhere: a
//! read of several small packets at once counts as one, so a budget needs some slack.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::either::Either;

use super::channel::Channel;
use crate::courier::Used;

/// Bytes of data that one packet carries at most, on most ways.
const PACKET_BYTES: usize = 1448;

/// Reads the counts of one connection.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    counts: Arc<Counts>,
    place: Option<SocketAddr>,
}

#[derive(Debug, Default)]
struct Counts {
    packets: AtomicU32,
    bytes_in: AtomicU32,
    bytes_out: AtomicU32,
    /// What is counted here counts there too.
    onto: OnceLock<Arc<Self>>,
}

impl Meter {
    /// The number at the other end.
    pub const fn place(&self) -> Option<SocketAddr> {
        self.place
    }

    /// What has been used so far.
    pub fn used(&self) -> Used {
        let bytes_in = self.counts.bytes_in.load(Ordering::Relaxed);
        Used {
            packets: self.counts.packets.load(Ordering::Relaxed),
            bytes: bytes_in.max(self.counts.bytes_out.load(Ordering::Relaxed)),
            is_full: false,
        }
    }

    /// So many bytes came, and are not seen by [`Metered`].
    pub(super) fn came(&self, size: usize) {
        self.count(|counts| &counts.bytes_in, size);
    }

    /// So many went.
    pub(super) fn went(&self, size: usize) {
        self.count(|counts| &counts.bytes_out, size);
    }

    /// From now on, and with what was counted so far, that meter counts this connection too: both carry one socket.
    pub(super) fn count_onto(&self, other: &Self) {
        let _ = self.counts.onto.set(Arc::clone(&other.counts));
        let (own, other) = (&self.counts, &other.counts);
        let pairs = [
            (&own.packets, &other.packets),
            (&own.bytes_in, &other.bytes_in),
            (&own.bytes_out, &other.bytes_out),
        ];
        for (so_far, sum) in pairs {
            add(sum, u64::from(so_far.load(Ordering::Relaxed)));
        }
    }

    fn count(&self, bytes: impl Fn(&Counts) -> &AtomicU32, size: usize) {
        let (size, packets) = (size as u64, size.div_ceil(PACKET_BYTES) as u64);
        for counts in std::iter::once(&self.counts).chain(self.counts.onto.get()) {
            add(bytes(counts), size);
            add(&counts.packets, packets);
        }
    }
}

/// Adds without going round: a connection that carried so much is long past every budget.
fn add(count: &AtomicU32, more: u64) {
    let sum = u64::from(count.load(Ordering::Relaxed)).saturating_add(more);
    count.store(u32::try_from(sum).unwrap_or(u32::MAX), Ordering::Relaxed);
}

/// A connection that is counted: TCP, or a channel through another relay.
#[derive(Debug)]
pub struct Metered {
    stream: Either<TcpStream, Channel>,
    meter: Meter,
}

impl Metered {
    pub(super) fn new(stream: TcpStream) -> (Self, Meter) {
        let place = stream.peer_addr().ok();
        Self::of(Either::Left(stream), place)
    }

    /// One that somebody else has led on: its other end is theirs.
    pub(super) fn led(stream: TcpStream) -> (Self, Meter) {
        Self::of(Either::Left(stream), None)
    }

    /// A channel leads to no number that is known here.
    pub(super) fn through(channel: Channel) -> (Self, Meter) {
        Self::of(Either::Right(channel), None)
    }

    fn of(stream: Either<TcpStream, Channel>, place: Option<SocketAddr>) -> (Self, Meter) {
        let meter = Meter {
            counts: Arc::default(),
            place,
        };
        let metered = Self {
            stream,
            meter: meter.clone(),
        };
        (metered, meter)
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.meter.came(buffer.filled().len().saturating_sub(before));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let size = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.meter.went(size);
        Poll::Ready(Ok(size))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let size = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, bytes))?;
        self.meter.went(size);
        Poll::Ready(Ok(size))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
