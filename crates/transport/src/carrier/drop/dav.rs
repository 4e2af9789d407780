//! A folder on a WebDAV server: what is asked of it, and what its answers mean.
//!
//! In: names and bytes. Out: listings and bytes. Objects lie in one folder for each day (UTC, by the server's clock), doors
//! beside these (DRP-6).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use stonechat_wire::drop::{ObjectName, Place, SIZES};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::DropError;
use super::connector::Connector;
use super::connector::{ANSWER_MAX, PUT_MAX};
use super::folder::{Clock, Got, Over, Removed, Wrote};
use super::http::{Answer, Request, Server};
use super::listing::{self, LISTING_BYTES_MAX, Listing};

/// Most bytes of an answer that is of no use but for its status.
const SMALL: usize = 16 << 10;
/// Headers of a question about a folder alone, and about what is in it.
const ITSELF: &str = "Depth: 0\r\nContent-Type: application/xml; charset=\"utf-8\"\r\n";
const WHAT_IS_IN_IT: &str = "Depth: 1\r\nContent-Type: application/xml; charset=\"utf-8\"\r\n";
const LIST: &[u8] = b"<?xml version=\"1.0\" encoding=\"utf-8\"?>\
    <propfind xmlns=\"DAV:\"><prop><getlastmodified/><getcontentlength/></prop></propfind>";

/// The folder, and the connection to its server.
pub(super) struct Dav {
    server: Server,
    /// Path of the folder, without a slash at its end.
    base: String,
    clock: Clock,
}

impl Dav {
    /// The folder at an address, not looked at yet.
    pub(super) fn at(connector: Connector, place: &Place<'_>) -> Self {
        let login = place.credentials().map(|credentials| {
            let text = Zeroizing::new(STANDARD.encode(&credentials));
            Zeroizing::new(format!("Authorization: Basic {}\r\n", text.as_str()))
        });
        let login = login.as_ref().map_or("", |login| login.as_str());
        let head = format!("Host: {}\r\n{login}", place.host);
        Self {
            server: Server::new(connector, head),
            base: place.path.to_owned(),
            clock: Clock::of_device(),
        }
    }

    /// The same folder, on a connection of its own.
    pub(super) fn again(&self) -> Self {
        Self {
            server: self.server.again(),
            base: self.base.clone(),
            clock: self.clock,
        }
    }

    /// The server's clock; the device's where it does not tell.
    pub(super) const fn clock(&self) -> Clock {
        self.clock
    }

    /// Looks whether the folder is there, and makes it where it is not.
    pub(super) async fn open(&mut self) -> Result<(), DropError> {
        if self.is_there().await? {
            return Ok(());
        }
        self.make(None).await?;
        self.is_there().await?.then_some(()).ok_or(DropError::Status(404))
    }

    /// Asks for the folder alone: what is in it may take longer than a link may to begin.
    async fn is_there(&mut self) -> Result<bool, DropError> {
        let target = self.target(None, None);
        Ok(self.find(&target, ITSELF).await?.is_some())
    }

    /// What stands in a day's folder, or in the drop's own; nothing where there is none.
    pub(super) async fn list(&mut self, day: Option<u32>) -> Result<Option<Listing>, DropError> {
        let target = self.target(day, None);
        let answer = self.find(&target, WHAT_IS_IN_IT).await?;
        Ok(answer.map(|answer| listing::read(&answer.body, !answer.is_whole)))
    }

    /// Nothing where there is no such folder.
    async fn find(&mut self, target: &str, headers: &str) -> Result<Option<Answer>, DropError> {
        let answer = self
            .ask(&Request {
                method: "PROPFIND",
                target,
                headers,
                body: LIST,
                answer_max: LISTING_BYTES_MAX,
                within: ANSWER_MAX,
            })
            .await?;
        match answer.status {
            207 => Ok(Some(answer)),
            404 => Ok(None),
            status => Err(refused(status)),
        }
    }

