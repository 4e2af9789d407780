//! Where a drop lies: `davs://USER:PASSWORD@HOST:PORT/PATH` or `imaps://USER:PASSWORD@HOST:PORT/MAILBOX`, the kinds of
//! address that a drop has (DRP-1, DRP-14).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use zeroize::Zeroizing;

use crate::address::{self, Around};

const SCHEMES: [(&str, Kind, Around); 4] = [
    ("davs://", Kind::Folder, Around::Tls),
    ("dav://", Kind::Folder, Around::Plain),
    ("imaps://", Kind::Mailbox, Around::Tls),
    ("imap://", Kind::Mailbox, Around::Plain),
];
/// What people write for the same.
const COMMON: [(&str, &str); 2] = [("https://", "davs://"), ("http://", "dav://")];
/// The mailbox where a person names none.
const MAILBOX: &str = "/stonechat";

/// What a drop is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder on a WebDAV server.
    Folder,
    /// A mailbox ("folder") of an account on an IMAP server.
    Mailbox,
}

/// The parts of a drop's address, as they stand there. It does not print: there is a password in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// What it is.
    pub kind: Kind,
    /// Whether it is spoken to inside TLS.
    pub around: Around,
    /// User and password, percent-encoded, with a colon between; none where the server asks for none.
    user: Option<&'a str>,
    /// `host:port`.
    pub host: &'a str,
    /// The folder: empty, or beginning with a slash and without one at its end.
    pub path: &'a str,
}

impl<'a> Place<'a> {
    /// The parts of an address, where it is a drop's and holds.
    pub fn read(address: &'a str) -> Option<Self> {
        let place = Self::split(address)?;
        let holds = match place.kind {
            Kind::Folder => place.user.is_none_or(user_holds),
            Kind::Mailbox => place.user.is_some_and(login_holds) && mailbox_holds(place.path),
        };
        (holds && path_holds(place.path)).then_some(place)
    }

    /// The same, not looking at what stands in them.
    pub(crate) fn split(address: &'a str) -> Option<Self> {
        let after = |(scheme, kind, around): &(&str, Kind, Around)| {
            let rest = address.strip_prefix(*scheme)?;
            Some((*kind, *around, rest))
        };
        let (kind, around, rest) = SCHEMES.iter().find_map(after)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        Some(Self {
            kind,
            around,
            user,
            host,
            path,
        })
    }

    /// The address as it is kept, out of what a person writes: `https://` for `davs://`, no port, a slash at the end.
    pub fn from_url(url: &str) -> Option<String> {
        let url = url.trim().trim_end_matches('/');
        let common = COMMON
            .iter()
            .find_map(|(from, to)| Some(format!("{to}{}", url.strip_prefix(from)?)));
        let url = common.unwrap_or_else(|| String::from(url));
        let place = Place::split(&url)?;
        let port = match (place.kind, place.around) {
            (Kind::Folder, Around::Tls) => 443,
            (Kind::Folder, Around::Plain) => 80,
            (Kind::Mailbox, Around::Tls) => 993,
            (Kind::Mailbox, Around::Plain) => 143,
        };
        let path = match place.kind {
            Kind::Mailbox if place.path.is_empty() => MAILBOX,
            Kind::Mailbox | Kind::Folder => place.path,
        };
        let host = address::with_port(place.host, port)?;
        let user = place.user.map(|user| format!("{user}@")).unwrap_or_default();
        let address = format!("{}{user}{host}{path}", place.scheme());
        address::check(&address).map(String::from)
    }

    /// `USER:PASSWORD` as the server is to be told, decoded.
    pub fn credentials(&self) -> Option<Zeroizing<Vec<u8>>> {
        let user = self.user?;
        let (name, password) = user.split_once(':')?;
        let mut out = Zeroizing::new(decoded(name)?);
        out.push(b':');
        out.extend_from_slice(&Zeroizing::new(decoded(password)?));
        Some(out)
    }

