//! Pages by hand, and lines over them.

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::sync::mpsc::UnboundedReceiver;

use super::*;

const URL: &str = "wss://a.example:443/path";

/// A page and what it was told.
struct Hand {
    page: PageLine,
    told: UnboundedReceiver<Vec<u8>>,
}

impl Hand {
    fn at(dialer: &Dialer) -> Self {
        let (page, told) = dialer.attach().expect("room for a page");
        Self { page, told }
    }

    /// The next that it is told: kind, line, the rest.
    async fn told(&mut self) -> (u8, u32, Vec<u8>) {
        let message = self.told.recv().await.unwrap();
        let line = u32::from_be_bytes(message[1..5].try_into().unwrap());
        (message[0], line, message[5..].to_vec())
    }

    async fn says(&self, kind: Kind, line: u32, rest: &[u8]) -> Result<(), Misfit> {
        self.page.hear(&kind.message(line, rest)).await
    }

    /// A line that it has opened.
    async fn line(&mut self, dialer: &Dialer) -> (Line, u32) {
        let opening = dialer.connect(URL);
        let open = async {
            let (kind, line, rest) = self.told().await;
            assert_eq!((kind, rest.as_slice()), (1, URL.as_bytes()));
            self.says(Kind::Open, line, &[]).await.unwrap();
            line
        };
        let (opened, number) = tokio::join!(opening, open);
        (opened.unwrap().0, number)
    }
}

#[tokio::test]
async fn messages_go_both_ways_as_they_are_dial_4() {
    let dialer = Dialer::default();
    let mut hand = Hand::at(&dialer);
    let (mut line, number) = hand.line(&dialer).await;
    hand.says(Kind::Data, number, b"from the relay").await.unwrap();
    assert_eq!(
        line.next().await.unwrap().unwrap(),
        Message::binary(&b"from the relay"[..])
    );
    line.feed(Message::binary(&b"to it"[..])).await.unwrap();
    assert_eq!(hand.told().await, (2, number, b"to it".to_vec()));
}

#[tokio::test]
async fn no_more_is_given_to_a_browser_than_it_sends_dial_5() {
    let dialer = Dialer::default();
    let mut hand = Hand::at(&dialer);
    let (mut line, number) = hand.line(&dialer).await;
    line.feed(Message::binary(vec![7; 100_000])).await.unwrap();
    assert_eq!(hand.told().await.0, 2);
    assert!(line.flush().now_or_never().is_none(), "it has not said what is left");
    assert_eq!(hand.told().await, (4, number, vec![]));
    hand.says(Kind::Left, number, &90_000_u32.to_be_bytes()).await.unwrap();
    assert!(
        line.feed(Message::binary(vec![8])).now_or_never().is_none(),
        "too much is left"
    );
    let flushing = async { line.flush().await.unwrap() };
    let asked = async {
        assert_eq!(hand.told().await, (4, number, vec![]), "asked again");
        hand.says(Kind::Left, number, &65_536_u32.to_be_bytes()).await.unwrap();
    };
    tokio::join!(flushing, asked);
    assert!(line.feed(Message::binary(vec![8])).now_or_never().is_some());
}

#[tokio::test]
async fn what_is_dropped_is_let_go_and_what_is_closed_says_goodbye_dial_7() {
    let dialer = Dialer::default();
    let mut hand = Hand::at(&dialer);
    let (line, number) = hand.line(&dialer).await;
    drop(line);
    assert_eq!(
        hand.told().await,
        (5, number, vec![]),
        "another connection carries the session"
    );
    let (mut line, number) = hand.line(&dialer).await;
    line.close().await.unwrap();
    drop(line);
    assert_eq!(hand.told().await, (3, number, vec![]));
}

