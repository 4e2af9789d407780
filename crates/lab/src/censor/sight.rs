//! What can be read in the first bytes of a flow: a ClientHello and its name, the look of a protocol, a DNS question.
//!
//! In: bytes as they crossed the border. Out: what they say, as far as it is readable: a censor that puts nothing
//! together reads less. Total: any bytes give an answer.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::{First, Reassembly};

/// Most bytes of a flow that are put together before a censor gives up on it.
pub const STREAM_BYTES_MAX: usize = 16 << 10;
/// Most segments kept that came before their turn.
pub const EARLY_MAX: usize = 64;

/// A ClientHello, as far as it was readable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// The name it asks for.
    pub sni: Option<String>,
    /// Its fingerprint, where all of it was readable.
    pub ja4: Option<String>,
}

/// What is known of a flow's beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// More must come first.
    Waiting,
    /// A ClientHello.
    Hello(Hello),
    /// Something else.
    Other,
}

/// The beginning of what a client says on one flow.
#[derive(Clone, Debug, Default)]
pub struct Beginning {
    first_packet: Vec<u8>,
    /// All from the start without a gap.
    stream: Vec<u8>,
    /// Sequence number of the stream's first byte.
    base: Option<u32>,
    /// What came before its turn, by its place.
    early: BTreeMap<usize, Vec<u8>>,
}

impl Beginning {
    /// The stream begins behind the SYN with this number.
    pub const fn opened(&mut self, seq: u32) {
        self.base = Some(seq.wrapping_add(1));
    }

    /// Takes a segment's payload.
    pub fn segment(&mut self, seq: u32, payload: &[u8]) {
        if self.first_packet.is_empty() {
            self.first_packet = payload.to_vec();
        }
        let base = *self.base.get_or_insert(seq);
        let at = usize::try_from(seq.wrapping_sub(base)).unwrap_or(usize::MAX);
        if at < STREAM_BYTES_MAX && self.early.len() < EARLY_MAX {
            self.early.insert(at, payload.to_vec());
        }
        while let Some(entry) = self.early.first_entry()
            && *entry.key() <= self.stream.len()
        {
            let known = self.stream.len() - entry.key();
            let room = STREAM_BYTES_MAX - self.stream.len();
            self.stream.extend(entry.remove().into_iter().skip(known).take(room));
        }
    }

    /// Takes a datagram's payload.
    pub fn datagram(&mut self, payload: &[u8]) {
        if self.first_packet.is_empty() {
            self.first_packet = payload.to_vec();
            self.stream = payload.to_vec();
        }
    }

    /// What a censor that reads so well sees in it.
    pub fn sight(&self, reassembly: Reassembly) -> Sight {
        let is_full = self.stream.len() >= STREAM_BYTES_MAX;
        match reassembly {
            _ if self.first_packet.is_empty() => Sight::Waiting,
            Reassembly::None => in_one_record(&self.first_packet, Rest::Missing),
            Reassembly::Tcp => in_one_record(&self.stream, Rest::ToCome { is_full }),
            Reassembly::TcpAndRecords => in_records(&self.stream, is_full),
        }
    }

    /// Its first packet.
    pub fn first_packet(&self) -> &[u8] {
        &self.first_packet
    }

    /// What its first packet looks like; nothing before there is one.
    pub fn looks_like(&self, first: First) -> Option<bool> {
        (!self.first_packet.is_empty()).then(|| looks_like(&self.first_packet, first))
    }
}

enum Rest {
    Missing,
    ToCome { is_full: bool },
}

fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [0x16, 3, ..])
}

fn in_one_record(bytes: &[u8], rest: Rest) -> Sight {
    if bytes.len() >= 2 && !is_tls(bytes) {
        return Sight::Other;
    }
    let record = record(bytes);
    match (&record, rest) {
        (Some((body, true)), _) => hello(body),
        (Some((body, false)), Rest::Missing | Rest::ToCome { is_full: true }) => hello(body),
        (None, Rest::Missing | Rest::ToCome { is_full: true }) => Sight::Other,
        (Some((_, false)) | None, Rest::ToCome { is_full: false }) => Sight::Waiting,
    }
}

fn in_records(bytes: &[u8], is_full: bool) -> Sight {
    if bytes.len() >= 2 && !is_tls(bytes) {
        return Sight::Other;
    }
    let (mut rest, mut message) = (bytes, Vec::new());
    while let Some((body, true)) = record(rest) {
        message.extend_from_slice(body);
        rest = &rest[5 + body.len()..];
        let length = message
            .get(1..4)
            .map(|length| usize::from(length[0]) << 16 | be16(&length[1..]));
        if length.is_some_and(|length| message.len() >= 4 + length) {
            return hello(&message);
        }
        if !rest.is_empty() && !rest.starts_with(&[0x16]) {
            break;
        }
    }
    if is_full { hello(&message) } else { Sight::Waiting }
}

