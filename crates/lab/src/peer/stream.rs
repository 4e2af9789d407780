//! A stream: sixty bytes each twenty milliseconds both ways, over one connection at a time, whether or not the last ones came.
//! So much is speech at 24 kbit/s: it shows what a call over such a connection would meet.
//!
//! In: the host the client runs in. Out: when each piece was due and when it came. Both ends are threads of one process, so
//! they have one clock. What was due while there was no connection is lost, as in a call.

use std::collections::HashMap;
use std::io;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rand_core::{Rng as _, SeedableRng as _};

use super::echo::{Kind, Means, Stream, accept, connect, listen};
use super::{Outcome, STREAM_BYTES, Work};
use crate::router::Router;

/// Silence after which a connection is given up.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Pause before a new one.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
/// How long one look at what came may take.
const LOOK: Duration = Duration::from_millis(3);

/// Who says a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The client, or Ana.
    One,
    /// The server, or Bo.
    Other,
}

impl End {
    pub(super) const fn other(self) -> Self {
        match self {
            Self::One => Self::Other,
            Self::Other => Self::One,
        }
    }
}

/// One piece: bytes that look random.
pub(super) type Piece = [u8; STREAM_BYTES];

/// What is said and what came of it, both ways.
#[derive(Debug)]
pub(super) struct Score {
    began: Instant,
    work: Work,
    one: Part,
    other: Part,
}

/// One direction.
#[derive(Debug)]
struct Part {
    pieces: Vec<Piece>,
    numbers: HashMap<Piece, usize>,
    came: Mutex<Vec<Option<Instant>>>,
}

impl Part {
    fn new(count: usize, seed: u64) -> Self {
        let mut dice = rand_chacha::ChaCha20Rng::seed_from_u64(seed);
        let piece = |_| {
            let mut piece = [0; STREAM_BYTES];
            dice.fill_bytes(&mut piece);
            piece
        };
        let pieces: Vec<Piece> = (0..count).map(piece).collect();
        let numbers = pieces.iter().copied().zip(0..).collect();
        let came = Mutex::new(vec![None; count]);
        Self { pieces, numbers, came }
    }

