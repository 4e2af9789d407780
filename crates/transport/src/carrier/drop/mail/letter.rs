//! An object as a mail: what RFC 5322 demands of one, and a body in base64 (DRP-15).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use stonechat_wire::drop::{ObjectName, SIZES};

use super::super::http::unix_ms;

/// Bytes of a line before they are base64: 76 characters then.
const LINE_BYTES: usize = 57;
const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Longest text of a mail that can be an object.
pub(super) const TEXT_MAX: usize = {
    let [.., largest] = SIZES;
    largest.div_ceil(LINE_BYTES) * 78 + 16
};
/// Longest mail that can be an object.
pub const MAIL_MAX: usize = TEXT_MAX + 1024;

/// Whose mails they are, and where.
#[derive(Clone)]
pub(super) struct Sender {
    /// As it stands behind From.
    address: String,
    /// What stands behind the @ of a Message-ID.
    host: String,
}

impl Sender {
    /// `login`: who logs in, whatever that is at this server.
    pub(super) fn new(login: &str, host: &str) -> Self {
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host).to_owned();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'+' | b'@');
        let address = match login {
            login if !login.bytes().all(is_plain) => format!("drop@{host}"),
            login if login.contains('@') => login.to_owned(),
            login => format!("{login}@{host}"),
        };
        Self { address, host }
    }

    /// The mail.
    pub(super) fn write(&self, day: Option<u32>, name: &ObjectName, now_ms: u64, object: &[u8]) -> Vec<u8> {
        let date = std::time::UNIX_EPOCH + std::time::Duration::from_millis(now_ms);
        let date = httpdate::fmt_http_date(date).replace("GMT", "+0000");
        let day = day.map(|day| format!(".{day}")).unwrap_or_default();
        let mut mail = format!(
            "Date: {date}\r\nFrom: <{}>\r\nMessage-ID: <{}{day}@{}>\r\n\r\n",
            self.address,
            name.to_text(),
            self.host
        );
        for line in object.chunks(LINE_BYTES) {
            STANDARD.encode_string(line, &mut mail);
            mail.push_str("\r\n");
        }
        mail.into_bytes()
    }
}

/// Which object a header names, and of which day it is; nothing where it is no mail of ours.
pub(super) fn read_name(header: &[u8]) -> Option<(Option<u32>, ObjectName)> {
    let header = std::str::from_utf8(header).ok()?;
    let (_, id) = header.split_once('<')?;
    let (left, _) = id.split_once('@')?;
    let Some((name, day)) = left.split_once('.') else {
        return Some((None, ObjectName::from_text(left)?));
    };
    let is_day = (1..=6).contains(&day.len()) && day.bytes().all(|byte| byte.is_ascii_digit());
    let day = is_day.then(|| day.parse().ok()).flatten()?;
    Some((Some(day), ObjectName::from_text(name)?))
}

/// The object in a mail's text; empty where it is none.
pub(super) fn read_object(text: &[u8]) -> Vec<u8> {
    let text: Vec<u8> = text
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    STANDARD.decode(text).unwrap_or_default()
}

