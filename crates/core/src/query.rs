//! Queries: what the interface and the command line read.
//!
//! In: a [`Reader`] and an [`api::Query`], and what only the daemon knows ([`Live`]). Out: [`api::Answer`]s. The
//! `load_*` functions give the writing side the same entries for its events. Nothing here changes a row; the claims
//! that wait for approval (hidden chats) are seen only as requests. Specified in `docs/protocol/10-api.md` (API-*).

mod content;
mod format;
mod groups;
mod introduce;
mod messages;
mod own;
mod people;
mod polls;
mod public;
mod search;
mod settings;
mod status;

use std::collections::BTreeMap;

use rusqlite::{Connection, Row};
use stonechat_wire::ids::RelayId;

use crate::api::{Answer, Connection as Link, Fault, Missed, Page, Query};
use crate::store::{Reader, StoreError};

pub use format::load_name;
pub use groups::load_group;
pub use messages::load_message;
pub(crate) use people::person;
pub use people::{load_acceptance, load_chat, load_contact, load_invite, load_request};
pub use public::load as load_public;
pub use settings::{load_settings, load_ways, save_settings, save_ways};
pub use status::locked_status;

/// What the daemon knows and the database does not.
#[derive(Clone, Debug)]
pub struct Live {
    /// Program version and commit.
    pub version: String,
    /// Locked behind the passphrase.
    pub locked: bool,
    /// A passphrase protects the key.
    pub has_passphrase: bool,
    /// The way to the relays.
    pub connection: Link,
    /// Relays that answer now.
    pub connected: Vec<RelayId>,
    /// Those of them that are reached through another one.
    pub through: Vec<RelayId>,
    /// The way that each of them is reached on, as the courier names it.
    pub ways: Vec<(RelayId, String)>,
    /// Of those that do not answer: which ways were tried last, and what came of them.
    pub tried: BTreeMap<RelayId, Vec<LiveTry>>,
}

/// A way to a relay that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveTry {
    /// `host:port`.
    pub place: String,
    /// The relay in between.
    pub through: Option<RelayId>,
    /// A page in a browser dialled.
    pub by_browser: bool,
    /// What befell it.
    pub why: Missed,
}

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// Unknown id.
    #[error("there is nothing with this id")]
    NotFound,
    /// Out of the limits that the API names.
    #[error("the parameters do not fit")]
    BadParams,
    /// There is no account yet.
    #[error("there is no account here yet")]
    NoAccount,
    /// The database's own.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Reader {
    /// What the courier wanted to be kept for this start.
    ///
    /// Errors: the database's own.
    pub fn ways(&self) -> Result<String, StoreError> {
        load_ways(self.connection())
    }

    /// Answers a query from what is committed at this moment.
    ///
    /// Errors: [`QueryError`]; none of them changes anything.
    pub fn query(&self, query: Query, live: &Live) -> Result<Answer, QueryError> {
        let tx = self.connection().unchecked_transaction()?;
        answer(&tx, query, live)
    }
}

fn answer(db: &Connection, query: Query, live: &Live) -> Result<Answer, QueryError> {
    Ok(match query {
        Query::Status => Answer::Status(status::status(db, live)?),
        Query::Invites => Answer::Invites(people::invites(db)?),
        Query::Publics => Answer::Publics(public::all(db)?),
        Query::Acceptances => Answer::Acceptances(people::acceptances(db)?),
        Query::Requests => Answer::Requests(people::requests(db)?),
        Query::Introductions => Answer::Pins(introduce::open(db)?),
        Query::Blocked => Answer::Contacts(people::blocked(db)?),
        Query::Contacts => Answer::Contacts(people::contacts(db)?),
        Query::Chats(page) => Answer::Chats(people::chats(db, check_page(page)?)?),
        Query::Messages(of) => Answer::Messages(messages::messages(db, &of)?),
        Query::Message(by) => Answer::Message(Box::new(messages::shown_message(db, &id(&by.id)?)?)),
        Query::MediaGet(of) => Answer::MediaFile(content::media_file(db, &id(&of.id)?, of.preview)?),
        Query::Pins(by) => Answer::Pins(messages::pins(db, by.chat)?),
        Query::History(by) => Answer::History(content::history(db, &id(&by.id)?)?),
        Query::Group(by) => Answer::Group(load_group(db, by.chat)?.ok_or(QueryError::NotFound)?),
        Query::GroupPictureGet(by) => Answer::MediaFile(groups::picture(db, by.chat)?),
        Query::Search(search) => Answer::Hits(search::search(db, &search)?),
        Query::SafetyNumber(by) => Answer::SafetyNumber(people::safety_number(db, &id(&by.id)?)?),
        Query::FirstContact(by) => Answer::FirstContact(introduce::first_contact(db, &id(&by.id)?)?),
        Query::Devices => Answer::Devices(own::devices(db)?),
        Query::SettingsGet => Answer::Settings(load_settings(db)?),
        Query::DraftGet(by) => Answer::Draft(people::draft(db, by.chat)?),
    })
}

/// An id as the API writes it. Anything else names nothing.
fn id(hex: &str) -> Result<Vec<u8>, QueryError> {
    hex::decode(hex).map_err(|_| QueryError::NotFound)
}

fn check_page(page: Page) -> Result<Page, QueryError> {
    check_limit(page.limit, 1_000)?;
    Ok(page)
}

fn check_limit(limit: u32, max: u32) -> Result<(), QueryError> {
    if (1..=max).contains(&limit) {
        Ok(())
    } else {
        Err(QueryError::BadParams)
    }
}

impl QueryError {
    /// How the API names this.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::NotFound => Fault::NotFound,
            Self::BadParams => Fault::BadParams,
            Self::NoAccount => Fault::NoAccount,
            Self::Store(StoreError::Broken) => Fault::BrokenDatabase,
            Self::Store(StoreError::Full) => Fault::DiskFull,
            Self::Store(StoreError::Sql(_)) => Fault::Internal,
        }
    }
}

impl From<rusqlite::Error> for QueryError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// A row id, as the API writes it.
fn hex_at(row: &Row<'_>, column: &str) -> rusqlite::Result<String> {
    Ok(hex::encode(row.get_ref(column)?.as_blob()?))
}

/// A time or count that the schema keeps as a signed number.
fn number_at<T: TryFrom<i64> + Default>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    Ok(T::try_from(row.get(column)?).unwrap_or_default())
}

fn optional_number_at(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<u64>> {
    Ok(row
        .get::<_, Option<i64>>(column)?
        .map(|number| u64::try_from(number).unwrap_or_default()))
}

/// One of the numbered choices of a column; a number that none has is damage.
fn choice_at<T: Copy>(row: &Row<'_>, column: &str, choices: &[T]) -> rusqlite::Result<T> {
    let number: i64 = row.get(column)?;
    let found = usize::try_from(number).ok().and_then(|number| choices.get(number));
    found
        .copied()
        .ok_or(rusqlite::Error::IntegralValueOutOfRange(0, number))
}

#[cfg(test)]
mod tests;
