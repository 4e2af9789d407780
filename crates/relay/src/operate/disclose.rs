//! All that this relay could hand over to anybody, and a plain word on what it cannot.
//!
//! In: the data folder, and maybe a mailbox, an address or a day that somebody asks about. Out: text. It reads the same
//! bytes that whoever takes the disk would read, and says what every one of them is; nothing is left out and nothing is
//! worked out. The relay may run meanwhile.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use stonechat_wire::ids::{Tag, Timestamp};

use crate::acme::FILES;
use crate::home::{Home, OWN_FILES};
use crate::listen::bridge;
use crate::store::log::inspect::{HeldPiece, Holding, Piece};

const DAY_MS: u64 = 86_400_000;

/// What somebody asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Everything.
    All,
    /// One mailbox.
    Tag(Tag),
    /// One address.
    Address(IpAddr),
    /// One day, in days since 1970.
    Day(u64),
}

/// Answers a question about the relay in `data`. Errors: the disk's own.
pub fn disclose(data: &Path, question: Question) -> io::Result<String> {
    let holding = Holding::read(&Home::mailboxes_in(data))?;
    let mut out = String::new();
    match question {
        Question::All => all(data, &holding, &mut out)?,
        Question::Tag(tag) => one_mailbox(&holding, tag, &mut out),
        Question::Address(_) => out.push_str(NO_ADDRESS),
        Question::Day(day) => one_day(&holding, day, &mut out),
    }
    Ok(out)
}

const NO_ADDRESS: &str = "Nothing on disk is by address, and nothing there says which addresses there were.\n\
    While the relay runs, its memory has the addresses of the connections that stand at that moment; see `disclose`.\n";

const NOT_THERE: &str = "\nNot there, because it is never written: accounts, names, contacts, groups; addresses; who put \
    or read an envelope; when it was read, and the hour in which it came (the day follows from the day it expires, where \
    its client asked for the usual 30 or 60 days); which mailboxes belong together; what is inside an envelope.\n";

const IN_MEMORY: &str = "\nWhile it runs, its memory has besides, until a connection ends or the relay does:\n\
    - for each connection: its address, the number of its access secret, the tags it reads and how far, its session's id \
      and keys; for a session that broke off without a goodbye the same for 2 minutes more\n\
    - the relay's own keys and access secrets, as on disk\n\
    - what is just being put, read or handed on: sealed envelopes, and the tokens they are put with\n\
    - for each network that put something in the last minute or so: how much it may still put\n\
    - for each access secret: how much was put with it today\n\
    - for each blob: since when this process knows it\n\
    - an index of what is on disk. Nothing of this outlives the process, and core dumps are off in the unit file.\n\
    What has ended is wiped from memory, within seconds (tested for WebSockets without TLS); a mailbox that is read no more \
    by a connection that stays, when that ends. The system's own memory (buffers of sockets, pages of files) is not the relay's to wipe. \
    Who has memory and disk together links most mailboxes of whoever is connected: they are read by one connection.\n";

fn all(data: &Path, holding: &Holding, out: &mut String) -> io::Result<()> {
    let _ = writeln!(out, "All that this relay has on disk:\n");
    for (name, what) in OWN_FILES.iter().chain(FILES).chain(bridge::FILES) {
        if let Ok(meta) = std::fs::metadata(data.join(name)) {
            let _ = writeln!(out, "file {name}: {} bytes, {what}", meta.len());
        }
    }
    logs(&Home::logs_in(data), out)?;
    let mut mailboxes: BTreeMap<Tag, Vec<&crate::store::log::inspect::HeldEnvelope>> = BTreeMap::new();
    for envelope in &holding.envelopes {
        mailboxes.entry(envelope.tag).or_default().push(envelope);
    }
    let _ = writeln!(
        out,
        "\n{} envelopes in {} mailboxes:",
        holding.envelopes.len(),
        mailboxes.len()
    );
    for (tag, envelopes) in &mailboxes {
        let bytes: usize = envelopes.iter().map(|envelope| envelope.bytes.len()).sum();
        let until = envelopes
            .iter()
            .map(|envelope| envelope.expires_at)
            .max()
            .unwrap_or_default();
        let count = envelopes.len();
        let _ = writeln!(
            out,
            "tag {}: {count} envelopes, {bytes} bytes, the last until {}",
            hex(tag.as_bytes()),
            time(until)
        );
    }
    for (tag, cursor, until) in &holding.prolonged {
        let _ = writeln!(
            out,
            "tag {}: the envelope at cursor {cursor} until {}",
            hex(tag.as_bytes()),
            time(*until)
        );
    }
    let _ = writeln!(
        out,
        "\n{} words about doors (invitations that stand or stood):",
        holding.doors.len()
    );
    for door in &holding.doors {
        let (path, until) = (door.path.to_text(), time(door.expires_at));
        let _ = writeln!(
            out,
            "door {path}: {} bytes of sealed card, until {until}",
            door.card_bytes
        );
    }
    blobs(&holding.blobs, out);
    let _ = writeln!(
        out,
        "\n{} bytes of mailboxes in all: {} of the records above, {} of indexes that repeat their heads, {} of heads of \
         files, {} torn or damaged.",
        holding.all_bytes(),
        holding.record_bytes,
        holding.index_bytes,
        holding.head_bytes,
        holding.damaged_bytes
    );
    out.push_str(NOT_THERE);
    out.push_str(IN_MEMORY);
    Ok(())
}

