//! SOCKS 5, a client's side (RFC 1928, RFC 1929): CONNECT, with a name and a password where these are asked for.
//!
//! In: a stream to a proxy, and where it shall lead. Out: the same stream, leading there, or why not. A name is handed over as a
//! name: the proxy finds out what it leads to, and nobody else (PRX-1). What a proxy says is read totally, byte by byte as
//! the lengths in it tell, and it says at most [`ANSWER_BYTES_MAX`] bytes.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::str::FromStr;

use stonechat_wire::address::place_is_plain;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

/// Longest name, password and host that SOCKS can say, in bytes.
pub const FIELD_BYTES_MAX: usize = 255;
/// The most that a proxy can answer: a method, a verdict, and where it is bound to.
pub const ANSWER_BYTES_MAX: usize = 2 + 2 + 4 + 1 + 255 + 2;

const VERSION: u8 = 5;
const NO_LOGIN: u8 = 0;
const LOGIN: u8 = 2;
const LOGIN_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const NUMBER_4: u8 = 1;
const NAME: u8 = 3;
const NUMBER_6: u8 = 4;

/// Why a proxy does not lead there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocksError {
    /// It broke off.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What answers is no SOCKS 5 proxy, or none that does what is wanted.
    #[error("no such proxy")]
    NotSocks,
    /// It wants a name and a password, or others.
    #[error("the proxy does not let in")]
    Denied,
    /// It was asked, and does not reach it: RFC 1928's number.
    #[error("the proxy answers {0}")]
    Refused(u8),
    /// The host is longer than SOCKS can say.
    #[error("the host is too long")]
    TooLong,
}

/// A name and a password. They do not print.
#[derive(Clone)]
pub struct Login {
    name: Zeroizing<Vec<u8>>,
    password: Zeroizing<Vec<u8>>,
}

impl Login {
    /// Nothing where one of them is empty or longer than [`FIELD_BYTES_MAX`].
    pub fn new(name: &[u8], password: &[u8]) -> Option<Self> {
        let fits = |field: &[u8]| (1..=FIELD_BYTES_MAX).contains(&field.len());
        let owned = |field: &[u8]| Zeroizing::new(field.to_vec());
        (fits(name) && fits(password)).then(|| Self {
            name: owned(name),
            password: owned(password),
        })
    }

    fn request(&self) -> Zeroizing<Vec<u8>> {
        let mut request = Zeroizing::new(Vec::with_capacity(3 + 2 * FIELD_BYTES_MAX));
        request.push(LOGIN_VERSION);
        for field in [&self.name, &self.password] {
            // Longer ones are not made.
            request.push(u8::try_from(field.len()).unwrap_or_default());
            request.extend_from_slice(field);
        }
        request
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(..)")
    }
}

/// Where a proxy stands, and what it wants to hear: `socks5://[USER:PASSWORD@]HOST:PORT`.
#[derive(Clone)]
pub struct Proxy {
    place: String,
    login: Option<Login>,
}

/// A text that names no proxy. It does not repeat the text: a password may stand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a proxy is socks5://HOST:PORT or socks5://USER:PASSWORD@HOST:PORT")]
pub struct NoProxy;

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Proxy({})",
            if self.login.is_some() { "with a login" } else { "open" }
        )
    }
}

impl FromStr for Proxy {
    type Err = NoProxy;

    /// `socks5h://` is the same: the name is the proxy's to look up.
    fn from_str(text: &str) -> Result<Self, NoProxy> {
        let text = text.trim().trim_end_matches('/');
        let rest = ["socks5://", "socks5h://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme));
        let rest = rest.ok_or(NoProxy)?;
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(read_login(login).ok_or(NoProxy)?), place),
            None => (None, rest),
        };
        if !place_is_plain(place) {
            return Err(NoProxy);
        }
        let place = place.to_owned();
        Ok(Self { place, login })
    }
}

