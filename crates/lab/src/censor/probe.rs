//! Active probing: what a censor says to a server that it suspects, and by which rule it decides what it is.
//!
//! In: what came back of each probe. Out: why the server is taken for a proxy, or nothing. Connecting is the prober's job
//! ([`crate::prober`]).

use std::net::SocketAddrV4;

use serde::Deserialize;

use super::{CensorError, check_seconds};

/// Most servers that are probed for one rule.
pub const SUSPECTS_MAX: usize = 64;
/// Most kinds of probes in a rule, and of signs.
const KINDS_MAX: usize = 8;
/// Longest wait for an answer, in seconds.
const WAIT_S_MAX: f64 = 120.0;

/// How a rule probes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// What is said to the server, each on a connection of its own.
    pub with: Vec<Means>,
    /// So long after it was noted.
    pub after_s: f64,
    /// So long an answer is waited for.
    pub wait_s: f64,
    /// One of these signs is enough.
    pub proxy_if: Vec<Sign>,
}

/// What is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Means {
    /// 221 random bytes.
    Random,
    /// `GET /`.
    Http,
    /// The first packet of the client, once more.
    Replay,
    /// TLS, and `GET /` in it.
    TlsHttp,
    /// TLS, and random bytes in it.
    TlsRandom,
}

/// What is taken for the sign of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sign {
    /// It takes connections, and nothing that is said gets one byte back.
    Mute,
    /// Random bytes get the same HTTP status as `GET /`, plain or in TLS, and it is not 400: a web server has that one for what it
    /// does not understand, and another one for requests, or none.
    SameAnswer,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nobody takes connections there.
    Refused,
    /// Not one byte: silence, or the end.
    Nothing,
    /// This; in TLS what stood inside, empty where only TLS itself was spoken.
    Said(Vec<u8>),
}

/// A server to be probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// The rule that noted it.
    pub rule: usize,
    /// Where it is.
    pub server: SocketAddrV4,
    /// The first packet that its client sent.
    pub first: Vec<u8>,
    /// The name in its client's ClientHello.
    pub name: Option<String>,
}

impl Sign {
    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mute => "mute",
            Self::SameAnswer => "same answer",
        }
    }

    fn shows(self, answers: &[(Means, Answer)]) -> bool {
        match self {
            Self::Mute => !answers.is_empty() && answers.iter().all(|(_, answer)| *answer == Answer::Nothing),
            Self::SameAnswer => {
                let status = |means: Means| {
                    let mut all = answers.iter();
                    let (_, answer) = all.find(|(asked, _)| *asked == means)?;
                    status(answer)
                };
                let same = |one: Means, other: Means| status(one).is_some() && status(one) == status(other);
                same(Means::Http, Means::Random) || same(Means::TlsHttp, Means::TlsRandom)
            }
        }
    }
}

/// `HTTP/1.1 404`, where it is HTTP and means that something was understood.
fn status(answer: &Answer) -> Option<&[u8]> {
    let Answer::Said(bytes) = answer else { return None };
    bytes
        .get(..12)
        .filter(|line| line.starts_with(b"HTTP/1.") && !line.ends_with(b"400"))
}

impl Probe {
    pub(super) fn check(&self) -> Result<(), CensorError> {
        check_seconds(self.after_s, "probe.after_s")?;
        let is_right = [
            (self.wait_s > 0.0 && self.wait_s <= WAIT_S_MAX, "probe.wait_s"),
            ((1..=KINDS_MAX).contains(&self.with.len()), "probe.with"),
            ((1..=KINDS_MAX).contains(&self.proxy_if.len()), "probe.proxy_if"),
        ];
        let wrong = is_right.into_iter().find(|(is_right, _)| !is_right);
        wrong.map_or(Ok(()), |(_, what)| Err(CensorError::Value(what)))
    }

    /// Why a server is taken for a proxy, if it is.
    pub fn verdict(&self, answers: &[(Means, Answer)]) -> Option<Sign> {
        self.proxy_if.iter().copied().find(|sign| sign.shows(answers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(proxy_if: &str) -> Probe {
        let text = format!("with=['random']\nafter_s=1.0\nwait_s=2.0\nproxy_if={proxy_if}");
        toml::from_str(&text).unwrap()
    }

    fn said(bytes: &[u8]) -> Answer {
        Answer::Said(bytes.to_vec())
    }

    #[test]
    fn who_says_nothing_to_anything_is_mute_and_who_is_not_there_is_not() {
        let mute = probe("['mute']");
        let quiet = [(Means::Random, Answer::Nothing), (Means::Http, Answer::Nothing)];
        assert_eq!(mute.verdict(&quiet), Some(Sign::Mute));
        let speaks = [(Means::Random, Answer::Nothing), (Means::TlsHttp, said(b""))];
        assert_eq!(mute.verdict(&speaks), None, "it speaks TLS");
        let gone = [(Means::Random, Answer::Refused), (Means::Http, Answer::Nothing)];
        assert_eq!(mute.verdict(&gone), None);
        assert_eq!(mute.verdict(&[]), None);
    }

    #[test]
    fn who_answers_noise_as_a_request_is_no_web_server() {
        let odd = probe("['same-answer']");
        let pair = |one: Means, first: &[u8], other: Means, second: &[u8]| [(one, said(first)), (other, said(second))];
        let (found, bad) = (b"HTTP/1.1 404 Not Found\r\n\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let plain = pair(Means::Http, found, Means::Random, found);
        assert_eq!(odd.verdict(&plain), Some(Sign::SameAnswer));
        let inside = pair(Means::TlsHttp, found, Means::TlsRandom, found);
        assert_eq!(odd.verdict(&inside), Some(Sign::SameAnswer));
        assert_eq!(odd.verdict(&pair(Means::Http, found, Means::Random, bad)), None);
        let plain_at_tls = pair(Means::Http, bad, Means::Random, bad);
        assert_eq!(
            odd.verdict(&plain_at_tls),
            None,
            "nginx, spoken to in plain where it has TLS"
        );
        assert_eq!(
            odd.verdict(&pair(Means::Http, b"SSH-2.0-x....", Means::Random, b"SSH-2.0-x....")),
            None
        );
        assert_eq!(odd.verdict(&pair(Means::TlsHttp, b"", Means::TlsRandom, b"")), None);
        assert_eq!(odd.verdict(&pair(Means::Http, found, Means::TlsRandom, found)), None);
        assert_eq!(
            probe("['mute']").verdict(&plain),
            None,
            "only what the file names counts"
        );
    }
}