    /// What may be shown of it: without user and password.
    pub fn shown(&self) -> String {
        format!("{}{}{}", self.scheme(), self.host, self.path)
    }

    /// The mailbox's name as the server has it, decoded; nothing where it is a folder.
    pub fn mailbox(&self) -> Option<String> {
        let name = self.path.strip_prefix('/').filter(|_| self.kind == Kind::Mailbox)?;
        String::from_utf8(decoded(name)?).ok()
    }

    const fn scheme(&self) -> &'static str {
        match (self.kind, self.around) {
            (Kind::Folder, Around::Tls) => "davs://",
            (Kind::Folder, Around::Plain) => "dav://",
            (Kind::Mailbox, Around::Tls) => "imaps://",
            (Kind::Mailbox, Around::Plain) => "imap://",
        }
    }
}

impl core::fmt::Debug for Place<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Place(..)")
    }
}

/// A name and a password, without control characters when they are decoded, and without a colon in the name.
fn user_holds(user: &str) -> bool {
    let Some((name, password)) = user.split_once(':') else {
        return false;
    };
    let plain = |text: &str| text.bytes().all(|byte| is_plain(byte) || byte == b'%');
    let holds = |text: &str| decoded(text).is_some_and(|text| !text.iter().any(u8::is_ascii_control));
    let has_colon = decoded(name).is_none_or(|name| name.contains(&b':'));
    !name.is_empty() && !has_colon && [name, password].into_iter().all(|text| plain(text) && holds(text))
}

/// The same in ASCII: what stands in a quoted string of a LOGIN has no other spelling that all servers take.
fn login_holds(user: &str) -> bool {
    user_holds(user) && decoded(user).is_some_and(|user| user.is_ascii())
}

/// A slash and a mailbox's name: printable ASCII without what stands for many names, or ends a quoted string.
fn mailbox_holds(path: &str) -> bool {
    let fits = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'*' | b'%' | b'\\');
    let name = path.strip_prefix('/').and_then(decoded);
    name.is_some_and(|name| !name.is_empty() && name.iter().all(fits))
}

/// A path as it stands in a request line, without dots that climb.
fn path_holds(path: &str) -> bool {
    let fits = |byte: u8| is_plain(byte) || matches!(byte, b'/' | b':' | b'@' | b'%');
    let climbs = path.split('/').any(|part| matches!(part, "." | ".."));
    path.bytes().all(fits) && !climbs && !path.ends_with('/') && !path.contains("//") && decoded(path).is_some()
}

/// RFC 3986's unreserved characters and sub-delims.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        )
}

