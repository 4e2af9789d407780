//! How a certificate stands, in plain words: what an operator is told by the program, the figures and the doctor.

use std::fmt;

use super::kept::{Certificate, Last};
use super::plan::Leaf;
use super::{Failure, now_s};

const DAY_S: u64 = 86_400;

/// How it stands. Shown, it names neither addresses nor what the directory said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// When the certificate ends, in Unix seconds, where there is one.
    pub ends_s: Option<u64>,
    /// Why the last attempt failed, if it did.
    pub failure: Option<Failure>,
    /// How many have failed in a row.
    pub failures: u32,
    /// When the next one may be, in Unix seconds.
    pub again_s: u64,
    /// What the directory said to it: for the operator's eyes, since it names addresses.
    pub detail: Option<String>,
}

impl Word {
    pub(crate) fn of(certificate: Option<&Certificate>, last: Last) -> Self {
        let leaf = certificate.and_then(|certificate| Leaf::read(&certificate.chain));
        Self {
            ends_s: leaf.map(|leaf| leaf.not_after_s),
            failure: last.why,
            failures: last.failures,
            again_s: last.not_before_s,
            detail: last.detail,
        }
    }

    /// Whole days for which the certificate holds; nothing without one, 0 where it has ended.
    pub fn days_left(&self) -> Option<u64> {
        self.ends_s.map(|ends_s| ends_s.saturating_sub(now_s()) / DAY_S)
    }

    /// Whether there is one, and it has ended.
    pub fn has_ended(&self) -> bool {
        self.ends_s.is_some_and(|ends_s| ends_s <= now_s())
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.days_left() {
            None => f.write_str("no certificate yet")?,
            Some(_) if self.has_ended() => f.write_str("the certificate has ended")?,
            Some(0) => f.write_str("the certificate holds for less than a day")?,
            Some(1) => f.write_str("the certificate holds for 1 day")?,
            Some(days) => write!(f, "the certificate holds for {days} days")?,
        }
        let Some(failure) = self.failure else { return Ok(()) };
        let minutes = self.again_s.saturating_sub(now_s()).div_ceil(60);
        write!(
            f,
            "; the last attempt to get one failed: {failure}; it is tried again in {minutes} minutes"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_long_it_holds_and_what_went_wrong_acm_7() {
        let word = Word::default();
        assert_eq!(word.to_string(), "no certificate yet");
        let good = Word {
            ends_s: Some(now_s() + 61 * DAY_S + 9),
            ..Word::default()
        };
        assert_eq!(good.to_string(), "the certificate holds for 61 days");
        let ended = Word {
            ends_s: Some(now_s() - 1),
            failure: Some(Failure::NotReachable),
            again_s: now_s() + 119,
            detail: Some("192.0.2.7 is silent".into()),
            ..Word::default()
        };
        let text = ended.to_string();
        assert!(
            text.starts_with("the certificate has ended; ") && text.contains("port 443"),
            "{text}"
        );
        assert!(text.ends_with("in 2 minutes") && !text.contains("192.0.2.7"), "{text}");
    }
}
