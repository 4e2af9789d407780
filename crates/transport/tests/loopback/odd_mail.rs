//! Dead drops in mailboxes at servers that are full, slow, evil, or bring back an older state.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use stonechat_transport::carrier::drop::{Drops, LINE_MAX, NAMES_MAX};
use stonechat_transport::courier::Input;
use tokio::io::BufReader;

use super::odd_drop::{Bare, envelope};
use super::*;

/// What a server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Fine,
    /// It takes nothing: the account is full.
    Full,
    /// The same, for now.
    Busy,
    /// It reads a mail and hangs up.
    Gone,
    /// It keeps it and hangs up.
    GoneAfter,
    /// It takes its leave in the middle of an answer.
    Leaves,
    /// It answers nothing any more.
    Mute,
    /// Its line has no end.
    Endless,
    /// It announces more than there can be.
    Giant,
    /// It says much that nobody asked for.
    Chatty,
    /// Whatever it is asked to search for, it finds everything.
    Sloppy,
    /// It gives the text of no mail, though it has it.
    Stingy,
}

/// A server that keeps mails in memory.
#[derive(Clone)]
struct Odd {
    address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    mood: Mood,
    validity: u32,
    next: u32,
    mails: BTreeMap<u32, Vec<u8>>,
    /// How many mails of other people there are before all others.
    foreign: u32,
    /// How many of these were asked about.
    asked: u32,
    /// Connections that began before this one are ended.
    age: u32,
    said: Vec<String>,
}

impl Odd {
    async fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let inner = Inner {
            mood,
            validity: 1,
            next: 1,
            mails: BTreeMap::new(),
            foreign: 0,
            asked: 0,
            age: 0,
            said: Vec::new(),
        };
        let odd = Self {
            address: listener.local_addr().unwrap(),
            inner: Arc::new(Mutex::new(inner)),
        };
        let serving = odd.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        odd
    }

    fn url(&self) -> String {
        format!("imap://ana:pass@{}/drop", self.address)
    }

    fn set(&self, mood: Mood) {
        self.inner.lock().unwrap().mood = mood;
    }

    async fn serve(self, stream: TcpStream) -> Option<()> {
        let age = self.inner.lock().unwrap().age;
        let mut stream = BufReader::new(stream);
        stream.write_all(b"* OK hello\r\n").await.ok()?;
        loop {
            let line = line(&mut stream).await?;
            let (mood, is_old) = {
                let inner = self.inner.lock().unwrap();
                (inner.mood, inner.age != age)
            };
            let (tag, command) = line.split_once(' ')?;
            if is_old {
                return None;
            }
            match mood {
                Mood::Mute => loop {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    if self.inner.lock().unwrap().mood != Mood::Mute {
                        return None;
                    }
                },
                Mood::Endless => loop {
                    stream.write_all(&[b'x'; LINE_MAX]).await.ok()?;
                },
                Mood::Giant => {
                    let said = b"* 1 FETCH (UID 1 BODY[TEXT] {4294967295}\r\n";
                    stream.write_all(said).await.ok()?;
                    continue;
                }
                Mood::Chatty => loop {
                    stream
                        .write_all("* 1 FETCH (UID 1)\r\n".repeat(1000).as_bytes())
                        .await
                        .ok()?;
                },
                Mood::Leaves if !command.starts_with("LOGIN") => {
                    let _ = stream.write_all(b"* 1 EXISTS\r\n* BYE enough\r\n").await;
                    return None;
                }
                _ => {}
            }
            let mail = match command.strip_prefix("APPEND ") {
                Some(rest) if !matches!(mood, Mood::Full | Mood::Busy) => {
                    let length = rest.rsplit_once('{').unwrap().1.trim_end_matches('}').parse().unwrap();
                    stream.write_all(b"+ go on\r\n").await.ok()?;
                    let mut mail = vec![0; length];
                    stream.read_exact(&mut mail).await.ok()?;
                    self::line(&mut stream).await?;
                    Some(mail)
                }
                _ => None,
            };
            if mood == Mood::Gone && mail.is_some() {
                return None;
            }
            let said = match mood {
                Mood::Stingy if command.contains("BODY.PEEK[TEXT]") => String::new(),
                _ => self.inner.lock().unwrap().answer(command, mail),
            };
            if mood == Mood::GoneAfter && command.starts_with("APPEND") {
                return None;
            }
            let verdict = match (mood, command.starts_with("APPEND")) {
                (Mood::Full, true) => "NO [OVERQUOTA] full",
                (Mood::Busy, true) => "NO [UNAVAILABLE] later",
                _ => "OK done",
            };
            stream
                .write_all(format!("{said}{tag} {verdict}\r\n").as_bytes())
                .await
                .ok()?;
        }
    }
}