/// `30-Nov-2026 04:00:00 +0000`, as a server tells when a mail came, in Unix ms.
pub(super) fn read_time(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let mut parts = text.split_ascii_whitespace();
    let (date, time, zone) = (parts.next()?, parts.next()?, parts.next()?);
    let mut date = date.split('-');
    let (day, month, year) = (date.next()?, date.next()?, date.next()?);
    // The weekday is not told, and only the right one makes it a date.
    let local = WEEKDAYS.iter().find_map(|weekday| {
        httpdate::parse_http_date(&format!("{weekday}, {day:0>2} {month} {year} {time} GMT")).ok()
    })?;
    let (sign, digits) = zone.split_at_checked(1)?;
    let digits: u64 = digits.parse().ok().filter(|digits| *digits <= 2400)?;
    let ahead_ms = (digits / 100 * 60 + digits % 100) * 60_000;
    match sign {
        "+" => unix_ms(local).checked_sub(ahead_ms),
        "-" => unix_ms(local).checked_add(ahead_ms),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id_of(head: &str) -> &[u8] {
        head.lines().last().unwrap().as_bytes()
    }

    #[test]
    fn a_mail_has_three_headers_and_nothing_of_anybody_else_drp_15() {
        let name = ObjectName::from_bytes([0xab; 16]);
        let sender = Sender::new("ana@mail.example", "imap.mail.example:993");
        let mail = sender.write(Some(20_787), &name, 1_796_011_200_000, &[7; 100]);
        let text = String::from_utf8(mail).unwrap();
        let hex = "ab".repeat(16);
        let expected = format!(
            "Date: Mon, 30 Nov 2026 04:00:00 +0000\r\nFrom: <ana@mail.example>\r\n\
             Message-ID: <{hex}.20787@imap.mail.example>\r\n\r\n{}\r\n{}\r\n",
            STANDARD.encode([7; 57]),
            STANDARD.encode([7; 43])
        );
        assert_eq!(text, expected);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(read_name(id_of(head)), Some((Some(20_787), name)));
        assert_eq!(read_object(body.as_bytes()), [7; 100]);
        assert!(sender.write(None, &name, 0, &[0; 262_144]).len() < MAIL_MAX);
        for (login, address) in [("ana", "ana@[::1]"), ("a b", "drop@[::1]"), ("a>\u{7f}", "drop@[::1]")] {
            assert_eq!(Sender::new(login, "[::1]:143").address, address);
        }
    }

    #[test]
    fn other_peoples_mails_have_other_names_drp_16() {
        let hex = "0f".repeat(16);
        let name = ObjectName::from_text(&hex).unwrap();
        let header = |id: &str| read_name(format!("message-id:\r\n\t<{id}>\r\n\r\n").as_bytes());
        assert_eq!(header(&format!("{hex}@x")), Some((None, name)));
        assert_eq!(header(&format!("{hex}.1@x")), Some((Some(1), name)));
        for other in [
            "",
            "a@b",
            &hex,
            &format!("{hex}.@x"),
            &format!("{hex}.1234567@x"),
            &format!("{hex}.1.2@x"),
        ] {
            assert_eq!(header(other), None, "{other}");
        }
        assert_eq!(read_name(b"\xff<"), None);
    }

    #[test]
    fn times_of_all_zones_are_read_drp_17() {
        for (text, ms) in [
            ("30-Nov-2026 04:00:00 +0000", Some(1_796_011_200_000)),
            ("30-Nov-2026 07:00:00 +0300", Some(1_796_011_200_000)),
            ("29-Nov-2026 22:30:00 -0530", Some(1_796_011_200_000)),
            (" 1-Jan-2026 00:00:00 +0000", Some(1_767_225_600_000)),
            ("1-Jan-1970 00:00:00 +0100", None),
            ("31-Feb-2026 00:00:00 +0000", None),
            ("30-Nov-2026", None),
            ("30-Nov-2026 04:00:00 +x", None),
            ("", None),
        ] {
            assert_eq!(read_time(text.as_bytes()), ms, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_not_drp_16(bytes in proptest::collection::vec(any::<u8>(), 0..80), text in "\\PC{0,60}",
                                            date in "[0-9]{1,2}-[A-Za-z]{3}-[0-9]{1,5} [0-9:]{1,8} [+-]?[0-9]{0,6}") {
            for bytes in [bytes.as_slice(), text.as_bytes(), date.as_bytes()] {
                let _ = (read_name(bytes), read_object(bytes), read_time(bytes));
            }
        }

        #[test]
        fn every_object_comes_back_drp_15(object in proptest::collection::vec(any::<u8>(), 0..400), day in proptest::option::of(0_u32..999_999)) {
            let name = ObjectName::from_bytes([3; 16]);
            let mail = String::from_utf8(Sender::new("a@b", "c:1").write(day, &name, 0, &object)).unwrap();
            let (head, body) = mail.split_once("\r\n\r\n").unwrap();
            prop_assert_eq!(read_name(id_of(head)), Some((day, name)));
            prop_assert_eq!(read_object(body.as_bytes()), object);
        }
    }
}
