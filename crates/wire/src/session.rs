//! Sessions: one ordered stream of bytes over connections that may die under it, one after the other.
//!
//! In: bytes to send, messages that came. Out: messages to send, bytes in order. A connection is a disposable truck: each
//! message says where in the stream it begins and how much of the other's stream has come, so that the next connection
//! goes on where the last one got to. What is in the stream is the face's; when to change trucks is the courier's.
//! Specified in `docs/protocol/03-relay.md` (SES).

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, Write};

/// Flags, place of the first byte, bytes received (SES-2).
pub const HEADER: usize = 17;
/// Session id and load before a client's first message on a connection (SES-1).
pub const OPENING: usize = 20;
/// So many bytes that came are confirmed even when there is nothing to say (SES-4).
pub const CONFIRM_BYTES: u64 = 32 << 10;
/// More waits than this connection may carry (SES-5).
const MORE: u8 = 1;
/// Wants an answer (SES-4).
const PING: u8 = 2;

/// Why a message is none. The session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// Too short.
    #[error("a message of no session: {0}")]
    Malformed(#[from] DecodeError),
    /// It begins behind what has come.
    #[error("a gap in the stream")]
    Gap,
    /// It confirms what was never sent.
    #[error("more is confirmed than was sent")]
    NeverSent,
}

/// What a client says first on each connection (SES-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Which session: 16 random bytes of the client's.
    pub id: [u8; 16],
    /// Most bytes of the stream that the relay may send on this connection; 0: any number (SES-5).
    pub load_max: u32,
}

impl Opening {
    /// Puts it before the connection's first message.
    pub fn before(&self, message: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(message.len().saturating_add(OPENING));
        bytes.put(&self.id);
        bytes.put(&self.load_max.to_be_bytes());
        bytes.put(message);
        bytes
    }

    /// Takes it off again. Out: it, and the message.
    pub fn split(bytes: &[u8]) -> Result<(Self, &[u8]), SessionError> {
        let mut reader = Reader::new(bytes);
        let opening = Self {
            id: reader.array()?,
            load_max: reader.u32()?,
        };
        Ok((opening, reader.rest()))
    }
}

/// Whether a client's first message begins a session rather than going on with one (SES-3).
pub fn is_beginning(message: &[u8]) -> bool {
    Head::read(message).is_ok_and(|(head, _)| head.begins_at == 0 && head.received == 0)
}

/// What came in a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Came {
    /// The stream goes on with these bytes.
    pub bytes: Vec<u8>,
    /// The other side has more than this connection may carry.
    pub has_more: bool,
}

/// One side of a session.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// Sent or to be sent, not confirmed.
    unconfirmed: VecDeque<u8>,
    /// Place in the stream of the first of them.
    base: u64,
    /// How many of them were sent on this connection.
    sent: usize,
    /// How much more may be sent on it.
    load_left: Option<usize>,
    received: u64,
    told: u64,
    /// A message is due even if there is nothing in it.
    owes: bool,
    pings: bool,
    has_told_more: bool,
}