impl Inner {
    fn headers_of(&mut self, range: &str) -> String {
        let (first, last) = range.split_once(':').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().unwrap(), last.parse().unwrap_or(u32::MAX));
        let mut said = String::new();
        for uid in first..=self.foreign.min(last) {
            self.asked += 1;
            said += &headers(uid, b"Message-ID: <somebody@else>");
        }
        for (uid, mail) in self.mails.range(first..).filter(|(uid, _)| **uid <= last) {
            let id = mail
                .split(|byte| *byte == b'\n')
                .find(|line| line.starts_with(b"Message-ID"));
            said += &headers(*uid, id.unwrap());
        }
        said
    }

    fn answer(&mut self, command: &str, mail: Option<Vec<u8>>) -> String {
        self.said.push(command.split('(').next().unwrap().to_owned());
        let exists = self.foreign + u32::try_from(self.mails.len()).unwrap();
        let words: Vec<&str> = command.split(' ').collect();
        match words.as_slice() {
            ["APPEND", ..] => {
                if let Some(mail) = mail {
                    let uid = self.foreign + self.next;
                    self.mails.insert(uid, mail);
                    self.next += 1;
                }
                String::new()
            }
            ["SELECT", ..] => format!(
                "* {exists} EXISTS\r\n* OK [UIDVALIDITY {}] x\r\n* OK [UIDNEXT {}] x\r\n",
                self.validity,
                self.foreign + self.next
            ),
            ["NOOP"] => format!("* {exists} EXISTS\r\n"),
            ["FETCH", range, ..] => {
                let (first, last) = range.split_once(':').unwrap();
                let (first, last): (u32, u32) = (first.parse().unwrap(), last.parse().unwrap());
                let uids = (1..=self.foreign).chain(self.mails.keys().copied());
                let some = uids.skip((first - 1) as usize).take((last + 1 - first) as usize);
                some.map(|uid| format!("* {uid} FETCH (UID {uid})\r\n")).collect()
            }
            ["UID", "FETCH", uid, "(UID", part] if part.starts_with("BODY.PEEK[TEXT]") => {
                let uid = uid.parse().unwrap();
                let Some(mail) = self.mails.get(&uid) else {
                    return String::new();
                };
                let (_, text) = std::str::from_utf8(mail).unwrap().split_once("\r\n\r\n").unwrap();
                format!("* 1 FETCH (UID {uid} BODY[TEXT]<0> {{{}}}\r\n{text})\r\n", text.len())
            }
            ["UID", "FETCH", set, ..] => set.split(',').map(|range| self.headers_of(range)).collect(),
            ["UID", "SEARCH", ..] if self.mood == Mood::Sloppy => {
                let uids = (1..=self.foreign).chain(self.mails.keys().copied());
                let uids: Vec<String> = uids.map(|uid| uid.to_string()).collect();
                format!("* SEARCH {}\r\n", uids.join(" "))
            }
            _ if command == "CAPABILITY" => "* CAPABILITY IMAP4rev1 UIDPLUS\r\n".into(),
            _ => String::new(),
        }
    }
}

fn headers(uid: u32, id: &[u8]) -> String {
    let id = String::from_utf8(id.to_vec()).unwrap();
    let id = id.trim_end();
    format!(
        "* 1 FETCH (UID {uid} INTERNALDATE \"{}\" RFC822.SIZE 6000 \
         BODY[HEADER.FIELDS (MESSAGE-ID)]<0> {{{}}}\r\n{id}\r\n\r\n)\r\n",
        now(),
        id.len() + 4
    )
}

/// As IMAP writes it.
fn now() -> String {
    let text = httpdate::fmt_http_date(std::time::SystemTime::now());
    let [_, day, month, year, time, _] = text.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{text}");
    };
    format!("{day}-{month}-{year} {time} +0000")
}

async fn line(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    let count = tokio::io::AsyncBufReadExt::read_line(stream, &mut line).await.ok()?;
    (count > 0).then(|| line.trim_end().to_owned())
}