    fn came(&self) -> Vec<Option<Instant>> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Score {
    /// The work begins.
    pub(super) fn new(work: Work) -> Self {
        Self {
            began: Instant::now(),
            work,
            one: Part::new(work.texts, 1),
            other: Part::new(work.texts, 2),
        }
    }

    const fn part(&self, end: End) -> &Part {
        match end {
            End::One => &self.one,
            End::Other => &self.other,
        }
    }

    pub(super) fn due(&self, number: usize) -> Instant {
        self.work.due(self.began, number)
    }

    /// The first that is due from now on.
    pub(super) fn next(&self) -> usize {
        let pace_us = self.work.pace.as_micros().max(1);
        usize::try_from(self.began.elapsed().as_micros() / pace_us + 1).unwrap_or(usize::MAX)
    }

    /// What an end says as its `number`th; nothing after the last.
    pub(super) fn piece(&self, end: End, number: usize) -> Option<Piece> {
        self.part(end).pieces.get(number).copied()
    }

    pub(super) fn end(&self) -> Instant {
        self.work.end(self.began)
    }

    /// A piece of that end has come.
    pub(super) fn came(&self, from: End, piece: &[u8]) {
        let part = self.part(from);
        let number = Piece::try_from(piece)
            .ok()
            .and_then(|piece| part.numbers.get(&piece).copied());
        let mut came = part.came.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(came) = number.and_then(|number| came.get_mut(number)) {
            came.get_or_insert_with(Instant::now);
        }
    }

    /// Both directions, one behind the other.
    pub(super) fn outcome(&self) -> Outcome {
        let both = [self.one.came(), self.other.came()];
        let pieces = both.iter().flat_map(|came| came.iter().enumerate());
        let texts = pieces.map(|(number, came)| {
            let due = self.due(number);
            (due - self.began, came.map(|came| came.saturating_duration_since(due)))
        });
        Outcome {
            texts: texts.collect(),
            doubled: 0,
            gap_max: both.iter().map(|came| self.gap_max(came)).max(),
            read: 0,
        }
    }

    /// The longest time in which nothing came, from the first due to the last.
    fn gap_max(&self, came: &[Option<Instant>]) -> Duration {
        let last = self.due(self.work.texts.saturating_sub(1));
        let mut times: Vec<Instant> = came.iter().flatten().copied().chain([self.began, last]).collect();
        times.sort_unstable();
        let gaps = times.windows(2).map(|two| two[1] - two[0]);
        gaps.max().unwrap_or_default()
    }
}

/// Runs one of the simple peers with it.
pub fn run(router: &Router, kind: Kind, work: Work) -> Outcome {
    let (means, is_over) = (Means::make(router, kind), Arc::new(AtomicBool::new(false)));
    let score = Arc::new(Score::new(work));
    let (heard, its_means) = (Arc::clone(&score), means.clone());
    let server = listen(router, kind, Arc::clone(&is_over), move |stream| {
        let socket = stream.try_clone()?;
        hold(accept(stream, kind, &its_means)?, &socket, End::Other, &heard)
    });
    let said = Arc::clone(&score);
    let client = router.host("ana").run(move || {
        while Instant::now() < said.end() {
            // Whatever ends it: the next one.
            let _ = connect(kind, &means).and_then(|(stream, socket)| hold(stream, &socket, End::One, &said));
            sleep(PAUSE);
        }
    });
    client.join().unwrap();
    is_over.store(true, Ordering::Relaxed);
    server.join().unwrap();
    score.outcome()
}

/// Says what is due and takes what comes, until all is over or nothing comes any more.
fn hold(mut stream: Box<dyn Stream>, socket: &TcpStream, end: End, score: &Score) -> io::Result<()> {
    let mut inbox = Vec::new();
    // The handshake is part of the first step, and may take its time.
    match end {
        End::One => {
            let piece = score.piece(end, score.next()).unwrap_or([0; STREAM_BYTES]);
            stream.write_all(&piece)?;
            stream.flush()?;
        }
        End::Other => read_some(stream.as_mut(), &mut inbox)?,
    }
    socket.set_read_timeout(Some(LOOK))?;
    let (mut next, mut heard) = (score.next(), Instant::now());
    while Instant::now() < score.end() && heard.elapsed() < SILENCE_MAX {
        while score.due(next) <= Instant::now()
            && let Some(piece) = score.piece(end, next)
        {
            stream.write_all(&piece)?;
            stream.flush()?;
            next += 1;
        }
        let before = inbox.len();
        read_some(stream.as_mut(), &mut inbox)?;
        if inbox.len() > before {
            heard = Instant::now();
        }
        let whole = inbox.len() / STREAM_BYTES * STREAM_BYTES;
        let pieces: Vec<u8> = inbox.drain(..whole).collect();
        pieces
            .chunks(STREAM_BYTES)
            .for_each(|piece| score.came(end.other(), piece));
    }
    Ok(())
}

/// Reads what there is; nothing is no error.
fn read_some(stream: &mut dyn Stream, inbox: &mut Vec<u8>) -> io::Result<()> {
    let mut some = [0; 4096];
    match stream.read(&mut some) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(count) => {
            inbox.extend_from_slice(&some[..count]);
            Ok(())
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::Load;

    #[test]
    fn what_came_and_what_did_not_are_told_of_each_direction() {
        let work = Work {
            load: Load::Stream,
            texts: 3,
            pace: Duration::from_millis(20),
            patience: Duration::ZERO,
        };
        let score = Score::new(work);
        score.came(End::One, &score.piece(End::One, 0).unwrap());
        score.came(End::Other, &score.piece(End::One, 1).unwrap());
        score.came(End::Other, &[0; 7]);
        let outcome = score.outcome();
        let came: Vec<bool> = outcome.texts.iter().map(|(_, came)| came.is_some()).collect();
        assert_eq!(
            came,
            [true, false, false, false, false, false],
            "what is not its own is nothing"
        );
        assert_eq!(outcome.texts[4].0, Duration::from_millis(20));
        assert_eq!(
            outcome.gap_max,
            Some(Duration::from_millis(40)),
            "of the other nothing came at all"
        );
        assert_eq!(score.piece(End::One, 3), None);
    }
}