fn blobs(words: &[HeldPiece], out: &mut String) {
    let _ = writeln!(out, "\n{} words about blobs (sealed files, in chunks):", words.len());
    for word in words {
        let (blob, until) = (hex(&word.blob), time(word.expires_at));
        let _ = match word.what {
            Piece::Begun(id, size) => {
                writeln!(
                    out,
                    "blob {blob}: id {}, to have {size} bytes, until {until}",
                    hex(id.as_bytes())
                )
            }
            Piece::Chunk(index, bytes) => {
                writeln!(out, "blob {blob}: {bytes} sealed bytes of chunk {index}, until {until}")
            }
            Piece::Prolonged => writeln!(out, "blob {blob}: lives until {until}"),
            Piece::Gone => writeln!(out, "blob {blob}: deleted; this remark until {until}"),
        };
    }
}

fn logs(folder: &Path, out: &mut String) -> io::Result<()> {
    let Ok(found) = std::fs::read_dir(folder) else {
        return Ok(()); // it logs elsewhere, or nowhere
    };
    for file in found {
        let file = file?;
        let (name, bytes) = (file.file_name(), file.metadata()?.len());
        let _ = writeln!(
            out,
            "file log/{}: {bytes} bytes, when the relay started, stopped and failed",
            name.display()
        );
    }
    Ok(())
}

fn one_mailbox(holding: &Holding, tag: Tag, out: &mut String) {
    let mine = holding.envelopes.iter().filter(|envelope| envelope.tag == tag);
    for envelope in mine.clone() {
        let (cursor, until) = (envelope.cursor, time(envelope.expires_at));
        let _ = writeln!(out, "cursor {cursor}, until {until}, sealed: {}", hex(&envelope.bytes));
    }
    let _ = writeln!(out, "{} envelopes. Nothing says who put or reads them.", mine.count());
}

fn one_day(holding: &Holding, day: u64, out: &mut String) {
    let is_it = |at: Timestamp| at.0 / DAY_MS == day;
    let mut tags: BTreeMap<Tag, usize> = BTreeMap::new();
    holding
        .envelopes
        .iter()
        .filter(|envelope| is_it(envelope.expires_at))
        .for_each(|envelope| *tags.entry(envelope.tag).or_default() += 1);
    let _ = writeln!(
        out,
        "Nothing says what was read on which day, and of what came on it only that clients usually ask for 30 or 60 days. \
         Expiring on that day:"
    );
    for (tag, count) in &tags {
        let _ = writeln!(out, "tag {}: {count} envelopes", hex(tag.as_bytes()));
    }
    let doors = holding.doors.iter().filter(|door| is_it(door.expires_at)).count();
    let _ = writeln!(out, "{doors} words about doors");
    let blobs = holding.blobs.iter().filter(|word| is_it(word.expires_at)).count();
    let _ = writeln!(out, "{blobs} words about blobs");
}

/// A tag as 32 hex digits.
pub fn parse_tag(text: &str) -> Option<Tag> {
    let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u128::from_str_radix(text, 16).ok().filter(|_| is_hex)?;
    Some(Tag::from_bytes(number.to_be_bytes()))
}

