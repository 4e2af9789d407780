//! What a pluggable transport's program says on a line of its standard output, by Tor's PT specification 1.0.
//!
//! In: a line. Out: what it means here (PRX-6, PRX-8). The program is somebody else's: whatever it says is read totally, and
//! what is not understood means nothing. Pure.

use core::net::SocketAddr;

/// The one transport that is spoken.
pub const OBFS4: &str = "obfs4";
/// Longest line that is read, in bytes; a program that says longer ones is none.
pub const LINE_BYTES_MAX: usize = 4096;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// It takes connections by SOCKS5 there, on this machine.
    Client(SocketAddr),
    /// Its server listens there.
    Server {
        /// Where.
        at: SocketAddr,
        /// What its clients must know ([`crate::bridge`]).
        cert: &'a str,
    },
    /// It has told of all that it offers.
    Done,
    /// It goes by the proxy that it was told of.
    ProxyDone,
    /// It cannot do what is wanted.
    Failed,
    /// Nothing that matters.
    Other,
}

impl<'a> Said<'a> {
    /// Reads a line.
    pub fn read(line: &'a str) -> Self {
        let mut words = line.split_ascii_whitespace();
        match (words.next(), words.next()) {
            (Some("CMETHOD"), Some(OBFS4)) => Self::client(words).unwrap_or(Self::Failed),
            (Some("SMETHOD"), Some(OBFS4)) => Self::server(words).unwrap_or(Self::Failed),
            (Some("CMETHODS" | "SMETHODS"), Some("DONE")) => Self::Done,
            (Some("PROXY"), Some("DONE")) => Self::ProxyDone,
            (Some("ENV-ERROR" | "VERSION-ERROR" | "PROXY-ERROR" | "CMETHOD-ERROR" | "SMETHOD-ERROR"), _) => {
                Self::Failed
            }
            _ => Self::Other,
        }
    }

    /// Only this machine's: what is said to it is said in the clear.
    fn client(mut words: impl Iterator<Item = &'a str>) -> Option<Self> {
        let is_socks = words.next() == Some("socks5");
        let at: SocketAddr = words.next()?.parse().ok()?;
        (is_socks && at.ip().is_loopback() && at.port() != 0).then_some(Self::Client(at))
    }

    fn server(mut words: impl Iterator<Item = &'a str>) -> Option<Self> {
        let at: SocketAddr = words.next()?.parse().ok()?;
        let arguments = words.find_map(|word| word.strip_prefix("ARGS:"))?;
        let cert = arguments
            .split(',')
            .find_map(|argument| argument.strip_prefix("cert="))?;
        let mode = arguments
            .split(',')
            .find_map(|argument| argument.strip_prefix("iat-mode="));
        // Clients are not told another one.
        (mode.is_none_or(|mode| mode == "0") && at.port() != 0).then_some(Self::Server { at, cert })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_client_and_of_a_server_are_told_apart_prx_6() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let cases = [
            ("VERSION 1", Said::Other),
            (
                "CMETHOD obfs4 socks5 127.0.0.1:40001",
                Said::Client(at("127.0.0.1:40001")),
            ),
            ("CMETHOD obfs4 socks5 [::1]:40001", Said::Client(at("[::1]:40001"))),
            ("CMETHOD obfs4 socks4 127.0.0.1:40001", Said::Failed),
            ("CMETHOD obfs4 socks5 192.0.2.7:40001", Said::Failed),
            ("CMETHOD obfs4 socks5 127.0.0.1:0", Said::Failed),
            ("CMETHOD obfs4 socks5", Said::Failed),
            ("CMETHOD meek_lite socks5 127.0.0.1:1", Said::Other),
            ("CMETHODS DONE", Said::Done),
            ("SMETHODS DONE", Said::Done),
            ("CMETHODS", Said::Other),
            ("PROXY DONE", Said::ProxyDone),
            ("PROXY-ERROR no", Said::Failed),
            ("ENV-ERROR no TOR_PT_STATE_LOCATION", Said::Failed),
            ("VERSION-ERROR no-version", Said::Failed),
            ("SMETHOD-ERROR obfs4 no", Said::Failed),
            ("", Said::Other),
        ];
        for (line, said) in cases {
            assert_eq!(Said::read(line), said, "{line}");
        }
    }

    #[test]
    fn a_server_tells_its_certificate_prx_8() {
        let (at, cert) = ("0.0.0.0:9443".parse().unwrap(), "abc/+1");
        for line in [
            "SMETHOD obfs4 0.0.0.0:9443 ARGS:cert=abc/+1,iat-mode=0",
            "SMETHOD obfs4 0.0.0.0:9443 OTHER:x ARGS:iat-mode=0,cert=abc/+1",
            "SMETHOD obfs4 0.0.0.0:9443 ARGS:cert=abc/+1",
        ] {
            assert_eq!(Said::read(line), Said::Server { at, cert }, "{line}");
        }
        for line in [
            "SMETHOD obfs4 0.0.0.0:9443",
            "SMETHOD obfs4 nowhere ARGS:cert=abc",
            "SMETHOD obfs4 0.0.0.0:9443 ARGS:iat-mode=0",
            "SMETHOD obfs4 0.0.0.0:9443 ARGS:cert=abc,iat-mode=1",
        ] {
            assert_eq!(Said::read(line), Said::Failed, "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_read_prx_6(line in "\\PC{0,120}", tail in "[ -~]{0,60}") {
            let _ = Said::read(&line);
            for begin in ["CMETHOD obfs4 ", "SMETHOD obfs4 ", "SMETHOD obfs4 [::1]:1 ARGS:"] {
                let _ = Said::read(&alloc::format!("{begin}{tail}"));
            }
        }
    }
}
