//! The PROXY header, versions 1 and 2: for whom a front passes bytes on.
//!
//! In: the first bytes of a connection. Out: an address, and where the header ends. Specified by HAProxy's
//! `proxy-protocol.txt`; what follows the addresses in version 2 is skipped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::{self, FromStr};

/// The longest header that is taken, in bytes: fronts send some hundred at most.
pub(in crate::listen) const HEADER_BYTES_MAX: usize = 1024;
/// The longest line of version 1, its end included.
const LINE_BYTES_MAX: usize = 107;

/// What version 1 begins with.
const LINE_BEGINS: &[u8] = b"PROXY ";
/// What version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, and the front's own connection, for instance to see whether the relay is up.
const LOCAL: u8 = 0x20;
/// Version 2, and a connection that is passed on.
const PASSED_ON: u8 = 0x21;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::listen) struct Told {
    /// For whom; nobody where the front comes for itself, or does not know.
    pub(in crate::listen) whom: Option<IpAddr>,
    /// Length of the header, in bytes.
    pub(in crate::listen) length: usize,
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(in crate::listen) enum ProxyHeaderError {
    /// They begin otherwise.
    #[error("there is none")]
    None,
    /// Longer than [`HEADER_BYTES_MAX`], or than a line may be.
    #[error("it is too long")]
    TooLong,
    /// A version or command that is not known.
    #[error("version and command 0x{0:02x} are not known")]
    Unknown(u8),
    /// Addresses that are none.
    #[error("its addresses are malformed")]
    Malformed,
}

/// Reads a header; nothing while it is not whole.
pub(in crate::listen) fn read(bytes: &[u8]) -> Result<Option<Told>, ProxyHeaderError> {
    if begins(bytes, SIGNATURE) {
        read_binary(bytes)
    } else if begins(bytes, LINE_BEGINS) {
        read_line(bytes)
    } else {
        Err(ProxyHeaderError::None)
    }
}

/// Whether the bytes begin so, as far as they go.
fn begins(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.iter().zip(wanted).all(|(is, wanted)| is == wanted)
}

fn read_line(bytes: &[u8]) -> Result<Option<Told>, ProxyHeaderError> {
    let line = bytes.get(..LINE_BYTES_MAX).unwrap_or(bytes);
    let Some(end) = line.windows(2).position(|two| two == b"\r\n") else {
        return if bytes.len() < LINE_BYTES_MAX {
            Ok(None)
        } else {
            Err(ProxyHeaderError::TooLong)
        };
    };
    let text = line.get(LINE_BEGINS.len()..end).unwrap_or_default();
    let text = str::from_utf8(text).map_err(|_| ProxyHeaderError::Malformed)?;
    Ok(Some(Told {
        whom: line_source(text)?,
        length: end.saturating_add(2),
    }))
}

/// `TCP4 SOURCE DESTINATION PORT PORT`, or `UNKNOWN` and anything.
fn line_source(text: &str) -> Result<Option<IpAddr>, ProxyHeaderError> {
    let words: Vec<&str> = text.split(' ').collect();
    let source = match words.as_slice() {
        ["UNKNOWN", ..] => return Ok(None),
        ["TCP4", source, to, ports @ ..] if holds::<Ipv4Addr>(to) && are_two_ports(ports) => {
            source.parse().map(IpAddr::V4)
        }
        ["TCP6", source, to, ports @ ..] if holds::<Ipv6Addr>(to) && are_two_ports(ports) => {
            source.parse().map(IpAddr::V6)
        }
        _ => return Err(ProxyHeaderError::Malformed),
    };
    source.map(Some).map_err(|_| ProxyHeaderError::Malformed)
}

fn holds<T: FromStr>(word: &str) -> bool {
    word.parse::<T>().is_ok()
}

fn are_two_ports(words: &[&str]) -> bool {
    words.len() == 2 && words.iter().all(|word| holds::<u16>(word))
}

/// Signature 12 | version and command 1 | family 1 | length 2 | addresses and what else there is.
fn read_binary(bytes: &[u8]) -> Result<Option<Told>, ProxyHeaderError> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<16>() else {
        return Ok(None);
    };
    let [.., command, family, high, low] = *fixed;
    if !matches!(command, LOCAL | PASSED_ON) {
        return Err(ProxyHeaderError::Unknown(command));
    }
    let size = usize::from(u16::from_be_bytes([high, low]));
    let length = fixed.len().saturating_add(size);
    if length > HEADER_BYTES_MAX {
        return Err(ProxyHeaderError::TooLong);
    }
    let Some(body) = rest.get(..size) else {
        return Ok(None);
    };
    let whom = if command == LOCAL { None } else { source(family, body)? };
    Ok(Some(Told { whom, length }))
}