    pub(super) async fn get(&mut self, day: Option<u32>, name: &ObjectName) -> Result<Got, DropError> {
        let [.., largest] = SIZES;
        let target = self.target(day, Some(name));
        let answer = self.ask(&plain("GET", &target, largest + 1)).await?;
        match answer.status {
            200 => Ok(Got::Bytes(answer.body)),
            404 | 410 => Ok(Got::Nothing),
            401 => Err(DropError::Denied),
            status => Ok(Got::Status(status)),
        }
    }

    pub(super) async fn put(
        &mut self,
        day: Option<u32>,
        name: &ObjectName,
        bytes: &[u8],
        over: Over,
    ) -> Result<Wrote, DropError> {
        let target = self.target(day, Some(name));
        let headers = match over {
            Over::Nothing => "If-None-Match: *\r\nContent-Type: application/octet-stream\r\n",
            Over::Itself => "Content-Type: application/octet-stream\r\n",
        };
        let answer = self
            .ask(&Request {
                method: "PUT",
                target: &target,
                headers,
                body: bytes,
                answer_max: SMALL,
                within: PUT_MAX,
            })
            .await?;
        Ok(match answer.status {
            200 | 201 | 204 => Wrote::Stored,
            412 => Wrote::NameTaken,
            404 | 409 => Wrote::NoFolder,
            401 => return Err(DropError::Denied),
            423 | 429 | 502..=504 => Wrote::Busy,
            _ => Wrote::NoRoom,
        })
    }

    /// Makes a day's folder, or the drop's own. That it is there already is fine.
    pub(super) async fn make(&mut self, day: Option<u32>) -> Result<(), DropError> {
        let target = self.target(day, None);
        let answer = self.ask(&plain("MKCOL", &target, SMALL)).await?;
        match answer.status {
            200 | 201 | 204 | 405 => Ok(()),
            status => Err(refused(status)),
        }
    }

    /// Takes away an object. That it is not there is fine, and so is a server that does not do it.
    pub(super) async fn remove(&mut self, day: Option<u32>, name: &ObjectName) -> Result<Removed, DropError> {
        let target = self.target(day, Some(name));
        self.delete(&target).await
    }

    /// Takes away a day's folder, with all that is in it.
    pub(super) async fn remove_day(&mut self, day: u32) -> Result<Removed, DropError> {
        let target = self.target(Some(day), None);
        self.delete(&target).await
    }

    async fn delete(&mut self, target: &str) -> Result<Removed, DropError> {
        match self.ask(&plain("DELETE", target, SMALL)).await?.status {
            200..=299 | 404 | 410 => Ok(Removed::Gone),
            401 => Err(DropError::Denied),
            _ => Ok(Removed::Kept),
        }
    }

    fn target(&self, day: Option<u32>, name: Option<&ObjectName>) -> String {
        let day = day.map(|day| format!("{day}/")).unwrap_or_default();
        let name = name.map(ObjectName::to_text).unwrap_or_default();
        format!("{}/{day}{name}", self.base)
    }

    async fn ask(&mut self, request: &Request<'_>) -> Result<Answer, DropError> {
        let answer = self.server.ask(request).await?;
        tracing::trace!(
            method = request.method,
            status = answer.status,
            "a drop's server answered"
        );
        if let Some(ms) = answer.date_ms {
            let at = Instant::now();
            self.clock = Clock { ms, at };
        }
        Ok(answer)
    }
}

/// A request without a body of its own.
const fn plain<'a>(method: &'static str, target: &'a str, answer_max: usize) -> Request<'a> {
    Request {
        method,
        target,
        headers: "",
        body: &[],
        answer_max,
        within: ANSWER_MAX,
    }
}

const fn refused(status: u16) -> DropError {
    match status {
        401 | 403 => DropError::Denied,
        status => DropError::Status(status),
    }
}
