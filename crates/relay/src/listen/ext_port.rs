//! For whom obfs4's server comes: Tor's extended OR port (proposals 196 and 217), a relay's side.
//!
//! In: connections of the program, on this machine, and a cookie that it reads from a file. Out: whose each one is. Both
//! prove that they know the cookie before anything is said; then it names the address of its client, which limits by
//! address and source count (PRX-9). At most [`SAID_BYTES_MAX`] bytes are read for that.

use std::io;
use std::net::{IpAddr, SocketAddr};

use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

/// Most bytes that are read before it says that it is done.
pub(super) const SAID_BYTES_MAX: usize = 1024;

const HEADER: &[u8; 32] = b"! Extended ORPort Auth Cookie !\n";
const SAFE_COOKIE: u8 = 1;
const END_OF_KINDS: u8 = 0;
const TO_CLIENT: &[u8] = b"ExtORPort authentication server-to-client hash";
const TO_SERVER: &[u8] = b"ExtORPort authentication client-to-server hash";
const DONE: u16 = 0;
const WHOSE: u16 = 1;
const OKAY: u16 = 0x1000;

/// What both sides know. It does not print.
#[derive(Clone)]
pub(super) struct Cookie(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for Cookie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cookie(..)")
    }
}

impl Cookie {
    /// These random bytes.
    pub(super) fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The file that the program reads it from.
    pub(super) fn file(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([&HEADER[..], &self.0[..]].concat())
    }

    fn hash(&self, to: &[u8], theirs: &[u8; 32], ours: &[u8; 32]) -> [u8; 32] {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&self.0[..]).expect("HMAC takes a key of any length");
        [to, theirs, ours].into_iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }
}

/// Why a connection is not the program's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum ExtPortError {
    /// It broke off.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It does not know the cookie.
    #[error("it does not prove the cookie")]
    Unproven,
    /// It says more than it may.
    #[error("it says too much")]
    TooLong,
}

/// Lets the program prove itself, with a nonce that is used once, and hears for whom it comes; nothing where it names nobody.
pub(super) async fn hear<S>(stream: &mut S, cookie: &Cookie, nonce: [u8; 32]) -> Result<Option<IpAddr>, ExtPortError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    say(stream, &[SAFE_COOKIE, END_OF_KINDS]).await?;
    let [kind] = take(stream).await?;
    let theirs: [u8; 32] = take(stream).await?;
    if kind != SAFE_COOKIE {
        return Err(ExtPortError::Unproven);
    }
    say(stream, &[cookie.hash(TO_CLIENT, &theirs, &nonce), nonce].concat()).await?;
    let proof: [u8; 32] = take(stream).await?;
    let is_proven = bool::from(proof.ct_eq(&cookie.hash(TO_SERVER, &theirs, &nonce)));
    say(stream, &[u8::from(is_proven)]).await?;
    if !is_proven {
        return Err(ExtPortError::Unproven);
    }
    let whose = commands(stream).await?;
    say(stream, &[OKAY.to_be_bytes(), [0; 2]].concat()).await?;
    Ok(whose)
}