impl Session {
    /// Adds bytes to the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.unconfirmed.extend(bytes);
    }

    /// A new connection takes over, which may carry `load_max` bytes of the stream (0: any number). What is not
    /// confirmed is sent again.
    pub fn board(&mut self, load_max: u32) {
        self.board_request(load_max);
        self.owes = true;
    }

    /// The same where the connection is a request that waits for its one answer: none is due before there is something to
    /// say (RLY-47).
    pub fn board_request(&mut self, load_max: u32) {
        self.sent = 0;
        self.load_left = (load_max > 0).then(|| usize::try_from(load_max).unwrap_or(usize::MAX));
        self.has_told_more = false;
    }

    /// A message is due, even if there is nothing in it.
    pub const fn owe(&mut self) {
        self.owes = true;
    }

    /// Whether something is to be said that does not wait for a connection's next occasion: new bytes, or a question.
    pub fn is_pressed(&self) -> bool {
        self.has_unsent() || self.pings || self.owes
    }

    /// Asks the other side for a sign of life.
    pub const fn ping(&mut self) {
        self.pings = true;
    }

    /// The next message, with at most so many bytes of the stream; nothing when nothing is to be said.
    pub fn next(&mut self, bytes_max: usize) -> Option<Vec<u8>> {
        let unsent = self.unconfirmed.len().saturating_sub(self.sent);
        let size = unsent.min(bytes_max).min(self.load_left.unwrap_or(usize::MAX));
        self.load_left = self.load_left.map(|left| left.saturating_sub(size));
        let tells_more = self.load_left == Some(0) && unsent > size && !self.has_told_more;
        let confirms = self.received.saturating_sub(self.told) >= CONFIRM_BYTES;
        if size == 0 && !self.owes && !self.pings && !tells_more && !confirms {
            return None;
        }
        let flags = if tells_more { MORE } else { 0 } | if self.pings { PING } else { 0 };
        let mut message = Vec::with_capacity(size.saturating_add(HEADER));
        message.push(flags);
        let begins_at = self.base.saturating_add(self.sent as u64);
        message.put(&begins_at.to_be_bytes());
        message.put(&self.received.to_be_bytes());
        message.extend(self.unconfirmed.iter().skip(self.sent).take(size));
        self.sent = self.sent.saturating_add(size);
        self.told = self.received;
        self.has_told_more |= tells_more;
        (self.owes, self.pings) = (false, false);
        Some(message)
    }

    /// Takes a message as it came; what came before is skipped. After an error the session is over.
    pub fn take(&mut self, message: &[u8]) -> Result<Came, SessionError> {
        let (head, bytes) = Head::read(message)?;
        let known = self.received.checked_sub(head.begins_at).ok_or(SessionError::Gap)?;
        self.confirmed(head.received)?;
        let known = usize::try_from(known).unwrap_or(usize::MAX).min(bytes.len());
        let fresh = bytes.get(known..).unwrap_or_default();
        self.received = self.received.saturating_add(fresh.len() as u64);
        self.owes |= head.flags & PING != 0;
        Ok(Came {
            bytes: fresh.to_vec(),
            has_more: head.flags & MORE != 0,
        })
    }

    fn confirmed(&mut self, up_to: u64) -> Result<(), SessionError> {
        // An older message than the last says less: nothing to do.
        let count = usize::try_from(up_to.saturating_sub(self.base)).unwrap_or(usize::MAX);
        if count > self.unconfirmed.len() {
            return Err(SessionError::NeverSent);
        }
        self.unconfirmed.drain(..count);
        if self.unconfirmed.is_empty() {
            self.unconfirmed.shrink_to(256);
        }
        self.base = self.base.saturating_add(count as u64);
        self.sent = self.sent.saturating_sub(count);
        Ok(())
    }

    /// Whether bytes wait that this connection may still carry.
    pub fn has_unsent(&self) -> bool {
        self.unconfirmed.len() > self.sent && self.load_left != Some(0)
    }

    /// Whether bytes wait that this connection may not carry.
    pub fn is_full(&self) -> bool {
        self.unconfirmed.len() > self.sent && self.load_left == Some(0)
    }

    /// Place in the stream up to which everything has come to the other side.
    pub const fn confirmed_to(&self) -> u64 {
        self.base
    }

    /// Place in the stream behind what was pushed last.
    pub fn end(&self) -> u64 {
        self.base.saturating_add(self.unconfirmed.len() as u64)
    }
}

struct Head {
    flags: u8,
    begins_at: u64,
    received: u64,
}