/// Until it is said that this one was stored, or came.
async fn until(bare: &mut Bare, wanted: impl Fn(&FromRelay) -> bool) {
    while !wanted(&bare.frame().await) {}
}

#[tokio::test]
async fn a_full_or_busy_mailbox_has_stored_nothing_drp_16() {
    let odd = Odd::start(Mood::Full).await;
    let mut ana = Bare::open(&odd.url(), &mut Drops::default()).await;
    ana.put(1, "hello");
    let why = Refusal::NoRoom;
    assert_eq!(ana.frame().await, FromRelay::Refused { request: 1, why });
    odd.set(Mood::Busy);
    ana.put(2, "hello");
    assert!(matches!(ana.frame().await, FromRelay::Busy { .. }));
    odd.set(Mood::Fine);
    let ids = vec![ana.put(3, "hello")];
    assert_eq!(ana.frame().await, FromRelay::Stored { request: 3, ids });
}

#[tokio::test]
async fn nothing_is_stored_in_a_mailbox_before_the_server_says_so_drp_16() {
    for (mood, copies) in [(Mood::Gone, 1), (Mood::GoneAfter, 2)] {
        let odd = Odd::start(mood).await;
        let mut drops = Drops::default();
        let mut ana = Bare::open(&odd.url(), &mut drops).await;
        ana.put(1, "hello");
        let lost = ana.event().await;
        assert!(
            matches!(lost, Input::Lost { why: Lost::Broken, .. }),
            "{mood:?}: {lost:?}"
        );
        odd.set(Mood::Fine);
        let mut again = Bare::open(&odd.url(), &mut drops).await;
        again.listen(0);
        let id = again.put(1, "hello");
        let (mut stored, mut arrived) = (false, 0);
        while !stored || arrived < copies {
            match again.frame().await {
                FromRelay::Stored { ids, .. } => stored = ids == [id],
                FromRelay::Arrived { .. } => arrived += 1,
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn an_evil_server_takes_no_memory_and_holds_nobody_drp_16() {
    for (mood, why) in [
        (Mood::Endless, Lost::Malformed),
        (Mood::Giant, Lost::Malformed),
        (Mood::Chatty, Lost::Malformed),
        (Mood::Leaves, Lost::Broken),
    ] {
        // From the first word on, and in the middle.
        let odd = Odd::start(mood).await;
        let mut bare = Bare::dial(&odd.url(), &mut Drops::default());
        let lost = bare.event().await;
        assert!(
            matches!(lost, Input::Lost { why: said, .. } if said == why),
            "{mood:?}: {lost:?}"
        );
        odd.set(Mood::Fine);
        let mut bare = Bare::open(&odd.url(), &mut Drops::default()).await;
        odd.set(mood);
        bare.put(1, "hello");
        let lost = bare.event().await;
        assert!(
            matches!(lost, Input::Lost { why: said, .. } if said == why),
            "{mood:?}: {lost:?}"
        );
    }
    let odd = Odd::start(Mood::Mute).await;
    let bare = Bare::dial(&odd.url(), &mut Drops::default());
    tokio::time::sleep(Duration::from_millis(300)).await;
    bare.leave().await;
}

#[tokio::test]
async fn a_hundred_thousand_mails_of_others_hide_nothing_drp_16() {
    let odd = Odd::start(Mood::Fine).await;
    odd.inner.lock().unwrap().foreign = 100_000;
    let mut drops = Drops::default();
    let mut ana = Bare::open(&odd.url(), &mut drops).await;
    ana.listen(0);
    ana.put(1, "hello");
    until(&mut ana, |frame| matches!(frame, FromRelay::Arrived { .. })).await;
    let most = u32::try_from(NAMES_MAX).unwrap();
    let asked = odd.inner.lock().unwrap().asked;
    assert!(asked <= most, "{asked} were asked about");
    ana.leave().await;
    // What was learned of them is kept for the next link.
    let mut again = Bare::open(&odd.url(), &mut drops).await;
    again.listen(0);
    again.put(2, "again");
    until(&mut again, |frame| matches!(frame, FromRelay::Arrived { .. })).await;
    assert_eq!(odd.inner.lock().unwrap().asked, asked);
    // As many come at once, and something behind them.
    {
        let mut inner = odd.inner.lock().unwrap();
        let mails = std::mem::take(&mut inner.mails);
        inner.foreign += 100_000;
        inner.mails = mails.into_iter().map(|(uid, mail)| (uid + 100_000, mail)).collect();
        inner.asked = 0;
    }
    again.put(3, "still");
    let still = envelope(3, "still").into_bytes();
    until(
        &mut again,
        |frame| matches!(frame, FromRelay::Arrived { envelope, .. } if *envelope == still),
    )
    .await;
    assert!(odd.inner.lock().unwrap().asked <= most);
    let said = odd.inner.lock().unwrap().said.clone();
    assert!(
        said.iter()
            .all(|command| !command.contains("STORE") && !command.contains("EXPUNGE"))
    );
}

#[tokio::test]
async fn where_a_search_finds_too_much_no_other_mail_is_taken_away_drp_16() {
    let odd = filled(1..4).await;
    odd.inner.lock().unwrap().foreign = 20;
    odd.set(Mood::Sloppy);
    let mut ana = Bare::open(&odd.url(), &mut Drops::default()).await;
    for request in 7..9 {
        ana.say(ToRelay::Door {
            request,
            path: DoorPath::from_bytes([4; 12]),
            proof_hash: [5; 32],
            key: DoorKey::from_bytes([7; 16]),
            expires_s: u64::MAX / 4,
            card: vec![6; CARD_BUCKET],
        });
        until(&mut ana, |frame| matches!(frame, FromRelay::DoorOpen { .. })).await;
    }
    let said = odd.inner.lock().unwrap().said.clone();
    let stored: Vec<&String> = said.iter().filter(|line| line.starts_with("UID STORE")).collect();
    // The first door's mail, in whose place the second one is.
    assert_eq!(stored, ["UID STORE 24 +FLAGS.SILENT "], "{said:?}");
}

#[tokio::test]
async fn a_mail_that_is_not_given_is_asked_for_again_drp_9() {
    let odd = filled(1..2).await;
    odd.set(Mood::Stingy);
    let mut bo = Bare::open(&odd.url(), &mut Drops::default()).await;
    bo.listen(0);
    // Until it was asked for and not given.
    let asked = || {
        let said = &odd.inner.lock().unwrap().said;
        said.iter().any(|line| line.starts_with("NOOP"))
    };
    while !asked() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    odd.set(Mood::Fine);
    let again = Duration::from_millis(stonechat_transport::carrier::drop::REFUSED_MS + 10_000);
    timeout(again, until_came(&mut bo, 1))
        .await
        .expect("it is asked for again");
}

/// A mailbox with what these requests put there.
async fn filled(requests: std::ops::Range<u32>) -> Odd {
    let odd = Odd::start(Mood::Fine).await;
    let mut ana = Bare::open(&odd.url(), &mut Drops::default()).await;
    for request in requests {
        ana.put(request, "hello");
        until(&mut ana, |frame| matches!(frame, FromRelay::Stored { .. })).await;
    }
    odd
}

async fn until_came(bo: &mut Bare, request: u32) {
    let wanted = envelope(request, "hello").into_bytes();
    until(
        bo,
        |frame| matches!(frame, FromRelay::Arrived { envelope, .. } if *envelope == wanted),
    )
    .await;
}

#[tokio::test]
async fn what_comes_after_an_older_state_was_brought_back_is_read_drp_12() {
    let odd = filled(1..4).await;
    let mut bo = Bare::open(&odd.url(), &mut Drops::default()).await;
    bo.listen(0);
    until_came(&mut bo, 3).await;
    {
        // The next number is one that was given already.
        let mut inner = odd.inner.lock().unwrap();
        inner.mails.retain(|uid, _| *uid < 2);
        (inner.next, inner.age) = (2, 1);
    }
    bo.put(9, "hello");
    until_came(&mut bo, 9).await;
}

#[tokio::test]
async fn what_is_in_another_mailbox_of_the_same_name_is_read_drp_16() {
    let (odd, other) = (filled(1..4).await, filled(4..7).await);
    let mut bo = Bare::open(&odd.url(), &mut Drops::default()).await;
    bo.listen(0);
    until_came(&mut bo, 3).await;
    {
        // The same numbers mean other mails.
        let mut inner = odd.inner.lock().unwrap();
        inner.mails = other.inner.lock().unwrap().mails.clone();
        (inner.validity, inner.age) = (2, 1);
    }
    until_came(&mut bo, 6).await;
}
