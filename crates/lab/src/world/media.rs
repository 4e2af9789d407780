//! Photos and voice notes: one text of ten stands below a photo, one of ten beside a note. They travel in parts.
//!
//! In: the number of a text. Out: its file, and sentences about devices that have another one beside it, or none.

use stonechat_core::api::{ChatId, Command, MediaKind, MediaSend};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::groups::GROUP;
use super::{World, tap};

/// One text of so many has a photo, another one a note.
const ONE_OF: usize = 10;
const PHOTOS: usize = 4;
const NOTES: usize = 9;
/// Bytes of a photo's scan: a few parts between two; what is larger its author alone puts again, so less in a group.
const SCAN_MAX: usize = 40_000;
const GROUP_SCAN_MAX: usize = 12_000;
/// Sounds of a note, 20 ms and some 50 bytes each, which is what speech takes.
const SOUNDS_MAX: usize = 400;
const GROUP_SOUNDS_MAX: usize = 200;
/// A fullband CELT frame of 20 ms, alone in its packet (RFC 6716, section 3.1).
const SOUND: u8 = 0xf8;

/// The smallest JPEG with so many bytes of scan, all of them this one.
fn photo(scan: usize, byte: u8) -> Vec<u8> {
    let mut out = vec![0xff, 0xd8];
    let segments: [(u8, &[u8]); 4] = [
        (0xdb, &[0; 65]),
        (0xc0, &[8, 0, 48, 0, 64, 1, 1, 0x11, 0]),
        (0xc4, &[0; 17]),
        (0xda, &[1, 1, 0, 0, 63, 0]),
    ];
    for (marker, segment) in segments {
        let length = u16::try_from(segment.len() + 2).unwrap_or(u16::MAX);
        out.extend([0xff, marker]);
        out.extend(length.to_be_bytes());
        out.extend(segment);
    }
    out.extend(vec![byte; scan]);
    out.extend([0xff, 0xd9]);
    out
}

/// An Ogg stream of Opus with so many sounds, all of them made of this byte.
fn note(sounds: usize, byte: u8) -> Vec<u8> {
    let head = [b"OpusHead".as_slice(), &[1, 1, 0, 0, 0x80, 0xbb, 0, 0, 0, 0, 0]].concat();
    let mut out = page(2, 0, 0, &[head]);
    out.extend(page(0, 1, 0, &[[b"OpusTags".as_slice(), &[0; 8]].concat()]));
    let sounds: Vec<Vec<u8>> = (0..sounds)
        .map(|n| [vec![SOUND], vec![byte; 40 + n % 20]].concat())
        .collect();
    for (n, some) in sounds.chunks(50).enumerate() {
        let number = u32::try_from(n).unwrap_or(0);
        out.extend(page(0, 2 + number, u64::from(number) * 48_000, some));
    }
    out
}

/// One page of whole packets, each shorter than 255 bytes (RFC 3533, section 6).
fn page(flags: u8, number: u32, granule: u64, packets: &[Vec<u8>]) -> Vec<u8> {
    let mut out = [b"OggS\0".as_slice(), &[flags]].concat();
    out.extend(granule.to_le_bytes());
    out.extend([7, 0, 0, 0]);
    out.extend(number.to_le_bytes());
    out.extend([0; 4]);
    out.push(u8::try_from(packets.len()).unwrap_or(u8::MAX));
    out.extend(packets.iter().map(|packet| u8::try_from(packet.len()).unwrap_or(254)));
    packets.iter().for_each(|packet| out.extend(packet));
    let sum = sum_of(&out);
    out[22..26].copy_from_slice(&sum.to_le_bytes());
    out
}

/// CRC-32 with the polynomial 0x04c11db7, not reflected.
fn sum_of(page: &[u8]) -> u32 {
    page.iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte) << 24, |sum: u32, _| {
            let over = if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 };
            (sum << 1) ^ over
        })
    })
}

impl World {
    /// The photo or note that a text stands beside.
    fn media_of(&self, k: usize) -> Option<(MediaKind, Vec<u8>)> {
        let text = self.plan.texts[k];
        let byte = u8::try_from(k % 251).unwrap_or(0);
        let (scan, sounds) = match text.to {
            GROUP => (GROUP_SCAN_MAX, GROUP_SOUNDS_MAX),
            _one => (SCAN_MAX, SOUNDS_MAX),
        };
        match k % ONE_OF {
            PHOTOS => Some((MediaKind::Photo, photo(1 + k * 7919 % scan + text.padding, byte))),
            NOTES => Some((MediaKind::Voice, note(1 + (k * 7919 + text.padding) % sounds, byte))),
            _alone => None,
        }
    }

    /// Sends it, with the text beside it; nothing where the text stands alone.
    pub(crate) fn media_command(&self, k: usize, chat: ChatId, reply_to: Option<String>) -> Option<Command> {
        let (kind, file) = self.media_of(k)?;
        Some(Command::MediaSend(MediaSend {
            chat,
            kind,
            data: STANDARD.encode(file),
            preview: None,
            text: Some(tap::text(k, self.plan.texts[k].padding)),
            marked: true,
            client_id: Some(format!("t{k}")),
            reply_to,
        }))
    }

    /// Wherever such a text is and was not deleted, its photo or note is there as it was sent.
    pub(crate) fn check_media(&mut self) {
        for (id, k) in self.written.clone() {
            let Some((kind, sent)) = self.media_of(k) else { continue };
            let sql = format!(
                "SELECT a.bytes FROM message m LEFT JOIN attachment a ON a.message = m.id WHERE m.id = x'{id}' AND m.kind = 0"
            );
            for d in 0..self.nodes.len() {
                let there: Vec<Option<Vec<u8>>> = self.nodes[d].device.rows(&sql, |row| row.get(0));
                match kind {
                    MediaKind::Photo => self.photos += there.len(),
                    MediaKind::Voice => self.notes += there.len(),
                }
                if there.iter().any(|file| file.as_ref() != Some(&sent)) {
                    self.broke(format!(
                        "device {d}: the {kind:?} beside text {k} is not there as it was sent"
                    ));
                }
            }
        }
    }
}