impl Head {
    fn read(message: &[u8]) -> Result<(Self, &[u8]), DecodeError> {
        let mut reader = Reader::new(message);
        let head = Self {
            flags: reader.u8()?,
            begins_at: reader.u64()?,
            received: reader.u64()?,
        };
        Ok((head, reader.rest()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    /// A session that has sent nothing, on a connection without a limit.
    fn fresh(load_max: u32) -> Session {
        let mut session = Session::default();
        session.board(load_max);
        session
    }

    fn all(session: &mut Session) -> Vec<Vec<u8>> {
        core::iter::from_fn(|| session.next(usize::MAX)).collect()
    }

    #[test]
    fn a_first_message_says_which_session_and_how_much_may_come_back_ses_1() {
        let opening = Opening {
            id: [7; 16],
            load_max: 0x0102,
        };
        let bytes = opening.before(b"rest");
        assert_eq!(bytes, [&[7; 16][..], &[0, 0, 1, 2], b"rest"].concat());
        assert_eq!(Opening::split(&bytes), Ok((opening, &b"rest"[..])));
        assert!(Opening::split(&bytes[..19]).is_err());
    }

    #[test]
    fn a_message_says_where_it_begins_and_what_has_come_ses_2() {
        let mut session = fresh(0);
        session.take(&[&[0; 17][..], b"abc"].concat()).unwrap();
        session.push(b"hi");
        let first = session.next(1).unwrap();
        assert_eq!(
            first,
            [&[0][..], &0_u64.to_be_bytes(), &3_u64.to_be_bytes(), b"h"].concat()
        );
        let second = session.next(9).unwrap();
        assert_eq!(
            second,
            [&[0][..], &1_u64.to_be_bytes(), &3_u64.to_be_bytes(), b"i"].concat()
        );
        assert_eq!(session.next(9), None, "nothing to say");
    }

    #[test]
    fn the_next_connection_goes_on_where_the_last_got_to_ses_3() {
        let (mut ana, mut bo) = (fresh(0), fresh(0));
        ana.push(b"one two three");
        let first = ana.next(4).unwrap();
        assert!(is_beginning(&first));
        assert_eq!(bo.take(&first).unwrap().bytes, b"one ");
        let _lost = ana.next(4).unwrap();
        ana.board(0);
        bo.board(0);
        ana.take(&bo.next(9).unwrap()).unwrap();
        let rest = ana.next(99).unwrap();
        assert!(!is_beginning(&rest));
        assert_eq!(bo.take(&rest).unwrap().bytes, b"two three");
        assert_eq!(bo.take(&rest).unwrap().bytes, b"", "once");
        assert_eq!(bo.take(&first).unwrap().bytes, b"", "what is old is skipped");
    }

    #[test]
    fn what_makes_no_sense_ends_the_session_ses_3() {
        let head = |begins_at: u64, received: u64| {
            [&[0][..], &begins_at.to_be_bytes(), &received.to_be_bytes(), b"x"].concat()
        };
        assert_eq!(fresh(0).take(&head(1, 0)), Err(SessionError::Gap));
        assert_eq!(fresh(0).take(&head(0, 1)), Err(SessionError::NeverSent));
        assert!(matches!(
            fresh(0).take(&head(0, 0)[..16]),
            Err(SessionError::Malformed(_))
        ));
    }

    #[test]
    fn a_ping_is_answered_and_much_that_came_is_confirmed_ses_4() {
        let (mut ana, mut bo) = (fresh(0), fresh(0));
        all(&mut ana);
        all(&mut bo);
        ana.ping();
        let ping = ana.next(9).unwrap();
        bo.take(&ping).unwrap();
        assert_eq!(all(&mut bo).len(), 1, "an answer");
        ana.push(&vec![0; 40 << 10]);
        bo.take(&ana.next(31 << 10).unwrap()).unwrap();
        assert_eq!(bo.next(9), None);
        bo.take(&ana.next(2 << 10).unwrap()).unwrap();
        let confirmation = bo.next(9).unwrap();
        assert_eq!(confirmation.len(), HEADER);
        ana.take(&confirmation).unwrap();
        assert_eq!((ana.confirmed_to(), ana.end()), (33 << 10, 40 << 10));
    }

    #[test]
    fn a_request_is_answered_when_there_is_something_to_say_rly_47() {
        let (mut ana, mut bo) = (fresh(0), fresh(0));
        let nothing = all(&mut ana).remove(0);
        bo.take(&nothing).unwrap();
        all(&mut bo);
        bo.board_request(0);
        assert_eq!(bo.next(99), None, "it waits");
        bo.push(b"hi");
        assert_eq!(bo.next(99).unwrap().len(), HEADER + 2);
        bo.board_request(0);
        assert_eq!(bo.next(99).unwrap().len(), HEADER + 2, "not confirmed: said again");
        bo.owe();
        assert_eq!(bo.next(0).unwrap().len(), HEADER, "its time is over");
        assert!(!ana.is_pressed());
        ana.ping();
        assert!(ana.is_pressed());
        all(&mut ana);
        ana.push(b"x");
        assert!(ana.is_pressed() && ana.next(0).is_none());
    }

    #[test]
    fn a_connection_carries_its_load_and_says_that_more_waits_ses_5() {
        let (mut ana, mut bo) = (fresh(5), fresh(0));
        ana.push(b"123456789");
        let messages = all(&mut ana);
        assert_eq!(messages.len(), 1);
        let came = bo.take(&messages[0]).unwrap();
        assert_eq!((came.bytes.as_slice(), came.has_more), (&b"12345"[..], true));
        assert!(ana.is_full() && !ana.has_unsent());
        ana.push(b"0");
        assert_eq!(all(&mut ana).len(), 0, "said once");
        ana.board(0);
        assert_eq!(bo.take(&ana.next(99).unwrap()).unwrap().bytes, b"67890");
    }

    #[test]
    fn what_waits_after_the_load_is_told_too_ses_5() {
        let mut ana = fresh(5);
        ana.push(b"12345");
        assert_eq!(all(&mut ana)[0][0], 0, "nothing waits");
        ana.push(b"6");
        let told = all(&mut ana);
        assert_eq!((told.len(), told[0].len(), told[0][0]), (1, HEADER, 1));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_err_ses_2(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = fresh(0).take(&bytes);
            let _ = Opening::split(&bytes);
        }

        /// Connections that die anywhere lose and double nothing.
        #[test]
        fn a_stream_survives_its_connections_ses_3(cuts in proptest::collection::vec((1_usize..40, 0_usize..4, 0_u32..60), 1..40)) {
            let text: Vec<u8> = (0..=255).cycle().take(600).collect();
            let (mut ana, mut bo, mut came) = (fresh(0), fresh(0), Vec::new());
            ana.push(&text);
            for (size, arriving, load) in cuts {
                ana.board(load);
                bo.board(0);
                ana.take(&bo.next(0).unwrap()).unwrap();
                for _ in 0..arriving {
                    let Some(message) = ana.next(size) else { break };
                    came.extend(bo.take(&message).unwrap().bytes);
                }
                let _lost = ana.next(size);
            }
            ana.board(0);
            bo.board(0);
            ana.take(&bo.next(0).unwrap()).unwrap();
            for message in all(&mut ana) {
                came.extend(bo.take(&message).unwrap().bytes);
            }
            prop_assert_eq!(came, text);
        }
    }
}