impl Proxy {
    /// `host:port` where it listens.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The same as a URL with this number for the host, as a program is told it that looks up no name (PRX-7).
    pub(super) fn url_at(&self, at: std::net::SocketAddr) -> Zeroizing<String> {
        let login = self.login.as_ref();
        let login =
            login.map(|login| Zeroizing::new(format!("{}:{}@", encoded(&login.name), encoded(&login.password))));
        Zeroizing::new(format!(
            "socks5://{}{at}",
            login.as_ref().map_or("", |login| login.as_str())
        ))
    }

    /// Leads a stream to the proxy on to `host:port`.
    pub(super) async fn lead(&self, stream: &mut TcpStream, place: &str) -> Result<(), SocksError> {
        ask(stream, place, self.login.as_ref()).await
    }
}

/// Name and password with a colon between, each percent-encoded.
fn read_login(text: &str) -> Option<Login> {
    let (name, password) = text.split_once(':')?;
    let (name, password) = (Zeroizing::new(decoded(name)?), Zeroizing::new(decoded(password)?));
    Login::new(&name, &password)
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            other => other,
        });
    }
    Some(out)
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

fn encoded(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02X}")).collect()
}

/// Has a proxy lead a stream on to `host:port`.
pub(super) async fn ask<S>(stream: &mut S, place: &str, login: Option<&Login>) -> Result<(), SocksError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = request(place)?;
    let method = if login.is_some() { LOGIN } else { NO_LOGIN };
    say(stream, &[VERSION, 1, method]).await?;
    let [version, chosen] = hear(stream).await?;
    match (version, login) {
        (VERSION, None) if chosen == NO_LOGIN => {}
        (VERSION, Some(login)) if chosen == LOGIN => log_in(stream, login).await?,
        (VERSION, _) => return Err(SocksError::Denied),
        _ => return Err(SocksError::NotSocks),
    }
    say(stream, &request).await?;
    hear_verdict(stream).await
}

async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, login: &Login) -> Result<(), SocksError> {
    say(stream, &login.request()).await?;
    let [_version, status] = hear(stream).await?;
    if status == 0 { Ok(()) } else { Err(SocksError::Denied) }
}

async fn hear_verdict<S: AsyncRead + Unpin>(stream: &mut S) -> Result<(), SocksError> {
    let [version, verdict, _reserved, kind] = hear(stream).await?;
    if version != VERSION {
        return Err(SocksError::NotSocks);
    }
    if verdict != 0 {
        return Err(SocksError::Refused(verdict));
    }
    // Where it is bound to: nobody asks.
    let length = match kind {
        NUMBER_4 => 4,
        NUMBER_6 => 16,
        NAME => usize::from(hear::<1, _>(stream).await?[0]),
        _ => return Err(SocksError::NotSocks),
    };
    let mut bound = vec![0; length + 2];
    stream.read_exact(&mut bound).await?;
    Ok(())
}

/// CONNECT to `host:port`: a number as one, and a name as it is.
fn request(place: &str) -> Result<Vec<u8>, SocksError> {
    let (host, port) = place.rsplit_once(':').ok_or(SocksError::TooLong)?;
    let port: u16 = port.parse().map_err(|_| SocksError::TooLong)?;
    let mut bytes = vec![VERSION, CONNECT, 0];
    match host.trim_start_matches('[').trim_end_matches(']').parse() {
        Ok(IpAddr::V4(ip)) => {
            bytes.push(NUMBER_4);
            bytes.extend(ip.octets());
        }
        Ok(IpAddr::V6(ip)) => {
            bytes.push(NUMBER_6);
            bytes.extend(ip.octets());
        }
        Err(_) => {
            bytes.push(NAME);
            bytes.push(u8::try_from(host.len()).map_err(|_| SocksError::TooLong)?);
            bytes.extend(host.as_bytes());
        }
    }
    bytes.extend(port.to_be_bytes());
    Ok(bytes)
}

async fn say<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

async fn hear<const N: usize, S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