/// The body of the TLS record that `bytes` begin with, as much as there is, and whether that is all of it.
fn record(bytes: &[u8]) -> Option<(&[u8], bool)> {
    let size = be16(bytes.get(3..5)?);
    let body = &bytes[5..bytes.len().min(5 + size)];
    Some((body, body.len() == size))
}

fn be16(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

fn hello(message: &[u8]) -> Sight {
    if message.first() != Some(&1) {
        return Sight::Other;
    }
    let mut parts = Parts::default();
    let is_whole = parts.read(message.get(4..).unwrap_or_default()).is_some();
    Sight::Hello(Hello {
        ja4: is_whole.then(|| parts.ja4()),
        sni: parts.sni,
    })
}

/// What a ClientHello says, read as far as it goes.
#[derive(Default)]
struct Parts {
    sni: Option<String>,
    suites: Vec<u16>,
    extensions: Vec<u16>,
    algorithms: Vec<u16>,
    alpn: Option<Vec<u8>>,
    is_13: bool,
}

impl Parts {
    /// Out: nothing when it ends early; what came before is kept.
    fn read(&mut self, body: &[u8]) -> Option<()> {
        let session = usize::from(*body.get(34)?);
        let mut rest = body.get(35 + session..)?;
        let suites = take(&mut rest, 2)?;
        self.suites = pairs(suites);
        take(&mut rest, 1)?;
        let size = be16(rest.get(..2)?);
        rest = &rest[2..];
        let is_whole = rest.len() >= size;
        while !rest.is_empty() {
            let kind = u16::try_from(be16(rest.get(..2)?)).unwrap_or_default();
            rest = &rest[2..];
            let value = take(&mut rest, 2)?;
            self.extension(kind, value);
        }
        is_whole.then_some(())
    }

    fn extension(&mut self, kind: u16, value: &[u8]) {
        self.extensions.push(kind);
        match kind {
            0 => self.sni = value.get(5..).map(|name| String::from_utf8_lossy(name).to_lowercase()),
            13 => self.algorithms = pairs(value.get(2..).unwrap_or_default()),
            16 => self.alpn = value.get(3..).map(<[u8]>::to_vec),
            43 => self.is_13 = pairs(value.get(1..).unwrap_or_default()).contains(&0x0304),
            _ => {}
        }
    }

    /// The fingerprint JA4 (FoxIO): counts in clear, then suites and extensions in order, hashed.
    fn ja4(&self) -> String {
        let suites = ordered(&self.suites);
        let all = ordered(&self.extensions);
        let without: Vec<String> = all
            .iter()
            .filter(|kind| !["0000", "0010"].contains(&kind.as_str()))
            .cloned()
            .collect();
        let algorithms: Vec<String> = self
            .algorithms
            .iter()
            .filter(|a| !is_grease(**a))
            .map(|a| format!("{a:04x}"))
            .collect();
        let version = if self.is_13 { "13" } else { "12" };
        let name = if self.sni.is_some() { 'd' } else { 'i' };
        let (suite_count, extension_count) = (suites.len().min(99), all.len().min(99));
        let first = hash(&suites.join(","));
        let second = hash(&format!("{}_{}", without.join(","), algorithms.join(",")));
        format!(
            "t{version}{name}{suite_count:02}{extension_count:02}{}_{first}_{second}",
            self.alpn_letters()
        )
    }

    fn alpn_letters(&self) -> String {
        let name = self.alpn.as_deref().unwrap_or_default();
        let name = name
            .get(..name.len().min(usize::from(*name.first().unwrap_or(&0)).max(1)))
            .unwrap_or_default();
        match (name.first(), name.last()) {
            (Some(first), Some(last)) => format!("{}{}", char::from(*first), char::from(*last)),
            _ => "00".to_owned(),
        }
    }
}

const fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a
}

fn ordered(values: &[u16]) -> Vec<String> {
    let mut kept: Vec<u16> = values.iter().copied().filter(|value| !is_grease(*value)).collect();
    kept.sort_unstable();
    kept.iter().map(|value| format!("{value:04x}")).collect()
}

fn hash(text: &str) -> String {
    let mut digest = hex::encode(Sha256::digest(text));
    digest.truncate(12);
    digest
}

fn pairs(bytes: &[u8]) -> Vec<u16> {
    bytes
        .chunks_exact(2)
        .map(|pair| u16::try_from(be16(pair)).unwrap_or_default())
        .collect()
}

/// Takes what stands behind a length of so many bytes.
fn take<'a>(rest: &mut &'a [u8], length_bytes: usize) -> Option<&'a [u8]> {
    let length = rest
        .get(..length_bytes)?
        .iter()
        .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    let value = rest.get(length_bytes..length_bytes + length)?;
    *rest = &rest[length_bytes + length..];
    Some(value)
}