#[tokio::test]
async fn a_line_ends_with_its_relay_and_with_its_page_dial_4() {
    let dialer = Dialer::default();
    let mut hand = Hand::at(&dialer);
    let (mut line, number) = hand.line(&dialer).await;
    hand.says(Kind::Data, number, b"last").await.unwrap();
    hand.says(Kind::Close, number, &[]).await.unwrap();
    assert!(line.next().await.unwrap().is_ok(), "what came before is read");
    assert!(line.next().await.unwrap().is_err());
    let (mut line, _) = hand.line(&dialer).await;
    line.feed(Message::binary(vec![1])).await.unwrap();
    drop(hand);
    assert!(line.flush().await.is_err());
    assert!(line.next().await.unwrap().is_err());
    assert!(dialer.connect(URL).await.is_err(), "nobody is there");
    assert!(!*dialer.is_there().borrow());
}

#[tokio::test]
async fn what_makes_no_sense_ends_a_page_dial_6() {
    let dialer = Dialer::default();
    let mut hand = Hand::at(&dialer);
    let (_line, number) = hand.line(&dialer).await;
    let long = Kind::Data.message(number, &vec![0; MESSAGE_BYTES_MAX + 1]);
    let odd = [
        &[][..],
        &[2],
        &[2, 0, 0, 0],
        &[0, 0, 0, 0, 1],
        &[5, 0, 0, 0, 1],
        &[9, 0, 0, 0, 1],
        &[1, 0, 0, 0, 1, 7],
        &[3, 0, 0, 0, 1, 7],
        &[4, 0, 0, 0, 1, 0, 0, 0],
        &long,
    ];
    for message in odd {
        assert_eq!(hand.page.hear(message).await, Err(Misfit), "{:?}", message.get(..8));
    }
    let whole = Kind::Data.message(number, &vec![0; MESSAGE_BYTES_MAX]);
    assert_eq!(hand.page.hear(&whole).await, Ok(()));
    assert_eq!(
        hand.says(Kind::Data, number + 1, b"of none").await,
        Ok(()),
        "it may be over"
    );
}

#[tokio::test]
async fn a_line_that_is_not_read_stops_its_page_dial_6() {
    let dialer = Dialer::default();
    let mut hand = Hand::at(&dialer);
    let (mut line, number) = hand.line(&dialer).await;
    for _ in 0..WAITING_MAX {
        hand.says(Kind::Data, number, b"x").await.unwrap();
    }
    assert!(hand.says(Kind::Data, number, b"x").now_or_never().is_none());
    line.next().await.unwrap().unwrap();
    assert!(hand.says(Kind::Data, number, b"x").now_or_never().is_some());
}

#[tokio::test]
async fn pages_and_lines_are_counted_dial_6() {
    let dialer = Dialer::default();
    let mut hands: Vec<_> = (0..PAGES_MAX).map(|_| Hand::at(&dialer)).collect();
    assert!(dialer.attach().is_none());
    let mut hand = hands.pop().unwrap();
    let mut lines = Vec::new();
    for _ in 0..LINES_MAX {
        lines.push(hand.line(&dialer).await.0);
    }
    assert!(dialer.connect(URL).await.is_err());
    lines.pop();
    assert_eq!(hand.told().await.0, 5);
    hand.line(&dialer).await;
}

#[tokio::test]
async fn a_page_that_sleeps_is_asked_after_one_that_is_awake_dial_6() {
    let dialer = Dialer::default();
    let (mut awake, mut asleep) = (Hand::at(&dialer), Hand::at(&dialer));
    let failed = dialer.connect_within(Duration::from_millis(50), URL).await.unwrap_err();
    assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
    assert_eq!(asleep.told().await.0, 1);
    assert_eq!(asleep.told().await.0, 3, "and not left behind");
    let asked = timeout(Duration::from_secs(5), awake.line(&dialer)).await;
    assert!(asked.is_ok());
}

#[tokio::test]
async fn what_comes_before_it_is_open_is_no_line_dial_6() {
    let dialer = Dialer::default();
    let mut hand = Hand::at(&dialer);
    let early = async {
        let (_, line, _) = hand.told().await;
        hand.says(Kind::Data, line, b"early").await.unwrap();
    };
    let (failed, ()) = tokio::join!(dialer.connect(URL), early);
    assert!(failed.is_err());
}