/// `2026-11-25` as days since 1970.
pub fn parse_day(text: &str) -> Option<u64> {
    let (year, rest) = text.split_once('-')?;
    let (month, day) = rest.split_once('-')?;
    let (year, month, day): (u64, u64, u64) = (year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
    let guess = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    // Count up from the first of January: short, and no table to get wrong.
    let first = (1970..year).map(|year| 365 + u64::from(is_leap(year))).sum::<u64>();
    let before = (1..month).map(|month| days_of(year, month)).sum::<u64>();
    (guess && day <= days_of(year, month)).then(|| first + before + day - 1)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of(year: u64, month: u64) -> u64 {
    match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A time as `2026-11-25 13:05 UTC`.
fn time(at: Timestamp) -> String {
    let (mut days, minutes) = (at.0 / DAY_MS, at.0 % DAY_MS / 60_000);
    let mut year = 1970;
    while year < 9999 && days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    while month < 12 && days >= days_of(year, month) {
        days -= days_of(year, month);
        month += 1;
    }
    format!(
        "{year}-{month:02}-{:02} {:02}:{:02} UTC",
        days + 1,
        minutes / 60,
        minutes % 60
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MailboxStore;
    use crate::store::blobs::BlobStore;
    use crate::store::blobs::conformance::{blob, chunk, id};
    use crate::store::conformance::{door, envelope, tag};
    use crate::store::log::SegmentLog;
    use stonechat_wire::ids::DoorPath;

    /// A relay's folder with mailboxes and a door, as a relay leaves it; and the bytes of all its files.
    fn folder() -> (tempfile::TempDir, Vec<(String, Vec<u8>)>) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path()).unwrap();
        let mut log = SegmentLog::open(&home.mailboxes, [1; 8]).unwrap();
        for n in 0..40 {
            log.append(&envelope(n % 5, n, 2_000_000_000 + u64::from(n) * 86_400))
                .unwrap();
        }
        log.append(&envelope(2, 2, 2_100_000_000)).unwrap();
        log.set_door(DoorPath::from_bytes([7; 12]), &door(9, 2_000_000_000))
            .unwrap();
        log.count_use(&DoorPath::from_bytes([7; 12])).unwrap();
        for n in [1, 2] {
            log.begin_blob(&blob(n, 2, 2_000_000_000)).unwrap();
            log.add_chunk(&id(n), 1, &chunk(n, 1)).unwrap();
        }
        log.begin_blob(&blob(1, 2, 2_100_000_000)).unwrap();
        log.drop_blob(&id(2)).unwrap();
        log.sync().unwrap();
        log.close().unwrap();
        std::fs::create_dir(Home::logs_in(folder.path())).unwrap();
        for name in ["log/stonechat.log", "mailboxes.sqlite.taken-over"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let mut files = Vec::new();
        let mut folders = vec![folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                    files.push((name, std::fs::read(path).unwrap()));
                }
            }
        }
        (folder, files)
    }

    #[test]
    fn what_is_disclosed_is_the_dump_of_the_disk_byte_for_byte() {
        let (folder, files) = folder();
        let said = disclose(folder.path(), Question::All).unwrap();
        let holding = Holding::read(&Home::mailboxes_in(folder.path())).unwrap();
        let is_own = |name: &str| name == "stonechat.log" || OWN_FILES.iter().any(|(own, _)| *own == name);
        let dumped: u64 = files
            .iter()
            .filter(|(name, _)| !is_own(name))
            .map(|(_, bytes)| bytes.len() as u64)
            .sum();
        assert_eq!(holding.all_bytes(), dumped, "every byte is accounted for");
        assert_eq!(holding.damaged_bytes, 0);
        for (name, bytes) in files.iter().filter(|(name, _)| is_own(name)) {
            assert!(said.contains(&format!("{name}: {} bytes", bytes.len())), "{name}");
        }
        // Every envelope that is in the dump is told, and every one that is told is in the dump.
        let dump: Vec<u8> = files.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        for n in 0..40 {
            let bytes = &*envelope(n % 5, n, 1).bytes;
            let count = dump.windows(bytes.len()).filter(|window| window == &bytes).count();
            let told = disclose(folder.path(), Question::Tag(tag(n % 5))).unwrap();
            assert_eq!((count, told.matches(&hex(bytes)).count()), (1, 1), "{n}");
        }
        assert_eq!(said.matches("\ntag ").count(), 5 + 1, "five mailboxes, one longer life");
        assert_eq!(said.matches("\ndoor ").count(), 2);
        assert_eq!(said.matches("\nblob ").count(), 6);
        for (word, count) in [
            ("to have 400 bytes", 2),
            ("199 sealed bytes of chunk 1", 2),
            ("lives until", 1),
        ] {
            assert_eq!(said.matches(word).count(), count, "{word}");
        }
        assert!(said.contains(&hex(id(2).as_bytes())) && said.matches(": deleted;").count() == 1);
    }

    #[test]
    fn nothing_is_known_by_address_and_days_are_those_of_expiry() {
        let (folder, _) = folder();
        let address = disclose(folder.path(), Question::Address("192.0.2.1".parse().unwrap())).unwrap();
        assert!(address.starts_with("Nothing on disk is by address"));
        let day = disclose(folder.path(), Question::Day(2_000_000_000 / 86_400)).unwrap();
        assert_eq!(
            (
                day.matches("tag ").count(),
                day.contains("2 words about doors"),
                day.contains("5 words about blobs")
            ),
            (1, true, true),
            "{day}"
        );
    }

    #[test]
    fn days_and_times_are_civil() {
        for (text, days) in [("1970-01-01", 0), ("2000-02-29", 11_016), ("2026-11-25", 20_782)] {
            assert_eq!(parse_day(text), Some(days), "{text}");
            assert_eq!(time(Timestamp(days * DAY_MS + 3_900_000)), format!("{text} 01:05 UTC"));
        }
        for bad in [
            "2026-02-29",
            "2026-13-01",
            "2026-00-01",
            "1969-01-01",
            "2026-1",
            "x-1-1",
            "2026-01-00",
        ] {
            assert_eq!(parse_day(bad), None, "{bad}");
        }
        assert_eq!(parse_tag(&"0a".repeat(16)), Some(Tag::from_bytes([10; 16])));
        assert_eq!((parse_tag("0a"), parse_tag(&"+a".repeat(16))), (None, None));
    }
}
