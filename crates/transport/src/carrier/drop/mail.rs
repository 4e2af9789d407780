//! A mailbox of an account on an IMAP server, that all who use the drop share: what is asked of it, and what that means.
//!
//! In: names and bytes. Out: listings and bytes. Objects are appended as mails and read by their numbers; nothing is ever sent
//! to anybody. Days are not folders here but part of a mail's name (DRP-15). Mails that are not ours stay as they are.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stonechat_wire::drop::{ObjectName, Place};
use zeroize::Zeroizing;

use super::DropError;
use super::connector::{AskError, Connector};
use super::folder::{Before, Clock, Got, Over, Removed, Scope, Told, Wrote};
use super::listing::{Listing, NAMES_MAX};
use answer::Verdict;
use letter::{Sender, TEXT_MAX, read_object};
use mails::Where;
use session::{HEADER_MAX, Said, Session, Size};

mod answer;
mod letter;
mod mails;
mod session;

pub use answer::LINE_MAX;
pub use letter::MAIL_MAX;
pub(super) use mails::Mails;

/// What is known of a mailbox, for all connections to it.
pub(super) type SharedMails = Arc<Mutex<Mails>>;

/// So many more mails are listed anew.
const NEW_MAX: u32 = 4096;
/// Most mails that a search for a door may bring; of more the newest are looked at.
const FOUND_MAX: usize = 16;
/// A mail that the server does not give, as a status: it has none of its own.
const NOT_GIVEN: u16 = 503;
/// Most mails that are named in one command.
const NAMED_MAX: usize = 256;

pub(super) struct Mailbox {
    connector: Connector,
    /// Name and password, each in quotes.
    login: Arc<Zeroizing<String>>,
    sender: Sender,
    /// Its name, in quotes.
    name: String,
    session: Option<Session>,
    mails: SharedMails,
}

impl Mailbox {
    /// The mailbox at an address, not looked at yet.
    pub(super) fn at(connector: Connector, place: &Place<'_>, mails: &SharedMails) -> Option<Self> {
        let credentials = place.credentials()?;
        let credentials = std::str::from_utf8(&credentials).ok()?;
        let (user, password) = credentials.split_once(':')?;
        let login = format!("{} {}", quoted(user).as_str(), quoted(password).as_str());
        Some(Self {
            connector,
            login: Arc::new(Zeroizing::new(login)),
            sender: Sender::new(user, place.host),
            name: format!("\"{}\"", place.mailbox()?),
            session: None,
            mails: Arc::clone(mails),
        })
    }

    /// The same mailbox, on a connection of its own.
    pub(super) fn again(&self) -> Self {
        Self {
            connector: self.connector.clone(),
            login: Arc::clone(&self.login),
            sender: self.sender.clone(),
            name: self.name.clone(),
            session: None,
            mails: Arc::clone(&self.mails),
        }
    }

    /// The server's clock, once it is known (DRP-17).
    pub(super) fn clock(&self) -> Option<Clock> {
        self.mails().clock()
    }

    fn mails(&self) -> MutexGuard<'_, Mails> {
        self.mails.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks whether the mailbox is there, and makes it where it is not.
    pub(super) async fn open(&mut self) -> Result<(), DropError> {
        let mut session = self.begin().await?;
        // Some servers do not say that this is the matter.
        if matches!(self.select(&mut session).await?, Verdict::NoMailbox | Verdict::No) {
            self.create(&mut session).await?;
        }
        self.session = Some(session);
        let session = self.ready().await?;
        self.session = Some(session);
        Ok(())
    }

    /// A connection that is logged in.
    async fn begin(&self) -> Result<Session, DropError> {
        let stream = self.connector.connect().await?;
        match Session::begin(stream, &self.login).await? {
            (session, Verdict::Ok) => Ok(session),
            (_, Verdict::No | Verdict::NoMailbox) => Err(DropError::Denied),
            (_, Verdict::Full | Verdict::Later) => Err(DropError::Refused),
        }
    }

    async fn select(&self, session: &mut Session) -> Result<Verdict, DropError> {
        let command = format!("SELECT {}", self.name);
        let (verdict, said) = session.ask(&command, Size::Words).await?;
        if verdict == Verdict::Ok {
            session.is_selected = true;
            session.has_news = true;
            self.mails().selected(said.validity.unwrap_or(1), said.next);
        }
        Ok(verdict)
    }

    async fn create(&self, session: &mut Session) -> Result<(), DropError> {
        // That it is there already is fine.
        session.ask(&format!("CREATE {}", self.name), Size::Words).await?;
        Ok(())
    }