/// Source | destination | port 2 | port 2; for other families nobody.
fn source(family: u8, body: &[u8]) -> Result<Option<IpAddr>, ProxyHeaderError> {
    let malformed = ProxyHeaderError::Malformed;
    match family {
        TCP_OVER_IPV4 if body.len() >= 12 => {
            let source = body.first_chunk::<4>().ok_or(malformed)?;
            Ok(Some(Ipv4Addr::from(*source).into()))
        }
        TCP_OVER_IPV6 if body.len() >= 36 => {
            let source = body.first_chunk::<16>().ok_or(malformed)?;
            Ok(Some(Ipv6Addr::from(*source).into()))
        }
        TCP_OVER_IPV4 | TCP_OVER_IPV6 => Err(malformed),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINE: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n";

    fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let size = u16::try_from(body.len()).unwrap().to_be_bytes();
        [SIGNATURE, [command, family].as_slice(), &size, body].concat()
    }

    fn told(whom: Option<&str>, length: usize) -> Result<Option<Told>, ProxyHeaderError> {
        let whom = whom.map(|text| text.parse().unwrap());
        Ok(Some(Told { whom, length }))
    }

    #[test]
    fn both_versions_say_for_whom_rly_46() {
        assert_eq!(read(LINE), told(Some("192.0.2.7"), LINE.len()));
        let six = b"PROXY TCP6 2001:db8::7 2001:db8::1 5 443\r\nGET";
        assert_eq!(read(six), told(Some("2001:db8::7"), six.len() - 3));
        assert_eq!(read(b"PROXY UNKNOWN\r\n"), told(None, 15));
        assert_eq!(read(b"PROXY UNKNOWN a b c\r\n"), told(None, 21));
        let four = binary(PASSED_ON, TCP_OVER_IPV4, &[192, 0, 2, 7, 1, 2, 3, 4, 0, 5, 1, 187]);
        assert_eq!(read(&four), told(Some("192.0.2.7"), 28));
        // With some of what may follow, and the first bytes of the connection.
        let mut body = [0; 40];
        body[..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
        let mut six = binary(PASSED_ON, TCP_OVER_IPV6, &body);
        six.extend_from_slice(b"GET /");
        assert_eq!(read(&six), told(Some("2001:db8::"), 56));
        assert_eq!(read(&binary(LOCAL, 0, &[])), told(None, 16));
        assert_eq!(
            read(&binary(PASSED_ON, 0x31, &[0; 216])),
            told(None, 232),
            "a unix socket"
        );
    }

    #[test]
    fn what_is_no_header_is_refused_for_what_it_is_rly_46() {
        use ProxyHeaderError::{Malformed, None, TooLong, Unknown};
        let long_line = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
        let cases: [(&[u8], ProxyHeaderError); 14] = [
            (b"GET / HTTP/1.1\r\n\r\n", None),
            (b"\r\n\r\nGET", None),
            (b"proxy TCP4", None),
            (&long_line, TooLong),
            (&binary(PASSED_ON, TCP_OVER_IPV4, &[0; 2000]), TooLong),
            (&binary(0x11, TCP_OVER_IPV4, &[0; 12]), Unknown(0x11)),
            (&binary(0x22, TCP_OVER_IPV4, &[0; 12]), Unknown(0x22)),
            (&binary(PASSED_ON, TCP_OVER_IPV4, &[0; 11]), Malformed),
            (&binary(PASSED_ON, TCP_OVER_IPV6, &[0; 35]), Malformed),
            (b"PROXY TCP4 192.0.2.7\r\n", Malformed),
            (b"PROXY TCP4 ::1 ::2 1 2\r\n", Malformed),
            (b"PROXY TCP4 192.0.2.7 192.0.2.8 1 70000\r\n", Malformed),
            (b"PROXY TCP4  192.0.2.7 192.0.2.8 1 2\r\n", Malformed),
            (b"PROXY \xff\r\n", Malformed),
        ];
        for (bytes, why) in cases {
            assert_eq!(read(bytes), Err(why), "{}", bytes.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic_and_within_bounds_rly_46(
            version in 0..3_usize,
            rest in prop::collection::vec(any::<u8>(), 0..1200),
        ) {
            let begins: &[u8] = [b"".as_slice(), LINE_BEGINS, SIGNATURE][version];
            let bytes = [begins, &rest].concat();
            match read(&bytes) {
                Ok(Some(told)) => prop_assert!(told.length <= bytes.len() && told.length <= HEADER_BYTES_MAX),
                // So much may be held while the rest is waited for.
                Ok(None) => prop_assert!(bytes.len() < HEADER_BYTES_MAX),
                Err(_) => {}
            }
        }

        #[test]
        fn a_header_cut_anywhere_waits_for_its_rest_rly_46(
            source in any::<[u8; 4]>(), tail in prop::collection::vec(any::<u8>(), 8..80), at in any::<prop::sample::Index>(),
        ) {
            let whole = binary(PASSED_ON, TCP_OVER_IPV4, &[source.as_slice(), &tail].concat());
            prop_assert_eq!(read(&whole[..at.index(whole.len())]), Ok(None));
            prop_assert_eq!(read(&whole).unwrap().unwrap().whom, Some(IpAddr::V4(source.into())));
            let line = format!("PROXY TCP4 {} 127.0.0.1 1 443\r\n", Ipv4Addr::from(source));
            prop_assert_eq!(read(&line.as_bytes()[..at.index(line.len())]), Ok(None));
            prop_assert_eq!(read(line.as_bytes()).unwrap().unwrap().whom, Some(IpAddr::V4(source.into())));
        }
    }
}
