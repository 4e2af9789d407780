//! When a certificate is renewed. Pure: times come in as Unix seconds.

use instant_acme::{CertificateIdentifier, RenewalInfo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, Der};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, SubjectAltName};

use super::Subject;

const DAY_S: u64 = 86_400;
/// Soonest and latest that a directory is asked again when it wants a certificate renewed.
const ASK_AGAIN_MIN_S: u64 = 3600;
const ASK_AGAIN_MAX_S: u64 = DAY_S;
/// The same where it does not say.
const ASK_AGAIN_S: u64 = 6 * 3600;

/// What the relay reads of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) not_before_s: u64,
    pub(crate) not_after_s: u64,
    names: Vec<String>,
    numbers: Vec<Vec<u8>>,
    /// Its number among those of its authority, as its bytes are in DER.
    serial: Vec<u8>,
    /// Its authority's key.
    authority: Vec<u8>,
}

impl Leaf {
    /// The first certificate of a chain, as PEM. Out: nothing where that is none.
    pub(crate) fn read(chain: &str) -> Option<Self> {
        let der = CertificateDer::from_pem_slice(chain.as_bytes()).ok()?;
        let whole = Certificate::from_der(&der).ok()?;
        let (names, numbers) = subjects(&whole);
        let body = whole.tbs_certificate;
        let authority = body.get::<AuthorityKeyIdentifier>().ok().flatten();
        let authority = authority.and_then(|(_, found)| found.key_identifier);
        Some(Self {
            not_before_s: body.validity.not_before.to_unix_duration().as_secs(),
            not_after_s: body.validity.not_after.to_unix_duration().as_secs(),
            names,
            numbers,
            serial: body.serial_number.as_bytes().to_vec(),
            authority: authority.map(|id| id.as_bytes().to_vec()).unwrap_or_default(),
        })
    }

    pub(crate) fn is_for(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Name(name) => self.names.iter().any(|found| found.eq_ignore_ascii_case(name)),
            Subject::Number(std::net::IpAddr::V4(number)) => self.numbers.iter().any(|found| *found == number.octets()),
            Subject::Number(std::net::IpAddr::V6(number)) => self.numbers.iter().any(|found| *found == number.octets()),
        }
    }

    /// Its name where renewals are spoken of (RFC 9773, 4.1).
    pub(crate) fn identifier(&self) -> Option<CertificateIdentifier<'static>> {
        let of = || CertificateIdentifier::new(Der::from_slice(&self.authority), Der::from_slice(&self.serial));
        (!self.authority.is_empty()).then(|| of().into_owned())
    }

    /// Dice of its authority: the end of its serial number, so that every start plans the same.
    fn dice(&self) -> u64 {
        let mut dice = [0; 4];
        let last = self.serial.iter().rev();
        dice.iter_mut().zip(last).for_each(|(to, from)| *to = *from);
        u64::from(u32::from_le_bytes(dice))
    }

    const fn life_s(&self) -> u64 {
        self.not_after_s.saturating_sub(self.not_before_s)
    }
}

fn subjects(whole: &Certificate) -> (Vec<String>, Vec<Vec<u8>>) {
    let (mut names, mut numbers) = (Vec::new(), Vec::new());
    let others = whole.tbs_certificate.get::<SubjectAltName>().ok().flatten();
    for name in others.into_iter().flat_map(|(_, others)| others.0) {
        match name {
            GeneralName::DnsName(name) => names.push(name.to_string()),
            GeneralName::IpAddress(number) => numbers.push(number.as_bytes().to_vec()),
            _ => {}
        }
    }
    (names, numbers)
}

/// When a directory wants a certificate renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// From when to when; nothing where it does not say.
    told: Option<(u64, u64)>,
    /// When to ask again.
    pub(crate) ask_again_s: u64,
}

impl Window {
    pub(crate) fn new(info: &RenewalInfo, ask_again_in_s: u64, now_s: u64) -> Self {
        let second = |time: i64| u64::try_from(time).unwrap_or_default();
        let window = &info.suggested_window;
        let (start, end) = (
            second(window.start.unix_timestamp()),
            second(window.end.unix_timestamp()),
        );
        Self {
            told: (start <= end).then_some((start, end)),
            ask_again_s: now_s.saturating_add(ask_again_in_s.clamp(ASK_AGAIN_MIN_S, ASK_AGAIN_MAX_S)),
        }
    }

    pub(crate) const fn unknown(now_s: u64) -> Self {
        Self {
            told: None,
            ask_again_s: now_s.saturating_add(ASK_AGAIN_S),
        }
    }

