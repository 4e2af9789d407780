//! Why there is no certificate, in words for whoever can do something about it; and how long to wait then.
//!
//! In: what the directory said, which is anybody's text. Out: one of our own words. What the directory said is kept beside
//! it, cut short and in plain letters, for the operator's eyes only: it names addresses.

use std::time::Duration;

use instant_acme::{Error, Problem};
use serde::{Deserialize, Serialize};

/// Longest text of a directory that is kept.
const DETAIL_CHARS: usize = 300;
/// What stands before each kind of problem (RFC 8555, 6.7).
const KIND: &str = "urn:ietf:params:acme:error:";
/// Longest pause that a directory can ask for.
pub(crate) const PATIENCE_MAX: Duration = Duration::from_secs(7 * 86_400);

/// Why there is no new certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Failure {
    /// No connection, or no answer.
    #[error("the directory is not reached: is there a way out to the internet, and does its name resolve here?")]
    NotReached,
    /// Its certificate is of nobody we know.
    #[error("the directory's own certificate is not of a trusted authority, or the clock is wrong")]
    NotTrusted,
    /// Too much was asked.
    #[error("the directory takes no more for now (rate limit); it is asked again when it said, or in an hour")]
    RateLimited,
    /// DNS has no answer.
    #[error("the directory does not find the name: set an A or AAAA record that leads here")]
    NameNotFound,
    /// Nobody answered.
    #[error("the directory reaches nobody there: port 443 must be open from everywhere and lead to this relay")]
    NotReachable,
    /// Another one answered, or nobody who could be told.
    #[error(
        "the directory does not find this relay there: the name or number must lead here, and port 443 be open and nobody else's"
    )]
    NotHere,
    /// CAA.
    #[error("a CAA record of the name does not let this directory issue")]
    Caa,
    /// Not this name, or no names of this kind.
    #[error("the directory issues nothing for this name or number")]
    NotForThis,
    /// New terms.
    #[error("the directory wants something from you first, such as agreeing to new terms: see its site")]
    Terms,
    /// The mail address.
    #[error("the directory does not take the contact: change or remove `acme_contact`")]
    Contact,
    /// Not for everybody.
    #[error("the directory is for its customers only (external accounts), which this relay cannot be")]
    Customers,
    /// No TLS-ALPN-01.
    #[error("the directory does not offer the only way that this relay can prove itself (tls-alpn-01)")]
    NoWay,
    /// Another problem that it names.
    #[error("the directory refused")]
    Refused,
    /// It is ill.
    #[error("the directory has trouble of its own")]
    Trouble,
    /// Its own numbers against replays.
    #[error("the directory refused its own numbers (nonces) over and over")]
    Nonce,
    /// What it said is nothing that can be understood.
    #[error("what the directory answered makes no sense: is it the URL of an ACME directory?")]
    Nonsense,
    /// Too slow.
    #[error("the directory was not done in time")]
    Slow,
    /// Our own disk.
    #[error("the data folder could not be written")]
    Disk,
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) why: Failure,
    /// What the directory said, for the operator.
    pub(crate) detail: Option<String>,
    /// How long it wants to be left alone.
    pub(crate) patience: Option<Duration>,
}

impl From<Failure> for Failed {
    fn from(why: Failure) -> Self {
        Self {
            why,
            detail: None,
            patience: None,
        }
    }
}

impl Failed {
    /// What the library says it was.
    pub(crate) fn of(error: &Error) -> Self {
        match error {
            Error::Api(problem) => Self::problem(problem),
            Error::Other(inner) => inner
                .downcast_ref()
                .map_or(Failure::Trouble, |why: &Failure| *why)
                .into(),
            Error::Timeout(_) => Failure::Slow.into(),
            other => Self {
                detail: Some(plain(&other.to_string())),
                ..Failure::Nonsense.into()
            },
        }
    }

    /// A problem that the directory names.
    pub(crate) fn problem(problem: &Problem) -> Self {
        let kind = problem.r#type.as_deref().unwrap_or_default();
        Self {
            why: why(kind.strip_prefix(KIND).unwrap_or_default(), problem.status),
            detail: problem.detail.as_deref().map(plain),
            patience: None,
        }
    }

    /// The same, of the proof: there it looked for this relay and found somebody else.
    pub(crate) fn proof(problem: &Problem) -> Self {
        let failed = Self::problem(problem);
        match failed.why {
            Failure::Refused => Self {
                why: Failure::NotHere,
                ..failed
            },
            _ => failed,
        }
    }

    /// Whether the order that it befell is done with, so that another try needs a new one.
    pub(crate) const fn ends_the_order(&self) -> bool {
        match self.why {
            Failure::NotReached
            | Failure::NotTrusted
            | Failure::RateLimited
            | Failure::Trouble
            | Failure::Nonce
            | Failure::Slow
            | Failure::Disk => false,
            Failure::NameNotFound
            | Failure::NotReachable
            | Failure::NotHere
            | Failure::Caa
            | Failure::NotForThis
            | Failure::Terms
            | Failure::Contact
            | Failure::Customers
            | Failure::NoWay
            | Failure::Refused
            | Failure::Nonsense => true,
        }
    }