/// With each `%41` as the byte that it stands for.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            other => other,
        };
        out.push(byte);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_of_a_drop_is_read_drp_1() {
        let address = "davs://ana%40example.org:pa%3Ass@dav.example.org:443/remote.php/dav/files/a@b/drop";
        let place = Place::read(address).unwrap();
        assert_eq!((place.around, place.host), (Around::Tls, "dav.example.org:443"));
        assert_eq!(place.path, "/remote.php/dav/files/a@b/drop");
        assert_eq!(place.credentials().unwrap().as_slice(), b"ana@example.org:pa:ss");
        assert_eq!(address::check(address), Some(address));
        assert_eq!(address::split(address), (Around::Tls, "dav.example.org:443"));
        let bare = Place::read("dav://[::1]:80").unwrap();
        assert_eq!((bare.around, bare.host, bare.path), (Around::Plain, "[::1]:80", ""));
        assert!(bare.credentials().is_none());
    }

    #[test]
    fn what_no_server_should_be_told_is_no_address_drp_1() {
        for bad in [
            "davs://",
            "davs://a",
            "davs://a:0",
            "davs://u@a:1",
            "davs://:p@a:1",
            "davs://u%3Ab:p@a:1",
            "davs://u:p%@a:1",
            "davs://u:p%0d%0a@a:1",
            "davs://u:p q@a:1",
            "davs://u:p@a:1/",
            "davs://u:p@a:1/x//y",
            "davs://u:p@a:1/../x",
            "davs://u:p@a:1/x?y",
            "davs://u:p@a:1/x#y",
            "davs://u:p@a:1/x y",
            "davs://u:p@a:1/x\r\ny",
            "davs://u:p/@a:1",
            "DAVS://u:p@a:1",
            "https://u:p@a:1/x",
        ] {
            assert_eq!(address::check(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_address_of_a_mailbox_is_read_drp_14() {
        let address = "imaps://ana%40mail.example:pa%3Ass@imap.mail.example:993/INBOX.hollow%20tree";
        let place = Place::read(address).unwrap();
        assert_eq!((place.kind, place.around), (Kind::Mailbox, Around::Tls));
        assert_eq!(place.host, "imap.mail.example:993");
        assert_eq!(place.mailbox().as_deref(), Some("INBOX.hollow tree"));
        assert_eq!(place.credentials().unwrap().as_slice(), b"ana@mail.example:pa:ss");
        assert_eq!(address::check(address), Some(address));
        assert!(address::is_drop(address) && address::ways(address) == [address]);
        for bad in [
            "imaps://a:1/x",
            "imaps://u:p@a:1",
            "imaps://u:p@a:1/",
            "imaps://u:p@a:1/x%22",
            "imaps://u:p@a:1/x%0d%0a",
            "imaps://u:p@a:1/%2a",
            "imaps://u:p@a:1/%25",
            "imaps://u:p@a:1/%d0%96",
            "imaps://u:%d0%96@a:1/x",
            "imaps://u:p@a:1/../x",
            "IMAPS://u:p@a:1/x",
        ] {
            assert_eq!(address::check(bad), None, "{bad}");
        }
        for (written, kept) in [
            ("imaps://u:p@mail.example", "imaps://u:p@mail.example:993/stonechat"),
            ("imaps://u:p@mail.example/x/", "imaps://u:p@mail.example:993/x"),
            ("imap://u:p@127.0.0.1:1143/x", "imap://u:p@127.0.0.1:1143/x"),
        ] {
            assert_eq!(Place::from_url(written).as_deref(), Some(kept));
        }
        let shown = Place::read(address).unwrap().shown();
        assert_eq!(shown, "imaps://imap.mail.example:993/INBOX.hollow%20tree");
    }

    #[test]
    fn what_people_write_becomes_an_address_drp_1() {
        for (written, kept) in [
            ("https://u:p@a.example/dav/", "davs://u:p@a.example:443/dav"),
            (" http://127.0.0.1:8080/x ", "dav://127.0.0.1:8080/x"),
            ("davs://u:p@a:1/x", "davs://u:p@a:1/x"),
        ] {
            assert_eq!(Place::from_url(written).as_deref(), Some(kept));
        }
        for bad in ["", "a", "ftp://a/x", "https://u:p@/x"] {
            assert_eq!(Place::from_url(bad), None, "{bad}");
        }
        let long = format!("https://u:p@a/{}", "x".repeat(100));
        assert_eq!(Place::from_url(&long), None, "longer than a route takes");
    }

    #[test]
    fn a_password_is_not_shown_rte_4() {
        let place = Place::read("davs://canary:canary@a:1/x").unwrap();
        assert_eq!(place.shown(), "davs://a:1/x");
        assert!(!format!("{place:?}").contains("canary"));
    }

    proptest! {
        #[test]
        fn any_text_is_an_address_or_none_drp_1(text in "\\PC{0,60}", rest in "[a-z0-9:@/%.\\[\\]-]{0,60}") {
            for text in [text, format!("davs://{rest}"), format!("https://{rest}"), format!("imaps://{rest}")] {
                let _ = (Place::read(&text), address::check(&text));
                if let Some(kept) = Place::from_url(&text) {
                    prop_assert_eq!(Place::from_url(&kept), Some(kept.clone()));
                    prop_assert!(Place::read(&kept).is_some());
                }
            }
        }
    }
}