    /// Takes the connection that is kept, or makes one.
    async fn ready(&mut self) -> Result<Session, DropError> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.begin().await?,
        };
        if !session.is_selected {
            match self.select(&mut session).await? {
                Verdict::Ok => {}
                Verdict::NoMailbox => return Err(DropError::NoMailbox),
                Verdict::No | Verdict::Full | Verdict::Later => return Err(DropError::Refused),
            }
        }
        Ok(session)
    }

    /// Asks, once more on a new connection where the one that was kept is gone. All these commands may be repeated.
    async fn ask(&mut self, command: &str, size: Size) -> Result<(Verdict, Said), DropError> {
        let was_kept = self.session.is_some();
        match self.ask_once(command, size).await {
            Err(DropError::Ask(AskError::Unreachable(_))) if was_kept => self.ask_once(command, size).await,
            other => other,
        }
    }

    async fn ask_once(&mut self, command: &str, size: Size) -> Result<(Verdict, Said), DropError> {
        let mut session = self.ready().await?;
        let said = session.ask(command, size).await?;
        self.session = Some(session);
        Ok(said)
    }

    /// Finds out what is new, or what is gone too.
    pub(super) async fn look(&mut self, scope: Scope) -> Result<Before, DropError> {
        if let (Scope::All, Some(session)) = (scope, &mut self.session) {
            // Selected anew: what is selected may have another name by now.
            session.is_selected = false;
        }
        self.ask("NOOP", Size::Words).await?;
        let news = self
            .session
            .as_mut()
            .map(|session| (session.exists, std::mem::take(&mut session.has_news)));
        let (exists, has_news) = news.unwrap_or((0, true));
        let (before, highest, grown) = {
            let mut mails = self.mails();
            (mails.take_before(), mails.highest(), mails.grown_to(exists))
        };
        match scope {
            Scope::New if before == Before::Same && highest > 0 && grown < NEW_MAX => {
                if has_news {
                    self.read_headers(highest.saturating_add(1), "*").await?;
                }
            }
            Scope::New | Scope::All => self.read_numbers(exists).await?,
        }
        Ok(before)
    }

    /// Which mails there are; the newest where there are too many. What is not known of them is asked.
    async fn read_numbers(&mut self, exists: u32) -> Result<(), DropError> {
        let most = u32::try_from(NAMES_MAX).unwrap_or(u32::MAX);
        let first = exists.saturating_sub(most).saturating_add(1);
        let there = if exists == 0 {
            BTreeSet::new()
        } else {
            let command = format!("FETCH {first}:{exists} (UID)");
            let (verdict, said) = self.ask(&command, Size::Words).await?;
            if verdict != Verdict::Ok {
                return Err(DropError::Refused);
            }
            said.mails.iter().map(|mail| mail.uid).collect()
        };
        let unknown = self.mails().keep(&there, first > 1);
        match (unknown, there.last()) {
            (Some(first), Some(last)) => self.read_headers(first, &last.to_string()).await,
            (_, _) => Ok(()),
        }
    }

    /// The names of mails from this number on.
    async fn read_headers(&mut self, from: u32, to: &str) -> Result<(), DropError> {
        let command = headers_of(&format!("{from}:{to}"));
        let (verdict, said) = self.ask(&command, Size::Headers).await?;
        if verdict != Verdict::Ok {
            return Err(DropError::Refused);
        }
        let mut mails = self.mails();
        // Where there is none from there on, the last one is told.
        let new = said.mails.iter().filter(|mail| mail.uid >= from);
        new.for_each(|mail| mails.add(mail));
        Ok(())
    }

    /// What the last look knew.
    pub(super) fn list(&self, day: Option<u32>) -> Listing {
        self.mails().list(day)
    }

    pub(super) async fn get(&mut self, day: Option<u32>, name: &ObjectName) -> Result<Got, DropError> {
        let Some(uid) = self.uids((day, *name)).await?.into_iter().max() else {
            return Ok(Got::Nothing);
        };
        let command = format!("UID FETCH {uid} (UID BODY.PEEK[TEXT]<0.{TEXT_MAX}>)");
        let (_, said) = self.ask(&command, Size::Text).await?;
        let mail = said
            .mails
            .into_iter()
            .find(|mail| mail.uid == uid && mail.part.is_some());
        // Whether it is still there the next listing says: some servers say no, or nothing, where they are busy.
        Ok(match mail.and_then(|mail| mail.part) {
            Some(text) => Got::Bytes(read_object(&text)),
            None => Got::Status(NOT_GIVEN),
        })
    }

    /// The numbers of an object's mails. Doors are searched for: who knocks knows of nothing else. What is found is looked at,
    /// for servers find more than they were asked for.
    async fn uids(&mut self, (day, name): Where) -> Result<Vec<u32>, DropError> {
        if day.is_some() {
            return Ok(self.mails().uid(&(day, name)).into_iter().collect());
        }
        let command = format!("UID SEARCH UNDELETED HEADER Message-ID {}", name.to_text());
        let (verdict, said) = self.ask(&command, Size::Words).await?;
        if verdict != Verdict::Ok {
            return Err(DropError::Refused);
        }
        let mut found = said.found;
        found.sort_unstable();
        let newest = found.split_off(found.len().saturating_sub(FOUND_MAX));
        self.only(&newest, (day, name)).await
    }

    /// Those of these mails that are this object by their own head.
    async fn only(&mut self, uids: &[u32], object: Where) -> Result<Vec<u32>, DropError> {
        if uids.is_empty() {
            return Ok(Vec::new());
        }
        let (verdict, said) = self.ask(&headers_of(&set_of(uids)), Size::Headers).await?;
        if verdict != Verdict::Ok {
            return Err(DropError::Refused);
        }
        let is_it = |mail: &&answer::Mail| uids.contains(&mail.uid) && mails::object(mail) == Some(object);
        Ok(said.mails.iter().filter(is_it).map(|mail| mail.uid).collect())
    }

    /// Appends it. A door that has its name already is taken away after that.
    pub(super) async fn put(
        &mut self,
        day: Option<u32>,
        name: &ObjectName,
        bytes: &[u8],
        over: Over,
        now_ms: u64,
    ) -> Result<Wrote, DropError> {
        let before = match over {
            Over::Nothing => Vec::new(),
            Over::Itself => self.uids((day, *name)).await?,
        };
        let mail = self.sender.write(day, name, now_ms, bytes);
        self.mails().writes(*name);
        let verdict = self.append(&mail).await?;
        if verdict == Verdict::Ok {
            self.delete(&before).await?;
        }
        Ok(match verdict {
            Verdict::Ok => Wrote::Stored,
            Verdict::Later => Wrote::Busy,
            Verdict::NoMailbox => Wrote::NoFolder,
            Verdict::Full | Verdict::No => Wrote::NoRoom,
        })
    }

    async fn append(&mut self, mail: &[u8]) -> Result<Verdict, DropError> {
        let was_kept = self.session.is_some();
        match self.append_once(mail).await {
            // Nothing was heard of it: it is there twice at worst.
            Err(DropError::Ask(AskError::Unreachable(_))) if was_kept => self.append_once(mail).await,
            other => other,
        }
    }

    async fn append_once(&mut self, mail: &[u8]) -> Result<Verdict, DropError> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.begin().await?,
        };
        let mut verdict = session.append(&self.name, mail).await?;
        if verdict == Verdict::NoMailbox {
            self.create(&mut session).await?;
            verdict = session.append(&self.name, mail).await?;
        }
        // Some servers go on saying no to a connection whose mailbox was renamed: the next try is on a new one.
        if verdict == Verdict::Ok {
            self.session = Some(session);
        }
        Ok(verdict)
    }

    /// Takes away an object.
    pub(super) async fn remove(&mut self, day: Option<u32>, name: &ObjectName) -> Result<Removed, DropError> {
        let uids = self.uids((day, *name)).await?;
        self.delete(&uids).await
    }

    /// Marks mails as deleted, and has the server take these away, and no others: people's own may be marked too.
    async fn delete(&mut self, uids: &[u32]) -> Result<Removed, DropError> {
        for some in uids.chunks(NAMED_MAX) {
            let set = set_of(some);
            let (verdict, _) = self
                .ask(&format!("UID STORE {set} +FLAGS.SILENT (\\Deleted)"), Size::Words)
                .await?;
            if verdict != Verdict::Ok {
                return Ok(Removed::Kept);
            }
            if self.session.as_ref().is_some_and(|session| session.skills.uidplus) {
                self.ask(&format!("UID EXPUNGE {set}"), Size::Words).await?;
            }
        }
        Ok(Removed::Gone)
    }

    /// Asks to be told when something comes.
    pub(super) async fn listen(&mut self) -> Result<Told, DropError> {
        let Some(mut session) = self.session.take() else {
            return Ok(Told::Never);
        };
        session.begin_idle().await?;
        let told = if session.skills.idle { Told::AtOnce } else { Told::Never };
        self.session = Some(session);
        Ok(told)
    }

    /// Waits until something came, or the connection ended.
    pub(super) async fn told(&mut self) {
        let Some(session) = self.session.as_mut().filter(|session| session.skills.idle) else {
            return std::future::pending().await;
        };
        if session.news().await.is_err() {
            self.session = None;
        }
    }
}

/// A quoted string.
fn quoted(text: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::from("\""));
    for sign in text.chars() {
        if matches!(sign, '"' | '\\') {
            out.push('\\');
        }
        out.push(sign);
    }
    out.push('"');
    out
}

/// Asks for the names of these mails.
fn headers_of(set: &str) -> String {
    format!("UID FETCH {set} (UID INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]<0.{HEADER_MAX}>)")
}

fn set_of(uids: &[u32]) -> String {
    let mut set = String::new();
    for uid in uids {
        let comma = if set.is_empty() { "" } else { "," };
        let _ = write!(set, "{comma}{uid}");
    }
    set
}