fn looks_like(bytes: &[u8], first: First) -> bool {
    let methods: [&[u8]; 5] = [b"GET ", b"PUT ", b"POST ", b"HEAD ", b"OPTIONS "];
    let is_http = methods.iter().any(|method| bytes.starts_with(method));
    match first {
        First::Tls => is_tls(bytes),
        First::NotTls => !is_tls(bytes),
        First::NoProtocol => !is_tls(bytes) && !is_http && question(bytes).is_none(),
        First::Encrypted => is_encrypted(bytes, is_http),
        First::WebSocket => {
            is_http
                && String::from_utf8_lossy(bytes)
                    .to_lowercase()
                    .contains("upgrade: websocket")
        }
    }
}

/// Wu et al., USENIX Security 2023, algorithm 1: what none of its five exemptions lets pass.
fn is_encrypted(bytes: &[u8], is_http: bool) -> bool {
    let is_printable = |byte: &u8| (0x20..=0x7e).contains(byte);
    let ones: u32 = bytes.iter().map(|byte| byte.count_ones()).sum();
    let per_byte = f64::from(ones) / bytes.len().max(1) as f64;
    let (mut run, mut longest) = (0, 0);
    for byte in bytes {
        run = if is_printable(byte) { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let is_exempt = per_byte <= 3.4
        || per_byte >= 4.6
        || bytes.get(..6).is_some_and(|six| six.iter().all(is_printable))
        || bytes.iter().filter(|byte| is_printable(byte)).count() * 2 > bytes.len()
        || longest > 20
        || is_tls(bytes)
        || matches!(bytes, [0x17, 3, ..])
        || is_http;
    !is_exempt
}

/// The name that a DNS query asks for.
pub fn question(message: &[u8]) -> Option<String> {
    if message.len() < 12 || message[2] & 0x80 != 0 || be16(&message[4..6]) != 1 {
        return None;
    }
    let (mut rest, mut labels) = (&message[12..], Vec::new());
    loop {
        let label = take(&mut rest, 1)?;
        if label.is_empty() {
            return Some(labels.join("."));
        }
        if label.len() > 63 || labels.len() > 32 {
            return None;
        }
        labels.push(String::from_utf8_lossy(label).to_lowercase());
    }
}

/// An answer to a DNS query that [`question`] has read: an address, or that there is no such name. Who asks for another
/// kind of record hears that there is none.
pub fn answer(query: &[u8], address: Option<std::net::Ipv4Addr>) -> Vec<u8> {
    let mut at = 12;
    while query.get(at).is_some_and(|length| *length > 0) {
        at += 1 + usize::from(query[at]);
    }
    let mut message = query.get(..at + 5).unwrap_or(query).to_vec();
    let told = address.filter(|_| message.ends_with(&[0, 1, 0, 1]));
    message[2] = 0x81;
    message[3] = if address.is_some() { 0x80 } else { 0x83 };
    message[6..12].copy_from_slice(&[0, u8::from(told.is_some()), 0, 0, 0, 0]);
    if let Some(address) = told {
        message.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        message.extend(address.octets());
    }
    message
}

/// Whether a name is meant by a pattern: itself, `*.parent`, or `*`.
pub fn is_meant(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(parent) => name == parent || name.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.')),
        None => pattern == "*" || pattern == name,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A real ClientHello, made by rustls.
    pub(crate) fn hello_for(name: &'static str) -> Vec<u8> {
        let roots = rustls::RootCertStore::empty();
        let config = rustls::ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut client = rustls::ClientConnection::new(config.into(), name.try_into().unwrap()).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    fn sni(beginning: &Beginning, reassembly: Reassembly) -> Option<String> {
        match beginning.sight(reassembly) {
            Sight::Hello(hello) => hello.sni,
            Sight::Waiting | Sight::Other => None,
        }
    }

    const ALL: [Reassembly; 3] = [Reassembly::None, Reassembly::Tcp, Reassembly::TcpAndRecords];

    #[test]
    fn a_hello_in_one_packet_is_read_by_all() {
        let mut beginning = Beginning::default();
        beginning.segment(9, &hello_for("chat.blocked.example"));
        for reassembly in ALL {
            assert_eq!(
                sni(&beginning, reassembly).as_deref(),
                Some("chat.blocked.example"),
                "{reassembly:?}"
            );
        }
    }

    #[test]
    fn a_hello_in_two_segments_wants_reassembly() {
        let hello = hello_for("chat.blocked.example");
        let at = hello.windows(7).position(|part| part == b"blocked").unwrap();
        let mut beginning = Beginning::default();
        beginning.opened(8);
        beginning.segment(9, &hello[..at]);
        assert_eq!(beginning.sight(Reassembly::Tcp), Sight::Waiting);
        beginning.segment(9 + u32::try_from(at).unwrap(), &hello[at..]);
        let read = ALL.map(|reassembly| sni(&beginning, reassembly).is_some());
        assert_eq!(read, [false, true, true]);
    }

    #[test]
    fn segments_out_of_order_and_sent_twice_are_put_together() {
        let hello = hello_for("chat.blocked.example");
        let mut beginning = Beginning::default();
        beginning.opened(u32::MAX - 3);
        for (from, to) in [(40, 90), (90, hello.len()), (40, 90), (0, 40)] {
            let seq = (u32::MAX - 2).wrapping_add(u32::try_from(from).unwrap());
            beginning.segment(seq, &hello[from..to]);
        }
        assert!(sni(&beginning, Reassembly::Tcp).is_some());
    }

    #[test]
    fn a_hello_in_two_records_wants_records_put_together() {
        let hello = hello_for("chat.blocked.example");
        let at = hello.windows(7).position(|part| part == b"blocked").unwrap();
        let part = |bytes: &[u8]| {
            [
                &[0x16, 3, 1][..],
                &u16::try_from(bytes.len()).unwrap().to_be_bytes(),
                bytes,
            ]
            .concat()
        };
        let mut beginning = Beginning::default();
        beginning.segment(1, &[part(&hello[5..at]), part(&hello[at..])].concat());
        let read = ALL.map(|reassembly| sni(&beginning, reassembly).is_some());
        assert_eq!(read, [false, false, true]);
    }

    #[test]
    fn one_client_has_one_fingerprint() {
        let ja4 = |name| match in_one_record(&hello_for(name), Rest::Missing) {
            Sight::Hello(hello) => hello.ja4.unwrap(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            ja4("a.example"),
            ja4("bc.example"),
            "its extensions are shuffled, its fingerprint is not"
        );
        assert!(ja4("a.example").starts_with("t13d"), "{}", ja4("a.example"));
    }

    #[test]
    fn protocols_look_as_they_do() {
        let random: Vec<u8> = (0..120_u8)
            .map(|n| n.wrapping_mul(151).wrapping_add(77) ^ (n >> 1))
            .collect();
        let upgrade = b"GET /relay HTTP/1.1\r\nUpgrade: websocket\r\n\r\n".as_slice();
        let tls = hello_for("a.example");
        let all = [
            First::Tls,
            First::NotTls,
            First::NoProtocol,
            First::Encrypted,
            First::WebSocket,
        ];
        let look = |bytes: &[u8]| all.map(|first| looks_like(bytes, first));
        assert_eq!(look(&tls), [true, false, false, false, false]);
        assert_eq!(look(upgrade), [false, true, false, false, true]);
        assert_eq!(look(&random), [false, true, true, true, false]);
    }

    #[test]
    fn a_question_is_read_and_answered() {
        let query = [
            &[7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..],
            b"\x04Chat\x07example\0",
            &[0, 1, 0, 1],
        ]
        .concat();
        assert_eq!(question(&query).as_deref(), Some("chat.example"));
        let found = answer(&query, Some([10, 1, 2, 3].into()));
        assert_eq!(
            (found[3] & 15, found[7], &found[found.len() - 4..]),
            (0, 1, [10, 1, 2, 3].as_slice())
        );
        assert_eq!((answer(&query, None)[3] & 15, answer(&query, None)[7]), (3, 0));
        assert_eq!(question(&found), None);
        let mut for_ipv6 = query.clone();
        for_ipv6[query.len() - 3] = 28;
        for_ipv6.extend([0, 0, 41]); // what stands behind the question is left out
        let none = answer(&for_ipv6, Some([10, 1, 2, 3].into()));
        assert_eq!((none[3] & 15, none[7], none.len()), (0, 0, query.len()));
    }

    #[test]
    fn patterns_mean_names() {
        for (pattern, name, meant) in [
            ("a.example", "a.example", true),
            ("a.example", "b.a.example", false),
            ("*.example", "a.example", true),
            ("*.example", "aexample", false),
            ("*", "x", true),
        ] {
            assert_eq!(is_meant(pattern, name), meant, "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_seen_somehow(parts in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..80)), 0..6), cut in 0_usize..1800) {
            let mut beginning = Beginning::default();
            for (at, bytes) in &parts {
                beginning.segment(u32::from(*at), bytes);
                let _ = question(bytes);
                let _ = looks_like(bytes, First::NoProtocol);
            }
            let hello = hello_for("a.example");
            let mut cut_off = Beginning::default();
            cut_off.segment(0, &hello[..cut.min(hello.len())]);
            for reassembly in ALL {
                let _ = beginning.sight(reassembly);
                let _ = cut_off.sight(reassembly);
            }
        }
    }
}