    /// How long to wait after the `nth` failure in a row, from 1 on: what the directory asked for, or a time that doubles,
    /// half of it by dice (ACM-6).
    pub(crate) fn pause(&self, nth: u32, dice: u32) -> Duration {
        let (first, longest) = steps(self.why);
        let whole = first.saturating_mul(1 << nth.saturating_sub(1).min(16)).min(longest);
        let pause = whole / 2 + (whole / 2).mul_f64(f64::from(dice) / f64::from(u32::MAX));
        let asked = self.patience.unwrap_or_default().min(PATIENCE_MAX);
        // Everybody who was told the same time would come at once.
        let asked = asked + asked.mul_f64(f64::from(dice) / f64::from(u32::MAX) / 20.0);
        pause.max(asked)
    }
}

/// The first pause after a failure, and the longest. Let's Encrypt allows five failed checks of a name in an hour.
const fn steps(why: Failure) -> (Duration, Duration) {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    let (first, longest) = match why {
        Failure::NotReached | Failure::Disk => (10, HOUR),
        Failure::Trouble | Failure::Nonce | Failure::Slow => (5 * MINUTE, 6 * HOUR),
        Failure::NameNotFound | Failure::NotReachable | Failure::NotHere | Failure::Caa => (30 * MINUTE, 24 * HOUR),
        Failure::RateLimited => (2 * HOUR, 24 * HOUR),
        Failure::NotTrusted
        | Failure::NotForThis
        | Failure::Terms
        | Failure::Contact
        | Failure::Customers
        | Failure::NoWay
        | Failure::Refused
        | Failure::Nonsense => (2 * HOUR, 24 * HOUR),
    };
    (Duration::from_secs(first), Duration::from_secs(longest))
}

fn why(kind: &str, status: Option<u16>) -> Failure {
    match kind {
        "rateLimited" => Failure::RateLimited,
        "dns" => Failure::NameNotFound,
        "connection" => Failure::NotReachable,
        "tls" | "incorrectResponse" => Failure::NotHere,
        "caa" => Failure::Caa,
        "rejectedIdentifier" | "unsupportedIdentifier" => Failure::NotForThis,
        "userActionRequired" => Failure::Terms,
        "invalidContact" | "unsupportedContact" => Failure::Contact,
        "externalAccountRequired" => Failure::Customers,
        "serverInternal" => Failure::Trouble,
        "badNonce" => Failure::Nonce,
        _ => match status {
            Some(429) => Failure::RateLimited,
            Some(500..) => Failure::Trouble,
            Some(_) | None => Failure::Refused,
        },
    }
}

/// Anybody's text, as it may be shown: short, and plain letters only.
fn plain(text: &str) -> String {
    let letters = text.chars().take(DETAIL_CHARS);
    letters
        .map(|letter| if letter.is_ascii_graphic() { letter } else { ' ' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: &str, detail: &str) -> Failed {
        let text = serde_json::json!({ "type": format!("{KIND}{kind}"), "detail": detail, "status": 400 });
        Failed::problem(&serde_json::from_value(text).unwrap())
    }

    #[test]
    fn each_problem_has_a_word_of_ours_acm_7() {
        for (kind, why) in [
            ("rateLimited", Failure::RateLimited),
            ("dns", Failure::NameNotFound),
            ("connection", Failure::NotReachable),
            ("unauthorized", Failure::Refused),
            ("tls", Failure::NotHere),
            ("caa", Failure::Caa),
            ("rejectedIdentifier", Failure::NotForThis),
            ("userActionRequired", Failure::Terms),
            ("invalidContact", Failure::Contact),
            ("externalAccountRequired", Failure::Customers),
            ("serverInternal", Failure::Trouble),
            ("somethingNew", Failure::Refused),
        ] {
            assert_eq!(problem(kind, "").why, why, "{kind}");
        }
        let bare = |status| Failed::problem(&serde_json::from_value(serde_json::json!({ "status": status })).unwrap());
        assert_eq!((bare(429).why, bare(503).why), (Failure::RateLimited, Failure::Trouble));
        let unauthorized = serde_json::json!({ "type": format!("{KIND}unauthorized") });
        let proof = Failed::proof(&serde_json::from_value(unauthorized).unwrap());
        assert_eq!(proof.why, Failure::NotHere, "of a proof");
    }

    #[test]
    fn what_a_directory_says_is_kept_short_and_plain_acm_7() {
        let said = problem("dns", &format!("\u{1b}[31mred\r\n{}", "x".repeat(10_000)));
        let detail = said.detail.unwrap();
        assert_eq!(detail.chars().count(), DETAIL_CHARS);
        assert!(detail.starts_with(" [31mred  x"), "{detail}");
        assert!(!said.why.to_string().contains("red"));
    }

    #[test]
    fn pauses_double_to_a_day_and_keep_what_was_asked_acm_6() {
        let failed: Failed = Failure::NotHere.into();
        let hour = Duration::from_secs(3600);
        assert_eq!((failed.pause(1, 0), failed.pause(1, u32::MAX)), (hour / 4, hour / 2));
        assert_eq!(
            (failed.pause(2, 0), failed.pause(u32::MAX, u32::MAX)),
            (hour / 2, 24 * hour)
        );
        // Five checks of a name may fail in an hour.
        let in_an_hour: Vec<Duration> = (1..=5).map(|nth| failed.pause(nth, 0)).collect();
        assert!(in_an_hour.iter().take(4).sum::<Duration>() > hour);
        let asked = Failed {
            patience: Some(3 * hour),
            ..Failure::RateLimited.into()
        };
        assert!(asked.pause(1, 0) >= 3 * hour && asked.pause(1, u32::MAX) <= 4 * hour);
        let endless = Failed {
            patience: Some(Duration::MAX),
            ..Failure::RateLimited.into()
        };
        assert!(endless.pause(1, u32::MAX) <= PATIENCE_MAX * 2);
    }
}
