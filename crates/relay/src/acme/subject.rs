//! For whom a certificate is: a name, or a number where there is none.

use std::net::IpAddr;

use instant_acme::Identifier;
use stonechat_wire::address;

/// Whom a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A name.
    Name(String),
    /// An address without one (RFC 8738).
    Number(IpAddr),
}

impl Subject {
    /// Whom an address names: its first place counts, since clients say that one in TLS (WAY-1).
    ///
    /// Out: nothing for what no directory can look at.
    pub fn of(public: &str) -> Option<Self> {
        let (_, place) = address::split(public);
        let (host, _) = place.rsplit_once(':')?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(number) = bare.parse() {
            return Some(Self::Number(number));
        }
        let is_name = host.contains('.')
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
        is_name.then(|| Self::Name(host.to_ascii_lowercase()))
    }

    /// As it stands in a certificate.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::Number(number) => number.to_string(),
        }
    }

    pub(crate) fn identifier(&self) -> Identifier {
        match self {
            Self::Name(name) => Identifier::Dns(name.clone()),
            Self::Number(number) => Identifier::Ip(*number),
        }
    }

    /// What whoever checks it says in TLS: of a number its reverse name (RFC 8738, 6).
    pub(crate) fn said(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::Number(IpAddr::V4(number)) => {
                let [a, b, c, d] = number.octets();
                format!("{d}.{c}.{b}.{a}.in-addr.arpa")
            }
            Self::Number(IpAddr::V6(number)) => {
                let digits = format!("{:032x}", number.to_bits());
                digits.chars().rev().flat_map(|digit| [digit, '.']).collect::<String>() + "ip6.arpa"
            }
        }
    }

    /// The profile that is asked for among those that a directory offers (ACM-2). Let's Encrypt gives numbers only
    /// certificates of six days.
    pub(crate) fn profile<'a>(&self, mut offered: impl Iterator<Item = &'a str>) -> Option<&'a str> {
        match self {
            Self::Name(_) => None,
            Self::Number(_) => offered.find(|name| *name == "shortlived"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_of_an_address_is_whom_it_is_for_acm_2() {
        let name = |text: &str| Some(Subject::Name(text.to_owned()));
        assert_eq!(Subject::of("Relay.example:443"), name("relay.example"));
        assert_eq!(
            Subject::of("https://relay.example:443,192.0.2.7:443"),
            name("relay.example")
        );
        let number = |text: &str| Some(Subject::Number(text.parse().unwrap()));
        assert_eq!(Subject::of("192.0.2.7:443"), number("192.0.2.7"));
        assert_eq!(Subject::of("[2001:db8::1]:443"), number("2001:db8::1"));
        for none in ["localhost:443", "a b.c:443", "", "relay.example"] {
            assert_eq!(Subject::of(none), None, "{none}");
        }
    }

    #[test]
    fn a_number_is_said_backwards_acm_3() {
        let said = |text: &str| Subject::Number(text.parse().unwrap()).said();
        assert_eq!(said("192.0.2.7"), "7.2.0.192.in-addr.arpa");
        let six = said("2001:db8::1");
        assert!(
            six.starts_with("1.0.0.0.") && six.ends_with(".8.b.d.0.1.0.0.2.ip6.arpa"),
            "{six}"
        );
        assert_eq!(six.len(), 32 * 2 + 8);
    }

    #[test]
    fn a_number_takes_the_short_lived_profile_where_there_is_one_acm_2() {
        let (number, name) = (
            Subject::of("192.0.2.7:443").unwrap(),
            Subject::of("a.example:443").unwrap(),
        );
        let offered = ["classic", "shortlived"];
        assert_eq!(number.profile(offered.into_iter()), Some("shortlived"));
        assert_eq!(number.profile(["classic"].into_iter()), None);
        assert_eq!(name.profile(offered.into_iter()), None);
    }
}
