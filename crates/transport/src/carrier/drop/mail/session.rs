//! One connection to an IMAP server: commands, one after the other, and what is said to them.
//!
//! In: commands. Out: how each ended and what was said of mails, all within limits. Which mailbox, and what it means, is not its
//! job.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::super::super::outer::Outer;
use super::super::connector::{ANSWER_MAX, AskError, PUT_MAX};
use super::super::listing::{LISTING_BYTES_MAX, NAMES_MAX};
use super::answer::{Answer, Framed, Mail, Skills, Verdict, framed, read};
use super::letter::TEXT_MAX;

/// Most bytes of a header that is asked for.
pub(super) const HEADER_MAX: usize = 256;
/// Most mails of which a command says something: servers may also say what became of others.
const MAILS_MAX: usize = NAMES_MAX + 1024;
const READ_BYTES: usize = 16 << 10;

/// What a command brought besides its end.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) mails: Vec<Mail>,
    pub(super) found: Vec<u32>,
    pub(super) validity: Option<u32>,
    pub(super) next: Option<u32>,
}

/// How much is read of what a command brings.
#[derive(Clone, Copy, Debug)]
pub(super) enum Size {
    /// Nothing but words.
    Words,
    /// Headers of many mails.
    Headers,
    /// The text of one.
    Text,
}

impl Size {
    /// Most bytes of one literal, and of everything.
    const fn limits(self) -> (usize, usize) {
        match self {
            Self::Words => (0, LISTING_BYTES_MAX),
            Self::Headers => (HEADER_MAX, LISTING_BYTES_MAX),
            Self::Text => (TEXT_MAX, 2 * TEXT_MAX),
        }
    }
}

pub(super) struct Session {
    stream: Outer,
    bytes: Vec<u8>,
    commands: u32,
    pub(super) skills: Skills,
    pub(super) is_selected: bool,
    /// The tag of the IDLE that is under way.
    idle: Option<String>,
    /// How many mails there are in the mailbox that is selected.
    pub(super) exists: u32,
    /// More of them than were looked at.
    pub(super) has_news: bool,
}

impl Session {
    /// Greets and logs in. `login`: name and password, each in quotes.
    pub(super) async fn begin(stream: Outer, login: &str) -> Result<(Self, Verdict), AskError> {
        let mut session = Self {
            stream,
            bytes: Vec::new(),
            commands: 0,
            skills: Skills::default(),
            is_selected: false,
            idle: None,
            exists: 0,
            has_news: true,
        };
        let greeting = session.answer(0);
        let greeting = timeout(ANSWER_MAX, greeting).await.map_err(|_| AskError::Slow)??;
        match read(&greeting) {
            Answer::Bye => return Ok((session, Verdict::Later)),
            Answer::Other | Answer::Can(_) if greeting.starts_with(b"* ") => {}
            _ => return Err(AskError::Malformed),
        }
        let command = Zeroizing::new(format!("LOGIN {login}"));
        let (verdict, _) = session.ask(&command, Size::Words).await?;
        if verdict == Verdict::Ok {
            session.ask("CAPABILITY", Size::Words).await?;
        }
        Ok((session, verdict))
    }

    /// Asks, and waits for the end of it.
    pub(super) async fn ask(&mut self, command: &str, size: Size) -> Result<(Verdict, Said), AskError> {
        let asking = async {
            self.end_idle().await?;
            let tag = self.send(command).await?;
            self.said(&tag, size).await
        };
        timeout(ANSWER_MAX, asking).await.map_err(|_| AskError::Slow)?
    }

    /// Appends a mail to a mailbox, whose name is in quotes.
    pub(super) async fn append(&mut self, mailbox: &str, mail: &[u8]) -> Result<Verdict, AskError> {
        let appending = async {
            self.end_idle().await?;
            let tag = self
                .send(&format!("APPEND {mailbox} (\\Seen) {{{}}}", mail.len()))
                .await?;
            if let Some(verdict) = self.until_go(&tag).await? {
                return Ok(verdict);
            }
            self.stream.write_all(mail).await?;
            self.stream.write_all(b"\r\n").await?;
            self.stream.flush().await?;
            let (verdict, _) = self.said(&tag, Size::Words).await?;
            Ok(verdict)
        };
        timeout(PUT_MAX, appending).await.map_err(|_| AskError::Slow)?
    }

