//! Where a drop lies: `davs://USER:PASSWORD@HOST:PORT/PATH`, the kind of address that a drop has (DRP-1).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use zeroize::Zeroizing;

use crate::address::{self, Around};

const SCHEMES: [(&str, Around); 2] = [("davs://", Around::Tls), ("dav://", Around::Plain)];
/// What people write for the same.
const COMMON: [(&str, &str); 2] = [("https://", "davs://"), ("http://", "dav://")];

/// The parts of a drop's address, as they stand there. It does not print: there is a password in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
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
        (place.user.is_none_or(user_holds) && path_holds(place.path)).then_some(place)
    }

    /// The same, not looking at what stands in them.
    pub(crate) fn split(address: &'a str) -> Option<Self> {
        let after = |(scheme, around): &(&str, Around)| Some((*around, address.strip_prefix(*scheme)?));
        let (around, rest) = SCHEMES.iter().find_map(after)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        Some(Self {
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
        let (scheme, port) = match place.around {
            Around::Tls => ("davs://", 443),
            Around::Plain => ("dav://", 80),
        };
        let host = address::with_port(place.host, port)?;
        let user = place.user.map(|user| format!("{user}@")).unwrap_or_default();
        let address = format!("{scheme}{user}{host}{}", place.path);
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
        let scheme = match self.around {
            Around::Tls => "davs://",
            Around::Plain => "dav://",
        };
        format!("{scheme}{}{}", self.host, self.path)
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
            for text in [text, format!("davs://{rest}"), format!("https://{rest}")] {
                let _ = (Place::read(&text), address::check(&text));
                if let Some(kept) = Place::from_url(&text) {
                    prop_assert_eq!(Place::from_url(&kept), Some(kept.clone()));
                    prop_assert!(Place::read(&kept).is_some());
                }
            }
        }
    }
}
