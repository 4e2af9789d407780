//! Which HTTP requests are answered at all, decided by their headers alone.
//!
//! In: a request's address and headers. Out: go on, or a [`Refusal`]. Every page a browser shows may send requests to
//! 127.0.0.1; these rules tell our own page from all others. Who is logged in is [`super::launch`]'s job.

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri};

/// Names under which this daemon answers.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    hosts: Vec<String>,
    dialer: String,
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Asked for under a name that is not ours: a rebound DNS name.
    Misdirected,
    /// Sent by something that is not our page.
    Foreign,
}

impl Refusal {
    /// The HTTP status for it.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::Foreign => StatusCode::FORBIDDEN,
        }
    }
}

/// What a request is for; each kind has its own rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The page itself: typed, bookmarked or opened by another program.
    Page,
    /// What the page loads.
    Part,
    /// A WebSocket, or anything that changes something.
    Write,
}

/// The name under which the dialer's page is served, and nothing else.
pub(crate) const DIALER_NAME: &str = "dialer";

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The host of the dialer's page.
pub(crate) fn dialer_host(port: u16) -> String {
    format!("{DIALER_NAME}.localhost:{port}")
}

impl Guard {
    /// Answers as 127.0.0.1, localhost and, where there is one, `NAME.localhost`, all with the port.
    pub(crate) fn new(port: u16, name: Option<&str>) -> Self {
        let mut hosts = vec![format!("127.0.0.1:{port}"), format!("localhost:{port}")];
        hosts.extend(name.map(|name| format!("{name}.localhost:{port}")));
        let dialer = dialer_host(port);
        Self { hosts, dialer }
    }

    /// Whether the dialer's page is asked for: another origin, under which nothing else answers (DIAL-2).
    pub(crate) fn is_for_dialer(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let host = only(headers, &HOST).ok().flatten();
        host == Some(self.dialer.as_str()) && uri.authority().is_none_or(|named| named.as_str() == self.dialer)
    }

    /// Judges the dialer page's WebSocket. A page in a sandbox has no origin to show, and nor have others' sandboxes: the
    /// ticket is what tells them apart.
    ///
    /// Errors: the refusal to answer with.
    pub(crate) fn check_dialer(headers: &HeaderMap) -> Result<(), Refusal> {
        match only(headers, &ORIGIN)? {
            Some("null") => Ok(()),
            Some(_) | None => Err(Refusal::Foreign),
        }
    }

    /// The host of the dialer's page.
    pub(crate) fn dialer(&self) -> &str {
        &self.dialer
    }

    /// The origins of the interface, which may hold the dialer's page in a frame.
    pub(crate) fn origins(&self) -> impl Iterator<Item = String> {
        self.hosts.iter().map(|host| format!("http://{host}"))
    }

    /// Judges one request.
    ///
    /// Errors: the refusal to answer with.
    pub(crate) fn check(&self, kind: Kind, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = self.host(uri, headers)?;
        let site = only(headers, &SEC_FETCH_SITE)?;
        let origin = only(headers, &ORIGIN)?;
        let from_here = origin.map(|origin| origin.strip_prefix("http://") == Some(host));
        let fits = match kind {
            Kind::Page => matches!(site, None | Some("none" | "same-origin")) && from_here.unwrap_or(true),
            Kind::Part => matches!(site, None | Some("same-origin")) && from_here.unwrap_or(true),
            // Chromium sends no Sec-Fetch-Site with a WebSocket, so the origin must always be there.
            Kind::Write => matches!(site, None | Some("same-origin")) && from_here == Some(true),
        };
        if fits { Ok(()) } else { Err(Refusal::Foreign) }
    }

    fn host<'a>(&self, uri: &Uri, headers: &'a HeaderMap) -> Result<&'a str, Refusal> {
        let host = only(headers, &HOST).ok().flatten().ok_or(Refusal::Misdirected)?;
        let named = uri.authority().is_none_or(|authority| authority.as_str() == host);
        if named && self.hosts.iter().any(|ours| ours == host) {
            Ok(host)
        } else {
            Err(Refusal::Misdirected)
        }
    }
}

/// The header's value; twice or unreadable counts as foreign.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Refusal::Foreign);
    }
    first
        .map(|value| value.to_str().map_err(|_| Refusal::Foreign))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: (&str, &str) = ("host", "127.0.0.1:7480");

    fn check(kind: Kind, headers: &[(&'static str, &'static str)]) -> Result<(), Refusal> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        Guard::new(7480, Some("ana")).check(kind, &Uri::from_static("/"), &map)
    }

    #[test]
    fn only_our_own_names_with_our_port_are_answered() {
        for host in ["127.0.0.1:7480", "localhost:7480", "ana.localhost:7480"] {
            assert_eq!(check(Kind::Page, &[("host", host)]), Ok(()), "{host}");
        }
        for host in [
            "127.0.0.1",
            "127.0.0.1:80",
            "evil.example:7480",
            "bo.localhost:7480",
            "127.0.0.1:7480.evil",
            "[::1]:7480",
            "LOCALHOST:7480",
            "",
        ] {
            assert_eq!(
                check(Kind::Page, &[("host", host)]),
                Err(Refusal::Misdirected),
                "{host}"
            );
        }
        assert_eq!(check(Kind::Page, &[]), Err(Refusal::Misdirected));
        assert_eq!(
            check(Kind::Page, &[GOOD, ("host", "evil.example")]),
            Err(Refusal::Misdirected)
        );
    }

    #[test]
    fn an_absolute_request_address_must_name_us_too() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "127.0.0.1:7480".parse().unwrap());
        let uri = Uri::from_static("http://evil.example/");
        assert_eq!(
            Guard::new(7480, None).check(Kind::Page, &uri, &headers),
            Err(Refusal::Misdirected)
        );
    }

    #[test]
    fn a_write_needs_our_own_origin() {
        assert_eq!(check(Kind::Write, &[GOOD, ("origin", "http://127.0.0.1:7480")]), Ok(()));
        for origin in [
            "http://localhost:7480",
            "http://127.0.0.1:7481",
            "https://127.0.0.1:7480",
            "http://evil.example",
            "null",
            "file://",
        ] {
            assert_eq!(
                check(Kind::Write, &[GOOD, ("origin", origin)]),
                Err(Refusal::Foreign),
                "{origin}"
            );
        }
        assert_eq!(check(Kind::Write, &[GOOD]), Err(Refusal::Foreign));
    }

    #[test]
    fn sec_fetch_site_must_be_same_origin_and_none_only_opens_the_page() {
        let origin = ("origin", "http://127.0.0.1:7480");
        assert_eq!(
            check(Kind::Write, &[GOOD, origin, ("sec-fetch-site", "same-origin")]),
            Ok(())
        );
        assert_eq!(check(Kind::Page, &[GOOD, ("sec-fetch-site", "none")]), Ok(()));
        assert_eq!(check(Kind::Page, &[GOOD, ("sec-fetch-site", "same-origin")]), Ok(()));
        assert_eq!(
            check(Kind::Part, &[GOOD, ("sec-fetch-site", "none")]),
            Err(Refusal::Foreign)
        );
        assert_eq!(
            check(Kind::Write, &[GOOD, origin, ("sec-fetch-site", "none")]),
            Err(Refusal::Foreign)
        );
        for site in ["cross-site", "same-site", "SAME-ORIGIN", ""] {
            for kind in [Kind::Page, Kind::Part, Kind::Write] {
                assert_eq!(
                    check(kind, &[GOOD, origin, ("sec-fetch-site", site)]),
                    Err(Refusal::Foreign),
                    "{kind:?} {site}"
                );
            }
        }
    }
}