    pub(crate) const fn is_told(&self) -> bool {
        self.told.is_some()
    }
}

/// When to renew: with a third of its life left, and up to a twentieth of it sooner, by dice. Where the directory names
/// a window, by dice within that; but with no less than a sixth left, and not in the first tenth of its life or its first
/// day, whichever is shorter, whatever it says (ACM-5).
pub(crate) fn renew_at(leaf: &Leaf, window: Option<&Window>) -> u64 {
    let within = |span: u64| ((u128::from(span) * u128::from(leaf.dice())) >> 32) as u64;
    let life = leaf.life_s();
    match window.and_then(|window| window.told) {
        None => leaf.not_after_s.saturating_sub(life / 3 + within(life / 20)),
        Some((start, end)) => {
            let soonest = leaf.not_before_s.saturating_add((life / 10).min(DAY_S));
            let latest = leaf.not_after_s.saturating_sub(life / 6);
            start.saturating_add(within(end - start)).min(latest).max(soonest)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyIdMethod, KeyPair, SerialNumber};

    const NOW_S: u64 = 1_800_000_000;
    const LIFE_S: u64 = 90 * DAY_S;

    fn leaf(dice: u32) -> Leaf {
        Leaf {
            not_before_s: NOW_S,
            not_after_s: NOW_S + LIFE_S,
            names: vec!["a.example".into()],
            numbers: vec![],
            serial: [&[7, 7][..], &dice.to_be_bytes()].concat(),
            authority: vec![1],
        }
    }

    fn told(start: u64, end: u64) -> Window {
        Window {
            told: Some((start, end)),
            ask_again_s: 0,
        }
    }

    #[test]
    fn it_is_renewed_when_a_third_of_its_life_is_left_acm_5() {
        let third = NOW_S + LIFE_S - LIFE_S / 3;
        assert_eq!(renew_at(&leaf(0), None), third);
        assert_eq!(renew_at(&leaf(0), Some(&Window::unknown(NOW_S))), third);
        let soonest = renew_at(&leaf(u32::MAX), None);
        assert!(
            (third - LIFE_S / 20..third - LIFE_S / 21).contains(&soonest),
            "{soonest}"
        );
    }

    #[test]
    fn the_directorys_window_counts_within_bounds_acm_5() {
        let (start, end) = (NOW_S + 40 * DAY_S, NOW_S + 42 * DAY_S);
        assert_eq!(renew_at(&leaf(0), Some(&told(start, end))), start);
        let half = renew_at(&leaf(1 << 31), Some(&told(start, end)));
        assert_eq!(half, start + DAY_S);
        // What it says may be anything.
        assert_eq!(
            renew_at(&leaf(0), Some(&told(0, 0))),
            NOW_S + DAY_S,
            "not at once, over and over"
        );
        let never = renew_at(&leaf(9), Some(&told(u64::MAX - 1, u64::MAX)));
        assert_eq!(never, NOW_S + LIFE_S - LIFE_S / 6);
        let short = Leaf {
            not_after_s: NOW_S + 6 * DAY_S,
            ..leaf(0)
        };
        assert_eq!(renew_at(&short, Some(&told(0, 0))), NOW_S + 6 * DAY_S / 10);
    }

    #[test]
    fn a_certificate_is_read_and_named_as_rfc_9773_says_acm_5() {
        let authority_key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_identifier_method = KeyIdMethod::PreSpecified(vec![0xC0, 0xFF, 0xEE]);
        let issuer = Issuer::new(authority, authority_key);
        let mut own = CertificateParams::new(["a.example".to_owned(), "192.0.2.7".to_owned()]).unwrap();
        // Its first bit is set: in DER a zero stands before it.
        own.serial_number = Some(SerialNumber::from_slice(&[0xCA, 0xFE]));
        own.use_authority_key_identifier_extension = true;
        let made = own.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
        let leaf = Leaf::read(&made.pem()).unwrap();
        assert_eq!(leaf.identifier().unwrap().to_string(), "wP_u.AMr-");
        let is_for = |text: &str| leaf.is_for(&Subject::of(text).unwrap());
        assert!(is_for("A.example:443") && is_for("192.0.2.7:443"));
        assert!(!is_for("b.example:443") && !is_for("192.0.2.8:443") && !is_for("[::1]:443"));
        assert!(leaf.not_before_s < leaf.not_after_s);
        for none in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert_eq!(Leaf::read(none), None);
        }
    }
}