    /// Asks to be told what comes. Does nothing where that was done already, or the server does not do it.
    pub(super) async fn begin_idle(&mut self) -> Result<(), AskError> {
        if !self.skills.idle || self.idle.is_some() {
            return Ok(());
        }
        let beginning = async {
            let tag = self.send("IDLE").await?;
            if self.until_go(&tag).await?.is_some() {
                // It says that it can, and does not.
                self.skills.idle = false;
            } else {
                self.idle = Some(tag);
            }
            Ok(())
        };
        timeout(ANSWER_MAX, beginning).await.map_err(|_| AskError::Slow)?
    }

    /// Waits for news. May be dropped at any time: what was read by then is kept.
    pub(super) async fn news(&mut self) -> Result<(), AskError> {
        while !self.has_news {
            let answer = self.answer(0).await?;
            match read(&answer) {
                Answer::Bye => return Err(AskError::Unreachable(std::io::ErrorKind::ConnectionReset.into())),
                answer => self.note(&answer),
            }
        }
        Ok(())
    }

    async fn end_idle(&mut self) -> Result<(), AskError> {
        let Some(tag) = self.idle.take() else {
            return Ok(());
        };
        self.stream.write_all(b"DONE\r\n").await?;
        self.stream.flush().await?;
        self.said(&tag, Size::Words).await.map(drop)
    }

    /// Out: the command's tag.
    async fn send(&mut self, command: &str) -> Result<String, AskError> {
        self.commands = self.commands.wrapping_add(1);
        let tag = format!("a{}", self.commands);
        let line = Zeroizing::new(format!("{tag} {command}\r\n"));
        self.stream.write_all(line.as_bytes()).await?;
        self.stream.flush().await?;
        Ok(tag)
    }

    /// Waits until the server says to go on. Out: how the command ended instead.
    async fn until_go(&mut self, tag: &str) -> Result<Option<Verdict>, AskError> {
        loop {
            let answer = self.answer(0).await?;
            match read(&answer) {
                Answer::Go => return Ok(None),
                Answer::Done { tag: done, verdict } if done == tag => return Ok(Some(verdict)),
                Answer::Bye => return Err(gone()),
                answer => self.note(&answer),
            }
        }
    }

    /// What is said until the command ends.
    async fn said(&mut self, tag: &str, size: Size) -> Result<(Verdict, Said), AskError> {
        let (literal_max, total_max) = size.limits();
        let (mut said, mut total) = (Said::default(), 0_usize);
        loop {
            let answer = self.answer(literal_max).await?;
            total += answer.len();
            if total > total_max || said.mails.len() > MAILS_MAX || said.found.len() > MAILS_MAX {
                return Err(AskError::TooLong);
            }
            match read(&answer) {
                Answer::Done { tag: done, verdict } if done == tag => return Ok((verdict, said)),
                Answer::Mail(mail) => said.mails.push(mail),
                Answer::Found(found) => said.found.extend(found),
                Answer::Validity(validity) => said.validity = Some(validity),
                Answer::Next(next) => said.next = Some(next),
                Answer::Bye => return Err(gone()),
                answer => self.note(&answer),
            }
        }
    }

    /// What a server may say at any time.
    fn note(&mut self, answer: &Answer) {
        match answer {
            Answer::Exists(count) => {
                self.has_news |= *count != self.exists;
                self.exists = *count;
            }
            Answer::Expunged => self.exists = self.exists.saturating_sub(1),
            Answer::Can(skills) => self.skills = *skills,
            _ => {}
        }
    }

    /// The next answer, as it came.
    async fn answer(&mut self, literal_max: usize) -> Result<Vec<u8>, AskError> {
        let mut needs = 1;
        loop {
            if self.bytes.len() >= needs {
                match framed(&self.bytes, literal_max)? {
                    Framed::Whole(length) => return Ok(self.bytes.drain(..length).collect()),
                    Framed::Needs(more) => needs = more,
                }
            }
            let mut chunk = [0; READ_BYTES];
            let count = self.stream.read(&mut chunk).await?;
            if count == 0 {
                return Err(AskError::Unreachable(std::io::ErrorKind::UnexpectedEof.into()));
            }
            self.bytes.extend_from_slice(chunk.get(..count).unwrap_or_default());
        }
    }
}

/// The server took its leave.
fn gone() -> AskError {
    AskError::Unreachable(std::io::ErrorKind::ConnectionReset.into())
}