/// Command 2 | length 2 | body, until it is done. What is not known is passed over.
async fn commands(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<IpAddr>, ExtPortError> {
    let (mut whose, mut left) = (None, SAID_BYTES_MAX);
    loop {
        let [c0, c1, l0, l1] = take(stream).await?;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        left = left.checked_sub(4 + length).ok_or(ExtPortError::TooLong)?;
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        match u16::from_be_bytes([c0, c1]) {
            DONE => return Ok(whose),
            WHOSE => whose = address(&body).or(whose),
            _ => {}
        }
    }
}

fn address(body: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(body).ok()?;
    let address: SocketAddr = text.parse().ok()?;
    Some(address.ip().to_canonical())
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

async fn take<const N: usize>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    const NONCE: [u8; 32] = [7; 32];

    fn cookie() -> Cookie {
        Cookie::new([9; 32])
    }

    fn command(number: u16, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap();
        [&number.to_be_bytes()[..], &length.to_be_bytes(), body].concat()
    }

    /// The program's side, with what it knows and what it says.
    async fn program(mut stream: DuplexStream, known: Cookie, said: Vec<u8>) -> Option<Vec<u8>> {
        let _kinds: [u8; 2] = take(&mut stream).await.ok()?;
        say(&mut stream, &[&[SAFE_COOKIE][..], &[3; 32]].concat()).await.ok()?;
        let hash: [u8; 32] = take(&mut stream).await.ok()?;
        let nonce: [u8; 32] = take(&mut stream).await.ok()?;
        if known.hash(TO_CLIENT, &[3; 32], &nonce) != hash {
            return None;
        }
        say(&mut stream, &known.hash(TO_SERVER, &[3; 32], &nonce)).await.ok()?;
        let _status: [u8; 1] = take(&mut stream).await.ok()?;
        say(&mut stream, &said).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        Some(answer)
    }

    async fn heard(said: Vec<u8>) -> (Result<Option<IpAddr>, ExtPortError>, Option<Vec<u8>>) {
        let (mut near, far) = duplex(8192);
        let program = tokio::spawn(program(far, cookie(), said));
        let whose = hear(&mut near, &cookie(), NONCE).await;
        drop(near);
        (whose, program.await.unwrap())
    }

    #[tokio::test]
    async fn the_program_names_the_address_of_its_client_prx_9() {
        for (text, ip) in [
            ("192.0.2.7:40000", "192.0.2.7"),
            ("[2001:db8::7]:40000", "2001:db8::7"),
            ("[::ffff:192.0.2.7]:1", "192.0.2.7"),
        ] {
            let said = [
                command(WHOSE, text.as_bytes()),
                command(2, b"obfs4"),
                command(DONE, b""),
            ]
            .concat();
            let (whose, answer) = heard(said).await;
            assert_eq!(whose.unwrap(), Some(ip.parse().unwrap()));
            assert_eq!(answer.unwrap(), [0x10, 0, 0, 0]);
        }
        let said = [command(WHOSE, b"somebody"), command(DONE, b"")].concat();
        assert_eq!(heard(said).await.0.unwrap(), None);
    }

    #[tokio::test]
    async fn who_does_not_know_the_cookie_says_nothing_here_prx_9() {
        let (mut near, mut far) = duplex(8192);
        let stranger = tokio::spawn(async move {
            let said = [command(WHOSE, b"192.0.2.7:1"), command(DONE, b"")].concat();
            say(&mut far, &[&[SAFE_COOKIE][..], &[3; 32], &[0; 32], &said].concat())
                .await
                .unwrap();
            let mut answer = Vec::new();
            far.read_to_end(&mut answer).await.unwrap();
            answer
        });
        let error = hear(&mut near, &cookie(), NONCE).await.unwrap_err();
        assert!(matches!(error, ExtPortError::Unproven), "{error}");
        drop(near);
        assert_eq!(stranger.await.unwrap().last(), Some(&0), "it is told no");
        // Who stands in the relay's place without it is found out by the program.
        let (mut near, far) = duplex(8192);
        let program = tokio::spawn(program(far, Cookie::new([8; 32]), vec![]));
        assert!(hear(&mut near, &cookie(), NONCE).await.is_err());
        assert_eq!(program.await.unwrap(), None);
    }

    #[tokio::test]
    async fn it_says_no_more_than_it_may_prx_9() {
        let many: Vec<u8> = (0..=SAID_BYTES_MAX / 4).flat_map(|_| command(2, b"")).collect();
        for said in [command(2, &vec![0; SAID_BYTES_MAX]), many] {
            assert!(matches!(heard(said).await.0, Err(ExtPortError::TooLong)));
        }
        let fits = [command(2, &vec![0; SAID_BYTES_MAX - 8]), command(DONE, b"")].concat();
        assert_eq!(heard(fits).await.0.unwrap(), None);
    }

    proptest! {
        #[test]
        fn whatever_is_said_ends_prx_9(said in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let mut bytes: &[u8] = &said;
                let _ = commands(&mut bytes).await;
            });
        }
    }
}
